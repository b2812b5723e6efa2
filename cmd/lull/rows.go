package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"lull/operators"
	"lull/schemas"
)

// rowFields are the fields of an event that a column can hold.
var rowFields = []string{
	"customer_id", "time", "order_id", "amount", "currency", "kind", "message_id", "refund_id", "whole", "quantity", "name", "subject", "proof",
}

// rowConfig says how the rows of a file become events.
type rowConfig struct {
	// Format is what the rows are. The zero value is CSV.
	Format fileFormat
	// Columns has, of the fields that are not in the column of their name, the column's name in the header, or the path of the field in the record; "" for one that the file does
	// not hold. A reader has those of all fields in it: customer_id and time, which every file holds, and the others that this one does.
	Columns map[string]string
	// Source names the file in the ids of rows that have none of their own: "source:row". The same name gives the same ids.
	Source string
	// Kind and Currency hold for rows without one.
	Kind     operators.EventKind
	Currency string
	// Zone is that of dates and times without an offset.
	Zone *time.Location
	// Delimiter stands between columns.
	Delimiter rune
	// Decimal stands before the decimals of a number: '.' or ','.
	Decimal byte
	// Layout is how times are written, as package time has it; "" for what parseTime reads.
	Layout string
	// Limits are those of the pipeline.
	Limits schemas.Limits
}

// numbered returns the fields whose ids are made of row numbers in every row.
func (c *rowConfig) numbered() (fields []string) {
	for _, field := range []string{"message_id", "order_id"} {
		if c.Columns[field] == "" && (field != "order_id" || c.Kind == operators.OrderCompleted) {
			fields = append(fields, field)
		}
	}
	return fields
}

// fieldsNeeded are the fields that no file is without.
var fieldsNeeded = []string{"customer_id", "time"}

// parseColumns reads FIELD=COLUMN pairs. The error names what is wrong with them.
func parseColumns(pairs []string) (map[string]string, error) {
	columns := make(map[string]string)
	for _, pair := range pairs {
		field, column, ok := strings.Cut(pair, "=")
		_, twice := columns[field]
		switch {
		case !ok || column == "" && slices.Contains(fieldsNeeded, field):
			return nil, fmt.Errorf("--map %q: it must be FIELD=COLUMN, such as customer_id=client", pair)
		case !slices.Contains(rowFields, field):
			return nil, fmt.Errorf("--map %q: there is no field %q; fields are %s", pair, field, strings.Join(rowFields, ", "))
		case twice:
			return nil, fmt.Errorf("--map %q: the field %q stands there twice", pair, field)
		}
		columns[field] = column
	}
	return columns, nil
}

// allColumns returns the columns of all fields that a file holds, of which some are mapped: a field that is not is in the column of its name, and time in "date" if there is none of
// its name. The header is nil in files without one, which may hold every field.
func allColumns(mapped map[string]string, header []string) (map[string]string, error) {
	columns := make(map[string]string)
	for _, field := range rowFields {
		column, is := mapped[field]
		switch {
		case is && column != "":
			columns[field] = column
		case is: // the file does not hold it
		case header == nil || slices.Contains(header, field):
			columns[field] = field
		case field == "time" && slices.Contains(header, "date"):
			columns[field] = "date"
		}
	}
	for _, field := range fieldsNeeded {
		if columns[field] == "" {
			return nil, fmt.Errorf("no column is named %s: say by --map %s=COLUMN which one holds it; columns are %s", field, field, plain(strings.Join(header, ", ")))
		}
	}
	return columns, nil
}

// row is one row of a file: an event and its encoding, or why it is none.
type row struct {
	// Number counts the rows after the header from 1; Line is where it begins in the file, 0 if that has no lines.
	Number int64
	Line   int
	Cells  []string        // of a refused row, as it is written to the file of these; valid until the next row is read; nil if it could not be taken apart
	Event  operators.Event // as the pipeline reads it from Value
	Value  []byte          // the encoded event
	// Numbered reports whether an id is made of the row's number.
	Numbered bool
	// Refused says why there is no event; nil if there is one.
	Refused *operators.Rejection
	// Column is the one whose cell Refused is about, "" if it is not about one.
	Column string
}

// place says where the row stands: row 4 (line 5), column "total".
func (r *row) place() string {
	place := fmt.Sprintf("row %d", r.Number)
	if r.Line > 0 {
		place += fmt.Sprintf(" (line %d)", r.Line)
	}
	if r.Column != "" {
		place += fmt.Sprintf(", column %q", r.Column)
	}
	return place
}

