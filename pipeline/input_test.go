package pipeline

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/schemas"
)

// TestBadInput proves that every kind of bad record becomes a dead letter with its reason and its bytes, and that the records around it go on:
// after each bad one a good order of the same partition is applied.
func TestBadInput(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.publish(&s)
	order := func(customer, id string) operators.Event {
		return operators.Event{Kind: operators.OrderCompleted, Customer: customer, ID: id, OrderID: id, Time: instant(t, "2024-03-01T10:00:00Z"), Amount: 1000}
	}
	whole := c.event(&s, order("eve", "bad"))
	with := func(change func(e *operators.Event)) []byte {
		e := order("eve", "bad")
		change(&e)
		return c.event(&s, e).Value
	}
	euros, err := schemas.EncodeEvent(nil, &operators.Event{Kind: operators.OrderCompleted, Customer: "eve", ID: "x", OrderID: "x", Time: 1e12, Amount: 1}, "EUR")
	if err != nil {
		t.Fatal(err)
	}
	bad := []struct {
		what, reason string
		key, value   []byte
	}{
		{"truncated Avro", schemas.ReasonTruncated, []byte("eve"), whole.Value[:len(whole.Value)-7]},
		{"bytes after the event", schemas.ReasonTrailingBytes, []byte("eve"), append(bytes.Clone(whole.Value), 1, 2)},
		{"no value", schemas.ReasonNoValue, []byte("eve"), nil},
		{"empty key", schemas.ReasonNoCustomer, []byte{}, whole.Value},
		{"another key", schemas.ReasonKeyMismatch, []byte("mallory"), whole.Value},
		{"unknown currency", schemas.ReasonUnknownCurrency, []byte("eve"), euros},
		{"5 MB", schemas.ReasonRecordTooLarge, []byte("eve"), bytes.Repeat([]byte{'x'}, 5<<20)},
		{"invalid UTF-8", schemas.ReasonInvalidUTF8, []byte("eve"), bytes.Replace(whole.Value, []byte("bad"), []byte{0xff, 0xfe, 0xfd}, 1)},
		{"year 1", schemas.ReasonTimeOutOfRange, []byte("eve"), with(func(e *operators.Event) { e.Time = instant(t, "0001-01-01T00:00:00Z") })},
		{"year 9999", schemas.ReasonTimeOutOfRange, []byte("eve"), with(func(e *operators.Event) { e.Time = instant(t, "9999-01-01T00:00:00Z") })},
		{"negative amount", schemas.ReasonAmountNegative, []byte("eve"), rawEvent(map[string]any{"amount": int64(-5)})},
		{"negative quantity", schemas.ReasonQuantityNegative, []byte("eve"), rawEvent(map[string]any{"quantity": -1.0})},
		{"NaN", schemas.ReasonQuantityInvalid, []byte("eve"), rawEvent(map[string]any{"quantity": nan()})},
		{"missing field", schemas.ReasonMissingField, []byte("eve"), rawEvent(map[string]any{"amount": nil})},
	}
	for i, b := range bad {
		c.produce(&kgo.Record{Topic: s.Input.Topic, Key: b.key, Value: b.value, Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte(b.what)}}})
		c.produce(c.event(&s, order("good", "o"+string(rune('a'+i)))))
	}
	c.mark(&s, "2024-03-02T00:00:00Z")
	p := c.run(s)
	c.await(&s, p)
	p.end()
	letters := c.read(s.Topic(DeadLettersTopic))
	if len(letters) != len(bad) {
		t.Fatalf("%d dead letters, want %d\n%s", len(letters), len(bad), p.log)
	}
	seen := map[string]bool{}
	for _, r := range letters {
		fields, err := schemas.DecodeOutput(schemas.DeadLetters, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		var letter struct {
			Reason, Detail string
			Offset         int64
		}
		if err := json.Unmarshal(text, &letter); err != nil {
			t.Fatal(err)
		}
		if letter.Offset%2 != 0 || letter.Offset >= int64(2*len(bad)) {
			t.Fatalf("a good record is a dead letter: %.300s", text)
		}
		was := bad[letter.Offset/2]
		seen[was.what] = true
		if letter.Reason != was.reason || letter.Detail == "" {
			t.Errorf("%s: dead letter %.300s, want reason %s", was.what, text, was.reason)
		}
		kept := was.value[:min(len(was.value), schemas.DeadLetterCut)]
		if !bytes.Contains(r.Value, kept) || !bytes.Contains(r.Value, []byte(was.what)) {
			t.Errorf("%s: the dead letter does not hold the record's bytes and headers", was.what)
		}
	}
	if len(seen) != len(bad) {
		t.Errorf("dead letters only for %v", seen)
	}
	rows := c.read(s.Topic(ScoresTopic))
	if len(rows) == 0 || string(rows[len(rows)-1].Key) != "good" {
		t.Fatalf("%d score rows", len(rows))
	}
	fields, err := schemas.DecodeOutput(schemas.Scores, rows[len(rows)-1].Value)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(fields); !strings.Contains(string(text), `"orders":`+itoa(len(bad))) {
		t.Errorf("the good orders between: %s", text)
	}
}

