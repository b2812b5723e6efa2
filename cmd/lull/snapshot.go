package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/snapshot"
	"lull/pipeline/task"
	"lull/schemas"
)

// snapshotFlags are those of snapshot.
type snapshotFlags struct {
	fromChangelog bool
	out, asOf     string
	tables        []string
	keep          int
	keepFor       time.Duration
}

func newSnapshotCommand() *cobra.Command {
	var f snapshotFlags
	cmd := &cobra.Command{
		Use:   "snapshot [--out DIR|URL]",
		Short: "Write all customers at one instant, and their orders, as Parquet, for DuckDB, pandas, Polars and whatever else reads it",
		Long: `Snapshot reads the application's state in its changelog, and its models, on any machine, and writes tables of what lull knows, with all rows evaluated at
one instant: the least watermark of the partitions, or an earlier one by --as-of, of which a date is its 00:00 in calendar.timezone. It asks no running process and changes none.
Of an earlier instant it leaves out what came after it, as far as the state tells that apart, and says what is in all the same.
docs/snapshots.md says what each column means.

Each snapshot lies in a folder of its own below --out, named for its instant. Its manifest.json is written last: what has one is
whole. The file "latest" beside the folders names the newest whole snapshot. The same instant of the same state is the same
snapshot: it is written once.

--out is a folder, or the URL of a bucket: s3://BUCKET?region=REGION. Without it the snapshot is written where lull run writes its own, to snapshots.out. While it works, the state lies in a folder below TMPDIR.
The settings are those of lull run. Where the state was made with others that make no other scores, such as another session.gap, its own hold, and snapshot says so.`,
		Example: `  lull snapshot --out snapshots --config lull.yaml
  lull snapshot --out snapshots --as-of 1998-01-01 --keep 30 --config lull.yaml`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadValid(cmd.Flags(), os.Environ())
			var unread unreadError // no telling whether it has snapshots.out
			if !errors.As(err, &unread) {
				err = errors.Join(f.missing(&s, configPath(cmd.Flags(), os.Environ())), err)
			}
			if err != nil {
				return err
			}
			config, err := f.config(&s)
			if err != nil {
				return usageError{err}
			}
			taken, overruled, err := f.take(cmd.Context(), &s, config)
			if err != nil {
				return err
			}
			p := &printer{w: cmd.OutOrStdout()}
			for _, c := range overruled {
				p.line("%s is %s here, and %s in the state: what was counted by that stays", c.Name, cmp.Or(c.Is, "empty"), cmp.Or(c.Was, "empty"))
			}
			return printTaken(p, taken)
		}),
	}
	cmd.Flags().BoolVar(&f.fromChangelog, "from-changelog", true, "read the state in the changelog, which is the one way")
	cmd.Flags().StringVar(&f.out, "out", "", "`folder` or URL of a bucket to write to (default the setting snapshots.out)")
	cmd.Flags().StringVar(&f.asOf, "as-of", "", "`instant` to evaluate everybody at, as 1998-07-01, in calendar.timezone, or by RFC 3339 (default the least watermark)")
	cmd.Flags().StringSliceVar(&f.tables, "tables", snapshot.TableNames(), "`tables` to write")
	cmd.Flags().IntVar(&f.keep, "keep", 0, "remove older snapshots, so that this many are left, but never the one that is taken (default all)")
	cmd.Flags().DurationVar(&f.keepFor, "keep-for", 0, "remove snapshots written longer ago than this, but never the newest and the one that is taken (default none)")
	addSettingFlags(cmd, "brokers", "prefix", "group")
	return cmd
}

// snapshotConfig returns what the settings say of a snapshot at the least watermark.
func snapshotConfig(s *pipeline.Settings) *snapshot.Config {
	return &snapshot.Config{Application: s.Prefix, Version: pipeline.Version(), Chain: s.Chain(), Terms: s.Terms(), AsOf: snapshot.DefaultAsOf}
}

// target returns what the snapshot is written to, and the flag or the setting that names it.
func (f *snapshotFlags) target(s *pipeline.Settings) (out, by string) {
	if f.out == "" && s.Snapshots.Out != "" {
		return s.Snapshots.Out, "snapshots.out"
	}
	return f.out, "--out"
}

// missing says what has to be given and is not, with or without a file of settings.
func (f *snapshotFlags) missing(s *pipeline.Settings, config string) error {
	out, _ := f.target(s)
	switch {
	case out != "":
		return nil
	case config == "":
		return usageError{errors.New("--out is empty: it must be the folder, or the URL of the bucket, to write to; and --config the file of the settings that lull run has")}
	}
	return usageError{errors.New("--out is empty, and so is snapshots.out: one of them must be the folder, or the URL of the bucket, to write to")}
}

