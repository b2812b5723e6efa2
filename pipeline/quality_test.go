package pipeline

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
)

// TestQualityOfSources: what is wrong with the records of an input is counted once each, by topic in the metrics, by topic and day in the topic quality, and with the customer, where it is known whose they were; by a task alone as behind a first
// stage, and in all after a restart.
func TestQualityOfSources(t *testing.T) {
	for _, staged := range []bool{false, true} {
		t.Run(fmt.Sprintf("staged %v", staged), func(t *testing.T) {
			c := newCluster(t)
			s := c.application(1)
			topic := s.Input.Topic
			if staged {
				s = c.staged()
				s.Inputs = map[string]TopicInput{topic: {}}
			}
			s.HTTP.Listen = freeAddress(t)
			begin := instant(t, "2025-03-01T00:00:00Z")
			const hour = operators.EventTime(3_600_000)
			ordered := func(customer, id string, at operators.EventTime, currency string) *kgo.Record {
				value, err := schemas.EncodeEvent(nil, &operators.Event{Kind: operators.OrderCompleted, ID: id, Customer: customer, Time: at, OrderID: id, Amount: 1000}, currency)
				if err != nil {
					t.Fatal(err)
				}
				return &kgo.Record{Topic: topic, Key: []byte(customer), Value: value}
			}
			page, err := schemas.EncodeEvent(nil, &operators.Event{Kind: operators.PageViewed, ID: "p", Customer: "ann", Time: begin - 48*hour, Name: "home"}, "USD")
			if err != nil {
				t.Fatal(err)
			}
			p := c.run(s)
			c.produce(
				ordered("ann", "a", begin+hour, "USD"), ordered("bob", "b", begin+2*hour, "USD"), ordered("cy", "c", begin+3*hour, "USD"),
				ordered("ann", "a", begin+hour, "USD"),
				&kgo.Record{Topic: topic, Key: []byte("ann"), Value: page},
				ordered("bob", "b2", begin-48*hour, "USD"),
				ordered("cy", "c2", begin+3*hour, "XTS"),
				&kgo.Record{Topic: topic, Key: []byte("eve"), Value: rawEvent(map[string]any{"amount": nil})},
			)
			c.await(&s, p)
			p.end()
			p = c.run(s)
			c.produce(
				&kgo.Record{Topic: topic, Key: []byte("ann"), Value: []byte("no event")},
				ordered("ann", "a2", begin+100*365*24*hour, "USD"),
				ordered("bob", "b3", begin+4*hour, "USD"),
			)
			awaitAnswer(t, &s, p, "/metrics", `lull_source_records_total{fault="clock_skewed",topic="`+topic+`"} 1`)
			awaitAnswer(t, &s, p, "/metrics", `lull_source_records_total{fault="invalid",topic="`+topic+`"} 1`)
			if metrics := ask(&s, "/metrics"); strings.Contains(metrics, `fault="late",topic="`+topic+`"} 2`) {
				t.Errorf("what the process before has counted is counted again:\n%s", metrics)
			}
			c.mark(&s, "2025-03-10T00:00:00Z")
			c.await(&s, p)
			p.end()

			rows := make(map[string]schemas.Quality) // compacted
			for _, r := range c.read(s.Topic(QualityTopic)) {
				q, err := schemas.DecodeQuality(r.Key, r.Value)
				if err != nil {
					t.Fatal(err)
				}
				if over := rows[string(r.Key)]; over.Over || over.Records > q.Records {
					t.Errorf("%+v was followed by %+v", over, q)
				}
				rows[string(r.Key)] = q
			}
			var sum schemas.Quality
			for key, q := range rows {
				if q.Source != topic || !q.Over {
					t.Errorf("%s: %+v", key, q)
				}
				sum.Records += q.Records
				sum.Invalid += q.Invalid
				sum.MissingField += q.MissingField
				sum.UnknownCurrency += q.UnknownCurrency
				sum.ClockSkewed += q.ClockSkewed
				sum.Duplicate += q.Duplicate
				sum.Late += q.Late
			}
			if want := (schemas.Quality{Records: 11, Invalid: 1, MissingField: 1, UnknownCurrency: 1, ClockSkewed: 1, Duplicate: 1, Late: 2}); sum != want {
				t.Errorf("told %+v, want %+v, by %+v", sum, want, rows)
			}
			faults := make(map[string]operators.Faults)
			for _, r := range c.read(s.Topic(ChangelogTopic)) {
				if id, ok := task.CustomerOf(r.Key); ok {
					var customer operators.Customer
					if err := customer.DecodeState(r.Value); err != nil {
						t.Fatal(err)
					}
					faults[string(id)] = customer.Faults
				}
			}
			want := map[string]operators.Faults{
				"ann": {operators.Duplicate: 1, operators.LateEvent: 1, operators.ClockSkewed: 1}, "bob": {operators.LateEvent: 1}, "cy": {operators.UnknownCurrency: 1},
			}
			if !staged { // the key tells whose record it was that cannot be read
				ann := want["ann"]
				ann[operators.Invalid] = 1
				want["ann"] = ann
			}
			if !maps.Equal(faults, want) {
				t.Errorf("customers have %v, want %v", faults, want)
			}
		})
	}
}
