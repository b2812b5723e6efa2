package pipeline

import (
	"encoding/binary"

	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"lull/operators"
	"lull/schemas"
)

// raw returns a record of the input with this value.
func raw(s *Settings, key, value string) *kgo.Record {
	r := &kgo.Record{Topic: s.Input.Topic, Value: []byte(value)}
	if key != "" {
		r.Key = []byte(key)
	}
	return r
}

// TestSegment proves that calls of the Segment specification go in and scores, sessions, segments and the trigger of silence come out; that what concerns nobody known is
// passed over and counted; and that what is wrong becomes a dead letter.
func TestSegment(t *testing.T) {
	c := newCluster(t)
	s := c.application(3)
	s.Input.Format, s.HTTP.Listen = "segment-json", freeAddress(t)
	c.publish(&s)
	call := `{"type":"track","event":"Order Completed","messageId":"%s","userId":"%s","originalTimestamp":"%sT09:58:00Z","sentAt":"%[3]sT09:58:00Z","receivedAt":"%[3]sT10:00:00Z",` +
		`"properties":{"order_id":"o-%[1]s","total":25.00,"currency":"USD"}}`
	for _, day := range []string{"2024-01-01", "2024-01-15", "2024-02-01"} {
		for _, customer := range []string{"ann", "bob", "cy"} {
			c.produce(raw(&s, customer, fmt.Sprintf(`{"type":"page","name":"Home","messageId":"p-%s-%s","userId":"%[1]s","timestamp":"%[2]sT09:55:00Z"}`, customer, day)))
			c.produce(raw(&s, customer, fmt.Sprintf(call, customer+day, customer, day)), raw(&s, customer, fmt.Sprintf(call, customer+day, customer, day)))
		}
	}
	c.produce(
		raw(&s, "a-9", `{"type":"page","name":"Home","messageId":"p-1","anonymousId":"a-9","timestamp":"2024-02-01T09:55:00Z"}`),
		raw(&s, "", `{"type":"page","name":"Home","messageId":"p-2","anonymousId":"a-10","timestamp":"2024-02-01T09:55:00Z"}`),
		raw(&s, "ann", `{"type":"track","event":"Order Completed","userId":"ann","messageId":"x","timestamp":"2024-02-01T09:55:00Z","properties":{"total":"a lot"}}`),
		raw(&s, "ann", `{"type":`),
	)
	c.mark(&s, "2024-12-31T00:00:00Z")
	p := c.run(s)
	c.await(&s, p)
	awaitAnswer(t, &s, p, "/metrics", `lull_input_records_total{outcome="ignored"} 2`)
	awaitAnswer(t, &s, p, "/metrics", `lull_input_records_total{outcome="duplicate"} 9`)
	p.end()
	count := map[string]int{}
	for _, topic := range []string{SessionsTopic, ScoresTopic, SegmentsTopic, TriggersTopic, DeadLettersTopic} {
		count[topic] = len(c.read(s.Topic(topic)))
	}
	if count[SessionsTopic] != 9 || count[TriggersTopic] != 3 || count[DeadLettersTopic] != 2 || count[ScoresTopic] == 0 || count[SegmentsTopic] < 6 {
		t.Errorf("outputs: %v\n%s", count, p.log)
	}
	for _, r := range c.read(s.Topic(ScoresTopic)) {
		row, err := schemas.DecodeOutput(schemas.Scores, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		if row.Get("customer_id") == "ann" && row.Get("orders") == int64(3) && row.Get("realized_value") == int64(7500) {
			return
		}
	}
	t.Error("no row tells of three orders of 25.00")
}

// TestOtherKeys proves that a topic which is keyed by something else than the customer is refused at start, with what to do, and that one stray key is not.
func TestOtherKeys(t *testing.T) {
	c := newCluster(t)
	s := c.application(2)
	s.Input.Format, s.HTTP.Listen = "segment-json", freeAddress(t)
	for i := range 30 {
		c.produce(raw(&s, fmt.Sprint("order-", i), fmt.Sprintf(`{"type":"page","name":"Home","messageId":"p-%d","userId":"u-%[1]d","timestamp":"2024-02-01T09:55:00Z"}`, i)))
	}
	p := c.run(s)
	err := <-p.done
	var keys *KeysError
	if !errors.As(err, &keys) {
		t.Fatalf("the process ended with %v", err)
	}
	number := strings.TrimPrefix(keys.Key, "order-")
	if want := fmt.Sprintf("topic %q is not keyed by customer: of the newest 30 events none has its customer's id for its key (one has the key \"order-%s\", and the customer \"u-%s\"). By the key a customer's events "+
		"are in one partition, and so in one state. Let the producer key its records by the customer's id; or name the topic under inputs instead of input.topic, and lull brings "+
		"each event to its customer's partition", s.Input.Topic, number, number); err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	c.produce(raw(&s, "ann", `{"type":"page","name":"Home","messageId":"p-1","userId":"ann","timestamp":"2024-02-01T09:55:00Z"}`))
	p = c.run(s)
	c.await(&s, p)
	awaitReadiness(t, &s, p, "have another key than their customer's id")
	p.end()
	if n := len(c.read(s.Topic(DeadLettersTopic))); n != 30 {
		t.Errorf("%d dead letters, want 30", n)
	}
}

// fakeRegistry is a schema registry that can be made not to answer.
type fakeRegistry struct {
	*srfake.Registry
	front *httptest.Server
	down  atomic.Bool
	asked atomic.Int64
}

func newFakeRegistry(t *testing.T) *fakeRegistry {
	f := &fakeRegistry{Registry: srfake.New()}
	t.Cleanup(f.Close)
	f.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.asked.Add(1)
		if f.down.Load() {
			http.Error(w, `{"error_code": 50001, "message": "it is being upgraded"}`, http.StatusInternalServerError)
			return
		}
		f.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(f.front.Close)
	return f
}

// framed returns an event in the wire format.
func framed(t *testing.T, s *Settings, id int, e operators.Event) *kgo.Record {
	t.Helper()
	value, err := schemas.EncodeEvent(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), &e, s.Money.Currency)
	if err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{Topic: s.Input.Topic, Key: []byte(e.Customer), Value: value}
}

