package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"lull/operators"
	"lull/operators/clv"
	"lull/pipeline"
	"lull/pipeline/task"
	"lull/schemas"
	"lull/state"
)

// guardArgument makes this program count what an event costs, and hold it against what it did.
const guardArgument = "guard"

const (
	guardTransaction = 1000      // events
	guardFlushBytes  = 128 << 10 // that the store holds before it flushes, where its writes are counted: dozens of flushes, and compactions
	guardRuns        = 5         // of which the least counts: what else the process does only adds
)

// cost is what an event costs one task in everything that can be counted. Nothing of it is time.
type cost struct {
	Allocations    float64 `json:"allocations per event"`
	AllocatedBytes float64 `json:"allocated bytes per event"`
	ChangelogBytes float64 `json:"changelog bytes per event"`
	OutputBytes    float64 `json:"output bytes per event"`
	StoreBytes     float64 `json:"store bytes written per event"`
}

// figures returns what it counts, by name, and how much of a rise is no rise: compactions run beside, and do not do quite the same each time.
func (c *cost) figures() []guarded {
	return []guarded{
		{"allocations per event", &c.Allocations, 0.02}, {"allocated bytes per event", &c.AllocatedBytes, 0.03},
		{"changelog bytes per event", &c.ChangelogBytes, 0.001}, {"output bytes per event", &c.OutputBytes, 0.001},
		{"store bytes written per event", &c.StoreBytes, 0.15},
	}
}

type guarded struct {
	name      string
	value     *float64
	tolerance float64
}

// runGuard counts, and fails if a figure is above the baseline's.
func runGuard(arguments []string) error {
	flags := flag.NewFlagSet("benchmarks guard", flag.ExitOnError)
	path := flags.String("baseline", "benchmarks/guard.json", "`file` of the figures that must not rise")
	write := flags.Bool("write", false, "make what is counted the baseline")
	_ = flags.Parse(arguments) // it exits
	if *write {
		return writeBaseline(*path)
	}
	text, err := os.ReadFile(*path)
	if err != nil {
		return fmt.Errorf("reading the baseline: %w; `make bench-guard ARGS=-write` makes one", err)
	}
	var baseline cost
	if err := json.Unmarshal(text, &baseline); err != nil {
		return fmt.Errorf("reading the baseline %s: %w; `make bench-guard ARGS=-write` makes one", *path, err)
	}
	for _, f := range baseline.figures() {
		if !(*f.value > 0) {
			return fmt.Errorf("the baseline %s has no %s; `make bench-guard ARGS=-write` makes one", *path, f.name)
		}
	}
	least, err := countLeast()
	if err != nil {
		return err
	}
	return least.against(&baseline)
}

