package invariants

import "testing"

// An assertion that holds does nothing, in every build.
func TestAssertHolds(t *testing.T) {
	before := Violations()
	Assert(true, "never seen: %d", 1)
	if got := Violations(); got != before {
		t.Errorf("Violations() = %d after an assertion that holds, was %d", got, before)
	}
}

// An assertion that does not hold is counted in every build, and panics with its message where Enabled is true.
func TestAssertViolated(t *testing.T) {
	before := Violations()
	var want any
	if Enabled {
		want = "invariant violated: position 7 is below 9"
	}
	func() {
		defer func() {
			if got := recover(); got != want {
				t.Errorf("recovered %v, want %v", got, want)
			}
		}()
		Assert(false, "position %d is below %d", 7, 9)
	}()
	if got := Violations(); got != before+1 {
		t.Errorf("Violations() = %d, want %d", got, before+1)
	}
}

// Assertions stand on the path of every event, so one that holds must not allocate its arguments in the build
// that is shipped.
func TestAssertAllocatesNothing(t *testing.T) {
	if Enabled {
		t.Skip("formatting makes the arguments escape where assertions panic")
	}
	offset, key := int64(1<<40), "a key longer than a pointer"
	if n := testing.AllocsPerRun(100, func() {
		offset++
		Assert(offset > 0, "offset %d of %q", offset, key)
	}); n != 0 {
		t.Errorf("an assertion that holds allocates %v times", n)
	}
}
