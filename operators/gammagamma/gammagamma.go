// Package gammagamma is the arithmetic of the Gamma-Gamma model of spend per purchase.
//
// The amounts of a customer vary around a mean of their own with shape p, and the means vary among customers: an amount is
// Gamma(p, rate ν), and ν ~ Gamma(q, rate v). Spend is assumed to be independent of how often the customer buys. Sources:
// Fader, Hardie & Lee (2005), RFM and CLV: Using Iso-Value Curves for Customer Base Analysis, Journal of Marketing Research
// 42(4); Fader & Hardie (2013), The Gamma-Gamma Model of Monetary Value.
//
// Amounts are in one unit of money, the caller's; v is in the same unit, p and q have none. Every function is pure and safe
// for concurrent use. Parameters that Validate refuses give results without meaning.
package gammagamma

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// Params are the population parameters of the model.
type Params struct {
	P float64 // shape of one customer's amounts
	Q float64 // shape of the customers' rates; above 1, or the population has no mean
	V float64 // rate of the customers' rates, an amount of money
}

// Validate reports every parameter that is not finite, p or v not above 0, and q not above 1.
func (p Params) Validate() error {
	var errs []error
	for _, c := range []struct {
		name       string
		value, low float64
	}{{"p", p.P, 0}, {"q", p.Q, 1}, {"v", p.V, 0}} {
		if !(c.value > c.low) || math.IsInf(c.value, 1) {
			errs = append(errs, fmt.Errorf("%s is %v, must be finite and above %v", c.name, c.value, c.low))
		}
	}
	return errors.Join(errs...)
}

// Mean returns the expected amount of a customer's next purchases, given x purchases that together came to spend. For x = 0,
// when spend is 0, it is the mean of the population, p v/(q−1). The model is fitted on repeat purchases, so x and spend leave
// out the first. Fader & Hardie (2013): a weighted mean of the population's mean and the customer's.
func (p Params) Mean(x int, spend float64) float64 {
	return p.P * (p.V + spend) / (float64(p.P*float64(x)) + p.Q - 1)
}

// SumAtMost returns the probability that the customer's next k purchases, 1 or more, together come to the amount or less, given x purchases that came to
// spend.
//
// Given ν the sum of k amounts is Gamma(p k, ν), and ν is Gamma(q + p x, v + spend): the sum over sum + v + spend is Beta(p k, q + p x). The error is
// below 1e-9.
func (p Params) SumAtMost(x int, spend float64, k int, amount float64) float64 {
	if amount <= 0 {
		return 0
	}
	return mathext.RegIncBeta(p.P*float64(k), p.Q+float64(p.P*float64(x)), amount/(amount+p.V+spend))
}
