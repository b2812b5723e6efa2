package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/state"
)

// join joins the group. What the process left open when it was killed has been decided by its new epoch: nobody waits for its offsets.
func (r *Runner) join() error {
	var err error
	r.mu.Lock() // the group's callbacks begin before NewClient returns, and use the client
	r.consumer, err = kgo.NewClient(append(r.access.Options("lull-"+r.s.Instance),
		kgo.ConsumerGroup(r.s.Group),
		kgo.ConsumeTopics(r.consumed()...),
		// Static membership: a restarted process has its partitions back at once.
		kgo.InstanceID(r.s.Instance),
		kgo.SessionTimeout(r.s.Commit.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, r.s.Commit.SessionTimeout/3)),
		// A static member that is alive and does not rejoin for so long stays one, and its partitions may go to others: no cycle may last as long.
		kgo.RebalanceTimeout(max(time.Minute, 6*r.s.Commit.Timeout)),
		kgo.Balancers(r.balancer()),
		kgo.BlockRebalanceOnPoll(),
		// Offsets are committed with the transactions and nowhere else.
		kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Markers are kept, so that positions pass them.
		kgo.KeepControlRecords(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		// Nobody but an operator decides what happens after a loss of data.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.MetadataMinAge(100*time.Millisecond),
		// New partitions of an input are found within this time.
		kgo.MetadataMaxAge(time.Minute),
		kgo.FetchMaxBytes(32<<20),
		// What has been fetched and not been applied yet is the largest part of the memory while a backlog is read: a record of 100 bytes takes three times as many here. A partition has
		// some ten thousand records in so much, more than a transaction applies of it.
		kgo.FetchMaxPartitionBytes(256<<10),
		kgo.FetchMaxWait(r.s.Commit.Interval),
		kgo.AdjustFetchOffsetsFn(r.onOffsets),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, revoked map[string][]int32) { r.onRevoked(revoked) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { r.onLost(lost) }),
	)...)
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("configuring the consumer: %w", err)
	}
	return nil
}

// leave takes this process out of the group, and out of that of the fitters. A static member does not leave by closing its client, so that it can come back.
func (r *Runner) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), r.s.Commit.Timeout)
	defer cancel()
	groups := []string{r.s.Group}
	if r.s.Fit.Mode != "off" {
		groups = append(groups, r.s.FitterGroup())
	}
	for _, group := range groups {
		_, err := r.adm.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(r.s.Instance).Reason("told to stop"))
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // a fitter that has never joined may have no group
			return fmt.Errorf("leaving group %q: %w; it waits for %q until %s have passed", group, err, r.s.Instance, r.s.Commit.SessionTimeout)
		}
	}
	r.log.Info().Msg("left the group")
	return nil
}

// onOffsets is told by the group of the stable committed offsets of new partitions. They stay paused until they are restored.
func (r *Runner) onOffsets(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.holding() {
		r.memberID, _ = r.consumer.GroupMetadata()
	}
	for topic, partitions := range offsets {
		for n, o := range partitions {
			committed, tp := o.EpochOffset(), topicPartition{topic, n}
			if committed.Offset < 0 { // where to begin, as nothing is committed
				committed = noOffset
			}
			r.assigned[tp] = committed
			delete(r.cuts, tp)
			r.consumer.PauseFetchPartitions(tp.only())
		}
	}
	return offsets, nil
}

// onRevoked gives partitions up between two transactions: what is committed reaches the disk, for their return.
func (r *Runner) onRevoked(revoked map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.stir()
	for tp := range each(revoked) {
		delete(r.assigned, tp)
		r.dropFeed(tp, "revoked")
		p, n := r.partitions[tp.n], tp.n
		if p == nil || p.topic != tp.topic {
			continue
		}
		delete(r.partitions, n)
		r.endRestore(p)
		if err := p.store.Release(time.Now().UnixMilli()); err != nil {
			r.log.Error().Err(err).Int32("partition", n).Msg("flushing a revoked partition; it will be restored from an earlier position")
		}
		r.log.Info().Int32("partition", n).Msg("partition revoked")
	}
}

// onLost gives partitions up that another process may own by now: nothing of them may be trusted but what is on disk.
func (r *Runner) onLost(lost map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.stir()
	for tp := range each(lost) {
		delete(r.assigned, tp)
		r.dropFeed(tp, "lost")
		if p := r.partitions[tp.n]; p != nil && p.topic == tp.topic {
			r.lose(tp.n)
		}
	}
}

// each yields the partitions of topics.
func each(topics map[string][]int32) iter.Seq[topicPartition] {
	return func(yield func(topicPartition) bool) {
		for topic, partitions := range topics {
			for _, n := range partitions {
				if !yield(topicPartition{topic, n}) {
					return
				}
			}
		}
	}
}

// consumed returns the topics that the group reads: the inputs and, with a first stage, the topic of its events.
func (r *Runner) consumed() []string {
	topics := []string{r.s.taskTopic()}
	for _, in := range r.inputs {
		if in.Topic != topics[0] {
			topics = append(topics, in.Topic)
		}
	}
	return topics
}

// holding reports whether any partition is this process's. mu is held.
func (r *Runner) holding() bool { return len(r.partitions)+len(r.feeds)+len(r.assigned) > 0 }

