package pipeline

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
)

// staged returns settings of an application that reads two topics of event.avsc, neither of them keyed by customer, with its topics made: orders of two partitions and web of three.
func (c *cluster) staged() Settings {
	c.t.Helper()
	return c.stagedOver(4)
}

// stagedOver does so with so many partitions of the topic events.
func (c *cluster) stagedOver(partitions int) Settings {
	c.t.Helper()
	s := c.application(2)
	topics := map[string]int32{"orders-" + s.Group: 2, "web-" + s.Group: 3}
	s.Input.Topic, s.Inputs, s.Prefix, s.Group, s.Topics.Partitions = "", make(map[string]TopicInput), s.Group+"-staged.", "", partitions
	s.EnsureDefaults()
	for topic, partitions := range topics {
		s.Inputs[topic] = TopicInput{}
		if _, err := c.adm.CreateTopic(c.t.Context(), partitions, 1, nil, topic); err != nil {
			c.t.Fatal(err)
		}
		c.awaitTopic(topic)
	}
	if err := s.Validate(); err != nil {
		c.t.Fatal(err)
	}
	if _, err := createTopics(c.t.Context(), c.dial, s, 0); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// scatter makes the records of a history those of a staged application's topics: what concerns orders in one, keyed by nothing, all else in the other, keyed by the event.
func (c *cluster) scatter(s *Settings, records []*kgo.Record) []*kgo.Record {
	c.t.Helper()
	decoder, err := schemas.NewDecoder(schemas.DecoderConfig{})
	if err != nil {
		c.t.Fatal(err)
	}
	topics := s.InputTopics()
	for _, r := range records {
		var e operators.Event
		if refusal := decoder.DecodeKeyless(&schemas.Source{Value: r.Value, AppendTime: instant(c.t, storyEnd)}, &e); refusal != nil {
			c.t.Fatal(refusal.Detail)
		}
		if r.Topic, r.Key = topics[1].Topic, []byte(e.ID); e.Kind.OfOrder() {
			r.Topic, r.Key = topics[0].Topic, nil
		}
	}
	return records
}

// passedOn is a record of the topic events.
type passedOn struct {
	schemas.Relay
	event  operators.Event
	to     int32 // the partition
	offset int64
}

// passedOn returns what the feeds of a staged application have passed on.
func (c *cluster) passedOn(s *Settings) (list []passedOn) {
	c.t.Helper()
	decoder, err := schemas.NewDecoder(schemas.DecoderConfig{Limits: schemas.Limits{IDBytes: 300}})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, record := range c.read(s.Topic(EventsTopic)) {
		var source schemas.Source
		setSource(&source, record)
		r := passedOn{to: record.Partition, offset: record.Offset}
		var refusal *operators.Rejection
		if r.Relay, refusal = decoder.DecodeRelay(&source, &r.event); refusal != nil {
			c.t.Fatal(refusal.Detail)
		}
		list = append(list, r)
	}
	return list
}

// timeTold reports whether every partition of the topic events has been told the watermarks that the feeds have committed, by the metadata of their offsets. Under the wall clock, where watermarks rise as
// long as the process runs, that is not asked for.
func (c *cluster) timeTold(s *Settings, committed map[topicPartition]string) bool {
	c.t.Helper()
	type path struct {
		feed uint64
		to   int32
	}
	untold := make(map[path]operators.EventTime)
	for at, metadata := range committed {
		meta, err := task.DecodeFeedMeta(metadata)
		if err != nil || meta.Watermark == operators.Unset || s.Clock.Mode == "wall" {
			continue
		}
		for n := range int32(s.Topics.Partitions) {
			untold[path{task.FeedID(meta.InputID, at.n), n}] = meta.Watermark
		}
	}
	if len(untold) == 0 {
		return true
	}
	for _, r := range c.passedOn(s) {
		if at := (path{r.Feed, r.to}); r.Watermark >= untold[at] {
			delete(untold, at)
		}
	}
	return len(untold) == 0
}

// checkPassed checks that every event of the inputs has been passed on exactly once, to the partition of its customer, those of a partition in their order; and that the watermarks told
// of a feed do not go back. It returns how many there are.
func (c *cluster) checkPassed(s *Settings) (n int) {
	c.t.Helper()
	type path struct {
		feed uint64
		to   int32
	}
	type told struct {
		offset    int64
		watermark operators.EventTime
	}
	last, times := make(map[path]told), make(map[string]int)
	ids := make(map[schemas.Position]string)
	where := newPlacement(int32(s.Topics.Partitions))
	for _, r := range c.passedOn(s) {
		if r.Refused != operators.NoFault { // it tells no time
			continue
		}
		at := path{r.Feed, r.to}
		was, known := last[at]
		if !known {
			was = told{-1, operators.Unset}
		}
		now := told{r.Source.Offset, r.Watermark}
		if r.IsMark() {
			now.offset = was.offset
		} else {
			n++
			times[r.event.ID]++
			ids[r.Source] = r.event.ID
			if was.offset >= now.offset || where.of([]byte(r.event.Customer)) != r.to {
				c.t.Errorf("%s is at offset %d of partition %d, after offset %d of its feed", r.Source, r.offset, r.to, was.offset)
			}
		}
		if now.watermark < was.watermark {
			c.t.Errorf("the watermark of a feed goes back to %s", r.Watermark)
		}
		last[at] = now
	}
	for id, n := range times {
		if n != 1 {
			c.t.Errorf("event %s was passed on %d times", id, n)
		}
	}
	for _, in := range s.InputTopics() {
		for _, r := range c.read(in.Topic) {
			if at := (schemas.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}); len(r.Headers) == 0 && ids[at] == "" {
				c.t.Errorf("the event at %s was not passed on", at)
			}
		}
	}
	return n
}

