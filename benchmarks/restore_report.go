package main

import "io"

// print prints the report as Markdown.
func (r *restoreRun) print(w io.Writer, loadBefore string) error {
	p := printer{w: w}
	g := &r.generator
	p.line("## Restores: %s customers, %s events, %d runs", thousands(g.Customers), thousands(g.Events), r.runs)
	p.line("")
	p.line("| median (least to greatest) | first new commit, s | every partition, s | changelog offsets read | CPU, s | resident, MiB |")
	p.line("|---|--:|--:|--:|--:|--:|")
	for _, what := range []string{coldStart, inPlace, takeOver} {
		list := r.results[what]
		column := func(format string, of func(*handOver) float64) string { return spreadOf(format, list, of) }
		p.line("| %s | %s | %s | %s | %s | %s |", what,
			column("%.2f", func(h *handOver) float64 { return h.first.Seconds() }),
			column("%.2f", func(h *handOver) float64 { return h.all.Seconds() }),
			column("%.0f", func(h *handOver) float64 { return float64(h.offsets) }),
			column("%.2f", func(h *handOver) float64 { return h.used.cpuSeconds() }),
			column("%.0f", func(h *handOver) float64 { return float64(h.used.RSSBytesMax) / (1 << 20) }))
	}
	p.line("")
	p.line("Times are from the start of the process, for the take-over from the SIGKILL: there the session timeout of %s is in them, and the survivor restores the partitions.", r.session)
	p.line("CPU and memory are the process's from its start until all input was committed; for the take-over it had run before.")
	p.line("Input: seed %d, %d partitions, %s changelog offsets for the state, which took %.0f s to make; %s events more before each kill, %s a second during it.",
		g.Seed, partitions, thousands(int(r.changelog)), r.filled.Seconds(), thousands(r.tail), thousands(r.rate))
	p.line("Broker: %s, on the same machine.", r.whereBroker())
	printSettings(&p, &r.settings)
	printMachine(&p, loadBefore, r.profileDir != "")
	return p.err
}
