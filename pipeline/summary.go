package pipeline

import (
	"fmt"
	"math"
	"time"
)

// summaryEvery is how often the log says in one line what has been done.
const summaryEvery = time.Minute

// summary is what the last summary was made of.
type summary struct {
	at     time.Time
	totals map[string]float64
}

// summarize logs what has been done since the last summary, if that was long enough ago, and where the process stands. All of it is of /metrics.
func (r *Runner) summarize(now time.Time) error {
	if r.summary.totals != nil && now.Sub(r.summary.at) < summaryEvery {
		return nil
	}
	r.scrape(now)
	families, err := r.metrics.registry.Gather()
	if err != nil {
		return fmt.Errorf("gathering metrics: %w", err)
	}
	totals := make(map[string]float64) // by metric, and by the value of its first label
	slowest := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.Metric {
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			totals[f.GetName()] += value
			if len(m.Label) > 0 {
				of := " " + m.Label[0].GetValue()
				totals[f.GetName()+of] += value
				totals[f.GetName()+"_count"+of] += float64(m.GetHistogram().GetSampleCount())
			}
			slowest[f.GetName()] = max(slowest[f.GetName()], value)
		}
	}
	before := r.summary
	r.summary = summary{at: now, totals: totals}
	if before.totals == nil {
		return nil // the first only begins
	}
	since := func(name string) int64 { return int64(totals[name] - before.totals[name]) }
	commits := since("lull_transaction_phase_seconds_count commit")
	mean := 0.0
	if commits > 0 {
		mean = (totals["lull_transaction_phase_seconds commit"] - before.totals["lull_transaction_phase_seconds commit"]) / float64(commits)
	}
	r.log.Info().
		Float64("seconds", math.Round(now.Sub(before.at).Seconds())).
		Int64("applied", since("lull_input_records_total applied")).
		Int64("dead_letters", since("lull_dead_letters_total")).
		Int64("outputs", since("lull_output_records_total")).
		Int64("triggers", since("lull_triggers_total")).
		Int64("transactions", since("lull_transactions_total committed")).
		Int64("uncommitted", since("lull_transactions_total uncommitted")).
		Float64("commit_seconds", math.Round(1000*mean)/1000).
		Int("partitions", len(r.active())).
		Int64("lag_records", int64(totals["lull_input_lag_records"])).
		Float64("watermark_lag_seconds", math.Round(slowest["lull_watermark_lag_seconds"])).
		Int64("disk_bytes", int64(totals["lull_store_bytes disk"])).
		Bool("ready", r.readiness(now).Ready).
		Msg("summary")
	return nil
}
