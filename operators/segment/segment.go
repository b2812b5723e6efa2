// Package segment places customers in segments of four dimensions, and tells when they move: the quadrants of value and risk, the groups of RFM scores, the stages of
// the lifecycle, and who is rising.
//
// All of it is decided at instants. Value is high from the model's cut of CLV on, and low again only under Terms.HighValueEnds; risk is high from HighRisk on, and low again only
// under LowRisk. Those lines, and those of the lifecycle, are crossed at instants that score has found and wakes the customer at; but for the lower line of value, at which they are woken here. The side of the
// line of value that a customer is on is that of their quadrant. The score of recency falls at instants of its own, as does the dwell end that keeps a customer in a quadrant for a while.
package segment

import (
	"fmt"

	"lull/operators"
)

// Config says how long customers stay where they are.
type Config struct {
	// DwellMs is how long a customer stays in a quadrant at least, in milliseconds, unless their last purchase goes: what would move them on before does so then, if it
	// still holds. The default is 86,400,000 (24 h); 1 is as good as none.
	DwellMs int64
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (c *Config) EnsureDefaults() {
	if c.DwellMs == 0 {
		c.DwellMs = operators.DayMs
	}
}

// Validate returns an error that names the field, its value and the rule it breaks.
func (c *Config) Validate() error {
	if c.DwellMs < 1 || c.DwellMs > 366*operators.DayMs {
		return fmt.Errorf("segment: DwellMs is %d; it must be 1 to %d (366 days)", c.DwellMs, int64(366*operators.DayMs))
	}
	return nil
}

// Operator keeps Customer.Segment.
type Operator struct {
	config Config
	terms  operators.Terms
	scores Evaluator
}

// New returns the operator; the config is complete and valid. The terms are those of the scores that it judges, and scores who makes them.
func New(config Config, terms operators.Terms, scores Evaluator) *Operator {
	return &Operator{config, terms, scores}
}

// Name returns "segment".
func (*Operator) Name() string { return "segment" }

// Deadline returns the next instant at which time alone changes a segment. The upper line of value and those of risk are score's, which wakes the customer at them.
func (*Operator) Deadline(c *operators.Customer) (operators.EventTime, operators.Release) {
	return c.Segment.Next, operators.BySilence
}

// Step places the customer anew when they have been scored, and when they are heard of for the first time. Who is heard of by an order is no prospect, nor by the refund
// of one that is still on its way.
func (op *Operator) Step(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	switch {
	case c.Changed.Score && c.Score.Scored:
		c.Segment.Next = operators.Never
		op.quadrant(env, c, in, out)
		op.rfm(env, c, in, out)
		op.lifecycle(env, c, in, out)
		op.rising(env, c, in, out)
	case c.Changed.Score:
		op.withoutPurchase(c, out, "no purchase left: every order has been cancelled")
	case c.Segment.Lifecycle == operators.NoLifecycle && c.Purchases.Count == 0 && in.Kind == operators.EventInput && !in.Event.Kind.OfOrder():
		op.withoutPurchase(c, out, "heard of for the first time, by "+in.Event.Kind.String())
	}
}

// withoutPurchase makes the customer a prospect.
func (op *Operator) withoutPurchase(c *operators.Customer, out *operators.Outbox, reason string) {
	was := c.Segment
	c.Segment = operators.Segment{RFMGroup: operators.Prospects, Lifecycle: operators.Prospect, Next: operators.Never}
	tell := func(d operators.Dimension, from, to string) {
		if from != to {
			out.Segment(operators.SegmentChange{Dimension: d, From: from, To: to, Reasons: []string{reason}})
		}
	}
	tell(operators.QuadrantDimension, was.Quadrant.String(), c.Segment.Quadrant.String())
	tell(operators.RFMDimension, was.RFMGroup.String(), c.Segment.RFMGroup.String())
	tell(operators.LifecycleDimension, was.Lifecycle.String(), c.Segment.Lifecycle.String())
	tell(operators.RisingDimension, risingName(was.Rising), risingName(c.Segment.Rising))
}

// wake asks for the customer at an instant, if nothing comes before.
func wake(c *operators.Customer, at operators.EventTime) { c.Segment.Next = min(c.Segment.Next, at) }
