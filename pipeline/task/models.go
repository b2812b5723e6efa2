package task

import (
	"fmt"
	"slices"

	"lull/operators"
)

// Models gives a task the bodies of the models that it has adopted.
type Models interface {
	// Model returns the model with this Ref, nil if there is none.
	Model(ref uint32) *operators.Model
}

// Adoption is a model, and the settings of scores that it is used with, and the instant from which both are in force in a task, until that of the next.
type Adoption struct {
	Ref, Terms uint32
	At         operators.EventTime
}

// of reports whether the customer was last computed with it.
func (a *Adoption) of(c *customer) bool { return a.Ref == c.Model && a.Terms == c.Terms }

const adoptionsMax = 16 // older ones concern only states that have not been touched since

// Adopt takes in what has been published since it was last told: each new model is in force from here on, or from its EffectiveAt if that is later.
// published are all models, in the order of their topic; a version is never taken in twice. Models come into force between records and after
// what was due before them: call it when FireDue has said that it is done. In the midst of a record, whose turn a transaction's end has interrupted,
// Adopt does nothing. If the settings of scores have changed, the model in force comes into force anew. The error is an *UnknownModelError if a model that is in force, or is to be, cannot be had: what stands behind it is not known then.
func (t *Task) Adopt(published []*operators.Model) error {
	if t.meta.Observed == t.meta.Position {
		return nil
	}
	for _, a := range t.meta.Adoptions[max(0, t.meta.inForce()):] {
		if t.models.Model(a.Ref) == nil {
			return &UnknownModelError{a.Ref}
		}
	}
	for _, m := range published[t.meta.takenIn(published):] {
		t.meta.adopt(m, t.cfg.Terms)
		t.changed = true
	}
	if i := t.meta.inForce(); i >= 0 && t.meta.Adoptions[i].Terms != t.cfg.Terms {
		t.meta.insert(Adoption{t.meta.Adoptions[i].Ref, t.cfg.Terms, t.meta.Watermark})
		t.changed = true
	}
	return nil
}

// inForce returns the place of the adoption that is in force at the watermark, -1 if there is none yet.
func (m *Meta) inForce() int {
	i := len(m.Adoptions) - 1
	for i >= 0 && m.Adoptions[i].At > m.Watermark {
		i--
	}
	return i
}

// HasModel reports whether a model is in force at the watermark.
func (m *Meta) HasModel() bool { return m.inForce() >= 0 }

// UnknownModelError says that a task's state was computed with a model whose body cannot be had: this process has yet to read it, or it was deleted. The
// transaction under way must be aborted.
type UnknownModelError struct{ Ref uint32 }

func (e *UnknownModelError) Error() string {
	return fmt.Sprintf("the model with the short name %08x is not among those that have been read", e.Ref)
}

// takenIn returns how many of the published models have been taken in: all up to the last that was. If that is not among them, as this process has
// yet to read it or it was deleted, all up to the last that is remembered.
func (m *Meta) takenIn(published []*operators.Model) int {
	for i := len(published) - 1; i >= 0; i-- {
		if published[i].Ref() == m.LastModel {
			return i + 1
		}
	}
	for i := len(published) - 1; i >= 0; i-- {
		if m.remembers(published[i].Ref()) {
			return i + 1
		}
	}
	return 0
}

func (m *Meta) remembers(ref uint32) bool {
	return slices.ContainsFunc(m.Adoptions, func(a Adoption) bool { return a.Ref == ref })
}

// adopt records that a model is in force from its EffectiveAt or the watermark on, whichever is later. Of models with the same instant the later
// published is in force. One that is remembered, which a topic that was compacted can hold in another place, stays as it is.
func (m *Meta) adopt(model *operators.Model, terms uint32) {
	m.LastModel = model.Ref()
	if !m.remembers(m.LastModel) {
		m.insert(Adoption{m.LastModel, terms, max(model.EffectiveAt, m.Watermark)})
	}
}

// insert puts an adoption in its place by At. One too many forgets the one that has been superseded the longest; if none has been, the one furthest ahead.
func (m *Meta) insert(a Adoption) {
	i := len(m.Adoptions)
	for i > 0 && m.Adoptions[i-1].At > a.At {
		i--
	}
	m.Adoptions = slices.Insert(m.Adoptions, i, a)
	switch {
	case len(m.Adoptions) <= adoptionsMax:
	case m.Adoptions[1].At <= m.Watermark:
		m.Adoptions = slices.Delete(m.Adoptions, 0, 1)
	default:
		m.Adoptions = m.Adoptions[:adoptionsMax]
	}
}

// Remembered returns the instant from which on the record certainly tells which model was in force; Unset if it has forgotten none.
func (m *Meta) Remembered() operators.EventTime {
	if len(m.Adoptions) < adoptionsMax {
		return operators.Unset
	}
	return m.Adoptions[0].At
}

// nextAdoption returns the first model that came into force after the one that the customer was last computed with.
func (t *Task) nextAdoption(c *customer) (Adoption, bool) {
	list := t.meta.Adoptions
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].of(c) {
			list = list[i+1:]
			break
		}
	}
	if len(list) == 0 {
		return Adoption{}, false
	}
	return list[0], true
}

func (t *Task) applyModel(c *customer, a Adoption) error {
	// A model of before the settings changed, which has not reached the customer yet, does so under those of now.
	newTerms := c.Terms != 0 && (c.Terms != a.Terms || a.Terms != t.cfg.Terms)
	c.Model, c.Terms = a.Ref, a.Terms
	c.At = max(c.At, a.At)
	t.touch(c)
	if c.Purchases.Count == 0 {
		return nil // there is nothing that a model could say
	}
	t.in = operators.Input{Kind: operators.ModelInput, At: c.At, NewTerms: newTerms, Returned: t.returned(c, c.At)}
	return t.step(c, nil)
}

// catchUp brings a customer to the model that is in force in the task: the models come into force for them, and the deadlines fire that these have put into
// the past, each as of its own instant, as if that had been done when the watermark reached it. So it makes no difference when, and by what, a customer is
// first touched. Nothing else is due when it is called.
//
// Who stands without a timer since a deadline made an operator panic is left for their next event.
func (t *Task) catchUp(c *customer) error {
	if a, ok := t.nextAdoption(c); !ok || a.At > t.meta.Watermark {
		return nil
	}
	next := func() operators.EventTime { at, _ := t.chain.Deadlines(&c.Customer); return at }
	if next() <= t.meta.Watermark {
		return nil
	}
	if err := t.release(c, t.meta.Watermark, next); err != nil {
		c.Armed = operators.Never
		return t.rejectPanic(c, err)
	}
	return t.arm(c, t.meta.Watermark)
}

// modelOf returns the model that a customer is computed with, nil before the first.
func (t *Task) modelOf(c *customer) (*operators.Model, error) {
	if c.Model == 0 {
		return nil, nil
	}
	m := t.models.Model(c.Model)
	if m == nil {
		return nil, &UnknownModelError{c.Model}
	}
	return m, nil
}
