package pipeline

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"lull/operators"
	"lull/operators/trigger"
	"lull/pipeline/query"
	"lull/schemas"
)

// metrics are the process's. docs/operating/metrics.md says what each means and what to do when it moves.
type metrics struct {
	list          []Metric
	ready         prometheus.Gauge
	registry      *prometheus.Registry
	records       *prometheus.CounterVec
	outputs       *prometheus.CounterVec
	triggers      *prometheus.CounterVec
	deadLetters   *prometheus.CounterVec
	sources       *prometheus.CounterVec
	misplaced     prometheus.Counter
	swept         prometheus.Counter
	loads         *prometheus.CounterVec
	sweeping      *prometheus.GaugeVec
	transactions  *prometheus.CounterVec
	fits          *prometheus.CounterVec
	snapshots     *prometheus.CounterVec
	snapshotAge   *prometheus.GaugeVec
	snapshotTook  *prometheus.GaugeVec
	snapshotRows  *prometheus.GaugeVec
	phases        *prometheus.HistogramVec
	apiRequests   *prometheus.CounterVec
	apiSeconds    *prometheus.HistogramVec
	fireDelay     prometheus.Observer
	modelAge      *prometheus.GaugeVec
	diskBytes     *prometheus.GaugeVec
	lag           *prometheus.GaugeVec
	lagSeconds    *prometheus.GaugeVec
	watermarkLag  *prometheus.GaugeVec
	deadlines     *prometheus.GaugeVec
	restoreLeft   *prometheus.GaugeVec
	restoreWait   *prometheus.GaugeVec
	restoreSpeed  *prometheus.GaugeVec
	restoreBytes  *prometheus.GaugeVec
	state         *prometheus.GaugeVec
	sourceStalled *prometheus.GaugeVec
	clockHeld     *prometheus.GaugeVec
	storeBytes    *prometheus.GaugeVec
}

// Metric says of a metric what docs/operating/metrics.md does.
type Metric struct {
	Name    string   // with lull_ before it
	Labels  []string // bounded: partitions, topics, rules, reasons; never customers
	Type    string   // "counter", "gauge" or "histogram"
	Unit    string
	Meaning string
	Moves   string // which move means what, and what to do then
}

// Metrics returns all metrics that the program makes itself, in the order of the page.
func Metrics() []Metric { return newMetrics(&trigger.Rules{}).list }

