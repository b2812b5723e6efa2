package trigger

import (
	"math"

	"lull/operators"
)

// comparison is one of numbers of which silence moves more than one, or one both ways: it has no closed form, and may turn more than once.
type comparison struct {
	left, right numeric
	holds       func(left, right float64) bool
	of          operators.Measures
	constants   []func(view) float64 // in it
	source      string
}

// undefined reports whether the comparison speaks of 0/0, and so holds at no instant.
func (c *comparison) undefined(v view) bool {
	for _, constant := range c.constants {
		if math.IsNaN(constant(v)) {
			return true
		}
	}
	return false
}

// alike is how much of their terms two sides may differ by and still be equal: what rounding makes of numbers that are the same by their meaning, such as churn_risk + p_alive and 1, is no
// turn. It moves the others by less than a thousandth of a millisecond, unless they are as flat as at a peak.
const alike = 0x1p-48

// difference returns what decides the comparison, left − right, and what difference is none.
func (c *comparison) difference(v view) (difference, none float64) {
	difference, none = c.left.is(v)-c.right.is(v), alike*max(c.left.size(v), c.right.size(v))
	if !(none < math.Inf(1)) { // 1/0
		none = 0
	}
	return difference, none
}

// holdsIn reports whether the comparison holds.
func (c *comparison) holdsIn(v view) bool {
	difference, none := c.difference(v)
	if math.Abs(difference) <= none {
		difference = 0
	}
	return c.holds(difference, 0)
}

// stretch is a part of a silence throughout which a comparison is what it is at its start. At its end it turns, or the search goes on there.
type stretch struct {
	start, end operators.EventTime // end is not part of it, unless open
	is, open   bool
	known      bool
}

const (
	// looksMax bounds the brackets that one search looks at.
	looksMax = 48
	// off times what is none is what the numbers at a moment may be off by.
	off = 100
	// stuckMax bounds them where the search gets nowhere: each bracket may be a small part of the way to a turn only, and where the sides are the same all the time nothing leads anywhere.
	stuckMax = 480
	// searchesBackMax bounds the searches for when a comparison that holds came to do so.
	searchesBackMax = 16
	// aheadMin is how far ahead of an instant one search looks at least, as a share of the horizon: as far as the silence has lasted, up to the horizon. Most customers buy again before
	// there is a turn, and are not to cost more than it takes to know that there is none for now.
	aheadMin = 1.0 / 12
	// progressMin is how far one search goes at least, as a share of the silence so far, and no less than an hour.
	progressMin   = 1.0 / 64
	progressMinMs = 3_600_000
	// silenceMax is how long a silence is followed: 100 years, as score does.
	silenceMax = 36_525 * operators.DayMs
)

// compares reports whether a comparison holds at an instant.
func (s *sight) compares(i int, at operators.EventTime) bool {
	if known := s.stretch(i); known.known && at >= known.start && at <= known.end {
		return known.is == (at < known.end || known.open)
	}
	c := s.atoms[i].comparison
	v := s.view
	if at != v.f.AsOf {
		m := &s.search.moments[2]
		*m = s.scores.Moment(s.p, s.m, at, c.of)
		v.f = &m.Facts
	}
	return c.holdsIn(v)
}

// search is the memory of searches, made when the first is asked for.
type search struct {
	stretches []stretch
	moments   [3]operators.Moment // two ends, and what is between them
}

func (s *sight) stretch(i int) *stretch {
	if s.search == nil {
		s.search = &search{stretches: make([]stretch, len(s.atoms))}
	}
	return &s.search.stretches[i]
}

// turns returns the first instant after one at which a comparison turns in silence; or, if open, one up to which it certainly does not, and from which to go on.
func (s *sight) turns(i int, after operators.EventTime) (at operators.EventTime, open bool) {
	known := s.stretch(i)
	if !known.known || after < known.start || after >= known.end {
		end := s.lastStart() + silenceMax
		if after >= end || s.atoms[i].comparison.undefined(s.view) {
			return operators.Never, false
		}
		from := max(after, s.lastStart()) // before it nothing moves
		horizon := s.terms.HorizonDays * operators.DayMs
		to := min(end, from+operators.EventTime(min(horizon, max(horizon*aheadMin, float64(from-s.lastStart())))))
		*known = stretch{start: after, is: s.compares(i, after), known: true}
		found := false
		known.end, found = s.nearest(i, from, to)
		known.open = !found
	}
	return known.end, known.open
}

// turned returns the last instant up to one, and after another, at which a comparison turned; Unset if there is none, or none is found in a bounded number of searches. That many are not needed
// but of sides that are nearly the same all the time.
func (s *sight) turned(i int, after, until operators.EventTime) operators.EventTime {
	if s.atoms[i].comparison.undefined(s.view) {
		return operators.Unset
	}
	after = max(after, s.lastStart())
	at := until
	for searches := 0; at > after && searches < searchesBackMax; searches++ {
		if s.compares(i, at-1) != s.compares(i, at) {
			return at
		}
		found := false
		if at, found = s.nearest(i, at, after); found {
			return at + 1
		}
	}
	return operators.Unset
}

