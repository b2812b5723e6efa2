package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/survey"
	"lull/schemas"
)

// doctorFlags are the flags of doctor.
type doctorFlags struct {
	topic, file, out string
	fields           []string // FIELD=PATH, which somebody has said
	sample           int
	json             bool
	load             loadFlags
}

func newDoctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor --topic TOPIC",
		Short: "Say what lull can do with a topic of yours, and propose the mapping",
		Long: `Doctor reads a sample of a topic, the newest records of all its partitions alike, and says how the values are written, which field
is what and why, what lull can do with the records and what is missing for the rest, what of their quality it counted, and about how
large the state will be. It proposes the mapping, and shows what becomes of the sample by it, as lull run would decode it. It reads
what has been committed, joins no group, commits no offset and writes nothing but the file of --out.

With --file the records are those of a file, JSON lines or CSV with a line of the columns' names, and no broker is needed; the first are read, and of what
is larger than 256 MiB, decompressed, no more than that: the number of all records is extrapolated from it then. A format or mapping that is set for the topic is kept. Amounts are taken to be in money.currency, and if that is not set in the currency that
most records tell of those that money.rates does not name.

What it proposes is judged by names and values alone: look at each line with an exclamation mark. Where it is wrong, or finds nothing, --field says
which field is what, as often as needed; if something is missing still, what is proposed is a draft to complete. The exit code is 1 if no record of the sample becomes an event.

With --events-per-second it computes what that takes: CPU, memory, disk, and what the brokers keep, for as many customers as --customers says or the records let
expect, by the settings of topics. With both neither records nor a broker are needed. It goes by what was measured of other loads (docs/operating/sizing.md).`,
		Example: `  lull doctor --topic shop-orders --brokers kafka-1:9092
  lull doctor --topic shop-orders --out orders.yaml --config lull.yaml
  lull doctor --file orders.csv --calendar-timezone Europe/Berlin
  lull doctor --file orders.csv --field customer_id=Konto --field order_id=Vorgang
  lull doctor --customers 1000000 --events-per-second 58 --topics-replication 3`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, origins, err := loadWithOrigins(cmd.Flags(), os.Environ())
			switch {
			case err != nil:
				return err
			case f.topic != "" && f.file != "" || !f.sampled() && !f.load.given():
				return usageError{errors.New("either --topic TOPIC or --file FILE must say where records are, or --customers and --events-per-second what is expected")}
			case f.sample < 1 || f.sample > sampleMost:
				return usageError{fmt.Errorf("--sample is %d: it must be from 1 to %d", f.sample, sampleMost)}
			}
			if f.out != "" {
				if _, err := os.Stat(f.out); err == nil {
					return usageError{fmt.Errorf("--out %q is there already: name another, or remove it", f.out)}
				}
			}
			if err := f.load.check(f.sampled()); err != nil {
				return usageError{err}
			}
			d := &doctor{settings: &s, flags: &f, chooseCurrency: origins["money.currency"] == "", sampleBytesMax: sampleBytesMax}
			return d.run(cmd)
		}),
	}
	cmd.Flags().StringVar(&f.topic, "topic", "", "`topic` that a sample is read of")
	cmd.Flags().StringVar(&f.file, "file", "", "`file` with records instead, JSON lines or CSV, - for standard input")
	cmd.Flags().IntVar(&f.sample, "sample", 1000, "how many records are read")
	cmd.Flags().StringVar(&f.out, "out", "", "`file` that the proposed mapping is written to; it must not be there")
	cmd.Flags().StringArrayVar(&f.fields, "field", nil, "which field of the records is what, as `FIELD=PATH`: one of "+strings.Join(survey.FieldNames(), ", ")+"; $key can be the customer_id, $timestamp the time")
	cmd.Flags().BoolVar(&f.json, "json", false, "print all that was found as JSON")
	f.load.add(cmd)
	addSettingFlags(cmd, "topics.partitions", "topics.replication", "topics.retention", "topics.compaction_lag", "clock.mode", "brokers", "input.format", "input.mapping", "input.schema", "calendar.timezone", "clock.lateness", "clock.max_skew", "money.currency", "money.rates",
		"registry.url", "registry.username", "registry.password_file", "registry.ca_file", "registry.timeout")
	return cmd
}

// sampled reports whether there are records to look at.
func (f *doctorFlags) sampled() bool { return f.topic != "" || f.file != "" }

