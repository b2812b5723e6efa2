package schemas

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"lull/operators"
)

// Leaf is one value of a record that stands alone, at the path by which a mapping finds it: a text, a number, true or false, or an instant. Of the elements of an array there is
// one leaf for each, all with a path such as lines[].qty.
type Leaf struct {
	Path  string
	value scalar
}

// Each reports whether the leaf is one of an array: only quantity, their sum, is read at such a path.
func (l *Leaf) Each() bool { return strings.Contains(l.Path, "[]") }

// Text returns the value as a mapping compares it and takes it for an id: texts as they are, numbers by their digits. It is "" for an instant.
func (l *Leaf) Text() string { return l.value.text }

// Shown returns the value for people.
func (l *Leaf) Shown() string {
	if l.value.kind == dated || l.value.kind == local {
		return l.value.at.String()
	}
	return l.value.text
}

// IsID reports whether the value can be an id: a text, or a whole number.
func (l *Leaf) IsID() bool {
	return l.value.kind == textual || l.value.kind == numeric && onlyDigits(strings.TrimPrefix(l.value.text, "-"))
}

// IsNumber reports whether the value is written as a number, and not as a text of one.
func (l *Leaf) IsNumber() bool { return l.value.kind == numeric }

// IsDated reports whether the format itself tells that the value is a time, as Avro's logical types do.
func (l *Leaf) IsDated() bool { return l.value.kind == dated || l.value.kind == local }

// Time returns the instant that the value is by a mapping's format and layout of time, of which one is "". ok is false if it is none.
func (l *Leaf) Time(format, layout string, zone *time.Location) (t operators.EventTime, ok bool) {
	f := timeFormat{digits: noUnit, layout: layout, zone: zone}
	if unit, isUnit := timeUnits[format]; isUnit {
		f.digits = unit
	}
	t, wrong := f.read(&l.value)
	return t, wrong == "" && t >= TimeMin && t < TimeEnd
}

// Decimal returns how many digits the value has behind its decimal point, or comma, and whether it is below 0. ok is false if it is no number by that.
func (l *Leaf) Decimal(comma bool) (digits int, negative, ok bool) {
	if l.value.kind != textual && l.value.kind != numeric {
		return 0, false, false
	}
	text := l.value.text
	if comma {
		text = pointed(&l.value)
	}
	d, ok := parseDecimal(text)
	return max(0, d.scale), d.negative, ok
}

// LeafReader takes records apart without knowing what is in them. It is not safe for concurrent use.
type LeafReader struct {
	input    *Input
	document document
	writers  *writerSchemas
	places   *places
	found    found
}

// NewLeafReader returns a reader of records of a format. schema is that of FixedAvro, writers are those of RegistryAvro, columns and delimiter those of CSV. The error says that the
// schema is none. Records of event.avsc need none: their fields are known.
func NewLeafReader(format Format, schema string, writers Writers, columns []string, delimiter rune) (*LeafReader, error) {
	r := &LeafReader{places: newPlaces()}
	r.input = &Input{Format: format, writers: writers, mapping: &Mapping{places: r.places, columns: columns, delimiter: delimiter}}
	if format == FixedAvro {
		var err error
		if r.input.reader, err = parseForeign(schema, nil, true); err != nil {
			return nil, err
		}
	}
	switch format {
	case RegistryAvro:
		r.writers = &writerSchemas{input: r.input}
	case CSV:
		r.document = newCSVDocument(r.input.mapping)
		for i, column := range columns {
			if column != "" {
				r.places.add(column, []step{{kind: intoElement, element: i}})
			}
		}
	default:
		r.document = jsonDocument{}
	}
	r.found = make(found, len(r.places.names))
	return r, nil
}

// Leaves returns the values of a record that are not null and not empty, or why it cannot be taken apart. They may be parts of the record's value.
func (r *LeafReader) Leaves(value []byte) (leaves []Leaf, refusal *operators.Rejection) {
	take := func(path string, s scalar) {
		if !s.empty() && s.kind != composite && utf8.ValidString(s.text) && utf8.ValidString(path) {
			leaves = append(leaves, Leaf{path, s})
		}
	}
	switch r.input.Format {
	case RegistryAvro, FixedAvro:
		schema := r.input.reader
		if r.writers != nil {
			if schema, value, refusal = r.writers.open(value); refusal != nil {
				return nil, refusal
			}
		}
		var v any
		rest, err := schema.Decode(value, &v, aliasInput)
		if err != nil {
			return nil, undecodable(value, err)
		}
		if len(rest) > 0 {
			return nil, reject(ReasonTrailingBytes, "%d of %d bytes follow the record", len(rest), len(value))
		}
		avroLeaves(v, "", pathDepthMax, take)
		return leaves, nil
	}
	clear(r.found)
	if refusal := r.document.read(value, r.places, r.found); refusal != nil {
		return nil, refusal
	}
	if r.input.Format == CSV {
		for i, name := range r.places.names {
			take(name, r.found[i])
		}
		return leaves, nil
	}
	jsonLeaves(gjson.ParseBytes(value), "", pathDepthMax, take)
	return leaves, nil
}

// leafPathBytesMax bounds the paths of leaves: each has its own, and the names of what it lies in may be long.
const leafPathBytesMax = 1000

// within returns the path of a field below another; ok is false for one that no path leads to, or too long a one.
func within(path, name string) (_ string, ok bool) {
	if name == "" || len(path)+len(name) > leafPathBytesMax {
		return "", false
	}
	var b strings.Builder
	if path != "" {
		b.WriteString(path + ".")
	}
	for i := range len(name) {
		if c := name[i]; c == '.' || c == '[' || c == ']' || c == '\\' || c == '$' && i == 0 && path == "" {
			b.WriteByte('\\')
		}
		b.WriteByte(name[i])
	}
	return b.String(), true
}

func jsonLeaves(v gjson.Result, path string, depth int, take func(path string, s scalar)) {
	switch {
	case depth == 0 && (v.IsObject() || v.IsArray()):
	case v.IsObject():
		v.ForEach(func(name, field gjson.Result) bool {
			if path, ok := within(path, name.Str); ok {
				jsonLeaves(field, path, depth-1, take)
			}
			return true
		})
	case v.IsArray():
		if path == "" || strings.Contains(path, "[]") { // only one array of a path is summed over
			return
		}
		v.ForEach(func(_, element gjson.Result) bool {
			jsonLeaves(element, path+"[]", depth-1, take)
			return true
		})
	default:
		take(path, jsonScalar(v))
	}
}

func avroLeaves(v any, path string, depth int, take func(path string, s scalar)) {
	if depth == 0 {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if path, ok := within(path, name); ok {
				avroLeaves(v[name], path, depth-1, take)
			}
		}
	case []any:
		if path == "" || strings.Contains(path, "[]") {
			return
		}
		for _, element := range v {
			avroLeaves(element, path+"[]", depth-1, take)
		}
	default:
		take(path, scalarOf(v))
	}
}

// SchemaIDOf returns the id of a schema that a value in the wire format of a registry begins with; ok is false if it cannot be one.
func SchemaIDOf(value []byte) (id uint32, ok bool) {
	if len(value) <= wireBytes || value[0] != 0 {
		return 0, false
	}
	id = binary.BigEndian.Uint32(value[1:])
	return id, id > 0 && id < 1<<31
}
