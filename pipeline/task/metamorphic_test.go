package task_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/dedup"
	"lull/operators/score"
	"lull/pipeline/task"
)

// poison is an operator that panics at some events, deadlines and models, and refuses others, after the operators before it have done their work.
type poison struct{}

func (poison) Name() string { return "poison" }

func (poison) Step(_ *operators.Env, _ *operators.Customer, in *operators.Input, out *operators.Outbox) {
	switch {
	case in.Kind == operators.DeadlineInput && in.At%11 == 0, in.Kind == operators.ModelInput && in.At%7 == 0, in.Kind == operators.EventInput && in.Event.Subject == "poison":
		panic("poisoned")
	case in.Kind == operators.EventInput && in.Event.Subject == "refuse":
		out.Reject("refused", "for the test")
	}
}

func (poison) Deadline(*operators.Customer) (operators.EventTime, operators.Release) {
	return operators.Never, operators.BySilence
}

// logs generates what a partition can hold: events of few customers, of every kind, in and out of order, late, clamped, far ahead, stated twice,
// poisoned; time marks; records that are none of the task's; gaps between offsets; and between records models, and what the wall clock says.
func logs(wall bool) *rapid.Generator[[]step] {
	return rapid.Custom(func(t *rapid.T) []step {
		var log []step
		now, offset := start, int64(rapid.IntRange(0, 3).Draw(t, "offset"))
		adoptions := []*operators.Model{first, second, third, fourth}
		if rapid.Bool().Draw(t, "model first") {
			log, adoptions = append(log, step{adopt: first}), adoptions[1:]
		}
		for i := range rapid.IntRange(1, 70).Draw(t, "records") {
			switch what := rapid.IntRange(0, 39).Draw(t, "what"); {
			case (what == 0 || what == 39) && len(adoptions) > 0:
				log, adoptions = append(log, step{adopt: adoptions[0]}), adoptions[1:]
			case what == 1:
				now += operators.EventTime(rapid.Int64Range(0, int64(10*day)).Draw(t, "silence"))
				log = append(log, step{offset: offset, mark: now})
			case what == 2:
				log = append(log, step{offset: offset})
			case what <= 4 && wall:
				now += operators.EventTime(rapid.Int64Range(0, int64(3*day)).Draw(t, "silence"))
				log = append(log, step{advance: now - 2*hour})
			case what <= 6 && len(log) > 0:
				again := log[rapid.IntRange(0, len(log)-1).Draw(t, "again")]
				again.offset = offset
				log = append(log, again)
			default:
				now += operators.EventTime(rapid.SampledFrom([]int64{0, 1, int64(minute), int64(25 * minute), int64(3 * hour), int64(2 * day)}).Draw(t, "on"))
				log = append(log, step{offset: offset, event: event(t, i, now)})
			}
			offset += int64(rapid.SampledFrom([]int{1, 1, 1, 1, 3}).Draw(t, "offsets"))
		}
		return log
	})
}

func event(t *rapid.T, i int, now operators.EventTime) *operators.Event {
	e := &operators.Event{
		Kind:     operators.EventKind(rapid.IntRange(1, operators.EventKinds).Draw(t, "kind")),
		ID:       fmt.Sprint("m", i),
		Customer: rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "customer"),
		Time:     now,
		Name:     rapid.SampledFrom([]string{"home", "Product Added", "checkout"}).Draw(t, "name"),
	}
	if rapid.IntRange(0, 2).Draw(t, "mostly orders") > 0 {
		e.Kind = operators.OrderCompleted
	}
	switch age := rapid.IntRange(0, 19).Draw(t, "age"); {
	case age < 6: // out of order
		e.Time -= operators.EventTime(rapid.Int64Range(0, int64(2*hour)).Draw(t, "behind"))
	case age == 6: // late
		e.Time -= operators.EventTime(rapid.Int64Range(0, int64(6*day)).Draw(t, "behind"))
	case age == 7: // ahead
		e.Time += operators.EventTime(rapid.Int64Range(0, int64(20*day)).Draw(t, "ahead"))
	case age == 8:
		e.Clamped = true
		e.Time += operators.EventTime(rapid.Int64Range(0, int64(300*day)).Draw(t, "ahead"))
	}
	e.Day = operators.Day(e.Time / day)
	e.DayStart = operators.EventTime(e.Day) * day
	switch rapid.IntRange(0, 29).Draw(t, "fault") {
	case 0:
		e.Subject = "poison"
	case 1:
		e.Subject = "refuse"
	}
	if e.Kind.OfOrder() {
		e.OrderID = fmt.Sprint("o", rapid.IntRange(0, 9).Draw(t, "order"))
		e.RefundID = fmt.Sprint("r", rapid.IntRange(0, 3).Draw(t, "refund"))
		e.Amount = operators.Money(rapid.IntRange(-100, 20_000).Draw(t, "amount"))
		e.Whole = rapid.Bool().Draw(t, "whole")
	}
	return e
}

