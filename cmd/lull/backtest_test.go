package main

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const sampleFile = "testdata/cdnow_sample.csv.gz"

// backtestJSON runs a backtest and returns the object in the last line.
func backtestJSON(t *testing.T, args ...string) map[string]any {
	t.Helper()
	out, errs, code := lull(t, append([]string{"backtest", "--json"}, args...)...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var figures map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &figures); err != nil {
		t.Fatalf("the last line is no JSON object: %v", err)
	}
	return figures
}

// number returns the number at a path of keys.
func number(t *testing.T, object any, path string) float64 {
	t.Helper()
	for _, key := range strings.Split(path, ".") {
		fields, ok := object.(map[string]any)
		if !ok {
			t.Fatalf("there is no %s", path)
		}
		object = fields[key]
	}
	v, ok := object.(float64)
	if !ok {
		t.Fatalf("%s is %v, no number", path, object)
	}
	return v
}

// near reports whether a number is another to within a relative tolerance.
func near(got, want, tolerance float64) bool { return math.Abs(got-want) <= tolerance*math.Abs(want) }

// golden reads a JSON file of reference answers (its README says whose).
func golden(t *testing.T) map[string]any {
	t.Helper()
	file, err := os.ReadFile("../../operators/bgnbd/testdata/cdnow_golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var reference map[string]any
	if err := json.Unmarshal(file, &reference); err != nil {
		t.Fatal(err)
	}
	return reference
}

// TestBacktestGolden: for the CDNOW sample and 39 weeks parameters, predictions and every figure that the reference has are the reference's.
func TestBacktestGolden(t *testing.T) {
	reference := golden(t)
	for _, model := range []string{"mbgnbd", "bgnbd"} {
		got := backtestJSON(t, "--events", sampleFile, "--calibrate-until", "1997-09-30", "--holdout-until", "1998-06-30", "--model", model)
		params, metrics := "params_weeks."+model+".", "metrics."+model+"."
		for path, want := range map[string]string{
			"parameters.r": params + "r", "parameters.alpha": params + "alpha", "parameters.a": params + "a", "parameters.b": params + "b",
			"log_likelihood":     params + "loglik",
			"spend_parameters.p": "params_weeks.gammagamma.p", "spend_parameters.q": "params_weeks.gammagamma.q", "spend_parameters.v": "params_weeks.gammagamma.v",
			"spend_log_likelihood": "params_weeks.gammagamma.loglik", "clv12_total": "clv.total_" + model,
			"customers": "dataset.customers", "repeaters": "dataset.customers_with_repeat", "holdout_days": "dataset.holdout_days",
			"transactions.model.actual": "dataset.holdout_purchase_days", "transactions.model.predicted": metrics + "holdout_purchases.total_pred",
			"transactions.model.bias_percent": metrics + "holdout_purchases.bias_pct", "transactions.model.mae": metrics + "holdout_purchases.MAE",
			"transactions.model.rmse": metrics + "holdout_purchases.RMSE", "transactions.model.correlation": metrics + "holdout_purchases.corr",
			"value.model.actual": "dataset.holdout_spend", "value.model.predicted": metrics + "holdout_spend.total_pred",
			"value.model.bias_percent": metrics + "holdout_spend.bias_pct", "value.model.mae": metrics + "holdout_spend.MAE",
			"value.model.rmse": metrics + "holdout_spend.RMSE", "value.model.correlation": metrics + "holdout_spend.corr",
			"transactions.past_rate.bias_percent": "baselines.past_rate_all.holdout_purchases.bias_pct",
			"transactions.past_rate.mae":          "baselines.past_rate_all.holdout_purchases.MAE",
			"transactions.past_rate.correlation":  "baselines.past_rate_all.holdout_purchases.corr",
			"value.past_rate.bias_percent":        "baselines.past_rate_all.holdout_spend.bias_pct",
			"value.past_rate.mae":                 "baselines.past_rate_all.holdout_spend.MAE",
			"value.past_rate.correlation":         "baselines.past_rate_all.holdout_spend.corr",
			"churn.majority_accuracy":             "baselines.majority_accuracy",
			"churn.model.auc":                     metrics + "p_buy.auc", "churn.model.accuracy": metrics + "p_buy.accuracy",
			"churn.p_alive.auc": metrics + "p_alive.auc", "churn.p_alive.accuracy": metrics + "p_alive.accuracy",
			"churn.silence.auc": "baselines.hiatus_best_in_sample.auc",
			"upsell.count":      metrics + "top20_spend.k", "upsell.model.hit_rate": metrics + "top20_spend.hit_rate", "upsell.model.accuracy": metrics + "top20_spend.accuracy",
			"upsell.past_spend.hit_rate": "baselines.top_by_past_spend.top20_spend.hit_rate", "upsell.past_spend.accuracy": "baselines.top_by_past_spend.top20_spend.accuracy",
		} {
			if g, w := number(t, got, path), number(t, reference, want); !near(g, w, 1e-5) {
				t.Errorf("%s: %s is %v, want %v", model, path, g, w)
			}
		}
		// Ties stand in another order in the reference's bins.
		if g, w := number(t, got, "churn.calibration_error"), number(t, reference, metrics+"p_buy.calibration_error"); math.Abs(g-w) > 1e-3 {
			t.Errorf("%s: calibration error %v, want %v", model, g, w)
		}
	}
}

// TestBacktestPerCustomer: what is written of each customer is the reference's; times are in days.
func TestBacktestPerCustomer(t *testing.T) {
	for _, model := range []string{"mbgnbd", "bgnbd"} {
		folder := t.TempDir()
		file := filepath.Join(folder, "scores.csv")
		backtestJSON(t, "--events", sampleFile, "--calibrate-until", "1997-09-30", "--holdout-until", "1998-06-30", "--model", model, "--per-customer", file,
			"--plots", filepath.Join(folder, "plots"))
		if pictures, err := os.ReadDir(filepath.Join(folder, "plots")); err != nil || len(pictures) != 3 {
			t.Errorf("pictures %v, %v", pictures, err)
		}
		got := readTable(t, file)
		want := readTable(t, "../../operators/bgnbd/testdata/cdnow_customers_golden.csv.gz")
		if len(got) != len(want) {
			t.Fatalf("%s: %d customers, want %d", model, len(got), len(want))
		}
		for id, w := range want {
			for column, of := range map[string]string{
				"x": "x", "t_x": "t_x_days", "T": "T_days", "p_alive": "p_alive_" + model, "e_buys": "e_buys_" + model, "p_buy": "p_buy_" + model,
				"e_spend": "e_spend", "clv12": "clv12_" + model, "cross50": "cross50_" + model,
			} {
				g, w := parse(t, got[id][column]), parse(t, w[of])
				if column == "cross50" {
					w *= 7
				}
				if g != w && !near(g, w, 1e-5) {
					t.Errorf("%s, customer %s: %s is %v, want %v", model, id, column, g, w)
				}
			}
		}
	}
}

// readTable reads a CSV file with the column customer_id.
func readTable(t *testing.T, name string) map[string]map[string]string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	in := csv.NewReader(file)
	if strings.HasSuffix(name, ".gz") {
		unzip, err := gzip.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		in = csv.NewReader(unzip)
	}
	records, err := in.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	table := make(map[string]map[string]string)
	for _, record := range records[1:] {
		row := make(map[string]string)
		for i, column := range records[0] {
			row[column] = record[i]
		}
		table[row["customer_id"]] = row
	}
	return table
}

