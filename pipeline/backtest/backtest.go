// Package backtest asks a model what customers will do, of a past whose future is known: it runs a file of events through the operators up to a
// day, fits the models to what is known then, predicts the days that follow, and holds against that what happened in them.
//
// Nothing of the holdout reaches a fit, a prediction or a threshold.
package backtest

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"lull/operators"
	"lull/pipeline/backfill"
)

// Periods are the days that divide a file. All are inclusive.
type Periods struct {
	First     operators.Day // of the first event
	Calibrate operators.Day // the last whose events the models may know
	Holdout   operators.Day // the last that is predicted
}

// HoldoutDays returns the length of the holdout.
func (p Periods) HoldoutDays() int { return int(p.Holdout - p.Calibrate) }

// rehearsal returns the day that divides the calibration period as it divides the file: rules that need examples, the baselines' that is, learn
// before it what follows in the days after it. These are as many as the holdout has, but at most half of the period.
func (p Periods) rehearsal() operators.Day {
	return p.Calibrate - operators.Day(min(p.HoldoutDays(), int(p.Calibrate-p.First)/2))
}

// Record is the record of one event.
type Record struct {
	Customer string
	Day      operators.Day
	Value    []byte // the encoded event
	Row      int64  // where it stands in the file, for errors; as is Line
	Line     int
}

// Customer is what is known of a customer at the ends of three periods: purchases of count 0 if they had not bought by then.
type Customer struct {
	ID                               string
	Rehearsed, Calibrated, Completed operators.Purchases
}

// Week is the state of things at the end of a day.
type Week struct {
	Until   operators.Day
	Repeats int // repeat purchases so far, of those who had bought for the first time by the end of calibration
}

// Past is what a run has found.
type Past struct {
	Periods   Periods
	Customers []Customer // who had bought by the end of calibration, by id
	Weeks     []Week     // from the first day to the end of the holdout
}

// commitEvery is the number of records in a transaction at most.
const commitEvery = 10_000

// Follow runs the records, which are in the order of event time, and returns what is known at the ends of the periods. Records after the holdout are
// left out.
func Follow(run *backfill.Run, records iter.Seq[*Record], periods Periods) (*Past, error) {
	f := follower{run: run, past: Past{Periods: periods}, place: make(map[string]int)}
	pending := 0
	for r := range records {
		if r.Day > periods.Holdout {
			break
		}
		if pending == commitEvery {
			if err := f.commit(); err != nil {
				return nil, err
			}
			pending = 0
		}
		if err := f.reach(r.Day - 1); err != nil {
			return nil, err
		}
		rejection, err := run.Apply(r.Customer, r.Value)
		if err != nil {
			return nil, err
		}
		if rejection != nil {
			return nil, fmt.Errorf("row %d (line %d): %s; mend it, or take it out", r.Row, r.Line, rejection.Detail)
		}
		pending++
	}
	if err := f.reach(periods.Holdout); err != nil {
		return nil, err
	}
	return f.result(), nil
}

// follower keeps the summaries of customers while a run goes on.
type follower struct {
	run     *backfill.Run
	past    Past
	place   map[string]int // by id: the index in past.Customers
	repeats int
	reached operators.Day // the last day whose end has been seen to; 0 before the first
}

// reach sees to the ends of all days up to this one that mean something.
func (f *follower) reach(until operators.Day) error {
	p := &f.past.Periods
	next := f.reached + 1
	if f.reached == 0 {
		next = p.First
	}
	for day := next; day <= until; day++ {
		rehearsal, week := day == p.rehearsal(), (day-p.First)%7 == 6 || day == p.Holdout
		if rehearsal || week || day == p.Calibrate {
			if err := f.commit(); err != nil {
				return err
			}
		}
		if rehearsal {
			f.note(func(c *Customer) *operators.Purchases { return &c.Rehearsed })
		}
		if day == p.Calibrate {
			f.note(func(c *Customer) *operators.Purchases { return &c.Calibrated })
		}
		if week {
			f.past.Weeks = append(f.past.Weeks, Week{Until: day, Repeats: f.repeats})
		}
		f.reached = day
	}
	return nil
}

// note keeps what is known of all customers now.
func (f *follower) note(at func(c *Customer) *operators.Purchases) {
	for i := range f.past.Customers {
		c := &f.past.Customers[i]
		*at(c) = c.Completed
	}
}

// commit ends a transaction and takes over the summaries that have changed. Who buys for the first time in the holdout is none of its customers.
func (f *follower) commit() error {
	return f.run.Commit(func(state *operators.Customer) {
		i, known := f.place[state.ID]
		if !known {
			if f.reached >= f.past.Periods.Calibrate {
				return
			}
			i = len(f.past.Customers)
			f.place[state.ID] = i
			f.past.Customers = append(f.past.Customers, Customer{ID: state.ID})
		}
		c := &f.past.Customers[i]
		f.repeats += repeats(&state.Purchases) - repeats(&c.Completed)
		c.Completed = state.Purchases
	})
}

func repeats(p *operators.Purchases) int { return max(0, p.Repeats()) }

func (f *follower) result() *Past {
	f.past.Customers = slices.DeleteFunc(f.past.Customers, func(c Customer) bool { return c.Calibrated.Count == 0 })
	slices.SortFunc(f.past.Customers, func(a, b Customer) int { return strings.Compare(a.ID, b.ID) })
	return &f.past
}
