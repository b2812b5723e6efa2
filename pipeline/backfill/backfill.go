// Package backfill runs a bounded input through what live events run through, the decoder, the task with its chain, and the store, without Kafka:
// time moves by events, and nothing but the input decides what comes out.
package backfill

import (
	"fmt"

	"lull/operators"
	"lull/operators/clv"
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
}

// Run is one run over an input. It is not safe for concurrent use.
type Run struct {
	db      *state.DB
	store   *state.Partition
	task    *task.Task
	decoder *schemas.Decoder
	offset  int64 // of the next record
	written int64 // records of state so far: the position that the store stands for
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
	r := &Run{db: db, decoder: decoder}
	if err := r.open(clv.NewChain(c.Chain)); err != nil {
		_ = db.Close() // the error that counts is the first
		return nil, err
	}
	return r, nil
}

func (r *Run) open(chain *operators.Chain) (err error) {
	if r.store, err = r.db.Partition(0); err != nil {
		return err
	}
	cfg := task.Config{EventClock: true, CachedCustomers: cachedCustomers, TimersLoaded: timersLoaded, Looks: looks}
	if r.task, err = task.Open(cfg, chain, r.store, noModels{}); err != nil {
		return err
	}
	r.task.Begin(operators.Unset)
	return nil
}

// noModels: a run finds facts; what a model says of them is asked for when there is one.
type noModels struct{}

func (noModels) Model(uint32) *operators.Model { return nil }

// Apply applies the next record: the value of an event of a customer. Records are in the order of event time. A refused record has changed nothing,
// and the rejection says why.
func (r *Run) Apply(customer string, value []byte) (*operators.Rejection, error) {
	var event operators.Event
	// Nothing is in the future of a file: it holds what has happened.
	source := schemas.Source{AppendTime: schemas.TimeEnd - 1, Key: []byte(customer), Value: value}
	if rejection := r.decoder.Decode(&source, &event); rejection != nil {
		return rejection, nil
	}
	outcome, err := r.task.Apply(r.offset, &event, &task.Budget{Outputs: 1 << 62, Expired: func() bool { return false }})
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

// Commit ends a transaction, as live processing does every so often, and yields every customer whose state has changed since the one before, in the
// order of their ids. What it yields is valid until the next call.
func (r *Run) Commit(yield func(c *operators.Customer)) error {
	if err := r.task.Finish(); err != nil {
		return err
	}
	for key, value := range r.store.Writes {
		r.written++
		id, ok := task.CustomerOf(key)
		if !ok {
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
