package clv_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
)

// late is what has happened to a customer whose events come out of order.
type late struct {
	model   *operators.Model
	events  []operators.Event
	tooLate bool // nothing is said of what stands
}

// differs tells how the triggers that a story has sent and not withdrawn differ from those of the oracle, who sees the events in order; "" if they do not.
func (l *late) differs(s *story) string {
	if l.tooLate {
		return ""
	}
	want := l.inOrder(s.Env.Watermark)
	got := standing(s.Outputs, "churn_risk")
	same := func(a, b operators.EventTime) bool { return a-b <= 1 && b-a <= 1 }
	if !slices.EqualFunc(got, want, same) {
		return fmt.Sprintf("the triggers that stand are of %v, the oracle's of %v", got, want)
	}
	return ""
}

// inOrder returns the deadlines of the triggers of who has seen the events in order, and silence until an instant.
func (l *late) inOrder(until operators.EventTime) (deadlines []operators.EventTime) {
	o := newOracle(l.model)
	events := slices.Clone(l.events)
	slices.SortStableFunc(events, func(a, b operators.Event) int { return cmp.Compare(a.Time, b.Time) })
	for _, e := range events {
		o.event(e)
	}
	o.silence(max(until, o.at))
	for _, m := range o.moves {
		if m.from == m.to {
			deadlines = append(deadlines, m.deadline)
		}
	}
	return deadlines
}

// standing returns the deadlines of a rule's triggers that have been sent and not withdrawn, in order.
func standing(outputs []operators.Output, rule string) (deadlines []operators.EventTime) {
	withdrawn := map[operators.ID]bool{}
	for i := range outputs {
		withdrawn[outputs[i].Trigger.Withdraws] = true
	}
	for i := range outputs {
		t := &outputs[i].Trigger
		if outputs[i].Kind == operators.TriggerOutput && t.Rule == rule && t.Withdraws == (operators.ID{}) && !withdrawn[outputs[i].ID] {
			deadlines = append(deadlines, t.Deadline)
		}
	}
	slices.Sort(deadlines)
	return deadlines
}

// TestArrivalOrder lets the events of lives at random come in any order within the lateness, and many of them about the instant of a trigger. The triggers that have been sent and not withdrawn are the oracle's, who sees
// them in order: what was sent before an order came is withdrawn, and what is true with it is sent. A silence shorter than the lateness is none of it: it can be over before
// anybody has heard of it.
func TestArrivalOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const latenessMs = 20 * 3_600_000
		s := newStory(drawModel(t))
		s.LatenessMs = latenessMs
		s.late = &late{model: s.Env.Model}
		type arrival struct {
			e  operators.Event
			at operators.EventTime
		}
		var arrivals []arrival
		aim := late{model: s.Env.Model} // at the triggers to come
		at := operators.EventTime(9_000 * operators.DayMs)
		for i := range rapid.IntRange(1, 8).Draw(t, "events") {
			const hour = 3_600_000
			gap := rapid.SampledFrom([]int64{1, hour, 3 * hour, 3 * hour, 15 * hour, 40 * operators.DayMs, 300 * operators.DayMs}).Draw(t, "gap")
			at += operators.EventTime(gap + rapid.Int64Range(0, hour).Draw(t, "more"))
			if deadlines := aim.inOrder(at + 3000*operators.DayMs); len(deadlines) > 0 && deadlines[len(deadlines)-1] > at && rapid.Bool().Draw(t, "about a trigger") {
				at = max(at, deadlines[len(deadlines)-1]+operators.EventTime(rapid.SampledFrom([]int64{-hour, -hour, -1, 0, 1, hour}).Draw(t, "from it")))
			}
			e := operators.Event{
				Kind: operators.OrderCompleted, Customer: "c", ID: fmt.Sprint("e", i), Time: at, Day: operators.Day(at / operators.DayMs), DayStart: at / operators.DayMs * operators.DayMs,
				OrderID: fmt.Sprint("o", i), Amount: operators.Money(rapid.Int64Range(0, 9_999).Draw(t, "amount")),
			}
			if rapid.IntRange(0, 3).Draw(t, "page") == 0 {
				e.Kind, e.OrderID, e.Amount = operators.PageViewed, "", 0
			}
			aim.events = append(aim.events, e)
			delay := operators.EventTime(rapid.SampledFrom([]int64{0, 0, 1, hour, latenessMs / 2, latenessMs}).Draw(t, "delay"))
			arrivals = append(arrivals, arrival{e, at + delay})
		}
		slices.SortStableFunc(arrivals, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
		for _, a := range arrivals {
			s.event(a.e)
		}
		s.jump(at + operators.EventTime(rapid.Int64Range(0, 900).Draw(t, "silence")*operators.DayMs))
		for _, deadline := range s.late.inOrder(s.Env.Watermark) {
			for _, e := range s.late.events {
				if e.Kind == operators.OrderCompleted && e.Time < deadline && e.Time > deadline-latenessMs {
					t.Skip("a silence shorter than the lateness")
				}
			}
		}
		if differs := s.differs(); differs != "" {
			t.Fatal(differs)
		}
	})
}
