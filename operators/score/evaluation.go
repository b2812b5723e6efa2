package score

import (
	"math"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/gammagamma"
)

// silenceDaysMax is how long a silence is followed, in days: 100 years. What lies beyond happens never.
const silenceDaysMax = 36_525

// bornHighDays is the silence, in days, that a churn risk crossing needs: who is over the threshold within the day of the last purchase was so
// when they bought, as far as a model of whole days can tell.
const bornHighDays = 1

// evaluation is one customer's purchases seen through one model. Ages are in days since the start of the first purchase day.
type evaluation struct {
	op        *Operator
	purchases *operators.Purchases
	params    bgnbd.Params
	tables    *tables
	spending  gammagamma.Params
	x         int
	lastAge   float64
	spend     float64 // expected value of a purchase, in major units
	margin    float64 // the margin in it
	cut       float64 // the model's HighValue
}

func (op *Operator) evaluation(p *operators.Purchases, m *operators.Model) evaluation {
	params, spending := paramsOf(m)
	e := evaluation{op: op, purchases: p, params: params, tables: op.tablesOf(params), spending: spending, x: p.Repeats(), lastAge: p.LastAge(), cut: m.HighValue}
	e.spend = spending.Mean(e.x, op.config.major(p.RepeatNet()))
	e.margin = e.spend * op.config.MarginShare
	return e
}

func (e *evaluation) history(age float64) bgnbd.History {
	return bgnbd.History{X: e.x, TX: e.lastAge, T: age}
}

// valueIfAlive returns the CLV at an age of a customer who is certainly alive.
func (e *evaluation) valueIfAlive(age float64) float64 {
	return e.margin * e.tables.value.IfAlive(e.x, age)
}

// purchasesIfAlive returns the expected purchases within the horizon at an age of a customer who is certainly alive.
func (e *evaluation) purchasesIfAlive(age float64) float64 {
	return e.tables.purchases.IfAlive(e.x, age)
}

// clv returns the CLV at an age.
func (e *evaluation) clv(age float64) float64 {
	return float64(e.params.PAlive(e.history(age)) * e.valueIfAlive(age))
}

// facts returns the facts at an instant.
//
// Age is at least that of the last purchase, which counts whole days of 24 hours: after clocks have gone forward the last day starts up to an hour
// before that many days have passed.
func (e *evaluation) facts(at, valueFalls operators.EventTime) operators.Facts {
	c := &e.op.config
	age := max(e.purchases.Age(at), e.lastAge)
	now := e.history(age)
	alive, value := e.params.PAlive(now), e.valueIfAlive(age)
	clv := float64(alive * value)
	highAge, _ := e.params.Crossing(e.x, e.lastAge, e.op.high)
	day := c.Day(at)
	return operators.Facts{
		AsOf:              at,
		X:                 e.x,
		LastAge:           e.lastAge,
		Age:               age,
		PAlive:            alive,
		ExpectedPurchases: alive * e.purchasesIfAlive(age),
		BuysAgain:         e.params.PBuy(now, c.ContactDays),
		ExpectedSpend:     e.spend,
		CLV:               clv,
		ValueAtRisk:       (1 - alive) * value,
		AboutToBeLost:     max(0, clv-e.clv(age+c.ContactDays)),
		HighValue:         at < valueFalls,
		HighRiskAt:        e.crossing(e.op.high, at),
		LowRiskUntil:      e.crossing(e.op.low, at),
		DormantAt:         e.crossing(e.op.dormant, at),
		LostAt:            e.crossing(e.op.lost, at),
		RiskAfterOrder:    1 - e.params.PAlive(e.ordered(day, age)),
		BoughtToday:       day == e.purchases.Last,
		BornHighRisk:      highAge <= e.lastAge+bornHighDays,
	}
}

// ordered returns the history of who orders on a day, at an age.
func (e *evaluation) ordered(day operators.Day, age float64) bgnbd.History {
	if day == e.purchases.Last {
		return e.history(age)
	}
	last := max(float64(day-e.purchases.First), e.lastAge)
	return bgnbd.History{X: e.x + 1, TX: last, T: max(age, last)}
}

// crossing returns the instant at which P(alive) falls to a level, if the customer stays silent. If it was there at the last purchase already,
// that is the start of its day, or at if that comes first (see facts).
func (e *evaluation) crossing(level float64, at operators.EventTime) operators.EventTime {
	age, status := e.params.Crossing(e.x, e.lastAge, level)
	if status == bgnbd.AlreadyBelow {
		return min(e.instant(age), at)
	}
	return e.instant(age)
}

// instant returns the instant of an age, rounded up to the millisecond; Never if the silence until then is beyond all use.
func (e *evaluation) instant(age float64) operators.EventTime {
	if age > e.lastAge+silenceDaysMax {
		return operators.Never
	}
	return e.purchases.FirstStart + operators.EventTime(math.Ceil(age*operators.DayMs))
}

