package fit_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/gammagamma"
	"lull/operators/score"
	"lull/operators/statistics"
	"lull/pipeline/fit"
)

func off(got, want float64) float64 { return math.Abs(got/want - 1) }

func parameters(p bgnbd.Params) []float64 { return []float64{p.R, p.Alpha, p.A, p.B} }

// exact are models fitted to the exact histories and amounts of people at 00:00 of a day, whose purchases count, as the reference has it.
func exact(t *testing.T, people []person, family bgnbd.Family, now operators.Day) (histories []bgnbd.Group, purchases bgnbd.Params, spending gammagamma.Params) {
	t.Helper()
	var amounts []gammagamma.Group
	for i := range people {
		k, _ := people[i].known(now + 1)
		h := bgnbd.History{X: k.Repeats(), TX: k.LastAge(), T: float64(now - k.First)}
		histories = append(histories, bgnbd.Group{History: h, Customers: 1})
		if k.RepeatNet() > 0 {
			amounts = append(amounts, gammagamma.Group{X: k.Repeats(), Spend: float64(k.RepeatNet()) / 100, Customers: 1})
		}
	}
	sample, err := bgnbd.NewSample(histories)
	if err != nil {
		t.Fatal(err)
	}
	sampleOfSpend, err := gammagamma.NewSample(amounts)
	if err != nil {
		t.Fatal(err)
	}
	return histories, sample.Fit(family).Params, sampleOfSpend.Fit().Params
}

// TestCDNOW: of the CDNOW sample in calibration, all of which a task samples, the model is that of the exact histories, and with that of the reference. Of
// the whole cohort, if few are sampled, so that it is counted by weeks, parameters are within 1.5 %, and P(alive) of every customer within 0.003. Spend is
// counted by bins in both.
func TestCDNOW(t *testing.T) {
	now := day(t, "1997-09-30")
	for _, family := range []bgnbd.Family{bgnbd.MBGNBD, bgnbd.BGNBD} {
		for _, shop := range []struct {
			people              []person
			sampled             int
			purchases, alive    float64 // tolerances
			customers, repeated int64
		}{{tenth(t), statistics.SampleSize, 1e-6, 1e-7, 2357, 2457}, {tenth(t), 100, 0.015, 0.003, 2357, 2457}, {cohort(t), 1000, 0.015, 0.003, 23_570, 24_337}} {
			c := config()
			c.Families = []bgnbd.Family{family}
			v := c.Judge(populationOf(t, table(shop.people, now+1, shop.sampled), float64(now)), nil, "v1", effective)
			if !v.Adopted {
				t.Fatalf("%s: refused: %s", family, v.Reasons)
			}
			histories, want, wantSpend := exact(t, shop.people, family, now)
			got, gotSpend := v.Purchases.Params, v.Spend.Params
			purchases, alive := 0.0, 0.0
			for i := range 4 {
				purchases = max(purchases, off(parameters(got)[i], parameters(want)[i]))
			}
			for _, g := range histories {
				alive = max(alive, math.Abs(got.PAlive(g.History)-want.PAlive(g.History)))
			}
			spent := max(off(gotSpend.P, wantSpend.P), off(gotSpend.Q, wantSpend.Q), off(gotSpend.V, wantSpend.V))
			t.Logf("%s of %d: parameters within %.2g, P(alive) %.2g, spend %.2g", family, len(shop.people), purchases, alive, spent)
			if purchases > shop.purchases || alive > shop.alive || spent > 0.015 {
				t.Errorf("%s of %d: parameters within %.2g, P(alive) %.2g, spend %.2g", family, len(shop.people), purchases, alive, spent)
			}
			m := v.Model
			if m.Family != family.String() || m.R != got.R || m.Alpha != got.Alpha || m.A != got.A || m.B != got.B || m.P != gotSpend.P || m.Q != gotSpend.Q || m.V != gotSpend.V {
				t.Errorf("%s: the model is %+v, the fit %+v", family, m, v.Estimates)
			}
			if m.Version != "v1" || m.EffectiveAt != effective || m.Fit.AsOf != operators.EventTime(now)*operators.DayMs || m.Fit.Customers != shop.customers || m.Fit.RepeatPurchases != shop.repeated {
				t.Errorf("%s: %+v of %+v", family, m, m.Fit)
			}
		}
	}
}

