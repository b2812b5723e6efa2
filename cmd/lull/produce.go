package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

// produceFlags are the flags of produce.
type produceFlags struct {
	csv, topic, timeMark, source, kind, currency, timezone, delimiter, refused string
	columns                                                                    []string
}

func newProduceCommand() *cobra.Command {
	var f produceFlags
	cmd := &cobra.Command{
		Use:   "produce --csv FILE --map FIELD=COLUMN,... --topic TOPIC",
		Short: "Write the rows of a CSV file, or a time mark, into the input topic",
		Long: `Produce makes an event of every row, and writes it to the input topic in the order of the file, keyed by customer. Event time
should not go back in the file by more than the pipeline's lateness. customer_id and time are required; all FIELDs are
` + strings.Join(rowFields, ", ") + `.

Events are known by their message_id, orders by their order_id. Where the file has none, the ids are made of the file's name
and the row's number, "orders.csv:17": a file that is sent again changes nothing, and another file of the same name is taken
for the same rows. Give each file a --source of its own, or map order_id and message_id.

Times are ISO dates, RFC 3339, or Unix seconds or milliseconds. Amounts are decimal numbers of 0 or more; they become minor
units exactly. Money paid back is an event of kind order_refunded. A row that is no event is counted and told, and the rest
is sent; the exit code is then 1. Mend such rows where they stand, and send the whole file again: if rows move, so do the ids
that are made of their numbers.

A time mark says that no event up to its time will follow; it goes to every partition, after the rows if there are any. With
clock.mode event it is what lets the silence after the last event end.`,
		Example: `  lull produce --csv orders.csv.gz --map customer_id=client,time=ordered_at,order_id=id,amount=total --topic orders
  lull produce --csv jan/orders.csv --source orders-1998-01 --map customer_id=client,time=day,amount=total --topic orders
  lull produce --time-mark 1998-07-01T00:00:00Z --topic orders`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error { return runProduce(cmd, &f) }),
	}
	cmd.Flags().StringVar(&f.csv, "csv", "", "`file` with a header, may be compressed by gzip; - is standard input")
	cmd.Flags().StringSliceVar(&f.columns, "map", nil, "which column holds which field: `FIELD=COLUMN,...`")
	cmd.Flags().StringVar(&f.topic, "topic", "", "topic to write to (default input.topic)")
	cmd.Flags().StringVar(&f.timeMark, "time-mark", "", "`instant` of the time mark to send, as 1998-07-01 or by RFC 3339")
	cmd.Flags().StringVar(&f.source, "source", "", "`name` of the data in the ids of rows (default the file's, without folder and .gz)")
	cmd.Flags().StringVar(&f.kind, "kind", operators.OrderCompleted.String(), "kind of events in rows without one")
	cmd.Flags().StringVar(&f.currency, "currency", "", "currency of amounts in rows without one (default money.currency)")
	cmd.Flags().StringVar(&f.timezone, "timezone", "", "IANA time `zone` of dates and times without an offset (default calendar.timezone)")
	cmd.Flags().StringVar(&f.delimiter, "delimiter", ",", "`character` between columns")
	cmd.Flags().StringVar(&f.refused, "refused", "", "`file` to write all refused rows to, as CSV with their numbers and reasons")
	addSettingFlags(cmd, "brokers", "prefix")
	return cmd
}

