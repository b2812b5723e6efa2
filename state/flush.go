package state

import (
	"fmt"
	"iter"
	"sync/atomic"
)

// budget is the memory that committed records may take before they are flushed, shared by the partitions of a process.
type budget struct {
	max        int64
	dirty      atomic.Int64 // bytes that no flush has taken yet
	flying     atomic.Int64 // bytes that a flush is writing
	partitions atomic.Int64 // that are open
	restoring  atomic.Int64 // bytes that restores have gathered
	restores   atomic.Int64 // that are under way
}

// flush is one write of all that a partition has committed. Nothing in it changes once it is started but err, which is set before done is closed.
type flush struct {
	layer     *layer
	mark      mark
	deadBelow []byte
	drop      Span
	done      chan struct{}
	err       error
}

// Full reports whether the process's dirty bytes are over their bound and this partition holds at least its share of them: time for StartFlush.
// Other reasons to flush, age and changelog length, are the caller's to know.
func (p *Partition) Full() bool {
	return p.budget.dirty.Load() > p.budget.max && p.dirty.bytes*p.budget.partitions.Load() >= p.budget.max
}

// DirtyBytes returns the memory of this partition's committed records that are not in the backing yet, their bookkeeping included.
func (p *Partition) DirtyBytes() int64 {
	if p.flying != nil {
		return p.dirty.bytes + p.flying.layer.bytes
	}
	return p.dirty.bytes
}

// Flush writes all that is committed to the backing and waits until it is there. It returns the error of this flush, or of the one before
// if that was not reported yet; what could not be written is dirty still, and the next flush takes it again.
func (p *Partition) Flush() error {
	if err := p.StartFlush(); err != nil {
		return err
	}
	p.awaitFlush()
	return p.takeFlushErr()
}

// StartFlush begins to write all that is committed to the backing, in the background; the running transaction is not part of it. If the flush
// before is still running it waits for that, so that memory holds at most what two flushes take: this is where processing waits when the disk is
// slower than the events. It returns the error of the flush before, and then starts none.
func (p *Partition) StartFlush() error {
	if p.closed.Load() {
		return ErrClosed
	}
	p.awaitFlush()
	if err := p.takeFlushErr(); err != nil {
		return err
	}
	f := &flush{layer: p.dirty, mark: p.committed, deadBelow: p.committedDrop, done: make(chan struct{})}
	if string(f.deadBelow) > string(p.flushedDrop) {
		f.drop = Span{Lo: makeKey(p.n, classIndex, nil), Hi: makeKey(p.n, classIndex, f.deadBelow)}
	}
	if len(f.layer.records) == 0 && f.mark == p.flushed && f.drop.Empty() {
		return nil
	}
	p.mu.Lock()
	p.flying, p.dirty = f, newLayer()
	p.mu.Unlock()
	p.budget.flying.Add(f.layer.bytes)
	p.budget.dirty.Add(-f.layer.bytes)
	go func() {
		defer close(f.done)
		f.err = p.backing.Write(f.drop, f.writes(p.n, p.index))
	}()
	return nil
}

// Flushing reports whether a flush is running, for which the next StartFlush would wait.
func (p *Partition) Flushing() bool {
	p.settle()
	return p.flying != nil
}

// writes yields the flush's writes in the order of the backing's keys.
func (f *flush) writes(n int32, index Index) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		key := appendKey(nil, n, classMark, nil)
		if !yield(key, f.mark.encode()) {
			return
		}
		key = appendKey(key[:0], n, classData, nil)
		for _, r := range f.layer.sorted() {
			key = append(key[:prefixBytes], r.key...)
			if !yield(key, r.value) {
				return
			}
		}
		key = appendKey(key[:0], n, classIndex, nil)
		entries := index.entries([]*layer{f.layer}, f.deadBelow, nil)
		for entry, value, ok := entries.next(); ok; entry, value, ok = entries.next() {
			key = append(key[:prefixBytes], entry...)
			if !yield(key, value) {
				return
			}
		}
	}
}

// awaitFlush waits for the flush that runs, if any, and takes its outcome in.
func (p *Partition) awaitFlush() {
	if p.flying != nil {
		<-p.flying.done
		p.settle()
	}
}

// settle takes in the outcome of a flush that has ended. After a failure its records are dirty again, below those committed since.
func (p *Partition) settle() {
	f := p.flying
	if f == nil {
		return
	}
	select {
	case <-f.done:
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flying = nil
	p.budget.flying.Add(-f.layer.bytes)
	if f.err == nil {
		p.flushed, p.flushedDrop = f.mark, f.deadBelow
		return
	}
	p.flushErr = fmt.Errorf("flushing partition %d up to changelog offset %d: %w", p.n, f.mark.position, f.err)
	for k, v := range f.layer.records {
		if _, newer := p.dirty.records[k]; !newer {
			p.budget.dirty.Add(p.dirty.put(k, v))
		}
	}
}

// takeFlushErr returns the error of a failed flush, once.
func (p *Partition) takeFlushErr() error {
	err := p.flushErr
	p.flushErr = nil
	return err
}
