package schemas

import (
	"testing"

	"lull/operators"
)

// Samples of every output, with different numbers in all fields. What they look like stands in testdata/v1/*.json, checked by hand.

func sampleFacts(t testing.TB) operators.Facts {
	return operators.Facts{
		AsOf: at(t, "1998-04-02T13:07:00.250Z"), X: 3, LastAge: 61, Age: 149.5, PAlive: 0.25, ExpectedPurchases: 1.5, BuysAgain: 0.125,
		ExpectedSpend: 35.5, CLV: 48.75, ValueAtRisk: 146.25, AboutToBeLost: 12.5, HighValue: true,
		HighRiskAt: at(t, "1998-03-28T00:00:00.001Z"), LowRiskUntil: at(t, "1998-03-01T00:00:00Z"),
	}
}

func sampleOutputs(t testing.TB) map[Topic]*operators.Output {
	deadline := operators.Cause{Kind: operators.DeadlineInput, Deadline: at(t, "1998-04-02T13:07:00.250Z")}
	session := operators.Session{
		Start: at(t, "1998-01-04T10:00:00Z"), End: at(t, "1998-01-04T10:25:30.5Z"), FirstPage: "home", LastPage: "café", Cart: 2,
		FirstPageAt: at(t, "1998-01-04T10:00:00Z"), LastPageAt: at(t, "1998-01-04T10:20:00Z"),
	}
	session.Counts[operators.PageViewed], session.Counts[operators.Tracked] = 7, 2
	of := func(kind operators.OutputKind, revision uint64) *operators.Output {
		return &operators.Output{
			Kind: kind, ID: operators.NewID("sample", kind.String()), Customer: "00042", Revision: revision, Time: at(t, "1998-04-02T13:07:00.250Z"),
			Cause: deadline, Model: "cdnow-1998",
		}
	}
	sessionOut, score, segment, trigger := of(operators.SessionOutput, 11), of(operators.ScoreOutput, 12), of(operators.SegmentOutput, 13), of(operators.TriggerOutput, 14)
	sessionOut.Session, sessionOut.Time = session, session.End
	score.Score = operators.ScoreRow{
		Facts: sampleFacts(t), NextDeadline: at(t, "1998-06-01T00:00:00Z"),
		Purchases: operators.Purchases{Count: 4, First: 10_170, Last: 10_231, FirstStart: 10_170 * operators.DayMs, Net: 12_345, FirstNet: 2_345, Orders: 5},
	}
	segment.Segment = operators.SegmentChange{From: operators.Advocate, To: operators.Save, Facts: sampleFacts(t), Reasons: []string{"silent for 88 days", "orders every 20 days"}}
	segment.Cause = operators.Cause{Kind: operators.EventInput, EventID: "m-77"}
	trigger.Trigger = operators.Trigger{Rule: "churn_risk", From: "low_risk", To: "high_risk", Deadline: deadline.Deadline, Withheld: "stale", Facts: sampleFacts(t), Reasons: []string{"silent for 88 days"}}
	return map[Topic]*operators.Output{Sessions: sessionOut, Scores: score, Segments: segment, Triggers: trigger}
}

func sampleDeadLetter() *DeadLetter {
	return &DeadLetter{
		Rejection: operators.Rejection{Reason: ReasonTruncated, Detail: "the value ends: mend it"},
		Source: &Source{
			Topic: "shop", Partition: 3, Offset: 42, AppendTime: 883_908_000_000, Key: []byte("00042"), Value: []byte{0xff, 0x00, 0x01},
			Headers: []Header{{"trace", []byte("abc")}, {"none", nil}, {"empty", []byte{}}},
		},
	}
}

func sampleModel() *operators.Model {
	return &operators.Model{
		Version: "cdnow-1998", EffectiveAt: 0, Family: "mbgnbd", R: 0.5, Alpha: 43.25, A: 0.875, B: 1.625, P: 6.25, Q: 3.75, V: 15.5, HighValue: 60,
	}
}

func sampleEvent() *operators.Event {
	return &operators.Event{
		Kind: operators.OrderRefunded, ID: "m-1", Customer: "00042", Time: 883_908_000_000, Quantity: 1.5, OrderID: "o-1", RefundID: "r-1", Amount: 2999, Whole: true,
	}
}

// sampleValues returns the value of each topic's sample.
func sampleValues(t testing.TB) map[Topic][]byte {
	t.Helper()
	values := make(map[Topic][]byte)
	for topic := range sampleOutputs(t) {
		values[topic] = sampleRecord(t, topic).Value
	}
	var rec Record
	if err := newEncoder(t).EncodeDeadLetter(sampleDeadLetter(), &rec); err != nil {
		t.Fatal(err)
	}
	values[DeadLetters] = rec.Value
	var err error
	if _, values[Models], err = EncodeModel(sampleModel()); err != nil {
		t.Fatal(err)
	}
	if values[Events], err = EncodeEvent(nil, sampleEvent(), "USD"); err != nil {
		t.Fatal(err)
	}
	return values
}

func sampleRecord(t testing.TB, topic Topic) *Record {
	t.Helper()
	var rec Record
	if err := newEncoder(t).EncodeOutput(sampleOutputs(t)[topic], &rec); err != nil {
		t.Fatal(err)
	}
	return &rec
}
