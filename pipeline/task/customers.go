package task

// customers keeps about max customers decoded: those used since the last rotation and those used before it. Within a transaction it only
// grows, so that a customer is never in memory twice.
type customers struct {
	max          int
	recent, past map[string]*customer
}

func (cs *customers) get(id string) *customer {
	if c := cs.recent[id]; c != nil {
		return c
	}
	c := cs.past[id]
	if c != nil {
		delete(cs.past, id)
		cs.recent[id] = c
	}
	return c
}

func (cs *customers) put(c *customer) {
	if cs.recent == nil {
		cs.recent = make(map[string]*customer)
	}
	cs.recent[c.ID] = c
}

// rotate lets go of the customers that have not been used for a while, once there are too many.
func (cs *customers) rotate() {
	if len(cs.recent) > cs.max/2 {
		cs.past, cs.recent = cs.recent, make(map[string]*customer)
	}
}

func (cs *customers) clear() { cs.recent, cs.past = make(map[string]*customer), nil }
