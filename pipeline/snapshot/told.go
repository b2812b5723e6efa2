package snapshot

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"

	"lull/operators"
	"lull/schemas"
)

// Output is a record of a topic of outputs.
type Output struct {
	Partition int32
	Offset    int64
	ID        string // ce_id
	Time      operators.EventTime
	Value     []byte // Avro by the topic's schema
}

// outputs are the records of one topic, sorted on disk by customer, revision and id. A copy of an output has all three from it, and is there once.
type outputs struct {
	sorted sorter
	key    []byte          // of the record that was taken in last
	from   map[int32]int64 // by partition, the first offset that its topic still had when all had been read
	first  map[int32]place // by partition whose topic has begun to forget, the first that it still had; known when all have been walked through
}

// place is where an output lies in its partition, and when it became true.
type place struct {
	offset int64
	time   operators.EventTime
}

// note notes an output as the first of its partition if it is.
func (o *outputs) note(of *told) {
	if first, ok := o.first[of.Partition]; o.from[of.Partition] > 0 && (!ok || of.Offset < first.offset) {
		o.first[of.Partition] = place{of.Offset, of.Time}
	}
}

// since returns the instant from which on the outputs are there, about, as they are not in the order of time; ok is false if none has been forgotten. asOf is that of who has none left.
func (o *outputs) since(asOf operators.EventTime) (at operators.EventTime, ok bool) {
	at = operators.Unset
	for partition, from := range o.from {
		if from == 0 {
			continue
		}
		first, some := o.first[partition]
		if !some || first.time > asOf {
			first.time = asOf
		}
		at, ok = max(at, first.time), true
	}
	return at, ok
}

// placeBytes is how long the part of a sorted record's value is that comes before the output's: partition, offset and time.
const placeBytes = 4 + 8 + 8

// Tell takes in a record of a topic of outputs. The value is copied.
func (s *State) Tell(topic schemas.Topic, o *Output) error {
	var of struct {
		Customer string `avro:"customer_id"`
		Revision int64  `avro:"revision"`
	}
	if err := schemas.DecodeInto(topic, o.Value, &of); err != nil {
		return err
	}
	to := s.outputs[topic]
	to.key = appendOutputKey(to.key[:0], of.Customer, uint64(of.Revision), o.ID)
	var at [placeBytes]byte
	binary.BigEndian.PutUint32(at[:], uint32(o.Partition))
	binary.BigEndian.PutUint64(at[4:], uint64(o.Offset))
	binary.BigEndian.PutUint64(at[12:], uint64(o.Time))
	return to.sorted.put(to.key, at[:], o.Value)
}

// EndTell says that all records have been taken in that a topic of outputs had, and of each partition the first offset that it still has: what is below it has been deleted meanwhile, and is left out.
func (s *State) EndTell(topic schemas.Topic, from map[int32]int64) error {
	of := s.outputs[topic]
	of.from = from
	return of.sorted.end()
}

// appendOutputKey appends the key of an output: keys are in the order of customers, byte by byte, and then of revisions.
func appendOutputKey(key []byte, customer string, revision uint64, id string) []byte {
	for i := range len(customer) {
		if key = append(key, customer[i]); customer[i] == 0 {
			key = append(key, 1)
		}
	}
	key = binary.BigEndian.AppendUint64(append(key, 0, 0), revision)
	return append(key, id...)
}

// outputOf reads an output off its key and value, but for its customer's id; ok is false if they are none.
func outputOf(key, value []byte) (o told, customer []byte, ok bool) {
	end := bytes.Index(key, []byte{0, 0})
	if end < 0 || len(key) < end+2+8 || len(value) < placeBytes {
		return told{}, nil, false
	}
	if customer = key[:end]; bytes.IndexByte(customer, 0) >= 0 {
		customer = bytes.ReplaceAll(customer, []byte{0, 1}, []byte{0})
	}
	return told{
		revision: binary.BigEndian.Uint64(key[end+2:]),
		Output: Output{
			Partition: int32(binary.BigEndian.Uint32(value)), Offset: int64(binary.BigEndian.Uint64(value[4:])), Time: operators.EventTime(binary.BigEndian.Uint64(value[12:])),
			ID: string(key[end+2+8:]), Value: value[placeBytes:],
		},
	}, customer, true
}

// told is an output, of whom, and which of theirs.
type told struct {
	customer string
	revision uint64
	Output
}

// told calls yield for the outputs of a topic that became true up to the instant, in the order of customers, and of each in that of revisions: those of the transactions that the customers' states are of. A state
// counts its customer's outputs, so that one with a higher revision is of a later transaction; and who has no state any more has no output. What is yielded must not be changed, and may be kept.
func (s *source) told(topic schemas.Topic, yield func(*told) error) error {
	of := s.state.outputs[topic]
	customers := s.state.walk()
	defer customers.stop()
	c, failed := customers.next()
	var id string       // of c
	var revision uint64 // that c has come to
	known := false      // the two are c's
	sorted := of.sorted.all(func(key, value []byte) bool {
		o, customer, ok := outputOf(key, value)
		if !ok {
			failed = fmt.Errorf("%w: an output under the key %q", operators.ErrCorrupt, key)
			return false
		}
		if o.Offset < of.from[o.Partition] {
			return true
		}
		of.note(&o)
		for failed == nil && c != nil && bytes.Compare(c.id, customer) < 0 {
			c, failed = customers.next()
			known = false
		}
		if failed != nil || c == nil || !bytes.Equal(c.id, customer) {
			return failed == nil
		}
		if !known {
			id, known = string(c.id), true
			revision, failed = c.revision()
		}
		if failed == nil && o.revision <= revision && o.Time <= s.asOf {
			o.customer = id
			if err := yield(&o); err != nil {
				failed = fmt.Errorf("partition %d of %s, offset %d: %w", o.Partition, topic, o.Offset, err)
			}
		}
		return failed == nil
	})
	return cmp.Or(failed, sorted)
}
