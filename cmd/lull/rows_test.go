package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lull/operators"
	"lull/schemas"
)

// readRows reads all rows of a text, with what of them is kept by the reader copied.
func readRows(t *testing.T, text string, config rowConfig) []row {
	t.Helper()
	rows, err := newRowReader(strings.NewReader(text), config)
	if err != nil {
		t.Fatal(err)
	}
	var all []row
	for {
		var r row
		err := rows.next(&r)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
}

func testRowConfig(columns ...string) rowConfig {
	c, err := parseColumns(columns)
	if err != nil {
		panic(err)
	}
	return rowConfig{Columns: c, Source: "shop.csv", Kind: operators.OrderCompleted, Currency: "USD", Zone: time.UTC, Delimiter: ',', Decimal: '.'}
}

// An amount is read exactly if and only if it is a plain decimal number of at most the currency's digits, trailing zeros aside: compared with
// arbitrary-precision arithmetic.
func TestParseAmountIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9]{1,21}(\.[0-9]{1,6})?`).Draw(t, "text")
		digits := rapid.IntRange(0, 4).Draw(t, "digits")
		exact, _ := new(big.Rat).SetString(text)
		minor := exact.Mul(exact, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)))
		got, err := parseAmount(text, digits, '.')
		if want := minor.IsInt() && minor.Num().IsInt64(); (err == nil) != want {
			t.Fatalf("%s with %d digits: error %v, readable %t", text, digits, err, want)
		}
		if err == nil && int64(got) != minor.Num().Int64() {
			t.Fatalf("%s with %d digits: %d, want %s", text, digits, got, minor.Num())
		}
	})
}

func TestParseAmountRefuses(t *testing.T) {
	for _, text := range []string{"", "-5", "+5", "1,5", "1,234.50", "1e3", "$5", "5 ", ".5", "5.", "NaN", "0x10", "1.2.3", "٣", "1_000"} {
		if got, err := parseAmount(text, 2, '.'); err == nil {
			t.Errorf("%q: %d, want an error", text, got)
		}
	}
}

func TestParseTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		zone *time.Location
		want string // "" for an error
	}{
		{"1998-01-04", time.UTC, "1998-01-04T00:00:00.000Z"},
		{"1998-01-04", berlin, "1998-01-03T23:00:00.000Z"},
		{"1998-07-04 13:07:00", berlin, "1998-07-04T11:07:00.000Z"},
		{"1998-01-04T13:07:00.25", time.UTC, "1998-01-04T13:07:00.250Z"},
		{"1998-01-04T13:07:00Z", berlin, "1998-01-04T13:07:00.000Z"},
		{"1998-01-04T13:07:00+02:00", berlin, "1998-01-04T11:07:00.000Z"},
		{"1998-01-04 13:07:00+02:00", time.UTC, "1998-01-04T11:07:00.000Z"},
		{"883919220", time.UTC, "1998-01-04T13:07:00.000Z"},
		{"883919220123", time.UTC, "1998-01-04T13:07:00.123Z"},
		{"0", time.UTC, "1970-01-01T00:00:00.000Z"},
		{"", time.UTC, ""},
		{"04.01.1998", time.UTC, ""},
		{"01/04/1998", time.UTC, ""},
		{"1998-02-30", time.UTC, ""},
		{"-5", time.UTC, ""},
		{"99999999999999999999", time.UTC, ""},
	} {
		got, err := parseTime(c.text, c.zone)
		if (err == nil) != (c.want != "") || err == nil && got.String() != c.want {
			t.Errorf("%q in %s: %s, %v; want %s", c.text, c.zone, got, err, c.want)
		}
	}
}

// Columns are found by their names, in whatever order; a row without ids has those of its place, so that they are the same in every run; what the
// reader sends is what the pipeline's decoder reads.
func TestRows(t *testing.T) {
	const text = "\ufefftotal,when,client,cur,order\r\n11.77,1998-01-04,ann,,\r\n\"1,5\",1998-01-04,ann,,\n500,1998-01-05,bob,JPY,o-7\n"
	config := testRowConfig("customer_id=client", "time=when", "amount=total", "currency=cur", "order_id=order")
	rows := readRows(t, text, config)
	if len(rows) != 3 {
		t.Fatalf("%d rows, want 3", len(rows))
	}
	if e := rows[0].Event; rows[0].Refused != nil || e.Customer != "ann" || e.Amount != 1177 || e.ID != "shop.csv:1" || e.OrderID != "shop.csv:1" {
		t.Errorf("row 1: %+v, refused %v", e, rows[0].Refused)
	}
	if r := rows[1].Refused; r == nil || rows[1].Number != 2 || rows[1].Line != 3 || !strings.Contains(r.Detail, `"1,5"`) {
		t.Errorf("row 2: number %d, line %d, refused %v", rows[1].Number, rows[1].Line, r)
	}
	if e := rows[2].Event; rows[2].Refused != nil || e.Amount != 500 || e.ID != "shop.csv:3" || e.OrderID != "o-7" {
		t.Errorf("row 3: %+v, refused %v", e, rows[2].Refused)
	}
	fields, err := schemas.DecodeOutput(schemas.Events, rows[2].Value)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"kind": "order_completed", "message_id": "shop.csv:3", "customer_id": "bob", "order_id": "o-7", "amount": int64(500), "currency": "JPY",
		"time": operators.EventTime(884_000_000_000 - 884_000_000_000%operators.DayMs), // 1998-01-05
	} {
		if got := fields.Get(name); got != want {
			t.Errorf("row 3 as sent: %s is %v, want %v", name, got, want)
		}
	}
}

// A file with decimal commas and times of another layout holds the events of one that is written as produce takes them by itself.
func TestRowsOfAnotherCountry(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	ours := testRowConfig("customer_id=c", "time=at", "amount=sum", "quantity=n")
	ours.Zone = berlin
	theirs := ours
	theirs.Delimiter, theirs.Decimal, theirs.Layout = ';', ',', "2.1.2006 15:04"
	want := readRows(t, "c,at,sum,n\nann,1998-07-04 13:07:00,1234.50,1.5\nbob,1998-12-31T09:00:00+01:00,12,2\n", ours)
	got := readRows(t, "c;at;sum;n\nann;4.7.1998 13:07;1234,5;1,5\nbob;31.12.1998 09:00;12,00;2\n", theirs)
	if len(got) != 2 || len(want) != 2 {
		t.Fatalf("%d and %d rows, want 2", len(got), len(want))
	}
	for i := range want {
		if got[i].Refused != nil || got[i].Event != want[i].Event || !bytes.Equal(got[i].Value, want[i].Value) {
			t.Errorf("row %d: %+v (%+v), want %+v", i+1, got[i].Event, got[i].Refused, want[i].Event)
		}
	}
}

// Each row that is no event is refused with a reason, and the rows around it are not.
func TestRowsRefused(t *testing.T) {
	const header = "client,when,total,kind,order,n,cur\n"
	const good = "ann,1998-01-04,1.00,,,,\n"
	columns := []string{"customer_id=client", "time=when", "amount=total", "kind=kind", "order_id=order", "quantity=n", "currency=cur"}
	for _, c := range []struct{ line, reason string }{
		{",1998-01-04,1.00,,,,", schemas.ReasonNoCustomer},
		{"ann,,1.00,,,,", "time"},
		{"ann,2200-01-01,1.00,,,,", schemas.ReasonTimeOutOfRange},
		{"ann,1969-12-31,1.00,,,,", schemas.ReasonTimeOutOfRange},
		{"ann,1998-01-04,-1.00,,,,", "number"},
		{"ann,1998-01-04,,,,,", "number"},
		{"ann,1998-01-04,1.00,order_refunded,,,", schemas.ReasonMissingField},
		{"ann,1998-01-04,1.00,purchase,,,", "unknown_kind"},
		{"ann,1998-01-04,1.00,,,NaN,", schemas.ReasonQuantityInvalid},
		{"ann,1998-01-04,1.00,,,-1,", schemas.ReasonQuantityNegative},
		{"ann,1998-01-04,1.00,,,one,", "number"},
		{"ann,1998-01-04,1.00,,,,usd", schemas.ReasonUnknownCurrency},
		{"ann\xff,1998-01-04,1.00,,,,", schemas.ReasonInvalidUTF8},
		{strings.Repeat("a", 300) + ",1998-01-04,1.00,,,,", schemas.ReasonIDTooLong},
		{"ann,1998-01-04", "csv"},
		{`ann,19"98,1.00,,,,`, "csv"},
	} {
		rows := readRows(t, header+good+c.line+"\n"+good, testRowConfig(columns...))
		if len(rows) != 3 || rows[0].Refused != nil || rows[2].Refused != nil {
			t.Errorf("%q: the rows around it: %+v", c.line, rows)
			continue
		}
		if r := rows[1].Refused; r == nil || r.Reason != c.reason || r.Detail == "" {
			t.Errorf("%q: refused %+v, want reason %s", c.line, r, c.reason)
		}
	}
}

