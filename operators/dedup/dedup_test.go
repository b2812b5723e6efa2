package dedup_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/dedup"
	"lull/operators/optest"
)

func newRunner(config dedup.Config) *optest.Runner {
	config.EnsureDefaults()
	if err := config.Validate(); err != nil {
		panic(err)
	}
	return optest.NewRunner(dedup.New(config))
}

func page(id string, at operators.EventTime) *operators.Event {
	return &operators.Event{Kind: operators.PageViewed, ID: id, Customer: "c", Time: at}
}

// TestInterleavedDuplicates proves that a duplicate is found with other ids in between, which a comparison with the last id would not do.
func TestInterleavedDuplicates(t *testing.T) {
	r := newRunner(dedup.Config{})
	var refused []string
	for i, id := range []string{"a", "b", "a", "b", "c", "a"} {
		refused = append(refused, r.Event(page(id, operators.EventTime(i))))
	}
	want := []string{"", "", "duplicate", "duplicate", "", "duplicate"}
	if !slices.Equal(refused, want) {
		t.Errorf("refused %q, want %q", refused, want)
	}
}

// TestWindow proves that an id is remembered while its event lies no further than the window behind the watermark, and that any input forgets
// it then.
func TestWindow(t *testing.T) {
	const start = 1_000_000
	r := newRunner(dedup.Config{WindowMs: 1000})
	r.Event(page("a", start))
	r.Advance(start + 1000)
	late := page("a", start)
	late.Kind = operators.OrderUpdated // a fact: nothing else as late gets to the chain
	if got := r.Event(late); got != "duplicate" {
		t.Errorf("at the edge of the window: refused %q", got)
	}
	edge := page("b", start)
	edge.Kind = operators.OrderUpdated
	if first, again := r.Event(edge), r.Event(edge); first != "" || again != "duplicate" {
		t.Errorf("first sent at the edge of the window: refused %q, then %q", first, again)
	}
	r.Advance(start + 1001)
	r.Step(operators.Input{Kind: operators.ModelInput, At: start + 1001})
	if n := len(r.Customer.Messages); n != 0 {
		t.Errorf("%d ids are remembered past the window", n)
	}
	if got := r.Event(late); got != "" {
		t.Errorf("past the window: refused %q", got)
	}
	if n := len(r.Customer.Messages); n != 0 {
		t.Errorf("%d ids of events from before the window are remembered", n)
	}
}

// TestIDsMax proves that beyond the limit the oldest id by event time is forgotten, not the first to have come.
func TestIDsMax(t *testing.T) {
	r := newRunner(dedup.Config{IDsMax: 2})
	r.LatenessMs = 1000
	for _, e := range []*operators.Event{page("newest", 300), page("oldest", 100), page("middle", 200)} {
		if got := r.Event(e); got != "" {
			t.Errorf("%s: refused %q", e.ID, got)
		}
	}
	for id, want := range map[string]string{"newest": "duplicate", "middle": "duplicate"} {
		if got := r.Event(page(id, 300)); got != want {
			t.Errorf("%s: refused %q, want %q", id, got, want)
		}
	}
	if got := r.Event(page("oldest", 100)); got != "" {
		t.Errorf("oldest: refused %q", got)
	}
}

// TestAgainstSet compares, for random events in random disorder, with the set of all ids ever seen: within the window and the limit they agree.
func TestAgainstSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lateness := rapid.Int64Range(0, 500).Draw(t, "lateness")
		r := newRunner(dedup.Config{WindowMs: 5000, IDsMax: 4096})
		r.LatenessMs = lateness
		type seen struct {
			id string
			at operators.EventTime
		}
		var all []seen
		high := operators.EventTime(0)
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			var e seen
			if len(all) > 0 && rapid.Bool().Draw(t, "again") {
				e = rapid.SampledFrom(all).Draw(t, "which")
			} else {
				at := high + operators.EventTime(rapid.Int64Range(-lateness, 300).Draw(t, "step"))
				e = seen{fmt.Sprintf("m%d", len(all)), at}
			}
			high = max(high, e.at)
			watermark := high - operators.EventTime(lateness)
			want := ""
			switch {
			case e.at < watermark:
				want = "late"
			case slices.Contains(all, e):
				want = "duplicate"
			}
			if got := r.Event(page(e.id, e.at)); got != want {
				t.Fatalf("%v with the watermark at %d: refused %q, want %q", e, watermark, got, want)
			}
			if want == "" {
				all = append(all, e)
			}
			inOrder := slices.IsSortedFunc(r.Customer.Messages, func(a, b operators.Message) int { return int(a.Time - b.Time) })
			if !inOrder || len(r.Customer.Messages) > 0 && r.Customer.Messages[0].Time < watermark-5000 {
				t.Fatalf("with the watermark at %d the messages are %v", watermark, r.Customer.Messages)
			}
		}
	})
}

// TestValidate proves that an error names the field and its value.
func TestValidate(t *testing.T) {
	for want, config := range map[string]dedup.Config{
		"WindowMs is -1": {WindowMs: -1},
		"IDsMax is -2":   {IDsMax: -2},
		"IDsMax is 5000": {IDsMax: 5000},
	} {
		config.EnsureDefaults()
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// BenchmarkNoDuplicate measures the ordinary case: as many ids as there may be, and none of them the event's.
func BenchmarkNoDuplicate(b *testing.B) {
	config := dedup.Config{}
	config.EnsureDefaults()
	chain := operators.NewChain(dedup.New(config))
	c := operators.NewCustomer("c")
	env := &operators.Env{Watermark: operators.Unset}
	var out operators.Outbox
	ids := make([]string, 4096)
	for i := range ids {
		ids[i] = fmt.Sprintf("01H-message-%d", i)
	}
	e := page("", 0)
	in := operators.Input{Kind: operators.EventInput, Event: e}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.ID, e.Time = ids[i%len(ids)], operators.EventTime(i)
		in.At = e.Time
		chain.Step(env, c, &in, &out)
	}
}
