// Package session divides a customer's activity into sessions: runs of events with gaps below the inactivity gap.
//
// Events may come in any order within the allowed lateness: they extend a session, join one, or join two to one. A session is output when the
// watermark has passed its end by the gap, since no event can change it any more then. Events from before the watermark touch no session,
// so that any arrival order within the lateness gives the same sessions.
package session

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"lull/operators"
)

// Config says what a session is.
type Config struct {
	// GapMs is the inactivity, in milliseconds, that ends a session: two events exactly this far apart are two sessions. The default is
	// 1,800,000 (30 min).
	GapMs int64
	// SessionsMax is the number of sessions that a customer can have open. An event that would open one more is in no session: it is
	// rejected with reason "session_limit", except an order, which is a fact and goes on to the ledger. Events in step with the watermark
	// open at most 2 + lateness / gap sessions at once. The default is 8.
	SessionsMax int
	// PageBytesMax is the length in bytes up to which a session keeps the names of its first and last page; longer ones are cut after a
	// whole character. The default is 256.
	PageBytesMax int
}

// EnsureDefaults sets the fields that are zero to their defaults.
func (c *Config) EnsureDefaults() {
	if c.GapMs == 0 {
		c.GapMs = 1_800_000
	}
	if c.SessionsMax == 0 {
		c.SessionsMax = 8
	}
	if c.PageBytesMax == 0 {
		c.PageBytesMax = 256
	}
}

// Validate returns an error that names the field, its value and the rule it breaks.
func (c *Config) Validate() error {
	if c.GapMs < 1 || c.GapMs > 366*operators.DayMs {
		return fmt.Errorf("session: GapMs is %d; it must be 1 to %d (366 days)", c.GapMs, int64(366*operators.DayMs))
	}
	if c.SessionsMax < 1 || c.SessionsMax > 1024 {
		return fmt.Errorf("session: SessionsMax is %d; it must be 1 to 1024", c.SessionsMax)
	}
	if c.PageBytesMax < 1 || c.PageBytesMax > 4096 {
		return fmt.Errorf("session: PageBytesMax is %d; it must be 1 to 4096", c.PageBytesMax)
	}
	return nil
}

// Operator keeps the open sessions, Customer.Sessions: sorted by Start, the next one's Start at least the gap after the last one's End.
type Operator struct {
	gap    operators.EventTime
	config Config
}

// New returns the operator; the config is complete and valid.
func New(config Config) *Operator {
	return &Operator{gap: operators.EventTime(config.GapMs), config: config}
}

// Name returns "session".
func (*Operator) Name() string { return "session" }

// Deadline returns the end of the first open session.
func (op *Operator) Deadline(c *operators.Customer) (operators.EventTime, operators.Release) {
	if len(c.Sessions) == 0 {
		return operators.Never, operators.ByWatermark
	}
	return c.Sessions[0].End + op.gap, operators.ByWatermark
}

// Step puts an event into its session, or ends the sessions that a deadline ends.
func (op *Operator) Step(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	switch in.Kind {
	case operators.EventInput:
		if in.Event.Kind.InSession() && in.Event.Time >= env.Watermark {
			op.add(c, in.Event, out)
		}
	case operators.DeadlineInput:
		// The deadline may be another operator's, released by an event ahead of the watermark.
		op.end(c, min(in.At, env.Watermark), out)
	}
}

// end outputs the sessions that are over at an instant.
func (op *Operator) end(c *operators.Customer, at operators.EventTime, out *operators.Outbox) {
	n := 0
	for n < len(c.Sessions) && c.Sessions[n].End+op.gap <= at {
		out.Session(c.Sessions[n])
		n++
	}
	c.Sessions = slices.Delete(c.Sessions, 0, n)
}

// add puts an event into the session it belongs to, which may be new, and makes one of two that it joins.
func (op *Operator) add(c *operators.Customer, e *operators.Event, out *operators.Outbox) {
	// i is the first session that does not lie before the event by the gap: the event's own, unless that lies behind it by the gap.
	i := len(c.Sessions)
	for i > 0 && e.Time < c.Sessions[i-1].End+op.gap {
		i--
	}
	if i == len(c.Sessions) || c.Sessions[i].Start-e.Time >= op.gap {
		if len(c.Sessions) >= op.config.SessionsMax {
			if !e.Kind.Fact() {
				out.Reject("session_limit", fmt.Sprintf("the customer has %d open sessions, the limit: raise limits.open_sessions, or mend the times of their events", len(c.Sessions)))
			}
			return
		}
		c.Sessions = slices.Insert(c.Sessions, i, operators.Session{
			Start: e.Time, End: e.Time, FirstPageAt: operators.Unset, LastPageAt: operators.Unset,
		})
	}
	s := &c.Sessions[i]
	op.count(s, e)
	if i+1 < len(c.Sessions) && c.Sessions[i+1].Start-s.End < op.gap {
		join(s, &c.Sessions[i+1])
		c.Sessions = slices.Delete(c.Sessions, i+1, i+2)
	}
}

// count adds an event to a session.
func (op *Operator) count(s *operators.Session, e *operators.Event) {
	s.Start, s.End = min(s.Start, e.Time), max(s.End, e.Time)
	s.Counts[e.Kind]++
	switch e.Kind {
	case operators.PageViewed, operators.ScreenViewed:
		name := cut(e.Name, op.config.PageBytesMax)
		first(s, name, e.Time)
		last(s, name, e.Time)
	case operators.Tracked:
		s.Cart += products(e.Name)
	}
}

// products returns by how many products a track event of this name changes the cart: the names of Segment's e-commerce specification, its
// version 2 and its first.
func products(name string) int32 {
	switch name {
	case "Product Added", "Added Product":
		return 1
	case "Product Removed", "Removed Product":
		return -1
	}
	return 0
}

// join adds the events of a later session to s.
func join(s, later *operators.Session) {
	s.End = later.End
	for kind, n := range later.Counts {
		s.Counts[kind] += n
	}
	s.Cart += later.Cart
	if later.FirstPageAt == operators.Unset {
		return
	}
	first(s, later.FirstPage, later.FirstPageAt)
	last(s, later.LastPage, later.LastPageAt)
}

// first makes a page the session's first if it is: the least by time, then name.
func first(s *operators.Session, name string, at operators.EventTime) {
	if s.FirstPageAt == operators.Unset || at < s.FirstPageAt || at == s.FirstPageAt && name < s.FirstPage {
		s.FirstPage, s.FirstPageAt = name, at
	}
}

// last makes a page the session's last if it is: the greatest by time, then name.
func last(s *operators.Session, name string, at operators.EventTime) {
	if at > s.LastPageAt || at == s.LastPageAt && name > s.LastPage {
		s.LastPage, s.LastPageAt = name, at
	}
}

// cut returns the whole characters of name within a number of bytes, without the memory of the rest.
func cut(name string, bytesMax int) string {
	if len(name) <= bytesMax {
		return name
	}
	for bytesMax > 0 && !utf8.RuneStart(name[bytesMax]) {
		bytesMax--
	}
	return strings.Clone(name[:bytesMax])
}
