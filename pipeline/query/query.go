// Package query is the read API: what lull knows of a customer, over HTTP, from committed states only.
package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/score"
	"lull/operators/segment"
)

// View is a customer's committed state and what it is to be read with.
type View struct {
	State     []byte           // nil if nothing is known of the customer
	Model     *operators.Model // that the customer was last computed with, nil before the first
	HasModel  bool             // a model is in force in the partition
	Partition int32
	Position  int64 // next input offset of the partition
	// Watermark is what the customer is evaluated at, unless they were heard of later. The wall clock would make customers look silent whose events
	// wait in a backlog.
	Watermark operators.EventTime
}

// States gives committed states. It is safe for concurrent use.
type States interface {
	// View returns the view of a customer. The error is a *NotOwnedError if the customer's partition is not this process's.
	View(customer string) (View, error)
}

// NotOwnedError says that a customer's partition is not this process's.
type NotOwnedError struct {
	Partition int32
	Why       string
}

func (e *NotOwnedError) Error() string { return fmt.Sprintf("partition %d %s", e.Partition, e.Why) }

// Card is what the API tells of a customer; docs/api.md shows one. What the scores topic says too has the same name there. Money facts are in minor units of Currency, model values in major units.
type Card struct {
	CustomerID string `json:"customer_id"`
	AsOf       string `json:"as_of"`
	Watermark  string `json:"watermark"`
	Partition  int32  `json:"partition"`
	Position   int64  `json:"position"`
	Currency   string `json:"currency"`

	Facts     CardFacts     `json:"facts"`
	Score     *CardScore    `json:"score"` // null while there is no purchase or no model
	Segment   string        `json:"segment"`
	Since     string        `json:"segment_since,omitempty"`
	RFMGroup  string        `json:"rfm_group"`
	Lifecycle string        `json:"lifecycle"`
	Rising    bool          `json:"rising"`
	Reasons   []string      `json:"reasons"`
	Consents  []CardConsent `json:"consents"`      // by purpose; what is not among them was neither given nor withdrawn
	Deadline  *CardDeadline `json:"next_deadline"` // null if silence changes nothing any more
	// Change is the first deadline at which silence changes more than the numbers: the segment, or a trigger fires. Null if it never does.
	Change *CardDeadline `json:"next_change"`
}

// CardFacts are what has happened.
type CardFacts struct {
	Purchases     uint32  `json:"purchases"`      // days with an order that counts
	Orders        uint32  `json:"orders"`         // that count
	FirstPurchase string  `json:"first_purchase"` // calendar day, "" if none
	LastPurchase  string  `json:"last_purchase"`
	Repeats       int     `json:"repeat_purchases"`         // x
	LastAge       float64 `json:"last_purchase_age_days"`   // t_x: first to last purchase
	Age           float64 `json:"age_days"`                 // T: first purchase to as_of
	Silence       float64 `json:"since_last_purchase_days"` // T - t_x
	RealizedValue int64   `json:"realized_value"`           // minor units
	OpenSessions  int     `json:"open_sessions"`
}

// CardConsent is what holds of the customer's consent to a purpose: what was stated last.
type CardConsent struct {
	Purpose string `json:"purpose"`
	Given   bool   `json:"given"` // false: withdrawn
	Since   string `json:"since"` // when it was stated
	Event   string `json:"event"` // id of the event that stated it
	Proof   string `json:"proof"` // "" if none was named
}

// CardScore is what the model makes of it.
type CardScore struct {
	Model             string  `json:"model"`
	PAlive            float64 `json:"p_alive"`
	ChurnRisk         float64 `json:"churn_risk"`
	ExpectedPurchases float64 `json:"expected_purchases"`
	ExpectedSpend     float64 `json:"expected_spend"`
	BuysAgain         float64 `json:"buys_again"`
	CLV               float64 `json:"clv"`
	HorizonMonths     int     `json:"horizon_months"`
	HorizonDays       float64 `json:"horizon_days"`
	ContactDays       float64 `json:"contact_days"`
	DiscountMonthly   float64 `json:"discount_monthly"`
	ValueAtRisk       float64 `json:"value_at_risk"`
	AboutToBeLost     float64 `json:"value_about_to_be_lost"`
	// CLVPoints are those of what the customer will be worth, of which CLV is the mean; the error of a fitted model's parameters is in them.
	CLVPoints CardPoints `json:"clv_points"`
	// NextPurchaseDays are those of the wait for the next purchase, if there is one: that there is has the probability PAlive.
	NextPurchaseDays CardPoints `json:"next_purchase_days"`
}

