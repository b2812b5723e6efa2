package schemas

import (
	"bytes"
	"encoding/json"
	"math"
	"runtime"
	"testing"
	"unicode/utf8"

	"lull/operators"
)

// bounded fails the test if f allocates more than decoding an input of this length may: hostile lengths must not be believed.
func bounded(t *testing.T, length int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+1000*length); got > most {
		t.Fatalf("%d bytes of input took %d bytes of memory; at most %d are expected", length, got, most)
	}
}

func FuzzDecode(f *testing.F) {
	order := order()
	f.Add([]byte("c-1"), encoded(f, &order), int64(1_700_000_000_000))
	f.Add([]byte("00042"), sampleValues(f)[Events], int64(-1))
	f.Add([]byte{}, []byte{0, 2, 0xfe, 0xff, 0xff, 0xff, 0x0f}, int64(0))
	d := newDecoder(f, nil)
	f.Fuzz(func(t *testing.T, key, value []byte, appendTime int64) {
		r := &Source{Topic: "shop", Key: key, Value: value, AppendTime: operators.EventTime(appendTime)}
		var e operators.Event
		var rejection *operators.Rejection
		bounded(t, len(key)+len(value), func() { rejection = d.Decode(r, &e) })
		if rejection != nil {
			if remedies[rejection.Reason] == "" {
				t.Fatalf("unknown reason %q", rejection.Reason)
			}
			return
		}
		checkAccepted(t, string(key), &e)
		// It is the same event when it is written and read again.
		again, err := EncodeEvent(nil, &e, "USD")
		if err != nil {
			t.Fatal(err)
		}
		var back operators.Event
		if rejection := d.Decode(&Source{Key: key, Value: again, AppendTime: r.AppendTime}, &back); rejection != nil {
			t.Fatalf("written and read again, %+v is refused: %+v", e, rejection)
		}
		back.Clamped = e.Clamped // the time is that of the record by now
		if back != e {
			t.Fatalf("%+v comes back as %+v", e, back)
		}
	})
}

// checkAccepted fails the test if an event that was accepted does not keep the promises of operators.Event.
func checkAccepted(t *testing.T, key string, e *operators.Event) {
	t.Helper()
	if e.Customer != key || e.ID == "" || e.Time < TimeMin || e.Time >= TimeEnd || e.DayStart > e.Time || e.Amount < 0 || !(e.Quantity >= 0) || math.IsInf(e.Quantity, 0) {
		t.Fatalf("accepted %+v", e)
	}
	for _, s := range []string{e.ID, e.Customer, e.Name, e.OrderID, e.RefundID, e.Subject, e.Proof} {
		if !utf8.ValidString(s) || len(s) > 1024 {
			t.Fatalf("accepted the text %q", s)
		}
	}
}

// FuzzFormats proves of every format but our own that whatever a record holds, it becomes an event that keeps its promises, or is refused for a known reason, within bounds of memory.
func FuzzFormats(f *testing.F) {
	decoders := make(map[Format]*Decoder)
	for format, sample := range map[Format]formatSample{RegistryAvro: registrySample(f), FixedAvro: fixedSample(f), SegmentJSON: segmentSample(f), JSON: jsonSample(f), CSV: csvSample(f)} {
		decoders[format] = sample.decoder
		f.Add(uint8(format), sample.key, sample.value)
		var e operators.Event
		if rejection := sample.decoder.Decode(&Source{Key: sample.key, Value: sample.value, AppendTime: TimeEnd - 1}, &e); rejection != nil {
			f.Fatalf("the sample of %s is refused: %+v", format, rejection)
		}
	}
	f.Add(uint8(JSON), []byte("c"), bytes.Repeat([]byte("["), 20_000))
	f.Add(uint8(JSON), []byte("c"), []byte(`{"lines":[{"qty":"1e999"},{"qty":-1}],"total":-0.0e-0,"ts":"NaN"}`))
	f.Add(uint8(FixedAvro), []byte("c"), []byte{2, 2, 'c', 0xfe, 0xff, 0xff, 0xff, 0x0f})
	f.Add(uint8(CSV), []byte("c"), []byte("\"a\"b,\n"))
	f.Add(uint8(CSV), []byte("c"), []byte("0\n\"0")) // what followed a row that had been refused was taken for a part of the next record
	f.Fuzz(func(t *testing.T, format uint8, key, value []byte) {
		d := decoders[Format(format)]
		if d == nil {
			return
		}
		var e operators.Event
		var rejection *operators.Rejection
		bounded(t, len(key)+len(value), func() {
			rejection = d.Decode(&Source{Topic: "shop", Key: key, Value: value, AppendTime: 1_700_000_000_000}, &e)
		})
		switch {
		case rejection == nil:
			checkAccepted(t, string(key), &e)
		case rejection.Reason != ReasonIgnored && rejection.Reason != ReasonSchemaAwaited && remedies[rejection.Reason] == "":
			t.Fatalf("unknown reason %q", rejection.Reason)
		case !utf8.ValidString(rejection.Detail) || len(rejection.Detail) > 2000:
			t.Fatalf("the detail %q", rejection.Detail)
		}
		// Nothing of a record is left over for the next.
		var again operators.Event
		second := d.Decode(&Source{Topic: "shop", Key: key, Value: value, AppendTime: 1_700_000_000_000}, &again)
		if (second == nil) != (rejection == nil) || second == nil && again != e || second != nil && *second != *rejection {
			t.Fatalf("read again it is %+v, %+v, before %+v, %+v", again, second, e, rejection)
		}
	})
}

