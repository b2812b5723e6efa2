package score

import (
	"math"

	"lull/operators"
	"lull/operators/bgnbd"
)

// Ranges are the ranges of values of many customers at one instant under one model. They share what customers of as many purchases and of a like age have in common, and so come to some microseconds for each where ValueRange
// takes tenths of a millisecond, or several with a fitted model.
//
// What is shared is the shape of the distribution of the value of who is alive, in a unit of value: that hangs on the purchases x and the age T alone, since spend only scales it and the last purchase only decides on P(alive). It
// changes so little with T, and with x where that is large, that a few of each tell it between them by interpolation: points are off by less than a thousandth (TestRanges). That is not so under every model, in particular
// not where amounts vary so little that values lie about multiples of one; so each table is checked between its nodes when it is made. Customers whose table is not right, or who have few like them, are computed by ValueRange.
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
	tried bool  // whether there have been enough of them for a table
	table table // nil: not tried, or not right between its nodes
}

// How many points a table is computed at. What ValueRange takes for tablePays customers for each of them pays for that, and for the check.
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
	alone := func() ValueRange { return r.op.ValueRange(p, r.model, UncertaintyOf(r.model), r.at) }
	if a.seen < tablePays*ageNodes*len(a.xs) {
		a.seen++
		return alone
	}
	if !a.tried {
		a.tried, a.table = true, r.tabulate(a, e.params.Alpha)
	}
	if a.table == nil {
		return alone
	}
	spend := r.op.config.major(p.RepeatNet())
	return func() ValueRange {
		v, ok := r.look(a, h, spend, e.params.Alpha)
		if !ok {
			return alone()
		}
		return v
	}
}

// nodes returns the numbers of repeat purchases that a table is computed at.
func (k kin) nodes() []int {
	if k.x < eachMax {
		return []int{k.x}
	}
	xs := make([]int, xNodes)
	for i := range xs {
		xs[i] = int(math.Round(float64(k.x) * math.Exp2(chebyshev(float64(i), xNodes))))
	}
	return xs
}

// between returns the numbers of repeat purchases between them, at which interpolation errs the most.
func (k kin) between() []int {
	if k.x < eachMax {
		return []int{k.x}
	}
	xs := make([]int, xNodes+1)
	for i := range xs {
		xs[i] = min(int(math.Round(float64(k.x)*math.Exp2(chebyshev(float64(i)-0.5, xNodes)))), 2*k.x-1)
	}
	return xs
}

