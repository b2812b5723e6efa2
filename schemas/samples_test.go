package schemas

import (
	"testing"

	"lull/operators"
	"lull/operators/statistics"
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
	offer := of(operators.OfferOutput, 15)
	sessionOut, score, segment, trigger := of(operators.SessionOutput, 11), of(operators.ScoreOutput, 12), of(operators.SegmentOutput, 13), of(operators.TriggerOutput, 14)
	sessionOut.Session, sessionOut.Time = &session, session.End
	score.Score = &operators.ScoreRow{
		Facts: sampleFacts(t), NextDeadline: at(t, "1998-06-01T00:00:00Z"),
		Purchases: operators.Purchases{Count: 4, First: 10_170, Last: 10_231, FirstStart: 10_170 * operators.DayMs, Net: 12_345, FirstNet: 2_345, Orders: 5},
	}
	segment.Segment = &operators.SegmentChange{Dimension: operators.RFMDimension, From: "needs_attention", To: "at_risk", RFM: operators.RFM{SinceLastPurchase: 2, Frequency: 4, Monetary: 3}, Facts: sampleFacts(t), Reasons: []string{"silent for 88 days", "orders every 20 days"}}
	segment.Cause = operators.Cause{Kind: operators.EventInput, EventID: "m-77"}
	trigger.Trigger = &operators.Trigger{
		Rule: "churn_risk", Version: "0a1b2c3d", From: "low_risk", To: "high_risk", Deadline: deadline.Deadline, Withheld: "stale", Facts: sampleFacts(t),
		Used: []operators.FactUsed{{Name: "churn_risk", Value: "0.75"}, {Name: "risk_high", Value: "0.7"}}, Reasons: []string{"silent for 88 days"},
		Counterfactuals: []string{"an order now: churn risk 0.75 -> 0.16"}, Ceiling: operators.OfferCeiling{Ceiling: 375},
		Severity: "escalation", Action: "call", Control: true, Purpose: "email", Consent: "form 12", Priority: 4.25,
	}
	offer.Cause = operators.Cause{Kind: operators.EventInput, EventID: "m-78"}
	offer.Offer = &operators.OfferAnswer{
		OfferID: "voucher-5", Amount: 500, Reason: operators.OfferAboveCeiling, Purpose: "email", ConsentKnown: true,
		Consent: operators.Consent{Purpose: "email", Given: true, Time: at(t, "1998-01-04T10:00:00Z"), Event: "m-3", Proof: "form 12"},
		Ceiling: operators.OfferCeiling{Ceiling: 375, Cap: 2000, Share: 0.25, CLVLow: 60, LostShare: 0.125, SavedLow: 15}, Facts: sampleFacts(t), Reasons: []string{"5.00 USD rejected"},
	}
	return map[Topic]*operators.Output{Offers: offer, Sessions: sessionOut, Scores: score, Segments: segment, Triggers: trigger}
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
		Cuts: &operators.Cuts{
			SinceLastPurchase: [4]float64{10, 20.5, 100, 200}, Purchases: [4]float64{1, 1, 2, 4}, Monetary: [4]float64{0, 10.5, 20, 40}, CLV: [4]float64{0.5, 5, 20, 60},
		},
		Fit: &operators.Fit{
			AsOf: 883_908_000_000, Customers: 2357, RepeatPurchases: 2457, LogLikelihood: -14_000.5, Covariance: [4][4]float64{{1, 2, 3, 4}, {2, 5, 6, 7}, {3, 6, 8, 9}, {4, 7, 9, 10}},
			SpendCovariance: [3][3]float64{{1, 2, 3}, {2, 4, 5}, {3, 5, 6}}, Prior: true,
		},
	}
}

