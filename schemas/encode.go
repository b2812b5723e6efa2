package schemas

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"time"

	"lull/operators"
)

// EncoderConfig is what outputs say of their making besides their numbers.
type EncoderConfig struct {
	// Source is the CloudEvents source of all outputs, a URI reference. The default is lull.
	Source string
	// Currency is the base currency, an ISO 4217 code. The default is USD.
	Currency string
	// HorizonDays is the horizon of CLV and of expected purchases, ContactDays the contact horizon, both in days.
	HorizonDays, ContactDays float64
	// DiscountMonthly is the discount per month of 30.4375 days in CLV (0.01 is 1 %), Margin the margin as a share of spend (1 is 100 %).
	DiscountMonthly, Margin float64
	// DeadLetterBytes is the longest record that the topic of dead letters takes, in bytes, before compression; DeadLetterRecordMin or more. The
	// default is 1,376,256: values of 1 MiB and all that can be beside them.
	DeadLetterBytes int
	// Formats are how the values of SubscriberTopics are written: OwnAvro, RegistryAvro or JSON. The default is OwnAvro.
	Formats map[Topic]Format
	// SchemaIDs are the ids that the registry has given to the schemas of the topics whose format is RegistryAvro.
	SchemaIDs map[Topic]uint32
}

// EnsureDefaults sets the fields that are zero and have a default to it.
func (c *EncoderConfig) EnsureDefaults() {
	if c.Source == "" {
		c.Source = "lull"
	}
	if c.Currency == "" {
		c.Currency = "USD"
	}
	if c.DeadLetterBytes == 0 {
		c.DeadLetterBytes = 1<<20 + DeadLetterRecordMin
	}
}

// Encoder turns outputs and dead letters into records. Not safe for concurrent use.
//
// Its records share no memory with it, but for the values of headers that are always the same, which must not be changed. A record's key, value
// and headers share memory with each other.
type Encoder struct {
	config EncoderConfig
	source []byte
	types  [topicsEnd][]byte // CloudEvents types
	writes [topicsEnd]writing
	value  []byte // the value, before it is copied to the record
	slots  outputSlots
}

// writing is how the values of a topic are written.
type writing struct {
	format      Format
	frame       []byte // before the Avro; nil: none
	contentType []byte
}

// outputSlots are the shapes that are filled for each output, with room for what may be null in them.
type outputSlots struct {
	session               wireSession
	counts                [operators.EventKinds]wireKindCount
	score                 wireScore
	segment               wireSegment
	trigger               wireTrigger
	offer                 wireOffer
	facts                 wireFacts
	rfm                   wireRFM
	deadLetter            wireDeadLetter
	next, highRisk, cause int64
	limit, since          int64
	consent               uint8
	withdraws             string
	used                  []wireFactUsed
	ceiling               float64
}

