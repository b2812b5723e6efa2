package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
)

// staged returns settings of an application that reads two topics of event.avsc, neither of them keyed by customer, with its topics made: orders of two partitions and web of three.
func (c *cluster) staged() Settings {
	c.t.Helper()
	s := c.application(2)
	topics := map[string]int32{"orders-" + s.Group: 2, "web-" + s.Group: 3}
	s.Input.Topic, s.Inputs, s.Prefix, s.Group, s.Topics.Partitions = "", make(map[string]TopicInput), s.Group+"-staged.", "", 4
	s.EnsureDefaults()
	for topic, partitions := range topics {
		s.Inputs[topic] = TopicInput{}
		if _, err := c.adm.CreateTopic(c.t.Context(), partitions, 1, nil, topic); err != nil {
			c.t.Fatal(err)
		}
		c.awaitTopic(topic)
	}
	if err := s.Validate(); err != nil {
		c.t.Fatal(err)
	}
	if _, err := createTopics(c.t.Context(), c.dial, s, 0); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// scatter makes the records of a history those of a staged application's topics: what concerns orders in one, keyed by nothing, all else in the other, keyed by the event.
func (c *cluster) scatter(s *Settings, records []*kgo.Record) []*kgo.Record {
	c.t.Helper()
	decoder, err := schemas.NewDecoder(schemas.DecoderConfig{})
	if err != nil {
		c.t.Fatal(err)
	}
	topics := s.InputTopics()
	for _, r := range records {
		var e operators.Event
		if refusal := decoder.DecodeKeyless(&schemas.Source{Value: r.Value, AppendTime: instant(c.t, storyEnd)}, &e); refusal != nil {
			c.t.Fatal(refusal.Detail)
		}
		if r.Topic, r.Key = topics[1].Topic, []byte(e.ID); e.Kind.OfOrder() {
			r.Topic, r.Key = topics[0].Topic, nil
		}
	}
	return records
}

// checkPassed checks that every event of the inputs has been passed on exactly once, to the partition of its customer, those of a partition in their order; and that the watermarks told
// of a feed do not go back. It returns how many there are.
func (c *cluster) checkPassed(s *Settings) (n int) {
	c.t.Helper()
	type path struct {
		feed uint64
		to   int32
	}
	type told struct {
		offset    int64
		watermark operators.EventTime
	}
	last, times := make(map[path]told), make(map[string]int)
	ids := make(map[schemas.Position]string)
	where := newPlacement(int32(s.Topics.Partitions))
	decoder, err := schemas.NewDecoder(schemas.DecoderConfig{Limits: schemas.Limits{IDBytes: 300}})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, r := range c.read(s.Topic(EventsTopic)) {
		var source schemas.Source
		var e operators.Event
		setSource(&source, r)
		relay, refusal := decoder.DecodeRelay(&source, &e)
		if refusal != nil {
			c.t.Fatal(refusal.Detail)
		}
		at := path{relay.Feed, r.Partition}
		was, known := last[at]
		if !known {
			was = told{-1, operators.Unset}
		}
		now := told{relay.Source.Offset, relay.Watermark}
		if relay.IsMark() {
			now.offset = was.offset
		} else {
			n++
			times[e.ID]++
			ids[relay.Source] = e.ID
			if was.offset >= now.offset || where.of([]byte(e.Customer)) != r.Partition {
				c.t.Errorf("%s is at offset %d of partition %d, after offset %d of its feed", relay.Source, r.Offset, r.Partition, was.offset)
			}
		}
		if now.watermark < was.watermark {
			c.t.Errorf("the watermark of a feed goes back to %s", relay.Watermark)
		}
		last[at] = now
	}
	for id, n := range times {
		if n != 1 {
			c.t.Errorf("event %s was passed on %d times", id, n)
		}
	}
	for _, in := range s.InputTopics() {
		for _, r := range c.read(in.Topic) {
			if at := (schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}); len(r.Headers) == 0 && ids[at] == "" {
				c.t.Errorf("the event at %s was not passed on", at)
			}
		}
	}
	return n
}

