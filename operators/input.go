package operators

// InputKind says what happens to a customer.
type InputKind uint8

// The kinds of input.
const (
	EventInput    InputKind = iota + 1 // Input.Event happened
	DeadlineInput                      // the customer stayed silent until Input.At
	ModelInput                         // Env.Model came into force at Input.At
)

// Input is exactly one thing that happens to one customer.
type Input struct {
	Kind InputKind
	// At is the instant that operators compute with: the event's time, but never before an instant that the customer has already been
	// computed at; the deadline; or the model's instant.
	At    EventTime
	Event *Event // EventInput only; not kept by operators
	// NewTerms is set for a model that comes into force together with other settings or rules than the customer was last computed under.
	NewTerms bool
	// Returned is set for a deadline or model that a later event of the same customer released: what silence did is recorded, but nobody need act.
	Returned bool
}

// Env is all a step may know besides the customer.
type Env struct {
	// Watermark is the event time that the partition has certainly reached.
	Watermark EventTime
	// Now decides only whether a trigger is stale: the watermark under clock: event, the instant at which the transaction began under clock: wall.
	Now EventTime
	// Model is the model in force at Input.At; nil before there is one.
	Model *Model
	// Calls are those that the task has made before this step; nil if nobody counts them: then there are no caps.
	Calls *Calls
}

// Operator is one link of a chain. It holds configuration only; everything it remembers is in the customer.
//
// Step returns no error: with no I/O the only failure is bad input, which is an output (Outbox.Reject).
type Operator interface {
	// Name is the operator's name in logs, dead letters and documentation.
	Name() string
	// Step changes the customer by one input.
	Step(env *Env, c *Customer, in *Input, out *Outbox)
	// Deadline answers when the operator would change if nothing happened, and what that waits for. It reads the customer only.
	Deadline(c *Customer) (at EventTime, release Release)
}

// Release says what lets a deadline fire.
type Release uint8

const (
	// BySilence deadlines fire when the watermark reaches them, or before an event of the same customer at or after them.
	BySilence Release = iota
	// ByWatermark deadlines fire only when the watermark reaches them, because a late event may still change what they end.
	ByWatermark
)

// Chain is a sequence of operators that see every input in turn.
type Chain struct{ ops []Operator }

// NewChain returns the chain of these operators, in order.
func NewChain(ops ...Operator) *Chain { return &Chain{ops: ops} }

// Step applies one input to the customer. An operator that rejects or drops the input ends the step: those after it do not see it.
func (ch *Chain) Step(env *Env, c *Customer, in *Input, out *Outbox) {
	c.beginStep(in.At)
	out.begin(c, in, env)
	for _, op := range ch.ops {
		out.operator = op.Name()
		op.Step(env, c, in, out)
		if out.ended {
			break
		}
	}
}

// Deadlines returns the earliest deadline over all operators, and the earliest of those that the customer's own events release.
func (ch *Chain) Deadlines(c *Customer) (next, bySilence EventTime) {
	next, bySilence = Never, Never
	for _, op := range ch.ops {
		at, release := op.Deadline(c)
		next = min(next, at)
		if release == BySilence {
			bySilence = min(bySilence, at)
		}
	}
	return next, bySilence
}
