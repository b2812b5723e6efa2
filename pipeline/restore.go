package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/security"
	"lull/pipeline/task"
	"lull/state"
)

// restore brings a partition's store to the end of its changelog, beside the main loop: the partition is paused, the others go on.
type restore struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set when done is closed

	mu      sync.Mutex // guards what follows
	reading progress
	trouble string // why it does not get on just now
}

// progress says how far the reading of a changelog has come.
type progress struct {
	from, next, end int64     // changelog offsets: where it began, the next to be read, where it ends
	bytes           int64     // of keys and values read
	began           time.Time // zero: it waits for its turn
}

func (rs *restore) set(pr progress) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.reading = pr
}

func (rs *restore) progress() (pr progress, trouble string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.reading, rs.trouble
}

func (rs *restore) setTrouble(trouble string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.trouble = trouble
}

// share returns how much of the changelog has been read, from 0 to 1.
func (pr *progress) share() float64 {
	if pr.end == pr.from {
		return 0 // not known yet
	}
	return float64(pr.next-pr.from) / float64(pr.end-pr.from)
}

// perSecond returns the speed until now, in changelog offsets and in bytes.
func (pr *progress) perSecond(now time.Time) (offsets, bytes float64) {
	if pr.began.IsZero() || !now.After(pr.began) {
		return 0, 0
	}
	seconds := now.Sub(pr.began).Seconds()
	return float64(pr.next-pr.from) / seconds, float64(pr.bytes) / seconds
}

// left returns how long the rest takes at the speed until now; ok is false as long as there is no speed.
func (pr *progress) left(now time.Time) (left time.Duration, ok bool) {
	speed, _ := pr.perSecond(now)
	if speed == 0 {
		return 0, false
	}
	return time.Duration(float64(pr.end-pr.next) / speed * float64(time.Second)), true
}

// startRestore begins to restore p. The committed offsets hold no pending transaction; only after them is the changelog's end asked for, so that
// nothing that a former owner committed can be missed (PROTOCOL 3). An assignment brings them; after a transaction of unknown outcome they are
// asked for anew.
func (r *Runner) startRestore(p *partition, committedKnown bool) {
	ctx, cancel := context.WithCancel(r.ctx)
	rs := &restore{cancel: cancel, done: make(chan struct{})}
	p.phase, p.restore = restoring, rs
	endSpan := r.traceRestore(p, rs)
	go func() {
		defer close(rs.done)
		defer cancel()
		defer endSpan()
		for {
			rs.err = nil
			if !committedKnown {
				p.group, _, rs.err = CommittedOffset(ctx, r.client, r.s.Group, p.topic, p.n)
			}
			if rs.err == nil {
				rs.err = r.restorePartition(ctx, p, rs)
			}
			if ctx.Err() != nil {
				rs.err = ctx.Err() // whatever else was in the way, it is not wanted any more
			}
			if rs.err == nil || ctx.Err() != nil || !transient(rs.err) {
				return
			}
			wait := time.Second
			if errors.Is(rs.err, kerr.UnstableOffsetCommit) {
				wait = 100 * time.Millisecond // a transaction is about to end
			} else {
				err := security.Explain(rs.err)
				rs.setTrouble("it is interrupted and tried again: " + err.Error())
				r.log.Warn().Err(err).Int32("partition", p.n).Msg("restoring is interrupted and tried again")
			}
			select {
			case <-ctx.Done():
				rs.err = ctx.Err()
				return
			case <-time.After(wait):
			}
		}
	}()
}

// finalError is one that trying again does not mend.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func transient(err error) bool {
	var final finalError
	return !errors.As(err, &final) && !errors.Is(err, state.ErrCorrupt)
}

func (r *Runner) restorePartition(ctx context.Context, p *partition, rs *restore) error {
	topic, asked := r.s.Topic(ChangelogTopic), time.Now()
	// The high watermark, not the last stable offset: a later owner's commits may lie behind an open transaction.
	ends, err := r.adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the end of topic %q: %w", topic, err)
	}
	starts, err := r.adm.ListStartOffsets(ctx, topic, p.topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the starts of topics %q and %q: %w", topic, p.topic, err)
	}
	end, ok := ends.Lookup(topic, p.n)
	if !ok {
		return finalError{fmt.Errorf("partition %d: topic %q has been given more partitions than topic %q has: %s", p.n, p.topic, topic, anewUnderPrefix)}
	}
	start, _ := starts.Lookup(topic, p.n)
	input, _ := starts.Lookup(p.topic, p.n)
	p.start = input.Offset
	if err := r.trustStore(ctx, p, start.Offset, end.Offset); err != nil {
		return err
	}
	_, position := p.store.Position()
	if position == state.NoPosition {
		// Who begins with nothing has missed no deletion until now: compaction leaves a deletion where it has just taken what was deleted. So if this
		// restore is broken off, the next may go on from there, for as long as from the end.
		p.store.MarkAtEnd(asked.UnixMilli())
	}
	from := max(position, start.Offset)
	if from < end.Offset {
		if err := r.readChangelog(ctx, p, rs, from, end.Offset); err != nil {
			return err
		}
	}
	p.store.MarkAtEnd(asked.UnixMilli())
	return nil
}

