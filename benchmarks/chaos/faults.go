package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// faultKind is what is done to a process, a broker or the network between.
type faultKind uint8

const (
	killed      faultKind = iota // SIGKILL of a pipeline, then a restart, perhaps several times in a row
	frozen                       // SIGSTOP past the session timeout, then SIGCONT: a zombie
	overtaken                    // a transaction stands still in the network until others have taken over and committed: a zombie with records in hand
	rejoining                    // the same of a request to join the group again: a member that is expelled in the midst of a rebalance
	groupBroker                  // SIGKILL of the broker that coordinates the group, then a restart
	txnBroker                    // the same of the broker that coordinates a pipeline's transactions
	cut                          // connections between a pipeline and the brokers reset and refused
	silenced                     // the same, but they only go silent
	delayed                      // bytes between a pipeline and the brokers take longer
	joined                       // a pipeline joins the group, and leaves it
	fullDisk                     // no space left where a pipeline keeps its state
	faultKinds
)

var faultNames = [faultKinds]string{
	killed: "pipeline killed", frozen: "pipeline frozen", overtaken: "transaction overtaken", rejoining: "expelled while rejoining",
	groupBroker: "group coordinator killed", txnBroker: "transaction coordinator killed",
	cut: "network cut", silenced: "network silent", delayed: "network slow", joined: "joined and left", fullDisk: "disk full",
}

func (k faultKind) String() string { return faultNames[k] }

// deck has every kind as often as it comes, before it is shuffled: each 20 faults have all of them.
var deck = []faultKind{
	killed, killed, killed, killed, killed, frozen, frozen, overtaken, overtaken, rejoining, groupBroker, groupBroker, txnBroker, txnBroker,
	cut, silenced, silenced, delayed, joined, fullDisk,
}

const (
	// sessionTimeout is the least that Kafka allows by default. A pipeline that is away for longer loses its partitions.
	sessionTimeout = 6 * time.Second
	second         = time.Second
	// volleyMax is how often a pipeline is killed in a row at most.
	volleyMax = 5
)

// fault is one fault of the plan.
type fault struct {
	kind    faultKind
	process int           // whose, counted from 0
	broker  int           // of the network: to which broker, numbered from 1; 0 is all of them
	hold    time.Duration // how long it lasts
	latency time.Duration // delayed: each way
	kills   []kill        // killed
	// overlap: the next fault does not wait until this one has been overcome, but only so long; 0: it waits.
	overlap time.Duration
}

// kill is one of several kills in a row. Restarts are hit while the process starts, while it restores, and soon after.
type kill struct {
	after time.Duration // since the last start
	down  time.Duration // until it is started again
}

// planner chooses the faults of a seed.
type planner struct {
	random    *rand.Rand
	processes int
}

func newPlanner(seed uint64, processes int) *planner {
	return &planner{rand.New(rand.NewPCG(seed, 2)), processes}
}

func (p *planner) between(from, to time.Duration) time.Duration {
	return (from + time.Duration(p.random.Int64N(int64(to-from)))).Round(time.Millisecond)
}

// oneIn is true once in n times.
func (p *planner) oneIn(n int) bool { return p.random.IntN(n) == 0 }

// all returns so many faults, of all kinds.
func (p *planner) all(faults int, kinds []faultKind) (list []fault) {
	var left []faultKind
	for range faults {
		if len(left) == 0 {
			left = slices.Clone(kinds)
			p.random.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
		}
		f := p.fault(left[0])
		left = left[1:]
		if f.kind == killed {
			times := 1
			if p.oneIn(3) {
				times += p.random.IntN(volleyMax)
			}
			f.kills = p.volley(times, 4)
		}
		list = append(list, f)
	}
	return list
}

// kills returns faults that kill pipelines and brokers so often, close upon each other: most begin while others last, of another process.
func (p *planner) kills(pipelines, brokers int) (list []fault) {
	for pipelines > 0 {
		f := p.fault(killed)
		f.kills = p.volley(min(pipelines, 1+p.random.IntN(volleyMax)), 16)
		pipelines -= len(f.kills)
		list = append(list, f)
	}
	for i := range brokers {
		list = append(list, p.fault([]faultKind{groupBroker, txnBroker}[i%2]))
	}
	p.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	next := 0
	for i := range list {
		if list[i].kind == killed {
			list[i].process = next % p.processes
			next++
		}
		if list[i].overlap = p.between(100*time.Millisecond, 3*second); p.oneIn(16) {
			list[i].overlap = 0
		}
	}
	return list
}

// volley returns kills in a row. One of takenOver is so long that the others take over.
func (p *planner) volley(times, takenOver int) (kills []kill) {
	for i := range times {
		k := kill{down: p.between(0, 2*second)}
		if i > 0 {
			k.after = p.between(0, 3*second)
		}
		if p.oneIn(takenOver) {
			k.down = sessionTimeout + p.between(0, 4*second)
		}
		kills = append(kills, k)
	}
	return kills
}

// fault returns a fault of a kind.
func (p *planner) fault(kind faultKind) fault {
	f := fault{kind: kind, process: p.random.IntN(p.processes)}
	switch kind {
	case frozen:
		f.hold = sessionTimeout + p.between(3*second, 9*second) // by then the others have taken over
	case groupBroker, txnBroker:
		f.hold = p.between(second, 12*second)
	case cut, silenced:
		f.hold = p.between(second, sessionTimeout+5*second)
		f.broker = p.random.IntN(brokerCount + 1)
	case delayed:
		f.hold, f.latency = p.between(4*second, 10*second), p.between(20*time.Millisecond, 800*time.Millisecond)
	case joined:
		f.hold = p.between(3*second, 12*second)
	case fullDisk:
		f.process = diskProcess
		f.hold = p.between(2*second, 8*second)
	}
	if p.oneIn(3) {
		f.overlap = p.between(100*time.Millisecond, 5*second)
	}
	if kind == groupBroker || kind == txnBroker { // a restart is slow: other faults hit while it lasts
		f.overlap = p.between(100*time.Millisecond, f.hold+5*second)
	}
	return f
}

// diskProcess is the one whose state lies on a disk that can be filled.
const diskProcess = 0

// detail says how the fault is done.
func (f *fault) detail() string {
	hold := f.hold.Round(100 * time.Millisecond)
	switch f.kind {
	case killed:
		var downs []string
		for _, k := range f.kills {
			downs = append(downs, fmt.Sprintf("%.1f", k.down.Seconds()))
		}
		return fmt.Sprintf("back after %s s", strings.Join(downs, ", "))
	case overtaken, rejoining:
		return ""
	case delayed:
		return fmt.Sprintf("%s each way for %s", f.latency, hold)
	case cut, silenced:
		if f.broker > 0 {
			return fmt.Sprintf("to broker %d for %s", f.broker, hold)
		}
		return fmt.Sprintf("to all brokers for %s", hold)
	}
	return fmt.Sprintf("for %s", hold)
}
