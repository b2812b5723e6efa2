package trigger

import "lull/operators"

// doubtMs is how long a trigger can be withdrawn: seven days. Facts come at any age; but who acts on a trigger has done so by then.
const doubtMs = 7 * operators.DayMs

// forget lets go of what is past: cool-downs of which nobody asks any more, and triggers that are beyond doubt, being of long ago, or made by an earlier model, of whose instants the one in force says
// something else.
func (op *Operator) forget(c *operators.Customer, in *operators.Input) {
	if len(c.Rules) == 0 {
		return
	}
	kept := c.Rules[:0]
	for _, s := range c.Rules {
		if s.Sent && (in.Kind == operators.ModelInput || in.At > s.At+doubtMs) {
			s.Sent, s.ByEvent, s.Deadline, s.At, s.ID = false, false, 0, 0, operators.ID{}
		}
		// A late event can make a trigger whose deadline lies in a cool-down that is over. It is stale in the end; but that goes by the watermark, and a customer may be ahead of it.
		if s.Cooling && in.At >= s.Cooled+op.cooldown(s.Key)+operators.EventTime(op.config.MaxAgeMs)+doubtMs {
			s.Cooling, s.Cooled = false, 0
		}
		if s.Held || s.Sent || s.Cooling {
			kept = append(kept, s)
		}
	}
	c.Rules = kept
}

// cooldown returns the cool-down of a rule, 0 if there is no such rule any more.
func (op *Operator) cooldown(key uint16) operators.EventTime {
	for i := range op.config.Rules.Rules {
		if r := &op.config.Rules.Rules[i]; r.key == key {
			return operators.EventTime(r.CooldownMs)
		}
	}
	return 0
}

// withdraw takes back what an event disproves that happened before a trigger's deadline and has come to be known only now: that the condition held at the deadline. The rule is armed, as if it had never fired.
// Of segments what they were is not kept: what is disproved is that they can have been as the condition says. While only a past that is disproved keeps it so, the rule stays held.
//
// That the condition had held before, too, disproves nothing: who acted on the trigger acted on what was so, and is not to act on it again.
// An event at the deadline itself disproves nothing that silence made: it lasted until then.
func (op *Operator) withdraw(r *Rule, state *operators.RuleState, s *sight, env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	deadline := state.Deadline
	if in.Event.Time >= deadline {
		return
	}
	until := deadline
	if state.ByEvent {
		until++ // the event that made it counts
	}
	then, known := op.asOf(c, env.Model, until, deadline)
	if !known || then != nil && op.wasSo(r, then, state, c) {
		return
	}
	reason := "with it, no purchase is left at " + operators.FormatInstant(deadline)
	if then != nil {
		reason = "with it, this was not so at " + operators.FormatInstant(deadline) + ": " + r.When
		if next := then.turn(r.when, deadline); !r.steps && !then.holds(r.when, deadline) && next.at != operators.Never && !next.open {
			reason += "; in silence it is from " + operators.FormatInstant(next.at) + " on"
		}
	}
	out.Trigger(operators.Trigger{
		Rule: r.Name, Version: r.Version, From: r.To, To: r.From, Deadline: deadline, Withheld: Withdrawal, Withdraws: state.ID, Facts: c.Facts,
		Reasons:  []string{"an event of " + operators.FormatInstant(in.Event.Time) + " has come to be known only now: " + in.Event.Kind.String(), reason},
		Severity: r.Severity.String(), Action: r.Action, Control: r.inControl(c.ID), Purpose: r.Consent,
	})
	if state.Cooling && state.Cooled == deadline {
		state.Cooling, state.Cooled = false, 0
	}
	held := r.steps && c.Score.Scored && s.holds(r.when, in.At) && !op.mayBeSo(r, s, c, in.At, in.At, false)
	state.Held, state.Sent, state.ByEvent, state.Deadline, state.At, state.ID = held, false, false, 0, 0, operators.ID{}
}

// mayBeSo reports whether the customer, as seen at an instant, can be in segments by which the rule's condition holds, to which
// a purchase then, or silence until then, moved them.
func (op *Operator) mayBeSo(r *Rule, s *sight, c *operators.Customer, at, by operators.EventTime, bought bool) bool {
	past, known := c.PastBefore(by)
	if !known {
		return true
	}
	seen := *s
	for _, segment := range op.segments.Possible(s.p, s.m, at, past, bought) {
		seen.segment = &segment
		if seen.fulfils(r, at) {
			return true
		}
	}
	return false
}

// wasSo reports whether a rule's condition held at the deadline of what it has sent, as it is seen then; of segments, whether it can have held.
func (op *Operator) wasSo(r *Rule, then *sight, state *operators.RuleState, c *operators.Customer) bool {
	switch {
	case !r.steps:
		return then.fulfils(r, state.Deadline)
	case !state.ByEvent:
		return op.mayBeSo(r, then, c, state.Deadline, state.Deadline, false)
	}
	// Where it was an order shortly before that moved them, as who has come back by it, what was told of this one is as true.
	for i := len(c.Ledger.Orders) - 1; i >= 0 && c.Ledger.Orders[i].Time > state.Deadline-operators.DayMs; i-- {
		if by := c.Ledger.Orders[i].Time; by <= state.Deadline && op.mayBeSo(r, then, c, state.Deadline, by, true) {
			return true
		}
	}
	return false
}
