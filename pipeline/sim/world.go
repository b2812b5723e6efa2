package sim

import (
	"fmt"
	"slices"

	"lull/operators"
	"lull/operators/clv"
	"lull/pipeline/task"
)

const (
	minute = operators.EventTime(60_000)
	hour   = 60 * minute
	day    = 24 * hour
	start  = 9862 * day // 1997-01-01
)

// Options are the size of a world.
type Options struct {
	Partitions, Nodes, Turns, Heals int
	Inputs                          []int // partitions of the input topics that a first stage reads; nil: tasks read one topic
	DirtyBytes                      int   // of a partition, before it flushes by itself
	OutputsBound, WritesBound       int   // what a transaction of a partition may hold: outputs, and bytes of the changelog
	Task                            task.Config
	Clock                           task.ClockConfig
	Chain                           clv.Config
}

// task returns the configuration of a partition's task.
func (o *Options) task(n int) task.Config {
	cfg := o.Task
	cfg.Partition, cfg.Partitions = n, o.Partitions
	return cfg
}

// Stats count what happened.
type Stats struct {
	Inputs, Outputs, Transactions int // Outputs and Transactions are those that were committed
	Passed                        int // events by a first stage
	Crashes                       int
	Zombies                       int // processes that stood still in the midst of their cycle while others went on
	Recoveries                    int // transactions that did not clearly commit
	LostAnswers, Refused          int // requests that were done and not answered, and not done
	Expelled, TimedOut            int // sessions and transactions
	Rewinds, Skips                int // of the input's client, by itself
	DiskFull                      int
	Outages, HeldBack             int                   // of a source, and the events that they held back
	Steps                         int                   // of wall clocks
	Held                          [task.Awaited + 1]int // readings of the clocks, by what they said
	Swept                         int                   // customers that a sweep has touched
	Counted                       int                   // customers in the statistics that were compared with the states
	Called, Capped                int                   // triggers that are actionable, and that a cap withholds
	Heals                         int                   // each with all checks
}

func (s *Stats) add(o Stats) {
	s.Inputs, s.Outputs, s.Transactions = s.Inputs+o.Inputs, s.Outputs+o.Outputs, s.Transactions+o.Transactions
	s.Crashes, s.Zombies, s.Recoveries = s.Crashes+o.Crashes, s.Zombies+o.Zombies, s.Recoveries+o.Recoveries
	s.LostAnswers, s.Refused, s.Expelled, s.TimedOut = s.LostAnswers+o.LostAnswers, s.Refused+o.Refused, s.Expelled+o.Expelled, s.TimedOut+o.TimedOut
	s.Rewinds, s.Skips, s.DiskFull, s.Heals = s.Rewinds+o.Rewinds, s.Skips+o.Skips, s.DiskFull+o.DiskFull, s.Heals+o.Heals
	s.Outages, s.HeldBack, s.Steps = s.Outages+o.Outages, s.HeldBack+o.HeldBack, s.Steps+o.Steps
	for i := range s.Held {
		s.Held[i] += o.Held[i]
	}
	s.Passed += o.Passed
	s.Swept += o.Swept
	s.Counted += o.Counted
	s.Called, s.Capped = s.Called+o.Called, s.Capped+o.Capped
}

// String implements fmt.Stringer.
func (s Stats) String() string {
	return fmt.Sprintf("%d inputs, %d passed on by a first stage, %d outputs, %d transactions; %d crashes, %d zombies, %d recoveries, %d lost answers, %d refused requests, "+
		"%d sessions and %d transactions timed out, %d rewinds, %d skips, %d full disks, %d outages of a source that held back %d events, %d steps of wall clocks "+
		"(clocks free %d times, jumped %d, unconfirmed %d, stalled %d), %d customers swept; %d customers recounted; %d calls to act, %d over a cap; %d heals", s.Inputs, s.Passed, s.Outputs, s.Transactions, s.Crashes, s.Zombies,
		s.Recoveries, s.LostAnswers, s.Refused, s.Expelled, s.TimedOut, s.Rewinds, s.Skips, s.DiskFull, s.Outages, s.HeldBack, s.Steps,
		s.Held[task.Free], s.Held[task.Jumped], s.Held[task.Unconfirmed], s.Held[task.Stalled], s.Swept, s.Counted, s.Called, s.Capped, s.Heals)
}

