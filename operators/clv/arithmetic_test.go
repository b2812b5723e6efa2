package clv_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/score"
)

// TestArithmetic lets customers live at random under a rule whose condition has no closed form. Whenever it is looked, the rule is held if its condition is true of the numbers of that instant, which score
// alone tells; it fires in the millisecond in which that becomes true; and at no other instant than these is there a row that there would not be without the rule: where a search stops and goes on, nothing is told.
func TestArithmetic(t *testing.T) {
	rules := []struct {
		when  string
		holds func(f *operators.Facts) bool
	}{
		{"silent_days * 2.0 > age_days", func(f *operators.Facts) bool { return (f.Age-f.LastAge)*2 > f.Age }},
		{"value_about_to_be_lost >= 8.0", func(f *operators.Facts) bool { return f.AboutToBeLost >= 8 }},
		{"value_at_risk >= 10.0 && churn_risk < 0.9", func(f *operators.Facts) bool { return f.ValueAtRisk >= 10 && f.Risk() < 0.9 }},
		{"value_at_risk > 0.5 * clv + value_about_to_be_lost", func(f *operators.Facts) bool { return f.ValueAtRisk > 0.5*f.CLV+f.AboutToBeLost }},
		{"clv / silent_days < 0.5 || value_at_risk < 2.0", func(f *operators.Facts) bool { return f.CLV/(f.Age-f.LastAge) < 0.5 || f.ValueAtRisk < 2 }},
		{"!(buys_again * expected_purchases > 0.2) && purchases >= 2", func(f *operators.Facts) bool { return f.BuysAgain*f.ExpectedPurchases <= 0.2 && f.X >= 1 }},
	}
	fired, armed, long := 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		rule := rapid.SampledFrom(rules).Draw(t, "rule")
		config := defaults()
		op := score.New(config.Score)
		model := drawModel(t)
		s, bare := newStory(model), newStory(model)
		s.Chain = clv.NewChain(withRules(t, "rules:\n  - {name: a, when: '"+rule.when+"'}\n"))
		bare.Chain = clv.NewChain(withRules(t, "rules: []"))
		holds := func(at operators.EventTime) bool {
			if s.Customer.Purchases.Count == 0 {
				return false
			}
			f := op.Evaluate(&s.Customer.Purchases, model, at)
			return rule.holds(&f)
		}
		at, orders := operators.EventTime(9_000*operators.DayMs), 0
		for range rapid.IntRange(4, 9).Draw(t, "steps") {
			gap := rapid.SampledFrom([]int64{1, 10, 30, 120, 700, 3000}).Draw(t, "gap in days")
			passed := gap*operators.DayMs - rapid.Int64Range(0, gap*operators.DayMs-1).Draw(t, "less")
			told := len(s.Outputs)
			rows := len(bare.Outputs)
			before := at
			at += operators.EventTime(passed)
			s.jump(at)
			bare.jump(at)
			without := map[operators.EventTime]bool{}
			for _, o := range bare.Outputs[rows:] {
				without[o.Time] = without[o.Time] || o.Kind == operators.ScoreOutput
			}
			for _, o := range s.Outputs[told:] {
				switch {
				case o.Kind == operators.TriggerOutput:
					fired++
					if d := o.Trigger.Deadline; !holds(d) || holds(d-1) || o.Time != d || d <= before {
						t.Fatalf("%s: fires at %s; a millisecond before it is %v, and then %v", rule.when, d, holds(d-1), holds(d))
					}
				case o.Kind == operators.ScoreOutput && !without[o.Time]:
					if holds(o.Time) == holds(o.Time-1) {
						t.Fatalf("%s: a row at %s, when nothing changes", rule.when, o.Time)
					}
					if !holds(o.Time) {
						armed++
					}
				}
			}
			if s.Customer.RulesOpen && at-before > operators.EventTime(400*operators.DayMs) {
				long++
			}
			look := func() {
				t.Helper()
				if held := s.Customer.Rule(operators.RuleKey("a")).Held; held != holds(at) {
					t.Fatalf("%s: at %s it is %v, and held %v; next %s, open %v", rule.when, at, holds(at), held, s.Customer.RulesNext, s.Customer.RulesOpen)
				}
			}
			look()
			e := operators.Event{
				Kind: operators.PageViewed, Customer: "c", Time: at, Day: operators.Day(at / operators.DayMs), DayStart: at / operators.DayMs * operators.DayMs, Amount: operators.Money(rapid.Int64Range(1000, 29_999).Draw(t, "amount")),
			}
			switch rapid.SampledFrom([]string{"order", "order", "order", "order", "page", "cancel"}).Draw(t, "what") {
			case "order":
				e.Kind, e.OrderID = operators.OrderCompleted, fmt.Sprint("o", orders)
				orders++
			case "cancel":
				e.Kind, e.OrderID = operators.OrderCancelled, fmt.Sprint("o", rapid.IntRange(0, max(0, orders-1)).Draw(t, "order"))
			}
			s.event(e)
			bare.event(e)
			look()
		}
	})
	if fired < 15 || armed < 3 || long < 15 {
		t.Errorf("fired %d times, armed again in silence %d times, and searched on after a year %d times: the customers are too tame", fired, armed, long)
	}
	t.Logf("fired %d times, armed again in silence %d times, searched on after a year %d times", fired, armed, long)
}