// nearest goes from an instant towards another, which may lie before it, and returns the first one that it comes to at which a comparison is not what it is at the start. If it has found
// none when it has looked often enough, or is there, it returns the instant up to which there is none.
//
// It proves that between two instants nothing turns, by what is known of the facts' courses: the difference keeps away from 0; or it moves in one direction only, so that it turns once if
// the ends differ, and not if they do not. What cannot be proven so is halved, down to a millisecond. Where the two sides are the same but for what their numbers are off by, and so
// nothing is proven, it goes on a little way all the same: what it finds there is a turn, but may not be the first.
func (s *sight) nearest(i int, from, to operators.EventTime) (at operators.EventTime, found bool) {
	c := s.atoms[i].comparison
	s.stretch(i)
	w := walk{s, c}
	a, b := &s.search.moments[0], &s.search.moments[1]
	w.look(a, from)
	was := w.holds(a)
	step := to - from
	for looks := 0; a.Facts.AsOf != to; looks++ {
		here := a.Facts.AsOf
		length, least := max(here-from, from-here), w.least(from)
		if looks >= looksMax && length >= least {
			return here, false
		}
		if looks == stuckMax {
			at := to
			if max(to-from, from-to) > least {
				at = from + least
				if to < from {
					at = from - least
				}
			}
			w.look(b, at)
			switch {
			case !w.alike(a) || !w.alike(b):
				return here, false
			case w.holds(b) != was:
				return w.between(a, b), true
			}
			return at, false
		}
		if step < 0 && here+step < to || step > 0 && here+step > to {
			step = to - here
		}
		w.look(b, here+step)
		switch differs := w.holds(b) != was; {
		case step != 1 && step != -1 && !w.clear(a, b):
			step /= 2
		case differs:
			return w.between(a, b), true
		default:
			a, b = b, a
			step *= 2
		}
	}
	return a.Facts.AsOf, false
}

// walk is the search for a turn of one comparison.
type walk struct {
	s *sight
	c *comparison
}

// look makes m the moment of an instant.
func (w *walk) look(m *operators.Moment, at operators.EventTime) {
	*m = w.s.scores.Moment(w.s.p, w.s.m, at, w.c.of)
}

// seen returns the view of a moment.
func (w *walk) seen(m *operators.Moment) view {
	v := w.s.view
	v.f = &m.Facts
	return v
}

func (w *walk) holds(m *operators.Moment) bool {
	return w.c.holdsIn(w.seen(m))
}

// alike reports whether the sides are the same at a moment, but for what their numbers may be off by.
func (w *walk) alike(m *operators.Moment) bool {
	d, none := w.c.difference(w.seen(m))
	return math.Abs(d) <= off*none
}

// least returns how far a search goes at least where the sides are alike.
func (w *walk) least(from operators.EventTime) operators.EventTime {
	return max(progressMinMs, operators.EventTime(progressMin*float64(from-w.s.lastStart())))
}

// clear reports whether the comparison certainly turns at most once between two moments, and not at all if it is the same at both.
func (w *walk) clear(a, b *operators.Moment) bool {
	if b.Facts.AsOf < a.Facts.AsOf {
		a, b = b, a
	}
	if e := w.enclose(a, b); e.Monotone() || w.settled(e, a, b) {
		return true
	}
	w.s.scores.FindSlopes(w.s.p, w.s.m, w.c.of, a, b)
	e := w.enclose(a, b)
	return e.Monotone() || w.settled(e, a, b)
}

func (w *walk) enclose(a, b *operators.Moment) operators.Enclosure {
	of := course{w.s.view, a, b}
	return w.c.left.over(of).Minus(w.c.right.over(of))
}

// settled reports whether the difference certainly keeps away from 0 between two moments, or certainly is none throughout.
func (w *walk) settled(e operators.Enclosure, a, b *operators.Moment) bool {
	const off = 1000 // times what is none: by so much the numbers at the two moments may be off
	from, none := w.c.difference(w.seen(a))
	to, noneThen := w.c.difference(w.seen(b))
	away := off * max(none, noneThen)
	low, high := e.Value.Low, e.Value.High
	if least, most := e.Slope.Low, e.Slope.High; least < 0 && most > 0 && !math.IsInf(least, 0) && !math.IsInf(most, 0) {
		// There and back as fast as it can.
		days, wide := b.Facts.Age-a.Facts.Age, most-least
		low = max(low, (float64(most*from)-float64(least*to)+float64(least*most*days))/wide)
		high = min(high, (float64(most*to)-float64(least*from)-float64(least*most*days))/wide)
	}
	none = min(none, noneThen)
	return low > away || high < -away || low >= -none && high <= none
}

// between returns an instant between two moments at which the comparison is what it is at the second, and, a millisecond nearer to the first, what it is there.
func (w *walk) between(a, b *operators.Moment) operators.EventTime {
	m := &w.s.search.moments[2]
	near, far := a.Facts.AsOf, b.Facts.AsOf
	was := w.holds(a)
	dNear, _ := w.c.difference(w.seen(a))
	dFar, _ := w.c.difference(w.seen(b))
	for looks := 0; far-near > 1 || near-far > 1; looks++ {
		width := float64(far - near)
		share := 0.5
		if zero := dNear / (dNear - dFar); looks%3 < 2 && zero >= 0 && zero <= 1 { // where a straight line would be 0, then a little beyond, so that both ends come near; else the middle
			share = zero * [...]float64{1, 1.001}[looks%3]
		}
		step := operators.EventTime(share * width)
		if one := operators.EventTime(math.Copysign(1, width)); step == 0 {
			step = one
		} else if (far-near-step)*one <= 0 {
			step = far - near - one
		}
		w.look(m, near+step)
		if w.holds(m) == was {
			near = m.Facts.AsOf
			dNear, _ = w.c.difference(w.seen(m))
		} else {
			far = m.Facts.AsOf
			dFar, _ = w.c.difference(w.seen(m))
		}
	}
	return far
}

// course is a stretch of a customer's silence, from one moment to a later one.
type course struct {
	view
	from, to *operators.Moment
}
