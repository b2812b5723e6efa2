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
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"lull/operators"
	"lull/operators/clv"
	"lull/pipeline/registry"
	"lull/pipeline/security"
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
// follower, the probe, the registry, the fitter, the snapshots', the HTTP server's. mu guards what the group's callbacks and the HTTP handlers share with loop.
type Runner struct {
	s       *Settings
	machine machine
	log     zerolog.Logger
	ctx     context.Context // ends when the process is told to
	began   time.Time       // by the wall clock and the monotonic one
	chain   *operators.Chain
	access  *security.Access
	inputs  []*inputTopic // in the order of their names
	// registry knows the schemas of registry-avro; nil with other formats.
	registry *registry.Registry
	// schemaIDs are the ids of our schemas in the registry, of the topics whose format has them.
	schemaIDs map[schemas.Topic]uint32

	consumer       *kgo.Client
	client         *kgo.Client // for requests, the reading of changelogs among them, that the group's polls must not hold up
	adm            *kadm.Client
	producer       *producer
	db             *state.DB
	models         *models
	ids            topicIDs
	tombstonesKept time.Duration
	toldTime       time.Time           // when the brokers were last asked for the inputs' ends
	droppedAt      time.Time           // when released partitions were last looked for
	idle           map[int32]time.Time // partitions on disk that nobody has released, since when they are known not to be in use
	metrics        *metrics
	summary        summary
	tracer         trace.Tracer
	cycling        *cycle
	turns          chan struct{}           // restores of more than a tail that may run at once
	uncommitted    int                     // transactions that did not commit, since nothing was owed
	failedAt       time.Time               // when the last of them did not
	owed           map[topicPartition]bool // what had work in one that did not commit, and has not had any in one that did
	complainedAt   time.Time               // when the client last said why it does not read
	complaint      string                  // what it said, for as long as complaintsLast

	mu             lock
	unfinished     bool // the last budget ended before all that was queued or due, in partitions that are not parked
	busy           bool // the same, in any partition
	sweepOn        bool // a sweep is under way
	modelMissed    bool // it has been said that no model is in force
	partitions     map[int32]*partition
	feeds          map[topicPartition]*feed
	relayed        []*kgo.Record    // what the feeds have to produce in the transaction under way, in order
	known          map[uint64]bool  // the feeds that there can be
	strangers      atomic.Bool      // a record has come of another
	metAt          time.Time        // when the inputs were last asked for because of that
	spoilt         bool             // records are gathered of a feed that has been stopped since
	feedIDs        map[uint64]bool  // of the feeds here
	heard          map[uint64]heard // of feeds that other processes have
	newest         newest           // of the inputs when this process started
	committedFeeds committedFeeds
	assigned       map[topicPartition]kgo.EpochOffset // assigned, not yet taken in by loop: the committed offset
	memberID       string                             // of the member of the group that all these were assigned to
	cuts           map[topicPartition]kgo.EpochOffset // where logs were found to end before the position, of partitions that do not run yet
	tallies        map[string]*tally                  // of topics of which records have been read
	snapshotAt     time.Time                          // when a snapshot was last written or found, as far as the one that takes them knows
	health         health
	stirred        chan struct{} // closed when a partition has come further, or to this process, or has gone; nil while nobody waits for it
}

// Run runs until ctx ends, then commits, flushes and returns nil. Snapshots may be nil if snapshots.every is 0. The error is a *FencedError if another process has the instance id, and a *PrefixError if the prefix is not
// this application's, or its state was made with other settings.
func Run(ctx context.Context, s Settings, log zerolog.Logger, snapshots Snapshots) error {
	m := thisMachine()
	m.snapshots = snapshots
	return runOn(ctx, m, s, log)
}

