package snapshot

import (
	"lull/operators"
	"lull/schemas"
)

// segmentRow is a row of the table segment_changes.
type segmentRow struct {
	CustomerID   string              `parquet:"customer_id" doc:"who changed; rows are in the order of customers, and of each in that of revision"`
	Revision     int64               `parquet:"revision" doc:"the customer's output number that this is: a later output of theirs, of whatever table, has a higher one"`
	ID           string              `parquet:"id" doc:"the ce_id of the record"`
	AsOf         operators.EventTime `parquet:"as_of,timestamp(millisecond:utc)" doc:"the instant of the snapshot, the same in all rows: no change is later"`
	Time         operators.EventTime `parquet:"time,timestamp(millisecond:utc)" doc:"when it became true"`
	Dimension    string              `parquet:"dimension,dict" doc:"quadrant, rfm, lifecycle or rising: each changes by itself"`
	From         string              `parquet:"from_segment,dict" doc:"segment before (docs/segments.md)"`
	To           string              `parquet:"to_segment,dict" doc:"segment from then on; the same words"`
	Cause        string              `parquet:"cause,dict" doc:"event (they did something), deadline (they did nothing until then) or model (a new one came into force)"`
	EventID      *string             `parquet:"event_id" doc:"the message_id of the event, or its topic/partition/offset; null of other causes"`
	ModelVersion *string             `parquet:"model_version,dict" doc:"the model of the numbers; null if there was none"`
	factColumns
	RFMSince     *int32   `parquet:"rfm_recency" doc:"of dimension rfm: score of the time since the last purchase, 1 to 5, 5 the best; null of others, and without scores"`
	RFMFrequency *int32   `parquet:"rfm_frequency" doc:"the same of the number of purchase days"`
	RFMMonetary  *int32   `parquet:"rfm_monetary" doc:"the same of the mean value of a purchase day"`
	Reasons      []string `parquet:"reasons,list" doc:"why, in sentences for a person"`
}

// segmentChanges calls write for the row of every change of segments, as told has them.
func (s *source) segmentChanges(write func(row *segmentRow) error) error {
	return s.told(schemas.Segments, func(o *told) error {
		var w struct {
			Dimension string     `avro:"dimension"`
			From      string     `avro:"from"`
			To        string     `avro:"to"`
			Cause     wireCause  `avro:"cause"`
			Model     string     `avro:"model"`
			Facts     *wireFacts `avro:"facts"`
			RFM       *struct {
				SinceLastPurchase int32 `avro:"since_last_purchase"`
				Frequency         int32 `avro:"frequency"`
				Monetary          int32 `avro:"monetary"`
			} `avro:"rfm"`
			Reasons []string `avro:"reasons"`
		}
		if err := schemas.DecodeInto(schemas.Segments, o.Value, &w); err != nil {
			return err
		}
		row := segmentRow{
			CustomerID: o.customer, Revision: int64(o.revision), ID: o.ID, AsOf: s.asOf, Time: o.Time, Dimension: w.Dimension, From: w.From, To: w.To,
			Cause: w.Cause.Kind, EventID: w.Cause.EventID, ModelVersion: nonEmpty(w.Model), factColumns: w.Facts.columns(), Reasons: w.Reasons,
		}
		if w.RFM != nil {
			row.RFMSince, row.RFMFrequency, row.RFMMonetary = &w.RFM.SinceLastPurchase, &w.RFM.Frequency, &w.RFM.Monetary
		}
		return write(&row)
	})
}
