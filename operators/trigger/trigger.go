// Package trigger makes triggers, the calls to act: who is about to be lost, at the instant at which silence makes it so.
package trigger

import (
	"fmt"

	"lull/operators"
)

// ChurnRisk is the name of the rule that fires when the churn risk of a silent customer reaches Terms.HighRisk.
const ChurnRisk = "churn_risk"

// The sides of the line of ChurnRisk.
const (
	lowRisk  = "low_risk"
	highRisk = "high_risk"
)

// RulesMax is how many rules there may be.
const RulesMax = 32

// Why a trigger is not actionable.
const (
	// Returned: the customer has come back before anybody could know.
	Returned = "returned"
	// Stale: the deadline passed too long ago, as when history is replayed.
	Stale = "stale"
	// Withdrawal: it takes back an earlier trigger.
	Withdrawal = "withdrawal"
)

// Config says which triggers are acted on.
type Config struct {
	// MaxAgeMs is how far behind Env.Now a trigger's deadline may lie, in milliseconds, before the trigger is stale. The default is
	// 86,400,000 (24 h).
	MaxAgeMs int64
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (c *Config) EnsureDefaults() {
	if c.MaxAgeMs == 0 {
		c.MaxAgeMs = operators.DayMs
	}
}

// Validate returns an error that names the field, its value and the rule it breaks.
func (c *Config) Validate() error {
	if c.MaxAgeMs < 1 || c.MaxAgeMs > 366*operators.DayMs {
		return fmt.Errorf("trigger: MaxAgeMs is %d; it must be 1 to %d (366 days)", c.MaxAgeMs, int64(366*operators.DayMs))
	}
	return nil
}

// Scores are who evaluates customers.
type Scores interface {
	// Evaluate returns the facts at an instant of a customer with these purchases, of which there are some, and none after the instant.
	Evaluate(p *operators.Purchases, m *operators.Model, at operators.EventTime) operators.Facts
}

// Operator keeps Customer.Rules.
type Operator struct {
	config Config
	terms  operators.Terms
	scores Scores
	key    uint16 // of ChurnRisk
}

// New returns the operator; the config is complete and valid. The terms are those of the scores that it judges, and scores who makes them.
func New(config Config, terms operators.Terms, scores Scores) *Operator {
	return &Operator{config, terms, scores, operators.RuleKey(ChurnRisk)}
}

// Name returns "trigger".
func (*Operator) Name() string { return "trigger" }

// Deadline returns Never: score wakes the customer at every instant at which a rule can fire.
func (*Operator) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

// Step fires the churn-risk rule once for each silence that reaches the threshold, and withdraws what a late fact disproves.
//
// It may find the threshold reached without a deadline: a cancelled order, or a model, can put the crossing into the past. That is a crossing
// like any other, and its age decides whether to act.
func (op *Operator) Step(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	op.forget(c, in)
	if !c.Changed.Score {
		return
	}
	op.withdraw(env, c, in, out)
	f := &c.Facts
	state := c.Rule(op.key)
	switch {
	case !c.Score.Scored:
		state.Held = false
	case f.BornHighRisk:
		state.Held = true
	case f.AsOf < f.LowRiskUntil:
		state.Held = false
	case f.AsOf >= f.HighRiskAt && !state.Held:
		withheld := op.withheld(env, in, f.HighRiskAt)
		id := out.Trigger(operators.Trigger{
			Rule: ChurnRisk, From: lowRisk, To: highRisk, Deadline: f.HighRiskAt, Actionable: withheld == "", Withheld: withheld, Facts: *f, Reasons: op.reasons(c),
		})
		state = operators.RuleState{Key: op.key, Held: true, Sent: true, Deadline: f.HighRiskAt, At: in.At, ID: id}
	}
	c.SetRule(state)
}

// withheld returns why nobody should act on a trigger with this deadline, "" if somebody should.
func (op *Operator) withheld(env *operators.Env, in *operators.Input, deadline operators.EventTime) string {
	switch {
	case in.Returned:
		return Returned
	case deadline+operators.EventTime(op.config.MaxAgeMs) < env.Now:
		return Stale
	}
	return ""
}

// whatIf tells what the risk would be after an order now, and when it will be that of somebody dormant.
func (op *Operator) whatIf(c *operators.Customer) string {
	f := &c.Facts
	text := "an order now: churn risk " + operators.FormatRisk(f.Risk()) + " -> " + operators.FormatRisk(f.RiskAfterOrder)
	if f.DormantAt != operators.Never && f.DormantAt > f.AsOf {
		text += "; silent until " + f.DormantAt.String() + ": " + operators.FormatThreshold(op.terms.DormantRisk)
	}
	return text
}

func (op *Operator) reasons(c *operators.Customer) []string {
	f := &c.Facts
	return []string{
		c.Purchases.Habit(f),
		"churn risk reached " + operators.FormatThreshold(op.terms.HighRisk) + " at " + f.HighRiskAt.String(),
		"value about to be lost within " + operators.FormatDays(op.terms.ContactDays) + ": " + op.terms.FormatAmount(f.AboutToBeLost),
		op.whatIf(c),
	}
}
