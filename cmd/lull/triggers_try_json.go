package main

import (
	"encoding/json"
	"fmt"
	"io"

	"lull/operators"
	"lull/pipeline/replay"
	"lull/schemas"
)

// tried is the document that --json prints. Money is in major units of the base currency.
type tried struct {
	Events    string         `json:"events"`
	First     string         `json:"first_day"`
	Last      string         `json:"last_day"`
	Records   int            `json:"records"`
	Customers int            `json:"customers"`
	From      string         `json:"from"`
	Until     string         `json:"until"`
	Rules     string         `json:"rules_file"`
	Currency  string         `json:"currency"`
	Contact   int            `json:"contact_days"`
	Model     triedModel     `json:"model"`
	PartDays  int            `json:"days_per_count"` // of counts
	Summaries []triedRule    `json:"rules"`
	Overlaps  []triedOverlap `json:"overlaps"`
	Moves     []triedMove    `json:"moves"`

	Diff        *triedDiff       `json:"diff,omitempty"`
	Triggers    []schemas.Fields `json:"triggers"`    // in the order of time
	Transitions []schemas.Fields `json:"transitions"` // the same
}

type triedModel struct {
	Version string `json:"version"`
	Fitted  bool   `json:"fitted"`  // by this command
	Knowing bool   `json:"knowing"` // of what it is tried on
	File    string `json:"file"`    // the model as --model takes it
}

// triedRule is what the triggers of one rule come to.
type triedRule struct {
	Rule          string         `json:"rule"`
	Version       string         `json:"version"`
	Fired         int            `json:"fired"`
	Customers     int            `json:"customers"`
	Actionable    int            `json:"actionable"`
	Withheld      map[string]int `json:"withheld"` // by reason
	First         *string        `json:"first"`
	Last          *string        `json:"last"`
	AtRisk        triedAmounts   `json:"value_at_risk"`
	AboutToBeLost triedAmounts   `json:"value_about_to_be_lost"`
	Followed      int            `json:"followed"` // triggers after which it is known who came back
	CameBack      int            `json:"came_back"`
	MedianDays    *float64       `json:"came_back_median_days"`
	Counts        []int          `json:"counts"` // over time
}

type triedAmounts struct {
	Sum    float64 `json:"sum"`
	Median float64 `json:"median"`
}

type triedOverlap struct {
	Rules     [2]string `json:"rules"`
	Customers int       `json:"customers"` // whom both found
	Either    int       `json:"either"`
}

// triedMove is a way between two segments.
type triedMove struct {
	Dimension string `json:"dimension"`
	From      string `json:"from"`
	To        string `json:"to"`
	Times     int    `json:"times"` // how often it was gone
	Customers int    `json:"customers"`
}

// triedDiff is what the rules change against others.
type triedDiff struct {
	Rules   string           `json:"rules_file"`
	Changes []triedChange    `json:"rules"`
	OnlyOld []schemas.Fields `json:"only_old"`
	OnlyNew []string         `json:"only_new"` // ids of triggers of the document
}

// triedChange is what becomes of one rule's triggers.
type triedChange struct {
	Rule          string     `json:"rule"`
	Old           triedGroup `json:"old"`
	New           triedGroup `json:"new"`
	Both          triedGroup `json:"both"` // as by the new rules
	OnlyOld       triedGroup `json:"only_old"`
	OnlyNew       triedGroup `json:"only_new"`
	CustomersOld  int        `json:"customers_old"`
	CustomersNew  int        `json:"customers_new"`
	CustomersBoth int        `json:"customers_both"`
	Freed         int        `json:"freed"`   // of both: actionable by the new rules only
	Stopped       int        `json:"stopped"` // of both: actionable by the old rules only
}

type triedGroup struct {
	Count         int     `json:"count"`
	Actionable    int     `json:"actionable"`
	AboutToBeLost float64 `json:"value_about_to_be_lost"`
}

// diff makes the document's part of what the rules change.
func (t *rulesTrial) diff(d *replay.Diff) (*triedDiff, error) {
	out := &triedDiff{Rules: t.oldFrom, OnlyNew: make([]string, len(d.OnlyNew))}
	for i := range d.Rules {
		c := &d.Rules[i]
		out.Changes = append(out.Changes, triedChange{
			Rule: c.Rule, Old: triedGroup(c.Old), New: triedGroup(c.New), Both: triedGroup(c.Both), OnlyOld: triedGroup(c.OnlyOld), OnlyNew: triedGroup(c.OnlyNew),
			CustomersOld: c.CustomersOld, CustomersNew: c.CustomersNew, CustomersBoth: c.CustomersBoth, Freed: c.Freed, Stopped: c.Stopped,
		})
	}
	for i, trigger := range d.OnlyNew {
		out.OnlyNew[i] = trigger.ID.String()
	}
	only := make([]operators.Output, len(d.OnlyOld))
	for i, trigger := range d.OnlyOld {
		only[i] = *trigger
	}
	var err error
	out.OnlyOld, err = t.triggerFields(only)
	return out, err
}

