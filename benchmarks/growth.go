package main

import (
	"cmp"
	"container/heap"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/task"
)

// growthArgument makes this program measure what an event costs among ever more customers.
const growthArgument = "growth"

// growthRun is a scenario: as many events come to a state of few customers and of many.
type growthRun struct {
	scenario
	customers []int // in each state
	seed      uint64
	events    int
	rate      int // events a second of event time
	runs      int

	grown []*grown
}

// grown is what was measured with a number of customers.
type grown struct {
	customers int
	first     lap   // an order of each customer makes the state
	laps      []lap // in turn with each of activities
	// What customers' states hold when all sessions have ended, ascending, of one partition: of all, and of those who have had a session.
	states, visited []int
	diskBytes       int64
}

// lap is what a process came to that went through some events.
type lap struct {
	events   int
	used     usage
	warm     steady
	resident residence
	needed   metrics // lull_customers_loaded_total
}

// perMillion returns CPU-seconds per million events, over the process's whole life.
func (l *lap) perMillion() float64 { return l.used.cpuSeconds() / float64(l.events) * 1e6 }

// misses returns the share of the known customers needed who were not decoded in memory.
func (l *lap) misses() float64 {
	read, kept := l.needed[loadedFrom("store")], l.needed[loadedFrom("memory")]
	return read / (read + kept)
}

// The metrics that tell it, and when all events have been counted.
const (
	customersLoaded = "lull_customers_loaded_total"
	inputRecords    = "lull_input_records_total"
)

func loadedFrom(where string) string { return fmt.Sprintf("%s{from=%q}", customersLoaded, where) }

// activities are how who visits is chosen: in proportion to rank to the power of minus this.
var activities = []struct {
	name string
	zipf float64
}{{"Zipf 1.0", 1}, {"uniform", 0}}

// runGrowth runs the scenario and prints the report.
func runGrowth(arguments []string) (err error) {
	var r growthRun
	flags := flag.NewFlagSet("benchmarks growth", flag.ExitOnError)
	customers := flags.String("customers", "200000,2000000", "numbers of customers, one state after the other, separated by commas")
	flags.Uint64Var(&r.seed, "seed", 1, "seed of who visits when")
	flags.IntVar(&r.events, "events", 1_000_000, "number of events that are measured with each state and kind of activity, a few more to end the last session")
	flags.IntVar(&r.rate, "rate", 2000, "how many of these come in a second of event time")
	flags.IntVar(&r.runs, "runs", 1, "how often that is measured with each state")
	r.flags(flags)
	_ = flags.Parse(arguments) // it exits
	if flags.NArg() > 0 || r.events < 1 || r.rate < 1 || r.runs < 1 {
		return errors.New("growth: no arguments but flags, -events, -rate and -runs of at least 1")
	}
	for text := range strings.SplitSeq(*customers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > math.MaxInt32 {
			return fmt.Errorf("growth: -customers has %q, want numbers from 1 to %d, separated by commas", text, math.MaxInt32)
		}
		r.customers = append(r.customers, n)
	}
	return r.within(r.run)
}

func (r *growthRun) run() error {
	load := loadAverage()
	for _, n := range r.customers {
		if err := r.grow(n); err != nil {
			return fmt.Errorf("%d customers: %w", n, err)
		}
	}
	return r.print(os.Stdout, load)
}

// grow measures with a number of customers, and leaves nothing of them behind.
func (r *growthRun) grow(customers int) (err error) {
	r.name()
	r.settings.Fit.Mode = "off" // no model comes but ours
	if r.settings.HTTP.Listen, err = freeAddress(); err != nil {
		return err
	}
	if err := r.create(&model); err != nil {
		return err
	}
	g := &grown{customers: customers}
	if g.first, err = r.lap(fmt.Sprintf("%d customers, their first orders", customers), &firstOrders{customers: customers}); err != nil {
		return err
	}
	visited := make([]bool, customers)
	start := operators.EventTime(shopOpens + firstOrdersMs + restMs)
	for n := range r.runs {
		for i, a := range activities {
			v := newVisits(customers, a.zipf, r.seed+uint64(n*len(activities)+i), start, r.events, r.rate, visited)
			one, err := r.lap(fmt.Sprintf("%d customers, run %d of %d: %s", customers, n+1, r.runs, a.name), v)
			if err != nil {
				return err
			}
			start = v.now + 2*restMs
			g.laps = append(g.laps, one)
		}
	}
	if g.diskBytes, err = folderBytes(r.settings.State.Dir); err != nil {
		return err
	}
	if err := r.rest(g, visited); err != nil {
		return err
	}
	r.grown = append(r.grown, g)
	return errors.Join(os.RemoveAll(r.settings.State.Dir), r.deleteTopics())
}

// restMs is how long nothing comes after the last event of a lap: longer than the silence that ends a session.
const restMs = hourMs

// lap sends events, and lets a process that begins with the state of the last one go through them and the end of all sessions.
func (r *growthRun) lap(name string, events source) (one lap, err error) {
	fmt.Fprintln(os.Stderr, name)
	before, err := r.settled()
	if err != nil {
		return one, err
	}
	in, err := r.b.produce(r.ctx, r.topic, events, math.MaxInt)
	if err != nil {
		return one, err
	}
	if err := r.mark(r.topic, in.last+restMs); err != nil {
		return one, err
	}
	one.events = in.events
	c, err := startChild(&job{Settings: r.settings})
	if err != nil {
		return one, err
	}
	defer c.kill()
	from := before.sum()
	if one.warm, one.resident, err = r.follow(c, from, from+int64(in.events+partitions)); err != nil {
		return one, err
	}
	var failed error
	err = r.poll(c, func(offsets) bool { // what has been committed is counted a moment later
		one.needed, failed = r.scrape()
		return failed != nil || one.needed.sum(inputRecords) >= float64(in.events)
	})
	if err = errors.Join(err, failed); err != nil {
		return one, err
	}
	m, err := c.stop()
	one.used = m.Ended
	return one, err
}

