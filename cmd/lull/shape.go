package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline"
	"lull/pipeline/task"
)

// readShape returns what an application's state was made with, or is to be made with by who has claimed the prefix and applied nothing yet; nil if there is none or it does not say so. A state that was forgotten and made
// anew leaves the earlier shape in the changelog until that is compacted: what counts is the one that the newest transaction was made with.
func readShape(ctx context.Context, s *pipeline.Settings, prefix string) (task.Shape, error) {
	topic := prefix + pipeline.ChangelogTopic
	newest, spans, err := newestMeta(ctx, s, topic)
	if err != nil || spans == nil {
		return nil, err
	}
	partition, meant := int32(0), func(task.Shape) bool { return true } // a claim
	if newest != nil {
		meta, err := task.DecodeMeta(newest.Value)
		if err != nil {
			return nil, fmt.Errorf("topic %q, partition %d, offset %d: %w", topic, newest.Partition, newest.Offset, err)
		}
		partition, meant = newest.Partition, func(shape task.Shape) bool { return shape.Fingerprint() == meta.Settings }
	}
	client, err := newClient(ctx, s, readOptions()...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var shape task.Shape
	found := errors.New("it has been found") //lull:unread it ends the reading, and goes no further
	// It was written by the claim, or with the partition's first transaction of that state, mostly at the start.
	err = readSpans(ctx, client, topic, map[int32]span{partition: spans[partition]}, func(r *kgo.Record) error {
		if string(r.Key) != string(task.ShapeKey) || r.Value == nil {
			return nil
		}
		is, err := task.DecodeShape(r.Value)
		if err != nil {
			return fmt.Errorf("topic %q, partition %d, offset %d: %w", topic, r.Partition, r.Offset, err)
		}
		if !meant(is) {
			return nil
		}
		shape = is
		return found
	})
	if err != nil && !errors.Is(err, found) && !errors.Is(err, errNothingMore) {
		return nil, err
	}
	return shape, nil
}

// newestMeta returns the newest meta record of a changelog, which every transaction writes, and what is in the topic; nil if there is none.
func newestMeta(ctx context.Context, s *pipeline.Settings, topic string) (*kgo.Record, map[int32]span, error) {
	newest := &newestRecords{topic: topic, lines: 1, holds: func(r *kgo.Record) bool { return string(r.Key) == string(task.MetaKey) && r.Value != nil }}
	for window := int64(1000); ; window *= 8 {
		client, err := newClient(ctx, s, readOptions()...)
		if err != nil {
			return nil, nil, err
		}
		spans, err := topicSpans(ctx, kadm.NewClient(client), topic)
		complete := false
		if err == nil {
			complete, err = newest.read(ctx, client, spans, window)
		}
		client.Close()
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			return nil, nil, nil
		case err != nil:
			return nil, nil, err
		case !complete:
			continue
		}
		if records := newest.take(); len(records) > 0 {
			return records[0], spans, nil
		}
		return nil, spans, nil
	}
}
