package task_test

import (
	"slices"
	"testing"

	"lull/operators"
	"lull/pipeline/task"
)

// watch is a clock that is read every minute, in a world with a topic of two partitions of which the second is idle by nature.
type watch struct {
	*testing.T
	*task.Clock
	r    task.Reading
	meta task.Meta // what the tasks know
	last task.Hold
}

// newWatch returns a watch that begins at noon.
func newWatch(t *testing.T, c task.ClockConfig) *watch {
	c.LatenessMs, c.StepMaxMs, c.SettleMs = int64(10*minute), int64(day), int64(5*minute)
	w := &watch{T: t, Clock: task.NewClock(c, start+12*hour), meta: task.NewMeta()}
	w.r = task.Reading{
		Wall: start + 12*hour, Logs: []task.Log{{End: 10, Newest: start + 12*hour - minute}, {End: 5, Newest: start - day}},
		Watermark: operators.Unset, Late: operators.Unset,
	}
	return w
}

// minutes lets minutes pass. In each of them something happens before the clock is read.
func (w *watch) minutes(n int, each func()) {
	for range n {
		w.r.Wall += minute
		w.r.Monotonic += int64(minute)
		each()
		w.read()
	}
}

func (w *watch) read() {
	w.r.Read = w.r.Wall
	if w.last = w.Clock.Read(&w.r); w.last == task.Free {
		w.Teach(&w.meta.Time)
	}
}

func (w *watch) append() { w.r.Logs[0].End++; w.r.Logs[0].Newest = w.r.Wall }
func (w *watch) quiet()  {}

// late appends what an outage has held back.
func (w *watch) late() {
	w.append()
	w.r.Late = w.r.Wall
}

func (w *watch) is(want task.Hold) {
	w.Helper()
	if w.last != want {
		w.Errorf("at %s the clock is held by %d, not by %d", w.r.Wall, w.last, want)
	}
}

// restart makes it another process, whose tasks know what their meta records say.
func (w *watch) restart() {
	meta, err := task.DecodeMeta(w.meta.Append(nil))
	if err != nil {
		w.Fatal(err)
	}
	w.Clock = task.NewClock(w.Config, w.r.Wall)
	w.Learn(&meta.Time)
	w.r.Monotonic = 0
	w.r.Late = operators.Unset // it has looked at nothing
}

var hourly = task.ClockConfig{SilenceMaxMs: int64(hour)}

// settled returns a watch whose feed has settled.
func settled(t *testing.T, c task.ClockConfig) *watch {
	w := newWatch(t, c)
	w.minutes(40, w.append)
	w.is(task.Free)
	return w
}

// TestSourceSilence: the clock holds from the moment at which the whole topic has been silent for longer than the limit; an idle partition does not
// matter. It goes on when records have come for as long as it takes to settle, and none was late: a first record is not enough, nor are two with silence
// between.
func TestSourceSilence(t *testing.T) {
	w := settled(t, hourly)
	w.minutes(60, w.quiet)
	w.is(task.Free)
	w.minutes(1, w.quiet)
	w.is(task.Stalled)
	w.minutes(6*60, w.quiet)
	w.is(task.Stalled)
	w.minutes(20, w.late)
	w.is(task.Stalled)
	w.minutes(4, w.append)
	w.is(task.Stalled)
	w.minutes(1, w.late)
	w.minutes(4, w.append)
	w.is(task.Stalled)
	w.minutes(30, w.quiet) // nothing came for the fifth minute
	w.is(task.Stalled)
	w.minutes(1, w.append)
	w.is(task.Free)
}

// TestSourceReturnsToSilence: a feed that comes back for a moment only has not come back.
func TestSourceReturnsToSilence(t *testing.T) {
	w := settled(t, hourly)
	w.minutes(120, w.quiet)
	w.minutes(1, w.append)
	w.minutes(62, w.quiet)
	w.minutes(1, w.late)
	w.minutes(4, w.append)
	w.is(task.Stalled)
	w.minutes(1, w.append)
	w.is(task.Free)
}

// TestSourceUnread: what the process has not read yet may be late.
func TestSourceUnread(t *testing.T) {
	w := settled(t, hourly)
	w.minutes(120, w.quiet)
	behind := w.r.Wall
	for range 30 {
		w.r.Wall += minute
		w.r.Monotonic += int64(minute)
		w.append()
		w.r.Read = behind
		w.last = w.Clock.Read(&w.r)
		w.is(task.Stalled)
	}
	w.minutes(1, w.append)
	w.is(task.Free)
}

