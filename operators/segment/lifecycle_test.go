package segment_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/segment"
)

// TestLifecycle moves a customer through their life. Risk is low before 100, high from 200 on, dormant from 300, lost from 400.
func TestLifecycle(t *testing.T) {
	before := &scored{}
	chain := operators.NewChain(before, segment.New(segment.Config{DwellMs: 1}, terms, nil))
	c := operators.NewCustomer("c")
	for i, step := range []struct {
		what string
		at   operators.EventTime
		x    int
		want string
	}{
		{"page", 1, -1, "none > prospect"},
		{"page", 2, -1, ""},
		{"order", 50, 0, "prospect > new"},
		{"silence", 199, 0, ""},
		{"silence", 200, 0, "new > at_risk"},
		{"silence", 150, 0, ""}, // another model: not low yet
		{"silence", 99, 0, "at_risk > new"},
		{"silence", 200, 0, "new > at_risk"},
		{"order", 50, 1, "at_risk > won_back"},
		{"model", 60, 1, ""},
		{"same day", 65, 1, ""}, // another order, no other purchase
		{"order", 70, 2, "won_back > active"},
		{"same day", 75, 2, ""},
		{"order", 80, 3, ""},
		{"silence", 300, 3, "active > dormant"}, // after an outage, at once
		{"silence", 399, 3, ""},
		{"silence", 400, 3, "dormant > lost"},
		{"refund", 250, 3, "lost > at_risk"},
		{"order", 10, 4, "at_risk > won_back"},
		{"silence", 200, 4, "won_back > at_risk"},
		{"order", 500, 5, "at_risk > lost"}, // who buys and is as good as gone
		{"gone", 501, -1, "lost > prospect"},
		{"order", 50, 0, "prospect > new"},
		{"order", 51, 1, "new > active"},
	} {
		before.facts = operators.Facts{X: step.x, LowRiskUntil: 100, HighRiskAt: 200, DormantAt: 300, LostAt: 400}
		before.gone, before.silent, before.bought = step.what == "gone", step.what == "page", step.what == "order"
		before.purchases = buyer(uint32(step.x+1), 1000)
		in := operators.Input{Kind: operators.DeadlineInput, At: step.at}
		switch step.what {
		case "page":
			in = operators.Input{Kind: operators.EventInput, At: step.at, Event: &operators.Event{Kind: operators.PageViewed, ID: "p"}}
		case "order", "same day":
			in = operators.Input{Kind: operators.EventInput, At: step.at, Event: &operators.Event{Kind: operators.OrderCompleted, ID: "o", Time: step.at}}
		case "refund":
			in = operators.Input{Kind: operators.EventInput, At: step.at, Event: &operators.Event{Kind: operators.OrderRefunded, ID: "r"}}
		case "model":
			in.Kind = operators.ModelInput
		}
		var out operators.Outbox
		chain.Step(&operators.Env{Model: &operators.Model{Version: "m", HighValue: 1}}, c, &in, &out)
		var got []string
		for _, change := range of(operators.LifecycleDimension, &out) {
			got = append(got, change.From+" > "+change.To)
			if len(change.Reasons) == 0 || (change.Facts == operators.Facts{}) != (change.To == "prospect") {
				t.Errorf("step %d: %+v", i, change)
			}
		}
		if strings.Join(got, ", ") != step.want {
			t.Fatalf("step %d: %v, want %q", i, got, step.want)
		}
	}
}

// TestDwell: whatever happens, a customer with purchases stays in a quadrant for the dwell at least, is of high value from the upper line on and until under the lower one, and at the end of the dwell is where value
// and risk put them.
func TestDwell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const dwell = 1000
		before := &scored{}
		line := &ends{}
		op := segment.New(segment.Config{DwellMs: dwell}, terms, line)
		chain := operators.NewChain(before, op)
		c := operators.NewCustomer("c")
		last := operators.Unset
		is := map[operators.Quadrant]bool{}
		step := func(at operators.EventTime, kind operators.InputKind) {
			was := c.Segment.Quadrant
			var out operators.Outbox
			chain.Step(&operators.Env{Model: &operators.Model{Version: "m"}}, c, &operators.Input{Kind: kind, At: at}, &out)
			if c.Segment.Quadrant == was {
				return
			}
			if last != operators.Unset && at < last+dwell {
				t.Fatalf("from %s to %s at %d, having been there since %d", was, c.Segment.Quadrant, at, last)
			}
			if is, under := c.Segment.Quadrant.HighValue(), at >= line.at; is != was.HighValue() && (is && !before.facts.HighValue || !is && !under) {
				t.Fatalf("from %s to %s at %d, where value is high: %v, and under the lower line: %v", was, c.Segment.Quadrant, at, before.facts.HighValue, under)
			}
			last = at
			is[c.Segment.Quadrant] = true
		}
		at, high := operators.EventTime(0), false
		for i := range rapid.IntRange(1, 30).Draw(t, "steps") {
			at += operators.EventTime(rapid.Int64Range(1, 1500).Draw(t, fmt.Sprint("on ", i)))
			for next, _ := op.Deadline(c); next <= at; next, _ = op.Deadline(c) {
				step(next, operators.DeadlineInput)
			}
			before.facts = operators.Facts{HighValue: rapid.Bool().Draw(t, "value"), LowRiskUntil: 0, HighRiskAt: 0, DormantAt: operators.Never, LostAt: operators.Never}
			if rapid.Bool().Draw(t, "low risk") {
				before.facts.LowRiskUntil, before.facts.HighRiskAt = operators.Never, operators.Never
			}
			line.at = rapid.SampledFrom([]operators.EventTime{operators.Unset, at + 1, at + dwell, operators.Never}).Draw(t, "under the lower line")
			high = before.facts.HighValue || c.Segment.Quadrant.HighValue() && line.at == operators.Never
			step(at, operators.ModelInput)
		}
		for next, _ := op.Deadline(c); next < operators.Never; next, _ = op.Deadline(c) {
			step(next, operators.DeadlineInput)
		}
		want := operators.Nurture
		switch risky := before.facts.HighRiskAt == 0; {
		case high && risky:
			want = operators.Save
		case high:
			want = operators.Advocate
		case risky:
			want = operators.Efficiency
		}
		if c.Segment.Quadrant != want {
			t.Fatalf("in the end %s, not %s", c.Segment.Quadrant, want)
		}
	})
}

func TestConfig(t *testing.T) {
	var c segment.Config
	c.EnsureDefaults()
	if err := c.Validate(); err != nil || c.DwellMs != operators.DayMs {
		t.Errorf("%+v: %v", c, err)
	}
	c.DwellMs = -1
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "DwellMs is -1") {
		t.Errorf("%v", err)
	}
}
