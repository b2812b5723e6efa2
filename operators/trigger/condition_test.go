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

// drawNumber draws a number that is constant in silence.
func drawNumber(t *rapid.T) string {
	n := fmt.Sprintf("%.3f", rapid.Float64Range(0, 2).Draw(t, "literal"))
	switch rapid.IntRange(0, 4).Draw(t, "number") {
	case 0:
		return rapid.SampledFrom([]string{"risk_high", "expected_spend", "net_value", "days_between_purchases", "high_value_cut"}).Draw(t, "constant")
	case 1:
		return "(" + n + rapid.SampledFrom([]string{" * ", " + ", " - ", " / "}).Draw(t, "sign") + drawOperand(t) + ")"
	case 2:
		return fmt.Sprintf("%.2f", rapid.Float64Range(0, 300).Draw(t, "days"))
	}
	return n
}

// drawOperand draws a number that is divided by, or the like: never a literal 0, which is refused there, but what comes to it.
func drawOperand(t *rapid.T) string {
	number := drawNumber(t)
	if n, err := strconv.ParseFloat(number, 64); err == nil && n == 0 {
		return "(1.0 - 1.0)"
	}
	return number
}

// drawCondition draws a condition that lull takes.
func drawCondition(t *rapid.T, depth int) string {
	sign := func() string { return rapid.SampledFrom([]string{" < ", " <= ", " > ", " >= "}).Draw(t, "sign") }
	what := rapid.IntRange(-1, 9).Draw(t, "condition")
	if depth == 0 {
		what %= 6
	}
	switch what {
	case -1:
		other := drawNumber(t)
		if rapid.Bool().Draw(t, "both sides move") {
			other = drawMoving(t, 1)
		}
		return drawMoving(t, 2) + sign() + other
	case 0, 1, 2:
		fact := rapid.SampledFrom([]string{"silent_days", "age_days", "churn_risk", "p_alive", "clv", "buys_again", "expected_purchases"}).Draw(t, "fact")
		if rapid.Bool().Draw(t, "turned") {
			return drawNumber(t) + sign() + fact
		}
		return fact + sign() + drawNumber(t)
	case 3:
		return rapid.SampledFrom([]string{"high_value", "born_high_risk", "purchases == 2", "orders > purchases", `quadrant in ["nurture", "save"]`, `lifecycle != "new"`}).Draw(t, "flag")
	case 4:
		return drawNumber(t) + sign() + drawNumber(t)
	case 5:
		return "high_value == " + rapid.SampledFrom([]string{"true", "born_high_risk"}).Draw(t, "same")
	case 6:
		return "!(" + drawCondition(t, depth-1) + ")"
	case 7:
		return "(" + drawCondition(t, depth-1) + " ? " + drawCondition(t, depth-1) + " : " + drawCondition(t, depth-1) + ")"
	}
	return "(" + drawCondition(t, depth-1) + rapid.SampledFrom([]string{" && ", " || "}).Draw(t, "joined") + drawCondition(t, depth-1) + ")"
}

// drawView draws a customer in silence, as seen at any instant of it.
func drawView(t *rapid.T) (v view, at func(operators.EventTime) view) {
	var config score.Config
	config.EnsureDefaults()
	terms, scores := config.Terms(), score.New(config)
	span := rapid.IntRange(0, 200).Draw(t, "t_x")
	p := &operators.Purchases{Count: 1, First: 9000, FirstStart: 9000 * operators.DayMs, Last: operators.Day(9000 + span), Net: operators.Money(rapid.IntRange(0, 30_000).Draw(t, "net"))}
	if span > 0 {
		p.Count += uint32(rapid.IntRange(1, 6).Draw(t, "x"))
	}
	p.Orders, p.FirstNet = p.Count+1, p.Net/operators.Money(p.Count)
	m := &operators.Model{Version: "m", Family: "mbgnbd", R: 0.525, Alpha: 43.3, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 34.88}
	c := operators.NewCustomer("c")
	c.Purchases = *p
	c.Score.ValueFalls = scores.Reaches(p, m, operators.CLV, m.HighValue)
	v = view{p: p, m: m, terms: &terms, scores: scores, segment: &c.Segment, customer: c}
	return v, func(t operators.EventTime) view {
		f := scores.Evaluate(p, m, t)
		v.f = &f
		return v
	}
}

// TestAsCEL proves that conditions mean what CEL says they mean: at instants of a customer's silence, drawn at random, each holds if cel-go finds it true of the numbers of that instant; and it
// changes at no instant but those that turn tells.
func TestAsCEL(t *testing.T) {
	language := newLanguage()
	rapid.Check(t, func(t *rapid.T) {
		source := drawCondition(t, 3)
		c := compiler{language: language}
		condition, faults := c.compile(source)
		if len(faults) > 0 {
			if strings.Contains(faults[0].text, "speaks of no fact") {
				t.Skip()
			}
			t.Fatalf("%s: %v", source, faults)
		}
		if len(c.atoms) > atomsMax {
			t.Skip()
		}
		checked, issues := language.Compile(source)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		program, err := language.Program(checked)
		if err != nil {
			t.Fatal(err)
		}
		v, at := drawView(t)
		start := v.lastStart()
		now := start + operators.EventTime(rapid.Int64Range(1, 400*operators.DayMs).Draw(t, "silence"))
		v = at(now)
		s := sight{atoms: c.atoms, view: v}
		if near(&s, now) {
			t.Skip("at a bound rounding decides")
		}
		want, _, err := program.Eval(values(v))
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		holds := s.holds(&condition, now)
		if want.Value() != holds {
			t.Fatalf("%s is %v at %s; CEL finds %v of %v", source, holds, now, want, values(v))
		}
		next := s.turn(&condition, now)
		for range 20 {
			later := now + operators.EventTime(rapid.Int64Range(1, 2000*operators.DayMs).Draw(t, "later"))
			if later < next.at && s.holds(&condition, later) != holds {
				t.Fatalf("%s changes between %s and %s; it is to do so at %s", source, now, later, next.at)
			}
		}
		if began, ok := s.became(&condition, now); holds && ok && (s.holds(&condition, began-1) || !s.holds(&condition, began)) {
			t.Fatalf("%s became true at %s", source, began)
		}
	})
}

// near reports whether an instant is within a second of an atom's, or the atom's bound is there from the start; or the two sides of a comparison are about the same, or 0/0.
func near(s *sight, at operators.EventTime) bool {
	for i := range s.atoms {
		if c := s.atoms[i].comparison; c != nil {
			if difference, none := c.difference(s.view); !(math.Abs(difference) > 1e6*none) {
				return true
			}
			continue
		}
		if d := s.instant(i) - at; d < 1000 && d > -1000 {
			return true
		}
	}
	return false
}

// values are the facts, for cel-go.
func values(v view) map[string]any {
	all := map[string]any{}
	for i := range facts {
		switch f := &facts[i]; f.kind {
		case whole:
			all[f.Name] = int64(f.number(v))
		case number:
			all[f.Name] = f.number(v)
		case flag:
			all[f.Name] = f.flag(v)
		case text:
			all[f.Name] = f.text(v)
		}
	}
	return all
}
