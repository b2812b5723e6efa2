package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/schemas"
)

const (
	// keysLookedAt is how many of the newest records of each partition are looked at, and keysNeeded how many events there must be among all to judge by.
	keysLookedAt, keysNeeded = 50, 20
	// keysLookedFor is how long this may take. Without an answer nothing is refused.
	keysLookedFor = 5 * time.Second
)

// KeysError says that the input is keyed by something else than the customer.
type KeysError struct {
	Topic         string
	Events        int
	Key, Customer string // of one of them
}

func (e *KeysError) Error() string {
	key := fmt.Sprintf("the key %q", e.Key)
	if e.Key == "" {
		key = "no key"
	}
	return fmt.Sprintf("topic %q is not keyed by customer: of the newest %d events none has its customer's id for its key (one has %s, and the customer %q). By the key a customer's events "+
		"are in one partition, and so in one state. Let the producer key its records by the customer's id; or name the topic under inputs instead of input.topic, and lull brings "+
		"each event to its customer's partition", e.Topic, e.Events, key, e.Customer)
}

// checkKeys returns a *KeysError if the newest events of an input that is not lull's own show that it is keyed by something else than the customer: each of
// them would become a dead letter. A few among others do, one by one.
func (r *Runner) checkKeys() error {
	if r.s.Staged() || r.inputs[0].Format == schemas.OwnAvro {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, keysLookedFor)
	defer cancel()
	records, err := r.newestRecords(ctx)
	if err != nil {
		r.log.Debug().Err(err).Msg("looking at the newest keys of the input")
		return nil
	}
	decoder, err := r.newDecoder(r.inputs[0])
	if err != nil {
		return err
	}
	seen := KeysError{Topic: r.s.Input.Topic}
	for _, record := range records {
		event, ok := r.decodeSoon(ctx, decoder, record)
		if !ok {
			continue
		}
		if event.Customer == string(record.Key) {
			return nil
		}
		seen.Events++
		seen.Key, seen.Customer = string(record.Key), event.Customer
	}
	if seen.Events < keysNeeded {
		return nil
	}
	return &seen
}

// decodeSoon decodes a record whatever its key is, once its schema has come; ok is false if it is no event.
func (r *Runner) decodeSoon(ctx context.Context, decoder *schemas.Decoder, record *kgo.Record) (event operators.Event, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false // it becomes a dead letter when its turn comes
		}
	}()
	var source schemas.Source
	setSource(&source, record)
	for {
		refusal := decoder.DecodeKeyless(&source, &event)
		if refusal == nil || refusal.Reason != schemas.ReasonSchemaAwaited || ctx.Err() != nil {
			return event, refusal == nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// newestRecords reads the newest records of every partition of the input.
func (r *Runner) newestRecords(ctx context.Context) (records []*kgo.Record, err error) {
	starts, err := r.adm.ListStartOffsets(ctx, r.s.Input.Topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the input's start: %w", err)
	}
	ends, err := r.adm.ListEndOffsets(ctx, r.s.Input.Topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the input's end: %w", err)
	}
	from, left := make(map[int32]kgo.Offset), make(map[int32]int64)
	for _, end := range sortedOffsets(ends) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if end.Offset > start.Offset {
			from[end.Partition] = kgo.NewOffset().At(max(start.Offset, end.Offset-keysLookedAt))
			left[end.Partition] = end.Offset
		}
	}
	if len(left) == 0 {
		return nil, nil
	}
	client, err := kgo.NewClient(append(r.access.Options("lull-"+r.s.Instance+"-keys"), kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(8<<20), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.s.Input.Topic: from}))...)
	if err != nil {
		return nil, fmt.Errorf("configuring a consumer: %w", err)
	}
	defer client.Close()
	for len(left) > 0 && ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(record *kgo.Record) {
			if !record.Attrs.IsControl() && record.Offset < left[record.Partition] {
				records = append(records, record)
			}
			if end, reading := left[record.Partition]; reading && record.Offset+1 >= end {
				delete(left, record.Partition)
			}
		})
	}
	return records, nil
}
