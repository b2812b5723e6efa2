package task_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lull/operators"
	"lull/operators/score"
)

// TestModelAtItsTime: a model comes into force once, at its instant or at the watermark at which the task first sees it, whichever is later; for each
// customer with the first thing that touches them after that, as of that instant, before it.
func TestModelAtItsTime(t *testing.T) {
	later := *second
	later.EffectiveAt = january(t, "01T06:00")
	p := ringing(t)
	p.models = models{first, &later}
	p.open()
	p.mark("01T00:00")
	for _, customer := range []string{"a", "b", "c"} {
		p.send(customer, "01T00:00 page quantity=9")
	}
	p.mark("01T02:00")
	p.heard()
	p.do(step{adopt: first})  // at the watermark
	p.do(step{adopt: &later}) // at its own time
	p.do(step{adopt: first})  // it is in force already
	p.send("a", "01T05:59:59.999 page quantity=9")
	p.expect("01T02:00 a model first returned", "01T05:59 a 01T05:59 first")
	p.send("b", "01T06:00 page quantity=9")
	p.expect("01T02:00 b model first returned", "01T06:00 b model second returned", "01T06:00 b 01T06:00 second")
	p.crash()
	p.mark("01T09:00")
	// a's timer, which stands where their deadline was, touches them too.
	p.expect("01T06:00 a model second", "01T02:00 c model first", "01T06:00 c model second", "01T09:00 c silent second")
	p.send("a", "01T10:00 page")
	p.expect("01T10:00 a 01T10:00 second")
	p.send("new", "01T10:00 page")
	p.expect("01T10:00 new 01T10:00 second")
}

// TestModelWhoeverComesFirst: what a model makes of a customer is the same whether an event of theirs, a deadline, or something that proves no time
// touches them first.
func TestModelWhoeverComesFirst(t *testing.T) {
	dear := *second
	dear.HighValue = 1e6 // so that who was of high value is not
	run := func(touch func(p *process)) operators.Output {
		p := newProcess(t, settings(), chain())
		p.models = models{first, &dear}
		p.open()
		p.mark("01T00:00")
		p.do(step{adopt: first})
		p.send("a", "01T10:00 order_completed order=o1 amount=10")
		p.send("b", "02T12:00 page")
		p.mark("02T12:00")
		p.settle()
		p.outputs = nil
		p.do(step{adopt: &dear})
		touch(p)
		p.settle()
		for _, o := range p.outputs {
			if o.Customer == "a" && o.Cause.Kind == operators.ModelInput && o.Kind == operators.SegmentOutput {
				return o
			}
		}
		t.Fatalf("no change of segment by the model in %+v", p.outputs)
		return operators.Output{}
	}
	want := run(func(p *process) { p.mark("31T00:00") }) // a deadline
	for _, line := range []string{"02T13:00 page", "02T13:00 order_completed order=o2 amount=10", "02T13:00 campaign_sent", "02T11:00 order_completed order=o2 amount=10"} {
		got := run(func(p *process) { p.send("a", line) })
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", line, got, want)
		}
	}
}

// TestModelAfterWhatIsDueAtItsInstant: a model is in force behind what is due at its instant, also for who is brought to it, and to the one before, only later.
func TestModelAfterWhatIsDueAtItsInstant(t *testing.T) {
	run := func(meanwhile func(p *process)) (told []string) {
		p := newProcess(t, settings(), chain())
		p.models = models{first, third, fourth}
		p.open()
		p.mark("01T00:00")
		p.send("a", "01T00:00 order_completed order=o1")
		p.mark("11T00:00")
		p.do(step{adopt: first})
		p.sweep()
		p.do(step{adopt: third})
		p.do(step{offset: p.position(), mark: start + 10*day + 1}) // the end of the dwell
		meanwhile(p)
		p.do(step{adopt: fourth})
		p.sweep()
		for _, o := range p.outputs {
			if o.Kind == operators.SegmentOutput {
				told = append(told, fmt.Sprintf("%s %s: %s to %s", o.Time, o.Model, o.Segment.From, o.Segment.To))
			}
		}
		return told
	}
	at, late := run(func(p *process) { p.sweep() }), run(func(*process) {})
	if !slices.Equal(at, late) || !slices.ContainsFunc(at, func(s string) bool { return strings.HasPrefix(s, "1997-01-11T00:00:00.001Z third") }) {
		t.Errorf("swept at once:\n%s\nswept later:\n%s", strings.Join(at, "\n"), strings.Join(late, "\n"))
	}
}

// TestModelOfLateEvents: an event from before the model that is in force is computed with it, and at its instant at the earliest; also if it is the
// first that is heard of its customer.
func TestModelOfLateEvents(t *testing.T) {
	p := ringing(t)
	p.mark("01T00:00")
	p.do(step{adopt: first})
	p.send("a", "01T00:00 page quantity=9")
	p.mark("01T02:00")
	p.do(step{adopt: second})
	p.mark("01T03:00")
	p.heard()
	p.send("a", "01T01:00 order_completed order=o quantity=9")
	p.expect("01T02:00 a model second", "01T02:00 a 01T01:00 second")
	p.send("a", "01T01:30 consent_given")
	p.expect("01T02:00 a 01T01:30 second")
	p.send("new", "01T01:00 order_completed order=o")
	p.expect("01T02:00 new 01T01:00 second")
	p.send("newer", "01T01:00 order_completed order=o clamped")
	p.expect("01T02:00 newer 01T01:00 second")
}

