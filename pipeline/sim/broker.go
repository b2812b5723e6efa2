package sim

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"lull/operators"
	"lull/pipeline/task"
)

// Errors of the broker's answers.
var (
	errFenced     = errors.New("the producer epoch is an old one")
	errGeneration = errors.New("the member or its generation is an old one")
	errUnknown    = errors.New("no answer: nobody knows what became of the request")
)

// topic is what a log of the broker holds.
type topic int

const (
	inputTopic  topic = iota
	secondInput       // another input, in worlds with a first stage
	eventsTopic       // what a first stage passes on
	changelogTopic
	outputTopic
	topics
)

// txnState is where a transaction stands.
type txnState int

const (
	open txnState = iota
	committed
	aborted
)

// txn is a transaction.
type txn struct {
	state   txnState
	logs    map[*partitionLog]bool
	offsets map[place]position
	notes   map[place]note
}

// place is a partition of a topic.
type place struct {
	topic topic
	n     int
}

// String implements fmt.Stringer.
func (at place) String() string {
	switch at.topic {
	case inputTopic, secondInput:
		return fmt.Sprintf("partition %d of input %d", at.n, at.topic+1)
	default:
		return fmt.Sprintf("partition %d", at.n)
	}
}

// position is a committed offset.
type position struct {
	offset   int64 // -1: none
	metadata string
}

// entry is a record, or the marker that ends a transaction.
type entry struct {
	offset  int64
	key     string
	value   []byte
	payload any // of inputs and events: an input; of outputs: an operators.Output
	marker  bool
	txn     *txn // nil: not of a transaction
}

// partitionLog is one partition of one topic.
type partitionLog struct {
	entries []entry
	next    int64               // the high watermark
	newest  operators.EventTime // append time of an input
	begun   map[*txn]int64
}

func (l *partitionLog) add(e entry) {
	if in, ok := e.payload.(input); ok {
		l.newest = max(l.newest, in.at)
	}
	e.offset = l.next
	l.next++
	l.entries = append(l.entries, e)
}

// lso is the last stable offset: what comes before it is decided.
func (l *partitionLog) lso() int64 {
	least := l.next
	for _, first := range l.begun {
		least = min(least, first)
	}
	return least
}

// read returns up to n entries from an offset on, as a read-committed client that keeps markers gets them.
func (l *partitionLog) read(from int64, n int) []entry {
	var found []entry
	end := l.lso()
	i := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].offset >= from })
	for ; i < len(l.entries) && len(found) < n && l.entries[i].offset < end; i++ {
		if e := l.entries[i]; e.txn == nil || e.marker || e.txn.state == committed {
			found = append(found, e)
		}
	}
	return found
}

// inputs returns how the partitions of an input stand.
func (b *broker) inputs(t topic) (logs []task.Log) {
	for _, l := range b.logs[t] {
		logs = append(logs, task.Log{End: l.next, Newest: l.newest})
	}
	return logs
}

// producer is what the transaction coordinator knows of a transactional id.
type producer struct {
	epoch int
	txn   *txn
}

// broker is the cluster. All of it survives the processes.
type broker struct {
	logs      [topics][]*partitionLog
	producers map[string]*producer
	group     group
	committed map[place]position // the group's offsets
	history   map[place][]note   // what the committed transactions say they did
}

// newBroker returns a cluster with so many partitions of each topic, of which the group reads some.
func newBroker(partitions [topics]int, read []topic) *broker {
	b := &broker{producers: map[string]*producer{}, committed: map[place]position{}, history: map[place][]note{}}
	for t := range b.logs {
		for range partitions[t] {
			b.logs[t] = append(b.logs[t], &partitionLog{newest: operators.Unset, begun: map[*txn]int64{}})
		}
	}
	b.group = group{owner: map[place]string{}, target: map[place]string{}}
	for _, t := range read {
		for n := range b.logs[t] {
			b.group.places = append(b.group.places, place{t, n})
		}
	}
	return b
}

// log returns a partition's.
func (b *broker) log(at place) *partitionLog { return b.logs[at.topic][at.n] }

// initProducer gives a transactional id its next epoch; what its last owner left open is aborted.
func (b *broker) initProducer(id string) int {
	p := b.producers[id]
	if p == nil {
		p = &producer{}
		b.producers[id] = p
	}
	p.epoch++
	b.end(p, aborted)
	return p.epoch
}

