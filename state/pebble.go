package state

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The names in a store's directory.
const (
	lockFile  = "state.lock" // held by the process that has the store open
	pebbleDir = "pebble"     // Pebble's own
	tablesDir = "tables"     // where a flush builds its table before Pebble takes it over; what a crash leaves there is removed

	asidePrefix = "pebble.aside-" // and a number: what was found under pebbleDir and could not be used
)

// l0SublevelsMax is the number of overlapping generations of tables at which a flush waits for compactions: reads look into each. Pebble's
// own limit, at which writes stop, holds for its memtables only. Bloom filters spare
// a read all but one or two of them, scans none.
const l0SublevelsMax = 20

// compactionPoll is how often a flush that waits for compactions looks.
const compactionPoll = 10 * time.Millisecond

// diskWrites is the category under which Pebble's file systems count our writes.
const diskWrites = vfs.DiskWriteCategory("lull-flush")

// pebbleStore is the Backing that a DB uses.
//
// Every write is one sorted table that is built and synced beside Pebble and then handed to it whole: atomic, durable when the write returns,
// without a write-ahead log and without passing through a memtable. docs/adr/0003-pebble-wal.md has the measurement.
type pebbleStore struct {
	dir     string
	fs      vfs.FS
	db      *pebble.DB
	tables  sstable.WriterOptions
	lock    io.Closer
	cache   *pebble.Cache
	writing sync.Mutex // one table is built at a time: flushes share the disk, and the file's name

	setAside *Aside // what was found in the folder instead of a store that can be used; nil: nothing

	backgroundErrors atomic.Int64
	corruptTables    atomic.Int64
	damage           atomic.Pointer[error] // what was noticed last
}

// openPebble opens or makes the store in o.Dir.
func openPebble(o *Options) (_ *pebbleStore, err error) {
	s := &pebbleStore{dir: o.Dir, fs: orderedFS{o.FS}}
	if err := s.lockDir(); err != nil {
		return nil, err
	}
	if err := errors.Join(s.fs.RemoveAll(s.path(tablesDir)), s.makeDir(s.path(tablesDir))); err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	err = s.openDB(o)
	if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrForeign) || errors.Is(err, ErrFormat) {
		s.setAside = &Aside{Why: err}
		if s.setAside.Dir, err = s.moveAside(); err == nil {
			err = s.openDB(o)
		}
	}
	if err != nil {
		return nil, errors.Join(err, s.lock.Close())
	}
	return s, nil
}

// openDB opens or makes Pebble's part of the store. After an error nothing of it is open.
func (s *pebbleStore) openDB(o *Options) error {
	if err := s.makeDir(s.path(pebbleDir)); err != nil {
		return err
	}
	if err := s.checkMarker(); err != nil {
		return err
	}
	s.cache = pebble.NewCache(o.CacheBytes)
	options := s.options(o)
	options.EnsureDefaults()
	var err error
	if s.db, err = pebble.Open(s.path(pebbleDir), options); err != nil {
		s.cache.Unref()
		return openError(err)
	}
	s.tables = options.MakeWriterOptions(0, s.db.TableFormat())
	if err := s.checkFormat(); err != nil {
		return errors.Join(err, s.closeDB())
	}
	return nil
}

// read opens what is there for reading only, calls what for it unless it is empty, and closes it.
func (s *pebbleStore) read(o *Options, what func(d *DB) error) error {
	if err := s.checkMarker(); err != nil {
		return err
	}
	s.cache = pebble.NewCache(o.CacheBytes)
	options := s.options(o)
	options.ReadOnly, options.ErrorIfNotExists = true, true
	options.EnsureDefaults()
	var err error
	if s.db, err = pebble.Open(s.path(pebbleDir), options); err != nil {
		s.cache.Unref()
		return openError(err)
	}
	key, _, err := s.next(nil)
	if err == nil && key != nil {
		if err = s.checkFormat(); err == nil {
			err = what(&DB{store: s, open: make(map[int32]*Partition)})
		}
	}
	return errors.Join(err, s.closeDB())
}

