package query

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/clv"
	"lull/operators/optest"
	"lull/operators/score"
	"lull/pipeline/security"
)

// world is customers in partitions, of which several processes hold some each.
type world struct {
	t         *testing.T
	total     int32
	states    map[string][]byte
	watermark operators.EventTime
	owner     map[int32]int  // the process that holds a partition
	addresses []string       // of the processes, "" of who does not say
	timeout   time.Duration  // of each process
	position  int64          // of each partition
	asked     atomic.Int64   // times that the group was asked anew
	scattered bool           // customers can be in the partition after theirs too, and in the second after it
	unready   map[int32]bool // partitions that their processes do not answer for yet
}

func (w *world) partitionOf(id string) int32 {
	h := fnv.New32a()
	h.Write([]byte(id))
	return int32(h.Sum32() % uint32(w.total))
}

// node is one of its processes.
type node struct {
	*world
	n int
}

func (p node) View(id string, want Want) (View, error) {
	n := p.partitionOf(id)
	missing := NotOwnedError{Why: "is not assigned to this process"}
	places := []int32{n}
	if p.scattered {
		places = []int32{(n + 1) % p.total, n, (n + 2) % p.total}
	}
	for _, at := range places {
		switch {
		case p.owner[at] != p.n:
			missing.Partitions = append(missing.Partitions, at)
		case p.unready[at]:
			missing.Unready = fmt.Errorf("partition %d is restoring", at)
		}
	}
	switch has := p.owner[n] == p.n && !p.unready[n] && p.states[id] != nil; {
	case has:
	case len(missing.Partitions) > 0:
		return View{}, &missing
	case missing.Unready != nil:
		return View{}, missing.Unready
	}
	v := View{State: p.states[id], Model: &model, HasModel: true, Partition: n, Position: 7, Watermark: p.watermark}
	if v.State != nil && want == WithDays {
		c := operators.NewCustomer(id)
		if err := c.DecodeState(v.State); err != nil {
			return View{}, err
		}
		v.Days = c.Days.Newest // nobody has more here
	}
	return v, nil
}

func (p node) Await(ctx context.Context, id string, record InputRecord) error {
	if _, err := p.View(id, StateOnly); err != nil || record.Offset < p.position {
		return err
	}
	<-ctx.Done()
	return &NotReachedError{record, "its partition is at offset 7"}
}

func (p node) Holdings() (Holdings, error) {
	h := Holdings{Total: p.total, Model: func(uint32) *operators.Model { return &model }}
	for n := range p.total {
		if p.owner[n] == p.n {
			h.Held = append(h.Held, Holding{n, 7, p.watermark})
		}
	}
	return h, nil
}

