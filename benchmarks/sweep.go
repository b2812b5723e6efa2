package main

import (
	"bufio"
	"cmp"
	"errors"
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

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/task"
)

// sweepArgument makes this program measure what a new model costs live events.
const sweepArgument = "sweep"

// sweepRun is a scenario: customers buy at a steady rate while a new model reaches everybody.
type sweepRun struct {
	scenario
	customers int
	seed      uint64
	rate      int // orders a second
	quiet     time.Duration
	warmUp    time.Duration
	runs      int
	kill      bool

	child    *child
	live     *liveLoad
	filled   *input // the history
	fillTook time.Duration
	phases   []*phase
	sweeps   []*sweepOutcome
	atEnd    measured // by the last process
}

// sweepOutcome is what became of one sweep.
type sweepOutcome struct {
	model     *operators.Model
	adoption  adoption
	took      time.Duration // from the publication of the model until every partition had ended
	quiet     *phase        // that came before it
	during    *phase
	killed    bool
	killedAt  int // customers of the new model at the SIGKILL, by the rows that had been seen
	sweptThen int // by the process that was killed, as it last told
	sweptNow  int // by the process that ended the sweep
	cursors   cursors
}

// runSweep runs the scenario and prints the report.
func runSweep(arguments []string) error {
	var r sweepRun
	flags := flag.NewFlagSet("benchmarks sweep", flag.ExitOnError)
	flags.IntVar(&r.customers, "customers", 100_000, "number of customers, who have all bought once or twice")
	flags.Uint64Var(&r.seed, "seed", 1, "seed of what they buy, and when")
	flags.IntVar(&r.rate, "rate", 2000, "orders a second while it is measured")
	flags.DurationVar(&r.quiet, "quiet", 30*time.Second, "how long is measured before and after each sweep")
	flags.DurationVar(&r.warmUp, "warm-up", 15*time.Second, "how long orders come before it is measured")
	flags.IntVar(&r.runs, "runs", 1, "how many models come, one after the other")
	flags.BoolVar(&r.kill, "kill", false, "afterwards, let one more come and kill the process by SIGKILL in the midst of that sweep")
	r.flags(flags, "the process, from its start after the state was made until it ends or is killed")
	_ = flags.Parse(arguments) // it exits
	if flags.NArg() > 0 || r.rate < 1 || r.quiet <= 0 || r.runs < 1 || r.runs > runsMax {
		return fmt.Errorf("sweep: no arguments but flags, -rate and -quiet above 0, -runs from 1 to %d", runsMax)
	}
	if r.customers < secondsBetweenOrders*r.rate {
		return fmt.Errorf("sweep: -customers must be at least %d times -rate: of two orders of one customer in one transaction only one gives a row", secondsBetweenOrders)
	}
	return r.within(r.run)
}

// runsMax bounds the models: liveLoad counts them in a byte.
const runsMax = 100

// secondsBetweenOrders is how long the orders of one customer are apart, at least.
const secondsBetweenOrders = 20

func (r *sweepRun) run() (err error) {
	load := loadAverage()
	if err := r.fill(); err != nil {
		return err
	}
	if err := r.start(r.profileDir); err != nil {
		return err
	}
	defer func() { r.child.kill() }() // not the child of now
	if r.live, err = startLoad(&r.scenario, r.buyers(), r.rate); err != nil {
		return err
	}
	defer r.live.abandon()
	if err := r.measure(); err != nil {
		return err
	}
	if err := r.live.stop(); err != nil {
		return err
	}
	if r.atEnd, err = r.child.stop(); err != nil {
		return err
	}
	for _, o := range r.sweeps {
		if o.cursors, err = r.readCursors(o.model.Ref()); err != nil {
			return err
		}
	}
	return r.print(os.Stdout, load)
}

// measure goes through the phases.
func (r *sweepRun) measure() error {
	if err := r.rest("", r.warmUp); err != nil {
		return err
	}
	if err := r.rest("quiet", r.quiet); err != nil {
		return err
	}
	for n := range r.runs {
		if err := r.sweep("sweep", refitted(n), nil); err != nil {
			return err
		}
		if err := r.rest("quiet", r.quiet); err != nil {
			return err
		}
	}
	if !r.kill {
		return nil
	}
	return r.sweep("sweep, SIGKILL in its midst", refitted(r.runs), r.restart)
}

// refitted returns the n-th model that comes, from 0: as of fits to a shop that goes to and fro.
func refitted(n int) *operators.Model {
	m := model
	m.Version = fmt.Sprint("refitted-", n+1)
	if n%2 == 0 {
		m.R, m.Alpha, m.A, m.B = 1.05*m.R, 1.1*m.Alpha, 0.95*m.A, 1.02*m.B
	} else {
		m.R, m.Alpha, m.A = 0.97*m.R, 1.05*m.Alpha, 1.05*m.A
	}
	return &m
}

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
func (r *sweepRun) buyers() []int32 {
	list := make([]int32, r.customers)
	for i, n := range rand.New(rand.NewPCG(r.seed, 1)).Perm(r.customers) {
		list[i] = int32(n)
	}
	return list
}

