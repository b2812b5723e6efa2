package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

// liveLoad are orders that come at a fixed rate, whether those before them have been answered or not, and the reader of the scores table, in which each is
// answered by its customer's row. The instants of events go on from the history's end at the pace of the clock.
//
// Its goroutines are send and receive; stop and abandon wait for both. mu guards what they share.
type liveLoad struct {
	s        *scenario
	buyers   []int32
	rate     int
	began    time.Time // when the first order was due
	consumer *kgo.Client
	failed   chan error // holds the first error
	ended    sync.WaitGroup
	sending  context.CancelFunc // ends send
	reading  context.CancelFunc // ends receive

	mu       sync.Mutex
	now      *phase
	waiting  map[int32]waitingOrder // by customer
	sent     bool                   // there will be no more orders
	answered chan struct{}          // closed when there will be none and all have been answered
	latest   []uint8                // by customer: the number of the last model whose row has been seen
	models   map[string]uint8       // their numbers, by version, in the order of their coming
	new      adoption
}

// waitingOrder is an order whose row has not been seen yet.
type waitingOrder struct {
	at    operators.EventTime
	due   time.Time
	phase *phase
}

// adoption is how far the newest model has come, by the rows that have been seen.
type adoption struct {
	customers int // whose latest row is of it
	again     int // rows of it that neither an order explains nor that they were the customer's first

	half, all chan struct{} // closed when so many are of it
}

// startLoad begins to send orders of these customers in turn.
func startLoad(s *scenario, buyers []int32, rate int) (*liveLoad, error) {
	l := &liveLoad{
		s: s, buyers: buyers, rate: rate, failed: make(chan error, 1), answered: make(chan struct{}),
		waiting: make(map[int32]waitingOrder), latest: make([]uint8, len(buyers)), models: map[string]uint8{model.Version: 0},
	}
	topic := s.settings.Topic(pipeline.ScoresTopic)
	ends, err := s.b.adm.ListEndOffsets(s.ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the end of the scores: %w", err)
	}
	from := make(map[int32]kgo.Offset)
	ends.Each(func(o kadm.ListedOffset) { from[o.Partition] = kgo.NewOffset().At(o.Offset) })
	l.consumer, err = kgo.NewClient(kgo.SeedBrokers(s.b.brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return nil, err
	}
	var sending, reading context.Context
	sending, l.sending = context.WithCancel(s.ctx)
	reading, l.reading = context.WithCancel(s.ctx)
	l.began = time.Now()
	run := func(ctx context.Context, work func(context.Context) error) {
		l.ended.Go(func() {
			if err := work(ctx); err != nil && ctx.Err() == nil {
				l.fail(err)
			}
		})
	}
	run(sending, l.send)
	run(reading, l.receive)
	return l, nil
}

func (l *liveLoad) fail(err error) {
	select {
	case l.failed <- err:
	default: // not the first
	}
}

// stop ends the sending and waits until every order has been answered.
func (l *liveLoad) stop() error {
	l.sending()
	defer l.abandon()
	if err := l.s.b.client.Flush(l.s.ctx); err != nil {
		return fmt.Errorf("producing the last orders: %w", err)
	}
	l.mu.Lock()
	l.sent = true
	if len(l.waiting) == 0 {
		close(l.answered)
	}
	l.mu.Unlock()
	select {
	case <-l.answered:
		return nil
	case err := <-l.failed:
		return err
	case <-l.s.ctx.Done():
		return l.s.ctx.Err()
	case <-time.After(time.Minute):
		return errors.New("orders have had no row for a minute")
	}
}

// abandon ends both goroutines.
func (l *liveLoad) abandon() {
	l.sending()
	l.reading()
	l.ended.Wait()
	l.consumer.Close()
}

// send sends each order when it is due.
func (l *liveLoad) send(ctx context.Context) error {
	produced := func(_ *kgo.Record, err error) {
		if err != nil {
			l.fail(fmt.Errorf("producing an order: %w", err))
		}
	}
	for n := int64(0); ; n++ {
		passed := time.Duration(n) * time.Second / time.Duration(l.rate)
		due := l.began.Add(passed)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(due)):
		}
		c := l.buyers[n%int64(len(l.buyers))]
		e := operators.Event{
			Kind: operators.OrderCompleted, Customer: customerID(c), Time: historyEnd + operators.EventTime(passed.Milliseconds()), Amount: 1990,
			ID: fmt.Sprint("l", n), OrderID: fmt.Sprint("l", n),
		}
		value, err := schemas.EncodeEvent(nil, &e, "USD")
		if err != nil {
			return err
		}
		if err := l.expectRow(c, e.Time, due); err != nil {
			return err
		}
		l.s.b.client.Produce(l.s.ctx, &kgo.Record{Topic: l.s.topic, Key: []byte(e.Customer), Value: value}, produced)
	}
}

