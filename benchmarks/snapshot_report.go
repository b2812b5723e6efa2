package main

import "io"

// print prints the report as Markdown.
func (r *snapshotRun) print(w io.Writer, loadBefore string) error {
	p := printer{w: w}
	what := "a fitted model"
	if !r.fitted {
		what = "a model put by hand"
	}
	p.line("## Snapshots: %s customers, %s, %s orders a second", thousands(r.customers), what, thousands(r.rate))
	p.line("")
	r.printPhases(&p, besidePhase, scheduledPhase)
	p.line("| snapshot | s | customers | CPU, s | CPU s for a million | resident at most, MiB | tables, MiB | of these customers |")
	p.line("|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, o := range r.taken {
		var rows, bytes, all int64
		for _, t := range o.manifest.Tables {
			all += t.Bytes
			if t.Name == "customers" {
				rows, bytes = t.Rows, t.Bytes
			}
		}
		p.line("| %s | %.1f | %s | %.1f | %.1f | %d | %.1f | %.1f |", o.during.name, o.during.took.Seconds(), thousands(int(rows)), o.cpu, 1e6*o.cpu/float64(rows),
			o.rssBytes>>20, float64(all)/(1<<20), float64(bytes)/(1<<20))
	}
	p.line("")
	p.line("| request | answers | median, s | least to greatest, s | CPU s for each |")
	p.line("|---|--:|--:|--:|--:|")
	for _, w := range r.walks {
		cpu := (w.during.cores() - w.quiet.cores()) * w.during.took.Seconds() / float64(len(w.took))
		p.line("| %s | %d | %.2f | %.2f to %.2f | %.2f |", w.path, len(w.took), percentile(w.took, 0.5).Seconds(), percentile(w.took, 0).Seconds(), percentile(w.took, 1).Seconds(), cpu)
	}
	p.line("")
	r.explainPhases(&p, "a snapshot")
	p.line("CPU of a process of its own is its whole life's; that of the schedule's is what the live process used beyond its share in the quiet phase before. Resident memory of the schedule's is the live process's. CPU of a request is counted as that of the schedule's.")
	printSettings(&p, &r.settings)
	printMachine(&p, loadBefore, false)
	return p.err
}