// Choose makes every choice that is open: one of 0 to n-1, of which 0 is the most ordinary.
type Choose func(what string, n int) int

// world is everything there is.
type world struct {
	opt     Options
	choose  Choose
	chain   *operators.Chain
	models  []*operators.Model // those that are published
	all     []*operators.Model
	b       *broker
	nodes   []*node
	now     operators.EventTime
	sources []*source // by input
	events  int
	depth   int  // how many cycles are under way, one within another
	calm    bool // nothing goes wrong any more
	claimed bool // a producer has dated a record ahead
	Stats   Stats

	violations []string
}

// Run runs one world. It returns what happened and what was violated.
func Run(opt Options, choose Choose) (Stats, []string) {
	w := &world{opt: opt, choose: choose, chain: clv.NewChain(opt.Chain), now: start}
	w.all = []*operators.Model{
		{Version: "first", EffectiveAt: 0, Family: "mbgnbd", R: 0.525, Alpha: 2, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 60},
		{Version: "second", EffectiveAt: start, Family: "mbgnbd", R: 0.8, Alpha: 1.1, A: 0.5, B: 0.9, P: 5, Q: 3, V: 20, HighValue: 90},
		{Version: "third", EffectiveAt: start + 20*day, Family: "mbgnbd", R: 0.4, Alpha: 1.5, A: 1.2, B: 1.1, P: 6, Q: 3.5, V: 15, HighValue: 30},
		{Version: "fourth", EffectiveAt: start, Family: "bgnbd", R: 0.6, Alpha: 3, A: 0.7, B: 2, P: 6, Q: 3.5, V: 15, HighValue: 100},
	}
	if w.opt.Task.EventClock {
		w.models = w.all[:1] // what is promised without reserve is for a model that is put first, and in force from the beginning
	}
	w.makeTopics()
	for i := range opt.Nodes {
		w.nodes = append(w.nodes, &node{w: w, name: fmt.Sprint("node-", i), disk: newDisk()})
	}
	for range opt.Heals {
		if len(w.opt.Inputs) > 1 && !w.opt.Task.EventClock && !w.used(secondInput) {
			s := w.source(secondInput)
			s.unused = w.choose("unused", 2) == 1
			s.waitedFor = s.unused && w.choose("waited for", 2) == 1
		}
		for range opt.Turns {
			w.turn()
		}
		if w.heal(); len(w.violations) == 0 {
			w.check()
		}
		if len(w.violations) > 0 {
			break
		}
	}
	return w.Stats, w.violations
}

// makeTopics makes the broker, and what produces the inputs.
func (w *world) makeTopics() {
	partitions := [topics]int{changelogTopic: w.opt.Partitions, outputTopic: w.opt.Partitions}
	partitions[w.taskTopic()] = w.opt.Partitions
	read := []topic{w.taskTopic()}
	for i, n := range w.opt.Inputs {
		t := inputTopic + topic(i)
		partitions[t], read = n, append(read, t)
	}
	w.b = newBroker(partitions, read)
	for _, t := range w.inputTopics() {
		w.sources = append(w.sources, &source{topic: t, held: make([][]*operators.Event, partitions[t]), open: make([]*txn, partitions[t])})
	}
}

// staged reports whether there is a first stage.
func (w *world) staged() bool { return len(w.opt.Inputs) > 0 }

// taskTopic returns the topic that tasks read.
func (w *world) taskTopic() topic {
	if w.staged() {
		return eventsTopic
	}
	return inputTopic
}

// inputTopics returns the topics that the sources write to.
func (w *world) inputTopics() []topic {
	return []topic{inputTopic, secondInput}[:max(1, len(w.opt.Inputs))]
}

// inputPlaces returns their partitions.
func (w *world) inputPlaces() (list []place) {
	for _, t := range w.inputTopics() {
		for n := range w.b.logs[t] {
			list = append(list, place{t, n})
		}
	}
	return list
}

// pick chooses, if there is something to choose.
func pick[T any](w *world, what string, from []T) T {
	if len(from) == 1 {
		return from[0]
	}
	return from[w.choose(what, len(from))]
}

