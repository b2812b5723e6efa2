package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lull/operators"
	"lull/pipeline/registry"
	"lull/pipeline/task"
	"lull/schemas"
)

// InputTopic is one of the topics with events, and how its values are written.
type InputTopic struct {
	Topic string
	TopicInput
	section string // the name of the section that the settings are in
}

// Section returns what the names of the topic's settings begin with.
func (t InputTopic) Section() string { return t.section }

// TakesJSON reports whether the topic's values are JSON.
func (t InputTopic) TakesJSON() bool {
	return t.Format == schemas.JSON.String() || t.Format == schemas.SegmentJSON.String()
}

// Staged reports whether there is a first stage: events go through the topic "events" of lull's own, from which the tasks read them.
func (s *Settings) Staged() bool { return len(s.Inputs) > 0 }

// InputTopics returns the input topics, in the order of their names.
func (s *Settings) InputTopics() (list []InputTopic) {
	if !s.Staged() {
		return []InputTopic{s.InputTopic(s.Input.Topic)}
	}
	for _, topic := range slices.Sorted(maps.Keys(s.Inputs)) {
		list = append(list, s.InputTopic(topic))
	}
	return list
}

// InputTopic returns how the values of a topic are written: by inputs, if it is among them, else by input.
func (s *Settings) InputTopic(topic string) InputTopic {
	if of, ok := s.Inputs[topic]; ok {
		of.Format = cmp.Or(of.Format, schemas.OwnAvro.String())
		return InputTopic{topic, of, "inputs." + topic}
	}
	return InputTopic{topic, TopicInput{s.Input.Format, s.Input.Mapping, s.Input.Schema}, "input"}
}

// IsInput reports whether a topic is one of the input topics.
func (s *Settings) IsInput(topic string) bool {
	return slices.ContainsFunc(s.InputTopics(), func(t InputTopic) bool { return t.Topic == topic })
}

// taskTopic returns the topic whose partitions the tasks read.
func (s *Settings) taskTopic() string {
	if s.Staged() {
		return s.Topic(EventsTopic)
	}
	return s.Input.Topic
}

// taskTopicKind says what that topic is, for messages.
func (s *Settings) taskTopicKind() string {
	if s.Staged() {
		return "internal topic"
	}
	return "input topic"
}

// checkInputs holds what stands under inputs against its rules.
func (s *Settings) checkInputs(p *problems) {
	if !s.Staged() {
		return
	}
	wrong := func(format string, args ...any) { p.found = append(p.found, fmt.Errorf(format, args...)) }
	if in := &s.Input; in.Topic != "" || in.Mapping != "" || in.Schema != "" || in.Format != schemas.OwnAvro.String() {
		wrong("inputs is set, and so is input.topic, input.format, input.mapping or input.schema: write under inputs how each topic is read, and leave these four out")
	}
	for _, t := range s.InputTopics() {
		switch {
		case t.Topic == "":
			wrong(`inputs has a topic "": it must be the name of a topic with events`)
		case !isTopicName(t.Topic):
			wrong("inputs has the topic %q: it must be %s", t.Topic, topicNameRule)
		case s.Prefix != "" && strings.HasPrefix(t.Topic, s.Prefix):
			wrong("inputs has the topic %q: it must be outside the prefix %q of lull's own topics", t.Topic, s.Prefix)
		}
		if _, ok := schemas.FormatNamed(t.Format); !ok {
			wrong("%s.format is %q: it must be one of %s", t.section, t.Format, strings.Join(schemas.FormatNames(), ", "))
		}
	}
}

