package task_test

import (
	"fmt"
	"testing"

	"lull/operators"
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
	p.expect("01T02:00 a model first", "01T05:59 a 01T05:59 first")
	p.send("b", "01T06:00 page quantity=9")
	p.expect("01T02:00 b model first", "01T06:00 b model second", "01T06:00 b 01T06:00 second")
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
