package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"lull/schemas"
)

// fileFormat says what the rows of a file are.
type fileFormat uint8

// The formats.
const (
	csvFormat   fileFormat = iota // a header, and rows of cells
	jsonFormat                    // JSON lines: an object in each
	avroFormat                    // an Avro object container file of records
	formatCount                   // how many there are
)

var (
	formatNames  = [formatCount]string{csvFormat: "csv", jsonFormat: "jsonl", avroFormat: "avro"}
	formatTitles = [formatCount]string{csvFormat: "CSV", jsonFormat: "JSON lines", avroFormat: "an Avro object container file"} // for people
)

// rowSource reads the rows of one format, taken apart but not understood. A column is named by its header, or by the path of a field within the record.
type rowSource interface {
	// columns are those that every row has; nil if they differ from row to row.
	columns() []string
	// next reads the next row. malformed says that it cannot be taken apart, "" if it can; the error is io.EOF after the last row, or that of the file.
	next() (malformed string, err error)
	// cell returns the text in a column of the row read last, "" if there is none. The error says that there is more than one value.
	cell(column string) (string, error)
	// line is where in the file the row begins, counted from 1; 0 if the file has no lines.
	line() int
	// raw is the row as a refused row is written, in columns of rawHeader; nil if it cannot be taken apart.
	raw() []string
	rawHeader() []string
}

// openSource returns the rows of a file, which may be compressed by gzip or zstd. The error says that the file is not of the format.
func openSource(r io.Reader, format fileFormat, delimiter rune) (rowSource, error) {
	text, err := uncompressed(r, format)
	if err != nil {
		return nil, err
	}
	switch format {
	case jsonFormat:
		return &jsonRows{text: text}, nil
	case avroFormat:
		records, err := schemas.OpenContainer(text)
		if err != nil {
			return nil, err
		}
		return &avroRows{records: records}, nil
	case csvFormat, formatCount:
	}
	return openCSV(text, delimiter)
}

// otherFiles are the files that are taken for one of the formats and are not of it, by how they begin.
var otherFiles = []struct{ begins, is string }{
	{gzipMagic, "a file that is compressed twice: decompress it once"},
	{zstdMagic, "a file that is compressed twice: decompress it once"},
	{"BZh", "a file that is compressed by bzip2: decompress it by bunzip2, or compress it by gzip or zstd"},
	{"\xfd7zXZ", "a file that is compressed by xz: decompress it by unxz, or compress it by gzip or zstd"},
	{"\x04\x22\x4d\x18", "a file that is compressed by lz4: decompress it by unlz4, or compress it by gzip or zstd"},
	{"7z\xbc\xaf\x27\x1c", "an archive of 7-Zip: take the file out of it"},
	{"PK\x03\x04", "a ZIP archive, as spreadsheets are: save the table as CSV, or take the file out of the archive"},
	{"\xd0\xcf\x11\xe0", "a file of an older office program: save the table as CSV"},
	{"%PDF", "a PDF file: take the table from where that was made of it, as CSV"},
	{"SQLite format 3", "a database of SQLite: export the table as CSV"},
	{"ORC", "an ORC file: write its rows as CSV, JSON lines or an Avro object container file"},
	{"PAR1", "a Parquet file: write its rows as CSV, JSON lines or an Avro object container file"},
	{"\xff\xfe", "a text in UTF-16: convert it to UTF-8"},
	{"\xfe\xff", "a text in UTF-16: convert it to UTF-8"},
}

// How files begin: Avro object containers, and compressed ones.
const (
	containerMagic = "Obj\x01"
	gzipMagic      = "\x1f\x8b"
	zstdMagic      = "\x28\xb5\x2f\xfd"
)

