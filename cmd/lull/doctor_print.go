package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"lull/operators"
	"lull/pipeline/survey"
	"lull/schemas"
)

// fieldsShown is how many fields are printed for a person; as JSON all are.
const fieldsShown = 60

// printText prints the report for a person.
func (d *doctor) printText(out io.Writer) {
	r := &d.report
	say := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	say("%s", r.Source)
	if t := r.Topic; t != nil {
		say("  topic    %d partitions, %d of them empty; at most %d records; clean-up %s, kept for %s", t.Partitions, t.Empty, t.Records, orUnknown(t.Cleanup), msText(t.RetentionMs))
	}
	if r.File != nil && !r.File.Whole {
		say("  !        %s", r.File.partText())
	}
	d.printSample(say)
	if r.Topic != nil {
		say("  key      %s", d.keyText())
	}
	for _, w := range r.Warnings {
		say("  !        %s", w)
	}
	d.printFields(out, say)
	switch {
	case r.Mapping != "":
		say("\nMAPPING %s\n", d.mappingPlace())
		say("%s", strings.TrimSuffix(r.Mapping, "\n"))
	case d.trial == nil:
		say("\nMAPPING a draft, which lacks something: %s\n", d.mappingPlace())
		say("%s", strings.TrimSuffix(r.Draft, "\n"))
		say("")
		for _, missing := range r.Missing {
			say("  !  %s", missing)
		}
		return
	default:
		say("\nMAPPING %s", d.noMapping())
		if d.flags.out != "" {
			say("  nothing was written to %s", d.flags.out)
		}
	}
	d.printTrial(say)
	d.printAbilities(say)
	d.printQuality(say)
	d.printSize(say)
	if r.Load != nil {
		say("")
		d.printLoad(out)
	}
	d.printNext(say)
}

// partText says what of the file was read, and what the numbers stand for.
func (f *doctorFile) partText() string {
	size := bytesText(strconv.Itoa(f.BytesRead))
	if f.Compressed {
		size += ", decompressed,"
	}
	text := fmt.Sprintf("only the first %s are read, %d records and part of another: ", size, f.RecordsRead)
	if f.Records == 0 {
		return text + "nobody can tell how much follows, so the customers and the size below are of these alone"
	}
	return text + fmt.Sprintf("in all about %d records, if the rest is like them, as the customers and the size below take it to be", f.Records)
}

func (d *doctor) printSample(say func(string, ...any)) {
	r := &d.report
	which := "first"
	if r.Topic != nil {
		which = "newest"
	}
	times := ""
	if t := d.trial; t != nil && t.Events > 0 {
		times = fmt.Sprintf(", of %s to %s", t.Quality.Oldest, t.Quality.Newest)
	}
	say("  sample   the %s %d records%s", which, r.Sampled, times)
	ids := ""
	if len(r.SchemaIDs) > 0 {
		ids = fmt.Sprintf(", schemas %s", strings.Trim(fmt.Sprint(r.SchemaIDs), "[]"))
	}
	say("  format   %s: %d of %d values%s", r.Format, r.Fitting, r.WithValue, ids)
	for _, u := range r.Unread {
		say("  !        %d values cannot be read, %s: %s", u.Records, u.Reason, strings.Join(u.Examples, "; also "))
	}
	if none := r.Sampled - r.WithValue; none > 0 {
		say("  !        %d records have no value: they are refused (no_value), input topics hold events", none)
	}
}

// keyText says what the topic is keyed by.
func (d *doctor) keyText() string {
	r := &d.report
	by := "none of the fields"
	switch {
	case r.WithoutKey == r.Sampled:
		return "there is none: name the topic under inputs, and lull brings each event to its customer's partition"
	case len(r.KeyedBy) > 0:
		by = strings.Join(r.KeyedBy, ", ")
	}
	text := fmt.Sprintf("%s; %d different keys", by, r.Keys)
	if r.WithoutKey > 0 {
		text += fmt.Sprintf(", %d records without", r.WithoutKey)
	}
	switch t := d.trial; {
	case t == nil || t.Events == 0:
	case d.keyedByCustomer():
		text += ": the customer's id, so the topic can be input.topic"
	default:
		text += fmt.Sprintf(": the customer's id of %d of %d events, so name the topic under inputs, and lull brings each to its customer's partition", t.Quality.ByCustomer, t.Events)
	}
	return text
}

