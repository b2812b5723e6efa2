package trigger_test

import (
	"slices"
	"testing"

	"lull/operators"
	"lull/operators/trigger"
)

// scored stands before the operator under test and says that the customer has just been scored.
type scored struct {
	facts operators.Facts
	gone  bool
}

func (s *scored) Name() string { return "scored" }
func (s *scored) Step(_ *operators.Env, c *operators.Customer, in *operators.Input, _ *operators.Outbox) {
	c.Changed.Score, c.Score.Scored = true, !s.gone
	c.Facts = s.facts
	c.Facts.AsOf = in.At
}
func (s *scored) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

func newChain(before *scored) *operators.Chain {
	var config trigger.Config
	config.EnsureDefaults()
	terms := operators.Terms{HighRisk: 0.7, LowRisk: 0.6, DormantRisk: 0.85, LostRisk: 0.95, ContactDays: 30, Currency: "USD", MinorDigits: 2}
	return operators.NewChain(before, trigger.New(config, terms, nil))
}

// TestOnce: the rule fires once for each silence that reaches the upper line, and is armed again under the lower one only. Instants 100 and 200
// are the lines of risk.
func TestOnce(t *testing.T) {
	before := &scored{}
	chain := newChain(before)
	c, key := operators.NewCustomer("c"), operators.RuleKey("churn_risk")
	const ( // how the customer stands
		plain = iota
		born
		gone
	)
	for i, step := range []struct {
		at    operators.EventTime
		how   int
		fires bool
		held  bool
	}{
		{150, plain, false, false},
		{200, plain, true, true},
		{210, plain, false, true},
		{150, plain, false, true}, // a purchase that leaves risk between the lines
		{200, plain, false, true},
		{99, plain, false, false},
		{300, plain, true, true}, // beyond the line at once
		{300, born, false, true},
		{301, born, false, true},
		{150, plain, false, true},
		{200, plain, false, true},
		{99, plain, false, false},
		{99, born, false, true},
		{400, gone, false, false},
		{200, plain, true, true},
	} {
		before.facts = operators.Facts{LowRiskUntil: 100, HighRiskAt: 200, BornHighRisk: step.how == born}
		before.gone = step.how == gone
		var out operators.Outbox
		chain.Step(&operators.Env{Now: step.at}, c, &operators.Input{Kind: operators.DeadlineInput, At: step.at}, &out)
		if c.Rule(key).Held != step.held || (len(out.Outputs) == 1) != step.fires {
			t.Fatalf("step %d: %+v, outputs %v", i, c.Rules, out.Outputs)
		}
		if step.fires {
			if got := out.Outputs[0].Trigger; got.Rule != "churn_risk" || got.Deadline != 200 || !got.Actionable || got.Withheld != "" || got.Facts != c.Facts {
				t.Errorf("step %d: %+v", i, got)
			}
		}
	}
}

// TestWithheld: nobody acts on a customer who has come back, nor on old news; the former is said first.
func TestWithheld(t *testing.T) {
	for _, v := range []struct {
		now      operators.EventTime
		returned bool
		want     string
	}{
		{operators.Unset, false, ""},
		{200 + operators.DayMs, false, ""},
		{201 + operators.DayMs, false, "stale"},
		{200, true, "returned"},
		{201 + operators.DayMs, true, "returned"},
	} {
		chain := newChain(&scored{facts: operators.Facts{LowRiskUntil: 100, HighRiskAt: 200}})
		var out operators.Outbox
		in := operators.Input{Kind: operators.DeadlineInput, At: 200, Returned: v.returned}
		chain.Step(&operators.Env{Now: v.now}, operators.NewCustomer("c"), &in, &out)
		if got := out.Outputs[0].Trigger; got.Withheld != v.want || got.Actionable != (v.want == "") {
			t.Errorf("now %s, returned %v: %+v", v.now, v.returned, got)
		}
	}
}

// TestReasons shows the words.
func TestReasons(t *testing.T) {
	facts := operators.Facts{
		X: 3, LastAge: 57, Age: 128.5, PAlive: 0.3, AboutToBeLost: 4.123, LowRiskUntil: 100, HighRiskAt: 891522420000, RiskAfterOrder: 0.061, DormantAt: 900403200000,
	}
	var out operators.Outbox
	newChain(&scored{facts: facts}).Step(&operators.Env{}, operators.NewCustomer("c"), &operators.Input{Kind: operators.DeadlineInput, At: facts.HighRiskAt}, &out)
	want := []string{
		"orders every 19 days, silent for 71 days", "churn risk reached 0.70 at 1998-04-02T13:07:00.000Z", "value about to be lost within 30 days: 4.12 USD",
		"an order now: churn risk 0.70 -> 0.06; silent until 1998-07-14T08:00:00.000Z: 0.85",
	}
	if got := out.Outputs[0].Trigger.Reasons; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestValidate: the default is valid, and the fault is named.
func TestValidate(t *testing.T) {
	var c trigger.Config
	if err := c.Validate(); err == nil {
		t.Error("0 is valid")
	}
	c.EnsureDefaults()
	if err := c.Validate(); err != nil || c.MaxAgeMs != operators.DayMs {
		t.Errorf("%+v: %v", c, err)
	}
	c.MaxAgeMs = -5
	if err := c.Validate(); err == nil || err.Error() != "trigger: MaxAgeMs is -5; it must be 1 to 31622400000 (366 days)" {
		t.Errorf("%v", err)
	}
}
