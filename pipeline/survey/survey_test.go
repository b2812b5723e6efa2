package survey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"lull/operators"
	"lull/schemas"
)

// decoderOf returns a decoder by a mapping, as lull run makes it.
func decoderOf(t rapid.TB, s *Sample, mapping string) *schemas.Decoder {
	t.Helper()
	parsed, err := schemas.ParseMapping([]byte(mapping))
	if err != nil {
		t.Fatalf("%v in the mapping\n%s", err, mapping)
	}
	input, err := schemas.NewInput("input", s.Format, s.Schema, parsed, s.Writers)
	if err != nil {
		t.Fatalf("%v in the mapping\n%s", err, mapping)
	}
	decoder, err := schemas.NewDecoder(schemas.DecoderConfig{Zone: s.Zone, Currency: s.Currency, Input: input})
	if err != nil {
		t.Fatal(err)
	}
	return decoder
}

// TestShops proves what is proposed for the records of shops as they are, and what becomes of them by it. The commands of testdata/shops:
//
//	topic       records, one a line: the key, - for none, a tab, the value. Kafka's timestamps are 2026-07-02
//	file        the lines of a file: JSON, or CSV with a header
//
// zone=Z and currency=C say what the settings do, currency-assumed that they do not; field=(FIELD=PATH, ...) which field is what.
func TestShops(t *testing.T) {
	datadriven.Walk(t, "testdata/shops", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			zone, currency := "UTC", "USD"
			d.MaybeScanArgs(t, "zone", &zone)
			d.MaybeScanArgs(t, "currency", &currency)
			s := Sample{Currency: currency, CurrencyAssumed: d.HasArg("currency-assumed")}
			var err error
			if s.Zone, err = time.LoadLocation(zone); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(d.Input, "\n")
			if columns, delimiter, ok := Header([]byte(lines[0])); d.Cmd == "file" && !strings.HasPrefix(d.Input, "{") && ok {
				s.Columns, s.Delimiter, lines = columns, delimiter, lines[1:]
			}
			var values [][]byte
			for i, line := range lines {
				r := schemas.Source{Topic: "shop", Offset: int64(i), Value: []byte(line), AppendTime: operators.Unset}
				if d.Cmd == "topic" {
					key, value, _ := strings.Cut(line, "\t")
					if r.Value = []byte(value); key != "-" {
						r.Key = []byte(key)
					}
					r.AppendTime = operators.EventTime(time.Date(2026, 7, 2, 0, 0, 0, 0, time.UTC).UnixMilli())
				}
				values = append(values, r.Value)
				s.Records = append(s.Records, r)
			}
			found := Recognize(values, func([]byte) bool { return false })
			if !found.Known {
				return "unknown: " + found.Instead
			}
			s.Format = found.Format
			if s.Format == schemas.CSV && s.Columns == nil {
				s.Delimiter = found.Delimiter
				for i := range found.Columns {
					s.Columns = append(s.Columns, Column(i))
				}
			}
			var named []string
			if arg, has := d.Arg("field"); has {
				named = arg.Vals
			}
			return told(t, &s, named)
		})
	})
}

