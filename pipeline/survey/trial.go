package survey

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"lull/operators"
	"lull/schemas"
)

// Trial is what becomes of the records of a sample, by the code that lull run reads them with.
type Trial struct {
	Records int `json:"records"`
	Events  int `json:"events"`
	Ignored int `json:"ignored"`
	Refused int `json:"refused"`
	// Kinds counts the events by kind, and Refusals the records by the reason for which they are refused, the most frequent first.
	Kinds    []Count   `json:"kinds"`
	Refusals []Refusal `json:"refusals"`
	Quality  Quality   `json:"quality"`

	// What the size is estimated by: events by customer, with those that lack but a rate for their currency, and how many of how many records they are.
	seen          map[string]int
	told, counted int
}

// Count is how many records have something.
type Count struct {
	Name    string `json:"name"`
	Records int    `json:"records"`
}

// Quality is what of the events is not as it should be, in counts.
type Quality struct {
	// Keyed is how many events have a key, and ByCustomer of how many it is the customer's id.
	Keyed      int `json:"keyed"`
	ByCustomer int `json:"keyed_by_customer"`
	// Repeated are events with the message id of one before them, and WithoutID those without one. Retold are orders told as completed once more, under another message id or none.
	Repeated  int `json:"repeated_ids"`
	WithoutID int `json:"without_message_id"`
	Retold    int `json:"orders_told_again"`
	// WithoutOrder are events of orders without an order id, or with that of the message for one: each counts as an order of its own.
	WithoutOrder int `json:"without_order_id"`
	// Ahead are events whose time is later than the record's Kafka timestamp and clock.max_skew: they are taken for it.
	Ahead int `json:"ahead"`
	// Behind are events older than the newest of their partition before them by more than clock.lateness. Late are those of them that are refused for it: orders and consents count however late they come.
	Behind int `json:"out_of_order"`
	Late   int `json:"late"`
	// Jumps are events that are ahead of the one before and the one after them in their partition by more than a week, which are of about one time: the time of one of them is wrong, or of those around it. Jump is the first.
	Jumps int   `json:"jumps"`
	Jump  *Jump `json:"first_jump"`
	// StepsBack are events more than a week older than the one before them in their partition, but for those after a jump: many there are in records sorted by customer.
	StepsBack int `json:"steps_back"`
	// LaterMs is how much later the Kafka timestamps are than the events' times, below 0 if they are earlier: the median, and what 99 of 100 do not exceed; nil without timestamps.
	LaterMs *[2]int64 `json:"timestamps_later_ms"`
	// Oldest and Newest are the events' times; operators.Unset without events.
	Oldest operators.EventTime `json:"-"`
	Newest operators.EventTime `json:"-"`
}

// Jump is where an event is that is far ahead of those around it.
type Jump struct {
	Partition int32               `json:"partition"`
	Offset    int64               `json:"offset"`
	Time      operators.EventTime `json:"time"`
}

// jumpMs is how far ahead of those around it an event is suspect, and how far these are apart at most.
const jumpMs = 7 * operators.DayMs

// jumps finds them, and the steps back: it holds the last two events of each partition.
type jumps struct {
	last map[int32][2]Jump
	q    *Quality
}

func (j *jumps) add(r *schemas.Source, time operators.EventTime) {
	at := j.last[r.Partition]
	before, between := at[0], at[1]
	switch {
	case between.Time-time <= jumpMs: // or there is none yet
	case before.Time != 0 && between.Time-before.Time > jumpMs && before.Time-time <= jumpMs && time-before.Time <= jumpMs:
		j.q.Jumps++
		if j.q.Jump == nil {
			j.q.Jump = &between
		}
	default:
		j.q.StepsBack++
	}
	j.last[r.Partition] = [2]Jump{between, {r.Partition, r.Offset, time}}
}