// doctor is what is found, and what it is found by.
type doctor struct {
	settings       *pipeline.Settings
	flags          *doctorFlags
	chooseCurrency bool // money.currency is not set
	sampleBytesMax int

	report  doctorReport
	sample  survey.Sample
	rest    [][]byte // values that were read of a file behind the sample: their customers are counted
	profile *survey.Profile
	trial   *survey.Trial
}

// doctorReport is what doctor prints as JSON.
type doctorReport struct {
	Source string       `json:"source"` // the topic, or the file
	Topic  *doctorTopic `json:"topic"`  // nil of a file
	File   *doctorFile  `json:"file"`   // nil of a topic
	// Sampled is how many records were read, and Format how their values are written: Fitting of those that have a value are so.
	Sampled    int      `json:"sampled"`
	Format     string   `json:"format"`
	Fitting    int      `json:"fitting"`
	WithValue  int      `json:"with_value"`
	SchemaIDs  []uint32 `json:"schema_ids"`
	WithoutKey int      `json:"without_key"`
	Keys       int      `json:"distinct_keys"`
	// KeyedBy are the fields that the key of nearly all records is equal to.
	KeyedBy  []string         `json:"keyed_by"`
	Fields   []doctorField    `json:"fields"`
	Findings []survey.Finding `json:"findings"`
	// Mapping is the text of the one that is proposed, "" if the records need none, one is set, or Missing says why there is none.
	Mapping string   `json:"mapping"`
	Missing []string `json:"missing"`
	// Draft is the mapping but for what is missing; "" if nothing is.
	Draft string `json:"draft"`
	// Currency is what amounts are in that tell none. CurrencyAssumed is true if no record tells one and nobody has set it.
	Currency        string `json:"money_currency"`
	CurrencyAssumed bool   `json:"money_currency_assumed"`
	// Settings is what of lull.yaml follows for the topic; "" of a file.
	Settings  string           `json:"settings"`
	Trial     *survey.Trial    `json:"trial"` // nil if there is nothing to try
	Abilities []survey.Ability `json:"abilities"`
	Size      *survey.Size     `json:"size"`
	// Load is what is expected, and what that takes; nil if nobody says.
	Load *doctorLoad `json:"load"`
	// Unread are the records that cannot be taken apart, by reason.
	Unread   []survey.Refusal `json:"unread"`
	Warnings []string         `json:"warnings"`
}

// doctorTopic is what the brokers say of the topic.
type doctorTopic struct {
	Partitions int `json:"partitions"`
	Empty      int `json:"empty_partitions"`
	// Records is how many offsets it has: at most so many records.
	Records    int64  `json:"records_at_most"`
	Timestamps string `json:"timestamps"` // CreateTime, LogAppendTime, or both
	// Cleanup and RetentionMs are settings of the topic; "" if the brokers do not say.
	Cleanup     string `json:"cleanup_policy"`
	RetentionMs string `json:"retention_ms"`
}

type doctorField struct {
	Path     string `json:"path"`
	Records  int    `json:"records"`
	Distinct int    `json:"distinct"`
	Example  string `json:"example"`
}

func (d *doctor) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	if !d.flags.sampled() {
		d.expect()
		return d.print(cmd.OutOrStdout())
	}
	zone, err := time.LoadLocation(d.settings.Calendar.Timezone)
	if err != nil {
		return usageError{fmt.Errorf("calendar.timezone is %q: it must be an IANA time zone such as Europe/Berlin", d.settings.Calendar.Timezone)}
	}
	d.sample.Zone, d.sample.Currency = zone, d.settings.Money.Currency
	d.report.Source = cmp.Or(d.flags.topic, d.flags.file)
	records := int64(0)
	if d.flags.topic != "" {
		records, err = d.readTopic(ctx)
	} else {
		records, err = d.readFile(cmd)
	}
	if err != nil {
		return err
	}
	of := d.settings.InputTopic(d.flags.topic)
	if err := d.recognize(ctx, &of); err != nil {
		return err
	}
	if err := d.look(&of); err != nil {
		return err
	}
	input, err := d.propose(ctx, of)
	if err != nil {
		return err
	}
	if input != nil {
		if err := d.try(*input, records); err != nil {
			return err
		}
		d.expect()
	}
	if err := d.print(cmd.OutOrStdout()); err != nil {
		return err
	}
	switch {
	case d.trial == nil:
		return fmt.Errorf("the records of %s cannot be mapped yet: %s. Name the fields so, or complete the draft of the mapping (docs/formats/mapping.md), and try it by `lull mapping try`",
			d.report.Source, strings.Join(d.report.Missing, "; "))
	case d.trial.Events == 0:
		return fmt.Errorf("no record of %s becomes an event: see what is refused, and mend the mapping, or what writes the records", d.report.Source)
	}
	return nil
}

