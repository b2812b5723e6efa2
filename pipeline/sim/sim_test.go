package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lull/operators/clv"
	"lull/operators/trigger"
	"lull/pipeline/task"
	"lull/schemas"
)

// raceDetector is set under the race detector, where everything takes ten times as long.
var raceDetector bool

// total is what happened in all worlds of TestSim.
var total struct {
	sync.Mutex
	worlds, violated int
	failed           string // the first test with a violation: the others do not go on
	Stats
}

func TestMain(m *testing.M) {
	flag.Parse()
	if raceDetector {
		if err := flag.Set("rapid.checks", "11"); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if total.worlds > 0 {
		fmt.Printf("sim: %d worlds, %s, %d violations\n", total.worlds, total.Stats, total.violated)
	}
	os.Exit(code)
}

// options are those of a world under one of the clocks, with a first stage or without.
func options(eventClock, staged bool) Options {
	var chain clv.Config
	chain.Dedup.IDsMax, chain.Session.SessionsMax, chain.Orders.OrdersKept, chain.Orders.RefundsMax, chain.RFM.DaysKept = 6, 3, 2, 2, 2
	// Of two partitions one has a call a day of each rule, and the other has none.
	var err error
	if chain.Trigger.Rules, err = trigger.ParseRules("rules.yaml", []byte(strings.ReplaceAll(trigger.DefaultRules().Text, "    action:", "    cap_per_day: 1\n    action:"))); err != nil {
		panic(err)
	}
	chain.EnsureDefaults()
	o := Options{
		Partitions: 2, Nodes: 3, Turns: 60, Heals: 2, DirtyBytes: 1500, OutputsBound: 400, WritesBound: 40_000,
		Task: task.Config{LatenessMs: int64(2 * hour), EventClock: eventClock, CachedCustomers: 4, TimersLoaded: 3, Looks: 3, Sampled: 8, Day: schemas.Days(time.UTC), ActionMaxMs: chain.Trigger.MaxAgeMs}, Chain: chain,
		Clock: task.ClockConfig{LatenessMs: int64(2 * hour), StepMaxMs: int64(day), SilenceMaxMs: int64(3 * day), SettleMs: int64(hour), ActionMaxMs: int64(60 * day)},
	}
	if staged {
		o.Inputs = []int{2, 1}
		o.Clock.StepMaxMs = int64(10 * day) // some wrong clocks show by the silence of the inputs alone
	}
	if eventClock {
		o.Task.JumpMaxMs = int64(7 * day)
	}
	return o
}

// TestSim runs worlds in which everything goes wrong. A failure is shrunk, and names the file and the seed that bring it back. `make sim` fixes the seed
// and runs more of them.
func TestSim(t *testing.T) {
	for _, clock := range []string{"event", "wall"} {
		for _, inputs := range []string{"one input", "first stage"} {
			t.Run("clock "+clock+", "+inputs, func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(rt *rapid.T) {
					if over(t) {
						return
					}
					stats, violations := Run(options(clock == "event", inputs == "first stage"), func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(rt, what) })
					total.Lock()
					defer total.Unlock()
					total.worlds++
					total.add(stats)
					if len(violations) > 0 {
						total.violated++
						total.failed = t.Name()
						rt.Fatalf("%s", strings.Join(violations, "\n"))
					}
				})
			})
		}
	}
}

// over reports whether another test has found a violation.
func over(t *testing.T) bool {
	total.Lock()
	defer total.Unlock()
	return total.failed != "" && total.failed != t.Name()
}

// TestReplay proves that a run is decided by its choices alone: the same choices ask the same questions in the same order and make the same of them.
func TestReplay(t *testing.T) {
	for seed := range uint64(8) {
		run := func() (asked []string, stats Stats) {
			random := rand.New(rand.NewPCG(seed, 0))
			stats, violations := Run(options(seed%2 == 0, seed/2%2 == 1), func(what string, n int) int {
				asked = append(asked, what)
				return random.IntN(n)
			})
			if len(violations) > 0 {
				t.Fatal(violations)
			}
			return asked, stats
		}
		asked, stats := run()
		again, same := run()
		if !slices.Equal(asked, again) || stats != same {
			t.Errorf("seed %d: %d questions, %+v; again %d, %+v", seed, len(asked), stats, len(again), same)
		}
		if stats.Crashes == 0 || stats.Transactions == 0 {
			t.Errorf("seed %d: nothing happened: %+v", seed, stats)
		}
	}
}
