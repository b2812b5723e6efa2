package newton

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestQuadratic: of a quadratic function the maximum is one step away, and the covariance is the inverse of what it was made with.
func TestQuadratic(t *testing.T) {
	// −½ (x−c)ᵀ A (x−c), with A the inverse of {{2, 1}, {1, 3}}.
	c := [2]float64{0.7, -0.4}
	a := [2][2]float64{{0.6, -0.2}, {-0.2, 0.4}}
	m := Find([]float64{0, 0}, func(at []float64, s *Surface) {
		s.Value = 0
		for i := range c {
			s.Gradient[i] = 0
			for j := range c {
				s.Value -= 0.5 * (at[i] - c[i]) * a[i][j] * (at[j] - c[j])
				s.Gradient[i] -= a[i][j] * (at[j] - c[j])
				s.Hessian[i][j] = -a[i][j]
			}
		}
	})
	if !m.Converged || m.Evaluations != 2 || math.Abs(m.At[0]-c[0]) > 1e-15 || math.Abs(m.At[1]-c[1]) > 1e-15 {
		t.Errorf("%+v, want %v after one step", m, c)
	}
	for i, want := range [][2]float64{{2, 1}, {1, 3}} {
		for j := range want {
			if math.Abs(m.Covariance[i][j]-want[j]) > 1e-14 {
				t.Errorf("covariance %v, want %v in row %d", m.Covariance, want, i)
			}
		}
	}
}

// valley is Rosenbrock's function, negated: a narrow curved ridge to a maximum of 0 at (1, 1), concave only near the ridge.
func valley(at []float64, s *Surface) {
	x, y := at[0], at[1]
	u, v := y-x*x, 1-x
	s.Value = -100*u*u - v*v
	s.Gradient[0], s.Gradient[1] = 400*x*u+2*v, -200*u
	s.Hessian[0][0], s.Hessian[1][1] = 400*u-800*x*x-2, -200
	s.Hessian[0][1], s.Hessian[1][0] = 400*x, 400*x
}

// TestClimbsFromAnywhere: also where the function is not concave.
func TestClimbsFromAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := []float64{rapid.Float64Range(-8, 8).Draw(t, "x"), rapid.Float64Range(-8, 8).Draw(t, "y")}
		m := Find(start, valley)
		if !m.Converged || math.Hypot(m.At[0]-1, m.At[1]-1) > 1e-4 {
			t.Fatalf("from %v: %+v", start, m)
		}
	})
}

// TestWithoutMaximum: a function that rises for ever, and one that is convex, end without convergence, and nothing is known of where the maximum lies.
func TestWithoutMaximum(t *testing.T) {
	convex := func(at []float64, s *Surface) {
		s.Value, s.Gradient[0], s.Hessian[0][0] = math.Cosh(at[0]/100), math.Sinh(at[0]/100)/100, math.Cosh(at[0]/100)/1e4
	}
	straight := func(at []float64, s *Surface) { s.Value, s.Gradient[0], s.Hessian[0][0] = at[0], 1, 0 }
	nowhere := func(_ []float64, s *Surface) {
		s.Value, s.Gradient[0], s.Hessian[0][0] = math.NaN(), math.NaN(), math.NaN()
	}
	for i, f := range []func([]float64, *Surface){convex, straight, nowhere} {
		if m := Find([]float64{1}, f); m.Converged || !math.IsInf(m.Covariance[0][0], 1) {
			t.Errorf("function %d: %+v", i, m)
		}
	}
}

// TestUnreachable: a step to where the function has no value is not taken.
func TestUnreachable(t *testing.T) {
	for _, beyond := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		met := false
		m := Find([]float64{-1}, func(at []float64, s *Surface) {
			x := at[0]
			s.Value, s.Gradient[0], s.Hessian[0][0] = math.Log(-x)+20*x, 1/x+20, -1/(x*x)
			if x >= 0 {
				s.Value, met = beyond, true
			}
		})
		if !met || !m.Converged || math.Abs(m.At[0]+1.0/20) > 1e-6 {
			t.Errorf("beyond is %v, met: %t; %+v", beyond, met, m)
		}
	}
}

// TestSigmaPoints: their mean and covariance are those asked for, zero third moments included.
func TestSigmaPoints(t *testing.T) {
	mean := []float64{1, -2, 0.5}
	covariance := [][]float64{{2, 0.5, 0.1}, {0.5, 1, -0.2}, {0.1, -0.2, 0.3}}
	points := SigmaPoints(mean, covariance)
	if len(points) != 6 {
		t.Fatalf("%d points", len(points))
	}
	for i := range mean {
		for j := range mean {
			first, second, third := 0.0, 0.0, 0.0
			for _, p := range points {
				first += p[i] / 6
				second += (p[i] - mean[i]) * (p[j] - mean[j]) / 6
				third += (p[i] - mean[i]) * (p[i] - mean[i]) * (p[j] - mean[j]) / 6
			}
			if math.Abs(first-mean[i]) > 1e-12 || math.Abs(second-covariance[i][j]) > 1e-12 || math.Abs(third) > 1e-12 {
				t.Errorf("moments %d, %d: %v, %v, %v", i, j, first, second, third)
			}
		}
	}
	if points := SigmaPoints([]float64{0}, [][]float64{{math.Inf(1)}}); points != nil {
		t.Errorf("of an infinite variance: %v", points)
	}
}
