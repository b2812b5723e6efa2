package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/query"
	"lull/pipeline/task"
	"lull/schemas"
)

// figures are what the demo tells. Money is in major units of the base currency.
type figures struct {
	Digest    string           `json:"digest"`
	Kills     int              `json:"kills"`
	Seed      uint64           `json:"seed,omitempty"` // of the kills
	Rows      int64            `json:"rows"`
	TimeMarks int64            `json:"time_marks"`
	Shoppers  int              `json:"customers"`
	Records   map[string]int64 `json:"records"` // by output topic: records that a read-committed consumer gets

	Sessions       int64            `json:"sessions"`
	SegmentChanges int64            `json:"segment_changes"`
	ChurnRisk      triggerFigures   `json:"churn_risk_triggers"`
	DeadLetters    int64            `json:"dead_letters"`
	DeadReasons    map[string]int64 `json:"dead_letters_by_reason"`

	ReplaySeconds    float64 `json:"replay_seconds"` // from before the first record to the last commit
	EventsPerSecond  float64 `json:"events_per_second"`
	StateBytes       int64   `json:"state_bytes"` // keys and latest values of the changelog
	StatePerCustomer float64 `json:"state_bytes_per_customer"`
	Seconds          float64 `json:"seconds"` // the demo, from its start

	Currency  string           `json:"currency"`
	Quadrants []quadrant       `json:"quadrants"`
	Customers []story          `json:"stories"`
	Deadlines []deadlineFigure `json:"deadlines"`
}

// triggerFigures are those of the churn-risk triggers.
type triggerFigures struct {
	Count       int64            `json:"count"`
	Actionable  int64            `json:"actionable"`
	Withheld    map[string]int64 `json:"withheld"`     // by reason
	Customers   int64            `json:"customers"`    // that had one
	BoughtAgain int64            `json:"bought_again"` // of these customers: with an order after their first trigger
}

// quadrant sums up the customers of one quadrant, each by the latest row of the scores table.
type quadrant struct {
	Name          string  `json:"quadrant"`
	Customers     int64   `json:"customers"`
	CLV           float64 `json:"clv"`
	ValueAtRisk   float64 `json:"value_at_risk"`
	AboutToBeLost float64 `json:"value_about_to_be_lost"`
}

// story is one customer as a person would tell of them.
type story struct {
	CustomerID string `json:"customer_id"`
	Text       string `json:"text"`
}

// deadlineFigure is a deadline that has not come yet, at which the segment changes or a trigger fires.
type deadlineFigure struct {
	CustomerID string  `json:"customer_id"`
	At         string  `json:"at"`
	What       string  `json:"what"`
	CLV        float64 `json:"clv"` // now
}

// outcome is what the output topics hold, as far as the figures need it.
type outcome struct {
	digest   schemas.Digest
	records  map[string]int64
	reasons  map[string]int64
	segments map[string]string  // by customer: the quadrant
	scores   map[string]scoreOf // by customer: the row
	triggers []triggerOf        // of churn risk, by customer and deadline
}

// scoreOf is a row of the scores table.
type scoreOf struct {
	customer                        string
	repeats                         int64
	lastAge                         float64
	last                            operators.Day
	clv, valueAtRisk, aboutToBeLost float64
	highRiskAt, nextDeadline        operators.EventTime // Never if none
	contactDays                     float64
}

// triggerOf is a churn-risk trigger.
type triggerOf struct {
	customer   string
	deadline   operators.EventTime
	actionable bool
	withheld   string
	silentDays float64
	clv        float64
}

