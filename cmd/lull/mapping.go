package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

func newMappingCommand() *cobra.Command {
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the mapping that input.format segment-json stands for",
		Args:  cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(schemas.SegmentMapping())
			return err
		}),
	}
	return newGroup("mapping", "Try how records become events", newMappingTryCommand(), show)
}

// tryFlags are the flags of mapping try.
type tryFlags struct {
	samples []string
	topic   string
	lines   int
}

func newMappingTryCommand() *cobra.Command {
	var f tryFlags
	cmd := &cobra.Command{
		Use:   "try [FILE]",
		Short: "Show what becomes of records",
		Long: `Try reads records and prints, for each, a JSON line with the event that it becomes, or with the reason for which it is refused, as
lull run would. FILE is the mapping (default input.mapping). The records are those of a file: JSON, one after the other; CSV,
with or without a line of the columns' names; or one record of Avro. Or they are the newest of a topic. With both, --sample FILE and --topic TOPIC, those of the file are read as
the topic's are.

The format is input.format, or that of --topic under inputs; if that is not set, FILE's: csv if it has a section csv, else json. The records of a file have no
keys: each is taken to be keyed by its customer. So is each of a topic that is not input.topic, as any key will do for one of inputs. The exit code is 1 if a record is refused or there is none, and 2 if FILE is
not as it must be.`,
		Example: `  lull mapping try orders.yaml --sample orders.jsonl
  lull mapping try orders.yaml --topic shop-orders -n 20
  lull mapping try --input-format segment-json --sample calls.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			of := s.InputTopic(f.topic)
			if len(args) == 1 {
				of.Mapping = args[0]
			}
			switch {
			case len(f.samples) == 0 && f.topic == "":
				return usageError{errors.New("--sample FILE or --topic TOPIC must say where records are; both together try the file as records of the topic")}
			case s.Staged() && f.topic == "" && len(args) == 0:
				return usageError{fmt.Errorf("--topic is missing: it must say of which input the records of --sample are: %s", strings.Join(slices.Sorted(maps.Keys(s.Inputs)), ", "))}
			}
			if f.lines < 1 {
				return usageError{fmt.Errorf("--lines is %d: it must be 1 or more", f.lines)}
			}
			t, err := newTrial(cmd.Context(), &s, of)
			if err != nil {
				return err
			}
			t.keyless = t.keyless || f.topic != s.Input.Topic
			out := bufio.NewWriter(cmd.OutOrStdout())
			if err := errors.Join(t.run(cmd, &f, out), out.Flush()); err != nil {
				return err
			}
			switch {
			case t.records == 0 && len(f.samples) == 0:
				return fmt.Errorf("there is no record to try in topic %q: write some there, or try those of a file by --sample", f.topic)
			case t.records == 0:
				return fmt.Errorf("there is no record to try in %s", strings.Join(f.samples, ", "))
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %d events, %d ignored, %d refused\n", many(t.records, "record"), t.records-t.ignored-t.refused, t.ignored, t.refused)
			if t.refused > 0 {
				return fmt.Errorf("%d of %d records were refused: mend the mapping, or what writes them", t.refused, t.records)
			}
			return nil
		}),
	}
	cmd.Flags().StringArrayVar(&f.samples, "sample", nil, "`file` with records, - for standard input; for Avro one record, and the flag once for each")
	cmd.Flags().StringVar(&f.topic, "topic", "", "`topic` whose newest records are read; with --sample the one under inputs that its records are of")
	cmd.Flags().IntVarP(&f.lines, "lines", "n", 20, "how many records of --topic are read")
	addSettingFlags(cmd, "brokers", "input.format", "input.schema", "input.future_dated", "calendar.timezone", "clock.max_skew", "money.currency", "money.rates",
		"registry.url", "registry.username", "registry.password_file", "registry.ca_file", "registry.timeout")
	return cmd
}

// trial shows what becomes of records.
type trial struct {
	*eventReader
	records, ignored, refused int
}

func newTrial(ctx context.Context, s *pipeline.Settings, of pipeline.InputTopic) (*trial, error) {
	if of.Format == schemas.OwnAvro.String() && of.Mapping != "" {
		text, err := os.ReadFile(of.Mapping)
		if err != nil {
			return nil, usageError{err}
		}
		mapping, err := schemas.ParseMapping(text)
		if err != nil {
			return nil, usageError{&pipeline.MappingError{Setting: "input.mapping", File: of.Mapping, Err: err}}
		}
		of.Format = schemas.JSON.String()
		if len(mapping.Columns()) > 0 {
			of.Format = schemas.CSV.String()
		}
	}
	events, err := newEventReader(ctx, s, of)
	return &trial{eventReader: events}, err
}

func (t *trial) run(cmd *cobra.Command, f *tryFlags, out io.Writer) error {
	if len(f.samples) == 0 {
		return t.tryTopic(cmd.Context(), f.topic, f.lines, out)
	}
	for _, path := range f.samples {
		file, _, err := openInput(cmd, path)
		if err != nil {
			return err
		}
		values, err := t.split(file)
		_ = file.Close() // it has only been read
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, value := range values {
			source := schemas.Source{Topic: path, Offset: int64(t.records), Value: value, AppendTime: operators.EventTime(time.Now().UnixMilli())}
			var e operators.Event
			if err := t.show(out, nil, t.decoder.DecodeKeyless(&source, &e), &e); err != nil {
				return err
			}
		}
	}
	return nil
}

// split returns the records that a file holds.
func (t *trial) split(file io.Reader) ([][]byte, error) {
	if f := t.input.Format; f != schemas.JSON && f != schemas.SegmentJSON && f != schemas.CSV {
		value, err := io.ReadAll(file)
		return [][]byte{value}, err
	}
	format := jsonFormat
	if t.input.Format == schemas.CSV {
		format = csvFormat
	}
	reader, err := uncompressed(file, format)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		return nil, err
	}
	if t.input.Format == schemas.CSV {
		mapping := t.input.Mapping()
		return splitRows(text, mapping.Columns(), mapping.Delimiter()), nil
	}
	return splitJSON(text), nil
}

// splitJSON returns the JSON values of a text, however they are laid out, the last one as it is if the text ends within it; if they are not all JSON, its lines.
func splitJSON(text []byte) (values [][]byte) {
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		var value json.RawMessage
		err := d.Decode(&value)
		if errors.Is(err, io.EOF) {
			return values
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return append(values, bytes.TrimSpace(text[d.InputOffset():]))
		}
		if err != nil {
			break
		}
		values = append(values, bytes.Clone(value))
	}
	values = nil
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			values = append(values, line)
		}
	}
	return values
}

// splitRows returns the rows of a CSV text, without one of the columns' names at its beginning.
func splitRows(text []byte, columns []string, delimiter rune) (values [][]byte) {
	rows := csv.NewReader(bytes.NewReader(text))
	rows.Comma, rows.FieldsPerRecord, rows.LazyQuotes = delimiter, -1, true
	for from := int64(0); ; {
		cells, err := rows.Read()
		if err != nil { // with lazy quotes only the end
			return values
		}
		value := bytes.Trim(text[from:rows.InputOffset()], "\r\n") // the last column may be empty behind a tab
		from = rows.InputOffset()
		if len(values) == 0 && sameTexts(cells, columns) {
			continue
		}
		values = append(values, value)
	}
}

func sameTexts(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && b[i] != "" {
			return false
		}
	}
	return true
}

// tryTopic shows what becomes of the newest records of a topic.
func (t *trial) tryTopic(ctx context.Context, topic string, lines int, out io.Writer) error {
	records, err := newestOf(ctx, t.settings, topic, lines)
	if err != nil {
		return err
	}
	for _, r := range records {
		source := asSource(r)
		if _, isMark, _ := t.decoder.TimeMark(&source); isMark {
			continue
		}
		var e operators.Event
		if err := t.show(out, r, t.decode(&source, &e), &e); err != nil {
			return err
		}
	}
	return nil
}

// newestOf returns the newest records of a topic.
func newestOf(ctx context.Context, s *pipeline.Settings, topic string, lines int) ([]*kgo.Record, error) {
	t := &tail{settings: *s, name: topic, of: schemas.Events, instead: "mend --topic, or --brokers"}
	var inputs []string
	for _, in := range s.InputTopics() {
		if in.Topic != "" {
			inputs = append(inputs, in.Topic)
		}
	}
	if len(inputs) > 0 {
		t.instead += "; the settings name " + strings.Join(inputs, ", ")
	}
	newest := &newestRecords{topic: topic, lines: lines, holds: func(*kgo.Record) bool { return true }}
	for window := int64(2*lines + 100); ; window *= 8 {
		client, spans, err := t.open(ctx)
		if err != nil {
			return nil, err
		}
		complete, err := newest.read(ctx, client, spans, window)
		client.Close()
		if err != nil || complete {
			return newest.take(), err
		}
	}
}

// show prints what has become of a record.
func (t *trial) show(out io.Writer, of *kgo.Record, refusal *operators.Rejection, e *operators.Event) error {
	t.records++
	line := schemas.Fields{{Name: "record", Value: int64(t.records)}}
	if of != nil {
		line = append(line, schemas.Field{Name: "partition", Value: int64(of.Partition)}, schemas.Field{Name: "offset", Value: of.Offset})
	}
	switch {
	case refusal == nil:
		line = append(line, schemas.Field{Name: "event", Value: eventFields(e, t.settings.Money.Currency)})
	case refusal.Reason == schemas.ReasonIgnored:
		t.ignored++
		line = append(line, schemas.Field{Name: "ignored", Value: true})
	default:
		t.refused++
		line = append(line, schemas.Field{Name: "refused", Value: refusal.Reason}, schemas.Field{Name: "detail", Value: refusal.Detail})
	}
	text, err := line.MarshalJSON()
	if err != nil {
		return fmt.Errorf("printing record %d: %w", t.records, err)
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}
