package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
	"lull/schemas"
	"lull/state"
)

// purchases produces n orders of ann's to the input, ids and days counted from first, each of 10.00 USD.
func (c *cluster) purchases(s *Settings, first, n int) {
	c.t.Helper()
	for i := first; i < first+n; i++ {
		id := fmt.Sprint("o", i)
		c.produce(c.event(s, operators.Event{Kind: operators.OrderCompleted, Customer: "ann", ID: id, OrderID: id,
			Time: instant(c.t, "2024-01-01T10:00:00Z") + operators.EventTime(i*operators.DayMs), Amount: 1000}))
	}
}

// orders returns how many orders ann's last score row counts, -1 if there is none.
func (c *cluster) orders(s *Settings) int64 {
	c.t.Helper()
	return c.ordersOf(s, "ann")
}

func (c *cluster) ordersOf(s *Settings, customer string) int64 {
	c.t.Helper()
	orders := int64(-1)
	for _, row := range c.read(s.Topic(ScoresTopic)) {
		if string(row.Key) != customer {
			continue
		}
		if orders = -1; row.Value == nil {
			continue
		}
		fields, err := schemas.DecodeOutput(schemas.Scores, row.Value)
		if err != nil {
			c.t.Fatal(err)
		}
		orders = fields.Get("orders").(int64)
	}
	return orders
}

// commitOffset sets the group's committed offset, as an operator would, while no process runs.
func (c *cluster) commitOffset(s *Settings, offset int64) {
	c.t.Helper()
	offsets := make(kadm.Offsets)
	offsets.AddOffset(s.Input.Topic, 0, offset, -1)
	if err := c.adm.CommitAllOffsets(c.t.Context(), s.Group, offsets); err != nil {
		c.t.Fatal(err)
	}
}

// forgetMember takes the static member out of the group, so that offsets can be set before its session has timed out.
func (c *cluster) forgetMember(s *Settings) {
	c.t.Helper()
	leave := kadm.LeaveGroup(s.Group).InstanceIDs(s.Instance)
	if _, err := c.adm.LeaveGroup(c.t.Context(), leave); err != nil {
		c.t.Fatal(err)
	}
}

// refused starts a process, awaits that it says on /readyz why its partition stands still, and ends it.
func (c *cluster) refused(s Settings, texts ...string) {
	c.t.Helper()
	s.HTTP.Listen = freeAddress(c.t)
	p := c.run(s)
	for _, text := range texts {
		awaitReadiness(c.t, &s, p, text)
	}
	p.end()
}

// TestOffsetMismatch proves that a group whose offset was reset is refused, with both offsets named, and that each answer to it does what it says.
func TestOffsetMismatch(t *testing.T) {
	for _, answer := range []struct {
		setting string
		orders  int64 // of ten before and two after, the group set back by four
	}{{"state", 12}, {"group", 12}, {"rebuild", 12}} {
		t.Run(answer.setting, func(t *testing.T) {
			c := newCluster(t)
			s := c.application(1)
			c.begin(s, 10)
			c.forgetMember(&s)
			c.commitOffset(&s, 6)
			c.refused(s, "stands at offset 10", "at 6", "--on-offset-mismatch=state")
			c.forgetMember(&s)

			s.OnOffsetMismatch = answer.setting
			p := c.run(s)
			c.purchases(&s, 10, 2)
			c.await(&s, p)
			p.end()
			if got := c.orders(&s); got != answer.orders {
				t.Errorf("%d orders counted, want %d\n%s", got, answer.orders, p.log)
			}
			// It was decided once: from now on there is nothing to decide.
			s.OnOffsetMismatch = "refuse"
			p = c.run(s)
			c.purchases(&s, 12, 1)
			c.await(&s, p)
			p.end()
			if got := c.orders(&s); got != answer.orders+1 {
				t.Errorf("%d orders counted after a restart, want %d\n%s", got, answer.orders+1, p.log)
			}
		})
	}
}

