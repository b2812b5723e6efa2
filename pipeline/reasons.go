package pipeline

import (
	"lull/pipeline/task"
	"lull/schemas"
)

// Reasons are the reasons for which operators and the runtime refuse what has reached them, beside those of package schemas.
// docs/formats/dead-letters.md shows all of them.
var Reasons = []schemas.Reason{
	{Code: ReasonLate, Meaning: "an event that is no fact (a page view, not an order) is older than the watermark", Remedy: "raise clock.lateness, for which the input is read anew; input.late: drop drops such events without a dead letter"},
	{Code: "amount_limit", Meaning: "an amount is below 0 or beyond 10^12 minor units", Remedy: "check the producer's unit: amounts are in minor units (cents)"},
	{Code: "order_limit", Meaning: "the customer has as many orders as are kept", Remedy: "raise limits.orders, or mend what puts all orders on one customer"},
	{Code: "refund_limit", Meaning: "the order has as many refunds as are kept", Remedy: "raise limits.refunds, or state the sum of many under one refund_id"},
	{Code: "session_limit", Meaning: "the customer has as many open sessions as are kept", Remedy: "raise limits.open_sessions, or mend the times of their events"},
	{Code: "purpose_limit", Meaning: "consent is known of as many of the customer's purposes as are kept", Remedy: "raise limits.purposes, or mend what names a purpose for each event; until then no consent to it is given"},
	{Code: task.ReasonPanic, Meaning: "an operator panicked at the record, or at a deadline", Remedy: "a fault of lull: report it, with the detail"},
}
