package schemas

import (
	"fmt"
	"strings"

	"lull/operators"
)

// Letter is a dead letter as it is read. It shares no memory with the record that it was read from.
type Letter struct {
	Reason, Detail string
	// Operator is who refused the record or failed on the deadline, and Customer whose it is; "" if not known.
	Operator, Customer string
	// Source is where the refused record stands. Of a deadline Topic is "" and Offset -1.
	Source Position
	// Deadline is the deadline that failed, AppendTime the refused record's Kafka timestamp; operators.Unset if there is none.
	Deadline, AppendTime operators.EventTime
	// Key, Value and Headers are what is kept of the record's; nil is null. KeyLength and ValueLength are those of the whole, -1 of null.
	Key, Value             []byte
	KeyLength, ValueLength int64
	ValueSHA256            string
	Headers                []Header
	HeadersLeftOut         int64
}

// DecodeLetter returns the dead letter of a record's value. The error says what is wrong with it.
func DecodeLetter(value []byte) (Letter, error) {
	var w wireDeadLetter
	rest, err := compiled[DeadLetters].Decode(value, &w)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes follow it", len(rest))
	}
	if err != nil {
		return Letter{}, fmt.Errorf("decoding a dead letter: %s", avroCause(err))
	}
	l := Letter{
		Reason: w.Reason, Detail: w.Detail, Operator: text(w.Operator), Customer: text(w.CustomerID),
		Source:   Position{Topic: text(w.Topic), Partition: w.Partition, Offset: w.Offset},
		Deadline: timeAt(w.Deadline), AppendTime: timeAt(w.AppendTime),
		Key: bytesAt(w.Key), KeyLength: w.KeyLength, Value: bytesAt(w.Value), ValueLength: w.ValueLength, ValueSHA256: text(w.ValueSHA256),
		HeadersLeftOut: w.HeadersLeftOut,
	}
	for _, h := range w.Headers {
		l.Headers = append(l.Headers, Header{Key: h.Key, Value: bytesAt(h.Value)})
	}
	return l, nil
}

// timeAt returns the instant in a slot, Unset for null.
func timeAt(slot *int64) operators.EventTime {
	if slot == nil {
		return operators.Unset
	}
	return operators.EventTime(*slot)
}

// bytesAt returns the bytes in a slot, nil for null; empty bytes are not null.
func bytesAt(slot *[]byte) []byte {
	if slot == nil {
		return nil
	}
	if *slot == nil {
		return []byte{}
	}
	return *slot
}

// IsDeadline reports whether the letter tells of a deadline, which has no record to be sent again.
func (l *Letter) IsDeadline() bool { return l.Source.Topic == "" }

// Missing says which parts of the record the letter has not kept, "" if it has all of it.
func (l *Letter) Missing() string {
	var parts []string
	if l.KeyLength > int64(len(l.Key)) {
		parts = append(parts, fmt.Sprintf("%d of the key's %d bytes", l.KeyLength-int64(len(l.Key)), l.KeyLength))
	}
	if l.ValueLength > int64(len(l.Value)) {
		parts = append(parts, fmt.Sprintf("%d of the value's %d bytes", l.ValueLength-int64(len(l.Value)), l.ValueLength))
	}
	if l.HeadersLeftOut > 0 {
		parts = append(parts, fmt.Sprintf("%d headers", l.HeadersLeftOut))
	}
	return strings.Join(parts, ", ")
}

// Origin returns where the record stood first: what its header RedrivenHeader says if it has been sent again, else Source. redriven reports which.
func (l *Letter) Origin() (p Position, redriven bool) {
	for _, h := range l.Headers {
		if h.Key != RedrivenHeader {
			continue
		}
		if p, ok := ParsePosition(string(h.Value)); ok {
			return p, true
		}
	}
	return l.Source, false
}
