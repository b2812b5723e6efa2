package snapshot_test

import (
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"lull/pipeline/snapshot"
)

// TestObjectStore: a snapshot in a bucket of an object store that speaks S3 is the same as in a folder, file by file; it is found there when it is asked for again, latest names it, and older ones are removed.
func TestObjectStore(t *testing.T) {
	store := s3mem.New()
	server := httptest.NewServer(gofakes3.New(store).Server())
	defer server.Close()
	if err := store.CreateBucket("shop"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none")) // not that of who runs the test
	target := open(t, "s3://shop?region=us-east-1&use_path_style=true&prefix=lull/&endpoint="+server.URL)
	dir := t.TempDir()
	config := snapshot.Config{AsOf: day(3)}
	folder, err := take(t, open(t, dir), config, time.Now(), adopted(20, nil))
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
		object, err := store.GetObject("shop", "lull/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if object.Size != of.Bytes || of.SHA256 != folder.Manifest.Tables[i].SHA256 {
			t.Errorf("%s: %d bytes, the manifest says %+v", name, object.Size, of)
		}
	}
	if again, err := take(t, target, config, time.Now(), adopted(20, nil)); err != nil || !again.Existed {
		t.Errorf("the same once more: %v, %v", again, err)
	}
	later, err := take(t, target, snapshot.Config{AsOf: day(4), Keep: 1}, time.Now(), adopted(20, nil))
	if err != nil || len(later.Removed) != 1 || later.Removed[0] != bucket.Manifest.Snapshot {
		t.Errorf("removed are %+v, %v", later, err)
	}
	if latest, err := target.Latest(t.Context()); err != nil || latest != later.Manifest.Snapshot {
		t.Errorf("the latest is %s, %v", latest, err)
	}
}
