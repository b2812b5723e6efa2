package snapshot

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"iter"
	"slices"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
	"lull/state"
)

// State is an application's state, restored from its changelog into a store of the snapshot's own, and what it has told. It is not safe for concurrent use.
type State struct {
	db         *state.DB
	partitions map[int32]*partition
	outputs    map[schemas.Topic]*outputs
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

// OpenState makes a store in an empty folder.
func OpenState(dir string) (*State, error) {
	db, err := state.Open(state.Options{Dir: dir, CacheBytes: cacheBytes, DirtyBytesMax: dirtyBytesMax})
	if err != nil {
		return nil, err
	}
	return &State{db: db, partitions: make(map[int32]*partition), outputs: make(map[schemas.Topic]*outputs), quality: make(map[qualityKey]schemas.Quality)}, nil
}

// Close closes the store and leaves its files.
func (s *State) Close() error { return s.db.Close() }

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

// customers yields the customers of a partition in the order of their ids, then an error if reading them fails.
func (p *partition) customers(yield func(held, error) bool) {
	going := true
	err := p.store.Scan(task.CustomerKey(nil, ""), task.CustomersEnd, func(key, value []byte) bool {
		id, ok := task.CustomerOf(key)
		if !ok {
			return true
		}
		c := operators.NewCustomer(string(id))
		c.Parts = parts{p.store, c.ID}
		if err := c.DecodeState(value); err != nil {
			yield(held{}, fmt.Errorf("reading customer %q of partition %d: %w", id, p.n, err))
			going = false
			return false
		}
		going = yield(held{c, p}, nil)
		return going
	})
	if err != nil && going {
		yield(held{}, fmt.Errorf("reading the customers of partition %d: %w", p.n, err))
	}
}

// customers yields all customers in the order of their ids, or an error that ends it.
func (s *State) customers(yield func(held, error) bool) {
	var next ahead
	defer func() {
		for _, at := range next {
			at.stop()
		}
	}()
	take := func(c cursor) (ok bool, err error) {
		var more bool
		if c.first, err, more = c.pull(); err != nil || !more {
			c.stop()
			return false, err
		}
		heap.Push(&next, c)
		return true, nil
	}
	for _, p := range s.sorted() {
		pull, stop := iter.Pull2(p.customers)
		if _, err := take(cursor{pull: pull, stop: stop}); err != nil {
			yield(held{}, err)
			return
		}
	}
	for len(next) > 0 {
		c := heap.Pop(&next).(cursor)
		if !yield(c.first, nil) {
			c.stop()
			return
		}
		if _, err := take(c); err != nil {
			yield(held{}, err)
			return
		}
	}
}

// cursor is a partition's next customer, and where those after it come from.
type cursor struct {
	first held
	pull  func() (held, error, bool)
	stop  func()
}

// ahead are cursors, the one with the least id on top.
type ahead []cursor

func (a ahead) Len() int           { return len(a) }
func (a ahead) Less(i, j int) bool { return a[i].first.ID < a[j].first.ID }
func (a ahead) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *ahead) Push(x any)        { *a = append(*a, x.(cursor)) }
func (a *ahead) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}
