package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lull/operators"
)

// writtenAs returns the record of an output in a format.
func writtenAs(t testing.TB, o *operators.Output, format Format) *Record {
	t.Helper()
	topic := TopicOf(o.Kind)
	e, err := NewEncoder(EncoderConfig{
		HorizonDays: 365.25, ContactDays: 30, DiscountMonthly: 0.01, Margin: 1,
		Formats: map[Topic]Format{topic: format}, SchemaIDs: map[Topic]uint32{topic: 4711},
	})
	if err != nil {
		t.Fatal(err)
	}
	var rec Record
	if err := e.EncodeOutput(o, &rec); err != nil {
		t.Fatal(err)
	}
	return &rec
}

// withinCenturies brings the instants of a value that goavro takes into the range that events have.
func withinCenturies(native any) any {
	switch v := native.(type) {
	case map[string]any:
		for name := range v {
			v[name] = withinCenturies(v[name])
		}
	case []any:
		for i := range v {
			v[i] = withinCenturies(v[i])
		}
	case time.Time:
		span := int64(TimeEnd - TimeMin)
		at := (v.UnixMilli()%span + span) % span
		if v.UnixMilli()%operators.DayMs == 0 { // perhaps a day, which must stay one
			at -= at % operators.DayMs
		}
		return time.UnixMilli(at).UTC()
	}
	return native
}

// TestJSONIsTheAvro proves that a value in JSON is what people are shown of the same value in Avro, and that its Avro comes back of it bit by bit.
func TestJSONIsTheAvro(t *testing.T) {
	for _, topic := range SubscriberTopics {
		t.Run(topic.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				native := withinCenturies(drawNative(t, shapes()[topic], topic.String()))
				written, err := goavroCodecs()[topic].BinaryFromNative(nil, native)
				if err != nil {
					t.Fatal(err)
				}
				wire := newWire(topic)
				if _, err := compiled[topic].Decode(written, wire); err != nil {
					t.Fatal(err)
				}
				text, err := appendJSON(nil, forms()[topic].value(reflect.ValueOf(wire).Elem()))
				if err != nil {
					t.Fatal(err)
				}
				shown, err := DecodeOutput(topic, written)
				if err != nil {
					t.Fatal(err)
				}
				want, err := shown.MarshalJSON()
				if err != nil || !bytes.Equal(text, want) {
					t.Fatalf("it is %s; shown is %s, %v", text, want, err)
				}
				back, err := PlainAvro(topic, JSON.ContentType(), text)
				if err != nil || !bytes.Equal(back, written) {
					t.Fatalf("%s came back as %x, %v; want %x", text, back, err, written)
				}
			})
		})
	}
}

// TestOutputFormats proves that an output tells the same in each format, under a header that says which it is, and that the digest and the contents of a run are those of any mix of them.
func TestOutputFormats(t *testing.T) {
	for topic, o := range sampleOutputs(t) {
		plain := writtenAs(t, o, OwnAvro)
		for _, format := range OutputFormats {
			rec := writtenAs(t, o, format)
			headers := headersOf(rec)
			if headers[ContentTypeHeader] != format.ContentType() || headers["ce_id"] != o.ID.String() || string(rec.Key) != o.Customer {
				t.Errorf("%s as %s: %v, key %q", topic, format, headers, rec.Key)
			}
			back, err := PlainAvro(topic, headers[ContentTypeHeader], rec.Value)
			if err != nil || !bytes.Equal(back, plain.Value) {
				t.Errorf("%s as %s: %x, %v; want %x", topic, format, back, err, plain.Value)
			}
			var one, other Digest
			add(t, &one, plain)
			add(t, &other, rec)
			if one.Sum() != other.Sum() {
				t.Errorf("%s as %s has another digest than as Avro", topic, format)
			}
			if d := contentsOf(t, nil, plain).Compare(contentsOf(t, nil, rec), topic); d.Alike != 1 || len(d.Keys) != 0 {
				t.Errorf("%s as %s has other contents than as Avro: %+v", topic, format, d)
			}
		}
		if framed := writtenAs(t, o, RegistryAvro).Value; !bytes.Equal(framed[:frameBytes], []byte{0, 0, 0, 0x12, 0x67}) {
			t.Errorf("%s begins with %x, and not with the id 4711", topic, framed[:frameBytes])
		}
	}
}

// TestJSONOfATrigger proves, by example, what a subscriber of JSON gets: the names of the schema in its order, instants by RFC 3339, nulls where nothing is.
func TestJSONOfATrigger(t *testing.T) {
	text := string(writtenAs(t, sampleOutputs(t)[Triggers], JSON).Value)
	at := 0
	for _, part := range []string{
		`{"customer_id":"00042"`, `"deadline":"1998-04-02T13:07:00.250Z"`, `"cause":{"kind":"deadline","event_id":null,"deadline":"1998-04-02T13:07:00.250Z"}`, `"facts":{`, `"revision":`,
	} {
		i := strings.Index(text[at:], part)
		if i < 0 {
			t.Fatalf("%s does not follow in %s", part, text)
		}
		at += i
	}
	if strings.Contains(text, "\n") || !json.Valid([]byte(text)) {
		t.Errorf("it is not one object in one line: %s", text)
	}
}

// TestGoneRowsHaveNoFormat proves that a deletion is a null value in every format, and read as such.
func TestGoneRowsHaveNoFormat(t *testing.T) {
	o := sampleOutputs(t)[Scores]
	o.Score = &operators.ScoreRow{Gone: true}
	for _, format := range OutputFormats {
		rec := writtenAs(t, o, format)
		if _, has := headersOf(rec)[ContentTypeHeader]; has || rec.Value != nil {
			t.Errorf("%s: %q, content type %v", format, rec.Value, has)
		}
		if back, err := PlainAvro(Scores, format.ContentType(), nil); back != nil || err != nil {
			t.Errorf("%s: %v, %v", format, back, err)
		}
	}
}

