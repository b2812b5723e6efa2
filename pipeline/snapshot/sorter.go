package snapshot

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/klauspost/compress/s2"
)

// sorter sorts records by their keys, byte by byte, in little memory: what is gathered is sorted and written as a run when it is too much, and the runs are merged as they are read, which takes up to 150 KiB for each, a hundredth of what was put. Of the records with one key the one
// that was put last is there. It is for what is written once and read in order: a store would build filters and indices of it, and write it again as it compacts.
type sorter struct {
	dir      string // of the file
	bytesMax int    // how much is gathered

	gathered []byte // keys and values, one after the other
	refs     []sortRef
	prefix   []byte // that all keys so far begin with

	file *os.File // the runs, one after the other; nil: there are none
	runs []fileSpan
}

// sortRef is a record that has been gathered: its key begins at gathered[at], and its value follows.
type sortRef struct {
	head                     uint64 // the first bytes of the key behind the prefix, which decide most comparisons
	at, keyBytes, valueBytes uint32
}

// fileSpan is a part of a file, in bytes.
type fileSpan struct{ start, end int64 }

const (
	sortBytesMax   = 16 << 20 // gathered by each topic
	sortRefBytes   = 24
	sortBlockBytes = 64 << 10 // compressed at once; a run that is read has one in memory, and a buffer of the size below
	sortReadBytes  = 32 << 10
	frameBytes     = 8 // before a block: its length, its checksum
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged is the error of a run that is not what was written.
var errDamaged = errors.New("the file has been changed, or its disk is damaged: take the snapshot again")

// put adds a record, whose value is these parts. They are copied.
func (s *sorter) put(key []byte, value ...[]byte) error {
	r := sortRef{at: uint32(len(s.gathered)), keyBytes: uint32(len(key))}
	s.gathered = append(s.gathered, key...)
	for _, part := range value {
		s.gathered = append(s.gathered, part...)
		r.valueBytes += uint32(len(part))
	}
	if len(s.refs) == 0 && s.file == nil {
		s.prefix = bytes.Clone(key)
	}
	s.prefix = s.prefix[:common(s.prefix, key)]
	s.refs = append(s.refs, r)
	if len(s.gathered)+sortRefBytes*len(s.refs) < s.bytesMax {
		return nil
	}
	return s.spill()
}

// end says that all records have been put.
func (s *sorter) end() error {
	if s.file == nil {
		s.sort()
		return nil
	}
	if len(s.refs) > 0 {
		if err := s.spill(); err != nil {
			return err
		}
	}
	s.gathered, s.refs = nil, nil
	return nil
}

// close removes the file.
func (s *sorter) close() error {
	if s.file == nil {
		return nil
	}
	return cmp.Or(s.file.Close(), os.Remove(s.file.Name()))
}

// common returns how many bytes two keys begin with in common.
func common(a, b []byte) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// head returns the eight bytes of a key behind the prefix as a number that sorts like them.
func (s *sorter) head(key []byte) uint64 {
	var first [8]byte
	copy(first[:], key[len(s.prefix):])
	return binary.BigEndian.Uint64(first[:])
}

func (s *sorter) key(r *sortRef) []byte   { return s.gathered[r.at:][:r.keyBytes] }
func (s *sorter) value(r *sortRef) []byte { return s.gathered[r.at+r.keyBytes:][:r.valueBytes] }

// sort puts what is gathered in order, of each key the last.
func (s *sorter) sort() {
	for i := range s.refs {
		s.refs[i].head = s.head(s.key(&s.refs[i]))
	}
	slices.SortFunc(s.refs, func(a, b sortRef) int {
		if c := cmp.Compare(a.head, b.head); c != 0 {
			return c
		}
		return cmp.Or(bytes.Compare(s.key(&a), s.key(&b)), cmp.Compare(b.at, a.at))
	})
	s.refs = slices.CompactFunc(s.refs, func(a, b sortRef) bool { return a.head == b.head && bytes.Equal(s.key(&a), s.key(&b)) })
}

// spill writes what is gathered as a run.
func (s *sorter) spill() error {
	if err := s.writeRun(); err != nil {
		return fmt.Errorf("sorting outputs in %q: %w", s.dir, err)
	}
	s.gathered, s.refs = s.gathered[:0], s.refs[:0]
	return nil
}

// writeRun writes blocks, each compressed and behind its length and checksum.
func (s *sorter) writeRun() (err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp(s.dir, "outputs-"); err != nil {
			return err
		}
	}
	s.sort()
	var run fileSpan
	if len(s.runs) > 0 {
		run.start = s.runs[len(s.runs)-1].end
	}
	run.end = run.start
	out := bufio.NewWriterSize(s.file, 4*sortBlockBytes)
	var block, packed []byte
	for i := range s.refs {
		r := &s.refs[i]
		block = binary.AppendUvarint(block, uint64(r.keyBytes))
		block = binary.AppendUvarint(block, uint64(r.valueBytes))
		block = append(append(block, s.key(r)...), s.value(r)...)
		if len(block) < sortBlockBytes && i < len(s.refs)-1 {
			continue
		}
		packed = s2.Encode(packed[:cap(packed)], block)
		var frame [frameBytes]byte
		binary.BigEndian.PutUint32(frame[:], uint32(len(packed)))
		binary.BigEndian.PutUint32(frame[4:], crc32.Checksum(packed, castagnoli))
		run.end += int64(len(frame) + len(packed))
		block = block[:0]
		_, frameErr := out.Write(frame[:])
		_, err := out.Write(packed)
		if err = cmp.Or(frameErr, err); err != nil {
			return err
		}
	}
	s.runs = append(s.runs, run)
	return out.Flush()
}

