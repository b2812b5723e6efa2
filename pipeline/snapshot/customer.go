package snapshot

import (
	"fmt"
	"sync"
	"sync/atomic"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/rfm"
	"lull/operators/score"
	"lull/operators/segment"
	"lull/pipeline/task"
)

// customerRow is a row of the table customers. A column that may be null is a pointer; the tags of doc are what docs/snapshots.md and the manifest say of it.
type customerRow struct {
	CustomerID   string               `parquet:"customer_id" doc:"the customer's id; rows are in its order, byte by byte, and each id is there once"`
	AsOf         operators.EventTime  `parquet:"as_of,timestamp(millisecond:utc)" doc:"the instant that the whole row is of, the same in all rows"`
	ModelVersion *string              `parquet:"model_version" doc:"the model of all predictions, the same in all rows; null before the first model, and then so are they"`
	Partition    int32                `parquet:"partition" doc:"partition of the input that holds the customer"`
	StateAt      *operators.EventTime `parquet:"state_at,timestamp(millisecond:utc)" doc:"the latest instant that the pipeline had computed the customer at; after as_of, it knew more than the row tells"`
	Currency     string               `parquet:"currency,dict" doc:"ISO 4217 code of the base currency, which all values are in, in major units"`

	Purchases     int64          `parquet:"purchases" doc:"calendar days with an order that counts"`
	Orders        int64          `parquet:"orders" doc:"orders that count: completed, and not cancelled"`
	FirstPurchase *operators.Day `parquet:"first_purchase,date" doc:"first purchase day, in calendar.timezone; null without a purchase"`
	LastPurchase  *operators.Day `parquet:"last_purchase,date" doc:"last purchase day"`
	RealizedValue float64        `parquet:"realized_value" doc:"what all orders that count have brought, refunds taken off"`
	OpenSessions  int32          `parquet:"open_sessions" doc:"sessions that had begun by as_of and have not ended as far as the pipeline has come"`

	Frequency     *float64 `parquet:"frequency" doc:"as in lifetimes: purchase days after the first; null without a purchase"`
	LastAge       *float64 `parquet:"recency" doc:"as in lifetimes: days from the first to the last purchase day, 0 with one"`
	T             *float64 `parquet:"T" doc:"as in lifetimes: days from 00:00 of the first purchase day to as_of, with their fraction: whole at midnight"`
	MonetaryValue *float64 `parquet:"monetary_value" doc:"as in lifetimes: mean value of the purchase days after the first, 0 if there are none"`

	RFMSince     *int32 `parquet:"rfm_recency" doc:"RFM score of the time since the last purchase, 1 to 5, 5 the best; null without a purchase or while the model has no cuts"`
	RFMFrequency *int32 `parquet:"rfm_frequency" doc:"RFM score of the number of purchase days, 1 to 5"`
	RFMMonetary  *int32 `parquet:"rfm_monetary" doc:"RFM score of the mean value of a purchase day, 1 to 5"`
	RFMGroup     string `parquet:"rfm_group,dict" doc:"the name of those scores (docs/segments.md), prospects without a purchase, none without scores"`

	PAlive            *float64 `parquet:"p_alive" doc:"probability of being a customer still"`
	ExpectedPurchases *float64 `parquet:"expected_purchases" doc:"purchase days expected within horizon_days"`
	HorizonDays       float64  `parquet:"horizon_days" doc:"how far expected_purchases and all CLV look ahead, in days"`
	BuysAgain         *float64 `parquet:"buys_again" doc:"probability of a purchase within contact_days"`
	ContactDays       float64  `parquet:"contact_days" doc:"the time within which a contact can bring a customer back, in days"`
	ExpectedSpend     *float64 `parquet:"expected_spend" doc:"value expected of a purchase day"`
	CLV               *float64 `parquet:"clv" doc:"discounted expected margin within horizon_days"`
	CLVLow            *float64 `parquet:"clv_p10" doc:"10 % point of what the customer will be worth, of which clv is the mean; a fitted model's error is in it"`
	CLVMedian         *float64 `parquet:"clv_p50" doc:"50 % point"`
	CLVHigh           *float64 `parquet:"clv_p90" doc:"90 % point"`
	ValueAtRisk       *float64 `parquet:"value_at_risk" doc:"churn risk times the CLV of who is certainly alive"`
	AboutToBeLost     *float64 `parquet:"value_about_to_be_lost" doc:"by how much CLV falls within contact_days of silence: ranks whom to act on"`

	Quadrant        string `parquet:"quadrant,dict" doc:"save, advocate, efficiency or nurture; none without a purchase or a model"`
	Lifecycle       string `parquet:"lifecycle,dict" doc:"stage in the customer's life (docs/segments.md)"`
	Rising          bool   `parquet:"rising" doc:"of high potential at low spend so far"`
	SegmentsRebuilt bool   `parquet:"segments_rebuilt" doc:"the state is later than as_of and does not tell where the customer stood, so quadrant, lifecycle and rising are placed anew by the facts at as_of: without the past that keeps who is between two thresholds, or won back, where they are"`

	NextPurchaseLow    *operators.EventTime `parquet:"next_purchase_p10,timestamp(millisecond:utc)" doc:"by when the next purchase comes with a probability of 10 %, if there is one (that there is: p_alive); null after 2199"`
	NextPurchaseMedian *operators.EventTime `parquet:"next_purchase_p50,timestamp(millisecond:utc)" doc:"the same with 50 %: the date to expect it at"`
	NextPurchaseHigh   *operators.EventTime `parquet:"next_purchase_p90,timestamp(millisecond:utc)" doc:"the same with 90 %"`
	NextDeadline       *operators.EventTime `parquet:"next_deadline,timestamp(millisecond:utc)" doc:"when silence changes the customer's score across a bound next; null if never"`
	NextDeadlineWhat   *string              `parquet:"next_deadline_what" doc:"what happens then"`

	DataQuality     float64 `parquet:"data_quality" doc:"how far the facts can be trusted, above 0 to 1: (1 + orders) / (1 + orders + faults), the faults being the sum of the next six columns; 1 without any"`
	Invalid         int64   `parquet:"invalid_records" doc:"records of theirs that were refused for a reason that is none of the next three; these six are as far as the state stands, and not up to as_of"`
	MissingField    int64   `parquet:"missing_field_records" doc:"records refused because a field that this kind of event needs was not there"`
	UnknownCurrency int64   `parquet:"unknown_currency_records" doc:"records refused because the currency has no rate"`
	ClockSkewed     int64   `parquet:"clock_skewed_records" doc:"records whose time lay in the future: refused, or taken at their Kafka timestamp"`
	Duplicate       int64   `parquet:"duplicate_records" doc:"records whose message id had been seen; dropped"`
	Late            int64   `parquet:"late_records" doc:"records older than the watermark; facts count all the same"`
}

