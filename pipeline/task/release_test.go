package task_test

import (
	"cmp"
	"flag"
	"fmt"
	"hash/fnv"
	"runtime"
	"testing"

	"lull/operators"
	"lull/pipeline/task"
	"lull/state"
)

// released is how many customers TestRelease has.
var released = flag.Int("customers", 100_000, "customers whose deadlines one time mark releases")

// durable is a task over the product's store, and what a changelog keeps for it: the committed writes that the disk does not have yet.
type durable struct {
	*testing.T
	dir    string
	cfg    task.Config
	chain  *operators.Chain
	db     *state.DB
	store  *state.Partition
	task   *task.Task
	tail   []logged // committed, in the order of the changelog
	offset int64    // of the changelog's end

	outputs             int // that a transaction may make
	transactions, kills int
	outputsMax, loaded  int
	dirtyMax            int64
	heapMax             int64 // beyond heapBefore, which other tests have left
	heapBefore          int64
	last                firing
	sum                 uint64 // of all that was told, in order, but for scores
	triggers, sessions  []bool // by customer
}

type logged struct {
	offset     int64
	key, value []byte
}

// firing is what outputs are ordered by.
type firing struct {
	at       operators.EventTime
	customer string
}

const (
	releaseShare = 10    // that part of the customers is what a transaction may tell of
	releaseBatch = 2_000 // customers who come in one transaction
	releaseDirty = 4 << 20
)

// open opens the store as the last process left it, and reads the changelog's tail.
func (d *durable) open() {
	d.Helper()
	var err error
	if d.db, err = state.Open(state.Options{Dir: d.dir, CacheBytes: 8 << 20, DirtyBytesMax: releaseDirty, Index: task.IndexEntry}); err != nil {
		d.Fatal(err)
	}
	if d.store, err = d.db.Partition(0); err != nil {
		d.Fatal(err)
	}
	_, position := d.store.Position()
	for _, w := range d.tail {
		if w.offset >= position {
			if err := d.store.Restore(w.key, w.value, w.offset+1); err != nil {
				d.Fatal(err)
			}
		}
	}
	if err := d.store.EndRestore(d.offset); err != nil {
		d.Fatal(err)
	}
	if d.task, err = task.Open(d.cfg, d.chain, d.store, models{first}); err != nil {
		d.Fatal(err)
	}
}

// kill ends the process: what is in memory is lost, a transaction under way with it.
func (d *durable) kill() {
	d.Helper()
	d.kills++
	if err := d.db.Close(); err != nil {
		d.Fatal(err)
	}
	d.open()
}

// budget is a transaction's.
func (d *durable) budget() *task.Budget {
	return &task.Budget{Outputs: d.outputs, Expired: func() bool { return false }}
}

// commit ends a transaction.
func (d *durable) commit() {
	d.Helper()
	if err := d.task.Finish(); err != nil {
		d.Fatal(err)
	}
	for key, value := range d.store.Writes {
		d.tail = append(d.tail, logged{d.offset, key, value})
		d.offset++
	}
	d.hear()
	d.store.Commit(d.offset)
	d.task.Committed()
	d.transactions++
	_, loaded := d.task.Soonest()
	d.loaded, d.dirtyMax = max(d.loaded, loaded), max(d.dirtyMax, d.db.DirtyBytes())
	if d.store.Full() {
		if err := d.store.Flush(); err != nil {
			d.Fatal(err)
		}
		d.tail = d.tail[:0]
	}
}

// hear takes in what the transaction tells: by deadline and then by customer, and of each customer once.
func (d *durable) hear() {
	d.Helper()
	outputs := d.task.Outputs()
	d.outputsMax = max(d.outputsMax, len(outputs))
	h := fnv.New64a()
	for i := range outputs {
		o := &outputs[i]
		if o.Cause.Kind != operators.DeadlineInput || o.Kind == operators.ScoreOutput {
			continue
		}
		f := firing{o.Cause.Deadline, o.Customer}
		if cmp.Or(cmp.Compare(f.at, d.last.at), cmp.Compare(f.customer, d.last.customer)) < 0 {
			d.Fatalf("%+v is told after %+v", f, d.last)
		}
		d.last = f
		fmt.Fprint(h, d.sum, o.Kind, f.at, f.customer, o.ID)
		d.sum = h.Sum64()
		h.Reset()
		var n int
		if _, err := fmt.Sscanf(o.Customer, "c%d", &n); err != nil {
			d.Fatal(err)
		}
		switch list := map[operators.OutputKind][]bool{operators.SessionOutput: d.sessions, operators.TriggerOutput: d.triggers}[o.Kind]; {
		case list == nil:
		case list[n]:
			d.Fatalf("%+v is told a second time", f)
		default:
			list[n] = true
		}
	}
}

