package query

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"

	"lull/operators"
	"lull/operators/trigger"
)

// WhatIf is what would become of a customer.
type WhatIf struct {
	CustomerID string `json:"customer_id" doc:"of whom it is asked"`
	AsOf       string `json:"as_of" format:"instant" doc:"now: the watermark, or when the customer was last heard of if that is later"`
	Watermark  string `json:"watermark" format:"instant" doc:"event time that the partition has certainly reached"`
	Partition  int32  `json:"partition" doc:"the customer's partition"`
	Position   int64  `json:"position" doc:"the next offset of it to be applied: all before is in the answer"`
	Currency   string `json:"currency" doc:"ISO 4217 code of the base currency, which all values are in, in major units"`
	Model      string `json:"model" doc:"version of the model that it is computed with"`
	Horizon
	If       string         `json:"if" doc:"what is supposed, in words"`
	Now      Standpoint     `json:"now" doc:"where the customer stands now"`
	Then     Standpoint     `json:"then" doc:"where they would stand"`
	Changes  []CardDeadline `json:"changes" doc:"the segments that would change and the rules that would fire on the way, in order"`
	Deadline *CardDeadline  `json:"next_deadline" doc:"when silence would change their row in the scores table next after that; null if never"`
	Reasons  []string       `json:"counterfactuals" doc:"the sentences that a trigger of now would carry"`
}

// Standpoint is where a customer stands at an instant.
type Standpoint struct {
	AsOf      string   `json:"as_of" format:"instant" doc:"the instant"`
	Figures   *Figures `json:"score" doc:"what the model makes of it"`
	Segment   string   `json:"segment" enum:"segment" doc:"the quadrant"`
	RFMGroup  string   `json:"rfm_group" enum:"rfm_group" doc:"the group of RFM scores"`
	Lifecycle string   `json:"lifecycle" enum:"lifecycle" doc:"the stage of the lifecycle"`
	Rising    bool     `json:"rising" doc:"whether they are of high potential at low spend so far"`
}

// orderPattern describes the values of order.
const orderPattern = `^(expected|[0-9]{1,12}(\.[0-9]{1,4})?)$`

// whatIf answers what an order now, or silence until an instant, would make of a customer: a copy of theirs goes through the chain, as if it were so.
func whatIf(a *api, r *request, c *seen) (any, error) {
	order, ordered := r.query["order"]
	until, silent := r.instant("silent_until")
	if ordered == silent {
		return nil, invalid("what if what? Give either order or silent_until")
	}
	if err := c.scored(); err != nil {
		return nil, err
	}
	now := a.score.Evaluate(&c.customer.Purchases, c.Model, c.at)
	terms := a.config.Score.Terms()
	terms.ExactRisk = true
	out := &WhatIf{
		CustomerID: c.customer.ID, AsOf: c.at.String(), Watermark: c.Watermark.String(), Partition: c.Partition, Position: c.Position, Currency: a.config.Score.Currency,
		Model: c.Model.Version, Horizon: a.horizon(), Now: a.standpoint(c.customer, c.Model, c.at), Changes: []CardDeadline{}, Reasons: trigger.Counterfactuals(&now, &terms),
	}
	ahead := operators.NewCustomer(c.customer.ID)
	ahead.CopyFrom(c.customer)
	then := c.at
	if ordered {
		amount, err := a.amount(order[0], &now)
		if err != nil {
			return nil, err
		}
		out.If = fmt.Sprintf("an order of %s at %s", terms.FormatMoney(amount), c.at)
		if change, ok := a.buy(ahead, c, amount); ok {
			out.Changes = append(out.Changes, change)
		}
	} else {
		if until < c.at {
			return nil, invalid("silent_until %s: the customer stands at %s already", until, c.at)
		}
		out.If, then = "silent until "+until.String(), until
		for at, step := range a.silence(ahead, c.Model, c.at) {
			if at > until {
				break
			}
			if r.Context().Err() != nil {
				return nil, r.Context().Err()
			}
			if change, ok := step(); ok {
				out.Changes = append(out.Changes, change)
			}
		}
	}
	out.Then = a.standpoint(ahead, c.Model, then)
	out.Deadline = a.deadline(&ahead.Purchases, c.Model, then)
	return out, nil
}

// standpoint evaluates a customer who has purchases.
func (a *api) standpoint(c *operators.Customer, m *operators.Model, at operators.EventTime) Standpoint {
	f := a.score.Evaluate(&c.Purchases, m, at)
	return Standpoint{
		AsOf: at.String(), Figures: figures(&f), Segment: c.Segment.Quadrant.String(), RFMGroup: c.Segment.RFMGroup.String(), Lifecycle: c.Segment.Lifecycle.String(), Rising: c.Segment.Rising,
	}
}

