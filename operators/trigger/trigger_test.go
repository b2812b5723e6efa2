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

// lines are scores of a customer whose churn risk reaches 0.6 at 100 and 0.7 at 200.
type lines struct{}

func (lines) Evaluate(*operators.Purchases, *operators.Model, operators.EventTime) operators.Facts {
	return operators.Facts{}
}

func (lines) Reaches(_ *operators.Purchases, _ *operators.Model, _ operators.Measure, bound float64) operators.EventTime {
	return map[float64]operators.EventTime{0.6: 100, 0.7: 200}[bound]
}

func (lines) RiskAfterPurchase(*operators.Purchases, *operators.Model) float64 {
	panic("the rules here ask nobody what would be")
}

func (lines) NextPurchase(*operators.Purchases, *operators.Model, operators.EventTime, float64) float64 {
	return 1
}

func (lines) Moment(*operators.Purchases, *operators.Model, operators.EventTime, operators.Measures) operators.Moment {
	return operators.Moment{}
}

func (lines) FindSlopes(_ *operators.Purchases, _ *operators.Model, _ operators.Measures, _, _ *operators.Moment) {
}

func (lines) Enclose(*operators.Moment, *operators.Moment, operators.Measure) operators.Enclosure {
	return operators.Enclosure{}
}

func (lines) Ceiling(*operators.Purchases, *operators.Model, *operators.Facts) operators.OfferCeiling {
	return operators.OfferCeiling{Ceiling: 150}
}

const churnRisk = `
rules:
  - name: churn_risk
    when: churn_risk >= risk_high
    hold: born_high_risk
    until: churn_risk < risk_back
    from: low_risk
    to: high_risk
`

func newChain(t *testing.T, before *scored, rules string) *operators.Chain {
	t.Helper()
	var config trigger.Config
	var err error
	if config.Rules, err = trigger.ParseRules("rules.yaml", []byte(rules)); err != nil {
		t.Fatal(err)
	}
	config.EnsureDefaults()
	terms := operators.Terms{HighRisk: 0.7, LowRisk: 0.6, DormantRisk: 0.85, LostRisk: 0.95, ContactDays: 30, HorizonDays: 365.25, MarginShare: 1, Currency: "USD", MinorDigits: 2}
	return operators.NewChain(before, trigger.New(config, terms, lines{}, nil))
}

// customer is one with a purchase, at 0.
func customer() *operators.Customer {
	c := operators.NewCustomer("c")
	c.Purchases = operators.Purchases{Count: 1}
	return c
}

