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
	var found []record
	for _, l := range layers {
		for k, v := range l.records {
			if k >= string(lo) && (hi == nil || k < string(hi)) {
				found = append(found, record{k, v})
			}
		}
	}
	slices.SortStableFunc(found, compareKeys) // stable: of the records of one key the newest stays first
	return slices.CompactFunc(found, func(a, b record) bool { return a.key == b.key })
}

// Index derives, from a record of a partition, the entry of the timer index that belongs to it: it appends the entry to dst and returns that
// and true, or dst as it is and false if the record has none. Entries sort by their bytes; one entry may belong to several records. An Index
// is a pure function, called from several goroutines at once, and keeps none of its arguments.
type Index func(dst, key, value []byte) (entry []byte, ok bool)

// entries returns the index entries of the layers' records with from <= entry < to, in order and without doubles, as records without value.
// A nil to is no bound. Records that a newer layer hides have theirs too.
func (index Index) entries(layers []*layer, from, to []byte) []record {
	if index == nil {
		return nil
	}
	var found []record
	var key, entry []byte
	for _, l := range layers {
		for k, v := range l.records {
			if v == nil {
				continue
			}
			key = append(key[:0], k...)
			var ok bool
			entry, ok = index(entry[:0], key, v)
			if ok && bytes.Compare(entry, from) >= 0 && (to == nil || bytes.Compare(entry, to) < 0) {
				found = append(found, record{key: string(entry), value: []byte{}})
			}
		}
	}
	slices.SortFunc(found, compareKeys)
	return slices.CompactFunc(found, func(a, b record) bool { return a.key == b.key })
}

// mergeScan yields the records of memory and, where memory has none of that key, those of the backing with lo <= key < hi, in key order. All
// keys of the backing between lo and hi share a prefix; memory's keys and those it yields are without it.
func mergeScan(b Backing, lo, hi []byte, memory []record, yield func(key, value []byte) bool) error {
	if (Span{lo, hi}).Empty() {
		return nil
	}
	stopped := false
	emit := func(key, value []byte) bool {
		stopped = value != nil && !yield(key, value)
		return !stopped
	}
	err := b.Scan(lo, hi, func(key, value []byte) bool {
		key = key[prefixBytes:]
		for len(memory) > 0 && memory[0].key < string(key) {
			next := memory[0]
			memory = memory[1:]
			if !emit([]byte(next.key), next.value) {
				return false
			}
		}
		if len(memory) > 0 && memory[0].key == string(key) {
			value = memory[0].value
			memory = memory[1:]
		}
		return emit(key, value)
	})
	if err != nil {
		return err
	}
	for !stopped && len(memory) > 0 {
		next := memory[0]
		memory = memory[1:]
		emit([]byte(next.key), next.value)
	}
	return nil
}
