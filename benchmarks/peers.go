package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"lull/operators"
	"lull/pipeline"
)

// peersArgument makes this program run the pipeline beside others on the same job.
const peersArgument = "peers"

// peersRun is a scenario: the pipeline, Kafka Streams and the floors go through the same input in turn.
type peersRun struct {
	scenario
	generator   GeneratorConfig
	runs        int
	silenceDays int
	rate        int // events a second; 0: all are there before anybody starts
	commit      time.Duration
	pair        bool // lull and Kafka Streams alone
	restore     int  // how often each restores its state; 0: not at all
	compareOnly bool
	build       string // folder of the peer's program
	json        string // file for what is measured; "" for none
	heap        string

	events     *Generator // gives what comes after the input
	input      *input
	agreements []*agreement
	contenders []*contender
}

// contender is a program that goes through the input.
type contender struct {
	name string
	// prepare creates the topics, and start the process.
	prepare func(s *pipeline.Settings) error
	start   func(s *pipeline.Settings) (*child, error)
	// changelogs and outputs are the topics to be added up, without the prefix.
	changelogs, outputs []string
	runs                []race
	// stateful is whether it has a state, which can be lost; restores are its starts without one.
	stateful bool
	restores []handOver
}

// race is what one run came to.
type race struct {
	cpu        float64 // seconds of the process's whole life
	warm       steady
	resident   residence
	latencies  []time.Duration // at a fixed rate: of what is answered
	changelogs volume
	outputs    volume
	loadBefore string
}

func floorName(f floor) string { return "floor: " + string(f) }

// runPeers runs the scenario and prints the report.
func runPeers(arguments []string) error {
	r := peersRun{generator: GeneratorConfig{Start: shopOpens}}
	flags := flag.NewFlagSet("benchmarks peers", flag.ExitOnError)
	r.flags(flags)
	r.profileFlag(flags, "the pipeline's last run")
	flags.Uint64Var(&r.generator.Seed, "seed", 1, "seed of the generator")
	flags.IntVar(&r.generator.Events, "events", 1_000_000, "number of events")
	flags.IntVar(&r.generator.Customers, "customers", 40_000, "number of customers")
	flags.Float64Var(&r.generator.Zipf, "zipf", 0, "exponent of the customers' activity by rank; 0: exponentially distributed activity")
	flags.Int64Var(&r.generator.DisorderMs, "disorder", 0, "how late an event may come, in `milliseconds`")
	flags.IntVar(&r.runs, "runs", 3, "how often each is run, in turn")
	flags.IntVar(&r.rate, "rate", 0, "events a second, sent while each runs; 0: all are there before")
	flags.DurationVar(&r.commit, "commit", streamsCommit, "how often lull, Kafka Streams and the floors commit")
	flags.BoolVar(&r.pair, "pair", false, "let lull and Kafka Streams take part alone")
	flags.IntVar(&r.restore, "restore", 0, "how often, after the last run, the state folders are taken away and it is measured in turn what lull and Kafka Streams take to their first new commits; without -rate")
	flags.IntVar(&r.silenceDays, "silence", 1, "how many `days` pass after the last event, told by a time mark")
	flags.BoolVar(&r.compareOnly, "compare", false, "run the pipeline and Kafka Streams once, and compare what they have written")
	flags.StringVar(&r.build, "build", "bin/peers", "`folder` in which the peer has been built")
	flags.StringVar(&r.heap, "heap", "1g", "most that the peer's heap may come to, as java -Xmx takes it")
	flags.StringVar(&r.json, "json", "", "`file` to write what has been measured to, for make bench-plots")
	_ = flags.Parse(arguments)
	if flags.NArg() > 0 || r.runs < 1 || r.brokers == "" || r.commit < time.Millisecond || r.restore < 0 {
		return errors.New("peers: no arguments but flags, -runs of at least 1, -commit of at least 1ms, -restore of at least 0, and -brokers, which are real ones")
	}
	if r.restore > 0 && (r.rate > 0 || r.compareOnly) {
		return errors.New("peers: -restore takes neither -rate nor -compare: all restore what they made of the same topic")
	}
	if r.compareOnly {
		r.runs, r.pair = 1, true
	}
	if _, err := os.Stat(filepath.Join(r.build, "peer.jar")); err != nil {
		return fmt.Errorf("the peer has not been built, which make peers does: %w", err)
	}
	return r.within(r.measure)
}