func (d *doctor) printFields(out io.Writer, say func(string, ...any)) {
	say("\nFIELDS %d", len(d.report.Fields))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  PATH\tRECORDS\tDISTINCT\tEXAMPLE")
	for i, f := range d.report.Fields {
		if i == fieldsShown {
			fmt.Fprintf(w, "  ... %d more, which --json prints\n", len(d.report.Fields)-i)
			break
		}
		fmt.Fprintf(w, "  %s\t%d\t%d\t%s\n", f.Path, f.Records, f.Distinct, shortened(f.Example))
	}
	_ = w.Flush() // into a buffer, whose error is told in the end
	say("\nWHAT IS WHAT")
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, f := range d.report.Findings {
		if f.Path == "" {
			fmt.Fprintf(w, "  %s\t-\tnot found\n", f.Role)
			continue
		}
		fmt.Fprintf(w, "  %s\t%s\t%d of %d records, %d different, such as %q: %s\n", f.Role, f.Path, f.Records, d.report.Sampled, f.Distinct, f.Example, f.Why)
	}
	_ = w.Flush() // as above
	for _, f := range d.report.Findings {
		if f.Doubt != "" {
			say("  !  %s: %s", f.Role, f.Doubt)
		}
	}
}

func (d *doctor) mappingPlace() string {
	if d.flags.out != "" {
		return "written to " + d.flags.out
	}
	return "save it, or let --out FILE do it"
}

// noMapping says why none is proposed.
func (d *doctor) noMapping() string {
	switch d.report.Format {
	case schemas.SegmentJSON.String():
		return "none is needed: input.format segment-json stands for one, which `lull mapping show` prints"
	case schemas.OwnAvro.String(), schemas.RegistryAvro.String():
		if d.settings.InputTopic(d.flags.topic).Mapping == "" {
			return "none is needed: the records are events by event.avsc"
		}
	}
	return "the one that is set, " + d.settings.InputTopic(d.flags.topic).Mapping
}

func (d *doctor) printTrial(say func(string, ...any)) {
	t := d.trial
	say("\nBY IT, of %d records %d become events, %d are ignored, %d refused (money.currency %s%s)", t.Records, t.Events, t.Ignored, t.Refused, d.report.Currency, d.assumed(", which is assumed"))
	for _, k := range t.Kinds {
		say("  %6d  %s", k.Records, k.Name)
	}
	for _, f := range t.Refusals {
		say("  %6d  refused, %s: %s", f.Records, f.Reason, f.Examples[0])
		for _, other := range f.Examples[1:] {
			say("          also: %s", other)
		}
	}
}

func (d *doctor) printAbilities(say func(string, ...any)) {
	say("\nWHAT LULL CAN DO")
	for _, a := range d.report.Abilities {
		mark := "-"
		if a.Can {
			mark = "+"
		}
		say("  %s  %s: %s", mark, a.Name, a.Says)
	}
}

func (d *doctor) printQuality(say func(string, ...any)) {
	q := &d.trial.Quality
	say("\nQUALITY, of %d events", d.trial.Events)
	say("  %6d  repeat a message id of the sample", q.Repeated)
	say("  %6d  have no message id", q.WithoutID)
	say("  %6d  are orders told as completed again", q.Retold)
	say("  %6d  are orders without an order id of their own, or with the message id for one: told again under another message id, each counts as another", q.WithoutOrder)
	say("  %6d  are dated ahead of their record's timestamp by more than clock.max_skew (%s)", q.Ahead, d.settings.Clock.MaxSkew)
	say("  %6d  are older than the newest before them in their partition by more than clock.lateness (%s); %d of them would be late, the others are orders and consents, which count all the same",
		q.Behind, d.settings.Clock.Lateness, q.Late)
	if q.LaterMs != nil {
		say("  Kafka's timestamp of a record (%s) is %s than the time that its event tells, in the median; of 99 in 100 it is no more than %s", d.report.Topic.Timestamps, compared(q.LaterMs[0]), compared(q.LaterMs[1]))
	}
}

