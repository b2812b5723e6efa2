package pipeline

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/pipeline/task"
)

// intruder makes settings of another process under the prefix of a staged application, with an input of its own, and ten orders of ann's in it.
func (c *cluster) intruder(s *Settings) Settings {
	c.t.Helper()
	other := *s
	topic := "intruder-" + s.Group
	other.Instance, other.State.Dir, other.HTTP.Listen, other.Inputs = "intruder", c.t.TempDir(), freeAddress(c.t), map[string]TopicInput{topic: {}}
	if err := other.Validate(); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.adm.CreateTopic(c.t.Context(), 1, 1, nil, topic); err != nil {
		c.t.Fatal(err)
	}
	c.awaitTopic(topic)
	asInput := other
	asInput.Input.Topic = topic
	c.purchases(&asInput, 100, 10)
	c.produce(&kgo.Record{Topic: topic, Value: []byte("no event")}) // a dead letter, where it is read
	return other
}

// claimed lets a process claim an application's prefix, and end: what a test does to the requests that make transactions concerns no claim.
func (c *cluster) claimed(s Settings) {
	c.t.Helper()
	s.HTTP.Listen, s.Tracing.Endpoint = freeAddress(c.t), ""
	p := c.run(s)
	awaitReadiness(c.t, &s, p, `"ready":true`)
	p.end()
}

// unowned runs a process that ends because the prefix is not its own, and says these texts.
func (c *cluster) unowned(s Settings, texts ...string) {
	c.t.Helper()
	c.run(s).unowned(texts...)
}

// unowned waits until the process has ended because the prefix is not its own, and says these texts.
func (p *process) unowned(texts ...string) {
	p.t.Helper()
	select {
	case err := <-p.done:
		if foreign := (*PrefixError)(nil); !errors.As(err, &foreign) {
			p.t.Errorf("the process ended with %v\n%s", err, p.log)
			return
		}
		for _, text := range texts {
			if !strings.Contains(err.Error(), text) {
				p.t.Errorf("the process ended with %v, without %q", err, text)
			}
		}
	case <-time.After(20 * time.Second): // if it is not refused
		p.t.Errorf("the process runs under a prefix that is not its own\n%s", p.log)
		p.end()
	}
}

// ends returns the ends of all partitions of the topics under an application's prefix.
func (c *cluster) ends(s *Settings) map[topicPartition]int64 {
	c.t.Helper()
	var topics []string
	for _, topic := range s.ownTopics() {
		topics = append(topics, s.Topic(topic.name))
	}
	list, err := c.adm.ListEndOffsets(c.t.Context(), topics...)
	if err != nil {
		c.t.Fatal(err)
	}
	ends := make(map[topicPartition]int64)
	list.Each(func(o kadm.ListedOffset) { ends[topicPartition{o.Topic, o.Partition}] = o.Offset })
	return ends
}

// orderOfAnn makes a purchase of ann's in the first input of a staged application.
func (c *cluster) orderOfAnn(s *Settings, n int) {
	c.t.Helper()
	asInput := *s
	asInput.Input.Topic = s.InputTopics()[0].Topic
	c.purchases(&asInput, n, 1)
}

// TestForeignProcess proves that a process which is not of the application that has a prefix, or would make the state by other settings, writes nothing under it, takes no partition, and says why; and that the
// application goes on.
func TestForeignProcess(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(s *Settings)
		says   []string
	}{
		{"another group", func(s *Settings) { s.Group += "-other" },
			[]string{"holds the state of another application, that of the group", "two applications never share a prefix", "Give this one a --prefix and a --state-dir of its own"}},
		{"another group that rebuilds", func(s *Settings) { s.Group, s.OnOffsetMismatch = s.Group+"-other", "rebuild" }, []string{"two applications never share a prefix"}},
		{"other settings", func(s *Settings) { s.Calendar.Timezone = "Asia/Tokyo" },
			[]string{"the state was made with other settings: calendar.timezone was UTC and is Asia/Tokyo", "Set them back", "`lull reset`", "a new --prefix"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t)
			s := c.staged()
			c.publish(&s)
			c.orderOfAnn(&s, 0)
			c.mark(&s, "2024-02-01T00:00:00Z")
			owner := c.run(s)
			c.await(&s, owner)
			before := c.ends(&s)
			other := c.intruder(&s)
			test.change(&other)
			other.Fit.Mode = "auto"
			c.unowned(other, test.says...)
			if after := c.ends(&s); !maps.Equal(before, after) {
				t.Errorf("the topics under the prefix end at %v, and did at %v", after, before)
			}
			c.orderOfAnn(&s, 40)
			c.mark(&s, "2024-06-01T00:00:00Z")
			c.await(&s, owner)
			owner.end()
			if got := c.orders(&s); got != 2 {
				t.Errorf("%d orders counted, want 2\n%s", got, owner.log)
			}
		})
	}
}

