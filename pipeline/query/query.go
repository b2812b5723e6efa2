// Package query is the read API: what lull knows of a customer, over HTTP, from committed states only.
package query

import (
	"lull/operators"
	"lull/operators/score"
)

// Card is what the API tells of a customer; docs/api.md shows one. What the scores topic says too has the same name there. All values are in major units of Currency.
type Card struct {
	CustomerID string `json:"customer_id" doc:"whose card it is"`
	AsOf       string `json:"as_of" format:"instant" doc:"the instant that all numbers stand for: the watermark, or when the customer was last heard of if that is later"`
	Watermark  string `json:"watermark" format:"instant" doc:"event time that the partition has certainly reached; unset before the first event"`
	Partition  int32  `json:"partition" doc:"the customer's partition of the input, or of the internal topic of events"`
	Position   int64  `json:"position" doc:"the next offset of it to be applied: all before is in the card"`
	Currency   string `json:"currency" doc:"ISO 4217 code of the base currency, which all values are in, in major units"`

	Facts     CardFacts     `json:"facts" doc:"what has happened"`
	Quality   CardQuality   `json:"quality" doc:"how far the facts can be trusted: what was wrong with their records"`
	Score     *CardScore    `json:"score" doc:"what the model makes of it; null while there is no purchase or no model"`
	Segment   string        `json:"segment" enum:"segment" doc:"the quadrant"`
	Since     string        `json:"segment_since,omitempty" format:"instant" doc:"since when they are in it; not there without a quadrant"`
	RFMGroup  string        `json:"rfm_group" enum:"rfm_group" doc:"the group of RFM scores"`
	Lifecycle string        `json:"lifecycle" enum:"lifecycle" doc:"the stage of the lifecycle"`
	Rising    bool          `json:"rising" doc:"whether they are of high potential at low spend so far"`
	Reasons   []string      `json:"reasons" doc:"why, in sentences for a person; empty without a score"`
	Consents  []CardConsent `json:"consents" doc:"by purpose, what was stated of it last; what is not among them was neither given nor withdrawn"`
	Deadline  *CardDeadline `json:"next_deadline" doc:"when silence changes their row in the scores table next, and what happens; null if never"`
	Change    *CardDeadline `json:"next_change" doc:"the first deadline at which more than numbers change: a segment of any kind, or a rule fires; null if never"`
}

// CardFacts are what has happened.
type CardFacts struct {
	Purchases     uint32  `json:"purchases" doc:"calendar days with an order that counts"`
	Orders        uint32  `json:"orders" doc:"orders that count: completed, and not cancelled"`
	FirstPurchase string  `json:"first_purchase" doc:"first purchase day; \"\" without a purchase"`
	LastPurchase  string  `json:"last_purchase" doc:"last purchase day"`
	Repeats       int     `json:"repeat_purchases" doc:"x: purchase days after the first"`
	LastAge       float64 `json:"last_purchase_age_days" doc:"t_x: from the first to the last purchase day, in days"`
	Age           float64 `json:"age_days" doc:"T: from the first purchase day to as_of, in days"`
	Silence       float64 `json:"since_last_purchase_days" doc:"T - t_x, in days"`
	RealizedValue float64 `json:"realized_value" doc:"net value of all orders, refunds taken off, in major units"`
	OpenSessions  int     `json:"open_sessions" doc:"sessions that have not ended yet"`
}

// CardQuality is what was wrong with the customer's records, each counted once.
type CardQuality struct {
	Score           float64 `json:"score" doc:"above 0 to 1: (1 + orders) / (1 + orders + faults), the faults being the sum of the rest; 1 without any"`
	Invalid         uint32  `json:"invalid" doc:"records refused for a reason that is none of the next three"`
	MissingField    uint32  `json:"missing_field" doc:"refused because a field that this kind of event needs was not there"`
	UnknownCurrency uint32  `json:"unknown_currency" doc:"refused because the currency has no rate"`
	ClockSkewed     uint32  `json:"clock_skewed" doc:"the time lay in the future: refused, or taken at the record's Kafka timestamp"`
	Duplicate       uint32  `json:"duplicate" doc:"the message id had been seen; dropped"`
	Late            uint32  `json:"late" doc:"older than the watermark; facts count all the same"`
}

