package schemas

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"lull/operators"
)

// scalar is what a record says at one place.
type scalar struct {
	kind scalarKind
	text string              // textual, numeric: as it was written; truth: "true" or "false"
	at   operators.EventTime // instant
	sum  float64             // summed
}

type scalarKind uint8

const (
	nothing   scalarKind = iota // the place is not there, or null
	textual                     // a text
	numeric                     // a number, by its decimal text
	truth                       // true or false
	dated                       // a point in time, whose unit the format itself tells
	local                       // a date and time of day, of which the format does not tell the zone
	summed                      // the sum of numbers
	composite                   // an object, an array, or what has no use as a field
)

var scalarNames = [...]string{"nothing", "a text", "a number", "true or false", "an instant", "a local time", "a sum", "no single value"}

func (s *scalar) empty() bool { return s.kind == nothing || s.kind == textual && s.text == "" }

// shown returns the value for a rejection's detail.
func (s *scalar) shown() string {
	switch s.kind {
	case textual:
		return quoted(s.text)
	case numeric, truth:
		return strings.Trim(quoted(s.text), `"`)
	}
	return scalarNames[s.kind]
}

// matches reports whether the value is one of these, by their texts.
func (s *scalar) matches(values []string) bool {
	if s.kind != textual && s.kind != numeric && s.kind != truth {
		return false
	}
	for _, v := range values {
		if v == s.text {
			return true
		}
	}
	return false
}

// scalarOf returns the scalar that a decoded Avro value is.
func scalarOf(value any) scalar {
	switch v := value.(type) {
	case nil:
		return scalar{}
	case string:
		return scalar{kind: textual, text: v}
	case []byte:
		return scalar{kind: textual, text: string(v)}
	case bool:
		return scalar{kind: truth, text: strconv.FormatBool(v)}
	case int32:
		return scalar{kind: numeric, text: strconv.FormatInt(int64(v), 10)}
	case int64:
		return scalar{kind: numeric, text: strconv.FormatInt(v, 10)}
	case float32:
		return scalar{kind: numeric, text: strconv.FormatFloat(float64(v), 'g', -1, 32)}
	case float64:
		return scalar{kind: numeric, text: strconv.FormatFloat(v, 'g', -1, 64)}
	case time.Time:
		return scalar{kind: dated, at: operators.EventTime(v.UnixMilli())}
	case localTime:
		return scalar{kind: local, at: operators.EventTime(v)}
	case *big.Rat:
		if digits, exact := v.FloatPrec(); exact {
			return scalar{kind: numeric, text: v.FloatString(digits)}
		}
	}
	return scalar{kind: composite}
}

// decimal is a number by its digits: 12.50 is 1250 and scale 2.
type decimal struct {
	negative bool
	digits   string // without leading zeros; "" is 0
	scale    int    // of these so many stand after the point; negative: so many zeros follow
}

// numberBytesMax is the length of the longest number that is read.
const numberBytesMax = 64

// parseDecimal reads a number as JSON has it, with leading zeros and a plus sign besides: 12, -0.50, 1.25e3.
func parseDecimal(text string) (d decimal, ok bool) {
	if len(text) > numberBytesMax {
		return decimal{}, false
	}
	mantissa, exponent, scientific := strings.Cut(strings.Replace(text, "E", "e", 1), "e")
	shift := 0
	if scientific {
		n, err := strconv.Atoi(exponent)
		if err != nil || n < -1000 || n > 1000 {
			return decimal{}, false
		}
		shift = n
	}
	switch {
	case strings.HasPrefix(mantissa, "-"):
		d.negative, mantissa = true, mantissa[1:]
	case strings.HasPrefix(mantissa, "+"):
		mantissa = mantissa[1:]
	}
	whole, fraction, hasPoint := strings.Cut(mantissa, ".")
	if whole == "" || hasPoint && fraction == "" || !onlyDigits(whole) || !onlyDigits(fraction) {
		return decimal{}, false
	}
	d.digits = strings.TrimLeft(whole+fraction, "0")
	d.scale = len(fraction) - shift
	if d.digits == "" {
		d = decimal{}
	}
	return d, true
}

