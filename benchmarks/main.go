// Command benchmarks measures what the pipeline costs: it fills the input topic of an embedded broker with made-up events, lets the pipeline, in a
// process of its own, catch up with them, and prints what that process used by the operating system's accounting. README.md says how to repeat it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"lull/pipeline"
)

// childArgument makes this program a child; it takes no other arguments then.
const childArgument = "child"

// options are the command line's.
type options struct {
	generator  GeneratorConfig
	runs       int
	dir        string
	profileDir string
}

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == childArgument:
		exit(runChild())
	case len(os.Args) > 1 && os.Args[1] == restoreArgument:
		exit(runRestore(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == growthArgument:
		exit(runGrowth(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == sweepArgument:
		exit(runSweep(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == snapshotArgument:
		exit(runSnapshot(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == peersArgument:
		exit(runPeers(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == plotsArgument:
		exit(runPlots(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == guardArgument:
		exit(runGuard(os.Args[2:]))
	}
	o := options{generator: GeneratorConfig{Start: shopOpens}}
	flag.Uint64Var(&o.generator.Seed, "seed", 1, "seed of the generator")
	flag.IntVar(&o.generator.Events, "events", 500_000, "number of events")
	flag.IntVar(&o.generator.Customers, "customers", 20_000, "number of customers")
	flag.Float64Var(&o.generator.Zipf, "zipf", 0, "exponent of the customers' activity by rank; 0: exponentially distributed activity")
	flag.Int64Var(&o.generator.DisorderMs, "disorder", 0, "how late an event may come, in `milliseconds`")
	flag.IntVar(&o.runs, "runs", 3, "how often the pipeline and the floor are run, in turn")
	flag.StringVar(&o.dir, "dir", "", "existing `folder` below which the data of the run are kept meanwhile (default that for temporary files)")
	flag.StringVar(&o.profileDir, "profile", "", "existing `folder` for a CPU and an allocation profile of the pipeline's last run; profiling costs time itself")
	flag.Parse()
	if flag.NArg() > 0 || o.runs < 1 {
		fmt.Fprintln(os.Stderr, "benchmarks: no arguments but flags, and -runs of at least 1")
		flag.Usage()
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	exit(o.run(ctx))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// shopOpens is the generator's beginning: 2024-01-01T00:00:00Z.
const shopOpens = 19_723 * 86_400_000

// run runs the scenario and prints the report.
func (o *options) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(o.dir, "lull-bench-")
	if err != nil {
		return fmt.Errorf("making a folder for the data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	load := loadAverage()
	b, err := startBroker(dir)
	if err != nil {
		return err
	}
	defer b.close()
	g, err := NewGenerator(o.generator)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "producing %d events\n", o.generator.Events)
	if err := b.createInput(ctx, inputTopic); err != nil {
		return err
	}
	in, err := b.produce(ctx, inputTopic, g, o.generator.Events)
	if err != nil {
		return err
	}
	r := report{options: o, input: in, loadBefore: load}
	for n := range o.runs {
		fmt.Fprintf(os.Stderr, "run %d of %d: lull\n", n+1, o.runs)
		one, err := b.catchUp(ctx, dir, fmt.Sprintf("lull-%d", n+1), &job{ProfileDir: o.profileDir}, in)
		if err != nil {
			return err
		}
		r.lull = append(r.lull, one)
		fmt.Fprintf(os.Stderr, "run %d of %d: floor\n", n+1, o.runs)
		one, err = b.catchUp(ctx, dir, fmt.Sprintf("floor-%d", n+1), &job{Floor: copyFloor}, in)
		if err != nil {
			return err
		}
		r.floor = append(r.floor, one)
	}
	r.settings = b.settings("lull", "")
	return r.print(os.Stdout)
}

// oneRun is what one run of a child came to.
type oneRun struct {
	progress
	measured
	written written
}

// catchUp lets a child consume the whole input, as an application of that name, and adds up what it wrote.
func (b *broker) catchUp(ctx context.Context, dir, name string, j *job, in *input) (one oneRun, err error) {
	stateDir := filepath.Join(dir, "state")
	j.Settings = b.settings(name, stateDir)
	if j.Floor != "" {
		_, err = b.adm.CreateTopic(ctx, partitions, 1, nil, j.Settings.Topic(copyTopic))
	} else {
		err = b.prepare(ctx, &j.Settings, &model)
	}
	if err != nil {
		return one, fmt.Errorf("creating the topics of %s: %w", name, err)
	}
	c, err := startChild(j)
	if err != nil {
		return one, err
	}
	defer c.kill()
	if one.progress, err = b.await(ctx, j.Settings.Group, in.events, c); err != nil {
		return one, fmt.Errorf("%s: %w", name, err)
	}
	if one.measured, err = c.stop(); err != nil {
		return one, fmt.Errorf("%s: %w", name, err)
	}
	if j.Floor != "" {
		one.written, err = b.addUp(ctx, "", []string{j.Settings.Topic(copyTopic)})
		return one, err
	}
	var outputs []string
	for _, topic := range outputTopics {
		outputs = append(outputs, j.Settings.Topic(topic))
	}
	if one.written, err = b.addUp(ctx, j.Settings.Topic(pipeline.ChangelogTopic), outputs); err != nil {
		return one, err
	}
	if one.written.diskBytes, err = folderBytes(stateDir); err != nil {
		return one, err
	}
	return one, os.RemoveAll(stateDir)
}

// outputTopics are what subscribers read.
var outputTopics = []string{
	pipeline.SessionsTopic, pipeline.ScoresTopic, pipeline.SegmentsTopic, pipeline.TriggersTopic, pipeline.OffersTopic, pipeline.DeadLettersTopic,
}
