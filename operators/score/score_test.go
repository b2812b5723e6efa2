package score_test

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/gammagamma"
	"lull/operators/score"
)

// defaults returns the default configuration, changed as asked.
func defaults(change func(*score.Config)) score.Config {
	var c score.Config
	c.EnsureDefaults()
	if change != nil {
		change(&c)
	}
	return c
}

// cdnow returns the model of the literature for CDNOW (Fader, Hardie & Lee 2005; Fader & Hardie 2013), in days.
func cdnow(family string) *operators.Model {
	m := &operators.Model{
		Version: "cdnow-" + family, Family: family, R: 0.525, Alpha: 7 * 6.183, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 34.88,
	}
	if family == "bgnbd" {
		m.R, m.Alpha, m.A, m.B = 0.243, 7*4.414, 0.793, 2.426
	}
	return m
}

// purchases returns the statistics of a customer with x repeat purchases, the last of them after lastAge days.
func purchases(first operators.Day, x, lastAge int, firstNet, repeatNet operators.Money) operators.Purchases {
	return operators.Purchases{
		Count: uint32(x + 1), First: first, FirstStart: operators.EventTime(first) * operators.DayMs, Last: first + operators.Day(lastAge),
		Net: firstNet + repeatNet, FirstNet: firstNet, Orders: uint32(x + 1),
	}
}

func date(t testing.TB, s string) operators.Day {
	t.Helper()
	d, err := time.Parse("2006-01-02", s)
	if err != nil {
		t.Fatal(err)
	}
	return operators.Day(d.Unix() / 86_400)
}

func instantOf(d operators.Day) operators.EventTime { return operators.EventTime(d) * operators.DayMs }

