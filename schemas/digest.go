package schemas

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math/bits"
	"slices"
	"strings"
)

// digestVersion begins what is hashed. docs/formats/digest.md describes it.
//
//	1: the first.
const digestVersion = "lull digest 1"

// digestTopics are the topics with digests per key, in the order of the sum.
var digestTopics = [...]Topic{Sessions, Segments, Triggers, Scores}

// Digest says in one number what a run has put out, whatever the batches, restarts and processes it was made in: two runs have the same digest if
// and only if they told every customer's story alike. docs/formats/digest.md defines it. It keeps 32 bytes for each topic and key. The zero value is
// the digest of nothing. Not safe for concurrent use.
type Digest struct {
	keys    [topicsEnd]map[string][sha256.Size]byte
	dead    [4]uint64 // sum of the dead letters' hashes as 256-bit numbers, lowest limb first
	deadLen uint64
	hash    hash.Hash
	headers []Header
	value   []byte
}

// Add takes in a record of a topic, as a read-committed consumer gets it. Records of one key must come in the order of their partition; how keys
// and partitions are interleaved does not matter. Records of topics that the digest leaves out (events, models) change nothing. The error says that a
// record cannot be decoded; the digest is as it was before.
func (d *Digest) Add(t Topic, key, value []byte, headers []Header) error {
	if d.hash == nil {
		d.hash = sha256.New()
	}
	switch t {
	case Sessions, Segments, Triggers:
		d.addStep(t, key, value, headers)
		return nil
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
	d.hash.Reset()
	d.hash.Write(before[:])
	d.write(key)
	d.write(value)
	d.writeHeaders(headers, "")
	d.keysOf(t)[string(key)] = d.sum()
}

// addRow replaces the key's row.
func (d *Digest) addRow(key, value []byte, headers []Header) error {
	if value == nil {
		delete(d.keysOf(Scores), string(key))
		return nil
	}
	var row wireScore
	rest, err := compiled[Scores].Decode(value, &row, aliasInput)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes follow it", len(rest))
	}
	if err != nil {
		return fmt.Errorf("decoding a score for the digest: %w", err)
	}
	row.Revision = 0
	if d.value, err = compiled[Scores].AppendEncode(d.value[:0], &row); err != nil {
		return fmt.Errorf("encoding a score for the digest: %w", err)
	}
	d.hash.Reset()
	d.write(key)
	d.write(d.value)
	d.writeHeaders(headers, "ce_id")
	d.keysOf(Scores)[string(key)] = d.sum()
	return nil
}

// addDeadLetter adds to the multiset of dead letters.
func (d *Digest) addDeadLetter(value []byte) error {
	var w wireDeadLetter
	rest, err := compiled[DeadLetters].Decode(value, &w, aliasInput)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes follow it", len(rest))
	}
	if err != nil {
		return fmt.Errorf("decoding a dead letter for the digest: %w", err)
	}
	d.hash.Reset()
	if w.Topic != nil {
		d.write([]byte(*w.Topic))
		d.writeInt(int64(w.Partition))
		d.writeInt(w.Offset)
	} else {
		d.write(nil)
		d.write([]byte(text(w.CustomerID)))
		d.write([]byte(text(w.Operator)))
		if w.Deadline != nil {
			d.writeInt(*w.Deadline)
		}
	}
	d.write([]byte(w.Reason))
	sum := d.sum()
	carry := uint64(0)
	for i := range d.dead {
		limb := binary.BigEndian.Uint64(sum[len(sum)-8*(i+1):])
		d.dead[i], carry = bits.Add64(d.dead[i], limb, carry)
	}
	d.deadLen++
	return nil
}

// Sum returns the digest of all records so far, as 64 hexadecimal digits. More can be added afterwards.
func (d *Digest) Sum() string {
	if d.hash == nil {
		d.hash = sha256.New()
	}
	d.hash.Reset()
	d.write([]byte(digestVersion))
	for _, t := range digestTopics {
		keys := make([]string, 0, len(d.keys[t]))
		for key := range d.keys[t] {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		d.write([]byte(t.String()))
		d.writeInt(int64(len(keys)))
		for _, key := range keys {
			of := d.keys[t][key]
			d.write([]byte(key))
			d.hash.Write(of[:])
		}
	}
	d.write([]byte(DeadLetters.String()))
	d.writeInt(int64(d.deadLen))
	for i := len(d.dead) - 1; i >= 0; i-- {
		d.writeInt(int64(d.dead[i]))
	}
	sum := d.sum()
	return hex.EncodeToString(sum[:])
}

func (d *Digest) keysOf(t Topic) map[string][sha256.Size]byte {
	if d.keys[t] == nil {
		d.keys[t] = make(map[string][sha256.Size]byte)
	}
	return d.keys[t]
}

func (d *Digest) sum() (sum [sha256.Size]byte) {
	d.hash.Sum(sum[:0])
	return sum
}

// write hashes bytes with their length before them, -1 for null, so that no two lists of them run together.
func (d *Digest) write(b []byte) {
	if b == nil {
		d.writeInt(-1)
		return
	}
	d.writeInt(int64(len(b)))
	d.hash.Write(b)
}

func (d *Digest) writeInt(v int64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(v))
	d.hash.Write(b[:])
}

// writeHeaders hashes the CloudEvents headers but for one, sorted by name and value.
func (d *Digest) writeHeaders(headers []Header, leftOut string) {
	d.headers = d.headers[:0]
	for _, h := range headers {
		if strings.HasPrefix(h.Key, "ce_") && h.Key != leftOut {
			d.headers = append(d.headers, h)
		}
	}
	slices.SortStableFunc(d.headers, func(a, b Header) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return bytes.Compare(a.Value, b.Value)
	})
	d.writeInt(int64(len(d.headers)))
	for _, h := range d.headers {
		d.write([]byte(h.Key))
		d.write(h.Value)
	}
}
