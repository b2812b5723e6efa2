package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lull/operators"
	"lull/schemas"
)

const minute = 60_000

// TestAccount: a hand-written log of one customer, with what becomes of each record.
func TestAccount(t *testing.T) {
	a, err := newAccount()
	if err != nil {
		t.Fatal(err)
	}
	at := operators.EventTime(shopOpens)
	offset := int64(0)
	add := func(e operators.Event, cutOff int) {
		e.Customer = "c"
		value, err := schemas.EncodeEvent(nil, &e, currency)
		if err != nil {
			t.Fatal(err)
		}
		a.add(&schemas.Source{Topic: "events", Offset: offset, AppendTime: 2 * shopOpens, Key: []byte("c"), Value: value[:len(value)-cutOff]})
		offset++
	}
	page := operators.Event{Kind: operators.PageViewed, ID: "p", Time: at, Name: "/"}
	add(page, 0)
	add(page, 0) // sent again
	page.ID = ""
	add(page, 0)
	add(page, 0) // the position is the id: another event
	add(operators.Event{Kind: operators.OrderCompleted, ID: "o1", OrderID: "1", Amount: 1000, Time: at + 60*minute}, 0)
	page.ID, page.Time = "late", at+50*minute-1
	add(page, 0) // offset 5: late by a millisecond
	page.ID, page.Time = "not late", at+50*minute
	add(page, 0)
	add(operators.Event{Kind: operators.OrderCompleted, ID: "o2", OrderID: "2", Amount: 500, Time: at}, 0) // late, and a fact: in no session
	add(operators.Event{Kind: operators.OrderRefunded, ID: "r", OrderID: "1", RefundID: "r", Amount: 300, Time: at + 60*minute}, 0)
	add(operators.Event{Kind: operators.OrderCancelled, ID: "x", OrderID: "2", Time: at + 60*minute}, 0)
	add(operators.Event{Kind: operators.PageViewed, ID: "broken", Time: at + 60*minute, Name: "/"}, 1) // offset 10
	a.add(&schemas.Source{Topic: "events", Offset: offset, Headers: []schemas.Header{{Key: schemas.TimeMarkHeader, Value: []byte("2030-01-01T00:00:00Z")}}})

	if a.records != 12 || a.applied != 8 || a.repeated != 1 || a.marks != 1 {
		t.Errorf("%d records, %d applied, %d sent again, %d marks; want 12, 8, 1, 1", a.records, a.applied, a.repeated, a.marks)
	}
	if len(a.refused) != 2 || !a.refused[place("events", 0, 5)] || !a.refused[place("events", 0, 10)] {
		t.Errorf("refused are %v, want offsets 5 and 10", a.refused)
	}
	c := a.customers["c"]
	if cents, any := c.value(); c.activity != 5 || cents != 700 || !any {
		t.Errorf("%d events in sessions, %d cents, any order %v; want 5, 700, true", c.activity, cents, any)
	}
	if len(a.problems) > 0 {
		t.Error(a.problems)
	}
}

// TestShop: the same seed makes the same records, and odd ones of every sort are among them.
func TestShop(t *testing.T) {
	one, two := newShop(3, false), newShop(3, false)
	a, err := newAccount()
	if err != nil {
		t.Fatal(err)
	}
	const records = 20_000
	for i := range int64(records) {
		m, err := one.next()
		if err != nil {
			t.Fatal(err)
		}
		again, err := two.next()
		if err != nil || !bytes.Equal(m.value, again.value) || !bytes.Equal(m.customer, again.customer) {
			t.Fatalf("record %d differs (%v)", i, err)
		}
		a.add(&schemas.Source{Topic: "events", Offset: i, AppendTime: 2 * shopOpens, Key: m.customer, Value: m.value})
	}
	if a.applied+a.repeated+int64(len(a.refused)) != records || a.applied < records*8/10 || a.repeated < records/100 || len(a.refused) < records/100 {
		t.Errorf("%d records: %d applied, %d sent again, %d refused", records, a.applied, a.repeated, len(a.refused))
	}
	partly, gone := 0, 0
	for _, c := range a.customers {
		for _, o := range c.orders {
			if o.refunded > 0 {
				partly++
			}
			if o.cancelled {
				gone++
			}
			if o.refunded > o.cents && o.cents > 0 {
				t.Errorf("an order of %d cents has refunds of %d", o.cents, o.refunded)
			}
		}
	}
	if partly == 0 || gone == 0 {
		t.Errorf("%d orders were paid back in part and %d cancelled", partly, gone)
	}
}

// output is a record of a story.
type output struct {
	topic schemas.Topic
	key   string
	value []byte
	id    string
}

