// Command reference writes what is generated from package pipeline: the tables of docs/configuration.md and docs/operating/metrics.md, deploy/lull.schema.json, the JSON Schema of a file of settings, and
// docs/asyncapi.json, the AsyncAPI document of the topics under the default settings, docs/openapi.json, the OpenAPI document of the read API, and deploy/strimzi, the topics and users as objects for Kubernetes. Meanings are the doc comments of the fields, types and defaults those of the program, rules those that Validate goes by.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lull/pipeline"
	"lull/pipeline/query"
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
	topics, users, err := strimzi()
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(root, "deploy", "strimzi")
	return map[string][]byte{
		filepath.Join(folder, "topics.yaml"): topics, filepath.Join(folder, "users.yaml"): users, configuration: configured, metrics: measured,
		filepath.Join(root, "deploy", "lull.schema.json"): schema, filepath.Join(root, "docs", "asyncapi.json"): asyncAPI, filepath.Join(root, "docs", "openapi.json"): query.OpenAPI(),
	}, nil
}

// strimziPartitions is how many partitions the input topic of the manifests has.
const strimziPartitions = 8

// strimzi returns the topics and users of an application with the input and the replication of deploy/lull.yaml, for a cluster of the name that Strimzi's own examples have.
func strimzi() (topics, users []byte, err error) {
	const cluster = "my-cluster"
	s := pipeline.DefaultSettings()
	s.Input.Topic, s.Topics.Replication = "shop-events", 3
	s.EnsureDefaults()
	if topics, err = s.TopicManifests(cluster, strimziPartitions); err != nil {
		return nil, nil, err
	}
	of := make(map[string][]pipeline.Role)
	const subscriber = "subscriber"
	for _, role := range s.Roles(subscriber) {
		of[role.Name] = []pipeline.Role{role}
	}
	lull, err := s.UserManifest(cluster, "lull", append(of["run"], of["apply"]...))
	if err != nil {
		return nil, nil, err
	}
	reader, err := s.UserManifest(cluster, subscriber, of["subscribe"])
	if err != nil {
		return nil, nil, err
	}
	header := "# %s, for brokers that Strimzi (0.49 or later) runs in Kubernetes: docs/operating/install.md#brokers-run-by-strimzi\n# Written by make generate for the input topic shop-events with %d partitions; for yours: %s\n"
	topics = append(fmt.Appendf(nil, header, "lull's own topics", strimziPartitions, "lull topics print --config lull.yaml --input-partitions N --cluster NAME"), topics...)
	users = fmt.Appendf(nil, header, "The least rights of lull, and of a reader of its outputs", strimziPartitions, "lull acl print --config lull.yaml --for run,apply,subscribe --format strimzi --cluster NAME")
	users = append(append(append(users, lull...), "---\n"...), reader...)
	return topics, users, nil
}

// defaultAsyncAPI returns the AsyncAPI document of an application that is configured as little as can be.
func defaultAsyncAPI() ([]byte, error) {
	s := pipeline.DefaultSettings()
	s.Input.Topic = "shop-events"
	return s.AsyncAPI()
}
