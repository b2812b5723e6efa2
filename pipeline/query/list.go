package query

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"

	"lull/operators"
)

// The orders that customers can be listed in.
const (
	byID       = "id"
	byDeadline = "deadline"
	byLoss     = "value_about_to_be_lost"
)

// The most customers that a page has, and how many it has if nothing is said.
const (
	pageMax     = 1000
	pageDefault = 100
)

// List is a page of customers.
type List struct {
	AsOf      string  `json:"as_of" format:"instant" doc:"the instant that the customers are evaluated at, unless they were heard of later: of the first page the least watermark, if none is asked for, and the same on all that follow; unset before the first event"`
	Watermark string  `json:"watermark" format:"instant" doc:"event time that all of the partitions have certainly reached, which segments and stages stand at, unless a customer was heard of later; unset before the first event"`
	Projected bool    `json:"projected" doc:"whether as_of is after the watermark: numbers and deadlines are those of silence until as_of then, and segments and stages are of now all the same"`
	Sort      string  `json:"sort" enum:"sort" doc:"what they are in the order of"`
	Currency  string  `json:"currency" doc:"ISO 4217 code of the base currency, which all values are in, in major units"`
	Model     *string `json:"model" doc:"version of the model that the scores are of, but of rows that name another; null if no row has a score"`
	Horizon
	Customers  []Row      `json:"customers" doc:"the customers of the page"`
	NextCursor *string    `json:"next_cursor" doc:"the cursor of the next page; null on the last"`
	Partitions []Standing `json:"partitions" doc:"the partitions whose customers it is of, as far as they had come when they were read"`
	Missing    []int32    `json:"missing" doc:"the partitions whose customers are lacking; empty unless partial=true"`
}

// Row is a customer in a list.
type Row struct {
	CustomerID    string        `json:"customer_id" doc:"the customer's id"`
	Partition     int32         `json:"partition" doc:"their partition"`
	AsOf          string        `json:"as_of" format:"instant" doc:"the instant that all numbers stand for"`
	Segment       string        `json:"segment" enum:"segment" doc:"the quadrant"`
	RFMGroup      string        `json:"rfm_group" enum:"rfm_group" doc:"the group of RFM scores"`
	Lifecycle     string        `json:"lifecycle" enum:"lifecycle" doc:"the stage of the lifecycle"`
	Rising        bool          `json:"rising" doc:"whether they are of high potential at low spend so far"`
	Orders        uint32        `json:"orders" doc:"orders that count"`
	LastPurchase  string        `json:"last_purchase" doc:"last purchase day; \"\" without a purchase"`
	RealizedValue float64       `json:"realized_value" doc:"net value of all orders, refunds taken off, in major units"`
	Figures       *Figures      `json:"score" doc:"what the model makes of it; null while there is no purchase or no model"`
	Model         string        `json:"model,omitempty" doc:"version of the model of that, if it is another than that of the list: while the sweep to a new one is under way"`
	Deadline      *CardDeadline `json:"next_deadline" doc:"when silence changes their row in the scores table next, and what happens; null if never"`
}

// Figures are the numbers of a score that lists and what-ifs have; a card has them all.
type Figures struct {
	PAlive            float64 `json:"p_alive" doc:"probability of being a customer still"`
	ChurnRisk         float64 `json:"churn_risk" doc:"1 - p_alive"`
	ExpectedPurchases float64 `json:"expected_purchases" doc:"purchase days expected within the horizon"`
	BuysAgain         float64 `json:"buys_again" doc:"probability of a purchase within the contact horizon"`
	CLV               float64 `json:"clv" doc:"discounted expected margin within the horizon, in major units"`
	ValueAtRisk       float64 `json:"value_at_risk" doc:"churn risk times the CLV of who is certainly alive, in major units"`
	AboutToBeLost     float64 `json:"value_about_to_be_lost" doc:"by how much CLV falls within the contact horizon of silence, in major units"`
}

func figures(f *operators.Facts) *Figures {
	return &Figures{
		PAlive: f.PAlive, ChurnRisk: f.Risk(), ExpectedPurchases: f.ExpectedPurchases, BuysAgain: f.BuysAgain, CLV: f.CLV, ValueAtRisk: f.ValueAtRisk, AboutToBeLost: f.AboutToBeLost,
	}
}