// rest reads what the customers' states have come to, of one partition: partitions are alike, and those of millions of customers need not be in memory for a median.
func (r *growthRun) rest(g *grown, visited []bool) error {
	last := make(map[int32]int)
	var failed error
	err := r.b.read(r.ctx, r.settings.Topic(pipeline.ChangelogTopic), func(record *kgo.Record) {
		id, ok := task.CustomerOf(record.Key)
		if record.Partition != 0 || !ok {
			return
		}
		n, err := customerNumber([]byte(id))
		if err != nil {
			failed = cmp.Or(failed, fmt.Errorf("the changelog has a customer %q: %w", id, err))
			return
		}
		last[n] = len(record.Value)
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	for n, bytes := range last {
		g.states = append(g.states, bytes)
		if visited[n] {
			g.visited = append(g.visited, bytes)
		}
	}
	slices.Sort(g.states)
	slices.Sort(g.visited)
	return nil
}

// firstOrdersMs is over how long the first orders come: long enough that hardly a deadline of theirs falls into the hours of the laps, however many customers there are, and short enough that
// making the state is not mostly years of deadlines.
const firstOrdersMs = 30 * operators.DayMs

// firstOrders are an order of each customer, evenly over that time.
type firstOrders struct{ customers, next int }

// Next implements source.
func (f *firstOrders) Next(into *operators.Event) (ok bool) {
	if f.next == f.customers {
		return false
	}
	*into = operators.Event{
		Kind: operators.OrderCompleted, Customer: customerID(int32(f.next)), ID: fmt.Sprint("first-", f.next), OrderID: fmt.Sprint("first-", f.next),
		Time: shopOpens + operators.EventTime(int64(f.next)*firstOrdersMs/int64(f.customers)), Amount: operators.Money(500 + f.next%7000),
	}
	f.next++
	return true
}

// The sessions of visits.
const (
	pagesLeast = 8 // page views, as many at least, uniform
	pagesMost  = 15
	buyShare   = 0.4 // of sessions end with an order
)

// visits are sessions of customers who are known, one beside the other, in the order of time. All are complete: none begins once enough events have been planned.
type visits struct {
	random  *rand.Rand
	left    int       // events still to be planned, less than one if there are enough
	shares  []float64 // of customers by rank, added up
	ranked  []int     // customers by rank
	gap     float64   // ms between the beginnings of sessions, on average
	visited []bool    // customers who have had a session, to be told

	now  operators.EventTime // of the last event, or the beginning
	next operators.EventTime // when a session begins
	seq  uint64
	open arrivals // the next event of each session under way; number is how many page views are to come after it
}

func newVisits(customers int, zipf float64, seed uint64, start operators.EventTime, events, rate int, visited []bool) *visits {
	random := rand.New(rand.NewPCG(seed, 2))
	v := &visits{random: random, left: events, now: start, next: start + 1, visited: visited, ranked: random.Perm(customers), shares: make([]float64, customers)}
	sum := 0.0
	for rank := range v.shares {
		sum += math.Pow(float64(rank+1), -zipf)
		v.shares[rank] = sum
	}
	v.gap = ((pagesLeast+pagesMost)/2.0 + buyShare) * 1000 / float64(rate)
	return v
}

// Next implements source.
func (v *visits) Next(into *operators.Event) (ok bool) {
	for v.left > 0 && (len(v.open) == 0 || v.next <= v.open[0].at) {
		v.begin()
	}
	if len(v.open) == 0 {
		return false
	}
	a := &v.open[0]
	v.now = a.at
	*into = operators.Event{Kind: a.kind, ID: messageID(v.random), Customer: customerID(a.customer), Time: a.at}
	if a.kind == operators.OrderCompleted {
		into.OrderID, into.Amount = fmt.Sprint("visit-", a.seq), operators.Money(500+v.random.IntN(7000))
	} else {
		into.Name = "/shop/products/article-" + strconv.Itoa(v.random.IntN(5000))
	}
	switch {
	case a.number > 0:
		a.number--
	case a.kind == operators.PageViewed && a.whole:
		a.kind = operators.OrderCompleted
	default:
		heap.Pop(&v.open)
		return true
	}
	a.at += 1000 + operators.EventTime(min(v.random.ExpFloat64()*viewGapMs, viewGapMaxMs))
	heap.Fix(&v.open, 0)
	return true
}

// begin begins a session, which ends with an order if it is whole.
func (v *visits) begin() {
	rank := sort.SearchFloat64s(v.shares, v.random.Float64()*v.shares[len(v.shares)-1])
	customer := v.ranked[rank]
	v.visited[customer] = true
	v.seq++
	a := arrival{at: v.next, seq: v.seq, customer: int32(customer), kind: operators.PageViewed, whole: v.random.Float64() < buyShare}
	pages := pagesLeast + v.random.IntN(pagesMost-pagesLeast+1)
	a.number = uint32(pages - 1)
	v.left -= pages
	if a.whole {
		v.left--
	}
	heap.Push(&v.open, a)
	v.next += operators.EventTime(v.random.ExpFloat64() * v.gap)
}
