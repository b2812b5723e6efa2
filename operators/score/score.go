// Package score evaluates customers: from the statistics of their purchases and a model to P(alive), expected purchases, CLV, and the instants
// at which silence will change them.
//
// While a customer is silent P(alive) only falls, so each of its bounds has one instant at which it is crossed, in closed form; and CLV only
// falls, so the instant at which it falls below the model's cut is one root. These instants are functions of purchases and model alone. What
// depends on a bound is decided by comparing instants, never by comparing the numbers again: rounding cannot cross a bound twice.
package score

import (
	"cmp"
	"slices"
	"sync/atomic"

	"lull/operators"
	"lull/operators/bgnbd"
)

// Operator keeps Customer.Score and the customer's row in the scores table.
type Operator struct {
	config      Config
	high, low   float64 // P(alive) at the two risk thresholds
	dormant     float64 // and where customers are dormant, and lost
	lost        float64
	bounds      []float64 // the levels and all of these, falling
	horizonDays float64
	tables      atomic.Pointer[[tablesKept]*tables] // of the models that were asked for last, the newest first
}

// New returns the operator; the config is complete and valid.
func New(config Config) *Operator {
	high, low := complement(config.HighRisk), complement(config.LowRisk)
	dormant, lost := complement(config.DormantRisk), complement(config.LostRisk)
	bounds := append([]float64{high, low, dormant, lost}, config.Levels...)
	slices.SortFunc(bounds, func(a, b float64) int { return cmp.Compare(b, a) })
	return &Operator{
		config:      config,
		high:        high,
		low:         low,
		dormant:     dormant,
		lost:        lost,
		bounds:      slices.Compact(bounds),
		horizonDays: config.Terms().HorizonDays,
	}
}

// Name returns "score".
func (*Operator) Name() string { return "score" }

// Deadline returns the next instant at which silence changes the customer's row, or may end their rising.
func (*Operator) Deadline(c *operators.Customer) (operators.EventTime, operators.Release) {
	return min(c.Score.Next, c.RisingDeadline()), operators.BySilence
}

// Step scores the customer anew when their purchases have changed, when silence has reached the deadline, or that of their segments or rules, and when a model has come
// into force. Nothing else makes the row untrue: it states its instant.
func (op *Operator) Step(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	moved := c.Changed.Orders || in.Kind == operators.ModelInput // what silence was going to do has moved
	if env.Model == nil || !moved && in.Kind != operators.DeadlineInput {
		return
	}
	if !moved && c.RisingDeadline() <= in.At { // perhaps it was before the time
		e := op.evaluation(&c.Purchases, env.Model)
		c.Score.RisingUntil = e.risingUntil()
	}
	if reached := min(c.Score.Next, c.Segment.Next, c.RisingDeadline(), c.RulesTurn()) <= in.At; !moved && !reached {
		return
	}
	if c.Purchases.Count == 0 {
		if c.Score.Scored {
			c.Score = operators.Score{Next: operators.Never, ValueFalls: operators.Unset, RisingUntil: operators.Unset}
			c.Changed.Score = true
			out.Score(operators.ScoreRow{Gone: true, NextDeadline: operators.Never})
		}
		return
	}
	e := op.evaluation(&c.Purchases, env.Model)
	if moved {
		c.Score.ValueFalls = e.valueFalls()
		if c.Segment.Rising {
			c.Score.RisingUntil = e.risingAtLeastUntil()
		} else {
			c.Score.RisingUntil = e.risingUntil()
		}
	}
	c.Facts = e.facts(in.At, c.Score.ValueFalls)
	c.Changed.FirstScore = !c.Score.Scored
	c.Score.Scored = true
	c.Score.Next, _ = e.next(in.At, c.Score.ValueFalls)
	c.Changed.Score = true
	out.Score(operators.ScoreRow{Facts: c.Facts, Purchases: c.Purchases, NextDeadline: c.Score.Next})
}

