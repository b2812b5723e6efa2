package query

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is the document, and what it says of each route.
func contract(t *testing.T) (document map[string]any, schemaOf func(path, status string) *jsonschema.Schema) {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(OpenAPI()))
	if err != nil {
		t.Fatal(err)
	}
	document = parsed.(map[string]any)
	for _, component := range document["components"].(map[string]any)["schemas"].(map[string]any) {
		component.(map[string]any)["additionalProperties"] = false // what the document does not name is missing in it
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("openapi.json", document); err != nil {
		t.Fatal(err)
	}
	return document, func(path, status string) *jsonschema.Schema {
		pointer := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path)
		return compiler.MustCompile("openapi.json#/paths/" + pointer + "/get/responses/" + status + "/content/application~1json/schema")
	}
}

// TestDocument holds real answers, good and bad, of every route against the document, which is asked for as any other, and is the one under docs.
func TestDocument(t *testing.T) {
	w := newWorld(t, 1)
	w.states["page"] = stateOf(t, nil, buyer)
	document, schemaOf := contract(t)
	status, body := w.get(0, openAPIPath)
	if status != http.StatusOK || !bytes.Equal(body, OpenAPI()) {
		t.Errorf("the document: status %d", status)
	}
	committed, err := os.ReadFile(filepath.Join("..", "..", "docs", "openapi.json"))
	if err != nil || !bytes.Equal(committed, OpenAPI()) {
		t.Errorf("docs/openapi.json is not what is served: make generate writes it (%v)", err)
	}
	answered := make(map[string]bool)
	for _, c := range []struct {
		route string
		path  string
	}{
		{"/v1/customers", "/v1/customers"}, {"/v1/customers", "/v1/customers?sort=deadline&limit=3"}, {"/v1/customers", "/v1/customers?limit=0"}, {"/v1/customers", "/v1/customers?cursor=x"},
		{"/v1/customers/{id}", "/v1/customers/c0"}, {"/v1/customers/{id}", "/v1/customers/c9"}, {"/v1/customers/{id}", "/v1/customers/page"}, {"/v1/customers/{id}", "/v1/customers/nobody"},
		{"/v1/customers/{id}", "/v1/customers/a%ff"}, {"/v1/customers/{id}", "/v1/customers/c0?wait_for=events/0/9"},
		{"/v1/customers/{id}/p-alive", "/v1/customers/c0/p-alive"}, {"/v1/customers/{id}/p-alive", "/v1/customers/c9/p-alive"},
		{"/v1/customers/{id}/what-if", "/v1/customers/c0/what-if?order=expected"}, {"/v1/customers/{id}/what-if", "/v1/customers/c0/what-if?silent_until=2010-01-01T00:00:00Z"},
		{"/v1/customers/{id}/what-if", "/v1/customers/c0/what-if"},
		{"/v1/counts", "/v1/counts"}, {"/v1/counts", "/v1/counts?partial=maybe"}, {"/v1/partitions", "/v1/partitions"}, {openAPIPath, openAPIPath}, {openAPIPath, openAPIPath + "?x=y"},
	} {
		status, body := w.get(0, c.path)
		parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err == nil {
			err = schemaOf(c.route, fmt.Sprint(status)).Validate(parsed)
		}
		if err != nil {
			t.Errorf("%s: status %d: %v: %s", c.path, status, err, body)
		}
		answered[c.route] = answered[c.route] || status == http.StatusOK
	}
	for path := range document["paths"].(map[string]any) {
		if !answered[path] {
			t.Errorf("%s: no answer was held against the document", path)
		}
	}
	for name, component := range document["components"].(map[string]any)["schemas"].(map[string]any) {
		for field, of := range component.(map[string]any)["properties"].(map[string]any) {
			if of.(map[string]any)["description"] == "" {
				t.Errorf("%s.%s has no description", name, field)
			}
		}
	}
}

// TestPage: every command in docs/api.md asks for something that there is.
func TestPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "api.md"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 3)
	w.states["20453"] = stateOf(t, &model, buyer)
	asked := 0
	for line := range strings.Lines(string(page)) {
		if !strings.HasPrefix(line, "curl ") {
			continue
		}
		_, path, _ := strings.Cut(strings.Trim(line, "'\n"), ":8280")
		if status, body := w.get(asked%3, path); status != http.StatusOK {
			t.Errorf("%s: status %d: %s", line, status, body)
		}
		asked++
	}
	if asked < len(routes) {
		t.Errorf("%d commands on the page, of %d resources", asked, len(routes))
	}
}

// TestInstantPattern: an instant is taken if it is as the document says and on the calendar, and no other is.
func TestInstantPattern(t *testing.T) {
	w := newWorld(t, 1)
	document, _ := contract(t)
	published := make(map[string]*regexp.Regexp) // by path
	for path, item := range document["paths"].(map[string]any) {
		parameters, _ := item.(map[string]any)["get"].(map[string]any)["parameters"].([]any)
		for _, p := range parameters {
			if p := p.(map[string]any); p["name"] == "as_of" || p["name"] == "silent_until" {
				published[strings.Replace(path, "{id}", "c0", 1)+"?"+p["name"].(string)+"="] = regexp.MustCompile(p["schema"].(map[string]any)["pattern"].(string))
			}
		}
	}
	if len(published) != 2 {
		t.Fatalf("%d parameters are instants", len(published))
	}
	for text, is := range map[string]struct{ documented, taken bool }{
		"2026-05-01": {true, true}, "2026-05-29": {true, true}, "2026-04-30": {true, true}, "2026-05-31": {true, true}, "2024-02-29": {true, true},
		"2026-05-31T00:00:00Z": {true, true}, "2026-05-31T23:59:59.123456789Z": {true, true}, "2026-05-31T00:00:00+05:30": {true, true}, "2026-05-31T00:00:00-03:00": {true, true}, "2026-05-31T00:00:00+14:00": {true, true},
		"2026-02-29": {true, false}, "2026-02-31": {true, false}, "2026-04-31T00:00:00Z": {true, false}, // on no calendar
		"2026-05-32": {}, "2026-05-00": {}, "2026-13-01": {}, "2200-01-01": {}, "1969-12-31": {}, "2026-5-1": {}, "2026-05-31T": {}, "2026-05-31T00:00Z": {}, "2026-05-31T00:00:00": {}, "2026-05-31T24:00:00Z": {},
		"2026-05-31T1:00:00Z": {}, "2026-05-31T00:00:00,5Z": {}, "2026-05-31T00:00:00.1234567890Z": {}, "2026-05-31T00:00:00+24:00": {}, "2026-05-31T00:00:00+05:60": {}, "2026-05-31T00:00:00+0530": {}, "2026-05-31 00:00:00Z": {}, "unset": {},
	} {
		for path, pattern := range published {
			status, _ := w.get(0, path+url.QueryEscape(text))
			if got := pattern.MatchString(text); got != is.documented || status != map[bool]int{true: http.StatusOK, false: http.StatusBadRequest}[is.taken] {
				t.Errorf("%s%s: documented %t, want %t; status %d, taken: want %t", path, text, got, is.documented, status, is.taken)
			}
		}
	}
}
