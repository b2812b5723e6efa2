package operators

import (
	"cmp"
	"slices"
	"strings"
)

// Customer is all that lull remembers of one customer: a section for each operator. Lists in it are bounded; longer ones lie in Parts.
//
// Invariants, after every step: Days is what the orders of Ledger contribute, day by day, and Purchases is its summary; Score, Segment and Rules stand for At and the facts; Armed is where
// the customer's entry in the timer index stands, which is never after the earliest deadline.
type Customer struct {
	ID string

	// Armed is the instant of the customer's timer, Never if there is none.
	Armed EventTime
	// At is the latest instant that the customer has been computed at, Unset before the first.
	At EventTime
	// Revision counts the customer's outputs, so that a correction never has the id of what it corrects.
	Revision uint64
	// Model is the Ref of the model that the customer was last computed with.
	Model uint32
	// Terms stand for the settings of scores that the customer was last computed under, 0 before the first model.
	Terms uint32

	Messages  []Message // the message ids seen of late, oldest first
	Sessions  []Session // open sessions, in order of start
	Ledger    Ledger
	Days      PurchaseDays
	Purchases Purchases
	Score     Score
	Segment   Segment
	Consents  []Consent   // one for each purpose that anything was stated of, by purpose
	Rules     []RuleState // of the rules that are not at rest, by Key
	RulesNext EventTime   // the next instant at which silence alone changes where the customer stands with a rule; Never if none
	// RulesOpen is set when that instant has not been found: it is after RulesNext, at which the search for it goes on.
	RulesOpen bool
	// Faults counts what was wrong with the customer's records; set by whoever runs the chain, which does not look at it.
	Faults Faults

	// Parts holds the customer's long lists; set by whoever runs the chain.
	Parts Parts
	// Changed says what the step so far has changed; Facts is the evaluation made in it. Neither is kept.
	Changed Changed
	Facts   Facts
}

// Parts are the records that lie beside a customer's own, each under a name: lists too long to be read with every event. Reading them is reading
// the customer's state. What Get returns is valid until the next call and must not be changed.
type Parts interface {
	Get(name string) (value []byte, ok bool)
	Set(name string, value []byte)
	Delete(name string)
}

// Message is a message id seen.
type Message struct {
	Hash uint64 // Hash64 of the id
	Time EventTime
}

// Session is a run of a customer's activity without a gap of the configured length.
type Session struct {
	Start, End EventTime
	// Counts per kind, indexed by EventKind.
	Counts    [kindsEnd]uint32
	FirstPage string
	LastPage  string
	// FirstPageAt and LastPageAt are the times of those pages, so that late events are put in their place; Unset without a page.
	FirstPageAt, LastPageAt EventTime
	// Cart is the number of products added less those removed; below zero when a removal came first.
	Cart int32
}

// DwellMs returns the time from the first to the last event, in milliseconds.
func (s *Session) DwellMs() int64 { return int64(s.End - s.Start) }

// Orders returns the number of order_completed events in the session.
func (s *Session) Orders() uint32 { return s.Counts[OrderCompleted] }

// CartLeft reports whether products were left in the cart without an order.
func (s *Session) CartLeft() bool { return s.Cart > 0 && s.Orders() == 0 }

// Ledger is what is known of a customer's orders. An order is either here or in Parts.
type Ledger struct {
	// Orders are the newest orders, sorted by (Time, ID).
	Orders []Order
	// Archived is the number of orders in Parts.
	Archived uint32
}

// PurchaseDays are a customer's purchase days. A day is either in Newest or on a page in Parts.
type PurchaseDays struct {
	// Newest are the newest days, in order; not empty if there are any days.
	Newest []PurchaseDay
	// Pages are the numbers of the pages in Parts that hold the older days, in order.
	Pages []int32
}

// Order is what is known of one order id, whatever of it has arrived.
type Order struct {
	ID string
	// Completed is set once the order has been placed. Until then it is only expected, by an update, refund or cancellation that came first.
	Completed bool
	Cancelled bool
	// Whole is set when all of the order has been refunded.
	Whole bool
	// Time, Day and DayStart are those of the earliest completion; while not completed, Time is that of the earliest event.
	Time     EventTime
	Day      Day
	DayStart EventTime
	// Amount is set by the latest completion or update by (AmountTime, AmountBy).
	Amount     Money
	AmountTime EventTime
	AmountBy   uint64 // Hash64 of the event's id: breaks ties
	// Refunds are the refunds of parts of the order, sorted by ID.
	Refunds []Refund
}

