package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

// feed are the events of a run that come at a fixed rate, whether those before them have been answered or not. A change of segment answers the event that it names as its cause. Latency is the
// time from the instant at which the event was due, even if it could not be sent then, to the receipt of the first such change by a reader of committed records.
//
// Its goroutines are send and receive; stop waits for both. mu guards what they share.
type feed struct {
	r        *peersRun
	topic    string
	consumer *kgo.Client
	ended    sync.WaitGroup
	cancel   context.CancelFunc
	failed   chan error // holds the first error

	mu        sync.Mutex
	due       map[string]time.Time // of the events of the second half that have not been answered
	latencies []time.Duration
}

// startFeed begins to send the events to the input topic of an application.
func startFeed(r *peersRun, s *pipeline.Settings) (*feed, error) {
	f := &feed{r: r, topic: s.Input.Topic, due: make(map[string]time.Time), failed: make(chan error, 2)}
	g, err := NewGenerator(r.generator)
	if err != nil {
		return nil, err
	}
	f.consumer, err = kgo.NewClient(kgo.SeedBrokers(r.b.brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(s.Topic(pipeline.SegmentsTopic)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("configuring the Kafka client: %w", err)
	}
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(r.ctx)
	for _, work := range []func(context.Context) error{func(ctx context.Context) error { return f.send(ctx, g) }, f.receive} {
		f.ended.Go(func() {
			if err := work(ctx); err != nil && ctx.Err() == nil {
				f.failed <- err
			}
		})
	}
	return f, nil
}

// stop ends both goroutines, and returns the latencies.
func (f *feed) stop() ([]time.Duration, error) {
	f.cancel()
	f.ended.Wait()
	f.consumer.Close()
	select {
	case err := <-f.failed:
		return nil, err
	default:
	}
	return f.latencies, nil
}

// send sends each event when it is due, and the marks behind the last.
func (f *feed) send(ctx context.Context, g *Generator) error {
	began := time.Now()
	first := kgo.AbortingFirstErrPromise(f.r.b.client)
	last := operators.Unset
	var e operators.Event
	for n := 0; g.Next(&e); n++ {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(f.r.rate))
		if wait := time.Until(due); wait > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
		}
		value, err := schemas.EncodeEvent(nil, &e, "USD")
		if err != nil {
			return err
		}
		last = max(last, e.Time)
		if float64(n) >= warmShare*float64(f.r.generator.Events) {
			f.mu.Lock()
			f.due[e.ID] = due
			f.mu.Unlock()
		}
		f.r.b.client.Produce(ctx, &kgo.Record{Topic: f.topic, Key: []byte(e.Customer), Value: value}, first.Promise())
	}
	if err := errors.Join(f.r.b.client.Flush(ctx), first.Err()); err != nil {
		return fmt.Errorf("producing the events: %w", err)
	}
	return f.r.mark(f.topic, f.r.silent(last))
}

// receive reads the changes of segments.
func (f *feed) receive(ctx context.Context) error {
	for {
		fetches := f.consumer.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return fmt.Errorf("reading the segments: %w", err)
		}
		received := time.Now()
		for record := range fetches.RecordsAll() {
			if err := f.take(record.Value, received); err != nil {
				return err
			}
		}
	}
}

// take takes in a change of segment.
func (f *feed) take(value []byte, received time.Time) error {
	var change struct {
		Cause struct {
			EventID *string `avro:"event_id"`
		} `avro:"cause"`
	}
	if err := schemas.DecodeInto(schemas.Segments, value, &change); err != nil || change.Cause.EventID == nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if due, waiting := f.due[*change.Cause.EventID]; waiting {
		delete(f.due, *change.Cause.EventID)
		f.latencies = append(f.latencies, received.Sub(due))
	}
	return nil
}
