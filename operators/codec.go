package operators

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// StateVersion is the version byte that a customer's state begins with. docs/formats/state.md describes it.
//
//	1: the first.
//	2: with RFM group, lifecycle and the segments' next instant at the end of a customer's state. The first is read: such a customer has none of these.
//	3: with whether they are rising, until when, consents and the states of rules at the end, and without that of the one rule that there was. The second is read: such a customer
//	   is not rising, has stated no consent, and has that rule's state.
//	4: with the faults of records at the end, of customers who have any. The third is read: such a customer has none.
const StateVersion = 4

// partVersion is the version byte of an order and of a page of days as they lie in Parts.
const partVersion = 1

// ErrCorrupt is the error of bytes that are not what they should be. Errors that wrap it say what was found.
var ErrCorrupt = errors.New("corrupt state")

// AppendState appends the customer's state to dst. The customer's id is not part of it: it is the key.
func (c *Customer) AppendState(dst []byte) []byte {
	e := encoder{dst: dst, base: c.At}
	e.dst = append(e.dst, StateVersion)
	e.dst = binary.BigEndian.AppendUint64(e.dst, uint64(c.Armed))
	e.fixed(c.At)
	e.uint(c.Revision)
	e.uint(uint64(c.Terms)<<32 | uint64(c.Model))
	e.uint(uint64(len(c.Messages)))
	for _, m := range c.Messages {
		e.dst = binary.BigEndian.AppendUint64(e.dst, m.Hash)
		e.time(m.Time)
	}
	e.uint(uint64(len(c.Sessions)))
	for i := range c.Sessions {
		e.session(&c.Sessions[i])
	}
	e.uint(uint64(len(c.Ledger.Orders)))
	for i := range c.Ledger.Orders {
		e.order(&c.Ledger.Orders[i])
	}
	e.uint(uint64(c.Ledger.Archived))
	e.days(c.Days.Newest)
	e.uint(uint64(len(c.Days.Pages)))
	for _, p := range c.Days.Pages {
		e.int(int64(p))
	}
	e.purchases(&c.Purchases)
	e.scored(c)
	e.time(c.Score.Next)
	e.time(c.Score.ValueFalls)
	e.uint(uint64(c.Segment.Quadrant))
	e.bool(c.Segment.HighRisk)
	e.time(c.Segment.Since)
	e.uint(uint64(c.Segment.RFMGroup))
	e.uint(uint64(c.Segment.Lifecycle))
	e.time(c.Segment.Next)
	e.bool(c.Segment.Rising)
	e.time(c.Score.RisingUntil)
	e.uint(uint64(len(c.Consents)))
	for i := range c.Consents {
		e.consent(&c.Consents[i])
	}
	e.uint(uint64(len(c.Rules)))
	for i := range c.Rules {
		e.rule(&c.Rules[i])
	}
	e.time(c.RulesNext)
	if c.Faults != (Faults{}) {
		for _, n := range c.Faults[NoFault+1:] {
			e.uint(uint64(n))
		}
	}
	return e.dst
}

