package schemas

import (
	"fmt"

	"lull/operators"
)

// Fit is a record of the fits topic: a request to fit a model, or the verdict on what was fitted. fit.avsc says what each field is.
type Fit struct {
	Cause   FitCause `avro:"cause"`
	Drift   *Drift   `avro:"drift"`
	Verdict *Verdict `avro:"verdict"` // nil in a request
}

// FitCause is why a model is fitted.
type FitCause uint8

// The causes.
const (
	FitOnDemand FitCause = iota
	FitFirst
	FitOnSchedule
	FitOnDrift
)

var fitCauses = [...]string{FitOnDemand: "demand", FitFirst: "first", FitOnSchedule: "schedule", FitOnDrift: "drift"}

// String returns the cause's name on the wire.
func (c FitCause) String() string { return fitCauses[c] }

// Drift is what a model expected since its fit, and what happened.
type Drift struct {
	Model         string        `avro:"model"`
	From          operators.Day `avro:"from"`
	Weeks         int32         `avro:"weeks"`
	Members       int64         `avro:"members"`
	Expected      float64       `avro:"expected"`
	Actual        int64         `avro:"actual"`
	StandardError float64       `avro:"standard_error"`
}

// Verdict is what became of a request.
type Verdict struct {
	Request   int64      `avro:"request"`
	Adopted   bool       `avro:"adopted"`
	Reasons   []string   `avro:"reasons"`
	Champion  *string    `avro:"champion"`
	Candidate *Candidate `avro:"candidate"`
	Holdout   *Holdout   `avro:"holdout"`
	NoHoldout *string    `avro:"no_holdout"`
}

// Candidate is what was fitted. Times are in days, money in major units of the base currency.
type Candidate struct {
	Version         string              `avro:"version"`
	Family          string              `avro:"family"`
	AsOf            operators.EventTime `avro:"as_of"`
	Customers       int64               `avro:"customers"`
	RepeatPurchases int64               `avro:"repeat_purchases"`
	R               float64             `avro:"r"`
	AlphaDays       float64             `avro:"alpha_days"`
	A               float64             `avro:"a"`
	B               float64             `avro:"b"`
	P               float64             `avro:"p"`
	Q               float64             `avro:"q"`
	V               float64             `avro:"v"`
	HighValue       float64             `avro:"high_value"`
	RelativeErrors  []float64           `avro:"relative_errors"`
	LogLikelihood   float64             `avro:"log_likelihood"`
	Evaluations     int32               `avro:"evaluations"`
	Converged       bool                `avro:"converged"`
	Prior           bool                `avro:"prior"`
	ExpectedRepeats float64             `avro:"expected_repeats"`
	ExpectedSpend   float64             `avro:"expected_spend"`
	ActualSpend     float64             `avro:"actual_spend"`
}

// Holdout is how the candidate and the champion would have predicted the last weeks.
type Holdout struct {
	From             operators.Day `avro:"from"`
	Weeks            int32         `avro:"weeks"`
	Members          int64         `avro:"members"`
	Unknown          int64         `avro:"unknown"`
	Actual           int64         `avro:"actual"`
	Expected         float64       `avro:"expected"`
	LogScore         float64       `avro:"log_score"`
	ChampionExpected *float64      `avro:"champion_expected"`
	ChampionLogScore *float64      `avro:"champion_log_score"`
	Difference       float64       `avro:"difference"`
	StandardError    float64       `avro:"standard_error"`
}

// relativeErrors is the number of standard errors of a candidate: of r, alpha, a, b, p, q - 1 and v.
const relativeErrors = 7

// key returns that of the record.
func (f *Fit) key() []byte {
	if f.Verdict == nil {
		return []byte("request")
	}
	return []byte("verdict")
}

// EncodeFit returns key and value of a record of the fits topic.
func EncodeFit(f *Fit) (key, value []byte, err error) {
	if value, err = compiled[Fits].AppendEncode(nil, f); err != nil {
		return nil, nil, fmt.Errorf("encoding a %s of a fit: %w", f.key(), err)
	}
	return f.key(), value, nil
}

// DecodeFit returns the request or verdict of a record of the fits topic. The error says what is wrong with it.
func DecodeFit(key, value []byte) (Fit, error) {
	var f Fit
	rest, err := compiled[Fits].Decode(value, &f)
	switch {
	case err != nil:
		return Fit{}, fmt.Errorf("decoding the record %s of fits: %s", quoted(string(key)), avroCause(err))
	case len(rest) > 0:
		return Fit{}, fmt.Errorf("decoding the record %s of fits: %d bytes follow it", quoted(string(key)), len(rest))
	case f.Verdict != nil && f.Verdict.Candidate != nil && len(f.Verdict.Candidate.RelativeErrors) != relativeErrors:
		return Fit{}, fmt.Errorf("decoding the record %s of fits: relative_errors has %d numbers; it must have %d", quoted(string(key)), len(f.Verdict.Candidate.RelativeErrors), relativeErrors)
	case string(f.key()) != string(key):
		return Fit{}, fmt.Errorf("decoding the record %s of fits: it is a %s", quoted(string(key)), f.key())
	}
	return f, nil
}
