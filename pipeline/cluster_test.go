package pipeline

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/operators/trigger"
	"lull/pipeline/security"
	"lull/schemas"
)

// cluster is the broker of a test: an embedded one, or the real one that LULL_TEST_BROKERS names.
type cluster struct {
	t       *testing.T
	dial    dialer
	brokers []string
	secured security.Settings // how the test itself reaches them
	client  *kgo.Client
	adm     *kadm.Client
}

var applications atomic.Int64

func newCluster(t *testing.T) *cluster {
	t.Helper()
	if named := os.Getenv("LULL_TEST_BROKERS"); named != "" {
		return connect(t, thisMachine().dial, strings.Split(named, ","))
	}
	_, c := embedded(t)
	return c
}

// embedded returns an embedded broker, whose answers a test can change, whatever broker the others run on.
func embedded(t *testing.T) (*kfake.Cluster, *cluster) {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return fake, connect(t, thisMachine().dial, fake.ListenAddrs())
}

func connect(t *testing.T, dial dialer, brokers []string) *cluster {
	t.Helper()
	return connectBy(t, dial, brokers, security.Settings{})
}

func connectBy(t *testing.T, dial dialer, brokers []string, secured security.Settings) *cluster {
	t.Helper()
	c := &cluster{t: t, dial: dial, brokers: brokers, secured: secured}
	// A topic that has just been created is not known everywhere at once.
	c.client = c.newClient(kgo.MetadataMinAge(100*time.Millisecond), kgo.ProducerBatchMaxBytes(8<<20), kgo.UnknownTopicRetries(-1))
	t.Cleanup(c.client.Close)
	c.adm = kadm.NewClient(c.client)
	return c
}

