package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/consent"
	"lull/operators/dedup"
	"lull/operators/orders"
	"lull/operators/rfm"
	"lull/operators/score"
	"lull/operators/session"
	"lull/operators/trigger"
	"lull/pipeline/task"
)

// memory is a store in memory. Each write is committed at once.
type memory struct {
	values map[string][]byte
	bytes  int // written
}

func (m *memory) Get(key []byte) ([]byte, bool, error) {
	value, ok := m.values[string(key)]
	return value, ok, nil
}

func (m *memory) Set(key, value []byte) error {
	m.bytes += len(key) + len(value)
	m.values[string(key)] = bytes.Clone(value)
	return nil
}

func (m *memory) Delete(key []byte) error {
	delete(m.values, string(key))
	return nil
}

// Scan is the sweep's, of which there is none here: every customer is new to the model.
func (*memory) Scan(_, _ []byte, _ func(key, value []byte) bool) error { return nil }

// ScanIndex sorts all there is: the tasks here ask once, before the measurement, since they hold all their timers.
func (m *memory) ScanIndex(from, to []byte, yield func(entry []byte) bool) error {
	var entries [][]byte
	for key, value := range m.values {
		if entry, ok := task.IndexEntry(nil, []byte(key), value); ok && bytes.Compare(entry, from) >= 0 && (to == nil || bytes.Compare(entry, to) < 0) {
			entries = append(entries, entry)
		}
	}
	slices.SortFunc(entries, bytes.Compare)
	for _, entry := range entries {
		if !yield(entry) {
			break
		}
	}
	return nil
}

func (*memory) DropIndexBelow([]byte) {}

const (
	members = 1000 // customers of a stepBench
	history = 10   // orders that each of them has made, three weeks apart
	laps    = 10   // events of each of them in a round
)

// stepBench measures a task with its chain, without Kafka, Avro and Pebble.
type stepBench struct {
	chain  *operators.Chain
	store  memory
	task   *task.Task
	offset int64
	budget task.Budget
}

func newStepBench(b *testing.B) *stepBench { return newStepBenchOf(b, clv.NewChain(defaults())) }

func defaults() (config clv.Config) {
	config.EnsureDefaults()
	return config
}

func newStepBenchOf(b *testing.B, chain *operators.Chain) *stepBench {
	s := &stepBench{chain: chain, store: memory{values: map[string][]byte{}}, budget: task.Budget{Outputs: 1 << 30, Expired: func() bool { return false }}}
	s.open(b)
	if err := s.task.Adopt([]*operators.Model{&model}); err != nil {
		b.Fatal(err)
	}
	s.commit(b)
	return s
}

// open opens the task of the store as it is.
func (s *stepBench) open(b *testing.B) {
	b.Helper()
	const lateness = 600_000
	var err error
	s.task, err = task.Open(task.Config{LatenessMs: lateness, EventClock: true, CachedCustomers: 2 * members, TimersLoaded: 100 * members, Looks: 8192, Sampled: members}, s.chain, &s.store, oneModel{})
	if err != nil {
		b.Fatal(err)
	}
	s.offset = s.task.Meta().Position
	s.task.Begin(0)
	if _, err := s.task.FireDue(&s.budget); err != nil { // loads the timers
		b.Fatal(err)
	}
}

func (s *stepBench) apply(b *testing.B, e *operators.Event) {
	outcome, err := s.task.Apply(s.offset, e, &s.budget)
	if err != nil || outcome != task.Applied {
		b.Fatalf("%+v: outcome %d, %v, %+v", *e, outcome, err, s.task.Refusal())
	}
	s.offset++
}

// commit ends the transaction and returns how many outputs it had.
func (s *stepBench) commit(b *testing.B) int {
	if err := s.task.Finish(); err != nil {
		b.Fatal(err)
	}
	n := len(s.task.Outputs())
	s.task.Committed()
	s.task.Begin(0)
	return n
}

// setTime dates an event, as the decoder does in UTC.
func setTime(e *operators.Event, t operators.EventTime) {
	e.Time, e.Day = t, operators.Day(t/operators.DayMs)
	e.DayStart = operators.EventTime(e.Day) * operators.DayMs
}

// events returns laps events of the kind for each customer, in rounds over all of them, gap ms apart for each customer.
func events(kind operators.EventKind, from, gap operators.EventTime) []operators.Event {
	list := make([]operators.Event, 0, members*laps)
	for lap := range laps {
		for n := range members {
			e := operators.Event{Kind: kind, Customer: CustomerID(n), ID: fmt.Sprintf("%s-%d-%d", kind, n, lap)}
			setTime(&e, from+operators.EventTime(lap)*gap+gap*operators.EventTime(n)/members)
			switch kind {
			case operators.PageViewed:
				e.Name = fmt.Sprint("/shop/products/article-", lap)
			case operators.Tracked:
				e.Name = "Product Added"
			case operators.OrderCompleted:
				e.OrderID, e.Amount = fmt.Sprintf("new-%d-%d", n, lap), operators.Money(1999+100*lap)
			case operators.OrderUpdated:
				e.OrderID, e.Amount = fmt.Sprint("order-", lap), 4999
			case operators.OrderRefunded:
				e.OrderID, e.RefundID, e.Amount = fmt.Sprint("order-", lap), "refund", 500
			case operators.OrderCancelled:
				e.OrderID = fmt.Sprint("order-", lap)
			default:
				e.Subject = fmt.Sprint("subject-", lap)
			}
			list = append(list, e)
		}
	}
	return list
}