// TestTwoBegin proves that of two applications that begin under one prefix at the same instant one has it, and that nothing comes of the other: the first has seen that the prefix is nobody's, and the other claims it before
// the first has done so, or before what the first has written is committed.
func TestTwoBegin(t *testing.T) {
	for _, held := range []struct {
		key kmsg.Key
		id  func(kmsg.Request) *string
	}{
		{kmsg.InitProducerID, func(r kmsg.Request) *string { return r.(*kmsg.InitProducerIDRequest).TransactionalID }},
		{kmsg.Produce, func(r kmsg.Request) *string { return r.(*kmsg.ProduceRequest).TransactionID }},
	} {
		t.Run(held.key.Name(), func(t *testing.T) {
			fake, c := embedded(t)
			s := c.staged()
			c.publish(&s)
			c.orderOfAnn(&s, 0)
			other := c.intruder(&s)
			other.Group += "-other"
			s.HTTP.Listen = freeAddress(t)
			first := true
			claim := hold(t, fake, held.key, func(r kmsg.Request) bool {
				id := held.id(r)
				is := first && id != nil && *id == s.ownerTransactionalID()
				first = first && !is
				return is
			})
			late := c.run(other)
			claim.await(t, late)
			owner := c.run(s)
			awaitReadiness(t, &s, owner, `"ready":true`)
			close(claim.open)
			late.unowned(`that of the group "` + s.Group + `"`)
			if log := late.log.String(); strings.Contains(log, `"level":"warn"`) {
				t.Errorf("the process that came too late warns\n%s", log)
			}
			c.mark(&s, "2024-06-01T00:00:00Z")
			c.await(&s, owner)
			owner.end()
			if got := c.orders(&s); got != 1 {
				t.Errorf("%d orders counted, want 1\n%s", got, owner.log)
			}
			c.checkOnly(&s)
		})
	}
}

// checkOnly checks that the topics under a staged application's prefix hold nothing of another's.
func (c *cluster) checkOnly(s *Settings) {
	c.t.Helper()
	for _, r := range c.read(s.Topic(ChangelogTopic)) {
		if string(r.Key) != string(task.ShapeKey) {
			continue
		}
		if shape, err := task.DecodeShape(r.Value); err != nil || shape.Get("group") != s.Group {
			c.t.Errorf("partition %d of the changelog says %v, %v", r.Partition, shape, err)
		}
	}
	for _, r := range c.passedOn(s) {
		if _, its := s.Inputs[r.Source.Topic]; !its && !r.IsMark() {
			c.t.Errorf("%s was passed on", r.Source)
		}
	}
	if n := len(c.read(s.Topic(DeadLettersTopic))); n != 0 {
		c.t.Errorf("%d dead letters", n)
	}
}

// TestClaimFails proves that a process waits and says so as long as it cannot find out whose the prefix is, and begins when it can.
func TestClaimFails(t *testing.T) {
	fake, c := embedded(t)
	s := c.application(1)
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	c.purchases(&s, 0, 1)
	broken := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TxnID: s.ownerTransactionalID(), Count: -1})
	p := c.run(s)
	awaitReadiness(t, &s, p, "it is not known whose the prefix")
	broken.Remove()
	c.await(&s, p)
	p.end()
}

