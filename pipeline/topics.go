package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lull/schemas"
)

// The topics that lull owns, without the prefix.
const (
	EventsTopic      = "events" // only with a first stage
	SessionsTopic    = "sessions"
	ScoresTopic      = "scores"
	SegmentsTopic    = "segments"
	TriggersTopic    = "triggers"
	OffersTopic      = "offers"
	DeadLettersTopic = longestTopic
	ModelsTopic      = "models"
	StatisticsTopic  = "statistics"
	FitsTopic        = "fits"
	RedrivesTopic    = "redrives"
	QualityTopic     = "quality"
	ChangelogTopic   = "changelog"
)

// longestTopic is the longest of them.
const longestTopic = "dead-letters"

// Topic returns the full name of one of lull's own topics.
func (s *Settings) Topic(name string) string { return s.Prefix + name }

// ownTopic is what one of lull's topics must be. The one list of them, ownTopics, is what run checks at start, and what topics plan, apply and check go by.
type ownTopic struct {
	name       string
	partitions int  // of a new one; 0: as many as the topic that the tasks read
	fixed      bool // no other number will do
	rules      []topicRule

	tasks, fitter uses // what they do with it
	published     bool // it is for subscribers
}

// topicRule is what one configuration entry of a topic must be.
type topicRule struct {
	key    string
	is     bound
	value  int64  // atLeast, atMost: of numbers, of which -1 is no limit; a new topic has it
	text   string // exactly
	needed bool   // run does not go on without it
}

// bound says how a topicRule compares.
type bound uint8

const (
	exactly bound = iota
	atLeast
	atMost
)

// wanted returns the value that a new topic has, and that an old one gets where it breaks the rule.
func (r *topicRule) wanted() string {
	if r.is == exactly {
		return r.text
	}
	return strconv.FormatInt(r.value, 10)
}

// holds reports whether a value keeps the rule. One that the brokers do not tell is their own, and no limit.
func (r *topicRule) holds(value string) bool {
	if r.is == exactly {
		return value == r.text
	}
	n, err := strconv.ParseInt(value, 10, 64)
	got, want := unlimited(n, err == nil), unlimited(r.value, true)
	if r.is == atLeast {
		return got >= want
	}
	return got <= want
}

// unlimited returns n, or the greatest number if n stands for no limit or is not known.
func unlimited(n int64, known bool) int64 {
	if n < 0 || !known {
		return math.MaxInt64
	}
	return n
}

