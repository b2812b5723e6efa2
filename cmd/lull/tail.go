package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

func newTailCommand() *cobra.Command {
	var fromStart, follow bool
	var lines int
	var filter tailFilter
	var output string
	cmd := &cobra.Command{
		Use:   "tail TOPIC",
		Short: "Print the records of a topic as text, JSON lines or a table",
		Long: `Tail prints the newest records of a topic over all its partitions, decoded: the newest by ce_time, the event time of what an output
tells, or by Kafka timestamp where there is none. Only what has been committed is read.

On a terminal each record is a few lines of text for a person. Into a pipe or a file it is one JSON object a line, with all its fields.
--output says which of them wherever it goes, or asks for a table of what matters most, a line for each record.

--customer, --type, --since and --until choose among the records, and --lines then counts those chosen. The type is an event's
kind, a trigger's rule, the segment that a change leads to, a dead letter's reason. The time is that of what the record
tells: ce_time, an event's own time, else its Kafka timestamp.

TOPIC is one of lull's own, with or without the prefix:
` + strings.Join(ownTopics(), ", ") + `;
any other name is that of a topic with events. The values of input.topic, and of those under inputs, are shown as what lull run
makes of them by their format and mapping; one that becomes no event is shown as it is, with the reason.`,
		Example: `  lull tail triggers --from-start
  lull tail scores --follow
  lull tail orders --customer ann --type order_refunded --since 2026-11-01 --output table
  lull tail triggers --follow --since 1h -o text`,
		Args: oneArgument("the TOPIC"),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			switch {
			case err != nil:
				return err
			case args[0] == "":
				return usageError{fmt.Errorf("TOPIC is empty: it must be a topic with events, or one of %s", strings.Join(ownTopics(), ", "))}
			case lines < 0:
				return usageError{fmt.Errorf("--lines is %d: it must be 0 or more", lines)}
			case fromStart && cmd.Flags().Changed("lines"):
				return usageError{errors.New("--from-start prints all records: leave out --lines")}
			case !slices.Contains([]string{"", "text", "json", "table"}, output):
				return usageError{fmt.Errorf("--output %q: it must be text, json or table", output)}
			case output == "" && isTerminal(cmd.OutOrStdout()):
				output = "text"
			}
			if filter.since, filter.until, err = parsePeriod(filter.sinceText, filter.untilText, s.Calendar.Timezone); err != nil {
				return usageError{err}
			}
			t := newTail(s, args[0])
			t.filter, t.output, t.line = filter, output, lineWidth(cmd.OutOrStdout())
			if of := s.InputTopic(t.name); s.IsInput(t.name) && of.Format != schemas.OwnAvro.String() {
				if t.events, err = newEventReader(cmd.Context(), &s, of); err != nil {
					return err
				}
			}
			if _, ok := operators.KindNamed(filter.kind); !ok && filter.kind != "" && t.of == schemas.Events {
				return usageError{fmt.Errorf("--type %q is no kind of event: of a topic with events it must be one such as %s or %s", filter.kind, operators.PageViewed, operators.OrderCompleted)}
			}
			out := bufio.NewWriter(cmd.OutOrStdout())
			err = t.run(cmd.Context(), out, fromStart, follow, lines)
			if errors.Is(err, context.Canceled) && follow {
				err = nil // that is how following ends
			}
			if err = cmp.Or(err, out.Flush()); err != nil || t.printed {
				return err
			}
			switch {
			case filter != (tailFilter{}):
				_, err = fmt.Fprintf(cmd.ErrOrStderr(), "no record of %s is one that the flags choose\n", t.name)
			case lines > 0 && !follow:
				_, err = fmt.Fprintf(cmd.ErrOrStderr(), "there is no record in %s\n", t.name)
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&fromStart, "from-start", false, "print all records, in the order of each partition")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new records until interrupted")
	cmd.Flags().IntVarP(&lines, "lines", "n", 10, "print this many of the newest records at most")
	filter.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "print text for a person, json, one object a line, or a table of what matters most (default text on a terminal, else json)")
	addSettingFlags(cmd, "brokers", "prefix")
	return cmd
}

