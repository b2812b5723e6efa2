package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Kinds of errors of a store that cannot be used as it is. The errors that wrap them name the directory.
var (
	// ErrOccupied is the error of a directory that holds other files and no store. It is somebody else's, and left as it is.
	ErrOccupied = errors.New("the directory holds other files")
	// ErrForeign is the error of a Pebble store that is not ours.
	ErrForeign = errors.New("not a state store")
	// ErrFormat is the error of a store in a format version that this program does not read.
	ErrFormat = errors.New("state store of another format version")
	// ErrCorrupt is the error of a store whose bytes are not what was written. The state is safe in the changelog: see DB.Abandon.
	ErrCorrupt = errors.New("corrupt state store")
)

// Aside is a store that could not be used and was moved aside: nothing of it was used or lost.
type Aside struct {
	Why error  // ErrForeign, ErrFormat or ErrCorrupt
	Dir string // where it is now
}

// Defaults of Options.
const (
	DefaultCacheBytes    = 256 << 20
	DefaultDirtyBytesMax = 64 << 20
	DefaultOpenFilesMax  = 1000
)

// Options are a store's settings. Only Dir is required.
type Options struct {
	// Dir is the directory of the store; it is made if it is not there. The store alone uses it.
	Dir string

	// FS is the file system that holds Dir. The default is the machine's.
	FS vfs.FS

	// CacheBytes is the size of the block cache that all partitions share, in bytes. The default is 256 MiB.
	CacheBytes int64

	// DirtyBytesMax is how many bytes of committed records all partitions together may hold in memory before Full asks for a flush. While a
	// flush runs as much again may be held, and twice as much by all restores together. The default is 64 MiB.
	DirtyBytesMax int64

	// OpenFilesMax bounds the files that the store keeps open, softly. The default is 1000.
	OpenFilesMax int

	// Index derives the timer index. The default is no index. A store is always opened with the same one.
	Index Index
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (o *Options) EnsureDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	if o.DirtyBytesMax == 0 {
		o.DirtyBytesMax = DefaultDirtyBytesMax
	}
	if o.OpenFilesMax == 0 {
		o.OpenFilesMax = DefaultOpenFilesMax
	}
}

// Validate returns an error that names the first field whose value is not allowed.
func (o *Options) Validate() error {
	switch {
	case o.Dir == "":
		return errors.New("no directory for the store: Dir is empty")
	case o.CacheBytes < 1<<20:
		return fmt.Errorf("field CacheBytes is %d: at least 1 MiB", o.CacheBytes)
	case o.DirtyBytesMax < 1:
		return fmt.Errorf("field DirtyBytesMax is %d: at least 1", o.DirtyBytesMax)
	case o.OpenFilesMax < 100:
		return fmt.Errorf("field OpenFilesMax is %d: at least 100", o.OpenFilesMax)
	}
	return nil
}

// DB is the store of one process. Its methods are safe for concurrent use.
type DB struct {
	store  *pebbleStore
	index  Index
	budget budget

	mu   sync.Mutex
	open map[int32]*Partition
}

// Open opens the store in o.Dir, or makes a new one. A store that is not ours, of another format version or damaged is moved aside, within o.Dir,
// and a new one made; SetAside tells of it. Besides what the file system answers the error may be ErrOccupied. A store is open in one process at a
// time.
func Open(o Options) (*DB, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("opening a state store: %w", err)
	}
	store, err := openPebble(&o)
	if err != nil {
		return nil, fmt.Errorf("opening the state store in %s: %w", o.Dir, err)
	}
	d := &DB{store: store, index: o.Index, open: make(map[int32]*Partition)}
	d.budget.max = o.DirtyBytesMax
	return d, nil
}