// TestPlainAvroErrors proves what is said of values that are not what their content type says, and that of JSON a field more and a null left out do not matter.
func TestPlainAvroErrors(t *testing.T) {
	session := string(writtenAs(t, sampleOutputs(t)[Sessions], JSON).Value)
	with := func(field, value string) string {
		before, after, found := strings.Cut(session, fmt.Sprintf("%q:", field))
		if !found {
			t.Fatalf("%s is not in %s", field, session)
		}
		end := strings.IndexAny(after, ",}")
		return before + fmt.Sprintf("%q:", field) + value + after[end:]
	}
	for _, c := range []struct {
		topic       Topic
		contentType string
		value       string
		want        string
	}{
		{Sessions, "text/csv", "a,b", `content-type is "text/csv", which no record of it has`},
		{DeadLetters, "application/json", "{}", `content-type is "application/json", which no record of it has`},
		{Sessions, "application/vnd.confluent.avro", "\x01\x00\x00\x00\x01", "does not begin with a zero byte"},
		{Sessions, "application/vnd.confluent.avro", "\x00\x00", "does not begin with a zero byte"},
		{Sessions, "application/json", "{", "it is no JSON"},
		{Sessions, "application/json", "[]", `it is "[]", and no object`},
		{Sessions, "application/json", "{}", "customer_id is missing"},
		{Sessions, "application/json", with("customer_id", "7"), `customer_id: it is "7", and no text`},
		{Sessions, "application/json", with("start", `"soon"`), `start: it is "soon", and no long timestamp-millis`},
		{Sessions, "application/json", with("events", "1.5"), `events: it is "1.5", and no long`},
		{Sessions, "application/json", with("cart_left", "1"), `cart_left: it is "1", and neither true nor false`},
		{Sessions, "application/json", strings.Replace(session, `"counts":`, `"counts":null,"x":`, 1), `counts: it is "", and no array`},
		{Sessions, "application/json", strings.Replace(session, `"count":`, `"count":[],"x":`, 1), "counts: element 1: count: it is"},
		{Scores, "application/json", strings.Replace(string(writtenAs(t, sampleOutputs(t)[Scores], JSON).Value), `"p_alive":`, `"p_alive":true,"x":`, 1), `p_alive: it is "true", and no number`},
		{Segments, "application/json", strings.Replace(string(writtenAs(t, sampleOutputs(t)[Segments], JSON).Value), `"dimension":`, `"dimension":"mood","x":`, 1), `dimension: it is "mood", and none of quadrant, rfm, lifecycle`},
	} {
		if _, err := PlainAvro(c.topic, c.contentType, []byte(c.value)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s %s: %v; want %s", c.topic, c.contentType, c.value, err, c.want)
		}
	}
	plain, err := PlainAvro(Sessions, JSON.ContentType(), []byte(with("first_page", "null")))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"a field more": strings.Replace(with("first_page", "null"), "{", `{"mood":"good",`, 1), "a null left out": strings.Replace(session, `"first_page"`, `"second_page"`, 1)} {
		if back, err := PlainAvro(Sessions, JSON.ContentType(), []byte(text)); err != nil || !bytes.Equal(back, plain) {
			t.Errorf("%s: %x, %v; want %x", name, back, err, plain)
		}
	}
}

// TestReadable proves which of two schemas is said to be wrong.
func TestReadable(t *testing.T) {
	schema := Events.Schema()
	for _, c := range []struct{ writer, reader, want string }{
		{schema, schema, ""}, {"{", schema, "the schema that writes: "}, {schema, "{", "the schema that reads: "}, {`{"type": "record", "name": "Other", "fields": []}`, schema, "record names do not match"},
	} {
		if err := Readable(c.writer, c.reader); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v; want %q", err, c.want)
		}
	}
}

// TestEncoderFormatErrors proves what is said of formats that outputs cannot have.
func TestEncoderFormatErrors(t *testing.T) {
	for want, config := range map[string]EncoderConfig{
		`encoder: Formats has "csv" for scores, which is not written so`:          {Formats: map[Topic]Format{Scores: CSV}},
		`encoder: Formats has "json" for dead-letters, which is not written so`:   {Formats: map[Topic]Format{DeadLetters: JSON}},
		`encoder: SchemaIDs has none for triggers, whose format is registry-avro`: {Formats: map[Topic]Format{Triggers: RegistryAvro}, SchemaIDs: map[Topic]uint32{Scores: 1}},
	} {
		if _, err := NewEncoder(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

func FuzzPlainAvro(f *testing.F) {
	for topic, o := range sampleOutputs(f) {
		for _, format := range OutputFormats {
			f.Add(uint8(topic), format.ContentType(), writtenAs(f, o, format).Value)
		}
	}
	f.Fuzz(func(t *testing.T, topic uint8, contentType string, value []byte) {
		if topic == 0 || topic >= uint8(topicsEnd) {
			return
		}
		bounded(t, len(value), func() {
			plain, err := PlainAvro(Topic(topic), contentType, value)
			if err != nil || contentType != JSON.ContentType() || plain == nil {
				return
			}
			if _, err := DecodeOutput(Topic(topic), plain); err != nil {
				t.Fatalf("%q is read as what is no value: %v", value, err)
			}
		})
	})
}
