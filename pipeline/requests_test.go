package pipeline

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// requests are the kinds of requests that processes make, with errors that brokers may answer them with. The embedded brokers have done what was asked
// before they answer REQUEST_TIMED_OUT or NOT_ENOUGH_REPLICAS_AFTER_APPEND, and nothing before they answer any other.
var requests = map[kmsg.Key][]*kerr.Error{
	kmsg.Produce: {
		kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut, kerr.InvalidTxnState,
		kerr.InvalidProducerEpoch,
	},
	kmsg.Fetch:           {kerr.NotLeaderForPartition, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.OffsetOutOfRange, kerr.KafkaStorageError},
	kmsg.ListOffsets:     {kerr.NotLeaderForPartition, kerr.LeaderNotAvailable},
	kmsg.Metadata:        {kerr.LeaderNotAvailable},
	kmsg.OffsetFetch:     {kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.UnstableOffsetCommit},
	kmsg.FindCoordinator: {kerr.CoordinatorNotAvailable},
	kmsg.JoinGroup:       {kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.UnknownMemberID},
	kmsg.SyncGroup:       {kerr.RebalanceInProgress, kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.NotCoordinator},
	kmsg.Heartbeat:       {kerr.RebalanceInProgress, kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.NotCoordinator},
	kmsg.InitProducerID:  {kerr.ConcurrentTransactions, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.RequestTimedOut},
	kmsg.AddOffsetsToTxn: {kerr.ConcurrentTransactions, kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.NotCoordinator, kerr.InvalidTxnState},
	kmsg.TxnOffsetCommit: {
		kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.RequestTimedOut, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.InvalidProducerEpoch,
	},
	kmsg.EndTxn: {
		kerr.RequestTimedOut, kerr.UnknownServerError, kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.NotCoordinator, kerr.ConcurrentTransactions,
		kerr.InvalidTxnState, kerr.TransactionAbortable,
	},
	kmsg.DescribeConfigs:      {kerr.RequestTimedOut},
	kmsg.OffsetForLeaderEpoch: {kerr.NotLeaderForPartition, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch},
	// Without errors: what the client asks about itself.
	kmsg.ApiVersions:               nil,
	kmsg.GetTelemetrySubscriptions: nil,
}

// unattacked are kinds of requests that a process makes now and then, so that an attack may not meet one: when the client likes, or is closed while it joins.
var unattacked = []kmsg.Key{kmsg.PushTelemetry, kmsg.LeaveGroup}

// fail makes the brokers answer some requests of a kind with an error. The test's own requests are left alone.
func (b *bubble) fail(s *Settings, key kmsg.Key, err *kerr.Error, times int) *kfake.FaultHandle {
	f := kfake.Fault{Keys: []kmsg.Key{key}, Err: err, Count: times}
	switch key {
	case kmsg.Produce, kmsg.ListOffsets, kmsg.Metadata:
		f.Topic = s.Topic(ChangelogTopic)
	case kmsg.InitProducerID, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat:
		f.TopLevel = true
	}
	handle := b.fake.Fault(f)
	b.faults = append(b.faults, handle)
	return handle
}

// play tells the story in which processes make all their requests: one works, another joins it, leaders and coordinators move, one is killed and comes
// back.
func (b *bubble) play(s *Settings, one, two *host) {
	records := b.history(s)[:story]
	one.start()
	const chapters = 15
	for i := range chapters {
		b.produce(records[story/chapters*i : story/chapters*(i+1)]...)
		<-time.After(500 * time.Millisecond)
		switch i {
		case 4:
			two.start()
		case 8:
			b.fake.ShufflePartitionLeaders()
			b.fake.RehashCoordinators()
		case 10:
			one.restart()
		}
	}
	b.mark(s, storyEnd)
	b.await(s, one, two)
	one.end()
	two.end()
}

// TestRequests proves that nothing which befalls a request, of any kind that the processes make, changes what comes out: it does not arrive, late, or
// twice; its answer is lost, or comes twice; the process dies before it or before its answer, or stands still before it for longer than its
// session; the brokers refuse it, or say so having done it.
func TestRequests(t *testing.T) {
	want := undisturbedDigest(t)
	var (
		mu   sync.Mutex
		made = map[kmsg.Key]int{}
	)
	// attack plays the story; met returns how often the process that began before has met what it is to meet.
	attacks := 0
	attack := func(t *testing.T, name string, begin func(b *bubble, s *Settings, hosts []*host) (met func() int)) {
		if attacks++; raceDetector && attacks%10 != 0 {
			return
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, 1, func(t *testing.T, b *bubble) {
				s := b.application(2)
				s.State.FlushEvery = time.Second
				b.publish(&s)
				hosts := []*host{b.host(s, "one"), b.host(s, "two")}
				met := begin(b, &s, hosts)
				b.play(&s, hosts[0], hosts[1])
				if met() == 0 {
					t.Error("it was never met")
				}
				b.check(&s, want, hosts...)
				mu.Lock()
				defer mu.Unlock()
				for key, n := range b.requests() {
					made[key] += n
				}
			})
		})
	}
	t.Run("attacks", func(t *testing.T) {
		for _, key := range slices.Sorted(maps.Keys(requests)) {
			for f := refused; f < fates; f++ {
				attack(t, fmt.Sprintf("%s %s", key.Name(), f), func(b *bubble, _ *Settings, hosts []*host) func() int {
					for _, h := range hosts {
						h.decider = some(key, f)
					}
					return func() int { return b.fates()[f] }
				})
			}
			for _, err := range requests[key] {
				attack(t, fmt.Sprintf("%s %s", key.Name(), err.Message), func(b *bubble, s *Settings, _ []*host) func() int {
					return b.fail(s, key, err, 6).Hits
				})
			}
		}
	})
	for key := range made {
		if _, ok := requests[key]; !ok && !slices.Contains(unattacked, key) {
			t.Errorf("the processes make requests of a kind that is not attacked: %s", key.Name())
		}
	}
}

// some gives every second request of a kind a fate, ten of a host's; but three of those by which its processes die, each later in its life than the one
// before, or stand still.
func some(key kmsg.Key, f fate) func(*rand.Rand) decider {
	most := int64(10)
	if f >= frozen {
		most = 3
	}
	var met atomic.Int64
	return func(*rand.Rand) decider {
		first := int(1 + 2*met.Load())
		if f < frozen {
			first = 1
		}
		return func(k kmsg.Key, nth int) fate {
			if k == key && nth >= first && nth%2 == 1 && met.Add(1) <= most {
				return f
			}
			return delivered
		}
	}
}
