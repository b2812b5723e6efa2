package clv_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/optest"
	"lull/operators/trigger"
)

// late is what has happened to a customer whose events come out of order.
type late struct {
	model   *operators.Model
	events  []operators.Event
	tooLate bool // nothing is said of what stands
}

// differs tells how the triggers that a story has sent and not withdrawn differ from those of the oracle, who sees the events in order; "" if they do not. One that was sent before a late order came may be of a later
// instant than the oracle's, if all from this to that it was so.
func (l *late) differs(s *story) string {
	if l.tooLate {
		return ""
	}
	want := l.inOrder(s.Env.Watermark)
	got := standing(s.Outputs, "churn_risk")
	same := func(deadline operators.EventTime, m move) bool {
		return deadline >= m.deadline-1 && deadline <= max(m.deadline+1, m.ends-1)
	}
	if !slices.EqualFunc(got, want, same) {
		return fmt.Sprintf("the triggers that stand are of %v, the oracle's %v", got, want)
	}
	return ""
}

// inOrder returns the triggers of who has seen the events in order, and silence until an instant.
func (l *late) inOrder(until operators.EventTime) (triggers []move) {
	o := newOracle(l.model)
	events := slices.Clone(l.events)
	slices.SortStableFunc(events, func(a, b operators.Event) int { return cmp.Compare(a.Time, b.Time) })
	for _, e := range events {
		o.event(e)
	}
	o.silence(max(until, o.at))
	return slices.DeleteFunc(o.moves, func(m move) bool { return m.from != m.to })
}

// standing returns the deadlines of a rule's triggers that have been sent and not withdrawn, in order.
func standing(outputs []operators.Output, rule string) (deadlines []operators.EventTime) {
	withdrawn := map[operators.ID]bool{}
	for i := range outputs {
		if outputs[i].Kind == operators.TriggerOutput {
			withdrawn[outputs[i].Trigger.Withdraws] = true
		}
	}
	for i := range outputs {
		t := outputs[i].Trigger
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
			if triggers := aim.inOrder(at + 3000*operators.DayMs); len(triggers) > 0 && triggers[len(triggers)-1].deadline > at && rapid.Bool().Draw(t, "about a trigger") {
				at = max(at, triggers[len(triggers)-1].deadline+operators.EventTime(rapid.SampledFrom([]int64{-hour, -hour, -1, 0, 1, hour}).Draw(t, "from it")))
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
		for _, m := range s.late.inOrder(s.Env.Watermark) {
			for _, e := range s.late.events {
				if e.Kind == operators.OrderCompleted && e.Time < m.deadline && e.Time > m.deadline-latenessMs {
					t.Skip("a silence shorter than the lateness")
				}
			}
		}
		if differs := s.differs(); differs != "" {
			t.Fatal(differs)
		}
	})
}

