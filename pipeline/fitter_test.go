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

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
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

// TestFitTooEarly: a request that comes before all partitions have told their statistics is answered, with the names of those missing.
func TestFitTooEarly(t *testing.T) {
	c := newCluster(t)
	s := c.application(2)
	s.Fit.Mode, s.Fit.StatisticsEvery = "demand", time.Hour
	c.ask(&s)
	one := c.run(s)
	verdict := c.verdicts(&s, 1)[0].Verdict
	if verdict.Adopted || verdict.Candidate != nil || len(verdict.Reasons) != 1 || !strings.Contains(verdict.Reasons[0], "partition") && !strings.Contains(verdict.Reasons[0], "nobody has bought") {
		t.Errorf("%+v", verdict)
	}
	one.end()
}
