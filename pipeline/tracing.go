package pipeline

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace/noop"
)

// spansFlushedIn is how long the end of a process waits for the delivery of the spans that it has not delivered yet.
const spansFlushedIn = 5 * time.Second

// startTracing lets the process tell what it does in spans, if tracing.endpoint says whom. stop delivers those that are left, in bounded time.
func (r *Runner) startTracing() (stop func(), err error) {
	if r.s.Tracing.Endpoint == "" {
		r.tracer = noop.NewTracerProvider().Tracer("")
		return func() {}, nil
	}
	provider, err := newTracerProvider(r.ctx, r.s, r.log)
	if err != nil {
		return nil, fmt.Errorf("beginning to trace: %w", err)
	}
	r.tracer = provider.Tracer("lull")
	r.cycling = &cycle{tracer: r.tracer}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), spansFlushedIn)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			r.log.Warn().Err(err).Msg("the last spans were not delivered")
		}
	}, nil
}

func newTracerProvider(ctx context.Context, s *Settings, log zerolog.Logger) (*sdktrace.TracerProvider, error) {
	// Both are the program's, not the provider's: what is wrong with an environment variable is told there alone.
	otel.SetLogger(logr.New(&sdkLog{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn().Err(err).Msg("tracing") }))
	of, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(s.Group), semconv.ServiceInstanceID(s.Instance), semconv.ServiceVersion(Version())),
		resource.WithFromEnv(), // the last one holds
	)
	if err != nil { // of is what could be read
		log.Warn().Err(err).Msg("tracing: OTEL_RESOURCE_ATTRIBUTES is not as it must be: name=value,name=value")
	}
	to, err := url.Parse(s.Tracing.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("tracing.endpoint: %w", err)
	}
	// Headers, certificates, compression and the time that a delivery may take are those of the environment: OTEL_EXPORTER_OTLP_HEADERS and the like.
	otlp, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(to.JoinPath("v1", "traces").String()))
	if err != nil {
		return nil, fmt.Errorf("making the exporter: %w", err)
	}
	return sdktrace.NewTracerProvider(
		sdktrace.WithResource(of),
		sdktrace.WithSampler(sdktrace.ParentBased(sampler{sdktrace.TraceIDRatioBased(s.Tracing.Sample)})),
		sdktrace.WithBatcher(&exporter{SpanExporter: otlp, to: s.Tracing.Endpoint, log: log}),
	), nil
}

// sampler takes the share tracing.sample of the transactions, and of all else everything: restores are rare.
type sampler struct{ sdktrace.Sampler }

// ShouldSample implements sdktrace.Sampler.
func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if p.Name == transactionSpan {
		return s.Sampler.ShouldSample(p)
	}
	return sdktrace.AlwaysSample().ShouldSample(p)
}

// exporter delivers spans, and says once that it cannot, and once that it can again. What was not delivered is dropped.
type exporter struct {
	sdktrace.SpanExporter
	to      string
	log     zerolog.Logger
	failing bool
}

// ExportSpans implements sdktrace.SpanExporter. It is not called concurrently.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && !e.failing:
		e.log.Warn().Err(err).Msgf("spans cannot be delivered to tracing.endpoint, %s: they are dropped until they can. All else goes on", e.to)
	case err == nil && e.failing:
		e.log.Info().Msg("spans are delivered again")
	}
	e.failing = err != nil
	return nil
}

// sdkLog takes what OpenTelemetry complains of, which is how its environment variables are set. Their values stand beside the message, and are left out: they may be secret.
type sdkLog struct{ log zerolog.Logger }

// Init implements logr.LogSink.
func (*sdkLog) Init(logr.RuntimeInfo) {}

// Enabled implements logr.LogSink.
func (*sdkLog) Enabled(int) bool { return false }

// Info implements logr.LogSink.
func (*sdkLog) Info(int, string, ...any) {}

// Error implements logr.LogSink.
func (l *sdkLog) Error(_ error, msg string, _ ...any) {
	l.log.Warn().Msgf("tracing: an environment variable OTEL_... is not as it must be, and passed over: %s", msg)
}

// WithValues implements logr.LogSink.
func (l *sdkLog) WithValues(...any) logr.LogSink { return l }

// WithName implements logr.LogSink.
func (l *sdkLog) WithName(string) logr.LogSink { return l }

// checkTracing shows no endpoint in which there may be a login.
func (s *Settings) checkTracing(p *problems) {
	u, err := url.Parse(s.Tracing.Endpoint)
	const rule = "the URL of a receiver of OTLP over HTTP without a login, such as http://localhost:4318; headers with a login are set by OTEL_EXPORTER_OTLP_HEADERS"
	if strings.ContainsAny(s.Tracing.Endpoint, "@?#") {
		p.check(false, "tracing.endpoint", `one with an "@", "?" or "#"`, rule)
	} else {
		p.check(s.Tracing.Endpoint == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "", "tracing.endpoint", quoted(s.Tracing.Endpoint), rule)
	}
	p.check(s.Tracing.Sample > 0 && s.Tracing.Sample <= 1, "tracing.sample", s.Tracing.Sample, "above 0 and at most 1, such as 0.1 for every tenth transaction")
}
