package orders_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/orders"
)

// recompute returns what an order contributes, from nothing but all that was stated of it, sorted by time.
func recompute(stated []operators.Event) operators.Contribution {
	sorted := slices.Clone(stated)
	slices.SortFunc(sorted, func(a, b operators.Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(operators.Hash64(a.ID), operators.Hash64(b.ID)))
	})
	var first *operators.Event
	var amount operators.Money
	refunds := map[string]operators.Money{}
	whole, cancelled := false, false
	for i := range sorted {
		e := &sorted[i]
		switch e.Kind {
		case operators.OrderCompleted:
			if first == nil {
				first = e
			}
			amount = e.Amount
		case operators.OrderUpdated:
			amount = e.Amount
		case operators.OrderRefunded:
			whole = whole || e.Whole
			if !e.Whole {
				refunds[e.RefundID] = max(refunds[e.RefundID], e.Amount)
			}
		case operators.OrderCancelled:
			cancelled = true
		}
	}
	if first == nil || cancelled {
		return operators.Contribution{}
	}
	for _, r := range refunds {
		amount -= r
	}
	if whole || amount < 0 {
		amount = 0
	}
	return operators.Contribution{Counts: true, Day: first.Day, DayStart: first.DayStart, Net: amount}
}

// TestAgainstRecomputation proves, for random statements about random orders in random order of arrival, after each of them: every order
// contributes what all that has arrived of it gives when sorted; the step handed on the change of that and nothing else; every order
// lies in one place, the record holding no more than it may; and a statement made again changes not a byte.
func TestAgainstRecomputation(t *testing.T) {
	kinds := []operators.EventKind{
		operators.OrderCompleted, operators.OrderCompleted, operators.OrderCompleted,
		operators.OrderUpdated, operators.OrderRefunded, operators.OrderRefunded, operators.OrderCancelled,
	}
	rapid.Check(t, func(t *rapid.T) {
		kept := rapid.SampledFrom([]int{1, 2, 16}).Draw(t, "kept")
		ids := rapid.IntRange(1, 3*kept+2).Draw(t, "orders")
		r := newRunner(orders.Config{OrdersKept: kept})
		stated := map[string][]operators.Event{}
		var all []operators.Event
		for i := range rapid.IntRange(1, 80).Draw(t, "events") {
			e := order(rapid.SampledFrom(kinds).Draw(t, "kind"), fmt.Sprintf("o%d", rapid.IntRange(1, ids).Draw(t, "order")),
				operators.EventTime(rapid.IntRange(0, 40).Draw(t, "time"))*operators.DayMs/4)
			e.ID = fmt.Sprintf("m%d", i)
			e.Amount = operators.Money(rapid.IntRange(0, 100).Draw(t, "amount"))
			if e.Kind == operators.OrderRefunded {
				e.RefundID = rapid.SampledFrom([]string{"r1", "r2", e.ID}).Draw(t, "refund")
				e.Whole = rapid.IntRange(0, 9).Draw(t, "whole") == 0
			}
			before := recompute(stated[e.OrderID])
			stated[e.OrderID] = append(stated[e.OrderID], *e)
			all = append(all, *e)
			if refused := r.Event(e); refused != "" {
				t.Fatalf("%+v was refused: %s", e, refused)
			}
			after := recompute(stated[e.OrderID])
			changed := r.Changed
			if changed.Orders != (before != after) {
				t.Fatalf("%+v: changed is %v; the contribution was %+v, is %+v", e, changed.Orders, before, after)
			}
			if changed.Orders && (changed.OrderWas != before || changed.OrderIs != after) {
				t.Fatalf("%+v: the change is %+v; the contribution was %+v, is %+v", e, changed, before, after)
			}

			again := rapid.SampledFrom(all).Draw(t, "again")
			record, parts := r.Customer.AppendState(nil), partsOf(r.Parts.Names("o"), r.Parts.Value)
			r.Event(&again)
			if r.Changed.Orders || !bytes.Equal(record, r.Customer.AppendState(nil)) || parts != partsOf(r.Parts.Names("o"), r.Parts.Value) {
				t.Fatalf("%+v, applied again, has changed the ledger", again)
			}
		}

		l := &r.Customer.Ledger
		names := r.Parts.Names("o")
		if len(l.Orders) > kept || len(names) != int(l.Archived) || len(l.Orders)+len(names) != len(stated) {
			t.Fatalf("%d orders lie in the record, %d in parts, %d are said to; there are %d", len(l.Orders), len(names), l.Archived, len(stated))
		}
		sorted := slices.IsSortedFunc(l.Orders, func(a, b operators.Order) int { return cmp.Compare(a.Time, b.Time) })
		if !sorted {
			t.Fatalf("the record's orders are not sorted: %+v", l.Orders)
		}
		found := slices.Clone(l.Orders)
		for _, name := range names {
			found = append(found, archived(r, name))
		}
		for _, o := range found {
			if want := recompute(stated[o.ID]); o.Contribution() != want {
				t.Fatalf("%s contributes %+v, want %+v", o.ID, o.Contribution(), want)
			}
			delete(stated, o.ID)
		}
		if len(stated) > 0 {
			t.Fatalf("orders are lost: %v", stated)
		}
	})
}

// partsOf returns all parts in one string.
func partsOf(names []string, value func(string) []byte) string {
	text := ""
	for _, name := range names {
		text += fmt.Sprintf("%s=%x\n", name, value(name))
	}
	return text
}
