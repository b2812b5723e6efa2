package task_test

import (
	"fmt"
	"reflect"
	"testing"

	"lull/operators"
	"lull/schemas"
)

// decoded returns the event of a record that was appended at an instant, as the decoder gives it; refused is set if it is a dead letter instead.
func decoded(t *testing.T, future schemas.FutureTimes, e operators.Event, appended operators.EventTime) (_ *operators.Event, refused bool) {
	t.Helper()
	value, err := schemas.EncodeEvent(nil, &e, "USD")
	if err != nil {
		t.Fatal(err)
	}
	config := schemas.DecoderConfig{Future: future, Currency: "USD"}
	config.EnsureDefaults()
	d, err := schemas.NewDecoder(config)
	if err != nil {
		t.Fatal(err)
	}
	var event operators.Event
	rejection := d.Decode(&schemas.Source{Topic: "shop", Key: []byte(e.Customer), Value: value, AppendTime: appended}, &event)
	if rejection != nil && rejection.Reason != schemas.ReasonTimeInFuture {
		t.Fatal(rejection)
	}
	return &event, rejection != nil
}

// shopWeeks returns three weeks of a shop of ten customers, who order ever more seldom, with bad records in the midst of them: nil is none. Under
// clock: wall the clock is told every day.
func shopWeeks(t *testing.T, wall bool, future schemas.FutureTimes, bad []operators.Event, appended func(now operators.EventTime) operators.EventTime) []step {
	t.Helper()
	log := []step{{adopt: first}, {mark: start}}
	offset := int64(1)
	add := func(s step) {
		s.offset = offset
		offset++
		log = append(log, s)
	}
	for i := range 21 * 24 {
		now := start + operators.EventTime(i)*hour
		if who := i % 29; who < 10 && i < 29*(20-who) {
			e := operators.Event{
				Kind: operators.OrderCompleted, ID: fmt.Sprint("m", i), Customer: fmt.Sprint("good-", who), Time: now, OrderID: fmt.Sprint("o", i), Amount: 2_000,
			}
			event, _ := decoded(t, future, e, now)
			add(step{event: event})
		}
		if i == 10*24 {
			for _, e := range bad {
				if event, refused := decoded(t, future, e, appended(now)); refused {
					add(step{}) // a dead letter: passed over
				} else {
					add(step{event: event})
				}
			}
		}
		if wall && i%24 == 0 {
			log = append(log, step{advance: now - 2*hour})
		}
	}
	return log
}

// ofOthers returns the outputs but for customers with this prefix in their id.
func ofOthers(outputs []operators.Output, prefix string) (list []operators.Output) {
	for _, o := range outputs {
		if len(o.Customer) < len(prefix) || o.Customer[:len(prefix)] != prefix {
			list = append(list, o)
		}
	}
	return list
}

// TestFutureDated: one record dated 2099, a thousand of one device, or a thousand of as many customers touch nobody else and do not move the watermark:
// what everybody else is told and has become is what it is without them, under both clocks, whether such records are clamped to their append time
// or dead letters. Under clock: event neither do they if their append time is as wrong, as long as it is fewer than three customers who say so.
func TestFutureDated(t *testing.T) {
	const year2099 = start + 102*365*day
	dated := func(n, customers int) (bad []operators.Event) {
		for i := range n {
			bad = append(bad, operators.Event{
				Kind: operators.OrderCompleted, ID: fmt.Sprint("bad", i), Customer: fmt.Sprint("bad-", i%customers), Time: year2099 + operators.EventTime(i),
				OrderID: fmt.Sprint("bad", i), Amount: 1_000,
			})
		}
		return bad
	}
	honest := func(now operators.EventTime) operators.EventTime { return now }
	asWrong := func(operators.EventTime) operators.EventTime { return year2099 }
	for _, c := range []struct {
		name     string
		bad      []operators.Event
		appended func(operators.EventTime) operators.EventTime
		wall     bool // under clock: wall too
	}{
		{"one", dated(1, 1), honest, true},
		{"a thousand of one customer", dated(1000, 1), honest, true},
		{"a thousand of a thousand customers", dated(1000, 1000), honest, true},
		{"one with a wrong append time", dated(1, 1), asWrong, false},
		{"a thousand of two customers with wrong append times", dated(1000, 2), asWrong, false},
	} {
		for _, wall := range []bool{false, true} {
			for name, future := range map[string]schemas.FutureTimes{"clamp": schemas.ClampFuture, "dead-letter": schemas.RejectFuture} {
				if wall && !c.wall {
					continue // the runtime takes no append time for one that is still to come
				}
				t.Run(fmt.Sprintf("%s, wall clock %v, %s", c.name, wall, name), func(t *testing.T) {
					run := func(bad []operators.Event) *process {
						cfg := settings()
						if cfg.EventClock = !wall; wall {
							cfg.JumpMaxMs = 0
						}
						p := newProcess(t, cfg, chain())
						for _, s := range shopWeeks(t, wall, future, bad, c.appended) {
							p.do(s)
						}
						p.settle()
						return p
					}
					with, without := run(c.bad), run(nil)
					if got, want := with.task.Meta().Watermark, without.task.Meta().Watermark; got != want || want < start+19*day {
						t.Errorf("the watermark stands at %s, not at %s", got, want)
					}
					want := without.outputs
					if triggers := count(want, operators.TriggerOutput); triggers < 3 {
						t.Fatalf("%d triggers: this tests nothing", triggers)
					}
					if got := ofOthers(with.outputs, "bad-"); !reflect.DeepEqual(scoreless(got), scoreless(want)) {
						t.Errorf("others are told of otherwise: %d outputs, not %d", len(got), len(want))
					}
					for i := range 10 {
						id := fmt.Sprint("good-", i)
						if got, want := with.customer(id), without.customer(id); !reflect.DeepEqual(got, want) || want.Purchases.Count == 0 {
							t.Errorf("%s is\n%+v, not\n%+v", id, got, want)
						}
					}
					honestly := c.appended(0) == 0
					if c := with.customer("bad-0"); future == schemas.RejectFuture && honestly == (c.Purchases.Count > 0) {
						t.Errorf("a dead letter was applied: %+v", c.Purchases)
					} else if future == schemas.ClampFuture && honestly && (c.Purchases.Last != operators.Day((start+10*day)/day) || c.Purchases.Orders == 0) {
						t.Errorf("a clamped order is not of the day on which it was appended: %+v", c.Purchases)
					}
				})
			}
		}
	}
}

func count(outputs []operators.Output, kind operators.OutputKind) (n int) {
	for i := range outputs {
		if outputs[i].Kind == kind {
			n++
		}
	}
	return n
}

// scoreless leaves the rows of scores out, whose number hangs on where transactions end.
func scoreless(outputs []operators.Output) (list []operators.Output) {
	for _, o := range outputs {
		if o.Kind != operators.ScoreOutput {
			list = append(list, o)
		}
	}
	return list
}
