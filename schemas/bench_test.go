package schemas

import (
	"testing"
	"time"

	"lull/operators"
)

// The event of docs/adr/0002-avro-libraries.md: an order with ids of usual length.
func benchEvent() *operators.Event {
	return &operators.Event{
		Kind: operators.OrderCompleted, ID: "0189f7e0-7c4e-7b1e-8f43-1d2c3b4a5968", Customer: "customer-000123456", Time: 873_123_456_789,
		OrderID: "order-00998877", Amount: 2999, Quantity: 3,
	}
}

func benchSource(b testing.TB) *Source {
	e := benchEvent()
	value, err := EncodeEvent(nil, e, "USD")
	if err != nil {
		b.Fatal(err)
	}
	return &Source{Topic: "shop", Partition: 3, Offset: 42, AppendTime: 1_700_000_000_000, Key: []byte(e.Customer), Value: value}
}

// What the libraries cost alone: bytes to an untyped or a typed value of the same event.
func BenchmarkDecodeLibraries(b *testing.B) {
	value := benchSource(b).Value
	codec := goavroCodecs()[Events]
	b.Run("goavro", func(b *testing.B) {
		b.SetBytes(int64(len(value)))
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := codec.NativeFromBinary(value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("twmb", func(b *testing.B) {
		b.SetBytes(int64(len(value)))
		b.ReportAllocs()
		for b.Loop() {
			var w wireEvent
			if _, err := compiled[Events].Decode(value, &w); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("twmb-in-slots", func(b *testing.B) {
		b.SetBytes(int64(len(value)))
		b.ReportAllocs()
		var slots eventSlots
		for b.Loop() {
			slots.open()
			if _, err := compiled[Events].Decode(value, &slots.wireEvent, aliasInput); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The other way round, for an event and for the output that is written most. The values of goavro are built beforehand; in use each output would need
// its maps first.
func BenchmarkEncodeLibraries(b *testing.B) {
	for topic, value := range map[Topic][]byte{Events: benchSource(b).Value, Scores: sampleValues(b)[Scores]} {
		codec := goavroCodecs()[topic]
		native, _, err := codec.NativeFromBinary(value)
		if err != nil {
			b.Fatal(err)
		}
		wire := newWire(topic)
		if _, err := compiled[topic].Decode(value, wire); err != nil {
			b.Fatal(err)
		}
		var buf []byte
		b.Run(topic.String()+"/goavro", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if buf, err = codec.BinaryFromNative(buf[:0], native); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(topic.String()+"/twmb", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if buf, err = compiled[topic].AppendEncode(buf[:0], wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The whole way from a record to a checked event. Its allocations are its texts: one string.
func BenchmarkDecode(b *testing.B) {
	for _, zone := range []string{"UTC", "Europe/Berlin"} {
		b.Run(zone, func(b *testing.B) {
			loc, err := time.LoadLocation(zone)
			if err != nil {
				b.Fatal(err)
			}
			d, r := newDecoder(b, func(c *DecoderConfig) { c.Zone = loc }), benchSource(b)
			b.SetBytes(int64(len(r.Value)))
			b.ReportAllocs()
			var e operators.Event
			for b.Loop() {
				if rejection := d.Decode(r, &e); rejection != nil {
					b.Fatal(rejection)
				}
			}
		})
	}
}

// The same for the other formats: an order of some 100 bytes, for segment-json a whole call of 900.
func BenchmarkDecodeFormats(b *testing.B) {
	for _, c := range []struct {
		format Format
		sample formatSample
	}{{RegistryAvro, registrySample(b)}, {FixedAvro, fixedSample(b)}, {SegmentJSON, segmentSample(b)}, {JSON, jsonSample(b)}, {CSV, csvSample(b)}} {
		b.Run(c.format.String(), func(b *testing.B) {
			r := &Source{Topic: "shop", Partition: 3, Offset: 42, AppendTime: 1_700_000_000_000, Key: c.sample.key, Value: c.sample.value}
			b.SetBytes(int64(len(r.Value)))
			b.ReportAllocs()
			var e operators.Event
			for b.Loop() {
				if rejection := c.sample.decoder.Decode(r, &e); rejection != nil {
					b.Fatal(rejection)
				}
			}
		})
	}
}

func BenchmarkEncodeEvent(b *testing.B) {
	e := benchEvent()
	b.ReportAllocs()
	var buf []byte
	var err error
	for b.Loop() {
		if buf, err = EncodeEvent(buf[:0], e, "USD"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeOutput(b *testing.B) {
	for topic, o := range sampleOutputs(b) {
		for _, format := range OutputFormats {
			b.Run(topic.String()+"/"+format.String(), func(b *testing.B) {
				e, err := NewEncoder(EncoderConfig{Formats: map[Topic]Format{topic: format}, SchemaIDs: map[Topic]uint32{topic: 1}})
				if err != nil {
					b.Fatal(err)
				}
				var rec Record
				b.ReportAllocs()
				for b.Loop() {
					if err := e.EncodeOutput(o, &rec); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkDecodeOutput(b *testing.B) {
	value := sampleValues(b)[Triggers]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeOutput(Triggers, value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	rec := sampleRecord(b, Scores)
	var d Digest
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Add(rec.Topic, rec.Key, rec.Value, rec.Headers); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewDecoder(b *testing.B) {
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := NewDecoder(DecoderConfig{Zone: loc}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAllocations fails if the hot path allocates more than its comments promise.
func BenchmarkAllocations(b *testing.B) {
	d, r, encoder, o := newDecoder(b, nil), benchSource(b), newEncoder(b), sampleOutputs(b)[Triggers]
	var e operators.Event
	var rec Record
	var buf []byte
	for _, c := range []struct {
		name string
		most float64
		f    func()
	}{
		{"Decode", 1, func() { d.Decode(r, &e) }},
		{"EncodeOutput", 1, func() { _ = encoder.EncodeOutput(o, &rec) }},
		{"EncodeEvent", 0, func() { buf, _ = EncodeEvent(buf[:0], &e, "USD") }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if got := testing.AllocsPerRun(100, c.f); got > c.most {
					b.Fatalf("%v allocations; at most %v are promised", got, c.most)
				}
			}
		})
	}
}
