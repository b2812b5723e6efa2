package backtest

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// drawScores draws a score and a truth for each of some customers; scores tie often.
func drawScores(t *rapid.T) (score []float64, truth []bool) {
	n := rapid.IntRange(1, 60).Draw(t, "customers")
	for range n {
		score = append(score, float64(rapid.IntRange(-3, 3).Draw(t, "score")))
		truth = append(truth, rapid.Bool().Draw(t, "truth"))
	}
	return score, truth
}

// TestAUC compares with the definition: over all pairs of one of whom it is true and one of whom it is not.
func TestAUC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		score, truth := drawScores(t)
		won, pairs := 0.0, 0.0
		for i := range score {
			for j := range score {
				if truth[i] && !truth[j] {
					pairs++
					if score[i] > score[j] {
						won++
					} else if score[i] == score[j] {
						won += 0.5
					}
				}
			}
		}
		got := float64(auc(score, truth))
		if undefined := pairs == 0; undefined != math.IsNaN(got) || !undefined && math.Abs(got-won/pairs) > 1e-12 {
			t.Fatalf("%v, want %v of %v", got, won, pairs)
		}
	})
}

// TestBestThreshold: no threshold agrees with the truth more often.
func TestBestThreshold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		score, truth := drawScores(t)
		best := agreement(atLeast(score, bestThreshold(score, truth)), truth)
		for _, other := range []float64{math.Inf(1), -4, -3, -2, -1, 0, 1, 2, 3} {
			if a := agreement(atLeast(score, other), truth); a > best+1e-12 {
				t.Fatalf("threshold %v agrees for %v, the best for %v", other, a, best)
			}
		}
	})
	if got := bestThreshold([]float64{1, 2}, []bool{false, false}); !math.IsInf(got, 1) {
		t.Errorf("nobody: from %v", got)
	}
}

// TestTop: as many as asked for, none of them below one who is left out.
func TestTop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		score, _ := drawScores(t)
		count := rapid.IntRange(0, len(score)).Draw(t, "count")
		said := top(score, count)
		least, greatest, picked := math.Inf(1), math.Inf(-1), 0
		for i := range said {
			if said[i] {
				picked++
				least = min(least, score[i])
			} else {
				greatest = max(greatest, score[i])
			}
		}
		if picked != count || least < greatest {
			t.Fatalf("%v of %v: %v", count, score, said)
		}
	})
}

// TestCalibration: the bins hold everybody once, sizes differ by one at most, and probabilities rise from bin to bin.
func TestCalibration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		score, truth := drawScores(t)
		predicted, observed, customers := 0.0, 0.0, 0
		bins := calibration(score, truth)
		for i, b := range bins {
			n := float64(b.Customers)
			predicted, observed, customers = predicted+n*b.Predicted, observed+n*b.Observed, customers+b.Customers
			if b.Customers < 1 || bins[0].Customers-b.Customers > 1 || i > 0 && b.Predicted < bins[i-1].Predicted-1e-12 {
				t.Fatalf("bin %d of %+v", i, bins)
			}
		}
		sum := 0.0
		for _, s := range score {
			sum += s
		}
		if customers != len(score) || math.Abs(predicted-sum) > 1e-9 || math.Abs(observed-share(truth)*float64(len(truth))) > 1e-9 {
			t.Fatalf("%+v of %v, %v", bins, score, truth)
		}
	})
}

// TestCalibrationOfAll: where everybody buys, all of them do, not a little more.
func TestCalibrationOfAll(t *testing.T) {
	for n := 1; n < 200; n++ {
		truth, score := make([]bool, n), make([]float64, n)
		for i := range truth {
			truth[i], score[i] = true, 0.9
		}
		for _, b := range calibration(score, truth) {
			if b.Observed != 1 {
				t.Fatalf("%d customers: %+v", n, b)
			}
		}
	}
}

// TestAccuracy is a check by hand.
func TestAccuracy(t *testing.T) {
	got := accuracyOf([]float64{1, 2, 3}, []float64{2, 2, 6})
	want := Accuracy{Actual: 10, Predicted: 6, BiasPercent: -40, MAE: 4.0 / 3, RMSE: math.Sqrt(10.0 / 3), Correlation: Figure(4 / math.Sqrt(2*32.0/3))}
	for _, v := range [][2]float64{
		{got.Actual, want.Actual}, {got.Predicted, want.Predicted}, {float64(got.BiasPercent), float64(want.BiasPercent)}, {got.MAE, want.MAE}, {got.RMSE, want.RMSE},
		{float64(got.Correlation), float64(want.Correlation)},
	} {
		if math.Abs(v[0]-v[1]) > 1e-12 {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if got := accuracyOf([]float64{1, 1}, []float64{0, 0}); !math.IsNaN(float64(got.BiasPercent)) || !math.IsNaN(float64(got.Correlation)) {
		t.Errorf("nothing happened: %+v", got)
	}
	if got := brier([]float64{0.9, 0.2}, []bool{true, false}); math.Abs(got-(0.01+0.04)/2) > 1e-12 {
		t.Errorf("Brier score %v", got)
	}
}
