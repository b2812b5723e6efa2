// Package trigger makes triggers, the calls to act: who is about to be lost, at the instant at which silence makes it so.
package trigger

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"lull/operators"
)

// Why a trigger is not actionable, in the order in which it is said.
const (
	// Withdrawal: it takes back an earlier trigger.
	Withdrawal = "withdrawal"
	// Returned: the customer has come back before anybody could know.
	Returned = "returned"
	// Stale: the deadline passed too long ago, as when history is replayed.
	Stale = "stale"
	// Shadow: the rule's stage does not reach the customer.
	Shadow = "shadow"
	// Control: the customer is of the rule's control group.
	Control = "control"
	// NoConsent: the customer has not consented to the rule's purpose.
	NoConsent = "consent"
	// Cooldown: the rule has made a trigger of the customer of late.
	Cooldown = "cooldown"
	// Cap: the rule has called for as many as it may on that day.
	Cap = "cap"
)

// Config says which triggers there are, and which are acted on.
type Config struct {
	// Rules are the rules; nil, the default, for DefaultRules.
	Rules *Rules
	// MaxAgeMs is how far behind Env.Now a trigger's deadline may lie, in milliseconds, before the trigger is stale. The default is
	// 86,400,000 (24 h).
	MaxAgeMs int64
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (c *Config) EnsureDefaults() {
	if c.Rules == nil {
		c.Rules = DefaultRules()
	}
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

// Scores are who evaluates customers, all of whom have purchases, and none after the instant.
type Scores interface {
	// Evaluate returns the facts at an instant.
	Evaluate(p *operators.Purchases, m *operators.Model, at operators.EventTime) operators.Facts
	// Reaches returns the instant at which silence since the last purchase takes a measure to a bound.
	Reaches(p *operators.Purchases, m *operators.Model, what operators.Measure, bound float64) operators.EventTime
	// RiskAfterPurchase returns what churn risk is right after one more purchase.
	RiskAfterPurchase(p *operators.Purchases, m *operators.Model) float64
	// NextPurchase returns the days within which the next purchase comes with probability q, if there is one.
	NextPurchase(p *operators.Purchases, m *operators.Model, at operators.EventTime, q float64) float64
	// Moment returns measures at an instant of the silence since the last purchase, the numbers that Evaluate finds, and what bounds their course.
	Moment(p *operators.Purchases, m *operators.Model, at operators.EventTime, of operators.Measures) operators.Moment
	// FindSlopes adds to two moments what bounds their slopes between these.
	FindSlopes(p *operators.Purchases, m *operators.Model, of operators.Measures, a, b *operators.Moment)
	// Enclose returns bounds of a measure throughout the silence between two moments.
	Enclose(a, b *operators.Moment, what operators.Measure) operators.Enclosure
	// Ceiling returns the most that may be offered.
	Ceiling(p *operators.Purchases, m *operators.Model, f *operators.Facts) operators.OfferCeiling
}

// Segments are who places customers in segments.
type Segments interface {
	// Possible returns where customers can have stood at an instant who have these purchases, none of them after it. The past is that before what moved them: a purchase, if
	// bought is set, else silence.
	Possible(p *operators.Purchases, m *operators.Model, at operators.EventTime, past operators.Past, bought bool) []operators.Segment
}

// Operator keeps Customer.Rules and RulesNext.
type Operator struct {
	config   Config
	terms    operators.Terms
	scores   Scores
	segments Segments
}

// New returns the operator; the config is complete and valid. The terms are those of the scores and segments that it judges, which scores and segments make.
func New(config Config, terms operators.Terms, scores Scores, segments Segments) *Operator {
	return &Operator{config, terms, scores, segments}
}

// Name returns "trigger".
func (*Operator) Name() string { return "trigger" }

// Deadline returns the next instant at which silence alone changes where the customer stands with a rule. There score evaluates them.
func (*Operator) Deadline(c *operators.Customer) (operators.EventTime, operators.Release) {
	return c.RulesNext, operators.BySilence
}

// Step withdraws what a late fact disproves, and lets the rules fire whose conditions have become true.
//
// A condition may be found true without a deadline: an event, or a model, makes it true; or shows that silence, or an event, made it true in the past. That is a crossing like any other, and its
// age decides whether to act.
func (op *Operator) Step(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	op.forget(c, in)
	goesOn := !c.Changed.Score && c.RulesOpen && c.RulesNext <= in.At && env.Model != nil
	if !c.Changed.Score && !goesOn {
		return
	}
	s := sight{atoms: op.config.Rules.atoms, view: view{p: &c.Purchases, f: &c.Facts, m: env.Model, terms: &op.terms, scores: op.scores, segment: &c.Segment, customer: c}}
	if goesOn {
		op.lookOn(&s, c, in.At)
		return
	}
	c.RulesNext, c.RulesOpen = operators.Never, false
	if in.NewTerms {
		c.Rules = slices.DeleteFunc(c.Rules, func(s operators.RuleState) bool { return !op.has(s.Key) })
	}
	rules := op.config.Rules.Rules
	for i := range rules {
		r := &rules[i]
		state := c.Rule(r.key)
		was := state
		if state.Sent && in.Kind == operators.EventInput {
			op.withdraw(r, &state, &s, env, c, in, out)
		}
		if c.Score.Scored {
			op.judge(r, &state, &s, env, c, in, out)
		} else {
			state.Held = false
		}
		if state != was {
			c.SetRule(state)
		}
	}
}

func (op *Operator) has(key uint16) bool {
	return slices.ContainsFunc(op.config.Rules.Rules, func(r Rule) bool { return r.key == key })
}

// judge takes a rule to where the customer stands with it, and finds the next instant at which silence alone changes that.
func (op *Operator) judge(r *Rule, state *operators.RuleState, s *sight, env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	switch s.moves(r, state.Held, in.At) {
	case fires:
		state.Held = true
		if in.NewTerms { // nobody is called because the rules are others
			break
		}
		deadline, inSilence := op.since(r, s, c, env.Model, in)
		// It has been true since the deadline: a trigger that stands, and is of then or later, has told so.
		toldOf := state.Sent && deadline <= state.Deadline
		if late := in.Kind == operators.EventInput && in.Event.Time < in.At; late && !r.steps && (toldOf || op.heldBack(r, c, env.Model, deadline)) {
			break
		}
		// Nor because there are scores at all.
		if inSilence || !c.Changed.FirstScore || in.Kind != operators.ModelInput {
			op.send(r, state, s, deadline, inSilence, env, c, in, out)
		}
	case holds:
		state.Held = true
	case arms:
		state.Held = false
	}
	s.next(r, state.Held, c, in.At)
}

// lookOn goes on with the search for the next instant at which silence changes where the customer stands with a rule. Up to this one nothing has changed: nothing is told.
func (op *Operator) lookOn(s *sight, c *operators.Customer, at operators.EventTime) {
	f := op.scores.Evaluate(s.p, s.m, at)
	s.f = &f
	c.RulesNext, c.RulesOpen = operators.Never, false
	rules := op.config.Rules.Rules
	for i := range rules {
		s.next(&rules[i], c.Rule(rules[i].key).Held, c, at)
	}
}

// next brings the customer's RulesNext forward to where silence after an instant changes something of a rule.
func (s *sight) next(r *Rule, held bool, c *operators.Customer, after operators.EventTime) {
	for known := (turn{c.RulesNext, c.RulesOpen}); ; {
		next := s.turn(r.when, after)
		for _, other := range [...]*condition{r.hold, r.until} {
			if t := s.turn(other, after); t.before(next) {
				next = t
			}
		}
		if !next.before(known) {
			return
		}
		if next.open || s.moves(r, held, next.at) != stays {
			c.RulesNext, c.RulesOpen = next.at, next.open
			return
		}
		if r.searches { // from there, if the customer is silent until then
			c.RulesNext, c.RulesOpen = next.at, true
			return
		}
		after = next.at
	}
}

// move is what becomes of a rule at an instant.
type move uint8

const (
	stays move = iota
	fires
	holds
	arms
)

// moves returns what becomes of a rule at an instant that is held or armed before it.
func (s *sight) moves(r *Rule, held bool, at operators.EventTime) move {
	if r.hold != nil && s.holds(r.hold, at) {
		if held {
			return stays
		}
		return holds
	}
	when := s.holds(r.when, at)
	switch {
	case held && !when && (r.until == nil || s.holds(r.until, at)):
		return arms
	case !held && when:
		return fires
	}
	return stays
}

// send tells of a rule that has fired, its condition being true since the deadline, by silence or not.
func (op *Operator) send(r *Rule, state *operators.RuleState, s *sight, deadline operators.EventTime, inSilence bool, env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	withheld := op.withheld(r, state, env, c, in, deadline)
	id := out.Trigger(operators.Trigger{
		Rule: r.Name, Version: r.Version, From: r.From, To: r.To, Deadline: deadline, Actionable: withheld == "", Withheld: withheld, Facts: c.Facts, Used: r.usedOf(s),
		Reasons: op.reasons(r, s, deadline, c), Counterfactuals: Counterfactuals(&c.Facts, &op.terms), Ceiling: op.scores.Ceiling(&c.Purchases, env.Model, &c.Facts),
		Severity: r.Severity.String(), Action: r.Action, Control: r.inControl(c.ID), Purpose: r.Consent, Consent: r.proof(c), Priority: r.priority.of(s.view),
		Capped: withheld == "" && r.CapPerDay > 0,
	})
	// Whether a trigger was noticed in time, or first, says nothing here: states hang on what happened to the customer alone.
	if r.CooldownMs > 0 && !r.cooling(state, deadline) && !r.spared(c) {
		state.Cooling, state.Cooled = true, deadline
	}
	byEvent := in.Kind == operators.EventInput && (deadline == in.At || !inSilence)
	// Of an event that was late itself nobody knows afterwards what had changed by it.
	if !r.steps || !byEvent || in.Event.Time == in.At {
		state.Sent, state.Deadline, state.At, state.ByEvent, state.ID = true, deadline, in.At, byEvent, id
	}
}

// withheld returns why nobody should act on a trigger with this deadline, "" if somebody should.
func (op *Operator) withheld(r *Rule, state *operators.RuleState, env *operators.Env, c *operators.Customer, in *operators.Input, deadline operators.EventTime) string {
	switch {
	case in.Returned:
		return Returned
	case deadline+operators.EventTime(op.config.MaxAgeMs) < env.Now:
		return Stale
	case r.inShadow(c.ID):
		return Shadow
	case r.inControl(c.ID):
		return Control
	case !r.consented(c):
		return NoConsent
	case r.cooling(state, deadline):
		return Cooldown
	case env.Calls != nil && r.spent(env.Calls, deadline):
		return Cap
	}
	return ""
}

// spent reports whether the rule has made all calls that are its task's on the day of a deadline.
func (r *Rule) spent(calls *operators.Calls, deadline operators.EventTime) bool {
	if r.CapPerDay == 0 {
		return false
	}
	day := calls.Day(deadline)
	return calls.Of(r.key, day) >= r.Share(calls.Partition, calls.Partitions, day)
}

// Share returns how many of the calls that the rule may make on a day are a partition's. The shares of all partitions sum to CapPerDay, and differ by one at most; who has the larger ones moves on by a
// partition each day, and begins elsewhere for each rule.
func (r *Rule) Share(partition, partitions int, day operators.Day) int {
	n := int64(partitions)
	place := (int64(partition) + int64(r.key) + int64(day) + n) % n
	return int((place+1)*int64(r.CapPerDay)/n - place*int64(r.CapPerDay)/n)
}

// cooling reports whether a deadline lies in the rule's cool-down.
func (r *Rule) cooling(state *operators.RuleState, deadline operators.EventTime) bool {
	return state.Cooling && deadline < state.Cooled+operators.EventTime(r.CooldownMs)
}

// spared reports whether nobody acts on the rule's triggers of this customer anyway.
func (r *Rule) spared(c *operators.Customer) bool {
	return r.inShadow(c.ID) || r.inControl(c.ID) || !r.consented(c)
}

func (r *Rule) consented(c *operators.Customer) bool { return r.Consent == "" || r.proof(c) != "" }

// proof refers to what proves the customer's consent to the rule's purpose, "" if there is none.
func (r *Rule) proof(c *operators.Customer) string {
	if consent, known := c.Consent(r.Consent); known && consent.Given {
		return cmp.Or(consent.Proof, consent.Event)
	}
	return ""
}

// usedOf returns the facts that the rule speaks of.
func (r *Rule) usedOf(s *sight) []operators.FactUsed {
	used := make([]operators.FactUsed, len(r.used))
	for i, f := range r.used {
		used[i] = operators.FactUsed{Name: f.Name, Value: f.value(s.view)}
	}
	return used
}

// lot is a number in [0, 1) that is always the same for a rule, a customer and a purpose, and as good as drawn.
func (r *Rule) lot(purpose, customer string) float64 {
	return float64(operators.Hash64(purpose+"\x00"+r.Name+"\x00"+customer)>>11) / (1 << 53)
}

func (r *Rule) inShadow(customer string) bool {
	return r.Stage.Share < 1 && r.lot("stage", customer) >= r.Stage.Share
}

func (r *Rule) inControl(customer string) bool {
	share := r.Control
	if r.Stage.Control {
		share = 0.5
	}
	return share > 0 && r.lot("control", customer) < share
}

// Counterfactuals tell, of a customer of these facts, what the risk would be after an order at their instant, and when it will be the next of the risks that a name stands for.
func Counterfactuals(f *operators.Facts, terms *operators.Terms) []string {
	order := "an order now: churn risk " + operators.FormatRisk(f.Risk()) + " -> " + operators.FormatRisk(f.RiskAfterOrder)
	if f.BoughtToday {
		order = "an order now: churn risk stays " + operators.FormatRisk(f.Risk()) + ", as they have bought today"
	}
	would := []string{order}
	for _, next := range [...]struct {
		at   operators.EventTime
		risk float64
	}{{f.HighRiskAt, terms.HighRisk}, {f.DormantAt, terms.DormantRisk}, {f.LostAt, terms.LostRisk}} {
		if next.at > f.AsOf && next.at != operators.Never {
			return append(would, "silent until "+operators.FormatInstant(next.at)+": churn risk "+operators.FormatThreshold(next.risk))
		}
	}
	return would
}

func (op *Operator) reasons(r *Rule, s *sight, deadline operators.EventTime, c *operators.Customer) []string {
	reasons := append(make([]string, 0, 8), c.Purchases.Habit(&c.Facts))
	reached := s.reached(r.when, deadline)
	if reached != nil && reached.comparison != nil {
		since := " since " + operators.FormatInstant(deadline)
		if !s.compares(slices.IndexFunc(s.atoms, func(a atom) bool { return a.comparison == reached.comparison }), deadline) {
			since = " no longer" + since
		}
		reasons = append(reasons, reached.comparison.source+since)
	}
	decisive := s.decisive(r.when, true, deadline, nil)
	for _, f := range r.used {
		said := ""
		switch {
		case !slices.Contains(decisive, f):
		case reached != nil && reached.comparison != nil:
			said = f.says(s.view)
		case reached != nil && reached.fact == f && f.kind == flag:
			said = "no longer " + f.before + " since " + operators.FormatInstant(deadline)
		case reached != nil && reached.fact == f:
			verb := "reached "
			if f.Silence == Falling {
				verb = "fell to "
			}
			said = spelled(f.noun, &op.terms) + " " + verb + f.threshold(&op.terms, reached.bound(s.view)) + " at " + operators.FormatInstant(deadline)
		case !f.setting:
			said = f.says(s.view)
		}
		if said != "" && !slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(r, said) }) {
			reasons = append(reasons, said)
		}
	}
	return reasons
}

