package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGuard: a figure above the baseline by more than its noise is named, with what to do; one below is not.
func TestGuard(t *testing.T) {
	baseline := cost{Allocations: 10, AllocatedBytes: 1000, ChangelogBytes: 50, OutputBytes: 100, StoreBytes: 80}
	same, cheaper := baseline, baseline
	cheaper.AllocatedBytes, cheaper.StoreBytes = 500, 40
	for _, c := range []*cost{&same, &cheaper} {
		if err := c.against(&baseline); err != nil {
			t.Errorf("%+v: %v", *c, err)
		}
	}
	for i, f := range baseline.figures() {
		dearer := baseline
		*dearer.figures()[i].value *= 1 + f.tolerance + 0.001
		err := dearer.against(&baseline)
		if err == nil || !strings.HasPrefix(err.Error(), "an event costs more than it did: "+f.name+" from ") || strings.Count(err.Error(), " from ") != 1 {
			t.Errorf("%s has risen, and it says: %v", f.name, err)
		}
	}
}

// TestGuardNeedsABaseline: without a baseline, or with one that lacks a figure, nothing passes.
func TestGuardNeedsABaseline(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"none.json": "", "broken.json": "{", "empty.json": "{}"} {
		path := filepath.Join(dir, name)
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := runGuard([]string{"-baseline", path}); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}
