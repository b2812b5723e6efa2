package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/pipeline/task"
	"lull/state"
	"lull/state/statetest"
)

// bubble is a cluster of embedded brokers, with the hosts that processes run on, inside of a bubble of testing/synctest: nothing in it touches the machine,
// its clock stands still while anything is at work, and jumps to what is waited for when nothing is.
type bubble struct {
	*cluster
	fake    *kfake.Cluster
	network kfake.VirtualNetwork
	own     *wire // the test's
	faults  []*kfake.FaultHandle
	random  *rand.Rand // of the test's seed. It makes choices; which goroutine comes first it does not choose

	mu    sync.Mutex
	wires []*wire // of all processes that there have been
}

// bubbleStart is the time at which bubbles begin, after all that history tells.
const bubbleStart = "2026-01-01T00:00:00Z"

// confineBubble is called before a bubble begins, and what it returns after it has ended.
var confineBubble = func() (end func()) { return func() {} }

// inBubble runs a test inside of a bubble with three brokers.
func inBubble(t *testing.T, seed uint64, test func(t *testing.T, b *bubble)) {
	t.Helper()
	defer confineBubble()()
	synctest.Test(t, func(t *testing.T) {
		start, err := time.Parse(time.RFC3339, bubbleStart)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Until(start)) // bubbles begin in the year 2000
		b := &bubble{random: rand.New(rand.NewPCG(seed, seed))}
		b.fake, err = kfake.NewCluster(kfake.Ports(firstPort, firstPort+1, firstPort+2), kfake.ListenFn(b.network.Listen))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.fake.Close)
		b.own = newWire(b.network.DialContext, nil, nil)
		b.cluster = connect(t, b.own.dial, b.fake.ListenAddrs())
		test(t, b)
	})
}

// requests returns how many requests of each kind the processes have made.
func (b *bubble) requests() map[kmsg.Key]int {
	return sum(b.allWires(), func(w *wire) map[kmsg.Key]int { return w.seen })
}

// fates returns what became of them.
func (b *bubble) fates() map[fate]int {
	return sum(b.allWires(), func(w *wire) map[fate]int { return w.became })
}

func (b *bubble) allWires() []*wire {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.wires)
}

func sum[K comparable](wires []*wire, counts func(*wire) map[K]int) map[K]int {
	total := map[K]int{}
	for _, w := range wires {
		w.mu.Lock()
		for k, n := range counts(w) {
			total[k] += n
		}
		w.mu.Unlock()
	}
	return total
}

// firstPort is that of broker 0; the others' follow.
const firstPort = 9092

// removeNode ends a broker: others take its partitions over.
func (b *bubble) removeNode(node int32) {
	b.t.Helper()
	if err := b.fake.RemoveNode(node); err != nil {
		b.t.Fatal(err)
	}
	for _, w := range append(b.allWires(), b.own) {
		w.hangUp(fmt.Sprint("localhost:", firstPort+node))
	}
}

// returnNode brings a broker back.
func (b *bubble) returnNode(node int32) {
	b.t.Helper()
	if _, _, err := b.fake.AddNode(node, firstPort+int(node)); err != nil {
		b.t.Fatal(err)
	}
}

// host is a machine: its disk outlives the processes that run on it, one after the other.
type host struct {
	b *bubble
	s Settings
	// decider returns what decides the fates of the next process's requests, by a source of its own as there is more than one process. It may be nil.
	decider func(random *rand.Rand) decider
	// snapshots are those of all its processes. It may be nil.
	snapshots Snapshots

	mu     sync.Mutex // a request that kills the process starts the next one, beside the test
	random *rand.Rand
	disk   *statetest.Disk
	wire   *wire
	web    *kfake.VirtualNetwork // where the process listens
	p      *process
	ended  bool
}

// host returns a machine with an empty disk, for processes of the instance id.
func (b *bubble) host(s Settings, instance string) *host {
	s.Instance, s.State.Dir, s.HTTP.Listen, s.State.CacheBytes = instance, "lull/state", "localhost:8280", 1<<20
	return &host{b: b, s: s, disk: statetest.NewDisk(), random: rand.New(rand.NewPCG(b.random.Uint64(), 0))}
}

// start starts a process.
func (h *host) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.run()
}