// all calls yield for the records in the order of their keys until it returns false. What it yields must not be changed, and may be kept. Several may read at once.
func (s *sorter) all(yield func(key, value []byte) bool) error {
	if s.file == nil {
		for i := range s.refs {
			if !yield(s.key(&s.refs[i]), s.value(&s.refs[i])) {
				break
			}
		}
		return nil
	}
	var runs merge[*runReader]
	for i, run := range s.runs {
		r := &runReader{of: s, n: i, bytes: run.end - run.start, in: bufio.NewReaderSize(io.NewSectionReader(s.file, run.start, run.end-run.start), sortReadBytes)}
		if _, err := r.next(); err != nil { // no run is empty
			return fmt.Errorf("reading sorted outputs: %w", err)
		}
		runs = append(runs, r)
	}
	heap.Init(&runs)
	var last []byte
	for first := true; len(runs) > 0; {
		r := runs[0]
		key, value := r.key, r.value
		more, err := r.next()
		if err != nil {
			return fmt.Errorf("reading sorted outputs: %w", err)
		}
		runs.settle(more)
		if !first && bytes.Equal(key, last) {
			continue // an older one
		}
		first, last = false, key
		if !yield(key, value) {
			break
		}
	}
	return nil
}

// runReader reads a run.
type runReader struct {
	of         *sorter
	n          int // which
	in         *bufio.Reader
	bytes      int64 // of the run
	packed     []byte
	block      []byte // what is left of it
	head       uint64
	key, value []byte
}

// next goes to the next record; more is false if there is none.
func (r *runReader) next() (more bool, err error) {
	if len(r.block) == 0 {
		var frame [frameBytes]byte
		if _, err := io.ReadFull(r.in, frame[:]); errors.Is(err, io.EOF) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		length, sum := binary.BigEndian.Uint32(frame[:]), binary.BigEndian.Uint32(frame[4:])
		if int64(length) > r.bytes {
			return false, errDamaged
		}
		r.packed = slices.Grow(r.packed[:0], int(length))[:length]
		if _, err := io.ReadFull(r.in, r.packed); err != nil {
			return false, err
		}
		if crc32.Checksum(r.packed, castagnoli) != sum {
			return false, errDamaged
		}
		if r.block, err = s2.Decode(nil, r.packed); err != nil { // memory of its own: what is in it may be kept
			return false, err
		}
	}
	keyBytes, used := binary.Uvarint(r.block)
	r.block = r.block[used:]
	valueBytes, used := binary.Uvarint(r.block)
	r.block = r.block[used:]
	r.key, r.value, r.block = r.block[:keyBytes:keyBytes], r.block[keyBytes:keyBytes+valueBytes:keyBytes+valueBytes], r.block[keyBytes+valueBytes:]
	r.head = r.of.head(r.key)
	return true, nil
}

// Before reports whether the record comes before that of another run. Of those with one key the newest does.
func (r *runReader) Before(other *runReader) bool {
	if r.head != other.head {
		return r.head < other.head
	}
	return cmp.Or(bytes.Compare(r.key, other.key), cmp.Compare(other.n, r.n)) < 0
}
