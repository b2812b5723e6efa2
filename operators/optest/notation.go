package optest

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"lull/operators"
)

// ParseEvent reads an event in the notation of the test scripts, without an id unless it states one. Its day is that of UTC.
//
//	1998-01-04T10:05 page name=home
//	1998-01-04T10:06:30.250 track id=m7 name="Product Added"
//	1998-01-04T10:08 order_completed order=o1 amount=49.90
//	1998-01-05T09:00 order_refunded order=o1 refund=r1 amount=9.90
//	1998-01-05T09:01 order_refunded order=o1 whole
//
// The keys are id, name, order, refund, amount (in major units), quantity, subject and proof, and the flags whole and clamped.
func ParseEvent(line string) (operators.Event, error) {
	fields, err := split(line)
	if err != nil {
		return operators.Event{}, fmt.Errorf("reading %q: %w", line, err)
	}
	if len(fields) < 2 {
		return operators.Event{}, fmt.Errorf("reading %q: an event has a time and a kind", line)
	}
	e := operators.Event{Customer: "c"}
	if e.Time, err = ParseTime(fields[0]); err != nil {
		return operators.Event{}, err
	}
	e.Day = operators.Day(math.Floor(float64(e.Time) / operators.DayMs))
	e.DayStart = operators.EventTime(e.Day) * operators.DayMs
	kind, ok := operators.KindNamed(fields[1])
	if !ok {
		return operators.Event{}, fmt.Errorf("reading %q: there is no kind %q", line, fields[1])
	}
	e.Kind = kind
	for _, field := range fields[2:] {
		if err := set(&e, field); err != nil {
			return operators.Event{}, fmt.Errorf("reading %q: %w", line, err)
		}
	}
	return e, nil
}

func set(e *operators.Event, field string) (err error) {
	key, value, _ := strings.Cut(field, "=")
	switch key {
	case "id":
		e.ID = value
	case "name":
		e.Name = value
	case "order":
		e.OrderID = value
	case "refund":
		e.RefundID = value
	case "subject":
		e.Subject = value
	case "proof":
		e.Proof = value
	case "amount":
		var major float64
		major, err = strconv.ParseFloat(value, 64)
		e.Amount = operators.Money(math.Round(major * 100))
	case "quantity":
		e.Quantity, err = strconv.ParseFloat(value, 64)
	case "whole":
		e.Whole = true
	case "clamped":
		e.Clamped = true
	default:
		return fmt.Errorf("there is no key %q", key)
	}
	return err
}

// split splits a line at spaces outside of quoted values, of which it removes the quotes.
func split(line string) ([]string, error) {
	var fields []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		end := strings.IndexByte(line, ' ')
		if end < 0 {
			end = len(line)
		}
		if quote := strings.IndexByte(line[:end], '"'); quote >= 0 {
			quoted, err := strconv.QuotedPrefix(line[quote:])
			if err != nil {
				return nil, err
			}
			value, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, err
			}
			fields, line = append(fields, line[:quote]+value), line[quote+len(quoted):]
			continue
		}
		fields, line = append(fields, line[:end]), line[end:]
	}
	return fields, nil
}

// ParseTime reads an instant in UTC: a date, and after a T the time of day down to the minute, second or millisecond.
func ParseTime(s string) (operators.EventTime, error) {
	date, clock, _ := strings.Cut(s, "T")
	var year, month, day int
	if _, err := fmt.Sscanf(date, "%d-%d-%d", &year, &month, &day); err != nil || month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, fmt.Errorf("reading %q: no date such as 1998-01-04", s)
	}
	ms := int64(daysTo(year, month) + day - 1)
	ms *= operators.DayMs
	units := []float64{3_600_000, 60_000, 1000}
	if clock == "" {
		return operators.EventTime(ms), nil
	}
	for i, part := range strings.Split(strings.TrimSuffix(clock, "Z"), ":") {
		n, err := strconv.ParseFloat(part, 64)
		if err != nil || i >= len(units) {
			return 0, fmt.Errorf("reading %q: no time of day such as 10:05:30.250", s)
		}
		ms += int64(math.Round(n * units[i]))
	}
	return operators.EventTime(ms), nil
}

// daysTo returns the days from 1970-01-01 to the first of a month.
func daysTo(year, month int) int {
	days := 0
	for y := 1970; y < year; y++ {
		days += 365 + leap(y)
	}
	for y := year; y < 1970; y++ {
		days -= 365 + leap(y)
	}
	lengths := [...]int{31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	for m := 1; m < month; m++ {
		days += lengths[m-1]
	}
	return days
}

func leap(year int) int {
	if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		return 1
	}
	return 0
}
