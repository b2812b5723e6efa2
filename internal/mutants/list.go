package main

var (
	sim      = check{"pipeline/sim", "TestSim"}
	outcomes = check{"pipeline", "TestOutcomes"}
	model    = check{"state", "TestModel"}
	// schedules is the metamorphic test: where transactions end, fail and crash makes no difference.
	schedules = check{"pipeline/task", "TestSchedules"}
)

// mutants are the planted bugs. Where the simulator's process follows the same rule as the runtime's, the bug is in the simulator: it shows that the rule
// is needed and that breaking it is seen.
var mutants = []mutant{
	{
		"apply before commit", "pipeline/runner.go",
		"	r.unlocked(func() { ends, err = r.producer.commit(", "	for n := range positions {\n		_, at := r.partitions[n].store.Position()\n		r.partitions[n].store.Commit(max(at, 0))\n	}\n	r.unlocked(func() { ends, err = r.producer.commit(",
		outcomes,
	},
	{
		"skip the position guard", "pipeline/task/task.go",
		"func (t *Task) Apply(offset int64, event *operators.Event, b *Budget) (Outcome, error) {\n	if offset < t.meta.Position {", "func (t *Task) Apply(offset int64, event *operators.Event, b *Budget) (Outcome, error) {\n	if offset < 0 {",
		schedules,
	},
	{
		"believe a gap that the client made", "pipeline/sim/node.go",
		"first > p.fetched && p.gap != first", "first > p.fetched && p.gap < 0",
		sim,
	},
	{"forget the watermark", "pipeline/task/meta.go", "uint64(m.Watermark))", "uint64(m.Watermark)*0)", sim},
	{"forget that a record was begun", "pipeline/task/meta.go", "uint64(m.Observed))", "uint64(1<<63))", sim},
	{
		"read the changelog to the read-committed end", "pipeline/sim/node.go",
		"p.end = log.next; return nil", "p.end = log.lso(); return nil",
		sim,
	},
	{
		"ask for the changelog's end before the committed offset", "pipeline/sim/node.go",
		"		if n.w.b.pending(p.n) || n.w.request(func() error { p.group = n.w.b.offset(p.n); return nil }) != nil {\n			return\n		}\n		n.at()\n		if n.w.request(func() error { p.end = log.next; return nil }) != nil {\n			return\n		}\n",
		"		if n.w.request(func() error { p.end = log.next; return nil }) != nil {\n			return\n		}\n		end := p.end\n		p.end = -1\n		n.at()\n		if n.w.request(func() error { p.group = n.w.b.offset(p.n); return nil }) != nil {\n			return\n		}\n		p.end, p.mismatches = end, 2\n",
		sim,
	},
	{"commit the offset + 1", "pipeline/sim/node.go", "offsets[p.n], notes[p.n] = p.task.Meta().Position,", "offsets[p.n], notes[p.n] = p.task.Meta().Position+1,", sim},
	{
		"commit the offset + 1, in the runtime", "pipeline/partition.go",
		"Offset: p.task.Meta().Position}", "Offset: p.task.Meta().Position + 1}",
		check{"pipeline", "TestOffsetMismatch"},
	},
	{"lose the deadlines of what is flushed", "state/flush.go", "entries := index.entries([]*layer{f.layer}, f.deadBelow, nil)", "entries := Index(nil).entries([]*layer{f.layer}, f.deadBelow, nil)", sim},
	{"ignore data loss", "pipeline/runner.go", "func (r *Runner) lostData(p *partition, start int64) {\n	if r.s.OnDataLoss == \"continue\" {", "func (r *Runner) lostData(p *partition, start int64) {\n	if true {", check{"pipeline", "TestDataLoss"}},
	{"ignore that the log was cut off", "pipeline/runner.go", "		r.cuts[loss.Partition] = kgo.EpochOffset{Epoch: loss.ResetToEpoch, Offset: loss.ResetTo} // the client says it once", "		break", check{"pipeline", "TestLogCut"}},
	{"keep the writes of an aborted transaction", "state/partition.go", "	clear(p.overlay)\n", "", sim},
	{"keep the decoded customers of an aborted transaction", "pipeline/task/task.go", "	t.timers.reset()\n	t.customers.clear()\n", "	t.timers.reset()\n", schedules},
	{"keep the timers of an aborted transaction", "pipeline/task/task.go", "	t.timers.reset()\n	t.customers.clear()\n", "	t.customers.clear()\n", schedules},
	{"let a zombie commit: no member and no generation", "pipeline/sim/broker.go", "	if !slices.Contains(b.group.members, member) || generation != b.group.generation {", "	if generation < 0 {", sim},
	{
		"take an unknown outcome for a commit", "pipeline/sim/node.go",
		"	if n.w.request(func() error { return n.w.b.endTxn(n.name, n.epoch) }) != nil {\n		n.recover()\n		return\n	}\n", "	_ = n.w.request(func() error { return n.w.b.endTxn(n.name, n.epoch) })\n",
		sim,
	},
	{
		"take an unknown outcome for an abort: do not read the changelog again", "pipeline/sim/node.go",
		"		p.task, p.queue, p.gap, p.clock, p.end = nil, nil, 0, operators.Unset, -1\n", "		p.queue, p.gap, p.clock, p.fetched = nil, 0, operators.Unset, p.task.Meta().Position\n",
		sim,
	},
	{"go on after a failure without a new epoch", "pipeline/sim/node.go", "	n.w.Stats.Recoveries++\n	n.takeEpoch()\n", "	n.w.Stats.Recoveries++\n", sim},
	{
		"go on after a failure without a new epoch, in the runtime", "pipeline/runner.go",
		"	r.producer.close()\n	if err := r.takeEpoch(); err != nil {\n		return nil // told to stop meanwhile\n	}\n", "",
		outcomes,
	},
	{"forget the timers beyond the horizon", "pipeline/task/timers.go", "	ts.pending = append(ts.pending, t)\n", "", sim},
	{"arm a timer below the watermark", "pipeline/task/task.go", "	next = max(next, floor)\n", "", schedules},
	{"let a model come into force in the midst of a record", "pipeline/task/models.go", "	if t.meta.Observed == t.meta.Position {\n		return nil\n	}\n	for _, a", "	for _, a", sim},
	{"ask for the end before the wall clock", "pipeline/sim/node.go", "&& p.task.Meta().Position >= end {\n			p.clock = reached", "&& p.task.Meta().Position >= end {\n			n.at()\n			p.clock = n.w.now - operators.EventTime(n.w.opt.Task.LatenessMs) + 0*reached", sim},
	{"advance the clock without an answer", "pipeline/sim/node.go", "end = n.w.b.logs[inputTopic][p.n].next; return nil }) == nil && p", "end = n.w.b.logs[inputTopic][p.n].next; return nil }) != nil || p", sim},
	{"advance the clock before the end is reached", "pipeline/sim/node.go", "p.task.Meta().Position >= end {", "p.task.Meta().Position >= end-1 {", sim},
	{"restore no deletions", "state/restore.go", "	r.run.put(key, value)\n", "	if value != nil {\n		r.run.put(key, value)\n	}\n", model},
	{"flush under a position too high", "state/partition.go", "	p.committed.position = position\n	p.Abort()", "	p.committed.position = position + 1\n	p.Abort()", model},
	{"lose what a failed flush held", "state/flush.go", "		if _, newer := p.dirty.records[k]; !newer {", "		if _, newer := p.dirty.records[k]; newer {", check{"state", "TestFlushFails"}},
	{"keep an aborted bound of dead deadlines", "state/partition.go", "	clear(p.overlay)\n	p.overlayDrop = nil\n", "	clear(p.overlay)\n", check{"state", "TestDropIndexBelow"}},
	{"take a topic of the same name for the one that was", "pipeline/restore.go", "	case meta.InputID != r.ids.input:", "	case false:", check{"pipeline", "TestRecreated"}},
	{"begin at offset 0 where the log does not", "pipeline/restore.go", "r.s.fingerprint(r.ids.partitions), p.inputStart\n", "r.s.fingerprint(r.ids.partitions), 0\n", check{"pipeline", "TestFirstStart"}},
	{"wait for ever when another process has the name", "pipeline/runner.go", "	defer func() {\n		stopFollowing()\n		<-stopped", "	defer func() {\n		<-stopped", check{"pipeline", "TestSameInstance"}},
	{"mix a state with another changelog", "pipeline/restore.go", "	if err := r.checkOwnChangelog(p); err != nil {", "	if err := r.checkOwnChangelog(p); err == r.ctx.Err() && err != nil {", check{"pipeline", "TestForeignChangelog"}},
	{"let one partition's deadlines keep the others waiting", "pipeline/runner.go", "		if p.busyFor++; p.busyFor == parkedAfter {", "		if p.busyFor < 0 {", check{"pipeline", "TestLongRelease"}},
	{"leave a state on the disk that nobody released", "pipeline/runner.go", "			if known, ok := r.idle[info.Partition]; ok {", "			if known, ok := r.idle[info.Partition]; ok && false {", check{"pipeline", "TestIdleState"}},
	{"send batches that the topic refuses", "pipeline/producer.go", "kgo.ProducerBatchMaxBytesFn(s.batchBytes)", "kgo.ProducerBatchMaxBytes(int32(s.deadLetterBytes()+batchOverhead))", check{"pipeline", "TestBatchesFit"}},
	{"hold the lock while brokers are waited for", "pipeline/runner.go", "	r.mu.Unlock()\n	defer r.mu.Lock()\n	wait()\n", "	wait()\n", check{"pipeline", "TestAnswersWhileCommitting"}},
}
