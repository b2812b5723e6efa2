package task

import (
	"fmt"

	"lull/operators"
)

// ReasonPanic is the reason code of a dead letter whose record, or deadline, made an operator panic.
const ReasonPanic = "panic"

// panicError is an operator's panic. The customer is what they were before the step.
type panicError struct {
	operator string
	cause    string
}

func (p *panicError) Error() string {
	return fmt.Sprintf("operator %s panicked: %s; the customer is as before. Report it, and re-drive the record once it is mended", p.operator, p.cause)
}

// reject records a deadline that made an operator panic: there is no record to blame, so the dead letter names the customer and the operator.
func (t *Task) reject(c *customer, at operators.EventTime, p *panicError) {
	t.out.Outputs = append(t.out.Outputs, operators.Output{
		Kind: operators.RejectOutput, Customer: c.ID, Time: at,
		Cause:  operators.Cause{Kind: operators.DeadlineInput, Deadline: at},
		ID:     operators.NewID(c.ID, operators.RejectOutput.String(), ReasonPanic, at.String()),
		Reject: operators.Rejection{Reason: ReasonPanic, Detail: p.Error()},
	})
}
