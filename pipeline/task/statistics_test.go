package task_test

import (
	"fmt"
	"testing"

	"lull/operators"
	"lull/operators/statistics"
	"lull/pipeline/task"
)

// checkStatistics compares the statistics with those of all customers in the store, counted at once.
func (p *process) checkStatistics() {
	p.tb.Helper()
	p.count()
	table, _ := p.task.Statistics()
	if d := statistics.Difference(table, p.recounted()); d != "" {
		p.tb.Errorf("the statistics are not those of the states: %s", d)
	}
	sample := table.Sample()
	if n, all := len(sample.Members()), int(table.Customers()); n > all || n < min(all, p.cfg.Sampled) || n < all && sample.Below() == statistics.HashEnd {
		p.tb.Errorf("%d of %d customers are sampled", n, all)
	}
}

// count ends the census, in transactions of any size.
func (p *process) count() {
	p.tb.Helper()
	for _, counted := p.task.Statistics(); !counted; _, counted = p.task.Statistics() {
		if err := p.task.Count(p.b); err != nil {
			p.tb.Fatal(err)
		}
		p.commit()
	}
}

func (p *process) recounted() *statistics.Table {
	p.tb.Helper()
	table := statistics.NewTable(1 << 30)
	for key, state := range p.store.committed {
		id, ok := task.CustomerOf([]byte(key))
		if !ok {
			continue
		}
		c := operators.NewCustomer(string(id))
		if err := c.DecodeState([]byte(state)); err != nil {
			p.tb.Fatal(err)
		}
		table.Change(string(id), &operators.Purchases{}, &c.Purchases, c.Days.Newest)
	}
	return table
}

// TestStatisticsFollow: an order, a refund, a cancellation and a late order each change the statistics at once, with those who have been counted and those who
// have not.
func TestStatisticsFollow(t *testing.T) {
	p := newProcess(t, settings(), chain())
	p.mark("01T00:00")
	for i := range 10 {
		p.send(fmt.Sprint("c", i), fmt.Sprintf("0%dT10:00 order_completed order=o%d amount=10", 1+i%3, i))
	}
	p.commit()
	p.crash() // the census begins anew, of ten
	p.b = once()
	if err := p.task.Count(p.b); err != nil {
		t.Fatal(err)
	}
	if table, counted := p.task.Statistics(); counted || table.Customers() != 2 {
		t.Fatalf("%d customers counted, all: %v", table.Customers(), counted)
	}
	p.b = p.budget()
	for _, id := range []string{"c1", "c8"} {
		p.send(id, "09T10:00 order_completed order=again"+id+" amount=5")
		p.send(id, "09T11:00 order_refunded order=again"+id+" refund=r amount=2")
	}
	p.send("c0", "09T12:00 order_cancelled order=o0")
	p.send("c9", "09T12:00 order_cancelled order=o9")
	p.send("c5", "01T12:00 order_completed order=late amount=7")
	p.send("new", "09T12:00 order_completed order=new amount=7")
	p.commit()
	p.checkStatistics()
	p.send("c2", "09T12:00 order_completed order=x amount=3")
	p.commit()
	p.checkStatistics()
	if table, _ := p.task.Statistics(); table.Customers() != 9 {
		t.Errorf("%d customers", table.Customers())
	}
	p.send("c3", "09T12:00 order_completed order=y amount=3")
	p.abort()
	p.checkStatistics()
}

// once is a budget for one piece of work.
func once() *task.Budget {
	left := 1
	return &task.Budget{Outputs: 1 << 30, Expired: func() bool { left--; return left < 0 }}
}
