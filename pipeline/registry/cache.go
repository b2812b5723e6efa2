package registry

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// cacheVersion is the version of the cache's format: docs/formats/schema-cache.md.
const cacheVersion = 1

// cache is the file with the schemas that are known.
type cache struct {
	path string // "": none
	urls []string
}

// cacheContent is what stands in the file, as JSON.
type cacheContent struct {
	Version int           `json:"version"`
	URLs    []string      `json:"urls"`
	Schemas []cacheSchema `json:"schemas"`
}

type cacheSchema struct {
	ID         uint32   `json:"id"`
	Subject    string   `json:"subject,omitempty"` // of a schema of ours
	Schema     string   `json:"schema"`
	References []string `json:"references,omitempty"`
}

// read returns the schemas in the file: none if there is no file, or if it is another registry's, where ids mean something else.
func (c *cache) read() ([]cacheSchema, error) {
	if c.path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var content cacheContent
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	if content.Version != cacheVersion || !slices.Equal(content.URLs, c.urls) {
		return nil, nil
	}
	return content.Schemas, nil
}

// write replaces the file. It sorts the schemas.
func (c *cache) write(known []cacheSchema) error {
	if c.path == "" {
		return nil
	}
	slices.SortFunc(known, func(a, b cacheSchema) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Subject, b.Subject)) })
	text, err := json.MarshalIndent(cacheContent{Version: cacheVersion, URLs: c.urls, Schemas: known}, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	temporary := c.path + ".new"
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, c.path)
}
