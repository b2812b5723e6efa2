package pipeline

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestCommitAfterPartitions proves that a transaction is ended no earlier than the client has noted which partitions it wrote to: the first of a topic of a client,
// acknowledged before that, would be aborted, with no error. When that happens is up to the scheduler, once in some hundred transactions on a busy machine, so
// the test reads in the client's log that it was waited for.
func TestCommitAfterPartitions(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	const waits, ends = "producer state set to aborting", "ending transaction"
	var log clientLog
	client := c.newClient(kgo.TransactionalID(s.transactionalID()), kgo.WithLogger(&log), kgo.MetadataMinAge(100*time.Millisecond), kgo.UnknownTopicRetries(-1))
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: s.Topic(ChangelogTopic), Key: []byte("k"), Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := CommitTransaction(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	waited, ended := log.index(waits), log.index(ends)
	if waited < 0 || ended < waited {
		t.Errorf("the transaction was ended (line %d of the client's log) before, or without, a wait for the partitions (line %d)", ended, waited)
	}
	if log.index("issuing an abort") >= 0 {
		t.Error("the transaction was aborted")
	}
}

// clientLog is what a client logs.
type clientLog struct {
	mu    sync.Mutex
	lines []string
}

// Level implements kgo.Logger.
func (*clientLog) Level() kgo.LogLevel { return kgo.LogLevelInfo }

// Log implements kgo.Logger.
func (l *clientLog) Log(_ kgo.LogLevel, line string, _ ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

// index returns the number of the first line that contains the text, -1 if none does.
func (l *clientLog) index(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.IndexFunc(l.lines, func(line string) bool { return strings.Contains(line, text) })
}

// TestEndOfNothing proves that a transaction without a changelog record is not taken for committed. The client ends a transaction that no record of which has
// been written without asking the broker for it, and says so with no error: the positions added to it by hand would count as committed, and
// the broker would abort them when they time out.
func TestEndOfNothing(t *testing.T) {
	c := newCluster(t)
	s := c.application(2)
	p, err := newProducer(t.Context(), &s, c.access(), s.transactionalID())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	topics, err := c.adm.ListTopics(t.Context(), s.Input.Topic)
	if err != nil {
		t.Fatal(err)
	}
	nobody := func() (member, error) { return member{"", -1}, nil } // of a group without members anybody may commit
	commit := func(records ...*kgo.Record) (map[int32]int64, error) {
		if err := p.begin(); err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			p.produce(t.Context(), r)
		}
		var positions []committing
		for n, offset := range []int64{5, 7} {
			positions = append(positions, committing{
				topicPartition: topicPartition{s.Input.Topic, int32(n)}, topicID: topics[s.Input.Topic].ID, position: kgo.EpochOffset{Epoch: -1, Offset: offset},
			})
		}
		return p.commit(t.Context(), nobody, positions)
	}
	meta := func(partition int32) *kgo.Record {
		return &kgo.Record{Topic: s.Topic(ChangelogTopic), Partition: partition, Key: []byte("k"), Value: []byte("v")}
	}
	for _, records := range [][]*kgo.Record{nil, {meta(0)}} {
		if ends, err := commit(records...); err == nil || !strings.Contains(err.Error(), "no changelog record of partition") {
			t.Errorf("a transaction of %d changelog records for two partitions: %v, %v", len(records), ends, err)
		}
		p.close()
		if p, err = newProducer(t.Context(), &s, c.access(), s.transactionalID()); err != nil {
			t.Fatal(err)
		}
	}
	fetch := func() kgo.EpochOffset {
		for {
			at, _, err := CommittedOffset(t.Context(), c.client, s.Group, s.Input.Topic, 1)
			if err == nil || errors.Is(err, kerr.GroupIDNotFound) {
				return at
			}
			if !kerr.IsRetriable(err) { // the group's first coordinator is being made, or the transaction's markers are on their way
				t.Fatal(err)
			}
		}
	}
	if committed := fetch(); committed != noOffset {
		t.Errorf("committed offset: %v", committed)
	}
	if ends, err := commit(meta(0), meta(1)); err != nil || len(ends) != 2 {
		t.Errorf("a transaction that has them: %v, %v", ends, err)
	}
	if committed := fetch(); committed.Offset != 7 {
		t.Errorf("committed offset: %v", committed)
	}
}

// TestCommittedOffsetOfNoTopic proves that a committed offset is not taken for none if the client could not learn the topic's id, by which brokers are asked: it then asks for no topic at all.
func TestCommittedOffsetOfNoTopic(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	ask := func(asked func(client *kgo.Client)) (kgo.EpochOffset, error) {
		client, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.RequestRetries(0))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		asked(client)
		at, _, err := CommittedOffset(t.Context(), client, "lull", "events", 0)
		return at, err
	}
	known := func(client *kgo.Client) {
		if err := kadm.NewClient(client).CommitAllOffsets(t.Context(), "lull", kadm.OffsetsFromRecords(kgo.Record{Topic: "events", Offset: 6})); err != nil {
			t.Fatal(err)
		}
	}
	if at, err := ask(known); err != nil || at.Offset != 7 {
		t.Errorf("offset %v, %v", at, err)
	}
	unknown := func(*kgo.Client) {
		fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "events", Err: kerr.LeaderNotAvailable, Count: -1})
	}
	if at, err := ask(unknown); !errors.Is(err, kerr.UnknownTopicID) {
		t.Errorf("offset %v, %v", at, err)
	}
}
