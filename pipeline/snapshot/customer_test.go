package snapshot_test

import (
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
