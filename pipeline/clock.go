package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// tellTime lets the watermark of every task that reads an input, and of every feed, follow the wall clock, under clock: wall, as far as it has read its
// partition. The brokers are asked at most once in clock.interval. mu is held.
func (r *Runner) tellTime() {
	if r.s.Clock.Mode != "wall" {
		return
	}
	reading := make(map[*inputTopic][]*reader)
	for _, p := range r.running() {
		if p.from != nil {
			reading[p.from] = append(reading[p.from], p)
		}
	}
	now := time.Now()
	ask := now.Sub(r.toldTime) >= r.s.Clock.Interval
	if ask {
		r.toldTime = now
	}
	for _, in := range r.inputs {
		active := reading[in]
		if in.read = len(active) > 0; !in.read {
			r.unlocked(in.stopWatching)
			continue
		}
		if ask {
			if err := r.readClock(in, now, active); err != nil {
				r.log.Debug().Err(err).Str("topic", in.Topic).Msg("no answer, so the clock stands still")
				r.metrics.clockHeld.WithLabelValues(in.Topic).Set(1)
				continue
			}
		}
		for _, p := range active {
			if read, ok := p.reach.Pass(p.stage.Position()); ok && in.hold == task.Free {
				p.clock = read - operators.EventTime(r.s.Clock.Lateness.Milliseconds())
				in.clock.Teach(p.stage.Time())
			}
		}
	}
	if ask {
		r.reportHold()
	}
}

// readClock asks the brokers how an input stands, and judges by it whether the clock may be believed. The wall time was taken before: what they do not know
// of yet is younger.
func (r *Runner) readClock(in *inputTopic, now time.Time, active []*reader) error {
	wall := operators.EventTime(now.UnixMilli())
	reading := task.Reading{Wall: wall, Monotonic: now.Sub(r.began).Milliseconds(), Read: operators.Unset, Watermark: operators.Unset}
	if in.clock.Jumped(&reading) {
		in.hold = in.clock.Read(&reading)
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.s.Clock.Interval)
	defer cancel()
	ends, newest, err := r.askEnds(ctx, in.Topic)
	if err != nil {
		return err
	}
	for _, end := range sortedOffsets(ends) {
		log := task.Log{End: end.Offset, Newest: operators.Unset}
		if o, ok := newest.Lookup(end.Topic, end.Partition); ok && o.Timestamp > 0 {
			log.Newest = operators.EventTime(o.Timestamp)
		}
		reading.Logs = append(reading.Logs, log)
	}
	for _, p := range active {
		if end, ok := ends.Lookup(in.Topic, p.n); ok {
			p.reach.Ask(wall, end.Offset)
		}
		reading.Watermark, reading.Had = max(reading.Watermark, p.stage.Time().Watermark), reading.Had || p.stage.Position() > 0
	}
	if !in.clock.Used() && !reading.Used() {
		if err = r.askOthers(ctx, in, &reading); err != nil {
			return err
		}
	}
	if in.watcher != nil {
		reading.Read, reading.Late = in.watcher.look(wall, ends)
	}
	in.hold = in.clock.Read(&reading)
	switch stalled := in.clock.Stalled(); {
	case stalled && in.watcher == nil:
		r.unlocked(func() { in.watcher, err = r.watch(in, in.clock.WatchFrom()) })
	case !stalled:
		r.unlocked(in.stopWatching)
	}
	return err
}

// askEnds asks for the ends of topics and their newest records. mu is held.
func (r *Runner) askEnds(ctx context.Context, topics ...string) (ends, newest kadm.ListedOffsets, err error) {
	r.unlocked(func() {
		if ends, err = r.adm.ListEndOffsets(ctx, topics...); err == nil {
			newest, err = r.adm.ListMaxTimestampOffsets(ctx, topics...)
		}
	})
	if err = errors.Join(err, ends.Error(), newest.Error()); err != nil {
		return nil, nil, fmt.Errorf("asking for the input's end and its newest record: %w", err)
	}
	return ends, newest, nil
}

// askOthers asks how the other inputs stand that have had a record, beside one whose log is empty, and whether the group knows that this has had some. mu is held.
func (r *Runner) askOthers(ctx context.Context, in *inputTopic, reading *task.Reading) error {
	var names []string
	for _, other := range r.inputs {
		if other != in {
			names = append(names, other.Topic)
		}
	}
	if len(names) == 0 {
		return nil
	}
	ends, newest, err := r.askEnds(ctx, names...)
	if err != nil {
		return err
	}
	feeds, err := r.askCommitted(ctx)
	if err != nil {
		return fmt.Errorf("asking how far the other inputs have been read: %w", err)
	}
	for _, of := range r.inputs {
		is, had := task.Other{Newest: operators.Unset, Watermark: operators.Never}, false
		for n := range of.partitions {
			feed := feeds[task.FeedID(of.id, n)]
			is.Watermark, is.GapMs = min(is.Watermark, feed.watermark), max(is.GapMs, feed.gapMs)
			end, _ := ends.Lookup(of.Topic, n)
			had = had || feed.position > 0 || feed.gapMs > 0 || end.Offset > 0
		}
		for _, o := range newest[of.Topic] {
			if o.Timestamp > 0 {
				is.Newest = max(is.Newest, operators.EventTime(o.Timestamp))
			}
		}
		switch {
		case of == in:
			reading.Had = reading.Had || had
		case had:
			reading.Others = append(reading.Others, is)
		}
	}
	return nil
}

