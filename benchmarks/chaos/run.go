package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	partitions  = 8
	inputTopic  = "events" // keyed by customer
	ordersTopic = "orders" // keyed by order
	webTopic    = "web"    // keyed by event
	application = "chaos"  // its prefix without the dot, and its group
	oracle      = "oracle"
	modelFile   = "cmd/lull/cdnow/model.yaml"

	// flushEvery is state.flush_every: so often that most faults find a flush under way or half of the state unflushed.
	flushEvery = 2 * time.Second
	// recoveryMax is how long it may take from the end of a fault until all is committed that was there then: a transaction of a dead process, its
	// membership, a restore, and two slow processors that others use too.
	recoveryMax = 4 * time.Minute
	// catchUpMax is how long one process may take for the whole input.
	catchUpMax = 10 * time.Minute
)

// inputTopics returns the topics that the shop writes to.
func (o *options) inputTopics() []string {
	if o.staged() {
		return []string{ordersTopic, webTopic}
	}
	return []string{inputTopic}
}

// staged reports whether there is a first stage.
func (o *options) staged() bool { return o.inputs == 2 }

// eventsOf returns the internal topic of an application's first stage.
func eventsOf(application string) string { return application + ".events" }

var processNames = []string{"one", "two", "three", "four", "five"}

// run is a run of the program. The faults of a plan are made by several goroutines; a fault holds its process, or the brokers.
type run struct {
	*options
	brokers   *brokers
	processes []*process
	spare     *process // joins and leaves
	disk      *disk    // nil: there is none
	feed      *feed
	began     time.Time

	mu         sync.Mutex // guards what follows, and standard output
	violations int
	counts     [faultKinds]int
	overtaken  int // transactions and rejoining members that others overtook
	recoveries []time.Duration
	costs      []cost // of the steps of a plan that makes no faults
}

// violate notes and prints a violation.
func (r *run) violate(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations++
	fmt.Println("VIOLATION", fmt.Sprintf(format, args...))
}

func (r *run) print(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := time.Since(r.began)
	fmt.Printf("%02d:%02d  %s\n", int(at.Minutes()), int(at.Seconds())%60, fmt.Sprintf(format, args...))
}

// prepare starts brokers, pipelines and feed.
func (r *run) prepare(ctx context.Context) (err error) {
	r.began = time.Now()
	listeners := r.options.processes + 1
	if r.brokers, err = startBrokers(ctx, filepath.Join(r.dir, "kafka"), r.port, listeners); err != nil {
		return err
	}
	if err := r.createApplication(ctx, r.from, application); err != nil {
		return err
	}
	for _, name := range processNames[:r.options.processes] {
		p, err := r.newProcess(ctx, name, len(r.processes)+1)
		if err != nil {
			return err
		}
		r.processes = append(r.processes, p)
	}
	if r.spare, err = r.newProcess(ctx, "spare", listeners); err != nil {
		return err
	}
	if r.disk, err = newDisk(r.processes[diskProcess].stateDir); err != nil {
		r.print("no fault %q: %v", fullDisk, err)
	}
	first := r.processes
	if r.drill {
		first = first[:1]
	}
	for _, p := range first {
		if err := p.start(); err != nil {
			return err
		}
	}
	if r.feed, err = startFeed(r.brokers, r.options); err != nil {
		return err
	}
	if !pause(ctx, time.Second) {
		return ctx.Err()
	}
	if err := r.awaitCaughtUp(ctx); err != nil {
		return err
	}
	r.print("%d brokers and %d pipelines run, %d records a second come in; seed %d", brokerCount, len(first), r.rate, r.seed)
	return nil
}

// createApplication makes the topics of an application by this binary, and puts its model.
func (r *run) createApplication(ctx context.Context, program, name string) error {
	config := filepath.Join(r.dir, name+"-topics.yaml")
	settings := fmt.Sprintf("brokers: [%s]\nprefix: %s.\n%s", strings.Join(r.brokers.addresses(), ", "), name, r.inputSettings())
	if err := os.WriteFile(config, []byte(settings), 0o644); err != nil {
		return err
	}
	if err := runLull(ctx, program, "topics", "apply", "--input-partitions", fmt.Sprint(partitions), "--config", config); err != nil {
		return err
	}
	return runLull(ctx, program, "models", "put", modelFile, "--config", config)
}

