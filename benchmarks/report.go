package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"lull/operators"
	"lull/pipeline"
)

// report is what the scenario came to.
type report struct {
	options     *options
	input       *input
	settings    pipeline.Settings
	loadBefore  string
	lull, floor []oneRun
}

// figure is a line of the table: a number of every run.
type figure struct {
	name   string
	format string
	of     func(*oneRun) float64
	floor  bool // the floor has it too
}

func (r *report) figures() []figure {
	events := float64(r.input.events)
	million := events / 1e6
	outputs := func(w *written) (sum volume) {
		for _, v := range w.outputs {
			sum.records, sum.bytes = sum.records+v.records, sum.bytes+v.bytes
		}
		return sum
	}
	return []figure{
		{"CPU-seconds per million events", "%.2f", func(o *oneRun) float64 { return o.Ended.cpuSeconds() / million }, true},
		{"  of these in the kernel", "%.2f", func(o *oneRun) float64 { return o.Ended.SystemSeconds / million }, true},
		{"  of these after the last commit (flush, leaving)", "%.2f", func(o *oneRun) float64 {
			return (o.Ended.cpuSeconds() - o.CaughtUp.cpuSeconds()) / million
		}, false},
		{"events/s, first commit to last", "%.0f", func(o *oneRun) float64 { return o.rate }, true},
		{"seconds, process start to last commit", "%.2f", func(o *oneRun) float64 { return o.total.Seconds() }, true},
		{"allocations per event", "%.2f", func(o *oneRun) float64 { return float64(o.Ended.Allocations) / events }, true},
		{"allocated bytes per event", "%.0f", func(o *oneRun) float64 { return float64(o.Ended.AllocBytes) / events }, true},
		{"garbage collections", "%.0f", func(o *oneRun) float64 { return float64(o.Ended.Collections) }, true},
		{"resident memory at most, MiB", "%.0f", func(o *oneRun) float64 { return float64(o.Ended.RSSBytesMax) / (1 << 20) }, true},
		{"output records per event", "%.3f", func(o *oneRun) float64 { return float64(outputs(&o.written).records) / events }, true},
		{"output bytes per event", "%.1f", func(o *oneRun) float64 { return float64(outputs(&o.written).bytes) / events }, true},
		{"changelog records per event", "%.3f", func(o *oneRun) float64 { return float64(o.written.changelog.records) / events }, false},
		{"changelog bytes per event", "%.1f", func(o *oneRun) float64 { return float64(o.written.changelog.bytes) / events }, false},
		{"changelog bytes per customer", "%.0f", func(o *oneRun) float64 {
			return float64(o.written.changelog.bytes) / float64(len(o.written.states))
		}, false},
		{"state bytes per customer, median", "%.0f", func(o *oneRun) float64 { return float64(o.written.states[len(o.written.states)/2]) }, false},
		{"state bytes per customer, 99th percentile", "%.0f", func(o *oneRun) float64 {
			return float64(o.written.states[len(o.written.states)*99/100])
		}, false},
		{"state bytes per customer, mean of all records", "%.0f", func(o *oneRun) float64 {
			return float64(o.written.stateBytes) / float64(len(o.written.states))
		}, false},
		{"store on disk per customer, bytes", "%.0f", func(o *oneRun) float64 {
			return float64(o.written.diskBytes) / float64(len(o.written.states))
		}, false},
	}
}

// print prints the report as Markdown.
func (r *report) print(w io.Writer) error {
	p := printer{w: w}
	p.line("## Catching up: %s events of %s customers, %d runs", thousands(r.input.events), thousands(r.input.customers), len(r.lull))
	p.line("")
	p.line("| median (least to greatest) | lull | floor | ratio |")
	p.line("|---|--:|--:|--:|")
	for _, f := range r.figures() {
		floor, ratio := "", ""
		lull := sortedOf(r.lull, f.of)
		if f.floor {
			copied := sortedOf(r.floor, f.of)
			floor = spread(f.format, copied)
			if m := median(copied); m > 0 {
				ratio = fmt.Sprintf("%.2g", median(lull)/m)
			}
		}
		p.line("| %s | %s | %s | %s |", f.name, spread(f.format, lull), floor, ratio)
	}
	p.line("")
	p.line("lull: the process of the pipeline alone, by getrusage(2), from its start to its end. Broker and producer are another process.")
	p.line("floor: the same records consumed and produced again, once, in transactions of %s, not decoded; no state, no changelog.", r.settings.Commit.Interval)
	p.line("")
	r.printOutputs(&p)
	r.printInput(&p)
	printSettings(&p, &r.settings)
	printMachine(&p, r.loadBefore, r.options.profileDir != "")
	p.line("Not measured: latency; fixed rates (catching up flatters: more events per commit, each state written less often); more customers than")
	p.line("the cache of decoded ones; a real broker and a real network; restore; memory over a long run; clock: wall; other programs on this job.")
	return p.err
}

