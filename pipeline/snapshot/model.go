package snapshot

import "lull/operators"

// modelRow is a row of the table models.
type modelRow struct {
	Version     string              `parquet:"version" doc:"its name, unique for ever; rows are in the order in which models were published, the last is that of the snapshot"`
	AsOf        operators.EventTime `parquet:"as_of,timestamp(millisecond:utc)" doc:"the instant of the snapshot, the same in all rows"`
	Current     bool                `parquet:"current" doc:"it is the model of the snapshot: all predictions in customers are of it"`
	Family      string              `parquet:"family,dict" doc:"mbgnbd or bgnbd"`
	EffectiveAt operators.EventTime `parquet:"effective_at,timestamp(millisecond:utc)" doc:"it was to be in force from then on, and was from when the pipeline had it, if that was later"`
	R           float64             `parquet:"r" doc:"shape of the gamma distribution of purchase rates"`
	Alpha       float64             `parquet:"alpha_days" doc:"rate of that distribution, in days"`
	A           float64             `parquet:"a" doc:"first parameter of the beta distribution of the chance to drop out"`
	B           float64             `parquet:"b" doc:"its second parameter"`
	P           float64             `parquet:"p" doc:"gamma-gamma: shape of spend per purchase"`
	Q           float64             `parquet:"q" doc:"gamma-gamma: shape of its distribution over customers"`
	V           float64             `parquet:"v" doc:"gamma-gamma: scale of that distribution, in major units"`
	HighValue   float64             `parquet:"high_value" doc:"the CLV from which a customer is of high value, in major units"`

	CutsSince     []float64 `parquet:"cuts_since_last_purchase_days,list" doc:"bounds between the fifths of the customers, rising: days since the last purchase day; empty if they are not known"`
	CutsPurchases []float64 `parquet:"cuts_purchases,list" doc:"the same of the number of purchase days"`
	CutsMonetary  []float64 `parquet:"cuts_monetary,list" doc:"the same of the mean value of a purchase day, in major units"`
	CutsCLV       []float64 `parquet:"cuts_clv,list" doc:"the same of CLV, in major units"`

	FitAsOf          *operators.EventTime `parquet:"fit_as_of,timestamp(millisecond:utc)" doc:"the instant up to which the customers were known that it was fitted to; null, as the columns after it, if it was put by hand"`
	FitCustomers     *int64               `parquet:"fit_customers" doc:"how many customers it was fitted to"`
	FitRepeats       *int64               `parquet:"fit_repeat_purchases" doc:"repeat purchases of these"`
	FitLogLikelihood *float64             `parquet:"fit_log_likelihood" doc:"log-likelihood of their purchases, in days"`
}

// models calls write for the row of every model that had been published up to that of the snapshot.
func (s *source) models(write func(row *modelRow) error) error {
	for i := range s.published {
		m := &s.published[i]
		row := modelRow{
			Version: m.Version, AsOf: s.asOf, Current: i == len(s.published)-1, Family: m.Family, EffectiveAt: m.EffectiveAt,
			R: m.R, Alpha: m.Alpha, A: m.A, B: m.B, P: m.P, Q: m.Q, V: m.V, HighValue: m.HighValue,
		}
		if c := m.Cuts; c != nil {
			row.CutsSince, row.CutsPurchases, row.CutsMonetary, row.CutsCLV = c.SinceLastPurchase[:], c.Purchases[:], c.Monetary[:], c.CLV[:]
		}
		if f := m.Fit; f != nil {
			row.FitAsOf, row.FitCustomers, row.FitRepeats, row.FitLogLikelihood = &f.AsOf, &f.Customers, &f.RepeatPurchases, &f.LogLikelihood
		}
		if err := write(&row); err != nil {
			return err
		}
	}
	return nil
}
