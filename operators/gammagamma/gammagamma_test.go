package gammagamma

import (
	"encoding/csv"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The maximum likelihood parameters of the CDNOW sample, in dollars, and their log likelihood, as the reference has them.
var cdnow = Params{P: 6.24957227132, Q: 3.74422466713, V: 15.4435209626}

const (
	cdnowLogLikelihood  = -4055.9176948
	cdnowPopulationMean = 35.1703712657
	cdnowRepeaters      = 946
)

// readRows reads a reference file (testdata/README.md), by column name.
func readRows(t *testing.T, name string, want int) []map[string]string {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, record := range records[1:] {
		r := map[string]string{}
		for i, column := range records[0] {
			r[column] = record[i]
		}
		rows = append(rows, r)
	}
	if len(rows) != want {
		t.Fatalf("%s has %d rows, want %d", name, len(rows), want)
	}
	return rows
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// differs compares relatively; scale is the least magnitude that counts as such.
func differs(got, want, scale, tolerance float64) bool {
	return !(math.Abs(got-want) <= tolerance*max(math.Abs(want), scale))
}

func TestGolden(t *testing.T) {
	for _, r := range readRows(t, "gamma_gamma.csv", 120) {
		p := Params{number(t, r["p"]), number(t, r["q"]), number(t, r["v"])}
		x := int(number(t, r["x"]))
		spend := float64(x) * number(t, r["m"])
		if got, want := p.Mean(x, spend), number(t, r["expected"]); differs(got, want, 0, 1e-13) {
			t.Errorf("row %s: mean %v, want %v", r["id"], got, want)
		}
		if r["loglik"] == "" {
			if x > 0 {
				t.Errorf("row %s has no log likelihood", r["id"])
			}
			continue
		}
		ll, d := p.Gradient(x, spend)
		if want := number(t, r["loglik"]); differs(ll, want, 1, 1e-13) {
			t.Errorf("row %s: log likelihood %v, want %v", r["id"], ll, want)
		}
		if got := p.LogLikelihood(x, spend); got != ll {
			t.Errorf("row %s: LogLikelihood %v, but %v with the gradient", r["id"], got, ll)
		}
		for i, column := range []string{"d_log_p", "d_log_q", "d_log_v"} {
			if want := number(t, r[column]); differs(d[i], want, 1e-3, 1e-12) {
				t.Errorf("row %s: %s %v, want %v", r["id"], column, d[i], want)
			}
		}
	}
}

// TestCDNOW: the mean for every customer, and that the likelihood of all repeaters is the reference's and its gradient
// vanishes: the parameters are its maximum.
func TestCDNOW(t *testing.T) {
	if got := cdnow.Mean(0, 0); differs(got, cdnowPopulationMean, 0, 1e-11) {
		t.Errorf("population mean %v, want %v", got, cdnowPopulationMean)
	}
	repeaters := 0
	var all float64
	var gradient [3]float64
	for _, r := range readRows(t, "cdnow_spend.csv", 2357) {
		x, spend := int(number(t, r["x"])), number(t, r["spend_repeat_total"])
		if got, want := cdnow.Mean(x, spend), number(t, r["e_spend"]); differs(got, want, 0, 1e-11) {
			t.Errorf("customer %s: mean %v, want %v", r["customer_id"], got, want)
		}
		if x == 0 || spend == 0 {
			continue
		}
		repeaters++
		ll, d := cdnow.Gradient(x, spend)
		all += ll
		for i := range d {
			gradient[i] += d[i]
		}
	}
	if repeaters != cdnowRepeaters || math.Abs(all-cdnowLogLikelihood) > 1e-7 {
		t.Errorf("log likelihood %.9f of %d repeaters, want %v of %d", all, repeaters, cdnowLogLikelihood, cdnowRepeaters)
	}
	for i, g := range gradient {
		if math.Abs(g) > 1e-7 {
			t.Errorf("derivative %d of the log likelihood is %v at its maximum", i, g)
		}
	}
}

// TestPublished: two answers of the reference for the parameters that Fader & Hardie (2013) print.
func TestPublished(t *testing.T) {
	p := Params{6.25, 3.74, 15.44}
	if got := p.Mean(2, 2*22.35); differs(got, 24.6637139108, 0, 1e-11) {
		t.Errorf("mean after two purchases of 22.35 is %v", got)
	}
	if got := p.Mean(0, 0); differs(got, 35.2189781022, 0, 1e-11) {
		t.Errorf("population mean is %v", got)
	}
}

func drawParams(t *rapid.T) Params {
	draw := func(label string, low, lo, hi float64) float64 {
		return low + math.Exp(rapid.Float64Range(math.Log(lo), math.Log(hi)).Draw(t, label))
	}
	return Params{draw("p", 0, 0.01, 1000), draw("q-1", 1, 0.01, 1000), draw("v", 0, 0.01, 1e5)}
}

// TestMeanLiesBetween: the prediction lies between the population's mean and the customer's own, and comes near the latter
// with many purchases.
func TestMeanLiesBetween(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		x := rapid.IntRange(1, 5000).Draw(t, "x")
		own := rapid.Float64Range(0, 1e6).Draw(t, "mean")
		population := p.Mean(0, 0)
		got := p.Mean(x, float64(x)*own)
		if got < min(own, population)*(1-1e-12) || got > max(own, population)*(1+1e-12) {
			t.Fatalf("%v is not between %v and %v", got, own, population)
		}
		if many := p.Mean(1e15, 1e15*own); math.Abs(many-own) > 1e-6*max(own, population) {
			t.Fatalf("%v after 1e15 purchases of %v", many, own)
		}
	})
}

