package operators

import (
	"math"
	"strconv"
	"strings"
)

// Terms are what facts are judged by and put into words with: settings of the scores, which all who speak of scores share.
type Terms struct {
	HighRisk, LowRisk     float64 // the thresholds of churn risk
	DormantRisk, LostRisk float64 // the churn risks from which a customer is dormant, and lost
	ValueBack             float64 // the share of the model's cut under which high value ends
	ContactDays           float64 // the contact horizon
	HorizonDays           float64 // how far CLV and the expected purchases look ahead
	MarginShare           float64 // of an order's value
	Currency              string  // ISO 4217 code of the base currency
	MinorDigits           int     // decimals of an amount in its major units
	// ExactRisk has a risk under the threshold shown with as many decimals as tell the two apart, "0.698", not with two, "0.70": what happens at this instant is
	// exact, and a card is of any instant. Outputs keep two.
	ExactRisk bool
}

// MinorPerMajor returns the number of minor units of the base currency in a major one.
func (t *Terms) MinorPerMajor() float64 { return math.Pow10(t.MinorDigits) }

// HighValueEnds returns the CLV under which the value of who is of high value is low again, in major units.
func (t *Terms) HighValueEnds(m *Model) float64 { return t.ValueBack * m.HighValue }

// The words of the reasons that people read. Numbers have a fixed precision, so that the same facts give the same words everywhere.

// Habit tells how a customer buys and how long they have been silent: "orders every 19 days, silent for 71 days".
func (p *Purchases) Habit(f *Facts) string {
	habit := "one purchase on " + p.Last.String()
	if f.X > 0 {
		habit = "orders every day"
		if between := math.Round(f.LastAge / float64(f.X)); between != 1 {
			habit = "orders every " + FormatDays(between)
		}
	}
	silence := math.Floor(f.Age - f.LastAge)
	switch {
	case silence >= 1:
		return habit + ", silent for " + FormatDays(silence)
	case f.X > 0:
		return habit + ", the last on " + p.Last.String()
	}
	return habit
}

// Return tells how long the customer was silent before their last purchase: "bought again after 71 days of silence". It is "" if the purchase before does not lie in the record.
func (d *PurchaseDays) Return() string {
	n := len(d.Newest)
	if n < 2 {
		return ""
	}
	return "bought again after " + FormatDays(float64(d.Newest[n-1].Day-d.Newest[n-2].Day)) + " of silence"
}

// FormatValue tells where a customer's value stands, who is on a side of the line of value: "CLV 53.04 USD, at least the cut of 34.88 USD".
func (t *Terms) FormatValue(f *Facts, m *Model, high bool) string {
	clv, cut, ends := t.FormatAmount(f.CLV), t.FormatAmount(m.HighValue), t.FormatAmount(t.HighValueEnds(m))
	switch {
	case f.HighValue:
		return "CLV " + clv + ", at least the cut of " + cut
	case high:
		return "CLV " + clv + " under the cut of " + cut + ", high until under " + ends
	// At the instant at which silence takes a customer under a line the two are the same number, and so they may be for who has never been above it.
	case clv == cut:
		return "CLV just under the cut of " + cut
	case clv == ends && f.CLV <= t.HighValueEnds(m):
		return "CLV just under " + ends + ", where high value ends"
	}
	return "CLV " + clv + " under the cut of " + cut
}

// FormatAmount returns an amount in major units of the base currency, with its code: "12.30 USD".
func (t *Terms) FormatAmount(major float64) string {
	return strconv.FormatFloat(major, 'f', t.MinorDigits, 64) + " " + t.Currency
}

// FormatMoney returns an amount in minor units of the base currency as FormatAmount does.
func (t *Terms) FormatMoney(amount Money) string {
	return t.FormatAmount(float64(amount) / t.MinorPerMajor())
}

// FormatDays returns a number of days: "1 day", "30 days", "30.5 days".
func FormatDays(days float64) string {
	if days == 1 {
		return "1 day"
	}
	return strconv.FormatFloat(days, 'f', -1, 64) + " days"
}

// FormatInstant returns an instant to the minute, the seconds cut off: "1998-07-14 08:00 UTC". Records have it to the millisecond.
func FormatInstant(at EventTime) string {
	day, clock, found := strings.Cut(at.String(), "T")
	if !found {
		return day // never
	}
	return day + " " + clock[:len("08:00")] + " UTC"
}

// FormatRisk returns a risk that was found to two decimals: "0.70".
func FormatRisk(risk float64) string { return strconv.FormatFloat(risk, 'f', 2, 64) }

// FormatRiskUnder returns a risk that was found under a threshold with two decimals, or as many more as keep it from being rounded up to the threshold: "0.699".
func FormatRiskUnder(risk, threshold float64) string {
	const decimalsMax = 12
	for decimals := 2; decimals < decimalsMax; decimals++ {
		text := strconv.FormatFloat(risk, 'f', decimals, 64)
		if shown, err := strconv.ParseFloat(text, 64); err == nil && shown < threshold {
			return text
		}
	}
	return FormatRisk(risk)
}

// FormatThreshold returns a risk that was set, with all its decimals but at least two: "0.70", "0.725".
func FormatThreshold(risk float64) string {
	if s := strconv.FormatFloat(risk, 'f', -1, 64); len(s) > len("0.00") {
		return s
	}
	return FormatRisk(risk)
}
