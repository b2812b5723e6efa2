package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/pipeline/security"
)

// TopicPlan is what there is of the application's topics, and what is to become of them: the inputs first, then lull's own, then others under the prefix.
type TopicPlan struct {
	Topics []PlannedTopic
	// Problems are what is wrong with several topics at once, as those of one are.
	Problems []string

	ids         topicIDs
	replication int16 // of new topics; -1: the brokers' own
	brokers     int   // that run
}

// PlannedTopic is one topic of a plan.
type PlannedTopic struct {
	Name string
	// Own is false for input topics and for those that are none of lull's.
	Own bool
	// Exists says that it is there. What follows is of the topic as it is, or as it is to be created.
	Exists bool
	// Create says that it is to be created.
	Create bool
	// Partitions and Replication are how many there are; Replication is -1 for the brokers' own.
	Partitions, Replication int
	// Bytes is how much of it is on the brokers' disks, all replicas together; -1 if the brokers do not say.
	Bytes int64
	// Configs are the configuration entries, of a topic that is to be created those it is to have, nil if they are not known.
	Configs map[string]string
	// Changes are the configuration entries that break a rule of lull's own topics.
	Changes []TopicChange
	// Problems are what nobody but the operator can mend, and how.
	Problems []string
	// Notes are differences that are the operator's right.
	Notes []string
}

// TopicChange is a configuration entry of a topic that is to be altered.
type TopicChange struct {
	Key, From, To string
	// Needed says that run does not go on without it.
	Needed bool
	// Deletes says that the brokers will delete records because of it.
	Deletes bool

	must string
}

// problems returns what keeps run from running, and what is not as it should be besides.
func (p *TopicPlan) problems() (problems, warnings []string) {
	problems = append(problems, p.Problems...)
	var absent []string
	for i := range p.Topics {
		if p.Topics[i].Create {
			absent = append(absent, p.Topics[i].Name)
		}
	}
	switch len(absent) {
	case 0:
	case 1:
		problems = append(problems, fmt.Sprintf("topic %q does not exist: run `lull topics apply`", absent[0]))
	default:
		problems = append(problems, fmt.Sprintf("topics %s do not exist: run `lull topics apply`", strings.Join(absent, ", ")))
	}
	for i := range p.Topics {
		t := &p.Topics[i]
		problems = append(problems, t.Problems...)
		for _, c := range t.Changes {
			text := fmt.Sprintf("topic %q has %s=%s and %s: run `lull topics plan`, then `lull topics apply`", t.Name, c.Key, c.From, c.must)
			if c.Deletes {
				text = fmt.Sprintf("topic %q has %s=%s and %s: run `lull topics plan`, then `lull topics apply --delete-records`, by which the brokers delete records", t.Name, c.Key, c.From, c.must)
			}
			if c.Needed {
				problems = append(problems, text)
			} else {
				warnings = append(warnings, text)
			}
		}
	}
	return problems, warnings
}

// Check returns a *TopicError if anything is not as it must be or should be, also what run goes on without.
func (p *TopicPlan) Check() error {
	problems, warnings := p.problems()
	if problems = append(problems, warnings...); len(problems) > 0 {
		return &TopicError{problems}
	}
	return nil
}

// PlanTopics returns what there is of the application's topics, and what Apply is to do. inputPartitions is how many partitions an input topic is to be
// created with if it is not there; 0: it is not created. It changes nothing.
func PlanTopics(ctx context.Context, client *kgo.Client, s *Settings, inputPartitions int32) (*TopicPlan, error) {
	adm := kadm.NewClient(client)
	plan, err := planTopics(ctx, adm, s, inputPartitions)
	if err != nil {
		return nil, err
	}
	for i := range s.InputTopics() {
		input := &plan.Topics[i]
		if !input.Exists {
			continue
		}
		// Not to be allowed to see the input's configuration is no reason not to run.
		if configs, _, err := topicConfigs(ctx, adm, input.Name); err == nil {
			input.Configs = configs[input.Name]
		}
		s.noteInput(input)
	}
	if err := plan.addStrangers(ctx, adm, s); err != nil {
		return nil, err
	}
	plan.addSizes(ctx, adm)
	return plan, nil
}