func (r *peersRun) measure() error {
	load := loadAverage()
	r.name()
	r.settings.Commit.Interval = r.commit
	if err := r.fill(); err != nil {
		return err
	}
	r.enter()
	for n := range r.runs {
		for _, c := range r.contenders {
			fmt.Fprintf(os.Stderr, "run %d of %d: %s\n", n+1, r.runs, c.name)
			if err := r.race(c, n); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		if n == 0 {
			if err := r.compare(n); err != nil {
				return err
			}
		}
		for _, c := range r.contenders {
			if r.restore > 0 && c.stateful && n == r.runs-1 {
				continue // it is to restore what it has made
			}
			if err := r.forget(c, n); err != nil {
				return err
			}
		}
	}
	if r.restore > 0 {
		if err := r.restores(); err != nil {
			return err
		}
	}
	if r.compareOnly {
		return nil
	}
	if r.json != "" {
		if err := r.standings().write(r.json); err != nil {
			return err
		}
	}
	return r.print(os.Stdout, load)
}

// fill writes the input that is there before anybody starts, and by which the report tells what the input is: the events, and a mark into each partition, so that nobody has to wait for what only time decides.
func (r *peersRun) fill() error {
	var err error
	if r.events, err = newEndless(r.generator); err != nil {
		return err
	}
	if err := r.b.createInput(r.ctx, r.topic); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "producing %d events\n", r.generator.Events)
	if r.input, err = r.b.produce(r.ctx, r.topic, r.events, r.generator.Events); err != nil {
		return err
	}
	return r.mark(r.topic, r.silent(r.input.last))
}

// silent returns when the silence after the last event ends.
func (r *peersRun) silent(last operators.EventTime) operators.EventTime {
	return last + operators.EventTime(r.silenceDays)*operators.DayMs
}

// subscribers are what both write, by schemas.
var subscribers = []string{pipeline.SessionsTopic, pipeline.ScoresTopic, pipeline.SegmentsTopic, pipeline.TriggersTopic}

// The contenders that are compared.
const (
	lullContender    = "lull"
	streamsContender = "Kafka Streams"
	// streamsBestContender is the same program at its best.
	streamsBestContender = "Kafka Streams at its best: memory stores, 1 s commits"
)

// streamsCommit is how often a program of Kafka Streams commits exactly once, by default.
const streamsCommit = 100 * time.Millisecond

// enter says who takes part.
func (r *peersRun) enter() {
	r.contenders = []*contender{
		{
			name: lullContender,
			prepare: func(s *pipeline.Settings) error {
				return r.b.prepare(r.ctx, s, &model)
			},
			start: func(s *pipeline.Settings) (*child, error) {
				return startChild(&job{Settings: *s, ProfileDir: r.profileDir})
			},
			changelogs: []string{pipeline.ChangelogTopic}, outputs: outputTopics, stateful: true,
		},
		r.streams(streamsContender, "rocksdb", r.commit),
	}
	if r.pair {
		return
	}
	r.contenders = append(r.contenders, r.streams(streamsBestContender, "memory", time.Second))
	for _, f := range []floor{copyFloor, logFloor, avroFloor} {
		r.contenders = append(r.contenders, &contender{
			name: floorName(f),
			prepare: func(s *pipeline.Settings) error {
				return r.createTopics(s.Topic(copyTopic), s.Topic(logTopic))
			},
			start:      func(s *pipeline.Settings) (*child, error) { return startChild(&job{Settings: *s, Floor: f}) },
			changelogs: []string{logTopic}, outputs: []string{copyTopic},
		})
	}
}

// createTopics creates topics of the peers, which keep what they hold: the records' times are those of events.
func (r *peersRun) createTopics(names ...string) error {
	forever := "-1"
	_, err := r.b.adm.CreateTopics(r.ctx, partitions, 1, map[string]*string{"retention.ms": &forever}, names...)
	if err != nil {
		return fmt.Errorf("creating the topics: %w", err)
	}
	return nil
}

// streams returns Kafka Streams with these stores and commits.
func (r *peersRun) streams(name, stores string, commit time.Duration) *contender {
	c := &contender{name: name, outputs: subscribers, stateful: true}
	c.prepare = func(s *pipeline.Settings) error {
		var topics []string
		for _, output := range subscribers {
			topics = append(topics, s.Topic(output))
		}
		return r.createTopics(topics...)
	}
	c.start = func(s *pipeline.Settings) (*child, error) {
		java := "java"
		if home := os.Getenv("JAVA_HOME"); home != "" {
			java = filepath.Join(home, "bin", "java")
		}
		numbers := []float64{model.R, model.Alpha, model.A, model.B, model.P, model.Q, model.V, model.HighValue}
		var texts []string
		for _, n := range numbers {
			texts = append(texts, strconv.FormatFloat(n, 'g', -1, 64))
		}
		return startCommand(exec.Command(java, "-XX:+UseParallelGC", "-Xmx"+r.heap,
			"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(r.build, "peer.jar")+":"+filepath.Join(r.build, "lib", "*"), "lull.peer.Peer",
			"brokers="+strings.Join(r.b.brokers, ","), "application="+s.Group, "input="+s.Input.Topic, "prefix="+s.Prefix, "state="+s.State.Dir,
			"stores="+stores, "commit-ms="+strconv.FormatInt(commit.Milliseconds(), 10), "model-version="+model.Version, "model="+strings.Join(texts, ",")))
	}
	c.changelogs = []string{streamsChangelog("customers"), streamsChangelog("timers")}
	return c
}

