package task

import (
	"errors"
	"fmt"

	"lull/operators"
)

// ReasonPanic is the reason code of a dead letter whose record, or deadline, made an operator panic.
const ReasonPanic = "panic"

// panicError is an operator's panic. The customer is what they were before the step.
type panicError struct {
	operator string
	cause    string
	at       operators.EventTime // Input.At of the step
}

func (p *panicError) rejection() operators.Rejection {
	return operators.Rejection{Reason: ReasonPanic, Detail: p.Error(), Operator: p.operator}
}

// stillDue is the panic of a step after which the deadline is due that has fired in it: it would fire for ever.
type stillDue struct{ deadline, next operators.EventTime }

func (d stillDue) String() string {
	return fmt.Sprintf("the deadline %s is still due after it fired (%s)", d.deadline, d.next)
}

func (p *panicError) Error() string {
	return fmt.Sprintf("operator %s panicked: %s; the customer is as before. Report it, and re-drive the record once it is mended", p.operator, p.cause)
}

// rejectPanic makes a dead letter of an error that is an operator's panic at a deadline or a model, and returns any other. There is no record to
// blame, so the dead letter names the customer, the operator and the instant.
func (t *Task) rejectPanic(c *customer, err error) error {
	if err == nil {
		return nil // nearly always: what errors.As is asked with is allocated
	}
	var p *panicError
	if !errors.As(err, &p) {
		return err
	}
	t.out.Outputs = append(t.out.Outputs, operators.Output{
		Kind: operators.RejectOutput, Customer: c.ID, Time: p.at,
		Cause:  operators.Cause{Kind: operators.DeadlineInput, Deadline: p.at},
		ID:     operators.NewID(c.ID, operators.RejectOutput.String(), ReasonPanic, p.at.String()),
		Reject: new(p.rejection()),
	})
	return nil
}
