package optest

import (
	"slices"
	"strings"

	"lull/operators"
)

// Parts are the parts of one customer in memory. What Get returned is overwritten by the next call, so that a test fails if it is used then.
type Parts struct {
	// Gets, Sets and Deletes count the calls.
	Gets, Sets, Deletes int

	values map[string][]byte
	lent   []byte
}

var _ operators.Parts = (*Parts)(nil)

// NewParts returns no parts.
func NewParts() *Parts { return &Parts{values: map[string][]byte{}} }

// Get returns a part until the next call.
func (p *Parts) Get(name string) (value []byte, ok bool) {
	p.Gets++
	p.takeBack()
	v, ok := p.values[name]
	if ok {
		p.lent = slices.Clone(v)
	}
	return p.lent, ok
}

// Set sets a part to a copy of value.
func (p *Parts) Set(name string, value []byte) {
	p.Sets++
	p.values[name] = slices.Clone(value)
	p.takeBack()
}

// Delete removes a part.
func (p *Parts) Delete(name string) {
	p.Deletes++
	p.takeBack()
	delete(p.values, name)
}

// Names returns the names with a prefix, sorted.
func (p *Parts) Names(prefix string) []string {
	var names []string
	for name := range p.values {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Value returns a part, nil if there is none, without counting it as a call.
func (p *Parts) Value(name string) []byte { return p.values[name] }

func (p *Parts) takeBack() {
	for i := range p.lent {
		p.lent[i] = 0xff
	}
	p.lent = nil
}
