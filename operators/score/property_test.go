package score_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/score"
)

// logUniform draws a number whose logarithm is uniform.
func logUniform(t *rapid.T, name string, lo, hi float64) float64 {
	return math.Exp(rapid.Float64Range(math.Log(lo), math.Log(hi)).Draw(t, name))
}

func drawModel(t *rapid.T) *operators.Model {
	m := &operators.Model{
		Version: "drawn", Family: rapid.SampledFrom([]string{"mbgnbd", "bgnbd"}).Draw(t, "family"),
		R: logUniform(t, "r", 0.01, 30), Alpha: logUniform(t, "alpha", 1e-4, 1e6),
		A: logUniform(t, "a", 1e-3, 50), B: logUniform(t, "b", 1e-3, 200),
		P: logUniform(t, "p", 0.1, 50), Q: 1 + logUniform(t, "q", 1e-3, 50), V: logUniform(t, "v", 0.01, 1e4),
		HighValue: logUniform(t, "high value", 1e-3, 1e5),
	}
	if rapid.IntRange(0, 9).Draw(t, "a is one") == 0 {
		m.A = 1
	}
	return m
}

func drawPurchases(t *rapid.T) operators.Purchases {
	x := rapid.SampledFrom([]int{0, 0, 1, 2, 3, 8, 50, 400, 5000}).Draw(t, "x")
	lastAge := 0
	if x > 0 {
		lastAge = rapid.IntRange(x, x+3000).Draw(t, "t_x")
	}
	repeat := operators.Money(0)
	if x > 0 {
		repeat = operators.Money(rapid.Int64Range(0, 10_000_000).Draw(t, "repeat spend"))
	}
	return purchases(operators.Day(rapid.IntRange(-20_000, 40_000).Draw(t, "first")), x, lastAge, 4999, repeat)
}

// TestEveryInstant: for any model and history, extreme ones too, silence leads from each bound to a later one and comes to an end; at each
// bound the quantity is at the bound by the papers' formulas; and between two bounds nothing is decided otherwise.
func TestEveryInstant(t *testing.T) {
	op := score.New(defaults(nil))
	rapid.Check(t, func(t *rapid.T) {
		m, p := drawModel(t), drawPurchases(t)
		if err := score.ValidateModel(m); err != nil {
			t.Fatal(err)
		}
		s := slow{p, m}
		lastStart := p.FirstStart + operators.EventTime(p.Last-p.First)*operators.DayMs
		at := lastStart + operators.EventTime(rapid.Int64Range(0, 90*operators.DayMs).Draw(t, "at"))
		for steps := 0; ; steps++ {
			if steps > 12 { // nine levels, dormant, lost, one cut
				t.Fatalf("still changing at %s", at)
			}
			now := op.Evaluate(&p, m, at)
			check(t, &now)
			next, what := op.Next(&p, m, at)
			if next <= at {
				t.Fatalf("after %s comes %s", at, next)
			}
			end := next
			if next == operators.Never {
				end = at + 200*365*operators.DayMs
			}
			between := at + operators.EventTime(rapid.Int64Range(0, int64(end-at)-1).Draw(t, "between"))
			then := op.Evaluate(&p, m, between)
			if sides(&then) != sides(&now) {
				t.Fatalf("from %s to %s nothing is crossed, but\n%+v\n%+v", at, between, now, then)
			}
			if next == operators.Never {
				return
			}
			if before := p.Age(next) - p.LastAge(); before > 36_525+1e-7 {
				t.Fatalf("%s after %v days of silence", next, before)
			}
			if what == "CLV falls under the cut of "+amount(m.HighValue) {
				checkAround(t, s.clv, &p, next, m.HighValue)
			} else {
				checkAround(t, s.alive, &p, next, level(t, what))
			}
			at = next
		}
	})
}

// check says what holds for any facts.
func check(t *rapid.T, f *operators.Facts) {
	for _, v := range []float64{f.PAlive, f.ExpectedPurchases, f.BuysAgain, f.ExpectedSpend, f.CLV, f.ValueAtRisk, f.AboutToBeLost} {
		if !(v >= 0 && v < math.Inf(1)) {
			t.Fatalf("not finite, or below 0: %+v", f)
		}
	}
	if f.PAlive > 1 || f.BuysAgain > f.PAlive || f.AboutToBeLost > f.CLV || f.LowRiskUntil > f.HighRiskAt {
		t.Fatalf("out of range: %+v", f)
	}
}

// sides is all that is decided by bounds.
func sides(f *operators.Facts) [4]bool {
	return [4]bool{f.HighValue, f.AsOf >= f.HighRiskAt, f.AsOf >= f.LowRiskUntil, f.BornHighRisk}
}

// checkAround checks that f, falling with age, crosses the level at an instant: a millisecond earlier it is above, but for rounding.
func checkAround(t *rapid.T, f func(age float64) float64, p *operators.Purchases, at operators.EventTime, level float64) {
	const rounding = 2e-9 // of f: at x in the thousands the power in P(alive) multiplies that of its base
	before, then := f(max(p.LastAge(), p.Age(at-1))), f(p.Age(at))
	if before < level*(1-rounding) || then > level*(1+rounding) {
		t.Fatalf("at %s it is %v, just before %v; the bound is %v", at, then, before, level)
	}
}

// TestPartsOfAnEvaluation: for any model and history what is computed of a score for less is what Evaluate finds, and the bound of what a customer can lose is one.
func TestPartsOfAnEvaluation(t *testing.T) {
	op := score.New(defaults(nil))
	tight := 0
	rapid.Check(t, func(t *rapid.T) {
		m, p := drawModel(t), drawPurchases(t)
		at := p.FirstStart + operators.EventTime(p.LastAge()+logUniform(t, "silence", 1e-3, 3000))*operators.DayMs
		f := op.Evaluate(&p, m, at)
		if alive, loss := op.PAlive(&p, m, at), op.AboutToBeLost(&p, m, at); alive != f.PAlive || loss != f.AboutToBeLost {
			t.Fatalf("P(alive) %v, about to be lost %v; Evaluate %v, %v", alive, loss, f.PAlive, f.AboutToBeLost)
		}
		most := op.AboutToBeLostMost(&p, m, at)
		if !(most >= f.AboutToBeLost) {
			t.Fatalf("about to be lost is %v, at most %v", f.AboutToBeLost, most)
		}
		if most < 100*f.AboutToBeLost {
			tight++
		}
	})
	if tight == 0 {
		t.Error("the bound is never within a hundred times of what it bounds")
	}
}
