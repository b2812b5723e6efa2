package main

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"lull/operators"
)

// GeneratorConfig says what a Generator makes.
type GeneratorConfig struct {
	// Seed decides everything that is left open: the same config makes the same events.
	Seed uint64
	// Events is how many events are made.
	Events int
	// Customers is how many customers there are. Some may have no event if there are few events for each.
	Customers int
	// Zipf is the exponent of the customers' activity by rank: the customer of rank n is active in proportion to n^-Zipf. 0 is no skew: activity
	// is then exponentially distributed over the customers, as purchase rates are in the models (a gamma distribution of shape 1).
	Zipf float64
	// DisorderMs bounds how long after its time an event may come, in milliseconds: uniform from 0 to DisorderMs. 0 is the order of event time.
	DisorderMs int64
	// Start is when the shop opens.
	Start operators.EventTime
}

const (
	// eventsEachMax is how many events a customer can have on average; at about one in nine days they take some 75 years.
	eventsEachMax = 3_000
	// startMax leaves twice as long before 2200, where accepted event times end: 2050-01-01.
	startMax operators.EventTime = 29_220 * operators.DayMs
)

// Validate returns an error that names the field, its value and the rule it breaks.
func (c *GeneratorConfig) Validate() error {
	switch {
	case c.Events < 1:
		return fmt.Errorf("field Events is %d: at least 1", c.Events)
	case c.Customers < 1 || c.Customers > 100_000_000:
		return fmt.Errorf("field Customers is %d: 1 to 100,000,000", c.Customers)
	case c.Events/c.Customers > eventsEachMax:
		return fmt.Errorf("field Events is %d: at most %d for each customer, or the last would lie beyond the year 2200", c.Events, eventsEachMax)
	case !(c.Zipf >= 0 && c.Zipf <= 4):
		return fmt.Errorf("field Zipf is %v: 0 to 4", c.Zipf)
	case c.DisorderMs < 0 || c.DisorderMs > operators.DayMs:
		return fmt.Errorf("field DisorderMs is %d: 0 to %d (a day)", c.DisorderMs, int64(operators.DayMs))
	case c.Start < 0 || c.Start > startMax:
		return fmt.Errorf("field Start is %s: from 1970 to %s", c.Start, startMax)
	}
	return nil
}

// What customers do. All of it hangs on visits, so that every kind of event is as skewed as the customers are.
const (
	visitGapMs   = 60 * operators.DayMs // mean time between the visits of a mean customer
	breakFactor  = 6                    // a break is this many times longer, on average
	breakMax     = 0.4                  // the chance of a break after an order is uniform over the customers, from 0 to this
	viewsMean    = 7                    // page views of a visit, geometric
	viewsMax     = 40
	viewGapMs    = 45_000  // mean time between page views, exponential
	viewGapMaxMs = 600_000 // so that a visit is one session
	cartShare    = 0.5     // of visits put something in the cart
	orderShare   = 0.8     // of carts become orders
	refundShare  = 0.08    // of orders are paid back, half of these in part
	cancelShare  = 0.02    // of orders never happen
	updateShare  = 0.03    // of orders change their value
	ticketShare  = 0.06    // of orders raise a ticket
	mailShare    = 0.8     // of visits are followed by an e-mail before the next
	openShare    = 0.35    // of e-mails are opened
	clickShare   = 0.25    // of opened e-mails are clicked
	hourMs       = 3_600_000
)

// Generator makes the events of a shop's customers, in the order in which they come. It holds one entry for every customer and every event that is still
// to come of a visit made. Not safe for concurrent use.
type Generator struct {
	config GeneratorConfig
	random *rand.Rand
	left   int
	seq    uint64
	people []person
	queue  arrivals
}

// person is a customer of the generator.
type person struct {
	activity float64 // visits, in those of a mean customer
	breaks   float64 // chance of a break after an order
	orders   uint32  // so far
}

