package query

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/score"
	"lull/operators/segment"
)

// View is a customer's committed state and what it is to be read with.
type View struct {
	State     []byte           // nil if nothing is known of the customer
	Model     *operators.Model // that the customer was last computed with, nil before the first
	HasModel  bool             // a model is in force in the partition
	Partition int32
	Position  int64 // next input offset of the partition
	// Watermark is what the customer is evaluated at, unless they were heard of later. The wall clock would make customers look silent whose events
	// wait in a backlog.
	Watermark operators.EventTime
	// Days are all of the customer's purchase days, and Pages the records beside the state that hold those which are not in it, by name; of a View with WithDays only.
	Days  []operators.PurchaseDay
	Pages map[string][]byte
}

// Want says how much of a customer is read.
type Want uint8

// What can be wanted.
const (
	StateOnly Want = iota
	WithDays       // all purchase days too
)

// States gives committed states. It is safe for concurrent use.
type States interface {
	// View returns the view of a customer. The error is a *NotOwnedError if nothing is known of them here, and a partition that they can be in is not this process's.
	View(customer string, want Want) (View, error)
	// Await returns when the input record has been applied to the customer's partition. The error is a *NotOwnedError if that is not this process's, an *InvalidError if it cannot be
	// the customer's record, and a *NotReachedError when ctx has ended first.
	Await(ctx context.Context, customer string, record InputRecord) error
	// Holdings returns what this process holds.
	Holdings() (Holdings, error)
	// Scan yields the committed states of a partition's customers from an id on, in the order of ids, until yield returns false: each as it was at some instant after the call. What it
	// yields must not be changed. The error is a *NotOwnedError if the partition is not this process's, or is so no longer.
	Scan(partition int32, from string, yield func(customer string, state []byte) bool) error
}

// Holdings are the partitions that a process answers for.
type Holdings struct {
	Total int32     // partitions of the application
	Held  []Holding // in the order of their numbers
	Model func(ref uint32) *operators.Model
}

// Holding is a partition as far as it has come.
type Holding struct {
	Partition int32
	Position  int64
	Watermark operators.EventTime
}

// InputRecord is where a record of an input stands.
type InputRecord struct {
	Topic     string
	Partition int32
	Offset    int64
}

func (r InputRecord) String() string { return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset) }

// NotOwnedError says that partitions are not this process's, in any of which a customer can be.
type NotOwnedError struct {
	Partitions []int32
	Why        string
	// Unready is what keeps this process from looking into another of the customer's that is its own; nil if nothing does.
	Unready error
}

func (e *NotOwnedError) Error() string {
	return fmt.Sprintf("partition %s %s", numbers(e.Partitions), e.Why)
}

// numbers lists partitions.
func numbers(partitions []int32) string {
	var names []string
	for _, n := range partitions {
		names = append(names, fmt.Sprint(n))
	}
	return strings.Join(names, ", ")
}

// NotReachedError says that a record had not been applied in time.
type NotReachedError struct {
	Record InputRecord
	At     string // how far the partition has come
}

func (e *NotReachedError) Error() string {
	return fmt.Sprintf("the record %s has not been applied yet: %s. Ask again, or see /readyz for what keeps it", e.Record, e.At)
}

// InvalidError says what is wrong with a request.
type InvalidError struct{ Why string }

func (e *InvalidError) Error() string { return e.Why }

func invalid(format string, args ...any) error { return &InvalidError{fmt.Sprintf(format, args...)} }

// Members are the other processes of the group. It is safe for concurrent use.
type Members interface {
	// Owners returns the addresses, as scheme://host:port, at which others answer, by their partitions. What it knows may be some seconds old; with anew it is not.
	Owners(ctx context.Context, anew bool) (map[int32]string, error)
	// Do sends a request to one of them.
	Do(r *http.Request) (*http.Response, error)
}

