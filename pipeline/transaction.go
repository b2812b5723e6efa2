package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// noOffset is the committed offset of a partition that has none.
var noOffset = kgo.EpochOffset{Epoch: -1, Offset: -1}

// CommitTransaction commits the client's transaction, whose records have all been acknowledged. Only a nil error means committed; after any other the outcome is unknown.
//
// It is the only place that ends a transaction by a commit. The client hands a topic's first records to the brokers before it notes the topic's partitions, and
// where it knows of no partition that was written to, it aborts the transaction instead and says so with no error (ADR 23).
func CommitTransaction(ctx context.Context, client *kgo.Client) error {
	// With nothing left to abort, this waits for whoever notes partitions just now: it takes the lock that they are noted under.
	if err := client.AbortBufferedRecords(ctx); err != nil {
		return err
	}
	return client.EndTransaction(ctx, kgo.TryCommit)
}

// CommittedOffset asks a group for the committed offset of a partition and its metadata, which no transaction under way can change: with one, the error is
// UNSTABLE_OFFSET_COMMIT (KIP-447). Without a committed offset, at is -1, or the error is GROUP_ID_NOT_FOUND.
func CommittedOffset(ctx context.Context, client *kgo.Client, group, topic string, partition int32) (at kgo.EpochOffset, metadata string, err error) {
	// The partition is asked for by name: of all of a group's partitions, Kafka lists those alone that have an offset already, and would be silent about one
	// whose first is part of a transaction under way.
	ofTopic := kmsg.NewOffsetFetchRequestGroupTopic()
	ofTopic.Topic, ofTopic.Partitions = topic, []int32{partition}
	ofGroup := kmsg.NewOffsetFetchRequestGroup()
	ofGroup.Group, ofGroup.Topics = group, append(ofGroup.Topics, ofTopic)
	req := kmsg.NewPtrOffsetFetchRequest()
	req.RequireStable, req.Groups = true, append(req.Groups, ofGroup)
	resp, err := req.RequestWith(ctx, client)
	if err == nil {
		at, metadata, err = committedOffset(resp, topic)
	}
	if err != nil {
		return noOffset, "", fmt.Errorf("asking for the offset of group %q: %w", group, err)
	}
	return at, metadata, nil
}

// committedOffset reads the answer to a request for the committed offset of one partition of a topic.
func committedOffset(resp *kmsg.OffsetFetchResponse, topic string) (at kgo.EpochOffset, metadata string, err error) {
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return noOffset, "", err
	}
	if len(resp.Groups) == 1 {
		if err := kerr.ErrorForCode(resp.Groups[0].ErrorCode); err != nil {
			return noOffset, "", err
		}
	}
	if len(resp.Groups) != 1 || len(resp.Groups[0].Topics) != 1 || len(resp.Groups[0].Topics[0].Partitions) != 1 {
		//lull:unread no broker does
		return noOffset, "", errors.New("the answer does not name the one partition that was asked for")
	}
	if resp.Groups[0].Topics[0].Topic != topic {
		// Since version 10 a topic is asked for by its id. If the client cannot learn it just then it asks for none, and what is answered, "no offset" of some brokers, is about no topic (ADR 25).
		return noOffset, "", kerr.UnknownTopicID
	}
	partition := resp.Groups[0].Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(partition.ErrorCode); err != nil || partition.Offset < 0 {
		return noOffset, "", err
	}
	if partition.Metadata != nil {
		metadata = *partition.Metadata
	}
	return kgo.EpochOffset{Epoch: partition.LeaderEpoch, Offset: partition.Offset}, metadata, nil
}
