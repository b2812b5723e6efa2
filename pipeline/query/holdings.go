package query

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"lull/operators"
)

// Standing is what an answer about many customers says of a partition.
type Standing struct {
	Partition int32  `json:"partition" doc:"a partition of the input, or of the internal topic of events"`
	Position  int64  `json:"position" doc:"the next offset of it to be applied: all before is in the answer"`
	Watermark string `json:"watermark" format:"instant" doc:"event time that it has certainly reached; unset before the first event"`
}

// Partitions is the answer of GET /v1/partitions.
type Partitions struct {
	Total      int32      `json:"total" doc:"partitions that there are"`
	Partitions []Standing `json:"partitions" doc:"those that the processes of the group answer for, as far as they have come"`
	Missing    []int32    `json:"missing" doc:"those that nobody answers for just now"`
}

func standing(h *Holding) Standing {
	return Standing{Partition: h.Partition, Position: h.Position, Watermark: h.Watermark.String()}
}

// partitions answers how far each partition has come.
func partitions(a *api, r *request) (any, error) {
	all, err := a.gather(r)
	if err != nil {
		return nil, err
	}
	return all.Partitions, nil
}

// gathered is who answers for which partitions.
type gathered struct {
	Partitions
	own    Holdings
	others []string // addresses of those who have answered for the rest
	failed error    // of one who has not; nil if all have
}

// gather asks all processes how far their partitions have come; for a request that was passed on this one alone.
func (a *api) gather(r *request) (*gathered, error) {
	own, err := a.states.Holdings()
	if err != nil {
		return nil, err
	}
	g := &gathered{own: own, Partitions: Partitions{Total: own.Total, Partitions: []Standing{}}}
	held := make(map[int32]bool)
	add := func(of []Standing) {
		for _, s := range of {
			if !held[s.Partition] {
				held[s.Partition] = true
				g.Partitions.Partitions = append(g.Partitions.Partitions, s)
			}
		}
	}
	for i := range own.Held {
		add([]Standing{standing(&own.Held[i])})
	}
	if int32(len(own.Held)) < own.Total && a.Members != nil && !r.passedOn() {
		owners, err := a.Members.Owners(r.Context(), false)
		if err != nil {
			return nil, err
		}
		addresses := make(map[string]bool)
		for n, address := range owners {
			if !held[n] {
				addresses[address] = true
			}
		}
		asked := slices.Sorted(maps.Keys(addresses))
		ctx, cancel := context.WithTimeout(r.Context(), a.Timeout/5) // it takes no time, and who hangs must leave some to the others
		defer cancel()
		answers, errs := askAll[Partitions](ctx, a, r, asked, "/v1/partitions")
		for i := range answers {
			if errs[i] != nil { // its partitions are missing
				g.failed = cmp.Or(g.failed, errs[i])
				continue
			}
			add(answers[i].Partitions)
			g.others = append(g.others, asked[i])
		}
	}
	slices.SortFunc(g.Partitions.Partitions, func(a, b Standing) int { return int(a.Partition) - int(b.Partition) })
	g.Missing = missing(g.Total, held)
	return g, nil
}

func missing(total int32, held map[int32]bool) []int32 {
	out := []int32{}
	for n := range total {
		if !held[n] {
			out = append(out, n)
		}
	}
	return out
}

// watermark returns the least instant that a partition with any has reached; Unset if none has.
func (p *Partitions) watermark() operators.EventTime {
	least := operators.Unset
	for _, s := range p.Partitions {
		if at, err := parseInstant(s.Watermark); err == nil && (least == operators.Unset || at < least) {
			least = at
		}
	}
	return least
}

// complete refuses an answer that would lack customers, unless that is what was asked for.
func (r *request) complete(absent []int32) error {
	if len(absent) == 0 || r.passedOn() || r.query.Get("partial") == "true" {
		return nil
	}
	return &statusError{http.StatusServiceUnavailable, fmt.Sprintf("no process answers for partition %s of the customers: try again if the group is assigning them or /readyz of one says that it restores; "+
		"each process needs http.advertise for the others to ask it; partial=true takes what there is", numbers(absent))}
}

// askAll has other processes answer, side by side.
func askAll[T any](ctx context.Context, a *api, r *request, addresses []string, uri string) ([]T, []error) {
	answers, errs := make([]T, len(addresses)), make([]error, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() {
			var body raw
			if body, errs[i] = a.ask(ctx, r.Request, address, uri, hopAll); errs[i] != nil {
				return
			}
			if body.status != http.StatusOK {
				errs[i] = body.failure(address)
				return
			}
			errs[i] = json.Unmarshal(body.text, &answers[i])
		})
	}
	asking.Wait()
	return answers, errs
}

// startAsking has other processes answer the same request, while this one looks at what it has itself. What it returns waits for them, and gives them up if there is an error here. Who has not answered when a twentieth of the
// time is left is not waited for, so that there is an answer that says who it was: they themselves give up at a tenth.
func startAsking[T any](a *api, r *request, addresses []string) (answers func(failed error) ([]T, []error)) {
	late := fmt.Errorf("nothing in nineteen twentieths of http.timeout (%s)", a.Timeout)
	deadline, _ := r.Context().Deadline() // serve has set it
	ctx, cancel := context.WithDeadlineCause(r.Context(), deadline.Add(-a.Timeout/20), late)
	var found []T
	var errs []error
	done := make(chan struct{})
	go func() {
		defer close(done)
		found, errs = askAll[T](ctx, a, r, addresses, r.uri())
	}()
	return func(failed error) ([]T, []error) {
		if failed != nil {
			cancel()
		}
		<-done
		cancel()
		return found, errs
	}
}

// uri returns the path and query of a request for the same.
func (r *request) uri() string {
	of := *r.URL
	of.RawQuery = r.query.Encode()
	return of.RequestURI()
}
