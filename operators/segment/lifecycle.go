package segment

import (
	"cmp"

	"lull/operators"
)

// lifecycle moves the customer to the stage that their risk and their purchases make.
func (op *Operator) lifecycle(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	from := c.Segment.Lifecycle
	was, bought := from, c.Changed.Purchase
	if from >= operators.AtRisk && in.Kind == operators.EventInput && in.Event.Kind == operators.OrderCompleted && in.Event.Time < in.At {
		if was, bought = operators.Active, false; op.cameBack(c, env.Model, in) {
			was, bought = operators.AtRisk, true
		}
	}
	to := stage(was, &c.Facts, c.Segment.HighRisk, bought)
	if to == from {
		return
	}
	c.Segment.Lifecycle = to
	out.Segment(operators.SegmentChange{
		Dimension: operators.LifecycleDimension, From: from.String(), To: to.String(), Facts: c.Facts,
		Reasons: []string{c.Purchases.Habit(&c.Facts), op.stageReason(to, c)},
	})
}

// stage returns the stage of a customer with purchases who was in another before; bought is whether an order has made a purchase of its own just now. Who is won back stays that
// until the next one, or until they are at risk again.
func stage(was operators.Lifecycle, f *operators.Facts, highRisk, bought bool) operators.Lifecycle {
	switch {
	case f.AsOf >= f.LostAt:
		return operators.Lost
	case f.AsOf >= f.DormantAt:
		return operators.Dormant
	case highRisk:
		return operators.AtRisk
	case bought && was >= operators.AtRisk && was <= operators.Lost, !bought && was == operators.WonBack:
		return operators.WonBack
	case f.X == 0:
		return operators.New
	}
	return operators.Active
}

func (op *Operator) stageReason(to operators.Lifecycle, c *operators.Customer) string {
	risk := "churn risk " + operators.FormatRisk(c.Facts.Risk())
	switch to {
	case operators.Lost:
		return risk + ": lost from " + operators.FormatThreshold(op.terms.LostRisk) + " on"
	case operators.Dormant:
		return risk + ": dormant from " + operators.FormatThreshold(op.terms.DormantRisk) + " on"
	case operators.AtRisk:
		return risk + ": at risk from " + operators.FormatThreshold(op.terms.HighRisk) + " on, until back under " + operators.FormatThreshold(op.terms.LowRisk)
	case operators.WonBack:
		return cmp.Or(c.Days.Return(), "bought again") + ", having been given up: " + risk
	}
	return risk + ": at risk from " + operators.FormatThreshold(op.terms.HighRisk) + " on"
}
