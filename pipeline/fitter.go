package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/pipeline/fit"
	"lull/pipeline/security"
	"lull/schemas"
)

// fitter fits models. Each process of the group is a candidate for it: they are a consumer group of their own over the fits topic, whose one partition makes its
// owner the one that fits.
//
// Whatever makes a fit due is written into that topic as a request, and every request has its verdict in one transaction with the place that has been read
// to and the model, if it is adopted. So a request is answered once, by whoever owns the partition, and a fitter that was thought dead commits nothing.
type fitter struct {
	s          *Settings
	partitions int32 // of the input
	config     fit.Config
	zone       *time.Location
	log        zerolog.Logger
	metrics    *metrics
	access     *security.Access
	adm        *kadm.Client
	session    *kgo.GroupTransactSession
	elected    chan bool // what has become of the partition: capacity 1, the latest counts
	works      func()    // is called as long as nothing fails

	// What is known, as long as the process is the fitter.
	reader     *kgo.Client
	read       map[string]int64 // by topic: the next offset
	statistics *fit.Statistics
	models     []*operators.Model
	asked      bool // a request waits
	lastFit    time.Time
	lastCheck  time.Time
	changed    time.Time // when the statistics last changed
	watermarks map[int32]operators.EventTime
}

// fitterTick is how often the fitter looks whether a fit is due.
const fitterTick = time.Second

// fitModels is the process's candidacy, until ctx ends.
func (r *Runner) fitModels(ctx context.Context) {
	var failedAt time.Time
	for ctx.Err() == nil {
		f, err := r.newFitter(ctx)
		if err == nil {
			f.works = func() {
				if time.Since(failedAt) > complaintsLast {
					r.health.warnIf("fitter", "")
				}
			}
			err = f.run(ctx)
			f.close()
		}
		if ctx.Err() != nil {
			return
		}
		failedAt, err = time.Now(), security.Explain(err)
		r.health.warnIf("fitter", "no models are fitted by this process: "+err.Error())
		r.log.Warn().Err(err).Msg("fitting models; beginning again")
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second):
		}
	}
}

func (r *Runner) newFitter(ctx context.Context) (*fitter, error) {
	decoder := r.s.Decoder()
	f := &fitter{
		s: r.s, partitions: r.ids.partitions, config: r.s.FitConfig(), zone: decoder.Zone, log: r.log, metrics: r.metrics, access: r.access, adm: r.adm, elected: make(chan bool, 1),
	}
	became := func(elected bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			if len(partitions) == 0 {
				return
			}
			select {
			case <-f.elected:
			default:
			}
			f.elected <- elected
		}
	}
	var err error
	f.session, err = kgo.NewGroupTransactSession(append(r.access.Options("lull-"+r.s.Instance+"-fitter"),
		kgo.TransactionalID(r.s.fitterTransactionalID()),
		kgo.TransactionTimeout(r.s.Commit.Timeout),
		kgo.ConsumerGroup(r.s.FitterGroup()),
		kgo.InstanceID(r.s.Instance),
		kgo.SessionTimeout(r.s.Commit.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, r.s.Commit.SessionTimeout/3)),
		kgo.ConsumeTopics(r.s.Topic(FitsTopic)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.MetadataMinAge(100*time.Millisecond),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.OnPartitionsAssigned(became(true)),
		kgo.OnPartitionsRevoked(became(false)),
		kgo.OnPartitionsLost(became(false)),
	)...)
	if err != nil {
		return nil, fmt.Errorf("configuring the fitter: %w", err)
	}
	return f, ctx.Err()
}

// FitterGroup returns the consumer group by which the application's processes agree on the one that fits models.
func (s *Settings) FitterGroup() string { return s.Group + "-fitter" }

func (s *Settings) fitterTransactionalID() string {
	return transactionalIDs(s.FitterGroup()) + s.Instance
}

// FitConfig returns the configuration of fits.
func (s *Settings) FitConfig() fit.Config {
	c := fit.Config{Score: s.Chain().Score, HoldoutWeeks: s.Fit.HoldoutWeeks}
	switch s.Fit.Family {
	case "auto":
		c.Families = []bgnbd.Family{bgnbd.MBGNBD, bgnbd.BGNBD}
	case "bgnbd":
		c.Families = []bgnbd.Family{bgnbd.BGNBD}
	default:
		c.Families = []bgnbd.Family{bgnbd.MBGNBD}
	}
	return c
}

