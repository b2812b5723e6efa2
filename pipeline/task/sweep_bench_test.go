package task_test

import (
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"lull/operators"
	"lull/pipeline/task"
	"lull/state"
)

// BenchmarkSweep brings the buyers of one task (-customers) from one model to the next, in the product's store, in slices of 10 ms, each with a transaction of
// its own, as package pipeline does: what a customer costs, and how long a slice keeps live work waiting. Encoding for Kafka is not part of it.
func BenchmarkSweep(b *testing.B) {
	cfg, store := manyBuyers(b)
	offset := int64(*released + 1)
	known := models{first}
	tk, err := task.Open(cfg, chain(), store, &known)
	if err != nil {
		b.Fatal(err)
	}
	commit := func() {
		if err := tk.Finish(); err != nil {
			b.Fatal(err)
		}
		offset++
		store.Commit(offset)
		tk.Committed()
		if store.Full() {
			if err := store.StartFlush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	adopt := func() {
		if err := tk.Adopt(known); err != nil {
			b.Fatal(err)
		}
		commit()
	}
	var took []time.Duration
	touched, before := 0, cpu(b)
	for i := 0; b.Loop(); i++ {
		next := *[]*operators.Model{second, fourth}[i%2]
		next.Version, next.EffectiveAt = fmt.Sprint("next-", i), 0
		known = append(known, &next)
		adopt()
		for tk.Sweeping() {
			began := time.Now()
			until := began.Add(10 * time.Millisecond)
			n, err := tk.Sweep(&task.Budget{Outputs: 1000, Expired: func() bool { return !time.Now().Before(until) }})
			if err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
			touched += n
			commit()
		}
	}
	if touched != b.N**released/8*8 {
		b.Fatalf("%d touched", touched)
	}
	slices.Sort(took)
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(touched), "cpu-ns/customer")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/slice-median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms/slice-p99")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms/slice-max")
	b.ReportMetric(float64(len(took))/float64(b.N), "slices")
}

// manyBuyers returns the store of a task with many buyers (-customers), on a disk, and the configuration to open it with.
func manyBuyers(b *testing.B) (task.Config, *state.Partition) {
	cfg := settings()
	cfg.CachedCustomers, cfg.TimersLoaded, cfg.JumpMaxMs, cfg.Looks, cfg.Sampled = 20_000, 50_000, 0, 8192, 13_500
	db, err := state.Open(state.Options{Dir: b.TempDir(), CacheBytes: 256 << 20, Index: task.IndexEntry})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	store, err := db.Partition(0)
	if err != nil {
		b.Fatal(err)
	}
	offset := int64(0)
	restore := func(key, value []byte) {
		offset++
		if err := store.Restore(key, value, offset); err != nil {
			b.Fatal(err)
		}
	}
	for key, value := range buyers(b) {
		if id, ok := task.CustomerOf([]byte(key)); ok {
			for i := range *released / 8 {
				restore(task.CustomerKey(nil, fmt.Sprintf("%s-%07d", id, i)), []byte(value))
			}
		} else if key == string(task.MetaKey) {
			restore([]byte(key), []byte(value))
		}
	}
	if err := store.EndRestore(offset); err != nil {
		b.Fatal(err)
	}
	return cfg, store
}

// BenchmarkCount counts the buyers of one task (-customers) for its statistics, in slices of 10 ms: what a start costs besides.
func BenchmarkCount(b *testing.B) {
	cfg, store := manyBuyers(b)
	var took []time.Duration
	before := cpu(b)
	for b.Loop() {
		tk, err := task.Open(cfg, chain(), store, &models{first})
		if err != nil {
			b.Fatal(err)
		}
		for table, counted := tk.Statistics(); !counted; _, counted = tk.Statistics() {
			began := time.Now()
			until := began.Add(10 * time.Millisecond)
			if err := tk.Count(&task.Budget{Outputs: 1, Expired: func() bool { return !time.Now().Before(until) }}); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(began))
			if _, counted := tk.Statistics(); counted && table.Customers() != int64(*released/8*8) {
				b.Fatalf("%d customers", table.Customers())
			}
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N**released/8*8), "cpu-ns/customer")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/slice-median")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "ms/slice-max")
	b.ReportMetric(float64(len(took))/float64(b.N), "slices")
}

// buyers returns the store of a task whose eight customers have bought on one to eight days, and have been silent for a week since.
func buyers(b *testing.B) map[string]string {
	p := newProcess(b, settings(), chain())
	p.mark("01T00:00")
	p.do(step{adopt: first})
	for days := range 8 {
		for d := range days + 1 {
			p.send(fmt.Sprint("buyer-", days), fmt.Sprintf("%02dT10:00 order_completed order=o%d amount=%d", 1+2*d, d, 10+d))
		}
	}
	p.mark("22T00:00")
	p.settle()
	return p.store.committed
}

// cpu returns the processor time that the process has taken.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
