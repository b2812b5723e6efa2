package report

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"lull/operators"
	"lull/pipeline/snapshot"
	"lull/schemas"
)

// tally is what is kept of a snapshot: sums over its rows, whatever their number, and a sample of the customers for the backtest.
type tally struct {
	manifest *snapshot.Manifest
	tables   *snapshot.Tables // to tell which there are
	asOf     operators.EventTime
	day      func(operators.EventTime) operators.Day // the application's calendar

	all       sums // customers with a purchase
	customers int64
	scored    int64 // with a P(alive)
	quadrants map[string]*sums
	rfm       [5][5]sums // by the scores of recency and frequency, less 1
	groups    map[string]*sums
	rfmScored int64
	alive     [len(sinceBounds)][len(frequencyBounds)]aliveCell
	deadlines deadlines

	model      *model
	cohorts    *cohorts // nil without an order that counts
	migrations migrations
	quality    quality
	doubtful   doubtful
	sample     sample
}

// sums are those of some customers. Values are in major units.
type sums struct {
	customers                       int64
	clv, atRisk, aboutToBeLost, net float64
}

func (s *sums) add(c *customerRow) {
	s.customers++
	s.net += c.RealizedValue
	s.clv += valueOf(c.CLV)
	s.atRisk += valueOf(c.ValueAtRisk)
	s.aboutToBeLost += valueOf(c.AboutToBeLost)
}

