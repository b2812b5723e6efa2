package task_test

import (
	"fmt"
	"testing"

	"lull/operators"
)

// sweepOne lets the sweep touch one customer, whom a model makes tell something, and commits.
func (p *process) sweepOne() (touched int) {
	p.tb.Helper()
	touched, err := p.task.Sweep(bounded(1)())
	if err != nil {
		p.tb.Fatal(err)
	}
	p.commit()
	return touched
}

// TestSweepScoresTheSilent: who bought before there was a model, and has been silent since, is scored once there is one, and their silence is noticed.
func TestSweepScoresTheSilent(t *testing.T) {
	p := newProcess(t, settings(), chain())
	p.mark("01T00:00")
	p.send("a", "01T10:00 order_completed order=o1 amount=10")
	p.mark("02T00:00")
	p.settle()
	p.outputs = nil
	p.do(step{adopt: first})
	if n := p.sweep(); n != 1 {
		t.Errorf("%d customers touched", n)
	}
	p.mark("31T00:00")
	p.settle()
	kinds := map[operators.OutputKind]int{}
	for _, o := range p.outputs {
		kinds[o.Kind]++
	}
	if kinds[operators.ScoreOutput] == 0 || kinds[operators.SegmentOutput] == 0 || kinds[operators.TriggerOutput] != 1 {
		t.Errorf("%v", kinds)
	}
	if got := p.outputs[0]; got.Kind != operators.ScoreOutput || got.Time != january(t, "02T00:00") || got.Cause.Kind != operators.ModelInput {
		t.Errorf("%+v", got)
	}
}

// TestSweepDeadlinesOfThePast: a deadline that a new model puts into the past fires once, as of its own instant, and one that it moves earlier in time.
func TestSweepDeadlinesOfThePast(t *testing.T) {
	slow := *first
	slow.Version, slow.Alpha = "slow", 600
	p := newProcess(t, settings(), chain())
	p.models = models{&slow, first}
	p.open()
	p.mark("01T00:00")
	p.do(step{adopt: &slow})
	p.send("a", "01T10:00 order_completed order=o1 amount=10")
	p.mark("25T00:00")
	p.send("b", "25T00:00 order_completed order=o2 amount=10")
	p.mark("31T00:00")
	p.do(step{adopt: first})
	p.sweep()
	p.do(step{offset: p.position(), mark: start + 300*day})
	p.sweep()
	var got []string
	for _, o := range p.outputs {
		if o.Kind == operators.TriggerOutput {
			got = append(got, fmt.Sprint(o.Customer, " ", o.Trigger.Deadline.String()[:13], " by ", o.Cause.Kind, o.Trigger.Withheld))
		}
	}
	if want := "[a 1997-01-30T03 by 3 b 1997-02-23T03 by 2stale]"; fmt.Sprint(got) != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}

// TestSweepGoesOn: the sweep touches every customer of the task once, in slices of any size, whatever ends between them; it comes to an end, and begins again
// for the next model only.
func TestSweepGoesOn(t *testing.T) {
	const n = 20_000
	p := ringing(t)
	p.cfg.Looks = n / 3
	p.open()
	for i := range n {
		p.send(fmt.Sprint("c", i), "01T00:00 page quantity=9")
	}
	p.mark("01T02:00")
	p.heard()
	if p.task.Sweeping() {
		t.Error("a sweep without a model")
	}
	p.do(step{adopt: first})
	touched := p.sweepOne() + p.sweepOne()
	cursor := p.task.Meta().Sweep
	if touched != 2 || cursor.After != "c1" || cursor.Done || cursor.Ref != first.Ref() {
		t.Errorf("%d touched, cursor %+v", touched, cursor)
	}
	if _, err := p.task.Sweep(p.b); err != nil { // what is not committed has not been
		t.Fatal(err)
	}
	p.abort()
	touched += p.sweepOne()
	p.crash()
	if got := p.task.Meta().Sweep; got.After != "c10" {
		t.Errorf("cursor %+v", got)
	}
	p.send("c11", "01T03:00 page") // touched by an event
	p.heard()
	if touched += p.sweep(); touched != n-1 || p.task.Sweeping() {
		t.Errorf("%d touched, sweeping %v", touched, p.task.Sweeping())
	}
	if got := len(p.outputs); got != n-1-3 {
		t.Errorf("%d outputs", got)
	}
	p.crash()
	if p.mark("01T03:00"); p.sweep() != 0 {
		t.Error("touched again")
	}
	p.do(step{adopt: second})
	if p.sweep() != n {
		t.Error("not everybody was touched")
	}
}

