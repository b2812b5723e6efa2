package task_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/optest"
	"lull/operators/score"
	"lull/operators/trigger"
	"lull/pipeline/task"
	"lull/schemas"
)

// market is a task with customers of names, whose transactions can be lost and whose process can be killed.
type market struct {
	*process
	lines []string // of the transaction under way
	told  int
}

func newMarket(t *testing.T, d *datadriven.TestData) *market {
	cfg := settings()
	cfg.JumpMaxMs, cfg.LatenessMs = 0, 0
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "partition":
			arg.Scan(t, 0, &cfg.Partition)
		case "of":
			arg.Scan(t, 0, &cfg.Partitions)
		case "zone":
			zone, err := time.LoadLocation(arg.Vals[0])
			if err != nil {
				t.Fatal(err)
			}
			cfg.Day = schemas.Days(zone)
		}
	}
	s := &market{process: newProcess(t, cfg, rulesChain(d.Input))}
	s.do(step{mark: start})
	s.do(step{adopt: first})
	s.commit()
	return s
}

func rulesChain(rules string) *operators.Chain {
	var c clv.Config
	c.Trigger.Rules = mustParse(rules)
	c.EnsureDefaults()
	return clv.NewChain(c)
}

// restart goes on under other rules.
func (s *market) restart(rules string) {
	s.chain = rulesChain(rules)
	s.cfg.Terms++
	s.open()
	s.do(step{adopt: first})
	s.sweep()
}

func (s *market) line(t *testing.T, line string) {
	t.Helper()
	switch {
	case line == "the transaction is lost":
		s.abort()
		s.repeat(t)
	case line == "the process is killed":
		s.crash()
		s.repeat(t)
	case strings.HasPrefix(line, "time comes to "):
		at, err := optest.ParseTime(strings.TrimPrefix(line, "time comes to "))
		if err != nil {
			t.Fatal(err)
		}
		s.do(step{offset: s.position(), mark: at})
		s.lines = append(s.lines, line)
	default:
		customer, what, _ := strings.Cut(line, " ")
		e, err := optest.ParseEvent(what)
		if err != nil {
			t.Fatal(err)
		}
		e.Customer, e.ID = customer, line
		if outcome := s.do(step{offset: s.position(), event: &e}); outcome != task.Applied {
			t.Fatalf("%s: outcome %v", line, outcome)
		}
		s.lines = append(s.lines, line)
	}
}

// repeat does again what was in the transaction.
func (s *market) repeat(t *testing.T) {
	lines := s.lines
	s.lines = nil
	for _, line := range lines {
		s.line(t, line)
	}
}

// tell ends the transaction, and returns the triggers in it.
func (s *market) tell() string {
	s.settle()
	s.lines = nil
	var b strings.Builder
	for _, o := range s.outputs[s.told:] {
		if o.Kind != operators.TriggerOutput {
			continue
		}
		act := "act"
		if !o.Trigger.Actionable {
			act = "do not act: " + o.Trigger.Withheld
		}
		fmt.Fprintf(&b, "%s %s %s, %s\n", o.Trigger.Deadline.String()[:16], o.Customer, o.Trigger.Rule, act)
	}
	s.told = len(s.outputs)
	return b.String()
}

// TestCaps tells stories of rules with caps: testdata/caps.txt.
//
//	shop partition=P of=N zone=Z   a task with customers, and its rules
//	rules                          the process ends, and another goes on with these
//	run                            what happens in one transaction: a customer and an event in the notation of optest; "time comes to T"; "the transaction is lost" and
//	                               "the process is killed", after which it is done again
func TestCaps(t *testing.T) {
	var s *market
	datadriven.RunTest(t, "testdata/caps.txt", func(t *testing.T, d *datadriven.TestData) string {
		switch d.Cmd {
		case "shop":
			s = newMarket(t, d)
		case "rules":
			s.restart(d.Input)
		case "run":
			for line := range strings.Lines(d.Input) {
				s.line(t, strings.TrimSpace(line))
			}
		default:
			d.Fatalf(t, "no command %q", d.Cmd)
		}
		return s.tell()
	})
}