// TestLikelierFamily: of two families the likelier is taken.
func TestLikelierFamily(t *testing.T) {
	dying := bgnbd.Params{Family: bgnbd.MBGNBD, R: 2, Alpha: 30, A: 1, B: 1.5}
	for _, family := range []bgnbd.Family{bgnbd.MBGNBD, bgnbd.BGNBD} {
		truth := dying
		truth.Family = family
		p := population(t, shop(4, truth, spend, 3000, 500, steady), start+500)
		c := config()
		likelihoods := make(map[bgnbd.Family]float64)
		for _, one := range []bgnbd.Family{bgnbd.MBGNBD, bgnbd.BGNBD} {
			c.Families = []bgnbd.Family{one}
			likelihoods[one] = c.Judge(p, nil, "v", effective).Model.Fit.LogLikelihood
		}
		for _, order := range [][]bgnbd.Family{{bgnbd.MBGNBD, bgnbd.BGNBD}, {bgnbd.BGNBD, bgnbd.MBGNBD}} {
			c.Families = order
			v := c.Judge(p, nil, "v", effective)
			if v.Model.Family != family.String() || v.Holdout.Challenger.Params.Family != family {
				t.Errorf("a shop of %s: %s of the likelihoods %v; held out %s", family, v.Model.Family, likelihoods, v.Holdout.Challenger.Params.Family)
			}
		}
	}
}

// TestFewCustomers: a shop of 50 buyers gets a model, and standard errors that say what it is worth.
func TestFewCustomers(t *testing.T) {
	all := shop(8, mbg, spend, 5000, 500, steady)
	errorOfA := 0.0
	for _, count := range []int{5000, 50, 1} {
		v := config().Judge(population(t, all[:count], start+500), nil, "v1", effective)
		purchases, spending := v.Errors()
		t.Logf("%d buyers: %v; %v %v", count, v.Reasons, purchases, spending)
		if !v.Adopted || score.ValidateModel(v.Model) != nil || !(purchases[2] > errorOfA) {
			t.Errorf("%d buyers: %v; %v %v; %+v", count, v.Reasons, purchases, spending, v.Model)
		}
		errorOfA = purchases[2]
		if prior := count <= 50; v.Model.Fit.Prior != prior || prior && !strings.Contains(fmt.Sprint(v.Reasons), "weak prior") {
			t.Errorf("%d buyers: %v; %+v", count, v.Reasons, v.Model.Fit)
		}
	}
	if errorOfA < 0.5 {
		t.Errorf("of one buyer a is known within a factor of e to the %v", errorOfA)
	}
}

// TestNoDropOut: where nobody drops out the fit converges, and the model is adopted.
func TestNoDropOut(t *testing.T) {
	immortal := bgnbd.Params{Family: bgnbd.MBGNBD, R: 1.2, Alpha: 40, A: 1e-9, B: 1e9}
	c := config()
	c.Families = []bgnbd.Family{bgnbd.MBGNBD, bgnbd.BGNBD}
	v := c.Judge(population(t, shop(3, immortal, spend, 2000, 700, steady), start+700), nil, "v1", effective)
	if !v.Adopted || !v.Purchases.Converged || !v.Purchases.Prior {
		t.Errorf("%v; %+v", v.Reasons, v.Estimates)
	}
}