// TestRegistryOutage proves that a registry which does not answer holds nobody up but the partition with a record of an unknown schema: records of known schemas go on in
// the others, /readyz names the partition, and it goes on without a restart when the registry answers; that the known schemas outlive a restart during an outage; that an id which the
// registry does not have is a dead letter; and that with on_unavailable dead-letter nothing waits.
func TestRegistryOutage(t *testing.T) {
	f := newFakeRegistry(t)
	client, err := sr.NewClient(sr.URLs(f.front.URL))
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t)
	s := c.application(2)
	s.Input.Format, s.Registry.URL, s.HTTP.Listen = "registry-avro", []string{f.front.URL}, freeAddress(t)
	c.publish(&s)
	register := func(subject, doc string) int {
		text := strings.Replace(schemas.Events.Schema(), `"One thing`, `"`+doc+` One thing`, 1)
		known, err := client.CreateSchema(t.Context(), subject, sr.Schema{Schema: text})
		if err != nil {
			t.Fatal(err)
		}
		return known.ID
	}
	known := register("shop", "1.")
	where := newPlacement(2)
	in := map[int32]string{} // a customer of each partition
	for _, customer := range []string{"ann", "bob", "cy", "dee", "eve", "flo"} {
		in[where.of([]byte(customer))] = customer
	}
	n := 0
	order := func(partition int32, id int) *kgo.Record {
		n++
		return framed(t, &s, id, operators.Event{Kind: operators.OrderCompleted, Customer: in[partition], ID: fmt.Sprint(n), OrderID: fmt.Sprint(n), Time: instant(t, "2024-03-01T10:00:00Z"), Amount: 1000})
	}
	c.produce(order(0, known), order(1, known))
	p := c.run(s)
	c.await(&s, p)
	awaitReadiness(t, &s, p, `"ready":true`)

	f.down.Store(true)
	next := known + 1
	c.produce(order(1, known), order(1, next), order(1, known), order(0, known), order(0, known))
	awaitReadiness(t, &s, p, fmt.Sprintf("partition 1 stands still at offset 2 until the schema registry has answered for schema %d", next))
	awaitReadiness(t, &s, p, "it is being upgraded")
	awaitReadiness(t, &s, p, `"0":{"phase":"running","position":`)
	for _, says := range []string{`"partition":1,"offset":2,`, fmt.Sprintf(`"awaits":"schema %d`, next), "the partition stands still until the schema registry answers"} {
		if log := p.log.String(); !strings.Contains(log, says) {
			t.Errorf("the log has no %s:\n%s", says, log)
		}
	}
	awaitAnswer(t, &s, p, "/metrics", `lull_input_records_total{outcome="applied"} 5`)
	p.end()

	// A process that starts now knows what was known.
	p = c.run(s)
	c.produce(order(0, known))
	awaitAnswer(t, &s, p, "/metrics", `lull_input_records_total{outcome="applied"} 1`)
	awaitReadiness(t, &s, p, "stands still at offset")
	f.down.Store(false)
	if id := register("shop", "2."); id != next {
		t.Fatalf("the next id is %d, not %d", id, next)
	}
	c.await(&s, p)
	awaitReadiness(t, &s, p, `"ready":true`)

	c.produce(order(0, 4711), raw(&s, in[0], "no frame"), order(0, known))
	c.await(&s, p)
	p.end()
	if got := reasons(t, c, &s); got != "no_schema_id schema_unknown" {
		t.Errorf("dead letters for %s", got)
	}

	f.down.Store(true)
	s.Registry.OnUnavailable = "dead-letter"
	p = c.run(s)
	c.produce(order(1, next+1), order(1, next))
	c.await(&s, p)
	p.end()
	if log := p.log.String(); strings.Contains(log, "stands still") {
		t.Errorf("nothing stands still, and the log says so:\n%s", log)
	}
	if got := reasons(t, c, &s); got != "no_schema_id schema_unavailable schema_unknown" {
		t.Errorf("dead letters for %s", got)
	}
	if n := f.asked.Load(); n > 200 {
		t.Errorf("the registry was asked %d times", n)
	}
}

