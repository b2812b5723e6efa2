package bgnbd

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// slowExpectedIfAlive integrates over the drop-out probability, which the series of this package never mention: given p, a
// living customer buys (1 − (1+ps)^−n)/p times, and p ~ Beta(a, stay). With y = ln(p/(1−p)) the integrand is analytic
// within π of the real line and falls exponentially on both sides, so the trapezoidal rule converges geometrically.
func slowExpectedIfAlive(p Params, h History, horizon float64) float64 {
	n := p.R + float64(h.X)
	stay := p.B + float64(h.X)
	if p.Family == MBGNBD {
		stay++
	}
	s := horizon / (p.Alpha + h.T)
	lnP := func(y float64) float64 { return min(y, 0) - math.Log1p(math.Exp(-math.Abs(y))) }
	lnDensity := func(y float64) float64 { return p.A*lnP(y) + stay*lnP(-y) }
	mode := math.Log(p.A / stay)
	step := 0.25 / math.Sqrt(1+p.A*stay/(p.A+stay))
	var weights, sum float64
	for _, direction := range []float64{1, -1} {
		for i := 0.0; ; i++ {
			y := mode + direction*(i*step+step/2)
			w := math.Exp(lnDensity(y) - lnDensity(mode))
			if w < 1e-19 && i*step > 1 {
				break
			}
			probability := math.Exp(lnP(y))
			g := n * s // the limit for p to 0
			if probability > 1e-200 {
				g = -math.Expm1(-n*math.Log1p(probability*s)) / probability
			}
			weights += w
			sum += w * g
		}
	}
	return sum / weights
}

func TestSlowExpectationKnowsSimpleCases(t *testing.T) {
	// Nobody drops out: n h/β purchases. Everybody drops out at the next: the chance of one purchase.
	h := History{X: 1, TX: 5, T: 10}
	immortal := slowExpectedIfAlive(Params{MBGNBD, 0.5, 5, 1e-3, 1e9}, h, 20)
	if want := 1.5 * 20 / 15; math.Abs(immortal-want) > 1e-9 {
		t.Errorf("without drop-out %v purchases, want %v", immortal, want)
	}
	once := slowExpectedIfAlive(Params{BGNBD, 0.5, 5, 1e9, 1e-3}, h, 20)
	if want := 1 - math.Pow(1+20.0/15, -1.5); math.Abs(once-want) > 1e-8 {
		t.Errorf("with certain drop-out %v purchases, want %v", once, want)
	}
}