// batchRows is how many customers are evaluated between two writes: some tenths of a second at most, as nobody is told meanwhile to stop.
const batchRows = 256

// customers calls write for the row of every customer that was known at the instant, in the order of their ids.
func (s *source) customers(write func(row *customerRow) error) error {
	batch := make([]held, 0, batchRows)
	var done [batchRows]evaluated
	var ranges *score.Ranges // nil: nothing is predicted
	if s.model != nil {
		ranges = s.score.Ranges(s.model, s.asOf)
	}
	flush := func() error {
		s.each(len(batch), func(i int) { done[i] = s.evaluate(&batch[i]) })
		for i := range batch {
			done[i].plan(&batch[i], ranges) // which hangs on the order
		}
		s.each(len(batch), func(i int) { done[i].addRange(&batch[i]) })
		for i := range batch {
			d := &done[i]
			if d.err != nil {
				return d.err
			}
			if d.row == nil {
				continue
			}
			if d.rebuilt != nil {
				*d.rebuilt(s.rebuilt)++
			}
			if err := write(d.row); err != nil {
				return err
			}
		}
		batch = batch[:0]
		return nil
	}
	for c, err := range s.state.customers {
		if err != nil {
			return err
		}
		if batch = append(batch, c); len(batch) == batchRows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// each calls work for 0 to n-1, on as many processors as may evaluate.
func (s *source) each(n int, work func(i int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range s.processors {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				work(int(i))
			}
		})
	}
	workers.Wait()
}

// evaluator evaluates customers at one instant. It is safe for concurrent use.
type evaluator struct {
	asOf   operators.EventTime
	model  *operators.Model // nil: none is in force
	terms  uint32           // of the settings that it is evaluated under
	models map[uint32]*operators.Model
	config clv.Config
	score  *score.Operator
	// segments are the operators that silence and models move customers by, without those that only tell of it.
	segments *operators.Chain
	outboxes sync.Pool // of what they tell, to nobody
}

