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

	told     []operators.EventTime // the watermark that each partition of the topic events has been told; Unset: none
	markedAt operators.EventTime   // when all were last told
	marking  bool                  // the transaction under way tells those that have not been
}

// relayed is what a feed passes on, and to which partition.
type relayed struct {
	to int
	in input
}

const (
	// markInterval is how often a feed tells all partitions its watermark, if it has events all the time.
	markInterval = operators.EventTime(1000)
	// movedMax is by how much it may move until they are told in any case.
	movedMax = hour
)

func newFeed(at place, partitions int) *feed {
	return &feed{reader: newReader(at), told: slices.Repeat([]operators.EventTime{operators.Unset}, partitions)}
}

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
	if n.w.source(f.topic).waitedFor {
		meta.Gaps = []task.Gap{{Day: operators.Day(start / day)}}
	}
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
		for _, r := range take(f.feed, f.place, &e, held) {
			f.pass(r)
			f.tell(movedMax)
		}
	}
	if idle || n.w.now-f.markedAt >= markInterval {
		f.marking = slices.Min(f.told) < f.feed.Meta().Watermark
	}
}

func (f *feed) pass(r relayed) {
	f.passed, f.told[r.to] = append(f.passed, r), r.in.relay.Watermark
}

// tell marks the time in the partitions to which nothing was passed on while it moved on by so much.
func (f *feed) tell(moved operators.EventTime) {
	reached := f.feed.Meta().Watermark
	for k, told := range f.told {
		if reached != told && (told == operators.Unset || reached >= told+moved) {
			f.mark(k)
		}
	}
}

func (f *feed) mark(k int) {
	f.pass(relayed{k, input{relay: &task.Relay{Feed: feedID(f.place), Offset: -1, Watermark: f.feed.Meta().Watermark}}})
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
	if f.marking {
		f.tell(0)
		f.markedAt = n.w.now
	}
	if len(f.passed) == 0 { // a transaction without a record has no end that is asked for
		f.mark(0)
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
func (f *feed) committed() {
	f.feed.Committed()
	f.passed, f.marking = nil, false
}

// settled reports whether the feed is at its partition's end, which has reached so much, and everybody has been told.
func (f *feed) settled(log *partitionLog, reached operators.EventTime) bool {
	if f.feed == nil || f.feed.Changed() {
		return false
	}
	meta := f.feed.Meta()
	return (len(log.entries) == 0 || meta.Position > log.entries[len(log.entries)-1].offset) && meta.Watermark >= reached && slices.Min(f.told) == meta.Watermark
}

// forget forgets what is not committed, and what is: that is asked for.
func (f *feed) forget() { *f = *newFeed(f.place, len(f.told)) }
