package clv_test

import (
	"fmt"
	"testing"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/optest"
)

// BenchmarkStep measures one step of the whole chain for customers like those of CDNOW, who have up to a dozen orders three weeks apart:
//
//	order          an order: the customer is scored, and the instants of their silence to come are found
//	order_low      the same where CLV is below the model's cut anyway, as for four in five
//	level          the deadline of a level of P(alive)
//	page           a page view, which changes no score
func BenchmarkStep(b *testing.B) {
	for _, family := range []string{"mbgnbd", "bgnbd"} {
		model := cdnow(family)
		low := *model
		low.HighValue = 1e6
		life := newLife(model, defaults())
		life.run(b, family+"/order", 0, life.order)
		life.run(b, family+"/level", 1, func(i int) operators.Input {
			return operators.Input{Kind: operators.DeadlineInput, At: life.before[i+1].Score.Next}
		})
		page := operators.Event{Kind: operators.PageViewed, ID: "p", Customer: "c", Name: "home"}
		life.run(b, family+"/page", 1, func(i int) operators.Input {
			page.Time = life.events[i].Time + 60_000
			return operators.Input{Kind: operators.EventInput, At: page.Time, Event: &page}
		})
		poor := newLife(&low, defaults())
		poor.run(b, family+"/order_low", 0, poor.order)
	}
}

// BenchmarkArithmetic measures what a rule whose condition has no closed form adds to an order, at which its next turn is looked for: none, one that waits for a silence of two weeks first, and one that does not.
func BenchmarkArithmetic(b *testing.B) {
	for _, rule := range []struct{ name, when string }{
		{"none", "purchases >= 3 && silent_days >= 14.0"},
		{"later", "purchases >= 3 && silent_days >= 14.0 && value_about_to_be_lost >= 15.0"},
		{"lost", "value_about_to_be_lost >= 15.0"},
		{"at_risk", "value_at_risk > clv"},
		{"days", "silent_days * 2.0 > age_days"},
	} {
		l := newLife(cdnow("mbgnbd"), withRules(b, "rules:\n  - {name: a, when: '"+rule.when+"'}\n"))
		l.run(b, rule.name, 0, l.order)
	}
}

// life is a customer's, as it was before each of their orders and after the last.
type life struct {
	chain  *operators.Chain
	env    operators.Env
	events [12]operators.Event
	before [13]*operators.Customer
}

func newLife(model *operators.Model, config clv.Config) *life {
	l := &life{chain: clv.NewChain(config), env: operators.Env{Watermark: operators.Unset, Now: operators.Unset, Model: model}}
	for i := range l.before {
		l.before[i] = operators.NewCustomer("c")
		l.before[i].Parts = optest.NewParts()
	}
	var out operators.Outbox
	for i := range l.events {
		day := operators.Day(9_865 + 21*i)
		start := operators.EventTime(day) * operators.DayMs
		l.events[i] = operators.Event{
			Kind: operators.OrderCompleted, ID: fmt.Sprint("m", i), Customer: "c", Time: start + 40_000_000, Day: day, DayStart: start,
			OrderID: fmt.Sprint("o", i), Amount: operators.Money(1499 + 700*i),
		}
		l.before[i+1].CopyFrom(l.before[i])
		in := l.order(i)
		l.chain.Step(&l.env, l.before[i+1], &in, &out)
	}
	return l
}

func (l *life) order(i int) operators.Input {
	return operators.Input{Kind: operators.EventInput, At: l.events[i].Time, Event: &l.events[i]}
}

// run measures the step of each input, the i-th to the customer as before order i + from.
func (l *life) run(b *testing.B, name string, from int, input func(i int) operators.Input) {
	b.Run(name, func(b *testing.B) {
		c := operators.NewCustomer("c")
		c.Parts = optest.NewParts()
		var out operators.Outbox
		b.ReportAllocs()
		for n := range b.N {
			i := n % len(l.events)
			c.CopyFrom(l.before[i+from])
			out.Reset()
			in := input(i)
			l.chain.Step(&l.env, c, &in, &out)
		}
	})
}
