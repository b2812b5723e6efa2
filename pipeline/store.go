package pipeline

import (
	"errors"
	"fmt"
	"time"

	"lull/pipeline/task"
	"lull/state"
)

// openStore opens the store. mu is held.
func (r *Runner) openStore() (err error) {
	r.db, err = r.machine.openStore(state.Options{Dir: r.s.State.Dir, CacheBytes: r.s.State.CacheBytes, DirtyBytesMax: r.s.State.FlushBytes, Index: task.IndexEntry})
	if err != nil {
		return err
	}
	if aside := r.db.SetAside(); aside != nil {
		r.log.Warn().AnErr("why", aside.Why).Str("state_dir", r.s.State.Dir).Str("moved_to", aside.Dir).Msg(movedAside)
	}
	return nil
}

// movedAside says what became of a store that could not be used.
const movedAside = "the state store cannot be used: it is moved aside, to be looked at or removed, and the state is rebuilt from the changelog"

func (r *Runner) closeStore() {
	r.mu.Lock()
	db := r.db
	r.db = nil
	r.mu.Unlock()
	if db == nil {
		return // it could not be opened anew
	}
	if err := db.Close(); err != nil {
		r.log.Error().Err(err).Msg("closing the store")
	}
}

// replaceStore moves a store aside in which damage was found, and gives every partition a new one, to be restored.
func (r *Runner) replaceStore(damage error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.partitions {
		r.consumer.PauseFetchPartitions(p.only())
		r.endRestore(p)
	}
	to, err := r.db.Abandon()
	r.db = nil
	if err != nil {
		return errors.Join(damage, err)
	}
	r.log.Warn().AnErr("why", damage).Str("state_dir", r.s.State.Dir).Str("moved_to", to).Msg(movedAside)
	if err := r.openStore(); err != nil {
		return err
	}
	for _, p := range r.partitions {
		if p.store, err = r.db.Partition(p.n); err != nil {
			return err
		}
		p.forgetTask()
		r.startRestore(p, false)
	}
	r.resumeFeeds() // what they have passed on was of the transaction that is no more
	return nil
}

// flushDue starts to flush the partitions that a restart would have to read too much of. mu is held.
func (r *Runner) flushDue() error {
	for _, p := range r.active() {
		behind := p.behindBytes >= r.s.State.FlushBehind/int64(len(r.partitions))
		old := p.behindBytes > 0 && time.Since(p.flushedAt) >= r.s.State.FlushEvery
		if !behind && !old && !p.store.Full() {
			continue
		}
		p.flushedAt, p.behindBytes = time.Now(), 0
		if err := p.store.StartFlush(); err != nil {
			return err // which names the partition
		}
	}
	return nil
}

// dropReleased removes the state of partitions that have not been in use for longer than state.keep. It looks once a minute. mu is held.
func (r *Runner) dropReleased(now time.Time) error {
	if now.Sub(r.droppedAt) < time.Minute {
		return nil
	}
	r.droppedAt = now
	onDisk, err := r.db.Partitions()
	if err != nil {
		return err
	}
	idle := make(map[int32]time.Time)
	for _, info := range onDisk {
		if r.partitions[info.Partition] != nil {
			continue
		}
		since := time.UnixMilli(info.ReleasedMs)
		if info.ReleasedMs == 0 { // lost, or in use when an earlier process ended
			since = now
			if known, ok := r.idle[info.Partition]; ok {
				since = known
			}
			idle[info.Partition] = since
		}
		if now.Sub(since) < r.s.State.Keep {
			continue
		}
		if err := r.db.Drop(info.Partition); err != nil {
			return fmt.Errorf("dropping the state of partition %d: %w", info.Partition, err)
		}
		delete(idle, info.Partition)
		r.log.Info().Int32("partition", info.Partition).Msg("state of a partition dropped that another process has by now")
	}
	r.idle = idle
	return nil
}
