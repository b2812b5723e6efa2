package task

import (
	"encoding/binary"
	"slices"

	"lull/operators"
)

// Time is what is known of time in one partition of an input topic. It only goes forward.
type Time struct {
	// Watermark is the event time that the partition has certainly reached; Unset before the first event.
	Watermark operators.EventTime
	// Ahead are the sources of time that lie too far ahead of the watermark to be believed alone (clock: event): the latest time of each of up
	// to jumpWitnesses - 1 customers.
	Ahead []Witness
	// Gaps are the longest silences of the input topic by day, the newest days last.
	Gaps []Gap
	// InputAlive is the append time of the newest record of the input topic when the wall clock last moved the watermark (clock: wall); Unset if it
	// never has.
	InputAlive operators.EventTime
}

// Witness is a customer who was heard of at a time.
type Witness struct {
	Customer uint64 // operators.Hash64 of the id
	Time     operators.EventTime
}

// Gap is the longest silence of the input topic on one day, as far as this task has seen it.
type Gap struct {
	Day operators.Day // of append time, UTC
	Ms  int64
}

const jumpWitnesses = 3 // customers who must agree on a jump in time

func newTime() Time { return Time{Watermark: operators.Unset, InputAlive: operators.Unset} }

// observe moves the watermark by one event. jumpMax is the greatest step in time that one customer can cause, 0 for no limit.
func (m *Time) observe(customer string, t operators.EventTime, latenessMs, jumpMaxMs int64) {
	reached := t - operators.EventTime(latenessMs)
	if jumpMaxMs == 0 || (m.Watermark != operators.Unset && reached <= m.Watermark+operators.EventTime(jumpMaxMs)) {
		m.advance(reached)
		return
	}
	who := operators.Hash64(customer)
	if i := slices.IndexFunc(m.Ahead, func(w Witness) bool { return w.Customer == who }); i >= 0 {
		m.Ahead[i].Time = max(m.Ahead[i].Time, t)
		return
	}
	m.Ahead = append(m.Ahead, Witness{who, t})
	if len(m.Ahead) < jumpWitnesses {
		return
	}
	// All of them agree that time has come at least as far as the least of them.
	least := m.Ahead[0].Time
	for _, w := range m.Ahead {
		least = min(least, w.Time)
	}
	m.advance(least - operators.EventTime(latenessMs))
	bound := m.Watermark + operators.EventTime(jumpMaxMs+latenessMs)
	m.Ahead = slices.DeleteFunc(m.Ahead, func(w Witness) bool { return w.Time <= bound })
}

// Longest returns the length of the longest of some gaps in milliseconds, 0 if there is none.
func Longest(gaps []Gap) (ms int64) {
	for _, g := range gaps {
		ms = max(ms, g.Ms)
	}
	return ms
}

// advance moves the watermark to t unless it is there already. Witnesses that it overtakes have nothing to prove any more.
func (m *Time) advance(t operators.EventTime) {
	if t <= m.Watermark {
		return
	}
	m.Watermark = t
	m.Ahead = slices.DeleteFunc(m.Ahead, func(w Witness) bool { return w.Time <= t })
}

func (m *Time) appendAhead(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m.Ahead)))
	for _, w := range m.Ahead {
		dst = binary.BigEndian.AppendUint64(dst, w.Customer)
		dst = binary.BigEndian.AppendUint64(dst, uint64(w.Time))
	}
	return dst
}

func (m *Time) readAhead(l *lists) {
	l.read(16, func(b []byte) {
		m.Ahead = append(m.Ahead, Witness{binary.BigEndian.Uint64(b), operators.EventTime(binary.BigEndian.Uint64(b[8:]))})
	})
}

func (m *Time) appendGaps(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m.Gaps)))
	for _, g := range m.Gaps {
		dst = binary.BigEndian.AppendUint32(dst, uint32(g.Day))
		dst = binary.BigEndian.AppendUint64(dst, uint64(g.Ms))
	}
	return dst
}

func (m *Time) readGaps(l *lists) {
	l.read(12, func(b []byte) {
		m.Gaps = append(m.Gaps, Gap{operators.Day(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint64(b[4:]))})
	})
}
