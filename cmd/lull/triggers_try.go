package main

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/trigger"
	"lull/pipeline"
	"lull/pipeline/backfill"
	"lull/pipeline/replay"
	"lull/schemas"
)

// rulesFlags are the flags of triggers try.
type rulesFlags struct {
	file        fileFlags
	rules, diff string
	model       string
	from, until string
	json        bool
}

func newTriggersTryCommand() *cobra.Command {
	var f rulesFlags
	cmd := &cobra.Command{
		Use:   "try --events FILE",
		Short: "Show what rules would have done to a past",
		Long: `Try runs the events of a CSV file through the operators of the pipeline, with the settings that run would have, and prints the triggers that
there would have been: how many of each rule, for what value, on whom two rules meet, and who came back although nobody was
called; and how customers moved between segments, which rules can speak of and do not change. It needs no Kafka; the events are
held in memory, some 200 bytes for each, and what is told, some 2,000 bytes for each.

The events are taken in the order of their times, each as if it had come in time, and time passes between them as it does live.
--from and --until, both inclusive, bound what counts; the events before --from are everybody's past, as if the rules
had been there from the first. Ids, times and facts are those of lull run on the same events under the same model, whose ids are
made of the name of the file, or of --source, and the number of the row if a row has none.

Without --model one is fitted, as lull fit does it, to what is known at the beginning of --from, so that it knows nothing of what
it is tried on; without --from to the whole file, and then it does. It is in force from the start. A model of --model is in
force from its effective_at.

With --diff it also says what the rules change against those of another file: which triggers there are by one of them only, and
by both, by customer, rule and instant.

Came back: who bought again within scores.contact_days after a trigger, in orders that were not cancelled. Triggers from which the file does
not go on for so long are not counted there.

Each field is read from the column of its name, and time from "date" if there is no column "time", unless --map says otherwise. FIELD is one of
` + strings.Join(rowFields, ", ") + `.
A row that is no event ends the command with an error that names it.`,
		Example: `  lull triggers try --rules rules.yaml --events orders.csv.gz --from 2025-01-01
  lull triggers try --rules rules.yaml --diff old-rules.yaml --events orders.csv.gz --from 2025-01-01
  lull triggers try --rules rules.yaml --events orders.csv --map customer_id=client,time=ordered_at,amount=total --model model.yaml`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error { return tryRules(cmd, &f) }),
	}
	cmd.Flags().StringVar(&f.rules, "rules", "", "`file` with the rules (default triggers.rules)")
	cmd.Flags().StringVar(&f.diff, "diff", "", "`file` with other rules, as those that are in force, to compare with")
	cmd.Flags().StringVar(&f.file.path, "events", "", "`file` with a header, may be compressed by gzip or zstd; - is standard input")
	cmd.Flags().StringVar(&f.from, "from", "", "first `day` whose triggers count, as 1997-10-01 (default the first of the events)")
	cmd.Flags().StringVar(&f.until, "until", "", "last `day` whose triggers count (default the last of the events)")
	cmd.Flags().StringVar(&f.model, "model", "", "`file` with the model, as of lull models show (default one that is fitted)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON document with everything, also each trigger and each change of segment, in the order of time")
	f.file.add(cmd)
	cmd.Flags().StringVar(&f.file.source, "source", "", "`name` of the data in the ids of rows (default the file's, without folder, .gz and .zst)")
	addSettingFlags(cmd, "calendar.timezone", "money.currency", "money.rates", "money.margin", "scores.contact_days", "risk.high", "risk.back", "fit.family")
	return cmd
}

// tryRules does what triggers try is to do.
func tryRules(cmd *cobra.Command, f *rulesFlags) error {
	t, err := f.trial(cmd)
	if err != nil {
		return err
	}
	if err := t.read(cmd, &f.file); err != nil {
		return err
	}
	if err := t.bound(f); err != nil {
		return err
	}
	if err := t.findModel(cmd); err != nil {
		return err
	}
	told, err := t.replay(cmd, t.rules, "replaying")
	if err != nil {
		return err
	}
	r := t.result(told)
	if t.oldRules != nil {
		old, err := t.replay(cmd, t.oldRules, "replaying under "+t.oldFrom)
		if err != nil {
			return err
		}
		r.old = old.Triggers
		r.diff = replay.NewDiff(bothNames(t.rules, t.oldRules), r.old, r.Triggers)
	}
	if f.json {
		return t.printJSON(cmd.OutOrStdout(), r)
	}
	return t.print(cmd.OutOrStdout(), r)
}

