package task_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"lull/operators"
	"lull/pipeline/task"
)

// TestLatenessBound: with the watermark two hours behind the highest event time, what lies exactly there or later is applied, and a millisecond before it
// only facts are. An event is judged by the watermark that it moves itself.
func TestLatenessBound(t *testing.T) {
	const bound = "05T10:00"
	for _, c := range []struct {
		at             string
		page, purchase task.Outcome
	}{
		{"05T09:59:59.999", task.Late, task.Applied},
		{bound, task.Applied, task.Applied},
		{"05T10:00:00.001", task.Applied, task.Applied},
		{"05T12:00", task.Applied, task.Applied},
		{"06T12:00", task.Applied, task.Applied}, // moves the watermark to 10:00 of that day
	} {
		p := newProcess(t, settings(), chain())
		p.mark("05T00:00")
		p.send("other", "05T12:00 page")
		p.stands(bound)
		if got := p.send("a", c.at+" page id=p"); got != c.page {
			t.Errorf("a page view at %s: outcome %d, not %d", c.at, got, c.page)
		}
		if got := p.send("a", c.at+" order_completed id=o order=o amount=10"); got != c.purchase {
			t.Errorf("an order at %s: outcome %d, not %d", c.at, got, c.purchase)
		}
		p.settle()
		pages := uint32(0)
		for _, s := range p.customer("a").Sessions {
			pages += uint32(s.Counts[operators.PageViewed])
		}
		if want := map[task.Outcome]uint32{task.Applied: 1}[c.page]; pages != want {
			t.Errorf("%d pages are in sessions after a page view at %s, not %d", pages, c.at, want)
		}
		if got := p.customer("a").Purchases; got.Orders != 1 || got.Net != 1000 {
			t.Errorf("after an order at %s: %+v", c.at, got)
		}
	}
}

// TestDuplicatesOfDuplicates: A, B, A counts A once, as long as the window of message ids reaches back to it (an hour behind the watermark); beyond, a
// page view is late and an order is known to the ledger, so that nothing ever counts twice.
func TestDuplicatesOfDuplicates(t *testing.T) {
	const page, order = "05T09:00 page id=A", "05T09:00 order_completed id=A order=A amount=10"
	for _, c := range []struct {
		name, line, moves string
		want              task.Outcome
	}{
		{"at once", page, "", task.Duplicate},
		{"at once", order, "", task.Duplicate},
		{"at the watermark", page, "05T09:00", task.Duplicate},
		{"after the watermark", page, "05T09:00:00.001", task.Late},
		{"at the window's edge", order, "05T10:00", task.Duplicate},
		{"beyond the window's edge", order, "05T10:00:00.001", task.Applied},
		{"years later", order, "31T00:00", task.Applied},
		{"years later", page, "31T00:00", task.Late},
	} {
		p := newProcess(t, settings(), chain())
		p.mark("05T00:00")
		p.send("a", c.line)
		p.send("a", "05T09:10 page id=B")
		p.send("a", c.line)
		if c.moves != "" {
			p.mark(c.moves)
		}
		p.settle()
		facts := p.customer("a")
		p.outputs = nil
		for range 2 {
			if got := p.send("a", c.line); got != c.want {
				t.Errorf("%s, %s: outcome %d, not %d", c.name, c.line, got, c.want)
			}
		}
		p.settle()
		got := p.customer("a")
		if got.Purchases != facts.Purchases || !reflect.DeepEqual(got.Ledger, facts.Ledger) || !reflect.DeepEqual(got.Sessions, facts.Sessions) {
			t.Errorf("%s, %s: the duplicate changed\n%+v to\n%+v", c.name, c.line, facts, got)
		}
		if said := scoreless(p.outputs); len(said) > 0 {
			t.Errorf("%s, %s: the duplicate was told of: %+v", c.name, c.line, said)
		}
	}
}

