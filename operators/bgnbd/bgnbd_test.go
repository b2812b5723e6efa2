package bgnbd

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The reference parameters of the CDNOW sample, in weeks.
var (
	cdnowBG  = Params{BGNBD, 0.24259452243, 4.41360201901, 0.792922017226, 2.42590677683}
	cdnowMBG = Params{MBGNBD, 0.524843159106, 6.18308527958, 0.891359390732, 1.61400224017}
)

// drawLog draws a number whose logarithm is uniform.
func drawLog(t *rapid.T, lo, hi float64, label string) float64 {
	return math.Exp(rapid.Float64Range(math.Log(lo), math.Log(hi)).Draw(t, label))
}

func drawParams(t *rapid.T) Params {
	p := Params{
		Family: rapid.SampledFrom([]Family{MBGNBD, BGNBD}).Draw(t, "family"),
		R:      drawLog(t, 0.01, 100, "r"),
		Alpha:  drawLog(t, 0.03, 3000, "alpha"),
		A:      drawLog(t, 0.01, 500, "a"),
		B:      drawLog(t, 0.01, 500, "b"),
	}
	if p.R > 20 {
		p.Alpha = max(p.Alpha, p.R) // everybody buys at nearly the same rate: at most once per unit of time
	}
	return p
}

func drawHistory(t *rapid.T, xMax int) History {
	h := History{X: rapid.IntRange(0, xMax).Draw(t, "x"), T: rapid.Float64Range(0, 5000).Draw(t, "T")}
	if h.X > 0 {
		h.TX = h.T * rapid.Float64Range(0, 1).Draw(t, "tx/T")
	}
	return h
}

// TestPAliveFalls: P(alive) is a probability, and falls strictly with silence wherever float64 can tell.
func TestPAliveFalls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawParams(t), drawHistory(t, 5000)
		older := h
		older.T += drawLog(t, 1e-3, 1e4, "silence")
		now, later := p.PAlive(h), p.PAlive(older)
		if !(now >= 0 && now <= 1) {
			t.Fatalf("P(alive) %v", now)
		}
		if p.Family == BGNBD && h.X == 0 {
			if now != 1 || later != 1 {
				t.Fatalf("P(alive) of a one-time buyer under BG/NBD is %v, then %v", now, later)
			}
			return
		}
		// dP/dT = -P (1-P) n/(α+T): what the fall must be at the least, against the spacing of float64.
		fall := later * (1 - now) * (p.R + float64(h.X)) / (p.Alpha + older.T) * (older.T - h.T)
		visible := fall > 1e-14*now && later > 1e-300
		if later > now || visible && later >= now {
			t.Fatalf("P(alive) is %v, then %v", now, later)
		}
	})
}

// TestOneTimeBuyerNeverDiesUnderBGNBD: drop-out follows a repeat purchase only, so at any age P(alive) is 1.
func TestOneTimeBuyerNeverDiesUnderBGNBD(t *testing.T) {
	for _, age := range []float64{0, 1, 39, 1e9} {
		if got := cdnowBG.PAlive(History{T: age}); got != 1 {
			t.Errorf("P(alive) at age %v is %v", age, got)
		}
	}
	if at, status := cdnowBG.Crossing(0, 0, 0.999999); status != Never || !math.IsInf(at, 1) {
		t.Errorf("crosses 0.999999 at %v: %v", at, status)
	}
}

// TestCrossingInvertsPAlive: P(alive) at the crossing is the threshold; above it before, at or below it from the start if
// the customer was born so.
func TestCrossingInvertsPAlive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawParams(t), drawHistory(t, 5000)
		threshold := rapid.Float64Range(0.001, 0.999).Draw(t, "threshold")
		at, status := p.Crossing(h.X, h.TX, threshold)
		alive := func(T float64) float64 { return p.PAlive(History{h.X, h.TX, T}) }
		switch status {
		case AlreadyBelow:
			if at != h.TX || alive(at) > threshold*(1+1e-12) {
				t.Fatalf("already below at %v, where P(alive) is %v", at, alive(at))
			}
		case Never:
			if p.Family == MBGNBD && p.R+float64(h.X) > 1 {
				t.Fatal("never crosses")
			}
		default:
			if at < h.TX {
				t.Fatalf("crosses at %v, before the last purchase", at)
			}
			// An age near 1e3 is known to 1e-13; the exponent n turns that into n times as much.
			tolerance := 1e-12 + 1e-15*(p.R+float64(h.X))
			if got := alive(at); math.Abs(got-threshold) > tolerance {
				t.Fatalf("P(alive) at the crossing %v is %v", at, got)
			}
		}
	})
}

