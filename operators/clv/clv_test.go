package clv_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/optest"
	"lull/operators/score"
)

const latenessMs = 600_000

func defaults() clv.Config {
	var c clv.Config
	c.EnsureDefaults()
	return c
}

// cdnow returns the model of the literature for CDNOW (Fader, Hardie & Lee 2005; Fader & Hardie 2013), in days.
func cdnow(family string) *operators.Model {
	m := &operators.Model{
		Version: "cdnow-" + family, Family: family, R: 0.525, Alpha: 7 * 6.183, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 34.88,
	}
	if family == "bgnbd" {
		m.R, m.Alpha, m.A, m.B = 0.243, 7*4.414, 0.793, 2.426
	}
	return m
}

// story drives one customer through the chain as a task does, and the oracle beside it.
type story struct {
	*optest.Runner
	oracle *oracle
	told   int
	events int
	late   *late // what has happened, for a story whose events come in another order
	own    bool  // under rules of its own: the oracle's triggers are those of churn_risk by default
}

func newStory(m *operators.Model) *story {
	r := optest.NewRunner()
	r.Chain = clv.NewChain(defaults())
	r.LatenessMs = latenessMs
	r.Env.Model = m
	return &story{Runner: r, oracle: newOracle(m)}
}

func (s *story) event(e operators.Event) {
	s.events++
	if e.ID == "" {
		e.ID = fmt.Sprintf("m%d", s.events)
	}
	if refused := s.Event(&e); refused != "" {
		panic("the event is refused: " + refused)
	}
	if s.late != nil {
		s.late.events = append(s.late.events, e)
		return
	}
	s.oracle.event(e)
}

func (s *story) newModel(m *operators.Model, at operators.EventTime) {
	s.Advance(at)
	s.Env.Model = m
	s.Step(operators.Input{Kind: operators.ModelInput, At: max(at, s.Customer.At)})
	s.oracle.newModel(m, at)
}

// daysPass moves time on day by day, as the events of other customers do.
func (s *story) daysPass(until operators.EventTime) {
	for s.Env.Watermark != operators.Unset && s.Env.Watermark+operators.DayMs < until {
		s.Advance(s.Env.Watermark + operators.DayMs)
	}
	s.jump(until)
}

// jump moves time on at once, as after an outage.
func (s *story) jump(to operators.EventTime) {
	s.Advance(to)
	if s.late == nil {
		s.oracle.silence(to)
	}
}

// differs tells how the moves of the outputs differ from the oracle's; "" if they do not.
func (s *story) differs() string {
	if s.late != nil {
		return s.late.differs(s)
	}
	var moves []move
	for _, o := range s.Outputs {
		switch o.Kind {
		case operators.SegmentOutput:
			if o.Segment.Dimension == operators.QuadrantDimension {
				moves = append(moves, move{at: o.Time, from: quadrantNamed(o.Segment.From), to: quadrantNamed(o.Segment.To)})
			}
		case operators.TriggerOutput:
			if o.Trigger.Rule == "churn_risk" && !s.own {
				moves = append(moves, move{at: o.Time, deadline: o.Trigger.Deadline})
			}
		}
	}
	want := s.oracle.moves
	if s.own {
		want = slices.DeleteFunc(slices.Clone(want), func(m move) bool { return m.deadline != 0 })
	}
	for i := range max(len(moves), len(want)) {
		if i >= len(moves) || i >= len(want) || !moves[i].same(want[i]) {
			return fmt.Sprintf("from move %d on:\nthe chain's  %v\nthe oracle's %v", i, moves[min(i, len(moves)):], want[min(i, len(want)):])
		}
	}
	return ""
}

func quadrantNamed(name string) operators.Quadrant {
	for q := operators.NoQuadrant; ; q++ {
		if q.String() == name {
			return q
		}
	}
}

