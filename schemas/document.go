package schemas

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"

	"github.com/tidwall/gjson"
	"github.com/twmb/avro"

	"lull/operators"
)

// document takes values apart: it fills the slots of the places that a mapping looks at, or says why the value is none of its format. Texts may be parts of the
// value.
type document interface {
	read(value []byte, at *places, into found) *operators.Rejection
}

// jsonDocument reads JSON objects. Of equal names in an object the last counts.
type jsonDocument struct{}

// bracketsMax is how many brackets a value may have to be checked by gjson, whose check calls itself at each: the stack of hostile values would have no bound. The check of
// encoding/json gives up at a depth of 10,000.
const bracketsMax = 1000

func (jsonDocument) read(value []byte, at *places, into found) *operators.Rejection {
	valid := gjson.ValidBytes
	if bytes.Count(value, []byte("["))+bytes.Count(value, []byte("{")) > bracketsMax {
		valid = json.Valid
	}
	if !valid(value) {
		return reject(ReasonMalformed, "the value of %d bytes is no JSON (%s)", len(value), quoted(string(value[:min(len(value), 65)])))
	}
	root := gjson.ParseBytes(value)
	if !root.IsObject() {
		return reject(ReasonMalformed, "the value is JSON, but no object (%s)", quoted(root.Raw))
	}
	walkJSON(root, at.root, into, false)
	return nil
}

func walkJSON(v gjson.Result, p *place, into found, summing bool) {
	into.set(p.slot, jsonScalar(v), summing)
	switch {
	case p.fields != nil && v.IsObject():
		v.ForEach(func(name, field gjson.Result) bool {
			if below := p.fields[name.Str]; below != nil {
				walkJSON(field, below, into, summing)
			}
			return true
		})
	case p.inArray() && v.IsArray():
		i := 0
		v.ForEach(func(_, element gjson.Result) bool {
			if below := p.elements[i]; below != nil {
				walkJSON(element, below, into, summing)
			}
			if p.each != nil {
				walkJSON(element, p.each, into, true)
			}
			i++
			return true
		})
	}
}

func jsonScalar(v gjson.Result) scalar {
	switch v.Type {
	case gjson.Null:
		return scalar{}
	case gjson.String:
		return scalar{kind: textual, text: v.Str}
	case gjson.Number:
		return scalar{kind: numeric, text: v.Raw}
	case gjson.True, gjson.False:
		return scalar{kind: truth, text: v.Raw}
	}
	return scalar{kind: composite}
}

// csvDocument reads one row of CSV, whose columns the mapping names.
type csvDocument struct {
	bytes     bytes.Reader
	rows      *csv.Reader
	fields    int
	delimiter rune
}

func newCSVDocument(m *Mapping) *csvDocument {
	d := &csvDocument{fields: len(m.columns), delimiter: m.delimiter}
	d.renew()
	return d
}

// renew makes a reader that has nothing left of what it has read before.
func (d *csvDocument) renew() {
	d.rows = csv.NewReader(&d.bytes)
	d.rows.Comma = d.delimiter
	d.rows.ReuseRecord = true
	d.rows.FieldsPerRecord = -1 // how many there are is told in our words
}

func (d *csvDocument) read(value []byte, at *places, into found) *operators.Rejection {
	d.bytes.Reset(value)
	row, err := d.rows.Read()
	if err != nil {
		d.renew()
		why := err.Error()
		var malformed *csv.ParseError
		switch {
		case errors.As(err, &malformed):
			why = malformed.Err.Error()
		case errors.Is(err, io.EOF):
			why = "it is empty"
		}
		return reject(ReasonMalformed, "the value of %d bytes is no row of CSV (%s)", len(value), why)
	}
	// The row stays what it is: at the end of the value nothing is written into it.
	if _, err := d.rows.Read(); !errors.Is(err, io.EOF) {
		d.renew()
		return reject(ReasonTrailingBytes, "more than one row of CSV is in the value of %d bytes", len(value))
	}
	if len(row) != d.fields {
		return reject(ReasonMalformed, "the row has %d columns, the mapping names %d", len(row), d.fields)
	}
	for i, cell := range row {
		if below := at.root.elements[i]; below != nil && cell != "" {
			into.set(below.slot, scalar{kind: textual, text: cell}, false)
		}
	}
	return nil
}

// avroDocument reads Avro by one schema.
type avroDocument struct{ schema *avro.Schema }

func (d *avroDocument) read(value []byte, at *places, into found) *operators.Rejection {
	return readAvro(d.schema, value, at, into)
}

// readAvro reads an Avro value without framing.
func readAvro(schema *avro.Schema, value []byte, at *places, into found) *operators.Rejection {
	var v any
	rest, err := schema.Decode(value, &v, aliasInput)
	if err != nil {
		return undecodable(value, err)
	}
	if len(rest) > 0 {
		return reject(ReasonTrailingBytes, "%d of %d bytes follow the record", len(rest), len(value))
	}
	walkAvro(v, at.root, into, false)
	return nil
}

func walkAvro(v any, p *place, into found, summing bool) {
	if p.slot >= 0 {
		into.set(p.slot, scalarOf(v), summing)
	}
	switch v := v.(type) {
	case map[string]any:
		for name, below := range p.fields {
			if field, has := v[name]; has {
				walkAvro(field, below, into, summing)
			}
		}
	case []any:
		for i, below := range p.elements {
			if i < len(v) {
				walkAvro(v[i], below, into, summing)
			}
		}
		if p.each != nil {
			for _, element := range v {
				walkAvro(element, p.each, into, true)
			}
		}
	}
}
