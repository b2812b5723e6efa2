package schemas

import (
	"encoding/json"
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
		// What is accepted keeps the promises of operators.Event, and is the same event when it is written and read again.
		if e.Customer != string(key) || e.ID == "" || e.Time < TimeMin || e.Time >= TimeEnd || e.DayStart > e.Time || e.Amount < 0 || !(e.Quantity >= 0) {
			t.Fatalf("accepted %+v", e)
		}
		for _, s := range []string{e.ID, e.Customer, e.Name, e.OrderID, e.RefundID, e.Subject, e.Proof} {
			if !utf8.ValidString(s) || len(s) > 1024 {
				t.Fatalf("accepted the text %q", s)
			}
		}
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
