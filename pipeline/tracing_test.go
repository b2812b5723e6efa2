package pipeline

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"lull/operators"
)

// collector receives the spans of processes, as an OpenTelemetry Collector does.
type collector struct {
	t   *testing.T
	url string

	mu       sync.Mutex
	refusals int // deliveries that are yet to be refused
	spans    []*tracepb.Span
	resource []*commonpb.KeyValue
	headers  http.Header // of the last delivery
}

func newCollector(t *testing.T) *collector {
	c := &collector{t: t}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// ServeHTTP takes a delivery.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	var data tracepb.TracesData // ExportTraceServiceRequest has the same fields
	if err == nil {
		err = proto.Unmarshal(body, &data)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		c.t.Errorf("a delivery to %s: %v", r.URL, err)
	}
	c.headers = r.Header
	if c.refusals > 0 {
		c.refusals--
		http.Error(w, "not now", http.StatusBadRequest)
		return
	}
	for _, of := range data.ResourceSpans {
		c.resource = of.Resource.Attributes
		for _, scope := range of.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// named returns the spans of a name that have been delivered.
func (c *collector) named(name string) (spans []*tracepb.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			spans = append(spans, s)
		}
	}
	return spans
}

// attributeOf returns an attribute as text, "" if there is none.
func attributeOf(attributes []*commonpb.KeyValue, key string) string {
	for _, a := range attributes {
		if a.Key != key {
			continue
		}
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			return v.StringValue
		case *commonpb.AnyValue_IntValue:
			return fmt.Sprint(v.IntValue)
		case *commonpb.AnyValue_ArrayValue:
			var all []string
			for _, one := range v.ArrayValue.Values {
				all = append(all, one.GetStringValue())
			}
			return strings.Join(all, " ")
		}
	}
	return ""
}

// parentOf is the header that names a span.
func parentOf(s *tracepb.Span) string { return fmt.Sprintf("00-%x-%x-01", s.TraceId, s.SpanId) }

// traced makes a record one of a producer's trace, of which n is a part.
func traced(r *kgo.Record, n int) *kgo.Record {
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: traceParentHeader, Value: fmt.Appendf(nil, "00-%032x-%016x-01", 0xabc000+n, 0xdef000+n)},
		kgo.RecordHeader{Key: traceStateHeader, Value: []byte("shop=basket")})
	return r
}

// isTraced reports whether a span is a child of the one that traced has given a record.
func isTraced(s *tracepb.Span, n int) bool {
	return hex.EncodeToString(s.TraceId) == fmt.Sprintf("%032x", 0xabc000+n) && hex.EncodeToString(s.ParentSpanId) == fmt.Sprintf("%016x", 0xdef000+n)
}

// tellOf is what the tests of traces read: orders of ann, whose producer traces them, and of bob, whose does not; a record that is none; and the silence after them.
func (c *cluster) tellOf(s *Settings) {
	c.t.Helper()
	c.produce(
		traced(c.event(s, operators.Event{Kind: operators.OrderCompleted, Customer: "ann", ID: "a1", OrderID: "a1", Time: instant(c.t, "2024-01-01T10:00:00Z"), Amount: 2500}), 1),
		traced(c.event(s, operators.Event{Kind: operators.OrderCompleted, Customer: "ann", ID: "a2", OrderID: "a2", Time: instant(c.t, "2024-01-08T10:00:00Z"), Amount: 2500}), 2),
		c.event(s, operators.Event{Kind: operators.OrderCompleted, Customer: "bob", ID: "b1", OrderID: "b1", Time: instant(c.t, "2024-01-08T10:00:00Z"), Amount: 2500}),
		traced(&kgo.Record{Topic: s.Input.Topic, Key: []byte("ann"), Value: []byte("none")}, 3),
	)
	c.mark(s, "2024-12-31T00:00:00Z")
}

