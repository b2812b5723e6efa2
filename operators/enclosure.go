package operators

import "math"

// Interval is all numbers from Low to High.
type Interval struct{ Low, High float64 }

// Anything is what nothing is known of.
var Anything = Interval{math.Inf(-1), math.Inf(1)}

// rounding is more than one operation of float64 is off by, relatively.
const rounding = 0x1p-50

// Widened returns the interval with a margin: so much of its ends.
func (i Interval) Widened(margin float64) Interval {
	if !(i.Low <= i.High) { // ∞ − ∞, 0 · ∞
		return Anything
	}
	if !math.IsInf(i.Low, 0) {
		i.Low -= float64(math.Abs(i.Low) * margin)
	}
	if !math.IsInf(i.High, 0) {
		i.High += float64(math.Abs(i.High) * margin)
	}
	return i
}

// Plus returns what contains all sums.
func (i Interval) Plus(j Interval) Interval {
	return Interval{i.Low + j.Low, i.High + j.High}.Widened(rounding)
}

// Minus returns what contains all differences.
func (i Interval) Minus(j Interval) Interval {
	return Interval{i.Low - j.High, i.High - j.Low}.Widened(rounding)
}

// Times returns what contains all products.
func (i Interval) Times(j Interval) Interval {
	a, b, c, d := i.Low*j.Low, i.Low*j.High, i.High*j.Low, i.High*j.High
	return Interval{min(a, b, c, d), max(a, b, c, d)}.Widened(rounding) // min and max of a NaN are NaN
}

// Over returns what contains all quotients.
func (i Interval) Over(j Interval) Interval {
	if j.Low <= 0 && j.High >= 0 {
		return Anything
	}
	a, b, c, d := i.Low/j.Low, i.Low/j.High, i.High/j.Low, i.High/j.High
	return Interval{min(a, b, c, d), max(a, b, c, d)}.Widened(rounding)
}

// meets returns what is in both intervals, which have something in common.
func (i Interval) meets(j Interval) Interval {
	return Interval{max(i.Low, j.Low), min(i.High, j.High)}
}

// Enclosure says where a number lies throughout a time, and where the slope lies with which it moves, per day.
type Enclosure struct{ Value, Slope Interval }

// Fixed returns the enclosure of a number that does not move.
func Fixed(n float64) Enclosure {
	if math.IsNaN(n) {
		return Enclosure{Value: Anything, Slope: Anything}
	}
	return Enclosure{Value: Interval{n, n}}
}

// Plus encloses a sum.
func (e Enclosure) Plus(f Enclosure) Enclosure {
	return Enclosure{e.Value.Plus(f.Value), e.Slope.Plus(f.Slope)}
}

// Minus encloses a difference.
func (e Enclosure) Minus(f Enclosure) Enclosure {
	return Enclosure{e.Value.Minus(f.Value), e.Slope.Minus(f.Slope)}
}

// Times encloses a product.
func (e Enclosure) Times(f Enclosure) Enclosure {
	return Enclosure{e.Value.Times(f.Value), e.Slope.Times(f.Value).Plus(e.Value.Times(f.Slope))}
}

// Over encloses a quotient.
func (e Enclosure) Over(f Enclosure) Enclosure {
	slope := e.Slope.Times(f.Value).Minus(e.Value.Times(f.Slope)).Over(f.Value.Times(f.Value))
	return Enclosure{e.Value.Over(f.Value), slope}
}

// Within returns the enclosure of the same number of which more is known: it lies in the interval too.
func (e Enclosure) Within(values Interval) Enclosure {
	e.Value = e.Value.meets(values)
	return e
}

// Monotone reports whether the number certainly moves in one direction only, or not at all.
func (e Enclosure) Monotone() bool { return e.Slope.Low >= 0 || e.Slope.High <= 0 }
