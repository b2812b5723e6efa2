package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"lull/state/statetest"
)

func openStore(t *testing.T, fs vfs.FS) *DB {
	t.Helper()
	d, err := Open(Options{Dir: "store", FS: fs, Index: testIndex})
	must(t, err)
	return d
}

func partition(t *testing.T, d *DB, n int32) *Partition {
	t.Helper()
	p, err := d.Partition(n)
	must(t, err)
	return p
}

// The store tells what it has of which partition; a partition that comes back within its time goes on where it was, one that was dropped is new,
// and its neighbours have lost nothing.
func TestReleaseAndDrop(t *testing.T) {
	fs := statetest.NewDisk()
	d := openStore(t, fs)
	for _, n := range []int32{7, 0, 1<<31 - 1, 6} {
		p := partition(t, d, n)
		commit(t, p, int64(n)+100, fmt.Sprintf("key=%d", n))
		p.MarkAtEnd(1_000_000 + int64(n))
		if n%2 == 0 {
			must(t, p.Flush())
		} else {
			must(t, p.Release(2_000_000))
		}
	}
	list := func() []PartitionInfo {
		infos, err := d.Partitions()
		must(t, err)
		return infos
	}
	expect(t, "partitions", list(), []PartitionInfo{
		{0, 100, 1_000_000, 0}, {6, 106, 1_000_006, 0}, {7, 107, 1_000_007, 2_000_000}, {1<<31 - 1, 1<<31 + 99, 1_000_000 + 1<<31 - 1, 2_000_000},
	})

	// Taken back: released no more, even if the process is killed before the partition's first flush.
	p := partition(t, d, 7)
	fs = fs.Crash(0, nil)
	expect(t, "records of 7", records(t, p, nil, nil), []string{"key=7"})
	expect(t, "end of 7", p.AtEnd(), 1_000_007)
	must(t, d.Close())
	d = openStore(t, fs)
	expect(t, "7 after a kill", list()[2], PartitionInfo{7, 107, 1_000_007, 0})

	must(t, d.Drop(1<<31-1))
	must(t, d.Drop(6))
	must(t, d.Drop(6)) // what is not there can be dropped
	expect(t, "partitions after dropping", list(), []PartitionInfo{{0, 100, 1_000_000, 0}, {7, 107, 1_000_007, 0}})
	fs = fs.Crash(0, nil)
	must(t, d.Close())
	d = openStore(t, fs)
	expect(t, "partitions after dropping and a kill", list(), []PartitionInfo{{0, 100, 1_000_000, 0}, {7, 107, 1_000_007, 0}})
	p = partition(t, d, 6)
	flushed, committed := p.Position()
	expect(t, "positions of 6", []int64{flushed, committed}, []int64{NoPosition, NoPosition})
	expect(t, "records of 6", records(t, p, nil, nil), []string(nil))
	expect(t, "records of 7", records(t, partition(t, d, 7), nil, nil), []string{"key=7"})
	must(t, d.Close())
}

// A lost partition is released as it is on disk.
func TestReleaseAfterLoss(t *testing.T) {
	d := openStore(t, vfs.NewMem())
	p := partition(t, d, 4)
	commit(t, p, 10, "a=1")
	must(t, p.Flush())
	commit(t, p, 20, "a=2")
	p.Discard()
	must(t, p.Release(99))
	infos, err := d.Partitions()
	must(t, err)
	expect(t, "partitions", infos, []PartitionInfo{{Partition: 4, Position: 10, ReleasedMs: 99}})
	expect(t, "records", records(t, partition(t, d, 4), nil, nil), []string{"a=1"})
	must(t, d.Close())
}

// A partition is in use once, and what is in use is not dropped.
func TestPartitionInUse(t *testing.T) {
	d := openStore(t, vfs.NewMem())
	p := partition(t, d, 4)
	if _, err := d.Partition(4); err == nil || !strings.Contains(err.Error(), "partition 4") {
		t.Errorf("opening it twice: %v", err)
	}
	if err := d.Drop(4); err == nil || !strings.Contains(err.Error(), "partition 4") {
		t.Errorf("dropping it while it is open: %v", err)
	}
	if _, err := d.Partition(-1); err == nil || !strings.Contains(err.Error(), "partition -1") {
		t.Errorf("opening -1: %v", err)
	}
	p.Close()
	must(t, d.Drop(4))
	must(t, d.Close())
	must(t, d.Close())
	_, partitionErr := d.Partition(4)
	_, listErr := d.Partitions()
	for name, err := range map[string]error{"Partition": partitionErr, "Partitions": listErr, "Drop": d.Drop(4)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s on a closed store: %v", name, err)
		}
	}
	expect(t, "metrics of a closed store", d.Metrics(), Metrics{})
}

