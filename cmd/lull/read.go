package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// span is a range of a partition's offsets: from start up to, not including, end.
type span struct{ start, end int64 }

// fetchWait is how long a broker keeps a reader waiting that has read all there is.
const fetchWait = 500 * time.Millisecond

// askAgain is how long is waited before a transaction is asked after again that has not ended.
const askAgain = 50 * time.Millisecond

// readOptions are those of consumers for readSpans: what has been committed, and the ends of transactions, which show where the reader is.
func readOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(fetchWait),
		kgo.FetchMaxBytes(16 << 20),
		// By partition, not by that of all: kfake leaves out which transactions were aborted where the limit of all ends its answer.
		kgo.FetchMaxPartitionBytes(128 << 10),
	}
}

// topicSpans returns, by partition, the offsets of all that is in the topic. The end is the high watermark: right after a commit the ends of
// transactions may still be on their way, and the last stable offset below what is committed. The error of a topic that does not exist wraps
// kerr.UnknownTopicOrPartition.
func topicSpans(ctx context.Context, adm *kadm.Client, topic string) (map[int32]span, error) {
	return spansUntil(ctx, adm.ListEndOffsets, adm, topic)
}

// stableSpans is topicSpans up to the last stable offset: without what is in a transaction that has not ended, for which a reader would have to wait, and it may
// be that of a process that is no more.
func stableSpans(ctx context.Context, adm *kadm.Client, topic string) (map[int32]span, error) {
	return spansUntil(ctx, adm.ListCommittedOffsets, adm, topic)
}

// committedSpans is stableSpans with all that was committed before the call, whose ends of transactions may still be on their way: it waits for the last stable offset to pass the high watermark. A transaction that
// stays open for longer than patience, as that of a process that is no more does, bounds the span: it and what came after its beginning are left out, and whole is false.
func committedSpans(ctx context.Context, adm *kadm.Client, topic string, patience time.Duration) (spans map[int32]span, whole bool, err error) {
	all, err := topicSpans(ctx, adm, topic)
	if err != nil {
		return nil, false, err
	}
	for asked := time.Now(); ; {
		stable, err := stableSpans(ctx, adm, topic)
		if err != nil {
			return nil, false, err
		}
		passed := true
		for p, s := range all {
			passed = passed && stable[p].end >= s.end
		}
		if passed || time.Since(asked) >= patience {
			return stable, passed, nil
		}
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-time.After(askAgain):
		}
	}
}

func spansUntil(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), adm *kadm.Client, topic string) (map[int32]span, error) {
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the start of topic %q: %w", topic, err)
	}
	ends, err := list(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the end of topic %q: %w", topic, err)
	}
	spans := make(map[int32]span)
	starts.Each(func(start kadm.ListedOffset) {
		end, _ := ends.Lookup(topic, start.Partition)
		spans[start.Partition] = span{start: start.Offset, end: end.Offset}
	})
	return spans, nil
}

// errNothingMore says that less came than the offsets promise: what stood at the end of a compacted topic is gone, a transaction stays open, or the
// broker is gone.
//
//lull:unread it takes answerTimeout, and no test waits so long
var errNothingMore = errors.New("nothing more comes")

// readSpans calls yield for all records in the spans and those that come with them, in the order of each partition, without the ends of
// transactions. The client then goes on after them; before, it must not have consumed the topic. The error wraps errNothingMore if the end of a
// span is not reached.
func readSpans(ctx context.Context, client *kgo.Client, topic string, spans map[int32]span, yield func(*kgo.Record) error) error {
	offsets := make(map[int32]kgo.Offset)
	left := make(map[int32]bool) // whose end has not been reached
	for p, s := range spans {
		offsets[p] = kgo.NewOffset().At(s.start)
		if s.start < s.end {
			left[p] = true
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
	for len(left) > 0 {
		// A broker that has nothing answers within fetchWait: longer silence is no slowness.
		wait, cancel := context.WithTimeout(ctx, answerTimeout)
		fetches := client.PollFetches(wait)
		silent := wait.Err() != nil && ctx.Err() == nil
		cancel()
		if silent {
			//lull:unread as errNothingMore
			return fmt.Errorf("reading topic %q: for %s %w, short of the end of %d partitions", topic, answerTimeout, errNothingMore, len(left))
		}
		if err := fetchError(ctx, fetches); err != nil {
			return err
		}
		for r := range fetches.RecordsAll() {
			s := spans[r.Partition]
			if !r.Attrs.IsControl() {
				if err := yield(r); err != nil {
					return err
				}
			}
			if r.Offset+1 >= s.end { // or what comes after the end, if what stood there has been compacted away
				delete(left, r.Partition)
			}
		}
	}
	return nil
}

// fetchError returns the first error of a poll that the client does not mend by itself.
func fetchError(ctx context.Context, fetches kgo.Fetches) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, e := range fetches.Errors() {
		return fmt.Errorf("reading partition %d of topic %q: %w", e.Partition, e.Topic, e.Err)
	}
	return nil
}
