package sim

import (
	"maps"
	"reflect"
	"slices"

	"lull/operators"
	"lull/pipeline/task"
)

// path is the way from a feed to a partition of the topic events.
type path struct {
	feed uint64
	to   int
}

// checkStage: I20, and of the feeds I4, I10, I12 and I13. What the inputs hold is in the topic events, each event once, in the partition of its customer, those of a
// feed in its order and with the time that it had come to; and the metadata of the committed offsets is what an undisturbed feed remembers.
func (w *world) checkStage() {
	w.Stats.Passed = 0
	want, reached := map[path][]input{}, map[uint64]operators.EventTime{}
	for _, at := range w.inputPlaces() {
		steps := w.b.history[at]
		w.Stats.Transactions += len(steps)
		w.checkSteps(at, steps)
		f := w.undisturbedFeed(at, steps, want)
		committed := w.b.offset(at)
		meta, err := task.DecodeFeedMeta(committed.metadata)
		if err != nil || meta.Position != committed.offset || meta.Position != f.Position() || meta.InputID != inputID(at.topic) ||
			meta.Watermark != f.Meta().Watermark || !slices.Equal(meta.Ahead, f.Meta().Ahead) {
			w.violate("I20: %s: with offset %d is committed %+v, an undisturbed feed remembers %+v (%v)", at, committed.offset, meta, *f.Meta(), err)
		}
		reached[feedID(at)] = meta.Watermark
	}
	for n := range w.b.logs[eventsTopic] {
		w.checkPassed(n, want, reached)
		w.checkUpstreams(n, w.b.history[place{eventsTopic, n}])
	}
}

// undisturbedFeed runs a partition's log through a feed to which nothing happens, and adds what it passes on to want.
func (w *world) undisturbedFeed(at place, steps []note, want map[path][]input) *task.Feed {
	f := task.NewFeed(w.opt.Task, task.NewFeedMeta(0, inputID(at.topic)))
	records := w.b.log(at).read(0, 1<<30)
	for _, s := range steps {
		if s.clock != operators.Unset {
			f.AdvanceClock(s.clock)
		}
		for len(records) > 0 && records[0].offset < s.to {
			for _, r := range take(f, at, &records[0], s.timeless[records[0].offset]) {
				way := path{feedID(at), r.to}
				want[way] = append(want[way], r.in)
			}
			records = records[1:]
		}
	}
	if len(records) > 0 {
		w.violate("I20: %s: nobody has taken offset %d", at, records[0].offset)
	}
	return f
}

// checkPassed checks what has been passed on to a partition, and the time that it has been told.
func (w *world) checkPassed(n int, want map[path][]input, reached map[uint64]operators.EventTime) {
	got, told := map[path][]input{}, map[uint64]operators.EventTime{}
	for _, e := range w.b.logs[eventsTopic][n].read(0, 1<<30) {
		in, ok := e.payload.(input)
		if !ok {
			continue
		}
		feed := in.relay.Feed
		if was, known := told[feed]; known && in.relay.Watermark < was {
			w.violate("I20: partition %d, offset %d: the watermark of a feed goes back from %s to %s", n, e.offset, was, in.relay.Watermark)
		}
		told[feed] = in.relay.Watermark
		if in.event != nil {
			w.Stats.Passed++
			in.at = 0
			got[path{feed, n}] = append(got[path{feed, n}], in)
		}
	}
	for _, feed := range w.upstreams() {
		way := path{feed, n}
		for i := range max(len(got[way]), len(want[way])) {
			if i >= len(got[way]) || i >= len(want[way]) || !reflect.DeepEqual(got[way][i], want[way][i]) {
				w.violate("I20: partition %d: feed %x has passed on %d events, not %d; the %dth is another", n, feed, len(got[way]), len(want[way]), i+1)
				break
			}
		}
		if told[feed] != reached[feed] {
			w.violate("I20: partition %d has been told of a feed that it reached %s, not %s", n, told[feed], reached[feed])
		}
	}
}

// checkUpstreams: I20. A task's time is never beyond that of the feed which is furthest behind, as far as it has read, and late is only what its own feed has left behind.
func (w *world) checkUpstreams(n int, steps []note) {
	records := w.b.logs[eventsTopic][n].read(0, 1<<30)
	heard := map[uint64]operators.EventTime{}
	for _, feed := range w.upstreams() {
		heard[feed] = operators.Unset
	}
	outcomes := map[int64]task.Outcome{}
	for _, s := range steps {
		maps.Copy(outcomes, s.outcomes)
	}
	for _, s := range steps {
		for ; len(records) > 0 && records[0].offset <= max(s.to, s.heard); records = records[1:] { // one at the position may have been begun
			in, ok := records[0].payload.(input)
			if !ok {
				continue
			}
			heard[in.relay.Feed] = in.relay.Watermark
			if outcomes[records[0].offset] == task.Late && in.event.Time >= in.relay.Watermark {
				w.violate("I20: partition %d: offset %d is late, and its feed had reached %s only", n, records[0].offset, in.relay.Watermark)
			}
		}
		least := operators.Never
		for _, watermark := range heard {
			least = min(least, watermark)
		}
		if s.watermark > least {
			w.violate("I20: partition %d: at position %d time is %s, and a feed has reached %s only", n, s.to, s.watermark, least)
		}
	}
}
