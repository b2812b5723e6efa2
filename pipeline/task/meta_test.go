package task_test

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/pipeline/task"
)

// times draws what is known of time.
func times(t *rapid.T) (m task.Time) {
	instants := rapid.Map(rapid.Int64(), func(v int64) operators.EventTime { return operators.EventTime(v) })
	m.Watermark, m.InputAlive = instants.Draw(t, "watermark"), instants.Draw(t, "input alive")
	for range rapid.IntRange(0, 2).Draw(t, "ahead") {
		m.Ahead = append(m.Ahead, task.Witness{Customer: rapid.Uint64().Draw(t, "customer"), Time: instants.Draw(t, "time")})
	}
	for range rapid.IntRange(0, 8).Draw(t, "gaps") {
		m.Gaps = append(m.Gaps, task.Gap{Day: operators.Day(rapid.Int32().Draw(t, "day")), Ms: rapid.Int64().Draw(t, "ms")})
	}
	return m
}

func metas() *rapid.Generator[task.Meta] {
	instants := rapid.Map(rapid.Int64(), func(v int64) operators.EventTime { return operators.EventTime(v) })
	id := rapid.Custom(func(t *rapid.T) (id [16]byte) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		return id
	})
	return rapid.Custom(func(t *rapid.T) task.Meta {
		m := task.Meta{
			Position: rapid.Int64().Draw(t, "position"), Observed: rapid.Int64().Draw(t, "observed"),
			InputID: id.Draw(t, "input"), ChangelogID: id.Draw(t, "changelog"), Settings: rapid.Uint64().Draw(t, "settings"),
			LastModel: rapid.Uint32().Draw(t, "last model"),
		}
		m.Time = times(t)
		for range rapid.IntRange(0, 200).Draw(t, "adoptions") {
			m.Adoptions = append(m.Adoptions, task.Adoption{Ref: rapid.Uint32().Draw(t, "ref"), Terms: rapid.Uint32().Draw(t, "terms"), At: instants.Draw(t, "at")})
		}
		m.Sweep = task.Sweep{Ref: rapid.Uint32().Draw(t, "sweep"), Terms: rapid.Uint32().Draw(t, "terms"), Done: rapid.Bool().Draw(t, "done"), After: rapid.String().Draw(t, "after")}
		for range rapid.IntRange(0, 12).Draw(t, "upstreams") {
			m.Upstreams = append(m.Upstreams, task.Upstream{Feed: rapid.Uint64().Draw(t, "feed"), Offset: rapid.Int64().Draw(t, "offset"), Watermark: instants.Draw(t, "watermark")})
		}
		for range rapid.IntRange(0, 5).Draw(t, "calls") {
			m.Calls = append(m.Calls, operators.DayCalls{Day: operators.Day(rapid.Int32().Draw(t, "day")), Rule: rapid.Uint16().Draw(t, "rule"), Calls: rapid.Uint32().Draw(t, "calls of the day")})
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "sources") {
			q := task.Quality{Source: fmt.Sprint(i, rapid.String().Draw(t, "source")), Day: operators.Day(rapid.Int32().Draw(t, "day of the counts"))}
			for f := range q.Counts {
				q.Counts[f] = rapid.Int64Range(0, math.MaxInt64).Draw(t, "records")
			}
			m.Quality = append(m.Quality, q)
		}
		return m
	})
}

// TestMetaCodec: a meta record is read as it was written, after whatever stands before it; and no part of one, nor one with more, is read at all.
func TestMetaCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := metas().Draw(t, "meta")
		encoded := m.Append([]byte("before"))[len("before"):]
		got, err := task.DecodeMeta(encoded)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v, %v, not %+v", got, err, m)
		}
		cut := rapid.IntRange(0, len(encoded)-1).Draw(t, "cut")
		for _, bad := range [][]byte{encoded[:cut], append(slices.Clone(encoded), 0), append([]byte{task.MetaVersion + 1}, encoded[1:]...)} {
			if got, err := task.DecodeMeta(bad); !errors.Is(err, operators.ErrCorrupt) {
				t.Fatalf("%x is read as %+v, %v", bad, got, err)
			}
		}
	})
	m := task.NewMeta()
	if got, err := task.DecodeMeta(m.Append(nil)); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestMetaVersions: a meta record of before there were feeds is read as that of a task which has none, and one of before there were caps as that of a task which has called nobody, and one of before sources were counted as that of a task which has counted none.
func TestMetaVersions(t *testing.T) {
	m := task.NewMeta()
	m.Position, m.Watermark, m.Gaps = 17, 4711, []task.Gap{{Day: 5, Ms: 6}}
	m.Upstreams = []task.Upstream{{Feed: 1, Offset: 2, Watermark: 3}}
	m.Calls = []operators.DayCalls{{Day: 7, Rule: 8, Calls: 9}}
	old := m.Append(nil)
	old[0], old = 3, old[:len(old)-1] // without the number of sources
	if got, err := task.DecodeMeta(old); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("version 3: %+v, %v, not %+v", got, err, m)
	}
	old[0], old = 2, old[:len(old)-11] // without the calls
	m.Calls = nil
	if got, err := task.DecodeMeta(old); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("version 2: %+v, %v, not %+v", got, err, m)
	}
	old[0], old = 1, old[:len(old)-25] // without the upstreams
	m.Upstreams = nil
	if got, err := task.DecodeMeta(old); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("version 1: %+v, %v, not %+v", got, err, m)
	}
}

