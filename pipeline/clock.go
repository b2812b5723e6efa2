package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lull/operators"
	"lull/pipeline/task"
)

// clock returns the configuration of the process's clock.
func (s *Settings) clock() task.ClockConfig {
	return task.ClockConfig{
		LatenessMs: s.Clock.Lateness.Milliseconds(), StepMaxMs: s.Clock.MaxStep.Milliseconds(),
		SilenceMaxMs: s.Clock.SourceMaxSilence.Milliseconds(), SettleMs: s.Clock.SourceSettle.Milliseconds(),
		ActionMaxMs: s.Triggers.MaxAge.Milliseconds(),
	}
}

// tellTime lets the watermark of every task follow the wall clock, under clock: wall, as far as it has read its partition. The brokers are asked at most
// once in clock.interval. mu is held.
func (r *Runner) tellTime() {
	active := r.active()
	if r.s.Clock.Mode != "wall" {
		return
	}
	if len(active) == 0 {
		r.unlocked(r.stopWatching)
		return
	}
	if now := time.Now(); now.Sub(r.toldTime) >= r.s.Clock.Interval {
		r.toldTime = now
		if err := r.readClock(now, active); err != nil {
			r.log.Debug().Err(err).Msg("no answer, so the clock stands still")
			r.metrics.clockHeld.Set(1)
			return
		}
	}
	for _, p := range active {
		if read, ok := p.reach.Pass(p.task.Meta().Position); ok && r.hold == task.Free {
			p.clock = read - operators.EventTime(r.s.Clock.Lateness.Milliseconds())
			r.clock.Teach(&p.task.Meta().Time)
		}
	}
}

// readClock asks the brokers how the input stands, and judges by it whether the clock may be believed. The wall time was taken before: what they do not know
// of yet is younger.
func (r *Runner) readClock(now time.Time, active []*partition) error {
	wall := operators.EventTime(now.UnixMilli())
	reading := task.Reading{Wall: wall, Monotonic: now.Sub(r.began).Milliseconds(), Read: operators.Unset, Watermark: operators.Unset}
	if r.clock.Jumped(&reading) {
		r.hold = r.clock.Read(&reading)
		r.reportHold()
		return nil
	}
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
		return fmt.Errorf("asking for the input's end and its newest record: %w", err)
	}
	for _, end := range sortedOffsets(ends) {
		log := task.Log{End: end.Offset, Newest: operators.Unset}
		if o, ok := newest.Lookup(end.Topic, end.Partition); ok && o.Timestamp > 0 {
			log.Newest = operators.EventTime(o.Timestamp)
		}
		reading.Logs = append(reading.Logs, log)
	}
	for _, p := range active {
		if end, ok := ends.Lookup(r.s.Input.Topic, p.n); ok {
			p.reach.Ask(wall, end.Offset)
		}
		reading.Watermark = max(reading.Watermark, p.task.Meta().Watermark)
	}
	if r.watcher != nil {
		reading.Read, reading.Late = r.watcher.look(wall, ends)
	}
	r.hold = r.clock.Read(&reading)
	r.reportHold()
	switch stalled := r.clock.Stalled(); {
	case stalled && r.watcher == nil:
		r.unlocked(func() { r.watcher, err = r.watch(r.clock.WatchFrom()) })
	case !stalled:
		r.unlocked(r.stopWatching)
	}
	return err
}

func (r *Runner) stopWatching() {
	if r.watcher != nil {
		r.watcher.close()
		r.watcher = nil
	}
}

func sortedOffsets(offsets kadm.ListedOffsets) (list []kadm.ListedOffset) {
	offsets.Each(func(o kadm.ListedOffset) { list = append(list, o) })
	slices.SortFunc(list, func(a, b kadm.ListedOffset) int { return int(a.Partition - b.Partition) })
	return list
}

// reportHold says what holds the clock: what an operator must mend, as a problem; what passes, as a warning.
func (r *Runner) reportHold() {
	problem, warning := "", ""
	switch limit := time.Duration(r.clock.SilenceMaxMs()) * time.Millisecond; r.hold {
	case task.Free:
	case task.Jumped:
		problem = "the wall clock has jumped since the process started: set it right, then restart the process"
	case task.Unconfirmed:
		if r.clock.Seen() == operators.Unset {
			warning = "the input holds no record that confirms the wall clock: the clock holds until one comes"
			break
		}
		problem = fmt.Sprintf("nothing in the input is as new as the wall clock says it is: the clock holds until a record confirms it (clock.max_step is %s)", r.s.Clock.MaxStep)
	case task.Unknown:
		warning = "the normal gap of the input is not known yet: the clock holds until it has been watched for half an hour, or set clock.source_max_silence"
	case task.Stalled:
		warning = fmt.Sprintf("the whole input topic has been silent, or nobody has watched it, for longer than %s, and it has not settled since: nobody is held to be "+
			"silent meanwhile", limit)
		if seen := r.clock.Seen(); seen != operators.Unset {
			warning += fmt.Sprintf("; its newest record is of %s", seen)
		}
	}
	r.health.setIf("clock", problem)
	r.health.warnIf("source", warning)
	r.metrics.sourceStalled.Set(oneIf(r.clock.Stalled()))
	r.metrics.clockHeld.Set(oneIf(r.hold != task.Free))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
