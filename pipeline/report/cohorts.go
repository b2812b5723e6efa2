package report

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/score"
	"lull/pipeline/backtest"
	"lull/pipeline/snapshot"
)

// span is a kind of period that cohorts are made of.
type span struct {
	name  string
	index func(day time.Time) int // of the period that a day lies in: the next period has the next number
	start func(index int) time.Time
}

// spans are the periods, from short to long. Weeks begin on Mondays; day 4 was the first after the epoch.
var spans = [...]span{
	{"week", func(d time.Time) int { return int(math.Floor(float64(d.Unix()/86400-4) / 7)) }, func(i int) time.Time { return time.Unix(int64(i*7+4)*86400, 0).UTC() }},
	{"month", monthOf, startOfMonth},
	{"quarter", func(d time.Time) int { return monthOf(d) / 3 }, func(i int) time.Time { return startOfMonth(3 * i) }},
	{"year", func(d time.Time) int { return d.Year() }, func(i int) time.Time { return startOfMonth(12 * i) }},
}

func monthOf(d time.Time) int { return 12*d.Year() + int(d.Month()) - 1 }
func startOfMonth(index int) time.Time {
	return time.Date(0, time.Month(index+1), 1, 0, 0, 0, 0, time.UTC)
}
func timeOf(day operators.Day) time.Time { return time.Unix(int64(day)*86400, 0).UTC() }

// cohortsMax is how many cohorts and ages are shown.
const cohortsMax = 18

// cohorts are customers by the period of their first purchase, and what became of them by the number of periods since.
type cohorts struct {
	span    span
	first   int // index of the period of the first cohort
	cells   [][]cohortCell
	sizes   []int64
	earlier int64 // customers of earlier cohorts, which are not shown
}

// cohortCell is what a cohort did in one period.
type cohortCell struct {
	bought int64   // customers
	net    float64 // what all orders that count have brought
}

// newCohorts returns the cohorts of the shortest periods of which at most cohortsMax lie between the first purchase day and the last day of the snapshot.
func newCohorts(first, last time.Time) *cohorts {
	c := &cohorts{}
	for _, c.span = range spans {
		if c.span.index(last)-c.span.index(first) < cohortsMax {
			break
		}
	}
	c.first = max(c.span.index(first), c.span.index(last)-cohortsMax+1)
	n := c.span.index(last) - c.first + 1
	c.sizes, c.cells = make([]int64, n), make([][]cohortCell, n)
	for i := range c.cells {
		c.cells[i] = make([]cohortCell, n-i)
	}
	return c
}

// add adds a customer by their purchase days, of which there are some.
func (c *cohorts) add(days []purchaseDay) {
	cohort := c.span.index(timeOf(days[0].day)) - c.first
	if cohort < 0 {
		c.earlier++
		return
	}
	c.sizes[cohort]++
	last := -1
	for _, d := range days {
		age := c.span.index(timeOf(d.day)) - c.first - cohort
		cell := &c.cells[cohort][age]
		cell.net += d.net
		if age != last {
			cell.bought++
		}
		last = age
	}
}

// purchaseDay is a day with an order that counts.
type purchaseDay struct {
	day    operators.Day
	orders uint32
	net    float64
}

// orderRow is what is read of a row of orders.
type orderRow struct {
	CustomerID string         `parquet:"customer_id"`
	Day        *operators.Day `parquet:"day,date"`
	Completed  bool           `parquet:"completed"`
	Cancelled  bool           `parquet:"cancelled"`
	Net        float64        `parquet:"net"`
}

// readOrders walks through the orders twice: which periods there are is known when the first purchase is.
func (t *tally) readOrders(ctx context.Context, tables *snapshot.Tables) error {
	var first, last operators.Day
	some := false
	err := snapshot.Rows(ctx, tables, "orders", func(o *struct {
		Day       *operators.Day `parquet:"day,date"`
		Completed bool           `parquet:"completed"`
		Cancelled bool           `parquet:"cancelled"`
	}) error {
		if o.Day == nil || !o.Completed || o.Cancelled {
			return nil
		}
		if !some {
			first, last, some = *o.Day, *o.Day, true
		}
		first, last = min(first, *o.Day), max(last, *o.Day)
		return nil
	})
	if err != nil || !some {
		return err
	}
	t.cohorts = newCohorts(timeOf(first), timeOf(max(last, t.day(t.asOf-1))))
	t.sample.first = first
	id, days := "", []purchaseDay(nil)
	flush := func() {
		if len(days) > 0 {
			t.cohorts.add(days)
			t.sample.add(id, days)
		}
		days = days[:0]
	}
	err = snapshot.Rows(ctx, tables, "orders", func(o *orderRow) error {
		if o.CustomerID != id {
			flush()
			id = o.CustomerID
		}
		switch n := len(days); {
		case o.Day == nil || !o.Completed || o.Cancelled:
		case n > 0 && days[n-1].day == *o.Day: // a customer's orders are in the order of time
			days[n-1].orders, days[n-1].net = days[n-1].orders+1, days[n-1].net+o.Net
		default:
			days = append(days, purchaseDay{*o.Day, 1, o.Net})
		}
		return nil
	})
	flush()
	return err
}