// checkMarker looks for the file that names Pebble's manifest. Without it Pebble would make a new store among the tables of the old.
func (s *pebbleStore) checkMarker() error {
	names, err := s.fs.List(s.path(pebbleDir))
	if err != nil {
		return err
	}
	has := func(match func(name string) bool) bool { return slices.ContainsFunc(names, match) }
	if has(func(name string) bool { return strings.HasSuffix(name, ".sst") }) &&
		!has(func(name string) bool { return strings.HasPrefix(name, "marker.manifest.") }) {
		return fmt.Errorf("%w: there are tables, but no marker of a manifest", ErrCorrupt)
	}
	return nil
}

// moveAside renames Pebble's folder to a name that is free beside it, so that nothing in it is lost or used, and returns its new path.
func (s *pebbleStore) moveAside() (to string, err error) {
	for n := 1; ; n++ {
		to = s.path(fmt.Sprint(asidePrefix, n))
		if _, err := s.fs.Stat(to); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", err
		}
	}
	if err := errors.Join(s.fs.Rename(s.path(pebbleDir), to), syncDir(s.fs, s.dir)); err != nil {
		return "", fmt.Errorf("moving %s aside: %w", s.path(pebbleDir), err)
	}
	return to, nil
}

// path returns the path of a name in the store's directory.
func (s *pebbleStore) path(name string) string { return s.fs.PathJoin(s.dir, name) }

// openError gives Pebble's error on opening its kind. What the system refuses is the system's; a file that is missing although others name it, and
// all that Pebble cannot make sense of, is damage.
func openError(err error) error {
	var refused syscall.Errno
	if errors.As(err, &refused) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

// storeError gives an error of Pebble's its kind.
func storeError(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// lockDir makes the store's directory if it is not there, and locks it if it is nobody else's.
func (s *pebbleStore) lockDir() error {
	if err := s.makeDir(s.dir); err != nil {
		return err
	}
	names, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	ours := func(name string) bool { return slices.Contains([]string{lockFile, pebbleDir, tablesDir}, name) }
	names = slices.DeleteFunc(names, func(name string) bool { return name == "lost+found" }) // of a freshly mounted volume
	if len(names) > 0 && !slices.ContainsFunc(names, ours) {
		return fmt.Errorf("%w: %q", ErrOccupied, names[0])
	}
	if s.lock, err = s.fs.Lock(s.path(lockFile)); err != nil {
		return fmt.Errorf("locking it (does another process use it?): %w", err)
	}
	return nil
}

// makeDir makes a directory and its parents, unless they are there, such that a crash does not lose them with all that is in them.
func (s *pebbleStore) makeDir(dir string) error {
	if _, err := s.fs.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := s.fs.PathDir(dir)
	if err := s.makeDir(parent); err != nil {
		return err
	}
	if err := s.fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := syncDir(s.fs, parent); err != nil {
		return fmt.Errorf("syncing directory %s: %w", parent, err)
	}
	return nil
}

// orderedFS is the file system that Pebble gets. Pebble makes a manifest and then the marker file that names it, and syncs the directory once,
// after both. A file system may keep the marker and not the manifest when power fails in between (POSIX allows it, though ext4 and xfs keep the
// order), and the store would not open again. So a marker is made only when what was made before it is safe.
type orderedFS struct{ vfs.FS }

func (f orderedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.PathBase(name), "marker.") {
		if err := syncDir(f.FS, f.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return f.FS.Create(name, category)
}

// Unwrap implements vfs.FS.
func (f orderedFS) Unwrap() vfs.FS { return f.FS }

func syncDir(fs vfs.FS, dir string) error {
	f, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// options are Pebble's settings, each explicit where it matters.
func (s *pebbleStore) options(o *Options) *pebble.Options {
	p := &pebble.Options{
		FS:    s.fs,
		Cache: s.cache, // one for all partitions: the hot ones take what they need
		// Fixed for a store's life; the names are written into every table.
		Comparer: pebble.DefaultComparer,
		Merger:   pebble.DefaultMerger,
		// A constant, not FormatNewest: a newer library must not move stores to a format that the version before cannot open.
		FormatMajorVersion: pebble.FormatTableFormatV6,
		// Nothing passes through the memtable, so there is nothing to log, and the memtable need not be large. Were there something in it, it
		// would be flushed before a table over the same keys is taken over, instead of needing the log.
		DisableWAL:   true,
		MemTableSize: 1 << 20,
		MaxOpenFiles: o.OpenFilesMax,
		// One flush of a partition is one L0 table, so sublevels count flushes per partition. Compacting at 4 keeps a read at few tables;
		// lower rewrites the base level more often.
		L0CompactionThreshold:     4,
		L0CompactionFileThreshold: 500,
		LBaseMaxBytes:             64 << 20,
		// Two, as tasks leave the second core idle for moments; more would compete with them.
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 2 },
		Logger:                     silence{dir: s.dir},
		EventListener: &pebble.EventListener{
			BackgroundError: func(error) { s.backgroundErrors.Add(1) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				s.corruptTables.Add(1)
				err := fmt.Errorf("%w: table %s in %s: %w", ErrCorrupt, info.Path, s.dir, info.Details)
				s.damage.Store(&err)
			},
		},
	}
	p.Experimental.DisableIngestAsFlushable = func() bool { return true } // it would need the log
	for i := range p.Levels {
		p.Levels[i].BlockSize = 4 << 10                   // keys are scattered: a larger block reads more for one record
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // 1 % of needless reads for 10 bits per key
		p.Levels[i].FilterType = pebble.TableFilter       // one filter per table
	}
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionFastest })
	return p
}

// silence is Pebble's logger: what matters is returned or counted. Fatalf is called when Pebble cannot say any more what is on disk, above
// all when its manifest cannot be written, and must not return: the process ends as if it had been killed, which loses nothing.
type silence struct{ dir string }

func (silence) Infof(string, ...any)  {}
func (silence) Errorf(string, ...any) {}

func (l silence) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("state store in %s: %s", l.dir, fmt.Sprintf(format, args...)))
}

