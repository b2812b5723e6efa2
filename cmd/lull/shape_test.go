package main

import (
	"fmt"
	"testing"
	"time"

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
	write(1, gap("30m0s"), 3000)
	write(2, gap("30m0s"), 0)
	want("30m0s")
	write(1, gap("1h0m0s"), 3000)
	want("1h0m0s")
}
