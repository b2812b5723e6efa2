// Package pipeline is lull's runtime: it joins the consumer group, restores the tasks of the partitions that it is given, and runs them in
// Kafka transactions with the store behind them.
//
// One cycle, in the one goroutine of Runner.loop:
//
//	poll ─> apply, one goroutine a task ─> produce outputs and changelog ─> commit with the positions ─> the same writes become the store's
//
// Whatever does not commit clearly is forgotten, decided by taking a new producer epoch, and read again from the changelog (recover).
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/operators/clv"
	"lull/pipeline/task"
	"lull/schemas"
	"lull/state"
)

// FencedError says that another process has this one's instance id.
type FencedError struct{ Instance string }

func (e *FencedError) Error() string {
	return fmt.Sprintf("another process runs with the instance id %q: give every process its own --instance", e.Instance)
}

// Runner runs one process of an application. Its goroutines: loop (the caller of Run), the two clients' own, one per restore, the models'
// follower, the HTTP server's. mu guards what the group's callbacks and the HTTP handlers share with loop.
type Runner struct {
	s       *Settings
	machine machine
	log     zerolog.Logger
	ctx     context.Context // ends when the process is told to
	began   time.Time       // by the wall clock and the monotonic one
	chain   *operators.Chain

	consumer       *kgo.Client
	client         *kgo.Client // for requests, the reading of changelogs among them, that the group's polls must not hold up
	adm            *kadm.Client
	producer       *producer
	db             *state.DB
	models         *models
	ids            topicIDs
	tombstonesKept time.Duration
	clock          *task.Clock
	hold           task.Hold           // of the clock's last reading
	watcher        *watcher            // while the input has not settled
	toldTime       time.Time           // when the brokers were last asked for the input's end
	droppedAt      time.Time           // when released partitions were last looked for
	idle           map[int32]time.Time // partitions on disk that nobody has released, since when they are known not to be in use
	metrics        *metrics
	turns          chan struct{} // restores of more than a tail that may run at once
	uncommitted    int           // transactions, one after the other, that did not commit
	complainedAt   time.Time     // when the client last said why it does not read

	mu          lock
	unfinished  bool // the last budget ended before all that was queued or due, in partitions that are not parked
	busy        bool // the same, in any partition
	modelMissed bool // it has been said that no model is in force
	partitions  map[int32]*partition
	assigned    map[int32]kgo.EpochOffset // assigned, not yet taken in by loop: the committed offset
	memberID    string                    // of the member of the group that all these were assigned to
	cuts        map[int32]kgo.EpochOffset // where logs were found to end before the position, of partitions that do not run yet
	health      health
}

// Run runs until ctx ends, then commits, flushes and returns nil. The error is a *FencedError if another process has the instance id.
func Run(ctx context.Context, s Settings, log zerolog.Logger) error {
	return runOn(ctx, thisMachine(), s, log)
}

func runOn(ctx context.Context, m machine, s Settings, log zerolog.Logger) error {
	if s.Instance == "" {
		return errors.New(`instance is "": it must be a name of this process, stable over restarts and unique in the group`)
	}
	began := time.Now()
	r := &Runner{
		s: &s, machine: m, log: log, ctx: ctx, mu: newLock(), chain: clv.NewChain(s.Chain()),
		partitions: make(map[int32]*partition), assigned: make(map[int32]kgo.EpochOffset), cuts: make(map[int32]kgo.EpochOffset), metrics: newMetrics(),
		began: began, clock: task.NewClock(s.clock(), operators.EventTime(began.UnixMilli())),
		turns: make(chan struct{}, max(2, runtime.GOMAXPROCS(0)/2)), // while one writes, another reads
	}
	r.health.set("startup", "the process is starting")
	server, err := r.serve()
	if err != nil {
		return err
	}
	defer server.close()
	err = r.run()
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil // told to stop before it had begun
	}
	return err
}