// FuzzParseMapping proves that no mapping file makes the reader panic, and that one which is accepted can be used.
func FuzzParseMapping(f *testing.F) {
	f.Add(segmentMapping, []byte(`{"type":"page"}`))
	f.Add([]byte("version: 1\nfields: {customer_id: $key, time: {from: a[0].b, format: seconds}}\nrules: [{kind: identify}]"), []byte(`{"a":[{"b":1}]}`))
	f.Add([]byte("a: &a [*a]"), []byte{})
	f.Fuzz(func(t *testing.T, file, value []byte) {
		m, err := ParseMapping(file)
		if err != nil {
			return
		}
		for _, format := range []Format{JSON, CSV} {
			input, err := NewInput("input", format, "", m, nil)
			if err != nil {
				continue
			}
			d := newDecoder(t, func(c *DecoderConfig) { c.Input = input })
			var e operators.Event
			d.DecodeKeyless(&Source{Topic: "shop", Value: value, AppendTime: 1_700_000_000_000}, &e)
		}
	})
}

func FuzzTimeMark(f *testing.F) {
	d := newDecoder(f, nil)
	f.Add([]byte("1998-07-01T00:00:00Z"))
	f.Add([]byte("\xff"))
	f.Fuzz(func(t *testing.T, value []byte) {
		instant, isMark, rejection := d.TimeMark(&Source{AppendTime: TimeEnd, Headers: []Header{{TimeMarkHeader, value}}})
		if !isMark || rejection == nil && (instant < TimeMin || instant >= TimeEnd) || rejection != nil && !utf8.ValidString(rejection.Detail) {
			t.Fatalf("%v %t %+v", instant, isMark, rejection)
		}
	})
}

func FuzzDecodeOutput(f *testing.F) {
	for topic, value := range sampleValues(f) {
		f.Add(uint8(topic), value)
		if _, err := DecodeOutput(topic, value); err != nil { // compiles what is compiled once
			f.Fatal(err)
		}
	}
	f.Add(uint8(Sessions), []byte{0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, topic uint8, value []byte) {
		bounded(t, len(value), func() {
			fields, err := DecodeOutput(Topic(topic), value)
			if err != nil {
				return
			}
			if text, err := json.Marshal(fields); err != nil || !json.Valid(text) {
				t.Fatalf("%v has no JSON: %v", fields, err)
			}
		})
	})
}

func FuzzDecodeModel(f *testing.F) {
	key, value, err := EncodeModel(sampleModel())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key, value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var m operators.Model
		var err error
		bounded(t, len(key)+len(value), func() { m, err = DecodeModel(key, value) })
		if err != nil {
			return
		}
		if _, _, err := EncodeModel(&m); err != nil {
			t.Fatalf("decoded, but not to be encoded: %v", err)
		}
	})
}

func FuzzParseModelFile(f *testing.F) {
	f.Add([]byte(modelFile))
	f.Add([]byte(`{"version": 1}`))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := ParseModelFile(file)
		if err == nil {
			err = validateModel(&m)
		}
		if (err == nil) != (m != operators.Model{}) {
			t.Fatalf("%+v, %v", m, err)
		}
	})
}

func FuzzDigest(f *testing.F) {
	for topic, value := range sampleValues(f) {
		f.Add(uint8(topic), []byte("k"), value, "ce_id")
	}
	f.Fuzz(func(t *testing.T, topic uint8, key, value []byte, header string) {
		var d Digest
		var err error
		bounded(t, len(key)+len(value), func() { err = d.Add(Topic(topic), key, value, []Header{{header, value}}) })
		if changed := d.Sum() != new(Digest).Sum(); err != nil && changed {
			t.Fatal("a refused record has changed the digest")
		}
	})
}

func FuzzLetter(f *testing.F) {
	f.Add(sampleValues(f)[DeadLetters], []byte("shop/3/17"))
	f.Add([]byte{2, 'x', 0}, []byte("shop/3/-1"))
	f.Fuzz(func(t *testing.T, value, position []byte) {
		if p, ok := ParsePosition(string(position)); ok && p.String() != string(position) {
			t.Fatalf("%q is taken for %s", position, p)
		}
		bounded(t, len(value), func() {
			l, err := DecodeLetter(value)
			if err != nil {
				return
			}
			l.Missing()
			if origin, redriven := l.Origin(); !redriven && origin != l.Source {
				t.Fatalf("origin %s of %+v", origin, l)
			}
		})
	})
}
