package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDisk: on a full disk not a page can be written, and what was emptied takes files again.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	d, err := newDisk(dir)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := d.unmount(false); err != nil {
			t.Error(err)
		}
	})
	write := func() error { return os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("x"), 4096), 0o644) }
	if err := write(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	if err := d.fill(); err != nil {
		t.Fatal(err)
	}
	if err := write(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing to a full disk gives %v", err)
	}
	if err := d.empty(); err != nil {
		t.Fatal(err)
	}
	if err := write(); err != nil {
		t.Errorf("writing after the disk was emptied gives %v", err)
	}
}
