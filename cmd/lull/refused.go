package main

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
)

// refusedRows are the rows of a file that are no events. The zero value has none.
type refusedRows struct {
	Count int64

	reasons []refusals
	all     *refusedFile // of all of them; nil for none
}

// refusals are the rows that were refused for one reason.
type refusals struct {
	reason   string
	count    int64
	examples []string // the first few
}

// newRefusedRows returns a collection of refused rows, which also writes them to the file of this path unless that is "". The header is that of the rows.
func newRefusedRows(path string, header []string) (r refusedRows, err error) {
	if path != "" {
		r.all, err = newRefusedFile(path, header)
	}
	return r, err
}

func (r *refusedRows) add(of *row) error {
	const examplesMax = 3
	r.Count++
	i := slices.IndexFunc(r.reasons, func(known refusals) bool { return known.reason == of.Refused.Reason })
	if i < 0 {
		i = len(r.reasons)
		r.reasons = append(r.reasons, refusals{reason: of.Refused.Reason})
	}
	known := &r.reasons[i]
	known.count++
	if len(known.examples) < examplesMax {
		known.examples = append(known.examples, of.place()+": "+of.Refused.Detail)
	}
	return r.all.add(of)
}

// print tells why rows were refused, the most frequent reason first.
func (r *refusedRows) print(w io.Writer) {
	slices.SortStableFunc(r.reasons, func(a, b refusals) int { return cmp.Compare(b.count, a.count) })
	for _, reason := range r.reasons {
		fmt.Fprintf(w, "  %s: %d\n", reason.reason, reason.count)
		for _, example := range reason.examples {
			fmt.Fprintf(w, "    %s\n", example)
		}
		switch more := reason.count - int64(len(reason.examples)); {
		case more > 0 && r.all == nil:
			fmt.Fprintf(w, "    and %d more; --refused FILE writes all to a file\n", more)
		case more > 0:
			fmt.Fprintf(w, "    and %d more, in %s\n", more, r.all.file.Name())
		}
	}
}

// close ends the file of all refused rows, if there is one.
func (r *refusedRows) close() error { return r.all.close() }

// refusedFile is a CSV file of refused rows: number, line, reason and detail, then the row's cells if it could be taken apart. The zero pointer takes
// nothing.
type refusedFile struct {
	file *os.File
	rows *csv.Writer
}

func newRefusedFile(path string, header []string) (*refusedFile, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("--refused: %w", err)
	}
	f := &refusedFile{file: file, rows: csv.NewWriter(file)}
	return f, f.rows.Write(append([]string{"row", "line", "reason", "detail"}, header...))
}

func (f *refusedFile) add(r *row) error {
	if f == nil {
		return nil
	}
	return f.rows.Write(append([]string{
		strconv.FormatInt(r.Number, 10), strconv.Itoa(r.Line), r.Refused.Reason, r.Refused.Detail,
	}, r.Cells...))
}

func (f *refusedFile) close() error {
	if f == nil {
		return nil
	}
	f.rows.Flush()
	if err := errors.Join(f.rows.Error(), f.file.Close()); err != nil {
		return fmt.Errorf("writing the refused rows: %w", err)
	}
	return nil
}