// document makes the document of what has been tried.
func (t *rulesTrial) document(r *triedResult) (*tried, error) {
	d := &tried{
		Events: t.path, First: t.first.String(), Last: t.last.String(), Records: len(t.records), Customers: t.customers, From: t.from.String(), Until: t.until.String(),
		Rules: t.rulesFrom, Currency: t.settings.Money.Currency, Contact: t.settings.Scores.ContactDays, PartDays: t.partDays,
		Model:    triedModel{Version: t.model.Version, Fitted: t.fitted, Knowing: t.knowing(), File: string(schemas.FormatModelFile(t.model))},
		Overlaps: make([]triedOverlap, len(r.overlaps)), Moves: make([]triedMove, len(r.moves)),
	}
	for i := range r.summaries {
		s := &r.summaries[i]
		rule := triedRule{
			Rule: s.Rule, Version: t.rules.Rules[i].Version, Fired: s.Fired, Customers: s.Customers, Actionable: s.Actionable, Withheld: s.Withheld,
			AtRisk: triedAmounts(s.AtRisk), AboutToBeLost: triedAmounts(s.AboutToBeLost), Followed: s.Followed, CameBack: s.CameBack, Counts: s.Counts,
		}
		if s.Fired > 0 {
			first, last := s.First.String(), s.Last.String()
			rule.First, rule.Last = &first, &last
		}
		if s.CameBack > 0 {
			rule.MedianDays = &s.MedianDays
		}
		d.Summaries = append(d.Summaries, rule)
	}
	for i, o := range r.overlaps {
		d.Overlaps[i] = triedOverlap{Rules: [2]string{o.A, o.B}, Customers: o.Both, Either: o.Either}
	}
	for i := range r.moves {
		m := &r.moves[i]
		d.Moves[i] = triedMove{Dimension: m.Dimension.String(), From: m.From, To: m.To, Times: m.Times, Customers: m.Customers}
	}
	var err error
	if d.Triggers, err = t.triggerFields(r.Triggers); err != nil {
		return nil, err
	}
	if d.Transitions, err = t.fields(schemas.Segments, r.Transitions); err == nil && r.diff != nil {
		d.Diff, err = t.diff(r.diff)
	}
	return d, err
}

// triggerFields returns triggers as subscribers read them, and what became of them.
func (t *rulesTrial) triggerFields(triggers []operators.Output) ([]schemas.Fields, error) {
	list, err := t.fields(schemas.Triggers, triggers)
	for i := range list {
		back := schemas.Field{Name: "came_back"}
		if at, came, _ := t.watch().Return(&triggers[i]); came {
			back.Value = at
		}
		list[i] = append(list[i], back)
	}
	return list, err
}

// fields returns outputs as subscribers read them: their id and time, and the fields of the record in the topic.
func (t *rulesTrial) fields(topic schemas.Topic, outputs []operators.Output) ([]schemas.Fields, error) {
	config := t.settings.Encoder()
	config.Formats = nil // whatever subscribers get it in, it says the same
	encoder, err := schemas.NewEncoder(config)
	if err != nil {
		return nil, err
	}
	list := make([]schemas.Fields, len(outputs))
	var record schemas.Record
	for i := range outputs {
		o := &outputs[i]
		if err := encoder.EncodeOutput(o, &record); err != nil {
			return nil, err
		}
		value, err := schemas.DecodeOutput(topic, record.Value)
		if err != nil {
			return nil, err
		}
		list[i] = schemas.Fields{{Name: "id", Value: o.ID.String()}}
		if value.Get("time") == nil {
			list[i] = append(list[i], schemas.Field{Name: "time", Value: o.Time})
		}
		list[i] = append(list[i], value...)
	}
	return list, nil
}

// printJSON prints the document.
func (t *rulesTrial) printJSON(w io.Writer, r *triedResult) error {
	document, err := t.document(r)
	if err != nil {
		return err
	}
	text, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("writing what was tried as JSON: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}
