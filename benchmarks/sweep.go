package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/task"
)

// sweepArgument makes this program measure what a new model costs live events.
const sweepArgument = "sweep"

// sweepRun is a scenario: customers buy at a steady rate while a new model reaches everybody.
type sweepRun struct {
	liveRun
	kill bool

	sweeps []*sweepOutcome
	atEnd  measured // by the last process
}

// sweepOutcome is what became of one sweep.
type sweepOutcome struct {
	model     *operators.Model
	adoption  adoption
	took      time.Duration // from the publication of the model until every partition had ended
	quiet     *phase        // that came before it
	during    *phase
	killed    bool
	killedAt  int // customers of the new model at the SIGKILL, by the rows that had been seen
	sweptThen int // by the process that was killed, as it last told
	sweptNow  int // by the process that ended the sweep
	cursors   cursors
}

// runSweep runs the scenario and prints the report.
func runSweep(arguments []string) error {
	var r sweepRun
	flags := flag.NewFlagSet("benchmarks sweep", flag.ExitOnError)
	r.liveFlags(flags, "sweep")
	flags.BoolVar(&r.kill, "kill", false, "afterwards, let one more come and kill the process by SIGKILL in the midst of that sweep")
	r.flags(flags)
	r.profileFlag(flags, "the process, from its start after the state was made until it ends or is killed")
	_ = flags.Parse(arguments) // it exits
	if err := r.check(flags); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return r.within(r.run)
}

func (r *sweepRun) run() (err error) {
	load := loadAverage()
	if err := r.fill(&model); err != nil {
		return err
	}
	if err := r.start(startChild(&job{Settings: r.settings, ProfileDir: r.profileDir})); err != nil {
		return err
	}
	defer func() { r.child.kill() }() // not the child of now
	if r.live, err = startLoad(&r.scenario, r.buyers(), r.rate); err != nil {
		return err
	}
	defer r.live.abandon()
	if err := r.measure(); err != nil {
		return err
	}
	if err := r.live.stop(); err != nil {
		return err
	}
	if r.atEnd, err = r.child.stop(); err != nil {
		return err
	}
	for _, o := range r.sweeps {
		if o.cursors, err = r.readCursors(o.model.Ref()); err != nil {
			return err
		}
	}
	return r.print(os.Stdout, load)
}

// measure goes through the phases.
func (r *sweepRun) measure() error {
	if err := r.rest("", r.warmUp); err != nil {
		return err
	}
	if err := r.rest("quiet", r.quiet); err != nil {
		return err
	}
	for n := range r.runs {
		if err := r.sweep("sweep", refitted(n), nil); err != nil {
			return err
		}
		if err := r.rest("quiet", r.quiet); err != nil {
			return err
		}
	}
	if !r.kill {
		return nil
	}
	return r.sweep("sweep, SIGKILL in its midst", refitted(r.runs), r.restart)
}

// refitted returns the n-th model that comes, from 0: as of fits to a shop that goes to and fro.
func refitted(n int) *operators.Model {
	m := model
	m.Version = fmt.Sprint("refitted-", n+1)
	if n%2 == 0 {
		m.R, m.Alpha, m.A, m.B = 1.05*m.R, 1.1*m.Alpha, 0.95*m.A, 1.02*m.B
	} else {
		m.R, m.Alpha, m.A = 0.97*m.R, 1.05*m.Alpha, 1.05*m.A
	}
	return &m
}

// restart kills the process when half of the customers are of the new model, and starts it again.
func (r *sweepRun) restart(o *sweepOutcome) error {
	if err := await(&r.liveRun, r.live.half()); err != nil {
		return err
	}
	last, err := r.scrape()
	if err != nil {
		return err
	}
	r.child.kill()
	o.during.add(last)
	o.during.since = metrics{} // the next process counts from 0
	o.killed, o.killedAt, o.sweptThen = true, r.live.adoption().customers, int(o.during.spent.sum(sweptCustomers))
	fmt.Fprintf(os.Stderr, "killed with %d customers of the new model\n", o.killedAt)
	return r.start(startChild(&job{Settings: r.settings}))
}

// sweep publishes a model and measures until every customer's row is of it and every partition has ended its walk. midst is called when the model has been
// published; nil is nothing.
func (r *sweepRun) sweep(name string, m *operators.Model, midst func(*sweepOutcome) error) error {
	o := &sweepOutcome{model: m, quiet: r.phases[len(r.phases)-1]}
	r.sweeps = append(r.sweeps, o)
	all := r.live.expect(m.Version)
	var err error
	if o.during, err = r.begin(name); err != nil {
		return err
	}
	began := time.Now()
	if err := r.b.putModel(r.ctx, &r.settings, m); err != nil {
		return err
	}
	if midst != nil {
		if err := midst(o); err != nil {
			return err
		}
	}
	if err := await(&r.liveRun, all); err != nil {
		return err
	}
	err = r.until(func() (bool, error) {
		now, err := r.scrape()
		return err == nil && now.sum("lull_sweep_running") == 0, err
	})
	if err != nil {
		return err
	}
	o.took, o.adoption = time.Since(began), r.live.adoption()
	if err := r.end(o.during); err != nil {
		return err
	}
	o.sweptNow = int(o.during.spent.sum(sweptCustomers)) - o.sweptThen
	return nil
}

// cursors is how far a sweep had come, by the transactions that the changelog holds.
type cursors struct {
	seen int // that the walk had got on by
	back int // of these, that fell behind one before
}

// readCursors reads how the walk to a model got on.
func (r *sweepRun) readCursors(ref uint32) (c cursors, err error) {
	last := make(map[int32]task.Sweep)
	var broken error
	err = r.b.read(r.ctx, r.settings.Topic(pipeline.ChangelogTopic), func(record *kgo.Record) {
		if string(record.Key) != string(task.MetaKey) {
			return
		}
		meta, err := task.DecodeMeta(record.Value)
		broken = errors.Join(broken, err)
		now, before := meta.Sweep, last[record.Partition]
		if now.Ref != ref || now == before {
			return
		}
		c.seen++
		if before.Ref == ref && (before.Done || !now.Done && now.After < before.After) {
			c.back++
		}
		last[record.Partition] = now
	})
	for n, s := range last {
		if s.Ref == ref && !s.Done {
			broken = errors.Join(broken, fmt.Errorf("the walk of partition %d to its end is not in the changelog", n))
		}
	}
	return c, errors.Join(err, broken)
}
