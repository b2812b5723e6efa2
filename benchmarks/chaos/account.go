package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/schemas"
)

// account says what must have become of every record of the input, found from the input alone by rules so plain that they share nothing with the
// pipeline but the decoder: a record is applied, or refused, or its customer has sent it before.
type account struct {
	decoder *schemas.Decoder

	records, marks, applied, repeated int64
	refused                           map[string]bool // by place
	highest                           map[partition]operators.EventTime
	sent                              map[string]bool     // message ids
	next                              map[partition]int64 // the offset that must come next
	customers                         map[string]*ledger
	problems                          []string
	stage
}

// partition is one of a topic.
type partition struct {
	topic string
	n     int32
}

// ledger is what a customer has done.
type ledger struct {
	activity int64 // events in sessions
	orders   map[string]*orderValue
}

type orderValue struct {
	cents, refunded int64
	cancelled       bool
}

// value returns the net value of all orders, and whether there is an order at all.
func (l *ledger) value() (cents int64, any bool) {
	for _, o := range l.orders {
		if !o.cancelled && o.cents > 0 {
			cents, any = cents+o.cents-o.refunded, true
		}
	}
	return cents, any
}

func newAccount() (*account, error) {
	decoder, err := schemas.NewDecoder(schemas.DecoderConfig{Currency: currency})
	if err != nil {
		return nil, err
	}
	return &account{
		decoder: decoder, refused: make(map[string]bool), highest: make(map[partition]operators.EventTime), sent: make(map[string]bool),
		next: make(map[partition]int64), customers: make(map[string]*ledger), stage: newStage(),
	}, nil
}

// readAccount makes the account of the input.
func readAccount(ctx context.Context, b *brokers, o *options) (*account, error) {
	a, err := newAccount()
	if err != nil {
		return nil, err
	}
	take := a.add
	if o.staged() {
		ids, err := b.topicIDs(ctx, o.inputTopics())
		if err != nil {
			return nil, err
		}
		a.learnFeeds(ids)
		take = a.addInput
	}
	for _, topic := range o.inputTopics() {
		if err := b.read(ctx, topic, func(r *kgo.Record) error { take(sourceOf(r)); return nil }); err != nil {
			return nil, err
		}
	}
	if !o.staged() {
		return a, nil
	}
	if err := b.read(ctx, eventsOf(application), func(r *kgo.Record) error { a.addPassed(sourceOf(r)); return nil }); err != nil {
		return nil, err
	}
	a.endStage()
	return a, nil
}

func sourceOf(r *kgo.Record) *schemas.Source {
	source := &schemas.Source{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, AppendTime: operators.EventTime(r.Timestamp.UnixMilli()), Key: r.Key, Value: r.Value,
	}
	for _, h := range r.Headers {
		source.Headers = append(source.Headers, schemas.Header{Key: h.Key, Value: h.Value})
	}
	return source
}

// add takes in the next record of its partition of an input that is keyed by customer.
func (a *account) add(r *schemas.Source) {
	var e operators.Event
	if !a.read(r, &e, a.decoder.Decode) {
		return
	}
	of := partition{r.Topic, r.Partition}
	late := a.highest[of] > 0 && e.Time < a.highest[of]-latenessMs
	a.highest[of] = max(a.highest[of], e.Time)
	a.take(&e, late, place(r.Topic, int64(r.Partition), r.Offset))
}

// read counts the next record of its partition and decodes it. It returns whether it is an event.
func (a *account) read(r *schemas.Source, e *operators.Event, decode func(*schemas.Source, *operators.Event) *operators.Rejection) bool {
	a.records++
	of, at := partition{r.Topic, r.Partition}, place(r.Topic, int64(r.Partition), r.Offset)
	if r.Offset != a.next[of] {
		a.problems = append(a.problems, fmt.Sprintf("the input goes on at %s after offset %d", at, a.next[of]-1))
	}
	a.next[of] = r.Offset + 1
	if _, isMark, _ := a.decoder.TimeMark(r); isMark {
		a.marks++
		return false
	}
	if refusal := decode(r, e); refusal != nil {
		a.refused[at] = true
		return false
	}
	return true
}

// take takes in an event that a task has come to.
func (a *account) take(e *operators.Event, late bool, at string) {
	if late && !e.Kind.Fact() {
		a.refused[at] = true
		return
	}
	if a.sent[e.ID] {
		a.repeated++
		return
	}
	a.sent[e.ID] = true
	a.applied++
	a.apply(e, late)
}

// apply writes an event into its customer's ledger.
func (a *account) apply(e *operators.Event, late bool) {
	l := a.customers[e.Customer]
	if l == nil {
		l = &ledger{orders: make(map[string]*orderValue)}
		a.customers[e.Customer] = l
	}
	if e.Kind.InSession() && !late {
		l.activity++
	}
	if !e.Kind.OfOrder() {
		return
	}
	o := l.orders[e.OrderID]
	if o == nil {
		o = &orderValue{}
		l.orders[e.OrderID] = o
	}
	switch e.Kind {
	case operators.OrderCompleted:
		o.cents = int64(e.Amount)
	case operators.OrderRefunded:
		o.refunded += int64(e.Amount)
	case operators.OrderCancelled:
		o.cancelled = true
	}
}

// check returns how a story deviates from the account: in the records refused, in the events in each customer's sessions, and in each customer's
// value. produced is the number of records that were delivered.
func (a *account) check(s *story, produced int64) (problems []string) {
	problems = a.problems
	note := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if a.records != produced {
		note("the input has %d records, and %d were delivered", a.records, produced)
	}
	for _, at := range slices.Sorted(maps.Keys(a.refused)) {
		if len(s.told[schemas.DeadLetters][at]) == 0 {
			note("the record of %s should be refused, and is no dead letter", at)
		}
	}
	for _, at := range slices.Sorted(maps.Keys(s.told[schemas.DeadLetters])) {
		if !a.refused[at] {
			note("a dead letter of %s, which nothing is wrong with: %s", at, s.told[schemas.DeadLetters][at][0].show(schemas.DeadLetters))
		}
	}
	for _, customer := range slices.Sorted(maps.Keys(a.customers)) {
		l := a.customers[customer]
		activity := int64(0)
		for _, t := range s.told[schemas.Sessions][customer] {
			activity += t.fields(schemas.Sessions).Get("events").(int64)
		}
		if activity != l.activity {
			note("customer %s has %d events in sessions, and sent %d", customer, activity, l.activity)
		}
		rows := s.told[schemas.Scores][customer]
		switch cents, any := l.value(); {
		case any != (len(rows) > 0):
			note("customer %s has %d rows of scores, and has an order is %v", customer, len(rows), any)
		case any:
			if told := rows[0].fields(schemas.Scores).Get("realized_value").(int64); told != cents {
				note("customer %s has a value of %d cents, and the orders are worth %d", customer, told, cents)
			}
		}
	}
	return problems
}