// figures reads all that the pipeline has put out.
func (d *demo) figures(ctx context.Context, orders *orderLog, r replayed) (*figures, error) {
	o, err := d.readOutputs(ctx)
	if err != nil {
		return nil, err
	}
	f := &figures{
		Digest: o.digest.Sum(), Kills: d.kills, Rows: r.rows, TimeMarks: r.marks, Shoppers: len(orders.times), Records: o.records,
		Sessions: o.records[d.settings.Topic(pipeline.SessionsTopic)], SegmentChanges: o.records[d.settings.Topic(pipeline.SegmentsTopic)],
		DeadLetters: o.records[d.settings.Topic(pipeline.DeadLettersTopic)], DeadReasons: o.reasons,
		ReplaySeconds: r.took.Seconds(), EventsPerSecond: math.Round(float64(r.rows) / r.took.Seconds()), Currency: d.settings.Money.Currency,
	}
	if d.kills > 0 {
		f.Seed = d.seed
	}
	f.ChurnRisk = o.churnRisk(orders)
	f.Quadrants = o.quadrants()
	f.Customers = d.stories(o, orders)
	if f.Deadlines, err = d.deadlines(ctx, o); err != nil {
		return nil, err
	}
	customers := int64(0)
	if f.StateBytes, customers, err = d.stateBytes(ctx); err != nil {
		return nil, err
	}
	f.StatePerCustomer = float64(f.StateBytes) / float64(max(1, customers))
	return f, nil
}

// readOutputs reads the output topics to their ends.
func (d *demo) readOutputs(ctx context.Context) (*outcome, error) {
	o := &outcome{
		records: make(map[string]int64), reasons: make(map[string]int64), segments: make(map[string]string), scores: make(map[string]scoreOf),
	}
	rows := make(map[string]*kgo.Record) // by customer: the latest
	var triggers, letters []*kgo.Record
	for _, t := range []schemas.Topic{schemas.Sessions, schemas.Scores, schemas.Segments, schemas.Triggers, schemas.Offers, schemas.DeadLetters} {
		topic := d.settings.Topic(t.String())
		o.records[topic] = 0
		err := d.readTopic(ctx, topic, func(r *kgo.Record) error {
			o.records[topic]++
			switch t {
			case schemas.Scores:
				rows[string(r.Key)] = r
			case schemas.Segments:
				if err := o.move(r); err != nil {
					return err
				}
			case schemas.Triggers:
				triggers = append(triggers, r)
			case schemas.DeadLetters:
				letters = append(letters, r)
			}
			return o.digest.Add(t, r.Key, r.Value, headersOf(r))
		})
		if err != nil {
			return nil, err
		}
	}
	return o, o.decode(rows, triggers, letters)
}

// readTopic calls yield for all committed records of the topic.
func (d *demo) readTopic(ctx context.Context, topic string, yield func(*kgo.Record) error) error {
	client, err := newClient(ctx, &d.settings, readOptions()...)
	if err != nil {
		return err
	}
	defer client.Close()
	spans, err := topicSpans(ctx, kadm.NewClient(client), topic)
	if err != nil {
		return err
	}
	return readSpans(ctx, client, topic, spans, yield)
}

// move notes the quadrant that a customer has gone to.
func (o *outcome) move(r *kgo.Record) error {
	f, err := decodeOutput(schemas.Segments, r)
	if err == nil && field[string](f, "dimension") == "quadrant" {
		o.segments[string(r.Key)] = field[string](f, "to")
	}
	return err
}