func (in *inputTopic) stopWatching() {
	if in.watcher != nil {
		in.watcher.close()
		in.watcher = nil
	}
}

func sortedOffsets(offsets kadm.ListedOffsets) (list []kadm.ListedOffset) {
	offsets.Each(func(o kadm.ListedOffset) { list = append(list, o) })
	slices.SortFunc(list, func(a, b kadm.ListedOffset) int { return int(a.Partition - b.Partition) })
	return list
}

// reportHold says what holds the clock: what an operator must mend, as a problem; what passes, as a warning.
func (r *Runner) reportHold() {
	var problems, warnings []string
	for _, in := range r.inputs {
		if !in.read { // others see to its clock
			r.metrics.sourceStalled.DeleteLabelValues(in.Topic)
			r.metrics.clockHeld.DeleteLabelValues(in.Topic)
			continue
		}
		problem, warning := in.holds(r.s)
		told := ""
		if in.clock.Unused() {
			told = warning
		}
		if told != in.told && told != "" {
			r.log.Warn().Msg(told)
		}
		in.told = told
		if problem != "" {
			problems = append(problems, problem)
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
		r.metrics.sourceStalled.WithLabelValues(in.Topic).Set(oneIf(in.clock.Stalled()))
		r.metrics.clockHeld.WithLabelValues(in.Topic).Set(oneIf(in.hold != task.Free))
	}
	slices.Sort(problems)
	slices.Sort(warnings)
	r.health.setIf("clock", strings.Join(slices.Compact(problems), "; "))
	r.health.warnIf("source", strings.Join(slices.Compact(warnings), "; "))
}

// holds says what holds the clock of an input.
func (in *inputTopic) holds(s *Settings) (problem, warning string) {
	of := ""
	if s.Staged() {
		of = fmt.Sprintf(" %q", in.Topic)
	}
	limit := time.Duration(in.clock.SilenceMaxMs()) * time.Millisecond
	switch {
	case in.clock.Unused() && in.hold == task.Unconfirmed && in.clock.Dated():
		return fmt.Sprintf("the input%s has never had a record, and nothing in the others is as new as the wall clock says it is: the clock holds until a record confirms it (clock.max_step is %s)", of, s.Clock.MaxStep), ""
	case in.clock.Unused() && in.hold != task.Jumped:
		return "", in.unusedWarning(s, of, limit)
	}
	switch in.hold {
	case task.Free, task.Awaited:
	case task.Jumped:
		return "the wall clock has jumped since the process started: set it right, then restart the process", ""
	case task.Unconfirmed:
		if in.clock.Seen() == operators.Unset {
			return "", fmt.Sprintf("the input%s holds no record that confirms the wall clock: the clock holds until one comes", of)
		}
		return fmt.Sprintf("nothing in the input%s is as new as the wall clock says it is: the clock holds until a record confirms it (clock.max_step is %s)", of, s.Clock.MaxStep), ""
	case task.Unknown:
		return "", fmt.Sprintf("the normal gap of the input%s is not known yet: the clock holds until it has been watched for half an hour, or set clock.source_max_silence", of)
	case task.Stalled:
		if !in.clock.Watched() {
			return "", fmt.Sprintf("the input%s has not been watched before, and its records have not come in time for %s since (clock.source_settle): nobody is held to be silent meanwhile", of, s.Clock.SourceSettle)
		}
		warning = fmt.Sprintf("the whole input topic%s has been silent, or nobody has watched it, for longer than %s, and it has not settled since: nobody is held to be "+
			"silent meanwhile", of, limit)
		if seen := in.clock.Seen(); seen != operators.Unset {
			warning += fmt.Sprintf("; its newest record is of %s", seen)
		}
		if in.clock.Days() < 2 && s.Clock.SourceMaxSilence == 0 {
			warning += "; it has had records for less than two days, by which nobody knows how long it is silent as a rule: if it is seldom written to, set clock.source_max_silence"
		}
	}
	return "", warning
}

// takeOut is what to do with an input that is not wanted: tasks may have heard of its time.
const takeOut = "take it out of inputs, and start all processes once with --on-offset-mismatch=rebuild: what has been told stays counted"

// unusedWarning says what it means that an input has never had a record.
func (in *inputTopic) unusedWarning(s *Settings, of string, limit time.Duration) string {
	switch {
	case !s.Staged():
		return "the input has never had a record: nobody is known. See to it that its events go there"
	case in.hold == task.Free:
		return fmt.Sprintf("the input%s has never had a record: time goes on without it, and what it is given of the past comes late. See to it that its events go there, or "+takeOut, of)
	case in.hold == task.Stalled:
		return fmt.Sprintf("the input%s has never had a record, and another one has been silent, by the wall clock here, for longer than it may be: nobody is held to be silent meanwhile. "+
			"See to it that the other's events go on, and that the clock is right", of)
	}
	return fmt.Sprintf("the input%s has never had a record: nobody is held to be silent before it has one, or the time of the other inputs has been of now for %s (clock.source_max_silence), as a history of it may yet be loaded. "+
		"See to it that its events go there, or "+takeOut, of, limit)
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
