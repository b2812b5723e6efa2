package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/operators/trigger"
	"lull/schemas"
)

// tail prints the records that the filters hold, and of these as many as asked for, however far back they lie.
func TestTailFilters(t *testing.T) {
	broker := newBroker(t)
	var text strings.Builder
	text.WriteString("customer_id,date,amount,kind,name\nann,1998-01-04,1,,\nbob,1998-01-05T12:00:00Z,2,,\nann,1998-01-06,3,,\nann,1998-01-07,,page,home\n")
	for range 2000 {
		text.WriteString("zoe,1998-02-01,9,,\n")
	}
	file := writeFile(t, "orders.csv", text.String())
	if _, errs, code := lull(t, "produce", "--brokers", broker, "--topic", "shop", "--csv", file, "--time-mark", "1998-03-01"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for args, want := range map[string][]string{
		"--customer ann":                                  {"1", "3", "4"},
		"--customer ann -n 2":                             {"3", "4"},
		"--customer ann --from-start --type page":         {"4"},
		"--type page":                                     {"4"},
		"--type order_completed -n 1 --until 1998-01-06":  {"2"},
		"--since 1998-01-05T12:00:00Z --until 1998-01-07": {"2", "3"},
		"--customer eve":                                  nil,
		"--since 1h --customer ann":                       nil,
	} {
		out, errs, code := lull(t, append([]string{"tail", "shop", "--brokers", broker}, strings.Fields(args)...)...)
		if code != 0 || (errs == "no record of shop is one that the flags choose\n") != (want == nil) {
			t.Errorf("%s: exit code %d, %s", args, code, errs)
		}
		var got []string
		for _, part := range strings.Split(out, `"message_id":"orders.csv:`)[1:] {
			number, _, _ := strings.Cut(part, `"`)
			got = append(got, number)
		}
		if slices.Sort(got); !slices.Equal(got, want) || strings.Count(out, "\n") != len(want) {
			t.Errorf("%s: %q, want %q in\n%s", args, got, want, out)
		}
	}
	for args, want := range map[string]string{
		"--type purchase": `--type "purchase" is no kind of event`, "--output yaml": `--output "yaml": it must be text, json or table`, "--since tomorrow": `--since: "tomorrow": it must be a time such as`,
		"--since 1998-01-05 --until 1998-01-04": "nothing lies between them",
	} {
		if _, errs, code := lull(t, append([]string{"tail", "shop", "--brokers", broker}, strings.Fields(args)...)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, %s; want %q", args, code, errs, want)
		}
	}
}

// A table has a header and a line for each record, whatever is in it.
func TestTailTable(t *testing.T) {
	broker := newBroker(t)
	value, err := schemas.EncodeEvent(nil, &operators.Event{
		Kind: operators.OrderCompleted, Customer: "a-customer-with-a-name\nof more than a line", Time: 883_919_220_123, OrderID: "o-1", Amount: 1250,
	}, "USD")
	if err != nil {
		t.Fatal(err)
	}
	client := producer(t, broker)
	for i, r := range []*kgo.Record{
		{Key: []byte("x"), Value: value}, {Key: []byte("eve"), Value: []byte("{}")}, {Key: []byte("eve")},
		{Headers: []kgo.RecordHeader{{Key: schemas.TimeMarkHeader, Value: []byte("1998-02-01T00:00:00Z")}}},
		{Headers: []kgo.RecordHeader{{Key: schemas.FeedHeader, Value: []byte("00000000000000ff")}, {Key: schemas.WatermarkHeader, Value: []byte("883612800000")}}},
		{Headers: []kgo.RecordHeader{{Key: schemas.FeedHeader, Value: []byte("00000000000000ff")}, {Key: schemas.CutHeader, Value: []byte("17")}}},
		{Headers: []kgo.RecordHeader{{Key: schemas.FeedHeader, Value: []byte("00000000000000ff")}, {Key: schemas.RefusedHeader, Value: []byte("invalid web/3/14")}}},
		{Headers: []kgo.RecordHeader{{Key: schemas.FeedHeader, Value: []byte("nonsense")}}},
	} {
		r.Topic, r.Timestamp = "shop", time.UnixMilli(1_700_000_000_000+int64(i))
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, code := lull(t, "tail", "shop", "--brokers", broker, "--output", "table")
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if code != 0 || len(lines) != 9 {
		t.Fatalf("exit code %d, %s%s", code, out, errs)
	}
	for i, want := range []string{
		"TIME PLACE CUSTOMER TYPE ORDER_ID AMOUNT CURRENCY NAME SUBJECT", "1998-01-04T13:07:00Z 0/0 a-customer-with-a-name\uFFFDof more than a line order_completed o-1 1250 USD - -",
		"2023-11-14T22:13:20Z 0/1 eve cannot be decoded: decoding a record of events", "2023-11-14T22:13:20Z 0/2 eve deletion",
		"2023-11-14T22:13:20Z 0/3 - time mark 1998-02-01T00:00:00Z", "2023-11-14T22:13:20Z 0/4 - time mark 1998-01-01T00:00:00.000Z",
		"2023-11-14T22:13:20Z 0/5 - cut the feed 00000000000000ff goes on at offset 17", "2023-11-14T22:13:20Z 0/6 - refused invalid web/3/14",
		"2023-11-14T22:13:20Z 0/7 - cannot be decoded: the record at /0/0 does not say where it came from",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); !strings.HasPrefix(got, want) {
			t.Errorf("line %d: %q, want %q", i, got, want)
		}
	}
	if strings.Index(lines[0], "TYPE") != strings.Index(lines[3], "deletion") {
		t.Errorf("columns are not below their names:\n%s", out)
	}
}

// What lull itself names stands whole in its column of a table.
func TestTailWidths(t *testing.T) {
	fits := func(topic schemas.Topic, column, text string) {
		columns := columnsOf(topic)
		if i := slices.IndexFunc(columns, func(c tableColumn) bool { return c.path == column }); len(text) > columns[i].width {
			t.Errorf("%s: %q is longer than the %d characters of its column %s", topic, text, columns[i].width, column)
		}
	}
	for k := 1; k <= operators.EventKinds; k++ {
		fits(schemas.Events, "type", operators.EventKind(k).String())
	}
	for _, column := range []string{"type", "from"} {
		for q := operators.NoQuadrant; q <= operators.Save; q++ {
			fits(schemas.Segments, column, q.String())
		}
		for l := operators.NoLifecycle; l <= operators.WonBack; l++ {
			fits(schemas.Segments, column, l.String())
		}
		for g := operators.NoRFMGroup; g <= operators.DormantCustomers; g++ {
			fits(schemas.Segments, column, g.String())
		}
	}
	for _, r := range trigger.DefaultRules().Rules {
		fits(schemas.Triggers, "type", r.Name)
		fits(schemas.Triggers, "to", r.To)
	}
	for _, withheld := range []string{
		trigger.Withdrawal, trigger.Returned, trigger.Stale, trigger.Shadow, trigger.Control, trigger.NoConsent, trigger.Cooldown, trigger.Cap,
	} {
		fits(schemas.Triggers, "withheld", withheld)
	}
	for _, r := range schemas.Reasons {
		fits(schemas.DeadLetters, "type", r.Code)
		fits(schemas.Redrives, "type", r.Code)
	}
}

// On a terminal cells are cut to their columns, and the last one to what is left of the line; elsewhere they stand whole.
func TestTailCells(t *testing.T) {
	columns := []tableColumn{{"customer", 8}, {"type", 4}, {"reasons", 0}}
	cells := []string{"a-customer", "page", "silent for 71 days; value 12"}
	for width, want := range map[int]string{
		0:   "a-customer  page  silent for 71 days; value 12\n",
		200: "a-custo…  page  silent for 71 days; value 12\n",
		40:  "a-custo…  page  silent for 71 days; val…\n",
		20:  "a-custo…  page  silent for 71 d…\n",
	} {
		var out strings.Builder
		if err := writeCells(&out, width, columns, cells); err != nil || out.String() != want {
			t.Errorf("%d: %q, %v; want %q", width, out.String(), err, want)
		}
	}
}

// A topic in which each record has another format is shown as if all had one, and filtered too; what is not in the format that it names is shown with the reason.
func TestTailFormats(t *testing.T) {
	broker := newBroker(t)
	if _, errs, code := lull(t, "topics", "apply", "--brokers", broker, "--input-topic", "shop", "--topics-partitions", "1"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	client := producer(t, broker)
	produce := func(r *kgo.Record) {
		t.Helper()
		r.Topic = "lull.triggers"
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, format := range schemas.OutputFormats {
		encoder, err := schemas.NewEncoder(schemas.EncoderConfig{
			HorizonDays: 365, ContactDays: 30, Margin: 1, Formats: map[schemas.Topic]schemas.Format{schemas.Triggers: format}, SchemaIDs: map[schemas.Topic]uint32{schemas.Triggers: 7},
		})
		if err != nil {
			t.Fatal(err)
		}
		var rec schemas.Record
		trigger := operators.Trigger{Rule: "churn_risk", From: "low_risk", To: "high_risk", Deadline: 883_919_220_123, Actionable: true, Reasons: []string{"silent for 71 days"}}
		if err := encoder.EncodeOutput(&operators.Output{
			Kind: operators.TriggerOutput, Customer: "ann", Time: trigger.Deadline, Cause: operators.Cause{Kind: operators.DeadlineInput, Deadline: trigger.Deadline}, Trigger: &trigger,
		}, &rec); err != nil {
			t.Fatal(err)
		}
		r := &kgo.Record{Key: rec.Key, Value: rec.Value}
		for _, h := range rec.Headers {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		produce(r)
	}
	produce(&kgo.Record{Key: []byte("bob"), Value: []byte("high risk"), Headers: []kgo.RecordHeader{{Key: schemas.ContentTypeHeader, Value: []byte("text/plain")}}})
	out, errs, code := lull(t, "tail", "triggers", "--brokers", broker, "--type", "churn_risk", "--from-start")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != len(schemas.OutputFormats) {
		t.Fatalf("exit code %d, %s%s", code, out, errs)
	}
	for i, line := range lines {
		if got, want := strings.Replace(line, fmt.Sprintf(`"offset":%d`, i), `"offset":0`, 1), lines[0]; got != want || !strings.Contains(got, `"reasons":["silent for 71 days"]`) {
			t.Errorf("%s is shown as %s; want %s", schemas.OutputFormats[i], got, want)
		}
	}
	out, _, _ = lull(t, "tail", "triggers", "--brokers", broker, "--customer", "bob", "--from-start")
	if !strings.Contains(out, `"error":"decoding a record of triggers: content-type is \"text/plain\", which no record of it has"`) || !strings.Contains(out, `high risk`) {
		t.Errorf("what has no known format is shown as %s", out)
	}
}

// Every own topic has a table whose columns are fields of its schema.
func TestTailColumns(t *testing.T) {
	for _, name := range append(ownTopics(), "events") {
		of, ok := schemas.TopicNamed(name)
		if !ok {
			continue // the changelog, which shows all
		}
		columns := tableColumns[of]
		if len(columns) == 0 {
			t.Errorf("%s has no columns", name)
		}
		if field := typeFields[of]; field != "" {
			columns = append(columns[:len(columns):len(columns)], tableColumn{path: field})
		}
		for _, c := range columns {
			for part := range strings.SplitSeq(c.path, ".") {
				if !strings.Contains(strings.ReplaceAll(of.Schema(), " ", ""), `"name":`+strconv.Quote(part)) {
					t.Errorf("%s has no field %s", name, c.path)
				}
			}
		}
	}
}

// Of an input in another format tail shows the events that its records become, and chooses by them; a record that becomes none is shown as it is, with the reason.
func TestTailInput(t *testing.T) {
	broker := newBroker(t)
	client := producer(t, broker)
	order := `{"id":"e1","type":"placed","at":"2025-07-01T12:00:00Z","customer":{"id":42},"order":"A-1","total":12.50}`
	for _, r := range []*kgo.Record{
		{Key: []byte("42"), Value: []byte(order)}, {Key: []byte("42"), Value: []byte(`{"type":"ping"}`)}, {Key: []byte("42"), Value: []byte("{}")},
		{Headers: []kgo.RecordHeader{{Key: schemas.TimeMarkHeader, Value: []byte("2025-07-02T00:00:00Z")}}},
	} {
		r.Topic = "shop"
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	config := writeFile(t, "lull.yaml", fmt.Sprintf("brokers: [%q]\ninput: {topic: shop, format: json, mapping: %q}\n", broker, fileOf(t, "orders.yaml", ordersMapping)))
	event := `"value":{"kind":"order_completed","customer_id":"42","time":"2025-07-01T12:00:00.000Z","day":"2025-07-01","message_id":"e1","order_id":"A-1","amount":1250,"currency":"USD"}}`
	refused := `"error":"unmatched: no rule of the mapping matches (type is nothing)`
	for _, c := range []struct {
		args string
		want []string // a part of each line
	}{
		{"", []string{event, `"ignored":true,"value":"{\"type\":\"ping\"}"}`, refused, `"lull-time-mark":"2025-07-02T00:00:00Z","value":null}`}},
		{"--type order_completed", []string{event}},
		{"--since 2025-07-01T12:00:00Z --until 2025-07-01T12:00:01Z", []string{event}},
		{"--output table", []string{"TIME", "42                    order_completed           A-1", "ignored by the mapping", "no event: unmatched: no rule", "time mark"}},
	} {
		out, errs, code := lull(t, append([]string{"tail", "shop", "--from-start", "--config", config}, strings.Fields(c.args)...)...)
		if code != 0 || strings.Count(out, "\n") != len(c.want) {
			t.Errorf("%s: exit code %d\n%s%s", c.args, code, out, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %s in\n%s", c.args, want, out)
			}
		}
	}
	wrong := writeFile(t, "wrong.yaml", fmt.Sprintf("brokers: [%q]\ninput: {topic: shop, format: json}\n", broker))
	if _, errs, code := lull(t, "tail", "shop", "--config", wrong); code != exitUsage || !strings.Contains(errs, "input.mapping is missing") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}