// Closing loses what is not flushed, and nothing else.
func TestCloseIsNoFlush(t *testing.T) {
	fs := vfs.NewMem()
	d := openStore(t, fs)
	p := partition(t, d, 1)
	commit(t, p, 1, "a=1")
	must(t, p.StartFlush())
	commit(t, p, 2, "a=2")
	must(t, d.Close())
	d = openStore(t, fs)
	expect(t, "records", records(t, partition(t, d, 1), nil, nil), []string{"a=1"})
	expect(t, "dirty bytes", d.DirtyBytes(), 0)
	must(t, d.Close())
}

// TestSetAside proves that what is in the store's place and is not ours, of another format or damaged, in any of its files, is named, moved aside whole,
// and never used: the store that opens is empty and works, and opens again. (A manifest that is damaged later on is for Pebble one that a
// crash has cut off there: the store is that of an earlier flush.)
func TestSetAside(t *testing.T) {
	pebbleOf := func(t *testing.T, fs vfs.FS, change func(*pebble.DB)) {
		must(t, fs.MkdirAll("store/pebble", 0o755))
		db, err := pebble.Open("store/pebble", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatTableFormatV6, Logger: silence{}})
		must(t, err)
		change(db)
		must(t, db.Close())
	}
	type found struct {
		name string
		kind error
		make func(t *testing.T, fs vfs.FS)
	}
	cases := []found{
		{"Pebble of another program", ErrForeign, func(t *testing.T, fs vfs.FS) {
			pebbleOf(t, fs, func(db *pebble.DB) { must(t, db.Set([]byte("their key"), []byte("their value"), pebble.Sync)) })
		}},
		{"our key with another value", ErrForeign, func(t *testing.T, fs vfs.FS) {
			pebbleOf(t, fs, func(db *pebble.DB) { must(t, db.Set(formatKey, []byte("something else"), pebble.Sync)) })
		}},
		{"a newer format", ErrFormat, func(t *testing.T, fs vfs.FS) {
			pebbleOf(t, fs, func(db *pebble.DB) {
				must(t, db.Set(formatKey, append([]byte(formatMagic), FormatVersion+1), pebble.Sync))
			})
		}},
	}
	for file, damages := range map[string][]string{
		".sst": {"lost", "empty", "begins wrongly", "ends wrongly"}, "MANIFEST": {"lost", "empty", "begins wrongly"},
		"OPTIONS": {"begins wrongly"}, "marker.manifest": {"lost"}, "marker.format-version": {"lost"},
	} {
		for _, damage := range damages {
			cases = append(cases, found{file + " " + damage, ErrCorrupt, func(t *testing.T, fs vfs.FS) {
				d := openStore(t, fs)
				commit(t, partition(t, d, 0), 1, "a=1")
				must(t, partition(t, d, 1).Flush())
				must(t, d.Close())
				spoil(t, fs, file, damage)
			}})
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fs := vfs.NewMem()
			c.make(t, fs)
			before := content(t, fs, "store/pebble")
			d := openStore(t, fs)
			aside := d.SetAside()
			if aside == nil || !errors.Is(aside.Why, c.kind) || aside.Dir != "store/pebble.aside-1" {
				t.Fatalf("set aside: %+v, want %v", aside, c.kind)
			}
			for name, bytes := range content(t, fs, aside.Dir) {
				if before[name] == bytes {
					delete(before, name)
				}
			}
			for name := range before {
				if strings.HasSuffix(name, ".sst") {
					t.Errorf("table %s is not in %s as it was", name, aside.Dir)
				}
			}
			p := partition(t, d, 0)
			expect(t, "records", records(t, p, nil, nil), []string(nil))
			commit(t, p, 1, "b=2")
			must(t, p.Flush())
			must(t, d.Close())
			d = openStore(t, fs)
			if d.SetAside() != nil {
				t.Errorf("set aside again: %v", d.SetAside())
			}
			expect(t, "records", records(t, partition(t, d, 0), nil, nil), []string{"b=2"})
			must(t, d.Close())
		})
	}
}

