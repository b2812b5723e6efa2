package fit_test

import (
	"math"
	"testing"

	"lull/operators"
	"lull/operators/bgnbd"
)

// TestDrift: customers who from a day on buy at half the rate, or at twice the rate, are a drift; in a shop where nothing changes there is none, at any time
// and however large the shop. The model was fitted on that day.
func TestDrift(t *testing.T) {
	const fitted, days = 500, 640
	// Each of a dozen buys every other day: they are so few that chance may have turned them all.
	daily := bgnbd.Params{Family: bgnbd.MBGNBD, R: 20, Alpha: 40, A: 0.1, B: 50}
	for what, c := range map[string]struct {
		params    bgnbd.Params
		customers int
		then      float64 // pace from the fit on
		drifts    bool
	}{
		"nothing has changed":  {mbg, 20_000, 1, false},
		"of few":               {mbg, 50, 0.3, false}, // in whom it is not seen
		"of a dozen":           {daily, 15, 0.5, false},
		"half the rate":        {mbg, 8000, 0.5, true},
		"twice the rate":       {mbg, 8000, 2, true},
		"a tenth of the rate":  {mbg, 8000, 0.1, true},
		"a tenth more":         {mbg, 20_000, 1.1, false}, // which no model would be right to
		"nobody buys any more": {mbg, 8000, 1e-9, true},
	} {
		model := modelOf(c.params, spend)
		model.Fit = &operators.Fit{AsOf: operators.EventTime(start+fitted) * operators.DayMs}
		people := shop(21, c.params, spend, c.customers, days, func(d operators.Day) float64 {
			if d >= start+fitted {
				return c.then
			}
			return 1
		})
		for _, weeks := range []int{1, 4, 13, 20} {
			d, ok := config().Drift(population(t, people, start+fitted+operators.Day(7*weeks)+3), model)
			if !ok || c.params == mbg && (d.Weeks != min(weeks, 13) || d.From != start+fitted+3+operators.Day(7*max(0, weeks-13))) {
				t.Fatalf("%s, %d weeks: %+v %t", what, weeks, d, ok)
			}
			if weeks == 4 {
				t.Logf("%s: %+v", what, d)
			}
			if c.drifts && weeks >= 4 && !d.Drifted || !c.drifts && d.Drifted {
				t.Errorf("%s, %d weeks: %+v", what, weeks, d)
			}
		}
	}
}

// TestDriftFigures: what is expected and what has happened is what can be counted, one customer after the other.
func TestDriftFigures(t *testing.T) {
	const now = start + 400
	people := shop(22, bgnbd.Params{Family: bgnbd.BGNBD, R: 1, Alpha: 15, A: 0.3, B: 2}, spend, 500, 400, steady)
	params := bgnbd.Params{Family: bgnbd.BGNBD, R: 0.5, Alpha: 30, A: 0.8, B: 2}
	d, ok := config().Drift(population(t, people, now), modelOf(params, spend))
	histories, bought, unknown := followed(people, d.From, now)
	actual, expected, squares := 0, 0.0, 0.0
	for i := range histories {
		e := params.Expected(histories[i], float64(now-d.From))
		actual += bought[i]
		expected += e
		squares += (float64(bought[i]) - e) * (float64(bought[i]) - e)
	}
	if !ok || d.From != now-operators.Day(7*d.Weeks) || d.Members != len(histories) || d.Unknown != unknown || d.Actual != actual || off(d.Expected, expected) > 1e-9 || off(d.StandardError, math.Sqrt(squares)) > 1e-9 {
		t.Errorf("%+v; %d members, %d unknown, %d purchases, %v expected, squares %v", d, len(histories), unknown, actual, expected, squares)
	}
}

// TestNoDriftToJudge: a model that is younger than a week, and a shop without customers.
func TestNoDriftToJudge(t *testing.T) {
	p := population(t, shop(23, mbg, spend, 500, 400, steady), start+400)
	for age, want := range map[operators.Day]bool{0: false, 6: false, 7: true, -7: false} {
		model := modelOf(mbg, spend)
		model.Fit = &operators.Fit{AsOf: operators.EventTime(start+400-age) * operators.DayMs}
		if d, ok := config().Drift(p, model); ok != want {
			t.Errorf("of %d days: %+v, %t", age, d, ok)
		}
	}
	if d, ok := config().Drift(population(t, nil, start+400), modelOf(mbg, spend)); ok || d.Drifted {
		t.Errorf("without customers: %+v", d)
	}
}
