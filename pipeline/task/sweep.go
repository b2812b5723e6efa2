package task

import (
	"encoding/binary"
	"fmt"

	"lull/operators"
)

// Sweep is how far the walk has come that brings every customer to the model in force, whom neither an event nor a deadline has brought there. It goes through
// the customers in the order of their keys, once for each model that comes into force; a model that does so meanwhile begins it anew.
type Sweep struct {
	Ref, Terms uint32 // of the adoption; 0 before the first
	Done       bool   // it has come to the end
	After      string // the last customer that it has passed, "" before the first
}

func (s *Sweep) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, s.Ref)
	dst = binary.BigEndian.AppendUint32(dst, s.Terms)
	done := byte(0)
	if s.Done {
		done = 1
	}
	dst = append(dst, done)
	dst = binary.AppendUvarint(dst, uint64(len(s.After)))
	return append(dst, s.After...)
}

// decode reads the sweep from the start of src, and cuts it off; ok is false if it is not there.
func (s *Sweep) decode(src *[]byte) (ok bool) {
	b := *src
	if len(b) < 9 || b[8] > 1 {
		return false
	}
	s.Ref, s.Terms, s.Done = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), b[8] == 1
	b = b[9:]
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return false
	}
	s.After, *src = string(b[used:used+int(n)]), b[used+int(n):]
	return true
}

// walk is the part of the sweep that has been looked at.
type walk struct {
	to    []byte   // the last customer looked at
	end   bool     // there is none behind
	stale []string // those of them who are not computed with the sweep's model, and have not been brought to it yet
}

// to reports whether it is the sweep to an adoption.
func (s *Sweep) to(a *Adoption) bool { return s.Ref == a.Ref && s.Terms == a.Terms }

// Sweeping reports whether there may be customers who are not computed with the model in force.
func (t *Task) Sweeping() bool {
	i := t.meta.inForce()
	return i >= 0 && (!t.meta.Sweep.to(&t.meta.Adoptions[i]) || !t.meta.Sweep.Done)
}

// Sweep brings customers to the model in force as far as the budget goes, and returns how many it has. It does nothing while deadlines are due, or in the
// midst of a record whose turn a transaction's end has interrupted.
func (t *Task) Sweep(b *Budget) (touched int, err error) {
	if !t.Sweeping() || t.meta.Observed == t.meta.Position {
		return 0, nil
	}
	if done, err := t.fireDue(b); !done || err != nil {
		return 0, err
	}
	s := &t.meta.Sweep
	if a := &t.meta.Adoptions[t.meta.inForce()]; !s.to(a) {
		*s, t.walk, t.changed = Sweep{Ref: a.Ref, Terms: a.Terms}, walk{}, true
	}
	for !s.Done && !b.spent(len(t.out.Outputs)) {
		if len(t.walk.stale) == 0 {
			if err := t.lookOn(); err != nil {
				return touched, err
			}
			continue
		}
		c, err := t.load(t.walk.stale[0])
		if err != nil {
			return touched, err
		}
		if err := t.catchUp(c); err != nil {
			return touched, err
		}
		touched++
		s.After, t.walk.stale, t.changed = c.ID, t.walk.stale[1:], true
	}
	return touched, nil
}

// lookOn takes what has been looked at as passed, and looks at the next customers.
func (t *Task) lookOn() error {
	s := &t.meta.Sweep
	t.changed = true
	if t.walk.end {
		s.After, s.Done, t.walk = "", true, walk{}
		return nil
	}
	if len(t.walk.to) > 0 {
		s.After = string(t.walk.to)
	}
	// A scan sees what has been written, and customers that are new in this transaction have not been.
	if err := t.saveTouched(); err != nil {
		return err
	}
	from := []byte{customerClass}
	if s.After != "" {
		from = append(CustomerKey(nil, s.After), 0)
	}
	looked := 0
	t.walk = walk{end: true, to: t.walk.to[:0]}
	err := t.store.Scan(from, []byte{customerClass + 1}, func(key, state []byte) bool {
		if looked == t.cfg.Looks {
			t.walk.end = false
			return false
		}
		looked++
		id, _ := CustomerOf(key)
		t.walk.to = append(t.walk.to[:0], id...)
		if ref, terms, ok := operators.StateModel(state); !ok || ref != s.Ref || terms != s.Terms {
			t.walk.stale = append(t.walk.stale, string(id))
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("looking for customers of an earlier model: %w", err)
	}
	return nil
}
