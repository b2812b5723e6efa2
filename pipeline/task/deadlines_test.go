package task_test

import (
	"fmt"
	"strings"
	"testing"

	"lull/operators"
	"lull/operators/optest"
	"lull/pipeline/task"
)

// bell is an operator with one silence deadline per customer, an hour after the last event that set it, or as many hours as the event says. It
// reports every input by a trigger. It keeps its deadline where score keeps its own.
type bell struct{}

func (bell) Name() string { return "bell" }

func (bell) Deadline(c *operators.Customer) (operators.EventTime, operators.Release) {
	return c.Score.Next, operators.BySilence
}

func (bell) Step(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	model := ""
	if env.Model != nil {
		model = " " + env.Model.Version
	}
	tell := func(what string) {
		out.Trigger(operators.Trigger{Rule: what + model, Deadline: in.At, Withheld: map[bool]string{true: "returned"}[in.Returned]})
	}
	switch in.Kind {
	case operators.EventInput:
		tell(in.Event.ID)
		if h := in.Event.Quantity; h > 0 {
			c.Score.Next = in.Event.Time + operators.EventTime(h*float64(hour))
		}
		c.Purchases.Count = 1 // so that models concern them
	case operators.DeadlineInput:
		if c.Score.Next <= in.At {
			c.Score.Next = operators.Never
			tell("silent")
		}
	case operators.ModelInput:
		tell("model")
	}
}

// heard returns what a bell has reported so far, and clears it.
func (p *process) heard() string {
	p.tb.Helper()
	p.settle()
	var list []string
	for i := range p.outputs {
		switch o := &p.outputs[i]; o.Kind {
		case operators.TriggerOutput:
			list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", o.Trigger.Deadline.String()[8:16], o.Customer, o.Trigger.Rule, o.Trigger.Withheld)))
		case operators.SessionOutput:
			list = append(list, fmt.Sprintf("%s %s session", o.Session.End.String()[8:16], o.Customer))
		case operators.RejectOutput:
			list = append(list, fmt.Sprintf("%s %s %s: %s", o.Time.String()[8:16], o.Customer, o.Reject.Reason, o.Reject.Detail))
		}
	}
	p.outputs = nil
	return strings.Join(list, "\n")
}

