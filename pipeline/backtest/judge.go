package backtest

import (
	"fmt"
	"math"
)

// Result is a backtest's: what was fitted, and how its predictions came out beside those of naive rules.
type Result struct {
	Periods     Periods
	Models      Models
	Predictions []Prediction // by customer id
	Expected    []float64    // by week of Past.Weeks

	Transactions Amounts
	Value        Amounts
	Churn        Churn
	Upsell       Upsell
}

// Amounts compares predictions of amounts per customer with what happened.
type Amounts struct {
	Model Accuracy `json:"model"`
	// PastRate goes on as until now: repeat purchases per day of age times the days to come; in value times the mean amount of repeat purchases.
	PastRate Accuracy `json:"past_rate"`
}

// Classifier says how well a score tells of whom something will be true.
type Classifier struct {
	Accuracy float64 `json:"accuracy"`
	AUC      Figure  `json:"auc"` // undefined if it is true of all or none
}

// Churn is about the customers without a purchase in the holdout.
type Churn struct {
	BaseRate         float64 `json:"base_rate"`         // share of churned customers
	MajorityAccuracy float64 `json:"majority_accuracy"` // of saying the same of everybody, whichever is right more often

	Model            Classifier `json:"model"` // by the probability of buying within the holdout, at 0.5
	Brier            float64    `json:"brier"`
	CalibrationError float64    `json:"calibration_error"`
	Bins             []Bin      `json:"calibration_bins"` // of the probability of buying
	PAlive           Classifier `json:"p_alive"`          // by P(alive), at 0.5: not meant for it
	Silence          Silence    `json:"silence"`
}

// Silence is the rule that who has been silent for longer than a number of days will not buy.
type Silence struct {
	CutoffDays float64 `json:"cutoff_days"` // found on the calibration period alone; -1: the best rule is that nobody buys
	Classifier
}

// Upsell is about who will be among the top fifth of customers by spend in the holdout. If fewer have bought, it is about these.
type Upsell struct {
	Count            int     `json:"count"` // how many those are
	BaseRate         float64 `json:"base_rate"`
	MajorityAccuracy float64 `json:"majority_accuracy"`

	Model     Picks `json:"model"`      // by expected spend
	PastSpend Picks `json:"past_spend"` // by spend so far
}

// Picks says how well as many customers as are to be found were picked.
type Picks struct {
	Classifier
	HitRate Figure `json:"hit_rate"` // share of those picked who belong there; undefined if nobody does
}

// Judge fits the models to what was known at the end of calibration and compares what they predict with what was known at the end of the holdout.
func (c *Config) Judge(past *Past) (*Result, error) {
	if len(past.Customers) == 0 {
		return nil, fmt.Errorf("nobody has bought by %s, the end of calibration", past.Periods.Calibrate)
	}
	models, err := c.fit(past.Customers)
	if err != nil {
		return nil, err
	}
	r := &Result{Periods: past.Periods, Models: models, Expected: past.expected(models.Purchases.Params)}
	horizon := float64(past.Periods.HoldoutDays())
	for i := range past.Customers {
		r.Predictions = append(r.Predictions, c.predict(&past.Customers[i], &models, horizon))
	}
	o := c.outcomes(past)
	r.Transactions = Amounts{Model: accuracyOf(r.column(func(p *Prediction) float64 { return p.Buys }), o.purchases), PastRate: accuracyOf(o.rate, o.purchases)}
	r.Value = Amounts{
		Model:    accuracyOf(r.column(func(p *Prediction) float64 { return p.Buys * p.Spend }), o.spend),
		PastRate: accuracyOf(o.rateSpend, o.spend),
	}
	r.Churn = r.churn(past, o)
	r.Upsell = r.upsell(o)
	return r, nil
}

// Repeaters returns the number of customers who had bought again by the end of calibration.
func (r *Result) Repeaters() int {
	repeaters := 0
	for i := range r.Predictions {
		if r.Predictions[i].History.X > 0 {
			repeaters++
		}
	}
	return repeaters
}

func (r *Result) column(of func(p *Prediction) float64) []float64 {
	values := make([]float64, len(r.Predictions))
	for i := range values {
		values[i] = of(&r.Predictions[i])
	}
	return values
}

