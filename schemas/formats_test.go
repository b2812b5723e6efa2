package schemas

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/avro"

	"lull/operators"
)

// registry is one in memory: what is not there is unknown, awaited, or not to be had.
type registry struct {
	schemas map[uint32]WriterSchema
	errs    map[uint32]error
}

func (r *registry) Writer(id uint32) (WriterSchema, error) {
	if err := r.errs[id]; err != nil {
		return WriterSchema{}, err
	}
	if s, has := r.schemas[id]; has {
		return s, nil
	}
	return WriterSchema{}, ErrWriterUnknown
}

// world is what the commands of a file of TestFormats have made.
type world struct {
	registry registry
	writers  map[uint32]*avro.Schema
	schema   string
	mapping  []byte
	decoder  *Decoder
}

// TestFormats proves what becomes of records in each format: files of testdata/formats are read from their top, and each says what it means by records as sources write them
// and what comes out. Commands:
//
//	schema ID?      an Avro schema: of the registry under its id, or that of input.schema
//	mapping         a mapping file; its problems are the output
//	input FORMAT    the input from here on, with the mapping and the schema that came before it; rates=EUR:1.25 besides the base currency USD, future=dead-letter
//	decode          records, one a line, as the format has them; Avro as JSON, id=7 of the writer's schema, key=KEY (default: not known), at=INSTANT of the record's timestamp
func TestFormats(t *testing.T) {
	datadriven.Walk(t, "testdata/formats", func(t *testing.T, path string) {
		w := &world{registry: registry{schemas: make(map[uint32]WriterSchema), errs: make(map[uint32]error)}, writers: make(map[uint32]*avro.Schema)}
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string { return w.run(t, td) })
	})
}

func (w *world) run(t *testing.T, td *datadriven.TestData) string {
	switch td.Cmd {
	case "schema":
		id := uint32(0)
		if len(td.CmdArgs) > 0 {
			n, err := strconv.Atoi(td.CmdArgs[0].Key)
			if err != nil {
				t.Fatal(err)
			}
			id = uint32(n)
		}
		if schema, err := avro.Parse(td.Input); err == nil {
			w.writers[id] = schema
		}
		if id == 0 {
			w.schema = td.Input
		} else {
			w.registry.schemas[id] = WriterSchema{Schema: td.Input}
		}
		return "ok"
	case "mapping":
		w.mapping = []byte(td.Input)
		if _, err := ParseMapping(w.mapping); err != nil {
			return err.Error()
		}
		return "ok"
	case "input":
		return w.input(t, td)
	case "decode":
		return w.decode(t, td)
	}
	t.Fatalf("unknown command %s", td.Cmd)
	return ""
}

func (w *world) input(t *testing.T, td *datadriven.TestData) string {
	format, ok := FormatNamed(td.CmdArgs[0].Key)
	if !ok {
		t.Fatalf("no format %s", td.CmdArgs[0].Key)
	}
	config := DecoderConfig{Rates: make(map[string]string)}
	for _, arg := range td.CmdArgs[1:] {
		switch arg.Key {
		case "rates":
			for _, v := range arg.Vals {
				code, rate, _ := strings.Cut(v, ":")
				config.Rates[code] = rate
			}
		case "future":
			config.Future = RejectFuture
		}
	}
	var mapping *Mapping
	var err error
	if len(w.mapping) > 0 {
		if mapping, err = ParseMapping(w.mapping); err != nil {
			return err.Error()
		}
	}
	if config.Input, err = NewInput("input", format, w.schema, mapping, &w.registry); err != nil {
		return err.Error()
	}
	if w.decoder, err = NewDecoder(config); err != nil {
		return err.Error()
	}
	return "ok"
}

func (w *world) decode(t *testing.T, td *datadriven.TestData) string {
	source := Source{Topic: "shop", Partition: 3, Offset: 42, AppendTime: at(t, "2026-01-01T00:00:00Z")}
	keyed, id := false, uint32(0)
	for _, arg := range td.CmdArgs {
		switch arg.Key {
		case "key":
			source.Key, keyed = []byte(arg.Vals[0]), true
		case "at":
			source.AppendTime = at(t, arg.Vals[0])
		case "id":
			n, err := strconv.Atoi(arg.Vals[0])
			if err != nil {
				t.Fatal(err)
			}
			id = uint32(n)
		case "header":
			source.Headers = append(source.Headers, Header{arg.Vals[0], []byte(arg.Vals[1])})
		case "unavailable":
			w.registry.errs[id] = errors.New("it answers 503")
		case "awaited":
			w.registry.errs[id] = ErrWriterAwaited
		case "available":
			delete(w.registry.errs, id)
		}
	}
	var out strings.Builder
	for line := range strings.Lines(td.Input) {
		source.Value = w.value(t, id, strings.TrimRight(line, "\n"))
		var e operators.Event
		decode := w.decoder.DecodeKeyless
		if keyed {
			decode = w.decoder.Decode
		}
		if rejection := decode(&source, &e); rejection != nil {
			fmt.Fprintf(&out, "%s: %s\n", rejection.Reason, rejection.Detail)
		} else {
			fmt.Fprintln(&out, showEvent(&e))
		}
		source.Offset++
	}
	return out.String()
}

