package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"lull/operators"
	"lull/pipeline/replay"
)

// triedResult is what has come of a trial.
type triedResult struct {
	*replay.Told
	summaries []replay.Summary
	overlaps  []replay.Overlap
	moves     []replay.Move
	old       []operators.Output // by the rules to compare with; nil for none
	diff      *replay.Diff
}

// print shows a result to a person.
func (t *rulesTrial) print(w io.Writer, r *triedResult) error {
	p := &printer{w: w}
	p.line("%s: %d events of %d customers, %s to %s", t.path, len(t.records), t.customers, t.first, t.last)
	p.line("rules: %s, %d of them; triggers of %s to %s", t.rulesFrom, len(t.rules.Rules), t.from, t.until)
	p.line("model: %s", t.modelText())
	p.table("RULE\tFIRED\tCUSTOMERS\tACTIONABLE\tWITHHELD\tFIRST\tLAST", func(row func(format string, args ...any)) {
		for i := range r.summaries {
			s := &r.summaries[i]
			first, last := "-", "-"
			if s.Fired > 0 {
				first, last = minute(s.First), minute(s.Last)
			}
			row("%s\t%d\t%d\t%d\t%s\t%s\t%s", s.Rule, s.Fired, s.Customers, s.Actionable, cmp.Or(reasonCounts(s.Withheld), "-"), first, last)
		}
	})
	p.table(fmt.Sprintf("%s\tVALUE AT RISK\tMEDIAN\tABOUT TO BE LOST\tMEDIAN\tCAME BACK WITHIN %d DAYS", t.settings.Money.Currency, t.settings.Scores.ContactDays),
		func(row func(format string, args ...any)) {
			for i := range r.summaries {
				s := &r.summaries[i]
				if s.Fired == 0 {
					continue
				}
				back := "not known yet"
				if s.Followed > 0 {
					back = fmt.Sprintf("%d of %d, %.1f %%", s.CameBack, s.Followed, 100*float64(s.CameBack)/float64(s.Followed))
				}
				if s.CameBack > 0 {
					back += fmt.Sprintf(", half of them by day %.0f", s.MedianDays)
				}
				row("%s\t%.2f\t%.2f\t%.2f\t%.2f\t%s", s.Rule, s.AtRisk.Sum, s.AtRisk.Median, s.AboutToBeLost.Sum, s.AboutToBeLost.Median, back)
			}
		})
	t.plot(p, r)
	t.printOverlaps(p, r)
	printMoves(p, r.moves)
	if r.diff != nil {
		t.printDiff(p, r)
	}
	return p.err
}

// modelText says which model it is.
func (t *rulesTrial) modelText() string {
	m := t.model
	text := fmt.Sprintf("%s, %s", m.Version, m.Family)
	if t.fitted {
		text += fmt.Sprintf(", fitted now to the %d customers known at %s", m.Fit.Customers, minute(m.Fit.AsOf))
		if t.knowing() {
			text += ": it knows what it is tried on"
		}
		return text
	}
	return text + fmt.Sprintf(", in force from %s", minute(m.EffectiveAt))
}

// knowing reports whether the model was fitted to what it is tried on.
func (t *rulesTrial) knowing() bool { return t.fitted && t.model.Fit.AsOf > t.period.From }

// partsMax is how many parts of the period are told apart at most.
const partsMax = 60

// partDaysOf returns the days of one part of a period of so many days.
func partDaysOf(days int) int {
	for _, part := range []int{1, 7, 28} {
		if days <= part*partsMax {
			return part
		}
	}
	return (days + partsMax - 1) / partsMax
}

// plot draws how many triggers there were in each part of the period, rule by rule, each to its own height.
func (t *rulesTrial) plot(p *printer, r *triedResult) {
	every := fmt.Sprintf("%d DAYS", t.partDays)
	if t.partDays == 1 {
		every = "DAY"
	}
	p.table(fmt.Sprintf("EACH %s FROM %s\tMOST", every, t.from), func(row func(format string, args ...any)) {
		for i := range r.summaries {
			if s := &r.summaries[i]; s.Fired > 0 {
				row("%s\t%d\t%s", s.Rule, slices.Max(s.Counts), bars(s.Counts))
			}
		}
	})
}

// bars draws counts as bars side by side, the highest a line high. Only nothing looks like nothing.
func bars(counts []int) string {
	steps := []rune("▁▂▃▄▅▆▇█")
	most := slices.Max(counts)
	var b strings.Builder
	for _, n := range counts {
		if n == 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune(steps[(n*len(steps)-1)/most])
	}
	return strings.TrimRight(b.String(), " ")
}

// overlapsShown are how many pairs of rules are shown at most.
const overlapsShown = 15

