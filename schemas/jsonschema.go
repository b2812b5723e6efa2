package schemas

import (
	"fmt"

	"github.com/twmb/avro"
)

// JSONSchema returns the JSON Schema (draft 7) of the topic's values as JSON: of those that are written as JSON, and of what people are shown of the others. It is made of the Avro
// schema: the same names, order and documentation. Every field is required; further ones are not excluded, because a later version may have some.
func (t Topic) JSONSchema() Fields { return jsonSchema(shapes()[t]) }

// TypeName returns the name of the record that the topic's values are, such as Score.
func (t Topic) TypeName() string { return shapes()[t].Name }

// Doc returns what one record of the topic is.
func (t Topic) Doc() string { return shapes()[t].Doc }

// instantPattern is what appendInstant writes.
const instantPattern = `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`

func jsonSchema(shape *avro.SchemaNode) Fields {
	of := func(typ string, more ...Field) Fields { return append(Fields{{"type", typ}}, more...) }
	switch shape.Type {
	case "record":
		var properties Fields
		var required []any
		for i := range shape.Fields {
			f := &shape.Fields[i]
			properties = append(properties, Field{f.Name, described(jsonSchema(&f.Type), f.Doc)})
			required = append(required, f.Name)
		}
		return of("object", Field{"title", shape.Name}, Field{"description", shape.Doc}, Field{"properties", properties}, Field{"required", required})
	case "array":
		return of("array", Field{"items", jsonSchema(shape.Items)})
	case "union": // of null and one type, in all our schemas
		return Fields{{"anyOf", []any{of("null"), jsonSchema(&shape.Branches[1])}}}
	case "enum":
		var symbols []any
		for _, symbol := range shape.Symbols {
			symbols = append(symbols, symbol)
		}
		return of("string", Field{"enum", symbols})
	case "boolean", "string":
		return of(shape.Type)
	case "double":
		return of("number", Field{"format", "double"})
	case "bytes":
		text := func(name string) Fields {
			return of("object", Field{"properties", Fields{{name, of("string")}}}, Field{"required", []any{name}})
		}
		return Fields{{"anyOf", []any{text("utf8"), text("base64")}}}
	}
	switch shape.LogicalType { // of int and long
	case "date":
		return of("string", Field{"format", "date"})
	case "timestamp-millis":
		return of("string", Field{"format", "date-time"}, Field{"pattern", instantPattern})
	case "":
		return of("integer", Field{"format", map[string]string{"int": "int32", "long": "int64"}[shape.Type]})
	}
	//lull:unread a test goes through all schemas
	panic(fmt.Errorf("an Avro type %s, %s has no JSON Schema here", shape.Type, shape.LogicalType))
}

// described returns a schema with what is said of the field that has it, before what is said of its type.
func described(schema Fields, doc string) Fields {
	for i := range schema {
		if schema[i].Name == "description" {
			schema[i].Value = doc + " " + schema[i].Value.(string)
			return schema
		}
	}
	return append(Fields{{"description", doc}}, schema...)
}
