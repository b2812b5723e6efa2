package trigger_test

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/trigger"
)

// fire lets a customer fall silent beyond the line of a rule, and returns what was told.
func fire(t *testing.T, rule string, c *operators.Customer) operators.Trigger {
	t.Helper()
	var out operators.Outbox
	chain := newChain(t, &scored{}, "rules: [{name: a, when: churn_risk >= risk_high, "+rule+"}]")
	chain.Step(&operators.Env{}, c, &operators.Input{Kind: operators.DeadlineInput, At: 200}, &out)
	if len(out.Outputs) != 1 {
		t.Fatalf("%s: %d outputs", rule, len(out.Outputs))
	}
	return *out.Outputs[0].Trigger
}

// TestConsent: unknown consent is none, a withdrawn one is none, another purpose's is none; a given one is told with its proof, or else with the event that gave it.
func TestConsent(t *testing.T) {
	for _, v := range []struct {
		name            string
		consents        []operators.Consent
		withheld, proof string
	}{
		{"unknown", nil, "consent", ""},
		{"given", []operators.Consent{{Purpose: "email", Given: true, Event: "m1", Proof: "form 12"}}, "", "form 12"},
		{"given without a proof", []operators.Consent{{Purpose: "email", Given: true, Event: "m1"}}, "", "m1"},
		{"withdrawn", []operators.Consent{{Purpose: "email", Event: "m2", Proof: "form 13"}}, "consent", ""},
		{"of another purpose", []operators.Consent{{Purpose: "phone", Given: true, Event: "m1"}}, "consent", ""},
	} {
		c := customer()
		c.Consents = v.consents
		if got := fire(t, "consent: email", c); got.Withheld != v.withheld || got.Actionable != (v.withheld == "") || got.Consent != v.proof || got.Purpose != "email" {
			t.Errorf("%s: %+v", v.name, got)
		}
	}
	if got := fire(t, "action: x", customer()); !got.Actionable || got.Purpose != "" || got.Consent != "" {
		t.Errorf("without a purpose: %+v", got)
	}
}

// TestShares: stages and control groups take about the share of customers that they say, always the same ones; who is in a small share is in every larger one; and the two are drawn apart.
func TestShares(t *testing.T) {
	const customers = 2000
	withheld := func(rule string) (list [customers]string, control [customers]bool) {
		for i := range list {
			c := operators.NewCustomer(fmt.Sprint("c", i))
			c.Purchases = operators.Purchases{Count: 1}
			got := fire(t, rule, c)
			list[i], control[i] = got.Withheld, got.Control
		}
		return list, control
	}
	count := func(list [customers]string, what string) (n float64) {
		for _, w := range list {
			if w == what {
				n++
			}
		}
		return n / customers
	}
	fifth, _ := withheld("stage: 20%")
	half, _ := withheld("stage: 50%")
	for i := range fifth {
		if fifth[i] == "" && half[i] != "" {
			t.Fatalf("c%d is in 20 %% and not in 50 %%", i)
		}
	}
	both, inControl := withheld("stage: 50%, control: 0.4")
	for i := range both {
		if both[i] == "control" != (inControl[i] && half[i] == "") {
			t.Fatalf("c%d: %q, control %v", i, both[i], inControl[i])
		}
	}
	shadow, _ := withheld("stage: shadow")
	trial, _ := withheld("stage: control")
	for _, v := range []struct {
		name      string
		got, want float64
	}{
		{"20 %", count(fifth, ""), 0.2}, {"50 %", count(half, ""), 0.5}, {"the rest is in the shadow", count(half, "shadow"), 0.5},
		{"shadow", count(shadow, "shadow"), 1}, {"control", count(trial, "control"), 0.5}, {"50 % less a control group of 40 %", count(both, ""), 0.3},
	} {
		if math.Abs(v.got-v.want) > 0.04 { // of 2,000 drawn, 3.5 standard errors
			t.Errorf("%s: %v of the customers, not %v", v.name, v.got, v.want)
		}
	}
}

// TestCooldown: within the cool-down of a trigger, whatever became of it, others of the rule are withheld; at its end no more. It begins with one that is not withheld by it.
func TestCooldown(t *testing.T) {
	const hour = 3_600_000
	chain := newChain(t, &scored{}, "rules: [{name: a, when: silent_days >= 1, cooldown: 48h}]")
	c := customer()
	step := func(at operators.EventTime, silentSince operators.EventTime, returned bool) string {
		t.Helper()
		c.Purchases.FirstStart = silentSince
		var out operators.Outbox
		chain.Step(&operators.Env{}, c, &operators.Input{Kind: operators.DeadlineInput, At: at, Returned: returned}, &out)
		if len(out.Outputs) == 0 {
			return "none"
		}
		return out.Outputs[0].Trigger.Withheld
	}
	for i, v := range []struct {
		at, since operators.EventTime // the instant, and that of the purchase before it
		returned  bool
		want      string
	}{
		{24 * hour, 0, true, "returned"}, {30 * hour, 30 * hour, false, "none"}, // armed by a purchase
		{54 * hour, 30 * hour, false, "cooldown"}, {55 * hour, 55 * hour, false, "none"},
		{72*hour - 1, 48*hour - 1, false, "cooldown"}, {73 * hour, 73 * hour, false, "none"},
		{97 * hour, 73 * hour, false, ""}, {98 * hour, 98 * hour, false, "none"},
		{145*hour - 1, 121*hour - 1, false, "cooldown"}, {146 * hour, 146 * hour, false, "none"},
		{170 * hour, 146 * hour, false, ""},
	} {
		if got := step(v.at, v.since, v.returned); got != v.want {
			t.Errorf("step %d: %q, want %q; %+v", i, got, v.want, c.Rules)
		}
	}
}

// TestCapShares: the shares of all partitions in a rule's cap sum to it, and differ by one at most; and over as many days as there are partitions each of them has had as much.
func TestCapShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit, partitions := rapid.IntRange(1, 1_000_000).Draw(t, "cap"), rapid.IntRange(1, 300).Draw(t, "partitions")
		if rapid.Bool().Draw(t, "small") {
			limit = rapid.IntRange(1, 40).Draw(t, "small cap")
		}
		rules, err := trigger.ParseRules("rules.yaml", fmt.Appendf(nil, "rules: [{name: %s, when: purchases > 1, cap_per_day: %d}]", rapid.StringMatching("[a-z]{1,5}").Draw(t, "name"), limit))
		if err != nil {
			t.Fatal(err)
		}
		r, start := &rules.Rules[0], operators.Day(rapid.IntRange(-1, 84_000).Draw(t, "day"))
		had := make([]int, partitions)
		for day := start; day < start+operators.Day(partitions); day++ {
			sum := 0
			for p := range partitions {
				share := r.Share(p, partitions, day)
				if share < limit/partitions || share > (limit+partitions-1)/partitions {
					t.Fatalf("partition %d of %d has %d of %d on day %d", p, partitions, share, limit, day)
				}
				sum += share
				had[p] += share
			}
			if sum != limit {
				t.Fatalf("the shares of %d partitions sum to %d on day %d, not to %d", partitions, sum, day, limit)
			}
		}
		for p, had := range had {
			if had != limit {
				t.Fatalf("partition %d of %d has had %d in as many days, not %d", p, partitions, had, limit)
			}
		}
	})
}