func (b *broker) producer(id string, epoch int) (*producer, error) {
	p := b.producers[id]
	if p == nil || p.epoch != epoch {
		return nil, errFenced
	}
	if p.txn == nil {
		p.txn = &txn{logs: map[*partitionLog]bool{}, offsets: map[place]position{}, notes: map[place]note{}}
	}
	return p, nil
}

// produce appends a record to the producer's transaction.
func (b *broker) produce(id string, epoch int, to place, e entry) (offset int64, err error) {
	p, err := b.producer(id, epoch)
	if err != nil {
		return 0, err
	}
	l := b.log(to)
	if !p.txn.logs[l] {
		p.txn.logs[l] = true
		l.begun[p.txn] = l.next
	}
	e.txn = p.txn
	l.add(e)
	return l.next - 1, nil
}

// commitOffsets makes the group's offsets part of the transaction.
func (b *broker) commitOffsets(id string, epoch int, member member, generation int, offsets map[place]position, notes map[place]note) error {
	if !slices.Contains(b.group.members, member) || generation != b.group.generation {
		return errGeneration
	}
	p, err := b.producer(id, epoch)
	if err != nil {
		return err
	}
	p.txn.offsets, p.txn.notes = offsets, notes
	return nil
}

// endTxn commits.
func (b *broker) endTxn(id string, epoch int) error {
	p, err := b.producer(id, epoch)
	if err != nil {
		return err
	}
	b.end(p, committed)
	return nil
}

// timeOut aborts a transaction that has been open for too long. Its producer is fenced by that.
func (b *broker) timeOut(id string) {
	if p := b.producers[id]; p != nil && p.txn != nil {
		p.epoch++
		b.end(p, aborted)
	}
}

func (b *broker) end(p *producer, how txnState) {
	t := p.txn
	if t == nil {
		return
	}
	p.txn, t.state = nil, how
	for _, logs := range b.logs {
		for _, l := range logs {
			if t.logs[l] {
				delete(l.begun, t)
				l.add(entry{marker: true, txn: t})
			}
		}
	}
	if how == committed {
		for at, committed := range t.offsets {
			b.committed[at] = committed
			b.history[at] = append(b.history[at], t.notes[at])
		}
	}
}

// pending reports whether an open transaction holds an offset of a partition: the committed one is not stable then.
func (b *broker) pending(at place) bool {
	for _, p := range b.producers {
		if p.txn != nil {
			if _, ok := p.txn.offsets[at]; ok {
				return true
			}
		}
	}
	return false
}

// offset returns the group's committed offset of a partition.
func (b *broker) offset(at place) position {
	if o, ok := b.committed[at]; ok {
		return o
	}
	return position{offset: -1}
}

// member is a process in the group. One that was expelled and joins again is another member.
type member struct {
	name string
	id   int // from 1
}

// group is the coordinator's view of the consumer group. Who holds a partition gives it up before another gets it, unless they are expelled.
type group struct {
	generation int
	joined     int // members that there have been
	members    []member
	places     []place          // that it reads
	owner      map[place]string // who holds each partition, "" nobody
	target     map[place]string // who is to hold it
}

// member returns a process's, the zero one if it is none.
func (g *group) member(name string) member {
	if i := slices.IndexFunc(g.members, func(m member) bool { return m.name == name }); i >= 0 {
		return g.members[i]
	}
	return member{}
}

// join makes a process a member; a static member that restarts in place changes nothing.
func (g *group) join(name string) {
	if g.member(name) == (member{}) {
		g.joined++
		g.members = append(g.members, member{name, g.joined})
		g.rebalance()
	}
}

// expel removes a member whose session has timed out. What they held is free at once.
func (g *group) expel(name string) {
	m := g.member(name)
	if m == (member{}) {
		return
	}
	g.members = slices.DeleteFunc(g.members, func(o member) bool { return o == m })
	for at, owner := range g.owner {
		if owner == name {
			g.owner[at] = ""
		}
	}
	g.rebalance()
}

// rebalance gives everybody their share, and lets them keep what they have of it.
func (g *group) rebalance() {
	g.generation++
	if len(g.members) == 0 {
		clear(g.target)
		return
	}
	share := (len(g.places) + len(g.members) - 1) / len(g.members)
	count := map[string]int{}
	for _, at := range g.places {
		owner := g.owner[at]
		g.target[at] = ""
		if g.member(owner) != (member{}) && count[owner] < share {
			g.target[at] = owner
			count[owner]++
		}
	}
	for _, at := range g.places {
		for _, m := range g.members {
			if g.target[at] == "" && count[m.name] < share {
				g.target[at] = m.name
				count[m.name]++
			}
		}
	}
}
