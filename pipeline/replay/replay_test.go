package replay_test

import (
	"cmp"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"lull/operators"
	"lull/operators/trigger"
	"lull/pipeline"
	"lull/pipeline/backfill"
	"lull/pipeline/replay"
	"lull/schemas"
)

// shop is a past, and what a run over it is made of.
type shop struct {
	t       *testing.T
	s       pipeline.Settings
	rules   *trigger.Rules
	records []replay.Record
	bought  replay.Purchases
	made    []operators.Output // by try last
}

func newShop(t *testing.T) *shop {
	s := &shop{t: t, bought: make(replay.Purchases)}
	s.s.EnsureDefaults()
	return s
}

func (s *shop) add(e operators.Event) {
	s.t.Helper()
	e.ID = "m" + strconv.Itoa(len(s.records))
	value, err := schemas.EncodeEvent(nil, &e, "USD")
	if err != nil {
		s.t.Fatal(err)
	}
	s.records = append(s.records, replay.Record{Customer: e.Customer, Time: e.Time, Value: value, Row: int64(len(s.records)) + 1})
	if e.Kind == operators.OrderCompleted {
		s.bought[e.Customer] = append(s.bought[e.Customer], e.Time)
	}
}

// each yields the records before an instant.
func (s *shop) each(before operators.EventTime) iter.Seq[*replay.Record] {
	return func(yield func(*replay.Record) bool) {
		for i := range s.records {
			if s.records[i].Time < before && !yield(&s.records[i]) {
				return
			}
		}
	}
}

// open returns a run with what is special of it.
func (s *shop) open(configure func(*backfill.Config)) *backfill.Run {
	s.t.Helper()
	c := backfill.Config{
		Dir: filepath.Join(s.t.TempDir(), "state"), Chain: s.s.Chain(), Decoder: s.s.Decoder(), LatenessMs: s.s.Clock.Lateness.Milliseconds(),
	}
	configure(&c)
	run, err := backfill.Open(c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := run.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return run
}

// cdnow is the model of the demo.
func cdnow() *operators.Model {
	return &operators.Model{Version: "cdnow", Family: "mbgnbd", R: 0.525, Alpha: 7 * 6.183, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 29.54}
}

func (s *shop) try(rules *trigger.Rules, model *operators.Model, p replay.Period) *replay.Told {
	s.t.Helper()
	told, err := replay.Follow(s.open(func(c *backfill.Config) { c.Chain.Trigger.Rules, c.Model = rules, model }), s.each(operators.Never), p)
	if err != nil {
		s.t.Fatal(err)
	}
	return told
}

func instant(t *testing.T, text string) operators.EventTime {
	t.Helper()
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04"} {
		if at, err := time.Parse(layout, text); err == nil {
			return operators.EventTime(at.UnixMilli())
		}
	}
	t.Fatalf("%q is no instant", text)
	return 0
}

// TestScenarios proves, in pasts that can be worked out by hand, which triggers and changes of segment count, what they come to, and what other rules change. Commands:
//
//	rules             the rules from here on
//	events            the events, in order of time: TIME CUSTOMER order ID CENTS, or TIME CUSTOMER cancel ID
//	try from=DAY until=DAY [known=DAY] [days=N] [part=N]
//	                  the triggers from one day up to, not including, another, with what became of them, and what they come to: who buys within so many days comes back, and purchases
//	                  are known up to a day (default: until); counts are of parts of so many days; and how customers moved between segments
//	diff from=DAY until=DAY
//	                  what these rules change against those of the try before
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata/scenarios", func(t *testing.T, path string) {
		s := newShop(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "rules":
				var err error
				if s.rules, err = trigger.ParseRules("rules", []byte(d.Input)); err != nil {
					t.Fatal(err)
				}
				return ""
			case "events":
				for line := range strings.Lines(d.Input) {
					s.event(strings.Fields(line))
				}
				return ""
			}
			from, until, known, days, part := "", "", "", 30, 7
			d.ScanArgs(t, "from", &from)
			d.ScanArgs(t, "until", &until)
			d.MaybeScanArgs(t, "known", &known)
			d.MaybeScanArgs(t, "days", &days)
			d.MaybeScanArgs(t, "part", &part)
			p := replay.Period{From: instant(t, from), Until: instant(t, until)}
			told := s.try(s.rules, cdnow(), p)
			made := told.Triggers
			if d.Cmd == "diff" {
				return tellDiff(replay.NewDiff(s.names(), s.made, made))
			}
			s.made = made
			watch := &replay.Watch{Purchases: s.bought, HorizonMs: int64(days) * operators.DayMs, Known: instant(t, cmp.Or(known, until))}
			return tell(made, watch) + s.summaries(p, part*operators.DayMs, watch) + tellMoves(told)
		})
	})
}

