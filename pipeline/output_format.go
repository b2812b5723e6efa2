package pipeline

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"lull/pipeline/registry"
	"lull/schemas"
)

// Subject returns what the schema of one of lull's own topics is called in the registry, and the schema.
func (s *Settings) Subject(topic schemas.Topic) registry.Subject {
	if s.Outputs.Subjects == "record" {
		return registry.Subject{Name: topic.FullName(), Schema: topic.Schema()}
	}
	return registry.Subject{Name: s.Topic(topic.String()) + "-value", Schema: topic.Schema()}
}

// registered returns the topics that are written in the wire format of a registry.
func (s *Settings) registered() (topics []schemas.Topic) {
	formats := s.Outputs.formats()
	for _, topic := range schemas.SubscriberTopics {
		if formats[topic] == schemas.RegistryAvro {
			topics = append(topics, topic)
		}
	}
	return topics
}

// checkOutputs returns what is wrong with how outputs are to be written.
func (s *Settings) checkOutputs() error {
	if topics := s.registered(); len(topics) > 0 && len(s.Registry.URL) == 0 {
		return fmt.Errorf("registry.url is empty: outputs.%s %s needs the URL of the schema registry, such as http://registry:8081", topics[0], schemas.RegistryAvro)
	}
	return nil
}

// outputSchemaCacheFile is where the ids of our schemas are kept from one start to the next, below state.dir.
const outputSchemaCacheFile = "output-schemas.json"

// identifySchemas learns the ids that go before the values of registry-avro, however long that takes: whatever becomes of the registry later, no commit waits for it. A start
// while it does not answer takes the ids of the last one.
func (r *Runner) identifySchemas() error {
	topics := r.s.registered()
	if len(topics) == 0 {
		return nil
	}
	var subjects []registry.Subject
	for _, topic := range topics {
		subjects = append(subjects, r.s.Subject(topic))
	}
	said := ""
	for {
		is, err := registry.Identify(r.ctx, &r.s.Registry, filepath.Join(r.s.State.Dir, outputSchemaCacheFile), subjects, r.s.Outputs.OnUnregistered == "register")
		if err == nil {
			if is.Outage != nil {
				r.log.Warn().Err(is.Outage).Msg("the schema registry does not answer; outputs have the schema ids of the last start")
			}
			r.schemaIDs = make(map[schemas.Topic]uint32)
			for i, topic := range topics {
				r.schemaIDs[topic] = is.IDs[subjects[i].Name]
			}
			r.health.clear("output schemas")
			return nil
		}
		if r.ctx.Err() != nil {
			return r.ctx.Err()
		}
		var refused *registry.RefusedError
		if !errors.As(err, &refused) {
			err = fmt.Errorf("the schema registry %s does not answer: %w", strings.Join(r.s.Registry.URL, ", "), err)
		}
		r.health.set("output schemas", err.Error())
		if said != err.Error() {
			said = err.Error()
			r.log.Warn().Msg(said + "; waiting")
		}
		r.pause(time.Second)
	}
}

// newEncoder returns an encoder of outputs.
func (r *Runner) newEncoder() (*schemas.Encoder, error) {
	config := r.s.Encoder()
	config.SchemaIDs = r.schemaIDs
	return schemas.NewEncoder(config)
}
