package score_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/score"
)

// outcome is a drawn future of a customer, and how likely it is beside others.
type outcome struct{ value, weight float64 }

// futures draws what a customer of this history brings, by nothing but the story that the models tell of one customer: a rate and a chance to drop out of their
// own, purchases one by one, each worth its amount less the discount of its own month. Who the customer is is drawn as if they were alive; that they dropped out after
// their last purchase instead is as likely, beside that, as the silence since is likelier then.
func futures(r *rand.Rand, m *operators.Model, c *score.Config, p *operators.Purchases, age float64, draws int) []outcome {
	x, silence := float64(p.Repeats()), age-p.LastAge()
	chances := x
	if m.Family == "mbgnbd" {
		chances++
	}
	rates := distuv.Gamma{Alpha: m.R + x, Beta: m.Alpha + age, Src: r}
	dropOuts := distuv.Beta{Alpha: m.A, Beta: m.B + chances, Src: r}
	means := distuv.Gamma{Alpha: m.Q + m.P*x, Beta: m.V + float64(p.RepeatNet())/float64(c.MinorPerMajor), Src: r}
	var all []outcome
	for range draws {
		rate, dropOut := rates.Rand(), dropOuts.Rand()
		amounts := distuv.Gamma{Alpha: m.P, Beta: means.Rand(), Src: r}
		value := 0.0
		for at, gone := r.ExpFloat64()/rate, false; !gone && at <= float64(c.HorizonMonths)*c.MonthDays; at += r.ExpFloat64() / rate {
			value += amounts.Rand() * c.MarginShare / math.Pow(1+c.DiscountMonthly, math.Ceil(at/c.MonthDays))
			gone = r.Float64() < dropOut
		}
		all = append(all, outcome{value, 1})
		if chances > 0 {
			all = append(all, outcome{0, dropOut / (1 - dropOut) * math.Exp(rate*silence)})
		}
	}
	return all
}

func mean(all []outcome) float64 {
	sum, weight := 0.0, 0.0
	for _, o := range all {
		sum, weight = sum+o.value*o.weight, weight+o.weight
	}
	return sum / weight
}

// TestCeilingBySimulation: of what drawn futures say that retention would save, the share of their value that the contact horizon's silence takes on average, one in ten lies
// at or below SavedLow; its mean is AboutToBeLost; and where one future in ten or more brings nothing, the point and the ceiling are 0.
func TestCeilingBySimulation(t *testing.T) {
	const draws = 40_000
	for name, h := range map[string]struct {
		family              string
		x, lastAge, silence int
		clvLow              bool // its 10 % point is above 0
		discount            float64
	}{
		"buys often":              {"mbgnbd", 12, 300, 1, true, 0.01},
		"buys often, high rate":   {"mbgnbd", 40, 300, 3, true, 0.01},
		"long known":              {"mbgnbd", 40, 700, 2, true, 0.05},
		"BG/NBD":                  {"bgnbd", 20, 300, 2, true, 0.01},
		"has been silent":         {"mbgnbd", 12, 300, 40, false, 0.01},
		"bought once":             {"mbgnbd", 0, 0, 10, false, 0.01},
		"bought once, BG/NBD":     {"bgnbd", 0, 0, 10, false, 0.01},
		"bought twice, long gone": {"mbgnbd", 1, 30, 60, false, 0.01},
	} {
		t.Run(name, func(t *testing.T) {
			c := defaults(func(c *score.Config) { c.DiscountMonthly, c.MarginShare = h.discount, 0.4 })
			op, m, r := score.New(c), cdnow(h.family), rand.New(rand.NewPCG(7, 3))
			p := purchases(0, h.x, h.lastAge, 3000, operators.Money(3000*h.x))
			at := instantOf(operators.Day(h.lastAge + h.silence))
			facts := op.Evaluate(&p, m, at)
			got := op.Ceiling(&p, m, &facts)

			now := futures(r, m, &c, &p, p.Age(at), draws)
			later := futures(r, m, &c, &p, p.Age(at)+c.ContactDays, draws)
			lost := 1 - mean(later)/mean(now)
			if math.Abs(got.LostShare-lost) > 0.02 {
				t.Errorf("silence takes %v of the value, drawn %v", got.LostShare, lost)
			}
			atOrBelow, nothing, all := 0.0, 0.0, 0.0
			for _, o := range now {
				all += o.weight
				if lost*o.value <= got.SavedLow {
					atOrBelow += o.weight
				}
				if o.value == 0 {
					nothing += o.weight
				}
			}
			if h.clvLow != (got.CLVLow > 0) || h.clvLow != (nothing/all < 0.1) || h.clvLow != (got.Ceiling > 0) {
				t.Fatalf("%+v; %.4f of the futures bring nothing", got, nothing/all)
			}
			if h.clvLow && math.Abs(atOrBelow/all-0.1) > 0.01 || !h.clvLow && got.SavedLow != 0 {
				t.Errorf("%.4f of what retention would save is at or below %+v", atOrBelow/all, got)
			}
			if want := lost * mean(now); math.Abs(got.LostShare*facts.CLV-want) > 0.05*want+0.02 {
				t.Errorf("about to be lost %v, drawn %v", got.LostShare*facts.CLV, want)
			}
		})
	}
}

