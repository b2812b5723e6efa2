package trigger

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/score"
)

// drawMoving draws arithmetic of facts that silence moves.
func drawMoving(t *rapid.T, depth int) string {
	what := rapid.IntRange(0, 6).Draw(t, "arithmetic")
	if depth == 0 {
		what = 0
	}
	switch what {
	case 0, 1, 2:
		return rapid.SampledFrom([]string{"silent_days", "age_days", "churn_risk", "p_alive", "clv", "buys_again", "expected_purchases", "value_at_risk", "value_about_to_be_lost"}).Draw(t, "fact")
	case 3:
		return "(" + drawMoving(t, depth-1) + rapid.SampledFrom([]string{" * ", " / "}).Draw(t, "scale") + drawOperand(t) + ")"
	}
	return "(" + drawMoving(t, depth-1) + rapid.SampledFrom([]string{" + ", " - ", " * ", " / "}).Draw(t, "sign") + drawMoving(t, depth-1) + ")"
}

// drawCustomer draws a customer of any kind, seen through any model.
func drawCustomer(t *rapid.T) view {
	logUniform := func(name string, low, high float64) float64 {
		return math.Exp(rapid.Float64Range(math.Log(low), math.Log(high)).Draw(t, name))
	}
	var config score.Config
	config.EnsureDefaults()
	config.HorizonMonths = rapid.SampledFrom([]int{12, 3, 36}).Draw(t, "months")
	terms, scores := config.Terms(), score.New(config)
	m := &operators.Model{
		Version: "drawn", Family: rapid.SampledFrom([]string{"mbgnbd", "bgnbd"}).Draw(t, "family"), R: logUniform("r", 0.05, 10), Alpha: logUniform("alpha", 1, 1000),
		A: logUniform("a", 0.05, 20), B: logUniform("b", 0.05, 50), P: 6.25, Q: 3.74, V: 15.44, HighValue: 34.88,
	}
	x := rapid.SampledFrom([]int{0, 0, 1, 2, 5, 30}).Draw(t, "x")
	span := 0
	if x > 0 {
		span = rapid.IntRange(x, x+500).Draw(t, "t_x")
	}
	p := &operators.Purchases{
		Count: uint32(x + 1), Orders: uint32(x + 1), First: 9000, FirstStart: 9000 * operators.DayMs, Last: operators.Day(9000 + span),
		Net: operators.Money(rapid.IntRange(0, 1_000_000).Draw(t, "net")),
	}
	p.FirstNet = p.Net / operators.Money(p.Count)
	return view{p: p, m: m, terms: &terms, scores: scores, customer: operators.NewCustomer("c")}
}

// drawComparison draws a comparison that needs a search. Its bound is drawn from where it is at some instant, or it would seldom turn.
func drawComparison(t *rapid.T, v view) (source string) {
	left := drawMoving(t, 2)
	sign := rapid.SampledFrom([]string{" < ", " <= ", " > ", " >= "}).Draw(t, "sign")
	if rapid.IntRange(0, 2).Draw(t, "both sides move") == 0 {
		return left + sign + drawMoving(t, 2)
	}
	c := compiler{language: newLanguage()}
	condition, faults := c.compile(left + " < value_at_risk")
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	at := v.lastStart() + operators.EventTime(rapid.Int64Range(0, 700*operators.DayMs).Draw(t, "level"))
	f := v.scores.Evaluate(v.p, v.m, at)
	v.f = &f
	return left + sign + strings.Replace(fmt.Sprintf("(%.12e)", c.atoms[condition.atom].comparison.left.is(v)), "+Inf", "1.0", 1)
}