func (r *Runner) run() error {
	r.mu.Lock()
	err := r.openStore()
	r.mu.Unlock()
	if err != nil {
		return err
	}
	defer r.closeStore()
	if err := r.connect(); err != nil {
		return err
	}
	defer r.client.Close()
	following, stopFollowing := context.WithCancel(r.ctx)
	defer stopFollowing()
	stopped, err := r.startModels(following)
	if err != nil {
		return err
	}
	probing := make(chan struct{})
	go func() {
		defer close(probing)
		r.probe(following)
	}()
	defer func() {
		stopFollowing()
		<-stopped
		<-probing
	}()
	if err := r.takeEpoch(); err != nil {
		return err
	}
	defer func() { r.producer.close() }()
	if err := r.join(); err != nil {
		return err
	}
	r.health.clear("startup")
	err = r.loop()
	r.stopWatching()
	err = errors.Join(err, r.shutDown())
	if r.consumer != nil { // told to stop while it was to join anew
		r.consumer.Close()
	}
	if r.s.OnStop == "leave" && r.ctx.Err() != nil {
		err = errors.Join(err, r.leave())
	}
	return err
}

// leave takes this process out of the group. A static member does not leave by closing its client, so that it can come back.
func (r *Runner) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), r.s.Commit.Timeout)
	defer cancel()
	_, err := r.adm.LeaveGroup(ctx, kadm.LeaveGroup(r.s.Group).InstanceIDs(r.s.Instance).Reason("told to stop"))
	if err != nil {
		return fmt.Errorf("leaving group %q: %w; it waits for %q until %s have passed", r.s.Group, err, r.s.Instance, r.s.Commit.SessionTimeout)
	}
	r.log.Info().Msg("left the group")
	return nil
}

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
		r.consumer.PauseFetchPartitions(map[string][]int32{r.s.Input.Topic: {p.n}})
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
	return nil
}

// connect waits for the brokers and for topics that are as they must be.
func (r *Runner) connect() error {
	var err error
	r.client, err = kgo.NewClient(
		kgo.SeedBrokers(r.s.Brokers...), kgo.Dialer(r.machine.dial), kgo.ClientID("lull-"+r.s.Instance), kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		return fmt.Errorf("configuring the Kafka client: %w", err)
	}
	r.adm = kadm.NewClient(r.client)
	said := ""
	for {
		var ids topicIDs
		if ids, err = checkTopics(r.ctx, r.adm, r.s); err == nil {
			r.mu.Lock()
			r.ids = ids
			r.mu.Unlock()
			r.health.clear("topics")
			r.health.clear("brokers")
			break
		}
		if r.ctx.Err() != nil {
			r.client.Close()
			return r.ctx.Err()
		}
		var problems *TopicError
		if errors.As(err, &problems) {
			r.health.clear("brokers")
			r.health.set("topics", err.Error())
		} else {
			err = fmt.Errorf("no broker of %s answers: %w", strings.Join(r.s.Brokers, ", "), err)
			r.health.set("brokers", err.Error())
		}
		if said != err.Error() {
			said = err.Error()
			r.log.Warn().Msg(said + "; waiting")
		}
		r.pause(time.Second)
	}
	r.tombstonesKept = r.changelogKeeps()
	return nil
}

// join joins the group. What the process left open when it was killed has been decided by its new epoch: nobody waits for its offsets.
func (r *Runner) join() error {
	var err error
	r.mu.Lock() // the group's callbacks begin before NewClient returns, and use the client
	r.consumer, err = kgo.NewClient(
		kgo.SeedBrokers(r.s.Brokers...),
		kgo.Dialer(r.machine.dial),
		kgo.ClientID("lull-"+r.s.Instance),
		kgo.ConsumerGroup(r.s.Group),
		kgo.ConsumeTopics(r.s.Input.Topic),
		// Static membership: a restarted process has its partitions back at once.
		kgo.InstanceID(r.s.Instance),
		kgo.SessionTimeout(r.s.Commit.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, r.s.Commit.SessionTimeout/3)),
		// A static member that is alive and does not rejoin for so long stays one, and its partitions may go to others: no cycle may last as long.
		kgo.RebalanceTimeout(max(time.Minute, 6*r.s.Commit.Timeout)),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
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
		kgo.FetchMaxBytes(32<<20),
		kgo.FetchMaxWait(r.s.Commit.Interval),
		kgo.AdjustFetchOffsetsFn(r.onOffsets),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, revoked map[string][]int32) { r.onRevoked(revoked) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { r.onLost(lost) }),
	)
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("configuring the consumer: %w", err)
	}
	return nil
}

