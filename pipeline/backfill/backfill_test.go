package backfill_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/backfill"
	"lull/schemas"
)

func open(t *testing.T, ordersMax int) *backfill.Run {
	t.Helper()
	s := pipeline.Settings{Limits: pipeline.LimitSettings{Orders: ordersMax}}
	s.EnsureDefaults()
	run, err := backfill.Open(backfill.Config{Dir: filepath.Join(t.TempDir(), "state"), Chain: s.Chain(), Decoder: schemas.DecoderConfig{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := run.Close(); err != nil {
			t.Error(err)
		}
	})
	return run
}

func encode(t *testing.T, e *operators.Event) []byte {
	t.Helper()
	value, err := schemas.EncodeEvent(nil, e, "USD")
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// orders are a year of orders of a few customers, some on one day, some refunded or cancelled later.
func orders() []operators.Event {
	r := rand.New(rand.NewPCG(1, 2))
	var events []operators.Event
	var open []operators.Event
	for i := range 400 {
		at := operators.EventTime(i) * operators.DayMs * 9 / 10
		e := operators.Event{
			Kind: operators.OrderCompleted, ID: fmt.Sprint("m", i), OrderID: fmt.Sprint("o", i), Customer: fmt.Sprint("c", r.IntN(6)), Time: at, Amount: operators.Money(r.IntN(9000)),
		}
		if len(open) > 0 && r.IntN(5) == 0 {
			of := open[r.IntN(len(open))]
			e.Kind, e.OrderID, e.Customer = operators.OrderCancelled, of.OrderID, of.Customer
			if r.IntN(2) == 0 {
				e.Kind, e.Amount = operators.OrderRefunded, of.Amount/3
			}
		} else {
			open = append(open, e)
		}
		events = append(events, e)
	}
	return events
}

// TestSummaries: what a run says of customers is what can be counted in the events, and does not depend on where transactions end.
func TestSummaries(t *testing.T) {
	events := orders()
	type order struct {
		customer         string
		day              operators.Day
		amount, refunded operators.Money
		cancelled        bool
	}
	known := make(map[string]*order)
	for i := range events {
		e := &events[i]
		switch o := known[e.OrderID]; e.Kind {
		case operators.OrderCompleted:
			known[e.OrderID] = &order{customer: e.Customer, day: operators.Day(e.Time / operators.DayMs), amount: e.Amount}
		case operators.OrderCancelled:
			o.cancelled = true
		case operators.OrderRefunded:
			o.refunded += e.Amount
		}
	}
	days, net := make(map[string]map[operators.Day]bool), make(map[string]operators.Money)
	for _, o := range known {
		if o.cancelled {
			continue
		}
		if days[o.customer] == nil {
			days[o.customer] = make(map[operators.Day]bool)
		}
		days[o.customer][o.day] = true
		net[o.customer] += max(0, o.amount-o.refunded)
	}
	var before map[string]operators.Purchases
	for _, every := range []int{1, 7, 1000} {
		run, now := open(t, 0), make(map[string]operators.Purchases)
		take := func(c *operators.Customer) { now[c.ID] = c.Purchases }
		for i := range events {
			rejection, err := run.Apply(events[i].Customer, encode(t, &events[i]))
			if err != nil || rejection != nil {
				t.Fatal(err, rejection)
			}
			if i%every == 0 {
				if err := run.Commit(take); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := run.Commit(take); err != nil {
			t.Fatal(err)
		}
		for customer, p := range now {
			if int(p.Count) != len(days[customer]) || p.Net != net[customer] {
				t.Errorf("commits every %d: %s has %d purchases of %d, want %d of %d", every, customer, p.Count, p.Net, len(days[customer]), net[customer])
			}
		}
		if len(now) != len(days) || before != nil && !reflect.DeepEqual(now, before) {
			t.Errorf("commits every %d: %v, with others %v", every, now, before)
		}
		before = now
	}
}

// TestRefused: a record that the pipeline would put into the dead letters is refused, by the decoder or by the chain, and those after it are applied.
func TestRefused(t *testing.T) {
	run := open(t, 1)
	good := operators.Event{Kind: operators.OrderCompleted, ID: "1", OrderID: "o", Customer: "ann", Time: operators.DayMs, Amount: 100}
	yen, err := schemas.EncodeEvent(nil, &good, "JPY")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		value []byte
		want  string
	}{{yen, "JPY"}, {[]byte("no event"), ""}} {
		rejection, err := run.Apply("ann", c.value)
		if err != nil || rejection == nil || !strings.Contains(rejection.Detail, c.want) {
			t.Errorf("record %d: %v, %v", i, rejection, err)
		}
	}
	if rejection, err := run.Apply("ann", encode(t, &good)); rejection != nil || err != nil {
		t.Error(rejection, err)
	}
	more := good
	more.ID, more.OrderID = "2", "another"
	if rejection, err := run.Apply("ann", encode(t, &more)); err != nil || rejection == nil || rejection.Reason != "order_limit" {
		t.Errorf("beyond the limit of orders: %v, %v", rejection, err)
	}
	count := uint32(0)
	if err := run.Commit(func(c *operators.Customer) { count += c.Purchases.Count }); err != nil || count != 1 {
		t.Errorf("%d purchases, %v", count, err)
	}
}