// cursor is where a page ends. It stands for the same place whatever happens meanwhile: who comes behind it is on the next page.
type cursor struct {
	Query uint32              `json:"q"` // of what was asked for: order and filters
	AsOf  operators.EventTime `json:"t"`
	Key   float64             `json:"k"` // what the last customer stands at by, in the order
	ID    string              `json:"i"` // and their id
}

func (c *cursor) String() string {
	text, _ := json.Marshal(c) // numbers that are finite, and a text
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseCursor(text string) (*cursor, error) {
	var c cursor
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(decoded, &c)
	}
	if err != nil || c.String() != text || c.AsOf != operators.Unset && (c.AsOf < instantMin || c.AsOf >= instantEnd) {
		return nil, invalid("cursor %q: it must be next_cursor of the page before", text)
	}
	return &c, nil
}

// listing is what is asked for by a list.
type listing struct {
	sort, segment, group, stage, rising string
	limit                               int
	asOf                                operators.EventTime
	after                               *cursor // nil: from the first on
}

// fingerprint stands for what a cursor goes on with.
func (l *listing) fingerprint() uint32 {
	return uint32(operators.Hash64(fmt.Sprintf("%q", []string{l.sort, l.segment, l.group, l.stage, l.rising})))
}

func (r *request) listing() (*listing, error) {
	l := &listing{
		sort: cmp.Or(r.query.Get("sort"), byID), segment: r.query.Get("segment"), group: r.query.Get("rfm_group"), stage: r.query.Get("lifecycle"),
		rising: r.query.Get("rising"), limit: r.number("limit", pageDefault),
	}
	asOf, given := r.instant("as_of")
	l.asOf = operators.Unset
	if given {
		l.asOf = asOf
	}
	if text := r.query.Get("cursor"); text != "" {
		after, err := parseCursor(text)
		if err != nil {
			return nil, err
		}
		if after.Query != l.fingerprint() {
			return nil, invalid("cursor: it is of a list in another order or with other filters: ask for the next page as for the one before, with the cursor besides")
		}
		if given && asOf != after.AsOf {
			return nil, invalid("as_of %s: the pages before are of %s, as the cursor says: leave as_of out", asOf, after.AsOf)
		}
		l.after, l.asOf = after, after.AsOf
	}
	return l, nil
}

// takes reports whether a customer is asked for.
func (l *listing) takes(c *operators.Customer) bool {
	s := &c.Segment
	return (l.segment == "" || l.segment == s.Quadrant.String()) && (l.group == "" || l.group == s.RFMGroup.String()) &&
		(l.stage == "" || l.stage == s.Lifecycle.String()) && (l.rising == "" || l.rising == fmt.Sprint(s.Rising))
}

// entry is a customer that is to be on the page.
type entry struct {
	key       float64
	id        string
	state     []byte
	partition int32
}

// compare returns which of two is first in the order.
func (l *listing) compare(a, b *entry) int {
	by := cmp.Compare(a.key, b.key)
	if l.sort == byLoss {
		by = -by
	}
	return cmp.Or(by, cmp.Compare(a.id, b.id))
}

// page keeps the first of the customers that it is given.
type page struct {
	*listing
	first   []entry
	dropped bool // there are more
}

// full reports whether only who comes before the last still gets in.
func (p *page) full() bool { return len(p.first) == p.limit }

func (p *page) add(e *entry) {
	if p.after != nil && p.compare(e, &entry{key: p.after.Key, id: p.after.ID}) <= 0 {
		return
	}
	at := sort.Search(len(p.first), func(i int) bool { return p.compare(&p.first[i], e) > 0 })
	if p.full() {
		p.dropped = true
		if at == p.limit {
			return
		}
		p.first = p.first[:p.limit-1]
	}
	p.first = slices.Insert(p.first, at, *e)
}