// DecodeState makes c the customer of these bytes, reusing its memory. ID and Parts stay what they are. The error wraps ErrCorrupt.
func (c *Customer) DecodeState(state []byte) error {
	if len(state) < 9 {
		return fmt.Errorf("%w: a customer's state of %d bytes", ErrCorrupt, len(state))
	}
	if !readable(state[0]) {
		return fmt.Errorf("%w: a customer's state of version %d; this program reads versions 1 to %d", ErrCorrupt, state[0], StateVersion)
	}
	c.Armed = EventTime(binary.BigEndian.Uint64(state[1:]))
	d := decoder{src: state[9:]}
	c.At = d.fixed()
	d.base = c.At
	c.Revision = d.uint()
	model := d.uint()
	c.Model, c.Terms = uint32(model), uint32(model>>32)
	c.Messages = resize(c.Messages, d.length(9))
	for i := range c.Messages {
		c.Messages[i] = Message{Hash: d.uint64(), Time: d.time()}
	}
	c.Sessions = resize(c.Sessions, d.length(8))
	for i := range c.Sessions {
		d.session(&c.Sessions[i])
	}
	c.Ledger.Orders = resize(c.Ledger.Orders, d.length(16))
	for i := range c.Ledger.Orders {
		d.order(&c.Ledger.Orders[i])
	}
	c.Ledger.Archived = uint32(d.uint())
	c.Days.Newest = d.days(c.Days.Newest)
	c.Days.Pages = resize(c.Days.Pages, d.length(1))
	for i := range c.Days.Pages {
		c.Days.Pages[i] = int32(d.int())
	}
	d.purchases(&c.Purchases)
	scored, open, faulty := d.scored()
	d.failed = d.failed || faulty && state[0] < 4
	c.Score = Score{Scored: scored, Next: d.time(), ValueFalls: d.time(), RisingUntil: Unset}
	c.Segment = Segment{Quadrant: Quadrant(d.uint()), HighRisk: d.bool(), Since: d.time(), Next: Never}
	c.Rules, c.RulesNext, c.RulesOpen = c.Rules[:0], Never, open
	if state[0] < 3 {
		risk := d.uint()
		d.failed = d.failed || risk > 2
		c.SetRule(RuleState{Key: RuleKey("churn_risk"), Held: risk > 0})
	}
	if state[0] > 1 {
		c.Segment.RFMGroup, c.Segment.Lifecycle, c.Segment.Next = RFMGroup(d.uint()), Lifecycle(d.uint()), d.time()
	}
	c.Consents = c.Consents[:0]
	if state[0] > 2 {
		c.Segment.Rising, c.Score.RisingUntil = d.bool(), d.time()
		c.Consents = resize(c.Consents, d.length(5))
		for i := range c.Consents {
			c.Consents[i] = Consent{Purpose: d.string(), Given: d.bool(), Time: d.time(), Event: d.string(), Proof: d.string()}
			if i > 0 && c.Consents[i].Purpose <= c.Consents[i-1].Purpose {
				d.failed = true
			}
		}
		c.Rules = resize(c.Rules, d.length(3))
		for i := range c.Rules {
			d.rule(&c.Rules[i])
			d.failed = d.failed || c.Rules[i].atRest() || i > 0 && c.Rules[i].Key <= c.Rules[i-1].Key
		}
		c.RulesNext = d.time()
	}
	c.Faults = Faults{}
	if faulty {
		for f := NoFault + 1; f < FaultsEnd; f++ {
			n := d.uint()
			d.failed = d.failed || n > math.MaxUint32
			c.Faults[f] = uint32(n)
		}
		d.failed = d.failed || c.Faults == (Faults{})
	}
	c.Changed, c.Facts = Changed{}, Facts{}
	if c.Segment.Quadrant > Save || c.Segment.RFMGroup >= rfmGroupsEnd || c.Segment.Lifecycle >= lifecyclesEnd {
		d.failed = true
	}
	return d.end("a customer's state")
}

// readable reports whether this program reads states of a version.
func readable(version byte) bool { return version >= 1 && version <= StateVersion }

// StateArmed returns the Armed field of a customer's encoded state without decoding the rest.
func StateArmed(state []byte) (armed EventTime, ok bool) {
	if len(state) < 9 || !readable(state[0]) {
		return Never, false
	}
	return EventTime(binary.BigEndian.Uint64(state[1:])), true
}

// StateRevision returns the Revision field of a customer's encoded state without decoding the rest.
func StateRevision(state []byte) (revision uint64, ok bool) {
	if len(state) < 17 || !readable(state[0]) {
		return 0, false
	}
	d := decoder{src: state[17:]} // behind Armed and At
	revision = d.uint()
	return revision, !d.failed
}

// StateModel returns the Model and Terms fields of a customer's encoded state without decoding the rest.
func StateModel(state []byte) (ref, terms uint32, ok bool) {
	if len(state) < 17 || !readable(state[0]) {
		return 0, 0, false
	}
	d := decoder{src: state[17:]} // behind Armed and At
	d.uint()                      // Revision
	model := d.uint()
	return uint32(model), uint32(model >> 32), !d.failed
}

