package trigger_test

import (
	"testing"

	"lull/operators"
)

// TestPriority: a priority is what CEL makes of the facts at the instant of the trigger, also of what silence moves; without one it is the value about to be lost; and what is no number is 0.
func TestPriority(t *testing.T) {
	facts := operators.Facts{X: 3, LastAge: 57, Age: 128.5, PAlive: 0.25, CLV: 50, AboutToBeLost: 4.5, HighValue: true, ExpectedSpend: 20}
	for _, v := range []struct {
		priority string
		want     float64
	}{
		{"", 4.5},
		{"priority: value_about_to_be_lost", 4.5},
		{"priority: purchases", 1},
		{"priority: 2.0 * clv - silent_days", 28.5},
		{"priority: '(high_value && quadrant != \"save\" ? 3.0 : 1.0) * expected_spend'", 60},
		{"priority: churn_risk * clv", 37.5},
		{"priority: clv / (p_alive - 0.25)", 0},
		{"priority: 1 / (purchases - 1)", 0},
		{"priority: 7", 7},
	} {
		var out operators.Outbox
		c := customer()
		c.Score.ValueFalls = operators.Never
		chain := newChain(t, &scored{facts: facts}, "rules: [{name: a, when: churn_risk >= risk_high, "+v.priority+"}]")
		chain.Step(&operators.Env{}, c, &operators.Input{Kind: operators.DeadlineInput, At: 200}, &out)
		if len(out.Outputs) != 1 || out.Outputs[0].Trigger.Priority != v.want {
			t.Errorf("%s: %+v", v.priority, out.Outputs)
		}
	}
}
