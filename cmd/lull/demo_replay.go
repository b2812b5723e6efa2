package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// replayed says how the replay went.
type replayed struct {
	rows, marks int64
	took        time.Duration // from before the first record to the last commit
}

// replay sends the log and the time marks into the input topic, and kills the pipeline meanwhile. It returns when the pipeline has committed the end of
// every partition: then it has fired all that the marks released, for only after that does it commit a mark.
func (d *demo) replay(ctx context.Context, rows int64) (replayed, error) {
	client, err := newClient(ctx, &d.settings, produceOptions()...)
	if err != nil {
		return replayed{}, err
	}
	defer client.Close()
	reader, err := d.rows()
	if err != nil {
		return replayed{}, err
	}
	w := &watch{
		d: d, adm: kadm.NewClient(client), rows: rows, total: rows + demoPartitions, random: rand.New(rand.NewPCG(d.seed, 0)),
		bar: newProgress(d.err, rows+demoPartitions, "replaying rows", progressbar.OptionShowCount()),
	}
	var before func(context.Context) error
	if d.kills > 0 {
		// Every kill must hit a process that has work: the log is sent only a little ahead of what has been committed.
		w.ahead = max(1, rows/int64(4*d.kills))
		w.sending = semaphore.NewWeighted(w.ahead)
		before = func(ctx context.Context) error { return w.sending.Acquire(ctx, 1) }
		w.planKills(d.kills)
	}
	began := time.Now()
	work, workCtx := errgroup.WithContext(ctx)
	work.Go(func() error {
		if err := sendRows(workCtx, client, d.settings.Input.Topic, reader, before, &sendResult{}); err != nil {
			return err
		}
		_, err := sendTimeMarks(workCtx, &d.settings, d.settings.Input.Topic, demoEnd)
		return err
	})
	work.Go(func() error { return w.run(workCtx) })
	if err := work.Wait(); err != nil {
		return replayed{}, err
	}
	return replayed{rows: rows, marks: demoPartitions, took: time.Since(began)}, nil
}

// watch follows what the pipeline commits, and kills it at the planned moments.
type watch struct {
	d           *demo
	adm         *kadm.Client
	rows, total int64 // records of the log; with the time marks
	random      *rand.Rand
	bar         *progressbar.ProgressBar

	ahead   int64 // how many records are sent before what was sent has been committed; 0: no limit
	sending *semaphore.Weighted
	freed   int64   // of sending
	kills   []int64 // how much must have been committed for each kill that is left
}

// planKills spreads the kills over the replay: one at a random moment of each of n equal parts.
func (w *watch) planKills(n int) {
	part := w.rows / int64(n)
	for i := range int64(n) {
		// Not in the last quarter of its part, so that records are still to come when the kill is due.
		w.kills = append(w.kills, i*part+w.random.Int64N(max(1, part*3/4)))
	}
}

// run returns when all has been committed.
func (w *watch) run(ctx context.Context) error {
	defer func() { _ = w.bar.Finish() }() // the bar is decoration
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	committed, restarted, moved := int64(0), int64(-1), time.Now()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if err := w.d.process.check(); err != nil {
			return err
		}
		now, err := w.committed(ctx)
		if err != nil {
			return err
		}
		if now > committed {
			committed, moved = now, time.Now()
			w.free(committed)
			_ = w.bar.Set64(committed) // decoration
		}
		if committed == w.total {
			if len(w.kills) > 0 {
				return fmt.Errorf("the replay has ended %d kills too early: %d rows are too few for %d kills", len(w.kills), w.rows, w.d.kills)
			}
			return nil
		}
		if patience := w.d.process.patience; time.Since(moved) > patience {
			return fmt.Errorf("the pipeline has committed nothing for %s, at %d of %d records%s", patience, committed, w.total, w.d.process.logTail())
		}
		// The process that was started last has committed something: it is at work.
		if len(w.kills) > 0 && committed >= w.kills[0] && committed > restarted {
			if err := w.kill(ctx); err != nil {
				return err
			}
			if restarted, err = w.committed(ctx); err != nil {
				return err
			}
		}
	}
}

// committed returns how many records of the input topic the pipeline has committed.
func (w *watch) committed(ctx context.Context) (int64, error) {
	offsets, err := w.adm.FetchOffsets(ctx, w.d.settings.Group)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("asking for the offsets of group %q: %w", w.d.settings.Group, err)
	}
	sum := int64(0)
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == w.d.settings.Input.Topic && o.At > 0 {
			sum += o.At
		}
	})
	return sum, nil
}

// free lets as many records be sent as have been committed.
func (w *watch) free(committed int64) {
	if w.sending == nil {
		return
	}
	w.sending.Release(min(committed, w.rows) - w.freed)
	w.freed = min(committed, w.rows)
}

// kill kills the process at a random moment of its cycle, and starts it again.
func (w *watch) kill(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(w.random.Int64N(int64(w.d.settings.Commit.Interval)))):
	}
	if err := w.d.process.check(); err != nil {
		return err
	}
	w.d.process.kill()
	w.kills = w.kills[1:]
	at, err := w.committed(ctx)
	if err != nil {
		return errors.Join(err, w.d.process.start())
	}
	_ = w.bar.Clear() // decoration
	fmt.Fprintf(w.d.err, "kill %d of %d (--seed %d): SIGKILL at %d of %d records\n", w.d.kills-len(w.kills), w.d.kills, w.d.seed, at, w.total)
	return w.d.process.start()
}