// Try decodes the records. lateMs is clock.lateness.
func Try(records []schemas.Source, decoder *schemas.Decoder, lateMs int64) *Trial {
	t := &Trial{Records: len(records), counted: len(records), seen: make(map[string]int), Quality: Quality{Oldest: operators.Unset, Newest: operators.Unset}}
	kinds := make(map[string]int)
	var refused refusals
	var later []int64
	ids, orders, newest := make(map[string]bool), make(map[string]bool), make(map[int32]operators.EventTime)
	q := &t.Quality
	ahead := jumps{make(map[int32][2]Jump), q}
	for i := range records {
		r := &records[i]
		var e operators.Event
		read := *r
		if r.AppendTime < schemas.TimeMin { // of a file: nothing is dated ahead then
			read.AppendTime = schemas.TimeEnd - 1
		}
		refusal := decoder.DecodeKeyless(&read, &e)
		t.countCustomer(&e, refusal)
		switch {
		case refusal == nil:
		case refusal.Reason == schemas.ReasonIgnored:
			t.Ignored++
			continue
		default:
			refused.add(refusal)
			t.Refused++
			continue
		}
		t.Events++
		kinds[e.Kind.String()]++
		ahead.add(r, e.Time)
		if len(r.Key) > 0 {
			q.Keyed++
			if string(r.Key) == e.Customer {
				q.ByCustomer++
			}
		}
		id, order := e.Customer+"\x00"+e.ID, e.Customer+"\x00"+e.OrderID
		switch {
		case e.ID == fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset):
			q.WithoutID++
		case ids[id]:
			q.Repeated++
		}
		switch {
		case ids[id] || !e.Kind.OfOrder():
		case e.OrderID == e.ID: // the decoder takes it where there is none
			q.WithoutOrder++
		case e.Kind == operators.OrderCompleted && orders[order]:
			q.Retold++
		}
		ids[id] = true
		orders[order] = orders[order] || e.Kind == operators.OrderCompleted
		if e.Clamped {
			q.Ahead++
		}
		if before, has := newest[r.Partition]; has && int64(before-e.Time) > lateMs {
			q.Behind++
			if !e.Kind.Fact() {
				q.Late++
			}
		} else if !has || e.Time > before {
			newest[r.Partition] = e.Time
		}
		if r.AppendTime >= schemas.TimeMin {
			later = append(later, int64(r.AppendTime-e.Time))
		}
		if q.Oldest == operators.Unset || e.Time < q.Oldest {
			q.Oldest = e.Time
		}
		q.Newest = max(q.Newest, e.Time)
	}
	if len(later) > 0 {
		slices.Sort(later)
		q.LaterMs = &[2]int64{later[len(later)/2], later[(len(later)*99)/100]}
	}
	t.Refusals = refused.list()
	t.Kinds = counted(kinds)
	return t
}

// counted returns counts by name, the most frequent first.
func counted(records map[string]int) (list []Count) {
	for name, n := range records {
		list = append(list, Count{name, n})
	}
	slices.SortFunc(list, func(a, b Count) int { return cmp.Or(b.Records-a.Records, cmp.Compare(a.Name, b.Name)) })
	return list
}

// countCustomer counts the customer of a record that becomes an event, or would if its currency had a rate.
func (t *Trial) countCustomer(e *operators.Event, refusal *operators.Rejection) {
	if refusal == nil || refusal.Reason == schemas.ReasonUnknownCurrency && e.Customer != "" {
		t.told++
		t.seen[e.Customer]++
	}
}

// Count adds the customers of further values, which follow those of the trial in a file, to those that the size is estimated by.
func (t *Trial) Count(values [][]byte, decoder *schemas.Decoder) {
	var e operators.Event
	for _, value := range values {
		t.countCustomer(&e, decoder.DecodeKeyless(&schemas.Source{Value: value, AppendTime: schemas.TimeEnd - 1}, &e))
	}
	t.counted += len(values)
}

