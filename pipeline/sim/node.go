package sim

import (
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"lull/operators"
	"lull/pipeline/task"
	"lull/state"
)

// input is a record of an input topic: an event, a time mark, or what is none of ours; or one of the topic events: an event that a feed has passed on, or a mark of the feed's.
type input struct {
	event *operators.Event
	mark  operators.EventTime
	relay *task.Relay         // of the topic events
	at    operators.EventTime // when it was appended
}

// note is what a transaction did in one partition.
type note struct {
	adopted   []*operators.Model  // those published, if some of them were taken in
	clock     operators.EventTime // the instant that the wall clock proved, Unset if none
	at        operators.EventTime // when that was
	held      *operators.Event    // the earliest event that an outage held back then, nil if none
	from, to  int64               // positions
	heard     int64               // offset of a mark that has told its time, and what it released is not all done; -1: none
	watermark operators.EventTime
	outcomes  map[int64]task.Outcome
	timeless  map[int64]bool // offsets of events that were begun and moved no time
}

// crash is the panic by which a process dies between two steps.
type crash struct{}

// node is a process. Between any two steps of its cycle the world may kill it or let others go on.
type node struct {
	w          *world
	name       string
	disk       *disk
	up         bool
	inCycle    bool
	epoch      int
	client     member // who the client is in the group
	generation int    // that the client knows of
	member     member // who the partitions were assigned to
	parts      map[int]*part
	feeds      map[place]*feed

	off        operators.EventTime // how far its wall clock is ahead
	began      operators.EventTime
	offAtStart operators.EventTime
	inputs     []*clocked
}

// clocked is an input topic as a node sees it.
type clocked struct {
	topic   topic
	clock   *task.Clock
	hold    task.Hold
	watcher *watcher // while the input has not settled
}

// stage is what a partition's records are applied to: a task, or a feed.
type stage interface {
	Position() int64
	Time() *task.Time
	Changed() bool
}

// reader is a partition in a node's hands, as far as the reading of it goes.
type reader struct {
	place
	stage   stage // nil until what it goes on from is known
	fetched int64
	gap     int64 // where the log went on when it was last asked, 0 if it has not been
	queue   []entry
	reach   task.Reach
	clock   operators.EventTime
	note    note
}

func newReader(at place) reader { return reader{place: at, clock: operators.Unset} }

// forget forgets what was read and not committed.
func (r *reader) forget() { *r = newReader(r.place) }

// part is a partition of the topic that tasks read: its task.
type part struct {
	reader
	store *state.Partition
	task  *task.Task // nil: it is being restored
	group int64      // the group's committed offset
	end   int64      // where the restore ends, -1 until it has been asked for

	mismatches int
}

// at is between two steps. Behind the cycle's back the client hears of the group's generation, and joins again if it has been expelled.
func (n *node) at() {
	n.w.between(n)
	if n.w.rarely("client joins", 4) {
		n.join()
	}
}

// join makes the client a member, or tells it which generation it is in.
func (n *node) join() {
	g := &n.w.b.group
	g.join(n.name)
	n.client, n.generation = g.member(n.name), g.generation
}

// cycle runs one cycle. A crash ends it.
func (n *node) cycle() {
	n.inCycle = true
	defer func() {
		n.inCycle = false
		if r := recover(); r != nil {
			if _, ok := r.(crash); !ok {
				panic(r)
			}
			n.w.Stats.Crashes++
			n.die()
		}
	}()
	if n.epoch == 0 {
		n.takeEpoch()
	}
	n.rebalance()
	for _, p := range n.sorted() {
		if p.task == nil {
			n.restore(p)
		}
	}
	for _, f := range n.sortedFeeds() {
		if f.feed == nil {
			n.resume(f)
		}
	}
	for _, in := range n.inputs {
		n.tellTime(in)
	}
	n.fetch()
	n.apply()
	n.commit()
}

// die leaves what the disk keeps.
func (n *node) die() {
	for _, p := range n.parts {
		p.awaitFlush()
	}
	n.up, n.epoch, n.parts, n.feeds, n.inputs = false, 0, nil, nil, nil
	n.disk.crash(n.w.choose("flushes lost", kept+1))
}

func (n *node) sorted() []*part {
	var list []*part
	for _, k := range slices.Sorted(maps.Keys(n.parts)) {
		list = append(list, n.parts[k])
	}
	return list
}

// running returns what its records are applied to by now: feeds, then tasks.
func (n *node) running() (list []*reader) {
	for _, f := range n.sortedFeeds() {
		if f.feed != nil {
			list = append(list, &f.reader)
		}
	}
	for _, p := range n.sorted() {
		if p.task != nil {
			list = append(list, &p.reader)
		}
	}
	return list
}