// ownTopics are the names of lull's own topics, without the prefix.
func ownTopics() []string {
	return []string{
		pipeline.SessionsTopic, pipeline.ScoresTopic, pipeline.SegmentsTopic, pipeline.TriggersTopic, pipeline.OffersTopic, pipeline.DeadLettersTopic, pipeline.ModelsTopic,
		pipeline.StatisticsTopic, pipeline.FitsTopic, pipeline.RedrivesTopic, pipeline.QualityTopic, pipeline.ChangelogTopic,
	}
}

// tail prints the records of a topic.
type tail struct {
	settings  pipeline.Settings
	name      string
	of        schemas.Topic
	changelog bool         // it is the changelog, which of does not have
	events    *eventReader // of the input, if it is not by event.avsc; else nil
	filter    tailFilter
	output    string // text or table; anything else is JSON
	line      int    // width of the terminal that the table is for, 0 if it is for none
	headed    bool   // the table's header has been printed
	printed   bool   // a record has been printed
	instead   string // what to do if there is no such topic
}

func newTail(s pipeline.Settings, topic string) *tail {
	short := strings.TrimPrefix(topic, s.Prefix)
	if s.Staged() && short == pipeline.EventsTopic {
		return &tail{settings: s, name: s.Topic(short), of: schemas.Events}
	}
	if s.IsInput(topic) || !slices.Contains(ownTopics(), short) {
		return &tail{settings: s, name: topic, of: schemas.Events}
	}
	of, ok := schemas.TopicNamed(short)
	return &tail{settings: s, name: s.Topic(short), of: of, changelog: !ok}
}

// run prints what is there, and what comes if follow is set.
func (t *tail) run(ctx context.Context, out *bufio.Writer, fromStart, follow bool, lines int) error {
	client, spans, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer func() { client.Close() }()
	if fromStart {
		err = readSpans(ctx, client, t.name, spans, func(r *kgo.Record) error { return t.printHeld(out, r) })
		if err != nil && !errors.Is(err, errNothingMore) {
			return err
		}
		return t.follow(ctx, client, out, follow)
	}
	newest := &newestRecords{topic: t.name, lines: lines, holds: t.holds}
	// A transaction's end takes an offset too, and so does what has been aborted or compacted away: twice as many offsets mostly hold as many records.
	for window := int64(2*lines + 100); ; window *= 8 {
		complete, err := newest.read(ctx, client, spans, window)
		if err != nil {
			return err
		}
		if complete {
			break
		}
		client.Close()
		if client, _, err = t.open(ctx); err != nil {
			return err
		}
	}
	for _, r := range newest.take() {
		if err := t.print(out, r); err != nil {
			return err
		}
	}
	return t.follow(ctx, client, out, follow)
}

// open returns a client that has read nothing, and what is in the topic.
func (t *tail) open(ctx context.Context) (*kgo.Client, map[int32]span, error) {
	client, err := newClient(ctx, &t.settings, readOptions()...)
	if err != nil {
		return nil, nil, err
	}
	spans, err := topicSpans(ctx, kadm.NewClient(client), t.name)
	if err == nil {
		return client, spans, nil
	}
	client.Close()
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = fmt.Errorf("topic %q does not exist; %s", t.name, cmp.Or(t.instead, fmt.Sprintf("lull's own are %s under the prefix %q, and `lull topics apply` makes them",
			strings.Join(ownTopics(), ", "), t.settings.Prefix)))
	}
	return nil, nil, err
}

// newestRecords finds the newest records of a topic: the last lines of them over all partitions.
type newestRecords struct {
	topic   string
	lines   int
	holds   func(r *kgo.Record) bool // whether a record is to be printed
	records []*kgo.Record
}

// read reads that many offsets before the end of each span, and what comes with them, with a client that has read nothing. complete is false if there may be newer
// records before them than some of these.
func (n *newestRecords) read(ctx context.Context, client *kgo.Client, spans map[int32]span, window int64) (complete bool, err error) {
	n.records = n.records[:0]
	windows, found := make(map[int32]span, len(spans)), make(map[int32]int, len(spans))
	for p, s := range spans {
		windows[p] = span{start: max(s.start, s.end-window), end: s.end}
	}
	err = readSpans(ctx, client, n.topic, windows, func(r *kgo.Record) error {
		if !n.holds(r) {
			return nil
		}
		n.records = append(n.records, r)
		found[r.Partition]++
		return nil
	})
	if err != nil && !errors.Is(err, errNothingMore) {
		return false, err
	}
	for p, s := range windows {
		if s.start > spans[p].start && found[p] < n.lines {
			return false, nil
		}
	}
	return true, nil
}

