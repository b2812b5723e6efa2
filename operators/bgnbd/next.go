package bgnbd

import "math"

// PNoBuy returns the probability that the customer does not buy within the horizon, 1 − PBuy, with all its digits where it is small.
func (p Params) PNoBuy(h History, horizon float64) float64 {
	n := p.R + float64(h.X)
	lnDeathOdds := p.lnDeathOdds(h.X) + float64(n*math.Log1p((h.T-h.TX)/(p.Alpha+h.TX)))
	return logistic(lnDeathOdds) + float64(logistic(-lnDeathOdds)*math.Exp(-n*math.Log1p(horizon/(p.Alpha+h.T))))
}

// NextPurchase returns the time from now within which the next purchase comes with probability q, in [0, 1), *if there is one*: the median for q = 0.5,
// and 0.1 to 0.9 is an interval of 80 %. That there is one at all has the probability PAlive: who is alive buys sooner or later, who has dropped out
// never does. It is +Inf beyond the range of float64, and grows with silence: long ago says that the customer buys seldom.
//
// λ of a living customer is Gamma(r+x, α+T), so the wait is Pareto of the second kind (Lomax), with a long tail: for r+x <= 1 it has no mean, which is
// why there is none here.
func (p Params) NextPurchase(h History, q float64) float64 {
	return (p.Alpha + h.T) * math.Expm1(-math.Log1p(-q)/(p.R+float64(h.X)))
}