// TestGradientIsTheDerivative compares with differences of the log likelihood over a wide range of parameters.
func TestGradientIsTheDerivative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		x := rapid.IntRange(1, 500).Draw(t, "x")
		spend := float64(x) * rapid.Float64Range(0.01, 1e4).Draw(t, "mean")
		_, d := p.Gradient(x, spend)
		const step = 1e-5
		for i, want := range d {
			shifted := func(by float64) float64 {
				q := p
				*[]*float64{&q.P, &q.Q, &q.V}[i] *= math.Exp(by)
				return q.LogLikelihood(x, spend)
			}
			up, down := shifted(step), shifted(-step)
			// Each term of the likelihood is at most size; so are its derivatives.
			size := (p.P*float64(x) + p.Q) * (1 + math.Abs(math.Log(spend/p.V)) + math.Log1p(p.Q) + math.Log1p(p.P*float64(x)))
			if got := (up - down) / (2 * step); math.Abs(got-want) > 1e-9*(1+size) {
				t.Fatalf("derivative %d is %v, by differences %v", i, want, got)
			}
		}
	})
}

// TestSumAtMost: against simulation, and its mean against Mean: the mean of an amount that is 0 or more is the area over its distribution.
func TestSumAtMost(t *testing.T) {
	const draws, x, spend = 200_000, 2, 44.69
	r := rand.New(rand.NewPCG(2, 1))
	for _, k := range []int{1, 3, 20} {
		amounts := []float64{0, 5, 25, 60, 100, 400, 1000}
		below := make([]float64, len(amounts))
		for range draws {
			rate := gamma(r, cdnow.Q+cdnow.P*x) / (cdnow.V + spend)
			sum := 0.0
			for range k {
				sum += gamma(r, cdnow.P) / rate
			}
			for i, amount := range amounts {
				if sum <= amount {
					below[i]++
				}
			}
		}
		for i, amount := range amounts {
			if got, want := cdnow.SumAtMost(x, spend, k, amount), below[i]/draws; math.Abs(got-want) > 4*0.5/math.Sqrt(draws) {
				t.Errorf("%d purchases up to %v: %v, simulated %v", k, amount, got, want)
			}
		}
		mean := 0.0
		const step = 0.05
		for amount := step / 2; amount < 5000; amount += step {
			mean += step * (1 - cdnow.SumAtMost(x, spend, k, amount))
		}
		if want := float64(k) * cdnow.Mean(x, spend); math.Abs(mean/want-1) > 1e-4 {
			t.Errorf("%d purchases come to %v in the mean, want %v", k, mean, want)
		}
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	if err := cdnow.Validate(); err != nil {
		t.Error(err)
	}
	err := Params{P: math.NaN(), Q: 1, V: math.Inf(1)}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"p is NaN", "q is 1, must be finite and above 1", "v is +Inf"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %q", err, part)
		}
	}
}

func BenchmarkMean(b *testing.B) {
	for b.Loop() {
		cdnow.Mean(2, 44.69)
	}
}

func BenchmarkGradient(b *testing.B) {
	for b.Loop() {
		cdnow.Gradient(2, 44.69)
	}
}
