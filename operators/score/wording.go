package score

import (
	"math"
	"strconv"

	"lull/operators"
)

// The words of the reasons that people read. Numbers have a fixed precision, so that the same facts give the same words everywhere.

// Habit tells how a customer buys and how long they have been silent: "orders every 19 days, silent for 71 days".
func Habit(p *operators.Purchases, f *operators.Facts) string {
	habit := "one purchase on " + p.Last.String()
	if f.X > 0 {
		habit = "orders every " + Days(math.Round(f.LastAge/float64(f.X)))
	}
	silence := math.Floor(f.Age - f.LastAge)
	switch {
	case silence >= 1:
		return habit + ", silent for " + Days(silence)
	case f.X > 0:
		return habit + ", the last on " + p.Last.String()
	}
	return habit
}

// Days returns a number of days in words: "1 day", "30 days", "30.5 days".
func Days(days float64) string {
	if days == 1 {
		return "1 day"
	}
	return strconv.FormatFloat(days, 'f', -1, 64) + " days"
}

// Amount returns an amount in major units of the base currency, with its code: "12.30 USD".
func (c *Config) Amount(major float64) string {
	return strconv.FormatFloat(major, 'f', minorDigits(c.MinorPerMajor), 64) + " " + c.Currency
}

// Ratio returns a probability or risk to two decimals, or to all it has if it was set with more: "0.70", "0.725".
func Ratio(set float64) string {
	if s := strconv.FormatFloat(set, 'f', -1, 64); len(s) > len("0.00") {
		return s
	}
	return strconv.FormatFloat(set, 'f', 2, 64)
}
