// Package orders keeps the ledger: what is known of each of a customer's orders.
//
// What is stated of an order (completed, updated, refunded, cancelled) nets out to the same in any arrival order, and a statement made again
// changes nothing, however late:
//
//   - the order is placed at its earliest completion;
//   - its amount is that of the latest completion or update, by event time, then by the hash of the message id;
//   - refunds are a set by refund id, each with the largest amount stated for it; a refund of the whole order is for good;
//   - a cancellation is for good.
//
// The newest orders lie in the customer's record, older ones in Parts, each under "o" and its id.
package orders

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"lull/operators"
)

// Config says how many orders are kept, and where.
type Config struct {
	// OrdersKept is the number of orders, the newest by time, that lie in the customer's record and are read with every event; the others
	// are read when an event names them. The default is 16.
	OrdersKept int
	// OrdersMax is the number of orders that a customer can have. An event that names one more is rejected with reason "order_limit". The
	// default is 100,000.
	OrdersMax int
	// RefundsMax is the number of refunds of parts that an order can have. One more is rejected with reason "refund_limit". The default is
	// 32.
	RefundsMax int
	// AmountMax is the largest amount of an order or refund, in minor units of the base currency. An event that states more, or less than
	// 0, is rejected with reason "amount_limit". It keeps every sum of a customer within 64 bits. The default is 1,000,000,000,000.
	AmountMax operators.Money
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (c *Config) EnsureDefaults() {
	if c.OrdersKept == 0 {
		c.OrdersKept = 16
	}
	if c.OrdersMax == 0 {
		c.OrdersMax = 100_000
	}
	if c.RefundsMax == 0 {
		c.RefundsMax = 32
	}
	if c.AmountMax == 0 {
		c.AmountMax = 1_000_000_000_000
	}
}

// Validate returns an error that names the field, its value and the rule it breaks.
func (c *Config) Validate() error {
	switch {
	case c.OrdersKept < 1 || c.OrdersKept > 256:
		return fmt.Errorf("orders: OrdersKept is %d; it must be 1 to 256", c.OrdersKept)
	case c.OrdersMax < c.OrdersKept || c.OrdersMax > math.MaxInt32:
		return fmt.Errorf("orders: OrdersMax is %d; it must be OrdersKept (%d) to %d", c.OrdersMax, c.OrdersKept, math.MaxInt32)
	case c.RefundsMax < 1 || c.RefundsMax > 4096:
		return fmt.Errorf("orders: RefundsMax is %d; it must be 1 to 4096", c.RefundsMax)
	case c.AmountMax < 1 || c.AmountMax > math.MaxInt64/operators.Money(max(c.OrdersMax, c.RefundsMax)):
		return fmt.Errorf("orders: AmountMax is %d; it must be at least 1, and %d times it must fit in 64 bits",
			c.AmountMax, max(c.OrdersMax, c.RefundsMax))
	}
	return nil
}

// Operator applies the events of orders to the ledger, and hands on what an order's contribution to the purchase days was and is.
type Operator struct{ config Config }

// New returns the operator; the config is complete and valid.
func New(config Config) *Operator { return &Operator{config} }

// Name returns "orders".
func (*Operator) Name() string { return "orders" }

// Deadline returns Never: silence changes no order.
func (*Operator) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

// Step applies an event of an order. It changes nothing before it is sure not to reject the event.
func (op *Operator) Step(_ *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	if in.Kind != operators.EventInput || !in.Event.Kind.OfOrder() {
		return
	}
	e := in.Event
	if statesAmount(e) && (e.Amount < 0 || e.Amount > op.config.AmountMax) {
		out.Reject("amount_limit", fmt.Sprintf("the amount is %d minor units; it must be 0 to %d: check the producer's unit, which is minor units (cents)", e.Amount, op.config.AmountMax))
		return
	}
	order, place, at := find(c, e.OrderID)
	if place == nowhere {
		if len(c.Ledger.Orders)+int(c.Ledger.Archived) >= op.config.OrdersMax {
			out.Reject("order_limit", fmt.Sprintf("the customer has %d orders, the limit: raise limits.orders, or mend what puts all orders on one customer", op.config.OrdersMax))
			return
		}
		order = operators.Order{ID: e.OrderID, Time: e.Time, AmountTime: operators.Unset}
	}
	if e.Kind == operators.OrderRefunded && !e.Whole && len(order.Refunds) >= op.config.RefundsMax {
		if _, known := findRefund(&order, e); !known {
			out.Reject("refund_limit", fmt.Sprintf("the order has %d refunds, the limit: raise limits.refunds, or state the sum of many under one refund id", op.config.RefundsMax))
			return
		}
	}
	was := order.Contribution()
	if !apply(&order, e) && place != nowhere {
		return
	}
	if place == inRecord {
		c.Ledger.Orders = slices.Delete(c.Ledger.Orders, at, at+1)
	}
	op.put(c, &order, place == inParts)
	if is := order.Contribution(); is != was {
		c.Changed.Orders, c.Changed.OrderWas, c.Changed.OrderIs = true, was, is
	}
}

// statesAmount reports whether the event's amount means anything.
func statesAmount(e *operators.Event) bool {
	switch e.Kind {
	case operators.OrderCompleted, operators.OrderUpdated:
		return true
	case operators.OrderRefunded:
		return !e.Whole
	}
	return false
}

// apply makes the event part of what is known of its order, and reports whether that has changed.
func apply(o *operators.Order, e *operators.Event) (changed bool) {
	if e.Kind == operators.OrderCompleted {
		changed = complete(o, e)
	} else if !o.Completed && e.Time < o.Time {
		o.Time, changed = e.Time, true
	}
	switch e.Kind {
	case operators.OrderCompleted, operators.OrderUpdated:
		return setAmount(o, e) || changed
	case operators.OrderRefunded:
		if !e.Whole {
			return refund(o, e) || changed
		}
		changed = changed || !o.Whole
		o.Whole = true
	case operators.OrderCancelled:
		changed = changed || !o.Cancelled
		o.Cancelled = true
	}
	return changed
}

// complete places the order at the time of a completion, unless an earlier one is known.
func complete(o *operators.Order, e *operators.Event) (changed bool) {
	if o.Completed && e.Time >= o.Time {
		return false
	}
	o.Completed, o.Time, o.Day, o.DayStart = true, e.Time, e.Day, e.DayStart
	return true
}

// setAmount sets the order's amount, unless a later one is known.
func setAmount(o *operators.Order, e *operators.Event) (changed bool) {
	by := operators.Hash64(e.ID)
	if cmp.Or(cmp.Compare(e.Time, o.AmountTime), cmp.Compare(by, o.AmountBy)) <= 0 {
		return false
	}
	o.Amount, o.AmountTime, o.AmountBy = e.Amount, e.Time, by
	return true
}

// refund adds the refund of a part, unless as much is known of it.
func refund(o *operators.Order, e *operators.Event) (changed bool) {
	at, known := findRefund(o, e)
	if !known {
		o.Refunds = slices.Insert(o.Refunds, at, operators.Refund{ID: operators.Hash64(e.RefundID), Amount: e.Amount})
		return true
	}
	if e.Amount <= o.Refunds[at].Amount {
		return false
	}
	o.Refunds[at].Amount = e.Amount
	return true
}

// findRefund returns where in the order's refunds that of the event is or belongs.
func findRefund(o *operators.Order, e *operators.Event) (at int, known bool) {
	return slices.BinarySearchFunc(o.Refunds, operators.Hash64(e.RefundID), func(r operators.Refund, id uint64) int { return cmp.Compare(r.ID, id) })
}

// place is where an order lies.
type place uint8

const (
	nowhere place = iota
	inRecord
	inParts
)

// find returns an order, where it lies, and its index if that is in the record. A new id is looked for in Parts only if something is there.
func find(c *operators.Customer, id string) (order operators.Order, _ place, at int) {
	for i := len(c.Ledger.Orders) - 1; i >= 0; i-- {
		if c.Ledger.Orders[i].ID == id {
			return c.Ledger.Orders[i], inRecord, i
		}
	}
	if c.Ledger.Archived == 0 {
		return order, nowhere, 0
	}
	value, ok := c.Parts.Get(partName(id))
	if !ok {
		return order, nowhere, 0
	}
	if err := operators.DecodeOrder(&order, value); err != nil {
		panic(fmt.Errorf("reading an archived order: %w", err))
	}
	return order, inParts, 0
}

// put places an order that is not in the record: there if it is one of the newest, for which the oldest makes room, else in Parts.
func (op *Operator) put(c *operators.Customer, o *operators.Order, archived bool) {
	l := &c.Ledger
	if archived {
		if len(l.Orders) >= op.config.OrdersKept && older(o, &l.Orders[0]) {
			c.Parts.Set(partName(o.ID), operators.AppendOrder(nil, o))
			return
		}
		c.Parts.Delete(partName(o.ID))
		l.Archived--
	}
	at := len(l.Orders)
	for at > 0 && older(o, &l.Orders[at-1]) {
		at--
	}
	l.Orders = slices.Insert(l.Orders, at, *o)
	for len(l.Orders) > op.config.OrdersKept {
		oldest := &l.Orders[0]
		c.Parts.Set(partName(oldest.ID), operators.AppendOrder(nil, oldest))
		l.Archived++
		l.Orders = slices.Delete(l.Orders, 0, 1)
	}
}

// older reports whether a comes before b in the record.
func older(a, b *operators.Order) bool {
	return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.ID, b.ID)) < 0
}

// partName is the name of an order in Parts.
func partName(id string) string { return "o" + id }