func qualityOf(c *operators.Customer) CardQuality {
	f := &c.Faults
	return CardQuality{
		Score: f.Quality(c.Purchases.Orders), Invalid: f[operators.Invalid], MissingField: f[operators.MissingField], UnknownCurrency: f[operators.UnknownCurrency], ClockSkewed: f[operators.ClockSkewed],
		Duplicate: f[operators.Duplicate], Late: f[operators.LateEvent],
	}
}

// CardConsent is what holds of the customer's consent to a purpose: what was stated last.
type CardConsent struct {
	Purpose string `json:"purpose" doc:"what the consent is to"`
	Given   bool   `json:"given" doc:"false: withdrawn"`
	Since   string `json:"since" format:"instant" doc:"when it was stated"`
	Event   string `json:"event" doc:"id of the event that stated it"`
	Proof   string `json:"proof" doc:"the record that proves it; \"\" if none was named"`
}

// CardScore is what the model makes of it.
type CardScore struct {
	Model             string  `json:"model" doc:"version of the model"`
	PAlive            float64 `json:"p_alive" doc:"probability of being a customer still"`
	ChurnRisk         float64 `json:"churn_risk" doc:"1 - p_alive"`
	ExpectedPurchases float64 `json:"expected_purchases" doc:"purchase days expected within horizon_days"`
	ExpectedSpend     float64 `json:"expected_spend" doc:"value expected of a purchase day, in major units"`
	BuysAgain         float64 `json:"buys_again" doc:"probability of a purchase within contact_days"`
	CLV               float64 `json:"clv" doc:"discounted expected margin within the horizon, in major units"`
	Horizon
	ValueAtRisk      float64    `json:"value_at_risk" doc:"churn risk times the CLV of who is certainly alive, in major units"`
	AboutToBeLost    float64    `json:"value_about_to_be_lost" doc:"by how much CLV falls within contact_days of silence, in major units"`
	CLVPoints        CardPoints `json:"clv_points" doc:"of what the customer will be worth, of which clv is the mean; the error of a fitted model's parameters is in them"`
	NextPurchaseDays CardPoints `json:"next_purchase_days" doc:"of the days until the next purchase, if there is one: that there is has the probability p_alive"`
}

// Horizon is what a model's values are of.
type Horizon struct {
	HorizonMonths   int     `json:"horizon_months" doc:"how far expected_purchases and all CLV look ahead"`
	HorizonDays     float64 `json:"horizon_days" doc:"the same in days"`
	ContactDays     float64 `json:"contact_days" doc:"the time within which a contact can bring a customer back, in days"`
	DiscountMonthly float64 `json:"discount_monthly" doc:"the discount rate a month"`
}

func (a *api) horizon() Horizon {
	s := &a.config.Score
	return Horizon{HorizonMonths: s.HorizonMonths, HorizonDays: float64(s.HorizonMonths) * s.MonthDays, ContactDays: s.ContactDays, DiscountMonthly: s.DiscountMonthly}
}

// CardPoints are the 10, 50 and 90 % points of a distribution.
type CardPoints struct {
	Low    float64 `json:"p10" doc:"10 % point"`
	Median float64 `json:"p50" doc:"50 % point"`
	High   float64 `json:"p90" doc:"90 % point"`
}

// CardDeadline is when silence changes the customer's position, and how.
type CardDeadline struct {
	At   string `json:"at" format:"instant" doc:"when"`
	What string `json:"what" doc:"what happens then"`
}

// card answers the customer's card.
func card(a *api, _ *request, c *seen) (any, error) { return a.card(c), nil }

