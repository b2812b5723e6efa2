package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math"

	"lull/operators"
	"lull/schemas"
	"lull/state"
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
	store *state.Partition
	put   int64           // how many
	from  map[int32]int64 // by partition, the first offset that its topic still had when all had been read
	first map[int32]place // by partition whose topic has begun to forget, the first that it still had; known when all have been walked through
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

// outputsOf returns the store of a topic's records, in a partition of its own that no input has.
func (s *State) outputsOf(topic schemas.Topic) (*outputs, error) {
	if o := s.outputs[topic]; o != nil {
		return o, nil
	}
	store, err := s.db.Partition(math.MaxInt32 - int32(topic))
	if err != nil {
		return nil, err
	}
	s.outputs[topic] = &outputs{store: store, first: make(map[int32]place)}
	return s.outputs[topic], nil
}

// Tell takes in a record of a topic of outputs. The value is copied.
func (s *State) Tell(topic schemas.Topic, o *Output) error {
	var of struct {
		Customer string `avro:"customer_id"`
		Revision int64  `avro:"revision"`
	}
	if err := schemas.DecodeInto(topic, o.Value, &of); err != nil {
		return err
	}
	to, err := s.outputsOf(topic)
	if err != nil {
		return err
	}
	value := binary.BigEndian.AppendUint32(nil, uint32(o.Partition))
	value = binary.BigEndian.AppendUint64(value, uint64(o.Offset))
	value = binary.BigEndian.AppendUint64(value, uint64(o.Time))
	to.put++
	return to.store.Restore(outputKey(of.Customer, uint64(of.Revision), o.ID), append(value, o.Value...), to.put)
}

// EndTell says that all records have been taken in that a topic of outputs had, and of each partition the first offset that it still has: what is below it has been deleted meanwhile, and is left out.
func (s *State) EndTell(topic schemas.Topic, from map[int32]int64) error {
	of, err := s.outputsOf(topic)
	if err != nil {
		return err
	}
	of.from = from
	return of.store.EndRestore(of.put)
}

// outputKey returns the key of an output: keys are in the order of customers, byte by byte, and then of revisions.
func outputKey(customer string, revision uint64, id string) []byte {
	key := bytes.ReplaceAll([]byte(customer), []byte{0}, []byte{0, 1})
	key = binary.BigEndian.AppendUint64(append(key, 0, 0), revision)
	return append(key, id...)
}

// outputOf reads an output off its key and value; ok is false if they are none.
func outputOf(key, value []byte) (o told, ok bool) {
	const placeBytes = 4 + 8 + 8
	end := bytes.Index(key, []byte{0, 0})
	if end < 0 || len(key) < end+2+8 || len(value) < placeBytes {
		return told{}, false
	}
	return told{
		customer: string(bytes.ReplaceAll(key[:end], []byte{0, 1}, []byte{0})), revision: binary.BigEndian.Uint64(key[end+2:]),
		Output: Output{
			Partition: int32(binary.BigEndian.Uint32(value)), Offset: int64(binary.BigEndian.Uint64(value[4:])), Time: operators.EventTime(binary.BigEndian.Uint64(value[12:])),
			ID: string(key[end+2+8:]), Value: value[placeBytes:],
		},
	}, true
}

// told is an output, of whom, and which of theirs.
type told struct {
	customer string
	revision uint64
	Output
}

// told calls yield for the outputs of a topic that became true up to the instant, in the order of customers, and of each in that of revisions: those of the transactions that the customers' states are of. A state
// counts its customer's outputs, so that one with a higher revision is of a later transaction; and who has no state any more has no output. What is yielded is valid until yield returns.
func (s *source) told(topic schemas.Topic, yield func(*told) error) error {
	of, err := s.state.outputsOf(topic)
	if err != nil {
		return err
	}
	next, stop := iter.Pull2(s.state.customers)
	defer stop()
	c, failed, more := next()
	scanned := of.store.Scan(nil, nil, func(key, value []byte) bool {
		o, ok := outputOf(key, value)
		if !ok {
			failed = fmt.Errorf("%w: an output under the key %q", operators.ErrCorrupt, key)
			return false
		}
		if o.Offset < of.from[o.Partition] {
			return true
		}
		of.note(&o)
		for more && failed == nil && c.ID < o.customer {
			c, failed, more = next()
		}
		if failed == nil && more && c.ID == o.customer && o.revision <= c.Revision && o.Time <= s.asOf {
			if err := yield(&o); err != nil {
				failed = fmt.Errorf("partition %d of %s, offset %d: %w", o.Partition, topic, o.Offset, err)
			}
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return scanned
}