// TestModelAheadOfTheWatermark: a customer who has been computed ahead of the watermark is never computed with the model of before.
func TestModelAheadOfTheWatermark(t *testing.T) {
	later := *second
	later.EffectiveAt = january(t, "01T06:00")
	p := ringing(t)
	p.models = models{first, &later}
	p.open()
	p.mark("01T00:00")
	p.do(step{adopt: first})
	p.send("a", "01T08:00 page quantity=9")
	p.heard()
	p.do(step{adopt: &later})
	p.send("a", "01T05:00 page")
	p.expect("01T08:00 a model second", "01T08:00 a 01T05:00 second")
}

// TestModelsFaded: a customer who was last computed with a model that the task remembers no more takes those that it does.
func TestModelsFaded(t *testing.T) {
	p := ringing(t)
	var all models
	for i := range 20 {
		m := *first
		m.Version = fmt.Sprint("v", i)
		all = append(all, &m)
	}
	p.models = all
	p.open()
	p.mark("01T00:00")
	p.do(step{adopt: all[0]})
	p.send("a", "01T00:00 page quantity=9")
	p.send("b", "01T00:00 page quantity=9")
	p.heard()
	for _, m := range all[1:] {
		p.do(step{adopt: m})
	}
	p.crash()
	for _, m := range all {
		p.do(step{adopt: m})
	}
	p.mark("01T00:01")
	p.send("c", "01T01:00 page")
	p.expect("01T01:00 c 01T01:00 v19")
}

// versions returns n models that differ in their version only.
func versions(n int) (list models) {
	for i := range n {
		m := *first
		m.Version = fmt.Sprint("v", i)
		list = append(list, &m)
	}
	return list
}

func (p *process) adopt(published models) {
	p.tb.Helper()
	if err := p.task.Adopt(published); err != nil {
		p.tb.Fatal(err)
	}
}

// TestModelsAccumulate: however many versions have been published, each is taken in once: a topic that is compacted by version keeps them all.
func TestModelsAccumulate(t *testing.T) {
	p := newProcess(t, settings(), chain())
	p.models = versions(40)
	p.open()
	for i := range p.models {
		published := p.models[:i+1]
		p.adopt(published)
		if !p.task.Changed() || p.task.Meta().LastModel != published[i].Ref() {
			t.Fatalf("%s was not taken in", published[i].Version)
		}
		p.commit()
		if p.adopt(published); p.task.Changed() {
			t.Fatalf("%d models were taken in again", len(published))
		}
		if p.crash(); i%3 == 0 {
			p.adopt(published)
		}
		if p.task.Changed() {
			t.Fatalf("%d models were taken in again by the next process", len(published))
		}
	}
}

// TestModelsOfATopic: what is taken in is what stands behind the last that was, whatever has become of the topic since.
func TestModelsOfATopic(t *testing.T) {
	all := versions(4)
	a, b, c, d := all[0], all[1], all[2], all[3]
	for name, v := range map[string]struct {
		taken, topic, want models
	}{
		"the same":                              {models{a, b}, models{a, b}, nil},
		"new ones":                              {models{a}, models{a, b, c}, models{b, c}},
		"the last deleted":                      {models{a, b}, models{a, c}, models{c}},
		"a process that has not read the last":  {models{a, b, c}, models{a, b}, nil},
		"an old one published again, compacted": {models{a, b}, models{b, c, a, d}, models{c, d}},
		"another topic":                         {models{a, b}, models{c, d}, models{c, d}},
	} {
		p := newProcess(t, settings(), chain())
		p.models = all
		p.open()
		p.mark("01T00:00")
		p.adopt(v.taken)
		was := len(p.task.Meta().Adoptions)
		for range 3 {
			p.adopt(v.topic)
		}
		var got []uint32
		for _, adopted := range p.task.Meta().Adoptions[was:] {
			got = append(got, adopted.Ref)
		}
		var want []uint32
		for _, m := range v.want {
			want = append(want, m.Ref())
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: took in %x, want %x", name, got, want)
		}
	}
}

// TestModelFarAhead: a model that is to come into force in a hundred years keeps no other out, and comes into force then.
func TestModelFarAhead(t *testing.T) {
	typo, later, last := *second, *second, *second
	typo.Version, typo.EffectiveAt = "typo", start+36_500*day
	later.Version, later.EffectiveAt = "later", 0
	last.Version, last.EffectiveAt = "last", start+40_000*day
	p := ringing(t)
	p.models = models{first, &typo, &later, &last}
	p.open()
	p.mark("01T00:00")
	for _, m := range p.models {
		p.do(step{adopt: m})
	}
	p.heard()
	p.send("a", "01T01:00 page")
	p.expect("01T01:00 a 01T01:00 later")
	p.do(step{offset: p.position(), mark: typo.EffectiveAt})
	p.send("b", "01T02:00 order_completed order=o")
	if got := p.heard(); got != fmt.Sprintf("%s b 01T02:00 typo", typo.EffectiveAt.String()[8:16]) {
		t.Error(got)
	}
}

