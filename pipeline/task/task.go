package task

import (
	"errors"
	"fmt"

	"lull/operators"
)

// Store is what a task needs of its state: the writes of the transaction under way over all that has been committed.
type Store interface {
	// Get returns the value under key; it is valid until the next call and must not be changed.
	Get(key []byte) (value []byte, ok bool, err error)
	Set(key, value []byte) error
	Delete(key []byte) error
	// Scan yields the records with lo <= key < hi in key order until yield returns false; what it yields is valid until then. It costs a look at every
	// record in memory.
	Scan(lo, hi []byte, yield func(key, value []byte) bool) error
	// ScanIndex yields the entries of the timer index (IndexEntry) from one up to, not including, another, ascending; nil is no bound. Entries
	// may be stale: their customer's timer stands elsewhere by now.
	ScanIndex(from, to []byte, yield func(entry []byte) bool) error
	// DropIndexBelow says that the index entries below bound are dead.
	DropIndexBelow(bound []byte)
}

// Config is the configuration of tasks. It has no defaults of its own: package pipeline derives it from the settings.
type Config struct {
	// LatenessMs is how far the watermark stays behind the highest event time, in milliseconds.
	LatenessMs int64
	// JumpMaxMs is the greatest step forward in time, in milliseconds, that is believed of fewer than three customers; 0 for no limit.
	JumpMaxMs int64
	// EventClock is set under clock: event, where Env.Now is the watermark.
	EventClock bool
	// Terms stand for the settings of the chain by which customers are scored, and which a running state may change.
	Terms uint32
	// CachedCustomers is how many customers are kept decoded.
	CachedCustomers int
	// TimersLoaded is how many deadlines are loaded at once.
	TimersLoaded int
	// Looks is how many customers a walk through all of them looks at in one scan, which also costs a look at every record that the store has in memory. A
	// scan is not interrupted.
	Looks int
	// Partition is the task's, from 0 on, of Partitions: who shares the caps of rules.
	Partition, Partitions int
	// Day returns the calendar day of an instant, for the caps of rules.
	Day func(operators.EventTime) operators.Day
	// ActionMaxMs is how old a trigger may be to be acted on, in milliseconds: as in the chain.
	ActionMaxMs int64
	// Sampled is how many customers the statistics hold a sample of; 0 for no statistics.
	Sampled int
}

// Outcome says what became of a record.
type Outcome uint8

// The outcomes of a record.
const (
	// Unfinished: the budget ended between two deadlines that come before the record. Apply it again in the next transaction.
	Unfinished Outcome = iota
	// Applied: the record changed its customer, or could have.
	Applied
	// Repeated: the record lies below the position, so it has been applied before.
	Repeated
	// Duplicate: the message id has been seen before.
	Duplicate
	// Late: the event is older than the watermark and no fact.
	Late
	// Rejected: the chain refused the event; Task.Refusal says why.
	Rejected
)

// Budget bounds the work of one transaction.
type Budget struct {
	// Outputs is how many outputs may still be made before deadlines must wait for the next transaction.
	Outputs int
	// Expired reports whether the transaction's time is up.
	Expired func() bool
}

func (b *Budget) spent(outputs int) bool { return outputs >= b.Outputs || b.Expired() }

// Task is all work of one partition. It is used by one goroutine at a time.
//
// Between transactions the store holds all that the task knows, but for what can be read from it again: customers and timers.
type Task struct {
	cfg    Config
	chain  *operators.Chain
	store  Store
	models Models

	meta    Meta
	changed bool // something is to be written in this transaction
	out     operators.Outbox
	refusal operators.Rejection

	customers customers
	loads     Loads
	touched   []*customer
	timers    timers
	walk      walk
	census    census
	pre       operators.Customer // the customer before the step under way
	parts     parts
	env       operators.Env
	in        operators.Input // of the step under way
	calls     operators.Calls
	now       operators.EventTime
	held      bool // events move no time
	quality   []Quality

	// returning is the customer whose record is being applied: who is silent no more.
	returning string
	returnAt  operators.EventTime

	keyBuf, valueBuf []byte
}

// customer is a decoded customer in the cache.
type customer struct {
	operators.Customer
	touched    bool                // changed in the transaction under way
	counted    operators.Purchases // as which the census has counted them, if it has
	miscounted bool                // what it has counted may not be what they are
}

