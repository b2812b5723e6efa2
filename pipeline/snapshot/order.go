package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"lull/operators"
	"lull/pipeline/task"
)

// orderRow is a row of the table orders.
type orderRow struct {
	CustomerID string              `parquet:"customer_id" doc:"whose order it is; rows are in the order of customers, and of each in that of time and order_id"`
	OrderID    string              `parquet:"order_id" doc:"the order's id; that of its event, of an order that came without one"`
	AsOf       operators.EventTime `parquet:"as_of,timestamp(millisecond:utc)" doc:"the instant of the snapshot, the same in all rows: no order is later"`
	Time       operators.EventTime `parquet:"time,timestamp(millisecond:utc)" doc:"when it was completed first; of one that is not completed, the earliest that was heard of it"`
	Day        *operators.Day      `parquet:"day,date" doc:"the day of that, in calendar.timezone; null of one that is not completed"`
	Completed  bool                `parquet:"completed" doc:"it was placed; of one that was not, an update, refund or cancellation alone has come"`
	Cancelled  bool                `parquet:"cancelled" doc:"it was cancelled: it does not count"`
	Refunded   bool                `parquet:"refunded_whole" doc:"all of it was paid back"`
	Currency   string              `parquet:"currency,dict" doc:"ISO 4217 code of the base currency, which all values are in, in major units"`
	Amount     *float64            `parquet:"amount" doc:"its value, as stated last; null if none was stated"`
	Refunds    float64             `parquet:"refunds" doc:"sum of the refunds of parts of it"`
	Net        float64             `parquet:"net" doc:"what it has brought: amount less refunds, and 0 if cancelled, refunded as a whole or not completed"`
}

// orders calls write for the row of every order up to the instant, in the order of customers, times and ids. A customer's orders are in memory at once: no more than limits.orders.
func (s *source) orders(write func(row *orderRow) error) error {
	minor := float64(s.config.Score.MinorPerMajor)
	for c, err := range s.state.customers {
		if err != nil {
			return err
		}
		orders, err := c.orders()
		if err != nil {
			return fmt.Errorf("reading the orders of customer %q of partition %d: %w", c.ID, c.partition.n, err)
		}
		for i := range orders {
			o := &orders[i]
			if o.Time > s.asOf {
				break
			}
			row := orderRow{
				CustomerID: c.ID, OrderID: o.ID, AsOf: s.asOf, Time: o.Time, Completed: o.Completed, Cancelled: o.Cancelled, Refunded: o.Whole, Currency: s.config.Score.Currency,
				Refunds: float64(o.Refunded()) / minor, Net: float64(o.Net()) / minor,
			}
			if o.Completed {
				row.Day = &o.Day
			}
			if o.AmountTime != operators.Unset {
				amount := float64(o.Amount) / minor
				row.Amount = &amount
			}
			if err := write(&row); err != nil {
				return err
			}
		}
	}
	return nil
}

// orders returns all orders of the customer by (Time, ID): those in the record, and the archived ones.
func (h *held) orders() (orders []operators.Order, err error) {
	if h.Ledger.Archived > 0 {
		first, end := task.PartKey(nil, h.ID, "o"), task.PartKey(nil, h.ID, "p") // each lies under "o" and its id
		scanned := h.partition.store.Scan(first, end, func(_, value []byte) bool {
			var o operators.Order
			if err = operators.DecodeOrder(&o, value); err != nil {
				return false
			}
			orders = append(orders, o)
			return true
		})
		if err = cmp.Or(scanned, err); err != nil {
			return nil, err
		}
	}
	orders = append(orders, h.Ledger.Orders...)
	slices.SortFunc(orders, func(a, b operators.Order) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.ID, b.ID))
	})
	return orders, nil
}