// CardPoints are the 10, 50 and 90 % points of a distribution.
type CardPoints struct {
	Low    float64 `json:"p10"`
	Median float64 `json:"p50"`
	High   float64 `json:"p90"`
}

// CardDeadline is when silence changes the customer's position, and how.
type CardDeadline struct {
	At   string `json:"at"`
	What string `json:"what"`
}

// Handler returns the handler of /v1/.
func Handler(states States, config clv.Config) http.Handler {
	terms := config.Score.Terms()
	terms.ExactRisk = true
	scores := score.New(config.Score)
	api := &api{states: states, chain: clv.NewChain(config), score: scores, segment: segment.New(config.Segment, terms, scores), config: config}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/customers/{id}", api.customer)
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "no such resource: GET /v1/customers/{id} is what there is")
	})
	return mux
}

type api struct {
	states  States
	chain   *operators.Chain
	score   *score.Operator
	segment *segment.Operator
	config  clv.Config
}

func (a *api) customer(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !utf8.ValidString(id) { // such an event is a dead letter: there is no such customer anywhere
		fail(w, http.StatusBadRequest, fmt.Sprintf("customer %q: an id is UTF-8, percent-encoded in the path", id))
		return
	}
	view, err := a.states.View(id)
	var elsewhere *NotOwnedError
	switch {
	case errors.As(err, &elsewhere):
		fail(w, http.StatusMisdirectedRequest, fmt.Sprintf("customer %q: %s", id, err))
		return
	case err != nil:
		fail(w, http.StatusServiceUnavailable, err.Error())
		return
	case view.State == nil:
		fail(w, http.StatusNotFound, fmt.Sprintf("customer %q is not known", id))
		return
	}
	card, err := a.card(id, &view)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, http.StatusOK, card)
}

// card evaluates the customer at the latest of what they were computed at and now: their silence has an age whether anything happened or not.
func (a *api) card(id string, view *View) (*Card, error) {
	c := operators.NewCustomer(id)
	if err := c.DecodeState(view.State); err != nil {
		return nil, fmt.Errorf("reading customer %q: %w", id, err)
	}
	at := max(c.At, view.Watermark)
	p := &c.Purchases
	card := &Card{
		CustomerID: id, AsOf: at.String(), Watermark: view.Watermark.String(), Partition: view.Partition, Position: view.Position,
		Currency: a.config.Score.Currency, Segment: c.Segment.Quadrant.String(),
		RFMGroup: c.Segment.RFMGroup.String(), Lifecycle: c.Segment.Lifecycle.String(), Rising: c.Segment.Rising, Reasons: []string{}, Consents: []CardConsent{},
		Facts: CardFacts{Purchases: p.Count, OpenSessions: len(c.Sessions)},
	}
	if c.Segment.Quadrant != operators.NoQuadrant {
		card.Since = c.Segment.Since.String()
	}
	for _, known := range c.Consents {
		card.Consents = append(card.Consents, CardConsent{Purpose: known.Purpose, Given: known.Given, Since: known.Time.String(), Event: known.Event, Proof: known.Proof})
	}
	if p.Count == 0 {
		return card, nil
	}
	// Age is not below t_x, as in scores: after clocks have gone forward the last day starts before that many whole days have passed.
	age := max(p.Age(at), p.LastAge())
	card.Facts = CardFacts{
		Purchases: p.Count, Orders: p.Orders, FirstPurchase: p.First.String(), LastPurchase: p.Last.String(), Repeats: p.Repeats(), LastAge: p.LastAge(),
		Age: age, Silence: age - p.LastAge(), RealizedValue: int64(p.Net), OpenSessions: len(c.Sessions),
	}
	switch {
	case view.Model == nil && !view.HasModel:
		card.Reasons = []string{"not scored: no model is in force in this customer's partition yet"}
		return card, nil
	case view.Model == nil:
		card.Reasons = []string{"not scored yet: the sweep to the model in force has not come to this customer"}
		return card, nil
	}
	f := a.score.Evaluate(p, view.Model, at)
	s := &a.config.Score
	card.Score = &CardScore{
		Model: view.Model.Version, PAlive: f.PAlive, ChurnRisk: f.Risk(), ExpectedPurchases: f.ExpectedPurchases, ExpectedSpend: f.ExpectedSpend,
		BuysAgain: f.BuysAgain, CLV: f.CLV, HorizonMonths: s.HorizonMonths, HorizonDays: float64(s.HorizonMonths) * s.MonthDays,
		ContactDays: s.ContactDays, DiscountMonthly: s.DiscountMonthly, ValueAtRisk: f.ValueAtRisk, AboutToBeLost: f.AboutToBeLost,
	}
	value := a.score.ValueRange(p, view.Model, score.UncertaintyOf(view.Model), at)
	card.Score.CLVPoints = CardPoints{value.Low, value.Median, value.High}
	next := func(q float64) float64 { return min(a.score.NextPurchase(p, view.Model, at, q), daysMax) }
	card.Score.NextPurchaseDays = CardPoints{next(0.1), next(0.5), next(0.9)}
	card.Reasons = a.segment.Reasons(p, view.Model, &f, &c.Segment)
	if next, what := a.score.Next(p, view.Model, at); next != operators.Never {
		card.Deadline = &CardDeadline{At: next.String(), What: what}
	}
	card.Change = a.change(c, view.Model, at)
	return card, nil
}