// checkFormat checks that the store is ours and of a format we read. An empty one, new or interrupted while being made, becomes ours.
func (s *pebbleStore) checkFormat() error {
	value, ok, err := s.Get(formatKey)
	if err != nil {
		return err
	}
	if !ok {
		key, _, err := s.next(nil)
		if err != nil {
			return err
		}
		if key != nil {
			return fmt.Errorf("%w: a Pebble store without our format key", ErrForeign)
		}
		return s.Write(Span{}, func(yield func(key, value []byte) bool) {
			yield(formatKey, append([]byte(formatMagic), FormatVersion))
		})
	}
	version, ours := bytes.CutPrefix(value, []byte(formatMagic))
	if !ours || len(version) != 1 {
		return fmt.Errorf("%w: its format key holds %q", ErrForeign, value)
	}
	if version[0] != FormatVersion {
		return fmt.Errorf("%w: version %d; this program reads version %d", ErrFormat, version[0], FormatVersion)
	}
	return nil
}

// Get implements Backing.
func (s *pebbleStore) Get(key []byte) (value []byte, ok bool, err error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, s.readError(key, err)
	}
	value = copyValue(v)
	if err := closer.Close(); err != nil {
		return nil, false, s.readError(key, err)
	}
	return value, true, nil
}

func (s *pebbleStore) readError(key []byte, err error) error {
	return fmt.Errorf("reading key %x of the state store in %s: %w", key, s.dir, storeError(err))
}

// Scan implements Backing.
func (s *pebbleStore) Scan(lo, hi []byte, yield func(key, value []byte) bool) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return s.readError(lo, err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(s.readError(it.Key(), err), it.Close())
		}
		if !yield(it.Key(), value) {
			break
		}
	}
	if err := it.Close(); err != nil {
		return s.readError(lo, err)
	}
	return nil
}

// next returns the first key at or above lo, and its value; a nil key if there is none.
func (s *pebbleStore) next(lo []byte) (key, value []byte, err error) {
	err = s.Scan(lo, nil, func(k, v []byte) bool {
		key, value = bytes.Clone(k), bytes.Clone(v)
		return false
	})
	return key, value, err
}