// tell returns what has come of the customer since it was last asked, sessions aside.
func (s *story) tell() string {
	var text strings.Builder
	for _, o := range s.Outputs[s.told:] {
		switch o.Kind {
		case operators.ScoreOutput:
			if f := &o.Score.Facts; o.Score.Gone {
				fmt.Fprintf(&text, "%s score: gone\n", o.Time)
			} else {
				fmt.Fprintf(&text, "%s score: %d purchases, P(alive) %.3f, CLV %.2f, about to be lost %.2f, next %s\n",
					o.Time, o.Score.Purchases.Count, f.PAlive, f.CLV, f.AboutToBeLost, o.Score.NextDeadline)
			}
		case operators.SegmentOutput:
			name := [...]string{operators.QuadrantDimension: "segment", operators.RFMDimension: "RFM group", operators.LifecycleDimension: "lifecycle", operators.RisingDimension: "rising"}[o.Segment.Dimension]
			fmt.Fprintf(&text, "%s %s: %s -> %s\n", o.Time, name, o.Segment.From, o.Segment.To)
			because(&text, o.Segment.Reasons)
		case operators.OfferOutput:
			verdict := "rejected, " + o.Offer.Reason
			if o.Offer.Accepted {
				verdict = "accepted"
			}
			fmt.Fprintf(&text, "%s offer %s: %s\n", o.Time, o.Offer.OfferID, verdict)
			because(&text, o.Offer.Reasons)
		case operators.TriggerOutput:
			act := "act"
			if id := o.Trigger.Withdraws; id != (operators.ID{}) {
				fmt.Fprintf(&text, "%s withdrawn: the %s of %s\n", o.Time, o.Trigger.Rule, o.Trigger.Deadline)
				because(&text, o.Trigger.Reasons)
				continue
			}
			if !o.Trigger.Actionable {
				act = "do not act: " + o.Trigger.Withheld
			}
			of := ""
			if o.Trigger.Deadline != o.Time {
				of = " of " + o.Trigger.Deadline.String()
			}
			fmt.Fprintf(&text, "%s trigger: %s%s, %s\n", o.Time, o.Trigger.Rule, of, act)
			because(&text, o.Trigger.Reasons)
			because(&text, o.Trigger.Counterfactuals)
			if o.Trigger.Consent != "" {
				fmt.Fprintf(&text, "    consent to %s: %s\n", o.Trigger.Purpose, o.Trigger.Consent)
			}
		}
	}
	s.told = len(s.Outputs)
	return text.String()
}

func because(text *strings.Builder, reasons []string) {
	for _, reason := range reasons {
		fmt.Fprintf(text, "    %s\n", reason)
	}
}

// TestScenarios runs the stories in testdata. Their commands are
//
//	customer model=NAME [late[=too]]
//	                      a new customer, late if not all events come in the order of their times, too late if some come when nothing is withdrawn any more; NAME is mbgnbd or bgnbd, the CDNOW models, born: nearly everybody leaves at once,
//	                      fifths: the first with cuts, faithful: hardly anybody leaves, and the cut is 100 dollars,
//	                      or none
//	rules                 the rules of triggers.rules, before anything has happened, and after it too, as of T, by rules at=T
//	model NAME at=T       another model comes into force
//	run                   events in the notation of optest, and "days pass until T", and "outage until T", where time moves at once
//
// The numbers in them are ours, but every move and every trigger is also the oracle's; of who is late, the triggers that have not been withdrawn, of events in order.
func TestScenarios(t *testing.T) {
	models := map[string]*operators.Model{"mbgnbd": cdnow("mbgnbd"), "bgnbd": cdnow("bgnbd"), "born": cdnow("mbgnbd"), "restless": cdnow("mbgnbd"), "fifths": cdnow("mbgnbd")}
	models["born"].Version, models["born"].A, models["born"].B = "born", 2, 0.5
	models["fifths"].Version, models["fifths"].Cuts = "fifths", &operators.Cuts{
		SinceLastPurchase: [4]float64{30, 90, 180, 360}, Purchases: [4]float64{1, 1, 2, 4}, Monetary: [4]float64{10, 20, 30, 45}, CLV: [4]float64{1, 5, 10, 34.88},
	}
	models["faithful"] = faithful()
	models["restless"].Version, models["restless"].Alpha = "restless", 10
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s *story
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			model := func(name string) *operators.Model {
				if models[name] == nil && name != "none" {
					d.Fatalf(t, "no model %q", name)
				}
				return models[name]
			}
			switch d.Cmd {
			case "customer":
				var name string
				d.ScanArgs(t, "model", &name)
				s = newStory(model(name))
				if d.HasArg("late") {
					s.late = &late{model: model(name), tooLate: slices.Contains(d.CmdArgs[len(d.CmdArgs)-1].Vals, "too")}
				}
			case "rules":
				s.own = true
				if d.HasArg("at") {
					var at string
					d.ScanArgs(t, "at", &at)
					s.under(t, d.Input, parse(t, at))
				} else {
					s.Chain = clv.NewChain(withRules(t, d.Input))
				}
			case "model":
				var at string
				d.ScanArgs(t, "at", &at)
				s.newModel(model(d.CmdArgs[0].Key), parse(t, at))
			case "run":
				for line := range strings.Lines(d.Input) {
					s.line(t, strings.TrimSpace(line))
				}
			default:
				d.Fatalf(t, "no command %q", d.Cmd)
			}
			if differs := s.differs(); differs != "" {
				d.Fatalf(t, "%s", differs)
			}
			return s.tell()
		})
	})
}