// TestFeedMetaCodec: a feed's meta record is read as it was written, and no part of one; with all that it may hold it fits into what Kafka takes as an offset's
// metadata (offset.metadata.max.bytes, 4096 by default).
func TestFeedMetaCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := task.NewFeedMeta(rapid.Int64().Draw(t, "position"), [16]byte{1, 2, 3})
		m.Time = times(t)
		m.History = task.History{End: rapid.Int64().Draw(t, "end"), Until: operators.EventTime(rapid.Int64().Draw(t, "until"))}
		text := m.String()
		if got, err := task.DecodeFeedMeta(text); err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("%+v, %v, not %+v", got, err, m)
		}
		read := m
		read.History = task.NoHistory
		first, err := base64.RawStdEncoding.DecodeString(read.String())
		if got, bad := task.DecodeFeedMeta(read.String()); err != nil || bad != nil || !reflect.DeepEqual(got, read) || first[0] != 1 {
			t.Fatalf("version %d: %+v, %v, not %+v of version 1, which earlier programs read", first[0], got, bad, read)
		}
		for _, bad := range []string{text[:rapid.IntRange(0, len(text)-1).Draw(t, "cut")], text + "AAAA", "A" + text[1:], "!" + text} {
			if got, err := task.DecodeFeedMeta(bad); err == nil && !reflect.DeepEqual(got, m) || err != nil && !errors.Is(err, operators.ErrCorrupt) {
				t.Fatalf("%q is read as %+v, %v", bad, got, err)
			}
		}
		if len(text) > 1000 {
			t.Fatalf("%d characters", len(text))
		}
	})
}

// FuzzMeta: garbage is an error, and takes no more memory than it is long; what is read is written again so that it is read as the same.
func FuzzMeta(f *testing.F) {
	m := task.NewMeta()
	f.Add(m.Append(nil))
	m.Ahead = []task.Witness{{Customer: 1, Time: 2}}
	m.Adoptions = []task.Adoption{{Ref: 3, At: 4}}
	m.Sweep = task.Sweep{Ref: 3, After: "a"}
	m.Gaps = []task.Gap{{Day: 5, Ms: 6}}
	m.Calls = []operators.DayCalls{{Day: 5, Rule: 6, Calls: 7}}
	f.Add(m.Append(nil))
	f.Add(append(m.Append(nil)[:69], bytes.Repeat([]byte{0xff}, 9)...))
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := task.DecodeMeta(src)
		if err != nil {
			if !errors.Is(err, operators.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := task.DecodeMeta(got.Append(nil))
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%+v, %v, not %+v", again, err, got)
		}
	})
}

// TestIndexOrder: entries of the timer index lie bytewise in the order of (deadline, customer), whatever the sign of the instant and the bytes of the
// id, and name both.
func TestIndexOrder(t *testing.T) {
	type armed struct {
		at operators.EventTime
		id string
	}
	entry := func(t *rapid.T, a armed) []byte {
		c := operators.NewCustomer(a.id)
		c.Armed = a.at
		entry, ok := task.IndexEntry([]byte("before"), task.CustomerKey(nil, a.id), c.AppendState(nil))
		if ok != (a.at != operators.Never) {
			t.Fatalf("%+v: in the index: %v", a, ok)
		}
		if entry = bytes.TrimPrefix(entry, []byte("before")); ok && string(entry[8:]) != a.id {
			t.Fatalf("%+v: entry %x", a, entry)
		}
		return entry
	}
	some := rapid.Custom(func(t *rapid.T) armed {
		return armed{
			operators.EventTime(rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, math.MaxInt64 - 1})).Draw(t, "at")),
			rapid.OneOf(rapid.StringN(1, 8, -1), rapid.SampledFrom([]string{"a", "aa", "b", "\x00", "\xff"})).Draw(t, "id"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := some.Draw(t, "a"), some.Draw(t, "b")
		if a.at == operators.Never || b.at == operators.Never {
			return
		}
		if got, want := bytes.Compare(entry(t, a), entry(t, b)), cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)); got != want {
			t.Fatalf("%+v and %+v compare as %d, their entries as %d", a, b, want, got)
		}
	})
	rapid.Check(t, func(t *rapid.T) { entry(t, armed{operators.Never, some.Draw(t, "customer").id}) })
}

// TestIndexEntryOfOthers: only a customer's state with a timer has an entry.
func TestIndexEntryOfOthers(t *testing.T) {
	c := operators.NewCustomer("a")
	c.Armed = 5
	state := c.AppendState(nil)
	meta := task.NewMeta()
	for name, record := range map[string][2][]byte{
		"meta":         {task.MetaKey, meta.Append(nil)},
		"list":         {[]byte("p\x01alist"), state},
		"no customer":  {[]byte("c"), state},
		"no state":     {task.CustomerKey(nil, "a"), nil},
		"cut short":    {task.CustomerKey(nil, "a"), state[:8]},
		"other format": {task.CustomerKey(nil, "a"), append([]byte{operators.StateVersion + 1}, state[1:]...)},
	} {
		if entry, ok := task.IndexEntry(nil, record[0], record[1]); ok {
			t.Errorf("%s: entry %x", name, entry)
		}
	}
	if id, ok := task.CustomerOf(task.CustomerKey(nil, "a")); !ok || string(id) != "a" {
		t.Errorf("customer %q, %v", id, ok)
	}
}