// TestTurns proves the search: of a customer, a model and a comparison drawn at random, the instants that it tells are turns, to the millisecond, and between them nothing turns, as far
// as the numbers of 16 instants of each stretch tell, drawn without regard to the search; nor up to where it says that it has proven so.
func TestTurns(t *testing.T) {
	var turns, opens, never int
	rapid.Check(t, func(t *rapid.T) {
		v := drawCustomer(t)
		source := drawComparison(t, v)
		c := compiler{language: newLanguage()}
		condition, faults := c.compile(source)
		if len(faults) > 0 {
			t.Skip(faults)
		}
		if condition.op != turning {
			t.Skip("has an instant")
		}
		comparison := c.atoms[condition.atom].comparison
		// The numbers of an instant, by Evaluate alone.
		seen := func(at operators.EventTime) view {
			f := v.scores.Evaluate(v.p, v.m, at)
			v := v
			v.f = &f
			return v
		}
		holds := func(at operators.EventTime) bool { return comparison.holdsIn(seen(at)) }
		// What is so near to a turn that rounding alone makes it the one or the other proves nothing.
		rounded := func(at operators.EventTime) bool {
			difference, none := comparison.difference(seen(at))
			return math.Abs(difference) <= off*none
		}
		now := v.lastStart() + operators.EventTime(rapid.Int64Range(0, 400*operators.DayMs).Draw(t, "silence"))
		if rapid.IntRange(0, 3).Draw(t, "at once") == 0 {
			now = v.lastStart()
		}
		f := v.scores.Evaluate(v.p, v.m, now)
		v.f = &f
		s := sight{atoms: c.atoms, view: v}
		for range 4 {
			at, open := s.turns(condition.atom, now)
			is := holds(now)
			switch {
			case at == operators.Never:
				never++
			case open:
				opens++
			default:
				turns++
			}
			if at != operators.Never {
				if at <= now || at > now+operators.EventTime(s.terms.HorizonDays*operators.DayMs) {
					t.Fatalf("%s: from %s the search comes to %s", source, now, at)
				}
				if before := holds(at - 1); before != is {
					t.Fatalf("%s: at %s it has turned since %s, a millisecond before %s", source, at-1, now, at)
				}
				if holds(at) == is != open {
					t.Fatalf("%s: open %v, and at %s it is %v, from %v at %s", source, open, at, holds(at), is, now)
				}
			}
			end := min(at, now+3000*operators.DayMs)
			for range 16 {
				between := now + operators.EventTime(rapid.Int64Range(0, int64(end-now)-1).Draw(t, "between"))
				if holds(between) != is && !rounded(between) {
					t.Fatalf("%s: it is %v at %s, between %s and %s", source, !is, between, now, at)
				}
			}
			if at == operators.Never {
				return
			}
			if began := s.turned(condition.atom, now, at); !open && began != at || open && began != operators.Unset {
				t.Fatalf("%s: looking back from %s to %s it turned at %s", source, at, now, began)
			}
			now = at
		}
	})
	t.Logf("%d turns, %d open, %d never", turns, opens, never)
}

// counting counts what a search asks for.
type counting struct {
	Scores
	moments, slopes int
}

func (c *counting) Moment(p *operators.Purchases, m *operators.Model, at operators.EventTime, of operators.Measures) operators.Moment {
	c.moments++
	return c.Scores.Moment(p, m, at, of)
}

func (c *counting) FindSlopes(p *operators.Purchases, m *operators.Model, of operators.Measures, a, b *operators.Moment) {
	c.slopes++
	c.Scores.FindSlopes(p, m, of, a, b)
}

// searching returns what is seen of a customer of CDNOW who has just bought for the sixth time, and the comparison.
func searching(t *testing.T, source string) (s sight, scores *counting) {
	t.Helper()
	var config score.Config
	config.EnsureDefaults()
	terms := config.Terms()
	scores = &counting{Scores: score.New(config)}
	c := compiler{language: newLanguage()}
	if condition, faults := c.compile(source); len(faults) > 0 || condition.op != turning {
		t.Fatal(source, condition, faults)
	}
	p := &operators.Purchases{Count: 6, Orders: 6, First: 9000, FirstStart: 9000 * operators.DayMs, Last: 9100, Net: 24_000, FirstNet: 4000}
	m := &operators.Model{Version: "m", Family: "mbgnbd", R: 0.525, Alpha: 43.3, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 34.88}
	v := view{p: p, m: m, terms: &terms, scores: scores, customer: operators.NewCustomer("c")}
	f := scores.Evaluate(p, m, v.lastStart())
	v.f = &f
	return sight{atoms: c.atoms, view: v}, scores
}

