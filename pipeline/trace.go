package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"lull/operators"
	"lull/pipeline/task"
)

// The names of the spans. Those of the steps of a transaction are its children.
const (
	transactionSpan = "transaction"
	readSpan        = "read"
	applySpan       = "apply"
	sweepSpan       = "sweep"
	produceSpan     = "produce"
	commitSpan      = "commit"
	eventSpan       = "event"
	restoreSpan     = "restore"
)

// The headers of the W3C's Trace Context, by which a record names the span that made it.
const (
	traceParentHeader = "traceparent"
	traceStateHeader  = "tracestate"
)

const (
	// linksMax is how many records with a trace of their own one transaction is linked to, and has spans of.
	linksMax = 128
	// stepsMax is of how many steps a transaction has spans. A slow input is polled often.
	stepsMax = 64
	// traceStateMax is the longest list of vendors' that is passed on, in bytes: as long as the specification asks for.
	traceStateMax = 512
)

// What is known of a transaction when its span ends.
const (
	committed = "committed"
	aborted   = "aborted" // or will be: nobody has asked for the commit
	unknown   = "unknown" // the brokers have not said whether they did as asked
)

// What became of a restore.
const (
	restored  = "restored"
	brokenOff = "broken off"
)

// outcomeOf returns what is known of a transaction of the producer whose commit returned err.
func outcomeOf(err error, of *producer) string {
	switch {
	case err == nil:
		return committed
	case of.asked:
		return unknown
	}
	return aborted
}

// cycle notes what the cycle under way does, for the span of its transaction. In a process that is not traced it is nil: nothing is noted.
type cycle struct {
	tracer trace.Tracer

	began time.Time
	steps []step

	mu     sync.Mutex // guards what follows: partitions work side by side
	links  []trace.Link
	beyond int // records with a trace of their own that there was no room for

	span trace.Span // of the transaction, as long as one is under way
	ctx  context.Context
}

// step is a part of a cycle.
type step struct {
	name         string
	began, ended time.Time
}

// begin begins a cycle. What was noted of one without a transaction is forgotten.
func (c *cycle) begin() {
	if c != nil {
		c.began, c.steps, c.links, c.beyond = time.Now(), c.steps[:0], nil, 0
	}
}

// step notes what was done since an instant.
func (c *cycle) step(name string, began time.Time) {
	if c != nil && len(c.steps) < stepsMax {
		c.steps = append(c.steps, step{name, began, time.Now()})
	}
}

// link notes a record with a trace of its own that has been taken in the transaction under way; ok is false if there is no room for it.
func (c *cycle) link(caller trace.SpanContext) (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.links) == linksMax {
		c.beyond++
		return false
	}
	c.links = append(c.links, trace.Link{SpanContext: caller})
	return true
}

// start begins the span of the transaction with what has been applied.
func (c *cycle) start(r *Runner) {
	if c == nil {
		return
	}
	var partitions []string
	records := 0
	for _, p := range r.changedReaders() {
		records += p.stats.taken
		partitions = append(partitions, fmt.Sprintf("%s/%d", p.topic, p.n))
	}
	slices.Sort(partitions)
	c.ctx, c.span = c.tracer.Start(context.Background(), transactionSpan, trace.WithTimestamp(c.began), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(c.links...), trace.WithAttributes(
		semconv.MessagingSystemKafka, semconv.MessagingOperationTypeProcess, semconv.MessagingConsumerGroupName(r.s.Group), semconv.MessagingBatchMessageCount(records),
		attribute.StringSlice("lull.partitions", partitions[:min(len(partitions), linksMax)]), attribute.Int("lull.partitions_count", len(partitions)), attribute.Int("lull.links_left_out", c.beyond)))
}

// produced notes what has been produced.
func (c *cycle) produced(r *Runner) {
	if c == nil {
		return
	}
	outputs, deadLetters, passedOn := 0, 0, 0
	for _, p := range r.changedReaders() {
		passedOn += p.stats.passedOn
		for _, n := range p.stats.outputs {
			outputs += n
		}
		for _, n := range p.stats.deadLetters {
			deadLetters += n
		}
	}
	c.span.SetAttributes(attribute.Int("lull.outputs", outputs), attribute.Int("lull.dead_letters", deadLetters), attribute.Int("lull.passed_on", passedOn))
}

// end ends the span of the transaction whose commit returned err, and those of the records that were applied in it.
func (c *cycle) end(r *Runner, err error) {
	if c == nil {
		return
	}
	outcome := outcomeOf(err, r.producer)
	for _, s := range c.steps {
		_, span := c.tracer.Start(c.ctx, s.name, trace.WithTimestamp(s.began))
		span.End(trace.WithTimestamp(s.ended))
	}
	endSpan(c.span, outcome, err)
	for _, p := range r.active() {
		p.endEvents(c.span.SpanContext(), outcome, err)
	}
	c.span, c.ctx = nil, nil
}

func endSpan(span trace.Span, outcome string, err error) {
	span.SetAttributes(attribute.String("lull.outcome", outcome))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// sign names the transaction's span in those records that name no other. Of the topic events none does: what is passed on has the trace of its event, or none.
func (c *cycle) sign(s *Settings, records []*kgo.Record) {
	if c == nil || !c.span.SpanContext().IsSampled() {
		return
	}
	headers, events := traceHeaders(c.span.SpanContext()), s.Topic(EventsTopic)
	for _, r := range records {
		if r.Topic != events && !slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == traceParentHeader }) {
			r.Headers = append(r.Headers, headers...)
		}
	}
}

