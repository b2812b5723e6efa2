package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// poll waits for records, at most for a while, and keeps rebalances out until AllowRebalance. Nothing is fetched while what was fetched has not
// been applied.
func (r *Runner) poll(wait time.Duration) kgo.Fetches {
	began := time.Now()
	defer func() { r.cycling.step(readSpan, began) }()
	if wait > 0 {
		ctx, cancel := context.WithTimeout(r.ctx, wait)
		defer cancel()
		if fetches := r.consumer.PollRecords(ctx, r.s.Commit.Records); len(fetches) > 0 {
			return fetches
		}
	}
	// With a context that has ended the client fetches nothing, but keeps rebalances out; a poll that comes back empty does not.
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	r.consumer.PollRecords(ended, 1)
	return nil
}

// takeFetches queues the records for their partitions.
func (r *Runner) takeFetches(fetches kgo.Fetches) error {
	var err error
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		p := r.reader(topicPartition{f.Topic, f.Partition})
		if p == nil {
			if f.Err != nil && !errors.Is(f.Err, context.DeadlineExceeded) && !errors.Is(f.Err, context.Canceled) {
				r.fetchFailed(topicPartition{f.Topic, f.Partition}, nil, f.Err)
			}
			if errors.Is(f.Err, kerr.FencedInstanceID) {
				err = f.Err
			}
			return
		}
		if f.Err != nil {
			if errors.Is(f.Err, kerr.FencedInstanceID) {
				err = f.Err
				return
			}
			r.fetchFailed(p.topicPartition, p, f.Err)
		}
		if p.phase != running || p.parked || len(f.Records) == 0 {
			return
		}
		r.health.clear("reading")
		if first := f.Records[0].Offset; first > p.fetched.Offset && !r.mayGoOnAt(p, first, f.LogStartOffset) {
			return
		}
		p.gap = 0
		p.queue = append(p.queue, f.Records...)
		last := f.Records[len(f.Records)-1]
		p.fetched = kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}
		p.end = max(p.end, f.HighWatermark)
	})
	return err
}

// mayGoOnAt reports whether first may follow the last record that was fetched although offsets are missing between: they are lawful where the log was
// compacted or a transaction aborted. The client is not trusted with that: it is made to read from the position again, and the same must come.
func (r *Runner) mayGoOnAt(p *reader, first, logStart int64) bool {
	switch {
	case logStart > p.fetched.Offset:
		r.lostData(p, logStart)
		return p.phase == running
	case p.gap != first:
		p.gap = first
		r.readFrom(p, p.fetched)
		return false
	}
	return true
}

// lostData is told that the log begins after what was read of it: records are gone that were not read.
func (r *Runner) lostData(p *reader, start int64) {
	if r.s.OnDataLoss == "continue" {
		r.log.Warn().Int32("partition", p.n).Int64("position", p.fetched.Offset).Int64("start", start).Msg("records were lost before they were read: going on, as told")
		r.readFrom(p, kgo.EpochOffset{Epoch: -1, Offset: start})
		return
	}
	r.stop(p, fmt.Sprintf("partition %d: the records from offset %d to %d of topic %q were deleted before they were read. Restore them, or accept the loss with --on-data-loss=continue",
		p.n, p.fetched.Offset, start, p.topic))
}

// wasCut is told that the log ends before what was read of it: a leader that knew less was elected, and new records take the offsets of old ones.
func (r *Runner) wasCut(p *reader, end kgo.EpochOffset) {
	p.queue = nil // it may hold what is gone
	position := p.position()
	switch {
	case end.Offset >= position.Offset:
		r.readFrom(p, position)
	case r.s.OnDataLoss == "continue":
		r.log.Warn().Int32("partition", p.n).Int64("position", position.Offset).Int64("end", end.Offset).
			Msg("the brokers lost records that were applied: going on, as told")
		p.stage.Rewind(end.Offset)
		p.epoch = end.Epoch
		r.readFrom(p, end)
	default:
		r.stop(p, fmt.Sprintf("partition %d: topic %q ends at offset %d, before the position %d: the brokers lost records that were applied. New records take "+
			"their offsets: --on-data-loss=continue goes on at offset %d and keeps what was applied", p.n, p.topic, end.Offset, position.Offset, end.Offset))
	}
}

