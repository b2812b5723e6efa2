package sim

import (
	"errors"
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
	inputTopic topic = iota
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
	offsets map[int]int64
	notes   map[int]note
}

// entry is a record, or the marker that ends a transaction.
type entry struct {
	offset  int64
	key     string
	value   []byte
	payload any // of inputs: an input; of outputs: an operators.Output
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

// inputs returns how the partitions of the input stand.
func (b *broker) inputs() (logs []task.Log) {
	for _, l := range b.logs[inputTopic] {
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
	committed map[int]int64  // the group's offsets
	history   map[int][]note // what the committed transactions say they did, by partition
}

func newBroker(partitions int) *broker {
	b := &broker{producers: map[string]*producer{}, committed: map[int]int64{}, history: map[int][]note{}}
	for t := range b.logs {
		for range partitions {
			b.logs[t] = append(b.logs[t], &partitionLog{newest: operators.Unset, begun: map[*txn]int64{}})
		}
	}
	b.group = group{owner: make([]string, partitions), target: make([]string, partitions)}
	return b
}

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
		p.txn = &txn{logs: map[*partitionLog]bool{}, offsets: map[int]int64{}, notes: map[int]note{}}
	}
	return p, nil
}

// produce appends a record to the producer's transaction.
func (b *broker) produce(id string, epoch int, t topic, n int, e entry) (offset int64, err error) {
	p, err := b.producer(id, epoch)
	if err != nil {
		return 0, err
	}
	l := b.logs[t][n]
	if !p.txn.logs[l] {
		p.txn.logs[l] = true
		l.begun[p.txn] = l.next
	}
	e.txn = p.txn
	l.add(e)
	return l.next - 1, nil
}

// commitOffsets makes the group's offsets part of the transaction.
func (b *broker) commitOffsets(id string, epoch int, member member, generation int, offsets map[int]int64, notes map[int]note) error {
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
		for n, offset := range t.offsets {
			b.committed[n] = offset
			b.history[n] = append(b.history[n], t.notes[n])
		}
	}
}

// pending reports whether an open transaction holds an offset of a partition: the committed one is not stable then.
func (b *broker) pending(n int) bool {
	for _, p := range b.producers {
		if p.txn != nil {
			if _, ok := p.txn.offsets[n]; ok {
				return true
			}
		}
	}
	return false
}

// offset returns the group's committed offset of a partition, -1 if there is none.
func (b *broker) offset(n int) int64 {
	if o, ok := b.committed[n]; ok {
		return o
	}
	return -1
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
	owner      []string // who holds each partition, "" nobody
	target     []string // who is to hold it
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
	for n, owner := range g.owner {
		if owner == name {
			g.owner[n] = ""
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
	share := (len(g.target) + len(g.members) - 1) / len(g.members)
	count := map[string]int{}
	for n, owner := range g.owner {
		g.target[n] = ""
		if g.member(owner) != (member{}) && count[owner] < share {
			g.target[n] = owner
			count[owner]++
		}
	}
	for n := range g.target {
		for _, m := range g.members {
			if g.target[n] == "" && count[m.name] < share {
				g.target[n] = m.name
				count[m.name]++
			}
		}
	}
}
