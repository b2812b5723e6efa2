package snapshot_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lull/pipeline/snapshot"
)

// TestUnfinished: what a killed process has left of a file in the folder of a snapshot that another has taken since is removed by whoever takes the next, but not what may still be written.
func TestUnfinished(t *testing.T) {
	dir := t.TempDir()
	target := open(t, dir)
	taken, err := take(t, target, snapshot.Config{AsOf: day(3)}, time.Now(), adopted(20, nil))
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, taken.Manifest.Snapshot)
	before, err := os.ReadDir(at)
	if err != nil {
		t.Fatal(err)
	}
	left, writing := filepath.Join(at, "orders.parquet.18b2f0c7a1d3e400.tmp"), filepath.Join(at, "customers.parquet.18b2f0c7a1d3e401.tmp")
	for name, age := range map[string]time.Duration{left: 2 * time.Hour, writing: time.Minute} {
		touched := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(name, []byte("PAR1"), 0o600), os.Chtimes(name, touched, touched)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := take(t, target, snapshot.Config{AsOf: day(4)}, time.Now(), adopted(20, nil)); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadDir(at)
	if err != nil || len(after) != len(before)+1 {
		t.Errorf("%d files are there, %v, want %d and the one that may still be written", len(after), err, len(before))
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", left, err)
	}
	if _, err := os.Stat(writing); err != nil {
		t.Error(err)
	}
}

// TestFileURL: the URL of a folder is as good as its path: it is made if it is not there, though not to be read from, and there is nothing in it but what is written.
func TestFileURL(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "not", "there yet")
	address := (&url.URL{Scheme: "file", Path: filepath.ToSlash(folder)}).String()
	if _, err := snapshot.Kept(t.Context(), address); err == nil || !strings.Contains(err.Error(), "it must be the folder, or the URL of the bucket, that lull snapshot writes to") {
		t.Errorf("to be read from: %v", err)
	}
	target := open(t, address)
	if err := target.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	taken, err := take(t, target, snapshot.Config{AsOf: day(3)}, time.Now(), adopted(20, nil))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(folder, taken.Manifest.Snapshot, "*"))
	if err != nil || len(files) != len(taken.Manifest.Tables)+1 {
		t.Errorf("there are %v, %v", files, err)
	}
	if _, err := take(t, target, snapshot.Config{AsOf: day(4), Keep: 1}, time.Now(), adopted(20, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, taken.Manifest.Snapshot)); !os.IsNotExist(err) {
		t.Errorf("the folder of the snapshot that was removed: %v", err)
	}
	file := filepath.Join(folder, "latest")
	if err := snapshot.CheckTarget("file://" + filepath.ToSlash(file)); err == nil || !strings.Contains(err.Error(), "is a file: it must be a folder") {
		t.Errorf("a file: %v", err)
	}
}

// TestObjectStores: a snapshot in a bucket of an object store is the same as in a folder, file by file; it is found there when it is asked for again, latest names it, and older ones are removed.
func TestObjectStores(t *testing.T) {
	for name, start := range map[string]func(*testing.T) store{"s3": s3, "gs": gs, "azblob": azblob} {
		t.Run(name, func(t *testing.T) {
			store := start(t)
			target := open(t, store.url+"&prefix=lull/")
			config := snapshot.Config{AsOf: day(3)}
			folder, err := take(t, open(t, t.TempDir()), config, time.Now(), adopted(20, nil))
			if err != nil {
				t.Fatal(err)
			}
			bucket, err := take(t, target, config, time.Now(), adopted(20, nil))
			if err != nil {
				t.Fatal(err)
			}
			if folder.Manifest.Snapshot != bucket.Manifest.Snapshot || len(bucket.Manifest.Tables) != len(snapshot.TableNames()) {
				t.Errorf("%+v in the folder, %+v in the bucket", folder.Manifest, bucket.Manifest)
			}
			for i, of := range bucket.Manifest.Tables {
				name := bucket.Manifest.Snapshot + "/" + of.File
				content, ok := store.get("lull/" + name)
				if sum := sha256.Sum256(content); !ok || int64(len(content)) != of.Bytes || hex.EncodeToString(sum[:]) != folder.Manifest.Tables[i].SHA256 {
					t.Errorf("%s: %t, %d bytes, the manifest says %+v", name, ok, len(content), of)
				}
			}
			tables, err := target.Open(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			for _, of := range tables.Manifest.Tables {
				rows := int64(0)
				if err := snapshot.Rows(t.Context(), tables, of.Name, func(*struct{}) error { rows++; return nil }); err != nil || rows != of.Rows {
					t.Errorf("%s: %d rows are read, %v; the manifest says %d", of.Name, rows, err, of.Rows)
				}
			}
			if err := tables.Close(); err != nil {
				t.Error(err)
			}
			if again, err := take(t, target, config, time.Now(), adopted(20, nil)); err != nil || !again.Existed {
				t.Errorf("the same once more: %v, %v", again, err)
			}
			later, err := take(t, target, snapshot.Config{AsOf: day(4), Keep: 1}, time.Now(), adopted(20, nil))
			if err != nil || len(later.Removed) != 1 || later.Removed[0] != bucket.Manifest.Snapshot {
				t.Errorf("removed are %+v, %v", later, err)
			}
			for _, of := range bucket.Manifest.Tables {
				if _, ok := store.get("lull/" + bucket.Manifest.Snapshot + "/" + of.File); ok {
					t.Errorf("%s of the snapshot that was removed is there", of.File)
				}
			}
			if latest, err := target.Latest(t.Context()); err != nil || latest != later.Manifest.Snapshot {
				t.Errorf("the latest is %s, %v", latest, err)
			}
		})
	}
}
