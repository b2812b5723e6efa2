package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"lull/operators"
)

// liveRun is what the scenarios have in common that measure the latency of live orders: a state of customers who have bought before, a process on it, orders that come at a steady rate, and the phases of the run.
type liveRun struct {
	scenario
	customers int
	seed      uint64
	rate      int // orders a second
	quiet     time.Duration
	warmUp    time.Duration
	runs      int

	child    *child
	live     *liveLoad
	filled   *input // the history
	fillTook time.Duration
	phases   []*phase
}

// liveFlags defines the flags of all these scenarios. what is measured in each of the runs.
func (r *liveRun) liveFlags(flags *flag.FlagSet, what string) {
	flags.IntVar(&r.customers, "customers", 100_000, "number of customers, who have all bought once or twice")
	flags.Uint64Var(&r.seed, "seed", 1, "seed of what they buy, and when")
	flags.IntVar(&r.rate, "rate", 2000, "orders a second while it is measured")
	flags.DurationVar(&r.quiet, "quiet", 30*time.Second, "how long is measured before and after each "+what)
	flags.DurationVar(&r.warmUp, "warm-up", 15*time.Second, "how long orders come before it is measured")
	flags.IntVar(&r.runs, "runs", 1, "how many of these come, one after the other")
}

// check says what is wrong with the flags.
func (r *liveRun) check(flags *flag.FlagSet) error {
	if flags.NArg() > 0 || r.rate < 1 || r.quiet <= 0 || r.runs < 1 || r.runs > runsMax {
		return fmt.Errorf("no arguments but flags, -rate and -quiet above 0, -runs from 1 to %d", runsMax)
	}
	if r.customers < secondsBetweenOrders*r.rate {
		return fmt.Errorf("-customers must be at least %d times -rate: of two orders of one customer in one transaction only one gives a row", secondsBetweenOrders)
	}
	return nil
}

// runsMax bounds the runs: liveLoad counts models in a byte.
const runsMax = 100

// secondsBetweenOrders is how long the orders of one customer are apart, at least.
const secondsBetweenOrders = 20

// pastOrders are the orders that make the state: one of each customer, and one more of every second, over two years, in the order of their times.
type pastOrders struct{ orders []order }

type order struct {
	at       operators.EventTime
	customer int32
	cents    int32
}

const (
	historyMs  = 730 * operators.DayMs
	historyEnd = shopOpens + historyMs
)

func newPastOrders(customers int, seed uint64) *pastOrders {
	random := rand.New(rand.NewPCG(seed, 0))
	h := &pastOrders{orders: make([]order, 0, customers+customers/2)}
	for c := range int32(customers) {
		cents := 300 + int32(3000*random.ExpFloat64())
		first := operators.EventTime(random.Int64N(historyMs))
		h.orders = append(h.orders, order{shopOpens + first, c, cents})
		if c%2 == 1 {
			h.orders = append(h.orders, order{shopOpens + first + operators.EventTime(random.Int64N(historyMs-int64(first))), c, cents})
		}
	}
	slices.SortFunc(h.orders, func(a, b order) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.customer, b.customer))
	})
	return h
}

// Next implements source.
func (h *pastOrders) Next(into *operators.Event) (ok bool) {
	if len(h.orders) == 0 {
		return false
	}
	o := h.orders[0]
	h.orders = h.orders[1:]
	into.Kind, into.Customer, into.Time, into.Amount = operators.OrderCompleted, customerID(o.customer), o.at, operators.Money(o.cents)
	into.OrderID = fmt.Sprint("h", len(h.orders))
	into.ID = into.OrderID
	return true
}

func customerID(n int32) string { return fmt.Sprintf("c%08d", n) }

// customerNumber is the inverse of customerID.
func customerNumber(id []byte) (int32, error) {
	n, err := strconv.ParseInt(strings.TrimPrefix(string(id), "c"), 10, 32)
	return int32(n), err
}

// buyers are all customers, in the order in which they buy while it is measured.
func (r *liveRun) buyers() []int32 {
	list := make([]int32, r.customers)
	for i, n := range rand.New(rand.NewPCG(r.seed, 1)).Perm(r.customers) {
		list[i] = int32(n)
	}
	return list
}

