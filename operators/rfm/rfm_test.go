package rfm_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/optest"
	"lull/operators/orders"
	"lull/operators/rfm"
)

func newOperator(config rfm.Config) *rfm.Operator {
	config.EnsureDefaults()
	if err := config.Validate(); err != nil {
		panic(err)
	}
	return rfm.New(config)
}

// feed stands for the orders: it hands on a change of one order's contribution.
type feed struct{ was, is operators.Contribution }

func (*feed) Name() string { return "feed" }

func (*feed) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

func (f *feed) Step(_ *operators.Env, c *operators.Customer, _ *operators.Input, _ *operators.Outbox) {
	c.Changed.Orders, c.Changed.OrderWas, c.Changed.OrderIs = f.was != f.is, f.was, f.is
}

// summarise returns the purchase days and their summary, from nothing but the orders' contributions.
func summarise(contributions []operators.Contribution) ([]operators.PurchaseDay, operators.Purchases) {
	byDay := map[operators.Day]*operators.PurchaseDay{}
	for _, c := range contributions {
		if !c.Counts {
			continue
		}
		if byDay[c.Day] == nil {
			byDay[c.Day] = &operators.PurchaseDay{Day: c.Day, DayStart: c.DayStart}
		}
		byDay[c.Day].Orders++
		byDay[c.Day].Net += c.Net
	}
	var days []operators.PurchaseDay
	var p operators.Purchases
	for _, day := range slices.Sorted(maps.Keys(byDay)) {
		d := *byDay[day]
		if len(days) == 0 {
			p.First, p.FirstStart, p.FirstNet = d.Day, d.DayStart, d.Net
		}
		days = append(days, d)
		p.Count++
		p.Last = d.Day
		p.Net += d.Net
		p.Orders += d.Orders
	}
	return days, p
}

// storedDays returns all days, those of the pages first, and checks that each lies where it should.
func storedDays(t *rapid.T, r *optest.Runner, kept int) []operators.PurchaseDay {
	d := &r.Customer.Days
	if names := r.Parts.Names("d"); len(names) != len(d.Pages) || !slices.IsSorted(d.Pages) {
		t.Fatalf("the pages are %v, of which there are %v", d.Pages, names)
	}
	if len(d.Newest) > kept || len(d.Newest) == 0 && len(d.Pages) > 0 {
		t.Fatalf("the record holds %d days besides %d pages", len(d.Newest), len(d.Pages))
	}
	var days []operators.PurchaseDay
	for _, page := range d.Pages {
		onPage, err := operators.DecodeDays(r.Parts.Value(fmt.Sprintf("d%d", page)))
		if err != nil || len(onPage) == 0 {
			t.Fatalf("page %d has %d days, error %v", page, len(onPage), err)
		}
		for _, day := range onPage {
			if int32(day.Day) < 256*page || int32(day.Day) > 256*page+255 {
				t.Fatalf("day %d lies on page %d", day.Day, page)
			}
		}
		days = append(days, onPage...)
	}
	return append(days, d.Newest...)
}

func drawContribution(t *rapid.T) operators.Contribution {
	if rapid.IntRange(0, 2).Draw(t, "gone") == 0 {
		return operators.Contribution{}
	}
	day := operators.Day(rapid.OneOf(rapid.IntRange(-4, 4), rapid.IntRange(-600, 600)).Draw(t, "day"))
	// A time zone east of Greenwich, where days begin earlier than in UTC.
	start := operators.EventTime(day)*operators.DayMs - 3_600_000
	return operators.Contribution{Counts: true, Day: day, DayStart: start, Net: operators.Money(rapid.IntRange(0, 100).Draw(t, "net"))}
}

// TestAgainstRecomputation proves that after every change of an order the days and their summary are those of all orders' contributions, with
// days in the record and on several pages, before and after 1970, and first and last days cancelled.
func TestAgainstRecomputation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kept := rapid.SampledFrom([]int{1, 2, 16}).Draw(t, "kept")
		orders := &feed{}
		r := optest.NewRunner(orders, newOperator(rfm.Config{DaysKept: kept}))
		contributions := make([]operators.Contribution, rapid.IntRange(1, 3*kept+3).Draw(t, "orders"))
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			i := rapid.IntRange(0, len(contributions)-1).Draw(t, "order")
			orders.was, orders.is = contributions[i], drawContribution(t)
			contributions[i] = orders.is
			r.Step(operators.Input{Kind: operators.ModelInput})
			days, purchases := summarise(contributions)
			if got := storedDays(t, r, kept); !slices.Equal(got, days) {
				t.Fatalf("the days are\n%v, want\n%v", got, days)
			}
			if r.Customer.Purchases != purchases {
				t.Fatalf("the summary is\n%+v, want\n%+v", r.Customer.Purchases, purchases)
			}
		}
	})
}

