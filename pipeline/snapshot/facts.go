package snapshot

import "lull/operators"

// wireFacts are the facts of an output, by the names of its schema.
type wireFacts struct {
	SinceLastPurchase float64 `avro:"since_last_purchase_days"`
	RepeatPurchases   int64   `avro:"repeat_purchases"`
	PAlive            float64 `avro:"p_alive"`
	ChurnRisk         float64 `avro:"churn_risk"`
	BuysAgain         float64 `avro:"buys_again"`
	ExpectedPurchases float64 `avro:"expected_purchases"`
	ExpectedSpend     float64 `avro:"expected_spend"`
	CLV               float64 `avro:"clv"`
	ValueAtRisk       float64 `avro:"value_at_risk"`
	AboutToBeLost     float64 `avro:"value_about_to_be_lost"`
	HighValue         bool    `avro:"high_value"`
	HighRiskAt        *int64  `avro:"high_risk_at"`
	Currency          string  `avro:"currency"`
	HorizonDays       float64 `avro:"horizon_days"`
	ContactDays       float64 `avro:"contact_days"`
}

// wireCause is what made an output.
type wireCause struct {
	Kind    string  `avro:"kind"`
	EventID *string `avro:"event_id"`
}

// factColumns are the columns of the facts behind an output, as they were at its instant, under its model.
type factColumns struct {
	SinceLastPurchase *float64             `parquet:"since_last_purchase_days" doc:"00:00 of the last purchase day to time, in days; null, as the columns up to contact_days, of a customer without a purchase"`
	Frequency         *int64               `parquet:"frequency" doc:"purchase days after the first"`
	PAlive            *float64             `parquet:"p_alive" doc:"probability of being a customer still"`
	ChurnRisk         *float64             `parquet:"churn_risk" doc:"1 - p_alive"`
	BuysAgain         *float64             `parquet:"buys_again" doc:"probability of a purchase within contact_days"`
	ExpectedPurchases *float64             `parquet:"expected_purchases" doc:"purchase days expected within horizon_days"`
	ExpectedSpend     *float64             `parquet:"expected_spend" doc:"value expected of a purchase day"`
	CLV               *float64             `parquet:"clv" doc:"discounted expected margin within horizon_days"`
	ValueAtRisk       *float64             `parquet:"value_at_risk" doc:"churn risk times the CLV of who is certainly alive"`
	AboutToBeLost     *float64             `parquet:"value_about_to_be_lost" doc:"by how much CLV falls within contact_days of silence"`
	HighValue         *bool                `parquet:"high_value" doc:"clv is at least the model's cut"`
	HighRiskAt        *operators.EventTime `parquet:"high_risk_at,timestamp(millisecond:utc)" doc:"when churn_risk reaches the upper threshold in silence; null if it never does"`
	Currency          *string              `parquet:"currency,dict" doc:"ISO 4217 code of the currency, which all values are in, in major units"`
	HorizonDays       *float64             `parquet:"horizon_days" doc:"how far expected_purchases and clv look ahead, in days"`
	ContactDays       *float64             `parquet:"contact_days" doc:"the time within which a contact can bring a customer back, in days"`
}

// columns returns the facts as columns: nulls of no facts.
func (f *wireFacts) columns() (c factColumns) {
	if f == nil {
		return c
	}
	if f.HighRiskAt != nil {
		at := operators.EventTime(*f.HighRiskAt)
		c.HighRiskAt = &at
	}
	c.SinceLastPurchase, c.Frequency, c.PAlive, c.ChurnRisk, c.BuysAgain = &f.SinceLastPurchase, &f.RepeatPurchases, &f.PAlive, &f.ChurnRisk, &f.BuysAgain
	c.ExpectedPurchases, c.ExpectedSpend, c.CLV, c.ValueAtRisk, c.AboutToBeLost = &f.ExpectedPurchases, &f.ExpectedSpend, &f.CLV, &f.ValueAtRisk, &f.AboutToBeLost
	c.HighValue, c.Currency, c.HorizonDays, c.ContactDays = &f.HighValue, &f.Currency, &f.HorizonDays, &f.ContactDays
	return c
}

// nonEmpty returns a text as a column has it that may be null: "" is none.
func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
