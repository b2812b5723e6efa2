package snapshot_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// store is an object store of the test's own with a bucket "shop".
type store struct {
	url string                                      // of the bucket
	get func(name string) (content []byte, ok bool) // an object in it
}

// objects are what is in a bucket.
type objects struct {
	mu      sync.Mutex
	content map[string][]byte
}

func (o *objects) get(name string) (content []byte, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	content, ok = o.content[name]
	return content, ok
}

func (o *objects) put(name string, content []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.content[name] = content
}

// remove reports whether the object was there.
func (o *objects) remove(name string) bool {
	_, ok := o.get(name)
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.content, name)
	return ok
}

// list returns the names of the objects under a prefix, and of the folders, if there is a delimiter.
func (o *objects) list(prefix, delimiter string) (names, folders []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(o.content)) {
		rest, under := strings.CutPrefix(name, prefix)
		if !under {
			continue
		}
		if folder, _, ok := strings.Cut(rest, delimiter); ok && delimiter != "" {
			folders = append(folders, prefix+folder+delimiter)
			continue
		}
		names = append(names, name)
	}
	return names, slices.Compact(folders)
}

// serve starts a server for the objects of a bucket.
func serve(t *testing.T, handle func(o *objects, w http.ResponseWriter, r *http.Request)) (o *objects, address string) {
	t.Helper()
	o = &objects{content: make(map[string][]byte)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(o, w, r) }))
	t.Cleanup(server.Close)
	return o, server.URL
}

// s3 is a store that speaks the protocol of S3.
func s3(t *testing.T) store {
	t.Helper()
	memory := s3mem.New()
	server := httptest.NewServer(gofakes3.New(memory).Server())
	t.Cleanup(server.Close)
	if err := memory.CreateBucket("shop"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none")) // not that of who runs the test
	return store{"s3://shop?region=us-east-1&use_path_style=true&endpoint=" + server.URL, func(name string) ([]byte, bool) {
		object, err := memory.GetObject("shop", name, nil)
		if err != nil {
			return nil, false
		}
		defer object.Contents.Close()
		content, err := io.ReadAll(object.Contents)
		return content, err == nil
	}}
}

// gs speaks as much of the protocol of Google Cloud Storage as is needed for files that go in one request.
func gs(t *testing.T) store {
	t.Helper()
	o, address := serve(t, func(o *objects, w http.ResponseWriter, r *http.Request) {
		const of = "/storage/v1/b/shop/o"
		object := func(name string) map[string]any {
			content, _ := o.get(name)
			return map[string]any{"bucket": "shop", "name": name, "size": strconv.Itoa(len(content)), "generation": "1", "updated": time.Now().Format(time.RFC3339)}
		}
		answer := func(what any) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(what); err != nil {
				t.Error(err)
			}
		}
		q := r.URL.Query()
		name, ok := strings.CutPrefix(r.URL.Path, of+"/")
		switch read, reads := strings.CutPrefix(r.URL.Path, "/shop/"); {
		case r.URL.Path == "/upload"+of && q.Get("uploadType") == "multipart":
			_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
			if err != nil {
				t.Error(err)
			}
			parts := multipart.NewReader(r.Body, params["boundary"])
			var meta struct{ Name string }
			part, err := parts.NextPart()
			if err == nil {
				err = json.NewDecoder(part).Decode(&meta)
			}
			if err == nil {
				part, err = parts.NextPart()
			}
			var content []byte
			if err == nil {
				content, err = io.ReadAll(part)
			}
			if err != nil { // broken off
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			o.put(meta.Name, content)
			answer(object(meta.Name))
		case r.Method == http.MethodGet && r.URL.Path == of:
			names, folders := o.list(q.Get("prefix"), q.Get("delimiter"))
			var items []any
			for _, name := range names {
				items = append(items, object(name))
			}
			answer(map[string]any{"prefixes": folders, "items": items})
		case r.Method == http.MethodDelete && ok:
			if !o.remove(name) {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodGet && reads:
			content, ok := o.get(read)
			if !ok {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.Header().Set("X-Goog-Generation", "1")
			_, _ = w.Write(content)
		default:
			t.Errorf("unknown: %s %s", r.Method, r.URL)
			w.WriteHeader(http.StatusNotImplemented)
		}
	})
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(address, "http://"))
	return store{"gs://shop?anonymous=true", o.get}
}

// azblob speaks as much of the protocol of Azure Blob Storage as is needed.
func azblob(t *testing.T) store {
	t.Helper()
	var mu sync.Mutex
	blocks := map[string][]byte{}
	o, address := serve(t, func(o *objects, w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		name, named := strings.CutPrefix(r.URL.Path, "/account/shop/")
		body, err := io.ReadAll(r.Body)
		if err != nil { // broken off
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("ETag", `"1"`)
		content, there := o.get(name)
		missing := func() {
			w.Header().Set("x-ms-error-code", "BlobNotFound")
			w.WriteHeader(http.StatusNotFound)
		}
		switch {
		case r.Method == http.MethodPut && named && q.Get("comp") == "block":
			mu.Lock()
			blocks[q.Get("blockid")] = body
			mu.Unlock()
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodPut && named && q.Get("comp") == "blocklist":
			var list struct {
				Latest []string `xml:"Latest"`
			}
			if err := xml.Unmarshal(body, &list); err != nil {
				t.Error(err)
			}
			var whole []byte
			mu.Lock()
			for _, id := range list.Latest {
				whole = append(whole, blocks[id]...)
			}
			mu.Unlock()
			o.put(name, whole)
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodPut && named:
			o.put(name, body)
			w.WriteHeader(http.StatusCreated)
		case r.Method == http.MethodGet && q.Get("comp") == "list":
			names, folders := o.list(q.Get("prefix"), q.Get("delimiter"))
			w.Header().Set("Content-Type", "application/xml")
			fmt.Fprint(w, `<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="shop"><Blobs>`)
			for _, folder := range folders {
				fmt.Fprintf(w, "<BlobPrefix><Name>%s</Name></BlobPrefix>", folder)
			}
			for _, name := range names {
				content, _ := o.get(name)
				fmt.Fprintf(w, "<Blob><Name>%s</Name><Properties><Last-Modified>%s</Last-Modified><Etag>1</Etag><Content-Length>%d</Content-Length></Properties></Blob>",
					name, time.Now().UTC().Format(http.TimeFormat), len(content))
			}
			fmt.Fprint(w, "</Blobs><NextMarker/></EnumerationResults>")
		case r.Method == http.MethodGet && named:
			if !there {
				missing()
				return
			}
			_, _ = w.Write(content)
		case r.Method == http.MethodDelete && named:
			if !o.remove(name) {
				missing()
				return
			}
			w.WriteHeader(http.StatusAccepted)
		default:
			t.Errorf("unknown: %s %s", r.Method, r.URL)
			w.WriteHeader(http.StatusNotImplemented)
		}
	})
	t.Setenv("AZURE_STORAGE_ACCOUNT", "account")
	t.Setenv("AZURE_STORAGE_KEY", base64.StdEncoding.EncodeToString([]byte("key")))
	host, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return store{"azblob://shop?protocol=http&localemu=true&domain=" + host.Host, o.get}
}