// Unordered reports whether the records are not in the order of time: steps back are more than one in a hundred, and more than the jumps, which in such records are none.
func (t *Trial) Unordered() bool {
	return 100*t.Quality.StepsBack > t.Events && t.Quality.StepsBack > t.Quality.Jumps
}

// Of returns how many events of a kind there are.
func (t *Trial) Of(kinds ...operators.EventKind) (n int) {
	for _, c := range t.Kinds {
		if kind, ok := operators.KindNamed(c.Name); ok && slices.Contains(kinds, kind) {
			n += c.Records
		}
	}
	return n
}

// Customers returns how many different customers the events are of, with those whose currency has no rate.
func (t *Trial) Customers() int { return len(t.seen) }

// Ability is something that lull does with events, and whether these let it.
type Ability struct {
	Name string `json:"name"`
	Can  bool   `json:"can"`
	Says string `json:"says"` // by how many events, or what is missing
}

// Abilities returns what lull can do with the events of a trial, and what is missing for the rest.
func (t *Trial) Abilities() (list []Ability) {
	say := func(name string, can bool, yes, no string) {
		a := Ability{name, can, no}
		if can {
			a.Says = yes
		}
		list = append(list, a)
	}
	completed := t.Of(operators.OrderCompleted)
	say("value and risk", completed > 0, fmt.Sprintf("%d orders with an amount", completed), "no record becomes an order with an amount: scores, segments and churn triggers need such, from this topic or another")
	taken := t.Of(operators.OrderRefunded, operators.OrderCancelled)
	say("refunds and cancellations", taken > 0, fmt.Sprintf("%d of them, matched by order_id", taken), t.withoutRefunds(completed))
	active := t.Of(operators.PageViewed, operators.ScreenViewed, operators.Tracked)
	say("sessions", active > 0, fmt.Sprintf("%d views and actions", active), "there are no views or actions: sessions consist of orders alone")
	consents := t.Of(operators.ConsentGiven, operators.ConsentWithdrawn)
	say("consent", consents > 0, fmt.Sprintf("%d statements", consents), "there are none: rules that need a consent withhold their triggers")
	campaigns := t.Of(operators.CampaignSent, operators.CampaignDelivered, operators.CampaignOpened, operators.CampaignClicked)
	say("campaigns", campaigns > 0, fmt.Sprintf("%d contacts", campaigns), "there are none: who was written to is not known")
	tickets := t.Of(operators.TicketOpened, operators.TicketReplied, operators.TicketClosed)
	say("tickets", tickets > 0, fmt.Sprintf("%d of them", tickets), "there are none: an open complaint keeps no trigger back")
	unnamed := t.Events > 0 && t.Quality.WithoutID == t.Events
	say("repeats", t.Events > 0 && !unnamed, "what is sent twice counts once, by message_id", t.withoutIDs(completed))
	return list
}

func (t *Trial) withoutRefunds(completed int) string {
	if completed > 0 && 2*t.Quality.WithoutOrder > completed {
		return "most orders have no order_id but the message id: refunds and cancellations that name another are not matched to them, and an order told again under another message id counts twice"
	}
	return "there are none in the sample: value stays that of the orders"
}

func (t *Trial) withoutIDs(completed int) string {
	if completed > 0 && t.Quality.WithoutOrder == completed {
		return "there is no message id and no order_id: what the producer sends twice counts twice"
	}
	return "there is no message id: what the producer sends twice counts twice, but for orders, by order_id"
}

// isText reports whether bytes are a text that people read.
func isText(b []byte) bool {
	return utf8.Valid(b) && !slices.ContainsFunc([]rune(string(b)), func(c rune) bool { return c < ' ' && c != '\t' && c != '\n' && c != '\r' })
}

// shortened returns a text cut to a readable length.
func shortened(s string) string {
	const most = 40
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}

func compareTexts(a, b string) int { return strings.Compare(a, b) }
