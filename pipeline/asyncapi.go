package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"lull/operators"
	"lull/schemas"
)

// AsyncAPI returns the AsyncAPI 3 document of this application, as JSON: every topic but the changelog, with the messages in it as these settings have them. Schemas are those of
// the .avsc files: as they are for what is written as Avro, and of every topic as a JSON Schema besides, of what is written as JSON and shown by lull tail. It asks nobody. The error names a setting without which there is no document.
func (s *Settings) AsyncAPI() ([]byte, error) {
	var p problems
	s.checkShapes(&p)
	if len(p.found) > 0 {
		return nil, errors.Join(p.found...)
	}
	doc := asyncDocument{
		AsyncAPI: "3.0.0", Servers: make(map[string]asyncServer), Channels: make(map[string]asyncChannel), Operations: make(map[string]asyncOperation),
		Components: asyncComponents{Messages: make(map[string]asyncMessage), Schemas: make(map[string]any)},
		Info: asyncInfo{
			Title: "lull", Version: asyncVersion, License: map[string]string{"name": "Apache-2.0"},
			Description: "Keeps the lifetime value of every customer current: reads customers' events, and tells of sessions, scores, segments and triggers, and answers offers. " +
				"Operations are lull's: who subscribes to a topic receives what lull sends. Read with isolation.level=read_committed, and drop doubles by ce_id.",
		},
	}
	protocol := "kafka"
	if s.Security.TLS.Enabled {
		protocol = "kafka-secure"
	}
	for i, broker := range s.Brokers {
		doc.Servers["broker"+strconv.Itoa(i+1)] = asyncServer{Host: broker, Protocol: protocol}
	}
	for _, topic := range s.ownTopics() {
		if of, ok := schemas.TopicNamed(topic.name); ok && topic.name != EventsTopic { // that, and the changelog, are nobody else's
			doc.addOwn(s, &topic, of)
		}
	}
	for _, in := range s.InputTopics() { // their names give way
		doc.addInput(s, &in)
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(doc); err != nil {
		return nil, fmt.Errorf("writing the AsyncAPI document: %w", err)
	}
	return text.Bytes(), nil
}

// asyncVersion is the version of what the document describes. Its first number rises when a subscriber has to change.
const asyncVersion = "1.0.0"

// The objects of AsyncAPI 3.0, as far as they are used here, and those of its bindings to Kafka. Maps are written in the order of their keys.
type (
	asyncDocument struct {
		AsyncAPI   string                    `json:"asyncapi"`
		Info       asyncInfo                 `json:"info"`
		Servers    map[string]asyncServer    `json:"servers"`
		Channels   map[string]asyncChannel   `json:"channels"`
		Operations map[string]asyncOperation `json:"operations"`
		Components asyncComponents           `json:"components"`
	}
	asyncInfo struct {
		Title       string            `json:"title"`
		Version     string            `json:"version"`
		Description string            `json:"description"`
		License     map[string]string `json:"license"`
	}
	asyncServer struct {
		Host     string `json:"host"`
		Protocol string `json:"protocol"`
	}
	asyncRef struct {
		Ref string `json:"$ref"`
	}
	asyncChannel struct {
		Address     string              `json:"address"`
		Description string              `json:"description"`
		Messages    map[string]asyncRef `json:"messages"`
		Bindings    asyncBindings       `json:"bindings"`
	}
	asyncOperation struct {
		Action   string     `json:"action"`
		Channel  asyncRef   `json:"channel"`
		Summary  string     `json:"summary,omitempty"`
		Messages []asyncRef `json:"messages"`
	}
	asyncComponents struct {
		Messages map[string]asyncMessage `json:"messages"`
		Schemas  map[string]any          `json:"schemas"`
	}
	asyncMessage struct {
		Name        string        `json:"name"`
		Title       string        `json:"title"`
		Description string        `json:"description"`
		ContentType string        `json:"contentType,omitempty"`
		Headers     any           `json:"headers,omitempty"`
		Payload     any           `json:"payload,omitempty"`
		Bindings    asyncBindings `json:"bindings"`
	}
	asyncBindings struct {
		Kafka any `json:"kafka"`
	}
	asyncTopic struct {
		Topic          string         `json:"topic"`
		Partitions     int            `json:"partitions,omitempty"`
		Replicas       int            `json:"replicas,omitempty"`
		Configuration  map[string]any `json:"topicConfiguration,omitempty"`
		BindingVersion string         `json:"bindingVersion"`
	}
	asyncRecord struct {
		Key                     any    `json:"key,omitempty"`
		SchemaIDLocation        string `json:"schemaIdLocation,omitempty"`
		SchemaIDPayloadEncoding string `json:"schemaIdPayloadEncoding,omitempty"`
		SchemaLookupStrategy    string `json:"schemaLookupStrategy,omitempty"`
		BindingVersion          string `json:"bindingVersion"`
	}
	asyncAvro struct {
		Format string          `json:"schemaFormat"`
		Schema json.RawMessage `json:"schema"`
	}
)

const (
	kafkaBindings = "0.5.0"
	avroSchema    = "application/vnd.apache.avro+json;version=1.9.0"
)

// object returns a JSON Schema of an object.
func object(required []string, properties ...schemas.Field) schemas.Fields {
	var names []any
	for _, name := range required {
		names = append(names, name)
	}
	fields := schemas.Fields{{Name: "type", Value: "object"}, {Name: "properties", Value: schemas.Fields(properties)}}
	if len(names) > 0 {
		fields = append(fields, schemas.Field{Name: "required", Value: names})
	}
	return fields
}

// header returns the schema of a header, or key: a text, with what else is to be said of it.
func header(name, description string, more ...schemas.Field) schemas.Field {
	return schemas.Field{Name: name, Value: append(schemas.Fields{{Name: "type", Value: "string"}, {Name: "description", Value: description}}, more...)}
}

func exactlyThat(value string) schemas.Field { return schemas.Field{Name: "const", Value: value} }

// add adds a topic, as a channel of a name, with its messages, and what lull does with it.
func (d *asyncDocument) add(name string, of schemas.Topic, channel asyncChannel, actions map[string]string, messages ...asyncMessage) {
	channel.Messages = make(map[string]asyncRef)
	var refs []asyncRef
	for _, m := range messages {
		d.Components.Messages[m.Name] = m
		channel.Messages[m.Name] = asyncRef{"#/components/messages/" + m.Name}
		refs = append(refs, asyncRef{"#/channels/" + name + "/messages/" + m.Name})
	}
	d.Channels[name] = channel
	d.Components.Schemas[of.TypeName()] = of.JSONSchema()
	for action, summary := range actions {
		operation := action + strings.ToUpper(name[:1]) + strings.ReplaceAll(name[1:], "-l", "L")
		d.Operations[operation] = asyncOperation{Action: action, Channel: asyncRef{"#/channels/" + name}, Summary: summary, Messages: refs}
	}
}

// message returns the message that has the topic's values, in a format.
func message(of schemas.Topic, format schemas.Format, key schemas.Field) asyncMessage {
	record := asyncRecord{Key: key.Value, BindingVersion: kafkaBindings}
	m := asyncMessage{
		Name: of.TypeName(), Title: of.TypeName(), Description: of.Doc(), ContentType: format.ContentType(),
		Payload: asyncRef{"#/components/schemas/" + of.TypeName()},
	}
	if format != schemas.JSON {
		m.Description += " As JSON, lull tail shows it by #/components/schemas/" + of.TypeName() + "."
		m.Payload = asyncAvro{avroSchema, json.RawMessage(of.Schema())}
	}
	if format == schemas.RegistryAvro {
		record.SchemaIDLocation, record.SchemaIDPayloadEncoding = "payload", "confluent"
	}
	m.Bindings.Kafka = record
	return m
}

// addInput adds a topic with events. One of several has a channel and a message of its own name: each has its own format.
func (d *asyncDocument) addInput(s *Settings, in *InputTopic) {
	const of = schemas.Events
	channel, key, keyed := of.String(), header("key", "The customer id."), "Keyed by customer id."
	if s.Staged() {
		channel, key, keyed = d.free(notInNames.ReplaceAllString(in.Topic, "_")), header("key", "Whatever the producer keys it by."), "lull passes each event on to its customer's partition."
	}
	format, _ := schemas.FormatNamed(in.Format)
	event := message(of, format, key)
	if s.Staged() {
		event.Name += "_" + channel
	}
	if becomes := "becomes #/components/schemas/" + of.TypeName(); in.Mapping != "" || format != schemas.OwnAvro && format != schemas.RegistryAvro {
		by := "the Segment specification"
		if format != schemas.SegmentJSON {
			by = "the mapping " + filepath.Base(in.Mapping)
		}
		event.Payload, event.ContentType = nil, inputContentTypes[format]
		event.Description = fmt.Sprintf("A record in the format %s, which %s by %s. %s", format, becomes, by, of.Doc())
	}
	event.Headers = object(nil, header(schemas.RedrivenHeader, "The record is one that was refused and is sent again by lull dead-letters redrive: where it stood at first, as topic/partition/offset."))
	mark := asyncMessage{
		Name: "TimeMark", Title: "Time mark", Payload: nothing,
		Description: "No producer of this partition will send events at or before the instant in the header. Null key, null value.",
		Headers:     object([]string{schemas.TimeMarkHeader}, header(schemas.TimeMarkHeader, "The instant, by RFC 3339.", schemas.Field{Name: "format", Value: "date-time"})),
		Bindings:    asyncBindings{asyncRecord{BindingVersion: kafkaBindings}},
	}
	topic := in.Topic
	d.add(channel, of, asyncChannel{Address: topic, Description: "What customers do: the input. " + keyed, Bindings: asyncBindings{asyncTopic{Topic: topic, BindingVersion: kafkaBindings}}},
		map[string]string{"receive": "lull reads what producers send."}, event, mark)
}

// free returns a name for a channel that is told from all others, by case too: with underscores behind it, if there is one of this name.
func (d *asyncDocument) free(name string) string {
	for other := range d.Channels {
		if strings.EqualFold(name, other) {
			return d.free(name + "_")
		}
	}
	return name
}

// notInNames are the characters that names of channels had better not have.
var notInNames = regexp.MustCompile(`[^A-Za-z0-9_]`)

// nothing is the schema of a null value.
var nothing = schemas.Fields{{Name: "type", Value: "null"}}

var inputContentTypes = map[schemas.Format]string{
	schemas.OwnAvro: schemas.OwnAvro.ContentType(), schemas.FixedAvro: schemas.OwnAvro.ContentType(), schemas.RegistryAvro: schemas.RegistryAvro.ContentType(),
	schemas.JSON: schemas.JSON.ContentType(), schemas.SegmentJSON: schemas.JSON.ContentType(), schemas.CSV: "text/csv",
}

// ownKeys say what the keys of lull's own topics are, where that is not the customer id.
var ownKeys = map[schemas.Topic]schemas.Field{
	schemas.DeadLetters:   header("key", "The refused record's key, null if it had none or a longer one than 1 KiB; of a deadline that failed the customer id."),
	schemas.Models:        header("key", "The model's version."),
	schemas.Fits:          header("key", "What it is.", schemas.Field{Name: "enum", Value: []any{"request", "verdict"}}),
	schemas.Statistics:    header("key", "The part, as partition/kind/number."),
	schemas.QualityCounts: header("key", "What is counted, as source/partition/day."),
	schemas.Redrives:      header("key", "Where the refused record stands, as topic/partition/offset."),
}

// addOwn adds one of lull's own topics.
func (d *asyncDocument) addOwn(s *Settings, topic *ownTopic, of schemas.Topic) {
	key, ok := ownKeys[of]
	if !ok {
		key = header("key", "The customer id.")
	}
	format := s.Outputs.formats()[of] // of other topics plain Avro
	m := message(of, format, key)
	if record := m.Bindings.Kafka.(asyncRecord); format == schemas.RegistryAvro {
		record.SchemaLookupStrategy = map[string]string{"topic": "TopicNameStrategy", "record": "RecordNameStrategy"}[s.Outputs.Subjects]
		m.Bindings.Kafka = record
	}
	for kind := operators.SessionOutput; kind <= operators.RejectOutput; kind++ {
		if schemas.TopicOf(kind) == of {
			m.Headers = s.cloudEvent(kind, of, format)
		}
	}
	messages := []asyncMessage{m}
	binding := asyncTopic{Topic: s.Topic(topic.name), Partitions: topic.partitions, Replicas: s.Topics.Replication, Configuration: make(map[string]any), BindingVersion: kafkaBindings}
	for _, rule := range topic.rules {
		switch {
		case rule.key == "cleanup.policy":
			binding.Configuration[rule.key] = []string{rule.text}
		case rule.key == "retention.ms" || rule.key == "retention.bytes" || rule.key == "delete.retention.ms" || rule.key == "max.message.bytes":
			binding.Configuration[rule.key] = json.RawMessage(rule.wanted())
		}
		if rule.key == "cleanup.policy" && rule.text == "compact" && (of == schemas.Scores || of == schemas.Statistics) {
			messages = append(messages, asyncMessage{
				Name: of.TypeName() + "Deleted", Title: of.TypeName() + " deleted", Payload: nothing, Bindings: asyncBindings{asyncRecord{Key: key.Value, BindingVersion: kafkaBindings}},
				Description: "A null value: what the key stood for is no more.",
			})
		}
	}
	use, actions := topic.tasks|topic.fitter, make(map[string]string)
	if use == 0 {
		use = writes // by a command
	}
	if use&reads != 0 {
		actions["receive"] = "lull reads what is there."
	}
	if use&writes != 0 {
		actions["send"] = "lull writes it, in a transaction."
	}
	d.add(of.String(), of, asyncChannel{Address: s.Topic(topic.name), Description: of.Doc(), Bindings: asyncBindings{binding}}, actions, messages...)
}

// cloudEvent returns the schema of the headers of an output: a CloudEvent in binary mode.
func (s *Settings) cloudEvent(kind operators.OutputKind, of schemas.Topic, format schemas.Format) schemas.Fields {
	required := []string{"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", schemas.ContentTypeHeader}
	subject := "The customer id."
	if of == schemas.DeadLetters {
		required, subject = append(required[:5:5], schemas.ContentTypeHeader), "The customer id; not there where it is not known."
	}
	headers := []schemas.Field{
		header("ce_specversion", "The version of CloudEvents.", exactlyThat("1.0")),
		header("ce_id", "Derived from the cause: a copy of this output, however it came about, has the same. Drop doubles by it.", schemas.Field{Name: "pattern", Value: "^[0-9a-f]{32}$"}),
		header("ce_source", "The application: its prefix.", exactlyThat(s.Encoder().Source)),
		header("ce_type", "What it tells.", exactlyThat(schemas.EventType(kind))),
		header("ce_time", "When it became true, in event time.", schemas.Field{Name: "format", Value: "date-time"}),
		header("ce_subject", subject),
		header(schemas.ContentTypeHeader, "How the value is written. A topic whose format was changed holds records of the one before too.", exactlyThat(format.ContentType())),
	}
	if s.Tracing.Endpoint != "" {
		headers = append(headers, header(traceParentHeader, "The span that made it, by the W3C's Trace Context; not there if that is not sampled."), header(traceStateHeader, "What vendors of tracing add to that."))
	}
	return object(required, headers...)
}