// turnsOf returns the turns within so many days of silence, and the number of searches.
func turnsOf(s *sight, days int) (turns []operators.EventTime, searches int) {
	for at := s.lastStart(); at < s.lastStart()+operators.EventTime(days)*operators.DayMs; {
		searches++
		next, open := s.turns(0, at)
		if next == operators.Never {
			break
		}
		if !open {
			turns = append(turns, next)
		}
		at = next
	}
	return turns, searches
}

// TestPeak: a line just under the peak of what rises and falls is passed twice, however short the time between; one just above it never. What is a product of two that move is bounded less
// closely than a fact, so that a search may stop on the way to a turn; the next goes on.
func TestPeak(t *testing.T) {
	for _, of := range []struct {
		source string
		is     func(f *operators.Facts) float64
		most   int // searches in 3000 days
	}{
		{"value_at_risk", func(f *operators.Facts) float64 { return f.ValueAtRisk }, 100},
		{"churn_risk * clv", func(f *operators.Facts) float64 { return f.Risk() * f.CLV }, 1000},
	} {
		s, _ := searching(t, of.source+" >= 1.0")
		at := func(ms operators.EventTime) float64 {
			f := s.scores.Evaluate(s.p, s.m, s.lastStart()+ms)
			return of.is(&f)
		}
		low, high := operators.EventTime(0), operators.EventTime(3000*operators.DayMs)
		for high-low > 10 {
			if a, b := low+(high-low)/3, high-(high-low)/3; at(a) < at(b) {
				low = a
			} else {
				high = b
			}
		}
		peak := at(low)
		for _, v := range []struct {
			below float64 // of the peak
			turns int
		}{{1e-2, 2}, {1e-4, 2}, {1e-5, 2}, {1e-6, 2}, {1e-7, 2}, {1e-8, 2}, {-1e-8, 0}, {-1e-4, 0}} {
			bound := fmt.Sprintf("%.17g", peak*(1-v.below))
			s, _ := searching(t, of.source+" >= "+bound)
			turns, searches := turnsOf(&s, 3000)
			if len(turns) != v.turns || searches > of.most {
				t.Errorf("%s, %g under the peak, at %s: turns %v, found by %d searches", of.source, v.below, s.lastStart()+low, turns, searches)
				continue
			}
			for i, turn := range turns {
				const second = 1000 // within which so flat a course differs in its last digits only
				before, after := at(turn-second-s.lastStart()) >= peak*(1-v.below), at(turn+second-s.lastStart()) >= peak*(1-v.below)
				if before != (i == 1) || after != (i == 0) {
					t.Errorf("%s, %g under the peak: %v before the turn at %s, and then %v", of.source, v.below, before, turn, after)
				}
				if d := turn - s.lastStart() - low; v.below < 1e-3 && (d > 20*operators.DayMs || d < -20*operators.DayMs) {
					t.Errorf("%s, %g under the peak: a turn %s, far from it", of.source, v.below, turn)
				}
			}
		}
	}
}