// TestSourceLateAfterBreak: after a break in which nothing came, the next record is looked at before it is taken for the feed's return.
func TestSourceLateAfterBreak(t *testing.T) {
	w := settled(t, hourly)
	w.minutes(120, w.quiet)
	w.minutes(5, w.late)
	w.minutes(20, w.quiet)
	w.r.Wall += minute
	w.r.Monotonic += int64(minute)
	w.append()
	w.last = w.Clock.Read(&w.r) // it has read up to a minute ago
	w.is(task.Stalled)
	w.minutes(1, func() { w.r.Late = w.r.Wall - minute })
	w.is(task.Stalled)
	w.minutes(6, w.append)
	w.is(task.Free)
}

// TestSourceRestart: a process that starts in the midst of an outage, or while the outage's events are coming, holds as the one before did; so does one
// that starts after a downtime in which nobody watched. A restart in the ordinary course holds nothing.
func TestSourceRestart(t *testing.T) {
	w := settled(t, hourly)
	w.restart()
	w.minutes(1, w.append)
	w.is(task.Free)
	w.minutes(90, w.quiet)
	w.is(task.Stalled)
	w.restart()
	w.minutes(1, w.quiet)
	w.is(task.Stalled)
	w.minutes(2, w.late)
	w.restart()
	w.minutes(3, w.late)
	w.is(task.Stalled)
	w.minutes(5, w.append)
	w.is(task.Free)
	w.r.Wall += 6 * hour // and events come all the time
	w.restart()
	w.minutes(5, w.append)
	w.is(task.Stalled)
	w.minutes(1, w.append)
	w.is(task.Free)
}

// TestSourceAfterFreeze: a process that stood still for longer than the limit does not know whether the input was alive meanwhile.
func TestSourceAfterFreeze(t *testing.T) {
	w := settled(t, hourly)
	w.r.Wall += 3 * hour
	w.r.Monotonic += int64(3 * hour)
	w.minutes(1, w.append)
	w.is(task.Stalled)
	w.minutes(5, w.append)
	w.is(task.Free)
}

// TestSourceLearns: how long the input may be silent is not known for half an hour, whatever comes in it; then it is three times the longest gap of the
// last seven days with records, at least half an hour. A silence that was none of the feed's normal gaps is not learned, and a restart forgets nothing.
func TestSourceLearns(t *testing.T) {
	w := newWatch(t, task.ClockConfig{})
	w.minutes(1, w.append)
	w.is(task.Unknown)
	w.minutes(29, w.append)
	w.is(task.Unknown)
	w.minutes(1, w.append)
	w.is(task.Free)
	limit := func(want operators.EventTime) {
		t.Helper()
		if got := w.SilenceMaxMs(); got != int64(want) {
			t.Errorf("the limit is %d minutes, not %d", got/int64(minute), want/minute)
		}
	}
	limit(30 * minute)
	w.minutes(19, w.quiet)
	w.minutes(1, w.append)
	limit(60 * minute)
	w.minutes(24, w.quiet)
	w.minutes(1, w.append)
	limit(75 * minute)
	w.minutes(90, w.quiet)
	w.minutes(6, w.append)
	w.is(task.Free)
	limit(75 * minute)
	w.restart()
	w.minutes(1, w.append)
	w.is(task.Free)
	limit(75 * minute)
	for range 8 * 24 * 4 {
		w.minutes(14, w.quiet)
		w.minutes(1, w.append)
	}
	w.is(task.Free)
	limit(45 * minute) // the gap of 25 minutes is eight days old
}

// TestSourceReturnsToANewProcess: a process that knows nothing yet, and sees a silence of hours end, takes it for no normal gap and lets the feed settle.
func TestSourceReturnsToANewProcess(t *testing.T) {
	w := newWatch(t, task.ClockConfig{})
	w.r.Logs[0].Newest -= 6 * hour
	w.minutes(5, w.quiet)
	w.minutes(10, w.late)
	w.is(task.Unknown)
	w.minutes(20, w.late)
	w.is(task.Stalled)
	w.minutes(5, w.append)
	w.is(task.Free)
	if got := w.SilenceMaxMs(); got != int64(30*minute) {
		t.Errorf("the limit is %d minutes", got/int64(minute))
	}
}

