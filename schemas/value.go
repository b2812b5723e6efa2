package schemas

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
	"github.com/twmb/avro"

	"lull/operators"
)

// SubscriberTopics are the topics whose values are written as their subscribers want them.
var SubscriberTopics = [...]Topic{Sessions, Scores, Segments, Triggers, Offers}

// OutputFormats are the formats that values of SubscriberTopics are written in.
var OutputFormats = [...]Format{OwnAvro, RegistryAvro, JSON}

// OutputFormatNames are the names of OutputFormats, as settings have them.
func OutputFormatNames() (names []string) {
	for _, f := range OutputFormats {
		names = append(names, f.String())
	}
	return names
}

// ContentTypeHeader is the header of a record that says which format its value has.
const ContentTypeHeader = "content-type"

// ContentType returns what the header says of values in one of OutputFormats.
func (f Format) ContentType() string {
	switch f {
	case RegistryAvro:
		return "application/vnd.confluent.avro"
	case JSON:
		return "application/json"
	}
	return "application/avro"
}

// frameBytes is the length of what stands before the Avro of a value in the wire format of a registry: a zero byte, and the schema's id.
const frameBytes = 5

// PlainAvro returns the value of one of our topics' records as Avro by the topic's schema, without framing: whatever reads our outputs begins with it. contentType is
// what the record's header says, "" if it has none: each record tells its own format, because a topic holds several once the setting has been changed. JSON has the same
// Avro as if it had been written as Avro, bit by bit; fields that are not known are passed over, and missing ones that may be null are null. A null value stays null. The
// error says that the value is not what its content type says.
func PlainAvro(t Topic, contentType string, value []byte) ([]byte, error) {
	switch {
	case value == nil || contentType == "" || contentType == OwnAvro.ContentType():
		return value, nil
	case contentType == RegistryAvro.ContentType():
		if len(value) < frameBytes || value[0] != 0 {
			return nil, fmt.Errorf("decoding a record of %s: content-type is %s, and it does not begin with a zero byte and a schema's id", t, contentType)
		}
		return value[frameBytes:], nil
	case contentType == JSON.ContentType() && slices.Contains(SubscriberTopics[:], t):
		plain, err := avroOfJSON(t, value)
		if err != nil {
			return nil, fmt.Errorf("decoding a record of %s: %w", t, err)
		}
		return plain, nil
	}
	return nil, fmt.Errorf("decoding a record of %s: content-type is %s, which no record of it has", t, quoted(contentType))
}

// plainOf is PlainAvro of a record with these headers.
func plainOf(t Topic, value []byte, headers []Header) ([]byte, error) {
	contentType := ""
	for i := range headers {
		if headers[i].Key == ContentTypeHeader {
			contentType = string(headers[i].Value)
		}
	}
	return PlainAvro(t, contentType, value)
}

func avroOfJSON(t Topic, value []byte) ([]byte, error) {
	if !gjson.ValidBytes(value) {
		return nil, errors.New("it is no JSON")
	}
	wire := comparedWire(t)
	if err := forms()[t].set(reflect.ValueOf(wire).Elem(), gjson.ParseBytes(value)); err != nil {
		return nil, err
	}
	return compiled[t].AppendEncode(nil, wire)
}

// forms are those of SubscriberTopics.
var forms = sync.OnceValue(func() (forms [topicsEnd]*form) {
	for _, t := range SubscriberTopics {
		forms[t] = newForm(shapes()[t], reflect.TypeOf(comparedWire(t)).Elem())
	}
	return forms
})

// form joins a schema to the Go type of its values: with it a value is read from JSON and told as Fields, whose JSON is that of our outputs.
type form struct {
	node   *avro.SchemaNode
	fields []formField // of a record
	inner  *form       // of an array's elements, or of what a union has beside null
}

type formField struct {
	name  string
	index []int // in the record's struct
	form  *form
}

func newForm(node *avro.SchemaNode, of reflect.Type) *form {
	f := &form{node: node}
	switch node.Type {
	case "record":
		indexes := make(map[string][]int)
		for _, field := range reflect.VisibleFields(of) {
			name, _, _ := strings.Cut(field.Tag.Get("avro"), ",")
			indexes[name] = field.Index
		}
		for i := range node.Fields {
			name := node.Fields[i].Name
			f.fields = append(f.fields, formField{name, indexes[name], newForm(&node.Fields[i].Type, of.FieldByIndex(indexes[name]).Type)})
		}
	case "array":
		f.inner = newForm(node.Items, of.Elem())
	case "union": // of null and one type, in all our schemas
		f.inner = newForm(&node.Branches[1], of.Elem())
	}
	return f
}

