package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"pgregory.net/rapid"

	"lull/state/statetest"
)

// TestRun proves that a run holds the last record of each key, in key order, against a plain map.
func TestRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r run
		want := map[string]string{}
		deleted := map[string]bool{}
		// Keys that are equal far into their bytes, that begin one another, and that end in zeros.
		keys := rapid.StringMatching(`(aaaaaaaa|aaaaaaab){0,3}[\x00a]{0,3}`)
		values := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 3), rapid.SliceOfN(rapid.Byte(), 30, 2000))
		for range rapid.IntRange(0, 200).Draw(t, "puts") {
			key, value := []byte(keys.Draw(t, "key")), bytes.Clone(values.Draw(t, "value"))
			want[string(key)], deleted[string(key)] = string(value), value == nil
			r.put(key, value)
			scribble(key, value) // the run has copies
		}
		r.sort()
		var got []string
		for k, v := range r.all {
			got = append(got, string(k))
			if string(v) != want[string(k)] || (v == nil) != deleted[string(k)] {
				t.Fatalf("%q is %q, want %q, deleted: %t", k, v, want[string(k)], deleted[string(k)])
			}
		}
		if sorted := slices.Sorted(maps.Keys(want)); !slices.Equal(got, sorted) {
			t.Fatalf("keys %q, want %q", got, sorted)
		}
	})
}

// A nil key is the empty one.
func TestRunNilKey(t *testing.T) {
	var r run
	r.put(nil, []byte("1"))
	r.put([]byte{}, []byte("2"))
	expect(t, "records", len(r.refs), 1)
}

// TestRunBytesMatchHeap proves that a run counts what it takes of the heap, within a quarter, above what is set aside for writing it.
func TestRunBytesMatchHeap(t *testing.T) {
	for _, n := range []int{20_000, 300_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			before := heapBytes()
			var r run
			random := rand.New(rand.NewPCG(1, 2))
			value, aside := make([]byte, 400), int64(0)
			for i := range 2 * n {
				key := fmt.Appendf(nil, "customer-%d", i%n)
				r.put(key, value[:random.IntN(len(value))])
				if i < n {
					aside += int64(len(key)) + runEntryBytes
				}
			}
			heap, counted := heapBytes()-before, r.bytes-aside
			if ratio := float64(heap) / float64(counted); ratio < 0.75 || ratio > 1.25 {
				t.Errorf("%d records take %d bytes of the heap; counted are %d", n, heap, counted)
			}
			r.sort()
		})
	}
}

// TestRestoreIsBounded proves that restores of any size hold no more than twice the bound, and the slab under way, however many there are; and that all
// of it is on disk when they end.
func TestRestoreIsBounded(t *testing.T) {
	const bound, count = 20_000, 4000
	for _, partitions := range []int32{1, 2, 5} {
		shared := &budget{max: bound}
		b := newMapBacking()
		var parts []*Partition
		for n := range partitions {
			p, err := openPartition(n, b, testIndex, shared, func() {})
			must(t, err)
			parts = append(parts, p)
		}
		most := int64(0)
		for i := range int64(count) {
			for _, p := range parts {
				must(t, p.Restore(binary.BigEndian.AppendUint64(nil, uint64(i)), bytes.Repeat([]byte{1}, 50), i+1))
				most = max(most, shared.restoring.Load())
			}
		}
		// A slab is at most as large as all before it together.
		if most > 2*2*bound {
			t.Errorf("%d partitions: %d bytes at most", partitions, most)
		}
		for n, p := range parts {
			must(t, p.EndRestore(count+1))
			flushed, committed := p.Position()
			expect(t, "positions", []int64{flushed, committed}, []int64{count + 1, count + 1})
			q, err := NewPartition(int32(n), b, testIndex, 0)
			must(t, err)
			expect(t, "records", len(records(t, q, nil, nil)), count)
		}
		expect(t, "bytes after the restores", []int64{shared.restoring.Load(), shared.restores.Load(), shared.dirty.Load()}, []int64{0, 0, 0})
	}
}