func newEvaluator(of *Config, models map[uint32]*operators.Model, model *operators.Model, asOf operators.EventTime) *evaluator {
	config := of.Chain
	scores := score.New(config.Score)
	return &evaluator{
		asOf: asOf, model: model, terms: of.Terms, models: models, config: config, score: scores,
		segments: operators.NewChain(scores, segment.New(config.Segment, config.Score.Terms(), scores)),
	}
}

// Rebuilt counts the customers whose segments are placed anew, by why their states, which are later than the instant, do not tell where they stood.
type Rebuilt struct {
	Ordered int64 `json:"ordered"` // they have ordered since
	Model   int64 `json:"model"`   // another model, or other settings of scores, have come into force since
	Moved   int64 `json:"moved"`   // they may have moved since by silence
}

// Total returns how many there are.
func (r *Rebuilt) Total() int64 { return r.Ordered + r.Model + r.Moved }

// why is why a customer's segments are placed anew: what is to be counted; nil if they are not.
type why func(r *Rebuilt) *int64

func ordered(r *Rebuilt) *int64   { return &r.Ordered }
func remodeled(r *Rebuilt) *int64 { return &r.Model }
func moved(r *Rebuilt) *int64     { return &r.Moved }

// evaluated is what has become of a customer.
type evaluated struct {
	row       *customerRow // nil: not known at the instant
	rebuilt   why
	purchases operators.Purchases
	predicted bool // the row has what the model makes of the purchases, but for the points of CLV
	values    func() score.ValueRange
	err       error
}

// evaluate returns the customer's row, without the points of CLV. c is changed.
func (e *evaluator) evaluate(c *held) (done evaluated) {
	defer done.catch(c)
	s := &e.config.Score
	row := &customerRow{
		CustomerID: c.ID, AsOf: e.asOf, Partition: c.partition.n, StateAt: instant(c.At), Currency: s.Currency,
		HorizonDays: float64(s.HorizonMonths) * s.MonthDays, ContactDays: s.ContactDays,
	}
	if e.model != nil {
		row.ModelVersion = &e.model.Version
	}
	p := c.Purchases
	later := e.later(c.Customer)
	if later {
		p = purchasesAt(c.Customer, e.asOf)
		if p.Count == 0 && !heardOf(c.Customer, e.asOf) {
			return evaluated{}
		}
	}
	e.facts(row, c.Customer, &p)
	row.quality(&c.Faults, p.Orders)
	if later {
		done.rebuilt = e.rebuilds(c.Customer, &p)
	}
	row.SegmentsRebuilt = done.rebuilt != nil
	valueFalls := e.place(row, c.Customer, &p, c.partition.meta.Adoptions)
	predicted := p.Count > 0 && e.model != nil
	if predicted {
		e.predict(row, &p, valueFalls)
	}
	done.row, done.purchases, done.predicted = row, p, predicted
	return done
}

// plan decides how the points of CLV are computed.
func (d *evaluated) plan(c *held, ranges *score.Ranges) {
	if d.predicted {
		defer d.catch(c)
		d.values = ranges.Next(&d.purchases)
	}
}

// addRange fills in the points of CLV.
func (d *evaluated) addRange(c *held) {
	if !d.predicted {
		return
	}
	defer d.catch(c)
	v := d.values()
	d.row.CLVLow, d.row.CLVMedian, d.row.CLVHigh = &v.Low, &v.Median, &v.High
}

// catch makes an error of a panic, which is what operators do with a state that is not theirs.
func (d *evaluated) catch(c *held) {
	if r := recover(); r != nil {
		*d = evaluated{err: fmt.Errorf("evaluating customer %q of partition %d: %v", c.ID, c.partition.n, r)}
	}
}

// facts fills in what has happened.
func (e *evaluator) facts(row *customerRow, c *operators.Customer, p *operators.Purchases) {
	for i := range c.Sessions {
		if c.Sessions[i].Start <= e.asOf {
			row.OpenSessions++
		}
	}
	if p.Count == 0 {
		return
	}
	minor := float64(e.config.Score.MinorPerMajor)
	row.Purchases, row.Orders, row.FirstPurchase, row.LastPurchase, row.RealizedValue = int64(p.Count), int64(p.Orders), &p.First, &p.Last, float64(p.Net)/minor
	// T is not below recency, as in scores: after clocks have gone forward the last day starts before that many whole days have passed.
	x, lastAge, age, mean := float64(p.Repeats()), p.LastAge(), max(p.Age(e.asOf), p.LastAge()), 0.0
	if x > 0 {
		mean = float64(p.RepeatNet()) / minor / x
	}
	row.Frequency, row.LastAge, row.T, row.MonetaryValue = &x, &lastAge, &age, &mean
}

