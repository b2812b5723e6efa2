package statistics

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
)

// PartKind is a kind of part.
type PartKind uint8

// The kinds of parts.
const (
	BirthsPart  PartKind = iota // the calendar cells of one week of birth
	SpendsPart                  // the cells of spend of one number of repeat purchases
	MembersPart                 // one of the slices of the sample
)

var partNames = [...]string{BirthsPart: "births", SpendsPart: "spends", MembersPart: "members"}

// String returns the name of the kind on the wire, such as "births".
func (k PartKind) String() string { return partNames[k] }

// Part names a piece of a table that is small enough for a record of its own.
type Part struct {
	Kind   PartKind
	Number int32 // the week, x, or the slice
}

// slices is into how many parts the sample is divided: a change of one member is told with those of its slice.
const memberSlices = 64

func sliceOf(hash uint64) int32 { return int32(hash % memberSlices) }

// Content is what a part holds: one of the lists, in order.
type Content struct {
	Births  []Births
	Spends  []Spends
	Members []Member
}

// Births is a calendar cell and what its customers come to.
type Births struct {
	Cell
	Total
}

// Spends is a cell of spend and what its customers come to.
type Spends struct {
	Spend
	SpendTotal
}

// Empty reports whether there is nothing in the part any more.
func (c *Content) Empty() bool {
	return len(c.Births) == 0 && len(c.Spends) == 0 && len(c.Members) == 0
}

// Parts yields the parts that have changed since it was last called, empty ones too, in order.
func (t *Table) Parts(yield func(Part, Content) bool) {
	parts := make([]Part, 0, len(t.changed))
	for p := range t.changed {
		parts = append(parts, p)
	}
	slices.SortFunc(parts, compareParts)
	clear(t.changed)
	members := t.sliced(parts)
	for _, p := range parts {
		if !yield(p, t.content(p, members)) {
			return
		}
	}
}

// All returns all parts that are not empty, in order.
func (t *Table) All() iter.Seq2[Part, Content] {
	return func(yield func(Part, Content) bool) {
		var parts []Part
		for week := range t.births {
			parts = append(parts, Part{BirthsPart, week})
		}
		for x := range t.spends {
			parts = append(parts, Part{SpendsPart, x})
		}
		for slice := range int32(memberSlices) {
			parts = append(parts, Part{MembersPart, slice})
		}
		slices.SortFunc(parts, compareParts)
		members := t.sliced(parts)
		for _, p := range parts {
			if c := t.content(p, members); !c.Empty() && !yield(p, c) {
				return
			}
		}
	}
}

func compareParts(a, b Part) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Number, b.Number))
}

// sliced returns the members of those slices that are among the parts.
func (t *Table) sliced(parts []Part) map[int32][]Member {
	members := make(map[int32][]Member)
	for _, p := range parts {
		if p.Kind == MembersPart {
			members[p.Number] = nil
		}
	}
	if len(members) == 0 {
		return members
	}
	for hash, m := range t.sample.members {
		if list, asked := members[sliceOf(hash)]; asked {
			members[sliceOf(hash)] = append(list, m)
		}
	}
	for _, list := range members {
		slices.SortFunc(list, compareMembers)
	}
	return members
}

func (t *Table) content(p Part, members map[int32][]Member) (c Content) {
	switch p.Kind {
	case BirthsPart:
		for cell, total := range t.births[p.Number] {
			c.Births = append(c.Births, Births{cell, total})
		}
		slices.SortFunc(c.Births, func(a, b Births) int { return cmp.Or(cmp.Compare(a.X, b.X), cmp.Compare(a.Last, b.Last)) })
	case SpendsPart:
		for cell, total := range t.spends[p.Number] {
			c.Spends = append(c.Spends, Spends{cell, total})
		}
		slices.SortFunc(c.Spends, func(a, b Spends) int { return cmp.Compare(a.Bin, b.Bin) })
	case MembersPart:
		c.Members = members[p.Number]
	}
	return c
}

// Count returns how many parts are not empty.
func (t *Table) Count() int {
	occupied := make(map[int32]struct{})
	for hash := range t.sample.members {
		occupied[sliceOf(hash)] = struct{}{}
	}
	return len(t.births) + len(t.spends) + len(occupied)
}

// Difference says where two tables, which should be of the same customers, differ; "" if they do not. Of the samples it compares what both are to know.
func Difference(a, b *Table) string {
	if d := differ(a.births, b.births); d != "" {
		return d
	}
	if d := differ(a.spends, b.spends); d != "" {
		return d
	}
	bound := min(a.sample.below, b.sample.below)
	for _, pair := range [][2]map[uint64]Member{{a.sample.members, b.sample.members}, {b.sample.members, a.sample.members}} {
		for hash, m := range pair[0] {
			if other, ok := pair[1][hash]; hash < bound && (!ok || !m.equal(&other)) {
				return fmt.Sprintf("member %d is %+v, and %+v", hash, m, other)
			}
		}
	}
	if a.people != b.people {
		return fmt.Sprintf("%d customers, and %d", a.people, b.people)
	}
	return ""
}

// differ says where two groups of cells differ.
func differ[Cell, Total comparable](a, b map[int32]map[Cell]Total) string {
	for _, pair := range [][2]map[int32]map[Cell]Total{{a, b}, {b, a}} {
		for group, cells := range pair[0] {
			for cell, total := range cells {
				if other := pair[1][group][cell]; other != total {
					return fmt.Sprintf("cell %+v is %+v, and %+v", cell, total, other)
				}
			}
		}
	}
	return ""
}
