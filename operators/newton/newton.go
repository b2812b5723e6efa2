// Package newton finds the maximum of a smooth function of a few variables from its exact first and second derivatives, and what the curvature there
// says of how well the maximum is known; with a weak prior where it is not.
//
// It is Newton's method, made to climb from anywhere: where the function is not concave, or a step does not bring what the curvature promised, the
// step is damped (Levenberg 1944, Marquardt 1963; Nocedal & Wright (2006), Numerical Optimization, chapter 4) and bounded in length. The
// logarithm of a positive parameter is a good variable: a bound of 1.5 is then a factor of 4.5, whatever the parameter's unit.
//
// Everything is pure and deterministic.
package newton

import "math"

// Surface is a function at one point of n variables.
type Surface struct {
	Value    float64
	Gradient []float64   // n
	Hessian  [][]float64 // n × n, symmetric; the lower half is read
}

// Maximum is where the search has ended.
type Maximum struct {
	At    []float64
	Value float64
	// Covariance is the inverse of −Hessian, n × n: if the function is a log likelihood, the covariance of the estimates. It is infinite
	// throughout if the function is not concave there.
	Covariance [][]float64
	// Converged is set if the maximum lies within a hundred-thousandth of a standard error of At.
	Converged bool
	// Evaluations is how often the function was evaluated.
	Evaluations int
}

const (
	// triesMax bounds the steps, those included that are not tried because the function is not concave enough.
	triesMax = 300
	// stepMax bounds each variable's step.
	stepMax = 1.5
	// decrementMax is the Newton decrement gᵀ(−H)⁻¹g, the square of the distance to the maximum in standard errors, at which the search ends.
	decrementMax = 1e-10
	// roundoff is what may be lost, relatively, in the value of a sum over many customers.
	roundoff = 1e-12
)

// Find climbs from start. evaluate fills the surface at a point; a value that is NaN or infinite is one that no step may reach.
func Find(start []float64, evaluate func(at []float64, s *Surface)) Maximum {
	return find(start, evaluate, triesMax)
}

func find(start []float64, evaluate func(at []float64, s *Surface), tries int) Maximum {
	n := len(start)
	here, there := newSurface(n), newSurface(n)
	m := Maximum{At: append([]float64(nil), start...), Evaluations: 1}
	evaluate(m.At, &here)
	candidate := make([]float64, n)
	damping := 0.0
	for range tries {
		step, l := climb(&here, damping)
		if damping == 0 && l != nil && dot(here.Gradient, step) <= decrementMax {
			m.Converged = true
			break
		}
		if l == nil {
			damping = stiffer(damping, &here)
			continue
		}
		shorten(step)
		for i := range candidate {
			candidate[i] = m.At[i] + step[i]
		}
		evaluate(candidate, &there)
		m.Evaluations++
		gain, promised := there.Value-here.Value, promise(&here, step)
		if !(gain >= 0.1*promised-roundoff*math.Abs(here.Value)) || math.IsInf(there.Value, 0) {
			damping = stiffer(damping, &here)
			continue
		}
		copy(m.At, candidate)
		here, there = there, here
		damping = softer(damping, &here)
	}
	m.Value = here.Value
	m.Covariance = inverse(cholesky(here.Hessian, 0), n)
	return m
}

func newSurface(n int) Surface {
	s := Surface{Gradient: make([]float64, n), Hessian: make([][]float64, n)}
	for i := range s.Hessian {
		s.Hessian[i] = make([]float64, n)
	}
	return s
}

// climb returns the damped Newton step, the solution of (−H + damping) step = gradient, and the Cholesky factor of that matrix; nil if the matrix is
// not positive definite.
func climb(s *Surface, damping float64) (step []float64, l [][]float64) {
	l = cholesky(s.Hessian, damping)
	if l == nil {
		return nil, nil
	}
	return solve(l, s.Gradient), l
}

