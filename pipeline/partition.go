package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
	"lull/state"
)

// phase is where a partition stands.
//
//	assigned ─> restoring ─> running ─> (revoked, lost)
//	             ^ ^  │        │  │
//	             │ │  └─> stopped: an operator must decide
//	             │ └───────────┘ a transaction that did not commit
//	             └── waiting <────┘ for a model that its state was computed with
type phase string

const (
	restoring phase = "restoring"
	running   phase = "running"
	waiting   phase = "waiting"
	stopped   phase = "stopped"
)

// noOffset is no committed offset.
var noOffset = kgo.EpochOffset{Epoch: -1, Offset: -1}

// partition is one partition of the input that is assigned to this process.
type partition struct {
	n     int32
	store *state.Partition
	phase phase
	why   string // stopped: what an operator must decide; waiting: for what
	needs uint32 // waiting: the Ref of the model

	// group is the group's committed offset when the restore began, noOffset if there was none.
	group kgo.EpochOffset
	// inputStart is the first offset of the input when the restore began.
	inputStart int64
	// doubted is set while a disagreement of state and group is looked at a second time.
	doubted bool
	// restore is the restore under way; its result comes through done.
	restore *restore

	task      *task.Task
	decoder   *schemas.Decoder
	encoder   *schemas.Encoder
	source    schemas.Source
	placement placement
	event     operators.Event
	queue     []*kgo.Record
	end       int64           // of the input's partition, as far as is known
	appliedAt time.Time       // append time of the last record applied
	fetched   kgo.EpochOffset // after the last record in queue, or the position; the epoch is that record's
	epoch     int32           // leader epoch of the last record applied, -1 if not known: by it the client notices that the log was cut off (KIP-320)
	gap       int64           // the offset at which the log went on after fetched when it was last asked, 0 if it has not been
	records   []*kgo.Record
	reach     task.Reach
	clock     operators.EventTime // how far the wall clock proves the watermark; Unset: no further
	done      bool                // all that is queued and due has been done
	busyFor   int                 // transactions in a row that were not
	parked    bool                // it is not read until it is done
	awaits    string              // what the next record cannot be decoded without, and that has been asked for; "": nothing
	err       error               // of the transaction under way
	stats     txnStats
	told      publication

	flushedAt   time.Time
	behindBytes int64 // changelog bytes since the last flush
}

// txnStats counts what one transaction did in one partition.
type txnStats struct {
	applied, repeated, duplicate, late int
	ignored                            int // records that the mapping passes over
	deadLetters                        map[string]int
	outputs                            [operators.RejectOutput + 1]int
	triggers                           map[string]int // by why they are withheld, "none" if they are not
	fireDelay                          []time.Duration
	bytesIn                            int64
	swept                              int // customers whom the sweep has brought to the model in force
	misplaced                          int // records that no known partitioner puts into this partition
}

// apply fires what was left due, lets new models come into force and the clock advance, and applies what is queued. done is false if the budget ended first. It runs in a goroutine of its own.
func (p *partition) apply(r *Runner, b *task.Budget) (done bool, err error) {
	p.awaits = ""
	if done, err = p.task.FireDue(b); err != nil || !done {
		return false, err
	}
	if err := p.task.Adopt(r.models.published()); err != nil {
		return false, err
	}
	if p.clock != operators.Unset {
		if done, err = p.task.AdvanceClock(p.clock, b); err != nil || !done {
			return false, err
		}
		p.clock = operators.Unset
	}
	i := 0
	defer func() { p.queue = p.queue[i:] }()
	for ; i < len(p.queue); i++ {
		if i%64 == 63 && b.Expired() {
			return false, nil
		}
		finished, err := p.applyRecord(r, p.queue[i], b)
		if err != nil || !finished {
			return false, err
		}
	}
	return p.task.FireDue(b)
}

// position returns the offset of the next record to apply, with the leader epoch of the last that was.
func (p *partition) position() kgo.EpochOffset {
	return kgo.EpochOffset{Epoch: p.epoch, Offset: p.task.Meta().Position}
}

