package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/registry"
	"lull/schemas"
)

// eventReader makes events of an input topic's records, as lull run does.
type eventReader struct {
	settings *pipeline.Settings
	keyless  bool // whatever their keys are
	input    schemas.Input
	decoder  *schemas.Decoder
}

// newEventReader reads the files that say how. It asks the registry, if there is one, only for the schemas that records name, until ctx ends.
func newEventReader(ctx context.Context, s *pipeline.Settings, of pipeline.InputTopic) (*eventReader, error) {
	writers, err := newWriters(ctx, s, of.Format)
	if err != nil {
		return nil, err
	}
	input, err := of.Load(writers)
	if err != nil {
		return nil, usageError{err}
	}
	return eventReaderOf(s, input)
}

// newWriters returns the schemas of the registry for a format that has one, else nil.
func newWriters(ctx context.Context, s *pipeline.Settings, format string) (schemas.Writers, error) {
	if format != schemas.RegistryAvro.String() {
		return nil, nil
	}
	known, err := registry.New(&s.Registry, "", zerolog.Nop())
	if err != nil {
		return nil, usageError{err}
	}
	return known.Asking(ctx), nil
}

// eventReaderOf returns the reader of an input's records.
func eventReaderOf(s *pipeline.Settings, input schemas.Input) (*eventReader, error) {
	zone, err := time.LoadLocation(s.Calendar.Timezone)
	if err != nil {
		return nil, usageError{fmt.Errorf("calendar.timezone is %q: it must be an IANA time zone such as Europe/Berlin", s.Calendar.Timezone)}
	}
	config := schemas.DecoderConfig{
		Zone: zone, SkewMaxMs: s.Clock.MaxSkew.Milliseconds(), Currency: s.Money.Currency, Rates: s.Money.Rates, Limits: s.Limits.Record(), Input: input,
	}
	if s.Input.FutureDated == "dead-letter" {
		config.Future = schemas.RejectFuture
	}
	decoder, err := schemas.NewDecoder(config)
	if err != nil {
		return nil, usageError{err}
	}
	return &eventReader{settings: s, keyless: s.Staged(), input: input, decoder: decoder}, nil
}

// errIgnored says that a record is to be no event.
var errIgnored = errors.New("ignored by the mapping")

// read returns the fields of the event that a record becomes. The error is errIgnored, or why it is refused.
func (e *eventReader) read(r *kgo.Record) (schemas.Fields, error) {
	source := asSource(r)
	var event operators.Event
	switch refusal := e.decode(&source, &event); {
	case refusal == nil:
		return eventFields(&event, e.settings.Money.Currency), nil
	case refusal.Reason == schemas.ReasonIgnored:
		return nil, errIgnored
	default:
		return nil, fmt.Errorf("%s: %s", refusal.Reason, refusal.Detail)
	}
}

// decode decodes a record of the topic.
func (e *eventReader) decode(source *schemas.Source, into *operators.Event) *operators.Rejection {
	if e.keyless {
		return e.decoder.DecodeKeyless(source, into)
	}
	return e.decoder.Decode(source, into)
}

// asSource returns a record as decoders take it.
func asSource(r *kgo.Record) schemas.Source {
	return schemas.Source{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, AppendTime: operators.EventTime(r.Timestamp.UnixMilli()), Key: r.Key, Value: r.Value, Headers: headersOf(r),
	}
}

// eventFields returns what an event has, by the names of event.avsc. The amount is in minor units of the base currency.
func eventFields(e *operators.Event, currency string) schemas.Fields {
	fields := schemas.Fields{
		{Name: "kind", Value: e.Kind.String()}, {Name: "customer_id", Value: e.Customer}, {Name: "time", Value: e.Time}, {Name: "day", Value: e.Day},
		{Name: "message_id", Value: e.ID},
	}
	add := func(name string, is bool, value any) {
		if is {
			fields = append(fields, schemas.Field{Name: name, Value: value})
		}
	}
	add("order_id", e.OrderID != "", e.OrderID)
	add("refund_id", e.RefundID != "", e.RefundID)
	hasAmount := e.Kind == operators.OrderCompleted || e.Kind == operators.OrderUpdated || e.Kind == operators.OrderRefunded && !e.Whole
	add("amount", hasAmount, int64(e.Amount))
	add("currency", hasAmount, currency)
	add("whole", e.Whole, true)
	add("quantity", e.Quantity != 0, e.Quantity)
	add("name", e.Name != "", e.Name)
	add("subject", e.Subject != "", e.Subject)
	add("proof", e.Proof != "", e.Proof)
	add("clamped", e.Clamped, true)
	return fields
}
