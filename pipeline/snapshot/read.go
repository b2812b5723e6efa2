package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/parquet-go/parquet-go"
)

// Kept opens what snapshots are kept in, as OpenTarget does, and makes no folder: one that is not there is an error.
func Kept(ctx context.Context, in string) (*Target, error) {
	if folder, ok := folderOf(in); ok {
		if _, err := os.Stat(folder); err != nil {
			return nil, fmt.Errorf("%w: it must be the folder, or the URL of the bucket, that lull snapshot writes to", err)
		}
	}
	return OpenTarget(ctx, in)
}

// find returns the manifest of a whole snapshot, "" being the one that latest names.
func (t *Target) find(ctx context.Context, name string) (*Manifest, error) {
	if name == "" {
		latest, err := t.Latest(ctx)
		if err != nil {
			return nil, err
		}
		if latest == "" {
			return nil, fmt.Errorf("%q has no snapshot: there is no file %q. Take one by `lull snapshot`, or name where they are", t.name, latestName)
		}
		name = latest
	}
	if !namePattern.MatchString(name) {
		return nil, fmt.Errorf("%q is no name of a snapshot: it must be like 19970930T000000.000Z-173b73379d7f", name)
	}
	m, err := t.Manifest(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return nil, fmt.Errorf("snapshot %s is not in %q, or is not whole: it has no %s. Take it anew, or name another", name, t.name, manifestName)
	case m.Format != formatVersion:
		return nil, fmt.Errorf("snapshot %s in %q is of format %d, and this lull reads %d: use the lull that wrote it, which is %s, or take it anew", name, t.name, m.Format, formatVersion, m.WrittenBy)
	}
	m.Snapshot = name // which files are read, whatever the file says
	return m, nil
}

// Tables are those of one whole snapshot, to be read. Their files are copied, for as long as it is open, into a folder below TMPDIR: readers of Parquet jump to and fro, which stores of objects are slow at.
type Tables struct {
	Manifest *Manifest

	target *Target
	dir    string
}

// Open opens a snapshot by its name, "" being the one that latest names.
func (t *Target) Open(ctx context.Context, name string) (*Tables, error) {
	m, err := t.find(ctx, name)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lull-tables-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for copies of tables: %w; TMPDIR names where", err)
	}
	return &Tables{m, t, dir}, nil
}

// Close removes the copies.
func (t *Tables) Close() error { return os.RemoveAll(t.dir) }

// Table returns what the manifest says of a table; nil if the snapshot was taken without it.
func (t *Tables) Table(name string) *Table {
	at := slices.IndexFunc(t.Manifest.Tables, func(table Table) bool { return table.Name == name })
	if at < 0 {
		return nil
	}
	return &t.Manifest.Tables[at]
}

// Rows calls each for the rows of a table, in their order, and a table that the snapshot was taken without has none. R is a struct with a field for each column that is wanted, named by its tag of parquet; it must be a
// pointer where the column may be null. A row is valid until each returns. Memory does not grow with the number of rows.
func Rows[R any](ctx context.Context, t *Tables, table string, each func(row *R) error) (err error) {
	of := t.Table(table)
	if of == nil {
		return nil
	}
	name := t.Manifest.Snapshot + "/" + of.File
	path, err := t.copy(ctx, of, name)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it was only read
	reading := func(err error) error { return fmt.Errorf("reading %s in %q: %w", name, t.target.name, err) }
	opened, err := parquet.OpenFile(file, of.Bytes, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return reading(err)
	}
	reader := parquet.NewGenericReader[R](opened)
	defer func() { err = errors.Join(err, reader.Close()) }()
	rows := make([]R, 512)
	for {
		clear(rows) // what a row has of the last one would be changed with it
		n, err := reader.Read(rows)
		for i := range rows[:n] {
			if err := each(&rows[i]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return reading(err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// copy returns the path of a copy of a table's file, which is what the manifest says.
func (t *Tables) copy(ctx context.Context, of *Table, name string) (path string, err error) {
	path = filepath.Join(t.dir, hex.EncodeToString([]byte(of.Name))+".parquet")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	from, err := t.target.bucket.NewReader(ctx, name, nil)
	if err != nil {
		return "", fmt.Errorf("reading %s in %q: %w", name, t.target.name, err)
	}
	defer from.Close()                   //nolint:errcheck // it was only read
	to, err := os.Create(path + ".part") // what was copied in part is not taken for it
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	size, err := io.Copy(io.MultiWriter(to, sum), from)
	if err = errors.Join(err, to.Close()); err != nil {
		return "", fmt.Errorf("copying %s in %q into a folder below TMPDIR: %w", name, t.target.name, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); size != of.Bytes || got != of.SHA256 {
		return "", fmt.Errorf("%s in %q is not what %s says: it has %d bytes with the SHA-256 %s, instead of %d with %s. Remove the snapshot, and take it anew", name, t.target.name, manifestName, size, got, of.Bytes, of.SHA256)
	}
	return path, os.Rename(path+".part", path)
}
