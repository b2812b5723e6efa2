package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// firstCustomers returns the part of the log that is of its first n customers, compressed.
func firstCustomers(t *testing.T, n int) []byte {
	t.Helper()
	unzip, err := gzip.NewReader(bytes.NewReader(cdnowLog))
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(unzip).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	kept := [][]string{records[0]}
	customers := make(map[string]bool)
	for _, r := range records[1:] {
		if len(customers) < n {
			customers[r[0]] = true
		}
		if customers[r[0]] {
			kept = append(kept, r)
		}
	}
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	if err := errors.Join(csv.NewWriter(zip).WriteAll(kept), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return zipped.Bytes()
}

// runDemo runs a demo and returns what the last line of its output says.
func runDemo(t *testing.T, d demo) figures {
	t.Helper()
	var out, progress bytes.Buffer
	d.seed, d.json, d.dir, d.out, d.err = 7, true, filepath.Join(t.TempDir(), "demo"), &out, &progress
	if err := d.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	if got := strings.Count(progress.String(), "SIGKILL"); got != d.kills {
		t.Errorf("%d kills told, want %d:\n%s", got, d.kills, progress.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var f figures
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &f); err != nil {
		t.Fatalf("the last line is no JSON: %v\n%s", err, out.String())
	}
	if text := strings.Join(lines, "\n"); !strings.Contains(text, "digest  "+f.Digest) {
		t.Errorf("the text does not tell the digest %s:\n%s", f.Digest, text)
	}
	return f
}

// The demo on a part of the log, with the pipeline as a process of its own: its figures agree with the log, and kills change none of what the
// pipeline says.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a broker and processes")
	}
	const customers = 500
	log := firstCustomers(t, customers)
	whole, killed := runDemo(t, demo{log: log}), runDemo(t, demo{log: log, kills: 2})
	if whole.Digest != killed.Digest {
		t.Errorf("digest %s, after kills %s", whole.Digest, killed.Digest)
	}
	if whole.StateBytes != killed.StateBytes || whole.SegmentChanges != killed.SegmentChanges || whole.ChurnRisk.Count != killed.ChurnRisk.Count {
		t.Errorf("figures %+v, after kills %+v", whole, killed)
	}
	d := demo{log: log}
	orders, err := d.orders()
	if err != nil {
		t.Fatal(err)
	}
	// All orders of the log stand at 00:00, so that each day of a customer is a session of its own.
	sessions := int64(0)
	for _, times := range orders.times {
		for i := range times {
			if i == 0 || times[i] != times[i-1] {
				sessions++
			}
		}
	}
	inQuadrants := int64(0)
	for _, q := range whole.Quadrants {
		inQuadrants += q.Customers
	}
	if whole.Rows != orders.rows || whole.Shoppers != customers || inQuadrants != customers || whole.Sessions != sessions || whole.DeadLetters != 0 {
		t.Errorf("%d rows, %d customers, %d in quadrants, %d sessions, %d dead letters; want %d, %d, %d, %d, 0",
			whole.Rows, whole.Shoppers, inQuadrants, whole.Sessions, whole.DeadLetters, orders.rows, customers, customers, sessions)
	}
	if c := whole.ChurnRisk; c.Count == 0 || c.Customers > c.Count || c.BoughtAgain > c.Customers || c.Count != c.Actionable+c.Withheld["returned"]+c.Withheld["stale"] {
		t.Errorf("churn-risk triggers %+v", c)
	}
}

// removeTopics removes from the Kafka of tests, at the test's end, the topics whose names have a suffix.
func removeTopics(t *testing.T, suffix string) {
	t.Helper()
	t.Cleanup(func() {
		client, err := newClient(context.Background(), reaching(strings.Split(testBrokers, ",")...))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		adm := kadm.NewClient(client)
		topics, err := adm.ListTopics(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range topics.Names() {
			if strings.Contains(topic, suffix) {
				if _, err := adm.DeleteTopic(context.Background(), topic); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// The whole replay through `lull run` has the same digest on a real Kafka, with kills, as on the embedded broker.
func TestDemoOnKafka(t *testing.T) {
	if testBrokers == "" {
		t.Skip("LULL_TEST_BROKERS names no Kafka")
	}
	suffix := "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	removeTopics(t, suffix)
	brokers := strings.Split(testBrokers, ",")
	embedded := runDemo(t, demo{log: cdnowLog, suffix: suffix})
	onKafka := runDemo(t, demo{log: cdnowLog, suffix: suffix, brokers: brokers, kills: 2})
	if embedded.Digest != onKafka.Digest || embedded.StateBytes != onKafka.StateBytes {
		t.Errorf("digest %s, state of %d bytes; on Kafka %s, %d", embedded.Digest, embedded.StateBytes, onKafka.Digest, onKafka.StateBytes)
	}
}

// onText is a writer that does something when it is written a text, such as interrupting the writer.
type onText struct {
	text string
	do   func()
}

func (w *onText) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.text)) {
		w.do()
	}
	return len(p), nil
}

// A demo that is interrupted, in the replay or while it serves, leaves nothing behind: no folder, no process.
func TestDemoInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a broker and processes")
	}
	for _, c := range []struct {
		at    string // what it tells when it is interrupted
		kills int
		want  string // the error
	}{
		{"SIGKILL", 1, "interrupted before the end"},
		{"until Ctrl-C", 0, ""},
	} {
		t.Run(c.at, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			w := &onText{text: c.at, do: interrupt}
			d := demo{log: firstCustomers(t, 50), kills: c.kills, serve: true, out: w, err: w}
			err := d.run(ctx)
			if ctx.Err() == nil {
				t.Fatalf("it never told %q", c.at)
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if !d.process.hasEnded() {
				t.Error("the pipeline still runs")
			}
			if entries, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(entries) > 0 {
				t.Errorf("left in the folder for temporary files: %v, %v", entries, err)
			}
		})
	}
}