// TestRestoreTail proves that the tail that a restart reads costs no table, is seen at once, and hides what is older, in memory and on disk.
func TestRestoreTail(t *testing.T) {
	b := newMapBacking()
	p := openOver(t, b, 0)
	commit(t, p, 5, "a=1", "b=1", "c=1")
	must(t, p.Flush())
	commit(t, p, 7, "b=2", "d=2")
	must(t, p.Restore([]byte("a"), []byte("3"), 8))
	must(t, p.Restore([]byte("d"), nil, 9))
	must(t, p.EndRestore(10))
	expect(t, "records", records(t, p, nil, nil), []string{"a=3", "b=2", "c=1"})
	flushed, committed := p.Position()
	expect(t, "positions", []int64{flushed, committed}, []int64{5, 10})
	expect(t, "writes of the backing", len(b.history)-1, 1)
	must(t, p.Flush())
	expect(t, "records on disk", records(t, openOver(t, b, 0), nil, nil), []string{"a=3", "b=2", "c=1"})
}

// TestTailsAreBounded proves that the tails of many partitions, each of which stays in memory, are flushed when they are too much together.
func TestTailsAreBounded(t *testing.T) {
	const bound = 2000
	shared := &budget{max: bound}
	b := newMapBacking()
	for n := range int32(6) {
		p, err := openPartition(n, b, nil, shared, func() {})
		must(t, err)
		for i := range int64(10) {
			must(t, p.Restore([]byte{byte(i)}, bytes.Repeat([]byte{1}, 30), i+1))
		}
		must(t, p.EndRestore(11))
		p.awaitFlush()
		if shared.dirty.Load() > bound {
			t.Errorf("partition %d: %d dirty bytes", n, shared.dirty.Load())
		}
	}
	expect(t, "tables", len(b.history) > 1, true)
}

// TestRestoreOverDirty proves that a restore that must write goes on top of what is committed in memory, as after a transaction of unknown outcome.
func TestRestoreOverDirty(t *testing.T) {
	b := newMapBacking()
	p := openOver(t, b, 500)
	commit(t, p, 5, "a=1", "b=1")
	for i := range int64(30) {
		must(t, p.Restore([]byte("a"), []byte(strings.Repeat("2", 100+int(i)*16)), 6+i))
	}
	must(t, p.EndRestore(40))
	want := []string{"a=" + strings.Repeat("2", 100+29*16), "b=1"}
	expect(t, "records", records(t, p, nil, nil), want)
	must(t, p.Flush())
	expect(t, "records on disk", records(t, openOver(t, b, 0), nil, nil), want)
	if len(b.history) < 4 {
		t.Errorf("%d writes: the restore was to need several", len(b.history)-1)
	}
}

// TestRestoreFails proves that a restore whose table could not be written leaves the partition where the last table was, whatever its caller does next,
// and that it can be read again.
func TestRestoreFails(t *testing.T) {
	b := newMapBacking()
	p := openOver(t, b, 500)
	full := errors.New("disk full")
	restore := func(from, to int64) (err error) {
		for i := from; i < to && err == nil; i++ {
			err = p.Restore(binary.BigEndian.AppendUint64(nil, uint64(i)), bytes.Repeat([]byte{1}, 50), i+1)
		}
		return err
	}
	must(t, restore(0, 100))
	flushed, at := p.Position()
	b.gate = make(chan error, 1)
	b.gate <- full
	if err := restore(100, 200); !errors.Is(err, full) || !strings.Contains(err.Error(), "restoring partition 3") {
		t.Fatalf("the error of the restore: %v", err)
	}
	if err := p.Restore([]byte("x"), nil, 201); !errors.Is(err, full) {
		t.Errorf("the restore goes on: %v", err)
	}
	if err := p.EndRestore(201); !errors.Is(err, full) {
		t.Errorf("the restore has ended well: %v", err)
	}
	b.gate = nil
	if flushed < 1 || at != flushed {
		t.Fatalf("positions %d and %d in the midst of a restore", flushed, at)
	}
	flushed, at = p.Position()
	expect(t, "records", int64(len(records(t, p, nil, nil))), at)
	expect(t, "bytes", p.budget.restoring.Load(), 0)
	must(t, restore(flushed, 200))
	must(t, p.EndRestore(200))
	expect(t, "records", len(records(t, p, nil, nil)), 200)
}

