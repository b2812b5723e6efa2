// Package dedup drops the events that a customer has sent before, by message id.
//
// Ids are remembered for a window of event time and up to a number; beyond either, a duplicate is applied again. For orders that changes
// nothing (their ledger knows each fact once), other events that old are late and never get here.
package dedup

import (
	"fmt"
	"slices"

	"lull/operators"
)

// Config says how long message ids are remembered.
type Config struct {
	// WindowMs is how far behind the watermark the events lie whose ids are remembered, in milliseconds of event time. The watermark itself
	// lies the allowed lateness behind the highest event time, from which the whole window is therefore lateness + WindowMs. The default is
	// 3,600,000 (1 h).
	WindowMs int64
	// IDsMax is the number of ids remembered of one customer; beyond it the oldest by event time is forgotten first. Ids are compared by
	// 64-bit hashes: the chance that an event is taken for a duplicate of another is at most IDsMax / 2^64, with the default 7e-18, or one
	// event lost in 10^17. The default is 128.
	IDsMax int
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (c *Config) EnsureDefaults() {
	if c.WindowMs == 0 {
		c.WindowMs = 3_600_000
	}
	if c.IDsMax == 0 {
		c.IDsMax = 128
	}
}

// Validate returns an error that names the field, its value and the rule it breaks.
func (c *Config) Validate() error {
	if c.WindowMs < 0 || c.WindowMs > 366*operators.DayMs {
		return fmt.Errorf("dedup: WindowMs is %d; it must be 0 to %d (366 days)", c.WindowMs, int64(366*operators.DayMs))
	}
	if c.IDsMax < 1 || c.IDsMax > 4096 {
		return fmt.Errorf("dedup: IDsMax is %d; it must be 1 to 4096", c.IDsMax)
	}
	return nil
}

// Operator drops duplicate events. It comes first in a chain.
type Operator struct{ config Config }

// New returns the operator; the config is complete and valid.
func New(config Config) *Operator { return &Operator{config} }

// Name returns "dedup".
func (*Operator) Name() string { return "dedup" }

// Deadline returns Never: ids are forgotten along with the next input.
func (*Operator) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

// Step ends the step of an event whose id is remembered, and remembers the others.
func (op *Operator) Step(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	oldest := operators.Unset
	if env.Watermark != operators.Unset {
		oldest = env.Watermark - operators.EventTime(op.config.WindowMs)
	}
	forget(c, oldest)
	if in.Kind != operators.EventInput {
		return
	}
	message := operators.Message{Hash: operators.Hash64(in.Event.ID), Time: in.Event.Time}
	for i := range c.Messages {
		if c.Messages[i].Hash == message.Hash {
			out.Drop("duplicate")
			return
		}
	}
	if message.Time < oldest {
		return
	}
	// Events come nearly in order: the place is found from the end.
	at := len(c.Messages)
	for at > 0 && c.Messages[at-1].Time > message.Time {
		at--
	}
	c.Messages = slices.Insert(c.Messages, at, message)
	if over := len(c.Messages) - op.config.IDsMax; over > 0 {
		c.Messages = slices.Delete(c.Messages, 0, over)
	}
}

// forget removes the messages from before an instant.
func forget(c *operators.Customer, oldest operators.EventTime) {
	n := 0
	for n < len(c.Messages) && c.Messages[n].Time < oldest {
		n++
	}
	if n > 0 {
		c.Messages = slices.Delete(c.Messages, 0, n)
	}
}
