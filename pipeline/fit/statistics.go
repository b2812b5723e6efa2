package fit

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"lull/operators"
	"lull/operators/statistics"
)

// Head is what the parts of one task are together.
type Head struct {
	// Edition is that of the parts which count. Others are left over from an earlier count of the task's customers.
	Edition int64
	// AsOf is the task's watermark: who has bought nothing until then was silent until then. Now is the same in days of the calendar. Both mean nothing while
	// there are no customers.
	AsOf operators.EventTime
	Now  float64
	// Customers is the sum over the births.
	Customers int64
	// Below is the bound of the sample: all customers with a hash below it are members. It is statistics.HashEnd if all are.
	Below uint64
	// Parts is the number of parts that are not empty.
	Parts int
}

// Statistics are those of all tasks, as far as they have been heard of. A task publishes, in one transaction, the parts that have changed and its head
// behind them: until the head is here, parts wait. It is for one goroutine.
type Statistics struct {
	tasks map[int32]*task
}

// task is what has been heard of one task.
type task struct {
	heard   bool // there is a head
	head    Head
	parts   map[statistics.Part]piece // what belongs to the head; none is empty
	waiting map[statistics.Part]piece // what has come since; the empty are deletions
	damage  string                    // why the parts are not what the head says, "" if they are
}

// piece is what a part is in an edition.
type piece struct {
	edition   int64
	content   statistics.Content
	customers int64 // of births
	members   int64
	fault     string // why it cannot be; "" if it can
}

// NewStatistics returns what is known before anything has been heard.
func NewStatistics() *Statistics { return &Statistics{tasks: make(map[int32]*task)} }

func (s *Statistics) task(partition int32) *task {
	t := s.tasks[partition]
	if t == nil {
		t = &task{parts: make(map[statistics.Part]piece), waiting: make(map[statistics.Part]piece)}
		s.tasks[partition] = t
	}
	return t
}

// Put makes this the content of a part, from the next head on. The content is kept and must not be changed; an empty one deletes the part.
func (s *Statistics) Put(partition int32, edition int64, part statistics.Part, content statistics.Content) {
	p := piece{edition: edition, content: content, members: int64(len(content.Members)), fault: faultOf(part, &content)}
	for i := range content.Births {
		p.customers += content.Births[i].Customers
	}
	s.task(partition).waiting[part] = p
}

// Delete takes a part away, from the next head on.
func (s *Statistics) Delete(partition int32, part statistics.Part) {
	s.task(partition).waiting[part] = piece{}
}

// SetHead takes in a head, and with it what has come of the partition since the last. It is seen whether they agree: if not, Population refuses until a
// later head agrees with its parts.
func (s *Statistics) SetHead(partition int32, head Head) {
	t := s.task(partition)
	maps.Copy(t.parts, t.waiting)
	clear(t.waiting)
	maps.DeleteFunc(t.parts, func(_ statistics.Part, p piece) bool { return p.edition != head.Edition || p.content.Empty() })
	t.heard, t.head = true, head
	t.damage = t.compare()
}

// compare says where parts and head disagree; "" if they do not.
func (t *task) compare() string {
	var customers, members int64
	for _, part := range t.ordered() {
		p := t.parts[part]
		if p.fault != "" {
			return fmt.Sprintf("in %v %d %s", part.Kind, part.Number, p.fault)
		}
		customers += p.customers
		members += p.members
	}
	h := &t.head
	switch {
	case len(t.parts) != h.Parts:
		return fmt.Sprintf("there are %d parts of edition %d, and the head speaks of %d", len(t.parts), h.Edition, h.Parts)
	case customers != h.Customers:
		return fmt.Sprintf("births count %d customers, and the head speaks of %d", customers, h.Customers)
	case h.Below == statistics.HashEnd && members != customers:
		return fmt.Sprintf("births count %d customers, all of whom are said to be in the sample, which holds %d", customers, members)
	case customers > 0 && (math.IsNaN(h.Now) || math.Abs(h.Now) > daysMax):
		return fmt.Sprintf("the head's watermark is on day %v", h.Now)
	}
	return ""
}

// daysMax bounds the days of the calendar on either side of 1970, so that they can be computed with: some 2,700 years.
const daysMax = 1_000_000

// ordered returns the parts in order.
func (t *task) ordered() []statistics.Part {
	return slices.SortedFunc(maps.Keys(t.parts), func(a, b statistics.Part) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Number, b.Number))
	})
}

// faultOf says what in a part's content cannot be, "" if all can: what comes over the wire is not fitted to unseen.
func faultOf(part statistics.Part, c *statistics.Content) string {
	for i := range c.Births {
		b := &c.Births[i]
		if part.Kind != statistics.BirthsPart || b.Birth != part.Number || b.Customers < 1 || b.X < 0 || b.Last < b.Birth || b.X == 0 && b.Last != b.Birth {
			return fmt.Sprintf("a cell is %+v", *b)
		}
	}
	for i := range c.Spends {
		s := &c.Spends[i]
		if part.Kind != statistics.SpendsPart || s.X != part.Number || s.Customers < 1 || s.X < 1 || s.RepeatNet <= 0 {
			return fmt.Sprintf("a cell is %+v", *s)
		}
	}
	for i := range c.Members {
		m := &c.Members[i]
		if part.Kind != statistics.MembersPart || !possible(m) {
			return fmt.Sprintf("member %d is not a customer that there can be", m.Hash)
		}
	}
	return ""
}

// possible reports whether a member's numbers agree with each other.
func possible(m *statistics.Member) bool {
	kept := len(m.Newest)
	if kept == 0 || int64(kept) > int64(m.Purchases) || m.Newest[kept-1] != m.Last || m.Newest[0] < m.First {
		return false
	}
	for i := 1; i < kept; i++ {
		if m.Newest[i] <= m.Newest[i-1] {
			return false
		}
	}
	allKept := int64(kept) == int64(m.Purchases)
	return allKept == (m.Newest[0] == m.First)
}

// IncompleteError says that the population is not known yet.
type IncompleteError struct {
	Unheard []int32 // partitions without a head, in order
	Damaged []Damage
}

// Damage is why the statistics of a partition are none.
type Damage struct {
	Partition int32
	Reason    string
}

// Error names the partitions.
func (e *IncompleteError) Error() string {
	var faults []string
	if len(e.Unheard) > 0 {
		faults = append(faults, fmt.Sprintf("nothing has been heard of %s", partitionList(e.Unheard)))
	}
	for _, d := range e.Damaged {
		faults = append(faults, fmt.Sprintf("the statistics of partition %d are damaged: %s", d.Partition, d.Reason))
	}
	return strings.Join(faults, "; ")
}

// partitionList names partitions, rising: at most a dozen, and how many more.
func partitionList(partitions []int32) string {
	const named = 12
	var names []string
	for _, p := range partitions[:min(named, len(partitions))] {
		names = append(names, fmt.Sprint(p))
	}
	list := "partition " + names[0]
	if len(names) > 1 {
		list = "partitions " + strings.Join(names, ", ")
	}
	if more := len(partitions) - named; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}
