package pipeline

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// manifests reads objects of Strimzi with specs of type T, in which nothing stands that it does not know.
func manifests[T any](t *testing.T, text []byte) (names []string, specs []T) {
	t.Helper()
	type object struct {
		APIVersion string          `yaml:"apiVersion"`
		Kind       string          `yaml:"kind"`
		Metadata   strimziMetadata `yaml:"metadata"`
		Spec       T               `yaml:"spec"`
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	for {
		var o object
		if err := d.Decode(&o); err != nil {
			if len(names) == 0 {
				t.Fatal(err)
			}
			return names, specs
		}
		if o.Metadata.Labels["strimzi.io/cluster"] != "east" {
			t.Errorf("%s is of cluster %q", o.Metadata.Name, o.Metadata.Labels["strimzi.io/cluster"])
		}
		names, specs = append(names, o.Metadata.Name), append(specs, o.Spec)
	}
}

// TestTopicManifests proves that the manifests have the topics which apply creates, with the same partitions and configuration, and that one whose name no object can have is named apart.
func TestTopicManifests(t *testing.T) {
	_, c := embedded(t)
	s := DefaultSettings()
	s.Prefix, s.Input.Topic = "Shop_A.", "shop"
	s.EnsureDefaults()
	const partitions = 3
	plan, err := PlanTopics(t.Context(), c.client, &s, partitions)
	if err != nil {
		t.Fatal(err)
	}
	text, err := s.TopicManifests("east", partitions)
	if err != nil {
		t.Fatal(err)
	}
	names, specs := manifests[strimziTopic](t, text)
	if want := len(plan.Topics) - 1; len(names) != want { // without the input
		t.Errorf("%d objects, and %d topics", len(names), want)
	}
	for i, spec := range specs {
		of := plan.of(t, spec.TopicName)
		if !of.Own || spec.Partitions != of.Partitions || spec.Replicas != 0 || !maps.Equal(spec.Config, of.Configs) || names[i] != "shop-a."+spec.TopicName[len(s.Prefix):] {
			t.Errorf("%s: %+v, and the plan has %+v", names[i], spec, of)
		}
	}
	s.Prefix, s.Topics.Replication, s.Inputs = "lull.", 3, map[string]TopicInput{"orders": {}}
	if text, err = s.TopicManifests("east", 0); err != nil {
		t.Fatal(err)
	}
	names, specs = manifests[strimziTopic](t, text)
	for i, spec := range specs {
		if spec.TopicName != "" || spec.Replicas != 3 || names[i] == s.Topic(ChangelogTopic) && spec.Partitions != s.Topics.Partitions {
			t.Errorf("%s: %+v", names[i], spec)
		}
	}
	if !slices.Contains(names, s.Topic(EventsTopic)) {
		t.Errorf("%q lacks the events of the first stage", names)
	}
}

// TestUserManifest proves that a user has each operation of its roles, once, and no other.
func TestUserManifest(t *testing.T) {
	s := DefaultSettings()
	s.Input.Topic = "shop"
	s.EnsureDefaults()
	roles := []Role{roleNamed(t, &s, "run"), roleNamed(t, &s, "apply")}
	text, err := s.UserManifest("east", "crm", roles)
	if err != nil {
		t.Fatal(err)
	}
	names, specs := manifests[strimziUser](t, text)
	if len(names) != 1 || names[0] != "crm" || specs[0].Authentication.Type != "scram-sha-512" {
		t.Fatalf("%q, %+v", names, specs)
	}
	type grant struct {
		of        strimziResource
		operation string
	}
	want, got := make(map[grant]bool), make(map[grant]bool)
	for _, role := range roles {
		for _, right := range role.Rights {
			for _, operation := range right.Operations {
				of := strimziResource{strimziTypes[right.Resource], right.Name, "literal"}
				if right.Prefixed {
					of.PatternType = "prefix"
				}
				want[grant{of, operation}] = true
			}
		}
	}
	for _, acl := range specs[0].Authorization.ACLs {
		for _, operation := range acl.Operations {
			g := grant{acl.Resource, operation}
			if got[g] || acl.Resource.Type == "" || acl.Host != "*" {
				t.Errorf("%+v is there twice, or of no kind", g)
			}
			got[g] = true
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
}
