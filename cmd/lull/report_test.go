package main

import (
	"encoding/json"
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	reportTable = regexp.MustCompile(`(?s)<table>.*?</table>`)
	reportRow   = regexp.MustCompile(`<tr>(<td.*?)</tr>`)
	reportCell  = regexp.MustCompile(`<td[^>]*>(.*?)</td>`)
)

// reportTables returns the tables of a figure, without their heads.
func reportTables(t *testing.T, page, id string) (tables [][][]string) {
	t.Helper()
	_, section, ok := strings.Cut(page, `<section id="`+id+`">`)
	section, _, _ = strings.Cut(section, "</section>")
	if !ok || strings.Contains(section, "Nothing to show") {
		t.Fatalf("figure %s: %s", id, section)
	}
	for _, table := range reportTable.FindAllString(section, -1) {
		var rows [][]string
		for _, row := range reportRow.FindAllStringSubmatch(table, -1) {
			var cells []string
			for _, c := range reportCell.FindAllStringSubmatch(row[1], -1) {
				cells = append(cells, html.UnescapeString(c[1]))
			}
			rows = append(rows, cells)
		}
		tables = append(tables, rows)
	}
	return tables
}

// TestReport: the report of a snapshot of the CDNOW customers has the cohorts that the log has, the customers that the table has, and, for its backtest, the figures that `lull backtest` has of the same log, calibrated and tried on the same days:
// that one runs the events through the pipeline's operators.
func TestReport(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a process")
	}
	s := snapshotShop(t)
	out, folder := t.TempDir(), filepath.Join(t.TempDir(), "new", "report")
	dir, m := s.takeSnapshot(out)
	if err := s.process.stop(); err != nil {
		t.Fatal(err)
	}
	if told := s.lull("report", "--snapshots", out, "--out", folder, "--config", s.config); !strings.Contains(told, m.Snapshot) || strings.Count(told, ".svg\n") != 10 {
		t.Errorf("it says %s", told)
	}
	t.Setenv("TMPDIR", t.TempDir())
	cmd := newReportCommand()
	cmd.SetContext(t.Context())
	cmd.SetOut(left{t, filepath.Join(os.Getenv("TMPDIR"), "lull-tables-*")})
	if err := runReport(cmd, out, "", t.TempDir()); err != nil {
		t.Error(err)
	}
	page := readFile(t, filepath.Join(folder, "report.html"))
	for _, text := range []string{"As of 1997-09-30 00:00 UTC", "model cdnow-published (mbgnbd)", "in USD, margin expected within 365.25 days", "2,357"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}

	rows := tableRows[customerColumns](t, dir, "customers")
	for _, of := range reportTables(t, page, "quadrants")[0][:4] {
		n, clv := 0, 0.0
		for i := range rows {
			if rows[i].Quadrant == of[0] {
				n, clv = n+1, clv+*rows[i].CLV
			}
		}
		if of[1] != thousands(n) || of[3] != thousands(int(math.Round(clv))) {
			t.Errorf("%v, want %d customers with a CLV of %v", of, n, clv)
		}
	}

	crossing := [2]float64{} // a bound of risk, one of value
	for _, week := range reportTables(t, page, "deadlines")[0] {
		for i := range crossing {
			crossing[i] += parseFloat(t, strings.ReplaceAll(week[3+i], ",", ""))
		}
	}
	if crossing[0] == 0 || crossing[1] == 0 {
		t.Errorf("in twelve weeks %v customers cross", crossing)
	}

	type purchase struct{ month, customer string }
	log := strings.Split(strings.TrimSpace(string(s.rowsOfFew("1997-01-01", "1997-09-30"))), "\n")
	head, log := strings.Split(log[0], ","), log[1:]
	slices.SortStableFunc(log, func(a, b string) int { return strings.Compare(strings.Split(a, ",")[1], strings.Split(b, ",")[1]) })
	cohorts, bought, net := map[string]string{}, map[purchase]bool{}, map[[2]string]float64{}
	for _, line := range log {
		of := strings.Split(line, ",")
		month := of[1][:7]
		if _, known := cohorts[of[0]]; !known {
			cohorts[of[0]] = month
		}
		bought[purchase{month, of[0]}] = true
		net[[2]string{cohorts[of[0]], month}] += parseFloat(t, of[slices.Index(head, "amount")])
	}
	size, active := map[string]int{}, map[[2]string]int{}
	for _, month := range cohorts {
		size[month]++
	}
	for p := range bought {
		active[[2]string{cohorts[p.customer], p.month}]++
	}
	retention, revenue := reportTables(t, page, "retention")[0], reportTables(t, page, "revenue")[0]
	if len(retention) != 3 || len(size) != 3 {
		t.Fatalf("%d cohorts are shown, the log has %d", len(retention), len(size))
	}
	for i, row := range retention {
		if row[1] != thousands(size[row[0]]) {
			t.Errorf("cohort %v, want %d", row, size[row[0]])
		}
		for age := 0; size[row[0]] > 0 && age < 9-i; age++ {
			cell := [2]string{row[0], fmt.Sprintf("1997-%02d", i+1+age)}
			share, per := 100*float64(active[cell])/float64(size[row[0]]), net[cell]/float64(size[row[0]])
			if row[2+age] != fmt.Sprintf("%.2f %%", share) || math.Abs(parseFloat(t, revenue[i][2+age])-per) > 0.00501 {
				t.Errorf("%v: %s and %s, want %v and %v", cell, row[2+age], revenue[i][2+age], share, per)
			}
		}
	}

	file := writeFile(t, "sample.csv", string(s.rowsOfFew("1997-01-01", "1997-09-30")))
	told, errs, code := lull(t, "backtest", "--json", "--events", file, "--map", "customer_id=customer_id,time=date,amount=amount,message_id=id,order_id=id", "--calibrate-until", "1997-07-01", "--holdout-until", "1997-09-29")
	var figures backtestFigures
	if err := json.Unmarshal([]byte(told[strings.LastIndex(strings.TrimSpace(told), "\n")+1:]), &figures); err != nil || code != 0 {
		t.Fatalf("%v, exit code %d: %s", err, code, errs)
	}
	if text := fmt.Sprintf("calibration error is %.3f (the mean distance from the line), the Brier score %.4f, the AUC %.3f", figures.Churn.CalibrationError, figures.Churn.Brier, figures.Churn.Model.AUC); !strings.Contains(page, text) {
		t.Errorf("the page does not say that the %s", text)
	}
	calibration := reportTables(t, page, "calibration")
	if len(calibration[0]) != 10 || len(figures.Churn.Bins) != 10 {
		t.Fatalf("%d and %d tenths", len(calibration[0]), len(figures.Churn.Bins))
	}
	for i, b := range figures.Churn.Bins {
		if want := []string{thousands(b.Customers), fmt.Sprintf("%.2f %%", 100*b.Predicted), fmt.Sprintf("%.2f %%", 100*b.Observed)}; !slices.Equal(calibration[0][i], want) {
			t.Errorf("tenth %d is %v, want %v", i, calibration[0][i], want)
		}
	}
	buys, value := figures.Transactions.Model, figures.Value.Model
	for i, want := range [][2]float64{{buys.Predicted, buys.Actual}, {value.Predicted, value.Actual}} {
		for k, v := range want {
			if calibration[1][i][1+k] != thousands(int(math.Round(v))) {
				t.Errorf("totals are %v, want %v", calibration[1][i], want)
			}
		}
	}
}

func parseFloat(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// thousands writes a number as reports do.
func thousands(n int) string {
	if n >= 1000 {
		return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
	}
	return strconv.Itoa(n)
}

// left fails a test if, when something is written, there is a file of that pattern: who reads may go away then, and the process ends.
type left struct {
	t       *testing.T
	pattern string
}

func (l left) Write(p []byte) (int, error) {
	if names, err := filepath.Glob(l.pattern); len(names) > 0 || err != nil {
		l.t.Errorf("%v is there while %q is printed, %v", names, p, err)
	}
	return len(p), nil
}
