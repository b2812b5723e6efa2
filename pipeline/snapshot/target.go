package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/fileblob"  // file://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/memblob"   // mem://
	_ "gocloud.dev/blob/s3blob"    // s3://
	"gocloud.dev/gcerrors"
)

// Target is where snapshots are kept: a folder, or a bucket of an object store. Each lies under its own name; it is whole if it has a manifest.
type Target struct {
	bucket *blob.Bucket
	name   string
	folder string // its path; "" of a bucket of an object store
}

// latestName is the name of the file that names the newest whole snapshot.
const latestName = "latest"

// manifestName is the name of the file that is written last.
const manifestName = "manifest.json"

// OpenTarget opens a folder, which is made if it is not there, or the bucket of a URL. The error says which URLs there are. Credentials that are asked for later may be so under ctx.
func OpenTarget(ctx context.Context, out string) (*Target, error) {
	address, err := addressOf(out)
	if err != nil {
		return nil, err
	}
	bucket, err := blob.OpenBucket(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", out, err)
	}
	folder, _ := folderOf(out)
	return &Target{bucket, out, folder}, nil
}

// checkTimeout is how long a store may take to answer Check: its client tries more than once.
const checkTimeout = 30 * time.Second

// Check asks the store whether it is there and may be listed, as all that is written later needs. The error says what to do.
func (t *Target) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, checkTimeout, fmt.Errorf("no answer within %s", checkTimeout))
	defer cancel()
	_, err := t.bucket.List(&blob.ListOptions{Prefix: latestName}).Next(ctx)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%q cannot be listed: %w: see whether that is its name, whether it is reached from here, and whether the credentials here may list, read, write and delete there (docs/snapshots.md)", t.name, err)
}

// CheckTarget says what keeps OpenTarget from opening it as long as out is what it is. Nothing is asked of a store.
func CheckTarget(out string) error {
	_, err := addressOf(out)
	return err
}

// folderOf returns the path of the folder that out names, by itself or as a URL; false if it is none.
func folderOf(out string) (path string, ok bool) {
	if !strings.Contains(out, "://") {
		return out, true
	}
	u, err := url.Parse(out)
	if err != nil || u.Scheme != "file" {
		return "", false
	}
	if u.Host == "." { // what fileblob takes for a path below the working folder
		return filepath.FromSlash(strings.TrimPrefix(u.Path, "/")), true
	}
	return filepath.FromSlash(u.Path), true
}

// addressOf returns the URL of a folder, with what it is written by, or out if it is another.
func addressOf(out string) (string, error) {
	folder, isFolder := folderOf(out)
	if !isFolder {
		scheme, _, _ := strings.Cut(out, "://")
		if !blob.DefaultURLMux().ValidBucketScheme(scheme) {
			schemes := blob.DefaultURLMux().BucketSchemes()
			slices.Sort(schemes)
			return "", fmt.Errorf("%q: it must be a folder, or a URL that begins with %s://", out, strings.Join(schemes, ":// or "))
		}
		return out, nil
	}
	path, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	if at, err := os.Stat(path); err == nil && !at.IsDir() {
		return "", fmt.Errorf("%q is a file: it must be a folder, which is made if it is not there", out)
	}
	query := url.Values{"create_dir": {"true"}, "no_tmp_dir": {"true"}, "metadata": {"skip"}} // written beside the place they then take, without notes beside the files
	if folder != out {
		given, _ := url.Parse(out) // folderOf has
		maps.Copy(query, given.Query())
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query.Encode()}).String(), nil
}

// Close releases what the target holds.
func (t *Target) Close() error { return t.bucket.Close() }

// create returns a writer of a file, which is there once it has been closed, and is not if ctx was cancelled before.
func (t *Target) create(ctx context.Context, name, contentType string) (io.WriteCloser, error) {
	w, err := t.bucket.NewWriter(ctx, name, &blob.WriterOptions{ContentType: contentType})
	if err != nil {
		return nil, fmt.Errorf("writing %s in %q: %w", name, t.name, err)
	}
	return w, nil
}

// write writes a small file at once.
func (t *Target) write(ctx context.Context, name, contentType string, content []byte) error {
	if err := t.bucket.WriteAll(ctx, name, content, &blob.WriterOptions{ContentType: contentType}); err != nil {
		return fmt.Errorf("writing %s in %q: %w", name, t.name, err)
	}
	return nil
}

