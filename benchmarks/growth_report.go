package main

import (
	"fmt"
	"io"
)

// print prints the report as Markdown.
func (r *growthRun) print(w io.Writer, loadBefore string) error {
	p := printer{w: w}
	p.line("## Growth: %s events among ever more customers, %d runs", thousands(r.events), r.runs)
	p.line("")
	p.line("| customers | events | CPU-s per million, warm | times that of %s | CPU-s per million, whole life | events/s, warm | customers not in memory, %% | resident at most, MiB |", thousands(r.customers[0]))
	p.line("|--:|---|--:|--:|--:|--:|--:|--:|")
	for _, g := range r.grown {
		row := func(events string, laps, least []lap) {
			column := func(format string, of func(*lap) float64) string { return spreadOf(format, laps, of) }
			warm := func(l *lap) float64 { return l.warm.perMillion() }
			p.line("| %s | %s | %s | %.2f | %s | %s | %s | %s |", thousands(g.customers), events, column("%.2f", warm), median(sortedOf(laps, warm))/median(sortedOf(least, warm)),
				column("%.2f", (*lap).perMillion), column("%.0f", func(l *lap) float64 { return l.warm.rate() }),
				column("%.1f", func(l *lap) float64 { return 100 * l.misses() }), column("%.0f", func(l *lap) float64 { return mebibytes(l.used.RSSBytesMax) }))
		}
		row("first orders", []lap{g.first}, []lap{r.grown[0].first})
		for i, a := range activities {
			row(a.name, g.of(i), r.grown[0].of(i))
		}
	}
	p.line("")
	p.line("| customers | state at rest, bytes, median | 99th percentile | of who had a session, median | store on disk, bytes a customer |")
	p.line("|--:|--:|--:|--:|--:|")
	for _, g := range r.grown {
		p.line("| %s | %d | %d | %d | %.0f |", thousands(g.customers), rankOf(g.states, 0.5), rankOf(g.states, 0.99), rankOf(g.visited, 0.5), float64(g.diskBytes)/float64(g.customers))
	}
	p.line("")
	residenceHead(&p)
	for _, g := range r.grown {
		residenceRow(&p, thousands(g.customers)+", first orders", g.first.resident)
		for i, l := range g.laps {
			residenceRow(&p, fmt.Sprintf("%s, %s", thousands(g.customers), activities[i%len(activities)].name), l.resident)
		}
	}
	p.line("")
	p.line("First orders: one of each customer makes the state. Then sessions of %d to %d page views, %.0f %% with an order, %s events a second of event time; a process of its own goes through each, and through the end of all sessions.",
		pagesLeast, pagesMost, 100*buyShare, thousands(r.rate))
	p.line("Warm: by /proc, from half of the events on. Whole life: by getrusage(2), the start on the state and the last flush included. Not in memory: of the known customers whom events and deadlines needed, those who were read from the store (%s).", customersLoaded)
	p.line("State: values of the changelog without keys, of the customers of one partition, when all sessions have ended.")
	p.line("Broker: %s, on the same machine; seed %d, %d partitions.", r.whereBroker(), r.seed, partitions)
	printSettings(&p, &r.settings)
	printMachine(&p, loadBefore, false)
	return p.err
}

// of returns the laps of an activity.
func (g *grown) of(activity int) (laps []lap) {
	for i := activity; i < len(g.laps); i += len(activities) {
		laps = append(laps, g.laps[i])
	}
	return laps
}

// rankOf returns the value below which a share of a sorted list lies, 0 if it is empty.
func rankOf(sorted []int, share float64) int {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(share*float64(len(sorted)))]
}

// residenceHead and residenceRow print a table of what processes had resident.
func residenceHead(p *printer) {
	p.line("| resident, MiB, each second | first | median | last | most | slope of the second half, MiB an hour | seconds |")
	p.line("|---|--:|--:|--:|--:|--:|--:|")
}

func residenceRow(p *printer, name string, m residence) {
	most := int64(0)
	for _, n := range m {
		most = max(most, n)
	}
	p.line("| %s | %.0f | %.0f | %.0f | %.0f | %+.0f | %d |", name, mebibytes(m.first()), mebibytes(m.median()), mebibytes(m.last()), mebibytes(most), m.slope()/(1<<20), len(m))
}