// spoil damages the files of a store whose names begin or end so.
func spoil(t *testing.T, fs vfs.FS, ending, how string) {
	t.Helper()
	names, err := fs.List("store/pebble")
	must(t, err)
	found := false
	for _, name := range names {
		if !strings.HasPrefix(name, ending) && !strings.HasSuffix(name, ending) {
			continue
		}
		found = true
		path := "store/pebble/" + name
		info, err := fs.Stat(path)
		must(t, err)
		switch size := int(info.Size()); how {
		case "lost":
			must(t, fs.Remove(path))
		case "empty":
			f, err := fs.Create(path, diskWrites)
			must(t, errors.Join(err, f.Close()))
		case "begins wrongly":
			overwrite(t, fs, path, 0, 20)
		case "ends wrongly":
			overwrite(t, fs, path, max(0, size-60), size)
		}
	}
	if !found {
		t.Fatalf("no file %q in %q", ending, names)
	}
}

// content returns the files of a folder.
func content(t *testing.T, fs vfs.FS, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	names, err := fs.List(dir)
	must(t, err)
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		must(t, err)
		bytes, err := io.ReadAll(f)
		must(t, errors.Join(err, f.Close()))
		files[name] = string(bytes)
	}
	return files
}

// TestOccupied proves that a folder that holds other files is refused and left as it is: it may be somebody's, by a slip of a setting.
func TestOccupied(t *testing.T) {
	fs := vfs.NewMem()
	must(t, fs.MkdirAll("store", 0o755))
	f, err := fs.Create("store/holiday.jpg", diskWrites)
	must(t, errors.Join(err, f.Close()))
	d, err := Open(Options{Dir: "store", FS: fs})
	if !errors.Is(err, ErrOccupied) || !strings.Contains(err.Error(), "state store in store: ") || !strings.Contains(err.Error(), "holiday.jpg") {
		t.Errorf("Open: %v, %v", d, err)
	}
	names, err := fs.List("store")
	must(t, err)
	expect(t, "files", names, []string{"holiday.jpg"})
}

// TestRemove proves that a store is removed and nothing else, not while a process has it open, and that a new one can be made in its place.
func TestRemove(t *testing.T) {
	fs := vfs.NewMem()
	o := Options{Dir: "store", FS: fs}
	there := func() bool {
		t.Helper()
		is, err := Exists(o)
		must(t, err)
		return is
	}
	remove := func() {
		t.Helper()
		c, err := Claim(o)
		must(t, err)
		must(t, errors.Join(c.Remove(), c.Close()))
	}
	remove() // there is none
	if there() {
		t.Error("a store where there is nothing")
	}
	must(t, fs.MkdirAll("store/pebble", 0o755))
	f, err := fs.Create("store/pebble/holiday.jpg", diskWrites)
	must(t, errors.Join(err, f.Close()))
	remove()
	if _, err := fs.Stat("store/pebble/holiday.jpg"); there() || err != nil {
		t.Errorf("somebody's folder of the same name: %v", err)
	}
	must(t, fs.RemoveAll("store"))

	d := openStore(t, fs)
	o.Dir = d.store.dir
	if _, err := Claim(o); err == nil || !strings.Contains(err.Error(), "does another process use it?") || !there() {
		t.Errorf("an open store: %v", err)
	}
	must(t, d.Close())
	aside, err := fs.Create(fs.PathJoin(o.Dir, "pebble.aside-1"), diskWrites)
	must(t, errors.Join(err, aside.Close()))
	claimed, err := Claim(o)
	must(t, err)
	if _, err := Open(o); err == nil {
		t.Error("a claimed store was opened")
	}
	must(t, errors.Join(claimed.Remove(), claimed.Close()))
	names, err := fs.List(o.Dir)
	must(t, err)
	slices.Sort(names)
	expect(t, "files", names, []string{"pebble.aside-1", "state.lock"})
	if there() {
		t.Error("it is still there")
	}
	must(t, openStore(t, fs).Close())
}

// TestValues proves that a claimed store tells what every partition has under a key, and is afterwards as it was: damage is told, and not moved aside.
func TestValues(t *testing.T) {
	fs := vfs.NewMem()
	d := openStore(t, fs)
	o := Options{Dir: d.store.dir, FS: fs}
	for n, value := range map[int32]string{3: "of three", 7: "of seven", 8: ""} {
		p, err := d.Partition(n)
		must(t, err)
		if value != "" {
			must(t, p.Set([]byte("k"), []byte(value)))
		}
		must(t, p.Set([]byte("other"), []byte("x")))
		p.Commit(10)
		must(t, p.Flush())
	}
	must(t, d.Close())
	values := func() (map[int32][]byte, error) {
		t.Helper()
		c, err := Claim(o)
		must(t, err)
		values, err := c.Values([]byte("k"))
		must(t, c.Close())
		return values, err
	}
	for range 2 {
		got, err := values()
		must(t, err)
		expect(t, "values", got, map[int32][]byte{3: []byte("of three"), 7: []byte("of seven")})
	}
	names, err := fs.List(fs.PathJoin(o.Dir, pebbleDir))
	must(t, err)
	for _, name := range names {
		if strings.HasPrefix(name, "marker.manifest.") {
			must(t, fs.Remove(fs.PathJoin(o.Dir, pebbleDir, name)))
		}
	}
	if _, err := values(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("without a marker: %v", err)
	}
	if names, err := fs.List(o.Dir); err != nil || !slices.Contains(names, pebbleDir) {
		t.Errorf("%q, %v", names, err)
	}
	must(t, fs.RemoveAll(o.Dir))
	got, err := values()
	must(t, err)
	expect(t, "values of no store", got, map[int32][]byte{})
}

