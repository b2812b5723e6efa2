package state

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"lull/internal/invariants"
)

// ErrClosed is the error of using a partition that was released or closed, or whose store was.
var ErrClosed = errors.New("state is closed")

// Partition is the state of one partition. Its methods are for one goroutine, except CommittedGet and CommittedScan; as long as nothing is called but Get and Scan, these may be by several at once.
//
// Only the owner's goroutine changes which layers there are and what is in them, so it reads them without a lock; mu is for CommittedGet and CommittedScan. A
// flush in the background reads its layer, which nobody changes any more, and nothing else; its outcome is taken in by the owner, at the next
// Commit, Restore, EndRestore, Position, StartFlush, Flush, Discard, Release or Close.
type Partition struct {
	n       int32
	backing Backing
	index   Index
	budget  *budget
	onClose func()

	overlay       map[string][]byte
	overlayDrop   []byte // DropIndexBelow of the transaction that runs; nil: none
	committed     mark
	committedDrop []byte // the highest committed bound of DropIndexBelow; nil: none
	flushed       mark
	flushedDrop   []byte
	flushErr      error      // of the last flush, until it is returned
	restoring     *restoring // nil: none is under way

	mu     sync.RWMutex // held to change the two below, and by CommittedGet and CommittedScan to read them
	dirty  *layer
	flying *flush // being written; nil: none

	closed atomic.Bool
	reads  sync.RWMutex // held for reading by CommittedGet and by each look of CommittedScan, so that Close waits for it
}

// NewPartition returns partition n over a backing that is not a [DB]'s, with its own bound on dirty bytes (see Options.DirtyBytesMax; 0 is
// that default).
func NewPartition(n int32, b Backing, index Index, dirtyBytesMax int64) (*Partition, error) {
	if dirtyBytesMax == 0 {
		dirtyBytesMax = DefaultDirtyBytesMax
	}
	return openPartition(n, b, index, &budget{max: dirtyBytesMax}, func() {})
}

// openPartition reads partition n's mark and takes the partition into use. onClose is called once, when it is closed.
func openPartition(n int32, b Backing, index Index, shared *budget, onClose func()) (*Partition, error) {
	if err := checkPartition(n); err != nil {
		return nil, err
	}
	p := &Partition{
		n: n, backing: b, index: index, budget: shared, onClose: onClose,
		overlay: make(map[string][]byte), dirty: newLayer(), committed: noMark,
	}
	value, ok, err := b.Get(makeKey(n, classMark, nil))
	if err != nil {
		return nil, fmt.Errorf("opening partition %d: %w", n, err)
	}
	if ok {
		if p.committed, err = decodeMark(n, value); err != nil {
			return nil, fmt.Errorf("opening partition %d: %w", n, err)
		}
	}
	p.flushed = p.committed
	shared.partitions.Add(1)
	if p.committed.releasedMs != 0 {
		// Written now and not with the first flush: until then a kill would leave a partition that was in use looking like one to be dropped.
		p.committed.releasedMs = 0
		if err := p.Flush(); err != nil {
			shared.partitions.Add(-1)
			return nil, fmt.Errorf("opening partition %d: %w", n, err)
		}
	}
	return p, nil
}

// Get returns the value of a key as the running transaction sees it; ok is false when there is none. The value must not be changed; it may
// be kept.
func (p *Partition) Get(key []byte) (value []byte, ok bool, err error) {
	if v, ok := p.overlay[string(key)]; ok {
		return v, v != nil, nil
	}
	if v, ok := lookUp(p.dirty, p.flying, key); ok {
		return v, v != nil, nil
	}
	return p.backingGet(key)
}

// CommittedGet returns the value of a key as of the last commit; ok is false when there is none. The value must not be changed; it may be
// kept. Safe for concurrent use with everything, closing included.
func (p *Partition) CommittedGet(key []byte) (value []byte, ok bool, err error) {
	p.reads.RLock()
	defer p.reads.RUnlock()
	if p.closed.Load() {
		return nil, false, ErrClosed
	}
	p.mu.RLock()
	v, ok := lookUp(p.dirty, p.flying, key)
	p.mu.RUnlock()
	if ok {
		return v, v != nil, nil
	}
	// Not in memory when looked for: the backing has held it since, or a commit and a flush have put something newer there meanwhile.
	return p.backingGet(key)
}

// scanLook is how many records of the backing CommittedScan reads between two looks whether the partition has been closed: some milliseconds.
const scanLook = 1024