// outcomes are what happened in the holdout, and what naive rules make of the time before it; by customer.
type outcomes struct {
	purchases, spend []float64 // in the holdout
	bought           []bool
	rate, rateSpend  []float64 // Amounts.PastRate
	pastSpend        []float64
}

func (c *Config) outcomes(past *Past) *outcomes {
	n := len(past.Customers)
	o := &outcomes{
		purchases: make([]float64, n), spend: make([]float64, n), bought: make([]bool, n), rate: make([]float64, n), rateSpend: make([]float64, n),
		pastSpend: make([]float64, n),
	}
	for i := range past.Customers {
		was, is := &past.Customers[i].Calibrated, &past.Customers[i].Completed
		o.purchases[i] = float64(int(is.Count) - int(was.Count))
		o.spend[i] = c.major(is.Net - was.Net)
		o.bought[i] = is.Count > was.Count
		o.pastSpend[i] = c.major(was.Net)
		if h := c.history(was); h.X > 0 {
			o.rate[i] = float64(h.X) / h.T * float64(past.Periods.HoldoutDays())
			o.rateSpend[i] = o.rate[i] * c.repeatSpend(was) / float64(h.X)
		}
	}
	return o
}

// churn compares scores that are the higher the likelier a customer buys, so of them all a half, or the cut-off, and above means no churn.
func (r *Result) churn(past *Past, o *outcomes) Churn {
	buying := share(o.bought)
	pBuy, pAlive := r.column(func(p *Prediction) float64 { return p.PBuy }), r.column(func(p *Prediction) float64 { return p.PAlive })
	bins := calibration(pBuy, o.bought)
	return Churn{
		BaseRate: 1 - buying, MajorityAccuracy: max(buying, 1-buying),
		Model:  Classifier{agreement(atLeast(pBuy, 0.5), o.bought), auc(pBuy, o.bought)},
		PAlive: Classifier{agreement(atLeast(pAlive, 0.5), o.bought), auc(pAlive, o.bought)},
		Brier:  brier(pBuy, o.bought), Bins: bins, CalibrationError: calibrationError(bins),
		Silence: past.silence(o),
	}
}

// silence finds the cut-off in the rehearsal and applies it.
func (p *Past) silence(o *outcomes) Silence {
	var rehearsed []float64
	var bought []bool
	now := make([]float64, len(p.Customers))
	rehearsal := p.Periods.rehearsal()
	for i := range p.Customers {
		c := &p.Customers[i]
		now[i] = -float64(p.Periods.Calibrate - c.Calibrated.Last)
		if c.Rehearsed.Count > 0 {
			rehearsed = append(rehearsed, -float64(rehearsal-c.Rehearsed.Last))
			bought = append(bought, c.Calibrated.Count > c.Rehearsed.Count)
		}
	}
	threshold := bestThreshold(rehearsed, bought)
	return Silence{CutoffDays: max(-threshold, -1), Classifier: Classifier{agreement(atLeast(now, threshold), o.bought), auc(now, o.bought)}}
}

func (r *Result) upsell(o *outcomes) Upsell {
	const fifth = 0.2
	n := len(o.spend)
	count := int(math.Round(fifth * float64(n)))
	spenders := 0
	for _, s := range o.spend {
		if s > 0 {
			spenders++
		}
	}
	count = min(count, spenders)
	truth := top(o.spend, count)
	pick := func(score []float64) Picks {
		picked := top(score, count)
		hits := 0
		for i := range picked {
			if picked[i] && truth[i] {
				hits++
			}
		}
		p := Picks{HitRate: Undefined, Classifier: Classifier{agreement(picked, truth), auc(score, truth)}}
		if count > 0 {
			p.HitRate = Figure(float64(hits) / float64(count))
		}
		return p
	}
	rate := float64(count) / float64(n)
	return Upsell{
		Count: count, BaseRate: rate, MajorityAccuracy: max(rate, 1-rate),
		Model: pick(r.column(func(p *Prediction) float64 { return p.Buys * p.Spend })), PastSpend: pick(o.pastSpend),
	}
}
