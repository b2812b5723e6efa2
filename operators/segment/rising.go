package segment

import "lull/operators"

// rising tells when a customer begins to be one of high potential at low spend so far, and when they are not any more. Score knows until when silence leaves them so; who
// would not be for the dwell is not taken in, so that nobody comes and goes.
func (op *Operator) rising(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	until := c.Score.RisingUntil
	was, is := c.Segment.Rising, in.At < until
	if !was && is && until != operators.Never {
		is = until-in.At >= operators.EventTime(op.config.DwellMs)
	}
	if is == was {
		return
	}
	c.Segment.Rising = is
	out.Segment(operators.SegmentChange{
		Dimension: operators.RisingDimension, From: risingName(was), To: risingName(is), Facts: c.Facts,
		Reasons: []string{c.Purchases.Habit(&c.Facts), op.potentialReason(env.Model, c), op.broughtReason(c)},
	})
}

// risingName returns the segment's name on the wire.
func risingName(rising bool) string {
	if rising {
		return "rising"
	}
	return "none"
}

func (op *Operator) potentialReason(m *operators.Model, c *operators.Customer) string {
	cut := op.terms.FormatAmount(m.HighValue)
	switch {
	case c.Segment.Rising:
		return "in nine of ten futures they bring more than the cut of " + cut
	case op.brought(c) >= m.HighValue:
		return "they have brought the cut of " + cut
	}
	return "in more than one of ten futures they bring no more than the cut of " + cut
}

func (op *Operator) broughtReason(c *operators.Customer) string {
	return "margin of " + op.terms.FormatAmount(op.brought(c)) + " so far"
}

// brought returns the margin of all purchases so far, in major units.
func (op *Operator) brought(c *operators.Customer) float64 {
	return float64(c.Purchases.Net) / op.terms.MinorPerMajor() * op.terms.MarginShare
}