// TestTraces: a transaction is a span with its steps, partitions, counts and outcome, linked to the spans of producers whose records were read in it; each of these records is a span of its producer's trace.
// An output names the span of the record that made it, or the transaction's if silence made it or a record without a trace. A restore is a span.
func TestTraces(t *testing.T) {
	c, to := newCluster(t), newCollector(t)
	s := c.application(2)
	s.Tracing.Endpoint = to.url
	c.publish(&s)
	c.tellOf(&s)
	p := c.run(s)
	c.await(&s, p)
	p.end() // delivers what is left

	if got := attributeOf(to.resource, "service.name"); got != s.Group {
		t.Errorf("service.name is %q, not the group", got)
	}
	if got := attributeOf(to.resource, "service.instance.id"); got != "one" {
		t.Errorf("service.instance.id is %q", got)
	}
	known := make(map[string]string) // the spans that records name: whose they are
	var records, outputs, deadLetters int
	links := make(map[string]bool)
	for _, s := range to.named(transactionSpan) {
		known[parentOf(s)] = transactionSpan
		if got := attributeOf(s.Attributes, "lull.outcome"); got != committed || s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			t.Errorf("the outcome of a transaction is %q, its status %v", got, s.Status)
		}
		if attributeOf(s.Attributes, "lull.partitions") == "" {
			t.Error("a transaction has no partitions")
		}
		for key, sum := range map[string]*int{"messaging.batch.message_count": &records, "lull.outputs": &outputs, "lull.dead_letters": &deadLetters} {
			n := 0
			if _, err := fmt.Sscan(attributeOf(s.Attributes, key), &n); err != nil {
				t.Errorf("%s: %v", key, err)
			}
			*sum += n
		}
		for _, l := range s.Links {
			links[hex.EncodeToString(l.SpanId)] = true
		}
		for _, step := range []string{readSpan, applySpan, sweepSpan, produceSpan, commitSpan} {
			if !slices.ContainsFunc(to.named(step), func(of *tracepb.Span) bool { return string(of.ParentSpanId) == string(s.SpanId) }) {
				t.Errorf("a transaction has no step %s", step)
			}
		}
	}
	events := to.named(eventSpan)
	if len(events) != 3 || len(links) != 3 {
		t.Fatalf("%d records are spans, and %d linked, not 3", len(events), len(links))
	}
	for n := 1; n <= 3; n++ {
		i := slices.IndexFunc(events, func(s *tracepb.Span) bool { return isTraced(s, n) })
		if i < 0 {
			t.Fatalf("record %d has no span in its producer's trace", n)
		}
		if len(events[i].Links) != 1 || known[fmt.Sprintf("00-%x-%x-01", events[i].Links[0].TraceId, events[i].Links[0].SpanId)] != transactionSpan {
			t.Errorf("the span of record %d is not linked to a transaction", n)
		}
		known[parentOf(events[i])] = fmt.Sprint("record ", n)
	}

	contract := readContract(t, &s)
	made, total := make(map[string]int), 0
	for _, topic := range []string{ScoresTopic, SegmentsTopic, SessionsTopic, TriggersTopic, DeadLettersTopic} {
		for _, r := range c.read(s.Topic(topic)) {
			by, ok := known[headerOf(r, traceParentHeader)]
			if !ok {
				t.Errorf("a record of %s names no span, or one that was not delivered: %q", topic, headerOf(r, traceParentHeader))
			}
			if state := headerOf(r, traceStateHeader); (state == "shop=basket") == (by == transactionSpan) {
				t.Errorf("a record of %s by %s has the trace state %q", topic, by, state)
			}
			if topic == SessionsTopic {
				if why := contract.differs(topic, "Session", r); why != "" {
					t.Errorf("the AsyncAPI document does not tell of a record of %s: %s", topic, why)
				}
			}
			maker := map[string]string{"ann 2024-01-01T10:00:00.000Z": "record 1", "ann 2024-01-08T10:00:00.000Z": "record 2", "bob 2024-01-08T10:00:00.000Z": transactionSpan}
			if want := maker[headerOf(r, "ce_subject")+" "+headerOf(r, "ce_time")]; want != "" && want != by && topic != SessionsTopic {
				t.Errorf("a record of %s of what %s did at %s is by %s, want %s", topic, headerOf(r, "ce_subject"), headerOf(r, "ce_time"), by, want)
			}
			made[topic+" by "+by]++
			total++
		}
	}
	for _, want := range []string{"segments by record 1", "segments by record 2", "dead-letters by record 3", "triggers by transaction", "sessions by transaction", "segments by transaction"} {
		if made[want] == 0 {
			t.Errorf("there is nothing of %s: %v", want, made)
		}
	}
	for _, no := range []string{"triggers by record 1", "triggers by record 2"} {
		if made[no] > 0 {
			t.Errorf("%s: it was silence", no)
		}
	}
	if outputs+deadLetters != total || deadLetters != 1 || records < 6 {
		t.Errorf("transactions of %d records, %d outputs and %d dead letters; there are %d", records, outputs, deadLetters, total)
	}
	if restores := to.named(restoreSpan); len(restores) < 2 || attributeOf(restores[0].Attributes, "lull.outcome") != restored {
		t.Errorf("%d restores: %v", len(restores), restores)
	}
}

