package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// exercise does under load what operators do, and prints what each step costs. prepare has installed one process, of the version before.
func (r *run) exercise(ctx context.Context) error {
	r.print("installed %s; it is upgraded to %s", r.from, r.lull)
	return r.take(ctx, r.drillSteps())
}

// drillSteps are the steps, in the order of a deployment's life: from one process to all, to the new version, through the loss of disks, and back to one.
func (r *run) drillSteps() (steps []step) {
	add := func(what string, do func(context.Context, *process) error, of ...*process) {
		for _, p := range of {
			steps = append(steps, step{what, p, do})
		}
	}
	all := r.processes
	first, second, last := all[0], all[1], all[len(all)-1]

	add("alone, nothing done", nothing, first)
	add("added", r.launch, all[1:]...)
	add("all there, nothing done", nothing, first)

	add("topics applied and checked by the new version", r.readyTopics, first)
	add("upgraded", r.replaceBy(r.lull), all...)
	add("downgraded", r.replaceBy(r.from), all...)
	add("upgraded again", r.replaceBy(r.lull), all...)

	add("disk lost, back at once with an empty one", r.replaceDisk, second)
	add("lost with its disk", r.lose, last)
	add("back with an empty disk", r.returnUntilStopped, last)

	add("taken away, with on_stop: leave", stop, last)
	for i := len(all) - 2; i > 0; i-- {
		add("taken away", stop, all[i])
	}
	return steps
}

// launch starts a process and waits until it is ready.
func (r *run) launch(ctx context.Context, p *process) error {
	if err := p.start(); err != nil {
		return err
	}
	return r.awaitReady(ctx, p)
}

// awaitReady waits until a process has all its partitions.
func (r *run) awaitReady(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, recoveryMax)
	defer cancel()
	return again(ctx, func(context.Context) error {
		if said := p.readiness(); !strings.HasPrefix(said, "200 ") {
			return fmt.Errorf("%s is not ready: %s", p.name, said)
		}
		return nil
	})
}

// readyTopics does what comes before the first process of a new version is started.
func (r *run) readyTopics(ctx context.Context, p *process) error {
	return errors.Join(
		runLull(ctx, r.lull, "config", "validate", "--config", p.config),
		runLull(ctx, r.lull, "topics", "apply", "--config", p.config),
		runLull(ctx, r.lull, "topics", "check", "--config", p.config),
	)
}

// replaceBy stops a process and starts another version in its place.
func (r *run) replaceBy(program string) func(context.Context, *process) error {
	return func(ctx context.Context, p *process) error {
		if err := p.stop(); err != nil {
			return err
		}
		p.program = program
		return r.launch(ctx, p)
	}
}

// lose ends a process as a machine does that is lost: what it kept is gone.
func (r *run) lose(_ context.Context, p *process) error {
	p.kill()
	return errors.Join(os.RemoveAll(p.stateDir), os.Mkdir(p.stateDir, 0o755))
}

// replaceDisk is a loss after which the process is started again within its session.
func (r *run) replaceDisk(ctx context.Context, p *process) error {
	if err := r.lose(ctx, p); err != nil {
		return err
	}
	return r.launch(ctx, p)
}

// returnUntilStopped starts a process that leaves its group when it is stopped.
func (r *run) returnUntilStopped(ctx context.Context, p *process) error {
	file, err := os.OpenFile(p.config, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString("on_stop: leave\n")
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return r.launch(ctx, p)
}

// stop stops a process for good.
func stop(_ context.Context, p *process) error { return p.stop() }
