package statistics

import (
	"cmp"
	"slices"

	"lull/operators"
)

// HashOf returns the number below 2⁶³ by which a customer is, or is not, among the sampled: operators.Hash64 of the id, but for its last bit.
func HashOf(id string) uint64 { return operators.Hash64(id) >> 1 }

// SampleSize is how many customers the samples of all tasks have together, if there are as many.
const SampleSize = 50_000

// HashEnd is above every hash.
const HashEnd = 1 << 63

// Member is a sampled customer, as of their last purchase or correction.
type Member struct {
	Hash          uint64
	First, Last   operators.Day
	Purchases     uint32 // purchase days
	Orders        uint32
	Net, FirstNet operators.Money
	// Newest are the newest purchase days, in order: all, or as many as lie in the customer's record. By them it is known what the customer was some
	// weeks ago.
	Newest []operators.Day
}

// Repeats returns x: purchase days after the first.
func (m *Member) Repeats() int { return int(m.Purchases) - 1 }

func (m *Member) equal(other *Member) bool {
	return m.Hash == other.Hash && m.First == other.First && m.Last == other.Last && m.Purchases == other.Purchases && m.Orders == other.Orders &&
		m.Net == other.Net && m.FirstNet == other.FirstNet && slices.Equal(m.Newest, other.Newest)
}

// Sample are the customers whose hashes are below a bound: those of least hash, chosen by nothing that they do. Samples of different tasks make one
// of all: those below the least of the bounds.
type Sample struct {
	max     int // how many are kept at least, if there are as many
	below   uint64
	members map[uint64]Member
}

func newSample(most int) Sample {
	return Sample{max: most, below: HashEnd, members: make(map[uint64]Member)}
}

// Below returns the bound.
func (s *Sample) Below() uint64 { return s.below }

// Members returns the members by hash.
func (s *Sample) Members() []Member {
	list := make([]Member, 0, len(s.members))
	for _, m := range s.members {
		list = append(list, m)
	}
	slices.SortFunc(list, compareMembers)
	return list
}

func compareMembers(a, b Member) int { return cmp.Compare(a.Hash, b.Hash) }

// spare is the share of members by which there may be more or fewer than max until the bound moves.
const spare = 4

// put makes this what the customer is, if they belong to the sample.
func (s *Sample) put(hash uint64, p *operators.Purchases, newest []operators.PurchaseDay) bool {
	if hash >= s.below {
		return false
	}
	m := Member{Hash: hash, First: p.First, Last: p.Last, Purchases: p.Count, Orders: p.Orders, Net: p.Net, FirstNet: p.FirstNet, Newest: make([]operators.Day, len(newest))}
	for i := range newest {
		m.Newest[i] = newest[i].Day
	}
	s.members[hash] = m
	return true
}

func (s *Sample) remove(hash uint64) bool {
	_, there := s.members[hash]
	delete(s.members, hash)
	return there
}

// Short reports whether so many have left that there are others who belong to the sample, and whom it does not know: it is to be made anew.
func (t *Table) Short() bool {
	s := &t.sample
	return s.below < HashEnd && len(s.members) < s.max-s.max/spare
}

// Trim lowers the bound if there are more members than are to be kept.
func (t *Table) Trim() {
	s := &t.sample
	if len(s.members) <= s.max+s.max/spare {
		return
	}
	hashes := make([]uint64, 0, len(s.members))
	for hash := range s.members {
		hashes = append(hashes, hash)
	}
	slices.Sort(hashes)
	s.below = hashes[s.max]
	for _, hash := range hashes[s.max:] {
		delete(s.members, hash)
		t.mark(MembersPart, sliceOf(hash))
	}
}