// chebyshev returns the i-th of n points in (0, 1) at which interpolation errs the least; half an i before and after each it errs the most.
func chebyshev(i float64, n int) float64 {
	return float64((1 - math.Cos(math.Pi*(i+0.5)/float64(n))) / 2)
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

// table is the shape of the values of a kind of customers, by part.
type table []shapes

// shapes are those of one part, by node.
type shapes []shape

// shape is the distribution of the value of a customer who is alive, in a unit.
type shape struct {
	lnDiscounted float64 // the logarithm of what the unit is worth over what is spent in one purchase on average: margin, discounted, of so many purchases
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

// tabulate computes a table, nil if it is not right between its nodes.
func (r *Ranges) tabulate(a *alike, alpha float64) table {
	t := make(table, len(r.parts))
	for i := range r.parts {
		for _, x := range a.xs {
			for n := range ageNodes {
				t[i] = append(t[i], r.living(&r.parts[i], x, a.age(chebyshev(float64(n), ageNodes), alpha)).shape())
			}
		}
	}
	for i := range r.parts {
		for _, x := range a.between() {
			for n := range ageNodes + 1 {
				octaves := chebyshev(float64(n)-0.5, ageNodes)
				var of [xNodes * ageNodes]float64
				weights := a.weights(of[:0], x, octaves)
				if !t[i].tells(weights, r.living(&r.parts[i], x, a.age(octaves, alpha))) {
					return nil
				}
			}
		}
	}
	return t
}

// age returns the age that is so much of the octave beyond its start.
func (k kin) age(octaves, alpha float64) float64 {
	return alpha * math.Expm1(math.Ln2*(float64(k.octave)+octaves))
}

// living is the value of one customer who is alive: what a table interpolates between, and is checked against.
type living struct {
	valueDistribution
	unit         float64 // in money spent
	lnDiscounted float64 // see shape
}

// living computes one.
func (r *Ranges) living(of *part, x int, age float64) *living {
	c, h := &r.op.config, bgnbd.History{X: x, TX: age, T: age}
	if x == 0 {
		h.TX = 0
	}
	alive := of.purchases.PAlive(h)
	f := future{spending: of.spending, counts: of.purchases.Counts(h, r.op.horizonDays), worth: 1}
	for k := range f.counts {
		f.counts[k] /= alive // 0 is not among those that above sums up
	}
	expected := of.purchases.ExpectedIfAlive(h, r.op.horizonDays)
	number := 1.0 // the values of few purchases lie about multiples of one, which in this unit stay where they are from age to age
	if x >= eachMax {
		number = expected // those of many lie about the mean, which changes with x too
	}
	discounted := of.purchases.DiscountedIfAlive(h, c.HorizonMonths, c.MonthDays, c.DiscountMonthly)
	return &living{
		valueDistribution: valueDistribution{x: x, futures: []future{f}},
		unit:              float64(number * of.spending.Mean(x, 0)),
		lnDiscounted:      math.Log(c.MarginShare * discounted / expected * number),
	}
}

// beyond returns the probability of more than the unit and so many steps.
func (v *living) beyond(steps float64) float64 {
	return v.above(v.unit * math.Exp(float64(steps/stepsEach)))
}

// shape computes one.
func (v *living) shape() shape {
	s := shape{lnDiscounted: v.lnDiscounted}
	all := v.above(0)
	var below []float64 // downwards
	for s.first > -stepsMax && (len(below) == 0 || below[len(below)-1] < all-lowRest) {
		s.first--
		below = append(below, v.beyond(float64(s.first)))
	}
	for i := range below {
		s.above = append(s.above, below[len(below)-1-i])
	}
	for step := 0; step < stepsMax && s.above[len(s.above)-1] > highRest; step++ {
		s.above = append(s.above, v.beyond(float64(step)))
	}
	return s
}

// How much a table may be off: the logarithm of a point, in steps, besides the probability that it is the point of: where next to no values lie between those that are likely, a digit of that moves the point far.
const (
	stepsOff = 5e-4 * stepsEach
	shareOff = 2e-5
)

// tells reports whether shapes by their weights are the distribution of a customer, as far as points are asked for: who is alive for certain has the 90 % point where a tenth is above.
func (s shapes) tells(weights []float64, v *living) bool {
	first, end := s.span()
	off := float64((v.lnDiscounted - s.lnDiscounted(weights)) * stepsEach)
	for step := first; step < end; step++ {
		steps := float64(step) + 0.5
		want := v.beyond(steps)
		low, high := s.beyond(weights, steps+off+stepsOff), s.beyond(weights, steps+off-stepsOff)
		if !(low-shareOff <= want && want <= high+shareOff) { // nor is it if one is not a number
			return false
		}
		if want < 0.1 {
			return true
		}
	}
	return true
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

// span returns where shapes begin and end, in steps.
func (s shapes) span() (first, end int) {
	first, end = math.MaxInt, math.MinInt
	for n := range s {
		first, end = min(first, s[n].first), max(end, s[n].first+len(s[n].above))
	}
	return first, end
}

// lnDiscounted returns that of what the weights are for.
func (s shapes) lnDiscounted(weights []float64) float64 {
	sum := 0.0
	for n := range s {
		sum += float64(weights[n] * s[n].lnDiscounted)
	}
	return sum
}

// beyond returns the probability of more than the unit and so many steps, of what the weights are for.
func (s shapes) beyond(weights []float64, steps float64) float64 {
	step := math.Floor(steps)
	between := betweenSteps(steps - step)
	sum := 0.0
	for n := range s {
		sum += float64(weights[n] * s[n].at(int(step), &between))
	}
	return sum
}

// weights appends those that the nodes of a table have in what is at a number of purchases and so much of the octave of age beyond its start.
func (a *alike) weights(to []float64, x int, octaves float64) []float64 {
	var xWeights, ageWeights [xNodes]float64
	inX := lagrange(xWeights[:0:len(a.xs)], math.Log(float64(max(1, x))), func(i int) float64 { return math.Log(float64(max(1, a.xs[i]))) })
	inAge := lagrange(ageWeights[:0:ageNodes], octaves, func(i int) float64 { return chebyshev(float64(i), ageNodes) })
	for _, x := range inX {
		for _, age := range inAge {
			to = append(to, float64(x*age))
		}
	}
	return to
}

// look returns a customer's range by the table of those who are alike; ok is false if it is not to be found in it.
func (r *Ranges) look(a *alike, h bgnbd.History, spend, alpha float64) (v ValueRange, ok bool) {
	var all [xNodes * ageNodes]float64
	weights := a.weights(all[:0], h.X, math.Log2(1+h.T/alpha)-float64(a.octave))
	var aliveOf, lnUnitOf [16]float64
	alive, lnUnit := aliveOf[:0], lnUnitOf[:0]
	low, high := math.Inf(1), math.Inf(-1)
	for i, shapes := range a.table {
		of := &r.parts[i]
		ln := math.Log(of.spending.Mean(h.X, spend)) + shapes.lnDiscounted(weights)
		first, end := shapes.span()
		alive, lnUnit = append(alive, of.purchases.PAlive(h)/float64(len(r.parts))), append(lnUnit, ln)
		low, high = min(low, ln+inSteps(first-around)), max(high, ln+inSteps(end+around))
	}
	above := func(ln float64) float64 {
		sum := 0.0
		for i, shapes := range a.table {
			sum += float64(alive[i] * shapes.beyond(weights, float64((ln-lnUnit[i])*stepsEach)))
		}
		return sum
	}
	for _, point := range []struct {
		q  float64
		to *float64
	}{{0.1, &v.Low}, {0.5, &v.Median}, {0.9, &v.High}} {
		if above(low) <= 1-point.q {
			continue // 0
		}
		ln, ok := bgnbd.FallsBelow(above, 1-point.q, low, high)
		if !ok {
			return ValueRange{}, false
		}
		*point.to = math.Exp(ln)
	}
	return v, true
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
