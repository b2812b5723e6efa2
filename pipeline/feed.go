package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/security"
	"lull/pipeline/task"
	"lull/schemas"
)

// feed is the first stage of one partition of an input topic that is assigned to this process: it decodes its records, and passes each event on to its customer's
// partition of the topic events, in the transactions of the process. What it must remember is little, and is the metadata of its committed offset: the two
// cannot part, and there is nothing to restore (docs/adr/0021-first-stage.md).
//
//	assigned ─> restoring (the committed offset is asked for) ─> running ─> (revoked, lost)
//	              ^        └─> stopped: an operator must decide     │
//	              └─────────── a transaction that did not commit ───┘
type feed struct {
	reader
	id        uint64
	feed      *task.Feed
	placement placement
	asking    *asking

	latest   operators.EventTime   // the latest event that it has passed; Unset: none
	limit    operators.EventTime   // events after this instant have to wait for other feeds
	head     operators.EventTime   // of the event that it is held at
	took     bool                  // the last round got further
	movedAt  time.Time             // when one last did, or the feed began
	told     []operators.EventTime // the watermark that each partition of the topic events has been told; Unset: none
	markedAt time.Time             // when all were last told
	marking  bool                  // the transaction under way tells those that have not been
	passed   int                   // events passed on in the transaction under way
	wrote    bool                  // a record is in it
}

// asking is the question for what a feed goes on from. Its result comes through done.
type asking struct {
	cancel context.CancelFunc
	done   chan struct{}

	at         kgo.EpochOffset
	metadata   string
	start, end int64  // of what is committed in the log
	newest     newest // known for a feed without an offset, under clock: wall
	err        error
}

// markInterval is how often a feed tells all partitions its watermark, if it has events all the time.
const markInterval = time.Second

// upstreams returns the feeds that the tasks read.
func (r *Runner) upstreams() (ids []uint64) {
	for _, in := range r.inputs {
		for n := range in.partitions {
			ids = append(ids, task.FeedID(in.id, n))
		}
	}
	return ids
}

// subjects returns those of the registry under which the inputs' schemas are.
func (r *Runner) subjects() (subjects []string) {
	for _, in := range r.inputs {
		if in.Format == schemas.RegistryAvro {
			subjects = append(subjects, in.Topic+"-value")
		}
	}
	return subjects
}

// takeFeed takes in a partition of an input topic that the group has given. mu is held.
func (r *Runner) takeFeed(tp topicPartition, committed kgo.EpochOffset) error {
	r.dropFeed(tp, "assigned anew")
	of, err := r.newReader(tp, committed)
	if err != nil {
		return err
	}
	if of.from == nil {
		//lull:unread no group gives what was not subscribed to
		return fmt.Errorf("the group has given a partition of topic %q, which is no input", tp.topic)
	}
	f := &feed{reader: of, id: task.FeedID(of.from.id, tp.n), placement: newPlacement(r.ids.partitions)}
	r.feeds[tp] = f
	r.feedIDs[f.id] = true
	delete(r.heard, f.id)
	r.resume(f)
	r.log.Info().Str("topic", tp.topic).Int32("partition", tp.n).Int64("offset", committed.Offset).Msg("partition assigned")
	return nil
}

// dropFeed gives a feed up, if there is one. mu is held.
func (r *Runner) dropFeed(tp topicPartition, why string) {
	f := r.feeds[tp]
	if f == nil {
		return
	}
	delete(r.feeds, tp)
	delete(r.feedIDs, f.id)
	f.stopAsking()
	r.log.Info().Str("topic", tp.topic).Int32("partition", tp.n).Msg("partition " + why)
}

func (f *feed) stopAsking() {
	if f.asking != nil {
		f.asking.cancel()
		<-f.asking.done
		f.asking = nil
	}
}

