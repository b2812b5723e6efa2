package trigger

import "lull/operators"

// since returns the instant at which the condition of a rule that fires at an input became true, and whether silence made it so. An event that comes late is told as if it had come in time: the instant is that of silence, of an
// order, which can be before a late one that has kept the condition true, or of an event that is no order; where the orders that are kept at hand do not reach back to it, the first at which they tell that the condition held.
// What segments were in the past is not kept: they are as they are found.
func (op *Operator) since(r *Rule, s *sight, c *operators.Customer, m *operators.Model, in *operators.Input) (at operators.EventTime, inSilence bool) {
	if r.steps {
		return in.At, false
	}
	if at, inSilence = s.became(r.when, in.At); inSilence || in.Kind != operators.EventInput {
		return at, inSilence
	}
	from := in.Event.Time // when a refund was is not kept: before it nothing is known
	if in.Event.Kind == operators.OrderCompleted && from < in.At {
		from = operators.Unset
	}
	orders := c.Ledger.Orders
	for i := len(orders) - 1; i >= 0 && orders[i].Time > from; i-- {
		by := min(orders[i].Time, in.At) // it may be dated ahead
		then, known := op.asOf(c, m, orders[i].Time, by-1)
		if !known || then == nil || !then.holds(r.when, by-1) {
			return by, false
		}
		if at, inSilence = then.became(r.when, by-1); inSilence {
			return at, true
		}
	}
	return min(in.Event.Time, in.At), false
}

// heldBack reports whether a rule's hold held at an instant of the past, or until then: a customer is held by it who comes in order, and nothing is told.
func (op *Operator) heldBack(r *Rule, c *operators.Customer, m *operators.Model, at operators.EventTime) bool {
	if r.hold == nil {
		return false
	}
	holds := func(without, at operators.EventTime) bool {
		then, known := op.asOf(c, m, without, at)
		return known && then != nil && then.holds(r.hold, at)
	}
	return holds(at+1, at) || holds(at, at-1)
}

// asOf returns what is seen at an instant of the customer without the orders from another on; nil if they have no purchase then. known is false if what is kept at hand does not tell.
func (op *Operator) asOf(c *operators.Customer, m *operators.Model, without, at operators.EventTime) (s *sight, known bool) {
	p, known := c.PurchasesBefore(without)
	if !known || p.Count == 0 {
		return nil, known
	}
	f := op.scores.Evaluate(&p, m, at)
	return &sight{atoms: op.config.Rules.atoms, view: view{p: &p, f: &f, m: m, terms: &op.terms, scores: op.scores}}, true
}