// arrival is something to come: an event, or a visit (kind 0) that makes more of them.
type arrival struct {
	at       operators.EventTime // when it comes
	seq      uint64              // breaks ties
	time     operators.EventTime // when it happens
	customer int32
	kind     operators.EventKind
	number   uint32 // of the order, page, campaign or ticket
	cents    int64
	whole    bool
}

type arrivals []arrival

func (h arrivals) Len() int { return len(h) }
func (h arrivals) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].seq < h[j].seq
}
func (h arrivals) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *arrivals) Push(x any)   { *h = append(*h, x.(arrival)) }
func (h *arrivals) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	*h = (*h)[:last]
	return a
}

// NewGenerator returns a generator of all the config's events.
func NewGenerator(config GeneratorConfig) (*Generator, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("making a generator: %w", err)
	}
	g := &Generator{
		config: config, random: rand.New(rand.NewPCG(config.Seed, 0)), left: config.Events,
		people: make([]person, config.Customers), queue: make(arrivals, 0, config.Customers+1),
	}
	sum := 0.0
	for rank := range g.people {
		if config.Zipf > 0 {
			g.people[rank].activity = math.Pow(float64(rank+1), -config.Zipf)
		} else {
			g.people[rank].activity = max(g.random.ExpFloat64(), 0.01)
		}
		sum += g.people[rank].activity
	}
	for i := range g.people {
		g.people[i].activity *= float64(config.Customers) / sum
		g.people[i].breaks = breakMax * g.random.Float64()
		g.visitAfter(int32(i), config.Start, 1)
	}
	return g, nil
}

// newEndless returns a generator whose events go on after the config's.
func newEndless(config GeneratorConfig) (*Generator, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("making a generator: %w", err)
	}
	config.Events = eventsEachMax * config.Customers
	return NewGenerator(config)
}

// Next makes into the next event; ok is false if there is none. Its texts are new strings.
func (g *Generator) Next(into *operators.Event) (ok bool) {
	if g.left == 0 {
		return false
	}
	g.left--
	for {
		a := heap.Pop(&g.queue).(arrival)
		if a.kind == 0 {
			g.visit(a.customer, a.time)
			continue
		}
		g.event(&a, into)
		return true
	}
}

// visitAfter plans a customer's next visit: factor times as late as usual, on average.
func (g *Generator) visitAfter(customer int32, after operators.EventTime, factor float64) {
	gap := min(visitGapMs/g.people[customer].activity*factor*g.random.ExpFloat64(), 100*365*operators.DayMs)
	at := after + 1 + operators.EventTime(gap)
	g.seq++
	heap.Push(&g.queue, arrival{at: at, seq: g.seq, time: at, customer: customer})
}

// plan lets something of a visit come.
func (g *Generator) plan(a arrival) {
	g.seq++
	a.at, a.seq = a.time, g.seq
	if g.config.DisorderMs > 0 {
		a.at += operators.EventTime(g.random.Int64N(g.config.DisorderMs + 1))
	}
	heap.Push(&g.queue, a)
}

// visit plans a visit, what follows from it, and the next one.
func (g *Generator) visit(customer int32, at operators.EventTime) {
	views := min(1+int(g.random.ExpFloat64()*(viewsMean-1)+0.5), viewsMax)
	for range views {
		g.plan(arrival{time: at, customer: customer, kind: operators.PageViewed, number: g.random.Uint32N(5000)})
		at += 1000 + operators.EventTime(min(g.random.ExpFloat64()*viewGapMs, viewGapMaxMs))
	}
	factor := 1.0
	if g.chance(cartShare) {
		g.plan(arrival{time: at, customer: customer, kind: operators.Tracked})
		if g.chance(orderShare) {
			g.order(customer, at+20_000)
			if g.chance(g.people[customer].breaks) {
				factor = breakFactor
			}
		}
	}
	if g.chance(mailShare) {
		g.mail(customer, at+g.within(hourMs, operators.EventTime(visitGapMs/2/g.people[customer].activity)))
	}
	g.visitAfter(customer, at, factor)
}