// A mark that no program of ours has written is damage, whatever Pebble's checksums say.
func TestCorruptMark(t *testing.T) {
	for _, value := range []string{"short", string(mark{position: -2}.encode())} {
		fs := vfs.NewMem()
		d := openStore(t, fs)
		must(t, d.store.Write(Span{}, func(yield func(key, value []byte) bool) { yield(makeKey(4, classMark, nil), []byte(value)) }))
		if _, err := d.Partition(4); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "partition 4") {
			t.Errorf("mark %q: %v", value, err)
		}
		must(t, d.Close())
	}
}

// overwrite damages a file of a MemFS in place, from one byte up to another.
func overwrite(t *testing.T, fs vfs.FS, path string, from, to int) {
	t.Helper()
	f, err := fs.Open(path)
	must(t, err)
	content, err := io.ReadAll(f)
	must(t, errors.Join(err, f.Close()))
	for i := from; i < min(to, len(content)); i++ {
		content[i] ^= 0x55
	}
	f, err = fs.Create(path, diskWrites)
	must(t, err)
	_, err = f.Write(content)
	must(t, errors.Join(err, f.Close()))
}

// Damage below the records is noticed when they are read, and names the store.
func TestReadCorrupt(t *testing.T) {
	fs := vfs.NewMem()
	d := openStore(t, fs)
	p := partition(t, d, 0)
	for i := range int64(1000) {
		must(t, p.Restore([]byte(strconv.FormatInt(i, 36)), []byte(strings.Repeat(strconv.FormatInt(i*7919, 3), 9)), i+1))
	}
	must(t, p.EndRestore(1000))
	must(t, p.Flush())
	must(t, d.Close())
	names, err := fs.List("store/pebble")
	must(t, err)
	largest, size := "", int64(0)
	for _, name := range names {
		if info, err := fs.Stat("store/pebble/" + name); err == nil && strings.HasSuffix(name, ".sst") && info.Size() > size {
			largest, size = "store/pebble/"+name, info.Size()
		}
	}
	overwrite(t, fs, largest, int(size)/3, int(size)/3+40)

	d = openStore(t, fs)
	p = partition(t, d, 0)
	var corrupt int
	for i := range int64(1000) {
		if _, _, err := p.Get([]byte(strconv.FormatInt(i, 36))); errors.Is(err, ErrCorrupt) && strings.Contains(err.Error(), "state store in store") {
			corrupt++
		} else if err != nil {
			t.Fatalf("Get: %v", err)
		}
	}
	if corrupt == 0 || corrupt == 1000 {
		t.Errorf("%d of 1000 records are corrupt: expected some, in one block", corrupt)
	}
	if err := p.Scan(nil, nil, func(_, _ []byte) bool { return true }); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Scan: %v", err)
	}
	if err := d.Damage(); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path.Base(largest)) {
		t.Errorf("the damage: %v", err)
	}
	aside, err := d.Abandon()
	must(t, err)
	if _, ok := content(t, fs, aside)[path.Base(largest)]; !ok {
		t.Errorf("the table is not in %s", aside)
	}
	d = openStore(t, fs)
	if flushed, _ := partition(t, d, 0).Position(); flushed != NoPosition || d.SetAside() != nil || d.Damage() != nil {
		t.Errorf("the new store stands at %d; set aside %v, damage %v", flushed, d.SetAside(), d.Damage())
	}
	must(t, d.Close())
}

// A second process is kept out.
func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(Options{Dir: dir})
	must(t, err)
	if second, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opening a store that is open: %v, %v", second, err)
	}
	must(t, d.Close())
	d, err = Open(Options{Dir: dir})
	must(t, err)
	must(t, d.Close())
}

