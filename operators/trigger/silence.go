package trigger

import "lull/operators"

// atomsMax bounds the different comparisons with facts that silence moves, in all rules together: a bit each.
const atomsMax = 64

// sight is a view together with the instants of the atoms, each of which is found when it is first asked for.
type sight struct {
	view
	atoms    []atom
	found    uint64
	instants [atomsMax]operators.EventTime
}

// instant returns when silence moves the fact of an atom to its bound.
func (s *sight) instant(i int) operators.EventTime {
	if s.found&(1<<i) == 0 {
		s.found |= 1 << i
		a := &s.atoms[i]
		bound := 0.0
		if a.bound != nil {
			bound = a.bound(s.view)
		}
		s.instants[i] = a.fact.reaches(s.view, bound, a.beyond)
	}
	return s.instants[i]
}

// holds reports whether a condition holds at an instant, if the purchases and the model are those of the view.
func (s *sight) holds(c *condition, at operators.EventTime) bool {
	switch c.op {
	case is:
		return c.fixed(s.view)
	case passed:
		return at >= s.instant(c.atom)
	case not:
		return !s.holds(&c.inside[0], at)
	}
	decides := c.op == or
	for i := range c.inside {
		if s.holds(&c.inside[i], at) == decides {
			return decides
		}
	}
	return !decides
}

// settled reports whether a condition stays what it is at an instant for ever, in silence.
func (s *sight) settled(c *condition, at operators.EventTime) bool {
	switch c.op {
	case is:
		return true
	case passed:
		t := s.instant(c.atom)
		return t <= at || t == operators.Never
	case not:
		return s.settled(&c.inside[0], at)
	}
	all := true
	for i := range c.inside {
		if !s.settled(&c.inside[i], at) {
			all = false
		} else if s.holds(&c.inside[i], at) == (c.op == or) {
			return true
		}
	}
	return all
}

// turn returns the first instant after one at which a condition may change in silence; Never if there is none.
func (s *sight) turn(c *condition, after operators.EventTime) operators.EventTime {
	if c == nil || s.settled(c, after) {
		return operators.Never
	}
	if c.op == passed {
		return s.instant(c.atom)
	}
	next := operators.Never
	for i := range c.inside {
		next = min(next, s.turn(&c.inside[i], after))
	}
	return next
}

// latest returns the last instant up to one, and after another, at which a condition may have changed; Unset if there is none.
func (s *sight) latest(c *condition, after, until operators.EventTime) operators.EventTime {
	if c.op == passed {
		if t := s.instant(c.atom); t > after && t <= until {
			return t
		}
	}
	last := operators.Unset
	for i := range c.inside {
		last = max(last, s.latest(&c.inside[i], after, until))
	}
	return last
}

// became returns the instant at which a condition that holds at one has begun to, in the silence since the last purchase; ok is false if it has held all through it.
func (s *sight) became(c *condition, at operators.EventTime) (began operators.EventTime, ok bool) {
	start := s.lastStart()
	for t := s.latest(c, start, at); t != operators.Unset; t = s.latest(c, start, t-1) {
		if !s.holds(c, t-1) {
			return t, true
		}
	}
	return at, false
}