// TestAnyArrivalOrder proves that the same events in two orders of arrival, duplicates among them, end in the same purchases, through the
// ledger and with both records full.
func TestAnyArrivalOrder(t *testing.T) {
	kinds := []operators.EventKind{
		operators.OrderCompleted, operators.OrderCompleted, operators.OrderCompleted,
		operators.OrderUpdated, operators.OrderRefunded, operators.OrderCancelled,
	}
	rapid.Check(t, func(t *rapid.T) {
		var events []operators.Event
		for i := range rapid.IntRange(1, 100).Draw(t, "events") {
			day := operators.Day(rapid.IntRange(0, 1000).Draw(t, "day"))
			start := operators.EventTime(day) * operators.DayMs
			e := operators.Event{
				Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), ID: fmt.Sprintf("m%d", i), Customer: "c",
				Time: start + operators.EventTime(rapid.IntRange(0, operators.DayMs-1).Draw(t, "time")), Day: day, DayStart: start,
				OrderID: fmt.Sprintf("o%d", rapid.IntRange(0, 40).Draw(t, "order")), Amount: operators.Money(rapid.IntRange(0, 1000).Draw(t, "amount")),
			}
			if e.Kind == operators.OrderRefunded {
				e.RefundID = rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "refund")
				e.Whole = rapid.Bool().Draw(t, "whole")
			}
			events = append(events, e)
		}
		events = append(events, events[:len(events)/4]...)
		purchases := func(arrivals []operators.Event, kept int) operators.Purchases {
			ledger := orders.Config{OrdersKept: kept}
			ledger.EnsureDefaults()
			r := optest.NewRunner(orders.New(ledger), newOperator(rfm.Config{DaysKept: kept}))
			for i := range arrivals {
				if refused := r.Event(&arrivals[i]); refused != "" {
					t.Fatalf("%+v was refused: %s", arrivals[i], refused)
				}
			}
			return r.Customer.Purchases
		}
		one := purchases(events, 256)
		other := purchases(rapid.Permutation(events).Draw(t, "arrivals"), rapid.SampledFrom([]int{1, 2, 16}).Draw(t, "kept"))
		if one != other {
			t.Fatalf("in one order %+v\nin another %+v", one, other)
		}
	})
}

// TestOrdinaryPathReadsNoParts proves that a purchase on a new or a recent day reads no page, however many there are, and that a full record
// costs one read and one write of a page.
func TestOrdinaryPathReadsNoParts(t *testing.T) {
	orders := &feed{}
	r := optest.NewRunner(orders, newOperator(rfm.Config{DaysKept: 2}))
	buy := func(day operators.Day) {
		orders.was, orders.is = operators.Contribution{}, operators.Contribution{Counts: true, Day: day, DayStart: operators.EventTime(day) * operators.DayMs}
		r.Step(operators.Input{Kind: operators.ModelInput})
	}
	buy(0)
	buy(300)
	buy(300)
	if r.Parts.Gets+r.Parts.Sets != 0 {
		t.Errorf("%d reads and %d writes of pages before there are any", r.Parts.Gets, r.Parts.Sets)
	}
	buy(600)
	buy(600)
	if r.Parts.Gets != 0 || r.Parts.Sets != 1 {
		t.Errorf("%d reads and %d writes of pages; want none and the one of day 0", r.Parts.Gets, r.Parts.Sets)
	}
	buy(601)
	buy(602)
	buy(603)
	if r.Parts.Gets != 1 || r.Parts.Sets != 4 {
		t.Errorf("%d reads and %d writes of pages; want that of the page of day 600, when 601 joins it, and the four of days 0, 300, 600, 601",
			r.Parts.Gets, r.Parts.Sets)
	}
	orders.was = operators.Contribution{Counts: true, Day: 300, DayStart: 300 * operators.DayMs}
	orders.is = orders.was
	orders.is.Net = 100
	r.Step(operators.Input{Kind: operators.ModelInput})
	if r.Parts.Gets != 2 || r.Parts.Sets != 5 {
		t.Errorf("%d reads and %d writes of pages; want one more of each for an amount on an older day", r.Parts.Gets, r.Parts.Sets)
	}
}

// TestCorruptPages proves that pages that are missing or do not decode are a panic, of which the runtime makes a dead letter.
func TestCorruptPages(t *testing.T) {
	for want, spoil := range map[string]func(*optest.Parts){
		"reading page 0 of purchase days: corrupt state": func(p *optest.Parts) { p.Set("d0", []byte{99}) },
		"page 0 of purchase days is missing":             func(p *optest.Parts) { p.Delete("d0") },
		"the purchase day 1970-01-02 is missing":         func(p *optest.Parts) { p.Set("d0", operators.AppendDays(nil, nil)) },
	} {
		t.Run(want, func(t *testing.T) {
			orders := &feed{}
			r := optest.NewRunner(orders, newOperator(rfm.Config{DaysKept: 1}))
			for _, day := range []operators.Day{1, 2} {
				orders.was, orders.is = operators.Contribution{}, operators.Contribution{Counts: true, Day: day}
				r.Step(operators.Input{Kind: operators.ModelInput})
			}
			spoil(r.Parts)
			defer func() {
				if err, _ := recover().(error); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want an error with %q", err, want)
				}
			}()
			orders.was, orders.is = operators.Contribution{Counts: true, Day: 1}, operators.Contribution{}
			r.Step(operators.Input{Kind: operators.ModelInput})
		})
	}
}

// TestValidate proves that an error names the field and its value.
func TestValidate(t *testing.T) {
	for _, n := range []int{-1, 257} {
		config := rfm.Config{DaysKept: n}
		config.EnsureDefaults()
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("DaysKept is %d", n)) {
			t.Errorf("got %v", err)
		}
	}
}
