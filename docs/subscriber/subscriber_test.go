package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"lull/operators"
	"lull/schemas"
)

// testBrokers are those of a real Kafka, if there is one.
var testBrokers = os.Getenv("LULL_TEST_BROKERS")

// feed writes triggers to a topic of its own, and knows what is to be done about them.
type feed struct {
	t        *testing.T
	brokers  string
	topic    string
	schema   string // file with the schema
	registry string
	client   *kgo.Client
	encoders []*schemas.Encoder // one for each format
	sent     []*kgo.Record      // that were committed
	want     map[string]string  // by ce_id: the action
}

func newFeed(t *testing.T) *feed {
	t.Helper()
	f := &feed{t: t, brokers: testBrokers, topic: fmt.Sprintf("t%d-%d.triggers", os.Getpid(), time.Now().UnixNano()), want: make(map[string]string)}
	if f.brokers == "" {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fake.Close)
		f.brokers = strings.Join(fake.ListenAddrs(), ",")
	}
	f.client = f.newClient()
	adm := kadm.NewClient(f.client)
	if _, err := adm.CreateTopic(t.Context(), 3, 1, nil, f.topic); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := adm.DeleteTopic(context.Background(), f.topic); err != nil {
			t.Error(err)
		}
	})
	f.schema = filepath.Join(t.TempDir(), "trigger.avsc")
	if err := os.WriteFile(f.schema, []byte(schemas.Triggers.Schema()), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := srfake.New()
	t.Cleanup(registry.Close)
	f.registry = registry.URL()
	client, err := sr.NewClient(sr.URLs(f.registry))
	if err != nil {
		t.Fatal(err)
	}
	registered, err := client.CreateSchema(t.Context(), f.topic+"-value", sr.Schema{Schema: schemas.Triggers.Schema()})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range schemas.OutputFormats {
		encoder, err := schemas.NewEncoder(schemas.EncoderConfig{
			HorizonDays: 365, ContactDays: 30, Margin: 1, Formats: map[schemas.Topic]schemas.Format{schemas.Triggers: format},
			SchemaIDs: map[schemas.Topic]uint32{schemas.Triggers: uint32(registered.ID)},
		})
		if err != nil {
			t.Fatal(err)
		}
		f.encoders = append(f.encoders, encoder)
	}
	return f
}

func (f *feed) newClient(opts ...kgo.Opt) *kgo.Client {
	f.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(f.brokers, ",")...), kgo.UnknownTopicRetries(-1))...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(client.Close)
	return client
}

// trigger returns the record of trigger number n, of whichever kind and format its turn is, and what is to be done about it.
func (f *feed) trigger(n int) (r *kgo.Record, action string) {
	f.t.Helper()
	customer := fmt.Sprint("c", n)
	o := &operators.Output{
		Kind: operators.TriggerOutput, ID: operators.NewID(f.topic, customer), Customer: customer, Time: operators.EventTime(883_919_220_123 + n),
		Cause:   operators.Cause{Kind: operators.DeadlineInput, Deadline: 883_919_220_123},
		Trigger: &operators.Trigger{Rule: "churn_risk", From: "low_risk", To: "high_risk", Deadline: 883_919_220_123, Actionable: true, Reasons: []string{"silent for 71 days"}},
	}
	action = act
	switch {
	case n%5 == 3:
		action, o.Trigger.Actionable, o.Trigger.Withheld = none, false, "stale"
	case n%5 == 4:
		action, o.Trigger.Actionable, o.Trigger.Withheld, o.Trigger.Withdraws = takeBack, false, "withdrawal", operators.NewID(f.topic, fmt.Sprint("c", n-1))
	}
	var rec schemas.Record
	if err := f.encoders[n%len(f.encoders)].EncodeOutput(o, &rec); err != nil {
		f.t.Fatal(err)
	}
	r = &kgo.Record{Topic: f.topic, Key: rec.Key, Value: rec.Value}
	for _, h := range rec.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r, action
}

// send writes new triggers, doubles of some of the newest that were sent, one of a type of later versions, and triggers whose transaction is aborted.
func (f *feed) send(n int) {
	f.t.Helper()
	var records []*kgo.Record
	for range n {
		r, action := f.trigger(len(f.want))
		f.want[headerOf(r, "ce_id")] = action
		records = append(records, r)
	}
	f.sent = append(f.sent, records...)
	for i := 0; i < n; i += 3 {
		again := f.sent[max(0, len(f.sent)-1-7*i)]
		records = append(records, &kgo.Record{Topic: again.Topic, Key: again.Key, Value: again.Value, Headers: again.Headers})
	}
	later := &kgo.Record{Topic: f.topic, Key: []byte("c0"), Value: []byte("?"), Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte("later")}, {Key: "ce_type", Value: []byte("lull.later")}}}
	if err := f.client.ProduceSync(f.t.Context(), append(records, later)...).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
	transaction := f.newClient(kgo.TransactionalID(f.topic))
	defer transaction.Close()
	if err := transaction.BeginTransaction(); err != nil {
		f.t.Fatal(err)
	}
	for i := range 10 {
		r, _ := f.trigger(1_000_000 + len(f.want) + i)
		if err := transaction.ProduceSync(f.t.Context(), r).FirstErr(); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := transaction.EndTransaction(f.t.Context(), kgo.TryAbort); err != nil {
		f.t.Fatal(err)
	}
}

