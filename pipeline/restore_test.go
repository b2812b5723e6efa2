package pipeline

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
	"lull/pipeline/task"
	"lull/state"
)

// lastMeta returns the meta record that stands last in a changelog partition.
func (c *cluster) lastMeta(s *Settings, partition int32) (meta task.Meta) {
	c.t.Helper()
	for _, r := range c.read(s.Topic(ChangelogTopic)) {
		if r.Partition != partition || string(r.Key) != string(task.MetaKey) {
			continue
		}
		var err error
		if meta, err = task.DecodeMeta(r.Value); err != nil {
			c.t.Fatal(err)
		}
	}
	return meta
}

// owner is another process that owned a partition before, or owns it by now. It commits transactions as a task does, with no member and no generation.
type owner struct {
	c    *cluster
	s    Settings
	p    *producer
	meta task.Meta
}

func (c *cluster) owner(s Settings, name string, partition int32) *owner {
	c.t.Helper()
	s.Instance = name
	p, err := newProducer(c.t.Context(), &s, c.access(), s.transactionalID())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(p.close)
	return &owner{c, s, p, c.lastMeta(&s, partition)}
}

// begin begins a transaction and writes records to the changelog of partition 0.
func (o *owner) begin(records ...*kgo.Record) error {
	if err := o.p.begin(); err != nil {
		return err
	}
	for _, r := range records {
		r.Topic, r.Partition = o.s.Topic(ChangelogTopic), 0
		o.p.produce(o.c.t.Context(), r)
	}
	return o.p.client.Flush(o.c.t.Context())
}

// pass commits that the task has passed over one record of the input.
func (o *owner) pass(records ...*kgo.Record) error {
	o.meta.Position++
	records = append(records, &kgo.Record{Key: task.MetaKey, Value: o.meta.Append(nil)})
	if err := o.begin(records...); err != nil {
		return err
	}
	_, err := o.p.commit(o.c.t.Context(), func() (member, error) { return member{"", -1}, nil }, []committing{o.at(o.meta.Position)})
	return err
}

// at is that the task stands at an offset.
func (o *owner) at(offset int64) committing {
	return committing{topicPartition: topicPartition{o.s.Input.Topic, 0}, topicID: o.meta.InputID, position: kgo.EpochOffset{Epoch: -1, Offset: offset}}
}

// phaseOf returns what /readyz says of a partition.
func phaseOf(s *Settings, partition int32) (in readyIn) {
	var body readiness
	_ = json.Unmarshal([]byte(readyz(s)), &body) // nobody listens yet
	return body.Partitions[partition]
}

// awaitPhase waits until what /readyz says of a partition is as it should be.
func awaitPhase(t *testing.T, s *Settings, p *process, partition int32, done func(in readyIn) bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; <-time.After(10 * time.Millisecond) {
		if done(phaseOf(s, partition)) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("/readyz says %s\n%s", readyz(s), p.log)
		}
	}
}

// TestStableOffsetFirst proves that the changelog's end is asked for after the committed offset: whatever another owner commits until the offset is
// answered is in the state. Were it the other way round, the state would be behind the offset, at the second look too, and the partition would be
// refused. The other owner commits just before each of the first offsets that the process asks for.
func TestStableOffsetFirst(t *testing.T) {
	for _, look := range []string{"assigned", "after a transaction that did not commit"} {
		t.Run(look, func(t *testing.T) {
			fake, c := embedded(t)
			s := c.application(1)
			s.HTTP.Listen = freeAddress(t)
			c.publish(&s)
			c.purchases(&s, 0, 5)
			p := c.run(s)
			c.await(&s, p)
			if look == "assigned" {
				p.end()
				c.purchases(&s, 5, 3) // the other owner passes over these
			}
			other := c.owner(s, "other", 0)
			var left atomic.Int64
			left.Store(3)
			fake.ControlKey(int16(kmsg.OffsetFetch), func(kmsg.Request) (kmsg.Response, error, bool) {
				fake.KeepControl()
				if left.Add(-1) < 0 {
					return nil, nil, false
				}
				fake.SleepControl(func() {
					if err := other.pass(); err != nil {
						t.Error(err)
					}
				})
				return nil, nil, false
			})
			if look == "assigned" {
				p = c.run(s)
			} else {
				// The transaction of these records is refused; meanwhile another owner passes over them.
				fake.ControlKey(int16(kmsg.AddOffsetsToTxn), func(request kmsg.Request) (kmsg.Response, error, bool) {
					answer := request.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
					answer.ErrorCode = 47 // INVALID_PRODUCER_EPOCH
					return answer, nil, true
				})
				c.purchases(&s, 5, 3)
			}
			awaitPhase(t, &s, p, 0, func(in readyIn) bool {
				if in.Phase == stopped {
					t.Fatalf("refused: %s\n%s", in.Why, p.log)
				}
				return left.Load() < 3 && in.Phase == running && in.Position > 5
			})
			left.Store(0)
			c.purchases(&s, 8, 1)
			c.await(&s, p)
			p.end()
			passed := other.meta.Position - 5
			if got := c.orders(&s); passed < 1 || got != 9-passed {
				t.Errorf("%d orders counted of 9, of which another owner has passed over %d\n%s", got, passed, p.log)
			}
		})
	}
}

