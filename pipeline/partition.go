package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

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

// partition is one partition of the topic that tasks read, assigned to this process: its task.
type partition struct {
	reader
	store *state.Partition
	needs uint32 // waiting: the Ref of the model
	// doubted is set while a disagreement of state and group is looked at a second time.
	doubted bool
	// restore is the restore under way; its result comes through done.
	restore *restore

	task      *task.Task
	encoded   schemas.Record // the output that is being encoded: its memory is used again
	placement placement
	told      publication

	flushedAt   time.Time
	behindBytes int64 // changelog bytes since the last flush

	spans  []trace.Span                    // of records applied in the transaction under way that have a trace of their own
	makers map[eventName]trace.SpanContext // those that may have made outputs
}

// txnStats counts what one transaction did in one partition.
type txnStats struct {
	taken                              int // records of the queue that it has done with
	applied, repeated, duplicate, late int
	ignored                            int // records that the mapping passes over
	passedOn                           int // events that a feed has passed on, to be applied by a task
	deadLetters                        map[string]int
	refused                            map[string]refusals // the records among them
	outputs                            [operators.RejectOutput + 1]int
	triggers                           map[triggerKind]int
	fireDelay                          []time.Duration
	bytesIn                            int64
	loads                              task.Loads
	swept                              int // customers whom the sweep has brought to the model in force
	misplaced                          int // records that no known partitioner puts into this partition
	sources                            []sourceCounts
}

// sourceCounts counts the records of an input topic by what was wrong with them.
type sourceCounts struct {
	topic  string
	counts [operators.FaultsEnd]int
}

func (s *txnStats) count(topic string, fault operators.Fault) {
	i := 0
	for i < len(s.sources) && s.sources[i].topic != topic {
		i++
	}
	if i == len(s.sources) {
		s.sources = append(s.sources, sourceCounts{topic: topic})
	}
	s.sources[i].counts[fault]++
}

// triggerKind is what triggers are counted by: their rule, and why they are withheld, notWithheld if they are not.
type triggerKind struct{ rule, withheld string }

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
	defer func() {
		p.queue = p.queue[i:]
		p.stats.taken += i
	}()
	for ; i < len(p.queue); i++ {
		if i%64 == 63 && b.Expired() {
			return false, nil
		}
		finished, err := p.applyTraced(r, p.queue[i], b)
		if err != nil || !finished {
			return false, err
		}
	}
	return p.task.FireDue(b)
}