// changelogKeeps returns how long the changelog keeps deletions; 0 if that is not known.
func (r *Runner) changelogKeeps() time.Duration {
	configs, err := r.adm.DescribeTopicConfigs(r.ctx, r.s.Topic(ChangelogTopic))
	if err != nil {
		return 0
	}
	for _, rc := range configs {
		for _, c := range rc.Configs {
			if c.Key == "delete.retention.ms" {
				if ms, err := time.ParseDuration(c.MaybeValue() + "ms"); err == nil {
					return ms
				}
			}
		}
	}
	return 0
}

func (r *Runner) startModels(ctx context.Context) (stopped <-chan struct{}, err error) {
	for {
		var m *models
		m, stopped, err = followModels(ctx, r.s, r.machine.dial, r.adm, r.log)
		if err == nil {
			r.mu.Lock()
			r.models = m
			r.mu.Unlock()
			return stopped, nil
		}
		if r.ctx.Err() != nil {
			return nil, r.ctx.Err()
		}
		r.log.Warn().Err(err).Msg("reading the models; trying again")
		r.pause(time.Second)
	}
}

// takeEpoch makes a producer, however long that takes: by its epoch Kafka decides what became of the last one's transaction.
func (r *Runner) takeEpoch() error {
	for {
		ctx, cancel := context.WithTimeout(r.ctx, 2*r.s.Commit.Timeout)
		p, err := newProducer(ctx, r.s, r.machine.dial)
		cancel()
		if err == nil {
			r.producer = p
			r.health.clear("producer")
			return nil
		}
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		r.health.set("producer", err.Error())
		r.log.Warn().Err(err).Msg("waiting for a producer epoch")
		r.pause(500 * time.Millisecond)
	}
}

// pause waits, or until the process is told to stop.
func (r *Runner) pause(d time.Duration) {
	select {
	case <-r.ctx.Done():
	case <-time.After(d):
	}
}

// onOffsets is told by the group of the stable committed offsets of new partitions. They stay paused until they are restored.
func (r *Runner) onOffsets(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.partitions)+len(r.assigned) == 0 {
		r.memberID, _ = r.consumer.GroupMetadata()
	}
	for n, o := range offsets[r.s.Input.Topic] {
		committed := o.EpochOffset()
		if committed.Offset < 0 { // where to begin, as nothing is committed
			committed = noOffset
		}
		r.assigned[n] = committed
		delete(r.cuts, n)
		r.consumer.PauseFetchPartitions(map[string][]int32{r.s.Input.Topic: {n}})
	}
	return offsets, nil
}

// onRevoked gives partitions up between two transactions: what is committed reaches the disk, for their return.
func (r *Runner) onRevoked(revoked map[string][]int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range revoked[r.s.Input.Topic] {
		delete(r.assigned, n)
		p := r.partitions[n]
		if p == nil {
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
	for _, n := range lost[r.s.Input.Topic] {
		delete(r.assigned, n)
		if r.partitions[n] != nil {
			r.lose(n)
		}
	}
}

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
	for n, committed := range r.assigned {
		if old := r.partitions[n]; old != nil {
			// Assigned anew without a revocation between: what was known of it stands, and is checked again.
			r.endRestore(old)
			old.group = committed
			if err := old.abort(); err != nil {
				return err
			}
			r.startRestore(old, true)
			delete(r.assigned, n)
			continue
		}
		store, err := r.db.Partition(n)
		if err != nil {
			return err
		}
		p := &partition{n: n, store: store, group: committed, clock: operators.Unset, placement: newPlacement(r.ids.partitions)}
		if p.decoder, err = schemas.NewDecoder(r.s.decoder()); err != nil {
			return err
		}
		if p.encoder, err = schemas.NewEncoder(r.s.encoder()); err != nil {
			return err
		}
		r.partitions[n] = p
		r.startRestore(p, true)
		delete(r.assigned, n)
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
				r.stop(p, err.Error())
				continue
			}
			return err
		}
		refusal, err := r.openTask(p)
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
			r.stop(p, refusal)
			continue
		}
		p.phase = running
		position := p.position()
		r.readFrom(p, position)
		if end, ok := r.cuts[p.n]; ok {
			delete(r.cuts, p.n)
			if r.wasCut(p, end); p.phase != running {
				continue
			}
		}
		r.consumer.ResumeFetchPartitions(map[string][]int32{r.s.Input.Topic: {p.n}})
		r.log.Info().Int32("partition", p.n).Int64("offset", position.Offset).Msg("partition runs")
	}
	return nil
}