// TestUnusualShops: nobody buys, nobody comes back, nobody pays, all pay the same; and who is not worth a cent.
func TestUnusualShops(t *testing.T) {
	once := func(net func(i int) operators.Money) (people []person) {
		for i := range 60 {
			people = append(people, person{fmt.Sprint(i), []purchase{{start + operators.Day(i), net(i)}}})
		}
		return people
	}
	all := shop(6, mbg, spend, 500, 400, steady)
	priced := func(net operators.Money) []person {
		people := slices.Clone(all)
		for i := range people {
			people[i].purchases = slices.Clone(people[i].purchases)
			for j := range people[i].purchases {
				people[i].purchases[j].net = net
			}
		}
		return people
	}
	now := start + 400

	v := config().Judge(population(t, nil, now), nil, "v1", effective)
	if v.Adopted || v.Model != nil || !strings.Contains(v.Reasons[0], "nobody has bought") {
		t.Errorf("nobody buys: %+v", v)
	}

	v = config().Judge(population(t, once(func(i int) operators.Money { return operators.Money(900 + 10*i) }), now), nil, "v1", effective)
	if !v.Adopted || !v.SpendOfFirst || off(v.MeanSpend.Expected, 11.95) > 0.05 || !strings.Contains(v.NoHoldout, "had bought again") {
		t.Errorf("nobody comes back: %+v", v)
	}

	for what, people := range map[string][]person{"once": once(func(int) operators.Money { return 0 }), "and again": priced(0)} {
		v = config().Judge(population(t, people, now), nil, "v1", effective)
		if v.Adopted || v.Model != nil || !v.Purchases.Converged || !strings.Contains(v.Reasons[0], "no spend to fit") {
			t.Errorf("nobody pays, %s: %+v", what, v)
		}
	}

	for what, people := range map[string][]person{"once": once(func(int) operators.Money { return 999 }), "and again": priced(999)} {
		v = config().Judge(population(t, people, now), nil, "v1", effective)
		if !v.Adopted || off(v.MeanSpend.Expected, 9.99) > 0.01 {
			t.Errorf("all pay the same, %s: %+v", what, v)
		}
		t.Logf("all pay the same, %s: alike %t, %+v", what, v.SpendAlike, v.Spend)
	}

	c := config()
	c.Score.MarginShare = 1e-9
	v = c.Judge(population(t, all, now), nil, "v1", effective)
	if !v.Adopted || v.Model.HighValue != 0.01 || v.Model.Cuts.CLV[3] != 0.01 || v.Model.Cuts.CLV[2] > 1e-6 {
		t.Errorf("nobody is worth a cent: %+v", v.Model)
	}
}

// TestCuts: of each number a fifth of the customers are at or below the first bound, and so on, and by no lower bound; CLV is that of the model at the
// watermark.
func TestCuts(t *testing.T) {
	const now = start + 400
	people := shop(5, mbg, spend, 333, 400, steady)
	c := config()
	v := c.Judge(populationOf(t, table(people, now, statistics.SampleSize), float64(now)+0.25), nil, "v1", effective)
	var since, purchases, monetary, clv []float64
	op := score.New(c.Score)
	for i := range people {
		k, _ := people[i].known(now)
		since = append(since, float64(now-k.Last)+0.25)
		purchases = append(purchases, float64(k.Count))
		monetary = append(monetary, float64(k.Net)/100/float64(k.Count))
		clv = append(clv, op.Evaluate(&k, v.Model, operators.EventTime(now)*operators.DayMs+operators.DayMs/4).CLV)
	}
	for what, c := range map[string]struct {
		bounds [4]float64
		values []float64
	}{
		"since last purchase": {v.Model.Cuts.SinceLastPurchase, since}, "purchases": {v.Model.Cuts.Purchases, purchases},
		"monetary": {v.Model.Cuts.Monetary, monetary}, "CLV": {v.Model.Cuts.CLV, clv},
	} {
		for i, bound := range c.bounds {
			atMost, below := 0, 0
			for _, value := range c.values {
				if value <= bound {
					atMost++
				}
				if value < bound {
					below++
				}
			}
			if share := 333 * (i + 1); 5*atMost < share || 5*below >= share {
				t.Errorf("%s: %d of 333 are at or below bound %d, %v, and %d below", what, atMost, i, bound, below)
			}
		}
	}
	if v.Model.HighValue != v.Model.Cuts.CLV[3] {
		t.Errorf("high value is %v, the cuts %v", v.Model.HighValue, v.Model.Cuts.CLV)
	}
}

// TestInsane: a model that does not agree with what it was fitted to is refused. Of amounts of which every hundredth customer's are a million times the
// others' the model of spend makes a mean that is none.
func TestInsane(t *testing.T) {
	people := shop(7, mbg, spend, 2000, 400, steady)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range people {
		factor := operators.Money(1)
		if r.IntN(100) == 0 {
			factor = 1_000_000
		}
		for j := range people[i].purchases {
			people[i].purchases[j].net *= factor
		}
	}
	v := config().Judge(population(t, people, start+400), nil, "v1", effective)
	if v.Adopted || len(v.Reasons) != 1 || !strings.Contains(v.Reasons[0], "mean purchase") {
		t.Errorf("%t: %v; %+v", v.Adopted, v.Reasons, v.MeanSpend)
	}
}

