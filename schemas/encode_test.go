package schemas

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
)

func headersOf(rec *Record) map[string]string {
	m := make(map[string]string)
	for _, h := range rec.Headers {
		m[h.Key] = string(h.Value)
	}
	return m
}

// CloudEvents 1.0, binary mode of the Kafka binding: the attributes with the prefix ce_, the type of the data as content-type.
func TestCloudEventsHeaders(t *testing.T) {
	types := map[Topic]string{Sessions: "lull.session", Scores: "lull.score", Segments: "lull.segment", Triggers: "lull.trigger", Offers: "lull.offer"}
	for topic, o := range sampleOutputs(t) {
		rec := sampleRecord(t, topic)
		ceTime := "1998-04-02T13:07:00.250Z"
		if topic == Sessions {
			ceTime = "1998-01-04T10:25:30.500Z"
		}
		want := map[string]string{
			"ce_specversion": "1.0", "ce_id": o.ID.String(), "ce_source": "lull", "ce_type": types[topic], "ce_subject": "00042", "ce_time": ceTime,
			"content-type": "application/avro",
		}
		got := headersOf(rec)
		if len(rec.Headers) != len(want) {
			t.Errorf("%s has %d headers: %v", topic, len(rec.Headers), got)
		}
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s: %s is %q; want %q", topic, name, got[name], value)
			}
		}
		if rec.Topic != topic || string(rec.Key) != "00042" {
			t.Errorf("topic %s, key %q", rec.Topic, rec.Key)
		}
	}
}

// A row that is gone deletes the customer's row: a null value, not an empty one.
func TestGoneRowsAreTombstones(t *testing.T) {
	o := sampleOutputs(t)[Scores]
	o.Score = &operators.ScoreRow{Gone: true}
	rec := Record{Value: []byte("left over")}
	if err := newEncoder(t).EncodeOutput(o, &rec); err != nil {
		t.Fatal(err)
	}
	headers := headersOf(&rec)
	if _, has := headers["content-type"]; rec.Value != nil || has || string(rec.Key) != "00042" || headers["ce_id"] != o.ID.String() {
		t.Errorf("value %v, key %q, headers %v", rec.Value, rec.Key, headers)
	}
}

