package segment

import "lull/operators"

// quadrant moves the customer to the quadrant of their value and risk, if they have been long enough in the one they are in.
func (op *Operator) quadrant(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	s := &c.Segment
	s.HighRisk = HighRisk(&c.Facts, s.HighRisk)
	from, to := s.Quadrant, quadrant(c.Facts.HighValue, s.HighRisk)
	if to == from {
		return
	}
	if dwelt := s.Since + operators.EventTime(op.config.DwellMs); from != operators.NoQuadrant && in.At < dwelt {
		wake(c, dwelt)
		return
	}
	s.Quadrant, s.Since = to, in.At
	out.Segment(operators.SegmentChange{
		Dimension: operators.QuadrantDimension, From: from.String(), To: to.String(), Facts: c.Facts, Reasons: op.Reasons(&c.Purchases, env.Model, &c.Facts, s.HighRisk),
	})
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
	return []string{p.Habit(f), op.terms.FormatValue(f, m), op.riskReason(f, highRisk)}
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