func runOn(ctx context.Context, m machine, s Settings, log zerolog.Logger) error {
	if s.Instance == "" {
		return errors.New(`instance is "": it must be a name of this process, stable over restarts and unique in the group`)
	}
	began := time.Now()
	r := &Runner{
		s: &s, machine: m, log: log, ctx: ctx, mu: newLock(), chain: clv.NewChain(s.Chain()), access: s.access(m.dial),
		partitions: make(map[int32]*partition), feeds: make(map[topicPartition]*feed), committedFeeds: committedFeeds{feeds: make(map[uint64]committedFeed)}, heard: make(map[uint64]heard), feedIDs: make(map[uint64]bool), assigned: make(map[topicPartition]kgo.EpochOffset),
		cuts: make(map[topicPartition]kgo.EpochOffset), owed: make(map[topicPartition]bool), metrics: newMetrics(s.Chain().Trigger.Rules), began: began,
		turns: make(chan struct{}, max(2, runtime.GOMAXPROCS(0)/2)), // while one writes, another reads
	}
	r.health.set("startup", "the process is starting")
	stopTracing, err := r.startTracing()
	if err != nil {
		return err
	}
	defer stopTracing()
	if readable := s.Security.ReadableOnTheWay(); readable != "" {
		r.log.Warn().Msg(readable)
	}
	server, err := r.serve()
	if err != nil {
		return err
	}
	defer server.close()
	if s.HTTP.Debug != "" {
		debug, err := r.listen("http.debug", s.HTTP.Debug, &http.Server{Handler: r.debugHandler(), ReadTimeout: readTimeout, MaxHeaderBytes: 1 << 16})
		if err != nil {
			return err
		}
		defer debug.close()
	}
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
	if err := r.loadInputs(); err != nil {
		return err
	}
	if err := r.connect(); err != nil {
		return err
	}
	defer r.client.Close()
	if err := r.claimPrefix(); err != nil {
		return err
	}
	if err := r.identifySchemas(); err != nil {
		return err
	}
	following, stopFollowing := context.WithCancel(r.ctx)
	defer stopFollowing()
	stopped, err := r.startModels(following)
	if err != nil {
		return err
	}
	var beside sync.WaitGroup
	beside.Go(func() { r.probe(following) })
	if r.registry != nil {
		beside.Go(func() { r.registry.Run(following, r.subjects()...) })
	}
	if r.s.Fit.Mode != "off" {
		beside.Go(func() { r.fitModels(following) })
	}
	if r.s.Snapshots.Every > 0 {
		beside.Go(func() { r.scheduleSnapshots(following) })
	}
	stopBeside := func() { // a second time it does nothing
		stopFollowing()
		<-stopped
		beside.Wait()
	}
	defer stopBeside()
	if err := r.checkKeys(); err != nil {
		return err
	}
	if err := r.takeEpoch(); err != nil {
		return err
	}
	defer func() { r.producer.close() }()
	if err := r.join(); err != nil {
		return err
	}
	r.health.clear("startup")
	err = r.loop()
	for _, in := range r.inputs {
		in.stopWatching()
	}
	err = errors.Join(err, r.shutDown())
	if r.consumer != nil { // told to stop while it was to join anew
		r.consumer.Close()
	}
	if r.s.OnStop == "leave" && r.ctx.Err() != nil {
		stopBeside() // a fitter that runs would join its group again
		err = errors.Join(err, r.leave())
	}
	return err
}

func (r *Runner) startModels(ctx context.Context) (stopped <-chan struct{}, err error) {
	for {
		var m *models
		m, stopped, err = followModels(ctx, r.s, r.access, r.adm, r.log, r.followFailed)
		if err == nil {
			r.mu.Lock()
			r.models = m
			r.mu.Unlock()
			r.health.clear("models")
			return stopped, nil
		}
		if r.ctx.Err() != nil {
			return nil, r.ctx.Err()
		}
		err = security.Explain(err)
		r.health.set("models", err.Error())
		r.log.Warn().Err(err).Msg("reading the models; trying again")
		r.pause(time.Second)
	}
}

// followFailed is told what keeps the models from being followed, nil when nothing does.
func (r *Runner) followFailed(err error) {
	warning := ""
	if err != nil {
		warning = security.Explain(err).Error() + ": new models are not seen"
		r.log.Warn().Msg(warning)
	}
	r.health.warnIf("models topic", warning)
}

// takeEpoch makes a producer, however long that takes: by its epoch Kafka decides what became of the last one's transaction.
func (r *Runner) takeEpoch() error {
	for {
		ctx, cancel := context.WithTimeout(r.ctx, 2*r.s.Commit.Timeout)
		p, err := newProducer(ctx, r.s, r.access, r.s.transactionalID())
		cancel()
		if err == nil {
			r.producer = p
			r.health.clear("producer")
			return nil
		}
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		err = security.Explain(err)
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
		var lost *uncommittedError
		if errors.As(err, &lost) {
			if r.ctx.Err() != nil {
				return nil
			}
			r.log.Warn().Err(security.Explain(err)).Msg("a transaction did not commit: taking a new producer epoch and restoring")
			if err = r.recover(); err == nil {
				r.backOff(lost)
				continue
			}
		}
		if !errors.Is(err, state.ErrCorrupt) {
			return err
		}
		// A transaction may have begun; what it wrote is decided before the changelog's end is asked for.
		r.producer.close()
		if err := r.takeEpoch(); err != nil {
			return nil // told to stop meanwhile
		}
		if err := r.replaceStore(err); err != nil {
			return err
		}
	}
	return nil
}