func headerOf(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// subscriber is a program that handles the feed.
type subscriber struct {
	command []string
	flags   string                    // how its flags begin
	written string                    // the file that it writes first whenever it does something
	done    func(t *testing.T) []line // what it has done, doubles and what it does not know aside
}

// run starts the program, and kills it as soon as that is so.
func (s *subscriber) run(f *feed, isTime func() bool) {
	f.t.Helper()
	args := append([]string(nil), s.command[1:]...)
	for name, value := range map[string]string{"brokers": f.brokers, "topic": f.topic, "schema": f.schema, "registry": f.registry} {
		args = append(args, s.flags+name, value)
	}
	var says bytes.Buffer
	cmd := exec.Command(s.command[0], args...)
	cmd.Stdout, cmd.Stderr = &says, &says
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	timeout := time.After(2 * time.Minute)
	for tick := time.NewTicker(time.Millisecond); !isTime(); {
		select {
		case <-tick.C:
		case err := <-ended:
			f.t.Fatalf("it ended with %v:\n%s", err, says.String())
		case <-timeout:
			_ = cmd.Process.Kill()
			f.t.Fatalf("it has done %d of %d: %v:\n%s", len(s.done(f.t)), len(f.want), <-ended, says.String())
		}
	}
	if err := cmd.Process.Kill(); err != nil { // SIGKILL
		f.t.Fatal(err)
	}
	if err := <-ended; err == nil {
		f.t.Fatalf("it ended well, though it was killed:\n%s", says.String())
	}
}

// attack feeds a subscriber and kills it in the midst of its work, and then finds everything done once.
func (s *subscriber) attack(t *testing.T) {
	f := newFeed(t)
	whole := func() bool { return len(s.done(t)) >= len(f.want) }
	const killsWanted, roundsMax, step = 5, 40, 1 << 16
	kills, records, more := 0, 2000, int64(0) // more bytes than one that it has to write before it is killed
	for round := 0; kills < killsWanted; round++ {
		if round == roundsMax {
			t.Fatalf("of %d kills %d came in the midst of the work", round, kills)
		}
		done := len(s.done(t))
		size := sizeOf(s.written) // whoever looks at what has been done may put the file away
		f.send(records)
		polls := 0
		s.run(f, func() bool {
			polls++
			return sizeOf(s.written) > size+more || polls%200 == 0 && whole()
		})
		switch n := len(s.done(t)); {
		case n >= len(f.want): // it was done before it could be killed
			records, more = min(2*records, 64_000), more/2
		case n == done: // it was killed in its first transaction
			more += step
		default:
			kills++
		}
	}
	s.run(f, whole)
	s.run(f, whole) // nothing is left to be done
	found := make(map[string]int)
	for _, l := range s.done(t) {
		if found[l.ID]++; found[l.ID] > 1 {
			t.Errorf("%s was done twice", l.ID)
		}
		if action, sent := f.want[l.ID]; !sent || l.Action != action || l.Rule != "churn_risk" || !strings.HasPrefix(l.Customer, "c") {
			t.Errorf("%+v: want %q", l, action)
		}
		if because := strings.Join(l.Why, ""); l.Action == none && because != "stale" || l.Action == act && because != "silent for 71 days" || (l.Action == takeBack) != (f.want[l.Of] != "") {
			t.Errorf("%+v: why, and of what?", l)
		}
	}
	for id, action := range f.want {
		if found[id] == 0 {
			t.Errorf("%s was not done: %s", id, action)
		}
	}
}

func sizeOf(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// readLines decodes a line of JSON each; the last may be half written.
func readLines(t *testing.T, text []byte) (lines []line) {
	t.Helper()
	for scanner := bufio.NewScanner(bytes.NewReader(text[:bytes.LastIndexByte(text, '\n')+1])); scanner.Scan(); {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		if l.Action != double && l.Action != unknown {
			lines = append(lines, l)
		}
	}
	return lines
}

// inGo returns the program in Go.
func inGo(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "subscriber")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

// inPython returns a Python with what the program needs, which it installs.
func inPython(t *testing.T) string {
	t.Helper()
	environment := filepath.Join(t.TempDir(), "venv")
	python := filepath.Join(environment, "bin", "python")
	for _, command := range [][]string{{"python3", "-m", "venv", environment}, {python, "-m", "pip", "install", "--quiet", "-r", "requirements.txt"}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", command, err, out)
		}
	}
	return python
}

// TestMistakes proves that both end, and say what to do, if they lack what reads a value: a file without a schema at once, before any value comes; a flag that is not given, and a registry
// that does not answer or does not have the schema, when a value needs it.
func TestMistakes(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes")
	}
	dir := t.TempDir()
	programs := map[string][]string{"-": {inGo(t), "-journal", filepath.Join(dir, "triggers.jsonl")}}
	if testBrokers != "" {
		programs["--"] = []string{inPython(t), "subscriber.py", "--database", filepath.Join(dir, "triggers.db")}
	}
	none, broken := filepath.Join(dir, "none.avsc"), filepath.Join(dir, "broken.avsc")
	if err := os.WriteFile(broken, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(empty.Close)
	away := httptest.NewServer(http.NotFoundHandler())
	away.Close()
	for _, c := range []struct {
		schema   string
		registry string
		format   schemas.Format // of the one value in the topic
		want     string
	}{
		{none, "", schemas.JSON, "schema " + none + ": it must be a file with what `lull schemas show triggers` prints: "},
		{broken, "", schemas.JSON, "schema " + broken + ": it must be a file with what `lull schemas show triggers` prints: "},
		{"", "", schemas.OwnAvro, "give FLAGschema the file with what `lull schemas show triggers` prints"},
		{"", "", schemas.RegistryAvro, "give FLAGregistry the registry's URL"},
		{"", away.URL, schemas.RegistryAvro, "FLAGregistry " + away.URL + ": " + away.URL + "/schemas/ids/"},
		{"", away.URL, schemas.RegistryAvro, "onnection refused"},
		{"", empty.URL, schemas.RegistryAvro, "404"},
		{"", empty.URL, schemas.RegistryAvro, ": mend the registry, or the URL at which its API begins, and start again"},
	} {
		f := newFeed(t)
		r, _ := f.trigger(slices.Index(schemas.OutputFormats[:], c.format))
		if err := f.client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for flags, program := range programs {
			args := append(program[1:len(program):len(program)], flags+"brokers", f.brokers, flags+"topic", f.topic)
			if c.schema != "" {
				args = append(args, flags+"schema", c.schema)
			}
			if c.registry != "" {
				args = append(args, flags+"registry", c.registry)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			out, err := exec.CommandContext(ctx, program[0], args...).CombinedOutput()
			late := ctx.Err() != nil
			cancel()
			if err == nil || late || !strings.HasPrefix(string(out), "subscriber: ") || !strings.Contains(string(out), strings.ReplaceAll(c.want, "FLAG", flags)) || strings.Contains(string(out), "Traceback") {
				t.Errorf("%v %s: %v: %s", program, c.format, err, out)
			}
		}
	}
}

// TestGo proves that the program in Go handles every trigger once, in three formats, while it is killed, and triggers are doubled, aborted, not actionable and taken back.
func TestGo(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes")
	}
	program, journal := inGo(t), filepath.Join(t.TempDir(), "triggers.jsonl")
	s := subscriber{command: []string{program, "-journal", journal}, flags: "-", written: journal, done: func(t *testing.T) []line {
		text, err := os.ReadFile(journal)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return readLines(t, text)
	}}
	s.attack(t)
}

// TestPython proves the same of the program in Python. It installs what that needs, so it runs with a real Kafka alone.
func TestPython(t *testing.T) {
	if testBrokers == "" {
		t.Skip("LULL_TEST_BROKERS names no Kafka")
	}
	python, database := inPython(t), filepath.Join(t.TempDir(), "triggers.db")
	program := []string{python, "subscriber.py", "--database", database}
	s := subscriber{command: program, flags: "--", written: database + "-wal", done: func(t *testing.T) []line {
		out, err := exec.Command(program[0], append(program[1:len(program):len(program)], "--list")...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return readLines(t, out)
	}}
	s.attack(t)
}

// TestJournal proves that a line which a crash has cut off is read again and not taken for done, that a double is known after a restart, and that as many ids are kept as is said.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "triggers.jsonl")
	open := func() *journal {
		t.Helper()
		j, err := openJournal(path, 2)
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	add := func(j *journal, offset int64, id string) (action string) {
		t.Helper()
		lines := []line{{Offset: offset, ID: id, Action: act}}
		if err := j.add(lines); err != nil {
			t.Fatal(err)
		}
		return lines[0].Action
	}
	j := open()
	for offset, id := range []string{"a", "b"} {
		if action := add(j, int64(offset), id); action != act {
			t.Errorf("%s: %s", id, action)
		}
	}
	if err := j.file.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(whole, `{"partition":0,"offset":2,"ce_id":"c"`...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	j = open()
	if j.next[0] != 2 {
		t.Errorf("it goes on at %d", j.next[0])
	}
	for offset, c := range []struct{ id, want string }{{"b", double}, {"c", act}, {"a", act}, {"c", double}} { // a is the oldest of three
		if action := add(j, int64(2+offset), c.id); action != c.want {
			t.Errorf("%s is %q; want %q", c.id, action, c.want)
		}
	}
	if err := j.file.Close(); err != nil {
		t.Fatal(err)
	}
	if j = open(); j.next[0] != 6 || !j.seen["c"] || !j.seen["a"] || len(j.seen) != 2 {
		t.Errorf("after a restart: %+v", j)
	}
	if err := j.file.Close(); err != nil {
		t.Fatal(err)
	}
}
