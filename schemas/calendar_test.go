package schemas

import (
	"testing"
	"time"
	_ "time/tzdata" // the same zones on every machine

	"pgregory.net/rapid"

	"lull/operators"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func at(t testing.TB, rfc3339 string) operators.EventTime {
	t.Helper()
	instant, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		t.Fatal(err)
	}
	return operators.EventTime(instant.UnixMilli())
}

// Days around clock changes, worked out by hand from the zones' published rules.
func TestDaysAroundClockChanges(t *testing.T) {
	for _, c := range []struct{ zone, instant, day, start string }{
		{"UTC", "1970-01-01T00:00:00Z", "1970-01-01", "1970-01-01T00:00:00Z"},
		{"UTC", "2199-12-31T23:59:59Z", "2199-12-31", "2199-12-31T00:00:00Z"},
		// West of Greenwich the first accepted instant lies in 1969.
		{"America/New_York", "1970-01-01T00:00:00Z", "1969-12-31", "1969-12-31T05:00:00Z"},
		{"Europe/Berlin", "2024-03-30T22:59:59Z", "2024-03-30", "2024-03-29T23:00:00Z"},
		{"Europe/Berlin", "2024-03-30T23:00:00Z", "2024-03-31", "2024-03-30T23:00:00Z"},
		{"Europe/Berlin", "2024-03-31T21:59:59Z", "2024-03-31", "2024-03-30T23:00:00Z"}, // a day of 23 hours
		{"Europe/Berlin", "2024-03-31T22:00:00Z", "2024-04-01", "2024-03-31T22:00:00Z"},
		{"Europe/Berlin", "2024-10-27T22:59:59Z", "2024-10-27", "2024-10-26T22:00:00Z"}, // a day of 25 hours
		{"Europe/Berlin", "2024-10-27T23:00:00Z", "2024-10-28", "2024-10-27T23:00:00Z"},
		// On 2018-11-04 clocks went from 00:00 to 01:00: the day began at 01:00 -02:00.
		{"America/Sao_Paulo", "2018-11-04T02:59:59Z", "2018-11-03", "2018-11-03T03:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04", "2018-11-04T03:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04", "2018-11-04T03:00:00Z"},
		{"America/Sao_Paulo", "2018-11-05T02:00:00Z", "2018-11-05", "2018-11-05T02:00:00Z"},
		// 2011-12-30 did not exist: from -10:00 to +14:00.
		{"Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29", "2011-12-29T10:00:00Z"},
		{"Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31", "2011-12-30T10:00:00Z"},
		// On 2006-10-29 clocks went from 00:01 -02:30 back to 23:01 of the 28th: a day that began, stopped, and came again.
		{"America/St_Johns", "2006-10-29T02:30:30Z", "2006-10-29", "2006-10-29T02:30:00Z"},
		{"America/St_Johns", "2006-10-29T02:31:00Z", "2006-10-28", "2006-10-28T02:30:00Z"},
		{"America/St_Johns", "2006-10-29T03:30:00Z", "2006-10-29", "2006-10-29T02:30:00Z"},
		{"Asia/Kathmandu", "2024-01-01T18:15:00Z", "2024-01-02", "2024-01-01T18:15:00Z"},
	} {
		day, start := newCalendar(zone(t, c.zone)).day(at(t, c.instant))
		if day.String() != c.day || start != at(t, c.start) {
			t.Errorf("%s %s: day %v from %v; want %s from %s", c.zone, c.instant, day, start, c.day, c.start)
		}
	}
}

// The calendar agrees with package time: the day is the local date, and of the instants of that date DayStart is the first.
func TestDaysAgreeWithPackageTime(t *testing.T) {
	names := []string{"UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kwajalein",
		"Africa/Casablanca", "Australia/Lord_Howe", "Asia/Gaza", "America/Nuuk", "Antarctica/Troll", "Africa/Monrovia"}
	calendars := make(map[string]*calendar)
	for _, name := range names {
		calendars[name] = newCalendar(zone(t, name))
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "zone")
		c := calendars[name]
		instant := operators.EventTime(rapid.Int64Range(int64(TimeMin), int64(TimeEnd)-1).Draw(t, "instant"))
		if rapid.Bool().Draw(t, "near a clock change") {
			near := rapid.SampledFrom(c.periods).Draw(t, "change").start + operators.EventTime(rapid.Int64Range(-2*operators.DayMs, 2*operators.DayMs).Draw(t, "offset"))
			instant = min(max(near, TimeMin), TimeEnd-1)
		}
		loc, _ := time.LoadLocation(name)
		day, start := c.day(instant)
		date := func(at operators.EventTime) string { return time.UnixMilli(int64(at)).In(loc).Format(time.DateOnly) }
		if day.String() != date(instant) {
			t.Fatalf("%v is on %v; package time says %s", instant, day, date(instant))
		}
		if start > instant || date(start) != day.String() {
			t.Fatalf("%v, on %v, starts at %v, which is on %s", instant, day, start, date(start))
		}
		for _, before := range []operators.EventTime{1, 1000, 60_000, 1_800_000, 3_600_000, 7_200_000, 10_800_000} {
			if date(start-before) == day.String() {
				t.Fatalf("%v, on %v, starts at %v, but %v is on it too", instant, day, start, start-before)
			}
		}
	})
}

func TestTimeBounds(t *testing.T) {
	if TimeMin != at(t, "1970-01-01T00:00:00Z") || TimeEnd != at(t, "2200-01-01T00:00:00Z") {
		t.Errorf("bounds are %v and %v", TimeMin, TimeEnd)
	}
}