// planTopics looks at the input and at lull's own topics.
func planTopics(ctx context.Context, adm *kadm.Client, s *Settings, inputPartitions int32) (*TopicPlan, error) {
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for the brokers: %w", err)
	}
	var names []string
	for _, in := range s.InputTopics() {
		names = append(names, in.Topic)
	}
	inputs := len(names)
	for _, t := range s.ownTopics() {
		names = append(names, s.Topic(t.name))
	}
	topics, err := listTopics(ctx, adm, names...)
	if err != nil {
		return nil, fmt.Errorf("asking for the topics: %w", err)
	}
	plan, missing := &TopicPlan{replication: -1, brokers: len(brokers)}, make(missingRights)
	if s.Topics.Replication > 0 {
		plan.replication = int16(s.Topics.Replication)
	}
	if s.Topics.Replication > len(brokers) {
		plan.Problems = append(plan.Problems, fmt.Sprintf("topics.replication is %d, and the brokers that run are %d: each replica lies on a broker of its own; set it to %d or less, or start more brokers",
			s.Topics.Replication, len(brokers), len(brokers)))
	}
	plan.ids.inputs = make(map[string]inputIDs)
	setting := "input.topic" // that names them
	if s.Staged() {
		setting = "inputs"
	}
	tasks := 0 // partitions of the topic that the tasks read
	for _, name := range names[:inputs] {
		input := plan.planInput(topics[name], name, setting, inputPartitions)
		plan.ids.inputs[name] = inputIDs{[16]byte(topics[name].ID), int32(input.Partitions)}
		tasks = input.Partitions
	}
	var present []string
	for _, name := range names[inputs:] {
		if topics[name].Err == nil {
			present = append(present, name)
		}
	}
	configs, refused, err := topicConfigs(ctx, adm, present...)
	if err != nil {
		return nil, err
	}
	for _, own := range s.ownTopics() {
		if own.partitions == 0 {
			own.partitions = tasks
		}
		got, name := topics[s.Topic(own.name)], s.Topic(own.name)
		if refused[name] != nil {
			missing[opDescribeConfigs] = append(missing[opDescribeConfigs], name)
			got.Err = refused[name]
		}
		planned := plan.planOwn(s, &own, got, configs[name])
		if own.name == EventsTopic {
			tasks = planned.Partitions
		}
		plan.Topics = append(plan.Topics, planned)
	}
	for _, name := range names {
		if denied(topics[name].Err) {
			missing[opDescribe] = append(missing[opDescribe], name)
		}
	}
	if len(missing) > 0 {
		plan.Problems = append(plan.Problems, missing.explain(s.Security.Principal()))
	}
	plan.ids.input, plan.ids.changelog = [16]byte(topics[s.taskTopic()].ID), [16]byte(topics[s.Topic(ChangelogTopic)].ID)
	plan.ids.partitions = int32(tasks)
	return plan, nil
}

// planInput looks at the input topic, which is the operator's.
func (p *TopicPlan) planInput(got kadm.TopicDetail, name, setting string, partitions int32) PlannedTopic {
	t := PlannedTopic{Name: name, Partitions: len(got.Partitions), Replication: replicas(got), Bytes: -1, Exists: got.Err == nil}
	switch missing := errors.Is(got.Err, kerr.UnknownTopicOrPartition); {
	case missing && partitions > 0:
		t.Create, t.Partitions, t.Replication = true, int(partitions), int(p.replication)
	case missing:
		t.Problems = append(t.Problems, fmt.Sprintf("the input topic %q does not exist: create it first, let `lull topics apply --input-partitions N` create it, or mend %s", name, setting))
	case denied(got.Err): // told with the other topics
	case got.Err != nil:
		t.Problems = append(t.Problems, fmt.Sprintf("the input topic %q: %s", name, security.Explain(got.Err)))
	case partitions > 0 && int(partitions) != t.Partitions:
		t.Problems = append(t.Problems, fmt.Sprintf("the input topic %q has %d partitions, not %d: leave --input-partitions out, or create another topic", name, t.Partitions, partitions))
	}
	p.Topics = append(p.Topics, t)
	return t
}