// errorMax returns by how much a wall clock must be wrong at least to be noticed: it is too far from all that the inputs confirm, or they seem to be silent by it. What a producer claims hides their silence.
func (w *world) errorMax() operators.EventTime {
	if step := operators.EventTime(w.opt.Clock.StepMaxMs); w.claimed {
		return step
	}
	return operators.EventTime(min(w.opt.Clock.StepMaxMs, w.opt.Clock.SilenceMaxMs))
}

// mistaken reports whether a process runs whose clock is noticed by the silence of the inputs alone.
func (w *world) mistaken() bool {
	step := operators.EventTime(w.opt.Clock.StepMaxMs)
	return slices.ContainsFunc(w.nodes, func(n *node) bool { return n.up && n.offAtStart > 0 && n.offAtStart < step })
}

// written returns the partitions of the inputs that are written to.
func (w *world) written() []place {
	return slices.DeleteFunc(w.inputPlaces(), func(at place) bool { return w.source(at.topic).unused })
}

func (w *world) violate(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

// Model implements task.Models.
func (w *world) Model(ref uint32) *operators.Model {
	for _, m := range w.all {
		if m.Ref() == ref {
			return m
		}
	}
	return nil
}

// rarely is true in some percent of cases, never while the world is calm.
func (w *world) rarely(what string, percent int) bool {
	return !w.calm && w.choose(what, 100) >= 100-percent
}

// request makes a request of the broker: it may be refused before anything is done, or done and the answer lost.
func (w *world) request(do func() error) error {
	if w.calm {
		return do()
	}
	switch fate := w.choose("request", 200); {
	case fate == 199:
		w.Stats.Refused++
		return errUnknown
	case fate == 198:
		w.Stats.LostAnswers++
		if err := do(); err != nil {
			return err
		}
		return errUnknown
	}
	return do()
}

// budget is a transaction's.
func (w *world) budget() *task.Budget {
	b := &task.Budget{Outputs: w.opt.OutputsBound / 2, Expired: func() bool { return false }}
	if w.calm {
		return b
	}
	switch w.choose("budget", 6) {
	case 1:
		b.Outputs = 1 + w.choose("outputs", 3)
	case 2:
		left := 1 + w.choose("time", 6)
		b.Expired = func() bool { left--; return left < 0 }
	}
	return b
}

// between is called between two steps of a node's cycle.
func (w *world) between(n *node) {
	if w.calm {
		return
	}
	switch fate := w.choose("between", 100); {
	case fate >= 98:
		panic(crash{})
	case fate == 97 && w.depth < 3:
		// The process stands still while others go on; then it wakes up.
		w.Stats.Zombies++
		for range 1 + w.choose("asleep", 25) {
			w.turn()
		}
		if w.choose("expelled meanwhile", 2) == 1 {
			w.b.group.expel(n.name)
			w.b.timeOut(n.name)
			for range 1 + w.choose("still asleep", 15) {
				w.turn()
			}
		}
	}
}

// turn lets one thing happen.
func (w *world) turn() {
	switch what := w.choose("turn", 43); {
	case what < 18:
		w.runNode(w.choose("node", len(w.nodes)))
	case what < 32:
		w.produce(pick(w, "partition", w.written()))
	case what < 34:
		if d := operators.EventTime(w.choose("time passes", int(2*day))); !w.returning() {
			w.now += d
		}
	case what < 36:
		name := w.nodes[w.choose("expelled", len(w.nodes))].name
		w.b.group.expel(name)
		w.Stats.Expelled++
	case what < 38:
		w.b.timeOut(w.nodes[w.choose("timed out", len(w.nodes))].name)
		w.Stats.TimedOut++
	case what == 38 && !w.opt.Task.EventClock:
		w.models = w.all[:min(len(w.all), len(w.models)+1)]
	case what == 39:
		d := w.nodes[w.choose("disk", len(w.nodes))].disk
		if d.full = !d.full; d.full {
			w.Stats.DiskFull++
		}
	case what == 40 && !w.opt.Task.EventClock, what == 41 && slices.ContainsFunc(w.sources, func(s *source) bool { return s.silent }):
		w.toggle(pick(w, "source", w.sources))
	case what >= 41 && !w.opt.Task.EventClock:
		n := w.nodes[w.choose("clock", len(w.nodes))]
		n.off = []operators.EventTime{0, -2 * day, -12 * hour, -5 * minute, 5 * minute, 12 * hour, 2 * day, 5 * day, 20 * day}[w.choose("set", 9)]
		w.Stats.Steps++
	}
}

// runNode runs a cycle of a node, starting it first if it is down. A node within its cycle stands still until its turn comes back.
func (w *world) runNode(i int) {
	n := w.nodes[i]
	if n.inCycle {
		return
	}
	if !n.up {
		if n.off > -w.errorMax() && n.off < w.errorMax() {
			n.off = 0 // a smaller error is put right when a machine starts
		}
		n.up, n.parts, n.feeds, n.began, n.offAtStart = true, map[int]*part{}, map[place]*feed{}, w.now, n.off
		for _, t := range w.inputTopics() {
			n.inputs = append(n.inputs, &clocked{topic: t, clock: task.NewClock(w.opt.Clock, w.now+n.off)})
		}
	}
	w.depth++
	defer func() { w.depth-- }()
	n.cycle()
}

// event returns what somebody does. With a first stage that is anybody, else who has this partition.
func (w *world) event(at place) *operators.Event {
	of := at.n
	if w.staged() {
		of = w.choose("customer's partition", w.opt.Partitions)
	}
	e := &operators.Event{
		Kind:     operators.OrderCompleted,
		ID:       fmt.Sprint("m", w.events),
		Customer: fmt.Sprintf("p%d-%c", of, 'a'+w.choose("customer", 5)),
		Time:     w.now,
		Name:     []string{"home", "Product Added", "checkout"}[w.choose("name", 3)],
	}
	if w.choose("mostly orders", 3) == 2 {
		e.Kind = operators.EventKind(1 + w.choose("kind", operators.EventKinds))
	}
	switch age := w.choose("age", 20); {
	case age >= 14:
		e.Time -= operators.EventTime(w.choose("behind", int(2*hour)))
	case age == 13:
		e.Time -= operators.EventTime(w.choose("late", int(6*day)))
	case age == 12 && w.opt.Task.EventClock:
		e.Time += operators.EventTime(w.choose("ahead", int(20*day)))
	case age == 11:
		e.Clamped = true // its source said a time in the future: it has the append time
	}
	e.Day = operators.Day(e.Time / day)
	e.DayStart = operators.EventTime(e.Day) * day
	if e.Kind.OfOrder() {
		e.OrderID = fmt.Sprint("o", w.choose("order", 10))
		e.RefundID = fmt.Sprint("r", w.choose("refund", 4))
		e.Amount = operators.Money(w.choose("amount", 20_000) - 100)
		e.Whole = w.choose("whole", 2) == 1
	}
	return e
}

// partitionOf returns the partition of a customer's.
func partitionOf(customer string) int { return int(customer[1] - '0') }

// heal brings everybody back, says that time has come, and waits until nothing is left to do.
func (w *world) heal() {
	w.calm = true
	defer func() { w.calm = false }()
	w.Stats.Heals++
	for _, n := range w.nodes {
		n.disk.full = false
		if !n.up {
			w.b.timeOut(n.name)
			w.b.group.expel(n.name)
		}
	}
	w.settleSources()
	for range 1000 {
		for i := range w.nodes {
			w.runNode(i)
		}
		if w.settled() {
			return
		}
	}
	w.violate("the pipeline does not come to rest: %v", w.nodes)
}

// settled reports whether every partition is owned, at its end, and at rest.
func (w *world) settled() bool {
	reached := w.now
	if !w.opt.Task.EventClock {
		reached -= operators.EventTime(w.opt.Task.LatenessMs)
	}
	for _, at := range w.inputPlaces() {
		if w.staged() && !slices.ContainsFunc(w.nodes, func(n *node) bool { return n.feeds[at] != nil && n.feeds[at].settled(w.b.log(at), reached) }) {
			return false
		}
	}
	for k, log := range w.b.logs[w.taskTopic()] {
		i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.parts[k] != nil && n.parts[k].task != nil })
		if i < 0 {
			return false
		}
		p := w.nodes[i].parts[k]
		meta := p.task.Meta()
		_, counted := p.task.Statistics()
		if len(log.entries) > 0 && meta.Position < log.entries[len(log.entries)-1].offset+1 || p.task.Changed() || p.task.Sweeping() || !counted || p.clock != operators.Unset {
			return false
		}
		if soonest, _ := p.task.Soonest(); meta.Watermark < reached || soonest <= meta.Watermark {
			return false
		}
	}
	return true
}