// run starts a process. h.mu is held.
func (h *host) run() {
	var decide decider
	if h.decider != nil {
		decide = h.decider(rand.New(rand.NewPCG(h.random.Uint64(), 0)))
	}
	disk, web := h.disk, new(kfake.VirtualNetwork)
	var w *wire
	w = newWire(h.b.network.DialContext, decide, func() { h.restartOn(w) })
	p := h.b.runOn(machine{dial: w.dial, listen: web.Listen, snapshots: h.snapshots, openStore: func(o state.Options) (*state.DB, error) {
		o.FS = disk
		return state.Open(o)
	}}, h.s)
	h.wire, h.web, h.p = w, web, p
	h.b.mu.Lock()
	h.b.wires = append(h.b.wires, w)
	h.b.mu.Unlock()
	h.b.t.Cleanup(func() { // time in a bubble goes on for as long as the test does
		w.sever()
		p.stop()
		for range p.done {
		}
	})
}

// restart kills the process and starts another. It dies as by SIGKILL and a loss of power: from now on nothing of it reaches the brokers, and of what it
// has not synced a random part is on the disk that the next process finds. What it still does on the way is seen by nobody.
func (h *host) restart() { h.restartOn(h.now()) }

// restartOn is restart, unless the process on the wire is not the last one.
func (h *host) restartOn(w *wire) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended || h.wire != w {
		return
	}
	w.sever()
	h.disk = h.disk.Crash(h.random.IntN(101), h.random)
	h.p.stop()
	h.run()
}

// now returns the wire of the process that runs now.
func (h *host) now() *wire {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.wire
}

// drive returns the disk that there is now.
func (h *host) drive() *statetest.Disk {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.disk
}

// heal lets everything pass from now on, and be written.
func (h *host) heal() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.decider = nil
	h.wire.heal()
	h.disk.Accept()
}

// supervise starts a process again that has ended for a reason that lies outside of it, as whoever supervises processes does: its disk was full,
// or its name was taken. Two of one name end one another; but one alone is ended too, if a request to join that the network held up arrives after
// the one that followed it.
func (h *host) supervise() {
	h.b.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case err := <-h.p.done:
		h.checkEnd(err)
		h.disk.Accept()
		h.run()
	default:
	}
}

// end stops the process.
func (h *host) end() {
	h.b.t.Helper()
	h.heal()
	h.mu.Lock()
	h.ended = true
	h.mu.Unlock()
	h.p.stop()
	h.checkEnd(<-h.p.done)
}

// again starts a process after end.
func (h *host) again() {
	h.mu.Lock()
	h.ended = false
	h.mu.Unlock()
	h.start()
}

func (h *host) checkEnd(err error) {
	h.b.t.Helper()
	fenced := (*FencedError)(nil)
	if err != nil && !errors.As(err, &fenced) && !errors.Is(err, syscall.ENOSPC) {
		h.b.t.Fatalf("the process of host %s ended with %v\n%s", h.s.Instance, err, h.p.log)
	}
}

// story is how many records of a history the processes of a bubble read, before a mark that releases all deadlines.
const story = 300

const storyEnd = "2026-01-01T00:00:00Z"

// undisturbed is the digest of a story that one process has read without a fault.
var undisturbed struct {
	sync.Once
	digest string
}

// undisturbedDigest returns it. It is not for bubbles.
func undisturbedDigest(t *testing.T) string {
	t.Helper()
	undisturbed.Do(func() {
		inBubble(t, 0, func(t *testing.T, b *bubble) {
			s := b.application(2)
			b.publish(&s)
			h := b.host(s, "one")
			h.start()
			b.produce(b.history(&s)[:story]...)
			b.mark(&s, storyEnd)
			b.await(&s, h)
			h.end()
			undisturbed.digest = b.digest(&s)
		})
	})
	return undisturbed.digest
}

