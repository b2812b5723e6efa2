package schemas

import (
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
)

// TestRelay: whatever event a record becomes, it becomes the same one when a feed has passed it on; and the record says where it came from.
func TestRelay(t *testing.T) {
	config := DecoderConfig{Rates: map[string]string{"EUR": "1.08"}}
	d, err := NewDecoder(config)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.StringMatching(`[a-zé]{0,8}`)
		some := func(name string) *string { s := texts.Draw(t, name); return &s }
		w := wireEvent{
			Kind: uint8(rapid.IntRange(0, operators.EventKinds-1).Draw(t, "kind")), CustomerID: texts.Draw(t, "customer"),
			MessageID: some("message"), OrderID: some("order"), RefundID: some("refund"), Name: some("name"), Subject: some("subject"), Proof: some("proof"),
			Time:  rapid.Int64Range(1_000_000_000_000, 1_000_000_900_000).Draw(t, "time"),
			Whole: rapid.Bool().Draw(t, "whole"),
		}
		if rapid.Bool().Draw(t, "amount") {
			amount, currency := rapid.Int64Range(0, 100_000).Draw(t, "minor units"), rapid.SampledFrom([]string{"USD", "EUR"}).Draw(t, "currency")
			w.Amount, w.Currency = &amount, &currency
		}
		if rapid.Bool().Draw(t, "quantity") {
			quantity := rapid.Float64Range(0, 100).Draw(t, "items")
			w.Quantity = &quantity
		}
		value, err := compiled[Events].AppendEncode(nil, &w)
		if err != nil {
			t.Fatal(err)
		}
		source := Source{Topic: "orders", Partition: 3, Offset: 17, AppendTime: 1_000_000_300_000, Value: value}
		if rapid.Bool().Draw(t, "doubtful") {
			source.ReadTime = 1_000_000_100_000
		}
		if rapid.Bool().Draw(t, "redriven") {
			source.Headers = []Header{{RedrivenHeader, []byte("orders/1/2")}}
		}
		var want, got operators.Event
		if d.DecodeKeyless(&source, &want) != nil {
			return
		}
		relay := Relay{Source: Position{"orders", 3, 17}, AppendTime: source.AppendTime, Feed: rapid.Uint64().Draw(t, "feed"), Watermark: operators.Unset, Cut: -1}
		if rapid.Bool().Draw(t, "watermark") {
			relay.Watermark = 999_999_000_000
		}
		var rec Record
		if err := EncodeRelay(&want, &relay, "USD", &rec); err != nil {
			t.Fatal(err)
		}
		passed := Source{Topic: "lull.events", Partition: 1, Offset: 99, AppendTime: 2_000_000_000_000, Key: rec.Key, Value: rec.Value, Headers: rec.Headers}
		told, refusal := d.DecodeRelay(&passed, &got)
		if refusal != nil || got != want || told != relay || told.IsMark() {
			t.Fatalf("%+v, %+v, %+v, not\n%+v, %+v", refusal, told, got, relay, want)
		}
		if at := (Position{passed.Topic, passed.Partition, passed.Offset}); at != relay.Source || passed.AppendTime != relay.AppendTime {
			t.Fatalf("the record is %+v", passed)
		}
	})
}

// TestRelayMark: a mark tells a feed's time, and what nobody of ours has written is refused by its position.
func TestRelayMark(t *testing.T) {
	d, err := NewDecoder(DecoderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var rec Record
	var event operators.Event
	for _, watermark := range []operators.EventTime{operators.Unset, 0, 891_522_420_000} {
		relay := Relay{AppendTime: operators.Unset, Feed: 0x0123456789abcdef, Watermark: watermark, Cut: int64(watermark)%2 - 1}
		if err := EncodeRelay(nil, &relay, "USD", &rec); err != nil {
			t.Fatal(err)
		}
		told, refusal := d.DecodeRelay(&Source{Topic: "lull.events", Headers: rec.Headers}, &event)
		if refusal != nil || told != relay || !told.IsMark() || rec.Key != nil || rec.Value != nil {
			t.Errorf("%+v, %+v, not %+v", told, refusal, relay)
		}
	}
	whole := []Header{{FeedHeader, []byte("0123456789abcdef")}, {SourceHeader, []byte("orders/3/17")}, {AppendTimeHeader, []byte("5")}}
	for i := range whole {
		for _, value := range []string{"", "x"} {
			headers := append([]Header{}, whole...)
			headers[i].Value = []byte(value)
			_, refusal := d.DecodeRelay(&Source{Topic: "lull.events", Partition: 2, Offset: 8, Key: []byte("c"), Value: []byte{}, Headers: headers}, &event)
			if refusal == nil || refusal.Reason != ReasonBadRelay || Found(refusal) != "the record at lull.events/2/8 does not say where it came from" {
				t.Errorf("%s is %q: %+v", whole[i].Key, value, refusal)
			}
		}
	}
}

// TestRelayRefused: that a record was refused is passed on with what was wrong with it, where it stood, and whose it was if that is known; what says so otherwise is refused itself.
func TestRelayRefused(t *testing.T) {
	d, err := NewDecoder(DecoderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var rec Record
	var event operators.Event
	for fault := operators.Invalid; fault < operators.FaultsEnd; fault++ {
		relay := Relay{Source: Position{"shop orders", 3, 17}, AppendTime: operators.Unset, Feed: 7, Watermark: operators.Unset, Cut: -1, Refused: fault, Customer: []string{"", "ann"}[fault%2]}
		EncodeRefused(&relay, &rec)
		told, refusal := d.DecodeRelay(&Source{Topic: "lull.events", Headers: rec.Headers}, &event)
		if refusal != nil || told != relay || !told.IsMark() || rec.Key != nil || rec.Value != nil {
			t.Errorf("%+v, %+v, not %+v", told, refusal, relay)
		}
	}
	for _, value := range []string{"late", "late shop/3", "none shop/3/17", "wrong shop/3/17"} {
		_, refusal := d.DecodeRelay(&Source{Topic: "lull.events", Headers: []Header{{FeedHeader, hex16(7)}, {RefusedHeader, []byte(value)}}}, &event)
		if refusal == nil || refusal.Reason != ReasonBadRelay {
			t.Errorf("%q: %+v", value, refusal)
		}
	}
}
