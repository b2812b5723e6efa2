package fit

import (
	"cmp"
	"math"
	"slices"

	"lull/operators"
	"lull/operators/bgnbd"
)

// A look back at the start of a day: what was known of the sampled then, and what they have done since. All purchases of earlier days were known,
// none of that day or later.

// episode is what was known of a customer, and what followed.
type episode struct {
	bgnbd.History
	horizon float64 // days from then to the watermark of the customer's task
	bought  int     // purchase days in them
}

// episodes are a number of customers with one episode.
type episodes struct {
	episode
	customers float64
}

// lookBack is the past as it was at the start of a day.
type lookBack struct {
	from     operators.Day
	weeks    int        // full weeks from then to the population's now
	episodes []episodes // in order
	// members is how many customers the episodes are of; unknown is how many more had bought by then who have bought more often since than their record
	// holds days, so that it is not known what they were.
	members, unknown int
	repeats          int // repeat purchases by then
	bought           int // purchase days since
}

// weekDays is the length of a week. Periods are of full weeks: they have as many Sundays as any other day.
const weekDays = 7

// weeksSince returns the full weeks of days since a model was fitted, up to most: as many for a model put by hand, which was fitted long ago.
func (p *Population) weeksSince(m *operators.Model, most int) int {
	if m.Fit == nil {
		return most
	}
	today := p.Now - math.Floor(p.Now)
	return min(most, int(math.Floor((p.AsOf.DaysSince(m.Fit.AsOf)-today)/weekDays)))
}

// unknownMax is the share of customers, of those in a look back, who may be unknown without a shorter one being better. Who is unknown has bought much:
// without them it looks as if less had been bought than was.
const unknownMax = 0.01

// lookBack looks back over the greatest number of weeks between the two bounds over which nearly all customers are known; over the lower bound if there is
// none.
func (p *Population) lookBack(weeksMin, weeksMax int) lookBack {
	for weeks := weeksMax; ; weeks-- {
		b := p.lookBackOver(weeks)
		if weeks <= weeksMin || float64(b.unknown) <= unknownMax*float64(b.members) {
			return b
		}
	}
}

func (p *Population) lookBackOver(weeks int) lookBack {
	b := lookBack{from: operators.Day(math.Floor(p.Now)) - operators.Day(weekDays*weeks), weeks: weeks}
	counted := make(map[episode]float64)
	for i := range p.Members {
		m := &p.Members[i]
		if m.First >= b.from || m.Now <= float64(b.from) {
			continue // not born then, or of a task that has not seen more since
		}
		e, ok := m.since(b.from)
		if !ok {
			b.unknown++
			continue
		}
		counted[e]++
		b.members++
		b.repeats += e.X
		b.bought += e.bought
	}
	for e, customers := range counted {
		b.episodes = append(b.episodes, episodes{e, customers})
	}
	slices.SortFunc(b.episodes, func(x, y episodes) int {
		return cmp.Or(compareHistories(&x.History, &y.History), cmp.Compare(x.horizon, y.horizon), cmp.Compare(x.bought, y.bought))
	})
	return b
}

// since returns the member's episode from the start of a day on, which is after their first. ok is false if they have bought more often since than their
// record holds days.
func (m *Member) since(day operators.Day) (e episode, ok bool) {
	older, _ := slices.BinarySearch(m.Newest, day) // those before the day are known days, the others have followed
	if older == 0 {
		return episode{}, false
	}
	until, _ := slices.BinarySearch(m.Newest, operators.Day(math.Floor(m.Now))+1)
	return episode{
		History: bgnbd.History{
			X:  int(m.Purchases) - (len(m.Newest) - older) - 1,
			TX: float64(m.Newest[older-1] - m.First),
			T:  float64(day - m.First),
		},
		horizon: m.Now - float64(day),
		bought:  until - older,
	}, true
}

// groups returns the customers by what was known of them.
func (b *lookBack) groups() []bgnbd.Group {
	var list []bgnbd.Group
	for i := range b.episodes {
		e := &b.episodes[i]
		if last := len(list) - 1; last >= 0 && list[last].History == e.History {
			list[last].Customers += e.customers
			continue
		}
		list = append(list, bgnbd.Group{History: e.History, Customers: e.customers})
	}
	return list
}
