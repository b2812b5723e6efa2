package offer_test

import (
	"slices"
	"strings"
	"testing"

	"lull/operators"
	"lull/operators/offer"
)

// scores say what they are told to; asked counts how often.
type scores struct {
	ceiling operators.OfferCeiling
	asked   int
}

func (s *scores) Evaluate(_ *operators.Purchases, _ *operators.Model, at operators.EventTime) operators.Facts {
	return operators.Facts{AsOf: at, X: 1, LastAge: 20, Age: 22, CLV: 846}
}

func (s *scores) Ceiling(*operators.Purchases, *operators.Model, *operators.Facts) operators.OfferCeiling {
	s.asked++
	return s.ceiling
}

var terms = operators.Terms{ContactDays: 30, Currency: "USD", MinorDigits: 2, MarginShare: 1}

// TestAnswers: an offer is accepted up to the ceiling and not a cent beyond, and only with consent if it names a purpose; the first of consent, purchase, model and ceiling that is
// missing is the reason, and all that is known is told.
func TestAnswers(t *testing.T) {
	sure := operators.OfferCeiling{Ceiling: 1727, Share: 0.3, CLVLow: 118.44, LostShare: 0.486, SavedLow: 57.59}
	email := []operators.Consent{{Purpose: "email", Given: true, Time: 1000, Proof: "form 12"}, {Purpose: "phone", Time: 2000, Proof: "ticket 7"}}
	model := &operators.Model{Version: "m"}
	for name, c := range map[string]struct {
		amount      operators.Money
		purpose     string
		ceiling     operators.OfferCeiling
		noPurchase  bool
		model       *operators.Model
		reason      string
		first, says string // the first reason in words, and what another says
	}{
		"below":              {500, "", sure, false, model, operators.OfferWithinCeiling, "5.00 USD accepted: at most the ceiling of 17.27 USD", "0.3 of 57.59 USD"},
		"exactly":            {1727, "", sure, false, model, operators.OfferWithinCeiling, "17.27 USD accepted: at most the ceiling of 17.27 USD", "48.6 %"},
		"a cent above":       {1728, "", sure, false, model, operators.OfferAboveCeiling, "17.28 USD rejected: 0.01 USD above the ceiling of 17.27 USD", "118.44 USD"},
		"nothing is sure":    {1, "", operators.OfferCeiling{Share: 0.3}, false, model, operators.OfferAboveCeiling, "0.01 USD rejected: 0.01 USD above the ceiling of 0.00 USD", "never a retention offer worth more than the customer"},
		"costs nothing":      {0, "", operators.OfferCeiling{Share: 0.3}, false, model, operators.OfferWithinCeiling, "0.00 USD accepted: at most the ceiling of 0.00 USD", ""},
		"consent":            {500, "email", sure, false, model, operators.OfferWithinCeiling, "5.00 USD accepted: at most the ceiling of 17.27 USD", "consent to email given at 1970-01-01 00:00 UTC, proof form 12"},
		"consent withdrawn":  {500, "phone", sure, false, model, operators.OfferNoConsent, "5.00 USD rejected: no consent to phone", "consent to phone withdrawn at 1970-01-01 00:00 UTC, proof ticket 7"},
		"consent unknown":    {9999, "post", sure, false, model, operators.OfferNoConsent, "99.99 USD rejected: no consent to post", "of consent to post nothing is known, which counts as not given"},
		"never bought":       {1, "email", sure, true, model, operators.OfferNoPurchase, "0.01 USD rejected: the customer has no purchase, of such nothing is predicted", "consent to email given"},
		"no model":           {1, "", sure, false, nil, operators.OfferNoModel, "0.01 USD rejected: no model is in force yet, nothing is predicted", ""},
		"never bought, none": {1, "", sure, true, nil, operators.OfferNoPurchase, "0.01 USD rejected: the customer has no purchase, of such nothing is predicted", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scores{ceiling: c.ceiling}
			customer := operators.NewCustomer("c")
			customer.Consents = email
			if !c.noPurchase {
				customer.Purchases = operators.Purchases{Count: 2, Last: 20, Orders: 2}
			}
			var out operators.Outbox
			in := operators.Input{Kind: operators.EventInput, At: 5000, Event: &operators.Event{
				Kind: operators.OfferProposed, ID: "m", Customer: "c", Time: 4000, Subject: "voucher", Name: c.purpose, Amount: c.amount,
			}}
			operators.NewChain(offer.New(terms, s)).Step(&operators.Env{Model: c.model}, customer, &in, &out)
			if len(out.Outputs) != 1 || out.Outputs[0].Kind != operators.OfferOutput || out.Outputs[0].Time != 5000 || out.Outputs[0].Cause.EventID != "m" {
				t.Fatalf("%+v", out.Outputs)
			}
			a := out.Outputs[0].Offer
			if a.OfferID != "voucher" || a.Amount != c.amount || a.Purpose != c.purpose || a.Reason != c.reason || a.Accepted != (c.reason == operators.OfferWithinCeiling) {
				t.Errorf("%+v", a)
			}
			if a.Reasons[0] != c.first || c.says != "" && !slices.ContainsFunc(a.Reasons, func(r string) bool { return strings.Contains(r, c.says) }) {
				t.Errorf("%q", a.Reasons)
			}
			predicted := !c.noPurchase && c.model != nil
			if (s.asked == 1) != predicted || (a.Facts.AsOf == 5000) != predicted || (a.Ceiling == c.ceiling) != predicted {
				t.Errorf("asked %d times: %+v", s.asked, a)
			}
		})
	}
}