func (p node) Scan(n int32, from string, yield func(string, []byte) bool) error {
	var ids []string
	for id := range p.states {
		if p.partitionOf(id) == n && id >= from {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		if !yield(id, p.states[id]) {
			break
		}
	}
	return nil
}

func (p node) Owners(_ context.Context, anew bool) (map[int32]string, error) {
	if anew {
		p.asked.Add(1)
	}
	owners := make(map[int32]string)
	for n, of := range p.owner {
		if of != p.n && p.addresses[of] != "" {
			owners[n] = p.addresses[of]
		}
	}
	return owners, nil
}

func (node) Do(r *http.Request) (*http.Response, error) { return http.DefaultClient.Do(r) }

// newWorld returns a world of so many processes with customers of all kinds, whose handlers answer at their addresses.
func newWorld(t *testing.T, processes int) *world {
	w := &world{t: t, timeout: 2 * time.Second, position: 7, total: 5, states: make(map[string][]byte), watermark: instant(t, "1998-07-01"), owner: make(map[int32]int)}
	for i := range 60 {
		script := fmt.Sprintf("1998-01-%02dT10:00 order_completed order=a amount=%d", i%28+1, i+5)
		if i%3 == 0 {
			script += fmt.Sprintf("\n1998-02-%02dT10:00 order_completed order=b amount=%d", (i*7)%28+1, i*3+1)
		}
		if i%4 == 0 {
			script += fmt.Sprintf("\n1998-05-%02dT10:00 order_completed order=c amount=%d", (i*5)%28+1, i+2)
		}
		if i%10 == 9 {
			script = "1998-03-01T10:00 page name=home"
		}
		w.states[fmt.Sprintf("c%d", i)] = stateOf(t, &model, script+"\nwatermark 1998-07-01")
	}
	for n := range w.total {
		w.owner[n] = int(n) % processes
	}
	for p := range processes {
		server := httptest.NewServer(w.handler(p, nil))
		t.Cleanup(server.Close)
		w.addresses = append(w.addresses, server.URL)
	}
	return w
}

func (w *world) handler(p int, admit func(*http.Request) *Refusal) http.Handler {
	o := options()
	o.Admit, o.Members, o.Timeout = admit, node{w, p}, w.timeout
	return Handler(node{w, p}, o)
}

// get asks a process.
func (w *world) get(p int, path string) (status int, body []byte) {
	w.t.Helper()
	recorder := httptest.NewRecorder()
	w.handler(p, nil).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return recorder.Code, recorder.Body.Bytes()
}

// read asks a process for what it knows.
func read[T any](w *world, p int, path string) (out T) {
	w.t.Helper()
	status, body := w.get(p, path)
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil || status != http.StatusOK {
		w.t.Fatalf("%s: status %d, %v: %s", path, status, err, body)
	}
	return out
}

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
			{"order=id", func(*Row) bool { return true }, func(*Row, *Row) int { return 0 }},
			{"order=deadline", func(r *Row) bool { return r.Deadline != nil }, func(a, b *Row) int { return cmp.Compare(a.Deadline.At, b.Deadline.At) }},
			{"order=value_about_to_be_lost", func(r *Row) bool { return r.Figures != nil }, func(a, b *Row) int { return cmp.Compare(b.Figures.AboutToBeLost, a.Figures.AboutToBeLost) }},
			{"segment=advocate&order=value_about_to_be_lost", func(r *Row) bool { return r.Segment == "advocate" && r.Figures != nil }, func(a, b *Row) int { return cmp.Compare(b.Figures.AboutToBeLost, a.Figures.AboutToBeLost) }},
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

// TestCursorsStand: time that passes between two pages, and customers who come, move nobody from one to the other; who is behind the cursor is on the next.
func TestCursorsStand(t *testing.T) {
	w := newWorld(t, 1)
	const query = "/v1/customers?order=value_about_to_be_lost&limit=5"
	want := read[List](w, 0, "/v1/customers?order=value_about_to_be_lost&limit=10").Customers[5:]
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
		recorder := httptest.NewRecorder()
		w.handler(0, nil).ServeHTTP(recorder, request)
		if recorder.Code != want {
			t.Errorf("passed on for partitions %s: status %d: %s", hop, recorder.Code, recorder.Body)
		}
	}
	w.addresses[1] = ""
	check("one does not say where it answers", 0, http.StatusMisdirectedRequest, "partition 1 is not this process's")
}