func (o *outcome) decode(rows map[string]*kgo.Record, triggers, letters []*kgo.Record) error {
	for customer, r := range rows {
		if r.Value == nil {
			continue // no purchase is left
		}
		f, err := decodeOutput(schemas.Scores, r)
		if err != nil {
			return err
		}
		o.scores[customer] = scoreOf{
			customer: customer, repeats: field[int64](f, "repeat_purchases"), lastAge: field[float64](f, "last_purchase_age_days"),
			last: field[operators.Day](f, "last_purchase"), clv: field[float64](f, "clv"), valueAtRisk: field[float64](f, "value_at_risk"),
			aboutToBeLost: field[float64](f, "value_about_to_be_lost"), contactDays: field[float64](f, "contact_days"),
			highRiskAt: instantField(f, "high_risk_at"), nextDeadline: instantField(f, "next_deadline"),
		}
	}
	for _, r := range triggers {
		f, err := decodeOutput(schemas.Triggers, r)
		if err != nil {
			return err
		}
		if field[string](f, "rule") != "churn_risk" || f.Get("withdraws") != nil {
			continue
		}
		facts := field[schemas.Fields](f, "facts")
		o.triggers = append(o.triggers, triggerOf{
			customer: field[string](f, "customer_id"), deadline: instantField(f, "deadline"), actionable: field[bool](f, "actionable"),
			withheld: field[string](f, "withheld"), silentDays: field[float64](facts, "since_last_purchase_days"), clv: field[float64](facts, "clv"),
		})
	}
	slices.SortFunc(o.triggers, func(a, b triggerOf) int {
		return cmp.Or(strings.Compare(a.customer, b.customer), cmp.Compare(a.deadline, b.deadline))
	})
	for _, r := range letters {
		f, err := decodeOutput(schemas.DeadLetters, r)
		if err != nil {
			return err
		}
		o.reasons[field[string](f, "reason")]++
	}
	return nil
}

// field returns a field's value, the zero value for null.
func field[T any](f schemas.Fields, name string) T {
	value, _ := f.Get(name).(T)
	return value
}

// instantField returns an instant, Never for null.
func instantField(f schemas.Fields, name string) operators.EventTime {
	if at, ok := f.Get(name).(operators.EventTime); ok {
		return at
	}
	return operators.Never
}

// churnRisk sums the triggers up.
func (o *outcome) churnRisk(orders *orderLog) triggerFigures {
	f := triggerFigures{Withheld: make(map[string]int64)}
	before := ""
	for i := range o.triggers {
		t := &o.triggers[i]
		f.Count++
		if t.actionable {
			f.Actionable++
		} else {
			f.Withheld[t.withheld]++
		}
		if t.customer == before {
			continue
		}
		before = t.customer
		f.Customers++
		if _, again := orders.after(t.customer, t.deadline); again {
			f.BoughtAgain++
		}
	}
	return f
}

// quadrants sums the customers up by quadrant. Sums are made in the order of customers, so that their last bits are the same every time.
func (o *outcome) quadrants() []quadrant {
	list := []quadrant{
		{Name: operators.Save.String()}, {Name: operators.Advocate.String()}, {Name: operators.Efficiency.String()}, {Name: operators.Nurture.String()},
	}
	for _, s := range o.sortedScores() {
		i := slices.IndexFunc(list, func(q quadrant) bool { return q.Name == o.segments[s.customer] })
		if i < 0 {
			continue
		}
		list[i].Customers++
		list[i].CLV += s.clv
		list[i].ValueAtRisk += s.valueAtRisk
		list[i].AboutToBeLost += s.aboutToBeLost
	}
	return list
}

func (o *outcome) sortedScores() []scoreOf {
	list := make([]scoreOf, 0, len(o.scores))
	for _, s := range o.scores {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b scoreOf) int { return strings.Compare(a.customer, b.customer) })
	return list
}

