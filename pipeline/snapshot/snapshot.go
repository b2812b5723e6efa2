package snapshot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"lull/operators"
	"lull/operators/clv"
	"lull/pipeline/task"
)

// Config says what a snapshot tells, and where it goes.
type Config struct {
	Application string // the prefix of its topics
	Version     string // of this program
	Chain       clv.Config
	Terms       uint32            // of the settings that scores are computed under
	Models      []operators.Model // in the order of their topic, the first of each version
	AsOf        operators.EventTime
	Tables      []string // names of TableNames
	Keep        int      // how many snapshots to keep; 0: all
	KeepFor     time.Duration
	Processors  int // how many evaluate customers, and how many topics are read and tables written at once; 0: all that this process has
}

// Parallel returns how many processors the snapshot may use.
func (c *Config) Parallel() int { return cmp.Or(c.Processors, runtime.GOMAXPROCS(0)) }

// DefaultAsOf is the Config.AsOf that stands for the least watermark.
const DefaultAsOf = operators.Unset

// Manifest says what a snapshot holds. It is written when all else is there.
type Manifest struct {
	Format      int              `json:"format"`   // formatVersion
	Snapshot    string           `json:"snapshot"` // the folder's name: the instant, and a hash of all that decides on the content
	Application string           `json:"application"`
	AsOf        string           `json:"as_of"`
	Model       *string          `json:"model"` // null: none was in force
	Terms       Terms            `json:"terms"`
	WrittenAt   time.Time        `json:"written_at"` // wall clock
	WrittenBy   string           `json:"written_by"`
	Partitions  []PartitionState `json:"partitions"`
	Tables      []Table          `json:"tables"`
	Rebuilt     *Rebuilt         `json:"segments_rebuilt"` // of the rows of customers; null of a snapshot without them, or of an earlier build
}

// Terms are the settings without which the numbers mean nothing.
type Terms struct {
	Currency        string  `json:"currency"`
	HorizonDays     float64 `json:"horizon_days"`
	ContactDays     float64 `json:"contact_days"`
	DiscountMonthly float64 `json:"discount_monthly"`
	Margin          float64 `json:"margin"`
	Timezone        string  `json:"timezone"` // that calendar days are of: calendar.timezone, as the state has it; "" of a state that does not tell
}

// PartitionState says what was read of a partition.
type PartitionState struct {
	Partition       int32  `json:"partition"`
	ChangelogOffset int64  `json:"changelog_offset"` // all that is committed below it
	InputPosition   int64  `json:"input_position"`   // the next offset of the input that it stands for
	Watermark       string `json:"watermark"`
}

// Table is one file of a snapshot.
type Table struct {
	Name    string   `json:"name"`
	File    string   `json:"file"` // beside the manifest
	Rows    int64    `json:"rows"`
	Bytes   int64    `json:"bytes"`
	SHA256  string   `json:"sha256"`
	Columns []Column `json:"columns"`

	// Since is the instant from which on all rows are there, about, of a table whose topic has begun to forget outputs; null if all are there.
	Since *string `json:"since"`
	// Offsets are where the partitions of that topic began.
	Offsets []FirstOffset `json:"first_offsets,omitempty"`
}

// FirstOffset is the first offset that a partition of a topic still had.
type FirstOffset struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// formatVersion is that of manifests and of the columns' meaning. A new column does not change it.
//
//	1: the first.
const formatVersion = 1

