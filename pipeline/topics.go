package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/pipeline/security"
	"lull/schemas"
)

// The topics that lull owns, without the prefix.
const (
	SessionsTopic    = "sessions"
	ScoresTopic      = "scores"
	SegmentsTopic    = "segments"
	TriggersTopic    = "triggers"
	DeadLettersTopic = "dead-letters"
	ModelsTopic      = "models"
	StatisticsTopic  = "statistics"
	FitsTopic        = "fits"
	RedrivesTopic    = "redrives"
	ChangelogTopic   = "changelog"
)

// Topic returns the full name of one of lull's own topics.
func (s *Settings) Topic(name string) string { return s.Prefix + name }

// ownTopic is what one of lull's topics must be.
type ownTopic struct {
	name       string
	partitions int // 0: as many as the input
	compacted  bool
	kept       bool // for ever, if not compacted
	bytesMin   int  // least max.message.bytes

	tasks, fitter uses // what they do with it
	published     bool // it is for subscribers
}

// deadLetterBytes is the size of the largest dead letter: the whole value of its record up to the limit, and what can stand beside it.
func (s *Settings) deadLetterBytes() int { return s.Limits.ValueBytes + schemas.DeadLetterRecordMin }

const (
	// batchOverhead is more than what a batch of one record takes beside it.
	batchOverhead = 1 << 10
	// batchBytes is the size of the largest batch that is written to a topic other than the dead letters: a little less than Kafka's default of
	// max.message.bytes. Every record that goes there fits.
	batchBytes = 1_000_000
)

func (s *Settings) ownTopics() []ownTopic {
	return []ownTopic{
		{name: SessionsTopic, partitions: s.Topics.Partitions, bytesMin: batchBytes, tasks: writes, published: true},
		{name: ScoresTopic, partitions: s.Topics.Partitions, compacted: true, bytesMin: batchBytes, tasks: writes, published: true},
		{name: SegmentsTopic, partitions: s.Topics.Partitions, bytesMin: batchBytes, tasks: writes, published: true},
		{name: TriggersTopic, partitions: s.Topics.Partitions, bytesMin: batchBytes, tasks: writes, published: true},
		{name: DeadLettersTopic, partitions: s.Topics.Partitions, bytesMin: s.deadLetterBytes() + batchOverhead, tasks: writes},
		{name: ModelsTopic, partitions: 1, compacted: true, bytesMin: batchBytes, tasks: reads, fitter: reads | writes},
		{name: StatisticsTopic, partitions: 1, compacted: true, bytesMin: batchBytes, tasks: writes, fitter: reads},
		{name: FitsTopic, partitions: 1, kept: true, bytesMin: batchBytes, fitter: reads | writes},
		{name: RedrivesTopic, partitions: 1, compacted: true, bytesMin: batchBytes},
		{name: ChangelogTopic, compacted: true, bytesMin: batchBytes, tasks: reads | writes},
	}
}

// batchBytes returns the size of the largest batch that is written to one of lull's topics. A larger one would be refused with the transaction that it
// is in, again and again.
func (s *Settings) batchBytes(topic string) int32 {
	if topic == s.Topic(DeadLettersTopic) {
		return int32(s.deadLetterBytes() + batchOverhead)
	}
	return batchBytes
}

// anewUnderPrefix says why the input's partitions cannot change under a state, and what to do.
const anewUnderPrefix = "customers are in other partitions than their state when the number of partitions changes: take a new --prefix and --state-dir, under which " +
	"`lull topics apply` makes topics that fit, and read the input again"

// TopicError says what is wrong with the topics, and what mends it.
type TopicError struct{ Problems []string }

func (e *TopicError) Error() string { return "topics: " + strings.Join(e.Problems, "; ") }

// topicIDs are the ids of the topics whose re-creation must not go unnoticed.
type topicIDs struct {
	input, changelog [16]byte
	partitions       int32 // of both
}

// listTopics returns what the brokers say of topics. Of those that this process may not see the detail says so: the client gives up at the first of them and
// does not tell which it was.
func listTopics(ctx context.Context, adm *kadm.Client, names ...string) (kadm.TopicDetails, error) {
	topics, err := adm.ListTopics(ctx, names...)
	if !denied(err) {
		return topics, err
	}
	topics = make(kadm.TopicDetails)
	for _, name := range names {
		one, err := adm.ListTopics(ctx, name)
		switch {
		case denied(err):
			topics[name] = kadm.TopicDetail{Topic: name, Err: err}
		case err != nil:
			return nil, err
		default:
			topics[name] = one[name]
		}
	}
	return topics, nil
}

