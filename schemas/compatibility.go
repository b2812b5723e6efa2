package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/twmb/avro"

	"lull/operators"
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

// CanRead returns why records of a writer's schema cannot be read as those of the input, or have no place for what their events need by its mapping; nil if they can. The input's format is RegistryAvro.
func (in *Input) CanRead(written WriterSchema) error {
	schema, err := in.readerOf(written)
	if err != nil {
		return errors.New(avroCause(err))
	}
	if in.mapping == nil {
		return nil
	}
	reader, writer := schema.Root(), schema.Root()
	if in.reader != nil {
		reader = in.reader.Root()
		if schema, err = parseForeign(written.Schema, written.References, true); err != nil {
			return err //lull:unread it has been parsed before
		}
		writer = schema.Root()
	}
	has := make([]bool, len(in.mapping.places.names))
	for i, name := range in.mapping.places.names {
		has[i] = strings.HasPrefix(name, "$") // of the record, beside its value
	}
	in.mapping.places.root.within(reader, writer, has)
	return in.mapping.usable(has)
}

// within notes the places that values can have something at which one schema has written and another reads.
func (p *place) within(reader, writer *avro.SchemaNode, has []bool) {
	reader, writer = definition(reader), definition(writer)
	switch {
	case writer.Type == "union":
		for i := range writer.Branches {
			p.within(reader, &writer.Branches[i], has)
		}
		return
	case reader.Type == "union":
		for i := range reader.Branches {
			p.within(&reader.Branches[i], writer, has)
		}
		return
	}
	if p.slot >= 0 && writer.Type != "null" {
		has[p.slot] = true
	}
	switch {
	case isRecord(reader) && isRecord(writer):
		for i := range reader.Fields {
			if below := p.fields[reader.Fields[i].Name]; below != nil {
				below.withinField(&reader.Fields[i], writer, has)
			}
		}
	case reader.Type == "map" && writer.Type == "map":
		for _, below := range p.fields {
			below.within(reader.Values, writer.Values, has)
		}
	case reader.Type == "array" && writer.Type == "array":
		for _, below := range p.elements {
			below.within(reader.Items, writer.Items, has)
		}
		if p.each != nil {
			p.each.within(reader.Items, writer.Items, has)
		}
	}
}

// withinField notes the places of a record's field, which the writer has under its name or an alias, or which has its default.
func (p *place) withinField(field *avro.SchemaField, writer *avro.SchemaNode, has []bool) {
	for i := range writer.Fields {
		if w := &writer.Fields[i]; w.Name == field.Name || slices.Contains(field.Aliases, w.Name) {
			p.within(&field.Type, &w.Type, has)
			return
		}
	}
	if field.Default != nil {
		p.within(&field.Type, &field.Type, has)
	}
}

func isRecord(n *avro.SchemaNode) bool { return n.Type == "record" || n.Type == "error" }

// definition returns the type that a node names, or the node if it names none.
func definition(n *avro.SchemaNode) *avro.SchemaNode {
	schema, err := n.Schema()
	if err != nil {
		return n
	}
	return schema.Root()
}

// usable returns what the events of records that can have something at these places lack; nil if nothing.
func (m *Mapping) usable(has []bool) error {
	matching := false
	var absent []string // that no rule matches without
	for i := range m.rules {
		r := &m.rules[i]
		if slot := r.closed(has); slot >= 0 {
			if name := m.places.names[slot]; !slices.Contains(absent, name) {
				absent = append(absent, name)
			}
			continue
		}
		matching = true
		kinds := []operators.EventKind{r.kind}
		if r.kinds != nil {
			kinds = slices.Compact(slices.Sorted(maps.Values(r.kinds)))
		}
		for _, kind := range kinds {
			if field := r.lacks(kind, has); field != "" && kind != ignore {
				return fmt.Errorf("the %s event has no %s%s", kind, field, m.sought(r, field))
			}
		}
	}
	if !matching && m.unmatched == refuseUnmatched {
		return fmt.Errorf("no rule of %s matches: there is no %s", m.name(), strings.Join(absent, ", "))
	}
	return nil
}

// closed returns a place that the rule matches no record without, and that records do not have; -1 if there is none.
func (r *rule) closed(has []bool) int {
	for _, c := range r.conditions {
		if (c.values != nil || c.present) && !has[c.slot] {
			return c.slot
		}
	}
	if r.kinds != nil && !has[r.kindSlot] {
		return r.kindSlot
	}
	return -1
}

// lacks returns a field that events of the kind need, and that the rule finds at none of the places which records can have something at; "" if there is none.
func (r *rule) lacks(kind operators.EventKind, has []bool) string {
	finds := func(f field) bool {
		of := &r.fields[f]
		return of.constant != "" || slices.ContainsFunc(of.slots, func(slot int) bool { return has[slot] })
	}
	text := func(f field) *string {
		if !finds(f) {
			return nil
		}
		return &fieldNames[f]
	}
	switch {
	case !finds(customerField):
		return fieldNames[customerField]
	case !finds(timeField):
		return fieldNames[timeField]
	}
	w := wireEvent{OrderID: text(orderField), Currency: text(currencyField), Name: text(nameField), Subject: text(subjectField), Whole: finds(wholeField)}
	if finds(amountField) {
		w.Amount = new(int64)
	}
	return missing(kind, &w)
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
