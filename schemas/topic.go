package schemas

import (
	"embed"
	"fmt"
	"sync"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/avro"

	"lull/operators"
)

// Topic says what the records of a topic are, and with that which schema their values have.
type Topic uint8

// The topics that have a schema.
const (
	Events Topic = iota + 1
	Sessions
	Scores
	Segments
	Triggers
	DeadLetters
	Models
	Statistics
	Fits
	Redrives
	Offers
	QualityCounts
	topicsEnd
)

var topicNames = [topicsEnd]string{
	Events: "events", Sessions: "sessions", Scores: "scores", Segments: "segments", Triggers: "triggers", DeadLetters: "dead-letters", Models: "models",
	Statistics: "statistics", Fits: "fits", Redrives: "redrives", Offers: "offers", QualityCounts: "quality",
}

// String returns the topic's name without the prefix, such as "dead-letters".
func (t Topic) String() string {
	if t >= topicsEnd {
		return ""
	}
	return topicNames[t]
}

// TopicNamed returns the topic with this name without the prefix; ok is false if there is none.
func TopicNamed(name string) (t Topic, ok bool) {
	for t := Events; t < topicsEnd; t++ {
		if topicNames[t] == name {
			return t, true
		}
	}
	return 0, false
}

// Schema returns the Avro schema of the topic's values, as JSON.
func (t Topic) Schema() string { return compiled[t].String() }

// TopicOf returns the topic that outputs of this kind go to.
func TopicOf(kind operators.OutputKind) Topic {
	switch kind {
	case operators.SessionOutput:
		return Sessions
	case operators.ScoreOutput:
		return Scores
	case operators.SegmentOutput:
		return Segments
	case operators.TriggerOutput:
		return Triggers
	case operators.OfferOutput:
		return Offers
	case operators.RejectOutput:
		return DeadLetters
	}
	return 0
}

// Header is a header of a Kafka record.
type Header struct {
	Key   string
	Value []byte // nil is null
}

// Source is a record as it was read.
type Source struct {
	Topic     string
	Partition int32
	Offset    int64
	// AppendTime is the record's Kafka timestamp; negative if it has none. Unless the topic has the brokers' time (LogAppendTime) it is what the producer
	// claims.
	AppendTime operators.EventTime
	// ReadTime is the wall instant at which the record was read, where time is the wall clock's and AppendTime a claim; else 0. No record is appended later,
	// but the clock of who reads may be slow: what lies ahead of it is doubted, not changed.
	ReadTime   operators.EventTime
	Key, Value []byte // nil is null
	Headers    []Header
}

// Record is a record to be produced.
type Record struct {
	Topic      Topic
	Key, Value []byte // nil is null
	Headers    []Header
}

//go:embed *.avsc
var files embed.FS

var schemaFiles = [topicsEnd]string{
	Events: "event.avsc", Sessions: "session.avsc", Scores: "score.avsc", Segments: "segment.avsc", Triggers: "trigger.avsc",
	DeadLetters: "dead_letter.avsc", Models: "model.avsc", Statistics: "statistics.avsc", Fits: "fit.avsc",
	Redrives: "redrive.avsc", Offers: "offer.avsc", QualityCounts: "quality.avsc",
}

// plainInstants makes instants plain numbers to github.com/twmb/avro: that is what we make of them, and it is faster.
var plainInstants = avro.CustomType{LogicalType: "timestamp-millis", AvroType: "long"}

// compiled are the schemas for github.com/twmb/avro.
var compiled = func() (schemas [topicsEnd]*avro.Schema) {
	for t := Events; t < topicsEnd; t++ {
		text, err := files.ReadFile(schemaFiles[t])
		if err != nil {
			panic(err)
		}
		schemas[t] = avro.MustParse(string(text), plainInstants)
	}
	return schemas
}()

// aliasInput makes decoded texts and bytes parts of the input: whoever decodes so keeps nothing of it.
var aliasInput = avro.AliasInput()

// goavroCodecs are the schemas for github.com/linkedin/goavro, which most processes never need.
var goavroCodecs = sync.OnceValue(func() (codecs [topicsEnd]*goavro.Codec) {
	for t := Events; t < topicsEnd; t++ {
		codec, err := goavro.NewCodec(t.Schema())
		if err != nil {
			panic(fmt.Errorf("compiling %s: %w", schemaFiles[t], err))
		}
		codecs[t] = codec
	}
	return codecs
})
