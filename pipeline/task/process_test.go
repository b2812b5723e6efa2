package task_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lull/operators"
	"lull/operators/dedup"
	"lull/operators/orders"
	"lull/operators/rfm"
	"lull/operators/score"
	"lull/operators/segment"
	"lull/operators/session"
	"lull/operators/trigger"
	"lull/pipeline/task"
	"lull/schemas"
)

const (
	minute = operators.EventTime(60_000)
	hour   = 60 * minute
	day    = 24 * hour
	// start is 1997-01-01.
	start = 9862 * day
)

// step is one thing that a task is given. Exactly one field is set, but for offset.
type step struct {
	offset  int64
	event   *operators.Event
	mark    operators.EventTime
	advance operators.EventTime // by the wall clock
	adopt   *operators.Model
}

func (s step) String() string {
	switch {
	case s.event != nil:
		e := s.event
		return fmt.Sprintf("%d: %s %s %s id=%s order=%s amount=%d clamped=%v name=%s", s.offset, e.Time, e.Customer, e.Kind, e.ID, e.OrderID, e.Amount, e.Clamped, e.Name)
	case s.mark != 0:
		return fmt.Sprintf("%d: mark %s", s.offset, s.mark)
	case s.advance != 0:
		return fmt.Sprintf("the clock shows %s", s.advance)
	case s.adopt != nil:
		return "model " + s.adopt.Version
	}
	return fmt.Sprintf("%d: none of the task's", s.offset)
}

// models are all that there are.
type models []*operators.Model

func (ms models) Model(ref uint32) *operators.Model {
	for _, m := range ms {
		if m.Ref() == ref {
			return m
		}
	}
	return nil
}

// first and second are models of a shop whose customers are forgotten within days.
var (
	first = &operators.Model{
		Version: "first", EffectiveAt: start, Family: "mbgnbd", R: 0.525, Alpha: 2, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 60,
	}
	second = &operators.Model{
		Version: "second", EffectiveAt: start, Family: "mbgnbd", R: 0.8, Alpha: 1.1, A: 0.5, B: 0.9, P: 5, Q: 3, V: 20, HighValue: 90,
	}
	// third is in force from the 11th day on.
	third = &operators.Model{
		Version: "third", EffectiveAt: start + 10*day, Family: "mbgnbd", R: 0.4, Alpha: 1.5, A: 1.2, B: 1.1, P: 6, Q: 3.5, V: 15, HighValue: 30,
	}
	fourth = &operators.Model{
		Version: "fourth", EffectiveAt: 0, Family: "bgnbd", R: 0.6, Alpha: 3, A: 0.7, B: 2, P: 6, Q: 3.5, V: 15, HighValue: 100,
	}
)

// chain returns the chain of package clv, with small limits so that lists overflow into Parts, and more operators at its end.
func chain(more ...operators.Operator) *operators.Chain { return chainOf(score.Config{}, more...) }

func chainOf(sc score.Config, more ...operators.Operator) *operators.Chain {
	return chainUnder(churnRisk, sc, more...)
}

func chainUnder(rules *trigger.Rules, sc score.Config, more ...operators.Operator) *operators.Chain {
	d, s, o, r, tr := dedup.Config{IDsMax: 6}, session.Config{SessionsMax: 3}, orders.Config{OrdersKept: 2, RefundsMax: 2}, rfm.Config{DaysKept: 2}, trigger.Config{}
	d.EnsureDefaults()
	s.EnsureDefaults()
	o.EnsureDefaults()
	r.EnsureDefaults()
	sc.EnsureDefaults()
	tr.Rules = rules
	tr.EnsureDefaults()
	terms, scores := sc.Terms(), score.New(sc)
	segments := segment.New(segment.Config{DwellMs: 1}, terms, scores)
	return operators.NewChain(append([]operators.Operator{
		dedup.New(d), session.New(s), orders.New(o), rfm.New(r), scores, segments, trigger.New(tr, terms, scores, segments),
	}, more...)...)
}

// churnRisk is the one rule of these tests, as it is by default.
var churnRisk = mustParse(`
rules:
  - {name: churn_risk, when: churn_risk >= risk_high, hold: born_high_risk, until: churn_risk < risk_back}
`)

func mustParse(rules string) *trigger.Rules {
	parsed, err := trigger.ParseRules("rules.yaml", []byte(rules))
	if err != nil {
		panic(err)
	}
	return parsed
}

// settings are those of a task unless a test is about one of them.
func settings() task.Config {
	return task.Config{
		LatenessMs: int64(2 * hour), JumpMaxMs: int64(7 * day), EventClock: true, CachedCustomers: 100, TimersLoaded: 100, Looks: 2, Sampled: 3,
		Partitions: 1, Day: schemas.Days(time.UTC), ActionMaxMs: int64(day),
	}
}

