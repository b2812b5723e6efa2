package snapshot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	parquetzstd "github.com/parquet-go/parquet-go/compress/zstd"

	"lull/operators"
	"lull/schemas"
)

// Column is a column of a table.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
	Doc      string `json:"doc"`
}

// How many rows a file's group has: what is held in memory before it is written, some 40 MB of customers. Outputs have texts, and may take 2 KB each.
const (
	rowGroupRows    = 100_000
	outputGroupRows = 20_000
)

// kind is one of the tables that there are.
type kind struct {
	name    string
	topic   schemas.Topic // of outputs that its rows are; the zero topic of no outputs
	columns []Column
	write   func(ctx context.Context, w io.Writer, from *source, options []parquet.WriterOption) (rows int64, err error)
}

// kinds are the tables that a snapshot can have, in the order in which they are written.
var kinds = []kind{
	kindOf("customers", 0, (*source).customers),
	kindOf("orders", 0, (*source).orders),
	kindOf("sessions", schemas.Sessions, (*source).sessions),
	kindOf("segment_changes", schemas.Segments, (*source).segmentChanges),
	kindOf("triggers", schemas.Triggers, (*source).triggers),
	kindOf("models", 0, (*source).models),
	kindOf(QualityTable, 0, (*source).dataQuality),
}

// QualityTable is the name of the table that is made of the state and of the quality topic.
const QualityTable = "data_quality"

// writeRows is how many rows are handed to the file at once: it looks at all columns for each time, and at their values for each row.
const writeRows = 256

// kindOf returns the table of rows of type R, which each hands over in their order. What a row points to must not change afterwards.
func kindOf[R any](name string, topic schemas.Topic, each func(from *source, write func(*R) error) error) kind {
	return kind{name, topic, columnsOf(reflect.TypeFor[R]()), func(ctx context.Context, w io.Writer, from *source, options []parquet.WriterOption) (rows int64, err error) {
		file := parquet.NewGenericWriter[R](w, options...)
		batch := make([]R, 0, writeRows)
		flush := func() error {
			_, err := file.Write(batch)
			rows += int64(len(batch))
			clear(batch)
			batch = batch[:0]
			return cmp.Or(err, ctx.Err())
		}
		err = each(from, func(row *R) error {
			if batch = append(batch, *row); len(batch) < writeRows {
				return nil
			}
			return flush()
		})
		if err == nil {
			err = flush()
		}
		if err == nil {
			err = file.Close()
		}
		return rows, err
	}}
}

// kindNamed returns the table of a name, which must be one of TableNames.
func kindNamed(name string) *kind {
	return &kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })]
}

// TableNames are the names of the tables that a snapshot can have.
func TableNames() (names []string) {
	for i := range kinds {
		names = append(names, kinds[i].name)
	}
	return names
}

// TopicOf returns the topic of outputs that a table is read from; ok is false if it is made of the state or the models.
func TopicOf(name string) (topic schemas.Topic, ok bool) {
	topic = kindNamed(name).topic
	return topic, topic != 0
}

// ColumnsOf returns the columns of a table.
func ColumnsOf(name string) []Column { return kindNamed(name).columns }

// source is what rows are made of.
type source struct {
	state *State
	*evaluator
	published  []operators.Model // up to that of the evaluator, in the order of their topic
	processors int               // how many evaluate customers
	rebuilt    *Rebuilt          // counted while customers are written
}

// columnsOf reads the columns off the tags of a row's fields.
func columnsOf(row reflect.Type) (columns []Column) {
	for _, field := range reflect.VisibleFields(row) {
		if field.Anonymous {
			continue // its fields follow
		}
		name, options, _ := strings.Cut(field.Tag.Get("parquet"), ",")
		typ := field.Type
		nullable := typ.Kind() == reflect.Pointer
		if nullable {
			typ = typ.Elem()
		}
		columns = append(columns, Column{Name: name, Type: typeName(typ, options), Nullable: nullable, Doc: field.Tag.Get("doc")})
	}
	return columns
}

// typeName names the type of a column as docs/snapshots.md does; options are those of its tag.
func typeName(typ reflect.Type, options string) string {
	switch {
	case strings.HasPrefix(options, "timestamp"):
		return "timestamp (ms, UTC)"
	case strings.HasPrefix(options, "date"):
		return "date"
	}
	switch typ.Kind() {
	case reflect.Slice:
		return "list of " + typeName(typ.Elem(), "")
	case reflect.Struct:
		var fields []string
		for _, c := range columnsOf(typ) {
			fields = append(fields, c.Name+" "+c.Type)
		}
		return "{" + strings.Join(fields, ", ") + "}"
	}
	return map[reflect.Kind]string{reflect.String: "string", reflect.Int64: "int64", reflect.Int32: "int32", reflect.Float64: "double", reflect.Bool: "bool"}[typ.Kind()]
}

// writeTable writes a table, and returns what the manifest says of it.
func writeTable(ctx context.Context, target *Target, m *Manifest, of *kind, from *source) (table *Table, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a file that has not been closed by then is none
	table = &Table{Name: of.name, File: of.name + ".parquet", Columns: of.columns}
	compression, err := newCodec()
	if err != nil {
		return nil, err
	}
	file, err := target.create(ctx, m.Snapshot+"/"+table.File, "application/vnd.apache.parquet")
	if err != nil {
		return nil, err
	}
	groupRows := int64(rowGroupRows)
	if of.topic != 0 {
		groupRows = outputGroupRows
	}
	sum := sha256.New()
	size := &counter{}
	table.Rows, err = of.write(ctx, io.MultiWriter(file, sum, size), from, []parquet.WriterOption{
		parquet.Compression(compression), parquet.MaxRowsPerRowGroup(groupRows),
		parquet.CreatedBy("lull", "1", ""), parquet.KeyValueMetadata("lull.as_of", m.AsOf), parquet.KeyValueMetadata("lull.snapshot", m.Snapshot),
	})
	if err != nil {
		cancel()
		_ = file.Close() // it says that it has been cancelled
		return nil, fmt.Errorf("writing %s in %q: %w", m.Snapshot+"/"+table.File, target.name, err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("writing %s in %q: %w", m.Snapshot+"/"+table.File, target.name, err)
	}
	if of.topic != 0 {
		table.tellReach(of.topic, from)
	}
	table.Bytes, table.SHA256 = size.n, hex.EncodeToString(sum.Sum(nil))
	return table, nil
}

// codec compresses as its Codec does, which makes encoders of 18 MiB each and gives them up to every garbage collection.
type codec struct {
	parquetzstd.Codec
	encoder *zstd.Encoder
}

// windowBytes is how far back a page is looked into: further than most pages are long.
const windowBytes = 1 << 20

func newCodec() (*codec, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(windowBytes), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false))
	return &codec{encoder: encoder}, err
}

// Encode implements compress.Codec.
func (c *codec) Encode(dst, src []byte) ([]byte, error) {
	return c.encoder.EncodeAll(src, dst[:0]), nil
}

// tellReach says in the manifest how far back a table of outputs reaches.
func (t *Table) tellReach(topic schemas.Topic, from *source) {
	outputs := from.state.outputs[topic]
	for _, partition := range slices.Sorted(maps.Keys(outputs.from)) {
		t.Offsets = append(t.Offsets, FirstOffset{partition, outputs.from[partition]})
	}
	if at, ok := outputs.since(from.asOf); ok {
		since := at.String()
		t.Since = &since
	}
}

// counter counts what is written to it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }
