package pipeline

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/schemas"
)

// contract is an AsyncAPI document that records are held against.
type contract struct {
	t        *testing.T
	document asyncDocument
	compiler *jsonschema.Compiler
}

// readContract reads the document of an application. What it leaves open, it excludes: a field or a header that it does not name is found.
func readContract(t *testing.T, s *Settings) *contract {
	t.Helper()
	text, err := s.AsyncAPI()
	if err != nil {
		t.Fatal(err)
	}
	k := &contract{t: t, compiler: jsonschema.NewCompiler()}
	if err := json.Unmarshal(text, &k.document); err != nil {
		t.Fatal(err)
	}
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	exclude(whole.(map[string]any)["components"])
	k.compiler.DefaultDraft(jsonschema.Draft7)
	k.compiler.AssertFormat()
	if err := k.compiler.AddResource("asyncapi.json", whole); err != nil {
		t.Fatal(err)
	}
	return k
}

// exclude lets no object of a schema have other members than those that it names.
func exclude(schema any) {
	switch v := schema.(type) {
	case map[string]any:
		if v["type"] == "object" && v["properties"] != nil {
			v["additionalProperties"] = false
		}
		for _, below := range v {
			exclude(below)
		}
	case []any:
		for _, below := range v {
			exclude(below)
		}
	}
}

// holds returns why a value is not what the schema at a place of the document says.
func (k *contract) holds(place string, value any) error {
	k.t.Helper()
	schema, err := k.compiler.Compile("asyncapi.json#" + place)
	if err != nil {
		k.t.Fatal(err)
	}
	return schema.Validate(value)
}

// check holds a record of a channel against the messages that it may have: it must be exactly one of them.
func (k *contract) check(channel string, r *kgo.Record) (is string) {
	k.t.Helper()
	var fits, wrong []string
	for name := range k.document.Channels[channel].Messages {
		if why := k.differs(channel, name, r); why == "" {
			fits = append(fits, name)
		} else {
			wrong = append(wrong, name+": "+why)
		}
	}
	if len(fits) != 1 {
		k.t.Errorf("%s, offset %d is each of %v: %v", channel, r.Offset, fits, wrong)
		return ""
	}
	return fits[0]
}