// second makes another application that reads the topics of a staged one, and returns its settings.
func (c *cluster) second(s *Settings) Settings {
	c.t.Helper()
	again := *s
	again.Prefix, again.Group = strings.TrimSuffix(s.Prefix, ".")+"-again.", ""
	again.EnsureDefaults()
	again.State.Dir = c.t.TempDir()
	if _, err := createTopics(c.t.Context(), c.dial, again, 0); err != nil {
		c.t.Fatal(err)
	}
	c.publish(&again)
	return again
}

// replay gives an application the committed records of another's topic events, and nothing else to read.
func (c *cluster) replay(s, again *Settings) {
	c.t.Helper()
	var records []*kgo.Record
	for _, r := range c.read(s.Topic(EventsTopic)) {
		records = append(records, &kgo.Record{Topic: again.Topic(EventsTopic), Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers})
	}
	client := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	if err := client.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
	// Its feeds have nothing to do: they stand at the ends of the inputs.
	var offsets kadm.Offsets
	for _, in := range s.InputTopics() {
		topics, err := c.adm.ListTopics(c.t.Context(), in.Topic)
		if err != nil {
			c.t.Fatal(err)
		}
		ends, err := c.adm.ListEndOffsets(c.t.Context(), in.Topic)
		if err != nil {
			c.t.Fatal(err)
		}
		ends.Each(func(o kadm.ListedOffset) {
			meta := task.NewFeedMeta(o.Offset, [16]byte(topics[in.Topic].ID))
			offsets.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: o.Offset, LeaderEpoch: -1, Metadata: meta.String()})
		})
	}
	if err := c.adm.CommitAllOffsets(c.t.Context(), again.Group, offsets); err != nil {
		c.t.Fatal(err)
	}
}

// TestFirstStage proves that two topics that are not keyed by customer become one order of events, each passed on once, from which comes what comes from that order alone.
func TestFirstStage(t *testing.T) {
	c := newCluster(t)
	s := c.staged()
	c.publish(&s)
	records := c.scatter(&s, c.history(&s)[:story])
	c.produce(records[:story/2]...)
	p := c.run(s)
	c.await(&s, p)
	p.end()
	c.produce(records[story/2:]...)
	c.mark(&s, storyEnd)
	p = c.run(s)
	c.await(&s, p)
	p.end()
	if n := c.checkPassed(&s); n != story {
		t.Errorf("%d events were passed on, not %d\n%s", n, story, p.log)
	}
	again := c.second(&s)
	c.replay(&s, &again)
	p = c.run(again)
	c.await(&again, p)
	p.end()
	if got, want := c.digest(&s), c.digest(&again); got != want {
		t.Errorf("digest %s, and of the events alone %s", got, want)
	}
	if n := len(c.read(s.Topic(TriggersTopic))); n < 10 {
		t.Errorf("%d triggers", n)
	}
}

// TestStagedAttacks lets everything go wrong at once, as TestAttacks does, for an application with a first stage: each event is passed on once whatever happens, and what comes out is
// what comes out of the order in which they were.
func TestStagedAttacks(t *testing.T) {
	for i := range uint64(tenthIfRace(*attackSeeds) / 2) {
		seed := *attackFirst + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			inBubble(t, seed, func(t *testing.T, b *bubble) {
				a := &attack{bubble: b, s: b.staged(), gone: -1, counts: map[string]int{}}
				defer a.report()
				again := a.second(&a.s)
				a.run(a.scatter(&a.s, a.history(&a.s)[:story]))
				if n := a.checkPassed(&a.s); n != story {
					t.Errorf("%d events were passed on, not %d", n, story)
				}
				a.replay(&a.s, &again)
				h := a.host(again, "one")
				h.start()
				a.await(&again, h)
				h.end()
				a.check(&a.s, a.digest(&again), a.hosts...)
			})
		})
	}
}