// Refund is the refund of a part of an order.
type Refund struct {
	ID     uint64 // Hash64 of the refund id
	Amount Money  // the largest that was stated for this refund
}

// Refunded returns the sum of the refunds of parts of the order.
func (o *Order) Refunded() Money {
	sum := Money(0)
	for i := range o.Refunds {
		sum += o.Refunds[i].Amount
	}
	return sum
}

// Net is what the order has brought: 0 if cancelled or refunded in whole, never below 0.
func (o *Order) Net() Money {
	if !o.Completed || o.Cancelled || o.Whole {
		return 0
	}
	return max(0, o.Amount-o.Refunded())
}

// Counts reports whether the order makes its day a purchase day.
func (o *Order) Counts() bool { return o.Completed && !o.Cancelled }

// Contribution returns what the order adds to the purchase days.
func (o *Order) Contribution() Contribution {
	if !o.Counts() {
		return Contribution{}
	}
	return Contribution{Counts: true, Day: o.Day, DayStart: o.DayStart, Net: o.Net()}
}

// Contribution is what one order adds to the purchase days; zero if it does not count.
type Contribution struct {
	Counts   bool
	Day      Day
	DayStart EventTime
	Net      Money
}

// PurchaseDay is a calendar day with at least one order that counts.
type PurchaseDay struct {
	Day      Day
	DayStart EventTime
	Orders   uint32
	Net      Money
}

// Purchases are the sufficient statistics of a customer's purchase days: incremental RFM.
type Purchases struct {
	// Count is the number of purchase days; all else is meaningless while it is 0.
	Count      uint32
	First      Day
	FirstStart EventTime // 00:00 of First
	Last       Day
	Net        Money // all purchase days
	FirstNet   Money // the first purchase day
	Orders     uint32
}

// Repeats returns x: purchase days after the first.
func (p *Purchases) Repeats() int { return int(p.Count) - 1 }

// LastAge returns t_x: first to last purchase day, in days.
func (p *Purchases) LastAge() float64 { return float64(p.Last - p.First) }

// Age returns T at an instant: 00:00 of the first purchase day to then, in days.
func (p *Purchases) Age(at EventTime) float64 { return at.DaysSince(p.FirstStart) }

// RepeatNet returns the net value of the repeat purchases.
func (p *Purchases) RepeatNet() Money { return p.Net - p.FirstNet }

// Consent is what holds of a customer's consent to one purpose: what was stated last, by (Time, hash of Event).
type Consent struct {
	Purpose string
	Given   bool      // false: withdrawn
	Time    EventTime // when it was stated
	Event   string    // the id of the event that stated it
	Proof   string    // reference to the record that proves it, "" if none was named
}

// Consent returns what holds of the customer's consent to a purpose. Without anything stated of it known is false, and consent is not given.
func (c *Customer) Consent(purpose string) (consent Consent, known bool) {
	at, known := slices.BinarySearchFunc(c.Consents, purpose, Consent.compare)
	if !known {
		return Consent{Purpose: purpose, Time: Unset}, false
	}
	return c.Consents[at], true
}

// SetConsent makes a consent what holds of its purpose.
func (c *Customer) SetConsent(consent Consent) {
	at, known := slices.BinarySearchFunc(c.Consents, consent.Purpose, Consent.compare)
	if !known {
		c.Consents = slices.Insert(c.Consents, at, Consent{})
	}
	c.Consents[at] = consent
}

func (c Consent) compare(purpose string) int { return strings.Compare(c.Purpose, purpose) }

// Score is what scoring remembers between inputs.
type Score struct {
	// Scored is set while the customer has a row in the scores table.
	Scored bool
	// Next is the next instant at which silence changes the row; Never if none.
	Next EventTime
	// ValueFalls is the instant at which, in silence since the last purchase, CLV falls below the model's cut; Unset if it was below then. It
	// depends on purchases and model alone.
	ValueFalls EventTime
	// RisingUntil is the instant at which, in silence since the last purchase, the 10 % point of CLV falls to the model's cut; Unset if it was not above it then, or if the
	// customer has brought as much already. Of who is rising it may be an earlier instant: the true one is looked for when that comes.
	RisingUntil EventTime
}

