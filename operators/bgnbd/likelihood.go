package bgnbd

import (
	"math"

	"lull/operators/gammaratio"
)

// LogLikelihood returns the logarithm of the likelihood of one customer's history, without the factor t_x^(x−1)/Γ(x),
// which no parameter changes: the form of Fader, Hardie & Lee (2005), eq. 6. It depends on the unit of time by −x ln(unit).
func (p Params) LogLikelihood(h History) float64 {
	return p.Likelihood(h).Log
}

// Gradient returns LogLikelihood and its derivatives by ln r, ln α, ln a and ln b, in this order.
func (p Params) Gradient(h History) (ll float64, d [4]float64) {
	l := p.Likelihood(h)
	return l.Log, l.Gradient
}

// Likelihood is a log likelihood and its derivatives.
type Likelihood struct {
	Log      float64
	Gradient [4]float64    // by ln r, ln α, ln a, ln b
	Hessian  [4][4]float64 // second derivatives, by the same; symmetric
}

// Likelihood returns the log likelihood of one customer's history with its first and second derivatives.
func (p Params) Likelihood(h History) Likelihood {
	var l Likelihood
	common := p.commonOf(h.X)
	common.add(&l, &p, &h, 1)
	l.mirror()
	return l
}

// mirror completes the Hessian, of which add fills the lower half.
func (l *Likelihood) mirror() {
	for i := range l.Hessian {
		for j := range i {
			l.Hessian[j][i] = l.Hessian[i][j]
		}
	}
}

// common is what the likelihoods of all customers with the same number of repeat purchases have in common: all that takes gamma functions.
type common struct {
	x, n        float64
	lnDeathOdds float64 // right after the last purchase
	stayShare   float64 // how fast those odds fall with ln b: b/(b + chances − 1); 0 for who cannot have dropped out

	// The terms without t_x and T, and their derivatives by ln r, ln a and ln b.
	log              float64
	byR, byA, byB    float64
	byRR             float64
	byAA, byAB, byBB float64
}

func (p Params) commonOf(x int) common {
	c := common{x: float64(x), n: p.R + float64(x), lnDeathOdds: p.lnDeathOdds(x)}
	chances := p.chances(x)
	buying, buyingByR := gammaratio.Log(p.R, c.x)
	staying, stayingByB := gammaratio.Log(p.B, chances)
	taken, takenByAB := gammaratio.Log(p.A+p.B, chances)
	bent := gammaratio.Curvature(p.A+p.B, chances)

	c.log = buying - float64(c.x*math.Log(p.Alpha)) + (staying - taken)
	c.byR = p.R * buyingByR
	c.byA = -p.A * takenByAB
	c.byB = p.B * (stayingByB - takenByAB)
	c.byRR = c.byR + float64(p.R*p.R*gammaratio.Curvature(p.R, c.x))
	c.byAA = c.byA - float64(p.A*p.A*bent)
	c.byAB = -p.A * p.B * bent
	c.byBB = c.byB + float64(p.B*p.B*(gammaratio.Curvature(p.B, chances)-bent))
	if chances > 0 {
		c.stayShare = p.B / (p.B + chances - 1)
	}
	return c
}

// add adds the likelihood of one customer, with a weight; of the Hessian the lower half.
//
// The likelihood is a sum over two cases, still alive and dropped out after purchase x; the share of the first is P(alive). So the derivatives of
// the two cases are mixed by it, and to their second derivatives comes alive · dead · (difference of the first)².
func (c *common) add(l *Likelihood, p *Params, h *History, weight float64) {
	atNow, atLast := math.Log1p(h.T/p.Alpha), math.Log1p(h.TX/p.Alpha)
	silence := math.Log1p((h.T - h.TX) / (p.Alpha + h.TX))
	nowShare, lastShare := h.T/(p.Alpha+h.T), h.TX/(p.Alpha+h.TX)

	lnDeathOdds := c.lnDeathOdds + float64(c.n*silence)
	small := math.Exp(-math.Abs(lnDeathOdds))
	alive, dead := small/(1+small), 1/(1+small)
	if lnDeathOdds < 0 {
		alive, dead = dead, alive
	}

	l.Log += weight * (c.log - float64(c.n*atNow) + (max(lnDeathOdds, 0) + math.Log1p(small)))
	g := &l.Gradient
	g[0] += weight * (c.byR - float64(p.R*(float64(alive*atNow)+float64(dead*atLast))))
	g[1] += weight * (float64(alive*(float64(p.R*h.T)-float64(c.x*p.Alpha))/(p.Alpha+h.T)) +
		float64(dead*(float64(p.R*h.TX)-float64(c.x*p.Alpha))/(p.Alpha+h.TX)))
	g[2] += weight * (dead + c.byA)
	g[3] += weight * (c.byB - float64(c.stayShare*dead))

	// The first derivatives of ln(odds of death), which is the difference of the two cases.
	d := [4]float64{p.R * silence, float64(-c.n * (nowShare - lastShare)), 1, -c.stayShare}
	spread := weight * alive * dead
	m := &l.Hessian
	for i := range d {
		for j := range i + 1 {
			m[i][j] += spread * d[i] * d[j]
		}
	}
	m[0][0] += weight * (c.byRR - float64(p.R*(float64(alive*atNow)+float64(dead*atLast))))
	m[1][0] += weight * p.R * (float64(alive*nowShare) + float64(dead*lastShare))
	m[1][1] -= weight * c.n * (float64(alive*nowShare*(1-nowShare)) + float64(dead*lastShare*(1-lastShare)))
	m[2][2] += weight * c.byAA
	m[3][2] += weight * c.byAB
	m[3][3] += weight * (c.byBB - float64(dead*c.stayShare*(1-c.stayShare)))
}
