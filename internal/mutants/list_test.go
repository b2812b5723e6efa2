package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlaces proves that every bug still finds its one place in the sources, and that docs/guarantees.md tells of it: planting them all takes half an hour,
// which no change waits for.
func TestPlaces(t *testing.T) {
	root := filepath.Join("..", "..")
	doc, err := os.ReadFile(filepath.Join(root, "docs", "guarantees.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		source, err := os.ReadFile(filepath.Join(root, m.file))
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := m.plant(source); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		if row := "| " + m.name + " | " + m.file + " | " + m.check.String() + " |"; !strings.Contains(string(doc), row) {
			t.Errorf("docs/guarantees.md lacks the row %s", row)
		}
	}
}