// Open returns the task of a store. An empty store is a task that has seen nothing.
func Open(cfg Config, chain *operators.Chain, store Store, models Models) (*Task, error) {
	t := &Task{
		cfg: cfg, chain: chain, store: store, models: models,
		timers: timers{store: store, chunk: cfg.TimersLoaded}, calls: operators.Calls{Partition: cfg.Partition, Partitions: cfg.Partitions, Day: cfg.Day},
	}
	t.parts.task = t
	t.customers.max = cfg.CachedCustomers
	t.census.begin(cfg.Sampled)
	if err := t.readMeta(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Task) readMeta() error {
	value, ok, err := t.store.Get(MetaKey)
	if err != nil {
		return fmt.Errorf("reading the meta record: %w", err)
	}
	if !ok {
		t.meta = NewMeta()
		return nil
	}
	t.meta, err = DecodeMeta(value)
	return err
}

// Position returns the offset of the next record to apply.
func (t *Task) Position() int64 { return t.meta.Position }

// Time returns what the task knows of time, for a Clock to teach.
func (t *Task) Time() *Time { return &t.meta.Time }

// Meta returns the task's meta record, to be read and, for topic ids, settings and gaps, changed before the task's next Finish.
func (t *Task) Meta() *Meta { return &t.meta }

// Begin begins a transaction at the wall instant now, which is used only if the clock is not the events'.
func (t *Task) Begin(now operators.EventTime) { t.now = now }

// HoldTime says whether events that are applied from now on move no time, as a Clock tells under clock: wall. Their customers are computed all the same.
func (t *Task) HoldTime(held bool) { t.held = held }

// Now returns what outputs made now are judged by: the watermark under clock: event, else the instant at which the transaction began.
func (t *Task) Now() operators.EventTime {
	if t.cfg.EventClock {
		return t.meta.Watermark
	}
	return t.now
}

// Outputs returns the outputs of the transaction so far, in order. They are valid until Committed or Aborted.
func (t *Task) Outputs() []operators.Output { return t.out.Outputs }

// Refusal returns why the last record was Rejected.
func (t *Task) Refusal() operators.Rejection { return t.refusal }

// Soonest returns the earliest armed deadline that has been loaded, and how many have; Never if none.
func (t *Task) Soonest() (at operators.EventTime, loaded int) {
	if len(t.timers.near) == 0 {
		return operators.Never, 0
	}
	return t.timers.near[0].at, len(t.timers.near)
}

// Changed reports whether the transaction has something to write.
func (t *Task) Changed() bool { return t.changed }

// Skip passes over a record that is none of the task's: a transaction marker, or one that is a dead letter already.
func (t *Task) Skip(offset int64) Outcome {
	if offset < t.meta.Position {
		return Repeated
	}
	t.passed(offset)
	return Applied
}

// SkipOf passes over a record of a feed that says of one of its records that it was refused. One that has been told of before is Repeated.
func (t *Task) SkipOf(offset int64, feed *Relay) Outcome {
	if offset < t.meta.Position {
		return Repeated
	}
	t.passed(offset)
	if t.meta.again(feed) {
		return Repeated
	}
	// It tells no time: deadlines fire before and after what does.
	t.meta.hear(&Relay{Feed: feed.Feed, Offset: feed.Offset, Watermark: operators.Unset, Cut: -1})
	return Applied
}

// Rewind makes the record at offset the next to apply: the log was cut off there, and what it held beyond was applied for good.
func (t *Task) Rewind(offset int64) {
	t.meta.Position, t.meta.Observed, t.changed = offset, -1, true
}

// Mark applies a time mark: no event at or before at will come any more.
func (t *Task) Mark(offset int64, at operators.EventTime, b *Budget) (Outcome, error) {
	return t.mark(offset, b, func() { t.meta.advance(at) })
}

// MarkOf applies a feed's mark: its partition has reached that time.
func (t *Task) MarkOf(offset int64, feed *Relay, b *Budget) (Outcome, error) {
	return t.mark(offset, b, func() { t.meta.hear(feed) })
}

func (t *Task) mark(offset int64, b *Budget, take func()) (Outcome, error) {
	if offset < t.meta.Position {
		return Repeated, nil
	}
	if done, err := t.fireDue(b); !done || err != nil {
		return Unfinished, err
	}
	take()
	t.dateQuality()
	if done, err := t.fireDue(b); !done || err != nil {
		return Unfinished, err
	}
	t.passed(offset)
	return Applied, nil
}

// AdvanceClock moves the watermark to an instant that the wall clock proves, and fires the deadlines that this releases. done is false if the
// budget ended first; then FireDue goes on. In the midst of a record, whose turn a transaction's end has interrupted, it does nothing.
func (t *Task) AdvanceClock(to operators.EventTime, b *Budget) (done bool, err error) {
	if t.meta.Observed == t.meta.Position {
		return true, nil
	}
	if done, err := t.fireDue(b); !done || err != nil {
		return done, err
	}
	t.advance(to)
	return t.FireDue(b)
}

func (t *Task) advance(to operators.EventTime) {
	if to > t.meta.Watermark {
		t.meta.advance(to)
		t.dateQuality()
		t.changed = true
	}
}

// Apply applies an event. Before it, the deadlines fire that it releases: all that the watermark has reached by it, then its own customer's up to
// its time. After it, those that it put into the past.
//
// Every deadline therefore fires at a place in the order of the log that no transaction's end can move: nothing due is left when the next
// record is looked at.
func (t *Task) Apply(offset int64, event *operators.Event, b *Budget) (Outcome, error) {
	return t.apply(offset, event, nil, b)
}

// ApplyFrom applies an event that came from a feed, which has taken time from it. An event that has been taken in before is Repeated: the feed began anew, and
// passed it on a second time.
func (t *Task) ApplyFrom(offset int64, event *operators.Event, feed *Relay, b *Budget) (Outcome, error) {
	return t.apply(offset, event, feed, b)
}

func (t *Task) apply(offset int64, event *operators.Event, feed *Relay, b *Budget) (Outcome, error) {
	if offset < t.meta.Position {
		return Repeated, nil
	}
	claimed := event.Clamped || event.Doubted
	proves := event.Kind.ProvesTime() && !claimed
	if t.meta.Observed != offset {
		if done, err := t.fireDue(b); !done || err != nil {
			return Unfinished, err
		}
		switch {
		case feed != nil && t.meta.again(feed):
			t.passed(offset)
			return Repeated, nil
		case feed != nil:
			t.meta.hear(feed)
		case !claimed && !t.held:
			t.meta.observe(event.Customer, event.Time, t.cfg.LatenessMs, t.cfg.JumpMaxMs)
		}
		t.dateQuality()
		// Nothing comes between the position and this record: offsets have gaps.
		t.meta.Position, t.meta.Observed, t.changed = offset, offset, true
	}
	if proves {
		t.returning, t.returnAt = event.Customer, event.Time
	}
	done, err := t.fireDue(b)
	outcome := Unfinished
	if done && err == nil {
		outcome, err = t.applyToCustomer(event, proves)
	}
	t.returning = ""
	if !done || err != nil {
		return Unfinished, err
	}
	t.passed(offset)
	_, err = t.fireDue(b) // what is not done goes on before the next record
	return outcome, err
}

func (t *Task) passed(offset int64) { t.meta.Position, t.changed = offset+1, true }

func (t *Task) applyToCustomer(event *operators.Event, proves bool) (Outcome, error) {
	if event.Time < t.meta.Watermark && !event.Kind.Fact() {
		return Late, nil
	}
	c, err := t.load(event.Customer)
	if err != nil {
		return Unfinished, err
	}
	if err := t.catchUp(c); err != nil {
		return Unfinished, err
	}
	reached := event.Time
	if proves {
		if err := t.releaseSilence(c, event.Time); err != nil {
			return Unfinished, err
		}
	} else {
		// What proves no time must not make the customer look silent either.
		reached = min(event.Time, t.meta.Watermark)
	}
	// The models in force by now hold for late events too.
	if err := t.releaseModels(c, max(c.At, reached, t.meta.Watermark)); err != nil {
		return Unfinished, err
	}
	at := max(c.At, reached)
	if at == operators.Unset {
		at = event.Time
	}
	t.in = operators.Input{Kind: operators.EventInput, At: at, Event: event}
	t.refusal = operators.Rejection{}
	if err := t.step(c, nil); err != nil {
		var p *panicError
		if !errors.As(err, &p) {
			return Unfinished, err
		}
		t.refusal = p.rejection()
		return Rejected, t.arm(c, t.meta.Watermark)
	}
	outcome := Applied
	switch {
	case t.refusal.Reason != "":
		outcome = Rejected
	case t.out.Dropped != "":
		outcome = Duplicate
	}
	return outcome, t.arm(c, t.meta.Watermark)
}

// FireDue fires what is due and was left by the transaction before. done is false if the budget ended first. Deadlines that belong before a
// record whose turn was interrupted are left to its Apply.
func (t *Task) FireDue(b *Budget) (done bool, err error) {
	if t.meta.Observed == t.meta.Position {
		return true, nil
	}
	return t.fireDue(b)
}

// fireDue fires the deadlines that the watermark has reached, in order of (deadline, customer).
func (t *Task) fireDue(b *Budget) (done bool, err error) {
	for {
		next, ok, err := t.timers.due(t.meta.Watermark)
		if err != nil {
			return false, err
		}
		if !ok {
			return true, nil
		}
		c, err := t.load(next.customer)
		if err != nil {
			return false, err
		}
		if c.Armed != next.at {
			t.timers.pop()
			continue
		}
		if b.spent(len(t.out.Outputs)) {
			return false, nil
		}
		t.timers.pop()
		if err := t.fire(c, next.at); err != nil {
			return false, err
		}
	}
}

// fire lets a customer's armed timer go off. If their deadline has moved on since it was armed, it is armed there and nothing else happens.
func (t *Task) fire(c *customer, at operators.EventTime) error {
	c.Armed = operators.Never
	t.touch(c)
	err := t.release(c, at, func() operators.EventTime { next, _ := t.chain.Deadlines(&c.Customer); return next })
	if err != nil {
		// After a panic the customer stays as they were, without a timer until their next event.
		return t.rejectPanic(c, err)
	}
	return t.arm(c, at)
}

// releaseSilence fires the customer's silence deadlines up to the time of their own event. Sessions wait for the watermark.
func (t *Task) releaseSilence(c *customer, until operators.EventTime) error {
	err := t.release(c, until, func() operators.EventTime { _, next := t.chain.Deadlines(&c.Customer); return next })
	return t.rejectPanic(c, err)
}

// releaseModels lets the models up to an instant come into force for the customer.
func (t *Task) releaseModels(c *customer, until operators.EventTime) error {
	return t.release(c, until, func() operators.EventTime { return operators.Never })
}

// release applies the deadlines that next gives, up to an instant, and between them the models that came into force, each at its time, behind what is due then. The first
// deadline that makes an operator panic ends it; a model that does is in force all the same.
func (t *Task) release(c *customer, until operators.EventTime, next func() operators.EventTime) error {
	for {
		deadline := next()
		if a, ok := t.nextAdoption(c); ok && a.At <= until && a.At < deadline {
			if err := t.rejectPanic(c, t.applyModel(c, a)); err != nil {
				return err
			}
			continue
		}
		if deadline > until {
			return nil
		}
		t.in = operators.Input{Kind: operators.DeadlineInput, At: deadline, Returned: t.returned(c, deadline)}
		if err := t.step(c, next); err != nil {
			return err
		}
	}
}

// returned reports whether the customer is known to be active after an instant: the record that is being applied is theirs, and later.
func (t *Task) returned(c *customer, at operators.EventTime) bool {
	return t.returning == c.ID && at <= t.returnAt
}

// step runs the chain for one input, t.in. If an operator refuses it, the customer is what they were before, and refusal says why; if one panics, the
// same, and the error is a *panicError. A deadline comes with the function that gave it, which must give a later one when it has fired.
func (t *Task) step(c *customer, next func() operators.EventTime) (err error) {
	t.touch(c)
	t.calls.ByDay = t.meta.Calls
	t.env = operators.Env{Watermark: t.meta.Watermark, Now: t.Now(), Calls: &t.calls}
	if t.env.Model, err = t.modelOf(c); err != nil {
		return err
	}
	t.pre.CopyFrom(&c.Customer)
	t.parts.begin(c.ID)
	c.Parts = &t.parts
	outputs := len(t.out.Outputs)
	defer func() {
		if r := recover(); r != nil {
			c.CopyFrom(&t.pre)
			t.out.Outputs = t.out.Outputs[:outputs]
			if t.parts.err != nil {
				err = t.parts.err // the store failed, not the operator
				return
			}
			p := &panicError{operator: t.out.Operator(), cause: fmt.Sprint(r), at: t.in.At}
			if _, ok := r.(stillDue); ok {
				p.operator = "chain"
			}
			err = p
		}
	}()
	t.chain.Step(&t.env, &c.Customer, &t.in, &t.out)
	c.miscounted = c.miscounted || c.Changed.Orders
	if next != nil {
		if again := next(); again <= t.in.At {
			panic(stillDue{t.in.At, again})
		}
	}
	if n := len(t.out.Outputs); n > outputs && t.out.Outputs[n-1].Kind == operators.RejectOutput {
		t.refusal = *t.out.Outputs[n-1].Reject
		t.out.Outputs = t.out.Outputs[:outputs]
		c.CopyFrom(&t.pre)
		return nil
	}
	t.count(t.out.Outputs[outputs:])
	return t.parts.end()
}

// arm makes the customer's timer no later than their earliest deadline. A timer that is earlier stays: it is armed again when it goes off.
// A deadline before floor, where the timers stand, is armed at floor: what lies below is dead in the index. It still fires as of its own instant.
func (t *Task) arm(c *customer, floor operators.EventTime) error {
	next, _ := t.chain.Deadlines(&c.Customer)
	next = max(next, floor)
	if next < c.Armed {
		c.Armed = next
		t.timers.arm(timer{next, c.ID})
	}
	return nil
}

func (t *Task) touch(c *customer) {
	if !c.touched {
		c.touched = true
		t.changed = true
		t.touched = append(t.touched, c)
	}
}

// Loads counts the customers that events, deadlines and sweeps needed, by where they were; one that is needed again counts again.
type Loads struct {
	Kept int // decoded in memory
	Read int // in the store
	New  int // nowhere: nothing was known of them
}

// Loads returns those of the transaction so far.
func (t *Task) Loads() Loads { return t.loads }

// load returns the customer, who is new if nothing is known of them.
func (t *Task) load(id string) (*customer, error) {
	if c := t.customers.get(id); c != nil {
		t.loads.Kept++
		return c, nil
	}
	t.keyBuf = CustomerKey(t.keyBuf[:0], id)
	state, ok, err := t.store.Get(t.keyBuf)
	if err != nil {
		return nil, fmt.Errorf("reading a customer: %w", err)
	}
	c := &customer{Customer: *operators.NewCustomer(id)}
	if ok {
		if err := c.DecodeState(state); err != nil {
			return nil, fmt.Errorf("reading the customer under key %q: %w", t.keyBuf, err)
		}
		c.counted = c.Purchases
		t.loads.Read++
	} else {
		t.loads.New++
	}
	t.customers.put(c)
	return c, nil
}

// Finish writes what the transaction changed into the store. The caller then makes the store's writes and the outputs durable, and says
// Committed or Aborted.
func (t *Task) Finish() error {
	if err := t.saveTouched(); err != nil {
		return err
	}
	t.endDays(t.qualityDay())
	t.valueBuf = t.meta.Append(t.valueBuf[:0])
	if err := t.store.Set(MetaKey, t.valueBuf); err != nil {
		return fmt.Errorf("writing the meta record: %w", err)
	}
	if bound := t.timers.bound(t.meta.Watermark); bound != nil {
		t.store.DropIndexBelow(bound)
	}
	t.latestScoresOnly()
	return nil
}

func (t *Task) saveTouched() error {
	for _, c := range t.touched {
		t.keyBuf = CustomerKey(t.keyBuf[:0], c.ID)
		t.valueBuf = c.AppendState(t.valueBuf[:0])
		if err := t.store.Set(t.keyBuf, t.valueBuf); err != nil {
			return fmt.Errorf("writing a customer: %w", err)
		}
		if c.miscounted {
			t.census.recount(c, t.keyBuf)
		}
	}
	return nil
}

// latestScoresOnly keeps of each customer's score rows the last: scores is a table.
func (t *Task) latestScoresOnly() {
	last := make(map[string]int, len(t.touched))
	for i := range t.out.Outputs {
		if t.out.Outputs[i].Kind == operators.ScoreOutput {
			last[t.out.Outputs[i].Customer] = i
		}
	}
	kept := 0
	for i := range t.out.Outputs {
		o := &t.out.Outputs[i]
		if o.Kind == operators.ScoreOutput && last[o.Customer] != i {
			continue
		}
		if kept != i {
			t.out.Outputs[kept] = *o
		}
		kept++
	}
	t.out.Outputs = t.out.Outputs[:kept]
}

// Committed ends a transaction that is durable.
func (t *Task) Committed() {
	for _, c := range t.touched {
		c.touched = false
	}
	t.touched, t.changed, t.quality, t.loads = t.touched[:0], false, t.quality[:0], Loads{}
	t.out.Reset()
	t.timers.settle()
	t.customers.rotate()
	t.census.settle(t.cfg.Sampled)
}

// Aborted ends a transaction that is not: the task forgets it and goes back to what the store holds, which by now must be without it.
func (t *Task) Aborted() error {
	t.touched, t.changed, t.quality, t.loads = t.touched[:0], false, t.quality[:0], Loads{}
	t.out.Reset()
	t.timers.reset()
	t.walk = walk{}
	t.customers.clear()
	t.census.begin(t.cfg.Sampled)
	return t.readMeta()
}