// take returns the newest of the records that were read, the newest last. Outputs are ordered by the event time of what they tell: when they were written says
// which partition's turn it was, in a transaction and in a replay.
func (n *newestRecords) take() []*kgo.Record {
	slices.SortStableFunc(n.records, func(a, b *kgo.Record) int {
		return cmp.Or(timeOf(a).Compare(timeOf(b)), a.Timestamp.Compare(b.Timestamp), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return n.records[max(0, len(n.records)-n.lines):]
}

// timeOf returns the time of what the record tells if it says so, else that of the record.
func timeOf(r *kgo.Record) time.Time {
	for _, h := range r.Headers {
		if h.Key != "ce_time" {
			continue
		}
		if t, err := time.Parse(time.RFC3339, string(h.Value)); err == nil {
			return t
		}
	}
	return r.Timestamp
}

// follow prints what comes, if asked to, until ctx ends.
func (t *tail) follow(ctx context.Context, client *kgo.Client, out *bufio.Writer, follow bool) error {
	for follow {
		if err := out.Flush(); err != nil {
			return err
		}
		fetches := client.PollFetches(ctx)
		if err := fetchError(ctx, fetches); err != nil {
			return err
		}
		for r := range fetches.RecordsAll() {
			if r.Attrs.IsControl() {
				continue
			}
			if err := t.printHeld(out, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// printHeld prints a record if the filter holds it.
func (t *tail) printHeld(out io.Writer, r *kgo.Record) error {
	if !t.holds(r) {
		return nil
	}
	return t.print(out, r)
}

// print prints one record.
func (t *tail) print(out io.Writer, r *kgo.Record) error {
	t.printed = true
	switch t.output {
	case "text":
		return t.printText(out, r)
	case "table":
		return t.printRow(out, r)
	}
	line := schemas.Fields{{Name: "partition", Value: int64(r.Partition)}, {Name: "offset", Value: r.Offset}}
	key, value, err := t.decode(r)
	line = append(line, schemas.Field{Name: "key", Value: key})
	for _, h := range r.Headers {
		if strings.HasPrefix(h.Key, "ce_") || h.Key == schemas.TimeMarkHeader {
			line = append(line, schemas.Field{Name: h.Key, Value: textOrBytes(h.Value)})
		}
	}
	switch {
	case errors.Is(err, errIgnored):
		line = append(line, schemas.Field{Name: "ignored", Value: true})
		value = textOrBytes(r.Value)
	case err != nil:
		line = append(line, schemas.Field{Name: "error", Value: err.Error()})
		value = textOrBytes(r.Value)
	}
	text, err := append(line, schemas.Field{Name: "value", Value: value}).MarshalJSON()
	if err != nil {
		return fmt.Errorf("printing offset %d of partition %d: %w", r.Offset, r.Partition, err)
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}

// decode returns key and value as they are shown.
func (t *tail) decode(r *kgo.Record) (key, value any, err error) {
	if t.changelog {
		of, shown, err := showChange(r.Key, r.Value)
		if of == nil {
			return textOrBytes(r.Key), nil, err
		}
		return of, shown, err
	}
	key = textOrBytes(r.Key)
	if r.Value == nil {
		return key, nil, nil
	}
	if t.events != nil {
		value, err = t.events.read(r)
		return key, value, err
	}
	value, err = decodeOutput(t.of, r)
	return key, value, err
}

// decodeOutput returns what the value of one of our topics' records holds, in whichever format it is.
func decodeOutput(topic schemas.Topic, r *kgo.Record) (schemas.Fields, error) {
	plain, err := schemas.PlainAvro(topic, headerOf(r, schemas.ContentTypeHeader), r.Value)
	if err != nil {
		return nil, err
	}
	return schemas.DecodeOutput(topic, plain)
}

// textOrBytes returns bytes as a text if they are one, nil for null.
func textOrBytes(b []byte) any {
	switch {
	case b == nil:
		return nil
	case utf8.Valid(b):
		return string(b)
	}
	return b
}
