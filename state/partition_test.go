package state

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// mapBacking is a Backing in memory, as the simulator has one: an ordered map that can go back to an earlier write.
type mapBacking struct {
	mu      sync.Mutex
	history []map[string]string // what each write left; the last is now
	gate    chan error          // if set, a write waits for its outcome here
}

func newMapBacking() *mapBacking { return &mapBacking{history: []map[string]string{{}}} }

func (b *mapBacking) now() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.history[len(b.history)-1]
}

// revert takes the last n writes back.
func (b *mapBacking) revert(n int) { b.history = b.history[:len(b.history)-n] }

func (b *mapBacking) Get(key []byte) ([]byte, bool, error) {
	v, ok := b.now()[string(key)]
	return []byte(v), ok, nil
}

func (b *mapBacking) Scan(lo, hi []byte, yield func(key, value []byte) bool) error {
	now := b.now()
	var keys []string
	for k := range now {
		if k >= string(lo) && k < string(hi) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if !yield([]byte(k), []byte(now[k])) {
			break
		}
	}
	return nil
}

func (b *mapBacking) Write(drop Span, writes iter.Seq2[[]byte, []byte]) error {
	next := map[string]string{}
	for k, v := range b.now() {
		if k < string(drop.Lo) || k >= string(drop.Hi) {
			next[k] = v
		}
	}
	last := ""
	for k, v := range writes {
		if string(k) <= last || string(k) >= string(drop.Lo) && string(k) < string(drop.Hi) {
			return fmt.Errorf("the writes are not in order or not outside of %x: %x after %x", drop, k, last)
		}
		last = string(k)
		if v == nil {
			delete(next, last)
		} else {
			next[last] = string(v)
		}
	}
	if b.gate != nil {
		if err := <-b.gate; err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.history = append(b.history, next)
	return nil
}

func openOver(t *testing.T, b Backing, dirtyBytesMax int64) *Partition {
	t.Helper()
	p, err := NewPartition(3, b, testIndex, dirtyBytesMax)
	must(t, err)
	return p
}

// commit runs a transaction of the given writes, "key=value" or "key" to delete, and commits it at position.
func commit(t *testing.T, p *Partition, position int64, writes ...string) {
	t.Helper()
	for _, w := range writes {
		key, value, ok := strings.Cut(w, "=")
		if ok {
			must(t, p.Set([]byte(key), []byte(value)))
		} else {
			must(t, p.Delete([]byte(key)))
		}
	}
	p.Commit(position)
}

// records returns what Scan yields, as "key=value".
func records(t *testing.T, p *Partition, lo, hi []byte) []string {
	t.Helper()
	var got []string
	must(t, p.Scan(lo, hi, func(k, v []byte) bool {
		got = append(got, string(k)+"="+string(v))
		return true
	}))
	return got
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: %s, want %s", what, g, w)
	}
}

// A scan sees each key in its newest layer, and nothing of keys deleted in a newer layer than the one that holds them.
func TestScanMergesLayers(t *testing.T) {
	b := newMapBacking()
	p := openOver(t, b, 0)
	commit(t, p, 1, "a=1", "b=1", "c=1", "d=1", "e=1")
	must(t, p.Flush())
	commit(t, p, 2, "b=2", "c", "f=2", "h=2")
	b.gate = make(chan error)
	must(t, p.StartFlush())
	commit(t, p, 3, "c=3", "f", "d")
	must(t, p.Set([]byte("a"), nil))
	must(t, p.Set([]byte("d"), []byte("4")))
	must(t, p.Delete([]byte("e")))
	must(t, p.Set([]byte("g"), []byte("4")))

	expect(t, "all", records(t, p, nil, nil), []string{"a=", "b=2", "c=3", "d=4", "g=4", "h=2"})
	expect(t, "from b below d", records(t, p, []byte("b"), []byte("d")), []string{"b=2", "c=3"})
	expect(t, "nothing below nothing", records(t, p, nil, []byte{}), []string(nil))
	expect(t, "bounds the wrong way round", records(t, p, []byte("d"), []byte("b")), []string(nil))
	p.Abort()
	b.gate <- nil
	must(t, func() error { b.gate = nil; return p.Flush() }())
	expect(t, "committed", records(t, p, nil, nil), []string{"a=1", "b=2", "c=3", "e=1", "h=2"})
	expect(t, "flushed", records(t, openOver(t, b, 0), nil, nil), []string{"a=1", "b=2", "c=3", "e=1", "h=2"})
}