func (f *fitter) close() {
	f.forget()
	f.session.Close()
}

func (f *fitter) run(ctx context.Context) error {
	for ctx.Err() == nil {
		tick, cancel := context.WithTimeout(ctx, fitterTick)
		// One record at a time: the end of a transaction commits the place of all that has been polled, and goes back to it if it fails.
		fetches := f.session.PollRecords(tick, 1)
		cancel()
		if err := fetches.Err0(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("reading requests for fits from topic %q in group %q: %w", f.s.Topic(FitsTopic), f.s.FitterGroup(), err)
		}
		select {
		case elected := <-f.elected:
			f.forget()
			if elected {
				if err := f.remember(); err != nil {
					return err
				}
				f.log.Info().Msg("this process fits the models")
			}
		default:
		}
		f.works()
		if f.reader == nil {
			continue
		}
		for it := fetches.RecordIter(); !it.Done(); {
			if err := f.take(ctx, it.Next()); err != nil {
				return err
			}
		}
		if err := f.askIfDue(ctx); err != nil {
			return err
		}
	}
	return nil
}

// forget gives up what is known: another process is the fitter.
func (f *fitter) forget() {
	if f.reader != nil {
		f.reader.Close()
		f.reader = nil
	}
}

// remember begins to know: models, statistics and former verdicts are read from their starts.
func (f *fitter) remember() error {
	topics := make(map[string]map[int32]kgo.Offset)
	f.read = make(map[string]int64)
	for _, name := range []string{StatisticsTopic, ModelsTopic, FitsTopic} {
		topics[f.s.Topic(name)] = map[int32]kgo.Offset{0: kgo.NewOffset().AtStart()}
		f.read[f.s.Topic(name)] = 0
	}
	f.statistics, f.models, f.watermarks = fit.NewStatistics(), nil, make(map[int32]operators.EventTime)
	f.asked, f.lastFit, f.lastCheck, f.changed = false, time.Time{}, time.Time{}, time.Now()
	var err error
	f.reader, err = kgo.NewClient(append(f.access.Options("lull-"+f.s.Instance+"-fitter"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // by them it is known how far has been read
		kgo.ConsumePartitions(topics),
		kgo.MetadataMinAge(100*time.Millisecond),
	)...)
	return err
}

// catchUp reads all that is committed by now: to the high watermarks, as right after a commit the ends of transactions may still be on their way.
func (f *fitter) catchUp(ctx context.Context) error {
	topics := []string{f.s.Topic(StatisticsTopic), f.s.Topic(ModelsTopic), f.s.Topic(FitsTopic)}
	ends, err := f.adm.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the ends of topics %s: %w", strings.Join(topics, ", "), err)
	}
	for _, topic := range topics {
		if end, _ := ends.Lookup(topic, 0); f.read[topic] > end.Offset {
			return fmt.Errorf("topic %q ends at %d, and has been read to %d: it was created anew", topic, end.Offset, f.read[topic])
		}
	}
	behind := func() bool {
		for _, topic := range topics {
			if end, _ := ends.Lookup(topic, 0); f.read[topic] < end.Offset {
				return true
			}
		}
		return false
	}
	for behind() {
		fetches := f.reader.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("reading topic %q: %w", e.Topic, e.Err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			record := it.Next()
			f.read[record.Topic] = record.Offset + 1
			if record.Attrs.IsControl() {
				continue
			}
			if err := f.learn(record); err != nil {
				f.log.Error().Err(err).Str("topic", record.Topic).Int64("offset", record.Offset).Msg("passing over a record")
			}
		}
	}
	return nil
}

