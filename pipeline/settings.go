package pipeline

import (
	"strings"
	"time"

	"lull/operators/trigger"
	"lull/pipeline/registry"
	"lull/pipeline/security"
	"lull/schemas"
)

// Settings configure one application of lull: what a lull.yaml holds. EnsureDefaults takes the zero value of a field for one that has not been set; who
// can tell the two apart begins with DefaultSettings. The tag path marks what names a file that is read: set in a file of settings, it begins in that file's folder.
type Settings struct {
	// Brokers are the Kafka brokers to begin with, as host:port. The default is localhost:9092.
	Brokers []string `koanf:"brokers"`
	// Prefix begins the name of every topic that lull owns. It is the application's id: two applications never share one. The default is "lull.".
	Prefix string `koanf:"prefix"`
	// Group is the consumer group. The default is the prefix without its last dot.
	Group string `koanf:"group"`
	// Instance names this process in its group, stable over restarts and unique (static membership, KIP-345). It is required by run.
	Instance string `koanf:"instance"`

	Input InputSettings `koanf:"input"`
	// Inputs are the input topics, by name, where there are several, or one that is not keyed by customer: their events go through the topic "events" of lull's own,
	// which is. Each has a format, and a mapping and a schema where that takes them, as under input; input.topic, input.format, input.mapping and input.schema are
	// left out then. Only a file can hold it. The default is none.
	Inputs    map[string]TopicInput `koanf:"inputs"`
	State     StateSettings         `koanf:"state"`
	HTTP      HTTPSettings          `koanf:"http"`
	Commit    CommitSettings        `koanf:"commit"`
	Clock     ClockSettings         `koanf:"clock"`
	Calendar  CalendarSettings      `koanf:"calendar"`
	Session   SessionSettings       `koanf:"session"`
	Money     MoneySettings         `koanf:"money"`
	Scores    ScoresSettings        `koanf:"scores"`
	Risk      RiskSettings          `koanf:"risk"`
	Segments  SegmentSettings       `koanf:"segments"`
	Triggers  TriggerSettings       `koanf:"triggers"`
	Offers    OfferSettings         `koanf:"offers"`
	Fit       FitSettings           `koanf:"fit"`
	Snapshots SnapshotSettings      `koanf:"snapshots"`
	Limits    LimitSettings         `koanf:"limits"`
	Topics    TopicSettings         `koanf:"topics"`
	Outputs   OutputSettings        `koanf:"outputs"`
	Tracing   TracingSettings       `koanf:"tracing"`

	// Registry says where the schema registry is, for registry-avro.
	Registry registry.Settings `koanf:"registry"`

	// Security says how the brokers' ports are secured.
	Security security.Settings `koanf:"security"`

	// OnDataLoss says what a task does whose input has lost records: "stop" (the default) waits for an operator; "continue" goes on at the
	// log's start if they had not been read, and where the log was cut off if they had: what was applied stays counted.
	OnDataLoss string `koanf:"on_data_loss"`
	// OnStop says what becomes of the process's membership when it is told to stop: "stay" (the default): the group waits for it for
	// commit.session_timeout, and a restart has its partitions back at once; or "leave": the others have them at once, for a process that does not
	// come back.
	OnStop string `koanf:"on_stop"`
	// OnOffsetMismatch says which to follow if the state and the group disagree about the position: "refuse" (the default) neither,
	// "state" the state, "group" the group's offset. "rebuild" follows none: it forgets the state, and reads all of the input again. It does so
	// too if the input was re-created or settings that shape the state have changed.
	OnOffsetMismatch string `koanf:"on_offset_mismatch"`
	// LogLevel is debug, info, warn or error. The default is info.
	LogLevel string `koanf:"log_level"`

	rules *trigger.Rules // of Triggers.Rules, once it has been read
}