// fetchFailed is told why a partition cannot be read, that p reads here if it is not nil.
func (r *Runner) fetchFailed(tp topicPartition, p *reader, err error) {
	var loss *kgo.ErrDataLoss
	cut, outside := errors.As(err, &loss), errors.Is(err, kerr.OffsetOutOfRange)
	switch {
	case cut && (p == nil || p.phase == restoring):
		r.cuts[topicPartition{loss.Topic, loss.Partition}] = kgo.EpochOffset{Epoch: loss.ResetToEpoch, Offset: loss.ResetTo} // the client says it once
	case (cut || outside) && (p == nil || p.phase != running):
		// It will be read from its position, and the brokers asked again.
	case cut:
		r.wasCut(p, kgo.EpochOffset{Epoch: loss.ResetToEpoch, Offset: loss.ResetTo})
	case outside:
		r.outOfRange(p)
	default:
		var group *kgo.ErrGroupSession
		reading := fmt.Sprintf("reading topic %q", tp.topic)
		if errors.As(err, &group) {
			reading = fmt.Sprintf("reading the input in group %q", r.s.Group)
		}
		r.complain(fmt.Errorf("%s: %w", reading, err))
	}
}

// outOfRange finds out at which end of the log the offset that is read from lies outside.
func (r *Runner) outOfRange(p *reader) {
	ctx, cancel := context.WithTimeout(r.ctx, r.s.Commit.Timeout)
	defer cancel()
	var starts, ends kadm.ListedOffsets
	var err, endsErr error
	r.unlocked(func() {
		starts, err = r.adm.ListStartOffsets(ctx, p.topic)
		ends, endsErr = r.adm.ListEndOffsets(ctx, p.topic)
	})
	if err = errors.Join(err, starts.Error(), endsErr, ends.Error()); err != nil {
		r.complain(fmt.Errorf("asking for the start and end of topic %q: %w", p.topic, err))
		return // the next fetch fails again
	}
	start, _ := starts.Lookup(p.topic, p.n)
	end, _ := ends.Lookup(p.topic, p.n)
	switch {
	case p.fetched.Offset < start.Offset:
		r.lostData(p, start.Offset)
	case p.fetched.Offset > end.Offset:
		r.wasCut(p, kgo.EpochOffset{Epoch: end.LeaderEpoch, Offset: end.Offset})
	default:
		r.readFrom(p, p.fetched) // a replica was behind
	}
}

// readFrom makes the client read p's input from an offset on.
func (r *Runner) readFrom(p *reader, at kgo.EpochOffset) {
	p.fetched = at
	r.consumer.SetOffsets(map[string]map[int32]kgo.EpochOffset{p.topic: {p.n: at}})
}

// stop takes a partition out of work until an operator has decided.
func (r *Runner) stop(p *reader, why string) {
	if f := r.feeds[p.topicPartition]; f != nil && f.wrote {
		r.spoilt = true // its position would not be committed with what it has passed on
	}
	p.phase, p.why = stopped, why
	p.queue = nil
	r.consumer.PauseFetchPartitions(p.only())
	r.log.Error().Int32("partition", p.n).Msg(why)
}

// parkedAfter is how many transactions in a row may leave a partition with work before the others go on without it. A backlog leaves a few at a time.
const parkedAfter = 10

// park lets the others be read while one partition is at work for long, on a mark that has released very many deadlines, or awaits a schema: it is not read
// meanwhile, and read on from where it stands when it is done.
func (r *Runner) park(p *reader) {
	switch {
	case p.done && p.parked:
		p.parked, p.busyFor = false, 0
		r.readFrom(p, p.fetched) // what came while it was parked may be gone
		r.consumer.ResumeFetchPartitions(p.only())
	case p.done:
		p.busyFor = 0
	default:
		if p.busyFor++; p.busyFor == parkedAfter && !p.held || (p.awaits != "" || p.held && len(p.queue) > r.s.Commit.Records) && !p.parked {
			p.parked = true
			r.consumer.PauseFetchPartitions(p.only())
		}
	}
}
