package task

import (
	"encoding/binary"

	"lull/operators"
)

// The classes of keys in a task's store and changelog (docs/formats/changelog.md).
const (
	metaClass     = 'm' // the meta record: the key is this byte
	customerClass = 'c' // a customer's state: then the customer's id
	partClass     = 'p' // a customer's long list: then the length of the id (uvarint), the id, the list's name
	shapeClass    = 's' // what the state was made with: the key is this byte
)

// MetaKey is the key of the task's meta record.
var MetaKey = []byte{metaClass}

// CustomersEnd is the least key that is above those of all customers' states; CustomerKey of "" is not above any.
var CustomersEnd = []byte{customerClass + 1}

// CustomerKey appends the key of a customer's state to dst.
func CustomerKey(dst []byte, id string) []byte { return append(append(dst, customerClass), id...) }

// CustomerOf returns the customer whose state lies under key; ok is false for keys of another class.
func CustomerOf(key []byte) (id []byte, ok bool) {
	if len(key) < 2 || key[0] != customerClass {
		return nil, false
	}
	return key[1:], true
}

// PartKey appends the key of one of a customer's long lists to dst.
func PartKey(dst []byte, id, name string) []byte {
	dst = append(dst, partClass)
	dst = binary.AppendUvarint(dst, uint64(len(id)))
	dst = append(dst, id...)
	return append(dst, name...)
}

// IndexEntry derives the entry of the timer index from a record of the store: the armed instant, ordered bytewise, and the customer.
// It appends the entry to dst; ok is false for records without a timer.
func IndexEntry(dst, key, value []byte) (entry []byte, ok bool) {
	id, ok := CustomerOf(key)
	if !ok {
		return dst, false
	}
	armed, ok := operators.StateArmed(value)
	if !ok || armed == operators.Never {
		return dst, false
	}
	return append(appendInstant(dst, armed), id...), true
}

const signBit = 1 << 63

// appendInstant appends an instant so that earlier ones sort before later ones.
func appendInstant(dst []byte, at operators.EventTime) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(at)^signBit)
}

func appendEntry(at operators.EventTime, id string) []byte {
	return append(appendInstant(make([]byte, 0, 8+len(id)), at), id...)
}

func parseEntry(entry []byte) (timer, bool) {
	if len(entry) < 9 {
		return timer{}, false
	}
	return timer{at: operators.EventTime(binary.BigEndian.Uint64(entry) ^ signBit), customer: string(entry[8:])}, true
}
