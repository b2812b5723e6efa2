package report

import (
	"math"
	"strconv"
	"strings"
)

// whole writes a number without a fraction, its thousands apart: 12,345.
func whole(v float64) string {
	digits := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	var b strings.Builder
	if v < 0 && digits != "0" {
		b.WriteByte('-')
	}
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

func count(n int64) string { return whole(float64(n)) }

// many writes a number of things: 1 customer, 2 customers.
func many(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return count(n) + " " + thing + "s"
}

// short writes a number with three digits: 950, 12.3k, 4.56M, and further G for 10⁹, T for 10¹².
func short(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= 0.9995*unit.size {
			return strconv.FormatFloat(v/unit.size, 'g', 3, 64) + unit.name
		}
	}
	if math.Abs(v) >= 100 || v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// percent writes a share: 7%, and 0.3% where it is less than one.
func percent(share float64) string {
	switch p := 100 * share; {
	case p > 0 && p < 0.05:
		return "<0.1%"
	case p > 0 && p < 0.95:
		return strconv.FormatFloat(p, 'f', 1, 64) + "%"
	default:
		return strconv.FormatFloat(p, 'f', 0, 64) + "%"
	}
}

// plain writes a number by which others are recomputed, with six digits at most: 365.25.
func plain(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// exact writes a share with four digits.
func exact(share float64) string { return strconv.FormatFloat(100*share, 'f', 2, 64) + " %" }

// ofAll returns the share that a part has of all, 0 of nothing.
func ofAll(part, all float64) float64 {
	if all == 0 {
		return 0
	}
	return part / all
}