// second makes another application that reads the topics of a staged one, and returns its settings.
func (c *cluster) second(s *Settings) Settings {
	c.t.Helper()
	again := *s
	again.Prefix, again.Group = strings.TrimSuffix(s.Prefix, ".")+"-again.", ""
	again.EnsureDefaults()
	again.State.Dir = c.t.TempDir()
	if _, err := createTopics(c.t.Context(), c.dial, again, 0); err != nil {
		c.t.Fatal(err)
	}
	c.publish(&again)
	return again
}

// replay gives an application the committed records of another's topic events, and nothing else to read.
func (c *cluster) replay(s, again *Settings) {
	c.t.Helper()
	var records []*kgo.Record
	for _, r := range c.read(s.Topic(EventsTopic)) {
		records = append(records, &kgo.Record{Topic: again.Topic(EventsTopic), Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers})
	}
	client := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	if err := client.ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatal(err)
	}
	// Its feeds have nothing to do: they stand at the ends of the inputs.
	var offsets kadm.Offsets
	for _, in := range s.InputTopics() {
		topics, err := c.adm.ListTopics(c.t.Context(), in.Topic)
		if err != nil {
			c.t.Fatal(err)
		}
		ends, err := c.adm.ListEndOffsets(c.t.Context(), in.Topic)
		if err != nil {
			c.t.Fatal(err)
		}
		ends.Each(func(o kadm.ListedOffset) {
			meta := task.NewFeedMeta(o.Offset, [16]byte(topics[in.Topic].ID))
			offsets.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: o.Offset, LeaderEpoch: -1, Metadata: meta.String()})
		})
	}
	if err := c.adm.CommitAllOffsets(c.t.Context(), again.Group, offsets); err != nil {
		c.t.Fatal(err)
	}
}