// valueOf returns the value of a column, 0 if it is null.
func valueOf(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

// customerRow is what is read of a row of customers.
type customerRow struct {
	CustomerID    string               `parquet:"customer_id"`
	Orders        int64                `parquet:"orders"`
	Purchases     int64                `parquet:"purchases"`
	RealizedValue float64              `parquet:"realized_value"`
	Frequency     *float64             `parquet:"frequency"`
	LastAge       *float64             `parquet:"recency"`
	T             *float64             `parquet:"T"`
	RFMSince      *int32               `parquet:"rfm_recency"`
	RFMFrequency  *int32               `parquet:"rfm_frequency"`
	RFMGroup      string               `parquet:"rfm_group"`
	PAlive        *float64             `parquet:"p_alive"`
	CLV           *float64             `parquet:"clv"`
	ValueAtRisk   *float64             `parquet:"value_at_risk"`
	AboutToBeLost *float64             `parquet:"value_about_to_be_lost"`
	Quadrant      string               `parquet:"quadrant"`
	NextDeadline  *operators.EventTime `parquet:"next_deadline,timestamp(millisecond:utc)"`
	NextWhat      *string              `parquet:"next_deadline_what"`

	DataQuality     float64 `parquet:"data_quality"`
	Invalid         int64   `parquet:"invalid_records"`
	MissingField    int64   `parquet:"missing_field_records"`
	UnknownCurrency int64   `parquet:"unknown_currency_records"`
	ClockSkewed     int64   `parquet:"clock_skewed_records"`
	Duplicate       int64   `parquet:"duplicate_records"`
	Late            int64   `parquet:"late_records"`
}

// aliveCell is the customers of one cell of the matrix of P(alive).
type aliveCell struct {
	customers int64
	sum       float64 // of P(alive)
}

// What each row and column of that matrix begins with, in days since the last purchase and in purchase days after the first. It ends before the next.
var (
	sinceBounds     = [...]float64{0, 7, 14, 30, 60, 90, 180, 365, 730}
	frequencyBounds = [...]float64{0, 1, 2, 3, 4, 5, 7, 10, 15, 25}
)

// binOf returns the last of the bounds that is not above v, which is at least the first.
func binOf(bounds []float64, v float64) int {
	bin := 0
	for bin+1 < len(bounds) && v >= bounds[bin+1] {
		bin++
	}
	return bin
}

// deadlineWeeks is how many weeks of deadlines are shown.
const deadlineWeeks = 12

// deadlines are the customers by the week in which silence changes their score next.
type deadlines struct {
	weeks [deadlineWeeks]struct{ risk, value sums } // churn risk reaches a bound; CLV falls under the cut
	later sums
	never sums // without a deadline, of those who are scored
}

// valueFalls is what next_deadline_what begins with where the bound is one of value.
const valueFalls = "CLV falls"

// model is what is read of a row of models.
type model struct {
	Version      string  `parquet:"version"`
	Current      bool    `parquet:"current"`
	Family       string  `parquet:"family"`
	HighValue    float64 `parquet:"high_value"`
	FitCustomers *int64  `parquet:"fit_customers"`
}

// read reads all tables that figures are made of.
func read(ctx context.Context, tables *snapshot.Tables) (*tally, error) {
	asOf, err := time.Parse(time.RFC3339, tables.Manifest.AsOf)
	if err != nil {
		return nil, fmt.Errorf("the manifest of snapshot %s: as_of: %w", tables.Manifest.Snapshot, err)
	}
	zone, err := time.LoadLocation(tables.Manifest.Terms.Timezone) // UTC of a manifest that names none
	if err != nil {
		return nil, fmt.Errorf("the manifest of snapshot %s: timezone: %w", tables.Manifest.Snapshot, err)
	}
	t := &tally{
		manifest: tables.Manifest, tables: tables, asOf: operators.EventTime(asOf.UnixMilli()), day: schemas.Days(zone), quadrants: make(map[string]*sums), groups: make(map[string]*sums),
		quality: quality{sources: make(map[string]*sourceQuality)},
	}
	if err := snapshot.Rows(ctx, tables, "customers", t.addCustomer); err != nil {
		return nil, err
	}
	err = snapshot.Rows(ctx, tables, "models", func(m *model) error {
		if m.Current {
			current := *m
			t.model = &current
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := t.readOrders(ctx, tables); err != nil {
		return nil, err
	}
	t.migrations.begin(t.asOf, tables.Table("segment_changes"))
	if err := snapshot.Rows(ctx, tables, "segment_changes", t.migrations.add); err != nil {
		return nil, err
	}
	return t, snapshot.Rows(ctx, tables, snapshot.QualityTable, t.quality.add)
}

func (t *tally) addCustomer(c *customerRow) error {
	t.customers++
	t.doubtful.add(c)
	sumsOf(t.quadrants, c.Quadrant).add(c)
	sumsOf(t.groups, c.RFMGroup).add(c)
	if c.Purchases == 0 {
		return nil
	}
	t.all.add(c)
	if c.RFMSince != nil && c.RFMFrequency != nil && inScores(*c.RFMSince) && inScores(*c.RFMFrequency) {
		t.rfmScored++
		t.rfm[*c.RFMSince-1][*c.RFMFrequency-1].add(c)
	}
	if c.PAlive == nil {
		return nil
	}
	t.scored++
	if c.T != nil && c.LastAge != nil && c.Frequency != nil {
		cell := &t.alive[binOf(sinceBounds[:], *c.T-*c.LastAge)][binOf(frequencyBounds[:], *c.Frequency)]
		cell.customers++
		cell.sum += *c.PAlive
	}
	t.deadlines.add(c, t.asOf)
	return nil
}

func inScores(score int32) bool { return score >= 1 && score <= 5 }

// sumsOf returns the sums under a name, of which there are few.
func sumsOf(all map[string]*sums, name string) *sums {
	s := all[name]
	if s == nil {
		s = &sums{}
		all[name] = s
	}
	return s
}

func (d *deadlines) add(c *customerRow, asOf operators.EventTime) {
	if c.NextDeadline == nil {
		d.never.add(c)
		return
	}
	week := int(math.Floor(c.NextDeadline.DaysSince(asOf) / 7))
	switch {
	case week >= deadlineWeeks:
		d.later.add(c)
	case c.NextWhat != nil && len(*c.NextWhat) > len(valueFalls) && (*c.NextWhat)[:len(valueFalls)] == valueFalls:
		d.weeks[max(week, 0)].value.add(c)
	default:
		d.weeks[max(week, 0)].risk.add(c)
	}
}

// migrations are the changes of segment of the last days, by dimension.
type migrations struct {
	from  operators.EventTime
	whole bool // the table goes back to from
	moves map[string]*moves
}

// moves are the changes of one dimension.
type moves struct {
	count  map[[2]string]int64 // from, to
	atRisk map[[2]string]float64
	causes map[string]int64
	total  int64
}

// migrationDays is how far back changes are shown.
const migrationDays = 30

// begin says from when on changes count: the last days as far as the table has all of them.
func (m *migrations) begin(asOf operators.EventTime, table *snapshot.Table) {
	m.from, m.whole, m.moves = asOf-migrationDays*operators.DayMs, true, make(map[string]*moves)
	if table == nil || table.Since == nil {
		return
	}
	if since, err := time.Parse(time.RFC3339, *table.Since); err == nil && operators.EventTime(since.UnixMilli()) > m.from {
		m.from, m.whole = operators.EventTime(since.UnixMilli()), false
	}
}

// changeRow is what is read of a row of segment_changes.
type changeRow struct {
	Time        operators.EventTime `parquet:"time,timestamp(millisecond:utc)"`
	Dimension   string              `parquet:"dimension"`
	From        string              `parquet:"from_segment"`
	To          string              `parquet:"to_segment"`
	Cause       string              `parquet:"cause"`
	ValueAtRisk *float64            `parquet:"value_at_risk"`
}

func (m *migrations) add(c *changeRow) error {
	if c.Time <= m.from {
		return nil
	}
	of := m.moves[c.Dimension]
	if of == nil {
		of = &moves{count: make(map[[2]string]int64), atRisk: make(map[[2]string]float64), causes: make(map[string]int64)}
		m.moves[c.Dimension] = of
	}
	of.total++
	of.causes[c.Cause]++
	of.count[[2]string{c.From, c.To}]++
	of.atRisk[[2]string{c.From, c.To}] += valueOf(c.ValueAtRisk)
	return nil
}

// faults are the columns of data_quality that count what was wrong, and what a person calls it.
var faults = [...]string{"invalid", "missing field", "unknown currency", "clock skewed", "duplicate", "late"}

// counts are records, and by what was wrong with some of them.
type counts struct {
	records int64
	faults  [len(faults)]int64
}

func (c *counts) add(q *qualityRow) {
	c.records += q.Records
	for i, n := range [...]int64{q.Invalid, q.MissingField, q.UnknownCurrency, q.ClockSkewed, q.Duplicate, q.Late} {
		c.faults[i] += n
	}
}

// score returns the share of records without a fault.
func (c *counts) score() float64 {
	wrong := int64(0)
	for _, n := range c.faults {
		wrong += n
	}
	return 1 - float64(wrong)/float64(max(c.records, 1))
}

// scoreBounds are what scores of customers' quality are below, falling.
var scoreBounds = [...]float64{1, 0.9, 0.75, 0.5, 0.25}

// worstCustomers is how many customers of the lowest quality are named.
const worstCustomers = 10

// doubtful are the customers by the quality of their data.
type doubtful struct {
	scored int64                      // customers with a score: a snapshot of an earlier build has none
	below  [len(scoreBounds)][2]int64 // below each bound, of who have bought and of who have not
	worst  []customerRow              // those of the lowest, the lowest first, by id where they are the same
}

func (d *doubtful) add(c *customerRow) {
	if c.DataQuality == 0 { // above 0, if it is there
		return
	}
	d.scored++
	if c.DataQuality == 1 {
		return
	}
	kind := 0
	if c.Purchases == 0 {
		kind = 1
	}
	for i, bound := range scoreBounds {
		if c.DataQuality < bound {
			d.below[i][kind]++
		}
	}
	// Rows are in the order of ids: who comes later is behind those of the same score.
	at := len(d.worst)
	for at > 0 && d.worst[at-1].DataQuality > c.DataQuality {
		at--
	}
	if at < worstCustomers {
		d.worst = slices.Insert(d.worst, at, *c)
		d.worst = d.worst[:min(len(d.worst), worstCustomers)]
	}
}

// qualityDays is how many days are shown one by one.
const qualityDays = 28

// quality are the counts by source.
type quality struct {
	sources map[string]*sourceQuality
	last    operators.Day // the last day of any source
}

// sourceQuality are those of one source: of all days, and by day.
type sourceQuality struct {
	counts
	first, last operators.Day
	days        map[operators.Day]*counts // the last qualityDays at most
}

// qualityRow is what is read of a row of data_quality.
type qualityRow struct {
	Source          string        `parquet:"source"`
	Day             operators.Day `parquet:"day,date"`
	Records         int64         `parquet:"records"`
	Invalid         int64         `parquet:"invalid"`
	MissingField    int64         `parquet:"missing_field"`
	UnknownCurrency int64         `parquet:"unknown_currency"`
	ClockSkewed     int64         `parquet:"clock_skewed"`
	Duplicate       int64         `parquet:"duplicate"`
	Late            int64         `parquet:"late"`
}

func (q *quality) add(row *qualityRow) error {
	s := q.sources[row.Source]
	if s == nil {
		s = &sourceQuality{first: row.Day, days: make(map[operators.Day]*counts)}
		q.sources[row.Source] = s
	}
	s.counts.add(row)
	s.first, s.last = min(s.first, row.Day), max(s.last, row.Day)
	q.last = max(q.last, row.Day)
	day := s.days[row.Day]
	if day == nil {
		day = &counts{}
		s.days[row.Day] = day
		delete(s.days, row.Day-qualityDays) // rows are in the order of days
	}
	day.add(row)
	return nil
}

// names returns the names of the sources, in their order.
func (q *quality) names() (names []string) {
	for name := range q.sources {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
