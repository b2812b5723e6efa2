package sim

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"lull/operators"
	"lull/operators/statistics"
	"lull/operators/trigger"
	"lull/pipeline/task"
	"lull/state"
)

// check compares what the pipeline has said and kept with an undisturbed run, and holds it to the invariants of docs/guarantees.md.
func (w *world) check() {
	if w.staged() {
		w.checkStage()
	}
	for n := range w.opt.Partitions {
		at := place{w.taskTopic(), n}
		steps := w.b.history[at]
		w.Stats.Transactions += len(steps)
		want := w.undisturbed(n, steps)
		w.checkOutputs(n, want)
		w.checkInputs(n, want, steps)
		w.checkSteps(at, steps)
		fold := w.fold(n, -1)
		w.checkState(n, want, fold)
		w.checkStatistics(n, fold)
		w.checkCaps(n, fold)
		w.checkDisks(n)
		w.checkRestore(n, fold)
	}
}

// told is what a run says and keeps of one partition.
type told struct {
	outputs  []operators.Output // but scores
	scores   map[string]operators.Output
	outcomes map[int64]task.Outcome
	state    map[string]string
}

func (t *told) add(o operators.Output, eventClock bool) {
	if o.Kind == operators.TriggerOutput {
		fired := *o.Trigger
		switch {
		case !eventClock:
			fired.Actionable, fired.Withheld, fired.Capped, fired.Reasons = false, "", false, nil // they hang on when the transaction was
		case fired.Capped || fired.Withheld == trigger.Cap:
			fired.Actionable, fired.Withheld, fired.Capped = false, trigger.Cap, false // whose turn it was hangs on when a sweep came: checkCaps looks
		}
		o.Trigger = &fired
	}
	if o.Kind != operators.ScoreOutput {
		t.outputs = append(t.outputs, o)
		return
	}
	o.ID, o.Revision = operators.ID{}, 0 // how many rows there are depends on where transactions end
	t.scores[o.Customer] = o
}

// undisturbed runs a partition's log through a task to which nothing happens. The clock's advances and the models come at the positions at which the
// pipeline took them in, as only the pipeline can know; under clock: event nothing of it is needed but the log.
func (w *world) undisturbed(n int, steps []note) told {
	t := told{scores: map[string]operators.Output{}, outcomes: map[int64]task.Outcome{}, state: map[string]string{}}
	store, err := state.NewPartition(int32(n), newDisk(), task.IndexEntry, 0)
	if err != nil {
		w.violate("the undisturbed run: %v", err)
		return t
	}
	tk, err := task.Open(w.opt.task(n), w.chain, store, w)
	if err != nil {
		w.violate("the undisturbed run: %v", err)
		return t
	}
	if w.staged() {
		tk.SetUpstreams(w.upstreams())
	}
	all := &task.Budget{Outputs: 1 << 30, Expired: func() bool { return false }}
	timeless := map[int64]bool{}
	for _, s := range steps {
		maps.Copy(timeless, s.timeless)
	}
	position := int64(0)
	commit := func() {
		if err := tk.Finish(); err != nil {
			w.violate("the undisturbed run: %v", err)
		}
		for _, o := range tk.Outputs() {
			t.add(o, w.opt.Task.EventClock)
		}
		position++
		store.Commit(position)
		tk.Committed()
		tk.Begin(w.now)
	}
	records := w.b.logs[w.taskTopic()][n].read(0, 1<<30)
	feed := func(to int64) {
		for len(records) > 0 && records[0].offset < to {
			e := records[0]
			records = records[1:]
			tk.HoldTime(timeless[e.offset])
			outcome, err := applyEntry(tk, &e, all)
			if err != nil {
				w.violate("the undisturbed run, offset %d: %v", e.offset, err)
			}
			t.outcomes[e.offset] = outcome
			commit()
		}
	}
	adopt := func(published []*operators.Model) {
		if err := tk.Adopt(published); err != nil {
			w.violate("the undisturbed run: %v", err)
		}
	}
	tk.Begin(w.now)
	if w.opt.Task.EventClock {
		adopt(w.models)
		feed(1 << 62)
	} else {
		for _, s := range steps {
			adopt(s.adopted)
			if s.clock != operators.Unset {
				if _, err := tk.AdvanceClock(s.clock, all); err != nil {
					w.violate("the undisturbed run: %v", err)
				}
				commit()
			}
			feed(max(s.to, s.heard+1))
		}
	}
	if _, err := tk.FireDue(all); err != nil {
		w.violate("the undisturbed run: %v", err)
	}
	commit()
	for tk.Sweeping() {
		if _, err := tk.Sweep(all); err != nil {
			w.violate("the undisturbed run: %v", err)
		}
		commit()
	}
	_ = store.Scan(nil, nil, func(key, value []byte) bool { t.state[string(key)] = string(value); return true })
	return t
}