// rowReader reads the rows of a file.
type rowReader struct {
	config   rowConfig
	source   rowSource
	minor    bool // amounts are in minor units
	number   int64
	decoders map[string]*schemas.Decoder // by currency
}

// newRowReader returns a reader of the rows of r, which may be compressed by gzip or zstd. The error says what is wrong with the file, or that it lacks a column.
func newRowReader(r io.Reader, config rowConfig) (*rowReader, error) {
	source, err := openSource(r, config.Format, config.Delimiter)
	if err != nil {
		return nil, err
	}
	rows := &rowReader{config: config, source: source, decoders: make(map[string]*schemas.Decoder)}
	if avro, ok := source.(*avroRows); ok {
		rows.minor = avro.records.MinorUnits()
	}
	columns := source.columns()
	if rows.config.Columns, err = allColumns(config.Columns, columns); err != nil {
		return nil, err
	}
	if columns == nil {
		return rows, nil
	}
	for _, field := range rowFields {
		column, mapped := rows.config.Columns[field]
		if !mapped {
			continue
		}
		i := slices.Index(columns, column)
		if first, _, nested := strings.Cut(column, "."); i < 0 && nested && config.Format == avroFormat {
			i = slices.Index(columns, first)
		}
		switch {
		case i < 0:
			if len(columns) == 1 && config.Format == csvFormat && strings.ContainsAny(columns[0], ";\t|") {
				return nil, fmt.Errorf("there is no column %q for %s; the header is one column, %q: name the character between columns by --delimiter", column, field, columns[0])
			}
			return nil, fmt.Errorf("there is no column %q for %s; columns are %s", column, field, plain(strings.Join(columns, ", ")))
		case slices.Contains(columns[i+1:], column):
			return nil, fmt.Errorf("there are two columns %q: give them names of their own", column)
		}
	}
	return rows, nil
}

// next reads the next row into r. The error is io.EOF after the last one, or that of the file.
func (rows *rowReader) next(r *row) error {
	malformed, err := rows.read()
	if err != nil {
		return err
	}
	*r = row{Number: rows.number, Value: r.Value[:0], Line: rows.source.line()}
	if malformed != "" {
		r.refuse("", formatNames[rows.config.Format], "%s", malformed)
	} else {
		rows.parse(r)
	}
	if r.Refused != nil {
		r.Cells = rows.source.raw()
	}
	return nil
}

// skip passes over the next row. The error is io.EOF after the last one, or that of the file.
func (rows *rowReader) skip() error {
	_, err := rows.read()
	return err
}

func (rows *rowReader) read() (malformed string, err error) {
	malformed, err = rows.source.next()
	switch {
	case errors.Is(err, io.EOF):
		return "", io.EOF
	case err != nil:
		return "", fmt.Errorf("reading row %d: %w", rows.number+1, err)
	}
	rows.number++
	return malformed, nil
}

