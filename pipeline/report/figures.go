package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"lull/operators"
	"lull/pipeline/snapshot"
)

// figure is one of the report. Either empty says what is missing, or there are panels and tables.
type figure struct {
	ID    string // of its place in the page, and the name of its file
	Title string
	Says  string // what it shows, in a sentence or two
	Terms string // units, horizon, model and instant of all its numbers
	Notes []string
	Empty string

	panels []panel
	beside bool // panels stand side by side where there is room
	Tables []table
}

// table has the numbers of a figure.
type table struct {
	Title string
	Head  []string
	Rows  [][]string
}

// without says that a snapshot lacks a table.
func without(name string) string {
	return fmt.Sprintf("The snapshot was taken without the table %s: take one with it, by --tables of lull snapshot.", name)
}

const (
	noPurchases = "Nobody has bought yet: the snapshot has no customer with a purchase."
	noModel     = "No model is in force at this instant: fit one by lull fit, or put one by lull models put, and take a snapshot after it."
)

// figures draws all figures, in the order of the page.
func (t *tally) figures() ([]figure, error) {
	calibration, err := t.calibrationFigure()
	if err != nil {
		return nil, err
	}
	return []figure{
		t.quadrantFigure(), t.deadlineFigure(), t.rfmFigure(), t.aliveFigure(), t.retentionFigure(), t.revenueFigure(), t.migrationFigure(), calibration, t.qualityFigure(), t.doubtfulFigure(),
	}, nil
}

// at says the instant of all numbers.
func (t *tally) at() string { return "As of " + instant(t.asOf) }

func instant(at operators.EventTime) string {
	text := strings.Replace(at.String(), "T", " ", 1)
	text = strings.TrimSuffix(text, "Z")
	return strings.TrimSuffix(strings.TrimSuffix(text, ".000"), ":00") + " UTC"
}

func (t *tally) modelName() string {
	switch {
	case t.manifest.Model == nil:
		return "no model"
	case t.model != nil:
		return fmt.Sprintf("model %s (%s)", *t.manifest.Model, t.model.Family)
	}
	return "model " + *t.manifest.Model
}

// valueTerms says what values are.
func (t *tally) valueTerms() string {
	terms := &t.manifest.Terms
	return fmt.Sprintf("%s · %s · values in %s, margin expected within %s days, at a margin of %s, discounted by %s a month", t.at(), t.modelName(), terms.Currency, plain(terms.HorizonDays),
		plain(100*terms.Margin)+"%", plain(100*terms.DiscountMonthly)+"%")
}

// money writes an amount as a person reads it, and in which currency.
func (t *tally) money(v float64) string { return t.manifest.Terms.Currency + " " + whole(v) }

// gap returns what keeps figures of scores from being drawn, "" for nothing.
func (t *tally) gap() string {
	switch {
	case t.tables.Table("customers") == nil:
		return without("customers")
	case t.all.customers == 0:
		return noPurchases
	case t.scored == 0:
		return noModel
	}
	return ""
}

// quadrants are their names as the figure has them: high value first, low risk first.
var quadrantNames = [2][2]string{{operators.Advocate.String(), operators.Save.String()}, {operators.Nurture.String(), operators.Efficiency.String()}}

var quadrantWhat = map[string]string{
	operators.Advocate.String(): "keep them close", operators.Save.String(): "win them back", operators.Nurture.String(): "let them grow", operators.Efficiency.String(): "spend nothing",
}