// Exists reports whether there is a store in o.Dir, in use or not.
func Exists(o Options) (bool, error) {
	o.EnsureDefaults()
	for _, name := range []string{lockFile, pebbleDir} { // a folder with that name alone may be anybody's
		_, err := o.FS.Stat(o.FS.PathJoin(o.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("looking for a state store in %s: %w", o.Dir, err)
		}
	}
	return true, nil
}

// Claimed is a store that nobody else can open.
type Claimed struct {
	store   *pebbleStore // nil: there is none
	options Options
}

// Claim keeps all others from opening the store in o.Dir. It is an error if a process has it open. Where there is no store there is nothing to be claimed.
func Claim(o Options) (*Claimed, error) {
	o.EnsureDefaults()
	if there, err := Exists(o); err != nil || !there {
		return &Claimed{}, err
	}
	s := &pebbleStore{dir: o.Dir, fs: o.FS}
	if err := s.lockDir(); err != nil {
		return nil, fmt.Errorf("claiming the state store in %s: %w", o.Dir, err)
	}
	return &Claimed{s, o}, nil
}

// Values returns, by partition, what is on disk under a key. It changes nothing. The error wraps ErrCorrupt, ErrForeign or ErrFormat if the store cannot be read.
func (c *Claimed) Values(key []byte) (map[int32][]byte, error) {
	values := make(map[int32][]byte)
	if c.store == nil {
		return values, nil
	}
	err := c.store.read(&c.options, func(d *DB) error {
		infos, err := d.Partitions()
		if err != nil {
			return err
		}
		for _, info := range infos {
			value, ok, err := d.store.Get(makeKey(info.Partition, classData, key))
			if err != nil {
				return err
			}
			if ok {
				values[info.Partition] = value
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the state store in %s: %w", c.store.dir, err)
	}
	return values, nil
}

// Remove removes the store, and leaves the directory and all else in it, what was moved aside included. Without a store it does nothing.
func (c *Claimed) Remove() error {
	if c.store == nil {
		return nil
	}
	s := c.store
	if err := errors.Join(s.fs.RemoveAll(s.path(pebbleDir)), s.fs.RemoveAll(s.path(tablesDir)), syncDir(s.fs, s.dir)); err != nil {
		return fmt.Errorf("removing the state store in %s: %w", s.dir, err)
	}
	return nil
}

// Close lets others open it again.
func (c *Claimed) Close() error {
	if c.store == nil {
		return nil
	}
	return c.store.lock.Close()
}

// Partition opens partition n; what the store has of it from earlier is its state. A partition is open once at a time.
func (d *DB) Partition(n int32) (*Partition, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.checkNotOpen(n); err != nil {
		return nil, fmt.Errorf("opening partition %d: %w", n, err)
	}
	p, err := openPartition(n, d.store, d.index, &d.budget, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.open, n)
	})
	if err != nil {
		return nil, err
	}
	d.open[n] = p
	return p, nil
}

// Drop removes all that the store has of partition n, which is not open. The space on disk comes back at once, but for the tables that hold
// other partitions too.
func (d *DB) Drop(n int32) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := checkPartition(n)
	if err == nil {
		err = d.checkNotOpen(n)
	}
	if err == nil {
		lo, hi := partitionSpan(n)
		err = d.store.drop(Span{lo, hi})
	}
	if err != nil {
		return fmt.Errorf("dropping partition %d: %w", n, err)
	}
	return nil
}

// checkNotOpen returns an error if the store is closed or partition n is open. d.mu is held.
func (d *DB) checkNotOpen(n int32) error {
	if d.open == nil {
		return ErrClosed
	}
	if _, ok := d.open[n]; ok {
		return errors.New("it is open")
	}
	return nil
}

// PartitionInfo is what the store knows of a partition on disk.
type PartitionInfo struct {
	Partition  int32
	Position   int64 // next changelog offset that the records on disk stand for, or NoPosition
	AtEndMs    int64 // wall time, ms since the Unix epoch, at which the records were last known to be at the changelog's end; 0: never
	ReleasedMs int64 // wall time of Release; 0: the partition is open, or was when the process ended
}

// Partitions returns what is on disk, by partition number. What open partitions have not flushed is not in it.
func (d *DB) Partitions() ([]PartitionInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		return nil, ErrClosed
	}
	var infos []PartitionInfo
	for lo := makeKey(0, classMark, nil); ; {
		key, value, err := d.store.next(lo)
		if err != nil {
			return nil, fmt.Errorf("listing partitions: %w", err)
		}
		n, ok := partitionOf(key)
		if !ok {
			return infos, nil
		}
		if !bytes.Equal(key, makeKey(n, classMark, nil)) {
			return nil, fmt.Errorf("listing partitions: %w: partition %d has no mark, but key %x", ErrCorrupt, n, key)
		}
		m, err := decodeMark(n, value)
		if err != nil {
			return nil, fmt.Errorf("listing partitions: %w", err)
		}
		infos = append(infos, PartitionInfo{Partition: n, Position: m.position, AtEndMs: m.atEndMs, ReleasedMs: m.releasedMs})
		_, lo = partitionSpan(n)
	}
}

