package query

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestForward: any process answers for any customer as the owner does, by one hop; where nobody says who has the partition, the answer says what to do.
func TestForward(t *testing.T) {
	w := newWorld(t, 3)
	ids := slices.Sorted(maps.Keys(w.states))
	id := ids[slices.IndexFunc(ids, func(id string) bool { return w.owner[w.partitionOf(id)] == 1 && !strings.HasSuffix(id, "9") })] // who has bought
	n := w.partitionOf(id)
	for _, path := range []string{"", "/p-alive", "/what-if?order=expected", "?wait_for=events/1/6"} {
		_, want := w.get(1, "/v1/customers/"+id+path)
		if status, got := w.get(0, "/v1/customers/"+id+path); status != http.StatusOK || !bytes.Equal(got, want) {
			t.Errorf("%s: status %d: %s, want %s", path, status, got, want)
		}
	}
	if status, body := w.get(0, "/v1/customers/"+id+"?wait_for=events/1/7"); status != http.StatusGatewayTimeout || !strings.Contains(string(body), "events/1/7 has not been applied yet: its partition is at offset 7") {
		t.Errorf("waiting for what does not come: status %d: %s", status, body)
	}

	// Whoever gets a request that was passed on does not pass it on.
	request := httptest.NewRequest(http.MethodGet, "/v1/customers/"+id, http.NoBody)
	request.Header.Set(hopHeader, fmt.Sprint(n))
	request.Header.Set(VersionHeader, Version)
	recorder := httptest.NewRecorder()
	w.handler(0, nil).ServeHTTP(recorder, request)
	if recorder.Code != http.StatusMisdirectedRequest || w.asked.Load() != 0 {
		t.Errorf("a second hop: status %d, the group asked %d times", recorder.Code, w.asked.Load())
	}

	address := w.addresses[1]
	w.addresses[1] = ""
	if status, body := w.get(0, "/v1/customers/"+id); status != http.StatusMisdirectedRequest || !strings.Contains(string(body), fmt.Sprintf("partition %d is not this process's", n)) || !strings.Contains(string(body), "set http.advertise") {
		t.Errorf("nobody says where: status %d: %s", status, body)
	}
	for _, path := range []string{"/v1/customers", "/v1/counts"} {
		if status, body := w.get(0, path); status != http.StatusServiceUnavailable || !strings.Contains(string(body), "partial=true takes what there is") || !strings.Contains(string(body), "no process answers for partition 1, 4") {
			t.Errorf("%s: nobody says where: status %d: %s", path, status, body)
		}
	}
	if part := read[List](w, 0, "/v1/customers?partial=true&limit=1000"); !slices.Equal(part.Missing, []int32{1, 4}) || len(part.Customers) == 0 || len(part.Customers) >= len(w.states) {
		t.Errorf("a part of the customers: %d, without partitions %d", len(part.Customers), part.Missing)
	}
	w.addresses[1] = "http://127.0.0.1:1"
	if status, body := w.get(0, "/v1/customers/"+id); status != http.StatusServiceUnavailable || !strings.Contains(string(body), "the process at http://127.0.0.1:1 does not answer (") {
		t.Errorf("nobody there: status %d: %s", status, body)
	}
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(VersionHeader, Version)
		w.Header().Set("Retry-After", "7")
		fail(w, http.StatusTooManyRequests, "busy")
	}))
	defer busy.Close()
	w.addresses[1] = busy.URL
	recorder = httptest.NewRecorder()
	w.handler(0, nil).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v1/customers/"+id, http.NoBody))
	if recorder.Code != http.StatusTooManyRequests || recorder.Header().Get("Retry-After") != "7" {
		t.Errorf("the owner is busy: status %d, Retry-After %q", recorder.Code, recorder.Header().Get("Retry-After"))
	}
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hanging.Close()
	w.addresses[1] = hanging.URL
	if part := read[List](w, 0, "/v1/customers?partial=true&limit=1000"); !slices.Equal(part.Missing, []int32{1, 4}) || len(part.Customers) == 0 {
		t.Errorf("a part of the customers, beside one who hangs: %d, without partitions %d", len(part.Customers), part.Missing)
	}
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }))
	defer stranger.Close()
	w.addresses[1] = stranger.URL
	if status, body := w.get(0, "/v1/customers?limit=1"); status != http.StatusServiceUnavailable {
		t.Errorf("somebody else there: status %d: %s", status, body)
	}
	w.addresses[1] = address
}

