package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lull/operators"
	"lull/pipeline/task"
)

// source judges, under clock: wall, whether the silence of customers is theirs or the feed's. It follows the append times of the whole input
// topic, asked of the broker, and how late its records come.
type source struct {
	maxSilence time.Duration // configured; 0: three times the longest gap that has been seen, at least silenceMin
	settle     time.Duration
	lateness   time.Duration

	gaps      []task.Gap
	lastSeen  time.Time // append time of the newest record of the topic
	watchedAt time.Time // since when the topic has been watched
	stalled   bool
	onTime    time.Time // since when every record has come in time; zero while stalled and nothing has come
	held      string    // why the wall clock does not count, "" if it does
}

const (
	silenceMin    = 30 * time.Minute
	clockJumpsMax = time.Minute
	gapDays       = 7
)

func newSource(s *Settings) *source {
	return &source{maxSilence: s.Clock.SourceMaxSilence, settle: s.Clock.SourceSettle, lateness: s.Clock.Lateness}
}

// learn takes over what a task has seen of the topic's gaps.
func (so *source) learn(gaps []task.Gap) {
	for _, g := range gaps {
		so.noteGap(g.Day, g.Ms)
	}
}

func (so *source) noteGap(day operators.Day, ms int64) {
	for i := range so.gaps {
		if so.gaps[i].Day == day {
			so.gaps[i].Ms = max(so.gaps[i].Ms, ms)
			return
		}
	}
	so.gaps = append(so.gaps, task.Gap{Day: day, Ms: ms})
	if len(so.gaps) > gapDays {
		so.gaps = so.gaps[1:]
	}
}

// silenceMax returns how long the topic may be silent; known is false while it has not been watched for long enough to tell.
func (so *source) silenceMax(now time.Time) (limit time.Duration, known bool) {
	if so.maxSilence > 0 {
		return so.maxSilence, true
	}
	longest := int64(0)
	for _, g := range so.gaps {
		longest = max(longest, g.Ms)
	}
	known = len(so.gaps) > 0 || now.Sub(so.watchedAt) >= silenceMin
	return max(silenceMin, 3*time.Duration(longest)*time.Millisecond), known
}

// observe takes in the append time of the topic's newest record.
func (so *source) observe(now, newest time.Time) {
	if so.watchedAt.IsZero() {
		so.watchedAt = now
	}
	if newest.After(now) {
		newest = now
	}
	if newest.After(so.lastSeen) {
		if !so.lastSeen.IsZero() && !so.stalled {
			so.noteGap(operators.Day(newest.Unix()/86400), newest.Sub(so.lastSeen).Milliseconds())
		}
		so.lastSeen = newest
	}
	limit, known := so.silenceMax(now)
	switch {
	case !known:
		so.held = fmt.Sprintf("the normal gap of the input is not known yet: the clock holds until it has been watched for %s, or set clock.source_max_silence", silenceMin)
		return
	case so.lastSeen.IsZero() || now.Sub(so.lastSeen) > limit:
		so.stalled, so.onTime = true, time.Time{}
	case so.stalled && !so.onTime.IsZero() && now.Sub(so.onTime) >= so.settle:
		so.stalled = false
	}
	so.held = ""
	if so.stalled {
		so.held = fmt.Sprintf("the whole input topic has been silent since %s, longer than %s, or has not settled since: nobody is held to be silent meanwhile",
			so.lastSeen.UTC().Format(time.RFC3339), limit)
	}
}

// came takes in one record: how long after its event it was appended. While the feed delivers what an outage held back, it has not settled.
func (so *source) came(now time.Time, delay time.Duration) {
	if delay > so.lateness || so.onTime.IsZero() {
		so.onTime = now
	}
}

// wall compares the wall clock with the monotonic clock and with what the input confirms.
type wall struct {
	start   time.Time // with its monotonic reading
	checked bool      // the clock at the start has been confirmed
}

// check returns why the wall clock cannot be believed, "" if it can.
func (w *wall) check(now time.Time, watermark operators.EventTime, newest time.Time, maxStep, lateness time.Duration) string {
	if w.start.IsZero() {
		w.start = now
	}
	// Sub uses the monotonic clock, Round(0) takes it away.
	if jump := now.Round(0).Sub(w.start.Round(0)) - now.Sub(w.start); jump > clockJumpsMax || jump < -clockJumpsMax {
		return fmt.Sprintf("the wall clock has jumped by %s since the process started: set it right, then restart the process", jump.Round(time.Second))
	}
	if w.checked {
		return ""
	}
	confirmed := newest
	if watermark != operators.Unset {
		if at := time.UnixMilli(int64(watermark)).Add(lateness); at.After(confirmed) {
			confirmed = at
		}
	}
	if now.Sub(confirmed) > maxStep {
		return fmt.Sprintf("the wall clock says %s and nothing in the input is newer than %s: the clock holds until a record confirms it (clock.max_step is %s)",
			now.UTC().Format(time.RFC3339), confirmed.UTC().Format(time.RFC3339), maxStep)
	}
	w.checked = true
	return ""
}

// tellTime lets the watermark of every task that is at the end of its partition follow the wall clock, under clock: wall. It is asked for at most
// once in clock.interval. mu is held.
func (r *Runner) tellTime() {
	now := time.Now()
	if r.s.Clock.Mode != "wall" || now.Sub(r.toldTime) < r.s.Clock.Interval {
		return
	}
	r.toldTime = now
	// The wall time first, then the ends: what was appended after the ends were asked for is younger than now.
	ctx, cancel := context.WithTimeout(r.ctx, r.s.Clock.Interval)
	defer cancel()
	var ends, newest kadm.ListedOffsets
	var err error
	r.unlocked(func() {
		if ends, err = r.adm.ListEndOffsets(ctx, r.s.Input.Topic); err == nil {
			newest, err = r.adm.ListMaxTimestampOffsets(ctx, r.s.Input.Topic)
		}
	})
	if err = errors.Join(err, ends.Error(), newest.Error()); err != nil {
		return // no answer, no movement
	}
	last := time.Time{}
	newest.Each(func(o kadm.ListedOffset) {
		if o.Timestamp > 0 && time.UnixMilli(o.Timestamp).After(last) {
			last = time.UnixMilli(o.Timestamp)
		}
	})
	r.source.observe(now, last)
	r.metrics.sourceStalled.Set(oneIf(r.source.stalled))
	r.health.warnIf("source", r.source.held)
	held := ""
	for _, p := range r.active() {
		if why := r.wall.check(now, p.task.Meta().Watermark, last, r.s.Clock.MaxStep, r.s.Clock.Lateness); why != "" {
			held = why
		}
	}
	r.health.setIf("clock", held)
	r.metrics.clockHeld.Set(oneIf(held != "" || r.source.held != ""))
	if held != "" || r.source.held != "" {
		return
	}
	reached := operators.EventTime(now.Add(-r.s.Clock.Lateness).UnixMilli())
	for _, p := range r.active() {
		end, ok := ends.Lookup(r.s.Input.Topic, p.n)
		if ok && len(p.queue) == 0 && p.task.Meta().Position >= end.Offset {
			p.clock = reached
			p.task.Meta().Gaps = r.source.gaps
		}
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
