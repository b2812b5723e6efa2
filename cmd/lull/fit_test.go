package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/schemas"
)

// shopOnKafka is an application on a broker, the real one if there is one, with its pipeline in a process of its own and the CDNOW log as its input.
type shopOnKafka struct {
	t       *testing.T
	broker  string
	prefix  string
	input   string
	config  string
	process process
}

func newShopOnKafka(t *testing.T, settings string) *shopOnKafka {
	t.Helper()
	name := "shop" + strconv.FormatInt(time.Now().UnixNano(), 36)
	s := &shopOnKafka{t: t, broker: testBrokers, prefix: name + ".", input: "orders-" + name}
	if s.broker == "" {
		s.broker = newBroker(t)
	}
	s.broker, _, _ = strings.Cut(s.broker, ",")
	http, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s.config = writeFile(t, "lull.yaml", fmt.Sprintf("brokers: [%q]\nprefix: %s\ninstance: one\ninput: {topic: %s}\nstate: {dir: %s}\nhttp: {listen: %q}\nclock: {mode: event}\n%s\n",
		s.broker, s.prefix, s.input, filepath.Join(dir, "state"), http, settings))
	s.process = process{config: s.config, log: filepath.Join(dir, "log"), ready: "http://" + http + "/readyz", patience: time.Minute}
	s.lull("topics", "apply", "--config", s.config, "--input-partitions", "4")
	return s
}

// lull runs a command that must succeed and returns what it prints.
func (s *shopOnKafka) lull(args ...string) string {
	s.t.Helper()
	out, errs, code := lull(s.t, args...)
	if code != 0 {
		s.t.Fatalf("%v: exit code %d:\n%s%s", args, code, out, errs)
	}
	return out
}

func (s *shopOnKafka) start() {
	s.t.Helper()
	if err := s.process.start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.process.kill)
	if err := s.process.waitReady(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// send produces the rows of the log from one date to another, inclusive, and a time mark there, at 00:00, which is when all orders of a day are.
func (s *shopOnKafka) send(from, to string) {
	s.t.Helper()
	file := writeFile(s.t, "orders.csv", string(s.rows(from, to)))
	s.lull("produce", "--brokers", s.broker, "--topic", s.input, "--csv", file, "--map", "customer_id=customer_id,time=date,amount=amount,message_id=id,order_id=id")
	s.lull("produce", "--brokers", s.broker, "--topic", s.input, "--time-mark", to)
}

// rows returns the rows of the log from one date to another, inclusive, each with an id.
func (s *shopOnKafka) rows(from, to string) []byte {
	s.t.Helper()
	unzip, err := gzip.NewReader(bytes.NewReader(cdnowLog))
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := io.ReadAll(unzip)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	kept := lines[:1:1]
	for i, line := range lines[1:] {
		if date := strings.Split(line, ",")[1]; date >= from && date <= to {
			kept = append(kept, line+",row"+strconv.Itoa(i))
		}
	}
	kept[0] += ",id"
	return []byte(strings.Join(kept, "\n") + "\n")
}

// await looks again and again until what it looks for is there.
func (s *shopOnKafka) await(what string, there func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Minute)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); !there(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("no %s%s", what, s.process.logTail())
		}
	}
}

// awaitStatistics waits until so many partitions have told their statistics as of a date.
func (s *shopOnKafka) awaitStatistics(date string, partitions int) {
	s.t.Helper()
	s.await("statistics as of "+date, func() bool {
		told := map[int32]string{}
		for _, r := range recordsOf(s.t, s.broker, s.prefix+"statistics") {
			if part, err := schemas.DecodeStatistics(r.Key, r.Value); err == nil && part.Head != nil {
				told[part.Partition] = part.Head.Watermark.String()
			}
		}
		n := 0
		for _, at := range told {
			if at == date+"T00:00:00.000Z" {
				n++
			}
		}
		return n == partitions
	})
}