func (r *row) refuse(column, reason, format string, args ...any) {
	r.Column = column
	r.Refused = &operators.Rejection{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// parse makes the row's event of the row that was read. What is no number or time is refused here, all else by the rules that the pipeline itself has.
func (rows *rowReader) parse(r *row) {
	var wrongField string
	var wrong error
	cell := func(field string) string {
		column, mapped := rows.config.Columns[field]
		if !mapped {
			return ""
		}
		text, err := rows.source.cell(column)
		if field == "time" && text == "" && rows.source.columns() == nil && column == "time" {
			text, err = rows.source.cell("date") // as in files with a header
		}
		if err != nil && wrong == nil {
			wrongField, wrong = field, err
		}
		return text
	}
	rows.parseCells(r, cell)
	if wrong != nil {
		column := rows.config.Columns[wrongField]
		r.refuse(column, "several_values", "%q: %v", column, wrong)
	}
}

func (rows *rowReader) parseCells(r *row, cell func(field string) string) {
	e := &r.Event
	e.Customer, e.ID, e.OrderID, e.RefundID = cell("customer_id"), cell("message_id"), cell("order_id"), cell("refund_id")
	e.Name, e.Subject, e.Proof = cell("name"), cell("subject"), cell("proof")
	e.Kind = rows.config.Kind
	if text := cell("kind"); text != "" {
		kind, ok := operators.KindNamed(text)
		if !ok {
			r.refuse(rows.config.Columns["kind"], "unknown_kind", "%s is no kind of event, such as order_completed", shortened(text))
			return
		}
		e.Kind = kind
	}
	if e.Customer == "" {
		column := rows.config.Columns["customer_id"]
		r.refuse(column, schemas.ReasonNoCustomer, "%q is empty: every row needs a customer_id", column)
		return
	}
	rowID := rows.config.Source + ":" + strconv.FormatInt(r.Number, 10)
	if e.ID == "" {
		e.ID, r.Numbered = rowID, true
	}
	if e.OrderID == "" && e.Kind == operators.OrderCompleted {
		e.OrderID, r.Numbered = rowID, true
	}
	var err error
	if e.Time, err = rows.parseTime(cell("time")); err != nil {
		r.refuse(rows.config.Columns["time"], "time", "%v", err)
		return
	}
	if !inTime(e.Time) {
		r.refuse(rows.config.Columns["time"], schemas.ReasonTimeOutOfRange, "time is %s: it must be %s", shortened(cell("time")), timeRange)
		return
	}
	currency := rows.config.Currency
	if text := cell("currency"); text != "" {
		currency = text
	}
	digits, ok := schemas.CurrencyDigits(currency)
	if !ok {
		r.refuse(rows.config.Columns["currency"], schemas.ReasonUnknownCurrency, "%s is no currency: it must be a code of ISO 4217, such as USD", shortened(currency))
		return
	}
	if rows.minor {
		digits = 0
	}
	if field, err := rows.parseNumbers(cell, digits, e); err != nil {
		r.refuse(rows.config.Columns[field], "number", "%v", err)
		return
	}
	rows.encode(r, currency)
}

// parseTime reads the instant in a cell.
func (rows *rowReader) parseTime(text string) (operators.EventTime, error) {
	if layout := rows.config.Layout; layout != "" && text != "" {
		t, err := time.ParseInLocation(layout, text, rows.config.Zone)
		if err != nil {
			return 0, fmt.Errorf("time is %s: it is not written as --layout %q says", shortened(text), layout)
		}
		return operators.EventTime(t.UnixMilli()), nil
	}
	t, err := parseTime(text, rows.config.Zone)
	if err != nil && text != "" && !isDigits(text) {
		err = fmt.Errorf("%w; if the file writes times otherwise, say how by --layout, such as 02.01.2006", err)
	}
	return t, err
}

// parseNumbers reads the cells that hold numbers. An error comes with the field that it is about.
func (rows *rowReader) parseNumbers(cell func(field string) string, digits int, e *operators.Event) (field string, err error) {
	if text := cell("whole"); text != "" {
		if e.Whole, err = strconv.ParseBool(text); err != nil {
			return "whole", fmt.Errorf("whole is %s: it must be true or false", shortened(text))
		}
	}
	if text := cell("quantity"); text != "" {
		if e.Quantity, err = parseQuantity(text, rows.config.Decimal); err != nil {
			return "quantity", err
		}
	}
	text := cell("amount")
	switch {
	case text != "":
		if e.Amount, err = parseAmount(text, digits, rows.config.Decimal); err != nil {
			return "amount", err
		}
	case e.Kind == operators.OfferProposed:
		return "amount", errors.New("amount is empty: an offer needs what it costs")
	case e.Kind == operators.OrderCompleted, e.Kind == operators.OrderUpdated, e.Kind == operators.OrderRefunded && !e.Whole:
		return "amount", errors.New("amount is empty: an order needs its value")
	}
	return "", nil
}

// encode encodes the row's event, and refuses it if the pipeline would not take it.
func (rows *rowReader) encode(r *row, currency string) {
	value, err := schemas.EncodeEvent(r.Value, &r.Event, currency)
	if err != nil {
		r.refuse("", schemas.ReasonMalformed, "%v", err)
		return
	}
	r.Value = value
	decoder := rows.decoders[currency]
	if decoder == nil {
		if decoder, err = schemas.NewDecoder(schemas.DecoderConfig{Zone: rows.config.Zone, Currency: currency, Limits: rows.config.Limits}); err != nil {
			r.refuse("", schemas.ReasonUnknownCurrency, "%v", err)
			return
		}
		rows.decoders[currency] = decoder
	}
	var decoded operators.Event
	// Whether a time lies in the future is judged by the append time, which is the broker's to give.
	source := schemas.Source{AppendTime: schemas.TimeEnd - 1, Key: []byte(r.Event.Customer), Value: value}
	if refused := decoder.Decode(&source, &decoded); refused != nil {
		detail := schemas.Found(refused) // what to do about it is said to who writes programs
		column := rows.columnOf(detail)
		if remedy := rowRemedies[refused.Reason]; remedy != "" {
			detail += ": " + remedy
		}
		r.refuse(column, refused.Reason, "%s", detail)
		return
	}
	r.Event = decoded
}

// columnOf returns the column that a decoder's message is about: it begins with the field. "" if it is about none.
func (rows *rowReader) columnOf(detail string) string {
	field, _, _ := strings.Cut(detail, " ")
	return rows.config.Columns[field]
}

// rowRemedies say what to do about a row that the pipeline would not take.
var rowRemedies = map[string]string{
	schemas.ReasonRecordTooLarge:   "shorten the row's texts, or raise limits.value_bytes",
	schemas.ReasonIDTooLong:        "shorten it, or raise limits.id_bytes",
	schemas.ReasonTextTooLong:      "shorten it, or raise limits.name_bytes or limits.proof_bytes",
	schemas.ReasonInvalidUTF8:      "convert the file to UTF-8",
	schemas.ReasonMissingField:     "map a column to it, or fill the cell",
	schemas.ReasonQuantityInvalid:  "leave the cell empty if the quantity is not known",
	schemas.ReasonQuantityNegative: "what is taken back is an event of kind order_refunded",
	schemas.ReasonAmountOutOfRange: "it is too large",
}

// shortened returns a cell's text for a message.
func shortened(text string) string {
	const runesMax = 40
	if runes := []rune(text); len(runes) > runesMax {
		text = string(runes[:runesMax]) + "…"
	}
	return strconv.Quote(text)
}

// timeRange is where event times lie; inTime reports whether one does.
const timeRange = "from 1970 up to, not including, 2200"

func inTime(t operators.EventTime) bool { return t >= schemas.TimeMin && t < schemas.TimeEnd }

// numberExamples are numbers as they are written with a mark before the decimals, and the way to the other.
var numberExamples = map[byte]string{'.': "1234.50 (1234,50 with --decimal comma)", ',': "1234,50 (1234.50 with --decimal point)"}

// parseQuantity returns a number with this mark before its decimals.
func parseQuantity(text string, decimal byte) (float64, error) {
	number := text
	if decimal == ',' {
		number = schemas.WithPoint(text)
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("quantity is %s: it must be a number such as %s", shortened(text), numberExamples[decimal])
	}
	return n, nil
}

// parseAmount returns a decimal number, with this mark before its decimals, as minor units of a currency with so many minor digits, exactly: what would have to be rounded is an error.
func parseAmount(text string, digits int, decimal byte) (operators.Money, error) {
	if strings.HasPrefix(text, "-") {
		return 0, fmt.Errorf("amount is %s: it must be 0 or more; money paid back is an event of kind order_refunded, with the order's order_id", shortened(text))
	}
	whole, fraction, hasMark := strings.Cut(text, string(decimal))
	if whole == "" || hasMark && fraction == "" || !isDigits(whole) || !isDigits(fraction) {
		return 0, fmt.Errorf("amount is %s: it must be a decimal number such as %s, without signs, thousands separators and currency", shortened(text), numberExamples[decimal])
	}
	if kept := strings.TrimRight(fraction, "0"); len(kept) > digits {
		return 0, fmt.Errorf("amount is %s: its currency has %d decimals", shortened(text), digits)
	}
	if len(fraction) > digits {
		fraction = fraction[:digits]
	}
	minor, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", digits-len(fraction)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("amount is %s: it is too large", shortened(text))
	}
	return operators.Money(minor), nil
}

func isDigits(text string) bool {
	return strings.IndexFunc(text, func(c rune) bool { return c < '0' || c > '9' }) < 0
}

// unixMsMin is the least whole number that is taken for Unix milliseconds rather than seconds. As seconds it would be the year 5138, as
// milliseconds it is 1973-03-03.
const unixMsMin = 100_000_000_000

// parseTime reads an instant: an ISO date, which is its 00:00 in the zone; a date and time, in the zone unless it tells its offset; Unix
// seconds; or Unix milliseconds, from 1973 on.
func parseTime(text string, zone *time.Location) (operators.EventTime, error) {
	if text == "" {
		return 0, errors.New("time is empty")
	}
	if isDigits(text) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("time is %s: it is beyond all times", shortened(text))
		}
		if n < unixMsMin {
			n *= 1000
		}
		return operators.EventTime(n), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", time.DateTime} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return operators.EventTime(t.UnixMilli()), nil
		}
	}
	return 0, fmt.Errorf("time is %s: it must be like 1998-01-04, 1998-01-04 13:07:00, 1998-01-04T13:07:00Z, or Unix seconds or milliseconds", shortened(text))
}