// TestTracesChangeNothing: what is told is the same with traces and without, and without them no record names a span, though its event does.
func TestTracesChangeNothing(t *testing.T) {
	c, to := newCluster(t), newCollector(t)
	var digests []string
	input := ""
	for _, endpoint := range []string{"", to.url} {
		s := c.application(2)
		s.Tracing.Endpoint = endpoint
		c.publish(&s)
		if input == "" {
			input = s.Input.Topic
			c.tellOf(&s)
		}
		s.Input.Topic = input
		p := c.run(s)
		c.await(&s, p)
		p.end()
		digests = append(digests, c.digest(&s))
		for _, topic := range []string{ScoresTopic, SegmentsTopic, SessionsTopic, TriggersTopic, DeadLettersTopic, ChangelogTopic} {
			for _, r := range c.read(s.Topic(topic)) {
				if headerOf(r, traceParentHeader) != "" && (endpoint == "" || topic == ChangelogTopic) {
					t.Errorf("a record of %s names a span", topic)
				}
			}
		}
	}
	if digests[0] != digests[1] {
		t.Error("what is told is not the same")
	}
}

// TestNoTracesCostNothing: where nothing is traced, what is done for traces in each cycle, and for each record and output, allocates nothing.
func TestNoTracesCostNothing(t *testing.T) {
	s := DefaultSettings()
	r, p := &Runner{s: &s}, new(partition)
	record := traced(&kgo.Record{}, 1)
	output, records := operators.Output{Cause: operators.Cause{Kind: operators.EventInput}}, []*kgo.Record{{}}
	began := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		r.cycling.begin()
		r.cycling.step(applySpan, began)
		r.passTrace(record, records[0])
		r.cycling.start(r)
		p.signOutput(&output, records)
		r.cycling.sign(&s, records)
		r.cycling.produced(r)
		r.cycling.end(r, nil)
	}); n != 0 || len(records[0].Headers) > 0 {
		t.Errorf("%v allocations, headers %v", n, records[0].Headers)
	}
}

// TestTracedOutcomes: a transaction that did not commit says so, what is known of it, and why; so do the spans of its records, which are applied again.
func TestTracedOutcomes(t *testing.T) {
	for _, v := range []struct {
		name  string
		fault kfake.Fault
		want  string
	}{
		{"not written", kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidTxnState, Count: 1}, aborted},
		{"offsets not taken", kfake.Fault{Keys: []kmsg.Key{kmsg.AddOffsetsToTxn}, Err: kerr.InvalidProducerEpoch, TopLevel: true, Count: 1}, aborted},
		{"no answer to the commit", kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError, TopLevel: true, Count: 1}, unknown},
	} {
		t.Run(v.name, func(t *testing.T) {
			fake, c := embedded(t)
			to := newCollector(t)
			s := c.application(1)
			s.Tracing.Endpoint = to.url
			c.publish(&s)
			c.claimed(s)
			c.tellOf(&s)
			if v.fault.Keys[0] == kmsg.Produce {
				v.fault.Topic = s.Topic(ChangelogTopic)
			} else {
				v.fault.TxnID = s.transactionalID()
			}
			fault := fake.Fault(v.fault)
			p := c.run(s)
			c.await(&s, p)
			p.end()
			if fault.Hits() == 0 {
				t.Fatal("the fault was never met")
			}
			outcomes := make(map[string]int)
			for _, s := range to.named(transactionSpan) {
				outcome := attributeOf(s.Attributes, "lull.outcome")
				outcomes[outcome]++
				if failed := s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR; failed == (outcome == committed) || failed && s.Status.GetMessage() == "" {
					t.Errorf("outcome %s, status %v", outcome, s.Status)
				}
			}
			if outcomes[v.want] != 1 || outcomes[committed] == 0 || len(outcomes) != 2 {
				t.Errorf("outcomes %v, want one %s", outcomes, v.want)
			}
			events := make(map[string]int)
			for _, s := range to.named(eventSpan) {
				events[attributeOf(s.Attributes, "lull.outcome")]++
			}
			if events[committed] != 3 || len(events) > 2 || events[aborted]+events[unknown] != events[v.want] {
				t.Errorf("outcomes of records %v", events)
			}
		})
	}
}

