package task_test

import (
	"testing"

	"lull/operators"
	"lull/pipeline/task"
)

// TestLoads: a customer counts as new once, then as kept while they are decoded and as read after they have been let go; a transaction begins from 0 whether the one before ended well or not.
func TestLoads(t *testing.T) {
	cfg := settings()
	cfg.CachedCustomers = 2 // those of the last transaction with two
	p := newProcess(t, cfg, chain())
	offset := int64(0)
	apply := func(customers ...string) {
		t.Helper()
		for _, customer := range customers {
			e := operators.Event{Kind: operators.PageViewed, ID: customer + string(rune('0'+offset)), Customer: customer, Time: operators.EventTime(start)}
			if outcome, err := p.task.Apply(offset, &e, p.b); err != nil || outcome != task.Applied {
				t.Fatal(outcome, err)
			}
			offset++
		}
	}
	expect := func(want task.Loads) {
		t.Helper()
		if got := p.task.Loads(); got != want {
			t.Errorf("after %d events: %+v, want %+v", offset, got, want)
		}
	}
	apply("a", "b", "a")
	expect(task.Loads{New: 2, Kept: 1})
	p.commit()
	expect(task.Loads{})
	apply("c", "d")
	p.commit()
	apply("c", "e")
	expect(task.Loads{Kept: 1, New: 1})
	p.commit()
	apply("a")
	expect(task.Loads{Read: 1})
	p.abort()
	expect(task.Loads{})
}
