package task

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"lull/operators"
)

// Quality counts the records of one source that a task has come by on one day of its watermark, by what was wrong with each.
type Quality struct {
	Source string // name of the input topic
	Day    operators.Day
	Counts [operators.FaultsEnd]int64 // by fault; those of operators.NoFault are the events as they should be
	// Over says that the day is over: the counts are not kept any more.
	Over bool
}

// undated is the day of records that have come before there was a watermark. They are of its first day, once there is one.
const undated = operators.Day(math.MinInt32)

// qualityDay returns the day that the watermark stands on, in UTC: a calendar would be asked for every event.
func (t *Task) qualityDay() operators.Day {
	at := t.meta.Watermark
	if at == operators.Unset {
		return undated
	}
	return at.UTCDay()
}

// CountRecord counts a record of a source that the task has just passed, with what was wrong with it, and a fault with its customer too: customer is "" if whose record it was is not known. Of one
// whom nothing else is known of none is kept.
func (t *Task) CountRecord(source string, fault operators.Fault, customer string) error {
	day := t.qualityDay()
	t.endDays(day)
	all := t.meta.Quality
	i := 0
	for i < len(all) && all[i].Source < source {
		i++
	}
	if i == len(all) || all[i].Source != source {
		all = slices.Insert(all, i, Quality{Source: source, Day: day})
		t.meta.Quality = all
	}
	all[i].Counts[fault]++
	if fault == operators.NoFault {
		return nil
	}
	if day != undated {
		t.tellQuality(&all[i])
	}
	if customer == "" {
		return nil
	}
	// The key of a record that was refused may be anything. Whether there is a state hangs on the records alone; what is in it, on sweeps too.
	if t.customers.get(customer) == nil {
		t.keyBuf = CustomerKey(t.keyBuf[:0], customer)
		_, known, err := t.store.Get(t.keyBuf)
		if err != nil {
			return fmt.Errorf("reading a customer: %w", err)
		}
		if !known {
			return nil
		}
	}
	c, err := t.load(customer)
	if err != nil {
		return err
	}
	if n := &c.Faults[fault]; *n < math.MaxUint32 {
		*n++
		t.touch(c)
	}
	return nil
}

// endDays tells the counts of days before the one that the watermark stands on, and forgets them.
func (t *Task) endDays(day operators.Day) {
	if len(t.meta.Quality) == 0 || t.meta.Quality[0].Day == day { // all are of one day
		return
	}
	for _, q := range t.meta.Quality {
		q.Over = true
		t.tellQuality(&q)
	}
	t.meta.Quality = t.meta.Quality[:0]
}

// dateQuality makes what was counted before there was a watermark part of its first day. It is called wherever the watermark may have moved: which day that is must not hang on when it is asked for.
func (t *Task) dateQuality() {
	if all := t.meta.Quality; len(all) > 0 && all[0].Day == undated {
		for i := range all {
			all[i].Day = t.qualityDay()
		}
	}
}

// tellQuality makes counts part of what the transaction tells; of one source and day the last.
func (t *Task) tellQuality(q *Quality) {
	for i := len(t.quality) - 1; i >= 0; i-- {
		if t.quality[i].Source == q.Source && t.quality[i].Day == q.Day {
			t.quality[i] = *q
			return
		}
	}
	t.quality = append(t.quality, *q)
}

// Quality returns the counts that the transaction tells, of a source and day once: those with a fault, as they stood at the last, and those of days that are over. What is told at last of a source and day hangs on the order of the
// records alone, how often it is told on where transactions end. They are valid until Committed or Aborted.
func (t *Task) Quality() []Quality { return t.quality }

func (m *Meta) appendQuality(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m.Quality)))
	for i := range m.Quality {
		q := &m.Quality[i]
		dst = binary.AppendUvarint(dst, uint64(len(q.Source)))
		dst = append(dst, q.Source...)
		dst = binary.BigEndian.AppendUint32(dst, uint32(q.Day))
		for _, n := range q.Counts {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
	}
	return dst
}

func (m *Meta) readQuality(l *lists) {
	n := l.uint()
	for range n {
		var q Quality
		q.Source = string(l.take(l.uint()))
		if b := l.take(4); b != nil {
			q.Day = operators.Day(int32(binary.BigEndian.Uint32(b)))
		}
		for f := range q.Counts {
			count := l.uint()
			l.failed = l.failed || count > math.MaxInt64
			q.Counts[f] = int64(count)
		}
		if k := len(m.Quality); l.failed || k > 0 && m.Quality[k-1].Source >= q.Source {
			l.failed = true
			return
		}
		m.Quality = append(m.Quality, q)
	}
}
