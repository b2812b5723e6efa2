package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

// tailFilter says which records of a topic are printed.
type tailFilter struct {
	customer, kind       string // any if empty
	sinceText, untilText string
	since, until         time.Time // of the texts; the zero time is no bound
}

func (f *tailFilter) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.customer, "customer", "", "only records of this customer, by customer_id, or by key where that is one")
	cmd.Flags().StringVar(&f.kind, "type", "", "only records of this `type`: an event's kind, a trigger's rule, a segment, a dead letter's reason")
	cmd.Flags().StringVar(&f.sinceText, "since", "", "only what has happened since this `time`, or so long ago: 2026-11-23T12:00:00Z, 90m, 7d")
	cmd.Flags().StringVar(&f.untilText, "until", "", "only what has happened before this `time`")
}

// typeFields are the fields that hold a record's type.
var typeFields = map[schemas.Topic]string{
	schemas.Events: "kind", schemas.Segments: "to", schemas.Triggers: "rule", schemas.DeadLetters: "reason", schemas.Models: "family", schemas.Statistics: "kind",
	schemas.Fits: "cause", schemas.Redrives: "reason", schemas.Offers: "reason", schemas.QualityCounts: "source",
}

// holds reports whether the filter holds a record. A record that cannot be decoded has no type, and no customer but its key where that is one.
func (t *tail) holds(r *kgo.Record) bool {
	f := &t.filter
	if f.customer == "" && f.kind == "" && f.since.IsZero() && f.until.IsZero() {
		return true
	}
	key, value, err := t.decode(r)
	fields, _ := value.(schemas.Fields)
	if err != nil {
		fields = nil
	}
	if at := happenedAt(r, fields); !f.since.IsZero() && at.Before(f.since) || !f.until.IsZero() && !at.Before(f.until) {
		return false
	}
	return (f.customer == "" || t.customerOf(key, fields) == f.customer) && (f.kind == "" || t.typeOf(key, fields) == f.kind)
}

// happenedAt returns the time of what the record tells: ce_time, an event's own time, else the Kafka timestamp.
func happenedAt(r *kgo.Record, fields schemas.Fields) time.Time {
	if at, ok := fields.Get("time").(operators.EventTime); ok {
		return time.UnixMilli(int64(at))
	}
	return timeOf(r)
}

func (t *tail) customerOf(key any, fields schemas.Fields) string {
	if t.changelog {
		of, _ := key.(schemas.Fields)
		customer, _ := of.Get("customer_id").(string)
		return customer
	}
	if customer, ok := fields.Get("customer_id").(string); ok {
		return customer
	}
	if t.of == schemas.DeadLetters || t.of == schemas.Events && t.settings.Staged() && t.name != t.settings.Topic(pipeline.EventsTopic) {
		return "" // the key may be anything
	}
	text, _ := key.(string)
	return text
}

func (t *tail) typeOf(key any, fields schemas.Fields) string {
	if t.changelog {
		of, _ := key.(schemas.Fields)
		kind, _ := of.Get("kind").(string)
		return kind
	}
	kind, _ := fields.Get(typeFields[t.of]).(string)
	return kind
}

// tableColumn is a column of the table: a field of the value, by its path.
type tableColumn struct {
	path  string
	width int // 0: as wide as it is, at the end
}

// tableColumns are the fields that matter most in each topic, beside the time, the place, the customer and the type.
var tableColumns = map[schemas.Topic][]tableColumn{
	schemas.Events:        {{"order_id", 16}, {"amount", 10}, {"currency", 8}, {"name", 20}, {"subject", 0}},
	schemas.Sessions:      {{"start", 20}, {"events", 6}, {"orders", 6}, {"cart_left", 9}, {"first_page", 20}, {"last_page", 0}},
	schemas.Scores:        {{"p_alive", 8}, {"clv", 10}, {"expected_purchases", 18}, {"purchases", 9}, {"last_purchase", 13}, {"next_deadline", 0}},
	schemas.Segments:      {{"from", 16}, {"facts.clv", 10}, {"facts.churn_risk", 16}, {"reasons", 0}},
	schemas.Triggers:      {{"to", 10}, {"actionable", 10}, {"withheld", 10}, {"priority", 10}, {"withdraws", 32}, {"reasons", 0}},
	schemas.Offers:        {{"offer_id", 16}, {"amount", 10}, {"ceiling", 10}, {"accepted", 8}, {"reasons", 0}},
	schemas.DeadLetters:   {{"key", 16}, {"topic", 12}, {"partition", 9}, {"offset", 10}, {"detail", 0}},
	schemas.Models:        {{"version", 24}, {"effective_at", 24}, {"fit.customers", 0}},
	schemas.Statistics:    {{"partition", 9}, {"number", 8}, {"edition", 0}},
	schemas.Fits:          {{"verdict.adopted", 15}, {"verdict.reasons", 0}},
	schemas.QualityCounts: {{"day", 10}, {"partition", 9}, {"records", 9}, {"score", 10}, {"invalid", 7}, {"missing_field", 13}, {"unknown_currency", 16}, {"clock_skewed", 12}, {"duplicate", 9}, {"late", 0}},
	schemas.Redrives:      {{"topic", 12}, {"partition", 9}, {"offset", 10}, {"sent_to", 7}, {"origin", 0}},
}

