package snapshot_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"lull/operators"
	"lull/operators/clv"
	"lull/pipeline"
	"lull/pipeline/snapshot"
	"lull/pipeline/task"
)

// cdnow returns a model under which everybody who has bought is of high value for long.
func cdnow(version string) operators.Model {
	return operators.Model{Version: version, Family: "mbgnbd", R: 0.525, Alpha: 7 * 6.183, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 1e-9}
}

// life is what the pipeline makes of a customer.
type life struct {
	chain *operators.Chain
	model *operators.Model
	of    *operators.Customer
	day   operators.Day
}

// lifeOf returns the life of a customer of whom nothing has been heard, under a model that has been in force before.
func lifeOf(id string, model *operators.Model) *life {
	s := pipeline.DefaultSettings()
	l := &life{clv.NewChain(s.Chain()), model, operators.NewCustomer(id), 0}
	l.of.Model, l.of.Terms = model.Ref(), terms
	return l
}

// step lets something happen to the customer.
func (l *life) step(in operators.Input) {
	var told operators.Outbox
	l.chain.Step(&operators.Env{Watermark: in.At, Now: in.At, Model: l.model}, l.of, &in, &told)
}

// hear lets an event come when the pipeline has reached an instant.
func (l *life) hear(e operators.Event, reached operators.EventTime) {
	e.Customer, e.ID, e.Day, e.DayStart = l.of.ID, e.Time.String(), e.Time.UTCDay(), operators.EventTime(e.Time.UTCDay())*operators.DayMs
	if e.Kind.OfOrder() {
		e.OrderID = e.ID
	}
	l.step(operators.Input{Kind: operators.EventInput, At: reached, Event: &e})
}

// order lets the customer buy.
func (l *life) order(at operators.EventTime) {
	l.hear(operators.Event{Kind: operators.OrderCompleted, Time: at, Amount: 3496}, at)
}

// customersAt returns the rows of customers of a snapshot as of an instant.
func customersAt[R any](t *testing.T, asOf operators.EventTime, models []operators.Model, lives ...*life) ([]R, *snapshot.Manifest) {
	t.Helper()
	w := takeOf(t, snapshot.Config{AsOf: asOf, Models: models}, func(put func(key, value []byte)) {
		for _, l := range lives {
			put(task.CustomerKey(nil, l.of.ID), l.of.AppendState(nil))
		}
	})
	return tableOf[R](&w, "customers"), w.Manifest
}

// TestClampedOrder: an order whose time lay in the future is taken at its append time, and proves none: a snapshot as of an instant between is without it, and has nobody of whom nothing else was heard.
func TestClampedOrder(t *testing.T) {
	type row struct {
		CustomerID    string   `parquet:"customer_id"`
		Orders        int64    `parquet:"orders"`
		RealizedValue float64  `parquet:"realized_value"`
		PAlive        *float64 `parquet:"p_alive"`
	}
	model := cdnow("m1")
	clamped := func(l *life) *life {
		l.hear(operators.Event{Kind: operators.OrderCompleted, Time: day(15), Amount: 3496, Clamped: true}, day(9))
		return l
	}
	once, twice, only := lifeOf("once", &model), lifeOf("twice", &model), lifeOf("only", &model)
	once.order(day(2))
	twice.order(day(2))
	rows, _ := customersAt[row](t, day(10), []operators.Model{model}, once, clamped(twice), clamped(only))
	if len(rows) != 2 || rows[1].CustomerID != "twice" || rows[1].Orders != 1 || rows[1].RealizedValue != 34.96 || *rows[1].PAlive != *rows[0].PAlive {
		t.Errorf("before the second order: %+v; want two customers with the same order", rows)
	}
	if rows, _ := customersAt[row](t, day(15), []operators.Model{model}, once, twice, only); len(rows) != 3 || rows[2].Orders != 2 || rows[1].Orders != 1 {
		t.Errorf("from the second order on: %+v; want three customers, the last with two orders", rows)
	}
}

