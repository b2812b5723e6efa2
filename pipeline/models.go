package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/security"
	"lull/schemas"
)

// models are the versions in the models topic, in its order. They are read to the topic's end before the first task starts, then followed.
type models struct {
	mu    sync.RWMutex
	byRef map[uint32]*operators.Model
	order []*operators.Model
	at    time.Time // when the last of order was published
}

// Model implements task.Models.
func (m *models) Model(ref uint32) *operators.Model {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.byRef[ref]
}

// published returns the models in the order of the topic.
func (m *models) published() []*operators.Model {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.order
}

// publishedAt returns when the newest model was published; ok is false if there is none.
func (m *models) publishedAt() (at time.Time, ok bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.at, len(m.order) > 0
}

// add takes in a model that was published at an instant.
func (m *models) add(model *operators.Model, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.byRef[model.Ref()]; ok {
		if known.Version != model.Version {
			return fmt.Errorf("models %q and %q have the same short name: publish the later under another version", known.Version, model.Version)
		}
		return nil // a version is immutable
	}
	m.byRef[model.Ref()] = model
	// A new slice: the one handed out stays as it is.
	m.order, m.at = append(m.order[:len(m.order):len(m.order)], model), at
	return nil
}

// followModels reads the models topic to its end, returns, and goes on following it until ctx ends; then stopped is closed. failed is told when reading it
// begins to fail, and with nil when it no longer does.
func followModels(ctx context.Context, s *Settings, access *security.Access, adm *kadm.Client, log zerolog.Logger, failed func(error)) (m *models, stopped <-chan struct{}, err error) {
	m = &models{byRef: make(map[uint32]*operators.Model)}
	topic := s.Topic(ModelsTopic)
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("asking for the end of the models: %w", err)
	}
	end, _ := ends.Lookup(topic, 0)
	client, err := kgo.NewClient(append(access.Options("lull-"+s.Instance+"-models"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.MetadataMinAge(100*time.Millisecond),
	)...)
	if err != nil {
		return nil, nil, err
	}
	read := func() (next int64, err error) {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return 0, fmt.Errorf("reading topic %q: %w", topic, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			record := it.Next()
			next = record.Offset + 1
			if record.Attrs.IsControl() || record.Value == nil {
				continue
			}
			model, err := schemas.DecodeModel(record.Key, record.Value)
			if err == nil {
				err = m.add(&model, record.Timestamp)
			}
			if err != nil {
				log.Error().Err(err).Str("topic", topic).Int64("offset", record.Offset).Msg("passing over a model")
				continue
			}
			log.Info().Str("model", model.Version).Msg("model read")
		}
		return next, nil
	}
	for next := int64(0); next < end.Offset; {
		read, err := read()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			client.Close()
			return nil, nil, err
		}
		next = max(next, read)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer client.Close()
		said := ""
		for ctx.Err() == nil {
			switch _, err := read(); {
			case ctx.Err() != nil:
			case err == nil && said != "":
				said = ""
				failed(nil)
			case err != nil && said != err.Error():
				said = err.Error()
				failed(err)
			}
		}
	}()
	return m, done, nil
}
