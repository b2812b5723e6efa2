package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"lull/operators"
	"lull/operators/rfm"
	"lull/pipeline/query"
	"lull/pipeline/security"
	"lull/pipeline/task"
	"lull/schemas"
	"lull/state"
)

// api returns the handler of the read API.
func (r *Runner) api() (http.Handler, error) {
	of := &r.s.HTTP
	tokens, err := security.NewTokens(of.Tokens, of.TokensFile)
	if err != nil {
		return nil, err
	}
	tokens.Tell = r.tellTokens
	guard := query.Guard{Listen: of.Listen, Tokens: tokens, Certificates: of.TLS.ClientCAFile != ""}
	return query.Handler(r, query.Options{
		Chain: r.s.Chain(), Day: schemas.DayStarts(r.s.zone()), Zone: r.s.zone(), Timeout: of.Timeout, Rate: of.Rate, Admit: guard.Admit,
		Members: &members{r: r, client: of.TLS.Client(dialWithin(of.Timeout/5, r.machine.dial)), asking: newLock()},
		Observe: func(route string, status int, took time.Duration) {
			route = cmp.Or(route, noRoute)
			r.metrics.apiRequests.WithLabelValues(route, strconv.Itoa(status)).Inc()
			r.metrics.apiSeconds.WithLabelValues(route).Observe(took.Seconds())
		},
	}), nil
}

// tellTokens tells why the file of tokens, which has changed, is not taken, or that it is.
func (r *Runner) tellTokens(why error) {
	if why == nil {
		r.health.warnIf("tokens", "")
		r.log.Info().Msg("the tokens of the read API are those of http.tokens_file again")
		return
	}
	warning := fmt.Sprintf("the tokens of the read API are those from before: %s", why)
	r.health.warnIf("tokens", warning)
	r.log.Warn().Msg(warning)
}

// dialWithin returns a dialer that gives up after so long.
func dialWithin(timeout time.Duration, dial dialer) security.Dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return dial(ctx, network, address)
	}
}

// noRoute is what paths of the API are counted as that are none of its resources.
const noRoute = "other"

// stir wakes up who waits for a partition to come further. mu is held.
func (r *Runner) stir() {
	if r.stirred != nil {
		close(r.stirred)
		r.stirred = nil
	}
}

// View implements query.States.
func (r *Runner) View(customer string, want query.Want) (query.View, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids.partitions == 0 {
		return query.View{}, errStarting
	}
	var view query.View
	var missing query.NotOwnedError
	for _, n := range r.places(customer) {
		p, err := r.holder(n)
		var elsewhere *query.NotOwnedError
		switch {
		case errors.As(err, &elsewhere):
			missing.Partitions, missing.Why = append(missing.Partitions, n), elsewhere.Why
		case err != nil:
			missing.Unready = cmp.Or(missing.Unready, err)
		default:
			if view, err = r.viewIn(p, customer, want); err != nil || view.State != nil {
				return view, err
			}
		}
	}
	if len(missing.Partitions) > 0 {
		return query.View{}, &missing
	}
	return view, missing.Unready
}

// places returns the partitions that a customer can be in. With a first stage it is the one that it puts them into; else each that a known partitioner does: the state, not a setting, says which
// one the input has. mu is held.
func (r *Runner) places(customer string) (places []int32) {
	where := newPlacement(r.ids.partitions)
	if r.s.Staged() {
		return []int32{where.of([]byte(customer))}
	}
	for _, n := range where.all([]byte(customer)) {
		if !slices.Contains(places, n) {
			places = append(places, n)
		}
	}
	return places
}

// holder returns a partition that runs here, or why there is none: a *query.NotOwnedError if it is not this process's. mu is held.
func (r *Runner) holder(n int32) (*partition, error) {
	p := r.partitions[n]
	_, next := r.assigned[topicPartition{r.s.taskTopic(), n}]
	switch {
	case p == nil && next:
		return nil, fmt.Errorf("partition %d has just been assigned to this process: /readyz says more", n)
	case p == nil:
		return nil, &query.NotOwnedError{Partitions: []int32{n}, Why: "is not assigned to this process: if its group has others, ask them; else try again, it is about to be"}
	case p.phase != running:
		return nil, fmt.Errorf("partition %d is %s: /readyz says more", n, p.phase)
	}
	return p, nil
}

// committedMeta returns what is committed of the task's meta record; ok is false before the first transaction.
func (p *partition) committedMeta() (meta task.Meta, ok bool, err error) {
	value, ok, err := p.store.CommittedGet(task.MetaKey)
	if err != nil || !ok {
		return task.NewMeta(), false, err
	}
	meta, err = task.DecodeMeta(value)
	return meta, true, err
}

// viewIn returns what a partition has of a customer. mu is held, so that all of it is of one commit.
func (r *Runner) viewIn(p *partition, customer string, want query.Want) (query.View, error) {
	view := query.View{Partition: p.n}
	meta, ok, err := p.committedMeta()
	if err != nil {
		return query.View{}, err
	}
	if ok {
		view.Position, view.Watermark, view.HasModel = meta.Position, meta.Watermark, meta.HasModel()
	}
	value, ok, err := p.store.CommittedGet(task.CustomerKey(nil, customer))
	if err != nil || !ok {
		return view, err
	}
	view.State = value
	c := operators.NewCustomer(customer)
	if err := c.DecodeState(value); err != nil {
		return query.View{}, err
	}
	view.Model = r.models.Model(c.Model)
	if want == query.WithDays {
		pages := committedParts{p.store, customer, make(map[string][]byte)}
		c.Parts = &pages
		if view.Days, err = daysOf(c); err != nil {
			return query.View{}, err
		}
		view.Pages = pages.read
	}
	return view, nil
}

