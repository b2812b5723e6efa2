package pipeline

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
)

// topicPartition is a partition of a topic.
type topicPartition struct {
	topic string
	n     int32
}

// only returns it as the client wants it.
func (tp topicPartition) only() map[string][]int32 { return map[string][]int32{tp.topic: {tp.n}} }

// stage is what a partition's records are applied to: a task, or a feed.
type stage interface {
	Position() int64
	Rewind(offset int64)
	Time() *task.Time
}

// reader is a partition of a topic that is assigned to this process, as far as the reading of it goes: that of a task, or of a feed.
type reader struct {
	topicPartition
	phase phase
	why   string // stopped: what an operator must decide; waiting: for what
	// from is the input topic that it is of; nil if that is the internal topic events.
	from *inputTopic
	// stage is nil until what it goes on from is known.
	stage stage

	// group is the group's committed offset when the restore began, noOffset if there was none.
	group kgo.EpochOffset
	// start is the first offset of the log when the restore began.
	start int64

	decoder   *schemas.Decoder
	encoder   *schemas.Encoder
	source    schemas.Source
	event     operators.Event
	queue     []*kgo.Record
	end       int64           // of the partition, as far as is known
	appliedAt time.Time       // append time of the last record applied
	fetched   kgo.EpochOffset // after the last record in queue, or the position; the epoch is that record's
	epoch     int32           // leader epoch of the last record applied, -1 if not known: by it the client notices that the log was cut off (KIP-320)
	gap       int64           // the offset at which the log went on after fetched when it was last asked, 0 if it has not been
	records   []*kgo.Record   // to be produced
	// topicNames are those of the topics that records have been made for.
	topicNames map[schemas.Topic]string
	durable    int64 // what is before it has been committed since the partition came here
	reach      task.Reach
	clock      operators.EventTime // how far the wall clock proves the watermark; Unset: no further
	done       bool                // all that is queued and due has been done
	busyFor    int                 // transactions in a row that were not
	parked     bool                // it is not read until it is done
	held       bool                // the next record has to wait for other feeds
	awaits     string              // what the next record cannot be decoded without, and that has been asked for; "": nothing
	// toldAwaits is of awaits what the log has been told.
	toldAwaits string
	err        error // of the transaction under way
	stats      txnStats
}

// newReader returns the reader of a partition that has been assigned.
func (r *Runner) newReader(tp topicPartition, committed kgo.EpochOffset) (p reader, err error) {
	p = reader{topicPartition: tp, group: committed, from: r.inputOf(tp.topic), clock: operators.Unset}
	if p.decoder, err = r.newDecoder(p.from); err != nil {
		return p, err
	}
	p.encoder, err = r.newEncoder()
	return p, err
}

// reader returns what reads a partition here, nil if nothing does.
func (r *Runner) reader(tp topicPartition) *reader {
	if f := r.feeds[tp]; f != nil {
		return &f.reader
	}
	if p := r.partitions[tp.n]; p != nil && tp.topic == p.topic {
		return &p.reader
	}
	return nil
}

// readers returns all that read here, in no order.
func (r *Runner) readers() (list []*reader) {
	for _, p := range r.partitions {
		list = append(list, &p.reader)
	}
	for _, f := range r.feeds {
		list = append(list, &f.reader)
	}
	return list
}

// running returns those of them that run.
func (r *Runner) running() (list []*reader) {
	for _, p := range r.readers() {
		if p.phase == running {
			list = append(list, p)
		}
	}
	return list
}

// named names a partition in messages: by its number alone where there is one input topic.
func (r *Runner) named(p *reader) string {
	if r.s.Staged() {
		return fmt.Sprintf("partition %d of topic %q", p.n, p.topic)
	}
	return fmt.Sprintf("partition %d", p.n)
}

// position returns the offset of the next record to apply, with the leader epoch of the last that was.
func (p *reader) position() kgo.EpochOffset {
	return kgo.EpochOffset{Epoch: p.epoch, Offset: p.stage.Position()}
}

// applied notes the leader epoch of a record, if it has been applied.
func (p *reader) applied(record *kgo.Record) {
	if p.stage.Position() == record.Offset+1 {
		p.epoch = record.LeaderEpoch
	}
}

// setSource makes the record the one at hand.
func (p *reader) setSource(r *Runner, record *kgo.Record, now operators.EventTime) {
	p.stats.bytesIn += int64(len(record.Value))
	setSource(&p.source, record)
	if r.s.Clock.Mode == "wall" && record.Attrs.TimestampType() != logAppendTime {
		p.source.ReadTime = now
	}
}

// holdsTime reports whether the record at hand, p.source, moves no time. Under clock: event there is no wall clock to be behind: every event moves it.
func (p *reader) holdsTime(r *Runner, now operators.EventTime) bool {
	return r.s.Clock.Mode == "wall" && p.source.AppendTime > p.from.clock.HeldFrom(now)
}

// refused takes in why the record at hand, p.source, is no event. It returns why it becomes a dead letter, nil if it does not; awaited is set if its turn is yet to come.
func (p *reader) refused(refusal *operators.Rejection) (letter *operators.Rejection, awaited bool) {
	switch refusal.Reason {
	case schemas.ReasonSchemaAwaited:
		p.awaits = refusal.Detail
		return nil, true
	case schemas.ReasonIgnored:
		p.stats.ignored++
		return nil, false
	}
	return refusal, false
}

// decode decodes the record at hand, p.source. A record that makes the decoder panic would do so for ever, and is refused.
func (p *reader) decode(read func() *operators.Rejection) (refusal *operators.Rejection) {
	defer func() {
		if r := recover(); r != nil {
			refusal = &operators.Rejection{Reason: task.ReasonPanic, Detail: fmt.Sprintf("decoding the record panicked: %v. Report it, and re-drive the record once it is mended", r)}
		}
	}()
	return read()
}

// deadLetter keeps the record at hand, p.source, for the dead letters of the transaction. customer is whose event it is, "" if that has not been read: the key may be anything.
func (p *reader) deadLetter(r *Runner, customer string, why operators.Rejection) error {
	return p.addDeadLetter(r, &schemas.DeadLetter{Rejection: why, Customer: customer, Source: &p.source})
}

func (p *reader) addDeadLetter(r *Runner, letter *schemas.DeadLetter) error {
	if p.stats.deadLetters == nil {
		p.stats.deadLetters = make(map[string]int)
	}
	p.stats.deadLetters[letter.Reason]++
	if s := letter.Source; s != nil {
		if p.stats.refused == nil {
			p.stats.refused = make(map[string]refusals)
		}
		p.stats.refused[letter.Reason] = refusals{count: p.stats.refused[letter.Reason].count + 1, newest: schemas.Position{Topic: s.Topic, Partition: s.Partition, Offset: s.Offset}}
	}
	var record schemas.Record
	if err := p.encoder.EncodeDeadLetter(letter, &record); err != nil {
		return fmt.Errorf("encoding a dead letter: %w", err)
	}
	p.records = append(p.records, p.kafkaRecord(r.s, &record))
	return nil
}

// forget forgets what was read and not committed: it will be read again.
func (p *reader) forget() {
	p.busyFor, p.parked, p.gap, p.awaits = 0, false, 0, ""
	p.queue, p.records, p.stats, p.clock, p.reach = nil, p.records[:0], txnStats{}, operators.Unset, task.Reach{}
}