// TestMilestoneInAnyOrder lets orders come in any order, at any age, under a rule that once true stays so. It is told once, by the order with which it becomes known, and nothing is taken back: what comes later moves the instant, or nothing.
// Its deadline is the instant at which, by the orders known then, it became true, and it is stale if that is too long ago.
func TestMilestoneInAnyOrder(t *testing.T) {
	byLate, stale := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		config := withRules(t, `
rules:
  - {name: milestone, when: purchases >= 3 && net_value >= 100.0}
`)
		r := optest.NewRunner()
		r.Chain, r.LatenessMs, r.Env.Model = clv.NewChain(config), latenessMs, cdnow("mbgnbd")
		const hour = 3_600_000
		var orders []operators.Event
		at := operators.EventTime(9_000 * operators.DayMs)
		for i := range rapid.IntRange(6, 10).Draw(t, "orders") {
			at += operators.EventTime(rapid.SampledFrom([]int64{40 * operators.DayMs, 2 * operators.DayMs, 15 * hour, 1}).Draw(t, "gap"))
			orders = append(orders, operators.Event{
				Kind: operators.OrderCompleted, Customer: "c", ID: fmt.Sprint("e", i), Time: at, Day: operators.Day(at / operators.DayMs), DayStart: at / operators.DayMs * operators.DayMs,
				OrderID: fmt.Sprint("o", i), Amount: operators.Money(rapid.SampledFrom([]int64{40_00, 0, 5_00, 20_00, 99_99}).Draw(t, "amount")),
			})
		}
		orders = rapid.Permutation(orders).Draw(t, "as they come")
		var want []operators.EventTime
		for i := range orders {
			known := slices.SortedFunc(slices.Values(orders[:i+1]), func(a, b operators.Event) int { return cmp.Compare(a.Time, b.Time) })
			became, is := milestone(known)
			r.Event(&orders[i])
			if is && want == nil {
				want = append(want, became)
				if became < r.Customer.At {
					byLate++
				}
			}
		}
		var got []operators.EventTime
		for i := range r.Outputs {
			o := &r.Outputs[i]
			if o.Kind != operators.TriggerOutput {
				continue
			}
			got = append(got, o.Trigger.Deadline)
			if o.Trigger.Withheld == trigger.Stale {
				stale++
			}
			if o.Trigger.Withdraws != (operators.ID{}) {
				t.Errorf("withdrawn: %v", o.Trigger.Reasons)
			}
			if old := o.Trigger.Deadline+operators.DayMs < o.Time-latenessMs; old != (o.Trigger.Withheld == trigger.Stale) {
				t.Errorf("it is of %s, told at %s, and withheld as %q", o.Trigger.Deadline, o.Time, o.Trigger.Withheld)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("triggers of %v, not of %v", got, want)
		}
	})
	if byLate == 0 || stale == 0 {
		t.Errorf("%d triggers were of the past, %d were stale: nothing was proved", byLate, stale)
	}
}

// milestone returns when orders, in the order of their times, came to be of three days and for 100 dollars.
func milestone(orders []operators.Event) (at operators.EventTime, is bool) {
	days, sum := map[operators.Day]bool{}, operators.Money(0)
	for i := range orders {
		days[orders[i].Day] = true
		sum += orders[i].Amount
		if len(days) >= 3 && sum >= 100_00 {
			return orders[i].Time, true
		}
	}
	return 0, false
}

