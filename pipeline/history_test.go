package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
	"lull/schemas"
)

// emptyBeside returns a staged application under the wall clock, with so many partitions of the topic events, a history of half a year in the one of its topics and nothing in the other.
func (b *bubble) emptyBeside(partitions int) (s Settings, events int) {
	b.t.Helper()
	s = b.stagedOver(partitions)
	s.Clock.Mode = "wall"
	records := b.history(&s)
	for n, r := range records {
		r.Topic, r.Key = s.InputTopics()[0].Topic, fmt.Append(nil, n)
	}
	b.produce(records...)
	return s, len(records)
}

// together starts processes that learn where to begin when all of them have their partitions.
func (b *bubble) together(s Settings, instances ...string) (hosts []*host) {
	b.t.Helper()
	var shared atomic.Bool
	for _, instance := range instances {
		h := b.host(s, instance)
		h.decider = func(*rand.Rand) decider {
			return func(key kmsg.Key, _ int) fate {
				if key == kmsg.OffsetFetch && !shared.Load() {
					return refused
				}
				return delivered
			}
		}
		h.start()
		hosts = append(hosts, h)
	}
	for g := b.fake.GroupInfo(s.Group); g == nil || g.State != "Stable" || len(g.Members) < len(hosts); g = b.fake.GroupInfo(s.Group) {
		<-time.After(100 * time.Millisecond)
	}
	shared.Store(true)
	return hosts
}

// TestHistoryBesideEmptyTopic proves that a first history is read beside a topic that is empty, by one process, by two, and by two of which one has no task and hears of nobody by what is passed on, without a customer's
// sessions being left open until there are too many.
func TestHistoryBesideEmptyTopic(t *testing.T) {
	for name, tt := range map[string]struct {
		instances  []string
		partitions int // of the topic events
	}{
		"one process": {[]string{"one"}, 4}, "two": {[]string{"one", "two"}, 4}, "one without tasks": {[]string{"one", "two"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 1, func(t *testing.T, b *bubble) {
				s, events := b.emptyBeside(tt.partitions)
				b.publish(&s)
				hosts := b.together(s, tt.instances...)
				b.await(&s, hosts...)
				for _, h := range hosts {
					h.end()
					if log := h.p.log.String(); !slices.ContainsFunc(s.InputTopics(), func(in InputTopic) bool { return strings.Contains(log, in.Topic) }) {
						t.Errorf("host %s has had no part of the inputs:\n%s", h.s.Instance, log)
					}
				}
				if n := b.checkPassed(&s); n != events {
					t.Errorf("%d events were passed on, not %d", n, events)
				}
				if letters := b.read(s.Topic(DeadLettersTopic)); len(letters) > 0 {
					t.Errorf("%d dead letters, the first %q", len(letters), letters[0].Value)
				}
			})
		})
	}
}

// TestHistoryPace proves that two processes, of which neither reads further ahead of the other than a day, hear of each other soon enough to read a first history of a year at nine days a second, if reading itself takes
// no time: by what the one passes on to the tasks of the other, or by what it has committed if the other has none.
func TestHistoryPace(t *testing.T) {
	for _, partitions := range []int{4, 1} { // of the topic events: with one, one of the two has no task
		t.Run(fmt.Sprint(partitions, " partitions"), func(t *testing.T) {
			inBubble(t, 1, func(t *testing.T, b *bubble) {
				s := b.stagedOver(partitions)
				s.Clock.Mode = "wall"
				b.publish(&s)
				client := b.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
				defer client.Close()
				const days = 360
				end := instant(t, "2025-12-31T00:00:00Z")
				var records []*kgo.Record
				for _, in := range s.InputTopics() {
					for partition := range int32(len(b.fake.PartitionInfos(in.Topic))) {
						for i := range days * 4 {
							id := fmt.Sprint(in.Topic, partition, "-", i)
							r := b.event(&s, operators.Event{
								Kind: operators.OrderCompleted, Customer: fmt.Sprint("c", i%3), ID: id, OrderID: id, Amount: 1000, Time: end - operators.EventTime(days*4-i)*operators.DayMs/4,
							})
							r.Topic, r.Partition = in.Topic, partition
							records = append(records, r)
						}
					}
				}
				if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
					t.Fatal(err)
				}
				hosts := b.together(s, "one", "two")
				began := time.Now()
				b.await(&s, hosts...)
				if took := time.Since(began); took > days/9*time.Second+stuckAfter { // one may be away for so long as it begins
					t.Errorf("%d days were read in %s\n%s", days, took, logs(hosts))
				}
				for _, h := range hosts {
					h.end()
				}
				if n := b.checkPassed(&s); n != len(records) {
					t.Errorf("%d events were passed on, not %d", n, len(records))
				}
				if letters := b.read(s.Topic(DeadLettersTopic)); len(letters) > 0 {
					t.Errorf("%d dead letters, the first %q", len(letters), letters[0].Value)
				}
			})
		})
	}
}