// uncompressed returns the text of r: decompressed, without a byte order mark. The error also says that its first bytes are those of another format.
func uncompressed(r io.Reader, format fileFormat) (*bufio.Reader, error) {
	const bufferBytes = 1 << 16
	text := bufio.NewReaderSize(r, bufferBytes)
	magic, _ := text.Peek(4)
	switch {
	case bytes.HasPrefix(magic, []byte(gzipMagic)):
		unzip, err := gzip.NewReader(text)
		if err != nil {
			return nil, decompressing(err)
		}
		text = bufio.NewReaderSize(decompressed{unzip}, bufferBytes)
	case bytes.HasPrefix(magic, []byte(zstdMagic)):
		unzip, err := zstd.NewReader(text, zstd.WithDecoderConcurrency(1)) // without goroutines, which somebody would have to end
		if err != nil {
			return nil, decompressing(err)
		}
		text = bufio.NewReaderSize(decompressed{unzip}, bufferBytes)
	}
	_, err := text.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	begins, _ := text.Peek(min(text.Buffered(), sniffedBytes)) // what has come with them
	if format != avroFormat && bytes.HasPrefix(begins, []byte(containerMagic)) {
		return nil, fmt.Errorf("it is not %s, but an Avro object container file: name it by --avro of `lull produce`, or convert it", formatTitles[format])
	}
	for _, other := range otherFiles {
		if bytes.HasPrefix(begins, []byte(other.begins)) {
			return nil, fmt.Errorf("it is not %s, but %s", formatTitles[format], other.is)
		}
	}
	if mark := []byte("\ufeff"); bytes.HasPrefix(begins, mark) {
		_, _ = text.Discard(len(mark)) // it has been peeked: it is there
		begins = begins[len(mark):]
	}
	if is := notText(begins, format); is != "" {
		return nil, fmt.Errorf("it is not %s, but %s", formatTitles[format], is)
	}
	return text, nil
}

// sniffedBytes is how much of a file's beginning is looked at, at most.
const sniffedBytes = 512

// jsonBegins matches how an object, or an array of such, begins.
var jsonBegins = regexp.MustCompile(`^\s*(\[\s*)?\{\s*("|\})`)

// notText says what a file that begins so is, if it is no text, or JSON where that is not looked for; else "".
func notText(begins []byte, format fileFormat) string {
	isControl := func(c byte) bool { return c < ' ' && !strings.ContainsRune("\t\n\v\f\r\x1a", rune(c)) || c == 0x7f }
	switch {
	case format == avroFormat: // which is told by its own reader
		return ""
	case slices.ContainsFunc(begins, isControl):
		return "binary: the first bytes are " + strconv.Quote(string(begins[:min(len(begins), 16)]))
	case format == csvFormat && jsonBegins.Match(begins):
		return "JSON: `lull produce` takes it by --jsonl, `lull mapping try` with a mapping that has no section csv"
	}
	return ""
}

// decompressed is a decompressed text whose errors say what the file is.
type decompressed struct{ io.Reader }

func (d decompressed) Read(p []byte) (n int, err error) {
	n, err = d.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = decompressing(err)
	}
	return n, err
}

func decompressing(err error) error {
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return fmt.Errorf("decompressing: %w: the file looks back further than %d MiB, as zstd makes it with --long=30 and more: compress it again with --long=%d or less", err, zstd.MaxWindowSize>>20, bits.Len(zstd.MaxWindowSize)-1)
	}
	return fmt.Errorf("decompressing: %w: the file is cut short or damaged: copy it again, or compress it again", err)
}

// csvRows are the rows of a CSV file.
type csvRows struct {
	csv    *csv.Reader
	header []string
	index  map[string]int
	cells  []string
	at     int
}

func openCSV(text io.Reader, delimiter rune) (*csvRows, error) {
	rows := &csvRows{csv: csv.NewReader(text), index: make(map[string]int)}
	rows.csv.ReuseRecord = true
	rows.csv.Comma = delimiter
	header, err := rows.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty: its first line must name the columns")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	rows.header = slices.Clone(header)
	for i, name := range slices.Backward(rows.header) {
		rows.index[name] = i
	}
	return rows, nil
}

func (rows *csvRows) columns() []string   { return rows.header }
func (rows *csvRows) rawHeader() []string { return rows.header }
func (rows *csvRows) raw() []string       { return rows.cells }
func (rows *csvRows) line() int           { return rows.at }

