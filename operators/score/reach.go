package score

import (
	"lull/operators"
	"lull/operators/bgnbd"
)

// Reaches returns the instant at which a measure, of the first five, of a customer with these purchases, of which there are some, reaches a bound in silence since the last purchase: falls to it
// or below, or rises to it, as the measure does. It is Unset if that was so at the last purchase already, and Never if it will not be so within 100 years. Bounds that no customer can
// be beyond are allowed.
func (op *Operator) Reaches(p *operators.Purchases, m *operators.Model, what operators.Measure, bound float64) operators.EventTime {
	e := op.evaluation(p, m)
	switch what {
	case operators.ChurnRisk:
		return e.pAliveReaches(complement(bound))
	case operators.PAlive:
		return e.pAliveReaches(bound)
	case operators.CLV:
		if bound <= 0 {
			return operators.Never
		}
		e.cut = bound
		return e.valueFalls()
	case operators.BuysAgain:
		if bound <= 0 || bound >= 1 {
			return certain(bound)
		}
		return e.reached(e.params.PBuyCrossing(e.x, e.lastAge, op.config.ContactDays, bound))
	}
	if bound <= 0 {
		return operators.Never
	}
	expected := func(s float64) float64 {
		age := e.stretched(s)
		return e.params.PAlive(e.history(age)) * e.purchasesIfAlive(age)
	}
	s, ok := bgnbd.FallsBelow(expected, bound, 0, e.stretch(e.lastAge+silenceDaysMax))
	switch {
	case !ok:
		return operators.Never
	case s == 0:
		return operators.Unset
	}
	return e.instant(e.stretched(s))
}

func (e *evaluation) pAliveReaches(bound float64) operators.EventTime {
	if bound <= 0 || bound >= 1 {
		return certain(bound)
	}
	return e.reached(e.params.Crossing(e.x, e.lastAge, bound))
}

// certain is when a probability falls to a bound that is none within (0, 1).
func certain(bound float64) operators.EventTime {
	if bound <= 0 {
		return operators.Never
	}
	return operators.Unset
}

func (e *evaluation) reached(age float64, status bgnbd.CrossingStatus) operators.EventTime {
	if status == bgnbd.AlreadyBelow {
		return operators.Unset
	}
	return e.instant(age)
}
