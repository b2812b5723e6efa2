package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

const (
	// sampleEvery is how often the group's progress is looked at: a pause is known to as much as lies between two looks.
	sampleEvery = 50 * time.Millisecond
	// settled is how long all runs undisturbed before the next restart.
	settled = 5 * time.Second
)

// manner is a way to restart a process.
type manner struct {
	name string
	// leaves: it leaves the group when it has stopped, as a member does that is no static one.
	leaves bool
	away   time.Duration // from its end to its start
}

var manners = []manner{
	{name: "static, back at once"},
	{name: "not static, back at once", leaves: true},
	{name: "static, away past its session", away: sessionTimeout + 2*second},
}

// roll restarts the processes one after the other, in each manner, and prints what each restart costs.
func (r *run) roll(ctx context.Context) error {
	steps := []step{{"not restarted", r.processes[0], nothing}}
	for _, m := range manners {
		for _, p := range r.processes {
			steps = append(steps, step{m.name, p, func(ctx context.Context, p *process) error { return r.restart(ctx, p, m) }})
		}
	}
	return r.take(ctx, steps)
}

func nothing(context.Context, *process) error { return nil }

// restart stops a process by SIGTERM and starts it again.
func (r *run) restart(ctx context.Context, p *process, m manner) error {
	if err := p.stop(); err != nil {
		r.violate("%v", err)
	}
	if m.leaves {
		if err := r.brokers.leave(ctx, application, p.name); err != nil {
			return err
		}
	}
	if !pause(ctx, m.away) {
		return ctx.Err()
	}
	return p.start()
}

// step is something that is done with a process.
type step struct {
	what    string
	process *process
	do      func(ctx context.Context, p *process) error
}

// cost is what a step did to the commits of the group.
type cost struct {
	step
	own, others time.Duration // the longest time that a partition of the process, before the step or after it, and one of the others had no commit though there were records
	moves       int           // how often a partition went to another process
	lagMax      int64         // of all partitions together
	caughtUp    time.Duration // from the step's begin until all is committed that was there when it was done
}

// take takes the steps one after the other.
func (r *run) take(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := r.measure(ctx, s); err != nil {
			return fmt.Errorf("%s, %s: %w", s.process.name, s.what, err)
		}
	}
	return nil
}

// measure takes a step, and notes and prints what became of the group's commits.
func (r *run) measure(ctx context.Context, s step) error {
	if !pause(ctx, settled) {
		return ctx.Err()
	}
	before, err := r.brokers.owners(ctx, application, inputTopic)
	if err != nil {
		return err
	}
	w, err := startWatch(ctx, r.brokers)
	if err != nil {
		return err
	}
	began := time.Now()
	if err = s.do(ctx, s.process); err == nil {
		err = r.awaitCaughtUp(ctx)
	}
	caughtUp := time.Since(began)
	pause(ctx, settled) // rebalances go on after that
	if err := errors.Join(err, ctx.Err(), w.stop()); err != nil {
		return err
	}
	after, err := r.brokers.owners(ctx, application, inputTopic)
	if err != nil {
		return err
	}
	c := cost{step: s, moves: w.moves, lagMax: w.lagMax, caughtUp: caughtUp}
	for n, longest := range w.pauses {
		if before[n] == s.process.name || after[n] == s.process.name {
			c.own = max(c.own, longest)
		} else {
			c.others = max(c.others, longest)
		}
	}
	r.costs = append(r.costs, c)
	r.print("%-5s  %-45s  no commit for at most %5.2f s in its partitions, %5.2f s in the others; %2d partitions moved; lag at most %5d records; "+
		"caught up after %5.2f s; looked at most %4.2f s apart", s.process.name, s.what, c.own.Seconds(), c.others.Seconds(), c.moves, c.lagMax, c.caughtUp.Seconds(), w.apart.Seconds())
	return nil
}

// watch looks at the progress of the group.
type watch struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
	// What follows is read after stop.
	pauses map[int32]time.Duration // by partition: the longest time without a commit while there were records
	lagMax int64                   // of all partitions together
	moves  int                     // how often a partition went to another process
	apart  time.Duration           // the longest time between two looks
	err    error
}

// startWatch begins to look.
func startWatch(ctx context.Context, b *brokers) (*watch, error) {
	ctx, cancel := context.WithCancel(ctx)
	w := &watch{cancel: cancel, pauses: make(map[int32]time.Duration)}
	committed, last := make(map[int32]int64), make(map[int32]time.Time)
	owner, err := b.owners(ctx, application, inputTopic)
	if err != nil {
		cancel()
		return nil, err
	}
	w.work.Go(func() {
		for looked := time.Now(); w.err == nil && pause(ctx, sampleEvery); looked = time.Now() {
			w.err = w.sample(ctx, b, committed, last, owner)
			w.apart = max(w.apart, time.Since(looked))
		}
		if ctx.Err() != nil {
			w.err = nil
		}
	})
	return w, nil
}

// stop ends it. The error is the broker's.
func (w *watch) stop() error {
	w.cancel()
	w.work.Wait()
	return w.err
}

// sample looks once. committed and last are the offsets seen before and since when they stand still though there is something to commit.
func (w *watch) sample(ctx context.Context, b *brokers, committed map[int32]int64, last map[int32]time.Time, owner map[int32]string) error {
	ends, err := b.ends(ctx, inputTopic)
	if err != nil {
		return err
	}
	offsets, err := b.adm.FetchOffsets(ctx, application)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return err
	}
	now, lag := time.Now(), int64(0)
	ends.Each(func(end kadm.ListedOffset) {
		n := end.Partition
		at, _ := offsets.Lookup(inputTopic, n)
		lag += end.Offset - at.At
		if at.At > committed[n] || at.At >= end.Offset {
			committed[n], last[n] = at.At, now
		}
		w.pauses[n] = max(w.pauses[n], now.Sub(last[n]))
	})
	w.lagMax = max(w.lagMax, lag)
	owners, err := b.owners(ctx, application, inputTopic)
	if err != nil {
		return err
	}
	for n, name := range owners {
		if owner[n] != name { // a partition that nobody has is not among them
			owner[n] = name
			w.moves++
		}
	}
	return nil
}

// owners returns the instance id of the member that each partition of a topic is assigned to.
func (b *brokers) owners(ctx context.Context, group, topic string) (map[int32]string, error) {
	owners := make(map[int32]string)
	err := again(ctx, func(ctx context.Context) error {
		described, err := b.adm.DescribeGroups(ctx, group)
		if err == nil {
			err = described.Error()
		}
		if err != nil {
			return err
		}
		for _, m := range described[group].Members {
			assigned, ok := m.Assigned.AsConsumer()
			if !ok || m.InstanceID == nil {
				continue
			}
			for _, t := range assigned.Topics {
				for _, n := range t.Partitions {
					if t.Topic == topic {
						owners[n] = *m.InstanceID
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("asking for the members of group %s: %w", group, err)
	}
	return owners, nil
}

// leave takes a static member out of its group.
func (b *brokers) leave(ctx context.Context, group, instance string) error {
	err := again(ctx, func(ctx context.Context) error {
		left, err := b.adm.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(instance))
		if err == nil {
			err = left.Error()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("taking %s out of group %s: %w", instance, group, err)
	}
	return nil
}