// applyRecord applies one record; finished is false if its turn comes in the next transaction.
func (p *partition) applyRecord(r *Runner, record *kgo.Record, b *task.Budget) (finished bool, err error) {
	defer func() {
		if finished && p.task.Meta().Position == record.Offset+1 {
			p.epoch = record.LeaderEpoch
		}
	}()
	if record.Attrs.IsControl() {
		p.task.Skip(record.Offset)
		return true, nil
	}
	if record.Offset < p.task.Meta().Position {
		p.stats.repeated++
		return true, nil
	}
	p.stats.bytesIn += int64(len(record.Value))
	setSource(&p.source, record)
	if r.s.Clock.Mode == "wall" && record.Attrs.TimestampType() != logAppendTime {
		p.source.ReadTime = p.task.Now()
	}
	mark, refusal := p.decode()
	switch {
	case refusal == nil:
	case refusal.Reason == schemas.ReasonSchemaAwaited:
		p.awaits = refusal.Detail
		return false, nil
	case refusal.Reason == schemas.ReasonIgnored:
		p.task.Skip(record.Offset)
		p.stats.ignored++
		return true, nil
	default:
		p.task.Skip(record.Offset)
		return true, p.deadLetter(r, *refusal)
	}
	if mark != operators.Unset {
		outcome, err := p.task.Mark(record.Offset, mark, b)
		return outcome != task.Unfinished, err
	}
	if !p.placement.holds(record.Key, p.n) {
		p.stats.misplaced++
	}
	p.task.HoldTime(p.source.AppendTime > r.clock.HeldFrom(p.task.Now()))
	outcome, err := p.task.Apply(record.Offset, &p.event, b)
	if err != nil {
		return false, fmt.Errorf("applying offset %d: %w", record.Offset, err)
	}
	if outcome == task.Unfinished {
		return false, nil
	}
	p.appliedAt = record.Timestamp
	switch outcome {
	case task.Applied:
		p.stats.applied++
	case task.Duplicate:
		p.stats.duplicate++
	case task.Late:
		p.stats.late++
		if r.s.Input.Late == "dead-letter" {
			return true, p.deadLetter(r, operators.Rejection{Reason: ReasonLate, Detail: fmt.Sprintf(
				"the event of %s is older than the watermark %s: raise clock.lateness, or let input.late drop such events", p.event.Time, p.task.Meta().Watermark)})
		}
	case task.Rejected:
		return true, p.deadLetter(r, p.task.Refusal())
	case task.Repeated:
		p.stats.repeated++
	}
	return true, nil
}

// logAppendTime is the type of timestamps that the brokers give; others are the producers'.
const logAppendTime = 1

// decode decodes the record at hand, p.source: a time mark, or an event into p.event, and then mark is Unset. A record that makes the decoder panic
// would do so for ever, and is refused.
func (p *partition) decode() (mark operators.EventTime, refusal *operators.Rejection) {
	defer func() {
		if r := recover(); r != nil {
			refusal = &operators.Rejection{Reason: task.ReasonPanic, Detail: fmt.Sprintf("decoding the record panicked: %v. Report it, and re-drive the record once it is mended", r)}
		}
	}()
	mark, isMark, refusal := p.decoder.TimeMark(&p.source)
	if isMark || refusal != nil {
		return mark, refusal
	}
	return operators.Unset, p.decoder.Decode(&p.source, &p.event)
}

// ReasonLate is the reason code of an event older than the watermark that is no fact.
const ReasonLate = "late"

// setSource makes source the record, in source's memory.
func setSource(source *schemas.Source, record *kgo.Record) {
	*source = schemas.Source{
		Topic: record.Topic, Partition: record.Partition, Offset: record.Offset, AppendTime: operators.EventTime(record.Timestamp.UnixMilli()),
		Key: record.Key, Value: record.Value, Headers: source.Headers[:0],
	}
	for _, h := range record.Headers {
		source.Headers = append(source.Headers, schemas.Header{Key: h.Key, Value: h.Value})
	}
}

func kafkaRecord(s *Settings, r *schemas.Record) *kgo.Record {
	record := &kgo.Record{Topic: s.Topic(r.Topic.String()), Key: r.Key, Value: r.Value, Headers: make([]kgo.RecordHeader, len(r.Headers))}
	for i, h := range r.Headers {
		record.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: h.Value}
	}
	return record
}