// recognize finds out how the values are written, unless that is set.
func (d *doctor) recognize(ctx context.Context, of *pipeline.InputTopic) error {
	values := make([][]byte, len(d.sample.Records))
	for i := range values {
		values[i] = d.sample.Records[i].Value
	}
	// Without the rates, as the base currency may not have been chosen yet: an amount that lacks but one is lull's own too.
	own, err := schemas.NewDecoder(schemas.DecoderConfig{Currency: d.settings.Money.Currency, Limits: d.settings.Limits.Record()})
	if err != nil {
		return usageError{err}
	}
	r := survey.Recognize(values, func(value []byte) bool {
		var e operators.Event
		refusal := own.DecodeKeyless(&schemas.Source{Value: value, AppendTime: schemas.TimeEnd - 1}, &e)
		return refusal == nil || refusal.Reason == schemas.ReasonUnknownCurrency
	})
	format, isSet := schemas.FormatNamed(of.Format)
	if isSet = isSet && format != schemas.OwnAvro; !isSet {
		format = r.Format
	}
	switch {
	case r.Records == 0:
		return fmt.Errorf("none of the %d newest records of %s has a value: input topics hold events, and these are deletions", len(values), d.report.Source)
	case !isSet && of.Schema != "":
		format = schemas.FixedAvro
	case !isSet && !r.Known:
		return fmt.Errorf("%s: lull cannot read the values: %s", d.report.Source, r.Instead)
	}
	if format == schemas.RegistryAvro && len(d.settings.Registry.URL) == 0 {
		return usageError{fmt.Errorf("registry.url is empty: the values of %s begin with ids of schemas, and --registry-url must say where these are, such as http://registry:8081", d.report.Source)}
	}
	d.sample.Format, of.Format = format, format.String()
	if format == schemas.CSV && d.sample.Columns == nil {
		d.sample.Delimiter = cmp.Or(r.Delimiter, ',')
		for i := range r.Columns {
			d.sample.Columns = append(d.sample.Columns, survey.Column(i))
		}
	}
	if d.sample.Writers, err = newWriters(ctx, d.settings, of.Format); err != nil {
		return err
	}
	d.report.Format, d.report.Fitting, d.report.WithValue = format.String(), r.Fitting, r.Records
	for id := range r.SchemaIDs {
		if format == schemas.RegistryAvro {
			d.report.SchemaIDs = append(d.report.SchemaIDs, id)
		}
	}
	slices.Sort(d.report.SchemaIDs)
	return nil
}

// look finds out what the records have in common.
func (d *doctor) look(of *pipeline.InputTopic) error {
	if of.Schema != "" {
		text, err := os.ReadFile(of.Schema)
		if err != nil {
			return usageError{err}
		}
		d.sample.Schema = string(text)
	}
	var err error
	if d.profile, err = survey.Look(&d.sample); err != nil {
		return usageError{fmt.Errorf("%s: %w", of.Schema, err)}
	}
	for _, named := range d.flags.fields {
		field, path, ok := strings.Cut(named, "=")
		if !ok || path == "" {
			return usageError{fmt.Errorf("--field is %q: it must be FIELD=PATH, such as order_id=order.number", named)}
		}
		if err := d.profile.Name(field, path); err != nil {
			return usageError{fmt.Errorf("--field %s: %w", named, err)}
		}
	}
	r := &d.report
	if d.chooseCurrency {
		if rateless := d.rateless(); len(rateless) > 0 { // one with a rate is not the base
			d.sample.Currency, d.settings.Money.Currency = rateless[0].Name, rateless[0].Name
		}
		r.CurrencyAssumed = len(d.profile.Currencies()) == 0
		d.sample.CurrencyAssumed = r.CurrencyAssumed
	}
	r.Sampled, r.Currency = d.profile.Records, d.sample.Currency
	r.WithoutKey, r.Keys, r.Unread = d.profile.Records-d.profile.Keyed, d.profile.Keys, d.profile.Unread
	if d.profile.Read == 0 {
		return fmt.Errorf("none of the %d records of %s can be read as %s, the first because of this: %s: %s", r.Sampled, r.Source, d.sample.Format, r.Unread[0].Reason, r.Unread[0].Examples[0])
	}
	for _, f := range d.profile.Fields {
		r.Fields = append(r.Fields, doctorField{f.Path, f.Records, f.Distinct, f.Example})
	}
	r.KeyedBy = d.profile.KeyedBy()
	return nil
}

