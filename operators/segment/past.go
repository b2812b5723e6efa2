package segment

import "lull/operators"

// Evaluator is who evaluates customers, all of whom have purchases, and none after the instant.
type Evaluator interface {
	// Evaluate returns the facts at an instant.
	Evaluate(p *operators.Purchases, m *operators.Model, at operators.EventTime) operators.Facts
	// RisingUntil returns the instant at which silence since the last purchase ends that the customer is rising; Unset if they are not.
	RisingUntil(p *operators.Purchases, m *operators.Model) operators.EventTime
	// Reaches returns the instant at which silence since the last purchase takes a measure to a bound; Unset if it was there then.
	Reaches(p *operators.Purchases, m *operators.Model, what operators.Measure, bound float64) operators.EventTime
}

// cameBack reports whether a customer had been given up when the order came that made their newest purchase, by what is known with an order that comes late. It may show that they never were; or be of
// before the one by which they came back.
func (op *Operator) cameBack(c *operators.Customer, m *operators.Model, in *operators.Input) bool {
	first := -1
	for i := range c.Ledger.Orders {
		if o := &c.Ledger.Orders[i]; o.Counts() && o.Day == c.Purchases.Last {
			first = i
			break
		}
	}
	if first < 0 {
		return true // it is not kept at hand
	}
	made := &c.Ledger.Orders[first]
	p, known := c.PurchasesBefore(made.Time)
	switch {
	case !known:
		return true
	case p.Count == 0:
		return false
	}
	f := op.scores.Evaluate(&p, m, made.Time)
	// Between the bounds of the risk line the past decides. Where the silence that this order ends would not have reached the line by now, it is the past by which they are at risk.
	return highRisk(&f, made.ID == in.Event.OrderID && f.HighRiskAt > in.At)
}

// Possible returns where customers can have stood at an instant who have these purchases, none of them after it. What their past decides, and purchases do not tell, may have been either way: the sides of
// the lines of value and risk between their two bounds, whether who is at low risk has been won back, and where a dwell has held them. The past is that before what moved them: a
// purchase, if bought is set, else silence.
func (op *Operator) Possible(p *operators.Purchases, m *operators.Model, at operators.EventTime, past operators.Past, bought bool) []operators.Segment {
	now := op.stand(p, m, at)
	was, dwelt := now, now // just before, and as long before that as a dwell lasts
	dwells := false
	if past.Purchases.Count > 0 {
		begins, until := past.Until-operators.EventTime(op.config.DwellMs), past.Until
		if !bought { // of who buys at the instant, silence has lasted until then
			until--
		}
		was = op.stand(&past.Purchases, m, until)
		if dwells = past.LastOrder > begins; !dwells { // else an order may have moved them since
			dwelt = op.stand(&past.Purchases, m, begins)
		}
	}
	place := operators.Segment{}
	if m.Cuts != nil {
		scores, _ := Scores(p, m.Cuts, op.terms.MinorPerMajor(), at)
		place.RFMGroup = GroupOf(scores)
	}
	risesUntil := op.scores.RisingUntil(p, m)
	either := [...]bool{false, true}
	var all []operators.Segment
	for _, began := range [...]sides{{false, false}, {false, true}, {true, false}, {true, true}} {
		before := was.sides(began)
		is := now.sides(before)
		place.HighRisk = is.highRisk
		quadrants := append(make([]operators.Quadrant, 0, 3), is.quadrant())
		if dwells || before.quadrant() != dwelt.sides(began).quadrant() {
			is.highValue = now.sides(began).highValue // by the quadrant in which a dwell held them before
			quadrants = append(quadrants, before.quadrant(), is.quadrant())
		}
		for _, wonBack := range either {
			place.Lifecycle = stage(stageBefore(before.highRisk, wonBack), &now.facts, place.HighRisk, bought)
			for _, place.Quadrant = range quadrants {
				for _, waits := range either {
					place.Rising = at < risesUntil && !(waits && risesUntil-at < operators.EventTime(op.config.DwellMs))
					all = append(all, place)
				}
			}
		}
	}
	return all
}

// standing is how customers who have some purchases stand to the lines of value and risk at an instant.
type standing struct {
	facts     operators.Facts
	staysHigh bool // value is high of who was of high value
}

func (op *Operator) stand(p *operators.Purchases, m *operators.Model, at operators.EventTime) standing {
	s := standing{facts: op.scores.Evaluate(p, m, at)}
	s.staysHigh, _ = op.highValue(p, m, &s.facts, true)
	return s
}

// sides returns the sides that they are on, who were on others before.
func (s *standing) sides(were sides) sides {
	return sides{s.facts.HighValue || were.highValue && s.staysHigh, highRisk(&s.facts, were.highRisk)}
}

// stageBefore returns a stage that customers can have been in.
func stageBefore(highRisk, wonBack bool) operators.Lifecycle {
	switch {
	case highRisk:
		return operators.AtRisk
	case wonBack:
		return operators.WonBack
	}
	return operators.Active
}
