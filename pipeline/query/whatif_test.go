package query

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/optest"
	"lull/operators/score"
)

// TestWhatIf: what an order or silence would make of a customer is what the pipeline makes of them when it comes.
func TestWhatIf(t *testing.T) {
	w := newWorld(t, 1)
	const script = buyer + "\nwatermark 1998-03-10"
	w.states, w.watermark = map[string][]byte{"c": stateOf(t, &model, script)}, instant(t, "1998-03-10")
	run := func(more string) *optest.Runner {
		r := optest.NewRunner()
		r.Chain = clv.NewChain(config())
		r.Env.Model = &model
		if _, err := r.Script(script + more); err != nil {
			t.Fatal(err)
		}
		return r
	}
	check := func(name string, got *WhatIf, r *optest.Runner, at operators.EventTime) {
		t.Helper()
		f := score.New(config().Score).Evaluate(&r.Customer.Purchases, &model, at)
		if got.Then.Segment != r.Customer.Segment.Quadrant.String() || got.Then.Lifecycle != r.Customer.Segment.Lifecycle.String() || *got.Then.Figures != *figures(&f) {
			t.Errorf("%s: then %+v, %+v; the pipeline has %s, %+v", name, got.Then, got.Then.Figures, r.Customer.Segment.Quadrant, figures(&f))
		}
	}
	silent := read[WhatIf](w, 0, "/v1/customers/c/what-if?silent_until=1998-12-01T00:00:00Z")
	check("silent", &silent, run("\nwatermark 1998-12-01"), instant(t, "1998-12-01"))
	if silent.Now.Segment != "advocate" || silent.Then.Segment == "advocate" || len(silent.Changes) < 2 || silent.If != "silent until 1998-12-01T00:00:00.000Z" {
		t.Errorf("silence: %+v", silent)
	}
	card := read[Card](w, 0, "/v1/customers/c")
	if silent.Changes[0] != *card.Change {
		t.Errorf("the first change is %+v, the card's %+v", silent.Changes[0], *card.Change)
	}
	ordered := read[WhatIf](w, 0, "/v1/customers/c/what-if?order=45")
	check("ordered", &ordered, run("\n1998-03-10T00:00 order_completed order=o9 amount=45"), instant(t, "1998-03-10"))
	if ordered.If != "an order of 45.00 USD at 1998-03-10T00:00:00.000Z" || ordered.Then.Figures.PAlive <= ordered.Now.Figures.PAlive {
		t.Errorf("an order: %+v", ordered)
	}
	// The counterfactual of a trigger: the same risk.
	f := score.New(config().Score).Evaluate(&run("").Customer.Purchases, &model, instant(t, "1998-03-10"))
	saysSo := func(of *WhatIf) bool {
		now, then := operators.FormatRisk(of.Now.Figures.ChurnRisk), operators.FormatRisk(of.Then.Figures.ChurnRisk)
		said := "an order now: churn risk " + now + " -> " + then
		if of.Then.Figures.ChurnRisk == of.Now.Figures.ChurnRisk {
			said = "an order now: churn risk stays " + now + ", as they have bought today"
		}
		return len(of.Reasons) == 2 && of.Reasons[0] == said
	}
	if ordered.Then.Figures.ChurnRisk != f.RiskAfterOrder || !saysSo(&ordered) {
		t.Errorf("risk after an order %v, of triggers %v; %q", ordered.Then.Figures.ChurnRisk, f.RiskAfterOrder, ordered.Reasons)
	}
	for order, want := range map[string]string{"45.5": "an order of 45.50 USD", "0.01": "an order of 0.01 USD", "7.00": "an order of 7.00 USD"} {
		if got := read[WhatIf](w, 0, "/v1/customers/c/what-if?order="+order); !strings.HasPrefix(got.If, want) {
			t.Errorf("order=%s: %q, want %s", order, got.If, want)
		}
	}
	w.states["c"], w.watermark = stateOf(t, &model, script+"\n1998-03-10T00:00 order_completed order=o9 amount=45\nwatermark 1998-03-10T18:00"), instant(t, "1998-03-10T18:00")
	if again := read[WhatIf](w, 0, "/v1/customers/c/what-if?order=45"); again.Then.Figures.ChurnRisk != again.Now.Figures.ChurnRisk || !saysSo(&again) {
		t.Errorf("a second order on one day: %+v, then %+v; %q", again.Now.Figures, again.Then.Figures, again.Reasons)
	}
	w.states["c"], w.watermark = stateOf(t, &model, script), instant(t, "1998-03-10")
	if expected := read[WhatIf](w, 0, "/v1/customers/c/what-if?order=expected"); expected.If != fmt.Sprintf("an order of %.2f USD at 1998-03-10T00:00:00.000Z", f.ExpectedSpend) {
		t.Errorf("the order that is expected: %q", expected.If)
	}
	for query, want := range map[string]string{
		"": "Give either order or silent_until", "?order=1&silent_until=1999-01-01T00:00:00Z": "Give either", "?silent_until=1998-03-09T23:59:59Z": "stands at 1998-03-10T00:00:00.000Z already",
		"?order=x": "it must be expected, or the order's value in USD, with at most 2 decimals, up to 10000000000.00", "?order=1.005": "at most 2 decimals", "?order=1.": "at most 2 decimals", "?order=10000000000.01": "up to 10000000000.00",
		"?order=-1": "it must be expected", "?silent_until=soon": "it must be an instant by RFC 3339",
	} {
		if status, body := w.get(0, "/v1/customers/c/what-if"+query); status != http.StatusBadRequest || !strings.Contains(string(body), want) {
			t.Errorf("%s: status %d: %s", query, status, body)
		}
	}
}
