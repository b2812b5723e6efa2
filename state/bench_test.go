package state

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// benchKey is a customer's key as the tasks make it: short, its order unrelated to i.
func benchKey(i int) []byte {
	return fmt.Appendf(nil, "c%016x", uint64(i)*0x9e3779b97f4a7c15)
}

// benchValue is a state of 200 bytes, half of them random, with its deadline in front.
func benchValue(i int) []byte {
	v := make([]byte, 200)
	r := rand.New(rand.NewPCG(uint64(i), 0))
	for j := 8; j < len(v); j += 2 {
		v[j] = byte(r.Uint32())
	}
	binary.BigEndian.PutUint64(v, r.Uint64()>>16)
	return v
}

func benchIndex(dst, key, value []byte) ([]byte, bool) {
	return append(append(dst, value[:8]...), key...), true
}

// benchPartition returns a partition of a store on the disk with n records, all but the newest dirty ones flushed.
func benchPartition(b *testing.B, n, dirty int) *Partition {
	b.Helper()
	d, err := Open(Options{Dir: b.TempDir(), FS: vfs.Default, Index: benchIndex})
	must(b, err)
	b.Cleanup(func() { must(b, d.Close()) })
	p, err := d.Partition(0)
	must(b, err)
	for i := range n {
		if i == n-dirty {
			must(b, p.Flush())
		}
		must(b, p.Set(benchKey(i), benchValue(i)))
		if p.Commit(int64(i + 1)); p.Full() && i < n-dirty {
			must(b, p.StartFlush())
		}
	}
	if dirty == 0 {
		must(b, p.Flush())
	}
	return p
}

// BenchmarkGet reads scattered keys from the dirty layer, and from a store of a million records whose blocks fit the cache.
func BenchmarkGet(b *testing.B) {
	for _, layer := range []struct {
		name     string
		n, dirty int
	}{{"dirty", 200_000, 200_000}, {"pebble", 1_000_000, 0}} {
		b.Run(layer.name, func(b *testing.B) {
			p := benchPartition(b, layer.n, layer.dirty)
			keys := make([][]byte, layer.n)
			for i := range keys {
				keys[i] = benchKey(i)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if _, ok, err := p.Get(keys[i*7919%layer.n]); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

// BenchmarkTransaction is a transaction of 10,000 writes: set, handed to the changelog, committed.
func BenchmarkTransaction(b *testing.B) {
	const writes, customers = 10_000, 200_000
	p := benchPartition(b, customers, customers)
	keys := make([][]byte, customers)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	value := benchValue(0)
	position := int64(customers)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		for j := range writes {
			if err := p.Set(keys[(i*writes+j)%customers], value); err != nil {
				b.Fatal(err)
			}
		}
		for range p.Writes {
			position++
		}
		position++
		p.Commit(position)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*writes), "ns/write")
}

// BenchmarkFlush writes 64 MiB of dirty records into a store that holds them all already. StartFlush alone is what processing waits for.
func BenchmarkFlush(b *testing.B) {
	records := DefaultDirtyBytesMax/int(entryBytes(string(benchKey(0)), benchValue(0))) - 1
	p := benchPartition(b, records, 0)
	keys, value := make([][]byte, records), benchValue(1)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	_, position := p.Position()
	var started int64
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		for _, k := range keys {
			must(b, p.Set(k, value))
		}
		position++
		p.Commit(position)
		before := b.Elapsed()
		b.StartTimer()
		must(b, p.StartFlush())
		started += (b.Elapsed() - before).Nanoseconds()
		must(b, p.Flush())
	}
	b.ReportMetric(float64(started)/float64(b.N), "start-ns/op")
	b.ReportMetric(float64(records), "records/op")
}

// BenchmarkRestore restores 300,000 records with scattered keys, each of which comes once or, as most do in a changelog that is not compacted, eight
// times.
func BenchmarkRestore(b *testing.B) {
	for _, times := range []int{1, 8} {
		b.Run(fmt.Sprintf("times=%d", times), func(b *testing.B) {
			const records = 300_000
			keys, values := make([][]byte, records), make([][]byte, records)
			for i := range records {
				keys[i], values[i] = benchKey(i%(records/times)), benchValue(i)
			}
			for range b.N {
				b.StopTimer()
				p := benchPartition(b, 0, 0)
				b.StartTimer()
				for i := range records {
					must(b, p.Restore(keys[i], values[i], int64(i+1)))
				}
				must(b, p.EndRestore(records))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
		})
	}
}

// BenchmarkScan finds ten records, and a thousand of the soonest index entries, among dirty records in memory.
func BenchmarkScan(b *testing.B) {
	for _, dirty := range []int{30_000, 200_000} {
		p := benchPartition(b, dirty+1, dirty)
		for _, scan := range []struct {
			name string
			run  func() error
		}{
			{"records", func() error {
				return p.Scan([]byte("c8"), []byte("c80001"), func(_, _ []byte) bool { return true })
			}},
			{"index", func() error {
				n := 0
				return p.ScanIndex(nil, nil, func([]byte) bool { n++; return n < 1000 })
			}},
		} {
			b.Run(fmt.Sprintf("%s/%d", scan.name, dirty), func(b *testing.B) {
				b.ReportAllocs()
				for range b.N {
					must(b, scan.run())
				}
			})
		}
	}
}
