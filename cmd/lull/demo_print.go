package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// print prints the figures for a person.
func (f *figures) print(w io.Writer) error {
	var b strings.Builder
	p := message.NewPrinter(language.English)
	p.Fprintf(&b, "CDNOW: %d purchases of %d customers, replayed in %.1f s: %.0f events/s\n\n", f.Rows, f.Shoppers, f.ReplaySeconds, f.EventsPerSecond)
	f.printRecords(p, &b)
	p.Fprintf(&b, "\nsessions              %d\n", f.Sessions)
	p.Fprintf(&b, "segment changes       %d\n", f.SegmentChanges)
	t := &f.ChurnRisk
	p.Fprintf(&b, "churn-risk triggers   %d: %d actionable%s\n", t.Count, t.Actionable, withheld(p, t.Withheld))
	p.Fprintf(&b, "                      of %d customers, %d of whom bought again later\n", t.Customers, t.BoughtAgain)
	p.Fprintf(&b, "dead letters          %d\n", f.DeadLetters)
	p.Fprintf(&b, "state                 %.0f bytes per customer, %d in all\n", f.StatePerCustomer, f.StateBytes)
	f.printQuadrants(p, &b)
	b.WriteString("\nThree customers\n")
	for _, s := range f.Customers {
		fmt.Fprintf(&b, "  %s: %s\n", s.CustomerID, s.Text)
	}
	b.WriteString("\nThe soonest deadlines to come, if they stay silent\n")
	for _, d := range f.Deadlines {
		fmt.Fprintf(&b, "  %s  %s: %s\n", d.At, d.CustomerID, d.What)
	}
	fmt.Fprintf(&b, "\ndigest  %s\n", f.Digest)
	if f.Kills > 0 {
		fmt.Fprintf(&b, "        after %d kills (--seed %d)\n", f.Kills, f.Seed)
	}
	p.Fprintf(&b, "done in %.1f s\n", f.Seconds)
	_, err := io.WriteString(w, b.String())
	return err
}

func (f *figures) printRecords(p *message.Printer, b *strings.Builder) {
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	p.Fprintf(table, "records in\t%d\t%s\n", f.Records[demoTopic], " "+demoTopic)
	name := "records out"
	topics := make([]string, 0, len(f.Records))
	for topic := range f.Records {
		topics = append(topics, topic)
	}
	slices.Sort(topics)
	for _, topic := range topics {
		if topic != demoTopic {
			p.Fprintf(table, "%s\t%d\t%s\n", name, f.Records[topic], " "+topic)
			name = ""
		}
	}
	_ = table.Flush() // to memory
}

func (f *figures) printQuadrants(p *message.Printer, b *strings.Builder) {
	p.Fprintf(b, "\nQuadrants, in %s, each customer as of their latest score\n", f.Currency)
	table := tabwriter.NewWriter(b, 0, 0, 3, ' ', tabwriter.AlignRight)
	p.Fprintf(table, "\tcustomers\tCLV\tvalue at risk\tvalue about to be lost\t\n")
	for _, q := range f.Quadrants {
		p.Fprintf(table, "%s\t%d\t%.2f\t%.2f\t%.2f\t\n", q.Name, q.Customers, q.CLV, q.ValueAtRisk, q.AboutToBeLost)
	}
	_ = table.Flush() // to memory
}

func withheld(p *message.Printer, counts map[string]int64) string {
	reasons := make([]string, 0, len(counts))
	for reason := range counts {
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	text := ""
	for _, reason := range reasons {
		text += p.Sprintf(", %d %s", counts[reason], reason)
	}
	return text
}
