package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// prometheusVariable names a Prometheus, the program.
const prometheusVariable = "LULL_TEST_PROMETHEUS"

// prometheusProgram is that program, "" if there is none.
var prometheusProgram = os.Getenv(prometheusVariable)

// TestMonitored proves that a Prometheus with the settings and alerts that are shipped scrapes three processes, takes every rule, finds what docs/operating/install.md says that a deployment shows, and that an alert fires and
// ends as it is to. The settings are as they are but for the addresses, and that a second is a half minute.
func TestMonitored(t *testing.T) {
	if prometheusProgram == "" {
		t.Skip(prometheusVariable + " names no Prometheus, as make check-deploy does")
	}
	broker := newBroker(t)
	for _, args := range [][]string{
		{"topics", "apply", "--brokers", broker, "--input-topic", "shop", "--topics-replication", "1"},
		{"models", "put", "--brokers", broker, "cdnow/model.yaml"},
	} {
		if _, errs, code := lull(t, args...); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, errs)
		}
	}
	var targets []string
	for i := range 3 {
		targets = append(targets, runProcess(t, broker, fmt.Sprintf("lull-%d", i)))
	}
	prometheus := runPrometheus(t, targets)

	page, err := os.ReadFile("../../docs/operating/install.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\d+|nothing)\\b").FindAllStringSubmatch(string(page), -1)
	if len(rows) < 5 {
		t.Fatalf("the page shows %d queries", len(rows))
	}
	for _, row := range rows {
		prometheus.shows(t, row[1], strings.TrimSuffix(row[2], "nothing"))
	}
	// All of one customer, and so of one partition and one process.
	const refused, applied = 20, 5000
	client := producer(t, broker)
	for range refused {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "shop", Key: []byte("ann"), Value: []byte("no event")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	const firing = `count(ALERTS{job="lull", alertname="LullDeadLetters", alertstate="firing"})`
	prometheus.shows(t, firing, "1")
	prometheus.hasRules(t)
	if told := prometheus.firing(t)["LullDeadLetters"]; !regexp.MustCompile(`^100% of the records that 127\.0\.0\.1:\d+ has read in the last hour are dead letters`).MatchString(told) {
		t.Errorf("what is told is %q", told)
	}
	var orders strings.Builder
	orders.WriteString("client,when,total\n")
	for range applied {
		orders.WriteString("ann,1998-01-04,1\n")
	}
	if errs, code := produceShop(t, broker, "--csv", writeFile(t, "orders.csv", orders.String())); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	prometheus.shows(t, firing, "")
	if told := prometheus.firing(t); len(told) > 0 {
		t.Errorf("in the end there is %q", told)
	}
}

// runProcess runs the pipeline as a process until the test ends, and returns the address that it listens at.
func runProcess(t *testing.T, broker, instance string) (address string) {
	t.Helper()
	log := startProgram(t, func(line string) bool {
		var told struct{ Message, Address string }
		if json.Unmarshal([]byte(line), &told) == nil && told.Message == "listening" {
			address = told.Address
		}
		return address != ""
	}, os.Args[0], "run", "--brokers", broker, "--input-topic", "shop", "--instance", instance, "--state-dir", t.TempDir(), "--http-listen", "127.0.0.1:0")
	if address == "" {
		t.Fatalf("%s does not listen:\n%s", instance, log)
	}
	return address
}

// startProgram starts a program that is stopped when the test ends, and reads its standard error until a line is the one that is waited for. It returns what has been read.
func startProgram(t *testing.T, awaited func(line string) bool, program string, args ...string) string {
	t.Helper()
	process := exec.Command(program, args...)
	out, err := process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	read, drained := make(chan string), make(chan struct{})
	go func() {
		defer close(drained)
		var log bytes.Buffer
		lines := bufio.NewScanner(io.TeeReader(out, &log))
		for lines.Scan() && !awaited(lines.Text()) {
		}
		read <- log.String()
		_, _ = io.Copy(io.Discard, out)
	}()
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM) // it may have ended
		<-drained
		if err := process.Wait(); err != nil {
			t.Errorf("%s: %v", program, err)
		}
	})
	return <-read
}

// alertsFile holds the alerts.
const alertsFile = "../../deploy/helm/lull/monitoring/alerts.yaml"

// monitor is the address of a Prometheus.
type monitor string

// runPrometheus runs one with the settings of deploy/compose, and the alerts.
func runPrometheus(t *testing.T, targets []string) monitor {
	t.Helper()
	dir := t.TempDir()
	settings, err := os.ReadFile("../../deploy/compose/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("30s", "1s", "lull-0:8280, lull-1:8280, lull-2:8280", `"`+strings.Join(targets, `", "`)+`"`).Replace(string(settings))
	if strings.Contains(text, ":8280") {
		t.Fatalf("the settings have other targets: %s", text)
	}
	config := filepath.Join(dir, "prometheus.yml")
	for path, content := range map[string][]byte{config: []byte(text), filepath.Join(dir, "alerts.yaml"): alerts} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free: Prometheus does not say which it has
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ready := false
	log := startProgram(t, func(line string) bool {
		ready = strings.Contains(line, "Server is ready to receive web requests")
		return ready
	}, prometheusProgram, "--config.file", config, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address)
	if !ready {
		t.Fatalf("Prometheus does not start:\n%s", log)
	}
	return monitor(address)
}

// ask asks the Prometheus and decodes the data of its answer.
func (m monitor) ask(t *testing.T, path string, query url.Values, data any) {
	t.Helper()
	response, err := http.Get("http://" + string(m) + "/api/v1/" + path + "?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s: %v %s", path, err, answer.Error)
	}
}

// shows waits until a query has the one value, or none if that is "".
func (m monitor) shows(t *testing.T, query, value string) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for {
		var found struct {
			Result []struct{ Value [2]any }
		}
		m.ask(t, "query", url.Values{"query": {query}}, &found)
		if value == "" && len(found.Result) == 0 || len(found.Result) == 1 && found.Result[0].Value[1] == value {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s is %v, want %q; firing: %q", query, found.Result, value, m.firing(t))
		}
	}
}

// firing returns what is told of the alerts that fire.
func (m monitor) firing(t *testing.T) map[string]string {
	t.Helper()
	var found struct {
		Alerts []struct {
			State               string
			Labels, Annotations map[string]string
		}
	}
	m.ask(t, "alerts", nil, &found)
	told := map[string]string{}
	for _, a := range found.Alerts {
		if a.State == "firing" {
			told[a.Labels["alertname"]] = a.Annotations["description"]
		}
	}
	return told
}

// hasRules requires that the Prometheus has evaluated every rule without an error.
func (m monitor) hasRules(t *testing.T) {
	t.Helper()
	var found struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	m.ask(t, "rules", nil, &found)
	rules := 0
	for _, group := range found.Groups {
		for _, rule := range group.Rules {
			if rules++; rule.Health != "ok" {
				t.Errorf("%s: %s %s", rule.Name, rule.Health, rule.LastError)
			}
		}
	}
	shipped, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Count(string(shipped), "- alert: "); rules != want {
		t.Errorf("Prometheus has %d rules, and %d are shipped", rules, want)
	}
}