// TestAsOf: an answer is as of the event, or of when the customer was last computed if that is later. Under a task whose watermark is behind, the event's own time is ahead of the customer's.
func TestAsOf(t *testing.T) {
	for _, v := range []struct{ customer, event, want operators.EventTime }{{5000, 4000, 5000}, {4000, 5000, 5000}, {5000, 5000, 5000}} {
		customer := operators.NewCustomer("c")
		customer.Purchases = operators.Purchases{Count: 2, Last: 20, Orders: 2}
		var out operators.Outbox
		in := operators.Input{Kind: operators.EventInput, At: v.customer, Event: &operators.Event{Kind: operators.OfferProposed, ID: "m", Customer: "c", Time: v.event, Subject: "voucher"}}
		operators.NewChain(offer.New(terms, &scores{})).Step(&operators.Env{Model: &operators.Model{Version: "m"}}, customer, &in, &out)
		if len(out.Outputs) != 1 || out.Outputs[0].Time != v.want || out.Outputs[0].Offer.Facts.AsOf != v.want {
			t.Errorf("%+v: %+v", v, out.Outputs)
		}
	}
}

// TestOnlyOffers: nothing else is answered, and no ceiling computed for it.
func TestOnlyOffers(t *testing.T) {
	s := &scores{}
	chain := operators.NewChain(offer.New(terms, s))
	customer := operators.NewCustomer("c")
	customer.Purchases.Count = 1
	var out operators.Outbox
	for kind := operators.EventKind(1); int(kind) <= operators.EventKinds; kind++ {
		if kind != operators.OfferProposed {
			chain.Step(&operators.Env{Model: &operators.Model{}}, customer, &operators.Input{Kind: operators.EventInput, Event: &operators.Event{Kind: kind, Subject: "s"}}, &out)
		}
	}
	chain.Step(&operators.Env{Model: &operators.Model{}}, customer, &operators.Input{Kind: operators.DeadlineInput}, &out)
	chain.Step(&operators.Env{Model: &operators.Model{}}, customer, &operators.Input{Kind: operators.ModelInput}, &out)
	if len(out.Outputs) > 0 || s.asked > 0 {
		t.Errorf("%+v, asked %d times", out.Outputs, s.asked)
	}
}