// denied reports whether the error is of a right that is missing.
func denied(err error) bool {
	var right *kadm.AuthError
	return errors.As(err, &right)
}

// checkTopics reports whether every topic is there as it must be. The error is a *TopicError, or the broker's.
func checkTopics(ctx context.Context, adm *kadm.Client, s *Settings) (topicIDs, error) {
	names := []string{s.Input.Topic}
	for _, t := range s.ownTopics() {
		names = append(names, s.Topic(t.name))
	}
	topics, err := listTopics(ctx, adm, names...)
	if err != nil {
		return topicIDs{}, fmt.Errorf("asking for the topics: %w", err)
	}
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	input := topics[s.Input.Topic]
	switch {
	case errors.Is(input.Err, kerr.UnknownTopicOrPartition):
		problem("the input topic %q does not exist: create it, or mend input.topic", s.Input.Topic)
	case input.Err != nil:
		problem("the input topic %q: %s", s.Input.Topic, security.Explain(input.Err))
	}
	present := names[:0:0]
	for _, t := range s.ownTopics() {
		name := s.Topic(t.name)
		got := topics[name]
		switch {
		case errors.Is(got.Err, kerr.UnknownTopicOrPartition):
			problem("topic %q does not exist: run `lull topics create`", name)
			continue
		case got.Err != nil:
			problem("topic %q: %s", name, security.Explain(got.Err))
			continue
		}
		present = append(present, name)
		if t.name == ChangelogTopic && input.Err == nil && len(got.Partitions) != len(input.Partitions) {
			problem("topic %q has %d partitions and the input topic %q has %d: they must be equal, as %s", name, len(got.Partitions), s.Input.Topic, len(input.Partitions), anewUnderPrefix)
		}
	}
	if len(present) > 0 {
		more, err := checkTopicConfigs(ctx, adm, s, present)
		if err != nil {
			return topicIDs{}, err
		}
		problems = append(problems, more...)
	}
	if len(problems) > 0 {
		return topicIDs{}, &TopicError{problems}
	}
	return topicIDs{
		input: [16]byte(input.ID), changelog: [16]byte(topics[s.Topic(ChangelogTopic)].ID), partitions: int32(len(input.Partitions)),
	}, nil
}

func checkTopicConfigs(ctx context.Context, adm *kadm.Client, s *Settings, present []string) (problems []string, err error) {
	configs, err := adm.DescribeTopicConfigs(ctx, present...)
	if denied(err) { // the client does not tell of which topic
		for _, name := range present {
			if _, err := adm.DescribeTopicConfigs(ctx, name); denied(err) {
				problems = append(problems, fmt.Sprintf("topic %q: asking for its configuration: %s", name, security.Explain(err)))
			}
		}
		return problems, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the topics' configuration: %w", err)
	}
	for _, t := range s.ownTopics() {
		name := s.Topic(t.name)
		if !slices.Contains(present, name) {
			continue
		}
		rc, err := configs.On(name, nil)
		if err != nil || rc.Err != nil {
			return nil, fmt.Errorf("asking for the configuration of topic %q: %w", name, errors.Join(err, rc.Err))
		}
		value := func(key string) string {
			for _, c := range rc.Configs {
				if c.Key == key {
					return c.MaybeValue()
				}
			}
			return ""
		}
		policy := value("cleanup.policy")
		if compacted := policy == "compact"; compacted != t.compacted {
			want := "delete"
			if t.compacted {
				want = "compact"
			}
			problems = append(problems, fmt.Sprintf("topic %q has cleanup.policy=%s: run `kafka-configs --alter --topic %s --add-config cleanup.policy=%s`",
				name, policy, name, want))
		}
		if n, err := strconv.Atoi(value("max.message.bytes")); err == nil && n < t.bytesMin {
			problems = append(problems, fmt.Sprintf("topic %q has max.message.bytes=%d: run `kafka-configs --alter --topic %s --add-config max.message.bytes=%d`",
				name, n, name, t.bytesMin))
		}
	}
	return problems, nil
}

// CreateTopics creates those of lull's own topics that are missing, and, if inputPartitions is not 0, the input topic with so many partitions, and waits
// until they can be used. It changes none that is there: the error, a *TopicError, says which of them do not fit. The changelog gets as many partitions as the input has. created are the names of the
// new ones, in order, also if there is an error.
func CreateTopics(ctx context.Context, s Settings, inputPartitions int32) (created []string, err error) {
	return createTopics(ctx, thisMachine().dial, s, inputPartitions)
}