// TestSameVerdict: neither the order in which statistics arrive, nor over how many tasks the customers are spread, changes a bit of the verdict.
func TestSameVerdict(t *testing.T) {
	people := shop(9, mbg, spend, 1500, 500, steady)
	champion := modelOf(mbg, spend)
	c := config()
	c.Families = []bgnbd.Family{bgnbd.MBGNBD, bgnbd.BGNBD}
	want := c.Judge(population(t, people, start+500), champion, "v1", effective)
	drift, _ := c.Drift(population(t, people, start+500), champion)
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		tasks := rapid.IntRange(1, 4).Draw(t, "tasks")
		s := fit.NewStatistics()
		for partition, own := range split(people, tasks) {
			r.Shuffle(len(own), func(i, j int) { own[i], own[j] = own[j], own[i] })
			list := messages(int32(partition), 1, table(own, start+500, statistics.SampleSize), float64(start+500))
			parts := list[:len(list)-1]
			r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			for _, tell := range list {
				tell(s)
			}
		}
		p, err := s.Population(int32(tasks))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Judge(p, champion, "v1", effective); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, want %+v", got, want)
		}
		if got, _ := c.Drift(p, champion); got != drift {
			t.Fatalf("%+v, want %+v", got, drift)
		}
	})
}

// TestWarmStart: a champion of the same family changes what the search costs, not what it finds.
func TestWarmStart(t *testing.T) {
	p := population(t, shop(2, mbg, spend, 3000, 500, steady), start+500)
	c := config()
	cold := c.Judge(p, nil, "v1", effective)
	for _, champion := range []*operators.Model{
		cold.Model, modelOf(bgnbd.Params{Family: bgnbd.BGNBD, R: 3, Alpha: 2, A: 1, B: 1}, spend),
		modelOf(bgnbd.Params{Family: bgnbd.MBGNBD, R: 9, Alpha: 900, A: 9, B: 9}, gammagamma.Params{P: 90, Q: 1.01, V: 2}),
	} {
		warm := c.Judge(p, champion, "v1", effective)
		for i, ratio := range []float64{
			warm.Model.R / cold.Model.R, warm.Model.Alpha / cold.Model.Alpha, warm.Model.A / cold.Model.A, warm.Model.B / cold.Model.B,
			warm.Model.P / cold.Model.P, warm.Model.Q / cold.Model.Q, warm.Model.V / cold.Model.V,
		} {
			if math.Abs(ratio-1) > 1e-4 {
				t.Errorf("parameter %d is %v times as great after %+v", i, ratio, champion)
			}
		}
	}
}

// TestNotSampled: there are customers, and nobody of them to find cuts by.
func TestNotSampled(t *testing.T) {
	s := fit.NewStatistics()
	cell := statistics.Births{Cell: statistics.Cell{Birth: 5, Last: 5}, Total: statistics.Total{Customers: 3}}
	s.Put(0, 1, statistics.Part{Kind: statistics.BirthsPart, Number: 5}, statistics.Content{Births: []statistics.Births{cell}})
	s.SetHead(0, fit.Head{Edition: 1, Now: 100, Customers: 3, Parts: 1})
	p, err := s.Population(1)
	if err != nil {
		t.Fatal(err)
	}
	v := config().Judge(p, nil, "v1", effective)
	if v.Adopted || v.Model != nil || !strings.Contains(v.Reasons[0], "none of 3 customers has been sampled") || p.First != 35 {
		t.Errorf("%+v of %+v", v, p)
	}
}

func TestConfig(t *testing.T) {
	for want, change := range map[string]func(c *fit.Config){
		"":                         func(*fit.Config) {},
		"fit: Families is empty":   func(c *fit.Config) { c.Families = nil },
		"fit: Families is [Family": func(c *fit.Config) { c.Families = []bgnbd.Family{7} },
		"fit: HoldoutWeeks is 3":   func(c *fit.Config) { c.HoldoutWeeks = 3 },
		"fit: HoldoutWeeks is 105": func(c *fit.Config) { c.HoldoutWeeks = 105 },
	} {
		c := config()
		change(c)
		if err := c.Validate(); want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
