package pipeline

import (
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

// heard is what is known of a feed of another process: the watermark, and when it last rose, or when the feed was first met.
type heard struct {
	watermark operators.EventTime
	rose      time.Time
}

// others is what the tasks have been told, and so what the feeds of other processes allow those of this one.
type others struct {
	limit  operators.EventTime // events after this instant have to wait for them
	past   operators.EventTime // the time that all have told of what was appended before this process began; Unset: none
	untold bool                // one of them has yet to tell the time at all
}

// feed lets every feed take what is queued for it. Inputs have backlogs of different lengths, after a downtime or at a first start, and would be read as fast as each can: a customer's orders of a
// year before their first page view, with a session left open for each. So a feed reads no further than aheadMax beyond another that has more to read; round by round, as long as a round gets further.
func (r *Runner) feed(feeds []*feed, of others, now operators.EventTime, expired func() bool) error {
	pace, err := r.follow(feeds, &of)
	for err == nil {
		for _, f := range feeds {
			f.limit, f.pace = of.limit, pace
			for _, g := range r.feeds {
				if g != f && g.hasMore() {
					f.limit = min(f.limit, g.front(r)+aheadMax)
				}
			}
		}
		var group sync.WaitGroup
		for _, f := range feeds {
			group.Go(func() { f.done, f.err = f.apply(r, now, expired) })
		}
		group.Wait()
		took, held, failed := false, false, false
		for _, f := range feeds {
			r.gather(f)
			took, held, failed = took || f.took, held || f.held, failed || f.err != nil
		}
		if !held || failed || expired() {
			return nil
		}
		was := pace
		if pace, err = r.follow(feeds, &of); !took && pace <= was {
			return err
		}
	}
	return err
}

// leastHead returns the first of the events at which feeds are held, Unset if none is.
func leastHead(feeds []*feed) operators.EventTime {
	least := operators.Unset
	for _, f := range feeds {
		if f.held && (least == operators.Unset || f.head < least) {
			least = f.head
		}
	}
	return least
}

// follow lets feeds keep up with the past of the others that tell no time of their own yet: those that have been read to their ends, and those whose next event is later. It returns the instant up to
// which the past may be read before they are told the time again.
//
// A topic that is new and empty, one whose records are all refused, one that begins years after another, a partition whose last record is old: at a first start no wall clock speaks for them. Time would
// stand at their last records, or nowhere, while the history of the others is read, and customers would have more sessions open than are kept. What was appended to them before the process began, up to their
// next event, has been read, so they hold up no time before that; but for triggers.max_age, so that nobody is called to act by the silence of a topic that may be broken. Of an input that has been
// watched the clock knows more.
func (r *Runner) follow(feeds []*feed, of *others) (pace operators.EventTime, err error) {
	pace = operators.Never
	if r.s.Clock.Mode != "wall" {
		return pace, nil
	}
	head, past := leastHead(feeds), of.past
	for _, f := range r.feeds {
		past = max(past, f.past)
	}
	last := operators.EventTime(r.began.Add(-r.s.Triggers.MaxAge).UnixMilli())
	for _, f := range feeds {
		to := min(past, last)
		switch {
		case f.from.clock.Watched():
			continue
		case f.held:
			to = min(to, f.head-operators.EventTime(r.s.Clock.Lateness.Milliseconds()))
		case !f.reach.Done(f.feed.Position()):
			continue
		}
		f.feed.AdvanceClock(to)
		if err := f.tell(r, aheadOthersMax); err != nil {
			return pace, err
		}
		r.gather(f)
		pace = max(past, head) + aheadOthersMax
	}
	if of.untold { // it follows what the tasks have been told, and at first nothing has been
		if of.past == operators.Unset {
			of.past = head
		}
		pace = min(pace, of.past+aheadOthersMax)
	}
	if past >= last {
		pace = operators.Never
	}
	return pace, nil
}

// gather takes what a feed has to produce, so that all is produced in the order in which it was read.
func (r *Runner) gather(f *feed) {
	f.wrote = f.wrote || len(f.records) > 0
	r.relayed = append(r.relayed, f.records...)
	clear(f.records)
	f.records = f.records[:0]
}

// hearOthers returns what the feeds of other processes allow those of this one, by what the tasks have heard of them.
func (r *Runner) hearOthers(now time.Time) others {
	o := others{limit: operators.Never, past: operators.Unset}
	for _, p := range r.active() {
		o.past = max(o.past, p.past)
		for _, u := range p.task.Meta().Upstreams {
			if r.feedIDs[u.Feed] {
				continue
			}
			is, met := r.heard[u.Feed]
			if !met || u.Watermark > is.watermark {
				is = heard{u.Watermark, now}
				r.heard[u.Feed] = is
			}
			switch silent := now.Sub(is.rose); {
			case is.watermark == operators.Unset:
				// Its process may be yet to start, or its partition to be given to another.
				o.untold = o.untold || silent < r.s.Commit.SessionTimeout+stuckAfter
			case silent < stuckAfter:
				o.limit = min(o.limit, is.watermark+operators.EventTime(r.s.Clock.Lateness.Milliseconds())+aheadOthersMax)
			}
		}
	}
	return o
}

// hasMore reports whether a feed is to be waited for: there is more to read for it, and it gets on, or waits for others itself.
func (f *feed) hasMore() bool {
	behind := f.phase == restoring || f.phase == running && (len(f.queue) > 0 || f.end > f.fetched.Offset)
	return behind && f.awaits == "" && (f.held || time.Since(f.movedAt) < stuckAfter)
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