// columnsOf returns the columns of a topic's table.
func columnsOf(topic schemas.Topic) []tableColumn {
	return append([]tableColumn{{"time", 20}, {"place", 10}, {"customer", 20}, {"type", 24}}, tableColumns[topic]...)
}

// printRow prints a record as a row of the table, below the header if it is the first. Columns have fixed widths, so that rows can come one by one; what is longer is cut
// on a terminal, and elsewhere stands whole.
func (t *tail) printRow(out io.Writer, r *kgo.Record) error {
	key, value, err := t.decode(r)
	fields, _ := value.(schemas.Fields)
	columns := columnsOf(t.of)
	if t.changelog {
		columns = append(columns[:4:4], tableColumn{"value", 0})
	}
	if !t.headed {
		t.headed = true
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = strings.ToUpper(c.path[strings.LastIndexByte(c.path, '.')+1:])
		}
		if err := writeCells(out, t.line, columns, cells); err != nil {
			return err
		}
	}
	cells := []string{
		happenedAt(r, fields).UTC().Format(tableTime), fmt.Sprintf("%d/%d", r.Partition, r.Offset), cmp.Or(t.customerOf(key, fields), "-"), t.typeOf(key, fields),
	}
	for _, c := range columns[4:] {
		if t.changelog {
			cells = append(cells, tableCell(value))
			continue
		}
		cells = append(cells, tableCell(fieldAt(fields, c.path)))
	}
	if kind, detail := t.unusual(r, err); kind+detail != "" {
		cells = append(cells[:3], cmp.Or(kind, cells[3]), detail)
	}
	return writeCells(out, t.line, columns, cells)
}

// unusual tells what a record is that has no value of its topic: its kind, "" if err says all, and what there is to say. Both are empty of a record that has one. err
// is what decode returned.
func (t *tail) unusual(r *kgo.Record, err error) (kind, detail string) {
	switch mark := headerOf(r, schemas.TimeMarkHeader); {
	case errors.Is(err, errIgnored):
		return "", err.Error()
	case err != nil && t.events != nil:
		return "", "no event: " + err.Error()
	case err != nil:
		return "", "cannot be decoded: " + err.Error()
	case mark != "" && len(r.Key) == 0:
		return "time mark", mark
	case headerOf(r, schemas.FeedHeader) != "" && len(r.Key) == 0:
		return t.relayed(r)
	case r.Value == nil:
		return "deletion", ""
	}
	return "", ""
}

// relayed tells what a record without an event is that a first stage has written into the topic events.
func (t *tail) relayed(r *kgo.Record) (kind, detail string) {
	if refused := headerOf(r, schemas.RefusedHeader); refused != "" {
		return "refused", refused
	}
	relay, refusal := (&schemas.Decoder{}).DecodeRelay(&schemas.Source{Headers: headersOf(r)}, nil)
	switch {
	case refusal != nil:
		return "", "cannot be decoded: " + refusal.Detail
	case relay.Cut >= 0:
		return "cut", fmt.Sprintf("the feed %016x goes on at offset %d", relay.Feed, relay.Cut)
	case relay.Watermark == operators.Unset:
		return "time mark", "no time yet"
	}
	return "time mark", relay.Watermark.String()
}

func headerOf(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// fieldAt returns the value at a path, nil if there is none.
func fieldAt(fields schemas.Fields, path string) any {
	name, rest, nested := strings.Cut(path, ".")
	value := fields.Get(name)
	if !nested {
		return value
	}
	inner, _ := value.(schemas.Fields)
	return fieldAt(inner, rest)
}

// tableCell returns a value as it stands in a table.
func tableCell(value any) string {
	switch v := value.(type) {
	case nil:
		return "-"
	case string:
		return v
	case []byte:
		return textOrHex(v)
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', 5, 64)
	case operators.EventTime:
		return v.String()
	case operators.Day:
		return v.String()
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = tableCell(v[i])
		}
		return strings.Join(parts, "; ")
	}
	text, err := schemas.Fields{{Name: "v", Value: value}}.MarshalJSON()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(text), `{"v":`), "}")
}

// lineWidth returns how many characters a line of the terminal has that w is, 0 if it is none.
func lineWidth(w io.Writer) int {
	file, isFile := w.(*os.File)
	if !isFile {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0 // it is no terminal
	}
	return width
}

// writeCells writes one row for a terminal with lines of a width; 0 is no terminal, for which nothing is cut. Cells are cut to their columns, the last one to what is left of the line.
func writeCells(out io.Writer, width int, columns []tableColumn, cells []string) error {
	const gap, lastMin = 2, 16 // a line with less left for its last cell is longer than the terminal's
	var line strings.Builder
	used := 0
	for i, cell := range cells {
		cell = plain(cell)
		most, last := columns[i].width, i == len(cells)-1
		if last {
			most = max(width-used, lastMin)
		}
		length := utf8.RuneCountInString(cell)
		if width > 0 && length > most {
			cell, length = string([]rune(cell)[:most-1])+"…", most
		}
		line.WriteString(cell)
		if !last {
			line.WriteString(strings.Repeat(" ", max(most-length, 0)+gap))
		}
		used += most + gap
	}
	_, err := fmt.Fprintln(out, strings.TrimRight(line.String(), " "))
	return err
}
