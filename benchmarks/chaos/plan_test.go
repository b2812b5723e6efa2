package main

import (
	"reflect"
	"testing"
)

func TestPlan(t *testing.T) {
	faults := plan(7, len(deck), 3, deck)
	if !reflect.DeepEqual(faults, plan(7, len(deck), 3, deck)) {
		t.Error("the same seed makes two plans")
	}
	if reflect.DeepEqual(faults, plan(8, len(deck), 3, deck)) {
		t.Error("two seeds make the same plan")
	}
	var seen [faultKinds]int
	overlaps := 0
	for _, f := range faults {
		seen[f.kind]++
		if f.overlap > 0 {
			overlaps++
		}
		if f.kind == frozen && f.hold <= sessionTimeout {
			t.Errorf("a pipeline frozen for %s keeps its membership: it is no zombie", f.hold)
		}
		if f.kind == fullDisk && f.process != diskProcess {
			t.Errorf("process %d has no small disk", f.process)
		}
	}
	for kind, n := range seen {
		if n == 0 {
			t.Errorf("%d faults, and none is %q", len(deck), faultKind(kind))
		}
	}
	if overlaps == 0 || overlaps == len(faults) {
		t.Errorf("%d of %d faults overlap with the next", overlaps, len(faults))
	}
}
