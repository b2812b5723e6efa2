package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline"
)

// copyTopic is where the floor writes, below the prefix.
const copyTopic = "copy"

// runCopy is the floor: the same records, consumed and produced again in transactions as long as the pipeline's, without looking into them. No program that
// reads the input and writes exactly once can use less with the same client.
func runCopy(ctx context.Context, s *pipeline.Settings) error {
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(s.Brokers...),
		kgo.ConsumerGroup(s.Group),
		kgo.ConsumeTopics(s.Input.Topic),
		kgo.TransactionalID(s.Group+"/"+s.Instance),
		kgo.TransactionTimeout(s.Commit.Timeout),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// As the pipeline has them.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.MetadataMinAge(100*time.Millisecond),
		kgo.FetchMaxBytes(32<<20),
		kgo.FetchMaxWait(s.Commit.Interval),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(0),
		kgo.BrokerMaxWriteBytes(100<<20),
		kgo.MaxBufferedRecords(1<<20),
		kgo.RequiredAcks(kgo.AllISRAcks()),
	)
	if err != nil {
		return fmt.Errorf("configuring the copy: %w", err)
	}
	defer session.Close()
	topic := s.Topic(copyTopic)
	for {
		fetches := session.PollRecords(ctx, s.Commit.Records)
		if ctx.Err() != nil {
			return nil
		}
		if err := session.Begin(); err != nil {
			return fmt.Errorf("beginning a transaction: %w", err)
		}
		until, cancel := context.WithTimeout(ctx, s.Commit.Interval)
		for fetches.NumRecords() > 0 {
			for r := range fetches.RecordsAll() {
				// A record that fails makes the End below abort.
				session.Produce(context.Background(), &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: r.Headers}, nil)
			}
			fetches = session.PollRecords(until, s.Commit.Records)
		}
		cancel()
		committed, err := session.End(context.Background(), kgo.TryCommit)
		if err != nil {
			return fmt.Errorf("ending a transaction: %w", err)
		}
		if !committed {
			return fmt.Errorf("a transaction of the copy was aborted: the measurement is void")
		}
	}
}