// quality fills in what was wrong with the records of a customer with so many orders.
func (r *customerRow) quality(f *operators.Faults, orders uint32) {
	r.Invalid, r.MissingField, r.UnknownCurrency = int64(f[operators.Invalid]), int64(f[operators.MissingField]), int64(f[operators.UnknownCurrency])
	r.ClockSkewed, r.Duplicate, r.Late = int64(f[operators.ClockSkewed]), int64(f[operators.Duplicate]), int64(f[operators.LateEvent])
	r.DataQuality = f.Quality(orders)
}

// later reports whether the state knows more than there was at the instant: it stands for a later one, or has an order of a later one, whose event proved no time (operators.Event.Clamped).
func (e *evaluator) later(c *operators.Customer) bool {
	newest := len(c.Ledger.Orders) - 1
	return c.At > e.asOf || newest >= 0 && c.Ledger.Orders[newest].Time > e.asOf
}

// rebuilds returns why a state that is later than the instant does not tell where the customer stood at it, nil if it does: where neither their purchases nor the model are others, and silence has moved
// them across no line since, they are where they were. Groups of RFM scores have no past.
func (e *evaluator) rebuilds(c *operators.Customer, p *operators.Purchases) why {
	switch {
	case p.Count != c.Purchases.Count || p.Count > 0 && *p != c.Purchases:
		return ordered
	case p.Count == 0:
		return nil
	case c.Model != e.model.Ref():
		return remodeled
	case e.model == nil:
		return nil
	case !c.Score.Scored || c.Terms != e.terms:
		return remodeled
	}
	f, _, _ := e.score.EvaluateKnown(p, e.model, e.asOf, c.Score.ValueFalls)
	for _, line := range [...]operators.EventTime{c.Segment.Since, f.HighRiskAt, f.DormantAt, f.LostAt, c.Score.RisingUntil} {
		if line > e.asOf && line <= c.At {
			return moved
		}
	}
	return nil
}

// place fills in the segments: those of the state, moved on by silence and models to the instant if it stands before that; or new ones, if the row is to have them. It
// returns when CLV falls under the model's cut, which the state knows of most.
func (e *evaluator) place(row *customerRow, c *operators.Customer, p *operators.Purchases, adoptions []task.Adoption) (valueFalls operators.EventTime) {
	switch {
	case row.SegmentsRebuilt:
		anew := operators.NewCustomer(c.ID)
		anew.Purchases = *p
		c = anew
		if p.Count == 0 {
			c.Segment.RFMGroup, c.Segment.Lifecycle = operators.Prospects, operators.Prospect
		}
	case c.At <= e.asOf:
		e.silence(c, adoptions)
	}
	if p.Count > 0 && e.model != nil {
		switch {
		case c.Model != e.model.Ref():
			e.step(c, operators.ModelInput, e.asOf, e.model)
			valueFalls = c.Score.ValueFalls
		case c.Score.Scored && c.Terms == e.terms:
			valueFalls = c.Score.ValueFalls
		default:
			valueFalls = e.score.ValueFalls(p, e.model)
		}
	}
	group := c.Segment.RFMGroup
	if p.Count > 0 && e.model != nil && e.model.Cuts != nil {
		scores, _ := segment.Scores(p, e.model.Cuts, float64(e.config.Score.MinorPerMajor), e.asOf)
		since, frequency, monetary := int32(scores.SinceLastPurchase), int32(scores.Frequency), int32(scores.Monetary)
		row.RFMSince, row.RFMFrequency, row.RFMMonetary = &since, &frequency, &monetary
		group = segment.GroupOf(scores)
	}
	row.RFMGroup, row.Quadrant, row.Lifecycle, row.Rising = group.String(), c.Segment.Quadrant.String(), c.Segment.Lifecycle.String(), c.Segment.Rising
	return valueFalls
}

// silence lets the customer be silent up to the instant, and the models come into force for them that did so in their partition, as the pipeline would.
func (e *evaluator) silence(c *operators.Customer, adoptions []task.Adoption) {
	if c.Purchases.Count == 0 {
		return
	}
	for i := len(adoptions) - 1; i >= 0; i-- {
		if adoptions[i].Ref == c.Model && adoptions[i].Terms == c.Terms {
			adoptions = adoptions[i+1:]
			break
		}
	}
	for _, a := range adoptions {
		if a.At > e.asOf || e.models[a.Ref] == nil {
			continue
		}
		e.deadlines(c, a.At)
		c.Model, c.Terms = a.Ref, a.Terms
		e.step(c, operators.ModelInput, max(c.At, a.At), e.models[a.Ref])
	}
	e.deadlines(c, e.asOf)
}