// told returns what is found out about a sample, as text.
func told(t *testing.T, s *Sample, named []string) string {
	t.Helper()
	p, err := Look(s)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, keyed by %q\n", s.Format, p.KeyedBy())
	for _, name := range named {
		field, path, _ := strings.Cut(name, "=")
		if err := p.Name(field, path); err != nil {
			fmt.Fprintf(&b, "error: %v\n", err)
		}
	}
	proposal := p.Propose()
	mapping := proposal.Mapping
	for _, f := range proposal.Findings {
		fmt.Fprintf(&b, "%s: %s", f.Role, f.Path)
		for _, says := range []string{f.Why, f.Doubt} {
			if says != "" {
				fmt.Fprintf(&b, " | %s", says)
			}
		}
		b.WriteByte('\n')
	}
	for _, missing := range proposal.Missing {
		fmt.Fprintf(&b, "missing: %s\n", missing)
	}
	if s.Format == schemas.SegmentJSON {
		mapping, s.Format = string(schemas.SegmentMapping()), schemas.JSON
	} else {
		fmt.Fprintf(&b, "\n%s%s\n", mapping, proposal.Draft)
	}
	if mapping != "" {
		trial := Try(s.Records, decoderOf(t, s, mapping), 600_000)
		fmt.Fprintf(&b, "%d records: %d events of %d customers, %d ignored, %d refused\n", trial.Records, trial.Events, trial.Customers(), trial.Ignored, trial.Refused)
		for _, k := range trial.Kinds {
			fmt.Fprintf(&b, "  %s: %d\n", k.Name, k.Records)
		}
		for _, r := range trial.Refusals {
			fmt.Fprintf(&b, "  refused %s: %d: %s\n", r.Reason, r.Records, strings.Join(r.Examples, " | "))
		}
		quality, err := json.Marshal(trial.Quality)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", quality)
		if trial.Unordered() {
			b.WriteString("not in the order of time\n")
		}
		for _, a := range trial.Abilities() {
			if a.Can {
				fmt.Fprintf(&b, "+ %s: %s\n", a.Name, a.Says)
			}
		}
	}
	return strings.ReplaceAll(b.String(), "\n\n", "\n.\n")
}

// TestAnyShop proves that whatever a shop calls its fields, and however it writes times and amounts, of those that have been thought of, the mapping that is proposed gives each order with
// its customer, id, instant and amount.
func TestAnyShop(t *testing.T) {
	layouts := []string{"unix", "milliseconds", time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "02.01.2006 15:04", "2006-01-02T15:04:05.000Z"}
	amounts := []string{"point", "comma", "number", "cents"}
	rapid.Check(t, func(t *rapid.T) {
		name := func(label string, names ...string) string { return rapid.SampledFrom(names).Draw(t, label) }
		customer := name("customer", "customer_id", "customerId", "customer.id", "userId", "user.id", "kundennummer", "Kunden-Nr", "client_id", "payload.customer.id", "member")
		when := name("when", "occurred_at", "created_at", "orderDate", "order.placed_at", "timestamp", "Bestelldatum", "ts", "event_time")
		order := name("order", "order_id", "order.number", "orderId", "Bestellnummer", "bestell_nr", "transaction_id", "order.id")
		amount := name("amount", "total", "amount", "order.total_price", "Gesamtbetrag", "Summe", "revenue", "order_value")
		layout, written := name("layout", layouts...), name("written", amounts...)
		if written == "cents" {
			amount = name("in cents", "total_cents", "order.amount_cents", "amount_minor")
		}
		currency := name("currency", "currency", "Währung", "order.currency_code", "")
		noise := rapid.Bool().Draw(t, "noise")
		n := rapid.IntRange(3, 40).Draw(t, "records")
		s := Sample{Format: schemas.JSON, Zone: time.UTC, Currency: "EUR"}
		type sold struct {
			customer, order string
			at              time.Time
			cents           int64
		}
		var want []sold
		for i := range n {
			o := sold{
				customer: fmt.Sprintf("c-%d", i%7), order: fmt.Sprintf("A-%d", 1000+i),
				at: time.Date(2026, 5, 1+i%28, 13, i, 0, 0, time.UTC), cents: rapid.Int64Range(1, 99_999).Draw(t, "cents")*100 + 1 + int64(i)%99,
			}
			want = append(want, o)
			record := make(map[string]any)
			set(record, customer, o.customer)
			set(record, order, o.order)
			switch layout {
			case "unix":
				set(record, when, o.at.Unix())
			case "milliseconds":
				set(record, when, strconv.FormatInt(o.at.UnixMilli(), 10))
			default:
				set(record, when, o.at.Format(layout))
			}
			text := fmt.Sprintf("%d.%02d", o.cents/100, o.cents%100)
			switch written {
			case "point":
				set(record, amount, text)
			case "comma":
				set(record, amount, strings.Replace(text, ".", ",", 1))
			case "number":
				set(record, amount, json.Number(text))
			case "cents":
				set(record, amount, o.cents)
			}
			if currency != "" {
				set(record, currency, "EUR")
			}
			if noise {
				set(record, "customer_since", "2019-01-01")
				set(record, "order_tax", "1.90")
				set(record, "shipping.amount", "4.90")
				set(record, "user_agent", "curl")
				set(record, "country", "DE")
				set(record, "delivery_date", "2026-06-01")
				set(record, "birth_date", "1980-01-01")
				set(record, "previous_order_id", "A-1")
			}
			value, err := json.Marshal(record)
			if err != nil {
				t.Fatal(err)
			}
			s.Records = append(s.Records, schemas.Source{Topic: "shop", Offset: int64(i), Value: value, AppendTime: operators.Unset})
		}
		p, err := Look(&s)
		if err != nil {
			t.Fatal(err)
		}
		proposal := p.Propose()
		if proposal.Mapping == "" {
			t.Fatalf("%v for %s", proposal.Missing, s.Records[0].Value)
		}
		decoder := decoderOf(t, &s, proposal.Mapping)
		for i := range s.Records {
			s.Records[i].AppendTime = schemas.TimeEnd - 1
			var e operators.Event
			refusal := decoder.DecodeKeyless(&s.Records[i], &e)
			o := want[i]
			if refusal != nil {
				t.Fatalf("%s: %s for %s by\n%s", refusal.Reason, refusal.Detail, s.Records[i].Value, proposal.Mapping)
			}
			if e.Kind != operators.OrderCompleted || e.Customer != o.customer || e.OrderID != o.order || int64(e.Time) != o.at.UnixMilli() || int64(e.Amount) != o.cents {
				t.Fatalf("%v %s %s %s %d for %s by\n%s", e.Kind, e.Customer, e.OrderID, e.Time, e.Amount, s.Records[i].Value, proposal.Mapping)
			}
		}
	})
}

