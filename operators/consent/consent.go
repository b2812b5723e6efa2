// Package consent keeps what a customer has consented to, purpose by purpose.
//
// What was stated last holds, by event time, then by the hash of the message id: in any arrival order, however late, and a statement made again changes
// nothing. A purpose of which nothing was stated is not consented to.
package consent

import (
	"cmp"
	"fmt"

	"lull/operators"
)

// Config says how much is kept.
type Config struct {
	// PurposesMax is the number of purposes that consent is kept of, given or withdrawn. An event that names one more is rejected with reason
	// "purpose_limit". The default is 16.
	PurposesMax int
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (c *Config) EnsureDefaults() {
	if c.PurposesMax == 0 {
		c.PurposesMax = 16
	}
}

// Validate returns an error that names the field, its value and the rule it breaks.
func (c *Config) Validate() error {
	if c.PurposesMax < 1 || c.PurposesMax > 256 {
		return fmt.Errorf("consent: PurposesMax is %d; it must be 1 to 256", c.PurposesMax)
	}
	return nil
}

// Operator applies the events of consent.
type Operator struct{ config Config }

// New returns the operator; the config is complete and valid.
func New(config Config) *Operator { return &Operator{config} }

// Name returns "consent".
func (*Operator) Name() string { return "consent" }

// Deadline returns Never: silence neither gives consent nor withdraws it.
func (*Operator) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

// Step applies an event of consent, unless a later one of its purpose is known.
func (op *Operator) Step(_ *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	if in.Kind != operators.EventInput || !in.Event.Kind.OfConsent() {
		return
	}
	e := in.Event
	held, known := c.Consent(e.Subject)
	if !known && len(c.Consents) >= op.config.PurposesMax {
		out.Reject("purpose_limit", fmt.Sprintf("consent is known of %d purposes, the limit: raise limits.purposes, or mend what names a purpose for each event; until then it is not given", op.config.PurposesMax))
		return
	}
	if known && cmp.Or(cmp.Compare(e.Time, held.Time), cmp.Compare(operators.Hash64(e.ID), operators.Hash64(held.Event))) <= 0 {
		return
	}
	c.SetConsent(operators.Consent{Purpose: e.Subject, Given: e.Kind == operators.ConsentGiven, Time: e.Time, Event: e.ID, Proof: e.Proof})
}
