package schemas

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"lull/operators"
)

// MappingVersion is the version of the language of mapping files.
const MappingVersion = 1

// The bounds of a mapping file.
const (
	mappingBytesMax = 1 << 20
	rulesMax        = 1000
	columnsMax      = 10_000
)

// ParseMapping reads a mapping file. The error names each problem with its line and column.
func ParseMapping(file []byte) (*Mapping, error) {
	if len(file) > mappingBytesMax {
		return nil, fmt.Errorf("the mapping has %d bytes; at most %d are read", len(file), mappingBytesMax)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(file, &root); err != nil {
		return nil, ExplainYAML(err)
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 {
		return nil, errors.New("line 1, column 1: the file is empty: it must have version, fields and rules")
	}
	f := &mappingFile{mapping: &Mapping{places: newPlaces()}, zone: time.UTC}
	f.read(root.Content[0])
	if len(f.problems) > 0 {
		slices.SortStableFunc(f.problems, func(a, b mappingProblem) int {
			if a.line != b.line {
				return a.line - b.line
			}
			return a.column - b.column
		})
		var errs []error
		for _, p := range f.problems {
			errs = append(errs, fmt.Errorf("line %d, column %d: %s", p.line, p.column, p.text))
		}
		return nil, errors.Join(errs...)
	}
	return f.mapping, nil
}

type mappingProblem struct {
	line, column int
	text         string
}

// mappingFile is a mapping while it is read.
type mappingFile struct {
	mapping  *Mapping
	zone     *time.Location
	problems []mappingProblem
}

func (f *mappingFile) problem(at *yaml.Node, format string, args ...any) {
	f.problems = append(f.problems, mappingProblem{at.Line, at.Column, fmt.Sprintf(format, args...)})
}

// entry is a key with its value.
type entry struct{ key, value *yaml.Node }

// entries returns those of a section by their keys, which must be among known ones; nil known allows all. what names the section in messages.
func (f *mappingFile) entries(node *yaml.Node, what string, known ...string) (map[string]entry, []string) {
	if node.Kind != yaml.MappingNode {
		f.problem(node, "%s must be keys with values", what)
		return nil, nil
	}
	found := make(map[string]entry)
	var order []string
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := key.Value
		switch {
		case key.Kind != yaml.ScalarNode || value.Kind == yaml.AliasNode || key.Tag == "!!merge":
			f.problem(key, "anchors, aliases and keys that are no texts are not read")
			continue
		case len(known) > 0 && !slices.Contains(known, name):
			f.problem(key, "unknown key %s; in %s can stand: %s", quoted(name), what, strings.Join(known, ", "))
			continue
		}
		if _, twice := found[name]; twice {
			f.problem(key, "the key %s stands there twice", quoted(name))
			continue
		}
		found[name] = entry{key, value}
		order = append(order, name)
	}
	return found, order
}

// text returns a node that is one thing, as a text.
func (f *mappingFile) text(node *yaml.Node, what string) (string, bool) {
	if node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		f.problem(node, "%s must be one value", what)
		return "", false
	}
	return node.Value, true
}

// texts returns a node that is one thing or a list of such.
func (f *mappingFile) texts(node *yaml.Node, what string) (list []string, ok bool) {
	nodes := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		nodes = node.Content
	}
	if len(nodes) == 0 {
		f.problem(node, "%s must be one value or more", what)
		return nil, false
	}
	for _, n := range nodes {
		text, ok := f.text(n, what)
		if !ok {
			return nil, false
		}
		list = append(list, text)
	}
	return list, true
}

// oneOf returns a value that is one of these.
func (f *mappingFile) oneOf(node *yaml.Node, what string, values ...string) (string, bool) {
	text, ok := f.text(node, what)
	if ok && !slices.Contains(values, text) {
		f.problem(node, "%s is %s: it must be one of %s", what, quoted(text), strings.Join(values, ", "))
		return "", false
	}
	return text, ok
}