// deadLetter keeps the record at hand, p.source, for the dead letters of the transaction.
func (p *partition) deadLetter(r *Runner, why operators.Rejection) error {
	return p.addDeadLetter(r, &schemas.DeadLetter{Rejection: why, Source: &p.source})
}

func (p *partition) addDeadLetter(r *Runner, letter *schemas.DeadLetter) error {
	if p.stats.deadLetters == nil {
		p.stats.deadLetters = make(map[string]int)
	}
	p.stats.deadLetters[letter.Reason]++
	var record schemas.Record
	if err := p.encoder.EncodeDeadLetter(letter, &record); err != nil {
		return fmt.Errorf("encoding a dead letter: %w", err)
	}
	p.records = append(p.records, kafkaRecord(r.s, &record))
	return nil
}

// finish writes the transaction into the store's overlay and produces its outputs and its changelog.
func (p *partition) finish(ctx context.Context, r *Runner) error {
	if err := p.task.Finish(); err != nil {
		return err
	}
	if err := p.tellStatistics(ctx, r); err != nil {
		return err
	}
	outputs := p.task.Outputs()
	for i := range outputs {
		if err := p.addOutput(r, &outputs[i]); err != nil {
			return err
		}
	}
	for _, record := range p.records {
		r.producer.produce(ctx, record)
	}
	clear(p.records)
	p.records = p.records[:0]
	changelog := r.s.Topic(ChangelogTopic)
	for key, value := range p.store.Writes {
		p.behindBytes += int64(len(key) + len(value))
		r.producer.produce(ctx, &kgo.Record{Topic: changelog, Partition: p.n, Key: key, Value: value})
	}
	return nil
}

func (p *partition) addOutput(r *Runner, o *operators.Output) error {
	if o.Kind == operators.RejectOutput {
		return p.addDeadLetter(r, &schemas.DeadLetter{Rejection: o.Reject, Customer: o.Customer, Deadline: o.Cause.Deadline, Partition: p.n})
	}
	var record schemas.Record
	if err := p.encode(o, &record); err != nil {
		// It would not be encoded the next time either. The state holds what it was to tell.
		return p.addDeadLetter(r, &schemas.DeadLetter{
			Rejection: operators.Rejection{Reason: task.ReasonPanic, Detail: fmt.Sprintf("encoding a %s: %v: it is missing among the outputs. Report it", o.Kind, err)},
			Customer:  o.Customer, Deadline: o.Time, Partition: p.n,
		})
	}
	p.stats.outputs[o.Kind]++
	if o.Kind == operators.TriggerOutput {
		if o.Trigger.Withdraws == (operators.ID{}) {
			p.stats.fireDelay = append(p.stats.fireDelay, fireDelay(p.task.Now(), o.Trigger.Deadline))
		}
		if p.stats.triggers == nil {
			p.stats.triggers = make(map[string]int)
		}
		p.stats.triggers[cmp.Or(o.Trigger.Withheld, "none")]++
	}
	p.records = append(p.records, kafkaRecord(r.s, &record))
	return nil
}

// encode encodes an output; a panic of the encoder is an error.
func (p *partition) encode(o *operators.Output, into *schemas.Record) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panicked: %v", r)
		}
	}()
	return p.encoder.EncodeOutput(o, into)
}

// fireDelay returns how long after its deadline a trigger was noticed.
func fireDelay(now, deadline operators.EventTime) time.Duration {
	return time.Duration(max(0, now-deadline)) * time.Millisecond
}

// forgetTask forgets all that was made of a store which is no more.
func (p *partition) forgetTask() {
	p.busyFor, p.parked, p.gap, p.awaits = 0, false, 0, ""
	p.queue, p.records, p.stats, p.clock, p.reach = nil, p.records[:0], txnStats{}, operators.Unset, task.Reach{}
	p.task, p.why, p.doubted = nil, "", false
}

// abort forgets the transaction under way, with all that is queued: it will be read again.
func (p *partition) abort() error {
	p.busyFor, p.parked, p.gap, p.awaits = 0, false, 0, ""
	p.queue, p.records, p.stats, p.clock, p.reach = nil, p.records[:0], txnStats{}, operators.Unset, task.Reach{}
	p.store.Abort()
	if p.task == nil {
		return nil
	}
	return p.task.Aborted()
}
