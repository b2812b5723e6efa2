package state

import (
	"iter"
	"math/rand/v2"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"lull/state/statetest"
)

// TestBacking proves that Pebble as the store uses it keeps the contract of Backing, which the simulator's disk keeps too (its TestDisk).
func TestBacking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var open []*pebbleStore
		defer func() {
			for _, s := range open {
				must(t, s.close())
			}
		}()
		var on func(t *rapid.T, disk *statetest.Disk) statetest.Backing
		on = func(t *rapid.T, disk *statetest.Disk) statetest.Backing {
			o := Options{Dir: "store", FS: disk, CacheBytes: 1 << 20}
			o.EnsureDefaults()
			s, err := openPebble(&o)
			must(t, err)
			open = append(open, s)
			return statetest.Backing{
				Get: s.Get,
				// The store's own key of its format lies above all others.
				Scan:  s.Scan,
				Write: func(lo, hi []byte, writes iter.Seq2[[]byte, []byte]) error { return s.Write(Span{lo, hi}, writes) },
				Refuse: func(writes bool) {
					if writes {
						disk.RefuseTables(syscall.ENOSPC)
					} else {
						disk.Accept()
					}
				},
				Crash: func(t *rapid.T) statetest.Backing {
					seed := rapid.Uint64().Draw(t, "seed")
					unsynced := rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "unsynced")
					return on(t, disk.Crash(unsynced, rand.New(rand.NewPCG(seed, seed))))
				},
			}
		}
		statetest.Check(t, on(t, statetest.NewDisk()))
	})
}
