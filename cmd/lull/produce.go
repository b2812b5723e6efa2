package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"

	"lull/operators"
	"lull/schemas"
)

// produceFlags are the flags of produce.
type produceFlags struct {
	csv, topic, timeMark, source, kind, currency, timezone, delimiter string
	columns                                                           []string
}

func newProduceCommand() *cobra.Command {
	var f produceFlags
	cmd := &cobra.Command{
		Use:   "produce --csv FILE --map FIELD=COLUMN,... --topic TOPIC",
		Short: "Write the rows of a CSV file, or a time mark, into the input topic",
		Long: `Produce makes an event of every row, and writes it to the input topic in the order of the file, keyed by customer. Event time
should not go back in the file by more than the pipeline's lateness. FIELD is one of ` + strings.Join(rowFields, ", ") + `;
customer_id and time are required.

A row without an order_id is an order of its own. Such ids, and message ids, are made of the file's name and the row's number:
a file that is sent again changes nothing. Times are ISO dates, RFC 3339, or Unix seconds or milliseconds. Amounts are decimal
numbers; they become minor units exactly. A row that is no event is counted and told, and the rest is sent; the exit code is
then 1.

A time mark says that no event up to its time will follow; it goes to every partition, after the rows if there are any. With
clock.mode event it is what lets the silence after the last event end.`,
		Example: `  lull produce --csv orders.csv.gz --map customer_id=client,time=ordered_at,order_id=id,amount=total --topic orders
  lull produce --time-mark 1998-07-01T00:00:00Z --topic orders`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error { return runProduce(cmd, &f) }),
	}
	cmd.Flags().StringVar(&f.csv, "csv", "", "`file` with a header, may be compressed by gzip")
	cmd.Flags().StringSliceVar(&f.columns, "map", nil, "which column holds which field: `FIELD=COLUMN,...`")
	cmd.Flags().StringVar(&f.topic, "topic", "", "topic to write to (default input.topic)")
	cmd.Flags().StringVar(&f.timeMark, "time-mark", "", "`instant` of the time mark to send, as 1998-07-01 or by RFC 3339")
	cmd.Flags().StringVar(&f.source, "source", "", "`name` of the file in the ids of rows (default its own, without .gz)")
	cmd.Flags().StringVar(&f.kind, "kind", operators.OrderCompleted.String(), "kind of events in rows without one")
	cmd.Flags().StringVar(&f.currency, "currency", "", "currency of amounts in rows without one (default money.currency)")
	cmd.Flags().StringVar(&f.timezone, "timezone", "", "IANA time `zone` of dates and times without an offset (default calendar.timezone)")
	cmd.Flags().StringVar(&f.delimiter, "delimiter", ",", "`character` between columns")
	addSettingFlags(cmd, "brokers")
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
		if *unset.flag == "" {
			*unset.flag = unset.value
		}
	}
	if f.topic == "" {
		return usageError{errors.New("--topic is empty: it must name the topic to write to")}
	}
	if f.csv == "" && f.timeMark == "" {
		return usageError{errors.New("there is nothing to send: give --csv, --time-mark or both")}
	}
	zone, err := time.LoadLocation(f.timezone)
	if err != nil {
		return usageError{fmt.Errorf("--timezone %q: it must be an IANA time zone such as Europe/Berlin", f.timezone)}
	}
	var mark operators.EventTime
	if f.timeMark != "" {
		if mark, err = parseTime(f.timeMark, zone); err != nil {
			return usageError{fmt.Errorf("--time-mark: %w", err)}
		}
	}
	var sent *sendResult
	if f.csv != "" {
		if sent, err = produceFile(cmd, s.Brokers, f, zone); err != nil {
			return err
		}
		sent.print(cmd.ErrOrStderr(), f.csv, f.topic)
	}
	if f.timeMark != "" {
		partitions, err := sendTimeMarks(cmd.Context(), s.Brokers, f.topic, mark)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "time mark %s sent to all %d partitions of %s\n", mark, partitions, f.topic)
	}
	if sent != nil && sent.Refused > 0 {
		return fmt.Errorf("%s: %d of %d rows were refused; mend them and send the file again: what has been sent counts once", f.csv, sent.Refused, sent.Rows)
	}
	return nil
}