func (rows *csvRows) next() (malformed string, err error) {
	rows.cells, err = rows.csv.Read()
	var wrong *csv.ParseError
	switch {
	case errors.As(err, &wrong):
		rows.at, rows.cells = wrong.StartLine, nil
		return fmt.Sprintf("it is no row of %d columns (%v)", len(rows.header), wrong.Err), nil
	case err != nil:
		return "", err
	}
	rows.at, _ = rows.csv.FieldPos(0)
	return "", nil
}

func (rows *csvRows) cell(column string) (string, error) {
	return strings.TrimSpace(rows.cells[rows.index[column]]), nil
}

// jsonRows are the objects of a file with one in each line. Empty lines are none.
type jsonRows struct {
	text   *bufio.Reader
	bytes  []byte // the line
	object map[string]any
	at     int
}

// lineBytesMax is the length of the longest line that is taken apart.
const lineBytesMax = 16 << 20

func (*jsonRows) columns() []string   { return nil }
func (*jsonRows) rawHeader() []string { return []string{"record"} }
func (rows *jsonRows) line() int      { return rows.at }
func (rows *jsonRows) raw() []string  { return []string{string(rows.bytes)} }

func (rows *jsonRows) next() (malformed string, err error) {
	for {
		tooLong, err := rows.readLine()
		if err != nil {
			return "", err
		}
		if tooLong {
			return fmt.Sprintf("the line has more than %d bytes", lineBytesMax), nil
		}
		if len(rows.bytes) > 0 {
			break
		}
	}
	rows.object = nil
	decoder := json.NewDecoder(bytes.NewReader(rows.bytes))
	decoder.UseNumber() // an amount is what is written, not what a float makes of it
	if err := decoder.Decode(&rows.object); err != nil || rows.object == nil {
		return "it is no JSON object", nil
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return "more follows the JSON object: each must have a line of its own", nil
	}
	return "", nil
}

// readLine reads a line without the spaces around it. tooLong is set if it is cut.
func (rows *jsonRows) readLine() (tooLong bool, err error) {
	rows.bytes = rows.bytes[:0]
	rows.at++
	for {
		part, err := rows.text.ReadSlice('\n')
		if len(rows.bytes)+len(part) <= lineBytesMax {
			rows.bytes = append(rows.bytes, part...)
		} else {
			tooLong = true
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && (len(rows.bytes) > 0 || tooLong):
		case err != nil:
			return false, err
		}
		rows.bytes = bytes.TrimSpace(rows.bytes)
		return tooLong, nil
	}
}

func (rows *jsonRows) cell(column string) (string, error) { return cellAt(rows.object, column) }

// avroRows are the records of an Avro object container file.
type avroRows struct {
	records *schemas.Container
	record  map[string]any
}

func (rows *avroRows) columns() []string { return rows.records.Fields() }
func (*avroRows) rawHeader() []string    { return []string{"record"} }
func (*avroRows) line() int              { return 0 }

func (rows *avroRows) raw() []string {
	text, err := json.Marshal(rows.record)
	if err != nil {
		return nil
	}
	return []string{string(text)}
}

func (rows *avroRows) next() (malformed string, err error) {
	rows.record, err = rows.records.Next()
	return "", err
}

func (rows *avroRows) cell(column string) (string, error) { return cellAt(rows.record, column) }

// cellAt returns the text of the value that a path such as customer.id leads to, "" if there is none or it is null. A field whose own name has dots in it is found
// first.
func cellAt(record map[string]any, path string) (string, error) {
	value, found := record[path]
	for rest := path; !found; {
		name, after, nested := strings.Cut(rest, ".")
		inner, isRecord := record[name].(map[string]any)
		if !nested || !isRecord {
			return "", nil
		}
		record, rest = inner, after
		value, found = record[rest]
	}
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return strings.TrimSpace(v), nil
	case json.Number:
		return v.String(), nil
	case bool:
		if v {
			return "true", nil
		}
		return "false", nil
	}
	return "", fmt.Errorf("it holds more than one value: name the one within it, as %s.NAME", path)
}
