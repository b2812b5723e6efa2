package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/twmb/avro"

	"lull/operators"
)

// localTime is a date and time of day without a zone, in the units of time.Time as if it were UTC's: milliseconds since 1970.
type localTime int64

// localTypes keep the logical types that name no instant apart from those that do.
var localTypes = []avro.SchemaOpt{
	localType("date", func(n int64) int64 { return n * operators.DayMs }),
	localType("local-timestamp-millis", func(n int64) int64 { return n }),
	localType("local-timestamp-micros", func(n int64) int64 { return n / 1000 }),
	localType("local-timestamp-nanos", func(n int64) int64 { return n / 1_000_000 }),
}

func localType(name string, toMs func(int64) int64) avro.SchemaOpt {
	return avro.CustomType{LogicalType: name, Decode: func(v any, _ *avro.SchemaNode) (any, error) {
		switch v := v.(type) {
		case int32:
			return localTime(toMs(int64(v))), nil
		case int64:
			return localTime(toMs(v)), nil
		}
		return nil, avro.ErrSkipCustomType
	}}
}

// parseForeign compiles a schema that is not ours; references are those whose types it names. mapped says that values are read for a mapping, which knows
// instants; else they become events, whose times are plain numbers.
func parseForeign(schema string, references []string, mapped bool) (*avro.Schema, error) {
	opts := []avro.SchemaOpt{plainInstants}
	if mapped {
		opts = localTypes
	}
	if len(references) == 0 {
		return avro.Parse(schema, opts...)
	}
	var cache avro.SchemaCache
	for _, reference := range references {
		if _, err := cache.Parse(reference, opts...); err != nil {
			return nil, fmt.Errorf("a schema that it refers to: %w", err)
		}
	}
	return cache.Parse(schema, opts...)
}

// resolve returns the schema that reads what one schema has written as another has it.
func resolve(writer, reader *avro.Schema) (*avro.Schema, error) {
	if err := sameUnits(writer.Root(), reader.Root(), "", pathDepthMax); err != nil {
		return nil, err
	}
	return avro.Resolve(writer, reader)
}

// sameUnits returns an error if an instant would be read in another unit than it is written in: to Avro both are plain numbers.
func sameUnits(writer, reader *avro.SchemaNode, path string, depth int) error {
	if depth == 0 {
		return nil
	}
	for i := range writer.Branches {
		if err := sameUnits(&writer.Branches[i], reader, path, depth-1); err != nil {
			return err
		}
	}
	for i := range reader.Branches {
		if err := sameUnits(writer, &reader.Branches[i], path, depth-1); err != nil {
			return err
		}
	}
	if w, r := writer.LogicalType, reader.LogicalType; w != r && strings.Contains(w, "timestamp-") && strings.Contains(r, "timestamp-") {
		return fmt.Errorf("field %s: it is written as %s and read as %s", path, w, r)
	}
	for i := range reader.Fields {
		r := &reader.Fields[i]
		for j := range writer.Fields {
			if w := &writer.Fields[j]; w.Name == r.Name || slices.Contains(r.Aliases, w.Name) {
				if err := sameUnits(&w.Type, &r.Type, strings.TrimPrefix(path+"."+r.Name, "."), depth-1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// avroReader reads events by a schema that gives those of event.avsc.
type avroReader struct{ schema *avro.Schema }

func (a *avroReader) read(r *Source, into *eventSlots) *operators.Rejection {
	return readEvent(a.schema, r.Value, into)
}

// readEvent reads an event without framing. Its texts are parts of the value.
func readEvent(schema *avro.Schema, value []byte, into *eventSlots) *operators.Rejection {
	into.open()
	rest, err := schema.Decode(value, &into.wireEvent, aliasInput)
	if err != nil {
		return undecodable(value, err)
	}
	if len(rest) > 0 {
		return reject(ReasonTrailingBytes, "%d of %d bytes follow the event", len(rest), len(value))
	}
	return nil
}

// writerSchemas are the schemas of a registry's ids, made ready to be read by.
type writerSchemas struct {
	input *Input
	ready map[uint32]writerSchema
}

// writerSchema is what is known of an id: the schema to decode with, or why records of it are refused.
type writerSchema struct {
	schema  *avro.Schema
	refusal *operators.Rejection
}

// writerSchemasMax is how many ids are kept ready at once. A producer has one, or a few while it is being replaced.
const writerSchemasMax = 1000

// wireBytes is the length of the wire format's prefix: a zero byte, and the id.
const wireBytes = 5

// open returns the schema of a value in the wire format, and the value without its prefix.
func (w *writerSchemas) open(value []byte) (*avro.Schema, []byte, *operators.Rejection) {
	if len(value) < wireBytes || value[0] != 0 {
		return nil, nil, reject(ReasonNoSchemaID, "the value of %d bytes does not begin with a zero byte and the 4 bytes of a schema's id", len(value))
	}
	id := binary.BigEndian.Uint32(value[1:])
	if id > math.MaxInt32 { // no registry gives such an id, and some answer for it as for a wrong address, which would be waited out
		return nil, nil, reject(ReasonSchemaUnknown, "the registry knows no schema with the id %d: ids are at most %d", id, math.MaxInt32)
	}
	known, ok := w.ready[id]
	if !ok {
		var keep bool
		if known, keep = w.make(id); keep {
			if len(w.ready) >= writerSchemasMax || w.ready == nil {
				w.ready = make(map[uint32]writerSchema)
			}
			w.ready[id] = known
		}
	}
	return known.schema, value[wireBytes:], known.refusal
}

// make makes the schema of an id ready. keep is false if another answer may come later.
func (w *writerSchemas) make(id uint32) (known writerSchema, keep bool) {
	refused := func(reason, format string, args ...any) writerSchema {
		return writerSchema{refusal: reject(reason, format, args...)}
	}
	written, err := w.input.writers.Writer(id)
	switch {
	case errors.Is(err, ErrWriterAwaited):
		return writerSchema{refusal: &operators.Rejection{Reason: ReasonSchemaAwaited, Detail: fmt.Sprintf("schema %d (%v)", id, err)}}, false
	case errors.Is(err, ErrWriterUnknown):
		return refused(ReasonSchemaUnknown, "the schema with the id %d: %v", id, err), false
	case err != nil:
		return refused(ReasonSchemaUnavailable, "schema %d: %v", id, err), false
	}
	schema, err := w.input.readerOf(written)
	if err != nil {
		return refused(ReasonSchemaUnusable, "records of schema %d cannot be read as those that are expected (%s)", id, avroCause(err)), true
	}
	return writerSchema{schema: schema}, true
}

// resolvedReader reads events in the wire format.
type resolvedReader struct{ schemas *writerSchemas }

func (a *resolvedReader) read(r *Source, into *eventSlots) *operators.Rejection {
	schema, value, refusal := a.schemas.open(r.Value)
	if refusal != nil {
		return refusal
	}
	return readEvent(schema, value, into)
}

// registryDocument reads Avro in the wire format for a mapping.
type registryDocument struct{ schemas *writerSchemas }

func (d *registryDocument) read(value []byte, at *places, into found) *operators.Rejection {
	schema, value, refusal := d.schemas.open(value)
	if refusal != nil {
		return refusal
	}
	return readAvro(schema, value, at, into)
}
