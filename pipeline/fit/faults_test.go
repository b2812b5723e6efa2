package fit

import (
	"math"
	"strings"
	"testing"

	"lull/operators"
	"lull/operators/bgnbd"
)

// sound returns a verdict in which nothing speaks against an adoption.
func sound() *Verdict {
	v := &Verdict{
		Model: &operators.Model{
			Version: "v1", Family: "mbgnbd", R: 1, Alpha: 1, A: 1, B: 1, P: 1, Q: 2, V: 1, HighValue: 1, Fit: &operators.Fit{}, Cuts: &operators.Cuts{},
		},
		Repeats: Tracking{Expected: 100, Actual: 101}, MeanSpend: Tracking{Expected: 10, Actual: 11},
	}
	v.Purchases.Converged, v.Spend.Converged = true, true
	return v
}

// TestFaults: each fault alone is found, and what is none is not.
func TestFaults(t *testing.T) {
	champion := &operators.Model{Version: "v0"}
	for name, c := range map[string]struct {
		change func(v *Verdict)
		want   string
	}{
		"none":                        {func(*Verdict) {}, ""},
		"purchases not converged":     {func(v *Verdict) { v.Purchases.Converged = false }, "purchases have not converged"},
		"spend not converged":         {func(v *Verdict) { v.Spend.Converged = false }, "spend have not converged"},
		"all spend alike":             {func(v *Verdict) { v.Spend.Converged, v.SpendAlike = false, true }, ""},
		"no model to score by":        {func(v *Verdict) { v.Model.Q = 1 }, "q is 1"},
		"a parameter is infinite":     {func(v *Verdict) { v.Model.Alpha = math.Inf(1) }, "alpha is +Inf"},
		"a cut is undefined":          {func(v *Verdict) { v.Model.Cuts.Monetary[2] = math.NaN() }, "not finite"},
		"a covariance is infinite":    {func(v *Verdict) { v.Model.Fit.Covariance[1][1] = math.Inf(1) }, "not finite"},
		"that of spend is infinite":   {func(v *Verdict) { v.Model.Fit.SpendCovariance[2][0] = math.Inf(-1) }, "not finite"},
		"half the repeats":            {func(v *Verdict) { v.Repeats = Tracking{1000, 2001} }, "expects 1000 repeat purchases until now, where there were 2001"},
		"almost half":                 {func(v *Verdict) { v.Repeats = Tracking{1000, 1999} }, ""},
		"twice the repeats":           {func(v *Verdict) { v.Repeats = Tracking{2001, 1000} }, "expects 2001 repeat purchases until now, where there were 1000"},
		"no number of repeats":        {func(v *Verdict) { v.Repeats.Expected = math.NaN() }, "repeat purchases"},
		"half of few repeats":         {func(v *Verdict) { v.Repeats = Tracking{40, 99} }, ""},
		"half the spend":              {func(v *Verdict) { v.MeanSpend = Tracking{10, 20.1} }, "mean purchase of 10.00, where it is 20.10"},
		"half the spend of few":       {func(v *Verdict) { v.Repeats, v.MeanSpend = Tracking{40, 40}, Tracking{10, 20.1} }, ""},
		"worse by chance":             {func(v *Verdict) { v.Holdout = heldOut(-0.02, 0.011) }, ""},
		"worse by more than chance":   {func(v *Verdict) { v.Holdout = heldOut(-0.02, 0.009) }, "worse than v0"},
		"worse by next to nothing":    {func(v *Verdict) { v.Holdout = heldOut(-0.0072, 0.0001) }, ""},
		"worse by what matters":       {func(v *Verdict) { v.Holdout = heldOut(-0.0073, 0.0001) }, "worse than v0"},
		"better by more than chance":  {func(v *Verdict) { v.Holdout = heldOut(0.02, 0.001) }, ""},
		"much was expected, not done": {func(v *Verdict) { v.Holdout = heldOut(-0.0073, 0.0001); v.Holdout.Champion.Expected = 1000 }, ""},
	} {
		v := sound()
		c.change(v)
		faults := strings.Join(v.faults(champion), "; ")
		if c.want == "" && faults != "" || !strings.Contains(faults, c.want) {
			t.Errorf("%s: %q, want %q", name, faults, c.want)
		}
	}
}

// heldOut is a test of a thousand members with 500 purchases: log scores matter from 4.74 + 500 · 0.005 = 7.24 on, all together.
func heldOut(difference, standardError float64) *Holdout {
	return &Holdout{Weeks: 13, Members: 1000, Actual: 500, Champion: &Forecast{Params: bgnbd.Params{}, Expected: 480}, Difference: difference, StandardError: standardError}
}
