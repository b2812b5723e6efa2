package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
)

// put publishes a model.
func (c *cluster) put(s *Settings, m *operators.Model) {
	c.t.Helper()
	key, value, err := schemas.EncodeModel(m)
	if err != nil {
		c.t.Fatal(err)
	}
	c.produce(&kgo.Record{Topic: s.Topic(ModelsTopic), Key: key, Value: value})
}

// TestModelsOfOneName proves that of two versions with the same short name, which states would take for one another, the later is passed over.
func TestModelsOfOneName(t *testing.T) {
	m := &models{byRef: make(map[uint32]*operators.Model)}
	if err := m.add(&operators.Model{Version: "m20821"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := m.add(&operators.Model{Version: "m48662"}, time.Time{}); err == nil || err.Error() != `models "m20821" and "m48662" have the same short name: publish the later under another version` || len(m.published()) != 1 {
		t.Errorf("%v, %d models", err, len(m.published()))
	}
}

// TestUnknownModel proves that a partition whose last owner has adopted a model that this process has not read waits for it, and says so by name, while the
// others go on; and that it goes on without a restart once the model is there.
func TestUnknownModel(t *testing.T) {
	c := newCluster(t)
	s := c.application(2)
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	order := func(customer, id string) *kgo.Record {
		return c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: customer, ID: id, OrderID: id, Time: instant(t, "2024-03-01T10:00:00Z"), Amount: 1000})
	}
	where := newPlacement(2)
	in := map[int32]string{} // a customer of each partition
	for _, customer := range []string{"ann", "bob", "cy", "dee", "eve", "flo"} {
		in[where.of([]byte(customer))] = customer
	}
	c.produce(order(in[0], "1"), order(in[1], "2"))
	p := c.run(s)
	c.await(&s, p)
	p.end()

	// Another process has owned partition 1 meanwhile, and has adopted a model in it.
	next := operators.Model{Version: "test-2", Family: "mbgnbd", R: 0.6, Alpha: 40, A: 0.8, B: 1.5, P: 6.25, Q: 3.74, V: 15.44, HighValue: 50}
	var tampered *kgo.Record
	for _, r := range c.read(s.Topic(ChangelogTopic)) {
		if r.Partition != 1 || string(r.Key) != string(task.MetaKey) {
			continue
		}
		meta, err := task.DecodeMeta(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		meta.LastModel = next.Ref()
		meta.Adoptions = append(meta.Adoptions, task.Adoption{Ref: next.Ref(), At: meta.Watermark})
		tampered = &kgo.Record{Topic: r.Topic, Partition: 1, Key: r.Key, Value: meta.Append(nil)}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.Dialer(c.dial), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), tampered).FirstErr(); err != nil {
		t.Fatal(err)
	}

	p = c.run(s)
	awaitReadiness(t, &s, p, fmt.Sprintf("partition 1 waits for the model with the short name %08x", next.Ref()))
	c.produce(order(in[0], "3"), order(in[1], "4"))
	awaitReadiness(t, &s, p, `"partitions":{"0":{"phase":"running","position":2},"1":{"phase":"waiting","why":`)
	c.put(&s, &next)
	c.await(&s, p)
	awaitReadiness(t, &s, p, `"ready":true`)
	p.end()
	var row schemas.Fields
	for _, r := range c.read(s.Topic(ScoresTopic)) {
		if string(r.Key) == in[1] {
			if row, err = schemas.DecodeOutput(schemas.Scores, r.Value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if row.Get("orders") != int64(2) || row.Get("model") != "test-2" {
		t.Errorf("the last row is %v", row)
	}
}

// TestSweep proves that customers who bought before there was a model, and are silent, are scored once one is put, while the process says before that none is;
// that a second model reaches them too; and that a process that takes over sweeps no more.
func TestSweep(t *testing.T) {
	c := newCluster(t)
	s := c.application(2)
	s.HTTP.Listen = freeAddress(t)
	const customers = 50
	for i := range customers {
		id := fmt.Sprint("c", i)
		c.produce(c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: id, ID: id, OrderID: id, Time: instant(t, "2024-03-01T10:00:00Z"), Amount: 1000}))
	}
	c.mark(&s, "2024-03-02T00:00:00Z")
	p := c.run(s)
	awaitReadiness(t, &s, p, "no model is in force")
	awaitAnswer(t, &s, p, "/v1/customers/c7", "no model is in force")
	models := func() map[string]int {
		count, of := map[string]int{}, map[string]string{}
		for _, r := range c.read(s.Topic(ScoresTopic)) {
			fields, err := schemas.DecodeOutput(schemas.Scores, r.Value)
			if err != nil {
				t.Fatal(err)
			}
			of[string(r.Key)] = fields.Get("model").(string)
		}
		for _, version := range of {
			count[version]++
		}
		return count
	}
	if got := models(); len(got) != 0 {
		t.Errorf("scored without a model: %v", got)
	}
	awaitAnswer(t, &s, p, "/metrics", fmt.Sprintf("lull_customers_loaded_total{from=\"nowhere\"} %d\n", customers))
	c.publish(&s)
	awaitAnswer(t, &s, p, "/metrics", fmt.Sprintf("lull_swept_customers_total %d\n", customers))
	if got := models(); got["test-1"] != customers {
		t.Errorf("%v", got)
	}
	next := operators.Model{Version: "test-2", Family: "mbgnbd", R: 0.6, Alpha: 40, A: 0.8, B: 1.5, P: 6.25, Q: 3.74, V: 15.44, HighValue: 50}
	c.put(&s, &next)
	awaitAnswer(t, &s, p, "/metrics", fmt.Sprintf("lull_swept_customers_total %d\n", 2*customers))
	if got := models(); got["test-2"] != customers {
		t.Errorf("%v", got)
	}
	p.end()
	rows := len(c.read(s.Topic(ScoresTopic)))
	p = c.run(s)
	c.mark(&s, "2024-03-02T01:00:00Z")
	c.await(&s, p)
	if text := ask(&s, "/metrics"); !strings.Contains(text, "lull_swept_customers_total 0\n") || strings.Contains(text, "lull_sweep_running{partition=\"0\"} 1") {
		t.Errorf("the next process sweeps again:\n%s", text)
	}
	if strings.Contains(readyz(&s), "no model") {
		t.Error(readyz(&s))
	}
	p.end()
	if got := len(c.read(s.Topic(ScoresTopic))); got != rows {
		t.Errorf("%d rows, %d before", got, rows)
	}
}