// TestTracesOfStages: the trace of a record goes with its event through the topic events, and what the task makes of it names a span of that trace. Marks of time have none.
func TestTracesOfStages(t *testing.T) {
	c, to := newCluster(t), newCollector(t)
	s := c.staged()
	s.Tracing.Endpoint = to.url
	c.publish(&s)
	records := []*kgo.Record{
		c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: "ann", ID: "a1", OrderID: "a1", Time: instant(t, "2024-01-01T10:00:00Z"), Amount: 2500}),
		c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: "bob", ID: "b1", OrderID: "b1", Time: instant(t, "2024-01-01T10:00:00Z"), Amount: 2500}),
	}
	traced(records[0], 1)
	c.produce(c.scatter(&s, records)...)
	c.produce(&kgo.Record{Topic: records[0].Topic, Value: []byte("none")})
	c.mark(&s, "2024-12-31T00:00:00Z")
	p := c.run(s)
	c.await(&s, p)
	p.end()
	for _, r := range c.read(s.Topic(EventsTopic)) {
		want := ""
		if string(r.Key) == "ann" {
			want = headerOf(records[0], traceParentHeader)
		}
		if got := headerOf(r, traceParentHeader); got != want {
			t.Errorf("a record of %q in the topic events names the span %q, want %q", r.Key, got, want)
		}
	}
	events := to.named(eventSpan)
	if len(events) != 1 || !isTraced(events[0], 1) {
		t.Fatalf("%d records are spans, not the one", len(events))
	}
	if !slices.ContainsFunc(c.read(s.Topic(SegmentsTopic)), func(r *kgo.Record) bool { return headerOf(r, traceParentHeader) == parentOf(events[0]) }) {
		t.Error("no segment names the span of its event")
	}
	linked, made := 0, make(map[string]bool)
	for _, s := range to.named(transactionSpan) {
		linked += len(s.Links)
		made[parentOf(s)] = true
	}
	if letters := c.read(s.Topic(DeadLettersTopic)); len(letters) != 1 || !made[headerOf(letters[0], traceParentHeader)] {
		t.Errorf("%d dead letters, which name no transaction", len(letters))
	}
	if linked != 2 {
		t.Errorf("%d links of transactions to the record's span: that which passed it on and that which applied it were to have one", linked)
	}
}

