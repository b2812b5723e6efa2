package bgnbd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"
)

// gamma draws from the gamma distribution of a shape and rate 1.
func gamma(r *rand.Rand, shape float64) float64 {
	return distuv.Gamma{Alpha: shape, Beta: 1, Src: r}.Rand()
}

// person draws a customer of the model: their purchases after the first within a time, and when the next one comes; +Inf if they have dropped out.
func person(r *rand.Rand, p Params, within float64) (purchases []float64, next float64) {
	rate := gamma(r, p.R) / p.Alpha
	dying, living := gamma(r, p.A), gamma(r, p.B)
	dropOut := dying / (dying + living)
	gone := p.Family == MBGNBD && r.Float64() < dropOut
	for at := r.ExpFloat64() / rate; !gone; at += r.ExpFloat64() / rate {
		if at > within {
			return purchases, at
		}
		purchases = append(purchases, at)
		gone = r.Float64() < dropOut
	}
	return purchases, math.Inf(1)
}

// shop draws the histories of customers who were born at any time of a period.
func shop(r *rand.Rand, p Params, customers int, period float64) []Group {
	groups := make([]Group, customers)
	for i := range groups {
		age := period * r.Float64()
		purchases, _ := person(r, p, age)
		h := History{X: len(purchases), T: age}
		if h.X > 0 {
			h.TX = purchases[h.X-1]
		}
		groups[i] = Group{h, 1}
	}
	return groups
}