// differs returns why a record is not a message, "" if it is.
func (k *contract) differs(channel, name string, r *kgo.Record) string {
	k.t.Helper()
	message, place := k.document.Components.Messages[name], "/components/messages/"+name
	headers := make(map[string]any)
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	if message.Headers != nil {
		if err := k.holds(place+"/headers", headers); err != nil {
			return err.Error()
		}
	}
	if binding := message.Bindings.Kafka.(map[string]any); binding["key"] != nil && r.Key != nil {
		if err := k.holds(place+"/bindings/kafka/key", string(r.Key)); err != nil {
			return err.Error()
		}
	}
	payload, _ := message.Payload.(map[string]any)
	text, err := json.Marshal(payload["schema"])
	if err != nil {
		k.t.Fatal(err)
	}
	of, _ := schemas.TopicNamed(channel)
	switch {
	case payload["schemaFormat"] == nil && payload["$ref"] == nil: // a null value
		return said(k.holds(place+"/payload", shownAs(k.t, r.Value)))
	case r.Value == nil:
		return "its value is null"
	case payload["schemaFormat"] == nil:
		return said(k.holds(place+"/payload", shownAs(k.t, r.Value)))
	case message.ContentType == schemas.RegistryAvro.ContentType() && (len(r.Value) < 5 || r.Value[0] != 0):
		return "it has no id of a schema"
	}
	plain, err := schemas.PlainAvro(of, message.ContentType, r.Value)
	if err != nil {
		return err.Error()
	}
	schema, err := avro.Parse(string(text))
	if err != nil {
		k.t.Fatal(err)
	}
	var value any
	if rest, err := schema.Decode(plain, &value); err != nil || len(rest) > 0 {
		return "it is no Avro by the schema in the document"
	}
	fields, err := schemas.DecodeOutput(of, plain)
	if err != nil {
		return err.Error()
	}
	shown, err := fields.MarshalJSON()
	if err != nil {
		k.t.Fatal(err)
	}
	return said(k.holds("/components/schemas/"+of.TypeName(), shownAs(k.t, shown)))
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// shownAs returns JSON as the validator takes it; null for no value, and a text for what is no JSON.
func shownAs(t *testing.T, value []byte) any {
	t.Helper()
	if value == nil {
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		return string(value)
	}
	return v
}

// TestAsyncAPI proves that every record that a run reads and writes, in each format, is one of the messages that the AsyncAPI document names for its topic: by key, headers and value,
// the value by the Avro schema in the document and by its JSON Schema; that every message is there; and that a header or a field more would be found.
func TestAsyncAPI(t *testing.T) {
	c := newCluster(t)
	registry := newFakeRegistry(t)
	for name, outputs := range map[string]OutputSettings{
		"avro":          {},
		"json":          {Sessions: "json", Scores: "json", Segments: "json", Triggers: "json", Offers: "json"},
		"registry-avro": {Sessions: "registry-avro", Scores: "registry-avro", Segments: "registry-avro", Triggers: "registry-avro", Offers: "registry-avro", Subjects: "record"},
	} {
		s := c.application(2)
		s.Outputs, s.Registry.URL = outputs, []string{registry.front.URL}
		s.Fit.Mode, s.Fit.StatisticsEvery = "demand", 50*time.Millisecond
		s.EnsureDefaults()
		c.publish(&s)
		bought := operators.Event{Kind: operators.OrderCompleted, Customer: "gone", ID: "gone-1", OrderID: "gone-1", Time: instant(t, "2024-01-01T00:00:00Z"), Amount: 1000}
		regretted := bought
		regretted.Kind, regretted.ID, regretted.Time = operators.OrderCancelled, "gone-2", bought.Time+1000
		c.produce(c.event(&s, bought))
		p := c.run(s)
		c.await(&s, p)
		c.produce(append(c.history(&s), c.event(&s, regretted), raw(&s, "eve", "no Avro"))...)
		c.mark(&s, "2026-01-01T00:00:00Z")
		c.await(&s, p)
		c.awaitStatistics(&s, 2, instant(t, "2026-01-01T00:00:00Z"))
		c.ask(&s)
		c.verdicts(&s, 1)
		p.end()
		key, value, err := schemas.EncodeRedrive(&schemas.Redrive{Reason: "malformed", Topic: s.Input.Topic, Origin: s.Input.Topic + "/0/7"})
		if err != nil {
			t.Fatal(err)
		}
		c.produce(&kgo.Record{Topic: s.Topic(RedrivesTopic), Key: key, Value: value})

		k := readContract(t, &s)
		found := make(map[string]int)
		for _, channel := range slices.Sorted(maps.Keys(k.document.Channels)) {
			records := c.read(k.document.Channels[channel].Address)
			for _, r := range records {
				if channel == schemas.Events.String() && string(r.Value) == "no Avro" {
					continue
				}
				found[k.check(channel, r)]++
			}
			if len(records) == 0 {
				t.Errorf("%s: %s is empty", name, channel)
			}
		}
		for message := range k.document.Components.Messages {
			if found[message] == 0 && message != "StatisticsDeleted" { // parts of a statistic go as customers do
				t.Errorf("%s: no record was a %s: %v", name, message, found)
			}
		}
		row := c.read(s.Topic(SessionsTopic))[0]
		if why := k.differs(SessionsTopic, "Session", row); why != "" {
			t.Error(why)
		}
		row.Headers = append(row.Headers, kgo.RecordHeader{Key: "mood", Value: []byte("good")})
		if why := k.differs(SessionsTopic, "Session", row); !strings.Contains(why, "mood") {
			t.Errorf("a header more: %q", why)
		}
	}
}

// TestAsyncAPISettings proves that the document has the names of the effective settings, and is refused without an input.
func TestAsyncAPISettings(t *testing.T) {
	s := DefaultSettings()
	if _, err := s.AsyncAPI(); err == nil || !strings.Contains(err.Error(), "input.topic is \"\"") {
		t.Errorf("without an input: %v", err)
	}
	s.Input.Topic, s.Prefix, s.Brokers, s.Security.TLS.Enabled, s.Outputs.Scores = "orders", "shop.", []string{"a:1", "b:2"}, true, "json"
	s.Input.Format, s.Input.Mapping = "csv", "maps/orders.yaml"
	k := readContract(t, &s)
	d := k.document
	if d.Channels["scores"].Address != "shop.scores" || d.Channels["events"].Address != "orders" || d.Servers["broker2"] != (asyncServer{"b:2", "kafka-secure"}) {
		t.Errorf("%+v, %+v", d.Channels["scores"], d.Servers)
	}
	if m := d.Components.Messages["Score"]; m.ContentType != "application/json" {
		t.Errorf("%+v", m)
	}
	if m := d.Components.Messages["Event"]; m.ContentType != "text/csv" || m.Payload != nil || !strings.Contains(m.Description, "the mapping orders.yaml") {
		t.Errorf("%+v", m)
	}
	if _, ok := d.Channels[ChangelogTopic]; ok {
		t.Error("the changelog is in it")
	}
	for _, topic := range s.ownTopics() {
		if _, ok := d.Channels[topic.name]; !ok && topic.name != ChangelogTopic {
			t.Errorf("%s is not in it", topic.name)
		}
	}
}

// TestAsyncAPIInputs proves that each of several inputs is told of, with its own format, under a name of its own, and the topic in between is not.
func TestAsyncAPIInputs(t *testing.T) {
	s := DefaultSettings()
	s.EnsureGroup()
	s.Inputs = map[string]TopicInput{"shop.orders": {Format: "json", Mapping: "/etc/lull/orders.yaml"}, "web": {Format: "segment-json"},
		"shop_orders": {Format: "csv", Mapping: "/etc/lull/rows.yaml"}, "Web": {Format: "json", Mapping: "/etc/lull/web.yaml"}, "scores": {Format: "json", Mapping: "/etc/lull/points.yaml"}}
	d := readContract(t, &s).document
	if len(d.Channels) != len(s.ownTopics())+len(s.Inputs)-2 { // without the changelog and the events
		t.Errorf("%d channels", len(d.Channels))
	}
	for channel, want := range map[string][2]string{"shop_orders": {"shop.orders", "the mapping orders.yaml"}, "web_": {"web", "the Segment specification"},
		"shop_orders_": {"shop_orders", "the mapping rows.yaml"}, "Web": {"Web", "the mapping web.yaml"}, "scores_": {"scores", "the mapping points.yaml"}} {
		c, m := d.Channels[channel], d.Components.Messages["Event_"+channel]
		if c.Address != want[0] || len(c.Messages) != 2 || !strings.Contains(m.Description, want[1]) || strings.Contains(c.Description, "Keyed by customer id") {
			t.Errorf("%s: %+v, %+v", channel, c, m)
		}
	}
}