func runProduce(cmd *cobra.Command, f *produceFlags) error {
	s, err := loadSettings(cmd.Flags(), os.Environ())
	if err != nil {
		return err
	}
	for _, unset := range []struct {
		flag  *string
		value string
	}{{&f.topic, s.Input.Topic}, {&f.currency, s.Money.Currency}, {&f.timezone, s.Calendar.Timezone}} {
		*unset.flag = cmp.Or(*unset.flag, unset.value)
	}
	switch {
	case f.topic == "":
		return usageError{errors.New("--topic and input.topic are empty: one must name the topic to write to")}
	case strings.HasPrefix(f.topic, s.Prefix):
		return usageError{fmt.Errorf("--topic %q is one of lull's own, which all begin with %q: it must name the topic with your events", f.topic, s.Prefix)}
	case f.csv == "" && f.timeMark == "":
		return usageError{errors.New("there is nothing to send: give --csv, --time-mark or both")}
	}
	zone, err := time.LoadLocation(f.timezone)
	if err != nil {
		return usageError{fmt.Errorf("--timezone %q: it must be an IANA time zone such as Europe/Berlin", f.timezone)}
	}
	var mark operators.EventTime
	if f.timeMark != "" {
		if mark, err = parseTime(f.timeMark, zone); err == nil && !inTime(mark) {
			err = fmt.Errorf("time is %q: it must be %s", f.timeMark, timeRange)
		}
		if err != nil {
			return usageError{fmt.Errorf("--time-mark: %w", err)}
		}
	}
	var sent *sendResult
	if f.csv != "" {
		if sent, err = produceFile(cmd, &s, f, zone); err != nil {
			return err
		}
	}
	if f.timeMark != "" {
		partitions, err := sendTimeMarks(cmd.Context(), s.Brokers, f.topic, mark)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "time mark %s sent to all %d partitions of %s\n", mark, partitions, f.topic)
	}
	if sent != nil && sent.Refused > 0 {
		return fmt.Errorf("%s: %d of %d rows were refused; %s", f.csv, sent.Refused, sent.Rows, sent.remedy())
	}
	return nil
}

// produceFile sends the file's rows and tells what became of them, also when it could not send all.
func produceFile(cmd *cobra.Command, s *pipeline.Settings, f *produceFlags, zone *time.Location) (*sendResult, error) {
	config, err := f.rowConfig(s, zone)
	if err != nil {
		return nil, usageError{err}
	}
	file, size, err := openInput(cmd, f.csv)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it has only been read
	bar := newProgress(cmd.ErrOrStderr(), size, "sending "+config.Source)
	defer func() { _ = bar.Exit() }() // the bar is decoration
	reader := progressbar.NewReader(file, bar)
	rows, err := newRowReader(&reader, config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.csv, err)
	}
	byNumber := config.numbered()
	result := &sendResult{Numbered: len(byNumber) > 0}
	if f.refused != "" {
		if result.all, err = newRefusedFile(f.refused, rows.header); err != nil {
			return nil, err
		}
	}
	client, err := newClient(cmd.Context(), s.Brokers, produceOptions()...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	if result.Numbered {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: no column is mapped to %s: the ids are %q and the row's number. Another file that is sent as %q would be taken for the same rows: "+
			"give each file a --source of its own\n", f.csv, strings.Join(byNumber, " and "), config.Source+":", config.Source)
	}
	err = sendRows(cmd.Context(), client, f.topic, rows, nil, result)
	err = cmp.Or(err, result.all.close())
	_ = bar.Clear() // decoration
	result.print(cmd.ErrOrStderr(), f.csv, f.topic)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; when that is mended, send the whole file again: what has been sent counts once", f.csv, err)
	}
	return result, nil
}

// openInput opens the file, or standard input for "-"; size is -1 if not known.
func openInput(cmd *cobra.Command, path string) (file io.ReadCloser, size int64, err error) {
	if path == "-" {
		return io.NopCloser(cmd.InOrStdin()), -1, nil
	}
	opened, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	size = -1
	if info, err := opened.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return opened, size, nil
}