// lose forgets a partition, but for what is on disk. mu is held.
func (r *Runner) lose(n int32) {
	p := r.partitions[n]
	delete(r.partitions, n)
	r.endRestore(p)
	p.store.Discard()
	p.store.Close()
	r.log.Warn().Int32("partition", n).Msg("partition lost")
}

func (r *Runner) endRestore(p *partition) {
	if p.restore != nil {
		p.restore.cancel()
		<-p.restore.done
		p.restore = nil
	}
}

// takeAssigned begins to restore the partitions that the group has given.
func (r *Runner) takeAssigned() error {
	for tp, committed := range r.assigned {
		if tp.topic != r.s.taskTopic() {
			if err := r.takeFeed(tp, committed); err != nil {
				return err
			}
			delete(r.assigned, tp)
			continue
		}
		n := tp.n
		if old := r.partitions[n]; old != nil {
			// Assigned anew without a revocation between: what was known of it stands, and is checked again.
			r.endRestore(old)
			old.group, old.why = committed, ""
			if err := old.abort(); err != nil {
				return err
			}
			r.startRestore(old, true)
			delete(r.assigned, tp)
			continue
		}
		store, err := r.db.Partition(n)
		if err != nil {
			return err
		}
		p := &partition{store: store, placement: newPlacement(r.ids.partitions)}
		if p.reader, err = r.newReader(tp, committed); err != nil {
			return err
		}
		r.partitions[n] = p
		r.startRestore(p, true)
		delete(r.assigned, tp)
		r.log.Info().Int32("partition", n).Int64("offset", committed.Offset).Msg("partition assigned")
	}
	return nil
}

// takeRestored lets the partitions run that have been restored.
func (r *Runner) takeRestored() error {
	for _, p := range r.partitions {
		if p.phase != restoring {
			continue
		}
		select {
		default:
			continue
		case <-p.restore.done:
		}
		err := p.restore.err
		p.restore = nil
		if err != nil {
			var final finalError
			if errors.As(err, &final) && !errors.Is(err, state.ErrCorrupt) {
				r.stop(&p.reader, err.Error())
				continue
			}
			return err
		}
		refusal, err := r.openTask(p)
		if errors.Is(err, errAskAgain) {
			r.log.Warn().Err(err).Int32("partition", p.n).Msg("opening a task is tried again")
			r.startRestore(p, false)
			continue
		}
		if err != nil {
			return err
		}
		if refusal != "" && !p.doubted {
			// A process that has lost the partition without knowing it sees the offset of before and the changelog of the next owner: what is not so a
			// second time was nothing.
			p.doubted = true
			r.startRestore(p, false)
			continue
		}
		p.doubted = false
		if refusal != "" {
			r.stop(&p.reader, refusal)
			continue
		}
		r.begin(&p.reader)
	}
	return nil
}

// begin lets a partition run whose stage has been opened.
func (r *Runner) begin(p *reader) {
	p.phase = running
	r.stir()
	r.health.clear("reading")
	position := p.position()
	r.readFrom(p, position)
	if end, ok := r.cuts[p.topicPartition]; ok {
		delete(r.cuts, p.topicPartition)
		if r.wasCut(p, end); p.phase != running {
			return
		}
	}
	r.consumer.ResumeFetchPartitions(p.only())
	r.log.Info().Str("topic", p.topic).Int32("partition", p.n).Int64("offset", position.Offset).Msg("partition runs")
}

// errAskAgain says that brokers have not answered what a task's opening hangs on.
//
//lull:unread it is tried again, and goes to the log only
var errAskAgain = errors.New("the brokers do not say what the inputs are")

// errExpelled says that the group has expelled the member that this process was, while it was about to rejoin.
//
//lull:unread the group is joined again, and it goes to the log only
var errExpelled = errors.New("the group has expelled this process in the midst of a rebalance: others may have had its partitions")

// member returns who this process is in the group. The client may have become another member behind the cycle's back: expelled while its request to
// join again was under way, it joins as a new one and takes the partitions that it gets for those it had. Others may have committed in them
// meanwhile, and the new member's commit would be taken; so the error is errExpelled unless the member is the one that the partitions were
// assigned to. mu is held.
func (r *Runner) member() (member, error) {
	id, generation := r.consumer.GroupMetadata()
	if id != r.memberID && r.holding() {
		return member{}, errExpelled
	}
	return member{id, generation}, nil
}

// rejoin forgets all partitions, of which nothing may be trusted but what is on disk, and joins the group with a client that knows nothing of them. The
// transaction under way is decided by a new epoch.
func (r *Runner) rejoin() error {
	r.producer.close()
	r.mu.Lock()
	for n := range r.partitions {
		r.lose(n)
	}
	for tp := range r.feeds {
		r.dropFeed(tp, "lost")
	}
	clear(r.relayed)
	r.relayed, r.spoilt = r.relayed[:0], false
	clear(r.assigned)
	r.mu.Unlock()
	r.consumer.CloseAllowingRebalance()
	r.consumer = nil // a client that is closed twice waits for ever
	r.mu.Lock()
	clear(r.assigned) // its last callbacks may have come meanwhile
	r.mu.Unlock()
	if err := r.takeEpoch(); err != nil {
		return err
	}
	return r.join()
}