func onlyDigits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// shifted returns the number times 10^places as a whole number. exact is false if digits were cut off, of which the first decided whether it was rounded away from zero;
// ok is false if it is beyond 64 bits.
func (d decimal) shifted(places int) (n int64, exact, ok bool) {
	scale := d.scale - places
	digits, cut := d.digits, ""
	switch {
	case d.digits == "":
		return 0, true, true
	case scale <= 0:
		if len(digits)-scale > 19 {
			return 0, true, false
		}
		digits += strings.Repeat("0", -scale)
	case scale < len(digits):
		digits, cut = digits[:len(digits)-scale], digits[len(digits)-scale:]
	default: // all of them are behind the point, the first maybe behind zeros
		digits, cut = "0", strings.Repeat("0", min(1, scale-len(digits)))+digits
	}
	u, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, true, false
	}
	n = int64(u)
	exact = strings.Trim(cut, "0") == ""
	if cut != "" && cut[0] >= '5' {
		if n++; n < 0 {
			return 0, exact, false
		}
	}
	if d.negative {
		n = -n
	}
	return n, exact, true
}

// floor returns the number times 10^places, without what is smaller than 1.
func (d decimal) floor(places int) (n int64, ok bool) {
	if scale := d.scale - places; scale > 0 {
		if scale >= len(d.digits) {
			return 0, true
		}
		d.digits, d.scale = d.digits[:len(d.digits)-scale], places
	}
	n, _, ok = d.shifted(places)
	return n, ok
}

// timeFormat says how a mapping reads times.
type timeFormat struct {
	digits int    // numbers: 0 for seconds, 3 for milliseconds, 6, 9; noUnit: numbers are refused
	layout string // texts: by package time; "": ISO 8601
	zone   *time.Location
}

const noUnit = -1

// timeUnits are the units of numbers, by the digits after the point that seconds would have.
var timeUnits = map[string]int{"seconds": 0, "milliseconds": 3, "microseconds": 6, "nanoseconds": 9}

// isoLayouts are those that are tried in this order. Fractions of seconds are read by all that have seconds.
var isoLayouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", time.DateTime, time.DateOnly, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00"}

// LayoutTellsDay reports whether times of this layout, written as package time has them, tell their day: without it they are no instants.
func LayoutTellsDay(layout string) bool {
	sample := time.Date(2031, 11, 28, 23, 59, 58, 0, time.UTC)
	back, err := time.Parse(layout, sample.Format(layout))
	return err == nil && back.Format(time.DateOnly) == sample.Format(time.DateOnly)
}

// read returns the instant that a value stands for, without what is smaller than a millisecond, or what is wrong with it.
func (f *timeFormat) read(s *scalar) (t operators.EventTime, wrong string) {
	switch {
	case s.kind == dated:
		return s.at, ""
	case s.kind == local:
		at := time.UnixMilli(int64(s.at)).UTC()
		return operators.EventTime(time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), f.zone).UnixMilli()), ""
	case s.kind != textual && s.kind != numeric:
		return 0, "it is " + s.shown()
	case f.digits != noUnit:
		d, ok := parseDecimal(s.text)
		if !ok {
			return 0, "it is " + s.shown() + ", and the mapping says that it is a number of " + f.unit()
		}
		n, ok := d.floor(3 - f.digits)
		if !ok {
			return 0, "it is " + s.shown() + ", which is beyond all times"
		}
		return operators.EventTime(n), ""
	case s.kind == numeric:
		return 0, "it is the number " + s.shown() + ": the mapping must say its unit"
	case f.layout != "":
		if at, err := time.ParseInLocation(f.layout, s.text, f.zone); err == nil {
			return operators.EventTime(at.UnixMilli()), ""
		}
		return 0, fmt.Sprintf("it is %s, which is not of the layout %q", s.shown(), f.layout)
	}
	for _, layout := range isoLayouts {
		if at, err := time.ParseInLocation(layout, s.text, f.zone); err == nil {
			return operators.EventTime(at.UnixMilli()), ""
		}
	}
	return 0, "it is " + s.shown() + ", which is no date or time of ISO 8601"
}

func (f *timeFormat) unit() string {
	for name, digits := range timeUnits {
		if digits == f.digits {
			return name
		}
	}
	return ""
}

// quantityOf returns a number that may have lost digits.
func quantityOf(s *scalar) (n float64, ok bool) {
	if s.kind != textual && s.kind != numeric || len(s.text) > numberBytesMax {
		return 0, false
	}
	n, err := strconv.ParseFloat(s.text, 64)
	return n, err == nil
}