// resume lets a feed go on from what is committed, which it asks for beside the main loop.
func (r *Runner) resume(f *feed) {
	f.forget()
	f.phase, f.feed, f.stage, f.marking, f.passed, f.wrote = restoring, nil, nil, false, 0, false
	f.told = slices.Repeat([]operators.EventTime{operators.Unset}, int(r.ids.partitions))
	f.held, f.limit, f.latest, f.movedAt = false, operators.Never, operators.Unset, time.Now()
	ctx, cancel := context.WithCancel(r.ctx)
	a := &asking{cancel: cancel, done: make(chan struct{}), newest: r.newest}
	f.asking = a
	tp := f.topicPartition
	go func() {
		defer close(a.done)
		defer cancel()
		for {
			if a.at, a.metadata, a.err = CommittedOffset(ctx, r.client, r.s.Group, tp.topic, tp.n); a.err == nil {
				a.start, a.end, a.err = r.askSpan(ctx, tp)
			}
			if a.err == nil && a.at.Offset < 0 && r.s.Clock.Mode == "wall" && !a.newest.known {
				a.newest, a.err = r.askNewest(ctx)
			}
			if ctx.Err() != nil {
				a.err = ctx.Err() // whatever else was in the way, it is not wanted any more
			}
			if a.err == nil || ctx.Err() != nil {
				return
			}
			wait := time.Second
			if errors.Is(a.err, kerr.UnstableOffsetCommit) {
				wait = 100 * time.Millisecond // a transaction is about to end
			} else {
				r.log.Warn().Err(security.Explain(a.err)).Str("topic", tp.topic).Int32("partition", tp.n).Msg("asking for the committed offset; trying again")
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
	}()
}

// resumeFeeds lets all feeds go on from what is committed. mu is held.
func (r *Runner) resumeFeeds() {
	clear(r.relayed)
	r.relayed, r.spoilt = r.relayed[:0], false
	for _, f := range r.activeFeeds() {
		r.consumer.PauseFetchPartitions(f.only())
		r.resume(f)
	}
}

// noteFeeds notes which feeds there can be.
func (r *Runner) noteFeeds() {
	r.known = make(map[uint64]bool)
	for _, id := range r.upstreams() {
		r.known[id] = true
	}
}

// meetStrangers asks for the inputs again if a record has come of a feed that is not known, at most once in a while: one that an input which is no more has left behind stays unknown.
func (r *Runner) meetStrangers(now time.Time) {
	if now.Sub(r.metAt) < strangersEvery || !r.strangers.Swap(false) {
		return
	}
	r.metAt = now
	if err := r.askInputs(); err != nil {
		r.log.Warn().Err(err).Msg("a record has come of a partition that is not known")
		r.strangers.Store(true)
	}
}

const strangersEvery = 5 * time.Second

// askInputs asks again for the ids of the inputs and their partitions: an input may have been given more since the process started, and a task from another process may know them.
func (r *Runner) askInputs() error {
	ctx, cancel := context.WithTimeout(r.ctx, r.s.Commit.Timeout)
	defer cancel()
	var topics kadm.TopicDetails
	var err error
	r.unlocked(func() { topics, err = r.adm.ListTopics(ctx, r.inputNames()...) })
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the input topics: %w", err)
	}
	for _, in := range r.inputs {
		in.id, in.partitions = [16]byte(topics[in.Topic].ID), int32(len(topics[in.Topic].Partitions))
	}
	r.noteFeeds()
	return nil
}

// inputNames returns the names of the inputs.
func (r *Runner) inputNames() (names []string) {
	for _, in := range r.inputs {
		names = append(names, in.Topic)
	}
	return names
}

// askSpan asks for the first offset of a partition, and for the end of what is committed in it.
func (r *Runner) askSpan(ctx context.Context, tp topicPartition) (start, end int64, err error) {
	starts, err := r.adm.ListStartOffsets(ctx, tp.topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("asking for the start of topic %q: %w", tp.topic, err)
	}
	ends, err := r.adm.ListCommittedOffsets(ctx, tp.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("asking for the end of topic %q: %w", tp.topic, err)
	}
	first, begins := starts.Lookup(tp.topic, tp.n)
	last, ended := ends.Lookup(tp.topic, tp.n)
	if !begins || !ended {
		//lull:unread no broker leaves out what it was asked for
		return 0, 0, fmt.Errorf("asking for the span of topic %q: the answer lacks partition %d", tp.topic, tp.n)
	}
	return first.Offset, last.Offset, nil
}

// newest is the append time of the newest record of all inputs, Unset if there is none; not known before it has been asked for.
type newest struct {
	at    operators.EventTime
	known bool
}

// askNewest asks for the newest record of all inputs.
func (r *Runner) askNewest(ctx context.Context) (newest, error) {
	offsets, err := r.adm.ListMaxTimestampOffsets(ctx, r.inputNames()...)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		return newest{}, fmt.Errorf("asking for the newest records of the inputs: %w", err)
	}
	is := newest{operators.Unset, true}
	now := operators.EventTime(time.Now().Add(time.Minute).UnixMilli())
	offsets.Each(func(o kadm.ListedOffset) {
		if at := operators.EventTime(o.Timestamp); at > 0 && at <= now { // what a producer has dated ahead proves nothing
			is.at = max(is.at, at)
		}
	})
	return is, nil
}

