// Package replay tries rules on a past: it runs the records of a file through what live events run through, and says which triggers and changes of segment there would have
// been, for what value, which rules meet in the same customers, and who came back although nobody was called.
package replay

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"lull/operators"
	"lull/pipeline/backfill"
)

// Record is the record of one event.
type Record struct {
	Customer string
	Time     operators.EventTime
	Value    []byte // the encoded event
	Row      int64  // where it stands in the file, for errors; as is Line
	Line     int
}

// Period is from one instant up to, not including, another.
type Period struct{ From, Until operators.EventTime }

func (p Period) holds(at operators.EventTime) bool { return p.From <= at && at < p.Until }

// commitEvery is the number of records in a transaction at most.
const commitEvery = 10_000

// Told is what is told of a period, each in the order of time: of one instant in that of the customers' ids, and of one customer as it is made.
type Told struct {
	Triggers    []operators.Output
	Transitions []operators.Output // changes of segment
}

// Follow runs the records, which are in the order of event time, and returns what is told of the period. Records after the period are left out; those before it are everybody's
// past. None is late, so no trigger is withdrawn.
func Follow(run *backfill.Run, records iter.Seq[*Record], p Period) (*Told, error) {
	f := follower{run: run, period: p}
	pending := 0
	for r := range records {
		if r.Time >= p.Until {
			break
		}
		if pending++; pending > commitEvery {
			if err := f.commit(); err != nil {
				return nil, err
			}
			pending = 1
		}
		if err := run.Pass(r.Time); err != nil {
			return nil, err
		}
		rejection, err := run.Apply(r.Customer, r.Value)
		if err != nil {
			return nil, err
		}
		if rejection != nil {
			return nil, fmt.Errorf("row %d (line %d): %s; mend it, or take it out", r.Row, r.Line, rejection.Detail)
		}
	}
	if err := run.End(p.Until - 1); err != nil {
		return nil, err
	}
	if err := f.commit(); err != nil {
		return nil, err
	}
	inTime(f.told.Triggers)
	inTime(f.told.Transitions)
	return &f.told, nil
}

// inTime sorts outputs. They are made a little out of time: an event is told of when it comes, silence once the watermark has passed.
func inTime(outputs []operators.Output) {
	slices.SortFunc(outputs, func(a, b operators.Output) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.Revision, b.Revision))
	})
}

// follower gathers what a run tells.
type follower struct {
	run    *backfill.Run
	period Period
	told   Told
}

// commit ends a transaction and takes what it tells.
func (f *follower) commit() error {
	outputs := f.run.Outputs()
	for i := range outputs {
		o := &outputs[i]
		switch {
		case o.Kind == operators.RejectOutput:
			return fmt.Errorf("customer %q: %s", o.Customer, o.Reject.Detail)
		case !f.period.holds(o.Time):
		case o.Kind == operators.TriggerOutput:
			f.told.Triggers = append(f.told.Triggers, *o)
		case o.Kind == operators.SegmentOutput:
			f.told.Transitions = append(f.told.Transitions, *o)
		}
	}
	return f.run.Commit(nil)
}
