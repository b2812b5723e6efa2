package schemas

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// digestVersion begins what is hashed. docs/formats/digest.md describes it.
//
//	1: the first.
//	2: with offers.
const digestVersion = "lull digest 2"

// digestTopics are the topics with digests per key, in the order of the sum.
var digestTopics = [...]Topic{Sessions, Segments, Triggers, Offers, Scores}

// Digest says in one number what a run has put out, whatever the batches, restarts and processes it was made in: two runs have the same digest if
// and only if they told every customer's story alike. docs/formats/digest.md defines it. It keeps 32 bytes for each topic and key. The zero value is
// the digest of nothing. Not safe for concurrent use.
type Digest struct {
	keys    [topicsEnd]map[string][sha256.Size]byte
	dead    [4]uint64 // sum of the dead letters' hashes as 256-bit numbers, lowest limb first
	deadLen int64
	frame   []byte // what is hashed next
	headers []Header
	value   []byte
}

// Add takes in a record of a topic, as a read-committed consumer gets it. Records of one key must come in the order of their partition; how keys
// and partitions are interleaved does not matter, nor does the format that their content-type names. Records of topics that the digest leaves out (events, models) change
// nothing. The error says that a record cannot be decoded; the digest is as it was before.
func (d *Digest) Add(t Topic, key, value []byte, headers []Header) error {
	if !slices.Contains(ComparedTopics[:], t) {
		return nil
	}
	value, err := plainOf(t, value, headers)
	if err != nil {
		return err
	}
	switch t {
	case Sessions, Segments, Triggers, Offers:
		d.addStep(t, key, value, headers)
	case Scores:
		return d.addRow(key, value, headers)
	case DeadLetters:
		return d.addDeadLetter(value)
	}
	return nil
}

// addStep continues the key's chain of hashes.
func (d *Digest) addStep(t Topic, key, value []byte, headers []Header) {
	before := d.keysOf(t)[string(key)] // zeros for the first
	d.frame = append(d.frame[:0], before[:]...)
	d.frame = appendFramed(d.frame, key)
	d.frame = appendFramed(d.frame, value)
	d.frameHeaders(headers, "")
	d.keysOf(t)[string(key)] = sha256.Sum256(d.frame)
}

// addRow replaces the key's row.
func (d *Digest) addRow(key, value []byte, headers []Header) error {
	if value == nil {
		delete(d.keysOf(Scores), string(key))
		return nil
	}
	var row wireScore
	if err := decodeWhole(Scores, value, &row); err != nil {
		return err
	}
	row.Revision = 0
	var err error
	if d.value, err = compiled[Scores].AppendEncode(d.value[:0], &row); err != nil {
		return fmt.Errorf("encoding a score for the digest: %w", err)
	}
	d.frame = appendFramed(d.frame[:0], key)
	d.frame = appendFramed(d.frame, d.value)
	d.frameHeaders(headers, "ce_id")
	d.keysOf(Scores)[string(key)] = sha256.Sum256(d.frame)
	return nil
}

// addDeadLetter adds to the multiset of dead letters.
func (d *Digest) addDeadLetter(value []byte) error {
	var w wireDeadLetter
	if err := decodeWhole(DeadLetters, value, &w); err != nil {
		return err
	}
	if w.Topic != nil {
		d.frame = appendFramed(d.frame[:0], []byte(*w.Topic))
		d.frame = appendInt(d.frame, int64(w.Partition))
		d.frame = appendInt(d.frame, w.Offset)
	} else {
		d.frame = appendFramed(d.frame[:0], nil)
		d.frame = appendFramed(d.frame, []byte(text(w.CustomerID)))
		d.frame = appendFramed(d.frame, []byte(text(w.Operator)))
		if w.Deadline != nil {
			d.frame = appendInt(d.frame, *w.Deadline)
		}
	}
	d.frame = appendFramed(d.frame, []byte(w.Reason))
	sum := sha256.Sum256(d.frame)
	carry := uint64(0)
	for i := range d.dead {
		limb := binary.BigEndian.Uint64(sum[len(sum)-8*(i+1):])
		d.dead[i], carry = bits.Add64(d.dead[i], limb, carry)
	}
	d.deadLen++
	return nil
}

// decodeWhole decodes a value, of which nothing may be left. The texts in wire are parts of the value.
func decodeWhole(t Topic, value []byte, wire any, opts ...avro.Opt) error {
	rest, err := compiled[t].Decode(value, wire, append(opts, aliasInput)...)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes follow it", len(rest))
	}
	if err != nil {
		return fmt.Errorf("decoding a record of %s: %s", t, avroCause(err))
	}
	return nil
}

// Sum returns the digest of all records so far, as 64 hexadecimal digits. More can be added afterwards.
func (d *Digest) Sum() string {
	frame := appendFramed(nil, []byte(digestVersion))
	for _, t := range digestTopics {
		frame = appendFramed(frame, []byte(t.String()))
		frame = appendInt(frame, int64(len(d.keys[t])))
		for _, key := range slices.Sorted(maps.Keys(d.keys[t])) {
			of := d.keys[t][key]
			frame = appendFramed(frame, []byte(key))
			frame = append(frame, of[:]...)
		}
	}
	frame = appendFramed(frame, []byte(DeadLetters.String()))
	frame = appendInt(frame, d.deadLen)
	for i := len(d.dead) - 1; i >= 0; i-- {
		frame = appendInt(frame, int64(d.dead[i]))
	}
	sum := sha256.Sum256(frame)
	return hex.EncodeToString(sum[:])
}

func (d *Digest) keysOf(t Topic) map[string][sha256.Size]byte {
	if d.keys[t] == nil {
		d.keys[t] = make(map[string][sha256.Size]byte)
	}
	return d.keys[t]
}

// appendFramed appends bytes with their length before them, -1 for null, so that no two lists of them run together.
func appendFramed(dst, b []byte) []byte {
	if b == nil {
		return appendInt(dst, -1)
	}
	return append(appendInt(dst, int64(len(b))), b...)
}

func appendInt(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

// frameHeaders appends the CloudEvents headers but for one, sorted by name and value.
func (d *Digest) frameHeaders(headers []Header, leftOut string) {
	d.headers = d.headers[:0]
	for _, h := range headers {
		if strings.HasPrefix(h.Key, "ce_") && h.Key != leftOut {
			d.headers = append(d.headers, h)
		}
	}
	slices.SortStableFunc(d.headers, func(a, b Header) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), bytes.Compare(a.Value, b.Value))
	})
	d.frame = appendInt(d.frame, int64(len(d.headers)))
	for _, h := range d.headers {
		d.frame = appendFramed(d.frame, []byte(h.Key))
		d.frame = appendFramed(d.frame, h.Value)
	}
}