// inputSettings are the lines of a settings file that say what is read. With a first stage everybody's time waits for the partition of an input that is furthest behind, so that
// more sessions are open at once when a process stands still.
func (o *options) inputSettings() string {
	if o.staged() {
		return fmt.Sprintf("inputs: {%s: {}, %s: {}}\nlimits: {open_sessions: 64, message_ids: 1024}\n", ordersTopic, webTopic)
	}
	return fmt.Sprintf("input: {topic: %s}\n", inputTopic)
}

// runLull runs one of the small commands.
func runLull(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = bareEnvironment()
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("lull %s: %w\n%s", strings.Join(args[:2], " "), err, output)
	}
	return nil
}

// newProcess makes a process of the application, with proxies before its k-th listeners, from 1.
func (r *run) newProcess(ctx context.Context, name string, k int) (*process, error) {
	p, err := r.settle(r.from, application, name, k, r.brokers.advertised(k))
	if err != nil {
		return nil, err
	}
	if err := runLull(ctx, p.program, "config", "validate", "--config", p.config); err != nil {
		return nil, err
	}
	behind := r.brokers.behind(k)
	for i, address := range r.brokers.advertised(k) {
		link, err := newProxy(address, behind[i])
		if err != nil {
			return nil, err
		}
		p.network = append(p.network, link)
	}
	return p, nil
}

// settle writes the settings of a process, which runs this binary.
func (r *run) settle(program, application, name string, k int, addresses []string) (*process, error) {
	p := &process{
		name: name, program: program, config: filepath.Join(r.dir, name+".yaml"), stateDir: filepath.Join(r.dir, name+"-state"),
		log: filepath.Join(r.dir, name+".log"), died: r.onDeath,
		http: fmt.Sprintf("%s:%d", host, r.port+2*brokerCount*(r.options.processes+2)+k),
	}
	settings := fmt.Sprintf(`brokers: [%s]
prefix: %s.
instance: %s
state: {dir: %s, flush_every: %s}
http: {listen: "%s"}
clock: {mode: event, lateness: %s}
commit: {timeout: %s, session_timeout: %s}
fit: {mode: demand, statistics_every: 1s}
money: {currency: %s}
%s`, strings.Join(addresses, ", "), application, name, p.stateDir, flushEvery, p.http, latenessMs*time.Millisecond, sessionTimeout, sessionTimeout, currency, r.inputSettings())
	if err := os.WriteFile(p.config, []byte(settings), 0o644); err != nil {
		return nil, err
	}
	return p, os.MkdirAll(p.stateDir, 0o755)
}

// onDeath is told of a process that has ended by itself, which none must. It is started again, so that the run goes on.
func (r *run) onDeath(p *process, err error) {
	r.violate("%s has ended by itself: %v%s", p.name, err, p.logTail())
	if err := p.start(); err != nil {
		r.violate("%v", err)
	}
}

// awaitCaughtUp waits until the group has committed what the input has now. A violation is noted if that takes too long; then the run is over.
func (r *run) awaitCaughtUp(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, recoveryMax)
	defer cancel()
	err := r.awaitCommitted(patient)
	if err == nil || ctx.Err() != nil {
		return err
	}
	for _, p := range append(slices.Clone(r.processes), r.spare) {
		r.print("/readyz of %s: %s", p.name, p.readiness())
	}
	r.violate("the input has not been committed %s after the last fault ended: %v", recoveryMax, err)
	return errStuck
}

// awaitCommitted waits until the group has committed what the input has now and, with a first stage, what has been passed on of it.
func (r *run) awaitCommitted(ctx context.Context) error {
	if err := r.brokers.awaitCommitted(ctx, application, r.inputTopics()...); err != nil || !r.staged() {
		return err
	}
	return r.brokers.awaitCommitted(ctx, application, eventsOf(application))
}

