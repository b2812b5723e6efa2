package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/schemas"
)

// What the shop does. Its customers come in bursts; between bursts time jumps, so that a run of minutes is a history of years.
const (
	customers     = 2000
	cohort        = 10                        // customers of a burst
	burstMin      = 20                        // records of a burst
	burstMax      = 60                        //
	stepMaxMs     = 30_000                    // time from one record of a burst to the next, at most
	jumpMinMs     = 3_600_000                 // time between bursts: more than the session gap and the lateness,
	jumpMaxMs     = 12 * 3_600_000            // and far below what three customers must confirm
	calmJumpMaxMs = 2 * 3_600_000             // the same of a shop that is calm
	disorderMs    = latenessMs / 2            // by how much an event comes late at most and is in time
	plainFirst    = 2000                      // so many records pass before anything odd: by then every partition has a watermark
	shopOpens     = 12_784 * operators.DayMs  // 2005-01-01: decades before the records are appended
	latenessMs    = 600_000                   // clock.lateness
	currency      = "USD"                     //
	remembered    = 64                        // records that may be sent again
	ordersKept    = 500                       // orders that may be refunded or cancelled
	refundsMax    = 3                         // of one order: less than all of it
	closesAfter   = 2 * 365 * operators.DayMs // the final time mark: after it every deadline has fired
)

// message is what happened to a customer, as a record.
type message struct {
	customer, value []byte
	id              string // "": it has none
	order           string // "": it is none of an order
}

// record returns the message as a record of the input. One topic is keyed by customer; of two one has what concerns orders, by which it is keyed, the other the rest. What is
// sent again is in the same partition, and an order before its refunds.
func (m *message) record(staged bool) *kgo.Record {
	r := &kgo.Record{Topic: inputTopic, Key: m.customer, Value: m.value}
	switch {
	case staged && m.order != "":
		r.Topic, r.Key = ordersTopic, []byte(m.order)
	case staged:
		if r.Topic, r.Key = webTopic, nil; m.id != "" {
			r.Key = []byte(m.id)
		}
	}
	return r
}

// shop makes the records of a shop without end. The same seed makes the same records. Not safe for concurrent use.
type shop struct {
	random  *rand.Rand
	calm    bool // time passes more slowly, and all customers come equally often
	now     operators.EventTime
	made    int
	left    int   // records of the burst
	present []int // its customers
	recent  []message
	orders  []order
}

// order is one that can still be paid back or cancelled.
type order struct {
	customer, id string
	cents        int64
	refunds      int
}

func newShop(seed uint64, calm bool) *shop {
	return &shop{random: rand.New(rand.NewPCG(seed, 1)), calm: calm, now: shopOpens}
}

// next returns the next record.
func (s *shop) next() (message, error) {
	s.made++
	s.pass()
	odd := s.random.IntN(1000)
	switch {
	case s.made <= plainFirst || odd >= 70:
		return s.event(s.now - operators.EventTime(s.random.Int64N(disorderMs)))
	case odd < 40: // a producer that sends again
		return s.recent[s.random.IntN(len(s.recent))], nil
	case odd < 50: // a producer that is broken
		m, err := s.event(s.now)
		m.value = m.value[:len(m.value)-1-s.random.IntN(len(m.value)/2)]
		return m, err
	default: // a producer that was offline
		return s.event(s.now - operators.EventTime(jumpMinMs+s.random.Int64N(2*jumpMaxMs)))
	}
}

// pass lets time pass to the next record.
func (s *shop) pass() {
	if s.left > 0 {
		s.left--
		s.now += operators.EventTime(s.random.Int64N(stepMaxMs))
		return
	}
	s.left = burstMin + s.random.IntN(burstMax-burstMin)
	longest := int64(jumpMaxMs)
	if s.calm {
		longest = calmJumpMaxMs
	}
	s.now += operators.EventTime(jumpMinMs + s.random.Int64N(longest-jumpMinMs))
	s.present = s.present[:0]
	for range cohort {
		// Some customers come often, many come once.
		share := s.random.Float64()
		if s.calm {
			s.present = append(s.present, int(share*customers))
			continue
		}
		s.present = append(s.present, int(share*share*share*customers))
	}
}

// event returns the record of something that a customer who is present does at an instant.
func (s *shop) event(at operators.EventTime) (message, error) {
	e := operators.Event{
		Kind: operators.PageViewed, ID: fmt.Sprintf("m-%08d", s.made), Time: at,
		Customer: fmt.Sprintf("c-%04d", s.present[s.random.IntN(len(s.present))]),
	}
	switch what := s.random.IntN(100); {
	case what < 25:
		e.Kind, e.OrderID, e.Amount = operators.OrderCompleted, fmt.Sprintf("o-%08d", s.made), operators.Money(500+s.random.IntN(9500))
		s.orders = append(s.orders, order{customer: e.Customer, id: e.OrderID, cents: int64(e.Amount)})
		s.orders = s.orders[max(0, len(s.orders)-ordersKept):]
	case what < 30 && len(s.orders) > 0:
		o := &s.orders[s.random.IntN(len(s.orders))]
		e.Kind, e.Customer, e.OrderID = operators.OrderCancelled, o.customer, o.id
		if o.refunds < refundsMax && what < 28 {
			o.refunds++
			e.Kind, e.RefundID, e.Amount = operators.OrderRefunded, fmt.Sprintf("r-%08d", s.made), operators.Money(o.cents/(refundsMax+1))
		}
	case what < 45:
		e.Kind, e.Name = operators.Tracked, "Product Added"
	case what < 50:
		e.Kind, e.Subject = operators.CampaignSent, "campaign"
	case what < 55:
		e.Kind, e.Subject = operators.CampaignClicked, "campaign"
	case what < 57:
		e.Kind, e.Subject = operators.TicketClosed, "ticket"
	default:
		e.Name = fmt.Sprintf("/article-%d", s.random.IntN(100))
		if what > 95 {
			e.ID = "" // known by its position alone: sent again it is another event
		}
	}
	value, err := schemas.EncodeEvent(nil, &e, currency)
	if err != nil {
		return message{}, err
	}
	m := message{customer: []byte(e.Customer), value: value, id: e.ID}
	if e.Kind.OfOrder() {
		m.order = e.OrderID
	}
	s.recent = append(s.recent, m)
	s.recent = s.recent[max(0, len(s.recent)-remembered):]
	return m, nil
}