// checkOutputs: I1, I5.
func (w *world) checkOutputs(n int, want told) {
	got := told{scores: map[string]operators.Output{}}
	records := w.b.logs[outputTopic][n].read(0, 1<<30)
	ids := map[operators.ID]bool{}
	type firing struct {
		customer, rule string
		at             operators.EventTime
	}
	fired := map[firing]note{}
	for _, e := range records {
		o, ok := e.payload.(operators.Output)
		if !ok {
			continue
		}
		w.Stats.Outputs++
		got.add(o, w.opt.Task.EventClock)
		if o.Kind == operators.ScoreOutput {
			continue
		}
		if ids[o.ID] {
			w.violate("I1: partition %d: the id of %+v was used before", n, o)
		}
		ids[o.ID] = true
		if o.Kind != operators.TriggerOutput || o.Trigger.Withdraws != (operators.ID{}) {
			continue
		}
		f, by := firing{o.Customer, o.Trigger.Rule, o.Trigger.Deadline}, e.txn.notes[place{w.taskTopic(), n}]
		if before, again := fired[f]; again && !w.heard(n, o.Customer, before.from, by.to, func(e *operators.Event) bool { return e.Kind.Fact() }) {
			w.violate("I5: partition %d: the deadline %s of %s fired twice, and no order came or went between", n, f.at, f.customer)
		}
		if f.at > by.watermark && !w.heard(n, o.Customer, 0, by.to, func(e *operators.Event) bool { return e.Time >= f.at }) {
			w.violate("I5: partition %d: the deadline %s of %s fired at watermark %s", n, f.at, f.customer, by.watermark)
		}
		fired[f] = by
	}
	// A sweep comes to customers when it does, under clock: event to those who were heard of before time was known: what is promised is the order of each key.
	slices.SortStableFunc(want.outputs, byCustomer)
	slices.SortStableFunc(got.outputs, byCustomer)
	for i := range max(len(want.outputs), len(got.outputs)) {
		switch {
		case i >= len(got.outputs):
			w.violate("I1: partition %d: output %d is missing: %+v", n, i, want.outputs[i])
		case i >= len(want.outputs):
			w.violate("I1: partition %d: there is an output more: %+v", n, got.outputs[i])
		case !reflect.DeepEqual(want.outputs[i], got.outputs[i]):
			w.violate("I1: partition %d: output %d is\n%+v\nnot\n%+v", n, i, got.outputs[i], want.outputs[i])
		default:
			continue
		}
		break
	}
	for id, row := range want.scores {
		if !reflect.DeepEqual(row, got.scores[id]) {
			w.violate("I1: the score of %s is\n%+v\nnot\n%+v", id, got.scores[id], row)
		}
	}
	if len(got.scores) != len(want.scores) {
		w.violate("I1: partition %d: scores of %d customers, not of %d", n, len(got.scores), len(want.scores))
	}
}

func byCustomer(a, b operators.Output) int { return strings.Compare(a.Customer, b.Customer) }

// heard reports whether an event of the customer's, of which true holds, lies between two offsets.
func (w *world) heard(n int, customer string, from, to int64, of func(*operators.Event) bool) bool {
	return slices.ContainsFunc(w.b.logs[w.taskTopic()][n].entries, func(e entry) bool {
		in, ok := e.payload.(input)
		return ok && in.event != nil && in.event.Customer == customer && e.offset >= from && e.offset < to && of(in.event)
	})
}

// checkInputs: I6. Every input counts in exactly one committed transaction, and is there what it is in the undisturbed run.
func (w *world) checkInputs(n int, want told, steps []note) {
	got := map[int64]task.Outcome{}
	for _, s := range steps {
		for offset, outcome := range s.outcomes {
			if _, twice := got[offset]; twice {
				w.violate("I6: partition %d: offset %d was taken in twice", n, offset)
			}
			got[offset] = outcome
		}
	}
	if !maps.Equal(got, want.outcomes) {
		w.violate("I6: partition %d: the outcomes are %v, not %v", n, got, want.outcomes)
	}
}