// TestLateSpells lets orders come in any order under rules whose conditions go up and down by orders alone. By what is known when a trigger is told, an in-order run tells it too, of the same instant; and no other one that stands is of the same
// spell, the time from there until the rule is armed again.
func TestLateSpells(t *testing.T) {
	type spell struct{ from, to operators.EventTime }
	byLate := map[string]int{}
	rules := map[string]func(net operators.Money, days int) (when, hold bool){
		"dear":   func(net operators.Money, days int) (bool, bool) { return net >= operators.Money(days)*60_00, false },
		"steady": func(net operators.Money, days int) (bool, bool) { return net >= operators.Money(days)*60_00, days < 2 },
		"modest": func(net operators.Money, days int) (bool, bool) {
			return net >= operators.Money(days)*60_00, net > operators.Money(days)*80_00
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		r := optest.NewRunner()
		r.Chain, r.LatenessMs, r.Env.Model = clv.NewChain(withRules(t, `
rules:
  - {name: dear, when: mean_value >= 60.0}
  - {name: steady, when: mean_value >= 60.0, hold: purchases < 2}
  - {name: modest, when: mean_value >= 60.0, hold: mean_value > 80.0}
`)), latenessMs, cdnow("mbgnbd")
		const hour = 3_600_000
		var orders []operators.Event
		arrives := map[string]operators.EventTime{}
		at := operators.EventTime(9_000 * operators.DayMs)
		for i := range rapid.IntRange(8, 12).Draw(t, "orders") {
			at += operators.EventTime(rapid.SampledFrom([]int64{6 * hour, 14 * hour}).Draw(t, "gap"))
			arrives[fmt.Sprint("e", i)] = at + operators.EventTime(rapid.SampledFrom([]int64{0, 0, 8 * hour, 30 * hour, 72 * hour}).Draw(t, "delay"))
			orders = append(orders, operators.Event{
				Kind: operators.OrderCompleted, Customer: "c", ID: fmt.Sprint("e", i), Time: at, Day: operators.Day(at / operators.DayMs), DayStart: at / operators.DayMs * operators.DayMs,
				OrderID: fmt.Sprint("o", i), Amount: operators.Money(rapid.SampledFrom([]int64{5_00, 40_00, 60_00, 100_00, 250_00}).Draw(t, "amount")),
			})
		}
		slices.SortStableFunc(orders, func(a, b operators.Event) int { return cmp.Compare(arrives[a.ID], arrives[b.ID]) })
		for i := range orders {
			told := len(r.Outputs)
			r.Event(&orders[i])
			known := slices.SortedFunc(slices.Values(orders[:i+1]), func(a, b operators.Event) int { return cmp.Compare(a.Time, b.Time) })
			for j := range r.Outputs[told:] {
				o := &r.Outputs[told+j]
				if o.Kind != operators.TriggerOutput || o.Trigger.Withdraws != (operators.ID{}) {
					continue
				}
				rule := o.Trigger.Rule
				var spells []spell
				days, net, held := map[operators.Day]bool{}, operators.Money(0), false
				for _, e := range known {
					days[e.Day] = true
					net += e.Amount
					switch when, hold := rules[rule](net, len(days)); {
					case hold:
						held = true
					case held && !when:
						held = false
						if n := len(spells); n > 0 && spells[n-1].to == operators.Never {
							spells[n-1].to = e.Time
						}
					case !held && when:
						held = true
						spells = append(spells, spell{e.Time, operators.Never})
					}
				}
				n := slices.IndexFunc(spells, func(s spell) bool { return s.from == o.Trigger.Deadline })
				if n < 0 {
					t.Fatalf("%s is of %s, told by the order of %s: in order it is of %v", rule, o.Trigger.Deadline, orders[i].Time, spells)
				}
				if slices.ContainsFunc(r.Outputs, func(o operators.Output) bool {
					return o.Kind == operators.TriggerOutput && o.Trigger.Rule == rule && o.Trigger.Withdraws != (operators.ID{})
				}) {
					continue // of the triggers before one that is taken back the rule knows nothing
				}
				same := 0
				for _, deadline := range standing(r.Outputs, rule) {
					if deadline >= spells[n].from && deadline < spells[n].to {
						same++
					}
				}
				if same != 1 {
					t.Fatalf("%d triggers of %s stand in the spell %v, told by the order of %s", same, rule, spells[n], orders[i].Time)
				}
				if orders[i].Time < o.Time {
					byLate[rule]++
				}
			}
		}
	})
	if byLate["dear"] == 0 || byLate["steady"]+byLate["modest"] == 0 {
		t.Errorf("late orders have made triggers as often as %v: nothing was proved", byLate)
	}
}

// TestDatedAhead takes in an order that is dated ahead and proves no time, and then one that comes late: no trigger is of a time that has not come.
func TestDatedAhead(t *testing.T) {
	r := optest.NewRunner()
	r.Chain, r.LatenessMs, r.Env.Model = clv.NewChain(withRules(t, `
rules:
  - {name: milestone, when: purchases >= 4 && net_value >= 100.0}
`)), latenessMs, cdnow("mbgnbd")
	order := func(day operators.Day, amount operators.Money) *operators.Event {
		start := operators.EventTime(day) * operators.DayMs
		return &operators.Event{Kind: operators.OrderCompleted, Customer: "c", ID: day.String(), OrderID: day.String(), Time: start, Day: day, DayStart: start, Amount: amount}
	}
	r.Event(order(9_000, 1_00))
	r.Event(order(9_002, 1_00))
	now := r.Customer.At
	r.Step(operators.Input{Kind: operators.EventInput, At: now, Event: order(9_009, 1_00)})
	r.Event(order(9_001, 99_00))
	last := &r.Outputs[len(r.Outputs)-1]
	if last.Kind != operators.TriggerOutput || last.Trigger.Deadline != now {
		t.Errorf("the last output is %+v, not a trigger of %s", last, now)
	}
}