// TestPBuyCrossing: at the returned age PBuy is at or below the threshold, a little before it is above.
func TestPBuyCrossing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawParams(t), drawHistory(t, 500)
		horizon := drawLog(t, 0.1, 1000, "horizon")
		threshold := rapid.Float64Range(0.001, 0.999).Draw(t, "threshold")
		at, status := p.PBuyCrossing(h.X, h.TX, horizon, threshold)
		buy := func(T float64) float64 { return p.PBuy(History{h.X, h.TX, T}, horizon) }
		switch status {
		case AlreadyBelow:
			if at != h.TX || buy(at) > threshold {
				t.Fatalf("already below at %v, where P(buys) is %v", at, buy(at))
			}
		case Crosses:
			if buy(at) > threshold {
				t.Fatalf("P(buys) at %v is %v", at, buy(at))
			}
			before := at - 1e-9*(p.Alpha+at)
			if before > h.TX && buy(before) <= threshold {
				t.Fatalf("P(buys) is %v already at %v, before %v", buy(before), before, at)
			}
		default:
			t.Fatal("a rate that is forgotten with time falls below every threshold")
		}
	})
}

// TestBornBelow is a trap of BG/NBD: one repeat purchase leaves P(alive) at b/(a+b) = 0.754, and no crossing follows.
func TestBornBelow(t *testing.T) {
	born := cdnowBG.B / (cdnowBG.A + cdnowBG.B)
	if at, status := cdnowBG.Crossing(1, 10, born+1e-9); status != AlreadyBelow || at != 10 {
		t.Errorf("just above the birth level: %v at %v", status, at)
	}
	if at, status := cdnowBG.Crossing(1, 10, born-1e-9); status != Crosses || at <= 10 || at > 10.001 {
		t.Errorf("just below the birth level: %v at %v", status, at)
	}
}

func TestFamilyText(t *testing.T) {
	for _, f := range []Family{MBGNBD, BGNBD} {
		if got, err := ParseFamily(f.String()); got != f || err != nil {
			t.Errorf("ParseFamily(%q) is %v, %v", f, got, err)
		}
	}
	if _, err := ParseFamily("paretonbd"); err == nil || !strings.Contains(err.Error(), `"paretonbd"`) {
		t.Errorf("unknown family: error %v", err)
	}
	var zero Family
	if zero != MBGNBD {
		t.Error("the zero Family is not MBG/NBD")
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	if err := cdnowMBG.Validate(); err != nil {
		t.Error(err)
	}
	err := Params{Family: 7, R: math.NaN(), Alpha: math.Inf(1), A: 0, B: -1}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"Family(7)", "r is NaN", "alpha is +Inf", "a is 0", "b is -1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %q", err, part)
		}
	}
}

// TestLikelihoodWithoutDropOut: with a/b to 0 nobody drops out and what remains is a Gamma-Poisson count. Differences of
// ln Γ(10⁹) would leave seven digits fewer.
func TestLikelihoodWithoutDropOut(t *testing.T) {
	for _, family := range []Family{MBGNBD, BGNBD} {
		p := Params{family, 0.7, 5, 1e-9, 1e9}
		h := History{X: 4, TX: 20, T: 30}
		n := p.R + float64(h.X)
		all, _ := math.Lgamma(n)
		none, _ := math.Lgamma(p.R)
		want := all - none + p.R*math.Log(p.Alpha) - n*math.Log(p.Alpha+h.T)
		ll, d := p.Gradient(h)
		if math.Abs(ll-want) > 1e-13*math.Abs(want) {
			t.Errorf("%v: log likelihood %v, want %v", family, ll, want)
		}
		if math.Abs(d[2]) > 1e-12 || math.Abs(d[3]) > 1e-6 {
			t.Errorf("%v: derivatives by ln a and ln b are %v, %v, want 0", family, d[2], d[3])
		}
	}
}

// TestGradientIsTheDerivative compares with differences of the log likelihood over the whole range of parameters.
func TestGradientIsTheDerivative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawParams(t), drawHistory(t, 300)
		_, d := p.Gradient(h)
		const step = 1e-5
		for i, want := range d {
			shifted := func(by float64) float64 {
				q := p
				*[]*float64{&q.R, &q.Alpha, &q.A, &q.B}[i] *= math.Exp(by)
				return q.LogLikelihood(h)
			}
			up, down := shifted(step), shifted(-step)
			got := (up - down) / (2 * step)
			// The third derivative is of the size of the second, at most n²; rounding is that of the difference.
			n := p.R + float64(h.X)
			tolerance := 1e-9*(1+n*n) + 1e-15*max(math.Abs(up), n*math.Log(p.Alpha+h.T), 1)/step*10
			if math.Abs(got-want) > tolerance {
				t.Fatalf("derivative %d is %v, by differences %v", i, want, got)
			}
		}
	})
}

func BenchmarkPAlive(b *testing.B) {
	h := History{X: 2, TX: 30.43, T: 38.86}
	for b.Loop() {
		cdnowMBG.PAlive(h)
	}
}

func BenchmarkCrossing(b *testing.B) {
	for b.Loop() {
		cdnowMBG.Crossing(2, 30.43, 0.3)
	}
}

func BenchmarkPBuyCrossing(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		cdnowMBG.PBuyCrossing(2, 30.43, 4.35, 0.1)
	}
}

func BenchmarkGradient(b *testing.B) {
	h := History{X: 2, TX: 30.43, T: 38.86}
	for b.Loop() {
		cdnowMBG.Gradient(h)
	}
}
