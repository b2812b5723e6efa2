package main

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlots: the README's table and the picture are those of the files in results.
func TestPlots(t *testing.T) {
	all, err := readResults("results")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if want, err := all.into(string(readme)); err != nil || want != string(readme) {
		t.Errorf("README.md has another table than the files in results make (%v): run make bench-plots", err)
	}
	p, err := all.plot()
	if err != nil {
		t.Fatal(err)
	}
	drawn := filepath.Join(t.TempDir(), "peers.png")
	if err := p.Save(all.pictureWidth(), pictureHeight, drawn); err != nil {
		t.Fatal(err)
	}
	if off := difference(t, drawn, "results/peers.png"); off > 0.001 {
		t.Errorf("results/peers.png is not what the files in results make (%.2g of the pixels are others): run make bench-plots", off)
	}
}

// difference returns the share of pixels that are not alike.
func difference(t *testing.T, one, other string) float64 {
	t.Helper()
	var pictures [2]image.Image
	for i, name := range []string{one, other} {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if pictures[i], err = png.Decode(file); err != nil {
			t.Fatal(err)
		}
	}
	a, b := pictures[0], pictures[1]
	if a.Bounds() != b.Bounds() {
		return 1
	}
	off := 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			r, _, _, _ := a.At(x, y).RGBA()
			s, _, _, _ := b.At(x, y).RGBA()
			if max(r, s)-min(r, s) > 0x2000 { // edges of letters are rounded otherwise on other processors
				off++
			}
		}
	}
	return float64(off) / float64(a.Bounds().Dx()*a.Bounds().Dy())
}

// TestStandings: what a file lacks is said.
func TestStandings(t *testing.T) {
	if _, err := (results{}).into("no marks"); err == nil || !strings.Contains(err.Error(), "lacks the marks") {
		t.Errorf("a README without marks: %v", err)
	}
	file := filepath.Join(t.TempDir(), "peers.json")
	if err := os.WriteFile(file, []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := readStandings(file); err == nil || !strings.Contains(err.Error(), "is not what bench-peers -json writes") {
		t.Errorf("half a file: %v", err)
	}
	if _, err := readResults(t.TempDir()); err == nil || !strings.Contains(err.Error(), "has no file *.json") {
		t.Errorf("an empty folder: %v", err)
	}
	f := quantity{Runs: map[string][]float64{lullContender: {2, 4}, streamsContender: {6, 20}}}
	if got := f.ratios(streamsContender); len(got) != 2 || got[0] != 3 || got[1] != 5 {
		t.Errorf("ratios of the same turn are %v, want 3 and 5", got)
	}
}
