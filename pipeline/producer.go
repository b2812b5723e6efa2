package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/pipeline/security"
)

// producer makes transactions. Of all that a process writes as a member of its group it is the only one; a transaction whose outcome is not a clear commit ends it, and the next producer
// takes a new epoch, by which Kafka decides what became of the last.
type producer struct {
	s         *Settings
	client    *kgo.Client
	changelog string // its topic
	// promise is produced, made once for all records.
	promise func(*kgo.Record, error)

	mu    sync.Mutex
	err   error           // the first error of a record of the transaction
	ends  map[int32]int64 // by changelog partition: the offset after the last record
	count int             // of records written
	clean bool            // no transaction is under way
	asked bool            // the brokers have been asked to commit the transaction under way, and have not said that they did
}

// transactionalIDs is what the transactional ids of all processes of a group begin with.
func transactionalIDs(group string) string { return group + "/" }

// transactionalID is this process's own, stable over restarts.
func (s *Settings) transactionalID() string { return transactionalIDs(s.Group) + s.Instance }

// ownPartitioner puts changelog records where their task is and what feeds pass on where they say, and all else by the hash of the key that every Kafka client uses.
func (s *Settings) ownPartitioner() kgo.Partitioner {
	byKey := kgo.StickyKeyPartitioner(nil)
	manual := kgo.ManualPartitioner()
	return topicPartitioner(func(topic string) kgo.TopicPartitioner {
		if topic == s.Topic(ChangelogTopic) || topic == s.Topic(EventsTopic) {
			return manual.ForTopic(topic)
		}
		return byKey.ForTopic(topic)
	})
}

type topicPartitioner func(topic string) kgo.TopicPartitioner

// ForTopic implements kgo.Partitioner.
func (p topicPartitioner) ForTopic(topic string) kgo.TopicPartitioner { return p(topic) }

// newProducer returns a producer with an epoch of its own: what its predecessor left open has been decided when it returns.
func newProducer(ctx context.Context, s *Settings, access *security.Access, transactionalID string) (*producer, error) {
	client, err := kgo.NewClient(append(access.Options("lull-"+s.Instance),
		kgo.TransactionalID(transactionalID),
		// At most the session timeout, so that nothing of a dead process blocks longer than its membership.
		kgo.TransactionTimeout(s.Commit.Timeout),
		// With the default of 5 s, CONCURRENT_TRANSACTIONS right after an EndTxn stalls for as long.
		kgo.MetadataMinAge(100*time.Millisecond),
		kgo.RecordPartitioner(s.ownPartitioner()),
		// The transaction ends with a flush, so that nothing is gained by waiting.
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytesFn(s.batchBytes),
		kgo.BrokerMaxWriteBytes(100<<20),
		kgo.MaxBufferedRecords(1<<20),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordDeliveryTimeout(s.Commit.Timeout),
	)...)
	if err != nil {
		return nil, fmt.Errorf("configuring the producer: %w", err)
	}
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("taking a producer epoch for transactional id %q: %w", transactionalID, err)
	}
	p := &producer{s: s, client: client, changelog: s.Topic(ChangelogTopic), ends: make(map[int32]int64), clean: true}
	p.promise = p.produced
	return p, nil
}

// begin begins a transaction.
func (p *producer) begin() error {
	p.err, p.clean, p.asked, p.count = nil, false, false, 0
	clear(p.ends)
	if err := p.client.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	return nil
}

// produce adds a record to the transaction. Its failure is told by commit. It may be called by several goroutines.
func (p *producer) produce(ctx context.Context, r *kgo.Record) {
	p.client.Produce(ctx, r, p.promise)
}

// produced notes what became of a record.
func (p *producer) produced(r *kgo.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if p.err == nil {
			p.err = fmt.Errorf("producing to topic %q: %w", r.Topic, err)
		}
		return
	}
	p.count++
	if r.Topic == p.changelog {
		p.ends[r.Partition] = max(p.ends[r.Partition], r.Offset+1)
	}
}

// committing is how far a transaction has come in a partition.
type committing struct {
	topicPartition
	topicID  [16]byte
	position kgo.EpochOffset
	metadata string // of the offset; "" of a task's, which writes a meta record to the changelog
}

