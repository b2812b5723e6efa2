package query

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// TestInvalid: what is wrong with a request is told, with what would be right.
func TestInvalid(t *testing.T) {
	w := newWorld(t, 1)
	page := read[List](w, 0, "/v1/customers?sort=deadline&limit=1")
	after, err := parseCursor(*page.NextCursor)
	if err != nil {
		t.Fatal(err)
	}
	after.AsOf = instantEnd
	for path, want := range map[string]string{
		"/v1/customers?limit=0":                                `limit "0": it must be a whole number from 1 to 1000`,
		"/v1/customers?limit=1&limit=2":                        "limit is given 2 times: give it once",
		"/v1/customers?sort=name":                              `sort "name": it must be one of id, deadline, value_about_to_be_lost`,
		"/v1/customers?order=id":                               `parameter "order": there is no such one. /v1/customers takes sort, segment`,
		"/v1/customers?a=%zz":                                  "the query of the URL",
		"/v1/customers?as_of=yesterday":                        `as_of "yesterday": it must be an instant by RFC 3339 from 1970 to 2199, such as 2026-05-01T00:00:00Z, or a date such as 2026-05-01, which is its 00:00 in calendar.timezone`,
		"/v1/customers?as_of=1990-01-01":                       "as_of 1990-01-01T00:00:00.000Z: the states are later, and no longer tell what was then: the earliest that can be had is the least watermark, now 1998-07-01T00:00:00.000Z. Leave as_of out for that; lull snapshot --as-of tells of earlier instants",
		"/v1/customers?as_of=1998-06-30T23:59:59Z":             `the earliest that can be had is the least watermark`,
		"/v1/customers?as_of=2200-01-01T00:00:00Z":             "from 1970 to 2199",
		"/v1/customers?cursor=e30x":                            "it must be next_cursor of the page before",
		"/v1/customers?sort=deadline&cursor=" + after.String(): "it must be next_cursor of the page before",
		"/v1/customers?cursor=" + *page.NextCursor:             "it is of a list in another order or with other filters",
		"/v1/customers?sort=deadline&as_of=1999-01-01T00:00:00Z&cursor=" + *page.NextCursor: "the pages before are of 1998-07-01T00:00:00.000Z, as the cursor says: leave as_of out",
		"/v1/customers/c0?wait_for=12":      `wait_for "12": it must be TOPIC/PARTITION/OFFSET of the input record`,
		"/v1/customers/c0/p-alive?points=3": "from 4 to 1000",
		"/v1/customers/c0?wait_for=":        "wait_for is empty: give it a value, or leave it out",
		"/v1/openapi.json?x=1":              "takes none",
	} {
		if status, body := w.get(0, path); status != http.StatusBadRequest || !strings.Contains(unquote(body), want) {
			t.Errorf("%s: status %d: %s, want %q", path, status, body, want)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		recorder := httptest.NewRecorder()
		w.handler(0, nil).ServeHTTP(recorder, httptest.NewRequest(method, "/v1/customers/c0", strings.NewReader("{}")))
		if recorder.Code != http.StatusMethodNotAllowed || recorder.Header().Get("Allow") != "GET, HEAD" || !strings.Contains(recorder.Body.String(), "this API is read by GET alone") {
			t.Errorf("%s: status %d, allowed %q", method, recorder.Code, recorder.Header().Get("Allow"))
		}
	}
}

// unquote returns the sentence of a failure.
func unquote(body []byte) string {
	var f Failure
	_ = json.Unmarshal(body, &f) // else it holds nothing
	return f.Error
}

// TestRate: of more requests than a second takes the rest is told to come back.
func TestRate(t *testing.T) {
	w := newWorld(t, 1)
	o := options()
	o.Rate = 3
	h := Handler(node{w, 0}, o)
	refused := 0
	for range 10 {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v1/customers/c0", http.NoBody))
		if recorder.Code == http.StatusTooManyRequests {
			refused++
			if recorder.Header().Get("Retry-After") != "1" || !strings.Contains(recorder.Body.String(), "more than 3 requests a second (http.rate)") {
				t.Errorf("refused by %s", recorder.Body)
			}
		}
	}
	if refused == 0 || refused > 7 {
		t.Errorf("of 10 requests %d were refused, at 3 a second", refused)
	}
}

// TestWaiters: of more who wait for records than may the rest is told to come back, unless the record is there already.
func TestWaiters(t *testing.T) {
	w := newWorld(t, 1)
	synctest.Test(t, func(t *testing.T) {
		h := w.handler(0, nil)
		ask := func(offset int) *httptest.ResponseRecorder {
			recorder := httptest.NewRecorder()
			h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, fmt.Sprintf("/v1/customers/c0?wait_for=events/0/%d", offset), http.NoBody))
			return recorder
		}
		var asking sync.WaitGroup
		for range waitersMax {
			asking.Go(func() {
				if r := ask(7); r.Code != http.StatusGatewayTimeout {
					t.Errorf("waiting: status %d: %s", r.Code, r.Body)
				}
			})
		}
		synctest.Wait()
		if r := ask(7); r.Code != http.StatusTooManyRequests || r.Header().Get("Retry-After") != "1" || unquote(r.Body.Bytes()) != "the record events/0/7 has not been applied yet, and 64 requests wait for theirs already: ask again in a second" {
			t.Errorf("one more: status %d: %s", r.Code, r.Body)
		}
		if r := ask(6); r.Code != http.StatusOK {
			t.Errorf("the record is there: status %d: %s", r.Code, r.Body)
		}
		asking.Wait()
		if r := ask(7); r.Code != http.StatusGatewayTimeout {
			t.Errorf("nobody waits any more: status %d: %s", r.Code, r.Body)
		}
	})
}

// TestTimeout: a walk through all customers ends when its time is over, and one that waits for its turn does too.
func TestTimeout(t *testing.T) {
	w := newWorld(t, 1)
	for i := range 1000 { // more than are looked at between two looks at the clock
		w.states[fmt.Sprintf("x%d", i)] = w.states["c0"]
	}
	at := w.handler(0, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	recorder := httptest.NewRecorder()
	at.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v1/counts", http.NoBody).WithContext(ctx))
	if recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") != "1" {
		t.Errorf("status %d: %s", recorder.Code, recorder.Body)
	}
}
