package snapshot

import (
	"bytes"
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
	"lull/state"
)

// State is an application's state, restored from its changelog into a store of the snapshot's own, and what it has told. It is not safe for concurrent use, but that the topics of outputs, and that of
// quality, may be taken in at once, each by one goroutine.
type State struct {
	db         *state.DB
	partitions map[int32]*partition
	outputs    map[schemas.Topic]*outputs // of all topics that tables are made of
	quality    map[qualityKey]schemas.Quality
}

// partition is the state of one partition of the input.
type partition struct {
	n     int32
	store *state.Partition
	meta  task.Meta
	shape task.Shape
}

// Memory of the store, in bytes: what is gathered before it is written, and the cache, of little use to who reads everything once.
const (
	dirtyBytesMax = 32 << 20
	cacheBytes    = 16 << 20
)

// OpenState makes a store in an empty folder, where outputs are sorted too.
func OpenState(dir string) (*State, error) {
	db, err := state.Open(state.Options{Dir: filepath.Join(dir, "state"), CacheBytes: cacheBytes, DirtyBytesMax: dirtyBytesMax})
	if err != nil {
		return nil, err
	}
	s := &State{db: db, partitions: make(map[int32]*partition), outputs: make(map[schemas.Topic]*outputs), quality: make(map[qualityKey]schemas.Quality)}
	for i := range kinds {
		if topic := kinds[i].topic; topic != 0 {
			s.outputs[topic] = &outputs{sorted: sorter{dir: dir, bytesMax: sortBytesMax}, first: make(map[int32]place)}
		}
	}
	return s, nil
}

// Close closes the store and leaves its files.
func (s *State) Close() error {
	err := s.db.Close()
	for _, of := range s.outputs {
		err = errors.Join(err, of.sorted.close())
	}
	return err
}

func (s *State) partition(n int32) (*partition, error) {
	if p := s.partitions[n]; p != nil {
		return p, nil
	}
	store, err := s.db.Partition(n)
	if err != nil {
		return nil, err
	}
	p := &partition{n: n, store: store}
	s.partitions[n] = p
	return p, nil
}

// Restore applies a committed record of a changelog partition, in their order; next is the offset after it. A nil value deletes the key.
func (s *State) Restore(n int32, key, value []byte, next int64) error {
	p, err := s.partition(n)
	if err != nil {
		return err
	}
	return p.store.Restore(key, value, next)
}

// EndRestore says that all committed records of a changelog partition below next have been applied. The error of a state that is not lull's, or is of a later version of
// it, wraps operators.ErrCorrupt.
func (s *State) EndRestore(n int32, next int64) error {
	p, err := s.partition(n)
	if err != nil {
		return err
	}
	if err := p.store.EndRestore(next); err != nil {
		return err
	}
	value, ok, err := p.store.Get(task.MetaKey)
	if err == nil && !ok { // the partition has had no transaction
		delete(s.partitions, n)
		p.store.Close()
		return nil
	}
	if err == nil {
		p.meta, err = task.DecodeMeta(value)
	}
	if err != nil {
		return fmt.Errorf("partition %d: %w", n, err)
	}
	if value, ok, err = p.store.Get(task.ShapeKey); err == nil && ok {
		p.shape, err = task.DecodeShape(value)
	}
	if err != nil {
		return fmt.Errorf("partition %d: %w", n, err)
	}
	return nil
}

// sorted returns the partitions that hold anything, by number.
func (s *State) sorted() []*partition {
	all := make([]*partition, 0, len(s.partitions))
	for _, p := range s.partitions {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *partition) int { return cmp.Compare(a.n, b.n) })
	return all
}

// Shape returns what the state was made with, as the first partition tells that does; nil if none does.
func (s *State) Shape() task.Shape {
	for _, p := range s.sorted() {
		if p.shape != nil {
			return p.shape
		}
	}
	return nil
}

// position returns the next changelog offset that the partition stands for.
func (p *partition) position() int64 {
	_, committed := p.store.Position()
	return committed
}

// parts are a customer's long lists. They are only read.
type parts struct {
	store    *state.Partition
	customer string
}

var _ operators.Parts = parts{}

// Get implements operators.Parts. A failing store panics: the evaluation of the customer tells.
func (p parts) Get(name string) ([]byte, bool) {
	value, ok, err := p.store.CommittedGet(task.PartKey(nil, p.customer, name))
	if err != nil {
		panic(fmt.Errorf("reading the list %s: %w", name, err))
	}
	return value, ok
}

