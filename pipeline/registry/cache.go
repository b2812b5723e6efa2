package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"lull/schemas"
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
	Schema     string   `json:"schema"`
	References []string `json:"references,omitempty"`
}

// read returns the schemas in the file: none if there is no file, or if it is another registry's, where ids mean something else.
func (c *cache) read() (map[uint32]schemas.WriterSchema, error) {
	known := make(map[uint32]schemas.WriterSchema)
	if c.path == "" {
		return known, nil
	}
	text, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, err
	}
	var content cacheContent
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	if content.Version != cacheVersion || !slices.Equal(content.URLs, c.urls) {
		return known, nil
	}
	for _, s := range content.Schemas {
		known[s.ID] = schemas.WriterSchema{Schema: s.Schema, References: s.References}
	}
	return known, nil
}

// write replaces the file.
func (c *cache) write(known map[uint32]schemas.WriterSchema) error {
	if c.path == "" {
		return nil
	}
	content := cacheContent{Version: cacheVersion, URLs: c.urls}
	for id, s := range known {
		content.Schemas = append(content.Schemas, cacheSchema{ID: id, Schema: s.Schema, References: s.References})
	}
	slices.SortFunc(content.Schemas, func(a, b cacheSchema) int { return int(int64(a.ID) - int64(b.ID)) })
	text, err := json.MarshalIndent(content, "", " ")
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
