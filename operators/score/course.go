package score

import (
	"math"

	"lull/operators"
)

// Moment returns the measures of a customer with these purchases, of which there are some, at an instant of the silence since the last: the numbers that Evaluate finds, to the bit.
func (op *Operator) Moment(p *operators.Purchases, m *operators.Model, at operators.EventTime, of operators.Measures) operators.Moment {
	e := op.evaluation(p, m)
	return e.moment(at, of)
}

func (e *evaluation) moment(at operators.EventTime, of operators.Measures) operators.Moment {
	age := max(e.purchases.Age(at), e.lastAge)
	var now, later operators.Outlook
	e.look(&now, age, of)
	f := operators.Facts{AsOf: at, X: e.x, LastAge: e.lastAge, Age: age, PAlive: now.PAlive, ExpectedSpend: e.spend}
	f.ExpectedPurchases, f.BuysAgain = now.PAlive*now.Purchases.Is, now.PAlive*now.Buys
	f.CLV, f.ValueAtRisk = now.PAlive*now.Value.Is, (1-now.PAlive)*now.Value.Is
	if of.Has(operators.AboutToBeLost.Of()) {
		e.look(&later, age+e.op.config.ContactDays, operators.CLV.Of())
		f.AboutToBeLost = max(0, f.CLV-float64(later.PAlive*later.Value.Is))
	}
	return operators.Moment{Facts: f, Now: now, Later: later}
}

const (
	ofValue     = 1<<operators.CLV | 1<<operators.ValueAtRisk | 1<<operators.AboutToBeLost
	ofPurchases = 1 << operators.ExpectedPurchases
	ofBuying    = 1 << operators.BuysAgain
)

// look finds what measures at an age are made of.
func (e *evaluation) look(o *operators.Outlook, age float64, of operators.Measures) {
	h, c := e.history(age), &e.op.config
	n := e.params.R + float64(e.x)
	o.Sigma = 1 / (e.params.Alpha + age)
	o.PAlive, o.Hazard = e.params.PAlive(h), n*o.Sigma
	if of.Has(ofBuying) {
		o.Buys = e.params.PBuyIfAlive(h, c.ContactDays)
		o.BuysHazard = o.Hazard * c.ContactDays / (e.params.Alpha + age + c.ContactDays)
	}
	if of.Has(ofPurchases) {
		o.Purchases.Is = e.purchasesIfAlive(age)
	}
	if of.Has(ofValue) {
		o.Value.Is = e.valueIfAlive(age)
	}
}

// FindSlopes finds what bounds the slopes between two moments of the same customer and measures: of the first those after it, and of the second those before it.
func (op *Operator) FindSlopes(p *operators.Purchases, m *operators.Model, of operators.Measures, a, b *operators.Moment) {
	e := op.evaluation(p, m)
	if !a.After {
		e.chords(a, of, chord, func(c *operators.Concave, slope, off float64) { c.SlopeLeast = max(0, slope-off) })
		a.After = true
	}
	if !b.Before {
		e.chords(b, of, -chord, func(c *operators.Concave, slope, off float64) { c.SlopeMost = slope + off })
		b.Before = true
	}
}

// chord is how far away the other end of a chord is, as a share of σ.
const chord = 0x1p-12

// chords finds the slopes of chords to so much more of σ, and what they may be off by: that to more of it has less slope than there is at the moment, that to less has more. What is
// asked of are numbers of who is alive, to whom only α+T matters, so that the age may be a little below that of the last purchase.
func (e *evaluation) chords(m *operators.Moment, of operators.Measures, share float64, found func(c *operators.Concave, slope, off float64)) {
	one := func(c *operators.Concave, sigma float64, f func(age float64) float64) {
		wide := float64(sigma * share)
		found(c, (f(1/(sigma+wide)-e.params.Alpha)-c.Is)/wide, c.Is*off/math.Abs(wide))
	}
	if of.Has(ofPurchases) {
		one(&m.Now.Purchases, m.Now.Sigma, e.purchasesIfAlive)
	}
	if of.Has(ofValue) {
		one(&m.Now.Value, m.Now.Sigma, e.valueIfAlive)
	}
	if of.Has(operators.AboutToBeLost.Of()) {
		one(&m.Later.Value, m.Later.Sigma, e.valueIfAlive)
	}
}

