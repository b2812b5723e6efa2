package operators

import "strconv"

// OfferCeiling is the most that may be offered to a customer to keep them, and how it comes about. It is of one instant and one model. Values are in major units of
// the base currency.
//
// What retention would save is, in each future of the customer, the share of its value that silence over the contact horizon would take: its mean is
// Facts.AboutToBeLost, and its 10 % point that share of the 10 % point of CLV.
type OfferCeiling struct {
	// Ceiling is the least of Cap, Share x SavedLow and CLVLow, rounded down to a minor unit.
	Ceiling Money
	// Cap is the policy's, which knows no customer; 0 is none.
	Cap Money
	// Share is the part of what retention would save that may be spent on it, above 0 and at most 1.
	Share float64
	// CLVLow is the 10 % point of the customer's value, of which CLV is the mean: in nine of ten futures they bring at least as much. It is 0 for most.
	CLVLow float64
	// LostShare is AboutToBeLost / CLV, 0 to 1.
	LostShare float64
	// SavedLow is the 10 % point of what retention would save.
	SavedLow float64
}

// Reasons tells in words how the ceiling comes about.
func (o *OfferCeiling) Reasons(t *Terms) []string {
	ceiling := "ceiling " + t.FormatMoney(o.Ceiling)
	switch {
	case o.CLVLow == 0:
		return []string{
			ceiling + ": never a retention offer worth more than the customer",
			"the 10 % point of their CLV is " + t.FormatAmount(0) + ": in one of ten futures or more they bring nothing",
		}
	case o.Cap > 0 && o.Ceiling == o.Cap:
		ceiling += ": the cap, under " + t.FormatAmount(o.Share*o.SavedLow) + ", which is "
	default:
		ceiling += ": "
	}
	return []string{
		ceiling + formatShare(o.Share) + " of " + t.FormatAmount(o.SavedLow) + ", the 10 % point of what retention would save",
		"silence of " + FormatDays(t.ContactDays) + " would take " + strconv.FormatFloat(100*o.LostShare, 'f', 1, 64) + " % of their value; the 10 % point of their CLV is " + t.FormatAmount(o.CLVLow),
	}
}

// The reasons of the answers to offers.
const (
	OfferWithinCeiling = "within_ceiling"
	OfferAboveCeiling  = "above_ceiling"
	OfferNoConsent     = "no_consent"  // to the purpose that the offer names
	OfferNoPurchase    = "no_purchase" // nothing is predicted of who has never bought
	OfferNoModel       = "no_model"    // nothing is predicted yet
)

// OfferAnswer is the answer to an offer that was proposed for a customer, with all that it was decided by.
type OfferAnswer struct {
	OfferID  string
	Amount   Money // what the offer costs
	Accepted bool
	Reason   string // one of those above
	// Purpose is that of the consent which the offer needs, "" if it names none. Consent is what holds of it, if ConsentKnown.
	Purpose      string
	Consent      Consent
	ConsentKnown bool
	// Ceiling and Facts are of the instant of the answer; zero without a purchase or a model.
	Ceiling OfferCeiling
	Facts   Facts
	Reasons []string
}

// formatShare returns a share as it was set: "0.3".
func formatShare(share float64) string { return strconv.FormatFloat(share, 'f', -1, 64) }