// CommittedScan yields the committed records with lo <= key < hi in key order, until yield returns false; a nil hi is no bound. Each is as it was at some
// instant after the call, those in memory as they were when it was made. What it yields must not be changed, and may be kept. It takes memory for a reference to every record that is not
// in the backing yet, and keeps those. Safe for concurrent use with everything; of a partition that is closed meanwhile the error is ErrClosed.
func (p *Partition) CommittedScan(lo, hi []byte, yield func(key, value []byte) bool) error {
	// Both are taken before the backing is looked at: what a flush takes there meanwhile is in both, and not in neither. A layer that is being written does not change any more, so that no commit
	// needs to wait until all of it has been looked at.
	p.mu.RLock()
	found, flying := queue(gather([]*layer{p.dirty}, lo, hi)), p.flying
	p.mu.RUnlock()
	if flying != nil {
		found = append(found, gather([]*layer{flying.layer}, lo, hi)...)
	}
	found.order()
	end, more := makeKey(p.n, classIndex, nil), true
	if hi != nil {
		end = makeKey(p.n, classData, hi)
	}
	for from := makeKey(p.n, classData, lo); more; {
		var err error
		if from, more, err = p.lookAt(&found, from, end, yield); err != nil {
			return err
		}
	}
	return nil
}

// lookAt merges a stretch of the backing, from a key on, with what memory has until its end. It returns where the next begins; more is false if there is none.
func (p *Partition) lookAt(memory *queue, from, end []byte, yield func(key, value []byte) bool) (next []byte, more bool, err error) {
	var read []record
	if err := p.read(func() error {
		return p.backing.Scan(from, end, func(key, value []byte) bool {
			read = append(read, record{string(key[prefixBytes:]), copyValue(value)})
			return len(read) < scanLook
		})
	}); err != nil {
		return nil, false, err
	}
	for i := range read {
		for len(*memory) > 0 && (*memory)[0].key < read[i].key {
			if key, value, _ := memory.next(); value != nil && !yield(key, value) {
				return nil, false, nil
			}
		}
		value := read[i].value
		if len(*memory) > 0 && (*memory)[0].key == read[i].key {
			_, value, _ = memory.next()
		}
		if value != nil && !yield([]byte(read[i].key), value) {
			return nil, false, nil
		}
	}
	if len(read) == scanLook {
		return append(makeKey(p.n, classData, []byte(read[len(read)-1].key)), 0), true, nil
	}
	for key, value, ok := memory.next(); ok; key, value, ok = memory.next() {
		if value != nil && !yield(key, value) {
			break
		}
	}
	return nil, false, nil
}

// read calls a function that reads the backing, unless the partition is closed.
func (p *Partition) read(what func() error) error {
	p.reads.RLock()
	defer p.reads.RUnlock()
	if p.closed.Load() {
		return ErrClosed
	}
	return what()
}

// lookUp returns a key's record in the committed layers in memory; ok is false if there is none, a tombstone is a nil value.
func lookUp(dirty *layer, flying *flush, key []byte) (value []byte, ok bool) {
	if v, ok := dirty.records[string(key)]; ok {
		return v, true
	}
	if flying != nil {
		v, ok := flying.layer.records[string(key)]
		return v, ok
	}
	return nil, false
}

func (p *Partition) backingGet(key []byte) (value []byte, ok bool, err error) {
	if p.closed.Load() {
		return nil, false, ErrClosed
	}
	return p.backing.Get(makeKey(p.n, classData, key))
}

// Set makes value the key's, in the running transaction. Both are copied. An empty value, nil too, is a value.
func (p *Partition) Set(key, value []byte) error {
	if p.closed.Load() {
		return ErrClosed
	}
	p.overlay[string(key)] = copyValue(value)
	return nil
}

// Delete removes a key, in the running transaction. Deleting what is not there is lawful, and one of the transaction's writes.
func (p *Partition) Delete(key []byte) error {
	if p.closed.Load() {
		return ErrClosed
	}
	p.overlay[string(key)] = nil
	return nil
}

func copyValue(value []byte) []byte {
	return append(make([]byte, 0, len(value)), value...)
}

// DropIndexBelow says, in the running transaction, that the index entries below bound are dead: no record that is committed with it has its
// live entry there. ScanIndex leaves them out from now on; the next flush after the commit removes them from the backing. A bound
// below an earlier one changes nothing. bound is copied.
func (p *Partition) DropIndexBelow(bound []byte) {
	if string(bound) > string(p.deadBelow()) {
		p.overlayDrop = copyValue(bound)
	}
}

// deadBelow returns the bound below which the running transaction sees no index entries.
func (p *Partition) deadBelow() []byte {
	if p.overlayDrop != nil {
		return p.overlayDrop
	}
	return p.committedDrop
}

// Scan yields the records with lo <= key < hi as the running transaction sees them, in key order, until yield returns false. A nil hi is no
// bound. What it yields must not be changed and is valid until yield returns; writes made meanwhile are not seen. It costs a look at every
// record in memory (see BenchmarkScan): it is for rare work, not for each event.
func (p *Partition) Scan(lo, hi []byte, yield func(key, value []byte) bool) error {
	if p.closed.Load() {
		return ErrClosed
	}
	end := makeKey(p.n, classIndex, nil)
	if hi != nil {
		end = makeKey(p.n, classData, hi)
	}
	memory := queue(newest(p.layers(), lo, hi))
	return mergeScan(p.backing, makeKey(p.n, classData, lo), end, memory.next, yield)
}