func (f *mappingFile) read(root *yaml.Node) {
	top, _ := f.entries(root, "a mapping", "version", "zone", "unmatched", "csv", "fields", "rules")
	if top == nil {
		return
	}
	switch version, has := top["version"]; {
	case !has:
		f.problem(root, "version is missing: write version: %d", MappingVersion)
	case version.value.Value != strconv.Itoa(MappingVersion):
		f.problem(version.value, "version is %s: this program reads version %d", quoted(version.value.Value), MappingVersion)
	}
	if zone, has := top["zone"]; has {
		f.zone = f.location(zone.value)
	}
	if e, has := top["unmatched"]; has {
		if text, ok := f.oneOf(e.value, "unmatched", "dead-letter", "ignore"); ok && text == "ignore" {
			f.mapping.unmatched = ignoreUnmatched
		}
	}
	if e, has := top["csv"]; has {
		f.readCSV(e.value)
	}
	var common [fieldsEnd]fieldRule
	if e, has := top["fields"]; has {
		f.readFields(e.value, &common)
	}
	rules, has := top["rules"]
	switch {
	case !has:
		f.problem(root, "rules is missing: a list of at least one rule, such as - kind: order_completed")
	case rules.value.Kind != yaml.SequenceNode || len(rules.value.Content) == 0:
		f.problem(rules.value, "rules must be a list of at least one rule, such as - kind: order_completed")
	case len(rules.value.Content) > rulesMax:
		f.problem(rules.value, "there are %d rules; at most %d are read", len(rules.value.Content), rulesMax)
	default:
		for i, node := range rules.value.Content {
			before := len(f.problems)
			if r := f.readRule(node, &common); len(f.problems) == before && r.matchesAll() && i < len(rules.value.Content)-1 {
				f.problem(node, "this rule matches everything: no record reaches the rules behind it. Give it a condition by when, or move it to the end")
			}
		}
	}
}

func (r *rule) matchesAll() bool { return len(r.conditions) == 0 && r.kinds == nil }

func (f *mappingFile) location(node *yaml.Node) *time.Location {
	text, ok := f.text(node, "zone")
	if !ok {
		return time.UTC
	}
	zone, err := time.LoadLocation(text)
	if err != nil || text == "" || text == "Local" {
		f.problem(node, "zone is %s: it must be an IANA time zone such as Europe/Berlin", quoted(text))
		return time.UTC
	}
	return zone
}

func (f *mappingFile) readCSV(node *yaml.Node) {
	section, _ := f.entries(node, "csv", "columns", "delimiter")
	f.mapping.delimiter = ','
	if e, has := section["delimiter"]; has {
		text, ok := f.text(e.value, "delimiter")
		delimiter, size := utf8.DecodeRuneInString(text)
		if ok && (size == 0 || size != len(text) || strings.ContainsRune("\"\r\n\ufffd", delimiter)) {
			f.problem(e.value, "delimiter is %s: it must be one character, and no quote or line end", quoted(text))
		}
		f.mapping.delimiter = delimiter
	}
	e, has := section["columns"]
	if !has {
		if section != nil {
			f.problem(node, "csv lacks columns: the names of all columns of a record, in their order")
		}
		f.mapping.columns = []string{""} // the rest is read as that of CSV
		return
	}
	columns, _ := f.texts(e.value, "columns")
	if len(columns) > columnsMax {
		f.problem(e.value, "there are %d columns; at most %d are read", len(columns), columnsMax)
	}
	seen := make(map[string]bool)
	for _, column := range columns {
		if seen[column] && column != "" {
			f.problem(e.value, "there are two columns %s: give them names of their own, or leave names empty that are not used", quoted(column))
		}
		seen[column] = true
	}
	if f.mapping.columns = columns; columns == nil {
		f.mapping.columns = []string{""}
	}
}

// place returns the number of the place that a path, or the name of a column, means; -1 if it means none.
func (f *mappingFile) place(node *yaml.Node, text string, summing bool) int {
	m := f.mapping
	if m.columns != nil && !strings.HasPrefix(text, "$") {
		if slices.Equal(m.columns, []string{""}) && len(f.problems) > 0 { // that there are none has been told
			return -1
		}
		i := slices.Index(m.columns, text)
		if i < 0 || text == "" {
			f.problem(node, "there is no column %s; columns are %s", quoted(text), strings.Join(m.columns, ", "))
			return -1
		}
		return m.places.add(text, []step{{kind: intoElement, element: i}})
	}
	steps, each, err := parsePath(text)
	switch {
	case err != nil:
		f.problem(node, "%v", err)
		return -1
	case each && !summing:
		f.problem(node, "the path %s means many values: [] is read for quantity, which is their sum; write [0] for the first", quoted(text))
		return -1
	}
	return m.places.add(text, steps)
}