// TestOnce: the rule fires once for each silence that reaches the upper line, and is armed again under the lower one only. Instants 100 and 200
// are the lines of risk.
func TestOnce(t *testing.T) {
	before := &scored{}
	chain := newChain(t, before, churnRisk)
	c, key := customer(), operators.RuleKey("churn_risk")
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
		before.facts = operators.Facts{BornHighRisk: step.how == born}
		before.gone = step.how == gone
		var out operators.Outbox
		chain.Step(&operators.Env{Now: step.at}, c, &operators.Input{Kind: operators.DeadlineInput, At: step.at}, &out)
		if c.Rule(key).Held != step.held || (len(out.Outputs) == 1) != step.fires {
			t.Fatalf("step %d: %+v, outputs %v", i, c.Rules, out.Outputs)
		}
		if step.fires {
			if got := out.Outputs[0].Trigger; got.Rule != "churn_risk" || got.Deadline != 200 || !got.Actionable || got.Withheld != "" || got.Facts != c.Facts || got.From != "low_risk" || got.To != "high_risk" || got.Ceiling.Ceiling != 150 {
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
		chain := newChain(t, &scored{}, churnRisk)
		var out operators.Outbox
		in := operators.Input{Kind: operators.DeadlineInput, At: 200, Returned: v.returned}
		chain.Step(&operators.Env{Now: v.now}, customer(), &in, &out)
		if got := out.Outputs[0].Trigger; got.Withheld != v.want || got.Actionable != (v.want == "") {
			t.Errorf("now %s, returned %v: %+v", v.now, v.returned, got)
		}
	}
}

// TestReasons shows the words.
func TestReasons(t *testing.T) {
	const day = operators.DayMs
	facts := operators.Facts{X: 3, LastAge: 57, Age: 128.5, PAlive: 0.3, BuysAgain: 0.25, ExpectedPurchases: 1.5, CLV: 53.04, AboutToBeLost: 4.123, HighValue: true, RiskAfterOrder: 0.061, DormantAt: 900403200000}
	for _, v := range []struct {
		rule     string
		at       operators.EventTime
		want     []string
		wantUsed []operators.FactUsed
	}{
		{"churn_risk >= 0.7", 200, []string{"churn risk reached 0.70 at 1970-01-01 00:00 UTC"}, []operators.FactUsed{{Name: "churn_risk", Value: "0.7"}}},
		{
			"purchases >= 1 && silent_days >= 2", 2 * day, []string{"one purchase", "silence reached 2 days at 1970-01-03 00:00 UTC"},
			[]operators.FactUsed{{Name: "purchases", Value: "1"}, {Name: "silent_days", Value: "71.5"}},
		},
		{
			`high_value && quadrant != "save" && clv > 0.7`, 150, []string{"of high value: CLV 53.04 USD, at least the cut of 40.00 USD", "quadrant advocate: CLV 53.04 USD, at least the cut of 40.00 USD, churn risk 0.70"},
			[]operators.FactUsed{{Name: "high_value", Value: "true"}, {Name: "quadrant", Value: "advocate"}, {Name: "clv", Value: "53.04"}},
		},
		{`lifecycle == "won_back"`, 150, []string{"lifecycle won_back: bought again after 71 days of silence"}, []operators.FactUsed{{Name: "lifecycle", Value: "won_back"}}},
		{`rfm_group == "loyal"`, 150, []string{"RFM group loyal: one purchase of 12.34 USD"}, []operators.FactUsed{{Name: "rfm_group", Value: "loyal"}}},
		{"rising", 150, []string{"rising: margin of 12.34 USD so far, in nine of ten futures more than the cut of 40.00 USD to come"}, []operators.FactUsed{{Name: "rising", Value: "true"}}},
		{
			"value_about_to_be_lost > 1.0 && buys_again < 0.5", 150,
			[]string{"value_about_to_be_lost > 1.0 since 1970-01-01 00:00 UTC", "value about to be lost within 30 days: 4.12 USD", "buys again within 30 days with probability 0.25"},
			[]operators.FactUsed{{Name: "value_about_to_be_lost", Value: "4.123"}, {Name: "buys_again", Value: "0.25"}},
		},
		{ // of alternatives only what holds is a reason, and of what must not be both, what is not
			"silent_days > 100.0 || purchases >= 1 && !(rising && orders > 5)", 150, []string{"one purchase", "0 orders"},
			[]operators.FactUsed{{Name: "silent_days", Value: "71.5"}, {Name: "purchases", Value: "1"}, {Name: "rising", Value: "true"}, {Name: "orders", Value: "0"}},
		},
		{"expected_purchases < 3.0", 150, []string{"purchases expected within 365 days: 1.50"}, []operators.FactUsed{{Name: "expected_purchases", Value: "1.5"}}},
	} {
		var out operators.Outbox
		c := customer()
		c.Score.ValueFalls = operators.Never
		c.Purchases.Net = 1234
		c.Days.Newest = []operators.PurchaseDay{{Day: 100}, {Day: 171}}
		c.Segment.Quadrant, c.Segment.Lifecycle, c.Segment.RFMGroup, c.Segment.Rising = operators.Advocate, operators.WonBack, operators.Loyal, true
		chain := newChain(t, &scored{facts: facts}, "rules: [{name: a, when: '"+v.rule+"'}]")
		chain.Step(&operators.Env{Model: &operators.Model{HighValue: 40}}, c, &operators.Input{Kind: operators.DeadlineInput, At: v.at}, &out)
		want := append([]string{"orders every 19 days, silent for 71 days"}, v.want...)
		if len(out.Outputs) != 1 {
			t.Errorf("%s: %d outputs", v.rule, len(out.Outputs))
			continue
		}
		got := out.Outputs[0].Trigger
		if !slices.Equal(got.Reasons, want) {
			t.Errorf("%s: %q", v.rule, got.Reasons)
		}
		if !slices.Equal(got.Used, v.wantUsed) {
			t.Errorf("%s: used %+v", v.rule, got.Used)
		}
		if would := []string{"an order now: churn risk 0.70 -> 0.06", "silent until 1998-07-14 08:00 UTC: churn risk 0.85"}; !slices.Equal(got.Counterfactuals, would) {
			t.Errorf("%s: %q", v.rule, got.Counterfactuals)
		}
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
