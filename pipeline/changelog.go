package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// tailOffsetsMax is the longest piece of a changelog that is read at once. More waits for a turn: one partition after the other is ready
	// sooner on average, and the memory that restores share is enough for each to be written as one table.
	tailOffsetsMax = 50_000
	// changelogFetchBytes is what is asked for at once. Decompressed and decoded it takes some eight times as much, twice for each restore.
	changelogFetchBytes = 1 << 20
	// changelogFetchWait is how long the brokers may wait with an answer while nothing new is stable.
	changelogFetchWait = 100 * time.Millisecond
	// progressInterval is how often a restore says how far it is.
	progressInterval = 5 * time.Second
)

// readChangelog applies the committed changelog records of p from one offset until the last stable offset has passed end.
func (r *Runner) readChangelog(ctx context.Context, p *partition, rs *restore, from, end int64) (err error) {
	pr := progress{from: from, next: from, end: end}
	rs.set(pr)
	if end-from > tailOffsetsMax {
		select {
		case r.turns <- struct{}{}:
			defer func() { <-r.turns }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	reading, stop := context.WithCancel(ctx)
	batches := r.fetchChangelog(reading, p.n, from, end)
	defer func() {
		stop()
		for range batches { // until the fetching has ended
		}
		if endErr := p.store.EndRestore(pr.next); endErr != nil && err == nil {
			err = fmt.Errorf("restoring changelog partition %d: %w", p.n, endErr)
		}
		if err == nil {
			r.logProgress(p.n, &pr, "restored from the changelog")
		}
	}()
	pr.began = time.Now()
	told := pr.began
	for pr.next < end {
		batch, ok := <-batches
		if !ok {
			return ctx.Err()
		}
		if batch.err != nil {
			return fmt.Errorf("reading partition %d of topic %q from offset %d: %w", p.n, r.s.Topic(ChangelogTopic), pr.next, batch.err)
		}
		for _, record := range batch.records {
			if err := p.store.Restore(record.Key, record.Value, record.Offset+1); err != nil {
				return fmt.Errorf("restoring changelog partition %d, offset %d: %w", p.n, record.Offset, err)
			}
			pr.bytes += int64(len(record.Key) + len(record.Value))
		}
		pr.next = batch.next
		rs.set(pr)
		if time.Since(told) > progressInterval {
			told = time.Now()
			r.logProgress(p.n, &pr, "restoring")
		}
	}
	return nil
}

func (r *Runner) logProgress(partition int32, pr *progress, message string) {
	now := time.Now()
	offsets, bytes := pr.perSecond(now)
	entry := r.log.Info().Int32("partition", partition).Int64("from", pr.from).Int64("offset", pr.next).Int64("end", pr.end).
		Dur("took", now.Sub(pr.began)).Int64("bytes", pr.bytes).Int64("records_per_second", int64(offsets)).Int64("bytes_per_second", int64(bytes))
	if left, ok := pr.left(now); ok && pr.next < pr.end {
		entry = entry.Int("percent", int(100*pr.share())).Dur("left", left)
	}
	entry.Msg(message)
}

// batch is what one request has brought.
type batch struct {
	records []*kgo.Record
	next    int64 // the offset to go on from: markers and aborted records are passed
	err     error
}

// fetchChangelog reads a changelog partition until end has been passed or something fails, one answer ahead of who takes them. The channel is closed
// when it has ended.
//
// The requests are made by hand: a consuming client would be one for each partition, with connections and metadata of its own, or would have to be
// told of every partition that comes and goes, and holds more in memory.
func (r *Runner) fetchChangelog(ctx context.Context, partition int32, from, end int64) <-chan batch {
	batches := make(chan batch, 1)
	go func() {
		defer close(batches)
		leader, err := r.changelogLeader(ctx, partition)
		for next := from; next < end; {
			b := batch{next: next, err: err}
			if err == nil {
				b = r.fetchBatch(ctx, leader, partition, next)
			}
			select {
			case batches <- b:
			case <-ctx.Done():
				return
			}
			if b.err != nil {
				return
			}
			next = b.next
		}
	}()
	return batches
}

// changelogLeader returns the broker that leads a partition of the changelog.
func (r *Runner) changelogLeader(ctx context.Context, partition int32) (*kgo.Broker, error) {
	topic := r.s.Topic(ChangelogTopic)
	topics, err := r.adm.ListTopics(ctx, topic)
	if err == nil {
		err = topics.Error()
	}
	if err == nil {
		err = topics[topic].Partitions[partition].Err
	}
	if err != nil {
		return nil, fmt.Errorf("asking for its leader: %w", err)
	}
	return r.client.Broker(int(topics[topic].Partitions[partition].Leader)), nil
}

func (r *Runner) fetchBatch(ctx context.Context, leader *kgo.Broker, partition int32, from int64) batch {
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = r.s.Topic(ChangelogTopic), r.ids.changelog
	asked := kmsg.NewFetchRequestTopicPartition()
	asked.Partition, asked.FetchOffset, asked.PartitionMaxBytes = partition, from, changelogFetchBytes
	topic.Partitions = append(topic.Partitions, asked)
	request := kmsg.NewPtrFetchRequest()
	request.MaxWaitMillis, request.MinBytes, request.MaxBytes = int32(changelogFetchWait.Milliseconds()), 1, changelogFetchBytes
	request.IsolationLevel = 1 // read committed
	request.Topics = append(request.Topics, topic)
	answer, err := leader.Request(ctx, request) // who retries asks for the leader again
	if err != nil {
		return batch{err: err}
	}
	response := answer.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return batch{err: err}
	}
	if len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
		//lull:unread no broker does
		return batch{err: errors.New("the broker answers for other partitions than it was asked for")}
	}
	options := kgo.ProcessFetchPartitionOpts{Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: topic.Topic, Partition: partition}
	fetched, next := kgo.ProcessFetchPartition(options, &response.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	return batch{fetched.Records, next, fetched.Err}
}