// newMetrics returns the metrics of a process with these rules of triggers, which are counted from 0 on: a rule that has never fired can be seen, and the first
// time that something goes wrong is an increase.
func newMetrics(rules *trigger.Rules) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	add := func(kind string, d *Metric, c prometheus.Collector) {
		d.Name, d.Type = "lull_"+d.Name, kind
		m.list = append(m.list, *d)
		m.registry.MustRegister(c)
	}
	counter := func(d Metric) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "lull", Name: d.Name, Help: d.Meaning + "."}, d.Labels)
		add("counter", &d, c)
		return c
	}
	gauge := func(d Metric) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "lull", Name: d.Name, Help: d.Meaning + "."}, d.Labels)
		add("gauge", &d, g)
		return g
	}
	histogram := func(d Metric, buckets []float64) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "lull", Name: d.Name, Help: d.Meaning + ".", Buckets: buckets}, d.Labels)
		add("histogram", &d, h)
		return h
	}
	m.ready = gauge(Metric{
		Name: "ready", Unit: "1 or 0",
		Meaning: "1 while /readyz answers 200: all that has been assigned runs, and nothing stands in the way",
		Moves:   "0 for longer than a restore takes: `/readyz` names what stands in the way",
	}).WithLabelValues()
	m.records = counter(Metric{
		Name: "input_records_total", Labels: []string{"outcome"}, Unit: "records",
		Meaning: "Records read, by what became of them: applied, passed_on (by a first stage: it counts again when a task has it), duplicate (message id seen), late (no fact, older than the watermark), " +
			"ignored (the mapping passes them over), dead_letter, repeated (below the position)",
		Moves: "`late` grows: raise `clock.lateness`. `ignored` grows beyond what you expect: `lull mapping try --topic` shows what is passed over. `repeated` grows: the client went back; harmless, and worth a look at the brokers",
	})
	m.outputs = counter(Metric{
		Name: "output_records_total", Labels: []string{"kind"}, Unit: "records", Meaning: "Records written in committed transactions, by kind",
		Moves: "stops while `lull_input_records_total` grows: what is read is passed over, refused or known already; its outcomes say which. Grows for a while without more input: a new model reaches everybody (`lull_sweep_running`). " +
			"Grows for good: look at the room of the topics ([sizing](sizing.md#formulas))",
	})
	m.triggers = counter(Metric{
		Name: "triggers_total", Labels: []string{"rule", "withheld"}, Unit: "triggers",
		Meaning: "Triggers, by rule, and by why nobody is called to act: none (somebody is), stale (older than triggers.max_age when noticed), returned (the customer has come back), shadow, control, " +
			"consent, cooldown, cap, withdrawal (it takes back an earlier trigger, which a late fact has disproved)",
		Moves: "`stale` grows: history is being read, or the clock was held for long. A rule tells of nobody, or of many more than before: see [alerts](alerts.md#lullrulesilent)",
	})
	m.deadLetters = counter(Metric{
		Name: "dead_letters_total", Labels: []string{"reason"}, Unit: "records", Meaning: "Records refused, by reason",
		Moves: "see [dead letters](../formats/dead-letters.md) for each reason and its remedy. If most records of a topic are refused, `/readyz` warns, and the log says so once, and every 10 minutes while it lasts " +
			"([test](../../pipeline/refusals_test.go))",
	})
	m.sources = counter(Metric{
		Name: "source_records_total", Labels: []string{"topic", "fault"}, Unit: "records",
		Meaning: "Records of an input topic that were to be events, by what was wrong with them, each once: none, invalid (refused for another reason), missing_field, unknown_currency, clock_skewed (its time lay in the future), " +
			"duplicate (message id seen), late (older than the watermark; a fact counts all the same). Refusals that are no fault of the record are not counted",
		Moves: "the share of a fault rises: mend that source. `lull tail quality` says since which day, the dead letters which records; a customer's count stands in the [snapshot](../snapshots.md#customers)",
	})
	m.misplaced = counter(Metric{
		Name: "misplaced_records_total", Unit: "records", Meaning: "Records in a partition that neither murmur2, CRC-32 nor FNV-1a puts their key into",
		Moves: "one customer may be in several partitions: key the topic by customer id, with one partitioner. `/readyz` warns",
	}).WithLabelValues()
	m.transactions = counter(Metric{
		Name: "transactions_total", Labels: []string{"outcome"}, Unit: "transactions", Meaning: "Transactions, by outcome: committed, uncommitted (aborted, fenced or not known; recovered)",
		Moves: "`uncommitted` grows: look at brokers and rebalances; see [alerts](alerts.md#lulltransactionsfail)",
	})
	m.phases = histogram(Metric{
		Name: "transaction_phase_seconds", Labels: []string{"phase"}, Unit: "seconds", Meaning: "Time of a transaction's phases: apply, encode (states and outputs), commit",
		Moves: "`commit` near `commit.interval`: the brokers are slow: look at their load and disks. `apply` grows: see `lull_input_lag_records`",
	}, prometheus.ExponentialBuckets(0.001, 2, 14))
	m.apiRequests = counter(Metric{
		Name: "api_requests_total", Labels: []string{"route", "code"}, Unit: "requests",
		Meaning: "Requests of the read API, by resource (other: none of them) and status; those that another process passes on count in both",
		Moves: "`401` grows: a client shows an old token, or somebody tries. `421` or `503` grows outside of rebalances: `http.advertise` is not set everywhere, or is not reached. `429`: raise `http.rate`, or ask " +
			"less. `500`: the answer and [formats/store.md](../formats/store.md) say more",
	})
	m.apiSeconds = histogram(Metric{
		Name: "api_request_seconds", Labels: []string{"route"}, Unit: "seconds", Meaning: "Time of the read API's answers, with what `wait_for` and other processes took",
		Moves: "lists and counts near `http.timeout`: each walks through all customers, one request at a time; take [snapshots](../snapshots.md) for what is asked often",
	}, prometheus.ExponentialBuckets(0.001, 2, 14))
	m.lag = gauge(Metric{
		Name: "input_lag_records", Labels: []string{"topic", "partition"}, Unit: "records", Meaning: "Records between the position and the end of the partition, asked for every second",
		Moves: "grows: add processes, up to the number of partitions",
	})
	m.lagSeconds = gauge(Metric{
		Name: "input_lag_seconds", Labels: []string{"topic", "partition"}, Unit: "seconds", Meaning: "Age of the last record applied, by its append time; 0 at the end of the partition",
		Moves: "grows: add processes, up to the number of partitions; if `lull_input_lag_records` does not grow with it, the partition stands: `/readyz` says why",
	})
	m.watermarkLag = gauge(Metric{
		Name: "watermark_lag_seconds", Labels: []string{"topic", "partition"}, Unit: "seconds", Meaning: "How far event time, the watermark, is behind the wall clock",
		Moves: "stands above `clock.lateness` under mode wall: see `lull_clock_held`",
	})
	m.clockHeld = gauge(Metric{
		Name: "clock_held", Labels: []string{"topic"}, Unit: "1 or 0", Meaning: "1 while the wall clock moves no watermark of the input topic",
		Moves: "nobody is reported silent meanwhile; `/readyz` says why. Mend the feed",
	})
	m.sourceStalled = gauge(Metric{
		Name: "source_stalled", Labels: []string{"topic"}, Unit: "1 or 0", Meaning: "1 while the whole input topic is silent, nobody has watched it, or it has not settled since",
		Moves: "1 and the topic should be written to: look at its producers; nobody is reported silent meanwhile. `/readyz` names the topic. 1 after a start until the topic has been watched: nothing to do",
	})
	m.deadlines = gauge(Metric{
		Name: "deadlines_loaded", Labels: []string{"partition"}, Unit: "deadlines", Meaning: "Deadlines in memory; later ones lie in the store",
		Moves: "it swings as they fire and are loaded anew, at most some 100,000 a partition: nothing to do. 0 for days on all partitions: nobody's silence will be reported; is there a model (`lull_model_age_seconds`)?",
	})
	m.fireDelay = histogram(Metric{
		Name: "fire_delay_seconds", Unit: "seconds", Meaning: "How long after its deadline a trigger was noticed",
		Moves: "large under mode wall: lag (`lull_input_lag_seconds`), downtime or a held clock (`lull_clock_held`). Above `triggers.max_age` nobody is called to act",
	}, []float64{0.1, 1, 10, 60, 600, 3600, 86400, 604800}).WithLabelValues()
	m.modelAge = gauge(Metric{
		Name: "model_age_seconds", Unit: "seconds", Meaning: "Time since the newest model was published; missing while there is none",
		Moves: "above two or three times `fit.every`: no fit is made, or each is refused. `lull tail fits` says why",
	})
	m.fits = counter(Metric{
		Name: "fits_total", Labels: []string{"cause", "verdict"}, Unit: "fits", Meaning: "Models fitted by this process, by why they were (demand, first, schedule, drift) and whether they were adopted or refused",
		Moves: "`refused` grows: `lull tail fits` says why",
	})
	m.snapshots = counter(Metric{
		Name: "snapshots_total", Labels: []string{"outcome"}, Unit: "snapshots",
		Meaning: "Snapshots that were due by `snapshots.every`, by what became of them: written, unchanged (the same is there already), failed",
		Moves:   "`failed` grows: see [alerts](alerts.md#lullsnapshotsfail)",
	})
	m.snapshotAge = gauge(Metric{
		Name: "snapshot_age_seconds", Unit: "seconds", Meaning: "Time since a snapshot was last written, or found unchanged; missing while there is none, and but for the process that takes them",
		Moves: "above `snapshots.every` and what one takes: see [alerts](alerts.md#lullsnapshotsfail)",
	})
	m.snapshotTook = gauge(Metric{
		Name: "snapshot_seconds", Unit: "seconds", Meaning: "How long the last snapshot took that this process has taken", Moves: "near `snapshots.every`, which ends it: raise that",
	})
	m.snapshotRows = gauge(Metric{
		Name: "snapshot_rows", Labels: []string{"table"}, Unit: "rows", Meaning: "Rows of the last snapshot that this process has taken",
		Moves: "`customers` falls by more than `lull reset` or merged ids explain: look at the partitions (`lull_partition_phase`), and keep the older snapshots until it is known why",
	})
	m.sweeping = gauge(Metric{
		Name: "sweep_running", Labels: []string{"partition"}, Unit: "1 or 0", Meaning: "1 while not all customers of the partition may be computed with the model in force",
		Moves: "stays 1 for long: many customers, or a process that is busy all the time; a tenth of its time is the sweep's",
	})
	m.swept = counter(Metric{
		Name: "swept_customers_total", Unit: "customers", Meaning: "Customers whom a sweep has brought to the model in force; the others were touched by an event or a deadline first",
		Moves: "stands while `lull_sweep_running` is 1: the process is busy all the time (`lull_input_lag_records`), or its transactions fail (`lull_transactions_total`)",
	}).WithLabelValues()
	m.loads = counter(Metric{
		Name: "customers_loaded_total", Labels: []string{"from"}, Unit: "customers",
		Meaning: "Customers needed by an event, a deadline or a sweep, by where they were: memory (decoded), store, nowhere (new)",
		Moves:   "`store` is most of them, and the process lacks CPU: raise `state.cached_customers`, if it has the memory ([sizing](sizing.md))",
	})
	m.state = gauge(Metric{
		Name: "partition_phase", Labels: []string{"topic", "partition", "phase"}, Unit: "1", Meaning: "1 for the phase that the partition is in: restoring, running, waiting, stopped",
		Moves: "`waiting` stays: a model was deleted from the models topic; `/readyz` names it. `stopped`: `/readyz` names what an operator must decide",
	})
	m.restoreLeft = gauge(Metric{
		Name: "restore_remaining_records", Labels: []string{"partition"}, Unit: "records", Meaning: "Changelog offsets still to be restored",
		Moves: "does not fall: the changelog cannot be read, or the partition waits for its turn: restores of more than 50,000 offsets run two at a time, or half as many as there are cores",
	})
	m.restoreWait = gauge(Metric{
		Name: "restore_remaining_seconds", Labels: []string{"partition"}, Unit: "seconds", Meaning: "Time until the partition is restored, at the speed since it began; missing while it waits for its turn",
		Moves: "grows: see `lull_restore_records_per_second`. `/readyz` says the same for each partition (`done`, `left`, `left_seconds`), the log every 5 s",
	})
	m.restoreSpeed = gauge(Metric{
		Name: "restore_records_per_second", Labels: []string{"partition"}, Unit: "records a second", Meaning: "Changelog offsets restored a second, since the restore began",
		Moves: "far below the [measured](sizing.md#what-was-measured) figure: brokers, network or disk are slow, or other partitions are restored beside it",
	})
	m.restoreBytes = gauge(Metric{
		Name: "restore_bytes_per_second", Labels: []string{"partition"}, Unit: "bytes a second", Meaning: "Bytes of changelog keys and values restored a second, since the restore began",
		Moves: "at what the network or the disk can do: restores are as fast as they can be; more processes share them. Far below that: see `lull_restore_records_per_second`",
	})
	m.storeBytes = gauge(Metric{
		Name: "store_bytes", Labels: []string{"what"}, Unit: "bytes",
		Meaning: "Bytes of the store, by what: disk, dirty (committed, not yet on disk), restoring (gathered by restores; at most twice state.flush_bytes, and a little), cache, flushed, compacted",
		Moves:   "`dirty` above `state.flush_bytes`: the disk is slower than the events: give `state.dir` a faster one, or the partitions to more processes. `disk` grows: see [sizing](sizing.md#formulas)",
	})
	m.diskBytes = gauge(Metric{
		Name: "state_disk_bytes", Labels: []string{"what"}, Unit: "bytes", Meaning: "Bytes of the file system that state.dir lies on: size, and what of it is free for this process",
		Moves: "`free` falls: a full disk ends the process. Make it larger, or give the process fewer partitions",
	})
	for _, outcome := range []string{"applied", "passed_on", "duplicate", "late", "ignored", "repeated", "dead_letter"} {
		m.records.WithLabelValues(outcome)
	}
	for _, reason := range schemas.Reasons {
		m.deadLetters.WithLabelValues(reason.Code)
	}
	for _, from := range []string{"memory", "store", "nowhere"} {
		m.loads.WithLabelValues(from)
	}
	for _, outcome := range []string{"committed", "uncommitted"} {
		m.transactions.WithLabelValues(outcome)
	}
	for _, route := range append(query.Routes(), noRoute) {
		for _, code := range []int{http.StatusOK, http.StatusInternalServerError, http.StatusServiceUnavailable} {
			m.apiRequests.WithLabelValues(route, strconv.Itoa(code))
		}
	}
	for _, outcome := range []string{"written", "unchanged", "failed"} {
		m.snapshots.WithLabelValues(outcome)
	}
	for cause := schemas.FitOnDemand; cause <= schemas.FitOnDrift; cause++ {
		for _, verdict := range []string{"adopted", "refused"} {
			m.fits.WithLabelValues(cause.String(), verdict)
		}
	}
	for i := range rules.Rules {
		m.triggers.WithLabelValues(rules.Rules[i].Name, notWithheld)
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// notWithheld labels triggers that somebody is called to act on.
const notWithheld = "none"

// committed counts what a transaction did with a partition, now that it is durable.
func (m *metrics) committed(p *reader) {
	s := &p.stats
	letters := 0
	for reason, n := range s.deadLetters {
		m.deadLetters.WithLabelValues(reason).Add(float64(n))
		letters += n
	}
	for outcome, n := range map[string]int{"applied": s.applied, "passed_on": s.passedOn, "duplicate": s.duplicate, "late": s.late, "ignored": s.ignored, "repeated": s.repeated, "dead_letter": letters} {
		m.records.WithLabelValues(outcome).Add(float64(n))
	}
	for i := range s.sources {
		for fault, n := range s.sources[i].counts {
			m.sources.WithLabelValues(s.sources[i].topic, operators.Fault(fault).String()).Add(float64(n))
		}
	}
	m.misplaced.Add(float64(s.misplaced))
	m.swept.Add(float64(s.swept))
	for from, n := range map[string]int{"memory": s.loads.Kept, "store": s.loads.Read, "nowhere": s.loads.New} {
		m.loads.WithLabelValues(from).Add(float64(n))
	}
	for kind, n := range s.outputs {
		if n > 0 {
			m.outputs.WithLabelValues(operators.OutputKind(kind).String()).Add(float64(n))
		}
	}
	for kind, n := range s.triggers {
		m.triggers.WithLabelValues(kind.rule, kind.withheld).Add(float64(n))
	}
	for _, d := range s.fireDelay {
		m.fireDelay.Observe(d.Seconds())
	}
}

// scrape sets the gauges of what is now. The runner's mu is held.
func (r *Runner) scrape(now time.Time) {
	m := r.metrics
	m.ready.Set(oneIf(r.readiness(now).Ready))
	if r.models != nil {
		if at, ok := r.models.publishedAt(); ok {
			m.modelAge.WithLabelValues().Set(now.Sub(at).Seconds())
		}
	}
	m.snapshotAge.Reset()
	if !r.snapshotAt.IsZero() {
		m.snapshotAge.WithLabelValues().Set(max(0, now.Sub(r.snapshotAt).Seconds()))
	}
	for _, g := range []*prometheus.GaugeVec{m.lag, m.lagSeconds, m.watermarkLag, m.deadlines, m.restoreLeft, m.restoreWait, m.restoreSpeed, m.restoreBytes, m.state, m.sweeping} {
		g.Reset() // partitions that are gone are not told of
	}
	for _, p := range r.readers() {
		partition := strconv.Itoa(int(p.n))
		m.state.WithLabelValues(p.topic, partition, string(p.phase)).Set(1)
		if p.phase != running {
			continue
		}
		position, watermark := p.stage.Position(), p.stage.Time().Watermark
		m.lag.WithLabelValues(p.topic, partition).Set(float64(max(0, p.end-position)))
		switch {
		case p.end <= position:
			m.lagSeconds.WithLabelValues(p.topic, partition).Set(0)
		case !p.appliedAt.IsZero(): // else the first record is yet to be applied, and its age not known
			m.lagSeconds.WithLabelValues(p.topic, partition).Set(now.Sub(p.appliedAt).Seconds())
		}
		if watermark != operators.Unset {
			m.watermarkLag.WithLabelValues(p.topic, partition).Set(now.Sub(time.UnixMilli(int64(watermark))).Seconds())
		}
	}
	for n, p := range r.partitions {
		partition := strconv.Itoa(int(n))
		if rs := p.restore; rs != nil {
			pr, _ := rs.progress()
			m.restoreLeft.WithLabelValues(partition).Set(float64(pr.end - pr.next))
			if left, ok := pr.left(now); ok {
				offsets, bytes := pr.perSecond(now)
				m.restoreWait.WithLabelValues(partition).Set(left.Seconds())
				m.restoreSpeed.WithLabelValues(partition).Set(offsets)
				m.restoreBytes.WithLabelValues(partition).Set(bytes)
			}
		}
		if p.phase != running {
			continue
		}
		m.sweeping.WithLabelValues(partition).Set(oneIf(p.task.Sweeping()))
		_, loaded := p.task.Soonest()
		m.deadlines.WithLabelValues(partition).Set(float64(loaded))
	}
	if r.db != nil {
		s := r.db.Metrics()
		for what, n := range map[string]int64{"disk": s.DiskBytes, "dirty": s.DirtyBytes, "restoring": s.RestoringBytes, "cache": s.CacheBytes, "flushed": s.FlushedBytes, "compacted": s.CompactedBytes} {
			m.storeBytes.WithLabelValues(what).Set(float64(n))
		}
		if s.DiskSizeBytes > 0 {
			m.diskBytes.WithLabelValues("size").Set(float64(s.DiskSizeBytes))
			m.diskBytes.WithLabelValues("free").Set(float64(s.DiskFreeBytes))
		}
	}
}