// TestShortMaxAge proves that whoever falls silent is heard of in time, however short triggers.max_age is: between two events time goes from deadline to deadline.
func TestShortMaxAge(t *testing.T) {
	s := newShop(t)
	s.s.Triggers.MaxAge = time.Second
	for i, customer := range []string{"ann", "bob", "cy"} {
		s.event([]string{fmt.Sprintf("2024-01-01T10:%02d", 17*i), customer, "order", "o", "4000"})
	}
	s.event([]string{"2025-01-01T10:00", "dan", "order", "o", "4000"})
	made := s.try(trigger.DefaultRules(), cdnow(), replay.Period{From: instant(t, "2024-01-01"), Until: instant(t, "2025-01-01")}).Triggers
	if len(made) < 3 {
		t.Fatalf("%d triggers", len(made))
	}
	for _, o := range made {
		if o.Trigger.Withheld == trigger.Stale {
			t.Errorf("the %s of %s at %s is stale", o.Trigger.Rule, o.Customer, o.Trigger.Deadline)
		}
	}
}

// some reports whether something is told on both topics.
func some(told *replay.Told) bool { return len(told.Triggers) > 0 && len(told.Transitions) > 0 }

func counts(told *replay.Told) string {
	return fmt.Sprintf("%d triggers and %d transitions", len(told.Triggers), len(told.Transitions))
}

func (s *shop) event(words []string) {
	s.t.Helper()
	e := operators.Event{Time: instant(s.t, words[0]), Customer: words[1], OrderID: words[3], Kind: operators.OrderCancelled}
	if words[2] == "order" {
		cents, err := strconv.Atoi(words[4])
		if err != nil {
			s.t.Fatal(err)
		}
		e.Kind, e.Amount = operators.OrderCompleted, operators.Money(cents)
	}
	s.add(e)
}

