package pipeline

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var (
	attackSeeds = flag.Int("attacks.seeds", 100, "how many runs TestAttacks makes")
	attackFirst = flag.Uint64("attacks.first", 1, "the seed of the first of them")
)

// raceDetector is set under the race detector, where everything takes ten times as long.
var raceDetector bool

// tenthIfRace returns how many of n runs to make: all, or a tenth under the race detector.
func tenthIfRace(n int) int {
	if raceDetector {
		return (n + 9) / 10
	}
	return n
}

// attacked counts what happened in all runs of TestAttacks.
var attacked struct {
	sync.Mutex
	runs, violated int
	counts         map[string]int
}

func TestMain(m *testing.M) {
	flag.Parse()
	if raceDetector {
		*attackSeeds = tenthIfRace(*attackSeeds)
	}
	code := m.Run()
	if attacked.runs > 0 {
		fmt.Printf("attacks: %d runs", attacked.runs)
		for _, what := range slices.Sorted(maps.Keys(attacked.counts)) {
			fmt.Printf(", %d %s", attacked.counts[what], what)
		}
		fmt.Printf(", %d violations\n", attacked.violated)
	}
	os.Exit(code)
}

// TestAttacks lets everything go wrong at once, at random: processes are killed and stand still, requests and answers are lost, delayed, repeated and refused,
// partitions and coordinators move, a broker dies and returns, disks fill up. What comes out is that of an undisturbed run. A seed makes the same
// choices again; which goroutine comes first it does not choose.
func TestAttacks(t *testing.T) {
	want := undisturbedDigest(t)
	for i := range uint64(*attackSeeds) {
		seed := *attackFirst + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			inBubble(t, seed, func(t *testing.T, b *bubble) {
				a := &attack{bubble: b, s: b.application(2), gone: -1, counts: map[string]int{}}
				defer a.report()
				a.run(a.history(&a.s)[:story])
				a.check(&a.s, want, a.hosts...)
			})
		})
	}
}

// attack is one run of TestAttacks.
type attack struct {
	*bubble
	s      Settings
	hosts  []*host
	gone   int32 // the broker that is not there, -1 if none
	counts map[string]int
}

// run lets processes read records while all goes wrong, and then to their end.
func (a *attack) run(records []*kgo.Record) {
	a.start()
	for len(records) > 0 {
		n := min(len(records), 1+a.random.IntN(20))
		a.produce(records[:n]...)
		records = records[n:]
		a.goOn()
	}
	a.heal()
	a.mark(&a.s, storyEnd)
	a.finish()
}

// start starts two processes whose requests now and then do not fare well.
func (a *attack) start() {
	a.s.State.FlushEvery = time.Second
	a.publish(&a.s)
	for _, instance := range []string{"one", "two"} {
		h := a.host(a.s, instance)
		h.decider = seldom
		h.start()
		a.hosts = append(a.hosts, h)
	}
}

// goOn lets some time pass, and then something go wrong.
func (a *attack) goOn() {
	<-time.After(a.upTo(1500 * time.Millisecond))
	for _, h := range a.hosts {
		h.supervise()
	}
	a.strike(a.hosts[a.random.IntN(len(a.hosts))])
}

// finish lets the processes read to the end, and end.
func (a *attack) finish() {
	a.await(&a.s, a.hosts...)
	for _, h := range a.hosts {
		h.end()
	}
}

func (a *attack) upTo(d time.Duration) time.Duration { return time.Duration(a.random.Int64N(int64(d))) }

// seldom gives a request in fifteen another fate than to be delivered. Wires stand still at requests of transactions only: while the client's consumer
// waits for an answer about epochs or ends it holds a lock, and if it learns of new metadata meanwhile, the bubble's clock stands still with it.
func seldom(random *rand.Rand) decider {
	return func(key kmsg.Key, _ int) fate {
		if random.IntN(15) > 0 {
			return delivered
		}
		f := refused + fate(random.IntN(int(fates-refused)))
		if f == frozen && !slices.Contains([]kmsg.Key{kmsg.Produce, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn}, key) {
			return refused
		}
		return f
	}
}

// strike lets one thing happen, to a host or to the brokers.
func (a *attack) strike(h *host) {
	what := []string{"kills", "freezes", "moves of leaders", "moves of coordinators", "brokers gone", "errors of brokers", "full disks", ""}[a.random.IntN(8)]
	switch what {
	case "kills":
		h.restart()
	case "freezes": // half of them for longer than the session
		w := h.now()
		w.freeze()
		time.AfterFunc(a.upTo(2*a.s.Commit.SessionTimeout), w.thaw)
	case "moves of leaders":
		a.fake.ShufflePartitionLeaders()
	case "moves of coordinators":
		a.fake.RehashCoordinators()
	case "brokers gone":
		if a.gone >= 0 {
			a.returnNode(a.gone)
			a.gone = -1
			return
		}
		a.gone = int32(a.random.IntN(3))
		a.removeNode(a.gone)
	case "errors of brokers":
		keys := slices.Sorted(maps.Keys(requests))
		key := keys[a.random.IntN(len(keys))]
		if len(requests[key]) == 0 {
			return
		}
		a.fail(&a.s, key, requests[key][a.random.IntN(len(requests[key]))], 1+a.random.IntN(3))
		return // counted when they are met
	case "full disks":
		disk := h.drive()
		disk.RefuseTables(syscall.ENOSPC)
		time.AfterFunc(a.upTo(5*time.Second), disk.Accept)
	case "":
		return
	}
	a.counts[what]++
}

// heal ends all that goes wrong.
func (a *attack) heal() {
	for _, h := range a.hosts {
		h.heal()
	}
	if a.gone >= 0 {
		a.returnNode(a.gone)
	}
	for _, f := range a.faults {
		a.counts["errors of brokers"] += f.Hits()
		f.Remove()
	}
}

// report adds the run to the counts of all.
func (a *attack) report() {
	attacked.Lock()
	defer attacked.Unlock()
	attacked.runs++
	if a.t.Failed() {
		attacked.violated++
		a.t.Logf("-attacks.first=%s -attacks.seeds=1", strings.TrimPrefix(a.t.Name()[strings.LastIndex(a.t.Name(), "/")+1:], "seed_"))
	}
	if attacked.counts == nil {
		attacked.counts = map[string]int{}
	}
	for what, n := range a.counts {
		attacked.counts[what] += n
	}
	for f, n := range a.fates() {
		if f != delivered {
			attacked.counts["requests "+f.String()] += n
		}
	}
}