// backOff says so if transactions fail one after the other, and waits longer and longer: each leaves aborted records behind.
func (r *Runner) backOff(lost *uncommittedError) {
	r.failedAt = time.Now()
	if r.uncommitted++; r.uncommitted >= uncommittedMax {
		r.health.set("transactions", fmt.Sprintf("the last %d transactions did not commit, the last because of: %s", r.uncommitted, security.Explain(lost)))
		r.pause(min(time.Duration(r.uncommitted)*r.s.Commit.Interval, 5*time.Second))
	}
}

// uncommittedMax is how many transactions may fail before /readyz says so, as long as what was to be done in one is still owed: kills and rebalances cost one, rarely two.
const uncommittedMax = 3

// uncommittedError is a transaction whose outcome is not a clear commit.
type uncommittedError struct{ error }

func (e *uncommittedError) Unwrap() error { return e.error }

// cycle makes at most one transaction. No partition comes or goes while it runs.
func (r *Runner) cycle() error {
	defer r.consumer.AllowRebalance()
	r.cycling.begin()
	wait := r.s.Commit.Interval
	switch {
	case r.unfinished:
		wait = 0
	case r.busy:
		wait = time.Millisecond // of the parked partitions enough is left to do
	case r.sweepOn:
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
	r.meetStrangers(time.Now())
	if err := r.takeRestored(); err != nil {
		return err
	}
	if err := r.takeFeeds(); err != nil {
		return err
	}
	if err := r.dropReleased(time.Now()); err != nil {
		return err
	}
	r.tellTime()
	r.hearCommitted(time.Now())
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
	sweeping := time.Now()
	if err := r.sweep(); err != nil {
		return err
	}
	r.cycling.step(sweepSpan, sweeping)
	if err := r.summarize(time.Now()); err != nil {
		return err
	}
	r.missModels()
	work := r.atWork()
	r.announceStatistics()
	r.judgeRefusals(time.Now())
	r.sweepOn = r.sweeping()
	if r.changed() {
		err := r.commit()
		r.cycling.end(r, err)
		if err != nil {
			for _, tp := range work {
				r.owed[tp] = true
			}
			return err
		}
		r.settle(work)
	}
	if time.Since(r.failedAt) > complaintsLast {
		clear(r.owed) // it has gone to another process, or there is nothing to be done in it any more
		r.settle(nil)
	}
	return r.flushDue()
}

// unlocked waits for brokers, in a cycle, without mu: probes and readers do not wait for Kafka. No partition comes or goes meanwhile, and no task works.
func (r *Runner) unlocked(wait func()) {
	r.mu.Unlock()
	defer r.mu.Lock()
	wait()
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

// atWork returns where the transaction has something to write, apart from statistics, which are told after every recovery: their commit says nothing of what did not commit.
func (r *Runner) atWork() (work []topicPartition) {
	for _, p := range r.active() {
		if p.task.Changed() {
			work = append(work, p.topicPartition)
		}
	}
	for _, f := range r.activeFeeds() {
		if f.Changed() {
			work = append(work, f.topicPartition)
		}
	}
	return work
}

// settle takes it in that work has been committed. When none is owed any more, transactions commit again.
func (r *Runner) settle(work []topicPartition) {
	for _, tp := range work {
		delete(r.owed, tp)
	}
	if len(r.owed) == 0 && r.uncommitted > 0 {
		r.uncommitted = 0
		r.health.clear("transactions")
	}
}

func (r *Runner) changed() bool {
	return r.spoilt || slices.ContainsFunc(r.active(), func(p *partition) bool { return p.task.Changed() }) || slices.ContainsFunc(r.activeFeeds(), (*feed).Changed)
}

// apply lets every task work on what is queued until the time is up.
func (r *Runner) apply(until time.Time) error {
	began := time.Now()
	now := operators.EventTime(began.UnixMilli())
	expired := func() bool { return !time.Now().Before(until) }
	var feeding sync.WaitGroup
	if feeds := r.activeFeeds(); len(feeds) > 0 {
		others, history := r.hearOthers(began), r.committedLimit()
		feeding.Go(func() { r.feed(feeds, others, history, now, expired) })
	}
	err := r.inParallel(func(p *partition) (err error) {
		p.task.Begin(now)
		p.done, err = p.apply(r, &task.Budget{Outputs: r.s.Commit.Outputs, Expired: expired})
		return err
	})
	feeding.Wait()
	for _, f := range r.activeFeeds() {
		if f.err != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", r.named(&f.reader), f.err))
		}
	}
	r.unfinished, r.busy = false, false
	r.metrics.phases.WithLabelValues("apply").Observe(time.Since(began).Seconds())
	r.cycling.step(applySpan, began)
	for _, p := range r.running() {
		r.park(p)
		r.busy = r.busy || !p.done && p.awaits == "" && !p.held
		r.unfinished = r.unfinished || !p.done && !p.parked && !p.held
	}
	r.tellAwaited()
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

// wait takes a partition out of work until a model has been read. What it has done in the transaction under way is forgotten.
func (r *Runner) wait(p *partition, ref uint32) error {
	r.consumer.PauseFetchPartitions(p.only())
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
	r.cycling.start(r)
	if r.spoilt {
		//lull:unread what stopped the partition is what is told
		return &uncommittedError{errors.New("a partition was stopped in the midst of the transaction")}
	}
	if err := r.producer.begin(); err != nil {
		return &uncommittedError{err}
	}
	var positions []committing
	var tasks []*partition
	var feeds []*feed
	var group sync.WaitGroup
	for _, p := range r.active() {
		if !p.task.Changed() {
			continue
		}
		tasks = append(tasks, p)
		positions = append(positions, committing{topicPartition: p.topicPartition, topicID: r.ids.input, position: p.position()})
		group.Go(func() { p.err = p.finish(ctx, r) })
	}
	for _, f := range r.activeFeeds() {
		if !f.Changed() {
			continue
		}
		feeds = append(feeds, f)
		f.err = f.finish(r)
		r.gather(f)
	}
	group.Go(func() {
		r.cycling.sign(r.s, r.relayed)
		for _, record := range r.relayed {
			r.producer.produce(ctx, record)
		}
		clear(r.relayed)
		r.relayed = r.relayed[:0]
	})
	group.Wait()
	for _, p := range tasks {
		if p.err != nil {
			return fmt.Errorf("%s: %w", r.named(&p.reader), p.err)
		}
	}
	for _, f := range feeds {
		if f.err != nil {
			return fmt.Errorf("%s: %w", r.named(&f.reader), f.err)
		}
		positions = append(positions, committing{topicPartition: f.topicPartition, topicID: f.from.id, position: f.position(), metadata: f.feed.Meta().String()})
	}
	produced := time.Now()
	r.cycling.produced(r)
	r.cycling.step(produceSpan, began)
	member := func() (member, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.member()
	}
	var ends map[int32]int64
	var err error
	r.unlocked(func() { ends, err = r.producer.commit(ctx, member, positions) })
	r.cycling.step(commitSpan, produced)
	if err != nil {
		r.metrics.transactions.WithLabelValues("uncommitted").Inc()
		return &uncommittedError{err}
	}
	for _, f := range feeds {
		f.committed(r)
	}
	for _, p := range tasks {
		p.store.Commit(ends[p.n])
		p.stats.loads = p.task.Loads()
		p.task.Committed()
		p.durable = p.task.Position()
		r.metrics.committed(&p.reader)
		r.count(&p.reader)
		if p.stats.misplaced > 0 {
			r.health.warnIf("placement", fmt.Sprintf("records of topic %q are in partitions that neither murmur2, CRC-32 nor FNV-1a puts their keys into: "+
				"one customer may be in several partitions. Key the topic by customer id with one partitioner", p.topic))
		}
		if p.stats.deadLetters[schemas.ReasonKeyMismatch] > 0 {
			r.health.warnIf("keys", fmt.Sprintf("records of topic %q have another key than their customer's id, and are dead letters (%s): key the topic by customer id",
				p.topic, schemas.ReasonKeyMismatch))
		}
		p.stats = txnStats{}
		p.store.MarkAtEnd(time.Now().UnixMilli())
	}
	r.stir()
	r.metrics.transactions.WithLabelValues("committed").Inc()
	r.metrics.phases.WithLabelValues("encode").Observe(produced.Sub(began).Seconds())
	r.metrics.phases.WithLabelValues("commit").Observe(time.Since(produced).Seconds())
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
		r.consumer.PauseFetchPartitions(p.only())
		if err := p.abort(); err != nil {
			return err
		}
		r.startRestore(p, false)
	}
	r.resumeFeeds()
	return nil
}

// shutDown flushes what is committed. Static members do not leave their group: a restarted process has its partitions back at once.
func (r *Runner) shutDown() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for tp := range r.feeds {
		r.dropFeed(tp, "given back")
	}
	for n, p := range r.partitions {
		r.endRestore(p)
		delete(r.partitions, n)
		if err := p.store.Flush(); err != nil {
			errs = append(errs, err) // which names the partition
		}
		p.store.Close()
	}
	r.log.Info().Msg("stopped")
	return errors.Join(errs...)
}
