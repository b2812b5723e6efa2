package sim

import (
	"iter"
	"testing"

	"pgregory.net/rapid"

	"lull/state"
	"lull/state/statetest"
)

// TestDisk proves that the simulator's disk keeps the contract of state.Backing, which the real store keeps too (package state's TestBacking).
func TestDisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDisk()
		var b statetest.Backing
		b = statetest.Backing{
			Get:  d.Get,
			Scan: d.Scan,
			Write: func(lo, hi []byte, writes iter.Seq2[[]byte, []byte]) error {
				return d.Write(state.Span{Lo: lo, Hi: hi}, writes)
			},
			Refuse: func(writes bool) { d.full = writes },
			Crash: func(t *rapid.T) statetest.Backing {
				d.crash(rapid.IntRange(0, kept).Draw(t, "lost"))
				d.full = false
				return b
			},
		}
		statetest.Check(t, b)
	})
}