// readFrom makes the client read p's input from an offset on.
func (r *Runner) readFrom(p *partition, at kgo.EpochOffset) {
	p.fetched = at
	r.consumer.SetOffsets(map[string]map[int32]kgo.EpochOffset{r.s.Input.Topic: {p.n: at}})
}

// stop takes a partition out of work until an operator has decided.
func (r *Runner) stop(p *partition, why string) {
	p.phase, p.why = stopped, why
	p.queue = nil
	r.consumer.PauseFetchPartitions(map[string][]int32{r.s.Input.Topic: {p.n}})
	r.log.Error().Int32("partition", p.n).Msg(why)
}

// loop runs cycles until the process is told to stop.
func (r *Runner) loop() error {
	for r.ctx.Err() == nil {
		err := r.cycle()
		if err == nil {
			continue
		}
		if r.ctx.Err() != nil && errors.Is(err, r.ctx.Err()) {
			return nil // told to stop while something was waited for
		}
		if errors.Is(err, errExpelled) {
			r.log.Warn().Err(err).Msg("giving up all partitions and joining the group anew")
			if err := r.rejoin(); err != nil && r.ctx.Err() == nil {
				return err
			}
			continue
		}
		if errors.Is(err, kerr.FencedInstanceID) {
			return &FencedError{r.s.Instance}
		}
		if errors.Is(err, state.ErrCorrupt) {
			// A transaction may have begun; what it wrote is decided before the changelog's end is asked for.
			r.producer.close()
			if err := r.takeEpoch(); err != nil {
				return nil // told to stop meanwhile
			}
			if err := r.replaceStore(err); err != nil {
				return err
			}
			continue
		}
		var lost *uncommittedError
		if !errors.As(err, &lost) {
			return err
		}
		if r.ctx.Err() != nil {
			return nil
		}
		r.log.Warn().Err(err).Msg("a transaction did not commit: taking a new producer epoch and restoring")
		if err := r.recover(); err != nil {
			return err
		}
		if r.uncommitted++; r.uncommitted >= uncommittedMax {
			r.health.set("transactions", fmt.Sprintf("the last %d transactions did not commit, the last because of: %s", r.uncommitted, err))
			r.pause(min(time.Duration(r.uncommitted)*r.s.Commit.Interval, 5*time.Second)) // each leaves aborted records behind
		}
	}
	return nil
}

// uncommittedMax is how many transactions may fail one after the other before /readyz says so: kills and rebalances cost one, rarely two.
const uncommittedMax = 3

// uncommittedError is a transaction whose outcome is not a clear commit.
type uncommittedError struct{ error }

func (e *uncommittedError) Unwrap() error { return e.error }

// cycle makes at most one transaction. No partition comes or goes while it runs.
func (r *Runner) cycle() error {
	defer r.consumer.AllowRebalance()
	wait := r.s.Commit.Interval
	switch {
	case r.unfinished:
		wait = 0
	case r.busy:
		wait = time.Millisecond // of the parked partitions enough is left to do
	case r.sweeping():
		wait /= 4 // records are waited for, and they come first; but they need not come
	}
	fetches := r.poll(wait)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.member(); err != nil {
		return err
	}
	if err := r.db.Damage(); err != nil {
		return err
	}
	if err := r.takeFetches(fetches); err != nil {
		return err
	}
	if err := r.takeAssigned(); err != nil {
		return err
	}
	r.takeWaiting()
	if err := r.takeRestored(); err != nil {
		return err
	}
	if err := r.dropReleased(time.Now()); err != nil {
		return err
	}
	r.tellTime()
	until := time.Now().Add(r.s.Commit.Interval)
	for collecting := fetches.NumRecords() > 0; ; {
		if err := r.apply(until); err != nil {
			return err
		}
		left := time.Until(until)
		if !collecting || r.unfinished || r.busy || left <= 0 || r.ctx.Err() != nil {
			break
		}
		// What has come meanwhile goes into the same transaction.
		var more kgo.Fetches
		r.unlocked(func() { more = r.poll(left) })
		if err := r.takeFetches(more); err != nil {
			return err
		}
	}
	if err := r.sweep(); err != nil {
		return err
	}
	r.missModels()
	if r.changed() {
		if err := r.commit(); err != nil {
			return err
		}
	}
	return r.flushDue()
}

