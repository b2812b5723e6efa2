package main

import "io"

// print prints the report as Markdown.
func (r *sweepRun) print(w io.Writer, loadBefore string) error {
	p := printer{w: w}
	p.line("## A new model: %s customers, %s orders a second", thousands(r.customers), thousands(r.rate))
	p.line("")
	r.printPhases(&p, "sweep")
	p.line("| sweep | s | customers | swept | of these a second | scored by their own order, or a deadline | CPU µs for each swept |")
	p.line("|---|--:|--:|--:|--:|--:|--:|")
	for _, o := range r.sweeps {
		swept := o.sweptThen + o.sweptNow
		cpu := (o.during.cores() - o.quiet.cores()) * o.during.took.Seconds() / float64(swept)
		p.line("| %s | %.1f | %s | %s | %.0f | %s | %.0f |", o.during.name, o.took.Seconds(), thousands(o.adoption.customers), thousands(swept),
			float64(swept)/o.took.Seconds(), thousands(o.adoption.customers-swept), 1e6*cpu)
	}
	p.line("")
	for _, o := range r.sweeps {
		r.printChecks(&p, o)
	}
	p.line("")
	r.explainPhases(&p, "a sweep")
	p.line("CPU for each swept: what the process used in the phase beyond what it used in the quiet phase before it. The last process had at most %d MiB resident.", r.atEnd.Ended.RSSBytesMax>>20)
	printSettings(&p, &r.settings)
	printMachine(&p, loadBefore, r.profileDir != "")
	return p.err
}

// printChecks prints what must hold after a sweep, and whether it does.
func (r *sweepRun) printChecks(p *printer, o *sweepOutcome) {
	a := &o.adoption
	p.line("- %s: the latest row of %s of %s customers is of the new model, and no row of an older one came after it; %d rows more were made by it without an order (a deadline may do so).",
		o.during.name, thousands(a.customers), thousands(r.customers), a.again)
	if o.killed {
		p.line("  %s customers were of the new model when the process was killed, which had told of %s swept; the next one swept %s. What the first swept after it last told is missing here, and among those swept.",
			thousands(o.killedAt), thousands(o.sweptThen), thousands(o.sweptNow))
	}
	p.line("  The cursors got on in %s transactions of a partition, by the changelog, and went back in %d.", thousands(o.cursors.seen), o.cursors.back)
}
