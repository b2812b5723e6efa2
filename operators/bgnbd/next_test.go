package bgnbd

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// TestPNoBuy: it is what PBuy leaves, in the golden vectors to the last digits.
func TestPNoBuy(t *testing.T) {
	c := comparison{what: "P(no purchase)", tolerance: 1e-11}
	for _, r := range readRows(t, "conditional_expectation.csv.gz", 520) {
		p, h, horizon := r.params(t), History{X: r.int(t, "x"), TX: r.float(t, "t_x"), T: r.float(t, "T")}, r.float(t, "t")
		c.check(t, r["id"], p.PNoBuy(h, horizon), 1-r.float(t, "p_buy"), 1e-3)
	}
	c.report(t)
	// Who buys every day: the complement of 1 − 4e-18 would be 0.
	daily := Params{MBGNBD, 1, 1, 1e-40, 1}
	h := History{X: 1000, TX: 1000, T: 1000}
	if got, want := daily.PNoBuy(h, 41), math.Pow(1001.0/1042, 1001); math.Abs(got/want-1) > 1e-12 {
		t.Errorf("P(no purchase) %v, want %v", got, want)
	}
}

// TestNextPurchase: within the time returned a purchase comes with the probability asked for, of those who are alive; and the range of histories gives
// numbers that grow with the probability and with silence.
func TestNextPurchase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawParams(t), drawHistory(t, 5000)
		q := rapid.Float64Range(0.001, 0.999).Draw(t, "q")
		wait := p.NextPurchase(h, q)
		if math.IsNaN(wait) || wait < 0 {
			t.Fatalf("wait %v", wait)
		}
		if !math.IsInf(wait, 1) && p.PAlive(h) > 1e-300 {
			if got := p.PBuy(h, wait) / p.PAlive(h); math.Abs(got-q) > 1e-9 {
				t.Fatalf("within %v a purchase comes with %v, want %v", wait, got, q)
			}
		}
		older := h
		older.T += rapid.Float64Range(0, 1000).Draw(t, "silence")
		if p.NextPurchase(h, q*0.9) > wait || p.NextPurchase(older, q) < wait*(1-1e-12) {
			t.Fatalf("wait %v, %v for a lesser probability, %v after more silence", wait, p.NextPurchase(h, q*0.9), p.NextPurchase(older, q))
		}
	})
	if got := cdnowMBG.NextPurchase(History{}, 0); got != 0 {
		t.Errorf("with probability 0 within %v", got)
	}
}

// TestNextPurchaseSimulated: of simulated customers with three repeat purchases at an age of 52, as many buy again as are alive by the model, and of those
// who do as many within the median and within the ends of the interval.
func TestNextPurchaseSimulated(t *testing.T) {
	const x, age, customers = 3, 52, 150_000
	r := rand.New(rand.NewPCG(4, 2))
	for _, p := range []Params{cdnowMBG, cdnowBG} {
		var found, again, expectedAgain float64
		var within, levels = [3]float64{}, [3]float64{0.1, 0.5, 0.9}
		for range customers {
			purchases, next := person(r, p, age)
			if len(purchases) != x {
				continue
			}
			h := History{x, purchases[x-1], age}
			found++
			expectedAgain += p.PAlive(h)
			if math.IsInf(next, 1) {
				continue
			}
			again++
			for i, q := range levels {
				if next-age <= p.NextPurchase(h, q) {
					within[i]++
				}
			}
		}
		if sd := math.Sqrt(found) / 2; math.Abs(again-expectedAgain) > 4*sd {
			t.Errorf("%+v: %v of %v buy again, want %v", p, again, found, expectedAgain)
		}
		for i, q := range levels {
			if share, sd := within[i]/again, math.Sqrt(q*(1-q)/again); math.Abs(share-q) > 4*sd {
				t.Errorf("%+v: within the %v point %.4f (standard deviation %.4f)", p, q, share, sd)
			}
		}
	}
}

// TestCounts: probabilities that sum to 1, with the mean that Expected has by another sum, and PNoBuy at 0; throughout the range of histories.
func TestCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawParams(t), drawHistory(t, 5000)
		horizon := (p.Alpha + h.T) * drawLog(t, 1e-3, 2, "horizon/(alpha+T)")
		counts := p.Counts(h, horizon)
		sum, mean := 0.0, 0.0
		for k, probability := range counts {
			if !(probability >= 0 && probability <= 1) {
				t.Fatalf("P(%d) is %v", k, probability)
			}
			sum += probability
			mean += float64(k) * probability
		}
		// ln Γ of n has some 1e-16 n ln n of error where the counts begin above 0, and so has each of them, relatively.
		n := p.R + float64(h.X)
		tolerance := 1e-11 + 1e-14*n
		if math.Abs(sum-1) > tolerance || math.Abs(counts[0]-p.PNoBuy(h, horizon)) > tolerance {
			t.Fatalf("sum %v; P(0) %v, want %v", sum, counts[0], p.PNoBuy(h, horizon))
		}
		if want := p.Expected(h, horizon); math.Abs(mean-want) > tolerance*(1+float64(len(counts))) {
			t.Fatalf("mean %v, want %v", mean, want)
		}
	})
}

// TestCountsOfTheFrequent: where P(J = 0) is beyond float64.
func TestCountsOfTheFrequent(t *testing.T) {
	for _, p := range []Params{{MBGNBD, 1, 1, 1e-3, 50}, {BGNBD, 1, 1, 0.8, 2}} {
		h := History{X: 5000, TX: 4999.5, T: 5000}
		counts := p.Counts(h, 5000)
		sum, mean := 0.0, 0.0
		for k, probability := range counts {
			sum += probability
			mean += float64(k) * probability
		}
		if want := p.Expected(h, 5000); math.Abs(sum-1) > 1e-9 || math.Abs(mean/want-1) > 1e-9 {
			t.Errorf("%+v: sum %v, mean %v, want %v", p, sum, mean, want)
		}
	}
}
