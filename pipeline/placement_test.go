package pipeline

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
)

// TestPlacement proves that keys are found where each known partitioner puts them, by values of the clients' own documentation and sources: murmur2
// of Kafka's Java client, CRC-32 of librdkafka, FNV-1a of Sarama.
func TestPlacement(t *testing.T) {
	p := newPlacement(1000)
	for _, c := range []struct {
		key       string
		partition int32
		known     bool
	}{
		{"foobar", (-790332482 & 0x7fffffff) % 1000, true}, // Kafka's UtilsTest.testMurmur2: murmur2("foobar") = -790332482
		{"21", (-973932308 & 0x7fffffff) % 1000, true},     // the same test: murmur2("21") = -973932308
		{"123456789", 0xcbf43926 % 1000, true},             // the check value of CRC-32
		{"foobar", 576, true},                              // the test vectors of FNV: 0xbf9cf968, as int32 -1080231576
		{"foobar", 5, false},
	} {
		if got := p.holds([]byte(c.key), c.partition); got != c.known {
			t.Errorf("%q in partition %d: %v, want %v", c.key, c.partition, got, c.known)
		}
	}
}

// TestMisplaced proves that a record in a partition where no partitioner puts its key is applied, counted, and a warning on /readyz.
func TestMisplaced(t *testing.T) {
	c := newCluster(t)
	s := c.application(64)
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	where := newPlacement(64)
	wrong := int32(0)
	for where.holds([]byte("ann"), wrong) {
		wrong++
	}
	r := c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: "ann", ID: "1", OrderID: "1", Time: instant(t, "2024-01-01T00:00:00Z"), Amount: 100})
	r.Partition = wrong
	if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c.mark(&s, "2024-02-01T00:00:00Z")
	p := c.run(s)
	c.await(&s, p)
	awaitReadiness(t, &s, p, "neither murmur2") // told when the commit's answer has come
	if body := readyz(&s); !strings.Contains(body, `"ready":true`) {
		t.Errorf("/readyz: %s", body)
	}
	p.end()
	if rows := c.read(s.Topic(ScoresTopic)); len(rows) == 0 {
		t.Errorf("the record was not applied\n%s", p.log)
	}
}

// TestReadWherever proves that the read API finds customers whose events were put by any of the known partitioners.
func TestReadWherever(t *testing.T) {
	c := newCluster(t)
	s := c.application(16)
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	where := newPlacement(16)
	var customers []string
	for i := range 30 {
		id := fmt.Sprint("customer-", i)
		customers = append(customers, id)
		r := c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: id, ID: id, OrderID: id, Time: instant(t, "2024-01-01T00:00:00Z"), Amount: 100})
		r.Partition = where.all([]byte(id))[i%3]
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	p := c.run(s)
	c.await(&s, p)
	for id, status := range map[string]int{"nobody": http.StatusNotFound, customers[0]: http.StatusOK, customers[1]: http.StatusOK, customers[2]: http.StatusOK} {
		awaitStatus(t, &s, p, "/v1/customers/"+id, status)
	}
	for _, id := range customers {
		response, err := http.Get("http://" + s.HTTP.Listen + "/v1/customers/" + id)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", id, response.Status)
		}
	}
	p.end()
}

// awaitStatus waits until the process answers a path with a status: what has been committed can be read when the commit's answer has come.
func awaitStatus(t *testing.T, s *Settings, p *process, path string, status int) {
	t.Helper()
	got := 0
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		response, err := http.Get("http://" + s.HTTP.Listen + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got = response.StatusCode; got == status {
			return
		}
	}
	t.Fatalf("%s answers %d, not %d\n%s", path, got, status, p.log)
}

// A record that is sent again goes where its producer puts its customer's records: where it was, unless no known partitioner puts its key there.
func TestRedrivePartition(t *testing.T) {
	const partitions = 8
	p := newPlacement(partitions)
	for i := range 200 {
		key := []byte("customer-" + itoa(i))
		all := p.all(key)
		for from := range int32(partitions) {
			want := all[0]
			if slices.Contains(all[:], from) {
				want = from
			}
			if got := RedrivePartition(key, from, partitions); got != want {
				t.Errorf("%s from %d goes to %d, want %d", key, from, got, want)
			}
		}
		if got := RedrivePartition(key, 12, partitions); got != all[0] {
			t.Errorf("%s from a partition that is no more goes to %d, want %d", key, got, all[0])
		}
	}
	if a, b := RedrivePartition(nil, 5, partitions), RedrivePartition(nil, 12, partitions); a != 5 || b != 0 {
		t.Errorf("without a key: %d and %d, want 5 and 0", a, b)
	}
}

// docs/formats/dead-letters.md has the table of Reasons, word for word.
func TestReasonsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/formats/dead-letters.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Reasons {
		if row := "| `" + r.Code + "` | " + r.Meaning + " | " + r.Remedy + " |\n"; !strings.Contains(string(page), row) {
			t.Errorf("the page lacks %s", row)
		}
	}
}