// TestSourceClaims: where append times are what producers claim, one from the future does not make a silent topic look alive, nor confirm a wrong wall
// clock, and what comes after it is noticed by the log's end.
func TestSourceClaims(t *testing.T) {
	w := settled(t, hourly)
	w.r.Logs[0].Newest, w.r.Logs[1].Newest = start+100*365*day, start+100*365*day
	w.r.Logs[0].End++
	w.minutes(60, w.quiet)
	w.is(task.Free)
	w.minutes(1, w.quiet)
	w.is(task.Stalled)
	w.minutes(7, func() { w.r.Logs[1].End++ })
	w.is(task.Free)
	w.r.Late = start + 100*365*day
	w.minutes(1, func() { w.r.Logs[1].End++ })
	w.is(task.Free)

	w = newWatch(t, hourly)
	w.r.Logs[0].Newest = start + 100*365*day
	w.r.Wall += 50 * 365 * day
	w.restart()
	w.minutes(10, w.quiet)
	w.is(task.Unconfirmed)
}

// TestWallClock: a step of the wall clock of more than a minute against the monotonic one holds the clock until it is taken back, or the process begins
// anew; and a wall clock at the start that is far ahead of all in the input holds until a record, or what the state knows, confirms it.
func TestWallClock(t *testing.T) {
	for _, step := range []operators.EventTime{minute + 1, -minute - 1, 365 * day, -365 * day} {
		w := settled(t, hourly)
		before := w.meta
		w.r.Wall += step
		w.minutes(3, w.append)
		w.is(task.Jumped)
		if w.meta.InputAlive != before.InputAlive {
			t.Error("something was learned of a wrong clock")
		}
		w.r.Wall -= step
		w.minutes(1, w.append)
		w.is(task.Free)
		w.r.Wall += step / 100
		w.minutes(1, w.append)
		if step == minute+1 || step == -minute-1 {
			w.is(task.Free)
		}
	}
	w := newWatch(t, hourly)
	w.r.Wall += 2 * day
	w.minutes(3, w.quiet)
	w.is(task.Jumped) // before it was read for the first time
	w.restart()
	w.minutes(3, w.quiet)
	w.is(task.Unconfirmed)
	w.r.Wall -= 2 * day
	w.minutes(10, w.append)
	w.is(task.Jumped)
	w.restart()
	w.minutes(10, w.append)
	w.is(task.Free)

	w = newWatch(t, hourly)
	w.r.Watermark = w.r.Wall + 2*day
	w.r.Wall += 2*day + hour
	w.restart()
	w.minutes(1, w.quiet)
	w.is(task.Stalled)
}

// TestReach: what a partition has read is known as of when its end was asked for, once the position has passed that end, however much has come since.
func TestReach(t *testing.T) {
	var r task.Reach
	if _, ok := r.Pass(100); ok || r.Read() != operators.Unset {
		t.Error("nothing was asked")
	}
	r.Ask(start, 10)
	r.Ask(start+minute, 20) // the first is still to be passed
	if _, ok := r.Pass(9); ok {
		t.Error("position 9 has passed the end 10")
	}
	if read, ok := r.Pass(10); !ok || read != start || r.Read() != start {
		t.Errorf("read up to %s, %v", read, ok)
	}
	if _, ok := r.Pass(30); ok {
		t.Error("told twice")
	}
	r.Ask(start+hour, 30)
	if read, ok := r.Pass(31); !ok || read != start+hour {
		t.Errorf("read up to %s, %v", read, ok)
	}
}

// TestFirstReadingJumped: a wall clock that was set right between the start and the first reading does not let events move time past what an outage may
// hold back.
func TestFirstReadingJumped(t *testing.T) {
	w := newWatch(t, task.ClockConfig{SilenceMaxMs: int64(30 * minute)})
	w.Learn(&task.Time{InputAlive: w.r.Wall - 6*hour})
	w.r.Wall += 2 * minute
	if w.read(); w.last != task.Jumped {
		t.Fatalf("the clock says %d", w.last)
	}
	if w.HeldFrom(w.r.Wall) >= w.r.Wall {
		t.Error("events move time")
	}
}

// TestNobodyLooked: a process that has not read the clock for longer than the input may be silent, frozen or without an answer, does not let events move
// time past what an outage of meanwhile may hold back.
func TestNobodyLooked(t *testing.T) {
	w := newWatch(t, task.ClockConfig{SilenceMaxMs: int64(30 * minute)})
	w.Learn(&task.Time{InputAlive: w.r.Wall - minute})
	w.minutes(60, func() { w.r.Logs[0].Newest = w.r.Wall })
	if now := w.r.Wall + 30*minute; w.last != task.Free || w.HeldFrom(now) < now {
		t.Fatalf("the clock says %d", w.last)
	}
	if now := w.r.Wall + 31*minute; w.HeldFrom(now) >= now {
		t.Error("events move time when nobody has looked for longer than the input may be silent")
	}
}