// fit asks for a fit and returns the candidate's figures and whether it was adopted.
func (s *shopOnKafka) fit() (version string, candidate map[string]any, adopted bool) {
	s.t.Helper()
	var fit struct {
		Verdict struct {
			Adopted   bool
			Candidate map[string]any
		}
	}
	out := s.lull("fit", "--config", s.config, "--json")
	if err := json.Unmarshal([]byte(out), &fit); err != nil || fit.Verdict.Candidate == nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	version, _ = fit.Verdict.Candidate["version"].(string)
	return version, fit.Verdict.Candidate, fit.Verdict.Adopted
}

// scored returns how many customers' rows are of a model.
func (s *shopOnKafka) scored(version string) int {
	s.t.Helper()
	rows := map[string][]byte{}
	for _, r := range recordsOf(s.t, s.broker, s.prefix+"scores") {
		rows[string(r.Key)] = r.Value
	}
	n := 0
	for _, value := range rows {
		row, err := schemas.DecodeOutput(schemas.Scores, value)
		if err != nil {
			s.t.Fatal(err)
		}
		if row.Get("model") == version {
			n++
		}
	}
	return n
}

// TestFitSweepKill is the life of a model: the pipeline counts what flows, fits when it is asked to, adopts and scores everybody; then, while orders flow, it fits
// again, is killed in the midst of the sweep that follows, and goes on. Everybody is scored with the new model; every change of segment goes on from the one before
// it, so none is lost or doubled; no deadline fired twice; and the model is that of the reference.
func TestFitSweepKill(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes")
	}
	s := newShopOnKafka(t, "fit: {mode: demand, statistics_every: 50ms}\ncommit: {session_timeout: 10s, outputs: 2000}")
	s.start()
	s.send("1997-01-01", "1997-09-30")
	s.awaitStatistics("1997-09-30", 4)
	first, candidate, adopted := s.fit()
	if !adopted {
		t.Fatalf("%v", candidate)
	}
	// By golden/cdnow_master_golden.json, as of 00:00 of the last day. Cells of weeks are within 1.5 %.
	for name, want := range map[string]float64{"r": 0.63714, "alpha_days": 7 * 7.31029, "a": 0.80747, "b": 1.22839, "p": 6.27536, "q": 3.62445, "v": 14.98369, "repeat_purchases": 24_337} {
		if got, _ := candidate[name].(float64); !(math.Abs(got/want-1) < 0.015) {
			t.Errorf("%s is %v, of the reference %v", name, got, want)
		}
	}
	const customers = 23_570
	s.await("score of all with "+first, func() bool { return s.scored(first) == customers })

	flow := make(chan struct{})
	go func() {
		defer close(flow)
		for _, span := range [][2]string{{"1997-10-01", "1997-10-31"}, {"1997-11-01", "1997-11-30"}, {"1997-12-01", "1998-01-01"}} {
			s.send(span[0], span[1])
		}
	}()
	s.awaitStatistics("1998-01-01", 4)
	second, candidate, adopted := s.fit()
	if !adopted {
		t.Fatalf("%v", candidate)
	}
	swept := 0
	s.await("score with "+second, func() bool { swept = s.scored(second); return swept > 0 })
	s.process.kill()
	s.start() // nobody reads before: the transaction that the killed process has left open is in the way until then
	<-flow
	s.await("score of all with "+second, func() bool { return s.scored(second) == customers })
	if swept == customers {
		t.Log("the sweep had ended when the process was killed")
	}
	s.checkOutputs(second)
	if err := s.process.stop(); err != nil {
		t.Error(err)
	}
	list := s.lull("models", "list", "--config", s.config)
	if lines := strings.Split(strings.TrimSpace(list), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[2], "*  "+second) || !strings.Contains(lines[2], "23570 customers as of 1998-01-01") {
		t.Errorf("the list of models is\n%s", list)
	}
}

