package pipeline

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"lull/operators"
	"lull/schemas"
)

// contentTypes counts a topic's records by their content type; "" is that of deletions.
func contentTypes(records []*kgo.Record) map[string]int {
	found := make(map[string]int)
	for _, r := range records {
		found[headerOf(r, schemas.ContentTypeHeader)]++
	}
	return found
}

func headerOf(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// TestOutputFormats proves that each topic is written in the format of its setting, that what is told is the same in every one, by the digest, and that a setting which is changed
// between two starts leaves a topic of both and needs no other state.
func TestOutputFormats(t *testing.T) {
	c := newCluster(t)
	registry := newFakeRegistry(t)
	run := func(before, after OutputSettings) (*Settings, string) {
		s := c.application(2)
		s.Registry.URL = []string{registry.front.URL}
		c.publish(&s)
		events := c.history(&s)
		for i, outputs := range []OutputSettings{before, after} {
			s.Outputs = outputs
			s.EnsureDefaults()
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			p := c.run(s)
			c.produce(events[i*len(events)/2 : (i+1)*len(events)/2]...)
			if i == 1 {
				c.mark(&s, "2026-01-01T00:00:00Z")
			}
			c.await(&s, p)
			p.end()
		}
		return &s, c.digest(&s)
	}
	plain, want := run(OutputSettings{}, OutputSettings{})
	if found := contentTypes(c.read(plain.Topic(TriggersTopic))); len(found) != 1 || found["application/avro"] == 0 {
		t.Errorf("triggers are %v by default", found)
	}
	mixed, got := run(
		OutputSettings{Sessions: "json", Scores: "registry-avro", Segments: "avro", Triggers: "json"},
		OutputSettings{Sessions: "registry-avro", Scores: "json", Segments: "json", Triggers: "json"})
	if got != want {
		t.Errorf("the digest is %s, and %s of the same as Avro", got, want)
	}
	for topic, of := range map[string][]string{
		SessionsTopic: {"application/json", "application/vnd.confluent.avro"}, ScoresTopic: {"application/vnd.confluent.avro", "application/json"},
		SegmentsTopic: {"application/avro", "application/json"}, TriggersTopic: {"application/json"}, DeadLettersTopic: {},
	} {
		found := contentTypes(c.read(mixed.Topic(topic)))
		delete(found, "")
		for _, contentType := range of {
			if found[contentType] == 0 {
				t.Errorf("%s are %v, none is %s", topic, found, contentType)
			}
		}
		if len(found) != len(of) {
			t.Errorf("%s are %v, and not %v alone", topic, found, of)
		}
	}
}

// TestOutputRegistry proves what a start does about the schemas of outputs: while the registry does not answer and no id is known, it waits and says so; then it registers them; a later
// outage holds up no commit, nor does a start in one; and a schema that the registry does not take, or does not have and is not to be given, is told with subject and remedy.
func TestOutputRegistry(t *testing.T) {
	fake := newFakeRegistry(t)
	var refuses atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuses.Load() && r.Method == http.MethodPost {
			http.Error(w, `{"error_code": 409, "message": "field mood is missing"}`, http.StatusConflict)
			return
		}
		fake.front.Config.Handler.ServeHTTP(w, r)
	}))
	defer front.Close()
	client, err := sr.NewClient(sr.URLs(front.URL))
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t)
	s := c.application(1)
	s.Outputs.Triggers, s.Outputs.Scores, s.Registry.URL, s.HTTP.Listen = "registry-avro", "registry-avro", []string{front.URL}, freeAddress(t)
	c.publish(&s)
	n := 0
	order := func() {
		n++
		c.produce(c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: fmt.Sprint("c", n), ID: fmt.Sprint(n), OrderID: fmt.Sprint(n), Time: instant(t, "2024-03-01T10:00:00Z"), Amount: 1000}))
	}

	fake.down.Store(true)
	p := c.run(s)
	awaitReadiness(t, &s, p, "does not answer: the id of subject \\\""+s.Prefix+"scores-value\\\" is not known yet")
	awaitReadiness(t, &s, p, "it is being upgraded")
	fake.down.Store(false)
	order()
	c.await(&s, p)
	fake.down.Store(true)
	order()
	c.await(&s, p)
	p.end()
	p = c.run(s)
	order()
	c.await(&s, p)
	p.end()
	rows := c.read(s.Topic(ScoresTopic))
	if len(rows) != n {
		t.Errorf("%d rows of %d customers", len(rows), n)
	}
	fake.down.Store(false)
	known, err := client.LookupSchema(t.Context(), s.Prefix+"scores-value", sr.Schema{Schema: schemas.Scores.Schema()})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Value[0] != 0 || binary.BigEndian.Uint32(r.Value[1:]) != uint32(known.ID) {
			t.Errorf("a row begins with %x, and not with the id %d", r.Value[:5], known.ID)
		}
	}

	refuses.Store(true)
	p = c.run(s)
	awaitReadiness(t, &s, p, "subject \\\""+s.Prefix+"scores-value\\\": the registry does not take the schema of this version: field mood is missing: `lull schemas check` tells what is not compatible")
	refuses.Store(false)
	awaitReadiness(t, &s, p, `"ready":true`)
	p.end()

	s.Outputs.Subjects, s.Outputs.OnUnregistered = "record", "refuse"
	p = c.run(s)
	awaitReadiness(t, &s, p, "subject \\\"lull.Score\\\": the registry does not have the schema of this version, and outputs.on_unregistered is refuse: `lull schemas register` puts it there")
	for _, topic := range []schemas.Topic{schemas.Scores, schemas.Triggers} {
		if _, err := client.CreateSchema(t.Context(), topic.FullName(), sr.Schema{Schema: topic.Schema()}); err != nil {
			t.Fatal(err)
		}
	}
	awaitReadiness(t, &s, p, `"ready":true`)
	p.end()
	if text, err := os.ReadFile(filepath.Join(s.State.Dir, outputSchemaCacheFile)); err != nil || !strings.Contains(string(text), `"subject": "lull.Score"`) {
		t.Errorf("kept is %s, %v", text, err)
	}
}

// TestOutputSettings proves what is said about formats of outputs that cannot be.
func TestOutputSettings(t *testing.T) {
	for want, set := range map[string]func(s *Settings){
		`outputs.scores is "csv": it must be one of avro, registry-avro, json`:       func(s *Settings) { s.Outputs.Scores = "csv" },
		`outputs.subjects is "both": it must be one of topic, record`:                func(s *Settings) { s.Outputs.Subjects = "both" },
		`outputs.on_unregistered is "wait": it must be one of register, refuse`:      func(s *Settings) { s.Outputs.OnUnregistered = "wait" },
		`registry.url is empty: outputs.segments registry-avro needs the URL of the`: func(s *Settings) { s.Outputs.Segments = "registry-avro" },
		`registry.url is "registry:8081"`: func(s *Settings) {
			s.Outputs.Segments, s.Registry.URL = "registry-avro", []string{"registry:8081"}
		},
	} {
		s := DefaultSettings()
		s.Input.Topic = "shop"
		s.EnsureDefaults()
		set(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}
