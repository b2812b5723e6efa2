// Package operators is the vocabulary of lull's domain: event time, money, events, the state of one customer, the inputs that change it and
// the outputs that a change has.
//
// The domain is a pure state machine. A [Chain] of operators takes (the customer, one [Input], the [Env]) to (the customer, outputs); nothing in
// this package or below it reads a clock, does I/O, starts a goroutine or keeps a global. The same code therefore runs live, in backfill, in
// backtests and in simulation, and a restart cannot change an answer.
package operators
