package query

import (
	"net/http"
	"slices"

	"lull/operators"
)

// Course is P(alive) of a customer over time: until now, and in silence until the next deadline.
type Course struct {
	CustomerID string        `json:"customer_id" doc:"whose course it is"`
	AsOf       string        `json:"as_of" format:"instant" doc:"now: the watermark, or when the customer was last heard of if that is later"`
	Watermark  string        `json:"watermark" format:"instant" doc:"event time that the partition has certainly reached"`
	Partition  int32         `json:"partition" doc:"the customer's partition"`
	Position   int64         `json:"position" doc:"the next offset of it to be applied: all before is in the course"`
	Model      string        `json:"model" doc:"version of the model that all of it is computed with, the past too"`
	Points     []CoursePoint `json:"points" doc:"P(alive) by the purchase days that are known now, in the order of time"`
	Older      int           `json:"older_purchases" doc:"purchase days before the first point, which the points do not reach back to"`
	Deadline   *CardDeadline `json:"next_deadline" doc:"what the last point is; null if silence changes nothing any more, and then the course ends now"`
}

// CoursePoint is P(alive) at an instant.
type CoursePoint struct {
	At     string  `json:"at" format:"instant" doc:"the instant"`
	PAlive float64 `json:"p_alive" doc:"P(alive) then; at a purchase day's start with that purchase"`
	What   string  `json:"what" enum:"point" doc:"purchase: a purchase day begins; silence: none has come; now; foretold: the future, if none comes; deadline: next_deadline"`
}

// The most points that a course has, and how many it has about if nothing is said.
const (
	pointsMax     = 1000
	pointsDefault = 100
)

// course answers P(alive) over time.
func course(a *api, r *request, c *seen) (any, error) {
	out := &Course{
		CustomerID: c.customer.ID, AsOf: c.at.String(), Watermark: c.Watermark.String(), Partition: c.Partition, Position: c.Position, Points: []CoursePoint{},
	}
	p := &c.customer.Purchases
	if err := c.scored(); err != nil {
		return nil, err
	}
	out.Model = c.Model.Version
	next, what := a.score.Next(p, c.Model, c.at)
	end := c.at
	if next != operators.Never {
		out.Deadline, end = &CardDeadline{At: next.String(), What: what}, next
	}
	days, limit := c.Days, r.number("points", pointsDefault)
	if i := slices.IndexFunc(days, func(d operators.PurchaseDay) bool { return d.DayStart > c.at }); i >= 0 {
		days = days[:i] // what does not prove that time has come to it may stand ahead
	}
	if keep := max(1, (limit-2)/2); len(days) > keep { // half of the points are for the purchases, those of now and of the deadline left out
		out.Older = len(days) - keep
	}
	begin := c.at
	if len(days) > 0 {
		begin = days[out.Older].DayStart
	}
	spare := limit - 2 - (len(days) - out.Older)
	steps := operators.EventTime(max(1, spare+1))
	step := (end - begin + steps - 1) / steps // rounded up: else the last would be some milliseconds before the end
	add := func(at operators.EventTime, with *operators.Purchases, what string) {
		out.Points = append(out.Points, CoursePoint{At: at.String(), PAlive: a.score.PAlive(with, c.Model, at), What: what})
	}
	// The points between lie on one grid over all of it, so that longer silence has more.
	between := func(from, until operators.EventTime, with *operators.Purchases, what string) {
		for at := begin + ((from-begin)/max(1, step)+1)*step; step > 0 && at < until; at += step {
			add(at, with, what)
		}
	}
	for i := out.Older; i < len(days); i++ {
		known := operators.Purchases{Count: uint32(i) + 1, First: p.First, FirstStart: p.FirstStart, Last: days[i].Day}
		until := c.at
		if i+1 < len(days) {
			until = days[i+1].DayStart
		}
		add(days[i].DayStart, &known, "purchase")
		between(days[i].DayStart, until, &known, "silence")
	}
	add(c.at, p, "now")
	between(c.at, end, p, "foretold")
	if out.Deadline != nil {
		add(next, p, "deadline")
	}
	return out, nil
}

// scored refuses what needs a score, of a customer who has none.
func (c *seen) scored() error {
	why := ""
	switch {
	case c.customer.Purchases.Count == 0:
		why = "the customer has no purchase"
	case c.Model == nil:
		why = c.unscored()
	default:
		return nil
	}
	return &statusError{http.StatusConflict, "not scored: " + why}
}

// unscored says why a customer with purchases has no score.
func (c *View) unscored() string {
	if !c.HasModel {
		return "no model is in force in this customer's partition yet"
	}
	return "the sweep to the model in force has not come to this customer yet"
}
