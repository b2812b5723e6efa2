// Package clv assembles the product: the one chain of operators that live processing, backfill and simulation all run.
package clv

import (
	"math"
	"slices"
	"strings"

	"lull/operators"
	"lull/operators/consent"
	"lull/operators/dedup"
	"lull/operators/offer"
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
	Consent consent.Config
	RFM     rfm.Config
	Score   score.Config
	Segment segment.Config
	Trigger trigger.Config
}

// part is the config of one operator.
type part interface {
	EnsureDefaults()
	Validate() error
}

// parts returns the configs of the operators, in the order of the chain.
func (c *Config) parts() []part {
	return []part{&c.Dedup, &c.Session, &c.Orders, &c.Consent, &c.RFM, &c.Score, &c.Segment, &c.Trigger}
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
	terms, scores := c.Score.Terms(), score.New(c.Score)
	segments := segment.New(c.Segment, terms, scores)
	return operators.NewChain(
		dedup.New(c.Dedup),
		session.New(c.Session),
		orders.New(c.Orders),
		consent.New(c.Consent),
		rfm.New(c.RFM),
		scores,
		segments,
		trigger.New(c.Trigger, terms, scores, segments),
		offer.New(terms, scores),
	)
}

// RecordBytesMax returns the length of the longest record, of those that are kept of a customer, that the limits allow when ids have at most idBytes
// bytes and proofs of consent at most proofBytes: their state, an archived order or a page of days.
func (c *Config) RecordBytesMax(idBytes, proofBytes int) int {
	longest := operators.NewCustomer("")
	longest.At, longest.Revision, longest.Model = operators.Never, math.MaxUint64, math.MaxUint32
	const far = operators.EventTime(math.MaxInt64 / 4) // no instant is written in more bytes
	longest.Messages = slices.Repeat([]operators.Message{{Hash: math.MaxUint64, Time: far}}, c.Dedup.IDsMax)
	longest.Sessions = make([]operators.Session, c.Session.SessionsMax)
	page := strings.Repeat("p", c.Session.PageBytesMax)
	for i := range longest.Sessions {
		s := &longest.Sessions[i]
		s.FirstPage, s.LastPage, s.Cart = page, page, math.MinInt32
		s.Start, s.End, s.FirstPageAt, s.LastPageAt = far, far, far, far
		for kind := range s.Counts {
			s.Counts[kind] = math.MaxUint32
		}
	}
	day := operators.PurchaseDay{Day: math.MinInt32, DayStart: far, Orders: math.MaxUint32, Net: math.MinInt64}
	order := operators.Order{
		ID: strings.Repeat("i", idBytes), Time: far, Day: day.Day, DayStart: day.DayStart, Amount: c.Orders.AmountMax, AmountTime: far,
		Refunds: slices.Repeat([]operators.Refund{{ID: math.MaxUint64, Amount: c.Orders.AmountMax}}, c.Orders.RefundsMax),
	}
	longest.Ledger = operators.Ledger{Orders: slices.Repeat([]operators.Order{order}, c.Orders.OrdersKept), Archived: math.MaxUint32}
	longest.Days = operators.PurchaseDays{Newest: slices.Repeat([]operators.PurchaseDay{day}, c.RFM.DaysKept), Pages: slices.Repeat([]int32{math.MinInt32}, rfm.PagesMax)}
	longest.Purchases = operators.Purchases{
		Count: math.MaxUint32, First: day.Day, FirstStart: day.DayStart, Last: math.MaxInt32, Net: day.Net, FirstNet: day.Net, Orders: day.Orders,
	}
	longest.Score = operators.Score{Next: far, ValueFalls: far, RisingUntil: far}
	longest.Segment.Since, longest.Segment.Next, longest.RulesNext = far, far, far
	id := strings.Repeat("i", idBytes)
	longest.Consents = slices.Repeat([]operators.Consent{{Purpose: id, Given: true, Time: far, Event: id, Proof: strings.Repeat("p", proofBytes)}}, c.Consent.PurposesMax)
	for key := range trigger.RulesMax {
		longest.Rules = append(longest.Rules, operators.RuleState{Key: uint16(key), Held: true, Cooling: true, Cooled: far, Sent: true, ByEvent: true, Deadline: -far, At: far})
	}
	state := longest.AppendState(nil)
	return max(len(state), len(operators.AppendOrder(nil, &order)), len(operators.AppendDays(nil, slices.Repeat([]operators.PurchaseDay{day}, rfm.PageDays))))
}
