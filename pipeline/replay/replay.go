// Package replay tries rules on a past: it runs the records of a file through what live events run through, and says which triggers there would have been, for what
// value, which rules meet in the same customers, and who came back although nobody was called.
package replay

import (
	"fmt"
	"iter"

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

// Triggers runs the records, which are in the order of event time, and returns the triggers of the period in the order in which they are made. Records after
// the period are left out; those before it are everybody's past. None is late, so no trigger is withdrawn.
func Triggers(run *backfill.Run, records iter.Seq[*Record], p Period) ([]operators.Output, error) {
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
	err := f.commit()
	return f.triggers, err
}

// follower gathers the triggers of a run.
type follower struct {
	run      *backfill.Run
	period   Period
	triggers []operators.Output
}

// commit ends a transaction and takes its triggers.
func (f *follower) commit() error {
	outputs := f.run.Outputs()
	for i := range outputs {
		o := &outputs[i]
		switch {
		case o.Kind == operators.RejectOutput:
			return fmt.Errorf("customer %q: %s", o.Customer, o.Reject.Detail)
		case o.Kind == operators.TriggerOutput && f.period.holds(o.Time):
			f.triggers = append(f.triggers, *o)
		}
	}
	return f.run.Commit(nil)
}
