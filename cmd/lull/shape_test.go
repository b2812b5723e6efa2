package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline/task"
)

// Of a state that was forgotten and made anew under other settings, both are told while the changelog has not been compacted: it is the newer one that is meant, however far behind the other it was written.
func TestReadShape(t *testing.T) {
	broker := newBroker(t)
	client := producer(t, broker)
	s := reaching(broker)
	if shape, err := readShape(t.Context(), s, "none."); shape != nil || err != nil {
		t.Errorf("no topic: %v, %v", shape, err)
	}
	(&shopOnKafka{t: t}).lull("topics", "apply", "--brokers", broker, "--input-topic", "shop")
	want := func(gap string) {
		t.Helper()
		if shape, err := readShape(t.Context(), s, "lull."); err != nil || shape.Get("session.gap") != gap {
			t.Errorf("session.gap is %q, want %q, %v", shape.Get("session.gap"), gap, err)
		}
	}
	want("")
	written := int64(1_700_000_000_000)
	write := func(partition int32, shape task.Shape, changes int) {
		t.Helper()
		meta := task.NewMeta()
		meta.Settings = shape.Fingerprint()
		records := []*kgo.Record{{Key: task.ShapeKey, Value: shape.Append(nil)}, {Key: task.MetaKey, Value: meta.Append(nil)}}
		for i := range changes {
			records = append(records, &kgo.Record{Key: fmt.Append(nil, "c", i), Value: []byte("state")})
		}
		for _, r := range records {
			r.Topic, r.Partition, r.Timestamp = "lull.changelog", partition, time.UnixMilli(written)
		}
		written++
		if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	gap := func(value string) task.Shape { return task.Shape{{Name: "session.gap", Value: value}} }
	claim := &kgo.Record{Topic: "lull.changelog", Key: task.ShapeKey, Value: gap("10m0s").Append(nil)}
	if err := client.ProduceSync(t.Context(), claim).FirstErr(); err != nil {
		t.Fatal(err)
	}
	want("10m0s")
	write(1, gap("30m0s"), 3000)
	write(2, gap("30m0s"), 0)
	want("30m0s")
	write(1, gap("1h0m0s"), 3000)
	want("1h0m0s")
}

// The events of several inputs go through a topic of the application's own, which says nothing of what it has read: what is compared are the inputs.
func TestDiffOfInputs(t *testing.T) {
	broker := newBroker(t)
	client := producer(t, broker)
	adm := kadm.NewClient(client)
	if _, err := adm.CreateTopic(t.Context(), 8, 1, nil, "web"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"old", "gone"} {
		if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, name); err != nil {
			t.Fatal(err)
		}
	}
	app := func(prefix, inputTopic string, read ...string) {
		t.Helper()
		config := writeFile(t, "lull.yaml", fmt.Sprintf("brokers: [%q]\nprefix: %s\ninput: {topic: shop}\n", broker, prefix))
		if inputTopic == prefix+"events" {
			config = writeFile(t, "lull.yaml", fmt.Sprintf("brokers: [%q]\nprefix: %s\ninputs: {shop: {format: avro}, web: {format: avro}}\n", broker, prefix))
		}
		(&shopOnKafka{t: t}).lull("topics", "apply", "--config", config)
		group := strings.TrimSuffix(prefix, ".")
		shape := task.Shape{{Name: "prefix", Value: prefix}, {Name: "group", Value: group}, {Name: "input.topic", Value: inputTopic}}
		meta := task.NewMeta()
		meta.Settings = shape.Fingerprint()
		for _, r := range []*kgo.Record{{Key: task.ShapeKey, Value: shape.Append(nil)}, {Key: task.MetaKey, Value: meta.Append(nil)}} {
			r.Topic = prefix + "changelog"
			if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		var offsets kadm.Offsets
		for _, topic := range read {
			offsets.Add(kadm.Offset{Topic: topic, LeaderEpoch: -1})
		}
		if err := adm.CommitAllOffsets(t.Context(), group, offsets); err != nil {
			t.Fatal(err)
		}
	}
	app("a.", "a.events", "shop", "web", "a.events")
	app("b.", "b.events", "web", "shop", "b.events")
	app("c.", "c.events", "shop", "c.events")
	app("d.", "d.events") // whose offsets the brokers have forgotten
	app("e.", "shop", "shop")
	app("f.", "web", "web")
	app("g.", "gone", "gone")                        // whose input has been deleted
	app("h.", "h.events", "old", "shop", "h.events") // of whose other input some records are there no more, which it had not read
	for range 5 {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "old", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var deleted kadm.Offsets
	deleted.Add(kadm.Offset{Topic: "old", At: 3})
	if _, err := adm.DeleteRecords(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.DeleteTopic(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ a, b, want string }{
		{"a.", "b.", ""}, {"a.", "d.", ""}, {"e.", "d.", ""}, {"c.", "e.", ""},
		{"a.", "c.", `inputs is "shop,web" in a. and "shop" in c.` + "\n"},
		{"e.", "b.", `inputs is "shop" in e. and "shop,web" in b.` + "\n"},
		{"e.", "g.", "g. has read gone, which does not exist any more\n" + `input.topic is "shop" in e. and "gone" in g.` + "\n"},
		{"a.", "h.", "h. has not read 2 offsets of old yet\n" + `inputs is "shop,web" in a. and "old,shop" in h.` + "\n"},
		{"e.", "f.", `input.topic is "shop" in e. and "web" in f.` + "\n"},
	} {
		out := (&shopOnKafka{t: t}).lull("diff", c.a, c.b, "--brokers", broker)
		if told, _, _ := strings.Cut(out, "sessions: "); told != c.want {
			t.Errorf("%s and %s: %q, want %q", c.a, c.b, told, c.want)
		}
	}
}