func TestRowsHeader(t *testing.T) {
	config := testRowConfig("customer_id=client", "time=when")
	for text, want := range map[string]string{
		"":                  "empty",
		"client,date\nx,y":  `no column "when" for time; columns are client, date`,
		"\x1f\x8bno gzip":   "decompressing",
		"client,\"when\nx,": "header",
		"client,when,when":  `two columns "when"`,
	} {
		if _, err := newRowReader(strings.NewReader(text), config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

// What a refused row is told is of the file: its columns and cells, not of the records that its event would have been in. The column to mend is named, if it
// is one.
func TestRowDetails(t *testing.T) {
	const header = "client,when,total,kind,thing,n\n"
	columns := []string{"customer_id=client", "time=when", "amount=total", "kind=kind", "name=thing", "quantity=n"}
	for _, c := range []struct{ line, column, want string }{
		{",1998-01-04,1,,,", "client", `"client" is empty: every row needs a customer_id`},
		{"ann,9999-01-01,1,,,", "when", `time is "9999-01-01": it must be from 1970 up to, not including, 2200`},
		{"ann,1998-01-04,-1,,,", "total", `money paid back is an event of kind order_refunded`},
		{"ann,1998-01-04,1,page,,", "", "the page event has no name: map a column to it, or fill the cell"},
		{"ann,1998-01-04,1,page," + strings.Repeat("x", 5<<20) + ",", "", "raise limits.value_bytes"},
		{"ann,1998-01-04,1,,,NaN", "n", "quantity is NaN: leave the cell empty"},
		{"ann,1998-01-04,1,page," + strings.Repeat("x", 600) + ",", "thing", "shorten it, or raise limits.name_bytes"},
		{"ann,1998-01-04", "", "no row of 6 columns"},
	} {
		rows := readRows(t, header+c.line+"\n", testRowConfig(columns...))
		if len(rows) != 1 || rows[0].Refused == nil || !strings.Contains(rows[0].Refused.Detail, c.want) || rows[0].Column != c.column {
			t.Errorf("%.40q: refused %+v, column %q; want %q, column %q", c.line, rows[0].Refused, rows[0].Column, c.want, c.column)
			continue
		}
		for _, wrong := range []string{"the record", "dead letter", "producer", "milliseconds"} {
			if strings.Contains(rows[0].Refused.Detail, wrong) {
				t.Errorf("%.40q: %q tells of %q", c.line, rows[0].Refused.Detail, wrong)
			}
		}
	}
}

func TestRowsCompressed(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := io.WriteString(w, "client;when;total\nann;1998-01-04;2\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	config := testRowConfig("customer_id=client", "time=when", "amount=total")
	config.Delimiter = ';'
	if rows := readRows(t, zipped.String(), config); len(rows) != 1 || rows[0].Refused != nil || rows[0].Event.Amount != 200 {
		t.Errorf("rows %+v", rows)
	}
}

// TestColumns: a field is read from the column that it is mapped to, else from that of its name if there is one, whatever others are mapped to.
func TestColumns(t *testing.T) {
	for _, c := range []struct {
		header, mapped string
		want           string // of the event's customer, day, amount and order, or of the error
	}{
		{"customer_id,date,amount,order_id", "", "ann 1998-01-04 200 o1"},
		{"customer_id,date,amount,order_id", "amount=amount", "ann 1998-01-04 200 o1"},
		{"client,time,amount,order_id", "customer_id=client", "ann 1998-01-04 200 o1"},
		{"customer_id,when,amount,order_id", "time=when", "ann 1998-01-04 200 o1"},
		{"customer_id,date,total,order_id", "amount=total", "ann 1998-01-04 200 o1"},
		{"customer_id,date,amount,order_id", "order_id=,message_id=order_id", "ann 1998-01-04 200 shop.csv:1"},
		{"customer_id,date,total,id", "amount=total", "ann 1998-01-04 200 shop.csv:1"},
		{"client,date,amount,order_id", "amount=amount", "no column is named customer_id: say by --map customer_id=COLUMN"},
		{"customer_id,date,total,order_id", "amount=sum", `there is no column "sum" for amount`},
	} {
		columns := strings.FieldsFunc(c.mapped, func(r rune) bool { return r == ',' })
		reader, err := newRowReader(strings.NewReader(c.header+"\nann,1998-01-04,2,o1\n"), testRowConfig(columns...))
		var r row
		if err == nil {
			err = reader.next(&r)
		}
		got := fmt.Sprintf("%s %s %d %s", r.Event.Customer, r.Event.Day, r.Event.Amount, r.Event.OrderID)
		if err != nil {
			got = err.Error()
		}
		if r.Refused != nil || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s with %q: %s, refused %v; want %s", c.header, c.mapped, got, r.Refused, c.want)
		}
	}
}

func TestParseColumns(t *testing.T) {
	for pairs, want := range map[string]string{
		"customer_id=":                       "FIELD=COLUMN",
		"customer_id=a,amount=,amount=b":     "twice",
		"customer_id=a,time=b,price=c":       `no field "price"`,
		"customer_id=a,time=b,time=c":        "twice",
		"customer_id=a,time":                 "FIELD=COLUMN",
		"customer_id=a,time=":                "FIELD=COLUMN",
		"customer_id=a,time=b,customer_id=b": "twice",
	} {
		if _, err := parseColumns(strings.Split(pairs, ",")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", pairs, err, want)
		}
	}
}

// TestOutputIsNoInput proves that no output flag overwrites the file that is read.
func TestOutputIsNoInput(t *testing.T) {
	const text = "customer_id,date,amount\nann,2026-01-01,5\neve,yesterday,1\n"
	for _, args := range [][]string{
		{"produce", "--brokers", "127.0.0.1:1", "--topic", "shop", "--csv", "F", "--refused", "F"},
		{"backtest", "--calibrate-until", "2026-01-02", "--holdout-until", "2026-01-03", "--events", "F", "--refused", "F"},
		{"backtest", "--calibrate-until", "2026-01-02", "--holdout-until", "2026-01-03", "--events", "F", "--per-customer", "F"},
	} {
		file := writeFile(t, "orders.csv", text)
		for i := range args {
			if args[i] == "F" {
				args[i] = file
			}
		}
		_, errs, code := lull(t, args...)
		after, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if code != exitUsage || !strings.Contains(errs, "is the file that is read") || string(after) != text {
			t.Errorf("%v: exit code %d, %s; the file is %q", args, code, errs, after)
		}
	}
}

// TestFirstBytes proves that a file which is not of the format is told by how it begins, and that nothing of it is printed as it is.
func TestFirstBytes(t *testing.T) {
	const header = "customer_id,time,amount\n"
	for _, c := range []struct {
		format      fileFormat
		begins, say string // "": it is of the format
	}{
		{csvFormat, "BZh91AY&SY", "compressed by bzip2"},
		{csvFormat, "\xfd7zXZ\x00\x00\x04", "compressed by xz"},
		{jsonFormat, "\x04\x22\x4d\x18d", "compressed by lz4"},
		{csvFormat, "\x7fELF\x02\x01\x01\x00", `binary: the first bytes are "\x7fELF\x02\x01\x01\x00"`},
		{jsonFormat, "\x89PNG\r\n\x1a\n\x00\x00", `binary: the first bytes are "\x89PNG\r\n\x1a\n\x00\x00"`},
		{csvFormat, " {\n\"a\": 1}", "JSON: `lull produce` takes it by --jsonl"},
		{csvFormat, "\ufeff{\"a\": 1}", "JSON: `lull produce` takes it by --jsonl"},
		{csvFormat, "[{\"a\": 1}]", "JSON: `lull produce` takes it by --jsonl"},
		{jsonFormat, "{\"a\": 1}", ""},
		{csvFormat, "{a},[b]\n", ""},
		{csvFormat, header + "ann,1998-01-04,1\r\n\x1a", ""},
		{csvFormat, "Gr\xf6\xdfe,Preis\n", ""}, // of one byte a letter
	} {
		_, err := uncompressed(strings.NewReader(c.begins), c.format)
		if c.say == "" && err != nil || c.say != "" && (err == nil || !strings.Contains(err.Error(), c.say)) {
			t.Errorf("%q: %v; want %q", c.begins, err, c.say)
		}
	}
	if _, err := newRowReader(strings.NewReader("a\u009b31m,\xffb\n"), rowConfig{Delimiter: ','}); err == nil || !strings.HasSuffix(err.Error(), "columns are a\uFFFD31m, \uFFFDb") {
		t.Errorf("%v", err)
	}
}