// TestRebuild proves that a state which is read again from nothing is the one that was, deadlines included, and that a customer whose events are gone
// is gone.
func TestRebuild(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.publish(&s)
	gone := operators.Event{Kind: operators.OrderCompleted, Customer: "bob", ID: "b1", OrderID: "b1", Time: instant(t, "2024-01-01T09:00:00Z"), Amount: 100}
	c.produce(c.event(&s, gone))
	c.purchases(&s, 0, 3)
	p := c.run(s)
	c.await(&s, p)
	c.mark(&s, "2024-06-01T00:00:00Z")
	c.await(&s, p)
	p.end()
	before := len(c.read(s.Topic(TriggersTopic)))
	if before == 0 {
		t.Fatalf("no trigger\n%s", p.log)
	}
	c.deleteRecords(s.Input.Topic, 1)
	s.Session.Gap *= 2
	c.unowned(s, "session.gap was 30m0s and is 1h0m0s. Set them back", "--on-offset-mismatch=rebuild", "`lull reset`", "`lull diff "+s.Prefix+" NEW_PREFIX`")
	s.OnOffsetMismatch = "rebuild"
	c.purchases(&s, 3, 1)
	c.mark(&s, "2024-07-01T00:00:00Z")
	p = c.run(s)
	c.await(&s, p)
	p.end()
	if got := c.orders(&s); got != 4 {
		t.Errorf("%d orders counted, want 4\n%s", got, p.log)
	}
	var again []string
	for _, r := range c.read(s.Topic(TriggersTopic))[before:] {
		again = append(again, string(r.Key))
	}
	if len(again) == 0 || strings.Contains(strings.Join(again, " "), "bob") {
		t.Errorf("triggers after the rebuild are of %v: want ann's and none of bob's", again)
	}
	for _, topic := range []string{ChangelogTopic, ScoresTopic} {
		left := map[string]bool{}
		for _, r := range c.read(s.Topic(topic)) {
			left[string(r.Key)] = r.Value != nil
		}
		for key, kept := range left {
			if kept && strings.Contains(key, "bob") {
				t.Errorf("topic %s still holds %q", topic, key)
			}
		}
	}
}

func (c *cluster) deleteRecords(topic string, before int64) {
	c.t.Helper()
	offsets := make(kadm.Offsets)
	offsets.AddOffset(topic, 0, before, -1)
	if _, err := c.adm.DeleteRecords(c.t.Context(), offsets); err != nil {
		c.t.Fatal(err)
	}
}

// TestFirstStart proves that a first start on a topic whose beginning has been deleted begins where the log begins: nothing is lost by it.
func TestFirstStart(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.publish(&s)
	c.purchases(&s, 0, 10)
	c.deleteRecords(s.Input.Topic, 4)
	p := c.run(s)
	c.await(&s, p)
	p.end()
	if got := c.orders(&s); got != 6 {
		t.Errorf("%d orders counted, want 6\n%s", got, p.log)
	}
}

// TestDataLoss proves that a task whose unread records were deleted stands still and names them, until it is told to go on.
func TestDataLoss(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.begin(s, 5)
	c.purchases(&s, 5, 5)
	c.deleteRecords(s.Input.Topic, 8)
	c.refused(s, "from offset 5 to 8", "--on-data-loss=continue")
	s.OnDataLoss = "continue"
	p := c.run(s)
	c.await(&s, p)
	p.end()
	if got := c.orders(&s); got != 7 {
		t.Errorf("%d orders counted, want 7 of which two came after the loss\n%s", got, p.log)
	}
}

// TestLogCut proves that a task notices when the brokers have lost records that it has applied, and that new records at their offsets count once it is
// told to go on. What the brokers answer about the end of their leader's epoch is forged: an embedded broker loses nothing by itself.
func TestLogCut(t *testing.T) {
	fake, c := embedded(t)
	s := c.application(1)
	c.begin(s, 5)
	fake.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		req := request.(*kmsg.OffsetForLeaderEpochRequest)
		if req.Topics[0].Topic != s.Input.Topic {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = s.Input.Topic
		partition := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
		partition.Partition, partition.LeaderEpoch, partition.EndOffset = 0, req.Topics[0].Partitions[0].LeaderEpoch, 3
		topic.Partitions = append(topic.Partitions, partition)
		resp.Topics = append(resp.Topics, topic)
		return resp, nil, true
	})
	c.refused(s, "ends at offset 3, before the position 5", "--on-data-loss=continue")
	s.OnDataLoss = "continue"
	p := c.run(s)
	c.purchases(&s, 5, 2)
	c.await(&s, p)
	p.end()
	if got := c.orders(&s); got != 7 {
		t.Errorf("%d orders counted, want 7\n%s", got, p.log)
	}
	if !strings.Contains(p.log.String(), "the brokers lost records that were applied: going on, as told") {
		t.Errorf("nothing was said:\n%s", p.log)
	}
}

// TestRecreated proves that a topic of the same name is not taken for the one that was.
func TestRecreated(t *testing.T) {
	for _, which := range []string{"input", "changelog"} {
		t.Run(which, func(t *testing.T) {
			c := newCluster(t)
			s := c.application(1)
			c.begin(s, 5)
			topic, says := s.Input.Topic, "was re-created. Use a new prefix"
			if which == "changelog" {
				topic, says = s.Topic(ChangelogTopic), "the state belongs to a changelog of id"
			}
			if _, err := c.adm.DeleteTopic(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
			c.awaitNoTopic(topic)
			if which == "input" {
				if _, err := c.adm.CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
					t.Fatal(err)
				}
				c = connect(t, c.dial, c.brokers) // a client knows a topic by its id
				c.awaitTopic(topic)
				c.purchases(&s, 0, 5)
			} else if _, err := CreateTopics(t.Context(), s, 0); err != nil {
				t.Fatal(err)
			}
			c.refused(s, says)
			if which == "changelog" {
				return
			}
			s.OnOffsetMismatch = "rebuild"
			c.purchases(&s, 5, 1)
			p := c.run(s)
			c.await(&s, p)
			p.end()
			if got := c.orders(&s); got != 6 {
				t.Errorf("%d orders counted, want 6\n%s", got, p.log)
			}
		})
	}
}