func sample(t testing.TB, groups []Group) *Sample {
	t.Helper()
	s, err := NewSample(groups)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func relativeErrors(e *Estimate) [4]float64 {
	var errs [4]float64
	for i := range errs {
		errs[i] = math.Sqrt(e.Covariance[i][i])
	}
	return errs
}

// cdnowGroups are the customers of the sample, in weeks or days.
func cdnowGroups(t *testing.T, unit string) []Group {
	t.Helper()
	var groups []Group
	for _, r := range readRows(t, "cdnow_customers_golden.csv.gz", 2357) {
		groups = append(groups, Group{History{r.int(t, "x"), r.float(t, "t_x_"+unit), r.float(t, "T_"+unit)}, 1})
	}
	return groups
}

// TestFitGolden: the parameters of the CDNOW sample are the reference's, for both families and units of time, whatever an earlier fit was.
func TestFitGolden(t *testing.T) {
	reference := readCDNOW(t)
	for unit, want := range map[string]map[string]cdnowParams{"weeks": reference.ParamsWeeks, "days": reference.ParamsDays} {
		s := sample(t, cdnowGroups(t, unit))
		for _, family := range []Family{MBGNBD, BGNBD} {
			want := want[family.String()]
			for _, earlier := range [][]Params{nil, {{family, 20, 0.1, 30, 0.01}}, {{family, want.R, want.Alpha, want.A, want.B}}} {
				e := s.Fit(family, earlier...)
				parameters := comparison{what: fmt.Sprintf("%s in %s, %d evaluations", family, unit, e.Evaluations), tolerance: 1e-6}
				parameters.check(t, "r", e.Params.R, want.R, 0)
				parameters.check(t, "alpha", e.Params.Alpha, want.Alpha, 0)
				parameters.check(t, "a", e.Params.A, want.A, 0)
				parameters.check(t, "b", e.Params.B, want.B, 0)
				parameters.report(t)
				if !e.Converged || e.Prior || math.Abs(e.LogLikelihood-want.Loglik) > 1e-6 {
					t.Errorf("%s in %s: log likelihood %.9f, want %.9f; %+v", family, unit, e.LogLikelihood, want.Loglik, e)
				}
			}
		}
	}
}

// TestFitRecovers: from simulated shops the parameters come back, and are off by what the standard errors say: by less than 1.2816 of them in 80 % of cases.
func TestFitRecovers(t *testing.T) {
	const shops, customers, within80 = 80, 1000, 1.2816
	r := rand.New(rand.NewPCG(5, 1))
	for _, p := range []Params{cdnowMBG, cdnowBG, {MBGNBD, 2, 8, 0.6, 3}} {
		covered := 0
		for range shops {
			s := sample(t, shop(r, p, customers, 78))
			e := s.Fit(p.Family)
			if !e.Converged {
				t.Fatalf("%+v of a shop of %+v", e, p)
			}
			errs := relativeErrors(&e)
			for i, ratio := range []float64{e.Params.R / p.R, e.Params.Alpha / p.Alpha, e.Params.A / p.A, e.Params.B / p.B} {
				if math.Abs(math.Log(ratio)) < within80*errs[i] {
					covered++
				}
			}
		}
		// The parameters of one shop hang together: count the shops as the sample.
		share := float64(covered) / (4 * shops)
		if sd := math.Sqrt(0.8 * 0.2 / shops); math.Abs(share-0.8) > 3*sd {
			t.Errorf("%+v: %.3f of the intervals of 80 %% hold the parameter (standard deviation %.3f)", p, share, sd)
		}
		t.Logf("%+v: %.3f covered", p, share)
	}
}

// TestFitOnTheRidge: without drop-out to be seen the likelihood rises for ever as a falls and b grows. The fit converges all the same, and predicts
// as who knew that nobody drops out.
func TestFitOnTheRidge(t *testing.T) {
	immortal := Params{MBGNBD, 1.2, 6, 1e-9, 1e9}
	for _, family := range []Family{MBGNBD, BGNBD} {
		s := sample(t, shop(rand.New(rand.NewPCG(3, 3)), immortal, 3000, 104))
		e := s.Fit(family)
		if !e.Converged || !e.Prior {
			t.Fatalf("%+v", e)
		}
		if errs := relativeErrors(&e); errs[0] > 0.1 || errs[2] < 0.5 || errs[3] < 0.5 {
			t.Errorf("%s: relative errors %v: the rate is known, drop-out is not", family, errs)
		}
		h := History{X: 10, TX: 50, T: 52}
		got, want := e.Params.Expected(h, 52), immortal.Expected(h, 52)
		t.Logf("%+v: %v purchases, without drop-out %v", e, got, want)
		if math.Abs(got/want-1) > 0.05 {
			t.Errorf("%s: %v purchases expected, without drop-out %v", family, got, want)
		}
	}
}

// TestFitFindsTheGreaterMaximum: further starts find nothing better, for shops of all kinds and sizes. (Begun in the middle of the prior alone, the fit
// misses the greater of two maxima of MBG/NBD in some of these.)
func TestFitFindsTheGreaterMaximum(t *testing.T) {
	r := rand.New(rand.NewPCG(99, 2))
	logUniform := func(low, high float64) float64 { return low * math.Pow(high/low, r.Float64()) }
	density := func(e *Estimate, unit float64) float64 {
		sum := e.LogLikelihood
		for i, v := range []float64{e.Params.R, e.Params.Alpha / unit, e.Params.A, e.Params.B} {
			off := (math.Log(v) - prior.Mean[i]) / prior.SD
			sum -= off * off / 2
		}
		return sum
	}
	for i := range 120 {
		p := Params{MBGNBD, logUniform(0.05, 5), logUniform(1, 200), logUniform(0.05, 5), logUniform(0.2, 20)}
		s := sample(t, shop(r, p, int(logUniform(2, 3000)), logUniform(20, 1000)))
		e := s.Fit(MBGNBD)
		var more []Params
		for range 3 {
			more = append(more, Params{MBGNBD, logUniform(0.03, 10), s.unit * logUniform(0.1, 30), logUniform(0.03, 10), logUniform(0.03, 20)})
		}
		better := s.Fit(MBGNBD, more...)
		if !e.Converged || density(&better, s.unit) > density(&e, s.unit)+0.01 {
			t.Errorf("shop %d of %+v: %+v, but also %+v", i, p, e, better)
		}
	}
}

// TestFitOfFew: the fewer the customers, the wider the intervals; but there is always an answer, even of one customer, of nobody who bought again, and
// of those who are all newborn.
func TestFitOfFew(t *testing.T) {
	all := shop(rand.New(rand.NewPCG(8, 8)), cdnowMBG, 20_000, 78)
	for _, family := range []Family{MBGNBD, BGNBD} {
		before := 0.0
		for _, count := range []int{20_000, 1000, 50, 1} {
			s := sample(t, all[:count])
			e := s.Fit(family)
			errs := relativeErrors(&e)
			t.Logf("%s, %d customers: %+v", family, count, e)
			if !e.Converged || e.Params.Validate() != nil || errs[2] <= before || errs[3] > 2*prior.SD {
				t.Errorf("%s, %d customers: relative errors %v; %+v", family, count, errs, e)
			}
			before = errs[2]
		}
		for what, groups := range map[string][]Group{
			"nobody bought again": {{History{0, 0, 300}, 40}, {History{0, 0, 20}, 10}},
			"all are newborn":     {{History{0, 0, 0}, 1000}},
			"all buy like clocks": {{History{50, 350, 351}, 500}},
			"one bought 5,000":    {{History{5000, 4999, 5000}, 1}, {History{0, 0, 5000}, 20}},
			"all gone at once":    {{History{1, 1, 5000}, 10_000}},
		} {
			s := sample(t, groups)
			e := s.Fit(family)
			if !e.Converged || e.Params.Validate() != nil {
				t.Errorf("%s, %s: %+v", family, what, e)
			}
			for _, err := range relativeErrors(&e) {
				if !(err > 0 && err <= 2*prior.SD) {
					t.Errorf("%s, %s: relative errors %v", family, what, relativeErrors(&e))
				}
			}
		}
	}
}

// TestFitWeights: a group counts as its customers one by one do, and the unit of time changes α alone.
func TestFitWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		family := rapid.SampledFrom([]Family{MBGNBD, BGNBD}).Draw(t, "family")
		unit := drawLog(t, 0.01, 100, "unit")
		var grouped, single, scaled []Group
		for _, g := range shop(r, cdnowMBG, rapid.IntRange(1, 200).Draw(t, "groups"), 52) {
			g.Customers = float64(1 + r.IntN(3))
			grouped = append(grouped, g)
			for range int(g.Customers) {
				single = append(single, Group{g.History, 1})
			}
			scaled = append(scaled, Group{History{g.X, g.TX * unit, g.T * unit}, g.Customers})
		}
		fit := func(groups []Group) Estimate {
			s, err := NewSample(groups)
			if err != nil {
				t.Fatal(err)
			}
			return s.Fit(family)
		}
		want := fit(grouped).Params
		for what, got := range map[string]Params{"one by one": fit(single).Params, "scaled": fit(scaled).Params} {
			if what == "scaled" {
				got.Alpha /= unit
			}
			for i, ratio := range []float64{got.R / want.R, got.Alpha / want.Alpha, got.A / want.A, got.B / want.B} {
				if math.Abs(ratio-1) > 1e-4 { // a hundred-thousandth of a standard error, which may be a factor of 7
					t.Fatalf("%s: parameter %d of %+v, want %+v", what, i, got, want)
				}
			}
		}
	})
}

