package clv_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/optest"
	"lull/operators/trigger"
)

// under puts other rules in force for a story's customer, as a restart with other settings does.
func (s *story) under(t *testing.T, rules string, at operators.EventTime) {
	t.Helper()
	s.Advance(at)
	s.Chain = clv.NewChain(withRules(t, rules))
	s.Step(operators.Input{Kind: operators.ModelInput, At: max(at, s.Customer.At), NewTerms: true})
}

// withRules returns the settings with rules of a shop's own.
func withRules(t rapid.TB, rules string) clv.Config {
	t.Helper()
	config := defaults()
	var err error
	if config.Trigger.Rules, err = trigger.ParseRules("rules.yaml", []byte(rules)); err != nil {
		t.Fatal(err)
	}
	return config
}

// order lets the customer order.
func (s *story) order(t *testing.T, at, id string) {
	t.Helper()
	e, err := optest.ParseEvent(at + " order_completed order=" + id + " amount=40")
	if err != nil {
		t.Fatal(err)
	}
	s.events++
	e.ID = fmt.Sprintf("m%d", s.events)
	if refused := s.Event(&e); refused != "" {
		t.Fatal(refused)
	}
}

// fired returns the rules that have fired since it was last asked, with the days of their deadlines.
func (s *story) fired() (list []string) {
	for _, o := range s.Outputs[s.told:] {
		if o.Kind == operators.TriggerOutput {
			list = append(list, o.Trigger.Rule+" "+o.Trigger.Deadline.String()[:10])
		}
	}
	s.told = len(s.Outputs)
	return list
}

// TestOtherRules: nobody is called because rules change. Who fulfils a condition by then is held, and fires when they have been armed again; what a rule of the same name has held
// goes on; one that is gone is forgotten.
func TestOtherRules(t *testing.T) {
	const quiet = "  - {name: quiet, when: silent_days >= 30}\n"
	const quieter = "  - {name: quiet, when: silent_days >= 40}\n"
	const buyer = "  - {name: buyer, when: purchases >= 1}\n"
	s := newStory(cdnow("mbgnbd"))
	at := func(day string) operators.EventTime { return parse(t, day) }
	expect := func(what string, want ...string) {
		t.Helper()
		if got := s.fired(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	s.under(t, "rules:\n"+quiet, at("1997-01-01"))
	s.order(t, "1997-01-04T10:00", "o1")
	s.jump(at("1997-02-10"))
	expect("the first rule", "quiet 1997-02-03")
	s.under(t, "rules:\n"+quiet+buyer, at("1997-02-11"))
	s.under(t, "rules:\n"+quieter+buyer, at("1997-02-12"))
	s.jump(at("1997-03-10"))
	expect("a new rule that is true, and a changed one that becomes so", "quiet 1997-02-13")
	s.under(t, "rules:\n"+quieter+buyer, at("1997-03-11"))
	expect("the same rules again")
	s.order(t, "1997-03-12T10:00", "o2")
	s.jump(at("1997-05-30"))
	expect("armed by an order", "quiet 1997-04-21")
	s.under(t, "rules:\n"+buyer, at("1997-06-01"))
	if len(s.Customer.Rules) != 1 || s.Customer.RulesNext != operators.Never {
		t.Errorf("%+v, next %s", s.Customer.Rules, s.Customer.RulesNext)
	}
	s.under(t, "rules:\n"+buyer+quiet, at("1997-06-02"))
	expect("a rule that was gone")
	s.under(t, "rules: []", at("1997-06-03"))
	if len(s.Customer.Rules) != 0 {
		t.Errorf("without rules: %+v", s.Customer.Rules)
	}
}

// TestFirstModel: the first model calls for what silence has made true, at its instant, and not for what was so all the time. The second calls for what it makes true.
func TestFirstModel(t *testing.T) {
	s := newStory(nil)
	s.under(t, "rules:\n  - {name: quiet, when: silent_days >= 30}\n  - {name: buyer, when: purchases >= 1}\n  - {name: dear, when: high_value}\n", parse(t, "1997-01-01"))
	s.order(t, "1997-01-04T10:00", "o1")
	s.newModel(cdnow("mbgnbd"), parse(t, "1997-02-10"))
	if got := s.fired(); !slices.Equal(got, []string{"quiet 1997-02-03"}) {
		t.Errorf("%q", got)
	}
	low := cdnow("mbgnbd")
	low.Version, low.HighValue = "low", 1
	s.newModel(low, parse(t, "1997-02-11"))
	if got := s.fired(); !slices.Equal(got, []string{"dear 1997-02-11"}) {
		t.Errorf("%q", got)
	}
}