func (t *tally) quadrantFigure() figure {
	f := figure{
		ID: "quadrants", Title: "Value and risk", Terms: t.valueTerms(),
		Says: fmt.Sprintf("Customers by what they are expected to bring (CLV) and by how likely they have left. The shade is the value about to be lost: by how much CLV falls if all stay silent for another %s days, which is what an effort in time can still keep. ", plain(t.manifest.Terms.ContactDays)) +
			"Value at risk is no part of CLV, but what CLV has written off already: the churn risk times the CLV of who is certainly alive. The long gone have most of it, so it does not tell where to spend.",
	}
	if f.Empty = t.gap(); f.Empty != "" {
		return f
	}
	q := &squares{}
	of := table{Head: []string{"quadrant", "customers", "share of buyers", "CLV, " + t.currency(), "value at risk, " + t.currency(), "about to be lost, " + t.currency()}}
	for r := range quadrantNames {
		for i, name := range quadrantNames[r] {
			s := sumsOf(t.quadrants, name)
			q.most = max(q.most, s.aboutToBeLost)
			q.cells[r][i] = square{name: name, value: s.aboutToBeLost, lines: []string{
				quadrantWhat[name], many(s.customers, "customer") + ", " + percent(ofAll(float64(s.customers), float64(t.all.customers))),
				t.money(s.aboutToBeLost) + " about to be lost", "of " + t.money(s.clv) + " CLV", t.money(s.atRisk) + " written off (value at risk)",
			}}
			of.Rows = append(of.Rows, sumsRow(name, s, t.all.customers))
		}
	}
	none := sumsOf(t.quadrants, operators.NoQuadrant.String())
	of.Rows = append(of.Rows, []string{"none", count(none.customers), "", "", "", ""})
	q.low, q.full = "about to be lost: "+t.currency()+" 0", short(q.most)
	f.panels, f.Tables = []panel{q}, []table{of}
	if t.model != nil {
		f.Notes = append(f.Notes, fmt.Sprintf("Value is high from a CLV of %s %s on.", t.currency(), short(t.model.HighValue)))
	}
	if r := t.manifest.Rebuilt; r != nil && r.Total() > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("Placed anew, without the past that keeps who is between two thresholds where they are: %s, whose states are later than the instant (segments_rebuilt).", many(r.Total(), "customer")))
	}
	if none.customers > 0 {
		f.Notes = append(f.Notes, "Without a quadrant, having no purchase or no score: "+many(none.customers, "customer")+".")
	}
	return f
}

func (t *tally) currency() string { return t.manifest.Terms.Currency }

// sumsRow returns the row of some customers, of so many.
func sumsRow(name string, s *sums, of int64) []string {
	return []string{name, count(s.customers), exact(ofAll(float64(s.customers), float64(of))), whole(s.clv), whole(s.atRisk), whole(s.aboutToBeLost)}
}

func (t *tally) deadlineFigure() figure {
	f := figure{
		ID: "deadlines", Title: "Deadlines of the coming weeks", Terms: t.valueTerms(),
		Says: fmt.Sprintf("How many customers' scores will change by silence alone in each of the next %d weeks, if they do not buy before, and the CLV that they stand for today. Of each customer it is the next deadline; those after it are not in a snapshot.", deadlineWeeks),
	}
	if f.Empty = t.gap(); f.Empty != "" {
		return f
	}
	legend := [2]string{"churn risk reaches a bound", "CLV falls under the cut"}
	customers := &bars{title: "Customers by week", legend: legend, format: func(v float64) string { return short(v) }}
	value := &bars{title: "CLV of these, " + t.currency() + ", by week", legend: legend, format: func(v float64) string { return short(v) }}
	of := table{Head: []string{"from", "until", "customers", legend[0], legend[1], "CLV, " + t.currency(), "value at risk, " + t.currency(), "about to be lost, " + t.currency()}}
	var all sums
	for i := range t.deadlines.weeks {
		w := &t.deadlines.weeks[i]
		from := t.asOf + operators.EventTime(i)*7*operators.DayMs
		day := dayOf(from)
		customers.bars = append(customers.bars, bar{day, [2]float64{float64(w.risk.customers), float64(w.value.customers)}, fmt.Sprintf("week from %s: %s and %s customers", day, count(w.risk.customers), count(w.value.customers))})
		value.bars = append(value.bars, bar{day, [2]float64{w.risk.clv, w.value.clv}, fmt.Sprintf("week from %s: %s and %s", day, t.money(w.risk.clv), t.money(w.value.clv))})
		of.Rows = append(of.Rows, []string{
			instant(from), instant(from + 7*operators.DayMs), count(w.risk.customers + w.value.customers), count(w.risk.customers), count(w.value.customers), whole(w.risk.clv + w.value.clv),
			whole(w.risk.atRisk + w.value.atRisk), whole(w.risk.aboutToBeLost + w.value.aboutToBeLost),
		})
		all.customers += w.risk.customers + w.value.customers
		all.clv += w.risk.clv + w.value.clv
		all.aboutToBeLost += w.risk.aboutToBeLost + w.value.aboutToBeLost
	}
	f.panels, f.beside, f.Tables = []panel{customers, value}, true, []table{of}
	f.Notes = []string{
		fmt.Sprintf("In %d weeks %s of %s scored customers cross. Their CLV is %s today, of which %s is about to be lost.", deadlineWeeks, count(all.customers), count(t.scored), t.money(all.clv), t.money(all.aboutToBeLost)),
		fmt.Sprintf("With their next deadline later: %s; with none: %s.", many(t.deadlines.later.customers, "customer"), many(t.deadlines.never.customers, "customer")),
	}
	return f
}

