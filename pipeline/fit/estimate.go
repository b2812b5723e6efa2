package fit

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/gammagamma"
)

// Estimates are what was fitted to a population. Times are in days, money in major units.
type Estimates struct {
	Purchases bgnbd.Estimate
	Spend     gammagamma.Estimate
	// SpendOfFirst is set if nobody has bought again for something, so that spend was fitted to the first purchases of the sample. These leave open how much
	// one customer's amounts vary, and the prior decides it.
	SpendOfFirst bool
	// SpendAlike is set if everybody spends the same for all that can be seen: the likelihood has no maximum then, and the mean is right all the same.
	SpendAlike bool
}

// estimate fits the models, beginning at the champion's parameters too, if there is a champion. Error is why nothing can be fitted.
func (c *Config) estimate(p *Population, champion *operators.Model) (e Estimates, err error) {
	var purchases []bgnbd.Params
	var spend []gammagamma.Params
	if champion != nil {
		purchases = append(purchases, purchasesOf(champion))
		spend = append(spend, gammagamma.Params{P: champion.P, Q: champion.Q, V: champion.V})
	}
	if e.Purchases, err = c.estimatePurchases(p.Groups, purchases); err != nil {
		return e, err
	}
	amounts := c.repeatSpend(p)
	if len(amounts) == 0 {
		e.SpendOfFirst, amounts = true, c.firstSpend(p)
	}
	if len(amounts) == 0 {
		return e, errors.New("all purchases have the amount 0: there is no spend to fit")
	}
	sample, err := gammagamma.NewSample(amounts)
	if err != nil {
		return e, fmt.Errorf("fitting spend: %w", err)
	}
	e.Spend = sample.Fit(spend...)
	e.SpendAlike = !e.Spend.Converged && math.Max(e.Spend.Params.P, e.Spend.Params.Q) > alikeMin
	return e, nil
}

// alikeMin is the p or q from which all spend the same: amounts, or customers' means, that vary by less than half a percent. Where it
// ends at its bound of a million, the search has found no maximum.
const alikeMin = 50_000

// estimatePurchases fits the families and returns that under which the groups are likeliest. An earlier estimate counts for its own family.
func (c *Config) estimatePurchases(groups []bgnbd.Group, earlier []bgnbd.Params) (best bgnbd.Estimate, err error) {
	sample, err := bgnbd.NewSample(groups)
	if err != nil {
		return best, fmt.Errorf("fitting purchases: %w", err)
	}
	for i, family := range c.Families {
		own := slices.DeleteFunc(slices.Clone(earlier), func(p bgnbd.Params) bool { return p.Family != family })
		e := sample.Fit(family, own...)
		if i == 0 || e.LogLikelihood > best.LogLikelihood {
			best = e
		}
	}
	return best, nil
}

// purchasesOf returns the parameters of a valid model.
func purchasesOf(m *operators.Model) bgnbd.Params {
	family, err := bgnbd.ParseFamily(m.Family)
	if err != nil {
		panic(fmt.Errorf("judging by a model that was not validated: %w", err))
	}
	return bgnbd.Params{Family: family, R: m.R, Alpha: m.Alpha, A: m.A, B: m.B}
}

// repeatSpend returns those who have bought again for something; those of a cell as if they had all spent their mean.
func (c *Config) repeatSpend(p *Population) []gammagamma.Group {
	list := make([]gammagamma.Group, 0, len(p.Spends))
	for i := range p.Spends {
		s := &p.Spends[i]
		customers := float64(s.Customers)
		list = append(list, gammagamma.Group{X: int(s.X), Spend: c.major(s.RepeatNet) / customers, Customers: customers})
	}
	return list
}

// firstSpend returns the first purchases of the sampled, those for nothing left out.
func (c *Config) firstSpend(p *Population) []gammagamma.Group {
	amounts := make(map[operators.Money]float64)
	for i := range p.Members {
		if net := p.Members[i].FirstNet; net > 0 {
			amounts[net]++
		}
	}
	list := make([]gammagamma.Group, 0, len(amounts))
	for _, net := range slices.Sorted(maps.Keys(amounts)) {
		list = append(list, gammagamma.Group{X: 1, Spend: c.major(net), Customers: amounts[net]})
	}
	return list
}

// expectedRepeats returns the repeat purchases that a model expects of all customers from their births to now: by the population's parameters alone,
// without what is known of each.
func (p *Population) expectedRepeats(params bgnbd.Params) float64 {
	ages := make(map[float64]float64)
	for i := range p.Groups {
		ages[p.Groups[i].T] += p.Groups[i].Customers
	}
	expected := 0.0
	for _, age := range slices.Sorted(maps.Keys(ages)) {
		expected += float64(ages[age] * params.Expected(bgnbd.History{}, age))
	}
	return expected
}

// meanOf returns the mean over customers of what one purchase comes to.
func meanOf(amounts []gammagamma.Group) float64 {
	sum, customers := 0.0, 0.0
	for i := range amounts {
		g := &amounts[i]
		sum += float64(g.Customers * g.Spend / float64(g.X))
		customers += g.Customers
	}
	return sum / customers
}
