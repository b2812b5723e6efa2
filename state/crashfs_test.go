package state

import (
	"math/rand/v2"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// crashFS is Pebble's crashable file system in memory, but for one fault of it: its Link takes the lock against clones twice, so that a clone
// that is asked for in between waits for ever, and Link with it.
type crashFS struct {
	*vfs.MemFS
	link *sync.RWMutex
}

func newCrashFS() crashFS { return crashFS{vfs.NewCrashableMem(), new(sync.RWMutex)} }

func (c crashFS) Link(oldname, newname string) error {
	c.link.RLock()
	defer c.link.RUnlock()
	return c.MemFS.Link(oldname, newname)
}

// crash returns the disk as it would be if the machine lost power now, with unsyncedPercent of what was not synced kept.
func (c crashFS) crash(unsyncedPercent int, rng *rand.Rand) crashFS {
	c.link.Lock()
	defer c.link.Unlock()
	return crashFS{c.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsyncedPercent, RNG: rng}), new(sync.RWMutex)}
}
