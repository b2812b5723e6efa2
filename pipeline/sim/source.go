package sim

import (
	"slices"

	"lull/operators"
	"lull/pipeline/task"
)

// source is what produces an input. In an outage it is silent, and holds its events back; afterwards they come out of order, among others that are new.
type source struct {
	topic     topic
	silent    bool
	unused    bool                 // nobody writes to it yet
	waitedFor bool                 // an earlier process has, for long enough, for its first record
	appended  operators.EventTime  // when the last record before an outage was, that is or will be a long one
	protects  bool                 // the outage was longer than the source may be silent: until all is there, the clock must hold
	held      [][]*operators.Event // by partition
	open      []*txn               // by partition: a transaction that has not ended
}

// toggle begins an outage of a source, or ends it.
func (w *world) toggle(s *source) {
	if s.silent = !s.silent; s.silent {
		w.Stats.Outages++
	}
}

// returning reports whether events of an outage that is over are still to come.
func (s *source) returning() bool {
	return !s.silent && slices.ContainsFunc(s.held, func(list []*operators.Event) bool { return len(list) > 0 })
}

// returning reports whether any source's are.
func (w *world) returning() bool { return slices.ContainsFunc(w.sources, (*source).returning) }

// source returns what writes to a topic.
func (w *world) source(t topic) *source {
	return w.sources[slices.IndexFunc(w.sources, func(s *source) bool { return s.topic == t })]
}

// pass lets time pass. While an outage's events are coming they come without a longer break.
func (w *world) pass(d operators.EventTime) {
	if w.returning() {
		d = min(d, 5*minute)
	}
	w.now += d
}

// used reports whether an input has ever had a record.
func (w *world) used(t topic) bool {
	return slices.ContainsFunc(w.b.logs[t], func(l *partitionLog) bool { return l.next > 0 })
}

// others returns how the other inputs stand that have had a record.
func (w *world) others(t topic) (list []task.Other) {
	for _, other := range w.inputTopics() {
		if other == t || !w.used(other) {
			continue
		}
		is := task.Other{Newest: operators.Unset, Watermark: operators.Never}
		for n, log := range w.b.logs[other] {
			is.Newest = max(is.Newest, log.newest)
			meta, err := task.DecodeFeedMeta(w.b.offset(place{other, n}).metadata)
			if err != nil {
				meta.Watermark = operators.Unset // nothing has been committed
			}
			is.Watermark, is.GapMs = min(is.Watermark, meta.Watermark), max(is.GapMs, task.Longest(meta.Gaps))
		}
		list = append(list, is)
	}
	return list
}

// heldBack returns the earliest event of a partition that is held back by an outage which the clock must have noticed when it shows so much; nil if
// there is none. An input that has never had a record has no outages.
func (w *world) heldBack(at place, clock operators.EventTime) *operators.Event {
	s, n := w.source(at.topic), at.n
	limit := operators.EventTime(w.opt.Clock.SilenceMaxMs)
	if len(s.held[n]) == 0 || !w.used(at.topic) || !s.silent && !s.protects || clock <= s.appended+limit {
		return nil
	}
	return s.held[n][s.oldestHeld(n)]
}

// produce appends to an input: events in and out of order, stated twice, late, far ahead; marks; what is none of ours; transactions that are aborted, or
// stay open for long; gaps as compaction leaves them.
func (w *world) produce(at place) {
	s := w.source(at.topic)
	if !s.silent {
		w.endOpen(at)
	}
	for _, other := range w.sources { // time passes, and while an outage's events are coming they come without a longer break
		if !other.silent {
			for n := range other.held {
				w.release(other, n)
			}
		}
	}
	if !s.silent {
		w.append(at, w.records(at))
		return
	}
	for range 1 + w.choose("held back", 4) {
		w.events++
		w.pass([]operators.EventTime{0, 1, minute, 25 * minute, 3 * hour, 2 * day}[w.choose("on", 6)])
		s.held[at.n] = append(s.held[at.n], w.event(at))
		w.Stats.HeldBack++
	}
}

// release appends some of what an outage has held back, in no order.
func (w *world) release(s *source, n int) {
	if len(s.held[n]) == 0 {
		return
	}
	if w.used(s.topic) && w.now-s.appended > operators.EventTime(w.opt.Clock.SilenceMaxMs) {
		s.protects = true
	}
	for range 1 + w.choose("released", 2) {
		if len(s.held[n]) == 0 {
			break
		}
		i := w.choose("which", len(s.held[n]))
		late := w.opt.Clock.Late(w.now, s.held[n][i].Time)
		w.releaseEvent(s, n, i)
		if oldest := s.oldestHeld(n); !late && oldest >= 0 { // as long as late events are to come, some come
			w.releaseEvent(s, n, oldest)
		}
	}
	if !s.returning() {
		s.protects = false
	}
}

func (w *world) releaseEvent(s *source, n, i int) {
	w.Stats.Inputs++
	w.add(place{s.topic, n}, entry{payload: input{event: s.held[n][i], at: w.now}})
	s.held[n] = slices.Delete(s.held[n], i, i+1)
}

// oldestHeld returns the place of the earliest event that is held back, -1 if there is none.
func (s *source) oldestHeld(n int) int {
	oldest := -1
	for i, e := range s.held[n] {
		if oldest < 0 || e.Time < s.held[n][oldest].Time {
			oldest = i
		}
	}
	return oldest
}

