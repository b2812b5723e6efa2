package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"lull/pipeline"
	"lull/pipeline/survey"
)

// loadFlags say what is expected to come.
type loadFlags struct {
	customers       int64
	perSecond, peak float64
}

func (f *loadFlags) add(cmd *cobra.Command) {
	cmd.Flags().Int64Var(&f.customers, "customers", 0, "how many customers are expected, for what they take; of a topic or file the default is what is estimated")
	cmd.Flags().Float64Var(&f.perSecond, "events-per-second", 0, "how many events are expected a second, in the mean, for what they take")
	cmd.Flags().Float64Var(&f.peak, "peak-events-per-second", 0, "how many are at the most; the default is ten times the mean")
}

func (f *loadFlags) given() bool { return f.customers != 0 || f.perSecond != 0 || f.peak != 0 }

// peakTimes is how many times the mean the peak is taken to be.
const peakTimes = 10

// check reports what cannot be. sampled says that there are records to estimate the customers by.
func (f *loadFlags) check(sampled bool) error {
	finite := func(n float64) bool { return n >= 0 && !math.IsInf(n, 0) } // and no NaN
	switch {
	case !f.given():
		return nil
	case f.customers < 0:
		return fmt.Errorf("--customers is %d: it must be at least 1", f.customers)
	case !finite(f.perSecond) || f.perSecond == 0:
		return fmt.Errorf("--events-per-second is %v: it must be above 0, such as 58 for 5 million a day", f.perSecond)
	case !finite(f.peak) || f.peak != 0 && f.peak < f.perSecond:
		return fmt.Errorf("--peak-events-per-second is %v: it must be at least --events-per-second, %v", f.peak, f.perSecond)
	case f.customers == 0 && !sampled:
		return errors.New("--customers is missing: without --topic or --file there is nothing to estimate it by")
	}
	return nil
}

// load returns what is expected, by the settings; estimated is how many customers there are if nobody says.
func (f *loadFlags) load(s *pipeline.Settings, estimated int64) *survey.Load {
	l := &survey.Load{
		Customers: f.customers, PerSecond: f.perSecond, PeakPerSecond: f.peak, Partitions: int64(s.Topics.Partitions), Replicas: int64(max(1, s.Topics.Replication)),
		WallClock: s.Clock.Mode == "wall", CompactionLagMs: s.Topics.CompactionLag.Milliseconds(), RetentionMs: s.Topics.Retention.Milliseconds(),
	}
	if l.Customers == 0 {
		l.Customers = estimated
	}
	if l.PeakPerSecond == 0 {
		l.PeakPerSecond = peakTimes * l.PerSecond
	}
	return l
}

// doctorLoad is what is expected, and what that takes.
type doctorLoad struct {
	survey.Load
	Needs survey.Needs `json:"needs"`
}

// expect computes what is expected, if flags say so.
func (d *doctor) expect() {
	if !d.flags.load.given() {
		return
	}
	estimated := int64(1)
	if d.report.Size != nil {
		estimated = max(1, d.report.Size.Most)
	}
	load := d.flags.load.load(d.settings, estimated)
	if size := d.report.Size; size != nil {
		load.Partitions = size.Partitions
	}
	bytes := 0
	for i := range d.sample.Records {
		bytes += len(d.sample.Records[i].Key) + len(d.sample.Records[i].Value)
	}
	if n := len(d.sample.Records); n > 0 {
		load.EventBytes = float64(bytes) / float64(n)
	}
	d.report.Load = &doctorLoad{*load, load.Needs()}
}

// printLoad prints what the expected load takes, for a person.
func (d *doctor) printLoad(out io.Writer) {
	l := d.report.Load
	n := &l.Needs
	size := func(bytes int64) string { return bytesText(strconv.FormatInt(bytes, 10)) }
	seconds := func(s float64) string {
		if s < 1 {
			return "under 1 s"
		}
		return time.Duration(s * float64(time.Second)).Round(time.Second).String()
	}
	replicas, event := replicasText(int(l.Replicas))+" (topics.replication)", "99 bytes each, as lull's own Avro"
	if d.settings.Topics.Replication == 0 {
		replicas = "one replica: times topics.replication, which is not set"
	}
	if l.EventBytes > 0 {
		event = fmt.Sprintf("%.0f bytes each, as in the sample", l.EventBytes)
	}
	lag, retention := d.settings.Topics.CompactionLag, d.settings.Topics.Retention
	fmt.Fprintf(out, "SIZING for %d customers and %v events a second, %v at the peak\n", l.Customers, l.PerSecond, l.PeakPerSecond)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range [][3]string{
		{"cores", fmt.Sprintf("%.2g to %.2g", n.CoresLeast, n.CoresMost), "at the peak: page views take the least, orders in real time the most"},
		{"memory", size(n.MemoryBytes), "of one process that has all partitions; give it twice that"},
		{"disk", size(n.DiskBytes), fmt.Sprintf("of all processes together: %s to %s of state, and room for tables that are written anew", size(n.StateBytesLeast), size(n.StateBytesMost))},
		{"partitions", strconv.FormatInt(n.Partitions, 10), "and no fewer than the processes that you will ever want"},
		{"input", size(n.InputBytesPerDay) + " a day", event + "; " + replicas},
		{"changelog", fmt.Sprintf("%s, up to %s", size(n.ChangelogBytes), size(n.ChangelogBytesMost)), fmt.Sprintf("compacted, and before it is (topics.compaction_lag %s); %s", lasting(lag.Milliseconds()), replicas)},
		{"scores", size(n.ScoresBytes), "compacted; " + replicas},
		{"other outputs", size(n.OutputBytes), fmt.Sprintf("for %s (topics.retention); %s", lasting(retention.Milliseconds()), replicas)},
		{"restore", fmt.Sprintf("%s, up to %s", seconds(n.RestoreSeconds), seconds(n.RestoreSecondsMost)), "from nothing, by one process; from a compacted changelog, and from one that is not"},
		{"a new model", seconds(n.SweepSeconds), "of CPU for everybody, at a tenth of the process's time"},
	} {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", row[0], row[1], row[2])
	}
	_ = w.Flush() // into a buffer, whose error is told in the end
	fmt.Fprintln(out, "  computed from what was measured of other loads: docs/operating/sizing.md says which; run lull on a copy of a day of yours before you buy")
}