// printOverlaps shows on whom rules meet.
func (t *rulesTrial) printOverlaps(p *printer, r *triedResult) {
	if len(r.overlaps) == 0 {
		return
	}
	p.table("BOTH FOUND\tAND\tCUSTOMERS\tOF THE FIRST'S\tOF THE SECOND'S", func(row func(format string, args ...any)) {
		customers := make(map[string]int)
		for i := range r.summaries {
			customers[r.summaries[i].Rule] = r.summaries[i].Customers
		}
		for _, o := range r.overlaps[:min(overlapsShown, len(r.overlaps))] {
			row("%s\t%s\t%d\t%.0f %%\t%.0f %%", o.A, o.B, o.Both, 100*float64(o.Both)/float64(customers[o.A]), 100*float64(o.Both)/float64(customers[o.B]))
		}
	})
	if more := len(r.overlaps) - overlapsShown; more > 0 {
		p.line("and %d pairs of rules that meet less: --json tells all", more)
	}
}

// movesShown are how many ways between segments are shown of each dimension at most.
const movesShown = 8

// printMoves shows how customers moved between segments.
func printMoves(p *printer, moves []replay.Move) {
	if len(moves) == 0 {
		return
	}
	more := 0
	p.table("SEGMENT\tFROM\tTO\tTIMES\tCUSTOMERS", func(row func(format string, args ...any)) {
		shown := make(map[operators.Dimension]int)
		for i := range moves {
			m := &moves[i]
			if shown[m.Dimension]++; shown[m.Dimension] > movesShown {
				more++
				continue
			}
			row("%s\t%s\t%s\t%d\t%d", m.Dimension, m.From, m.To, m.Times, m.Customers)
		}
	})
	if more > 0 {
		p.line("and %d ways that are gone less: --json tells all", more)
	}
}

// examplesShown are how many triggers are shown of those that there are by one file only.
const examplesShown = 3

// printDiff shows what the rules change.
func (t *rulesTrial) printDiff(p *printer, r *triedResult) {
	d, currency := r.diff, t.settings.Money.Currency
	p.line("")
	p.line("against %s: triggers are in both if they are of the same customer, rule and instant", t.oldFrom)
	all := d.All
	all.Rule = "all"
	changes := append(slices.Clone(d.Rules), all)
	p.table("RULE\tTRIGGERS OLD\tNEW\tBOTH\tONLY OLD\tONLY NEW\tACTIONABLE OLD\tNEW\tCUSTOMERS OLD\tNEW\tBOTH", func(row func(format string, args ...any)) {
		for i := range changes {
			c := &changes[i]
			row("%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d", c.Rule, c.Old.Count, c.New.Count, c.Both.Count, c.OnlyOld.Count, c.OnlyNew.Count,
				c.Old.Actionable, c.New.Actionable, c.CustomersOld, c.CustomersNew, c.CustomersBoth)
		}
	})
	p.table(currency+" ABOUT TO BE LOST\tOLD\tNEW\tONLY OLD\tONLY NEW", func(row func(format string, args ...any)) {
		for i := range changes {
			c := &changes[i]
			row("%s\t%.2f\t%.2f\t%.2f\t%.2f", c.Rule, c.Old.AboutToBeLost, c.New.AboutToBeLost, c.OnlyOld.AboutToBeLost, c.OnlyNew.AboutToBeLost)
		}
	})
	if all.Freed+all.Stopped > 0 {
		p.line("")
		p.line("of those in both, %d are actionable by the new rules only, %d by the old only", all.Freed, all.Stopped)
	}
	for _, side := range []struct {
		name, other string
		only        []*operators.Output
		there       []operators.Output
	}{{"old", "new", d.OnlyOld, r.Triggers}, {"new", "old", d.OnlyNew, r.old}} {
		if len(side.only) == 0 {
			continue
		}
		p.line("")
		p.line("only by the %s rules, such as", side.name)
		for _, e := range side.only[:min(examplesShown, len(side.only))] {
			p.line("  customer %s, %s at %s: %.2f %s about to be lost%s", e.Customer, e.Trigger.Rule, minute(e.Time), e.Trigger.Facts.AboutToBeLost, currency, elsewhere(e, side.there, side.other))
		}
	}
}

// elsewhere says when the rule of a trigger found its customer by the other rules, at the nearest instant.
func elsewhere(e *operators.Output, there []operators.Output, other string) string {
	var nearest *operators.Output
	distance := func(t *operators.Output) operators.EventTime { return max(t.Time-e.Time, e.Time-t.Time) }
	for i := range there {
		if t := &there[i]; t.Customer == e.Customer && t.Trigger.Rule == e.Trigger.Rule && (nearest == nil || distance(t) < distance(nearest)) {
			nearest = t
		}
	}
	if nearest == nil {
		return ""
	}
	return fmt.Sprintf("; by the %s rules at %s", other, minute(nearest.Time))
}

// table prints an empty line and a table.
func (p *printer) table(header string, rows func(row func(format string, args ...any))) {
	p.line("")
	if p.err != nil {
		return
	}
	w := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, header)
	rows(func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) })
	p.err = w.Flush()
}

// reasonCounts tells counts by reason: 12 returned, 3 stale.
func reasonCounts(counts map[string]int) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[reason], reason))
	}
	return strings.Join(parts, ", ")
}

// watch says how it is found out who came back.
func (t *rulesTrial) watch() *replay.Watch {
	return &replay.Watch{Purchases: t.purchases, HorizonMs: int64(t.settings.Scores.ContactDays) * operators.DayMs, Known: t.known}
}
