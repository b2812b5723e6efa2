package task

import (
	"slices"

	"lull/operators"
)

// Upstream is what a task knows of one of the feeds that its events come from.
type Upstream struct {
	// Feed is the feed's id (FeedID).
	Feed uint64
	// Offset is the input offset of its last event that the task has taken in, -1 before the first: the events of a feed come in the order of its partition.
	Offset int64
	// Watermark is the event time that the feed's partition has certainly reached; Unset if it has not said so yet.
	Watermark operators.EventTime
}

// Relay says how a record came to a task from a feed.
type Relay struct {
	// Feed is the feed's id.
	Feed uint64
	// Offset is that of the event in the feed's partition, -1 for one that was sent again by hand and is not part of the feed's sequence, and for marks.
	Offset int64
	// Cut is set in a mark that says that the feed's log was cut off: it goes on at that offset, with other events. Else it is -1.
	Cut int64
	// Watermark is the feed's when it passed the record on; Unset if it had none.
	Watermark operators.EventTime
}

// SetUpstreams says which feeds the task reads. Time waits for each of them: it is that of the one which is furthest behind. What is known of those that stay
// is kept; those that are left out hold time no more. It does nothing if the task knows that already, and is called between records.
func (t *Task) SetUpstreams(feeds []uint64) {
	m := &t.meta
	known := func(feed uint64) bool { return m.upstream(feed) != nil }
	if len(feeds) == len(m.Upstreams) && !slices.ContainsFunc(feeds, func(f uint64) bool { return !known(f) }) {
		return
	}
	m.Upstreams = slices.DeleteFunc(m.Upstreams, func(u Upstream) bool { return !slices.Contains(feeds, u.Feed) })
	for _, f := range feeds {
		if !known(f) {
			m.Upstreams = append(m.Upstreams, Upstream{Feed: f, Offset: -1, Watermark: operators.Unset})
		}
	}
	m.advanceToUpstreams()
	t.dateQuality()
	t.changed = true
}

// ReadOthers reports whether the task reads other feeds than these, and whether it has heard of one of them.
func (t *Task) ReadOthers(feeds []uint64) (reads, heard bool) {
	for _, u := range t.meta.Upstreams {
		if !slices.Contains(feeds, u.Feed) {
			reads, heard = true, heard || u.Offset >= 0 || u.Watermark != operators.Unset
		}
	}
	return reads, heard
}

// upstream returns what is known of a feed, nil if nothing is.
func (m *Meta) upstream(feed uint64) *Upstream {
	for i := range m.Upstreams {
		if m.Upstreams[i].Feed == feed {
			return &m.Upstreams[i]
		}
	}
	return nil
}

// PassedOf returns up to which offset a feed's records have had their whole effect; ok is false if the task does not read it. While deadlines that come before a record are still being fired, the last is not among
// them: it may be that record.
func (m *Meta) PassedOf(feed uint64) (offset int64, ok bool) {
	u := m.upstream(feed)
	switch {
	case u == nil:
		return 0, false
	case m.Observed == m.Position:
		return u.Offset - 1, true
	}
	return u.Offset, true
}

// Reads reports whether the task reads a feed.
func (t *Task) Reads(feed uint64) bool { return t.meta.upstream(feed) != nil }

// AddUpstream says that the task reads one more feed: its input has been given a partition. Time waits for it from now on.
func (t *Task) AddUpstream(feed uint64) {
	t.meta.Upstreams = append(t.meta.Upstreams, Upstream{Feed: feed, Offset: -1, Watermark: operators.Unset})
	t.changed = true
}

// hear takes in what a record says of its feed, if that is one of the task's: what an input that is no more has left behind must not hold time.
func (m *Meta) hear(r *Relay) {
	u := m.upstream(r.Feed)
	if u == nil {
		return
	}
	u.Offset, u.Watermark = max(u.Offset, r.Offset), max(u.Watermark, r.Watermark)
	if r.Cut >= 0 {
		u.Offset = min(u.Offset, r.Cut-1)
	}
	m.advanceToUpstreams()
}

// advanceToUpstreams moves the watermark to the least of the upstreams', once all have one.
func (m *Meta) advanceToUpstreams() {
	least := operators.Never
	for i := range m.Upstreams {
		least = min(least, m.Upstreams[i].Watermark)
	}
	if least != operators.Never && least != operators.Unset {
		m.advance(least)
	}
}

// again reports whether the event has been taken in before: its feed began anew before the place where it had been.
func (m *Meta) again(r *Relay) bool {
	u := m.upstream(r.Feed)
	return u != nil && r.Offset >= 0 && r.Offset <= u.Offset
}