// learn takes in a record of statistics, models or fits.
func (f *fitter) learn(record *kgo.Record) error {
	switch record.Topic {
	case f.s.Topic(ModelsTopic):
		if record.Value == nil {
			return nil // a version stays one: states remember it
		}
		model, err := schemas.DecodeModel(record.Key, record.Value)
		if err == nil && !f.knows(&model) {
			f.models = append(f.models, &model)
			f.lastFit = later(f.lastFit, record.Timestamp)
		}
		return err
	case f.s.Topic(FitsTopic):
		past, err := schemas.DecodeFit(record.Key, record.Value)
		if err == nil && past.Verdict != nil && past.Verdict.Candidate != nil { // else there was nothing to fit to, which is no attempt
			f.lastCheck, f.lastFit = later(f.lastCheck, record.Timestamp), later(f.lastFit, record.Timestamp)
		}
		return err
	}
	part, err := schemas.DecodeStatistics(record.Key, record.Value)
	if err != nil {
		return err
	}
	f.changed = time.Now()
	switch {
	case part.Head != nil:
		f.watermarks[part.Partition] = part.Head.Watermark
		f.statistics.SetHead(part.Partition, fit.Head{
			Edition: part.Edition, AsOf: part.Head.Watermark, Now: f.days(part.Head.Watermark), Customers: part.Head.Customers, Below: part.Head.Below, Parts: int(part.Head.Parts),
		})
	case part.Content.Empty():
		f.statistics.Delete(part.Partition, part.Part)
	default:
		f.statistics.Put(part.Partition, part.Edition, part.Part, part.Content)
	}
	return nil
}

// knows reports whether a model is one that pipelines pass over: its version, or its short name, is known.
func (f *fitter) knows(model *operators.Model) bool {
	for _, m := range f.models {
		if m.Ref() == model.Ref() {
			return true
		}
	}
	return false
}

// later returns the later of two times, the second of which is a claim of whoever wrote a record: at most now.
func later(a, b time.Time) time.Time {
	if now := time.Now(); b.After(now) {
		b = now
	}
	if b.After(a) {
		return b
	}
	return a
}

// days returns an instant in days of the calendar since 1970-01-01.
func (f *fitter) days(at operators.EventTime) float64 {
	if at == operators.Unset {
		return 0
	}
	local := time.UnixMilli(int64(at)).In(f.zone)
	_, offset := local.Zone()
	return float64(at)/operators.DayMs + float64(offset)/(24*60*60)
}

// take answers a request.
func (f *fitter) take(ctx context.Context, record *kgo.Record) error {
	request, err := schemas.DecodeFit(record.Key, record.Value)
	if err != nil {
		f.log.Error().Err(err).Int64("offset", record.Offset).Msg("passing over a request for a fit")
		return nil
	}
	if request.Verdict != nil {
		return nil // one of our own
	}
	f.asked = false
	if err := f.awaitPopulation(ctx); err != nil {
		return err
	}
	began := time.Now()
	verdict, model := f.judge(record.Offset)
	records, err := f.records(request.Cause, verdict, model)
	if err != nil { // what cannot be written would be asked for again and again
		verdict = &schemas.Verdict{Request: record.Offset, Reasons: []string{err.Error()}}
		if records, err = f.records(request.Cause, verdict, nil); err != nil {
			return err
		}
	}
	f.log.Info().Stringer("cause", request.Cause).Bool("adopted", verdict.Adopted).Strs("reasons", verdict.Reasons).Str("took", time.Since(began).Round(time.Millisecond).String()).Msg("fitted")
	if err := f.session.Begin(); err != nil {
		return fmt.Errorf("beginning a transaction as %q: %w", f.s.fitterTransactionalID(), err)
	}
	if committed, err := f.end(ctx, records); err != nil || !committed {
		return err
	}
	outcome := "refused"
	if verdict.Adopted {
		outcome = "adopted"
	}
	f.metrics.fits.WithLabelValues(request.Cause.String(), outcome).Inc()
	return nil
}

