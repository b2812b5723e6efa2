package task

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"lull/operators"
)

// FeedMetaVersion is the version byte that a feed's meta record begins with. docs/formats/feeds.md describes it.
//
//	1: the first.
//	2: with the history that is yet to be read. A feed that has none to read writes the first.
const FeedMetaVersion = 2

// FeedMeta is what a feed remembers of itself. It is committed with the position, as the offset's metadata.
type FeedMeta struct {
	// Position is the input offset of the next record to take.
	Position int64
	// InputID is the id of the input topic: another id is another topic of the same name.
	InputID [16]byte
	// History is what lay in the input when the feed began, until it has been read.
	History History
	Time
}

// History is what lay in the inputs when a feed began that no offset had been committed of, under clock: wall. Nobody has watched these inputs, so no wall clock speaks for a partition that has nothing more: time
// would stand at its last record, or nowhere, while the history of the others is read.
type History struct {
	// End is the offset behind the feed's own part of it.
	End int64
	// Until is the instant that the feed has come to when that has been read.
	Until operators.EventTime
}

// NoHistory is that of a feed which has read it, or began when there was none in any input.
var NoHistory = History{End: -1, Until: operators.Unset}

// NewFeedMeta returns the meta record of a feed that is to begin at an offset of a topic.
func NewFeedMeta(position int64, inputID [16]byte) FeedMeta {
	return FeedMeta{Position: position, InputID: inputID, History: NoHistory, Time: newTime()}
}

// String returns the record as text, which DecodeFeedMeta reads.
func (m *FeedMeta) String() string {
	b := []byte{FeedMetaVersion}
	if m.History == NoHistory {
		b[0] = 1 // which earlier programs read
	}
	b = binary.BigEndian.AppendUint64(b, uint64(m.Position))
	b = append(b, m.InputID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Watermark))
	b = binary.BigEndian.AppendUint64(b, uint64(m.InputAlive))
	if m.History != NoHistory {
		b = binary.BigEndian.AppendUint64(b, uint64(m.History.End))
		b = binary.BigEndian.AppendUint64(b, uint64(m.History.Until))
	}
	b = m.appendAhead(b)
	b = m.appendGaps(b)
	return base64.RawStdEncoding.EncodeToString(b)
}

const (
	feedMetaFixedBytes = 1 + 8 + 16 + 8 + 8
	historyBytes       = 8 + 8
)

// DecodeFeedMeta returns the meta record of a text. The error wraps operators.ErrCorrupt.
func DecodeFeedMeta(text string) (FeedMeta, error) {
	b, err := base64.RawStdEncoding.DecodeString(text)
	fixed := feedMetaFixedBytes
	if len(b) > 0 && b[0] == FeedMetaVersion {
		fixed += historyBytes
	}
	if err != nil || len(b) < fixed || b[0] == 0 || b[0] > FeedMetaVersion {
		return FeedMeta{}, fmt.Errorf("%w: a feed's meta record of %d characters", operators.ErrCorrupt, len(text))
	}
	m := NewFeedMeta(0, [16]byte{})
	m.Position = int64(binary.BigEndian.Uint64(b[1:]))
	copy(m.InputID[:], b[9:])
	m.Watermark = operators.EventTime(binary.BigEndian.Uint64(b[25:]))
	m.InputAlive = operators.EventTime(binary.BigEndian.Uint64(b[33:]))
	if fixed > feedMetaFixedBytes {
		m.History.End = int64(binary.BigEndian.Uint64(b[feedMetaFixedBytes:]))
		m.History.Until = operators.EventTime(binary.BigEndian.Uint64(b[feedMetaFixedBytes+8:]))
	}
	l := lists{src: b[fixed:]}
	m.readAhead(&l)
	m.readGaps(&l)
	if l.failed || len(l.src) > 0 {
		return FeedMeta{}, fmt.Errorf("%w: a malformed feed's meta record", operators.ErrCorrupt)
	}
	return m, nil
}

// FeedID returns the id under which tasks know the feed of a partition of the topic with this id. A topic that was re-created has other feeds.
func FeedID(topicID [16]byte, partition int32) uint64 {
	return operators.Hash64(string(binary.BigEndian.AppendUint32(topicID[:], uint32(partition))))
}

// Feed is the first stage of one partition of an input topic that is not keyed by customer, or is one of several: it takes time from the records, in their order,
// and what it passes on to the tasks says how far time has come. It is used by one goroutine at a time.
type Feed struct {
	cfg     Config
	meta    FeedMeta
	changed bool
	held    bool
	cut     int64 // where the log was cut off, -1 if that has been told
}

// NewFeed returns the feed that goes on from its meta record. Of the configuration it needs what concerns time.
func NewFeed(cfg Config, meta FeedMeta) *Feed { return &Feed{cfg: cfg, meta: meta, cut: -1} }

// Meta returns the feed's meta record, to be read and, for what a Clock teaches, changed before the transaction ends.
func (f *Feed) Meta() *FeedMeta { return &f.meta }

// Position returns the offset of the next record to take.
func (f *Feed) Position() int64 { return f.meta.Position }

// Time returns what the feed knows of time, for a Clock to teach.
func (f *Feed) Time() *Time { return &f.meta.Time }

// Changed reports whether the transaction has something to write.
func (f *Feed) Changed() bool { return f.changed }

// Committed ends a transaction that is durable. After one that is not, another Feed goes on from what is committed.
func (f *Feed) Committed() { f.changed = false }

// HoldTime says whether events that are taken from now on move no time, as a Clock tells under clock: wall.
func (f *Feed) HoldTime(held bool) { f.held = held }

// Take passes an event, and takes time from it.
func (f *Feed) Take(offset int64, event *operators.Event) {
	if !event.Clamped && !event.Doubted && !f.held {
		f.meta.observe(event.Customer, event.Time, f.cfg.LatenessMs, f.cfg.JumpMaxMs)
	}
	f.Skip(offset)
}

// Mark passes a time mark: no event at or before at will come any more.
func (f *Feed) Mark(offset int64, at operators.EventTime) {
	f.meta.advance(at)
	f.Skip(offset)
}

// Skip passes a record that tells no time.
func (f *Feed) Skip(offset int64) { f.meta.Position, f.changed = offset+1, true }

// AdvanceClock moves the watermark to an instant that the wall clock proves.
func (f *Feed) AdvanceClock(to operators.EventTime) {
	if to > f.meta.Watermark {
		f.meta.advance(to)
		f.changed = true
	}
}

// BeginHistory makes what lies in the input below an offset history. It is committed even if nothing is read, so that the next owner knows it from what comes later.
func (f *Feed) BeginHistory(h History) { f.meta.History, f.changed = h, true }

// InHistory reports whether there is history to read.
func (f *Feed) InHistory() bool { return f.meta.History != NoHistory }

// EndHistory moves the watermark to the end of the history if that has been read. It reports whether it has been now.
func (f *Feed) EndHistory() bool {
	if !f.InHistory() || f.meta.Position < f.meta.History.End {
		return false
	}
	f.AdvanceClock(f.meta.History.Until)
	f.meta.History, f.changed = NoHistory, true
	return true
}

// Rewind makes the record at offset the next to take: the log was cut off there, and what comes is no history.
func (f *Feed) Rewind(offset int64) {
	f.meta.Position, f.cut, f.changed = offset, offset, true
	f.meta.History = NoHistory
}

// TellCut returns where the log was cut off since it was last asked, -1 if it was not: the tasks must be told before the events that have taken the offsets of others.
func (f *Feed) TellCut() (offset int64) {
	offset, f.cut = f.cut, -1
	return offset
}