// card evaluates the customer at the latest of what they were computed at and now: their silence has an age whether anything happened or not.
func (a *api) card(of *seen) *Card {
	c, view, at := of.customer, &of.View, of.at
	p := &c.Purchases
	card := &Card{
		CustomerID: c.ID, AsOf: at.String(), Watermark: view.Watermark.String(), Partition: view.Partition, Position: view.Position,
		Currency: a.config.Score.Currency, Segment: c.Segment.Quadrant.String(),
		RFMGroup: c.Segment.RFMGroup.String(), Lifecycle: c.Segment.Lifecycle.String(), Rising: c.Segment.Rising, Reasons: []string{}, Consents: []CardConsent{},
		Facts: CardFacts{Purchases: p.Count, OpenSessions: len(c.Sessions)}, Quality: qualityOf(c),
	}
	if c.Segment.Quadrant != operators.NoQuadrant {
		card.Since = c.Segment.Since.String()
	}
	for _, known := range c.Consents {
		card.Consents = append(card.Consents, CardConsent{Purpose: known.Purpose, Given: known.Given, Since: known.Time.String(), Event: known.Event, Proof: known.Proof})
	}
	if p.Count == 0 {
		return card
	}
	// Age is not below t_x, as in scores: after clocks have gone forward the last day starts before that many whole days have passed.
	age := max(p.Age(at), p.LastAge())
	card.Facts = CardFacts{
		Purchases: p.Count, Orders: p.Orders, FirstPurchase: p.First.String(), LastPurchase: p.Last.String(), Repeats: p.Repeats(), LastAge: p.LastAge(),
		Age: age, Silence: age - p.LastAge(), RealizedValue: a.major(p.Net), OpenSessions: len(c.Sessions),
	}
	if view.Model == nil {
		card.Reasons = []string{"not scored: " + view.unscored()}
		return card
	}
	f := a.score.Evaluate(p, view.Model, at)
	card.Score = &CardScore{
		Model: view.Model.Version, PAlive: f.PAlive, ChurnRisk: f.Risk(), ExpectedPurchases: f.ExpectedPurchases, ExpectedSpend: f.ExpectedSpend,
		BuysAgain: f.BuysAgain, CLV: f.CLV, Horizon: a.horizon(), ValueAtRisk: f.ValueAtRisk, AboutToBeLost: f.AboutToBeLost,
	}
	value := a.score.ValueRange(p, view.Model, score.UncertaintyOf(view.Model), at)
	card.Score.CLVPoints = CardPoints{value.Low, value.Median, value.High}
	next := func(q float64) float64 { return min(a.score.NextPurchase(p, view.Model, at, q), daysMax) }
	card.Score.NextPurchaseDays = CardPoints{next(0.1), next(0.5), next(0.9)}
	card.Reasons = a.segment.Reasons(p, view.Model, &f, &c.Segment)
	card.Deadline = a.deadline(p, view.Model, at)
	card.Change = a.change(c, view.Model, at)
	return card
}

// major returns an amount in major units of the base currency, which all of the API's are in.
func (a *api) major(amount operators.Money) float64 {
	return float64(amount) / float64(a.config.Score.MinorPerMajor)
}

// dimensions are what segments are called in the card, by dimension.
var dimensions = [...]string{operators.QuadrantDimension: "segment", operators.RFMDimension: "RFM group", operators.LifecycleDimension: "lifecycle", operators.RisingDimension: "rising"}

// daysMax stands for every longer wait, 10,000 years: JSON has no infinity.
const daysMax = 3_652_500

// change lets the customer be silent from an instant on, as the pipeline would, until more than numbers change. It leaves c as it is.
func (a *api) change(c *operators.Customer, model *operators.Model, at operators.EventTime) *CardDeadline {
	ahead := operators.NewCustomer(c.ID)
	ahead.CopyFrom(c)
	for _, pass := range a.silence(ahead, model, at) {
		if change, ok := pass(); ok {
			return &change
		}
	}
	return nil
}
