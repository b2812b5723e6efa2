package main

import (
	"strings"
	"testing"

	"lull/pipeline"
)

// TestPlanOfNothing: where no topic exists yet there is no table, only what apply would create.
func TestPlanOfNothing(t *testing.T) {
	var out strings.Builder
	plan := pipeline.TopicPlan{Topics: []pipeline.PlannedTopic{{Name: "lull.scores", Create: true, Partitions: 8, Replication: 1}}}
	if err := printPlan(&out, &plan); err != nil {
		t.Fatal(err)
	}
	if want := "+ lull.scores: create it with 8 partitions, 1 replica\n1 to create, 0 to alter, 0 that apply cannot mend\n"; out.String() != want {
		t.Errorf("got\n%s, want\n%s", out.String(), want)
	}
}

// TestBytesText: sizes are shown in the unit that keeps them below 1024, to the nearest tenth.
func TestBytesText(t *testing.T) {
	for value, want := range map[string]string{
		"0": "0 B", "1023": "1023 B", "1024": "1 KiB", "1075": "1 KiB", "1076": "1.1 KiB", "2097000": "2 MiB", "1048524": "1023.9 KiB", "1048525": "1 MiB",
		"1288490189": "1.2 GiB", "1073741823": "1 GiB", "37795712205": "35.2 GiB", "1649267441664": "1.5 TiB", "9223372036854775807": "8388608 TiB",
		"": "?", "-1": "?", "many": "?",
	} {
		if got := bytesText(value); got != want {
			t.Errorf("%q is shown as %s, want %s", value, got, want)
		}
	}
}