func (s *story) line(t *testing.T, line string) {
	if until, ok := strings.CutPrefix(line, "days pass until "); ok {
		s.daysPass(parse(t, until))
		return
	}
	if until, ok := strings.CutPrefix(line, "outage until "); ok {
		s.jump(parse(t, until))
		return
	}
	e, err := optest.ParseEvent(line)
	if err != nil {
		t.Fatal(err)
	}
	s.event(e)
}

func parse(t *testing.T, s string) operators.EventTime {
	at, err := optest.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestLives lets customers live at random, under models of either family and with one model after the other: orders, refunds, cancellations
// and page views with silences between them. Every change of quadrant and every trigger is the oracle's, at its instant to the millisecond:
// none is missing, none comes twice, none comes before its time.
func TestLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStory(drawModel(t))
		at := operators.EventTime(9_000 * operators.DayMs)
		placed := 0
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			gap := rapid.SampledFrom([]int64{0, 1, 30, 120, 700}).Draw(t, "gap in days")
			at += operators.EventTime(rapid.Int64Range(1, (gap+1)*operators.DayMs).Draw(t, "gap"))
			e := operators.Event{
				Customer: "c", Time: at, Day: operators.Day(at / operators.DayMs), DayStart: at / operators.DayMs * operators.DayMs,
				OrderID: fmt.Sprint("o", rapid.IntRange(0, max(0, placed-1)).Draw(t, "order")),
				Amount:  operators.Money(rapid.Int64Range(0, 9_999).Draw(t, "amount")),
			}
			switch rapid.SampledFrom([]string{"order", "order", "order", "order", "refund", "whole", "cancel", "page", "days", "model"}).Draw(t, "what") {
			case "order":
				e.Kind, e.OrderID = operators.OrderCompleted, fmt.Sprint("o", placed)
				placed++
				s.event(e)
			case "refund":
				e.Kind, e.RefundID = operators.OrderRefunded, fmt.Sprint("r", at)
				s.event(e)
			case "whole":
				e.Kind, e.Whole = operators.OrderRefunded, true
				s.event(e)
			case "cancel":
				e.Kind = operators.OrderCancelled
				s.event(e)
			case "page":
				e.Kind, e.OrderID = operators.PageViewed, ""
				s.event(e)
			case "days":
				s.jump(at)
			case "model":
				s.newModel(drawModel(t), at)
			}
			if differs := s.differs(); differs != "" {
				t.Fatal(differs)
			}
		}
	})
}

func drawModel(t *rapid.T) *operators.Model {
	number := func(name string, lo, hi float64) float64 { return rapid.Float64Range(lo, hi).Draw(t, name) }
	return &operators.Model{
		Version: fmt.Sprint("m", rapid.IntRange(0, 1<<30).Draw(t, "version")), Family: rapid.SampledFrom([]string{"mbgnbd", "bgnbd"}).Draw(t, "family"),
		R: number("r", 0.2, 3), Alpha: number("alpha", 1, 100), A: number("a", 0.2, 3), B: number("b", 0.1, 4),
		P: 6.25, Q: 3.74, V: 15.44, HighValue: number("high value", 1, 150),
	}
}