// InputSettings configure the input.
type InputSettings struct {
	// Topic holds the events, keyed by customer. It is required, unless there are inputs.
	Topic string `koanf:"topic"`
	// Format is how its values are written: "avro" (the default): by lull's event.avsc, without framing; "registry-avro": Avro in the wire format of a schema
	// registry; "avro-schema": Avro by one schema, without framing; "segment-json": calls of the Segment specification; "json"; or "csv".
	Format string `koanf:"format"`
	// Mapping is the file that says which of a record's fields become which of an event's (docs/formats/mapping.md). json and csv need it, registry-avro and
	// avro-schema unless their records are events by event.avsc. A relative path begins in the folder of the file of settings that it stands in; by flag or environment, in the
	// working directory. The default is none.
	Mapping string `koanf:"mapping" path:"read"`
	// Schema is the file with the Avro schema that records are read by: for avro-schema the one that they are written with, for registry-avro with a mapping
	// the one that the writers' schemas are resolved to. A relative path is as in mapping. The default is none.
	Schema string `koanf:"schema" path:"read"`
	// FutureDated says what becomes of an event dated later than its append time + clock.max_skew: "clamp" (the default) to the append time, or "dead-letter".
	FutureDated string `koanf:"future_dated"`
	// Late says what becomes of an event older than the watermark that is no fact: "dead-letter" (the default) or "drop".
	Late string `koanf:"late"`
}

// TopicInput says how the values of one of several input topics are written, as the settings of these names under input do.
type TopicInput struct {
	Format  string `koanf:"format"`
	Mapping string `koanf:"mapping" path:"read"`
	Schema  string `koanf:"schema" path:"read"`
}

// StateSettings configure the store.
type StateSettings struct {
	// Dir is the folder of the store. The default is ./lull-state.
	Dir string `koanf:"dir"`
	// Keep is how long the state of a revoked partition stays on disk. The default is 1h.
	Keep time.Duration `koanf:"keep"`
	// FlushBytes, FlushBehind and FlushEvery bound what a restart must read again: committed writes not yet in the store, changelog bytes not yet in
	// the store, and the time between flushes. Restores gather up to twice FlushBytes in memory. The defaults are 64 MiB, 128 MiB and 30s.
	FlushBytes  int64         `koanf:"flush_bytes"`
	FlushBehind int64         `koanf:"flush_behind"`
	FlushEvery  time.Duration `koanf:"flush_every"`
	// CacheBytes is the size of the store's block cache. The default is 256 MiB.
	CacheBytes int64 `koanf:"cache_bytes"`
	// CachedCustomers is how many customers are kept decoded in each partition. The default is 20,000.
	CachedCustomers int `koanf:"cached_customers"`
}

// HTTPSettings configure the listener for probes, metrics and the read API.
type HTTPSettings struct {
	// Listen is the address. The default is 127.0.0.1:8280.
	Listen string `koanf:"listen"`
	// Advertise is the address, as host:port, at which the other processes of the group reach this one's http.listen: they pass questions of the read API on to who has the customer's partition. With
	// http.tls.cert_file it is asked by https, and its host must be in the certificate. The default is "": they cannot, and answer 421 for what they do not have.
	Advertise string `koanf:"advertise"`
	// Tokens are those that clients of the read API show, separated by spaces or lines, given by the environment alone: LULL_HTTP_TOKENS.
	Tokens security.Secret `koanf:"tokens"`
	// TokensFile holds the tokens, one on each line, at least 32 bytes long; it is read again when it changes. Beyond this machine the read API answers only who shows one of them, or a certificate by
	// http.tls.client_ca_file; all processes of the group have the same. The default is none.
	TokensFile string `koanf:"tokens_file" path:"read"`
	// Rate is how many requests of the read API are answered a second, those that other processes pass on among them. The default is 100.
	Rate int `koanf:"rate"`
	// Timeout is how long an answer of the read API may take, with all that it waits for. The default is 10s.
	Timeout time.Duration `koanf:"timeout"`
	// TLS says how what is served at http.listen is encrypted, and which clients' certificates are trusted.
	TLS security.ListenerTLS `koanf:"tls"`
	// Debug is the address of profiles (/debug/pprof/) and of the log's level (/log-level), such as 127.0.0.1:6060. It must be of this machine alone: whoever reaches it can read memory. The
	// default is "": neither is served.
	Debug string `koanf:"debug"`
}

// CommitSettings configure transactions.
type CommitSettings struct {
	// Interval is the time that one transaction collects records for. The default is 100ms.
	Interval time.Duration `koanf:"interval"`
	// Timeout is how long Kafka lets a transaction of a dead process stand. The default is 10s.
	Timeout time.Duration `koanf:"timeout"`
	// Outputs is how many outputs one partition makes in a transaction before deadlines wait for the next. The default is 10,000.
	Outputs int `koanf:"outputs"`
	// Records is how many records are polled at once. The default is 10,000.
	Records int `koanf:"records"`
	// SessionTimeout is the group's: how long a dead process keeps its partitions. The default is 45s.
	SessionTimeout time.Duration `koanf:"session_timeout"`
}

