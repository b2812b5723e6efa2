package schemas

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"lull/operators"
)

func newDecoder(t testing.TB, change func(*DecoderConfig)) *Decoder {
	t.Helper()
	config := DecoderConfig{Rates: map[string]string{"EUR": "1.0842", "JPY": "0.0067", "KWD": "3.25"}}
	if change != nil {
		change(&config)
	}
	d, err := NewDecoder(config)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newEncoder(t testing.TB) *Encoder {
	t.Helper()
	e, err := NewEncoder(EncoderConfig{HorizonDays: 365.25, ContactDays: 30, DiscountMonthly: 0.01, Margin: 1})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func ptr[T any](v T) *T { return &v }

// order returns an order_completed that is right in all its fields.
func order() wireEvent {
	return wireEvent{
		Kind: uint8(operators.OrderCompleted - 1), MessageID: ptr("m-1"), CustomerID: "c-1", Time: 873_123_456_789, OrderID: ptr("o-1"),
		Amount: ptr(int64(2999)), Currency: ptr("USD"), Quantity: ptr(3.0),
	}
}

func offer() wireEvent {
	return wireEvent{
		Kind: uint8(operators.OfferProposed - 1), MessageID: ptr("m-2"), CustomerID: "c-1", Time: 873_123_456_789, Subject: ptr("voucher-5"),
		Amount: ptr(int64(500)), Currency: ptr("USD"), Name: ptr("email"),
	}
}

func encoded(t testing.TB, w *wireEvent) []byte {
	t.Helper()
	value, err := compiled[Events].Encode(w)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// source returns the record of an event in partition 3 of topic "shop" at offset 42, appended on 2026-11-23.
func source(t testing.TB, w *wireEvent) *Source {
	return &Source{Topic: "shop", Partition: 3, Offset: 42, AppendTime: at(t, "2026-11-23T12:00:00Z"), Key: []byte(w.CustomerID), Value: encoded(t, w)}
}

// An event written byte by byte from the Avro specification, to prove the meaning of the schema without a library.
func TestDecodeBytesFromTheSpecification(t *testing.T) {
	value := bytes.Join([][]byte{
		{0x06},                   // kind: symbol 3, order_completed
		{0x02, 0x04, 'm', '7'},   // message_id
		{0x06, 'a', 'n', 'n'},    // customer_id
		{0x80, 0xb8, 0x99, 0x29}, // time 43_200_000 = 1970-01-01T12:00Z, zigzag 86_400_000 = 0x5265c00

		{0x02, 0x04, 'o', '9'},               // order_id
		{0x00},                               // refund_id
		{0x02, 0xee, 0x2e},                   // amount 2999
		{0x02, 0x06, 'U', 'S', 'D'},          // currency
		{0x00},                               // whole
		{0x02, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, // quantity 1.5
		{0x00}, {0x00}, {0x00},               // name, subject, proof
	}, nil)
	var e operators.Event
	r := &Source{Topic: "shop", AppendTime: at(t, "2026-11-23T12:00:00Z"), Key: []byte("ann"), Value: value}
	if rejection := newDecoder(t, nil).Decode(r, &e); rejection != nil {
		t.Fatal(rejection)
	}
	want := operators.Event{Kind: operators.OrderCompleted, ID: "m7", Customer: "ann", Time: 43_200_000, OrderID: "o9", Amount: 2999, Quantity: 1.5}
	if e != want {
		t.Errorf("decoded %+v; want %+v", e, want)
	}
}

// The symbols of the schema are the names of the kinds, in their order: the ordinal on the wire is the kind less 1.
func TestKindsOfSchema(t *testing.T) {
	symbols := compiled[Events].Root().Fields[0].Type.Symbols
	if len(symbols) != operators.EventKinds {
		t.Fatalf("%d symbols, %d kinds", len(symbols), operators.EventKinds)
	}
	for i, symbol := range symbols {
		if name := operators.EventKind(i + 1).String(); name != symbol {
			t.Errorf("symbol %d is %s, the kind %s", i, symbol, name)
		}
	}
}

// Every reason, with the record that has it, and what it says, word for word. The records around a refused one are decoded as if it had not been there.
func TestRejections(t *testing.T) {
	long := func(n int) *string { return ptr(strings.Repeat("x", n)) }
	cases := []struct {
		name   string
		reason string
		config func(*DecoderConfig)
		event  func(*wireEvent)
		record func(*Source)
		detail string // part of the detail
	}{
		{name: "5 MB", reason: ReasonRecordTooLarge, record: func(r *Source) { r.Value = make([]byte, 5_000_000) }, detail: "5000000 bytes"},
		{name: "one byte too many", reason: ReasonRecordTooLarge, config: func(c *DecoderConfig) { c.Limits.ValueBytes = 20 }, detail: "the limit is 20"},
		{name: "headers", reason: ReasonHeadersTooLarge, record: func(r *Source) { r.Headers = []Header{{"h", make([]byte, 1<<16)}} }},
		{name: "empty headers", reason: ReasonHeadersTooLarge, record: func(r *Source) { r.Headers = make([]Header, 8193) }},
		{name: "null key", reason: ReasonNoCustomer, record: func(r *Source) { r.Key = nil }},
		{name: "empty key", reason: ReasonNoCustomer, record: func(r *Source) { r.Key = []byte{} }},
		{name: "empty customer", reason: ReasonNoCustomer, event: func(w *wireEvent) { w.CustomerID = "" }, record: func(r *Source) { r.Key = []byte("c-1") }},
		{name: "null value", reason: ReasonNoValue, record: func(r *Source) { r.Value = nil }},
		{name: "empty value", reason: ReasonTruncated, record: func(r *Source) { r.Value = []byte{} }},
		{name: "last byte gone", reason: ReasonTruncated, record: func(r *Source) { r.Value = r.Value[:len(r.Value)-1] }},
		{name: "length beyond the end", reason: ReasonTruncated, record: func(r *Source) { r.Value = []byte{0, 2, 0xfe, 0xff, 0xff, 0x0f} }},
		{name: "trailing byte", reason: ReasonTrailingBytes, record: func(r *Source) { r.Value = append(r.Value, 0) }, detail: "1 of "},
		{name: "unknown kind", reason: ReasonMalformed, record: func(r *Source) { r.Value[0] = byte(2 * operators.EventKinds) }},
		{name: "negative kind", reason: ReasonMalformed, record: func(r *Source) { r.Value[0] = 1 }},
		{name: "no such union branch", reason: ReasonMalformed, record: func(r *Source) { r.Value[1] = 4 }},
		{name: "negative length", reason: ReasonMalformed, record: func(r *Source) { r.Value[2] = 1 }},
		{name: "JSON", reason: ReasonMalformed, record: func(r *Source) { r.Value = []byte(`{"kind":"page","customer_id":"c-1"}`) }},
		{name: "long key", reason: ReasonIDTooLong, event: func(w *wireEvent) { w.CustomerID = *long(257) }},
		{name: "long message id", reason: ReasonIDTooLong, event: func(w *wireEvent) { w.MessageID = long(257) }, detail: "message_id has 257 bytes"},
		{name: "long order id", reason: ReasonIDTooLong, event: func(w *wireEvent) { w.OrderID = long(257) }},
		{name: "long refund id", reason: ReasonIDTooLong, event: func(w *wireEvent) { w.RefundID = long(257) }},
		{name: "long subject", reason: ReasonIDTooLong, event: func(w *wireEvent) { w.Subject = long(257) }},
		{name: "long name", reason: ReasonTextTooLong, event: func(w *wireEvent) { w.Name = long(513) }},
		{name: "long proof", reason: ReasonTextTooLong, event: func(w *wireEvent) { w.Proof = long(1025) }},
		{name: "customer id not UTF-8", reason: ReasonInvalidUTF8, event: func(w *wireEvent) { w.CustomerID = "c\xff" }},
		{name: "name not UTF-8", reason: ReasonInvalidUTF8, event: func(w *wireEvent) { w.Name = ptr("caf\xe9") }, detail: "name"},
		{name: "another key", reason: ReasonKeyMismatch, record: func(r *Source) { r.Key = []byte("c-2") }, detail: `the key is "c-2", the customer_id "c-1"`},
		{name: "order without amount", reason: ReasonMissingField, event: func(w *wireEvent) { w.Amount = nil }, detail: "order_completed event has no amount"},
		{name: "amount without currency", reason: ReasonMissingField, event: func(w *wireEvent) { w.Currency = nil }, detail: "no currency"},
		{name: "empty currency", reason: ReasonMissingField, event: func(w *wireEvent) { w.Currency = ptr("") }},
		{name: "redriven from nowhere", reason: ReasonBadRedriven, event: func(w *wireEvent) { w.MessageID = nil },
			record: func(r *Source) { r.Headers = []Header{{RedrivenHeader, []byte("shop/3")}} }, detail: `lull-redriven is "shop/3"`},
		{name: "infinite quantity", reason: ReasonQuantityInvalid, event: func(w *wireEvent) { w.Quantity = ptr(math.Inf(1)) }},
		{name: "quantity NaN", reason: ReasonQuantityInvalid, event: func(w *wireEvent) { w.Quantity = ptr(math.NaN()) }},
		{name: "quantity below 0", reason: ReasonQuantityNegative, event: func(w *wireEvent) { w.Quantity = ptr(-1.0) }},
		{name: "amount below 0", reason: ReasonAmountNegative, event: func(w *wireEvent) { w.Amount = ptr(int64(-1)) }},
		{name: "unknown currency", reason: ReasonUnknownCurrency, event: func(w *wireEvent) { w.Currency = ptr("XYZ") }, detail: `currency "XYZ"`},
		{name: "currency without a rate", reason: ReasonUnknownCurrency, event: func(w *wireEvent) { w.Currency = ptr("GBP") }},
		{name: "currency in lower case", reason: ReasonUnknownCurrency, event: func(w *wireEvent) { w.Currency = ptr("usd") }},
		{name: "offer without amount", reason: ReasonMissingField, event: func(w *wireEvent) { *w = offer(); w.Amount = nil }, detail: "offer_proposed event has no amount"},
		{name: "offer without currency", reason: ReasonMissingField, event: func(w *wireEvent) { *w = offer(); w.Currency = nil }, detail: "no currency"},
		{name: "amount beyond 64 bits", reason: ReasonAmountOutOfRange, event: func(w *wireEvent) { w.Currency, w.Amount = ptr("KWD"), ptr(int64(math.MaxInt64)) },
			config: func(c *DecoderConfig) { c.Rates["KWD"] = "32.5" }},
		{name: "year 1", reason: ReasonTimeOutOfRange, event: func(w *wireEvent) { w.Time = int64(at(t, "0001-01-01T00:00:00Z")) }},
		{name: "year 1969", reason: ReasonTimeOutOfRange, event: func(w *wireEvent) { w.Time = -1 }},
		{name: "year 2200", reason: ReasonTimeOutOfRange, event: func(w *wireEvent) { w.Time = int64(TimeEnd) }},
		{name: "year 9999", reason: ReasonTimeOutOfRange, event: func(w *wireEvent) { w.Time = int64(at(t, "9999-12-31T23:59:59Z")) }},
		{name: "end of time", reason: ReasonTimeOutOfRange, event: func(w *wireEvent) { w.Time = math.MaxInt64 }},
		{name: "future refused", reason: ReasonTimeInFuture, config: func(c *DecoderConfig) { c.Future = RejectFuture },
			event: func(w *wireEvent) { w.Time = int64(at(t, "2026-11-23T12:05:00.001Z")) }},
		{name: "nothing to clamp to", reason: ReasonTimeInFuture, record: func(r *Source) { r.AppendTime = -1 }},
		{name: "timestamp at the end of time", reason: ReasonTimeInFuture, record: func(r *Source) { r.AppendTime = math.MaxInt64 }},
	}
	for kind, field := range map[operators.EventKind]string{
		operators.PageViewed: "name", operators.ScreenViewed: "name", operators.Tracked: "name",
		operators.OrderUpdated: "order_id", operators.OrderRefunded: "order_id", operators.OrderCancelled: "order_id",
		operators.CampaignSent: "subject", operators.CampaignDelivered: "subject", operators.CampaignOpened: "subject", operators.CampaignClicked: "subject",
		operators.TicketOpened: "subject", operators.TicketReplied: "subject", operators.TicketClosed: "subject", operators.ConsentGiven: "subject",
		operators.ConsentWithdrawn: "subject", operators.OfferProposed: "subject", operators.Aliased: "subject", operators.Grouped: "subject",
	} {
		c := cases[0]
		c.name, c.reason, c.record, c.detail = kind.String()+" without "+field, ReasonMissingField, nil, "has no "+field
		c.event = func(w *wireEvent) { w.Kind, w.OrderID = uint8(kind-1), nil }
		cases = append(cases, c)
	}
	var told []string
	seen := map[string]bool{ReasonBadTimeMark: true, ReasonBadRelay: true} // TestTimeMark, TestRelayMark
	for _, reason := range []string{
		ReasonUnmatched, ReasonBadField, ReasonAmountInexact, ReasonNoSchemaID, ReasonSchemaUnknown, ReasonSchemaUnusable, ReasonSchemaUnavailable,
	} {
		seen[reason] = true // TestFormats
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := newDecoder(t, c.config)
			w := order()
			if c.event != nil {
				c.event(&w)
			}
			r := source(t, &w)
			if c.record != nil {
				c.record(r)
			}
			var e operators.Event
			rejection := d.Decode(r, &e)
			if rejection == nil || rejection.Reason != c.reason || !strings.Contains(rejection.Detail, c.detail) {
				t.Fatalf("rejection %+v; want %s with %q", rejection, c.reason, c.detail)
			}
			if !strings.HasSuffix(rejection.Detail, remedies[c.reason]) {
				t.Errorf("the detail %q does not say what to do", rejection.Detail)
			}
			told = append(told, c.name+" is "+rejection.Reason+": "+rejection.Detail+"\n")
			if c.config == nil {
				good := order()
				if rejection := d.Decode(source(t, &good), &e); rejection != nil || e.OrderID != "o-1" {
					t.Errorf("the next record: %+v, %+v", rejection, e)
				}
			}
		})
		seen[c.reason] = true
	}
	slices.Sort(told)
	datadriven.RunTest(t, "testdata/rejections", func(*testing.T, *datadriven.TestData) string { return strings.Join(told, "") })
	for _, r := range Reasons {
		if !seen[r.Code] {
			t.Errorf("no record is refused for %s", r.Code)
		}
		delete(seen, r.Code)
	}
	if len(seen) > 0 {
		t.Errorf("not described: %v", seen)
	}
}

// docs/formats/dead-letters.md has the table of Reasons, word for word.
func TestReasonsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/formats/dead-letters.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	for _, r := range Reasons {
		table.WriteString("| `" + r.Code + "` | " + r.Meaning + " | " + r.Remedy + " |\n")
	}
	if !strings.Contains(string(page), table.String()) {
		t.Errorf("the page lacks this table:\n%s", table.String())
	}
}

// What a record at the limits of everything becomes: nothing of it is lost.
func TestDecodeAtTheLimits(t *testing.T) {
	id, name, proof := strings.Repeat("i", 256), strings.Repeat("n", 512), strings.Repeat("p", 1024)
	w := wireEvent{Kind: uint8(operators.ConsentGiven - 1), MessageID: &id, CustomerID: strings.Repeat("c", 256), Time: int64(at(t, "2026-11-23T12:05:00Z")),
		Subject: &id, Name: &name, Proof: &proof}
	var e operators.Event
	if rejection := newDecoder(t, nil).Decode(source(t, &w), &e); rejection != nil {
		t.Fatal(rejection)
	}
	if e.ID != id || e.Subject != id || e.Proof != proof || e.Customer != w.CustomerID || e.Clamped {
		t.Errorf("decoded %+v", e)
	}
}

func TestIDsOfRecordsWithoutThem(t *testing.T) {
	d := newDecoder(t, nil)
	const position = "shop/3/42"
	for _, absent := range []*string{nil, ptr("")} {
		w := order()
		w.MessageID, w.OrderID = absent, absent
		var e operators.Event
		if rejection := d.Decode(source(t, &w), &e); rejection != nil {
			t.Fatal(rejection)
		}
		if e.ID != position || e.OrderID != position || e.RefundID != "" {
			t.Errorf("an order without ids has id %q, order %q, refund %q", e.ID, e.OrderID, e.RefundID)
		}
		w = order()
		w.OrderID = absent
		if d.Decode(source(t, &w), &e); e.OrderID != "m-1" {
			t.Errorf("an order with a message id only is order %q", e.OrderID)
		}
		w = order()
		w.Kind, w.RefundID = uint8(operators.OrderRefunded-1), absent
		if rejection := d.Decode(source(t, &w), &e); rejection != nil || e.RefundID != "m-1" || e.OrderID != "o-1" {
			t.Errorf("a refund without an id is refund %q of order %q, %+v", e.RefundID, e.OrderID, rejection)
		}
	}
}

// Times later than append time and skew are clamped and flagged; the day is that of the clamped time.
func TestFutureTimesAreClamped(t *testing.T) {
	d := newDecoder(t, func(c *DecoderConfig) { c.Zone = zone(t, "Asia/Tokyo") })
	appended := at(t, "2026-11-23T12:00:00Z")
	for _, c := range []struct {
		time    string
		clamped bool
	}{{"2026-11-23T12:05:00Z", false}, {"2026-11-23T12:05:00.001Z", true}, {"2199-12-31T00:00:00Z", true}} {
		w := order()
		w.Time = int64(at(t, c.time))
		want := operators.EventTime(w.Time)
		if c.clamped {
			want = appended
		}
		var e operators.Event
		if rejection := d.Decode(source(t, &w), &e); rejection != nil || e.Clamped != c.clamped || e.Time != want || e.DayStart != at(t, "2026-11-22T15:00:00Z") {
			t.Errorf("%s: %+v, %+v", c.time, rejection, e)
		}
	}
}

func TestDecodeConvertsMoney(t *testing.T) {
	d := newDecoder(t, nil)
	for _, c := range []struct {
		currency string
		amount   int64
		want     operators.Money
	}{{"USD", 2999, 2999}, {"EUR", 1000, 1084}, {"JPY", 1500, 1005}, {"KWD", 1000, 325}, {"JPY", 0, 0}} {
		w := order()
		w.Amount, w.Currency = &c.amount, &c.currency
		var e operators.Event
		if rejection := d.Decode(source(t, &w), &e); rejection != nil || e.Amount != c.want {
			t.Errorf("%d %s is %d, %+v; want %d", c.amount, c.currency, e.Amount, rejection, c.want)
		}
	}
	w := order()
	w.Kind, w.Whole, w.Amount, w.Currency = uint8(operators.OrderRefunded-1), true, nil, nil
	var e operators.Event
	if rejection := d.Decode(source(t, &w), &e); rejection != nil || !e.Whole || e.Amount != 0 {
		t.Errorf("the refund of a whole order: %+v, %+v", rejection, e)
	}
}

// Fields that a kind does not use do not reach the event.
func TestUnusedFieldsAreIgnored(t *testing.T) {
	full := order()
	full.RefundID, full.Whole, full.Name, full.Subject, full.Proof = ptr("r-1"), true, ptr("home"), ptr("s-1"), ptr("p-1")
	for kind := operators.EventKind(1); int(kind) <= operators.EventKinds; kind++ {
		w := full
		w.Kind = uint8(kind - 1)
		var e operators.Event
		if rejection := newDecoder(t, nil).Decode(source(t, &w), &e); rejection != nil {
			t.Fatalf("%s: %+v", kind, rejection)
		}
		page := kind == operators.PageViewed || kind == operators.ScreenViewed || kind == operators.Tracked
		refund := kind == operators.OrderRefunded
		consent := kind == operators.ConsentGiven || kind == operators.ConsentWithdrawn
		money := kind == operators.OrderCompleted || kind == operators.OrderUpdated || refund || kind == operators.OfferProposed
		for _, f := range []struct {
			name      string
			set, used bool
		}{
			{"name", e.Name != "", page || kind == operators.OfferProposed}, {"order id", e.OrderID != "", kind.OfOrder()}, {"refund id", e.RefundID != "", refund}, {"whole", e.Whole, refund},
			{"amount", e.Amount != 0, money}, {"proof", e.Proof != "", consent}, {"subject", e.Subject != "", !page && !kind.OfOrder() && kind != operators.Identified},
			{"quantity", e.Quantity != 0, true},
		} {
			if f.set != f.used {
				t.Errorf("%s: %s is set: %t", kind, f.name, f.set)
			}
		}
	}
}

// The event lives on when the client reuses the record's memory.
func TestEventSharesNoMemoryWithTheRecord(t *testing.T) {
	d := newDecoder(t, nil)
	w := order()
	r := source(t, &w)
	var e operators.Event
	if rejection := d.Decode(r, &e); rejection != nil {
		t.Fatal(rejection)
	}
	before := e
	clear(r.Value)
	clear(r.Key)
	if e != before || e.OrderID != "o-1" || e.Customer != "c-1" || e.ID != "m-1" {
		t.Errorf("the event has become %+v", e)
	}
}

func drawEvent(t *rapid.T) operators.Event {
	id := rapid.StringMatching(`[a-zé漢]{1,12}`)
	e := operators.Event{
		Kind: operators.EventKind(rapid.IntRange(1, operators.EventKinds).Draw(t, "kind")), ID: id.Draw(t, "id"), Customer: id.Draw(t, "customer"),
		Time: operators.EventTime(rapid.Int64Range(int64(TimeMin), 1_700_000_000_000).Draw(t, "time")),
	}
	if rapid.Bool().Draw(t, "has quantity") {
		e.Quantity = rapid.Float64Range(0, 1e9).Draw(t, "quantity")
	}
	switch {
	case e.Kind <= operators.Tracked:
		e.Name = id.Draw(t, "name")
	case e.Kind.OfOrder():
		e.OrderID = id.Draw(t, "order")
		if e.Kind != operators.OrderCancelled {
			e.Amount = operators.Money(rapid.Int64Range(0, 1e12).Draw(t, "amount"))
		}
		if e.Kind == operators.OrderRefunded {
			e.RefundID, e.Whole = id.Draw(t, "refund"), rapid.Bool().Draw(t, "whole")
		}
	case e.Kind != operators.Identified:
		e.Subject = id.Draw(t, "subject")
		if e.Kind == operators.ConsentGiven || e.Kind == operators.ConsentWithdrawn {
			e.Proof = id.Draw(t, "proof")
		}
		if e.Kind == operators.OfferProposed {
			e.Name, e.Amount = id.Draw(t, "purpose"), operators.Money(rapid.Int64Range(0, 1e12).Draw(t, "amount"))
		}
	}
	return e
}

// Decode(EncodeEvent(e)) is e, and what the decoder adds.
func TestEventRoundTrip(t *testing.T) {
	d := newDecoder(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		e := drawEvent(t)
		value, err := EncodeEvent([]byte("before"), &e, "USD")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(value, []byte("before")) {
			t.Fatal("EncodeEvent does not append")
		}
		var got operators.Event
		r := &Source{Key: []byte(e.Customer), Value: value[len("before"):], AppendTime: TimeEnd - 1}
		if rejection := d.Decode(r, &got); rejection != nil {
			t.Fatalf("%+v of %+v", rejection, e)
		}
		e.Day = operators.Day(e.Time / operators.DayMs)
		e.DayStart = operators.EventTime(e.Day) * operators.DayMs
		if got != e {
			t.Fatalf("decoded %+v; want %+v", got, e)
		}
	})
}