// takeFeeds lets the feeds run whose question has been answered. mu is held.
func (r *Runner) takeFeeds() error {
	for _, f := range r.feeds {
		if f.phase != restoring {
			continue
		}
		select {
		default:
			continue
		case <-f.asking.done:
		}
		a := f.asking
		f.asking = nil
		if a.err != nil {
			return a.err
		}
		f.group, f.start, f.end = a.at, a.start, max(f.end, a.end)
		meta, anew, refusal := r.feedMeta(f, a.metadata)
		switch {
		case refusal != "":
			r.stop(&f.reader, refusal)
			continue
		case r.s.Clock.Mode != "wall":
			meta.History = task.NoHistory
		case meta.History != task.NoHistory:
			meta.History.End = min(meta.History.End, a.end) // a leader that knew less may have been elected
		}
		f.feed = task.NewFeed(r.s.task(f.n, r.ids.partitions), meta)
		f.stage, f.epoch, f.movedAt = f.feed, -1, time.Now()
		if f.group.Offset == meta.Position {
			f.epoch = f.group.Epoch
		}
		if anew && r.s.Clock.Mode == "wall" {
			f.feed.BeginHistory(r.history(a))
		}
		f.from.clock.Learn(&meta.Time)
		r.begin(&f.reader)
	}
	return nil
}

// historyMargin is how long before the newest record of any input the time ends, at the latest, that a feed which has read its history has no part in: of the time after that, silence may be the fault of an input that is broken.
const historyMargin = 24 * time.Hour

// history returns what a feed that begins anew has to read of before the process began.
func (r *Runner) history(a *asking) task.History {
	if !a.newest.known || a.newest.at == operators.Unset {
		return task.NoHistory // what comes may be loaded one topic after the other
	}
	return task.History{End: a.end, Until: a.newest.at - operators.EventTime(max(historyMargin, r.s.Triggers.MaxAge, r.s.Clock.Lateness).Milliseconds())}
}

// feedMeta returns what a feed goes on from, and whether that is the start of the log, of which nothing has been read; or why it must not go on.
func (r *Runner) feedMeta(f *feed, metadata string) (meta task.FeedMeta, anew bool, refusal string) {
	if f.group.Offset < 0 {
		if f.start > 0 {
			r.log.Warn().Str("topic", f.topic).Int32("partition", f.n).Int64("start", f.start).Msg("the group has no committed offset: beginning where the log does; what was deleted before, read or not, does not come again")
		}
		return task.NewFeedMeta(f.start, f.from.id), true, ""
	}
	meta, err := task.DecodeFeedMeta(metadata)
	follow := r.s.OnOffsetMismatch
	switch {
	case err == nil && meta.InputID != f.from.id:
		if follow == "rebuild" {
			return task.NewFeedMeta(f.start, f.from.id), true, ""
		}
		return meta, false, fmt.Sprintf("partition %d of topic %q: the events up to offset %d were passed on from a topic of id %x, which is now %x: it was re-created. "+
			"--on-offset-mismatch=rebuild reads the new topic from its start, beside what the old one has told", f.n, f.topic, f.group.Offset, meta.InputID, f.from.id)
	case err == nil && meta.Position == f.group.Offset:
		return meta, false, ""
	case follow == "group":
		r.log.Warn().Str("topic", f.topic).Int32("partition", f.n).Int64("group", f.group.Offset).Msg("following the group's offset, as told")
		return task.NewFeedMeta(f.group.Offset, f.from.id), false, ""
	case follow == "rebuild":
		return task.NewFeedMeta(f.start, f.from.id), true, ""
	}
	return meta, false, fmt.Sprintf("partition %d of topic %q: the offset %d of group %q was not committed by lull: somebody reset the group, or it is another application's. "+
		"--on-offset-mismatch=group goes on at %d, =rebuild at the log's start: what has been passed on before is passed over, what lies between and has not been is lost with =group",
		f.n, f.topic, f.group.Offset, r.s.Group, f.group.Offset)
}