// takeEpoch takes a producer epoch, however often it takes: by then what was open is decided.
func (n *node) takeEpoch() {
	for {
		n.at()
		epoch := 0
		if n.w.request(func() error { epoch = n.w.b.initProducer(n.name); return nil }) == nil {
			n.epoch = epoch
			return
		}
	}
}

// rebalance gives up what is to go, loses what is gone, and takes what is free.
func (n *node) rebalance() {
	g := &n.w.b.group
	if n.join(); n.client != n.member {
		for _, p := range n.sorted() { // lost
			p.store.Discard()
			p.store.Close()
		}
		n.parts, n.feeds, n.member = map[int]*part{}, map[place]*feed{}, n.client
	}
	n.at()
	if g.member(n.name) != n.member {
		return
	}
	n.generation = g.generation
	for _, f := range n.sortedFeeds() {
		if g.owner[f.place] == n.name && g.target[f.place] == n.name {
			continue
		}
		delete(n.feeds, f.place)
		if g.owner[f.place] == n.name {
			g.owner[f.place] = ""
		}
	}
	for _, p := range n.sorted() {
		if g.owner[p.place] == n.name && g.target[p.place] == n.name {
			continue
		}
		delete(n.parts, p.n)
		if g.owner[p.place] != n.name {
			p.store.Discard()
			p.store.Close()
			continue
		}
		if err := p.store.Release(1); err != nil && !errors.Is(err, errDisk) {
			n.w.violate("releasing: %v", err)
		}
		g.owner[p.place] = ""
	}
	for _, at := range g.places { // held before a restart
		if g.owner[at] == n.name && g.target[at] != n.name {
			g.owner[at] = ""
		}
	}
	n.at()
	if g.member(n.name) != n.member || n.generation != g.generation {
		return
	}
	for _, at := range g.places {
		if g.target[at] != n.name || g.owner[at] != "" && g.owner[at] != n.name {
			continue
		}
		if at.topic != n.w.taskTopic() {
			if g.owner[at] = n.name; n.feeds[at] == nil {
				n.feeds[at] = newFeed(at, n.w.opt.Partitions)
			}
			continue
		}
		if n.parts[at.n] != nil {
			continue
		}
		g.owner[at] = n.name
		store, err := state.NewPartition(int32(at.n), n.disk, task.IndexEntry, int64(n.w.opt.DirtyBytes))
		if errors.Is(err, errDisk) {
			panic(crash{})
		}
		if err != nil {
			n.w.violate("opening partition %d: %v", at.n, err)
			continue
		}
		n.parts[at.n] = &part{reader: newReader(at), store: store, group: -1, end: -1}
	}
}

// restore reads the changelog to the high watermark that is asked for after the committed offset.
func (n *node) restore(p *part) {
	n.at()
	log := n.w.b.logs[changelogTopic][p.n]
	if p.end < 0 {
		if n.w.b.pending(p.place) || n.w.request(func() error { p.group = n.w.b.offset(p.place).offset; return nil }) != nil {
			return
		}
		n.at()
		if n.w.request(func() error { p.end = log.next; return nil }) != nil {
			return
		}
	}
	_, from := p.store.Position()
	from = max(from, 0)
	position := from
	for position < p.end {
		n.at()
		entries := log.read(position, 1+n.w.choose("restore batch", 40))
		if len(entries) == 0 {
			n.endRestore(p, from, position)
			return // an open transaction is in the way
		}
		for _, e := range entries {
			position = e.offset + 1
			if e.marker {
				continue
			}
			if err := p.store.Restore([]byte(e.key), e.value, position); err != nil {
				n.diskFailed(err)
			}
		}
	}
	n.endRestore(p, from, position)
	t, err := task.Open(n.w.opt.task(p.n), n.w.chain, p.store, n.w)
	if err != nil {
		n.w.violate("opening the task of partition %d: %v", p.n, err)
		return
	}
	if p.group >= 0 && t.Meta().Position != p.group {
		// A zombie may have seen the group's offset and then the next owner's changelog: what is not so a second time was nothing. But nobody ever sees
		// a state that is behind.
		if p.end, p.mismatches = -1, p.mismatches+1; t.Meta().Position < p.group || p.mismatches > 2 && n.generation == n.w.b.group.generation {
			n.w.violate("partition %d: the state stands at %d, the group at %d", p.n, t.Meta().Position, p.group)
		}
		return
	}
	if n.w.staged() {
		t.SetUpstreams(n.w.upstreams())
	} else {
		n.clocked(p.topic).clock.Learn(t.Time())
	}
	p.task, p.stage, p.fetched, p.queue = t, t, t.Meta().Position, nil
}