// noteInput says what of the input topic an operator may not have thought of.
func (s *Settings) noteInput(t *PlannedTopic) {
	if strings.Contains(t.Configs["cleanup.policy"], "compact") {
		t.Notes = append(t.Notes, "cleanup.policy is "+t.Configs["cleanup.policy"]+": of one customer's events the brokers keep the last, and the others are lost if they have not been read")
	}
	rule := topicRule{is: atMost, value: int64(s.Limits.ValueBytes)}
	if largest := t.Configs["max.message.bytes"]; largest != "" && !rule.holds(largest) {
		t.Notes = append(t.Notes, fmt.Sprintf("max.message.bytes is %s and limits.value_bytes %d: a record with a value above that becomes a dead letter", largest, s.Limits.ValueBytes))
	}
}

// replicas returns how many replicas every partition has at least.
func replicas(t kadm.TopicDetail) int {
	least := 0
	for _, p := range t.Partitions {
		if n := len(p.Replicas); least == 0 || n < least {
			least = n
		}
	}
	return least
}

// planOwn holds one of lull's own topics against what it must be.
func (p *TopicPlan) planOwn(s *Settings, own *ownTopic, got kadm.TopicDetail, configs map[string]string) PlannedTopic {
	t := PlannedTopic{Name: s.Topic(own.name), Own: true, Exists: got.Err == nil, Partitions: len(got.Partitions), Replication: replicas(got), Bytes: -1, Configs: configs}
	switch {
	case errors.Is(got.Err, kerr.UnknownTopicOrPartition):
		t.Create, t.Partitions, t.Replication, t.Configs = true, own.partitions, int(p.replication), make(map[string]string)
		for _, r := range own.rules {
			t.Configs[r.key] = r.wanted()
		}
		return t
	case denied(got.Err): // told with the other topics
		return t
	case got.Err != nil:
		t.Problems = append(t.Problems, fmt.Sprintf("topic %q: %s", t.Name, security.Explain(got.Err)))
		return t
	}
	t.checkPartitions(s, own)
	if s.Topics.Replication <= p.brokers { // else it is the brokers that lack
		t.checkReplication(s.Topics.Replication)
	}
	for _, r := range own.rules {
		value := configs[r.key]
		switch {
		case !r.holds(value):
			if value == "" {
				value = "(not set)"
			}
			t.Changes = append(t.Changes, TopicChange{Key: r.key, From: value, To: r.wanted(), Needed: r.needed, Deletes: r.deletes(value), must: r.must()})
		case value != r.wanted():
			t.Notes = append(t.Notes, fmt.Sprintf("%s is %s; a new topic has %s", r.key, value, r.wanted()))
		}
	}
	return t
}

func (t *PlannedTopic) checkPartitions(s *Settings, own *ownTopic) {
	switch {
	case t.Partitions == own.partitions:
	case own.name == ChangelogTopic && own.partitions == 0: // nothing is known of the input
	case own.name == ChangelogTopic:
		t.Problems = append(t.Problems, fmt.Sprintf("topic %q has %d partitions and the %s %q has %d: they must be equal, as %s",
			t.Name, t.Partitions, s.taskTopicKind(), s.taskTopic(), own.partitions, anewUnderPrefix))
	case own.fixed:
		t.Problems = append(t.Problems, fmt.Sprintf("topic %q has %d partitions and must have %d: only the first is read. What lies in the others is of no use: "+
			"delete the topic (`kafka-topics --delete --topic %s`), run `lull topics apply`, and put models again that were put by hand", t.Name, t.Partitions, own.partitions, t.Name))
	default:
		t.Notes = append(t.Notes, fmt.Sprintf("it has %d partitions; topics.partitions is %d, for new topics: more would move keys to other partitions, and break their order", t.Partitions, own.partitions))
	}
}

func (t *PlannedTopic) checkReplication(asked int) {
	switch {
	case asked == 0 || t.Replication == asked:
	case t.Replication < asked:
		t.Problems = append(t.Problems, fmt.Sprintf("topic %q has %d replicas and topics.replication asks for %d: add them with `kafka-reassign-partitions`, or set topics.replication to %d",
			t.Name, t.Replication, asked, t.Replication))
	default:
		t.Notes = append(t.Notes, fmt.Sprintf("it has %d replicas; topics.replication is %d, for new topics", t.Replication, asked))
	}
}