func (r *report) printOutputs(p *printer) {
	p.line("| written by lull, last run | records | bytes a record |")
	p.line("|---|--:|--:|")
	last := &r.lull[len(r.lull)-1].written
	row := func(name string, v volume) {
		mean := 0.0
		if v.records > 0 {
			mean = float64(v.bytes) / float64(v.records)
		}
		p.line("| %s | %s | %.0f |", name, thousands(int(v.records)), mean)
	}
	for i, topic := range outputTopics {
		row(topic, last.outputs[i])
	}
	row(pipeline.ChangelogTopic, last.changelog)
	row("state at the end", volume{int64(last.stateRecords), last.stateBytes})
	p.line("")
}

func (r *report) printInput(p *printer) {
	g := &r.options.generator
	p.line("Input: seed %d, %s customers of whom %s have an event, %s to %s, Zipf %v, disorder %s, %.0f bytes an event with its key (in batches as the client compresses them), %d partitions.",
		g.Seed, thousands(g.Customers), thousands(r.input.customers), date(r.input.first), date(r.input.last), g.Zipf, time.Duration(g.DisorderMs)*time.Millisecond,
		float64(r.input.bytes)/float64(r.input.events), partitions)
	var kinds []string
	for kind, n := range r.input.kinds {
		if n > 0 {
			kinds = append(kinds, fmt.Sprintf("%s %.1f %%", operators.EventKind(kind), 100*float64(n)/float64(r.input.events)))
		}
	}
	p.line("Kinds: %s.", strings.Join(kinds, ", "))
}

func date(t operators.EventTime) string { return t.String()[:len("2006-01-02")] }

func printSettings(p *printer, s *pipeline.Settings) {
	p.line("Settings: the defaults but clock: event; commit %s, polls of %s records, cache of %s customers a partition, flush at %d MiB or %s; model %s (%s).",
		s.Commit.Interval, thousands(s.Commit.Records), thousands(s.State.CachedCustomers), s.State.FlushBytes>>20, s.State.FlushEvery, model.Version, model.Family)
}

func printMachine(p *printer, loadBefore string, profiled bool) {
	p.line("Machine: %s, %d processors, %s/%s; load average %s before, %s after; GOMAXPROCS %d, GOGC default.",
		processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, loadBefore, loadAverage(), runtime.GOMAXPROCS(0))
	versions := []string{runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		versions = append(versions, "lull "+pipeline.Version())
		for _, m := range info.Deps {
			if slices.Contains(shownModules, m.Path) {
				versions = append(versions, m.Path+" "+m.Version)
			}
		}
	}
	p.line("Versions: %s.", strings.Join(versions, ", "))
	if profiled {
		p.line("The pipeline ran under the profiler.")
	}
}

// shownModules are those whose speed is in the figures.
var shownModules = []string{
	"github.com/twmb/franz-go", "github.com/twmb/franz-go/pkg/kfake", "github.com/twmb/avro", "github.com/cockroachdb/pebble/v2",
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// sortedOf returns a figure of all that was measured, ascending; spreadOf how far it spreads.
func sortedOf[T any](list []T, of func(*T) float64) (values []float64) {
	for i := range list {
		values = append(values, of(&list[i]))
	}
	slices.Sort(values)
	return values
}

func spreadOf[T any](format string, list []T, of func(*T) float64) string {
	return spread(format, sortedOf(list, of))
}

// median returns the middle of a sorted list, the upper of two.
func median(sorted []float64) float64 { return sorted[len(sorted)/2] }

func spread(format string, sorted []float64) string {
	one := func(v float64) string { return fmt.Sprintf(format, v) }
	least, middle, greatest := one(sorted[0]), one(median(sorted)), one(sorted[len(sorted)-1])
	if least == greatest {
		return middle
	}
	return fmt.Sprintf("%s (%s to %s)", middle, least, greatest)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// loadAverage returns the machine's load of the last minute, "unknown" where the system does not tell.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// processor returns the name of the processor, "unknown processor" where the system does not tell.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "unknown processor"
}