// smallStory returns the records of a story in which every topic has something.
func smallStory(t *testing.T) (list []output) {
	t.Helper()
	encoder, err := schemas.NewEncoder(schemas.EncoderConfig{Currency: currency})
	if err != nil {
		t.Fatal(err)
	}
	add := func(id string, o operators.Output) {
		o.Customer, o.ID = "c", operators.NewID(id)
		var r schemas.Record
		if err := encoder.EncodeOutput(&o, &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, output{r.Topic, string(r.Key), r.Value, fmt.Sprintf("%x", o.ID)})
	}
	for i := range operators.EventTime(2) {
		session := operators.Session{Start: shopOpens + i, End: shopOpens + i}
		session.Counts[operators.PageViewed] = 2
		add(fmt.Sprint("session", i), operators.Output{Kind: operators.SessionOutput, Session: &session})
		add(fmt.Sprint("trigger", i), operators.Output{Kind: operators.TriggerOutput, Trigger: &operators.Trigger{Rule: "r", Deadline: shopOpens},
			Cause: operators.Cause{Kind: operators.DeadlineInput, Deadline: shopOpens + i}})
		add(fmt.Sprint("score", i), operators.Output{Kind: operators.ScoreOutput, Score: &operators.ScoreRow{}, Model: fmt.Sprint("m", i)})
	}
	var r schemas.Record
	letter := schemas.DeadLetter{Rejection: operators.Rejection{Reason: "late"}, Source: &schemas.Source{Topic: "events", Partition: 1, Offset: 7, AppendTime: shopOpens}}
	if err := encoder.EncodeDeadLetter(&letter, &r); err != nil {
		t.Fatal(err)
	}
	return append(list, output{r.Topic, "", r.Value, "dead"})
}

func tell(t *testing.T, list []output) *story {
	t.Helper()
	s := newStory()
	for _, o := range list {
		headers := []schemas.Header{{Key: "ce_id", Value: []byte(o.id)}, {Key: "ce_source", Value: []byte("of no importance")}}
		if err := s.add(o.topic, o.key, o.value, headers); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// TestStories: what was lost, doubled, swapped or changed in a story is found, by the comparison with the oracle or by what must not be there twice.
func TestStories(t *testing.T) {
	whole := smallStory(t)
	oracle := tell(t, whole)
	if found := tell(t, whole).differences(oracle); len(found) > 0 {
		t.Errorf("a story differs from itself: %v", found)
	}
	if found := oracle.doubles(); len(found) > 0 {
		t.Errorf("doubles in a story that has none: %v", found)
	}
	for i, o := range whole {
		if o.topic == schemas.Scores && i < len(whole)/2 {
			continue // a row that a later one replaces
		}
		name := fmt.Sprintf("record %d, of %s", i, o.topic)
		lost := slices.Delete(slices.Clone(whole), i, i+1)
		if found := tell(t, lost).differences(oracle); len(found) == 0 || !strings.HasPrefix(found[0], o.topic.String()) {
			t.Errorf("%s is lost, and what is found is %v", name, found)
		}
		if o.topic == schemas.Scores {
			continue // a row may be written again
		}
		doubled := tell(t, append(slices.Clone(whole), o))
		if found := doubled.differences(oracle); len(found) == 0 {
			t.Errorf("%s is there twice, and the comparison does not find it", name)
		}
		if found := doubled.doubles(); len(found) == 0 {
			t.Errorf("%s is there twice, and doubles does not find it", name)
		}
	}
	swapped := slices.Clone(whole)
	swapped[0], swapped[3] = swapped[3], swapped[0]
	if found := tell(t, swapped).differences(oracle); len(found) == 0 {
		t.Error("two sessions of a customer changed places, and it is not found")
	}
}

// TestAccountAgainstStory: the account finds a session that is short of an event, a dead letter that should not be, and one that is missing.
func TestAccountAgainstStory(t *testing.T) {
	a, err := newAccount()
	if err != nil {
		t.Fatal(err)
	}
	a.customers["c"] = &ledger{activity: 4}
	a.refused[place("events", 1, 7)] = true
	whole := smallStory(t)
	rows := func(o output) bool { return o.topic == schemas.Scores } // this customer has no order
	whole = slices.DeleteFunc(whole, rows)
	if found := a.check(tell(t, whole), 0); len(found) > 0 {
		t.Errorf("nothing is wrong, and found is %v", found)
	}
	if found := a.check(tell(t, whole), 1); len(found) != 1 {
		t.Errorf("the input lost a record, and found is %v", found)
	}
	if found := a.check(tell(t, whole[1:]), 0); len(found) != 1 || !strings.Contains(found[0], "2 events in sessions, and sent 4") {
		t.Errorf("a session is missing, and found is %v", found)
	}
	if found := a.check(tell(t, whole[:len(whole)-1]), 0); len(found) != 1 || !strings.Contains(found[0], "is no dead letter") {
		t.Errorf("a dead letter is missing, and found is %v", found)
	}
	delete(a.refused, place("events", 1, 7))
	if found := a.check(tell(t, whole), 0); len(found) != 1 || !strings.Contains(found[0], "nothing is wrong with") {
		t.Errorf("a dead letter too many, and found is %v", found)
	}
}
