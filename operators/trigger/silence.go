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
	// What is known of the comparisons among the atoms that have no instant but turns; nil before any is asked for.
	search *search
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
	case turning:
		return s.compares(c.atom, at)
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
	case turning:
		return at >= s.lastStart()+silenceMax
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

// turn is an instant at which a condition may change in silence; or, if open, one up to which it does not, and from which to look on.
type turn struct {
	at   operators.EventTime
	open bool
}

// before reports whether a turn is before another, or tells more of the same instant.
func (t turn) before(u turn) bool { return t.at < u.at || t.at == u.at && !t.open && u.open }

// turn returns the first instant after one at which a condition may change in silence; Never if there is none. Of what is joined by and, nothing changes while one part stays false: the
// others are not asked, and so with or.
func (s *sight) turn(c *condition, after operators.EventTime) turn {
	next := turn{at: operators.Never}
	if c == nil || s.settled(c, after) {
		return next
	}
	switch c.op {
	case passed:
		return turn{at: s.instant(c.atom)}
	case turning:
		at, open := s.turns(c.atom, after)
		return turn{at, open}
	}
	for i := range c.inside {
		if c.op != not && s.holds(&c.inside[i], after) == (c.op == or) {
			return s.turn(&c.inside[i], after)
		}
	}
	for i := range c.inside {
		if t := s.turn(&c.inside[i], after); t.before(next) {
			next = t
		}
	}
	return next
}

// latest returns the last instant up to one, and after another, at which a condition may have changed; Unset if there is none.
func (s *sight) latest(c *condition, after, until operators.EventTime) operators.EventTime {
	switch {
	case after >= until:
		return operators.Unset
	case c.op == passed:
		if t := s.instant(c.atom); t > after && t <= until {
			return t
		}
	case c.op == turning:
		return s.turned(c.atom, after, until)
	}
	last := operators.Unset
	for i := range c.inside {
		last = max(last, s.latest(&c.inside[i], max(after, last), until))
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

// fulfils reports whether a rule's condition holds at an instant, and nothing holds it back.
func (s *sight) fulfils(r *Rule, at operators.EventTime) bool {
	return s.holds(r.when, at) && (r.hold == nil || !s.holds(r.hold, at))
}
