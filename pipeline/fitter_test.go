package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
	"lull/operators/statistics"
	"lull/pipeline/fit"
	"lull/schemas"
)

// shop returns the orders of a made-up shop, in order of time: customers who come one after the other, buy at rates of their own, and drop out after some
// purchase.
func shop(customers, days int) (orders []operators.Event) {
	r := rand.New(rand.NewPCG(7, 7))
	const start = operators.EventTime(9862*24+10) * 3_600_000 // 1997-01-01, 10:00
	for i := range customers {
		day := float64(i%(days/4)) + 1
		mean := 10 + 30*r.Float64()
		for n := 0; day < float64(days); n++ {
			orders = append(orders, operators.Event{
				Kind: operators.OrderCompleted, ID: fmt.Sprintf("m%d-%d", i, n), OrderID: fmt.Sprintf("o%d-%d", i, n), Customer: fmt.Sprintf("c%d", i),
				Time: start + operators.EventTime(day)*operators.DayMs, Amount: operators.Money(1000 + 4000*r.Float64()),
			})
			if r.Float64() < 0.3 {
				break
			}
			day += mean * r.ExpFloat64()
		}
	}
	slices.SortStableFunc(orders, func(a, b operators.Event) int { return cmp.Compare(a.Time, b.Time) })
	return orders
}

// ask writes a request for a fit and returns its offset.
func (c *cluster) ask(s *Settings) int64 {
	c.t.Helper()
	key, value, err := schemas.EncodeFit(&schemas.Fit{})
	if err != nil {
		c.t.Fatal(err)
	}
	r := &kgo.Record{Topic: s.Topic(FitsTopic), Key: key, Value: value}
	c.produce(r)
	return r.Offset
}

// verdicts waits until there are so many verdicts, and returns all that there are.
func (c *cluster) verdicts(s *Settings, n int) (verdicts []schemas.Fit) {
	c.t.Helper()
	deadline, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		verdicts = nil
		for _, r := range c.read(s.Topic(FitsTopic)) {
			f, err := schemas.DecodeFit(r.Key, r.Value)
			if err != nil {
				c.t.Fatal(err)
			}
			if f.Verdict != nil {
				verdicts = append(verdicts, f)
			}
		}
		if len(verdicts) >= n {
			return verdicts
		}
		select {
		case <-tick.C:
		case <-deadline.Done():
			c.t.Fatalf("%d verdicts, not %d", len(verdicts), n)
		}
	}
}

// counted returns how many customers the statistics told last count, and in how many partitions.
func (c *cluster) counted(s *Settings) (customers int64, partitions int) {
	c.t.Helper()
	heads := map[int32]int64{}
	for _, r := range c.read(s.Topic(StatisticsTopic)) {
		part, err := schemas.DecodeStatistics(r.Key, r.Value)
		if err != nil {
			c.t.Fatal(err)
		}
		if part.Head != nil {
			heads[part.Partition] = part.Head.Customers
		}
	}
	for _, n := range heads {
		customers += n
	}
	return customers, len(heads)
}

// TestStatisticsGrow proves that statistics which have grown by much are told soon, however seldom they are told else: a model that is asked for while history is read, or right after, is of all customers.
func TestStatisticsGrow(t *testing.T) {
	c := newCluster(t)
	s := c.application(2)
	s.Fit.StatisticsEvery = time.Hour
	p := c.run(s)
	await := func(want int64) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; <-time.After(20 * time.Millisecond) {
			got, partitions := c.counted(&s)
			if got == want && partitions == 2 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d customers of %d partitions are told of, not %d\n%s", got, partitions, want, p.log)
			}
		}
	}
	await(0)
	records := c.crowd(&s, 100)
	c.produce(records[:50]...)
	await(50)
	c.produce(records[50:]...)
	await(100)
	p.end()
}

// awaitStatistics waits until every partition has told statistics as of an instant, and returns how many customers they count.
func (c *cluster) awaitStatistics(s *Settings, partitions int, at operators.EventTime) (customers int64) {
	c.t.Helper()
	deadline, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		heads := map[int32]*schemas.StatisticsHead{}
		for _, r := range c.read(s.Topic(StatisticsTopic)) {
			part, err := schemas.DecodeStatistics(r.Key, r.Value)
			if err != nil {
				c.t.Fatal(err)
			}
			if part.Head != nil {
				heads[part.Partition] = part.Head
			}
		}
		customers = 0
		told := 0
		for _, h := range heads {
			if customers += h.Customers; h.Watermark == at {
				told++
			}
		}
		if told == partitions {
			return customers
		}
		select {
		case <-tick.C:
		case <-deadline.Done():
			c.t.Fatalf("statistics of %d partitions", told)
		}
	}
}

