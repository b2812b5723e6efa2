package score

import (
	"math"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/gammagamma"
	"lull/operators/newton"
)

// Uncertainty is how well the parameters of a model are known: covariances of the estimates, as the fits give them.
type Uncertainty struct {
	Purchases [4][4]float64 // of ln r, ln α, ln a, ln b
	Spend     [3][3]float64 // of ln p, ln(q−1), ln v
}

// UncertaintyOf returns how well a model's parameters are known, nil if that is not: they were put by hand.
func UncertaintyOf(m *operators.Model) *Uncertainty {
	if m.Fit == nil {
		return nil
	}
	return &Uncertainty{Purchases: m.Fit.Covariance, Spend: m.Fit.SpendCovariance}
}

// ValueRange is what a customer will be worth: discounted margin over the horizon, of which CLV is the mean. It is below each point with at most the
// point's probability, and at or below it with at least that. Many points are 0: who is not expected to come back is worth nothing in most futures.
type ValueRange struct {
	Low    float64 // 10 %
	Median float64
	High   float64 // 90 %
}

// ValueRange returns the range of values at an instant of a customer with these purchases, of which there are some, and none after the instant. It
// takes some tenths of a millisecond, fourteen times that with an uncertainty, and much more for who buys daily: it is for reports, not for every event. With an uncertainty it holds the parameters' error as well as the customer's chance; nil leaves that out, as does one that is no
// covariance because a fit has not converged.
//
// Given the parameters the number of purchases is distributed as bgnbd.Params.Counts has it, the sum of their amounts as
// gammagamma.Params.SumAtMost, and the value is that sum times margin and the mean discount of the purchases that are expected. That purchases are
// discounted alike is the one approximation: in twelve months at 1 % factors differ by 6 % from the mean at most. The parameters' error is mixed in at
// points of equal weight that have its mean and covariance (newton.SigmaPoints).
func (op *Operator) ValueRange(p *operators.Purchases, m *operators.Model, u *Uncertainty, at operators.EventTime) ValueRange {
	v := op.values(p, m, u, at)
	return ValueRange{v.point(0.1), v.point(0.5), v.point(0.9)}
}

// values returns the distribution that ValueRange is of.
func (op *Operator) values(p *operators.Purchases, m *operators.Model, u *Uncertainty, at operators.EventTime) *valueDistribution {
	e := op.evaluation(p, m)
	v := e.values()
	h := e.history(max(p.Age(at), e.lastAge))
	for _, of := range possible(e.params, e.spending, u) {
		v.add(op, of.purchases, of.spending, h)
	}
	return v
}

// part is what the parameters may be.
type part struct {
	purchases bgnbd.Params
	spending  gammagamma.Params
}

// possible returns what the parameters may be, each as likely as the others: those given alone if nothing, or nothing usable, is known of their error.
func possible(p bgnbd.Params, s gammagamma.Params, u *Uncertainty) (parts []part) {
	if u != nil {
		for _, point := range newton.SigmaPoints(parameterPoint(p, s), u.covariance()) {
			purchases, spending := parametersAt(p.Family, point)
			parts = append(parts, part{purchases, spending})
		}
	}
	if parts == nil {
		parts = []part{{p, s}}
	}
	return parts
}

// NextPurchase returns the days from an instant within which the next purchase comes with probability q, in [0, 1), if there is one, of a customer with these purchases, of
// which there are some, and none after the instant. That there is one has the probability P(alive): see bgnbd.Params.NextPurchase.
func (op *Operator) NextPurchase(p *operators.Purchases, m *operators.Model, at operators.EventTime, q float64) float64 {
	e := op.evaluation(p, m)
	return e.params.NextPurchase(e.history(max(p.Age(at), e.lastAge)), q)
}

// parameterPoint returns the logarithms of the parameters, of q − 1 for q.
func parameterPoint(p bgnbd.Params, s gammagamma.Params) []float64 {
	point := []float64{p.R, p.Alpha, p.A, p.B, s.P, s.Q - 1, s.V}
	for i := range point {
		point[i] = math.Log(point[i])
	}
	return point
}

// parametersAt is the inverse of parameterPoint.
func parametersAt(family bgnbd.Family, point []float64) (bgnbd.Params, gammagamma.Params) {
	v := make([]float64, len(point))
	for i := range point {
		v[i] = math.Exp(point[i])
	}
	return bgnbd.Params{Family: family, R: v[0], Alpha: v[1], A: v[2], B: v[3]}, gammagamma.Params{P: v[4], Q: 1 + v[5], V: v[6]}
}

// covariance returns that of parameterPoint: the two fits know nothing of each other.
func (u *Uncertainty) covariance() [][]float64 {
	const purchases, all = 4, 7
	c := make([][]float64, all)
	for i := range c {
		c[i] = make([]float64, all)
		if i < purchases {
			copy(c[i], u.Purchases[i][:])
		} else {
			copy(c[i][purchases:], u.Spend[i-purchases][:])
		}
	}
	return c
}

// valueDistribution is the distribution of a customer's value, a mixture of equal parts.
type valueDistribution struct {
	x       int
	spend   float64
	futures []future
}

// future is the distribution with known parameters.
type future struct {
	spending gammagamma.Params
	counts   []float64 // probabilities of the numbers of purchases
	worth    float64   // of a unit of money spent: margin, discounted
}

// values returns a distribution without parts.
func (e *evaluation) values() *valueDistribution {
	return &valueDistribution{x: e.x, spend: e.op.config.major(e.purchases.RepeatNet())}
}

func (v *valueDistribution) add(op *Operator, p bgnbd.Params, s gammagamma.Params, h bgnbd.History) {
	c := &op.config
	f := future{spending: s, counts: p.Counts(h, op.horizonDays), worth: c.MarginShare}
	if expected := p.ExpectedIfAlive(h, op.horizonDays); expected > 0 {
		f.worth *= p.DiscountedIfAlive(h, c.HorizonMonths, c.MonthDays, c.DiscountMonthly) / expected
	}
	v.futures = append(v.futures, f)
}

// above returns the probability of more than a value.
func (v *valueDistribution) above(value float64) float64 {
	const negligible = 1e-8  // of a number of purchases: hundreds of them do not move a point
	const impossible = 1e-13 // that so many come to so little: then more do not either
	sum := 0.0
	for i := range v.futures {
		f := &v.futures[i]
		atMost := 1.0 // by k purchases, and by more of them less often
		for k := 1; k < len(f.counts); k++ {
			if f.counts[k] > negligible {
				if atMost > impossible {
					atMost = f.spending.SumAtMost(v.x, v.spend, k, value/f.worth)
				}
				sum += float64(f.counts[k] * (1 - atMost))
			}
		}
	}
	return sum / float64(len(v.futures))
}

// point returns the least value that is not exceeded with probability q.
func (v *valueDistribution) point(q float64) float64 {
	if v.above(0) <= 1-q { // cheap, and so for most points
		return 0
	}
	high := 1.0
	for v.above(high) > 1-q && high < math.MaxFloat64/2 {
		high *= 2
	}
	value, ok := bgnbd.FallsBelow(v.above, 1-q, 0, high)
	if !ok {
		return math.Inf(1)
	}
	return value
}