// names returns the names of the rules, and of those that there are triggers of besides.
func (s *shop) names() (names []string) {
	for i := range s.rules.Rules {
		names = append(names, s.rules.Rules[i].Name)
	}
	for i := range s.made {
		if name := s.made[i].Trigger.Rule; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func tell(made []operators.Output, watch *replay.Watch) string {
	var b strings.Builder
	for i := range made {
		m := &made[i]
		fmt.Fprintf(&b, "%s %s %s", m.Time, m.Customer, m.Trigger.Rule)
		if m.Trigger.Withheld != "" {
			b.WriteString(", " + m.Trigger.Withheld)
		}
		switch at, came, over := watch.Return(m); {
		case came:
			fmt.Fprintf(&b, ", came back %s", at)
		case !over:
			b.WriteString(", who knows")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (s *shop) summaries(p replay.Period, partMs int, watch *replay.Watch) string {
	var b strings.Builder
	for _, r := range replay.Summaries(s.names(), s.made, p, partMs, watch) {
		fmt.Fprintf(&b, "%s: %d of %d customers, %d actionable, withheld %v, came back %d of %d, median %g days, counts %v\n",
			r.Rule, r.Fired, r.Customers, r.Actionable, r.Withheld, r.CameBack, r.Followed, r.MedianDays, r.Counts)
	}
	for _, o := range replay.Overlaps(s.names(), s.made) {
		fmt.Fprintf(&b, "%s and %s: %d of %d customers\n", o.A, o.B, o.Both, o.Either)
	}
	return b.String()
}

func tellMoves(told *replay.Told) string {
	var b strings.Builder
	for i := range told.Transitions {
		o := &told.Transitions[i]
		fmt.Fprintf(&b, "%s %s %s: %s -> %s\n", o.Time, o.Customer, o.Segment.Dimension, o.Segment.From, o.Segment.To)
	}
	for _, m := range replay.Moves(told.Transitions) {
		fmt.Fprintf(&b, "%s: %s -> %s %d times, by %d customers\n", m.Dimension, m.From, m.To, m.Times, m.Customers)
	}
	return b.String()
}

func tellDiff(d *replay.Diff) string {
	var b strings.Builder
	all := d.All
	all.Rule = "all"
	for _, c := range append(slices.Clone(d.Rules), all) {
		fmt.Fprintf(&b, "%s: %d, were %d; both %d, only old %d, only new %d; freed %d, stopped %d; customers %d, were %d, both %d\n",
			c.Rule, c.New.Count, c.Old.Count, c.Both.Count, c.OnlyOld.Count, c.OnlyNew.Count, c.Freed, c.Stopped, c.CustomersNew, c.CustomersOld, c.CustomersBoth)
	}
	for _, side := range []struct {
		name string
		only []*operators.Output
	}{{"old", d.OnlyOld}, {"new", d.OnlyNew}} {
		for _, m := range side.only {
			fmt.Fprintf(&b, "only %s: %s %s %s\n", side.name, m.Time, m.Customer, m.Trigger.Rule)
		}
	}
	return b.String()
}

// drawn is a past of customers who begin in the first months and go on for a while.
func drawn(t *testing.T) *shop {
	s := newShop(t)
	s.rules = trigger.DefaultRules()
	r := rand.New(rand.NewPCG(7, 0))
	var orders []operators.Event
	for c := range 200 {
		at, gap := operators.EventTime(r.IntN(120*operators.DayMs)), (2+40*r.Float64())*operators.DayMs
		for left := 1 + r.IntN(9); left > 0; left-- {
			orders = append(orders, operators.Event{
				Kind: operators.OrderCompleted, Customer: "c" + strconv.Itoa(c), OrderID: strconv.Itoa(len(orders)), Time: at, Amount: operators.Money(300 + r.IntN(9000)),
			})
			at += operators.EventTime(gap * r.ExpFloat64())
		}
	}
	slices.SortStableFunc(orders, func(a, b operators.Event) int { return cmp.Compare(a.Time, b.Time) })
	for _, e := range orders {
		s.add(e)
	}
	return s
}

// fit returns the model of what is known at the beginning of a day, if there were no records from an instant on.
func (s *shop) fit(day operators.Day, records operators.EventTime) *operators.Model {
	s.t.Helper()
	m, err := replay.Fit(s.open(func(c *backfill.Config) { c.Sampled = s.s.Sampled() }), s.each(records), s.s.FitConfig(), operators.EventTime(day)*operators.DayMs, day)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// TestFuture: neither the model nor what is told of a period knows of what comes after it.
func TestFuture(t *testing.T) {
	s := drawn(t)
	const from, until operators.Day = 150, 210
	start, end := operators.EventTime(from)*operators.DayMs, operators.EventTime(until)*operators.DayMs
	model := s.fit(from, operators.Never)
	if before := s.fit(from, start); !reflect.DeepEqual(model, before) {
		t.Errorf("with the records from its day on the model is %+v, without them %+v", model, before)
	}
	if model.Fit.AsOf != start || model.EffectiveAt != 0 || model.Fit.Customers == 0 {
		t.Errorf("model %+v, %+v", model, model.Fit)
	}
	p := replay.Period{From: start, Until: end}
	whole := s.try(s.rules, model, p)
	s.records = slices.DeleteFunc(s.records, func(r replay.Record) bool { return r.Time >= end })
	if cut := s.try(s.rules, model, p); !some(whole) || !reflect.DeepEqual(whole, cut) {
		t.Errorf("with what comes after there are %s, without it %s, or others", counts(whole), counts(cut))
	}
}

// TestParts: what is told of a period is what is told of its two parts, each in the order of time.
func TestParts(t *testing.T) {
	s := drawn(t)
	at := func(day int) operators.EventTime { return operators.EventTime(day) * operators.DayMs }
	whole := s.try(s.rules, cdnow(), replay.Period{From: at(30), Until: at(260)})
	parts, second := s.try(s.rules, cdnow(), replay.Period{From: at(30), Until: at(100)}), s.try(s.rules, cdnow(), replay.Period{From: at(100), Until: at(260)})
	parts.Triggers, parts.Transitions = append(parts.Triggers, second.Triggers...), append(parts.Transitions, second.Transitions...)
	if !some(whole) || !reflect.DeepEqual(whole, parts) {
		t.Errorf("there are %s, in two parts %s, or others", counts(whole), counts(parts))
	}
	for _, list := range [][]operators.Output{whole.Triggers, whole.Transitions} {
		if !slices.IsSortedFunc(list, func(a, b operators.Output) int { return cmp.Compare(a.Time, b.Time) }) {
			t.Error("what is told is not in the order of time")
		}
	}
}

// TestRefused: a record that the pipeline would refuse ends the trial, with the place where it stands.
func TestRefused(t *testing.T) {
	s := drawn(t)
	s.records[7].Value = []byte("no event")
	_, err := replay.Follow(s.open(func(*backfill.Config) {}), s.each(operators.Never), replay.Period{Until: operators.EventTime(1000) * operators.DayMs})
	if err == nil || !strings.HasPrefix(err.Error(), "row 8 ") {
		t.Errorf("error %v", err)
	}
}

// TestNobody: nothing can be fitted to a past without purchases.
func TestNobody(t *testing.T) {
	s := newShop(t)
	_, err := replay.Fit(s.open(func(c *backfill.Config) { c.Sampled = s.s.Sampled() }), s.each(operators.Never), s.s.FitConfig(), operators.DayMs, 1)
	if err == nil || !strings.Contains(err.Error(), "nobody has bought") {
		t.Errorf("error %v", err)
	}
}
