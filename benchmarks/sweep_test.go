package main

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/schemas"
)

// TestPastOrders: every customer has bought once or twice, within two years, and the orders come in the order of their times.
func TestPastOrders(t *testing.T) {
	h := newPastOrders(1000, 1)
	bought := make(map[string]int)
	last := operators.Unset
	var e operators.Event
	for h.Next(&e) {
		if e.Time < last || e.Time < shopOpens || e.Time >= historyEnd || e.Amount <= 0 {
			t.Fatalf("an order of %d at %s after one at %s", e.Amount, e.Time, last)
		}
		last = e.Time
		bought[e.Customer]++
	}
	for n := range int32(1000) {
		if got, want := bought[customerID(n)], 1+int(n%2); got != want {
			t.Errorf("customer %d has %d orders, want %d", n, got, want)
		}
	}
}

// TestRowsOfOrders: the first row of a customer that is as of their order's instant answers it, in the phase in which the order was due; rows as of another
// instant, of other customers, and a second one do not. Each brings its customer to its model.
func TestRowsOfOrders(t *testing.T) {
	encoder, err := schemas.NewEncoder(schemas.EncoderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	row := func(c int32, at operators.EventTime, version string) *kgo.Record {
		o := operators.Output{Kind: operators.ScoreOutput, Customer: customerID(c), Time: at, Model: version, Score: &operators.ScoreRow{Facts: operators.Facts{AsOf: at}}}
		var r schemas.Record
		if err := encoder.EncodeOutput(&o, &r); err != nil {
			t.Fatal(err)
		}
		record := &kgo.Record{Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		return record
	}
	l := &liveLoad{waiting: make(map[int32]waitingOrder), latest: make([]uint8, 4), models: map[string]uint8{model.Version: 0}}
	due, at := time.Now(), operators.EventTime(historyEnd)+1234
	p := &phase{began: due, seconds: make(map[int][]time.Duration)}
	l.enter(p)
	all := l.expect("new")
	if err := l.expectRow(2, at, due); err != nil {
		t.Fatal(err)
	}
	l.enter(nil)
	take := func(record *kgo.Record, after time.Duration) {
		if err := l.take(record, due.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	take(row(1, at, "new"), 1)           // another customer's
	take(row(2, at-1, model.Version), 2) // a deadline's
	take(row(2, at, "new"), 3)           // the order's
	take(row(2, at, "new"), 4)           // another deadline's
	if len(p.latencies) != 1 || p.latencies[0] != 3 || len(l.waiting) != 0 {
		t.Errorf("latencies %v, %d orders wait", p.latencies, len(l.waiting))
	}
	take(row(0, at, "new"), 5)
	select {
	case <-all:
		t.Error("all are of the new model, with one who is not")
	default:
	}
	take(row(3, at, "new"), 6)
	<-all
	if a := l.adoption(); a.again != 1 {
		t.Errorf("%d scored again without an order, want 1", a.again)
	}
	for _, wrong := range []string{"unheard of", model.Version} {
		if err := l.take(row(3, at, wrong), due); err == nil {
			t.Errorf("a row of model %q is accepted after one of the newest", wrong)
		}
	}
}
