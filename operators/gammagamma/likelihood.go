package gammagamma

import (
	"math"

	"lull/operators/gammaratio"
)

// LogLikelihood returns the logarithm of the likelihood of the mean amount spend/x, for x >= 1 and spend > 0: the model
// knows neither customers without a repeat purchase nor such as spent nothing. Fader & Hardie (2013).
func (p Params) LogLikelihood(x int, spend float64) float64 { return p.Likelihood(x, spend).Log }

// Gradient returns LogLikelihood and its derivatives by ln p, ln q and ln v, in this order.
func (p Params) Gradient(x int, spend float64) (ll float64, d [3]float64) {
	l := p.Likelihood(x, spend)
	return l.Log, l.Gradient
}

// Likelihood is a log likelihood and its derivatives.
type Likelihood struct {
	Log      float64
	Gradient [3]float64    // by ln p, ln q, ln v
	Hessian  [3][3]float64 // second derivatives, by the same; symmetric
}

// Likelihood returns LogLikelihood with its first and second derivatives.
func (p Params) Likelihood(x int, spend float64) Likelihood {
	var l Likelihood
	common := p.commonOf(x)
	common.add(&l, &p, spend, 1)
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

// common is what the likelihoods of all customers with x repeat purchases have in common: all that takes gamma functions.
type common struct {
	lnX            float64
	shape          float64 // of the summed spend: p x
	lnInverseBeta  float64 // −ln B(p x, q)
	byShape, byQ   float64 // its derivatives by ln(p x) and ln q
	byShape2, byQ2 float64
	byShapeQ       float64
}

func (p Params) commonOf(x int) common {
	c := common{lnX: math.Log(float64(x)), shape: p.P * float64(x)}
	fromShape, byShape := gammaratio.Log(c.shape, p.Q)
	fromQ, byQ := gammaratio.Log(p.Q, c.shape)
	// The greater argument goes into the ratio: its own ln Γ would cancel most digits.
	lnGammaLesser, _ := math.Lgamma(min(c.shape, p.Q))
	c.lnInverseBeta = fromShape - lnGammaLesser
	if p.Q > c.shape {
		c.lnInverseBeta = fromQ - lnGammaLesser
	}
	c.byShape, c.byQ = c.shape*byShape, p.Q*byQ
	c.byShape2 = c.byShape + float64(c.shape*c.shape*gammaratio.Curvature(c.shape, p.Q))
	c.byQ2 = c.byQ + float64(p.Q*p.Q*gammaratio.Curvature(p.Q, c.shape))
	c.byShapeQ = c.shape * p.Q * gammaratio.Trigamma(c.shape+p.Q)
	return c
}

// add adds the likelihood of one customer, with a weight; of the Hessian the lower half.
func (c *common) add(l *Likelihood, p *Params, spend, weight float64) {
	// ln of spend's and of v's part in their sum; one of the two is near 0 and needs its digits.
	lnSpendPart, lnVPart := -math.Log1p(p.V/spend), -math.Log1p(spend/p.V)
	spendPart, vPart := spend/(spend+p.V), p.V/(spend+p.V)

	l.Log += weight * (c.lnInverseBeta + float64(p.Q*lnVPart) + float64(c.shape*lnSpendPart) - (math.Log(spend) - c.lnX))
	l.Gradient[0] += weight * (c.byShape + float64(c.shape*lnSpendPart))
	l.Gradient[1] += weight * (c.byQ + float64(p.Q*lnVPart))
	l.Gradient[2] += weight * (float64(p.Q*spend) - float64(c.shape*p.V)) / (spend + p.V)

	m := &l.Hessian
	m[0][0] += weight * (c.byShape2 + float64(c.shape*lnSpendPart))
	m[1][0] += weight * c.byShapeQ
	m[1][1] += weight * (c.byQ2 + float64(p.Q*lnVPart))
	m[2][0] -= weight * c.shape * vPart
	m[2][1] += weight * p.Q * spendPart
	m[2][2] -= weight * (p.Q + c.shape) * spendPart * vPart
}