// order plans an order and what becomes of it.
func (g *Generator) order(customer int32, at operators.EventTime) {
	g.people[customer].orders++
	o := arrival{
		time: at, customer: customer, kind: operators.OrderCompleted, number: g.people[customer].orders,
		cents: 1 + int64(100*math.Exp(3.3+0.6*g.random.NormFloat64())),
	}
	g.plan(o)
	later := func(kind operators.EventKind, from, to operators.EventTime, cents int64) {
		a := o
		a.kind, a.cents, a.time = kind, cents, at+g.within(from, to)
		a.whole = kind == operators.OrderRefunded && cents == o.cents
		g.plan(a)
	}
	switch what := g.random.Float64(); {
	case what < refundShare/2:
		later(operators.OrderRefunded, 2*operators.DayMs, 20*operators.DayMs, o.cents)
	case what < refundShare:
		later(operators.OrderRefunded, 2*operators.DayMs, 20*operators.DayMs, o.cents/3)
	case what < refundShare+cancelShare:
		later(operators.OrderCancelled, hourMs, 2*operators.DayMs, 0)
	case what < refundShare+cancelShare+updateShare:
		later(operators.OrderUpdated, hourMs/60, operators.DayMs, o.cents+500)
	}
	if g.chance(ticketShare) {
		at += g.within(hourMs, 5*operators.DayMs)
		number := g.random.Uint32N(1_000_000)
		for _, kind := range []operators.EventKind{operators.TicketOpened, operators.TicketReplied, operators.TicketClosed} {
			g.plan(arrival{time: at, customer: customer, kind: kind, number: number})
			at += g.within(hourMs/4, operators.DayMs)
		}
	}
}

// mail plans an e-mail and what the customer does with it.
func (g *Generator) mail(customer int32, at operators.EventTime) {
	a := arrival{time: at, customer: customer, kind: operators.CampaignSent, number: g.random.Uint32N(200)}
	next := func(kind operators.EventKind, from, to operators.EventTime) {
		a.kind, a.time = kind, a.time+g.within(from, to)
		g.plan(a)
	}
	g.plan(a)
	next(operators.CampaignDelivered, 1000, 60_000)
	if g.chance(openShare) {
		next(operators.CampaignOpened, 60_000, operators.DayMs)
		if g.chance(clickShare) {
			next(operators.CampaignClicked, 2000, 60_000)
		}
	}
}

func (g *Generator) chance(share float64) bool { return g.random.Float64() < share }

// within returns a time from from to to, or from if that is later.
func (g *Generator) within(from, to operators.EventTime) operators.EventTime {
	return from + operators.EventTime(g.random.Int64N(int64(max(1, to-from))))
}

// event makes into the event that has come.
func (g *Generator) event(a *arrival, into *operators.Event) {
	*into = operators.Event{
		Kind: a.kind, ID: messageID(g.random), Customer: CustomerID(int(a.customer)), Time: a.time,
	}
	number := strconv.FormatUint(uint64(a.number), 10)
	switch a.kind {
	case operators.PageViewed:
		into.Name = "/shop/products/article-" + number
	case operators.Tracked:
		into.Name, into.Quantity = "Product Added", 1
	case operators.OrderCompleted, operators.OrderUpdated:
		into.OrderID, into.Amount = "order-"+number, operators.Money(a.cents)
	case operators.OrderRefunded:
		into.OrderID, into.RefundID, into.Whole = "order-"+number, "refund-"+number, a.whole
		if !a.whole {
			into.Amount = operators.Money(a.cents)
		}
	case operators.OrderCancelled:
		into.OrderID = "order-" + number
	case operators.CampaignSent, operators.CampaignDelivered, operators.CampaignOpened, operators.CampaignClicked:
		into.Subject = "campaign-" + number
	case operators.TicketOpened, operators.TicketReplied, operators.TicketClosed:
		into.Subject = "ticket-" + number
	}
}

// messageID returns an id of the length and form that producers give: a UUID.
func messageID(random *rand.Rand) string {
	a, b := random.Uint64(), random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>52, b&0xffff_ffff_ffff)
}

// CustomerID returns the id of the customer with this number, from 0.
func CustomerID(n int) string { return fmt.Sprintf("c-%08d", n) }