// set sets a field of a record at a path.
func set(record map[string]any, path string, value any) {
	for {
		name, rest, nested := strings.Cut(path, ".")
		if !nested {
			record[name] = value
			return
		}
		inner, _ := record[name].(map[string]any)
		if inner == nil {
			inner = make(map[string]any)
			record[name] = inner
		}
		record, path = inner, rest
	}
}

// TestMeasured proves that what a customer is said to take is what was measured.
func TestMeasured(t *testing.T) {
	results, err := os.ReadFile("../../benchmarks/results/2026-11-24-first.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| state bytes per customer, mean of all records | %d |", CustomerBytes),
		fmt.Sprintf("| state bytes per customer, 99th percentile | %d |", CustomerBytesMost),
	} {
		if !bytes.Contains(results, []byte(row)) {
			t.Errorf("the results lack %q", row)
		}
	}
}

// TestEstimate proves that a sample that is all has no more customers than it has, and that of a part of a topic the estimate is between what was seen and what the records could hold, on both sides of the truth
// if customers come at random.
func TestEstimate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		customers := rapid.IntRange(1, 400).Draw(t, "customers")
		n := rapid.IntRange(1, 2000).Draw(t, "events")
		trial := &Trial{Records: n, Events: n, told: n, counted: n, seen: make(map[string]int)}
		for range n {
			trial.seen[strconv.Itoa(rapid.IntRange(1, customers).Draw(t, "who"))]++
		}
		if all := trial.Estimate(int64(n), 8); all.Estimated != int64(len(trial.seen)) || all.Most != all.Estimated || all.BytesMost != all.Most*CustomerBytes {
			t.Fatalf("%+v of %d customers", all, len(trial.seen))
		}
		part := trial.Estimate(int64(10*n), 8)
		if part.Estimated < int64(len(trial.seen)) || part.Most < part.Estimated || part.BytesLeast != int64(len(trial.seen))*CustomerBytes || part.Most > int64(10*n) || part.Partitions < 8 {
			t.Fatalf("%+v of %d customers", part, len(trial.seen))
		}
	})
}