// Enclose returns where a measure lies throughout the silence from one moment to a later one, and its slope, which may be anything if the moments' have not been found. All that it
// needs to be sound is in which direction its parts move.
func (op *Operator) Enclose(a, b *operators.Moment, what operators.Measure) operators.Enclosure {
	sloped := a.After && b.Before
	switch f, g := &a.Facts, &b.Facts; what {
	case operators.SilentDays:
		return operators.Enclosure{Value: operators.Interval{Low: f.Age - f.LastAge, High: g.Age - g.LastAge}, Slope: operators.Interval{Low: 1, High: 1}}
	case operators.Age:
		return operators.Enclosure{Value: operators.Interval{Low: f.Age, High: g.Age}, Slope: operators.Interval{Low: 1, High: 1}}
	case operators.PAlive:
		return alive(&a.Now, &b.Now)
	case operators.ChurnRisk:
		return operators.Fixed(1).Minus(alive(&a.Now, &b.Now))
	case operators.BuysAgain:
		return alive(&a.Now, &b.Now).Times(buys(&a.Now, &b.Now)).Within(falling(f.BuysAgain, g.BuysAgain))
	case operators.ExpectedPurchases:
		return alive(&a.Now, &b.Now).Times(concave(&a.Now, &b.Now, &a.Now.Purchases, &b.Now.Purchases, sloped)).Within(falling(f.ExpectedPurchases, g.ExpectedPurchases))
	case operators.CLV:
		return residual(&a.Now, &b.Now, sloped)
	case operators.ValueAtRisk:
		return operators.Fixed(1).Minus(alive(&a.Now, &b.Now)).Times(concave(&a.Now, &b.Now, &a.Now.Value, &b.Now.Value, sloped))
	}
	return residual(&a.Now, &b.Now, sloped).Minus(residual(&a.Later, &b.Later, sloped))
}

// off bounds, relatively, what rounding adds to the numbers of bgnbd: their computed values fall but for that.
const off = 1e-10

// falling encloses what falls from one number to another.
func falling(from, to float64) operators.Interval {
	return operators.Interval{Low: min(from, to), High: max(from, to)}.Widened(off)
}

// alive encloses P(alive), whose slope is −P(1−P)(r+x)σ.
func alive(a, b *operators.Outlook) operators.Enclosure {
	of := func(p float64) float64 { return p * (1 - p) }
	spread := operators.Interval{Low: min(of(a.PAlive), of(b.PAlive)), High: max(of(a.PAlive), of(b.PAlive))}
	if a.PAlive >= 0.5 && b.PAlive <= 0.5 {
		spread.High = 0.25
	}
	return operators.Enclosure{Value: falling(a.PAlive, b.PAlive), Slope: spread.Widened(off).Times(operators.Interval{Low: -a.Hazard, High: -b.Hazard}.Widened(off))}
}

// buys encloses the probability to buy of who is alive: that not to buy rises at a rate of BuysHazard, which falls.
func buys(a, b *operators.Outlook) operators.Enclosure {
	not := operators.Interval{Low: 1 - max(a.Buys, b.Buys), High: 1 - min(a.Buys, b.Buys)}.Widened(off)
	return operators.Enclosure{Value: falling(a.Buys, b.Buys), Slope: not.Times(operators.Interval{Low: -a.BuysHazard, High: -b.BuysHazard}.Widened(off))}
}

// concave encloses what is concave over σ, which falls by σ² a day.
func concave(a, b *operators.Outlook, at, bt *operators.Concave, sloped bool) operators.Enclosure {
	e := operators.Enclosure{Value: falling(at.Is, bt.Is), Slope: operators.Anything}
	if sloped {
		slope := operators.Interval{Low: at.SlopeLeast, High: max(at.SlopeLeast, bt.SlopeMost)}
		e.Slope = slope.Times(operators.Interval{Low: -a.Sigma * a.Sigma, High: -b.Sigma * b.Sigma}.Widened(off))
	}
	return e
}

// residual encloses CLV.
func residual(a, b *operators.Outlook, sloped bool) operators.Enclosure {
	return alive(a, b).Times(concave(a, b, &a.Value, &b.Value, sloped)).Within(falling(a.PAlive*a.Value.Is, b.PAlive*b.Value.Is))
}