// dayOf returns the day of an instant, in UTC.
func dayOf(at operators.EventTime) string { return at.UTCDay().String() }

var scoreNames = []string{"1", "2", "3", "4", "5"}

func (t *tally) rfmFigure() figure {
	f := figure{
		ID: "rfm", Title: "RFM grid", Terms: t.valueTerms(),
		Says: "Customers by the scores of the days since their last purchase (R) and of the number of their purchase days (F). 5 is the best fifth, of the fewest days and of the most purchases, by the bounds that the model carries.",
	}
	switch f.Empty = t.gap(); {
	case f.Empty != "":
		return f
	case t.rfmScored == 0:
		f.Empty = "The model has no cuts, which RFM scores are made by: one that lull fits has them, and one that is put by hand can (cuts in its file)."
		return f
	}
	since, often := "days since the last purchase, score", "purchase days, score"
	number := &grid{title: "Customers", rowsOf: since, columnOf: often, columns: scoreNames, bounds: short, cellHeight: 34}
	lost := &grid{title: "Value about to be lost, " + t.currency(), rowsOf: since, columnOf: often, columns: scoreNames, bounds: short, cellHeight: 34}
	of := table{Title: "By scores", Head: []string{since, often, "customers", "CLV, " + t.currency(), "value at risk, " + t.currency(), "about to be lost, " + t.currency()}}
	for since := 4; since >= 0; since-- {
		var numbers, losses []cell
		for frequency := range t.rfm[since] {
			s := &t.rfm[since][frequency]
			tip := fmt.Sprintf("score %d of days since the last purchase, %d of purchase days: %s, %s about to be lost", since+1, frequency+1, many(s.customers, "customer"), t.money(s.aboutToBeLost))
			blank := s.customers == 0
			numbers = append(numbers, cell{value: float64(s.customers), label: short(float64(s.customers)), tip: tip, blank: blank})
			losses = append(losses, cell{value: s.aboutToBeLost, label: short(s.aboutToBeLost), tip: tip, blank: blank})
			if !blank {
				of.Rows = append(of.Rows, []string{scoreNames[since], scoreNames[frequency], count(s.customers), whole(s.clv), whole(s.atRisk), whole(s.aboutToBeLost)})
			}
		}
		for _, g := range []*grid{number, lost} {
			g.rows = append(g.rows, scoreNames[since])
		}
		number.cells, lost.cells = append(number.cells, numbers), append(lost.cells, losses)
	}
	groups := table{Title: "By group", Head: []string{"group", "customers", "share of customers", "CLV, " + t.currency(), "value at risk, " + t.currency(), "about to be lost, " + t.currency()}}
	for _, name := range sorted(t.groups) {
		groups.Rows = append(groups.Rows, sumsRow(name, t.groups[name], t.customers))
	}
	f.panels, f.beside, f.Tables = []panel{number, lost}, true, []table{of, groups}
	return f
}