// expectRow is told of an order before it is sent.
func (l *liveLoad) expectRow(c int32, at operators.EventTime, due time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w, ok := l.waiting[c]; ok {
		return fmt.Errorf("the order of customer %d at %s has had no row for %s", c, w.at, time.Since(w.due))
	}
	l.waiting[c] = waitingOrder{at: at, due: due, phase: l.now}
	if l.now != nil {
		l.now.lags = append(l.now.lags, time.Since(due))
	}
	return nil
}

// enter makes the orders from now on those of a phase.
func (l *liveLoad) enter(p *phase) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = p
}

// expect makes a model the newest; all is closed when every customer's row is of it.
func (l *liveLoad) expect(version string) (all <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.models[version] = uint8(len(l.models))
	l.new = adoption{half: make(chan struct{}), all: make(chan struct{})}
	return l.new.all
}

// half returns what is closed when half of the customers are of the newest model.
func (l *liveLoad) half() <-chan struct{} { return l.adoption().half }

func (l *liveLoad) adoption() adoption {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.new
}

// receive reads the scores table.
func (l *liveLoad) receive(ctx context.Context) error {
	for {
		fetches := l.consumer.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return fmt.Errorf("reading the scores: %w", err)
		}
		received := time.Now()
		l.mu.Lock()
		for record := range fetches.RecordsAll() {
			if err := l.take(record, received); err != nil {
				l.mu.Unlock()
				return fmt.Errorf("reading the scores at partition %d, offset %d: %w", record.Partition, record.Offset, err)
			}
		}
		l.mu.Unlock()
	}
}

// take takes in a row of the scores table. The first row of a customer that is as of their order's instant is the order's: a sweep's is of an earlier one,
// the watermark, or it repeats that of the order before. mu is held.
func (l *liveLoad) take(record *kgo.Record, received time.Time) error {
	c, err := customerNumber(record.Key)
	if err != nil {
		return err
	}
	at, err := asOf(record)
	if err != nil {
		return err
	}
	w, ofOrder := l.waiting[c]
	if ofOrder = ofOrder && w.at == at; ofOrder {
		delete(l.waiting, c)
		if w.phase != nil {
			w.phase.answered(w.due, received)
		}
		if l.sent && len(l.waiting) == 0 {
			close(l.answered)
		}
	}
	version, err := modelOf(record.Value)
	if err != nil {
		return err
	}
	number, ok := l.models[string(version)]
	if !ok {
		return fmt.Errorf("a row of model %q", version)
	}
	return l.count(c, number, ofOrder)
}

// count counts a row of a model. mu is held.
func (l *liveLoad) count(c int32, model uint8, ofOrder bool) error {
	a, newest := &l.new, uint8(len(l.models)-1)
	switch {
	case model < l.latest[c]:
		return errors.New("a row of an older model than the customer's row before it")
	case model < newest || newest == 0:
	case model == l.latest[c]:
		if !ofOrder {
			a.again++
		}
	default:
		a.customers++
		if a.customers == len(l.latest)/2 {
			close(a.half)
		}
		if a.customers == len(l.latest) {
			close(a.all)
		}
	}
	l.latest[c] = model
	return nil
}

// asOf returns the instant that a row is as of, from its header.
func asOf(record *kgo.Record) (operators.EventTime, error) {
	for _, h := range record.Headers {
		if h.Key == "ce_time" {
			t, err := time.Parse(time.RFC3339, string(h.Value))
			return operators.EventTime(t.UnixMilli()), err
		}
	}
	return 0, errors.New("a row without the header ce_time")
}

// modelOf returns the version of the model in the value of a row, which is the second of its fields, both texts. To decode a million rows wholly would take a
// good part of a processor from what is measured.
func modelOf(value []byte) (version []byte, err error) {
	for range 2 {
		n, used := binary.Varint(value)
		if used <= 0 || n < 0 || n > int64(len(value)-used) {
			return nil, errors.New("a value that does not begin with two texts")
		}
		version, value = value[used:used+int(n)], value[used+int(n):]
	}
	return version, nil
}
