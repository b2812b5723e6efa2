package schemas

import (
	"reflect"
	"strings"
	"testing"

	"lull/operators"
)

// contentsOf returns the contents of records.
func contentsOf(t *testing.T, ignored []string, records ...*Record) *Contents {
	t.Helper()
	c, err := NewContents(ignored)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := c.Add(r.Topic, r.Key, r.Value, r.Headers); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// of returns the record of an output, changed first, as another application under the name source would write it.
func (o otherwise) of(t *testing.T, topic Topic) *Record {
	t.Helper()
	output := sampleOutputs(t)[topic]
	if o.change != nil {
		o.change(output)
	}
	var r Record
	if err := newEncoder(t).EncodeOutput(output, &r); err != nil {
		t.Fatal(err)
	}
	for i := range r.Headers {
		if r.Headers[i].Key == "ce_source" && o.source != "" {
			r.Headers[i].Value = []byte(o.source)
		}
	}
	return &r
}

type otherwise struct {
	source string
	change func(o *operators.Output)
}

// TestContentsCompare proves what counts: fields, headers and the number of records do; the application's name and the ids do not, nor do fields that are ignored, wherever they stand.
func TestContentsCompare(t *testing.T) {
	const other = "other"
	for _, c := range []struct {
		name    string
		topic   Topic
		change  func(o *operators.Output)
		ignored []string
		alike   bool
	}{
		{"the same", Sessions, func(*operators.Output) {}, nil, true},
		{"another id", Triggers, func(o *operators.Output) { o.ID = operators.NewID("else") }, nil, true},
		{"another revision", Segments, func(o *operators.Output) { o.Revision++ }, nil, false},
		{"another revision, ignored", Segments, func(o *operators.Output) { o.Revision++ }, []string{"revision"}, true},
		{"another dwell", Sessions, func(o *operators.Output) { o.Session.End++; o.Time = o.Session.End }, []string{"revision"}, false},
		{"another time of the same", Segments, func(o *operators.Output) { o.Time++ }, []string{"time"}, false}, // ce_time
		{"a reason less", Segments, func(o *operators.Output) { o.Segment.Reasons = o.Segment.Reasons[:1] }, nil, false},
		{"withheld", Triggers, func(o *operators.Output) { o.Trigger.Withheld = "" }, nil, false},
		{"withheld, ignored", Triggers, func(o *operators.Output) { o.Trigger.Withheld = "" }, []string{"actionable", "withheld"}, true},
		{"a number of the facts", Triggers, func(o *operators.Output) { o.Trigger.Facts.CLV++ }, nil, false},
		{"a number of the facts, ignored", Triggers, func(o *operators.Output) { o.Trigger.Facts.CLV++ }, []string{"clv"}, true},
		{"a number of the row", Scores, func(o *operators.Output) { o.Score.Facts.CLV++ }, nil, false},
		{"a number of the row, ignored", Scores, func(o *operators.Output) { o.Score.Facts.CLV++ }, []string{"clv"}, true},
		{"another model", Scores, func(o *operators.Output) { o.Model = "m2" }, nil, false},
	} {
		a := contentsOf(t, c.ignored, otherwise{}.of(t, c.topic))
		b := contentsOf(t, c.ignored, otherwise{other, c.change}.of(t, c.topic))
		want := Difference{Differ: 1, Keys: []string{"00042"}}
		if c.alike {
			want = Difference{Alike: 1}
		}
		if got := a.Compare(b, c.topic); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
	}
}

// TestContentsKeys proves that what one of two applications alone has told is found, that order within a key counts and across keys does not, and that of a table the last row counts.
func TestContentsKeys(t *testing.T) {
	session := func(key string, start operators.EventTime) *Record {
		r := otherwise{change: func(o *operators.Output) { o.Session.Start = start }}.of(t, Sessions)
		r.Key = []byte(key)
		return r
	}
	row := func(clv float64) *Record {
		return otherwise{change: func(o *operators.Output) { o.Score.Facts.CLV = clv }}.of(t, Scores)
	}
	a := contentsOf(t, nil, session("ann", 1), session("ann", 2), session("bob", 3), session("eve", 4), session("eve", 5), session("only a", 6), row(1), row(2))
	b := contentsOf(t, nil, session("bob", 3), session("eve", 5), session("eve", 4), session("ann", 1), session("ann", 2), session("only b", 6), row(2))
	want := Difference{Alike: 2, Differ: 1, OnlyA: 1, OnlyB: 1, Keys: []string{"eve", "only a", "only b"}}
	if got := a.Compare(b, Sessions); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := a.Compare(b, Scores); !reflect.DeepEqual(got, Difference{Alike: 1}) {
		t.Errorf("rows: %+v", got)
	}
	deleted := row(2)
	deleted.Value = nil
	if got := contentsOf(t, nil, row(2), deleted).Compare(b, Scores); !reflect.DeepEqual(got, Difference{OnlyB: 1, Keys: []string{"00042"}}) {
		t.Errorf("a deleted row: %+v", got)
	}
}

// TestContentsDeadLetters proves that dead letters are told apart by what was refused, and compared by the reason.
func TestContentsDeadLetters(t *testing.T) {
	letter := func(change func(l *DeadLetter)) *Record {
		l := sampleDeadLetter()
		change(l)
		r, _ := encodeDeadLetter(t, l)
		return r
	}
	a := contentsOf(t, nil, letter(func(*DeadLetter) {}), letter(func(l *DeadLetter) { l.Source.Offset++ }))
	b := contentsOf(t, nil, letter(func(l *DeadLetter) { l.Detail = "other words" }), letter(func(l *DeadLetter) { l.Source.Offset++; l.Reason = ReasonIDTooLong }))
	want := Difference{Alike: 1, Differ: 1, Keys: []string{"shop, partition 3, offset 43"}}
	if got := a.Compare(b, DeadLetters); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	deadline := letter(func(l *DeadLetter) {
		*l = DeadLetter{Rejection: l.Rejection, Customer: "ann", Deadline: 1000}
		l.Operator = "score"
	})
	if key, err := KeyOf(DeadLetters, nil, deadline.Value); err != nil || key != `customer "ann", operator score, deadline 1000` {
		t.Errorf("%q, %v", key, err)
	}
	for topic, value := range map[Topic]string{DeadLetters: "garbage", Scores: "garbage", Sessions: ""} {
		if err := contentsOf(t, nil).Add(topic, nil, []byte(value), nil); err == nil {
			t.Errorf("%s: %q is taken", topic, value)
		}
	}
	if _, err := NewContents([]string{"clv", "price"}); err == nil || !strings.Contains(err.Error(), `no output has a field "price"`) {
		t.Errorf("an unknown field: %v", err)
	}
}

// TestDifferingFields proves that every field in which two values differ is named by its path, with both values, and no ignored one.
func TestDifferingFields(t *testing.T) {
	decode := func(change func(o *operators.Output)) Fields {
		fields, err := DecodeOutput(Triggers, otherwise{change: change}.of(t, Triggers).Value)
		if err != nil {
			t.Fatal(err)
		}
		return fields
	}
	a := decode(nil)
	b := decode(func(o *operators.Output) {
		o.Trigger.Actionable, o.Trigger.Withheld, o.Trigger.Facts.CLV, o.Revision = true, "", 1.5, 99
	})
	got, err := DifferingFields(a, b, []string{"revision"})
	want := []FieldDifference{{"actionable", "false", "true"}, {"withheld", `"stale"`, "null"}, {"facts.clv", "48.75", "1.5"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