func parse(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestBacktestHorizons: the parameters do not depend on the holdout; at 13 and 26 weeks there is the accuracy of the model notes beside its base rate. The
// other unit of time multiplies alpha, and of two models the likelier is taken.
func TestBacktestHorizons(t *testing.T) {
	common := []string{"--events", sampleFile, "--calibrate-until", "1997-09-30"}
	run := func(more ...string) map[string]any { return backtestJSON(t, append(common, more...)...) }
	weeks39 := run("--holdout-until", "1998-06-30")
	weeks26 := run("--holdout-until", "1998-03-31", "--time-unit", "day", "--model", "auto")
	weeks13 := run("--holdout-until", "1997-12-30")
	if a, b := number(t, weeks26, "parameters.alpha"), number(t, weeks39, "parameters.alpha"); weeks26["model"] != "mbgnbd" || !near(a, 7*b, 1e-9) {
		t.Errorf("%v with alpha %v days, want mbgnbd with 7 times %v", weeks26["model"], a, b)
	}
	if got, want := number(t, weeks26, "log_likelihood"), number(t, golden(t), "params_days.mbgnbd.loglik"); !near(got, want, 1e-9) {
		t.Errorf("log likelihood in days %v, want %v", got, want)
	}
	if a, b := fmt.Sprint(weeks13["parameters"], weeks13["spend_parameters"]), fmt.Sprint(weeks39["parameters"], weeks39["spend_parameters"]); a != b {
		t.Errorf("the parameters are %s with a holdout of 13 weeks, %s with 39", a, b)
	}
	for _, c := range []struct {
		figures            map[string]any
		days               float64
		majority, accuracy float64
	}{{weeks26, 182, 0.749, 0.804}, {weeks13, 91, 0.829, 0.854}} {
		days, majority, accuracy := number(t, c.figures, "holdout_days"), number(t, c.figures, "churn.majority_accuracy"), number(t, c.figures, "churn.model.accuracy")
		if days != c.days || math.Abs(majority-c.majority) > 5e-4 || math.Abs(accuracy-c.accuracy) > 5e-4 {
			t.Errorf("%v days: accuracy %v where the majority has %v, want %v and %v", days, accuracy, majority, c.accuracy, c.majority)
		}
	}
}

// TestBacktestWholeCohort: another file, another answer, from the log that the demo ships; the reference is an independent fit.
func TestBacktestWholeCohort(t *testing.T) {
	got := backtestJSON(t, "--events", "cdnow/transactions.csv.gz", "--calibrate-until", "1997-09-30", "--holdout-until", "1998-06-30")
	for path, want := range map[string]float64{
		"parameters.r": 0.637139733444, "parameters.alpha": 7.31028954199, "parameters.a": 0.807474117949, "parameters.b": 1.22839399566,
		"log_likelihood": -95336.9583199, "spend_parameters.p": 6.27535906791, "spend_parameters.q": 3.62445002283, "spend_parameters.v": 14.9836870309,
		"transactions.model.bias_percent": -19.0530386368, "value.model.bias_percent": -21.9196094196, "churn.model.auc": 0.754741714931,
		"churn.model.accuracy": 0.769792108613, "upsell.model.hit_rate": 0.554094187527, "upsell.model.accuracy": 0.821637675011,
	} {
		if g := number(t, got, path); !near(g, want, 1e-5) {
			t.Errorf("%s is %v, want %v", path, g, want)
		}
	}
}

// TestBacktestOrder: neither the order of the rows, nor the columns' names, nor time of day and zone of the orders change a figure.
func TestBacktestOrder(t *testing.T) {
	rows := []string{"total,who,at"}
	rand := uint32(1)
	next := func(n uint32) int { rand = rand*1664525 + 1013904223; return int(rand >> 8 % n) }
	for c := range 80 {
		for day := next(40); day < 300; day += 1 + next(90) {
			rows = append(rows, fmt.Sprintf("%d.%02d,c%d,%s", next(90), next(100), c, fmt.Sprintf("2024-%02d-%02d", 1+day/28, 1+day%28)))
		}
	}
	plain := writeFile(t, "plain.csv", strings.ReplaceAll(strings.Join(rows, "\n"), "total,who,at", "amount,customer_id,date"))
	mixed := []string{rows[0]}
	for i := len(rows) - 1; i > 0; i-- {
		mixed = append(mixed, rows[i]+" 23:30:00")
	}
	other := writeFile(t, "other.csv", strings.Join(mixed, "\n"))
	periods := []string{"--calibrate-until", "2024-07-31", "--holdout-until", "2024-10-31"}
	want := backtestJSON(t, append(periods, "--events", plain)...)
	got := backtestJSON(t, append(periods, "--events", other, "--map", "customer_id=who,time=at,amount=total", "--timezone", "Asia/Tokyo")...)
	delete(want, "events")
	delete(got, "events")
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestBacktestRefuses: whatever is wrong with flags or file is named: the flag, or file, row and column, and what to do.
func TestBacktestRefuses(t *testing.T) {
	good := writeFile(t, "good.csv", "customer_id,date,amount\nann,2024-01-01,5\nann,2024-02-01,5\nbob,2024-03-01,5\n")
	for _, c := range []struct {
		file string // a text, or the good file if empty
		args string
		code int
		want []string
	}{
		{"", "--calibrate-until 2024-02-15 --holdout-until 2024-02-15", exitUsage, []string{"--holdout-until 2024-02-15", "after --calibrate-until"}},
		{"", "--calibrate-until 15.2.2024 --holdout-until 2024-02-15", exitUsage, []string{`--calibrate-until "15.2.2024"`, "1997-09-30"}},
		{"", "--calibrate-until 2024-02-15 --holdout-until 2024-03-01 --model pareto", exitUsage, []string{`--model "pareto"`, "mbgnbd, bgnbd or auto"}},
		{"", "--calibrate-until 2024-02-15 --holdout-until 2024-03-01 --time-unit year", exitUsage, []string{`--time-unit "year"`, "day or week"}},
		{"", "--calibrate-until 2024-02-15 --holdout-until 2024-03-01 --map customer_id=", exitUsage, []string{`--map "customer_id="`, "FIELD=COLUMN"}},
		{"", "--calibrate-until 2024-02-15 --holdout-until 2024-03-01 --money-margin 2", exitUsage, []string{"money.margin is 2: it must be above 0 and at most 1"}},
		{"", "--calibrate-until 2023-12-31 --holdout-until 2024-03-01", exitError, []string{"good.csv", "after --calibrate-until 2023-12-31", "2024-01-01 to 2024-03-01"}},
		{"", "--calibrate-until 2024-03-01 --holdout-until 2024-04-01", exitError, []string{"good.csv", "no event is after --calibrate-until 2024-03-01", "2024-01-01 to 2024-03-01"}},
		{
			"customer_id,date,amount\nann,2024-01-01,5\nann,1.2.2024,5\nbob,2024-03-01,\"5,20\"\n,2024-03-01,1\n", "--calibrate-until 2024-02-15 --holdout-until 2024-03-01", exitError,
			[]string{
				"bad.csv: 3 of 4 rows", "mend them", `row 2 (line 3), column "date": time is "1.2.2024"`, `row 3 (line 4), column "amount": amount is "5,20"`,
				`row 4 (line 5), column "customer_id": "customer_id" is empty`,
			},
		},
		{
			"customer_id,date,amount,currency\nann,2024-01-01,5,USD\nann,2024-02-02,5,EUR\nann,2024-03-02,5,EUR\n", "--calibrate-until 2024-02-15 --holdout-until 2024-03-01", exitError,
			[]string{"bad.csv: row 2 (line 3): ", "EUR", "; mend it, or take it out"},
		},
		{"customer_id,amount\nann,5\n", "--calibrate-until 2024-02-15 --holdout-until 2024-03-01", exitError, []string{"bad.csv", "no column is named time", "--map time=COLUMN", "customer_id, amount"}},
		{"customer_id,date,amount\n", "--calibrate-until 2024-02-15 --holdout-until 2024-03-01", exitError, []string{"bad.csv", "no rows"}},
		{"", "--calibrate-until 2024-02-15 --holdout-until 2024-03-01 --per-customer /no/such/folder/x.csv", exitError, []string{"/no/such/folder/x.csv"}},
	} {
		file := good
		if c.file != "" {
			file = writeFile(t, "bad.csv", c.file)
		}
		_, errs, code := lull(t, append([]string{"backtest", "--events", file}, strings.Fields(c.args)...)...)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d: %s", c.args, code, c.code, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: %q is not told:\n%s", c.args, want, errs)
			}
		}
	}
	if _, errs, code := lull(t, "backtest", "--calibrate-until", "2024-02-15", "--holdout-until", "2024-03-01"); code != exitUsage || !strings.Contains(errs, "--events is empty") {
		t.Errorf("without a file: exit code %d: %s", code, errs)
	}
}

