package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline"
)

// csvOf returns the rows of a compressed CSV file, the header first.
func csvOf(t *testing.T, zipped []byte) [][]string {
	t.Helper()
	unzip, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(unzip).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// firstCustomers returns the part of the log that is of its first n customers, compressed.
func firstCustomers(t *testing.T, n int) []byte {
	t.Helper()
	records := csvOf(t, cdnowLog)
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

// What is told when the pipeline of a demo does not do as it should: how it ended, and what its log says.
func TestDemoFailures(t *testing.T) {
	broker := newBroker(t)
	client := producer(t, broker)
	var began kadm.Offsets
	began.AddOffset("shop", 0, 0, -1)
	if _, err := kadm.NewClient(client).CommitOffsets(t.Context(), "lull", began); err != nil {
		t.Fatal(err)
	}
	away, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, command string
		do            func(p *process) error
		want          string
	}{
		{"ends well", "echo done", func(p *process) error { <-p.ended; return p.check() }, "`lull run` has ended by itself: exit status 0; the end of log:\n  done"},
		{"ends badly", "echo no; exit 3", func(p *process) error { return p.waitReady(t.Context()) }, "`lull run` has ended by itself: exit status 3; the end of log:\n  no"},
		{"does not become ready", "exec sleep 1000", func(p *process) error { return p.waitReady(t.Context()) }, "`lull run` was not ready within 100ms"},
		{"does not stop", "trap '' TERM; echo stays; while :; do sleep 1; done", func(p *process) error {
			for text := ""; text == ""; text = readFile(t, p.log) { // until the signal is trapped
			}
			return p.stop()
		}, "`lull run` did not stop within 100ms of SIGTERM; the end of log:\n  stays"},
		{"stops badly", "exec sleep 1000", func(p *process) error { return p.stop() }, "`lull run` did not stop cleanly: signal: terminated"},
		{"commits nothing", "exec sleep 1000", func(p *process) error {
			return watchOf(client, p, 7, 0).run(t.Context())
		}, "the pipeline has committed nothing for 100ms, at 0 of 7 records"},
		{"has too few rows", "exec sleep 1000", func(p *process) error {
			return watchOf(client, p, 0, 2).run(t.Context())
		}, "the replay has ended 2 kills too early: 0 rows are too few for 2 kills"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &process{log: filepath.Join(t.TempDir(), "log"), ready: "http://" + away, patience: 100 * time.Millisecond}
			if err := p.startCommand(exec.Command("sh", "-c", c.command)); err != nil {
				t.Fatal(err)
			}
			defer p.kill()
			if err := c.do(p); err == nil || err.Error() != c.want {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// watchOf returns the watch of a replay of n rows by a process, in which it is to be killed so often.
func watchOf(client *kgo.Client, p *process, n int64, kills int) *watch {
	settings := pipeline.DefaultSettings()
	settings.EnsureGroup()
	return &watch{
		d: &demo{process: *p, settings: settings, kills: kills}, adm: kadm.NewClient(client), rows: n, total: n, kills: make([]int64, kills),
		bar: newProgress(io.Discard, n, ""),
	}
}