// valueBound is what next returns when CLV falls below the cut.
const valueBound = 0

// next returns the first instant after at at which silence crosses a bound, and the P(alive) there or valueBound; Never if there is none.
func (e *evaluation) next(at, valueFalls operators.EventTime) (next operators.EventTime, alive float64) {
	next, alive = operators.Never, valueBound
	if valueFalls > at {
		next = valueFalls
	}
	for _, level := range e.op.bounds { // falling levels are crossed one after the other
		if crossing := e.crossing(level, at); crossing > at {
			if crossing < next {
				return crossing, level
			}
			break
		}
	}
	return next, alive
}

// valueFalls returns the instant at which CLV falls below the cut, if the customer stays silent; Unset if it was below at the last purchase.
//
// It is looked for in s = ln((α+T)/(α+t_x)), over which ln CLV is almost straight, up to where P(alive) alone would bring the value that who is alive has at the last purchase under the cut.
func (e *evaluation) valueFalls() operators.EventTime {
	value := e.valueIfAlive(e.lastAge)
	if e.params.PAlive(e.history(e.lastAge))*value < e.cut {
		return operators.Unset
	}
	lnCLV := func(s float64) float64 { return math.Log(e.clv(e.stretched(s))) }
	const margin = 1e-9 // of rounding
	latest := e.stretch(e.lastAge + silenceDaysMax)
	dead, _ := e.params.Crossing(e.x, e.lastAge, e.cut/value)
	s, ok := bgnbd.FallsBelow(lnCLV, math.Log(e.cut), 0, min(e.stretch(dead)+margin, latest))
	if !ok { // the value of who is alive falls by less than it is rounded by until then, or P(alive) alone never gets there
		s, ok = bgnbd.FallsBelow(lnCLV, math.Log(e.cut), 0, latest)
	}
	if !ok {
		return operators.Never
	}
	return e.instant(e.stretched(s))
}

// sure is the probability with which more than the cut is brought where the 10 % point of CLV is above it.
const sure = 0.9

// risingUntil returns the instant at which the 10 % point of CLV falls to the cut, if the customer stays silent; Unset if it was not above it at the last purchase, or
// if the margin of their purchases so far has reached the cut. The error of the parameters is left out.
//
// The point is above the cut while more than the cut is brought with a probability above sure: one look at the distribution, where the point itself takes some thirty. Nearly
// all are spared even that: without a purchase the point is 0, and a mean of less than sure of the cut does not bring the cut so often.
func (e *evaluation) risingUntil() operators.EventTime {
	latest, may := e.mayRise()
	if !may || e.bringsCut(e.lastAge) <= sure {
		return operators.Unset
	}
	age, ok := bgnbd.FallsBelow(e.bringsCut, sure, e.lastAge, latest)
	if !ok {
		return operators.Never
	}
	return e.instant(age)
}

// risingAtLeastUntil returns the same for a customer who is rising already, or an instant before it: mostly they buy again before their usual time has passed, and to look at
// the distribution there, once, is all that it takes.
func (e *evaluation) risingAtLeastUntil() operators.EventTime {
	latest, may := e.mayRise()
	if may && e.x > 0 {
		if soon := min(e.lastAge+e.lastAge/float64(e.x), latest); e.bringsCut(soon) > sure {
			return e.instant(soon)
		}
	}
	return e.risingUntil()
}

// mayRise reports whether the customer can be rising, by what is cheap to know, and the age up to which silence leaves that open.
func (e *evaluation) mayRise() (latest float64, may bool) {
	c := &e.op.config
	if c.major(e.purchases.Net)*c.MarginShare >= e.cut || e.params.PBuy(e.history(e.lastAge), e.op.horizonDays) <= sure || e.clv(e.lastAge) <= sure*e.cut {
		return 0, false
	}
	latest, _ = e.params.PBuyCrossing(e.x, e.lastAge, e.op.horizonDays, sure)
	return min(latest, e.lastAge+silenceDaysMax), true
}

// bringsCut returns the probability that the customer at an age brings more than the cut.
func (e *evaluation) bringsCut(age float64) float64 {
	v := e.values()
	v.add(e.op, e.params, e.spending, e.history(age))
	return v.above(e.cut)
}

// stretch returns ln((α+age)/(α+t_x)).
func (e *evaluation) stretch(age float64) float64 {
	return math.Log1p((age - e.lastAge) / (e.params.Alpha + e.lastAge))
}

// stretched returns the age at which stretch is s.
func (e *evaluation) stretched(s float64) float64 {
	return e.lastAge + float64((e.params.Alpha+e.lastAge)*math.Expm1(s))
}
