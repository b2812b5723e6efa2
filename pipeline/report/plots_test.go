package report_test

import (
	"bytes"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/pipeline/backtest"
	"lull/pipeline/report"
)

// TestBacktestPlots: of a shop of any size there are three pictures, not of one colour, and the same the next time.
func TestBacktestPlots(t *testing.T) {
	params := bgnbd.Params{Family: bgnbd.MBGNBD, R: 0.5, Alpha: 40, A: 0.9, B: 1.6}
	small := &backtest.Result{Predictions: []backtest.Prediction{{ID: "a"}}}
	large := &backtest.Result{}
	for i := range 200 {
		h := bgnbd.History{X: i % 45, TX: float64(i % 45), T: float64(50 + i)}
		large.Predictions = append(large.Predictions, backtest.Prediction{ID: "c", History: h})
	}
	small.Churn.Bins = []backtest.Bin{{Predicted: 0.3, Observed: 1, Customers: 1}}
	for i := range 10 {
		large.Churn.Bins = append(large.Churn.Bins, backtest.Bin{Predicted: float64(i) / 10, Observed: float64(i) / 11, Customers: 20})
	}
	for name, r := range map[string]*backtest.Result{"small": small, "large": large} {
		r.Models.Purchases.Params = params
		past := &backtest.Past{Periods: backtest.Periods{First: 10_000, Calibrate: 10_003, Holdout: 10_013}}
		for day := range len(r.Predictions)/7 + 1 {
			past.Weeks = append(past.Weeks, backtest.Week{Until: past.Periods.First + operators.Day(7*day+6), Repeats: day * day})
			r.Expected = append(r.Expected, float64(day*30))
		}
		first, second := filepath.Join(t.TempDir(), "new", "plots"), t.TempDir()
		for _, folder := range []string{first, second} {
			if err := report.Backtest(folder, past, r); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, picture := range []string{"calibration.png", "purchases.png", "alive.png"} {
			data, err := os.ReadFile(filepath.Join(first, picture))
			if err != nil {
				t.Fatal(err)
			}
			image, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatalf("%s, %s: %v", name, picture, err)
			}
			colours := make(map[any]int)
			for x := 0; x < image.Bounds().Dx(); x += 3 {
				for y := 0; y < image.Bounds().Dy(); y += 3 {
					colours[image.At(x, y)]++
				}
			}
			if len(colours) < 10 {
				t.Errorf("%s, %s: %d colours", name, picture, len(colours))
			}
			if again, err := os.ReadFile(filepath.Join(second, picture)); err != nil || !bytes.Equal(again, data) {
				t.Errorf("%s, %s is another one the second time: %v", name, picture, err)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := report.Backtest(file, &backtest.Past{}, small); err == nil {
		t.Error("no error where the folder is a file")
	}
}