// TestCeiling shows the arithmetic: the least of cap, share of what would be saved, and the 10 % point of CLV, down to the cent.
func TestCeiling(t *testing.T) {
	p, at, m := purchases(0, 40, 300, 3000, 120_000), instantOf(301), cdnow("mbgnbd")
	ceiling := func(change func(*score.Config)) operators.OfferCeiling {
		op := score.New(defaults(change))
		f := op.Evaluate(&p, m, at)
		return op.Ceiling(&p, m, &f)
	}
	plain := ceiling(nil)
	if plain.Share != 0.3 || plain.Cap != 0 || plain.Ceiling != operators.Money(math.Floor(30*plain.SavedLow)) || plain.SavedLow != plain.LostShare*plain.CLVLow {
		t.Errorf("%+v", plain)
	}
	all := ceiling(func(c *score.Config) { c.OfferShare = 1 })
	if float64(all.Ceiling) > 100*all.CLVLow || all.Ceiling < 3*plain.Ceiling {
		t.Errorf("of all %+v, of 0.3 %+v", all, plain)
	}
	for _, limit := range []operators.Money{1, plain.Ceiling - 1, plain.Ceiling, plain.Ceiling + 1} {
		if got := ceiling(func(c *score.Config) { c.OfferCap = limit }); got.Ceiling != min(limit, plain.Ceiling) || got.Cap != limit {
			t.Errorf("capped at %d: %+v", limit, got)
		}
	}
	yen := ceiling(func(c *score.Config) { c.Currency, c.MinorPerMajor = "JPY", 1 })
	if float64(yen.Ceiling) != math.Floor(0.3*yen.SavedLow) {
		t.Errorf("without minor units %+v", yen)
	}
	fitted := *m
	fitted.Fit = &operators.Fit{}
	for i := range 4 {
		fitted.Fit.Covariance[i][i] = 0.05
	}
	for i := range 3 {
		fitted.Fit.SpendCovariance[i][i] = 0.05
	}
	op := score.New(defaults(nil))
	f := op.Evaluate(&p, &fitted, at)
	if got, want := op.Ceiling(&p, &fitted, &f).CLVLow, op.ValueRange(&p, &fitted, score.UncertaintyOf(&fitted), at).Low; got != want || got == plain.CLVLow {
		t.Errorf("of a fitted model the 10 %% point is %v, that of the range %v, without the parameters' error %v", got, want, plain.CLVLow)
	}
}

// TestCeilingBounds: for any model and history the ceiling is 0 or more, at most the 10 % point of CLV and what is about to be lost would allow, and 0 as soon as that point is.
func TestCeilingBounds(t *testing.T) {
	op := score.New(defaults(func(c *score.Config) { c.OfferShare = 1 }))
	rapid.Check(t, func(t *rapid.T) {
		m, p := drawModel(t), drawPurchases(t)
		if p.Repeats() > 50 {
			t.Skip("hundreds of purchases take long")
		}
		f := op.Evaluate(&p, m, p.FirstStart+operators.EventTime(p.Last-p.First)*operators.DayMs+operators.EventTime(rapid.Int64Range(0, 400*operators.DayMs).Draw(t, "silence")))
		o := op.Ceiling(&p, m, &f)
		if !(o.LostShare >= 0 && o.LostShare <= 1 && o.SavedLow >= 0 && o.SavedLow <= o.CLVLow) || o.Ceiling < 0 || float64(o.Ceiling) > 100*o.CLVLow+1e-6 || o.CLVLow == 0 && o.Ceiling != 0 {
			t.Fatalf("%+v", o)
		}
	})
}

// TestCeilingInWords shows what a person reads.
func TestCeilingInWords(t *testing.T) {
	c := defaults(nil)
	terms := c.Terms()
	for name, want := range map[string]struct {
		of    operators.OfferCeiling
		words []string
	}{
		"nothing is sure": {operators.OfferCeiling{Share: 0.3, LostShare: 0.4}, []string{
			"ceiling 0.00 USD: never a retention offer worth more than the customer", "the 10 % point of their CLV is 0.00 USD: in one of ten futures or more they bring nothing",
		}},
		"a share": {operators.OfferCeiling{Ceiling: 457, Share: 0.3, CLVLow: 41.2, LostShare: 0.37, SavedLow: 15.244}, []string{
			"ceiling 4.57 USD: 0.3 of 15.24 USD, the 10 % point of what retention would save",
			"silence of 30 days would take 37.0 % of their value; the 10 % point of their CLV is 41.20 USD",
		}},
		"capped": {operators.OfferCeiling{Ceiling: 300, Cap: 300, Share: 0.3, CLVLow: 41.2, LostShare: 0.37, SavedLow: 15.244}, []string{
			"ceiling 3.00 USD: the cap, under 4.57 USD, which is 0.3 of 15.24 USD, the 10 % point of what retention would save",
			"silence of 30 days would take 37.0 % of their value; the 10 % point of their CLV is 41.20 USD",
		}},
	} {
		if got := want.of.Reasons(&terms); !slices.Equal(got, want.words) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want.words, "\n"))
		}
	}
}

func BenchmarkCeiling(b *testing.B) {
	op, m := score.New(defaults(nil)), cdnow("mbgnbd")
	for _, c := range []struct {
		name string
		p    operators.Purchases
	}{
		{"once", purchases(0, 0, 0, 3000, 0)}, {"sure", purchases(0, 12, 300, 3000, 36_000)},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := op.Evaluate(&c.p, m, instantOf(301))
			for b.Loop() {
				op.Ceiling(&c.p, m, &f)
			}
		})
	}
}
