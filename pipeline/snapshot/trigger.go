package snapshot

import (
	"lull/operators"
	"lull/schemas"
)

// triggerRow is a row of the table triggers.
type triggerRow struct {
	CustomerID     string              `parquet:"customer_id" doc:"whom to act on; rows are in the order of customers, and of each in that of revision"`
	Revision       int64               `parquet:"revision" doc:"the customer's output number that this is: a later output of theirs, of whatever table, has a higher one"`
	ID             string              `parquet:"id" doc:"the ce_id of the record"`
	AsOf           operators.EventTime `parquet:"as_of,timestamp(millisecond:utc)" doc:"the instant of the snapshot, the same in all rows: no trigger is later"`
	Time           operators.EventTime `parquet:"time,timestamp(millisecond:utc)" doc:"when what made it happened"`
	Rule           string              `parquet:"rule,dict" doc:"name of the rule"`
	RuleVersion    string              `parquet:"rule_version,dict" doc:"version of the rule: a hash of its text"`
	Severity       string              `parquet:"severity,dict" doc:"marketing (a campaign) or escalation (a person is called)"`
	From           string              `parquet:"from_side,dict" doc:"where the customer stood before, in the rule's words"`
	To             string              `parquet:"to_side,dict" doc:"where they stand now"`
	Deadline       operators.EventTime `parquet:"deadline,timestamp(millisecond:utc)" doc:"when it became true; of a withdrawal, that of the trigger that it takes back"`
	Cause          string              `parquet:"cause,dict" doc:"event (they did something), deadline (they did nothing until then) or model (a new one came into force)"`
	EventID        *string             `parquet:"event_id" doc:"the message_id of the event, or its topic/partition/offset; null of other causes"`
	Actionable     bool                `parquet:"actionable" doc:"somebody was to act"`
	Withheld       *string             `parquet:"withheld,dict" doc:"why nobody was (docs/topics.md); null if somebody was"`
	Withdraws      *string             `parquet:"withdraws" doc:"id of the trigger that this takes back, because a late fact has disproved it; null in a trigger"`
	Action         *string             `parquet:"action,dict" doc:"what the rule asks for, in its words; null if it does not say"`
	Control        bool                `parquet:"control" doc:"the customer is of the rule's control group: nobody acts, to know what acting is worth"`
	ConsentPurpose *string             `parquet:"consent_purpose,dict" doc:"the purpose that the rule needs consent to; null if it needs none"`
	ConsentProof   *string             `parquet:"consent_proof" doc:"reference to what proves that consent; null if none is given or needed"`
	Priority       float64             `parquet:"priority" doc:"ranks triggers of one rule, the highest first; 0 in a withdrawal"`
	OfferCeiling   *float64            `parquet:"offer_ceiling" doc:"the most that may be offered to keep the customer; null in a withdrawal"`
	ModelVersion   *string             `parquet:"model_version,dict" doc:"the model of the numbers; null if there was none"`
	factColumns
	FactsUsed       []factUsed `parquet:"facts_used,list" doc:"the facts that the rule speaks of, in its order, and their values, numbers with 6 digits"`
	Reasons         []string   `parquet:"reasons,list" doc:"why, in sentences for a person"`
	Counterfactuals []string   `parquet:"counterfactuals,list" doc:"what would be if something else happened, in sentences for a person"`
}

// factUsed is a fact that a rule speaks of.
type factUsed struct {
	Name  string `parquet:"name" avro:"name"`
	Value string `parquet:"value" avro:"value"`
}

// triggers calls write for the row of every trigger, as told has them.
func (s *source) triggers(write func(row *triggerRow) error) error {
	return s.told(schemas.Triggers, func(o *told) error {
		var w struct {
			Rule            string     `avro:"rule"`
			From            string     `avro:"from"`
			To              string     `avro:"to"`
			Deadline        int64      `avro:"deadline"`
			Cause           wireCause  `avro:"cause"`
			Actionable      bool       `avro:"actionable"`
			Withheld        *string    `avro:"withheld"`
			Model           string     `avro:"model"`
			Facts           wireFacts  `avro:"facts"`
			Reasons         []string   `avro:"reasons"`
			Withdraws       *string    `avro:"withdraws"`
			RuleVersion     string     `avro:"rule_version"`
			Severity        string     `avro:"severity"`
			Action          *string    `avro:"action"`
			Control         bool       `avro:"control"`
			ConsentPurpose  *string    `avro:"consent_purpose"`
			ConsentProof    *string    `avro:"consent_proof"`
			FactsUsed       []factUsed `avro:"facts_used"`
			Counterfactuals []string   `avro:"counterfactuals"`
			OfferCeiling    *float64   `avro:"offer_ceiling"`
			Priority        float64    `avro:"priority"`
		}
		if err := schemas.DecodeInto(schemas.Triggers, o.Value, &w); err != nil {
			return err
		}
		return write(&triggerRow{
			CustomerID: o.customer, Revision: int64(o.revision), ID: o.ID, AsOf: s.asOf, Time: o.Time, Rule: w.Rule, RuleVersion: w.RuleVersion, Severity: w.Severity,
			From: w.From, To: w.To, Deadline: operators.EventTime(w.Deadline), Cause: w.Cause.Kind, EventID: w.Cause.EventID, Actionable: w.Actionable, Withheld: w.Withheld,
			Withdraws: w.Withdraws, Action: w.Action, Control: w.Control, ConsentPurpose: w.ConsentPurpose, ConsentProof: w.ConsentProof, Priority: w.Priority,
			OfferCeiling: w.OfferCeiling, ModelVersion: nonEmpty(w.Model), factColumns: w.Facts.columns(), FactsUsed: w.FactsUsed, Reasons: w.Reasons, Counterfactuals: w.Counterfactuals,
		})
	})
}