// daysOf returns all purchase days of a customer, whose parts can be read.
func daysOf(c *operators.Customer) (days []operators.PurchaseDay, err error) {
	defer func() {
		if r := recover(); r != nil { // what operators do with a state that is not theirs
			//lull:unread the state was written by the same operators
			err = fmt.Errorf("reading the purchase days of customer %q: %v", c.ID, r)
		}
	}()
	return rfm.All(c), nil
}

// committedParts are the committed records beside a customer's state. It keeps those that are read.
type committedParts struct {
	store    *state.Partition
	customer string
	read     map[string][]byte
}

// Get implements operators.Parts.
func (p *committedParts) Get(name string) (value []byte, ok bool) {
	value, ok, err := p.store.CommittedGet(task.PartKey(nil, p.customer, name))
	if err != nil {
		panic(err)
	}
	if ok {
		p.read[name] = value
	}
	return value, ok
}

// Set implements operators.Parts: nothing is written here.
func (p *committedParts) Set(string, []byte) { panic("a view is read only") }

// Delete implements operators.Parts.
func (p *committedParts) Delete(string) { panic("a view is read only") }

// Await implements query.States.
func (r *Runner) Await(ctx context.Context, customer string, record query.InputRecord) error {
	for {
		r.mu.Lock()
		at, reached, err := r.reached(customer, record)
		if r.stirred == nil {
			r.stirred = make(chan struct{})
		}
		stirred := r.stirred
		r.mu.Unlock()
		if err != nil || reached {
			return err
		}
		select {
		case <-ctx.Done():
			return &query.NotReachedError{Record: record, At: at}
		case <-stirred:
		}
	}
}

// reached reports whether an input record is in what is committed of the customer's partition, and how far that has come. mu is held.
func (r *Runner) reached(customer string, record query.InputRecord) (at string, reached bool, err error) {
	if r.ids.partitions == 0 {
		return "", false, errStarting
	}
	i := slices.IndexFunc(r.inputs, func(in *inputTopic) bool { return in.Topic == record.Topic })
	if i < 0 {
		return "", false, &query.InvalidError{Why: fmt.Sprintf("wait_for %s: topic %q is no input of this application", record, record.Topic)}
	}
	in := r.inputs[i]
	if record.Partition >= in.partitions {
		return "", false, &query.InvalidError{Why: fmt.Sprintf("wait_for %s: topic %q has partitions 0 to %d", record, record.Topic, in.partitions-1)}
	}
	where := newPlacement(r.ids.partitions)
	n := where.of([]byte(customer)) // where the first stage puts them
	if !r.s.Staged() {
		if n = record.Partition; !where.holds([]byte(customer), n) {
			return "", false, &query.InvalidError{Why: fmt.Sprintf("wait_for %s: records of customer %q are not in partition %d", record, customer, n)}
		}
	}
	p, err := r.holder(n)
	if err != nil {
		return "", false, err
	}
	meta, _, err := p.committedMeta()
	if err != nil {
		return "", false, err
	}
	if !r.s.Staged() {
		return fmt.Sprintf("its partition is at offset %d", meta.Position), meta.Position > record.Offset, nil
	}
	if passed, ok := meta.PassedOf(task.FeedID(in.id, record.Partition)); ok {
		return fmt.Sprintf("the customer's partition has its partition's records up to offset %d", passed), passed >= record.Offset, nil
	}
	return "the customer's partition has no record of its partition", false, nil
}

// Holdings implements query.States.
func (r *Runner) Holdings() (query.Holdings, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids.partitions == 0 || r.models == nil {
		return query.Holdings{}, errStarting
	}
	held := query.Holdings{Total: r.ids.partitions, Model: r.models.Model}
	for _, n := range slices.Sorted(maps.Keys(r.partitions)) {
		p, err := r.holder(n)
		if err != nil {
			continue // nobody answers for it just now
		}
		meta, _, err := p.committedMeta()
		if err != nil {
			return query.Holdings{}, err
		}
		held.Held = append(held.Held, query.Holding{Partition: n, Position: meta.Position, Watermark: meta.Watermark})
	}
	return held, nil
}

// Scan implements query.States.
func (r *Runner) Scan(n int32, from string, yield func(customer string, state []byte) bool) error {
	r.mu.Lock()
	p, err := r.holder(n)
	if err != nil {
		r.mu.Unlock()
		return err
	}
	store := p.store
	r.mu.Unlock()
	err = store.CommittedScan(task.CustomerKey(nil, from), task.CustomersEnd, func(key, value []byte) bool {
		id, ok := task.CustomerOf(key)
		return !ok || yield(string(id), value)
	})
	if errors.Is(err, state.ErrClosed) {
		return &query.NotOwnedError{Partitions: []int32{n}, Why: "has gone to another process meanwhile"}
	}
	return err
}
