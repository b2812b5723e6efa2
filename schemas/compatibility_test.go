package schemas

import (
	"strings"
	"testing"
)

// TestMappingFitsWriter proves that a writer's schema cannot be read if it has no place for what events of the mapping need, and that one can which has the place in a union, a map, an array, by a name that is
// referred to, or, with a schema to read by, under an alias or by a default.
func TestMappingFitsWriter(t *testing.T) {
	const head = `{"type": "record", "name": "Sale", "fields": [{"name": "client", "type": "string"}, {"name": "at", "type": "long"}, {"name": "no", "type": "string"}`
	const sale = "version: 1\nfields: {customer_id: client, time: {from: at, format: milliseconds}, order_id: no, amount: {from: PATH, unit: major}, currency: {const: EUR}}\nrules: [{kind: order_completed}]"
	const mixed = "version: 1\nfields: {customer_id: client, time: {from: at, format: milliseconds}, order_id: no, amount: {from: total, unit: major}, currency: {const: EUR}}\nrules: [{kind: {from: what, values: {sold: order_completed, void: order_cancelled}}}]"
	const given = "version: 1\nfields: {customer_id: client, time: {from: at, format: milliseconds}, order_id: no, amount: {from: total, unit: major}, currency: {const: EUR}}\nrules: [{when: {total: {present: true}}, kind: order_completed}, {kind: order_cancelled}]"
	path := func(path string) string { return strings.Replace(sale, "PATH", path, 1) }
	for _, c := range []struct{ name, schema, reader, mapping, want string }{
		{"there", head + `, {"name": "total", "type": "string"}]}`, "", path("total"), ""},
		{"renamed", head + `, {"name": "amount", "type": "string"}]}`, "", path("total"), "the order_completed event has no amount, for which the mapping pos.yaml looks at total"},
		{"always null", head + `, {"name": "total", "type": "null"}]}`, "", path("total"), "the order_completed event has no amount, for which the mapping pos.yaml looks at total"},
		{"one of two places", head + `, {"name": "amount", "type": "string"}]}`, "", path("[total, amount]"), ""},
		{"in a union", head + `, {"name": "sum", "type": ["null", {"type": "record", "name": "M", "fields": [{"name": "total", "type": "string"}]}]}]}`, "", path("sum.total"), ""},
		{"by a name", head + `, {"name": "net", "type": {"type": "record", "name": "M", "fields": [{"name": "total", "type": "string"}]}}, {"name": "sum", "type": ["null", "M"]}]}`, "", path("sum.total"), ""},
		{"by a name, and not there", head + `, {"name": "net", "type": {"type": "record", "name": "M", "fields": [{"name": "cents", "type": "string"}]}}, {"name": "sum", "type": "M"}]}`, "", path("sum.total"),
			"the order_completed event has no amount, for which the mapping pos.yaml looks at sum.total"},
		{"in a map", head + `, {"name": "sum", "type": {"type": "map", "values": "string"}}]}`, "", path("sum.total"), ""},
		{"in an array", head + `, {"name": "parts", "type": {"type": "array", "items": {"type": "record", "name": "P", "fields": [{"name": "total", "type": "string"}]}}}]}`, "", path(`"parts[0].total"`), ""},
		{"in no array", head + `, {"name": "parts", "type": "string"}]}`, "", path(`"parts[0].total"`), "the order_completed event has no amount, for which the mapping pos.yaml looks at parts[0].total"},
		{"beside the value", head + `]}`, "", path("$header.total"), ""},
		{"no kind", head + `, {"name": "total", "type": "string"}]}`, "", mixed, "no rule of the mapping pos.yaml matches: there is no what"},
		{"of one kind alone", head + `, {"name": "what", "type": "string"}]}`, "", mixed, "the order_completed event has no amount, for which the mapping pos.yaml looks at total"},
		{"only where it is there", head + `]}`, "", given, ""},
		{"ignored", head + `]}`, "", mixed + "\nunmatched: ignore", ""},
		{"alias", head + `, {"name": "amount", "type": "string"}]}`, head + `, {"name": "total", "type": "string", "aliases": ["amount"]}]}`, path("total"), ""},
		{"default", head + `]}`, head + `, {"name": "total", "type": "string", "default": "1.00"}]}`, path("total"), ""},
		{"null by default", head + `, {"name": "amount", "type": "string"}]}`, head + `, {"name": "total", "type": ["null", "string"], "default": null}]}`, path("total"),
			"the order_completed event has no amount, for which the mapping pos.yaml looks at total"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mapping, err := ParseMapping([]byte(c.mapping))
			if err != nil {
				t.Fatal(err)
			}
			mapping.File = "pos.yaml"
			input, err := NewInput("input", RegistryAvro, c.reader, mapping, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := input.CanRead(WriterSchema{Schema: c.schema}); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("%q; want %q", got, c.want)
			}
		})
	}
}
