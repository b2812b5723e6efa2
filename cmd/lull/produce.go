package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	file             fileFlags
	csv, jsonl, avro string
	lines, key       string
	topic, timeMark  string
	again            bool
}

// setFile takes the file from the flag of its format.
func (f *produceFlags) setFile() error {
	for format, path := range []string{csvFormat: f.csv, jsonFormat: f.jsonl, avroFormat: f.avro} {
		switch {
		case path == "":
		case f.file.path != "":
			return errors.New("--csv, --jsonl and --avro each name a file: give one of them, and the other files one after the other")
		default:
			f.file.path, f.file.format = path, fileFormat(format)
		}
	}
	return nil
}

func newProduceCommand() *cobra.Command {
	var f produceFlags
	cmd := &cobra.Command{
		Use:   "produce --csv|--jsonl|--avro|--lines FILE --map FIELD=COLUMN,... --topic TOPIC",
		Short: "Write the rows of a file, or a time mark, into the input topic",
		Long: `Produce makes an event of every row, and writes it to the input topic in the order of the file, keyed by customer. A row is
that of a CSV file, a line of JSON lines, or a record of an Avro object container file; the file may be compressed by gzip or
zstd. Event time should not go back in the file by more than the pipeline's lateness. Each field is read from the column of its
name, and time from "date" if there is no column "time", unless --map says otherwise. In JSON and Avro a COLUMN is the path of a
field: customer.id. customer_id and time are required; all FIELDs are
` + strings.Join(rowFields, ", ") + `.

A file that was sent in part, because produce was killed or the brokers went away, is gone on with where that stopped: run the
same command again. Of a file that was sent whole nothing is sent but rows that were refused and have been mended, and rows
that have been added at its end. How far a file was sent is kept in Kafka, as the offset of a consumer group, for as long as the
brokers keep offsets of groups at rest (7 days by default); after that the whole file is sent, and counts once by its ids. --again
sends all rows anew. Standard input and pipes are always sent whole.

Events are known by their message_id, orders by their order_id. Where the file has none, the ids are made of the file's name
and the row's number, "orders.csv:17": a file that is sent again changes nothing, and another file of the same name is taken
for the same rows. Give each file a --source of its own, or map order_id and message_id.

Times are ISO dates, RFC 3339, or Unix seconds or milliseconds; --layout says otherwise. Amounts are decimal numbers of 0 or
more, with a point unless --decimal is comma; they become minor units exactly. Money paid back is an event of kind
order_refunded. A row that is no event is counted and told, and the rest is sent; the exit code is then 1. Mend such rows where
they stand, and run the same command again: if rows move, so do the ids that are made of their numbers.

--lines sends the lines of a file as they are, for an input of format json or segment-json: each a JSON object, keyed by what --key
names, all of them, each time. Rows of CSV and records of Avro for an input that has a mapping for them come from a producer of their
own; lull mapping try shows by --sample what becomes of them.

A time mark says that no event up to its time will follow; it goes to every partition, after the rows if there are any. With
clock.mode event it is what lets the silence after the last event end.`,
		Example: `  lull produce --csv orders.csv.gz --map customer_id=client,time=ordered_at,order_id=id,amount=total --topic orders
  lull produce --jsonl events.jsonl.zst --map customer_id=user.id,time=at,kind=type,order_id=order.id,amount=order.total --topic orders
  lull produce --csv bestellungen.csv --delimiter ';' --decimal comma --layout 02.01.2006 --currency EUR --topic orders \
      --map customer_id=Kunde,time=Datum,order_id=Nummer,amount=Betrag
  lull produce --csv jan/orders.csv --source orders-1998-01 --map customer_id=client,time=day,amount=total --topic orders
  lull produce --lines sample.jsonl --key customer.id --topic shop-orders
  lull produce --time-mark 1998-07-01T00:00:00Z --topic orders`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error { return runProduce(cmd, &f) }),
	}
	cmd.Flags().StringVar(&f.csv, "csv", "", "CSV `file` with a header, may be compressed by gzip or zstd; - is standard input")
	cmd.Flags().StringVar(&f.jsonl, "jsonl", "", "`file` with a JSON object in each line; compression and - as with --csv")
	cmd.Flags().StringVar(&f.avro, "avro", "", "Avro object container `file` of records; compression and - as with --csv")
	cmd.Flags().StringVar(&f.lines, "lines", "", "`file` with a JSON object in each line, which is sent as it is; compression and - as with --csv")
	cmd.Flags().StringVar(&f.key, "key", "", "`path` of the field in --lines that holds the customer's id, such as customer.id")
	cmd.Flags().StringVar(&f.file.source, "source", "", "`name` of the data in the ids of rows (default the file's, without folder, .gz and .zst)")
	cmd.Flags().StringVar(&f.topic, "topic", "", "topic to write to (default input.topic)")
	cmd.Flags().StringVar(&f.timeMark, "time-mark", "", "`instant` of the time mark to send, as 1998-07-01 or by RFC 3339")
	cmd.Flags().BoolVar(&f.again, "again", false, "send all rows, also those that were sent before")
	f.file.add(cmd)
	addSettingFlags(cmd, "brokers", "prefix", "group")
	return cmd
}