// scan takes the turn to walk through all customers here, and calls each for every state, until it is told to stop.
func (a *api) scan(ctx context.Context, held []Holding, from string, each func(partition int32, id string, state []byte) (more bool, err error)) error {
	select {
	case a.scanning <- struct{}{}:
		defer func() { <-a.scanning }()
	case <-ctx.Done():
		return &statusError{http.StatusServiceUnavailable, "other requests walk through all customers just now, one at a time: ask again"}
	}
	const looks = 256 // some milliseconds
	for _, h := range held {
		n, err := 0, error(nil)
		failed := a.states.Scan(h.Partition, from, func(id string, state []byte) bool {
			if n++; n%looks == 1 && ctx.Err() != nil {
				err = ctx.Err()
				return false
			}
			var more bool
			more, err = each(h.Partition, id, state)
			return more && err == nil
		})
		var elsewhere *NotOwnedError
		if errors.As(failed, &elsewhere) {
			failed = &statusError{http.StatusServiceUnavailable, fmt.Sprintf("partition %d has gone to another process meanwhile: ask again", h.Partition)}
		}
		if err := cmp.Or(err, failed); err != nil {
			return err
		}
	}
	return nil
}

// decode reads a state that a scan has come to, into c.
func decode(c *operators.Customer, id string, state []byte) error {
	c.ID = id
	if err := c.DecodeState(state); err != nil {
		return &statusError{http.StatusInternalServerError, fmt.Sprintf("reading customer %q: %s", id, err)}
	}
	return nil
}

// list answers a page of customers: each process finds its own first ones, and of those the first are the page.
func list(a *api, r *request) (any, error) {
	l, err := r.listing()
	if err != nil {
		return nil, err
	}
	all, err := a.gather(r)
	if err != nil {
		return nil, err
	}
	if err := r.complete(all.Missing); err != nil {
		return nil, cmp.Or(all.failed, err)
	}
	reached := all.watermark()
	switch {
	case l.after != nil || r.passedOn(): // its instant has been taken already; time may have passed since
	case l.asOf == operators.Unset:
		if l.asOf = reached; l.asOf != operators.Unset {
			r.query.Set("as_of", l.asOf.String())
		}
	case l.asOf < reached:
		return nil, invalid("as_of %s: the states are later, and no longer tell what was then: the earliest that can be had is the least watermark, now %s. Leave as_of out for that; lull snapshot --as-of tells of earlier instants", l.asOf, reached)
	}
	others := startAsking[List](a, r, all.others)
	p := page{listing: l}
	err = a.collect(r.Context(), &p, &all.own)
	answers, errs := others(err)
	if err != nil {
		return nil, err
	}
	out := &List{
		AsOf: l.asOf.String(), Watermark: reached.String(), Projected: l.asOf > reached, Sort: l.sort, Currency: a.config.Score.Currency, Horizon: a.horizon(), Customers: []Row{}, Partitions: []Standing{},
	}
	for i := range all.own.Held {
		out.Partitions = append(out.Partitions, standing(&all.own.Held[i]))
	}
	type placed struct {
		entry
		row *Row
	}
	var found []placed
	for i := range p.first {
		found = append(found, placed{entry: p.first[i]})
	}
	more := p.dropped
	for i := range answers {
		if errs[i] != nil {
			if r.query.Get("partial") == "true" {
				continue
			}
			return nil, errs[i]
		}
		out.Partitions = append(out.Partitions, answers[i].Partitions...)
		more = more || answers[i].NextCursor != nil
		for j := range answers[i].Customers {
			row := &answers[i].Customers[j]
			if named := answers[i].Model; named != nil && row.Figures != nil && row.Model == "" {
				row.Model = *named
			}
			found = append(found, placed{entry{key: l.keyOf(row), id: row.CustomerID}, row})
		}
	}
	if out.Missing, err = a.covered(r, all.Total, out.Partitions); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(x, y placed) int { return l.compare(&x.entry, &y.entry) })
	if len(found) > l.limit {
		found, more = found[:l.limit], true
	}
	for i := range found {
		f := &found[i]
		if f.row == nil {
			if f.row, err = a.row(&f.entry, l.asOf, &all.own); err != nil {
				return nil, err
			}
		}
		out.Customers = append(out.Customers, *f.row)
	}
	out.nameModel()
	if more && len(found) > 0 {
		last := &found[len(found)-1]
		next := (&cursor{Query: l.fingerprint(), AsOf: l.asOf, Key: last.key, ID: last.id}).String()
		out.NextCursor = &next
	}
	return out, nil
}

