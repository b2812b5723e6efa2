package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

const (
	inputTopic = "events"
	partitions = 8
)

// broker is the embedded broker, in this process, with its data on disk; or real ones that run elsewhere.
type broker struct {
	cluster *kfake.Cluster // nil: real ones
	brokers []string
	client  *kgo.Client
	adm     *kadm.Client
}

func startBroker(dir string) (*broker, error) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(filepath.Join(dir, "broker")))
	if err != nil {
		return nil, fmt.Errorf("starting the broker: %w", err)
	}
	b, err := connect(cluster.ListenAddrs())
	if err != nil {
		cluster.Close()
		return nil, err
	}
	b.cluster = cluster
	return b, nil
}

// connect returns brokers that run already.
func connect(brokers []string) (*broker, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.MetadataMinAge(100*time.Millisecond),
		kgo.UnknownTopicRetries(-1), // a topic that has just been created is not known everywhere at once
	)
	if err != nil {
		return nil, fmt.Errorf("configuring the Kafka client: %w", err)
	}
	return &broker{brokers: brokers, client: client, adm: kadm.NewClient(client)}, nil
}

func (b *broker) close() {
	b.client.Close()
	if b.cluster != nil {
		b.cluster.Close()
	}
}

// settings returns those of an application of its own. All but what stands here are the defaults.
func (b *broker) settings(name, stateDir string) pipeline.Settings {
	s := pipeline.Settings{
		Brokers: b.brokers, Prefix: name + ".", Instance: "bench",
		Input: pipeline.InputSettings{Topic: inputTopic}, State: pipeline.StateSettings{Dir: stateDir},
		HTTP: pipeline.HTTPSettings{Listen: "127.0.0.1:0"},
		// The events are of the past: time moves with them.
		Clock: pipeline.ClockSettings{Mode: "event"},
	}
	s.EnsureDefaults()
	return s
}

// input is what was produced.
type input struct {
	events      int
	bytes       int64 // keys and values
	customers   int   // that have an event
	kinds       [operators.EventKinds + 1]int
	first, last operators.EventTime
	took        time.Duration
}

// createInput creates the input topic, and waits until brokers know it: they are told after who asked for it.
func (b *broker) createInput(ctx context.Context, topic string) error {
	if _, err := b.adm.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		return fmt.Errorf("creating topic %q: %w", topic, err)
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		topics, err := b.adm.ListTopics(ctx, topic)
		if err != nil {
			return fmt.Errorf("looking for topic %q: %w", topic, err)
		}
		if known, ok := topics[topic]; ok && known.Err == nil && len(known.Partitions) == partitions {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// source makes events one after the other; ok is false if there are no more.
type source interface {
	Next(into *operators.Event) (ok bool)
}

// produce writes a source's next events into an input topic, at most n of them.
func (b *broker) produce(ctx context.Context, topic string, g source, n int) (*input, error) {
	in := &input{first: operators.Never, last: operators.Unset}
	seen := make(map[string]struct{})
	began := time.Now()
	var e operators.Event
	first := kgo.AbortingFirstErrPromise(b.client)
	for in.events < n && g.Next(&e) {
		value, err := schemas.EncodeEvent(nil, &e, "USD")
		if err != nil {
			return nil, err
		}
		in.events++
		in.bytes += int64(len(e.Customer) + len(value))
		in.kinds[e.Kind]++
		in.first, in.last = min(in.first, e.Time), max(in.last, e.Time)
		seen[e.Customer] = struct{}{}
		b.client.Produce(ctx, &kgo.Record{Topic: topic, Key: []byte(e.Customer), Value: value}, first.Promise())
	}
	if err := b.client.Flush(ctx); err != nil {
		return nil, fmt.Errorf("producing the events: %w", err)
	}
	if err := first.Err(); err != nil {
		return nil, fmt.Errorf("producing the events: %w", err)
	}
	in.customers, in.took = len(seen), time.Since(began)
	return in, nil
}

// prepare creates the topics of an application and puts a model in force from the beginning.
func (b *broker) prepare(ctx context.Context, s *pipeline.Settings, m *operators.Model) error {
	if _, err := pipeline.CreateTopics(ctx, *s, 0); err != nil {
		return err
	}
	return b.putModel(ctx, s, m)
}

// putModel publishes a model.
func (b *broker) putModel(ctx context.Context, s *pipeline.Settings, m *operators.Model) error {
	key, value, err := schemas.EncodeModel(m)
	if err != nil {
		return err
	}
	record := &kgo.Record{Topic: s.Topic(pipeline.ModelsTopic), Key: key, Value: value}
	if err := b.client.ProduceSync(ctx, record).FirstErr(); err != nil {
		return fmt.Errorf("putting the model: %w", err)
	}
	return nil
}

// model is that of `lull demo`, in days.
var model = operators.Model{
	Version: "cdnow-published", Family: "mbgnbd", R: 0.525, Alpha: 6.183 * 7, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 29.54,
}

// progress says how a group went through the input.
type progress struct {
	total time.Duration // from the start of the process to the commit of the end
	rate  float64       // events a second, from the first commit to the last
}

// await waits until the group has committed the end of the input.
func (b *broker) await(ctx context.Context, group string, events int, c *child) (progress, error) {
	ends, err := b.adm.ListEndOffsets(ctx, inputTopic)
	if err != nil {
		return progress{}, fmt.Errorf("asking for the end of the input: %w", err)
	}
	total := int64(0)
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	if total != int64(events) {
		return progress{}, fmt.Errorf("the input has %d records, want %d", total, events)
	}
	began := time.Now()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	var firstAt time.Time
	for first := int64(0); ; {
		at := int64(0)
		committed, err := b.adm.FetchOffsets(ctx, group)
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // there is none before the child has joined it
			return progress{}, fmt.Errorf("asking for the offsets of group %q: %w", group, err)
		}
		committed.Each(func(o kadm.OffsetResponse) { at += max(0, o.At) })
		if first == 0 && at > 0 {
			first, firstAt = at, time.Now()
		}
		if at >= total {
			now := time.Now()
			return progress{total: now.Sub(began), rate: float64(total-first) / now.Sub(firstAt).Seconds()}, nil
		}
		select {
		case <-ctx.Done():
			return progress{}, ctx.Err()
		case <-c.ended:
			return progress{}, fmt.Errorf("the child has ended by itself, short of the end of the input: %w", c.err)
		case <-ticker.C:
		}
	}
}

// read calls yield for every committed record of a topic.
func (b *broker) read(ctx context.Context, topic string, yield func(*kgo.Record)) error {
	ends, err := b.adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the end of topic %q: %w", topic, err)
	}
	starts, left := make(map[int32]kgo.Offset), make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			starts[o.Partition], left[o.Partition] = kgo.NewOffset().AtStart(), o.Offset
		}
	})
	if len(left) == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the last record may be the end of a transaction
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}))
	if err != nil {
		return err
	}
	defer client.Close()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return fmt.Errorf("reading topic %q: %w", topic, err)
		}
		for r := range fetches.RecordsAll() {
			if !r.Attrs.IsControl() {
				yield(r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		}
	}
	return nil
}