// propose returns the input that the records are to be tried by: what is set, or what needs no mapping, or the one that is proposed; nil if there is none.
func (d *doctor) propose(ctx context.Context, of pipeline.InputTopic) (*schemas.Input, error) {
	proposal := d.profile.Propose()
	d.report.Findings = proposal.Findings
	ours := func() { // what each field of event.avsc is needs no judging
		for i := range d.report.Findings {
			d.report.Findings[i].Doubt = ""
		}
	}
	if of.Mapping == "" && of.Format == schemas.OwnAvro.String() {
		ours()
	}
	if of.Mapping != "" || of.Format == schemas.OwnAvro.String() || of.Format == schemas.SegmentJSON.String() {
		input, err := of.Load(d.sample.Writers)
		if err != nil {
			return nil, usageError{err}
		}
		return &input, nil
	}
	if of.Format == schemas.RegistryAvro.String() {
		bare, err := schemas.NewInput("input", schemas.RegistryAvro, "", nil, d.sample.Writers)
		if err != nil {
			return nil, err
		}
		reader, err := eventReaderOf(d.settings, bare)
		if err != nil {
			return nil, err
		}
		if t := survey.Try(d.sample.Records, reader.decoder, d.settings.Clock.Lateness.Milliseconds()); 2*t.Events > t.Records {
			ours()
			return &bare, nil
		}
	}
	d.report.Mapping, d.report.Missing, d.report.Draft = proposal.Mapping, proposal.Missing, proposal.Draft
	if d.flags.out != "" {
		if err := writeNew(d.flags.out, cmp.Or(proposal.Mapping, proposal.Draft)); err != nil {
			return nil, err
		}
	}
	if proposal.Mapping == "" {
		return nil, nil
	}
	mapping, err := schemas.ParseMapping([]byte(proposal.Mapping))
	if err != nil {
		//lull:unread it would be a fault of the program
		return nil, fmt.Errorf("the mapping that is proposed is none (%w):\n%s", err, proposal.Mapping)
	}
	input, err := schemas.NewInput("input", d.sample.Format, d.sample.Schema, mapping, d.sample.Writers)
	if err != nil {
		return nil, usageError{err}
	}
	return &input, nil
}