// A failed flush loses nothing: reads, the position and the next flush are as if it had not been tried, but that the next flush tells.
func TestFlushFails(t *testing.T) {
	b := newMapBacking()
	b.gate = make(chan error, 1)
	p := openOver(t, b, 0)
	disk := errors.New("disk full")

	commit(t, p, 5, "a=1", "b=1", "c=1")
	p.MarkAtEnd(77)
	before := p.DirtyBytes()
	b.gate <- disk
	must(t, p.StartFlush())
	expect(t, "dirty bytes while flushing", p.DirtyBytes(), before)
	commit(t, p, 9, "b=2", "c")
	err := p.StartFlush()
	if !errors.Is(err, disk) || !strings.Contains(err.Error(), "partition 3 up to changelog offset 5") {
		t.Errorf("the error of the flush: %v", err)
	}
	flushed, committed := p.Position()
	expect(t, "positions after a failed flush", []int64{flushed, committed}, []int64{NoPosition, 9})
	expect(t, "records after a failed flush", records(t, p, nil, nil), []string{"a=1", "b=2"})

	b.gate <- nil
	must(t, p.Flush())
	flushed, committed = p.Position()
	expect(t, "positions after the next", []int64{flushed, committed}, []int64{9, 9})
	expect(t, "dirty bytes after the next", []int64{p.DirtyBytes(), p.budget.dirty.Load(), p.budget.flying.Load()}, []int64{0, 0, 0})
	q := openOver(t, b, 0)
	expect(t, "records on disk", records(t, q, nil, nil), []string{"a=1", "b=2"})
	expect(t, "mark on disk", q.AtEnd(), 77)
}

// What a failed flush could not write is nobody's concern once it was discarded.
func TestDiscardForgetsFailedFlush(t *testing.T) {
	b := newMapBacking()
	b.gate = make(chan error, 1)
	p := openOver(t, b, 0)
	commit(t, p, 5, "a=1")
	b.gate <- errors.New("disk full")
	must(t, p.StartFlush())
	must(t, p.Set([]byte("b"), []byte("1")))
	p.Discard()
	expect(t, "records", records(t, p, nil, nil), []string(nil))
	expect(t, "dirty bytes", p.DirtyBytes(), 0)
	b.gate <- nil
	must(t, p.Release(12))
}

// A flush that runs holds nothing up: the task goes on reading and committing, and both see everything.
func TestCommitsWhileFlushing(t *testing.T) {
	b := newMapBacking()
	b.gate = make(chan error)
	p := openOver(t, b, 0)
	commit(t, p, 1, "a=1")
	must(t, p.StartFlush())
	if !p.Flushing() {
		t.Error("Flushing() is false while the backing writes")
	}
	commit(t, p, 2, "b=2")
	expect(t, "records", records(t, p, nil, nil), []string{"a=1", "b=2"})
	b.gate <- nil
	b.gate = nil // the flush has its answer and reads it no more
	must(t, p.Flush())
	flushed, committed := p.Position()
	expect(t, "positions", []int64{flushed, committed}, []int64{2, 2})
	expect(t, "writes of the backing", len(b.history)-1, 2)
	must(t, p.Flush())
	expect(t, "writes of the backing when there is nothing to flush", len(b.history)-1, 2)
}

// The simulator's crash: the backing goes back to an earlier flush, and the partition that is opened on it stands there.
func TestBackingReverts(t *testing.T) {
	b := newMapBacking()
	p := openOver(t, b, 0)
	commit(t, p, 10, "a=1")
	must(t, p.Flush())
	commit(t, p, 20, "a=2", "b=2")
	must(t, p.Flush())
	b.revert(1)
	p = openOver(t, b, 0)
	flushed, committed := p.Position()
	expect(t, "positions", []int64{flushed, committed}, []int64{10, 10})
	expect(t, "records", records(t, p, nil, nil), []string{"a=1"})
}

// Entries of the index below a declared bound are gone: from memory at once, from the backing with the next flush; but only if the transaction
// that declared it commits, as only its state has no deadline there.
func TestDropIndexBelow(t *testing.T) {
	b := newMapBacking()
	p := openOver(t, b, 0)
	entries := func(p *Partition) (got []string) {
		must(t, p.ScanIndex(nil, nil, func(entry []byte) bool {
			got = append(got, fmt.Sprint(deadlineOf(string(entry)), string(entry[2:])))
			return true
		}))
		return got
	}
	set := func(key string, deadline uint16) { must(t, p.Set([]byte(key), deadlineBytes(deadline))) }
	set("a", 10)
	set("b", 20)
	set("c", 30)
	p.Commit(1)
	must(t, p.Flush())

	set("a", 40)
	p.DropIndexBelow(deadlineBytes(20))
	expect(t, "in the transaction", entries(p), []string{"20b", "30c", "40a"})
	p.Abort()
	expect(t, "after its abort", entries(p), []string{"10a", "20b", "30c"})

	set("a", 40)
	p.DropIndexBelow(deadlineBytes(20))
	must(t, p.Flush())
	expect(t, "on disk before the commit", entries(openOver(t, b, 0)), []string{"10a", "20b", "30c"})
	p.Commit(2)
	p.DropIndexBelow(deadlineBytes(15)) // lower: no change
	expect(t, "after the commit", entries(p), []string{"20b", "30c", "40a"})
	must(t, p.Flush())
	expect(t, "on disk", entries(openOver(t, b, 0)), []string{"20b", "30c", "40a"})

	p.DropIndexBelow(deadlineBytes(25))
	p.Commit(3)
	p.Discard()
	expect(t, "after a loss", entries(p), []string{"20b", "30c", "40a"})
}