// schedule is a way to run a log.
type schedule struct {
	name   string
	cfg    func(*task.Config)
	budget func(*rand.Rand) func() *task.Budget
	// ends, fails and crashes are how many of 100 steps are followed by the end of the transaction, its failure, and a crash.
	ends, fails, crashes int
	// sweeps is how many of 100 steps are followed by a part of the sweep.
	sweeps int
}

var schedules = []schedule{
	{name: "a transaction per record", ends: 100},
	{name: "random ends", ends: 20},
	{name: "an output each", budget: func(*rand.Rand) func() *task.Budget { return bounded(1) }},
	{name: "few outputs", ends: 10, budget: func(r *rand.Rand) func() *task.Budget { return bounded(2 + r.IntN(4)) }},
	{name: "little time", ends: 10, budget: hasty},
	{name: "few customers and timers in memory", ends: 30, cfg: func(c *task.Config) { c.CachedCustomers, c.TimersLoaded = 2, 1 }},
	{name: "crashes", ends: 30, fails: 10, crashes: 10},
	{name: "swept at once", sweeps: 100},
	{name: "swept", ends: 30, sweeps: 30, budget: func(r *rand.Rand) func() *task.Budget { return bounded(1 + r.IntN(4)) }},
	{name: "swept, crashes", ends: 30, fails: 10, crashes: 10, sweeps: 30, budget: hasty, cfg: func(c *task.Config) { c.CachedCustomers, c.TimersLoaded = 2, 1 }},
	{
		name: "everything", ends: 30, fails: 10, crashes: 10, budget: func(r *rand.Rand) func() *task.Budget { return bounded(1 + r.IntN(3)) },
		cfg: func(c *task.Config) { c.CachedCustomers, c.TimersLoaded = 2, 3 },
	},
}

// result is all that a run has told and left behind.
type result struct {
	outputs  []operators.Output          // but for scores
	scores   map[string]operators.Output // the last row of each customer
	outcomes []task.Outcome
	store    map[string]string
}

// runLog runs a log by a schedule.
func runLog(tb testing.TB, log []step, cfg task.Config, how schedule, r *rand.Rand) result {
	return runLogOf(tb, log, cfg, how, r, chainUnder(scheduled, score.Config{}, poison{}))
}

// scheduled are rules of whose triggers there may be so few that those of these logs are more, and rules whose turns are looked for.
var scheduled = mustParse(`
rules:
  - {name: churn_risk, when: churn_risk >= risk_high, hold: born_high_risk, until: churn_risk < risk_back, cap_per_day: 1}
  - {name: bought_again, when: purchases >= 2, cap_per_day: 1}
  - {name: longer, when: silent_days * 2.0 > age_days}
  - {name: lost, when: value_about_to_be_lost >= 3.0}
  - {name: left, when: value_at_risk > 0.7 * clv}
`)

// runLogOf runs a log through a chain by a schedule.
func runLogOf(tb testing.TB, log []step, cfg task.Config, how schedule, r *rand.Rand, c *operators.Chain) result {
	if how.cfg != nil {
		how.cfg(&cfg)
	}
	p := newProcess(tb, cfg, c)
	if how.budget != nil {
		p.budget = how.budget(r)
	}
	p.now = start + 10*day // under clock: wall some triggers are stale, and some are not
	p.begin()
	outcomes := make([]task.Outcome, len(log))
	committed := 0 // the first step that is not
	for i := 0; i < len(log); {
		outcome, done := p.try(log[i])
		if done {
			if outcome != task.Repeated {
				outcomes[i] = outcome
			}
			i++
		}
		if r.IntN(100) < how.sweeps {
			p.begun = false
			if _, err := p.task.Sweep(p.b); err != nil {
				tb.Fatal(err)
			}
		}
		if r.IntN(3) == 0 {
			if err := p.task.Count(p.b); err != nil {
				tb.Fatal(err)
			}
		}
		switch n := r.IntN(100); {
		case n < how.fails:
			p.abort()
			i = committed
		case n < how.fails+how.crashes:
			p.crash()
			i = r.IntN(committed + 1) // a client can rewind further than it should
		case !done || n < how.fails+how.crashes+how.ends:
			p.commit()
			committed = max(committed, i)
		}
	}
	p.sweep()
	p.checkStatistics()
	res := result{scores: map[string]operators.Output{}, outcomes: outcomes, store: p.store.committed}
	for _, o := range p.outputs {
		if o.Kind != operators.ScoreOutput {
			res.outputs = append(res.outputs, o)
			continue
		}
		o.ID, o.Revision = operators.ID{}, 0
		res.scores[o.Customer] = o
	}
	return res
}

