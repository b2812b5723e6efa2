package score_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"lull/operators"
	"lull/operators/score"
)

// fitted returns a model of which each parameter is known to a share.
func fitted(m *operators.Model, share float64) *operators.Model {
	of := *m
	of.Fit = &operators.Fit{}
	for i := range of.Fit.Covariance {
		of.Fit.Covariance[i][i] = share * share
	}
	for i := range of.Fit.SpendCovariance {
		of.Fit.SpendCovariance[i][i] = share * share
	}
	return &of
}

// spending returns a model of which the amounts of purchases vary as p and q have it: the larger they are, the less.
func spending(m *operators.Model, p, q float64) *operators.Model {
	of := *m
	of.P, of.Q = p, q
	return &of
}

// TestRanges: the ranges of many are those that ValueRange has for each, those before there are many to the last digit, the others to a thousandth: of the numbers of purchases that have tables of their own and of those that
// share them, of both families, with known parameters and fitted ones. Where amounts vary so little that a table does not tell the values between its nodes, all are ValueRange's.
func TestRanges(t *testing.T) {
	const most = 1e-3
	op, at := score.New(defaults(nil)), instantOf(1000)
	m := cdnow("mbgnbd")
	for _, c := range []struct {
		name       string
		x, silence int
		m          *operators.Model
		shared     bool
	}{
		{"once", 0, 0, m, true},
		{"twice", 1, 150, cdnow("bgnbd"), true},
		{"four times", 3, 100, fitted(m, 0.1), true},
		{"often", 9, 40, m, true},
		{"most days", 100, 3, cdnow("bgnbd"), true},
		{"p 30, q 10, four times", 3, 100, spending(m, 30, 10), true},
		{"p 30, q 10, often", 9, 40, spending(m, 30, 10), false},
		{"p 50, q 50, four times", 3, 100, spending(m, 50, 50), true},
		{"p 50, q 50, often", 9, 40, spending(m, 50, 50), false},
		{"p 500, q 500, once", 0, 0, spending(m, 500, 500), false},
		{"p 500, q 500, four times", 3, 100, spending(m, 500, 500), false},
		{"p 500, q 500, often", 9, 40, spending(m, 500, 500), false},
		{"p 5000, q 3, four times", 3, 100, spending(m, 5000, 3), false},
		{"p 5000, q 3, often", 9, 40, spending(m, 5000, 3), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(c.x)))
			ranges := op.Ranges(c.m, at)
			worst, points, exact := 0.0, 0, 0
			for range 700 {
				x, age := c.x, 150+random.IntN(650)
				if x > 8 {
					x += random.IntN(6)
				}
				last := age - random.IntN(c.silence+1)
				if x == 0 {
					last = 0
				}
				p := purchases(operators.Day(1000-age), x, last, 3000, operators.Money(random.IntN(9000)*x))
				next := ranges.Next(&p)
				if random.IntN(4) > 0 { // those who are looked at count, whether they are asked for or not
					continue
				}
				got, want := next(), op.ValueRange(&p, c.m, score.UncertaintyOf(c.m), at)
				if got == want {
					exact++
				}
				for _, pair := range [][2]float64{{got.Low, want.Low}, {got.Median, want.Median}, {got.High, want.High}} {
					if off := math.Abs(pair[0] - pair[1]); off > 0 {
						points++
						worst = max(worst, off/max(pair[1], 1))
					}
				}
			}
			t.Logf("%d exact, %d points are off by %.2g at most", exact, points, worst)
			if worst > most || (points > 0) != c.shared {
				t.Errorf("%d points differ from ValueRange's, by %.2g at most: want some: %t, by less than %g", points, worst, c.shared, most)
			}
		})
	}
}

func BenchmarkRanges(b *testing.B) {
	op := score.New(defaults(nil))
	for name, m := range map[string]*operators.Model{"known": cdnow("mbgnbd"), "fitted": fitted(cdnow("mbgnbd"), 0.05)} {
		for _, x := range []int{0, 3, 20} {
			b.Run(fmt.Sprintf("%s/x=%d", name, x), func(b *testing.B) {
				p := purchases(0, x, 200*min(1, x), 3000, operators.Money(3000*x))
				ranges := op.Ranges(m, instantOf(300))
				for range 1000 {
					ranges.Next(&p)
				}
				ranges.Next(&p)()
				for b.Loop() {
					ranges.Next(&p)()
				}
			})
		}
	}
}

// TestEvaluateKnown: with what the state knows the same is found as without.
func TestEvaluateKnown(t *testing.T) {
	op, m := score.New(defaults(nil)), cdnow("mbgnbd")
	for x, last := range []int{0, 10, 80, 250} {
		p := purchases(0, x, last, 3000, operators.Money(4000*x))
		for age := 250; age < 900; age += 130 {
			at := instantOf(operators.Day(age))
			f, next, what := op.EvaluateKnown(&p, m, at, op.ValueFalls(&p, m))
			wantNext, wantWhat := op.Next(&p, m, at)
			if want := op.Evaluate(&p, m, at); f != want || next != wantNext || what != wantWhat {
				t.Errorf("x = %d, at %d: %+v, %s, %s, want %+v, %s, %s", x, age, f, next, what, want, wantNext, wantWhat)
			}
		}
	}
}
