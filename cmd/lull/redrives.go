package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline"
	"lull/schemas"
)

// redriveAt is when and how a record was sent again.
type redriveAt struct {
	schemas.Redrive
	At      time.Time
	letters string // Kafka's id of the topic of the dead letters at that time, "" if it was not noted
}

// redrives are what has been sent again.
type redrives struct {
	notes   map[string]redriveAt // the newest of each source, by its text
	letters string               // Kafka's id of the topic of the dead letters
}

// of returns what is noted of the sending of a letter's record. What is sent to an input and refused again has another source; what is sent to the topic events keeps the one that it has there,
// so that a letter which is newer than that which was sent tells of another refusal: of the record that was sent or, after a reset, of one that the first stage has passed on anew.
func (r *redrives) of(l *letter) (redriveAt, bool) {
	note, ok := r.notes[l.Source.String()]
	switch {
	case !ok || !l.passedOn():
		return note, ok
	case note.letters != r.letters: // the letters of that time are gone, and their places are others'
		return redriveAt{}, false
	case note.LetterPartition != l.Partition: // the topic has been given partitions since
		return note, !l.RefusedAt.After(note.At)
	}
	return note, l.Offset <= note.LetterOffset
}

// readRedrives returns what has been sent again; nothing if the topic does not exist.
func readRedrives(ctx context.Context, s *pipeline.Settings) (*redrives, error) {
	client, err := newClient(ctx, s, readOptions()...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	topic, letters := s.Topic(pipeline.RedrivesTopic), s.Topic(pipeline.DeadLettersTopic)
	adm := kadm.NewClient(client)
	redrives := &redrives{notes: make(map[string]redriveAt)}
	spans, err := stableSpans(ctx, adm, topic)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return redrives, nil
	}
	if err != nil {
		return nil, err
	}
	topics, err := adm.ListTopics(ctx, letters)
	if err != nil {
		return nil, fmt.Errorf("asking for topic %q: %w", letters, err)
	}
	redrives.letters = topics[letters].ID.String()
	return redrives, readSpans(ctx, client, topic, spans, func(r *kgo.Record) error {
		if r.Value == nil {
			return nil
		}
		redrive, err := schemas.DecodeRedrive(r.Key, r.Value)
		if err != nil {
			return fmt.Errorf("offset %d of topic %q: %w: nobody but redrive may write there; a null value under this key takes it away", r.Offset, topic, err)
		}
		redrives.notes[string(r.Key)] = redriveAt{Redrive: redrive, At: r.Timestamp, letters: headerOf(r, schemas.LettersHeader)}
		return nil
	})
}