// TestStableOffset proves that after a transaction of unknown outcome the committed offset is one that no open transaction of a former owner can change.
func TestStableOffset(t *testing.T) {
	fake, c := embedded(t)
	var asked, stable atomic.Int64
	fake.ControlKey(int16(kmsg.OffsetFetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		asked.Add(1)
		of := request.(*kmsg.OffsetFetchRequest)
		if of.RequireStable && len(of.Groups) == 1 && len(of.Groups[0].Topics) == 1 { // of a group as a whole, Kafka leaves out a pending first offset
			stable.Add(1)
		}
		return nil, nil, false
	})
	s := c.application(1)
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	c.purchases(&s, 0, 5)
	var refused atomic.Bool
	fake.ControlKey(int16(kmsg.AddOffsetsToTxn), func(request kmsg.Request) (kmsg.Response, error, bool) {
		answer := request.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
		answer.ErrorCode = 47 // INVALID_PRODUCER_EPOCH
		refused.Store(true)
		return answer, nil, true
	})
	p := c.run(s)
	awaitPhase(t, &s, p, 0, func(in readyIn) bool { return refused.Load() && in.Phase == running && in.Position == 5 })
	if asked.Load() < 2 || stable.Load() != asked.Load() {
		t.Errorf("%d offsets asked for, %d of them stable and by name", asked.Load(), stable.Load())
	}
	p.end()
}

// TestEpochBeforeGroup proves that a process that was killed between the offsets and the end of a transaction does not wait for itself when it is started
// again: its new epoch, which ends the transaction, comes before it asks the group for anything. The client would sleep for a second.
func TestEpochBeforeGroup(t *testing.T) {
	fake, c := embedded(t)
	s := c.application(1)
	c.publish(&s)
	c.purchases(&s, 0, 5)
	p := c.run(s)
	c.await(&s, p)
	p.end()
	killed := c.owner(s, s.Instance, 0)
	if err := killed.begin(&kgo.Record{Key: task.MetaKey, Value: killed.meta.Append(nil)}); err != nil {
		t.Fatal(err)
	}
	nobody := func() (member, error) { return member{"", -1}, nil }
	if err := killed.p.addOffsets(t.Context(), nobody, []committing{killed.at(5)}); err != nil {
		t.Fatal(err)
	}
	var epoch atomic.Bool
	fake.ControlKey(int16(kmsg.InitProducerID), func(kmsg.Request) (kmsg.Response, error, bool) {
		epoch.Store(true)
		return nil, nil, false
	})
	fake.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		if !epoch.Load() {
			t.Error("the group is joined while the transaction stands")
		}
		return nil, nil, false
	})
	p = c.run(s)
	c.purchases(&s, 5, 1)
	c.await(&s, p)
	p.end()
	if got := c.orders(&s); got != 6 || !epoch.Load() {
		t.Errorf("%d orders counted, want 6; epoch taken: %t\n%s", got, epoch.Load(), p.log)
	}
}

