package state

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"lull/state/statetest"
)

// killRounds is the number of transactions of a killScript; each is flushed.
const killRounds = 12

// killState returns the records after a round of the script: each round writes one key, and deletes another every third time. Rounds are
// positions.
func killState(round int64) map[string]string {
	state := map[string]string{}
	for r := int64(1); r <= round; r++ {
		for _, w := range killWrites(r) {
			apply(state, w.key, w.value)
		}
	}
	return state
}

// killWrites returns the writes of a round. Its deadlines rise from round to round.
func killWrites(round int64) []logged {
	writes := []logged{{key: fmt.Sprint("k", round%5), value: append(deadlineBytes(uint16(100+round)), strings.Repeat("x", 50)...)}}
	if round%3 == 0 {
		writes = append(writes, logged{key: fmt.Sprint("k", (round+1)%5)})
	}
	return writes
}

// killBound returns an index bound that is below all deadlines of killState(round).
func killBound(round int64) []byte { return deadlineBytes(uint16(max(0, 100+round-5))) }

// progress says how far the script has come.
type progress struct{ started, ended, dropStarted, dropEnded atomic.Int64 }

// killScript runs rounds of partition 1 over a store, each flushed; in the middle it drops partition 2 and opens the store again.
func killScript(t *testing.T, fs vfs.FS, at *progress) {
	open := func() *DB {
		d, err := Open(Options{Dir: "data/store", FS: fs, Index: testIndex})
		must(t, err)
		return d
	}
	d := open()
	other := partition(t, d, 2)
	commit(t, other, 5, "other=1")
	must(t, other.Release(7))
	at.dropStarted.Store(-1)
	p := partition(t, d, 1)
	for round := int64(1); round <= killRounds; round++ {
		for _, w := range killWrites(round) {
			if w.value == nil {
				must(t, p.Delete([]byte(w.key)))
			} else {
				must(t, p.Set([]byte(w.key), w.value))
			}
		}
		p.DropIndexBelow(killBound(round))
		p.Commit(round)
		at.started.Store(round)
		must(t, p.Flush())
		at.ended.Store(round)
		if round == killRounds/2 {
			at.dropStarted.Store(1)
			must(t, d.Drop(2))
			at.dropEnded.Store(1)
			must(t, d.Close())
			d = open()
			p = partition(t, d, 1)
		}
	}
	must(t, d.Close())
}

// TestKill kills the machine before every single operation by which the store changes the disk, its compactions' too, with none, some and
// all of what was not synced kept. What reopens must be the state of the last flush that had ended or of the one that ran, with its position
// and its index, and a partition must be dropped or not.
func TestKill(t *testing.T) {
	type killed struct {
		disk                                    *statetest.Disk
		op                                      string
		least, most, dropStarted, dropCompleted int64
	}
	var (
		at    progress
		mu    sync.Mutex
		kills []killed
	)
	disk := statetest.NewDisk()
	rng := rand.New(rand.NewPCG(1, 1))
	killScript(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		for _, percent := range []int{0, 50, 100} {
			k := killed{op: fmt.Sprintf("operation %d on %s", op.Kind, op.Path), least: at.ended.Load(), dropCompleted: at.dropEnded.Load()}
			k.disk = disk.Crash(percent, rng)
			k.most, k.dropStarted = at.started.Load(), at.dropStarted.Load()
			kills = append(kills, k)
		}
		return nil
	})), &at)

	if len(kills) < 3*10*killRounds {
		t.Fatalf("only %d kills: the store changes the disk more often", len(kills))
	}
	positions := map[int64]bool{}
	for _, k := range kills {
		d, err := Open(Options{Dir: "data/store", FS: k.disk, Index: testIndex})
		if err != nil {
			t.Fatalf("killed before %s: %+v", k.op, err)
		}
		infos, err := d.Partitions()
		must(t, err)
		has2 := len(infos) > 0 && infos[len(infos)-1].Partition == 2
		if k.dropCompleted == 1 && has2 || k.dropStarted == -1 && !has2 {
			t.Errorf("killed before %s, drop started %d, ended %d: partitions %v", k.op, k.dropStarted, k.dropCompleted, infos)
		}
		p := partition(t, d, 1)
		position, _ := p.Position()
		if max(position, 0) < k.least || position > k.most {
			t.Errorf("killed before %s: position %d, want %d to %d", k.op, position, k.least, k.most)
		}
		positions[position] = true
		checkKilled(t, p, k.op, position)
		must(t, d.Close())
	}
	if len(positions) != killRounds+1 {
		t.Errorf("the kills end at %d positions: expected each of the %d flushes and none", len(positions), killRounds)
	}
}

