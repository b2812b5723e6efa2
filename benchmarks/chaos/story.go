package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/schemas"
)

// outputs are the topics whose content the digest is of.
var outputs = []schemas.Topic{schemas.Sessions, schemas.Segments, schemas.Triggers, schemas.Offers, schemas.Scores, schemas.DeadLetters}

// told is one record as a read-committed consumer gets it. It stays encoded: a long run has millions of them.
type told struct {
	value []byte // as plain Avro
	about string // the ce_ headers but ce_source, which names the application
	id    string // ce_id
}

// fields decodes the record, as add has done to see that it can be.
func (t *told) fields(topic schemas.Topic) schemas.Fields {
	fields, err := schemas.DecodeOutput(topic, t.value)
	if err != nil {
		panic(err)
	}
	return fields
}

// story is all that an application has told, in the order of each key.
type story struct {
	digest schemas.Digest                      // without those of unread
	unread map[string]bool                     // places of records that an oracle does not read: of their dead letters it knows nothing
	told   map[schemas.Topic]map[string][]told // of scores only the last, and none if that has no value
}

// readStory reads the outputs of the application with this prefix.
func readStory(ctx context.Context, b *brokers, prefix string, unread map[string]bool) (*story, error) {
	s := newStory()
	s.unread = unread
	for _, topic := range outputs {
		err := b.read(ctx, prefix+topic.String(), func(r *kgo.Record) error {
			var headers []schemas.Header
			for _, h := range r.Headers {
				headers = append(headers, schemas.Header{Key: h.Key, Value: h.Value})
			}
			return s.add(topic, string(r.Key), r.Value, headers)
		})
		if err != nil {
			return nil, err
		}
	}
	return s, nil
}

func newStory() *story {
	s := &story{told: make(map[schemas.Topic]map[string][]told)}
	for _, topic := range outputs {
		s.told[topic] = make(map[string][]told)
	}
	return s
}

// add takes in the next record of a key.
func (s *story) add(topic schemas.Topic, key string, value []byte, headers []schemas.Header) error {
	headers = slices.DeleteFunc(headers, func(h schemas.Header) bool { return h.Key == "ce_source" })
	encoded, contentType := value, ""
	for _, h := range headers {
		if h.Key == schemas.ContentTypeHeader {
			contentType = string(h.Value)
		}
	}
	value, err := schemas.PlainAvro(topic, contentType, value)
	if err != nil {
		return err
	}
	t := told{value: value}
	for _, h := range headers {
		if h.Key == "ce_id" {
			t.id = string(h.Value)
		}
		if strings.HasPrefix(h.Key, "ce_") && (h.Key != "ce_id" || topic != schemas.Scores) {
			t.about += h.Key + "=" + string(h.Value) + " "
		}
	}
	if topic == schemas.Scores && value == nil {
		delete(s.told[topic], key)
		return s.digest.Add(topic, []byte(key), encoded, headers)
	}
	fields, err := schemas.DecodeOutput(topic, value)
	if err != nil {
		return err
	}
	if topic != schemas.DeadLetters || !s.unread[deadLetterPlace(fields)] {
		if err := s.digest.Add(topic, []byte(key), encoded, headers); err != nil {
			return err
		}
	}
	switch topic {
	case schemas.Scores:
		s.told[topic][key] = []told{t}
	case schemas.DeadLetters:
		at := deadLetterPlace(fields)
		s.told[topic][at] = append(s.told[topic][at], t)
	default:
		s.told[topic][key] = append(s.told[topic][key], t)
	}
	return nil
}

// deadLetterPlace says what a dead letter is of: a record, or a customer's deadline. Dead letters are compared by it.
func deadLetterPlace(f schemas.Fields) string {
	if f.Get("topic") == nil {
		return fmt.Sprintf("customer %v, operator %v, deadline %v", f.Get("customer_id"), f.Get("operator"), f.Get("deadline"))
	}
	return place(f.Get("topic").(string), f.Get("partition").(int64), f.Get("offset").(int64))
}

