package fit_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/statistics"
	"lull/pipeline/fit"
)

// message is one record of what a task publishes.
type message func(s *fit.Statistics)

// messages are what a task publishes in one transaction: its changed parts and its head.
func messages(partition int32, edition int64, t *statistics.Table, now float64) []message {
	var list []message
	for part, content := range t.Parts {
		if content.Empty() {
			list = append(list, func(s *fit.Statistics) { s.Delete(partition, part) })
			continue
		}
		list = append(list, func(s *fit.Statistics) { s.Put(partition, edition, part, content) })
	}
	head := headOf(t, now)
	head.Edition = edition
	return append(list, func(s *fit.Statistics) { s.SetHead(partition, head) })
}

// split divides people among tasks, as the hash of their ids has it.
func split(people []person, tasks int) [][]person {
	divided := make([][]person, tasks)
	for _, p := range people {
		at := operators.Hash64("partition of "+p.id) % uint64(tasks)
		divided[at] = append(divided[at], p)
	}
	return divided
}

// TestMerge: what tasks tell of their customers, step by step and each in its own time, comes to the same as one table of all; whether all are sampled or
// nobody is, so that histories are read from cells.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		people := shop(r.Uint64(), mbg, spend, rapid.IntRange(0, 80).Draw(t, "customers"), 400, steady)
		tasks := rapid.IntRange(1, 5).Draw(t, "tasks")
		sampled := rapid.SampledFrom([]int{1000, 0}).Draw(t, "sampled")
		queues := make([][]message, tasks)
		for partition, own := range split(people, tasks) {
			table := statistics.NewTable(sampled)
			was := make([]operators.Purchases, len(own))
			for _, before := range []operators.Day{start + 150, start + 300, start + 400} {
				for i := range own {
					is, newest := own[i].known(before)
					table.Change(own[i].id, &was[i], &is, newest)
					was[i] = is
					table.Trim()
				}
				queues[partition] = append(queues[partition], messages(int32(partition), 1, table, float64(before))...)
			}
		}
		s := fit.NewStatistics()
		for left := 0; left < tasks; { // each partition in its order, all mixed
			q := r.IntN(tasks)
			if len(queues[q]) == 0 {
				continue
			}
			queues[q][0](s)
			if queues[q] = queues[q][1:]; len(queues[q]) == 0 {
				left++
			}
		}
		got, err := s.Population(int32(tasks))
		if err != nil {
			t.Fatal(err)
		}
		whole := fit.NewStatistics()
		publish(whole, 0, table(people, start+400, sampled), float64(start+400))
		want, err := whole.Population(1)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%d tasks:\n%+v\nall in one:\n%+v", tasks, got, want)
		}
	})
}

// TestSampleOfAll: of tasks that sample some of their customers only, the members are those that all tasks know of, by hash; of those the first 50,000.
func TestSampleOfAll(t *testing.T) {
	people := make([]person, 130_000)
	for i := range people {
		people[i] = person{fmt.Sprint(i), []purchase{{start, 100}}}
	}
	hashes := make([]uint64, len(people))
	for i := range people {
		hashes[i] = statistics.HashOf(people[i].id)
	}
	slices.Sort(hashes)
	for _, sampled := range []int{1000, 10_000, 20_000, 100_000} {
		s := fit.NewStatistics()
		bound := uint64(statistics.HashEnd)
		for partition, own := range split(people, 4) {
			table := table(own, start+1, sampled)
			bound = min(bound, table.Sample().Below())
			publish(s, int32(partition), table, float64(start+1))
		}
		p, err := s.Population(4)
		if err != nil {
			t.Fatal(err)
		}
		below, _ := slices.BinarySearch(hashes, bound)
		want := hashes[:min(below, statistics.SampleSize)]
		got := make([]uint64, len(p.Members))
		for i := range p.Members {
			got[i] = p.Members[i].Hash
		}
		if !slices.Equal(got, want) || p.Customers != int64(len(people)) {
			t.Errorf("of %d in each task %d are members, want %d; %d customers", sampled, len(got), len(want), p.Customers)
		}
	}
}

// TestEachTaskHasItsOwnTime: a customer's age ends where their task has come to; read from cells, to the nearest day. The population's now is that of the
// task furthest on, of those with customers.
func TestEachTaskHasItsOwnTime(t *testing.T) {
	const born = 9
	for sampled, want := range map[int][]bgnbd.Group{
		10: {{History: bgnbd.History{T: 50.6 - born}, Customers: 1}, {History: bgnbd.History{T: 90.4 - born}, Customers: 1}},
		0:  {{History: bgnbd.History{T: 51 - born}, Customers: 1}, {History: bgnbd.History{T: 90 - born}, Customers: 1}},
	} {
		s := fit.NewStatistics()
		publish(s, 0, table([]person{{"early", []purchase{{born, 100}}}}, 100, sampled), 50.6)
		publish(s, 1, table([]person{{"late", []purchase{{born, 100}}}}, 100, sampled), 90.4)
		publish(s, 2, table(nil, 100, sampled), math.Inf(1)) // has seen much, of nobody who has bought
		p, err := s.Population(3)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(p.Groups, want) || p.Now != 90.4 || p.AsOf != operators.EventTime(90.4*operators.DayMs) || p.First != 7 {
			t.Errorf("%d sampled: %+v", sampled, p)
		}
		for _, m := range p.Members {
			if now := map[uint64]float64{statistics.HashOf("early"): 50.6, statistics.HashOf("late"): 90.4}; m.Now != now[m.Hash] {
				t.Errorf("a member's now is %v", m.Now)
			}
		}
	}
}