// fieldKeys are those that a field can have beside from, const, default and values.
var fieldKeys = map[field][]string{timeField: {"format", "layout", "zone", "skew"}, amountField: {"unit", "inexact", "decimal"}, quantityField: {"decimal"}}

func (f *mappingFile) readFields(node *yaml.Node, into *[fieldsEnd]fieldRule) (read []field) {
	fields, order := f.entries(node, "fields", fieldNames[:]...)
	for _, name := range order {
		of := field(slices.Index(fieldNames[:], name))
		into[of] = f.readField(of, fields[name].value)
		read = append(read, of)
	}
	return read
}

// readField reads one field: a path, a list of paths of which the first with a value counts, or a section.
func (f *mappingFile) readField(of field, node *yaml.Node) fieldRule {
	name := fieldNames[of]
	r := fieldRule{set: true}
	r.time = timeFormat{digits: noUnit, zone: f.zone}
	if node.Tag == "!!null" {
		f.problem(node, "%s has no value: write the path of the field that holds it", name)
		return r
	}
	section := map[string]entry{"from": {node, node}}
	if node.Kind == yaml.MappingNode {
		section, _ = f.entries(node, name, append([]string{"from", "const", "default", "values"}, fieldKeys[of]...)...)
	}
	if e, has := section["from"]; has {
		paths, _ := f.texts(e.value, "from")
		for _, path := range paths {
			if slot := f.place(e.value, path, of == quantityField); slot >= 0 {
				r.slots = append(r.slots, slot)
			}
		}
	}
	for _, key := range []string{"const", "default"} {
		e, has := section[key]
		if !has {
			continue
		}
		r.constant, _ = f.text(e.value, key)
		_, hasFrom := section["from"]
		switch {
		case of == customerField || of == timeField || of == messageField:
			f.problem(e.key, "%s cannot be the same for all records: say by from where it stands", name)
		case key == "const" && len(section) > 1:
			f.problem(e.key, "const stands alone; what holds where a record has no value is called default")
		case key == "default" && !hasFrom:
			f.problem(e.key, "default without from is a const: write const")
		}
	}
	_, isConst := section["const"]
	_, hasFrom := section["from"]
	_, hasSkew := section["skew"]
	if !isConst && !hasFrom && !hasSkew && section != nil {
		f.problem(node, "%s lacks from, the path of the field that holds it", name)
	}
	if e, has := section["values"]; has {
		r.values = f.readValues(of, e.value)
	}
	if e, has := section["decimal"]; has {
		if text, ok := f.oneOf(e.value, "decimal", "point", "comma"); ok {
			r.comma = text == "comma"
		}
		if r.comma && slices.ContainsFunc(r.slots, func(slot int) bool { return strings.Contains(f.mapping.places.names[slot], "[]") }) {
			f.problem(e.key, "decimal: comma is for a single value: what is summed by [] has a point")
		}
	}
	switch of {
	case timeField:
		f.readTime(section, &r)
	case amountField:
		f.readAmount(node, section, &r)
	case currencyField:
		if _, known := CurrencyDigits(r.constant); r.constant != "" && !known {
			f.problem(node, "currency is %s: it must be a code of ISO 4217, such as USD", quoted(r.constant))
		}
	}
	return r
}

// readValues reads a table of what texts stand for.
func (f *mappingFile) readValues(of field, node *yaml.Node) map[string]string {
	values := make(map[string]string)
	entries, _ := f.entries(node, "values")
	for text, e := range entries {
		value, ok := f.text(e.value, "what "+quoted(text)+" stands for")
		_, isCurrency := CurrencyDigits(value)
		switch {
		case !ok:
		case of == currencyField && !isCurrency:
			f.problem(e.value, "currency is %s: it must be a code of ISO 4217, such as USD", quoted(value))
		case of == wholeField && value != "true" && value != "false":
			f.problem(e.value, "whole is %s: it must be true or false", quoted(value))
		case of == timeField || of == amountField || of == quantityField:
			f.problem(e.key, "%s has no table of values: leave values out", fieldNames[of])
		}
		values[text] = value
	}
	return values
}

