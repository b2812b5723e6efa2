package state

import (
	"bytes"
	"slices"
	"strings"
)

// entryOverheadBytes is what an entry of a layer takes besides its key and value: two headers (40 bytes) and a control byte in a hash map
// that is between 7/16 and 7/8 full, and what the allocator rounds up. TestDirtyBytesMatchHeap compares it with the heap.
const entryOverheadBytes = 80

// record is a key and its value in memory. A nil value is a tombstone; an empty value is not nil. The bytes never change once they are here.
type record struct {
	key   string
	value []byte
}

// layer is a set of records in memory, by key.
type layer struct {
	records map[string][]byte
	bytes   int64
}

func newLayer() *layer { return &layer{records: make(map[string][]byte)} }

func entryBytes(key string, value []byte) int64 {
	return int64(len(key) + len(value) + entryOverheadBytes)
}

// put sets a record and returns by how many bytes the layer has grown. The layer keeps value.
func (l *layer) put(key string, value []byte) int64 {
	grown := entryBytes(key, value)
	if old, ok := l.records[key]; ok {
		grown -= entryBytes(key, old)
	}
	l.records[key] = value
	l.bytes += grown
	return grown
}

// sorted returns the layer's records in key order.
func (l *layer) sorted() []record {
	records := make([]record, 0, len(l.records))
	for k, v := range l.records {
		records = append(records, record{k, v})
	}
	slices.SortFunc(records, compareKeys)
	return records
}

func compareKeys(a, b record) int { return strings.Compare(a.key, b.key) }

// newest returns the records with lo <= key < hi that a reader of these layers sees, the newest layer first, in key order, tombstones
// included. A nil hi is no bound. It looks at every record of every layer: scans are rare, and an ordered layer would cost each of the many
// single writes a search.
func newest(layers []*layer, lo, hi []byte) []record {
	found := queue(gather(layers, lo, hi))
	found.order()
	return found
}

// gather returns the layers' records with lo <= key < hi, those of the first layer first. A nil hi is no bound.
func gather(layers []*layer, lo, hi []byte) []record {
	var found []record
	for _, l := range layers {
		for k, v := range l.records {
			if k >= string(lo) && (hi == nil || k < string(hi)) {
				found = append(found, record{k, v})
			}
		}
	}
	return found
}

// Index derives, from a record of a partition, the entry of the timer index that belongs to it: it appends the entry to dst and returns that
// and true, or dst as it is and false if the record has none. Entries sort by their bytes; one entry may belong to several records. An Index
// is a pure function, called from several goroutines at once, and keeps none of its arguments.
type Index func(dst, key, value []byte) (entry []byte, ok bool)

// entries returns the index entries of the layers' records with from <= entry < to. A nil to is no bound. Records that a newer layer hides have
// theirs too.
func (index Index) entries(layers []*layer, from, to []byte) *entryHeap {
	h := &entryHeap{}
	if index == nil {
		return h
	}
	var key []byte
	for _, l := range layers {
		for k, v := range l.records {
			key = append(key[:0], k...)
			h.add(index, key, v, from, to)
		}
	}
	h.order()
	return h
}

// entryHeap hands out index entries in order: who asks for the soonest few of many does not pay for sorting them all.
type entryHeap struct {
	arena   []byte // the entries' bytes
	entries []entryRef
	last    []byte // the entry handed out last
}

// entryRef is the entry arena[start:end]. head is its beginning as a number: deadlines mostly differ there, without a look into the arena.
type entryRef struct {
	head       uint64
	start, end int
}

// add adds the entry of a record, if it has one with from <= entry < to; a nil to is no bound. The entries are in order after a call of order.
func (h *entryHeap) add(index Index, key, value, from, to []byte) {
	if value == nil {
		return
	}
	start := len(h.arena)
	var ok bool
	h.arena, ok = index(h.arena, key, value)
	if entry := h.arena[start:]; ok && bytes.Compare(entry, from) >= 0 && (to == nil || bytes.Compare(entry, to) < 0) {
		h.entries = append(h.entries, entryRef{head: head(entry), start: start, end: len(h.arena)})
	} else {
		h.arena = h.arena[:start]
	}
}

// order makes a heap of what was added.
func (h *entryHeap) order() {
	for i := len(h.entries)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

// next returns the least entry that is left, without value; ok is false if there is none. Doubles are handed out once.
func (h *entryHeap) next() (entry, value []byte, ok bool) {
	for len(h.entries) > 0 {
		least := h.entries[0]
		n := len(h.entries) - 1
		h.entries[0] = h.entries[n]
		h.entries = h.entries[:n]
		h.down(0)
		entry := h.arena[least.start:least.end:least.end]
		if h.last == nil || !bytes.Equal(entry, h.last) {
			h.last = entry
			return entry, []byte{}, true
		}
	}
	return nil, nil, false
}

// down moves the entry at i to its place among those below it.
func (h *entryHeap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.entries) {
			return
		}
		if child+1 < len(h.entries) && h.less(child+1, child) {
			child++
		}
		if !h.less(child, i) {
			return
		}
		h.entries[i], h.entries[child] = h.entries[child], h.entries[i]
		i = child
	}
}

func (h *entryHeap) less(i, j int) bool {
	a, b := h.entries[i], h.entries[j]
	if a.head != b.head {
		return a.head < b.head
	}
	return bytes.Compare(h.arena[a.start:a.end], h.arena[b.start:b.end]) < 0
}

// queue hands out records in order, as entryHeap does entries.
type queue []record

// order puts gathered records in the order of their keys, and keeps the newest of each.
func (q *queue) order() {
	slices.SortStableFunc(*q, compareKeys) // stable: of the records of one key the newest stays first
	*q = slices.CompactFunc(*q, func(a, b record) bool { return a.key == b.key })
}

func (q *queue) next() (key, value []byte, ok bool) {
	if len(*q) == 0 {
		return nil, nil, false
	}
	first := (*q)[0]
	*q = (*q)[1:]
	return []byte(first.key), first.value, true
}

// mergeScan yields the records that next hands out and, where it has none of that key, those of the backing with lo <= key < hi, in key
// order. All keys of the backing between lo and hi share a prefix; the keys of next and those it yields are without it.
func mergeScan(b Backing, lo, hi []byte, next func() (key, value []byte, ok bool), yield func(key, value []byte) bool) error {
	if (Span{lo, hi}).Empty() {
		return nil
	}
	stopped := false
	emit := func(key, value []byte) bool {
		stopped = value != nil && !yield(key, value)
		return !stopped
	}
	memoryKey, memoryValue, more := next()
	err := b.Scan(lo, hi, func(key, value []byte) bool {
		key = key[prefixBytes:]
		for more && bytes.Compare(memoryKey, key) < 0 {
			if !emit(memoryKey, memoryValue) {
				return false
			}
			memoryKey, memoryValue, more = next()
		}
		if more && bytes.Equal(memoryKey, key) {
			value = memoryValue
			memoryKey, memoryValue, more = next()
		}
		return emit(key, value)
	})
	if err != nil {
		return err
	}
	for more && !stopped {
		emit(memoryKey, memoryValue)
		memoryKey, memoryValue, more = next()
	}
	return nil
}
