package clv_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/score"
	"lull/schemas"
)

// TestRiskAfterOrder proves that what triggers say of an order now is what one makes of the customer, at any time of day, on the day of the last purchase too, and where clocks change.
func TestRiskAfterOrder(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	calendar := schemas.DayStarts(berlin)
	changed, unchanged := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		family := rapid.SampledFrom([]string{"mbgnbd", "bgnbd"}).Draw(t, "family")
		s := newStory(cdnow(family))
		config := defaults().Score
		config.Day = schemas.Days(berlin)
		op := score.New(config)
		at := operators.EventTime(9_000 * operators.DayMs)
		order := func(i int) {
			e := &operators.Event{Kind: operators.OrderCompleted, Customer: "c", ID: fmt.Sprint("e", i), OrderID: fmt.Sprint("o", i), Time: at, Amount: 3000}
			e.Day, e.DayStart = calendar(at)
			s.Event(e)
		}
		n := rapid.IntRange(1, 8).Draw(t, "orders")
		for i := range n {
			order(i)
			at += operators.EventTime(rapid.OneOf(rapid.Int64Range(0, operators.DayMs), rapid.Int64Range(0, 200*operators.DayMs)).Draw(t, "until the next"))
		}
		s.jump(at)
		before := op.Evaluate(&s.Customer.Purchases, s.Env.Model, at)
		known := s.Customer.Purchases
		order(n)
		p := &s.Customer.Purchases
		after := op.Evaluate(p, s.Env.Model, at)
		if before.RiskAfterOrder != after.Risk() {
			t.Fatalf("at %s an order is said to take churn risk from %v to %v; it takes it to %v", at, before.Risk(), before.RiskAfterOrder, after.Risk())
		}
		if before.BoughtToday != (p.Count == known.Count) {
			t.Fatalf("at %s they are said to have bought today: %v; of %d purchases the order makes %d", at, before.BoughtToday, known.Count, p.Count)
		}
		if p.Count == known.Count {
			unchanged++
			if before.Risk() != after.Risk() {
				t.Fatalf("at %s a second order of the day takes churn risk from %v to %v", at, before.Risk(), after.Risk())
			}
			return
		}
		changed++
		midnight := op.Evaluate(p, s.Env.Model, p.FirstStart+operators.EventTime(p.LastAge())*operators.DayMs)
		if got := op.RiskAfterPurchase(&known, s.Env.Model); got != midnight.Risk() {
			t.Fatalf("a purchase is said to take churn risk to %v; it takes it to %v", got, midnight.Risk())
		}
	})
	if changed == 0 || unchanged == 0 {
		t.Errorf("%d orders made a purchase of their own, %d none", changed, unchanged)
	}
}
