//go:build !invariants && !race

package invariants

// Enabled says whether a violated assertion panics. It is a constant, so that a check that costs more than a
// comparison disappears from other builds when it stands under `if invariants.Enabled`.
const Enabled = false

// Assert counts a violation if cond is false. The message is left unformatted, so that the arguments of an
// assertion that holds are never allocated; only their evaluation costs something.
func Assert(cond bool, _ string, _ ...any) {
	if !cond {
		violations.Add(1)
	}
}
