package task_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"lull/operators"
	"lull/pipeline/task"
)

// counted is what a record is counted as.
type counted struct {
	at       operators.EventTime
	source   string
	fault    operators.Fault
	customer string
}

// countRecords marks the time of each record, and counts it. The transaction ends where ends says, and after the last.
func (p *process) countRecords(records []counted, told map[string]task.Quality, ends func() (commits, aborts bool)) {
	p.tb.Helper()
	done := 0 // committed
	for i := 0; i < len(records); {
		r := records[i]
		p.do(step{offset: int64(i), mark: r.at})
		if err := p.task.CountRecord(r.source, r.fault, r.customer); err != nil {
			p.tb.Fatal(err)
		}
		i++
		commits, aborts := ends()
		switch {
		case aborts:
			p.abort()
			i = done
		case commits || i == len(records):
			if err := p.task.Finish(); err != nil {
				p.tb.Fatal(err)
			}
			for _, q := range p.task.Quality() {
				told[fmt.Sprint(q.Source, " ", q.Day)] = q
			}
			p.store.commit()
			p.task.Committed()
			p.begin()
			done = i
		}
	}
}

// TestQuality: records are counted by source and by the day of the watermark, once, wherever transactions end and fail. What is told of a day at last is the same too: as the last record with a fault left it and, when the
// watermark has passed it, all of it. Customers have the faults of their records; who is not known has none.
func TestQuality(t *testing.T) {
	records := []counted{
		{start + hour, "shop", operators.NoFault, "ann"},
		{start + 2*hour, "shop", operators.Duplicate, "ann"},
		{start + 3*hour, "shop", operators.NoFault, "ann"},
		{start + 4*hour, "web", operators.MissingField, ""},
		{start + 23*hour, "shop", operators.Invalid, "nobody"},
		{start + day, "shop", operators.NoFault, "ann"},
		{start + day, "web", operators.LateEvent, "ann"},
		{start + 3*day, "shop", operators.LateEvent, "ann"},
		{start + 3*day, "shop", operators.NoFault, "ann"},
	}
	known := func(p *process) {
		p.do(step{offset: -1, adopt: first})
		ann := operators.NewCustomer("ann")
		ann.At = start
		p.store.committed[string(task.CustomerKey(nil, "ann"))] = string(ann.AppendState(nil))
	}
	of := func(q task.Quality) string { return fmt.Sprint(q.Source, " ", q.Day, " ", q.Counts, " ", q.Over) }
	want := []string{
		"shop 1997-01-01 [2 1 0 0 0 1 0] true", "shop 1997-01-02 [1 0 0 0 0 0 0] true", "shop 1997-01-04 [0 0 0 0 0 0 1] false",
		"web 1997-01-01 [0 0 1 0 0 0 0] true", "web 1997-01-02 [0 0 0 0 0 0 1] true",
	}
	random := rand.New(rand.NewPCG(10, 3))
	for run := range 50 {
		p := newProcess(t, settings(), chain())
		known(p)
		told := make(map[string]task.Quality)
		p.countRecords(records, told, func() (commits, aborts bool) { return run > 0 && random.IntN(2) == 0, run > 1 && random.IntN(6) == 0 })
		var got []string
		for _, key := range slices.Sorted(maps.Keys(told)) {
			got = append(got, of(told[key]))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("run %d: told\n%v, not\n%v", run, got, want)
		}
		if q := p.task.Meta().Quality; len(q) != 1 || of(q[0]) != "shop 1997-01-04 [1 0 0 0 0 0 1] false" {
			t.Fatalf("run %d: the state has %v", run, q)
		}
		if faults := p.customer("ann").Faults; faults != (operators.Faults{operators.Duplicate: 1, operators.LateEvent: 2}) {
			t.Fatalf("run %d: ann has %v", run, faults)
		}
		if _, ok := p.store.committed[string(task.CustomerKey(nil, "nobody"))]; ok {
			t.Fatalf("run %d: there is a state of nobody", run)
		}
	}
}

// TestQualityBeforeTime: records that come before there is a watermark are of its first day.
func TestQualityBeforeTime(t *testing.T) {
	p := newProcess(t, settings(), chain())
	for offset, fault := range []operators.Fault{operators.Invalid, operators.NoFault} {
		p.do(step{offset: int64(offset)})
		if err := p.task.CountRecord("shop", fault, ""); err != nil {
			t.Fatal(err)
		}
		if told := p.task.Quality(); len(told) != 0 {
			t.Errorf("told of no day: %v", told)
		}
		p.commit()
	}
	p.do(step{offset: 2, mark: start + day})
	p.commit()
	p.do(step{offset: 3, mark: start + 2*day})
	if err := p.task.Finish(); err != nil {
		t.Fatal(err)
	}
	if told := p.task.Quality(); len(told) != 1 || told[0] != (task.Quality{Source: "shop", Day: operators.Day((start + day) / day), Counts: [operators.FaultsEnd]int64{1, 1}, Over: true}) {
		t.Errorf("told %v", told)
	}
}

// TestRefusedByFeed: that a feed has refused a record is taken in once, however often the feed began anew and told it again; and it moves no time.
func TestRefusedByFeed(t *testing.T) {
	p := newProcess(t, settings(), chain())
	p.task.SetUpstreams([]uint64{7})
	for offset, c := range []struct {
		source int64
		want   task.Outcome
	}{{5, task.Applied}, {5, task.Repeated}, {4, task.Repeated}, {6, task.Applied}} {
		relay := task.Relay{Feed: 7, Offset: c.source, Watermark: start, Cut: -1}
		if got := p.task.SkipOf(int64(offset), &relay); got != c.want || p.task.Position() != int64(offset+1) {
			t.Errorf("of offset %d: %d, want %d; the position is %d", c.source, got, c.want, p.task.Position())
		}
		if got := p.task.SkipOf(int64(offset), &relay); got != task.Repeated {
			t.Errorf("offset %d, again: %d", offset, got)
		}
	}
	if at := p.task.Meta().Watermark; at != operators.Unset {
		t.Errorf("the watermark is %s", at)
	}
	outcome, err := p.task.ApplyFrom(4, &operators.Event{Kind: operators.PageViewed, ID: "p", Customer: "ann", Time: start, Name: "home"}, &task.Relay{Feed: 7, Offset: 7, Watermark: start, Cut: -1}, p.b)
	if err != nil || outcome != task.Applied {
		t.Errorf("the event after them: %d, %v", outcome, err)
	}
}