// AppendOrder appends an order as it lies in Parts.
func AppendOrder(dst []byte, o *Order) []byte {
	e := encoder{dst: append(dst, partVersion)}
	e.order(o)
	return e.dst
}

// DecodeOrder makes o the order of these bytes. The error wraps ErrCorrupt.
func DecodeOrder(o *Order, src []byte) error {
	d, err := partDecoder(src, "an order")
	if err != nil {
		return err
	}
	d.order(o)
	return d.end("an order")
}

// AppendDays appends a page of purchase days as it lies in Parts.
func AppendDays(dst []byte, days []PurchaseDay) []byte {
	e := encoder{dst: append(dst, partVersion)}
	e.days(days)
	return e.dst
}

// DecodeDays returns the page of purchase days of these bytes. The error wraps ErrCorrupt.
func DecodeDays(src []byte) ([]PurchaseDay, error) {
	d, err := partDecoder(src, "a page of days")
	if err != nil {
		return nil, err
	}
	days := d.days(nil)
	return days, d.end("a page of days")
}

// encoder appends numbers as varints, and instants as distances from base.
type encoder struct {
	dst  []byte
	base EventTime
}

func (e *encoder) uint(v uint64)     { e.dst = binary.AppendUvarint(e.dst, v) }
func (e *encoder) int(v int64)       { e.dst = binary.AppendVarint(e.dst, v) }
func (e *encoder) fixed(t EventTime) { e.dst = binary.BigEndian.AppendUint64(e.dst, uint64(t)) }

func (e *encoder) bool(v bool) {
	b := byte(0)
	if v {
		b = 1
	}
	e.dst = append(e.dst, b)
}

func (e *encoder) string(s string) {
	e.uint(uint64(len(s)))
	e.dst = append(e.dst, s...)
}

// time appends an instant: 0 for Unset, 1 for Never, else 2 more than the zigzagged distance from base.
func (e *encoder) time(t EventTime) {
	switch t {
	case Unset:
		e.uint(0)
	case Never:
		e.uint(1)
	default:
		delta := int64(t - e.origin())
		e.uint(uint64(delta<<1^delta>>63) + 2)
	}
}

// origin is base, or 0 while base is no instant.
func (e *encoder) origin() EventTime { return origin(e.base) }

func origin(base EventTime) EventTime {
	if base == Unset || base == Never {
		return 0
	}
	return base
}

func (e *encoder) session(s *Session) {
	e.time(s.Start)
	e.time(s.End)
	kinds := 0
	for _, n := range s.Counts {
		if n > 0 {
			kinds++
		}
	}
	e.uint(uint64(kinds))
	for kind, n := range s.Counts {
		if n > 0 {
			e.uint(uint64(kind))
			e.uint(uint64(n))
		}
	}
	e.time(s.FirstPageAt)
	e.time(s.LastPageAt)
	e.string(s.FirstPage)
	e.string(s.LastPage)
	e.int(int64(s.Cart))
}

const (
	orderCompleted = 1 << iota
	orderCancelled
	orderWhole
	orderFlagsEnd
)

func (e *encoder) order(o *Order) {
	flags := byte(0)
	if o.Completed {
		flags |= orderCompleted
	}
	if o.Cancelled {
		flags |= orderCancelled
	}
	if o.Whole {
		flags |= orderWhole
	}
	e.dst = append(e.dst, flags)
	e.string(o.ID)
	e.time(o.Time)
	e.day(o.Day, o.DayStart)
	e.int(int64(o.Amount))
	e.time(o.AmountTime)
	e.dst = binary.BigEndian.AppendUint64(e.dst, o.AmountBy)
	e.uint(uint64(len(o.Refunds)))
	for _, r := range o.Refunds {
		e.dst = binary.BigEndian.AppendUint64(e.dst, r.ID)
		e.int(int64(r.Amount))
	}
}

