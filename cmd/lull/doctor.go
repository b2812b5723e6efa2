package main

import (
	"bufio"
	"bytes"
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
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/survey"
	"lull/schemas"
)

// The bounds of a sample.
const (
	sampleMost     = 20_000
	sampleBytesMax = 256 << 20
)

// doctorFlags are the flags of doctor.
type doctorFlags struct {
	topic, file, out string
	sample           int
	json             bool
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

With --file the records are those of a file, JSON lines or CSV with a line of the columns' names, and no broker is needed; the first are read. A
format or mapping that is set for the topic is kept. Amounts are taken to be in money.currency, and if that is not set in the currency that
most records tell.

What it proposes is judged by names and values alone: look at each line with an exclamation mark. The exit code is 1 if no record of
the sample becomes an event.`,
		Example: `  lull doctor --topic shop-orders --brokers kafka-1:9092
  lull doctor --topic shop-orders --out orders.yaml --config lull.yaml
  lull doctor --file orders.csv --calendar-timezone Europe/Berlin`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, origins, err := loadWithOrigins(cmd.Flags(), os.Environ())
			switch {
			case err != nil:
				return err
			case (f.topic == "") == (f.file == ""):
				return usageError{errors.New("either --topic TOPIC or --file FILE must say where records are")}
			case f.sample < 1 || f.sample > sampleMost:
				return usageError{fmt.Errorf("--sample is %d: it must be from 1 to %d", f.sample, sampleMost)}
			}
			if f.out != "" {
				if _, err := os.Stat(f.out); err == nil {
					return usageError{fmt.Errorf("--out %q is there already: name another, or remove it", f.out)}
				}
			}
			d := &doctor{settings: &s, flags: &f, chooseCurrency: origins["money.currency"] == ""}
			return d.run(cmd)
		}),
	}
	cmd.Flags().StringVar(&f.topic, "topic", "", "`topic` that a sample is read of")
	cmd.Flags().StringVar(&f.file, "file", "", "`file` with records instead, JSON lines or CSV, - for standard input")
	cmd.Flags().IntVar(&f.sample, "sample", 1000, "how many records are read")
	cmd.Flags().StringVar(&f.out, "out", "", "`file` that the proposed mapping is written to; it must not be there")
	cmd.Flags().BoolVar(&f.json, "json", false, "print all that was found as JSON")
	addSettingFlags(cmd, "brokers", "input.format", "input.mapping", "input.schema", "calendar.timezone", "clock.lateness", "clock.max_skew", "money.currency", "money.rates",
		"registry.url", "registry.username", "registry.password_file", "registry.ca_file", "registry.timeout")
	return cmd
}

// doctor is what is found, and what it is found by.
type doctor struct {
	settings       *pipeline.Settings
	flags          *doctorFlags
	chooseCurrency bool // money.currency is not set

	report  doctorReport
	sample  survey.Sample
	profile *survey.Profile
	trial   *survey.Trial
}

// doctorReport is what doctor prints as JSON.
type doctorReport struct {
	Source string       `json:"source"` // the topic, or the file
	Topic  *doctorTopic `json:"topic"`  // nil of a file
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
	Mapping  string   `json:"mapping"`
	Missing  []string `json:"missing"`
	Currency string   `json:"money_currency"`
	// Settings is what of lull.yaml follows for the topic; "" of a file.
	Settings  string           `json:"settings"`
	Trial     *survey.Trial    `json:"trial"` // nil if there is nothing to try
	Abilities []survey.Ability `json:"abilities"`
	Size      *survey.Size     `json:"size"`
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
	}
	if err := d.print(cmd.OutOrStdout()); err != nil {
		return err
	}
	switch {
	case d.trial == nil:
		return fmt.Errorf("nothing in the records of %s can be mapped: %s. If a field tells it all the same, write the mapping (docs/formats/mapping.md), and try it by `lull mapping try`",
			d.report.Source, strings.Join(d.report.Missing, "; "))
	case d.trial.Events == 0:
		return fmt.Errorf("no record of %s becomes an event: see what is refused, and mend the mapping, or what writes the records", d.report.Source)
	}
	return nil
}

// readFile reads the first records of a file, and returns how many there are in it.
func (d *doctor) readFile(cmd *cobra.Command) (records int64, err error) {
	file, _, err := openInput(cmd, d.flags.file)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // it has only been read
	reader, err := uncompressed(file, jsonFormat)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", d.flags.file, err)
	}
	text, err := io.ReadAll(io.LimitReader(reader, sampleBytesMax))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", d.flags.file, err)
	}
	var values [][]byte
	if text = bytes.TrimSpace(text); len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		values = splitJSON(text)
	} else {
		first, _, _ := bytes.Cut(text, []byte("\n"))
		columns, delimiter, ok := survey.Header(bytes.TrimSpace(first))
		values = splitRows(text, nil, cmp.Or(delimiter, ','))
		if ok {
			d.sample.Columns, d.sample.Delimiter, values = columns, delimiter, values[1:]
		}
	}
	if len(values) == 0 {
		return 0, fmt.Errorf("there is no record in %s: it must be JSON lines, or CSV with a line of the columns' names", d.flags.file)
	}
	records = int64(len(values))
	for i, value := range values[:min(len(values), d.flags.sample)] {
		d.sample.Records = append(d.sample.Records, schemas.Source{Topic: d.flags.file, Offset: int64(i), Value: value, AppendTime: operators.Unset})
	}
	return records, nil
}

// readTopic reads the newest records of all partitions, and returns how many there are at most.
func (d *doctor) readTopic(ctx context.Context) (records int64, err error) {
	topic := &doctorTopic{}
	d.report.Topic = topic
	var read []*kgo.Record
	for least := 1; ; least *= 8 {
		// A client reads a topic once.
		client, err := newClient(ctx, d.settings, readOptions()...)
		if err != nil {
			return 0, err
		}
		adm := kadm.NewClient(client)
		spans, err := stableSpans(ctx, adm, d.flags.topic)
		if err != nil {
			client.Close()
			if errors.Is(err, kerr.UnknownTopicOrPartition) {
				err = fmt.Errorf("topic %q does not exist on the brokers of %s: mend --topic, or --brokers", d.flags.topic, strings.Join(d.settings.Brokers, ", "))
			}
			return 0, err
		}
		if least == 1 {
			topic.describe(ctx, adm, d.flags.topic, spans)
		}
		windows, whole := newestWindows(spans, d.flags.sample, least)
		read, err = readSample(ctx, client, d.flags.topic, windows)
		client.Close()
		if err != nil {
			return 0, err
		}
		if whole || len(read) >= min(d.flags.sample, int(topic.Records)) {
			break
		}
	}
	if len(read) == 0 {
		return 0, fmt.Errorf("there is no record in topic %q: write some there, or look at a file by --file", d.flags.topic)
	}
	topic.Timestamps = timestampsOf(read)
	for _, r := range newestAlike(read, d.flags.sample) {
		d.sample.Records = append(d.sample.Records, asSource(r))
	}
	return topic.Records, nil
}

// newestWindows returns the newest offsets of each partition: as many of all, but that those of small ones are made up for by others, times least. whole is true if they are all that there is.
func newestWindows(spans map[int32]span, records, least int) (windows map[int32]span, whole bool) {
	windows, whole = make(map[int32]span), true
	left, partitions := int64(records), make([]int32, 0, len(spans))
	for p := range spans {
		partitions = append(partitions, p)
	}
	slices.SortFunc(partitions, func(a, b int32) int {
		return cmp.Or(cmp.Compare(spans[a].end-spans[a].start, spans[b].end-spans[b].start), cmp.Compare(a, b))
	})
	for i, p := range partitions { // the smallest first
		s := spans[p]
		others := int64(len(partitions) - i)
		share := min(s.end-s.start, (left+others-1)/others)
		left -= share
		from := max(s.start, s.end-share*int64(least))
		windows[p] = span{from, s.end}
		whole = whole && from == s.start
	}
	return windows, whole
}

// errSampled says that a sample is as large as it may become.
//
//lull:unread it ends the reading, and is told to nobody
var errSampled = errors.New("the sample is large enough")

// readSample reads what is in the windows, but no more than sampleBytesMax bytes.
func readSample(ctx context.Context, client *kgo.Client, topic string, windows map[int32]span) (records []*kgo.Record, err error) {
	size := 0
	err = readSpans(ctx, client, topic, windows, func(r *kgo.Record) error {
		if w := windows[r.Partition]; r.Offset < w.start || r.Offset >= w.end || isTimeMark(r) {
			return nil
		}
		records = append(records, r)
		if size += len(r.Key) + len(r.Value); size > sampleBytesMax {
			return errSampled
		}
		return nil
	})
	if errors.Is(err, errNothingMore) || errors.Is(err, errSampled) {
		err = nil
	}
	return records, err
}

// isTimeMark reports whether a record is one of lull's time marks, and no event.
func isTimeMark(r *kgo.Record) bool {
	return len(r.Key) == 0 && slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == schemas.TimeMarkHeader })
}

// newestAlike returns so many of the records, the newest of each partition, in the order of partitions and offsets.
func newestAlike(records []*kgo.Record, most int) []*kgo.Record {
	counts := make(map[int32]span)
	for _, r := range records {
		counts[r.Partition] = span{0, counts[r.Partition].end + 1}
	}
	windows, _ := newestWindows(counts, most, 1)
	slices.SortFunc(records, func(a, b *kgo.Record) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	at := make(map[int32]int64)
	return slices.DeleteFunc(records, func(r *kgo.Record) bool {
		at[r.Partition]++
		return at[r.Partition] <= windows[r.Partition].start
	})
}

// describe asks for what the brokers know of the topic. Not to be allowed to see its settings keeps nothing.
func (t *doctorTopic) describe(ctx context.Context, adm *kadm.Client, topic string, spans map[int32]span) {
	t.Partitions = len(spans)
	for _, s := range spans {
		t.Records += s.end - s.start
		if s.start == s.end {
			t.Empty++
		}
	}
	configs, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return
	}
	of, err := configs.On(topic, nil)
	if err != nil {
		return
	}
	for _, c := range of.Configs {
		switch c.Key {
		case "cleanup.policy":
			t.Cleanup = c.MaybeValue()
		case "retention.ms":
			t.RetentionMs = c.MaybeValue()
		}
	}
}

// timestampsOf says what the records' timestamps are.
func timestampsOf(records []*kgo.Record) string {
	appended := 0
	for _, r := range records {
		if r.Attrs.TimestampType() == 1 {
			appended++
		}
	}
	switch appended {
	case 0:
		return "CreateTime"
	case len(records):
		return "LogAppendTime"
	}
	return "CreateTime and LogAppendTime"
}

// recognize finds out how the values are written, unless that is set.
func (d *doctor) recognize(ctx context.Context, of *pipeline.InputTopic) error {
	values := make([][]byte, len(d.sample.Records))
	for i := range values {
		values[i] = d.sample.Records[i].Value
	}
	own, err := schemas.NewDecoder(schemas.DecoderConfig{Currency: d.settings.Money.Currency, Rates: d.settings.Money.Rates, Limits: d.settings.Limits.Record()})
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
	if currency := d.profile.CommonCurrency(); d.chooseCurrency && currency != "" {
		d.sample.Currency, d.settings.Money.Currency = currency, currency
	}
	r := &d.report
	r.Sampled, r.Currency = d.profile.Records, d.sample.Currency
	r.WithoutKey, r.Keys, r.Unread = d.profile.Records-d.profile.Keyed, d.profile.Keys, d.profile.Unread
	if d.profile.Read == 0 {
		return fmt.Errorf("none of the %d records of %s can be read as %s, the first because of this: %s: %s", r.Sampled, r.Source, d.sample.Format, r.Unread[0].Reason, r.Unread[0].Example)
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
			return &bare, nil
		}
	}
	d.report.Mapping, d.report.Missing = proposal.Mapping, proposal.Missing
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
	if d.flags.out != "" {
		if err := writeNew(d.flags.out, proposal.Mapping); err != nil {
			return nil, err
		}
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
	text += fmt.Sprintf("money: {currency: %s}\ncalendar: {timezone: %s}\n", r.Currency, d.settings.Calendar.Timezone)
	if r.Format == schemas.RegistryAvro.String() {
		text += fmt.Sprintf("registry: {url: [%q]}\n", d.settings.Registry.URL[0])
	}
	return text
}

// mappingFile returns the path that the mapping has or is to have.
func (d *doctor) mappingFile() string { return cmp.Or(d.flags.out, "mapping.yaml") }

// warn tells what of the topic is not as it should be.
func (d *doctor) warn() {
	t := d.report.Topic
	if t == nil {
		return
	}
	warn := func(format string, args ...any) {
		d.report.Warnings = append(d.report.Warnings, fmt.Sprintf(format, args...))
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
	d.printText(w)
	return w.Flush()
}