func (f *produceFlags) rowConfig(s *pipeline.Settings, zone *time.Location) (rowConfig, error) {
	columns, err := parseColumns(f.columns)
	if err != nil {
		return rowConfig{}, err
	}
	kind, ok := operators.KindNamed(f.kind)
	if !ok {
		return rowConfig{}, fmt.Errorf("--kind %q: it must be a kind of event, such as %s", f.kind, operators.OrderCompleted)
	}
	if _, ok := schemas.CurrencyDigits(f.currency); !ok {
		return rowConfig{}, fmt.Errorf("--currency %q: it must be a code of ISO 4217, such as USD", f.currency)
	}
	delimiter, size := utf8.DecodeRuneInString(f.delimiter)
	if size == 0 || size != len(f.delimiter) || strings.ContainsRune("\"\r\n\ufffd", delimiter) {
		return rowConfig{}, fmt.Errorf("--delimiter %q: it must be one character, and no quote or line end", f.delimiter)
	}
	if f.csv == "-" && f.source == "" {
		return rowConfig{}, errors.New("--csv -: --source must name the data, because ids are made of the name")
	}
	return rowConfig{
		Columns: columns, Source: cmp.Or(f.source, strings.TrimSuffix(filepath.Base(f.csv), ".gz")), Kind: kind, Currency: f.currency, Zone: zone,
		Delimiter: delimiter, Limits: schemas.Limits{
			ValueBytes: s.Limits.ValueBytes, IDBytes: s.Limits.IDBytes, NameBytes: s.Limits.NameBytes, ProofBytes: s.Limits.ProofBytes,
		},
	}, nil
}

// newProgress returns a progress bar on w that is seen only if w is a terminal; max is -1 if not known.
func newProgress(w io.Writer, max int64, what string, opts ...progressbar.Option) *progressbar.ProgressBar {
	file, isFile := w.(*os.File)
	visible := isFile && term.IsTerminal(int(file.Fd()))
	return progressbar.NewOptions64(max, append([]progressbar.Option{
		progressbar.OptionSetWriter(w), progressbar.OptionSetVisibility(visible), progressbar.OptionSetDescription(what),
		progressbar.OptionSetWidth(40), progressbar.OptionThrottle(65 * time.Millisecond), progressbar.OptionClearOnFinish(),
		// The bar's first rates, and what it foretells from them, are of a millisecond or so: billions.
		progressbar.OptionSetPredictTime(false),
	}, opts...)...)
}

// sendResult says what became of rows.
type sendResult struct {
	// Rows were read; Sent of them are known to be in the topic, Refused are no events. The rest was on its way when an error ended the sending.
	Rows, Sent, Refused int64
	// Numbered reports whether the ids of some rows are made of their numbers.
	Numbered bool
	// Reasons are why rows were refused, the most frequent first.
	Reasons []refusals

	all *refusedFile // of all refused rows; nil for none
}

// refusals are the rows that were refused for one reason.
type refusals struct {
	Reason   string
	Count    int64
	Examples []string // the first few
}

func (r *sendResult) refuse(of *row) error {
	const examplesMax = 3
	r.Refused++
	i := slices.IndexFunc(r.Reasons, func(known refusals) bool { return known.Reason == of.Refused.Reason })
	if i < 0 {
		i = len(r.Reasons)
		r.Reasons = append(r.Reasons, refusals{Reason: of.Refused.Reason})
	}
	known := &r.Reasons[i]
	known.Count++
	if len(known.Examples) < examplesMax {
		known.Examples = append(known.Examples, fmt.Sprintf("row %d (line %d): %s", of.Number, of.Line, of.Refused.Detail))
	}
	return r.all.add(of)
}

// remedy says what to do about the refused rows.
func (r *sendResult) remedy() string {
	if r.Numbered {
		return "mend them where they stand, and send the whole file again under the same --source: what has been sent counts once. " +
			"Neither remove nor insert rows: the ids are made of row numbers, and would be those of other rows"
	}
	return "mend them and send the file again: what has been sent counts once"
}

func (r *sendResult) print(w io.Writer, file, topic string) {
	fmt.Fprintf(w, "%s: %d rows, %d sent to %s, %d refused\n", file, r.Rows, r.Sent, topic, r.Refused)
	for _, reason := range r.Reasons {
		fmt.Fprintf(w, "  %s: %d\n", reason.Reason, reason.Count)
		for _, example := range reason.Examples {
			fmt.Fprintf(w, "    %s\n", example)
		}
		switch more := reason.Count - int64(len(reason.Examples)); {
		case more > 0 && r.all == nil:
			fmt.Fprintf(w, "    and %d more; --refused FILE writes all to a file\n", more)
		case more > 0:
			fmt.Fprintf(w, "    and %d more, in %s\n", more, r.all.file.Name())
		}
	}
}

