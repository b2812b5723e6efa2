package task

import (
	"fmt"
	"slices"

	"lull/operators"
)

// parts are the long lists of the customer whose step is under way. Writes wait until the step has ended well.
type parts struct {
	task     *Task
	customer string
	writes   []partWrite
	err      error // the store's: the step is void
}

type partWrite struct {
	name    string
	value   []byte
	deleted bool
}

var _ operators.Parts = (*parts)(nil)

func (p *parts) begin(customer string) { p.customer, p.writes, p.err = customer, p.writes[:0], nil }

// Get implements operators.Parts. A failing store ends the step by a panic, which Task.step turns back into the store's error.
func (p *parts) Get(name string) ([]byte, bool) {
	for i := len(p.writes) - 1; i >= 0; i-- {
		if p.writes[i].name == name {
			return p.writes[i].value, !p.writes[i].deleted
		}
	}
	value, ok, err := p.task.store.Get(PartKey(nil, p.customer, name))
	if err != nil {
		p.err = fmt.Errorf("reading a customer's list: %w", err)
		panic(p.err)
	}
	return value, ok
}

// Set implements operators.Parts.
func (p *parts) Set(name string, value []byte) {
	p.writes = append(p.writes, partWrite{name: name, value: slices.Clone(value)})
}

// Delete implements operators.Parts.
func (p *parts) Delete(name string) {
	p.writes = append(p.writes, partWrite{name: name, deleted: true})
}

// end hands the writes to the store.
func (p *parts) end() error {
	for _, w := range p.writes {
		key := PartKey(nil, p.customer, w.name)
		var err error
		if w.deleted {
			err = p.task.store.Delete(key)
		} else {
			err = p.task.store.Set(key, w.value)
		}
		if err != nil {
			return fmt.Errorf("writing a customer's list: %w", err)
		}
	}
	return nil
}
