package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
)

// stage is the account of a first stage: every event of the inputs is passed on once, to the partition of its customer, those of an input's partition in their order, with the time
// that the partition has come to.
type stage struct {
	passed, passedMarks int64
	feeds               map[partition]uint64                     // ids
	inputs              map[schemas.Position]inputEvent          // that have not been seen among what was passed on
	unread              map[string]bool                          // places of the records that no task sees
	made                map[partition]int                        // events of the inputs' partitions
	last                map[way]int64                            // input offsets
	heard               map[int32]map[uint64]operators.EventTime // by partition of the topic events and feed
	partitioner         kgo.TopicPartitioner
}

// inputEvent is what is known of an event of an input from that alone.
type inputEvent struct {
	id       string
	customer string
	highest  operators.EventTime // of its partition by then
	settled  bool                // its partition's time follows the highest by now: the first events must be confirmed by several customers
}

// way leads from a feed to a partition of the topic events.
type way struct {
	feed uint64
	to   int32
}

// settlesAfter is after how many events of a partition its time follows the highest.
const settlesAfter = 50

func newStage() stage {
	return stage{
		feeds: make(map[partition]uint64), inputs: make(map[schemas.Position]inputEvent), unread: make(map[string]bool), made: make(map[partition]int),
		last: make(map[way]int64), heard: make(map[int32]map[uint64]operators.EventTime), partitioner: kgo.StickyKeyPartitioner(nil).ForTopic(""),
	}
}

// learnFeeds takes in which feeds there are: of topics with these ids.
func (a *account) learnFeeds(topics map[string][16]byte) {
	for topic, id := range topics {
		for n := range int32(partitions) {
			a.feeds[partition{topic, n}] = task.FeedID(id, n)
		}
	}
	for to := range int32(partitions) {
		a.heard[to] = make(map[uint64]operators.EventTime)
		for _, feed := range a.feeds {
			a.heard[to][feed] = operators.Unset
			a.last[way{feed, to}] = -1
		}
	}
}

// addInput takes in the next record of its partition of an input that goes through a first stage.
func (a *account) addInput(r *schemas.Source) {
	var e operators.Event
	if !a.read(r, &e, a.decoder.DecodeKeyless) {
		a.unread[place(r.Topic, int64(r.Partition), r.Offset)] = true
		return
	}
	of := partition{r.Topic, r.Partition}
	a.highest[of] = max(a.highest[of], e.Time)
	a.made[of]++
	a.inputs[schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}] = inputEvent{e.ID, e.Customer, a.highest[of], a.made[of] > settlesAfter}
}

// addPassed takes in the next record of its partition of the topic events.
func (a *account) addPassed(r *schemas.Source) {
	note := func(format string, args ...any) { a.problems = append(a.problems, fmt.Sprintf(format, args...)) }
	to, at := r.Partition, place(r.Topic, int64(r.Partition), r.Offset)
	var e operators.Event
	relay, refusal := a.decoder.DecodeRelay(r, &e)
	if refusal != nil {
		note("%s: %s", at, refusal.Detail)
		return
	}
	before, known := a.heard[to][relay.Feed]
	if !known {
		note("%s: there is no feed %x", at, relay.Feed)
		return
	}
	if relay.Refused != operators.NoFault { // it tells no time
		a.passedMarks++
		return
	}
	if relay.Watermark < before {
		note("%s: feed %x has reached %s, after %s", at, relay.Feed, relay.Watermark, before)
	}
	a.heard[to][relay.Feed] = relay.Watermark
	if relay.IsMark() {
		a.passedMarks++
		return
	}
	a.passed++
	in, is := a.inputs[relay.Source]
	delete(a.inputs, relay.Source)
	line := way{relay.Feed, to}
	switch reached := in.highest - latenessMs; {
	case !is || in.id != e.ID || in.customer != e.Customer:
		note("%s: event %s of %s is none of the input that is yet to come", at, e.ID, relay.Source)
		return
	case relay.Feed != a.feeds[partition{relay.Source.Topic, relay.Source.Partition}] || relay.Source.Offset <= a.last[line]:
		note("%s: %s comes from feed %x after offset %d", at, relay.Source, relay.Feed, a.last[line])
	case int(to) != a.partitioner.Partition(&kgo.Record{Key: []byte(e.Customer)}, partitions):
		note("%s: %s is in another partition than its customer %s", at, relay.Source, e.Customer)
	case relay.Watermark > reached || in.settled && relay.Watermark < reached:
		note("%s: %s says that its partition has reached %s, and that is %s", at, relay.Source, relay.Watermark, reached)
	}
	a.last[line] = relay.Source.Offset
	least := operators.Never
	for _, watermark := range a.heard[to] {
		least = min(least, watermark)
	}
	a.take(&e, e.Time < least, place(relay.Source.Topic, int64(relay.Source.Partition), relay.Source.Offset))
}

