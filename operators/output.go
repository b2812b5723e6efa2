package operators

import (
	"fmt"
	"strconv"
)

// Cause says why an output was made: exactly one of an event, a deadline, or a model.
type Cause struct {
	Kind     InputKind
	EventID  string    // EventInput
	Deadline EventTime // DeadlineInput: the instant at which silence made it true
}

// OutputKind says what an output is, and with that where it goes.
type OutputKind uint8

// The kinds of output.
const (
	SessionOutput OutputKind = iota + 1
	ScoreOutput
	SegmentOutput
	TriggerOutput
	OfferOutput
	RejectOutput
)

var outputNames = [...]string{
	SessionOutput: "session", ScoreOutput: "score", SegmentOutput: "segment", TriggerOutput: "trigger", OfferOutput: "offer", RejectOutput: "dead_letter",
}

// String returns the kind's name, such as "trigger".
func (k OutputKind) String() string { return outputNames[k] }

// Output is one thing to tell the world.
type Output struct {
	Kind     OutputKind
	ID       ID
	Customer string
	Revision uint64
	Time     EventTime // the event time at which it became true
	Cause    Cause
	Model    string // version of the model in force, "" if none

	// What is told, of its kind; the others are nil. It is shared by all copies of the output and never changed.
	Session *Session
	Score   *ScoreRow
	Segment *SegmentChange
	Trigger *Trigger
	Offer   *OfferAnswer
	Reject  *Rejection
}

// String returns all that the output says, for those who look for faults.
func (o Output) String() string {
	var told any
	switch o.Kind {
	case SessionOutput:
		told = o.Session
	case ScoreOutput:
		told = o.Score
	case SegmentOutput:
		told = o.Segment
	case TriggerOutput:
		told = o.Trigger
	case OfferOutput:
		told = o.Offer
	case RejectOutput:
		told = o.Reject
	}
	return fmt.Sprintf("%s %s of %s, revision %d, at %s, by %+v, model %q: %+v", o.Kind, o.ID, o.Customer, o.Revision, o.Time, o.Cause, o.Model, told)
}

// ScoreRow is a customer's row in the scores table. Gone rows are deletions: the customer has no purchase any more.
type ScoreRow struct {
	Gone         bool
	Facts        Facts
	Purchases    Purchases
	NextDeadline EventTime // when silence changes the row again
}

// Dimension says what a segment is a segment of.
type Dimension uint8

// The dimensions.
const (
	QuadrantDimension  Dimension = iota // value and risk: a Quadrant
	RFMDimension                        // an RFMGroup
	LifecycleDimension                  // a Lifecycle
	RisingDimension                     // high potential at low spend so far, or not
)

var dimensionNames = [...]string{QuadrantDimension: "quadrant", RFMDimension: "rfm", LifecycleDimension: "lifecycle", RisingDimension: "rising"}

// String returns the dimension's name on the wire, such as "quadrant".
func (d Dimension) String() string { return dimensionNames[d] }

// SegmentChange is a step from one segment to another, of one dimension.
type SegmentChange struct {
	Dimension Dimension
	From, To  string // names of the dimension's segments; "none" for none
	RFM       RFM    // of RFMDimension: the scores at this instant
	Facts     Facts  // zero when the customer has no purchase
	Reasons   []string
}

// Trigger is a call to act, or the record of why not.
type Trigger struct {
	Rule       string
	Version    string    // of the rule: a hash of its text
	From, To   string    // the side of the rule's line before and after, such as "low_risk" and "high_risk"
	Deadline   EventTime // the instant at which silence made it true
	Actionable bool
	Withheld   string // why it is not actionable: one of package trigger's constants, such as "stale"; "" if it is
	Facts      Facts
	Used       []FactUsed // the facts that the rule speaks of, as they are
	Reasons    []string
	// Counterfactuals tell what would be if something else happened.
	Counterfactuals []string
	Ceiling         OfferCeiling // of an offer to keep the customer; zero in a withdrawal
	Severity        string       // "marketing" or "escalation"
	Action          string       // what is asked for, "" if the rule does not say
	Control         bool         // the customer is of the rule's control group
	// Purpose is what the customer must have consented to, "" for nothing; Consent refers to what proves that they have: the proof that they named, or the event; "" if they have not.
	Purpose, Consent string
	Priority         float64 // ranks triggers, the highest first; 0 in a withdrawal
	Capped           bool    // it counts against its rule's cap
	// Withdraws is the id of an earlier trigger that a late fact has disproved, which this takes back; zero if it takes none back. Rule and Deadline are those of that
	// trigger, From and To the other way round, and it is not actionable itself.
	Withdraws ID
}

