package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"lull/pipeline"
)

// TestFilesAreCurrent proves that what is generated is what settings and metrics say now.
func TestFilesAreCurrent(t *testing.T) {
	files, err := generate("../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is out of date: run make generate", name)
		}
	}
}

// TestSchema proves that the JSON Schema takes the sample of the settings, as it stands and with all that is commented out in it, and refuses what the program refuses
// for its form.
func TestSchema(t *testing.T) {
	compiled, err := jsonschema.NewCompiler().Compile("../../deploy/lull.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	sample, err := os.ReadFile("../../deploy/lull.yaml")
	if err != nil {
		t.Fatal(err)
	}
	whole := regexp.MustCompile(`(?m)^(\s*)# (\s*(?:[a-z_]+:( .*)?))$`).ReplaceAllString(string(sample), "$1$2")
	for file, wrong := range map[string]string{ // what the error names
		string(sample): "",
		whole:          "",
		"clock:\nmoney: {rates: {GBP: 1.27, EUR: '1.08'}, margin: 0.4}\nscores: {levels: [0.5]}":             "",
		"clock: {source_max_silence: 0, lateness: 1h30m, max_skew: 1.5s}":                                    "",
		"registry: {url: 'http://registry:8081'}\nbrokers: kafka-1:9092\ninstance: 7\nscores: {levels: 0.5}": "",
		"prefix: 'shop lull.'":          "/prefix",
		"prefix: 'böse.'":               "/prefix",
		"input: {topic: 'foo bar'}":     "/input/topic",
		"http: {listen: 0.0.0.0}":       "/http/listen",
		"http: {listen: '8280'}":        "/http/listen",
		"clok: {mode: event}":           "clok",
		"clock: {mod: event}":           "mod",
		"clock: {mode: sundial}":        "/clock/mode",
		"clock: {lateness: 600}":        "/clock/lateness",
		"clock: {lateness: soon}":       "/clock/lateness",
		"topics: {partitions: 2.5}":     "/topics/partitions",
		"topics: {partitions: 0}":       "/topics/partitions",
		"limits: {message_ids: 5000}":   "/limits/message_ids",
		"scores: {levels: [high]}":      "/scores/levels",
		"instance: [a, b]":              "/instance",
		"money: {rates: {EUR: [1, 2]}}": "/money/rates",
		"input: shop":                   "/input",
	} {
		values, err := yaml.Parser().Unmarshal([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		err = compiled.Validate(map[string]any(values))
		if (err != nil) != (wrong != "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v, want an error about %q", file, err, wrong)
		}
	}
}

// TestSettingsAreWhole proves that every setting has a meaning, and that there are as many as the program has fields for.
func TestSettingsAreWhole(t *testing.T) {
	settings, err := readSettings("../..")
	if err != nil {
		t.Fatal(err)
	}
	if settings[0].doc == "" {
		t.Errorf("%s has no comment", settings[0].key)
	}
	if got, want := len(settings), fields(reflect.TypeFor[pipeline.Settings]()); got != want {
		t.Errorf("%d settings were read, and there are %d", got, want)
	}
}

// TestMetricsAreWhole proves that the page of metrics tells of each what it means, in which unit, and what to do when it moves, and that the metrics, settings, commands and pages which it sends a reader to are there.
func TestMetricsAreWhole(t *testing.T) {
	settings, err := readSettings("../..")
	if err != nil {
		t.Fatal(err)
	}
	list := pipeline.Metrics()
	known := func(of func(m *pipeline.Metric) bool) bool {
		return slices.ContainsFunc(list, func(m pipeline.Metric) bool { return of(&m) })
	}
	code, link := regexp.MustCompile("`([^`]+)`"), regexp.MustCompile(`\]\(([^)#]+)(?:#([^)]+))?\)`)
	seen := make(map[string]bool)
	for _, m := range list {
		for what, text := range map[string]string{"type": m.Type, "unit": m.Unit, "meaning": m.Meaning, "what to do when it moves": m.Moves} {
			if text == "" || strings.Contains(text, "as above") {
				t.Errorf("%s: its %s is %q", m.Name, what, text)
			}
		}
		if seen[m.Name] || (m.Type == "counter") != strings.HasSuffix(m.Name, "_total") {
			t.Errorf("%s is a second one of its name, or a %s of another's", m.Name, m.Type)
		}
		seen[m.Name] = true
		for _, c := range code.FindAllStringSubmatch(m.Meaning+" "+m.Moves, -1) {
			switch word := c[1]; {
			case strings.HasPrefix(word, "lull_") && !known(func(m *pipeline.Metric) bool { return m.Name == word }):
				t.Errorf("%s: there is no metric %s", m.Name, word)
			case strings.Contains(word, ".") && !strings.Contains(word, "/") && !slices.ContainsFunc(settings, func(s setting) bool { return s.key == word }):
				t.Errorf("%s: there is no setting %s", m.Name, word)
			}
		}
		for _, l := range link.FindAllStringSubmatch(m.Meaning+" "+m.Moves, -1) {
			page, err := os.ReadFile(filepath.Join("../../docs/operating", l[1]))
			if err != nil {
				t.Errorf("%s: %v", m.Name, err)
				continue
			}
			heading := regexp.MustCompile(`(?mi)^#+ ` + strings.ReplaceAll(regexp.QuoteMeta(l[2]), "-", " ") + "$")
			if l[2] != "" && !heading.Match(page) {
				t.Errorf("%s: %s has no heading %s", m.Name, l[1], l[2])
			}
		}
	}
}

func fields(of reflect.Type) (n int) {
	for i := range of.NumField() {
		switch field := of.Field(i); {
		case field.Tag.Get("koanf") == "":
		case field.Type.Kind() == reflect.Struct && !isSecret(reflect.Zero(field.Type)):
			n += fields(field.Type)
		default:
			n++
		}
	}
	return n
}

// TestUnknownForms proves that a setting of a type that is not known here stops the generator by its name, and so does a page without the place for the table.
func TestUnknownForms(t *testing.T) {
	odd := []setting{{key: "odd.one", deflt: reflect.ValueOf([]time.Time{}), doc: "x"}}
	if _, err := jsonSchema(odd); err == nil || !strings.Contains(err.Error(), "odd.one: a setting of type []time.Time is not known here") {
		t.Errorf("the schema: %v", err)
	}
	if _, err := settingsTable(odd); err == nil || !strings.Contains(err.Error(), "odd.one") {
		t.Errorf("the table: %v", err)
	}
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte(fmt.Sprintf(beginTable, "elsewhere")+endTable), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := replaceTable(page, "here", ""); err == nil || !strings.Contains(err.Error(), page) {
		t.Errorf("a page without a place for the table: %v", err)
	}
}