// Set implements operators.Parts.
func (parts) Set(string, []byte) { panic(errReadOnly) }

// Delete implements operators.Parts.
func (parts) Delete(string) { panic(errReadOnly) }

var errReadOnly = errors.New("a snapshot changes no customer's lists")

// held is a customer and where they are held.
type held struct {
	*operators.Customer
	partition *partition
}

// entry is a customer as the store has them. It is valid until the next one is asked for.
type entry struct {
	id, state []byte
	partition *partition
}

// customer decodes the customer.
func (e *entry) customer() (held, error) {
	c := operators.NewCustomer(string(e.id))
	c.Parts = parts{e.partition.store, c.ID}
	if err := c.DecodeState(e.state); err != nil {
		return held{}, fmt.Errorf("reading customer %q of partition %d: %w", e.id, e.partition.n, err)
	}
	return held{c, e.partition}, nil
}

// revision returns how many outputs the customer has had, without decoding the rest.
func (e *entry) revision() (uint64, error) {
	if revision, ok := operators.StateRevision(e.state); ok {
		return revision, nil
	}
	_, err := e.customer()
	return 0, err
}

// entries yields the customers of a partition in the order of their ids, then an error if reading them fails.
func (p *partition) entries(yield func(entry, error) bool) {
	going := true
	err := p.store.Scan(task.CustomerKey(nil, ""), task.CustomersEnd, func(key, value []byte) bool {
		if id, ok := task.CustomerOf(key); ok {
			going = yield(entry{id, value, p}, nil)
		}
		return going
	})
	if err != nil && going {
		yield(entry{}, fmt.Errorf("reading the customers of partition %d: %w", p.n, err))
	}
}

// customers yields all customers in the order of their ids, or an error that ends it.
func (s *State) customers(yield func(held, error) bool) {
	w := s.walk()
	defer w.stop()
	for {
		e, err := w.next()
		if e == nil && err == nil {
			return
		}
		var c held
		if err == nil {
			c, err = e.customer()
		}
		if !yield(c, err) || err != nil {
			return
		}
	}
}

// walk goes through the customers of all partitions in the order of their ids.
type walk struct {
	ahead merge[*cursor]
	begun bool
	stops []func()
}

// walk begins one, which must be stopped.
func (s *State) walk() *walk {
	w := &walk{}
	for _, p := range s.sorted() {
		pull, stop := iter.Pull2(p.entries)
		w.ahead, w.stops = append(w.ahead, &cursor{pull: pull}), append(w.stops, stop)
	}
	return w
}

// stop releases what the walk holds.
func (w *walk) stop() {
	for _, stop := range w.stops {
		stop()
	}
}

// next returns the next customer, who is valid until the call after it; nil if there is none. After an error there is nothing to go on with.
func (w *walk) next() (*entry, error) {
	if w.begun {
		more, err := w.ahead[0].next()
		if err != nil {
			return nil, err
		}
		w.ahead.settle(more)
	} else {
		w.begun = true
		started := w.ahead[:0]
		for _, c := range w.ahead {
			more, err := c.next()
			if err != nil {
				return nil, err
			}
			if more {
				started = append(started, c)
			}
		}
		w.ahead = started
		heap.Init(&w.ahead)
	}
	if len(w.ahead) == 0 {
		return nil, nil
	}
	return &w.ahead[0].entry, nil
}

// cursor is a partition's next customer, and where those after it come from.
type cursor struct {
	entry
	pull func() (entry, error, bool)
}

// next goes to the next customer; more is false if there is none.
func (c *cursor) next() (more bool, err error) {
	c.entry, err, more = c.pull()
	return more, err
}

// Before reports whether the customer comes before that of another cursor.
func (c *cursor) Before(other *cursor) bool { return bytes.Compare(c.id, other.id) < 0 }

// merge are sequences in order that are read as one: a heap, with the one on top whose next element comes first.
type merge[S interface{ Before(S) bool }] []S

func (m merge[S]) Len() int           { return len(m) }
func (m merge[S]) Less(i, j int) bool { return m[i].Before(m[j]) }
func (m merge[S]) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge[S]) Push(x any)        { *m = append(*m, x.(S)) }
func (m *merge[S]) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// settle puts the sequence on top in its place after it has gone on; without more it is taken out.
func (m *merge[S]) settle(more bool) {
	if more {
		heap.Fix(m, 0)
	} else {
		heap.Pop(m)
	}
}
