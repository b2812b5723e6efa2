package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"lull/operators/bgnbd"
	"lull/operators/gammagamma"
	"lull/pipeline/backtest"
)

// backtestFigures is the object that --json prints.
type backtestFigures struct {
	File           string `json:"events"`
	CalibrateFrom  string `json:"calibrate_from"`
	CalibrateUntil string `json:"calibrate_until"`
	HoldoutUntil   string `json:"holdout_until"`
	HoldoutDays    int    `json:"holdout_days"`
	Customers      int    `json:"customers"`
	Repeaters      int    `json:"repeaters"`
	Currency       string `json:"currency"`

	Model           string              `json:"model"`
	TimeUnit        string              `json:"time_unit"` // of alpha
	Parameters      purchaseParameters  `json:"parameters"`
	RelativeErrors  purchaseParameters  `json:"relative_errors"` // standard errors over the parameters
	LogLikelihood   float64             `json:"log_likelihood"`
	Converged       bool                `json:"converged"`
	Prior           bool                `json:"prior"` // took part in the fit
	SpendParameters spendParameters     `json:"spend_parameters"`
	SpendErrors     spendRelativeErrors `json:"spend_relative_errors"`
	SpendLikelihood float64             `json:"spend_log_likelihood"`
	SpendConverged  bool                `json:"spend_converged"`
	SpendPrior      bool                `json:"spend_prior"`
	SpendOfFirst    bool                `json:"spend_of_first"` // fitted to first purchases, for want of repeat purchases
	ExpectedCLV     float64             `json:"clv12_total"`

	Transactions backtest.Amounts `json:"transactions"`
	Value        backtest.Amounts `json:"value"`
	Churn        backtest.Churn   `json:"churn"`
	Upsell       backtest.Upsell  `json:"upsell"`
}

type purchaseParameters struct {
	R     float64 `json:"r"`
	Alpha float64 `json:"alpha"`
	A     float64 `json:"a"`
	B     float64 `json:"b"`
}

type spendParameters struct {
	P float64 `json:"p"`
	Q float64 `json:"q"`
	V float64 `json:"v"`
}

type spendRelativeErrors struct {
	P      float64 `json:"p"`
	QLess1 float64 `json:"q_less_1"` // of q − 1
	V      float64 `json:"v"`
}

func newBacktestFigures(f *backtestFlags, p *backtestPlan, r *backtest.Result) *backtestFigures {
	m := &r.Models
	params, spend := m.Purchases.Params, m.Spend.Params
	figures := &backtestFigures{
		File: f.file.path, CalibrateFrom: p.periods.First.String(), CalibrateUntil: p.periods.Calibrate.String(), HoldoutUntil: p.periods.Holdout.String(),
		HoldoutDays: p.periods.HoldoutDays(), Customers: len(r.Predictions), Repeaters: r.Repeaters(), Currency: f.file.currency,
		Model: params.Family.String(), TimeUnit: f.timeUnit,
		Parameters: purchaseParameters{params.R, params.Alpha / p.unitDays, params.A, params.B},
		// The likelihood of a history has a density of time for each repeat purchase.
		LogLikelihood: m.Purchases.LogLikelihood + float64(m.Repeats*math.Log(p.unitDays)),
		Converged:     m.Purchases.Converged, Prior: m.Purchases.Prior,
		SpendParameters: spendParameters{spend.P, spend.Q, spend.V}, SpendLikelihood: m.Spend.LogLikelihood,
		SpendConverged: m.Spend.Converged, SpendPrior: m.Spend.Prior, SpendOfFirst: m.SpendOfFirst,
		Transactions: r.Transactions, Value: r.Value, Churn: r.Churn, Upsell: r.Upsell,
	}
	figures.RelativeErrors = purchaseErrors(&m.Purchases)
	figures.SpendErrors = spendErrors(&m.Spend)
	for i := range r.Predictions {
		figures.ExpectedCLV += r.Predictions[i].CLV
	}
	return figures
}

func purchaseErrors(e *bgnbd.Estimate) purchaseParameters {
	c := &e.Covariance
	return purchaseParameters{math.Sqrt(c[0][0]), math.Sqrt(c[1][1]), math.Sqrt(c[2][2]), math.Sqrt(c[3][3])}
}

func spendErrors(e *gammagamma.Estimate) spendRelativeErrors {
	c := &e.Covariance
	return spendRelativeErrors{math.Sqrt(c[0][0]), math.Sqrt(c[1][1]), math.Sqrt(c[2][2])}
}