// checkOutputs proves that segments follow one from the other and that no trigger is doubled.
func (s *shopOnKafka) checkOutputs(version string) {
	s.t.Helper()
	ids := map[string]bool{}
	at := map[string]string{}
	byModel := 0
	for _, r := range recordsOf(s.t, s.broker, s.prefix+"segments") {
		change, err := schemas.DecodeOutput(schemas.Segments, r.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		id, customer := header(r, "ce_id"), fmt.Sprint(string(r.Key), " by ", change.Get("dimension"))
		from, _ := change.Get("from").(string)
		to, _ := change.Get("to").(string)
		if was, known := at[customer]; ids[id] || known && was != from || !known && from != "none" {
			s.t.Errorf("%s went from %s to %s, and was in %q", customer, from, to, was)
		}
		ids[id], at[customer] = true, to
		if cause, ok := change.Get("cause").(schemas.Fields); ok && cause.Get("kind") == "model" && change.Get("model") == version {
			byModel++
		}
	}
	if byModel == 0 {
		s.t.Errorf("%s has changed nobody's segment", version)
	}
	fired := map[string]bool{}
	for _, r := range recordsOf(s.t, s.broker, s.prefix+"triggers") {
		trigger, err := schemas.DecodeOutput(schemas.Triggers, r.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		deadline, _ := trigger.Get("deadline").(operators.EventTime)
		what := fmt.Sprint(string(r.Key), trigger.Get("rule"), deadline)
		if ids[header(r, "ce_id")] || fired[what] {
			s.t.Errorf("%s fired twice", what)
		}
		ids[header(r, "ce_id")], fired[what] = true, true
	}
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// TestModels: models are listed, shown as a file that put takes back, and rolled back to under a new name.
func TestModels(t *testing.T) {
	broker := newBroker(t)
	config := writeFile(t, "lull.yaml", fmt.Sprintf("brokers: [%q]\ninput: {topic: shop}\nprefix: my.\n", broker))
	run := func(want string, args ...string) string {
		t.Helper()
		out, errs, _ := lull(t, append(args, "--config", config)...)
		if !strings.Contains(out+errs, want) {
			t.Fatalf("%v: %s%s; want %q", args, out, errs, want)
		}
		return out
	}
	run("run `lull topics apply`", "models", "list")
	run("all topics are there", "topics", "apply")
	run(`there is no model "x", nor any other`, "models", "show", "x")
	for _, version := range []string{"one", "two"} {
		file := writeFile(t, version+".yaml", strings.Replace(string(cdnowModel), "cdnow-published", version, 1))
		run("put model "+version, "models", "put", file)
	}
	list := run("put by hand", "models", "list")
	if lines := strings.Split(strings.TrimSpace(list), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "   one ") || !strings.HasPrefix(lines[2], "*  two ") {
		t.Errorf("the list is\n%s", list)
	}
	shown := run("clv: [7.24, 8.03, 8.95, 29.54]", "models", "show", "one")
	run("is in my.models already, with these parameters", "models", "put", writeFile(t, "shown.yaml", shown))
	run(`there is no model "four"; there are one, two`, "models", "rollback", "four")
	run("two is the last that was published", "models", "rollback", "one") // their parameters are the same
	third := strings.NewReplacer("cdnow-published", "three", "r: 0.525", "r: 0.6").Replace(string(cdnowModel))
	run("put model three", "models", "put", writeFile(t, "three.yaml", third))
	run("put model one-again, with the parameters of one", "models", "rollback", "one")
	run("put model three-again", "models", "rollback", "three")
	run("put model one-again-2", "models", "rollback", "one")
	run("no process that fits models is in the group \"my-fitter\": waiting up to 10ms for one\n"+
		"lull: nobody was asked for a fit, because no process fits models: the group \"my-fitter\" has no members. Start lull run with fit.mode auto or demand under the prefix \"my.\", or mend --prefix and --group\n",
		"fit", "--wait", "10ms")
	if n := len(recordsOf(t, broker, "my.fits")); n > 0 {
		t.Errorf("%d requests that nobody answers", n)
	}
	// Somebody is in the group who does not answer.
	client, err := newClient(t.Context(), reaching(broker), kgo.ConsumerGroup("my-fitter"), kgo.InstanceID("idle"), kgo.ConsumeTopics("shop"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	run("a fit has been asked for: waiting up to 1s for the verdict, from one of \"idle\" in group \"my-fitter\", from ", "fit", "--wait", "1s")
	run("lull: within 100ms there was no verdict from one of \"idle\" in group \"my-fitter\", from ", "fit", "--wait", "100ms")
	run("--wait is 0s: it must be above 0", "fit", "--wait", "0s")
}
