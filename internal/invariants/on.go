//go:build invariants || race

package invariants

import "fmt"

// Enabled says whether a violated assertion panics. It is a constant, so that a check that costs more than a
// comparison disappears from other builds when it stands under `if invariants.Enabled`.
const Enabled = true

// Assert panics with the formatted message if cond is false.
func Assert(cond bool, format string, args ...any) {
	if !cond {
		violations.Add(1)
		panic(fmt.Sprintf("invariant violated: "+format, args...))
	}
}