func writeBaseline(path string) error {
	least, err := countLeast()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(least, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// against prints the figures beside the baseline's, and returns an error that names those that have risen.
func (c *cost) against(baseline *cost) error {
	p := printer{w: os.Stdout}
	p.line("| of the generator's mix | now | baseline | change | may rise by |")
	p.line("|---|--:|--:|--:|--:|")
	var risen []string
	was := baseline.figures()
	for i, f := range c.figures() {
		before, change := *was[i].value, *f.value / *was[i].value - 1
		p.line("| %s | %.2f | %.2f | %+.1f %% | %.1f %% |", f.name, *f.value, before, 100*change, 100*f.tolerance)
		if !(change <= f.tolerance) {
			risen = append(risen, fmt.Sprintf("%s from %.2f to %.2f", f.name, before, *f.value))
		}
	}
	if len(risen) == 0 || p.err != nil {
		return p.err
	}
	return fmt.Errorf("an event costs more than it did: %s. Find out why (bin/benchmarks -profile DIR); if it is worth that, `make bench-guard ARGS=-write`, and say so in the commit", strings.Join(risen, "; "))
}

// countLeast returns the least of some counts.
func countLeast() (*cost, error) {
	g, err := NewGenerator(GeneratorConfig{Seed: 1, Events: 100_000, Customers: 4_000, Start: shopOpens})
	if err != nil {
		return nil, err
	}
	var records []schemas.Source
	for e := (operators.Event{}); g.Next(&e); {
		value, err := schemas.EncodeEvent(nil, &e, "USD")
		if err != nil {
			return nil, err
		}
		records = append(records, schemas.Source{Topic: inputTopic, Offset: int64(len(records)), AppendTime: e.Time, Key: []byte(e.Customer), Value: value})
	}
	var least *cost
	for range guardRuns {
		// Flushes and compactions work beside, and what they allocate hangs on how busy the machine is: allocations are those of a store that does neither.
		c, err := count(records, 1<<30)
		if err != nil {
			return nil, err
		}
		flushing, err := count(records, guardFlushBytes)
		if err != nil {
			return nil, err
		}
		c.StoreBytes = flushing.StoreBytes
		if least == nil {
			least = c
			continue
		}
		ours := c.figures()
		for i, f := range least.figures() {
			*f.value = min(*f.value, *ours[i].value)
		}
	}
	return least, nil
}

// oneModel is all the models that there are.
type oneModel struct{}

func (oneModel) Model(uint32) *operators.Model { return &model }

// counter is one task with its decoder, chain, store and encoder, as a partition of the pipeline has them; Kafka alone is missing.
type counter struct {
	decoder *schemas.Decoder
	encoder *schemas.Encoder
	db      *state.DB
	store   *state.Partition
	task    *task.Task
	budget  task.Budget

	changelog, outputs int64 // bytes
}

// count runs the records through a new task, whose store flushes when it holds so much. They are decoded as they come, applied in transactions of as many each, and all that would be sent is encoded.
func count(records []schemas.Source, flushBytes int64) (c *cost, err error) {
	dir, err := os.MkdirTemp("", "lull-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the state: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var n counter
	if err := n.open(dir, flushBytes); err != nil {
		return nil, err
	}
	defer func() { n.store.Close(); err = errors.Join(err, n.db.Close()) }()
	var before, after runtime.MemStats
	// What pools keep is dropped by a collection: when one comes would be in the figures.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.ReadMemStats(&before)
	var e operators.Event
	for i := range records {
		if rejection := n.decoder.Decode(&records[i], &e); rejection != nil {
			return nil, fmt.Errorf("event %d is refused: %+v", i, rejection)
		}
		if outcome, err := n.task.Apply(int64(i), &e, &n.budget); err != nil || outcome != task.Applied {
			return nil, fmt.Errorf("event %d: outcome %d, %w", i, outcome, err)
		}
		if i%guardTransaction == guardTransaction-1 || i == len(records)-1 {
			if err := n.commit(); err != nil {
				return nil, err
			}
		}
	}
	runtime.ReadMemStats(&after)
	if err := n.store.Flush(); err != nil {
		return nil, err
	}
	m, events := n.db.Metrics(), float64(len(records))
	return &cost{
		Allocations: float64(after.Mallocs-before.Mallocs) / events, AllocatedBytes: float64(after.TotalAlloc-before.TotalAlloc) / events,
		ChangelogBytes: float64(n.changelog) / events, OutputBytes: float64(n.outputs) / events,
		StoreBytes: float64(m.FlushedBytes+m.CompactedBytes) / events,
	}, nil
}

func (n *counter) open(dir string, flushBytes int64) (err error) {
	var s pipeline.Settings
	s.EnsureDefaults()
	if n.decoder, err = schemas.NewDecoder(schemas.DecoderConfig{}); err != nil {
		return err
	}
	if n.encoder, err = schemas.NewEncoder(schemas.EncoderConfig{}); err != nil {
		return err
	}
	if n.db, err = state.Open(state.Options{Dir: filepath.Join(dir, "state"), DirtyBytesMax: flushBytes, Index: task.IndexEntry}); err != nil {
		return err
	}
	if n.store, err = n.db.Partition(0); err != nil {
		return err
	}
	n.budget = task.Budget{Outputs: 1 << 30, Expired: func() bool { return false }}
	n.task, err = task.Open(task.Config{
		LatenessMs: s.Clock.Lateness.Milliseconds(), JumpMaxMs: s.Clock.MaxJump.Milliseconds(), EventClock: true,
		CachedCustomers: s.State.CachedCustomers, TimersLoaded: 50_000, Looks: 8192, Sampled: 1000,
	}, clv.NewChain(s.Chain()), n.store, oneModel{})
	if err != nil {
		return err
	}
	n.task.Begin(0)
	if err := n.task.Adopt([]*operators.Model{&model}); err != nil {
		return err
	}
	return n.commit()
}

// commit ends a transaction as the pipeline does, and lets the store flush where the pipeline would let it do so beside.
func (n *counter) commit() error {
	if _, err := n.task.FireDue(&n.budget); err != nil {
		return err
	}
	if err := n.task.Finish(); err != nil {
		return err
	}
	outputs := n.task.Outputs()
	for i := range outputs {
		var r schemas.Record
		if err := n.encoder.EncodeOutput(&outputs[i], &r); err != nil {
			return err
		}
		n.outputs += int64(len(r.Key) + len(r.Value))
		for _, h := range r.Headers {
			n.outputs += int64(len(h.Key) + len(h.Value))
		}
	}
	for key, value := range n.store.Writes {
		n.changelog += int64(len(key) + len(value))
	}
	n.store.Commit(n.task.Meta().Position)
	n.task.Committed()
	n.task.Begin(0)
	if !n.store.Full() {
		return nil
	}
	return n.store.Flush()
}
