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
)

// placed is where a customer was from an instant on.
type placed struct {
	at                  operators.EventTime
	quadrant, lifecycle string
}

// placesOf returns where outputs say that a customer was, by instant.
func placesOf(outputs []operators.Output) (places []placed) {
	now, cause := placed{}, operators.Cause{}
	for i := range outputs {
		o := &outputs[i]
		if o.Kind != operators.SegmentOutput {
			continue
		}
		if len(places) > 0 && o.Cause == cause {
			places = places[:len(places)-1]
		}
		now.at, cause = o.Time, o.Cause
		switch o.Segment.Dimension {
		case operators.QuadrantDimension:
			now.quadrant = o.Segment.To
		case operators.LifecycleDimension:
			now.lifecycle = o.Segment.To
		}
		places = append(places, now)
	}
	return places
}

// TestSegmentsInAnyOrder lets the orders of lives at random come in any order within the lateness, under rules about segments, without dwells and with one line of risk, so that what is seen in order is the whole truth. A trigger that
// stands and that no late event made is true at its instant; one that is withdrawn is not; and in the end the customer is where they are for who has seen everything in order.
// With two lines of value what was told before an order came to be known may keep them where they are, and a trigger with them: only what is withdrawn is asked for then.
func TestSegmentsInAnyOrder(t *testing.T) {
	stood, taken := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		const latenessMs, hour = 20 * 3_600_000, 3_600_000
		config := withRules(t, `
rules:
  - {name: quadrant_efficiency, when: quadrant == "efficiency"}
  - {name: quadrant_save, when: quadrant == "save"}
  - {name: lifecycle_at_risk, when: lifecycle == "at_risk"}
  - {name: lifecycle_dormant, when: lifecycle == "dormant"}
  - {name: lifecycle_won_back, when: lifecycle == "won_back"}
`)
		config.Segment.DwellMs, config.Score.LowRisk = 1, config.Score.HighRisk
		banded := rapid.Bool().Draw(t, "two lines of value")
		if !banded {
			config.Score.ValueBack = 1
		}
		model := cdnow("mbgnbd")
		if rapid.Bool().Draw(t, "any model") {
			model = drawModel(t)
		}
		newRunner := func() *optest.Runner {
			r := optest.NewRunner()
			r.Chain, r.LatenessMs, r.Env.Model = clv.NewChain(config), latenessMs, model
			return r
		}
		var events []operators.Event
		arrives := map[string]operators.EventTime{}
		aim := newRunner() // at the instants at which silence moves the customer
		at, awaited := operators.EventTime(9_000*operators.DayMs), false
		for i := range rapid.IntRange(2, 8).Draw(t, "events") {
			gaps, delays := []int64{1, hour, 15 * hour, 40 * operators.DayMs, 300 * operators.DayMs}, []int64{0, 0, 1, hour, latenessMs / 2, latenessMs}
			if awaited { // so that it comes to be known after this one
				gaps, delays = gaps[1:3], delays[:1]
			}
			at += operators.EventTime(rapid.SampledFrom(gaps).Draw(t, "gap") + rapid.Int64Range(0, hour).Draw(t, "more"))
			delay := rapid.SampledFrom(delays).Draw(t, "delay")
			var facts operators.Facts // as they were told last
			for i := range aim.Outputs {
				if aim.Outputs[i].Kind == operators.ScoreOutput {
					facts = aim.Outputs[i].Score.Facts
				}
			}
			awaited = false
			for _, line := range []operators.EventTime{facts.HighRiskAt, facts.DormantAt, facts.LostAt, aim.Customer.Score.ValueFalls, aim.Customer.Segment.Next} {
				if !awaited && line > at+hour && line < at+30_000*operators.DayMs && rapid.IntRange(0, 2).Draw(t, "about the line") > 0 {
					awaited, at = true, line+operators.EventTime(rapid.SampledFrom([]int64{-hour, -1, -1, 0, 1}).Draw(t, "from it"))
					delay = rapid.SampledFrom([]int64{0, latenessMs, latenessMs}).Draw(t, "delay then")
				}
			}
			e := operators.Event{
				Kind: operators.OrderCompleted, Customer: "c", ID: fmt.Sprint("e", i), Time: at, Day: operators.Day(at / operators.DayMs), DayStart: at / operators.DayMs * operators.DayMs,
				OrderID: fmt.Sprint("o", i), Amount: operators.Money(rapid.Int64Range(0, 9_999).Draw(t, "amount")),
			}
			if rapid.IntRange(0, 3).Draw(t, "page") == 0 {
				e.Kind, e.OrderID, e.Amount = operators.PageViewed, "", 0
			}
			aim.Event(&e)
			events = append(events, e)
			arrives[e.ID] = at + operators.EventTime(delay)
		}
		end := at + operators.EventTime(rapid.SampledFrom([]int64{2, 2, operators.DayMs, 900 * operators.DayMs}).Draw(t, "silence"))

		inOrder := newRunner()
		for i := range events {
			if refused := inOrder.Event(&events[i]); refused != "" {
				t.Fatal(refused)
			}
		}
		inOrder.Advance(end)
		truth := placesOf(inOrder.Outputs)
		isSo := func(rule string, at operators.EventTime) bool {
			last := -1
			for n, p := range truth {
				is := rule == "quadrant_"+p.quadrant || rule == "lifecycle_"+p.lifecycle
				switch {
				case p.at == at && is: // also where silence and then an order moved them at one instant
					return true
				case p.at <= at && p.at >= at-latenessMs && is && p.lifecycle == "won_back": // by another order shortly before: who has come back has
					return true
				case p.at <= at:
					last = n
				}
			}
			return last >= 0 && (rule == "quadrant_"+truth[last].quadrant || rule == "lifecycle_"+truth[last].lifecycle)
		}

		came := newRunner()
		slices.SortStableFunc(events, func(a, b operators.Event) int { return cmp.Compare(arrives[a.ID], arrives[b.ID]) })
		late := map[operators.ID]bool{} // triggers that late events have made
		for i := range events {
			told, was := len(came.Outputs), came.Customer.At
			if refused := came.Event(&events[i]); refused != "" {
				t.Fatal(refused)
			}
			for _, o := range came.Outputs[told:] {
				late[o.ID] = events[i].Time < max(was, o.Time)
			}
		}
		came.Advance(end)
		withdrawn := map[operators.ID]bool{}
		for i := range came.Outputs {
			if o := &came.Outputs[i]; o.Kind == operators.TriggerOutput {
				withdrawn[o.Trigger.Withdraws] = true
			}
		}
		for i := range came.Outputs {
			o := &came.Outputs[i]
			if o.Kind != operators.TriggerOutput || o.Trigger.Withdraws != (operators.ID{}) {
				continue
			}
			is := isSo(o.Trigger.Rule, o.Trigger.Deadline)
			switch {
			case withdrawn[o.ID]:
				taken++
				if is {
					t.Errorf("withdrawn, and so it was: %s at %s; in order: %v", o.Trigger.Rule, o.Trigger.Deadline, truth)
				}
			case !late[o.ID]:
				stood++
				if !is && !banded {
					t.Errorf("it stands, and was not so: %s at %s; in order: %v", o.Trigger.Rule, o.Trigger.Deadline, truth)
				}
			}
		}
		if got, want := came.Customer.Segment, inOrder.Customer.Segment; got.Quadrant != want.Quadrant && !banded || got.Lifecycle != want.Lifecycle {
			t.Errorf("in the end they are %s and %s; in order %s and %s", got.Quadrant, got.Lifecycle, want.Quadrant, want.Lifecycle)
		}
	})
	if stood == 0 || taken == 0 {
		t.Errorf("%d triggers stood, %d were withdrawn: nothing was proved", stood, taken)
	}
	t.Logf("%d triggers stood, %d were withdrawn", stood, taken)
}

func (p placed) String() string { return p.at.String() + " " + p.quadrant + " " + p.lifecycle }