func (n *node) endRestore(p *part, from, position int64) {
	if position == from {
		return
	}
	if err := p.store.EndRestore(position); err != nil {
		n.diskFailed(err)
	}
	p.awaitFlush()
}

// clocked returns an input topic as the node sees it.
func (n *node) clocked(t topic) *clocked {
	return n.inputs[slices.IndexFunc(n.inputs, func(in *clocked) bool { return in.topic == t })]
}

// tellTime lets time follow the wall clock as far as the log of an input has been read: the clock first, the end after it.
func (n *node) tellTime(in *clocked) {
	if n.w.opt.Task.EventClock {
		return
	}
	r := task.Reading{Wall: n.w.now + n.off, Monotonic: int64(n.w.now - n.began), Read: operators.Unset, Late: operators.Unset, Watermark: operators.Unset}
	if in.clock.Jumped(&r) {
		in.hold = in.clock.Read(&r)
		n.w.Stats.Held[in.hold]++
		return
	}
	asked := n.w.now
	if n.at(); n.w.now-asked > day { // it has given up: by newer records than those of then a clock that is wrong is less so
		return
	}
	if n.w.request(func() error { r.Logs = n.w.b.inputs(in.topic); return nil }) != nil {
		return
	}
	var reading []*reader
	for _, p := range n.running() {
		if p.topic == in.topic {
			reading = append(reading, p)
			p.reach.Ask(r.Wall, r.Logs[p.n].End)
			r.Watermark, r.Had = max(r.Watermark, p.stage.Time().Watermark), r.Had || p.stage.Position() > 0
		}
	}
	if len(reading) == 0 {
		return
	}
	if !r.Used() && n.w.request(func() error { r.Others = n.w.others(in.topic); return nil }) != nil {
		return
	}
	if in.watcher != nil {
		r.Read, r.Late = in.watcher.look(&r)
	}
	in.hold = in.clock.Read(&r)
	n.w.Stats.Held[in.hold]++
	switch stalled := in.clock.Stalled(); {
	case stalled && in.watcher == nil:
		in.watcher = n.w.watch(in.topic, in.clock.WatchFrom())
	case !stalled:
		in.watcher = nil
	}
	for _, p := range reading {
		if read, ok := p.reach.Pass(p.stage.Position()); ok && in.hold == task.Free {
			p.clock = read - operators.EventTime(n.w.opt.Task.LatenessMs)
			in.clock.Teach(p.stage.Time())
		}
	}
}

// fetch reads on. Now and then the client goes back by itself, or passes over something.
func (n *node) fetch() {
	n.at()
	for _, p := range n.running() {
		if n.w.rarely("rewind", 4) {
			p.fetched, p.queue = int64(n.w.choose("rewind to", int(p.stage.Position())+1)), nil
			n.w.Stats.Rewinds++
		}
		from := p.fetched
		if p.gap == 0 && n.w.rarely("skip", 2) {
			from += int64(1 + n.w.choose("skipped", 3))
			n.w.Stats.Skips++
		}
		entries := n.w.b.log(p.place).read(from, 1+n.w.choose("batch", 12))
		if len(entries) == 0 {
			continue
		}
		// Offsets may be missing, but not because the client has passed over them: a gap is read a second time before it is believed.
		if first := entries[0].offset; first > p.fetched && p.gap != first {
			p.gap = first
			continue
		}
		p.gap = 0
		p.queue = append(p.queue, entries...)
		p.fetched = entries[len(entries)-1].offset + 1
	}
}

// apply lets every feed and every task work within a budget.
func (n *node) apply() {
	n.at()
	for _, p := range n.running() {
		p.note = note{clock: operators.Unset, from: p.stage.Position(), heard: -1, outcomes: map[int64]task.Outcome{}, timeless: map[int64]bool{}}
	}
	for _, f := range n.sortedFeeds() {
		if f.feed != nil {
			n.applyFeed(f, n.w.budget())
		}
	}
	for _, p := range n.sorted() {
		if p.task == nil {
			continue
		}
		p.task.Begin(n.w.now)
		if err := n.applyPart(p, n.w.budget()); err != nil {
			n.w.violate("partition %d: %v", p.n, err)
		}
		if outputs := len(p.task.Outputs()); outputs > n.w.opt.OutputsBound {
			n.w.violate("I7: a transaction of %d outputs", outputs)
		}
	}
	for _, p := range n.running() {
		p.note.to, p.note.watermark = p.stage.Position(), p.stage.Time().Watermark
		if p.topic == eventsTopic { // it takes time from the feeds
			continue
		}
		if p.stage.Time().InputAlive != operators.Unset && n.clocked(p.topic).hold != task.Jumped { // or nobody knows the source
			p.note.held = n.w.heldBack(p.place, p.note.watermark+operators.EventTime(n.w.opt.Task.LatenessMs))
		}
	}
}