// config returns what the flags and settings ask for.
func (f *snapshotFlags) config(s *pipeline.Settings) (*snapshot.Config, error) {
	c := snapshotConfig(s)
	c.Keep, c.KeepFor = f.keep, f.keepFor
	switch {
	case !f.fromChangelog:
		return nil, errors.New("--from-changelog is false: the state is read there, and nowhere else. Leave the flag out")
	case f.keep < 0:
		return nil, fmt.Errorf("--keep is %d: it must be 0, which keeps all, or more", f.keep)
	case f.keepFor < 0:
		return nil, fmt.Errorf("--keep-for is %s: it must be 0, which keeps all, or more", f.keepFor)
	case len(f.tables) == 0:
		return nil, fmt.Errorf("--tables is empty: it must be a list of %s", strings.Join(snapshot.TableNames(), ", "))
	}
	for _, name := range snapshot.TableNames() { // in their order, each once
		if slices.Contains(f.tables, name) {
			c.Tables = append(c.Tables, name)
		}
	}
	for _, name := range f.tables {
		if !slices.Contains(c.Tables, name) {
			return nil, fmt.Errorf("--tables is %q: it must be a list of %s", name, strings.Join(snapshot.TableNames(), ", "))
		}
	}
	var err error
	c.AsOf, err = f.instant(s.Calendar.Timezone)
	return c, err
}

// instant returns the instant that --as-of names, a date being its 00:00 in a time zone.
func (f *snapshotFlags) instant(timezone string) (operators.EventTime, error) {
	if f.asOf == "" {
		return snapshot.DefaultAsOf, nil
	}
	zone, err := time.LoadLocation(timezone)
	if err != nil {
		//lull:unread that of the settings has been checked, and by it that of the state
		return 0, fmt.Errorf("calendar.timezone %q: it must be an IANA time zone such as Europe/Berlin", timezone)
	}
	at, err := parseTime(f.asOf, zone)
	if err == nil && !inTime(at) {
		err = fmt.Errorf("time is %q: it must be %s", f.asOf, timeRange)
	}
	if err != nil {
		return 0, fmt.Errorf("--as-of: %w", err)
	}
	return at, nil
}