// process runs a task as the pipeline does: transactions that end and fail anywhere, each followed by the next.
type process struct {
	tb      testing.TB
	cfg     task.Config
	chain   *operators.Chain
	store   *memory
	models  models
	topic   models // those that have been published, in the order of their topic
	task    *task.Task
	budget  func() *task.Budget
	b       *task.Budget
	begun   bool // a transaction has begun, but nothing has been done in it
	now     operators.EventTime
	outputs []operators.Output // of committed transactions
}

func newProcess(tb testing.TB, cfg task.Config, c *operators.Chain) *process {
	p := &process{tb: tb, cfg: cfg, chain: c, store: newMemory(tb), models: models{first, second, third, fourth}, budget: unbounded}
	p.open()
	return p
}

func unbounded() *task.Budget {
	return &task.Budget{Outputs: 1 << 30, Expired: func() bool { return false }}
}

// bounded returns budgets of that many outputs.
func bounded(outputs int) func() *task.Budget {
	return func() *task.Budget { return &task.Budget{Outputs: outputs, Expired: func() bool { return false }} }
}

// hasty returns budgets whose time is up at a random place, but not before anything has been done.
func hasty(r *rand.Rand) func() *task.Budget {
	return func() *task.Budget {
		left := 1 + r.IntN(4)
		return &task.Budget{Outputs: 1 << 30, Expired: func() bool { left--; return left < 0 }}
	}
}

func (p *process) open() {
	p.tb.Helper()
	var err error
	if p.task, err = task.Open(p.cfg, p.chain, p.store, p.models); err != nil {
		p.tb.Fatal(err)
	}
	p.begin()
}

func (p *process) begin() {
	p.task.Begin(p.now)
	p.b = p.budget()
	p.begun = true
}

// commit ends the transaction, and begins the next.
func (p *process) commit() {
	p.tb.Helper()
	if err := p.task.Finish(); err != nil {
		p.tb.Fatal(err)
	}
	p.outputs = append(p.outputs, p.task.Outputs()...)
	p.store.commit()
	p.task.Committed()
	p.begin()
}

// abort lets the transaction fail; crash does that to the process.
func (p *process) abort() {
	p.tb.Helper()
	p.store.abort()
	if err := p.task.Aborted(); err != nil {
		p.tb.Fatal(err)
	}
	p.begin()
}

func (p *process) crash() {
	p.tb.Helper()
	p.store.abort()
	p.open()
}

// try does one step as far as the budget goes. A transaction begins with what the one before has left.
func (p *process) try(s step) (outcome task.Outcome, done bool) {
	p.tb.Helper()
	done, err := true, error(nil)
	if p.begun {
		p.begun = false
		done, err = p.task.FireDue(p.b)
	}
	switch {
	case err != nil || !done:
	case s.event != nil:
		outcome, err = p.task.Apply(s.offset, s.event, p.b)
		done = outcome != task.Unfinished
	case s.mark != 0:
		outcome, err = p.task.Mark(s.offset, s.mark, p.b)
		done = outcome != task.Unfinished
	case s.advance != 0:
		done, err = p.task.AdvanceClock(s.advance, p.b)
	case s.adopt != nil:
		// In the order of the log, what is due comes before the model.
		if done, err = p.task.FireDue(p.b); done {
			err = p.task.Adopt(p.published(s.adopt))
		}
	default:
		outcome, done = p.task.Skip(s.offset), true
	}
	if err != nil {
		p.tb.Fatalf("%s: %v", s, err)
	}
	return outcome, done
}

// published publishes a model, unless it has been, and returns the topic up to it.
func (p *process) published(m *operators.Model) models {
	for i := range p.topic {
		if p.topic[i] == m {
			return p.topic[:i+1]
		}
	}
	p.topic = append(p.topic, m)
	return p.topic
}

// do does one step, in as many transactions as that takes.
func (p *process) do(s step) task.Outcome {
	p.tb.Helper()
	for {
		outcome, done := p.try(s)
		if done {
			return outcome
		}
		p.commit()
	}
}

// settle fires what is still due, and commits.
func (p *process) settle() {
	p.tb.Helper()
	for {
		done, err := p.task.FireDue(p.b)
		if err != nil {
			p.tb.Fatal(err)
		}
		p.commit()
		if done {
			return
		}
	}
}

// sweep brings everybody to the model in force, in as many transactions as that takes. It returns how many were touched.
func (p *process) sweep() (touched int) {
	p.tb.Helper()
	for p.settle(); p.task.Sweeping(); p.commit() {
		n, err := p.task.Sweep(p.b)
		if err != nil {
			p.tb.Fatal(err)
		}
		touched += n
	}
	p.settle()
	return touched
}

// customer returns a customer as they were committed; new if nothing is known of them.
func (p *process) customer(id string) *operators.Customer {
	p.tb.Helper()
	c := operators.NewCustomer(id)
	if state, ok := p.store.committed[string(task.CustomerKey(nil, id))]; ok {
		if err := c.DecodeState([]byte(state)); err != nil {
			p.tb.Fatal(err)
		}
	}
	return c
}

// sessionOperator returns the operator of sessions with its defaults.
func sessionOperator() operators.Operator {
	var s session.Config
	s.EnsureDefaults()
	return session.New(s)
}
