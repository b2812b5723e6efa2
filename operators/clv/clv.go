// Package clv assembles the product: the one chain of operators that live processing, backfill and simulation all run.
package clv

import (
	"lull/operators"
	"lull/operators/dedup"
	"lull/operators/orders"
	"lull/operators/rfm"
	"lull/operators/score"
	"lull/operators/segment"
	"lull/operators/session"
	"lull/operators/trigger"
)

// Config is the configuration of the operators. Each setting stands once: the thresholds of risk, which segments and triggers judge by, are
// those of Score.
type Config struct {
	Dedup   dedup.Config
	Session session.Config
	Orders  orders.Config
	RFM     rfm.Config
	Score   score.Config
	Trigger trigger.Config
}

// part is the config of one operator.
type part interface {
	EnsureDefaults()
	Validate() error
}

// parts returns the configs of the operators, in the order of the chain.
func (c *Config) parts() []part {
	return []part{&c.Dedup, &c.Session, &c.Orders, &c.RFM, &c.Score, &c.Trigger}
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (c *Config) EnsureDefaults() {
	for _, part := range c.parts() {
		part.EnsureDefaults()
	}
}

// Validate returns an error that names the operator, the field, its value and the rule it breaks.
func (c *Config) Validate() error {
	for _, part := range c.parts() {
		if err := part.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// NewChain returns the chain: facts first, then what follows from them. The config is complete and valid.
func NewChain(c Config) *operators.Chain {
	terms := c.Score.Terms()
	return operators.NewChain(
		dedup.New(c.Dedup),
		session.New(c.Session),
		orders.New(c.Orders),
		rfm.New(c.RFM),
		score.New(c.Score),
		segment.New(terms),
		trigger.New(c.Trigger, terms),
	)
}
