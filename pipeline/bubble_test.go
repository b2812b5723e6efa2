package pipeline

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kfake"

	"lull/state"
)

// bubble is a cluster of embedded brokers, with the hosts that processes run on, inside of a bubble of testing/synctest: nothing in it touches the machine,
// its clock stands still while anything is at work, and jumps to what is waited for when nothing is.
type bubble struct {
	*cluster
	fake    *kfake.Cluster
	network kfake.VirtualNetwork
	random  *rand.Rand // of the test's seed. It makes choices; which goroutine comes first it does not choose
}

// bubbleStart is the time at which bubbles begin, after all that history tells.
const bubbleStart = "2026-01-01T00:00:00Z"

// inBubble runs a test inside of a bubble with three brokers.
func inBubble(t *testing.T, seed uint64, test func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start, err := time.Parse(time.RFC3339, bubbleStart)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Until(start)) // bubbles begin in the year 2000
		b := &bubble{random: rand.New(rand.NewPCG(seed, seed))}
		b.fake, err = kfake.NewCluster(kfake.Ports(9092, 9093, 9094), kfake.ListenFn(b.network.Listen))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.fake.Close)
		b.cluster = connect(t, b.network.DialContext, b.fake.ListenAddrs())
		test(t, b)
	})
}

// host is a machine: its disk outlives the processes that run on it, one after the other.
type host struct {
	b    *bubble
	s    Settings
	disk crashFS
	wire *wire
	web  *kfake.VirtualNetwork // where the process listens
	p    *process
}

// host returns a machine with an empty disk, for processes of the instance id.
func (b *bubble) host(s Settings, instance string) *host {
	s.Instance, s.State.Dir, s.HTTP.Listen, s.State.CacheBytes = instance, "lull/state", "localhost:8280", 1<<20
	return &host{b: b, s: s, disk: newCrashFS()}
}

// start starts a process.
func (h *host) start() {
	h.wire = newWire(h.b.network.DialContext)
	h.web = new(kfake.VirtualNetwork)
	disk := h.disk
	m := machine{dial: h.wire.dial, listen: h.web.Listen, openStore: func(o state.Options) (*state.DB, error) {
		o.FS = disk
		return state.Open(o)
	}}
	p := h.b.runOn(m, h.s)
	h.p = p
	h.b.t.Cleanup(func() { // time in a bubble goes on for as long as the test does
		p.stop()
		for range p.done {
		}
	})
}

// kill ends the process as SIGKILL and a loss of power do: from now on nothing of it reaches the brokers, and of what it has not synced, so much of a
// hundred is on the disk that the next process finds.
func (h *host) kill(unsyncedPercent int) {
	h.wire.sever()
	h.disk = h.disk.crash(unsyncedPercent, h.b.random)
	h.p.stop() // what it still does on the way is seen by nobody; it is waited for at the end of the bubble
}

// crashFS is Pebble's crashable file system in memory, but for one fault of it: its Link takes the lock against clones twice, so that a clone
// that is asked for in between waits for ever, and Link with it.
type crashFS struct {
	*vfs.MemFS
	link *sync.RWMutex
}

func newCrashFS() crashFS { return crashFS{vfs.NewCrashableMem(), new(sync.RWMutex)} }

func (c crashFS) Link(oldname, newname string) error {
	c.link.RLock()
	defer c.link.RUnlock()
	return c.MemFS.Link(oldname, newname)
}

// crash returns the disk as it would be if the machine lost power now, with unsyncedPercent of what was not synced kept.
func (c crashFS) crash(unsyncedPercent int, rng *rand.Rand) crashFS {
	c.link.Lock()
	defer c.link.Unlock()
	return crashFS{c.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsyncedPercent, RNG: rng}), new(sync.RWMutex)}
}

// story is what the processes of a bubble are given to read: the first records of a history, and a mark at the end that releases all deadlines.
const story = 300

// undisturbed returns the digest of a story that one process has read without a fault.
func undisturbed(t *testing.T) string {
	t.Helper()
	want := ""
	inBubble(t, 0, func(t *testing.T, b *bubble) {
		s := b.application(2)
		b.publish(&s)
		h := b.host(s, "one")
		h.start()
		b.produce(b.history(&s)[:story]...)
		b.mark(&s, "2026-01-01T00:00:00Z")
		b.await(&s, h.p)
		h.p.end()
		want = b.digest(&s)
	})
	return want
}

// TestKilled proves that a process which is killed again and again, its disk losing what was not synced, and started again, puts out what an undisturbed
// one does.
func TestKilled(t *testing.T) {
	want := undisturbed(t)
	for seed := range uint64(20) {
		inBubble(t, seed, func(t *testing.T, b *bubble) {
			s := b.application(2)
			s.State.FlushEvery = time.Second
			b.publish(&s)
			h := b.host(s, "one")
			h.start()
			records := b.history(&s)[:story]
			for len(records) > 0 {
				n := min(len(records), 1+b.random.IntN(40))
				b.produce(records[:n]...)
				records = records[n:]
				<-time.After(time.Duration(b.random.IntN(1000)) * time.Millisecond)
				h.kill(b.random.IntN(101))
				h.start()
			}
			b.mark(&s, "2026-01-01T00:00:00Z")
			b.await(&s, h.p)
			h.p.end()
			if got := b.digest(&s); got != want {
				t.Errorf("seed %d: digest %s, undisturbed %s\n%s", seed, got, want, h.p.log)
			}
		})
	}
}

// TestZombie proves that a process which stands still for longer than its session, while another takes its partitions over, changes nothing in what comes
// out when it wakes up.
func TestZombie(t *testing.T) {
	want := undisturbed(t)
	for seed := range uint64(20) {
		inBubble(t, seed, func(t *testing.T, b *bubble) {
			s := b.application(2)
			b.publish(&s)
			one, two := b.host(s, "one"), b.host(s, "two")
			one.start()
			records := b.history(&s)[:story]
			b.produce(records[:100]...)
			<-time.After(time.Duration(b.random.IntN(1000)) * time.Millisecond)
			one.wire.freeze()
			two.start()
			b.produce(records[100:200]...)
			b.await(&s, two.p)
			one.wire.thaw()
			b.produce(records[200:]...)
			b.mark(&s, "2026-01-01T00:00:00Z")
			b.await(&s, two.p)
			one.p.end()
			two.p.end()
			if got := b.digest(&s); got != want {
				t.Errorf("seed %d: digest %s, undisturbed %s\n%s", seed, got, want, two.p.log)
			}
		})
	}
}