// fill makes the state, by running the pipeline over the history.
func (r *sweepRun) fill() (err error) {
	r.name()
	r.settings.Fit.Mode = "off" // no model comes but ours
	if r.settings.HTTP.Listen, err = freeAddress(); err != nil {
		return err
	}
	if err := r.create(); err != nil {
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
func (r *sweepRun) start(profileDir string) (err error) {
	if r.child, err = startChild(&job{Settings: r.settings, ProfileDir: profileDir}); err != nil {
		return err
	}
	return r.until(func() (bool, error) {
		response, err := r.get("/readyz")
		if err != nil {
			return false, nil // it does not listen yet
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK, nil
	})
}

// restart kills the process when half of the customers are of the new model, and starts it again.
func (r *sweepRun) restart(o *sweepOutcome) error {
	if err := await(r, r.live.half()); err != nil {
		return err
	}
	last, err := r.scrape()
	if err != nil {
		return err
	}
	r.child.kill()
	o.during.add(last)
	o.during.since = metrics{} // the next process counts from 0
	o.killed, o.killedAt, o.sweptThen = true, r.live.adoption().customers, int(o.during.spent.sum(sweptCustomers))
	fmt.Fprintf(os.Stderr, "killed with %d customers of the new model\n", o.killedAt)
	return r.start("")
}

// rest measures for a while without a sweep. Without a name it only lets the time pass.
func (r *sweepRun) rest(name string, d time.Duration) error {
	p, err := r.begin(name)
	if err != nil {
		return err
	}
	if err := await(r, time.After(d)); err != nil {
		return err
	}
	return r.end(p)
}

// sweep publishes a model and measures until every customer's row is of it and every partition has ended its walk. midst is called when the model has been
// published; nil is nothing.
func (r *sweepRun) sweep(name string, m *operators.Model, midst func(*sweepOutcome) error) error {
	o := &sweepOutcome{model: m, quiet: r.phases[len(r.phases)-1]}
	r.sweeps = append(r.sweeps, o)
	all := r.live.expect(m.Version)
	var err error
	if o.during, err = r.begin(name); err != nil {
		return err
	}
	began := time.Now()
	if err := r.b.putModel(r.ctx, &r.settings, m); err != nil {
		return err
	}
	if midst != nil {
		if err := midst(o); err != nil {
			return err
		}
	}
	if err := await(r, all); err != nil {
		return err
	}
	err = r.until(func() (bool, error) {
		now, err := r.scrape()
		return err == nil && now.sum("lull_sweep_running") == 0, err
	})
	if err != nil {
		return err
	}
	o.took, o.adoption = time.Since(began), r.live.adoption()
	if err := r.end(o.during); err != nil {
		return err
	}
	o.sweptNow = int(o.during.spent.sum(sweptCustomers)) - o.sweptThen
	return nil
}

// begin makes the orders from now on those of a phase, and end the phase ready to be told of.
func (r *sweepRun) begin(name string) (*phase, error) {
	if name != "" {
		fmt.Fprintln(os.Stderr, name)
	}
	from, err := r.scrape()
	p := &phase{name: name, began: time.Now(), since: from, spent: make(metrics), seconds: make(map[int][]time.Duration)}
	r.live.enter(p)
	return p, err
}

func (r *sweepRun) end(p *phase) error {
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
func await[T any](r *sweepRun, event <-chan T) error {
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
func (r *sweepRun) until(done func() (bool, error)) error {
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

func (r *sweepRun) get(path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(r.ctx, http.MethodGet, "http://"+r.settings.HTTP.Listen+path, http.NoBody)
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
func (r *sweepRun) scrape() (metrics, error) {
	response, err := r.get("/metrics")
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

// cursors is how far a sweep had come, by the transactions that the changelog holds.
type cursors struct {
	seen int // that the walk had got on by
	back int // of these, that fell behind one before
}

// readCursors reads how the walk to a model got on.
func (r *sweepRun) readCursors(ref uint32) (c cursors, err error) {
	last := make(map[int32]task.Sweep)
	var broken error
	err = r.b.read(r.ctx, r.settings.Topic(pipeline.ChangelogTopic), func(record *kgo.Record) {
		if string(record.Key) != string(task.MetaKey) {
			return
		}
		meta, err := task.DecodeMeta(record.Value)
		broken = errors.Join(broken, err)
		now, before := meta.Sweep, last[record.Partition]
		if now.Ref != ref || now == before {
			return
		}
		c.seen++
		if before.Ref == ref && (before.Done || !now.Done && now.After < before.After) {
			c.back++
		}
		last[record.Partition] = now
	})
	for n, s := range last {
		if s.Ref == ref && !s.Done {
			broken = errors.Join(broken, fmt.Errorf("the walk of partition %d to its end is not in the changelog", n))
		}
	}
	return c, errors.Join(err, broken)
}