// activeFeeds returns the feeds that run, in no order.
func (r *Runner) activeFeeds() (list []*feed) {
	for _, f := range r.feeds {
		if f.phase == running {
			list = append(list, f)
		}
	}
	return list
}

// apply takes what is queued, and decides whether all partitions are to be told the time. It runs in a goroutine of its own.
func (f *feed) apply(r *Runner, now operators.EventTime, expired func() bool) (done bool, err error) {
	f.awaits, f.held = "", false
	if cut := f.feed.TellCut(); cut >= 0 {
		relay := f.relay()
		relay.Cut = cut
		for n := range r.ids.partitions {
			if err := f.mark(r, n, &relay); err != nil {
				return false, err
			}
		}
	}
	if f.clock != operators.Unset {
		f.feed.AdvanceClock(f.clock)
		f.clock = operators.Unset
	}
	done = true
	i := 0
	for ; i < len(f.queue); i++ {
		if i%64 == 63 && (expired() || f.passed >= r.s.Commit.Outputs) {
			done = false
			break
		}
		if done, err = f.take(r, f.queue[i], now); err != nil || !done {
			break
		}
		f.applied(f.queue[i])
		f.appliedAt = f.queue[i].Timestamp
	}
	if f.took = i > 0; f.took {
		f.movedAt = time.Now()
	}
	if err == nil && f.feed.EndHistory() {
		err = f.tell(r, aheadMax)
	}
	f.stats.taken += i
	idle := i == 0 && f.passed == 0 && (len(f.queue) == 0 || f.held)
	f.queue = f.queue[i:]
	if idle || time.Since(f.markedAt) >= markInterval {
		f.marking = f.marking || slices.Min(f.told) < f.feed.Meta().Watermark
	}
	return done, err
}

// Changed reports whether the transaction has something of the feed: a position, or the time.
func (f *feed) Changed() bool { return f.feed.Changed() || f.marking }

// take takes one record; finished is false if its turn comes in the next transaction.
func (f *feed) take(r *Runner, record *kgo.Record, now operators.EventTime) (finished bool, err error) {
	if record.Attrs.IsControl() {
		f.feed.Skip(record.Offset)
		return true, nil
	}
	if record.Offset < f.feed.Position() {
		f.stats.repeated++
		return true, nil
	}
	f.setSource(r, record, now)
	mark, isMark := operators.Unset, false
	refusal := f.decode(func() (refusal *operators.Rejection) {
		if mark, isMark, refusal = f.decoder.TimeMark(&f.source); isMark || refusal != nil {
			f.event.Customer = ""
			return refusal
		}
		return f.decoder.DecodeKeyless(&f.source, &f.event)
	})
	switch {
	case refusal != nil:
		letter, awaited := f.refused(refusal)
		if awaited {
			return false, nil
		}
		f.feed.Skip(record.Offset)
		if letter != nil {
			f.passRefused(r, record, letter.Reason)
			err = f.deadLetter(r, "", *letter)
		}
		return true, err
	case isMark:
		f.feed.Mark(record.Offset, mark)
		return true, nil
	}
	if f.event.Time > f.limit && f.tellsTime(r) {
		f.held, f.head = true, f.event.Time
		if f.feed.InHistory() && !f.holdsTime(r, now) { // the others wait for its time as little as for its events
			f.feed.AdvanceClock(f.head - operators.EventTime(r.s.Clock.Lateness.Milliseconds()))
			return false, f.tell(r, aheadMax)
		}
		return false, nil
	}
	f.feed.HoldTime(f.holdsTime(r, now))
	if f.tellsTime(r) {
		f.latest = max(f.latest, f.event.Time)
	}
	f.feed.Take(record.Offset, &f.event)
	if err := f.pass(r, record); err != nil {
		return false, err
	}
	return true, f.tell(r, aheadMax)
}