// TestTracesAreBounded: of more records with a trace of their own than one transaction has room for, it counts those that it left out, and their outputs name the transaction. With a sample of next to none
// no transaction is a span, but records are whose producers trace them.
func TestTracesAreBounded(t *testing.T) {
	c, to := newCluster(t), newCollector(t)
	s := c.application(1)
	s.Tracing.Endpoint, s.Tracing.Sample = to.url, 1e-15
	c.publish(&s)
	var records []*kgo.Record
	for i := range 3 * linksMax {
		id := fmt.Sprint(i)
		records = append(records, traced(c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: id, ID: id, OrderID: id, Time: instant(t, "2024-01-01T10:00:00Z"), Amount: 2500}), i))
	}
	c.produce(records...)
	s.Commit.Interval = time.Second // all are read at once
	p := c.run(s)
	c.await(&s, p)
	p.end()
	if len(to.named(transactionSpan)) > 0 || len(to.named(applySpan)) > 0 {
		t.Error("a transaction is a span")
	}
	if n := len(to.named(eventSpan)); n < linksMax || n > 3*linksMax {
		t.Errorf("%d records are spans", n)
	}

	var cycling cycle
	for i := range linksMax + 2 {
		if ok := cycling.link(callerOf(records[i])); ok != (i < linksMax) {
			t.Fatalf("record %d has room: %v", i, ok)
		}
	}
	if len(cycling.links) != linksMax || cycling.beyond != 2 {
		t.Errorf("%d links, %d left out", len(cycling.links), cycling.beyond)
	}
}

// TestCollectorFails: that spans cannot be delivered is said once, and once that they can again; it holds nothing up. Headers are those of the environment, and neither they nor what is wrong with them are shown.
func TestCollectorFails(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret-word,other-secret")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "team")
	c, to := newCluster(t), newCollector(t)
	to.refusals = 3
	s := c.application(1)
	s.Commit.Interval = 10 * time.Millisecond
	s.Tracing.Endpoint = to.url
	c.publish(&s)
	p := c.run(s)
	const again = "spans are delivered again"
	for i := 0; !strings.Contains(p.log.String(), again); i++ {
		c.purchases(&s, i, 1)
		c.await(&s, p)
	}
	p.end()
	log := p.log.String()
	for _, once := range []string{"spans cannot be delivered to tracing.endpoint, " + to.url, again, "is not as it must be, and passed over: parse headers", "OTEL_RESOURCE_ATTRIBUTES is not as it must be"} {
		if n := strings.Count(log, once); n != 1 {
			t.Errorf("%q stands %d times in the log:\n%s", once, n, log)
		}
	}
	if strings.Contains(log, "secret") {
		t.Errorf("a secret is in the log:\n%s", log)
	}
	if got := to.headers.Get("Authorization"); got != "Bearer secret-word" {
		t.Errorf("the header Authorization is %q", got)
	}
}

// TestCollectorHangs: a process ends though nobody takes its last spans. It would not if it waited for them.
func TestCollectorHangs(t *testing.T) {
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-ended }))
	defer server.Close()
	defer close(ended)
	c := newCluster(t)
	s := c.application(1)
	s.Tracing.Endpoint = server.URL
	c.publish(&s)
	p := c.run(s)
	c.purchases(&s, 0, 3)
	c.await(&s, p)
	p.end()
	if log := p.log.String(); !strings.Contains(log, "the last spans were not delivered") {
		t.Errorf("the log does not say so:\n%s", log)
	}
}

// TestTracingSettings: an endpoint is a URL without a login, and a login is not shown.
func TestTracingSettings(t *testing.T) {
	for _, v := range []struct {
		endpoint string
		sample   float64
		want     string
	}{
		{"", 1, ""},
		{"https://collector:4318/base", 0.001, ""},
		{"collector:4318", 1, `tracing.endpoint is "collector:4318": it must be the URL`},
		{"http://", 1, `tracing.endpoint is "http://": it must be the URL`},
		{"https://me:hush@collector", 1, `tracing.endpoint is one with an "@", "?" or "#": it must be the URL`},
		{"https://collector?key=hush", 1, `tracing.endpoint is one with an "@", "?" or "#": it must be the URL`},
		{"", 1.1, "tracing.sample is 1.1: it must be above 0 and at most 1"},
		{"", nan(), "tracing.sample is NaN: it must be above 0 and at most 1"},
	} {
		s := DefaultSettings()
		s.Group, s.Input.Topic, s.Tracing = "lull", "events", TracingSettings{v.endpoint, v.sample}
		err := s.Validate()
		if got := fmt.Sprint(err); v.want == "" && err != nil || !strings.Contains(got, v.want) || strings.Contains(got, "hush") {
			t.Errorf("%v: %v, want %q", s.Tracing, err, v.want)
		}
	}
}
