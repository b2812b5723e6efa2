package bgnbd

import (
	"fmt"
	"math"
)

// CrossingStatus says how a quantity that falls with silence meets a threshold.
type CrossingStatus uint8

// The ways.
const (
	Crosses      CrossingStatus = iota // it falls to the threshold at a finite age after the last purchase
	AlreadyBelow                       // it is at or below the threshold right after the last purchase
	Never                              // no silence that float64 can express brings it there
)

// String returns "crosses", "already below" or "never".
func (s CrossingStatus) String() string {
	switch s {
	case Crosses:
		return "crosses"
	case AlreadyBelow:
		return "already below"
	case Never:
		return "never"
	default:
		return fmt.Sprintf("CrossingStatus(%d)", uint8(s))
	}
}

// lnFactorMax bounds the logarithm of the factor by which silence may stretch α + t_x before a crossing counts as never:
// beyond it exp overflows.
const lnFactorMax = 700

// Crossing returns the age T* at which P(alive) of a customer who stays silent after purchase x at age tx falls to the
// threshold, a probability in (0, 1). T* is tx for AlreadyBelow and +Inf for Never; under BG/NBD x = 0 never crosses.
//
// It solves P(alive) = threshold for T in closed form, T* = (α+t_x) exp(L/(r+x)) − α with L the logarithm of the
// threshold's odds of death over those at t_x. PAlive at T* equals the threshold but for rounding, on either side.
func (p Params) Crossing(x int, tx, threshold float64) (T float64, status CrossingStatus) {
	lnOdds := math.Log1p(-threshold) - math.Log(threshold) - p.lnDeathOdds(x)
	if lnOdds <= 0 {
		return tx, AlreadyBelow
	}
	return stretch(tx, p.Alpha, lnOdds/(p.R+float64(x)))
}

// stretch returns the age T after tx at which ln((α+T)/(α+tx)) = lnFactor.
func stretch(tx, alpha, lnFactor float64) (T float64, status CrossingStatus) {
	if lnFactor > lnFactorMax {
		return math.Inf(1), Never
	}
	return tx + float64((alpha+tx)*math.Expm1(lnFactor)), Crosses
}

// PBuyCrossing returns the age at which PBuy over the horizon falls to the threshold, a probability in (0, 1), when the
// customer stays silent after purchase x at age tx; with the statuses of Crossing. The returned age is on the lower side:
// PBuy there is at or below the threshold.
func (p Params) PBuyCrossing(x int, tx, horizon, threshold float64) (T float64, status CrossingStatus) {
	pBuy := func(T float64) float64 { return p.PBuy(History{X: x, TX: tx, T: T}, horizon) }
	if pBuy(tx) <= threshold {
		return tx, AlreadyBelow
	}
	// Each factor of PBuy alone must be above the threshold before the crossing, so each bounds it from above.
	lnSurvival := math.Log1p(-threshold) / (p.R + float64(x))
	bound := horizon/math.Expm1(-lnSurvival) - p.Alpha
	if dead, _ := p.Crossing(x, tx, threshold); dead < bound {
		bound = dead
	}
	if math.IsInf(bound, 1) {
		return bound, Never
	}
	// Rounding may leave PBuy at the bound just above the threshold, and the bound itself just before tx.
	const margin = 1e-9
	bound = max(bound, tx)
	T, ok := FallsBelow(pBuy, threshold, tx, bound+float64(margin*(p.Alpha+bound)))
	if !ok {
		return math.Inf(1), Never
	}
	return T, Crosses
}
