// Package statistics counts customers for the models: what a fit needs of a population, in so few numbers that they can travel.
//
// A Table counts the customers of one task by calendar cells, which do not age, and by cells of spend; beside them it keeps those whose ids have the
// least hashes, for what cells cannot give. Every change of a customer's purchases changes it in O(1), and it is the same whether it has
// followed the changes or was made anew from the states (TestRebuilt). Tables of different tasks add up.
package statistics

import (
	"fmt"
	"math"

	"lull/operators"
	"lull/operators/bgnbd"
)

const (
	// WeekDays is the length of a bucket of the calendar, in days.
	WeekDays = 7
	// BinsPerOctave is the number of bins of mean spend from one amount to its double: parameters of Gamma-Gamma are then within 0.2 % of those of exact
	// amounts.
	BinsPerOctave = 32
)

// WeekOf returns the bucket of the calendar that a day lies in, numbered from that of 1970-01-01.
func WeekOf(d operators.Day) int32 {
	week := int32(d) / WeekDays
	if int32(d)%WeekDays < 0 {
		week--
	}
	return week
}

// Cell is a place in the calendar where customers are counted: a key that does not age, because it says when they bought, not how long ago.
type Cell struct {
	Birth int32 // the week of the first purchase day
	X     int32 // repeat purchases
	Last  int32 // the week of the last purchase day
}

// Total is what the customers of a calendar cell come to.
type Total struct {
	Customers int64
	// FirstDays and LastDays are the sums of the days that the first and the last purchase day lie behind the starts of their weeks: by them it is known where in
	// its weeks a cell lies in the mean.
	FirstDays, LastDays int64
	Net, RepeatNet      operators.Money // of all purchases, and of those after the first
}

// Add adds customers of the same cell.
func (t *Total) Add(other Total) {
	t.Customers += other.Customers
	t.FirstDays += other.FirstDays
	t.LastDays += other.LastDays
	t.Net += other.Net
	t.RepeatNet += other.RepeatNet
}

// History returns, in days, what is known of a customer of the cell in the mean; now is in days from 1970-01-01.
//
// First and last purchase are taken to lie at the means of those counted. The middles of the weeks, which need no sums, are wrong for any shop that has weekdays,
// and their starts for all: both ends floored is the trap (docs/models.md).
func (b *Births) History(now float64) bgnbd.History {
	n := float64(b.Customers)
	first := float64(float64(b.Birth)*WeekDays) + float64(b.FirstDays)/n
	last := float64(float64(b.Last)*WeekDays) + float64(b.LastDays)/n
	h := bgnbd.History{X: int(b.X), TX: max(0, last-first)}
	if b.X == 0 {
		h.TX = 0
	}
	h.T = max(now-first, h.TX)
	return h
}

// Spend is a cell of customers who have bought again for something: their repeat purchases, and the bin of their mean net amount.
type Spend struct {
	X   int32
	Bin int32 // ⌊32 log₂(mean in minor units)⌋
}

// SpendTotal is what the customers of a cell of spend come to.
type SpendTotal struct {
	Customers int64
	RepeatNet operators.Money
}

// SpendOf returns the cell of spend of a customer; ok is false if they have not bought again, or for nothing.
func SpendOf(p *operators.Purchases) (cell Spend, ok bool) {
	if p.Count < 2 || p.RepeatNet() <= 0 {
		return Spend{}, false
	}
	mean := float64(p.RepeatNet()) / float64(p.Repeats())
	return Spend{X: int32(p.Repeats()), Bin: int32(math.Floor(BinsPerOctave * math.Log2(mean)))}, true
}

// CellOf returns the calendar cell of a customer with purchases.
func CellOf(p *operators.Purchases) Cell {
	return Cell{Birth: WeekOf(p.First), X: int32(p.Repeats()), Last: WeekOf(p.Last)}
}

// Table are the statistics of one task's customers who have bought. It is for one goroutine.
type Table struct {
	births  map[int32]map[Cell]Total       // by week of birth
	spends  map[int32]map[Spend]SpendTotal // by x
	sample  Sample
	people  int64
	changed map[Part]struct{}
}

// NewTable returns the table of nobody, which keeps a sample of so many customers.
func NewTable(sampled int) *Table {
	return &Table{
		births: make(map[int32]map[Cell]Total), spends: make(map[int32]map[Spend]SpendTotal), sample: newSample(sampled),
		changed: make(map[Part]struct{}),
	}
}

// Customers returns the number of customers counted.
func (t *Table) Customers() int64 { return t.people }

// Sample returns the sample.
func (t *Table) Sample() *Sample { return &t.sample }

// Changed reports whether there is anything that Parts has not given.
func (t *Table) Changed() bool { return len(t.changed) > 0 }

// Change counts a customer as what they are, no longer as what they were; the one or the other may be without purchases. newest are the newest purchase
// days, and are copied.
func (t *Table) Change(id string, was, is *operators.Purchases, newest []operators.PurchaseDay) {
	if was.Count > 0 {
		t.count(was, -1)
	}
	if is.Count > 0 {
		t.count(is, +1)
	}
	hash := HashOf(id)
	switch {
	case is.Count > 0:
		if t.sample.put(hash, is, newest) {
			t.mark(MembersPart, sliceOf(hash))
		}
	case t.sample.remove(hash):
		t.mark(MembersPart, sliceOf(hash))
	}
}

func (t *Table) mark(kind PartKind, number int32) { t.changed[Part{kind, number}] = struct{}{} }

// count adds a customer to their cells, or takes them away.
func (t *Table) count(p *operators.Purchases, sign int64) {
	t.people += sign
	cell := CellOf(p)
	births := t.births[cell.Birth]
	if births == nil {
		births = make(map[Cell]Total)
		t.births[cell.Birth] = births
	}
	total := births[cell]
	total.Add(Total{
		Customers: sign, FirstDays: sign * (int64(p.First) - int64(cell.Birth)*WeekDays), LastDays: sign * (int64(p.Last) - int64(cell.Last)*WeekDays),
		Net: operators.Money(sign) * p.Net, RepeatNet: operators.Money(sign) * p.RepeatNet(),
	})
	set(t.births, cell.Birth, cell, total, total.Customers)
	t.mark(BirthsPart, cell.Birth)

	spend, ok := SpendOf(p)
	if !ok {
		return
	}
	spends := t.spends[spend.X]
	if spends == nil {
		spends = make(map[Spend]SpendTotal)
		t.spends[spend.X] = spends
	}
	spent := spends[spend]
	spent.Customers += sign
	spent.RepeatNet += operators.Money(sign) * p.RepeatNet()
	set(t.spends, spend.X, spend, spent, spent.Customers)
	t.mark(SpendsPart, spend.X)
}

// set keeps what a cell comes to. Cells of nobody, and groups of none, are not kept.
func set[Cell comparable, Total any](groups map[int32]map[Cell]Total, group int32, cell Cell, total Total, customers int64) {
	if customers < 0 {
		panic(fmt.Errorf("the cell %v counts %d customers", cell, customers))
	}
	if customers > 0 {
		groups[group][cell] = total
		return
	}
	delete(groups[group], cell)
	if len(groups[group]) == 0 {
		delete(groups, group)
	}
}
