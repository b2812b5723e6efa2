package bgnbd

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestFallsBelowClosedForms: where the root is known, it is found to the last digits, with few evaluations.
func TestFallsBelowClosedForms(t *testing.T) {
	for _, c := range []struct {
		name         string
		f            func(float64) float64
		level        float64
		lo, hi, want float64
		callsMax     int
	}{
		{"line", func(T float64) float64 { return 10 - T }, 3, 0, 100, 7, 8},
		{"exponential", func(T float64) float64 { return math.Exp(-T) }, 0.1, 0, 50, math.Ln10, 16},
		{"power law far off", func(T float64) float64 { return math.Pow(1+T/5, -1.5) }, 1e-3, 0, 1e6, 5 * (100 - 1), 40},
		{"steep logistic", func(T float64) float64 { return 1 / (1 + math.Exp(50*(T-12))) }, 0.5, 0, 1000, 12, 30},
		{"at the upper end", func(T float64) float64 { return 10 - T }, 0, 0, 10, 10, 12},
		{"step", func(T float64) float64 {
			if T < math.Pi {
				return 1
			}
			return 0
		}, 0.5, 0, 1000, math.Pi, 64},
		{"flat after the root", func(T float64) float64 {
			if T <= 7 {
				return 1e9 * (7 - T)
			}
			return 1e-9 * (7 - T)
		}, 0, 0, 1000, 7, 100},
		{"flat before the root", func(T float64) float64 {
			if T <= 7 {
				return 1e-9 * (7 - T)
			}
			return 1e9 * (7 - T)
		}, 0, 0, 1000, 7, 100},
	} {
		calls := 0
		got, ok := FallsBelow(func(T float64) float64 { calls++; return c.f(T) }, c.level, c.lo, c.hi)
		if !ok || math.Abs(got-c.want) > 1e-14*c.want {
			t.Errorf("%s: %v, %v, want %v", c.name, got, ok, c.want)
		}
		if calls > c.callsMax {
			t.Errorf("%s: %d evaluations, want at most %d", c.name, calls, c.callsMax)
		}
		t.Logf("%s: %d evaluations", c.name, calls)
	}
}

func TestFallsBelowEnds(t *testing.T) {
	falling := func(T float64) float64 { return -T }
	if _, ok := FallsBelow(falling, -10, 0, 9.99); ok {
		t.Error("found a root beyond the interval")
	}
	if got, ok := FallsBelow(falling, -1, 1, 9); !ok || got != 1 {
		t.Errorf("already below at the start: %v, %v", got, ok)
	}
	if _, ok := FallsBelow(func(float64) float64 { return math.NaN() }, 0, 0, 1); ok {
		t.Error("found a root of NaN")
	}
	constant := func(float64) float64 { return 2 }
	if got, ok := FallsBelow(constant, 2, 3, 9); !ok || got != 3 {
		t.Errorf("equal to the level everywhere: %v, %v", got, ok)
	}
}

// TestFallsBelowKeepsItsPromise: for the quantities that silence moves, however flat or steep, the result is at or below
// the level and the point 4 units before it is not.
func TestFallsBelowKeepsItsPromise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h := drawParams(t), drawHistory(t, 300)
		horizon := drawLog(t, 1, 500, "horizon")
		value := func(T float64) float64 { return p.Expected(History{h.X, h.TX, T}, horizon) }
		level := value(h.TX) * rapid.Float64Range(0.01, 1.1).Draw(t, "level")
		hi := h.TX + drawLog(t, 1e-3, 1e6, "width")
		calls := 0
		got, ok := FallsBelow(func(T float64) float64 { calls++; return value(T) }, level, h.TX, hi)
		if !ok {
			if value(hi) <= level {
				t.Fatal("no root found, but f(hi) is below the level")
			}
			return
		}
		if value(got) > level || got < h.TX || got > hi {
			t.Fatalf("f(%v) = %v is above %v, or outside [%v, %v]", got, value(got), level, h.TX, hi)
		}
		// The value is even to about 1e-12, so that far before the root it must be above the level.
		slope := (value(got) - value(got*(1+1e-6))) / (got * 1e-6)
		before := got - max(16*ulp(got), 1e-11*value(got)/slope)
		if before > h.TX && slope > 0 && value(before) <= level {
			t.Fatalf("f(%v) = %v is not above %v, the root was %v", before, value(before), level, got)
		}
		if calls > 100 {
			t.Fatalf("%d evaluations", calls)
		}
	})
}