// Options configure the API.
type Options struct {
	Chain clv.Config
	// Day returns the calendar day of an instant, and its start; Zone is that of the calendar.
	Day  func(operators.EventTime) (operators.Day, operators.EventTime)
	Zone *time.Location
	// Members are asked for what is not held here; nil: nobody is.
	Members Members
	// Timeout is how long an answer may take, with all that is waited for.
	Timeout time.Duration
	// Rate is how many requests a second are answered.
	Rate int
	// Admit refuses who may not ask; nil: everybody may.
	Admit func(r *http.Request) *Refusal
	// Observe is told of every answer; nil: nobody is. The route is one of Routes, or "" of what is none.
	Observe func(route string, status int, took time.Duration)
}

// Refusal is the answer to who may not ask.
type Refusal struct {
	Status int
	Why    string
}

// api answers requests.
type api struct {
	Options
	states  States
	chain   *operators.Chain
	score   *score.Operator
	segment *segment.Operator
	config  clv.Config
	rate    *rate.Limiter
	// scanning is taken while all of the customers here are walked through: one request at a time does, so that the live work keeps its processors.
	scanning chan struct{}
	waiting  chan struct{} // as many as wait for records
}

// waitersMax is how many requests wait for records at once: each looks, by the lock of the live work, whenever a partition has come further.
const waitersMax = 64

// Handler returns the handler of /v1/.
func Handler(states States, o Options) http.Handler {
	terms := o.Chain.Score.Terms()
	terms.ExactRisk = true
	scores := score.New(o.Chain.Score)
	a := &api{
		Options: o, states: states, chain: clv.NewChain(o.Chain), score: scores, segment: segment.New(o.Chain.Segment, terms, scores), config: o.Chain,
		rate: rate.NewLimiter(rate.Limit(o.Rate), o.Rate), scanning: make(chan struct{}, 1), waiting: make(chan struct{}, waitersMax),
	}
	mux := http.NewServeMux()
	for i := range routes {
		route := &routes[i]
		mux.HandleFunc("GET "+route.path, a.serve(route.path, func(r *request) (any, error) { return route.answer(a, r) }, route))
		mux.HandleFunc(route.path, a.serve(route.path, func(r *request) (any, error) {
			return nil, &statusError{http.StatusMethodNotAllowed, fmt.Sprintf("method %s: this API is read by GET alone", r.Method)}
		}, nil))
	}
	mux.HandleFunc("/v1/", a.serve("", func(*request) (any, error) {
		return nil, &statusError{http.StatusNotFound, "no such resource: GET " + openAPIPath + " tells which there are"}
	}, nil))
	return mux
}

// Routes returns the paths that the API answers, for who counts by them.
func Routes() (paths []string) {
	for i := range routes {
		paths = append(paths, routes[i].path)
	}
	return paths
}

// request is one that is to be answered.
type request struct {
	*http.Request
	query url.Values // of the route's parameters only, each given once at most
}

// statusError is an answer that is no success.
type statusError struct {
	status int
	why    string
}

func (e *statusError) Error() string { return e.why }

// hopHeader marks a request that has been passed on: whoever gets it answers from what it holds, or not at all. Of a request about one customer it names the partitions to look into.
const hopHeader = "Lull-Forwarded"

// hopAll is the mark of a request about all customers.
const hopAll = "all"

func (r *request) passedOn() bool { return r.Header.Get(hopHeader) != "" }

// lookedInto reports whether a process has looked into all partitions that it was asked for, if these are the ones that it does not hold.
func (r *request) lookedInto(missing []int32) bool {
	for text := range strings.SplitSeq(r.Header.Get(hopHeader), ", ") {
		if n, err := strconv.ParseInt(text, 10, 32); err != nil || slices.Contains(missing, int32(n)) {
			return false
		}
	}
	return true
}

// raw is an answer that is JSON already.
type raw struct {
	status     int
	text       []byte
	retryAfter string // the header; "" if there is none
}