// trustStore empties a store that may have missed deletions, or that the changelog does not reach back to.
func (r *Runner) trustStore(ctx context.Context, p *partition, start, end int64) error {
	_, position := p.store.Position()
	if position < 0 {
		return nil
	}
	if err := r.checkOwnChangelog(p); err != nil {
		return err
	}
	why := ""
	switch {
	case position < start:
		why = fmt.Sprintf("the changelog begins at offset %d, after the state's position %d", start, position)
	case position > end:
		return finalError{fmt.Errorf("the state of partition %d stands for changelog offset %d, but topic %q ends at %d: it lost records or was re-created; "+
			"restore the topic, or remove the state folder %q to start from what is there", p.n, position, r.s.Topic(ChangelogTopic), end, r.s.State.Dir)}
	case position < end && r.tombstonesKept > 0 && time.Since(time.UnixMilli(p.store.AtEnd())) > r.tombstonesKept:
		why = fmt.Sprintf("the state was last complete at %s, longer ago than the changelog keeps deletions (%s)",
			time.UnixMilli(p.store.AtEnd()).UTC().Format(time.RFC3339), r.tombstonesKept)
	}
	if why == "" {
		return nil
	}
	r.log.Warn().Int32("partition", p.n).Str("why", why).Msg("rebuilding the state from the changelog")
	if err := r.emptyStore(p); err != nil {
		return finalError{err}
	}
	return nil
}

// checkOwnChangelog refuses a store that mirrors another changelog: what it has in common with this one is offsets, which mean other records.
func (r *Runner) checkOwnChangelog(p *partition) error {
	value, ok, err := p.store.Get(task.MetaKey)
	if err != nil || !ok {
		return err
	}
	meta, err := task.DecodeMeta(value)
	if err != nil {
		return finalError{errors.New(unreadable(p.n, err))}
	}
	was, err := r.shapeOf(p)
	if err != nil {
		return err
	}
	if refusal := r.checkChangelog(p, &meta, was); refusal != "" {
		return finalError{errors.New(refusal)}
	}
	return nil
}

// unreadable returns why a task must not go on from a state whose meta or shape record cannot be read.
func unreadable(n int32, err error) (refusal string) {
	return fmt.Sprintf("partition %d: %s", n, unreadableState(err))
}

// unreadableState says the same without the partition.
func unreadableState(err error) string {
	return fmt.Sprintf("the state cannot be read: %v. If a later version of lull has written it: run that version. Else read all of the input again: into an empty state, by `lull reset --force`; or beside this one, under a new --prefix and --state-dir", err)
}

// shapeOf returns what p's state was made with, nil if it does not say so.
func (r *Runner) shapeOf(p *partition) (task.Shape, error) {
	value, ok, err := p.store.Get(task.ShapeKey)
	if err != nil || !ok {
		return nil, err
	}
	shape, err := task.DecodeShape(value)
	if err != nil {
		return nil, finalError{errors.New(unreadable(p.n, err))}
	}
	return shape, nil
}

// emptyStore removes p's state from this machine. The changelog keeps it.
func (r *Runner) emptyStore(p *partition) error {
	p.store.Close()
	if err := r.db.Drop(p.n); err != nil {
		return err
	}
	store, err := r.db.Partition(p.n)
	if err != nil {
		return err
	}
	p.store = store
	return nil
}

