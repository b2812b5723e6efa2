package schemas

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/avro"
)

// rewriting reports whether the flag -rewrite is set, which package datadriven has: it writes the golden files of schemas that have none yet, or an empty one in
// a new directory, and what TestFormats sees.
func rewriting() bool { return flag.Lookup("rewrite").Value.String() == "true" }

// TestGolden proves that what was written with a former version of a schema can be read with today's. testdata/vN has, for each schema, its text
// then, the bytes of a sample, and what they mean. These files are never changed: a changed schema gets files in a new directory.
func TestGolden(t *testing.T) {
	versions, err := filepath.Glob("testdata/v*")
	if err != nil || len(versions) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, dir := range versions {
		for topic := Events; topic < topicsEnd; topic++ {
			name := strings.TrimSuffix(schemaFiles[topic], ".avsc")
			if _, err := os.Stat(filepath.Join(dir, name) + ".hex"); err != nil && dir != versions[0] {
				continue // as in the directory before
			}
			t.Run(filepath.Base(dir)+"/"+name, func(t *testing.T) { golden(t, topic, filepath.Join(dir, name)) })
		}
	}
}

func golden(t *testing.T, topic Topic, path string) {
	if info, err := os.Stat(path + ".hex"); (os.IsNotExist(err) || err == nil && info.Size() == 0) && rewriting() {
		writeGolden(t, topic, path)
	}
	read := func(ext string) []byte {
		b, err := os.ReadFile(path + ext)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	value, err := hex.DecodeString(strings.Join(strings.Fields(string(read(".hex"))), ""))
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := avro.Resolve(avro.MustParse(string(read(".avsc"))), compiled[topic])
	if err != nil {
		t.Fatalf("the schema of that time cannot be read with today's: %v", err)
	}
	wire := newWire(topic)
	if rest, err := resolved.Decode(value, wire); err != nil || len(rest) > 0 {
		t.Fatalf("decoding: %v, %d bytes left", err, len(rest))
	}
	today, err := compiled[topic].AppendEncode(nil, wire)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := DecodeOutput(topic, today)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	var then, now map[string]json.RawMessage
	if err := json.Unmarshal(read(".json"), &then); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &now); err != nil {
		t.Fatal(err)
	}
	for name, want := range then {
		var compact bytes.Buffer
		if err := json.Compact(&compact, want); err != nil {
			t.Fatal(err)
		}
		if got := now[name]; !bytes.Equal(got, compact.Bytes()) {
			t.Errorf("%s is %s; want %s", name, got, compact.Bytes())
		}
	}
}

func writeGolden(t *testing.T, topic Topic, path string) {
	value := sampleValues(t)[topic]
	fields, err := DecodeOutput(topic, value)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(fields, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.SplitSeq(hex.Dump(value), "\n") {
		if len(line) > 58 {
			digits.WriteString(strings.TrimSpace(line[10:58]) + "\n")
		}
	}
	for ext, content := range map[string]string{".avsc": topic.Schema(), ".hex": digits.String(), ".json": string(text) + "\n"} {
		if err := os.WriteFile(path+ext, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Today's samples are the newest golden files: whoever changes a schema or an encoder sees it here.
func TestSamplesAreGolden(t *testing.T) {
	for topic, value := range sampleValues(t) {
		newest, err := filepath.Glob("testdata/v*/" + strings.TrimSuffix(schemaFiles[topic], ".avsc") + ".hex")
		if err != nil || len(newest) == 0 {
			t.Fatalf("%s has no golden files: %v", topic, err)
		}
		digits, err := os.ReadFile(newest[len(newest)-1])
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Join(strings.Fields(string(digits)), ""); hex.EncodeToString(value) != want {
			t.Errorf("%s: the sample is %x; want %s", topic, value, want)
		}
	}
}
