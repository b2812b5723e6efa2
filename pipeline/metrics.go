package pipeline

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"lull/operators"
)

// metrics are the process's. docs/operating/metrics.md says what each means and what to do when it moves.
type metrics struct {
	registry      *prometheus.Registry
	records       *prometheus.CounterVec
	outputs       *prometheus.CounterVec
	triggers      *prometheus.CounterVec
	deadLetters   *prometheus.CounterVec
	misplaced     prometheus.Counter
	swept         prometheus.Counter
	sweeping      *prometheus.GaugeVec
	transactions  *prometheus.CounterVec
	fits          *prometheus.CounterVec
	phases        *prometheus.HistogramVec
	fireDelay     prometheus.Histogram
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

func newMetrics() *metrics {
	registry := prometheus.NewRegistry()
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "lull", Name: name, Help: help}, labels)
		registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "lull", Name: name, Help: help}, labels)
		registry.MustRegister(g)
		return g
	}
	m := &metrics{
		registry:      registry,
		records:       counter("input_records_total", "Records read, by what became of them: applied, passed_on (by a first stage, to be applied), duplicate, late, ignored (by the mapping), dead_letter, repeated (below the position).", "outcome"),
		outputs:       counter("output_records_total", "Records written in committed transactions, by kind.", "kind"),
		triggers:      counter("triggers_total", "Triggers, by why nobody is called to act: none (somebody is), stale, returned, shadow, control, consent, cooldown, cap, withdrawal.", "withheld"),
		deadLetters:   counter("dead_letters_total", "Records refused, by reason.", "reason"),
		fits:          counter("fits_total", "Fits made by this process, by cause (demand, first, schedule, drift) and verdict: adopted, refused.", "cause", "verdict"),
		transactions:  counter("transactions_total", "Transactions, by outcome: committed, uncommitted.", "outcome"),
		lag:           gauge("input_lag_records", "Records between the position and the end of the partition, asked for every second.", "topic", "partition"),
		lagSeconds:    gauge("input_lag_seconds", "Age of the last record applied, by its append time; 0 at the end of the partition.", "topic", "partition"),
		watermarkLag:  gauge("watermark_lag_seconds", "How far the watermark is behind the wall clock.", "topic", "partition"),
		deadlines:     gauge("deadlines_loaded", "Deadlines in memory; those beyond the horizon lie in the store.", "partition"),
		restoreLeft:   gauge("restore_remaining_records", "Changelog offsets still to be restored.", "partition"),
		restoreWait:   gauge("restore_remaining_seconds", "Time until the partition is restored, at the speed until now.", "partition"),
		restoreSpeed:  gauge("restore_records_per_second", "Changelog offsets restored a second, since the restore began.", "partition"),
		restoreBytes:  gauge("restore_bytes_per_second", "Bytes of changelog keys and values restored a second, since the restore began.", "partition"),
		state:         gauge("partition_phase", "1 for the phase that the partition is in: restoring, running, waiting, stopped.", "topic", "partition", "phase"),
		sweeping:      gauge("sweep_running", "1 while not all customers of the partition may be computed with the model in force.", "partition"),
		storeBytes:    gauge("store_bytes", "Bytes of the store, by what: disk, dirty (committed, not yet on disk), restoring (gathered by restores), cache, flushed, compacted.", "what"),
		misplaced:     prometheus.NewCounter(prometheus.CounterOpts{Namespace: "lull", Name: "misplaced_records_total", Help: "Records in a partition that no known partitioner puts their key into."}),
		swept:         prometheus.NewCounter(prometheus.CounterOpts{Namespace: "lull", Name: "swept_customers_total", Help: "Customers whom a sweep has brought to the model in force."}),
		sourceStalled: gauge("source_stalled", "1 while the whole input topic is silent, or has not settled since.", "topic"),
		clockHeld:     gauge("clock_held", "1 while the wall clock moves no watermark of the input topic.", "topic"),
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "lull", Name: "transaction_phase_seconds", Help: "Time of a transaction's phases: apply, encode (states and outputs), commit.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"phase"}),
		fireDelay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "lull", Name: "fire_delay_seconds", Help: "How long after its deadline a trigger was noticed.",
			Buckets: []float64{0.1, 1, 10, 60, 600, 3600, 86400, 604800},
		}),
	}
	registry.MustRegister(m.misplaced, m.swept, m.phases, m.fireDelay,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

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
	m.misplaced.Add(float64(s.misplaced))
	m.swept.Add(float64(s.swept))
	for kind, n := range s.outputs {
		if n > 0 {
			m.outputs.WithLabelValues(operators.OutputKind(kind).String()).Add(float64(n))
		}
	}
	for withheld, n := range s.triggers {
		m.triggers.WithLabelValues(withheld).Add(float64(n))
	}
	for _, d := range s.fireDelay {
		m.fireDelay.Observe(d.Seconds())
	}
}

// scrape sets the gauges of what is now. The runner's mu is held.
func (r *Runner) scrape(now time.Time) {
	m := r.metrics
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
	}
}
