package state

import "iter"

// Backing is what a partition's memory stands on. The store's is Pebble; the simulator's is an ordered map that can go back to an earlier
// flush, as a store does whose machine has lost power. One backing holds all partitions of a process, each under keys of its own. Its methods
// are safe for concurrent use, and all its state is what Write put there.
type Backing interface {
	// Get returns the value of a key, in memory that the caller may keep. ok is false when there is none.
	Get(key []byte) (value []byte, ok bool, err error)

	// Scan yields the keys with lo <= key < hi in ascending order, as they were at one instant after the call, until yield returns false.
	// What it yields is valid until yield returns.
	Scan(lo, hi []byte, yield func(key, value []byte) bool) error

	// Write removes the keys in drop, then applies the writes, which come in ascending order without doubles, none of them in drop; a nil
	// value deletes its key, an empty one does not. What writes yields is valid until the next is asked for. All of it becomes
	// visible at once when Write returns nil, and nothing of it when it returns an error; after a crash the same holds, and a write that was
	// kept implies those before it.
	Write(drop Span, writes iter.Seq2[[]byte, []byte]) error
}

// Span is the keys with Lo <= key < Hi. The zero Span has none.
type Span struct{ Lo, Hi []byte }

// Empty reports whether no key can be in s.
func (s Span) Empty() bool { return string(s.Lo) >= string(s.Hi) }
