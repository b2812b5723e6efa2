package state

import "fmt"

// restoring is a restore under way.
type restoring struct {
	run    run
	next   int64 // the changelog offset after the run's last record
	tables int   // written so far
	err    error // of writing a table: there is nothing left to go on with
}

// tailBytesMax is how much of a changelog's tail stays in memory when a restore has ended, to be flushed with what follows. A table of its own
// would cost three syncs, as long as the rest of a restart.
const tailBytesMax = 4 << 20

// crowdedShare is which part of Options.DirtyBytesMax a restore gathers at least before it writes a table because all of them together hold too much.
const crowdedShare = 16

// Restore applies one committed changelog record, a nil value for a tombstone, outside of any transaction; next is the offset after it. Both
// slices are copied. What is restored is seen when EndRestore has returned.
//
// The records are gathered, and written as one sorted table when the process's restores hold twice Options.DirtyBytesMax: so much, and a sixteenth of it for
// each restore, is what all of them take together, however much there is to restore; it is what two flushes may take. Each table stands for the changelog up
// to its position, so that a restore that is broken off, by a kill too, goes on from there. The errors are those of writing it.
func (p *Partition) Restore(key, value []byte, next int64) error {
	if p.closed.Load() {
		return ErrClosed
	}
	r := p.restoring
	if r == nil {
		p.settle()
		r = &restoring{next: p.committed.position}
		p.restoring = r
		p.budget.restores.Add(1)
	}
	if r.err != nil {
		return r.err
	}
	p.checkPosition(next)
	before := r.run.bytes
	r.run.put(key, value)
	r.next = next
	p.budget.restoring.Add(r.run.bytes - before)
	share := r.run.bytes*p.budget.restores.Load() >= 2*p.budget.max
	// Who began when there were fewer restores may hold more than a share, and wait: then the others write theirs as soon as it is worth a table.
	crowded := p.budget.restoring.Load() >= 2*p.budget.max && r.run.bytes >= p.budget.max/crowdedShare
	if !share && !crowded {
		return nil
	}
	return p.writeRun()
}

// EndRestore ends a restore, whether the changelog's end was reached or not: the partition's records are those of the changelog below next,
// which is at least what Restore was last told: it may have passed markers. Without a restore under way it moves the position only. After an error
// what has not been written is dropped, and the state is that of an earlier position.
func (p *Partition) EndRestore(next int64) error {
	if p.closed.Load() {
		return ErrClosed
	}
	p.settle()
	r := p.restoring
	switch {
	case r == nil:
		p.checkPosition(next)
		p.committed.position = next
		return nil
	case r.err != nil:
		p.dropRestore()
		return r.err
	}
	p.checkPosition(next)
	r.next = next
	if r.tables > 0 || r.run.bytes > min(tailBytesMax, p.budget.max) {
		err := p.writeRun()
		p.dropRestore()
		return err
	}
	p.mu.Lock()
	for key, value := range r.run.all {
		if value != nil {
			value = copyValue(value)
		}
		p.budget.dirty.Add(p.dirty.put(string(key), value))
	}
	p.mu.Unlock()
	p.committed.position = next
	p.dropRestore()
	if p.Full() {
		return p.StartFlush()
	}
	return nil
}

// writeRun writes what a restore has gathered. What the partition has committed in memory is older, and would hide it: it goes first.
func (p *Partition) writeRun() error {
	r := p.restoring
	r.err = p.Flush()
	m := p.committed
	m.position = r.next
	if r.err == nil {
		r.err = p.backing.Write(Span{}, r.run.writes(p.n, m, p.index, p.committedDrop))
	}
	if r.err != nil {
		r.err = fmt.Errorf("restoring partition %d up to changelog offset %d: %w", p.n, r.next, r.err)
		return r.err
	}
	p.committed, p.flushed = m, m
	p.budget.restoring.Add(-r.run.bytes)
	r.run, r.tables = run{}, r.tables+1
	return nil
}

// dropRestore forgets what a restore has gathered and not written.
func (p *Partition) dropRestore() {
	if r := p.restoring; r != nil {
		p.budget.restoring.Add(-r.run.bytes)
		p.budget.restores.Add(-1)
		p.restoring = nil
	}
}
