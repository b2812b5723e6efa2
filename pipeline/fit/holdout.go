package fit

import (
	"fmt"
	"math"

	"lull/operators"
	"lull/operators/bgnbd"
)

const (
	// holdoutWeeksMin is the least number of weeks that are worth holding out.
	holdoutWeeksMin = 4
	// holdoutShare is the part of the time since the first birth that is held out at most: a third.
	holdoutShare = 3
	// holdoutMembersMin is the least number of customers whose predictions say something.
	holdoutMembersMin = 20
)

// Holdout is the test on held-out weeks: what would have been predicted at their start of the purchases in them.
//
// The challenger is the candidate as it would have been then: fitted to what was known of the sampled, by the same rules, with nothing of the
// held-out weeks. The champion is taken as it is. The weeks are those since its fit, if these are at least four: then it has not seen them either. Of a
// younger champion they are four, and it has seen some of them; that can only make it harder for the challenger.
type Holdout struct {
	From  operators.Day // the first day held out
	Weeks int
	// Members is how many customers of the sample had bought by then, and were predicted. Unknown is how many more had, but have bought more often since
	// than their record holds days: they are left out.
	Members, Unknown int
	Actual           int // purchase days of the members in the held-out weeks
	Challenger       Forecast
	Champion         *Forecast // nil if there is none
	// Difference is the mean over members of challenger's less champion's log score, and StandardError its standard error. Both are 0 without a champion.
	Difference, StandardError float64
}

// Forecast is how a model predicted the purchases in the held-out weeks.
type Forecast struct {
	Params   bgnbd.Params
	Expected float64 // purchases of all members
	// LogScore is the mean over members of the logarithm of the probability that the model gave to what then happened: as many purchases. The greater the
	// better, and in the mean greatest for the true model (a proper score; Gneiting & Raftery (2007), JASA 102(477)).
	LogScore float64
}

const (
	// worseErrors is by how many standard errors the challenger must be below the champion to be worse.
	worseErrors = 2
	// worsePerPurchase is by how much the sum of its scores must be below, for each purchase. If purchases come at a rate, one that is off by a tenth
	// loses as much: half the square of a tenth.
	worsePerPurchase = 0.005
	// worseByFit is by how much more it must be below: what four parameters lose that were estimated, not known, in 95 % of cases, be the customers many or
	// few. It is half of χ² with 4 degrees of freedom (Wilks (1938), Annals of Mathematical Statistics 9(1)).
	worseByFit = 4.74
)

// Worse reports whether the challenger has predicted worse than the champion, by more than chance explains, and by so much that it matters.
//
// Standard errors alone would refuse nearly everything. Two fits to nearly the same data differ by next to nothing, but for all customers in one direction:
// where the weeks are busier than those before, that which expects a little more is better by many standard errors. Of 56 weekly refits of the
// CDNOW cohort 14 passed.
func (h *Holdout) Worse() bool {
	if h.Champion == nil {
		return false
	}
	purchases := max(float64(h.Actual), h.Champion.Expected)
	matters := worseByFit + float64(worsePerPurchase*purchases)
	return -h.Difference > worseErrors*h.StandardError && -h.Difference*float64(h.Members) > matters
}

// noHoldout is why no held-out weeks can be tested.
type noHoldout string

// holdout tests on held-out weeks, or says why it cannot.
func (c *Config) holdout(p *Population, champion *operators.Model) (*Holdout, noHoldout) {
	weeks := min(c.HoldoutWeeks, int((p.Now-float64(p.First))/weekDays/holdoutShare))
	if weeks < holdoutWeeksMin {
		return nil, noHoldout(fmt.Sprintf("the first purchase was less than %d weeks ago", holdoutShare*holdoutWeeksMin))
	}
	if champion != nil {
		weeks = min(weeks, max(holdoutWeeksMin, p.weeksSince(champion, weeks)))
	}
	b := p.lookBack(holdoutWeeksMin, weeks)
	switch {
	case b.members < holdoutMembersMin:
		return nil, noHoldout(fmt.Sprintf("of the sampled customers %d had bought %d weeks ago, and it takes %d", b.members, b.weeks, holdoutMembersMin))
	case b.repeats == 0:
		return nil, noHoldout(fmt.Sprintf("%d weeks ago none of the sampled customers had bought again", b.weeks))
	}
	then, err := c.estimatePurchases(b.groups(), nil)
	if err != nil {
		return nil, noHoldout(err.Error())
	}
	h := &Holdout{From: b.from, Weeks: b.weeks, Members: b.members, Unknown: b.unknown, Actual: b.bought}
	challenger := forecastOf(&b, then.Params)
	h.Challenger = challenger.Forecast
	if champion != nil {
		other := forecastOf(&b, purchasesOf(champion))
		h.Champion = &other.Forecast
		h.Difference, h.StandardError = compare(&b, challenger.scores, other.scores)
	}
	return h, ""
}

// forecast is a Forecast with the log score of each episode.
type forecast struct {
	Forecast
	scores []float64
}

// leastChance is the probability that a model is held to have given at least to anything: bgnbd.Counts leaves out what is rarer. It bounds what a single
// customer can say.
const leastChance = 1e-13

func forecastOf(b *lookBack, params bgnbd.Params) forecast {
	f := forecast{Forecast: Forecast{Params: params}, scores: make([]float64, len(b.episodes))}
	var counts []float64
	var expected float64
	for i := range b.episodes {
		e := &b.episodes[i]
		if i == 0 || e.History != b.episodes[i-1].History || e.horizon != b.episodes[i-1].horizon { // the episodes are in order
			counts, expected = params.Counts(e.History, e.horizon), params.Expected(e.History, e.horizon)
		}
		chance := leastChance
		if e.bought < len(counts) {
			chance = max(chance, counts[e.bought])
		}
		f.scores[i] = math.Log(chance)
		f.Expected += float64(e.customers * expected)
		f.LogScore += float64(e.customers * f.scores[i])
	}
	f.LogScore /= float64(b.members)
	return f
}

// compare returns the mean over members of the difference of their scores, and its standard error.
func compare(b *lookBack, challenger, champion []float64) (mean, standardError float64) {
	n := float64(b.members)
	for i := range b.episodes {
		mean += float64(b.episodes[i].customers * (challenger[i] - champion[i]))
	}
	mean /= n
	squares := 0.0
	for i := range b.episodes {
		off := challenger[i] - champion[i] - mean
		squares += float64(b.episodes[i].customers * off * off)
	}
	return mean, math.Sqrt(squares / (n - 1) / n)
}