// place is the position of a record of the input.
func place(topic string, partition, offset int64) string {
	return fmt.Sprintf("%s, partition %d, offset %d", topic, partition, offset)
}

// records counts what was told.
func (s *story) records() string {
	var parts []string
	for _, topic := range outputs {
		n := 0
		for _, list := range s.told[topic] {
			n += len(list)
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, topic))
	}
	return strings.Join(parts, ", ")
}

// differences returns what the two stories tell differently: of each topic the first few keys, with values.
func (s *story) differences(oracle *story) (list []string) {
	const keysMax = 3
	for _, topic := range outputs {
		keys := maps.Clone(s.told[topic])
		maps.Copy(keys, oracle.told[topic])
		found := 0
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if topic == schemas.DeadLetters && s.unread[key] {
				continue
			}
			difference := compare(topic, s.told[topic][key], oracle.told[topic][key])
			if difference == "" {
				continue
			}
			if found++; found <= keysMax {
				list = append(list, fmt.Sprintf("%s of %s: %s", topic, key, difference))
			}
		}
		if found > keysMax {
			list = append(list, fmt.Sprintf("%s: %d keys differ in all", topic, found))
		}
	}
	if len(list) == 0 && s.digest.Sum() != oracle.digest.Sum() {
		list = append(list, fmt.Sprintf("the digest is %s, the oracle's %s", s.digest.Sum(), oracle.digest.Sum()))
	}
	return list
}

// compare says how two lists of records differ, "" if they do not.
func compare(topic schemas.Topic, got, want []told) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("%d records, the oracle has %d; the first that is missing is\n    %s", len(got), len(want), want[i].show(topic))
		case i >= len(want):
			return fmt.Sprintf("%d records, the oracle has %d; the first too many is\n    %s", len(got), len(want), got[i].show(topic))
		case !got[i].same(topic, &want[i]):
			return fmt.Sprintf("record %d is\n    %s\n  and the oracle's\n    %s", i+1, got[i].show(topic), want[i].show(topic))
		}
	}
	return ""
}

// same compares as the digest does: scores without their revision, dead letters by their reason.
func (t *told) same(topic schemas.Topic, other *told) bool {
	switch topic {
	case schemas.Scores:
		return t.about == other.about && (bytes.Equal(t.value, other.value) || t.show(topic) == other.show(topic))
	case schemas.DeadLetters:
		return t.fields(topic).Get("reason") == other.fields(topic).Get("reason")
	}
	return t.about == other.about && bytes.Equal(t.value, other.value)
}

func (t *told) show(topic schemas.Topic) string {
	fields := t.fields(topic)
	if topic == schemas.Scores {
		fields = slices.DeleteFunc(fields, func(f schemas.Field) bool { return f.Name == "revision" })
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return err.Error()
	}
	return t.about + string(text)
}

// doubles returns what was told twice that must be told once: an id in a topic, a customer's trigger of one rule and cause, a refused record.
func (s *story) doubles() (list []string) {
	for _, topic := range outputs {
		seen := make(map[string]string)
		twice := func(what, key string) {
			if before, ok := seen[what]; ok {
				list = append(list, fmt.Sprintf("%s: %s is there twice, of %s and of %s", topic, what, before, key))
			}
			seen[what] = key
		}
		for _, key := range slices.Sorted(maps.Keys(s.told[topic])) {
			for _, t := range s.told[topic][key] {
				twice("ce_id "+t.id, key)
				switch topic {
				case schemas.Triggers:
					// By its cause: the cancellation of an order can put a customer back behind a deadline that has fired before.
					fields := t.fields(topic)
					cause := fields.Get("cause").(schemas.Fields)
					twice(fmt.Sprintf("the trigger of rule %v, event %v, deadline %v, withdrawing %v", fields.Get("rule"), cause.Get("event_id"), cause.Get("deadline"),
						fields.Get("withdraws"))+" of "+key, key)
				case schemas.DeadLetters:
					twice(key, key)
				}
			}
		}
	}
	return list
}