var errStuck = errors.New("the pipelines are stuck")

// disturb makes the faults of the plan.
func (r *run) disturb(ctx context.Context) error {
	kinds := deck
	if r.disk == nil {
		kinds = slices.DeleteFunc(slices.Clone(deck), func(k faultKind) bool { return k == fullDisk })
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var underWay sync.WaitGroup
	defer underWay.Wait()
	faults := newPlanner(r.seed, len(r.processes))
	plan := faults.all(r.faults, kinds)
	if r.kills+r.brokerKills > 0 {
		plan = faults.kills(r.kills, r.brokerKills)
	}
	for i, f := range plan {
		// The order of the plan is kept: what is still busy is waited for.
		busy := r.target(&f)
		busy.Lock()
		if ctx.Err() != nil {
			busy.Unlock()
			break
		}
		underWay.Go(func() {
			defer busy.Unlock()
			if err := r.make(ctx, i+1, &f); err != nil {
				cancel(err)
			}
		})
		if f.overlap > 0 {
			pause(ctx, f.overlap)
		} else {
			underWay.Wait()
		}
	}
	underWay.Wait()
	return context.Cause(ctx)
}

// target returns what holds off other faults of the same process or of the brokers.
func (r *run) target(f *fault) *sync.Mutex {
	switch f.kind {
	case groupBroker, txnBroker:
		return &r.brokers.busy
	case joined:
		return &r.spare.busy
	}
	return &r.processes[f.process].busy
}

// make makes one fault, ends it, and waits until it has been overcome.
func (r *run) make(ctx context.Context, number int, f *fault) error {
	p := r.processes[f.process]
	began := time.Now()
	target, detail, err := p.name, f.detail(), error(nil)
	switch f.kind {
	case killed:
		err = r.killRepeatedly(ctx, p, f.kills)
	case frozen:
		p.signal(syscall.SIGSTOP)
		pause(ctx, f.hold)
		p.signal(syscall.SIGCONT)
	case overtaken:
		p.signal(syscall.SIGSTOP)
		pause(ctx, backlog)
		detail = r.overtake(ctx, p, kmsg.Produce, func() { p.signal(syscall.SIGCONT) })
	case rejoining:
		detail, err = r.expel(ctx, p)
	case groupBroker, txnBroker:
		target, err = r.killBroker(ctx, f)
	case cut:
		p.disturb(f.broker, (*proxy).refuse)
		pause(ctx, f.hold)
		p.disturb(f.broker, (*proxy).heal)
	case silenced:
		p.disturb(f.broker, (*proxy).silence)
		pause(ctx, f.hold)
		p.disturb(f.broker, (*proxy).heal)
	case delayed:
		p.disturb(0, func(link *proxy) { link.delay(f.latency) })
		pause(ctx, f.hold)
		p.disturb(0, (*proxy).heal)
	case joined:
		target = r.spare.name
		if err = r.spare.start(); err == nil {
			pause(ctx, f.hold)
			err = r.spare.stop()
		}
	case fullDisk:
		err = r.fillDisk(ctx, p, f.hold)
	}
	if err != nil {
		return fmt.Errorf("fault %d, %s: %w", number, f.kind, err)
	}
	ended := time.Now()
	if err := r.awaitCaughtUp(ctx); err != nil {
		return err
	}
	recovery := time.Since(ended)
	r.mu.Lock()
	r.counts[f.kind] += max(1, len(f.kills))
	r.recoveries = append(r.recoveries, recovery)
	r.mu.Unlock()
	r.print("%4d  began %5.1f s ago  %-30s %-9s %-34s committed all %5.1f s after its end",
		number, time.Since(began).Seconds(), f.kind, target, detail, recovery.Seconds())
	return nil
}

// killRepeatedly kills a process and starts it again, several times in a row.
func (r *run) killRepeatedly(ctx context.Context, p *process, kills []kill) error {
	for _, k := range kills {
		pause(ctx, k.after)
		p.kill()
		if !pause(ctx, k.down) {
			return nil
		}
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
}

const (
	// backlog is how long a process stands still before its transaction does, so that there is much in that: less than the session timeout.
	backlog = 2 * time.Second
	// requestMax is how long a request is waited for.
	requestMax = 10 * time.Second
	// overtakenMax is how long a transaction stands still: less than the three times commit.timeout after which the process gives it up.
	overtakenMax = 15 * time.Second
)

// overtake lets all that a process sends and gets stand still from its next request with this API key on, until the others have committed all
// there is: they have taken its partitions over. Then all goes on, the request first. provoke is called when the request is waited for. detail says
// what came of it.
func (r *run) overtake(ctx context.Context, p *process, apiKey kmsg.Key, provoke func()) (detail string) {
	met := make(chan struct{})
	var mu sync.Mutex // whoever meets the request second waits until all is silent, so that no byte of either passes
	armed := true
	stop := func(key int16) {
		mu.Lock()
		defer mu.Unlock()
		if armed && key == apiKey.Int16() {
			armed = false
			p.disturb(0, (*proxy).silence)
			close(met)
		}
	}
	p.disturb(0, func(link *proxy) { link.onRequest(stop) })
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		armed = false
		p.disturb(0, func(link *proxy) { link.onRequest(nil) })
		p.disturb(0, (*proxy).heal)
	}()
	provoke()
	select {
	case <-met:
	case <-time.After(requestMax):
		return "did not send any"
	case <-ctx.Done():
		return ""
	}
	patient, cancel := context.WithTimeout(ctx, overtakenMax)
	defer cancel()
	if err := r.awaitCommitted(patient); err != nil {
		return "nobody else had committed"
	}
	r.mu.Lock()
	r.overtaken++
	r.mu.Unlock()
	return "others had committed"
}

// expel makes the group rebalance, and lets a process stand still when it is to join again, until it has been expelled.
func (r *run) expel(ctx context.Context, p *process) (detail string, err error) {
	r.spare.busy.Lock()
	defer r.spare.busy.Unlock()
	detail = r.overtake(ctx, p, kmsg.JoinGroup, func() { err = r.spare.start() })
	if err != nil {
		return detail, err
	}
	return detail, r.spare.stop()
}

// killBroker kills a coordinator and starts it again. It ends when all replicas are in sync, so that the next may be killed.
func (r *run) killBroker(ctx context.Context, f *fault) (target string, err error) {
	var n int32
	if f.kind == groupBroker {
		n, err = r.brokers.groupCoordinator(ctx, application)
	} else {
		n, err = r.brokers.transactionCoordinator(ctx, application+"/"+r.processes[f.process].name)
	}
	if err != nil {
		return "", err
	}
	target = fmt.Sprintf("broker %d", n)
	if err := r.brokers.kill(ctx, n); err != nil {
		return target, err
	}
	pause(ctx, f.hold)
	if err := r.brokers.revive(ctx, n); err != nil {
		return target, err
	}
	return target, r.brokers.awaitWhole(ctx)
}

// fillDisk leaves a process no space for a while. It may end from that, and is started again then.
func (r *run) fillDisk(ctx context.Context, p *process, hold time.Duration) error {
	p.mayEnd()
	if err := r.disk.fill(); err != nil {
		return err
	}
	pause(ctx, hold)
	if err := r.disk.empty(); err != nil {
		return err
	}
	pause(ctx, 2*flushEvery) // a flush that failed is noticed by the next
	if p.mustRun() {
		return p.start()
	}
	return nil
}

// close stops all that was started.
func (r *run) close() error {
	var errs []error
	if r.feed != nil {
		r.feed.close()
	}
	for _, p := range append(slices.Clone(r.processes), r.spare) {
		if p == nil {
			continue
		}
		p.kill()
		for _, link := range p.network {
			link.close()
		}
	}
	if r.disk != nil {
		errs = append(errs, r.disk.unmount(r.violations > 0))
	}
	if r.brokers != nil {
		errs = append(errs, r.brokers.stop())
	}
	return errors.Join(errs...)
}
