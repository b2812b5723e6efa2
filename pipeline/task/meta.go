package task

import (
	"encoding/binary"
	"fmt"
	"slices"

	"lull/operators"
)

// MetaVersion is the version byte that a meta record begins with. docs/formats/changelog.md describes it.
//
//	1: the first.
const MetaVersion = 1

// Meta is what a task remembers of itself. It is written with every transaction, so that it always stands for what its changelog stands for.
type Meta struct {
	// Position is the input offset of the next record to apply.
	Position int64
	// Observed is the offset of the last event that time was taken from. While it is Position, deadlines that come before that event are
	// still being fired.
	Observed int64
	// InputID and ChangelogID are the ids of the topics: another id is another topic of the same name.
	InputID, ChangelogID [16]byte
	// Settings is the fingerprint of the settings that shape the state, which the shape record spells out.
	Settings uint64
	// Watermark is the event time that the partition has certainly reached.
	Watermark operators.EventTime
	// Ahead are the sources of time that lie too far ahead of the watermark to be believed alone (clock: event): the latest time of each of up
	// to jumpWitnesses - 1 customers.
	Ahead []Witness
	// LastModel is the Ref of the last model that was taken in, in the order in which models are published; 0 before the first.
	LastModel uint32
	// Adoptions are the models by the instants from which they are in force.
	Adoptions []Adoption
	// Sweep is the walk through all customers that brings them to the model in force.
	Sweep Sweep
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

// NewMeta returns the meta record of a task that has seen nothing.
func NewMeta() Meta {
	return Meta{Observed: -1, Watermark: operators.Unset, InputAlive: operators.Unset}
}

// Append appends the record's encoding to dst.
func (m *Meta) Append(dst []byte) []byte {
	dst = append(dst, MetaVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Position))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Observed))
	dst = append(dst, m.InputID[:]...)
	dst = append(dst, m.ChangelogID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, m.Settings)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Watermark))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.InputAlive))
	dst = binary.BigEndian.AppendUint32(dst, m.LastModel)
	dst = binary.AppendUvarint(dst, uint64(len(m.Ahead)))
	for _, w := range m.Ahead {
		dst = binary.BigEndian.AppendUint64(dst, w.Customer)
		dst = binary.BigEndian.AppendUint64(dst, uint64(w.Time))
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.Adoptions)))
	for _, a := range m.Adoptions {
		dst = binary.BigEndian.AppendUint32(dst, a.Ref)
		dst = binary.BigEndian.AppendUint32(dst, a.Terms)
		dst = binary.BigEndian.AppendUint64(dst, uint64(a.At))
	}
	dst = m.Sweep.append(dst)
	dst = binary.AppendUvarint(dst, uint64(len(m.Gaps)))
	for _, g := range m.Gaps {
		dst = binary.BigEndian.AppendUint32(dst, uint32(g.Day))
		dst = binary.BigEndian.AppendUint64(dst, uint64(g.Ms))
	}
	return dst
}

const metaFixedBytes = 1 + 8 + 8 + 16 + 16 + 8 + 8 + 8 + 4

// DecodeMeta returns the meta record of these bytes. The error wraps operators.ErrCorrupt.
func DecodeMeta(src []byte) (Meta, error) {
	if len(src) < metaFixedBytes || src[0] != MetaVersion {
		return Meta{}, fmt.Errorf("%w: a meta record of %d bytes", operators.ErrCorrupt, len(src))
	}
	var m Meta
	m.Position = int64(binary.BigEndian.Uint64(src[1:]))
	m.Observed = int64(binary.BigEndian.Uint64(src[9:]))
	copy(m.InputID[:], src[17:])
	copy(m.ChangelogID[:], src[33:])
	m.Settings = binary.BigEndian.Uint64(src[49:])
	m.Watermark = operators.EventTime(binary.BigEndian.Uint64(src[57:]))
	m.InputAlive = operators.EventTime(binary.BigEndian.Uint64(src[65:]))
	m.LastModel = binary.BigEndian.Uint32(src[73:])
	src = src[metaFixedBytes:]
	ok := true
	list := func(elementBytes int, element func(b []byte)) {
		n, used := binary.Uvarint(src)
		if !ok || used <= 0 || n > uint64((len(src)-used)/elementBytes) {
			ok = false
			return
		}
		src = src[used:]
		for range n {
			element(src[:elementBytes])
			src = src[elementBytes:]
		}
	}
	list(16, func(b []byte) {
		m.Ahead = append(m.Ahead, Witness{binary.BigEndian.Uint64(b), operators.EventTime(binary.BigEndian.Uint64(b[8:]))})
	})
	list(16, func(b []byte) {
		m.Adoptions = append(m.Adoptions, Adoption{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), operators.EventTime(binary.BigEndian.Uint64(b[8:]))})
	})
	ok = ok && m.Sweep.decode(&src)
	list(12, func(b []byte) {
		m.Gaps = append(m.Gaps, Gap{operators.Day(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint64(b[4:]))})
	})
	if !ok || len(src) > 0 {
		return Meta{}, fmt.Errorf("%w: a malformed meta record", operators.ErrCorrupt)
	}
	return m, nil
}

// observe moves the watermark by one event. jumpMax is the greatest step in time that one customer can cause, 0 for no limit.
func (m *Meta) observe(customer string, t operators.EventTime, latenessMs, jumpMaxMs int64) {
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

// advance moves the watermark to t unless it is there already. Witnesses that it overtakes have nothing to prove any more.
func (m *Meta) advance(t operators.EventTime) {
	if t <= m.Watermark {
		return
	}
	m.Watermark = t
	m.Ahead = slices.DeleteFunc(m.Ahead, func(w Witness) bool { return w.Time <= t })
}