// streamsChangelog returns how Kafka Streams calls the changelog of a store, behind the prefix.
func streamsChangelog(store string) string { return streamsGroup + "-" + store + "-changelog" }

// streamsGroup is the last part of every application's id.
const streamsGroup = "app"

// liveTopic is where the events of one run come at a fixed rate, below the prefix.
const liveTopic = "live"

// application returns the settings of a contender's run.
func (r *peersRun) application(c *contender, n int) *pipeline.Settings {
	name := fmt.Sprintf("%d-%d", slices.Index(r.contenders, c), n)
	s := r.b.settings(r.settings.Prefix+name, filepath.Join(r.work, name))
	s.Input.Topic, s.Group = r.topic, s.Prefix+streamsGroup
	s.Commit.Interval = r.commit
	if r.rate > 0 {
		s.Input.Topic = s.Topic(liveTopic)
	}
	return &s
}

// race lets a contender go through the input once.
func (r *peersRun) race(c *contender, n int) error {
	s := r.application(c, n)
	one := race{loadBefore: loadAverage()}
	if r.rate > 0 {
		if err := r.b.createInput(r.ctx, s.Input.Topic); err != nil {
			return err
		}
	}
	if err := c.prepare(s); err != nil {
		return err
	}
	process, err := c.start(s)
	if err != nil {
		return err
	}
	defer process.kill()
	watched := r.scenario
	watched.settings, watched.topic = *s, s.Input.Topic
	total := int64(r.input.events + partitions)
	if r.rate > 0 {
		f, err := startFeed(r, s)
		if err != nil {
			return err
		}
		one.warm, one.resident, err = watched.follow(process, 0, total)
		var failed error
		one.latencies, failed = f.stop()
		if err = errors.Join(err, failed); err != nil {
			return err
		}
	} else if one.warm, one.resident, err = watched.follow(process, 0, total); err != nil {
		return err
	}
	if err := process.end(); err != nil {
		return err
	}
	state := process.cmd.ProcessState
	one.cpu = (state.UserTime() + state.SystemTime()).Seconds()
	for _, topic := range c.outputs {
		if err := r.b.read(r.ctx, s.Topic(topic), one.outputs.add); err != nil {
			return err
		}
	}
	for _, topic := range c.changelogs {
		if err := r.b.read(r.ctx, s.Topic(topic), one.changelogs.add); err != nil {
			return err
		}
	}
	c.runs = append(c.runs, one)
	return os.RemoveAll(s.State.Dir)
}

// compare compares what the pipeline and Kafka Streams have written in a run.
func (r *peersRun) compare(run int) error {
	r.agreements = nil
	applications := make(map[string]*pipeline.Settings)
	for _, c := range r.contenders {
		applications[c.name] = r.application(c, run)
	}
	ours, peers := applications[lullContender], applications[streamsContender]
	segments, err := r.gather(ours.Topic(pipeline.SegmentsTopic))
	if err != nil {
		return err
	}
	rising, err := risingIn(segments)
	if err != nil {
		return err
	}
	for _, c := range comparisons {
		of, err := r.gather(ours.Topic(c.topic.String()))
		if err != nil {
			return err
		}
		with, err := r.gather(peers.Topic(c.topic.String()))
		if err != nil {
			return err
		}
		a, err := c.compare(of, with, rising)
		if err != nil {
			return err
		}
		r.agreements = append(r.agreements, a)
	}
	w := os.Stderr
	if r.compareOnly {
		w = os.Stdout
	}
	return printAgreements(w, r.agreements)
}

// forget deletes the topics of a run.
func (r *peersRun) forget(c *contender, n int) error {
	prefix := r.application(c, n).Prefix
	topics, err := r.b.adm.ListTopics(r.ctx)
	if err != nil {
		return fmt.Errorf("looking for the topics to delete: %w", err)
	}
	names := slices.DeleteFunc(topics.Names(), func(name string) bool { return !strings.HasPrefix(name, prefix) })
	if _, err := r.b.adm.DeleteTopics(context.WithoutCancel(r.ctx), names...); err != nil {
		return fmt.Errorf("deleting the topics: %w", err)
	}
	return nil
}