func (f *mappingFile) readTime(section map[string]entry, r *fieldRule) {
	if e, has := section["zone"]; has {
		r.time.zone = f.location(e.value)
	}
	if e, has := section["format"]; has {
		units := slices.Sorted(maps.Keys(timeUnits))
		if text, ok := f.oneOf(e.value, "format", append([]string{"iso8601"}, units...)...); ok && text != "iso8601" {
			r.time.digits = timeUnits[text]
		}
	}
	if e, has := section["layout"]; has {
		text, _ := f.text(e.value, "layout")
		if !LayoutTellsDay(text) {
			f.problem(e.value, "layout is %s: it must write 2 January 2006, 15:04:05, as the times are written, such as 02.01.2006 15:04:05", quoted(text))
		}
		if r.time.digits != noUnit {
			f.problem(e.key, "layout is for texts: leave out format")
		}
		r.time.layout = text
	}
	e, has := section["skew"]
	if !has {
		return
	}
	parts, _ := f.entries(e.value, "skew", "original", "sent", "received")
	slots := make(map[string]int)
	for _, name := range []string{"original", "sent", "received"} {
		part, has := parts[name]
		if !has {
			f.problem(e.value, "skew lacks %s: it needs the three paths original, sent and received", name)
			continue
		}
		if path, ok := f.text(part.value, name); ok {
			slots[name] = f.place(part.value, path, false)
		}
	}
	r.skew = &skewRule{original: slots["original"], sent: slots["sent"], received: slots["received"]}
}

func (f *mappingFile) readAmount(node *yaml.Node, section map[string]entry, r *fieldRule) {
	e, has := section["unit"]
	if !has {
		f.problem(node, "amount lacks its unit: write {from: PATH, unit: major} for amounts such as 12.50, unit: minor for such as 1250 cents")
		return
	}
	if text, ok := f.oneOf(e.value, "unit", "major", "minor"); ok {
		r.amount.minor = text == "minor"
	}
	if e, has := section["inexact"]; has {
		if text, ok := f.oneOf(e.value, "inexact", "refuse", "round"); ok {
			r.amount.rounding = text == "round"
		}
	}
}

// readRule reads a rule and adds it to the mapping.
func (f *mappingFile) readRule(node *yaml.Node, common *[fieldsEnd]fieldRule) rule {
	r := rule{fields: *common, kindSlot: -1}
	section, _ := f.entries(node, "a rule", "when", "kind", "fields")
	if section == nil {
		return r
	}
	if e, has := section["when"]; has {
		f.readConditions(e.value, &r)
	}
	e, has := section["kind"]
	if !has {
		f.problem(node, "the rule lacks kind: what happened, such as order_completed, or ignore")
		return r
	}
	kinds := f.readKind(e.value, &r)
	var own []field
	if fields, has := section["fields"]; has {
		own = f.readFields(fields.value, &r.fields)
		for _, of := range own {
			if !slices.ContainsFunc(kinds, func(k operators.EventKind) bool { return k != ignore && of.usedBy(k) }) && len(kinds) > 0 {
				f.problem(fields.value, "a rule for %s has no use for %s", kindList(kinds), fieldNames[of])
			}
		}
	}
	for _, kind := range kinds {
		if kind != ignore {
			f.checkComplete(node, kind, &r)
		}
	}
	f.mapping.rules = append(f.mapping.rules, r)
	return r
}

func kindList(kinds []operators.EventKind) string {
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, kindName(k))
	}
	return strings.Join(names, ", ")
}

func kindName(k operators.EventKind) string {
	if k == ignore {
		return "ignore"
	}
	return k.String()
}

