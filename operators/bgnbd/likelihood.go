package bgnbd

import (
	"math"

	"lull/operators/gammaratio"
)

// LogLikelihood returns the logarithm of the likelihood of one customer's history, without the factor t_x^(x−1)/Γ(x),
// which no parameter changes: the form of Fader, Hardie & Lee (2005), eq. 6. It depends on the unit of time by −x ln(unit).
func (p Params) LogLikelihood(h History) float64 {
	ll, _ := p.Gradient(h)
	return ll
}

// Gradient returns LogLikelihood and its derivatives by ln r, ln α, ln a and ln b, in this order.
//
// The likelihood is a sum over two cases, still alive and dropped out after purchase x; the share of the first is P(alive),
// so the derivatives of the two cases are mixed by it.
func (p Params) Gradient(h History) (ll float64, d [4]float64) {
	x := float64(h.X)
	n := p.R + x
	chances := p.chances(h.X)
	atNow, atLast := math.Log1p(h.T/p.Alpha), math.Log1p(h.TX/p.Alpha)

	deathOdds := p.lnDeathOdds(h.X) + float64(n*math.Log1p((h.T-h.TX)/(p.Alpha+h.TX)))
	alive, dead := logistic(-deathOdds), logistic(deathOdds)

	buying, buyingByR := gammaratio.Log(p.R, x)
	staying, stayingByB := gammaratio.Log(p.B, chances)
	chancesTaken, chancesByAB := gammaratio.Log(p.A+p.B, chances)

	ll = buying - float64(x*math.Log(p.Alpha)) - float64(n*atNow) + (staying - chancesTaken) + softplus(deathOdds)
	d[0] = p.R * (buyingByR - float64(alive*atNow) - float64(dead*atLast))
	d[1] = float64(alive*(float64(p.R*h.T)-float64(x*p.Alpha))/(p.Alpha+h.T)) +
		float64(dead*(float64(p.R*h.TX)-float64(x*p.Alpha))/(p.Alpha+h.TX))
	d[2] = dead - float64(p.A*chancesByAB)
	d[3] = p.B * (stayingByB - chancesByAB)
	if chances > 0 {
		d[3] -= p.B / (p.B + chances - 1) * dead
	}
	return ll, d
}

// softplus returns ln(1 + exp(v)).
func softplus(v float64) float64 {
	return max(v, 0) + math.Log1p(math.Exp(-math.Abs(v)))
}
