package segment_test

import (
	"slices"
	"strings"
	"testing"

	"lull/operators"
	"lull/operators/segment"
)

var terms = operators.Terms{HighRisk: 0.7, LowRisk: 0.6, ValueBack: 0.8, ContactDays: 30, Currency: "USD", MinorDigits: 2}

// scored stands before the operator under test and says that the customer has just been scored.
type scored struct {
	facts     operators.Facts
	gone      bool
	silent    bool                 // they have not been scored
	bought    bool                 // a purchase day has appeared
	purchases *operators.Purchases // nil: four days
}

func (s *scored) Name() string { return "scored" }
func (s *scored) Step(_ *operators.Env, c *operators.Customer, in *operators.Input, _ *operators.Outbox) {
	if s.silent {
		return
	}
	c.Changed.Score, c.Score.Scored, c.Changed.Purchase = true, !s.gone, s.bought
	c.Purchases = operators.Purchases{Count: 4, First: 100, Last: 157}
	if s.purchases != nil {
		c.Purchases = *s.purchases
	}
	c.Facts = s.facts
	c.Facts.AsOf = in.At
}
func (s *scored) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

// ends is an evaluator of customers whom silence takes under the lower line of value at an instant.
type ends struct {
	segment.Evaluator
	at operators.EventTime
}

func (e *ends) Reaches(_ *operators.Purchases, m *operators.Model, what operators.Measure, bound float64) operators.EventTime {
	if what != operators.CLV || bound != 0.8*m.HighValue {
		panic("it is asked for another line")
	}
	return e.at
}

// of returns the changes of a dimension.
func of(d operators.Dimension, out *operators.Outbox) (changes []operators.SegmentChange) {
	for i := range out.Outputs {
		if o := &out.Outputs[i]; o.Kind == operators.SegmentOutput && o.Segment.Dimension == d {
			changes = append(changes, *o.Segment)
		}
	}
	return changes
}

// TestQuadrants moves a customer about. Instants 100 and 200 are the lines of risk: before 100 it is low, from 200 on high, and between
// them what it was. Value is low from 300 on; before that, unless it is at the upper line, it is what it was.
func TestQuadrants(t *testing.T) {
	before := &scored{}
	chain := operators.NewChain(before, segment.New(segment.Config{DwellMs: -1000}, terms, &ends{at: 300})) // instants go back here
	env := operators.Env{Model: &operators.Model{Version: "m", HighValue: 34.88}}
	c := operators.NewCustomer("c")
	for i, step := range []struct {
		at        operators.EventTime
		highValue bool
		want      operators.Quadrant
	}{
		{150, false, operators.Nurture}, // new, between the lines: not high yet
		{150, true, operators.Advocate},
		{199, true, operators.Advocate},
		{200, true, operators.Save},
		{150, true, operators.Save},  // under the upper line, not under the lower
		{299, false, operators.Save}, // under the upper line of value, not under the lower
		{99, false, operators.Advocate},
		{300, false, operators.Efficiency},
		{299, false, operators.Efficiency}, // not at the upper line again
		{99, false, operators.Nurture},
		{100, false, operators.Nurture},
		{operators.Never, false, operators.NoQuadrant},
		{150, false, operators.Nurture},
		{operators.Never, false, operators.NoQuadrant},
		{150, true, operators.Advocate}, // what was before they had no purchase is forgotten
	} {
		before.facts = operators.Facts{
			X: 3, LastAge: 57, Age: 128, CLV: 12.3, PAlive: 0.35, HighValue: step.highValue, LowRiskUntil: 100, HighRiskAt: 200,
		}
		before.gone = step.want == operators.NoQuadrant
		if before.gone {
			before.facts = operators.Facts{}
		}
		from := c.Segment
		var out operators.Outbox
		chain.Step(&env, c, &operators.Input{Kind: operators.DeadlineInput, At: step.at}, &out)
		changes := of(operators.QuadrantDimension, &out)
		if got := c.Segment.Quadrant; got != step.want {
			t.Fatalf("step %d: %s, want %s", i, got, step.want)
		}
		if from.Quadrant == step.want {
			if len(changes) > 0 || c.Segment.Since != from.Since {
				t.Errorf("step %d: nothing has changed, but %v", i, out.Outputs)
			}
			continue
		}
		if since := c.Segment.Since; len(changes) != 1 || since != step.at && !before.gone {
			t.Fatalf("step %d: %d changes, since %d", i, len(changes), since)
		}
		change := changes[0]
		if change.From != from.Quadrant.String() || change.To != step.want.String() || change.Facts != c.Facts && !before.gone || len(change.Reasons) == 0 {
			t.Errorf("step %d: %+v", i, change)
		}
	}
}

// TestReasons shows the words.
func TestReasons(t *testing.T) {
	op := segment.New(segment.Config{DwellMs: 1}, terms, &ends{at: 100})
	p := operators.Purchases{Count: 4, First: 100, Last: 157}
	m := &operators.Model{HighValue: 34.88}
	f := operators.Facts{X: 3, LastAge: 57, Age: 128.5, CLV: 12.3, PAlive: 0.3, HighRiskAt: operators.Never}
	want := []string{
		"orders every 19 days, silent for 71 days", "CLV 12.30 USD under the cut of 34.88 USD",
		"churn risk 0.70: high from 0.70 on, until back under 0.60",
	}
	if got := op.Reasons(&p, m, &f, &operators.Segment{HighRisk: true}); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	f.HighValue, f.CLV, f.PAlive, f.LowRiskUntil = true, 34.9, 0.75, operators.Never
	got := strings.Join(op.Reasons(&p, m, &f, &operators.Segment{})[1:], "; ")
	if want := "CLV 34.90 USD, at least the cut of 34.88 USD; churn risk 0.25: low until it reaches 0.70"; got != want {
		t.Errorf("%q", got)
	}
	f.PAlive = 0.302
	exact := terms
	exact.ExactRisk = true
	for _, c := range []struct {
		terms operators.Terms
		want  string
	}{{terms, "churn risk 0.70: low until it reaches 0.70"}, {exact, "churn risk 0.698: low until it reaches 0.70"}} {
		if got := segment.New(segment.Config{DwellMs: 1}, c.terms, nil).Reasons(&p, m, &f, &operators.Segment{})[2]; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	for _, c := range []struct {
		clv  float64
		was  operators.Quadrant
		asOf operators.EventTime
		want string
	}{
		{34.879, operators.Nurture, 100, "CLV just under the cut of 34.88 USD"}, // who may never have been above it
		{27.9045, operators.Nurture, 100, "CLV 27.90 USD under the cut of 34.88 USD"},
		{30, operators.Nurture, 99, "CLV 30.00 USD under the cut of 34.88 USD"},
		{30, operators.Advocate, 99, "CLV 30.00 USD under the cut of 34.88 USD, high until under 27.90 USD"},
		{27.904, operators.Save, 100, "CLV just under 27.90 USD, where high value ends"},
		{12, operators.Save, 101, "CLV 12.00 USD under the cut of 34.88 USD"},
	} {
		f.HighValue, f.CLV, f.AsOf = false, c.clv, c.asOf
		if got := op.Reasons(&p, m, &f, &operators.Segment{Quadrant: c.was})[1]; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