// sampleStatistics has a record of every kind.
func sampleStatistics() []StatisticsRecord {
	return []StatisticsRecord{
		{Partition: 3, Edition: 1000, Part: statistics.Part{Kind: statistics.BirthsPart, Number: 1409}, Content: statistics.Content{Births: []statistics.Births{
			{Cell: statistics.Cell{Birth: 1409, X: 0, Last: 1409}, Total: statistics.Total{Customers: 17, FirstDays: 51, LastDays: 51, Net: 35_000}},
			{Cell: statistics.Cell{Birth: 1409, X: 2, Last: 1430}, Total: statistics.Total{Customers: 1, FirstDays: 2, LastDays: 4, Net: 9000, RepeatNet: 6001}},
		}}},
		{Partition: 3, Edition: 1000, Part: statistics.Part{Kind: statistics.SpendsPart, Number: 2}, Content: statistics.Content{Spends: []statistics.Spends{
			{Spend: statistics.Spend{X: 2, Bin: 369}, SpendTotal: statistics.SpendTotal{Customers: 1, RepeatNet: 6001}},
		}}},
		{Partition: 3, Edition: 1000, Part: statistics.Part{Kind: statistics.MembersPart, Number: 7}, Content: statistics.Content{Members: []statistics.Member{
			{Hash: 71, First: 9865, Last: 10_014, Purchases: 3, Orders: 4, Net: 9000, FirstNet: 2999, Newest: []operators.Day{9865, 9900, 10_014}},
		}}},
		{Partition: 3, Edition: 1000, Head: &StatisticsHead{Watermark: 883_908_000_000, Customers: 18, Below: 1 << 62, Parts: 3}},
		{Partition: 4, Edition: 0, Head: &StatisticsHead{Watermark: operators.Unset, Below: statistics.HashEnd}},
	}
}

func sampleFit() *Fit {
	champion, expected, score := "cdnow-1998", 171.5, -0.5625
	return &Fit{Cause: FitOnDrift, Verdict: &Verdict{
		Request: 12, Adopted: true, Reasons: []string{"converged, of 18 customers with 2 repeat purchases"}, Champion: &champion,
		Candidate: &Candidate{
			Version: "fit-1998-01-04-12", Family: "mbgnbd", AsOf: 883_908_000_000, Customers: 18, RepeatPurchases: 2, R: 0.5, AlphaDays: 43.25, A: 0.875, B: 1.625,
			P: 6.25, Q: 3.75, V: 15.5, HighValue: 60, RelativeErrors: []float64{0.25, 0.5, 0.75, 1, 0.125, 0.375, 0.0625}, LogLikelihood: -20.5, Evaluations: 31, Converged: true, Prior: true,
			ExpectedRepeats: 2.5, ExpectedSpend: 30.5, ActualSpend: 30.25,
		},
		Holdout: &Holdout{
			From: 10_149, Weeks: 13, Members: 2357, Unknown: 1, Actual: 180, Expected: 175.25, LogScore: -0.5, ChampionExpected: &expected, ChampionLogScore: &score,
			Difference: 0.0625, StandardError: 0.03125,
		},
	}}
}

func sampleRedrive() *Redrive {
	return &Redrive{Reason: ReasonUnknownCurrency, Topic: "shop", Partition: 3, Offset: 42, SentTo: 3, Origin: "shop/3/17", LetterPartition: 1, LetterOffset: 7}
}

func sampleQuality() *Quality {
	q := NewQuality("shop", 3, 10_230, &[operators.FaultsEnd]int64{190, 1, 2, 0, 3, 4, 0})
	q.Over = true
	return &q
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
	if _, values[Statistics], err = EncodeStatistics(&sampleStatistics()[0]); err != nil {
		t.Fatal(err)
	}
	if _, values[Fits], err = EncodeFit(sampleFit()); err != nil {
		t.Fatal(err)
	}
	if _, values[Redrives], err = EncodeRedrive(sampleRedrive()); err != nil {
		t.Fatal(err)
	}
	if _, values[QualityCounts], err = EncodeQuality(sampleQuality()); err != nil {
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
