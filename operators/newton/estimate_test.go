package newton

import (
	"math"
	"testing"
)

// TestEstimate: of normal observations with a known variance the estimate is their mean; with few of them it is the posterior's, which lies between
// that and the prior's, with the errors of either.
func TestEstimate(t *testing.T) {
	prior := Prior{Mean: []float64{1}, SD: 2}
	normal := func(count, mean float64) func([]float64, *Surface) {
		return func(at []float64, s *Surface) {
			off := at[0] - mean
			s.Value, s.Gradient[0], s.Hessian[0][0] = -count*off*off/2, -count*off, -count
		}
	}
	many := Estimate([][]float64{{-3}}, prior, normal(100, 7))
	if many.Prior || !many.Converged || math.Abs(many.At[0]-7) > 1e-6 || math.Abs(many.Covariance[0][0]-0.01) > 1e-12 || math.Abs(many.Value) > 1e-9 {
		t.Errorf("of 100 observations: %+v", many)
	}
	few := Estimate([][]float64{{-3}}, prior, normal(0.5, 7))
	// Precisions: 0.5 of the data, 0.25 of the prior.
	if !few.Prior || !few.Converged || math.Abs(few.At[0]-5) > 1e-5 || math.Abs(few.Covariance[0][0]-1/0.75) > 1e-12 || math.Abs(few.Value+0.5*4/2) > 1e-4 {
		t.Errorf("of half an observation: %+v", few)
	}
}

// TestEstimateOnARidge: a likelihood that rises for ever in one direction, and is sharp in the other.
func TestEstimateOnARidge(t *testing.T) {
	e := Estimate([][]float64{{0, 0}}, Prior{Mean: []float64{0, 0}, SD: 2}, func(at []float64, s *Surface) {
		s.Value = -50*(at[0]-3)*(at[0]-3) - 1000*math.Exp(-at[1])
		s.Gradient[0], s.Gradient[1] = -100*(at[0]-3), 1000*math.Exp(-at[1])
		s.Hessian[0][0], s.Hessian[1][1] = -100, -1000*math.Exp(-at[1])
	})
	if !e.Prior || !e.Converged || math.Abs(e.At[0]-3) > 0.01 || e.Covariance[1][1] < 0.5 || e.Covariance[1][1] > 4 {
		t.Errorf("%+v", e)
	}
}

// TestEstimateOfTwo: of two maxima the greater counts, from whichever start it is found.
func TestEstimateOfTwo(t *testing.T) {
	// A mixture of two normal densities, with 30 and 70 % of the weight.
	twoHills := func(at []float64, s *Surface) {
		x := at[0]
		left, right := 0.3*math.Exp(-50*(x+3)*(x+3)), 0.7*math.Exp(-50*(x-3)*(x-3))
		f, f1 := left+right, -100*((x+3)*left+(x-3)*right)
		f2 := (100*100*(x+3)*(x+3)-100)*left + (100*100*(x-3)*(x-3)-100)*right
		s.Value, s.Gradient[0], s.Hessian[0][0] = math.Log(f), f1/f, f2/f-f1/f*f1/f
	}
	prior := Prior{Mean: []float64{0}, SD: 2}
	for _, starts := range [][][]float64{{{-2.9}, {3.1}}, {{3.1}, {-2.9}}} {
		if e := Estimate(starts, prior, twoHills); !e.Converged || e.Prior || math.Abs(e.At[0]-3) > 1e-4 {
			t.Errorf("from %v: %+v", starts, e)
		}
	}
}