// fill makes the state, by running the pipeline over the history, under a model.
func (r *liveRun) fill(m *operators.Model) (err error) {
	r.name()
	r.settings.Fit.Mode = "off" // no model comes but ours
	if r.settings.HTTP.Listen, err = freeAddress(); err != nil {
		return err
	}
	if err := r.create(m); err != nil {
		return err
	}
	h := newPastOrders(r.customers, r.seed)
	fmt.Fprintf(os.Stderr, "producing %d orders\n", len(h.orders))
	if r.filled, err = r.b.produce(r.ctx, r.topic, h, len(h.orders)); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "making the state")
	began := time.Now()
	c, err := startChild(&job{Settings: r.settings})
	if err != nil {
		return err
	}
	defer c.kill()
	if err := r.awaitEnd(c); err != nil {
		return err
	}
	r.fillTook = time.Since(began)
	_, err = c.stop()
	return err
}

// freeAddress returns an address that nobody listens at.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// start starts a process on the state, and waits until it serves all partitions.
func (r *liveRun) start(process *child, err error) error {
	if err != nil {
		return err
	}
	r.child = process
	return r.until(func() (bool, error) {
		response, err := r.get("/readyz")
		if err != nil {
			return false, nil // it does not listen yet
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK, nil
	})
}

// rest measures for a while without a sweep. Without a name it only lets the time pass.
func (r *liveRun) rest(name string, d time.Duration) error {
	p, err := r.begin(name)
	if err != nil {
		return err
	}
	if err := await(r, time.After(d)); err != nil {
		return err
	}
	return r.end(p)
}

// begin makes the orders from now on those of a phase, and end the phase ready to be told of.
func (r *liveRun) begin(name string) (*phase, error) {
	if name != "" {
		fmt.Fprintln(os.Stderr, name)
	}
	from, err := r.scrape()
	p := &phase{name: name, began: time.Now(), since: from, spent: make(metrics), seconds: make(map[int][]time.Duration)}
	r.live.enter(p)
	return p, err
}

func (r *liveRun) end(p *phase) error {
	to, err := r.scrape()
	if err != nil || p.name == "" {
		return err
	}
	p.add(to)
	p.took = time.Since(p.began)
	r.phases = append(r.phases, p)
	return nil
}

// await waits for an event, or until something has gone wrong.
func await[T any](r *liveRun, event <-chan T) error {
	var failed <-chan error
	if r.live != nil {
		failed = r.live.failed
	}
	select {
	case <-event:
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-r.child.ended:
		return fmt.Errorf("the process has ended by itself: %w", r.child.err)
	case err := <-failed:
		return err
	}
}

// until asks again and again until done returns true.
func (r *liveRun) until(done func() (bool, error)) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := await(r, ticker.C); err != nil {
			return err
		}
	}
}

func (s *scenario) get(path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(s.ctx, http.MethodGet, "http://"+s.settings.HTTP.Listen+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(request)
}

// metrics are a process's, by their names with labels.
type metrics map[string]float64

// The metrics that are asked for by name.
const (
	sweptCustomers = "lull_swept_customers_total"
	cpuSeconds     = "process_cpu_seconds_total"
	transactions   = "lull_transactions_total"
	phaseSeconds   = "lull_transaction_phase_seconds_sum"
)

// sum adds up all the metrics with this name, whatever their labels.
func (m metrics) sum(name string) (sum float64) {
	for key, v := range m {
		if key == name || strings.HasPrefix(key, name+"{") {
			sum += v
		}
	}
	return sum
}

// scrape reads the metrics of the process.
func (s *scenario) scrape() (metrics, error) {
	response, err := s.get("/metrics")
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	defer response.Body.Close()
	m := make(metrics)
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), "} ")
		if ok {
			name += "}"
		} else {
			name, value, _ = strings.Cut(lines.Text(), " ")
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil && name != "#" {
			m[name] = v
		}
	}
	return m, lines.Err()
}

// phase is a part of the run.
type phase struct {
	name  string
	began time.Time
	took  time.Duration
	since metrics // of the process at hand, when the phase began
	spent metrics // how far they have grown since, over all processes

	// By the orders that were due in the phase: from the instant at which each was due to the receipt of its row, and to its sending.
	latencies, lags []time.Duration
	seconds         map[int][]time.Duration // the latencies, by the second of the phase
}

// answered is told of the row of an order.
func (p *phase) answered(due, received time.Time) {
	latency, second := received.Sub(due), int(due.Sub(p.began)/time.Second)
	p.latencies = append(p.latencies, latency)
	p.seconds[second] = append(p.seconds[second], latency)
}

// add adds what the process at hand has spent.
func (p *phase) add(now metrics) {
	for name, v := range now {
		p.spent[name] += v - p.since[name]
	}
}
