package state

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"iter"
	"math"
	"slices"
)

// run gathers records that become one table: of each key the last. It keeps their bytes in few large pieces, which the garbage collector does not
// look into, and overwrites a value in its place if it can; layer, whose values are handed out to readers, can do neither. The zero run is empty.
type run struct {
	seed  maphash.Seed
	slabs [][]byte
	refs  []ref
	table []slot // hash table with open addressing over refs; its length is a power of two
	bytes int64  // of memory, with what becomes of the records when they are written
}

// ref is a record of a run: its key begins at slabs[slab][at], and its value follows.
type ref struct {
	head               uint64 // eight bytes of the key, see sortRefs
	slab, at           uint32
	keyBytes           uint32
	valueBytes, extent uint32 // length of the value, tombstone for none; bytes that it may take where it is
}

// slot is a place in the table of a run: above, 32 bits of the key's hash, so that few keys are looked at that are not the one looked for; below, an index
// in refs plus one, 0 where the place is free.
type slot uint64

const (
	tombstone = math.MaxUint32

	refBytes      = 32
	slotBytes     = 8
	slabBytesMin  = 256 // the next is twice as large, up to slabBytesMax
	slabBytesMax  = 1 << 20
	valueRounding = 16 // values grow slowly: most find room where they are
	tableMin      = 16

	// runEntryBytes is what the index entry of a record takes beside a key's bytes while the run is written: its deadline and its reference.
	runEntryBytes = 8 + 24
)

// put makes value the key's. Both are copied. A nil value is a tombstone.
func (r *run) put(key, value []byte) {
	if 2*len(r.refs) >= len(r.table) {
		r.grow()
	}
	hash := uint32(maphash.Bytes(r.seed, key))
	at := r.find(hash, key)
	if *at == 0 {
		r.refs = append(r.refs, r.place(key, value))
		*at = slot(hash)<<32 | slot(len(r.refs))
		r.bytes += refBytes + int64(len(key)) + runEntryBytes
		return
	}
	old := &r.refs[uint32(*at)-1]
	if len(value) > int(old.extent) {
		*old = r.place(key, value)
		return
	}
	copy(r.slabs[old.slab][old.at+old.keyBytes:], value)
	old.valueBytes = lengthOf(value)
}

func lengthOf(value []byte) uint32 {
	if value == nil {
		return tombstone
	}
	return uint32(len(value))
}

// find returns the slot of a key: the one that has it, or the free one where it belongs.
func (r *run) find(hash uint32, key []byte) *slot {
	mask := uint32(len(r.table) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		at := &r.table[i]
		if *at == 0 || uint32(*at>>32) == hash && bytes.Equal(r.key(&r.refs[uint32(*at)-1]), key) {
			return at
		}
	}
}

// grow doubles the table, so that at most half of it is taken.
func (r *run) grow() {
	if r.table == nil {
		r.seed = maphash.MakeSeed()
	}
	old := r.table
	r.table = make([]slot, max(tableMin, 2*len(old)))
	r.bytes += slotBytes * int64(len(r.table)-len(old))
	mask := uint32(len(r.table) - 1)
	for _, taken := range old {
		if taken == 0 {
			continue
		}
		i := uint32(taken>>32) & mask
		for r.table[i] != 0 {
			i = (i + 1) & mask
		}
		r.table[i] = taken
	}
}

// place copies a record into the slabs.
func (r *run) place(key, value []byte) ref {
	extent := (len(value) + valueRounding - 1) / valueRounding * valueRounding
	need := len(key) + extent
	last := len(r.slabs) - 1
	if last < 0 || cap(r.slabs[last])-len(r.slabs[last]) < need {
		size := slabBytesMin
		if last >= 0 {
			size = min(2*cap(r.slabs[last]), slabBytesMax)
		}
		r.slabs = append(r.slabs, make([]byte, 0, max(size, need)))
		last++
		r.bytes += int64(cap(r.slabs[last]))
	}
	slab := r.slabs[last]
	f := ref{slab: uint32(last), at: uint32(len(slab)), keyBytes: uint32(len(key)), valueBytes: lengthOf(value), extent: uint32(extent)}
	slab = append(append(slab, key...), value...)
	r.slabs[last] = slab[:int(f.at)+need]
	return f
}

func (r *run) key(f *ref) []byte { return r.slabs[f.slab][f.at:][:f.keyBytes:f.keyBytes] }

// value returns a record's value, nil for a tombstone.
func (r *run) value(f *ref) []byte {
	if f.valueBytes == tombstone {
		return nil
	}
	return r.slabs[f.slab][f.at+f.keyBytes:][:f.valueBytes:f.valueBytes]
}

// all yields the records in no order; a nil value is a tombstone. What it yields is valid until the next put.
func (r *run) all(yield func(key, value []byte) bool) {
	for i := range r.refs {
		if !yield(r.key(&r.refs[i]), r.value(&r.refs[i])) {
			return
		}
	}
}

// sort puts the records in the order of their keys. Afterwards nothing may be put any more.
func (r *run) sort() {
	r.table = nil
	r.sortRefs(r.refs, 0)
}

// sortRefs sorts records whose keys are equal up to depth: by their next eight bytes, as numbers, which lie together in memory and decide most
// comparisons; and those that are equal there by the bytes behind.
func (r *run) sortRefs(refs []ref, depth int) {
	for i := range refs {
		refs[i].head = head(r.key(&refs[i])[min(depth, int(refs[i].keyBytes)):])
	}
	ends := func(f *ref) int { return min(int(f.keyBytes), depth+8) }
	slices.SortFunc(refs, func(a, b ref) int { return cmp.Or(cmp.Compare(a.head, b.head), cmp.Compare(ends(&a), ends(&b))) })
	for len(refs) > 1 {
		n := 1
		for n < len(refs) && refs[n].head == refs[0].head && ends(&refs[n]) == ends(&refs[0]) {
			n++
		}
		if n > 1 {
			r.sortRefs(refs[:n], depth+8) // no two are the same, so they go on
		}
		refs = refs[n:]
	}
}

// writes yields the run as a flush of partition n: its mark, its records, and their entries in the timer index from a bound on. It sorts the run.
func (r *run) writes(n int32, m mark, index Index, from []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		r.sort()
		key := appendKey(nil, n, classMark, nil)
		if !yield(key, m.encode()) {
			return
		}
		key = appendKey(key[:0], n, classData, nil)
		for k, v := range r.all {
			key = append(key[:prefixBytes], k...)
			if !yield(key, v) {
				return
			}
		}
		key = appendKey(key[:0], n, classIndex, nil)
		var entries entryHeap
		if index != nil {
			for k, v := range r.all {
				entries.add(index, k, v, from, nil)
			}
		}
		entries.order()
		for entry, value, ok := entries.next(); ok; entry, value, ok = entries.next() {
			key = append(key[:prefixBytes], entry...)
			if !yield(key, value) {
				return
			}
		}
	}
}

// head returns the first eight bytes as a number that sorts like them.
func head(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var first [8]byte
	copy(first[:], b)
	return binary.BigEndian.Uint64(first[:])
}
