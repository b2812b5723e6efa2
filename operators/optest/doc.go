// Package optest is support for the tests of operators: Parts in memory, a Runner that drives a chain as a task does, and a notation for events.
// No program imports it.
package optest
