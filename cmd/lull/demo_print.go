package main

import (
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// page is a text with numbers as people read them: 23,570.
type page struct {
	strings.Builder
	numbers *message.Printer
}

func (p *page) printf(format string, args ...any) { p.WriteString(p.numbers.Sprintf(format, args...)) }

// table prints rows whose cells end with tabs, right-aligned.
func (p *page) table(padding int, rows ...string) {
	w := tabwriter.NewWriter(p, 0, 0, padding, ' ', tabwriter.AlignRight)
	_, _ = io.WriteString(w, strings.Join(rows, "")) // to memory
	_ = w.Flush()
}

// print prints the figures for a person.
func (f *figures) print(w io.Writer) error {
	p := &page{numbers: message.NewPrinter(language.English)}
	p.printf("CDNOW: %d purchases of %d customers, replayed in %.1f s: %.0f events/s\n\n", f.Rows, f.Shoppers, f.ReplaySeconds, f.EventsPerSecond)
	f.printRecords(p)
	p.printf("\nsessions              %d\n", f.Sessions)
	p.printf("segment changes       %d\n", f.SegmentChanges)
	t := &f.ChurnRisk
	p.printf("churn-risk triggers   %d: %d actionable", t.Count, t.Actionable)
	for _, reason := range slices.Sorted(maps.Keys(t.Withheld)) {
		p.printf(", %d %s", t.Withheld[reason], reason)
	}
	p.printf("\n                      of %d customers, %d of whom bought again later\n", t.Customers, t.BoughtAgain)
	p.printf("dead letters          %d\n", f.DeadLetters)
	p.printf("state                 %.0f bytes per customer, %d in all\n", f.StatePerCustomer, f.StateBytes)
	f.printQuadrants(p)
	p.WriteString("\nThree customers\n")
	for _, s := range f.Customers {
		p.WriteString("  " + s.CustomerID + ": " + s.Text + "\n")
	}
	p.WriteString("\nThe soonest changes to come, if they stay silent\n")
	for _, d := range f.Deadlines {
		p.printf("  %s  %s, CLV %.2f %s: %s\n", d.At, d.CustomerID, d.CLV, f.Currency, d.What)
	}
	p.WriteString("\ndigest  " + f.Digest + "\n")
	if f.Kills > 0 {
		p.printf("        after %d kills\n", f.Kills)
	}
	p.printf("done in %.1f s\n", f.Seconds)
	_, err := io.WriteString(w, p.String())
	return err
}

func (f *figures) printRecords(p *page) {
	rows := []string{p.numbers.Sprintf("records in\t%d\t and %d time marks\n", f.Rows, f.TimeMarks)}
	name := "records out"
	for _, topic := range slices.Sorted(maps.Keys(f.Records)) {
		rows = append(rows, p.numbers.Sprintf("%s\t%d\t %s\n", name, f.Records[topic], topic))
		name = ""
	}
	p.table(2, rows...)
}

func (f *figures) printQuadrants(p *page) {
	p.printf("\nQuadrants, in %s, each customer as of their latest score\n", f.Currency)
	rows := []string{"\tcustomers\tCLV\tvalue at risk\tvalue about to be lost\t\n"}
	for _, q := range f.Quadrants {
		rows = append(rows, p.numbers.Sprintf("%s\t%d\t%.2f\t%.2f\t%.2f\t\n", q.Name, q.Customers, q.CLV, q.ValueAtRisk, q.AboutToBeLost))
	}
	p.table(3, rows...)
}
