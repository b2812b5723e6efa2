package optest

import (
	"bytes"
	"fmt"

	"lull/operators"
)

// deadlinesMax is how many deadlines may fire for one cause before the Runner takes an operator for one whose deadline does not move.
const deadlinesMax = 10_000

// Runner applies events and time to one customer as a task does to its partition of one customer. After every step the customer is encoded and
// decoded, as if it had been stored: what the codec leaves out is gone.
type Runner struct {
	Chain    *operators.Chain
	Customer *operators.Customer
	Parts    *Parts
	// LatenessMs is how far the watermark stays behind the events.
	LatenessMs int64
	// Env is that of the steps. Its Model may be set between them.
	Env operators.Env
	// Outputs are all outputs so far.
	Outputs []operators.Output
	// Changed is what the last step has changed.
	Changed operators.Changed

	events int // that Script has read
}

// NewRunner returns a Runner for a chain of these operators, with a new customer of id "c".
func NewRunner(ops ...operators.Operator) *Runner {
	r := &Runner{Chain: operators.NewChain(ops...), Customer: operators.NewCustomer("c"), Parts: NewParts()}
	r.Customer.Parts = r.Parts
	r.Env.Watermark, r.Env.Now = operators.Unset, operators.Unset
	return r
}

// Event applies an event: first what its time releases, then itself. It returns why the event counts for nothing: "late", or the reason of
// the operator that dropped or rejected it; else "".
func (r *Runner) Event(e *operators.Event) (refused string) {
	if e.Time < r.Env.Watermark && !e.Kind.Fact() {
		return "late"
	}
	if !e.Clamped {
		r.Advance(e.Time - operators.EventTime(r.LatenessMs))
	}
	if e.Kind.ProvesTime() && !e.Clamped {
		r.fire(func() operators.EventTime {
			_, bySilence := r.Chain.Deadlines(r.Customer)
			return bySilence
		}, e.Time, true)
	}
	refused = r.Step(operators.Input{Kind: operators.EventInput, At: max(e.Time, r.Customer.At), Event: e})
	r.Advance(r.Env.Watermark)
	return refused
}

// Advance moves the watermark to an instant, unless it is there already, and fires the deadlines that it reaches.
func (r *Runner) Advance(to operators.EventTime) {
	r.Env.Watermark = max(r.Env.Watermark, to)
	r.Env.Now = r.Env.Watermark
	r.fire(func() operators.EventTime {
		next, _ := r.Chain.Deadlines(r.Customer)
		return next
	}, r.Env.Watermark, false)
}

func (r *Runner) fire(next func() operators.EventTime, until operators.EventTime, returned bool) {
	for n := 0; ; n++ {
		at := next()
		if at > until || at == operators.Never {
			return
		}
		if n == deadlinesMax {
			panic(fmt.Sprintf("the deadline %s has fired %d times and still stands", at, n))
		}
		r.Step(operators.Input{Kind: operators.DeadlineInput, At: at, Returned: returned})
	}
}

// Step steps the chain by one input, and returns why it was dropped or rejected, if it was. A customer whose input is rejected is what they
// were before.
func (r *Runner) Step(in operators.Input) (refused string) {
	var out operators.Outbox
	before := operators.NewCustomer(r.Customer.ID)
	before.CopyFrom(r.Customer)
	r.Chain.Step(&r.Env, r.Customer, &in, &out)
	r.Outputs = append(r.Outputs, out.Outputs...)
	r.Changed = r.Customer.Changed
	refused = out.Dropped
	if n := len(out.Outputs); n > 0 && out.Outputs[n-1].Kind == operators.RejectOutput {
		refused = out.Outputs[n-1].Reject.Reason
		r.Customer.CopyFrom(before)
	}
	r.store()
	return refused
}

// store puts in the customer's place what its encoding holds.
func (r *Runner) store() {
	state := r.Customer.AppendState(nil)
	stored := operators.NewCustomer(r.Customer.ID)
	stored.Parts = r.Parts
	if err := stored.DecodeState(state); err != nil {
		panic(err)
	}
	if again := stored.AppendState(nil); !bytes.Equal(state, again) {
		panic(fmt.Sprintf("the state %x comes back from the codec as %x", state, again))
	}
	r.Customer = stored
}
