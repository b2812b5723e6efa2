package pipeline

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lull/operators"
	"lull/pipeline/task"
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

// committedFeeds is what is known of the feeds of other processes, by what these have committed, while one here reads history: as the group knows it, for its tasks may hear of them too late, being restored, or not at
// all, if it has none; and as its tasks have heard, which is mostly sooner.
type committedFeeds struct {
	askedAt time.Time
	heardAt time.Time // zero: nothing has been heard yet
	feeds   map[uint64]committedFeed
}

// committedFeed is what a feed of another process has committed, and when it last got further, or was first met.
type committedFeed struct {
	position  int64
	watermark operators.EventTime
	gapMs     int64 // the longest of its input that is remembered
	moved     time.Time
}

// rose takes in that the tasks have heard of a feed's watermark, if that is news.
func (c *committedFeeds) rose(feed uint64, watermark operators.EventTime, now time.Time) {
	if is, met := c.feeds[feed]; met && watermark > is.watermark {
		is.watermark, is.moved = watermark, now
		c.feeds[feed] = is
	}
}

// committedInterval is how often what other processes have committed is asked for.
const committedInterval = 100 * time.Millisecond

// feed lets every feed take what is queued for it. Inputs have backlogs of different lengths, after a downtime or at a first start, and would be read as fast as each can: a customer's orders of a
// year before their first page view, with a session left open for each. So a feed reads no further than aheadMax beyond another that has more to read; round by round, as long as a round gets further.
//
// others is how far the feeds of other processes allow those of this one, history how far those that read history.
func (r *Runner) feed(feeds []*feed, others, history, now operators.EventTime, expired func() bool) {
	for {
		for _, f := range feeds {
			inHistory := f.feed.InHistory()
			if f.limit = others; inHistory {
				f.limit = history
			}
			for _, g := range r.feeds {
				if g != f && g.hasMore(r.patience(inHistory), inHistory) {
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

// hearOthers returns how far the feeds of other processes allow those of this one to read that read no history, by what the tasks have heard of them.
func (r *Runner) hearOthers(now time.Time) operators.EventTime {
	limit := operators.Never
	for _, p := range r.active() {
		for _, u := range p.task.Meta().Upstreams {
			if u.Watermark == operators.Unset || r.feedIDs[u.Feed] {
				continue
			}
			is := r.heard[u.Feed]
			if u.Watermark > is.watermark || is.rose.IsZero() {
				is = heard{u.Watermark, now}
				r.heard[u.Feed] = is
			}
			r.committedFeeds.rose(u.Feed, u.Watermark, now)
			if now.Sub(is.rose) < stuckAfter {
				limit = min(limit, is.watermark+operators.EventTime(r.s.Clock.Lateness.Milliseconds())+aheadOthersMax)
			}
		}
	}
	return limit
}

// patience returns for how long a feed that gets nowhere is waited for by another: by one that reads history for as long as it takes until the partitions of a process that is no more are another's and get on, or one that is
// about to start has its own. No wall clock moves time meanwhile.
func (r *Runner) patience(inHistory bool) time.Duration {
	if inHistory {
		return r.s.Commit.SessionTimeout + r.s.Commit.Timeout + stuckAfter
	}
	return stuckAfter
}

// hearCommitted asks what the feeds of other processes have committed, if one here reads history. mu is held.
func (r *Runner) hearCommitted(now time.Time) {
	if now.Sub(r.committedFeeds.askedAt) < committedInterval || !slices.ContainsFunc(r.activeFeeds(), func(f *feed) bool { return f.feed.InHistory() }) {
		return
	}
	r.committedFeeds.askedAt = now
	ctx, cancel := context.WithTimeout(r.ctx, r.s.Commit.Timeout)
	defer cancel()
	feeds, err := r.askCommitted(ctx)
	if err != nil {
		r.log.Debug().Err(err).Msg("asking what other processes have committed; what reads history waits")
		return
	}
	r.committedFeeds.heardAt = now
	for id, is := range feeds {
		was, met := r.committedFeeds.feeds[id]
		if met {
			is.watermark = max(is.watermark, was.watermark) // the tasks may have heard of it since the group answered
		}
		if !met || is.position > was.position || is.watermark > was.watermark {
			is.moved = now
			r.committedFeeds.feeds[id] = is
		}
	}
}

// askCommitted asks the group what all feeds have committed. mu is held.
func (r *Runner) askCommitted(ctx context.Context) (map[uint64]committedFeed, error) {
	var offsets kadm.OffsetResponses
	var err error
	r.unlocked(func() { offsets, err = r.adm.FetchOffsets(ctx, r.s.Group) })
	if err = errors.Join(err, offsets.Error()); err != nil {
		return nil, err
	}
	feeds := make(map[uint64]committedFeed)
	for _, in := range r.inputs {
		for n := range in.partitions {
			is := committedFeed{position: -1, watermark: operators.Unset}
			if at, ok := offsets.Lookup(in.Topic, n); ok {
				if meta, err := task.DecodeFeedMeta(at.Metadata); err == nil && meta.InputID == in.id {
					is.position, is.watermark, is.gapMs = meta.Position, meta.Watermark, task.Longest(meta.Gaps)
				}
			}
			feeds[task.FeedID(in.id, n)] = is
		}
	}
	return feeds, nil
}

// committedLimit returns how far the feeds of other processes allow those of this one that read history; Unset if one of them has told nothing yet.
func (r *Runner) committedLimit() operators.EventTime {
	limit := operators.Never
	for id := range r.known {
		if r.feedIDs[id] {
			continue
		}
		is, met := r.committedFeeds.feeds[id]
		switch {
		case !met || is.watermark == operators.Unset && r.committedFeeds.heardAt.Sub(is.moved) < r.patience(true):
			return operators.Unset
		case r.committedFeeds.heardAt.Sub(is.moved) < r.patience(true):
			limit = min(limit, is.watermark+operators.EventTime(r.s.Clock.Lateness.Milliseconds())+aheadOthersMax)
		}
	}
	return limit
}

// hasMore reports whether a feed is to be waited for: there is more to read for it, and it has got on within patience, or waits for others itself. One that awaits a schema is waited for by those that read history alone.
func (f *feed) hasMore(patience time.Duration, inHistory bool) bool {
	behind := f.phase == restoring || f.phase == running && (len(f.queue) > 0 || f.end > f.fetched.Offset)
	return behind && (f.awaits == "" || inHistory) && (f.held || time.Since(f.movedAt) < patience)
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