// DirtyBytes returns the memory of all partitions' committed records that are not in the store yet, their bookkeeping included.
func (d *DB) DirtyBytes() int64 { return d.budget.dirty.Load() + d.budget.flying.Load() }

// Metrics are the store's figures. Sums are since it was opened.
type Metrics struct {
	DirtyBytes           int64 // see DirtyBytes
	RestoringBytes       int64 // that restores under way hold in memory
	Partitions           int64 // open
	DiskBytes            int64 // that the store takes on disk
	DiskSizeBytes        int64 // of the file system that it lies on; 0 if that does not say
	DiskFreeBytes        int64 // of the same, free for this process
	Tables               int64 // on disk
	ReadAmplification    int64 // tables that a read of a missing key asks at most, filters aside
	CompactionDebtBytes  int64 // estimate of what compactions still have to write
	FlushedBytes         int64 // sum of what flushes have written
	CompactedBytes       int64 // sum of what compactions have written
	CacheBytes           int64 // in the block cache
	CacheHits            int64 // sum of blocks found in the cache
	CacheMisses          int64 // sum of blocks read from disk
	FilterHits           int64 // sum of tables that a Bloom filter spared a read
	FilterMisses         int64 // sum of tables that were read in spite of one
	BackgroundErrors     int64 // sum of compactions and cleanings that failed, and are tried again
	CorruptTablesNoticed int64 // sum of reports of damaged tables
}

// Metrics returns the store's figures now.
func (d *DB) Metrics() Metrics {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := Metrics{DirtyBytes: d.DirtyBytes(), RestoringBytes: d.budget.restoring.Load(), Partitions: d.budget.partitions.Load()}
	if d.open != nil {
		d.store.metrics(&m)
	}
	return m
}

// SetAside returns what Open found in the store's place and has moved aside; nil if that was nothing.
func (d *DB) SetAside() *Aside { return d.store.setAside }

// Damage returns the damage of a table that was noticed while the store is open, by a compaction perhaps; nil if there is none. It is an ErrCorrupt.
func (d *DB) Damage() error {
	if err := d.store.damage.Load(); err != nil {
		return *err
	}
	return nil
}

// Abandon closes the store and its partitions, as Close does, and moves it aside: the next Open makes a new one. It returns where the old one is.
func (d *DB) Abandon() (to string, err error) {
	d.closePartitions()
	closeErr := d.store.closeDB() // a damaged store need not close well
	if to, err = d.store.moveAside(); err != nil {
		err = errors.Join(err, closeErr)
	}
	if err = errors.Join(err, d.store.lock.Close()); err != nil {
		return "", fmt.Errorf("abandoning the state store: %w", err)
	}
	return to, nil
}

// Close closes the store, and its partitions with it: flushes that run are waited for, what is not flushed is lost to the store, as in a crash.
// The partitions' goroutines have ended before. Closing twice is lawful.
func (d *DB) Close() error {
	if !d.closePartitions() {
		return nil
	}
	if err := d.store.close(); err != nil {
		return fmt.Errorf("closing the state store: %w", err)
	}
	return nil
}

// closePartitions closes the partitions, for ever. It returns false if that has been done before.
func (d *DB) closePartitions() bool {
	d.mu.Lock()
	open := d.open
	d.open = nil // closed; and closing a partition takes d.mu, which this goroutine must not hold
	d.mu.Unlock()
	for _, p := range open {
		p.Close()
	}
	return open != nil
}
