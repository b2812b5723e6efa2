package schemas

import (
	"sort"
	"time"

	"lull/operators"
)

const (
	// TimeMin is the earliest event time that is accepted: 1970-01-01T00:00:00Z.
	TimeMin operators.EventTime = 0
	// TimeEnd is the first event time after TimeMin that is no longer accepted: 2200-01-01T00:00:00Z.
	TimeEnd operators.EventTime = 7_258_118_400_000
)

// calendar knows the days of a time zone for all accepted event times. It does not change and is safe for concurrent use.
type calendar struct {
	// periods of one offset from UTC each, in order, without gaps. The first begins before TimeMin.
	periods []period
}

type period struct {
	start    operators.EventTime
	offsetMs int64 // local time less UTC
}

func newCalendar(zone *time.Location) *calendar {
	const margin = 3 * operators.DayMs // local days of the first and last accepted times begin and end outside of them
	c := &calendar{}
	for at := TimeMin - margin; ; {
		local := time.UnixMilli(int64(at)).In(zone)
		_, offset := local.Zone()
		if offsetMs := int64(offset) * 1000; len(c.periods) == 0 || c.periods[len(c.periods)-1].offsetMs != offsetMs {
			c.periods = append(c.periods, period{start: at, offsetMs: offsetMs})
		}
		_, end := local.ZoneBounds()
		if end.IsZero() || end.UnixMilli() >= int64(TimeEnd+margin) {
			return c
		}
		// Of the last day of a leap year, package time takes the beginning for its end (tzset counts 365 days). Clocks of such rules change at full quarters of an hour.
		at = max(operators.EventTime(end.UnixMilli()), at+900_000)
	}
}

// Days returns the function from an instant to its calendar day in a time zone, with TimeMin for what is earlier, and the end of the times for what is later.
func Days(zone *time.Location) func(operators.EventTime) operators.Day {
	c := newCalendar(zone)
	return func(t operators.EventTime) operators.Day {
		day, _ := c.day(min(max(t, TimeMin), TimeEnd-1))
		return day
	}
}

// DayStarts returns the function from an accepted instant to its calendar day in a time zone and the start of that day. It is safe for concurrent use.
func DayStarts(zone *time.Location) func(operators.EventTime) (operators.Day, operators.EventTime) {
	return newCalendar(zone).day
}

// day returns the calendar day of an accepted time, and when that day begins: the first instant whose local date it is. That is not 00:00 where a
// clock change skips it.
func (c *calendar) day(t operators.EventTime) (operators.Day, operators.EventTime) {
	i := len(c.periods) - 1
	if i > 0 {
		i = sort.Search(len(c.periods), func(i int) bool { return c.periods[i].start > t }) - 1
	}
	day := (int64(t) + c.periods[i].offsetMs) / operators.DayMs
	if int64(t)+c.periods[i].offsetMs < 0 { // west of Greenwich on 1970-01-01
		day = -1
	}
	midnight := day * operators.DayMs
	start := max(operators.EventTime(midnight-c.periods[i].offsetMs), c.periods[i].start)
	// The day began in an earlier period if that one's clock had passed midnight already; with clocks set back just after midnight
	// (St. John's until 2011) that is so even for days whose midnight came again.
	for ; i > 0 && int64(c.periods[i].start)+c.periods[i-1].offsetMs > midnight; i-- {
		start = max(operators.EventTime(midnight-c.periods[i-1].offsetMs), c.periods[i-1].start)
	}
	return operators.Day(day), start
}