// add appends a record.
func (w *world) add(at place, e entry) {
	w.b.log(at).add(e)
	if s := w.source(at.topic); !s.protects { // an outage that was short enough ends with its first event
		s.appended = w.now
	}
}

// records returns new records.
func (w *world) records(at place) []entry {
	log := w.b.log(at)
	var records []entry
	for range 1 + w.choose("records", 8) {
		w.events++
		in := input{at: w.now}
		switch what := w.choose("what", 40); {
		case what == 39:
			w.pass(operators.EventTime(w.choose("silence", int(10*day))))
			if w.opt.Task.EventClock {
				in.mark = w.now
			}
			in.at = w.now
		case what == 38: // none of ours. The producer of one partition may claim any time
			if at == (place{inputTopic, 0}) && !w.mistaken() && w.choose("claimed", 2) == 1 {
				in.at += 3650 * day
				w.claimed = true
			}
		case what >= 35 && len(log.entries) > 0:
			again, _ := log.entries[w.choose("again", len(log.entries))].payload.(input)
			again.at = w.now
			in = again
		default:
			w.pass([]operators.EventTime{0, 1, minute, 25 * minute, 3 * hour, 2 * day}[w.choose("on", 6)])
			in.event, in.at = w.event(at), w.now
		}
		records = append(records, entry{payload: in})
	}
	w.Stats.Inputs += len(records)
	return records
}

// append appends records, in a transaction or not.
func (w *world) append(at place, records []entry) {
	log := w.b.log(at)
	how := w.choose("how", 13)
	var t *txn
	if how >= 10 {
		t = &txn{state: open, logs: map[*partitionLog]bool{log: true}}
		w.source(at.topic).open[at.n] = t
		log.begun[t] = log.next
	}
	for _, r := range records {
		if how == 9 { // some were compacted away
			log.next += int64(w.choose("gap", 3))
		}
		r.txn = t
		w.add(at, r)
	}
	if how == 10 || how == 11 { // 12: it stays open
		w.endOpen(at)
	}
}

// endOpen ends a transaction of an input that is open.
func (w *world) endOpen(at place) {
	open := w.source(at.topic).open
	t := open[at.n]
	if t == nil {
		return
	}
	log := w.b.log(at)
	open[at.n] = nil
	t.state = committed
	if !w.calm && w.choose("end", 2) == 1 {
		t.state = aborted
	}
	delete(log.begun, t)
	log.add(entry{marker: true, txn: t})
}

// settleSources brings the sources back that were silent, and says that time has come: by marks, or by inputs that have settled.
func (w *world) settleSources() {
	for _, s := range w.sources {
		s.silent, s.unused = false, false
		for n := range s.held {
			w.endOpen(place{s.topic, n})
			for len(s.held[n]) > 0 {
				w.release(s, n)
			}
		}
	}
	if w.opt.Task.EventClock {
		w.now += hour
		for _, at := range w.inputPlaces() {
			w.add(at, entry{payload: input{mark: w.now, at: w.now}})
		}
		return
	}
	for _, n := range w.nodes { // clocks are set right, and that takes a restart
		if n.up && (n.off != 0 || n.offAtStart != 0) {
			n.die()
		}
		n.off = 0
	}
	for range 12 {
		w.now += operators.EventTime(w.opt.Clock.SettleMs) / 3
		for _, at := range w.inputPlaces() {
			w.add(at, entry{payload: input{at: w.now}})
		}
		for range 3 {
			for i := range w.nodes {
				w.runNode(i)
			}
		}
	}
}

// watcher reads the whole of an input while it has not settled.
type watcher struct {
	w       *world
	logs    []*partitionLog
	next    []int64
	reaches []task.Reach
	late    operators.EventTime
}

// watch returns a watcher of what was appended to an input after an instant.
func (w *world) watch(t topic, since operators.EventTime) *watcher {
	wr := &watcher{w: w, logs: w.b.logs[t], reaches: make([]task.Reach, len(w.b.logs[t])), late: operators.Unset}
	for _, log := range wr.logs {
		next := log.next
		if i := slices.IndexFunc(log.entries, func(e entry) bool { in, ok := e.payload.(input); return ok && in.at > since }); i >= 0 {
			next = log.entries[i].offset
		}
		wr.next = append(wr.next, next)
	}
	return wr
}

// look reads on, as far as it gets, and returns the instant up to which all has been read, and when the last late event was appended.
func (wr *watcher) look(r *task.Reading) (read, late operators.EventTime) {
	read = operators.Never
	for k, log := range wr.logs {
		wr.reaches[k].Ask(r.Wall, r.Logs[k].End)
		to := log.next
		if wr.w.rarely("watcher lags", 25) {
			to = wr.next[k]
		}
		for _, e := range log.entries {
			if in, ok := e.payload.(input); ok && in.event != nil && e.offset >= wr.next[k] && e.offset < to && wr.w.opt.Clock.Late(in.at, in.event.Time) {
				wr.late = max(wr.late, in.at)
			}
		}
		wr.next[k] = to
		wr.reaches[k].Pass(to)
		read = min(read, wr.reaches[k].Read())
	}
	return read, wr.late
}