func runProduce(cmd *cobra.Command, f *produceFlags) error {
	s, err := loadSettings(cmd.Flags(), os.Environ())
	if err != nil {
		return err
	}
	if err := f.setFile(); err != nil {
		return usageError{err}
	}
	f.file.setDefaults(&s)
	f.topic = cmp.Or(f.topic, s.Input.Topic)
	switch {
	case f.topic == "" && s.Staged():
		return usageError{errors.New("--topic is empty: it must name the one of the inputs to write to")}
	case f.topic == "":
		return usageError{errors.New("--topic and input.topic are empty: one must name the topic to write to")}
	case strings.HasPrefix(f.topic, s.Prefix):
		return usageError{fmt.Errorf("--topic %q is one of lull's own, which all begin with %q: it must name the topic with your events", f.topic, s.Prefix)}
	case f.file.path == "" && f.lines == "" && f.timeMark == "":
		return usageError{errors.New("there is nothing to send: give --csv, --jsonl, --avro or --lines with a file, --time-mark, or both")}
	case f.file.path != "" && f.lines != "":
		return usageError{errors.New("--lines sends lines as they are, and --csv, --jsonl and --avro make events of them: give one of them")}
	case (f.lines == "") != (f.key == ""):
		return usageError{errors.New("--lines FILE and --key PATH go together: the key decides on the partition, of input.topic by the customer's id")}
	case f.file.path != "" && s.IsInput(f.topic) && s.InputTopic(f.topic).Format != schemas.OwnAvro.String():
		return usageError{refusedThere(s.InputTopic(f.topic), "events as produce makes them")}
	case f.lines != "" && s.IsInput(f.topic) && !s.InputTopic(f.topic).TakesJSON():
		return usageError{refusedThere(s.InputTopic(f.topic), "lines of JSON")}
	case f.file.path == "-" && f.file.source == "":
		return usageError{errors.New("standard input: --source must name the data, because ids are made of the name")}
	}
	zone, err := f.file.zone()
	if err != nil {
		return usageError{err}
	}
	var mark operators.EventTime
	if f.timeMark != "" {
		if mark, err = parseTime(f.timeMark, zone); err == nil && !inTime(mark) {
			err = fmt.Errorf("time is %q: it must be %s", f.timeMark, timeRange)
		}
		if err == nil && mark > operators.EventTime(time.Now().UnixMilli()) {
			err = fmt.Errorf("%s has not come yet: nobody can say that no event up to it will follow, and pipelines refuse such marks", mark)
		}
		if err != nil {
			return usageError{fmt.Errorf("--time-mark: %w", err)}
		}
	}
	var sent *sendResult
	if f.file.path != "" {
		if sent, err = produceFile(cmd, &s, f, zone); sent != nil && (err == nil || sent.Rows > 0) {
			sent.print(cmd.ErrOrStderr(), f.file.path, f.topic)
		}
		if err != nil {
			return err
		}
	}
	if f.lines != "" {
		if sent, err = produceLines(cmd, &s, f); sent != nil && (err == nil || sent.Rows > 0) {
			sent.print(cmd.ErrOrStderr(), f.lines, f.topic)
		}
		if err != nil {
			return err
		}
	}
	if f.timeMark != "" {
		partitions, err := sendTimeMarks(cmd.Context(), &s, f.topic, mark)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "time mark %s sent to all %d partitions of %s\n", mark, partitions, f.topic)
	}
	if sent != nil && sent.Refused.Count > 0 && f.lines != "" {
		return fmt.Errorf("%s: %d of %d lines were not sent: mend them, and send those alone", f.lines, sent.Refused.Count, sent.Rows)
	}
	if sent != nil && sent.Refused.Count > 0 {
		return fmt.Errorf("%s: %d of %d rows were refused; %s", f.file.path, sent.Refused.Count, sent.Rows, sent.remedy())
	}
	return nil
}

