package fit_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/statistics"
	"lull/pipeline/fit"
)

// tables are what 8 tasks have counted of so many customers, of a shop that is two years old.
func tables(customers, sampled int) []*statistics.Table {
	list := make([]*statistics.Table, 8)
	for partition := range list {
		list[partition] = table(shop(uint64(100+partition), mbg, spend, customers/len(list), 730, steady), start+730, sampled)
	}
	return list
}

// BenchmarkFit is what it takes to make a population of what tasks have counted of a million customers, and to fit it.
func BenchmarkFit(b *testing.B) {
	s := fit.NewStatistics()
	for partition, t := range tables(1_000_000, statistics.SampleSize) {
		publish(s, int32(partition), t, float64(start+730))
	}
	c := config()
	b.Run("population", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := s.Population(8)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(len(p.Groups)), "groups")
		}
	})
	for name, families := range map[string][]bgnbd.Family{"mbgnbd": {bgnbd.MBGNBD}, "auto": {bgnbd.MBGNBD, bgnbd.BGNBD}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			c.Families = families
			for b.Loop() {
				p, err := s.Population(8)
				if err != nil {
					b.Fatal(err)
				}
				sample, err := bgnbd.NewSample(p.Groups)
				if err != nil {
					b.Fatal(err)
				}
				for _, family := range families {
					sample.Fit(family)
				}
			}
		})
	}
}

// BenchmarkJudge is the whole verdict, with 50,000 members and a champion: of a million customers by cells, and of 50,000 by their exact histories.
func BenchmarkJudge(b *testing.B) {
	for _, customers := range []int{50_000, 1_000_000} {
		s := fit.NewStatistics()
		for partition, t := range tables(customers, statistics.SampleSize) {
			publish(s, int32(partition), t, float64(start+730)+float64(partition)/100) // each task has its own time
		}
		champion := modelOf(mbg, spend)
		for name, families := range map[string][]bgnbd.Family{"mbgnbd": {bgnbd.MBGNBD}, "auto": {bgnbd.MBGNBD, bgnbd.BGNBD}} {
			b.Run(fmt.Sprintf("%d/%s", customers, name), func(b *testing.B) {
				b.ReportAllocs()
				c := config()
				c.Families = families
				for b.Loop() {
					p, err := s.Population(8)
					if err != nil {
						b.Fatal(err)
					}
					v := c.Judge(p, champion, "v", effective)
					if !v.Adopted || len(p.Members) != min(customers, statistics.SampleSize) {
						b.Fatal(v.Reasons)
					}
				}
			})
		}
	}
}

// BenchmarkHead is what a head costs, behind parts of which few have changed.
func BenchmarkHead(b *testing.B) {
	s := fit.NewStatistics()
	t := tables(1_000_000, statistics.SampleSize)[0]
	publish(s, 0, t, float64(start+730))
	head := headOf(t, float64(start+730))
	b.ReportAllocs()
	for b.Loop() {
		s.SetHead(0, head)
	}
}

// BenchmarkDrift looks back over 50,000 members.
func BenchmarkDrift(b *testing.B) {
	p := population(b, shop(1, mbg, spend, 50_000, 730, steady), start+730)
	model := modelOf(mbg, spend)
	model.Fit = &operators.Fit{AsOf: operators.EventTime(start+500) * operators.DayMs}
	b.ReportAllocs()
	for b.Loop() {
		config().Drift(p, model)
	}
}

// BenchmarkMemory is what the statistics of a million customers in 8 tasks take as long as they are kept.
func BenchmarkMemory(b *testing.B) {
	list := tables(1_000_000, statistics.SampleSize)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		s := fit.NewStatistics()
		for partition, t := range list {
			for part, content := range t.All() {
				for i := range content.Members { // as they would come over the wire, with memory of their own
					content.Members[i].Newest = slices.Clone(content.Members[i].Newest)
				}
				s.Put(int32(partition), 1, part, content)
			}
			s.SetHead(int32(partition), headOf(t, float64(start+730)))
		}
		b.ReportMetric(float64(heap()-before)/1e6, "MB")
		runtime.KeepAlive(s)
	}
}
