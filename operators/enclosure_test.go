package operators_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
)

// TestEnclosures: what is done with enclosures encloses what is done with the numbers, and with their slopes, also where it divides by 0, or ∞ takes part.
func TestEnclosures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type number struct {
			is, slope float64
			within    operators.Enclosure
		}
		draw := func(name string) number {
			one := func(name string) (is float64, within operators.Interval) {
				is = rapid.SampledFrom([]float64{0, 1, -1, 1e-300, 1e300, rapid.Float64Range(-10, 10).Draw(t, name)}).Draw(t, name)
				margin := func() float64 {
					return rapid.SampledFrom([]float64{0, 1e-12, 0.5, 3, math.Inf(1)}).Draw(t, name)
				}
				return is, operators.Interval{Low: is - margin(), High: is + margin()}
			}
			var n number
			n.is, n.within.Value = one(name)
			n.slope, n.within.Slope = one(name + "'s slope")
			return n
		}
		a, b := draw("a"), draw("b")
		for _, v := range []struct {
			name string
			got  operators.Enclosure
			want number
		}{
			{"a sum", a.within.Plus(b.within), number{is: a.is + b.is, slope: a.slope + b.slope}},
			{"a difference", a.within.Minus(b.within), number{is: a.is - b.is, slope: a.slope - b.slope}},
			{"a product", a.within.Times(b.within), number{is: a.is * b.is, slope: a.slope*b.is + a.is*b.slope}},
			{"a quotient", a.within.Over(b.within), number{is: a.is / b.is, slope: (a.slope*b.is - a.is*b.slope) / (b.is * b.is)}},
		} {
			holds := func(n float64, in operators.Interval) bool { return math.IsNaN(n) || in.Low <= n && n <= in.High }
			if !holds(v.want.is, v.got.Value) || !holds(v.want.slope, v.got.Slope) {
				t.Errorf("%s of %+v and %+v: %+v is outside of %+v", v.name, a, b, v.want, v.got)
			}
		}
	})
	if e := operators.Fixed(3); !(e.Value == operators.Interval{Low: 3, High: 3}) || !e.Monotone() {
		t.Errorf("3 is %+v", e)
	}
	if e := operators.Fixed(math.NaN()); e.Value != operators.Anything || e.Monotone() {
		t.Errorf("NaN is %+v", e)
	}
}
