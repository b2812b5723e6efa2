package main

import (
	"cmp"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"lull/operators"
)

// drain returns all events of a source.
func drain(s source) (events []operators.Event) {
	var e operators.Event
	for s.Next(&e) {
		events = append(events, e)
	}
	return events
}

// TestVisits proves that visits come in the order of time, that each is complete, that there are as many events as asked for and no session more, and that ranks have their shares.
func TestVisits(t *testing.T) {
	const customers, events, rate = 1000, 200_000, 2000
	for _, a := range activities {
		t.Run(a.name, func(t *testing.T) {
			visited := make([]bool, customers)
			v := newVisits(customers, a.zipf, 7, historyEnd, events, rate, visited)
			all := drain(v)
			if len(all) < events || len(all) >= events+pagesMost+1 {
				t.Errorf("%d events, want %d and at most the rest of a session more", len(all), events)
			}
			if first, last := all[0].Time, all[len(all)-1].Time; first <= historyEnd || last != v.now || last-first < 1000*events/rate {
				t.Errorf("events from %s to %s, a beginning at %s and an end at %s", first, last, operators.EventTime(historyEnd), v.now)
			}
			if !slices.IsSortedFunc(all, func(a, b operators.Event) int { return cmp.Compare(a.Time, b.Time) }) {
				t.Error("the events are not in the order of time")
			}
			pages, orders := make(map[string]int), 0
			for _, e := range all {
				if e.Kind == operators.OrderCompleted {
					orders++
				} else {
					pages[e.Customer]++
				}
			}
			sessions := float64(v.seq)
			if mean := float64(len(all)-orders) / sessions; math.Abs(mean-(pagesLeast+pagesMost)/2.0) > 0.1 {
				t.Errorf("%.2f page views a session", mean)
			}
			if share := float64(orders) / sessions; math.Abs(share-buyShare) > 0.02 {
				t.Errorf("%.2f of the sessions end with an order", share)
			}
			got, want, sum := 0.0, 0.0, 0.0
			for rank, customer := range v.ranked {
				weight := math.Pow(float64(rank+1), -a.zipf)
				sum += weight
				if rank < customers/10 {
					got += float64(pages[customerID(int32(customer))]) / float64(len(all)-orders)
					want += weight
				}
			}
			if want /= sum; math.Abs(got-want) > 0.1*want {
				t.Errorf("the first tenth of the ranks has %.4f of the page views, want %.4f", got, want)
			}
			for n, was := range visited {
				if had := pages[customerID(int32(n))]; was != (had > 0) || had > 0 && had < pagesLeast {
					t.Errorf("customer %d has %d page views, and visited is %v", n, had, was)
				}
			}
		})
	}
}

// TestFirstOrders proves that each customer has one, in the order of time, before anybody visits.
func TestFirstOrders(t *testing.T) {
	all := drain(&firstOrders{customers: 3000})
	seen := make(map[string]bool)
	for i, e := range all {
		seen[e.Customer] = true
		if n, err := customerNumber([]byte(e.Customer)); err != nil || int(n) != i {
			t.Fatalf("order %d is of customer %q", i, e.Customer)
		}
		if i > 0 && e.Time < all[i-1].Time || e.Time < shopOpens || e.Time >= shopOpens+firstOrdersMs {
			t.Fatalf("order %d is of %s", i, e.Time)
		}
	}
	if len(seen) != 3000 || len(all) != 3000 {
		t.Errorf("%d orders of %d customers", len(all), len(seen))
	}
}

// TestResidence proves that the slope is that of the second half, and that a process that has lived for a moment only has none.
func TestResidence(t *testing.T) {
	filling := residence{10, 50, 90, 100, 100, 102, 104, 106}
	if got := filling.slope(); math.Abs(got-2*time.Hour.Seconds()) > 1e-6 {
		t.Errorf("a slope of %v an hour, want 2 a second", got)
	}
	if filling.first() != 10 || filling.last() != 106 || filling.median() != 100 {
		t.Errorf("%d, %d, %d", filling.first(), filling.last(), filling.median())
	}
	for _, m := range []residence{nil, {5}, {5, 7}} {
		if m.slope() != 0 {
			t.Errorf("%v has a slope of %v", m, m.slope())
		}
	}
	if (residence)(nil).median() != 0 {
		t.Error("nothing has a median")
	}
}

// TestGrowthArguments proves that what cannot be run is said at once.
func TestGrowthArguments(t *testing.T) {
	for _, c := range []struct{ arguments, want string }{
		{"-runs 0", "-runs of at least 1"},
		{"-events 0", "-events, -rate and -runs of at least 1"},
		{"more", "no arguments but flags"},
		{"-customers 5,", `-customers has ""`},
		{"-customers 0", `-customers has "0"`},
		{"-customers 5,many", `-customers has "many"`},
	} {
		if err := runGrowth(strings.Fields(c.arguments)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want an error with %q", c.arguments, err, c.want)
		}
	}
}

// TestMisses proves that customers who are new are neither kept nor missed.
func TestMisses(t *testing.T) {
	l := lap{needed: metrics{loadedFrom("memory"): 6, loadedFrom("store"): 2, loadedFrom("nowhere"): 100}}
	if got := l.misses(); got != 0.25 {
		t.Errorf("%v, want a quarter", got)
	}
	if loadedFrom("store") != `lull_customers_loaded_total{from="store"}` {
		t.Error(loadedFrom("store"))
	}
}

// TestWatchMemory proves that a process is looked at until it has ended.
func TestWatchMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc")
	}
	if n, err := memoryOf("self", "VmRSS"); err != nil || n < 1<<20 {
		t.Errorf("%d bytes resident, %v", n, err)
	}
	if _, err := memoryOf("self", "VmNothing"); err == nil || !strings.Contains(err.Error(), "/proc/self/status has no VmNothing") {
		t.Errorf("%v", err)
	}
	gone := &child{ended: make(chan struct{})}
	close(gone.ended)
	if m := watchMemory(gone)(); len(m) != 0 {
		t.Errorf("memory of who is gone: %v", m)
	}
}