// eventName is what outputs name an event by.
type eventName struct{ customer, id string }

// applyTraced is applyRecord, and makes a span of what it does if the record has a trace of its own.
func (p *partition) applyTraced(r *Runner, record *kgo.Record, b *task.Budget) (finished bool, err error) {
	if r.cycling == nil {
		return p.applyRecord(r, record, b)
	}
	caller := callerOf(record)
	if !caller.IsSampled() || record.Offset < p.task.Meta().Position {
		return p.applyRecord(r, record, b)
	}
	began, applied, records := time.Now(), p.stats.applied, len(p.records)
	finished, err = p.applyRecord(r, record, b)
	if err != nil || !finished || !r.cycling.link(caller) {
		return finished, err
	}
	_, span := r.tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), caller), eventSpan, trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		semconv.MessagingSystemKafka, semconv.MessagingOperationTypeProcess, semconv.MessagingConsumerGroupName(r.s.Group),
		semconv.MessagingDestinationName(record.Topic), semconv.MessagingDestinationPartitionID(fmt.Sprint(record.Partition)), semconv.MessagingKafkaOffset(int(record.Offset))))
	p.spans = append(p.spans, span)
	if p.stats.applied > applied { // and is no repetition
		if p.makers == nil {
			p.makers = make(map[eventName]trace.SpanContext)
		}
		p.makers[eventName{p.event.Customer, p.event.ID}] = span.SpanContext()
	}
	for _, letter := range p.records[records:] {
		letter.Headers = append(letter.Headers, traceHeaders(span.SpanContext())...)
	}
	return finished, nil
}

// signOutput names, in the record of an output, the span of the event that made it. What silence made has no such event.
func (p *partition) signOutput(o *operators.Output, records []*kgo.Record) {
	if len(p.makers) == 0 || o.Cause.Kind != operators.EventInput {
		return
	}
	maker, ok := p.makers[eventName{o.Customer, o.Cause.EventID}]
	if !ok {
		return
	}
	for _, r := range records {
		r.Headers = append(r.Headers, traceHeaders(maker)...)
	}
}

// errForgotten is why the span of an event failed whose transaction was broken off before its end.
//
//lull:unread it stands in spans alone
var errForgotten = errors.New("the transaction was broken off: the event is read and applied again")

// endEvents ends the spans of the records that were applied in a transaction.
func (p *partition) endEvents(transaction trace.SpanContext, outcome string, err error) {
	for _, span := range p.spans {
		span.AddLink(trace.Link{SpanContext: transaction})
		endSpan(span, outcome, err)
	}
	clear(p.spans)
	clear(p.makers)
	p.spans = p.spans[:0]
}

// passTrace passes the trace of a record on with what a feed makes of it.
func (r *Runner) passTrace(record, relay *kgo.Record) {
	if r.cycling == nil {
		return
	}
	if caller := callerOf(record); caller.IsSampled() {
		relay.Headers = append(relay.Headers, traceHeaders(caller)...)
		r.cycling.link(caller)
	}
}

// traceRestore begins the span of a restore, which end ends.
func (r *Runner) traceRestore(p *partition, rs *restore) (end func()) {
	_, span := r.tracer.Start(context.Background(), restoreSpan, trace.WithAttributes(
		semconv.MessagingSystemKafka, semconv.MessagingDestinationName(r.s.Topic(ChangelogTopic)), semconv.MessagingDestinationPartitionID(fmt.Sprint(p.n))))
	return func() {
		reading, _ := rs.progress()
		span.SetAttributes(attribute.Int64("lull.offsets", reading.next-reading.from), attribute.Int64("lull.bytes", reading.bytes))
		outcome := restored
		if rs.err != nil {
			outcome = brokenOff
		}
		endSpan(span, outcome, rs.err)
	}
}

// changedReaders returns what the transaction under way has something of, in no order.
func (r *Runner) changedReaders() (list []*reader) {
	for _, p := range r.active() {
		if p.task.Changed() {
			list = append(list, &p.reader)
		}
	}
	for _, f := range r.activeFeeds() {
		if f.Changed() {
			list = append(list, &f.reader)
		}
	}
	return list
}

// callerOf returns the span that a record names as the one that made it; without one it is not sampled.
func callerOf(record *kgo.Record) trace.SpanContext {
	if !slices.ContainsFunc(record.Headers, func(h kgo.RecordHeader) bool { return h.Key == traceParentHeader }) {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), (*headerCarrier)(&record.Headers)))
}

// traceHeaders returns the headers that name a span.
func traceHeaders(span trace.SpanContext) (headers []kgo.RecordHeader) {
	propagation.TraceContext{}.Inject(trace.ContextWithSpanContext(context.Background(), span), (*headerCarrier)(&headers))
	return headers
}

// headerCarrier are a record's headers, for package propagation.
type headerCarrier []kgo.RecordHeader

// Get implements propagation.TextMapCarrier.
func (c *headerCarrier) Get(key string) string {
	for _, h := range *c {
		if h.Key == key && (key != traceStateHeader || len(h.Value) <= traceStateMax) {
			return string(h.Value)
		}
	}
	return ""
}

// Set implements propagation.TextMapCarrier.
func (c *headerCarrier) Set(key, value string) {
	*c = append(*c, kgo.RecordHeader{Key: key, Value: []byte(value)})
}

// Keys implements propagation.TextMapCarrier.
func (c *headerCarrier) Keys() (keys []string) {
	for _, h := range *c {
		keys = append(keys, h.Key)
	}
	return keys
}