// commit commits the records and, as the member of the group that is is asked for, the positions, if there are any. Only a nil error means committed; after
// any other the outcome is unknown and the producer of no more use. ends gives, by partition, the changelog offset after the transaction's last record.
func (p *producer) commit(ctx context.Context, is func() (member, error), positions []committing) (ends map[int32]int64, err error) {
	if err := p.client.Flush(ctx); err != nil {
		return nil, fmt.Errorf("flushing a transaction: %w", err)
	}
	if err := p.written(positions); err != nil {
		return nil, err
	}
	if len(positions) > 0 {
		if err := p.addOffsets(ctx, is, positions); err != nil {
			return nil, err
		}
	}
	p.asked = true
	if err := CommitTransaction(ctx, p.client); err != nil {
		return nil, fmt.Errorf("ending a transaction: %w", err)
	}
	p.clean, p.asked = true, false
	return p.ends, nil
}

// written returns an error unless all records have been written, and a changelog record of every task is among them. Without any record the client
// ends a transaction by itself and answers that all is well, whatever has been added to it by hand.
func (p *producer) written(positions []committing) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return p.err
	}
	for _, at := range positions {
		if _, ok := p.ends[at.n]; !ok && at.metadata == "" {
			//lull:unread it would be a fault of the program
			return fmt.Errorf("no changelog record of partition %d is in the transaction", at.n)
		}
	}
	if p.count == 0 {
		//lull:unread it would be a fault of the program
		return errors.New("no record is in the transaction")
	}
	return nil
}

// member is this process in its group.
type member struct {
	id         string
	generation int32
}

// addOffsets makes the positions part of the transaction. kgo exports no call for it that takes the positions that were applied rather than
// those that were polled, so the two requests are made by hand (KIP-98, KIP-447).
//
// A rebalance may give the group its next generation before this process has heard of it. The member then asks who it is again: as long as it is the
// same one, it owns what it has not given up, and no other can have got that (ADR 7).
func (p *producer) addOffsets(ctx context.Context, is func() (member, error), positions []committing) error {
	id, epoch, err := p.client.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("reading the producer epoch: %w", err)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.Group, add.ProducerID, add.ProducerEpoch = p.s.transactionalID(), p.s.Group, id, epoch
	err = p.retry(ctx, func() error {
		resp, err := add.RequestWith(ctx, p.client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.ErrorCode)
	})
	if err != nil {
		return fmt.Errorf("adding the offsets of group %q to a transaction: %w", p.s.Group, err)
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.Group, commit.ProducerID, commit.ProducerEpoch = add.TransactionalID, add.Group, id, epoch
	commit.InstanceID = kmsg.StringPtr(p.s.Instance)
	for _, at := range positions {
		i := slices.IndexFunc(commit.Topics, func(t kmsg.TxnOffsetCommitRequestTopic) bool { return t.Topic == at.topic })
		if i < 0 {
			topic := kmsg.NewTxnOffsetCommitRequestTopic()
			topic.Topic, topic.TopicID = at.topic, at.topicID
			i, commit.Topics = len(commit.Topics), append(commit.Topics, topic)
		}
		entry := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		entry.Partition, entry.Offset, entry.LeaderEpoch = at.n, at.position.Offset, at.position.Epoch
		if at.metadata != "" {
			entry.Metadata = &at.metadata
		}
		commit.Topics[i].Partitions = append(commit.Topics[i].Partitions, entry)
	}
	err = p.retry(ctx, func() error {
		m, err := is()
		if err != nil {
			return err
		}
		commit.MemberID, commit.Generation = m.id, m.generation
		resp, err := commit.RequestWith(ctx, p.client)
		if err != nil {
			return err
		}
		for _, t := range resp.Topics {
			for _, r := range t.Partitions {
				if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
					return fmt.Errorf("partition %d of topic %q: %w", r.Partition, t.Topic, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("committing the offsets of group %q in a transaction: %w", p.s.Group, err)
	}
	return nil
}

// retry repeats a request that the coordinator cannot take just now, or not of this generation. Both requests may be repeated without harm.
func (p *producer) retry(ctx context.Context, request func() error) error {
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		err := request()
		if !errors.Is(err, kerr.ConcurrentTransactions) && !errors.Is(err, kerr.CoordinatorLoadInProgress) &&
			!errors.Is(err, kerr.NotCoordinator) && !errors.Is(err, kerr.CoordinatorNotAvailable) && !errors.Is(err, kerr.IllegalGeneration) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// close gives the producer up.
func (p *producer) close() {
	if !p.clean {
		p.client.UnsafeAbortBufferedRecords()
	}
	p.client.Close()
}