// compared shows a difference in milliseconds: 3s later.
func compared(ms int64) string {
	if ms < 0 {
		return lasting(-ms) + " earlier"
	}
	return lasting(ms) + " later"
}

// lasting shows a time in milliseconds for a person.
func lasting(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", ms/operators.DayMs)
	}
	return d.Round(time.Millisecond).String()
}

func (d *doctor) printSize(say func(string, ...any)) {
	s := d.report.Size
	isWhole := d.report.File == nil || d.report.File.Whole
	say("\nSIZE")
	switch {
	case s.Events == 0:
		say("  nothing to go by: no record becomes an event")
		return
	case s.Records <= int64(d.report.Sampled) && isWhole:
		say("  %d customers: the sample is all that there is", s.Seen)
	case s.Records <= s.Counted && isWhole:
		say("  %d customers, counted in all %d records", s.Seen, s.Counted)
	case s.Records <= s.Counted:
		say("  %d customers in the part that was read", s.Seen)
	default:
		say("  %d customers in the %d records that were read; in %s perhaps %d, at most %d. The first is an estimate by how many came once and twice (Chao 1984), which holds for records drawn at random and is too high for successive ones; the second takes as many new ones to come in each record",
			s.Seen, s.Counted, d.allText(), s.Estimated, s.Most)
		if d.report.Topic != nil {
			say("  the newest records show who is active now, so that those who left long ago may be more; the count of records is that of offsets, which compaction and transactions leave gaps in")
		}
	}
	size := bytesText(strconv.FormatInt(s.BytesLeast, 10))
	if s.BytesMost > s.BytesLeast {
		size += " to " + bytesText(strconv.FormatInt(s.BytesMost, 10))
	}
	say("  state: %s, at %d bytes a customer, the mean that was measured; orders that are kept and open sessions make it more, 99 of 100 had at most %d", size, survey.CustomerBytes, survey.CustomerBytesMost)
	if d.report.Topic != nil && d.keyedByCustomer() {
		say("  partitions: %d, those of the topic, whose number the state follows", d.report.Topic.Partitions)
	} else {
		say("  partitions of lull.events: topics.partitions, %d are enough; one process runs many, and at most one process runs each", s.Partitions)
	}
}

// allText says what the customers and the state are estimated for.
func (d *doctor) allText() string {
	switch f, records := d.report.File, d.report.Size.Records; {
	case f == nil || f.Whole:
		return fmt.Sprintf("all %d records", records)
	case f.Records == 0:
		return fmt.Sprintf("the %d records of the part that was read", records)
	default:
		return fmt.Sprintf("all of it, about %d records,", records)
	}
}

// printNext says what to do with it.
func (d *doctor) printNext(say func(string, ...any)) {
	if r := &d.report; r.Settings != "" {
		say("\nSETTINGS, in lull.yaml beside brokers and the others\n")
		say("%s", r.Settings)
		say("NEXT\n  lull mapping try --config lull.yaml --topic %s   # record by record", r.Source)
	} else {
		try := "--input-format " + r.Format
		if r.Mapping != "" {
			try += " " + d.mappingFile()
		}
		money := "--money-currency " + r.Currency
		if rates := d.settings.Money.ListRates("%s=%s", ","); rates != "" {
			money += " --money-rates " + rates
		}
		say("\nNEXT\n  lull mapping try %s --sample %s %s   # record by record", try, d.flags.file, money)
	}
	say("  docs/operating/connect-your-data.md, from its second step")
}