func sorted[V any](m map[string]V) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ranges writes what lies between bounds: 3 to 4, and 15 or more.
func ranges(bounds []float64, step float64) (names []string) {
	for i, from := range bounds {
		switch {
		case i == len(bounds)-1:
			names = append(names, whole(from)+"+")
		case bounds[i+1]-from == step:
			names = append(names, whole(from))
		default:
			names = append(names, whole(from)+"–"+whole(bounds[i+1]-step))
		}
	}
	return names
}

func (t *tally) aliveFigure() figure {
	f := figure{
		ID: "alive", Title: "P(alive) by frequency and days since the last purchase", Terms: fmt.Sprintf("%s · %s · probabilities at this instant, in %%", t.at(), t.modelName()),
		Says: "The mean probability that a customer is still one, of the customers in each cell: by purchase days after the first (frequency), and by days since the last one. Who bought often and has been silent for long has left; the same silence says little of who buys seldom.",
	}
	if f.Empty = t.gap(); f.Empty != "" {
		return f
	}
	columns, rows := ranges(frequencyBounds[:], 1), ranges(sinceBounds[:], 0)
	g := &grid{title: "Mean P(alive)", rowsOf: "days since the last purchase", columnOf: "purchase days after the first", columns: columns, most: 1, bounds: percent, named: true}
	of := table{Head: []string{"days since the last purchase", "purchase days after the first", "customers", "mean P(alive)"}}
	for r := range t.alive {
		var cells []cell
		for i := range t.alive[r] {
			c := &t.alive[r][i]
			if c.customers == 0 {
				cells = append(cells, cell{blank: true})
				continue
			}
			mean := c.sum / float64(c.customers)
			cells = append(cells, cell{value: mean, label: percent(mean), tip: fmt.Sprintf("%s days since the last, %s purchase days after the first: %s, mean of %s", rows[r], columns[i], exact(mean), many(c.customers, "customer"))})
			of.Rows = append(of.Rows, []string{rows[r], columns[i], count(c.customers), exact(mean)})
		}
		g.rows, g.cells = append(g.rows, rows[r]), append(g.cells, cells)
	}
	f.panels, f.Tables = []panel{g}, []table{of}
	f.Notes = []string{fmt.Sprintf("Scored customers: %s. Cells without customers are blank; each range of days ends before the next begins.", count(t.scored))}
	if t.model != nil && t.model.Family == "bgnbd" {
		f.Notes = append(f.Notes, "Under BG/NBD who has bought once is alive for ever: the first column says nothing.")
	}
	return f
}

// cohortLabel names the period of a cohort.
func (c *cohorts) label(cohort int) string {
	from := c.span.start(c.first + cohort)
	switch c.span.name {
	case "week":
		return from.Format(time.DateOnly)
	case "quarter":
		return fmt.Sprintf("%d Q%d", from.Year(), int(from.Month()-1)/3+1)
	case "year":
		return from.Format("2006")
	}
	return from.Format("2006-01")
}

// cohortFigure begins a figure of cohorts.
func (t *tally) cohortFigure(id, title, says, unit string) (f figure, empty bool) {
	f = figure{ID: id, Title: title, Says: says, Terms: fmt.Sprintf("%s · %s · facts alone, no model and no horizon", t.at(), unit)}
	switch {
	case t.tables.Table("orders") == nil:
		f.Empty = without("orders")
	case t.cohorts == nil:
		f.Empty = "No order counts yet: the snapshot has none that was completed and not cancelled."
	}
	return f, f.Empty != ""
}

