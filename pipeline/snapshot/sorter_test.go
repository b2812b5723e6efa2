package snapshot

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestSorter: records come out in the order of their keys, of each key the one that was put last, whether memory held them or the disk; and what was yielded stays what it was.
func TestSorter(t *testing.T) {
	for name, bytesMax := range map[string]int{"in memory": 1 << 20, "a run for each": 1, "many runs": 2000, "runs of many blocks": 200_000} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			s := sorter{dir: t.TempDir(), bytesMax: bytesMax}
			want := make(map[string]string)
			for i := range 3000 {
				key := "customer" + strings.Repeat("\x00", random.IntN(3)) + strings.Repeat("a", random.IntN(12)) + string(rune('a'+random.IntN(20)))
				if i == 2000 {
					key = "cu" // less of it is common to all keys than before
				}
				value := fmt.Sprint(i, strings.Repeat("v", random.IntN(100)))
				if err := s.put([]byte(key), []byte(value[:1]), []byte(value[1:])); err != nil {
					t.Fatal(err)
				}
				want[key] = value
			}
			if err := s.end(); err != nil {
				t.Fatal(err)
			}
			if runs := len(s.runs); (runs == 0) != (name == "in memory") {
				t.Errorf("%d runs", runs)
			}
			for range 2 {
				var keys, values [][]byte
				if err := s.all(func(key, value []byte) bool {
					keys, values = append(keys, key), append(values, value)
					return true
				}); err != nil {
					t.Fatal(err)
				}
				sorted := slices.Sorted(maps.Keys(want))
				if len(keys) != len(sorted) {
					t.Fatalf("%d records, want %d", len(keys), len(sorted))
				}
				for i, key := range sorted {
					if string(keys[i]) != key || string(values[i]) != want[key] {
						t.Fatalf("record %d is %q, %q, want %q, %q", i, keys[i], values[i], key, want[key])
					}
				}
			}
			var seen []string
			err := s.all(func(key, _ []byte) bool {
				seen = append(seen, string(key))
				return len(seen) < 2
			})
			if err != nil || len(seen) != 2 {
				t.Errorf("%q after the second was to be the last, %v", seen, err)
			}
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
				t.Errorf("%v is left, %v", left, err)
			}
		})
	}
}

// TestSorterErrors: a disk that cannot be written, or does not have what was written, is told of.
func TestSorterErrors(t *testing.T) {
	s := sorter{dir: filepath.Join(t.TempDir(), "none"), bytesMax: 1}
	if err := s.put([]byte("a")); err == nil || !strings.Contains(err.Error(), "sorting outputs in "+strconv.Quote(s.dir)+": ") {
		t.Errorf("a folder that is not there: %v", err)
	}
	for name, spoil := range map[string]func(file *os.File) error{
		"cut off":       func(file *os.File) error { return file.Truncate(100) },
		"closed before": (*os.File).Close,
		// Whatever byte it is: a length, a checksum, text that would be decoded all the same.
		"changed: the file has been changed": func(file *os.File) error {
			_, err := file.WriteAt([]byte{0xa5}, 20)
			return err
		},
		"a length: the file has been changed": func(file *os.File) error {
			_, err := file.WriteAt([]byte{0xff}, 0)
			return err
		},
	} {
		s := sorter{dir: t.TempDir(), bytesMax: 1 << 10}
		for i := range 100 {
			if err := s.put(fmt.Appendf(nil, "%d", i), bytes.Repeat([]byte{byte(i)}, i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.end(); err != nil {
			t.Fatal(err)
		}
		if err := spoil(s.file); err != nil {
			t.Fatal(err)
		}
		_, why, _ := strings.Cut(name, ": ")
		if err := s.all(func(_, _ []byte) bool { return true }); err == nil || !strings.Contains(err.Error(), "reading sorted outputs: "+why) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCaught: a panic in a goroutine of a snapshot's is its error, and no end of the process that takes it.
func TestCaught(t *testing.T) {
	var work errgroup.Group
	work.Go(Caught(func() error { panic("no such column") }))
	if err := work.Wait(); err == nil || err.Error() != "it panicked: no such column. Report it" {
		t.Errorf("error %v", err)
	}
}
