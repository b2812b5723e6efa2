package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"lull/schemas"
)

// tally counts what became of the records of one topic, so that it is told if most of them are refused: a mapping or a format that does not fit the records stops nothing.
type tally struct {
	events  int // of the window: records that were events, refused those that were not, or that no task would take
	refused int
	reasons map[string]refusals
	since   time.Time // when the window's first record was counted
	fits    bool      // a record was an event, since the process started
	warned  bool      // of the last window
	told    time.Time // when the log last told of it
}

// refusals are the records that were refused for one reason.
type refusals struct {
	count  int
	newest schemas.Position
}

const (
	// tallyRecords is how many records show what becomes of most. If none has ever been an event, or most were not of late, fewer do after tallyWait.
	tallyRecords = 100
	tallyWait    = 10 * time.Second
	// tallySilence is how long the log does not tell of a topic again.
	tallySilence = 10 * time.Minute
)

// add takes in what a committed transaction did with the topic.
func (t *tally) add(s *txnStats, now time.Time) {
	events := s.applied + s.passedOn + s.duplicate
	if t.events+t.refused == 0 {
		t.since = now
	}
	t.events += events
	t.fits = t.fits || events > 0
	for reason, of := range s.refused {
		if t.reasons == nil {
			t.reasons = make(map[string]refusals)
		}
		t.refused += of.count
		t.reasons[reason] = refusals{count: t.reasons[reason].count + of.count, newest: of.newest}
	}
}

// judge begins a window anew when it has shown what becomes of most records. told is false if it has not. warning says that most are refused, and what to do; "" if they are not.
func (t *tally) judge(topic string, mapped bool, now time.Time) (warning string, told bool) {
	none := !t.fits && t.refused > 0
	if n := t.events + t.refused; n == 0 || n < tallyRecords && (!none && !t.warned || now.Sub(t.since) < tallyWait) {
		return "", false
	}
	if t.refused > t.events {
		reason := slices.MaxFunc(slices.Sorted(maps.Keys(t.reasons)), func(a, b string) int { return cmp.Compare(t.reasons[a].count, t.reasons[b].count) })
		of := t.reasons[reason]
		warning = fmt.Sprintf("most records of topic %q are refused: %d of the last %d", topic, t.refused, t.events+t.refused)
		if none {
			warning = fmt.Sprintf("no record of topic %q has been an event since the start: of the last %d all were refused", topic, t.refused)
		}
		warning += fmt.Sprintf(", %d of them for %s. `lull dead-letters show %s` says of one what was found and what to do", of.count, reason, of.newest)
		if mapped {
			warning += fmt.Sprintf(", `lull mapping try --topic %s` what becomes of the newest", topic)
		}
	}
	t.events, t.refused, t.reasons, t.warned = 0, 0, nil, warning != ""
	return warning, true
}

// count takes in what a committed transaction did with a partition.
func (r *Runner) count(p *reader) {
	if r.tallies == nil {
		r.tallies = make(map[string]*tally)
	}
	of := r.tallies[p.topic]
	if of == nil {
		of = &tally{}
		r.tallies[p.topic] = of
	}
	of.add(&p.stats, time.Now())
}

// judgeRefusals tells of topics whose records are refused for the most part: as a warning for as long as they are, and in the log now and then.
func (r *Runner) judgeRefusals(now time.Time) {
	for topic, of := range r.tallies {
		in := r.inputOf(topic)
		mapped := in != nil && in.Format != schemas.OwnAvro
		warning, told := of.judge(topic, mapped, now)
		if !told {
			continue
		}
		r.health.warnIf("refusals of "+topic, warning)
		if warning != "" && now.Sub(of.told) >= tallySilence {
			of.told = now
			r.log.Warn().Str("topic", topic).Msg(warning)
		}
	}
}