// cohortGrid draws cohorts by age; show says what a cell is, ok is false of one that says nothing.
func (t *tally) cohortGrid(title string, bounds func(float64) string, show func(cohort, age int) (c cell, ok bool)) *grid {
	of := t.cohorts
	g := &grid{title: title, rowsOf: "first purchase", columnOf: of.span.name + "s since the first purchase", bounds: bounds}
	for age := range of.sizes {
		g.columns = append(g.columns, fmt.Sprint(age))
	}
	for i := range of.sizes {
		if of.sizes[i] == 0 {
			continue
		}
		var cells []cell
		for age := range of.cells[i] {
			c, ok := show(i, age)
			c.blank = !ok
			c.open = age == len(of.cells[i])-1
			cells = append(cells, c)
		}
		g.rows, g.cells = append(g.rows, of.label(i)), append(g.cells, cells)
	}
	return g
}

// cohortTable has the same as a grid.
func (t *tally) cohortTable(show func(cohort, age int) string) table {
	of := t.cohorts
	head := []string{"first purchase", "customers"}
	for age := range of.sizes {
		head = append(head, fmt.Sprint(age))
	}
	result := table{Head: head}
	for i := range of.sizes {
		if of.sizes[i] == 0 {
			continue
		}
		row := []string{of.label(i), count(of.sizes[i])}
		for age := range of.sizes {
			if age < len(of.cells[i]) {
				row = append(row, show(i, age))
			} else {
				row = append(row, "")
			}
		}
		result.Rows = append(result.Rows, row)
	}
	return result
}

func (t *tally) cohortNotes() (notes []string) {
	c := t.cohorts
	notes = append(notes, fmt.Sprintf("The last cell of each row is of the %s that is not over, or ends at this instant. Orders that were cancelled do not count.", c.span.name))
	nobody := int64(0)
	for _, size := range c.sizes {
		if size == 0 {
			nobody++
		}
	}
	if nobody > 0 {
		notes = append(notes, fmt.Sprintf("Left out, because nobody bought for the first time in them: %s of the %d until %s.", many(nobody, c.span.name), len(c.sizes), c.label(len(c.sizes)-1)))
	}
	if c.earlier > 0 {
		notes = append(notes, fmt.Sprintf("Of earlier cohorts than %s, and not shown: %s.", c.label(0), many(c.earlier, "customer")))
	}
	return notes
}

func (t *tally) retentionFigure() figure {
	f, empty := t.cohortFigure("retention", "Retention by cohort and age", "The share of the customers of each cohort who bought again in the period that many periods after their first.", "share of a cohort's customers, in %")
	if empty {
		return f
	}
	c := t.cohorts
	share := func(cohort, age int) float64 {
		return ofAll(float64(c.cells[cohort][age].bought), float64(c.sizes[cohort]))
	}
	g := t.cohortGrid("Share who bought", percent, func(cohort, age int) (cell, bool) {
		s := share(cohort, age)
		tip := fmt.Sprintf("%s, %s %d: %s of %s customers bought (%s)", c.label(cohort), c.span.name, age, count(c.cells[cohort][age].bought), count(c.sizes[cohort]), exact(s))
		if age == 0 { // all have bought in it
			return cell{label: count(c.sizes[cohort]), tip: fmt.Sprintf("%s: %s", c.label(cohort), many(c.sizes[cohort], "customer"))}, false
		}
		return cell{value: s, label: percent(s), tip: tip}, true
	})
	f.panels, f.Tables = []panel{g}, []table{t.cohortTable(func(cohort, age int) string { return exact(share(cohort, age)) })}
	f.Notes = append(t.cohortNotes(), fmt.Sprintf("In %s 0 all have bought: where there is room it has how many these are.", c.span.name))
	return f
}

func (t *tally) revenueFigure() figure {
	f, empty := t.cohortFigure("revenue", "Revenue by cohort and age", "What the customers of each cohort brought in the period that many periods after their first, divided by how many the cohort has: refunds are taken off, and those who did not buy count.",
		t.currency()+" per customer of a cohort, net value of orders, not margin")
	if empty {
		return f
	}
	c := t.cohorts
	per := func(cohort, age int) float64 { return ofAll(c.cells[cohort][age].net, float64(c.sizes[cohort])) }
	g := t.cohortGrid(t.currency()+" per customer", short, func(cohort, age int) (cell, bool) {
		v := per(cohort, age)
		tip := fmt.Sprintf("%s, %s %d: %s %.2f per customer, %s in all", c.label(cohort), c.span.name, age, t.currency(), v, t.money(c.cells[cohort][age].net))
		return cell{value: v, label: short(round2(v)), tip: tip}, true
	})
	f.panels, f.Tables = []panel{g}, []table{t.cohortTable(func(cohort, age int) string { return fmt.Sprintf("%.2f", per(cohort, age)) })}
	f.Notes = t.cohortNotes()
	return f
}