// TestHighWatermark proves that a changelog is read to its high watermark: what a later owner has committed behind somebody's open transaction is waited
// for. Up to the last stable offset the state would be behind the committed offset. And the other partition runs meanwhile.
func TestHighWatermark(t *testing.T) {
	c := newCluster(t)
	s := c.application(2)
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	customers := customersOfTwo()
	order := func(n int, partition int32) {
		e := orderOf(t, customers[partition], n)
		c.produce(c.event(&s, e))
	}
	order(0, 0)
	order(0, 1)
	p := c.run(s)
	c.await(&s, p)
	p.end()
	c.forgetMember(&s)

	later, long := c.owner(s, "later", 0), s
	long.Commit.Timeout = time.Minute
	hanging := c.owner(long, "hanging", 0)
	if err := hanging.begin(&kgo.Record{Key: []byte("cnobody"), Value: []byte("never committed")}); err != nil {
		t.Fatal(err)
	}
	order(1, 0) // the later owner passes over it
	if err := later.pass(); err != nil {
		t.Fatal(err)
	}
	order(2, 0)

	p = c.run(s)
	awaitPhase(t, &s, p, 0, func(in readyIn) bool {
		if in.Phase == stopped || in.Phase == running {
			t.Fatalf("the partition is %s, although its changelog is not stable: %s\n%s", in.Phase, in.Why, p.log)
		}
		return in.Phase == restoring && in.Left > 0
	})
	before := phaseOf(&s, 1).Position
	order(1, 1)
	awaitPhase(t, &s, p, 1, func(in readyIn) bool { return in.Phase == running && in.Position > before })
	if in := phaseOf(&s, 0); in.Phase != restoring || in.Left == 0 {
		t.Errorf("the other partition was to be restored still: %+v", in)
	}

	if err := hanging.p.client.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	c.await(&s, p)
	p.end()
	if got := c.ordersOf(&s, customers[0]); got != 2 {
		t.Errorf("%d orders counted of 3, of which another owner has passed over one\n%s", got, p.log)
	}
}

// customersOfTwo returns a customer of each of two partitions.
func customersOfTwo() (ids []string) {
	where := newPlacement(2)
	for ids = make([]string, 2); ids[0] == "" || ids[1] == ""; {
		id := fmt.Sprint("customer-", applications.Add(1))
		ids[where.of([]byte(id))] = id
	}
	return ids
}

// orderOf returns a customer's nth order, of 10.00 USD, a day after the one before.
func orderOf(t *testing.T, customer string, n int) operators.Event {
	id := fmt.Sprint(customer, n)
	return operators.Event{Kind: operators.OrderCompleted, Customer: customer, ID: id, OrderID: id,
		Time: instant(t, "2024-01-01T10:00:00Z") + operators.EventTime(n*operators.DayMs), Amount: 1000}
}

// TestMissedDeletion proves that a state which is older than the changelog keeps deletions is not trusted: a customer who was deleted meanwhile, and whose
// deletion has been compacted away, is gone.
func TestMissedDeletion(t *testing.T) {
	_, c := embedded(t) // compaction is played by deleting records, which Kafka refuses for a compacted topic
	s := c.application(1)
	c.publish(&s)
	c.purchases(&s, 0, 3)
	c.produce(c.event(&s, orderOf(t, "bob", 0)))
	p := c.run(s)
	c.await(&s, p)
	p.end()
	c.forgetMember(&s)

	// The next owner deletes bob and writes ann again. Then compaction takes what came before, and the deletion.
	changelog := s.Topic(ChangelogTopic)
	var ann []byte
	end := int64(0)
	for _, r := range c.read(changelog) {
		end = r.Offset + 1
		if string(r.Key) == "cann" {
			ann = r.Value
		}
	}
	c.produce(c.event(&s, orderOf(t, "carl", 0))) // the next owner passes over it
	if err := c.owner(s, "next", 0).pass(&kgo.Record{Key: []byte("cann"), Value: ann}); err != nil {
		t.Fatal(err)
	}
	c.deleteRecords(changelog, end)
	if _, err := c.adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "delete.retention.ms", Value: kadm.StringPtr("1")}}, changelog); err != nil {
		t.Fatal(err)
	}

	p = c.run(s)
	c.mark(&s, "2026-01-01T00:00:00Z")
	c.await(&s, p)
	p.end()
	var of []string
	for _, r := range c.read(s.Topic(TriggersTopic)) {
		of = append(of, string(r.Key))
	}
	if fmt.Sprint(of) != "[ann]" {
		t.Errorf("triggers of %v: want ann's alone, bob was deleted\n%s", of, p.log)
	}
	if log := p.log.String(); !strings.Contains(log, "longer ago than the changelog keeps deletions") {
		t.Errorf("the log does not say why\n%s", log)
	}
}