// TestFirstStage proves that two topics that are not keyed by customer become one order of events, each passed on once, from which comes what comes from that order alone.
func TestFirstStage(t *testing.T) {
	c := newCluster(t)
	s := c.staged()
	c.publish(&s)
	records := c.scatter(&s, c.history(&s)[:story])
	c.produce(records[:story/2]...)
	p := c.run(s)
	c.await(&s, p)
	p.end()
	c.produce(records[story/2:]...)
	c.mark(&s, storyEnd)
	p = c.run(s)
	c.await(&s, p)
	p.end()
	if n := c.checkPassed(&s); n != story {
		t.Errorf("%d events were passed on, not %d\n%s", n, story, p.log)
	}
	again := c.second(&s)
	c.replay(&s, &again)
	p = c.run(again)
	c.await(&again, p)
	p.end()
	if got, want := c.digest(&s), c.digest(&again); got != want {
		t.Errorf("digest %s, and of the events alone %s", got, want)
	}
	if n := len(c.read(s.Topic(TriggersTopic))); n < 10 {
		t.Errorf("%d triggers", n)
	}
}

// TestStagedAttacks lets everything go wrong at once, as TestAttacks does, for an application with a first stage: each event is passed on once whatever happens, and what comes out is
// what comes out of the order in which they were.
func TestStagedAttacks(t *testing.T) {
	for i := range uint64(tenthIfRace(*attackSeeds) / 2) {
		seed := *attackFirst + i
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			inBubble(t, seed, func(t *testing.T, b *bubble) {
				a := &attack{bubble: b, s: b.staged(), gone: -1, counts: map[string]int{}}
				defer a.report()
				again := a.second(&a.s)
				a.run(a.scatter(&a.s, a.history(&a.s)[:story]))
				if n := a.checkPassed(&a.s); n != story {
					t.Errorf("%d events were passed on, not %d", n, story)
				}
				a.replay(&a.s, &again)
				h := a.host(again, "one")
				h.start()
				a.await(&again, h)
				h.end()
				a.check(&a.s, a.digest(&again), a.hosts...)
			})
		})
	}
}

// TestInputs shows what is wrong with input topics, each with its fix.
func TestInputs(t *testing.T) {
	for _, c := range []struct {
		inputs map[string]TopicInput
		change func(s *Settings)
		want   string
	}{
		{map[string]TopicInput{"orders": {}, "web": {Format: "segment-json"}}, nil, ""},
		{map[string]TopicInput{"orders": {Format: "xml"}}, nil, `inputs.orders.format is "xml": it must be one of avro, registry-avro, avro-schema, segment-json, json, csv`},
		{map[string]TopicInput{"shop.orders": {Format: "json"}}, nil, "inputs.shop.orders.mapping is missing: inputs.shop.orders.format json needs the file that says which field is what (docs/formats/mapping.md)"},
		{map[string]TopicInput{"orders": {Format: "json", Mapping: "/none.yaml"}}, nil, "inputs.orders.mapping: open /none.yaml: no such file or directory"},
		{map[string]TopicInput{"orders": {Format: "avro", Mapping: "/none.yaml"}}, nil, "inputs.orders.mapping: open /none.yaml: no such file or directory"},
		{map[string]TopicInput{"orders": {Format: "avro-schema"}}, nil, "inputs.orders.schema is missing: inputs.orders.format avro-schema needs the file with the schema that the records are written with"},
		{map[string]TopicInput{"orders": {Format: "registry-avro"}}, nil, "registry.url is empty: inputs.orders.format registry-avro needs the URL of the schema registry, such as http://registry:8081"},
		{map[string]TopicInput{"lull.orders": {}}, nil, `inputs has the topic "lull.orders": it must be outside the prefix "lull." of lull's own topics`},
		{map[string]TopicInput{"": {}}, nil, `inputs has a topic "": it must be the name of a topic with events`},
		{map[string]TopicInput{"orders": {}}, func(s *Settings) { s.Input.Topic = "shop" },
			"inputs is set, and so is input.topic, input.format, input.mapping or input.schema: write under inputs how each topic is read, and leave these four out"},
	} {
		s := DefaultSettings()
		s.EnsureGroup()
		s.Inputs = c.inputs
		if c.change != nil {
			c.change(&s)
		}
		err := s.Validate()
		if got := fmt.Sprint(err); (err != nil || c.want != "") && got != c.want {
			t.Errorf("%v: %s, want %s", c.inputs, got, c.want)
		}
	}
}