// nameModel names the model of the first score once for all rows that are of the same.
func (l *List) nameModel() {
	for i := range l.Customers {
		row := &l.Customers[i]
		if l.Model == nil && row.Model != "" {
			version := row.Model
			l.Model = &version
		}
		if l.Model != nil && row.Model == *l.Model {
			row.Model = ""
		}
	}
}

// covered returns which partitions are not among those that have answered. That one is twice among them, as it has gone from one process to another meanwhile, is refused.
func (a *api) covered(r *request, total int32, of []Standing) ([]int32, error) {
	held := make(map[int32]bool)
	for _, s := range of {
		if held[s.Partition] {
			return nil, &statusError{http.StatusServiceUnavailable, fmt.Sprintf("partition %d goes from one process to another just now: ask again", s.Partition)}
		}
		held[s.Partition] = true
	}
	absent := missing(total, held)
	if err := r.complete(absent); err != nil {
		return nil, err
	}
	if r.passedOn() {
		absent = []int32{}
	}
	return absent, nil
}

// keyOf returns what a customer of another process stands at by.
func (l *listing) keyOf(row *Row) float64 {
	switch {
	case l.sort == byLoss && row.Figures != nil:
		return row.Figures.AboutToBeLost
	case l.sort == byDeadline && row.Deadline != nil:
		at, _ := parseInstant(row.Deadline.At)
		return float64(at)
	}
	return 0
}

// collect walks through the customers here and keeps the first.
func (a *api) collect(ctx context.Context, p *page, own *Holdings) error {
	from, c := "", operators.NewCustomer("")
	if p.sort == byID && p.after != nil {
		from = p.after.ID
	}
	for i := range own.Held {
		one := own.Held[i : i+1]
		ahead := page{listing: p.listing} // of this partition alone: in the order of ids its first are found first
		target := p
		if p.sort == byID {
			target = &ahead
		}
		err := a.scan(ctx, one, from, func(n int32, id string, state []byte) (bool, error) {
			if err := decode(c, id, state); err != nil {
				return false, err
			}
			if !p.takes(c) {
				return true, nil
			}
			key, in := a.key(target, c, own)
			if in {
				target.add(&entry{key, id, state, n})
			}
			return p.sort != byID || !target.dropped, nil
		})
		if err != nil {
			return err
		}
		for j := range ahead.first {
			p.add(&ahead.first[j])
		}
		p.dropped = p.dropped || ahead.dropped
	}
	return nil
}

// key returns what a customer stands at by in the order of a page; in is false if they are not in it, or come after all that are on it.
func (a *api) key(p *page, c *operators.Customer, own *Holdings) (key float64, in bool) {
	if p.sort == byID {
		return 0, true
	}
	model := own.Model(c.Model)
	if model == nil || c.Purchases.Count == 0 {
		return 0, false
	}
	at := max(c.At, p.asOf)
	if p.sort == byDeadline {
		next := a.next(c, model, at)
		return float64(next), next != operators.Never
	}
	if p.full() && a.score.AboutToBeLostMost(&c.Purchases, model, at) < p.first[p.limit-1].key {
		p.dropped = true // most of all, whose numbers need not be computed
		return 0, false
	}
	return a.score.AboutToBeLost(&c.Purchases, model, at), true
}

// row evaluates a customer of the page.
func (a *api) row(e *entry, asOf operators.EventTime, own *Holdings) (*Row, error) {
	c := operators.NewCustomer(e.id)
	if err := decode(c, e.id, e.state); err != nil {
		return nil, err
	}
	at, p := max(c.At, asOf), &c.Purchases
	row := &Row{
		CustomerID: e.id, Partition: e.partition, AsOf: at.String(), Segment: c.Segment.Quadrant.String(), RFMGroup: c.Segment.RFMGroup.String(),
		Lifecycle: c.Segment.Lifecycle.String(), Rising: c.Segment.Rising,
	}
	if p.Count == 0 {
		return row, nil
	}
	row.Orders, row.LastPurchase, row.RealizedValue = p.Orders, p.Last.String(), a.major(p.Net)
	if model := own.Model(c.Model); model != nil {
		f := a.score.Evaluate(p, model, at)
		row.Figures, row.Model = figures(&f), model.Version
		if next := a.next(c, model, at); next != operators.Never {
			_, what := a.score.Next(p, model, next-1)
			row.Deadline = &CardDeadline{At: next.String(), What: what}
		}
	}
	return row, nil
}

