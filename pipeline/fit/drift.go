package fit

import (
	"math"

	"lull/operators"
)

// Drift is how a model's predictions compare with what has happened since it was fitted, over HoldoutWeeks at most.
type Drift struct {
	From  operators.Day // the first day that was predicted
	Weeks int
	// Members is how many customers of the sample had bought by then, and were predicted. Unknown is how many more had, but have bought more often since
	// than their record holds days: they are left out.
	Members, Unknown int
	Expected         float64 // purchases of the members
	Actual           int
	StandardError    float64 // of Actual: the root of the sum of squares of what members bought more or less than expected
	// Drifted is set if expected and actual purchases are further apart than chance and the model's usual imprecision explain.
	Drifted bool
}

const (
	driftPurchasesMin = 100 // expected or actual, for drift to be seen at all
	driftRatio        = 0.2 // which a model may be wrong by
	driftErrors       = 4   // standard errors which chance may be away by
)

// Drift judges a valid model by what was bought in the full weeks since its fit. ok is false if there has not been a week since, or if none of the sampled
// had bought by then.
func (c *Config) Drift(p *Population, m *operators.Model) (d Drift, ok bool) {
	weeks := p.weeksSince(m, c.HoldoutWeeks)
	if weeks < 1 {
		return d, false
	}
	b := p.lookBack(1, weeks)
	d = Drift{From: b.from, Weeks: b.weeks, Members: b.members, Unknown: b.unknown, Actual: b.bought}
	params, squares := purchasesOf(m), 0.0
	for i := range b.episodes {
		e := &b.episodes[i]
		expected := params.Expected(e.History, e.horizon)
		off := float64(e.bought) - expected
		d.Expected += float64(e.customers * expected)
		squares += float64(e.customers * off * off)
	}
	d.StandardError = math.Sqrt(squares)
	off := math.Abs(float64(d.Actual) - d.Expected)
	d.Drifted = max(d.Expected, float64(d.Actual)) >= driftPurchasesMin && off > driftRatio*d.Expected && off > driftErrors*d.StandardError
	return d, b.members > 0
}
