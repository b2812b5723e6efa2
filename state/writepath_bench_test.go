package state

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const writePathValueBytes = 200

// BenchmarkWritePath is the measurement behind docs/adr/0003-pebble-wal.md: one iteration is one flush of sorted, scattered keys into a store
// that holds a million of them, in each of the ways by which Pebble can take it. Every way ends with the flush as safe against kill -9 as it
// can be. Besides the time of a flush it reports CPU time of the whole process (compactions included) and bytes written to disk per byte flushed.
func BenchmarkWritePath(b *testing.B) {
	const keys = 1_000_000
	paths := []struct {
		name  string
		noWAL bool
		write func(b *testing.B, d *pebble.DB, o *pebble.Options, dir string, keys [][]byte, value []byte)
	}{
		{"batch-wal-nosync", false, func(b *testing.B, d *pebble.DB, _ *pebble.Options, _ string, keys [][]byte, value []byte) {
			applyBatch(b, d, keys, value)
		}},
		{"batch-nowal-lagging", true, func(b *testing.B, d *pebble.DB, _ *pebble.Options, _ string, keys [][]byte, value []byte) {
			applyBatch(b, d, keys, value)
		}},
		{"batch-nowal-flush", true, func(b *testing.B, d *pebble.DB, _ *pebble.Options, _ string, keys [][]byte, value []byte) {
			applyBatch(b, d, keys, value)
			if err := d.Flush(); err != nil {
				b.Fatal(err)
			}
		}},
		{"table", true, func(b *testing.B, d *pebble.DB, o *pebble.Options, dir string, keys [][]byte, value []byte) {
			path := dir + "/table"
			f, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
			if err != nil {
				b.Fatal(err)
			}
			w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), o.MakeWriterOptions(0, d.TableFormat()))
			for i, k := range keys {
				if err := w.Set(k, piece(value, i)); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			if err := d.Ingest(context.Background(), []string{path}); err != nil {
				b.Fatal(err)
			}
		}},
	}
	for _, flushBytes := range []int{64 << 20, 1 << 20} {
		for _, p := range paths {
			b.Run(fmt.Sprintf("%s/%dMiB", p.name, flushBytes>>20), func(b *testing.B) {
				dir := b.TempDir()
				o := &pebble.Options{
					DisableWAL: p.noWAL, FormatMajorVersion: pebble.FormatNewest, CacheSize: 256 << 20, MemTableSize: 64 << 20,
					L0CompactionThreshold: 4, L0StopWritesThreshold: 1000, LBaseMaxBytes: 64 << 20, Logger: quiet{},
				}
				for i := range o.Levels {
					o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
				}
				o.EnsureDefaults()
				d, err := pebble.Open(dir+"/db", o)
				if err != nil {
					b.Fatal(err)
				}
				r := rand.New(rand.NewPCG(1, 1))
				value := make([]byte, 64<<10) // values are pieces of it, so that they compress by half and not to nothing
				for i := range value {
					value[i] = byte(r.IntN(256)) * byte(i&1)
				}
				all := make([][]byte, keys)
				for i := range all {
					all[i] = binary.BigEndian.AppendUint64([]byte("customer-"), uint64(i)*0x9e3779b97f4a7c15)
				}
				slices.SortFunc(all, func(a, b []byte) int { return slices.Compare(a, b) })
				p.write(b, d, o, dir, all, value)
				n := flushBytes / (writePathValueBytes + len(all[0]))
				before := d.Metrics()
				written, wal, cpu := before.Total(), before.WAL.BytesWritten, processCPU()
				flushed := 0
				b.ResetTimer()
				for range b.N {
					some := make([][]byte, 0, n)
					for i := r.IntN(keys / n); i < keys; i += 1 + r.IntN(2*keys/n-1) { // scattered evenly, about n in all
						some = append(some, all[i])
					}
					flushed += len(some)
					p.write(b, d, o, dir, some, value)
				}
				b.StopTimer()
				m := d.Metrics()
				total := m.Total()
				b.ReportMetric(float64(processCPU()-cpu)/float64(flushed), "cpu-ns/key")
				b.ReportMetric(float64(total.TableBytesFlushed+total.TableBytesCompacted+total.TableBytesIngested-written.TableBytesFlushed-
					written.TableBytesCompacted-written.TableBytesIngested+m.WAL.BytesWritten-wal)/float64(flushed*(writePathValueBytes+len(all[0]))), "bytes/byte")
				if err := d.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

func applyBatch(b *testing.B, d *pebble.DB, keys [][]byte, value []byte) {
	batch := d.NewBatch()
	for i, k := range keys {
		if err := batch.Set(k, piece(value, i), nil); err != nil {
			b.Fatal(err)
		}
	}
	if err := d.Apply(batch, pebble.NoSync); err != nil {
		b.Fatal(err)
	}
	if err := batch.Close(); err != nil {
		b.Fatal(err)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// piece returns the i-th value of writePathValueBytes bytes.
func piece(from []byte, i int) []byte {
	i = i * 7919 % (len(from) - writePathValueBytes)
	return from[i : i+writePathValueBytes]
}

func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
