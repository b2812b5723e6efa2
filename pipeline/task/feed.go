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
const FeedMetaVersion = 1

// FeedMeta is what a feed remembers of itself. It is committed with the position, as the offset's metadata.
type FeedMeta struct {
	// Position is the input offset of the next record to take.
	Position int64
	// InputID is the id of the input topic: another id is another topic of the same name.
	InputID [16]byte
	Time
}

// NewFeedMeta returns the meta record of a feed that is to begin at an offset of a topic.
func NewFeedMeta(position int64, inputID [16]byte) FeedMeta {
	return FeedMeta{Position: position, InputID: inputID, Time: newTime()}
}

// String returns the record as text, which DecodeFeedMeta reads.
func (m *FeedMeta) String() string {
	b := []byte{FeedMetaVersion}
	b = binary.BigEndian.AppendUint64(b, uint64(m.Position))
	b = append(b, m.InputID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Watermark))
	b = binary.BigEndian.AppendUint64(b, uint64(m.InputAlive))
	b = m.appendAhead(b)
	b = m.appendGaps(b)
	return base64.RawStdEncoding.EncodeToString(b)
}

const feedMetaFixedBytes = 1 + 8 + 16 + 8 + 8

// DecodeFeedMeta returns the meta record of a text. The error wraps operators.ErrCorrupt.
func DecodeFeedMeta(text string) (FeedMeta, error) {
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(b) < feedMetaFixedBytes || b[0] != FeedMetaVersion {
		return FeedMeta{}, fmt.Errorf("%w: a feed's meta record of %d characters", operators.ErrCorrupt, len(text))
	}
	var m FeedMeta
	m.Position = int64(binary.BigEndian.Uint64(b[1:]))
	copy(m.InputID[:], b[9:])
	m.Watermark = operators.EventTime(binary.BigEndian.Uint64(b[25:]))
	m.InputAlive = operators.EventTime(binary.BigEndian.Uint64(b[33:]))
	l := lists{src: b[feedMetaFixedBytes:]}
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

// Rewind makes the record at offset the next to take: the log was cut off there.
func (f *Feed) Rewind(offset int64) { f.meta.Position, f.cut, f.changed = offset, offset, true }

// TellCut returns where the log was cut off since it was last asked, -1 if it was not: the tasks must be told before the events that have taken the offsets of others.
func (f *Feed) TellCut() (offset int64) {
	offset, f.cut = f.cut, -1
	return offset
}
