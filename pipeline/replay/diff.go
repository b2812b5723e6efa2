package replay

import (
	"cmp"
	"slices"

	"lull/operators"
)

// Diff is what other rules change: which triggers there are, by customer, rule and instant.
type Diff struct {
	Rules []Change
	All   Change // of all of them
	// OnlyOld and OnlyNew are the triggers that there are by one file only, those of the greatest value about to be lost first.
	OnlyOld, OnlyNew []*operators.Output
}

// Change is what becomes of the triggers of one rule.
type Change struct {
	Rule             string
	Old, New, Both   Group // Both as by the new rules
	OnlyOld, OnlyNew Group
	// CustomersOld, CustomersNew and CustomersBoth had such a trigger by the old rules, the new, and both, at whatever instant.
	CustomersOld, CustomersNew, CustomersBoth int
	// Freed are actionable by the new rules only, Stopped by the old only, of those that are in both.
	Freed, Stopped int
}

// Group is a number of triggers, how many of them are actionable, and the values about to be lost at their instants, in major units of the base currency.
type Group struct {
	Count, Actionable int
	AboutToBeLost     float64
}

func (g *Group) add(t *operators.Output) {
	g.Count++
	if t.Trigger.Actionable {
		g.Actionable++
	}
	g.AboutToBeLost += t.Trigger.Facts.AboutToBeLost
}

func (g *Group) join(h *Group) {
	g.Count += h.Count
	g.Actionable += h.Actionable
	g.AboutToBeLost += h.AboutToBeLost
}

// triggerKey is what makes two triggers the same under rules that may have other versions.
type triggerKey struct {
	customer, rule string
	at             operators.EventTime
}

func keyOf(t *operators.Output) triggerKey { return triggerKey{t.Customer, t.Trigger.Rule, t.Time} }

// NewDiff compares the triggers that two files of rules make of one past. rules are the names of those in either.
func NewDiff(rules []string, old, now []operators.Output) *Diff {
	d := &Diff{Rules: make([]Change, len(rules)), All: Change{}}
	place := make(map[string]*Change)
	for i, rule := range rules {
		d.Rules[i].Rule = rule
		place[rule] = &d.Rules[i]
	}
	was := make(map[triggerKey][]*operators.Output)
	for i := range old {
		t := &old[i]
		place[t.Trigger.Rule].Old.add(t)
		was[keyOf(t)] = append(was[keyOf(t)], t)
	}
	matched := make(map[*operators.Output]bool)
	for i := range now {
		t := &now[i]
		c := place[t.Trigger.Rule]
		c.New.add(t)
		same := was[keyOf(t)]
		if len(same) == 0 {
			c.OnlyNew.add(t)
			d.OnlyNew = append(d.OnlyNew, t)
			continue
		}
		before := same[0]
		was[keyOf(t)], matched[before] = same[1:], true
		c.Both.add(t)
		switch {
		case t.Trigger.Actionable && !before.Trigger.Actionable:
			c.Freed++
		case !t.Trigger.Actionable && before.Trigger.Actionable:
			c.Stopped++
		}
	}
	for i := range old {
		if t := &old[i]; !matched[t] {
			place[t.Trigger.Rule].OnlyOld.add(t)
			d.OnlyOld = append(d.OnlyOld, t)
		}
	}
	countCustomers(d, place, old, now)
	for i := range d.Rules {
		d.All.join(&d.Rules[i])
	}
	byLoss := func(a, b *operators.Output) int {
		return cmp.Compare(b.Trigger.Facts.AboutToBeLost, a.Trigger.Facts.AboutToBeLost)
	}
	slices.SortStableFunc(d.OnlyOld, byLoss)
	slices.SortStableFunc(d.OnlyNew, byLoss)
	return d
}

// countCustomers counts the customers of each rule, and of all, who are not the sum of these.
func countCustomers(d *Diff, place map[string]*Change, old, now []operators.Output) {
	type pair struct{ rule, customer string } // rule "" for all
	found := func(triggers []operators.Output) map[pair]struct{} {
		set := make(map[pair]struct{})
		for i := range triggers {
			t := &triggers[i]
			set[pair{t.Trigger.Rule, t.Customer}], set[pair{"", t.Customer}] = struct{}{}, struct{}{}
		}
		return set
	}
	change := func(rule string) *Change {
		if rule == "" {
			return &d.All
		}
		return place[rule]
	}
	before, after := found(old), found(now)
	for p := range before {
		c := change(p.rule)
		c.CustomersOld++
		if _, both := after[p]; both {
			c.CustomersBoth++
		}
	}
	for p := range after {
		change(p.rule).CustomersNew++
	}
}

// join adds what are numbers of triggers.
func (c *Change) join(other *Change) {
	c.Old.join(&other.Old)
	c.New.join(&other.New)
	c.Both.join(&other.Both)
	c.OnlyOld.join(&other.OnlyOld)
	c.OnlyNew.join(&other.OnlyNew)
	c.Freed += other.Freed
	c.Stopped += other.Stopped
}