// await waits until the group has committed the end of every partition of the input, for an hour at most. It asks the brokers behind the wires, without
// a request. A process that was fenced by its own name is started again, as whoever supervises processes does.
func (b *bubble) await(s *Settings, hosts ...*host) {
	b.t.Helper()
	var rebalancing time.Time
	for deadline := time.Now().Add(time.Hour); ; <-time.After(50 * time.Millisecond) {
		now := time.Now()
		g := b.fake.GroupInfo(s.Group)
		if g != nil && b.reached(s, g) {
			return
		}
		if g == nil || g.State != "PreparingRebalance" {
			rebalancing = now
		}
		// The embedded broker waits for ever if a static member came back while its predecessor waited for its assignment: it then counts one less
		// that has joined. A rebalance that takes longer than the client's timeout, a minute, is ended as an operator would end it.
		if now.Sub(rebalancing) > 2*time.Minute {
			for _, h := range hosts {
				b.forgetMember(&h.s)
			}
			rebalancing = now
		}
		for _, h := range hosts {
			h.supervise()
		}
		if now.After(deadline) {
			b.t.Fatalf("the group did not reach the end of the input\n%s", logs(hosts))
		}
	}
}

// reached reports whether the group has committed the end of every partition that it reads, and the feeds have told the time that they know.
func (b *bubble) reached(s *Settings, g *kfake.GroupInfo) bool {
	metadata := make(map[topicPartition]string)
	topics := []string{s.taskTopic()}
	if s.Staged() {
		topics = append(topics, inputs(s)...)
	}
	for _, topic := range topics {
		for _, p := range b.fake.PartitionInfos(topic) {
			at := g.Commits[topic][p.Partition]
			if p.HighWatermark > 0 && at.Offset < p.HighWatermark {
				return false
			}
			if topic != s.taskTopic() {
				metadata[topicPartition{topic, p.Partition}] = at.Metadata
			}
		}
	}
	return b.timeTold(s, metadata)
}

// logs returns what the last processes of hosts have logged.
func logs(hosts []*host) string {
	var all strings.Builder
	for _, h := range hosts {
		fmt.Fprintf(&all, "host %s:\n%s", h.s.Instance, h.p.log)
	}
	return all.String()
}

// check compares what came out of a story with the undisturbed digest, and the stores on the hosts' disks, whose processes have ended, with the folds
// of the committed changelog up to their positions.
func (b *bubble) check(s *Settings, want string, hosts ...*host) {
	b.t.Helper()
	if got := b.digest(s); got != want {
		b.t.Errorf("digest %s, undisturbed %s\n%s", got, want, logs(hosts))
	}
	changelog := b.read(s.Topic(ChangelogTopic))
	for _, h := range hosts {
		db, err := state.Open(state.Options{Dir: h.s.State.Dir, FS: h.disk, Index: task.IndexEntry})
		if err != nil {
			b.t.Fatal(err)
		}
		infos, err := db.Partitions()
		if err != nil {
			b.t.Fatal(err)
		}
		for _, info := range infos {
			p, err := db.Partition(info.Partition)
			if err != nil {
				b.t.Fatal(err)
			}
			got := map[string]string{}
			if err := p.Scan(nil, nil, func(key, value []byte) bool {
				got[string(key)] = string(value)
				return true
			}); err != nil {
				b.t.Fatal(err)
			}
			if want := fold(changelog, info.Partition, info.Position); !maps.Equal(got, want) {
				b.t.Errorf("the store of host %s has %d records of partition %d, the changelog up to offset %d has %d, or others\n%s",
					h.s.Instance, len(got), info.Partition, info.Position, len(want), logs(hosts))
			}
		}
		if err := db.Close(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// fold returns what the committed records of a changelog partition below an offset amount to.
func fold(changelog []*kgo.Record, partition int32, below int64) map[string]string {
	state := map[string]string{}
	for _, r := range changelog {
		switch {
		case r.Partition != partition || r.Offset >= below:
		case r.Value == nil:
			delete(state, string(r.Key))
		default:
			state[string(r.Key)] = string(r.Value)
		}
	}
	return state
}

// TestZombie proves that a process which stands still for longer than its session, while another takes its partitions over, changes nothing in what comes
// out when it wakes up.
func TestZombie(t *testing.T) {
	want := undisturbedDigest(t)
	for seed := range uint64(tenthIfRace(20)) {
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
			b.await(&s, one, two)
			one.wire.thaw()
			b.produce(records[200:]...)
			b.mark(&s, storyEnd)
			b.await(&s, one, two)
			one.end()
			two.end()
			b.check(&s, want, one, two)
		})
	}
}
