// Package rfm keeps a customer's purchase days and their summary: recency, frequency and monetary value, and with them the statistics that the
// models of value are fed with.
//
// The orders hand on how one order's contribution has changed (Customer.Changed); rfm adds that to the day's numbers, and the day's change to the
// summary. The newest days lie in the customer's record, older ones in Parts on pages, each under "d" and its number. Only what touches
// an older day, or cancels the first, reads a page.
package rfm

import (
	"fmt"

	"lull/operators"
)

// Config says how many purchase days lie in the customer's record.
type Config struct {
	// DaysKept is the number of purchase days, the newest, that lie in the customer's record and are read with every event. The default is
	// 16.
	DaysKept int
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (c *Config) EnsureDefaults() {
	if c.DaysKept == 0 {
		c.DaysKept = 16
	}
}

// Validate returns an error that names the field, its value and the rule it breaks.
func (c *Config) Validate() error {
	if c.DaysKept < 1 || c.DaysKept > 256 {
		return fmt.Errorf("rfm: DaysKept is %d; it must be 1 to 256", c.DaysKept)
	}
	return nil
}

// Operator keeps Customer.Days and Customer.Purchases.
type Operator struct{ config Config }

// New returns the operator; the config is complete and valid.
func New(config Config) *Operator { return &Operator{config} }

// Name returns "rfm".
func (*Operator) Name() string { return "rfm" }

// Deadline returns Never: silence makes no purchase. What it does to their age is the business of score.
func (*Operator) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

// Step applies the change of one order's contribution.
func (op *Operator) Step(_ *operators.Env, c *operators.Customer, _ *operators.Input, _ *operators.Outbox) {
	if !c.Changed.Orders {
		return
	}
	was, is := c.Changed.OrderWas, c.Changed.OrderIs
	if was.Counts && is.Counts && was.Day == is.Day {
		op.apply(c, change{is.Day, is.DayStart, 0, is.Net - was.Net})
		return
	}
	if is.Counts {
		op.apply(c, change{is.Day, is.DayStart, +1, is.Net})
	}
	if was.Counts {
		op.apply(c, change{was.Day, was.DayStart, -1, -was.Net})
	}
}

// change is by how much one day's numbers change.
type change struct {
	day    operators.Day
	start  operators.EventTime
	orders int
	net    operators.Money
}

// apply changes a day, and the summary by what that did to the day.
func (op *Operator) apply(c *operators.Customer, by change) {
	day := changeDay(c, by, op.config.DaysKept)
	p := &c.Purchases
	p.Orders = uint32(int(p.Orders) + by.orders)
	p.Net += by.net
	switch day {
	case appeared:
		c.Changed.Purchase = true
		p.Count++
		if p.Count == 1 || by.day < p.First {
			p.First, p.FirstStart, p.FirstNet = by.day, by.start, by.net
		}
	case remains:
		if by.day == p.First {
			p.FirstNet += by.net
		}
	case vanished:
		p.Count--
		if p.Count == 0 {
			*p = operators.Purchases{}
			return
		}
		if by.day == p.First {
			first := oldestDay(c)
			p.First, p.FirstStart, p.FirstNet = first.Day, first.DayStart, first.Net
		}
	}
	p.Last = c.Days.Newest[len(c.Days.Newest)-1].Day
}