func TestEncodeEventRefusesUnknownKinds(t *testing.T) {
	for _, kind := range []operators.EventKind{0, operators.EventKind(operators.EventKinds + 1), 255} {
		if _, err := EncodeEvent(nil, &operators.Event{Kind: kind, Customer: "c"}, "USD"); err == nil || err.Error() != fmt.Sprintf("encoding an event of kind %d; kinds are 1 to %d", kind, operators.EventKinds) {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
}

func TestTimeMark(t *testing.T) {
	mark := func(key []byte, value string) *Source {
		return &Source{Key: key, AppendTime: at(t, "1998-07-01T00:00:00Z"), Headers: []Header{{"other", nil}, {TimeMarkHeader, []byte(value)}}}
	}
	read := func(at operators.EventTime, of *Source) *Source {
		of.AppendTime, of.ReadTime = TimeEnd, at
		return of
	}
	d := newDecoder(t, nil)
	for _, c := range []struct {
		name   string
		record *Source
		want   operators.EventTime
		isMark bool
		told   string // what it is refused for, before the remedy; "" if it is not
	}{
		{"mark", mark(nil, "1998-07-01T00:00:00Z"), at(t, "1998-07-01T00:00:00Z"), true, ""},
		{"empty key", mark([]byte{}, "1998-07-01T02:00:00+02:00"), at(t, "1998-07-01T00:00:00Z"), true, ""},
		{"fractions are cut off", mark(nil, "1998-07-01T00:00:00.0019Z"), at(t, "1998-07-01T00:00:00.001Z"), true, ""},
		{"with a key", mark([]byte("c-1"), "1998-07-01T00:00:00Z"), operators.Unset, false, ""},
		{"without the header", &Source{}, operators.Unset, false, ""},
		{"no instant", mark(nil, "yesterday"), operators.Unset, true, `the time mark "yesterday" is no instant`},
		{"empty", mark(nil, ""), operators.Unset, true, `the time mark "" is no instant`},
		{"long", mark(nil, strings.Repeat("9", 1<<20)), operators.Unset, true, "the time mark " + quoted(strings.Repeat("9", 1<<20)) + " is no instant"},
		{"year 1", mark(nil, "0001-01-01T00:00:00Z"), operators.Unset, true, `the time mark "0001-01-01T00:00:00Z" is out of range`},
		{"year 9999", mark(nil, "9999-12-31T00:00:00Z"), operators.Unset, true, `the time mark "9999-12-31T00:00:00Z" is out of range`},
		{"within the skew", mark(nil, "1998-07-01T00:05:00Z"), at(t, "1998-07-01T00:05:00Z"), true, ""},
		{"before its time", mark(nil, "1998-07-01T00:05:00.001Z"), operators.Unset, true, `the time mark "1998-07-01T00:05:00.001Z" came before that time had`},
		{"before its time, whatever is claimed", read(at(t, "1998-07-01T00:00:00Z"), mark(nil, "2199-07-01T00:00:00Z")), operators.Unset, true,
			`the time mark "2199-07-01T00:00:00Z" came before that time had`},
	} {
		got, isMark, rejection := d.TimeMark(c.record)
		told := ""
		if rejection != nil {
			if rejection.Reason != ReasonBadTimeMark || !strings.HasSuffix(rejection.Detail, ": "+remedies[ReasonBadTimeMark]) {
				t.Errorf("%s: %+v", c.name, rejection)
			}
			told = strings.TrimSuffix(rejection.Detail, ": "+remedies[ReasonBadTimeMark])
			if len(rejection.Detail) > 512 {
				t.Errorf("%s: the detail has %d bytes", c.name, len(rejection.Detail))
			}
		}
		if got != c.want || isMark != c.isMark || told != c.told {
			t.Errorf("%s: %v %t %q; want %v %t %q", c.name, got, isMark, told, c.want, c.isMark, c.told)
		}
	}
}

func TestDecoderConfigErrors(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*DecoderConfig)
	}{
		{`money.currency is "usd": it must be a code of ISO 4217 in capitals, such as USD`, func(c *DecoderConfig) { c.Currency = "usd" }},
		{`"EURO"`, func(c *DecoderConfig) { c.Rates = map[string]string{"EURO": "1"} }},
		{"USD", func(c *DecoderConfig) { c.Rates = map[string]string{"USD": "1"} }},
		{"1,08", func(c *DecoderConfig) { c.Rates = map[string]string{"EUR": "1,08"} }},
		{"clock.max_skew is -1 ms: it must be from 1 to 31622400000 (366 days)", func(c *DecoderConfig) { c.SkewMaxMs = -1 }},
		{"limits.value_bytes is -1: it must be from 1 to 67108864", func(c *DecoderConfig) { c.Limits.ValueBytes = -1 }},
		{"limits.proof_bytes is 1048576: it must be from 1 to 65536", func(c *DecoderConfig) { c.Limits.ProofBytes = 1 << 20 }},
	} {
		config := DecoderConfig{Zone: time.UTC}
		c.change(&config)
		if _, err := NewDecoder(config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error of a wrong %s is %v", c.want, err)
		}
	}
}