// tellsTime reports whether the event at hand says how far its partition has come: neither one dated ahead does, nor one so far ahead that nobody believes it.
func (f *feed) tellsTime(r *Runner) bool {
	if f.event.Clamped || f.event.Doubted {
		return false
	}
	jump := operators.EventTime(r.s.Clock.MaxJump.Milliseconds())
	return r.s.Clock.Mode == "wall" || f.latest == operators.Unset || f.event.Time <= f.latest+jump
}

// pass passes the event at hand on.
func (f *feed) pass(r *Runner, record *kgo.Record) error {
	relay := f.relay()
	relay.Source, relay.AppendTime = schemas.Position{Topic: f.topic, Partition: f.n, Offset: record.Offset}, f.source.AppendTime
	var rec schemas.Record
	if err := schemas.EncodeRelay(&f.event, &relay, r.s.Money.Currency, &rec); err != nil {
		return fmt.Errorf("passing on offset %d: %w", record.Offset, err)
	}
	out := f.kafkaRecord(r.s, &rec)
	r.passTrace(record, out)
	out.Partition = f.placement.of(out.Key)
	f.told[out.Partition] = relay.Watermark
	f.records = append(f.records, out)
	f.passed++
	f.stats.passedOn++
	return nil
}

// passRefused tells a task, which counts the sources' records, of the record at hand, which was refused: that of whose record it was, if that is known.
func (f *feed) passRefused(r *Runner, record *kgo.Record, reason string) {
	fault, ok := schemas.FaultOf(reason)
	if !ok {
		return
	}
	f.stats.count(f.topic, fault)
	relay := f.relay()
	relay.Source, relay.Refused = schemas.Position{Topic: f.topic, Partition: f.n, Offset: record.Offset}, fault
	n := f.n % r.ids.partitions
	if id := f.event.Customer; id != "" && len(id) <= r.s.Limits.IDBytes && utf8.ValidString(id) {
		relay.Customer, n = id, f.placement.of([]byte(id))
	}
	var rec schemas.Record
	schemas.EncodeRefused(&relay, &rec)
	out := f.kafkaRecord(r.s, &rec)
	out.Partition = n
	f.records = append(f.records, out)
}

func (f *feed) relay() schemas.Relay {
	return schemas.Relay{Feed: f.id, Watermark: f.feed.Meta().Watermark, AppendTime: operators.Unset, Cut: -1}
}

// tell marks the time in the partitions to which nothing was passed on while the watermark moved on by so much: they would have their customers' sessions open for as long, however fast a
// backlog is read.
func (f *feed) tell(r *Runner, moved operators.EventTime) error {
	relay := f.relay()
	for n, told := range f.told {
		if relay.Watermark == told || told != operators.Unset && relay.Watermark < told+moved {
			continue
		}
		if err := f.mark(r, int32(n), &relay); err != nil {
			return err
		}
	}
	return nil
}

func (f *feed) mark(r *Runner, n int32, relay *schemas.Relay) error {
	var rec schemas.Record
	if err := schemas.EncodeRelay(nil, relay, "", &rec); err != nil {
		return fmt.Errorf("marking the time: %w", err)
	}
	mark := f.kafkaRecord(r.s, &rec)
	mark.Partition, f.told[n] = n, relay.Watermark
	f.records = append(f.records, mark)
	return nil
}

// finish ends what the transaction passes on.
func (f *feed) finish(r *Runner) error {
	if f.marking {
		if err := f.tell(r, 0); err != nil {
			return err
		}
		f.markedAt = time.Now()
	}
	if !f.wrote && len(f.records) == 0 { // a transaction without a record has no end that is asked for
		relay := f.relay()
		return f.mark(r, 0, &relay)
	}
	return nil
}

// committed ends a transaction that is durable.
func (f *feed) committed(r *Runner) {
	f.feed.Committed()
	f.durable = f.feed.Position()
	f.passed, f.wrote, f.marking = 0, false, false
	r.metrics.committed(&f.reader)
	r.count(&f.reader)
	f.stats = txnStats{}
}