// serve returns the handler of a route's requests. Of nil the parameters are not looked at.
func (a *api) serve(path string, handle func(*request) (any, error), of *route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		timeout := a.Timeout
		if r.Header.Get(hopHeader) != "" {
			timeout -= timeout / 10 // whoever has passed it on is to get the answer, also that nothing came in time
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		counted := &counting{ResponseWriter: w, status: http.StatusOK}
		a.reply(counted, r.WithContext(ctx), handle, of)
		if a.Observe != nil {
			a.Observe(path, counted.status, time.Since(began))
		}
	}
}

// counting keeps the status of an answer.
type counting struct {
	http.ResponseWriter
	status int
}

func (w *counting) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// reply answers a request, if whoever asks may, and not too often.
func (a *api) reply(w http.ResponseWriter, r *http.Request, handle func(*request) (any, error), of *route) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store") // it is personal data
	h.Set(VersionHeader, Version)
	if a.Admit != nil {
		if refused := a.Admit(r); refused != nil {
			if refused.Status == http.StatusUnauthorized {
				h.Set("WWW-Authenticate", "Bearer")
			}
			fail(w, refused.Status, refused.Why)
			return
		}
	}
	if !a.rate.Allow() {
		h.Set("Retry-After", "1")
		fail(w, http.StatusTooManyRequests, fmt.Sprintf("more than %d requests a second (http.rate): ask again in a second", a.Rate))
		return
	}
	asked := &request{Request: r}
	if version, other := OtherVersion(r.Header); other && asked.passedOn() {
		h.Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("the process that asks takes answers of %s of the API, this one answers by version %s: replace the older one too", version, Version))
		return
	}
	if of != nil {
		if err := asked.parse(of, a.Zone); err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	body, err := guarded(handle, asked)
	if err != nil {
		a.failed(w, r, err)
		return
	}
	if text, ok := body.(raw); ok {
		h.Set("Content-Type", "application/json")
		if text.retryAfter != "" {
			h.Set("Retry-After", text.retryAfter)
		}
		w.WriteHeader(text.status)
		_, _ = w.Write(text.text) // the client has gone: nobody is left to tell
		return
	}
	answer(w, http.StatusOK, body)
}

// guarded handles a request; a panic is a failure of this request alone.
func guarded(handle func(*request) (any, error), r *request) (body any, err error) {
	defer func() {
		if v := recover(); v != nil { // what operators do with a state that is not theirs
			err = &statusError{http.StatusInternalServerError, fmt.Sprintf("the answer cannot be computed: %v. Report it", v)}
		}
	}()
	return handle(r)
}

// failed answers what went wrong.
func (a *api) failed(w http.ResponseWriter, r *http.Request, err error) {
	var status *statusError
	var elsewhere *NotOwnedError
	var late *NotReachedError
	var wrong *InvalidError
	switch {
	case errors.As(err, &status):
		switch status.status {
		case http.StatusMethodNotAllowed:
			w.Header().Set("Allow", "GET, HEAD")
		case http.StatusServiceUnavailable, http.StatusTooManyRequests:
			w.Header().Set("Retry-After", "1")
		}
		fail(w, status.status, status.why)
	case errors.As(err, &wrong):
		fail(w, http.StatusBadRequest, wrong.Why)
	case errors.As(err, &elsewhere):
		fail(w, http.StatusMisdirectedRequest, err.Error())
	case errors.As(err, &late):
		fail(w, http.StatusGatewayTimeout, err.Error())
	case r.Context().Err() != nil:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("the answer took longer than http.timeout (%s): ask for less, at a quieter time, or raise it", a.Timeout))
	default:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, err.Error())
	}
}

