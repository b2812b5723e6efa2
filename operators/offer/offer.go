// Package offer answers the offers that are proposed to keep a customer: accepted, or rejected, with the arithmetic.
//
// An offer may cost as much as the customer's ceiling (operators.OfferCeiling), at the instant of the event. If it names a purpose, consent to that must have been given.
package offer

import "lull/operators"

// Scores evaluate customers with purchases.
type Scores interface {
	// Evaluate returns the facts at an instant.
	Evaluate(p *operators.Purchases, m *operators.Model, at operators.EventTime) operators.Facts
	// Ceiling returns the ceiling of who has these facts.
	Ceiling(p *operators.Purchases, m *operators.Model, f *operators.Facts) operators.OfferCeiling
}

// Operator answers offers. It remembers nothing: every event is answered, of a repeat dedup lets nothing through.
type Operator struct {
	terms  operators.Terms
	scores Scores
}

// New returns the operator. The terms are those of the scores.
func New(terms operators.Terms, scores Scores) *Operator { return &Operator{terms, scores} }

// Name returns "offer".
func (*Operator) Name() string { return "offer" }

// Deadline returns Never: nobody waits for an answer.
func (*Operator) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

// Step answers an offer_proposed event.
func (op *Operator) Step(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	if in.Kind != operators.EventInput || in.Event.Kind != operators.OfferProposed {
		return
	}
	e := in.Event
	at := max(in.At, e.Time) // who proposes says nothing of the customer's time, which may be further behind
	a := &operators.OfferAnswer{OfferID: e.Subject, Amount: e.Amount, Purpose: e.Name}
	if a.Purpose != "" {
		a.Consent, a.ConsentKnown = c.Consent(a.Purpose)
	}
	predicted := c.Purchases.Count > 0 && env.Model != nil
	if predicted {
		a.Facts = op.scores.Evaluate(&c.Purchases, env.Model, at)
		a.Ceiling = op.scores.Ceiling(&c.Purchases, env.Model, &a.Facts)
	}
	switch {
	case a.Purpose != "" && !a.Consent.Given:
		a.Reason = operators.OfferNoConsent
	case c.Purchases.Count == 0:
		a.Reason = operators.OfferNoPurchase
	case !predicted:
		a.Reason = operators.OfferNoModel
	case a.Amount > a.Ceiling.Ceiling:
		a.Reason = operators.OfferAboveCeiling
	default:
		a.Accepted, a.Reason = true, operators.OfferWithinCeiling
	}
	a.Reasons = append(a.Reasons, op.verdict(a))
	if a.Purpose != "" {
		a.Reasons = append(a.Reasons, consentReason(a))
	}
	if predicted {
		a.Reasons = append(a.Reasons, a.Ceiling.Reasons(&op.terms)...)
		a.Reasons = append(a.Reasons, c.Purchases.Habit(&a.Facts))
	}
	out.Offer(at, a)
}

func (op *Operator) verdict(a *operators.OfferAnswer) string {
	amount, ceiling := op.terms.FormatMoney(a.Amount), op.terms.FormatMoney(a.Ceiling.Ceiling)
	switch a.Reason {
	case operators.OfferNoConsent:
		return amount + " rejected: no consent to " + a.Purpose
	case operators.OfferNoPurchase:
		return amount + " rejected: the customer has no purchase, of such nothing is predicted"
	case operators.OfferNoModel:
		return amount + " rejected: no model is in force yet, nothing is predicted"
	case operators.OfferAboveCeiling:
		return amount + " rejected: " + op.terms.FormatMoney(a.Amount-a.Ceiling.Ceiling) + " above the ceiling of " + ceiling
	}
	return amount + " accepted: at most the ceiling of " + ceiling
}

func consentReason(a *operators.OfferAnswer) string {
	switch {
	case !a.ConsentKnown:
		return "of consent to " + a.Purpose + " nothing is known, which counts as not given"
	case !a.Consent.Given:
		return "consent to " + a.Purpose + " withdrawn at " + operators.FormatInstant(a.Consent.Time) + proof(a)
	}
	return "consent to " + a.Purpose + " given at " + operators.FormatInstant(a.Consent.Time) + proof(a)
}

func proof(a *operators.OfferAnswer) string {
	if a.Consent.Proof == "" {
		return ""
	}
	return ", proof " + a.Consent.Proof
}