// TestModelsFarAhead: where too many are to come, the one furthest ahead is given up, and never the one in force.
func TestModelsFarAhead(t *testing.T) {
	all := versions(20)
	for i, m := range all[1:] {
		m.EffectiveAt = start + day*operators.EventTime(100-i)
	}
	p := ringing(t)
	p.models = all
	p.open()
	p.mark("01T00:00")
	p.do(step{adopt: all[0]})
	p.heard()
	p.do(step{adopt: all[1]})
	for _, m := range all[2:] {
		p.do(step{adopt: m})
	}
	if a := p.task.Meta().Adoptions; len(a) != 16 || a[0].Ref != all[0].Ref() || a[15].Ref != all[5].Ref() {
		t.Errorf("%+v", a)
	}
	p.send("a", "01T01:00 page")
	p.expect("01T01:00 a 01T01:00 v0")
}

// TestSettingsOfScores: when the settings that scores are computed under have changed, everybody is computed anew under them, as of the watermark, the silent by the
// sweep; and once.
func TestSettingsOfScores(t *testing.T) {
	cfg := settings()
	cfg.Terms = 1
	p := newProcess(t, cfg, chain())
	p.mark("01T00:00")
	p.do(step{adopt: first})
	p.send("a", "01T10:00 order_completed order=o1 amount=10")
	p.send("b", "02T00:00 order_completed order=o1 amount=10")
	p.mark("02T12:00")
	p.sweep()
	was := p.customer("a")
	if was.Segment.Quadrant != operators.Advocate {
		t.Fatalf("%+v", was)
	}
	p.outputs = nil
	p.cfg.Terms, p.chain = 2, chainOf(score.Config{MarginShare: 0.1, HighRisk: 0.65})
	p.crash()
	p.do(step{adopt: first})
	p.send("b", "02T13:00 campaign_sent")
	if p.sweep() != 1 {
		t.Error("not one was left to the sweep")
	}
	rows := map[string]operators.EventTime{}
	for _, o := range p.outputs {
		if o.Kind == operators.ScoreOutput {
			rows[o.Customer] = o.Time
		}
	}
	if at := january(t, "02T12:00"); len(rows) != 2 || rows["a"] != at || rows["b"] != at {
		t.Errorf("%v", rows)
	}
	is := p.customer("a")
	if is.Segment.Quadrant != operators.Nurture || is.Terms != 2 || is.Model != first.Ref() {
		t.Errorf("%+v", is)
	}
	p.crash()
	p.do(step{adopt: first})
	if p.task.Changed() || p.task.Sweeping() {
		t.Error("again")
	}
	p.outputs = nil
	p.mark("31T00:00")
	p.settle()
	for _, o := range p.outputs {
		if o.Kind == operators.TriggerOutput && !strings.Contains(o.Trigger.Reasons[1], "reached 0.65 at "+operators.FormatInstant(o.Trigger.Deadline)) {
			t.Errorf("%+v", o.Trigger)
		}
	}
	if len(p.outputs) == 0 {
		t.Error("nothing has come of silence")
	}
}

// TestReturnedByModel: a model can find that a silence has long been too long. If it is the customer's own event that brings it to them, they have come back
// already: the crossing is recorded, and nobody need act; whatever the hour of the crossing.
func TestReturnedByModel(t *testing.T) {
	slow := *first
	slow.Version, slow.Alpha = "slow", 60
	triggers := 0
	for h := hour; h < 40*day; h += 7 * hour {
		p := newProcess(t, settings(), chain())
		p.models = models{&slow, first}
		p.open()
		p.mark("01T00:00")
		p.do(step{adopt: &slow})
		p.send("a", "01T10:00 order_completed order=o1 amount=10")
		at := january(t, "01T10:00") + h
		p.do(step{offset: 100, mark: at})
		p.settle()
		p.outputs = nil
		p.do(step{adopt: first})
		back := &operators.Event{Kind: operators.OrderCompleted, Customer: "a", ID: "x", OrderID: "o2", Amount: 10, Time: at + hour}
		back.Day = operators.Day(back.Time / day)
		back.DayStart = back.Time / day * day
		p.do(step{offset: 101, event: back})
		p.settle()
		for _, o := range p.outputs {
			if o.Kind != operators.TriggerOutput {
				continue
			}
			if triggers++; o.Trigger.Actionable || o.Trigger.Withheld != "returned" {
				t.Errorf("%s after the order, by %v: %+v", h, o.Cause, o.Trigger)
			}
		}
	}
	if triggers == 0 {
		t.Error("no trigger")
	}
}
