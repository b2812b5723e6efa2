package task

import (
	"encoding/binary"
	"fmt"

	"lull/operators"
)

// MetaVersion is the version byte that a meta record begins with. docs/formats/changelog.md describes it.
//
//	1: the first.
//	2: with the upstreams at the end. The first is read: such a task has none.
//	3: with the calls to act behind them. Those before are read: such a task has made none.
//	4: with the quality of the sources behind them, and customers of version 4. Those before are read: such a task has counted nothing.
const MetaVersion = 4

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
	Time
	// LastModel is the Ref of the last model that was taken in, in the order in which models are published; 0 before the first.
	LastModel uint32
	// Adoptions are the models by the instants from which they are in force.
	Adoptions []Adoption
	// Sweep is the walk through all customers that brings them to the model in force.
	Sweep Sweep
	// Upstreams are the feeds whose events the task reads, by their Feed; none if it reads an input topic itself.
	Upstreams []Upstream
	// Calls are the calls to act that rules with a cap have made, by day; in the order of days, and then of rules.
	Calls []operators.DayCalls
	// Quality counts the records of the day that the watermark stands on, by source; in the order of sources. The days before have been told.
	Quality []Quality
}

// NewMeta returns the meta record of a task that has seen nothing.
func NewMeta() Meta {
	return Meta{Observed: -1, Time: newTime()}
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
	dst = m.appendAhead(dst)
	dst = binary.AppendUvarint(dst, uint64(len(m.Adoptions)))
	for _, a := range m.Adoptions {
		dst = binary.BigEndian.AppendUint32(dst, a.Ref)
		dst = binary.BigEndian.AppendUint32(dst, a.Terms)
		dst = binary.BigEndian.AppendUint64(dst, uint64(a.At))
	}
	dst = m.Sweep.append(dst)
	dst = m.appendGaps(dst)
	dst = binary.AppendUvarint(dst, uint64(len(m.Upstreams)))
	for _, u := range m.Upstreams {
		dst = binary.BigEndian.AppendUint64(dst, u.Feed)
		dst = binary.BigEndian.AppendUint64(dst, uint64(u.Offset))
		dst = binary.BigEndian.AppendUint64(dst, uint64(u.Watermark))
	}
	dst = m.appendCalls(dst)
	return m.appendQuality(dst)
}

const metaFixedBytes = 1 + 8 + 8 + 16 + 16 + 8 + 8 + 8 + 4

// DecodeMeta returns the meta record of these bytes. The error wraps operators.ErrCorrupt.
func DecodeMeta(src []byte) (Meta, error) {
	if len(src) < metaFixedBytes {
		return Meta{}, fmt.Errorf("%w: a meta record of %d bytes", operators.ErrCorrupt, len(src))
	}
	if src[0] == 0 || src[0] > MetaVersion {
		return Meta{}, fmt.Errorf("%w: a meta record of version %d; this program reads versions 1 to %d", operators.ErrCorrupt, src[0], MetaVersion)
	}
	var m Meta
	version := src[0]
	m.Position = int64(binary.BigEndian.Uint64(src[1:]))
	m.Observed = int64(binary.BigEndian.Uint64(src[9:]))
	copy(m.InputID[:], src[17:])
	copy(m.ChangelogID[:], src[33:])
	m.Settings = binary.BigEndian.Uint64(src[49:])
	m.Watermark = operators.EventTime(binary.BigEndian.Uint64(src[57:]))
	m.InputAlive = operators.EventTime(binary.BigEndian.Uint64(src[65:]))
	m.LastModel = binary.BigEndian.Uint32(src[73:])
	l := lists{src: src[metaFixedBytes:]}
	m.readAhead(&l)
	l.read(16, func(b []byte) {
		m.Adoptions = append(m.Adoptions, Adoption{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), operators.EventTime(binary.BigEndian.Uint64(b[8:]))})
	})
	l.failed = l.failed || !m.Sweep.decode(&l.src)
	m.readGaps(&l)
	if version > 1 {
		l.read(24, func(b []byte) {
			m.Upstreams = append(m.Upstreams, Upstream{binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:])), operators.EventTime(binary.BigEndian.Uint64(b[16:]))})
		})
	}
	if version > 2 {
		m.readCalls(&l)
	}
	if version > 3 {
		m.readQuality(&l)
	}
	if l.failed || len(l.src) > 0 {
		return Meta{}, fmt.Errorf("%w: a malformed meta record", operators.ErrCorrupt)
	}
	return m, nil
}

// lists reads lists of elements of fixed lengths. After a fault it reads nothing.
type lists struct {
	src    []byte
	failed bool
}

func (l *lists) read(elementBytes int, element func(b []byte)) {
	n, used := binary.Uvarint(l.src)
	if l.failed || used <= 0 || n > uint64((len(l.src)-used)/elementBytes) {
		l.failed = true
		return
	}
	l.src = l.src[used:]
	for range n {
		element(l.src[:elementBytes])
		l.src = l.src[elementBytes:]
	}
}

func (l *lists) uint() uint64 {
	n, used := binary.Uvarint(l.src)
	if l.failed || used <= 0 {
		l.failed = true
		return 0
	}
	l.src = l.src[used:]
	return n
}

func (l *lists) take(n uint64) []byte {
	if l.failed || n > uint64(len(l.src)) {
		l.failed = true
		return nil
	}
	b := l.src[:n]
	l.src = l.src[n:]
	return b
}
