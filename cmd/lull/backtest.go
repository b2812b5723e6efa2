package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/pipeline"
	"lull/pipeline/backfill"
	"lull/pipeline/backtest"
	"lull/pipeline/report"
	"lull/schemas"
)

// backtestFlags are the flags of backtest.
type backtestFlags struct {
	file               fileFlags
	calibrate, holdout string
	model, timeUnit    string
	json               bool
	perCustomer, plots string
}

func newBacktestCommand() *cobra.Command {
	var f backtestFlags
	cmd := &cobra.Command{
		Use:   "backtest --events FILE --calibrate-until DATE --holdout-until DATE",
		Short: "Fit the models to a file's past, and compare what they predict with what then happened",
		Long: `Backtest runs the events of a CSV file through the operators of the pipeline up to the end of one day, fits the models to what
is known then, predicts the days up to another, and compares. Both days are inclusive. Nothing of the days after calibration
reaches a fit, a prediction or a threshold. It needs no Kafka; the events are held in memory, some 200 bytes for each.

Each field is read from the column of its name, and time from "date" if there is no column "time", unless --map says otherwise. FIELD is one of
` + strings.Join(rowFields, ", ") + `.
A row that is no event ends the backtest with an error that names it: figures of half a file would mean nothing.

docs/models.md explains the models and every figure. With --json the last line is one JSON object with all of them.`,
		Example: `  lull backtest --events orders.csv.gz --calibrate-until 1997-09-30 --holdout-until 1998-06-30
  lull backtest --events orders.csv --map customer_id=client,time=ordered_at,amount=total --calibrate-until 2025-06-30 \
      --holdout-until 2025-12-31 --model auto --per-customer scores.csv --plots plots`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error { return runBacktest(cmd, &f) }),
	}
	cmd.Flags().StringVar(&f.file.path, "events", "", "`file` with a header, may be compressed by gzip or zstd; - is standard input")
	cmd.Flags().StringVar(&f.calibrate, "calibrate-until", "", "last `day` that the models may know, as 1997-09-30")
	cmd.Flags().StringVar(&f.holdout, "holdout-until", "", "last `day` to predict")
	f.file.add(cmd)
	cmd.Flags().StringVar(&f.model, "model", "mbgnbd", "`model` of purchases: mbgnbd, bgnbd, or auto for the likelier one")
	cmd.Flags().StringVar(&f.timeUnit, "time-unit", "week", "`unit` of the alpha that is printed: day or week")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the figures as one JSON object in the last line")
	cmd.Flags().StringVar(&f.perCustomer, "per-customer", "", "`file` to write every customer's predictions to, as CSV")
	cmd.Flags().StringVar(&f.plots, "plots", "", "`folder` to draw three pictures into, as PNG")
	addSettingFlags(cmd, "money.rates", "money.margin", "scores.discount")
	return cmd
}

func runBacktest(cmd *cobra.Command, f *backtestFlags) error {
	s, err := loadSettings(cmd.Flags(), os.Environ())
	if err != nil {
		return err
	}
	f.file.setDefaults(&s)
	if err := cmp.Or(f.file.checkOutput("--refused", f.file.refused), f.file.checkOutput("--per-customer", f.perCustomer)); err != nil {
		return err
	}
	plan, err := f.plan(&s)
	if err != nil {
		return usageError{err}
	}
	records, err := readRecords(cmd, &f.file, plan.zone, plan.backfill.Decoder.Limits)
	if err != nil {
		return err
	}
	if err := plan.divide(records); err != nil {
		return fmt.Errorf("%s: %w", f.file.path, err)
	}
	if last := records[len(records)-1].Day; last < plan.periods.Holdout {
		fmt.Fprintf(cmd.ErrOrStderr(), "lull: %s: the last event is of %s, the holdout ends on %s: days without events count as days without purchases\n",
			f.file.path, last, plan.periods.Holdout)
	}
	past, err := plan.follow(records)
	if err != nil {
		return fmt.Errorf("%s: %w", f.file.path, err)
	}
	result, err := plan.judge.Judge(past)
	if err != nil {
		return fmt.Errorf("%s: %w", f.file.path, err)
	}
	if f.perCustomer != "" {
		if err := writePredictions(f.perCustomer, result.Predictions); err != nil {
			return fmt.Errorf("--per-customer: %w", err)
		}
	}
	if err := printBacktest(cmd.OutOrStdout(), f, plan, result); err != nil {
		return err
	}
	if f.plots != "" {
		if err := report.Backtest(f.plots, past, result); err != nil {
			return fmt.Errorf("--plots: %w", err)
		}
	}
	return nil
}

// backtestPlan is what is to be done.
type backtestPlan struct {
	zone     *time.Location
	periods  backtest.Periods
	judge    backtest.Config
	backfill backfill.Config
	unitDays float64
}

