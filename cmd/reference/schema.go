package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// schema is a JSON Schema, as far as settings need it.
type schema struct {
	Schema      string        `json:"$schema,omitempty"`
	Title       string        `json:"title,omitempty"`
	Description string        `json:"description,omitempty"`
	Type        any           `json:"type,omitempty"`
	Enum        []string      `json:"enum,omitempty"`
	Pattern     string        `json:"pattern,omitempty"`
	Minimum     *int64        `json:"minimum,omitempty"`
	Maximum     *int64        `json:"maximum,omitempty"`
	Items       *schema       `json:"items,omitempty"`
	Properties  *orderedProps `json:"properties,omitempty"`
	Additional  any           `json:"additionalProperties,omitempty"`
	Default     any           `json:"default,omitempty"`
}

// orderedProps are properties in the order of the settings.
type orderedProps struct {
	names   []string
	schemas map[string]*schema
}

// MarshalJSON implements json.Marshaler.
func (p *orderedProps) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for i, name := range p.names {
		if i > 0 {
			text = append(text, ',')
		}
		of, err := marshal(p.schemas[name])
		if err != nil {
			return nil, err
		}
		text = append(append(append(text, '"'), name...), `":`...)
		text = append(text, of...)
	}
	return append(text, '}'), nil
}

// marshal returns a value as JSON, with < and > as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

func (p *orderedProps) add(name string, of *schema) {
	p.names = append(p.names, name)
	p.schemas[name] = of
}

// newSection returns the schema of a section. One of which all is commented out has no value in YAML.
func newSection(kind any) *schema {
	return &schema{Type: kind, Properties: &orderedProps{schemas: make(map[string]*schema)}, Additional: false}
}

// jsonSchema returns the JSON Schema of a file with these settings.
func jsonSchema(settings []setting) ([]byte, error) {
	root := newSection("object")
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "Settings of lull"
	root.Description = "A file of settings, as lull run --config takes it."
	doc := ""
	for _, s := range settings {
		section, path := root, strings.Split(s.key, ".")
		for _, name := range path[:len(path)-1] {
			if section.Properties.schemas[name] == nil {
				section.Properties.add(name, newSection([]string{"object", "null"}))
			}
			section = section.Properties.schemas[name]
		}
		if s.doc != "" {
			doc = s.doc
		}
		if isSecret(s.deflt) {
			continue // no file may hold it
		}
		of, err := schemaOf(&s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.key, err)
		}
		of.Description = doc
		section.Properties.add(path[len(path)-1], of)
	}
	text, err := marshal(root)
	if err != nil {
		return nil, err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return nil, err
	}
	return append(indented.Bytes(), '\n'), nil
}

// durationPattern is what time.ParseDuration reads, without a sign.
const durationPattern = `^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$`

func schemaOf(s *setting) (*schema, error) {
	of := &schema{}
	for _, rule := range s.rules {
		if rule.Choices != nil {
			of.Enum = rule.Choices
		}
		if rule.Pattern != "" {
			of.Pattern = rule.Pattern
		}
		if rule.Min != nil {
			of.Minimum, of.Maximum = rule.Min, rule.Max
		}
	}
	if !s.deflt.IsZero() {
		of.Default = s.deflt.Interface()
	}
	if d, ok := s.deflt.Interface().(time.Duration); ok {
		of.Type, of.Pattern, of.Default = "string", durationPattern, d.String()
		if d == 0 { // which needs no unit
			zero := int64(0)
			of.Type, of.Minimum, of.Maximum = []string{"string", "integer"}, &zero, &zero
		}
		return of, nil
	}
	switch s.deflt.Kind() {
	case reflect.String:
		if of.Type = "string"; of.Enum == nil && of.Pattern == "" {
			of.Type = []string{"string", "number"} // which is taken for its text
		}
		return of, nil
	case reflect.Int, reflect.Int64:
		of.Type = "integer"
		return of, nil
	case reflect.Float64:
		of.Type = "number"
		return of, nil
	case reflect.Bool:
		of.Type = "boolean"
		return of, nil
	case reflect.Map: // of texts; a number is taken for one
		if section := s.deflt.Type().Elem(); section.Kind() == reflect.Struct {
			each := newSection([]string{"object", "null"})
			for i := range section.NumField() {
				each.Properties.add(section.Field(i).Tag.Get("koanf"), &schema{Type: "string"})
			}
			of.Type, of.Additional = []string{"object", "null"}, each
			return of, nil
		}
		of.Type, of.Additional = []string{"object", "null"}, &schema{Type: []string{"string", "number"}}
		return of, nil
	case reflect.Slice:
		element := map[reflect.Kind]string{reflect.String: "string", reflect.Float64: "number"}[s.deflt.Type().Elem().Kind()]
		if element != "" {
			of.Type, of.Items = []string{"array", element}, &schema{Type: element} // one alone is a list of it
			return of, nil
		}
	}
	_, err := typeName(s.deflt)
	return nil, err
}
