package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"lull/operators"
)

const (
	// DeadLetterCut is the length in bytes that a dead letter keeps of a value beyond its limit, of a long key, and of headers.
	DeadLetterCut = 1 << 16
	// DeadLetterRecordMin is the least EncoderConfig.DeadLetterBytes: what the rest of a dead letter takes at most beside the value.
	DeadLetterRecordMin = 5 * DeadLetterCut
	// DeadLetterKeyMax is the length in bytes up to which the refused record's key is the dead letter's key.
	DeadLetterKeyMax = 1024

	detailBytesMax = 1 << 14
	// deadLetterRest is room for the fields of bounded length, CloudEvents headers, and a record's own overhead.
	deadLetterRest = 1 << 14
)

// DeadLetter is a record that was refused, or a deadline that failed.
type DeadLetter struct {
	operators.Rejection
	// Customer is the customer concerned, "" if not known.
	Customer string
	// Source is the refused record; nil for a deadline.
	Source *Source
	// Deadline is the deadline that failed and Partition its partition; read only if Source is nil.
	Deadline  operators.EventTime
	Partition int32
}

// EncodeDeadLetter makes rec the record of a dead letter, reusing the memory of rec.Headers. It keeps the refused value whole, so that it can be
// driven again, if the record then has at most EncoderConfig.DeadLetterBytes; else its first DeadLetterCut bytes, its length and its SHA-256.
// The id derives from the source position, or from customer, operator and deadline. An error is a fault of the program.
func (e *Encoder) EncodeDeadLetter(d *DeadLetter, rec *Record) error {
	rec.Topic = DeadLetters
	w := &e.slots.deadLetter
	*w = wireDeadLetter{
		Reason: d.Reason, Detail: validText(d.Detail[:min(len(d.Detail), detailBytesMax)]), Operator: nonEmpty(&d.Operator), CustomerID: nonEmpty(&d.Customer),
		Partition: d.Partition, Offset: -1, KeyLength: -1, ValueLength: -1, Headers: w.Headers[:0],
	}
	var id operators.ID
	var key []byte
	at := d.Deadline
	if s := d.Source; s != nil {
		e.deadRecord(s, w)
		id = operators.NewID("dead_letter", s.Topic, strconv.Itoa(int(s.Partition)), strconv.FormatInt(s.Offset, 10))
		if len(s.Key) <= DeadLetterKeyMax {
			key = s.Key
		}
		at = min(max(TimeMin, s.AppendTime), TimeEnd-1)
	} else {
		w.Deadline = instant(d.Deadline, &e.slots.next)
		id = operators.NewID("dead_letter", d.Customer, d.Operator, strconv.FormatInt(int64(d.Deadline), 10))
		key = []byte(d.Customer)
	}
	if err := e.encode(DeadLetters, w); err != nil {
		return err
	}
	e.finish(rec, true, id, d.Customer, at)
	if d.Customer == "" { // CloudEvents knows no empty subject
		rec.Headers = append(rec.Headers[:subjectHeader], rec.Headers[subjectHeader+1:]...)
	}
	rec.Key = nil
	if len(key) > 0 {
		rec.Key = append([]byte(nil), key...)
	}
	clear(w.Headers)
	*w = wireDeadLetter{Headers: w.Headers[:0]} // let go of the source's memory
	return nil
}

func (e *Encoder) deadRecord(s *Source, w *wireDeadLetter) {
	w.Topic, w.Partition, w.Offset = &s.Topic, s.Partition, s.Offset
	if s.AppendTime >= 0 {
		w.AppendTime = instant(s.AppendTime, &e.slots.next)
	}
	if s.Key != nil {
		key := s.Key[:min(len(s.Key), DeadLetterCut)]
		w.Key, w.KeyLength = &key, int64(len(s.Key))
	}
	kept := 0
	for i := range s.Headers {
		h := &s.Headers[i]
		if kept+headerSize(h) > DeadLetterCut {
			w.HeadersLeftOut = int64(len(s.Headers) - i)
			break
		}
		kept += headerSize(h)
		header := wireHeader{Key: validText(h.Key)}
		if h.Value != nil {
			header.Value = &h.Value
		}
		w.Headers = append(w.Headers, header)
	}
	if s.Value != nil {
		value, sum := s.Value, sha256.Sum256(s.Value)
		if len(w.Detail)+len(s.Topic)+2*min(len(s.Key), DeadLetterCut)+2*kept+len(value)+deadLetterRest > e.config.DeadLetterBytes {
			value = value[:min(len(value), DeadLetterCut)]
		}
		digits := hex.EncodeToString(sum[:])
		w.Value, w.ValueLength, w.ValueSHA256 = &value, int64(len(s.Value)), &digits
	}
}

// validText returns a text with its bytes that are no UTF-8 replaced, since readers refuse Avro strings with such.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