// TestChangelogAnewMeanwhile proves that a process which waits until it may claim a prefix takes up the topics that have been made anew meanwhile, as by `lull reset` from another machine.
func TestChangelogAnewMeanwhile(t *testing.T) {
	for _, test := range []struct {
		name string
		wait func(t *testing.T, fake *kfake.Cluster, s *Settings, start func() *process, anew func()) *process
	}{
		{"between two attempts", func(t *testing.T, fake *kfake.Cluster, s *Settings, start func() *process, anew func()) *process {
			broken := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TxnID: s.ownerTransactionalID(), Count: -1})
			p := start()
			awaitReadiness(t, s, p, "it is not known whose the prefix")
			anew()
			broken.Remove()
			return p
		}},
		{"within one", func(t *testing.T, fake *kfake.Cluster, s *Settings, start func() *process, anew func()) *process {
			claim := hold(t, fake, kmsg.InitProducerID, func(r kmsg.Request) bool {
				id := r.(*kmsg.InitProducerIDRequest).TransactionalID
				return id != nil && *id == s.ownerTransactionalID()
			})
			p := start()
			claim.await(t, p)
			awaitReadiness(t, s, p, "it is being looked up whose the prefix")
			anew()
			close(claim.open)
			return p
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			fake, c := embedded(t)
			s := c.application(2)
			s.HTTP.Listen = freeAddress(t)
			c.publish(&s)
			p := test.wait(t, fake, &s, func() *process { return c.run(s) }, func() {
				c.deleteTopic(s.Topic(ChangelogTopic))
				if _, err := createTopics(t.Context(), c.dial, s, 0); err != nil {
					t.Fatal(err)
				}
				c.awaitTopic(s.Topic(ChangelogTopic))
			})
			awaitReadiness(t, &s, p, `"ready":true`)
			c.mark(&s, "2024-06-01T00:00:00Z")
			c.await(&s, p)
			p.end()
			topics, err := c.adm.ListTopics(t.Context(), s.Topic(ChangelogTopic))
			if err != nil {
				t.Fatal(err)
			}
			for n := range int32(2) {
				if got, want := c.lastMeta(&s, n).ChangelogID, topics[s.Topic(ChangelogTopic)].ID; got != want {
					t.Errorf("partition %d has noted the changelog %x, which is %x", n, got, want)
				}
			}
		})
	}
}

// TestStateWithoutShape proves that a state which does not say what it was made with is nobody's to claim, but for a process whose settings its meta record stands for.
func TestStateWithoutShape(t *testing.T) {
	t.Run("unknown", func(t *testing.T) {
		c := newCluster(t)
		s := c.application(2)
		earlier := c.owner(s, "earlier", 0)
		earlier.meta.Settings = 1
		if err := earlier.begin(&kgo.Record{Key: task.MetaKey, Value: earlier.meta.Append(nil)}); err != nil {
			t.Fatal(err)
		}
		if err := CommitTransaction(t.Context(), earlier.p.client); err != nil {
			t.Fatal(err)
		}
		c.read(s.Topic(ChangelogTopic)) // the brokers write a transaction's end after they have answered
		before := c.ends(&s)
		c.unowned(s, "an earlier version made it, which did not note its settings", "`lull reset`")
		if after := c.ends(&s); !maps.Equal(before, after) {
			t.Errorf("the topics under the prefix end at %v, and did at %v", after, before)
		}
	})
	t.Run("its own", func(t *testing.T) {
		c := newCluster(t)
		s := c.application(1)
		c.begin(s, 3)
		first := c.ends(&s)[topicPartition{s.Topic(ChangelogTopic), 0}]
		c.purchases(&s, 3, 1)
		p := c.run(s)
		c.await(&s, p)
		p.end()
		c.deleteRecords(s.Topic(ChangelogTopic), first)
		c.purchases(&s, 4, 1)
		p = c.run(s)
		c.await(&s, p)
		p.end()
		if got := c.orders(&s); got != 5 {
			t.Errorf("%d orders counted, want 5\n%s", got, p.log)
		}
	})
}
