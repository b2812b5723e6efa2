package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lull/state/statetest"
)

// The records of the tests: a value that begins with a deadline of two bytes, 0 for none; its index entry is the deadline and the key.

func testIndex(dst, key, value []byte) ([]byte, bool) {
	if len(value) < 2 || value[0]|value[1] == 0 {
		return dst, false
	}
	return append(append(dst, value[:2]...), key...), true
}

func deadlineOf(value string) uint16 {
	if len(value) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16([]byte(value))
}

func deadlineBytes(deadline uint16) []byte { return binary.BigEndian.AppendUint16(nil, deadline) }

// logged is a changelog record; a nil value is a tombstone.
type logged struct {
	key   string
	value []byte
	next  int64
}

// modelPartition is the dumb version of a partition: whole maps, and the changelog.
type modelPartition struct {
	state     map[string]string // as the running transaction sees it
	bound     uint16            // DropIndexBelow in it
	committed map[string]string
	dropped   uint16
	position  int64
	log       []logged
	flushes   map[int64]map[string]string // all that were ever started, by position
	flushed   int64                       // position of the newest flush that has ended
	everIndex map[string]bool             // all entries that any record ever had
}

func newModelPartition() *modelPartition {
	return &modelPartition{
		state: map[string]string{}, committed: map[string]string{}, position: NoPosition, flushed: NoPosition,
		flushes: map[int64]map[string]string{NoPosition: {}}, everIndex: map[string]bool{},
	}
}

// machine runs a store and the model of its partitions side by side.
type machine struct {
	fs    *statetest.Disk
	db    *DB
	parts []*Partition
	model []*modelPartition
}

const modelPartitions = 2

func (m *machine) open(t *rapid.T) {
	var err error
	if m.db, err = Open(Options{Dir: "dir/store", FS: m.fs, CacheBytes: 1 << 20, DirtyBytesMax: 600, Index: testIndex}); err != nil {
		t.Fatal(err)
	}
	m.parts = make([]*Partition, modelPartitions)
	for i := range m.parts {
		m.openPartition(t, i)
	}
}

func (m *machine) openPartition(t *rapid.T, i int) {
	var err error
	if m.parts[i], err = m.db.Partition(int32(i)); err != nil {
		t.Fatal(err)
	}
}

// pick draws a partition.
func (m *machine) pick(t *rapid.T) (int, *Partition, *modelPartition) {
	i := rapid.IntRange(0, modelPartitions-1).Draw(t, "partition")
	return i, m.parts[i], m.model[i]
}

func drawKey(t *rapid.T) string {
	return rapid.StringMatching(`[a-c]{0,2}`).Draw(t, "key")
}

func (m *machine) set(t *rapid.T) {
	_, p, model := m.pick(t)
	key := drawKey(t)
	value := []byte{}
	if rapid.Bool().Draw(t, "long") {
		deadline := uint16(0)
		if rapid.Bool().Draw(t, "armed") {
			deadline = rapid.Uint16Range(max(1, model.bound), 99).Draw(t, "deadline")
		}
		value = append(deadlineBytes(deadline), rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "rest")...)
	}
	k, v := []byte(key), bytes.Clone(value)
	must(t, p.Set(k, v))
	scribble(k, v) // the partition has copies
	model.set(key, value)
}

func (model *modelPartition) set(key string, value []byte) {
	model.state[key] = string(value)
	if entry, ok := testIndex(nil, []byte(key), value); ok {
		model.everIndex[string(entry)] = true
	}
}

func scribble(slices ...[]byte) {
	for _, s := range slices {
		for i := range s {
			s[i] ^= 0xff
		}
	}
}

func (m *machine) delete(t *rapid.T) {
	_, p, model := m.pick(t)
	key := drawKey(t)
	must(t, p.Delete([]byte(key)))
	delete(model.state, key)
}

// dropIndex declares dead what the state has no deadline below, as the runtime does with the deadlines that have fired.
func (m *machine) dropIndex(t *rapid.T) {
	_, p, model := m.pick(t)
	first := uint16(50)
	for _, v := range model.state {
		if d := deadlineOf(v); d != 0 {
			first = min(first, d)
		}
	}
	bound := rapid.Uint16Range(0, first).Draw(t, "bound")
	p.DropIndexBelow(deadlineBytes(bound))
	model.bound = max(model.bound, bound)
}

func (m *machine) commit(t *rapid.T) {
	_, p, model := m.pick(t)
	model.commit(t, p)
}

