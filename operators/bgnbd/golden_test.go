package bgnbd

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The reference answers and where they come from: testdata/README.md.

// row is a line of a reference file, by column name.
type row map[string]string

func (r row) float(t *testing.T, column string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(r[column], 64)
	if err != nil {
		t.Fatalf("reading column %s: %v", column, err)
	}
	return v
}

func (r row) int(t *testing.T, column string) int {
	t.Helper()
	v, err := strconv.Atoi(r[column])
	if err != nil {
		t.Fatalf("reading column %s: %v", column, err)
	}
	return v
}

func (r row) params(t *testing.T) Params {
	t.Helper()
	family, err := ParseFamily(r["model"])
	if err != nil {
		t.Fatal(err)
	}
	p := Params{family, r.float(t, "r"), r.float(t, "alpha"), r.float(t, "a"), r.float(t, "b")}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}

// readRows reads a CSV file of testdata and checks that it is whole.
func readRows(t *testing.T, name string, want int) []row {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	records, err := csv.NewReader(in).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]row, 0, len(records)-1)
	for _, record := range records[1:] {
		r := row{}
		for i, column := range records[0] {
			r[column] = record[i]
		}
		rows = append(rows, r)
	}
	if len(rows) != want {
		t.Fatalf("%s has %d rows, want %d", name, len(rows), want)
	}
	return rows
}

// errors of one kind over a file: the worst is reported, and each above the tolerance.
type comparison struct {
	what      string
	tolerance float64
	worst     float64
}

// check compares relatively; scale is the least magnitude that counts as such, 0 for purely relative.
func (c *comparison) check(t *testing.T, id string, got, want, scale float64) {
	t.Helper()
	if got == want {
		return
	}
	err := math.Abs(got-want) / max(math.Abs(want), scale)
	c.worst = max(c.worst, err)
	if !(err <= c.tolerance) {
		t.Errorf("%s of row %s is %v, want %v (relative error %.1e)", c.what, id, got, want, err)
	}
}

func (c *comparison) report(t *testing.T) {
	t.Helper()
	t.Logf("%s: worst relative error %.1e", c.what, c.worst)
}

func TestConditionalExpectationGolden(t *testing.T) {
	alive := comparison{what: "P(alive)", tolerance: 1e-11}
	ifAlive := comparison{what: "E[purchases | alive]", tolerance: 1e-11}
	expected := comparison{what: "E[purchases]", tolerance: 1e-11}
	buys := comparison{what: "P(buys again)", tolerance: 1e-11}
	for _, r := range readRows(t, "conditional_expectation.csv.gz", 520) {
		p := r.params(t)
		h := History{X: r.int(t, "x"), TX: r.float(t, "t_x"), T: r.float(t, "T")}
		horizon := r.float(t, "t")
		alive.check(t, r["id"], p.PAlive(h), r.float(t, "p_alive"), 0)
		ifAlive.check(t, r["id"], p.ExpectedIfAlive(h, horizon), r.float(t, "e_if_alive"), 0)
		expected.check(t, r["id"], p.Expected(h, horizon), r.float(t, "e_purchases"), 0)
		buys.check(t, r["id"], p.PBuy(h, horizon), r.float(t, "p_buy"), 0)
		// The many-horizon path with a single horizon is the same expectation.
		ifAlive.check(t, r["id"], p.DiscountedIfAlive(h, 1, horizon, 0), r.float(t, "e_if_alive"), 0)
	}
	for _, c := range []comparison{alive, ifAlive, expected, buys} {
		c.report(t)
	}
}

func TestCrossingGolden(t *testing.T) {
	statuses := map[string]CrossingStatus{"ok": Crosses, "beyond_1e6": Crosses, "already_below": AlreadyBelow, "never": Never}
	seen := map[CrossingStatus]int{}
	crossing := comparison{what: "T*", tolerance: 1e-11}
	for _, r := range readRows(t, "crossing_times.csv.gz", 1000) {
		got, status := r.params(t).Crossing(r.int(t, "x"), r.float(t, "t_x"), r.float(t, "threshold"))
		want := r.float(t, "T_star")
		wantStatus := statuses[r["status"]]
		if math.IsInf(want, 1) {
			wantStatus = Never
		}
		if status != wantStatus {
			t.Errorf("row %s: %v, want %v", r["id"], status, r["status"])
		}
		seen[status]++
		crossing.check(t, r["id"], got, want, 0)
	}
	crossing.report(t)
	t.Log(seen)
}

func TestLogLikelihoodGolden(t *testing.T) {
	likelihood := comparison{what: "log likelihood", tolerance: 1e-13}
	gradient := comparison{what: "gradient", tolerance: 1e-12}
	for _, r := range readRows(t, "loglik.csv", 240) {
		p := r.params(t)
		h := History{X: r.int(t, "x"), TX: r.float(t, "t_x"), T: r.float(t, "T")}
		ll, d := p.Gradient(h)
		likelihood.check(t, r["id"], ll, r.float(t, "loglik"), 1)
		if got := p.LogLikelihood(h); got != ll {
			t.Errorf("row %s: LogLikelihood %v, but %v with the gradient", r["id"], got, ll)
		}
		for i, column := range []string{"d_log_r", "d_log_alpha", "d_log_a", "d_log_b"} {
			gradient.check(t, r["id"]+" "+column, d[i], r.float(t, column), 1e-3)
		}
	}
	likelihood.report(t)
	gradient.report(t)
}