// checkComplete reports fields that events of a kind need and that a rule says nothing about.
func (f *mappingFile) checkComplete(node *yaml.Node, kind operators.EventKind, r *rule) {
	need := []field{customerField, timeField}
	switch {
	case kind <= operators.Tracked:
		need = append(need, nameField)
	case kind == operators.OrderCompleted:
		need = append(need, amountField, currencyField)
	case kind == operators.OrderUpdated:
		need = append(need, orderField, amountField, currencyField)
	case kind == operators.OrderRefunded:
		need = append(need, orderField)
		if !r.fields[amountField].set && !r.fields[wholeField].set {
			f.problem(node, "%s events need amount and currency, or whole: neither the rule's fields nor those of all have them", kind)
		}
		if r.fields[amountField].set {
			need = append(need, currencyField)
		}
	case kind == operators.OrderCancelled:
		need = append(need, orderField)
	case subjectField.usedBy(kind):
		need = append(need, subjectField)
		if kind == operators.OfferProposed {
			need = append(need, amountField, currencyField)
		}
	}
	for _, of := range need {
		if !r.fields[of].set {
			f.problem(node, "%s events need %s: neither the rule's fields nor those of all have it", kind, fieldNames[of])
		}
	}
}

// readKind reads a rule's kind: its name, or where it stands and what the texts there mean. kinds are all that the rule can give.
func (f *mappingFile) readKind(node *yaml.Node, r *rule) (kinds []operators.EventKind) {
	if node.Kind != yaml.MappingNode {
		kind, ok := f.kind(node)
		if !ok {
			return nil
		}
		r.kind = kind
		return []operators.EventKind{kind}
	}
	section, _ := f.entries(node, "kind", "from", "values")
	from, hasFrom := section["from"]
	values, hasValues := section["values"]
	if !hasFrom || !hasValues {
		f.problem(node, "kind needs from, a path, and values: which text there stands for which kind")
		return nil
	}
	if path, ok := f.text(from.value, "from"); ok {
		r.kindSlot = f.place(from.value, path, false)
	}
	r.kinds = make(map[string]operators.EventKind)
	entries, order := f.entries(values.value, "values")
	for _, text := range order {
		if kind, ok := f.kind(entries[text].value); ok {
			r.kinds[text] = kind
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds
}

func (f *mappingFile) kind(node *yaml.Node) (operators.EventKind, bool) {
	text, ok := f.text(node, "kind")
	if !ok {
		return 0, false
	}
	if text == "ignore" {
		return ignore, true
	}
	kind, ok := operators.KindNamed(text)
	if !ok {
		f.problem(node, "kind is %s: it must be ignore or one of %s", quoted(text), allKinds)
	}
	return kind, ok
}

// allKinds are the names of all kinds.
var allKinds = func() string {
	var names []string
	for k := operators.EventKind(1); int(k) <= operators.EventKinds; k++ {
		names = append(names, k.String())
	}
	return strings.Join(names, ", ")
}()

// readConditions reads what must hold for a rule: the value, or one of the values, at each path; or {present: true} or {present: false}.
func (f *mappingFile) readConditions(node *yaml.Node, r *rule) {
	conditions, order := f.entries(node, "when")
	for _, path := range order {
		e := conditions[path]
		c := condition{slot: f.place(e.key, path, false)}
		if e.value.Kind == yaml.MappingNode {
			section, _ := f.entries(e.value, "a condition", "present")
			present, has := section["present"]
			if !has {
				f.problem(e.value, "a condition is a value, a list of values, or {present: true} or {present: false}")
				continue
			}
			text, _ := f.oneOf(present.value, "present", "true", "false")
			c.present = text == "true"
		} else if c.values, _ = f.texts(e.value, "a condition"); c.values == nil {
			continue
		}
		r.conditions = append(r.conditions, c)
	}
}

// fits returns an error if the mapping is not one for records of a format.
func (m *Mapping) fits(format Format) error {
	switch {
	case format == CSV && m.columns == nil:
		return errors.New("input.mapping: the section csv is missing, with the names of the columns that a record has: csv: {columns: [customer, time, total]}")
	case format != CSV && m.columns != nil:
		return fmt.Errorf("input.mapping: it has a section csv, and input.format is %s: set input.format to csv, or leave the section out", format)
	}
	return nil
}