// TestWhatIf: what an order or silence would make of a customer is what the pipeline makes of them when it comes.
func TestWhatIf(t *testing.T) {
	w := newWorld(t, 1)
	const script = buyer + "\nwatermark 1998-03-10"
	w.states, w.watermark = map[string][]byte{"c": stateOf(t, &model, script)}, instant(t, "1998-03-10")
	run := func(more string) *optest.Runner {
		r := optest.NewRunner()
		r.Chain = clv.NewChain(config())
		r.Env.Model = &model
		if _, err := r.Script(script + more); err != nil {
			t.Fatal(err)
		}
		return r
	}
	check := func(name string, got *WhatIf, r *optest.Runner, at operators.EventTime) {
		t.Helper()
		f := score.New(config().Score).Evaluate(&r.Customer.Purchases, &model, at)
		if got.Then.Segment != r.Customer.Segment.Quadrant.String() || got.Then.Lifecycle != r.Customer.Segment.Lifecycle.String() || *got.Then.Figures != *figures(&f) {
			t.Errorf("%s: then %+v, %+v; the pipeline has %s, %+v", name, got.Then, got.Then.Figures, r.Customer.Segment.Quadrant, figures(&f))
		}
	}
	silent := read[WhatIf](w, 0, "/v1/customers/c/what-if?silent_until=1998-12-01T00:00:00Z")
	check("silent", &silent, run("\nwatermark 1998-12-01"), instant(t, "1998-12-01"))
	if silent.Now.Segment != "advocate" || silent.Then.Segment == "advocate" || len(silent.Changes) < 2 || silent.If != "silent until 1998-12-01T00:00:00.000Z" {
		t.Errorf("silence: %+v", silent)
	}
	card := read[Card](w, 0, "/v1/customers/c")
	if silent.Changes[0] != *card.Change {
		t.Errorf("the first change is %+v, the card's %+v", silent.Changes[0], *card.Change)
	}
	ordered := read[WhatIf](w, 0, "/v1/customers/c/what-if?order=4500")
	check("ordered", &ordered, run("\n1998-03-10T00:00 order_completed order=o9 amount=45"), instant(t, "1998-03-10"))
	if ordered.If != "an order of 45.00 USD at 1998-03-10T00:00:00.000Z" || ordered.Then.Figures.PAlive <= ordered.Now.Figures.PAlive {
		t.Errorf("an order: %+v", ordered)
	}
	// The counterfactual of a trigger: the same risk, to the part of a day by which the order's time is after its day's start.
	f := score.New(config().Score).Evaluate(&run("").Customer.Purchases, &model, instant(t, "1998-03-10"))
	if math.Abs(ordered.Then.Figures.ChurnRisk-f.RiskAfterOrder) > 0.005 || !strings.HasPrefix(ordered.Reasons[0], "an order now: churn risk ") || len(ordered.Reasons) != 2 {
		t.Errorf("risk after an order %v, of triggers %v; %q", ordered.Then.Figures.ChurnRisk, f.RiskAfterOrder, ordered.Reasons)
	}
	if expected := read[WhatIf](w, 0, "/v1/customers/c/what-if?order=expected"); expected.If != fmt.Sprintf("an order of %.2f USD at 1998-03-10T00:00:00.000Z", f.ExpectedSpend) {
		t.Errorf("the order that is expected: %q", expected.If)
	}
	for query, want := range map[string]string{
		"": "Give either order or silent_until", "?order=1&silent_until=1999-01-01T00:00:00Z": "Give either", "?silent_until=1998-03-09T23:59:59Z": "stands at 1998-03-10T00:00:00.000Z already",
		"?order=x": "it must be expected, or the order's value in minor units", "?silent_until=soon": "it must be an instant by RFC 3339",
	} {
		if status, body := w.get(0, "/v1/customers/c/what-if"+query); status != http.StatusBadRequest || !strings.Contains(string(body), want) {
			t.Errorf("%s: status %d: %s", query, status, body)
		}
	}
}

// TestCourse compares P(alive) over time with the formula, whole at each purchase and falling between, up to the deadline's level of risk.
func TestCourse(t *testing.T) {
	w := newWorld(t, 1)
	w.states, w.watermark = map[string][]byte{"c": stateOf(t, &model, buyer)}, instant(t, "1998-03-10")
	params := bgnbd.Params{R: model.R, Alpha: model.Alpha, A: model.A, B: model.B, Family: bgnbd.MBGNBD}
	first := instant(t, "1998-01-04")
	purchases := []float64{0, 19, 38} // days: 4 and 23 January, 11 February
	for _, limit := range []int{4, 20, 1000} {
		course := read[Course](w, 0, fmt.Sprintf("/v1/customers/c/p-alive?points=%d", limit))
		if len(course.Points) > limit+2 || course.Model != "cdnow" || course.Older != max(0, 3-max(1, (limit-2)/2)) {
			t.Fatalf("%d points of at most %d, older %d", len(course.Points), limit, course.Older)
		}
		before, kinds := operators.Unset, make(map[string]int)
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
			kinds[p.What]++
		}
		last := course.Points[len(course.Points)-1]
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

// contract is the document, and what it says of each route.
func contract(t *testing.T) (document map[string]any, schemaOf func(path, status string) *jsonschema.Schema) {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(OpenAPI()))
	if err != nil {
		t.Fatal(err)
	}
	document = parsed.(map[string]any)
	for _, component := range document["components"].(map[string]any)["schemas"].(map[string]any) {
		component.(map[string]any)["additionalProperties"] = false // what the document does not name is missing in it
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	return document, func(path, status string) *jsonschema.Schema {
		pointer := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path)
		return compiler.MustCompile("openapi.json#/paths/" + pointer + "/get/responses/" + status + "/content/application~1json/schema")
	}
}

