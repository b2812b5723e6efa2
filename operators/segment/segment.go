// Package segment places customers in the plane of value and risk, in one of four quadrants, and tells when they move.
//
// Value is high while CLV is at least the model's cut. Risk is high from Terms.HighRisk on, and low again only under LowRisk: between the
// two it stays what it was, so that nobody goes back and forth. Both lines are crossed at instants that score has found and wakes the
// customer at; segments need no deadline of their own.
package segment

import "lull/operators"

// Operator keeps Customer.Segment.
type Operator struct{ terms operators.Terms }

// New returns the operator. The terms are those of the scores that it judges.
func New(terms operators.Terms) *Operator { return &Operator{terms} }

// Name returns "segment".
func (*Operator) Name() string { return "segment" }

// Deadline returns Never: score wakes the customer at every line between quadrants.
func (*Operator) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

// Step places the customer anew when they have been scored.
func (op *Operator) Step(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	if !c.Changed.Score {
		return
	}
	from := c.Segment.Quadrant
	to := operators.NoQuadrant
	if c.Score.Scored {
		c.Segment.HighRisk = HighRisk(&c.Facts, c.Segment.HighRisk)
		to = quadrant(c.Facts.HighValue, c.Segment.HighRisk)
	} else {
		c.Segment.HighRisk = false
	}
	if to == from {
		return
	}
	c.Segment.Quadrant, c.Segment.Since = to, in.At
	change := operators.SegmentChange{From: from, To: to, Facts: c.Facts}
	if to == operators.NoQuadrant {
		change.Reasons = []string{"no purchase left: every order has been cancelled"}
	} else {
		change.Reasons = op.Reasons(&c.Purchases, env.Model, &c.Facts, c.Segment.HighRisk)
	}
	out.Segment(change)
}

// HighRisk returns the side of the risk line that a customer of these facts is on, who was on side was before; false for who is new.
func HighRisk(f *operators.Facts, was bool) bool {
	switch {
	case f.AsOf >= f.HighRiskAt:
		return true
	case f.AsOf < f.LowRiskUntil:
		return false
	}
	return was
}

func quadrant(highValue, highRisk bool) operators.Quadrant {
	switch {
	case highValue && highRisk:
		return operators.Save
	case highValue:
		return operators.Advocate
	case highRisk:
		return operators.Efficiency
	}
	return operators.Nurture
}

// Reasons tells in words why a customer is in their quadrant.
func (op *Operator) Reasons(p *operators.Purchases, m *operators.Model, f *operators.Facts, highRisk bool) []string {
	return []string{p.Habit(f), op.valueReason(m, f), op.riskReason(f, highRisk)}
}

func (op *Operator) valueReason(m *operators.Model, f *operators.Facts) string {
	clv, cut := op.terms.FormatAmount(f.CLV), op.terms.FormatAmount(m.HighValue)
	switch {
	case f.HighValue:
		return "CLV " + clv + ", at least the cut of " + cut
	case clv == cut: // at the instant of the fall the two are the same number
		return "CLV has fallen under the cut of " + cut
	}
	return "CLV " + clv + " under the cut of " + cut
}

func (op *Operator) riskReason(f *operators.Facts, highRisk bool) string {
	risk, high := operators.FormatRisk(f.Risk()), operators.FormatThreshold(op.terms.HighRisk)
	if highRisk {
		return "churn risk " + risk + ": high from " + high + " on, until back under " + operators.FormatThreshold(op.terms.LowRisk)
	}
	if op.terms.ExactRisk {
		risk = operators.FormatRiskUnder(f.Risk(), op.terms.HighRisk)
	}
	return "churn risk " + risk + ": low until it reaches " + high
}
