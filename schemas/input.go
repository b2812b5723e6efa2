package schemas

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/avro"

	"lull/operators"
)

// Format says how the values of the input's records are written.
type Format uint8

// The formats.
const (
	OwnAvro      Format = iota // event.avsc, without any framing
	RegistryAvro               // a zero byte, the schema's id in 4 bytes, then Avro by that schema (Confluent's wire format)
	FixedAvro                  // Avro by one schema, without framing
	SegmentJSON                // JSON by the Segment specification
	JSON                       // JSON of any shape
	CSV                        // one row of CSV, without a header
	formatsEnd
)

var formatNames = [formatsEnd]string{"avro", "registry-avro", "avro-schema", "segment-json", "json", "csv"}

// FormatNames are the formats' names, as settings have them.
func FormatNames() []string { return formatNames[:] }

// String returns the format's name, such as "segment-json", or "" for a number that is no format.
func (f Format) String() string {
	if f >= formatsEnd {
		return ""
	}
	return formatNames[f]
}

// FormatNamed returns the format with this name; ok is false if there is none.
func FormatNamed(name string) (f Format, ok bool) {
	for f := range formatsEnd {
		if formatNames[f] == name {
			return f, true
		}
	}
	return 0, false
}

// Writers knows the schemas that records were written with. It is safe for concurrent use.
type Writers interface {
	// Writer returns the schema with this id. It does not wait: the error is ErrWriterAwaited as long as it is asked for, ErrWriterUnknown if there is none,
	// and else why it is not to be had.
	Writer(id uint32) (WriterSchema, error)
}

// WriterSchema is a schema as a registry has it.
type WriterSchema struct {
	Schema     string
	References []string // the schemas whose types Schema names, each before those that name its types
}

var (
	// ErrWriterAwaited says that a schema has been asked for and is not there yet.
	ErrWriterAwaited = errors.New("the schema is awaited")
	// ErrWriterUnknown says that the registry has no schema with this id, or lacks one that it refers to.
	ErrWriterUnknown = errors.New("the registry does not know it")
)

// Input says how the records of the input are written and how they become events. The zero value is event.avsc. It does not change and may be shared.
type Input struct {
	Format Format
	// mapping says how fields become events; nil if the records are such by event.avsc.
	mapping *Mapping
	// reader is the schema that is read by: of FixedAvro that of the records, of RegistryAvro the one that the writers' are resolved to for the mapping, nil if
	// it is each writer's own.
	reader *avro.Schema
	// writers are the writers' schemas of RegistryAvro.
	writers Writers
}

//go:embed segment.yaml
var segmentMapping []byte

// SegmentMapping returns the mapping file that SegmentJSON stands for.
func SegmentMapping() []byte { return segmentMapping }

// NewInput returns the input of a format. schema is the text of an Avro schema and mapping one of ParseMapping, each only where the format takes it: "" and nil
// are none. writers are for RegistryAvro. The error says what is missing, or too much, by the names of settings, which begin with that of their section.
func NewInput(section string, format Format, schema string, mapping *Mapping, writers Writers) (Input, error) {
	wrong := func(text string, args ...any) (Input, error) {
		return Input{}, errors.New(strings.ReplaceAll(fmt.Sprintf(text, args...), "SECTION", section))
	}
	in := Input{Format: format, mapping: mapping, writers: writers}
	takesSchema := format == RegistryAvro || format == FixedAvro
	switch {
	case format >= formatsEnd:
		return wrong("SECTION.format: there is no format %d", format)
	case schema != "" && !takesSchema:
		return wrong("SECTION.schema is set, and SECTION.format %s has no use for it: leave it out, or set SECTION.format to avro-schema or registry-avro", format)
	case schema != "" && format == RegistryAvro && mapping == nil:
		return wrong("SECTION.schema is set without SECTION.mapping: records of SECTION.format %s that need no mapping are resolved to event.avsc, and no other schema", format)
	case schema == "" && format == FixedAvro:
		return wrong("SECTION.schema is missing: SECTION.format %s needs the file with the schema that the records are written with", format)
	case mapping != nil && (format == OwnAvro || format == SegmentJSON):
		hint := "records by event.avsc need none; SECTION.format avro-schema reads others"
		if format == SegmentJSON {
			hint = "it stands for one: to change it, save what `lull mapping show` prints, and use that with SECTION.format json"
		}
		return wrong("SECTION.mapping is set, and SECTION.format %s takes none: %s", format, hint)
	case mapping == nil && (format == JSON || format == CSV):
		return wrong("SECTION.mapping is missing: SECTION.format %s needs the file that says which field is what (docs/formats/mapping.md)", format)
	}
	if format == SegmentJSON {
		var err error
		if in.mapping, err = ParseMapping(segmentMapping); err != nil {
			return Input{}, fmt.Errorf("the mapping of segment-json: %w", err)
		}
	}
	if in.mapping != nil {
		if err := in.mapping.fits(format); err != nil {
			return Input{}, err
		}
	}
	if schema == "" {
		return in, nil
	}
	var err error
	if in.reader, err = parseForeign(schema, nil, in.mapping != nil); err != nil {
		return wrong("SECTION.schema holds no schema of Avro (%s): it must be the JSON text of one", strings.TrimPrefix(err.Error(), "avro: "))
	}
	if in.mapping == nil {
		if _, err := resolve(in.reader, compiled[Events]); err != nil {
			return wrong("SECTION.schema: it cannot be read as event.avsc (%s): name a mapping by SECTION.mapping", avroCause(err))
		}
	}
	return in, nil
}

// Mapping returns the mapping by which fields become events; nil if there is none.
func (in *Input) Mapping() *Mapping { return in.mapping }

// valueReader reads a record's value into slots, or says why it cannot. What it sets points into the value or into memory of its own, until the next call.
type valueReader interface {
	read(r *Source, into *eventSlots) *operators.Rejection
}

// newReader returns the reader of an input's values.
func (in *Input) newReader() valueReader {
	switch in.Format {
	case RegistryAvro:
		writers := &writerSchemas{input: in}
		if in.mapping == nil {
			return &resolvedReader{writers}
		}
		return newMappedReader(in.mapping, &registryDocument{writers})
	case FixedAvro:
		if in.mapping == nil {
			schema, err := resolve(in.reader, compiled[Events])
			if err != nil {
				panic(fmt.Errorf("resolving a schema that was found compatible: %w", err))
			}
			return &avroReader{schema}
		}
		return newMappedReader(in.mapping, &avroDocument{in.reader})
	case SegmentJSON, JSON:
		return newMappedReader(in.mapping, jsonDocument{})
	case CSV:
		return newMappedReader(in.mapping, newCSVDocument(in.mapping))
	}
	return &avroReader{compiled[Events]}
}