// TestDocument holds real answers, good and bad, of every route against the document, which is asked for as any other, and is the one under docs.
func TestDocument(t *testing.T) {
	w := newWorld(t, 1)
	w.states["page"] = stateOf(t, nil, buyer)
	document, schemaOf := contract(t)
	status, body := w.get(0, openAPIPath)
	if status != http.StatusOK || !bytes.Equal(body, OpenAPI()) {
		t.Errorf("the document: status %d", status)
	}
	committed, err := os.ReadFile(filepath.Join("..", "..", "docs", "openapi.json"))
	if err != nil || !bytes.Equal(committed, OpenAPI()) {
		t.Errorf("docs/openapi.json is not what is served: make generate writes it (%v)", err)
	}
	answered := make(map[string]bool)
	for _, c := range []struct {
		route string
		path  string
	}{
		{"/v1/customers", "/v1/customers"}, {"/v1/customers", "/v1/customers?order=deadline&limit=3"}, {"/v1/customers", "/v1/customers?limit=0"}, {"/v1/customers", "/v1/customers?cursor=x"},
		{"/v1/customers/{id}", "/v1/customers/c0"}, {"/v1/customers/{id}", "/v1/customers/c9"}, {"/v1/customers/{id}", "/v1/customers/page"}, {"/v1/customers/{id}", "/v1/customers/nobody"},
		{"/v1/customers/{id}", "/v1/customers/a%ff"}, {"/v1/customers/{id}", "/v1/customers/c0?wait_for=events/0/9"},
		{"/v1/customers/{id}/p-alive", "/v1/customers/c0/p-alive"}, {"/v1/customers/{id}/p-alive", "/v1/customers/c9/p-alive"},
		{"/v1/customers/{id}/what-if", "/v1/customers/c0/what-if?order=expected"}, {"/v1/customers/{id}/what-if", "/v1/customers/c0/what-if?silent_until=2010-01-01T00:00:00Z"},
		{"/v1/customers/{id}/what-if", "/v1/customers/c0/what-if"},
		{"/v1/counts", "/v1/counts"}, {"/v1/counts", "/v1/counts?partial=maybe"}, {"/v1/partitions", "/v1/partitions"}, {openAPIPath, openAPIPath}, {openAPIPath, openAPIPath + "?x=y"},
	} {
		status, body := w.get(0, c.path)
		parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err == nil {
			err = schemaOf(c.route, fmt.Sprint(status)).Validate(parsed)
		}
		if err != nil {
			t.Errorf("%s: status %d: %v: %s", c.path, status, err, body)
		}
		answered[c.route] = answered[c.route] || status == http.StatusOK
	}
	for path := range document["paths"].(map[string]any) {
		if !answered[path] {
			t.Errorf("%s: no answer was held against the document", path)
		}
	}
	for name, component := range document["components"].(map[string]any)["schemas"].(map[string]any) {
		for field, of := range component.(map[string]any)["properties"].(map[string]any) {
			if of.(map[string]any)["description"] == "" {
				t.Errorf("%s.%s has no description", name, field)
			}
		}
	}
}

// TestPage: every command in docs/api.md asks for something that there is.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 3)
	w.states["20453"] = stateOf(t, &model, buyer)
	asked := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "curl ") {
			continue
		}
		_, path, _ := strings.Cut(strings.Trim(line, "'\n"), ":8280")
		if status, body := w.get(asked%3, path); status != http.StatusOK {
			t.Errorf("%s: status %d: %s", line, status, body)
		}
		asked++
	}
	if asked < len(routes) {
		t.Errorf("%d commands on the page, of %d resources", asked, len(routes))
	}
}

