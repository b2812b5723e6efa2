package task_test

import (
	"errors"
	"strings"
	"testing"

	"lull/operators"
	"lull/pipeline/task"
)

// mine is an operator that writes a list and then blows up, or refuses, when told to: by an event of that subject, at any deadline while lit, at a
// model while charged.
type mine struct{ lit, charged bool }

func (*mine) Name() string { return "mine" }

func (*mine) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

func (m *mine) Step(_ *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	if in.Kind == operators.EventInput {
		c.Parts.Delete("old")
		c.Parts.Set("list", []byte(in.Event.ID))
		if v, ok := c.Parts.Get("list"); !ok || string(v) != in.Event.ID {
			panic("a list is not what was written")
		}
		if _, ok := c.Parts.Get("old"); ok {
			panic("a list is there that was deleted")
		}
		switch in.Event.Subject {
		case "boom":
			panic("boom")
		case "no":
			out.Reject("refused", "by the mine")
		}
	}
	if m.lit && in.Kind == operators.DeadlineInput || m.charged && in.Kind == operators.ModelInput {
		panic(errors.New("tick"))
	}
}

// tick is what is told of a mine's deadline or model.
const tick = "panic: operator mine panicked: tick; the customer is as before. Report it, and re-drive the record once it is mended"

// TestPanickingEvent: a record that makes an operator panic, or that it refuses, is rejected; the customer is as before, lists and message ids
// included, so that it can be sent again.
func TestPanickingEvent(t *testing.T) {
	for subject, reason := range map[string]string{"boom": task.ReasonPanic, "no": "refused"} {
		p := newProcess(t, settings(), chain(&mine{}))
		p.mark("01T00:00")
		p.do(step{adopt: first})
		p.send("a", "01T01:00 order_completed order=o1 amount=10 id=m1")
		p.settle()
		before := p.store.committed
		outputs := len(p.outputs)
		bad := parse(t, "a", "01T01:30 order_completed order=o2 amount=10 id=m2")
		bad.Subject = subject
		if got := p.do(step{offset: p.position(), event: bad}); got != task.Rejected {
			t.Fatalf("outcome %d", got)
		}
		if r := p.task.Refusal(); r.Reason != reason || r.Operator != "mine" || reason == task.ReasonPanic && !strings.Contains(r.Detail, "mine panicked: boom") {
			t.Errorf("refused for %+v", r)
		}
		p.settle()
		if len(p.outputs) != outputs {
			t.Errorf("outputs of a rejected record: %+v", p.outputs[outputs:])
		}
		after := p.store.committed
		for key, value := range before {
			if key != string(task.MetaKey) && after[key] != value {
				t.Errorf("%q has changed from %x to %x", key, value, after[key])
			}
		}
		if len(after) != len(before) {
			t.Errorf("there are %d keys, not %d", len(after), len(before))
		}
		mended := *bad
		mended.Subject = ""
		if got := p.do(step{offset: p.position(), event: &mended}); got != task.Applied {
			t.Errorf("sent again: outcome %d", got)
		}
		p.settle()
		if c := p.customer("a"); len(c.Ledger.Orders) != 2 {
			t.Errorf("%+v", c.Ledger)
		}
		if got := p.do(step{offset: p.position(), event: &mended}); got != task.Duplicate {
			t.Errorf("and again: outcome %d", got)
		}
	}
}

// TestPanickingDeadline: it becomes one dead letter that names customer and operator; the customer stays as they were, without a timer until their
// next event, and the others get their turn.
func TestPanickingDeadline(t *testing.T) {
	m := &mine{lit: true}
	p := ringing(t, m)
	p.send("a", "01T00:00 page quantity=1")
	p.send("b", "01T00:00 page quantity=9")
	p.heard()
	p.mark("01T01:00")
	p.expect("01T01:00 a " + tick)
	a := p.customer("a")
	if a.Armed != operators.Never || a.Score.Next != january(t, "01T01:00") {
		t.Errorf("armed at %s, for %s", a.Armed, a.Score.Next)
	}
	p.mark("01T08:00")
	p.expect()
	m.lit = false
	p.send("a", "01T08:00 page")
	p.expect("01T01:00 a silent returned", "01T08:00 a 01T08:00")
	p.mark("01T09:00")
	p.expect("01T09:00 b silent")
}

// TestPanickingReturn: a deadline that panics as its customer comes back does not keep their event out.
func TestPanickingReturn(t *testing.T) {
	p := ringing(t, &mine{lit: true})
	p.send("a", "01T00:00 page quantity=1")
	p.heard()
	if got := p.send("a", "01T02:00 page quantity=1"); got != task.Applied {
		t.Errorf("outcome %d", got)
	}
	p.expect("01T01:00 a "+tick, "01T02:00 a 01T02:00")
}