// faithful returns the model of a shop whose customers hardly leave, so that some are nearly sure to come back after a purchase or two.
func faithful() *operators.Model {
	m := cdnow("mbgnbd")
	m.Version, m.R, m.Alpha, m.A, m.B, m.HighValue = "faithful", 1.5, 20, 0.1, 4, 100
	return m
}

// TestRising lets customers buy and be silent at random, under models by which some are rising. Whenever it is looked, who is rising has brought less than the cut and has the
// 10 % point of the whole distribution of their value above it; who ceases in silence does so in the second in which the point comes down to the cut; and whoever begins
// would be rising for a day.
func TestRising(t *testing.T) {
	began, ceased := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		m := faithful()
		m.A, m.HighValue = rapid.Float64Range(0.02, 0.3).Draw(t, "a"), rapid.Float64Range(40, 400).Draw(t, "cut")
		s := newStory(m)
		config := defaults()
		op := score.New(config.Score)
		above := func(at operators.EventTime) bool {
			p := &s.Customer.Purchases
			return p.Count > 0 && float64(p.Net)/100 < m.HighValue && op.ValueRange(p, m, nil, at).Low > m.HighValue
		}
		const second = 1000
		at := operators.EventTime(9_000 * operators.DayMs)
		silent := func(until operators.EventTime) {
			told := len(s.Outputs)
			s.jump(until)
			for _, o := range s.Outputs[told:] {
				if o.Kind != operators.SegmentOutput || o.Segment.Dimension != operators.RisingDimension {
					continue
				}
				ceased++
				if o.Segment.To != "none" || above(o.Time+second) || !above(o.Time-second) {
					t.Fatalf("%s: %s -> %s in silence, where it is above the cut before: %v, and after: %v", o.Time, o.Segment.From, o.Segment.To, above(o.Time-second), above(o.Time+second))
				}
			}
		}
		for i := range rapid.IntRange(1, 12).Draw(t, "orders") {
			at += operators.EventTime(rapid.Int64Range(1, 40*operators.DayMs).Draw(t, "gap"))
			silent(at - 1)
			if s.Customer.Segment.Rising && !above(at-second) {
				t.Fatalf("rising at %s, where the point is not above the cut", at)
			}
			was := s.Customer.Segment.Rising
			s.event(operators.Event{
				Kind: operators.OrderCompleted, Customer: "c", Time: at, Day: operators.Day(at / operators.DayMs), DayStart: at / operators.DayMs * operators.DayMs,
				OrderID: fmt.Sprint("o", i), Amount: operators.Money(rapid.Int64Range(0, 6000).Draw(t, "amount")),
			})
			switch is, stays := s.Customer.Segment.Rising, above(at+operators.DayMs+second); {
			case is && !was:
				began++
				if !above(at + operators.DayMs - second) {
					t.Fatalf("begins at %s, and would cease within a day", at)
				}
			case !is && stays:
				t.Fatalf("not rising at %s, where they would be for a day", at)
			case is && !above(at+second):
				t.Fatalf("rising at %s after an order, where the point is not above the cut", at)
			}
		}
		if silent(at + 10_000*operators.DayMs); s.Customer.Segment.Rising {
			t.Fatal("rising after all that silence")
		}
	})
	if began == 0 || ceased == 0 {
		t.Errorf("%d began to rise and %d ceased in silence: nothing is proved", began, ceased)
	}
}

// TestNoNews: what changes no purchase writes no row, and a deadline of no one's does not either.
func TestNoNews(t *testing.T) {
	s := newStory(cdnow("mbgnbd"))
	order, _ := optest.ParseEvent("1997-01-04T10:00 order_completed order=o1 amount=29.33")
	s.event(order)
	before := s.Customer.Score
	s.tell()
	for _, line := range []string{
		"1997-01-04T10:30 page name=home",
		"1997-01-04T11:00 order_refunded order=o1 refund=r1 amount=0",
		"1997-01-04T11:01 order_updated order=o1 amount=29.33",
		"1997-01-04T11:02 order_cancelled order=o2",
		"1997-01-04T11:03 order_completed order=o1 amount=29.33",
	} {
		e, err := optest.ParseEvent(line)
		if err != nil {
			t.Fatal(err)
		}
		s.event(e)
		if got := s.tell(); got != "" {
			t.Errorf("after %q:\n%s", line, got)
		}
	}
	s.Step(operators.Input{Kind: operators.DeadlineInput, At: before.Next - 1})
	if got := s.tell(); got != "" || s.Customer.Score != before {
		t.Errorf("before the deadline: %+v\n%s", s.Customer.Score, got)
	}
}