// Quadrant is a place in the plane of value and risk.
type Quadrant uint8

// The quadrants. NoQuadrant is the place of who has no purchase, or has not been scored yet.
const (
	NoQuadrant Quadrant = iota
	Nurture             // low value, low risk
	Efficiency          // low value, high risk: spend nothing
	Advocate            // high value, low risk
	Save                // high value, high risk
)

var quadrantNames = [...]string{"none", "nurture", "efficiency", "advocate", "save"}

// HighValue reports whether it is one of high value.
func (q Quadrant) HighValue() bool { return q == Advocate || q == Save }

// String returns the quadrant's name on the wire.
func (q Quadrant) String() string { return quadrantNames[q] }

// Lifecycle is a stage in a customer's life.
type Lifecycle uint8

// The stages. NoLifecycle is that of who has not been heard of, or has bought and has not been scored yet.
const (
	NoLifecycle Lifecycle = iota
	Prospect              // known, without a purchase
	New                   // has bought once, at low risk
	Active                // has bought again, at low risk
	AtRisk                // churn risk is high
	Dormant               // very high
	Lost                  // next to certain
	WonBack               // has bought after having been at risk, dormant or lost
	lifecyclesEnd
)

var lifecycleNames = [lifecyclesEnd]string{
	NoLifecycle: "none", Prospect: "prospect", New: "new", Active: "active", AtRisk: "at_risk", Dormant: "dormant", Lost: "lost", WonBack: "won_back",
}

// String returns the stage's name on the wire.
func (l Lifecycle) String() string { return lifecycleNames[l] }

// RFMGroup is a group of cells of RFM scores, under a name that marketers know.
type RFMGroup uint8

// The groups. NoRFMGroup is that of who has no scores: the model has no cuts, or there is none.
const (
	NoRFMGroup RFMGroup = iota
	Prospects
	NewCustomers
	Promising
	ActiveCustomers
	Loyal
	Champions
	NeedsAttention
	AtRiskCustomers
	PreviouslyLoyal
	AlmostLost
	DormantCustomers
	rfmGroupsEnd
)

var rfmGroupNames = [rfmGroupsEnd]string{
	NoRFMGroup: "none", Prospects: "prospects", NewCustomers: "new", Promising: "promising", ActiveCustomers: "active", Loyal: "loyal", Champions: "champions",
	NeedsAttention: "needs_attention", AtRiskCustomers: "at_risk", PreviouslyLoyal: "previously_loyal", AlmostLost: "almost_lost", DormantCustomers: "dormant",
}

// String returns the group's name on the wire.
func (g RFMGroup) String() string { return rfmGroupNames[g] }

// RFM are a customer's scores, each 1 to 5, 5 being the best fifth of the customers; all 0 if there are none.
type RFM struct {
	SinceLastPurchase, Frequency, Monetary uint8
}

// Segment is what segmentation remembers.
type Segment struct {
	Quadrant Quadrant
	// HighRisk is the side of the risk line the customer is on; between the two thresholds it stays what it was.
	HighRisk  bool
	Since     EventTime // when Quadrant was entered
	RFMGroup  RFMGroup
	Lifecycle Lifecycle
	Rising    bool // of high potential at low spend so far
	// Next is the next instant at which time alone changes an RFM score, or ends the dwell in a quadrant that is to be left; Never if none.
	Next EventTime
}

// RuleState is where a customer stands with a rule of the triggers. A rule of which there is none is at rest: it is armed, and what it has sent is past doubt.
type RuleState struct {
	Key uint16 // RuleKey of the rule's name
	// Held is set from when the rule has fired, or its condition was found true without having become so, until the rule is armed again.
	Held bool
	// Cooling is set while a deadline may lie in the rule's cool-down, which began at Cooled, the deadline of a trigger: after its end too, for what becomes known late.
	Cooling bool
	Cooled  EventTime
	// Sent is set while a late fact may still disprove the trigger that the rule has sent last: its ID, its Deadline, the instant At, not before that, at which it was
	// made, and whether an event made it (ByEvent), or silence or a model did.
	Sent     bool
	ByEvent  bool
	Deadline EventTime
	At       EventTime
	ID       ID
}