// checkSteps: I4, I10, I12, I13. Positions and watermarks only rise. The clock proves nothing while an event waits that was appended before, nor what an
// outage of the source holds back, nor more than the true time.
func (w *world) checkSteps(at place, steps []note) {
	position, watermark := int64(0), operators.Unset
	for _, s := range steps {
		if s.from < position || s.to < s.from || s.watermark < watermark {
			w.violate("I4: %s: from position %d, watermark %s to %d-%d, %s", at, position, watermark, s.from, s.to, s.watermark)
		}
		if s.held != nil && s.watermark > watermark && s.held.Time <= s.watermark {
			w.violate("I12: %s: time went to %s while an outage held back an event of %s of %s", at, s.watermark, s.held.Customer, s.held.Time)
		}
		position, watermark = s.to, s.watermark
		if s.clock == operators.Unset {
			continue
		}
		if late := operators.EventTime(w.opt.Task.LatenessMs); s.clock+late > s.at {
			w.violate("I13: %s: the clock went to %s when it was %s", at, s.clock, s.at)
		}
		for _, e := range w.b.log(at).entries {
			if in, ok := e.payload.(input); ok && e.offset >= s.from && in.at+0 < s.clock+operators.EventTime(w.opt.Task.LatenessMs) && (e.txn == nil || e.txn.state == committed) {
				w.violate("I10: %s: the clock went to %s at position %d while offset %d waited, appended at %s", at, s.clock, s.from, e.offset, in.at)
				break
			}
		}
	}
}

// fold returns what the committed changelog up to an offset makes of the state; -1: all of it.
func (w *world) fold(n int, to int64) map[string]string {
	fold := map[string]string{}
	for _, e := range w.b.logs[changelogTopic][n].read(0, 1<<30) {
		switch {
		case to >= 0 && e.offset >= to:
			return fold
		case e.marker:
		case e.value == nil:
			delete(fold, e.key)
		default:
			fold[e.key] = string(e.value)
		}
	}
	return fold
}

// checkState: I2, I9. The owner's state is the changelog's, and that of the undisturbed run. No timer stands after its customer's earliest deadline.
func (w *world) checkState(n int, want told, fold map[string]string) {
	for _, nd := range w.nodes {
		if p := nd.parts[n]; p != nil && p.task != nil {
			if d := difference(fold, scan(p.store)); d != "" {
				w.violate("I2: partition %d of %s is not its changelog: %s", n, nd.name, d)
			}
		}
	}
	if d := difference(w.settledState(w.ofTask(want.state)), w.settledState(w.ofTask(fold))); d != "" {
		w.violate("I2: partition %d: the state is not that of the undisturbed run: %s", n, d)
	}
}

// checkStatistics: I16. What the owner has counted is what is there to count, however it came to it; and nothing was left uncounted.
func (w *world) checkStatistics(n int, fold map[string]string) {
	all := statistics.NewTable(len(fold))
	for key, value := range fold {
		id, ok := task.CustomerOf([]byte(key))
		if !ok {
			continue
		}
		c := operators.NewCustomer(string(id))
		if err := c.DecodeState([]byte(value)); err != nil {
			w.violate("I16: %v", err)
			continue
		}
		all.Change(c.ID, &operators.Purchases{}, &c.Purchases, c.Days.Newest)
	}
	for _, nd := range w.nodes {
		if p := nd.parts[n]; p != nil && p.task != nil {
			table, counted := p.task.Statistics()
			if d := statistics.Difference(all, table); !counted || d != "" {
				w.violate("I16: partition %d of %s has counted (all: %v) what is not: %s", n, nd.name, counted, d)
			}
			w.Stats.Counted += int(table.Customers())
		}
	}
}

// checkCaps: I24. Of a rule with a cap no more triggers of a day are to be acted on than are the partition's, and none is over the cap before; and the meta record has counted them.
func (w *world) checkCaps(n int, fold map[string]string) {
	called := map[operators.DayCalls]uint32{}
	for _, e := range w.b.logs[outputTopic][n].read(0, 1<<30) {
		o, ok := e.payload.(operators.Output)
		if !ok || o.Kind != operators.TriggerOutput {
			continue
		}
		r := w.opt.Chain.Trigger.Rules.Rule(o.Trigger.Rule)
		of := operators.DayCalls{Day: w.opt.Task.Day(o.Trigger.Deadline), Rule: operators.RuleKey(r.Name)}
		share := uint32(r.Share(n, w.opt.Partitions, of.Day))
		switch {
		case o.Trigger.Actionable:
			w.Stats.Called++
			if called[of]++; r.CapPerDay > 0 && called[of] > share {
				w.violate("I24: partition %d: call %d of %s on day %d, where %d are its own", n, called[of], r.Name, of.Day, share)
			}
		case o.Trigger.Withheld == trigger.Cap:
			w.Stats.Capped++
			if called[of] < share {
				w.violate("I24: partition %d: a trigger of %s is over the cap after %d calls of %d on day %d", n, r.Name, called[of], share, of.Day)
			}
		}
	}
	meta, err := task.DecodeMeta([]byte(fold[string(task.MetaKey)]))
	if err != nil {
		w.violate("I24: %v", err)
	}
	for _, c := range meta.Calls {
		if told := called[operators.DayCalls{Day: c.Day, Rule: c.Rule}]; told != c.Calls {
			w.violate("I24: partition %d has counted %+v, where %d were told", n, c, told)
		}
	}
}