// ClockSettings say how time passes.
type ClockSettings struct {
	// Mode is "wall" (the default): a task at the end of its partition follows the wall clock; or "event": time moves by events and time marks only.
	Mode string `koanf:"mode"`
	// Lateness is how far the watermark stays behind the highest event time. The default is 10m.
	Lateness time.Duration `koanf:"lateness"`
	// MaxSkew is how far ahead of its append time an event may be dated. The default is 5m.
	MaxSkew time.Duration `koanf:"max_skew"`
	// MaxJump is how far fewer than three customers can move time forward by their events. The default is 168h.
	MaxJump time.Duration `koanf:"max_jump"`
	// MaxStep is how far the wall clock may be ahead of all that the input confirms at start, before it is held. The default is 24h.
	MaxStep time.Duration `koanf:"max_step"`
	// Interval is how often a task asks whether it is at the end of its partition. The default is 1s.
	Interval time.Duration `koanf:"interval"`
	// SourceMaxSilence is how long the whole input topic may be silent before the clock holds; 0, the default, is the larger of 30 minutes and
	// three times the longest gap of seven days. One that has never had a record is waited for as long.
	SourceMaxSilence time.Duration `koanf:"source_max_silence"`
	// SourceSettle is how long records must have come in time again before a held clock goes on. The default is 5m.
	SourceSettle time.Duration `koanf:"source_settle"`
}

// CalendarSettings say what a day is.
type CalendarSettings struct {
	// Timezone is an IANA time zone. The default is UTC.
	Timezone string `koanf:"timezone"`
}

// SessionSettings say what a session is.
type SessionSettings struct {
	// Gap is the inactivity that ends a session. The default is 30m.
	Gap time.Duration `koanf:"gap"`
}

// MoneySettings say what money is worth.
type MoneySettings struct {
	// Currency is the base currency that all amounts are converted to, an ISO 4217 code. The default is USD.
	Currency string `koanf:"currency"`
	// Rates are the other currencies' values in the base currency, as decimal numbers: {EUR: "1.08"}. Others are dead letters.
	Rates map[string]string `koanf:"rates"`
	// Margin is the share of an order's value that is kept, above 0 and at most 1. The default is 1.
	Margin float64 `koanf:"margin"`
}

// ScoresSettings say what is predicted.
type ScoresSettings struct {
	// Levels are the values of P(alive) at whose crossing a silent customer is scored again, falling; an empty list is none. The default is
	// 0.9, 0.8 ... 0.1.
	Levels []float64 `koanf:"levels"`
	// HorizonMonths is how far CLV and expected purchases look ahead, in months of 30.4375 days. The default is 12.
	HorizonMonths int `koanf:"horizon_months"`
	// Discount is the discount rate a month; 0 is none. The default is 0.01.
	Discount float64 `koanf:"discount"`
	// ContactDays is the contact horizon: how far "value about to be lost" looks ahead. The default is 30.
	ContactDays int `koanf:"contact_days"`
}

// RiskSettings say when churn risk is high, for segments and triggers alike.
type RiskSettings struct {
	// High is the risk from which it is high. The default is 0.7.
	High float64 `koanf:"high"`
	// Back is the risk under which it is low again. The default is 0.6.
	Back float64 `koanf:"back"`
}

// SegmentSettings configure segments.
type SegmentSettings struct {
	// Dwell is how long a customer stays in a quadrant at least, so that nobody goes back and forth. The default is 24h.
	Dwell time.Duration `koanf:"dwell"`
	// ValueBack is the share of the model's cut under which the CLV of who is in a quadrant of high value is low again; 1 is at the cut. The default is 0.8.
	ValueBack float64 `koanf:"value_back"`
	// Dormant is the churn risk from which a customer counts as dormant, above risk.high. The default is 0.85.
	Dormant float64 `koanf:"dormant"`
	// Lost is the churn risk from which a customer counts as lost, above segments.dormant. The default is 0.95.
	Lost float64 `koanf:"lost"`
}

