package fit

import (
	"fmt"
	"math"

	"lull/operators"
	"lull/operators/score"
)

// Verdict is whether a candidate is to be adopted, and why.
type Verdict struct {
	Adopted bool
	// Reasons are for a person: of a refusal its faults, of an adoption what speaks for it.
	Reasons []string
	// Model is the candidate; nil if nothing could be fitted.
	Model *operators.Model
	// Estimates are what the model's parameters were taken from; zero as far as nothing could be fitted.
	Estimates
	// Repeats are the repeat purchases of all customers from their births to now, MeanSpend the mean over customers of what one of them comes to: as the
	// model has them, and as they are.
	Repeats, MeanSpend Tracking
	// Holdout is the test on held-out weeks; nil if none was possible, and then NoHoldout says why.
	Holdout   *Holdout
	NoHoldout string
}

// Tracking is how a model agrees with what it was fitted to.
type Tracking struct {
	Expected, Actual float64
}

// trackingRatio is how many times as much as the other, expected or actual, may be.
const trackingRatio = 2

// off reports whether the two are further apart than any data that the model is made for leave them.
func (t Tracking) off() bool {
	return !(t.Expected <= trackingRatio*t.Actual && t.Actual <= trackingRatio*t.Expected)
}

// trackedMin is the number of repeat purchases from which what is expected must agree with what happened: of fewer the prior may think otherwise.
const trackedMin = 100

// Errors returns the relative standard errors of r, α, a and b, and of p, q − 1 and v.
func (e *Estimates) Errors() (purchases [4]float64, spend [3]float64) {
	for i := range purchases {
		purchases[i] = math.Sqrt(e.Purchases.Covariance[i][i])
	}
	for i := range spend {
		spend[i] = math.Sqrt(e.Spend.Covariance[i][i])
	}
	return purchases, spend
}

// Judge fits a candidate, which is to be called version and to come into force at an instant, and decides whether it is to be adopted in the place of the
// champion; nil if there is none. The champion is valid.
func (c *Config) Judge(p *Population, champion *operators.Model, version string, effectiveAt operators.EventTime) *Verdict {
	v := &Verdict{}
	switch {
	case p.Customers == 0:
		v.Reasons = append(v.Reasons, "nobody has bought: there is nothing to fit a model to")
		return v
	case len(p.Members) == 0:
		v.Reasons = append(v.Reasons, fmt.Sprintf("none of %d customers has been sampled: there is nobody to find cuts by", p.Customers))
		return v
	}
	var err error
	if v.Estimates, err = c.estimate(p, champion); err != nil {
		v.Reasons = append(v.Reasons, err.Error())
		return v
	}
	v.Model = c.candidate(p, &v.Estimates, version, effectiveAt)
	v.track(c, p)
	h, why := c.holdout(p, champion)
	v.Holdout, v.NoHoldout = h, string(why)
	v.Reasons = v.faults(champion)
	if v.Adopted = len(v.Reasons) == 0; v.Adopted {
		v.Reasons = v.merits(champion)
	}
	return v
}

// candidate makes a model of the estimates.
func (c *Config) candidate(p *Population, e *Estimates, version string, effectiveAt operators.EventTime) *operators.Model {
	purchases, spend := &e.Purchases, &e.Spend
	m := &operators.Model{
		Version: version, EffectiveAt: effectiveAt,
		Family: purchases.Params.Family.String(), R: purchases.Params.R, Alpha: purchases.Params.Alpha, A: purchases.Params.A, B: purchases.Params.B,
		P: spend.Params.P, Q: spend.Params.Q, V: spend.Params.V,
		Fit: &operators.Fit{
			AsOf: p.AsOf, Customers: p.Customers, RepeatPurchases: p.RepeatPurchases, LogLikelihood: purchases.LogLikelihood,
			Covariance: purchases.Covariance, SpendCovariance: spend.Covariance, Prior: purchases.Prior, SpendPrior: spend.Prior,
		},
	}
	cuts := c.cuts(p, *m)
	m.Cuts, m.HighValue = &cuts, cuts.CLV[3]
	return m
}

