package score_test

import (
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/score"
)

// faithful returns a model of a shop whose customers hardly leave, so that some are nearly sure to come back after a purchase or two.
func faithful() *operators.Model {
	m := cdnow("mbgnbd")
	m.Version, m.R, m.Alpha, m.A, m.B, m.HighValue = "faithful", 1.5, 20, 0.1, 4, 100
	return m
}

// TestRisingUntil: who has brought less than the cut is rising for as long as the 10 % point of their value, computed from the whole distribution, is above it, to the
// millisecond; who has brought as much, or never had the point there, is not.
func TestRisingUntil(t *testing.T) {
	op := score.New(defaults(func(c *score.Config) { c.MarginShare = 0.5 }))
	rises, never := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		m := faithful()
		m.A, m.HighValue = logUniform(t, "a", 0.01, 1), logUniform(t, "cut", 20, 600)
		x := rapid.IntRange(0, 12).Draw(t, "x")
		lastAge := x * rapid.IntRange(1, 20).Draw(t, "days between")
		p := purchases(0, x, lastAge, operators.Money(rapid.IntRange(0, 9000).Draw(t, "first")), operators.Money(x*rapid.IntRange(0, 9000).Draw(t, "each")))
		start := p.FirstStart + operators.EventTime(lastAge)*operators.DayMs

		c := operators.NewCustomer("c")
		c.Purchases = p
		c.Changed.Orders = true
		var out operators.Outbox
		operators.NewChain(op).Step(&operators.Env{Model: m}, c, &operators.Input{Kind: operators.ModelInput, At: start}, &out)
		until := c.Score.RisingUntil

		rising := func(at operators.EventTime) bool {
			return float64(p.Net)/100*0.5 < m.HighValue && op.ValueRange(&p, m, nil, at).Low > m.HighValue
		}
		if until == operators.Unset {
			never++
			if rising(start) {
				t.Fatal("rising at the purchase, and not found")
			}
			return
		}
		rises++
		const margin = 1000 // milliseconds: the point and its probability are rounded apart
		for _, at := range []operators.EventTime{start, start + (until-start)/2, until - margin, until + margin, until + operators.DayMs, until + 100*operators.DayMs} {
			if at >= start && at != until && rising(at) != (at < until) {
				t.Fatalf("rising until %s: at %s %v", until, at, rising(at))
			}
		}
	})
	if rises == 0 || never == 0 {
		t.Errorf("%d customers were rising, %d were not: nothing is proved", rises, never)
	}
}

// BenchmarkRising measures an order of a customer who begins to be rising, of one who is already, and of one who is not because one future in ten brings nothing.
func BenchmarkRising(b *testing.B) {
	op := score.New(defaults(nil))
	for name, m := range map[string]*operators.Model{"begins": faithful(), "goes on": faithful(), "not": cdnow("mbgnbd")} {
		b.Run(name, func(b *testing.B) {
			c := operators.NewCustomer("c")
			c.Purchases = purchases(0, 3, 20, 2000, 6000)
			c.Segment.Rising = name == "goes on"
			chain := operators.NewChain(op)
			var out operators.Outbox
			for b.Loop() {
				out.Reset()
				chain.Step(&operators.Env{Model: m}, c, &operators.Input{Kind: operators.ModelInput, At: instantOf(20)}, &out)
			}
			if (name == "not") == (c.Score.RisingUntil != operators.Unset) {
				b.Fatalf("%s: until %s", name, c.Score.RisingUntil)
			}
		})
	}
}
