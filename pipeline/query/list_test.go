package query

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"lull/operators"
)

// TestLists compares the pages of every order and of filters, of one process and of three that ask each other, with all customers' rows, sorted at once; and the
// figures of each with the customer's card.
func TestLists(t *testing.T) {
	for _, processes := range []int{1, 3} {
		w := newWorld(t, processes)
		all := read[List](w, 0, "/v1/customers?limit=1000")
		if len(all.Customers) != len(w.states) || all.NextCursor != nil || len(all.Partitions) != 5 || len(all.Missing) != 0 || all.AsOf != "1998-07-01T00:00:00.000Z" {
			t.Fatalf("of %d customers %d are listed, by %+v", len(w.states), len(all.Customers), all)
		}
		for _, row := range all.Customers {
			card := read[Card](w, 0, "/v1/customers/"+row.CustomerID)
			if row.Segment != card.Segment || row.Lifecycle != card.Lifecycle || row.RFMGroup != card.RFMGroup || row.RealizedValue != card.Facts.RealizedValue ||
				row.Partition != card.Partition || row.AsOf != card.AsOf || (row.Deadline == nil) != (card.Deadline == nil) || row.Deadline != nil && *row.Deadline != *card.Deadline {
				t.Errorf("row %+v is not of card %+v", row, card)
			}
			if s := card.Score; s != nil && *row.Figures != (Figures{s.PAlive, s.ChurnRisk, s.ExpectedPurchases, s.BuysAgain, s.CLV, s.ValueAtRisk, s.AboutToBeLost}) {
				t.Errorf("figures %+v are not those of card %+v", row.Figures, s)
			}
		}
		for _, c := range []struct {
			query string
			takes func(*Row) bool
			less  func(a, b *Row) int
		}{
			{"sort=id", func(*Row) bool { return true }, func(*Row, *Row) int { return 0 }},
			{"sort=deadline", func(r *Row) bool { return r.Deadline != nil }, func(a, b *Row) int { return cmp.Compare(a.Deadline.At, b.Deadline.At) }},
			{"sort=value_about_to_be_lost", func(r *Row) bool { return r.Figures != nil }, func(a, b *Row) int { return cmp.Compare(b.Figures.AboutToBeLost, a.Figures.AboutToBeLost) }},
			{"segment=advocate&sort=value_about_to_be_lost", func(r *Row) bool { return r.Segment == "advocate" && r.Figures != nil }, func(a, b *Row) int { return cmp.Compare(b.Figures.AboutToBeLost, a.Figures.AboutToBeLost) }},
			{"lifecycle=prospect", func(r *Row) bool { return r.Lifecycle == "prospect" }, func(*Row, *Row) int { return 0 }},
		} {
			var want []string
			taken := slices.DeleteFunc(slices.Clone(all.Customers), func(r Row) bool { return !c.takes(&r) })
			slices.SortFunc(taken, func(a, b Row) int { return cmp.Or(c.less(&a, &b), cmp.Compare(a.CustomerID, b.CustomerID)) })
			for i := range taken {
				want = append(want, taken[i].CustomerID)
			}
			for _, limit := range []int{1, 7, 1000} {
				var got []string
				cursor := ""
				for pages := 0; pages <= len(want); pages++ {
					path := fmt.Sprintf("/v1/customers?%s&limit=%d", c.query, limit)
					if cursor != "" {
						path += "&cursor=" + url.QueryEscape(cursor)
					}
					page := read[List](w, pages%processes, path) // whichever is asked
					for _, row := range page.Customers {
						got = append(got, row.CustomerID)
					}
					if page.NextCursor == nil {
						break
					}
					cursor = *page.NextCursor
				}
				if len(want) == 0 || !slices.Equal(got, want) {
					t.Errorf("%d processes, %s, pages of %d: %v, want %v", processes, c.query, limit, got, want)
				}
			}
		}
	}
}

// TestProjected: a list at the least watermark says that it is of what is known, and one of a later instant that it is projected: its numbers are those of who is silent until then, as a what-if has them, and its segments are of now.
func TestProjected(t *testing.T) {
	for _, processes := range []int{1, 3} {
		w := newWorld(t, processes)
		now := read[List](w, 0, "/v1/customers?limit=1000")
		if again := read[List](w, 0, "/v1/customers?limit=1000&as_of=1998-07-01"); now.Projected || now.Watermark != now.AsOf || fmt.Sprint(again.AsOf, again.Projected) != fmt.Sprint(now.AsOf, false) {
			t.Errorf("at the watermark: of %s, projected %t, the watermark %s; asked for %s, projected %t", now.AsOf, now.Projected, now.Watermark, again.AsOf, again.Projected)
		}
		then := read[List](w, 0, "/v1/customers?limit=1000&as_of=1998-10-01")
		if !then.Projected || then.AsOf != "1998-10-01T00:00:00.000Z" || then.Watermark != now.AsOf || len(then.Customers) != len(now.Customers) {
			t.Fatalf("%d customers of %s, projected %t, the watermark %s", len(then.Customers), then.AsOf, then.Projected, then.Watermark)
		}
		for i := range then.Customers {
			row, is := &then.Customers[i], &now.Customers[i]
			if row.AsOf != then.AsOf || row.Segment != is.Segment || row.Lifecycle != is.Lifecycle || row.RFMGroup != is.RFMGroup || row.Rising != is.Rising {
				t.Errorf("then %+v, now %+v", row, is)
			}
			if row.Figures == nil {
				continue
			}
			if silent := read[WhatIf](w, 0, "/v1/customers/"+row.CustomerID+"/what-if?silent_until=1998-10-01"); *row.Figures != *silent.Then.Figures || silent.Then.AsOf != then.AsOf {
				t.Errorf("%s has %+v, and %+v after silence", row.CustomerID, row.Figures, silent.Then.Figures)
			}
		}
		// The pages of a list stay of its instant, when the states have gone on.
		first := read[List](w, 0, "/v1/customers?limit=5")
		w.watermark += operators.DayMs
		if next := read[List](w, 0, "/v1/customers?limit=5&cursor="+*first.NextCursor); next.AsOf != first.AsOf || next.Projected {
			t.Errorf("the page after that of %s is of %s, projected %t", first.AsOf, next.AsOf, next.Projected)
		}
	}
}