// deletes reports whether the brokers delete records when the entry goes from a value to the wanted one: what is older than a shorter retention, what is older at all
// than the retention where it had not counted, and all but the last record of a key.
func (r *topicRule) deletes(from string) bool {
	switch r.key {
	case "cleanup.policy":
		return true
	case "retention.ms", "retention.bytes":
		shorter := topicRule{is: atMost}
		shorter.value, _ = strconv.ParseInt(r.wanted(), 10, 64)
		return !shorter.holds(from)
	}
	return false
}

// topicConfigs returns the configuration entries of topics that are there, and for which of them it may not be asked: the client gives up at the first of these, and
// does not tell which it was.
func topicConfigs(ctx context.Context, adm *kadm.Client, names ...string) (configs map[string]map[string]string, refused map[string]error, err error) {
	configs, refused = make(map[string]map[string]string), make(map[string]error)
	if len(names) == 0 {
		return configs, refused, nil
	}
	described, err := adm.DescribeTopicConfigs(ctx, names...)
	switch {
	case denied(err) && len(names) == 1:
		refused[names[0]] = err
		return configs, refused, nil
	case denied(err):
		for _, name := range names {
			is, isNot, err := topicConfigs(ctx, adm, name)
			if err != nil {
				return nil, nil, err
			}
			maps.Copy(configs, is)
			maps.Copy(refused, isNot)
		}
		return configs, refused, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("asking for the topics' configuration: %w", err)
	}
	for _, name := range names {
		rc, err := described.On(name, nil)
		if err != nil || rc.Err != nil {
			return nil, nil, fmt.Errorf("asking for the configuration of topic %q: %w", name, errors.Join(err, rc.Err))
		}
		configs[name] = make(map[string]string)
		for _, c := range rc.Configs {
			configs[name][c.Key] = c.MaybeValue()
		}
	}
	return configs, refused, nil
}

// addStrangers adds the topics under the prefix that are none of lull's. Nothing is done with them.
func (p *TopicPlan) addStrangers(ctx context.Context, adm *kadm.Client, s *Settings) error {
	all, err := adm.ListTopics(ctx)
	if denied(err) { // who may not see others need not know of them
		return nil
	}
	if err != nil {
		return fmt.Errorf("asking for the topics: %w", err)
	}
	for _, got := range all.Sorted() {
		known := slices.ContainsFunc(p.Topics, func(t PlannedTopic) bool { return t.Name == got.Topic })
		if known || got.Err != nil || !strings.HasPrefix(got.Topic, s.Prefix) {
			continue
		}
		t := PlannedTopic{Name: got.Topic, Exists: true, Partitions: len(got.Partitions), Replication: replicas(got), Bytes: -1}
		t.Notes = append(t.Notes, "it is none of this application's, although its name begins with the prefix: nothing is done with it")
		p.Topics = append(p.Topics, t)
	}
	return nil
}

// addSizes asks how much of each topic is on disk. Who may not ask that of the brokers does not get to know.
func (p *TopicPlan) addSizes(ctx context.Context, adm *kadm.Client) {
	asked := make(kadm.TopicsSet)
	for _, t := range p.Topics {
		if !t.Exists {
			continue
		}
		for n := range t.Partitions {
			asked.Add(t.Name, int32(n))
		}
	}
	brokers, err := adm.DescribeAllLogDirs(ctx, asked)
	if err != nil {
		return
	}
	sizes := make(map[string]int64)
	brokers.Each(func(d kadm.DescribedLogDir) {
		for topic, partitions := range d.Topics {
			for _, partition := range partitions {
				sizes[topic] += partition.Size
			}
		}
	})
	for i := range p.Topics {
		if size, ok := sizes[p.Topics[i].Name]; ok {
			p.Topics[i].Bytes = size
		}
	}
}

// DeletesError says that a plan would have the brokers delete records, which Apply was not told to.
type DeletesError struct{ Changes []string }

func (e *DeletesError) Error() string {
	return "topics: nothing was done, because the brokers would delete records: " + strings.Join(e.Changes, "; ") + ". If they are to, add --delete-records"
}

