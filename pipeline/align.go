package pipeline

import (
	"slices"
	"sync"
	"time"

	"lull/operators"
)

const (
	// aheadMax is how far ahead of another feed of this process a feed may read, in event time, while the other has more to read: what is read from all inputs then comes in the order of
	// time but for so much. Feeds at the ends of their partitions wait for nobody.
	aheadMax = operators.EventTime(time.Hour / time.Millisecond)
	// aheadOthersMax is the same of the feeds of other processes, of which this one hears once a second.
	aheadOthersMax = 24 * aheadMax
	// stuckAfter is how long a feed may get nowhere before nobody waits for it.
	stuckAfter = 3 * time.Second
)

// heard is what is known of a feed of another process: the watermark, and when it last rose.
type heard struct {
	watermark operators.EventTime
	rose      time.Time
}

// feed lets every feed take what is queued for it. Inputs have backlogs of different lengths, after a downtime or at a first start, and would be read as fast as each can: a customer's orders of a
// year before their first page view, with a session left open for each. So a feed reads no further than aheadMax beyond another that has more to read; round by round, as long as a round gets further.
// others is how far the feeds of other processes allow those of this one, history that of those that read history.
func (r *Runner) feed(feeds []*feed, others, history, now operators.EventTime, expired func() bool) {
	for {
		for _, f := range feeds {
			if f.limit = others; f.feed.InHistory() {
				f.limit = history
			}
			patience := r.patience(f.feed.InHistory())
			for _, g := range r.feeds {
				if g != f && g.hasMore(patience) {
					f.limit = min(f.limit, g.front(r)+aheadMax)
				}
			}
		}
		var group sync.WaitGroup
		for _, f := range feeds {
			group.Go(func() { f.done, f.err = f.apply(r, now, expired) })
		}
		group.Wait()
		again := false
		for _, f := range feeds {
			r.gather(f)
			again = again || f.took && slices.ContainsFunc(feeds, func(g *feed) bool { return g.held })
		}
		if !again || expired() || slices.ContainsFunc(feeds, func(f *feed) bool { return f.err != nil }) {
			return
		}
	}
}

// gather takes what a feed has to produce, so that all is produced in the order in which it was read.
func (r *Runner) gather(f *feed) {
	f.wrote = f.wrote || len(f.records) > 0
	r.relayed = append(r.relayed, f.records...)
	clear(f.records)
	f.records = f.records[:0]
}

// patience returns for how long a feed that gets nowhere is waited for by another: by one that reads history for as long as it takes until the partitions of a process that is no more are another's, or one that is about to
// start has its own. No wall clock moves time meanwhile.
func (r *Runner) patience(history bool) time.Duration {
	if history {
		return r.s.Commit.SessionTimeout + stuckAfter
	}
	return stuckAfter
}

// hearOthers returns how far the feeds of other processes allow those of this one to read, by what the tasks have heard of them; those that read history wait also for who has told nothing yet.
func (r *Runner) hearOthers(now time.Time, history bool) operators.EventTime {
	limit, tasks := operators.Never, r.active()
	if history && len(tasks) == 0 {
		for _, p := range r.partitions {
			if p.phase == restoring {
				return operators.Unset // nothing has been heard yet
			}
		}
	}
	for _, p := range tasks {
		for _, u := range p.task.Meta().Upstreams {
			if r.feedIDs[u.Feed] || u.Watermark == operators.Unset && !history {
				continue
			}
			is, met := r.heard[u.Feed]
			if u.Watermark > is.watermark || !met {
				is = heard{u.Watermark, now}
				r.heard[u.Feed] = is
			}
			if now.Sub(is.rose) < r.patience(history) {
				limit = min(limit, is.watermark+operators.EventTime(r.s.Clock.Lateness.Milliseconds())+aheadOthersMax)
			}
		}
	}
	return limit
}

// hasMore reports whether a feed is to be waited for: there is more to read for it, and it gets on, or waits for others itself.
func (f *feed) hasMore(patience time.Duration) bool {
	behind := f.phase == restoring || f.phase == running && (len(f.queue) > 0 || f.end > f.fetched.Offset)
	return behind && f.awaits == "" && (f.held || time.Since(f.movedAt) < patience)
}

// front returns how far a feed has read: the time of the event that it is held at, or the latest that it has passed.
func (f *feed) front(r *Runner) operators.EventTime {
	switch {
	case f.held:
		return f.head
	case f.phase == running && f.latest != operators.Unset:
		return f.latest
	case f.phase == restoring || f.feed.Meta().Watermark == operators.Unset:
		return 0
	}
	return f.feed.Meta().Watermark + operators.EventTime(r.s.Clock.Lateness.Milliseconds())
}