// heap returns how much memory is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// release lets n customers come within an hour, who are to be silent some hours later each, and then one mark say that a year has passed. The process is killed after the transactions of the
// mark whose numbers are in kills, and again in the midst of the next.
func release(t *testing.T, n int, kills ...int) *durable {
	t.Helper()
	d := &durable{
		heapBefore: heap(),
		T:          t, dir: t.TempDir(), outputs: max(releaseBatch, min(10_000, n/releaseShare)), chain: operators.NewChain(bell{}, sessionOperator()), sessions: make([]bool, n), triggers: make([]bool, n),
		cfg: task.Config{LatenessMs: int64(2 * hour), JumpMaxMs: int64(7 * day), EventClock: true, CachedCustomers: 1000, TimersLoaded: 5000, Looks: 1000},
	}
	d.open()
	defer func() { _ = d.db.Close() }()
	for i := range n {
		at := start + operators.EventTime(i)*hour/operators.EventTime(n)
		e := operators.Event{
			Kind: operators.PageViewed, ID: fmt.Sprint("m", i), Customer: fmt.Sprintf("c%d", n-1-i), Time: at, Quantity: float64(1 + i%1000),
			Day: operators.Day(at / day), DayStart: at / day * day,
		}
		if outcome, err := d.task.Apply(int64(i), &e, d.budget()); outcome != task.Applied || err != nil {
			t.Fatal(outcome, err)
		}
		if i%releaseBatch == releaseBatch-1 {
			d.commit()
		}
	}
	d.commit()
	d.transactions = 0
	for {
		outcome, err := d.task.Mark(int64(n), start+365*day, d.budget())
		if err != nil {
			t.Fatal(err)
		}
		if len(kills) > 0 && kills[0] == d.transactions {
			kills = kills[1:]
			d.kill() // the transaction has been made, and is not committed
			continue
		}
		d.commit()
		if outcome == task.Applied {
			d.task, d.tail = nil, nil // the memory of this one is none of the next
			return d
		}
		if d.transactions%4 == 0 {
			d.heapMax = max(d.heapMax, heap()-d.heapBefore)
		}
	}
}

// TestRelease proves that one time mark may release the deadlines of any number of customers at once: they fire in order of (deadline, customer), each
// once, over many transactions of bounded size, in bounded memory, on the product's own store; and killed at the beginning, in the midst and at the end,
// each time with a transaction under way, the process tells the very same.
//
// -customers 1000000 is the long form.
func TestRelease(t *testing.T) {
	n := *released
	if underRace {
		n = min(n, 20_000)
	}
	undisturbed := release(t, n)
	last := undisturbed.transactions - 1
	killed := release(t, n, 0, 1, last/3, last/2, last-1, last)
	for _, d := range []*durable{undisturbed, killed} {
		for i := range n {
			if !d.sessions[i] || !d.triggers[i] {
				t.Fatalf("of customer %d: session %v, trigger %v", i, d.sessions[i], d.triggers[i])
			}
		}
		if d.outputsMax > d.outputs {
			t.Errorf("a transaction of %d outputs", d.outputsMax)
		}
		if d.transactions < 2*n/d.outputs {
			t.Errorf("%d transactions", d.transactions)
		}
		if d.loaded > 2*d.cfg.TimersLoaded {
			t.Errorf("%d deadlines in memory", d.loaded)
		}
		if d.heapMax > 64<<20 {
			t.Errorf("a heap of %d bytes", d.heapMax)
		}
		if d.dirtyMax > 3*releaseDirty {
			t.Errorf("%d bytes of memory for what is not on disk", d.dirtyMax)
		}
	}
	if killed.sum != undisturbed.sum || killed.kills != 6 {
		t.Errorf("killed %d times, something else is told", killed.kills)
	}
	t.Logf("%d customers: %d transactions, at most %d outputs, %d deadlines in memory, %d KiB dirty, heap %d KiB; killed: %d transactions, heap %d KiB", n,
		undisturbed.transactions, undisturbed.outputsMax, undisturbed.loaded, undisturbed.dirtyMax>>10, undisturbed.heapMax>>10, killed.transactions, killed.heapMax>>10)
}