// unlocked waits for brokers, in a cycle, without mu: probes and readers do not wait for Kafka. No partition comes or goes meanwhile, and no task works.
func (r *Runner) unlocked(wait func()) {
	r.mu.Unlock()
	defer r.mu.Lock()
	wait()
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

// active returns the partitions that run, in no order.
func (r *Runner) active() []*partition {
	var list []*partition
	for _, p := range r.partitions {
		if p.phase == running {
			list = append(list, p)
		}
	}
	return list
}

func (r *Runner) changed() bool {
	for _, p := range r.partitions {
		if p.phase == running && p.task.Changed() {
			return true
		}
	}
	return false
}

// poll waits for records, at most for a while, and keeps rebalances out until AllowRebalance. Nothing is fetched while what was fetched has not
// been applied.
func (r *Runner) poll(wait time.Duration) kgo.Fetches {
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
		p := r.partitions[f.Partition]
		if f.Topic != r.s.Input.Topic || p == nil {
			if f.Err != nil && !errors.Is(f.Err, context.DeadlineExceeded) && !errors.Is(f.Err, context.Canceled) {
				r.fetchFailed(nil, f.Err)
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
			r.fetchFailed(p, f.Err)
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
func (r *Runner) mayGoOnAt(p *partition, first, logStart int64) bool {
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
func (r *Runner) lostData(p *partition, start int64) {
	if r.s.OnDataLoss == "continue" {
		r.log.Warn().Int32("partition", p.n).Int64("position", p.fetched.Offset).Int64("start", start).Msg("records were lost before they were read: going on, as told")
		r.readFrom(p, kgo.EpochOffset{Epoch: -1, Offset: start})
		return
	}
	r.stop(p, fmt.Sprintf("partition %d: the records from offset %d to %d of topic %q were deleted before they were read. Restore them, or accept the loss with --on-data-loss=continue",
		p.n, p.fetched.Offset, start, r.s.Input.Topic))
}

// wasCut is told that the log ends before what was read of it: a leader that knew less was elected, and new records take the offsets of old ones.
func (r *Runner) wasCut(p *partition, end kgo.EpochOffset) {
	p.queue = nil // it may hold what is gone
	position := p.position()
	switch {
	case end.Offset >= position.Offset:
		r.readFrom(p, position)
	case r.s.OnDataLoss == "continue":
		r.log.Warn().Int32("partition", p.n).Int64("position", position.Offset).Int64("end", end.Offset).
			Msg("the brokers lost records that were applied: going on, as told")
		p.task.Rewind(end.Offset)
		p.epoch = end.Epoch
		r.readFrom(p, end)
	default:
		r.stop(p, fmt.Sprintf("partition %d: topic %q ends at offset %d, before the position %d: the brokers lost records that were applied. New records take "+
			"their offsets: --on-data-loss=continue goes on at offset %d and keeps what was applied", p.n, r.s.Input.Topic, end.Offset, position.Offset, end.Offset))
	}
}

func (r *Runner) fetchFailed(p *partition, err error) {
	var loss *kgo.ErrDataLoss
	cut, outside := errors.As(err, &loss), errors.Is(err, kerr.OffsetOutOfRange)
	switch {
	case cut && (p == nil || p.phase == restoring):
		r.cuts[loss.Partition] = kgo.EpochOffset{Epoch: loss.ResetToEpoch, Offset: loss.ResetTo} // the client says it once
	case (cut || outside) && (p == nil || p.phase != running):
		// It will be read from its position, and the brokers asked again.
	case cut:
		r.wasCut(p, kgo.EpochOffset{Epoch: loss.ResetToEpoch, Offset: loss.ResetTo})
	case outside:
		r.outOfRange(p)
	default:
		r.complain("reading the input: " + err.Error())
		r.log.Debug().Err(err).Msg("reading the input")
	}
}

// outOfRange finds out at which end of the log the offset that is read from lies outside.
func (r *Runner) outOfRange(p *partition) {
	ctx, cancel := context.WithTimeout(r.ctx, r.s.Commit.Timeout)
	defer cancel()
	var starts, ends kadm.ListedOffsets
	var err, endsErr error
	r.unlocked(func() {
		starts, err = r.adm.ListStartOffsets(ctx, r.s.Input.Topic)
		ends, endsErr = r.adm.ListEndOffsets(ctx, r.s.Input.Topic)
	})
	if err = errors.Join(err, starts.Error(), endsErr, ends.Error()); err != nil {
		r.complain("asking for the input's start and end: " + err.Error())
		return // the next fetch fails again
	}
	start, _ := starts.Lookup(r.s.Input.Topic, p.n)
	end, _ := ends.Lookup(r.s.Input.Topic, p.n)
	switch {
	case p.fetched.Offset < start.Offset:
		r.lostData(p, start.Offset)
	case p.fetched.Offset > end.Offset:
		r.wasCut(p, kgo.EpochOffset{Epoch: end.LeaderEpoch, Offset: end.Offset})
	default:
		r.readFrom(p, p.fetched) // a replica was behind
	}
}

// apply lets every task work on what is queued until the time is up.
func (r *Runner) apply(until time.Time) error {
	began := time.Now()
	now := operators.EventTime(began.UnixMilli())
	expired := func() bool { return !time.Now().Before(until) }
	err := r.inParallel(func(p *partition) (err error) {
		p.task.Begin(now)
		p.done, err = p.apply(r, &task.Budget{Outputs: r.s.Commit.Outputs, Expired: expired})
		return err
	})
	r.unfinished, r.busy = false, false
	r.metrics.phases.WithLabelValues("apply").Observe(time.Since(began).Seconds())
	for _, p := range r.active() {
		r.park(p)
		r.busy = r.busy || !p.done
		r.unfinished = r.unfinished || !p.done && !p.parked
	}
	return err
}

// inParallel lets every running partition work, in a goroutine of its own. One that needs a model which has not been read is taken out of work.
func (r *Runner) inParallel(work func(p *partition) error) error {
	var group sync.WaitGroup
	for _, p := range r.active() {
		group.Go(func() { p.err = work(p) })
	}
	group.Wait()
	var errs []error
	for _, p := range r.active() {
		var unknown *task.UnknownModelError
		if errors.As(p.err, &unknown) {
			p.err = r.wait(p, unknown.Ref)
		}
		if p.err != nil {
			errs = append(errs, fmt.Errorf("partition %d: %w", p.n, p.err))
		}
	}
	return errors.Join(errs...)
}

// parkedAfter is how many transactions in a row may leave a partition with work before the others go on without it. A backlog leaves a few at a time.
const parkedAfter = 10

// park lets the others be read while one partition is at work for long, on a mark that has released very many deadlines: it is not read meanwhile, and
// read on from where it stands when it is done.
func (r *Runner) park(p *partition) {
	input := map[string][]int32{r.s.Input.Topic: {p.n}}
	switch {
	case p.done && p.parked:
		p.parked, p.busyFor = false, 0
		r.readFrom(p, p.fetched) // what came while it was parked may be gone
		r.consumer.ResumeFetchPartitions(input)
	case p.done:
		p.busyFor = 0
	default:
		if p.busyFor++; p.busyFor == parkedAfter {
			p.parked = true
			r.consumer.PauseFetchPartitions(input)
		}
	}
}

// wait takes a partition out of work until a model has been read. What it has done in the transaction under way is forgotten.
func (r *Runner) wait(p *partition, ref uint32) error {
	r.consumer.PauseFetchPartitions(map[string][]int32{r.s.Input.Topic: {p.n}})
	p.phase, p.needs = waiting, ref
	p.why = fmt.Sprintf("partition %d waits for the model with the short name %08x, which its state was computed with: this process has not read it from topic %q yet, or "+
		"it was deleted there. If it was, publish it again under the same version", p.n, ref, r.s.Topic(ModelsTopic))
	r.log.Warn().Int32("partition", p.n).Msg(p.why)
	return p.abort()
}

// takeWaiting lets the partitions go on whose models have been read.
func (r *Runner) takeWaiting() {
	why := ""
	for _, p := range r.partitions {
		switch {
		case p.phase != waiting:
		case r.models.Model(p.needs) == nil:
			why = p.why
		default:
			p.why = ""
			r.startRestore(p, false)
		}
	}
	r.health.setIf("models", why)
}

// commit makes the transaction of what has been applied.
func (r *Runner) commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*r.s.Commit.Timeout)
	defer cancel()
	began := time.Now()
	if err := r.producer.begin(); err != nil {
		return &uncommittedError{err}
	}
	positions := make(map[int32]kgo.EpochOffset)
	var group sync.WaitGroup
	for _, p := range r.active() {
		if !p.task.Changed() {
			continue
		}
		positions[p.n] = p.position()
		group.Go(func() { p.err = p.finish(ctx, r) })
	}
	group.Wait()
	for n := range positions {
		if err := r.partitions[n].err; err != nil {
			return fmt.Errorf("partition %d: %w", n, err)
		}
	}
	produced := time.Now()
	member := func() (member, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.member()
	}
	var ends map[int32]int64
	var err error
	r.unlocked(func() { ends, err = r.producer.commit(ctx, member, positions, r.ids.input) })
	if err != nil {
		r.metrics.transactions.WithLabelValues("uncommitted").Inc()
		return &uncommittedError{err}
	}
	for n := range positions {
		p := r.partitions[n]
		p.store.Commit(ends[n])
		p.task.Committed()
		r.metrics.committed(p)
		if p.stats.misplaced > 0 {
			r.health.warnIf("placement", fmt.Sprintf("records of topic %q are in partitions that neither murmur2, CRC-32 nor FNV-1a puts their keys into: "+
				"one customer may be in several partitions. Key the topic by customer id with one partitioner", r.s.Input.Topic))
		}
		p.stats = txnStats{}
		p.store.MarkAtEnd(time.Now().UnixMilli())
	}
	r.uncommitted = 0
	r.health.clear("transactions")
	r.metrics.transactions.WithLabelValues("committed").Inc()
	r.metrics.phases.WithLabelValues("encode").Observe(produced.Sub(began).Seconds())
	r.metrics.phases.WithLabelValues("commit").Observe(time.Since(produced).Seconds())
	return nil
}

// errExpelled says that the group has expelled the member that this process was, while it was about to rejoin.
var errExpelled = errors.New("the group has expelled this process in the midst of a rebalance: others may have had its partitions")

// member returns who this process is in the group. The client may have become another member behind the cycle's back: expelled while its request to
// join again was under way, it joins as a new one and takes the partitions that it gets for those it had. Others may have committed in them
// meanwhile, and the new member's commit would be taken; so the error is errExpelled unless the member is the one that the partitions were
// assigned to. mu is held.
func (r *Runner) member() (member, error) {
	id, generation := r.consumer.GroupMetadata()
	if id != r.memberID && len(r.partitions)+len(r.assigned) > 0 {
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
	clear(r.assigned)
	r.mu.Unlock()
	r.consumer.CloseAllowingRebalance()
	r.consumer = nil // a client that is closed twice waits for ever
	if err := r.takeEpoch(); err != nil {
		return err
	}
	return r.join()
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
			return fmt.Errorf("flushing partition %d: %w", p.n, err)
		}
	}
	return nil
}

// recover goes back to what is committed: the overlays are dropped, a new epoch decides what became of the transaction, and the changelogs are
// read from their last known ends.
func (r *Runner) recover() error {
	r.producer.close()
	if err := r.takeEpoch(); err != nil {
		return nil // told to stop meanwhile
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.active() {
		r.consumer.PauseFetchPartitions(map[string][]int32{r.s.Input.Topic: {p.n}})
		if err := p.abort(); err != nil {
			return err
		}
		r.startRestore(p, false)
	}
	return nil
}

// shutDown flushes what is committed. Static members do not leave their group: a restarted process has its partitions back at once.
func (r *Runner) shutDown() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for n, p := range r.partitions {
		r.endRestore(p)
		delete(r.partitions, n)
		if err := p.store.Flush(); err != nil {
			errs = append(errs, fmt.Errorf("flushing partition %d: %w", n, err))
		}
		p.store.Close()
	}
	r.log.Info().Msg("stopped")
	return errors.Join(errs...)
}