// TriggerSettings configure triggers.
type TriggerSettings struct {
	// MaxAge is how old a deadline may be to be acted on. The default is 24h.
	MaxAge time.Duration `koanf:"max_age"`
	// Rules is the file with the rules (docs/triggers.md). A relative path is as in input.mapping. The default is none: the rules that `lull triggers defaults` prints.
	Rules string `koanf:"rules" path:"read"`
}

// OfferSettings bound what may be offered to a customer to keep them (docs/offers.md).
type OfferSettings struct {
	// Share is the part of what retention would save, of its 10 % point, that an offer may cost. The default is 0.3.
	Share float64 `koanf:"share"`
	// Cap is the most that may be offered to anybody, in major units of money.currency; 0, the default, is no cap.
	Cap float64 `koanf:"cap"`
}

// FitSettings say how models are fitted to the customers.
type FitSettings struct {
	// Mode is "auto" (the default): one process of the group fits a model when there is none, every fit.every, when the one in force no longer tells what
	// happens, and when asked to by lull fit; "demand": only when asked to; or "off": not in this process.
	Mode string `koanf:"mode"`
	// Family is the model of purchases: "mbgnbd" (the default), "bgnbd", or "auto": the likelier of the two.
	Family string `koanf:"family"`
	// Every is how long after a fit the next is due. The default is 168h.
	Every time.Duration `koanf:"every"`
	// CheckEvery is how often the model in force is held against what has happened since. The default is 24h.
	CheckEvery time.Duration `koanf:"check_every"`
	// HoldoutWeeks is how many of the last weeks a new model is tried on, fitted without them, before it may replace another. With little history they are a
	// third of it. The default is 13.
	HoldoutWeeks int `koanf:"holdout_weeks"`
	// StatisticsEvery is how often the tasks tell what has changed in the statistics that models are fitted to. The default is 1m.
	StatisticsEvery time.Duration `koanf:"statistics_every"`
}

// SnapshotSettings say when snapshots of all customers are taken (docs/snapshots.md), and where they go. They shape no state.
type SnapshotSettings struct {
	// Every is how long after the newest the next is due: one process of the group takes it, beside its work. 0, the default, is never.
	Every time.Duration `koanf:"every"`
	// Out is the folder, or the URL of a bucket, that all processes of the group write to; no two applications do to the same. It is required with snapshots.every. The default is none.
	Out string `koanf:"out"`
	// Keep is how many snapshots are kept, the newest; 0, the default, is all.
	Keep int `koanf:"keep"`
	// KeepFor is how long after it was written a snapshot is kept; the newest always is. 0, the default, is for ever.
	KeepFor time.Duration `koanf:"keep_for"`
}

// LimitSettings bound what an input can grow.
type LimitSettings struct {
	// ValueBytes is the longest value of an input record. The default is 1 MiB.
	ValueBytes int `koanf:"value_bytes"`
	// HeaderBytes is the longest that the headers of an input record may be together. The default is 64 KiB.
	HeaderBytes int `koanf:"header_bytes"`
	// IDBytes is the longest id: of a message, customer, order, refund or subject. The default is 256.
	IDBytes int `koanf:"id_bytes"`
	// NameBytes is the longest name of a page, screen or tracked event. The default is 512.
	NameBytes int `koanf:"name_bytes"`
	// ProofBytes is the longest proof of a consent. The default is 1,024.
	ProofBytes int `koanf:"proof_bytes"`
	// MessageIDs is how many message ids are kept of a customer, of events up to an hour of event time behind the watermark. The default is 128.
	MessageIDs int `koanf:"message_ids"`
	// OpenSessions is how many sessions of a customer may be open at once. The default is 8.
	OpenSessions int `koanf:"open_sessions"`
	// Orders is how many orders of a customer are kept. The default is 100,000.
	Orders int `koanf:"orders"`
	// Refunds is how many refunds of one order are kept. The default is 32.
	Refunds int `koanf:"refunds"`
	// Purposes is of how many purposes a customer's consent is kept, given or withdrawn. The default is 16.
	Purposes int `koanf:"purposes"`
}