// TestExpectationAgainstIntegral covers Euler's series and its three weak corners, where the sum is done by count: r large
// with x small, b very large, and a in the hundreds with a long horizon.
func TestExpectationAgainstIntegral(t *testing.T) {
	compare := func(t interface{ Fatalf(string, ...any) }, p Params, h History, horizon float64) {
		got, want := p.ExpectedIfAlive(h, horizon), slowExpectedIfAlive(p, h, horizon)
		if math.Abs(got-want) > 1e-11*want {
			t.Fatalf("%v %v within %v: %v purchases, want %v (relative error %.1e)", p, h, horizon, got, want, got/want-1)
		}
		if single := p.DiscountedIfAlive(h, 1, horizon, 0); math.Abs(single-want) > 1e-11*want {
			t.Fatalf("%v %v: %v in one month of %v, want %v", p, h, single, horizon, want)
		}
	}
	for _, family := range []Family{MBGNBD, BGNBD} {
		for _, v := range [][4]float64{
			{0.5, 4.4, 700, 2000}, {0.5, 4.4, 0.8, 1e7}, {0.5, 4.4, 3000, 20}, {50, 4.4, 1, 1}, {200, 100, 0.8, 2}, {2000, 500, 0.02, 3}, {1000, 50, 900, 3000},
		} {
			p := Params{family, v[0], v[1], v[2], v[3]}
			for _, h := range []History{{0, 0, 0}, {0, 0, 50}, {5, 10, 12}, {60, 60, 61}} {
				for _, horizon := range []float64{0.5, 4, 52, 400} {
					compare(t, p, h, horizon)
				}
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawParams(t), drawHistory(t, 200)
		compare(t, p, h, (p.Alpha+h.T)*drawLog(t, 1e-3, 300, "horizon/(alpha+T)"))
	})
}

// TestDiscountedIsTheSum compares with the definition, over more months than one pass takes.
func TestDiscountedIsTheSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawParams(t), drawHistory(t, 200)
		months := rapid.IntRange(0, 40).Draw(t, "months")
		month := (p.Alpha + h.T) * drawLog(t, 1e-3, 3, "month/(alpha+T)")
		rate := rapid.SampledFrom([]float64{0, 0.01, 0.3}).Draw(t, "rate")
		want, before := 0.0, 0.0
		for i := 1; i <= months; i++ {
			e := p.ExpectedIfAlive(h, float64(i)*month)
			want += (e - before) / math.Pow(1+rate, float64(i))
			before = e
		}
		if got := p.DiscountedIfAlive(h, months, month, rate); math.Abs(got-want) > 1e-11*want {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

// TestPredictionsAreOrdered: expectations grow with the horizon and fall with silence, chances stay within [0, P(alive)],
// and nothing becomes NaN or infinite anywhere in the range that a customer base can reach.
func TestPredictionsAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawParams(t), drawHistory(t, 5000)
		horizon := drawLog(t, 1e-6, 5000, "horizon")
		longer := horizon * rapid.Float64Range(1, 3).Draw(t, "longer")
		older := h
		older.T += rapid.Float64Range(0, 5000).Draw(t, "silence")

		n := p.R + float64(h.X)
		unbounded := n * horizon / (p.Alpha + h.T) // of a customer who never drops out
		e, more, less := p.ExpectedIfAlive(h, horizon), p.ExpectedIfAlive(h, longer), p.ExpectedIfAlive(older, horizon)
		if !(0 <= e && e <= unbounded*(1+1e-11)) || math.IsInf(e, 0) {
			t.Fatalf("%v purchases expected, without drop-out %v", e, unbounded)
		}
		if more < e*(1-1e-11) || less > e*(1+1e-11) {
			t.Fatalf("%v purchases expected, %v with a longer horizon, %v when older", e, more, less)
		}
		if got := p.Expected(h, horizon); got > e || got < 0 || math.IsNaN(got) {
			t.Fatalf("%v purchases expected, %v if alive", got, e)
		}
		alive, buy := p.PAlive(h), p.PBuy(h, horizon)
		if !(0 <= buy && buy <= alive) || p.PBuy(h, longer) < buy*(1-1e-14) || p.PBuy(older, horizon) > buy*(1+1e-14) {
			t.Fatalf("P(buys) %v, %v with a longer horizon, %v when older; P(alive) %v",
				buy, p.PBuy(h, longer), p.PBuy(older, horizon), alive)
		}
		v, vOlder := p.DiscountedIfAlive(h, 12, horizon/12, 0.01), p.DiscountedIfAlive(older, 12, horizon/12, 0.01)
		if !(0 <= v && v <= e*(1+1e-11)) || vOlder > v*(1+1e-11) {
			t.Fatalf("discounted %v, %v when older, undiscounted %v", v, vOlder, e)
		}
		ll, d := p.Gradient(h)
		for _, g := range append(d[:], ll) {
			if math.IsNaN(g) || math.IsInf(g, 0) {
				t.Fatalf("log likelihood %v, gradient %v", ll, d)
			}
		}
	})
}

func TestNothingHappensInNoTime(t *testing.T) {
	for _, p := range []Params{cdnowBG, cdnowMBG, {MBGNBD, 50, 60, 1, 1}} {
		h := History{X: 2, TX: 30.43, T: 38.86}
		if e, buy, v := p.ExpectedIfAlive(h, 0), p.PBuy(h, 0), p.DiscountedIfAlive(h, 0, 4, 0.01); e != 0 || buy != 0 || v != 0 {
			t.Errorf("%v: %v purchases, P(buys) %v, discounted %v", p, e, buy, v)
		}
	}
}

// customers of different cost: the series are longest for the young.
var benchmarkCustomers = []struct {
	name string
	h    History
}{
	{"newborn", History{}},
	{"repeater", History{X: 2, TX: 30.43, T: 38.86}},
	{"frequent", History{X: 29, TX: 37, T: 38.86}},
	{"silent", History{X: 1, TX: 10, T: 80}},
}

func BenchmarkExpected(b *testing.B) {
	for _, c := range benchmarkCustomers {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				cdnowMBG.Expected(c.h, 39)
			}
		})
	}
}

func BenchmarkDiscountedIfAlive(b *testing.B) {
	for _, months := range []int{12, 36} {
		for _, c := range benchmarkCustomers {
			b.Run(fmt.Sprintf("months=%d/%s", months, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					cdnowMBG.DiscountedIfAlive(c.h, months, 30.4375/7, 0.01)
				}
			})
		}
	}
}