// track compares what the model makes of the past with what it was.
func (v *Verdict) track(c *Config, p *Population) {
	v.Repeats = Tracking{Expected: p.expectedRepeats(v.Purchases.Params), Actual: float64(p.RepeatPurchases)}
	amounts := c.repeatSpend(p)
	if v.SpendOfFirst {
		amounts = c.firstSpend(p)
	}
	v.MeanSpend = Tracking{Expected: v.Spend.Params.Mean(0, 0), Actual: meanOf(amounts)}
}

// faults are what speaks against an adoption.
func (v *Verdict) faults(champion *operators.Model) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if !v.Purchases.Converged {
		fault("the parameters of purchases have not converged in %d evaluations of the likelihood", v.Purchases.Evaluations)
	}
	if !v.Spend.Converged && !v.SpendAlike {
		fault("the parameters of spend have not converged in %d evaluations of the likelihood", v.Spend.Evaluations)
	}
	if err := score.ValidateModel(v.Model); err != nil {
		fault("%v", err)
	}
	if !v.finite() {
		fault("some of its figures are not finite")
	}
	tracked := v.Repeats.Actual >= trackedMin
	if tracked && v.Repeats.off() {
		fault("it expects %.0f repeat purchases until now, where there were %.0f: over a factor of %d", v.Repeats.Expected, v.Repeats.Actual, trackingRatio)
	}
	if tracked && v.MeanSpend.off() {
		fault("it expects a mean purchase of %.2f, where it is %.2f: over a factor of %d", v.MeanSpend.Expected, v.MeanSpend.Actual, trackingRatio)
	}
	if h := v.Holdout; champion != nil && h != nil && h.Worse() {
		fault("in the last %d weeks it would have predicted worse than %s: %s", h.Weeks, champion.Version, h.comparison())
	}
	return faults
}

// finite reports whether there is nothing infinite or undefined in the model, besides the covariance of a spend that has none.
func (v *Verdict) finite() bool {
	m := v.Model
	values := []float64{m.Fit.LogLikelihood, v.Repeats.Expected, v.MeanSpend.Expected}
	for _, cuts := range [][4]float64{m.Cuts.SinceLastPurchase, m.Cuts.Purchases, m.Cuts.Monetary, m.Cuts.CLV} {
		values = append(values, cuts[:]...)
	}
	for i := range m.Fit.Covariance {
		values = append(values, m.Fit.Covariance[i][:]...)
	}
	for i := range m.Fit.SpendCovariance {
		if !v.SpendAlike {
			values = append(values, m.Fit.SpendCovariance[i][:]...)
		}
	}
	for _, value := range values {
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return false
		}
	}
	return true
}

// merits are what speaks for an adoption.
func (v *Verdict) merits(champion *operators.Model) []string {
	merits := []string{
		fmt.Sprintf("converged, of %d customers with %d repeat purchases", v.Model.Fit.Customers, v.Model.Fit.RepeatPurchases),
		fmt.Sprintf("expects %.0f repeat purchases of them until now, where there were %.0f", v.Repeats.Expected, v.Repeats.Actual),
	}
	if v.Purchases.Prior || v.Spend.Prior {
		merits = append(merits, "the data alone leave a parameter open, and a weak prior took part: see the standard errors")
	}
	switch h := v.Holdout; {
	case h == nil:
		merits = append(merits, "could not be tested on held-out weeks: "+v.NoHoldout)
	case champion == nil:
		merits = append(merits, fmt.Sprintf("in the last %d weeks it would have predicted %.0f purchases where there were %d", h.Weeks, h.Challenger.Expected, h.Actual))
	default:
		merits = append(merits, fmt.Sprintf("in the last %d weeks it would not have predicted worse than %s: %s", h.Weeks, champion.Version, h.comparison()))
	}
	return merits
}

// comparison says how the two have predicted.
func (h *Holdout) comparison() string {
	return fmt.Sprintf("%.0f purchases, the champion %.0f, where there were %d; its mean log score is %+.4f from the champion's, standard error %.4f",
		h.Challenger.Expected, h.Champion.Expected, h.Actual, h.Difference, h.StandardError)
}