// partitionOf returns the partition that a key belongs to; ok is false for a key of the store itself and for none.
func partitionOf(key []byte) (n int32, ok bool) {
	if len(key) < prefixBytes || key[0] >= 0x80 {
		return 0, false
	}
	return int32(binary.BigEndian.Uint32(key)), true
}

// Write implements Backing.
func (s *pebbleStore) Write(drop Span, writes iter.Seq2[[]byte, []byte]) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.awaitCompactions()
	path := s.fs.PathJoin(s.dir, tablesDir, "flush.sst")
	if err := s.build(path, drop, writes); err != nil {
		return errors.Join(fmt.Errorf("building table %s: %w", path, err), s.removeTable(path))
	}
	if err := s.db.Ingest(context.Background(), []string{path}); err != nil {
		return errors.Join(fmt.Errorf("taking over table %s: %w", path, storeError(err)), s.removeTable(path))
	}
	return nil
}

// build makes a table of a write. All of a table takes effect at once, its range deletion below its keys, which is why drop holds none of them.
func (s *pebbleStore) build(path string, drop Span, writes iter.Seq2[[]byte, []byte]) error {
	f, err := s.fs.Create(path, diskWrites)
	if err != nil {
		return err
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), s.tables)
	if !drop.Empty() {
		err = w.DeleteRange(drop.Lo, drop.Hi)
	}
	for key, value := range writes {
		if err != nil {
			break
		}
		if value == nil {
			err = w.Delete(key)
		} else {
			err = w.Set(key, value)
		}
	}
	// Closing syncs the file; after an error it only closes it, and answers with that error.
	return errors.Join(err, w.Close())
}

// removeTable removes a table that is not to be taken over. That there is none is fine.
func (s *pebbleStore) removeTable(path string) error {
	if err := s.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// awaitCompactions waits while there are too many sublevels in L0 and a compaction is at work on them. When none is, after a failure, Pebble
// leaves the tables that it could not compact alone for 30 s; waiting on would only add a standstill to it.
func (s *pebbleStore) awaitCompactions() {
	tick := time.Tick(compactionPoll)
	for {
		m := s.db.Metrics()
		if m.Levels[0].Sublevels <= l0SublevelsMax || m.Compact.NumInProgress == 0 {
			return
		}
		<-tick
	}
}

// drop removes a span of keys by leaving them out of the store's list of tables: no tombstone, nothing to compact.
func (s *pebbleStore) drop(span Span) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return storeError(s.db.Excise(context.Background(), pebble.KeyRange{Start: span.Lo, End: span.Hi}))
}

// metrics sets Pebble's part of m.
func (s *pebbleStore) metrics(m *Metrics) {
	p := s.db.Metrics()
	total := p.Total()
	m.DiskBytes = int64(p.DiskSpaceUsage())
	if usage, err := s.fs.GetDiskUsage(s.dir); err == nil {
		m.DiskSizeBytes, m.DiskFreeBytes = int64(usage.TotalBytes), int64(usage.AvailBytes)
	}
	m.Tables = total.TablesCount
	m.ReadAmplification = int64(p.ReadAmp())
	m.CompactionDebtBytes = int64(p.Compact.EstimatedDebt)
	m.FlushedBytes = int64(total.TableBytesIngested)
	m.CompactedBytes = int64(total.TableBytesCompacted)
	m.CacheBytes = p.BlockCache.Size
	m.CacheHits, m.CacheMisses = p.BlockCache.Hits, p.BlockCache.Misses
	m.FilterHits, m.FilterMisses = p.Filter.Hits, p.Filter.Misses
	m.BackgroundErrors = s.backgroundErrors.Load()
	m.CorruptTablesNoticed = s.corruptTables.Load()
}

func (s *pebbleStore) close() error { return errors.Join(s.closeDB(), s.lock.Close()) }

func (s *pebbleStore) closeDB() error {
	err := s.db.Close()
	s.cache.Unref()
	return err
}
