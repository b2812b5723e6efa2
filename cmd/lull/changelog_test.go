package main

import (
	"encoding/binary"
	"strings"
	"testing"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
)

// changeAsJSON returns a change as tail prints it.
func changeAsJSON(t *testing.T, key, value []byte) string {
	t.Helper()
	of, shown, err := showChange(key, value)
	if err != nil {
		t.Fatal(err)
	}
	text, err := schemas.Fields{{Name: "key", Value: of}, {Name: "value", Value: shown}}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every kind of change is shown for a person, and so is what cannot be read.
func TestShowChange(t *testing.T) {
	c := operators.NewCustomer("ann")
	c.At, c.Revision, c.Model = 884_000_000_000, 7, operators.ModelRef("m")
	c.Rules = []operators.RuleState{{Key: 0xba7f, Held: true, Sent: true, Deadline: c.At, At: c.At, ID: operators.ID{1}}}
	c.Messages = []operators.Message{{Hash: 1, Time: c.At}}
	session := operators.Session{Start: c.At - 1000, End: c.At, FirstPage: "home", LastPage: "cart", FirstPageAt: c.At - 1000, LastPageAt: c.At}
	session.Counts[operators.PageViewed] = 2
	c.Sessions = []operators.Session{session}
	order := operators.Order{ID: "o1", Completed: true, Time: c.At, Day: 10231, Amount: 1250, AmountTime: c.At, Refunds: []operators.Refund{{ID: 9, Amount: 250}}}
	c.Ledger.Orders = []operators.Order{order}
	days := []operators.PurchaseDay{{Day: 10231, Orders: 1, Net: 1000}}
	c.Days.Newest = days
	c.Purchases = operators.Purchases{Count: 1, First: 10231, FirstStart: 10231 * operators.DayMs, Last: 10231, Net: 1000, FirstNet: 1000, Orders: 1}
	c.Segment.Quadrant = operators.Save
	part := func(name string) []byte {
		return append(append(binary.AppendUvarint([]byte("p"), 3), "ann"...), name...)
	}
	meta := task.NewMeta()
	meta.Position, meta.Watermark = 42, c.At
	meta.Adoptions = []task.Adoption{{Ref: operators.ModelRef("m"), At: 5}}
	meta.Calls = []operators.DayCalls{{Day: 10231, Rule: 0xba7f, Calls: 3}}
	for _, change := range []struct {
		name       string
		key, value []byte
		want       []string
	}{
		{"meta", task.MetaKey, meta.Append(nil), []string{`"kind":"meta"`, `"position":42`, `"watermark":"1998-01-05T`, `"adoptions":[{"model":"`, `"calls":[{"day":"1998-01-05","rule":"ba7f","calls":3}]`}},
		{"settings", task.ShapeKey, task.Shape{{Name: "session.gap", Value: "30m0s"}}.Append(nil), []string{`"key":{"kind":"settings"},"value":{"session.gap":"30m0s"}`}},
		{
			"customer", task.CustomerKey(nil, "ann"), c.AppendState(nil),
			[]string{`"customer_id":"ann"`, `"revision":7`, `"counts":{"page":2}`, `"order_id":"o1"`, `"net":1000`, `"quadrant":"save"`, `"rules":[{"key":"ba7f","held":true,"sent":"01000000000000000000000000000000","deadline":"1998-01-05T`},
		},
		{"no customer any more", task.CustomerKey(nil, "ann"), nil, []string{`"customer_id":"ann"`, `"value":null`}},
		{"archived order", part("oo1"), operators.AppendOrder(nil, &order), []string{`"kind":"part","customer_id":"ann","name":"oo1"`, `"amount":1250`, `"refunded":250`}},
		{"page of days", part("d39"), operators.AppendDays(nil, days), []string{`"name":"d39"`, `"day":"1998-01-05"`, `"orders":1`}},
	} {
		text := changeAsJSON(t, change.key, change.value)
		for _, want := range change.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %s lacks %s", change.name, text, want)
			}
		}
	}
	for _, bad := range []struct{ key, value string }{{"x", ""}, {"", ""}, {"p", ""}, {"p\xff", "\x01"}, {"p\x03an", "\x01"}, {"p\x01ax", "\x01"}, {"m", "\x09"}, {"s", "\x09"}, {"cann", "\x09"}} {
		if _, _, err := showChange([]byte(bad.key), []byte(bad.value)); err == nil {
			t.Errorf("key %q, value %q: no error", bad.key, bad.value)
		}
	}
}
