package pipeline

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"lull/operators/trigger"
)

// TestSummary: once a minute the log says in one line what has been done since the last, and where the process stands. The first begins the count: what was before is of no minute.
func TestSummary(t *testing.T) {
	var log bytes.Buffer
	s := DefaultSettings()
	r := &Runner{s: &s, metrics: newMetrics(&trigger.Rules{}), log: zerolog.New(&log), mu: newLock()}
	begins := time.Unix(1_800_000_000, 0)
	for _, v := range []struct {
		after time.Duration
		lines int
	}{{0, 0}, {59 * time.Second, 0}, {60 * time.Second, 1}, {119 * time.Second, 1}, {150 * time.Second, 2}} {
		if err := r.summarize(begins.Add(v.after)); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(log.String(), "\n"); lines != v.lines {
			t.Errorf("after %s: %d lines, want %d", v.after, lines, v.lines)
		}
		r.metrics.records.WithLabelValues("applied").Add(100)
		r.metrics.records.WithLabelValues("late").Add(10)
		r.metrics.deadLetters.WithLabelValues("invalid_time").Inc()
		r.metrics.outputs.WithLabelValues("score").Add(90)
		r.metrics.outputs.WithLabelValues("trigger").Add(3)
		r.metrics.triggers.WithLabelValues("churn_risk", "none").Add(3)
		r.metrics.transactions.WithLabelValues("committed").Add(2)
		r.metrics.phases.WithLabelValues("commit").Observe(0.020)
		r.metrics.phases.WithLabelValues("commit").Observe(0.040)
		r.metrics.phases.WithLabelValues("encode").Observe(5)
	}
	want := map[string]any{
		"level": "info", "message": "summary", "seconds": 90.0, "applied": 200.0, "dead_letters": 2.0, "outputs": 186.0, "triggers": 6.0, "transactions": 4.0, "uncommitted": 0.0,
		"commit_seconds": 0.03, "partitions": 0.0, "lag_records": 0.0, "watermark_lag_seconds": 0.0, "disk_bytes": 0.0, "ready": false,
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(strings.Split(log.String(), "\n")[1]), &got); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Errorf("the line %v, want %v", got, want)
	}
}
