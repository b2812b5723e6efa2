package sim

import (
	"cmp"
	"maps"
	"slices"

	"lull/operators"
	"lull/pipeline/task"
)

// feed is the first stage of a partition of an input in a node's hands.
type feed struct {
	reader
	feed   *task.Feed // nil: what it goes on from is not known yet
	passed []relayed  // in the transaction under way

	marked   operators.EventTime // the watermark that all partitions have been told, in committed transactions; Unset: none
	markedAt operators.EventTime
	marking  bool // the transaction under way tells them
}

// relayed is what a feed passes on, and to which partition.
type relayed struct {
	to int
	in input
}

// markInterval is how often a feed tells all partitions its watermark, if it has events all the time.
const markInterval = operators.EventTime(1000)

func newFeed(at place) *feed { return &feed{reader: newReader(at), marked: operators.Unset} }

// inputID is what stands for Kafka's id of an input topic.
func inputID(t topic) [16]byte { return [16]byte{byte(t) + 1} }

func feedID(at place) uint64 { return task.FeedID(inputID(at.topic), int32(at.n)) }

// upstreams returns the feeds that the tasks read.
func (w *world) upstreams() (ids []uint64) {
	for _, at := range w.inputPlaces() {
		ids = append(ids, feedID(at))
	}
	return ids
}

func (n *node) sortedFeeds() []*feed {
	return slices.SortedFunc(maps.Values(n.feeds), func(a, b *feed) int { return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.n, b.n)) })
}

// changedFeeds returns those of which the transaction has a position, or the time.
func (n *node) changedFeeds() []*feed {
	return slices.DeleteFunc(n.sortedFeeds(), func(f *feed) bool { return f.feed == nil || !f.feed.Changed() && !f.marking })
}

// resume lets a feed go on from the committed offset and its metadata, once no transaction can change them any more.
func (n *node) resume(f *feed) {
	n.at()
	var at position
	if n.w.b.pending(f.place) || n.w.request(func() error { at = n.w.b.offset(f.place); return nil }) != nil {
		return
	}
	meta := task.NewFeedMeta(0, inputID(f.topic))
	if at.offset >= 0 {
		var err error
		if meta, err = task.DecodeFeedMeta(at.metadata); err != nil || meta.Position != at.offset || meta.InputID != inputID(f.topic) {
			n.w.violate("I20: %s is to go on at %d, by its metadata at %d of topic %x (%v)", f.place, at.offset, meta.Position, meta.InputID, err)
		}
	}
	f.feed = task.NewFeed(n.w.opt.Task, meta)
	f.stage, f.fetched = f.feed, meta.Position
	n.clocked(f.topic).clock.Learn(&meta.Time)
}

// applyFeed passes on what is queued, and decides whether all partitions are to be told the time.
func (n *node) applyFeed(f *feed, b *task.Budget) {
	if f.clock != operators.Unset {
		f.note.clock, f.note.at = f.clock, n.w.now
		f.feed.AdvanceClock(f.clock)
		f.clock = operators.Unset
	}
	idle := len(f.queue) == 0
	for len(f.queue) > 0 && !b.Expired() {
		e := f.queue[0]
		f.queue = f.queue[1:]
		if e.offset < f.feed.Position() {
			continue
		}
		held := n.holdsTime(f.topic, &e)
		f.note.timeless[e.offset] = held
		f.passed = append(f.passed, take(f.feed, f.place, &e, held)...)
	}
	told := f.feed.Meta().Watermark == f.marked
	f.marking = !told && (idle || n.w.now-f.markedAt >= markInterval)
}

// take lets a feed take an entry of its partition, and returns what it passes on of it.
func take(f *task.Feed, at place, e *entry, held bool) []relayed {
	in, _ := e.payload.(input)
	switch {
	case in.event != nil:
		f.HoldTime(held)
		f.Take(e.offset, in.event)
		relay := &task.Relay{Feed: feedID(at), Offset: e.offset, Watermark: f.Meta().Watermark}
		return []relayed{{partitionOf(in.event.Customer), input{event: in.event, relay: relay}}}
	case in.mark != 0:
		f.Mark(e.offset, in.mark)
	default: // a marker, or none of ours
		f.Skip(e.offset)
	}
	return nil
}

// passOn produces what the transaction passes on.
func (n *node) passOn(f *feed) error {
	if f.marking || len(f.passed) == 0 {
		for k := range n.w.opt.Partitions {
			f.passed = append(f.passed, relayed{k, input{relay: &task.Relay{Feed: feedID(f.place), Offset: -1, Watermark: f.feed.Meta().Watermark}}})
		}
		f.marking = true
	}
	for _, r := range f.passed {
		r.in.at = n.w.now
		if err := n.send(place{eventsTopic, r.to}, entry{payload: r.in}, nil); err != nil {
			return err
		}
	}
	return nil
}

// committed ends a transaction that is durable.
func (f *feed) committed(now operators.EventTime) {
	if f.marking {
		f.marked, f.markedAt, f.marking = f.feed.Meta().Watermark, now, false
	}
	f.feed.Committed()
	f.passed = nil
}

// settled reports whether the feed is at its partition's end, which has reached so much, and everybody has been told.
func (f *feed) settled(log *partitionLog, reached operators.EventTime) bool {
	if f.feed == nil || f.feed.Changed() {
		return false
	}
	meta := f.feed.Meta()
	return (len(log.entries) == 0 || meta.Position > log.entries[len(log.entries)-1].offset) && meta.Watermark >= reached && f.marked == meta.Watermark
}

// forget forgets what is not committed, and what is: that is asked for.
func (f *feed) forget() { *f = *newFeed(f.place) }