// day appends a day and its start, which in UTC needs one byte.
func (e *encoder) day(day Day, start EventTime) {
	e.int(int64(day))
	e.int(int64(start) - int64(day)*DayMs)
}

func (e *encoder) days(days []PurchaseDay) {
	e.uint(uint64(len(days)))
	for i := range days {
		e.day(days[i].Day, days[i].DayStart)
		e.uint(uint64(days[i].Orders))
		e.int(int64(days[i].Net))
	}
}

func (e *encoder) purchases(p *Purchases) {
	e.uint(uint64(p.Count))
	if p.Count == 0 {
		return
	}
	e.day(p.First, p.FirstStart)
	e.int(int64(p.Last) - int64(p.First))
	e.int(int64(p.Net))
	e.int(int64(p.FirstNet))
	e.uint(uint64(p.Orders))
}

func (e *encoder) consent(c *Consent) {
	e.string(c.Purpose)
	e.bool(c.Given)
	e.time(c.Time)
	e.string(c.Event)
	e.string(c.Proof)
}

const (
	scoredRow = 1 << iota
	scoredRulesOpen
	scoredFaulty
	scoredFlagsEnd
)

// scored appends what is one bit each.
func (e *encoder) scored(c *Customer) {
	flags := byte(0)
	if c.Score.Scored {
		flags |= scoredRow
	}
	if c.RulesOpen {
		flags |= scoredRulesOpen
	}
	if c.Faults != (Faults{}) {
		flags |= scoredFaulty
	}
	e.dst = append(e.dst, flags)
}

const (
	ruleHeld = 1 << iota
	ruleSent
	ruleByEvent
	ruleCooling
	ruleFlagsEnd
)

func (e *encoder) rule(r *RuleState) {
	flags := byte(0)
	if r.Held {
		flags |= ruleHeld
	}
	if r.Sent {
		flags |= ruleSent
	}
	if r.ByEvent {
		flags |= ruleByEvent
	}
	if r.Cooling {
		flags |= ruleCooling
	}
	e.dst = append(binary.BigEndian.AppendUint16(e.dst, r.Key), flags)
	if r.Cooling {
		e.time(r.Cooled)
	}
	if r.Sent {
		e.time(r.Deadline)
		e.uint(uint64(r.At - r.Deadline))
		e.dst = append(e.dst, r.ID[:]...)
	}
}

// decoder reads what encoder appends. After a fault every read gives zero, and end tells.
type decoder struct {
	src    []byte
	base   EventTime
	failed bool
}

func partDecoder(src []byte, what string) (decoder, error) {
	if len(src) == 0 || src[0] != partVersion {
		return decoder{}, fmt.Errorf("%w: %s of unknown version", ErrCorrupt, what)
	}
	return decoder{src: src[1:]}, nil
}

func (d *decoder) end(what string) error {
	switch {
	case d.failed:
		return fmt.Errorf("%w: %s is cut short or malformed", ErrCorrupt, what)
	case len(d.src) > 0:
		return fmt.Errorf("%w: %s has %d bytes too many", ErrCorrupt, what, len(d.src))
	}
	return nil
}

func (d *decoder) take(n int) []byte {
	if d.failed || len(d.src) < n {
		d.failed = true
		return nil
	}
	b := d.src[:n]
	d.src = d.src[n:]
	return b
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.src)
	if n <= 0 {
		d.failed, d.src = true, nil
		return 0
	}
	d.src = d.src[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.src)
	if n <= 0 {
		d.failed, d.src = true, nil
		return 0
	}
	d.src = d.src[n:]
	return v
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) fixed() EventTime { return EventTime(d.uint64()) }

func (d *decoder) bool() bool {
	b := d.take(1)
	if b == nil || b[0] > 1 {
		d.failed = true
		return false
	}
	return b[0] == 1
}

func (d *decoder) scored() (row, rulesOpen, faulty bool) {
	b := d.take(1)
	if b == nil || b[0] >= scoredFlagsEnd {
		d.failed = true
		return false, false, false
	}
	return b[0]&scoredRow != 0, b[0]&scoredRulesOpen != 0, b[0]&scoredFaulty != 0
}

