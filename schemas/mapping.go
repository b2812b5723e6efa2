package schemas

import (
	"fmt"
	"slices"
	"strings"

	"lull/operators"
)

// Mapping says how the fields of records become events: a mapping file, checked. It does not change and may be shared. docs/formats/mapping.md describes the
// language.
type Mapping struct {
	// File is the name of its file, for people; "" if it has none.
	File string

	places    *places
	columns   []string // csv
	delimiter rune     // csv
	rules     []rule
	unmatched unmatched
}

// unmatched says what becomes of a record that no rule matches.
type unmatched uint8

const (
	refuseUnmatched unmatched = iota
	ignoreUnmatched
)

// ignore is the kind of records that are passed over.
const ignore operators.EventKind = 0

// rule says what becomes of the records that it matches: of all those for which its conditions hold, and whose kind it knows.
type rule struct {
	conditions []condition
	kind       operators.EventKind // if kinds is nil
	kinds      map[string]operators.EventKind
	kindSlot   int
	fields     [fieldsEnd]fieldRule
}

// condition holds for records that have one of the values at a place; or, without values, for those that have any there, or none.
type condition struct {
	slot    int
	values  []string
	present bool
}

func (c *condition) holds(f found) bool {
	if c.values == nil {
		return f[c.slot].empty() != c.present
	}
	return f[c.slot].matches(c.values)
}

// field is one of the canonical event's.
type field uint8

const (
	customerField field = iota
	timeField
	messageField
	orderField
	refundField
	amountField
	currencyField
	wholeField
	quantityField
	nameField
	subjectField
	proofField
	fieldsEnd
)

var fieldNames = [fieldsEnd]string{
	"customer_id", "time", "message_id", "order_id", "refund_id", "amount", "currency", "whole", "quantity", "name", "subject", "proof",
}

// usedBy reports whether events of a kind have the field.
func (f field) usedBy(kind operators.EventKind) bool {
	switch f {
	case orderField:
		return kind.OfOrder()
	case refundField, wholeField:
		return kind == operators.OrderRefunded
	case amountField, currencyField:
		return kind == operators.OrderCompleted || kind == operators.OrderUpdated || kind == operators.OrderRefunded || kind == operators.OfferProposed
	case nameField:
		return kind <= operators.Tracked || kind == operators.OfferProposed
	case subjectField:
		return kind >= operators.CampaignSent && kind != operators.Identified
	case proofField:
		return kind.OfConsent()
	}
	return true
}

// fieldRule says where a field's value comes from: the first place that has one, else a constant, else nowhere.
type fieldRule struct {
	set      bool
	slots    []int
	constant string            // if no place has a value
	values   map[string]string // what texts stand for; nil: for themselves
	comma    bool              // of amount and quantity: texts have a decimal comma, else a point

	time   timeFormat // of time
	skew   *skewRule  // of time; nil: none
	amount amountRule // of amount
}

// skewRule corrects times by the device's clock: received - (sent - original), where a record has all three.
type skewRule struct{ original, sent, received int }

// amountRule says what numbers of an amount mean.
type amountRule struct {
	minor    bool // they are minor units: else major ones
	rounding bool // what is smaller than a minor unit is rounded: else refused
}

// mappedReader reads events from documents by a mapping.
type mappedReader struct {
	mapping  *Mapping
	document document
	found    found
	texts    [fieldsEnd]string // that the slots point to
}

func newMappedReader(m *Mapping, d document) *mappedReader {
	return &mappedReader{mapping: m, document: d, found: make(found, len(m.places.names))}
}

// ignored is the answer to records that a mapping passes over.
var ignored = &operators.Rejection{Reason: ReasonIgnored}

func (m *mappedReader) read(r *Source, into *eventSlots) *operators.Rejection {
	m.found.keep(m.mapping.places, r)
	if refusal := m.document.read(r.Value, m.mapping.places, m.found); refusal != nil {
		return refusal
	}
	rule, kind, matched := m.match()
	switch {
	case !matched && m.mapping.unmatched == refuseUnmatched:
		return reject(ReasonUnmatched, "no rule of the mapping matches (%s)", m.looked())
	case !matched, kind == ignore:
		return ignored
	}
	into.Kind = uint8(kind) - 1
	return m.fill(rule, kind, into)
}

// match returns the first rule that matches what was found, and the kind that it gives.
func (m *mappedReader) match() (*rule, operators.EventKind, bool) {
rules:
	for i := range m.mapping.rules {
		r := &m.mapping.rules[i]
		for j := range r.conditions {
			if !r.conditions[j].holds(m.found) {
				continue rules
			}
		}
		if r.kinds == nil {
			return r, r.kind, true
		}
		if kind, known := r.kinds[m.found[r.kindSlot].text]; known {
			return r, kind, true
		}
	}
	return nil, 0, false
}

