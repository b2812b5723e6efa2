package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/schemas"
)

// feed produces the shop's records, from start to stop, whatever happens to the brokers.
type feed struct {
	shop   *shop
	staged bool
	client *kgo.Client
	cancel context.CancelFunc
	done   chan struct{} // closed when the last record has been handed to the client

	mu        sync.Mutex
	err       error
	delivered int64
}

// startFeed starts to produce so many records a second.
func startFeed(b *brokers, o *options) (*feed, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(b.addresses()...),
		// Idempotence, which is the client's default, with all replicas asked and no limit to retries: each record is there once, in order.
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.UnknownTopicRetries(-1),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(5*time.Millisecond),
		kgo.MetadataMinAge(100*time.Millisecond),
		kgo.MaxBufferedRecords(1<<20),
	)
	if err != nil {
		return nil, fmt.Errorf("configuring the producer: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &feed{shop: newShop(o.seed, o.staged()), staged: o.staged(), client: client, cancel: cancel, done: make(chan struct{})}
	go f.run(ctx, o.rate)
	return f, nil
}

func (f *feed) run(ctx context.Context, rate int) {
	defer close(f.done)
	const ticks = 50 // a second
	ticker := time.NewTicker(time.Second / ticks)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for range max(1, rate/ticks) {
			m, err := f.shop.next()
			if err != nil {
				f.note(err)
				return
			}
			f.client.Produce(context.Background(), m.record(f.staged), func(_ *kgo.Record, err error) { f.note(err) })
		}
	}
}

// note counts a delivery, or keeps the first error.
func (f *feed) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.delivered++
	} else if f.err == nil {
		f.err = fmt.Errorf("producing the input: %w", err)
	}
}

// finish stops the shop, waits for the last deliveries and writes the final time mark to every partition of the topics. records are those of the whole input.
func (f *feed) finish(ctx context.Context, b *brokers, topics []string) (records int64, err error) {
	f.cancel()
	<-f.done
	if err := f.client.Flush(ctx); err != nil {
		return 0, fmt.Errorf("producing the last of the input: %w", err)
	}
	if f.err != nil {
		return 0, f.err
	}
	marker, err := kgo.NewClient(kgo.SeedBrokers(b.addresses()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return 0, err
	}
	defer marker.Close()
	at := (f.shop.now + closesAfter).String()
	var marks []*kgo.Record
	for _, topic := range topics {
		for n := range partitions {
			marks = append(marks, &kgo.Record{Topic: topic, Partition: int32(n), Headers: []kgo.RecordHeader{{Key: schemas.TimeMarkHeader, Value: []byte(at)}}})
		}
	}
	if err := marker.ProduceSync(ctx, marks...).FirstErr(); err != nil {
		return 0, fmt.Errorf("producing the time marks: %w", err)
	}
	return f.delivered + int64(len(marks)), nil
}

func (f *feed) close() {
	f.cancel()
	<-f.done
	f.client.Close()
}
