package schemas

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/twmb/avro"

	"lull/operators"
)

// Field is one field of a decoded value. Its value is nil, bool, int64, float64, string, []byte, operators.EventTime, operators.Day, Fields, or a
// []any of these.
type Field struct {
	Name  string
	Value any
}

// Fields is a decoded value, in the order of its schema.
type Fields []Field

// Get returns the value of the field with this name, nil if there is none.
func (f Fields) Get(name string) any {
	for i := range f {
		if f[i].Name == name {
			return f[i].Value
		}
	}
	return nil
}

// MarshalJSON returns the fields as a JSON object in their order: instants by RFC 3339 in UTC with milliseconds, days as 1998-01-04, bytes as
// {"utf8": TEXT} if they are UTF-8, else as {"base64": TEXT}, numbers that JSON cannot write as "NaN", "Infinity" and "-Infinity".
func (f Fields) MarshalJSON() ([]byte, error) { return appendJSON(nil, f) }

// DecodeOutput returns what the value of a topic's record holds: of events, outputs, dead letters or models. It is read with goavro, as
// subscribers would read it, not with the library that wrote it; but only after that one has read it too, because goavro allocates whatever an array
// claims as its length. It is not meant for the hot path.
func DecodeOutput(t Topic, value []byte) (Fields, error) {
	if t < Events || t >= topicsEnd {
		return nil, fmt.Errorf("decoding a record of topic kind %d: there is no such kind", t)
	}
	var read any
	if _, err := compiled[t].Decode(value, &read, aliasInput); err != nil {
		return nil, fmt.Errorf("decoding a record of %s: %s", t, avroCause(err))
	}
	native, rest, err := goavroCodecs()[t].NativeFromBinary(value)
	if err != nil {
		return nil, fmt.Errorf("decoding a record of %s: %w", t, err)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("decoding a record of %s: %d bytes follow the value", t, len(rest))
	}
	shown, err := show(shapes()[t], native)
	if err != nil {
		return nil, fmt.Errorf("decoding a record of %s: %w", t, err)
	}
	return shown.(Fields), nil
}

// DecodeInto decodes the value of a topic's record, as PlainAvro returns it, into the struct that into points at: by their tags "avro" its fields name those of the schema that are wanted. The texts in the struct
// are parts of the value.
func DecodeInto(t Topic, value []byte, into any) error {
	return decodeWhole(t, value, into, avro.SkipUnknown())
}

// shapes are the parsed schemas, for their order of fields and their logical types.
var shapes = sync.OnceValue(func() (nodes [topicsEnd]*avro.SchemaNode) {
	for t := Events; t < topicsEnd; t++ {
		nodes[t] = compiled[t].Root()
	}
	return nodes
})

// show turns goavro's native value into that of a Field. Maps of goavro are records or, with one entry, members of a union.
func show(shape *avro.SchemaNode, native any) (any, error) {
	switch shape.Type {
	case "record":
		values, ok := native.(map[string]any)
		if !ok {
			break
		}
		fields := make(Fields, len(shape.Fields))
		for i := range shape.Fields {
			f := &shape.Fields[i]
			value, err := show(&f.Type, values[f.Name])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			fields[i] = Field{Name: f.Name, Value: value}
		}
		return fields, nil
	case "array":
		values, ok := native.([]any)
		if !ok {
			break
		}
		shown := make([]any, len(values))
		for i, v := range values {
			var err error
			if shown[i], err = show(shape.Items, v); err != nil {
				return nil, err
			}
		}
		return shown, nil
	case "union": // of null and one type, in all our schemas
		member, ok := native.(map[string]any)
		if !ok {
			return nil, nil
		}
		for _, v := range member {
			return show(&shape.Branches[1], v)
		}
	}
	switch v := native.(type) {
	case bool, string, float64, int64, []byte:
		return v, nil
	case int32:
		return int64(v), nil
	case time.Time:
		if shape.LogicalType == "date" {
			return operators.Day(floorDiv(v.Unix(), operators.DayMs/1000)), nil
		}
		return operators.EventTime(v.UnixMilli()), nil
	}
	//lull:unread it would be a fault of the program
	return nil, fmt.Errorf("%T for Avro type %s", native, shape.Type)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func appendJSON(dst []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case Fields:
		dst = append(dst, '{')
		for i, f := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendJSON(append(appendJSONText(dst, f.Name), ':'), f.Value); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	case []any:
		dst = append(dst, '[')
		for i, element := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendJSON(dst, element); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case float64:
		return appendJSONFloat(dst, v)
	case string:
		return appendJSONText(dst, v), nil
	case []byte:
		if utf8.Valid(v) {
			return append(appendJSONText(append(dst, `{"utf8":`...), string(v)), '}'), nil
		}
		return append(base64.StdEncoding.AppendEncode(append(dst, `{"base64":"`...), v), `"}`...), nil
	case operators.EventTime:
		if v >= TimeMin && v < TimeEnd {
			return append(appendInstant(append(dst, '"'), v), '"'), nil
		}
		return appendJSONText(dst, v.String()), nil
	case operators.Day:
		return appendJSONText(dst, v.String()), nil
	}
	//lull:unread it would be a fault of the program
	return nil, fmt.Errorf("%T has no form in JSON", value)
}

func appendJSONText(dst []byte, s string) []byte {
	if !strings.ContainsFunc(s, isEscaped) {
		return append(append(append(dst, '"'), s...), '"')
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // people read it: -> is no -\u003e
	if err := e.Encode(s); err != nil {
		panic(err) // a string always has a form
	}
	return append(dst, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}

// isEscaped reports whether JSON may write the character in another way.
func isEscaped(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }

func appendJSONFloat(dst []byte, f float64) ([]byte, error) {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...), nil
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...), nil
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...), nil
	case math.Abs(f) >= 1e-6 && math.Abs(f) < 1e21: // without an exponent in JSON
		return strconv.AppendFloat(dst, f, 'f', -1, 64), nil
	}
	text, err := json.Marshal(f)
	return append(dst, text...), err
}