// commit writes the transaction to the changelog, with a marker behind it, and commits it.
func (model *modelPartition) commit(t *rapid.T, p *Partition) {
	position := max(model.position, 0)
	replayed, last := maps.Clone(model.committed), ""
	for k, v := range p.Writes {
		if last >= string(k) && last != "" {
			t.Fatalf("Writes yields %q after %q", k, last)
		}
		last = string(k)
		position++
		model.log = append(model.log, logged{string(k), v, position})
		apply(replayed, string(k), v)
	}
	if !maps.Equal(replayed, model.state) {
		t.Fatalf("the writes lead from %q to %q, not to %q", model.committed, replayed, model.state)
	}
	position++
	p.Commit(position)
	model.committed, model.dropped, model.position = maps.Clone(model.state), model.bound, position
}

func apply(state map[string]string, key string, value []byte) {
	if value == nil {
		delete(state, key)
	} else {
		state[key] = string(value)
	}
}

func (m *machine) abort(t *rapid.T) {
	_, p, model := m.pick(t)
	p.Abort()
	model.state, model.bound = maps.Clone(model.committed), model.dropped
}

func (m *machine) startFlush(t *rapid.T) {
	_, p, model := m.pick(t)
	model.flushes[model.position] = maps.Clone(model.committed)
	must(t, p.StartFlush())
}

func (m *machine) flush(t *rapid.T) {
	_, p, model := m.pick(t)
	model.flushes[model.position] = maps.Clone(model.committed)
	must(t, p.Flush())
	model.flushed = model.position
}

// discard loses the partition, and wins it back.
func (m *machine) discard(t *rapid.T) {
	_, p, model := m.pick(t)
	p.Discard()
	model.caughtUp(t, p)
}

// release gives the partition up and takes it again; sometimes it was dropped in between.
func (m *machine) release(t *rapid.T) {
	i, p, model := m.pick(t)
	model.flushes[model.position] = maps.Clone(model.committed)
	must(t, p.Release(7))
	model.flushed = model.position
	if rapid.Bool().Draw(t, "drop") {
		must(t, m.db.Drop(int32(i)))
		model.flushed = NoPosition
		model.flushes = map[int64]map[string]string{NoPosition: {}}
	}
	m.openPartition(t, i)
	model.caughtUp(t, m.parts[i])
}

func (m *machine) reopen(t *rapid.T) {
	must(t, m.db.Close())
	m.open(t)
	for i, p := range m.parts {
		m.model[i].caughtUp(t, p)
	}
}

// crash goes on from what a disk would hold if the machine lost power now, flushes in the background included.
func (m *machine) crash(t *rapid.T) {
	seed := rapid.Uint64().Draw(t, "seed")
	unsynced := rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "unsynced")
	clone := m.fs.Crash(unsynced, rand.New(rand.NewPCG(seed, seed)))
	must(t, m.db.Close())
	m.fs = clone
	m.open(t)
	for i, p := range m.parts {
		m.model[i].caughtUp(t, p)
	}
}

// caughtUp checks that a partition that has just lost its memory is at a flush, at least at the last one that had ended, and brings it to the
// committed state from the changelog.
func (model *modelPartition) caughtUp(t *rapid.T, p *Partition) {
	flushed, committed := p.Position()
	if flushed != committed || flushed < model.flushed {
		t.Fatalf("positions %d and %d after a restart; a flush had ended at %d", flushed, committed, model.flushed)
	}
	want, ok := model.flushes[flushed]
	if !ok {
		t.Fatalf("position %d after a restart: no flush was started there", flushed)
	}
	model.flushed = flushed
	if got := scanAll(t, p); !maps.Equal(got, want) {
		t.Fatalf("state after a restart at position %d:\n%q, want\n%q", flushed, got, want)
	}
	model.checkIndex(t, p, want, 0, nil, nil)
	for _, r := range model.log {
		if r.next > flushed {
			// A restore may flush, at any record; from then on that is a state to come back to.
			want = maps.Clone(want)
			apply(want, r.key, r.value)
			model.flushes[r.next] = want
			k, v := []byte(r.key), bytes.Clone(r.value)
			must(t, p.Restore(k, v, r.next))
			scribble(k, v) // the partition has copies
		}
	}
	if model.position > flushed {
		model.flushes[model.position] = want
		must(t, p.EndRestore(model.position)) // passes the last marker
	}
	model.state, model.bound, model.dropped = maps.Clone(model.committed), 0, 0
}

func scanAll(t *rapid.T, p *Partition) map[string]string {
	all := map[string]string{}
	must(t, p.Scan(nil, nil, func(key, value []byte) bool {
		all[string(key)] = string(value)
		return true
	}))
	return all
}