// TestDates: a date is the start of that day in the calendar.
func TestDates(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 1)
	o := options()
	o.Zone = zone
	recorder := httptest.NewRecorder()
	Handler(node{w, 0}, o).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v1/customers?as_of=1998-11-27", http.NoBody))
	if !strings.Contains(recorder.Body.String(), `"as_of": "1998-11-27T05:00:00.000Z"`) {
		t.Errorf("as_of is not the day's start: %s", recorder.Body)
	}
}

// TestTermsOfLists: a list names the currency, the model and the horizon of its numbers once, as the card does; in the midst of a sweep each row that is of another model names it, whichever process it comes from.
func TestTermsOfLists(t *testing.T) {
	for _, processes := range []int{1, 3} {
		w := newWorld(t, processes)
		newer := model
		newer.Version, newer.R = "newer", 0.6
		w.newer = &newer
		for _, id := range []string{"c1", "c2"} {
			c := operators.NewCustomer(id)
			if err := c.DecodeState(w.states[id]); err != nil {
				t.Fatal(err)
			}
			c.Model = newer.Ref()
			w.states[id] = c.AppendState(nil)
		}
		list := read[List](w, 0, "/v1/customers?limit=1000")
		card := read[Card](w, 0, "/v1/customers/c0")
		if list.Currency != card.Currency || list.Horizon != card.Score.Horizon || list.Model == nil || *list.Model != "cdnow" {
			t.Errorf("%d processes: the list is of %s, %v, %v; the card of %s, %+v", processes, list.Currency, list.Model, list.Horizon, card.Currency, card.Score.Horizon)
		}
		for i := range list.Customers {
			row := &list.Customers[i]
			want := ""
			if row.CustomerID == "c1" || row.CustomerID == "c2" {
				want = "newer"
			}
			if row.Model != want {
				t.Errorf("%d processes: row %s is of model %q, want %q", processes, row.CustomerID, row.Model, want)
			}
		}
		whatIf := read[WhatIf](w, 0, "/v1/customers/c0/what-if?order=5")
		if whatIf.Currency != card.Currency || whatIf.Horizon != card.Score.Horizon || whatIf.Model != "cdnow" {
			t.Errorf("the what-if is of %+v", whatIf)
		}
		if none := read[List](w, 0, "/v1/customers?lifecycle=prospect"); none.Model != nil || none.Horizon != card.Score.Horizon {
			t.Errorf("nobody has a score: %+v", none)
		}
	}
}

// TestCursorsStand: time that passes between two pages, and customers who come, move nobody from one to the other; who is behind the cursor is on the next.
func TestCursorsStand(t *testing.T) {
	w := newWorld(t, 1)
	const query = "/v1/customers?sort=value_about_to_be_lost&limit=5"
	want := read[List](w, 0, "/v1/customers?sort=value_about_to_be_lost&limit=10").Customers[5:]
	first := read[List](w, 0, query)
	w.watermark += 60 * operators.DayMs
	w.states["first of all"] = stateOf(t, &model, "1998-02-01T10:00 order_completed order=a amount=99000\n1998-03-01T11:00 order_completed order=b amount=99000")
	second := read[List](w, 0, query+"&cursor="+*first.NextCursor)
	if second.AsOf != first.AsOf || len(second.Customers) != 5 {
		t.Fatalf("the second page is of %s, the first of %s: %+v", second.AsOf, first.AsOf, second.Customers)
	}
	for i := range want {
		if second.Customers[i].CustomerID != want[i].CustomerID || *second.Customers[i].Figures != *want[i].Figures {
			t.Errorf("place %d: %+v, want %+v", 5+i, second.Customers[i], want[i])
		}
	}
}

// TestCounts compares the counts with the rows of all customers.
func TestCounts(t *testing.T) {
	for _, processes := range []int{1, 3} {
		w := newWorld(t, processes)
		want := newCounts()
		for _, row := range read[List](w, 0, "/v1/customers?limit=1000").Customers {
			want.Customers++
			want.Segments[row.Segment]++
			want.Lifecycles[row.Lifecycle]++
			want.RFMGroups[row.RFMGroup]++
		}
		got := read[Counts](w, processes-1, "/v1/counts")
		if len(got.Partitions) != 5 || len(got.Missing) > 0 {
			t.Fatalf("counted are %+v", got)
		}
		got.Partitions, got.Missing = want.Partitions, want.Missing
		if fmt.Sprint(got) != fmt.Sprint(*want) {
			t.Errorf("%d processes: %+v, want %+v", processes, got, *want)
		}
	}
}