// amount returns the value of the order that is supposed.
func (a *api) amount(order string, now *operators.Facts) (operators.Money, error) {
	if order == "expected" {
		return operators.Money(math.Round(now.ExpectedSpend * float64(a.config.Score.MinorPerMajor))), nil
	}
	terms := a.config.Score.Terms()
	whole, decimals, point := strings.Cut(order, ".")
	minor, err := parseWhole(whole+decimals+strings.Repeat("0", max(0, terms.MinorDigits-len(decimals))), int64(a.config.Orders.AmountMax))
	if err != nil || whole == "" || point != (decimals != "") || len(decimals) > terms.MinorDigits {
		most := strconv.FormatFloat(a.major(a.config.Orders.AmountMax), 'f', terms.MinorDigits, 64)
		return 0, invalid("order %q: it must be expected, or the order's value in %s, with at most %d decimals, up to %s", order, terms.Currency, terms.MinorDigits, most)
	}
	return operators.Money(minor), nil
}

// buy lets a customer order at the instant that they are seen at.
func (a *api) buy(ahead *operators.Customer, c *seen, amount operators.Money) (change CardDeadline, changed bool) {
	parts := make(supposed)
	maps.Copy(parts, c.Pages)
	ahead.Parts = parts
	const id = "what if" // no producer's: nothing is written
	event := operators.Event{Kind: operators.OrderCompleted, ID: id, Customer: ahead.ID, Time: c.at, OrderID: id, Amount: amount}
	event.Day, event.DayStart = a.Day(c.at)
	var out operators.Outbox
	a.chain.Step(&operators.Env{Watermark: c.at, Now: c.at, Model: c.Model}, ahead, &operators.Input{Kind: operators.EventInput, At: c.at, Event: &event}, &out)
	then := changes(&out)
	return CardDeadline{At: c.at.String(), What: strings.Join(then, ", ")}, len(then) > 0
}

// supposed are the records beside a state that nobody keeps.
type supposed map[string][]byte

// Get implements operators.Parts.
func (s supposed) Get(name string) (value []byte, ok bool) {
	value, ok = s[name]
	return value, ok
}

// Set implements operators.Parts.
func (s supposed) Set(name string, value []byte) { s[name] = value }

// Delete implements operators.Parts.
func (s supposed) Delete(name string) { delete(s, name) }

// changes tells which segments change and which rules fire.
func changes(out *operators.Outbox) (then []string) {
	for i := range out.Outputs {
		switch o := &out.Outputs[i]; o.Kind {
		case operators.SegmentOutput:
			then = append(then, fmt.Sprintf("%s %s (was %s)", dimensions[o.Segment.Dimension], o.Segment.To, o.Segment.From))
		case operators.TriggerOutput:
			then = append(then, "trigger "+o.Trigger.Rule)
		}
	}
	return then
}

// silence yields the deadlines of a customer who is silent from an instant on, one after the other, each with what lets it pass as the pipeline would and
// tells what changes then, if more than numbers do. c is changed by it.
func (a *api) silence(c *operators.Customer, model *operators.Model, at operators.EventTime) func(yield func(operators.EventTime, func() (CardDeadline, bool)) bool) {
	terms := a.config.Score.Terms()
	valueEnds := terms.HighValueEnds(model)
	endsAt := a.score.Reaches(&c.Purchases, model, operators.CLV, valueEnds)
	return func(yield func(operators.EventTime, func() (CardDeadline, bool)) bool) {
		for {
			next, what := a.score.Next(&c.Purchases, model, at)
			for _, own := range [...]operators.EventTime{c.Segment.Next, c.RisingDeadline(), c.RulesNext} {
				if own > at && own < next {
					next, what = own, "time passes"
					if own == endsAt {
						what = "CLV falls under " + terms.FormatAmount(valueEnds) + ", where high value ends"
					}
				}
			}
			if next == operators.Never {
				return
			}
			at = next
			pass := func() (CardDeadline, bool) {
				var out operators.Outbox
				a.chain.Step(&operators.Env{Watermark: at, Now: at, Model: model}, c, &operators.Input{Kind: operators.DeadlineInput, At: at}, &out)
				then := changes(&out)
				return CardDeadline{At: at.String(), What: what + ": " + strings.Join(then, ", ")}, len(then) > 0
			}
			if !yield(at, pass) {
				return
			}
		}
	}
}