// TestFit proves the way from statistics to scores: two processes count what they hear, one of them fits when it is asked to, the verdict and the model are there,
// both processes adopt it and score everybody; a second request is judged against the first model.
func TestFit(t *testing.T) {
	c := newCluster(t)
	const partitions, customers = 4, 400
	s := c.application(partitions)
	s.Fit.Mode, s.Fit.StatisticsEvery = "demand", 50*time.Millisecond
	other := s
	other.Instance, other.State.Dir = "two", t.TempDir()
	one, two := c.run(s), c.run(other)
	var records []*kgo.Record
	for _, o := range shop(customers, 400) {
		records = append(records, c.event(&s, o))
	}
	c.produce(records...)
	c.mark(&s, "1998-02-05T00:00:00Z")
	c.await(&s, one)
	if n := c.awaitStatistics(&s, partitions, instant(t, "1998-02-05T00:00:00Z")); n != customers {
		t.Errorf("statistics of %d customers", n)
	}
	request := c.ask(&s)
	verdict := c.verdicts(&s, 1)[0].Verdict
	if !verdict.Adopted || verdict.Request != request || verdict.Candidate.Customers != customers || verdict.Champion != nil || verdict.Holdout == nil {
		t.Fatalf("%+v", verdict)
	}
	version := fmt.Sprintf("fit-1998-02-05-%d", request)
	if verdict.Candidate.Version != version {
		t.Errorf("the model is called %s", verdict.Candidate.Version)
	}
	c.awaitScores(&s, version, customers)
	c.ask(&s)
	again := c.verdicts(&s, 2)[1].Verdict
	if again.Champion == nil || *again.Champion != version || again.Holdout.ChampionLogScore == nil || !again.Adopted {
		t.Errorf("%+v", again)
	}
	if n := len(c.read(s.Topic(ModelsTopic))); n != 2 {
		t.Errorf("%d models", n)
	}
	one.end()
	two.end()
}

// awaitScores waits until so many customers have been scored with a model.
func (c *cluster) awaitScores(s *Settings, version string, customers int) {
	c.t.Helper()
	deadline, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		scored := map[string]bool{}
		for _, r := range c.read(s.Topic(ScoresTopic)) {
			row, err := schemas.DecodeOutput(schemas.Scores, r.Value)
			if err != nil {
				c.t.Fatal(err)
			}
			if row.Get("model") == version {
				scored[string(r.Key)] = true
			}
		}
		if len(scored) == customers {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.Done():
			c.t.Fatalf("%d of %d customers are scored with %s", len(scored), customers, version)
		}
	}
}

// TestFitByItself proves that a shop without a model has one as soon as its history has been read, and that a fitter which dies is followed by another, which
// answers what it had not.
func TestFitByItself(t *testing.T) {
	c := newCluster(t)
	const partitions, customers = 2, 100
	s := c.application(partitions)
	s.Fit.Mode, s.Fit.StatisticsEvery = "auto", 50*time.Millisecond
	one := c.run(s)
	var records []*kgo.Record
	for _, o := range shop(customers, 400) {
		records = append(records, c.event(&s, o))
	}
	c.produce(records...)
	c.mark(&s, "1998-02-05T00:00:00Z")
	first := c.verdicts(&s, 1)[0]
	if first.Cause != schemas.FitFirst || !first.Verdict.Adopted || first.Verdict.Candidate.Customers != customers {
		t.Errorf("%+v: %+v", first, first.Verdict)
	}
	c.awaitScores(&s, first.Verdict.Candidate.Version, customers)
	one.end()
	c.ask(&s)
	two := c.run(s) // the same instance: the same member
	second := c.verdicts(&s, 2)[1]
	if second.Cause != schemas.FitOnDemand || *second.Verdict.Champion != first.Verdict.Candidate.Version {
		t.Errorf("%+v: %+v", second, second.Verdict)
	}
	two.end()
}

// TestFitTooEarly: a request that comes before anybody has bought is answered when that has been waited for a while.
func TestFitTooEarly(t *testing.T) {
	c := newCluster(t)
	s := c.application(2)
	s.Fit.Mode, s.Fit.StatisticsEvery = "demand", 50*time.Millisecond
	c.ask(&s)
	one := c.run(s)
	verdict := c.verdicts(&s, 1)[0].Verdict
	if verdict.Adopted || verdict.Candidate != nil || len(verdict.Reasons) != 1 || !strings.Contains(verdict.Reasons[0], "nobody is known to have bought yet") {
		t.Errorf("%+v", verdict)
	}
	one.end()
}

