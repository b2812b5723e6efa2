// Package bgnbd is the arithmetic of two models of customers who buy for a while and then, unseen, stop: BG/NBD and
// MBG/NBD.
//
// A customer of either model buys at a rate λ of their own, λ ~ Gamma(r, rate α), and drops out after a purchase with a
// probability p of their own, p ~ Beta(a, b). Under BG/NBD nobody drops out after the very first purchase, so a one-time
// buyer stays alive for ever; under MBG/NBD the first purchase counts like any other.
//
// The formulas are those of Fader, Hardie & Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2),
// for BG/NBD, and of Batislam, Denizel & Filiztekin (2007), Empirical validation and comparison of models for customer
// base analysis, IJRM 24(3), for MBG/NBD, in forms that keep their digits: no intermediate overflows where the result
// does not, and nothing special happens at a = 1 or a + b < 1.
//
// All times are in one unit, the caller's; α is in the same unit and r, a, b have none. Every function is pure and safe
// for concurrent use. Parameters that Validate refuses, and histories against the rules of History, give results without
// meaning.
package bgnbd

import (
	"errors"
	"fmt"
	"math"
)

// Family chooses the model. The zero value is MBG/NBD.
type Family uint8

// The families.
const (
	MBGNBD Family = iota // may drop out after any purchase, the first included
	BGNBD                // may drop out after a repeat purchase only
)

// String returns "mbgnbd" or "bgnbd".
func (f Family) String() string {
	switch f {
	case MBGNBD:
		return "mbgnbd"
	case BGNBD:
		return "bgnbd"
	default:
		return fmt.Sprintf("Family(%d)", uint8(f))
	}
}

// ParseFamily is the inverse of String.
func ParseFamily(s string) (Family, error) {
	switch s {
	case "mbgnbd":
		return MBGNBD, nil
	case "bgnbd":
		return BGNBD, nil
	default:
		return 0, fmt.Errorf("model family %q is not mbgnbd or bgnbd", s)
	}
}

// Params are the population parameters of a model.
type Params struct {
	Family   Family
	R, Alpha float64 // shape and rate of the Gamma distribution of purchase rates; Alpha is a time
	A, B     float64 // the Beta distribution of drop-out probabilities
}

// Validate reports every parameter that is not finite and positive, and an unknown family.
func (p Params) Validate() error {
	var errs []error
	if p.Family > BGNBD {
		errs = append(errs, fmt.Errorf("family is %v, must be mbgnbd or bgnbd", p.Family))
	}
	for _, v := range []struct {
		name  string
		value float64
	}{{"r", p.R}, {"alpha", p.Alpha}, {"a", p.A}, {"b", p.B}} {
		if !(v.value > 0) || math.IsInf(v.value, 1) {
			errs = append(errs, fmt.Errorf("%s is %v, must be finite and above 0", v.name, v.value))
		}
	}
	return errors.Join(errs...)
}

// History is what the models know of one customer.
type History struct {
	X  int     // repeat purchases, 0 or more
	TX float64 // t_x, first to last purchase; 0 if X is 0
	T  float64 // first purchase to now; TX or more
}

// chances returns how many chances to drop out a customer with x repeat purchases has had: one per repeat purchase, and
// under MBG/NBD one for the first.
func (p Params) chances(x int) float64 {
	if p.Family == BGNBD {
		return float64(x)
	}
	return float64(x) + 1
}

// lnDeathOdds returns ln((1-P)/P) for P = P(alive) right after the last purchase; it is -Inf for a customer who cannot
// have dropped out. Silence adds (r+x) ln((α+T)/(α+t_x)) to it.
func (p Params) lnDeathOdds(x int) float64 {
	chances := p.chances(x)
	if chances == 0 {
		return math.Inf(-1)
	}
	return math.Log(p.A) - math.Log(p.B+chances-1)
}

// PAlive returns the probability in (0, 1] that a customer is still active at age T; it becomes 0 below the range of
// float64. It falls with T. Under BG/NBD it is 1 when X is 0, at any age: never rank one-time buyers by it.
// Fader, Hardie & Lee (2008), Computing P(alive) using the BG/NBD Model; Batislam et al. (2007).
func (p Params) PAlive(h History) float64 {
	n := p.R + float64(h.X)
	silence := math.Log1p((h.T - h.TX) / (p.Alpha + h.TX))
	return logistic(-(p.lnDeathOdds(h.X) + float64(n*silence)))
}

// logistic returns 1/(1+exp(-v)).
func logistic(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

// PBuy returns the probability that the customer buys again within the horizon, in [0, PAlive]. It falls with silence and
// grows with the horizon. Both models: λ of a living customer is Gamma(r+x, α+T), and who is silent cannot drop out.
func (p Params) PBuy(h History, horizon float64) float64 {
	return p.PAlive(h) * p.PBuyIfAlive(h, horizon)
}

// PBuyIfAlive returns the same of a customer who is alive.
func (p Params) PBuyIfAlive(h History, horizon float64) float64 {
	n := p.R + float64(h.X)
	return -math.Expm1(-n * math.Log1p(horizon/(p.Alpha+h.T)))
}
