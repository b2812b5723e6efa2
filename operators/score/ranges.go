package score

import (
	"math"

	"lull/operators"
	"lull/operators/bgnbd"
)

// Ranges are the ranges of values of many customers at one instant under one model. They share what customers of as many purchases and of a like age have in common, and so come to some microseconds for each where ValueRange
// takes tenths of a millisecond, or several with a fitted model.
//
// What is shared is the shape of the distribution of the value of who is alive, over its mean: that hangs on the purchases x and the age T alone, since spend only scales it and the last purchase only decides on P(alive). It
// changes so little with T, and with x where that is large, that a few of each tell it between them by interpolation: points are off by less than a thousandth (TestRanges). Customers who have few like them are
// computed by ValueRange.
type Ranges struct {
	op    *Operator
	model *operators.Model
	at    operators.EventTime
	parts []part // equally likely
	alike map[kin]*alike
}

// kin are the customers who share a table.
type kin struct {
	x      int // the least number of repeat purchases
	octave int // of α + T over α
}

// alike is what they share.
type alike struct {
	kin
	xs    []int // the numbers that the table is computed at
	seen  int
	table table // nil: there have not been enough of them yet
}

// How many points a table is computed at. What ValueRange takes for tablePays customers for each of them pays for that.
const (
	ageNodes  = 5
	xNodes    = 5
	tablePays = 5
)

// eachMax is the number of repeat purchases up to which each has tables of its own; above it those of an octave share them.
const eachMax = 8

// Ranges returns the ranges of values at an instant, with the error of the model's parameters if they are known by a fit.
func (op *Operator) Ranges(m *operators.Model, at operators.EventTime) *Ranges {
	r := &Ranges{op: op, model: m, at: at, alike: make(map[kin]*alike)}
	params, spending := paramsOf(m)
	r.parts = possible(params, spending, UncertaintyOf(m))
	return r
}

// Next returns what computes the range of the next customer's values, which ValueRange says more of. How many have come before decides on how: the same customers in the same order have the same ranges. It makes a table, some tenths of a second, when there are enough of a kind. It is not safe for concurrent use; what it
// returns is.
func (r *Ranges) Next(p *operators.Purchases) func() ValueRange {
	e := r.op.evaluation(p, r.model)
	h := e.history(max(p.Age(r.at), e.lastAge))
	k := kin{x: h.X, octave: int(math.Log2(1 + h.T/e.params.Alpha))}
	if k.x >= eachMax {
		k.x = 1 << int(math.Log2(float64(k.x)))
	}
	a := r.alike[k]
	if a == nil {
		a = &alike{kin: k, xs: k.nodes()}
		r.alike[k] = a
	}
	if a.seen < tablePays*ageNodes*len(a.xs) {
		a.seen++
		return func() ValueRange { return r.op.ValueRange(p, r.model, UncertaintyOf(r.model), r.at) }
	}
	if a.table == nil {
		a.table = r.tabulate(a, e.params.Alpha)
	}
	spend := r.op.config.major(p.RepeatNet())
	return func() ValueRange { return r.look(a, h, spend, e.params.Alpha) }
}

// nodes returns the numbers of repeat purchases that a table is computed at.
func (k kin) nodes() []int {
	if k.x < eachMax {
		return []int{k.x}
	}
	xs := make([]int, xNodes)
	for i := range xs {
		xs[i] = int(math.Round(float64(k.x) * math.Exp2(chebyshev(i, xNodes))))
	}
	return xs
}

// chebyshev returns the i-th of n points in (0, 1) at which interpolation errs the least.
func chebyshev(i, n int) float64 {
	return float64((1 - math.Cos(math.Pi*(float64(i)+0.5)/float64(n))) / 2)
}

// lagrange returns the weights of the values at n points in the one at x.
func lagrange(weights []float64, x float64, at func(i int) float64) []float64 {
	n := cap(weights)
	for i := range n {
		w := 1.0
		for j := range n {
			if j != i {
				w *= (x - at(j)) / (at(i) - at(j))
			}
		}
		weights = append(weights, w)
	}
	return weights
}

// table is the shape of the values of a kind of customers, by part, and of these by node.
type table [][]shape

// shape is the distribution of the value of a customer who is alive over its mean.
type shape struct {
	lnDiscounted float64 // of the purchases that are expected, discounted, and the margin
	first        int     // the logarithm of the least value, in steps
	above        []float64
}

// The grid of a shape: how fine the logarithms are, in an e-th, and where what is left of the distribution is neglected.
const (
	stepsEach = 16
	stepsMax  = 64 * stepsEach
	lowRest   = 1e-9
	highRest  = 1e-7
)

// inSteps returns the logarithm of so many steps.
func inSteps(steps int) float64 { return float64(float64(steps) / stepsEach) }

// tabulate computes a table.
func (r *Ranges) tabulate(a *alike, alpha float64) table {
	t := make(table, len(r.parts))
	for i := range r.parts {
		for _, x := range a.xs {
			for n := range ageNodes {
				age := alpha * math.Expm1(math.Ln2*(float64(a.octave)+chebyshev(n, ageNodes)))
				t[i] = append(t[i], r.shape(&r.parts[i], x, age))
			}
		}
	}
	return t
}

