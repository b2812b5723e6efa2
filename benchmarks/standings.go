package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"lull/pipeline"
)

// standings are what contenders have come to over the same input, in turn: what files of results keep, and the table and the picture are made of.
type standings struct {
	Day        string     `json:"day"`
	Version    string     `json:"version"` // of lull
	Machine    string     `json:"machine"`
	Events     int        `json:"events"`
	Customers  int        `json:"customers"`
	Rate       int        `json:"rate"`       // events a second; 0: all were there before
	CommitMs   int64      `json:"commit_ms"`  // between the commits of lull, Kafka Streams and the floors
	Contenders []string   `json:"contenders"` // lull first
	Figures    []quantity `json:"figures"`
}

// quantity is one thing that has been measured of all.
type quantity struct {
	Name     string               `json:"name"`
	Format   string               `json:"format"`   // of fmt
	Compared bool                 `json:"compared"` // less is better, and a ratio says something
	Runs     map[string][]float64 `json:"runs"`     // by contender, in the order of turns
}

// The figures that the picture shows of a fixed rate.
const (
	steadyCPU  = "CPU-s per million events, steady"
	latencyP99 = "latency p99, ms"
)

func (r *peersRun) standings() *standings {
	million := float64(r.input.events) / 1e6
	m := &standings{
		Day: time.Now().UTC().Format(time.DateOnly), Version: pipeline.Version(), Machine: fmt.Sprintf("%s, %d processors", processor(), runtime.NumCPU()),
		Events: r.input.events, Customers: r.input.customers, Rate: r.rate, CommitMs: r.commit.Milliseconds(),
	}
	for _, c := range r.contenders {
		m.Contenders = append(m.Contenders, c.name)
	}
	for _, f := range []struct {
		quantity
		of func(*race) (value float64, ok bool)
	}{
		{quantity{steadyCPU, "%.2f", true, nil}, func(o *race) (float64, bool) { return o.warm.perMillion(), true }},
		{quantity{"CPU-s per million, whole life", "%.2f", true, nil}, func(o *race) (float64, bool) { return o.cpu / million, true }},
		{quantity{"resident at most, MiB", "%.0f", true, nil}, func(o *race) (float64, bool) { return mebibytes(o.warm.rssBytes), true }},
		{quantity{"changelog bytes per event", "%.1f", true, nil}, func(o *race) (float64, bool) { return float64(o.changelogs.bytes) / float64(r.input.events), true }},
		{quantity{"changelog records per event", "%.3f", false, nil}, func(o *race) (float64, bool) { return float64(o.changelogs.records) / float64(r.input.events), true }},
		{quantity{"output bytes per event", "%.1f", false, nil}, func(o *race) (float64, bool) { return float64(o.outputs.bytes) / float64(r.input.events), true }},
		{quantity{"latency p50, ms", "%.0f", true, nil}, latency(0.5)},
		{quantity{latencyP99, "%.0f", true, nil}, latency(0.99)},
		{quantity{"latency p99.9, ms", "%.0f", true, nil}, latency(0.999)},
		{quantity{"events/s, steady", "%.0f", false, nil}, func(o *race) (float64, bool) { return o.warm.rate(), true }},
	} {
		collect(m, r.contenders, f.quantity, func(c *contender) []race { return c.runs }, f.of)
	}
	for _, f := range []struct {
		quantity
		of func(*handOver) float64
	}{
		{quantity{"restore, s to the first new commit", "%.2f", true, nil}, func(h *handOver) float64 { return h.first.Seconds() }},
		{quantity{"restore, s until each partition has one", "%.2f", true, nil}, func(h *handOver) float64 { return h.all.Seconds() }},
		{quantity{"restore, CPU-s", "%.2f", true, nil}, func(h *handOver) float64 { return h.used.cpuSeconds() }},
		{quantity{"restore, resident at most, MiB", "%.0f", true, nil}, func(h *handOver) float64 { return mebibytes(h.used.RSSBytesMax) }},
	} {
		collect(m, r.contenders, f.quantity, func(c *contender) []handOver { return c.restores }, func(h *handOver) (float64, bool) { return f.of(h), true })
	}
	return m
}

// collect takes a figure of all that was measured of each contender into the standings, unless nobody has it.
func collect[T any](m *standings, contenders []*contender, f quantity, list func(*contender) []T, of func(*T) (value float64, ok bool)) {
	f.Runs = make(map[string][]float64)
	for _, c := range contenders {
		all := list(c)
		for i := range all {
			if v, ok := of(&all[i]); ok {
				f.Runs[c.name] = append(f.Runs[c.name], v)
			}
		}
	}
	if len(f.Runs) > 0 {
		m.Figures = append(m.Figures, f)
	}
}

// latency returns what reads a percentile of a run's latencies, in milliseconds, if it has some.
func latency(share float64) func(*race) (float64, bool) {
	return func(o *race) (float64, bool) {
		return float64(percentile(o.latencies, share)) / float64(time.Millisecond), len(o.latencies) > 0
	}
}

// ratios are those of a contender's runs to lull's of the same turn, sorted.
func (f *quantity) ratios(contender string) (list []float64) {
	for i, v := range f.Runs[contender] {
		if ours := f.Runs[lullContender][i]; ours > 0 {
			list = append(list, v/ours)
		}
	}
	slices.Sort(list)
	return list
}

func (m *standings) write(file string) error {
	b, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o666)
}

func readStandings(file string) (*standings, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m := &standings{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%s is not what bench-peers -json writes: %w", file, err)
	}
	return m, nil
}