// writeNew writes a file that is not there yet.
func writeNew(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // whoever runs lull is to read it
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// try finds out what becomes of the records.
func (d *doctor) try(input schemas.Input, records int64) error {
	reader, err := eventReaderOf(d.settings, input)
	if err != nil {
		return err
	}
	r := &d.report
	d.trial = survey.Try(d.sample.Records, reader.decoder, d.settings.Clock.Lateness.Milliseconds())
	r.Trial, r.Abilities = d.trial, d.trial.Abilities()
	partitions := int64(d.settings.Topics.Partitions)
	if r.Topic != nil && d.keyedByCustomer() {
		partitions = int64(r.Topic.Partitions)
	}
	d.trial.Count(d.rest, reader.decoder)
	size := d.trial.Estimate(records, partitions)
	r.Size, r.Settings = &size, d.settingsText()
	d.warn()
	return nil
}

// keyedByCustomer reports whether the topic can be input.topic as it is.
func (d *doctor) keyedByCustomer() bool {
	q := &d.trial.Quality
	return q.ByCustomer > 0 && 100*q.ByCustomer >= 99*d.trial.Events
}

// settingsText returns what of lull.yaml follows.
func (d *doctor) settingsText() string {
	r := &d.report
	if r.Topic == nil {
		return ""
	}
	how := "format: " + r.Format
	mapping := d.settings.InputTopic(r.Source).Mapping
	if r.Mapping != "" {
		mapping = d.mappingFile()
	}
	for _, file := range []struct{ key, path string }{{"mapping", mapping}, {"schema", d.settings.InputTopic(r.Source).Schema}} {
		if file.path != "" {
			how += fmt.Sprintf(", %s: %q", file.key, file.path)
		}
	}
	text := fmt.Sprintf("inputs:\n  %s: {%s}\n", r.Source, how)
	if d.keyedByCustomer() {
		text = fmt.Sprintf("input: {topic: %s, %s}\n", r.Source, how)
	}
	rates := d.settings.Money.ListRates("%s: %q", ", ")
	if rates != "" {
		rates = ", rates: {" + rates + "}"
	}
	text += fmt.Sprintf("money: {currency: %s%s}%s\n", r.Currency, rates, d.assumed("   # assumed: no record tells one"))
	for _, c := range d.rateless() {
		text += fmt.Sprintf("# money.rates lacks %s, of %d records: what is 1 %s worth in %s?\n", c.Name, c.Records, c.Name, r.Currency)
	}
	text += fmt.Sprintf("calendar: {timezone: %s}\n", d.settings.Calendar.Timezone)
	if r.Format == schemas.RegistryAvro.String() {
		text += fmt.Sprintf("registry: {url: [%q]}\n", d.settings.Registry.URL[0])
	}
	return text
}

// rateless returns the currencies that records tell and that have no rate, and how many tell them, the most frequent first: but for the base currency they are refused.
func (d *doctor) rateless() []survey.Count {
	return slices.DeleteFunc(d.profile.Currencies(), func(c survey.Count) bool {
		_, has := d.settings.Money.Rates[c.Name]
		return has || c.Name == d.report.Currency // "" until it is chosen
	})
}

// assumed returns a text if the currency is assumed, else "".
func (d *doctor) assumed(text string) string {
	if d.report.CurrencyAssumed {
		return text
	}
	return ""
}

// mappingFile returns the path that the mapping has or is to have.
func (d *doctor) mappingFile() string { return cmp.Or(d.flags.out, "mapping.yaml") }

// warn tells what of the records and the topic is not as it should be.
func (d *doctor) warn() {
	warn := func(format string, args ...any) {
		d.report.Warnings = append(d.report.Warnings, fmt.Sprintf(format, args...))
	}
	for _, c := range d.rateless() {
		warn("%d records are in %s, which has no rate: those with an amount are refused (unknown_currency). Say what 1 %s is worth in %s, by money.rates or --money-currency %s --money-rates %s=RATE", c.Records, c.Name, c.Name, d.report.Currency, d.report.Currency, c.Name)
	}
	t := d.report.Topic
	switch q := &d.trial.Quality; {
	case d.trial.Unordered():
		warn("%d of %d events are more than a week older than the one before them: the records are not in the order of time, as those of an export sorted by customer are not. While they are read, time goes on to the newest, and what follows is late, "+
			"but for orders and consents: sort them by time (docs/operating/connect-your-data.md)", q.StepsBack, d.trial.Events)
	case q.Jumps > 0:
		at := fmt.Sprintf("record %d", q.Jump.Offset+1)
		if t != nil {
			at = fmt.Sprintf("offset %d of partition %d", q.Jump.Offset, q.Jump.Partition)
		}
		warn("events that are dated more than a week ahead of the one before and the one after them: %d, the first is %s, of %s. While a history is read, time goes on to such an event, and what follows it is late, but for orders and consents; "+
			"under inputs its partition waits there until the others have come so far. clock.max_jump does not help: mend the time, or leave the record out (docs/operating/connect-your-data.md)", q.Jumps, at, q.Jump.Time)
	}
	if t == nil {
		return
	}
	if strings.Contains(t.Cleanup, "compact") {
		warn("the topic is compacted (cleanup.policy is %s): of each key the older records are deleted, and the events in them are lost before lull has read them; write events to a topic with cleanup.policy=delete", t.Cleanup)
	}
	if r := msText(t.RetentionMs); r != "" && t.RetentionMs != "-1" {
		warn("records are kept for %s: what is older cannot be read again. A model is fitted to repeat purchases, which take months: let `lull produce` or another topic bring the history", r)
	}
	if t.Timestamps != "LogAppendTime" && d.trial.Quality.Ahead > 0 {
		warn("Kafka's timestamps are the producers' (CreateTime): what is dated ahead is bounded by them alone")
	}
}

func (d *doctor) print(out io.Writer) error {
	w := bufio.NewWriter(out)
	if d.flags.json {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(&d.report); err != nil {
			return fmt.Errorf("printing the report: %w", err)
		}
		return w.Flush()
	}
	if d.flags.sampled() {
		d.printText(w)
	} else {
		d.printLoad(w)
	}
	return w.Flush()
}
