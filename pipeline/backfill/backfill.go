// Package backfill runs a bounded input through what live events run through, the decoder, the task with its chain, and the store, without Kafka:
// time moves by events, and nothing but the input decides what comes out.
package backfill

import (
	"cmp"
	"fmt"
	"time"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/statistics"
	"lull/pipeline/task"
	"lull/schemas"
	"lull/state"
)

// Config says what a run is made of.
type Config struct {
	// Dir is an empty directory for the store, or one that does not exist.
	Dir string
	// Chain is complete and valid.
	Chain clv.Config
	// Decoder reads the records.
	Decoder schemas.DecoderConfig
	// LatenessMs is how far the watermark stays behind the highest event time, in milliseconds. The default is 0.
	LatenessMs int64
	// Model is in force from its EffectiveAt on. The default is none: nobody is scored, and there are no triggers.
	Model *operators.Model
	// Sampled is how many customers the statistics hold a sample of. The default is 0, for no statistics.
	Sampled int
}

// Run is one run over an input. It is not safe for concurrent use.
type Run struct {
	db      *state.DB
	store   *state.Partition
	task    *task.Task
	decoder *schemas.Decoder

	lateness operators.EventTime
	offset   int64 // of the next record
	written  int64 // records of state so far: the position that the store stands for
}

const (
	cachedCustomers = 100_000
	timersLoaded    = 50_000
	looks           = 8192
)

// Open begins a run.
func Open(c Config) (*Run, error) {
	decoder, err := schemas.NewDecoder(c.Decoder)
	if err != nil {
		return nil, err
	}
	db, err := state.Open(state.Options{Dir: c.Dir, Index: task.IndexEntry})
	if err != nil {
		return nil, err
	}
	r := &Run{db: db, decoder: decoder, lateness: operators.EventTime(c.LatenessMs)}
	if err := r.open(&c); err != nil {
		_ = db.Close() // the error that counts is the first
		return nil, err
	}
	return r, nil
}

func (r *Run) open(c *Config) (err error) {
	if r.store, err = r.db.Partition(0); err != nil {
		return err
	}
	cfg := task.Config{
		LatenessMs: c.LatenessMs, EventClock: true, CachedCustomers: cachedCustomers, TimersLoaded: timersLoaded, Looks: looks, Sampled: c.Sampled,
		Partitions: 1, Day: schemas.Days(cmp.Or(c.Decoder.Zone, time.UTC)), ActionMaxMs: c.Chain.Trigger.MaxAgeMs,
	}
	if r.task, err = task.Open(cfg, clv.NewChain(c.Chain), r.store, theModel{c.Model}); err != nil {
		return err
	}
	r.task.Begin(operators.Unset)
	if c.Model == nil {
		return nil
	}
	return r.task.Adopt([]*operators.Model{c.Model})
}

// theModel is the one that a run has, nil for none.
type theModel struct{ model *operators.Model }

func (m theModel) Model(ref uint32) *operators.Model {
	if m.model.Ref() != ref {
		return nil
	}
	return m.model
}

// unbounded is the budget of transactions that end when the caller says so.
func unbounded() *task.Budget {
	return &task.Budget{Outputs: 1 << 62, Expired: func() bool { return false }}
}

// Apply applies the next record: the value of an event of a customer. Records are in the order of event time. A refused record has changed nothing,
// and the rejection says why.
func (r *Run) Apply(customer string, value []byte) (*operators.Rejection, error) {
	var event operators.Event
	// Nothing is in the future of a file: it holds what has happened.
	source := schemas.Source{AppendTime: schemas.TimeEnd - 1, Key: []byte(customer), Value: value}
	if rejection := r.decoder.Decode(&source, &event); rejection != nil {
		return rejection, nil
	}
	outcome, err := r.task.Apply(r.offset, &event, unbounded())
	if err != nil {
		return nil, err
	}
	r.offset++
	if outcome == task.Rejected {
		refusal := r.task.Refusal()
		return &refusal, nil
	}
	return nil, nil
}

// Pass lets time pass, as the wall clock does live, up to where a record of the event time next would move it: whoever falls silent meanwhile is heard of at
// once. Before the first record there is no time.
func (r *Run) Pass(next operators.EventTime) error { return r.passTo(next - r.lateness) }

// End lets time pass up to an instant at and before which no record is to come any more.
func (r *Run) End(at operators.EventTime) error { return r.passTo(at) }

func (r *Run) passTo(at operators.EventTime) error {
	const step operators.EventTime = 3_600_000
	for watermark := r.task.Meta().Watermark; watermark != operators.Unset && watermark < at; {
		watermark = min(watermark+step, at)
		if next, _ := r.task.Soonest(); next > r.task.Meta().Watermark { // so that nobody is heard of later than live
			watermark = min(watermark, next)
		}
		if _, err := r.task.AdvanceClock(watermark, unbounded()); err != nil {
			return err
		}
	}
	return nil
}

// Outputs returns what the transaction has told so far, in order. It is valid until Commit; the texts in it stay.
func (r *Run) Outputs() []operators.Output { return r.task.Outputs() }

// Statistics returns the statistics of all customers as they were at the last Commit, nil if none are kept.
func (r *Run) Statistics() (*statistics.Table, error) {
	if err := r.task.Count(unbounded()); err != nil {
		return nil, err
	}
	table, _ := r.task.Statistics()
	return table, nil
}

// Commit ends a transaction, as live processing does every so often, and yields every customer whose state has changed since the one before, in the
// order of their ids, unless yield is nil. What it yields is valid until the next call.
func (r *Run) Commit(yield func(c *operators.Customer)) error {
	if err := r.task.Finish(); err != nil {
		return err
	}
	for key, value := range r.store.Writes {
		r.written++
		id, ok := task.CustomerOf(key)
		if !ok || yield == nil {
			continue
		}
		c := operators.NewCustomer(string(id))
		if err := c.DecodeState(value); err != nil {
			return fmt.Errorf("reading the customer under key %q: %w", key, err)
		}
		yield(c)
	}
	r.store.Commit(r.written)
	r.task.Committed()
	r.task.Begin(operators.Unset)
	if r.store.Full() {
		return r.store.StartFlush()
	}
	return nil
}

// Close ends the run. The directory is left to the caller.
func (r *Run) Close() error {
	r.store.Close()
	return r.db.Close()
}
