package task

import (
	"cmp"
	"slices"

	"lull/operators"
)

// ClockConfig says when a process believes the wall clock, under clock: wall.
type ClockConfig struct {
	// LatenessMs is the lateness of the tasks, in milliseconds.
	LatenessMs int64
	// StepMaxMs is how far ahead of all that the input confirms the wall clock may be when the process starts, in milliseconds.
	StepMaxMs int64
	// SilenceMaxMs is how long the whole input topic may be silent, in milliseconds; 0: three times the longest gap that has been seen, at least 30
	// minutes.
	SilenceMaxMs int64
	// SettleMs is for how long records must have come in time again after a longer silence, in milliseconds.
	SettleMs int64
	// ActionMaxMs is how old a trigger may be to be acted on, in milliseconds: what was appended longer ago calls nobody to act.
	ActionMaxMs int64
}

// Late reports whether an event was late when it was appended.
func (c *ClockConfig) Late(appended, happened operators.EventTime) bool {
	return appended-happened > operators.EventTime(c.LatenessMs)
}

// silenceMaxMs returns how long an input may be silent whose records have had such a gap at most.
func (c *ClockConfig) silenceMaxMs(gapMs int64) int64 {
	if c.SilenceMaxMs > 0 {
		return c.SilenceMaxMs
	}
	return max(silenceMinMs, 3*gapMs)
}

const (
	silenceMinMs = 30 * 60_000
	lookMaxMs    = 5 * 60_000 // between two looks, if what lies between them is a gap of the input and not of the watch
	jumpMaxMs    = 60_000     // of the wall clock against the monotonic clock
	gapDays      = 7
)

// Reading is one look at the clocks and, after it, at the input topic: what is appended later is younger than Wall.
type Reading struct {
	// Wall is what the wall clock shows.
	Wall operators.EventTime
	// Monotonic is what a clock shows that nobody sets, in milliseconds since the process began.
	Monotonic int64
	// Logs are all partitions of the topic, in the same order each time.
	Logs []Log
	// Read is the instant up to which all that was appended to any partition has been looked at, from WatchFrom on; Unset if that is not known. It is
	// wanted while the input is Stalled.
	Read operators.EventTime
	// Late is when the last event among that was appended that was late by then; Unset if none was.
	Late operators.EventTime
	// Watermark is the highest of the process's tasks.
	Watermark operators.EventTime
	// Had reports that records of the topic have been read, by a position in it: its log may have been cut off to nothing since.
	Had bool
	// Others are the other inputs that have had a record, and are wanted while this one has not.
	Others []Other
}

// Other is how an input stands beside one that has never had a record.
type Other struct {
	// Newest is the newest append time of its records, Unset if there is none.
	Newest operators.EventTime
	// Watermark is the least of its feeds, Unset if one has none.
	Watermark operators.EventTime
	// GapMs is the longest gap between its records that is remembered, in milliseconds.
	GapMs int64
}

// others returns the newest append time of the other inputs' records that is not later than now, the least watermark of their feeds, and until when none of them has been silent for longer than it may be; Unset is what is not known.
func (r *Reading) others(c *ClockConfig) (newest, watermark, until operators.EventTime) {
	if len(r.Others) == 0 {
		return operators.Unset, operators.Unset, operators.Unset
	}
	newest, watermark, until = operators.Unset, operators.Never, operators.Never
	for _, o := range r.Others {
		last := min(o.Newest, r.Wall)
		if o.Newest > r.Wall+jumpMaxMs { // a producer has claimed it, and who knows what it hides
			last = operators.Unset
		}
		newest = max(newest, last)
		if last == operators.Unset && o.Watermark != operators.Unset {
			last = o.Watermark + operators.EventTime(c.LatenessMs)
		}
		if last != operators.Unset {
			last += operators.EventTime(c.silenceMaxMs(o.GapMs))
		}
		watermark, until = min(watermark, o.Watermark), min(until, last)
	}
	return newest, watermark, until
}

// Used reports whether the topic has ever had a record, even one that is no more.
func (r *Reading) Used() bool {
	return r.Had || slices.ContainsFunc(r.Logs, func(l Log) bool { return l.End > 0 })
}

// Log is a partition of the input topic.
type Log struct {
	End int64
	// Newest is the newest append time of its records, Unset if there is none. Unless the topic has the brokers' time (LogAppendTime) it is what a
	// producer claims.
	Newest operators.EventTime
}