// TestStagedFormats proves that two topics of different shapes, neither keyed by customer, come together in one customer: orders as JSON by a mapping, and calls of the Segment
// specification. What is refused is a dead letter that names its place in its input, by whichever stage.
func TestStagedFormats(t *testing.T) {
	c := newCluster(t)
	s := c.staged()
	mapping := filepath.Join(t.TempDir(), "orders.yaml")
	if err := os.WriteFile(mapping, []byte(ordersMapping), 0o600); err != nil {
		t.Fatal(err)
	}
	orders, web := s.InputTopics()[0].Topic, s.InputTopics()[1].Topic
	s.Inputs = map[string]TopicInput{orders: {Format: "json", Mapping: mapping}, web: {Format: "segment-json"}}
	s.HTTP.Listen = freeAddress(t)
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	c.publish(&s)
	for day := range 3 {
		c.produce(
			&kgo.Record{Topic: web, Value: fmt.Appendf(nil, `{"type":"page","name":"Home","messageId":"p-%d","userId":"ann","timestamp":"2024-02-0%dT09:55:00Z"}`, day, day+1)},
			&kgo.Record{Topic: orders, Key: fmt.Appendf(nil, "no-%d", day), Value: fmt.Appendf(nil, `{"no":"no-%d","buyer":"ann","total":"25.00","at":"2024-02-0%dT10:00:00Z"}`, day, day+1)},
		)
	}
	c.mark(&s, "2024-02-04T00:00:00Z")
	p := c.run(s)
	c.await(&s, p)
	c.produce(
		&kgo.Record{Topic: orders, Partition: 1, Key: []byte("no-7"), Value: []byte("no JSON")},
		&kgo.Record{Topic: web, Value: []byte(`{"type":"page","name":"Late","messageId":"late","userId":"ann","timestamp":"2024-02-01T09:55:00Z"}`)},
	)
	c.mark(&s, storyEnd)
	c.await(&s, p)
	awaitReadiness(t, &s, p, `"feeds":{"`+orders+`/0":{"phase":"running","position":`)
	awaitAnswer(t, &s, p, "/metrics", `lull_input_lag_records{partition="2",topic="`+web+`"} 0`)
	p.end()
	if got := c.ordersOf(&s, "ann"); got != 3 {
		t.Errorf("%d orders of ann\n%s", got, p.log)
	}
	if n := len(c.read(s.Topic(SessionsTopic))); n != 3 {
		t.Errorf("%d sessions, of which each has a page and an order", n)
	}
	letters := map[string]schemas.Letter{}
	for _, r := range c.read(s.Topic(DeadLettersTopic)) {
		l, err := schemas.DecodeLetter(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		letters[l.Reason] = l
	}
	bad, late := letters[schemas.ReasonMalformed], letters[ReasonLate]
	if len(letters) != 2 || bad.Source.Topic != orders || string(bad.Value) != "no JSON" || late.Source.Topic != web || string(late.Key) != "ann" {
		t.Errorf("dead letters: %+v", letters)
	}
	if bad.Customer != "" || late.Customer != "ann" {
		t.Errorf("the dead letters are those of customers %q and %q: of an order number nobody knows whose it is, of an event its customer is known", bad.Customer, late.Customer)
	}
}

const ordersMapping = `version: 1
rules:
  - kind: order_completed
    fields:
      customer_id: {from: buyer}
      order_id: {from: "no"}
      time: {from: at, format: iso8601}
      amount: {from: total, unit: major}
      currency: {const: USD}
`

// TestFeedPositions proves that a feed whose offset was not committed by lull, or whose topic was re-created, stands still and says why, with what to do; and that whatever it reads again counts
// once.
func TestFeedPositions(t *testing.T) {
	for _, answer := range []string{"group", "rebuild"} {
		t.Run(answer, func(t *testing.T) {
			c := newCluster(t)
			s := c.staged()
			c.publish(&s)
			in := s
			in.Input.Topic = s.InputTopics()[0].Topic
			c.purchases(&in, 0, 10) // of ann: in one partition
			p := c.run(s)
			c.await(&s, p)
			p.end()
			c.forgetMember(&s)
			partition := newPlacement(2)
			n := partition.of([]byte("ann"))
			offsets := make(kadm.Offsets)
			offsets.AddOffset(in.Input.Topic, n, 6, -1)
			if err := c.adm.CommitAllOffsets(t.Context(), s.Group, offsets); err != nil {
				t.Fatal(err)
			}
			c.refused(s, "the offset 6 of group", "was not committed by lull", "--on-offset-mismatch=group goes on at 6, =rebuild at the log's start")
			c.forgetMember(&s)
			s.OnOffsetMismatch = answer
			p = c.run(s)
			c.purchases(&in, 10, 2)
			c.mark(&s, storyEnd)
			c.await(&s, p)
			p.end()
			if got := c.orders(&s); got != 12 {
				t.Errorf("%d orders counted, want 12\n%s", got, p.log)
			}
			if n := len(c.read(s.Topic(DeadLettersTopic))); n != 0 {
				t.Errorf("%d dead letters", n)
			}
		})
	}
}

// TestFeedRecreated proves the same of an input that was re-created: its events are others, and a task that read the old one's goes on with the new.
func TestFeedRecreated(t *testing.T) {
	c := newCluster(t)
	s := c.staged()
	c.publish(&s)
	in := s
	in.Input.Topic = s.InputTopics()[0].Topic
	c.purchases(&in, 0, 5)
	c.mark(&s, "2024-02-01T00:00:00Z")
	p := c.run(s)
	c.await(&s, p)
	p.end()
	if _, err := c.adm.DeleteTopic(t.Context(), in.Input.Topic); err != nil {
		t.Fatal(err)
	}
	c.awaitNoTopic(in.Input.Topic)
	if _, err := c.adm.CreateTopic(t.Context(), 2, 1, nil, in.Input.Topic); err != nil {
		t.Fatal(err)
	}
	c = connect(t, c.dial, c.brokers) // a client knows a topic by its id
	c.awaitTopic(in.Input.Topic)
	c.purchases(&in, 5, 2)
	c.refused(s, "the state has taken in events of an input topic that is not there any more: one of inputs was re-created, or taken out, or other processes have one more (it knows nothing of "+in.Input.Topic+", as that is now). Give all the same settings; or --on-offset-mismatch=rebuild goes on")
	c.forgetMember(&s)
	s.OnOffsetMismatch = "rebuild"
	p = c.run(s)
	c.mark(&s, storyEnd)
	c.await(&s, p)
	p.end()
	if got := c.orders(&s); got != 7 {
		t.Errorf("%d orders counted, want 7\n%s", got, p.log)
	}
}

// TestFeedCut proves that a feed notices when the brokers have lost records that it has passed on and, told to go on, reads from there and says so to every partition before what follows, so that tasks take in
// what comes under offsets that they know. What the brokers answer about the end of the log is forged, as in TestLogCut: the records that come again are those that were.
func TestFeedCut(t *testing.T) {
	fake, c := embedded(t)
	s := c.staged()
	c.publish(&s)
	in := s
	in.Input.Topic = s.InputTopics()[0].Topic
	c.purchases(&in, 0, 5) // of ann: in one partition
	p := c.run(s)
	c.await(&s, p)
	p.end()
	fake.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		req := request.(*kmsg.OffsetForLeaderEpochRequest)
		resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, asked := range req.Topics {
			topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
			topic.Topic = asked.Topic
			for _, of := range asked.Partitions {
				partition := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				partition.Partition, partition.LeaderEpoch, partition.EndOffset = of.Partition, of.LeaderEpoch, math.MaxInt64 // other logs are whole
				if asked.Topic == in.Input.Topic {
					partition.EndOffset = 3
				}
				topic.Partitions = append(topic.Partitions, partition)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	c.refused(s, "ends at offset 3, before the position 5", "--on-data-loss=continue")
	c.forgetMember(&s)
	s.OnDataLoss = "continue"
	p = c.run(s)
	c.purchases(&in, 5, 2)
	c.mark(&s, storyEnd)
	c.await(&s, p)
	p.end()
	if got := c.orders(&s); got != 7 {
		t.Errorf("%d orders counted, want 7\n%s", got, p.log)
	}
	told, passed := make(map[int32]bool), make(map[string]int)
	for _, r := range c.read(s.Topic(EventsTopic)) {
		for _, h := range r.Headers {
			switch {
			case h.Key == schemas.CutHeader && string(h.Value) == "3":
				told[r.Partition] = true
			case h.Key == schemas.SourceHeader:
				source, _ := schemas.ParsePosition(string(h.Value))
				if passed[string(h.Value)]++; passed[string(h.Value)] == 2 && (source.Offset < 3 || !told[r.Partition]) {
					t.Errorf("%s was passed on again, and it was not told before", h.Value)
				}
			}
		}
	}
	if len(told) != s.Topics.Partitions {
		t.Errorf("%d partitions were told of the cut, want %d\n%s", len(told), s.Topics.Partitions, p.log)
	}
}

// TestStagedRights proves that the role run is enough for a process with a first stage.
func TestStagedRights(t *testing.T) {
	g := guard(t)
	s := g.staged()
	g.publish(&s)
	user := g.as(s)
	user.HTTP.Listen = freeAddress(t)
	g.only(roleNamed(t, &user, "run").Rights...)
	g.produce(g.scatter(&s, g.history(&s)[:50])...)
	p := g.run(user)
	g.await(&user, p)
	awaitReadiness(t, &user, p, `"ready":true,"partitions"`) // without a warning
	p.end()
	if n := g.checkPassed(&s); n != 50 {
		t.Errorf("%d events were passed on", n)
	}
}

// TestAlignment proves that inputs with backlogs are read in the order of time, but for a little: orders of months do not come before the page views of the first day, and no session is left open
// for lack of them.
func TestAlignment(t *testing.T) {
	c := newCluster(t)
	s := c.staged()
	s.Commit.Records = 100 // orders come before the first page view
	c.publish(&s)
	orders, views := s, s
	orders.Input.Topic, views.Input.Topic = s.InputTopics()[0].Topic, s.InputTopics()[1].Topic
	const days, customers = 40, 40 // at least three in each partition, or none is believed about the time
	var purchased, viewed []*kgo.Record
	for i := range days * customers {
		e := operators.Event{Customer: fmt.Sprint("c", i%customers), ID: fmt.Sprint("e", i), OrderID: fmt.Sprint("o", i), Name: "Home", Amount: 1000}
		e.Kind, e.Time = operators.PageViewed, instant(t, "2024-01-01T09:55:00Z")+operators.EventTime(i/customers)*operators.DayMs
		viewed = append(viewed, c.event(&views, e))
		e.Kind, e.ID, e.Time = operators.OrderCompleted, e.OrderID, e.Time+60_000
		purchased = append(purchased, c.event(&orders, e))
	}
	c.produce(append(purchased, viewed...)...)
	p := c.run(s)
	c.mark(&s, storyEnd)
	c.await(&s, p)
	p.end()
	if letters := c.read(s.Topic(DeadLettersTopic)); len(letters) > 0 {
		l, _ := schemas.DecodeLetter(letters[0].Value)
		t.Errorf("%d dead letters, the first: %s, %s", len(letters), l.Reason, l.Detail)
	}
	with := 0
	for _, r := range c.read(s.Topic(SessionsTopic)) {
		fields, err := schemas.DecodeOutput(schemas.Sessions, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		if fields.Get("events") == int64(2) {
			with++
		}
	}
	if with != days*customers {
		t.Errorf("%d sessions have a page view and an order, not %d", with, days*customers)
	}
}

// TestNobodyIsWaitedForInVain proves that a feed which cannot get on holds no other up: one that awaits a schema, and one whose partition ends in a transaction that nobody ends.
func TestNobodyIsWaitedForInVain(t *testing.T) {
	c := newCluster(t)
	s := c.staged()
	c.publish(&s)
	orders := s
	orders.Input.Topic = s.InputTopics()[0].Topic
	web := s.InputTopics()[1].Topic
	open := c.newClient(kgo.TransactionalID(s.Group + "-open"))
	defer open.Close()
	if err := open.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	r := c.event(&orders, operators.Event{Kind: operators.PageViewed, Customer: "ann", ID: "open", Name: "Home", Time: instant(t, "2023-12-01T00:00:00Z")})
	r.Topic = web
	if err := open.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	p := c.run(s)
	c.purchases(&orders, 0, 30)
	s.HTTP.Listen = "127.0.0.1:0"
	for deadline := time.Now().Add(30 * time.Second); len(c.read(s.Topic(EventsTopic))) < 30; {
		if time.Now().After(deadline) {
			t.Fatalf("the orders were not passed on\n%s", p.log)
		}
		<-time.After(50 * time.Millisecond)
	}
	p.end()
}

// TestWidenedInput proves that an input may be given partitions while processes run: a task that comes back to one which was there before knows feeds that the process had not heard of.
func TestWidenedInput(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bubble) {
		s := b.staged()
		b.publish(&s)
		orders := s
		orders.Input.Topic = s.InputTopics()[0].Topic
		b.purchases(&orders, 0, 3)
		one := b.host(s, "one")
		one.start()
		b.await(&s, one)
		if _, err := b.adm.CreatePartitions(t.Context(), 1, orders.Input.Topic); err != nil {
			t.Fatal(err)
		}
		leaves := s
		leaves.OnStop = "leave"
		two := b.host(leaves, "two")
		two.start()
		client := b.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(-1))
		defer client.Close()
		for i := range 8 { // to all partitions of the events
			r := b.event(&orders, operators.Event{Kind: operators.PageViewed, Customer: fmt.Sprint("c", i), ID: fmt.Sprint("p", i), Name: "Home", Time: instant(t, "2024-01-01T10:00:00Z")})
			r.Partition = 2
			if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		b.await(&s, one, two)
		two.end()
		b.purchases(&orders, 3, 2)
		b.mark(&s, storyEnd)
		b.await(&s, one)
		one.end()
		if got := b.orders(&s); got != 5 {
			t.Errorf("%d orders counted, want 5\n%s", got, one.p.log)
		}
	})
}

// TestStagedDamage proves that a store which is found damaged while a transaction is made costs no event: what the feeds had passed on in it is passed on again.
func TestStagedDamage(t *testing.T) {
	c := newCluster(t)
	s := c.staged()
	c.publish(&s)
	records := c.crowd(&s, 2000)
	half := len(records) / 2
	p := c.run(s)
	c.produce(c.scatter(&s, records[:half])...)
	c.await(&s, p)
	p.end()
	spoil(t, filepath.Join(s.State.Dir, "pebble"), ".sst", 333)
	p = c.run(s)
	c.produce(c.scatter(&s, records[half:])...)
	c.mark(&s, storyEnd)
	c.await(&s, p)
	p.end()
	if log := p.log.String(); !strings.Contains(log, movedAside) {
		t.Errorf("no damage was found\n%s", log)
	}
	if n := c.checkPassed(&s); n != len(records) {
		t.Errorf("%d events were passed on, not %d", n, len(records))
	}
}