// dimensions are what segments are called in the card, by dimension.
var dimensions = [...]string{operators.QuadrantDimension: "segment", operators.RFMDimension: "RFM group", operators.LifecycleDimension: "lifecycle", operators.RisingDimension: "rising"}

// daysMax stands for every longer wait, 10,000 years: JSON has no infinity.
const daysMax = 3_652_500

// change lets the customer be silent from an instant on, as the pipeline would, until more than numbers change. It leaves c as it is.
func (a *api) change(c *operators.Customer, model *operators.Model, at operators.EventTime) *CardDeadline {
	ahead := operators.NewCustomer(c.ID)
	ahead.CopyFrom(c)
	terms := a.config.Score.Terms()
	valueEnds := terms.HighValueEnds(model)
	endsAt := a.score.Reaches(&c.Purchases, model, operators.CLV, valueEnds)
	for {
		next, what := a.score.Next(&ahead.Purchases, model, at)
		for _, own := range [...]operators.EventTime{ahead.Segment.Next, ahead.RisingDeadline(), ahead.RulesNext} {
			if own > at && own < next {
				next, what = own, "time passes"
				if own == endsAt {
					what = "CLV falls under " + terms.FormatAmount(valueEnds) + ", where high value ends"
				}
			}
		}
		if next == operators.Never {
			return nil
		}
		at = next
		var out operators.Outbox
		a.chain.Step(&operators.Env{Watermark: at, Now: at, Model: model}, ahead, &operators.Input{Kind: operators.DeadlineInput, At: at}, &out)
		var then []string
		for i := range out.Outputs {
			switch o := &out.Outputs[i]; o.Kind {
			case operators.SegmentOutput:
				then = append(then, fmt.Sprintf("%s %s (was %s)", dimensions[o.Segment.Dimension], o.Segment.To, o.Segment.From))
			case operators.TriggerOutput:
				then = append(then, "trigger "+o.Trigger.Rule)
			}
		}
		if len(then) > 0 {
			return &CardDeadline{At: at.String(), What: what + ": " + strings.Join(then, ", ")}
		}
	}
}

// answer writes the body as JSON. What JSON cannot hold, infinite values of a model of absurd amounts, is an error and not half an answer.
func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		fail(w, http.StatusInternalServerError, fmt.Sprintf("writing the answer: %s", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client has gone: nobody is left to tell
}

func fail(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"error": message})
}

// Timeouts of the listener: a reader asks for one customer.
const (
	ReadTimeout  = 5 * time.Second
	WriteTimeout = 10 * time.Second
)
