package task

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"

	"lull/operators"
)

// timer is an entry of the timer index. It is stale if the customer's Armed is another instant by now.
type timer struct {
	at       operators.EventTime
	customer string
}

func (a timer) before(b timer) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	return a.customer < b.customer
}

type timerHeap []timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].before(h[j]) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap) Push(x any)        { *h = append(*h, x.(timer)) }

// Pop returns nothing, for which it would have to allocate: whoever removes the first has looked at it.
func (h *timerHeap) Pop() any {
	*h = (*h)[:len(*h)-1]
	return nil
}

// timers is the index of the task's deadlines. Those below a moving horizon are in a heap, so that a record looks only at its top; the rest lie in
// the store, and the next of them are loaded when the watermark reaches the horizon.
//
// Invariant: every customer's armed timer is in the heap if it is before the horizon, else in the store's index or in pending.
type timers struct {
	store    Store
	chunk    int // how many entries are loaded at once
	near     timerHeap
	horizon  timer // the first entry that is not in near
	loadedTo bool  // false: nothing has been loaded; true: near holds all before horizon
	all      bool  // the store holds nothing at or after the horizon
	pending  []timer
}

// arm adds a deadline.
func (ts *timers) arm(t timer) {
	if ts.loadedTo && (ts.all || t.before(ts.horizon)) {
		heap.Push(&ts.near, t)
		return
	}
	ts.pending = append(ts.pending, t)
}

// due returns the least deadline at or before the watermark, without removing it.
func (ts *timers) due(watermark operators.EventTime) (timer, bool, error) {
	for !ts.loadedTo || (!ts.all && ts.horizon.at <= watermark && (len(ts.near) == 0 || ts.near[0].at > watermark)) {
		if err := ts.load(); err != nil {
			return timer{}, false, err
		}
	}
	if len(ts.near) == 0 || ts.near[0].at > watermark {
		return timer{}, false, nil
	}
	return ts.near[0], true, nil
}

func (ts *timers) pop() { heap.Pop(&ts.near) }

// load moves the horizon on by one chunk of the store's index.
func (ts *timers) load() error {
	var from []byte
	if ts.loadedTo {
		from = appendEntry(ts.horizon.at, ts.horizon.customer)
	}
	n := 0
	ts.all = true
	var bad error
	err := ts.store.ScanIndex(from, nil, func(entry []byte) bool {
		t, ok := parseEntry(entry)
		if !ok {
			bad = fmt.Errorf("%w: timer index entry %x", operators.ErrCorrupt, entry)
			return false
		}
		if n == ts.chunk {
			ts.horizon, ts.all = t, false
			return false
		}
		n++
		ts.near = append(ts.near, t)
		return true
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return fmt.Errorf("reading the timer index: %w", err)
	}
	ts.loadedTo = true
	later := ts.pending[:0]
	for _, t := range ts.pending {
		if ts.all || t.before(ts.horizon) {
			ts.near = append(ts.near, t)
		} else {
			later = append(later, t)
		}
	}
	ts.pending = later
	heap.Init(&ts.near)
	return nil
}

// bound returns the index entry below which every entry is dead, and stays so: timers are armed at or after the watermark. nil if there is none
// to tell.
func (ts *timers) bound(watermark operators.EventTime) []byte {
	if !ts.loadedTo {
		return nil
	}
	least := timer{at: watermark}
	if len(ts.near) > 0 && ts.near[0].before(least) {
		least = ts.near[0]
	}
	if !ts.all && ts.horizon.before(least) {
		least = ts.horizon
	}
	return appendEntry(least.at, least.customer)
}

// settle is called when the states that carry the pending timers have entered the store: its index has them now.
func (ts *timers) settle() {
	ts.pending = ts.pending[:0]
	if ts.loadedTo && len(ts.near) > 2*ts.chunk {
		ts.shrink()
	}
}

// shrink moves the horizon back, so that the heap stays bounded: what is beyond it lies in the store's index.
func (ts *timers) shrink() {
	slices.SortFunc(ts.near, func(a, b timer) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.customer, b.customer))
	})
	ts.horizon, ts.all = ts.near[ts.chunk], false
	clear(ts.near[ts.chunk:])
	ts.near = ts.near[:ts.chunk] // a sorted list is a heap
}

// reset forgets all that was loaded: the next look reads the store again.
func (ts *timers) reset() {
	ts.near, ts.pending, ts.loadedTo, ts.all, ts.horizon = ts.near[:0], ts.pending[:0], false, false, timer{}
}