// stories tells of three customers: the one to call first, the one of most value who came back after a trigger, and the one of high value
// whose risk will be high next.
func (d *demo) stories(o *outcome, orders *orderLog) []story {
	var call, back, next *story
	var lost, returned float64
	var soonest operators.EventTime = operators.Never
	risk := d.settings.Risk.High
	for i := range o.triggers {
		t := &o.triggers[i]
		s, ok := o.scores[t.customer]
		if !ok || !t.actionable || s.repeats < 2 {
			continue
		}
		rhythm := fmt.Sprintf("orders every %.0f days", s.lastAge/float64(s.repeats))
		crossed := fmt.Sprintf("crossed risk %g on %s", risk, minute(t.deadline))
		again, bought := orders.after(t.customer, t.deadline)
		switch {
		case !bought && (call == nil || s.aboutToBeLost > lost):
			lost = s.aboutToBeLost
			call = &story{t.customer, fmt.Sprintf("%s, silent since %s, %s; %.2f %s about to be lost within %.0f days",
				rhythm, s.last, crossed, s.aboutToBeLost, d.settings.Money.Currency, s.contactDays)}
		case bought && (back == nil || t.clv > returned):
			returned = t.clv
			back = &story{t.customer, fmt.Sprintf("%s, %s after %.0f days of silence with a CLV of %.2f %s, and came back on %s",
				rhythm, crossed, t.silentDays, t.clv, d.settings.Money.Currency, operators.Day(again/operators.DayMs))}
		}
	}
	for _, s := range o.sortedScores() {
		if o.segments[s.customer] != operators.Advocate.String() || s.repeats < 2 || s.highRiskAt <= demoEnd || s.highRiskAt >= soonest {
			continue
		}
		soonest = s.highRiskAt
		next = &story{s.customer, fmt.Sprintf("orders every %.0f days, silent since %s, will cross risk %g on %s unless they order; CLV %.2f %s",
			s.lastAge/float64(s.repeats), s.last, risk, minute(s.highRiskAt), s.clv, d.settings.Money.Currency)}
	}
	var told []story
	for _, s := range []*story{call, back, next} {
		if s != nil {
			told = append(told, *s)
		}
	}
	return told
}

// minute shows an instant as a person writes it: 1998-04-02 13:07.
func minute(t operators.EventTime) string {
	text := t.String()
	if len(text) < len("1998-04-02T13:07") {
		return text
	}
	return text[:10] + " " + text[11:16]
}

// deadlines returns the soonest deadlines to come at which more than numbers change, with what the running pipeline says will happen then.
func (d *demo) deadlines(ctx context.Context, o *outcome) ([]deadlineFigure, error) {
	const shown = 5
	scores := o.sortedScores()
	slices.SortStableFunc(scores, func(a, b scoreOf) int { return cmp.Compare(a.nextDeadline, b.nextDeadline) })
	var list []deadlineFigure
	for _, s := range scores {
		// A customer's first change is no earlier than their next deadline: whoever comes now comes later than the last that is shown.
		if s.nextDeadline == operators.Never || len(list) == shown && s.nextDeadline.String() > list[shown-1].At {
			break
		}
		body, err := fetchCard(ctx, http.DefaultClient, "http://"+d.settings.HTTP.Listen, "", s.customer)
		if err != nil {
			return nil, fmt.Errorf("asking for customer %s: %w", s.customer, err)
		}
		var card query.Card
		if err := json.Unmarshal(body, &card); err != nil {
			return nil, fmt.Errorf("reading the card of customer %s: %w", s.customer, err)
		}
		if card.Change == nil {
			continue
		}
		list = append(list, deadlineFigure{CustomerID: s.customer, At: card.Change.At, What: card.Change.What, CLV: card.Score.CLV})
		slices.SortStableFunc(list, func(a, b deadlineFigure) int { return strings.Compare(a.At, b.At) })
		list = list[:min(shown, len(list))]
	}
	return list, nil
}

// stateBytes returns the size of the state, which is what the changelog holds once compacted, and the number of customers in it.
func (d *demo) stateBytes(ctx context.Context) (bytes, customers int64, err error) {
	type place struct {
		partition int32
		key       string
	}
	sizes := make(map[place]int64)
	err = d.readTopic(ctx, d.settings.Topic(pipeline.ChangelogTopic), func(r *kgo.Record) error {
		at := place{r.Partition, string(r.Key)}
		if r.Value == nil {
			delete(sizes, at)
			return nil
		}
		sizes[at] = int64(len(r.Key) + len(r.Value))
		return nil
	})
	for at, size := range sizes {
		bytes += size
		if _, ok := task.CustomerOf([]byte(at.key)); ok {
			customers++
		}
	}
	return bytes, customers, err
}