func (n *node) applyPart(p *part, b *task.Budget) error {
	done, err := p.task.FireDue(b)
	if done && err == nil {
		before := p.task.Meta().LastModel
		if err := p.task.Adopt(n.w.models); err != nil {
			return err
		}
		if p.task.Meta().LastModel != before {
			p.note.adopted = n.w.models
		}
		if p.clock != operators.Unset {
			if meta := p.task.Meta(); meta.Observed != meta.Position {
				p.note.clock, p.note.at = p.clock, n.w.now
			}
			if done, err = p.task.AdvanceClock(p.clock, b); done {
				p.clock = operators.Unset
			}
		}
	}
	for done && err == nil && len(p.queue) > 0 && !b.Expired() {
		e := p.queue[0]
		outcome := task.Repeated
		if e.offset >= p.task.Position() {
			held, before := n.holdsTime(p.topic, &e), *p.task.Meta()
			p.task.HoldTime(held)
			outcome, err = applyEntry(p.task, &e, b)
			if after := p.task.Meta(); held && after.Observed == e.offset && before.Observed != e.offset {
				p.note.timeless[e.offset] = true
			} else if outcome == task.Unfinished && after.Observed != e.offset && after.Watermark > before.Watermark {
				p.note.heard = e.offset
			}
		}
		if err != nil || outcome == task.Unfinished {
			return err
		}
		if outcome != task.Repeated {
			p.note.outcomes[e.offset] = outcome
		}
		p.queue = p.queue[1:]
	}
	if done && err == nil {
		_, err = p.task.FireDue(b)
	}
	if err == nil {
		err = n.sweep(p)
	}
	return err
}

// holdsTime reports whether an event of an input moves no time: the input has not settled.
func (n *node) holdsTime(t topic, e *entry) bool {
	in, _ := e.payload.(input)
	return in.event != nil && in.relay == nil && !n.w.opt.Task.EventClock && in.at > n.clocked(t).clock.HeldFrom(n.w.now+n.off)
}

// applyEntry applies an entry of the topic that tasks read, and counts what was wrong with it.
func applyEntry(t *task.Task, e *entry, b *task.Budget) (task.Outcome, error) {
	outcome, err := applyUncounted(t, e, b)
	in, _ := e.payload.(input)
	if err != nil || in.event == nil || outcome == task.Unfinished || outcome == task.Repeated {
		return outcome, err
	}
	fault := operators.NoFault
	switch {
	case outcome == task.Rejected:
		fault = operators.Invalid
	case outcome == task.Duplicate:
		fault = operators.Duplicate
	case in.event.Time < t.Meta().Watermark:
		fault = operators.LateEvent
	}
	return outcome, t.CountRecord("shop", fault, in.event.Customer)
}

func applyUncounted(t *task.Task, e *entry, b *task.Budget) (task.Outcome, error) {
	switch in, _ := e.payload.(input); {
	case in.event != nil && in.relay != nil:
		return t.ApplyFrom(e.offset, in.event, in.relay, b)
	case in.event != nil:
		return t.Apply(e.offset, in.event, b)
	case in.relay != nil:
		return t.MarkOf(e.offset, in.relay, b)
	case in.mark != 0:
		return t.Mark(e.offset, in.mark, b)
	default: // a marker, or none of the task's
		return t.Skip(e.offset), nil
	}
}

// sweep counts some customers, and brings some to the model in force, between a transaction's own work and its end.
func (n *node) sweep(p *part) error {
	slice := 1 << 30
	if !n.w.calm {
		slice = n.w.choose("sweep", 4)
	}
	left := slice
	if err := p.task.Count(&task.Budget{Outputs: 1 << 30, Expired: func() bool { left--; return left < 0 }}); err != nil {
		return err
	}
	left = slice
	touched, err := p.task.Sweep(&task.Budget{Outputs: n.w.opt.OutputsBound / 2, Expired: func() bool { left--; return left < 0 }})
	n.w.Stats.Swept += touched
	return err
}