// openTask makes a restored partition run, if its state and the group agree on the position. It returns why they do not.
func (r *Runner) openTask(p *partition) (refusal string, err error) {
	t, err := task.Open(r.s.task(p.n, r.ids.partitions), r.chain, p.store, r.models)
	if errors.Is(err, operators.ErrCorrupt) {
		return unreadable(p.n, err), nil
	}
	if err != nil {
		return "", fmt.Errorf("opening partition %d: %w", p.n, err)
	}
	_, known, err := p.store.Get(task.MetaKey)
	if err != nil {
		return "", err
	}
	was, err := r.shapeOf(p)
	if final := (finalError{}); errors.As(err, &final) {
		return final.Error(), nil
	}
	if err != nil {
		return "", err
	}
	shape, foreign := r.s.shape(r.ids.partitions), false
	if known {
		refusal, foreign = r.checkState(p, t.Meta(), was, shape)
		if others, _ := t.ReadOthers(r.upstreams()); refusal == "" && p.from == nil && others {
			if err := r.askInputs(); err != nil {
				return "", fmt.Errorf("%w: %w", errAskAgain, err)
			}
		}
		if _, heard := t.ReadOthers(r.upstreams()); refusal == "" && p.from == nil && heard && r.s.OnOffsetMismatch != "rebuild" {
			// The brokers forget the offsets of a topic that is deleted, so that its feeds do not know.
			refusal = fmt.Sprintf("partition %d: the state has taken in events of an input topic that is not there any more: one of inputs was re-created, or taken out, "+
				"or other processes have one more%s. Give all the same settings; or --on-offset-mismatch=rebuild goes on: what has been told stays counted, and a topic that was re-created is read from its start", p.n, r.newTo(t))
		}
	} else {
		refusal = r.checkBeginning(p)
	}
	rebuild := refusal != "" && !foreign && r.mayRebuild()
	switch {
	case rebuild:
		r.log.Warn().Int32("partition", p.n).Str("why", refusal).Msg("reading all of the input again into an empty state, as told")
		if t, err = r.forget(p); err != nil {
			return "", fmt.Errorf("rebuilding partition %d: %w", p.n, err)
		}
	case refusal != "":
		return refusal, nil
	}
	meta := t.Meta()
	if !known || rebuild {
		if err := p.store.Set(task.ShapeKey, shape.Append(nil)); err != nil {
			return "", fmt.Errorf("opening partition %d: %w", p.n, err)
		}
		meta.InputID, meta.ChangelogID, meta.Settings, meta.Position = r.ids.input, r.ids.changelog, shape.Fingerprint(), p.start
	}
	if p.group.Offset >= 0 && r.s.OnOffsetMismatch == "group" && meta.Position != p.group.Offset {
		r.log.Warn().Int32("partition", p.n).Int64("state", meta.Position).Int64("group", p.group.Offset).Msg("following the group's offset, as told")
		meta.Position = p.group.Offset
	}
	if known && p.group.Offset < 0 {
		r.log.Warn().Int32("partition", p.n).Int64("position", meta.Position).Msg("the group has no committed offset: following the state")
	}
	p.task, p.stage, p.flushedAt, p.epoch = t, t, time.Now(), -1
	if p.group.Offset == meta.Position {
		p.epoch = p.group.Epoch
	}
	if p.from != nil {
		p.from.clock.Learn(&meta.Time)
	} else {
		p.task.SetUpstreams(r.upstreams())
	}
	return "", nil
}

