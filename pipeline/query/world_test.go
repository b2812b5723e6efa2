package query

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"lull/operators"
)

// world is customers in partitions, of which several processes hold some each.
type world struct {
	t         *testing.T
	total     int32
	states    map[string][]byte
	watermark operators.EventTime
	owner     map[int32]int    // the process that holds a partition
	addresses []string         // of the processes, "" of who does not say
	timeout   time.Duration    // of each process
	position  int64            // of each partition
	asked     atomic.Int64     // times that the group was asked anew
	newer     *operators.Model // that a sweep has come to some customers with; nil: none
	scattered bool             // customers can be in the partition after theirs too, and in the second after it
	unready   map[int32]bool   // partitions that their processes do not answer for yet
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
	h := Holdings{Total: p.total, Model: func(ref uint32) *operators.Model {
		if p.newer != nil && ref == p.newer.Ref() {
			return p.newer
		}
		return &model
	}}
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
