package segment_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/segment"
)

var cuts = operators.Cuts{
	SinceLastPurchase: [4]float64{10, 30.5, 90, 300}, Purchases: [4]float64{1, 1, 2, 4}, Monetary: [4]float64{10, 20, 30, 45.5},
}

// buyer is a customer who has bought on so many days, the last 100 days after the first, for so much in all, in cents.
func buyer(days uint32, net operators.Money) *operators.Purchases {
	p := &operators.Purchases{Count: days, Orders: days, First: 1000, FirstStart: 1000 * operators.DayMs, Last: 1000, Net: net}
	if days > 1 {
		p.Last = 1100
	}
	return p
}

// TestScoreBounds: on the bound a customer is still in the better fifth of recency, and in the lower of frequency and monetary value; the millisecond and the cent
// behind it they are not.
func TestScoreBounds(t *testing.T) {
	last := operators.EventTime(1100 * operators.DayMs)
	after := func(days float64) operators.EventTime { return last + operators.EventTime(days*operators.DayMs) }
	for _, c := range []struct {
		days uint32
		net  operators.Money
		at   operators.EventTime
		want string
	}{
		{2, 2000, last, "5 3 1, falls at " + (after(10) + 1).String()},
		{2, 2000, after(10), "5 3 1, falls at " + (after(10) + 1).String()},
		{2, 2001, after(10) + 1, "4 3 2, falls at " + (after(30.5) + 1).String()},
		{3, 6000, after(30.5) + 1, "3 4 2, falls at " + (after(90) + 1).String()},
		{4, 12_004, after(90) + 1, "2 4 4, falls at " + (after(300) + 1).String()},
		{5, 5 * 4550, after(300), "2 5 4, falls at " + (after(300) + 1).String()},
		{5, 5*4550 + 1, after(300) + 1, "1 5 5, falls at never"},
	} {
		scores, next := segment.Scores(buyer(c.days, c.net), &cuts, 100, c.at)
		if got := fmt.Sprintf("%d %d %d, falls at %s", scores.SinceLastPurchase, scores.Frequency, scores.Monetary, next); got != c.want {
			t.Errorf("%d days, %d cents, at %s: %s, want %s", c.days, c.net, c.at, got, c.want)
		}
	}
}

// TestGroups is the table of docs/segments.md: every cell has a name, and every name has cells.
func TestGroups(t *testing.T) {
	seen := map[operators.RFMGroup]int{}
	for r := uint8(1); r <= 5; r++ {
		for f := uint8(1); f <= 5; f++ {
			for m := uint8(1); m <= 5; m++ {
				seen[segment.GroupOf(operators.RFM{SinceLastPurchase: r, Frequency: f, Monetary: m})]++
			}
		}
	}
	for g := operators.NewCustomers; g <= operators.DormantCustomers; g++ {
		if seen[g] == 0 {
			t.Errorf("no cell is %s", g)
		}
	}
	if seen[operators.NoRFMGroup]+seen[operators.Prospects] > 0 || segment.GroupOf(operators.RFM{}) != operators.NoRFMGroup {
		t.Errorf("%v", seen)
	}
	for scores, want := range map[operators.RFM]operators.RFMGroup{
		{SinceLastPurchase: 5, Frequency: 5, Monetary: 3}: operators.Champions,       // a mean of 4
		{SinceLastPurchase: 5, Frequency: 4, Monetary: 3}: operators.ActiveCustomers, // 3.5
		{SinceLastPurchase: 5, Frequency: 1, Monetary: 3}: operators.NewCustomers,    // 2
		{SinceLastPurchase: 4, Frequency: 1, Monetary: 1}: operators.Promising,
		{SinceLastPurchase: 4, Frequency: 5, Monetary: 5}: operators.Loyal,
		{SinceLastPurchase: 3, Frequency: 5, Monetary: 5}: operators.NeedsAttention,
		{SinceLastPurchase: 2, Frequency: 2, Monetary: 2}: operators.AlmostLost,
		{SinceLastPurchase: 2, Frequency: 4, Monetary: 4}: operators.AtRiskCustomers,
		{SinceLastPurchase: 1, Frequency: 5, Monetary: 3}: operators.PreviouslyLoyal,
		{SinceLastPurchase: 1, Frequency: 4, Monetary: 3}: operators.DormantCustomers,
	} {
		if got := segment.GroupOf(scores); got != want {
			t.Errorf("%+v is %s, not %s", scores, got, want)
		}
	}
}

// TestGroupsFallInSilence: a customer who is woken at the deadlines that the operator gives, and never else, is at every instant in the group of their scores
// then.
func TestGroupsFallInSilence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := buyer(rapid.Uint32Range(1, 6).Draw(t, "days"), operators.Money(rapid.Int64Range(0, 40_000).Draw(t, "net")))
		before := &scored{facts: operators.Facts{HighRiskAt: operators.Never, LowRiskUntil: operators.Never, DormantAt: operators.Never, LostAt: operators.Never}, purchases: p}
		op := segment.New(segment.Config{DwellMs: 1}, terms, nil)
		chain := operators.NewChain(before, op)
		env := operators.Env{Model: &operators.Model{Version: "m", HighValue: 1, Cuts: &cuts}}
		c := operators.NewCustomer("c")
		at := p.FirstStart + operators.EventTime(p.LastAge())*operators.DayMs + operators.EventTime(rapid.Int64Range(0, 400*operators.DayMs).Draw(t, "at"))
		end := at + 500*operators.DayMs
		for wakes := 0; ; wakes++ {
			var out operators.Outbox
			chain.Step(&env, c, &operators.Input{Kind: operators.DeadlineInput, At: at}, &out)
			scores, _ := segment.Scores(p, &cuts, 100, at)
			if got, want := c.Segment.RFMGroup, segment.GroupOf(scores); got != want {
				t.Fatalf("at %s: %s, not %s", at, got, want)
			}
			next, _ := op.Deadline(c)
			if next <= at {
				t.Fatalf("the deadline of %s is %s", at, next)
			}
			// Until then nothing changes.
			just, _ := segment.Scores(p, &cuts, 100, min(next, end)-1)
			if segment.GroupOf(just) != c.Segment.RFMGroup {
				t.Fatalf("from %s on %s, and just before %s another", at, c.Segment.RFMGroup, next)
			}
			if next > end {
				if wakes > 4 {
					t.Fatalf("woken %d times", wakes)
				}
				return
			}
			at = next
		}
	})
}

// TestNoCuts: a model without cuts has no groups, and tells so.
func TestNoCuts(t *testing.T) {
	before := &scored{purchases: buyer(2, 3000)}
	chain := operators.NewChain(before, segment.New(segment.Config{DwellMs: 1}, terms, nil))
	c := operators.NewCustomer("c")
	for i, step := range []struct {
		cuts *operators.Cuts
		want string
	}{{nil, ""}, {&cuts, "none > active"}, {nil, "active > none"}} {
		var out operators.Outbox
		chain.Step(&operators.Env{Model: &operators.Model{Version: "m", Cuts: step.cuts}}, c, &operators.Input{Kind: operators.ModelInput, At: 1101 * operators.DayMs}, &out)
		got := ""
		for _, change := range of(operators.RFMDimension, &out) {
			got += change.From + " > " + change.To
		}
		if got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}