// sampleMax is how many customers the backtest is made of at most: what is held of each is their purchase days.
const sampleMax = 20_000

// sample are customers chosen by a hash of their id, so that it is the same ones each time: all, or a half, a quarter and so on, as many as are not too many.
type sample struct {
	first operators.Day // of all purchases
	shift uint          // one in 1 << shift is taken
	seen  int64
	taken []sampled
}

type sampled struct {
	id   string
	hash uint64
	days []purchaseDay
}

func (s *sample) add(id string, days []purchaseDay) {
	s.seen++
	hash := xxhash.Sum64String(id)
	if hash>>(64-s.shift) != 0 {
		return
	}
	s.taken = append(s.taken, sampled{id, hash, slices.Clone(days)})
	for len(s.taken) > sampleMax {
		s.shift++
		s.taken = slices.DeleteFunc(s.taken, func(c sampled) bool { return c.hash>>(64-s.shift) != 0 })
	}
}

// What a backtest needs at the least to say anything.
const (
	backtestCustomers = 100 // who had bought by the end of calibration
	backtestDays      = 84  // from the first purchase to the snapshot
)

// rehearsed is a backtest of the snapshot's own past.
type rehearsed struct {
	result *backtest.Result
	family bgnbd.Family
	known  int // customers of the sample who had bought by the end of calibration
	sample *sample
}

// rehearse judges the model's kind on the orders that the snapshot has: it is fitted to the first two thirds of the days, and predicts the others, but no further than the horizon. missing says what there is too little of.
func (t *tally) rehearse() (r *rehearsed, missing string, err error) {
	if t.tables.Table("orders") == nil {
		return nil, without("orders"), nil
	}
	if t.manifest.Model != nil && t.model == nil { // its family is judged
		return nil, without("models"), nil
	}
	if t.cohorts == nil {
		return nil, "No order counts yet.", nil
	}
	last := t.day(t.asOf) - 1 // the last that is over
	span := int(last - t.sample.first + 1)
	if span < backtestDays {
		return nil, fmt.Sprintf("A backtest needs %d days from the first purchase on, and there are %d: it says something from %s on.", backtestDays, max(span, 0), t.sample.first+backtestDays), nil
	}
	holdout := min(span/3, int(t.manifest.Terms.HorizonDays))
	periods := backtest.Periods{First: t.sample.first, Calibrate: last - operators.Day(holdout), Holdout: last}
	terms := &t.manifest.Terms
	config := backtest.Config{AsOf: operators.EventTime(int64(periods.Calibrate) * operators.DayMs), Score: score.Config{
		DiscountMonthly: terms.DiscountMonthly, MarginShare: terms.Margin, ContactDays: terms.ContactDays, Currency: terms.Currency, MinorPerMajor: minorPerMajor,
	}}
	config.Score.EnsureDefaults()
	r = &rehearsed{sample: &t.sample}
	if t.model != nil {
		if r.family, err = bgnbd.ParseFamily(t.model.Family); err != nil {
			return nil, "", fmt.Errorf("the model %q: %w", t.model.Version, err)
		}
	}
	config.Families = []bgnbd.Family{r.family}
	past := &backtest.Past{Periods: periods}
	for i := range t.sample.taken {
		c := &t.sample.taken[i]
		var days []backtest.PurchaseDay
		for _, d := range c.days {
			days = append(days, backtest.PurchaseDay{Day: d.day, Orders: d.orders, Net: operators.Money(math.Round(d.net * minorPerMajor))})
		}
		if divided := periods.Divide(c.id, days); divided.Calibrated.Count > 0 {
			past.Customers = append(past.Customers, divided)
		}
	}
	slices.SortFunc(past.Customers, func(a, b backtest.Customer) int { return cmp.Compare(a.ID, b.ID) })
	if r.known = len(past.Customers); r.known < backtestCustomers {
		return nil, fmt.Sprintf("A backtest needs %d customers who had bought by %s, the end of calibration, and there are %d.", backtestCustomers, periods.Calibrate, r.known), nil
	}
	r.result, err = config.Judge(past)
	if err != nil {
		return nil, fmt.Sprintf("The backtest could not be made: %v.", err), nil
	}
	return r, "", nil
}

// minorPerMajor is in what the backtest counts money: no currency has more minor units to a major one.
const minorPerMajor = 1000