// TestClocksGoBack: devices whose clocks go back, marks that do and a wall clock that does move nothing back; what is within the lateness ends in the
// same facts in whatever order it comes.
func TestClocksGoBack(t *testing.T) {
	for _, wall := range []bool{false, true} {
		var want map[string]*operators.Customer
		for seed := range uint64(20) {
			random := rand.New(rand.NewPCG(seed, 0))
			cfg := settings()
			cfg.EventClock = !wall
			p := newProcess(t, cfg, chain())
			p.do(step{adopt: first})
			p.mark("05T00:00")
			lines := make([]string, 60)
			for i := range lines {
				lines[i] = fmt.Sprintf("05T%02d:%02d page id=m%d", 2+i/30, 2*(i%30), i)
				if i%7 == 0 {
					lines[i] = fmt.Sprintf("05T%02d:%02d order_completed id=m%d order=o%d amount=%d", 2+i/30, 2*(i%30), i, i, i)
				}
			}
			if seed > 0 {
				random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
			}
			highest := operators.Unset
			for i, line := range lines {
				if got := p.send(fmt.Sprint("c", line[len(line)-1:]), line); got != task.Applied {
					t.Fatalf("seed %d, %s: outcome %d", seed, line, got)
				}
				switch {
				case i%10 == 0 && wall:
					p.do(step{advance: january(t, "05T00:00") - operators.EventTime(random.Int64N(int64(day)))})
				case i%10 == 0:
					p.mark("04T00:00")
				}
				if now := p.task.Meta().Watermark; now < highest {
					t.Fatalf("the watermark goes back from %s to %s", highest, now)
				} else {
					highest = now
				}
			}
			p.mark("06T00:00")
			p.settle()
			got := map[string]*operators.Customer{}
			for i := range 10 {
				c := p.customer(fmt.Sprint("c", i))
				c.Revision, c.Ledger.Orders = 0, nil // how often they were told of, and the ledger's order of arrival
				got[c.ID] = c
			}
			if want == nil {
				want = got
			}
			for id, c := range got {
				if c.Purchases != want[id].Purchases || !reflect.DeepEqual(c.Sessions, want[id].Sessions) || c.Score.Next != want[id].Score.Next {
					t.Fatalf("seed %d: %s is\n%+v, not\n%+v", seed, id, c, want[id])
				}
			}
		}
	}
}

// TestRefundBeforeItsOrder: a refund that comes first waits for its order, and then the order is worth what is left, in the state and in what is told;
// between the two there is no purchase and nothing is told. The other way round ends in the same.
func TestRefundBeforeItsOrder(t *testing.T) {
	const order, refund = "05T09:00 order_completed id=o order=o amount=50", "06T09:00 order_refunded id=r order=o refund=r amount=20"
	run := func(lines ...string) (purchases []operators.Purchases, outputs []operators.Output) {
		p := newProcess(t, settings(), chain())
		p.do(step{adopt: first})
		p.mark("05T00:00")
		for _, line := range lines {
			if got := p.send("a", line); got != task.Applied {
				t.Errorf("%s: outcome %d", line, got)
			}
			p.settle()
			purchases = append(purchases, p.customer("a").Purchases)
		}
		return purchases, p.outputs
	}
	early, told := run(refund, order)
	if early[0].Count != 0 || early[1].Count != 1 || early[1].Net != 3000 {
		t.Errorf("the refund first: %+v", early)
	}
	for i := range told {
		if o := &told[i]; o.Kind == operators.ScoreOutput && o.Score.Purchases.Net != 3000 || o.Cause.Kind == operators.EventInput && o.Cause.EventID != "o" {
			t.Errorf("told: %+v", *o)
		}
	}
	if last := told[len(told)-1]; last.Customer != "a" {
		t.Errorf("told: %+v", last)
	}
	if late, _ := run(order, refund); late[1] != early[1] {
		t.Errorf("the order first: %+v, the refund first: %+v", late[1], early[1])
	}
}

// TestOrderTwoYearsLate: it is applied however long the watermark has passed it, the customer is computed anew as of now, and told of with the order as
// the cause: the row shows the first purchase two years back, and the deadline moves.
func TestOrderTwoYearsLate(t *testing.T) {
	p := newProcess(t, settings(), chain())
	p.do(step{offset: 0, mark: start})
	p.do(step{adopt: first})
	p.send("a", "20T09:00 order_completed id=new order=new amount=30")
	p.mark("20T12:00")
	p.settle()
	before := p.customer("a")
	p.outputs = nil
	old := parse(t, "a", "20T09:00 order_completed id=old order=old amount=50")
	old.Time -= 2 * 365 * day
	old.Day, old.DayStart = operators.Day(old.Time/day), old.Time/day*day
	if got := p.do(step{offset: p.position(), event: old}); got != task.Applied {
		t.Fatalf("outcome %d", got)
	}
	p.settle()
	after := p.customer("a")
	if got := after.Purchases; got.Count != 2 || got.First != old.Day || got.Last != before.Purchases.Last || got.Net != 8000 || got.FirstNet != 5000 {
		t.Errorf("purchases are %+v", got)
	}
	if after.At < before.At || after.Score.Next == before.Score.Next {
		t.Errorf("computed as of %s, before as of %s; the next change at %s as before", after.At, before.At, after.Score.Next)
	}
	i := 0
	for i < len(p.outputs) && p.outputs[i].Kind != operators.ScoreOutput {
		i++
	}
	if i == len(p.outputs) {
		t.Fatalf("no row says so: %+v", p.outputs)
	}
	if o := p.outputs[i]; o.Cause.EventID != "old" || o.Score.Purchases != after.Purchases || o.Time < before.At {
		t.Errorf("the row is %+v", o)
	}
}