// TestDetailsOfBytes damages an event byte by byte: what its refusal tells is of the event, and not of the program that reads it.
func TestDetailsOfBytes(t *testing.T) {
	d := newDecoder(t, nil)
	good := order()
	r := source(t, &good)
	value := r.Value
	refused := 0
	for i := range value {
		for _, b := range []byte{0x01, 0x03, 0x7f, 0x80, 0xff} {
			r.Value = slices.Clone(value)
			r.Value[i] = b
			var e operators.Event
			rejection := d.Decode(r, &e)
			if rejection == nil {
				continue
			}
			refused++
			if strings.Contains(rejection.Detail, "schemas.") || strings.Contains(rejection.Detail, "avro:") || strings.Contains(rejection.Detail, "wire") {
				t.Fatalf("byte %d set to %d: %s", i, b, rejection.Detail)
			}
			if found := Found(rejection); found == "" || strings.Contains(found, remedies[rejection.Reason]) || !strings.HasPrefix(rejection.Detail, found) {
				t.Fatalf("found %q of %q", found, rejection.Detail)
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// TestSlowReader proves that the clock of who reads a record changes nothing of what happened, and when: it only says whether the time may be believed.
func TestSlowReader(t *testing.T) {
	d, w := newDecoder(t, nil), order()
	w.Time = int64(at(t, "2026-11-24T00:10:00Z"))
	r := source(t, &w)
	r.AppendTime = operators.EventTime(w.Time) + 1000
	for _, slow := range []struct {
		by      operators.EventTime
		doubted bool
	}{{0, false}, {4 * 60_000, false}, {20 * 60_000, true}} {
		r.ReadTime = r.AppendTime - slow.by
		var e operators.Event
		if rejection := d.Decode(r, &e); rejection != nil || e.Clamped || e.Time != operators.EventTime(w.Time) || e.Doubted != slow.doubted {
			t.Errorf("read by a clock that is slow by %d ms: %v, %s, clamped %t, doubted %t", slow.by, rejection, e.Time, e.Clamped, e.Doubted)
		}
	}
}
