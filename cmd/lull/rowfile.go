package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

// fileFlags are the flags that say how the rows of a file become events.
type fileFlags struct {
	path   string
	format fileFormat

	source, kind, currency, timezone, delimiter, decimal, layout, refused string
	columns                                                               []string
}

// add gives the command the flags, but for those of the file and of its name in ids, which are the command's own.
func (f *fileFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.columns, "map", nil, "which column holds which field, where it is not the one of the field's name: `FIELD=COLUMN,...`; FIELD= for one that no column holds")
	cmd.Flags().StringVar(&f.kind, "kind", operators.OrderCompleted.String(), "kind of events in rows without one")
	cmd.Flags().StringVar(&f.currency, "currency", "", "currency of amounts in rows without one (default money.currency)")
	cmd.Flags().StringVar(&f.timezone, "timezone", "", "IANA time `zone` of dates and times without an offset (default calendar.timezone)")
	cmd.Flags().StringVar(&f.delimiter, "delimiter", ",", "`character` between columns")
	cmd.Flags().StringVar(&f.decimal, "decimal", "point", "what stands before the decimals of numbers in CSV: point or comma")
	cmd.Flags().StringVar(&f.layout, "layout", "", "`layout` of all times: how the file writes 2 January 2006, 15:04:05, such as 02.01.2006 15:04 (default ISO 8601 and Unix times)")
	cmd.Flags().StringVar(&f.refused, "refused", "", "`file` to write all refused rows to, as CSV with their numbers and reasons")
}

// setDefaults takes from the settings what no flag has set.
func (f *fileFlags) setDefaults(s *pipeline.Settings) {
	f.currency = cmp.Or(f.currency, s.Money.Currency)
	f.timezone = cmp.Or(f.timezone, s.Calendar.Timezone)
}

// zone returns the time zone.
func (f *fileFlags) zone() (*time.Location, error) {
	zone, err := time.LoadLocation(f.timezone)
	if err != nil {
		return nil, fmt.Errorf("--timezone %q: it must be an IANA time zone such as Europe/Berlin", f.timezone)
	}
	return zone, nil
}

func (f *fileFlags) rowConfig(zone *time.Location, limits schemas.Limits) (rowConfig, error) {
	columns, err := parseColumns(f.columns)
	if err != nil {
		return rowConfig{}, err
	}
	kind, ok := operators.KindNamed(f.kind)
	if !ok {
		return rowConfig{}, fmt.Errorf("--kind %q: it must be a kind of event, such as %s", f.kind, operators.OrderCompleted)
	}
	if _, ok := schemas.CurrencyDigits(f.currency); !ok {
		return rowConfig{}, fmt.Errorf("--currency %q: it must be a code of ISO 4217, such as USD", f.currency)
	}
	delimiter, size := utf8.DecodeRuneInString(f.delimiter)
	if size == 0 || size != len(f.delimiter) || strings.ContainsRune("\"\r\n\ufffd", delimiter) {
		return rowConfig{}, fmt.Errorf("--delimiter %q: it must be one character, and no quote or line end", f.delimiter)
	}
	decimal, ok := map[string]byte{"point": '.', "comma": ','}[f.decimal]
	switch {
	case !ok:
		return rowConfig{}, fmt.Errorf("--decimal is %q: it must be point or comma", f.decimal)
	case decimal == ',' && f.format != csvFormat:
		return rowConfig{}, errors.New(`--decimal comma is for CSV: in JSON and Avro numbers have a point; an input with a mapping reads texts such as "12,50", by its decimal: comma, of what --lines sends`)
	case f.layout != "" && !schemas.LayoutTellsDay(f.layout):
		return rowConfig{}, fmt.Errorf("--layout is %q: it must write 2 January 2006, 15:04:05, as the times are written, such as 02.01.2006 15:04:05", f.layout)
	}
	return rowConfig{
		Format: f.format, Columns: columns, Source: cmp.Or(f.source, sourceOf(f.path)), Kind: kind, Currency: f.currency, Zone: zone,
		Delimiter: delimiter, Decimal: decimal, Layout: f.layout, Limits: limits,
	}, nil
}

// sourceOf returns the name of a file without its folder and without that of its compression.
func sourceOf(path string) string {
	name := filepath.Base(path)
	for _, end := range []string{".gz", ".zst", ".zstd"} {
		name = strings.TrimSuffix(name, end)
	}
	return name
}

// open opens the file; a progress bar shows how much of it has been read. Call done at the end: it takes the bar from the screen.
func (f *fileFlags) open(cmd *cobra.Command, zone *time.Location, limits schemas.Limits, what string) (rows *rowReader, done func(), err error) {
	config, err := f.rowConfig(zone, limits)
	if err != nil {
		return nil, nil, usageError{err}
	}
	file, size, err := openInput(cmd, f.path)
	if err != nil {
		return nil, nil, err
	}
	bar := newProgress(cmd.ErrOrStderr(), size, what+" "+config.Source)
	done = func() {
		_, _ = bar.Clear(), bar.Exit() // the bar is decoration
		_ = file.Close()               // it has only been read
	}
	reader := progressbar.NewReader(file, bar)
	if rows, err = newRowReader(&reader, config); err != nil {
		done()
		return nil, nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return rows, done, nil
}

// openInput opens the file, or standard input for "-"; size is -1 if not known.
func openInput(cmd *cobra.Command, path string) (file io.ReadCloser, size int64, err error) {
	if path == "-" {
		return io.NopCloser(cmd.InOrStdin()), -1, nil
	}
	opened, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	size = -1
	if info, err := opened.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return opened, size, nil
}

// checkOutput returns an error if the file of a flag is the input, which would be lost before it has been read.
func (f *fileFlags) checkOutput(flag, output string) error {
	out, err := os.Stat(output)
	if err != nil {
		return nil // it is made, or the error is told then
	}
	if in, err := os.Stat(f.path); err == nil && os.SameFile(in, out) {
		return usageError{fmt.Errorf("%s %q is the file that is read: name another", flag, output)}
	}
	return nil
}

// canResume reports whether the file can be read again from its start, and so be gone on with.
func (f *fileFlags) canResume() bool {
	info, err := os.Stat(f.path)
	return err == nil && f.path != "-" && info.Mode().IsRegular()
}
