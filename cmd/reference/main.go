// Command reference writes what is generated from package pipeline: the tables of docs/configuration.md and docs/operating/metrics.md, deploy/lull.schema.json, the JSON Schema of a file of settings, and
// docs/asyncapi.json, the AsyncAPI document of the topics under the default settings. Meanings are the doc comments of the fields, types and defaults those of the program, rules those that Validate goes by.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lull/pipeline"
)

//go:generate go run . ../..

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: reference ROOT, the root of the repository")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "reference: %v\n", err)
		os.Exit(1)
	}
}

// run writes the files that are out of date.
func run(root string) error {
	files, err := generate(root)
	if err != nil {
		return err
	}
	var errs []error
	for name, content := range files {
		if old, err := os.ReadFile(name); err == nil && string(old) == string(content) {
			continue
		}
		errs = append(errs, os.WriteFile(name, content, 0o644))
	}
	return errors.Join(errs...)
}

// generate returns the files by path.
func generate(root string) (map[string][]byte, error) {
	settings, err := readSettings(root)
	if err != nil {
		return nil, err
	}
	addRules(settings, pipeline.Rules())
	table, err := settingsTable(settings)
	if err != nil {
		return nil, err
	}
	configuration, metrics := filepath.Join(root, "docs", "configuration.md"), filepath.Join(root, "docs", "operating", "metrics.md")
	configured, err := replaceTable(configuration, "pipeline/settings.go", table)
	if err != nil {
		return nil, err
	}
	measured, err := replaceTable(metrics, "pipeline/metrics.go", metricsTable(pipeline.Metrics()))
	if err != nil {
		return nil, err
	}
	schema, err := jsonSchema(settings)
	if err != nil {
		return nil, err
	}
	asyncAPI, err := defaultAsyncAPI()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{configuration: configured, metrics: measured, filepath.Join(root, "deploy", "lull.schema.json"): schema, filepath.Join(root, "docs", "asyncapi.json"): asyncAPI}, nil
}

// defaultAsyncAPI returns the AsyncAPI document of an application that is configured as little as can be.
func defaultAsyncAPI() ([]byte, error) {
	s := pipeline.DefaultSettings()
	s.Input.Topic = "shop-events"
	return s.AsyncAPI()
}