// TestSlowClock: by a wall clock that is two days slow an outage of four is one of two, which may be. What comes after it does not move time past what that clock shows.
func TestSlowClock(t *testing.T) {
	w := newWatch(t, task.ClockConfig{SilenceMaxMs: int64(3 * day)})
	w.Learn(&task.Time{InputAlive: w.r.Wall - minute})
	w.minutes(10, func() { w.r.Logs[0].Newest = w.r.Wall })
	w.minutes(2*24*60, func() {})
	now := w.r.Wall
	w.r.Logs[0] = task.Log{End: w.r.Logs[0].End + 1, Newest: now + 2*day}
	w.minutes(1, func() {})
	if w.last != task.Free {
		t.Fatalf("the clock says %d", w.last)
	}
	if from := w.HeldFrom(w.r.Wall); from < w.r.Wall || from >= now+2*day {
		t.Errorf("events that were appended after %s move no time, when the clock shows %s and the newest is of %s", from, w.r.Wall, now+2*day)
	}
}

// TestDowntimeIsNoGap: the time in which no process watched is not learnt as a silence that is normal for the source.
func TestDowntimeIsNoGap(t *testing.T) {
	meta := task.NewMeta()
	at := start + 12*hour
	meta.InputAlive, meta.Gaps = at, []task.Gap{{Day: operators.Day(at / operators.DayMs), Ms: 1000}}
	for _, down := range []operators.EventTime{29 * minute, 86 * minute} {
		at += down
		c := task.NewClock(task.ClockConfig{LatenessMs: int64(10 * minute), StepMaxMs: int64(day), SettleMs: int64(5 * minute)}, at)
		c.Learn(&meta.Time)
		c.Read(&task.Reading{Wall: at, Logs: []task.Log{{End: 1, Newest: at}}, Read: operators.Unset, Late: operators.Unset, Watermark: operators.Unset})
		c.Teach(&meta.Time)
		if got := c.SilenceMaxMs(); got > int64(30*minute) {
			t.Errorf("the source may be silent for %d minutes", got/int64(minute))
		}
	}
}

// TestUnused: an input that has never had a record is waited for for as long as an input may be silent, from when the others are of now, and holds nothing then; neither does the next process wait. Its first record needs no time
// to settle, and if nothing comes after it the input is silent like any other. Before that it is one that nobody has watched.
func TestUnused(t *testing.T) {
	empty := func() *watch {
		w := newWatch(t, hourly)
		w.r.Logs = []task.Log{{Newest: operators.Unset}, {Newest: operators.Unset}}
		return w
	}
	live := func(w *watch) func() {
		return func() { w.r.Others = []task.Other{{Newest: w.r.Wall - minute, Watermark: w.r.Wall - 11*minute}} }
	}
	w := empty()
	w.minutes(3*60, w.quiet) // all are empty
	w.is(task.Awaited)
	w.minutes(3*60, func() { w.r.Others = []task.Other{{Newest: w.r.Wall, Watermark: w.r.Wall - 30*day}} }) // a history of the others is read
	w.is(task.Awaited)
	w.minutes(60, live(w))
	w.is(task.Awaited)
	if w.Stalled() || !w.Unused() || w.Watched() {
		t.Error("an input that is awaited is stalled, used or watched")
	}
	w.minutes(1, live(w))
	w.is(task.Free)
	w.minutes(10*60, live(w))
	w.is(task.Free)
	w.restart()
	w.minutes(1, live(w))
	w.is(task.Free)
	w.restart()
	w.minutes(1, func() { w.r.Others = []task.Other{{Newest: w.r.Wall - minute, Watermark: w.r.Wall - 30*day}} }) // a downtime's backlog
	w.is(task.Free)
	w.minutes(1, w.append)
	w.is(task.Free)
	if w.Unused() || w.HeldFrom(w.r.Wall) < w.r.Wall {
		t.Error("the first record is held")
	}
	w.minutes(60, w.quiet)
	w.is(task.Free)
	w.minutes(1, w.quiet)
	w.is(task.Stalled)

	w = empty() // what comes while it is awaited is history
	w.minutes(10, live(w))
	w.minutes(1, w.append)
	w.is(task.Stalled)
	if w.Watched() || w.HeldFrom(w.r.Wall) < w.r.Wall {
		t.Error("the first record is held, or has been watched for")
	}

	w = empty() // a wall clock of another week than the others' records
	w.r.Others = []task.Other{{Newest: w.r.Wall, Watermark: w.r.Wall - day}}
	w.r.Wall += 7 * day
	w.restart()
	w.minutes(3*60, w.quiet)
	w.is(task.Awaited)
	w.Learn(&task.Time{InputAlive: operators.Unset, Gaps: []task.Gap{{Day: operators.Day(start / operators.DayMs)}}})
	w.minutes(1, w.quiet)
	w.is(task.Unconfirmed)

	w = settled(t, hourly) // it is made anew
	w.r.Logs[0], w.r.Logs[1] = task.Log{Newest: operators.Unset}, task.Log{Newest: operators.Unset}
	w.minutes(3*60, live(w))
	w.is(task.Stalled)
}

