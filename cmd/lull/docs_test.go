package main

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lull/pipeline/query"
	"lull/schemas"
)

// TestTopicsPage proves that docs/topics.md shows every field of every schema, with its meaning.
func TestTopicsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/topics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"events", "sessions", "scores", "segments", "triggers", "offers", "dead-letters", "models", "statistics", "fits", "redrives", "quality"} {
		topic, ok := schemas.TopicNamed(name)
		if !ok {
			t.Fatalf("no topic %q", name)
		}
		var schema struct {
			Doc    string
			Fields []struct{ Name, Doc string }
		}
		if err := json.Unmarshal([]byte(topic.Schema()), &schema); err != nil {
			t.Fatal(err)
		}
		if len(schema.Fields) == 0 || !strings.Contains(string(page), schema.Doc) {
			t.Errorf("%s: the page lacks %q", name, schema.Doc)
		}
		for _, f := range schema.Fields {
			if !strings.Contains(string(page), "| `"+f.Name+"` |") || !strings.Contains(string(page), f.Doc) {
				t.Errorf("%s: the page lacks field %s: %s", name, f.Name, f.Doc)
			}
		}
	}
}

// TestExamples proves that every topic of docs/topics.md has an example, of the fields that the topic has.
func TestExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/topics.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(page), "\n## ")
	for _, name := range append(ownTopics(), "events") {
		i := slices.IndexFunc(sections, func(s string) bool {
			return strings.HasPrefix(s, "lull."+name+"\n") || strings.HasPrefix(s, "Input: "+name+"\n")
		})
		if i < 0 {
			t.Errorf("%s: no section", name)
			continue
		}
		_, example, _ := strings.Cut(sections[i], "```json\n")
		example, _, _ = strings.Cut(example, "```")
		var record struct{ Value map[string]any }
		if err := json.Unmarshal([]byte(example), &record); err != nil {
			t.Errorf("%s: %v in the example %q", name, err, example)
			continue
		}
		if topic, ok := schemas.TopicNamed(name); ok {
			var schema struct{ Fields []struct{ Name string } }
			if err := json.Unmarshal([]byte(topic.Schema()), &schema); err != nil {
				t.Fatal(err)
			}
			for _, f := range schema.Fields {
				if _, has := record.Value[f.Name]; !has {
					t.Errorf("%s: the example lacks %s", name, f.Name)
				}
			}
			if len(record.Value) != len(schema.Fields) {
				t.Errorf("%s: the example has %d fields, the schema %d", name, len(record.Value), len(schema.Fields))
			}
		}
	}
}

// TestAPIPage proves that docs/api.md has an example with every field of a card and explains each, and that a number of the scores topic has the same name
// in both.
func TestAPIPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	_, example, _ := strings.Cut(page, "```json\n")
	example, _, _ = strings.Cut(example, "```")
	d := json.NewDecoder(strings.NewReader(example))
	d.DisallowUnknownFields()
	var card query.Card
	if err := d.Decode(&card); err != nil {
		t.Fatalf("the example: %v", err)
	}
	again, err := json.MarshalIndent(card, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if string(again)+"\n" != example {
		t.Errorf("the example is not what the API writes:\n%s\nwant\n%s", example, again)
	}
	inCardOnly := []string{"open_sessions", "horizon_months", "clv_points", "next_purchase_days"}
	for _, section := range []struct {
		path string
		of   reflect.Type
	}{{"", reflect.TypeFor[query.Card]()}, {"facts.", reflect.TypeFor[query.CardFacts]()}, {"score.", reflect.TypeFor[query.CardScore]()}} {
		for _, field := range reflect.VisibleFields(section.of) {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous {
				continue // its fields follow
			}
			if !strings.Contains(page, "`"+section.path+name+"`") && !strings.Contains(page, "`"+name+"`") {
				t.Errorf("the page does not explain %s%s", section.path, name)
			}
			if section.path != "" && !slices.Contains(inCardOnly, name) && !strings.Contains(schemas.Scores.Schema(), `"`+name+`"`) {
				t.Errorf("the scores topic knows no %s", name)
			}
		}
	}
}

// TestConfigurationPage proves that docs/configuration.md names every setting, by the flags that each has.
func TestConfigurationPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	settings := settingsList
	if len(settings) == 0 {
		t.Fatal("no settings")
	}
	for _, s := range settings {
		if !strings.Contains(string(page), "| `"+s.key+"` |") {
			t.Errorf("the page lacks %s", s.key)
		}
	}
}

// TestSampleSettings proves that deploy/lull.yaml is read without an error, as it stands and with all that is commented out in it.
func TestSampleSettings(t *testing.T) {
	sample, err := os.ReadFile("../../deploy/lull.yaml")
	if err != nil {
		t.Fatal(err)
	}
	commented := regexp.MustCompile(`(?m)^(\s*)# (\s*(?:[a-z_]+:( .*)?))$`)
	whole := commented.ReplaceAllString(string(sample), "$1$2")
	if !strings.Contains(whole, "\nclock:\n  mode: wall\n") || !strings.Contains(whole, "\n  rates: {") {
		t.Fatalf("what is commented out has not been found:\n%s", whole)
	}
	for _, text := range []string{string(sample), whole} {
		s, err := load(t, text, nil)
		if err == nil {
			err = s.Validate()
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
}
