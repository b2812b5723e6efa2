package pipeline

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The topics and users as objects of Strimzi, the operator of Kafka on Kubernetes, which then makes them and keeps them so: instead of `lull topics apply`, and of the commands of `lull acl print`.

// strimziVersion is that of Strimzi 0.49 and later.
const strimziVersion = "kafka.strimzi.io/v1"

type strimziObject struct {
	APIVersion string          `yaml:"apiVersion"`
	Kind       string          `yaml:"kind"`
	Metadata   strimziMetadata `yaml:"metadata"`
	Spec       any             `yaml:"spec"`
}

type strimziMetadata struct {
	Name   string            `yaml:"name"`
	Labels map[string]string `yaml:"labels"`
}

type strimziTopic struct {
	TopicName  string            `yaml:"topicName,omitempty"` // "": that of the object
	Partitions int               `yaml:"partitions"`
	Replicas   int               `yaml:"replicas,omitempty"` // 0: the brokers' own
	Config     map[string]string `yaml:"config,omitempty"`
}

type strimziUser struct {
	Authentication strimziType          `yaml:"authentication"`
	Authorization  strimziAuthorization `yaml:"authorization"`
}

type strimziType struct {
	Type string `yaml:"type"`
}

type strimziAuthorization struct {
	Type string       `yaml:"type"`
	ACLs []strimziACL `yaml:"acls"`
}

type strimziACL struct {
	Resource   strimziResource `yaml:"resource"`
	Operations []string        `yaml:"operations,flow"`
	Host       string          `yaml:"host"`
}

type strimziResource struct {
	Type        string `yaml:"type"`
	Name        string `yaml:"name"`
	PatternType string `yaml:"patternType"`
}

// strimziTypes are the resources of rights as Strimzi has them.
var strimziTypes = map[string]string{topicResource: "topic", groupResource: "group", transactionalResource: "transactionalId"}

// inNoName is what cannot stand in the name of an object.
var inNoName = regexp.MustCompile(`[^a-z0-9.-]+`)

// TopicManifests returns lull's own topics, as PlanTopics would have them created, as KafkaTopics of a cluster that Strimzi runs. taskPartitions is how many partitions the topic has that the tasks read: the input topic, which is
// not among them, or with a first stage topics.partitions.
func (s *Settings) TopicManifests(cluster string, taskPartitions int) ([]byte, error) {
	if s.Staged() {
		taskPartitions = s.Topics.Partitions
	}
	var objects []strimziObject
	for _, own := range s.ownTopics() {
		t := strimziTopic{TopicName: s.Topic(own.name), Partitions: own.partitions, Replicas: s.Topics.Replication, Config: make(map[string]string)}
		if t.Partitions == 0 {
			t.Partitions = taskPartitions
		}
		for _, r := range own.rules {
			t.Config[r.key] = r.wanted()
		}
		o := newStrimziObject("KafkaTopic", t.TopicName, cluster, nil)
		if t.TopicName == o.Metadata.Name {
			t.TopicName = ""
		}
		o.Spec = t
		objects = append(objects, o)
	}
	return strimziText(objects)
}

// UserManifest returns the rights of roles as a KafkaUser who logs in by SCRAM-SHA-512, of a cluster that Strimzi runs: its password is in the Secret of the user's name.
func (s *Settings) UserManifest(cluster, user string, roles []Role) ([]byte, error) {
	granted := strimziUser{Authentication: strimziType{"scram-sha-512"}, Authorization: strimziAuthorization{Type: "simple"}}
	acls := &granted.Authorization.ACLs
	for _, role := range roles {
		for _, right := range role.Rights {
			of := strimziResource{strimziTypes[right.Resource], right.Name, "literal"}
			if right.Prefixed {
				of.PatternType = "prefix"
			}
			i := slices.IndexFunc(*acls, func(acl strimziACL) bool { return acl.Resource == of })
			if i < 0 {
				i = len(*acls)
				*acls = append(*acls, strimziACL{Resource: of, Host: "*"})
			}
			for _, operation := range right.Operations {
				if !slices.Contains((*acls)[i].Operations, operation) {
					(*acls)[i].Operations = append((*acls)[i].Operations, operation)
				}
			}
		}
	}
	return strimziText([]strimziObject{newStrimziObject("KafkaUser", user, cluster, granted)})
}

func newStrimziObject(kind, name, cluster string, spec any) strimziObject {
	name = strings.Trim(inNoName.ReplaceAllString(strings.ToLower(name), "-"), ".-")
	return strimziObject{strimziVersion, kind, strimziMetadata{name, map[string]string{"strimzi.io/cluster": cluster}}, spec}
}

// strimziText returns the objects as a file. The error says that two have the same name: what cannot stand in one has been replaced.
func strimziText(objects []strimziObject) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	seen := make(map[string]bool)
	for _, o := range objects {
		if seen[o.Metadata.Name] {
			//lull:unread lull's own topics differ in letters that can stand there
			return nil, fmt.Errorf("two objects have the name %s", o.Metadata.Name)
		}
		seen[o.Metadata.Name] = true
		if err := e.Encode(o); err != nil {
			return nil, fmt.Errorf("writing %s: %w", o.Metadata.Name, err)
		}
	}
	err := e.Close()
	return b.Bytes(), err
}