// shape computes one.
func (r *Ranges) shape(of *part, x int, age float64) shape {
	c, h := &r.op.config, bgnbd.History{X: x, TX: age, T: age}
	if x == 0 {
		h.TX = 0
	}
	alive := of.purchases.PAlive(h)
	f := future{spending: of.spending, counts: of.purchases.Counts(h, r.op.horizonDays), worth: 1}
	for k := range f.counts {
		f.counts[k] /= alive // 0 is not among those that above sums up
	}
	v := valueDistribution{x: x, futures: []future{f}}
	mean := float64(of.purchases.ExpectedIfAlive(h, r.op.horizonDays) * of.spending.Mean(x, 0))
	above := func(step int) float64 { return v.above(mean * math.Exp(inSteps(step))) }
	s := shape{lnDiscounted: math.Log(c.MarginShare * of.purchases.DiscountedIfAlive(h, c.HorizonMonths, c.MonthDays, c.DiscountMonthly))}
	all := v.above(0)
	var below []float64 // downwards
	for s.first > -stepsMax && (len(below) == 0 || below[len(below)-1] < all-lowRest) {
		s.first--
		below = append(below, above(s.first))
	}
	for i := range below {
		s.above = append(s.above, below[len(below)-1-i])
	}
	for step := 0; step < stepsMax && s.above[len(s.above)-1] > highRest; step++ {
		s.above = append(s.above, above(step))
	}
	return s
}

// around is how many steps are interpolated between.
const around = 6

// at returns the probability of more at a step plus those around it, by their weights.
func (s *shape) at(step int, weights *[around]float64) float64 {
	first := step - s.first - (around/2 - 1)
	sum := 0.0
	if first >= 0 && first+around <= len(s.above) {
		for i, v := range s.above[first : first+around] {
			sum += float64(weights[i] * v)
		}
		return sum
	}
	for i, w := range weights {
		if n := first + i; n < len(s.above) {
			sum += float64(w * s.above[max(0, n)])
		}
	}
	return sum
}

// look returns a customer's range by the table of those who are alike.
func (r *Ranges) look(a *alike, h bgnbd.History, spend, alpha float64) ValueRange {
	var xWeights, ageWeights [xNodes]float64
	inX := lagrange(xWeights[:0:len(a.xs)], math.Log(float64(max(1, h.X))), func(i int) float64 { return math.Log(float64(max(1, a.xs[i]))) })
	inAge := lagrange(ageWeights[:0:ageNodes], math.Log2(1+h.T/alpha)-float64(a.octave), func(i int) float64 { return chebyshev(i, ageNodes) })
	var all [xNodes * ageNodes]float64
	weights := all[:0]
	for _, x := range inX {
		for _, age := range inAge {
			weights = append(weights, float64(x*age))
		}
	}
	var aliveOf, lnMeanOf [16]float64
	alive, lnMean := aliveOf[:0], lnMeanOf[:0]
	low, high := math.Inf(1), math.Inf(-1)
	for i := range r.parts {
		of, shapes := &r.parts[i], a.table[i]
		ln := math.Log(of.spending.Mean(h.X, spend))
		first, end := math.MaxInt, math.MinInt
		for n := range shapes {
			ln += float64(weights[n] * shapes[n].lnDiscounted)
			first, end = min(first, shapes[n].first), max(end, shapes[n].first+len(shapes[n].above))
		}
		alive, lnMean = append(alive, of.purchases.PAlive(h)/float64(len(r.parts))), append(lnMean, ln)
		low, high = min(low, ln+inSteps(first-around)), max(high, ln+inSteps(end+around))
	}
	above := func(ln float64) float64 {
		sum := 0.0
		for i, shapes := range a.table {
			steps := float64((ln - lnMean[i]) * stepsEach)
			step := math.Floor(steps)
			between := betweenSteps(steps - step)
			shared := 0.0
			for n := range shapes {
				shared += float64(weights[n] * shapes[n].at(int(step), &between))
			}
			sum += float64(alive[i] * shared)
		}
		return sum
	}
	point := func(q float64) float64 {
		if above(low) <= 1-q {
			return 0
		}
		ln, _ := bgnbd.FallsBelow(above, 1-q, low, high)
		return math.Exp(ln)
	}
	return ValueRange{point(0.1), point(0.5), point(0.9)}
}

// betweenSteps returns the weights of six values a step apart in the one at a place, from 0 to 1, between the third and the fourth of them.
func betweenSteps(u float64) (w [around]float64) {
	a, b, c, d, e, f := u+2, u+1, u, u-1, u-2, u-3
	ab, cd, ef := a*b, c*d, e*f
	w[0] = -b * cd * ef / 120
	w[1] = a * cd * ef / 24
	w[2] = -ab * d * ef / 12
	w[3] = ab * c * ef / 12
	w[4] = -ab * cd * f / 24
	w[5] = ab * cd * e / 120
	return w
}