// TestHessianIsTheDerivative compares with differences of the gradient over a wide range of parameters.
func TestHessianIsTheDerivative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawParams(t), drawHistory(t, 300)
		l := p.Likelihood(h)
		const step = 1e-5
		n := p.R + float64(h.X)
		for i := range 4 {
			shifted := func(by float64) [4]float64 {
				q := p
				*[]*float64{&q.R, &q.Alpha, &q.A, &q.B}[i] *= math.Exp(by)
				return q.Likelihood(h).Gradient
			}
			up, down := shifted(step), shifted(-step)
			for j := range 4 {
				got := (up[j] - down[j]) / (2 * step)
				// The third derivatives are at most of the size n³, reached where the odds of death turn; rounding is that of the difference.
				tolerance := 1e-9*(1+n*n) + 1e-10*n*n*n + 1e-15*max(math.Abs(up[j]), n*math.Log1p(h.T/p.Alpha), 1)/step*10
				if want := l.Hessian[i][j]; math.Abs(got-want) > tolerance || l.Hessian[j][i] != want {
					t.Fatalf("second derivative %d, %d is %v, by differences %v", i, j, want, got)
				}
			}
		}
	})
}

func TestNewSampleNamesTheFault(t *testing.T) {
	good := Group{History{1, 2, 3}, 1}
	for want, bad := range map[string]Group{
		"it has 0 customers":        {History{1, 2, 3}, 0},
		"it has NaN customers":      {History{1, 2, 3}, math.NaN()},
		"x is -1":                   {History{-1, 0, 3}, 1},
		"t_x is 2 with x = 0":       {History{0, 2, 3}, 1},
		"t_x is -2 with x = 1":      {History{1, -2, 3}, 1},
		"age T is 1, must be":       {History{1, 2, 1}, 1},
		"age T is +Inf, must be":    {History{1, 2, math.Inf(1)}, 1},
		"age T is NaN, must be fin": {History{1, 2, math.NaN()}, 1},
	} {
		if _, err := NewSample([]Group{good, bad}); err == nil || !strings.Contains(err.Error(), "group 1: "+want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := NewSample(nil); err == nil {
		t.Error("no error without customers")
	}
}

// BenchmarkFit fits a hundred thousand customers of a CDNOW-like shop in two years, one by one.
func BenchmarkFit(b *testing.B) {
	days := cdnowMBG
	days.Alpha *= 7
	groups := shop(rand.New(rand.NewPCG(1, 1)), days, 100_000, 730)
	for _, family := range []Family{MBGNBD, BGNBD} {
		b.Run(family.String(), func(b *testing.B) {
			for b.Loop() {
				s := sample(b, groups)
				s.Fit(family)
			}
		})
	}
}