// commit makes the transaction of what was applied. Whatever is not clearly committed is forgotten and read again.
func (n *node) commit() {
	var changed []*part
	for _, p := range n.sorted() {
		if p.task != nil && p.task.Changed() {
			changed = append(changed, p)
		}
	}
	feeds := n.changedFeeds()
	if len(changed)+len(feeds) == 0 {
		return
	}
	n.at()
	offsets, notes, ends := map[place]position{}, map[place]note{}, map[int]int64{}
	for _, f := range feeds {
		if n.passOn(f) != nil {
			n.recover()
			return
		}
		offsets[f.place], notes[f.place] = position{f.feed.Position(), f.feed.Meta().String()}, f.note
	}
	for _, p := range changed {
		if err := p.task.Finish(); err != nil {
			n.w.violate("finishing partition %d: %v", p.n, err)
		}
		for _, o := range p.task.Outputs() {
			if n.send(place{outputTopic, p.n}, entry{key: o.Customer, payload: o}, nil) != nil {
				n.recover()
				return
			}
		}
		written := 0
		for key, value := range p.store.Writes {
			written += len(key) + len(value)
			end := int64(0)
			if n.send(place{changelogTopic, p.n}, entry{key: string(key), value: value}, &end) != nil {
				n.recover()
				return
			}
			ends[p.n] = end + 1
		}
		if written > n.w.opt.WritesBound {
			n.w.violate("I7: a transaction writes %d bytes", written)
		}
		offsets[p.place], notes[p.place] = position{offset: p.task.Position()}, p.note
	}
	n.at()
	if n.commitOffsets(offsets, notes) != nil {
		n.recover()
		return
	}
	n.at()
	if n.w.request(func() error { return n.w.b.endTxn(n.name, n.epoch) }) != nil {
		n.recover()
		return
	}
	n.at()
	for _, f := range feeds {
		f.committed()
	}
	for _, p := range changed {
		p.store.Commit(ends[p.n])
		p.task.Committed()
		if _, loaded := p.task.Soonest(); loaded > 2*n.w.opt.Task.TimersLoaded {
			n.w.violate("I7: partition %d keeps %d deadlines in memory", p.n, loaded)
		}
		n.at()
		if p.store.Full() || n.w.choose("flush", 3) == 1 {
			n.flush(p)
		}
		if p.store.Full() && !n.disk.full {
			n.w.violate("I7: the memory of partition %d is full and goes on", p.n)
		}
	}
}

// commitOffsets makes the positions part of the transaction, as the member that the partitions were assigned to and no other. A generation that the
// client has not heard of it hears of, and tries again.
func (n *node) commitOffsets(offsets map[place]position, notes map[place]note) error {
	for {
		if n.client != n.member {
			return errGeneration
		}
		err := n.w.request(func() error { return n.w.b.commitOffsets(n.name, n.epoch, n.client, n.generation, offsets, notes) })
		if !errors.Is(err, errGeneration) || n.w.b.group.member(n.name) != n.client {
			return err
		}
		n.generation = n.w.b.group.generation
	}
}

// send produces one record. Between two records others may go on now and then.
func (n *node) send(to place, e entry, offset *int64) error {
	if n.w.rarely("between records", 2) {
		n.at()
	}
	return n.w.request(func() error {
		o, err := n.w.b.produce(n.name, n.epoch, to, e)
		if offset != nil {
			*offset = o
		}
		return err
	})
}

// flush writes a partition to the disk, as in the background: its end is not looked at.
func (n *node) flush(p *part) {
	if err := p.store.StartFlush(); err != nil {
		n.diskFailed(err)
	}
	p.awaitFlush()
}

// awaitFlush waits for a flush in the background, so that the order of everything is the same in every run.
func (p *part) awaitFlush() {
	for p.store.Flushing() {
		runtime.Gosched()
	}
}

// diskFailed ends the process, as a full disk does.
func (n *node) diskFailed(err error) {
	if !errors.Is(err, errDisk) {
		n.w.violate("the disk: %v", err)
	}
	panic(crash{})
}

// recover goes back to what is committed: a new epoch decides what became of the transaction.
func (n *node) recover() {
	n.w.Stats.Recoveries++
	n.takeEpoch()
	for _, f := range n.sortedFeeds() {
		f.forget()
	}
	for _, p := range n.sorted() {
		if p.task == nil {
			p.end = -1
			continue
		}
		p.store.Abort()
		if err := p.task.Aborted(); err != nil {
			n.w.violate("aborting partition %d: %v", p.n, err)
		}
		p.forget()
		p.task, p.end = nil, -1
	}
}

// String implements fmt.Stringer.
func (n *node) String() string {
	var holds []task.Hold
	for _, in := range n.inputs {
		holds = append(holds, in.hold)
	}
	return fmt.Sprintf("%s (up: %v, generation %d, clocks held by %d)", n.name, n.up, n.generation, holds)
}