// value returns a value as a Field has it.
func (f *form) value(v reflect.Value) any {
	switch f.node.Type {
	case "record":
		fields := make(Fields, len(f.fields))
		for i := range f.fields {
			fields[i] = Field{f.fields[i].name, f.fields[i].form.value(v.FieldByIndex(f.fields[i].index))}
		}
		return fields
	case "array":
		elements := make([]any, v.Len())
		for i := range elements {
			elements[i] = f.inner.value(v.Index(i))
		}
		return elements
	case "union":
		if v.IsNil() {
			return nil
		}
		return f.inner.value(v.Elem())
	case "enum":
		return f.node.Symbols[v.Uint()]
	case "boolean":
		return v.Bool()
	case "double":
		return v.Float()
	case "string":
		return v.String()
	}
	switch f.node.LogicalType { // of int and long
	case "date":
		return operators.Day(v.Int())
	case "timestamp-millis":
		return operators.EventTime(v.Int())
	}
	return v.Int()
}

// set makes v the value that JSON tells. The error names the field.
func (f *form) set(v reflect.Value, of gjson.Result) error {
	switch f.node.Type {
	case "record":
		return f.setRecord(v, of)
	case "array":
		if !of.IsArray() {
			return fmt.Errorf("it is %s, and no array", quoted(of.String()))
		}
		elements := of.Array()
		v.Set(reflect.MakeSlice(v.Type(), len(elements), len(elements)))
		for i, element := range elements {
			if err := f.inner.set(v.Index(i), element); err != nil {
				return fmt.Errorf("element %d: %w", i+1, err)
			}
		}
		return nil
	case "union":
		if of.Type == gjson.Null { // or missing
			v.SetZero()
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return f.inner.set(v.Elem(), of)
	}
	return f.setScalar(v, of)
}

func (f *form) setRecord(v reflect.Value, of gjson.Result) error {
	if !of.IsObject() {
		return fmt.Errorf("it is %s, and no object", quoted(of.String()))
	}
	members := of.Map()
	for _, field := range f.fields {
		member := members[field.name]
		if !member.Exists() && field.form.node.Type != "union" {
			return fmt.Errorf("%s is missing", field.name)
		}
		if err := field.form.set(v.FieldByIndex(field.index), member); err != nil {
			return fmt.Errorf("%s: %w", field.name, err)
		}
	}
	return nil
}

func (f *form) setScalar(v reflect.Value, of gjson.Result) (err error) {
	switch f.node.Type {
	case "boolean":
		if !of.IsBool() {
			return fmt.Errorf("it is %s, and neither true nor false", quoted(of.String()))
		}
		v.SetBool(of.Bool())
		return nil
	case "double": // or a text, where JSON has no number: see appendJSONFloat
		number, err := strconv.ParseFloat(strings.Trim(of.Raw, `"`), 64)
		if err != nil {
			return fmt.Errorf("it is %s, and no number", quoted(of.String()))
		}
		v.SetFloat(number)
		return nil
	}
	integer := f.node.LogicalType == "" && (f.node.Type == "int" || f.node.Type == "long")
	if !integer && of.Type != gjson.String {
		return fmt.Errorf("it is %s, and no text", quoted(of.String()))
	}
	var n int64
	var at time.Time
	switch {
	case f.node.Type == "string":
		v.SetString(of.Str)
		return nil
	case f.node.Type == "enum":
		symbol := slices.Index(f.node.Symbols, of.Str)
		if symbol < 0 {
			return fmt.Errorf("it is %s, and none of %s", quoted(of.String()), strings.Join(f.node.Symbols, ", "))
		}
		v.SetUint(uint64(symbol))
		return nil
	case integer:
		n, err = strconv.ParseInt(of.Raw, 10, v.Type().Bits())
	case f.node.LogicalType == "date":
		at, err = time.Parse(time.DateOnly, of.Str)
		n = floorDiv(at.Unix(), operators.DayMs/1000)
	default:
		at, err = time.Parse(time.RFC3339, of.Str)
		n = at.UnixMilli()
	}
	if err != nil {
		return fmt.Errorf("it is %s, and no %s", quoted(of.String()), strings.TrimSpace(f.node.Type+" "+f.node.LogicalType))
	}
	v.SetInt(n)
	return nil
}