// leastDamping is the damping to begin with, and below which there is none: a thousandth of the mean curvature.
func leastDamping(s *Surface) float64 {
	sum := 0.0
	for i := range s.Hessian {
		sum += math.Abs(s.Hessian[i][i])
	}
	return max(1e-3*sum/float64(len(s.Hessian)), math.SmallestNonzeroFloat64)
}

func stiffer(damping float64, s *Surface) float64 { return max(4*damping, leastDamping(s)) }

func softer(damping float64, s *Surface) float64 {
	if damping /= 8; damping < leastDamping(s) {
		return 0
	}
	return damping
}

// shorten scales the step so that no variable moves by more than stepMax.
func shorten(step []float64) {
	longest := 0.0
	for _, v := range step {
		longest = max(longest, math.Abs(v))
	}
	if longest > stepMax {
		for i := range step {
			step[i] *= stepMax / longest
		}
	}
}

// promise returns what the step would gain if the surface were as curved everywhere as it is here.
func promise(s *Surface, step []float64) float64 {
	gain := dot(s.Gradient, step)
	for i := range step {
		gain += 0.5 * s.Hessian[i][i] * step[i] * step[i]
		for j := range i {
			gain += s.Hessian[i][j] * step[i] * step[j]
		}
	}
	return gain
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i] * b[i])
	}
	return sum
}

// SigmaPoints returns 2n points whose mean and covariance, n × n, are those given, each of the same weight: the mean of a function over them is that over
// a normal distribution, exactly for polynomials up to the third degree. They lie √n standard deviations out. Arasaratnam & Haykin (2009), Cubature
// Kalman filters, IEEE Transactions on Automatic Control 54(6). There are none if the covariance is not positive definite.
func SigmaPoints(mean []float64, covariance [][]float64) [][]float64 {
	negated := make([][]float64, len(mean))
	for i := range negated {
		negated[i] = make([]float64, len(mean))
		for j := range negated[i] {
			negated[i][j] = -covariance[i][j]
		}
	}
	l := cholesky(negated, 0)
	if l == nil {
		return nil
	}
	var points [][]float64
	for column := range mean {
		for _, side := range []float64{1, -1} {
			point := append([]float64(nil), mean...)
			for i := range point {
				point[i] += side * math.Sqrt(float64(len(mean))) * l[i][column]
			}
			points = append(points, point)
		}
	}
	return points
}

// cholesky returns the lower triangular l with l lᵀ = −h + damping, or nil if that matrix is not positive definite to the precision of float64.
func cholesky(h [][]float64, damping float64) [][]float64 {
	const least = 1e-14 // of a diagonal element that is left, against what it was
	l := make([][]float64, len(h))
	for i := range h {
		l[i] = make([]float64, len(h))
		for j := range i {
			l[i][j] = (-h[i][j] - dot(l[i][:j], l[j][:j])) / l[j][j]
		}
		diagonal := -h[i][i] + damping
		left := diagonal - dot(l[i][:i], l[i][:i])
		if !(left > least*math.Abs(diagonal)) {
			return nil
		}
		l[i][i] = math.Sqrt(left)
	}
	return l
}

// solve returns x with l lᵀ x = b.
func solve(l [][]float64, b []float64) []float64 {
	x := append([]float64(nil), b...)
	for i := range x {
		x[i] = (x[i] - dot(l[i][:i], x[:i])) / l[i][i]
	}
	for i := len(x) - 1; i >= 0; i-- {
		for k := i + 1; k < len(x); k++ {
			x[i] -= l[k][i] * x[k]
		}
		x[i] /= l[i][i]
	}
	return x
}

// inverse returns the inverse, n × n, of l lᵀ; infinite throughout if l is nil.
func inverse(l [][]float64, n int) [][]float64 {
	m := make([][]float64, n)
	for i := range m {
		m[i] = make([]float64, n)
		if l == nil {
			for j := range m[i] {
				m[i][j] = math.Inf(1)
			}
			continue
		}
		m[i][i] = 1
		m[i] = solve(l, m[i]) // a row of a symmetric matrix
	}
	return m
}