// reasons returns those of the dead letters, sorted.
func reasons(t *testing.T, c *cluster, s *Settings) string {
	t.Helper()
	var found []string
	for _, r := range c.read(s.Topic(DeadLettersTopic)) {
		letter, err := schemas.DecodeOutput(schemas.DeadLetters, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, letter.Get("reason").(string))
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

// TestInputSettings proves what is said about settings of the input that do not go together.
func TestInputSettings(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		change func(s *Settings)
		want   string // "": nothing is wrong
	}{
		{func(s *Settings) { s.Input.Format = "xml" }, `input.format is "xml": it must be one of avro, registry-avro, avro-schema, segment-json, json, csv`},
		{func(s *Settings) { s.Input.Format = "segment-json" }, ""},
		{func(s *Settings) { s.Input.Format = "json" }, "input.mapping is missing"},
		{func(s *Settings) { s.Input.Format, s.Input.Mapping = "json", filepath.Join(dir, "none.yaml") }, "input.mapping: open "},
		{func(s *Settings) {
			s.Input.Format, s.Input.Mapping = "json", file("bad.yaml", "version: 1\nrules: [{kind: page}]\n")
		}, "bad.yaml:\nline 2, column 9: page events need customer_id"},
		{func(s *Settings) { s.Input.Format, s.Input.Schema = "avro-schema", filepath.Join(dir, "none.avsc") }, "input.schema: open "},
		{func(s *Settings) {
			s.Input.Format, s.Input.Schema = "avro-schema", file("event.avsc", schemas.Events.Schema())
		}, ""},
		{func(s *Settings) { s.Input.Format = "registry-avro" }, "registry.url is empty"},
		{func(s *Settings) { s.Input.Format, s.Registry.URL = "registry-avro", []string{"registry:8081"} }, `registry.url is "registry:8081": it must be a URL such as http://registry:8081`},
		{func(s *Settings) {
			s.Input.Format, s.Registry.URL = "registry-avro", []string{"http://me:secret@registry:8081"}
		}, "registry.url holds a login"},
		{func(s *Settings) {
			s.Input.Format, s.Registry.URL = "registry-avro", []string{"me:secret@registry:8081"}
		}, "registry.url holds a login"},
		{func(s *Settings) { s.Registry.Username = "me" }, `registry.username is "me" and registry.password_file is ""`},
		{func(s *Settings) { s.Registry.Username, s.Registry.PasswordFile = "me", file("empty", "\n") }, "is empty: it must hold the password"},
		{func(s *Settings) { s.Registry.CAFile = file("ca.pem", "no certificate") }, "there is no certificate in it"},
		{func(s *Settings) { s.Registry.Timeout = time.Hour }, "registry.timeout is 1h0m0s: it must be at least 1ms and at most 1m0s"},
		{func(s *Settings) { s.Registry.OnUnavailable = "drop" }, `registry.on_unavailable is "drop": it must be one of wait, dead-letter`},
	} {
		s := Settings{Input: InputSettings{Topic: "shop"}}
		s.EnsureDefaults()
		c.change(&s)
		err := s.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("a password is shown: %v", err)
		}
	}
}

// TestInputIsNotInShape proves that neither the format nor the mapping is part of what a state is refused for.
func TestInputIsNotInShape(t *testing.T) {
	var was Settings
	was.EnsureDefaults()
	is := was
	is.Input.Format, is.Input.Mapping, is.Input.Schema = "json", "mapping.yaml", "order.avsc"
	if was.shape(8).Fingerprint() != is.shape(8).Fingerprint() {
		t.Error("the shape has changed")
	}
}