// looked returns what the record has where rules look.
func (m *mappedReader) looked() string {
	var parts []string
	seen := make(map[int]bool)
	tell := func(slot int) {
		if !seen[slot] && len(parts) < 4 {
			seen[slot] = true
			parts = append(parts, fmt.Sprintf("%s is %s", m.mapping.places.names[slot], m.found[slot].shown()))
		}
	}
	for i := range m.mapping.rules {
		r := &m.mapping.rules[i]
		for _, c := range r.conditions {
			tell(c.slot)
		}
		if r.kinds != nil {
			tell(r.kindSlot)
		}
	}
	return strings.Join(parts, ", ")
}

// fill sets what an event of the kind has. Fields that are left out or empty stay null: whether the event can do without is judged as for all formats.
func (m *mappedReader) fill(r *rule, kind operators.EventKind, into *eventSlots) *operators.Rejection {
	clear(m.texts[:])
	into.mapping, into.rule = m.mapping, r
	for f := range fieldsEnd {
		if !r.fields[f].set || !f.usedBy(kind) {
			continue
		}
		var refusal *operators.Rejection
		switch f {
		case timeField:
			refusal = m.setTime(&r.fields[f], into)
		case quantityField:
			refusal = m.setQuantity(&r.fields[f], into)
		case wholeField:
			refusal = m.setWhole(&r.fields[f], into)
		case amountField: // its currency must be known first
		default:
			refusal = m.setText(f, &r.fields[f])
		}
		if refusal != nil {
			return refusal
		}
	}
	t := &m.texts
	into.CustomerID = t[customerField]
	into.MessageID, into.OrderID, into.RefundID, into.Currency = &t[messageField], &t[orderField], &t[refundField], &t[currencyField]
	into.Name, into.Subject, into.Proof = &t[nameField], &t[subjectField], &t[proofField]
	if r.fields[amountField].set && amountField.usedBy(kind) {
		return m.setAmount(&r.fields[amountField], into)
	}
	return nil
}

// value returns what a field's places have, and the place it was found at, -1 for the constant.
func (m *mappedReader) value(r *fieldRule) (s scalar, at int) {
	for _, slot := range r.slots {
		if !m.found[slot].empty() {
			return m.found[slot], slot
		}
	}
	if r.constant == "" {
		return scalar{}, -1
	}
	return scalar{kind: textual, text: r.constant}, -1
}

// sought says where a mapping looks for a field that is not there, "" without a mapping.
func (s *eventSlots) sought(field string) string {
	if s.mapping == nil {
		return ""
	}
	return s.mapping.sought(s.rule, field)
}

// sought says where a rule of the mapping looks for a field that is not there.
func (m *Mapping) sought(r *rule, field string) string {
	of := &r.fields[slices.Index(fieldNames[:], field)]
	if !of.set {
		return ", and " + m.name() + " does not say where it is"
	}
	var places []string
	for _, slot := range of.slots {
		places = append(places, m.places.names[slot])
	}
	return fmt.Sprintf(", for which %s looks at %s", m.name(), strings.Join(places, ", "))
}

// name is what the mapping is called in messages.
func (m *Mapping) name() string { return strings.TrimSpace("the mapping " + m.File) }

// bad returns the rejection of a field that cannot be read.
func (m *mappedReader) bad(f field, at int, wrong string) *operators.Rejection {
	place := "the mapping's constant"
	if at >= 0 {
		place = m.mapping.places.names[at]
	}
	return reject(ReasonBadField, "%s (%s): %s", fieldNames[f], place, wrong)
}

func (m *mappedReader) setText(f field, r *fieldRule) *operators.Rejection {
	s, at := m.value(r)
	if r.values != nil && s.kind != nothing && at >= 0 {
		text, known := r.values[s.text]
		if !known {
			return m.bad(f, at, "it is "+s.shown()+", for which the mapping has no value")
		}
		m.texts[f] = text
		return nil
	}
	switch {
	case s.kind == nothing, s.kind == textual:
	case s.kind == numeric && onlyDigits(strings.TrimPrefix(s.text, "-")):
	default:
		return m.bad(f, at, "it is "+s.shown()+", and must be a text or a whole number")
	}
	m.texts[f] = s.text
	return nil
}