// applyRecord applies one record; finished is false if its turn comes in the next transaction.
func (p *partition) applyRecord(r *Runner, record *kgo.Record, b *task.Budget) (finished bool, err error) {
	defer func() {
		if finished {
			p.applied(record)
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
	p.setSource(r, record, p.task.Now())
	var outcome task.Outcome
	if p.from == nil {
		outcome, err = p.applyRelay(r, record.Offset, b)
	} else {
		outcome, err = p.applyInput(r, record, b)
	}
	if err != nil {
		return false, fmt.Errorf("applying offset %d: %w", record.Offset, err)
	}
	switch outcome {
	case task.Unfinished:
		return false, nil
	case passed:
		return true, nil
	case task.Applied:
		p.stats.applied++
	case task.Duplicate:
		p.stats.duplicate++
	case task.Late:
		p.stats.late++
		if r.s.Input.Late == "dead-letter" {
			err = p.deadLetter(r, p.event.Customer, operators.Rejection{Reason: ReasonLate, Detail: fmt.Sprintf(
				"the event of %s is older than the watermark %s: raise clock.lateness, or let input.late drop such events", p.event.Time, p.task.Meta().Watermark)})
		}
	case task.Rejected:
		err = p.deadLetter(r, p.event.Customer, p.task.Refusal())
	case task.Repeated:
		p.stats.repeated++
	}
	p.appliedAt = record.Timestamp
	if fault, ok := p.faultOf(outcome); ok && err == nil {
		p.stats.count(p.source.Topic, fault)
		err = p.task.CountRecord(p.source.Topic, fault, p.event.Customer)
	}
	return true, err
}

// faultOf returns what was wrong with the event at hand, by what became of it; ok is false if it is not counted.
func (p *partition) faultOf(outcome task.Outcome) (fault operators.Fault, ok bool) {
	switch {
	case outcome == task.Repeated:
		return operators.NoFault, false
	case outcome == task.Rejected:
		return schemas.FaultOf(p.task.Refusal().Reason)
	case p.event.Clamped:
		return operators.ClockSkewed, true
	case outcome == task.Duplicate:
		return operators.Duplicate, true
	case p.event.Time < p.task.Meta().Watermark:
		return operators.LateEvent, true
	}
	return operators.NoFault, true
}

// passed is the outcome of a record that was none of the task's.
const passed = task.Outcome(255)

// applyInput applies the record at hand, p.source, of an input topic.
func (p *partition) applyInput(r *Runner, record *kgo.Record, b *task.Budget) (task.Outcome, error) {
	mark := operators.Unset
	refusal := p.decode(func() (refusal *operators.Rejection) {
		isMark := false
		if mark, isMark, refusal = p.decoder.TimeMark(&p.source); isMark || refusal != nil {
			return refusal
		}
		mark = operators.Unset
		return p.decoder.Decode(&p.source, &p.event)
	})
	if refusal != nil {
		return p.refuse(r, record.Offset, refusal)
	}
	if mark != operators.Unset {
		outcome, err := p.task.Mark(record.Offset, mark, b)
		return markOutcome(outcome), err
	}
	if !p.placement.holds(record.Key, p.n) {
		p.stats.misplaced++
	}
	p.task.HoldTime(p.holdsTime(r, p.task.Now()))
	return p.task.Apply(record.Offset, &p.event, b)
}

// applyRelay applies the record at hand, p.source, at an offset of the internal topic events.
func (p *partition) applyRelay(r *Runner, offset int64, b *task.Budget) (task.Outcome, error) {
	var relay schemas.Relay
	refusal := p.decode(func() (refusal *operators.Rejection) {
		relay, refusal = p.decoder.DecodeRelay(&p.source, &p.event)
		return refusal
	})
	if refusal != nil {
		return p.refuse(r, offset, refusal)
	}
	from := task.Relay{Feed: relay.Feed, Offset: relay.Source.Offset, Watermark: relay.Watermark, Cut: relay.Cut}
	switch {
	case p.task.Reads(relay.Feed) || relay.Redriven:
	case r.known[relay.Feed]:
		p.task.AddUpstream(relay.Feed)
	default:
		r.strangers.Store(true)
	}
	switch {
	case relay.Refused != operators.NoFault:
		if p.task.SkipOf(offset, &from) == task.Repeated {
			return passed, nil
		}
		// Its feed has counted it among this process's, or another's.
		return passed, p.task.CountRecord(relay.Source.Topic, relay.Refused, relay.Customer)
	case relay.IsMark():
		from.Offset = -1
		outcome, err := p.task.MarkOf(offset, &from, b)
		return markOutcome(outcome), err
	case relay.Redriven:
		from.Offset = -1
	}
	return p.task.ApplyFrom(offset, &p.event, &from, b)
}

// markOutcome is what becomes of a mark: no event is counted.
func markOutcome(outcome task.Outcome) task.Outcome {
	if outcome == task.Unfinished {
		return outcome
	}
	return passed
}

// refuse passes over a record that is no event.
func (p *partition) refuse(r *Runner, offset int64, refusal *operators.Rejection) (task.Outcome, error) {
	letter, awaited := p.refused(refusal)
	if awaited {
		return task.Unfinished, nil
	}
	p.task.Skip(offset)
	if letter == nil {
		return passed, nil
	}
	if fault, ok := schemas.FaultOf(letter.Reason); ok {
		p.stats.count(p.source.Topic, fault)
		if err := p.task.CountRecord(p.source.Topic, fault, string(p.source.Key)); err != nil {
			return passed, err
		}
	}
	return passed, p.deadLetter(r, "", *letter)
}

// logAppendTime is the type of timestamps that the brokers give; others are the producers'.
const logAppendTime = 1

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

// kafkaRecord returns r as the client takes it. It and its headers are one allocation.
func (p *reader) kafkaRecord(s *Settings, r *schemas.Record) *kgo.Record {
	name, known := p.topicNames[r.Topic]
	if !known {
		name = s.Topic(r.Topic.String())
		if p.topicNames == nil {
			p.topicNames = make(map[schemas.Topic]string)
		}
		p.topicNames[r.Topic] = name
	}
	made := new(struct {
		record  kgo.Record
		headers [8]kgo.RecordHeader // an output's are 7 at most
	})
	made.record = kgo.Record{Topic: name, Key: r.Key, Value: r.Value, Headers: made.headers[:0]}
	for _, h := range r.Headers {
		made.record.Headers = append(made.record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return &made.record
}

// finish writes the transaction into the store's overlay and produces its outputs and its changelog.
func (p *partition) finish(ctx context.Context, r *Runner) error {
	if err := p.task.Finish(); err != nil {
		return err
	}
	if err := p.tellStatistics(ctx, r); err != nil {
		return err
	}
	for _, q := range p.task.Quality() {
		record := schemas.NewQuality(q.Source, p.n, q.Day, &q.Counts)
		record.Over = q.Over
		key, value, err := schemas.EncodeQuality(&record)
		if err != nil {
			return err
		}
		p.records = append(p.records, &kgo.Record{Topic: r.s.Topic(QualityTopic), Key: key, Value: value})
	}
	outputs := p.task.Outputs()
	for i := range outputs {
		made := len(p.records)
		if err := p.addOutput(r, &outputs[i]); err != nil {
			return err
		}
		p.signOutput(&outputs[i], p.records[made:])
	}
	r.cycling.sign(r.s, p.records)
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
		return p.addDeadLetter(r, &schemas.DeadLetter{Rejection: *o.Reject, Customer: o.Customer, Deadline: o.Cause.Deadline, Partition: p.n})
	}
	if err := p.encode(o, &p.encoded); err != nil {
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
			p.stats.triggers = make(map[triggerKind]int)
		}
		p.stats.triggers[triggerKind{o.Trigger.Rule, cmp.Or(o.Trigger.Withheld, notWithheld)}]++
	}
	p.records = append(p.records, p.kafkaRecord(r.s, &p.encoded))
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
	p.forget()
	p.endEvents(trace.SpanContext{}, aborted, errForgotten)
	p.task, p.stage, p.why, p.doubted = nil, nil, "", false
}

// abort forgets the transaction under way, with all that is queued: it will be read again.
func (p *partition) abort() error {
	p.forget()
	p.endEvents(trace.SpanContext{}, aborted, errForgotten)
	p.store.Abort()
	if p.task == nil {
		return nil
	}
	return p.task.Aborted()
}
