package backtest

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/gammagamma"
	"lull/operators/score"
)

// Config says how the past is judged.
type Config struct {
	// Families are the models of purchases to fit; of several the one is taken under which the past is likeliest.
	Families []bgnbd.Family
	// Score holds the months, the discount and the margin of CLV, and the minor units in which money is counted. It is complete and valid.
	Score score.Config
	// AsOf is 00:00 of the last day of calibration: with purchases of that day, which all count, ages are then whole days.
	AsOf operators.EventTime
}

// Models are what was fitted to the calibration period. Times are in days, money in major units.
type Models struct {
	Purchases bgnbd.Estimate
	Spend     gammagamma.Estimate
	// SpendOfFirst is set if nobody had bought again, so that spend was fitted to first purchases.
	SpendOfFirst bool
	Repeats      float64 // repeat purchases of all customers
}

// history returns what a model may know of a customer.
func (c *Config) history(p *operators.Purchases) bgnbd.History {
	return bgnbd.History{X: p.Repeats(), TX: p.LastAge(), T: max(p.Age(c.AsOf), p.LastAge())}
}

// repeatSpend returns what the repeat purchases came to, in major units.
func (c *Config) repeatSpend(p *operators.Purchases) float64 { return c.major(p.RepeatNet()) }

func (c *Config) major(amount operators.Money) float64 {
	return float64(amount) / float64(c.Score.MinorPerMajor)
}

// fit fits the models to the calibration period.
func (c *Config) fit(customers []Customer) (Models, error) {
	var m Models
	histories := make(map[bgnbd.History]float64)
	var repeated, first []gammagamma.Group
	for i := range customers {
		p := &customers[i].Calibrated
		h := c.history(p)
		histories[h]++
		m.Repeats += float64(h.X)
		if spend := c.repeatSpend(p); h.X > 0 && spend > 0 {
			repeated = append(repeated, gammagamma.Group{X: h.X, Spend: spend, Customers: 1})
		}
		if spend := c.major(p.FirstNet); spend > 0 {
			first = append(first, gammagamma.Group{X: 1, Spend: spend, Customers: 1})
		}
	}
	purchases, err := bgnbd.NewSample(groups(histories))
	if err != nil {
		return m, err
	}
	for i, family := range c.Families {
		e := purchases.Fit(family)
		if i == 0 || e.LogLikelihood > m.Purchases.LogLikelihood {
			m.Purchases = e
		}
	}
	if len(repeated) == 0 {
		m.SpendOfFirst, repeated = true, first
	}
	if len(repeated) == 0 {
		return m, errors.New("all orders of the calibration period have the amount 0: there is no spend to fit")
	}
	spend, err := gammagamma.NewSample(repeated)
	if err != nil {
		return m, err
	}
	m.Spend = spend.Fit()
	return m, nil
}

// groups returns the histories in a fixed order, so that the last bits of a fit are the same every time.
func groups(histories map[bgnbd.History]float64) []bgnbd.Group {
	list := make([]bgnbd.Group, 0, len(histories))
	for h, customers := range histories {
		list = append(list, bgnbd.Group{History: h, Customers: customers})
	}
	slices.SortFunc(list, func(a, b bgnbd.Group) int {
		return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.TX, b.TX), cmp.Compare(a.T, b.T))
	})
	return list
}

// months is the horizon of Prediction.CLV.
const months = 12

// Prediction is what the models say of one customer at the end of calibration. Times are in days, money in major units.
type Prediction struct {
	ID      string
	History bgnbd.History
	PAlive  float64
	Buys    float64 // expected purchases in the holdout
	PBuy    float64 // probability of at least one
	Spend   float64 // expected amount of a purchase
	CLV     float64 // discounted expected margin of twelve months
	Cross50 float64 // age at which P(alive) falls to a half in silence; +Inf for never
}

func (c *Config) predict(customer *Customer, m *Models, horizon float64) Prediction {
	params, p := m.Purchases.Params, &customer.Calibrated
	h := c.history(p)
	spend := m.Spend.Params.Mean(h.X, c.repeatSpend(p))
	if m.SpendOfFirst {
		spend = m.Spend.Params.Mean(1, c.major(p.FirstNet))
	}
	cross, _ := params.Crossing(h.X, h.TX, 0.5)
	alive := params.PAlive(h)
	return Prediction{
		ID: customer.ID, History: h, PAlive: alive, Buys: params.Expected(h, horizon), PBuy: params.PBuy(h, horizon), Spend: spend,
		CLV:     alive * spend * c.Score.MarginShare * params.DiscountedIfAlive(h, months, c.Score.MonthDays, c.Score.DiscountMonthly),
		Cross50: cross,
	}
}

// expected returns the repeat purchases that a model expects of all customers from their births to the end of each week: by the population's
// parameters alone, without what is known of each.
func (p *Past) expected(params bgnbd.Params) []float64 {
	births := make(map[operators.Day]float64)
	for i := range p.Customers {
		births[p.Customers[i].Calibrated.First]++
	}
	days := slices.Sorted(maps.Keys(births))
	expected := make([]float64, len(p.Weeks))
	for i, week := range p.Weeks {
		for _, day := range days {
			if day < week.Until {
				expected[i] += births[day] * params.Expected(bgnbd.History{}, float64(week.Until-day))
			}
		}
	}
	return expected
}
