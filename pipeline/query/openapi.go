package query

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// openAPIVersion is the version of what the document describes.
const openAPIVersion = Version + ".0.0"

// OpenAPI returns the OpenAPI 3.1 document of the API, in JSON. It is what the routes and the types of their answers say.
var OpenAPI = sync.OnceValue(func() []byte {
	d := document{schemas: make(map[string]any)}
	paths := make(map[string]any)
	for i := range routes {
		paths[routes[i].path] = map[string]any{"get": d.operation(&routes[i])}
	}
	d.schemaOf(reflect.TypeFor[Failure]())
	text, err := json.MarshalIndent(map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "lull", "version": openAPIVersion, "license": map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"},
			"description": "What a running pipeline knows of customers, from committed state alone. Any process answers for any customer.",
		},
		"paths":    paths,
		"security": []any{map[string]any{}, map[string]any{"token": []any{}}, map[string]any{"certificate": []any{}}},
		"components": map[string]any{
			"schemas": d.schemas,
			"headers": map[string]any{"Version": map[string]any{
				"required": true, "schema": map[string]any{"const": Version}, "description": "The first number of this document's version: of another one what an answer says may mean something else.",
			}},
			"securitySchemes": map[string]any{
				"token":       map[string]any{"type": "http", "scheme": "bearer", "description": "One of http.tokens_file or LULL_HTTP_TOKENS."},
				"certificate": map[string]any{"type": "mutualTLS", "description": "By an authority of http.tls.client_ca_file."},
			},
		},
	}, "", "  ")
	if err != nil {
		panic(fmt.Errorf("writing the OpenAPI document: %w", err)) // it is made of texts and numbers
	}
	return append(text, '\n')
})

// failures say what each status means, of those that are no success.
var failures = map[int]string{
	400: "A parameter is not as it must be.",
	401: "A token or a client certificate is needed, and this is none that is known here.",
	403: "The API is closed: it listens beyond this machine without tokens or client certificates; or the request came by another name than this machine's own.",
	404: "The customer is not known.",
	409: "The customer has no score: no purchase, or no model.",
	421: "The customer's partition is another process's, which cannot be asked from here.",
	429: "More requests a second than http.rate.",
	500: "The state cannot be read, or the model gives values that are no numbers.",
	503: "The process starts or restores the partition, another does not answer, or by another version of the API, or the answer takes longer than http.timeout: try again.",
	504: "The record of wait_for has not been applied in time.",
}

// everyFails are the statuses that every route can fail with.
var everyFails = []int{400, 401, 403, 429, 500, 503}

type document struct {
	schemas map[string]any
}

func (d *document) operation(r *route) map[string]any {
	description := r.doc
	responses := make(map[string]any)
	for _, status := range append(everyFails[:len(everyFails):len(everyFails)], r.fails...) {
		responses[fmt.Sprint(status)] = d.response(failures[status], ref("Failure"))
	}
	body := any(map[string]any{"type": "object"})
	if r.body != nil {
		body = d.schemaOf(reflect.TypeOf(r.body))
	}
	responses["200"] = d.response(r.summary+".", body)
	operation := map[string]any{"operationId": operationID(r.path), "summary": r.summary, "description": description, "responses": responses}
	var parameters []any
	for i := range r.parameters {
		parameters = append(parameters, r.parameters[i].object())
	}
	if parameters != nil {
		operation["parameters"] = parameters
	}
	return operation
}

// operationID is a route's name for generated clients: /v1/customers/{id}/p-alive is customersIdPAlive.
func operationID(path string) string {
	id := ""
	for i, word := range strings.FieldsFunc(strings.TrimPrefix(path, "/v1/"), func(c rune) bool { return strings.ContainsRune("/{}-.", c) }) {
		if i > 0 {
			word = strings.ToUpper(word[:1]) + word[1:]
		}
		id += word
	}
	return id
}

func ref(name string) map[string]any { return map[string]any{"$ref": "#/components/schemas/" + name} }

func (d *document) response(description string, schema any) map[string]any {
	return map[string]any{"description": description, "headers": map[string]any{VersionHeader: map[string]any{"$ref": "#/components/headers/Version"}}, "content": map[string]any{"application/json": map[string]any{"schema": schema}}}
}

// object returns the parameter as the document has it.
func (p *parameter) object() map[string]any {
	schema := map[string]any{"type": "string"}
	switch {
	case p.values != nil:
		schema["enum"] = p.values
	case p.most > 0:
		schema = map[string]any{"type": "integer", "minimum": p.least, "maximum": p.most}
	case p.instant:
		schema["pattern"] = instantPattern
	case p.pattern != "":
		schema["pattern"] = p.pattern
	default:
		schema["minLength"] = 1
	}
	if p.deflt != nil {
		schema["default"] = p.deflt
	}
	o := map[string]any{"name": p.name, "in": p.in, "description": p.doc, "schema": schema}
	if p.in == "path" {
		o["required"] = true
	}
	if p.example != "" {
		o["example"] = p.example
	}
	return o
}

// schemaOf returns the JSON Schema of a type, by its tags: json its name, doc what it means, enum one of enums, format "instant" an event time. A type of ours that is a struct is among the
// components, and what is returned refers to it.
func (d *document) schemaOf(t reflect.Type) map[string]any {
	switch t.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Uint32:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": d.schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": d.schemaOf(t.Elem())}
	case reflect.Pointer:
		return map[string]any{"anyOf": []any{d.schemaOf(t.Elem()), map[string]any{"type": "null"}}}
	case reflect.Struct:
		return d.component(t)
	}
	panic(fmt.Errorf("no answer has a %s", t))
}

// component puts the schema of a struct among the components.
func (d *document) component(t reflect.Type) map[string]any {
	if _, known := d.schemas[t.Name()]; known {
		return ref(t.Name())
	}
	properties, required := make(map[string]any), []any{}
	d.schemas[t.Name()] = nil // so that a type that contains itself ends
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous { // its fields are the type's
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		schema := d.schemaOf(f.Type)
		schema["description"] = f.Tag.Get("doc")
		if values := enums[f.Tag.Get("enum")]; values != nil && f.Type.Kind() == reflect.Map {
			schema["propertyNames"] = map[string]any{"enum": values}
		} else if values != nil {
			schema["enum"] = values
		}
		if f.Tag.Get("format") == "instant" {
			schema["pattern"] = `^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z|unset)$`
		}
		properties[name] = schema
		if options != "omitempty" {
			required = append(required, name)
		}
	}
	d.schemas[t.Name()] = map[string]any{"type": "object", "properties": properties, "required": required}
	return ref(t.Name())
}