// newTo names the inputs that a task knows nothing of, as they are now; "" if there are none.
func (r *Runner) newTo(t *task.Task) string {
	var names []string
	for _, in := range r.inputs {
		known := func(u task.Upstream) bool { return u.Feed == task.FeedID(in.id, 0) }
		if !slices.ContainsFunc(t.Meta().Upstreams, known) {
			names = append(names, in.Topic)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (it knows nothing of " + strings.Join(names, ", ") + ", as that is now)"
}

// forget makes p's task one that has seen nothing: the store is emptied, and the first transaction deletes all that the changelog holds, and the score
// rows of its customers. Until it is committed a restart finds the state as it was.
func (r *Runner) forget(p *partition) (*task.Task, error) {
	var keys [][]byte
	if err := p.store.Scan(nil, nil, func(key, _ []byte) bool {
		keys = append(keys, bytes.Clone(key))
		return true
	}); err != nil {
		return nil, err
	}
	if err := r.emptyStore(p); err != nil {
		return nil, err
	}
	for _, key := range keys {
		if err := p.store.Delete(key); err != nil {
			return nil, err
		}
		if id, ok := task.CustomerOf(key); ok {
			p.records = append(p.records, &kgo.Record{Topic: r.s.Topic(ScoresTopic), Key: id})
		}
	}
	return task.Open(r.s.task(p.n, r.ids.partitions), r.chain, p.store, r.models)
}

// checkBeginning returns why a task without state must not begin.
func (r *Runner) checkBeginning(p *partition) (refusal string) {
	if p.group.Offset < 0 || r.s.OnOffsetMismatch == "group" {
		return ""
	}
	return fmt.Sprintf("partition %d: the group %q has committed offset %d, but the changelog is empty: it was re-created, or the group is another "+
		"application's. --on-offset-mismatch=group starts empty at offset %d, what came before is never counted; %s starts empty at the log's "+
		"start, outputs are made again", p.n, r.s.Group, p.group.Offset, p.group.Offset, r.anew("=rebuild"))
}

// checkChangelog returns why a state is not that of the changelog.
func (r *Runner) checkChangelog(p *partition, meta *task.Meta, was task.Shape) (refusal string) {
	if meta.ChangelogID == r.ids.changelog {
		return ""
	}
	if prefix := was.Get("prefix"); prefix != "" && prefix != r.s.Prefix {
		return fmt.Sprintf("partition %d: the state folder %q holds the state of another application, that of the prefix %q, and this one's is %q: name another folder by --state-dir",
			p.n, r.s.State.Dir, prefix, r.s.Prefix)
	}
	return fmt.Sprintf("partition %d: the state belongs to a changelog of id %x, and topic %q has the id %x: it was re-created, or the state folder is another application's. "+
		"Remove the state folder %q to follow the topic, or name another by --state-dir", p.n, meta.ChangelogID, r.s.Topic(ChangelogTopic), r.ids.changelog, r.s.State.Dir)
}

// checkState returns why a task must not go on from its state; foreign is true if the state is another application's, of which nothing may be rebuilt.
func (r *Runner) checkState(p *partition, meta *task.Meta, was, is task.Shape) (refusal string, foreign bool) {
	if refusal := r.checkChangelog(p, meta, was); refusal != "" {
		return refusal, true
	}
	if ofAnother(was, r.s) {
		return fmt.Sprintf("partition %d: %s", p.n, r.otherGroup(was)), true
	}
	switch {
	case meta.Settings != is.Fingerprint():
		return fmt.Sprintf("partition %d: %s", p.n, r.otherShape(was, is)), false
	case meta.InputID != r.ids.input:
		return fmt.Sprintf("partition %d: the state was made from a topic %q of id %x, which is now %x: it was re-created. Use a new prefix, or "+
			"%s to forget the state and read all of the input from its start", p.n, p.topic, meta.InputID, r.ids.input, r.anew("--on-offset-mismatch=rebuild")), false
	case p.group.Offset >= 0 && p.group.Offset != meta.Position && r.s.OnOffsetMismatch != "state" && r.s.OnOffsetMismatch != "group":
		return fmt.Sprintf("partition %d: the state stands at offset %d and the group %q at %d: somebody reset the group, or it is another application's. "+
			"--on-offset-mismatch=state goes on at %d, nothing is counted twice; =group goes on at %d, what lies between is counted twice or never; "+
			"%s forgets the state and reads all of the input again",
			p.n, meta.Position, r.s.Group, p.group.Offset, meta.Position, p.group.Offset, r.anew("=rebuild")), false
	}
	return "", false
}

// anew returns what forgets a state and reads all again: a setting, but with a first stage that would not read the inputs again.
func (r *Runner) anew(setting string) string {
	if r.s.Staged() {
		return "`lull reset`"
	}
	return setting
}

// otherShape says which settings are others than those that a state was made with, and what to do.
func (r *Runner) otherShape(was, is task.Shape) string {
	var changes []string
	for _, c := range was.Changes(is) {
		changes = append(changes, fmt.Sprintf("%s was %s and is %s", c.Name, shown(c.Was), shown(c.Is)))
	}
	if len(was) == 0 {
		changes = []string{"an earlier version made it, which did not note its settings"}
	}
	by := "`lull reset` or --on-offset-mismatch=rebuild"
	if r.s.Staged() {
		by = r.anew("")
	}
	way := "Set them back; or forget the state and read all of the input again, by " + by + "; or take a new --prefix and --state-dir " +
		"beside these, and compare what comes out by `lull diff " + r.s.Prefix + " NEW_PREFIX`"
	if was.Get(partitionsSetting) != is.Get(partitionsSetting) && len(was) > 0 {
		changes, way = []string{fmt.Sprintf("%s was %s and is %s: %s", partitionsSetting, was.Get(partitionsSetting), is.Get(partitionsSetting), anewUnderPrefix)}, "There is no way back"
	}
	return fmt.Sprintf("the state was made with other settings: %s. %s", strings.Join(changes, "; "), way)
}

// shown returns a setting's value for a message.
func shown(value string) string { return cmp.Or(value, "not set") }

var _ task.Store = (*state.Partition)(nil)
