package main

import (
	"bytes"
	"reflect"
	"testing"
)

// TestJob: a child gets the job that it is given.
func TestJob(t *testing.T) {
	b := broker{brokers: []string{"127.0.0.1:9092"}}
	given := job{Floor: copyFloor, Settings: b.settings("bench", "state"), ProfileDir: "profiles"}
	given.Settings.Fit.Mode = "off"
	var line bytes.Buffer
	if err := writeJob(&line, &given); err != nil {
		t.Fatal(err)
	}
	got, err := readJob(line.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, given) {
		t.Errorf("given %+v, got %+v", given, got)
	}
}