// TopicSettings are what lull's own topics are created with.
type TopicSettings struct {
	// Partitions of the output topics. The changelog always has as many as the input. The default is 8.
	Partitions int `koanf:"partitions"`
	// Replication of every topic; 0, the default, is the brokers' own.
	Replication int `koanf:"replication"`
	// Retention is how long sessions, segments, triggers and offers stay readable at least. The default is 168h.
	Retention time.Duration `koanf:"retention"`
	// DeadLetterRetention is how long dead letters stay, which hold events as they came, and can be driven again meanwhile. The default is 168h.
	DeadLetterRetention time.Duration `koanf:"dead_letter_retention"`
	// CompactionLag is how long what has been replaced or deleted may lie in a compacted topic, at most: personal data that was erased among it. The default is 168h.
	CompactionLag time.Duration `koanf:"compaction_lag"`
}

// OutputSettings say how what is told of customers is written, for those who subscribe to it. They shape no state: each record names its format in the header content-type, and
// after a change a topic holds both.
type OutputSettings struct {
	// Sessions, Scores, Segments, Triggers and Offers are the formats of these topics: "avro" (the default): by the schema in schemas/, without framing; "registry-avro": the same in the
	// wire format of a schema registry, behind the schema's id; or "json": the same fields as one JSON object.
	Sessions string `koanf:"sessions"`
	Scores   string `koanf:"scores"`
	Segments string `koanf:"segments"`
	Triggers string `koanf:"triggers"`
	Offers   string `koanf:"offers"`
	// Subjects says what the schemas are called in the registry: "topic" (the default): lull.scores-value; or "record": lull.Score.
	Subjects string `koanf:"subjects"`
	// OnUnregistered says what becomes of a schema of registry-avro that the registry does not have: "register" (the default): it is put there at start; or "refuse": the start
	// waits until somebody has done so, as lull schemas register does.
	OnUnregistered string `koanf:"on_unregistered"`
}

// TracingSettings say who is told, span by span, what the process does (docs/operating/observing.md#traces). They shape no state.
type TracingSettings struct {
	// Endpoint is the URL of a receiver of OTLP over HTTP, such as http://localhost:4318; /v1/traces is appended to it. Headers, certificates and the like are set as OpenTelemetry has
	// it, by OTEL_EXPORTER_OTLP_HEADERS and its other environment variables. The default is "": nothing is traced, and records name no span.
	Endpoint string `koanf:"endpoint"`
	// Sample is which share of the transactions is traced, above 0 and at most 1. Restores, and records whose producer traces them, always are. The default is 1.
	Sample float64 `koanf:"sample"`
}

// formats returns the topics' formats.
func (o *OutputSettings) formats() map[schemas.Topic]schemas.Format {
	formats := make(map[schemas.Topic]schemas.Format)
	for topic, name := range map[schemas.Topic]string{schemas.Sessions: o.Sessions, schemas.Scores: o.Scores, schemas.Segments: o.Segments, schemas.Triggers: o.Triggers, schemas.Offers: o.Offers} {
		formats[topic], _ = schemas.FormatNamed(name) // Validate has refused what is none
	}
	return formats
}

// defaultTo sets an unset field.
func defaultTo[T comparable](field *T, value T) {
	var unset T
	if *field == unset {
		*field = value
	}
}

// DefaultSettings returns what holds where nothing is set. The group is left out, because it follows from the prefix: see EnsureGroup.
func DefaultSettings() Settings {
	var s Settings
	s.EnsureDefaults()
	s.Group = ""
	return s
}

// EnsureGroup sets the group, if there is none, to what follows from the prefix.
func (s *Settings) EnsureGroup() { defaultTo(&s.Group, strings.TrimRight(s.Prefix, ".-_")) }

