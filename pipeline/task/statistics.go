package task

import (
	"fmt"
	"slices"

	"lull/operators"
	"lull/operators/statistics"
)

// census keeps the statistics of a task's customers. They derive from the states, and are kept nowhere: when a task is opened, and when a transaction
// was aborted, it walks once through all customers, in the order of their keys, beside the task's work, and counts them as they are. From then on who has
// been counted changes with their purchases. (docs/adr/0015-statistics.md says why they are not stored.)
type census struct {
	table *statistics.Table // nil if none are kept
	to    []byte            // the key up to which customers have been counted
	done  bool              // all have
	// state is that of the customer looked at.
	state operators.Customer
}

// begin begins the census anew.
func (c *census) begin(sampled int) {
	*c = census{done: true}
	if sampled > 0 {
		c.table, c.done = statistics.NewTable(sampled), false
	}
}

// Statistics returns the statistics of the task's customers, nil if none are kept; counted is false while there are customers yet to be counted. In the
// midst of a transaction they are those of its last Finish, or of the one before.
func (t *Task) Statistics() (table *statistics.Table, counted bool) {
	return t.census.table, t.census.done
}

// Announce makes the transaction one that has something to write, so that what goes with it can be told.
func (t *Task) Announce() { t.changed = true }

// Count goes on with the census as far as the budget goes.
func (t *Task) Count(b *Budget) error {
	for c := &t.census; !c.done && !b.spent(len(t.out.Outputs)); {
		// A scan sees what has been written, and customers that are new in this transaction have not been.
		if err := t.saveTouched(); err != nil {
			return err
		}
		from := []byte{customerClass}
		if len(c.to) > 0 {
			from = append(slices.Clone(c.to), 0)
		}
		looked := 0
		var broken error
		c.done = true
		err := t.store.Scan(from, []byte{customerClass + 1}, func(key, state []byte) bool {
			if looked == t.cfg.Looks {
				c.done = false
				return false
			}
			looked++
			c.to = append(c.to[:0], key...)
			if broken = c.state.DecodeState(state); broken != nil {
				return false
			}
			id, _ := CustomerOf(key)
			c.table.Change(string(id), &operators.Purchases{}, &c.state.Purchases, c.state.Days.Newest)
			return true
		})
		if err == nil {
			err = broken
		}
		if err != nil {
			return fmt.Errorf("counting customers, at the key %q: %w", c.to, err)
		}
		c.table.Trim()
	}
	return nil
}

// recount counts a customer as what they are now, if they have been counted as what they were.
func (c *census) recount(customer *customer, key []byte) {
	if c.table != nil && (c.done || string(key) <= string(c.to)) {
		c.table.Change(customer.ID, &customer.counted, &customer.Purchases, customer.Days.Newest)
	}
	customer.counted, customer.miscounted = customer.Purchases, false
}

// settle ends a transaction.
func (c *census) settle(sampled int) {
	if c.table == nil {
		return
	}
	c.table.Trim()
	if c.done && c.table.Short() {
		c.begin(sampled)
	}
}
