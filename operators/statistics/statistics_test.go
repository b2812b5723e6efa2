package statistics

import (
	"fmt"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/bgnbd"
)

// customer is one whose purchases change.
type customer struct {
	purchases operators.Purchases
	days      []operators.PurchaseDay
}

func draw(t *rapid.T) customer {
	days := rapid.SliceOfNDistinct(rapid.Int32Range(9000, 9200), 0, 6, func(d int32) int32 { return d }).Draw(t, "days")
	var c customer
	for i := range days {
		for j := i; j > 0 && days[j] < days[j-1]; j-- {
			days[j], days[j-1] = days[j-1], days[j]
		}
	}
	for i, d := range days {
		net := operators.Money(rapid.Int64Range(0, 9000).Draw(t, "net"))
		c.days = append(c.days, operators.PurchaseDay{Day: operators.Day(d), Orders: 1, Net: net})
		p := &c.purchases
		if i == 0 {
			p.First, p.FirstNet = operators.Day(d), net
		}
		p.Count, p.Orders, p.Last, p.Net = p.Count+1, p.Orders+1, operators.Day(d), p.Net+net
	}
	return c
}

// TestRebuilt proves that a table which has followed any changes is that of the customers as they are, counted once; that parts tell of every change; and
// that a sample holds who belongs to it.
func TestRebuilt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const people = 12
		sampled := rapid.IntRange(1, 8).Draw(t, "sampled")
		table, told := NewTable(sampled), map[Part]Content{}
		is := map[string]customer{}
		for range rapid.IntRange(0, 40).Draw(t, "changes") {
			id := fmt.Sprint("c", rapid.IntRange(0, people-1).Draw(t, "who"))
			was, now := is[id], draw(t)
			table.Change(id, &was.purchases, &now.purchases, now.days)
			is[id] = now
			if rapid.Bool().Draw(t, "end") {
				table.Trim()
			}
			if rapid.IntRange(0, 3).Draw(t, "tell") == 0 {
				tell(table, told)
			}
			if table.Short() {
				break // it is to be made anew
			}
		}
		table.Trim()
		again := NewTable(people)
		for id, c := range is {
			again.Change(id, &operators.Purchases{}, &c.purchases, c.days)
		}
		if d := Difference(table, again); d != "" {
			t.Fatal(d)
		}
		if n := len(table.Sample().Members()); !table.Short() && n < min(sampled-sampled/spare, int(table.Customers())) {
			t.Fatalf("%d of %d are sampled, of %d wanted", n, table.Customers(), sampled)
		}
		tell(table, told)
		all := map[Part]Content{}
		for part, content := range table.All() {
			all[part] = content
		}
		if !reflect.DeepEqual(all, told) || len(all) != table.Count() || table.Changed() {
			t.Fatalf("told %v; there is %v", told, all)
		}
	})
}

func tell(table *Table, told map[Part]Content) {
	for part, content := range table.Parts {
		if content.Empty() {
			delete(told, part)
		} else {
			told[part] = content
		}
	}
}

// TestSampleIsOfLeastHash: of many customers those of least hash are kept, in any order of arrival, and when too many have left the table says so.
func TestSampleIsOfLeastHash(t *testing.T) {
	const people, sampled = 2000, 100
	p := operators.Purchases{Count: 1, First: 9000, Last: 9000, Net: 5, FirstNet: 5, Orders: 1}
	table := NewTable(sampled)
	for i := range people {
		table.Change(fmt.Sprint(i), &operators.Purchases{}, &p, nil)
		table.Trim()
	}
	s := table.Sample()
	members := s.Members()
	if len(members) < sampled || len(members) > sampled+sampled/spare {
		t.Fatalf("%d members", len(members))
	}
	belong := 0
	for i := range people {
		if HashOf(fmt.Sprint(i)) < s.Below() {
			belong++
		}
	}
	// By chance the bound lies where this share of all hashes is; four standard errors.
	if share := float64(s.Below()) / HashEnd; belong != len(members) || math.Abs(share*people-float64(belong)) > 4*math.Sqrt(float64(belong)) {
		t.Errorf("%d belong, %d are members, the bound lies at %v", belong, len(members), share)
	}
	for i := range people {
		if table.Short() {
			break
		}
		table.Change(fmt.Sprint(i), &p, &operators.Purchases{}, nil)
	}
	if !table.Short() || table.Customers() == 0 {
		t.Error("nobody noticed that the sample has become too small")
	}
}

// TestHistory is a check by hand: of customers at the means of their days.
func TestHistory(t *testing.T) {
	for _, c := range []struct {
		births Births
		now    float64
		want   bgnbd.History
	}{
		{Births{Cell{2, 0, 2}, Total{Customers: 4, FirstDays: 12, LastDays: 12}}, 100, bgnbd.History{X: 0, TX: 0, T: 83}},
		{Births{Cell{2, 3, 5}, Total{Customers: 2, FirstDays: 5, LastDays: 8}}, 100, bgnbd.History{X: 3, TX: 22.5, T: 83.5}},
		{Births{Cell{13, 0, 13}, Total{Customers: 1, FirstDays: 6, LastDays: 6}}, 93, bgnbd.History{X: 0, TX: 0, T: 0}},   // bought before the watermark came so far
		{Births{Cell{10, 2, 13}, Total{Customers: 1, FirstDays: 0, LastDays: 6}}, 93, bgnbd.History{X: 2, TX: 27, T: 27}}, // and again
	} {
		if got := c.births.History(c.now); got != c.want {
			t.Errorf("%+v at %v: %+v, want %+v", c.births, c.now, got, c.want)
		}
	}
}

// TestWeeks: weeks have seven days, before 1970 too.
func TestWeeks(t *testing.T) {
	for day, want := range map[operators.Day]int32{0: 0, 6: 0, 7: 1, -1: -1, -7: -1, -8: -2} {
		if got := WeekOf(day); got != want {
			t.Errorf("day %d lies in week %d, not %d", day, got, want)
		}
	}
}

func BenchmarkChange(b *testing.B) {
	days := []operators.PurchaseDay{{Day: 9000}, {Day: 9030}}
	was := operators.Purchases{Count: 1, First: 9000, Last: 9000, Net: 500, FirstNet: 500, Orders: 1}
	is := operators.Purchases{Count: 2, First: 9000, Last: 9030, Net: 900, FirstNet: 500, Orders: 2}
	table := NewTable(1000)
	var ids []string
	for i := range 10_000 {
		ids = append(ids, fmt.Sprint("customer-", i))
		table.Change(ids[i], &operators.Purchases{}, &was, days[:1])
	}
	table.Trim()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id := ids[i%len(ids)]
		if i/len(ids)%2 == 0 {
			table.Change(id, &was, &is, days)
		} else {
			table.Change(id, &is, &was, days[:1])
		}
	}
}
