package backtest

import "lull/operators"

// PurchaseDay is a day on which a customer bought.
type PurchaseDay struct {
	Day    operators.Day
	Orders uint32
	Net    operators.Money
}

// Divide returns what is known of a customer at the ends of the periods by their purchase days, in their order. Days begin at 00:00 UTC: an AsOf of Config at 00:00 UTC then has whole days as ages.
func (p Periods) Divide(id string, days []PurchaseDay) Customer {
	return Customer{id, until(days, p.rehearsal()), until(days, p.Calibrate), until(days, p.Holdout)}
}

// until returns the purchases up to the end of a day.
func until(days []PurchaseDay, last operators.Day) (p operators.Purchases) {
	for i := range days {
		d := &days[i]
		if d.Day > last {
			break
		}
		if p.Count == 0 {
			p.First, p.FirstStart, p.FirstNet = d.Day, operators.EventTime(int64(d.Day)*operators.DayMs), d.Net
		}
		p.Count, p.Last, p.Orders, p.Net = p.Count+1, d.Day, p.Orders+d.Orders, p.Net+d.Net
	}
	return p
}