// What may be absent is null: deadlines that never come, pages never seen, facts of nobody.
func TestAbsentIsNull(t *testing.T) {
	outputs := sampleOutputs(t)
	outputs[Scores].Score.NextDeadline, outputs[Scores].Score.Facts.HighRiskAt = operators.Never, operators.Never
	outputs[Sessions].Session.FirstPage, outputs[Sessions].Session.LastPage = "", ""
	outputs[Segments].Segment = &operators.SegmentChange{Dimension: operators.QuadrantDimension, From: "save", To: "none"}
	outputs[Segments].Cause = operators.Cause{Kind: operators.ModelInput}
	outputs[Triggers].Trigger.Actionable, outputs[Triggers].Trigger.Withheld = true, ""
	outputs[Offers].Offer = &operators.OfferAnswer{OfferID: "voucher-5", Reason: operators.OfferNoPurchase}
	e := newEncoder(t)
	for _, c := range []struct {
		topic  Topic
		fields string
	}{{Scores, "next_deadline high_risk_at"}, {Sessions, "first_page last_page"}, {Segments, "facts rfm"}, {Triggers, "withheld"}, {Offers, "cap purpose consent consent_since proof facts"}} {
		var rec Record
		if err := e.EncodeOutput(outputs[c.topic], &rec); err != nil {
			t.Fatal(err)
		}
		shown, err := DecodeOutput(c.topic, rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		for field := range strings.FieldsSeq(c.fields) {
			if v := shown.Get(field); v != nil {
				t.Errorf("%s: %s is %v", c.topic, field, v)
			}
		}
		if c.topic == Segments {
			cause := shown.Get("cause").(Fields)
			if cause.Get("kind") != "model" || cause.Get("event_id") != nil || cause.Get("deadline") != nil || shown.Get("to") != "none" {
				t.Errorf("segment %v", shown)
			}
		}
	}
}

// Records share no memory with the encoder: those of a whole transaction wait together to be sent. A reused encoder leaves nothing behind.
func TestRecordsAreIndependent(t *testing.T) {
	e := newEncoder(t)
	outputs := sampleOutputs(t)
	first := make(map[Topic]*Record)
	encodeAll := func(into map[Topic]*Record) {
		for topic, o := range outputs {
			into[topic] = &Record{}
			if err := e.EncodeOutput(o, into[topic]); err != nil {
				t.Fatal(err)
			}
		}
	}
	encodeAll(first)
	for _, o := range outputs {
		o.Customer, o.Model, o.ID = "another", "another", operators.ID{}
	}
	encodeAll(make(map[Topic]*Record))
	for topic := range outputs {
		want := sampleRecord(t, topic)
		if got := first[topic]; !bytes.Equal(got.Value, want.Value) || !bytes.Equal(got.Key, want.Key) || headersOf(got)["ce_id"] != headersOf(want)["ce_id"] {
			t.Errorf("the first record of %s has changed", topic)
		}
	}
}

func TestRejectionsNeedTheirSource(t *testing.T) {
	for _, kind := range []operators.OutputKind{0, operators.RejectOutput} {
		if err := newEncoder(t).EncodeOutput(&operators.Output{Kind: kind}, &Record{}); err == nil {
			t.Errorf("an output of kind %d was encoded", kind)
		}
	}
}

func TestEncoderConfigErrors(t *testing.T) {
	for want, config := range map[string]EncoderConfig{
		`encoder: Currency is "dollar"; it must be a code of ISO 4217, such as USD`: {Currency: "dollar"}, fmt.Sprintf("encoder: DeadLetterBytes is 1000; it must be %d or more", DeadLetterRecordMin): {DeadLetterBytes: 1000},
	} {
		if _, err := NewEncoder(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error of a wrong %s is %v", want, err)
		}
	}
}

func encodeDeadLetter(t testing.TB, d *DeadLetter) (*Record, Fields) {
	t.Helper()
	rec := &Record{}
	if err := newEncoder(t).EncodeDeadLetter(d, rec); err != nil {
		t.Fatal(err)
	}
	shown, err := DecodeOutput(DeadLetters, rec.Value)
	if err != nil {
		t.Fatal(err)
	}
	return rec, shown
}

// Values that the decoder takes by default are kept whole; a 5 MB one keeps its first 64 KiB, and its length and SHA-256 in full.
func TestDeadLettersKeepTheValue(t *testing.T) {
	for _, c := range []struct{ length, kept int }{{0, 0}, {1, 1}, {1 << 20, 1 << 20}, {5_000_000, 1 << 16}} {
		value := make([]byte, c.length)
		for i := range value {
			value[i] = byte(i * 7)
		}
		d := sampleDeadLetter()
		d.Source.Value = value
		_, shown := encodeDeadLetter(t, d)
		sum := sha256.Sum256(value)
		if got := shown.Get("value").([]byte); !bytes.Equal(got, value[:c.kept]) {
			t.Errorf("of %d bytes %d are kept; want %d", c.length, len(got), c.kept)
		}
		if shown.Get("value_length") != int64(c.length) || shown.Get("value_sha256") != hex.EncodeToString(sum[:]) {
			t.Errorf("%d bytes: length %v, hash %v", c.length, shown.Get("value_length"), shown.Get("value_sha256"))
		}
	}
}

func TestDeadLettersTellNullFromEmpty(t *testing.T) {
	d := sampleDeadLetter()
	d.Source.Key, d.Source.Value, d.Source.AppendTime = nil, nil, -1
	rec, shown := encodeDeadLetter(t, d)
	for _, field := range []string{"key", "value", "value_sha256", "append_time"} {
		if v := shown.Get(field); v != nil {
			t.Errorf("%s is %v", field, v)
		}
	}
	if shown.Get("key_length") != int64(-1) || shown.Get("value_length") != int64(-1) || rec.Key != nil {
		t.Errorf("lengths %v, %v, key %v", shown.Get("key_length"), shown.Get("value_length"), rec.Key)
	}
	d.Source.Key, d.Source.Value = []byte{}, []byte{}
	if _, shown = encodeDeadLetter(t, d); shown.Get("key_length") != int64(0) || shown.Get("value_length") != int64(0) || shown.Get("value") == nil {
		t.Errorf("an empty record: %v", shown)
	}
}

func TestDeadLetterHeaders(t *testing.T) {
	d := sampleDeadLetter()
	rec, _ := encodeDeadLetter(t, d)
	again, _ := encodeDeadLetter(t, d)
	got := headersOf(rec)
	if _, has := got["ce_subject"]; has || got["ce_type"] != "lull.dead_letter" || got["ce_time"] != "1998-01-04T10:00:00.000Z" || string(rec.Key) != "00042" {
		t.Errorf("key %q, headers %v", rec.Key, got)
	}
	if headersOf(again)["ce_id"] != got["ce_id"] {
		t.Error("the same record has two ids")
	}
	d.Source.Offset++
	if next, _ := encodeDeadLetter(t, d); headersOf(next)["ce_id"] == got["ce_id"] {
		t.Error("two records have the same id")
	}
	d.Customer, d.Source.Key = "00042", make([]byte, DeadLetterKeyMax+1)
	if named, _ := encodeDeadLetter(t, d); headersOf(named)["ce_subject"] != "00042" || named.Key != nil {
		t.Errorf("key of %d bytes, headers %v", len(named.Key), headersOf(named))
	}
}

func TestDeadLettersOfDeadlines(t *testing.T) {
	d := &DeadLetter{Rejection: operators.Rejection{Reason: "panic", Detail: "index out of range", Operator: "score"}, Customer: "00042",
		Deadline: at(t, "1998-04-02T13:07:00.250Z"), Partition: 3}
	rec, shown := encodeDeadLetter(t, d)
	for field, want := range map[string]any{"operator": "score", "customer_id": "00042", "deadline": d.Deadline, "topic": nil, "partition": int64(3), "offset": int64(-1)} {
		if got := shown.Get(field); got != want {
			t.Errorf("%s is %v; want %v", field, got, want)
		}
	}
	if headers := headersOf(rec); string(rec.Key) != "00042" || headers["ce_subject"] != "00042" || headers["ce_time"] != "1998-04-02T13:07:00.250Z" {
		t.Errorf("key %q, headers %v", rec.Key, headers)
	}
}

// No dead letter is longer than its limit, whatever the refused record: a dead letter that is itself refused would stop the pipeline for ever.
func TestDeadLettersKeepWithinTheirLimit(t *testing.T) {
	const limit = DeadLetterRecordMin
	e, err := NewEncoder(EncoderConfig{DeadLetterBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		length := func(label string) int {
			return rapid.SampledFrom([]int{0, 1, 1000, 1023, 1024, 1025, 65535, 65536, 65537, 150_000, 250_000, 320_000, 400_000}).Draw(t, label)
		}
		bad := func(n int) string { return strings.Repeat("a\xff", n/2) } // grows most when it is made UTF-8
		d := &DeadLetter{
			Rejection: operators.Rejection{Reason: ReasonMalformed, Detail: bad(length("detail")), Operator: "session"}, Customer: strings.Repeat("c", 4096),
			Source: &Source{Topic: strings.Repeat("t", 249), Key: make([]byte, length("key")), Value: make([]byte, length("value"))},
		}
		for range rapid.IntRange(0, 5).Draw(t, "headers") {
			d.Source.Headers = append(d.Source.Headers, Header{bad(length("header key")), make([]byte, length("header value"))})
		}
		if rapid.Bool().Draw(t, "many headers") {
			d.Source.Headers = append(d.Source.Headers, make([]Header, 20_000)...)
		}
		var rec Record
		if err := e.EncodeDeadLetter(d, &rec); err != nil {
			t.Fatal(err)
		}
		n := len(rec.Key) + len(rec.Value)
		for _, h := range rec.Headers {
			n += len(h.Key) + len(h.Value) + 10
		}
		if n > limit {
			t.Fatalf("the dead letter has %d bytes, the limit is %d", n, limit)
		}
		shown, err := DecodeOutput(DeadLetters, rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		kept, left := len(shown.Get("headers").([]any)), int(shown.Get("headers_left_out").(int64))
		if kept+left != len(d.Source.Headers) {
			t.Fatalf("%d headers are kept and %d left out, of %d", kept, left, len(d.Source.Headers))
		}
	})
}