// stuck is an operator whose deadline stays where it is when it fires, though it writes and tells something each time.
type stuck struct{}

func (stuck) Name() string { return "stuck" }

func (stuck) Deadline(c *operators.Customer) (operators.EventTime, operators.Release) {
	if c.Ledger.Archived == 0 {
		return operators.Never, operators.BySilence
	}
	return operators.EventTime(c.Ledger.Archived) * hour, operators.BySilence
}

func (stuck) Step(_ *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	if in.Kind == operators.EventInput {
		c.Ledger.Archived = uint32((start + hour) / hour)
		return
	}
	c.SetRule(operators.RuleState{Key: 1, Held: true})
	c.Parts.Set("list", []byte("x"))
	out.Trigger(operators.Trigger{Rule: "stuck"})
}

// TestStuckDeadline: a deadline that is still due after it has fired would fire for ever. It is a panic of the chain: the customer is as before, nothing was
// told, and it does not fire again.
func TestStuckDeadline(t *testing.T) {
	p := newProcess(t, settings(), operators.NewChain(stuck{}))
	p.send("a", "01T00:00 page")
	p.mark("02T00:00")
	p.settle()
	if len(p.outputs) != 1 || p.outputs[0].Kind != operators.RejectOutput || p.outputs[0].Time != start+hour || p.outputs[0].Reject.Operator != "chain" ||
		!strings.Contains(p.outputs[0].Reject.Detail, "still due after it fired") {
		t.Errorf("%+v", p.outputs)
	}
	if c := p.customer("a"); len(c.Rules) != 0 || c.Revision != 0 || c.Armed != operators.Never {
		t.Errorf("%+v", c)
	}
	if len(p.store.committed) != 2 {
		t.Errorf("the store holds %q", p.store.committed)
	}
}

// TestPanickingModel: a model that panics as it comes into force for a customer does not keep their event out, whether that proves time or not.
func TestPanickingModel(t *testing.T) {
	for _, line := range []string{"01T02:00 page", "01T02:00 campaign_sent", "01T02:00 order_completed order=o", "01T00:30 order_completed order=o"} {
		m := &mine{charged: true}
		p := ringing(t, m)
		p.send("a", "01T00:00 page")
		p.mark("01T01:00")
		p.do(step{adopt: first})
		p.mark("01T01:30")
		p.heard()
		if got := p.send("a", line); got != task.Applied {
			t.Errorf("%s: outcome %d", line, got)
		}
		if got := p.heard(); !strings.HasPrefix(got, "01T01:00 a "+tick) || strings.Count(got, "panicked") != 1 || !strings.HasSuffix(got, " first") {
			t.Errorf("%s: got %s", line, got)
		}
	}
}

// TestAbortedTransaction: nothing of it is left, in memory or in the store.
func TestAbortedTransaction(t *testing.T) {
	p := ringing(t, &mine{})
	p.send("a", "01T00:00 page quantity=1 id=m1")
	p.heard()
	before := p.store.committed
	for _, end := range []func(){p.abort, p.crash} {
		p.do(step{adopt: first})
		p.send("a", "01T00:30 page quantity=5 id=m2")
		p.send("new", "01T00:30 page quantity=5")
		p.mark("02T00:00")
		if len(p.task.Outputs()) == 0 || !p.task.Changed() {
			t.Fatal("nothing has been done")
		}
		end()
		if len(p.task.Outputs()) != 0 || p.task.Changed() || p.position() != 1 || len(p.task.Meta().Adoptions) != 0 {
			t.Errorf("outputs %v, changed %v, %+v", p.task.Outputs(), p.task.Changed(), p.task.Meta())
		}
		if d := differences(before, p.store.all()); d != nil {
			t.Error(d)
		}
	}
	p.mark("01T01:00")
	p.expect("01T01:00 a silent")
}

// TestStoreFails: an error of the store is the task's, and no operator's: nobody is blamed for a record, and after an abort all is as before.
func TestStoreFails(t *testing.T) {
	p := ringing(t, &mine{})
	p.send("a", "01T00:00 page quantity=1")
	p.settle()
	before := p.store.committed
	broken := errors.New("no disk")
	p.store.broken = broken
	outcome, err := p.task.Apply(p.position(), parse(t, "a", "01T00:10 page"), p.b)
	if outcome != task.Unfinished || !errors.Is(err, broken) {
		t.Errorf("outcome %d, %v", outcome, err)
	}
	if err := p.task.Finish(); !errors.Is(err, broken) {
		t.Error(err)
	}
	p.store.broken = nil
	p.abort()
	if d := differences(before, p.store.all()); d != nil {
		t.Error(d)
	}
}
