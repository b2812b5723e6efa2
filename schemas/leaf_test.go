package schemas

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/twmb/avro"
	"pgregory.net/rapid"
)

// TestLeavesAreFound proves that a mapping finds each leaf of any JSON object at the leaf's path, whatever the fields are called.
func TestLeavesAreFound(t *testing.T) {
	name := rapid.OneOf(rapid.StringMatching(`[a-c$.\[\]\\ ]{1,4}`), rapid.SampledFrom([]string{"$key", "a.b", "[0]", "ä", "0"}))
	value := rapid.OneOf(rapid.Just[any]("text"), rapid.Just[any](1.5), rapid.Just[any](true), rapid.Just[any](nil), rapid.Just[any](""))
	var object func(depth int) *rapid.Generator[any]
	object = func(depth int) *rapid.Generator[any] {
		if depth == 0 {
			return value
		}
		inner := rapid.Deferred(func() *rapid.Generator[any] { return object(depth - 1) })
		fields := rapid.Map(rapid.MapOfN(name, inner, 0, 4), func(m map[string]any) any { return m })
		return rapid.OneOf(fields, rapid.Map(rapid.SliceOfN(inner, 0, 3), func(l []any) any { return l }), value)
	}
	rapid.Check(t, func(t *rapid.T) {
		record, err := json.Marshal(rapid.MapOfN(name, object(3), 0, 5).Draw(t, "record"))
		if err != nil {
			t.Fatal(err)
		}
		reader, err := NewLeafReader(JSON, "", nil, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		leaves, refusal := reader.Leaves(record)
		if refusal != nil {
			t.Fatal(refusal)
		}
		for i := range leaves {
			l := &leaves[i]
			steps, each, err := parsePath(l.Path)
			if err != nil || each != l.Each() {
				t.Fatalf("%s: %v, %t", l.Path, err, each)
			}
			at := newPlaces()
			slot := at.add(l.Path, steps)
			into := make(found, 1)
			if refusal := (jsonDocument{}).read(record, at, into); refusal != nil || into[slot].kind == nothing || !each && into[slot] != l.value {
				t.Fatalf("%s: %v, want %v in %s", l.Path, into[slot], l.value, record)
			}
		}
	})
}

// TestLeaves proves what is told of the leaves of each format, and that what is none of the format is refused as decoders refuse it.
func TestLeaves(t *testing.T) {
	const schema = `{"type": "record", "name": "order", "fields": [
		{"name": "id", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
		{"name": "day", "type": {"type": "int", "logicalType": "date"}}, {"name": "lines", "type": {"type": "array", "items": "double"}}]}`
	written, err := avro.Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	plain, err := written.Encode(map[string]any{"id": "A-1", "at": at, "day": at, "lines": []any{1.5, 2.0}})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := NewLeafReader(FixedAvro, schema, nil, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	leaves, refusal := reader.Leaves(plain)
	if refusal != nil || len(leaves) != 5 {
		t.Fatalf("%v, %v", leaves, refusal)
	}
	want := []struct {
		path, shown              string
		id, number, dated, naked bool
	}{
		{"at", "2026-07-01T12:00:00.000Z", false, false, true, false}, {"day", "2026-07-01T00:00:00.000Z", false, false, true, true}, {"id", "A-1", true, false, false, false},
		{"lines[]", "1.5", false, true, false, false}, {"lines[]", "2", true, true, false, false},
	}
	zone := time.FixedZone("east", 3600)
	for i, w := range want {
		l := &leaves[i]
		here, isTime := l.Time("", "", time.UTC)
		there, _ := l.Time("", "", zone)
		if l.Path != w.path || l.Shown() != w.shown || l.IsID() != w.id || l.IsNumber() != w.number || l.IsDated() != w.dated || isTime != w.dated || (here != there) != w.naked {
			t.Errorf("%+v, want %+v", l, w)
		}
	}
	if _, refusal := reader.Leaves(append(plain, 0)); refusal == nil || refusal.Reason != ReasonTrailingBytes {
		t.Errorf("%v", refusal)
	}
	if _, refusal := reader.Leaves(plain[:4]); refusal == nil || refusal.Reason != ReasonTruncated {
		t.Errorf("%v", refusal)
	}
	if _, err := NewLeafReader(FixedAvro, "{", nil, nil, 0); err == nil {
		t.Error("what is no schema is taken for one")
	}
	rows, err := NewLeafReader(CSV, "", nil, []string{"order", "", "total"}, ';')
	if err != nil {
		t.Fatal(err)
	}
	leaves, refusal = rows.Leaves([]byte(`A-1;x;"12,50"`))
	if refusal != nil || len(leaves) != 2 || leaves[1].Path != "total" || leaves[1].Text() != "12,50" {
		t.Fatalf("%v, %v", leaves, refusal)
	}
	digits, negative, isNumber := leaves[1].Decimal(true)
	if _, _, withPoint := leaves[1].Decimal(false); digits != 2 || negative || !isNumber || withPoint {
		t.Errorf("%d, %t, %t, %t", digits, negative, isNumber, withPoint)
	}
	if _, refusal := rows.Leaves([]byte("A-1;x")); refusal == nil || refusal.Reason != ReasonMalformed {
		t.Errorf("%v", refusal)
	}
}

// FuzzLeaves proves that no value makes taking it apart fail or take more memory than its length allows.
func FuzzLeaves(f *testing.F) {
	f.Add([]byte(`{"a": {"b": [1, {"c": "d"}]}}`))
	f.Add([]byte(`[[[[`))
	f.Add([]byte(`a;b;"c"`))
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, format := range []Format{JSON, CSV, FixedAvro} {
			reader, err := NewLeafReader(format, Events.Schema(), nil, []string{"a", "b", "c"}, ';')
			if err != nil {
				t.Fatal(err)
			}
			bounded(t, len(value), func() { _, _ = reader.Leaves(value) })
		}
	})
}