// awaitPopulation reads what is known, and goes on for a while if it is of nobody: right after a start, and while the first events are read, the tasks have yet
// to tell of their customers.
func (f *fitter) awaitPopulation(ctx context.Context) error {
	tick := time.NewTicker(min(f.s.Fit.StatisticsEvery, time.Second))
	defer tick.Stop()
	for patience := time.Now().Add(2*f.s.Fit.StatisticsEvery + 2*time.Second); ; {
		if err := f.catchUp(ctx); err != nil {
			return err
		}
		population, err := f.statistics.Population(f.partitions)
		if err == nil && population.Customers > 0 && population.AsOf != operators.Unset || time.Now().After(patience) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// records returns those of a verdict, and of the model if it is adopted.
func (f *fitter) records(cause schemas.FitCause, verdict *schemas.Verdict, model *operators.Model) ([]*kgo.Record, error) {
	key, value, err := schemas.EncodeFit(&schemas.Fit{Cause: cause, Verdict: verdict})
	if err != nil {
		return nil, err
	}
	records := []*kgo.Record{{Topic: f.s.Topic(FitsTopic), Key: key, Value: value}}
	if verdict.Adopted {
		if key, value, err = schemas.EncodeModel(model); err != nil {
			return nil, err
		}
		records = append(records, &kgo.Record{Topic: f.s.Topic(ModelsTopic), Key: key, Value: value})
	}
	return records, nil
}

// end produces the records and commits the transaction, with the place to which requests have been read.
func (f *fitter) end(ctx context.Context, records []*kgo.Record) (committed bool, err error) {
	var produced error
	for _, result := range f.session.ProduceSync(ctx, records...) {
		if result.Err != nil && produced == nil {
			produced = fmt.Errorf("topic %q: %w", result.Record.Topic, result.Err)
		}
	}
	committed, err = f.session.End(ctx, kgo.TransactionEndTry(produced == nil))
	if err = errors.Join(produced, err); err != nil {
		return false, fmt.Errorf("writing a verdict as %q: %w", f.s.fitterTransactionalID(), err)
	}
	if !committed {
		f.log.Warn().Msg("a transaction of the fitter did not commit: what it was about is done again by whoever fits now")
	}
	return committed, nil
}

// champion returns the model that a new one would replace: the last published.
func (f *fitter) champion() *operators.Model {
	if len(f.models) == 0 {
		return nil
	}
	return f.models[len(f.models)-1]
}

// judge fits a model to what is known, for the request at an offset. Statistics that make the fit panic would do so in every process that takes the request up: that
// is a verdict too.
func (f *fitter) judge(request int64) (out *schemas.Verdict, model *operators.Model) {
	champion := f.champion()
	out = &schemas.Verdict{Request: request}
	defer func() {
		if r := recover(); r != nil {
			out, model = &schemas.Verdict{Request: request, Champion: out.Champion, Reasons: []string{fmt.Sprintf("the fit panicked: %v. Report it", r)}}, nil
		}
	}()
	if champion != nil {
		out.Champion = &champion.Version
	}
	population, err := f.statistics.Population(f.partitions)
	if err != nil {
		out.Reasons = []string{err.Error() + ": the statistics are published by the processes that own the partitions, every fit.statistics_every; ask again when all run"}
		return out, nil
	}
	switch {
	case population.Customers == 0:
		out.Reasons = []string{"nobody is known to have bought yet: the tasks tell of their customers every fit.statistics_every; ask again when events have been read"}
		return out, nil
	case population.AsOf == operators.Unset:
		out.Reasons = []string{"time has not come anywhere yet: no partition with customers has a watermark. Under clock.mode event it takes a time mark, or events of three customers"}
		return out, nil
	}
	// In force from the start: each task takes a model in at its own watermark, or its partition would wait for that of the furthest.
	verdict := f.config.Judge(population, champion, f.version(population.AsOf, request), 0)
	fill(out, verdict)
	return out, verdict.Model
}

// version returns a name that no model has: of the day up to which the customers are known, and the request.
func (f *fitter) version(asOf operators.EventTime, request int64) string {
	date, _, _ := strings.Cut(asOf.String(), "T")
	name := fmt.Sprintf("fit-%s-%d", date, request)
	for unique, i := name, 2; ; i++ {
		taken := false
		for _, m := range f.models {
			taken = taken || m.Version == unique || m.Ref() == operators.ModelRef(unique)
		}
		if !taken {
			return unique
		}
		unique = fmt.Sprintf("%s-%d", name, i)
	}
}

// fill makes a verdict one for the wire.
func fill(out *schemas.Verdict, v *fit.Verdict) {
	out.Adopted, out.Reasons = v.Adopted, v.Reasons
	if m := v.Model; m != nil {
		purchases, spend := v.Errors()
		out.Candidate = &schemas.Candidate{
			Version: m.Version, Family: m.Family, AsOf: m.Fit.AsOf, Customers: m.Fit.Customers, RepeatPurchases: m.Fit.RepeatPurchases,
			R: m.R, AlphaDays: m.Alpha, A: m.A, B: m.B, P: m.P, Q: m.Q, V: m.V, HighValue: m.HighValue, RelativeErrors: append(purchases[:], spend[:]...),
			LogLikelihood: m.Fit.LogLikelihood, Evaluations: int32(v.Purchases.Evaluations), Converged: v.Purchases.Converged && (v.Spend.Converged || v.SpendAlike),
			Prior: m.Fit.Prior || m.Fit.SpendPrior, ExpectedRepeats: v.Repeats.Expected, ExpectedSpend: v.MeanSpend.Expected, ActualSpend: v.MeanSpend.Actual,
		}
	}
	if v.NoHoldout != "" {
		out.NoHoldout = &v.NoHoldout
	}
	if h := v.Holdout; h != nil {
		out.Holdout = &schemas.Holdout{
			From: h.From, Weeks: int32(h.Weeks), Members: int64(h.Members), Unknown: int64(h.Unknown), Actual: int64(h.Actual),
			Expected: h.Challenger.Expected, LogScore: h.Challenger.LogScore, Difference: h.Difference, StandardError: h.StandardError,
		}
		if h.Champion != nil {
			out.Holdout.ChampionExpected, out.Holdout.ChampionLogScore = &h.Champion.Expected, &h.Champion.LogScore
		}
	}
}

// askIfDue writes a request if a fit is due by itself.
func (f *fitter) askIfDue(ctx context.Context) error {
	if f.s.Fit.Mode != "auto" || f.asked {
		return nil
	}
	if err := f.catchUp(ctx); err != nil {
		return err
	}
	checked := f.lastCheck
	request, due := f.due(time.Now())
	if !due {
		return nil
	}
	key, value, err := schemas.EncodeFit(&request)
	if err != nil {
		return err
	}
	if err := f.session.Begin(); err != nil {
		return fmt.Errorf("beginning a transaction as %q: %w", f.s.fitterTransactionalID(), err)
	}
	f.asked, err = f.end(ctx, []*kgo.Record{{Topic: f.s.Topic(FitsTopic), Key: key, Value: value}})
	if !f.asked {
		f.lastCheck = checked
	}
	return err
}

// due returns the request that is due by itself, if one is. While a backlog is read nothing is: what has been read of it would be taken for all.
func (f *fitter) due(now time.Time) (request schemas.Fit, due bool) {
	champion := f.champion()
	scheduled := champion != nil && now.Sub(f.lastFit) >= f.s.Fit.Every
	// A request that was refused is not made again with every tick.
	wait := f.s.Fit.CheckEvery
	if scheduled {
		wait = min(wait, f.s.Fit.Every)
	}
	if now.Sub(f.lastCheck) < wait || !f.settled(now) {
		return schemas.Fit{}, false
	}
	population, err := f.statistics.Population(f.partitions)
	if err != nil || population.Customers == 0 || population.AsOf == operators.Unset {
		return schemas.Fit{}, false
	}
	f.lastCheck = now
	switch {
	case champion == nil:
		return schemas.Fit{Cause: schemas.FitFirst}, true
	case scheduled:
		return schemas.Fit{Cause: schemas.FitOnSchedule}, true
	}
	d, ok := f.config.Drift(population, champion)
	if !ok || !d.Drifted {
		return schemas.Fit{}, false
	}
	return schemas.Fit{Cause: schemas.FitOnDrift, Drift: &schemas.Drift{
		Model: champion.Version, From: d.From, Weeks: int32(d.Weeks), Members: int64(d.Members), Expected: d.Expected, Actual: int64(d.Actual), StandardError: d.StandardError,
	}}, true
}

// settled reports whether the tasks have read all there is: under clock: wall the watermark follows the clock then, and else nothing changes any more.
func (f *fitter) settled(now time.Time) bool {
	if f.s.Clock.Mode == "event" {
		return now.Sub(f.changed) >= 2*f.s.Fit.StatisticsEvery
	}
	least := operators.Never
	for n := range f.partitions {
		watermark, told := f.watermarks[n]
		if !told {
			return false
		}
		least = min(least, watermark)
	}
	return least >= operators.EventTime(now.Add(-f.s.Clock.Lateness-settledWithin-f.s.Fit.StatisticsEvery).UnixMilli())
}

// settledWithin is how far behind the clock a watermark may be that follows it.
const settledWithin = time.Hour
