package operators

import "fmt"

// EventTime is an instant of the business, in milliseconds since the Unix epoch, UTC. It is never read from a clock.
type EventTime int64

const (
	// Never is the deadline that does not come.
	Never EventTime = 1<<63 - 1
	// Unset is the event time before every event: a watermark that has not been set.
	Unset EventTime = -1 << 63
	// DayMs is the length of a civil day without a clock change, in milliseconds.
	DayMs = 86_400_000
)

// DaysSince returns the time from start to t in days, as a fraction.
func (t EventTime) DaysSince(start EventTime) float64 { return float64(t-start) / DayMs }

// String returns the instant in UTC as 1998-01-04T13:07:00.000Z, "never" or "unset".
func (t EventTime) String() string {
	switch t {
	case Never:
		return "never"
	case Unset:
		return "unset"
	}
	day := int64(t) / DayMs
	ms := int64(t) % DayMs
	if ms < 0 {
		day, ms = day-1, ms+DayMs
	}
	return fmt.Sprintf("%sT%02d:%02d:%02d.%03dZ", Day(day), ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}

// Day is a calendar day in the configured time zone, counted from 1970-01-01.
type Day int32

// UTCDay returns the day that the instant is on in UTC. It is neither Unset nor Never.
func (t EventTime) UTCDay() Day {
	day := t / DayMs
	if t < day*DayMs {
		day--
	}
	return Day(day)
}

// String returns the day as 1998-01-04 (proleptic Gregorian calendar).
func (d Day) String() string {
	// The year starts in March here, so that the leap day is its last; 719468 days lie between 0000-03-01 and 1970-01-01, 146097 in 400 years.
	z := int64(d) + 719468
	era := z / 146097
	if z < 0 {
		era = (z - 146096) / 146097
	}
	ofEra := z - era*146097
	yearOfEra := (ofEra - ofEra/1460 + ofEra/36524 - ofEra/146096) / 365
	ofYear := ofEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	month := (5*ofYear + 2) / 153
	dayOfMonth := ofYear - (153*month+2)/5 + 1
	year := yearOfEra + era*400
	month += 3
	if month > 12 {
		month, year = month-12, year+1
	}
	return fmt.Sprintf("%04d-%02d-%02d", year, month, dayOfMonth)
}

// Money is an amount in minor units (cents) of the base currency.
type Money int64
