package main

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// The lines around what is generated.
const (
	beginTable = "<!-- The table is written by make generate, from pipeline/settings.go. -->\n"
	endTable   = "<!-- The end of what is generated. -->\n"
)

// replaceTable returns the page with the table of these settings.
func replaceTable(page []byte, settings []setting) ([]byte, error) {
	before, rest, ok := bytes.Cut(page, []byte(beginTable))
	_, after, closed := bytes.Cut(rest, []byte(endTable))
	if !ok || !closed {
		return nil, errors.New("it lacks one of the two comments that the table stands between")
	}
	text := string(before) + beginTable + "\n| setting | type | must be | meaning |\n|---|---|---|---|\n"
	for _, s := range settings {
		kind, err := typeName(s.deflt)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.key, err)
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
	return append([]byte(text+"\n"+endTable), after...), nil
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