// plan makes a plan of flags and settings. The error names the flag.
func (f *backtestFlags) plan(s *pipeline.Settings) (*backtestPlan, error) {
	p := &backtestPlan{}
	var err error
	if f.file.path == "" {
		return nil, errors.New("--events is empty: it must name the file with the events")
	}
	if p.zone, err = f.file.zone(); err != nil {
		return nil, err
	}
	calibrate, err := parseDay("--calibrate-until", f.calibrate)
	if err != nil {
		return nil, err
	}
	holdout, err := parseDay("--holdout-until", f.holdout)
	if err != nil {
		return nil, err
	}
	p.periods = backtest.Periods{Calibrate: dayOf(calibrate), Holdout: dayOf(holdout)}
	if p.periods.HoldoutDays() < 1 {
		return nil, fmt.Errorf("--holdout-until %s: it must be after --calibrate-until, which is %s", f.holdout, f.calibrate)
	}
	switch f.timeUnit {
	case "day":
		p.unitDays = 1
	case "week":
		p.unitDays = 7
	default:
		return nil, fmt.Errorf("--time-unit %q: it must be day or week", f.timeUnit)
	}
	if f.model == "auto" {
		p.judge.Families = []bgnbd.Family{bgnbd.MBGNBD, bgnbd.BGNBD}
	} else {
		family, err := bgnbd.ParseFamily(f.model)
		if err != nil {
			return nil, fmt.Errorf("--model %q: it must be mbgnbd, bgnbd or auto", f.model)
		}
		p.judge.Families = []bgnbd.Family{family}
	}
	if err := s.ValidateModels(); err != nil {
		return nil, err
	}
	s.Money.Currency = f.file.currency
	p.backfill.Chain = s.Chain()
	p.backfill.Decoder = schemas.DecoderConfig{Zone: p.zone, Currency: s.Money.Currency, Rates: s.Money.Rates, Limits: s.Limits.Record()}
	p.judge.Score = p.backfill.Chain.Score
	p.judge.AsOf = operators.EventTime(time.Date(calibrate.Year(), calibrate.Month(), calibrate.Day(), 0, 0, 0, 0, p.zone).UnixMilli())
	return p, nil
}

func parseDay(flag, text string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return day, fmt.Errorf("%s %q: it must be a day such as 1997-09-30", flag, text)
	}
	return day, nil
}

func dayOf(t time.Time) operators.Day { return operators.Day(t.Unix() / (operators.DayMs / 1000)) }

// timedRecord is a record with the time that it is sorted by, and the order that it is of.
type timedRecord struct {
	backtest.Record
	time  operators.EventTime
	kind  operators.EventKind
	order string
}

// readRecords reads all rows of the file, and returns their records in the order of event time. Rows that are no events are an error, which names
// the first few.
func readRecords(cmd *cobra.Command, f *fileFlags, zone *time.Location, limits schemas.Limits) ([]timedRecord, error) {
	rows, done, err := f.open(cmd, zone, limits, "reading")
	if err != nil {
		return nil, err
	}
	defer done()
	refused, err := newRefusedRows(f.refused, rows.source.rawHeader())
	if err != nil {
		return nil, err
	}
	var records []timedRecord
	var r row
	for err = rows.next(&r); err == nil; err = rows.next(&r) {
		if r.Refused != nil {
			if err = refused.add(&r); err != nil {
				break
			}
			continue
		}
		records = append(records, timedRecord{backtest.Record{
			Customer: r.Event.Customer, Day: r.Event.Day, Value: slices.Clone(r.Value), Row: r.Number, Line: r.Line,
		}, r.Event.Time, r.Event.Kind, r.Event.OrderID})
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = cmp.Or(err, refused.close()); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	if refused.Count > 0 {
		var told strings.Builder
		refused.print(&told)
		return nil, fmt.Errorf("%s: %d of %d rows are no events; mend them or take them out:\n%s",
			f.path, refused.Count, rows.number, strings.TrimRight(told.String(), "\n"))
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%s: it has a header, but no rows", f.path)
	}
	slices.SortStableFunc(records, func(a, b timedRecord) int { return cmp.Compare(a.time, b.time) })
	return records, nil
}

// divide sets the first day, and refuses periods without events.
func (p *backtestPlan) divide(records []timedRecord) error {
	first, last := records[0].Day, records[len(records)-1].Day
	p.periods.First = first
	switch {
	case first > p.periods.Calibrate:
		return fmt.Errorf("all events are after --calibrate-until %s: they are of %s to %s", p.periods.Calibrate, first, last)
	case last <= p.periods.Calibrate:
		return fmt.Errorf("no event is after --calibrate-until %s: they are of %s to %s, so there is nothing to compare with", p.periods.Calibrate, first, last)
	}
	return nil
}

// follow runs the records through the operators, with the state in a folder that is gone afterwards.
func (p *backtestPlan) follow(records []timedRecord) (past *backtest.Past, err error) {
	folder, err := os.MkdirTemp("", "lull-backtest-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	p.backfill.Dir = filepath.Join(folder, "state")
	run, err := backfill.Open(p.backfill)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, run.Close()) }()
	return backtest.Follow(run, func(yield func(*backtest.Record) bool) {
		for i := range records {
			if !yield(&records[i].Record) {
				return
			}
		}
	}, p.periods)
}