// cdnow is what of cdnow_golden.json concerns this package.
type cdnow struct {
	ParamsWeeks map[string]cdnowParams `json:"params_weeks"`
	ParamsDays  map[string]cdnowParams `json:"params_days"`
	CLV         struct {
		Rate       float64 `json:"d"`
		MonthWeeks float64 `json:"month_weeks"`
		Lifetimes  struct {
			MonthWeeks float64 `json:"month_weeks"`
		} `json:"lifetimes_variant"`
	} `json:"clv"`
	CheckPoints struct {
		Published [4]float64 `json:"bgnbd_published_params"`
		Customer  struct {
			X  int     `json:"x"`
			TX float64 `json:"t_x"`
			T  float64 `json:"T"`
		} `json:"customer"`
		PAlive float64 `json:"p_alive"`
		EBuys  float64 `json:"e_buys_39"`
		PBuy   float64 `json:"p_buy_39"`
	} `json:"check_points"`
}

type cdnowParams struct{ R, Alpha, A, B, Loglik float64 }

func readCDNOW(t *testing.T) cdnow {
	t.Helper()
	data, err := os.ReadFile("testdata/cdnow_golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var c cdnow
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCheckPoints(t *testing.T) {
	c := readCDNOW(t).CheckPoints
	p := Params{BGNBD, c.Published[0], c.Published[1], c.Published[2], c.Published[3]}
	h := History(c.Customer)
	digits := comparison{what: "check point", tolerance: 1e-11} // printed with 12 digits
	digits.check(t, "p_alive", p.PAlive(h), c.PAlive, 0)
	digits.check(t, "e_buys_39", p.Expected(h, 39), c.EBuys, 0)
	digits.check(t, "p_buy_39", p.PBuy(h, 39), c.PBuy, 0)
}

// TestCDNOWCustomers compares every prediction for every customer of the sample, and for both units of time that the
// likelihood of all is the reference's and its gradient vanishes: the parameters are its maximum.
func TestCDNOWCustomers(t *testing.T) {
	const daysPerWeek, horizonWeeks, months = 7, 39, 12
	reference := readCDNOW(t)
	customers := readRows(t, "cdnow_customers_golden.csv.gz", 2357)
	for _, family := range []Family{BGNBD, MBGNBD} {
		name := family.String()
		c := reference.ParamsWeeks[name]
		weeks := Params{family, c.R, c.Alpha, c.A, c.B}
		d := reference.ParamsDays[name]
		days := Params{family, d.R, d.Alpha, d.A, d.B}
		predictions := comparison{what: name, tolerance: 1e-10} // parameters and answers are printed with 12 digits
		var inWeeks, inDays float64
		var gradient [4]float64
		for _, r := range customers {
			id := r["customer_id"]
			inDay := History{X: r.int(t, "x"), TX: r.float(t, "t_x_days"), T: r.float(t, "T_days")}
			h := History{X: inDay.X, TX: inDay.TX / daysPerWeek, T: inDay.T / daysPerWeek}
			predictions.check(t, id+" p_alive", weeks.PAlive(h), r.float(t, "p_alive_"+name), 0)
			predictions.check(t, id+" e_buys", weeks.Expected(h, horizonWeeks), r.float(t, "e_buys_"+name), 0)
			predictions.check(t, id+" p_buy", weeks.PBuy(h, horizonWeeks), r.float(t, "p_buy_"+name), 0)
			value := weeks.DiscountedIfAlive(h, months, reference.CLV.MonthWeeks, reference.CLV.Rate)
			clv := weeks.PAlive(h) * value * r.float(t, "e_spend")
			predictions.check(t, id+" clv12", clv, r.float(t, "clv12_"+name), 0)
			if family == BGNBD { // the months of lifetimes with freq="W"
				value := weeks.DiscountedIfAlive(h, months, reference.CLV.Lifetimes.MonthWeeks, reference.CLV.Rate)
				predictions.check(t, id+" clv12 as lifetimes has it", weeks.PAlive(h)*value*r.float(t, "e_spend"), r.float(t, "clv12_bgnbd_lifetimes_week"), 0)
			}
			for column, threshold := range map[string]float64{"cross50_": 0.5, "cross20_": 0.2} {
				crossing, _ := weeks.Crossing(h.X, h.TX, threshold)
				predictions.check(t, id+" "+column, crossing, r.float(t, column+name), 0)
			}
			ll, g := weeks.Gradient(h)
			inWeeks += ll
			inDays += days.LogLikelihood(inDay)
			for i := range g {
				gradient[i] += g[i]
			}
		}
		predictions.report(t)
		if math.Abs(inWeeks-c.Loglik) > 1e-8 || math.Abs(inDays-d.Loglik) > 1e-7 { // printed with 12 digits
			t.Errorf("%s: log likelihood %.9f in weeks and %.9f in days, want %v and %v", name, inWeeks, inDays, c.Loglik, d.Loglik)
		}
		for i, g := range gradient {
			if math.Abs(g) > 1e-7 {
				t.Errorf("%s: derivative %d of the log likelihood is %v at its maximum", name, i, g)
			}
		}
	}
}