// newClient returns a client that its caller closes.
func (c *cluster) newClient(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	client, err := kgo.NewClient(append(c.access().Options("test"), opts...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

// access returns the access to the brokers.
func (c *cluster) access() *security.Access {
	return security.New(c.brokers, c.secured, c.dial)
}

// application returns settings of an application of its own, with its topics made.
func (c *cluster) application(partitions int32) Settings {
	c.t.Helper()
	n := applications.Add(1)
	id := fmt.Sprintf("t%d-%d-%d", os.Getpid(), n, time.Now().UnixNano())
	s := Settings{
		Brokers: c.brokers, Prefix: id + ".", Instance: "one", Input: InputSettings{Topic: "events-" + id},
		State: StateSettings{Dir: c.t.TempDir()}, HTTP: HTTPSettings{Listen: "127.0.0.1:0"}, Clock: ClockSettings{Mode: "event"},
		Commit: CommitSettings{SessionTimeout: 10 * time.Second}, Fit: FitSettings{Mode: "off"}, Security: c.secured,
	}
	s.EnsureDefaults()
	s.rules = churnRisk
	if err := s.Validate(); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.adm.CreateTopic(c.t.Context(), partitions, 1, map[string]*string{"max.message.bytes": kadm.StringPtr("8000000")}, s.Input.Topic); err != nil {
		c.t.Fatal(err)
	}
	c.awaitTopic(s.Input.Topic)
	if _, err := createTopics(c.t.Context(), c.dial, s, 0); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// awaitTopic waits until the brokers know a topic that has been created: Kafka answers before they do.
func (c *cluster) awaitTopic(topic string) {
	c.t.Helper()
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		topics, err := c.adm.ListTopics(c.t.Context(), topic)
		if err != nil {
			c.t.Fatal(err)
		}
		if topics[topic].Err == nil {
			return
		}
	}
}

// awaitNoTopic waits until the brokers have forgotten a topic that has been deleted.
func (c *cluster) awaitNoTopic(topic string) {
	c.t.Helper()
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		topics, err := c.adm.ListTopics(c.t.Context(), topic)
		if err != nil {
			c.t.Fatal(err)
		}
		if topics[topic].Err != nil {
			return
		}
	}
}

// process is a Runner in the background.
type process struct {
	t    *testing.T
	stop context.CancelFunc
	done chan error // closed after the error
	log  *logText
}

// logText is the log of a process that may be read while the process writes it.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write appends to the log.
func (l *logText) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// String returns what has been written so far.
func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (c *cluster) run(s Settings) *process { return c.runOn(thisMachine(), s) }

func (c *cluster) runOn(m machine, s Settings) *process {
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{t: c.t, stop: cancel, done: make(chan error, 1), log: new(logText)}
	log := zerolog.New(p.log).With().Timestamp().Logger()
	go func() {
		defer close(p.done)
		p.done <- runOn(ctx, m, s, log)
	}()
	c.t.Cleanup(func() { cancel() })
	return p
}

// end stops the process and fails the test if it did not end well.
func (p *process) end() {
	p.t.Helper()
	p.stop()
	if err := <-p.done; err != nil {
		p.t.Fatalf("the process ended with %v\n%s", err, p.log)
	}
}

// produce writes records and waits until they are there.
func (c *cluster) produce(records ...*kgo.Record) {
	c.t.Helper()
	if err := c.client.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
}

// event returns the record of an event.
func (c *cluster) event(s *Settings, e operators.Event) *kgo.Record {
	c.t.Helper()
	value, err := schemas.EncodeEvent(nil, &e, s.Money.Currency)
	if err != nil {
		c.t.Fatal(err)
	}
	return &kgo.Record{Topic: s.Input.Topic, Key: []byte(e.Customer), Value: value}
}

// mark writes a time mark to every partition of every input.
func (c *cluster) mark(s *Settings, at string) {
	c.t.Helper()
	client := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(-1))
	defer client.Close()
	for _, in := range s.InputTopics() {
		topics, err := c.adm.ListTopics(c.t.Context(), in.Topic)
		if err != nil {
			c.t.Fatal(err)
		}
		for n := range topics[in.Topic].Partitions {
			r := &kgo.Record{Topic: in.Topic, Partition: n, Headers: []kgo.RecordHeader{{Key: schemas.TimeMarkHeader, Value: []byte(at)}}}
			if err := client.ProduceSync(c.t.Context(), r).FirstErr(); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// begin makes so many purchases the input of an application, and lets a process read them, and end.
func (c *cluster) begin(s Settings, purchases int) {
	c.t.Helper()
	c.publish(&s)
	c.purchases(&s, 0, purchases)
	p := c.run(s)
	c.await(&s, p)
	p.end()
}

// await waits until the group has committed the end of every partition that it reads, and the feeds have told the time that they know.
func (c *cluster) await(s *Settings, p *process) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Minute)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); c.behind(ctx, s); {
		select {
		case err := <-p.done:
			c.t.Fatalf("the process ended early with %v\n%s", err, p.log)
		case <-ctx.Done():
			c.t.Fatalf("the group did not reach the end of the input\n%s", p.log)
		case <-tick.C:
		}
	}
}

// behind reports whether the group has not committed the end of every partition that it reads, or that is not known. What the feeds read comes first: while they do, the tasks' ends move on.
func (c *cluster) behind(ctx context.Context, s *Settings) bool {
	if s.Staged() {
		committed, ok := c.committedEnds(ctx, s, inputs(s)...)
		if !ok || !c.timeTold(s, committed) {
			return true
		}
	}
	_, ok := c.committedEnds(ctx, s, s.taskTopic())
	return !ok
}

// committedEnds reports whether the group has committed the end of every partition of these topics, with the metadata of what it has.
func (c *cluster) committedEnds(ctx context.Context, s *Settings, topics ...string) (metadata map[topicPartition]string, ok bool) {
	ends, err := c.adm.ListEndOffsets(ctx, topics...)
	if err != nil || ends.Error() != nil {
		return nil, false
	}
	committed, err := c.adm.FetchOffsets(ctx, s.Group)
	metadata, ok = make(map[topicPartition]string), err == nil
	ends.Each(func(end kadm.ListedOffset) {
		at, known := committed.Lookup(end.Topic, end.Partition)
		ok = ok && (end.Offset == 0 || known && at.At >= end.Offset)
		metadata[topicPartition{end.Topic, end.Partition}] = at.Metadata
	})
	return metadata, ok
}

// inputs returns the names of the input topics.
func inputs(s *Settings) (names []string) {
	for _, in := range s.InputTopics() {
		names = append(names, in.Topic)
	}
	return names
}

// read returns all committed records of a topic. It reads to the high watermark: right after a commit the markers may still be on their way, and the
// last stable offset below what is committed.
func (c *cluster) read(topic string) []*kgo.Record {
	c.t.Helper()
	ends, err := c.adm.ListEndOffsets(c.t.Context(), topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	starts := make(map[int32]kgo.Offset)
	left := make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			starts[o.Partition] = kgo.NewOffset().AtStart()
			left[o.Partition] = o.Offset
		}
	})
	if len(left) == 0 {
		return nil
	}
	client := c.newClient(kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}))
	defer client.Close()
	var records []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(c.t.Context())
		if err := fetches.Err(); err != nil {
			c.t.Fatal(err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		}
	}
	return records
}

// churnRisk is the one rule of these tests, as it is by default.
var churnRisk = func() *trigger.Rules {
	rules, err := trigger.ParseRules("rules.yaml", []byte(`
rules:
  - {name: churn_risk, when: churn_risk >= risk_high, hold: born_high_risk, until: churn_risk < risk_back}
`))
	if err != nil {
		panic(err)
	}
	return rules
}()