// decisive adds the facts that make a condition hold at an instant, or not hold: of alternatives those of what is so.
func (s *sight) decisive(c *condition, holds bool, at operators.EventTime, found []*fact) []*fact {
	if len(c.facts) > 0 {
		return append(found, c.facts...)
	}
	for i := range c.inside {
		switch inside := &c.inside[i]; {
		case c.op == not:
			found = s.decisive(inside, !holds, at, found)
		case (c.op == and) == holds || s.holds(inside, at) == holds:
			found = s.decisive(inside, holds, at, found)
		}
	}
	return found
}

// reached returns the atom whose instant this is, nil if there is none.
func (s *sight) reached(c *condition, at operators.EventTime) *atom {
	switch {
	case c.op == passed && s.instant(c.atom) == at, c.op == turning && at > s.lastStart() && s.compares(c.atom, at-1) != s.compares(c.atom, at):
		return &s.atoms[c.atom]
	}
	for i := range c.inside {
		if a := s.reached(&c.inside[i], at); a != nil {
			return a
		}
	}
	return nil
}

// threshold writes a bound of the fact as it was set.
func (f *fact) threshold(t *operators.Terms, bound float64) string {
	switch f.Unit {
	case "probability":
		return operators.FormatThreshold(bound)
	case "days":
		return days(t, bound)
	}
	return f.format(t, bound)
}
