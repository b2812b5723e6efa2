package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/survey"
	"lull/schemas"
)

// The bounds of a sample: how many records, and how many bytes of a topic or of a file, decompressed.
const (
	sampleMost     = 20_000
	sampleBytesMax = 256 << 20
)

// doctorFile says what of a file has been read.
type doctorFile struct {
	// BytesRead is how many bytes were read from its beginning, decompressed, and RecordsRead how many records are whole in them.
	BytesRead   int   `json:"bytes_read"`
	RecordsRead int64 `json:"records_read"`
	Compressed  bool  `json:"compressed"`
	// Whole is true if that is all of it.
	Whole bool `json:"whole"`
	// Records is how many there are in all of it: extrapolated unless it is Whole, by the bytes of the file that hold the part, and 0 if nobody knows how large the file is.
	Records int64 `json:"records_in_file"`
}

// counted counts the bytes that are read of a file.
type counted struct {
	io.Reader
	bytes int64
}

func (c *counted) Read(p []byte) (n int, err error) {
	n, err = c.Reader.Read(p)
	c.bytes += int64(n)
	return n, err
}

// readFile reads the first records of a file, and returns how many there are in it, or in what has been read of it if nobody knows.
func (d *doctor) readFile(cmd *cobra.Command) (records int64, err error) {
	file, size, err := openInput(cmd, d.flags.file)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // it has only been read
	stored := &counted{Reader: file}
	begins := bufio.NewReader(stored)
	magic, _ := begins.Peek(len(zstdMagic)) // an error is told again
	reader, err := uncompressed(begins, jsonFormat)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", d.flags.file, err)
	}
	text, err := io.ReadAll(io.LimitReader(reader, int64(d.sampleBytesMax)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", d.flags.file, err)
	}
	read := &doctorFile{BytesRead: len(text), Compressed: bytes.HasPrefix(magic, []byte(gzipMagic)) || bytes.HasPrefix(magic, []byte(zstdMagic))}
	d.report.File = read
	switch _, err := reader.Peek(1); {
	case err == nil:
	case errors.Is(err, io.EOF):
		read.Whole = true
	default:
		return 0, fmt.Errorf("%s: %w", d.flags.file, err)
	}
	values := d.split(text)
	if !read.Whole && len(values) > 0 {
		values = values[:len(values)-1] // it may have been cut in two
	}
	switch {
	case len(values) > 0:
	case read.Whole:
		return 0, fmt.Errorf("there is no record in %s: it must be JSON lines, or CSV with a line of the columns' names", d.flags.file)
	default:
		return 0, fmt.Errorf("%s: the first %s hold no whole record: it must be JSON lines, or CSV with a line of the columns' names", d.flags.file, bytesText(strconv.Itoa(len(text))))
	}
	for i, value := range values[:min(len(values), d.flags.sample)] {
		d.sample.Records = append(d.sample.Records, schemas.Source{Topic: d.flags.file, Offset: int64(i), Value: value, AppendTime: operators.Unset})
	}
	d.rest = values[min(len(values), d.flags.sample):]
	read.RecordsRead = int64(len(values))
	switch {
	case read.Whole:
		read.Records = read.RecordsRead
	case size > 0:
		of := stored.bytes // less a little that is read ahead
		if !read.Compressed {
			of = int64(len(text))
		}
		read.Records = int64(float64(read.RecordsRead) * float64(size) / float64(of))
	}
	return cmp.Or(read.Records, read.RecordsRead), nil
}

// split returns the records of a text, and keeps the columns' names.
func (d *doctor) split(text []byte) (values [][]byte) {
	if text = bytes.TrimSpace(text); len(text) > 0 && (text[0] == '{' || text[0] == '[') {
		return splitJSON(text)
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	columns, delimiter, ok := survey.Header(bytes.TrimSpace(first))
	values = splitRows(text, nil, cmp.Or(delimiter, ','))
	if ok {
		d.sample.Columns, d.sample.Delimiter, values = columns, delimiter, values[1:]
	}
	return values
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
		isCut := false
		read, isCut, err = readSample(ctx, client, d.flags.topic, windows, d.sampleBytesMax)
		client.Close()
		if err != nil {
			return 0, err
		}
		if isCut {
			d.report.Warnings = append(d.report.Warnings, fmt.Sprintf("the records are so large that the sample ends after %s: %d of the %d that --sample asks for, and perhaps not of all partitions alike",
				bytesText(strconv.Itoa(d.sampleBytesMax)), len(read), d.flags.sample))
			break
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

// readSample reads what is in the windows, but no more than so many bytes; isCut says that there would be more.
func readSample(ctx context.Context, client *kgo.Client, topic string, windows map[int32]span, bytesMax int) (records []*kgo.Record, isCut bool, err error) {
	size := 0
	err = readSpans(ctx, client, topic, windows, func(r *kgo.Record) error {
		if w := windows[r.Partition]; r.Offset < w.start || r.Offset >= w.end || isTimeMark(r) {
			return nil
		}
		records = append(records, r)
		if size += len(r.Key) + len(r.Value); size > bytesMax {
			return errSampled
		}
		return nil
	})
	if isCut = errors.Is(err, errSampled); isCut || errors.Is(err, errNothingMore) {
		err = nil
	}
	return records, isCut, err
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
