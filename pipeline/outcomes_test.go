package pipeline

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
	"lull/schemas"
)

// history returns a year of a small shop: visits, orders, refunds, cancellations, consents and offers of 40 customers in order of time, the same every time.
func (c *cluster) history(s *Settings) []*kgo.Record {
	random := rand.New(rand.NewPCG(1, 2))
	at := instant(c.t, "2024-01-01T00:00:00Z")
	var records []*kgo.Record
	var placed []operators.Event
	for i := range 1500 {
		at += operators.EventTime(random.IntN(6 * 3_600_000))
		e := operators.Event{Kind: operators.PageViewed, ID: fmt.Sprint("e", i), Customer: fmt.Sprint("c", random.IntN(40)), Time: at, Name: "/"}
		switch n := random.IntN(10); {
		case n < 3:
			e.Kind, e.OrderID, e.Amount = operators.OrderCompleted, fmt.Sprint("o", i), operators.Money(500+random.IntN(5000))
			placed = append(placed, e)
		case n == 3 && len(placed) > 0:
			order := placed[random.IntN(len(placed))]
			e.Kind, e.Customer, e.OrderID, e.Amount = operators.OrderRefunded, order.Customer, order.OrderID, 100
		case n == 4 && len(placed) > 0:
			order := placed[random.IntN(len(placed))]
			e.Kind, e.Customer, e.OrderID = operators.OrderCancelled, order.Customer, order.OrderID
		case n == 5:
			e.Kind, e.Subject, e.Proof, e.Name = []operators.EventKind{operators.ConsentGiven, operators.ConsentWithdrawn}[random.IntN(2)], "email", fmt.Sprint("form ", i), ""
		case n == 6:
			e.Kind, e.Subject, e.Amount, e.Name = operators.OfferProposed, fmt.Sprint("voucher-", i%20), operators.Money(random.IntN(300)), []string{"", "email"}[random.IntN(2)]
		}
		records = append(records, c.event(s, e))
	}
	return records
}

// digest returns the digest of an application's outputs. Its name, which two applications never share, is left out.
func (c *cluster) digest(s *Settings) string {
	c.t.Helper()
	var d schemas.Digest
	for _, topic := range []schemas.Topic{schemas.Sessions, schemas.Scores, schemas.Segments, schemas.Triggers, schemas.Offers, schemas.DeadLetters} {
		for _, r := range c.read(s.Topic(topic.String())) {
			var headers []schemas.Header
			for _, h := range r.Headers {
				if h.Key != "ce_source" {
					headers = append(headers, schemas.Header{Key: h.Key, Value: h.Value})
				}
			}
			if err := d.Add(topic, r.Key, r.Value, headers); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	return d.Sum()
}

// outcome is a fault of a transaction.
type outcome struct {
	name  string
	fault kfake.Fault
}

var outcomes = []outcome{
	{"none", kfake.Fault{}},
	{"EndTxn is applied and answered with a timeout", kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.RequestTimedOut, TopLevel: true}},
	{"EndTxn is not applied, error unknown", kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError, TopLevel: true}},
	{"EndTxn: epoch fenced", kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidProducerEpoch, TopLevel: true}},
	{"EndTxn: producer fenced", kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.ProducerFenced, TopLevel: true}},
	{"AddOffsetsToTxn: epoch fenced", kfake.Fault{Keys: []kmsg.Key{kmsg.AddOffsetsToTxn}, Err: kerr.InvalidProducerEpoch, TopLevel: true}},
	{"AddOffsetsToTxn: coordinator busy", kfake.Fault{Keys: []kmsg.Key{kmsg.AddOffsetsToTxn}, Err: kerr.ConcurrentTransactions, TopLevel: true}},
	{"TxnOffsetCommit: generation gone", kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration}},
	{"TxnOffsetCommit: applied, answered with a timeout", kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.RequestTimedOut}},
	{"Produce: written, answered as not replicated", kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicasAfterAppend}},
	{"Produce: transaction state lost", kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidTxnState}},
	{"InitProducerID: coordinator busy", kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ConcurrentTransactions, TopLevel: true}},
}

