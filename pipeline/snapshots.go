package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lull/pipeline/security"
)

// Snapshots are where snapshots of all customers are kept, and the way to take one: what lull snapshot does. One goroutine at a time asks them.
type Snapshots interface {
	// Newest returns when the newest whole snapshot was written; the zero time if there is none.
	Newest(ctx context.Context) (time.Time, error)
	// Take takes a snapshot of all partitions, and removes those that are kept no longer. If ctx ends before, none is there. Newest has been asked before.
	Take(ctx context.Context) (SnapshotTaken, error)
}

// SnapshotTaken is what has become of a snapshot.
type SnapshotTaken struct {
	Name    string
	Existed bool             // the same was there already: nothing was written
	Rows    map[string]int64 // by table
	Removed []string         // the names of those that are kept no longer
}

const (
	// snapshotTick is how often a process looks whether it is the one that takes snapshots.
	snapshotTick = time.Second
	// snapshotRetry is how long after one that failed the next is tried, or after snapshots.every if that is shorter.
	snapshotRetry = 5 * time.Minute
)

// scheduleSnapshots takes snapshots until ctx ends, for as long as this process has partition 0 of the topic that the tasks read: of the group's processes one has it. One that loses it meanwhile gives its snapshot up, and what it
// has written is none.
func (r *Runner) scheduleSnapshots(ctx context.Context) {
	tick := time.NewTicker(snapshotTick)
	defer tick.Stop()
	wait := func() (going bool) {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
			return true
		}
	}
	for wait() {
		if _, runs := r.first(); !runs {
			continue
		}
		taking, giveUp := context.WithCancel(ctx)
		var beside sync.WaitGroup
		beside.Go(func() { r.takeSnapshots(taking) })
		for here := true; here && wait(); { // while it is restored after a transaction that did not commit it is here too
			here, _ = r.first()
		}
		giveUp()
		beside.Wait()
		r.forgetSnapshots()
	}
}

// first reports whether partition 0 is here, and whether it runs.
func (r *Runner) first() (here, runs bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.partitions[0]
	return p != nil, p != nil && p.phase == running
}

// takeSnapshots takes one whenever it is due, until ctx ends; the first of all when this process has read what was there.
func (r *Runner) takeSnapshots(ctx context.Context) {
	if newest, err := r.newestSnapshot(ctx); err == nil && newest.IsZero() {
		r.log.Info().Dur("at_most", r.s.Snapshots.Every).Msg("the first snapshot waits until what is there has been read")
		r.catchUp(ctx)
	}
	for ctx.Err() == nil {
		next, err := r.takeIfDue(ctx)
		if ctx.Err() != nil {
			return
		}
		warning := ""
		if err != nil {
			next = min(r.s.Snapshots.Every, snapshotRetry)
			r.metrics.snapshots.WithLabelValues("failed").Inc()
			r.log.Warn().Err(security.Explain(err)).Dur("again_in", next).Msg("no snapshot was taken")
			warning = fmt.Sprintf("no snapshot was taken: %s. It is tried again every %s", security.Explain(err), next)
		}
		r.health.warnIf("snapshots", warning)
		select {
		case <-ctx.Done():
		case <-time.After(next):
		}
	}
}

// newestSnapshot returns when the newest whole snapshot was written; the zero time if there is none. It takes no longer than snapshots.every.
func (r *Runner) newestSnapshot(ctx context.Context) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.s.Snapshots.Every)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return r.machine.snapshots.Newest(ctx)
}

func panicked(p any) error { return fmt.Errorf("it panicked: %v. Report it", p) }

// catchUp waits until this process has committed what its partitions hold now, and what its feeds have passed on of that. It waits for snapshots.every at most: an end behind records that have been compacted away is never read to.
func (r *Runner) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.s.Snapshots.Every)
	defer cancel()
	tick := time.NewTicker(snapshotTick)
	defer tick.Stop()
	for range 2 { // the inputs; then the topic that feeds write to
		ends, err := r.adm.ListEndOffsets(ctx, r.consumed()...)
		for err != nil || ends.Error() != nil || !r.hasRead(ends) {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err != nil || ends.Error() != nil {
				ends, err = r.adm.ListEndOffsets(ctx, r.consumed()...)
			}
		}
	}
}

// hasRead reports whether all partitions that are here have been read up to ends, and that is committed: a snapshot has no more. One that is stopped gets no further.
func (r *Runner) hasRead(ends kadm.ListedOffsets) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.assigned) > 0 {
		return false
	}
	behind := func(p *reader, changed func() bool) bool {
		end, ok := ends.Lookup(p.topic, p.n)
		switch {
		case p.phase == stopped || !ok:
			return false
		case p.phase != running:
			return true
		}
		return p.durable < end.Offset && (changed() || p.stage.Position() < end.Offset) // a marker of a transaction that is passed over need not be committed
	}
	for _, p := range r.partitions {
		if behind(&p.reader, func() bool { return p.task.Changed() }) {
			return false
		}
	}
	for _, f := range r.feeds {
		if behind(&f.reader, f.Changed) {
			return false
		}
	}
	return true
}

// takeIfDue takes a snapshot if the newest, whoever wrote it, is older than snapshots.every, and returns how long it is until the next is due.
func (r *Runner) takeIfDue(ctx context.Context) (next time.Duration, err error) {
	every := r.s.Snapshots.Every
	limited, cancel := context.WithTimeoutCause(ctx, every, fmt.Errorf("it took longer than snapshots.every, %s: raise that", every))
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
		if cause := context.Cause(limited); err != nil && cause != nil {
			err = cause
		}
	}()
	newest, err := r.machine.snapshots.Newest(limited)
	if err != nil {
		return 0, err
	}
	r.noteSnapshot(newest)
	if left := every - time.Since(newest); left > 0 {
		return min(left, every), nil // it may have been written by a clock that was ahead
	}
	began := time.Now()
	taken, err := r.machine.snapshots.Take(limited)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	r.noteSnapshot(time.Now())
	outcome, message := "written", "a snapshot was written"
	if taken.Existed {
		outcome, message = "unchanged", "nothing has changed since the last snapshot"
	}
	r.metrics.snapshots.WithLabelValues(outcome).Inc()
	r.metrics.snapshotTook.WithLabelValues().Set(took.Seconds())
	entry := r.log.Info().Str("snapshot", taken.Name).Dur("took", took)
	for _, table := range slices.Sorted(maps.Keys(taken.Rows)) {
		r.metrics.snapshotRows.WithLabelValues(table).Set(float64(taken.Rows[table]))
		entry = entry.Int64(table, taken.Rows[table])
	}
	entry.Strs("removed", taken.Removed).Msg(message)
	return every, nil
}

// noteSnapshot notes when a snapshot was there.
func (r *Runner) noteSnapshot(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.snapshotAt = later(r.snapshotAt, at)
}

// forgetSnapshots forgets what another process tells from now on.
func (r *Runner) forgetSnapshots() {
	r.mu.Lock()
	r.snapshotAt = time.Time{}
	r.mu.Unlock()
	r.metrics.snapshotTook.Reset()
	r.metrics.snapshotRows.Reset()
	r.health.warnIf("snapshots", "")
}
