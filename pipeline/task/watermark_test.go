package task_test

import (
	"fmt"
	"testing"

	"lull/operators"
	"lull/pipeline/task"
)

// jumping returns a process under clock: event whose watermark stands at 1997-01-01T00:00, an hour behind events, and believes steps of 7 days.
func jumping(t *testing.T) *process {
	cfg := settings()
	cfg.LatenessMs, cfg.JumpMaxMs = int64(hour), int64(7*day)
	p := newProcess(t, cfg, operators.NewChain(bell{}))
	p.mark("01T00:00")
	return p
}

func (p *process) stands(at string) {
	p.tb.Helper()
	p.settle()
	if got := p.task.Meta().Watermark; got != january(p.tb, at) {
		p.tb.Errorf("the watermark stands at %s, not at %s", got, at)
	}
}

// TestWatermark: it is the highest event time less the lateness; what is clamped, or behind, does not move it, and it never goes back.
func TestWatermark(t *testing.T) {
	p := jumping(t)
	p.send("a", "02T12:00 page")
	p.stands("02T11:00")
	p.send("b", "02T11:30 page")
	p.send("b", "01T11:30 order_completed order=o")
	p.send("b", "05T11:30 page clamped")
	p.mark("02T10:00")
	p.stands("02T11:00")
	p.send("b", "09T12:00 page") // by 7 days exactly
	p.stands("09T11:00")
	p.crash()
	p.stands("09T11:00")
}

// TestJump: a step beyond the greatest believed takes three customers or a mark; then it goes as far as all three agree.
func TestJump(t *testing.T) {
	p := jumping(t)
	for i := range 1000 {
		p.send("broken", fmt.Sprintf("08T01:%02d:%02d.001 page", i/60, i%60))
	}
	p.stands("01T00:00")
	p.send("other", "20T00:00 page")
	p.crash() // witnesses are part of the state
	p.send("other", "25T00:00 page")
	p.send("other", "25T00:00 page clamped")
	p.send("third", "28T00:00 page clamped")
	p.stands("01T00:00")
	p.send("third", "15T00:00 page")
	p.stands("08T00:16:39.001") // what the broken one said last, less the lateness: within what all three have reached
	p.send("fourth", "26T00:00 page")
	p.stands("08T00:16:39.001")
	p.send("fifth", "27T00:00 page")
	p.stands("24T23:00") // other, fourth and fifth
	p.send("fifth", "31T00:00 page")
	p.stands("30T23:00") // a step of 6 days
}

// TestJumpByMark: a mark is believed, and what the witnesses have said is settled with it.
func TestJumpByMark(t *testing.T) {
	p := jumping(t)
	p.send("a", "20T00:00 page")
	p.send("b", "21T00:00 page")
	if n := len(p.task.Meta().Ahead); n != 2 {
		t.Errorf("%d witnesses", n)
	}
	p.mark("25T00:00")
	p.stands("25T00:00")
	if n := len(p.task.Meta().Ahead); n != 0 {
		t.Errorf("%d witnesses of what is past", n)
	}
}

// TestJumpFromNothing: the first events of a partition are no steps from anywhere, so they take three customers too, unless there is no limit.
func TestJumpFromNothing(t *testing.T) {
	for limit, want := range map[int64]operators.EventTime{int64(7 * day): operators.Unset, 0: january(t, "02")} {
		cfg := settings()
		cfg.LatenessMs, cfg.JumpMaxMs = 0, limit
		p := newProcess(t, cfg, operators.NewChain(bell{}))
		p.send("a", "01T00:00 page")
		p.send("b", "02T00:00 page")
		p.send("a", "02T00:00 page")
		p.settle()
		if got := p.task.Meta().Watermark; got != want {
			t.Errorf("limit %d: the watermark stands at %s, not at %s", limit, got, want)
		}
		p.send("c", "02T00:00 page")
		p.settle()
		if limit != 0 {
			want = january(t, "02") // a's word is the last they gave
		}
		if got := p.task.Meta().Watermark; got != want {
			t.Errorf("limit %d: with three customers the watermark stands at %s, not at %s", limit, got, want)
		}
	}
}

// TestNow: staleness is judged by the watermark under clock: event, and by the instant at which the transaction began under clock: wall.
func TestNow(t *testing.T) {
	for eventClock, want := range map[bool]operators.EventTime{true: january(t, "01"), false: january(t, "09")} {
		cfg := settings()
		cfg.EventClock = eventClock
		p := newProcess(t, cfg, operators.NewChain(bell{}))
		p.mark("01T00:00")
		p.task.Begin(january(t, "09"))
		if got := p.task.Now(); got != want {
			t.Errorf("event clock %v: now is %s, not %s", eventClock, got, want)
		}
	}
}

// TestAdvanceClock: the wall clock moves the watermark and fires what that releases; never back.
func TestAdvanceClock(t *testing.T) {
	p := ringing(t)
	p.budget = bounded(1)
	p.begin()
	p.send("a", "01T00:00 page quantity=1")
	p.send("b", "01T00:00 page quantity=2")
	p.heard()
	p.do(step{advance: january(t, "01T02:00")})
	p.expect("01T01:00 a silent", "01T02:00 b silent")
	p.do(step{advance: january(t, "01T01:00")})
	if p.task.Changed() {
		t.Error("there is something to write")
	}
	p.stands("01T02:00")
	if got := p.send("a", "01T01:59 page"); got != task.Late {
		t.Errorf("outcome %d", got)
	}
}