// Hold says why the wall clock moves no watermark.
type Hold uint8

// The reasons to hold the clock.
const (
	// Free: it moves them.
	Free Hold = iota
	// Jumped: the wall clock and the monotonic clock have parted since the process began.
	Jumped
	// Unconfirmed: nothing in the input comes near the wall clock of the process's start.
	Unconfirmed
	// Unknown: the input has not been watched for long enough to tell how long it may be silent.
	Unknown
	// Stalled: the whole input is silent, or was, and has not settled since; of one that has never had a record, another input is silent by this wall clock.
	Stalled
	// Awaited: the input has never had a record, and what it is to have may be about to be loaded.
	Awaited
)

// Clock judges whether the silence of customers is theirs, or that of the feed or of the clock itself. One serves all tasks of a process. It is used by one
// goroutine at a time.
//
// The input is alive as long as every append to any partition of the topic follows the one before within the limit. After a longer gap, or if nobody
// has watched, the events that were held back may come in any order, so the feed has to settle: records have come for SettleMs, and none that this
// process has read up to the last of them was late when it was appended. What is known of the input is in the tasks' meta records, so a restart or another owner goes on from it.
//
// Until then no time may be taken from what has come since either: see HeldFrom.
//
// An input that has never had a record has no silence that could be judged, and nobody knows whether it ever will have one. Time goes on without it once the time of the others has been of now for as long as an input may be
// silent; that it has is remembered like a gap of no length. Its first record finds an input that has been alive until then. As it has no record by which a wrong wall clock would show, that is believed as long as
// it finds none of the others silent.
type Clock struct {
	Config ClockConfig

	start     operators.EventTime // what the wall clock showed when the process began
	begun     bool                // it has been read
	watched   operators.EventTime // since when
	confirmed bool                // the wall clock of the start

	used     bool                // the input has had a record
	logs     []Log               // at the last reading
	looked   operators.EventTime // when that was
	watching bool                // it followed soon on the one before
	seen     operators.EventTime // the newest append
	dated    operators.EventTime // the newest that is known by its own time and not by the wall clock
	alive    operators.EventTime // the newest append up to which the input has been alive
	awaited  operators.EventTime // an append that was the newest, and is yet to be looked at
	heard    operators.EventTime // the newest append up to which all have been looked at
	settling operators.EventTime // since when the feed has been in time, Unset if it is not
	stalled  bool
	heldFrom operators.EventTime
	gaps     []Gap
	known    bool                // an earlier process has watched for long enough
	awaiting operators.EventTime // a first record: since when the other inputs' time has been of now, Unset if it is not
}

// NewClock returns a clock that has seen nothing, of a process that began at start by its wall clock.
func NewClock(config ClockConfig, start operators.EventTime) *Clock {
	return &Clock{
		Config: config, start: start, seen: operators.Unset, dated: operators.Unset, alive: operators.Unset, awaited: operators.Unset, heard: operators.Unset, settling: operators.Unset,
		heldFrom: operators.Never, awaiting: operators.Unset,
	}
}

// Learn takes over what a task's meta record knows of the input. It is called before the task's clock is moved.
func (c *Clock) Learn(m *Time) {
	c.alive = max(c.alive, m.InputAlive)
	for _, g := range m.Gaps {
		c.noteGap(g)
		c.known = true
		c.used = c.used || g.Ms > 0 // one of no length says that nobody waits for a first record any more
	}
}

// Teach writes what is known of the input into what a task or a feed knows of time.
func (c *Clock) Teach(m *Time) {
	m.InputAlive = max(m.InputAlive, c.alive)
	m.Gaps = slices.Clone(c.gaps)
}

// Stalled reports whether the input is silent, or has not settled since, by the last reading.
func (c *Clock) Stalled() bool { return c.stalled }

// WatchFrom returns the instant after which what is appended tells whether a stalled input has settled.
func (c *Clock) WatchFrom() operators.EventTime {
	return max(c.alive, c.looked-operators.EventTime(c.SilenceMaxMs()))
}

