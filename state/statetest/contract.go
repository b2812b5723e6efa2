package statetest

import (
	"bytes"
	"iter"
	"maps"
	"slices"

	"pgregory.net/rapid"
)

// Backing is what state.Backing asks for, in functions, as this package does not know package state: the writes of a Write come without those in
// its drop, from lo to below hi.
type Backing struct {
	Get   func(key []byte) (value []byte, ok bool, err error)
	Scan  func(lo, hi []byte, yield func(key, value []byte) bool) error
	Write func(lo, hi []byte, writes iter.Seq2[[]byte, []byte]) error
	// Refuse makes writes fail, or succeed again.
	Refuse func(writes bool)
	// Crash returns the backing after a loss of power. It may lose the last writes.
	Crash func(t *rapid.T) Backing
}

// contract is a backing, and all that it may be: what it was after each write, the last of which it is.
type contract struct {
	Backing
	past    []map[string]string
	refused bool
}

// Check runs random operations on a backing and holds what it answers against a plain map.
func Check(t *rapid.T, b Backing) {
	c := &contract{Backing: b, past: []map[string]string{{}}}
	t.Repeat(map[string]func(*rapid.T){
		"write": c.write, "write2": c.write, "refuse": c.refuse, "crash": c.crash, "scan": c.scan, "scanAndWrite": c.scanAndWrite, "": c.gets,
	})
}

func (c *contract) now() map[string]string { return c.past[len(c.past)-1] }

func drawKey(t *rapid.T, what string) string { return rapid.StringMatching(`[a-c]{1,2}`).Draw(t, what) }

// write makes a write with a drop, deletions and empty values, which are values.
func (c *contract) write(t *rapid.T) {
	lo, hi := drawKey(t, "lo"), drawKey(t, "hi")
	if rapid.Bool().Draw(t, "no drop") {
		lo, hi = "", ""
	}
	writes := map[string][]byte{}
	for range rapid.IntRange(0, 4).Draw(t, "writes") {
		if key := drawKey(t, "key"); key < lo || key >= hi {
			writes[key] = rapid.SampledFrom([][]byte{nil, {}, []byte("x"), []byte("yy")}).Draw(t, "value")
		}
	}
	next := maps.Clone(c.now())
	maps.DeleteFunc(next, func(key, _ string) bool { return key >= lo && key < hi })
	for key, value := range writes {
		if delete(next, key); value != nil {
			next[key] = string(value)
		}
	}
	err := c.Write([]byte(lo), []byte(hi), func(yield func(key, value []byte) bool) {
		var key, value []byte // one memory for all: what is yielded is valid until the next
		for _, k := range slices.Sorted(maps.Keys(writes)) {
			key = append(key[:0], k...)
			if value = append(value[:0], writes[k]...); writes[k] == nil {
				value = nil
			} else if value == nil {
				value = []byte{}
			}
			if !yield(key, value) {
				return
			}
		}
	})
	switch {
	case (err != nil) != c.refused:
		t.Fatalf("a write, refused %t: %v", c.refused, err)
	case err == nil:
		c.past = append(c.past, next)
	}
}

func (c *contract) refuse(*rapid.T) {
	c.refused = !c.refused
	c.Refuse(c.refused)
}

// crash accepts any of the states that were, and nothing that lies between two of them.
func (c *contract) crash(t *rapid.T) {
	c.Backing, c.refused = c.Crash(t), false
	got := c.records(t, "\x00", "\xff")
	for i := len(c.past) - 1; i >= 0; i-- {
		if maps.Equal(got, c.past[i]) {
			c.past = c.past[:i+1]
			return
		}
	}
	t.Fatalf("after a crash it holds %q, which it never did; last %q", got, c.now())
}

func (c *contract) scan(t *rapid.T) {
	lo, hi := drawKey(t, "lo"), drawKey(t, "hi")
	want := maps.Clone(c.now())
	maps.DeleteFunc(want, func(key, _ string) bool { return key < lo || key >= hi })
	if got := c.records(t, lo, hi); !maps.Equal(got, want) {
		t.Fatalf("a scan from %q to %q: %q, want %q", lo, hi, got, want)
	}
}

// scanAndWrite writes while a scan is under way, which must not see it.
func (c *contract) scanAndWrite(t *rapid.T) {
	want, got := c.now(), map[string]string{}
	wrote := false
	fatal(t, c.Scan([]byte{0}, []byte("\xff"), func(key, value []byte) bool {
		got[string(key)] = string(value)
		if !wrote {
			wrote = true
			c.write(t)
		}
		return true
	}))
	if !maps.Equal(got, want) {
		t.Fatalf("a scan with a write in its midst: %q, want %q", got, want)
	}
}

// records returns what a scan yields. It checks the order, and that a scan that is told to stop does.
func (c *contract) records(t *rapid.T, lo, hi string) map[string]string {
	got, keys := map[string]string{}, []string(nil)
	fatal(t, c.Scan([]byte(lo), []byte(hi), func(key, value []byte) bool {
		got[string(key)] = string(value)
		keys = append(keys, string(key))
		return true
	}))
	if !slices.IsSorted(keys) || len(keys) != len(got) {
		t.Fatalf("a scan yields %q", keys)
	}
	yielded := 0
	fatal(t, c.Scan([]byte(lo), []byte(hi), func(_, _ []byte) bool { yielded++; return false }))
	if yielded != min(1, len(got)) {
		t.Fatalf("a scan of %d keys that is to stop at once yields %d", len(got), yielded)
	}
	return got
}

// gets compares all single reads, after every operation. The values are the caller's.
func (c *contract) gets(t *rapid.T) {
	for _, key := range []string{"a", "b", "c", "aa", "ab", "ba", "bb", "cc"} {
		value, ok, err := c.Get([]byte(key))
		fatal(t, err)
		want, wantOK := c.now()[key]
		if ok != wantOK || !bytes.Equal(value, []byte(want)) {
			t.Fatalf("Get(%q) = %q, %t; want %q, %t", key, value, ok, want, wantOK)
		}
		for i := range value {
			value[i] ^= 0xff
		}
	}
}

func fatal(t *rapid.T, err error) {
	if err != nil {
		t.Fatalf("%+v", err)
	}
}
