package clv_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/gammagamma"
)

// oracle says what must come of a customer, the slow way: it keeps all events, and for everything it is asked it adds them up from nothing, takes the
// formulas as they stand in the papers, and finds instants by bisection. It knows nothing of operators, levels, deadlines or states of theirs.
// It needs the events in order of time.
type oracle struct {
	events []operators.Event
	model  *operators.Model
	at     operators.EventTime
	// How the customer stands: as far as silence has been followed.
	quadrant operators.Quadrant
	since    operators.EventTime // that they are in it
	highRisk bool
	armed    bool // for the trigger
	moves    []move
}

// move is a change of quadrant or a trigger.
type move struct {
	at       operators.EventTime // when it was found out
	from, to operators.Quadrant  // of a change of quadrant
	deadline operators.EventTime // of a trigger
	ends     operators.EventTime // when what a trigger says is no longer so
}

func (m move) String() string {
	if m.from == m.to {
		return fmt.Sprintf("%s: trigger, deadline %s", m.at, m.deadline)
	}
	return fmt.Sprintf("%s: %s -> %s", m.at, m.from, m.to)
}

// same allows for the millisecond that instants are rounded to.
func (m move) same(n move) bool {
	near := func(a, b operators.EventTime) bool { return a-b <= 1 && b-a <= 1 }
	return near(m.at, n.at) && near(m.deadline, n.deadline) && m.from == n.from && m.to == n.to
}

func newOracle(model *operators.Model) *oracle {
	return &oracle{model: model, at: operators.Unset, armed: true}
}

func (o *oracle) event(e operators.Event) {
	o.silence(e.Time)
	o.events = append(o.events, e)
	if e.Kind.OfOrder() {
		o.judge(e.Time)
	}
}

func (o *oracle) newModel(m *operators.Model, at operators.EventTime) {
	o.silence(at)
	o.model = m
	o.judge(at)
}

// silence follows the customer up to an instant without events of theirs.
func (o *oracle) silence(until operators.EventTime) {
	from := o.at
	o.at = until
	c, any := o.customer()
	if !any || o.model == nil {
		return
	}
	for {
		next := operators.Never
		for _, turn := range []operators.EventTime{
			c.falls(c.alive, 0.3), c.falls(c.value, o.model.HighValue), c.falls(c.value, 0.8*o.model.HighValue), o.since + operators.DayMs,
		} {
			if turn > from && turn <= until {
				next = min(next, turn)
			}
		}
		if next == operators.Never {
			return
		}
		o.judge(next)
		from = next
	}
}

// judge places the customer at an instant.
func (o *oracle) judge(at operators.EventTime) {
	if o.model == nil {
		return
	}
	c, any := o.customer()
	to := operators.NoQuadrant
	if any {
		highRiskAt := c.falls(c.alive, 0.3)
		atPurchase := highRiskAt <= c.lastStart+operators.DayMs
		if at < highRiskAt {
			o.end(at)
		}
		switch {
		case at >= highRiskAt:
			o.highRisk = true
			if o.armed && !atPurchase {
				defer func() { o.moves = append(o.moves, move{at: at, deadline: highRiskAt, ends: operators.Never}) }()
			}
			o.armed = false
		case at < c.falls(c.alive, 0.4):
			o.highRisk = false
			o.armed = true
		}
		if atPurchase {
			o.armed = false
		}
		line := o.model.HighValue
		if o.quadrant == operators.Advocate || o.quadrant == operators.Save {
			line *= 0.8
		}
		to = [2][2]operators.Quadrant{
			{operators.Nurture, operators.Efficiency}, {operators.Advocate, operators.Save},
		}[index(at < c.falls(c.value, line))][index(o.highRisk)]
	} else {
		o.highRisk, o.armed = false, true
		o.end(at)
	}
	dwells := at < o.since+operators.DayMs && o.quadrant != operators.NoQuadrant && to != operators.NoQuadrant
	if to != o.quadrant && !dwells {
		o.since = at
		o.moves = append(o.moves, move{at: at, from: o.quadrant, to: to})
		o.quadrant = to
	}
}

