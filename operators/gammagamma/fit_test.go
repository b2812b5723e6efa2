package gammagamma

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"
)

func sample(t testing.TB, groups []Group) *Sample {
	t.Helper()
	s, err := NewSample(groups)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cdnowGroups are the repeaters of the sample, in dollars.
func cdnowGroups(t *testing.T) []Group {
	t.Helper()
	var groups []Group
	for _, r := range readRows(t, "cdnow_spend.csv", 2357) {
		if x, spend := int(number(t, r["x"])), number(t, r["spend_repeat_total"]); x > 0 && spend > 0 {
			groups = append(groups, Group{x, spend, 1})
		}
	}
	return groups
}

// TestFitGolden: the parameters of the CDNOW sample are the reference's, whatever an earlier fit was.
func TestFitGolden(t *testing.T) {
	s := sample(t, cdnowGroups(t))
	for _, earlier := range [][]Params{nil, {{0.01, 1.001, 1e5}}, {cdnow}} {
		e := s.Fit(earlier...)
		if differs(e.Params.P, cdnow.P, 0, 1e-6) || differs(e.Params.Q, cdnow.Q, 0, 1e-6) || differs(e.Params.V, cdnow.V, 0, 1e-6) {
			t.Errorf("%+v, want %+v", e.Params, cdnow)
		}
		if e.Prior || !e.Converged || math.Abs(e.LogLikelihood-cdnowLogLikelihood) > 1e-6 || s.Customers() != cdnowRepeaters {
			t.Errorf("%+v of %v customers, want a log likelihood of %v", e, s.Customers(), cdnowLogLikelihood)
		}
		t.Logf("%d evaluations", e.Evaluations)
	}
}

// TestFitFromGrid: with the means rounded to 32 bins an octave the parameters stay within 0.5 %.
func TestFitFromGrid(t *testing.T) {
	const bins = 32
	type cell struct{ x, bin int }
	cells := make(map[cell]float64)
	for _, g := range cdnowGroups(t) {
		cells[cell{g.X, int(math.Floor(bins * math.Log2(g.Spend/float64(g.X))))}]++
	}
	var groups []Group
	for c, count := range cells {
		groups = append(groups, Group{c.x, float64(c.x) * math.Exp2((float64(c.bin)+0.5)/bins), count})
	}
	s := sample(t, groups)
	e := s.Fit()
	if differs(e.Params.P, cdnow.P, 0, 5e-3) || differs(e.Params.Q, cdnow.Q, 0, 5e-3) || differs(e.Params.V, cdnow.V, 0, 5e-3) {
		t.Errorf("%+v, want %+v", e.Params, cdnow)
	}
}

// gamma draws from the gamma distribution of a shape and rate 1.
func gamma(r *rand.Rand, shape float64) float64 {
	return distuv.Gamma{Alpha: shape, Beta: 1, Src: r}.Rand()
}

// shop draws repeaters of the model.
func shop(r *rand.Rand, p Params, customers int) []Group {
	groups := make([]Group, customers)
	for i := range groups {
		x := 1 + int(r.ExpFloat64()*2)
		rate := gamma(r, p.Q) / p.V
		groups[i] = Group{x, gamma(r, p.P*float64(x)) / rate, 1}
	}
	return groups
}

// TestFitRecovers: from simulated shops the parameters come back, and are off by what the standard errors say: by less than 1.2816 of them in 80 % of cases.
func TestFitRecovers(t *testing.T) {
	const shops, customers, within80 = 200, 1000, 1.2816
	r := rand.New(rand.NewPCG(5, 1))
	covered := 0
	for range shops {
		s := sample(t, shop(r, cdnow, customers))
		e := s.Fit()
		if !e.Converged {
			t.Fatalf("%+v", e)
		}
		for i, ratio := range []float64{e.Params.P / cdnow.P, (e.Params.Q - 1) / (cdnow.Q - 1), e.Params.V / cdnow.V} {
			if math.Abs(math.Log(ratio)) < within80*math.Sqrt(e.Covariance[i][i]) {
				covered++
			}
		}
	}
	// The parameters of one shop hang together: count the shops as the sample.
	share := float64(covered) / (3 * shops)
	if sd := math.Sqrt(0.8 * 0.2 / shops); math.Abs(share-0.8) > 3*sd {
		t.Errorf("%.3f of the intervals of 80 %% hold the parameter (standard deviation %.3f)", share, sd)
	}
}

// TestFitOfFew: there is an answer of any sample, and its population mean is near the sample's. Few customers leave wide intervals.
func TestFitOfFew(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	all := shop(r, cdnow, 5000)
	same := make([]Group, 400)
	for i := range same {
		x := 1 + r.IntN(5)
		same[i] = Group{x, 9.99 * float64(x), 1}
	}
	for what, c := range map[string]struct {
		groups   []Group
		tied     bool // all spend the same: there is no maximum
		errorMin float64
	}{
		"5,000":            {all, false, 0},
		"30":               {all[:30], false, 0.2},
		"one":              {all[:1], false, 1},
		"all pay the same": {same, true, 0},
		"one pays 1e9":     {append([]Group{{1, 1e9, 1}}, all[:50]...), false, 0},
		"cents":            {[]Group{{1, 0.01, 7}, {2, 0.03, 1}}, false, 0.2},
	} {
		s := sample(t, c.groups)
		e := s.Fit()
		t.Logf("%s: %+v", what, e)
		if e.Params.Validate() != nil || e.Converged == c.tied || math.Sqrt(e.Covariance[0][0]) < c.errorMin {
			t.Errorf("%s: %+v", what, e)
		}
		if c.tied && math.Abs(e.Params.Mean(3, 29.97)-9.99) > 1e-4 {
			t.Errorf("%s: mean %v", what, e.Params.Mean(3, 29.97))
		}
	}
}

// TestHessianIsTheDerivative compares with differences of the gradient over a wide range of parameters.
func TestHessianIsTheDerivative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		x := rapid.IntRange(1, 500).Draw(t, "x")
		spend := float64(x) * rapid.Float64Range(0.01, 1e4).Draw(t, "mean")
		l := p.Likelihood(x, spend)
		const step = 1e-5
		size := (p.P*float64(x) + p.Q) * (1 + math.Abs(math.Log(spend/p.V)) + math.Log1p(p.Q) + math.Log1p(p.P*float64(x)))
		for i := range 3 {
			shifted := func(by float64) [3]float64 {
				q := p
				*[]*float64{&q.P, &q.Q, &q.V}[i] *= math.Exp(by)
				return q.Likelihood(x, spend).Gradient
			}
			up, down := shifted(step), shifted(-step)
			for j := range 3 {
				if got, want := (up[j]-down[j])/(2*step), l.Hessian[i][j]; math.Abs(got-want) > 1e-9*(1+size) || l.Hessian[j][i] != want {
					t.Fatalf("second derivative %d, %d is %v, by differences %v", i, j, want, got)
				}
			}
		}
	})
}

func TestNewSampleNamesTheFault(t *testing.T) {
	for want, bad := range map[string]Group{
		"it has 0 customers": {1, 2, 0},
		"x is 0":             {0, 2, 1},
		"spend is 0":         {1, 0, 1},
		"spend is NaN":       {1, math.NaN(), 1},
		"spend is +Inf":      {1, math.Inf(1), 1},
	} {
		if _, err := NewSample([]Group{{1, 2, 1}, bad}); err == nil || !strings.Contains(err.Error(), "group 1: "+want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := NewSample(nil); err == nil {
		t.Error("no error without customers")
	}
}

func BenchmarkFit(b *testing.B) {
	s := sample(b, shop(rand.New(rand.NewPCG(1, 1)), cdnow, 100_000))
	for b.Loop() {
		s.Fit()
	}
}