// TestOutcomes proves that a transaction that fails, is fenced, or whose outcome is not known, in any of its requests, changes nothing in what
// comes out: the digest is that of the run without a fault. Each fault hits three times, in the midst of a run.
func TestOutcomes(t *testing.T) {
	want := ""
	for _, f := range outcomes {
		t.Run(f.name, func(t *testing.T) {
			fake, c := embedded(t)
			s := c.application(2)
			s.Commit.Interval = 10 * time.Millisecond
			c.publish(&s)
			f.meet(fake, c, &s, c.history(&s), ChangelogTopic)
			got := c.digest(&s)
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("digest %s, without a fault %s", got, want)
			}
		})
	}
}

// TestStagedOutcomes proves the same of an application with a first stage: every event is passed on once, and what comes out is what comes out of their order.
func TestStagedOutcomes(t *testing.T) {
	for _, f := range outcomes {
		t.Run(f.name, func(t *testing.T) {
			fake, c := embedded(t)
			s := c.staged()
			s.Commit.Interval = 10 * time.Millisecond
			c.publish(&s)
			records := c.scatter(&s, c.history(&s))
			f.meet(fake, c, &s, records, EventsTopic)
			if n := c.checkPassed(&s); n != len(records) {
				t.Errorf("%d events were passed on, not %d", n, len(records))
			}
			again := c.second(&s)
			c.replay(&s, &again)
			p := c.run(again)
			c.await(&again, p)
			p.end()
			if got, want := c.digest(&s), c.digest(&again); got != want {
				t.Errorf("digest %s, and of the events alone %s", got, want)
			}
		})
	}
}

// meet lets a process read records while its transactions meet the fault: of its requests to produce those to one of its topics.
func (f *outcome) meet(fake *kfake.Cluster, c *cluster, s *Settings, records []*kgo.Record, topic string) {
	c.t.Helper()
	fault := f.fault
	var handle *kfake.FaultHandle
	if len(fault.Keys) > 0 {
		fault.Count = 3
		switch fault.Keys[0] {
		case kmsg.EndTxn, kmsg.AddOffsetsToTxn, kmsg.InitProducerID:
			fault.TxnID = s.transactionalID()
		case kmsg.Produce:
			fault.Topic = s.Topic(topic)
		}
		if fault.Keys[0] == kmsg.InitProducerID {
			handle = fake.Fault(fault)
		}
	}
	p := c.run(*s)
	c.produce(records[:500]...)
	c.await(s, p)
	if fault.Count == 3 && handle == nil {
		handle = fake.Fault(fault)
	}
	for i := 500; i < len(records); i += 100 {
		c.produce(records[i:min(i+100, len(records))]...)
		c.await(s, p)
	}
	c.mark(s, storyEnd)
	c.await(s, p)
	p.end()
	if handle != nil && handle.Hits() == 0 {
		c.t.Fatal("the fault was never met")
	}
}

// TestNothingCommits proves that a process whose transactions fail one after the other says so on /readyz, with the reason, and works again when they
// commit.
func TestNothingCommits(t *testing.T) {
	fake, c := embedded(t)
	s := c.application(1)
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	c.claimed(s)
	fault := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: s.Topic(ChangelogTopic), Err: kerr.InvalidTxnState, Count: -1})
	p := c.run(s)
	c.purchases(&s, 0, 3)
	awaitReadiness(t, &s, p, "transactions did not commit, the last because of: producing to")
	fault.Remove()
	c.await(&s, p)
	awaitReadiness(t, &s, p, `"ready":true`)
	p.end()
	if got := c.orders(&s); got != 3 {
		t.Errorf("%d orders counted, want 3", got)
	}
}