// TestHangingPeer: a process that says what it holds, and then answers no more, leaves time for an answer that names it; with partial=true for one without its customers.
func TestHangingPeer(t *testing.T) {
	w := newWorld(t, 3)
	hanging := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/partitions" {
			w.handler(1, nil).ServeHTTP(out, r)
			return
		}
		<-r.Context().Done()
	}))
	defer hanging.Close()
	w.addresses[1] = hanging.URL
	for _, path := range []string{"/v1/customers", "/v1/counts"} {
		want := "the process at " + hanging.URL + " does not answer (nothing in nineteen twentieths of http.timeout (2s))"
		if status, body := w.get(0, path); status != http.StatusServiceUnavailable || !strings.Contains(string(body), want) {
			t.Errorf("%s: status %d: %s, want %s", path, status, body, want)
		}
	}
	if part := read[List](w, 0, "/v1/customers?partial=true&limit=1000"); !slices.Equal(part.Missing, []int32{1, 4}) || len(part.Customers) == 0 {
		t.Errorf("a part of the customers: %d, without partitions %d", len(part.Customers), part.Missing)
	}
}

// TestForwardPlaces: a customer who can be in several partitions is asked for at the owner of each; that nobody knows them is said once all have been looked into.
func TestForwardPlaces(t *testing.T) {
	w := newWorld(t, 3)
	w.scattered = true
	w.unready = make(map[int32]bool)
	for id := range w.states {
		for p := range 3 {
			if status, body := w.get(p, "/v1/customers/"+id); status != http.StatusOK {
				t.Errorf("%s, asked for at %d: status %d: %s", id, p, status, body)
			}
		}
	}
	var id string // whom nobody knows, and who could be in partitions 0, 1 and 2, one of each process
	for i := 0; id == "" || w.partitionOf(id) != 0; i++ {
		id = fmt.Sprintf("nobody %d", i)
	}
	path := "/v1/customers/" + url.PathEscape(id)
	check := func(what string, p, want int, why string) {
		t.Helper()
		if status, body := w.get(p, path); status != want || !strings.Contains(unquote(body), why) {
			t.Errorf("%s, asked at %d: status %d: %s, want %d, %s", what, p, status, body, want, why)
		}
	}
	for p := range 3 {
		check("unknown", p, http.StatusNotFound, "is not known")
	}
	if n := w.asked.Load(); n != 0 {
		t.Errorf("the group was asked anew %d times", n)
	}
	w.unready[2] = true
	check("one elsewhere restores", 0, http.StatusServiceUnavailable, "answers 503: partition 2 is restoring")
	check("one here restores", 2, http.StatusServiceUnavailable, "partition 2 is restoring")
	w.unready[2] = false

	// Its partition has gone on to another process, which holds another of them: it has not been looked into where it was.
	for hop, want := range map[string]int{"0": 404, "1": 421, "0, 1": 421, "all": 421} {
		request := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		request.Header.Set(hopHeader, hop)
		request.Header.Set(VersionHeader, Version)
		recorder := httptest.NewRecorder()
		w.handler(0, nil).ServeHTTP(recorder, request)
		if recorder.Code != want {
			t.Errorf("passed on for partitions %s: status %d: %s", hop, recorder.Code, recorder.Body)
		}
	}
	w.addresses[1] = ""
	check("one does not say where it answers", 0, http.StatusMisdirectedRequest, "partition 1 is not this process's")
}