// TestGolden compares customers of the CDNOW sample with values that were computed outside of this project: every 25th, and the five who
// bought most often. Their models, fitted by maximum likelihood, are those of the same source.
func TestGolden(t *testing.T) {
	fitted := map[string]*operators.Model{
		"mbgnbd": {R: 0.524843159106, Alpha: 43.281596957, A: 0.891359390732, B: 1.61400224017},
		"bgnbd":  {R: 0.24259452243, Alpha: 30.8952141331, A: 0.792922017226, B: 2.42590677683},
	}
	// The golden expected purchases and chance to buy look 39 weeks ahead, CLV 12 months.
	twelveMonths := score.New(defaults(nil))
	weeks39 := score.New(defaults(func(c *score.Config) {
		c.HorizonMonths, c.MonthDays, c.ContactDays = 1, 273, 273
		c.HighRisk, c.LowRisk = 0.8, 0.5
	}))
	asOf := instantOf(date(t, "1997-09-30"))
	for _, row := range readCSV(t, "testdata/cdnow_golden_sample.csv") {
		number := func(column string) float64 {
			v, err := strconv.ParseFloat(row[column], 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		first, last := date(t, row["first_date"]), date(t, row["last_date"])
		p := purchases(first, int(number("x")), int(last-first),
			operators.Money(math.Round(100*number("spend_first_day"))), operators.Money(math.Round(100*number("spend_repeat_total"))))
		for family, m := range fitted {
			m.Version, m.Family, m.P, m.Q, m.V, m.HighValue = family, family, 6.24957227132, 3.74422466713, 15.4435209626, 30
			if err := score.ValidateModel(m); err != nil {
				t.Fatal(err)
			}
			f, f39 := twelveMonths.Evaluate(&p, m, asOf), weeks39.Evaluate(&p, m, asOf)
			for _, v := range []struct {
				name string
				got  float64
				want string
			}{
				{"P(alive)", f.PAlive, "p_alive_" + family}, {"expected purchases", f39.ExpectedPurchases, "e_buys_" + family},
				{"buys again", f39.BuysAgain, "p_buy_" + family}, {"expected spend", f.ExpectedSpend, "e_spend"}, {"CLV", f.CLV, "clv12_" + family},
			} {
				if want := number(v.want); !(math.Abs(v.got-want) <= 1e-9*want) {
					t.Errorf("%s of %s under %s is %v, want %v", v.name, row["customer_id"], family, v.got, want)
				}
			}
			// f39's thresholds are P(alive) .2 and .5.
			for _, v := range []struct {
				name string
				got  operators.EventTime
				want string
			}{{"high risk", f39.HighRiskAt, "cross20_" + family}, {"low risk", f39.LowRiskUntil, "cross50_" + family}} {
				age := 7 * number(v.want)
				want := operators.Never
				if age-p.LastAge() <= 36_525 {
					want = p.FirstStart + operators.EventTime(math.Ceil(age*operators.DayMs))
				}
				if tolerance := max(1, 1e-9*age*operators.DayMs); math.Abs(float64(v.got-want)) > tolerance {
					t.Errorf("%s of %s under %s crosses at %s, want %s", v.name, row["customer_id"], family, v.got, want)
				}
			}
		}
	}
}

func readCSV(t *testing.T, name string) []map[string]string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, column := range records[0] {
			row[column] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// slow is one customer under one model by the formulas as they stand in the papers, and roots by bisection.
type slow struct {
	p operators.Purchases
	m *operators.Model
}

func (s slow) alive(age float64) float64 {
	k := 1.0
	if s.m.Family == "bgnbd" {
		k = 0
		if s.p.Count == 1 {
			return 1
		}
	}
	x := float64(s.p.Repeats())
	return 1 / (1 + s.m.A/(s.m.B+x-1+k)*math.Pow((s.m.Alpha+age)/(s.m.Alpha+s.p.LastAge()), s.m.R+x))
}

// clv is the direct sum over the months: (E(i) − E(i−1)) / 1.01^i.
func (s slow) clv(age float64) float64 {
	family, _ := bgnbd.ParseFamily(s.m.Family)
	params := bgnbd.Params{Family: family, R: s.m.R, Alpha: s.m.Alpha, A: s.m.A, B: s.m.B}
	history := bgnbd.History{X: s.p.Repeats(), TX: s.p.LastAge(), T: age}
	spend := gammagamma.Params{P: s.m.P, Q: s.m.Q, V: s.m.V}.Mean(s.p.Repeats(), float64(s.p.RepeatNet())/100)
	sum, before := 0.0, 0.0
	for i := 1; i <= 12; i++ {
		e := params.ExpectedIfAlive(history, float64(i)*30.4375)
		sum += (e - before) / math.Pow(1.01, float64(i))
		before = e
	}
	return s.alive(age) * spend * sum
}

// falls returns the first instant at which f, falling with age, is at or below level; Unset if it is so from the last purchase on.
func (s slow) falls(f func(age float64) float64, level float64) operators.EventTime {
	lo, hi := s.p.LastAge(), s.p.LastAge()+36_525
	if f(lo) <= level {
		return operators.Unset
	}
	if f(hi) > level {
		return operators.Never
	}
	for range 100 {
		if mid := (lo + hi) / 2; f(mid) > level {
			lo = mid
		} else {
			hi = mid
		}
	}
	return s.p.FirstStart + operators.EventTime(math.Ceil(hi*operators.DayMs))
}

func near(a, b operators.EventTime, ms float64) bool {
	return a == b || math.Abs(float64(a)-float64(b)) <= ms
}

// TestSilence follows customers through a silence: every instant at which their row changes is found again by bisection, to the millisecond,
// and there are no others.
func TestSilence(t *testing.T) {
	first := date(t, "1997-01-04")
	for _, family := range []string{"mbgnbd", "bgnbd"} {
		for name, p := range map[string]operators.Purchases{
			"one purchase":          purchases(first, 0, 0, 2933, 0),
			"one of no value":       purchases(first, 0, 0, 0, 0),
			"three purchases":       purchases(first, 2, 213, 2933, 4469),
			"a short fling":         purchases(first, 1, 12, 6334, 1177),
			"often, of high value":  purchases(first, 10, 190, 4000, 52_000),
			"often, of small value": purchases(first, 28, 260, 900, 19_000),
			"a thousand purchases":  purchases(first, 1000, 1500, 1000, 2_000_000),
		} {
			m := cdnow(family)
			s := slow{p, m}
			op := score.New(defaults(nil))
			want := map[string]operators.EventTime{}
			for _, risk := range []string{"0.10", "0.20", "0.30", "0.40", "0.50", "0.60", "0.70", "0.80", "0.85", "0.90", "0.95"} {
				v, _ := strconv.ParseFloat(risk, 64)
				if at := s.falls(s.alive, math.Round(100-100*v)/100); at != operators.Unset && at != operators.Never {
					want["churn risk reaches "+risk] = at
				}
			}
			if at := s.falls(s.clv, m.HighValue); at != operators.Unset && at != operators.Never {
				want["CLV falls under the cut of 34.88 USD"] = at
			}
			at := p.FirstStart + operators.EventTime(p.Last-p.First)*operators.DayMs
			for {
				next, what := op.Next(&p, m, at)
				if next == operators.Never {
					break
				}
				if next <= at {
					t.Fatalf("%s, %s: after %s comes %s", family, name, at, next)
				}
				if at, ok := want[what]; !ok || !near(at, next, 1) {
					t.Errorf("%s, %s: %s at %s, want %s", family, name, what, next, at)
				}
				delete(want, what)
				before, then := op.Evaluate(&p, m, next-1), op.Evaluate(&p, m, next)
				if falls := before.HighValue && !then.HighValue; falls != (what == "CLV falls under the cut of 34.88 USD") {
					t.Errorf("%s, %s: at %s, where %s, high value goes from %v to %v", family, name, next, what, before.HighValue, then.HighValue)
				}
				at = next
			}
			if len(want) > 0 {
				t.Errorf("%s, %s: missing: %v", family, name, want)
			}
		}
	}
}

// TestOneTimeBuyersUnderBGNBD: they never die, but what is expected of them falls.
func TestOneTimeBuyersUnderBGNBD(t *testing.T) {
	p, m := purchases(10_000, 0, 0, 2933, 0), cdnow("bgnbd")
	m.HighValue = 5
	op := score.New(defaults(nil))
	f := op.Evaluate(&p, m, p.FirstStart+operators.DayMs)
	if f.PAlive != 1 || f.HighRiskAt != operators.Never || f.LowRiskUntil != operators.Never || f.BornHighRisk || !f.HighValue {
		t.Errorf("%+v", f)
	}
	s := slow{p, m}
	next, what := op.Next(&p, m, f.AsOf)
	if want := s.falls(s.clv, 5); what != "CLV falls under the cut of 5.00 USD" || !near(next, want, 1) {
		t.Errorf("next is %q at %s, want it at %s", what, next, want)
	}
	if next, what = op.Next(&p, m, next); next != operators.Never || what != "" {
		t.Errorf("then %q at %s", what, next)
	}
}

// TestBornHighRisk: who is over the threshold as they buy, or within that day, has crossed nothing in silence; a day later they would have.
func TestBornHighRisk(t *testing.T) {
	p := purchases(10_000, 0, 0, 2933, 0)
	op := score.New(defaults(nil))
	for _, v := range []struct {
		b, alpha float64
		born     bool
	}{
		{0.1, 40, true},    // P(alive) is b/(a+b) = .1 at the purchase
		{3, 0.01, true},    // 3/3.9, and .3 after alpha ((7/3 · 3/.9)^(1/r) − 1) = 49 alpha
		{3, 0.05, false},   // the same in 2.4 days
		{1.614, 43, false}, // CDNOW
	} {
		m := cdnow("mbgnbd")
		m.A, m.B, m.Alpha = 0.9, v.b, v.alpha
		f := op.Evaluate(&p, m, p.FirstStart+3_600_000)
		if f.BornHighRisk != v.born {
			t.Errorf("b %v, alpha %v: born of high risk: %v; %+v", v.b, v.alpha, f.BornHighRisk, f)
		}
		if v.b == 0.1 && f.HighRiskAt > f.AsOf {
			t.Errorf("the risk is high but said to become so at %s", f.HighRiskAt)
		}
	}
}

// TestClocksGoForward: a purchase in the first hour of a day after clocks have gone forward comes before t_x whole days of 24 hours are over. It
// is scored as of its day's start, and bounds that it is below already are not to come.
func TestClocksGoForward(t *testing.T) {
	p := purchases(10_000, 1, 100, 2933, 1000)
	at := p.FirstStart + 100*operators.DayMs - 1_800_000
	for _, b := range []float64{0.1, 1.614} {
		m := cdnow("bgnbd")
		m.B = b
		op := score.New(defaults(nil))
		f := op.Evaluate(&p, m, at)
		if want := (slow{p, m}).alive(100); f.Age != 100 || math.Abs(f.PAlive-want) > 1e-12 {
			t.Errorf("T is %v, P(alive) %v", f.Age, f.PAlive)
		}
		if f.BornHighRisk != (b == 0.1) || f.BornHighRisk && f.HighRiskAt > at {
			t.Errorf("b %v: born of high risk %v, at %s; it is %s", b, f.BornHighRisk, f.HighRiskAt, at)
		}
		if next, what := op.Next(&p, m, at); next <= at+1_800_000 {
			t.Errorf("b %v: %s at %s, before the day's start by 24-hour days", b, what, next)
		}
	}
}

// TestMargin: the margin scales what is earned, not what is spent.
func TestMargin(t *testing.T) {
	p, m := purchases(10_000, 3, 100, 2933, 9000), cdnow("mbgnbd")
	at := p.FirstStart + 150*operators.DayMs
	whole := score.New(defaults(nil)).Evaluate(&p, m, at)
	half := score.New(defaults(func(c *score.Config) { c.MarginShare = 0.5 })).Evaluate(&p, m, at)
	for _, v := range [][2]float64{
		{half.CLV, whole.CLV / 2}, {half.ValueAtRisk, whole.ValueAtRisk / 2}, {half.AboutToBeLost, whole.AboutToBeLost / 2},
		{half.ExpectedSpend, whole.ExpectedSpend},
	} {
		if math.Abs(v[0]-v[1]) > 1e-12*v[1] {
			t.Errorf("%v, want %v", v[0], v[1])
		}
	}
	s := slow{p, m}
	if want := s.clv(150) - s.clv(180); math.Abs(whole.AboutToBeLost-want) > 1e-9*want {
		t.Errorf("about to be lost %v, want %v", whole.AboutToBeLost, want)
	}
}

// TestModelsInTurn: customers who are seen by several models in turn, as while partitions adopt a new one, cost no tables made anew.
func TestModelsInTurn(t *testing.T) {
	op := score.New(defaults(nil))
	p := purchases(10_000, 2, 40, 3000, 5000)
	var models []*operators.Model
	for i := range 4 {
		m := cdnow("mbgnbd")
		m.R += 0.1 * float64(i)
		models = append(models, m)
	}
	look := func() {
		for _, m := range models {
			op.Evaluate(&p, m, instantOf(10_100))
		}
	}
	look()
	if allocations := testing.AllocsPerRun(10, look); allocations > 0 {
		t.Errorf("%v allocations for four customers of four models in turn", allocations)
	}
}

// TestValueFallsFromCut: who cannot have dropped out, and whose CLV is the cut to the bit, falls under it in silence by what they buy less.
func TestValueFallsFromCut(t *testing.T) {
	op := score.New(defaults(nil))
	m := cdnow("bgnbd")
	p := purchases(10_000, 0, 0, 3000, 0)
	m.HighValue = op.Evaluate(&p, m, instantOf(10_000)).CLV
	if later := op.Evaluate(&p, m, instantOf(10_365)); later.HighValue {
		t.Errorf("CLV has fallen to %v, and is not under the cut of %v", later.CLV, m.HighValue)
	}
}
