package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"lull/operators"
)

// freshEvents are those that wait for who restores.
const freshEvents = 2000

// later is what a generator makes after an instant.
type later struct {
	g     *Generator
	after operators.EventTime
}

// Next implements source.
func (l *later) Next(into *operators.Event) (ok bool) {
	for l.g.Next(into) {
		if into.Time > l.after {
			return true
		}
	}
	return false
}

// restores takes the state folders away of what has a state, and starts all of them again in turn, as often as asked for, with the same new events waiting. Then what they have written must still be the same.
func (r *peersRun) restores() error {
	fresh := &later{r.events, r.silent(r.input.last)}
	last := r.runs - 1
	for n := range r.restore {
		if _, err := r.b.produce(r.ctx, r.topic, fresh, freshEvents); err != nil {
			return err
		}
		for _, c := range r.contenders {
			if !c.stateful {
				continue
			}
			fmt.Fprintf(os.Stderr, "restore %d of %d: %s\n", n+1, r.restore, c.name)
			if err := r.restoreOne(c, last); err != nil {
				return fmt.Errorf("restoring %s: %w", c.name, err)
			}
		}
	}
	return r.compare(last)
}

// restoreOne starts a contender without its folder, and goes on until it has committed the end of the input. Nobody may be left in its group: Kafka Streams does not leave it, and would wait for who is gone.
func (r *peersRun) restoreOne(c *contender, run int) error {
	s := r.application(c, run)
	watched := r.scenario
	watched.settings, watched.topic = *s, s.Input.Topic
	if err := watched.awaitNobody(); err != nil {
		return err
	}
	if err := os.RemoveAll(s.State.Dir); err != nil {
		return err
	}
	before, err := watched.settled()
	if err != nil {
		return err
	}
	began := time.Now()
	process, err := c.start(s)
	if err != nil {
		return err
	}
	defer process.kill()
	h, err := watched.awaitNew(process, began, before, allPartitions)
	if err != nil {
		return err
	}
	if err := watched.awaitEnd(process); err != nil {
		return err
	}
	if h.used, err = processUsage(process.cmd.Process.Pid); err != nil {
		return err
	}
	if err := process.end(); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %.2f s, all partitions %.2f s\n", c.name, h.first.Seconds(), h.all.Seconds())
	c.restores = append(c.restores, h)
	return os.RemoveAll(s.State.Dir)
}

// awaitNobody waits until the group has no members: those that have not left it are given up after their session timeout.
func (s *scenario) awaitNobody() error {
	for {
		groups, err := s.b.adm.DescribeGroups(s.ctx, s.settings.Group)
		if err == nil {
			err = groups.Error()
		}
		if err != nil {
			return fmt.Errorf("asking for the members of group %q: %w", s.settings.Group, err)
		}
		if len(groups[s.settings.Group].Members) == 0 {
			return nil
		}
		select {
		case <-s.ctx.Done():
			return errors.Join(s.ctx.Err(), fmt.Errorf("group %q still has members", s.settings.Group))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
