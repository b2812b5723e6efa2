package main

import (
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

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
	m := r.standings()
	for _, f := range m.Figures {
		p.line("| %s | median (least to greatest) | times lull's of the same turn |", f.Name)
		p.line("|---|--:|--:|")
		for _, c := range m.Contenders {
			runs := f.Runs[c]
			if len(runs) == 0 {
				continue // it writes no segments
			}
			ratio := ""
			if f.Compared && c != lullContender {
				ratio = spread("%.2f", f.ratios(c))
			}
			p.line("| %s | %s | %s |", c, spread(f.Format, slices.Sorted(slices.Values(runs))), ratio)
		}
		p.line("")
	}
	residenceHead(&p)
	for _, c := range r.contenders {
		residenceRow(&p, c.name+", last run", c.runs[len(c.runs)-1].resident)
	}
	p.line("")
	p.line("Steady: of the process alone, by /proc, from when it had committed half of the input until it had committed all. Whole life: by wait4(2), from start to exit.")
	if r.rate > 0 {
		p.line("Every run is sent %s events a second. Latency: from when an event was due to the receipt, by a reader of committed records, of the first change of segment that names it as its cause; of the second half of the events.", thousands(r.rate))
	}
	if r.restore > 0 {
		p.line("Restore: the state folder was gone, %s new events waited; from the start of the process. CPU and memory are the process's until it had committed them.", thousands(freshEvents))
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
	p.line("Kafka Streams: exactly_once_v2, commits every %s, a thread for each processor, record cache of 256 MB; java -XX:+UseParallelGC -Xmx%s, %s.", r.commit, r.heap, javaVersion())
	p.line("Broker: %s.", r.whereBroker())
	p.line("Load average before each run, in turn: %s.", r.loads())
	printMachine(&p, load, r.profileDir != "")
	return p.err
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