// TestConfig: the defaults are valid, and a fault of any part is found and named.
func TestConfig(t *testing.T) {
	c := defaults()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*clv.Config){
		"dedup: IDsMax is -1":     func(c *clv.Config) { c.Dedup.IDsMax = -1 },
		"session: GapMs is -1":    func(c *clv.Config) { c.Session.GapMs = -1 },
		"orders: OrdersKept is ":  func(c *clv.Config) { c.Orders.OrdersKept = -1 },
		"consent: PurposesMax is": func(c *clv.Config) { c.Consent.PurposesMax = -1 },
		"rfm: DaysKept is -1":     func(c *clv.Config) { c.RFM.DaysKept = -1 },
		"score: HighRisk is 2":    func(c *clv.Config) { c.Score.HighRisk = 2 },
		"trigger: MaxAgeMs is":    func(c *clv.Config) { c.Trigger.MaxAgeMs = -1 },
	} {
		c := defaults()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestRecordBytesMax proves that no record of a customer is longer than is said, by one whose every list is full, and that the default limits keep
// it far from what Kafka takes by default.
func TestRecordBytesMax(t *testing.T) {
	const idBytes, proofBytes = 40, 90
	c := clv.Config{}
	c.Dedup.IDsMax, c.Session.SessionsMax, c.Orders.OrdersKept, c.Orders.RefundsMax, c.RFM.DaysKept, c.Session.PageBytesMax = 30, 4, 3, 5, 3, 8
	c.Consent.PurposesMax = 6
	c.EnsureDefaults()
	customer, chain, longest := operators.NewCustomer("c"), clv.NewChain(c), 0
	parts := &recordedParts{Parts: optest.NewParts()}
	customer.Parts = parts
	var out operators.Outbox
	at := operators.EventTime(1_700_000_000_000)
	id := func(n int) string { return fmt.Sprintf("%0*d", idBytes, n) }
	for i := range 400 {
		at += 31 * 60_000 // a session each
		e := operators.Event{Kind: operators.OrderCompleted, Customer: "c", ID: id(i), OrderID: id(i), Time: at, Amount: 1 << 39, Name: strings.Repeat("n", 300)}
		switch {
		case i%8 > 2:
			e.Kind, e.OrderID, e.RefundID = operators.OrderRefunded, id(i-i%8), id(i)
		case i%8 == 1:
			e.Kind = operators.PageViewed
		case i%8 == 2:
			e.Kind, e.Subject, e.Proof = operators.ConsentGiven, id(i), strings.Repeat("p", proofBytes)
		}
		e.Day = operators.Day(at / operators.DayMs)
		e.DayStart = operators.EventTime(e.Day) * operators.DayMs
		chain.Step(&operators.Env{Watermark: operators.Unset}, customer, &operators.Input{Kind: operators.EventInput, At: at, Event: &e}, &out)
		out.Reset()
		longest = max(longest, len(customer.AppendState(nil)), parts.longest)
	}
	if most := c.RecordBytesMax(idBytes, proofBytes); longest > most {
		t.Errorf("the longest record had %d bytes, RecordBytesMax is %d", longest, most)
	}
	defaults := clv.Config{}
	defaults.EnsureDefaults()
	if n := defaults.RecordBytesMax(256, 1024); n > 100_000 {
		t.Errorf("with the default limits a record can have %d bytes", n)
	}
}

// recordedParts keeps a customer's parts, and the length of the longest.
type recordedParts struct {
	*optest.Parts
	longest int
}

func (p *recordedParts) Set(name string, value []byte) {
	p.longest = max(p.longest, len(value))
	p.Parts.Set(name, value)
}