// atRest reports whether the state says nothing.
func (s *RuleState) atRest() bool { return !s.Held && !s.Sent && !s.Cooling }

// RuleKey is the short name under which states remember a rule: 16 bits of a hash. The rules of one application have different ones.
func RuleKey(name string) uint16 { return uint16(Hash64(name)) }

// Rule returns where the customer stands with the rule of this key.
func (c *Customer) Rule(key uint16) RuleState {
	at, found := slices.BinarySearchFunc(c.Rules, key, RuleState.compare)
	if !found {
		return RuleState{Key: key}
	}
	return c.Rules[at]
}

// SetRule makes a state that of its rule.
func (c *Customer) SetRule(state RuleState) {
	at, found := slices.BinarySearchFunc(c.Rules, state.Key, RuleState.compare)
	switch {
	case found && state.atRest():
		c.Rules = slices.Delete(c.Rules, at, at+1)
	case found:
		c.Rules[at] = state
	case !state.atRest():
		c.Rules = slices.Insert(c.Rules, at, state)
	}
}

func (s RuleState) compare(key uint16) int { return cmp.Compare(s.Key, key) }

// Changed says what a step has changed so far.
type Changed struct {
	// Orders is set when what an order contributes to the purchase days has changed, from OrderWas to OrderIs: Purchases may have changed.
	Orders            bool
	OrderWas, OrderIs Contribution
	// Purchase is set with Orders if a purchase day has appeared.
	Purchase bool
	// Score is set when Facts have been evaluated in this step.
	Score bool
	// FirstScore is set with Score if the customer had none before.
	FirstScore bool
}

// Facts are a customer's numbers at one instant, of one model. Times are in days, values in major units of the base currency.
type Facts struct {
	AsOf              EventTime
	X                 int     // repeat purchases
	LastAge           float64 // t_x
	Age               float64 // T
	PAlive            float64
	ExpectedPurchases float64 // within the horizon
	BuysAgain         float64 // probability of a purchase within the contact horizon
	ExpectedSpend     float64 // per purchase
	CLV               float64 // discounted expected margin over the horizon
	ValueAtRisk       float64 // risk x CLV if certainly alive
	AboutToBeLost     float64 // CLV now - CLV after the contact horizon if silent
	HighValue         bool    // CLV is at least the model's cut
	// HighRiskAt and LowRiskUntil are the instants at which, in silence, risk reaches the upper and the lower threshold; in the past if it has,
	// Never if it will not.
	HighRiskAt, LowRiskUntil EventTime
	// DormantAt and LostAt are the instants at which, in silence, risk reaches what counts as dormant and as lost.
	DormantAt, LostAt EventTime
	// RiskAfterOrder is what the churn risk would be if the customer ordered now: another one on the day of their last purchase is no purchase of its own.
	RiskAfterOrder float64
	// BoughtToday is set on the day of the last purchase.
	BoughtToday bool
	// BornHighRisk is set when risk is over the upper threshold before the day of the last purchase is over: silence had no part in it.
	BornHighRisk bool
}

// Measure is a number of a customer that silence moves.
type Measure uint8

// The measures. Silent days, age and churn risk rise, the value at risk and what is about to be lost of it may do either, and all others fall.
const (
	PAlive Measure = iota
	ChurnRisk
	CLV
	BuysAgain
	ExpectedPurchases
	SilentDays
	Age
	ValueAtRisk
	AboutToBeLost
)

// Measures are some of them, a bit each.
type Measures uint16

// Of returns the set of one.
func (m Measure) Of() Measures { return 1 << m }

// Has reports whether any of others is among them.
func (m Measures) Has(others Measures) bool { return m&others != 0 }

// Moment is a customer at an instant of their silence, as far as measures have been asked for.
type Moment struct {
	Facts Facts // AsOf, the ages, and the measures
	Now   Outlook
	Later Outlook // after the contact horizon, if what is about to be lost has been asked for
	// Before and After are set when the slopes to that side have been found.
	Before, After bool
}