// ofTask returns the state without what the process's clock has written into the meta record.
func (w *world) ofTask(fold map[string]string) map[string]string {
	fold = maps.Clone(fold)
	key := string(task.MetaKey)
	meta, err := task.DecodeMeta([]byte(fold[key]))
	if err != nil {
		w.violate("I2: %v", err)
	}
	meta.Gaps, meta.InputAlive, meta.Calls = nil, operators.Unset, nil // checkCaps looks at the calls
	fold[key] = string(meta.Append(nil))
	return fold
}

// settledState returns a state without what hangs on when a sweep has come to customers: where a timer stands, if that is
// where it may; and message ids that are out of the window, which go with the next step.
func (w *world) settledState(state map[string]string) map[string]string {
	meta, err := task.DecodeMeta([]byte(state[string(task.MetaKey)]))
	if err != nil {
		w.violate("I2: %v", err)
	}
	oldest := meta.Watermark - operators.EventTime(w.opt.Chain.Dedup.WindowMs)
	settled := maps.Clone(state)
	for key, value := range state {
		id, ok := task.CustomerOf([]byte(key))
		if !ok {
			continue
		}
		c := operators.NewCustomer(string(id))
		if err := c.DecodeState([]byte(value)); err != nil {
			w.violate("I2: %v", err)
			continue
		}
		if next, _ := w.chain.Deadlines(c); c.Armed > next {
			w.violate("I9: the timer of %s stands at %s, their deadline is %s", id, c.Armed, next)
		}
		c.Armed = operators.Never
		c.Messages = slices.DeleteFunc(c.Messages, func(m operators.Message) bool { return m.Time < oldest })
		settled[key] = string(c.AppendState(nil))
	}
	return settled
}

// checkDisks: I3. What is on any disk is the committed changelog up to its position, and nothing else.
func (w *world) checkDisks(n int) {
	for _, nd := range w.nodes {
		p, err := state.NewPartition(int32(n), nd.disk.clone(), task.IndexEntry, 0)
		if err != nil {
			w.violate("I3: the disk of %s: %v", nd.name, err)
			continue
		}
		position, _ := p.Position()
		if d := difference(w.fold(n, max(position, 0)), scan(p)); d != "" {
			w.violate("I3: partition %d on the disk of %s at changelog offset %d: %s", n, nd.name, position, d)
		}
	}
}

// checkRestore: I8, I9. A restore from nothing, and one from what is on each disk, is the state, and its index has every timer.
func (w *world) checkRestore(n int, fold map[string]string) {
	stores := w.owners(n)
	for from, d := range append([]*disk{newDisk()}, w.disks()...) {
		p, err := state.NewPartition(int32(n), d.clone(), task.IndexEntry, int64(w.opt.DirtyBytes))
		if err != nil {
			w.violate("I8: %v", err)
			return
		}
		_, position := p.Position()
		end := max(position, 0)
		for _, e := range w.b.logs[changelogTopic][n].read(end, 1<<30) {
			end = e.offset + 1
			if !e.marker {
				if err := p.Restore([]byte(e.key), e.value, end); err != nil {
					w.violate("I8: %v", err)
				}
			}
		}
		if err := p.EndRestore(end); err != nil {
			w.violate("I8: %v", err)
		}
		(&part{store: p}).awaitFlush()
		if d := difference(fold, scan(p)); d != "" {
			w.violate("I8: partition %d restored from offset %d (disk %d): %s", n, position, from, d)
		}
		stores = append(stores, p)
	}
	for _, store := range stores {
		var entries [][]byte
		_ = store.ScanIndex(nil, nil, func(entry []byte) bool { entries = append(entries, bytes.Clone(entry)); return true })
		for key, value := range fold {
			if entry, ok := task.IndexEntry(nil, []byte(key), []byte(value)); ok && !slices.ContainsFunc(entries, func(e []byte) bool { return bytes.Equal(e, entry) }) {
				w.violate("I9: partition %d: the timer of %q is not in the index", n, key)
			}
		}
	}
}

func (w *world) disks() (list []*disk) {
	for _, nd := range w.nodes {
		list = append(list, nd.disk)
	}
	return list
}

func (w *world) owners(n int) []*state.Partition {
	var stores []*state.Partition
	for _, nd := range w.nodes {
		if p := nd.parts[n]; p != nil && p.task != nil {
			stores = append(stores, p.store)
		}
	}
	return stores
}

func scan(p *state.Partition) map[string]string {
	all := map[string]string{}
	_ = p.Scan(nil, nil, func(key, value []byte) bool { all[string(key)] = string(value); return true })
	return all
}

// difference returns the first difference between two states, "" if there is none.
func difference(want, got map[string]string) string {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if other, ok := got[key]; !ok || other != want[key] {
			return fmt.Sprintf("%q is %x, not %x", key, other, want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			return fmt.Sprintf("%q is %x, not there", key, got[key])
		}
	}
	return ""
}