// checkInput returns what is wrong with how the inputs are to be read.
func (s *Settings) checkInput() error {
	var errs []error
	for _, t := range s.InputTopics() {
		switch format, ok := schemas.FormatNamed(t.Format); {
		case !ok: // it has been said
		case format == schemas.RegistryAvro && len(s.Registry.URL) == 0:
			errs = append(errs, fmt.Errorf("registry.url is empty: %s.format %s needs the URL of the schema registry, such as http://registry:8081", t.section, format))
		default:
			_, err := t.Load(nil)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Load reads the files that say how the topic is read. writers are for registry-avro. The error names the setting, the file, and in a mapping line and column.
func (t *InputTopic) Load(writers schemas.Writers) (schemas.Input, error) {
	format, ok := schemas.FormatNamed(t.Format)
	if !ok {
		return schemas.Input{}, fmt.Errorf("%s.format is %q", t.section, t.Format)
	}
	var mapping *schemas.Mapping
	if t.Mapping != "" {
		text, err := os.ReadFile(t.Mapping)
		if err != nil {
			return schemas.Input{}, fmt.Errorf("%s.mapping: %w", t.section, err)
		}
		if mapping, err = schemas.ParseMapping(text); err != nil {
			return schemas.Input{}, &MappingError{t.section + ".mapping", t.Mapping, err}
		}
		mapping.File = filepath.Base(t.Mapping)
	}
	schema := ""
	if t.Schema != "" {
		text, err := os.ReadFile(t.Schema)
		if err != nil {
			return schemas.Input{}, fmt.Errorf("%s.schema: %w", t.section, err)
		}
		schema = string(text)
	}
	return schemas.NewInput(t.section, format, schema, mapping, writers)
}

// MappingError is what is wrong with a mapping file: a line for each problem.
type MappingError struct {
	Setting string // that names the file
	File    string
	Err     error
}

func (e *MappingError) Error() string { return fmt.Sprintf("%s: %s:\n%v", e.Setting, e.File, e.Err) }

func (e *MappingError) Unwrap() error { return e.Err }

// inputTopic is an input topic as this process reads it.
type inputTopic struct {
	InputTopic
	schemas.Input
	id         [16]byte
	partitions int32

	clock   *task.Clock
	hold    task.Hold // of the clock's last reading
	watcher *watcher  // while the input has not settled
	read    bool      // a partition of it runs here
	told    string    // what has been logged of it as one that has never had a record
}

// schemaCacheFile is where writers' schemas are kept from one start to the next, below state.dir.
const schemaCacheFile = "schemas.json"

// loadInputs reads how the inputs are read, and makes the registry that they may need.
func (r *Runner) loadInputs() error {
	topics := r.s.InputTopics()
	var writers schemas.Writers
	if slices.ContainsFunc(topics, func(t InputTopic) bool { return t.Format == schemas.RegistryAvro.String() }) {
		known, err := registry.New(&r.s.Registry, filepath.Join(r.s.State.Dir, schemaCacheFile), r.log)
		if err != nil {
			return err
		}
		r.registry, writers = known, known
	}
	for _, t := range topics {
		input, err := t.Load(writers)
		if err != nil {
			return err
		}
		r.inputs = append(r.inputs, &inputTopic{
			InputTopic: t, Input: input, clock: task.NewClock(r.s.clock(), operators.EventTime(r.began.UnixMilli())), hold: task.Unknown, // until it is read
		})
	}
	return nil
}

// inputOf returns the input topic with a name, nil if it is none.
func (r *Runner) inputOf(topic string) *inputTopic {
	for _, in := range r.inputs {
		if in.Topic == topic {
			return in
		}
	}
	return nil
}

// newDecoder returns a decoder of an input topic's records; of those of the internal topic events without one.
func (r *Runner) newDecoder(of *inputTopic) (*schemas.Decoder, error) {
	config := r.s.Decoder()
	if of != nil {
		config.Input = of.Input
	} else {
		config.Limits.IDBytes = max(config.Limits.IDBytes, schemas.PositionBytesMax) // which stands for the id of an event without one
	}
	return schemas.NewDecoder(config)
}

// awaitedText says what becomes of a record whose schema the registry does not give.
func (r *Runner) awaitedText() string {
	if r.s.Registry.DeadLetters() {
		return "the schema registry does not answer: records of this schema become dead letters (schema_unavailable)"
	}
	return "the partition stands still until the schema registry answers"
}

// tellAwaited says on /readyz which partition stands still at a record whose schema is not known, and whether the registry answers; in the log each that does while it does not.
func (r *Runner) tellAwaited() {
	if r.registry == nil {
		return
	}
	problem, outage := "", r.registry.Outage()
	for _, p := range r.running() {
		if outage != "" && p.awaits != "" && p.awaits != p.toldAwaits {
			r.log.Warn().Str("topic", p.topic).Int32("partition", p.n).Int64("offset", p.stage.Position()).Str("awaits", p.awaits).Str("registry", outage).Msg(r.awaitedText())
		}
		if p.awaits == "" || outage != "" {
			p.toldAwaits = p.awaits
		}
		if p.awaits != "" && problem == "" {
			problem = fmt.Sprintf("%s stands still at offset %d until the schema registry has answered for %s", r.named(p), p.stage.Position(), p.awaits)
		}
	}
	if problem != "" && outage != "" {
		problem += ": " + outage
		outage = ""
	}
	r.health.setIf("schemas", problem)
	r.health.warnIf("registry", outage)
}
