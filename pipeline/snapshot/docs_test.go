package snapshot_test

import (
	"os"
	"strings"
	"testing"

	"lull/pipeline/snapshot"
)

// TestSnapshotsPage proves that docs/snapshots.md shows every column of every table, in order, with its type and meaning.
func TestSnapshotsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/snapshots.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range snapshot.TableNames() {
		var want strings.Builder
		want.WriteString("### " + name + "\n\n| column | type | meaning |\n|---|---|---|\n")
		for _, c := range snapshot.ColumnsOf(name) {
			typ := c.Type
			if c.Nullable {
				typ += ", may be null"
			}
			if c.Doc == "" || c.Type == "" {
				t.Errorf("%s.%s: no type or no meaning", name, c.Name)
			}
			want.WriteString("| `" + c.Name + "` | " + typ + " | " + c.Doc + " |\n")
		}
		if !strings.Contains(string(page), want.String()) {
			t.Errorf("%s: the page lacks this table:\n%s", name, want.String())
		}
	}
}
