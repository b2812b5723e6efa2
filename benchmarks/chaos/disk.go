package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// diskBytes is the size of the small disk.
const diskBytes = 256 << 20

// disk is a small file system in memory, which can be filled.
type disk struct{ dir string }

// newDisk mounts one at dir, which only root may, on Linux.
func newDisk(dir string) (*disk, error) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return nil, errors.New("only root can mount a tmpfs, and only on Linux")
	}
	if output, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", diskBytes), "lull-chaos", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mounting a tmpfs: %w: %s", err, output)
	}
	return &disk{dir}, nil
}

func (d *disk) filler() string { return filepath.Join(d.dir, "filler") }

// fill takes all space that is left.
func (d *disk) fill() error {
	file, err := os.Create(d.filler())
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it holds nothing
	zeros := make([]byte, 1<<20)
	for len(zeros) > 0 {
		n, err := file.Write(zeros)
		if errors.Is(err, syscall.ENOSPC) {
			zeros = zeros[:min(n, len(zeros)/2)] // the last pages too
		} else if err != nil {
			return err
		}
	}
	return nil
}

// empty gives the space back.
func (d *disk) empty() error { return os.Remove(d.filler()) }

// unmount takes the disk away; what is on it is lost unless keep copies it beside.
func (d *disk) unmount(keep bool) error {
	if keep {
		if output, err := exec.Command("cp", "-r", d.dir, d.dir+".kept").CombinedOutput(); err != nil {
			return fmt.Errorf("keeping %s: %w: %s", d.dir, err, output)
		}
	}
	if output, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("unmounting %s: %w: %s", d.dir, err, output)
	}
	return nil
}
