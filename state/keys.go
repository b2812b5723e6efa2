package state

import (
	"encoding/binary"
	"fmt"
	"math"
)

// FormatVersion is the version of the store's format, written into the store when it is made and checked when it is opened.
//
//	1: the first.
const FormatVersion = 1

// class is the byte after the partition in every key.
type class byte

const (
	classMark  class = 0 // one record, under the empty key: first, so that listing the partitions reads one record of each
	classData  class = 1 // the records that the changelog mirrors
	classIndex class = 2 // the entries of the timer index, without values
	classEnd   class = 3 // no record: the end of the index
)

// prefixBytes is the length of what stands before a record's own key: the partition, big-endian so that partitions sort by number, and the class.
const prefixBytes = 5

// formatKey holds the store's magic and format version. It sorts behind all partitions, whose first byte is below 0x80.
var formatKey = []byte("\xff\xff\xff\xfflull-state")

// formatMagic begins the value of formatKey; one byte, FormatVersion, follows.
const formatMagic = "lull state store "

// appendKey appends the key under which the backing holds a record of partition n.
func appendKey(dst []byte, n int32, c class, key []byte) []byte {
	dst = append(binary.BigEndian.AppendUint32(dst, uint32(n)), byte(c))
	return append(dst, key...)
}

// makeKey is appendKey into memory of its own.
func makeKey(n int32, c class, key []byte) []byte {
	return appendKey(make([]byte, 0, prefixBytes+len(key)), n, c, key)
}

// partitionSpan returns the bounds of all keys of partition n: lo <= key < hi.
func partitionSpan(n int32) (lo, hi []byte) {
	return binary.BigEndian.AppendUint32(nil, uint32(n)), binary.BigEndian.AppendUint32(nil, uint32(n)+1)
}

// NoPosition is the position of a state that stands for nothing: the changelog is to be read from its start.
const NoPosition = -1

// mark says what a partition's records stand for.
type mark struct {
	position   int64 // next changelog offset, or NoPosition
	atEndMs    int64 // wall time, in ms since the Unix epoch, until which the state can have missed no deletion; 0: never
	releasedMs int64 // wall time at which the partition was released; 0: it is in use, or was when the process was killed
}

const markBytes = 24

// noMark is the mark of a partition of which the store knows nothing.
var noMark = mark{position: NoPosition}

func (m mark) encode() []byte {
	b := make([]byte, 0, markBytes)
	b = binary.BigEndian.AppendUint64(b, uint64(m.position))
	b = binary.BigEndian.AppendUint64(b, uint64(m.atEndMs))
	return binary.BigEndian.AppendUint64(b, uint64(m.releasedMs))
}

func decodeMark(n int32, b []byte) (mark, error) {
	if len(b) != markBytes {
		return mark{}, fmt.Errorf("%w: the mark of partition %d has %d bytes instead of %d: %x", ErrCorrupt, n, len(b), markBytes, b)
	}
	m := mark{
		position:   int64(binary.BigEndian.Uint64(b)),
		atEndMs:    int64(binary.BigEndian.Uint64(b[8:])),
		releasedMs: int64(binary.BigEndian.Uint64(b[16:])),
	}
	if m.position < NoPosition {
		return mark{}, fmt.Errorf("%w: the mark of partition %d has position %d", ErrCorrupt, n, m.position)
	}
	return m, nil
}

// checkPartition returns an error unless n can be a partition's number.
func checkPartition(n int32) error {
	if n < 0 {
		return fmt.Errorf("partition %d: a partition's number is from 0 to %d", n, math.MaxInt32)
	}
	return nil
}