func printBacktest(w io.Writer, f *backtestFlags, p *backtestPlan, r *backtest.Result) error {
	figures := newBacktestFigures(f, p, r)
	figures.print(w)
	if !f.json {
		return nil
	}
	line, err := json.Marshal(figures)
	if err != nil {
		return fmt.Errorf("writing the figures as JSON: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}

// print shows the figures to a person.
func (b *backtestFigures) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d customers, %d of them repeaters\n", b.File, b.Customers, b.Repeaters)
	fmt.Fprintf(w, "calibration  %s to %s\n", b.CalibrateFrom, b.CalibrateUntil)
	fmt.Fprintf(w, "holdout      the %d days (%.1f weeks) to %s\n\n", b.HoldoutDays, float64(b.HoldoutDays)/7, b.HoldoutUntil)
	b.printModels(w)

	fmt.Fprintf(w, "\n%-14s%14s%14s%9s%9s%9s%9s\n", "", "actual", "predicted", "bias %", "MAE", "RMSE", "corr")
	row := func(name string, a *backtest.Accuracy) {
		fmt.Fprintf(w, "%-14s%14.2f%14.2f%9s %8.3f %8.3f%9s\n", name, a.Actual, a.Predicted, figure("%+.1f", a.BiasPercent), a.MAE, a.RMSE, figure("%.3f", a.Correlation))
	}
	row("transactions", &b.Transactions.Model)
	row("  past rate", &b.Transactions.PastRate)
	row("value", &b.Value.Model)
	row("  past rate", &b.Value.PastRate)

	c := &b.Churn
	fmt.Fprintf(w, "\nchurn: %.1f %% make no purchase in the holdout; who says the same of everybody is right for %.1f %%\n", 100*c.BaseRate, 100*c.MajorityAccuracy)
	classifier := func(name string, k backtest.Classifier, more string) {
		fmt.Fprintf(w, "  %-34s accuracy %5.1f %%   AUC %s%s\n", name, 100*k.Accuracy, figure("%.3f", k.AUC), more)
	}
	classifier("P(buys again) below 0.5", c.Model, fmt.Sprintf("   Brier %.4f   calibration error %.3f", c.Brier, c.CalibrationError))
	silence := "nobody buys"
	if c.Silence.CutoffDays >= 0 {
		silence = fmt.Sprintf("silent for more than %.0f days", c.Silence.CutoffDays)
	}
	classifier(silence, c.Silence.Classifier, "   cut-off found on the calibration period")
	classifier("P(alive) below 0.5", c.PAlive, "   not meant for it")

	u := &b.Upsell
	fmt.Fprintf(w, "\nupsell: the %d who spend most in the holdout, %.1f %% of all; to pick nobody is right for %.1f %%\n", u.Count, 100*u.BaseRate, 100*u.MajorityAccuracy)
	classifier("expected spend", u.Model.Classifier, "   hit rate "+figure("%.3f", u.Model.HitRate))
	classifier("spend so far", u.PastSpend.Classifier, "   hit rate "+figure("%.3f", u.PastSpend.HitRate))
}

// figure returns a figure in words: "n/a" if there is none.
func figure(format string, f backtest.Figure) string {
	if math.IsNaN(float64(f)) {
		return "n/a"
	}
	return fmt.Sprintf(format, float64(f))
}

func (b *backtestFigures) printModels(w io.Writer) {
	note := func(converged, prior bool) string {
		switch {
		case !converged:
			return "   not converged"
		case prior:
			return "   the data leave a parameter open: the prior took part"
		}
		return ""
	}
	fmt.Fprintf(w, "%-12s r %.6g, alpha %.6g %ss, a %.6g, b %.6g   log likelihood %.3f%s\n",
		b.Model, b.Parameters.R, b.Parameters.Alpha, b.TimeUnit, b.Parameters.A, b.Parameters.B, b.LogLikelihood, note(b.Converged, b.Prior))
	if b.Repeaters == 0 {
		fmt.Fprintf(w, "%-12s   nobody has bought again: it is open whether all are gone or all are slow, and these probabilities are the prior's\n", "")
	}
	fmt.Fprintf(w, "%-12s   standard errors %.0f, %.0f, %.0f and %.0f %%\n",
		"", 100*b.RelativeErrors.R, 100*b.RelativeErrors.Alpha, 100*b.RelativeErrors.A, 100*b.RelativeErrors.B)
	first := ""
	if b.SpendOfFirst {
		first = "   of first purchases: nobody has bought again"
	}
	fmt.Fprintf(w, "%-12s p %.6g, q %.6g, v %.6g %s   log likelihood %.3f%s%s\n", "gamma-gamma",
		b.SpendParameters.P, b.SpendParameters.Q, b.SpendParameters.V, b.Currency, b.SpendLikelihood, first, note(b.SpendConverged, b.SpendPrior))
	fmt.Fprintf(w, "%-12s   standard errors %.0f, %.0f (of q - 1) and %.0f %%\n", "", 100*b.SpendErrors.P, 100*b.SpendErrors.QLess1, 100*b.SpendErrors.V)
}

// writePredictions writes what the models say of each customer. Times are in days; cross50 is an age, inf for never.
func writePredictions(name string, predictions []backtest.Prediction) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	w := csv.NewWriter(file)
	_ = w.Write([]string{"customer_id", "x", "t_x", "T", "p_alive", "e_buys", "p_buy", "e_spend", "clv12", "cross50"}) // Flush keeps the error
	for i := range predictions {
		p := &predictions[i]
		row := []string{p.ID, strconv.Itoa(p.History.X)}
		for _, v := range []float64{p.History.TX, p.History.T, p.PAlive, p.Buys, p.PBuy, p.Spend, p.CLV, p.Cross50} {
			text := strconv.FormatFloat(v, 'g', 12, 64)
			if math.IsInf(v, 1) {
				text = "inf"
			}
			row = append(row, text)
		}
		_ = w.Write(row)
	}
	w.Flush()
	if err := w.Error(); err != nil {
		_ = file.Close() // the error that counts is the first
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return file.Close()
}
