package main

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"lull/pipeline"
)

// The lines around what is generated, from a file.
const (
	beginTable = "<!-- The table is written by make generate, from %s. -->\n"
	endTable   = "<!-- The end of what is generated. -->\n"
)

// replaceTable returns the page at a path with this table between the two lines that say that it is written from a file.
func replaceTable(path, from, table string) ([]byte, error) {
	page, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	begin := fmt.Sprintf(beginTable, from)
	before, rest, ok := bytes.Cut(page, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(endTable))
	if !ok || !closed {
		return nil, fmt.Errorf("%s: it lacks one of the two comments that the table stands between", path)
	}
	return append([]byte(string(before)+begin+"\n"+table+"\n"+endTable), after...), nil
}

// metricsTable returns the table of metrics.
func metricsTable(list []pipeline.Metric) string {
	text := "| metric | type, unit | meaning | when it moves |\n|---|---|---|---|\n"
	for _, m := range list {
		name := m.Name
		if len(m.Labels) > 0 {
			name += "{" + strings.Join(m.Labels, ", ") + "}"
		}
		text += fmt.Sprintf("| `%s` | %s, %s | %s | %s |\n", name, m.Type, m.Unit, cell(m.Meaning), cell(m.Moves))
	}
	return text
}

// settingsTable returns the table of settings.
func settingsTable(settings []setting) (string, error) {
	text := "| setting | type | must be | meaning |\n|---|---|---|---|\n"
	for _, s := range settings {
		kind, err := typeName(s.deflt)
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.key, err)
		}
		var rules []string
		for _, rule := range s.rules {
			rules = append(rules, rule.Text)
		}
		doc := s.doc
		if doc == "" {
			doc = "(with the setting above)"
		}
		text += fmt.Sprintf("| `%s` | %s | %s | %s |\n", s.key, kind, cell(strings.Join(rules, "; ")), cell(doc))
	}
	return text, nil
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// typeName returns what a value of this type is called for a person.
func typeName(v reflect.Value) (string, error) {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return "duration", nil
	}
	if isSecret(v) {
		return "environment only", nil
	}
	switch v.Kind() {
	case reflect.String:
		return "string", nil
	case reflect.Int, reflect.Int64:
		return "int", nil
	case reflect.Float64:
		return "number", nil
	case reflect.Bool:
		return "bool", nil
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.Struct {
			return "map of sections", nil
		}
		return "map", nil
	case reflect.Slice:
		switch v.Type().Elem().Kind() {
		case reflect.String:
			return "list", nil
		case reflect.Float64:
			return "list of numbers", nil
		}
	}
	return "", fmt.Errorf("a setting of type %s is not known here: say what it is called, and its form in the schema", v.Type())
}