// take opens what the snapshot is written to, and a folder for the state, and writes it. It returns too where the state holds against the settings.
func (f *snapshotFlags) take(ctx context.Context, s *pipeline.Settings, config *snapshot.Config) (taken *snapshot.Taken, overruled []task.Change, err error) {
	out, by := f.target(s)
	target, err := snapshot.OpenTarget(ctx, out)
	if err != nil {
		return nil, nil, usageError{fmt.Errorf("%s: %w", by, err)}
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if err := target.Check(ctx); err != nil { // before the state is read, which can take long
		return nil, nil, fmt.Errorf("%s: %w", by, err)
	}
	dir, err := os.MkdirTemp("", "lull-snapshot-")
	if err != nil {
		return nil, nil, fmt.Errorf("making a folder for the state: %w; TMPDIR names where", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	taken, err = takeSnapshot(ctx, s, config, target, dir, func(shape task.Shape) (err error) {
		overruled = s.Overruled(shape)
		config.AsOf, err = f.instant(cmp.Or(shape.Get("calendar.timezone"), s.Calendar.Timezone)) // that days are of
		return err
	})
	return taken, overruled, err
}

// takeSnapshot writes a snapshot; the state lies in an empty folder meanwhile. What the state was made with is told once it has been read.
func takeSnapshot(ctx context.Context, s *pipeline.Settings, config *snapshot.Config, target *snapshot.Target, dir string, told func(task.Shape) error) (taken *snapshot.Taken, err error) {
	client, err := newClient(ctx, s, readOptions()...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	state, err := snapshot.OpenState(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	if err := restoreState(ctx, client, s.Topic(pipeline.ChangelogTopic), state); err != nil {
		return nil, err
	}
	if err := told(state.Shape()); err != nil {
		return nil, err
	}
	// After the state, so that no output is missing that it has counted.
	reading, readingCtx := errgroup.WithContext(ctx)
	reading.SetLimit(config.Parallel())
	patience := s.Commit.Timeout + answerTimeout // by then the brokers have ended what a dead process has left
	for _, table := range config.Tables {
		if topic, ok := snapshot.TopicOf(table); ok {
			reading.Go(snapshot.Caught(func() error { return readOutputs(readingCtx, s, topic, table, state, patience) }))
		}
		if table == snapshot.QualityTable {
			reading.Go(snapshot.Caught(func() error {
				_, err := readTold(readingCtx, s, s.Topic(pipeline.QualityTopic), table, patience, func(r *kgo.Record) error { return state.TellQuality(r.Key, r.Value) })
				return err
			}))
		}
	}
	if err := reading.Wait(); err != nil {
		return nil, err
	}
	// After the state, so that no model is missing that is in force in it.
	models, err := publishedModels(ctx, s)
	if err != nil {
		return nil, err
	}
	config.Models = models
	return snapshot.Take(ctx, state, config, target, time.Now())
}

// schedule takes the snapshots of a pipeline that runs, as snapshot does from elsewhere.
type schedule struct {
	settings *pipeline.Settings
	dir      string           // of the state; what a process that was killed has left there goes with the next
	target   *snapshot.Target // nil until it is asked for first: events do not wait for a store that does not answer
}

// newSchedule returns what takes snapshots; nil if none are to be taken.
func newSchedule(s *pipeline.Settings) (*schedule, error) {
	if s.Snapshots.Every == 0 {
		return nil, nil
	}
	if err := snapshot.CheckTarget(s.Snapshots.Out); err != nil {
		return nil, usageError{fmt.Errorf("snapshots.out: %w", err)}
	}
	return &schedule{settings: s, dir: filepath.Join(s.State.Dir, "snapshot")}, nil
}

// close releases what the schedule holds.
func (c *schedule) close() error {
	if c.target == nil {
		return nil
	}
	return c.target.Close()
}

// Newest implements pipeline.Snapshots.
func (c *schedule) Newest(ctx context.Context) (time.Time, error) {
	if c.target == nil {
		// Credentials are asked for anew long after this call.
		target, err := snapshot.OpenTarget(context.WithoutCancel(ctx), c.settings.Snapshots.Out)
		if err != nil {
			return time.Time{}, fmt.Errorf("snapshots.out: %w", err)
		}
		c.target = target
	}
	latest, err := c.target.Latest(ctx)
	if latest == "" || err != nil {
		return time.Time{}, err
	}
	m, err := c.target.Manifest(ctx, latest)
	if m == nil || err != nil {
		return time.Time{}, err // nil: somebody has removed it
	}
	return m.WrittenAt, nil
}

// Take implements pipeline.Snapshots. Newest has been asked before.
func (c *schedule) Take(ctx context.Context) (told pipeline.SnapshotTaken, err error) {
	if err := errors.Join(os.RemoveAll(c.dir), os.MkdirAll(c.dir, 0o700)); err != nil {
		return told, fmt.Errorf("making a folder for the state: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(c.dir)) }()
	config := snapshotConfig(c.settings)
	config.Tables, config.Keep, config.KeepFor = snapshot.TableNames(), c.settings.Snapshots.Keep, c.settings.Snapshots.KeepFor
	config.Processors = 1 // the others are for the events
	taken, err := takeSnapshot(ctx, c.settings, config, c.target, c.dir, func(task.Shape) error { return nil })
	if err != nil {
		return told, err
	}
	told = pipeline.SnapshotTaken{Name: taken.Manifest.Snapshot, Existed: taken.Existed, Rows: make(map[string]int64), Removed: taken.Removed}
	for i := range taken.Manifest.Tables {
		told.Rows[taken.Manifest.Tables[i].Name] = taken.Manifest.Tables[i].Rows
	}
	return told, nil
}

// restoreState reads a changelog to the end that it has now, a last stable offset: up to there the partition's owner has whole transactions.
func restoreState(ctx context.Context, client *kgo.Client, topic string, state *snapshot.State) error {
	adm := kadm.NewClient(client)
	spans, _, err := committedSpans(ctx, adm, topic, answerTimeout)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("topic %q does not exist: start lull run, or mend --prefix", topic)
	}
	if err != nil {
		return err
	}
	err = readSpans(ctx, client, topic, spans, func(r *kgo.Record) error {
		if r.Offset >= spans[r.Partition].end {
			return nil // of a later transaction, and perhaps not all of it
		}
		return state.Restore(r.Partition, r.Key, r.Value, r.Offset+1)
	})
	if errors.Is(err, errNothingMore) {
		// What stood at the end has been compacted away: all has been read if the broker still answers.
		_, err = stableSpans(ctx, adm, topic)
	}
	if err != nil {
		return err
	}
	for p, s := range spans {
		if err := state.EndRestore(p, s.end); err != nil {
			return fmt.Errorf("topic %q: %w", topic, err)
		}
	}
	return nil
}

// readOutputs reads a topic of outputs, which readTold does.
func readOutputs(ctx context.Context, s *pipeline.Settings, topic schemas.Topic, table string, state *snapshot.State, patience time.Duration) error {
	from, err := readTold(ctx, s, s.Topic(topic.String()), table, patience, func(r *kgo.Record) error { return tellOutput(topic, r, state) })
	if err != nil {
		return err
	}
	return state.EndTell(topic, from)
}

// readTold reads a topic that tasks write to, to an end behind all that had been committed when the changelog's end was asked for. What came later is in no state, and the snapshot leaves it out.
// It waits up to patience for transactions that are open, and returns where the partitions begin when all has been read.
func readTold(ctx context.Context, s *pipeline.Settings, name, table string, patience time.Duration, tell func(r *kgo.Record) error) (from map[int32]int64, err error) {
	client, err := newClient(ctx, s, readOptions()...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	spans, whole, err := committedSpans(ctx, adm, name, patience)
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return nil, fmt.Errorf("topic %q does not exist: run `lull topics apply`, or leave %s out by --tables", name, table)
	case err != nil:
		return nil, err
	case !whole:
		return nil, fmt.Errorf("topic %q: a transaction stays open, behind which outputs of this state can lie: try again later, or leave %s out by --tables", name, table)
	}
	err = readSpans(ctx, client, name, spans, func(r *kgo.Record) error {
		if err := tell(r); err != nil {
			return fmt.Errorf("topic %q, partition %d, offset %d: %w", name, r.Partition, r.Offset, err)
		}
		return nil
	})
	// What was deleted meanwhile is left out, wherever it was read.
	left, askErr := topicSpans(ctx, adm, name)
	switch {
	case err != nil && !errors.Is(err, errNothingMore): // nor is it if what stood at the end has been deleted
		return nil, err
	case askErr != nil:
		return nil, askErr
	}
	from = make(map[int32]int64)
	for partition, span := range left {
		from[partition] = span.start
	}
	return from, nil
}

// tellOutput takes in one record of a topic of outputs.
func tellOutput(topic schemas.Topic, r *kgo.Record, state *snapshot.State) error {
	value, err := schemas.PlainAvro(topic, headerOf(r, schemas.ContentTypeHeader), r.Value)
	if err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, headerOf(r, "ce_time"))
	if err != nil {
		return fmt.Errorf("the header ce_time: %w", err)
	}
	return state.Tell(topic, &snapshot.Output{Partition: r.Partition, Offset: r.Offset, ID: headerOf(r, "ce_id"), Time: operators.EventTime(at.UnixMilli()), Value: value})
}

// printTaken tells what has become of a snapshot.
func printTaken(p *printer, taken *snapshot.Taken) error {
	m := taken.Manifest
	what := "written"
	if taken.Existed {
		what = "was there already"
	}
	model := "no model is in force"
	if m.Model != nil {
		model = "model " + *m.Model
	}
	p.line("snapshot %s %s: as of %s, %s", m.Snapshot, what, m.AsOf, model)
	if isPast(m) {
		p.line("  the states are later than that: refunds, cancellations and updates that came after it are in, of orders before it (docs/snapshots.md, One instant)")
	}
	if r := m.Rebuilt; r != nil && r.Total() > 0 {
		p.line("  segments of %s are placed anew, without the past (segments_rebuilt): by as_of their states are later, and they have ordered since (%d), come under another model or other settings of scores (%d), or may have moved by silence (%d)",
			many(r.Total(), "customer"), r.Ordered, r.Model, r.Moved)
	}
	for i := range m.Tables {
		t := &m.Tables[i]
		since := ""
		if t.Since != nil {
			since = ", since about " + *t.Since
		}
		p.line("  %-15s %s, %d bytes%s", t.Name, many(t.Rows, "row"), t.Bytes, since)
	}
	for _, name := range taken.Removed {
		p.line("removed %s", name)
	}
	return p.err
}

// isPast reports whether the instant is an earlier one than the least watermark, which the states stand for.
func isPast(m *snapshot.Manifest) bool {
	return !slices.ContainsFunc(m.Partitions, func(p snapshot.PartitionState) bool { return p.Watermark <= m.AsOf }) // instants sort as texts
}
