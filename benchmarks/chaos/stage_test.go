package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
)

// passing is a shop whose records have gone through a first stage: those of the inputs, and what was made of them.
type passing struct {
	inputs, passed []*schemas.Source
}

// pass lets records of a shop go through a first stage to which nothing happens. The partitions are those of the inputs, by turns.
func pass(t *testing.T, records int) passing {
	t.Helper()
	a := newStaged(t)
	s := newShop(5, true)
	feeds := make(map[partition]*task.Feed)
	next := make(map[partition]int64)
	var p passing
	for i := range records {
		m, err := s.next()
		if err != nil {
			t.Fatal(err)
		}
		r := m.record(true)
		of := partition{r.Topic, int32(i % partitions)}
		in := &schemas.Source{Topic: r.Topic, Partition: of.n, Offset: next[of], AppendTime: 2 * shopOpens, Key: r.Key, Value: r.Value}
		next[of]++
		p.inputs = append(p.inputs, in)
		if feeds[of] == nil {
			feeds[of] = task.NewFeed(task.Config{LatenessMs: latenessMs, JumpMaxMs: 7 * int64(operators.DayMs), EventClock: true}, task.NewFeedMeta(0, [16]byte{1}))
		}
		var e operators.Event
		if a.decoder.DecodeKeyless(in, &e) != nil {
			continue
		}
		feeds[of].Take(in.Offset, &e)
		relay := schemas.Relay{
			Source: schemas.Position{Topic: in.Topic, Partition: in.Partition, Offset: in.Offset}, AppendTime: in.AppendTime, Feed: a.feeds[of], Watermark: feeds[of].Meta().Watermark,
		}
		p.tell(t, int32(a.partitioner.Partition(&kgo.Record{Key: []byte(e.Customer)}, partitions)), &e, &relay)
		for to := range int32(partitions) {
			p.tell(t, to, nil, &schemas.Relay{Feed: relay.Feed, Watermark: relay.Watermark})
		}
	}
	return p
}

// tell passes an event or, if there is none, a mark on.
func (p *passing) tell(t *testing.T, to int32, e *operators.Event, relay *schemas.Relay) {
	t.Helper()
	var rec schemas.Record
	if err := schemas.EncodeRelay(e, relay, currency, &rec); err != nil {
		t.Fatal(err)
	}
	p.passed = append(p.passed, &schemas.Source{Topic: eventsOf(application), Partition: to, Key: rec.Key, Value: rec.Value, Headers: rec.Headers})
}

func newStaged(t *testing.T) *account {
	t.Helper()
	a, err := newAccount()
	if err != nil {
		t.Fatal(err)
	}
	a.learnFeeds(map[string][16]byte{ordersTopic: {1}, webTopic: {2}})
	return a
}

// account makes the account of it.
func (p *passing) account(t *testing.T) *account {
	t.Helper()
	a := newStaged(t)
	for _, r := range p.inputs {
		a.addInput(r)
	}
	for i, r := range p.passed {
		again := *r // the decoder makes it the record of the input
		again.Offset = int64(i)
		a.addPassed(&again)
	}
	a.endStage()
	return a
}

// TestStageAccount: nothing is wrong with what an undisturbed first stage passes on; and what it loses, doubles, moves to another place, or dates wrongly is found.
func TestStageAccount(t *testing.T) {
	const records = 4000
	whole := pass(t, records)
	a := whole.account(t)
	if len(a.problems) > 0 {
		t.Errorf("nothing is wrong, and found is %v", a.problems[:1])
	}
	if a.records != records || a.passed < records*8/10 || a.applied < records*8/10 || len(a.unread) == 0 || len(a.refused) <= len(a.unread) || a.repeated == 0 {
		t.Errorf("%d records, %d passed on, %d applied, %d refused, %d of them by the first stage, %d sent again", a.records, a.passed, a.applied, len(a.refused), len(a.unread), a.repeated)
	}
	at := slices.IndexFunc(whole.passed[len(whole.passed)/2:], func(r *schemas.Source) bool { return r.Key != nil }) + len(whole.passed)/2
	dated := func(ms string) func(list []*schemas.Source) []*schemas.Source {
		return func(list []*schemas.Source) []*schemas.Source {
			r := *list[at]
			r.Headers = slices.Clone(r.Headers)
			for i := range r.Headers {
				if r.Headers[i].Key == schemas.WatermarkHeader {
					r.Headers[i].Value = []byte(ms)
				}
			}
			list[at] = &r
			return list
		}
	}
	for _, c := range []struct {
		name, want string
		change     func(list []*schemas.Source) []*schemas.Source
	}{
		{"lost", "was not passed on", func(list []*schemas.Source) []*schemas.Source { return slices.Delete(list, at, at+1) }},
		{"doubled", "is none of the input that is yet to come", func(list []*schemas.Source) []*schemas.Source { return slices.Insert(list, at, list[at]) }},
		{"overtaken", "after offset", func(list []*schemas.Source) []*schemas.Source {
			for i := at + 1; i < len(list); i++ {
				if list[i].Key != nil && string(list[i].Headers[0].Value) == string(list[at].Headers[0].Value) && list[i].Partition == list[at].Partition {
					list[at], list[i] = list[i], list[at]
					break
				}
			}
			return list
		}},
		{"misplaced", "in another partition than its customer", func(list []*schemas.Source) []*schemas.Source {
			r := *list[at]
			r.Partition = (r.Partition + 1) % partitions
			list[at] = &r
			return list
		}},
		{"ahead of time", "says that its partition has reached", dated("1500000000000")},
		{"behind its time", "has reached", dated("0")},
	} {
		changed := passing{whole.inputs, c.change(slices.Clone(whole.passed))}
		if found := changed.account(t).problems; !slices.ContainsFunc(found, func(p string) bool { return strings.Contains(p, c.want) }) {
			t.Errorf("%s: found is %.3q, without %q", c.name, found, c.want)
		}
	}
}