// TestCapsAnyhow runs logs of few customers under a rule with a cap through transactions that end, fail and crash anywhere: whatever happens, what the outputs call for on a day is at most the
// task's share, nobody is over the cap before that has been called for, and the meta record has counted what the outputs have.
func TestCapsAnyhow(t *testing.T) {
	called, over := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		rules := mustParse(fmt.Sprintf(`rules: [{name: churn_risk, when: churn_risk >= risk_high, cap_per_day: %d}, {name: bought_again, when: purchases >= 2, cap_per_day: 1}]`, rapid.IntRange(1, 3).Draw(rt, "cap")))
		log := logs(false).Draw(rt, "log")
		how := rapid.SampledFrom(schedules).Draw(rt, "schedule")
		cfg := settings()
		cfg.Partition, cfg.Partitions = 0, rapid.IntRange(1, 2).Draw(rt, "partitions")
		res := runLogOf(t, log, cfg, how, rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)), chainUnder(rules, score.Config{}, poison{}))
		counted := map[operators.DayCalls]uint32{}
		for _, o := range res.outputs {
			if o.Kind != operators.TriggerOutput {
				continue
			}
			r := rules.Rule(o.Trigger.Rule)
			on := operators.DayCalls{Day: operators.Day(o.Trigger.Deadline / day), Rule: operators.RuleKey(r.Name)}
			share := uint32(r.Share(cfg.Partition, cfg.Partitions, on.Day))
			switch {
			case o.Trigger.Actionable:
				if counted[on]++; counted[on] > share {
					rt.Fatalf("%s: %d calls of %s on day %d, of %d\nthe log:\n%s", how.name, counted[on], r.Name, on.Day, share, lines(log))
				}
				called++
			case o.Trigger.Withheld == trigger.Cap:
				if over++; counted[on] < share {
					rt.Fatalf("%s: %s of %s is over the cap after %d calls of %d\nthe log:\n%s", how.name, r.Name, o.Customer, counted[on], share, lines(log))
				}
			}
		}
		meta, err := task.DecodeMeta([]byte(res.store[string(task.MetaKey)]))
		if err != nil {
			rt.Fatal(err)
		}
		for _, c := range meta.Calls {
			if on := (operators.DayCalls{Day: c.Day, Rule: c.Rule}); counted[on] != c.Calls {
				rt.Fatalf("%s: the meta record has %+v; there were %d\nthe log:\n%s", how.name, c, counted[on], lines(log))
			}
		}
		if !slices.IsSortedFunc(meta.Calls, func(a, b operators.DayCalls) int {
			return int(a.Day-b.Day)<<16 + int(a.Rule) - int(b.Rule)
		}) {
			rt.Fatalf("not in order: %+v", meta.Calls)
		}
	})
	if called == 0 || over == 0 {
		t.Errorf("%d calls, %d over the cap: this tests nothing", called, over)
	}
}

// TestCallsForgotten: of days whose triggers are all stale by now, nothing is counted any more.
func TestCallsForgotten(t *testing.T) {
	p := newProcess(t, settings(), rulesChain("rules: [{name: bought_again, when: purchases >= 2, cap_per_day: 5}]"))
	p.mark("01T00:00")
	p.do(step{adopt: first})
	for d := range 28 {
		for range 2 {
			at := fmt.Sprintf("%02dT%02d:00 order_completed order=o%d amount=10", d+1, p.position()%24, p.position())
			p.send(fmt.Sprint("c", d/2), at)
		}
		if p.mark(fmt.Sprintf("%02dT23:59", d+1)); len(p.task.Meta().Calls) > 5 {
			t.Fatalf("%+v", p.task.Meta().Calls)
		}
	}
	if len(p.task.Meta().Calls) == 0 {
		t.Error("nobody was called")
	}
}