// next returns when silence changes the row in the scores table next, as the state tells unless that has passed by now; Never if it does not.
func (a *api) next(c *operators.Customer, model *operators.Model, at operators.EventTime) operators.EventTime {
	if c.Score.Next > at {
		return c.Score.Next
	}
	next, _ := a.score.Next(&c.Purchases, model, at)
	return next
}

// deadline returns when silence changes the customer's row in the scores table next; nil if never.
func (a *api) deadline(p *operators.Purchases, model *operators.Model, at operators.EventTime) *CardDeadline {
	if next, what := a.score.Next(p, model, at); next != operators.Never {
		return &CardDeadline{At: next.String(), What: what}
	}
	return nil
}

// Counts are how many customers there are of each kind.
type Counts struct {
	Customers  int64            `json:"customers" doc:"customers that are known"`
	Segments   map[string]int64 `json:"segments" enum:"segment" doc:"by quadrant"`
	Lifecycles map[string]int64 `json:"lifecycles" enum:"lifecycle" doc:"by stage of the lifecycle"`
	RFMGroups  map[string]int64 `json:"rfm_groups" enum:"rfm_group" doc:"by group of RFM scores"`
	Rising     int64            `json:"rising" doc:"those of high potential at low spend so far"`
	Partitions []Standing       `json:"partitions" doc:"the partitions whose customers are counted, as far as they had come when they were"`
	Missing    []int32          `json:"missing" doc:"the partitions whose customers are lacking; empty unless partial=true"`
}

func newCounts() *Counts {
	zeros := func(names []string) map[string]int64 {
		counts := make(map[string]int64)
		for _, name := range names {
			counts[name] = 0
		}
		return counts
	}
	return &Counts{Segments: zeros(enums["segment"]), Lifecycles: zeros(enums["lifecycle"]), RFMGroups: zeros(enums["rfm_group"]), Partitions: []Standing{}}
}

// add adds what another process has counted.
func (c *Counts) add(other *Counts) {
	c.Customers += other.Customers
	c.Rising += other.Rising
	for into, from := range map[*map[string]int64]map[string]int64{&c.Segments: other.Segments, &c.Lifecycles: other.Lifecycles, &c.RFMGroups: other.RFMGroups} {
		for name, n := range from {
			(*into)[name] += n
		}
	}
	c.Partitions = append(c.Partitions, other.Partitions...)
}

// counts answers how many customers there are.
func counts(a *api, r *request) (any, error) {
	all, err := a.gather(r)
	if err != nil {
		return nil, err
	}
	if err := r.complete(all.Missing); err != nil {
		return nil, cmp.Or(all.failed, err)
	}
	others := startAsking[Counts](a, r, all.others)
	out, c := newCounts(), operators.NewCustomer("")
	for i := range all.own.Held {
		out.Partitions = append(out.Partitions, standing(&all.own.Held[i]))
	}
	err = a.scan(r.Context(), all.own.Held, "", func(_ int32, id string, state []byte) (bool, error) {
		if err := decode(c, id, state); err != nil {
			return false, err
		}
		out.Customers++
		out.Segments[c.Segment.Quadrant.String()]++
		out.Lifecycles[c.Segment.Lifecycle.String()]++
		out.RFMGroups[c.Segment.RFMGroup.String()]++
		if c.Segment.Rising {
			out.Rising++
		}
		return true, nil
	})
	answers, errs := others(err)
	if err != nil {
		return nil, err
	}
	for i := range answers {
		if errs[i] != nil {
			if r.query.Get("partial") == "true" {
				continue
			}
			return nil, errs[i]
		}
		out.add(&answers[i])
	}
	slices.SortFunc(out.Partitions, func(a, b Standing) int { return cmp.Compare(a.Partition, b.Partition) })
	out.Missing, err = a.covered(r, all.Total, out.Partitions)
	return out, err
}
