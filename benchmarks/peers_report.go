package main

import (
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"lull/operators"
)

// print prints the report as Markdown.
func (r *peersRun) print(w io.Writer, load string) error {
	p := printer{w: w}
	p.line("## lull beside Kafka Streams and the floors: %s events of %s customers, %d runs in turn", thousands(r.input.events), thousands(r.input.customers), r.runs)
	p.line("")
	if err := printAgreements(w, r.agreements); err != nil {
		return err
	}
	million := float64(r.input.events) / 1e6
	figures := []struct {
		name, format string
		of           func(*race) float64
		ratio        bool
	}{
		{"CPU-s per million events, steady", "%.2f", func(o *race) float64 { return o.steadyCPU / o.steady * 1e6 }, true},
		{"CPU-s per million, whole life", "%.2f", func(o *race) float64 { return o.cpu / million }, true},
		{"resident at most, MiB", "%.0f", func(o *race) float64 { return float64(o.rssBytes) / (1 << 20) }, true},
		{"changelog bytes per event", "%.1f", func(o *race) float64 { return float64(o.changelogs.bytes) / float64(r.input.events) }, true},
		{"changelog records per event", "%.3f", func(o *race) float64 { return float64(o.changelogs.records) / float64(r.input.events) }, false},
		{"output bytes per event", "%.1f", func(o *race) float64 { return float64(o.outputs.bytes) / float64(r.input.events) }, false},
		{"latency p50, ms", "%.0f", latency(0.5), true},
		{"latency p99, ms", "%.0f", latency(0.99), true},
		{"events/s, steady", "%.0f", func(o *race) float64 { return o.rate }, false},
	}
	for _, f := range figures {
		if strings.HasPrefix(f.name, "latency") && r.rate == 0 {
			continue
		}
		p.line("| %s | median (least to greatest) | times lull's of the same turn |", f.name)
		p.line("|---|--:|--:|")
		for _, c := range r.contenders {
			if strings.HasPrefix(f.name, "latency") && len(c.runs[0].latencies) == 0 {
				continue // it writes no segments
			}
			ratio := ""
			if f.ratio && c.name != lullContender {
				ratio = spread("%.2f", r.ratios(c, f.of))
			}
			var all []float64
			for i := range c.runs {
				all = append(all, f.of(&c.runs[i]))
			}
			slices.Sort(all)
			p.line("| %s | %s | %s |", c.name, spread(f.format, all), ratio)
		}
		p.line("")
	}
	p.line("Steady: of the process alone, by /proc, from when it had committed half of the input until it had committed all. Whole life: by wait4(2), from start to exit.")
	if r.rate > 0 {
		p.line("Every run is sent %s events a second. Latency: from when an event was due to the receipt, by a reader of committed records, of the first change of segment that names it as its cause; of the second half of the events.", thousands(r.rate))
	}
	p.line("Bytes are keys, values and headers, without batches and compression. lull's outputs have headers and words that the peer leaves out: benchmarks/peers/README.md.")
	p.line("")
	p.line("Input: seed %d, Zipf %v, %s to %s, then %d days of silence; %.0f bytes an event with its key, %d partitions.",
		r.generator.Seed, r.generator.Zipf, date(r.input.first), date(r.input.last), r.silenceDays, float64(r.input.bytes)/float64(r.input.events), partitions)
	var kinds []string
	for kind, n := range r.input.kinds {
		if n > 0 {
			kinds = append(kinds, fmt.Sprintf("%s %.1f %%", operators.EventKind(kind), 100*float64(n)/float64(r.input.events)))
		}
	}
	p.line("Kinds: %s.", strings.Join(kinds, ", "))
	printSettings(&p, &r.settings)
	p.line("Kafka Streams: exactly_once_v2, a thread for each processor, record cache of 256 MB; java -XX:+UseParallelGC -Xmx%s, %s.", r.heap, javaVersion())
	p.line("Broker: %s.", r.whereBroker())
	p.line("Load average before each run, in turn: %s.", r.loads())
	printMachine(&p, load, r.profileDir != "")
	return p.err
}

// latency returns what reads a percentile of a run's latencies, in milliseconds; 0 if there are none.
func latency(share float64) func(*race) float64 {
	return func(o *race) float64 {
		if len(o.latencies) == 0 {
			return 0
		}
		return float64(percentile(o.latencies, share)) / float64(time.Millisecond)
	}
}

// ratios are a figure of a contender's runs over lull's of the same turn, sorted.
func (r *peersRun) ratios(c *contender, of func(*race) float64) (list []float64) {
	for i := range c.runs {
		if ours := of(&r.contenders[0].runs[i]); ours > 0 {
			list = append(list, of(&c.runs[i])/ours)
		}
	}
	slices.Sort(list)
	return list
}

func (r *peersRun) loads() string {
	var all []string
	for n := range r.runs {
		for _, c := range r.contenders {
			first, _, _ := strings.Cut(c.runs[n].loadBefore, " ")
			all = append(all, first)
		}
	}
	return strings.Join(all, " ")
}

// javaVersion returns what java says that it is.
func javaVersion() string {
	out, err := exec.Command("java", "-version").CombinedOutput()
	if err != nil {
		return "version unknown"
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}