// HeldFrom returns since when events move no time: those that were appended after this instant say that time has come so far, while others of
// that time are still to come, from where an outage has held them back or in a backlog. Never if all do.
//
// A feed that nobody has watched yet holds none: what it has is history. And what was appended so long ago that nobody is called to act by it moves time as
// ever, so that a long backlog does not pile sessions up.
//
// now is the wall clock: what nobody has looked at for longer than the input may be silent may hide an outage. What is dated later by more than clocks part from
// each other moves no time: a producer has claimed it, or the wall clock is slow, and then it has not noticed how long the input was silent.
func (c *Clock) HeldFrom(now operators.EventTime) operators.EventTime {
	ahead := now + jumpMaxMs
	switch {
	case c.begun && (c.heldFrom != operators.Never || now-c.looked <= operators.EventTime(c.SilenceMaxMs())):
		return min(c.heldFrom, ahead)
	case c.alive == operators.Unset:
		return ahead
	}
	return min(c.alive, ahead)
}

// Used reports whether the input is known to have had a record.
func (c *Clock) Used() bool { return c.used }

// Unused reports whether the input has never had a record, by the last reading.
func (c *Clock) Unused() bool { return c.begun && !c.used }

// Watched reports whether the input is known to have been alive at any time.
func (c *Clock) Watched() bool { return c.alive != operators.Unset }

// Days returns on how many of the last days the input is known to have had records that followed each other.
func (c *Clock) Days() (n int) {
	for _, g := range c.gaps {
		if g.Ms > 0 {
			n++
		}
	}
	return n
}

// Seen returns the append time of the newest record of the topic, Unset if none is known.
func (c *Clock) Seen() operators.EventTime { return c.seen }

// Dated reports whether a record is known that says by its own time what the wall clock should be near to.
func (c *Clock) Dated() bool { return c.dated != operators.Unset }

// SilenceMaxMs returns how long the input may be silent.
func (c *Clock) SilenceMaxMs() int64 {
	return c.Config.silenceMaxMs(Longest(c.gaps))
}

// Read takes in a reading, and returns whether the wall clock may be believed by it.
func (c *Clock) Read(r *Reading) Hold {
	if c.Jumped(r) {
		return Jumped // and nothing is judged by it
	}
	first := !c.begun
	if first {
		c.begun, c.watched = true, r.Wall
	}
	c.used = c.used || r.Used() // for good: one whose log is empty now has lost its records
	c.look(r)
	c.confirmed = c.confirmed || c.confirms(r)
	if !c.used {
		return c.await(r)
	}
	c.stalled = !c.confirmed || !c.judge(r) // by a clock that is not believed nothing settles
	switch {
	case !c.stalled:
		c.heldFrom = operators.Never
	case c.alive != operators.Unset && c.heldFrom == operators.Never:
		if c.heldFrom = c.alive; first && c.seen != operators.Unset {
			c.heldFrom = max(c.heldFrom, c.seen-operators.EventTime(c.Config.ActionMaxMs)) // not by the wall clock: it may be wrong
		}
	}
	switch {
	case !c.confirmed:
		return Unconfirmed
	case c.Config.SilenceMaxMs == 0 && !c.known && r.Wall-c.watched < silenceMinMs:
		return Unknown
	case c.stalled:
		return Stalled
	}
	return Free
}

// Jumped reports whether the wall clock and the monotonic clock have parted since the process began. Nothing may be asked for by such a wall clock: what is
// answered when it has been set right would be taken for the truth.
func (c *Clock) Jumped(r *Reading) bool {
	jump := r.Wall - operators.EventTime(r.Monotonic) - c.start
	return jump > jumpMaxMs || jump < -jumpMaxMs
}

// await judges an input that has never had a record.
func (c *Clock) await(r *Reading) Hold {
	c.stalled, c.heldFrom = false, operators.Never
	_, others, until := r.others(&c.Config)
	limit := operators.EventTime(c.SilenceMaxMs())
	near := max(operators.DayMs, operators.EventTime(c.Config.LatenessMs), operators.EventTime(c.Config.ActionMaxMs)) + limit
	switch {
	case others == operators.Unset || r.Wall-others > near:
		c.awaiting = operators.Unset
	case c.awaiting == operators.Unset || !c.watching: // or nobody knows how they were since
		c.awaiting = r.Wall
	}
	switch {
	case !c.known && (c.awaiting == operators.Unset || r.Wall-c.awaiting < limit):
		return Awaited
	case !c.confirmed:
		return Unconfirmed
	case r.Wall > until: // so is everybody's time, by that input's clock; or this one is wrong
		return Stalled
	}
	c.known, c.alive = true, max(c.alive, c.dated)
	c.noteGap(Gap{Day: operators.Day(r.Wall / operators.DayMs)})
	return Free
}