func (m *mappedReader) setTime(r *fieldRule, into *eventSlots) *operators.Rejection {
	if r.skew != nil {
		var times [3]operators.EventTime
		known := 0
		for i, slot := range [...]int{r.skew.received, r.skew.sent, r.skew.original} {
			s := &m.found[slot]
			if s.empty() {
				break
			}
			var wrong string
			if times[i], wrong = r.time.read(s); wrong != "" {
				return m.bad(timeField, slot, wrong)
			}
			if times[i] < -timeFar || times[i] > timeFar {
				return m.bad(timeField, slot, "it is beyond all times")
			}
			known++
		}
		if known == len(times) {
			into.Time = int64(times[0] - (times[1] - times[2]))
			return nil
		}
	}
	s, at := m.value(r)
	if s.kind == nothing {
		return reject(ReasonMissingField, "the event has no time%s", into.sought("time"))
	}
	t, wrong := r.time.read(&s)
	if wrong != "" {
		return m.bad(timeField, at, wrong)
	}
	into.Time = int64(t)
	return nil
}

// timeFar is beyond all accepted times, and so near that three such can be added.
const timeFar = 1 << 60

func (m *mappedReader) setQuantity(r *fieldRule, into *eventSlots) *operators.Rejection {
	s, at := m.value(r)
	switch s.kind {
	case nothing:
		return nil
	case summed:
		into.quantity = s.sum
	default:
		number := s
		if r.comma {
			number.text = pointed(&s)
		}
		n, ok := quantityOf(&number)
		if !ok {
			return m.bad(quantityField, at, "it is "+s.shown()+", and must be a number such as "+r.numberExample())
		}
		into.quantity = n
	}
	into.Quantity = &into.quantity
	return nil
}

func (m *mappedReader) setWhole(r *fieldRule, into *eventSlots) *operators.Rejection {
	s, at := m.value(r)
	if r.values != nil && at >= 0 && s.kind != nothing {
		text, known := r.values[s.text]
		if !known {
			return m.bad(wholeField, at, "it is "+s.shown()+", for which the mapping has no value")
		}
		s.text = text
	}
	switch {
	case s.kind == nothing || s.text == "false":
	case s.text == "true":
		into.Whole = true
	default:
		return m.bad(wholeField, at, "it is "+s.shown()+", and must be true or false")
	}
	return nil
}

func (m *mappedReader) setAmount(r *fieldRule, into *eventSlots) *operators.Rejection {
	s, at := m.value(r)
	if s.kind == nothing {
		return nil
	}
	into.Amount = &into.amount
	digits, known := CurrencyDigits(m.texts[currencyField])
	if !known {
		return nil // it is refused for its currency
	}
	d, ok := decimal{}, false
	switch {
	case s.kind != textual && s.kind != numeric:
	case r.comma:
		d, ok = parseDecimal(pointed(&s))
	default:
		d, ok = parseDecimal(s.text)
	}
	if !ok {
		return m.bad(amountField, at, "it is "+s.shown()+", and must be a decimal number such as "+r.numberExample()+", without thousands separators and currency")
	}
	if r.amount.minor {
		digits = 0
	}
	n, exact, inRange := d.shifted(digits)
	switch {
	case !inRange:
		return reject(ReasonAmountOutOfRange, "amount is %s", s.shown())
	case !exact && !r.amount.rounding:
		return reject(ReasonAmountInexact, "amount is %s, and %s has %d decimals", s.shown(), m.unitName(r), digits)
	}
	into.amount = n
	return nil
}

var commaToPoint = strings.NewReplacer(",", ".", ".", "none")

// WithPoint returns the text of a number with a decimal comma as one with a point. What has a point, which is one of thousands, is no number then.
func WithPoint(text string) string { return commaToPoint.Replace(text) }

// pointed returns the text of a number, if texts have a decimal comma; numbers of JSON and Avro never have one.
func pointed(s *scalar) string {
	if s.kind != textual {
		return s.text
	}
	return WithPoint(s.text)
}

// numberExample returns a number as the rule wants it, and what the rule would have to say for the other.
func (r *fieldRule) numberExample() string {
	if r.comma {
		return "1234,50"
	}
	return "1234.50 (1234,50 with decimal: comma in the mapping)"
}

func (m *mappedReader) unitName(r *fieldRule) string {
	if r.amount.minor {
		return "a number of minor units"
	}
	return m.texts[currencyField]
}

// Columns returns the names of the columns of a record of CSV; nil if the mapping is none for CSV. Whoever reads them does not change them.
func (m *Mapping) Columns() []string { return m.columns }

// Delimiter returns the character between columns.
func (m *Mapping) Delimiter() rune { return m.delimiter }