// What a partition yields of its writes stays as it is when the transaction is over: the producer keeps it until the broker has it.
func TestWritesMayBeKept(t *testing.T) {
	p := openOver(t, newMapBacking(), 0)
	must(t, p.Set([]byte("b"), []byte("1")))
	must(t, p.Set([]byte("a"), nil))
	must(t, p.Delete([]byte("c")))
	var keys, values [][]byte
	for k, v := range p.Writes {
		keys, values = append(keys, k), append(values, v)
	}
	p.Commit(1)
	commit(t, p, 2, "a=2", "b=2", "c=2")
	must(t, p.Flush())
	expect(t, "keys", keys, [][]byte{[]byte("a"), []byte("b"), []byte("c")})
	expect(t, "values", values, [][]byte{{}, []byte("1"), nil})
	if values[0] == nil || values[2] != nil {
		t.Error("an empty value must not be nil, a deleted key's must")
	}
}

// Of the partitions that fill memory together, those are full that hold at least their share: flushing the others would free little.
func TestFull(t *testing.T) {
	shared := &budget{max: 1000}
	var parts []*Partition
	for n := range int32(2) {
		p, err := openPartition(n, newMapBacking(), nil, shared, func() {})
		must(t, err)
		parts = append(parts, p)
	}
	full := func() []bool { return []bool{parts[0].Full(), parts[1].Full()} }
	commit(t, parts[0], 1, "a="+strings.Repeat("x", 1000-entryOverheadBytes-1))
	expect(t, "at the bound", full(), []bool{false, false})
	commit(t, parts[1], 1, "a=")
	expect(t, "over the bound, one with its share", full(), []bool{true, false})
	must(t, parts[0].Flush())
	expect(t, "after its flush", full(), []bool{false, false})
	commit(t, parts[1], 2, "a="+strings.Repeat("x", 1000-entryOverheadBytes))
	expect(t, "over the bound, the other with its share", full(), []bool{false, true})
	parts[1].Close()
	expect(t, "bytes after closing", shared.dirty.Load()+shared.flying.Load(), 0)
}

// The bytes that a partition counts are those that its records take of the heap, within a quarter.
func TestDirtyBytesMatchHeap(t *testing.T) {
	for _, n := range []int{20_000, 50_000, 110_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := openOver(t, newMapBacking(), 1<<40)
			before := heapBytes()
			r := rand.New(rand.NewPCG(1, 2))
			value := make([]byte, 400)
			for i := range n {
				key := fmt.Appendf(nil, "customer-%d", i)
				must(t, p.Set(key, value[:r.IntN(len(value))]))
				p.Commit(int64(i + 1))
			}
			heap, counted := heapBytes()-before, p.DirtyBytes()
			if ratio := float64(heap) / float64(counted); ratio < 0.75 || ratio > 1.25 {
				t.Errorf("%d records take %d bytes of the heap; counted are %d", n, heap, counted)
			}
			runtime.KeepAlive(p)
		})
	}
}

func heapBytes() int64 {
	var before, m runtime.MemStats
	for { // until what other tests have left is gone, pools and finalizers too
		before = m
		runtime.GC()
		runtime.ReadMemStats(&m)
		if m.HeapAlloc >= before.HeapAlloc-min(before.HeapAlloc, 16<<10) && m.HeapAlloc <= before.HeapAlloc+16<<10 {
			return int64(m.HeapAlloc)
		}
	}
}

// Every operation on a closed partition says so.
func TestClosedPartition(t *testing.T) {
	p := openOver(t, newMapBacking(), 0)
	commit(t, p, 1, "a=1")
	p.Close()
	p.Close()
	_, _, getErr := p.Get([]byte("a"))
	_, _, committedErr := p.CommittedGet([]byte("a"))
	for name, err := range map[string]error{
		"Get": getErr, "CommittedGet": committedErr,
		"Set": p.Set(nil, nil), "Delete": p.Delete(nil), "Restore": p.Restore(nil, nil, 2), "EndRestore": p.EndRestore(2),
		"Scan":      p.Scan(nil, nil, func(_, _ []byte) bool { return true }),
		"ScanIndex": p.ScanIndex(nil, nil, func([]byte) bool { return true }),
		"Flush":     p.Flush(), "StartFlush": p.StartFlush(), "Release": p.Release(1),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s on a closed partition: %v", name, err)
		}
	}
}
