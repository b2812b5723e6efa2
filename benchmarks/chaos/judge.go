package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// judge ends the input, lets the pipelines finish, and compares what they told with the oracle and with the account of the input.
func (r *run) judge(ctx context.Context) error {
	records, err := r.feed.finish(ctx, r.brokers, r.inputTopics())
	if err != nil {
		return err
	}
	if err := r.awaitTheEnd(ctx); err != nil {
		return err
	}
	for _, p := range r.processes {
		if err := p.stop(); err != nil {
			r.violate("%v", err)
		}
	}
	r.print("%d records; the pipelines have committed them all and stopped: now the oracle", records)
	if err := r.runOracle(ctx); err != nil {
		return err
	}
	account, err := readAccount(ctx, r.brokers, r.options)
	if err != nil {
		return err
	}
	got, err := readStory(ctx, r.brokers, application+".", account.unread)
	if err != nil {
		return err
	}
	want, err := readStory(ctx, r.brokers, oracle+".", account.unread)
	if err != nil {
		return err
	}
	if r.staged() {
		r.print("first stage: %d events passed on, and %d marks", account.passed, account.passedMarks)
	}
	r.print("input: %d applied, %d refused, %d sent again, %d time marks", account.applied, len(account.refused), account.repeated, account.marks)
	r.print("told:  %s; digest %.16s", got.records(), got.digest.Sum())
	for _, found := range [][]string{got.differences(want), got.doubles(), account.check(got, records)} {
		r.violateAll(found)
	}
	return nil
}

// awaitTheEnd waits until the group has committed the whole input, its last time marks too.
func (r *run) awaitTheEnd(ctx context.Context) error {
	if err := r.awaitCaughtUp(ctx); err != nil || !r.staged() {
		return err
	}
	patient, cancel := context.WithTimeout(ctx, recoveryMax)
	defer cancel()
	if err := r.brokers.awaitTold(patient, r.inputTopics()); err != nil {
		return fmt.Errorf("the first stage did not tell the time that it has come to: %w", err)
	}
	return r.awaitCaughtUp(ctx)
}

// violateAll notes violations of one check, of which the first say what is wrong.
func (r *run) violateAll(found []string) {
	const shown = 12
	for _, v := range found[:min(len(found), shown)] {
		r.violate("%s", v)
	}
	if len(found) > shown {
		r.violations += len(found) - shown
		r.print("and %d more of this check", len(found)-shown)
	}
}

// runOracle runs one process over the whole input, without a proxy and without a fault. With a first stage it is given the events as they were passed on: their order
// is decided once.
func (r *run) runOracle(ctx context.Context) error {
	if err := r.createApplication(ctx, r.lull, oracle); err != nil {
		return err
	}
	read := inputTopic
	if r.staged() {
		read = eventsOf(oracle)
		if err := r.brokers.replay(ctx, r.inputTopics()); err != nil {
			return fmt.Errorf("giving the oracle what was passed on: %w", err)
		}
	}
	p, err := r.settle(r.lull, oracle, oracle, len(r.processes)+2, r.brokers.addresses())
	if err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	defer p.kill()
	patient, cancel := context.WithTimeout(ctx, catchUpMax)
	defer cancel()
	if err := r.brokers.awaitCommitted(patient, oracle, read); err != nil {
		return errors.Join(fmt.Errorf("the oracle did not come to the end of the input: %w", err), ctx.Err())
	}
	return p.stop()
}

// summarize prints the last line.
func (r *run) summarize() {
	if len(r.costs) > 0 {
		fmt.Println("\n| process | step | no commit in its partitions, s | in the others, s | partitions moved | lag at most, records | caught up after, s |\n|---|---|--:|--:|--:|--:|--:|")
		for _, c := range r.costs {
			fmt.Printf("| %s | %s | %.2f | %.2f | %d | %d | %.2f |\n", c.process.name, c.what, c.own.Seconds(), c.others.Seconds(), c.moves, c.lagMax, c.caughtUp.Seconds())
		}
		fmt.Println()
		r.print("seed %d: %d steps, %d violations", r.seed, len(r.costs), r.violations)
		return
	}
	var kinds []string
	sum := 0
	for kind, n := range r.counts {
		if n > 0 {
			sum += n
			kinds = append(kinds, fmt.Sprintf("%s %d", faultKind(kind), n))
		}
	}
	slices.Sort(r.recoveries)
	slowest, median := time.Duration(0), time.Duration(0)
	if n := len(r.recoveries); n > 0 {
		slowest, median = r.recoveries[n-1], r.recoveries[n/2]
	}
	r.print("chaos: seed %d: %d faults (%s); %d times others had committed before a process went on; all committed %.1f s after a fault (median; the slowest %.1f s); %d violations",
		r.seed, sum, strings.Join(kinds, ", "), r.overtaken, median.Seconds(), slowest.Seconds(), r.violations)
}