// Evaluate returns the facts at an instant of a customer with these purchases, of which there are some, and none after the instant. The model is
// valid.
func (op *Operator) Evaluate(p *operators.Purchases, m *operators.Model, at operators.EventTime) operators.Facts {
	e := op.evaluation(p, m)
	return e.facts(at, e.valueFalls())
}

// PAlive returns P(alive) at an instant, as Evaluate does, for a fraction of its cost. It takes what Evaluate takes.
func (op *Operator) PAlive(p *operators.Purchases, m *operators.Model, at operators.EventTime) float64 {
	params, _ := paramsOf(m)
	return params.PAlive(bgnbd.History{X: p.Repeats(), TX: p.LastAge(), T: max(p.Age(at), p.LastAge())})
}

// RiskAfterPurchase returns what churn risk is at 00:00 of the day of one more purchase, whenever that is: one more order on the day of the last purchase is none. It takes what Evaluate takes.
func (op *Operator) RiskAfterPurchase(p *operators.Purchases, m *operators.Model) float64 {
	params, _ := paramsOf(m)
	return 1 - params.PAlive(bgnbd.History{X: p.Repeats() + 1})
}

// AboutToBeLost returns the value about to be lost at an instant, as Evaluate does, for a part of its cost. It takes what Evaluate takes.
func (op *Operator) AboutToBeLost(p *operators.Purchases, m *operators.Model, at operators.EventTime) float64 {
	e := op.evaluation(p, m)
	age := max(p.Age(at), e.lastAge)
	return max(0, e.clv(age)-e.clv(age+op.config.ContactDays))
}

// AboutToBeLostMost returns a bound that AboutToBeLost does not exceed, for next to nothing: the CLV of who is alive as surely as this customer, buys at the rate that is expected of them until
// the horizon without ever leaving, and is not discounted. λ of who is alive is distributed by Gamma(r+x, α+T): Fader, Hardie & Lee (2005).
func (op *Operator) AboutToBeLostMost(p *operators.Purchases, m *operators.Model, at operators.EventTime) float64 {
	e := op.evaluation(p, m)
	age := max(p.Age(at), e.lastAge)
	rate := (e.params.R + float64(e.x)) / (e.params.Alpha + age)
	return max(0, e.margin) * e.params.PAlive(e.history(age)) * rate * op.horizonDays
}

// RisingUntil returns the instant at which, in silence since the last purchase, the customer is not rising any more; Unset if they have not been since then. It takes what Evaluate takes.
func (op *Operator) RisingUntil(p *operators.Purchases, m *operators.Model) operators.EventTime {
	e := op.evaluation(p, m)
	return e.risingUntil()
}

// Next returns the first instant after at at which silence changes the row, and what happens then in words; Never and "" if nothing does. It
// takes what Evaluate takes.
func (op *Operator) Next(p *operators.Purchases, m *operators.Model, at operators.EventTime) (operators.EventTime, string) {
	e := op.evaluation(p, m)
	return e.nextInWords(at, e.valueFalls())
}

// ValueFalls returns what operators.Score.ValueFalls is, which is most of what Evaluate and Next cost. It takes what Evaluate takes.
func (op *Operator) ValueFalls(p *operators.Purchases, m *operators.Model) operators.EventTime {
	e := op.evaluation(p, m)
	return e.valueFalls()
}

// EvaluateKnown returns what Evaluate and Next do, of a customer of whom ValueFalls is known.
func (op *Operator) EvaluateKnown(p *operators.Purchases, m *operators.Model, at, valueFalls operators.EventTime) (f operators.Facts, next operators.EventTime, what string) {
	e := op.evaluation(p, m)
	next, what = e.nextInWords(at, valueFalls)
	return e.facts(at, valueFalls), next, what
}

func (e *evaluation) nextInWords(at, valueFalls operators.EventTime) (operators.EventTime, string) {
	next, alive := e.next(at, valueFalls)
	switch {
	case next == operators.Never:
		return next, ""
	case alive == valueBound:
		terms := e.op.config.Terms()
		return next, "CLV falls under the cut of " + terms.FormatAmount(e.cut)
	}
	return next, "churn risk reaches " + operators.FormatThreshold(complement(alive))
}