// end notes that risk is high no longer.
func (o *oracle) end(at operators.EventTime) {
	for i := range o.moves {
		if m := &o.moves[i]; m.from == m.to && m.ends == operators.Never {
			m.ends = at
		}
	}
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// slow is a customer by the formulas.
type slow struct {
	model            *operators.Model
	x                float64
	start, lastStart operators.EventTime
	lastAge          float64
	repeatSpend      float64
}

// customer adds the events up. There is none without a purchase.
func (o *oracle) customer() (slow, bool) {
	type order struct {
		day       operators.Day
		amount    operators.Money
		refunds   map[string]operators.Money
		counts    bool
		cancelled bool
	}
	orders := map[string]*order{}
	for _, e := range o.events {
		if !e.Kind.OfOrder() {
			continue
		}
		of := orders[e.OrderID]
		if of == nil {
			of = &order{refunds: map[string]operators.Money{}}
			orders[e.OrderID] = of
		}
		switch {
		case e.Kind == operators.OrderCompleted:
			of.day, of.amount, of.counts = e.Day, e.Amount, true
		case e.Kind == operators.OrderUpdated:
			of.amount = e.Amount
		case e.Kind == operators.OrderCancelled:
			of.cancelled = true
		case e.Whole:
			of.refunds["whole"] = math.MaxInt32
		default:
			of.refunds[e.RefundID] = e.Amount
		}
	}
	days := map[operators.Day]operators.Money{}
	for _, of := range orders {
		if of.counts && !of.cancelled {
			net := of.amount
			for _, refund := range of.refunds {
				net -= refund
			}
			days[of.day] += max(0, net)
		}
	}
	if len(days) == 0 {
		return slow{}, false
	}
	var list []operators.Day
	for day := range days {
		list = append(list, day)
	}
	slices.SortFunc(list, func(a, b operators.Day) int { return cmp.Compare(a, b) })
	first, last := list[0], list[len(list)-1]
	s := slow{
		model: o.model, x: float64(len(list) - 1), lastAge: float64(last - first),
		start: operators.EventTime(first) * operators.DayMs, lastStart: operators.EventTime(last) * operators.DayMs,
	}
	for _, day := range list[1:] {
		s.repeatSpend += float64(days[day]) / 100
	}
	return s, true
}

// alive is P(alive) at an age: Fader, Hardie & Lee 2008, and Batislam et al. 2007, who have b + x where the former have b + x − 1.
func (s slow) alive(age float64) float64 {
	b := s.model.B + s.x
	if s.model.Family == "bgnbd" {
		if s.x == 0 {
			return 1
		}
		b--
	}
	return 1 / (1 + s.model.A/b*math.Pow((s.model.Alpha+age)/(s.model.Alpha+s.lastAge), s.model.R+s.x))
}

// value is CLV at an age, the sum over twelve months as it stands in MODELS: what is expected of each, discounted.
func (s slow) value(age float64) float64 {
	m := s.model
	family, _ := bgnbd.ParseFamily(m.Family)
	params := bgnbd.Params{Family: family, R: m.R, Alpha: m.Alpha, A: m.A, B: m.B}
	spend := gammagamma.Params{P: m.P, Q: m.Q, V: m.V}.Mean(int(s.x), s.repeatSpend)
	sum, before := 0.0, 0.0
	for i := 1; i <= 12; i++ {
		e := params.ExpectedIfAlive(bgnbd.History{X: int(s.x), TX: s.lastAge, T: age}, float64(i)*30.4375)
		sum += (e - before) / math.Pow(1.01, float64(i))
		before = e
	}
	return s.alive(age) * spend * sum
}

// falls returns the first instant at which f, falling with age, is at or below level; Unset if it is so from the last purchase on.
func (s slow) falls(f func(age float64) float64, level float64) operators.EventTime {
	lo, hi := s.lastAge, s.lastAge+36_525
	if f(lo) <= level {
		return operators.Unset
	}
	if f(hi) > level {
		return operators.Never
	}
	for range 60 {
		if mid := (lo + hi) / 2; f(mid) > level {
			lo = mid
		} else {
			hi = mid
		}
	}
	return s.start + operators.EventTime(math.Ceil(hi*operators.DayMs))
}
