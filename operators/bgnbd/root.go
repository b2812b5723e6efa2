package bgnbd

import "math"

// rootBracketUlps is the width, in units of the last place, at which FallsBelow stops.
const rootBracketUlps = 4

// FallsBelow returns the smallest T in [lo, hi] with f(T) <= level, for an f that does not grow; ok is false if there is
// none, that is if f(hi) is above the level. f is called 2 to some 30 times if it is smooth, and as often as by bisection or a
// third more, 60 to 80 times, if it jumps or has a sharp bend.
//
// The guarantee holds also when rounding makes f uneven: f(T) <= level as computed, and either T is lo or f is above the
// level at some point at most 4 units in the last place before T.
//
// The method is Chandrupatla's (1997), A new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear
// function without using derivatives, Advances in Engineering Software 28: inverse quadratic interpolation where three
// points say that it is safe, else bisection.
func FallsBelow(f func(T float64) float64, level, lo, hi float64) (T float64, ok bool) {
	below := hi // f(below) <= level
	fBelow := f(below) - level
	if !(fBelow <= 0) {
		return 0, false
	}
	above := lo // f(above) > level
	fAbove := f(above) - level
	if fAbove <= 0 {
		return above, true
	}
	fraction := 0.5 // where to look next, from newest towards the other end
	reach := 1.0    // how far from an end to look at least, in units of the resolution
	newest, fNewest, other, fOther := below, fBelow, above, fAbove
	for {
		width := below - above
		resolution := rootBracketUlps * 0.5 * ulp(below)
		if width <= 2*resolution {
			return below, true
		}
		least := min(reach*resolution/width, 0.5)
		atEnd := !(least < fraction && fraction < 1-least)
		x := newest + float64(min(max(fraction, least), 1-least)*(other-newest))
		if !(above < x && x < below) {
			return below, true
		}
		fx := f(x) - level
		previous, fPrevious := newest, fNewest // the point that leaves the bracket
		if (fx <= 0) != (fNewest <= 0) {
			previous, fPrevious = other, fOther
			other, fOther = newest, fNewest
		}
		newest, fNewest = x, fx
		if fx <= 0 {
			below = x
		} else {
			above = x
		}
		// A look just inside an end should leave a sliver. Where it leaves the rest instead, as on the plateau that
		// rounding makes of f around the level, the next one goes further.
		if atEnd && below-above > width/2 {
			reach *= 4
		} else if atEnd {
			reach = 1
		}
		fraction = interpolate(newest, fNewest, other, fOther, previous, fPrevious)
	}
}

// interpolate returns where between a (0) and b (1) the inverse parabola through three points has its zero, or 0.5 where
// Chandrupatla's criterion finds that parabola not monotone.
func interpolate(a, fa, b, fb, c, fc float64) float64 {
	xi := (a - b) / (c - b)
	phi := (fa - fb) / (fc - fb)
	if !(float64(phi*phi) < xi && float64((1-phi)*(1-phi)) < 1-xi) {
		return 0.5
	}
	return float64(fa/(fb-fa)*(fc/(fb-fc))) + float64((c-a)/(b-a)*(fa/(fc-fa))*(fb/(fc-fb)))
}

// ulp returns the distance from |x| to the next greater float64.
func ulp(x float64) float64 {
	x = math.Abs(x)
	return math.Nextafter(x, math.Inf(1)) - x
}
