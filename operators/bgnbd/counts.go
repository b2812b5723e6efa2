package bgnbd

import (
	"math"

	"lull/operators/gammaratio"
)

// restMax is the probability of all counts that Counts leaves out.
const restMax = 1e-13

// Counts returns the distribution of the number of purchases within the horizon: element k is the probability of k. It ends where all greater numbers
// together are less likely than 1e-13.
//
// Given that the customer is alive, the purchases J that they would make if they never dropped out are negative binomial, and the purchase D after
// which they drop out has P(D > k) = Π_{j<k} (b'+x+j)/(a+b'+x+j); the two are independent, and the number is the lesser of them.
func (p Params) Counts(h History, horizon float64) []float64 {
	o := p.outlook(h)
	alive := p.PAlive(h)
	l, z := math.Log1p(horizon/o.beta), horizon/(o.beta+horizon)
	counts := make([]float64, 1, 16)
	first := o.firstCount(horizon / o.beta)
	chance := o.chanceOf(first, l, z) // P(J = k), from first on
	more, stays := 1.0, 1.0           // P(J >= k), P(D >= k)
	for k := 0.0; k <= termsMax; k++ {
		exactly := 0.0
		if k >= first {
			exactly = chance
			chance *= (o.n + k) / (k + 1) * z
		}
		greater := max(0, more-exactly) // P(J > k)
		probability := float64(exactly * stays)
		if k > 0 {
			left := stays * (o.stay + k - 1) / (o.c + k) // P(D > k)
			probability += float64(greater * (stays - left))
			stays = left
		}
		if int(k) == len(counts) {
			counts = append(counts, 0)
		}
		counts[int(k)] = alive * probability
		more = greater
		if more*stays < restMax {
			break
		}
	}
	counts[0] += 1 - alive
	return counts
}

// firstCount returns the least J that is not practically impossible: 0 unless P(J = 0) is beyond the range of float64, else 12 standard deviations
// below the mean: what lies further down has less than 1e-30. s is the horizon over β.
func (o *outlook) firstCount(s float64) float64 {
	if o.n*math.Log1p(s) < 700 {
		return 0
	}
	mean := float64(o.n * s)
	return max(0, math.Floor(mean-float64(12*math.Sqrt(mean*(1+s)))))
}

// chanceOf returns P(J = k).
func (o *outlook) chanceOf(k, l, z float64) float64 {
	if k == 0 {
		return math.Exp(-o.n * l)
	}
	lnRising, _ := gammaratio.Log(o.n, k)
	lnFactorial, _ := gammaratio.Log(1, k)
	return math.Exp(lnRising - lnFactorial - float64(o.n*l) + float64(k*math.Log(z)))
}
