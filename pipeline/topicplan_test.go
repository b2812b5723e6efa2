package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// planOf returns the plan of an application's topics.
func (c *cluster) planOf(s *Settings) *TopicPlan {
	c.t.Helper()
	plan, err := PlanTopics(c.t.Context(), c.client, s, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	return plan
}

func (p *TopicPlan) of(t *testing.T, name string) *PlannedTopic {
	t.Helper()
	i := slices.IndexFunc(p.Topics, func(t PlannedTopic) bool { return t.Name == name })
	if i < 0 {
		t.Fatalf("topic %q is not in the plan", name)
	}
	return &p.Topics[i]
}

// configure alters a topic, as an operator would, and waits until the brokers tell so.
func (c *cluster) configure(topic, key, value string) {
	c.t.Helper()
	answers, err := c.adm.AlterTopicConfigs(c.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	if err == nil {
		_, err = answers.On(topic, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	for is := ""; err == nil && is != value; {
		var configs map[string]map[string]string
		if configs, _, err = topicConfigs(c.t.Context(), c.adm, topic); err == nil {
			is = configs[topic][key]
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestTopicRules proves of each rule that what breaks it is found, that what is the operator's right is no more than noted, and that apply makes of what it may
// alter what it must be. run goes on without what is not needed, and says so.
func TestTopicRules(t *testing.T) {
	c := newCluster(t)
	s := c.application(2)
	if err := c.planOf(&s).Check(); err != nil {
		t.Fatalf("topics that were made just now: %v", err)
	}
	for _, rule := range []struct {
		topic, key, value string
		breaks            string // in the error of check; "" if it is the operator's right
		needed, deletes   bool
	}{
		{ChangelogTopic, "cleanup.policy", "delete", "must have compact", true, true},
		{SessionsTopic, "cleanup.policy", "compact", "must have delete", true, true},
		{ScoresTopic, "max.message.bytes", "5000", "must have at least 1000000", true, false},
		{ScoresTopic, "max.message.bytes", "2000000", "", false, false},
		{DeadLettersTopic, "max.message.bytes", "1000000", "must have at least", true, false},
		{DeadLettersTopic, "retention.ms", "-1", "must have 604800000", false, true},
		{DeadLettersTopic, "retention.ms", "3600000", "must have 604800000", false, false},
		{TriggersTopic, "retention.ms", "3600000", "must have at least 604800000", false, false},
		{TriggersTopic, "retention.ms", "-1", "", false, false},
		{FitsTopic, "retention.ms", "604800000", "must have no limit (-1)", false, false},
		{ChangelogTopic, "delete.retention.ms", "1000", "must have at least 86400000", false, false},
		{ChangelogTopic, "segment.ms", "1000000000", "must have at most 604800000", false, false},
		{ScoresTopic, "max.compaction.lag.ms", "9223372036854775807", "must have at most 604800000", false, false},
		{ChangelogTopic, "segment.ms", "3600000", "", false, false},
	} {
		name := rule.topic + " " + rule.key + "=" + rule.value
		before := c.planOf(&s).of(t, s.Topic(rule.topic)).Configs[rule.key]
		c.configure(s.Topic(rule.topic), rule.key, rule.value)
		plan := c.planOf(&s)
		planned := plan.of(t, s.Topic(rule.topic))
		err := plan.Check()
		_, warnings, runs := checkTopics(t.Context(), c.adm, &s)
		if rule.breaks == "" {
			if err != nil || runs != nil || len(warnings) > 0 || !strings.Contains(strings.Join(planned.Notes, "\n"), rule.key+" is "+rule.value) {
				t.Errorf("%s: %v, %v, notes %q", name, err, runs, planned.Notes)
			}
			c.configure(s.Topic(rule.topic), rule.key, before)
			continue
		}
		if err == nil || !strings.Contains(err.Error(), rule.key+"="+rule.value+" and "+rule.breaks) {
			t.Errorf("%s: check says %v, want %q", name, err, rule.breaks)
		}
		if (runs != nil) != rule.needed || (len(warnings) > 0) == rule.needed {
			t.Errorf("%s: run is told %v and warned of %q", name, runs, warnings)
		}
		err = plan.Apply(t.Context(), c.client, &s, RefuseDeletions)
		var deletes *DeletesError
		if errors.As(err, &deletes) != rule.deletes || !rule.deletes && err != nil {
			t.Fatalf("%s: apply says %v", name, err)
		}
		if rule.deletes {
			if got := c.planOf(&s).of(t, s.Topic(rule.topic)).Configs[rule.key]; got != rule.value {
				t.Errorf("%s: it was altered to %s without being told to", name, got)
			}
			if err := plan.Apply(t.Context(), c.client, &s, AllowDeletions); err != nil {
				t.Fatalf("%s: apply says %v", name, err)
			}
		}
		if err := c.planOf(&s).Check(); err != nil {
			t.Fatalf("%s: after apply %v", name, err)
		}
	}
}

// TestTopicPartitions proves that apply never changes a number of partitions: where another one does not do it does nothing at all, and says what to do.
func TestTopicPartitions(t *testing.T) {
	for _, c := range []struct {
		topic      string
		partitions int
		problem    string // "" if it is the operator's right
	}{
		{ChangelogTopic, 3, "customers are in other partitions than their state"},
		{ModelsTopic, 2, "must have 1: only the first is read"},
		{FitsTopic, 2, "must have 1"},
		{SessionsTopic, 12, ""},
	} {
		fake := newCluster(t)
		s := fake.application(2)
		if _, err := fake.adm.CreatePartitions(t.Context(), c.partitions-len(mustDetail(fake, s.Topic(c.topic)).Partitions), s.Topic(c.topic)); err != nil {
			t.Fatal(err)
		}
		for len(mustDetail(fake, s.Topic(c.topic)).Partitions) != c.partitions { // until the brokers tell so
		}
		plan := fake.planOf(&s)
		err := plan.Apply(t.Context(), fake.client, &s, AllowDeletions)
		if c.problem == "" {
			if notes := plan.of(t, s.Topic(c.topic)).Notes; err != nil || plan.Check() != nil || !strings.Contains(strings.Join(notes, "\n"), "it has 12 partitions") {
				t.Errorf("%s: %v, notes %q", c.topic, err, notes)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "nothing was done") || !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: apply says %v, want %q", c.topic, err, c.problem)
		}
		if _, _, err := checkTopics(t.Context(), fake.adm, &s); err == nil || !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s: run is told %v, want %q", c.topic, err, c.problem)
		}
	}
}

func mustDetail(c *cluster, topic string) kadm.TopicDetail {
	c.t.Helper()
	topics, err := c.adm.ListTopics(c.t.Context(), topic)
	if err != nil || topics[topic].Err != nil {
		c.t.Fatal(errors.Join(err, topics[topic].Err))
	}
	return topics[topic]
}

// TestTopicReplicas proves that fewer replicas than asked for are refused with what mends it, more are noted, and that the brokers' own number is asked for by none.
func TestTopicReplicas(t *testing.T) {
	planned := PlannedTopic{Name: "lull.scores", Replication: 1}
	want := "topic \"lull.scores\" has 1 replicas and topics.replication asks for 3: add them with `kafka-reassign-partitions`, or set topics.replication to 1"
	if planned.checkReplication(3); len(planned.Problems) != 1 || planned.Problems[0] != want {
		t.Errorf("too few replicas: %q, want %q", planned.Problems, want)
	}
	planned = PlannedTopic{Name: "lull.scores", Replication: 3}
	if planned.checkReplication(2); len(planned.Problems) > 0 || len(planned.Notes) != 1 || planned.Notes[0] != "it has 3 replicas; topics.replication is 2, for new topics" {
		t.Errorf("more replicas: %q, %q", planned.Problems, planned.Notes)
	}
	if planned.checkReplication(0); len(planned.Problems) > 0 || len(planned.Notes) != 1 {
		t.Errorf("the brokers' own: %q, %q", planned.Problems, planned.Notes)
	}
}

// TestMoreReplicasThanBrokers proves that who asks for more replicas than there are brokers, as with settings for a cluster on a single broker, is told so once, and nothing is created.
func TestMoreReplicasThanBrokers(t *testing.T) {
	c := newCluster(t)
	brokers, err := c.adm.ListBrokers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := len(brokers)
	s := c.application(1)
	s.Topics.Replication = n + 1
	want := fmt.Sprintf("topics: topics.replication is %d, and the brokers that run are %d: each replica lies on a broker of its own; set it to %d or less, or start more brokers", n+1, n, n)
	if err := c.planOf(&s).Check(); err == nil || err.Error() != want {
		t.Errorf("topics that are there: %v\nwant %s", err, want)
	}
	s.Prefix += "new."
	if err := c.planOf(&s).Apply(t.Context(), c.client, &s, RefuseDeletions); err == nil || err.Error() != "nothing was done: "+want {
		t.Errorf("topics that are not there: %v\nwant %s", err, want)
	}
}

// TestTopicsOfOthers proves that topics under the prefix which are none of lull's are shown, and not touched; and that an operator is told what of the input may
// surprise.
func TestTopicsOfOthers(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	if _, err := c.adm.CreateTopic(t.Context(), 1, 1, nil, s.Prefix+"theirs"); err != nil {
		t.Fatal(err)
	}
	c.awaitTopic(s.Prefix + "theirs")
	c.configure(s.Input.Topic, "cleanup.policy", "compact")
	plan := c.planOf(&s)
	if notes := plan.of(t, s.Prefix+"theirs").Notes; len(notes) != 1 || !strings.Contains(notes[0], "nothing is done with it") {
		t.Errorf("a foreign topic: %q", notes)
	}
	notes := strings.Join(plan.of(t, s.Input.Topic).Notes, "\n")
	for _, want := range []string{"cleanup.policy is compact", "max.message.bytes is 8000000 and limits.value_bytes 1048576"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the input: %q, want %q", notes, want)
		}
	}
	if err := plan.Check(); err != nil {
		t.Error(err)
	}
	if size := plan.of(t, s.Topic(ScoresTopic)).Bytes; size < 0 {
		t.Errorf("size of an empty topic: %d", size)
	}
}

// TestApplyGivesUp proves that apply ends with the context, and says what the brokers do not tell.
func TestApplyGivesUp(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.configure(s.Topic(ScoresTopic), "segment.ms", "1000000000")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := awaitPlan(ctx, c.adm, &s); err == nil || !strings.Contains(err.Error(), "the brokers do not tell so") {
		t.Errorf("error %v", err)
	}
}
