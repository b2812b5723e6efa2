package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline/security"
	"lull/pipeline/task"
)

// PrefixError says that a process must not write under its prefix: the topics there are another application's, or hold a state that was made with other settings.
type PrefixError struct{ Problem string }

func (e *PrefixError) Error() string { return e.Problem }

// ownerTransactionalID is the one id by which whoever begins under a prefix says that it is theirs, whatever their groups are.
func (s *Settings) ownerTransactionalID() string { return s.Prefix + "owner" }

// claimPrefix returns when the prefix is known to be this application's, with these settings. Until then nothing may be written under it, not even what tasks would refuse: the first stage passes on what it reads, and the fitter
// judges models, before any task has looked at a state. The error is a *PrefixError if it is not (docs/adr/0032-owner.md).
func (r *Runner) claimPrefix() error {
	r.health.set("prefix", fmt.Sprintf("it is being looked up whose the prefix %q is", r.s.Prefix))
	said := ""
	for first := true; ; first = false {
		err := r.tryClaim()
		if err == nil {
			r.health.clear("prefix")
			return nil
		}
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		if foreign := (*PrefixError)(nil); errors.As(err, &foreign) {
			return err
		}
		err = fmt.Errorf("it is not known whose the prefix %q is: %w", r.s.Prefix, security.Explain(err))
		r.health.set("prefix", err.Error())
		switch {
		case first && overtaken(err): // as when several processes start at once: the next look finds what the other has written
			r.log.Info().Msg(err.Error() + "; looking again")
		case said != err.Error():
			said = err.Error()
			r.log.Warn().Msg(said + "; trying again")
		}
		r.pause(500 * time.Millisecond)
		// What keeps it from being known may last until somebody has mended it, by `lull reset` too.
		if err := r.awaitTopics(); err != nil {
			return err
		}
	}
}

// overtaken reports whether a claim failed because another process has taken the producer epoch after this one.
func overtaken(err error) bool {
	return errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidTxnState)
}

// tryClaim looks whose the prefix is, and makes it this application's if it is nobody's. Only a nil error means that it is this one's.
//
// Of several that find it to be nobody's one has it: the producer epoch that the last of them takes decides what became of the others' claims, and it looks again before it writes its own.
func (r *Runner) tryClaim() error {
	owner, err := r.owner(r.ctx)
	if err != nil || owner != nil {
		return errors.Join(err, r.checkOwner(owner))
	}
	ctx, cancel := context.WithTimeout(r.ctx, 3*r.s.Commit.Timeout)
	defer cancel()
	p, err := newProducer(ctx, r.s, r.access, r.s.ownerTransactionalID())
	if err != nil {
		return err
	}
	defer p.close()
	if err := r.lookAtTopics(ctx); err != nil { // the epoch may have taken its time
		return err
	}
	if owner, err = r.owner(ctx); err != nil || owner != nil {
		return errors.Join(err, r.checkOwner(owner))
	}
	if err := p.begin(); err != nil {
		return err
	}
	p.produce(ctx, &kgo.Record{Topic: r.s.Topic(ChangelogTopic), Key: task.ShapeKey, Value: r.s.shape(r.ids.partitions).Append(nil)})
	if _, err := p.commit(ctx, nil, nil); err != nil {
		return err
	}
	r.log.Info().Str("prefix", r.s.Prefix).Str("group", r.s.Group).Msg("the prefix is this application's from now on")
	return nil
}

// checkOwner returns a *PrefixError if this process must not write under a prefix with such an owner, nil if there is none yet.
func (r *Runner) checkOwner(owner task.Shape) error {
	is := r.s.shape(r.ids.partitions)
	switch {
	case owner == nil:
		return nil
	case ofAnother(owner, r.s):
		return &PrefixError{r.otherGroup(owner)}
	case owner.Fingerprint() != is.Fingerprint() && !r.mayRebuild():
		return &PrefixError{r.otherShape(owner, is)}
	}
	return nil
}

// mayRebuild reports whether a task may forget a state of this application that it must not go on from. With a first stage none may: the topic events does not hold all of the inputs for ever.
func (r *Runner) mayRebuild() bool { return r.s.OnOffsetMismatch == "rebuild" && !r.s.Staged() }

// ofAnother reports whether a state is that of another application under this one's prefix.
func ofAnother(was task.Shape, s *Settings) bool {
	group := was.Get("group")
	return group != "" && group != s.Group
}

// otherGroup says whose a state is, and what to do.
func (r *Runner) otherGroup(was task.Shape) string {
	group := was.Get("group")
	return fmt.Sprintf("topic %q holds the state of another application, that of the group %q, and this one's is %q: two applications never share a prefix. "+
		"Give this one a --prefix and a --state-dir of its own, or set group to %q if it is that application",
		r.s.Topic(ChangelogTopic), group, r.s.Group, group)
}

// owner returns what the first partition of the changelog that says so was made with, nil if none does: the prefix is nobody's. A partition says so first of all, and for good, but for a rebuild by other settings.
func (r *Runner) owner(ctx context.Context) (task.Shape, error) {
	topic := r.s.Topic(ChangelogTopic)
	starts, err := r.adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the start of topic %q: %w", topic, err)
	}
	// The high watermark: behind an open transaction there may be somebody's claim.
	ends, err := r.adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the end of topic %q: %w", topic, err)
	}
	for n := range r.ids.partitions {
		start, _ := starts.Lookup(topic, n)
		end, _ := ends.Lookup(topic, n)
		shape, err := r.readShape(ctx, n, start.Offset, end.Offset)
		if err != nil {
			return nil, fmt.Errorf("reading partition %d of topic %q: %w", n, topic, err)
		}
		if shape != nil {
			return shape, nil
		}
	}
	return nil, nil
}

// readShape returns the last shape in a piece of the changelog, nil if there is none, and one without settings if there is a state of others that does not say which. It reads no further than to one that is as this process's or another application's, or to the first if there is no rebuild: mostly the first record.
func (r *Runner) readShape(ctx context.Context, n int32, from, end int64) (shape task.Shape, err error) {
	mine := r.s.shape(r.ids.partitions).Fingerprint()
	ctx, stop := context.WithCancel(ctx)
	var meta []byte
	batches := r.fetchChangelog(ctx, n, from, end)
	defer func() {
		stop()
		for range batches { // until the fetching has ended
		}
	}()
	for next := from; next < end; {
		batch, ok := <-batches
		if !ok {
			return nil, ctx.Err()
		}
		if batch.err != nil {
			return nil, batch.err
		}
		for _, record := range batch.records {
			if bytes.Equal(record.Key, task.MetaKey) && record.Value != nil {
				meta = record.Value
			}
			if !bytes.Equal(record.Key, task.ShapeKey) || record.Value == nil {
				continue
			}
			if shape, err = task.DecodeShape(record.Value); err != nil {
				return nil, errors.New(unreadableState(err))
			}
			if shape.Fingerprint() == mine || ofAnother(shape, r.s) || r.s.Staged() {
				return shape, nil
			}
		}
		next = batch.next
	}
	if shape != nil || meta == nil {
		return shape, nil
	}
	state, err := task.DecodeMeta(meta)
	if err != nil {
		return nil, errors.New(unreadableState(err))
	}
	if state.Settings == mine { // the changelog has been cut off
		return nil, nil
	}
	return task.Shape{}, nil
}