// NewEncoder returns an encoder; fields of the config that are zero have their defaults. The error names the field, its value and the rule it breaks.
func NewEncoder(config EncoderConfig) (*Encoder, error) {
	config.EnsureDefaults()
	if _, ok := CurrencyDigits(config.Currency); !ok {
		return nil, fmt.Errorf("encoder: Currency is %s; it must be a code of ISO 4217, such as USD", quoted(config.Currency))
	}
	if config.DeadLetterBytes < DeadLetterRecordMin {
		return nil, fmt.Errorf("encoder: DeadLetterBytes is %d; it must be %d or more", config.DeadLetterBytes, DeadLetterRecordMin)
	}
	e := &Encoder{config: config, source: []byte(config.Source)}
	for kind := operators.SessionOutput; kind <= operators.RejectOutput; kind++ {
		e.types[TopicOf(kind)] = []byte(EventType(kind))
		if err := e.setFormat(TopicOf(kind)); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// EventType returns the CloudEvents type of outputs of this kind.
func EventType(kind operators.OutputKind) string { return "lull." + kind.String() }

func (e *Encoder) setFormat(t Topic) error {
	format := e.config.Formats[t]
	w := writing{format: format, contentType: []byte(format.ContentType())}
	id, known := e.config.SchemaIDs[t]
	switch {
	case format != OwnAvro && !slices.Contains(SubscriberTopics[:], t) || !slices.Contains(OutputFormats[:], format):
		return fmt.Errorf("encoder: Formats has %q for %s, which is not written so", format, t)
	case format == RegistryAvro && !known:
		return fmt.Errorf("encoder: SchemaIDs has none for %s, whose format is %s", t, format)
	case format == RegistryAvro:
		w.frame = binary.BigEndian.AppendUint32([]byte{0}, id)
	}
	e.writes[t] = w
	return nil
}

var specVersion = []byte("1.0")

// EncodeOutput makes rec the record of an output, reusing the memory of rec.Headers. The output is not a rejection: of that EncodeDeadLetter
// makes a record, because it needs the source. A score row that is gone has a null value. An error is a fault of the program.
func (e *Encoder) EncodeOutput(o *operators.Output, rec *Record) error {
	rec.Topic = TopicOf(o.Kind)
	var wire any
	switch o.Kind {
	case operators.SessionOutput:
		wire = e.session(o)
	case operators.ScoreOutput:
		if !o.Score.Gone {
			wire = e.score(o)
		}
	case operators.SegmentOutput:
		wire = e.segment(o)
	case operators.TriggerOutput:
		wire = e.trigger(o)
	case operators.OfferOutput:
		wire = e.offer(o)
	default:
		//lull:unread it would be a fault of the program
		return fmt.Errorf("encoding an output of kind %d, which is none of a session, score, segment, trigger or offer", o.Kind)
	}
	if err := e.encode(rec.Topic, wire); err != nil {
		return err
	}
	e.finish(rec, wire != nil, o.ID, o.Customer, o.Time)
	rec.Key = rec.Headers[subjectHeader].Value
	return nil
}

func (e *Encoder) encode(t Topic, wire any) error {
	e.value = e.value[:0]
	if wire == nil {
		return nil
	}
	var err error
	if w := &e.writes[t]; w.format == JSON {
		e.value, err = appendJSON(e.value, forms()[t].value(reflect.ValueOf(wire).Elem()))
	} else {
		e.value, err = compiled[t].AppendEncode(append(e.value, w.frame...), wire)
	}
	if err != nil {
		return fmt.Errorf("encoding a record of %s: %w", t, err)
	}
	return nil
}

// The places of the headers that are not always the same.
const (
	idHeader      = 1
	timeHeader    = 4
	subjectHeader = 5
)

// finish sets the record's value and headers. All that changes from record to record lies in one allocation.
func (e *Encoder) finish(rec *Record, hasValue bool, id operators.ID, subject string, at operators.EventTime) {
	const idLen, instantLen = 2 * len(id), len("1998-01-04T13:07:00.000Z")
	b := make([]byte, 0, len(e.value)+idLen+instantLen+len(subject))
	b = append(b, e.value...)
	value := len(b)
	b = hex.AppendEncode(b, id[:])
	idEnd := len(b)
	b = appendInstant(b, at)
	timeEnd := len(b)
	b = append(b, subject...)

	rec.Value = nil
	rec.Headers = append(rec.Headers[:0],
		Header{"ce_specversion", specVersion},
		Header{"ce_id", b[value:idEnd:idEnd]},
		Header{"ce_source", e.source},
		Header{"ce_type", e.types[rec.Topic]},
		Header{"ce_time", b[idEnd:timeEnd:timeEnd]},
		Header{"ce_subject", b[timeEnd:]},
	)
	if hasValue {
		rec.Value = b[:value:value]
		rec.Headers = append(rec.Headers, Header{ContentTypeHeader, e.writes[rec.Topic].contentType})
	}
}

// appendInstant appends an instant by RFC 3339, in UTC, with milliseconds.
func appendInstant(b []byte, t operators.EventTime) []byte {
	at := time.UnixMilli(int64(t)).UTC()
	b = at.AppendFormat(b, time.RFC3339) // for which package time has a fast path
	ms := at.Nanosecond() / 1_000_000
	return append(b[:len(b)-len("Z")], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// instant returns slot with an instant in it, nil if it is none.
func instant(t operators.EventTime, slot *int64) *int64 {
	if t == operators.Never || t == operators.Unset {
		return nil
	}
	*slot = int64(t)
	return slot
}

// nonEmpty returns s, nil if it is empty.
func nonEmpty(s *string) *string {
	if *s == "" {
		return nil
	}
	return s
}

func (e *Encoder) session(o *operators.Output) *wireSession {
	s, w := o.Session, &e.slots.session
	events, counts := int64(0), e.slots.counts[:0]
	for kind, n := range s.Counts {
		if n > 0 {
			events += int64(n)
			counts = append(counts, wireKindCount{Kind: operators.EventKind(kind).String(), Count: int64(n)})
		}
	}
	*w = wireSession{
		CustomerID: o.Customer, Start: int64(s.Start), End: int64(s.End), DwellMs: s.DwellMs(), Events: events, Counts: counts,
		FirstPage: nonEmpty(&s.FirstPage), LastPage: nonEmpty(&s.LastPage),
		Cart: int64(s.Cart), Orders: int64(s.Orders()), CartLeft: s.CartLeft(), Revision: int64(o.Revision),
	}
	return w
}

func (e *Encoder) score(o *operators.Output) *wireScore {
	row, w := o.Score, &e.slots.score
	p := &row.Purchases
	*w = wireScore{
		CustomerID: o.Customer, Model: o.Model, NextDeadline: instant(row.NextDeadline, &e.slots.next),
		Purchases: int64(p.Count), Orders: int64(p.Orders), FirstPurchase: int32(p.First), LastPurchase: int32(p.Last),
		Realized: int64(p.Net), RealizedRepeat: int64(p.RepeatNet()),
		DiscountMonthly: e.config.DiscountMonthly, Margin: e.config.Margin, Revision: int64(o.Revision),
	}
	e.facts(&row.Facts, &w.wireFacts)
	return w
}

func (e *Encoder) facts(f *operators.Facts, w *wireFacts) {
	*w = wireFacts{
		AsOf: int64(f.AsOf), RepeatPurchases: int64(f.X), LastPurchaseAge: f.LastAge, Age: f.Age, SinceLastPurchase: f.Age - f.LastAge,
		PAlive: f.PAlive, ChurnRisk: f.Risk(), BuysAgain: f.BuysAgain, ExpectedPurchases: f.ExpectedPurchases, ExpectedSpend: f.ExpectedSpend,
		CLV: f.CLV, ValueAtRisk: f.ValueAtRisk, AboutToBeLost: f.AboutToBeLost, HighValue: f.HighValue,
		HighRiskAt: instant(f.HighRiskAt, &e.slots.highRisk),
		Currency:   e.config.Currency, HorizonDays: e.config.HorizonDays, ContactDays: e.config.ContactDays,
	}
}

func (e *Encoder) cause(c *operators.Cause) wireCause {
	w := wireCause{Kind: uint8(c.Kind - operators.EventInput)}
	switch c.Kind {
	case operators.EventInput:
		w.EventID = &c.EventID
	case operators.DeadlineInput:
		w.Deadline = instant(c.Deadline, &e.slots.cause)
	}
	return w
}

func (e *Encoder) segment(o *operators.Output) *wireSegment {
	s, w := o.Segment, &e.slots.segment
	*w = wireSegment{
		CustomerID: o.Customer, Time: int64(o.Time), Dimension: uint8(s.Dimension), From: s.From, To: s.To, Cause: e.cause(&o.Cause), Model: o.Model,
		Reasons: s.Reasons, Revision: int64(o.Revision),
	}
	if s.Facts != (operators.Facts{}) {
		e.facts(&s.Facts, &e.slots.facts)
		w.Facts = &e.slots.facts
	}
	if s.RFM != (operators.RFM{}) {
		e.slots.rfm = wireRFM{int32(s.RFM.SinceLastPurchase), int32(s.RFM.Frequency), int32(s.RFM.Monetary)}
		w.RFM = &e.slots.rfm
	}
	return w
}

func (e *Encoder) trigger(o *operators.Output) *wireTrigger {
	t, w := o.Trigger, &e.slots.trigger
	*w = wireTrigger{
		CustomerID: o.Customer, Rule: t.Rule, From: t.From, To: t.To, Deadline: int64(t.Deadline), Cause: e.cause(&o.Cause), Actionable: t.Actionable,
		Withheld: nonEmpty(&t.Withheld), Model: o.Model, Reasons: t.Reasons, Revision: int64(o.Revision),
		RuleVersion: t.Version, Severity: t.Severity, Action: nonEmpty(&t.Action), Control: t.Control, ConsentPurpose: nonEmpty(&t.Purpose), ConsentProof: nonEmpty(&t.Consent),
		FactsUsed: e.slots.used[:0], Counterfactuals: t.Counterfactuals, Priority: t.Priority,
	}
	for _, u := range t.Used {
		w.FactsUsed = append(w.FactsUsed, wireFactUsed(u))
	}
	e.slots.used = w.FactsUsed
	if t.Withdraws != (operators.ID{}) {
		e.slots.withdraws = t.Withdraws.String()
		w.Withdraws = &e.slots.withdraws
	} else {
		digits, _ := CurrencyDigits(e.config.Currency)
		e.slots.ceiling = float64(t.Ceiling.Ceiling) / math.Pow10(digits)
		w.OfferCeiling = &e.slots.ceiling
	}
	e.facts(&t.Facts, &w.Facts)
	return w
}

// The symbols of an offer's consent.
const (
	consentGiven uint8 = iota
	consentWithdrawn
	consentUnknown
)

func (e *Encoder) offer(o *operators.Output) *wireOffer {
	a, w := o.Offer, &e.slots.offer
	c := &a.Ceiling
	*w = wireOffer{
		CustomerID: o.Customer, OfferID: a.OfferID, Time: int64(o.Time), EventID: o.Cause.EventID, Amount: int64(a.Amount), Currency: e.config.Currency,
		Accepted: a.Accepted, Reason: a.Reason, Ceiling: int64(c.Ceiling), Share: c.Share, CLVLow: c.CLVLow, LostShare: c.LostShare, SavedLow: c.SavedLow,
		Model: o.Model, Purpose: nonEmpty(&a.Purpose), Proof: nonEmpty(&a.Consent.Proof), Reasons: a.Reasons, Revision: int64(o.Revision),
	}
	if c.Cap > 0 {
		e.slots.limit = int64(c.Cap)
		w.Cap = &e.slots.limit
	}
	if a.Purpose != "" {
		e.slots.consent = consentUnknown
		switch {
		case a.ConsentKnown && a.Consent.Given:
			e.slots.consent = consentGiven
		case a.ConsentKnown:
			e.slots.consent = consentWithdrawn
		}
		w.Consent = &e.slots.consent
		if a.ConsentKnown {
			w.ConsentSince = instant(a.Consent.Time, &e.slots.since)
		}
	}
	if a.Facts != (operators.Facts{}) {
		e.facts(&a.Facts, &e.slots.facts)
		w.Facts = &e.slots.facts
	}
	return w
}

var eventSlotsPool = sync.Pool{New: func() any { return new(eventSlots) }}

// EncodeEvent appends the value of an event to dst; the record's key is the customer. The amount is in minor units of currency, an ISO 4217 code.
// What the decoder adds (Day, DayStart, Clamped, Doubted) is not part of it. An event without an ID has no message id. The error says what cannot be
// encoded: no valid kind. Safe for concurrent use.
func EncodeEvent(dst []byte, e *operators.Event, currency string) ([]byte, error) {
	if e.Kind < 1 || int(e.Kind) > operators.EventKinds {
		return dst, fmt.Errorf("encoding an event of kind %d; kinds are 1 to %d", e.Kind, operators.EventKinds)
	}
	s := eventSlotsPool.Get().(*eventSlots)
	defer func() {
		s.clear()
		eventSlotsPool.Put(s)
	}()
	s.wireEvent = wireEvent{Kind: uint8(e.Kind - 1), CustomerID: e.Customer, Time: int64(e.Time), Whole: e.Whole}
	s.messageID, s.orderID, s.refundID, s.name, s.subject, s.proof = e.ID, e.OrderID, e.RefundID, e.Name, e.Subject, e.Proof
	s.MessageID, s.OrderID, s.RefundID = nonEmpty(&s.messageID), nonEmpty(&s.orderID), nonEmpty(&s.refundID)
	s.Name, s.Subject, s.Proof = nonEmpty(&s.name), nonEmpty(&s.subject), nonEmpty(&s.proof)
	switch e.Kind {
	case operators.OrderCompleted, operators.OrderUpdated, operators.OrderRefunded, operators.OfferProposed:
		if e.Kind != operators.OrderRefunded || !e.Whole || e.Amount != 0 {
			s.amount, s.currency = int64(e.Amount), currency
			s.Amount, s.Currency = &s.amount, &s.currency
		}
	}
	if e.Quantity != 0 || math.IsNaN(e.Quantity) {
		s.quantity = e.Quantity
		s.Quantity = &s.quantity
	}
	out, err := compiled[Events].AppendEncode(dst, &s.wireEvent)
	if err != nil {
		return dst, fmt.Errorf("encoding an event: %w", err)
	}
	return out, nil
}
