package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// Column is a column of a table.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
	Doc      string `json:"doc"`
}

// rowGroupRows is how many rows a file's group has: what is held in memory before it is written, some 40 MB of customers.
const rowGroupRows = 100_000

// TableNames are the names of the tables that a snapshot can have.
func TableNames() []string { return []string{"customers"} }

// ColumnsOf returns the columns of a table.
func ColumnsOf(string) []Column { return columnsOf(reflect.TypeFor[customerRow]()) }

// columnsOf reads the columns off the tags of a row's fields.
func columnsOf(row reflect.Type) (columns []Column) {
	for i := range row.NumField() {
		field := row.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("parquet"), ",")
		typ := field.Type
		nullable := typ.Kind() == reflect.Pointer
		if nullable {
			typ = typ.Elem()
		}
		kind := map[reflect.Kind]string{reflect.String: "string", reflect.Int64: "int64", reflect.Int32: "int32", reflect.Float64: "double", reflect.Bool: "bool"}[typ.Kind()]
		switch {
		case strings.HasPrefix(options, "timestamp"):
			kind = "timestamp (ms, UTC)"
		case strings.HasPrefix(options, "date"):
			kind = "date"
		}
		columns = append(columns, Column{Name: name, Type: kind, Nullable: nullable, Doc: field.Tag.Get("doc")})
	}
	return columns
}

// writeTable writes a table of the rows that each hands over, and returns what the manifest says of it.
func writeTable(ctx context.Context, target *Target, m *Manifest, name string, each func(write func(row any) error) error) (table *Table, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a file that has not been closed by then is none
	table = &Table{Name: name, File: name + ".parquet", Columns: ColumnsOf(name)}
	file, err := target.create(ctx, m.Snapshot+"/"+table.File, "application/vnd.apache.parquet")
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	size := &counter{}
	w := parquet.NewGenericWriter[customerRow](io.MultiWriter(file, sum, size), parquet.Compression(&zstd.Codec{}), parquet.MaxRowsPerRowGroup(rowGroupRows),
		parquet.CreatedBy("lull", "1", ""), parquet.KeyValueMetadata("lull.as_of", m.AsOf), parquet.KeyValueMetadata("lull.snapshot", m.Snapshot))
	err = each(func(row any) error {
		table.Rows++
		_, err := w.Write([]customerRow{*row.(*customerRow)})
		return err
	})
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		cancel()
		_ = file.Close() // it says that it has been cancelled
		return nil, fmt.Errorf("writing %s in %q: %w", m.Snapshot+"/"+table.File, target.name, err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("writing %s in %q: %w", m.Snapshot+"/"+table.File, target.name, err)
	}
	table.Bytes, table.SHA256 = size.n, hex.EncodeToString(sum.Sum(nil))
	return table, nil
}

// counter counts what is written to it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }
