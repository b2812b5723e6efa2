package snapshot

import (
	"lull/operators"
	"lull/schemas"
)

// sessionRow is a row of the table sessions.
type sessionRow struct {
	CustomerID string              `parquet:"customer_id" doc:"whose session it was; rows are in the order of customers, and of each in that of revision"`
	Revision   int64               `parquet:"revision" doc:"the customer's output number that this is: a later output of theirs, of whatever table, has a higher one"`
	ID         string              `parquet:"id" doc:"the ce_id of the record"`
	AsOf       operators.EventTime `parquet:"as_of,timestamp(millisecond:utc)" doc:"the instant of the snapshot, the same in all rows: no session ended later, by session.gap without activity"`
	Start      operators.EventTime `parquet:"started_at,timestamp(millisecond:utc)" doc:"time of its first event"`
	End        operators.EventTime `parquet:"ended_at,timestamp(millisecond:utc)" doc:"time of its last event"`
	DwellMs    int64               `parquet:"dwell_ms" doc:"ended_at less started_at, in milliseconds; 0 for a single event"`
	Events     int64               `parquet:"events" doc:"number of its events"`
	Counts     []kindCount         `parquet:"counts,list" doc:"its events by kind; kinds without an event are left out"`
	FirstPage  *string             `parquet:"first_page" doc:"the first page or screen viewed; null without one"`
	LastPage   *string             `parquet:"last_page" doc:"the last page or screen viewed; null without one"`
	Cart       int64               `parquet:"cart" doc:"products added to the cart less those removed; below 0 when a removal came first"`
	Orders     int64               `parquet:"orders" doc:"orders completed in it"`
	CartLeft   bool                `parquet:"cart_left" doc:"products were left in the cart and no order was completed"`
}

// kindCount is how many events of one kind there were.
type kindCount struct {
	Kind  string `parquet:"kind" avro:"kind"`
	Count int64  `parquet:"count" avro:"count"`
}

// sessions calls write for the row of every session that had ended at the instant, as told has them. Those that end later are open_sessions in the table customers.
func (s *source) sessions(write func(row *sessionRow) error) error {
	return s.told(schemas.Sessions, func(o *told) error {
		var w struct {
			Start     int64       `avro:"start"`
			End       int64       `avro:"end"`
			DwellMs   int64       `avro:"dwell_ms"`
			Events    int64       `avro:"events"`
			Counts    []kindCount `avro:"counts"`
			FirstPage *string     `avro:"first_page"`
			LastPage  *string     `avro:"last_page"`
			Cart      int64       `avro:"cart"`
			Orders    int64       `avro:"orders"`
			CartLeft  bool        `avro:"cart_left"`
		}
		if err := schemas.DecodeInto(schemas.Sessions, o.Value, &w); err != nil {
			return err
		}
		if operators.EventTime(w.End+s.config.Session.GapMs) > s.asOf {
			return nil
		}
		return write(&sessionRow{
			CustomerID: o.customer, Revision: int64(o.revision), ID: o.ID, AsOf: s.asOf, Start: operators.EventTime(w.Start), End: operators.EventTime(w.End), DwellMs: w.DwellMs,
			Events: w.Events, Counts: w.Counts, FirstPage: w.FirstPage, LastPage: w.LastPage, Cart: w.Cart, Orders: w.Orders, CartLeft: w.CartLeft,
		})
	})
}
