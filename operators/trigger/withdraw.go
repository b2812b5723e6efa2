package trigger

import (
	"slices"

	"lull/operators"
)

// doubtMs is how long a trigger can be withdrawn: seven days. Facts come at any age; but who acts on a trigger has done so by then.
const doubtMs = 7 * operators.DayMs

// forget lets go of triggers that are past doubt: those of long ago, and those that an earlier model made, of whose instants the one in force says something else.
func (op *Operator) forget(c *operators.Customer, in *operators.Input) {
	c.Rules = slices.DeleteFunc(c.Rules, func(s operators.RuleState) bool { return s.Sent && !s.Held && past(&s, in) })
	for i := range c.Rules {
		if s := &c.Rules[i]; s.Sent && past(s, in) {
			*s = operators.RuleState{Key: s.Key, Held: true}
		}
	}
}

// past reports whether what the rule has sent is past doubt.
func past(s *operators.RuleState, in *operators.Input) bool {
	return in.Kind == operators.ModelInput || in.At > s.At+doubtMs
}

// withdraw takes back what an event disproves that happened before a trigger's deadline and has come to be known only now. The rule is armed, as if it had never fired.
//
// An event at the deadline itself disproves nothing: silence lasted until then.
func (op *Operator) withdraw(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	state := c.Rule(op.key)
	if !state.Sent || in.Kind != operators.EventInput || in.Event.Time >= state.Deadline {
		return
	}
	p, known := before(c, state.Deadline)
	if !known {
		return
	}
	reason := "with it, no purchase is left at " + state.Deadline.String()
	if p.Count > 0 {
		f := op.scores.Evaluate(&p, env.Model, state.Deadline)
		if f.HighRiskAt == state.Deadline && !f.BornHighRisk {
			return
		}
		reason = "with it, churn risk reaches " + operators.FormatThreshold(op.terms.HighRisk) + " at " + f.HighRiskAt.String() + ", not at " + state.Deadline.String()
	}
	out.Trigger(operators.Trigger{
		Rule: ChurnRisk, From: highRisk, To: lowRisk, Deadline: state.Deadline, Withheld: Withdrawal, Withdraws: state.ID, Facts: c.Facts,
		Reasons: []string{"an event of " + in.Event.Time.String() + " has come to be known only now: " + in.Event.Kind.String(), reason},
	})
	c.SetRule(operators.RuleState{Key: state.Key})
}

// before returns the customer's purchases without the orders at or after an instant; known is false if what is kept at hand does not tell. Of a refund or cancellation
// the ledger does not say when it was: it counts.
func before(c *operators.Customer, at operators.EventTime) (p operators.Purchases, known bool) {
	p = c.Purchases
	orders := c.Ledger.Orders
	from := len(orders)
	for from > 0 && orders[from-1].Time >= at {
		from--
	}
	if from == len(orders) {
		return p, true
	}
	if from == 0 && c.Ledger.Archived > 0 {
		return p, false
	}
	days := slices.Clone(c.Days.Newest)
	for i := len(orders) - 1; i >= from; i-- {
		made := orders[i].Contribution()
		if !made.Counts {
			continue
		}
		n := slices.IndexFunc(days, func(d operators.PurchaseDay) bool { return d.Day == made.Day })
		if n < 0 {
			return p, false
		}
		days[n].Orders--
		p.Orders--
		p.Net -= made.Net
		if made.Day == p.First {
			p.FirstNet -= made.Net
		}
		if days[n].Orders == 0 {
			days = slices.Delete(days, n, n+1)
			p.Count--
		}
	}
	switch {
	case p.Count == 0:
		return operators.Purchases{}, true
	case len(days) == 0:
		return p, false
	}
	p.Last = days[len(days)-1].Day
	return p, true
}