// Manifest returns that of a snapshot, nil if there is no such whole one.
func (t *Target) Manifest(ctx context.Context, snapshot string) (*Manifest, error) {
	name := snapshot + "/" + manifestName
	text, err := t.bucket.ReadAll(ctx, name)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s in %q: %w", name, t.name, err)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("reading %s in %q: %w: remove what it is in", name, t.name, err)
	}
	return &m, nil
}

// writeManifest makes a snapshot whole.
func (t *Target) writeManifest(ctx context.Context, m *Manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return t.write(ctx, m.Snapshot+"/"+manifestName, "application/json", append(text, '\n'))
}

// Latest returns the name of the newest whole snapshot, "" if there is none.
func (t *Target) Latest(ctx context.Context) (string, error) {
	text, err := t.bucket.ReadAll(ctx, latestName)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s in %q: %w", latestName, t.name, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// snapshots returns the manifests of the whole snapshots, the newest first.
func (t *Target) snapshots(ctx context.Context) (whole []*Manifest, err error) {
	for list := t.bucket.List(&blob.ListOptions{Delimiter: "/"}); ; {
		at, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("listing %q: %w", t.name, err)
		}
		name, isDir := strings.CutSuffix(at.Key, "/")
		if !isDir || !namePattern.MatchString(name) {
			continue // not ours
		}
		m, err := t.Manifest(ctx, name)
		if err != nil {
			return nil, err
		}
		if m != nil { // nil: broken off, or not written to its end yet
			whole = append(whole, m)
		}
	}
	slices.SortFunc(whole, func(a, b *Manifest) int {
		if a.Snapshot[:asOfLength] != b.Snapshot[:asOfLength] {
			return strings.Compare(b.Snapshot, a.Snapshot) // begins with its instant
		}
		return b.WrittenAt.Compare(a.WrittenAt)
	})
	return whole, nil
}

// settle makes latest name the newest whole snapshot, of the latest instant and of the same the one that was written last, and then removes those that are not to be kept: beyond
// the newest keep (0: however many there are), and those written longer than keepFor before now (0: however old they are). The newest and the one that was taken always stay. It returns the names of
// what it has removed.
func (t *Target) settle(ctx context.Context, taken string, keep int, keepFor time.Duration, now time.Time) (removed []string, err error) {
	whole, err := t.snapshots(ctx)
	if err != nil || len(whole) == 0 {
		return nil, err
	}
	if err := t.write(ctx, latestName, "text/plain", []byte(whole[0].Snapshot+"\n")); err != nil {
		return nil, err
	}
	for _, m := range whole {
		if err := t.sweep(m.Snapshot, now); err != nil {
			return nil, err
		}
	}
	for i, m := range whole[1:] {
		if m.Snapshot != taken && (keep > 0 && i+1 >= keep || keepFor > 0 && now.Sub(m.WrittenAt) > keepFor) {
			if err := t.remove(ctx, m.Snapshot); err != nil {
				return removed, err
			}
			removed = append(removed, m.Snapshot)
		}
	}
	return removed, nil
}

// unfinished is the name of a file of a folder while it is written; unfinishedAge is how long nobody has written to one that belongs to no process any more.
var unfinished = regexp.MustCompile(`\.[0-9a-f]+\.tmp$`)

const unfinishedAge = time.Hour

// sweep removes what a process that was killed has left in the folder of a snapshot that is whole by now. A store keeps no file that was not written to its end.
func (t *Target) sweep(snapshot string, now time.Time) error {
	if t.folder == "" {
		return nil
	}
	dir := filepath.Join(t.folder, snapshot)
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // another process may have removed the snapshot
		return err
	}
	for _, file := range files {
		if !unfinished.MatchString(file.Name()) {
			continue
		}
		about, err := file.Info()
		if err == nil && now.Sub(about.ModTime()) > unfinishedAge {
			err = os.Remove(filepath.Join(dir, file.Name()))
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // another process may have removed it
			return err
		}
	}
	return nil
}

// remove removes a snapshot, its manifest first: from then on it is not whole.
func (t *Target) remove(ctx context.Context, snapshot string) error {
	names := []string{snapshot + "/" + manifestName}
	for list := t.bucket.List(&blob.ListOptions{Prefix: snapshot + "/"}); ; {
		at, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("listing %q: %w", t.name, err)
		}
		if at.Key != names[0] {
			names = append(names, at.Key)
		}
	}
	for _, name := range names {
		if err := t.bucket.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("removing %s in %q: %w", name, t.name, err)
		}
	}
	if t.folder != "" { // a bucket has no folders, and nobody is told of one: another process may be writing there
		_ = os.Remove(filepath.Join(t.folder, snapshot))
	}
	return nil
}
