package survey

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"lull/schemas"
)

// Recognized says how the values of records are written.
type Recognized struct {
	// Format is what most of them are, if Known.
	Format schemas.Format
	Known  bool
	// Records is how many have a value, and Fitting how many of these are of the format.
	Records, Fitting int
	// SchemaIDs are those that values of RegistryAvro begin with, and how many do.
	SchemaIDs map[uint32]int
	// Columns is how many columns a record of CSV has, and Delimiter what stands between them.
	Columns   int
	Delimiter rune
	// Instead says what values of no known format may be.
	Instead string
}

// Recognize returns how values are written. isEvent says whether a value is an event by event.avsc: its first bytes can look like the id of a schema.
func Recognize(values [][]byte, isEvent func(value []byte) bool) Recognized {
	r := Recognized{SchemaIDs: make(map[uint32]int)}
	own, framed, objects, calls := 0, 0, 0, 0
	shapes := make(map[shape]int)
	for _, v := range values {
		if len(v) == 0 {
			continue
		}
		r.Records++
		switch id, hasID := schemas.SchemaIDOf(v); {
		case isEvent(v):
			own++
		case hasID:
			framed++
			r.SchemaIDs[id]++
		case isObject(v):
			objects++
			if isCall(v) {
				calls++
			}
		case isText(v):
			shapes[shapeOf(v)]++
		}
	}
	rows, most := shape{}, 0
	for s, n := range shapes {
		if s.columns > 1 && (n > most || n == most && s.columns > rows.columns) {
			rows, most = s, n
		}
	}
	take := func(f schemas.Format, fitting int) bool {
		if 2*fitting > r.Records {
			r.Format, r.Fitting, r.Known = f, fitting, true
		}
		return r.Known
	}
	switch {
	case take(schemas.OwnAvro, own), take(schemas.RegistryAvro, framed):
	case 10*calls >= 9*objects && take(schemas.SegmentJSON, calls), take(schemas.JSON, objects):
	case take(schemas.CSV, most):
		r.Columns, r.Delimiter = rows.columns, rows.delimiter
	default:
		r.Instead = instead(values)
	}
	return r
}

func isObject(v []byte) bool {
	v = bytes.TrimSpace(v)
	return len(v) > 0 && v[0] == '{' && json.Valid(v)
}

// isCall reports whether an object is a call of the Segment specification.
func isCall(v []byte) bool {
	fields := gjson.GetManyBytes(v, "type", "messageId", "userId", "anonymousId")
	return slices.Contains([]string{"track", "page", "screen", "identify", "alias", "group"}, fields[0].Str) && (fields[1].Exists() || fields[2].Exists() || fields[3].Exists())
}

// shape is how a row of CSV is made up.
type shape struct {
	delimiter rune
	columns   int
}

// delimiters are those that are looked for.
var delimiters = []rune{';', '\t', '|', ','}

// shapeOf returns how a text would be made up as a row; of decimal commas and semicolons, the one that stands in fewer is the delimiter.
func shapeOf(v []byte) shape {
	for _, delimiter := range delimiters {
		rows := csv.NewReader(bytes.NewReader(v))
		rows.Comma, rows.FieldsPerRecord = delimiter, -1
		if cells, err := rows.Read(); err == nil && len(cells) > 1 {
			return shape{delimiter, len(cells)}
		}
	}
	return shape{}
}

// beginnings are how values begin that must be opened before anybody can read them.
var beginnings = []struct{ begins, is string }{
	{"\x1f\x8b", "they begin as gzip does: the producer compresses values by itself; let it send them plain, and set compression.type, which Kafka undoes"},
	{"\x28\xb5\x2f\xfd", "they begin as zstd does: the producer compresses values by itself; let it send them plain, and set compression.type, which Kafka undoes"},
	{"Obj\x01", "they begin as Avro files do: send one record of Avro each, without a file's header"},
	{"\xac\xed\x00\x05", "they begin as serialized objects of Java do: send JSON or Avro"},
}

// instead says what values are that are of no format.
func instead(values [][]byte) string {
	for _, b := range beginnings {
		n := 0
		for _, v := range values {
			if bytes.HasPrefix(v, []byte(b.begins)) {
				n++
			}
		}
		if 2*n > len(values) {
			return b.is
		}
	}
	texts := 0
	for _, v := range values {
		if isText(v) {
			texts++
		}
	}
	if 2*texts > len(values) {
		return fmt.Sprintf("they are texts, but neither JSON objects nor rows of CSV, such as %q", shortened(string(firstWith(values))))
	}
	return "they are binary, and neither events by event.avsc nor Avro with the id of a schema: if they are Avro by one schema, name its file by --input-schema; Protobuf, and what is encrypted, lull does not read"
}

func firstWith(values [][]byte) []byte {
	for _, v := range values {
		if len(v) > 0 {
			return v
		}
	}
	return nil
}

// Column returns the name of a column that has none, counted from 0.
func Column(i int) string { return fmt.Sprintf("column_%d", i+1) }

// Header returns the names of the columns of a CSV text and what stands between them, by its first line; ok is false if that is no header.
func Header(line []byte) (columns []string, delimiter rune, ok bool) {
	s := shapeOf(line)
	if s.columns < 2 {
		return nil, 0, false
	}
	rows := csv.NewReader(bytes.NewReader(line))
	rows.Comma = s.delimiter
	columns, err := rows.Read()
	if err != nil {
		return nil, 0, false
	}
	seen := make(map[string]bool)
	for i, name := range columns {
		switch {
		case name == "": // a column without a name is not used
		case strings.ContainsAny(name[:1], "0123456789-+"):
			return nil, s.delimiter, false
		case seen[name]:
			columns[i] = Column(i)
		}
		seen[name] = true
	}
	return columns, s.delimiter, true
}
