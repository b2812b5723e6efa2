package task_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"lull/pipeline/task"
)

// memory is a store in memory: what has been committed, and the transaction under way over it. It takes the task at its word: an index entry
// below the bound that the task has given is never seen again, and one that is still in use there fails the test.
type memory struct {
	tb        testing.TB
	committed map[string]string
	overlay   map[string]*string // nil: deleted
	bound     []byte             // the highest committed bound of DropIndexBelow
	drop      []byte             // that of the transaction under way
	scans     int
	broken    error // what every call answers, if set
}

var _ task.Store = (*memory)(nil)

func newMemory(tb testing.TB) *memory {
	return &memory{tb: tb, committed: map[string]string{}, overlay: map[string]*string{}}
}

func (m *memory) Get(key []byte) ([]byte, bool, error) {
	if m.broken != nil {
		return nil, false, m.broken
	}
	if v, ok := m.overlay[string(key)]; ok {
		if v == nil {
			return nil, false, nil
		}
		return []byte(*v), true, nil
	}
	v, ok := m.committed[string(key)]
	return []byte(v), ok, nil
}

func (m *memory) Set(key, value []byte) error {
	v := string(value)
	m.overlay[string(key)] = &v
	return m.broken
}

func (m *memory) Delete(key []byte) error {
	m.overlay[string(key)] = nil
	return m.broken
}

func (m *memory) ScanIndex(from, to []byte, yield func(entry []byte) bool) error {
	m.scans++
	var entries [][]byte
	for key, value := range m.all() {
		if entry, ok := task.IndexEntry(nil, []byte(key), []byte(value)); ok && bytes.Compare(entry, m.bound) >= 0 &&
			bytes.Compare(entry, from) >= 0 && (to == nil || bytes.Compare(entry, to) < 0) {
			entries = append(entries, entry)
		}
	}
	slices.SortFunc(entries, bytes.Compare)
	for _, entry := range entries {
		if !yield(entry) {
			break
		}
		clear(entry) // it is the caller's no longer
	}
	return m.broken
}

func (m *memory) Scan(lo, hi []byte, yield func(key, value []byte) bool) error {
	all := m.all()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if key >= string(lo) && key < string(hi) && !yield([]byte(key), []byte(all[key])) {
			break
		}
	}
	return m.broken
}

func (m *memory) DropIndexBelow(bound []byte) { m.drop = bytes.Clone(bound) }

// all returns what the transaction under way sees.
func (m *memory) all() map[string]string {
	all := maps.Clone(m.committed)
	for key, value := range m.overlay {
		if value == nil {
			delete(all, key)
		} else {
			all[key] = *value
		}
	}
	return all
}

func (m *memory) commit() {
	m.committed, m.overlay = m.all(), map[string]*string{}
	if bytes.Compare(m.drop, m.bound) > 0 {
		m.bound = m.drop
	}
	m.drop = nil
	for key, value := range m.committed {
		if entry, ok := task.IndexEntry(nil, []byte(key), []byte(value)); ok && bytes.Compare(entry, m.bound) < 0 {
			m.tb.Fatalf("the timer of %q, %x, lies below the bound %x", key, entry, m.bound)
		}
	}
}

func (m *memory) abort() { m.overlay, m.drop = map[string]*string{}, nil }

// differences tells two stores apart, key by key.
func differences(a, b map[string]string) (list []string) {
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if other, ok := b[key]; !ok || other != a[key] {
			list = append(list, fmt.Sprintf("%q: %x, %x", key, a[key], other))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[key]; !ok {
			list = append(list, fmt.Sprintf("%q: none, %x", key, b[key]))
		}
	}
	return list
}
