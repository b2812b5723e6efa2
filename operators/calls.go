package operators

import (
	"cmp"
	"slices"
)

// Calls are what a task knows of its calls to act, the actionable triggers, by rules with a cap. It counts those of a step when the step is done; operators only look.
type Calls struct {
	// Partition is the task's, from 0 on, of Partitions.
	Partition, Partitions int
	// Day returns the calendar day of an instant.
	Day func(EventTime) Day
	// ByDay is how many there have been.
	ByDay []DayCalls
}

// DayCalls is how many calls to act a rule has made on a day.
type DayCalls struct {
	Day   Day
	Rule  uint16 // RuleKey of its name
	Calls uint32
}

// Of returns how many a rule has made on a day.
func (c *Calls) Of(rule uint16, day Day) int {
	if i, found := FindCalls(c.ByDay, rule, day); found {
		return int(c.ByDay[i].Calls)
	}
	return 0
}

// FindCalls returns where a rule's count of a day is, or would be, in the order of days and then of rules.
func FindCalls(byDay []DayCalls, rule uint16, day Day) (i int, found bool) {
	return slices.BinarySearchFunc(byDay, DayCalls{Day: day, Rule: rule}, func(a, b DayCalls) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Rule, b.Rule))
	})
}