// TestEveryRequestHasOneVerdict: several requests wait, and one of the fitter's commits is refused; the others are not passed over by that, nor answered twice.
func TestEveryRequestHasOneVerdict(t *testing.T) {
	for name, fault := range map[string]kfake.Fault{
		"a generation that is over": {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration},
		"fenced":                    {Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.InvalidProducerEpoch, TopLevel: true},
	} {
		t.Run(name, func(t *testing.T) {
			fake, c := embedded(t)
			s := c.application(1)
			s.Fit.Mode, s.Fit.StatisticsEvery = "demand", 50*time.Millisecond
			one := c.run(s)
			var records []*kgo.Record
			for _, o := range shop(60, 400) {
				records = append(records, c.event(&s, o))
			}
			c.produce(records...)
			c.mark(&s, "1998-02-05T00:00:00Z")
			c.await(&s, one)
			c.awaitStatistics(&s, 1, instant(t, "1998-02-05T00:00:00Z"))
			one.end()
			asked := []int64{c.ask(&s), c.ask(&s), c.ask(&s)}
			commits := 0
			fault.TxnID, fault.Count = s.FitterGroup()+"/"+s.Instance, 1
			fault.When = func(kmsg.Request) bool { commits++; return commits == 2 }
			hits := fake.Fault(fault)
			one = c.run(s)
			c.verdicts(&s, len(asked))
			c.ask(&s) // what is answered twice is so by the time that this is
			last := c.verdicts(&s, len(asked)+1)
			one.end()
			if hits.Hits() != 1 {
				t.Errorf("%d commits were refused", hits.Hits())
			}
			times := map[int64]int{}
			for _, f := range last {
				times[f.Verdict.Request]++
			}
			for _, request := range asked {
				if times[request] != 1 {
					t.Errorf("request %d has %d verdicts\n%s", request, times[request], one.log)
				}
			}
			if models := len(c.read(s.Topic(ModelsTopic))); models != len(asked)+1 {
				t.Errorf("%d models", models)
			}
		})
	}
}

// TestFitWithoutTime: customers of whom one order is known, and no watermark yet, are no reason to fit, nor to fail.
func TestFitWithoutTime(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	s.Fit.Mode, s.Fit.StatisticsEvery = "demand", 50*time.Millisecond
	one := c.run(s)
	c.produce(c.event(&s, operators.Event{Kind: operators.OrderCompleted, ID: "m", OrderID: "o", Customer: "c", Time: instant(t, "1998-01-01T00:00:00Z"), Amount: 500}))
	c.await(&s, one)
	if n := c.awaitStatistics(&s, 1, operators.Unset); n != 1 {
		t.Logf("statistics of %d customers", n)
	}
	c.ask(&s)
	verdict := c.verdicts(&s, 1)[0].Verdict
	if verdict.Adopted || !strings.Contains(strings.Join(verdict.Reasons, " "), "time has not come anywhere yet") && !strings.Contains(strings.Join(verdict.Reasons, " "), "nobody is known") {
		t.Errorf("%+v", verdict)
	}
	one.end()
}

// TestFitReachesEveryPartition: partitions whose watermarks are behind that of the furthest take the model in where they are, not when they come there.
func TestFitReachesEveryPartition(t *testing.T) {
	c := newCluster(t)
	const customers = 200
	s := c.application(4)
	s.Fit.Mode, s.Fit.StatisticsEvery = "auto", 50*time.Millisecond
	one := c.run(s)
	var records []*kgo.Record
	for _, o := range shop(customers, 400) {
		records = append(records, c.event(&s, o))
	}
	c.produce(records...) // and no mark behind them
	first := c.verdicts(&s, 1)[0].Verdict
	if !first.Adopted {
		t.Fatalf("%+v", first)
	}
	c.awaitScores(&s, first.Candidate.Version, customers)
	one.end()
}