// TestUnusedHasHadRecords: an input whose log is empty, but of which records have been read, by a position in it, or followed each other, by what is remembered, has lost them: it is silent.
func TestUnusedHasHadRecords(t *testing.T) {
	for name, had := range map[string]func(w *watch){
		"a position": func(w *watch) { w.r.Had = true },
		"a gap": func(w *watch) {
			w.Learn(&task.Time{InputAlive: operators.Unset, Gaps: []task.Gap{{Day: 1, Ms: int64(minute)}}})
		},
		"both, and no waiting": func(w *watch) {
			w.r.Had = true
			w.Learn(&task.Time{InputAlive: w.r.Wall, Gaps: []task.Gap{{Day: 1}, {Day: 2, Ms: 1}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t, hourly)
			w.r.Logs = []task.Log{{Newest: operators.Unset}, {Newest: operators.Unset}}
			had(w)
			live := func() { w.r.Others = []task.Other{{Newest: w.r.Wall - minute, Watermark: w.r.Wall - 11*minute}} }
			w.minutes(1, live)
			if w.Unused() {
				t.Error("it has never had a record")
			}
			w.minutes(3*60, live)
			if w.last == task.Free || w.last == task.Awaited {
				t.Errorf("the clock is held by %d", w.last)
			}
		})
	}
}

// TestUnusedWaitsAnew: who has not been waited for for long enough is waited for anew if the others' time is not of now any more, as a history of one of them has begun, or nobody has looked for a while.
func TestUnusedWaitsAnew(t *testing.T) {
	for name, meanwhile := range map[string]func(w *watch, live func()){
		"a history":     func(w *watch, _ func()) { w.minutes(1, func() { w.r.Others[0].Watermark = w.r.Wall - 30*day }) },
		"another input": func(w *watch, _ func()) { w.minutes(1, func() { w.r.Others[0].Watermark = operators.Unset }) },
		"nobody looks": func(w *watch, live func()) {
			w.r.Wall += 6 * minute
			w.r.Monotonic += int64(6 * minute)
			w.minutes(1, live)
		},
		"nobody looks yet": func(w *watch, live func()) { w.restart(); w.minutes(1, live) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t, hourly)
			w.r.Logs = []task.Log{{Newest: operators.Unset}, {Newest: operators.Unset}}
			live := func() { w.r.Others = []task.Other{{Newest: w.r.Wall - minute, Watermark: w.r.Wall - 11*minute}} }
			w.minutes(55, live)
			meanwhile(w, live)
			w.minutes(59, live)
			w.is(task.Awaited)
			w.minutes(2, live)
			w.is(task.Free)
			w.minutes(1, func() { w.r.Others[0].Watermark = w.r.Wall - 30*day }) // a backlog
			w.is(task.Free)
		})
	}
}

// TestUnusedFirstRecord: a first record need not settle, unless the newest of the others by which the input has been alive is older than one may be that nothing is known of.
func TestUnusedFirstRecord(t *testing.T) {
	for ago, want := range map[operators.EventTime]task.Hold{28 * minute: task.Free, 31 * minute: task.Stalled} {
		w := newWatch(t, task.ClockConfig{})
		w.r.Logs = []task.Log{{Newest: operators.Unset}, {Newest: operators.Unset}}
		w.Learn(&task.Time{InputAlive: operators.Unset, Gaps: []task.Gap{{Day: operators.Day(start / operators.DayMs)}}})
		w.minutes(1, func() {
			w.r.Others = []task.Other{{Newest: w.r.Wall - ago, Watermark: w.r.Wall - ago, GapMs: int64(hour)}}
		})
		w.is(task.Free)
		w.minutes(1, w.append)
		w.is(want)
	}
}