// namePattern is what a snapshot's name looks like; asOfLength is the length of the instant in it.
var namePattern = regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{12}$`)

const asOfLength = len("19980104T130700.000Z")

// Taken is what has become of a snapshot.
type Taken struct {
	Manifest *Manifest
	Existed  bool     // it was there already: nothing was written
	Removed  []string // the names of those that are kept no longer
}

// Take writes a snapshot. The errors that are no fault of the target's say which setting or flag to mend.
func Take(ctx context.Context, s *State, config *Config, target *Target, now time.Time) (*Taken, error) {
	m, from, err := plan(s, config)
	if err != nil {
		return nil, err
	}
	taken := &Taken{Manifest: m}
	known, err := target.Manifest(ctx, m.Snapshot)
	switch {
	case err != nil:
		return nil, err
	case known != nil:
		taken.Manifest, taken.Existed = known, true
	default:
		if err := writeTables(ctx, target, m, config, from); err != nil {
			return nil, err
		}
		if slices.Contains(config.Tables, "customers") {
			m.Rebuilt = from.rebuilt
		}
		m.WrittenAt, m.WrittenBy = now.UTC().Truncate(time.Millisecond), config.Version
		if err := target.writeManifest(ctx, m); err != nil {
			return nil, err
		}
	}
	taken.Removed, err = target.settle(ctx, m.Snapshot, config.Keep, config.KeepFor, now)
	return taken, err
}

// writeTables writes the tables, as many at once as processors may work, and notes them in the manifest in their order.
func writeTables(ctx context.Context, target *Target, m *Manifest, config *Config, from *source) error {
	m.Tables = make([]Table, len(config.Tables))
	work, workCtx := errgroup.WithContext(ctx)
	work.SetLimit(from.processors)
	for i, name := range config.Tables {
		work.Go(Caught(func() error {
			table, err := writeTable(workCtx, target, m, kindNamed(name), from)
			if err == nil {
				m.Tables[i] = *table
			}
			return err
		}))
	}
	return work.Wait()
}

// Caught returns work whose panic is an error: in a goroutine of its own it would end the process, events and all.
func Caught(work func() error) func() error {
	return func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("it panicked: %v. Report it", p)
			}
		}()
		return work()
	}
}

// plan returns the manifest of what is to be written, without its tables, and what they are made of.
func plan(s *State, config *Config) (*Manifest, *source, error) {
	all := s.sorted()
	if len(all) == 0 {
		return nil, nil, errors.New("there is no state yet: no partition has had a transaction. Start lull run, or mend --prefix")
	}
	m := &Manifest{Format: formatVersion, Application: config.Application, Terms: Terms{
		Currency: config.Chain.Score.Currency, HorizonDays: float64(config.Chain.Score.HorizonMonths) * config.Chain.Score.MonthDays,
		ContactDays: config.Chain.Score.ContactDays, DiscountMonthly: config.Chain.Score.DiscountMonthly, Margin: config.Chain.Score.MarginShare,
	}}
	least := operators.Never
	var behind *partition
	for _, p := range all {
		if counted := p.shape.Get("money.currency"); counted != "" && counted != config.Chain.Score.Currency {
			return nil, nil, fmt.Errorf("partition %d: the state counts in %s, and money.currency is %s: give the settings that lull run has, by --config", p.n, counted, config.Chain.Score.Currency)
		}
		m.Terms.Timezone = cmp.Or(m.Terms.Timezone, p.shape.Get("calendar.timezone"))
		m.Partitions = append(m.Partitions, PartitionState{p.n, p.position(), p.meta.Position, p.meta.Watermark.String()})
		if at := p.meta.Watermark; at != operators.Unset && at < least {
			least, behind = at, p
		}
	}
	if behind == nil {
		return nil, nil, errors.New("no partition has a watermark yet: events of three customers, or a time mark, begin it")
	}
	asOf := config.AsOf
	if asOf == DefaultAsOf {
		asOf = least
	}
	if asOf > least {
		return nil, nil, fmt.Errorf("--as-of %s is after the watermark of partition %d, which is %s: what happens until then is not known yet. Name an instant up to that, or none", asOf, behind.n, least)
	}
	m.AsOf = asOf.String()
	if from, p := remembered(all); asOf < from {
		way := "name an instant from then on, by --as-of"
		if from > least {
			way = fmt.Sprintf("wait until the watermark of partition %d is there, which is %s", behind.n, least)
		}
		return nil, nil, fmt.Errorf("partition %d no longer knows which model was in force at %s, but from %s on: %s", p.n, asOf, from, way)
	}
	published, err := modelsUntil(all, config, asOf)
	if err != nil {
		return nil, nil, err
	}
	var model *operators.Model
	if len(published) > 0 {
		model = &published[len(published)-1]
	}
	models := make(map[uint32]*operators.Model, len(config.Models))
	for i := range config.Models {
		models[config.Models[i].Ref()] = &config.Models[i]
	}
	if model != nil {
		m.Model = &model.Version
	}
	m.Snapshot = m.name(s, config)
	return m, &source{s, newEvaluator(config, models, model, asOf), published, config.Parallel(), new(Rebuilt)}, nil
}

// modelsUntil returns the models up to that of the whole snapshot, in the order of their topic: of those that are in force at the instant in the partitions, which take to a new one each at its own watermark, it is
// the one published last. There are none if no model is in force.
func modelsUntil(all []*partition, config *Config, asOf operators.EventTime) ([]operators.Model, error) {
	best := -1
	for _, p := range all {
		if now := inForce(p, p.meta.Watermark); now != nil && now.Terms != config.Terms {
			return nil, fmt.Errorf("partition %d: the pipeline scores with other settings than these: scores, risk, segments, money.margin or the rules of triggers differ. Give the settings that lull run has, by --config", p.n)
		}
		a := inForce(p, asOf)
		if a == nil {
			continue
		}
		at := slices.IndexFunc(config.Models, func(m operators.Model) bool { return m.Ref() == a.Ref })
		if at < 0 {
			return nil, fmt.Errorf("partition %d: the model with the short name %08x, which is in force there, is not in the models topic: put it there again by `lull models put`", p.n, a.Ref)
		}
		best = max(best, at)
	}
	return config.Models[:best+1], nil
}

// inForce returns the adoption that is in force in a partition at an instant, nil if there is none.
func inForce(p *partition, at operators.EventTime) (in *task.Adoption) {
	for i := range p.meta.Adoptions {
		if a := &p.meta.Adoptions[i]; a.At <= at {
			in = a
		}
	}
	return in
}

// remembered returns the instant from which on all partitions tell which model was in force, and the one that has forgotten the most.
func remembered(all []*partition) (from operators.EventTime, most *partition) {
	from = operators.Unset
	for _, p := range all {
		if at := p.meta.Remembered(); at > from {
			from, most = at, p
		}
	}
	return from, most
}

// name returns the snapshot's name: the same for the same content.
func (m *Manifest) name(s *State, config *Config) string {
	h := sha256.New()
	fmt.Fprintln(h, m.Format, m.Application, m.AsOf, config.Terms, m.Terms, config.Tables, config.Version)
	if m.Model != nil {
		fmt.Fprintln(h, *m.Model)
	}
	for _, p := range m.Partitions {
		fmt.Fprintln(h, p.Partition, p.ChangelogOffset)
	}
	for _, name := range config.Tables {
		if outputs := s.outputs[kindNamed(name).topic]; outputs != nil && outputs.from != nil {
			fmt.Fprintln(h, name, outputs.from) // in the order of partitions
		}
	}
	return strings.NewReplacer("-", "", ":", "").Replace(m.AsOf) + "-" + hex.EncodeToString(h.Sum(nil))[:12]
}