func round2(v float64) float64 { return math.Round(100*v) / 100 }

// migrationDimensions are those shown, with their segments in the order of rows and columns.
var migrationDimensions = []struct {
	name     string
	segments []string
}{
	{"quadrant", []string{"none", "advocate", "save", "nurture", "efficiency"}},
	{"lifecycle", []string{"none", "prospect", "new", "active", "at_risk", "dormant", "lost", "won_back"}},
}

func (t *tally) migrationFigure() figure {
	f := figure{
		ID: "migrations", Title: "Who changed segment",
		Says: "How often customers went from one segment to another. A customer who goes to and fro counts each time.",
	}
	days := t.asOf.DaysSince(t.migrations.from)
	f.Terms = fmt.Sprintf("Changes of the %s days from %s to %s · each by the model in force when it happened (%s now)", short(math.Round(10*days)/10), instant(t.migrations.from), instant(t.asOf), t.modelName())
	of := t.tables.Table("segment_changes")
	switch {
	case of == nil:
		f.Empty = without("segment_changes")
		return f
	case t.migrations.moves["quadrant"] == nil && t.migrations.moves["lifecycle"] == nil:
		f.Empty = fmt.Sprintf("Nobody changed quadrant or stage between %s and %s.", instant(t.migrations.from), instant(t.asOf))
		return f
	}
	for _, d := range migrationDimensions {
		m := t.migrations.moves[d.name]
		if m == nil {
			f.Notes = append(f.Notes, "Nobody changed "+d.name+" in this time.")
			continue
		}
		g := &grid{title: fmt.Sprintf("%s: %s", d.name, many(m.total, "change")), rowsOf: "from", columnOf: "to", bounds: short, columns: d.segments, named: true}
		numbers := table{Title: d.name, Head: []string{"from", "to", "changes", "value at risk when they changed, " + t.currency()}}
		for _, from := range d.segments {
			var cells []cell
			for _, to := range d.segments {
				move := [2]string{from, to}
				n := m.count[move]
				c := cell{blank: true, tip: fmt.Sprintf("%s to %s: %s", from, to, many(n, "change"))}
				if n > 0 {
					c.value, c.label, c.blank = float64(n), short(float64(n)), false
					numbers.Rows = append(numbers.Rows, []string{from, to, count(n), whole(m.atRisk[move])})
				}
				cells = append(cells, c)
			}
			g.rows, g.cells = append(g.rows, from), append(g.cells, cells)
		}
		f.panels, f.Tables = append(f.panels, g), append(f.Tables, numbers)
		f.Notes = append(f.Notes, fmt.Sprintf("Of the changes of %s, %s came of something they did, %s of silence, %s of a new model.", d.name, count(m.causes["event"]), count(m.causes["deadline"]), count(m.causes["model"])))
	}
	if !t.migrations.whole {
		f.Notes = append(f.Notes, fmt.Sprintf("What came before %s has been forgotten by its topic (topics.retention), so these are fewer than %d days.", instant(t.migrations.from), migrationDays))
	}
	return f
}