// TestBacktestInput: what `lull produce` reads and tells of a file, a backtest reads and tells too: standard input, ids within limits that were raised, and all
// refused rows in the file of --refused.
func TestBacktestInput(t *testing.T) {
	t.Setenv("LULL_LIMITS_ID_BYTES", "300")
	backtest := func(text string, args ...string) (string, int) {
		var errs bytes.Buffer
		root := newRoot()
		root.SetIn(strings.NewReader("customer_id,date,amount\n" + text))
		root.SetOut(io.Discard)
		root.SetErr(&errs)
		code := execute(t.Context(), root, append([]string{"backtest", "--events", "-", "--calibrate-until", "2024-03-31", "--holdout-until", "2024-04-30"}, args...))
		return errs.String(), code
	}
	var text strings.Builder
	for i := range 40 {
		for month := range 2 + i%3 {
			fmt.Fprintf(&text, "%s%d,2024-%02d-%02d,%d\n", strings.Repeat("c", 290), i, 1+month, 1+i%28, 5+i%7)
		}
	}
	if errs, code := backtest(text.String()); code != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}
	refused := filepath.Join(t.TempDir(), "refused.csv")
	errs, code := backtest("ann,2024-01-01,5\n"+strings.Repeat("bob,2024-01-01,-5\n", 5), "--refused", refused)
	if code != exitError || !strings.Contains(errs, "5 of 6 rows are no events") || !strings.Contains(errs, "and 2 more, in "+refused) {
		t.Errorf("exit code %d: %s", code, errs)
	}
	told, err := os.ReadFile(refused)
	if err != nil || strings.Count(string(told), ",number,") != 5 {
		t.Errorf("refused rows %q, error %v", told, err)
	}
}