// produceFile sends the file's rows. The result is nil if none was tried, and tells what became of them also when not all could be sent.
func produceFile(cmd *cobra.Command, s *pipeline.Settings, f *produceFlags, zone *time.Location) (*sendResult, error) {
	if err := f.file.checkOutput("--refused", f.file.refused); err != nil {
		return nil, err
	}
	rows, done, err := f.file.open(cmd, zone, s.Limits.Record(), "sending")
	if err != nil {
		return nil, err
	}
	defer done()
	refused, err := newRefusedRows(f.file.refused, rows.source.rawHeader())
	if err != nil {
		return nil, err
	}
	byNumber, source := rows.config.numbered(), rows.config.Source
	tellNumbered := func(why string) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s: the ids are %q and the row's number. Another file that is sent as %q would be taken for the same rows: give each file a --source of its own\n",
			f.file.path, why, source+":", source)
	}
	if len(byNumber) > 0 {
		tellNumbered("no column is mapped to " + strings.Join(byNumber, " and "))
	}
	result := &sendResult{Numbered: len(byNumber) > 0, Refused: refused}
	if f.file.canResume() {
		err = loadFile(cmd, s, f, zone, rows, result)
	} else {
		err = sendStream(cmd.Context(), s, f.topic, rows, result)
	}
	if result.Numbered && len(byNumber) == 0 { // which only the rows could tell
		tellNumbered("some rows have no message_id, or no order_id")
	}
	if err = cmp.Or(err, result.Refused.close()); err != nil {
		err = fmt.Errorf("%s: %w", f.file.path, err)
	}
	return result, err
}

// sendStream sends rows that can be read once only.
func sendStream(ctx context.Context, s *pipeline.Settings, topic string, rows *rowReader, result *sendResult) error {
	client, err := newClient(ctx, s, produceOptions()...)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := sendRows(ctx, client, topic, rows, nil, result); err != nil {
		return fmt.Errorf("%w; when that is mended, send all of it again: what has been sent counts once", err)
	}
	return nil
}

// newProgress returns a progress bar on w that is seen only if w is a terminal; max is -1 if not known.
func newProgress(w io.Writer, max int64, what string, opts ...progressbar.Option) *progressbar.ProgressBar {
	return progressbar.NewOptions64(max, append([]progressbar.Option{
		progressbar.OptionSetWriter(w), progressbar.OptionSetVisibility(isTerminal(w)), progressbar.OptionSetDescription(what),
		progressbar.OptionSetWidth(40), progressbar.OptionThrottle(65 * time.Millisecond), progressbar.OptionClearOnFinish(),
		// The bar's first rates, and what it foretells from them, are of a millisecond or so: billions.
		progressbar.OptionSetPredictTime(false),
	}, opts...)...)
}

// isTerminal reports whether what is written to w is seen by a person at once.
func isTerminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	return isFile && term.IsTerminal(int(file.Fd()))
}

// sendResult says what became of rows.
type sendResult struct {
	// Rows were read; There of them had been sent before, Sent are known to be in the topic now, Refused are no events. The rest was on its way when an error ended the
	// sending.
	Rows, There, Sent int64
	Refused           refusedRows
	// Numbered reports whether the ids of some rows are made of their numbers.
	Numbered bool
}

// remedy says what to do about the refused rows.
func (r *sendResult) remedy() string {
	if r.Numbered {
		return "mend them where they stand, and send the whole file again under the same --source: what has been sent counts once. " +
			"Neither remove nor insert rows: the ids are made of row numbers, and would be those of other rows"
	}
	return "mend them where they stand and send the file again: what has been sent counts once"
}