// endStage notes what has not been passed on.
func (a *account) endStage() {
	for at := range a.inputs {
		a.problems = append(a.problems, fmt.Sprintf("the event of %s was not passed on", at))
	}
}

// awaitTold waits until every partition of the topic events has been told the time that the feeds have committed: a feed that has come to its end passes nothing on, and tells the time once a second.
func (b *brokers) awaitTold(ctx context.Context, inputs []string) error {
	committed, err := b.adm.FetchOffsetsForTopics(ctx, application, inputs...)
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return fmt.Errorf("asking what the feeds have committed: %w", err)
	}
	reached := make(map[way]operators.EventTime)
	for _, o := range committed.Sorted() {
		meta, err := task.DecodeFeedMeta(o.Metadata)
		if err != nil {
			return fmt.Errorf("what the feed of %s/%d has committed: %w", o.Topic, o.Partition, err)
		}
		for to := range int32(partitions) {
			reached[way{task.FeedID(meta.InputID, o.Partition), to}] = meta.Watermark
		}
	}
	decoder, err := schemas.NewDecoder(schemas.DecoderConfig{Currency: currency})
	if err != nil {
		return err
	}
	for {
		untold := maps.Clone(reached)
		err := b.read(ctx, eventsOf(application), func(r *kgo.Record) error {
			relay, refusal := decoder.DecodeRelay(sourceOf(r), new(operators.Event))
			if refusal != nil {
				return errors.New(refusal.Detail)
			}
			if at := (way{relay.Feed, r.Partition}); relay.Watermark >= untold[at] {
				delete(untold, at)
			}
			return nil
		})
		if err != nil || len(untold) == 0 {
			return err
		}
		if !pause(ctx, time.Second) {
			return fmt.Errorf("%d of %d times have not been told: %w", len(untold), len(reached), ctx.Err())
		}
	}
}

// replay gives the oracle what the application's first stage has passed on. Its feeds have nothing to do: they stand at the ends of the inputs.
func (b *brokers) replay(ctx context.Context, inputs []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addresses()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(1<<20))
	if err != nil {
		return err
	}
	defer client.Close()
	written := kgo.AbortingFirstErrPromise(client)
	err = b.read(ctx, eventsOf(application), func(r *kgo.Record) error {
		client.Produce(ctx, &kgo.Record{Topic: eventsOf(oracle), Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers}, written.Promise())
		return nil
	})
	if err := errors.Join(err, written.Err()); err != nil {
		return err
	}
	ids, err := b.topicIDs(ctx, inputs)
	if err != nil {
		return err
	}
	var offsets kadm.Offsets
	for _, topic := range inputs {
		ends, err := b.ends(ctx, topic)
		if err != nil {
			return err
		}
		ends.Each(func(o kadm.ListedOffset) {
			meta := task.NewFeedMeta(o.Offset, ids[topic])
			offsets.Add(kadm.Offset{Topic: topic, Partition: o.Partition, At: o.Offset, LeaderEpoch: -1, Metadata: meta.String()})
		})
	}
	return b.adm.CommitAllOffsets(ctx, oracle, offsets)
}

// topicIDs returns Kafka's ids of topics.
func (b *brokers) topicIDs(ctx context.Context, topics []string) (ids map[string][16]byte, err error) {
	ids = make(map[string][16]byte)
	err = again(ctx, func(ctx context.Context) error {
		details, err := b.adm.ListTopics(ctx, topics...)
		if err == nil {
			err = details.Error()
		}
		for _, topic := range topics {
			ids[topic] = [16]byte(details[topic].ID)
		}
		return err
	})
	return ids, err
}