// TestSchedules proves that what a partition's log makes of its customers does not depend on where transactions end, fail or crash, nor on what
// is kept in memory: the run in one transaction is compared with every other schedule, to the byte.
func TestSchedules(t *testing.T) {
	for name, wall := range map[string]bool{"event": false, "wall": true} {
		t.Run("clock "+name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				log := logs(wall).Draw(rt, "log")
				seed := rapid.Uint64().Draw(rt, "seed")
				cfg := settings()
				cfg.EventClock = !wall
				if wall {
					cfg.JumpMaxMs = 0
				}
				whole := runLog(t, log, cfg, schedule{}, rand.New(rand.NewPCG(seed, 0)))
				for _, how := range schedules {
					got := runLog(t, log, cfg, how, rand.New(rand.NewPCG(seed, 1)))
					want := whole
					if how.sweeps > 0 {
						want, got = want.byCustomer(t), got.byCustomer(t)
					}
					if fault := compare(want, got); fault != "" {
						rt.Fatalf("%s: %s\nthe log:\n%s", how.name, fault, lines(log))
					}
				}
			})
		})
	}
}

// byCustomer returns what a run says and leaves of each customer, without what hangs on when the sweep has come to them: the order of outputs of different
// customers; whether a trigger is acted on, and with that how many were called for; where a timer stands; and message ids that are out of the window, which go with the next step.
func (r result) byCustomer(tb testing.TB) result {
	tb.Helper()
	r.outputs = slices.Clone(r.outputs)
	for i := range r.outputs {
		o := &r.outputs[i]
		if o.Kind == operators.TriggerOutput {
			fired := *o.Trigger
			fired.Actionable, fired.Withheld, fired.Capped = false, "", false
			o.Trigger = &fired
		}
	}
	slices.SortStableFunc(r.outputs, func(a, b operators.Output) int { return strings.Compare(a.Customer, b.Customer) })
	meta, err := task.DecodeMeta([]byte(r.store[string(task.MetaKey)]))
	if err != nil {
		tb.Fatal(err)
	}
	var window dedup.Config
	window.EnsureDefaults()
	store := map[string]string{}
	meta.Calls = nil
	for key, state := range r.store {
		if key == string(task.MetaKey) {
			state = string(meta.Append(nil))
		}
		if id, ok := task.CustomerOf([]byte(key)); ok {
			c := operators.NewCustomer(string(id))
			if err := c.DecodeState([]byte(state)); err != nil {
				tb.Fatal(err)
			}
			c.Armed = operators.Unset
			c.Messages = slices.DeleteFunc(c.Messages, func(m operators.Message) bool { return m.Time < meta.Watermark-operators.EventTime(window.WindowMs) })
			state = string(c.AppendState(nil))
		}
		store[key] = state
	}
	r.store = store
	return r
}

func lines(log []step) string {
	var b strings.Builder
	for _, s := range log {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// compare returns the first difference between two results, "" if there is none.
func compare(want, got result) string {
	for i := range want.outputs {
		if i == len(got.outputs) || !reflect.DeepEqual(want.outputs[i], got.outputs[i]) {
			return fmt.Sprintf("output %d of %d is not\n%+v\nof %d", i, len(got.outputs), want.outputs[i], len(want.outputs))
		}
	}
	for id, row := range want.scores {
		if !reflect.DeepEqual(row, got.scores[id]) {
			return fmt.Sprintf("the score of %s is\n%+v\nnot\n%+v", id, got.scores[id], row)
		}
	}
	switch {
	case len(got.outputs) > len(want.outputs):
		return fmt.Sprintf("there is one output more:\n%+v", got.outputs[len(want.outputs)])
	case len(got.scores) != len(want.scores):
		return fmt.Sprintf("there are scores of %d customers, not of %d", len(got.scores), len(want.scores))
	case !reflect.DeepEqual(want.outcomes, got.outcomes):
		return fmt.Sprintf("the outcomes are %v, not %v", got.outcomes, want.outcomes)
	}
	return strings.Join(differences(want.store, got.store), "\n")
}
