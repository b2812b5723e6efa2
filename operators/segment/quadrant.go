package segment

import "lull/operators"

// quadrant moves the customer to the quadrant of their value and risk, if they have been long enough in the one they are in.
func (op *Operator) quadrant(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	s := &c.Segment
	s.HighRisk = highRisk(&c.Facts, s.HighRisk)
	highValue, until := op.highValue(&c.Purchases, env.Model, &c.Facts, s.Quadrant.HighValue())
	wake(c, until)
	from, to := s.Quadrant, sides{highValue, s.HighRisk}.quadrant()
	if to == from {
		return
	}
	if dwelt := s.Since + operators.EventTime(op.config.DwellMs); from != operators.NoQuadrant && in.At < dwelt {
		wake(c, dwelt)
		return
	}
	s.Quadrant, s.Since = to, in.At
	out.Segment(operators.SegmentChange{
		Dimension: operators.QuadrantDimension, From: from.String(), To: to.String(), Facts: c.Facts, Reasons: op.Reasons(&c.Purchases, env.Model, &c.Facts, s),
	})
}

// highValue returns the side of the line of value that a customer of these facts is on, who was on side was before, and, of who is between its two bounds and stays of high value, the instant at which silence
// takes them to the lower one; Never for all others, of whom score knows the instant if there is one.
func (op *Operator) highValue(p *operators.Purchases, m *operators.Model, f *operators.Facts, was bool) (high bool, until operators.EventTime) {
	if f.HighValue || !was {
		return f.HighValue, operators.Never
	}
	if until = op.scores.Reaches(p, m, operators.CLV, op.terms.HighValueEnds(m)); f.AsOf < until {
		return true, until
	}
	return false, operators.Never
}

// highRisk returns the side of the risk line that a customer of these facts is on, who was on side was before; false for who is new.
func highRisk(f *operators.Facts, was bool) bool {
	switch {
	case f.AsOf >= f.HighRiskAt:
		return true
	case f.AsOf < f.LowRiskUntil:
		return false
	}
	return was
}

// sides are those of the lines of value and risk that a customer is on.
type sides struct{ highValue, highRisk bool }

func (s sides) quadrant() operators.Quadrant {
	switch {
	case s.highValue && s.highRisk:
		return operators.Save
	case s.highValue:
		return operators.Advocate
	case s.highRisk:
		return operators.Efficiency
	}
	return operators.Nurture
}

// Reasons tells in words why a customer is in their quadrant, by facts of the silence since they were placed there.
func (op *Operator) Reasons(p *operators.Purchases, m *operators.Model, f *operators.Facts, s *operators.Segment) []string {
	high, _ := op.highValue(p, m, f, s.Quadrant.HighValue())
	return []string{p.Habit(f), op.terms.FormatValue(f, m, high), op.riskReason(f, highRisk(f, s.HighRisk))}
}

func (op *Operator) riskReason(f *operators.Facts, high bool) string {
	risk, from := operators.FormatRisk(f.Risk()), operators.FormatThreshold(op.terms.HighRisk)
	if high {
		return "churn risk " + risk + ": high from " + from + " on, until back under " + operators.FormatThreshold(op.terms.LowRisk)
	}
	if op.terms.ExactRisk {
		risk = operators.FormatRiskUnder(f.Risk(), op.terms.HighRisk)
	}
	return "churn risk " + risk + ": low until it reaches " + from
}