// ScanIndex yields the index entries with from <= entry < to, in order and without doubles, until yield returns false. A nil to is no bound.
// Every record that the running transaction sees has its entry among them, unless DropIndexBelow has declared it dead; entries that no
// record has any more may be among them too: the caller checks the record. What it yields is valid until yield returns. Like Scan it costs a
// look at every record in memory.
func (p *Partition) ScanIndex(from, to []byte, yield func(entry []byte) bool) error {
	if p.closed.Load() {
		return ErrClosed
	}
	if dead := p.deadBelow(); string(from) < string(dead) {
		from = dead
	}
	end := makeKey(p.n, classEnd, nil)
	if to != nil {
		end = makeKey(p.n, classIndex, to)
	}
	memory := p.index.entries(p.layers(), from, to)
	return mergeScan(p.backing, makeKey(p.n, classIndex, from), end, memory.next, func(entry, _ []byte) bool { return yield(entry) })
}

// layers returns the layers in memory, the newest first.
func (p *Partition) layers() []*layer {
	layers := []*layer{{records: p.overlay}, p.dirty}
	if p.flying != nil {
		layers = append(layers, p.flying.layer)
	}
	return layers
}

// Writes yields the running transaction's writes in key order, a nil value for a deleted key: what goes to the changelog. It is an iterator
// (for key, value := range p.Writes). The caller may keep what it yields, and must not change the values.
func (p *Partition) Writes(yield func(key, value []byte) bool) {
	for _, w := range (&layer{records: p.overlay}).sorted() {
		if !yield([]byte(w.key), w.value) {
			return
		}
	}
}

// Commit makes the running transaction's writes committed. position is the next changelog offset, transaction markers included, that the
// state then stands for: at least the last one. With nothing written it moves the position only.
func (p *Partition) Commit(position int64) {
	p.settle()
	p.checkPosition(position)
	invariants.Assert(p.restoring == nil, "partition %d commits while it is restored", p.n)
	p.mu.Lock()
	for k, v := range p.overlay {
		p.budget.dirty.Add(p.dirty.put(k, v))
	}
	p.mu.Unlock()
	if p.overlayDrop != nil {
		p.committedDrop = p.overlayDrop
	}
	p.committed.position = position
	p.Abort()
}

// Abort drops the running transaction's writes.
func (p *Partition) Abort() {
	clear(p.overlay)
	p.overlayDrop = nil
}

// checkPosition asserts that the position does not move back. If it does the caller took one offset for another; where assertions only count,
// the lower offset is believed, as replaying too much changes nothing.
func (p *Partition) checkPosition(position int64) {
	invariants.Assert(position >= p.committed.position, "the position of partition %d moves back from %d to %d", p.n, p.committed.position, position)
}

// Position returns the next changelog offset that the backing's state stands for, and that the committed state stands for. Either may be
// NoPosition.
func (p *Partition) Position() (flushed, committed int64) {
	p.settle()
	return p.flushed.position, p.committed.position
}

// MarkAtEnd records, with the next flush, the wall time in ms since the Unix epoch until which the committed state can have missed no deletion: at which
// it was at the changelog's end, or began with nothing.
func (p *Partition) MarkAtEnd(wallMs int64) { p.committed.atEndMs = wallMs }

// AtEnd returns the last MarkAtEnd that is known, of an earlier process too; 0 if there is none.
func (p *Partition) AtEnd() (wallMs int64) { return p.committed.atEndMs }

// Discard drops everything that is not in the backing: the state is that of the flushed position again. A flush that runs is waited for.
func (p *Partition) Discard() {
	p.Abort()
	p.dropRestore()
	p.awaitFlush()
	p.mu.Lock()
	p.budget.dirty.Add(-p.dirty.bytes)
	p.dirty = newLayer()
	p.mu.Unlock()
	p.committed, p.committedDrop = p.flushed, p.flushedDrop
	p.flushErr = nil // what could not be flushed is wanted no more
}

// Release drops the running transaction, flushes, records the wall time in ms since the Unix epoch at which the partition was given up, and
// closes it: it stays on disk, for [DB.Drop] later or for its return. After an error it is closed all the same and its state is that of an
// earlier flush. A partition that was lost is discarded first.
func (p *Partition) Release(wallMs int64) error {
	p.committed.releasedMs = wallMs
	err := p.Flush()
	p.Close()
	return err
}

// Close waits for a flush that runs and gives up the partition's memory. What is not flushed is lost to the store, as in a crash. Closing
// twice is lawful.
func (p *Partition) Close() {
	if p.closed.Load() {
		return
	}
	p.closed.Store(true)
	p.reads.Lock() // the reads that run end before what they read goes; later ones find it closed
	defer p.reads.Unlock()
	p.Discard()
	p.budget.partitions.Add(-1)
	p.onClose()
}