// TestBacktestShortFile: a file that ends before the holdout does is judged, and that is said; one that does not is not spoken of.
func TestBacktestShortFile(t *testing.T) {
	for until, told := range map[string]bool{"1998-07-01": true, "1998-06-30": false} {
		_, errs, code := lull(t, "backtest", "--events", sampleFile, "--calibrate-until", "1997-09-30", "--holdout-until", until)
		if code != 0 || strings.Contains(errs, "the last event is of 1998-06-30, the holdout ends on 1998-07-01") != told {
			t.Errorf("until %s: exit code %d: %q", until, code, errs)
		}
	}
}

// TestModelsPage proves the table of docs/models.md: it is what `lull backtest` says of the sample.
func TestModelsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/models.md")
	if err != nil {
		t.Fatal(err)
	}
	horizons := []string{"1997-12-30", "1998-03-31", "1998-06-30"}
	figures := make(map[string][]map[string]any)
	for _, model := range []string{"mbgnbd", "bgnbd"} {
		for _, until := range horizons {
			figures[model] = append(figures[model], backtestJSON(t, "--events", sampleFile, "--calibrate-until", "1997-09-30", "--holdout-until", until, "--model", model))
		}
	}
	for _, r := range []struct {
		name, model, format string
		paths               []string
	}{
		{"purchases, MBG/NBD: bias, MAE, corr", "mbgnbd", "%+.1f %%, %.3f, %.3f", []string{"transactions.model.bias_percent", "transactions.model.mae", "transactions.model.correlation"}},
		{"purchases, BG/NBD", "bgnbd", "%+.1f %%, %.3f, %.3f", []string{"transactions.model.bias_percent", "transactions.model.mae", "transactions.model.correlation"}},
		{"purchases, past rate", "bgnbd", "%+.1f %%, %.3f, %.3f", []string{"transactions.past_rate.bias_percent", "transactions.past_rate.mae", "transactions.past_rate.correlation"}},
		{"value, MBG/NBD: bias, MAE, corr", "mbgnbd", "%+.1f %%, %.2f, %.3f", []string{"value.model.bias_percent", "value.model.mae", "value.model.correlation"}},
		{"value, BG/NBD", "bgnbd", "%+.1f %%, %.2f, %.3f", []string{"value.model.bias_percent", "value.model.mae", "value.model.correlation"}},
		{"value, past rate", "bgnbd", "%+.1f %%, %.2f, %.3f", []string{"value.past_rate.bias_percent", "value.past_rate.mae", "value.past_rate.correlation"}},
		{"churn, the same of everybody: accuracy", "bgnbd", "%.1f %%", []string{"churn.majority_accuracy"}},
		{"churn, MBG/NBD: accuracy, AUC, Brier", "mbgnbd", "%.1f %%, %.3f, %.3f", []string{"churn.model.accuracy", "churn.model.auc", "churn.brier"}},
		{"churn, BG/NBD", "bgnbd", "%.1f %%, %.3f, %.3f", []string{"churn.model.accuracy", "churn.model.auc", "churn.brier"}},
		{"churn, silence: accuracy, AUC", "bgnbd", "%.1f %%, %.3f", []string{"churn.silence.accuracy", "churn.silence.auc"}},
		{"churn, P(alive) of MBG/NBD: accuracy, AUC", "mbgnbd", "%.1f %%, %.3f", []string{"churn.p_alive.accuracy", "churn.p_alive.auc"}},
		{"churn, P(alive) of BG/NBD", "bgnbd", "%.1f %%, %.3f", []string{"churn.p_alive.accuracy", "churn.p_alive.auc"}},
		{"upsell, picking nobody: accuracy", "bgnbd", "%.1f %%", []string{"upsell.majority_accuracy"}},
		{"upsell, MBG/NBD: accuracy, AUC, hit rate", "mbgnbd", "%.1f %%, %.3f, %.3f", []string{"upsell.model.accuracy", "upsell.model.auc", "upsell.model.hit_rate"}},
		{"upsell, BG/NBD", "bgnbd", "%.1f %%, %.3f, %.3f", []string{"upsell.model.accuracy", "upsell.model.auc", "upsell.model.hit_rate"}},
		{"upsell, spend so far", "bgnbd", "%.1f %%, %.3f, %.3f", []string{"upsell.past_spend.accuracy", "upsell.past_spend.auc", "upsell.past_spend.hit_rate"}},
	} {
		row := "| " + r.name + " |"
		for i := range horizons {
			var values []any
			for _, path := range r.paths {
				v := number(t, figures[r.model][i], path)
				if strings.HasSuffix(path, "accuracy") {
					v *= 100
				}
				values = append(values, v)
			}
			row += " " + fmt.Sprintf(r.format, values...) + " |"
		}
		if !strings.Contains(string(page), row+"\n") {
			t.Errorf("docs/models.md lacks the row\n%s", row)
		}
	}
}

// TestReadmeBacktest proves the output in the README, but for the line that names the file.
func TestReadmeBacktest(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	out, errs, code := lull(t, "backtest", "--events", sampleFile, "--calibrate-until", "1997-09-30", "--holdout-until", "1998-06-30")
	if code != 0 {
		t.Fatal(errs)
	}
	_, figures, _ := strings.Cut(out, "\n")
	if !strings.Contains(string(page), figures) {
		t.Errorf("README.md lacks\n%s", figures)
	}
}
