package pipeline

import "slices"

// Role is something that is done with the brokers, and the least rights that it needs there.
type Role struct {
	// Name is short, and unique.
	Name string
	// Purpose says what is done.
	Purpose string
	// Subscriber says that it is not lull that does it.
	Subscriber bool
	Rights     []Right
}

// Right allows operations on a resource, named as Kafka names them.
type Right struct {
	// Resource is Topic, Group or TransactionalId.
	Resource string
	// Name is the resource's, or what the names of all begin with that Prefixed means.
	Name     string
	Prefixed bool
	// Operations are what is allowed. Read, Write and Create allow Describe too, Create when the topic is there does not.
	Operations []string
}

// The resources and operations of rights, as Kafka's tools have them.
const (
	topicResource         = "Topic"
	groupResource         = "Group"
	transactionalResource = "TransactionalId"

	opRead            = "Read"
	opWrite           = "Write"
	opCreate          = "Create"
	opDescribe        = "Describe"
	opDescribeConfigs = "DescribeConfigs"
	opAlterConfigs    = "AlterConfigs"
	opDelete          = "Delete"
)

// Roles returns all that is done with this application's topics, and the least rights for it. Subscribers read in a group of theirs.
func (s *Settings) Roles(subscriberGroup string) []Role {
	run := Role{Name: "run", Purpose: "lull run", Rights: s.onInputs(opRead)}
	apply := Role{Name: "apply", Purpose: "lull topics apply", Rights: s.onInputs(opDescribe)}
	tail := Role{Name: "tail", Purpose: "lull tail", Rights: s.onInputs(opRead)}
	// What the state was made with is read in the changelog.
	reset := []Right{s.onTopic(s.Topic(ChangelogTopic), opRead, opDelete), s.onTopic(s.Topic(StatisticsTopic), opDelete), s.onTopic(s.Topic(QualityTopic), opDelete)}
	diff := append(s.onInputs(opDescribe), s.onTopic(s.Topic(ChangelogTopic), opRead))
	redrive := append(s.onInputs(opWrite, opDescribeConfigs), s.onTopic(s.Topic(DeadLettersTopic), opRead), s.onTopic(s.Topic(RedrivesTopic), opRead, opWrite))
	if s.Staged() {
		reset = append(reset, s.onTopic(s.Topic(EventsTopic), opDelete))
		diff = append(diff, s.onTopic(s.Topic(EventsTopic), opDescribe))
		redrive = append(redrive, s.onTopic(s.Topic(EventsTopic), opWrite, opDescribeConfigs))
	}
	for _, name := range []string{SessionsTopic, ScoresTopic, SegmentsTopic, TriggersTopic, OffersTopic, DeadLettersTopic} {
		reset = append(reset, s.onTopic(s.Topic(name), opDelete))
		diff = append(diff, s.onTopic(s.Topic(name), opRead))
	}
	subscribe := Role{Name: "subscribe", Purpose: "whoever acts on the outputs", Subscriber: true}
	var snapshot []Right
	snapshotTopics := []string{ChangelogTopic, SessionsTopic, SegmentsTopic, TriggersTopic, ModelsTopic, QualityTopic}
	for _, name := range snapshotTopics {
		snapshot = append(snapshot, s.onTopic(s.Topic(name), opRead))
	}
	fits := s.Fit.Mode != "off"
	for _, t := range s.ownTopics() {
		name, use := s.Topic(t.name), t.tasks
		if fits {
			use |= t.fitter
		}
		if s.Snapshots.Every > 0 && slices.Contains(snapshotTopics, t.name) {
			use |= reads
		}
		// The topics are looked at before they are used.
		run.Rights = append(run.Rights, s.onTopic(name, append(use.operations(), opDescribeConfigs)...))
		apply.Rights = append(apply.Rights, s.onTopic(name, opCreate, opDescribe, opDescribeConfigs, opAlterConfigs))
		tail.Rights = append(tail.Rights, s.onTopic(name, opRead))
		if t.published {
			subscribe.Rights = append(subscribe.Rights, s.onTopic(name, opRead))
		}
	}
	run.Rights = append(run.Rights, Right{Resource: transactionalResource, Name: s.ownerTransactionalID(), Operations: []string{opWrite}})
	groups := []string{s.Group}
	if fits {
		groups = append(groups, s.FitterGroup())
	}
	for _, group := range groups {
		run.Rights = append(run.Rights,
			Right{Resource: groupResource, Name: group, Operations: []string{opRead}},
			Right{Resource: transactionalResource, Name: transactionalIDs(group), Prefixed: true, Operations: []string{opWrite}})
	}
	subscribe.Rights = append(subscribe.Rights, Right{Resource: groupResource, Name: subscriberGroup, Operations: []string{opRead}})
	return []Role{
		run, apply,
		{Name: "apply-input", Purpose: "lull topics apply --input-partitions N, besides", Rights: s.onInputs(opCreate)},
		{Name: "produce", Purpose: "lull produce", Rights: append(
			// How far a file has been sent is the offset of a group in the same transaction, of the topic that it is sent to.
			s.onInputs(opRead, opWrite),
			Right{Resource: groupResource, Name: s.Group + "/produce/", Prefixed: true, Operations: []string{opRead}},
			Right{Resource: transactionalResource, Name: s.Group + "/produce/", Prefixed: true, Operations: []string{opWrite}},
		)},
		{Name: "redrive", Purpose: "lull dead-letters", Rights: append(redrive,
			Right{Resource: transactionalResource, Name: s.RedriveTransactionalID(), Operations: []string{opWrite}},
		)},
		{Name: "operate", Purpose: "lull fit, lull models", Rights: []Right{
			s.onTopic(s.Topic(ModelsTopic), opRead, opWrite), s.onTopic(s.Topic(FitsTopic), opRead, opWrite),
			{Resource: groupResource, Name: s.FitterGroup(), Operations: []string{opDescribe}}, // who fits
		}},
		{Name: "reset", Purpose: "lull reset --outputs", Rights: append(reset,
			Right{Resource: groupResource, Name: s.Group, Operations: []string{opDelete}},
			Right{Resource: groupResource, Name: s.FitterGroup(), Operations: []string{opDescribe}})},
		{Name: "diff", Purpose: "lull diff, of both applications", Rights: append(diff, Right{Resource: groupResource, Name: s.Group, Operations: []string{opDescribe}})},
		{Name: "snapshot", Purpose: "lull snapshot", Rights: snapshot},
		tail, subscribe,
	}
}

// RedriveTransactionalID returns the id by which only one at a time sends dead letters again. It follows from the prefix, as do the topics in which that is noted.
func (s *Settings) RedriveTransactionalID() string { return s.Prefix + "redrive" }

func (s *Settings) onTopic(name string, operations ...string) Right {
	return Right{Resource: topicResource, Name: name, Operations: operations}
}

// onInputs allows operations on each of the input topics.
func (s *Settings) onInputs(operations ...string) (rights []Right) {
	for _, in := range s.InputTopics() {
		rights = append(rights, s.onTopic(in.Topic, operations...))
	}
	return rights
}

// uses are what is done with the records of a topic.
type uses uint8

const (
	reads uses = 1 << iota
	writes
)

// operations returns what must be allowed: at least to see that the topic is there.
func (u uses) operations() (operations []string) {
	if u&reads != 0 {
		operations = append(operations, opRead)
	}
	if u&writes != 0 {
		operations = append(operations, opWrite)
	}
	if u == 0 {
		operations = append(operations, opDescribe)
	}
	return operations
}