// TestOtherVersion: what a process says that answers by another version of the API, as during a rolling upgrade, is not taken, and the answer says why; nor is such a process told anything that it would pass on.
func TestOtherVersion(t *testing.T) {
	w := newWorld(t, 3)
	ids := slices.Sorted(maps.Keys(w.states))
	id := ids[slices.IndexFunc(ids, func(id string) bool { return w.owner[w.partitionOf(id)] == 1 })]
	next := Version + "1"
	speaks := func(says string) string {
		other := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
			if says != "" {
				out.Header().Set(VersionHeader, says)
			}
			switch r.URL.Path { // as the build before the header was: money in minor units, no model of the list
			case "/v1/partitions":
				fmt.Fprint(out, `{"total": 5, "partitions": [{"partition": 1, "position": 7, "watermark": "1998-07-01T00:00:00.000Z"}, {"partition": 4, "position": 7, "watermark": "1998-07-01T00:00:00.000Z"}], "missing": []}`)
			case "/v1/customers":
				fmt.Fprintf(out, `{"customers": [{"customer_id": %q, "partition": 1, "realized_value": 23410, "score": {"p_alive": 0.5, "value_about_to_be_lost": 2}}], "partitions": [{"partition": 1, "position": 7}, {"partition": 4, "position": 7}]}`, id)
			default:
				fmt.Fprintf(out, `{"customer_id": %q, "facts": {"realized_value": 23410}}`, id)
			}
		}))
		t.Cleanup(other.Close)
		return other.URL
	}
	for says, names := range map[string]string{"": "an earlier version", next: "version " + next} {
		w.addresses[1] = speaks(says)
		want := "the process at " + w.addresses[1] + " answers by " + names + " of the API, this one by version " + Version + ": replace the older one too"
		for _, path := range []string{"/v1/customers", "/v1/customers?sort=value_about_to_be_lost", "/v1/counts", "/v1/customers/" + id, "/v1/customers/" + id + "/p-alive", "/v1/customers/" + id + "/what-if?order=expected"} {
			if status, body := w.get(0, path); status != http.StatusServiceUnavailable || !strings.Contains(string(body), want) {
				t.Errorf("%s, of %s: status %d: %s, want %s", path, names, status, body, want)
			}
		}
		if part := read[List](w, 0, "/v1/customers?partial=true&limit=1000"); !slices.Equal(part.Missing, []int32{1, 4}) || len(part.Customers) == 0 {
			t.Errorf("a part of the customers, beside %s: %d, without partitions %d", names, len(part.Customers), part.Missing)
		}
		if standings := read[Partitions](w, 0, "/v1/partitions"); !slices.Equal(standings.Missing, []int32{1, 4}) {
			t.Errorf("the partitions, beside %s: without %d", names, standings.Missing)
		}

		request := httptest.NewRequest(http.MethodGet, "/v1/customers/"+id, http.NoBody)
		request.Header.Set(hopHeader, "1")
		request.Header.Set(VersionHeader, says)
		recorder := httptest.NewRecorder()
		w.handler(1, nil).ServeHTTP(recorder, request)
		if want := "the process that asks takes answers of " + names + " of the API, this one answers by version " + Version + ": replace the older one too"; recorder.Code != http.StatusServiceUnavailable || !strings.Contains(recorder.Body.String(), want) {
			t.Errorf("asked by %s: status %d: %s, want %s", names, recorder.Code, recorder.Body, want)
		}
		if says := recorder.Header().Get(VersionHeader); says != Version {
			t.Errorf("the version of the answer: %q", says)
		}
	}
	w.addresses[1] = speaks(Version)
	if l := read[List](w, 0, "/v1/customers?limit=1000"); l.Model == nil || *l.Model != model.Version || !slices.ContainsFunc(l.Customers, func(row Row) bool { return row.RealizedValue == 23410 }) {
		t.Errorf("a list that names no model: %v", l.Model)
	}
}