// refusedFile is a CSV file of refused rows: number, line, reason and detail, then the row's cells if it could be taken apart. The zero pointer takes
// nothing.
type refusedFile struct {
	file *os.File
	rows *csv.Writer
}

func newRefusedFile(path string, header []string) (*refusedFile, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("--refused: %w", err)
	}
	f := &refusedFile{file: file, rows: csv.NewWriter(file)}
	return f, f.rows.Write(append([]string{"row", "line", "reason", "detail"}, header...))
}

func (f *refusedFile) add(r *row) error {
	if f == nil {
		return nil
	}
	return f.rows.Write(append([]string{
		strconv.FormatInt(r.Number, 10), strconv.Itoa(r.Line), r.Refused.Reason, r.Refused.Detail,
	}, r.Cells...))
}

func (f *refusedFile) close() error {
	if f == nil {
		return nil
	}
	f.rows.Flush()
	if err := errors.Join(f.rows.Error(), f.file.Close()); err != nil {
		return fmt.Errorf("writing the refused rows: %w", err)
	}
	return nil
}

// sendRows writes the events of the rows to the topic, in their order, and returns when the brokers have them all; result tells what became of the rows, also
// if there is an error. before, if not nil, is called before a row's event is sent; its error ends the sending.
func sendRows(ctx context.Context, client *kgo.Client, topic string, rows *rowReader, before func(ctx context.Context) error, result *sendResult) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var acks sync.WaitGroup
	var sent atomic.Int64
	var r row
	var failure error
	for failure = rows.next(&r); failure == nil && ctx.Err() == nil; failure = rows.next(&r) {
		result.Rows++
		result.Numbered = result.Numbered || r.Numbered
		if r.Refused != nil {
			if failure = result.refuse(&r); failure != nil {
				break
			}
			continue
		}
		if before != nil {
			if failure = before(ctx); failure != nil {
				break
			}
		}
		number := r.Number
		acks.Add(1)
		client.Produce(ctx, &kgo.Record{Topic: topic, Key: []byte(r.Event.Customer), Value: slices.Clone(r.Value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(fmt.Errorf("sending row %d: %w", number, topicError(topic, err)))
			} else {
				sent.Add(1)
			}
			acks.Done()
		})
	}
	acks.Wait()
	result.Sent = sent.Load()
	slices.SortStableFunc(result.Reasons, func(a, b refusals) int { return int(b.Count - a.Count) })
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if !errors.Is(failure, io.EOF) {
		return failure
	}
	return nil
}

// topicError says what a broker's error about a topic means to who has named the topic.
func topicError(topic string, err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("topic %q does not exist: create it, as `lull topics create --input-partitions N` does with input.topic, or mend --topic", topic)
	}
	return fmt.Errorf("topic %q: %w", topic, err)
}

// sendTimeMarks sends a time mark to every partition of the topic and returns their number.
func sendTimeMarks(ctx context.Context, brokers []string, topic string, at operators.EventTime) (partitions int, err error) {
	client, err := newClient(ctx, brokers, append(produceOptions(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err == nil {
		err = topics[topic].Err
	}
	if err != nil {
		return 0, fmt.Errorf("asking for partitions: %w", topicError(topic, err))
	}
	var marks []*kgo.Record
	for _, p := range topics[topic].Partitions.Numbers() {
		marks = append(marks, &kgo.Record{
			Topic: topic, Partition: p, Headers: []kgo.RecordHeader{{Key: schemas.TimeMarkHeader, Value: []byte(at.String())}},
		})
	}
	if err := client.ProduceSync(ctx, marks...).FirstErr(); err != nil {
		return 0, fmt.Errorf("sending a time mark: %w", topicError(topic, err))
	}
	return len(marks), nil
}
