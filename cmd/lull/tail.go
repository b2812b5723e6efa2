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
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline"
	"lull/schemas"
)

func newTailCommand() *cobra.Command {
	var fromStart, follow bool
	var lines int
	cmd := &cobra.Command{
		Use:   "tail TOPIC",
		Short: "Print the records of a topic as JSON lines",
		Long: `Tail prints the newest records of a topic, decoded, one JSON object a line. TOPIC is sessions, scores, segments, triggers,
dead-letters or models, with or without the prefix; any other name is that of a topic with events. Only what has been
committed is read.`,
		Example: `  lull tail triggers --from-start
  lull tail scores --follow`,
		Args: oneArgument("the TOPIC"),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if lines < 0 {
				return usageError{fmt.Errorf("--lines is %d: it must be 0 or more", lines)}
			}
			t := newTail(s, args[0])
			out := bufio.NewWriter(cmd.OutOrStdout())
			err = t.run(cmd.Context(), out, fromStart, follow, lines)
			if errors.Is(err, context.Canceled) && follow {
				err = nil // that is how following ends
			}
			return cmp.Or(err, out.Flush())
		}),
	}
	cmd.Flags().BoolVar(&fromStart, "from-start", false, "print all records")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new records until interrupted")
	cmd.Flags().IntVarP(&lines, "lines", "n", 10, "print this many of the newest records at most")
	addSettingFlags(cmd, "brokers", "prefix")
	return cmd
}

// tail prints the records of a topic.
type tail struct {
	settings pipeline.Settings
	name     string
	of       schemas.Topic
}

func newTail(s pipeline.Settings, topic string) *tail {
	short := strings.TrimPrefix(topic, s.Prefix)
	if of, ok := schemas.TopicNamed(short); ok && topic != s.Input.Topic {
		return &tail{settings: s, name: s.Topic(short), of: of}
	}
	return &tail{settings: s, name: topic, of: schemas.Events}
}

// run prints what is there, and what comes if follow is set.
func (t *tail) run(ctx context.Context, out *bufio.Writer, fromStart, follow bool, lines int) error {
	client, err := newClient(ctx, t.settings.Brokers, readOptions()...)
	if err != nil {
		return err
	}
	defer client.Close()
	spans, err := topicSpans(ctx, kadm.NewClient(client), t.name)
	if err != nil {
		return err
	}
	if !fromStart {
		for p, span := range spans {
			// A transaction's end takes an offset too: this finds as many records unless many have been aborted or compacted away.
			span.start = max(span.start, span.end-2*int64(lines)-100)
			spans[p] = span
		}
	}
	var newest []*kgo.Record
	err = readSpans(ctx, client, t.name, spans, func(r *kgo.Record) error {
		if fromStart {
			return t.print(out, r)
		}
		newest = append(newest, r)
		return nil
	})
	if err != nil && !errors.Is(err, errNothingMore) {
		return err
	}
	slices.SortStableFunc(newest, func(a, b *kgo.Record) int {
		return cmp.Or(a.Timestamp.Compare(b.Timestamp), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	for _, r := range newest[max(0, len(newest)-lines):] {
		if err := t.print(out, r); err != nil {
			return err
		}
	}
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
			if err := t.print(out, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// print prints one record as a line.
func (t *tail) print(out io.Writer, r *kgo.Record) error {
	line := schemas.Fields{
		{Name: "partition", Value: int64(r.Partition)}, {Name: "offset", Value: r.Offset}, {Name: "key", Value: textOrBytes(r.Key)},
	}
	for _, h := range r.Headers {
		if strings.HasPrefix(h.Key, "ce_") || h.Key == schemas.TimeMarkHeader {
			line = append(line, schemas.Field{Name: h.Key, Value: textOrBytes(h.Value)})
		}
	}
	switch value, err := schemas.DecodeOutput(t.of, r.Value); {
	case r.Value == nil:
		line = append(line, schemas.Field{Name: "value"})
	case err != nil:
		line = append(line, schemas.Field{Name: "error", Value: err.Error()}, schemas.Field{Name: "value", Value: r.Value})
	default:
		line = append(line, schemas.Field{Name: "value", Value: value})
	}
	text, err := line.MarshalJSON()
	if err != nil {
		return fmt.Errorf("printing offset %d of partition %d: %w", r.Offset, r.Partition, err)
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
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
