package report_test

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lull/operators"
	"lull/pipeline/report"
	"lull/pipeline/snapshot"
)

// number reads a number of a table.
func number(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(strings.NewReplacer(",", "", " %", "", "+", "").Replace(text), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// same compares numbers with what a table has of them, rounded there.
func same(t *testing.T, what string, row []string, from int, want ...float64) {
	t.Helper()
	for i, w := range want {
		digits := 0.5
		if _, after, ok := strings.Cut(row[from+i], "."); ok {
			digits = 0.5 * math.Pow10(-len(strings.TrimSuffix(after, " %")))
		}
		if got := number(t, row[from+i]); math.Abs(got-w) > digits*(1+1e-6) {
			t.Errorf("%s: %v, and column %d must be %v", what, row, from+i, w)
		}
	}
}

func value(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

// sum adds up the customers that it is true of: how many, CLV, value at risk, and what is about to be lost.
func (s *shop) sum(of func(c *shopCustomer) bool) (customers, clv, atRisk, lost float64) {
	for i := range s.customers {
		if c := &s.customers[i]; of(c) {
			customers, clv, atRisk, lost = customers+1, clv+value(c.CLV), atRisk+value(c.ValueAtRisk), lost+value(c.AboutToBeLost)
		}
	}
	return customers, clv, atRisk, lost
}

// TestCustomerFigures: what the figures of customers say is what a plain sum over the rows does, cell by cell, and no customer is left out.
func TestCustomerFigures(t *testing.T) {
	s := newShop(7, 1000)
	p := pageOf(t, reportOf(t, s.write(t)))
	buyers, _, _, _ := s.sum(func(c *shopCustomer) bool { return c.Purchases > 0 })

	for _, row := range p.table("quadrants", 0)[:4] {
		n, clv, risk, lost := s.sum(func(c *shopCustomer) bool { return c.Quadrant == row[0] })
		same(t, "quadrant", row, 1, n, 100*n/buyers, clv, risk, lost)
	}
	scored := 0.0
	for _, row := range p.table("rfm", 0) {
		n, clv, risk, lost := s.sum(func(c *shopCustomer) bool {
			return c.RFMSince != nil && fmt.Sprint(*c.RFMSince) == row[0] && fmt.Sprint(*c.RFMFrequency) == row[1]
		})
		same(t, "rfm", row, 2, n, clv, risk, lost)
		scored += n
	}
	for _, row := range p.table("rfm", 1) {
		n, clv, risk, lost := s.sum(func(c *shopCustomer) bool { return c.RFMGroup == row[0] })
		same(t, "group", row, 1, n, 100*n/1000, clv, risk, lost)
	}
	if scored != buyers || len(p.table("rfm", 1)) != 5 {
		t.Errorf("%v of %v buyers, and %d groups", scored, buyers, len(p.table("rfm", 1)))
	}
	scored = 0
	for _, row := range p.table("alive", 0) {
		in := func(text string, v, step float64) bool {
			from, to, is := strings.Cut(text, "–")
			switch {
			case strings.HasSuffix(text, "+"):
				return v >= number(t, text)
			case !is:
				to = from
			}
			return v >= number(t, from) && v < number(t, to)+step
		}
		n, sum := 0.0, 0.0
		for i := range s.customers {
			if c := &s.customers[i]; c.PAlive != nil && in(row[0], *c.T-*c.LastAge, 0) && in(row[1], *c.Frequency, 1) {
				n, sum = n+1, sum+*c.PAlive
			}
		}
		same(t, "alive", row, 2, n, 100*sum/n)
		scored += n
	}
	if scored != buyers {
		t.Errorf("the matrix has %v of %v", scored, buyers)
	}
	if weeks := p.table("deadlines", 0); len(weeks) != 12 {
		t.Errorf("%d weeks", len(weeks))
	}
	next := operators.EventTime(0)
	for i, row := range p.table("deadlines", 0) {
		from, until := instantOf(t, row[0]), instantOf(t, row[1])
		if i == 0 && from != shopAsOf || i > 0 && from != next || until-from != 7*operators.DayMs {
			t.Errorf("week %d is from %s until %s", i, from, until)
		}
		next = until
		within := func(c *shopCustomer) bool {
			return c.NextDeadline != nil && *c.NextDeadline >= from && *c.NextDeadline < until
		}
		n, clv, risk, lost := s.sum(within)
		falls, _, _, _ := s.sum(func(c *shopCustomer) bool { return within(c) && strings.Contains(*c.NextWhat, "CLV") })
		same(t, "deadlines", row, 2, n, n-falls, falls, clv, risk, lost)
	}
}

func instantOf(t *testing.T, text string) operators.EventTime {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04 UTC", text)
	if err != nil {
		t.Fatal(err)
	}
	return operators.EventTime(at.UnixMilli())
}

// TestCohortDays: the period of a snapshot's last day, which is not over, goes by the application's calendar, and by UTC where the manifest names none; a zone that nobody knows is refused.
func TestCohortDays(t *testing.T) {
	s := newShop(5, 400)
	asOf := shopAsOf + 20*operators.DayMs + 37_800_000 // 2025-06-30T22:30:00Z
	s.manifest.AsOf = asOf.String()
	for zone, want := range map[string]string{"": "2025-06", "Europe/Berlin": "2025-07", "America/New_York": "2025-06"} {
		s.manifest.Terms.Timezone = zone
		rows := pageOf(t, reportOf(t, s.write(t))).table("retention", 0)
		first, err := time.Parse("2006-01", rows[0][0])
		if err != nil {
			t.Fatal(err)
		}
		if got := first.AddDate(0, len(rows[0])-3, 0).Format("2006-01"); got != want { // beside months: the cohort, and its size
			t.Errorf("%q: the first cohort goes to %s, want %s", zone, got, want)
		}
	}
	s.manifest.Terms.Timezone = "Europe/Atlantis"
	if err := drawReport(t, s.write(t), t.TempDir()); err == nil || !strings.Contains(err.Error(), "the manifest of snapshot "+shopName+": timezone: unknown time zone Europe/Atlantis") {
		t.Errorf("%v, want the zone that is not known", err)
	}
}

// TestCohortFigures: retention and revenue of each cohort are what a plain walk over the orders gives, in weeks, months, quarters and years, as the past is long; and each customer is of one cohort, or of those that are not shown.
func TestCohortFigures(t *testing.T) {
	for name, v := range map[string]struct {
		stretch int // days become that many
		label   func(d time.Time) string
		index   func(d time.Time) int
	}{
		"week": {-8, func(d time.Time) string {
			for ; d.Weekday() != time.Monday; d = d.AddDate(0, 0, -1) {
				continue
			}
			return d.Format(time.DateOnly)
		}, func(d time.Time) int { return int(d.Unix()/86400+3) / 7 }},
		"month":   {1, func(d time.Time) string { return d.Format("2006-01") }, func(d time.Time) int { return 12*d.Year() + int(d.Month()) }},
		"quarter": {3, func(d time.Time) string { return fmt.Sprintf("%d Q%d", d.Year(), (int(d.Month())+2)/3) }, func(d time.Time) int { return 4*d.Year() + (int(d.Month())-1)/3 }},
		"year":    {15, func(d time.Time) string { return d.Format("2006") }, time.Time.Year},
		"old":     {40, func(d time.Time) string { return d.Format("2006") }, time.Time.Year},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(5, 400)
			last := shopAsOf.UTCDay()
			for i := range s.orders {
				if v.stretch < 0 {
					*s.orders[i].Day = last - (last-*s.orders[i].Day)/operators.Day(-v.stretch)
				} else {
					*s.orders[i].Day = last - (last-*s.orders[i].Day)*operators.Day(v.stretch)
				}
			}
			p := pageOf(t, reportOf(t, s.write(t)))
			type key struct {
				cohort string
				age    int
			}
			first, sizes, bought, net := map[string]operators.Day{}, map[string]float64{}, map[key]map[string]bool{}, map[key]float64{}
			for _, o := range s.orders {
				if o.Cancelled {
					continue
				}
				if _, known := first[o.CustomerID]; !known {
					first[o.CustomerID] = *o.Day
					sizes[v.label(days(*o.Day))]++
				}
				k := key{v.label(days(first[o.CustomerID])), v.index(days(*o.Day)) - v.index(days(first[o.CustomerID]))}
				if bought[k] == nil {
					bought[k] = map[string]bool{}
				}
				bought[k][o.CustomerID] = true
				net[k] += o.Net
			}
			shown, cells := 0.0, 0
			revenue := p.table("revenue", 0)
			for r, row := range p.table("retention", 0) {
				same(t, "cohort", row, 1, sizes[row[0]])
				shown += sizes[row[0]]
				for age, text := range row[2:] {
					if text == "" {
						continue
					}
					k := key{row[0], age}
					same(t, fmt.Sprint("retention at ", age), row, 2+age, 100*float64(len(bought[k]))/sizes[row[0]])
					same(t, fmt.Sprint("revenue at ", age), revenue[r], 2+age, net[k]/sizes[row[0]])
					cells += len(bought[k])
				}
			}
			if shown == 0 || shown != float64(len(first)) != (name == "old") {
				t.Errorf("%v of %d customers are shown", shown, len(first))
			}
			if text := textOf(p.section("retention")); name == "old" && !strings.Contains(text, fmt.Sprintf("and not shown: %v customers.", float64(len(first))-shown)) {
				t.Errorf("it does not tell of the %v others: %s", float64(len(first))-shown, text)
			}
			if rows := len(revenue); rows > 18 || rows < 5 || cells == 0 {
				t.Errorf("%d cohorts, %d cells", rows, cells)
			}
		})
	}
}

// TestChangeFigures: changes are those of the last 30 days, or of as many as the table has, by from and to; and quality is what the counts of a source add up to.
func TestChangeFigures(t *testing.T) {
	for _, since := range []operators.EventTime{0, shopAsOf - 10*operators.DayMs} {
		s := newShop(3, 2000)
		dir := s.write(t)
		from := shopAsOf - 30*operators.DayMs
		if since != 0 {
			from = since
			at := since.String()
			s.table("segment_changes").Since = &at
			dir = s.rewrite(t, dir)
		}
		p := pageOf(t, reportOf(t, dir))
		all := 0.0
		for i, dimension := range []string{"quadrant", "lifecycle"} {
			for _, row := range p.table("migrations", i) {
				n, risk := 0.0, 0.0
				for _, c := range s.changes {
					if c.Dimension == dimension && c.From == row[0] && c.To == row[1] && c.Time > from {
						n, risk = n+1, risk+*c.ValueAtRisk
					}
				}
				same(t, dimension, row, 2, n, risk)
				all += n
			}
		}
		want := 0.0
		for _, c := range s.changes {
			if c.Time > from {
				want++
			}
		}
		if all != want || want == 0 {
			t.Errorf("%v changes, want %v", all, want)
		}
		if text := textOf(p.section("migrations")); strings.Contains(text, "forgotten by its topic") != (since != 0) {
			t.Errorf("since %s: %s", since, text)
		}
		sources := 0
		for _, row := range p.table("quality", 0) {
			var n [7]float64
			for _, q := range s.quality {
				if q.Source == row[0] {
					for i, v := range []int64{q.Records, q.Invalid, q.MissingField, q.UnknownCurrency, q.ClockSkewed, q.Duplicate, q.Late} {
						n[i] += float64(v)
					}
				}
			}
			same(t, row[0], row, 3, n[0], 100*(1-(n[1]+n[2]+n[3]+n[4]+n[5]+n[6])/n[0]), n[1], n[2], n[3], n[4], n[5], n[6])
			sources++
		}
		if sources != 3 {
			t.Errorf("%d sources", sources)
		}
	}
}

// TestCustomerQuality: customers are below the scores that they are below, and the worst ten are those of all, with what was wrong; it says how many have no fault.
func TestCustomerQuality(t *testing.T) {
	s := newShop(3, 2000)
	p := pageOf(t, reportOf(t, s.write(t)))
	bounds := []float64{1, 0.9, 0.75, 0.5, 0.25}
	rows := p.table("customer_quality", 0)
	if len(rows) != len(bounds) {
		t.Fatalf("the bounds are %v", rows)
	}
	for i, bound := range bounds {
		var bought, not float64
		for _, c := range s.customers {
			switch {
			case c.Quality >= bound:
			case c.Purchases > 0:
				bought++
			default:
				not++
			}
		}
		if bought == 0 || not == 0 {
			t.Fatalf("nobody is below %v", bound)
		}
		same(t, "below", rows[i], 0, bound, bought+not, 100*(bought+not)/2000, bought, not)
	}
	byScore := slices.Clone(s.customers)
	slices.SortFunc(byScore, func(a, b shopCustomer) int {
		return cmp.Or(cmp.Compare(a.Quality, b.Quality), strings.Compare(a.ID, b.ID))
	})
	worst := p.table("customer_quality", 1)
	if len(worst) != 10 {
		t.Fatalf("the worst are %v", worst)
	}
	for i, row := range worst {
		c := &byScore[i]
		if row[0] != c.ID {
			t.Errorf("place %d is %v, want %+v", i, row, c)
		}
		same(t, c.ID, row, 1, c.Quality, float64(c.Orders), float64(c.Invalid), float64(c.MissingField), float64(c.NoCurrency), float64(c.ClockSkewed), float64(c.Duplicate), float64(c.Late))
	}
	clean := slices.IndexFunc(byScore, func(c shopCustomer) bool { return c.Quality == 1 })
	if want := fmt.Sprintf("%d of 2,000 customers have a score of 1", 2000-clean); !strings.Contains(strings.ReplaceAll(textOf(p.section("customer_quality")), ",", ""), strings.ReplaceAll(want, ",", "")) {
		t.Errorf("%s is not said", want)
	}
}

// TestLabels: a cell of nobody has no share, a day says what part of its records had a fault, however few they are, and the quadrants say what is about to be lost.
func TestLabels(t *testing.T) {
	s := newShop(8, 600)
	const missing = "2024-11"
	late := make(map[string]bool) // customers of a month in which nobody may begin
	seen := make(map[string]bool)
	for _, o := range s.orders {
		if !o.Cancelled && !seen[o.CustomerID] {
			seen[o.CustomerID], late[o.CustomerID] = true, days(*o.Day).Format("2006-01") == missing
		}
	}
	s.orders = slices.DeleteFunc(s.orders, func(o shopOrder) bool { return late[o.CustomerID] })
	day := shopAsOf.UTCDay() - 1
	s.quality = []shopQuality{{Source: "clean", Day: day, Records: 10_000}, {Source: "nearly", Day: day, Records: 10_000, Late: 1}}
	dir := reportOf(t, s.write(t))
	drawing := func(figure string) string {
		text, err := os.ReadFile(filepath.Join(dir, figure+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	narrow := func(figure string) string {
		_, text, _ := strings.Cut(readPage(t, dir), `<svg class="narrow"`)
		for !strings.Contains(text[:200], `aria-labelledby="`+figure+`-narrow"`) {
			_, text, _ = strings.Cut(text, `<svg class="narrow"`)
		}
		text, _, _ = strings.Cut(text, "</svg>")
		return text
	}
	retention := drawing("retention")
	zeros := len(regexp.MustCompile(`: 0 of [1-9][0-9]* customers bought`).FindAllString(retention, -1))
	if labels := strings.Count(retention, ">0%</text>"); labels < zeros || labels > zeros+1 { // the shades begin at 0 % too
		t.Errorf("%d cells say 0%%, want %d", labels, zeros)
	}
	for _, figure := range []string{"retention", "revenue"} {
		if d := drawing(figure); strings.Contains(d, missing) || !strings.Contains(d, "Left out, because nobody bought for the first time in them: 1 month of the ") {
			t.Errorf("%s of a month in which nobody began: %s", figure, d)
		}
	}
	if strings.Contains(readPage(t, dir), "segments_rebuilt") {
		t.Error("segments are said to be placed anew, and the manifest counts none")
	}
	s.manifest.Rebuilt = &snapshot.Rebuilt{Ordered: 1000, Model: 200, Moved: 30}
	again := t.TempDir()
	if err := drawReport(t, s.write(t), again); err != nil {
		t.Fatal(err)
	}
	if want := "where they are: 1,230 customers, whose states are later than the instant (segments_rebuilt)."; !strings.Contains(readPage(t, again), want) {
		t.Errorf("the page lacks %q", want)
	}
	quality := drawing("quality")
	for _, want := range []string{"clean, " + day.String() + ": 0.00 % of 10,000 records with a fault", "nearly, " + day.String() + ": 0.01 % of 10,000 records with a fault", "&lt;0.1</text>", ">·</text>"} {
		if !strings.Contains(quality, want) {
			t.Errorf("%q is not in %s", want, quality)
		}
	}
	_, _, _, lost := s.sum(func(c *shopCustomer) bool { return c.Quadrant == "save" })
	for drawing, figure := range map[string]string{"wide": drawing("quadrants"), "narrow": narrow("quadrants")} {
		for _, advice := range []string{"keep them close", "win them back", "let them grow", "spend nothing"} {
			if !strings.Contains(figure, ">"+advice+"</text>") {
				t.Errorf("the %s quadrants lack %q", drawing, advice)
			}
		}
	}
	darkest, most := "", 0.0
	for _, q := range []string{"advocate", "save", "nurture", "efficiency"} {
		if _, _, _, lost := s.sum(func(c *shopCustomer) bool { return c.Quadrant == q }); lost > most {
			darkest, most = q, lost
		}
	}
	if dark := regexp.MustCompile(`class="h6"><title>([a-z]+): `).FindAllStringSubmatch(drawing("quadrants"), -1); len(dark) != 1 || dark[0][1] != darkest {
		t.Errorf("the darkest quadrants are %q, and most is about to be lost of %s", dark, darkest)
	}
	for _, figure := range []string{"alive", "rfm"} {
		for _, words := range []string{">days since</text>", ">the last</text>", ">purchase"} {
			if d := drawing(figure); !strings.Contains(d, words) || strings.Contains(d, "recency") {
				t.Errorf("the rows of %s are not labelled as days since the last purchase: %s", figure, d)
			}
		}
	}
	if d := drawing("deadlines"); !strings.Contains(d, ">2025-06-10</text>") {
		t.Errorf("the weeks have no year: %s", d)
	}
	labels := regexp.MustCompile(`<text x="([0-9.]+)" y="[0-9.]+" text-anchor="middle" class="m">[0-9]+%</text>`).FindAllStringSubmatch(narrow("calibration"), -1)
	if last := labels[len(labels)-1]; number(t, last[1])+18 > 340 { // half of 100% is up to 16 wide
		t.Errorf("the last label of the phone's calibration stands at %v of 340", last)
	}
	if labels := regexp.MustCompile(`<text x="([0-9.]+)" y="[0-9.]+" text-anchor="middle" class="m">[0-9]+%</text>`).FindAllStringSubmatch(drawing("calibration"), -1); number(t, labels[len(labels)-1][1]) < 850 {
		t.Errorf("the calibration of a desktop ends at %v of 920", labels[len(labels)-1])
	}
	if want := regexp.MustCompile(`EUR ([0-9,]+) about to be lost`).FindAllStringSubmatch(drawing("quadrants"), -1); len(want) < 4 || !slices.ContainsFunc(want, func(m []string) bool { return math.Abs(number(t, m[1])-lost) <= 0.5 }) {
		t.Errorf("the quadrants tell %q, and what is about to be lost of save is %v", want, lost)
	}
	if !strings.Contains(readPage(t, dir), "<h1>Customers of corner shop</h1>") {
		t.Error("no title")
	}
}

func readPage(t *testing.T, dir string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(dir, report.Page))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// TestSample: of more customers than a backtest is made of, every second, fourth and so on is taken, and it says of how many.
func TestSample(t *testing.T) {
	if testing.Short() {
		t.Skip("a large shop")
	}
	s := newShop(9, 60_000) // 48,000 of them buy
	s.changes, s.quality = nil, nil
	p := pageOf(t, reportOf(t, s.write(t)))
	if text := textOf(p.section("calibration")); !strings.Contains(text, "A sample of one customer in 4, chosen by a hash of the id, of 48,000 who have bought.") {
		t.Error(text)
	}
	known := 0.0
	for _, row := range p.table("calibration", 0) {
		known += number(t, row[0])
	}
	if known < 6_000 || known > 12_000 { // of some 12,000, those who had bought by two thirds of the days
		t.Errorf("%v customers", known)
	}
}

// TestEmpty: what is missing is said, in the figure and in its file, and what to do about it; and what does not hang on it is drawn.
func TestEmpty(t *testing.T) {
	const noModel, nobody, noOrder = "No model is in force at this instant: fit one by lull fit", "Nobody has bought yet", "No order counts yet"
	without := func(table string) string {
		return "The snapshot was taken without the table " + table + ": take one with it, by --tables"
	}
	scores := []string{"quadrants", "deadlines", "rfm", "alive"}
	all := append([]string{"retention", "revenue", "migrations", "calibration", "quality", "customer_quality"}, scores...)
	of := func(text string, figures ...string) map[string]string {
		m := make(map[string]string)
		for _, f := range figures {
			m[f] = text
		}
		return m
	}
	for name, v := range map[string]struct {
		change func(s *shop)
		empty  map[string]string
	}{
		"nothing": {func(*shop) {}, nil},
		"model": {func(s *shop) {
			s.models, s.manifest.Model = nil, nil
			for i := range s.customers {
				c := &s.customers[i]
				c.PAlive, c.CLV, c.ValueAtRisk, c.AboutToBeLost, c.RFMSince, c.RFMFrequency = nil, nil, nil, nil, nil, nil
			}
		}, of(noModel, scores...)},
		"cuts": {func(s *shop) {
			for i := range s.customers {
				s.customers[i].RFMSince, s.customers[i].RFMFrequency = nil, nil
			}
		}, of("The model has no cuts, which RFM scores are made by", "rfm")},
		"buyers": {func(s *shop) {
			s.customers = slices.DeleteFunc(s.customers, func(c shopCustomer) bool { return c.Purchases > 0 })
			s.orders, s.changes = nil, nil
		}, map[string]string{
			"quadrants": nobody, "deadlines": nobody, "rfm": nobody, "alive": nobody, "retention": noOrder, "revenue": noOrder, "calibration": noOrder, "migrations": "Nobody changed quadrant or stage between 2025-05-11 12:00 UTC and",
		}},
		"customers":           {func(s *shop) { s.lacks = []string{"customers"} }, of(without("customers"), append([]string{"customer_quality"}, scores...)...)},
		"orders":              {func(s *shop) { s.lacks = []string{"orders"} }, of(without("orders"), "retention", "revenue", "calibration")},
		"segment_changes":     {func(s *shop) { s.lacks = []string{"segment_changes"} }, of(without("segment_changes"), "migrations")},
		"models":              {func(s *shop) { s.lacks = []string{"models"} }, of(without("models"), "calibration")},
		snapshot.QualityTable: {func(s *shop) { s.lacks = []string{snapshot.QualityTable} }, of(without(snapshot.QualityTable), "quality")},
		"faults": {func(s *shop) {
			for i := range s.customers {
				s.customers[i].Quality = 1
			}
		}, of("No record of any customer had a fault", "customer_quality")},
		"scores of quality": {func(s *shop) {
			for i := range s.customers {
				s.customers[i].Quality = 0 // the column is not there
			}
		}, of("the snapshot is of a build that did not count customers' faults. Take it anew", "customer_quality")},
		"counted":              {func(s *shop) { s.quality = nil }, of("No record of any source has been counted yet", "quality")},
		"customers to predict": {func(s *shop) { s.orders = s.orders[:60] }, of("A backtest needs 100 customers who had bought by 20", "calibration")},
		"past": {func(s *shop) {
			for i := range s.orders {
				*s.orders[i].Day = shopAsOf.UTCDay() - 30 + *s.orders[i].Day%30
			}
			slices.SortFunc(s.orders, func(a, b shopOrder) int {
				return cmp.Or(strings.Compare(a.CustomerID, b.CustomerID), cmp.Compare(*a.Day, *b.Day))
			})
		}, of("A backtest needs 84 days from the first purchase on, and there are 30: it says something from 2025-08-0", "calibration")},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(11, 500)
			v.change(s)
			dir := reportOf(t, s.write(t))
			p := pageOf(t, dir)
			for _, figure := range all {
				file, err := os.ReadFile(filepath.Join(dir, figure+".svg"))
				if err != nil {
					t.Fatal(err)
				}
				text, want := textOf(p.section(figure)), v.empty[figure]
				if says := strings.Contains(text, "Nothing to show."); says != (want != "") || !strings.Contains(text, want) || bytes.Contains(file, []byte("Nothing to show.")) != says {
					t.Errorf("%s must say %q: %s", figure, want, text)
				}
				if drawn := strings.Contains(string(file), `class="h`) || strings.Contains(string(file), `class="c`); drawn == (want != "") {
					t.Errorf("%s: drawn is %t", figure, drawn)
				}
			}
		})
	}
}

// TestColumns: the columns that are read are those of snapshots, of their types.
func TestColumns(t *testing.T) {
	for table, row := range map[string]reflect.Type{
		"customers": reflect.TypeFor[shopCustomer](), "orders": reflect.TypeFor[shopOrder](), "segment_changes": reflect.TypeFor[shopChange](), "models": reflect.TypeFor[shopModel](),
		snapshot.QualityTable: reflect.TypeFor[shopQuality](),
	} {
		columns := snapshot.ColumnsOf(table)
		for _, f := range reflect.VisibleFields(row) {
			name, _, _ := strings.Cut(f.Tag.Get("parquet"), ",")
			at := slices.IndexFunc(columns, func(c snapshot.Column) bool { return c.Name == name })
			if at < 0 || columns[at].Nullable != (f.Type.Kind() == reflect.Pointer) {
				t.Errorf("%s.%s is none of the columns %v", table, name, columns)
			}
		}
	}
}

// TestFiles: the same snapshot gives the same bytes; each figure's file is XML with all that its numbers need; and nothing in any of them points elsewhere.
func TestFiles(t *testing.T) {
	in := newShop(4, 300).write(t)
	first, second := reportOf(t, in), reportOf(t, in)
	files, err := os.ReadDir(first)
	if err != nil || len(files) != 11 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(first, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := os.ReadFile(filepath.Join(second, file.Name())); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%s is another one the second time: %v", file.Name(), err)
		}
		for _, out := range []string{"<script", "src=", "url(", "@import", "http:", "https:"} {
			if at := bytes.Index(bytes.ReplaceAll(text, []byte("http://www.w3.org/2000/svg"), nil), []byte(out)); at >= 0 {
				t.Errorf("%s has %s", file.Name(), out)
			}
		}
		if file.Name() == report.Page {
			continue
		}
		for decoder := xml.NewDecoder(bytes.NewReader(text)); ; {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", file.Name(), err)
				break
			}
		}
		if !bytes.Contains(text, []byte("2025-06-10 12:00 UTC")) {
			t.Errorf("%s does not say its instant", file.Name())
		}
	}
}
