package backtest_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/pipeline"
	"lull/pipeline/backfill"
	"lull/pipeline/backtest"
	"lull/schemas"
)

// order is a row of a shop's file.
type order struct {
	customer string
	day      operators.Day
	cents    operators.Money
}

// shop makes the orders of customers who begin in the first 60 days and go on with intervals of their own, some for a while only; in order of time.
func shop(seed uint64, customers int, days operators.Day) []order {
	r := rand.New(rand.NewPCG(seed, 0))
	var all []order
	for c := range customers {
		day, interval, left := operators.Day(r.IntN(60)), 3+r.ExpFloat64()*20, 1+r.IntN(12)
		for ; day <= days && left > 0; left-- {
			all = append(all, order{fmt.Sprint("c", c), day, operators.Money(500 + r.IntN(5000))})
			day += operators.Day(1 + r.ExpFloat64()*interval)
		}
	}
	sorted := make([]order, 0, len(all))
	for d := range days + 1 {
		for _, o := range all {
			if o.day == d {
				sorted = append(sorted, o)
			}
		}
	}
	return sorted
}

func follow(t *testing.T, orders []order, periods backtest.Periods) (*backtest.Past, *backtest.Config) {
	t.Helper()
	var s pipeline.Settings
	s.EnsureDefaults()
	run, err := backfill.Open(backfill.Config{Dir: filepath.Join(t.TempDir(), "state"), Chain: s.Chain(), Decoder: schemas.DecoderConfig{}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := run.Close(); err != nil {
			t.Error(err)
		}
	}()
	past, err := backtest.Follow(run, func(yield func(*backtest.Record) bool) {
		for i, o := range orders {
			e := operators.Event{
				Kind: operators.OrderCompleted, Customer: o.customer, ID: fmt.Sprint(i), OrderID: fmt.Sprint(i), Amount: o.cents,
				Time: operators.EventTime(o.day)*operators.DayMs + operators.EventTime(i%86_400_000),
			}
			value, err := schemas.EncodeEvent(nil, &e, "USD")
			if err != nil {
				t.Fatal(err)
			}
			if !yield(&backtest.Record{Customer: o.customer, Day: o.day, Value: value, Row: int64(i), Line: i}) {
				return
			}
		}
	}, periods)
	if err != nil {
		t.Fatal(err)
	}
	return past, &backtest.Config{
		Families: []bgnbd.Family{bgnbd.MBGNBD}, Score: s.Chain().Score, AsOf: operators.EventTime(periods.Calibrate) * operators.DayMs,
	}
}

func judge(t *testing.T, orders []order, periods backtest.Periods) (*backtest.Past, *backtest.Result) {
	t.Helper()
	past, config := follow(t, orders, periods)
	result, err := config.Judge(past)
	if err != nil {
		t.Fatal(err)
	}
	return past, result
}

var year = backtest.Periods{First: 0, Calibrate: 200, Holdout: 300}

// TestPeriods: what is known of customers at the ends of the periods is what can be counted in the orders, both ends inclusive, and so are the weeks'
// totals. Who comes in the holdout is left out.
func TestPeriods(t *testing.T) {
	orders := append(shop(1, 300, 298), order{"late", 299, 100}, order{"late", 300, 100}, order{"c1", 301, 100})
	count := func(customer string, until operators.Day) (days int, net operators.Money) {
		seen := make(map[operators.Day]bool)
		for _, o := range orders {
			if (customer == "" || o.customer == customer) && o.day <= until {
				seen[o.day] = true
				net += o.cents
			}
		}
		return len(seen), net
	}
	past, _ := follow(t, orders, year)
	if len(past.Customers) < 290 {
		t.Errorf("%d customers", len(past.Customers))
	}
	for _, c := range past.Customers {
		if c.ID == "late" {
			t.Error("who came in the holdout is among the customers")
		}
		for _, at := range []struct {
			until operators.Day
			got   operators.Purchases
		}{{100, c.Rehearsed}, {200, c.Calibrated}, {300, c.Completed}} {
			if days, net := count(c.ID, at.until); int(at.got.Count) != days || at.got.Net != net {
				t.Errorf("%s until %d: %d purchases of %d, want %d of %d", c.ID, at.until, at.got.Count, at.got.Net, days, net)
			}
		}
	}
	if last := past.Weeks[len(past.Weeks)-1]; last.Until != 300 || len(past.Weeks) != 43 || past.Weeks[0].Until != 6 {
		t.Errorf("weeks %+v", past.Weeks)
	}
	for _, week := range past.Weeks {
		repeats := 0
		for _, c := range past.Customers {
			days, _ := count(c.ID, week.Until)
			repeats += max(0, days-1)
		}
		if week.Repeats != repeats {
			t.Errorf("until %d: %d repeat purchases, want %d", week.Until, week.Repeats, repeats)
		}
	}
}

// TestNothingLeaks: whatever happens in the holdout, the fit, the predictions and the cut-off stay the same; only how they are judged does not.
func TestNothingLeaks(t *testing.T) {
	orders := shop(2, 400, 300)
	var silent, wild []order
	for _, o := range orders {
		if o.day <= year.Calibrate {
			silent, wild = append(silent, o), append(wild, o)
		}
	}
	for i := range 500 {
		wild = append(wild, order{fmt.Sprint("c", i*7%400), year.Calibrate + 1 + operators.Day(i/10), 99_900})
	}
	_, want := judge(t, orders, year)
	for what, changed := range map[string][]order{"silent": silent, "wild": wild} {
		_, got := judge(t, changed, year)
		if !reflect.DeepEqual(got.Models, want.Models) || !reflect.DeepEqual(got.Predictions, want.Predictions) || got.Churn.Silence.CutoffDays != want.Churn.Silence.CutoffDays {
			t.Errorf("%s: another holdout gives other predictions", what)
		}
		if reflect.DeepEqual(got.Transactions, want.Transactions) || reflect.DeepEqual(got.Churn.Model, want.Churn.Model) {
			t.Errorf("%s: another holdout is judged the same", what)
		}
	}
}

// TestUnusualShops: nobody comes back, nobody spends, one customer only, a repeater who spends nothing.
func TestUnusualShops(t *testing.T) {
	var once []order
	for i := range 50 {
		once = append(once, order{fmt.Sprint("c", i), operators.Day(i), 1000 + operators.Money(i)})
	}
	_, r := judge(t, append(once, order{"c1", 250, 700}), year)
	if !r.Models.SpendOfFirst || !r.Models.Purchases.Prior || !r.Models.Purchases.Converged {
		t.Errorf("nobody came back: %+v", r.Models)
	}
	for _, p := range r.Predictions {
		for _, v := range []float64{p.PAlive, p.Buys, p.PBuy, p.Spend, p.CLV} {
			if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
				t.Fatalf("nobody came back: %+v", p)
			}
		}
		if p.Spend < 9 || p.Spend > 12 {
			t.Errorf("who spent about 10 is expected to spend %v", p.Spend)
		}
	}
	if r.Upsell.Count != 1 || r.Churn.BaseRate != 0.98 {
		t.Errorf("one came back in the holdout: %+v %+v", r.Upsell, r.Churn)
	}
	_, r = judge(t, []order{{"a", 0, 500}, {"a", 50, 0}, {"b", 3, 0}, {"b", 4, 900}, {"a", 220, 300}}, year)
	if len(r.Predictions) != 2 || math.IsNaN(r.Transactions.Model.MAE) {
		t.Errorf("two customers: %+v", r)
	}
	past, config := follow(t, []order{{"a", 0, 0}, {"b", 3, 0}, {"a", 220, 300}}, year)
	if _, err := config.Judge(past); err == nil || !strings.Contains(err.Error(), "amount 0") {
		t.Errorf("nobody spent anything: %v", err)
	}
}
