package task_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"lull/operators"
	"lull/operators/trigger"
)

// TestFirstStartOnHistory: a first start on two years of orders tells every crossing in them once, at its instant, the same under both clocks, and calls
// to act on those only that are at most a day old: by the wall clock, those of the last day; under clock: event, those that lie at most a day behind
// the record that released them. All others are stale. Nothing else depends on when the history is read.
func TestFirstStartOnHistory(t *testing.T) {
	const years = 2 * 365 * day
	random := rand.New(rand.NewPCG(1, 0))
	var events []*operators.Event
	for who := range 1500 {
		at, until := start+operators.EventTime(random.Int64N(int64(years))), start+operators.EventTime(random.Int64N(int64(years)))
		for at < until || random.IntN(4) > 0 && at < start+years {
			n := len(events)
			events = append(events, &operators.Event{
				Kind: operators.OrderCompleted, ID: fmt.Sprint("m", n), Customer: fmt.Sprint("c", who), OrderID: fmt.Sprint("o", n), Time: at,
				Day: operators.Day(at / day), DayStart: at / day * day, Amount: operators.Money(random.Int64N(9_000)),
			})
			at += hour + operators.EventTime(random.Int64N(int64(90*day)))
		}
	}
	events = slices.DeleteFunc(events, func(e *operators.Event) bool { return e.Time/day >= 10_300 && e.Time/day < 10_304 }) // the shop was closed
	slices.SortFunc(events, func(a, b *operators.Event) int { return int(a.Time - b.Time) })
	run := func(wall bool) []operators.Output {
		cfg := settings()
		cfg.CachedCustomers, cfg.TimersLoaded = 10_000, 10_000
		if cfg.EventClock = !wall; wall {
			cfg.JumpMaxMs = 0
		}
		p := newProcess(t, cfg, chain())
		p.now = start + years
		p.budget = bounded(5000)
		p.begin()
		p.do(step{offset: 0, mark: start - day})
		p.do(step{adopt: first})
		for i, e := range events {
			p.do(step{offset: int64(i + 1), event: e})
		}
		if wall {
			p.do(step{advance: start + years - 2*hour})
		} else {
			p.do(step{offset: p.position(), mark: start + years - 2*hour})
		}
		p.settle()
		return scoreless(p.outputs)
	}
	byWall, byEvents := run(true), run(false)
	told, recent := 0, 0
	for i := range byWall {
		o := byWall[i].Trigger
		if o == nil {
			continue
		}
		told++
		withheld := ""
		switch recently := o.Deadline >= start+years-day; {
		case o.Withheld == trigger.Returned: // whose next order comes within the lateness of the crossing
			withheld = trigger.Returned
		case recently:
			recent++
		default:
			withheld = trigger.Stale
		}
		if o.Withheld != withheld || o.Actionable != (withheld == "") {
			t.Errorf("by the wall clock: %+v, which is to be withheld as %q", o, withheld)
		}
	}
	stale := 0
	for i := range byEvents {
		if o := byEvents[i].Trigger; o != nil && o.Withheld == trigger.Stale {
			stale++
		}
		for _, o := range []*operators.Trigger{byWall[i].Trigger, byEvents[i].Trigger} {
			if o != nil {
				o.Actionable, o.Withheld = false, ""
			}
		}
		if !reflect.DeepEqual(byWall[i], byEvents[i]) {
			t.Fatalf("output %d is\n%s by the wall clock and\n%s by events", i, byWall[i], byEvents[i])
		}
	}
	if told < 1000 || recent == 0 || recent > told/100 || stale == 0 {
		t.Errorf("%d triggers, %d of the last day; %d stale under clock: event: this tests nothing", told, recent, stale)
	}
	t.Logf("%d events, %d triggers: %d to be acted on by the wall clock, %d stale under clock: event", len(events), told, recent, stale)
}
