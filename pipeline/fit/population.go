package fit

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/statistics"
)

// Population are the customers of all tasks who have bought. It is not changed by what is done with it, and shares memory with the Statistics it
// is of; it stays as it is while those go on.
type Population struct {
	// AsOf is the latest of the tasks' watermarks, of those that have customers; Now is the same in days of the calendar.
	AsOf operators.EventTime
	Now  float64
	// First is the first day of the week of the first birth.
	First           operators.Day
	Customers       int64
	RepeatPurchases int64
	// Groups are the customers by history, in order. Everybody's age ends at the watermark of their own task: what a task has not seen yet is not silence.
	//
	// If all customers are sampled the histories are exact, and so is a fit. Otherwise they are those of calendar cells, in the mean, with ages to the nearest
	// whole day: parameters are then within 1 %, whatever weekday weeks begin with.
	Groups []bgnbd.Group
	// Spends are those who have bought again for something, in order.
	Spends []statistics.Spends
	// Members is the sample of all tasks, by hash: the customers of least hash, at most statistics.SampleSize.
	Members []Member
}

// Member is a sampled customer.
type Member struct {
	statistics.Member
	Now float64 // the watermark of their task, in days of the calendar
}

// aged is a cell of tasks whose watermarks lie on the same day.
type aged struct {
	statistics.Cell
	today float64
}

// Population returns the customers of partitions 0 to partitions − 1. The error is an *IncompleteError.
func (s *Statistics) Population(partitions int32) (*Population, error) {
	tasks, err := s.complete(partitions)
	if err != nil {
		return nil, err
	}
	p := &Population{}
	cells := make(map[aged]statistics.Total)
	spends := make(map[statistics.Spend]statistics.SpendTotal)
	firstWeek := int32(math.MaxInt32)
	for _, t := range tasks {
		if t.head.Customers == 0 {
			continue
		}
		if p.Customers == 0 || t.head.Now > p.Now {
			p.Now, p.AsOf = t.head.Now, t.head.AsOf
		}
		p.Customers += t.head.Customers
		today := math.Round(t.head.Now)
		for part, piece := range t.parts { // what is added up are whole numbers: no order can be seen in the sums
			if part.Kind == statistics.BirthsPart {
				firstWeek = min(firstWeek, part.Number)
			}
			for i := range piece.content.Births {
				b := &piece.content.Births[i]
				total := cells[aged{b.Cell, today}]
				total.Add(b.Total)
				cells[aged{b.Cell, today}] = total
				p.RepeatPurchases += b.Customers * int64(b.X)
			}
			for i := range piece.content.Spends {
				c := &piece.content.Spends[i]
				total := spends[c.Spend]
				total.Customers += c.Customers
				total.RepeatNet += c.RepeatNet
				spends[c.Spend] = total
			}
		}
	}
	for _, cell := range slices.SortedFunc(maps.Keys(spends), func(a, b statistics.Spend) int {
		return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Bin, b.Bin))
	}) {
		p.Spends = append(p.Spends, statistics.Spends{Spend: cell, SpendTotal: spends[cell]})
	}
	p.Members = sample(tasks)
	histories := make(map[bgnbd.History]float64)
	if int64(len(p.Members)) == p.Customers {
		for i := range p.Members {
			histories[p.Members[i].history()]++
		}
	} else {
		for c, total := range cells {
			b := statistics.Births{Cell: c.Cell, Total: total}
			histories[b.History(c.today)] += float64(total.Customers)
		}
	}
	p.Groups = groups(histories)
	p.First = operators.Day(firstWeek) * statistics.WeekDays
	return p, nil
}

// history returns what a model may know of the member at their now. Days behind the watermark, which come of events that are early, are bought, and not aged.
func (m *Member) history() bgnbd.History {
	lastAge := float64(m.Last - m.First)
	return bgnbd.History{X: m.Repeats(), TX: lastAge, T: max(m.Now-float64(m.First), lastAge)}
}

// complete returns the tasks of the partitions, in order, if there is nothing amiss with any.
func (s *Statistics) complete(partitions int32) ([]*task, error) {
	var incomplete IncompleteError
	tasks := make([]*task, 0, partitions)
	for partition := range partitions {
		t := s.tasks[partition]
		switch {
		case t == nil || !t.heard:
			incomplete.Unheard = append(incomplete.Unheard, partition)
		case t.damage != "":
			incomplete.Damaged = append(incomplete.Damaged, Damage{partition, t.damage})
		default:
			tasks = append(tasks, t)
		}
	}
	if len(tasks) < int(partitions) {
		return nil, &incomplete
	}
	return tasks, nil
}

// groups returns the histories in a fixed order, so that the last bits of a fit are the same every time.
func groups(histories map[bgnbd.History]float64) []bgnbd.Group {
	list := make([]bgnbd.Group, 0, len(histories))
	for h, customers := range histories {
		list = append(list, bgnbd.Group{History: h, Customers: customers})
	}
	slices.SortFunc(list, func(a, b bgnbd.Group) int { return compareHistories(&a.History, &b.History) })
	return list
}

func compareHistories(a, b *bgnbd.History) int {
	return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.TX, b.TX), cmp.Compare(a.T, b.T))
}

// sample makes one sample of those of all tasks. A task knows all of its customers with a hash below its bound, so below the least of the bounds all are
// known.
func sample(tasks []*task) []Member {
	bound := uint64(statistics.HashEnd)
	for _, t := range tasks {
		bound = min(bound, t.head.Below)
	}
	var hashes []uint64 // of all who are below: sixteen tasks may have as many times what is wanted
	for _, t := range tasks {
		for _, p := range t.parts {
			for i := range p.content.Members {
				if hash := p.content.Members[i].Hash; hash < bound {
					hashes = append(hashes, hash)
				}
			}
		}
	}
	if len(hashes) > statistics.SampleSize {
		slices.Sort(hashes)
		bound = hashes[statistics.SampleSize]
	}
	var members []Member
	for _, t := range tasks {
		for _, p := range t.parts {
			for i := range p.content.Members {
				if m := &p.content.Members[i]; m.Hash < bound {
					members = append(members, Member{*m, t.head.Now})
				}
			}
		}
	}
	slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.Hash, b.Hash) })
	return members
}