// Outlook is what the measures are made of, and how fast it moves. σ is 1/(α+T), in which the numbers of purchases of who is alive are concave.
type Outlook struct {
	Sigma  float64
	PAlive float64
	Hazard float64 // (r+x)σ: the odds of P(alive) fall at this rate
	// Of who is alive: the probability to buy within the contact horizon, and the hazard by which that not to buy rises; the expected purchases; CLV. The slopes are
	// over σ: at least and at most.
	Buys, BuysHazard float64
	Purchases, Value Concave
}

// Concave is a number that is concave over σ, and rises with it. Its slope is nowhere less than SlopeLeast after the instant, when σ is less, nor more than SlopeMost before it.
type Concave struct{ Is, SlopeLeast, SlopeMost float64 }

// Risk returns churn risk, 1 - P(alive).
func (f *Facts) Risk() float64 { return 1 - f.PAlive }

// RulesTurn returns RulesNext if something changes then; Never if the search for that instant is still open.
func (c *Customer) RulesTurn() EventTime {
	if c.RulesOpen {
		return Never
	}
	return c.RulesNext
}

// NewCustomer returns a customer of whom nothing is known.
func NewCustomer(id string) *Customer {
	return &Customer{ID: id, Armed: Never, At: Unset, Score: Score{Next: Never, ValueFalls: Unset, RisingUntil: Unset}, Segment: Segment{Next: Never}, RulesNext: Never}
}

func (c *Customer) beginStep(at EventTime) {
	c.At = max(c.At, at)
	c.Changed = Changed{}
	c.Facts = Facts{}
}

// RisingDeadline returns when silence may end the customer's rising, and never later than it does; Never if they are not rising.
func (c *Customer) RisingDeadline() EventTime {
	if !c.Segment.Rising {
		return Never
	}
	return c.Score.RisingUntil
}

// CopyFrom makes c the same as from, but for Parts, sharing no memory that either changes. It reuses c's memory.
func (c *Customer) CopyFrom(from *Customer) {
	messages, sessions, orders, days, pages := c.Messages[:0], c.Sessions[:0], c.Ledger.Orders[:0], c.Days.Newest[:0], c.Days.Pages[:0]
	consents, rules := c.Consents[:0], c.Rules[:0]
	parts := c.Parts
	*c = *from
	c.Parts = parts
	c.Messages = append(messages, from.Messages...)
	c.Sessions = append(sessions, from.Sessions...)
	c.Ledger.Orders = append(orders, from.Ledger.Orders...)
	for i := range c.Ledger.Orders {
		c.Ledger.Orders[i].Refunds = slices.Clone(c.Ledger.Orders[i].Refunds)
	}
	c.Days.Newest = append(days, from.Days.Newest...)
	c.Days.Pages = append(pages, from.Days.Pages...)
	c.Consents = append(consents, from.Consents...)
	c.Rules = append(rules, from.Rules...)
}

// PurchasesBefore returns the purchases without the orders at or after an instant; known is false if what is kept at hand does not tell. Of a refund or cancellation the ledger does not say when it
// was: it counts.
func (c *Customer) PurchasesBefore(at EventTime) (p Purchases, known bool) {
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
		n := slices.IndexFunc(days, func(d PurchaseDay) bool { return d.Day == made.Day })
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
		return Purchases{}, true
	case len(days) == 0:
		return p, false
	}
	p.Last = days[len(days)-1].Day
	return p, true
}

// Past is what is known of a customer before an instant.
type Past struct {
	Purchases Purchases
	LastOrder EventTime // no earlier than the last order's
	Until     EventTime // the instant
}

// PastBefore returns what was before an instant, without the orders from it on, as PurchasesBefore does.
func (c *Customer) PastBefore(at EventTime) (past Past, known bool) {
	past = Past{LastOrder: c.LastOrderBefore(at), Until: at}
	past.Purchases, known = c.PurchasesBefore(at)
	return past, known
}

// LastOrderBefore returns the time of the last order before an instant that counts. Where it is not kept at hand, it is no later than what is returned.
func (c *Customer) LastOrderBefore(at EventTime) EventTime {
	last := at
	for i := len(c.Ledger.Orders) - 1; i >= 0; i-- {
		if o := &c.Ledger.Orders[i]; o.Time < at {
			if last = o.Time; o.Counts() {
				break
			}
		}
	}
	return last
}