// TestSameInstance proves that of two processes with one instance id the second runs and the first ends with an error that says so.
func TestSameInstance(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.publish(&s)
	s.HTTP.Listen = freeAddress(t)
	first := c.run(s)
	awaitReadiness(t, &s, first, `"phase":"running"`)
	other := s
	other.State.Dir, other.HTTP.Listen = t.TempDir(), freeAddress(t)
	second := c.run(other)
	c.purchases(&s, 0, 5)
	var err error
	select {
	case err = <-first.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("the first process goes on\n%s\n%s", first.log, second.log)
	}
	var fenced *FencedError
	if !errors.As(err, &fenced) || fenced.Instance != s.Instance {
		t.Errorf("the first process ended with %v", err)
	}
	c.await(&other, second)
	second.end()
	if got := c.orders(&s); got != 5 {
		t.Errorf("%d orders counted, want 5\n%s", got, second.log)
	}
}

// TestGaps proves that offsets without records, as compaction and aborted transactions leave them, stop nothing and lose nothing.
func TestGaps(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.publish(&s)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.TransactionalID(s.Group+"/test"), kgo.UnknownTopicRetries(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	p := c.run(s)
	for i := range 12 {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("t", i)
		if err := client.ProduceSync(t.Context(), c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: "ann", ID: id, OrderID: id,
			Time: instant(t, "2024-01-01T10:00:00Z") + operators.EventTime(i*operators.DayMs), Amount: 1000})).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), kgo.TransactionEndTry(i%3 == 0)); err != nil {
			t.Fatal(err)
		}
	}
	c.await(&s, p)
	p.end()
	if got := c.orders(&s); got != 4 {
		t.Errorf("%d orders counted, want the 4 whose transactions were committed\n%s", got, p.log)
	}
}

// TestPartitionAdded proves that a partition which the input topic is given while the pipeline runs stands still and says why, and that the others go on;
// and that a state is not trusted when all topics have been given more.
func TestPartitionAdded(t *testing.T) {
	fake, c := embedded(t)
	s := c.application(2)
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	p := c.run(s)
	c.purchases(&s, 0, 3)
	c.await(&s, p)
	add := func(topic string) {
		if _, err := c.adm.CreatePartitions(t.Context(), 5, topic); err != nil {
			t.Fatal(err)
		}
	}
	if where := newPlacement(7); where.of([]byte("ann")) >= 2 {
		t.Fatal("ann's later orders are in a new partition: the test needs another number")
	}
	add(s.Input.Topic)
	// The client asks for the topic's partitions anew when it meets an error.
	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Topic: s.Input.Topic, Count: 2})
	c.purchases(&s, 3, 1)
	awaitReadiness(t, &s, p, fmt.Sprintf(`partition 2: topic \"%s\" has been given more partitions than topic \"%s\" has: `, s.Input.Topic, s.Topic(ChangelogTopic)))
	c.purchases(&s, 4, 2)
	c.await(&s, p)
	if strings.Contains(p.log.String(), "did not commit") {
		t.Errorf("transactions failed:\n%s", p.log)
	}
	p.end()
	if got := c.orders(&s); got != 6 {
		t.Errorf("%d orders counted, want 6", got)
	}

	add(s.Topic(ChangelogTopic))
	c.forgetMember(&s)
	c.unowned(s, "partitions of the input was 2 and is 7: customers are in other partitions than their state")
}

// TestChangelogLost proves that a state which stands for more than the changelog holds, of which brokers have lost the end, is refused with what to do.
func TestChangelogLost(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.begin(s, 10)
	db, err := state.Open(state.Options{Dir: s.State.Dir})
	if err != nil {
		t.Fatal(err)
	}
	part, err := db.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	_, at := part.Position()
	part.Commit(at + 100)
	if err := errors.Join(part.Release(0), db.Close()); err != nil {
		t.Fatal(err)
	}
	ends, err := c.adm.ListEndOffsets(t.Context(), s.Topic(ChangelogTopic))
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(s.Topic(ChangelogTopic), 0)
	c.forgetMember(&s)
	c.refused(s, fmt.Sprintf(`the state of partition 0 stands for changelog offset %d, but topic \"%s\" ends at %d: it lost records or was re-created; restore the topic, or remove the state folder \"%s\" to start from what is there`,
		at+100, s.Topic(ChangelogTopic), end.Offset, s.State.Dir))
}
