package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

// copyTopic and logTopic are where the floors write, below the prefix.
const (
	copyTopic = "copy"
	logTopic  = "copy-changelog"
)

// floor is a program that does nothing of the job but what nobody can do without: the same records, consumed and produced again in transactions as long as the
// pipeline's. No program that reads the input and writes exactly once can use less with the same client.
type floor string

// The floors.
const (
	copyFloor floor = "copy"      // without looking into the records
	logFloor  floor = "changelog" // and each record once more into a compacted topic
	avroFloor floor = "avro"      // each event decoded and encoded again
)

// recoder decodes an event and encodes it again.
type recoder struct {
	decoder *schemas.Decoder
	event   operators.Event
}

// recode returns the value of a record, made anew from its event.
func (c *recoder) recode(r *kgo.Record) ([]byte, error) {
	source := schemas.Source{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, AppendTime: operators.EventTime(r.Timestamp.UnixMilli()), Key: r.Key, Value: r.Value,
	}
	if refused := c.decoder.Decode(&source, &c.event); refused != nil {
		return nil, fmt.Errorf("the event at offset %d of partition %d was refused: %s: %s", r.Offset, r.Partition, refused.Reason, refused.Detail)
	}
	return schemas.EncodeEvent(nil, &c.event, "USD")
}

// runFloor runs a floor until the context ends.
func runFloor(ctx context.Context, s *pipeline.Settings, what floor) error {
	decoder, err := schemas.NewDecoder(schemas.DecoderConfig{})
	if err != nil {
		return err
	}
	recoder := recoder{decoder: decoder}
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
	topic, log := s.Topic(copyTopic), s.Topic(logTopic)
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
				value := r.Value
				if what == avroFloor && value != nil { // a time mark has none
					if value, err = recoder.recode(r); err != nil {
						cancel()
						return err
					}
				}
				// A record that fails makes the End below abort.
				session.Produce(context.Background(), &kgo.Record{Topic: topic, Key: r.Key, Value: value, Headers: r.Headers}, nil)
				if what == logFloor && r.Key != nil {
					session.Produce(context.Background(), &kgo.Record{Topic: log, Key: r.Key, Value: value}, nil)
				}
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