func (d *decoder) string() string {
	n := d.uint()
	if n > math.MaxInt32 {
		d.failed = true
		return ""
	}
	return string(d.take(int(n)))
}

func (d *decoder) time() EventTime {
	v := d.uint()
	switch v {
	case 0:
		return Unset
	case 1:
		return Never
	}
	v -= 2
	return origin(d.base) + EventTime(int64(v>>1)^-int64(v&1))
}

// length reads the length of a list whose elements take at least elementMin bytes each, so that garbage cannot ask for more memory than it is long.
func (d *decoder) length(elementMin int) int {
	n := d.uint()
	if n > uint64(len(d.src)/elementMin) {
		d.failed = true
		return 0
	}
	return int(n)
}

func (d *decoder) session(s *Session) {
	*s = Session{Start: d.time(), End: d.time()}
	for range d.length(2) {
		kind := d.uint()
		if kind >= uint64(kindsEnd) {
			d.failed = true
			return
		}
		s.Counts[kind] = uint32(d.uint())
	}
	s.FirstPageAt, s.LastPageAt = d.time(), d.time()
	s.FirstPage, s.LastPage = d.string(), d.string()
	s.Cart = int32(d.int())
}

func (d *decoder) order(o *Order) {
	*o = Order{}
	flags := byte(0)
	if b := d.take(1); b != nil {
		flags = b[0]
	}
	if flags >= orderFlagsEnd {
		d.failed = true
	}
	o.Completed, o.Cancelled, o.Whole = flags&orderCompleted != 0, flags&orderCancelled != 0, flags&orderWhole != 0
	o.ID = d.string()
	o.Time = d.time()
	o.Day, o.DayStart = d.day()
	o.Amount = Money(d.int())
	o.AmountTime = d.time()
	o.AmountBy = d.uint64()
	if n := d.length(9); n > 0 {
		o.Refunds = make([]Refund, n)
		for i := range o.Refunds {
			o.Refunds[i] = Refund{ID: d.uint64(), Amount: Money(d.int())}
		}
	}
}

func (d *decoder) rule(r *RuleState) {
	*r = RuleState{}
	head := d.take(3)
	if head == nil || head[2] >= ruleFlagsEnd {
		d.failed = true
		return
	}
	r.Key = binary.BigEndian.Uint16(head)
	r.Held, r.Sent, r.ByEvent = head[2]&ruleHeld != 0, head[2]&ruleSent != 0, head[2]&ruleByEvent != 0
	if r.ByEvent && !r.Sent {
		d.failed = true
	}
	if r.Cooling = head[2]&ruleCooling != 0; r.Cooling {
		r.Cooled = d.time()
	}
	if r.Sent {
		r.Deadline = d.time()
		r.At = r.Deadline + EventTime(d.uint())
		copy(r.ID[:], d.take(len(r.ID)))
	}
}

func (d *decoder) day() (Day, EventTime) {
	day := d.int()
	return Day(day), EventTime(day*DayMs + d.int())
}

func (d *decoder) days(reuse []PurchaseDay) []PurchaseDay {
	days := resize(reuse, d.length(4))
	for i := range days {
		day, start := d.day()
		days[i] = PurchaseDay{Day: day, DayStart: start, Orders: uint32(d.uint()), Net: Money(d.int())}
	}
	return days
}

func (d *decoder) purchases(p *Purchases) {
	*p = Purchases{Count: uint32(d.uint())}
	if p.Count == 0 {
		return
	}
	p.First, p.FirstStart = d.day()
	p.Last = p.First + Day(d.int())
	p.Net, p.FirstNet = Money(d.int()), Money(d.int())
	p.Orders = uint32(d.uint())
}

// resize returns a list of n elements in list's memory if that is large enough.
func resize[E any](list []E, n int) []E {
	if n > cap(list) {
		return make([]E, n)
	}
	return list[:n]
}
