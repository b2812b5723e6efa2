package query

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"lull/operators"
	"lull/operators/bgnbd"
)

// TestCourse compares P(alive) over time with the formula, whole at each purchase and falling between, up to the deadline's level of risk.
func TestCourse(t *testing.T) {
	w := newWorld(t, 1)
	w.states, w.watermark = map[string][]byte{"c": stateOf(t, &model, buyer)}, instant(t, "1998-03-10")
	params := bgnbd.Params{R: model.R, Alpha: model.Alpha, A: model.A, B: model.B, Family: bgnbd.MBGNBD}
	first := instant(t, "1998-01-04")
	purchases := []float64{0, 19, 38} // days: 4 and 23 January, 11 February
	for _, limit := range []int{4, 6, 20, 1000} {
		course := read[Course](w, 0, fmt.Sprintf("/v1/customers/c/p-alive?points=%d", limit))
		if len(course.Points) > limit+2 || course.Model != "cdnow" || course.Older != max(0, 3-max(1, (limit-2)/2)) {
			t.Fatalf("%d points of at most %d, older %d", len(course.Points), limit, course.Older)
		}
		before, foretold, kinds := operators.Unset, operators.Unset, make(map[string]int)
		for i, p := range course.Points {
			at, err := parseInstant(p.At)
			if err != nil {
				t.Fatal(err)
			}
			x, age := -1, at.DaysSince(first)
			for _, day := range purchases {
				if day <= age {
					x++
				}
			}
			want := params.PAlive(bgnbd.History{X: x, TX: purchases[x], T: age})
			if math.Abs(p.PAlive-want) > 1e-12 || i > 0 && at < before || i > 0 && p.What != "purchase" && p.PAlive > course.Points[i-1].PAlive {
				t.Errorf("point %d of %d: %+v, want %v", i, limit, p, want)
			}
			if p.What == "now" && at != w.watermark {
				t.Errorf("now is %s", p.At)
			}
			before = at
			if kinds[p.What]++; p.What == "foretold" {
				foretold = at
			}
		}
		last, least := course.Points[len(course.Points)-1], operators.EventTime(operators.DayMs)/24
		if at, _ := parseInstant(last.At); course.Points[len(course.Points)-2].What == "foretold" && at-foretold < least {
			t.Errorf("of %d points the last but one, %s, is of the same time as the last, %s", limit, foretold, last.At)
		}
		if kinds["now"] != 1 || kinds["deadline"] != 1 || kinds["purchase"] != 3-course.Older || limit == 1000 && (kinds["silence"] == 0 || kinds["foretold"] == 0) || last.At != course.Deadline.At {
			t.Errorf("of %d points %v, the last %+v; deadline %+v", limit, kinds, last, course.Deadline)
		}
	}
	// A purchase that is dated ahead of now: the card counts it, and it is no point of the past.
	ahead := operators.NewCustomer("e")
	if err := ahead.DecodeState(w.states["c"]); err != nil {
		t.Fatal(err)
	}
	for now, past := range map[string]int{"1998-02-01": 2, "1998-01-01": 0} {
		ahead.At, w.watermark = instant(t, now), instant(t, now)
		w.states["e"] = ahead.AppendState(nil)
		course, card := read[Course](w, 0, "/v1/customers/e/p-alive"), read[Card](w, 0, "/v1/customers/e")
		purchases := 0
		for i, p := range course.Points {
			if i > 0 && p.At < course.Points[i-1].At {
				t.Errorf("at %s point %d: %+v after %+v", now, i, p, course.Points[i-1])
			}
			if p.What == "purchase" {
				purchases++
			}
			if p.What == "now" && (p.PAlive != card.Score.PAlive || p.At != card.AsOf) {
				t.Errorf("at %s: now %+v, the card has %+v", now, p, card.Score)
			}
		}
		if purchases != past || !slices.ContainsFunc(course.Points, func(p CoursePoint) bool { return p.What == "now" }) {
			t.Errorf("at %s: %d purchases in %+v", now, purchases, course.Points)
		}
	}
	w.states["d"] = stateOf(t, &model, "1998-03-01T10:00 page name=home")
	for _, path := range []string{"p-alive", "what-if?order=1"} {
		if status, body := w.get(0, "/v1/customers/d/"+path); status != http.StatusConflict || !strings.Contains(string(body), "not scored: the customer has no purchase") {
			t.Errorf("%s without a purchase: status %d: %s", path, status, body)
		}
	}
}