// TestPartsWait: what comes behind a head counts when the next has come, and what is taken away is there until then.
func TestPartsWait(t *testing.T) {
	people := shop(1, mbg, spend, 50, 400, steady)
	s := fit.NewStatistics()
	before := table(people, start+200, 1000)
	for _, tell := range messages(0, 1, before, float64(start+200)) {
		tell(s)
	}
	first, err := s.Population(1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range people { // everybody's latest purchase is taken back, and who has bought once is nobody
		was, _ := people[i].known(start + 200)
		people[i].purchases = people[i].purchases[:max(0, int(was.Count)-1)]
		is, newest := people[i].known(start + 200)
		before.Change(people[i].id, &was, &is, newest)
	}
	list := messages(0, 1, before, float64(start+201))
	for _, tell := range list[:len(list)-1] {
		tell(s)
		if p, err := s.Population(1); err != nil || !reflect.DeepEqual(p, first) {
			t.Fatalf("before its head a part counts: %v", err)
		}
	}
	list[len(list)-1](s)
	got, err := s.Population(1)
	if err != nil {
		t.Fatal(err)
	}
	if want := population(t, people, start+200); got.Customers == first.Customers || got.Customers != want.Customers || !reflect.DeepEqual(got.Spends, want.Spends) {
		t.Errorf("%d customers, before %d; want %d", got.Customers, first.Customers, want.Customers)
	}
}

// TestEditions: when a task has counted its customers anew, parts of its earlier count mean nothing; whether there is one of the same name or not, and
// whether it comes before the new head or behind.
func TestEditions(t *testing.T) {
	old, anew := shop(1, mbg, spend, 300, 400, steady), shop(2, mbg, spend, 50, 300, steady)
	s := fit.NewStatistics()
	for _, tell := range messages(0, 1, table(old, start+400, 1000), float64(start+400)) {
		tell(s)
	}
	for _, tell := range messages(0, 2, table(anew, start+300, 1000), float64(start+400)) {
		tell(s)
	}
	check := func(when string) {
		t.Helper()
		got, err := s.Population(1)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if want := populationOf(t, table(anew, start+300, 1000), float64(start+400)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", when, got, want)
		}
	}
	check("after the new head")
	left := statistics.Part{Kind: statistics.SpendsPart, Number: 4711}
	s.Put(0, 1, left, statistics.Content{Spends: []statistics.Spends{{Spend: statistics.Spend{X: 4711}, SpendTotal: statistics.SpendTotal{Customers: 1, RepeatNet: 1}}}})
	head := headOf(table(anew, start+300, 1000), float64(start+400))
	head.Edition = 2
	s.SetHead(0, head)
	check("after a straggler")
}

// TestDamage: parts that are not what their head says are no population, until a later head says what they are.
func TestDamage(t *testing.T) {
	people := shop(1, mbg, spend, 300, 400, steady)
	whole := table(people, start+400, 1000)
	week := statistics.Part{Kind: statistics.BirthsPart, Number: statistics.WeekOf(people[0].purchases[0].day)}
	slice := statistics.Part{Kind: statistics.MembersPart, Number: 5}
	contents := make(map[statistics.Part]statistics.Content)
	for part, content := range whole.All() {
		contents[part] = content
	}
	member := func(change func(m *statistics.Member)) statistics.Content {
		m := contents[slice].Members[0]
		m.Newest = slices.Clone(m.Newest)
		change(&m)
		return statistics.Content{Members: append([]statistics.Member{m}, contents[slice].Members[1:]...)}
	}
	cell := func(change func(b *statistics.Births)) statistics.Content {
		b := contents[week].Births[0]
		change(&b)
		return statistics.Content{Births: append([]statistics.Births{b}, contents[week].Births[1:]...)}
	}
	head := headOf(whole, float64(start+400))
	for name, c := range map[string]struct {
		harm func(s *fit.Statistics, head *fit.Head)
		want string
	}{
		"a part is missing":   {func(s *fit.Statistics, _ *fit.Head) { s.Delete(0, week) }, fmt.Sprintf("there are %d parts of edition 1, and the head speaks of %d", head.Parts-1, head.Parts)},
		"a part is left over": {func(_ *fit.Statistics, h *fit.Head) { h.Parts-- }, fmt.Sprintf("there are %d parts of edition 1, and the head speaks of %d", head.Parts, head.Parts-1)},
		"a cell is older": {func(s *fit.Statistics, _ *fit.Head) {
			s.Put(0, 1, week, cell(func(b *statistics.Births) { b.Customers++ }))
		}, "births count 301 customers, and the head speaks of 300"},
		"a member is missing": {func(s *fit.Statistics, _ *fit.Head) {
			s.Put(0, 1, slice, statistics.Content{Members: contents[slice].Members[1:]})
		}, "which holds 299"},
		"a cell of nobody": {func(s *fit.Statistics, _ *fit.Head) {
			s.Put(0, 1, week, cell(func(b *statistics.Births) { b.Customers = 0 }))
		}, "in births"},
		"bought before birth": {func(s *fit.Statistics, _ *fit.Head) {
			s.Put(0, 1, week, cell(func(b *statistics.Births) { b.Last = b.Birth - 1 }))
		}, "in births"},
		"in the wrong week": {func(s *fit.Statistics, _ *fit.Head) {
			s.Put(0, 1, week, cell(func(b *statistics.Births) { b.Birth-- }))
		}, "in births"},
		"bought once, and later": {func(s *fit.Statistics, _ *fit.Head) {
			s.Put(0, 1, week, cell(func(b *statistics.Births) { b.X, b.Last = 0, b.Birth+1 }))
		}, "in births"},
		"spent nothing": {func(s *fit.Statistics, _ *fit.Head) {
			s.Put(0, 1, statistics.Part{Kind: statistics.SpendsPart, Number: 1}, statistics.Content{Spends: []statistics.Spends{{Spend: statistics.Spend{X: 1}, SpendTotal: statistics.SpendTotal{Customers: 1}}}})
		}, "in spends 1"},
		"a member of no days": {func(s *fit.Statistics, _ *fit.Head) {
			s.Put(0, 1, slice, member(func(m *statistics.Member) { m.Newest = nil }))
		}, "in members 5"},
		"more days than there": {func(s *fit.Statistics, _ *fit.Head) {
			s.Put(0, 1, slice, member(func(m *statistics.Member) { m.Purchases = 0 }))
		}, "in members 5"},
		"another first day": {func(s *fit.Statistics, _ *fit.Head) {
			s.Put(0, 1, slice, member(func(m *statistics.Member) { m.First-- }))
		}, "in members 5"},
		"another last day": {func(s *fit.Statistics, _ *fit.Head) {
			s.Put(0, 1, slice, member(func(m *statistics.Member) { m.Last++ }))
		}, "in members 5"},
		"the watermark is no day": {func(_ *fit.Statistics, h *fit.Head) { h.Now = math.NaN() }, "watermark is on day NaN"},
		"the watermark is unset":  {func(_ *fit.Statistics, h *fit.Head) { h.Now = float64(operators.Unset) / operators.DayMs }, "watermark is on day"},
	} {
		s := fit.NewStatistics()
		publish(s, 0, whole, float64(start+400))
		publish(s, 1, whole, float64(start+400))
		harmed := head
		c.harm(s, &harmed)
		s.SetHead(0, harmed)
		_, err := s.Population(2)
		var incomplete *fit.IncompleteError
		if !errors.As(err, &incomplete) || len(incomplete.Damaged) != 1 || incomplete.Damaged[0].Partition != 0 || !strings.Contains(incomplete.Damaged[0].Reason, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		publish(s, 0, whole, float64(start+400))
		if _, err := s.Population(2); err != nil {
			t.Errorf("%s, and mended: %v", name, err)
		}
	}
}

// TestIncomplete: the error names what is missing.
func TestIncomplete(t *testing.T) {
	s := fit.NewStatistics()
	publish(s, 1, table(shop(1, mbg, spend, 20, 400, steady), start+400, 100), float64(start+400))
	s.SetHead(2, fit.Head{Edition: 7, Parts: 3})
	s.Put(3, 1, statistics.Part{}, statistics.Content{}) // parts alone say nothing
	_, err := s.Population(4)
	var incomplete *fit.IncompleteError
	if !errors.As(err, &incomplete) || !reflect.DeepEqual(incomplete.Unheard, []int32{0, 3}) {
		t.Fatal(err)
	}
	const want = "nothing has been heard of partitions 0, 3; the statistics of partition 2 are damaged: there are 0 parts of edition 7, and the head speaks of 3"
	if err.Error() != want {
		t.Errorf("%v; want %s", err, want)
	}
	_, err = s.Population(16)
	if want := "nothing has been heard of partitions 0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 and 2 more; "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v; want %s", err, want)
	}
	if _, err := fit.NewStatistics().Population(1); err == nil || err.Error() != "nothing has been heard of partition 0" {
		t.Error(err)
	}
}
