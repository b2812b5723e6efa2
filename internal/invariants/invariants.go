// Package invariants states what must be true if the program is right.
//
// An assertion catches a mistake of ours; what the world can do wrong (a broker, a disk, a record) is an error
// value instead. In builds with the tag invariants or race, as all tests are, a violated assertion panics. In other
// builds it is counted: the program goes on to the check that returns an error, and the count tells the
// operator that a bug is there.
//
// The functions are safe for concurrent use.
package invariants

import "sync/atomic"

// violations counts the assertions that did not hold since the process started.
var violations atomic.Uint64

// Violations returns how many assertions have not held since the process started. Anything but 0 is a bug.
// It stays 0 where Enabled is true, unless a panic was recovered.
func Violations() uint64 { return violations.Load() }
