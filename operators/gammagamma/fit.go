package gammagamma

import (
	"errors"
	"fmt"
	"math"

	"lull/operators/newton"
)

// Group is a number of customers who spent the same with as many repeat purchases: a single customer, or all those of a cell of a grid.
type Group struct {
	X         int     // repeat purchases, 1 or more
	Spend     float64 // what those of one customer came to, above 0
	Customers float64 // above 0
}

// Sample is a population to fit the model to. It is not changed by that, and safe for concurrent use.
type Sample struct {
	groups []Group
	kind   []int32 // by group: the index of its x in xs
	xs     []int   // the numbers of repeat purchases that occur
	mean   float64 // amount of a purchase

	customers float64
}

// NewSample returns the sample of the groups, which must not be changed from then on. The error names the first group that is not as it must be: who
// has not bought again, or has spent nothing by that, is to be left out.
func NewSample(groups []Group) (*Sample, error) {
	if len(groups) == 0 {
		return nil, errors.New("there are no repeat purchases to fit a model of spend to")
	}
	s := &Sample{groups: groups, kind: make([]int32, len(groups))}
	kinds := make(map[int]int32)
	purchases, spend := 0.0, 0.0
	for i := range groups {
		g := &groups[i]
		if err := g.validate(); err != nil {
			return nil, fmt.Errorf("group %d: %w", i, err)
		}
		kind, known := kinds[g.X]
		if !known {
			kind = int32(len(s.xs))
			kinds[g.X] = kind
			s.xs = append(s.xs, g.X)
		}
		s.kind[i] = kind
		s.customers += g.Customers
		purchases += float64(g.Customers * float64(g.X))
		spend += float64(g.Customers * g.Spend)
	}
	s.mean = spend / purchases
	return s, nil
}

func (g *Group) validate() error {
	switch {
	case !(g.Customers > 0) || math.IsInf(g.Customers, 1):
		return fmt.Errorf("it has %v customers, must be above 0", g.Customers)
	case g.X < 1:
		return fmt.Errorf("x is %d, must be 1 or more", g.X)
	case !(g.Spend > 0) || math.IsInf(g.Spend, 1):
		return fmt.Errorf("spend is %v, must be finite and above 0", g.Spend)
	}
	return nil
}

// Customers returns the number of customers in the sample.
func (s *Sample) Customers() float64 { return s.customers }

// prior is that of ln p, ln(q−1) and ln(v/mean amount): p around 4, q around 3 and v such that the population has the mean of the sample, a standard
// deviation being a factor of e² = 7.4.
var prior = newton.Prior{Mean: []float64{2 * math.Ln2, math.Ln2, -math.Ln2}, SD: 2}

// lnMax bounds the search: where p or q is beyond e^14, a million, amounts or customers are all alike, and float64 can tell them no longer.
const lnMax = 14

// Estimate is a fitted model.
type Estimate struct {
	Params        Params
	LogLikelihood float64 // of the whole sample
	// Covariance is that of the estimates of ln p, ln(q−1) and ln v. The square roots of its diagonal are the relative standard errors of p, q−1 and v.
	Covariance [3][3]float64
	// Prior is set if the prior took part, because the data alone leave a parameter open.
	Prior bool
	// Converged is set if the maximum was found. There is none if all spend the same: p and q then grow to a bound, and the means are right all the same.
	Converged bool
	// Evaluations is how often the likelihood of the sample was computed.
	Evaluations int
}

// params returns the parameters at a point of the search: ln p, ln(q−1) and ln v, v over the mean amount. So q is above 1, and the population has a mean.
func (s *Sample) params(at []float64) Params {
	return Params{P: math.Exp(at[0]), Q: 1 + math.Exp(at[1]), V: s.mean * math.Exp(at[2])}
}

// Fit returns the parameters under which the sample is likeliest. Where the data leave a parameter open, the prior decides with them (see
// newton.Estimate). The search begins in the middle of the prior, and at the parameters of an earlier fit, of which there may be some.
func (s *Sample) Fit(earlier ...Params) Estimate {
	from := [][]float64{prior.Mean}
	for _, p := range earlier {
		from = append(from, []float64{math.Log(p.P), math.Log(p.Q - 1), math.Log(p.V / s.mean)})
	}
	m := newton.Estimate(from, prior, func(at []float64, surface *newton.Surface) {
		if max(at[0], at[1]) > lnMax {
			surface.Value = math.Inf(-1)
			return
		}
		p := s.params(at)
		l := s.likelihood(p)
		l.byLnQ1(p.Q)
		surface.Value = l.Log
		copy(surface.Gradient, l.Gradient[:])
		for i := range l.Hessian {
			copy(surface.Hessian[i], l.Hessian[i][:])
		}
	})
	e := Estimate{Params: s.params(m.At), LogLikelihood: m.Value, Prior: m.Prior, Converged: m.Converged, Evaluations: m.Evaluations}
	for i := range m.Covariance {
		e.Covariance[i] = [3]float64(m.Covariance[i])
	}
	return e
}

// byLnQ1 makes of the derivatives by ln q those by ln(q−1).
func (l *Likelihood) byLnQ1(q float64) {
	share := (q - 1) / q // d ln q / d ln(q−1)
	m := &l.Hessian
	m[1][1] = float64(share*share*m[1][1]) + float64(share/q*l.Gradient[1])
	for _, i := range []int{0, 2} {
		m[1][i] *= share
		m[i][1] = m[1][i]
	}
	l.Gradient[1] *= share
}

// likelihood returns that of the whole sample.
func (s *Sample) likelihood(p Params) Likelihood {
	commons := make([]common, len(s.xs))
	for i, x := range s.xs {
		commons[i] = p.commonOf(x)
	}
	var l Likelihood
	for i := range s.groups {
		g := &s.groups[i]
		commons[s.kind[i]].add(&l, &p, g.Spend, g.Customers)
	}
	l.mirror()
	return l
}