// TestInvalid: what is wrong with a request is told, with what would be right.
func TestInvalid(t *testing.T) {
	w := newWorld(t, 1)
	page := read[List](w, 0, "/v1/customers?order=deadline&limit=1")
	for path, want := range map[string]string{
		"/v1/customers?limit=0":                    `limit "0": it must be a whole number from 1 to 1000`,
		"/v1/customers?limit=1&limit=2":            "limit is given 2 times: give it once",
		"/v1/customers?order=name":                 `order "name": it must be one of id, deadline, value_about_to_be_lost`,
		"/v1/customers?sort=id":                    `parameter "sort": there is no such one. /v1/customers takes order, segment`,
		"/v1/customers?a=%zz":                      "the query of the URL",
		"/v1/customers?as_of=yesterday":            `as_of "yesterday": it must be an instant by RFC 3339 from 1970 to 2199`,
		"/v1/customers?as_of=2200-01-01T00:00:00Z": "from 1970 to 2199",
		"/v1/customers?cursor=e30x":                "it must be next_cursor of the page before",
		"/v1/customers?cursor=" + *page.NextCursor: "it is of a list in another order or with other filters",
		"/v1/customers?order=deadline&as_of=1999-01-01T00:00:00Z&cursor=" + *page.NextCursor: "the pages before are of 1998-07-01T00:00:00.000Z, as the cursor says: leave as_of out",
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

// TestGuard: on this machine alone everybody may ask who asks by its name; beyond it nobody, until there are tokens or certificates, and then who shows one. A refusal never tells a token.
func TestGuard(t *testing.T) {
	const token, other = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(other+"\n"+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens := func(environment, path string) *security.Tokens {
		set, err := security.NewTokens(security.NewSecret(environment), path)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	none := tokens("", "")
	w := newWorld(t, 1)
	for _, c := range []struct {
		name          string
		guard         Guard
		host          string
		authorization string
		status        int
		why           string
	}{
		{"this machine", Guard{Listen: "127.0.0.1:8280", Tokens: none}, "127.0.0.1:8280", "", 200, ""},
		{"this machine by name", Guard{Listen: "localhost:8280", Tokens: none}, "localhost", "", 200, ""},
		{"this machine by version 6", Guard{Listen: "[::1]:8280", Tokens: none}, "[::1]", "", 200, ""},
		{"a page whose name was resolved to this machine", Guard{Listen: "127.0.0.1:8280", Tokens: none}, "evil.example", "", 403, `host "evil.example"`},
		{"everywhere", Guard{Listen: "0.0.0.0:8280", Tokens: none}, "127.0.0.1:8280", "", 403, "the read API is closed: http.listen 0.0.0.0:8280 is reached from other machines. Set http.tokens_file"},
		{"all addresses", Guard{Listen: ":8280", Tokens: none}, "127.0.0.1:8280", "Bearer x", 403, "closed"},
		{"no token", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(token, "")}, "lull:8280", "", 401, "needs the header Authorization: Bearer TOKEN"},
		{"another token", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(token, "")}, "lull:8280", "Bearer " + other, 401, "needs"},
		{"a part of the token", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(token, "")}, "lull:8280", "Bearer " + token[:31], 401, "needs"},
		{"another scheme", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(token, "")}, "lull:8280", "Basic " + token, 401, "needs"},
		{"the token", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(other+" "+token, "")}, "lull:8280", "bearer " + token, 200, ""},
		{"of a file", Guard{Listen: "0.0.0.0:8280", Tokens: tokens("", file)}, "lull:8280", "Bearer " + token, 200, ""},
		{"this machine with tokens", Guard{Listen: "127.0.0.1:8280", Tokens: tokens(token, "")}, "127.0.0.1", "", 401, "needs"},
		{"no certificate", Guard{Listen: "0.0.0.0:8280", Tokens: none, Certificates: true}, "lull:8280", "Bearer " + token, 401, "needs a certificate by an authority of http.tls.client_ca_file"},
		{"neither", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(token, ""), Certificates: true}, "lull:8280", "", 401, ", or a certificate by an authority"},
	} {
		request := httptest.NewRequest(http.MethodGet, "/v1/customers/c0", http.NoBody)
		request.Host = c.host
		if c.authorization != "" {
			request.Header.Set("Authorization", c.authorization)
		}
		recorder := httptest.NewRecorder()
		w.handler(0, c.guard.Admit).ServeHTTP(recorder, request)
		body := unquote(recorder.Body.Bytes())
		if recorder.Code != c.status || !strings.Contains(body, c.why) || strings.Contains(recorder.Body.String(), token) || (recorder.Header().Get("WWW-Authenticate") != "") != (c.status == 401) {
			t.Errorf("%s: status %d: %s, want %d, %q", c.name, recorder.Code, body, c.status, c.why)
		}
	}
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
