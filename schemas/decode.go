package schemas

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/avro"

	"lull/operators"
)

// TimeMarkHeader is the header that makes a record without a key a time mark. Its value is an instant by RFC 3339.
const TimeMarkHeader = "lull-time-mark"

// FutureTimes says what becomes of an event whose time is later than its append time and the allowed skew.
type FutureTimes uint8

// The ways to treat such events.
const (
	ClampFuture  FutureTimes = iota // its time is set to the append time, and it is flagged
	RejectFuture                    // it is refused with ReasonTimeInFuture
)

// Limits bound what one record can hold. At 0 each is its default.
type Limits struct {
	ValueBytes  int // length of a value. The default is 1,048,576 (1 MiB).
	HeaderBytes int // names and values of all headers, and 8 for each. The default is 65,536.
	IDBytes     int // length of the key and of each id: message, customer, order, refund, subject. The default is 256.
	NameBytes   int // length of a name. The default is 512.
	ProofBytes  int // length of a consent's proof. The default is 1,024.
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (l *Limits) EnsureDefaults() {
	for _, f := range l.fields() {
		if *f.value == 0 {
			*f.value = f.def
		}
	}
}

// Validate returns an error that names the field, its value and the rule it breaks.
func (l *Limits) Validate() error {
	for _, f := range l.fields() {
		if *f.value < 1 || *f.value > f.max {
			return fmt.Errorf("limits.%s is %d: it must be from 1 to %d", f.name, *f.value, f.max)
		}
	}
	return nil
}

type limitField struct {
	name     string
	value    *int
	def, max int
}

func (l *Limits) fields() [5]limitField {
	return [...]limitField{
		{"value_bytes", &l.ValueBytes, 1 << 20, 64 << 20},
		{"header_bytes", &l.HeaderBytes, 1 << 16, 1 << 20},
		{"id_bytes", &l.IDBytes, 256, 1 << 12}, // ids are kept in states, of which each must fit into a changelog record
		{"name_bytes", &l.NameBytes, 512, 1 << 16},
		{"proof_bytes", &l.ProofBytes, 1024, 1 << 16},
	}
}

// DecoderConfig says how records become events.
type DecoderConfig struct {
	// Zone is the time zone of calendar days. The default is UTC.
	Zone *time.Location
	// SkewMaxMs is how far an event's time may be later than the record's append time, in milliseconds. The default is 300,000 (5 min).
	SkewMaxMs int64
	// Future says what becomes of later ones. The default is ClampFuture.
	Future FutureTimes
	// Currency is the base currency, an ISO 4217 code. The default is USD.
	Currency string
	// Rates are the currencies besides Currency that amounts may have: the code, and what one major unit of it is worth in major units of
	// Currency, a decimal number such as "1.0842" of at most 15 digits. Amounts are converted exactly, then rounded half away from zero.
	Rates  map[string]string
	Limits Limits
	// Input says how the records are written. The default is event.avsc.
	Input Input
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (c *DecoderConfig) EnsureDefaults() {
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	if c.SkewMaxMs == 0 {
		c.SkewMaxMs = 300_000
	}
	if c.Currency == "" {
		c.Currency = "USD"
	}
	c.Limits.EnsureDefaults()
}

// Decoder turns records into canonical events. It is deterministic: the same record and configuration give the same event. Not safe for
// concurrent use.
type Decoder struct {
	config   DecoderConfig
	values   valueReader
	calendar *calendar
	rates    map[string]rate
	slots    eventSlots
	texts    []byte // the event's texts, before they become one string
}

// NewDecoder returns a decoder; fields of the config that are zero have their defaults. The error names the field, as settings have it, its value and the rule it breaks.
func NewDecoder(config DecoderConfig) (*Decoder, error) {
	config.EnsureDefaults()
	if err := config.Limits.Validate(); err != nil {
		return nil, err
	}
	if config.SkewMaxMs < 1 || config.SkewMaxMs > 366*operators.DayMs {
		return nil, fmt.Errorf("clock.max_skew is %d ms: it must be from 1 to %d (366 days)", config.SkewMaxMs, int64(366*operators.DayMs))
	}
	if _, ok := CurrencyDigits(config.Currency); !ok {
		return nil, fmt.Errorf("money.currency is %s: it must be a code of ISO 4217 in capitals, such as USD", quoted(config.Currency))
	}
	d := &Decoder{config: config, values: config.Input.newReader(), calendar: newCalendar(config.Zone), rates: map[string]rate{config.Currency: {num: 1, den: 1}}}
	for code, decimal := range config.Rates {
		r, err := rateOf(config.Currency, code, decimal)
		if err != nil {
			return nil, fmt.Errorf("money.rates: %w", err)
		}
		d.rates[code] = r
	}
	return d, nil
}

// TimeMark returns the instant of a time mark: of a record with a null or empty key and the header lull-time-mark. No producer of its partition will
// send events at or before this instant. A mark whose instant cannot be read, is not an accepted event time, or is later than the record's append time and the
// allowed skew is rejected: nobody can know that yet. Fractions of a millisecond are cut off.
func (d *Decoder) TimeMark(r *Source) (t operators.EventTime, isMark bool, rejection *operators.Rejection) {
	if len(r.Key) > 0 {
		return operators.Unset, false, nil
	}
	for i := range r.Headers {
		if r.Headers[i].Key != TimeMarkHeader {
			continue
		}
		value := r.Headers[i].Value
		instant, err := time.Parse(time.RFC3339, string(value[:min(len(value), 64)]))
		if err != nil {
			return operators.Unset, true, reject(ReasonBadTimeMark, "the time mark %s is no instant", quoted(string(value)))
		}
		t = operators.EventTime(instant.UnixMilli())
		switch {
		case t < TimeMin || t >= TimeEnd:
			return operators.Unset, true, reject(ReasonBadTimeMark, "the time mark %s is out of range", quoted(string(value)))
		case t > r.AppendTime+operators.EventTime(d.config.SkewMaxMs) || d.doubts(r, t):
			return operators.Unset, true, reject(ReasonBadTimeMark, "the time mark %s came before that time had", quoted(string(value)))
		}
		return t, true, nil
	}
	return operators.Unset, false, nil
}

// doubts reports whether a time lies ahead of the clock of who has read the record.
func (d *Decoder) doubts(r *Source, t operators.EventTime) bool {
	return r.ReadTime != 0 && t > r.ReadTime+operators.EventTime(d.config.SkewMaxMs)
}

// Decode makes into the event of a record, or returns why the record is refused; into is undefined then. Two reasons are no refusals: ReasonIgnored and
// ReasonSchemaAwaited. The event shares no memory with the record: all its texts are parts of one string.
func (d *Decoder) Decode(r *Source, into *operators.Event) *operators.Rejection {
	if rejection := d.checkSize(r); rejection != nil {
		return rejection
	}
	defer d.slots.clear()
	if d.config.Input.mapping != nil {
		// Whether the record has a key matters only if it is an event.
		if rejection := d.values.read(r, &d.slots); rejection != nil {
			return rejection
		}
		if rejection := d.checkKey(r); rejection != nil {
			return rejection
		}
		return d.accept(r, into)
	}
	if rejection := d.checkKey(r); rejection != nil {
		return rejection
	}
	if rejection := d.values.read(r, &d.slots); rejection != nil {
		return rejection
	}
	return d.accept(r, into)
}

// DecodeKeyless is Decode for a record whose key is not known: it is taken to be the customer's id. After a refusal into.Customer is whose record it claims to be, "" if that could not be read.
func (d *Decoder) DecodeKeyless(r *Source, into *operators.Event) *operators.Rejection {
	into.Customer = ""
	if rejection := d.checkSize(r); rejection != nil {
		return rejection
	}
	defer d.slots.clear()
	if rejection := d.values.read(r, &d.slots); rejection != nil {
		return rejection
	}
	keyed := *r
	keyed.Key = []byte(d.slots.CustomerID)
	return d.accept(&keyed, into)
}

// accept makes into the event of what has been read into the slots, if it is one.
func (d *Decoder) accept(r *Source, into *operators.Event) *operators.Rejection {
	*into = operators.Event{Kind: operators.EventKind(d.slots.Kind + 1)}
	redriven, rejection := d.check(r, into)
	if rejection != nil {
		into.Customer = string(d.slots.CustomerID)
		return rejection
	}
	d.setTexts(r, redriven, into)
	return nil
}

// check sets all of into but its texts, and returns what redriven does.
func (d *Decoder) check(r *Source, into *operators.Event) (redriven []byte, rejection *operators.Rejection) {
	if rejection = d.checkTexts(r, into.Kind); rejection != nil {
		return nil, rejection
	}
	if redriven, rejection = d.redriven(r); rejection != nil {
		return nil, rejection
	}
	if rejection = d.setNumbers(into); rejection != nil {
		return nil, rejection
	}
	return redriven, d.setTime(r, into)
}

// redriven returns the position that stands for the message id of an event which has none and was sent again; nil if there is no such.
func (d *Decoder) redriven(r *Source) ([]byte, *operators.Rejection) {
	if text(d.slots.MessageID) != "" {
		return nil, nil
	}
	for i := range r.Headers {
		if r.Headers[i].Key != RedrivenHeader {
			continue
		}
		value := r.Headers[i].Value
		if _, ok := ParsePosition(string(value)); !ok {
			return nil, reject(ReasonBadRedriven, "the header %s is %s", RedrivenHeader, quoted(string(value)))
		}
		return value, nil
	}
	return nil, nil
}

// clear lets go of the record's memory.
func (s *eventSlots) clear() { *s = eventSlots{} }

func (d *Decoder) checkSize(r *Source) *operators.Rejection {
	limits := &d.config.Limits
	if len(r.Value) > limits.ValueBytes {
		return reject(ReasonRecordTooLarge, "the value has %d bytes, the limit is %d", len(r.Value), limits.ValueBytes)
	}
	if n := headerBytes(r.Headers); n > limits.HeaderBytes {
		return reject(ReasonHeadersTooLarge, "%d headers of %d bytes, the limit is %d", len(r.Headers), n, limits.HeaderBytes)
	}
	if r.Value == nil && len(r.Key) > 0 {
		return reject(ReasonNoValue, "the value is null")
	}
	return nil
}

func (d *Decoder) checkKey(r *Source) *operators.Rejection {
	switch {
	case len(r.Key) == 0:
		return reject(ReasonNoCustomer, "the record has no key")
	case len(r.Key) > d.config.Limits.IDBytes:
		return reject(ReasonIDTooLong, "the key has %d bytes, the limit is %d", len(r.Key), d.config.Limits.IDBytes)
	}
	return nil
}

func headerBytes(headers []Header) int {
	n := 0
	for i := range headers {
		n += headerSize(&headers[i])
	}
	return n
}

// headerSize counts 8 bytes for each header, so that empty ones are bounded too.
func headerSize(h *Header) int { return len(h.Key) + len(h.Value) + 8 }

// shownInstant shows a timestamp, which may be none that an event could have.
func shownInstant(t operators.EventTime) string {
	if t < TimeMin || t >= TimeEnd {
		return fmt.Sprintf("%d milliseconds since 1970", int64(t))
	}
	return t.String()
}

func undecodable(value []byte, err error) *operators.Rejection {
	var short *avro.ShortBufferError
	if errors.As(err, &short) {
		return reject(ReasonTruncated, "the value of %d bytes ends within the event (%s)", len(value), avroCause(err))
	}
	return reject(ReasonMalformed, "the value of %d bytes is no event (%s)", len(value), avroCause(err))
}

// avroCause returns what is wrong with the bytes, and in which field, without the types that they were to be read into.
func avroCause(err error) string {
	field := ""
	for {
		var of *avro.SemanticError
		if !errors.As(err, &of) {
			break
		}
		if of.Field != "" {
			field = "field " + of.Field + ": "
		}
		if of.Err == nil {
			return field + "it is no " + of.AvroType
		}
		err = of.Err
	}
	return field + strings.TrimPrefix(err.Error(), "avro: ")
}

// checkTexts checks the decoded texts, and that those are there which the kind needs.
func (d *Decoder) checkTexts(r *Source, kind operators.EventKind) *operators.Rejection {
	w, limits := &d.slots.wireEvent, &d.config.Limits
	if w.CustomerID == "" {
		return reject(ReasonNoCustomer, "customer_id is empty%s", d.slots.sought("customer_id"))
	}
	if rejection := check("customer_id", w.CustomerID, limits.IDBytes, ReasonIDTooLong); rejection != nil {
		return rejection
	}
	if string(r.Key) != w.CustomerID {
		return reject(ReasonKeyMismatch, "the key is %s, the customer_id %s", quoted(string(r.Key)), quoted(w.CustomerID))
	}
	for _, t := range [...]struct {
		field    string
		value    *string
		bytesMax int
		tooLong  string
	}{
		{"message_id", w.MessageID, limits.IDBytes, ReasonIDTooLong},
		{"order_id", w.OrderID, limits.IDBytes, ReasonIDTooLong},
		{"refund_id", w.RefundID, limits.IDBytes, ReasonIDTooLong},
		{"subject", w.Subject, limits.IDBytes, ReasonIDTooLong},
		{"name", w.Name, limits.NameBytes, ReasonTextTooLong},
		{"proof", w.Proof, limits.ProofBytes, ReasonTextTooLong},
	} {
		if t.value == nil {
			continue
		}
		if rejection := check(t.field, *t.value, t.bytesMax, t.tooLong); rejection != nil {
			return rejection
		}
	}
	if field := missing(kind, w); field != "" {
		return reject(ReasonMissingField, "the %s event has no %s%s", kind, field, d.slots.sought(field))
	}
	return nil
}

func check(field, value string, bytesMax int, tooLong string) *operators.Rejection {
	if len(value) > bytesMax {
		return reject(tooLong, "%s has %d bytes, the limit is %d", field, len(value), bytesMax)
	}
	if !utf8.ValidString(value) {
		return reject(ReasonInvalidUTF8, "%s is not UTF-8", field)
	}
	return nil
}

// missing returns the field that this kind of event needs and lacks, "" if none.
func missing(kind operators.EventKind, w *wireEvent) string {
	switch kind {
	case operators.PageViewed, operators.ScreenViewed, operators.Tracked:
		if text(w.Name) == "" {
			return "name"
		}
	case operators.OrderUpdated, operators.OrderRefunded, operators.OrderCancelled:
		if text(w.OrderID) == "" {
			return "order_id"
		}
	case operators.OrderCompleted, operators.Identified:
	default:
		if text(w.Subject) == "" {
			return "subject"
		}
	}
	if needsAmount(kind, w) {
		switch {
		case w.Amount == nil:
			return "amount"
		case text(w.Currency) == "":
			return "currency"
		}
	}
	return ""
}

// needsAmount reports whether the event states a value: of orders and offers only the refund of a whole order need not.
func needsAmount(kind operators.EventKind, w *wireEvent) bool {
	switch kind {
	case operators.OrderCompleted, operators.OrderUpdated, operators.OfferProposed:
		return true
	case operators.OrderRefunded:
		return !w.Whole || w.Amount != nil
	}
	return false
}

func (d *Decoder) setNumbers(into *operators.Event) *operators.Rejection {
	w := &d.slots.wireEvent
	if w.Quantity != nil {
		into.Quantity = *w.Quantity
	}
	if math.IsNaN(into.Quantity) || math.IsInf(into.Quantity, 0) {
		return reject(ReasonQuantityInvalid, "quantity is %v", into.Quantity)
	}
	if into.Quantity < 0 {
		return reject(ReasonQuantityNegative, "quantity is %v", into.Quantity)
	}
	if w.Amount != nil && *w.Amount < 0 {
		return reject(ReasonAmountNegative, "amount is %d", *w.Amount)
	}
	into.Whole = w.Whole && into.Kind == operators.OrderRefunded
	if !needsAmount(into.Kind, w) {
		return nil
	}
	r, ok := d.rates[*w.Currency]
	if !ok {
		return reject(ReasonUnknownCurrency, "no rate for currency %s", quoted(*w.Currency))
	}
	if into.Amount, ok = r.convert(*w.Amount); !ok {
		return reject(ReasonAmountOutOfRange, "amount is %d minor units of %s", *w.Amount, *w.Currency)
	}
	return nil
}

func (d *Decoder) setTime(r *Source, into *operators.Event) *operators.Rejection {
	t := operators.EventTime(d.slots.Time)
	if t < TimeMin || t >= TimeEnd {
		return reject(ReasonTimeOutOfRange, "time is %d milliseconds since 1970", d.slots.Time)
	}
	if latest := r.AppendTime + operators.EventTime(d.config.SkewMaxMs); t > latest {
		// A record without a usable timestamp gives nothing to clamp to.
		if d.config.Future == RejectFuture || r.AppendTime < TimeMin || r.AppendTime >= TimeEnd {
			return reject(ReasonTimeInFuture, "time is %v, the record's timestamp %s", t, shownInstant(r.AppendTime))
		}
		t, into.Clamped = r.AppendTime, true
	}
	into.Doubted = d.doubts(r, t)
	into.Time = t
	into.Day, into.DayStart = d.calendar.day(t)
	return nil
}

// setTexts sets the texts of the event, all of them parts of one new string. redriven is what stands for the message id if the record was sent again.
func (d *Decoder) setTexts(r *Source, redriven []byte, into *operators.Event) {
	w := &d.slots.wireEvent
	kind := into.Kind
	b := append(d.texts[:0], w.CustomerID...)
	customer := len(b)
	switch id := text(w.MessageID); {
	case id != "":
		b = append(b, id...)
	case redriven != nil:
		b = append(b, redriven...)
	default:
		b = append(b, r.Topic...)
		b = strconv.AppendInt(append(b, '/'), int64(r.Partition), 10)
		b = strconv.AppendInt(append(b, '/'), r.Offset, 10)
	}
	id := len(b)
	add := func(ofKind bool, s *string) int {
		if ofKind {
			b = append(b, text(s)...)
		}
		return len(b)
	}
	order := add(kind.OfOrder(), w.OrderID)
	refund := add(kind == operators.OrderRefunded, w.RefundID)
	name := add(kind <= operators.Tracked || kind == operators.OfferProposed, w.Name)
	subject := add(kind >= operators.CampaignSent && kind != operators.Identified, w.Subject)
	proof := add(kind.OfConsent(), w.Proof)
	d.texts = b

	all := string(b)
	into.Customer, into.ID = all[:customer], all[customer:id]
	into.OrderID, into.RefundID, into.Name = all[id:order], all[order:refund], all[refund:name]
	into.Subject, into.Proof = all[name:subject], all[subject:proof]
	if kind.OfOrder() && into.OrderID == "" {
		into.OrderID = into.ID
	}
	if kind == operators.OrderRefunded && into.RefundID == "" {
		into.RefundID = into.ID
	}
}