// value returns the bytes of a record that a line stands for.
func (w *world) value(t *testing.T, id uint32, line string) []byte {
	text, isRaw := strings.CutPrefix(line+" ", "raw ")
	text = strings.TrimSuffix(text, " ")
	format := w.decoder.config.Input.Format
	if isRaw {
		raw, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(raw)
	}
	if format != RegistryAvro && format != FixedAvro {
		return []byte(line)
	}
	schema := w.writers[id]
	if schema == nil {
		schema = w.writers[0]
	}
	d := json.NewDecoder(bytes.NewReader([]byte(line)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	var prefix []byte
	if format == RegistryAvro {
		prefix = binary.BigEndian.AppendUint32([]byte{0}, id)
	}
	value, err := schema.AppendEncode(prefix, v)
	if err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	return value
}

// showEvent returns what an event has, in one line.
func showEvent(e *operators.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s at %s, id %s", e.Kind, e.Customer, time.UnixMilli(int64(e.Time)).UTC().Format("2006-01-02T15:04:05.000Z"), e.ID)
	for _, f := range []struct{ name, value string }{
		{"order", e.OrderID}, {"refund", e.RefundID}, {"name", strconv.Quote(e.Name)}, {"subject", e.Subject}, {"proof", e.Proof},
	} {
		if f.value != "" && f.value != `""` {
			fmt.Fprintf(&b, ", %s %s", f.name, f.value)
		}
	}
	if e.Amount != 0 || e.Kind == operators.OrderCompleted {
		fmt.Fprintf(&b, ", amount %d", e.Amount)
	}
	if e.Quantity != 0 {
		fmt.Fprintf(&b, ", quantity %v", e.Quantity)
	}
	if e.Whole {
		b.WriteString(", whole")
	}
	if e.Clamped {
		b.WriteString(", clamped")
	}
	return b.String()
}

// Bytes behind a record by a schema of another's are told.
func TestTrailingBytesOfAvro(t *testing.T) {
	schema, err := avro.Parse(`{"type": "record", "name": "R", "fields": []}`)
	if err != nil {
		t.Fatal(err)
	}
	refused := readAvro(schema, []byte{1, 2}, &places{}, nil)
	if refused == nil || refused.Reason != ReasonTrailingBytes || !strings.HasPrefix(refused.Detail, "2 of 2 bytes follow the record: ") {
		t.Errorf("%+v", refused)
	}
}

// TestInputs proves what is said about formats that lack what they need.
func TestInputs(t *testing.T) {
	for _, c := range []struct {
		format Format
		schema string
		want   string
	}{
		{JSON, "", "input.mapping is missing: input.format json needs"},
		{CSV, "", "input.mapping is missing: input.format csv needs"},
		{FixedAvro, "", "input.schema is missing: input.format avro-schema needs"},
		{RegistryAvro, Events.Schema(), "input.schema is set without input.mapping"},
		{OwnAvro, Events.Schema(), "input.schema is set, and input.format avro has no use for it"},
		{FixedAvro, `{"type": "record", "name": "X", "fields": []}`, "input.schema: it cannot be read as event.avsc"},
		{FixedAvro, `{"type": `, "input.schema holds no schema of Avro (invalid schema json"},
		{FixedAvro, Events.Schema(), ""},
		{SegmentJSON, "", ""},
		{OwnAvro, "", ""},
		{RegistryAvro, "", ""},
		{formatsEnd, "", fmt.Sprintf("input.format: there is no format %d", formatsEnd)},
	} {
		_, err := NewInput("input", c.format, c.schema, nil, nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.format, err, c.want)
		}
	}
}

// A mapping file has limits, which are told word for word.
func TestMappingLimits(t *testing.T) {
	const fields = "version: 1\nfields: {customer_id: a, time: b}\n"
	for _, c := range []struct{ file, want string }{
		{strings.Repeat("#", 1<<20+1), "the mapping has 1048577 bytes; at most 1048576 are read"},
		{fields + "rules: [" + strings.Repeat("{kind: identify}, ", 1001) + "]", "line 3, column 8: there are 1001 rules; at most 1000 are read"},
		{fields + "csv: {columns: [a, b" + strings.Repeat(", ''", 9999) + "]}\nrules: [{kind: identify}]", "line 3, column 16: there are 10001 columns; at most 10000 are read"},
	} {
		if _, err := ParseMapping([]byte(c.file)); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}
