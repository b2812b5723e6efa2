package schemas

import (
	"encoding/json"
	"errors"
	"reflect"

	"github.com/twmb/avro"
)

// FullName returns the name, with its namespace, of the record that the topic's values are, such as lull.Score.
func (t Topic) FullName() string {
	root := compiled[t].Root()
	if root.Namespace == "" {
		return root.Name
	}
	return root.Namespace + "." + root.Name
}

// SameSchema reports whether two Avro schemas say the same: they may differ in spaces, the order of keys, and documentation.
func SameSchema(a, b string) bool {
	var one, other any
	if json.Unmarshal([]byte(a), &one) != nil || json.Unmarshal([]byte(b), &other) != nil {
		return false
	}
	return reflect.DeepEqual(undocumented(one), undocumented(other))
}

// undocumented takes the documentation out of a schema.
func undocumented(schema any) any {
	switch v := schema.(type) {
	case map[string]any:
		delete(v, "doc")
		for _, below := range v {
			undocumented(below)
		}
	case []any:
		for _, below := range v {
			undocumented(below)
		}
	}
	return schema
}

// Readable returns why what one schema has written cannot be read by another; nil if it can.
func Readable(writer, reader string) error {
	w, err := avro.Parse(writer)
	if err != nil {
		return errors.New("the schema that writes: " + avroCause(err))
	}
	r, err := avro.Parse(reader)
	if err != nil {
		return errors.New("the schema that reads: " + avroCause(err))
	}
	if _, err := resolve(w, r); err != nil {
		return errors.New(avroCause(err))
	}
	return nil
}

// CanRead returns why records of a writer's schema cannot be read as those of the input; nil if they can. The input's format is RegistryAvro.
func (in *Input) CanRead(written WriterSchema) error {
	_, err := in.readerOf(written)
	if err != nil {
		return errors.New(avroCause(err))
	}
	return nil
}

// readerOf returns the schema that reads records of a writer's schema as those of the input.
func (in *Input) readerOf(written WriterSchema) (*avro.Schema, error) {
	schema, err := parseForeign(written.Schema, written.References, in.mapping != nil)
	switch {
	case err != nil:
		return nil, err
	case in.mapping == nil:
		return resolve(schema, compiled[Events])
	case in.reader != nil:
		return resolve(schema, in.reader)
	}
	return schema, nil
}