// TestHistoryAttacks lets everything go wrong while such a history is read: each event is passed on once, no feed's time goes back, and nobody reads so far ahead of a process that is away that sessions stay open.
func TestHistoryAttacks(t *testing.T) {
	for i := range uint64(tenthIfRace(*attackSeeds) / 4) {
		seed := *attackFirst + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			inBubble(t, seed, func(t *testing.T, b *bubble) {
				s, events := b.emptyBeside(1 + int(seed%4))
				a := &attack{bubble: b, s: s, gone: -1, counts: map[string]int{}}
				defer a.report()
				a.start()
				for range 15 {
					a.goOn()
				}
				a.heal()
				a.finish()
				if n := a.checkPassed(&a.s); n != events {
					t.Errorf("%d events were passed on, not %d", n, events)
				}
				if letters := a.read(s.Topic(DeadLettersTopic)); len(letters) > 0 {
					t.Errorf("%d dead letters, the first %q", len(letters), letters[0].Value)
				}
			})
		})
	}
}

// TestHistoryBesideSilence proves that a history of months is read beside a topic that is empty and a partition that has ended long ago, under the wall clock and before any input has been watched, without leaving sessions
// open: time goes on by the other records, up to triggers.max_age before the start; and so does a partition that begins later than another. What is loaded while the process runs waits for the empty topic, for that may be loaded next.
func TestHistoryBesideSilence(t *testing.T) {
	const days, customers = 120, 5
	for name, tt := range map[string]struct {
		later bool // the history is loaded when the process runs
		told  int  // sessions
	}{
		"loaded before":     {false, customers * (days - 1)},
		"loaded afterwards": {true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			s := c.staged()
			s.Clock.Mode = "wall"
			c.publish(&s)
			now := operators.EventTime(time.Now().UnixMilli())
			load := func() {
				client := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
				defer client.Close()
				for i := range days * customers {
					r := c.event(&s, operators.Event{
						Kind: operators.OrderCompleted, Customer: fmt.Sprint("c", i%customers), ID: fmt.Sprint("o", i), OrderID: fmt.Sprint("o", i), Amount: 1000,
						Time: now - operators.EventTime(days-i/customers)*operators.DayMs,
					})
					r.Topic = s.InputTopics()[0].Topic
					if i/customers < 20 {
						r.Partition = 1
					}
					if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if !tt.later {
				load()
			}
			p := c.run(s)
			if tt.later {
				c.awaitMember(&s)
				load()
			}
			c.await(&s, p)
			for deadline := time.Now().Add(20 * time.Second); ; {
				told := len(c.read(s.Topic(SessionsTopic)))
				if told == tt.told {
					break
				}
				if time.Now().After(deadline) || told > tt.told {
					t.Fatalf("%d sessions are told, not %d\n%s", told, tt.told, p.log)
				}
				<-time.After(50 * time.Millisecond)
			}
			p.end()
			for _, r := range c.read(s.Topic(EventsTopic)) {
				var source schemas.Source
				setSource(&source, r)
				decoder, err := schemas.NewDecoder(schemas.DecoderConfig{})
				if err != nil {
					t.Fatal(err)
				}
				if relay, _ := decoder.DecodeRelay(&source, new(operators.Event)); relay.Watermark > now-operators.DayMs+operators.EventTime(time.Minute/time.Millisecond) {
					t.Fatalf("time is told up to %s", relay.Watermark)
				}
			}
		})
	}
}