// TestStatisticsAfterRebuild: when the state is forgotten and all is read again, with days that lie otherwise, the parts of before do not count.
func TestStatisticsAfterRebuild(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	s.Fit.Mode, s.Fit.StatisticsEvery = "demand", 50*time.Millisecond
	one := c.run(s)
	c.awaitStatistics(&s, 1, operators.Unset) // told before there is anything to tell
	lastOfWeek := operators.EventTime(7*1400-1)*operators.DayMs + 20*3_600_000
	for i := range 4 {
		c.produce(c.event(&s, operators.Event{
			Kind: operators.OrderCompleted, ID: fmt.Sprint("m", i), OrderID: fmt.Sprint("o", i), Customer: fmt.Sprint("c", i), Time: lastOfWeek, Amount: 500,
		}))
	}
	c.mark(&s, "1997-01-01T00:00:00Z")
	c.awaitStatistics(&s, 1, instant(t, "1997-01-01T00:00:00Z"))
	one.end()
	s.Calendar.Timezone, s.OnOffsetMismatch = "Pacific/Auckland", "rebuild" // there it is the next week already
	one = c.run(s)
	c.mark(&s, "1997-02-01T00:00:00Z")
	if n := c.awaitStatistics(&s, 1, instant(t, "1997-02-01T00:00:00Z")); n != 4 {
		t.Errorf("statistics of %d customers", n)
	}
	c.ask(&s)
	if verdict := c.verdicts(&s, 1)[0].Verdict; verdict.Candidate == nil {
		t.Errorf("%+v", verdict)
	}
	one.end()
}

// TestDue: a fit is due by itself when there is no model, and so long after the last fit; not while a backlog is read, and not again right after a refusal.
func TestDue(t *testing.T) {
	now := time.Now()
	hours := func(n int) time.Time { return now.Add(-time.Duration(n) * time.Hour) }
	model := []*operators.Model{{Version: "m", Family: "mbgnbd", R: 1, Alpha: 1, A: 1, B: 1, P: 1, Q: 2, V: 1, Fit: &operators.Fit{AsOf: 1000 * operators.DayMs}}}
	for name, c := range map[string]struct {
		change func(f *fitter)
		cause  schemas.FitCause
		due    bool
	}{
		"no model":            {func(*fitter) {}, schemas.FitFirst, true},
		"refused an hour ago": {func(f *fitter) { f.lastCheck = hours(1) }, 0, false},
		"refused a day ago":   {func(f *fitter) { f.lastCheck = hours(25) }, schemas.FitFirst, true},
		"fitted six days ago": {func(f *fitter) { f.models, f.lastFit, f.lastCheck = model, hours(6*24), hours(25) }, 0, false},
		"fitted a week ago":   {func(f *fitter) { f.models, f.lastFit, f.lastCheck = model, hours(7*24), hours(25) }, schemas.FitOnSchedule, true},
		"more often than it is checked": {func(f *fitter) {
			f.s.Fit.Every, f.models, f.lastFit, f.lastCheck = time.Hour, model, hours(1), hours(1)
		}, schemas.FitOnSchedule, true},
		"still reading":    {func(f *fitter) { f.changed = now }, 0, false},
		"nothing told":     {func(f *fitter) { f.partitions = 2 }, 0, false},
		"behind the clock": {func(f *fitter) { f.s.Clock.Mode = "wall" }, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fitter{s: &Settings{}, partitions: 1, statistics: fit.NewStatistics(), changed: hours(1), watermarks: map[int32]operators.EventTime{0: 1000 * operators.DayMs}}
			f.s.EnsureDefaults()
			f.s.Clock.Mode = "event"
			f.config = f.s.FitConfig()
			table := statistics.NewTable(10)
			table.Change("c", &operators.Purchases{}, &operators.Purchases{Count: 1, Orders: 1, First: 900, FirstStart: 900 * operators.DayMs, Last: 900, Net: 5, FirstNet: 5}, []operators.PurchaseDay{{Day: 900}})
			for part, content := range table.All() {
				f.statistics.Put(0, 1, part, content)
			}
			f.statistics.SetHead(0, fit.Head{Edition: 1, AsOf: 1000 * operators.DayMs, Now: 1000, Customers: 1, Below: statistics.HashEnd, Parts: table.Count()})
			c.change(f)
			if request, due := f.due(now); due != c.due || due && request.Cause != c.cause {
				t.Errorf("due: %v, %s", due, request.Cause)
			}
		})
	}
}

// TestFitterTopicCreatedAnew proves that a fitter which has read more of a topic than there is says that it is another one now.
func TestFitterTopicCreatedAnew(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	f := &fitter{s: &s, adm: c.adm, read: map[string]int64{s.Topic(FitsTopic): 7}}
	if err := f.catchUp(t.Context()); err == nil || err.Error() != fmt.Sprintf("topic %q ends at 0, and has been read to 7: it was created anew", s.Topic(FitsTopic)) {
		t.Error(err)
	}
}