// FactUsed is a fact that a rule speaks of, and its value in words.
type FactUsed struct{ Name, Value string }

// Rejection is a reason why an input was not applied, for the dead-letter topic.
type Rejection struct {
	Reason string // a stable code, such as "order_limit"
	Detail string // for a person: what was wrong, and what to do
	// Operator refused the input or failed on it; "" if it never reached one.
	Operator string
}

// Outbox collects the outputs of steps.
type Outbox struct {
	Outputs []Output
	// Dropped is why the last step dropped its input by rule ("duplicate"), "" if it did not.
	Dropped string

	customer *Customer
	in       *Input
	env      *Env
	operator string
	ended    bool
}

// Reset empties the outbox and keeps its memory.
func (o *Outbox) Reset() { o.Outputs = o.Outputs[:0] }

// Operator returns the name of the operator that ran last: the one that panicked, if the step did.
func (o *Outbox) Operator() string { return o.operator }

func (o *Outbox) begin(c *Customer, in *Input, env *Env) {
	o.customer, o.in, o.env, o.ended, o.Dropped = c, in, env, false, ""
}

// Session tells of a session that has ended.
func (o *Outbox) Session(s Session) {
	out := o.add(SessionOutput, "")
	out.Session, out.Time = &s, s.End
}

// Score sets the customer's row in the scores table.
func (o *Outbox) Score(row ScoreRow) { o.add(ScoreOutput, "").Score = &row }

// Segment tells of a change of segment.
func (o *Outbox) Segment(change SegmentChange) { o.add(SegmentOutput, "").Segment = &change }

// Trigger tells of a trigger, and returns the id it has.
func (o *Outbox) Trigger(t Trigger) ID {
	out := o.add(TriggerOutput, t.Rule)
	out.Trigger = &t
	return out.ID
}

// Offer answers an offer that was proposed, as of an instant.
func (o *Outbox) Offer(at EventTime, answer *OfferAnswer) {
	out := o.add(OfferOutput, "")
	out.Offer, out.Time = answer, at
}

// Reject sends the input to the dead letters and ends the step.
func (o *Outbox) Reject(reason, detail string) {
	o.add(RejectOutput, reason).Reject = &Rejection{Reason: reason, Detail: detail, Operator: o.operator}
	o.ended = true
}

// Drop ends the step: a rule says that the input counts for nothing.
func (o *Outbox) Drop(reason string) { o.Dropped, o.ended = reason, true }

// add appends an output of the step's cause. Its id is derived from (customer, type, rule, kind of cause, event id or deadline, revision); a
// score's from (customer, type, as-of, model, revision).
func (o *Outbox) add(kind OutputKind, rule string) *Output {
	c := o.customer
	c.Revision++
	cause := Cause{Kind: o.in.Kind}
	causeID := ""
	switch o.in.Kind {
	case EventInput:
		cause.EventID = o.in.Event.ID
		causeID = cause.EventID
	case DeadlineInput:
		cause.Deadline = o.in.At
		causeID = strconv.FormatInt(int64(o.in.At), 10)
	case ModelInput:
		causeID = o.env.Model.Version
	}
	model := ""
	if o.env.Model != nil {
		model = o.env.Model.Version
	}
	revision := strconv.FormatUint(c.Revision, 10)
	var id ID
	if kind == ScoreOutput {
		id = NewID(c.ID, kind.String(), strconv.FormatInt(int64(o.in.At), 10), model, revision)
	} else {
		id = NewID(c.ID, kind.String(), rule, strconv.Itoa(int(cause.Kind)), causeID, revision)
	}
	o.Outputs = append(o.Outputs, Output{Kind: kind, ID: id, Customer: c.ID, Revision: c.Revision, Time: o.in.At, Cause: cause, Model: model})
	return &o.Outputs[len(o.Outputs)-1]
}
