package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lull/pipeline"
)

// restoreArgument makes this program measure restores and hand-overs.
const restoreArgument = "restore"

// restoreRun is a scenario: a process that has a state loses its folder, is killed, or leaves its partitions to another.
type restoreRun struct {
	scenario
	generator GeneratorConfig // Events fill the state; what comes later is load
	runs      int
	tail      int // events that a killed process has applied since it last had a rest
	rate      int // events a second while processes are killed
	session   time.Duration

	events    *Generator
	filled    time.Duration // what making the state took
	changelog int64         // offsets that the state took
	results   map[string][]handOver
}

// The starts that are measured.
const (
	coldStart = "cold start, state folder gone"
	inPlace   = "restart in place after SIGKILL"
	takeOver  = "take-over of a killed process's partitions"
)

// runRestore runs the scenario and prints the report.
func runRestore(arguments []string) error {
	r := restoreRun{generator: GeneratorConfig{Start: shopOpens}, results: make(map[string][]handOver)}
	flags := flag.NewFlagSet("benchmarks restore", flag.ExitOnError)
	flags.Uint64Var(&r.generator.Seed, "seed", 1, "seed of the generator")
	flags.IntVar(&r.generator.Customers, "customers", 200_000, "number of customers")
	flags.IntVar(&r.generator.Events, "events", 0, "number of events that make the state (default 25 for each customer)")
	flags.IntVar(&r.runs, "runs", 3, "how often each start is measured")
	flags.IntVar(&r.tail, "tail", 200_000, "number of events that a process has applied without a flush when it is killed")
	flags.IntVar(&r.rate, "rate", 2000, "events a second while processes are killed")
	flags.DurationVar(&r.session, "session", 10*time.Second, "session timeout")
	r.flags(flags)
	r.profileFlag(flags, "the last cold start")
	_ = flags.Parse(arguments) // it exits
	if flags.NArg() > 0 || r.runs < 1 {
		return errors.New("restore: no arguments but flags, and -runs of at least 1")
	}
	if r.generator.Events == 0 {
		r.generator.Events = 25 * r.generator.Customers
	}
	return r.within(r.run)
}

func (r *restoreRun) run() error {
	load := loadAverage()
	if err := r.fill(); err != nil {
		return err
	}
	for n := range r.runs {
		fmt.Fprintf(os.Stderr, "run %d of %d\n", n+1, r.runs)
		if err := errors.Join(r.coldStart(), r.restartInPlace(), r.takeOver()); err != nil {
			return err
		}
	}
	return r.print(os.Stdout, load)
}

// fill makes the state, by running the pipeline over events.
func (r *restoreRun) fill() error {
	r.name()
	r.settings.Commit.SessionTimeout = r.session
	var err error
	if r.events, err = newEndless(r.generator); err != nil {
		return err
	}
	if err := r.create(&model); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "producing %d events\n", r.generator.Events)
	if _, err := r.b.produce(r.ctx, r.topic, r.events, r.generator.Events); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "making the state")
	c, err := startChild(&job{Settings: r.settings})
	if err != nil {
		return err
	}
	defer c.kill()
	began := time.Now()
	if err := r.awaitEnd(c); err != nil {
		return err
	}
	r.filled = time.Since(began)
	if _, err := c.stop(); err != nil {
		return err
	}
	ends, err := r.b.adm.ListEndOffsets(r.ctx, r.settings.Topic(pipeline.ChangelogTopic))
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the end of the changelog: %w", err)
	}
	ends.Each(func(o kadm.ListedOffset) { r.changelog += o.Offset })
	return nil
}

// load produces events at the rate until stop is called.
func (r *restoreRun) load() (stop func() error) {
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error, 1)
	go func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-ticker.C:
			}
			if _, err := r.b.produce(r.ctx, r.topic, r.events, max(1, r.rate/50)); err != nil {
				done <- err
				return
			}
		}
	}()
	return func() error {
		cancel()
		return <-done
	}
}