func (m *machine) scan(t *rapid.T) {
	_, p, model := m.pick(t)
	lo, hi := []byte(drawKey(t)), []byte(drawKey(t))
	if rapid.Bool().Draw(t, "open end") {
		hi = nil
	}
	limit := rapid.IntRange(1, 20).Draw(t, "limit")
	var want, got []string
	for _, k := range slices.Sorted(maps.Keys(model.state)) {
		if k >= string(lo) && (hi == nil || k < string(hi)) && len(want) < limit {
			want = append(want, k+"="+model.state[k])
		}
	}
	must(t, p.Scan(lo, hi, func(key, value []byte) bool {
		got = append(got, string(key)+"="+string(value))
		return len(got) < limit
	}))
	if !slices.Equal(got, want) {
		t.Fatalf("Scan(%q, %q) up to %d: %q, want %q", lo, hi, limit, got, want)
	}
}

func (m *machine) scanIndex(t *rapid.T) {
	_, p, model := m.pick(t)
	from := deadlineBytes(rapid.Uint16Range(0, 100).Draw(t, "from"))
	to := deadlineBytes(rapid.Uint16Range(0, 100).Draw(t, "to"))
	if rapid.Bool().Draw(t, "open end") {
		to = nil
	}
	model.checkIndex(t, p, model.state, model.bound, from, to)
}

// checkIndex checks that ScanIndex yields all live entries, in order, and nothing that never was an entry, is outside or dead.
func (model *modelPartition) checkIndex(t *rapid.T, p *Partition, state map[string]string, bound uint16, from, to []byte) {
	live := map[string]bool{}
	for k, v := range state {
		entry, ok := testIndex(nil, []byte(k), []byte(v))
		if ok && string(entry) >= string(from) && (to == nil || string(entry) < string(to)) {
			live[string(entry)] = true
		}
	}
	last := ""
	must(t, p.ScanIndex(from, to, func(entry []byte) bool {
		e := string(entry)
		delete(live, e)
		switch {
		case !model.everIndex[e]:
			t.Fatalf("ScanIndex yields %x, which no record ever had", e)
		case e <= last || e < string(from) || to != nil && e >= string(to):
			t.Fatalf("ScanIndex(%x, %x) yields %x after %x", from, to, e, last)
		case deadlineOf(e) < bound:
			t.Fatalf("ScanIndex yields %x, dead below %d", e, bound)
		}
		last = e
		return true
	}))
	for e := range live {
		t.Fatalf("ScanIndex(%x, %x) misses %x", from, to, e)
	}
}

// check compares all single reads with the model, after every action.
func (m *machine) check(t *rapid.T) {
	var dirty int64
	for i, p := range m.parts {
		model := m.model[i]
		for _, k := range []string{"", "a", "b", "c", "aa", "bc", "cc"} {
			v, ok, err := p.Get([]byte(k))
			want, wantOK := model.state[k]
			if err != nil || ok != wantOK || string(v) != want {
				t.Fatalf("partition %d: Get(%q) = %q, %t, %v; want %q, %t", i, k, v, ok, err, want, wantOK)
			}
			v, ok, err = p.CommittedGet([]byte(k))
			want, wantOK = model.committed[k]
			if err != nil || ok != wantOK || string(v) != want {
				t.Fatalf("partition %d: CommittedGet(%q) = %q, %t, %v; want %q, %t", i, k, v, ok, err, want, wantOK)
			}
		}
		scanned := make(map[string]string)
		err := p.CommittedScan(nil, nil, func(key, value []byte) bool {
			scanned[string(key)] = string(value)
			return true
		})
		if err != nil || !maps.Equal(scanned, model.committed) {
			t.Fatalf("partition %d: CommittedScan yields %q, %v; want %q", i, scanned, err, model.committed)
		}
		flushed, committed := p.Position()
		if committed != model.position || flushed < model.flushed || model.flushes[flushed] == nil {
			t.Fatalf("partition %d: positions %d, %d; want %d or later, %d", i, flushed, committed, model.flushed, model.position)
		}
		dirty += p.DirtyBytes()
	}
	if got := m.db.DirtyBytes(); got != dirty {
		t.Fatalf("the store counts %d dirty bytes, its partitions %d", got, dirty)
	}
}

// TestModel proves, by running random operations against plain maps, that reads, scans and the timer index see what was written through all
// layers; that an abort leaves nothing; that partitions do not touch one another; and that after a crash at any moment, a loss or a restart
// the store holds exactly a flushed state with its position, from which the changelog leads to the committed state.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &machine{fs: statetest.NewDisk()}
		for range modelPartitions {
			m.model = append(m.model, newModelPartition())
		}
		m.open(t)
		defer func() { must(t, m.db.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"set": m.set, "set2": m.set, "delete": m.delete, "dropIndex": m.dropIndex,
			"commit": m.commit, "commit2": m.commit, "abort": m.abort,
			"startFlush": m.startFlush, "flush": m.flush, "discard": m.discard, "release": m.release,
			"reopen": m.reopen, "crash": m.crash, "scan": m.scan, "scanIndex": m.scanIndex,
			"": m.check,
		})
	})
}

// fataler is a test of either kind.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fmt.Sprintf("%+v", err))
	}
}
