package score_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/score"
)

const allMeasures = operators.Measures(1<<(operators.AboutToBeLost+1) - 1)

// measured returns the measures of facts, by number.
func measured(f *operators.Facts) []float64 {
	return []float64{
		operators.PAlive: f.PAlive, operators.ChurnRisk: f.Risk(), operators.CLV: f.CLV, operators.BuysAgain: f.BuysAgain, operators.ExpectedPurchases: f.ExpectedPurchases,
		operators.SilentDays: f.Age - f.LastAge, operators.Age: f.Age, operators.ValueAtRisk: f.ValueAtRisk, operators.AboutToBeLost: f.AboutToBeLost,
	}
}

// TestMoment: the measures of a moment are those of Evaluate, to the bit.
func TestMoment(t *testing.T) {
	op := score.New(defaults(nil))
	rapid.Check(t, func(t *rapid.T) {
		m, p := drawModel(t), drawPurchases(t)
		at := p.FirstStart + operators.EventTime(float64(p.Last-p.First)*operators.DayMs) + operators.EventTime(rapid.Int64Range(-3_600_000, 3000*operators.DayMs).Draw(t, "silence"))
		f, moment := op.Evaluate(&p, m, at), op.Moment(&p, m, at, allMeasures)
		for what, is := range measured(&f) {
			if got := measured(&moment.Facts)[what]; got != is && !(math.IsNaN(got) && math.IsNaN(is)) {
				t.Fatalf("measure %d is %v, and %v in a moment", what, is, got)
			}
		}
		if moment.Facts.AsOf != at {
			t.Fatalf("a moment of %s is of %s", at, moment.Facts.AsOf)
		}
	})
}

// TestEnclose: between two moments every measure lies where its enclosure says, and moves from any instant to any other with a slope that lies there too.
func TestEnclose(t *testing.T) {
	op := score.New(defaults(nil))
	rapid.Check(t, func(t *rapid.T) {
		m, p := drawModel(t), drawPurchases(t)
		m.Alpha = max(m.Alpha, 0.1)
		start := p.FirstStart + operators.EventTime(float64(p.Last-p.First)*operators.DayMs)
		from := start + operators.EventTime(rapid.Int64Range(0, 1000*operators.DayMs).Draw(t, "from"))
		length := math.Exp(rapid.Float64Range(math.Log(1000), math.Log(1000*operators.DayMs)).Draw(t, "length"))
		to := from + operators.EventTime(length)
		a, b := op.Moment(&p, m, from, allMeasures), op.Moment(&p, m, to, allMeasures)
		op.FindSlopes(&p, m, allMeasures, &a, &b)
		for range 4 {
			one := from + operators.EventTime(rapid.Int64Range(0, int64(to-from)).Draw(t, "one"))
			other := from + operators.EventTime(rapid.Int64Range(0, int64(to-from)).Draw(t, "other"))
			f, g := op.Evaluate(&p, m, one), op.Evaluate(&p, m, other)
			for what, is := range measured(&f) {
				e := op.Enclose(&a, &b, operators.Measure(what))
				if is < e.Value.Low || is > e.Value.High {
					t.Fatalf("measure %d is %v at %s, outside of %v", what, is, one, e.Value)
				}
				if one == other {
					continue
				}
				then := measured(&g)[what]
				days := other.DaysSince(one)
				scale := math.Abs(is) + math.Abs(then) + f.CLV // of what rounding leaves of a slope over a millisecond
				if measure := operators.Measure(what); measure == operators.SilentDays || measure == operators.Age {
					scale = f.Age + g.Age
				}
				slope, off := (then-is)/days, 1e-10*scale/math.Abs(days)
				if slope < e.Slope.Low-off || slope > e.Slope.High+off {
					t.Fatalf("measure %d moves from %v at %s to %v at %s, by %v a day, outside of %v", what, is, one, then, other, slope, e.Slope)
				}
			}
		}
	})
}
