package score

import (
	"math"

	"lull/operators"
)

// Ceiling returns the most that may be offered to a customer with these purchases, of which there are some, to keep them. The facts are theirs, of this model. It takes
// some 10 µs for most, whose 10 % point of CLV is 0, and for the others as long as a point of ValueRange: it is for when an offer or a trigger asks, not for
// every event. The error of a fitted model's parameters is in it.
func (op *Operator) Ceiling(p *operators.Purchases, m *operators.Model, f *operators.Facts) operators.OfferCeiling {
	c := &op.config
	o := operators.OfferCeiling{Cap: c.OfferCap, Share: c.OfferShare}
	if f.CLV > 0 {
		o.LostShare = min(1, f.AboutToBeLost/f.CLV)
	}
	o.CLVLow = op.values(p, m, UncertaintyOf(m), f.AsOf).point(0.1)
	o.SavedLow = o.LostShare * o.CLVLow
	// Neither share is above 1, so that this is not above CLVLow.
	o.Ceiling = c.minor(o.Share * o.SavedLow)
	if o.Cap > 0 {
		o.Ceiling = min(o.Ceiling, o.Cap)
	}
	return o
}

// minor returns an amount in major units, rounded down to minor units; what lies less than a millionth of one below it is taken for the whole.
func (c *Config) minor(amount float64) operators.Money {
	minor := math.Floor(float64(amount*float64(c.MinorPerMajor)) + 1e-6)
	if minor >= math.MaxInt64 {
		return math.MaxInt64
	}
	return operators.Money(minor)
}
