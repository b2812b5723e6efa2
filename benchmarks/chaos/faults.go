package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// faultKind is what is done to a process, a broker or the network between.
type faultKind uint8

const (
	killed      faultKind = iota // SIGKILL of a pipeline, then a restart
	frozen                       // SIGSTOP past the session timeout, then SIGCONT: a zombie
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
	killed: "pipeline killed", frozen: "pipeline frozen", groupBroker: "group coordinator killed", txnBroker: "transaction coordinator killed",
	cut: "network cut", silenced: "network silent", delayed: "network slow", joined: "joined and left", fullDisk: "disk full",
}

func (k faultKind) String() string { return faultNames[k] }

// deck has every kind as often as it comes, before it is shuffled: each 21 faults have all of them.
var deck = []faultKind{
	killed, killed, killed, killed, killed, frozen, frozen, frozen, groupBroker, groupBroker, txnBroker, txnBroker,
	cut, cut, silenced, silenced, delayed, joined, joined, fullDisk, killed,
}

const (
	// sessionTimeout is the least that Kafka allows by default. A pipeline that is away for longer loses its partitions.
	sessionTimeout = 6 * time.Second
	second         = time.Second
)

// fault is one fault of the plan.
type fault struct {
	kind    faultKind
	process int           // whose, counted from 0
	broker  int           // of the network: to which broker, numbered from 1; 0 is all of them
	hold    time.Duration // how long it lasts
	latency time.Duration // delayed: each way
	// overlap: the next fault does not wait until this one has been overcome, but only so long; 0: it waits.
	overlap time.Duration
}

// plan returns the faults of a seed.
func plan(seed uint64, faults, processes int, kinds []faultKind) (list []fault) {
	random := rand.New(rand.NewPCG(seed, 2))
	between := func(from, to time.Duration) time.Duration {
		return (from + time.Duration(random.Int64N(int64(to-from)))).Round(time.Millisecond)
	}
	var left []faultKind
	for range faults {
		if len(left) == 0 {
			left = slices.Clone(kinds)
			random.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
		}
		f := fault{kind: left[0], process: random.IntN(processes)}
		left = left[1:]
		switch f.kind {
		case killed:
			f.hold = between(0, 2*second)
			if random.IntN(4) == 0 { // the others take over
				f.hold = sessionTimeout + between(0, 4*second)
			}
		case frozen:
			f.hold = sessionTimeout + between(3*second, 9*second) // by then the others have taken over
		case groupBroker, txnBroker:
			f.hold = between(second, 12*second)
		case cut, silenced:
			f.hold = between(second, sessionTimeout+5*second)
			f.broker = random.IntN(brokerCount + 1)
		case delayed:
			f.hold, f.latency = between(4*second, 10*second), between(20*time.Millisecond, 800*time.Millisecond)
		case joined:
			f.hold = between(3*second, 12*second)
		case fullDisk:
			f.process = diskProcess
			f.hold = between(2*second, 8*second)
		}
		if random.IntN(3) == 0 {
			f.overlap = between(100*time.Millisecond, 5*second)
		}
		if f.kind == groupBroker || f.kind == txnBroker { // a restart is slow: other faults hit while it lasts
			f.overlap = between(100*time.Millisecond, f.hold+5*second)
		}
		list = append(list, f)
	}
	return list
}

// diskProcess is the one whose state lies on a disk that can be filled.
const diskProcess = 0

// detail says how the fault is done.
func (f *fault) detail() string {
	hold := f.hold.Round(100 * time.Millisecond)
	switch f.kind {
	case killed:
		return fmt.Sprintf("back after %s", hold)
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