// A setting that cannot be is named.
func TestOptionsValidate(t *testing.T) {
	for field, o := range map[string]Options{
		"Dir": {}, "CacheBytes": {Dir: "d", CacheBytes: 1000}, "DirtyBytesMax": {Dir: "d", DirtyBytesMax: -1}, "OpenFilesMax": {Dir: "d", OpenFilesMax: 3},
	} {
		if _, err := Open(o); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// The figures move with what they count.
func TestMetrics(t *testing.T) {
	disk := vfs.NewMem()
	d := openStore(t, disk)
	expect(t, "size of a disk that does not say", d.Metrics().DiskSizeBytes, 0)
	disk.TestingSetDiskUsage(vfs.DiskUsage{TotalBytes: 1000, UsedBytes: 700, AvailBytes: 200})
	expect(t, "size of the disk", d.Metrics().DiskSizeBytes, 1000)
	expect(t, "free on the disk", d.Metrics().DiskFreeBytes, 200)
	p := partition(t, d, 0)
	commit(t, p, 1, "a=1")
	expect(t, "dirty bytes", d.Metrics().DirtyBytes, 2+entryOverheadBytes)
	before := d.Metrics()
	must(t, p.Flush())
	after := d.Metrics()
	if after.DirtyBytes != 0 || after.Partitions != 1 || after.FlushedBytes <= before.FlushedBytes || after.Tables != before.Tables+1 ||
		after.DiskBytes <= before.DiskBytes || after.ReadAmplification == 0 {
		t.Errorf("before a flush %+v, after it %+v", before, after)
	}
	must(t, d.Close())
}

// Reads from other goroutines see each key only move forward, from its first committed value on, through commits, flushes and the closing of
// the partition, which they survive.
func TestCommittedGetConcurrently(t *testing.T) {
	const keys, rounds, readers = 20, 300, 3
	d := openStore(t, vfs.NewMem())
	p := partition(t, d, 0)
	write := func(round int) {
		for k := range keys {
			must(t, p.Set([]byte{byte(k)}, []byte(strconv.Itoa(round))))
		}
	}
	write(0)
	p.Commit(1)
	var running sync.WaitGroup
	var reads atomic.Int64
	for range readers {
		running.Go(func() {
			var seen [keys]int
			for {
				for k := range keys {
					value, ok, err := p.CommittedGet([]byte{byte(k)})
					if errors.Is(err, ErrClosed) {
						return
					}
					round, parseErr := strconv.Atoi(string(value))
					if err != nil || !ok || parseErr != nil || round < seen[k] {
						t.Errorf("key %d after %d: %q, %t, %v", k, seen[k], value, ok, err)
						return
					}
					seen[k] = round
					reads.Add(1)
				}
			}
		})
	}
	work(t, p, write, 7, func(round int) bool { return round >= rounds && reads.Load() >= 10_000 })
	must(t, d.Close())
	running.Wait()
}

// work writes and commits round after round, with writes before each that are never committed and a flush every so many, until it is done.
func work(t *testing.T, p *Partition, write func(round int), flushEvery int, done func(round int) bool) {
	t.Helper()
	for round := 1; !done(round) && !t.Failed(); round++ {
		write(1_000_000 + round) // never committed
		p.Abort()
		write(round)
		p.Commit(int64(round) + 1)
		if round%flushEvery == 0 {
			must(t, p.StartFlush())
		}
	}
	must(t, p.Flush())
}

// A committed scan beside a partition that works yields every key once, in order, and never one from before what an earlier scan has seen: through commits,
// flushes, and the closing of the partition, which it survives. The keys are more than it looks at between two looks whether it is closed.
func TestCommittedScanConcurrently(t *testing.T) {
	const keys, rounds = 2*scanLook + 100, 40
	d := openStore(t, vfs.NewMem())
	p := partition(t, d, 0)
	write := func(round int) {
		for k := range keys {
			must(t, p.Set(binary.BigEndian.AppendUint16(nil, uint16(k)), []byte(strconv.Itoa(round))))
		}
	}
	write(0)
	p.Commit(1)
	var running sync.WaitGroup
	var scans atomic.Int64
	for range 2 {
		running.Go(func() {
			seen := make([]int, keys)
			for {
				next := 0
				err := p.CommittedScan(nil, nil, func(key, value []byte) bool {
					round, err := strconv.Atoi(string(value))
					if k := int(binary.BigEndian.Uint16(key)); k != next || err != nil || round < seen[k] {
						t.Errorf("key %d instead of %d, round %q after %d", k, next, value, seen[k])
						return false
					}
					seen[next] = round
					next++
					return true
				})
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil || next != keys {
					t.Errorf("a scan ends at key %d of %d: %v", next, keys, err)
					return
				}
				scans.Add(1)
			}
		})
	}
	work(t, p, write, 3, func(round int) bool { return round >= rounds && scans.Load() >= 40 })
	must(t, d.Close())
	running.Wait()
}