// TestUnusedWrongClock: an input that has never had a record has none by which it would show that the wall clock is wrong by less than clock.max_step, so it is held while any other input is silent by it for longer than that
// may be, which holds everybody's time anyway.
func TestUnusedWrongClock(t *testing.T) {
	ofNow, future := operators.EventTime(0), -365*day
	for name, tt := range map[string]struct {
		config task.ClockConfig
		others []task.Other // as of how long ago by this clock
		want   task.Hold
	}{
		"right":                              {task.ClockConfig{}, []task.Other{{Newest: ofNow, Watermark: 10 * minute}}, task.Free},
		"right, the other has been silent":   {task.ClockConfig{}, []task.Other{{Newest: 29 * minute, Watermark: 10 * minute}}, task.Free},
		"wrong by an hour":                   {task.ClockConfig{}, []task.Other{{Newest: hour, Watermark: 70 * minute}}, task.Stalled},
		"wrong by less than one may be":      {task.ClockConfig{}, []task.Other{{Newest: hour, Watermark: 70 * minute, GapMs: int64(20 * minute)}}, task.Free},
		"wrong by more than one may be":      {task.ClockConfig{}, []task.Other{{Newest: hour, Watermark: 70 * minute, GapMs: int64(19 * minute)}}, task.Stalled},
		"the limit is set":                   {hourly, []task.Other{{Newest: hour, Watermark: 70 * minute}}, task.Free},
		"wrong by more than is set":          {hourly, []task.Other{{Newest: hour + 1, Watermark: 70 * minute, GapMs: int64(day)}}, task.Stalled},
		"by one of two":                      {task.ClockConfig{}, []task.Other{{Newest: hour, Watermark: 70 * minute, GapMs: int64(day)}, {Newest: 40 * minute, Watermark: 70 * minute}}, task.Stalled},
		"dated ahead, right":                 {task.ClockConfig{}, []task.Other{{Newest: ofNow, Watermark: 10 * minute}, {Newest: future, Watermark: 30 * minute}}, task.Free},
		"dated ahead, wrong by an hour":      {task.ClockConfig{}, []task.Other{{Newest: ofNow, Watermark: 10 * minute}, {Newest: future, Watermark: 70 * minute}}, task.Stalled},
		"only dated ahead":                   {task.ClockConfig{}, []task.Other{{Newest: future, Watermark: 30 * minute}}, task.Free},
		"only dated ahead, wrong by an hour": {task.ClockConfig{}, []task.Other{{Newest: future, Watermark: 70 * minute}}, task.Stalled},
		"only dated ahead, wrong by days":    {task.ClockConfig{}, []task.Other{{Newest: future, Watermark: 2 * day}}, task.Unconfirmed},
		"wrong by days":                      {task.ClockConfig{}, []task.Other{{Newest: 2 * day, Watermark: 2 * day}}, task.Unconfirmed},
		"a clock that is a little behind":    {task.ClockConfig{}, []task.Other{{Newest: -minute, Watermark: day}}, task.Free},
		"all records have been deleted":      {task.ClockConfig{}, []task.Other{{Newest: ofNow, Watermark: 10 * minute}, {Newest: operators.Unset, Watermark: day}}, task.Stalled},
		"no input has had a record by now":   {task.ClockConfig{}, nil, task.Unconfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t, tt.config)
			w.r.Logs = []task.Log{{Newest: operators.Unset}, {Newest: operators.Unset}}
			w.Learn(&task.Time{InputAlive: operators.Unset, Gaps: []task.Gap{{Day: operators.Day(start / operators.DayMs)}}}) // it has been waited for
			w.minutes(3, func() {
				w.r.Others = nil
				for _, o := range tt.others {
					if o.Newest != operators.Unset {
						o.Newest = w.r.Wall - o.Newest
					}
					o.Watermark = w.r.Wall - o.Watermark
					w.r.Others = append(w.r.Others, o)
				}
			})
			w.is(tt.want)
			if newest := func(o task.Other) bool { return o.Newest != operators.Unset && o.Newest != future }; w.Dated() != slices.ContainsFunc(tt.others, newest) {
				t.Errorf("that a record's own time is known is %t", w.Dated())
			}
			if w.Stalled() || tt.want != task.Free && w.Watched() {
				t.Error("an input that has never had a record is stalled, or takes a wrong clock for its life")
			}
		})
	}
}