// coldStart starts a process without a state folder.
func (r *restoreRun) coldStart() error {
	if err := os.RemoveAll(r.settings.State.Dir); err != nil {
		return err
	}
	before, err := r.settled()
	if err != nil {
		return err
	}
	if _, err := r.b.produce(r.ctx, r.topic, r.events, 2000); err != nil {
		return err
	}
	began := time.Now()
	c, err := startChild(&job{Settings: r.settings, ProfileDir: r.profileDir})
	if err != nil {
		return err
	}
	defer c.kill()
	h, err := r.awaitNew(c, began, before, allPartitions)
	if err != nil {
		return err
	}
	if err := r.awaitEnd(c); err != nil {
		return err
	}
	return r.took(coldStart, c, h)
}

// took stops the process and keeps the result.
func (r *restoreRun) took(what string, c *child, h handOver) error {
	m, err := c.stop()
	if err != nil {
		return err
	}
	h.used = m.CaughtUp
	for line := range bytes.Lines(c.log.Bytes()) {
		var entry struct {
			Message   string
			From, End int64
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			return fmt.Errorf("reading the log of the child: %w", err)
		}
		if entry.Message == "restored from the changelog" {
			h.offsets += entry.End - entry.From
		}
	}
	fmt.Fprintf(os.Stderr, "%s: %.2f s, all partitions %.2f s, %d changelog offsets\n", what, h.first.Seconds(), h.all.Seconds(), h.offsets)
	r.results[what] = append(r.results[what], h)
	return nil
}

// restartInPlace kills a process at work and starts it again.
func (r *restoreRun) restartInPlace() error {
	victim, err := startChild(&job{Settings: r.settings})
	if err != nil {
		return err
	}
	defer victim.kill()
	if _, err := r.b.produce(r.ctx, r.topic, r.events, r.tail); err != nil {
		return err
	}
	if err := r.awaitEnd(victim); err != nil {
		return err
	}
	stop := r.load()
	time.Sleep(time.Second)
	victim.kill()
	before, err := r.settled()
	if err != nil {
		return errors.Join(err, stop())
	}
	began := time.Now()
	c, err := startChild(&job{Settings: r.settings})
	if err != nil {
		return errors.Join(err, stop())
	}
	defer c.kill()
	h, err := r.awaitNew(c, began, before, allPartitions)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	if err := r.awaitEnd(c); err != nil {
		return err
	}
	return r.took(inPlace, c, h)
}

// takeOver lets two processes share the partitions and kills one.
func (r *restoreRun) takeOver() (err error) {
	first, err := startChild(&job{Settings: r.settings})
	if err != nil {
		return err
	}
	defer first.kill()
	stop := r.load()
	defer func() { err = errors.Join(err, stop()) }()
	other := r.settings
	other.Instance, other.State.Dir = "other", filepath.Join(r.work, "other")
	defer func() { err = errors.Join(err, os.RemoveAll(other.State.Dir)) }()
	second, err := startChild(&job{Settings: other})
	if err != nil {
		return err
	}
	defer second.kill()
	owned, err := r.awaitShared(first, other.Instance)
	if err != nil {
		return err
	}
	before, err := r.committed()
	if err != nil {
		return err
	}
	if _, err := r.awaitNew(second, time.Now(), before, allPartitions); err != nil {
		return err
	}
	began := time.Now()
	second.kill()
	if before, err = r.settled(); err != nil {
		return err
	}
	h, err := r.awaitNew(first, began, before, owned)
	if err != nil {
		return err
	}
	return r.took(takeOver, first, h)
}

// awaitShared waits until an instance owns half of the partitions, and returns them.
func (r *restoreRun) awaitShared(c *child, instance string) (owned []int32, err error) {
	for {
		groups, err := r.b.adm.DescribeGroups(r.ctx, r.settings.Group)
		if err == nil {
			err = groups.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("asking for the members of group %q: %w", r.settings.Group, err)
		}
		group := groups[r.settings.Group]
		for _, m := range group.Members {
			assigned, ok := m.Assigned.AsConsumer()
			if !ok || m.InstanceID == nil || *m.InstanceID != instance || group.State != "Stable" {
				continue
			}
			for _, t := range assigned.Topics {
				if len(t.Partitions) == partitions/2 {
					return slices.Clone(t.Partitions), nil
				}
			}
		}
		select {
		case <-r.ctx.Done():
			return nil, r.ctx.Err()
		case <-c.ended:
			return nil, fmt.Errorf("a process has ended by itself: %w", c.err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