func (t *tally) calibrationFigure() (figure, error) {
	f := figure{
		ID: "calibration", Title: "Does the model keep its word?",
		Says:  "A backtest on the orders of this snapshot: the model's kind is fitted to the earlier part of the past alone, and says with which probability each customer will buy in the rest. Each point is a tenth of the customers: on the line it came as predicted, below it fewer bought.",
		Terms: t.at() + " · probability of at least one purchase within the holdout, in %",
	}
	r, missing, err := t.rehearse()
	if err != nil {
		return f, err
	}
	if f.Empty = missing; missing != "" {
		return f, nil
	}
	p, c := r.result.Periods, &r.result.Churn
	f.Terms = fmt.Sprintf("%s · %s fitted to %s until %s, predicting the %d days until %s · probability of at least one purchase in these, in %%", t.at(), r.family, p.First, p.Calibrate, p.HoldoutDays(), p.Holdout)
	d := &reliability{x: "predicted probability of a purchase", y: "share who bought"}
	of := table{Title: "By tenth", Head: []string{"customers", "predicted", "came true"}}
	for _, b := range c.Bins {
		d.points = append(d.points, point{b.Predicted, b.Observed, fmt.Sprintf("%s customers: predicted %s, came true %s", count(int64(b.Customers)), exact(b.Predicted), exact(b.Observed))})
		of.Rows = append(of.Rows, []string{count(int64(b.Customers)), exact(b.Predicted), exact(b.Observed)})
	}
	buys, value := &r.result.Transactions.Model, &r.result.Value.Model
	totals := table{Title: "Totals of the holdout", Head: []string{"", "predicted", "came true"}, Rows: [][]string{
		{"repeat purchase days", whole(buys.Predicted), whole(buys.Actual)}, {"value of orders, " + t.currency(), whole(value.Predicted), whole(value.Actual)},
	}}
	f.panels, f.Tables = []panel{d}, []table{of, totals}
	f.Notes = []string{
		fmt.Sprintf("Of %s customers the calibration error is %.3f (the mean distance from the line), the Brier score %.4f, the AUC %s; %s did not buy.", count(int64(r.known)), c.CalibrationError, c.Brier, figureOf(float64(c.Model.AUC)), percent(c.BaseRate)),
		"The parameters are those of the fit to the earlier part, not those of the model in force. Refunds and cancellations are as known today.",
	}
	if r.sample.shift > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("A sample of one customer in %d, chosen by a hash of the id, of %s who have bought.", 1<<r.sample.shift, count(r.sample.seen)))
	}
	return f, nil
}

func figureOf(v float64) string {
	if math.IsNaN(v) {
		return "undefined"
	}
	return fmt.Sprintf("%.3f", v)
}

func (t *tally) qualityFigure() figure {
	f := figure{
		ID: "quality", Title: "Data quality by source", Terms: t.at() + " · records by day of the watermark, in UTC · counted facts, no model and no horizon",
		Says: "The share of each source's records with something wrong, by what it was, and the share with any fault day by day. Records that came late or twice are counted although lull has mended them.",
	}
	switch {
	case t.tables.Table(snapshot.QualityTable) == nil:
		f.Empty = without(snapshot.QualityTable)
		return f
	case len(t.quality.sources) == 0:
		f.Empty = "No record of any source has been counted yet."
		return f
	}
	kinds := &grid{title: "Records with a fault, share of all", rowsOf: "source", columnOf: "what was wrong", columns: faults[:], bounds: percent, named: true}
	days := &grid{title: "Records with a fault, by day, in %", rowsOf: "source", columnOf: fmt.Sprintf("the %d days until %s", qualityDays, t.quality.last), bounds: percent}
	from := t.quality.last - qualityDays + 1
	for day := from; day <= t.quality.last; day++ {
		days.columns = append(days.columns, day.String()[8:])
	}
	of := table{Head: append([]string{"source", "first day", "last day", "records", "without a fault"}, faults[:]...)}
	for _, name := range t.quality.names() {
		s := t.quality.sources[name]
		row := []string{name, s.first.String(), s.last.String(), count(s.records), exact(s.score())}
		var cells, daily []cell
		for i, n := range s.faults {
			share := ofAll(float64(n), float64(s.records))
			cells = append(cells, cell{value: share, label: percent(share), blank: n == 0, tip: fmt.Sprintf("%s: %s of %s records %s", name, count(n), count(s.records), faults[i])})
			row = append(row, count(n))
		}
		for day := from; day <= t.quality.last; day++ {
			c := s.days[day]
			if c == nil || c.records == 0 {
				daily = append(daily, cell{blank: true, tip: fmt.Sprintf("%s, %s: no records", name, day)})
				continue
			}
			share := 1 - c.score()
			label := strings.TrimSuffix(percent(share), "%")
			if share == 0 {
				label = "·" // 28 zeros beside each other would be read as one number
			}
			daily = append(daily, cell{value: share, label: label, blank: share == 0, tip: fmt.Sprintf("%s, %s: %s of %s records with a fault", name, day, exact(share), count(c.records))})
		}
		for _, g := range []*grid{kinds, days} {
			g.rows = append(g.rows, name)
		}
		kinds.cells, days.cells = append(kinds.cells, cells), append(days.cells, daily)
		of.Rows = append(of.Rows, row)
	}
	f.panels, f.Tables = []panel{kinds, days}, []table{of}
	f.Notes = append(f.Notes, "By day, a dot is a day without a fault, and an empty cell one without records. Where there is no room for the shares, only shades are shown.")
	return f
}