func (r *sendResult) print(w io.Writer, file, topic string) {
	there := ""
	if r.There > 0 {
		there = fmt.Sprintf("%d were there already, ", r.There)
	}
	fmt.Fprintf(w, "%s: %s, %s%d sent to %s, %d refused\n", file, many(r.Rows, "row"), there, r.Sent, topic, r.Refused.Count)
	r.Refused.print(w)
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
			if failure = result.Refused.add(&r); failure != nil {
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
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if !errors.Is(failure, io.EOF) {
		return failure
	}
	return nil
}

// produceLines sends the lines of a file as they are.
func produceLines(cmd *cobra.Command, s *pipeline.Settings, f *produceFlags) (*sendResult, error) {
	file, _, err := openInput(cmd, f.lines)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it has only been read
	text, err := uncompressed(file, jsonFormat)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.lines, err)
	}
	refused, err := newRefusedRows(f.file.refused, []string{"record"})
	if err != nil {
		return nil, err
	}
	client, err := newClient(cmd.Context(), s, produceOptions()...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	result := &sendResult{Refused: refused}
	err = sendLines(cmd.Context(), client, f, s.Limits.ValueBytes, &jsonRows{text: text}, result)
	if err = cmp.Or(err, result.Refused.close()); err != nil {
		err = fmt.Errorf("%s: %w", f.lines, err)
	}
	return result, err
}

// linesAtOnce is how many lines are sent before it is known what has become of them.
const linesAtOnce = 1000

// sendLines sends lines, but for those without a key and those that are too long for the pipeline or for the brokers: these are refused.
func sendLines(ctx context.Context, client *kgo.Client, f *produceFlags, bytesMax int, lines *jsonRows, result *sendResult) error {
	var records []*kgo.Record
	of := make(map[*kgo.Record]row)
	send := func() (failure error) {
		for _, sent := range client.ProduceSync(ctx, records...) {
			line := of[sent.Record]
			switch {
			case sent.Err == nil:
				result.Sent++
			case errors.Is(sent.Err, kerr.MessageTooLarge):
				line.refuse("", schemas.ReasonRecordTooLarge, "the line has %d bytes, which the brokers do not take: raise max.message.bytes of topic %q, or make the line shorter", len(sent.Record.Value), f.topic)
				line.Cells = []string{string(sent.Record.Value)}
				failure = cmp.Or(failure, result.Refused.add(&line))
			case failure == nil:
				failure = fmt.Errorf("sending %s: %w", line.place(), topicError(f.topic, sent.Err))
			}
		}
		records = records[:0]
		clear(of)
		return failure
	}
	for {
		malformed, err := lines.next()
		if errors.Is(err, io.EOF) {
			return send()
		}
		if err != nil {
			return fmt.Errorf("reading row %d: %w", result.Rows+1, err)
		}
		result.Rows++
		line := row{Number: result.Rows, Line: lines.line()}
		id := ""
		if malformed != "" {
			line.refuse("", schemas.ReasonMalformed, "%s", malformed)
		} else if len(lines.bytes) > bytesMax {
			line.refuse("", schemas.ReasonRecordTooLarge, "the line has %d bytes, and limits.value_bytes is %d: raise that, or make the line shorter", len(lines.bytes), bytesMax)
		} else if id, err = lines.cell(f.key); err != nil {
			line.refuse("", schemas.ReasonMissingField, "--key %s: %v", f.key, err)
		} else if id == "" {
			line.refuse("", schemas.ReasonMissingField, "--key %s: there is nothing at it: the key of each record is taken from there", f.key)
		}
		if line.Refused != nil {
			line.Cells = lines.raw()
			if err := result.Refused.add(&line); err != nil {
				return err
			}
			continue
		}
		r := &kgo.Record{Topic: f.topic, Key: []byte(id), Value: slices.Clone(lines.bytes)}
		of[r] = line
		if records = append(records, r); len(records) == linesAtOnce {
			if err := send(); err != nil {
				return err
			}
		}
	}
}

// refusedThere says that an input does not take what would be sent there, and how it gets what it takes.
func refusedThere(of pipeline.InputTopic, what string) error {
	remedy := "produce does not write that: use a producer that does, for csv kafka-console-producer"
	switch {
	case of.TakesJSON():
		remedy = "send lines as they are by --lines"
	case of.Format == schemas.OwnAvro.String():
		remedy = "make events of them by --jsonl"
	}
	return fmt.Errorf("%s.format is %s, and %s would be refused there: %s, or name another --topic", of.Section(), of.Format, what, remedy)
}

// topicError says what a broker's error about a topic means to who has named the topic.
func topicError(topic string, err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("topic %q does not exist: create it, as `lull topics apply --input-partitions N` does with input.topic, or mend --topic", topic)
	}
	return fmt.Errorf("topic %q: %w", topic, err)
}

// sendTimeMarks sends a time mark to every partition of the topic and returns their number.
func sendTimeMarks(ctx context.Context, s *pipeline.Settings, topic string, at operators.EventTime) (partitions int, err error) {
	client, err := newClient(ctx, s, append(produceOptions(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
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
