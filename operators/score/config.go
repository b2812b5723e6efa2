package score

import (
	"fmt"
	"math"

	"lull/operators"
)

// Config says what a score is, and which changes of it silence is watched for.
type Config struct {
	// Levels are the P(alive) at which a silent customer is scored anew, falling, each within (0, 1). The default, for nil, is 0.9, 0.8 … 0.1;
	// an empty list is none.
	Levels []float64
	// HighRisk is the churn risk, 1 − P(alive), from which a customer is of high risk: in their segment and for the churn-risk trigger. The
	// default is 0.7.
	HighRisk float64
	// LowRisk is the churn risk under which a customer of high risk is of low risk again, and the trigger armed again. At most HighRisk; the
	// distance keeps customers from going back and forth. The default is 0.6.
	LowRisk float64
	// DormantRisk and LostRisk are the churn risks from which a customer is dormant, and lost: above HighRisk, and each below the next. The defaults
	// are 0.85 and 0.95.
	DormantRisk, LostRisk float64
	// ValueBack is the share of the model's cut under which the CLV of who is in a quadrant of high value is low again, above 0 and at most 1; the distance keeps customers from
	// going back and forth, and 1 is none. The default is 0.8.
	ValueBack float64
	// HorizonMonths is how far CLV and the expected purchases look ahead, in months. The default is 12.
	HorizonMonths int
	// MonthDays is the length of such a month, in days. The default is 30.4375, a twelfth of a mean Julian year.
	MonthDays float64
	// DiscountMonthly is the discount rate of CLV, per month. The default is 0.01; 1e-12 is as good as no discount.
	DiscountMonthly float64
	// MarginShare is the part of an order's value that is margin, in (0, 1]. The default is 1.
	MarginShare float64
	// ContactDays is the time within which a contact could bring a customer back, in days: the horizon of BuysAgain and AboutToBeLost. The
	// default is 30.
	ContactDays float64
	// OfferShare is the part of what retention would save that may be offered to save it, above 0 and at most 1. The default is 0.3.
	OfferShare float64
	// OfferCap is the most that may be offered to anybody, in minor units of the base currency. The default, 0, is no cap.
	OfferCap operators.Money
	// Currency is the ISO 4217 code of the base currency, for the reasons that a person reads. The default is "USD".
	Currency string
	// Day returns the calendar day of an instant, by which one more order may be a purchase of its own or not. The default is the day in UTC. It is safe for concurrent use.
	Day func(operators.EventTime) operators.Day
	// MinorPerMajor is the number of minor units, in which Money counts, in a major unit of the base currency, in which models and scores
	// do: a power of ten. The default is 100.
	MinorPerMajor int64
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (c *Config) EnsureDefaults() {
	if c.Levels == nil {
		c.Levels = []float64{0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1}
	}
	if c.HighRisk == 0 {
		c.HighRisk = 0.7
	}
	if c.LowRisk == 0 {
		c.LowRisk = 0.6
	}
	if c.DormantRisk == 0 {
		c.DormantRisk = 0.85
	}
	if c.LostRisk == 0 {
		c.LostRisk = 0.95
	}
	if c.ValueBack == 0 {
		c.ValueBack = 0.8
	}
	if c.HorizonMonths == 0 {
		c.HorizonMonths = 12
	}
	if c.MonthDays == 0 {
		c.MonthDays = 30.4375
	}
	if c.DiscountMonthly == 0 {
		c.DiscountMonthly = 0.01
	}
	if c.MarginShare == 0 {
		c.MarginShare = 1
	}
	if c.ContactDays == 0 {
		c.ContactDays = 30
	}
	if c.OfferShare == 0 {
		c.OfferShare = 0.3
	}
	if c.Currency == "" {
		c.Currency = "USD"
	}
	if c.Day == nil {
		c.Day = operators.EventTime.UTCDay
	}
	if c.MinorPerMajor == 0 {
		c.MinorPerMajor = 100
	}
}

// levelsMax bounds the rows that one silence can write.
const levelsMax = 99

// Validate returns an error that names the field, its value and the rule it breaks. Comparisons are written so that NaN breaks them.
func (c *Config) Validate() error {
	if len(c.Levels) > levelsMax {
		return fmt.Errorf("score: Levels has %d levels; it must have %d at most", len(c.Levels), levelsMax)
	}
	above := 1.0
	for i, level := range c.Levels {
		if !(level > 0 && level < above) {
			return fmt.Errorf("score: Levels[%d] is %v; it must be above 0 and below %v, the one before it or 1", i, level, above)
		}
		above = level
	}
	switch {
	case !(c.HighRisk > 0 && c.HighRisk < 1):
		return fmt.Errorf("score: HighRisk is %v; it must be above 0 and below 1", c.HighRisk)
	case !(c.LowRisk > 0 && c.LowRisk <= c.HighRisk):
		return fmt.Errorf("score: LowRisk is %v; it must be above 0 and at most HighRisk (%v)", c.LowRisk, c.HighRisk)
	case !(c.DormantRisk > c.HighRisk && c.DormantRisk < c.LostRisk):
		return fmt.Errorf("score: DormantRisk is %v; it must be above HighRisk (%v) and below LostRisk (%v)", c.DormantRisk, c.HighRisk, c.LostRisk)
	case !(c.LostRisk < 1):
		return fmt.Errorf("score: LostRisk is %v; it must be below 1", c.LostRisk)
	case !(c.ValueBack > 0 && c.ValueBack <= 1):
		return fmt.Errorf("score: ValueBack is %v; it must be above 0 and at most 1", c.ValueBack)
	case !(c.HorizonMonths >= 1 && c.HorizonMonths <= 120):
		return fmt.Errorf("score: HorizonMonths is %d; it must be 1 to 120", c.HorizonMonths)
	case !(c.MonthDays >= 1 && c.MonthDays <= 366):
		return fmt.Errorf("score: MonthDays is %v; it must be 1 to 366", c.MonthDays)
	case !(c.DiscountMonthly >= 0 && c.DiscountMonthly <= 1):
		return fmt.Errorf("score: DiscountMonthly is %v; it must be 0 to 1", c.DiscountMonthly)
	case !(c.MarginShare > 0 && c.MarginShare <= 1):
		return fmt.Errorf("score: MarginShare is %v; it must be above 0 and at most 1", c.MarginShare)
	case !(c.ContactDays > 0 && c.ContactDays <= 366):
		return fmt.Errorf("score: ContactDays is %v; it must be above 0 and at most 366", c.ContactDays)
	case !(c.OfferShare > 0 && c.OfferShare <= 1):
		return fmt.Errorf("score: OfferShare is %v; it must be above 0 and at most 1", c.OfferShare)
	case c.OfferCap < 0:
		return fmt.Errorf("score: OfferCap is %d; it must be 0, which is none, or more", c.OfferCap)
	case !isCurrencyCode(c.Currency):
		return fmt.Errorf("score: Currency is %q; it must be an ISO 4217 code, three capital letters", c.Currency)
	case minorDigits(c.MinorPerMajor) < 0:
		return fmt.Errorf("score: MinorPerMajor is %d; it must be 1, 10, 100, 1000 or 10000", c.MinorPerMajor)
	}
	return nil
}

func isCurrencyCode(s string) bool {
	if len(s) != 3 {
		return false
	}
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return true
}

// minorDigits returns the number of decimals of an amount in major units, or -1 if minorPerMajor is not allowed.
func minorDigits(minorPerMajor int64) int {
	for digits, power := 0, int64(1); digits <= 4; digits, power = digits+1, power*10 {
		if power == minorPerMajor {
			return digits
		}
	}
	return -1
}

// Terms returns what others judge scores by and speak of them with. The config is complete and valid.
func (c *Config) Terms() operators.Terms {
	return operators.Terms{
		HighRisk: c.HighRisk, LowRisk: c.LowRisk, DormantRisk: c.DormantRisk, LostRisk: c.LostRisk, ValueBack: c.ValueBack, ContactDays: c.ContactDays, HorizonDays: float64(c.HorizonMonths) * c.MonthDays,
		MarginShare: c.MarginShare, Currency: c.Currency, MinorDigits: minorDigits(c.MinorPerMajor),
	}
}

// major returns an amount in major units of the base currency.
func (c *Config) major(amount operators.Money) float64 {
	return float64(amount) / float64(c.MinorPerMajor)
}

// complement returns the P(alive) of a churn risk, and the other way round. 1 − 0.7 is 0.30000000000000004 in float64; rounded, it is the same
// number, and its crossing the same instant, as the level 0.3.
func complement(p float64) float64 { return math.Round((1-p)*1e12) / 1e12 }
