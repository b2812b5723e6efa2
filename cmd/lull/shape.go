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

// shapeOffsetsMax is how many offsets of each partition of a changelog are looked through for what the state was made with. It is written with the first transaction, and stays
// there when the changelog is compacted.
const shapeOffsetsMax = 100_000

// readShape returns what an application's state was made with, nil if there is none or it does not say so.
func readShape(ctx context.Context, s *pipeline.Settings, prefix string) (task.Shape, error) {
	client, err := newClient(ctx, s, readOptions()...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	topic := prefix + pipeline.ChangelogTopic
	spans, err := topicSpans(ctx, kadm.NewClient(client), topic)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for n, of := range spans {
		spans[n] = span{of.start, min(of.end, of.start+shapeOffsetsMax)}
	}
	var shape task.Shape
	found := errors.New("it has been found")
	err = readSpans(ctx, client, topic, spans, func(r *kgo.Record) error {
		if string(r.Key) != string(task.ShapeKey) || r.Value == nil {
			return nil
		}
		var err error
		if shape, err = task.DecodeShape(r.Value); err != nil {
			return fmt.Errorf("topic %q, partition %d, offset %d: %w", topic, r.Partition, r.Offset, err)
		}
		return found
	})
	if err != nil && !errors.Is(err, found) && !errors.Is(err, errNothingMore) {
		return nil, err
	}
	return shape, nil
}
