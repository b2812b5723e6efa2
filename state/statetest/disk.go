// Package statetest is support for tests of what stands on a store: a disk that can lose what was not synced and refuse to be written, and the contract of
// what a partition's memory stands on. Nothing that is shipped imports it.
package statetest

import (
	"math/rand/v2"
	"path"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Disk is a file system in memory. It is Pebble's crashable one, but for one fault of that: its Link takes the lock against clones twice, so that a
// clone that is asked for in between waits for ever, and Link with it.
type Disk struct {
	vfs.FS  // what refuses to be written, over memory
	memory  linkable
	refusal atomic.Pointer[refusal]
}

type refusal struct {
	why    error
	tables bool // only tables
}

type linkable struct {
	*vfs.MemFS
	cloning *sync.RWMutex
}

func (m linkable) Link(oldname, newname string) error {
	m.cloning.RLock()
	defer m.cloning.RUnlock()
	return m.MemFS.Link(oldname, newname)
}

// NewDisk returns an empty disk.
func NewDisk() *Disk { return newDisk(vfs.NewCrashableMem()) }

func newDisk(memory *vfs.MemFS) *Disk {
	d := &Disk{memory: linkable{memory, new(sync.RWMutex)}}
	d.FS = errorfs.Wrap(d.memory, errorfs.InjectorFunc(d.inject))
	return d
}

func (d *Disk) inject(op errorfs.Op) error {
	r := d.refusal.Load()
	if r == nil || op.Kind.ReadOrWrite() == errorfs.OpIsRead || r.tables && (op.Kind == errorfs.OpRemove || path.Ext(op.Path) != ".sst") {
		return nil
	}
	return r.why
}

// Crash returns the disk as it would be if the machine lost power now, with unsyncedPercent of what was not synced kept. It refuses nothing.
func (d *Disk) Crash(unsyncedPercent int, rng *rand.Rand) *Disk {
	d.memory.cloning.Lock()
	defer d.memory.cloning.Unlock()
	return newDisk(d.memory.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsyncedPercent, RNG: rng}))
}

// Refuse makes every change of the disk fail, until Accept.
func (d *Disk) Refuse(why error) { d.refusal.Store(&refusal{why: why}) }

// RefuseTables makes writing tables fail, until Accept. That is what a disk that fills up does first: the lists of tables are short, and when they cannot be
// written either Pebble ends the process.
func (d *Disk) RefuseTables(why error) { d.refusal.Store(&refusal{why: why, tables: true}) }

// Say makes the disk say that so many bytes of its size are free.
func (d *Disk) Say(size, free uint64) {
	d.memory.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: size, UsedBytes: size - free, AvailBytes: free})
}

// Accept ends the refusals.
func (d *Disk) Accept() { d.refusal.Store(nil) }