// TestBrokerAway proves that a process started before its broker and its topics says plainly what it waits for, on /readyz, and goes to work
// without a restart once they are there; and that it gets over a broker that goes away in the middle.
func TestBrokerAway(t *testing.T) {
	if os.Getenv("LULL_TEST_BROKERS") != "" {
		t.Skip("the test starts and stops its broker")
	}
	dir := t.TempDir()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	address := fake.ListenAddrs()[0]
	port := portOf(t, address)
	fake.Close()

	s := Settings{
		Brokers: []string{address}, Instance: "one", Input: InputSettings{Topic: "shop"}, State: StateSettings{Dir: t.TempDir()},
		HTTP: HTTPSettings{Listen: freeAddress(t)}, Clock: ClockSettings{Mode: "event"}, Commit: CommitSettings{Timeout: 2 * time.Second, SessionTimeout: 6 * time.Second},
	}
	s.EnsureDefaults()
	c := &cluster{t: t, brokers: s.Brokers}
	p := c.run(s)
	awaitReadiness(t, &s, p, "no broker of "+address)

	fake, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir), kfake.Ports(port))
	if err != nil {
		t.Fatal(err)
	}
	awaitReadiness(t, &s, p, `input topic \"shop\" does not exist`)
	c = connect(t, c.dial, s.Brokers)
	if _, err := c.adm.CreateTopic(t.Context(), 2, 1, nil, "shop"); err != nil {
		t.Fatal(err)
	}
	awaitReadiness(t, &s, p, "run `lull topics apply`")
	tooSmall := s
	tooSmall.Limits.ValueBytes = 1000
	if _, err := CreateTopics(t.Context(), tooSmall, 0); err != nil {
		t.Fatal(err)
	}
	awaitReadiness(t, &s, p, "max.message.bytes")
	bytesMin := itoa(s.deadLetterBytes() + batchOverhead)
	if _, err := c.adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytesMin}}, s.Topic(DeadLettersTopic)); err != nil {
		t.Fatal(err)
	}
	awaitReadiness(t, &s, p, `"ready":true`)
	c.publish(&s)
	c.produce(c.history(&s)[:300]...)
	c.await(&s, p)

	fake.Close()
	awaitReadiness(t, &s, p, "do not answer")
	fake, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir), kfake.Ports(port))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	awaitReadiness(t, &s, p, `"ready":true`) // although no record comes
	for _, says := range []string{"do not answer", "the brokers answer again"} {
		if !strings.Contains(p.log.String(), says) {
			t.Errorf("the log does not say %q\n%s", says, p.log)
		}
	}
	c.produce(c.history(&s)[300:600]...)
	c.await(&s, p)
	p.end()
}

// awaitReadiness waits until /readyz says a text.
func awaitReadiness(t *testing.T, s *Settings, p *process, text string) {
	t.Helper()
	awaitAnswer(t, s, p, "/readyz", text)
}

// awaitAnswer waits until what is under a path of the process has a text in it.
func awaitAnswer(t *testing.T, s *Settings, p *process, path, text string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-time.After(20 * time.Millisecond) {
		last = ask(s, path)
		if strings.Contains(last, text) {
			return
		}
		select {
		case err := <-p.done:
			t.Fatalf("the process ended with %v", err)
		default:
		}
	}
	t.Fatalf("%s does not say %q but %s\n%s", path, text, last, p.log)
}

func readyz(s *Settings) string { return ask(s, "/readyz") }

func ask(s *Settings, path string) string {
	response, err := http.Get("http://" + s.HTTP.Listen + path)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	var body bytes.Buffer
	_, _ = body.ReadFrom(response.Body)
	return body.String()
}