// Apply creates and alters what the plan says and nothing else, and waits until the brokers know all of it. It does nothing at all, and returns a *TopicError, if the plan has
// problems that it cannot mend; or a *DeletesError, if records would be deleted and deletions is Refuse.
func (p *TopicPlan) Apply(ctx context.Context, client *kgo.Client, s *Settings, deletions Deletions) error {
	problems, deleted := slices.Clone(p.Problems), []string(nil)
	for _, t := range p.Topics {
		problems = append(problems, t.Problems...)
		for _, c := range t.Changes {
			if c.Deletes {
				deleted = append(deleted, fmt.Sprintf("topic %q, %s=%s instead of %s", t.Name, c.Key, c.To, c.From))
			}
		}
	}
	switch {
	case len(problems) > 0:
		return fmt.Errorf("nothing was done: %w", &TopicError{problems})
	case len(deleted) > 0 && deletions == RefuseDeletions:
		return &DeletesError{deleted}
	}
	adm := kadm.NewClient(client)
	if _, err := p.create(ctx, client); err != nil {
		return err
	}
	for _, t := range p.Topics {
		var alter []kadm.AlterConfig
		for _, c := range t.Changes {
			alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: c.Key, Value: kadm.StringPtr(c.To)})
		}
		if len(alter) == 0 {
			continue
		}
		answers, err := adm.AlterTopicConfigs(ctx, alter, t.Name)
		if err == nil {
			_, err = answers.On(t.Name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			return fmt.Errorf("altering topic %q: %w", t.Name, err)
		}
	}
	return awaitPlan(ctx, adm, s)
}

// Deletions says what Apply does with changes by which the brokers delete records.
type Deletions uint8

// What becomes of changes by which records are deleted.
const (
	RefuseDeletions Deletions = iota
	AllowDeletions
)

// awaitPlan waits until the brokers tell that everything is as it must be: they answer a change before each of them knows it.
func awaitPlan(ctx context.Context, adm *kadm.Client, s *Settings) error {
	patient, cancel := context.WithTimeout(ctx, knownMax)
	defer cancel()
	for {
		plan, err := planTopics(patient, adm, s, 0)
		if err == nil {
			err = plan.Check()
		}
		if err == nil {
			return nil
		}
		select {
		case <-patient.Done():
			return fmt.Errorf("all was done, but the brokers do not tell so: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// create creates what is to be, in order, and waits until it can be used. created are the names, also if there is an error.
func (p *TopicPlan) create(ctx context.Context, client *kgo.Client) (created []string, err error) {
	adm := kadm.NewClient(client)
	for _, t := range p.Topics {
		if !t.Create {
			continue
		}
		configs := make(map[string]*string)
		for key, value := range t.Configs {
			configs[key] = kadm.StringPtr(value)
		}
		_, err := adm.CreateTopic(ctx, int32(t.Partitions), p.replication, configs, t.Name)
		switch {
		case errors.Is(err, kerr.TopicAlreadyExists):
		case err != nil:
			return created, fmt.Errorf("creating topic %q: %w", t.Name, err)
		default:
			created = append(created, t.Name)
		}
	}
	if len(created) > 0 {
		patient, cancel := context.WithTimeout(ctx, knownMax)
		defer cancel()
		if err := awaitTopics(patient, client, created); err != nil {
			return created, err
		}
	}
	return created, nil
}

// CreateTopics creates those of lull's own topics that are missing, and, if inputPartitions is not 0, the input topic with so many partitions, and waits
// until they can be used. It changes none that is there: the error, a *TopicError, says which of them do not fit. created are the names of the
// new ones, in order, also if there is an error.
func CreateTopics(ctx context.Context, s Settings, inputPartitions int32) (created []string, err error) {
	return createTopics(ctx, thisMachine().dial, s, inputPartitions)
}

func createTopics(ctx context.Context, dial dialer, s Settings, inputPartitions int32) (created []string, err error) {
	client, err := kgo.NewClient(append(s.access(dial).Options("lull"), kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	plan, err := planTopics(ctx, adm, &s, inputPartitions)
	if err = security.Explain(err); err != nil {
		if security.Explained(err) {
			return nil, fmt.Errorf("no broker of %s takes this client: %w", strings.Join(s.Brokers, ", "), err)
		}
		return nil, err
	}
	problems := plan.Problems
	for i := range s.InputTopics() {
		problems = append(problems, plan.Topics[i].Problems...)
	}
	if len(problems) > 0 {
		return nil, &TopicError{problems}
	}
	if created, err = plan.create(ctx, client); err != nil {
		return created, err
	}
	_, _, err = checkTopics(ctx, adm, &s) // those that were there may be none that lull can run with
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