// BenchmarkStep measures one event in the task of a thousand customers who have made ten orders each: due deadlines, chain, and, every thousand events, the
// encoding of the changed states. Between two events of a customer lies what the kind's sub-benchmark says; silence deadlines that it
// releases, and sessions that it ends, are in the figures. Every ten events of each customer all are put back to where they were.
func BenchmarkStep(b *testing.B) {
	const (
		minute = operators.EventTime(60_000)
		day    = operators.EventTime(operators.DayMs)
	)
	prepared := newStepBench(b)
	for lap := range history {
		for n := range members {
			e := operators.Event{Kind: operators.OrderCompleted, Customer: CustomerID(n), OrderID: fmt.Sprint("order-", lap), Amount: 2999}
			e.ID = fmt.Sprint("history-", lap)
			setTime(&e, shopOpens+21*day*operators.EventTime(lap)+21*day*operators.EventTime(n)/members)
			prepared.apply(b, &e)
		}
		prepared.commit(b)
	}
	start := shopOpens + 21*day*history
	for _, one := range []struct {
		kind operators.EventKind
		gap  operators.EventTime
		name string
	}{
		{operators.PageViewed, minute, "minute"}, {operators.PageViewed, day, "day"}, {operators.Tracked, minute, "minute"},
		{operators.OrderCompleted, 21 * day, "21_days"}, {operators.OrderUpdated, minute, "minute"}, {operators.OrderRefunded, minute, "minute"},
		{operators.OrderCancelled, minute, "minute"}, {operators.CampaignSent, minute, "minute"}, {operators.CampaignOpened, minute, "minute"},
		{operators.CampaignClicked, day, "day"}, {operators.TicketOpened, minute, "minute"},
	} {
		b.Run(one.kind.String()+"/"+one.name, func(b *testing.B) {
			prepared.measure(b, events(one.kind, start, one.gap))
		})
	}
	// The generator's mix, of as many customers; one round is many visits of each.
	mix := newStepBench(b)
	b.Run("mix", func(b *testing.B) {
		mix.measure(b, mixed(b))
	})
}

// mixed returns events as the generator mixes them.
func mixed(b *testing.B) (list []operators.Event) {
	b.Helper()
	g, err := NewGenerator(GeneratorConfig{Seed: 1, Events: 25 * members, Customers: members, Start: shopOpens})
	if err != nil {
		b.Fatal(err)
	}
	for e := (operators.Event{}); g.Next(&e); {
		setTime(&e, e.Time)
		list = append(list, e)
	}
	return list
}

// BenchmarkPositions measures what segments and triggers cost: the generator's mix, and orders three weeks apart with the silences between them, through the whole chain, through one without rules, and through one that ends with the scores.
func BenchmarkPositions(b *testing.B) {
	config, none := defaults(), defaults()
	none.Trigger.Rules = &trigger.Rules{}
	for _, part := range []struct {
		name  string
		chain *operators.Chain
	}{
		{"all", clv.NewChain(config)},
		{"no_rules", clv.NewChain(none)},
		{"scores_only", operators.NewChain(
			dedup.New(config.Dedup), session.New(config.Session), orders.New(config.Orders), consent.New(config.Consent), rfm.New(config.RFM), score.New(config.Score),
		)},
	} {
		b.Run("mix/"+part.name, func(b *testing.B) { newStepBenchOf(b, part.chain).measure(b, mixed(b)) })
		b.Run("orders/"+part.name, func(b *testing.B) {
			newStepBenchOf(b, part.chain).measure(b, events(operators.OrderCompleted, shopOpens, 21*operators.DayMs))
		})
	}
}

// measure applies the events over and over, each time to the customers as they are in s. Besides the wall clock it reports the process's CPU time,
// garbage collection included, which other processes on the machine disturb less.
func (s *stepBench) measure(b *testing.B, list []operators.Event) {
	var run stepBench
	outputs, written := 0, 0
	var used, from time.Duration
	b.ReportAllocs()
	for i := range b.N {
		at := i % len(list)
		if at == 0 {
			b.StopTimer()
			if i > 0 {
				used += cpuTime(b) - from
			}
			written += run.store.bytes
			run = *s
			run.store = memory{values: maps.Clone(s.store.values)}
			run.open(b)
			if len(run.task.Meta().Adoptions) != 1 {
				b.Fatal("no model is in force: nothing would be scored")
			}
			from = cpuTime(b)
			b.StartTimer()
		}
		run.apply(b, &list[at])
		if at%members == members-1 {
			outputs += run.commit(b)
		}
	}
	used += cpuTime(b) - from
	written += run.store.bytes
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(outputs)/float64(b.N), "outputs/op")
	b.ReportMetric(float64(written)/float64(b.N), "state-B/op")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	u, err := measureUsage()
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.cpuSeconds() * 1e9)
}

// BenchmarkGenerator measures the making of an event, to know what a load generator costs beside what it measures.
func BenchmarkGenerator(b *testing.B) {
	for _, zipf := range []float64{0, 1} {
		b.Run(strings.ReplaceAll(fmt.Sprintf("zipf_%v", zipf), ".", "_"), func(b *testing.B) {
			g, err := NewGenerator(GeneratorConfig{Seed: 1, Events: max(b.N, 1), Customers: 20_000 + b.N/3000, Zipf: zipf, Start: shopOpens})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var e operators.Event
			for g.Next(&e) {
			}
		})
	}
}
