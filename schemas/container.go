package schemas

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
)

// Container reads an Avro object container file: records of whatever schema the file itself has.
type Container struct {
	file   *ocf.Reader
	fields []string
	minor  bool
	last   any // what was decoded last, whose memory is used again
}

// OpenContainer returns a reader of the file. The error says that it is none, that it cannot be read, or is not of records.
func OpenContainer(file io.Reader) (*Container, error) {
	text := bufio.NewReader(file)
	magic, _ := text.Peek(4)
	// What has no offset in the file is left a text without one: whose time zone it is of is not the file's to say.
	asText := func(logical string, text func(n int64) string) avro.CustomType {
		return avro.CustomType{LogicalType: logical, Decode: func(v any, _ *avro.SchemaNode) (any, error) {
			switch n := v.(type) {
			case int32:
				return text(int64(n)), nil
			case int64:
				return text(n), nil
			}
			return nil, fmt.Errorf("a %s is %T", logical, v)
		}}
	}
	const local = "2006-01-02T15:04:05.999999999"
	reader, err := ocf.NewReader(text, ocf.WithSchemaOpts(
		asText("date", func(n int64) string { return time.Unix(n*86_400, 0).UTC().Format(time.DateOnly) }),
		asText("local-timestamp-millis", func(n int64) string { return time.UnixMilli(n).UTC().Format(local) }),
		asText("local-timestamp-micros", func(n int64) string { return time.UnixMicro(n).UTC().Format(local) }),
	))
	if err != nil && string(magic) == "Obj\x01" {
		return nil, fmt.Errorf("the Avro file cannot be read (%s): it must be whole, and its codec null, deflate, snappy or zstandard", avroCause(err))
	}
	if err != nil {
		return nil, fmt.Errorf("it is no Avro object container file (%s): name files of other formats by their own flags, such as --csv or --jsonl", avroCause(err))
	}
	root := reader.Schema().Root()
	if root.Type != "record" {
		return nil, fmt.Errorf("the Avro file holds values of type %s: they must be records", root.Type)
	}
	c := &Container{file: reader}
	for i := range root.Fields {
		c.fields = append(c.fields, root.Fields[i].Name)
	}
	events := compiled[Events].Root()
	c.minor = root.Name == events.Name && root.Namespace == events.Namespace
	return c, nil
}

// Fields are the names of the fields that every record has.
func (c *Container) Fields() []string { return c.fields }

// MinorUnits reports whether the records are events by event.avsc, whose amounts are whole numbers of minor units.
func (c *Container) MinorUnits() bool { return c.minor }

// Next returns the next record: a map of texts, nil for null, []any for arrays and maps for what is nested. The error is io.EOF after
// the last record, or tells what is wrong with the file.
func (c *Container) Next() (map[string]any, error) {
	c.last = nil
	err := c.file.Decode(&c.last)
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, fmt.Errorf("decoding an Avro record: %s", avroCause(err))
	}
	record, ok := textsOf(c.last).(map[string]any)
	if !ok {
		//lull:unread OpenContainer has seen that they are records
		return nil, fmt.Errorf("decoding an Avro record: it is %T", c.last)
	}
	return record, nil
}

// textsOf returns a decoded value with the texts of all single values: numbers exactly as decimal numbers, instants by RFC 3339.
func textsOf(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, of := range v {
			v[name] = textsOf(of)
		}
		return v
	case []any:
		for i := range v {
			v[i] = textsOf(v[i])
		}
		return v
	case nil:
		return nil
	case string:
		return v
	case []byte:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	case int32:
		return strconv.FormatInt(int64(v), 10)
	case int64:
		return strconv.FormatInt(v, 10)
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case *big.Rat:
		const digitsMax = 30 // more than any scale that money has
		text := v.FloatString(digitsMax)
		return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprint(value)
}