func createTopics(ctx context.Context, dial dialer, s Settings, inputPartitions int32) (created []string, err error) {
	access := s.access(dial)
	client, err := kgo.NewClient(append(access.Options("lull"), kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	replication := int16(s.Topics.Replication)
	if replication == 0 {
		replication = -1 // the brokers' own
	}
	create := func(name string, partitions int32, configs map[string]*string) error {
		_, err := adm.CreateTopic(ctx, partitions, replication, configs, name)
		switch {
		case errors.Is(err, kerr.TopicAlreadyExists):
		case err != nil:
			return fmt.Errorf("creating topic %q: %w", name, err)
		default:
			created = append(created, name)
		}
		return nil
	}
	topics, err := listTopics(ctx, adm, s.Input.Topic)
	if err != nil {
		if err = security.Explain(err); security.Explained(err) {
			return nil, fmt.Errorf("no broker of %s takes this client: %w", strings.Join(s.Brokers, ", "), err)
		}
		return nil, fmt.Errorf("no broker of %s answers (%w): start it, or mend brokers", strings.Join(s.Brokers, ", "), err)
	}
	input := topics[s.Input.Topic]
	changelogPartitions := int32(len(input.Partitions))
	switch {
	case errors.Is(input.Err, kerr.UnknownTopicOrPartition) && inputPartitions > 0:
		if err := create(s.Input.Topic, inputPartitions, nil); err != nil {
			return created, err
		}
		changelogPartitions = inputPartitions
	case errors.Is(input.Err, kerr.UnknownTopicOrPartition):
		return nil, fmt.Errorf("the input topic %q does not exist: create it first, or let --input-partitions N create it", s.Input.Topic)
	case input.Err != nil:
		return nil, fmt.Errorf("asking for the input topic %q: %w", s.Input.Topic, input.Err)
	case inputPartitions > 0 && inputPartitions != changelogPartitions:
		return nil, fmt.Errorf("the input topic %q has %d partitions, not %d: leave --input-partitions out, or create another topic",
			s.Input.Topic, changelogPartitions, inputPartitions)
	}
	for _, t := range s.ownTopics() {
		partitions := int32(t.partitions)
		if partitions == 0 {
			partitions = changelogPartitions
		}
		configs := map[string]*string{"cleanup.policy": kadm.StringPtr("delete")}
		if t.compacted {
			configs["cleanup.policy"] = kadm.StringPtr("compact")
		}
		if t.kept {
			configs["retention.ms"], configs["retention.bytes"] = kadm.StringPtr("-1"), kadm.StringPtr("-1")
		}
		if t.bytesMin > 0 {
			configs["max.message.bytes"] = kadm.StringPtr(strconv.Itoa(t.bytesMin))
		}
		if err := create(s.Topic(t.name), partitions, configs); err != nil {
			return created, err
		}
	}
	if len(created) > 0 {
		patient, cancel := context.WithTimeout(ctx, knownMax)
		defer cancel()
		if err := awaitTopics(patient, client, created); err != nil {
			return created, err
		}
	}
	_, err = checkTopics(ctx, adm, &s) // those that were there may be none that lull can run with
	return created, err
}

// knownMax is how long every broker may take to know new topics.
const knownMax = time.Minute

// awaitTopics waits until every broker knows the topics, and the leader of each partition answers as such: Kafka answers a creation before that, and who
// writes at once may be told that there is no such topic. The error says what was missing when ctx ended.
func awaitTopics(ctx context.Context, client *kgo.Client, topics []string) error {
	var missing error
	for {
		err := unknownTopics(ctx, client, topics)
		if err == nil {
			return nil
		}
		if missing == nil || ctx.Err() == nil {
			missing = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the topics were created, but the brokers are not ready for them: %w", missing)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// unknownTopics says which broker does not know which topic, or does not lead it yet; nil if all do.
func unknownTopics(ctx context.Context, client *kgo.Client, topics []string) error {
	adm := kadm.NewClient(client)
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		return fmt.Errorf("asking for the brokers: %w", err)
	}
	for _, id := range brokers.NodeIDs() {
		request := kmsg.NewPtrMetadataRequest()
		for _, name := range topics {
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = kmsg.StringPtr(name)
			request.Topics = append(request.Topics, topic)
		}
		answer, err := request.RequestWith(ctx, client.Broker(int(id)))
		if err != nil {
			return fmt.Errorf("asking broker %d: %w", id, err)
		}
		for _, t := range answer.Topics {
			if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
				return fmt.Errorf("broker %d, topic %q: %w", id, *t.Topic, err)
			}
		}
	}
	ends, err := adm.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking the leaders for the ends: %w", err)
	}
	return nil
}