// EnsureDefaults fills the fields that are unset.
func (s *Settings) EnsureDefaults() {
	if len(s.Brokers) == 0 {
		s.Brokers = []string{"localhost:9092"}
	}
	defaultTo(&s.Prefix, "lull.")
	s.EnsureGroup()
	defaultTo(&s.Input.Format, "avro")
	defaultTo(&s.Input.FutureDated, "clamp")
	defaultTo(&s.Input.Late, "dead-letter")
	s.Registry.EnsureDefaults()
	defaultTo(&s.State.Dir, "lull-state")
	defaultTo(&s.State.Keep, time.Hour)
	defaultTo(&s.State.FlushBytes, 64<<20)
	defaultTo(&s.State.FlushBehind, 128<<20)
	defaultTo(&s.State.FlushEvery, 30*time.Second)
	defaultTo(&s.State.CacheBytes, 256<<20)
	defaultTo(&s.State.CachedCustomers, 20_000)
	defaultTo(&s.HTTP.Listen, "127.0.0.1:8280")
	defaultTo(&s.HTTP.Rate, 100)
	defaultTo(&s.HTTP.Timeout, 10*time.Second)
	defaultTo(&s.Commit.Interval, 100*time.Millisecond)
	defaultTo(&s.Commit.Timeout, 10*time.Second)
	defaultTo(&s.Commit.Outputs, 10_000)
	defaultTo(&s.Commit.Records, 10_000)
	defaultTo(&s.Commit.SessionTimeout, 45*time.Second)
	defaultTo(&s.Clock.Mode, "wall")
	defaultTo(&s.Clock.Lateness, 10*time.Minute)
	defaultTo(&s.Clock.MaxSkew, 5*time.Minute)
	defaultTo(&s.Clock.MaxJump, 7*24*time.Hour)
	defaultTo(&s.Clock.MaxStep, 24*time.Hour)
	defaultTo(&s.Clock.Interval, time.Second)
	defaultTo(&s.Clock.SourceSettle, 5*time.Minute)
	defaultTo(&s.Calendar.Timezone, "UTC")
	defaultTo(&s.Session.Gap, 30*time.Minute)
	defaultTo(&s.Money.Currency, "USD")
	defaultTo(&s.Money.Margin, 1)
	if len(s.Scores.Levels) == 0 {
		s.Scores.Levels = []float64{0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1}
	}
	defaultTo(&s.Scores.HorizonMonths, 12)
	defaultTo(&s.Scores.Discount, 0.01)
	defaultTo(&s.Scores.ContactDays, 30)
	defaultTo(&s.Risk.High, 0.7)
	defaultTo(&s.Risk.Back, 0.6)
	defaultTo(&s.Segments.Dwell, 24*time.Hour)
	defaultTo(&s.Segments.ValueBack, 0.8)
	defaultTo(&s.Segments.Dormant, 0.85)
	defaultTo(&s.Segments.Lost, 0.95)
	defaultTo(&s.Triggers.MaxAge, 24*time.Hour)
	defaultTo(&s.Offers.Share, 0.3)
	defaultTo(&s.Fit.Mode, "auto")
	defaultTo(&s.Fit.Family, "mbgnbd")
	defaultTo(&s.Fit.Every, 7*24*time.Hour)
	defaultTo(&s.Fit.CheckEvery, 24*time.Hour)
	defaultTo(&s.Fit.HoldoutWeeks, 13)
	defaultTo(&s.Fit.StatisticsEvery, time.Minute)
	defaultTo(&s.Limits.ValueBytes, 1<<20)
	defaultTo(&s.Limits.HeaderBytes, 64<<10)
	defaultTo(&s.Limits.IDBytes, 256)
	defaultTo(&s.Limits.NameBytes, 512)
	defaultTo(&s.Limits.ProofBytes, 1024)
	defaultTo(&s.Limits.MessageIDs, 128)
	defaultTo(&s.Limits.OpenSessions, 8)
	defaultTo(&s.Limits.Orders, 100_000)
	defaultTo(&s.Limits.Refunds, 32)
	defaultTo(&s.Limits.Purposes, 16)
	defaultTo(&s.Topics.Partitions, 8)
	s.Security.EnsureDefaults()
	defaultTo(&s.Topics.Retention, 7*24*time.Hour)
	defaultTo(&s.Topics.DeadLetterRetention, 7*24*time.Hour)
	defaultTo(&s.Topics.CompactionLag, 7*24*time.Hour)
	for _, format := range []*string{&s.Outputs.Sessions, &s.Outputs.Scores, &s.Outputs.Segments, &s.Outputs.Triggers, &s.Outputs.Offers} {
		defaultTo(format, schemas.OwnAvro.String())
	}
	defaultTo(&s.Outputs.Subjects, "topic")
	defaultTo(&s.Outputs.OnUnregistered, "register")
	defaultTo(&s.Tracing.Sample, 1)
	defaultTo(&s.OnStop, "stay")
	defaultTo(&s.OnDataLoss, "stop")
	defaultTo(&s.OnOffsetMismatch, "refuse")
	defaultTo(&s.LogLevel, "info")
}