// produceFile sends the file's rows.
func produceFile(cmd *cobra.Command, brokers []string, f *produceFlags, zone *time.Location) (*sendResult, error) {
	config, err := f.rowConfig(zone)
	if err != nil {
		return nil, usageError{err}
	}
	file, err := os.Open(f.csv)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it has only been read
	size := int64(-1)
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	bar := newProgress(cmd.ErrOrStderr(), size, "sending", progressbar.OptionShowBytes(true))
	defer func() { _ = bar.Exit() }() // the bar is decoration
	reader := progressbar.NewReader(file, bar)
	rows, err := newRowReader(&reader, config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.csv, err)
	}
	client, err := newClient(cmd.Context(), brokers, produceOptions()...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	sent, err := sendRows(cmd.Context(), client, f.topic, rows, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.csv, err)
	}
	return sent, nil
}

func (f *produceFlags) rowConfig(zone *time.Location) (rowConfig, error) {
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
	source := f.source
	if source == "" {
		source = strings.TrimSuffix(filepath.Base(f.csv), ".gz")
	}
	return rowConfig{Columns: columns, Source: source, Kind: kind, Currency: f.currency, Zone: zone, Delimiter: delimiter}, nil
}

// newProgress returns a progress bar on w that is seen only if w is a terminal; max is -1 if not known.
func newProgress(w io.Writer, max int64, what string, opts ...progressbar.Option) *progressbar.ProgressBar {
	file, isFile := w.(*os.File)
	visible := isFile && term.IsTerminal(int(file.Fd()))
	return progressbar.NewOptions64(max, append([]progressbar.Option{
		progressbar.OptionSetWriter(w), progressbar.OptionSetVisibility(visible), progressbar.OptionSetDescription(what),
		progressbar.OptionSetWidth(40), progressbar.OptionThrottle(65 * time.Millisecond), progressbar.OptionClearOnFinish(),
	}, opts...)...)
}

// sendResult says what became of rows.
type sendResult struct {
	Rows, Sent, Refused int64
	// Reasons are why rows were refused, the most frequent first.
	Reasons []refusals
}

// refusals are the rows that were refused for one reason.
type refusals struct {
	Reason   string
	Count    int64
	Examples []string // the first few
}

func (r *sendResult) refuse(of *row) {
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
}

func (r *sendResult) print(w io.Writer, file, topic string) {
	fmt.Fprintf(w, "%s: %d rows, %d sent to %s, %d refused\n", file, r.Rows, r.Sent, topic, r.Refused)
	for _, reason := range r.Reasons {
		fmt.Fprintf(w, "  %s: %d\n", reason.Reason, reason.Count)
		for _, example := range reason.Examples {
			fmt.Fprintf(w, "    %s\n", example)
		}
		if more := reason.Count - int64(len(reason.Examples)); more > 0 {
			fmt.Fprintf(w, "    and %d more\n", more)
		}
	}
}

// sendRows writes the events of the rows to the topic, in their order, and returns when the brokers have them all. before, if not nil, is called
// before a row's event is sent; its error ends the sending.
func sendRows(ctx context.Context, client *kgo.Client, topic string, rows *rowReader, before func(ctx context.Context) error) (*sendResult, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	result := &sendResult{}
	var acks sync.WaitGroup
	var r row
	var failure error
	for failure = rows.next(&r); failure == nil && ctx.Err() == nil; failure = rows.next(&r) {
		result.Rows++
		if r.Refused != nil {
			result.refuse(&r)
			continue
		}
		if before != nil {
			if failure = before(ctx); failure != nil {
				break
			}
		}
		result.Sent++
		number := r.Number
		acks.Add(1)
		client.Produce(ctx, &kgo.Record{Topic: topic, Key: []byte(r.Event.Customer), Value: slices.Clone(r.Value)}, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(fmt.Errorf("sending row %d to topic %q: %w", number, topic, err))
			}
			acks.Done()
		})
	}
	acks.Wait()
	slices.SortStableFunc(result.Reasons, func(a, b refusals) int { return int(b.Count - a.Count) })
	if err := context.Cause(ctx); err != nil {
		return result, err
	}
	if !errors.Is(failure, io.EOF) {
		return result, failure
	}
	return result, nil
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
		return 0, fmt.Errorf("asking for the partitions of topic %q: %w", topic, err)
	}
	var marks []*kgo.Record
	for _, p := range topics[topic].Partitions.Numbers() {
		marks = append(marks, &kgo.Record{
			Topic: topic, Partition: p, Headers: []kgo.RecordHeader{{Key: schemas.TimeMarkHeader, Value: []byte(at.String())}},
		})
	}
	if err := client.ProduceSync(ctx, marks...).FirstErr(); err != nil {
		return 0, fmt.Errorf("sending a time mark to topic %q: %w", topic, err)
	}
	return len(marks), nil
}