// TestSlowWay: where the facts' courses are bounded so loosely that each bracket is a small part of the way to a turn, the turn is found all the same, and the one back an hour after it. The customer is one that
// TestTurns drew: of a model that forgets within days.
func TestSlowWay(t *testing.T) {
	var config score.Config
	config.EnsureDefaults()
	terms, scores := config.Terms(), score.New(config)
	p := &operators.Purchases{Count: 2, Orders: 2, First: 9000, FirstStart: 9000 * operators.DayMs, Last: 9441}
	m := &operators.Model{
		Version: "m", Family: "bgnbd", R: math.Exp(0.50335693359375), Alpha: math.Exp(0.0078125), A: math.Exp(1.9073486328125e-06), B: math.Exp(0.6094074249267578), P: 6.25, Q: 3.74, V: 15.44, HighValue: 34.88,
	}
	v := view{p: p, m: m, terms: &terms, scores: scores, customer: operators.NewCustomer("c")}
	is := func(at operators.EventTime) float64 {
		f := scores.Evaluate(p, m, at)
		return f.Risk() * (f.CLV * terms.HighRisk)
	}
	level := v.lastStart() + 232_997_178
	bound := fmt.Sprintf("%.12e", is(level))
	c := compiler{language: newLanguage()}
	if _, faults := c.compile("churn_risk * (clv * risk_high) < " + bound); len(faults) > 0 {
		t.Fatal(faults)
	}
	f := scores.Evaluate(p, m, v.lastStart())
	v.f = &f
	s := sight{atoms: c.atoms, view: v}
	turns, searches := turnsOf(&s, 30)
	if len(turns) != 2 || turns[0] < level-1000 || turns[0] > level+1000 || searches > 100 {
		t.Errorf("of %s: turns %v, found by %d searches; the first is to be at %s", bound, turns, searches, level)
	}
	number, _ := strconv.ParseFloat(bound, 64)
	for i, turn := range turns {
		if before, after := is(turn-1000) < number, is(turn+1000) < number; before != (i == 0) || after != (i == 1) {
			t.Errorf("at %s it is %v, and then %v", turn, before, after)
		}
	}
}

// TestLookingBack: when a comparison turned last is found in a bounded number of looks too, or given up if its sides are nearly the same all the time.
func TestLookingBack(t *testing.T) {
	for _, source := range []string{"p_alive + churn_risk >= 1.0", "value_at_risk / clv >= churn_risk / p_alive", "clv < 3.0 * value_about_to_be_lost", "value_at_risk >= 14.0"} {
		s, scores := searching(t, source)
		turns, _ := turnsOf(&s, 3000)
		want := operators.Unset
		if len(turns) > 0 {
			want = turns[len(turns)-1]
		}
		until := s.lastStart() + 3000*operators.DayMs
		scores.moments, scores.slopes = 0, 0
		if got := s.turned(0, s.lastStart(), until); got != want {
			t.Errorf("%s: turned last at %s, want %s", source, got, want)
		}
		const solving = 3 * 40
		if most := searchesBackMax*(stuckMax+5) + solving; scores.moments > most || scores.slopes > most {
			t.Errorf("%s: %d moments and %d slopes; the most is %d", source, scores.moments, scores.slopes, most)
		}
	}
}

// TestBounded: a search asks for no more than its share of numbers; and two sides that are the same but for rounding are equal, do not turn, and in ten years of silence are not looked at more often
// than what is scored by the day would be in two.
func TestBounded(t *testing.T) {
	for _, source := range []string{"p_alive + churn_risk >= 1.0", "value_at_risk * p_alive - clv * churn_risk >= 0.0", "value_at_risk / clv < churn_risk / p_alive", "age_days - silent_days > 0.0", "clv < 3.0 * value_about_to_be_lost", "value_at_risk >= 14.0"} {
		s, scores := searching(t, source)
		turns, searches := turnsOf(&s, 3650)
		if strings.HasPrefix(source, "p_alive") || strings.Contains(source, "churn_risk") {
			if len(turns) > 0 {
				t.Errorf("%s: turns %v", source, turns)
			}
			if !s.compares(0, s.lastStart()+12345678) != strings.Contains(source, "<") {
				t.Errorf("%s does not hold", source)
			}
		}
		const solving = 3 * 40 // halving 100 years down to a millisecond, at worst
		if most := searches*(stuckMax+3) + len(turns)*solving; scores.moments > most || scores.slopes > searches*(stuckMax+3) || searches > 2*365 {
			t.Errorf("%s: %d searches look at %d moments, %d of them twice; the most is %d", source, searches, scores.moments, scores.slopes, most)
		}
	}
}