// silent lets the customer be silent until an instant.
func (l *life) silent(until operators.EventTime) {
	for {
		next, _ := l.chain.Deadlines(l.of)
		if next > until {
			return
		}
		l.step(operators.Input{Kind: operators.DeadlineInput, At: next})
	}
}

// segmentColumns are the columns of segments.
type segmentColumns struct {
	CustomerID string `parquet:"customer_id"`
	Group      string `parquet:"rfm_group"`
	Quadrant   string `parquet:"quadrant"`
	Lifecycle  string `parquet:"lifecycle"`
	Rising     bool   `parquet:"rising"`
	Rebuilt    bool   `parquet:"segments_rebuilt"`
}

// segments returns the columns of where the customer stands.
func (l *life) segments() segmentColumns {
	s := &l.of.Segment
	return segmentColumns{l.of.ID, s.RFMGroup.String(), s.Quadrant.String(), s.Lifecycle.String(), s.Rising, false}
}

// TestSegmentsOfLater: customers who have been heard of after the instant are where the pipeline had them at it, unless their row says that it has been placed anew: who has ordered since, who has come under another
// model, or whom silence may have moved since. The manifest counts these by why.
func TestSegmentsOfLater(t *testing.T) {
	model, other := cdnow("m1"), cdnow("m2")
	model.HighValue = 30
	model.Cuts = &operators.Cuts{SinceLastPurchase: [4]float64{10, 20, 40, 80}, Purchases: [4]float64{1, 2, 3, 4}, Monetary: [4]float64{10, 20, 30, 40}, CLV: [4]float64{5, 10, 20, 30}}
	asOf := day(10)
	var lives []*life
	at := make(map[string]segmentColumns)
	var want snapshot.Rebuilt
	r := rand.New(rand.NewPCG(5, 7))
	for i := range 800 {
		l := lifeOf(fmt.Sprintf("c%03d", i), &model)
		lives = append(lives, l)
		silence, span := r.Int64N(300*operators.DayMs), 1+r.Int64N(100*operators.DayMs) // until many are dormant
		if r.IntN(2) == 0 {
			silence, span = r.Int64N(10*operators.DayMs), 300*operators.DayMs // with gaps after which some are won back
		}
		for range 1 + r.IntN(6) {
			when := asOf - operators.EventTime(silence+r.Int64N(span))
			if when <= l.of.At {
				continue
			}
			l.silent(when)
			l.order(when)
		}
		l.silent(asOf)
		at[l.of.ID] = l.segments()
		seen := asOf + operators.EventTime(1+r.Int64N(9*operators.DayMs))
		l.silent(seen)
		switch i % 8 {
		case 0:
			l.order(seen)
			want.Ordered++
		case 1:
			l.model, l.of.Model = &other, other.Ref()
			l.step(operators.Input{Kind: operators.ModelInput, At: seen})
			if l.of.Purchases.Count > 0 {
				want.Model++
			}
		default:
			l.hear(operators.Event{Kind: operators.PageViewed, Time: seen}, seen)
		}
	}
	rows, m := customersAt[segmentColumns](t, asOf, []operators.Model{model, other}, lives...)
	if len(rows) != len(lives) {
		t.Fatalf("%d rows of %d customers", len(rows), len(lives))
	}
	kept, wonBack := 0, 0
	for _, row := range rows {
		if row.Rebuilt {
			continue
		}
		kept++
		if row != at[row.CustomerID] {
			t.Errorf("%+v, and the pipeline had %+v", row, at[row.CustomerID])
		}
		if row.Lifecycle == operators.WonBack.String() {
			wonBack++
		}
	}
	if m.Rebuilt == nil || m.Rebuilt.Ordered != want.Ordered || m.Rebuilt.Model != want.Model || m.Rebuilt.Moved == 0 || m.Rebuilt.Total() != int64(len(rows)-kept) {
		t.Errorf("placed anew are %+v, want %+v and some whom silence has moved, %d in all", m.Rebuilt, want, len(rows)-kept)
	}
	if wonBack == 0 || kept < len(rows)/2 {
		t.Errorf("%d of %d are where they were, %d of them won back", kept, len(rows), wonBack)
	}
}
