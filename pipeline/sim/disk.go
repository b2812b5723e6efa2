package sim

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"

	"lull/state"
)

var errDisk = errors.New("the disk is full")

// disk is a store of a process in memory: an ordered map, and what it was after each of the last writes. It keeps [state.Backing]'s promise and no
// more: a write is there whole or not at all, and a crash may lose the last ones.
type disk struct {
	mu   sync.Mutex // flushes run in the background; what depends on them waits for them
	now  map[string]string
	past []map[string]string // what it was after earlier writes, the oldest first
	full bool
}

// kept is how many writes a crash may lose.
const kept = 3

var _ state.Backing = (*disk)(nil)

func newDisk() *disk { return &disk{now: map[string]string{}} }

// Get implements state.Backing.
func (d *disk) Get(key []byte) (value []byte, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.now[string(key)]
	return []byte(v), ok, nil
}

// Scan implements state.Backing.
func (d *disk) Scan(lo, hi []byte, yield func(key, value []byte) bool) error {
	d.mu.Lock()
	now := d.now // never changed, only replaced
	d.mu.Unlock()
	var keys []string
	for k := range now {
		if k >= string(lo) && k < string(hi) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if !yield([]byte(k), []byte(now[k])) {
			break
		}
	}
	return nil
}

// Write implements state.Backing.
func (d *disk) Write(drop state.Span, writes iter.Seq2[[]byte, []byte]) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return errDisk
	}
	next := maps.Clone(d.now)
	for k := range next {
		if k >= string(drop.Lo) && k < string(drop.Hi) {
			delete(next, k)
		}
	}
	for k, v := range writes {
		if v == nil {
			delete(next, string(k))
		} else {
			next[string(k)] = string(v)
		}
	}
	if d.past = append(d.past, d.now); len(d.past) > kept {
		d.past = d.past[1:]
	}
	d.now = next
	return nil
}

// crash loses the last writes, and what could have been lost before stays.
func (d *disk) crash(lost int) {
	if lost = min(lost, len(d.past)); lost > 0 {
		d.now = d.past[len(d.past)-lost]
	}
	d.past = nil
}

// clone returns a disk with the same content.
func (d *disk) clone() *disk { return &disk{now: maps.Clone(d.now)} }