// TestKillRestore kills the machine before every single operation on the disk of a restore, with none, some and all of what was not synced kept. What
// reopens must be the changelog up to its position, the timer index with it; and reading on from there ends in the whole.
func TestKillRestore(t *testing.T) {
	const count = 300
	key := func(i int64) []byte { return fmt.Append(nil, "k", i%70) }
	value := func(i int64) []byte {
		if i%11 == 0 {
			return nil
		}
		return append(deadlineBytes(uint16(100+i)), strings.Repeat("x", 30)...)
	}
	fold := func(position int64) map[string]string {
		state := map[string]string{}
		for i := range position {
			apply(state, string(key(i)), value(i))
		}
		return state
	}
	open := func(fs vfs.FS) (*DB, *Partition) {
		d, err := Open(Options{Dir: "data/store", FS: fs, DirtyBytesMax: 2000, Index: testIndex})
		must(t, err)
		return d, partition(t, d, 1)
	}
	restore := func(p *Partition) {
		_, from := p.Position()
		for i := max(from, 0); i < count; i++ {
			must(t, p.Restore(key(i), value(i), i+1))
		}
		must(t, p.EndRestore(count))
	}
	var mu sync.Mutex
	var disks []*statetest.Disk
	disk := statetest.NewDisk()
	rng := rand.New(rand.NewPCG(1, 1))
	d, p := open(errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for _, percent := range []int{0, 50, 100} {
			disks = append(disks, disk.Crash(percent, rng))
		}
		return nil
	})))
	restore(p)
	must(t, d.Close())

	positions := map[int64]bool{}
	for _, disk := range disks {
		d, p := open(disk)
		_, position := p.Position()
		positions[position] = true
		for _, at := range []int64{max(position, 0), count} {
			got := map[string]string{}
			must(t, p.Scan(nil, nil, func(k, v []byte) bool { got[string(k)] = string(v); return true }))
			want := fold(at)
			if !maps.Equal(got, want) {
				t.Fatalf("at position %d: %q, want %q", at, got, want)
			}
			live := map[string]bool{}
			for k, v := range want {
				live[v[:2]+k] = true
			}
			must(t, p.ScanIndex(nil, nil, func(entry []byte) bool { delete(live, string(entry)); return true }))
			if len(live) > 0 {
				t.Fatalf("at position %d: the index lacks %v", at, live)
			}
			restore(p)
		}
		must(t, d.Close())
	}
	if len(positions) < 4 {
		t.Errorf("killed at %d positions: the restore was to write several tables", len(positions))
	}
}

// TestCrowdedRestores proves that restores which gathered their shares one after the other, each when there were fewer, are bounded together all the same.
func TestCrowdedRestores(t *testing.T) {
	const bound, restores = 8 << 20, 4 // far above the size of a slab
	shared, b := &budget{max: bound}, newMapBacking()
	value := make([]byte, 1000)
	for n := range int32(restores) {
		p, err := openPartition(n, b, testIndex, shared, func() {})
		must(t, err)
		until := shared.restoring.Load() + 3*bound/2/int64(n+1) // three quarters of a share
		for i := range int64(2 * bound / len(value)) {
			must(t, p.Restore(binary.BigEndian.AppendUint64(nil, uint64(i)), value, i+1))
			if shared.restoring.Load() >= until {
				break // it waits
			}
		}
	}
	if held, most := shared.restoring.Load(), int64(2*bound+restores*bound/crowdedShare); held > most {
		t.Errorf("%d restores hold %d bytes, promised are %d", restores, held, most)
	}
}