// deadlines fires the customer's deadlines up to an instant. That none is before the last keeps one that does not move on from holding the walk.
func (e *evaluator) deadlines(c *operators.Customer, until operators.EventTime) {
	model := e.models[c.Model]
	if model == nil {
		return
	}
	for last := operators.Unset; ; {
		next, _ := e.segments.Deadlines(c)
		if next > until || next <= last {
			return
		}
		e.step(c, operators.DeadlineInput, next, model)
		last = next
	}
}

func (e *evaluator) step(c *operators.Customer, kind operators.InputKind, at operators.EventTime, model *operators.Model) {
	told, _ := e.outboxes.Get().(*operators.Outbox)
	if told == nil {
		told = &operators.Outbox{}
	}
	told.Reset()
	e.segments.Step(&operators.Env{Watermark: at, Now: at, Model: model}, c, &operators.Input{Kind: kind, At: at}, told)
	e.outboxes.Put(told)
}

// predict fills in what the model makes of purchases, of which there are some, but for the points of CLV.
func (e *evaluator) predict(row *customerRow, p *operators.Purchases, valueFalls operators.EventTime) {
	f, next, what := e.score.EvaluateKnown(p, e.model, e.asOf, valueFalls)
	row.PAlive, row.ExpectedPurchases, row.BuysAgain, row.ExpectedSpend, row.CLV = &f.PAlive, &f.ExpectedPurchases, &f.BuysAgain, &f.ExpectedSpend, &f.CLV
	row.ValueAtRisk, row.AboutToBeLost = &f.ValueAtRisk, &f.AboutToBeLost
	for i, column := range [...]**operators.EventTime{&row.NextPurchaseLow, &row.NextPurchaseMedian, &row.NextPurchaseHigh} {
		if days := e.score.NextPurchase(p, e.model, e.asOf, [...]float64{0.1, 0.5, 0.9}[i]); days < float64(timeEnd-e.asOf)/operators.DayMs {
			*column = instant(e.asOf + operators.EventTime(days*operators.DayMs))
		}
	}
	if next < timeEnd {
		row.NextDeadline, row.NextDeadlineWhat = &next, &what
	}
}

// timeEnd is the start of the year 2200: no event is later, and not every reader of Parquet knows later instants.
const timeEnd operators.EventTime = 7_258_118_400_000

// instant returns an instant as a column has it: null before every one, and for never.
func instant(at operators.EventTime) *operators.EventTime {
	if at == operators.Unset || at == operators.Never {
		return nil
	}
	return &at
}

// purchasesAt returns the purchases up to an instant of a customer whose state may be later. The days are all there. Of the day that the instant lies in, the orders after it are left out as far as
// they are among the newest, which the record holds. Refunds and cancellations after the instant stay taken off: the ledger keeps their sums.
func purchasesAt(c *operators.Customer, at operators.EventTime) (p operators.Purchases) {
	for _, day := range rfm.All(c) {
		if day.DayStart > at {
			break
		}
		for i := range c.Ledger.Orders {
			if o := &c.Ledger.Orders[i]; o.Counts() && o.Day == day.Day && o.Time > at {
				day.Orders, day.Net = day.Orders-1, day.Net-o.Net()
			}
		}
		if day.Orders == 0 {
			continue
		}
		if p.Count == 0 {
			p.First, p.FirstStart, p.FirstNet = day.Day, day.DayStart, day.Net
		}
		p.Count, p.Last, p.Orders, p.Net = p.Count+1, day.Day, p.Orders+day.Orders, p.Net+day.Net
	}
	return p
}

// heardOf reports whether the state still tells that the customer, who had not bought by an instant, had been heard of by then.
func heardOf(c *operators.Customer, at operators.EventTime) bool {
	for i := range c.Messages {
		if c.Messages[i].Time <= at {
			return true
		}
	}
	for i := range c.Sessions {
		if c.Sessions[i].Start <= at {
			return true
		}
	}
	for i := range c.Consents {
		if c.Consents[i].Time <= at {
			return true
		}
	}
	for i := range c.Ledger.Orders {
		if c.Ledger.Orders[i].Time <= at {
			return true
		}
	}
	return false
}