// TestColdStart proves that a process whose state folder is gone goes on from the changelog, and says how long that took; that one goes on from the folder's copy elsewhere; and that nothing in what
// comes out shows either.
func TestColdStart(t *testing.T) {
	want := ""
	for _, folder := range []string{"kept", "moved", "gone"} {
		c := newCluster(t)
		s := c.application(2)
		c.publish(&s)
		records := c.history(&s)
		p := c.run(s)
		c.produce(records[:700]...)
		c.await(&s, p)
		p.end()
		if folder == "moved" {
			from := s.State.Dir
			s.State.Dir = t.TempDir()
			if err := os.CopyFS(s.State.Dir, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
		}
		if folder == "gone" {
			if err := os.RemoveAll(s.State.Dir); err != nil {
				t.Fatal(err)
			}
		}
		p = c.run(s)
		c.produce(records[700:]...)
		c.mark(&s, "2026-01-01T00:00:00Z")
		c.await(&s, p)
		p.end()
		if want == "" {
			want = c.digest(&s)
			continue
		}
		if got := c.digest(&s); got != want {
			t.Errorf("%s: digest %s, with the folder kept %s\n%s", folder, got, want, p.log)
		}
		if log := p.log.String(); folder == "gone" && (!strings.Contains(log, `"message":"restored from the changelog"`) || !strings.Contains(log, `"records_per_second":`)) {
			t.Errorf("the log does not tell of the restore\n%s", log)
		}
	}
}

// TestRestoreBrokenOff proves that a store which is killed in the midst of its first restore, or right after it, is one to go on from: it says since when it
// can have missed deletions. The disk is looked at while the process runs and has not flushed.
func TestRestoreBrokenOff(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	s.HTTP.Listen = freeAddress(t)
	s.State.FlushBytes = 1000
	c.publish(&s)
	c.produce(c.crowd(&s, 200)...)
	p := c.run(s)
	c.await(&s, p)
	p.end()
	s.State.Dir = t.TempDir()
	began := time.Now().UnixMilli()
	p = c.run(s)
	awaitPhase(t, &s, p, 0, func(in readyIn) bool { return in.Phase == running })
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(s.State.Dir)); err != nil {
		t.Fatal(err)
	}
	p.end()
	db, err := state.Open(state.Options{Dir: killed, Index: task.IndexEntry})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	infos, err := db.Partitions()
	if err != nil || len(infos) != 1 || infos[0].Position < 1 || infos[0].AtEndMs < began {
		t.Errorf("on disk after a restore that began at %d: %+v, %v\n%s", began, infos, err, p.log)
	}
}

// TestProgress proves what a restore says of itself.
func TestProgress(t *testing.T) {
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pr := progress{from: 1000, next: 1000, end: 5000}
	if _, ok := pr.left(began); ok || pr.share() != 0 {
		t.Error("who waits for a turn has no speed")
	}
	pr.began = began
	if _, ok := pr.left(began.Add(time.Second)); ok {
		t.Error("without a record there is no speed")
	}
	pr.next, pr.bytes = 2000, 50_000
	offsets, bytes := pr.perSecond(began.Add(2 * time.Second))
	left, ok := pr.left(began.Add(2 * time.Second))
	if got, want := fmt.Sprint(pr.share(), offsets, bytes, left, ok), "0.25 500 25000 6s true"; got != want {
		t.Errorf("progress %s, want %s", got, want)
	}
}
