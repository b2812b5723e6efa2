package schemas

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
)

// containers are Avro files of other systems' records, in testdata/containers, which the tests of lull produce read too.
var containers = map[string]struct {
	schema  string
	records []any
	want    []map[string]any
	minor   bool
}{
	"orders": {
		schema: `{"type":"record","name":"Order","fields":[
			{"name":"customer_id","type":"string"},{"name":"date","type":{"type":"int","logicalType":"date"}},{"name":"order_id","type":["null","string"]},
			{"name":"amount","type":["null",{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}]},{"name":"currency","type":["null","string"]},
			{"name":"quantity","type":["null","double"]},
			{"name":"at","type":{"type":"record","name":"At","fields":[
				{"name":"local","type":{"type":"long","logicalType":"local-timestamp-millis"}},{"name":"instant","type":{"type":"long","logicalType":"timestamp-micros"}}]}},
			{"name":"more","type":{"type":"map","values":"int"}},{"name":"tags","type":{"type":"array","items":"boolean"}},{"name":"share","type":"float"}]}`,
		records: []any{
			map[string]any{
				"customer_id": "ann", "date": time.Date(1998, 1, 4, 0, 0, 0, 0, time.UTC), "order_id": "o-1", "amount": "19.99", "currency": nil, "quantity": 2.0,
				"at":   map[string]any{"local": time.UnixMilli(883_919_220_123).UTC(), "instant": time.UnixMicro(883_919_220_123_456).UTC()},
				"more": map[string]any{"a": 1}, "tags": []any{true, false}, "share": float32(0.1),
			},
			map[string]any{
				"customer_id": "bob", "date": time.Date(1998, 1, 5, 0, 0, 0, 0, time.UTC), "order_id": "o-2", "amount": "500", "currency": "JPY", "quantity": nil,
				"at": map[string]any{"local": time.UnixMilli(0).UTC(), "instant": time.UnixMicro(0).UTC()}, "more": map[string]any{}, "tags": []any{}, "share": float32(1),
			},
		},
		want: []map[string]any{
			{
				"customer_id": "ann", "date": "1998-01-04", "order_id": "o-1", "amount": "19.99", "currency": nil, "quantity": "2",
				"at":   map[string]any{"local": "1998-01-04T13:07:00.123", "instant": "1998-01-04T13:07:00.123456Z"},
				"more": map[string]any{"a": "1"}, "tags": []any{"true", "false"}, "share": "0.1",
			},
			{
				"customer_id": "bob", "date": "1998-01-05", "order_id": "o-2", "amount": "500", "currency": "JPY", "quantity": nil,
				"at": map[string]any{"local": "1970-01-01T00:00:00", "instant": "1970-01-01T00:00:00Z"}, "more": map[string]any{}, "tags": []any{}, "share": "1",
			},
		},
	},
	"event": {
		schema: Events.Schema(), minor: true,
		records: []any{map[string]any{
			"kind": "order_refunded", "message_id": "m-1", "customer_id": "ann", "time": time.UnixMilli(883_919_220_123), "order_id": "o-1", "refund_id": "r-1", "amount": int64(1999), "currency": "USD",
			"whole": false, "quantity": 1.5, "name": nil, "subject": nil, "proof": nil,
		}},
		want: []map[string]any{{
			"kind": "order_refunded", "message_id": "m-1", "customer_id": "ann", "time": "1998-01-04T13:07:00.123Z", "order_id": "o-1", "refund_id": "r-1", "amount": "1999", "currency": "USD",
			"whole": "false", "quantity": "1.5", "name": nil, "subject": nil, "proof": nil,
		}},
	},
	"numbers": {schema: `"int"`},
}

// Records of Avro files are texts: exact numbers, dates and local times without an offset, instants in UTC.
func TestContainer(t *testing.T) {
	for name, c := range containers {
		path := filepath.Join("testdata", "containers", name+".avro")
		if _, err := os.Stat(path); err != nil && rewriting() {
			writeContainer(t, path, c.schema, c.records)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := OpenContainer(bytes.NewReader(text))
		if name == "numbers" {
			if err == nil || !strings.Contains(err.Error(), "values of type int: they must be records") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if file.MinorUnits() != c.minor || file.Fields()[0] == "" {
			t.Errorf("%s: minor units %v, fields %q", name, file.MinorUnits(), file.Fields())
		}
		for _, want := range c.want {
			if got, err := file.Next(); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v, %v; want %v", name, got, err, want)
			}
		}
		if _, err := file.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v at the end", name, err)
		}
		file, err = OpenContainer(bytes.NewReader(text[:len(text)-20]))
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = file.Next()
		}
		if errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "decoding an Avro record") {
			t.Errorf("%s, cut off: %v", name, err)
		}
	}
	if _, err := OpenContainer(strings.NewReader("customer_id,time\n")); err == nil || !strings.Contains(err.Error(), "it is no Avro object container file (ocf: invalid magic 63757374): name files of other formats by their own flags, such as --csv or --jsonl") {
		t.Errorf("no Avro file: %v", err)
	}
}

func writeContainer(t *testing.T, path, schema string, records []any) {
	t.Helper()
	var file bytes.Buffer
	w, err := ocf.NewWriter(&file, avro.MustParse(schema), ocf.WithCodec(ocf.SnappyCodec()))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