// checkKilled compares a partition with what the script had at a position.
func checkKilled(t *testing.T, p *Partition, op string, position int64) {
	t.Helper()
	got := map[string]string{}
	must(t, p.Scan(nil, nil, func(k, v []byte) bool {
		got[string(k)] = string(v)
		return true
	}))
	want := killState(position)
	if !maps.Equal(got, want) {
		t.Errorf("killed before %s, position %d: %q, want %q", op, position, got, want)
	}
	entries := map[string]bool{}
	must(t, p.ScanIndex(nil, nil, func(entry []byte) bool {
		entries[string(entry)] = true
		if string(entry) < string(killBound(position)) {
			t.Errorf("killed before %s, position %d: entry %x is there, below the bound", op, position, entry)
		}
		return true
	}))
	for k, v := range want {
		if entry, ok := testIndex(nil, []byte(k), []byte(v)); ok && !entries[string(entry)] {
			t.Errorf("killed before %s, position %d: entry of %s is missing", op, position, k)
		}
	}
}

// TestDiskFull lets the disk be full from each operation on by which a flush makes its table and hands it over, in turn. Each time the flush
// says why, nothing is lost, and once there is room the next one succeeds.
func TestDiskFull(t *testing.T) {
	var full, ops atomic.Int64
	full.Store(-1)
	disk := vfs.NewMem()
	d, err := Open(Options{Dir: "store", FS: errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsRead || op.Kind == errorfs.OpRemove || path.Ext(op.Path) != ".sst" {
			return nil
		}
		if n, first := ops.Add(1)-1, full.Load(); first >= 0 && n >= first {
			return syscall.ENOSPC
		}
		return nil
	})), Index: testIndex})
	must(t, err)
	p := partition(t, d, 0)
	failures := int64(0)
	for position := int64(1); ; position++ {
		value := strings.Repeat(fmt.Sprint(position), 2000)
		commit(t, p, position, "a="+value, fmt.Sprintf("b%d=", position))
		ops.Store(0)
		full.Store(failures)
		err := p.Flush()
		full.Store(-1)
		if err == nil {
			break
		}
		failures++
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "flushing partition 0") {
			t.Fatalf("disk full from operation %d on: %+v", failures, err)
		}
		if flushed, _ := p.Position(); flushed >= position {
			t.Fatalf("disk full from operation %d on: flushed position %d", failures, flushed)
		}
		expect(t, "a after a failure", len(records(t, p, []byte("a"), []byte("b"))[0]), 2+len(value))
		must(t, p.Flush())
	}
	if failures < 4 { // of creating, writing, syncing, and linking or else copying
		t.Errorf("only %d operations can fail", failures)
	}
	expect(t, "records", len(records(t, p, nil, nil)), failures+2)
	must(t, d.Close())
	d = openStore(t, disk)
	expect(t, "records on disk", len(records(t, partition(t, d, 0), nil, nil)), failures+2)
	must(t, d.Close())
}

// TestCompactionsBehind holds all compactions up until there are more generations of tables than reads should look through. The next flush then
// lets compactions go first; but when they fail it does not wait for what will not come.
func TestCompactionsBehind(t *testing.T) {
	for _, outcome := range []error{nil, syscall.ENOSPC} {
		t.Run(fmt.Sprint(outcome), func(t *testing.T) {
			hold := make(chan struct{})
			d, err := Open(Options{Dir: "store", FS: errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind != errorfs.OpCreate || path.Base(path.Dir(op.Path)) != pebbleDir || path.Ext(op.Path) != ".sst" {
					return nil
				}
				<-hold // this is a compaction: flushes make their tables elsewhere
				return outcome
			})), Index: testIndex})
			must(t, err)
			p := partition(t, d, 0)
			sublevels := func() int32 { return d.store.db.Metrics().Levels[0].Sublevels }
			position := int64(0)
			startFlush := func() {
				position++
				commit(t, p, position, fmt.Sprint("a=", position), fmt.Sprint("b=", position))
				must(t, p.StartFlush())
			}
			for sublevels() <= l0SublevelsMax {
				if position > 2*l0SublevelsMax {
					t.Fatal("compactions are not held up")
				}
				startFlush()
				must(t, p.Flush())
			}
			startFlush()
			close(hold)
			must(t, p.Flush())
			if got := sublevels(); outcome == nil && got > l0SublevelsMax {
				t.Errorf("%d sublevels after a flush that should have waited for compactions", got)
			}
			if errors := d.Metrics().BackgroundErrors; (errors != 0) != (outcome != nil) {
				t.Errorf("%d background errors", errors)
			}
			expect(t, "records", records(t, p, nil, nil), []string{fmt.Sprint("a=", position), fmt.Sprint("b=", position)})
			must(t, d.Close())
		})
	}
}

// A disk that cannot be written is told as such when the store is opened, new or not.
func TestOpenReadOnlyDisk(t *testing.T) {
	for _, name := range []string{"new store", "old store"} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewMem()
			if name == "old store" {
				must(t, openStore(t, disk).Close())
			}
			d, err := Open(Options{Dir: "store", FS: errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
					return syscall.EROFS
				}
				return nil
			}))})
			if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "state store in store") {
				t.Errorf("Open: %v, %v", d, err)
			}
		})
	}
}