// look finds the newest append, and how far all have been looked at. What is dated later than now, as producers may claim, tells of its partition only whether something was appended since
// the last look.
func (c *Clock) look(r *Reading) {
	for i, l := range r.Logs {
		switch {
		case l.Newest <= r.Wall:
			c.dated, c.seen = max(c.dated, l.Newest), max(c.seen, l.Newest)
		case i < len(c.logs) && l.End > c.logs[i].End:
			c.seen = max(c.seen, c.looked)
		}
	}
	if newest, _, _ := r.others(&c.Config); !c.used {
		c.dated = max(c.dated, newest)
	}
	c.watching = c.looked != 0 && r.Wall-c.looked <= lookMaxMs
	c.logs, c.looked = append(c.logs[:0], r.Logs...), r.Wall
	if c.seen <= r.Read {
		c.awaited = c.seen
	}
	if c.awaited <= r.Read {
		c.heard, c.awaited = c.awaited, c.seen
	}
}

// judge reports whether the input is alive, and has settled if it was not.
func (c *Clock) judge(r *Reading) bool {
	limit := operators.EventTime(c.SilenceMaxMs())
	if c.seen == operators.Unset || r.Wall-c.seen > limit {
		c.settling = operators.Unset
		return false
	}
	if c.alive == operators.Unset || c.seen-c.alive > limit {
		if c.settling = max(c.settling, min(r.Late, r.Wall)); c.settling == operators.Unset {
			c.settling = c.seen
		}
		if c.heard < c.settling+operators.EventTime(c.Config.SettleMs) {
			return false
		}
	} else if gap := c.seen - c.alive; gap > 0 && c.watching {
		c.noteGap(Gap{Day: operators.Day(c.seen / operators.DayMs), Ms: int64(gap)})
	}
	c.alive, c.settling = max(c.alive, c.seen), operators.Unset
	return true
}

// confirms reports whether the input comes near the wall clock, or the others do beside one that has never had a record.
func (c *Clock) confirms(r *Reading) bool {
	step := operators.EventTime(c.Config.StepMaxMs)
	if c.dated != operators.Unset && r.Wall-c.dated <= step {
		return true
	}
	reached := r.Watermark
	if !c.used {
		_, others, _ := r.others(&c.Config)
		reached = max(reached, others)
	}
	return reached != operators.Unset && r.Wall-(reached+operators.EventTime(c.Config.LatenessMs)) <= step
}

// noteGap remembers the longest gap of each of the last days.
func (c *Clock) noteGap(g Gap) {
	i, found := slices.BinarySearchFunc(c.gaps, g.Day, func(g Gap, day operators.Day) int { return cmp.Compare(g.Day, day) })
	if found {
		c.gaps[i].Ms = max(c.gaps[i].Ms, g.Ms)
		return
	}
	if c.gaps = slices.Insert(c.gaps, i, g); len(c.gaps) > gapDays {
		c.gaps = slices.Delete(c.gaps, 0, 1)
	}
}

// Reach follows how far a partition has been read, as a wall instant. The zero value has asked nothing.
type Reach struct {
	asked operators.EventTime // when the end was asked for; 0: not
	end   int64
	read  operators.EventTime // 0: not known
}

// Ask takes in a partition's end that was asked for after a wall instant, unless the position has yet to pass an earlier one.
func (r *Reach) Ask(wall operators.EventTime, end int64) {
	if r.asked == 0 {
		r.asked, r.end = wall, end
	}
}

// Pass returns the wall instant up to which all that was appended has been applied, now that the position is this; ok is set if it is news.
func (r *Reach) Pass(position int64) (read operators.EventTime, ok bool) {
	if r.asked == 0 || position < r.end {
		return operators.Unset, false
	}
	r.read, r.asked = r.asked, 0
	return r.read, true
}

// Read returns the instant of the last Pass, Unset if there was none.
func (r *Reach) Read() operators.EventTime {
	if r.read == 0 {
		return operators.Unset
	}
	return r.read
}