// must says the rule in words.
func (r *topicRule) must() string {
	switch {
	case r.is == atLeast && r.value < 0:
		return "must have no limit (-1)"
	case r.is == atLeast:
		return "must have at least " + r.wanted()
	case r.is == atMost:
		return "must have at most " + r.wanted()
	}
	return "must have " + r.wanted()
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

// tombstonesMs is how long a compacted topic keeps deletions at least: a state that was behind for longer is built anew (24 h, Kafka's default).
const tombstonesMs = 24 * 60 * 60 * 1000

func (s *Settings) ownTopics() []ownTopic {
	policy := func(value string) topicRule { return topicRule{key: "cleanup.policy", text: value, needed: true} }
	// Larger batches than the topic takes would be refused with the transaction that they are in, again and again.
	bytes := func(n int) topicRule {
		return topicRule{key: "max.message.bytes", is: atLeast, value: int64(n), needed: true}
	}
	kept := func(is bound, d time.Duration) topicRule {
		return topicRule{key: "retention.ms", is: is, value: d.Milliseconds(), text: strconv.FormatInt(d.Milliseconds(), 10)}
	}
	// Erasure deletes, and what is deleted stays on disk until it is compacted away: a segment that is written to is not.
	compacted := []topicRule{
		policy("compact"), bytes(batchBytes),
		{key: "delete.retention.ms", is: atLeast, value: tombstonesMs},
		{key: "max.compaction.lag.ms", is: atMost, value: s.Topics.CompactionLag.Milliseconds()},
		{key: "segment.ms", is: atMost, value: s.Topics.CompactionLag.Milliseconds()},
	}
	told := []topicRule{policy("delete"), bytes(batchBytes), kept(atLeast, s.Topics.Retention)}
	var topics []ownTopic
	if s.Staged() {
		topics = append(topics, ownTopic{name: EventsTopic, partitions: s.Topics.Partitions, rules: told, tasks: reads | writes})
	}
	return append(topics, []ownTopic{
		{name: SessionsTopic, partitions: s.Topics.Partitions, rules: told, tasks: writes, published: true},
		{name: ScoresTopic, partitions: s.Topics.Partitions, rules: compacted, tasks: writes, published: true},
		{name: SegmentsTopic, partitions: s.Topics.Partitions, rules: told, tasks: writes, published: true},
		{name: TriggersTopic, partitions: s.Topics.Partitions, rules: told, tasks: writes, published: true},
		{name: OffersTopic, partitions: s.Topics.Partitions, rules: told, tasks: writes, published: true},
		{name: DeadLettersTopic, partitions: s.Topics.Partitions, rules: []topicRule{
			policy("delete"), bytes(s.deadLetterBytes() + batchOverhead), kept(exactly, s.Topics.DeadLetterRetention),
		}, tasks: writes},
		{name: ModelsTopic, partitions: 1, fixed: true, rules: compacted, tasks: reads, fitter: reads | writes},
		{name: StatisticsTopic, partitions: 1, fixed: true, rules: compacted, tasks: writes, fitter: reads},
		{name: FitsTopic, partitions: 1, fixed: true, rules: []topicRule{
			policy("delete"), bytes(batchBytes), {key: "retention.ms", is: atLeast, value: -1}, {key: "retention.bytes", is: atLeast, value: -1},
		}, fitter: reads | writes},
		{name: RedrivesTopic, partitions: 1, fixed: true, rules: compacted},
		{name: QualityTopic, partitions: 1, fixed: true, rules: compacted, tasks: writes, published: true},
		{name: ChangelogTopic, fixed: true, rules: compacted, tasks: reads | writes},
	}...)
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
	input, changelog [16]byte // input is the topic that the tasks read
	partitions       int32    // of both
	inputs           map[string]inputIDs
}

// inputIDs are the id of an input topic and the number of its partitions.
type inputIDs struct {
	id         [16]byte
	partitions int32
}

// checkTopics reports whether every topic is there as it must be. The error is a *TopicError, or the broker's. warnings are what is not as it should be, and no
// reason not to run.
func checkTopics(ctx context.Context, adm *kadm.Client, s *Settings) (ids topicIDs, warnings []string, err error) {
	plan, err := planTopics(ctx, adm, s, 0)
	if err != nil {
		return topicIDs{}, nil, err
	}
	problems, warnings := plan.problems()
	if len(problems) > 0 {
		return topicIDs{}, warnings, &TopicError{problems}
	}
	return plan.ids, warnings, nil
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

// missingRights are operations with the topics on which this process may not do them.
type missingRights map[string][]string

// explain says which rights the principal lacks, and what grants them; "" is one that is not known, and subject says that it is that of a certificate.
func (m missingRights) explain(principal string, subject bool) string {
	who, flag := "this process", ""
	if principal != "" {
		who, flag = principal, " --principal '"+principal+"'"
	}
	var parts []string
	for _, operation := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, operation+" on "+strings.Join(m[operation], ", "))
	}
	text := fmt.Sprintf("the brokers do not let %s do what it must, which is %s: grant what `lull acl print%s` prints", who, strings.Join(parts, "; and "), flag)
	switch {
	case principal == "":
		text += ", to the user that the brokers know this process by"
	case subject:
		text += "; if they have ssl.principal.mapping.rules, --principal must be the name that those make of the certificate"
	}
	return text
}

// denied reports whether the error is of a right that is missing.
func denied(err error) bool {
	var right *kadm.AuthError
	return errors.As(err, &right)
}