func (t *tally) doubtfulFigure() figure {
	f := figure{
		ID: "customer_quality", Title: "Data quality by customer", Terms: t.at() + " · score: (1 + orders) / (1 + orders + records with a fault) · counted facts, no model and no horizon",
		Says: "How far the facts of customers can be trusted: those with something wrong in any record of theirs, by score, and under the numbers the " + plain(worstCustomers) + " of whom the least can be trusted.",
	}
	d := &t.doubtful
	switch {
	case t.tables.Table("customers") == nil:
		f.Empty = without("customers")
		return f
	case d.scored == 0:
		f.Empty = "No customer has a score: nobody is known, or the snapshot is of a build that did not count customers' faults. Take it anew."
		return f
	case d.below[0] == [2]int64{}:
		f.Empty = "No record of any customer had a fault: all have a score of 1. There is nothing to do."
		return f
	}
	legend := [2]string{"have bought", "have not bought"}
	drawn := &bars{title: "Customers with a fault, by score", legend: legend, format: func(v float64) string { return short(v) }}
	below := table{Title: "By score", Head: []string{"score below", "customers", "of all", legend[0], legend[1]}}
	for i, bound := range scoreBounds {
		in, from := d.below[i], 0.0
		if i+1 < len(scoreBounds) {
			from = scoreBounds[i+1]
			in[0], in[1] = in[0]-d.below[i+1][0], in[1]-d.below[i+1][1]
		}
		label := plain(from) + " to " + plain(bound)
		drawn.bars = append(drawn.bars, bar{label, [2]float64{float64(in[0]), float64(in[1])}, fmt.Sprintf("score of %s: %s who have bought and %s who have not", label, count(in[0]), count(in[1]))})
		all := d.below[i][0] + d.below[i][1]
		below.Rows = append(below.Rows, []string{plain(bound), count(all), exact(ofAll(float64(all), float64(d.scored))), count(d.below[i][0]), count(d.below[i][1])})
	}
	worst := table{Title: "The lowest scores", Head: append([]string{"customer", "score", "orders"}, faults[:]...)}
	for i := range d.worst {
		c := &d.worst[i]
		row := []string{c.CustomerID, fmt.Sprintf("%.3f", c.DataQuality), count(c.Orders)}
		for _, n := range [...]int64{c.Invalid, c.MissingField, c.UnknownCurrency, c.ClockSkewed, c.Duplicate, c.Late} {
			row = append(row, count(n))
		}
		worst.Rows = append(worst.Rows, row)
	}
	f.Notes = []string{fmt.Sprintf("%s of %s customers have a score of 1: nothing was wrong with any record of theirs.", count(d.scored-d.below[0][0]-d.below[0][1]), count(d.scored))}
	f.panels, f.Tables = []panel{drawn}, []table{below, worst}
	return f
}