// answer writes the body as JSON. What JSON cannot hold, infinite values of a model of absurd amounts, is an error and not half an answer.
func answer(w http.ResponseWriter, status int, body any) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false) // people read it, and by nosniff no browser takes it for HTML
	if err := e.Encode(body); err != nil {
		fail(w, http.StatusInternalServerError, fmt.Sprintf("writing the answer: %s", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // the client has gone: nobody is left to tell
}

// Failure is the body of every answer that is no success.
type Failure struct {
	Error string `json:"error" doc:"why there is no other answer, in a sentence for a person"`
}

func fail(w http.ResponseWriter, status int, message string) {
	answer(w, status, Failure{message})
}

// of returns the customer of the path. Of other ids there are no customers: such an event is a dead letter.
func (r *request) customer() (string, error) {
	id := r.PathValue("id")
	if !utf8.ValidString(id) {
		return "", invalid("customer %q: an id is UTF-8, percent-encoded in the path", id)
	}
	return id, nil
}

// seen is a customer that is known, and the view of them.
type seen struct {
	View
	customer *operators.Customer
	at       operators.EventTime // what they are evaluated at
}

// ofCustomer answers a request about one customer, or has their owner answer it.
func ofCustomer(want Want, tell func(a *api, r *request, c *seen) (any, error)) func(a *api, r *request) (any, error) {
	return func(a *api, r *request) (any, error) {
		id, err := r.customer()
		if err != nil {
			return nil, err
		}
		c, err := a.see(r, id, want)
		var elsewhere *NotOwnedError
		switch {
		case err == nil:
			return tell(a, r, c)
		case !errors.As(err, &elsewhere):
			return nil, err
		case r.lookedInto(elsewhere.Partitions):
			return nil, elsewhere.nowhere(id)
		case a.Members != nil && !r.passedOn():
			return a.forward(r, id, elsewhere)
		}
		return nil, fmt.Errorf("customer %q: %w", id, err)
	}
}

// unknown is the answer about a customer who is in none of the partitions that they can be in.
func unknown(id string) error {
	return &statusError{http.StatusNotFound, fmt.Sprintf("customer %q is not known", id)}
}

// nowhere is the answer about a customer whom nobody knows who was asked for these partitions.
func (e *NotOwnedError) nowhere(id string) error { return cmp.Or(e.Unready, unknown(id)) }

// see waits for what the request waits for, and reads the customer.
func (a *api) see(r *request, id string, want Want) (*seen, error) {
	if at := r.query.Get("wait_for"); at != "" {
		record, err := parseRecord(at)
		if err != nil {
			return nil, err
		}
		if err := a.await(r.Context(), id, record); err != nil {
			return nil, err
		}
		r.query.Del("wait_for") // whoever else is asked has nothing to wait for
	}
	view, err := a.states.View(id, want)
	if err != nil {
		return nil, err
	}
	if view.State == nil {
		return nil, unknown(id)
	}
	c := operators.NewCustomer(id)
	if err := c.DecodeState(view.State); err != nil {
		return nil, &statusError{http.StatusInternalServerError, fmt.Sprintf("reading customer %q: %s", id, err)}
	}
	return &seen{view, c, max(c.At, view.Watermark)}, nil
}

// await waits for a record. If as many wait as may, it is said at once whether it has been applied.
func (a *api) await(ctx context.Context, id string, record InputRecord) error {
	select {
	case a.waiting <- struct{}{}:
		defer func() { <-a.waiting }()
		return a.states.Await(ctx, id, record)
	default:
	}
	now, cancel := context.WithCancel(ctx)
	cancel()
	err := a.states.Await(now, id, record)
	if late := new(NotReachedError); errors.As(err, &late) {
		return &statusError{http.StatusTooManyRequests, fmt.Sprintf("the record %s has not been applied yet, and %d requests wait for theirs already: ask again in a second", record, waitersMax)}
	}
	return err
}

// parseRecord returns the record that topic/partition/offset names. Topics have no slashes.
func parseRecord(text string) (InputRecord, error) {
	var r InputRecord
	parts := strings.Split(text, "/")
	if len(parts) == 3 && parts[0] != "" {
		partition, err := parseWhole(parts[1], 1<<31-1)
		offset, err2 := parseWhole(parts[2], 1<<63-1)
		if err == nil && err2 == nil {
			r = InputRecord{Topic: parts[0], Partition: int32(partition), Offset: offset}
			return r, nil
		}
	}
	return r, invalid("wait_for %q: it must be TOPIC/PARTITION/OFFSET of the input record, as the broker told its producer", text)
}