// TestSweepOfModelToCome: a model that is to come into force begins its sweep when the watermark has reached its instant, and not before.
func TestSweepOfModelToCome(t *testing.T) {
	later := *second
	later.EffectiveAt = january(t, "01T06:00")
	p := ringing(t)
	p.models = models{first, &later}
	p.open()
	p.mark("01T00:00")
	p.do(step{adopt: first})
	p.send("a", "01T01:00 page")
	p.do(step{adopt: &later})
	p.sweep()
	p.heard()
	p.mark("01T05:59:59.999")
	if p.sweep() != 0 {
		t.Error("swept before its time")
	}
	p.mark("01T07:00")
	if !p.task.Sweeping() || p.sweep() != 1 {
		t.Error("not swept at its time")
	}
	p.expect("01T06:00 a model second")
}

// TestSweepAnew: a model that comes into force in the midst of a sweep begins it anew, and everybody has both, one after the other.
func TestSweepAnew(t *testing.T) {
	p := ringing(t)
	for _, c := range []string{"a", "b", "c"} {
		p.send(c, "01T00:00 page quantity=9")
	}
	p.mark("01T01:00")
	p.heard()
	p.do(step{adopt: first})
	p.sweepOne()
	p.mark("01T02:00")
	p.do(step{adopt: second})
	p.sweep()
	p.expect("01T01:00 a model first", "01T02:00 a model second", "01T01:00 b model first", "01T02:00 b model second", "01T01:00 c model first",
		"01T02:00 c model second")
}

// TestSweepAfterPanics: who stands without a timer, since a deadline made an operator panic, is left for their next event; and a deadline that panics as the
// sweep finds it leaves its customer so.
func TestSweepAfterPanics(t *testing.T) {
	m := &mine{lit: true}
	p := ringing(t, m)
	p.send("a", "01T00:00 page quantity=1")
	p.heard()
	p.mark("01T02:00")
	p.expect("01T01:00 a " + tick)
	p.do(step{adopt: first})
	p.sweep()
	p.expect()
	p.mark("03T00:00")
	p.expect()
	m.lit = false
	p.send("a", "03T00:00 page")
	p.expect("01T01:00 a silent returned", "01T02:00 a model first returned", "03T00:00 a 03T00:00 first")
}

// hastened is an operator that puts its deadline an hour after a model.
type hastened struct{}

func (hastened) Name() string { return "hastened" }

func (hastened) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

func (hastened) Step(_ *operators.Env, c *operators.Customer, in *operators.Input, _ *operators.Outbox) {
	if in.Kind == operators.ModelInput {
		c.Score.Next = in.At + hour
	}
}

// TestSweepPanicsOnce: a deadline that a new model has put into the past, and that makes an operator panic, is told once; then the customer waits for their
// next event, though their timer stood later.
func TestSweepPanicsOnce(t *testing.T) {
	m := &mine{lit: true}
	p := ringing(t, hastened{}, m)
	p.send("a", "01T00:00 page quantity=48")
	p.mark("01T02:00")
	p.settle()
	later := *first
	later.EffectiveAt = january(t, "01T03:00")
	p.models = models{&later}
	p.open()
	p.do(step{adopt: &later})
	p.heard()
	p.mark("01T06:00")
	p.sweep()
	p.expect("01T03:00 a model first", "01T04:00 a "+tick)
	p.mark("05T00:00")
	p.expect()
}

// TestSweepInTheMidstOfARecord: while a record's turn is interrupted nobody is touched, so that its customer's silence is known to have ended.
func TestSweepInTheMidstOfARecord(t *testing.T) {
	p := newProcess(t, settings(), operators.NewChain(bell{}))
	for _, c := range []string{"a", "b"} {
		p.send(c, "01T00:00 page quantity=1")
	}
	p.mark("01T00:30")
	p.heard()
	p.do(step{adopt: first})
	p.commit()
	p.b = bounded(1)()
	if outcome, done := p.try(step{offset: p.position(), event: parse(t, "b", "01T05:00 page")}); done {
		t.Fatalf("outcome %d", outcome)
	}
	p.commit()
	if n, err := p.task.Sweep(p.b); n != 0 || err != nil {
		t.Errorf("%d touched, %v", n, err)
	}
	p.send("b", "01T05:00 page")
	p.expect("01T00:30 a model first", "01T01:00 a silent first", "01T00:30 b model first returned", "01T01:00 b silent first returned", "01T05:00 b 01T05:00 first")
}

// TestSweepAfterWhatIsDue: deadlines that a transaction's end has left come first; who waits for theirs is not passed over.
func TestSweepAfterWhatIsDue(t *testing.T) {
	later := *first
	later.EffectiveAt = january(t, "01T02:00")
	p := ringing(t)
	p.models = models{&later}
	p.open()
	for _, c := range []string{"a", "b"} {
		p.send(c, "01T00:00 page quantity=1")
	}
	p.mark("01T00:30")
	p.do(step{adopt: &later})
	p.heard()
	p.b = bounded(1)()
	if _, done := p.try(step{offset: p.position(), mark: january(t, "01T03:00")}); done {
		t.Fatal("all deadlines have fired")
	}
	p.commit()
	for p.task.Sweeping() {
		p.sweepOne()
	}
	p.expect("01T01:00 a silent", "01T01:00 b silent", "01T02:00 a model first", "01T02:00 b model first")
}
