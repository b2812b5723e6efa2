package snapshot_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lull/operators"
	"lull/operators/score"
	"lull/pipeline"
	"lull/pipeline/snapshot"
	"lull/pipeline/task"
)

// BenchmarkTake writes the tables of a hundred thousand customers, of whom half have bought on more than one day, under a fitted model, on one processor. The state is there already.
func BenchmarkTake(b *testing.B) {
	const customers = 100_000
	m := operators.Model{Version: "m", Family: "mbgnbd", R: 0.525, Alpha: 43.28, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 29.54, Fit: &operators.Fit{}}
	for i := range m.Fit.Covariance {
		m.Fit.Covariance[i][i] = 0.0025
	}
	for i := range m.Fit.SpendCovariance {
		m.Fit.SpendCovariance[i][i] = 0.0025
	}
	s := pipeline.DefaultSettings()
	config := snapshot.Config{Models: []operators.Model{m}, Chain: s.Chain(), Terms: terms, Tables: []string{"customers", "orders"}, AsOf: snapshot.DefaultAsOf, Processors: 1}
	state, err := snapshot.OpenState(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer state.Close()
	next := int64(0)
	put := func(key, value []byte) {
		next++
		if err := state.Restore(0, key, value, next); err != nil {
			b.Fatal(err)
		}
	}
	meta := adopted(800, config.Models, 1)
	put(task.MetaKey, meta.Append(nil))
	scores := score.New(config.Chain.Score)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range customers {
		c := operators.NewCustomer(fmt.Sprintf("c%08d", i))
		x := 0
		for random.Float64() < 0.5 {
			x++
		}
		last := random.IntN(799-x) + x
		first := last - x - random.IntN(last-x+1)
		p := operators.Purchases{Count: uint32(x + 1), First: day(1 + first).UTCDay(), FirstStart: day(1 + first), Last: day(1 + last).UTCDay(), FirstNet: 2000, Net: 2000 + operators.Money(x*(500+random.IntN(5000))), Orders: uint32(x + 1)}
		if x == 0 {
			p.Last = p.First
		}
		c.Purchases, c.At = p, day(1+last)
		c.Model, c.Terms, c.Score = m.Ref(), terms, operators.Score{Scored: true, Next: operators.Never, ValueFalls: scores.ValueFalls(&p, &m), RisingUntil: operators.Unset}
		c.Ledger.Orders = []operators.Order{{ID: fmt.Sprint("o", i), Completed: true, Time: c.At, Day: p.Last, DayStart: c.At, Amount: 2000, AmountTime: c.At}}
		put(task.CustomerKey(nil, c.ID), c.AppendState(nil))
	}
	if err := state.EndRestore(0, next); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := snapshot.Take(b.Context(), state, &config, open(b, b.TempDir()), time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