// result sums up what is told.
func (t *rulesTrial) result(told *replay.Told) *triedResult {
	names := ruleNames(t.rules)
	return &triedResult{
		Told: told, summaries: replay.Summaries(names, told.Triggers, t.period, t.partDays*operators.DayMs, t.watch()), overlaps: replay.Overlaps(names, told.Triggers),
		moves: replay.Moves(told.Transitions),
	}
}

// rulesTrial is what is tried, and on what.
type rulesTrial struct {
	path      string
	rules     *trigger.Rules
	rulesFrom string         // where they are from
	oldRules  *trigger.Rules // to compare with; nil for none
	oldFrom   string
	settings  pipeline.Settings
	chain     clv.Config
	zone      *time.Location
	records   []timedRecord
	purchases replay.Purchases
	customers int

	first, last operators.Day // of the events
	from, until operators.Day // of the triggers, inclusive
	period      replay.Period
	partDays    int                 // of each part of the period that is told apart
	known       operators.EventTime // the end of the last day of the events
	model       *operators.Model
	fitted      bool
}

// trial makes a trial of flags and settings, with rules and model if they are files.
func (f *rulesFlags) trial(cmd *cobra.Command) (*rulesTrial, error) {
	s, err := loadSettings(cmd.Flags(), os.Environ())
	if err != nil {
		return nil, err
	}
	if f.file.path == "" {
		return nil, usageError{errors.New("--events is empty: it must name the file with the events")}
	}
	if f.rules != "" {
		s.Triggers.Rules = ""
	}
	if len(s.Inputs) == 0 {
		s.Input.Topic = cmp.Or(s.Input.Topic, "events") // no topic is read
	}
	if err := withRules(&s, nil); err != nil {
		return nil, err
	}
	f.file.setDefaults(&s)
	if err := f.file.checkOutput("--refused", f.file.refused); err != nil {
		return nil, err
	}
	t := &rulesTrial{path: f.file.path, settings: s, chain: s.Chain(), zone: s.Decoder().Zone, rulesFrom: cmp.Or(f.rules, s.Triggers.Rules, "the default rules")}
	t.rules = t.chain.Trigger.Rules
	if f.rules != "" {
		if t.rules, err = readRules(f.rules); err != nil {
			return nil, err
		}
	}
	if t.oldFrom = f.diff; f.diff != "" {
		if t.oldRules, err = readRules(f.diff); err != nil {
			return nil, err
		}
	}
	if f.model != "" {
		if t.model, err = readModelFile(f.model); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// read reads the events, and who has bought when.
func (t *rulesTrial) read(cmd *cobra.Command, f *fileFlags) error {
	zone, err := f.zone()
	if err != nil {
		return usageError{err}
	}
	if t.records, err = readRecords(cmd, f, zone, t.settings.Limits.Record()); err != nil {
		return err
	}
	t.purchases = make(replay.Purchases)
	type order struct{ customer, id string }
	cancelled := make(map[order]bool)
	customers := make(map[string]struct{})
	for i := range t.records {
		r := &t.records[i]
		customers[r.Customer] = struct{}{}
		if r.kind == operators.OrderCancelled {
			cancelled[order{r.Customer, r.order}] = true
		}
	}
	for i := range t.records {
		if r := &t.records[i]; r.kind == operators.OrderCompleted && !cancelled[order{r.Customer, r.order}] {
			t.purchases[r.Customer] = append(t.purchases[r.Customer], r.time)
		}
	}
	t.customers = len(customers)
	if len(t.purchases) == 0 {
		return fmt.Errorf("%s: none of its %d events is an order that stands (of kind %s, and not cancelled), and without a purchase nobody is scored: say by --kind, or by a column of the field kind, which rows are orders",
			t.path, len(t.records), operators.OrderCompleted)
	}
	return nil
}

// bound finds the period of the triggers that count.
func (t *rulesTrial) bound(f *rulesFlags) error {
	day := schemas.Days(t.zone)
	t.first, t.last = day(t.records[0].time), day(t.records[len(t.records)-1].time)
	t.from, t.until = t.first, t.last
	if f.from != "" {
		day, err := parseDay("--from", f.from)
		if err != nil {
			return usageError{err}
		}
		t.from = dayOf(day)
	}
	if f.until != "" {
		day, err := parseDay("--until", f.until)
		if err != nil {
			return usageError{err}
		}
		t.until = dayOf(day)
	}
	switch {
	case f.from != "" && f.until != "" && t.from > t.until:
		return usageError{fmt.Errorf("--from %s: it must not be after --until, which is %s", f.from, f.until)}
	case t.until < t.first:
		return fmt.Errorf("%s: all events are after --until %s: they are of %s to %s", t.path, f.until, t.first, t.last)
	case t.from > t.until:
		return fmt.Errorf("%s: no event is on or after --from %s: they are of %s to %s; name an earlier day, or by --until how long silence goes on", t.path, f.from, t.first, t.last)
	case t.from <= t.first && f.from != "" && t.model == nil:
		return fmt.Errorf("%s: no event is before --from %s, so there is nothing to fit a model to: they are of %s to %s; name a later day, or a model by --model", t.path, f.from, t.first, t.last)
	}
	t.period, t.known = replay.Period{From: t.startOf(t.from), Until: t.startOf(t.until + 1)}, t.startOf(t.last+1)
	t.partDays = partDaysOf(int(t.until-t.from) + 1)
	return nil
}

// startOf returns the instant at which a day begins.
func (t *rulesTrial) startOf(day operators.Day) operators.EventTime {
	date := time.Unix(int64(day)*operators.DayMs/1000, 0).UTC()
	return operators.EventTime(time.Date(date.Year(), date.Month(), date.Day(), 0, 0, 0, 0, t.zone).UnixMilli())
}

// findModel fits a model if there is none: to what is known at the beginning of the period, or, if that is nothing, to everything.
func (t *rulesTrial) findModel(cmd *cobra.Command) error {
	if t.model != nil {
		return nil
	}
	day := t.from
	if t.from <= t.first {
		day = t.last + 1
	}
	return t.run(cmd, func(c *backfill.Config) { c.Sampled = t.settings.Sampled() }, "fitting a model", func(run *backfill.Run, records iter.Seq[*replay.Record]) (err error) {
		if t.model, err = replay.Fit(run, records, t.settings.FitConfig(), t.startOf(day), day); err != nil {
			return fmt.Errorf("%w; name a later --from, or a model by --model", err)
		}
		t.fitted = true
		return nil
	})
}

// replay returns what is told under rules.
func (t *rulesTrial) replay(cmd *cobra.Command, rules *trigger.Rules, what string) (told *replay.Told, err error) {
	err = t.run(cmd, func(c *backfill.Config) { c.Chain.Trigger.Rules, c.Model = rules, t.model }, what, func(run *backfill.Run, records iter.Seq[*replay.Record]) (err error) {
		told, err = replay.Follow(run, records, t.period)
		return err
	})
	return told, err
}

// run gives do a run over the records, with the state in a folder that is gone afterwards, and shows how far it has come.
func (t *rulesTrial) run(cmd *cobra.Command, configure func(*backfill.Config), what string, do func(*backfill.Run, iter.Seq[*replay.Record]) error) (err error) {
	folder, err := os.MkdirTemp("", "lull-try-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	config := backfill.Config{Dir: filepath.Join(folder, "state"), Chain: t.chain, Decoder: t.settings.Decoder(), LatenessMs: t.settings.Clock.Lateness.Milliseconds()}
	configure(&config)
	run, err := backfill.Open(config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	bar := newProgress(cmd.ErrOrStderr(), int64(len(t.records)), what, progressbar.OptionShowCount())
	defer func() { _, _ = bar.Clear(), bar.Exit() }() // decoration
	err = do(run, func(yield func(*replay.Record) bool) {
		for i := range t.records {
			_ = bar.Add(1) // decoration
			r := &t.records[i]
			if cmd.Context().Err() != nil || !yield(&replay.Record{Customer: r.Customer, Time: r.time, Value: r.Value, Row: r.Row, Line: r.Line}) {
				return
			}
		}
	})
	if err = cmp.Or(cmd.Context().Err(), err); err != nil {
		return fmt.Errorf("%s: %w", t.path, err)
	}
	return nil
}

// readRules reads a file of rules.
func readRules(path string) (*trigger.Rules, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rules, err := trigger.ParseRules(path, source)
	if err != nil {
		return nil, usageError{err}
	}
	return rules, nil
}

// readModelFile reads a file with a model.
func readModelFile(path string) (*operators.Model, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	model, err := schemas.ParseModelFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &model, nil
}

// ruleNames returns the names of rules, in their order.
func ruleNames(rules *trigger.Rules) []string {
	names := make([]string, len(rules.Rules))
	for i := range rules.Rules {
		names[i] = rules.Rules[i].Name
	}
	return names
}

// bothNames returns the names of the rules of two files, each once.
func bothNames(now, old *trigger.Rules) []string {
	names := ruleNames(now)
	for _, name := range ruleNames(old) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}
