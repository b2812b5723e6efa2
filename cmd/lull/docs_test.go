package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"lull/schemas"
)

// TestSubscriber proves that the subscriber in docs/topics.md is a program.
func TestSubscriber(t *testing.T) {
	page, err := os.ReadFile("../../docs/topics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, ok := strings.Cut(string(page), "```go\n")
	program, _, closed := strings.Cut(program, "```")
	if !ok || !closed {
		t.Fatal("docs/topics.md has no Go program")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "vet", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestTopicsPage proves that docs/topics.md shows every field of every schema, with its meaning.
func TestTopicsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/topics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"events", "sessions", "scores", "segments", "triggers", "dead-letters", "models"} {
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