// TestNeeds proves by hand what a million customers and five million events a day take, that replicas multiply what brokers keep and nothing else, and that more of anything never takes less.
func TestNeeds(t *testing.T) {
	const week = 7 * 24 * 3600
	load := Load{Customers: 1_000_000, PerSecond: 58, PeakPerSecond: 580, Partitions: 8, Replicas: 1, WallClock: true, CompactionLagMs: week * 1000, RetentionMs: week * 1000}
	writes := int64(week * 58 * 5 / 4)
	metas := writes + week*8
	want := Needs{
		CoresLeast: 0.0058, CoresMost: 0.087, MemoryBytes: 946 << 20, StateBytesLeast: 130e6, StateBytesMost: 250e6, DiskBytes: 1e9, InputBytesPerDay: 86400 * 58 * 99,
		ChangelogBytes: 146e6, ChangelogBytesMost: 146e6 + writes*146 + metas*125, ScoresBytes: 359e6, OutputBytes: week * 58 * 161,
		RestoreSeconds: 4, RestoreSecondsMost: float64(1_000_000+writes+metas) / 250_000, SweepSeconds: 40, Partitions: 8,
	}
	if got := load.Needs(); got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	load.Replicas, load.EventBytes = 3, 198
	want.InputBytesPerDay, want.ChangelogBytes, want.ChangelogBytesMost, want.ScoresBytes, want.OutputBytes = 6*want.InputBytesPerDay, 3*want.ChangelogBytes, 3*want.ChangelogBytesMost, 3*want.ScoresBytes, 3*want.OutputBytes
	if got := load.Needs(); got != want {
		t.Errorf("%+v\nwant %+v with three replicas and twice the event", got, want)
	}
	load.Customers, load.WallClock = 15_000, false
	if got := load.Needs(); got.MemoryBytes != 265<<20 || got.ChangelogBytesMost != 3*(15_000*146+writes*(146+125)) {
		t.Errorf("%+v of few customers under the clock of events", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		few := Load{
			Customers: rapid.Int64Range(1, 1e8).Draw(t, "customers"), PerSecond: rapid.Float64Range(0.01, 1e5).Draw(t, "events"), Partitions: rapid.Int64Range(1, 1000).Draw(t, "partitions"),
			Replicas: rapid.Int64Range(1, 5).Draw(t, "replicas"), CompactionLagMs: 1, RetentionMs: 1,
		}
		few.PeakPerSecond = few.PerSecond
		many := few
		many.Customers, many.PerSecond, many.PeakPerSecond, many.WallClock = 2*few.Customers, 2*few.PerSecond, 3*few.PeakPerSecond, true
		many.CompactionLagMs, many.RetentionMs = week, week
		least, most := reflect.ValueOf(few.Needs()), reflect.ValueOf(many.Needs())
		for i := range least.NumField() {
			name := least.Type().Field(i).Name
			less, more := number(least.Field(i)), number(most.Field(i))
			if less < 0 || more < less {
				t.Errorf("%s is %v, and %v of more", name, less, more)
			}
		}
	})
}

func number(v reflect.Value) float64 {
	if v.CanInt() {
		return float64(v.Int())
	}
	return v.Float()
}

// TestSizingPage proves that what is computed goes by the figures that docs/operating/sizing.md has as measured, and by its formulas.
func TestSizingPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operating/sizing.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, figure := range []string{
		fmt.Sprintf("*peak events a second* × %d to %d µs", eventMicrosLeast, eventMicrosMost),
		fmt.Sprintf("customers × %d to %d bytes", diskBytesLeast, diskBytesMost), "four times that", "| a record of the changelog | " + strconv.Itoa(changelogBytes) + " bytes",
		fmt.Sprintf("a meta record of some %d bytes", metaBytes), fmt.Sprintf("score %d, segment", scoreBytes), fmt.Sprintf("%d in transactions of 1,000 events", outputBytes),
		fmt.Sprintf("| input, an event | %d bytes with its key", inputBytes), "÷ 0.25 M a second", fmt.Sprintf("customers × %d µs of CPU", sweepMicros), "0.23 an event were measured",
		fmt.Sprintf("%d MiB; %d MiB | first figures, 15,000 customers; sweep, 1 M customers", memoryFew>>20, memoryMany>>20),
	} {
		if !bytes.Contains(page, []byte(figure)) {
			t.Errorf("the page lacks %q", figure)
		}
	}
	if diskTimes != 4 || restoredPerSecond != 250_000 || deadlinesPerEvent < 0.23 || customersFew != 15_000 || customersMany != 1_000_000 {
		t.Error("the page has other figures")
	}
}