func (p *process) expect(want ...string) {
	p.tb.Helper()
	if got := p.heard(); got != strings.Join(want, "\n") {
		p.tb.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// position returns the offset of the next record.
func (p *process) position() int64 { return p.task.Meta().Position }

// send applies an event of January 1997, in the notation of package optest, of a customer; its id is the number of the day, hour and minute.
func (p *process) send(customer, line string) task.Outcome {
	p.tb.Helper()
	return p.do(step{offset: p.position(), event: parse(p.tb, customer, line)})
}

func parse(tb testing.TB, customer, line string) *operators.Event {
	tb.Helper()
	e, err := optest.ParseEvent("1997-01-" + line)
	if err != nil {
		tb.Fatal(err)
	}
	e.Customer = customer
	if e.ID == "" {
		e.ID = line[:8]
	}
	return &e
}

func (p *process) mark(at string) {
	p.tb.Helper()
	p.do(step{offset: p.position(), mark: january(p.tb, at)})
}

func january(tb testing.TB, at string) operators.EventTime {
	tb.Helper()
	t, err := optest.ParseTime("1997-01-" + at)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// ringing returns a process of the bell, and of sessions, whose time moves by marks only.
func ringing(t *testing.T, more ...operators.Operator) *process {
	cfg := settings()
	cfg.LatenessMs = int64(365 * day)
	cfg.JumpMaxMs = 0
	return newProcess(t, cfg, operators.NewChain(append([]operator{bell{}}, more...)...))
}

type operator = operators.Operator

// TestDeadlinesInOrder: deadlines fire between the records that release them, by instant and then by customer, however few outputs a transaction may
// have and however few timers are in memory.
func TestDeadlinesInOrder(t *testing.T) {
	for _, chunk := range []int{1, 2, 100} {
		for _, outputs := range []int{1, 2, 100} {
			p := ringing(t)
			p.cfg.TimersLoaded, p.budget = chunk, bounded(outputs)
			p.open()
			p.send("b", "01T00:00 page quantity=5")
			p.send("a", "01T00:00 page quantity=5")
			p.send("d", "01T00:00 page quantity=3")
			p.send("c", "01T01:00 page quantity=4")
			p.send("z", "01T00:00 page quantity=9")
			p.heard()
			p.crash() // what is armed is found again
			p.mark("01T05:00")
			p.expect("01T03:00 d silent", "01T05:00 a silent", "01T05:00 b silent", "01T05:00 c silent")
			p.mark("01T08:59:59.999")
			p.expect()
			p.send("a", "01T09:00 page") // it proves time for a, and moves no watermark
			p.expect("01T09:00 a 01T09:00")
			p.mark("01T09:00")
			p.expect("01T09:00 z silent")
		}
	}
}

// TestDeadlinesBetweenRecords: an event that moves the watermark fires what that releases before it is applied itself; what it puts into the past it
// fires at once.
func TestDeadlinesBetweenRecords(t *testing.T) {
	cfg := settings()
	cfg.LatenessMs = 0
	p := newProcess(t, cfg, operators.NewChain(bell{}))
	p.mark("01T00:00")
	p.send("a", "01T00:00 page quantity=1")
	p.send("b", "01T00:00 page quantity=2")
	p.send("c", "01T01:30 page")
	p.send("c", "01T04:00 page")
	p.send("d", "01T01:00 order_completed order=o quantity=2")
	p.send("e", "01T05:00 page")
	p.expect(
		"01T00:00 a 01T00:00", "01T00:00 b 01T00:00",
		"01T01:00 a silent", "01T01:30 c 01T01:30",
		"01T02:00 b silent", "01T04:00 c 01T04:00",
		"01T01:00 d 01T01:00", "01T03:00 d silent",
		"01T05:00 e 01T05:00",
	)
}

// TestReturned: a customer's own event fires their silence first, and says that they are back. Sessions wait for the watermark. What the shop does by
// itself, and clamped events, prove nothing.
func TestReturned(t *testing.T) {
	sessions := func(t *testing.T) *process { return ringing(t, sessionOperator()) }
	p := sessions(t)
	p.mark("01T00:00")
	p.send("a", "01T00:00 page quantity=2")
	p.send("b", "01T00:00 page quantity=2")
	p.send("b", "01T01:59:59.999 page")
	p.send("a", "01T02:00 page quantity=2")
	p.expect("01T00:00 a 01T00:00", "01T00:00 b 01T00:00", "01T01:59 b 01T01:59", "01T02:00 a silent returned", "01T02:00 a 01T02:00")
	p.mark("01T02:00")
	p.expect("01T00:00 a session", "01T00:00 b session", "01T02:00 b silent")
	for _, line := range []string{"01T05:00 campaign_sent", "01T05:00 offer_proposed", "01T05:00 page clamped"} {
		p := sessions(t)
		p.mark("01T00:00")
		p.send("a", "01T00:00 page quantity=2")
		p.mark("01T01:00")
		p.send("a", line)
		p.mark("01T02:00")
		p.expect("01T00:00 a 01T00:00", "01T00:00 a session", "01T01:00 a 01T05:00", "01T02:00 a silent")
	}
}

// TestReturnedByWatermark: it is the same when the event moves the watermark itself over the deadline, and when a transaction ends, a process
// crashes, or offsets have a gap in between.
func TestReturnedByWatermark(t *testing.T) {
	for _, crash := range []bool{false, true} {
		cfg := settings()
		cfg.LatenessMs = 0
		p := newProcess(t, cfg, operators.NewChain(bell{}))
		p.budget = bounded(1)
		p.mark("01T00:00")
		for _, customer := range []string{"a", "b", "c"} {
			p.send(customer, "01T00:00 page quantity=2")
		}
		p.heard()
		back := step{offset: p.position() + 5, event: parse(t, "b", "01T03:00 page")}
		for {
			if done, err := p.task.FireDue(p.b); !done || err != nil {
				t.Fatal(done, err)
			}
			_, done := p.try(back)
			p.commit()
			if done {
				break
			}
			if crash {
				p.crash()
			}
		}
		p.expect("01T02:00 a silent", "01T02:00 b silent returned", "01T02:00 c silent", "01T03:00 b 01T03:00")
	}
}

// TestClockInTheMidstOfARecord: while a record's deadlines are half fired, because a transaction ended, the wall clock moves nothing: the same is told as if
// the transaction had not ended.
func TestClockInTheMidstOfARecord(t *testing.T) {
	cfg := settings()
	cfg.LatenessMs = 0
	p := newProcess(t, cfg, operators.NewChain(bell{}))
	p.budget = bounded(1)
	p.mark("01T00:00")
	p.send("a", "01T00:00 page quantity=2")
	p.send("b", "01T00:00 page quantity=2")
	p.send("c", "01T00:00 page quantity=4")
	p.heard()
	back := step{offset: p.position(), event: parse(t, "b", "01T03:00 page")}
	for interrupted := 0; ; interrupted++ {
		_, done := p.try(back)
		p.commit()
		if done {
			if interrupted == 0 {
				t.Error("the record was not interrupted: this tests nothing")
			}
			break
		}
		if _, err := p.task.AdvanceClock(january(t, "01T05:00"), p.b); err != nil {
			t.Fatal(err)
		}
	}
	p.do(step{advance: january(t, "01T05:00")})
	p.expect("01T02:00 a silent", "01T02:00 b silent returned", "01T03:00 b 01T03:00", "01T04:00 c silent")
}

// TestDeadlineMoves: one that moves later is armed again when it would have fired, and nothing is told; one that moves earlier fires in time.
func TestDeadlineMoves(t *testing.T) {
	p := ringing(t)
	p.mark("01T00:00")
	p.send("a", "01T00:00 page quantity=2")
	p.send("a", "01T01:00 page quantity=4")
	p.heard()
	armed := func(want string) {
		t.Helper()
		if got := p.customer("a").Armed; got != january(t, want) {
			t.Errorf("armed at %s, not %s", got, want)
		}
	}
	armed("01T02:00")
	p.mark("01T03:00")
	p.expect()
	armed("01T05:00")
	p.send("a", "01T03:30 page quantity=1")
	p.heard()
	armed("01T04:30")
	p.mark("01T04:30")
	p.expect("01T04:30 a silent")
	p.mark("01T09:00")
	p.expect()
	if p.customer("a").Armed != operators.Never {
		t.Error("a timer is left")
	}
}

// TestDeadlineMovesEarlier: with the chain of the product, a cancelled order brings what the silence since the order before does nearer, and a page
// view begins a session, which ends earlier still. Both happen at their instant and not before.
func TestDeadlineMovesEarlier(t *testing.T) {
	p := newProcess(t, settings(), chain())
	p.mark("01T00:00")
	p.do(step{adopt: first})
	p.send("a", "01T10:00 order_completed order=o1 amount=10")
	p.send("a", "02T10:00 order_completed order=o2 amount=10")
	p.send("a", "08T10:00 order_completed order=o3 amount=10")
	p.mark("08T12:00")
	p.settle()
	after3 := p.customer("a")
	if after3.Armed != after3.Score.Next {
		t.Fatalf("armed at %s, but the score changes at %s", after3.Armed, after3.Score.Next)
	}
	p.send("a", "08T12:00 order_cancelled order=o3")
	p.settle()
	after2 := p.customer("a")
	if after2.Score.Next >= after3.Score.Next {
		t.Fatalf("the cancellation moves the next change of score from %s to %s: this tests nothing", after3.Score.Next, after2.Score.Next)
	}
	p.send("a", "08T12:01 page name=home")
	p.settle()
	end := january(t, "08T12:31")
	if end >= after2.Score.Next {
		t.Fatalf("the session ends after the score changes at %s: this tests nothing", after2.Score.Next)
	}
	for _, at := range []operators.EventTime{end, after2.Score.Next} {
		p.outputs = nil
		p.do(step{offset: p.position(), mark: at - 1})
		p.settle()
		if len(p.outputs) > 0 {
			t.Errorf("before %s: %+v", at, p.outputs)
		}
		p.do(step{offset: p.position(), mark: at})
		p.settle()
		if len(p.outputs) == 0 || p.outputs[0].Cause.Deadline != at {
			t.Errorf("at %s: %+v", at, p.outputs)
		}
	}
}

// TestRepeated: records below the position change nothing.
func TestRepeated(t *testing.T) {
	p := ringing(t)
	e := parse(t, "a", "01T00:00 page quantity=2")
	for i, want := range []task.Outcome{task.Applied, task.Repeated} {
		if got := p.do(step{offset: 7, event: e}); got != want {
			t.Errorf("outcome %d: %d", i, got)
		}
	}
	p.heard()
	before := p.store.committed
	for offset := range int64(8) {
		for _, s := range []step{{offset: offset, event: parse(t, "b", "01T00:00 page")}, {offset: offset, mark: january(t, "02")}, {offset: offset}} {
			if got := p.do(s); got != task.Repeated {
				t.Errorf("%s: outcome %d", s, got)
			}
		}
	}
	if p.task.Changed() {
		t.Error("there is something to write")
	}
	p.expect()
	if d := differences(before, p.store.committed); d != nil {
		t.Error(d)
	}
}

// TestLate: facts are applied however late, other events are not, and change nothing.
func TestLate(t *testing.T) {
	p := newProcess(t, settings(), chain())
	p.mark("05T00:00")
	p.send("a", "05T00:00 page name=home")
	p.settle()
	before := p.customer("a")
	for line, want := range map[string]task.Outcome{
		"04T23:59:59.999 page": task.Late, "01T00:00 track": task.Late, "01T00:00 campaign_sent": task.Late,
		"05T00:00 page name=second":                   task.Applied,
		"01T00:00 order_completed order=o1 amount=10": task.Applied, "01T00:00 order_refunded order=o1 refund=r amount=10": task.Applied,
		"01T00:00 consent_given": task.Applied, "01T00:00 order_cancelled order=o2": task.Applied, "01T00:00 order_updated order=o3 amount=1": task.Applied,
	} {
		if got := p.do(step{offset: p.position(), event: withID(parse(t, "a", line), line)}); got != want {
			t.Errorf("%s: outcome %d, not %d", line, got, want)
		}
	}
	p.settle()
	if c := p.customer("a"); c.Purchases.Count != 1 || c.Purchases.Net != 0 || c.At != before.At || len(c.Sessions) != 1 || c.Sessions[0].Counts[operators.PageViewed] != 2 {
		t.Errorf("%+v", c)
	}
	p.do(step{offset: p.position(), event: parse(t, "new", "01T00:00 page")})
	p.settle()
	if _, known := p.store.committed[string(task.CustomerKey(nil, "new"))]; known {
		t.Error("a late event made a customer")
	}
}

func withID(e *operators.Event, id string) *operators.Event { e.ID = id; return e }
