package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
)

// TestDamagedStore proves that a store that is damaged is named, moved aside and rebuilt, when it is opened and when the damage is met only in the midst of
// work, without a restart by hand; and that nothing in what comes out shows it.
func TestDamagedStore(t *testing.T) {
	want := ""
	for _, damage := range []struct {
		name, file string
		at         int // thousandths of the file
		says       string
	}{
		{"none", "", 0, ""},
		{"a table, met in the midst of work", ".sst", 333, "corrupt state store"},
		{"the manifest, met on opening", "MANIFEST", 0, "malformed manifest"},
	} {
		t.Run(damage.name, func(t *testing.T) {
			c := newCluster(t)
			s := c.application(2)
			c.publish(&s)
			records := c.crowd(&s, 2000)
			p := c.run(s)
			c.produce(records[:2000]...)
			c.await(&s, p)
			p.end()
			if damage.file != "" {
				spoil(t, filepath.Join(s.State.Dir, "pebble"), damage.file, damage.at)
			}
			p = c.run(s)
			c.produce(records[2000:]...)
			c.mark(&s, "2026-01-01T00:00:00Z")
			c.await(&s, p)
			p.end()
			got := c.digest(&s)
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("digest %s, without damage %s\n%s", got, want, p.log)
			}
			if damage.file == "" {
				return
			}
			aside := filepath.Join(s.State.Dir, "pebble.aside-1")
			if log := p.log.String(); !strings.Contains(log, movedAside) || !strings.Contains(log, damage.says) || !strings.Contains(log, aside) {
				t.Errorf("the log does not say what was found and where it is\n%s", log)
			}
			if _, err := os.Stat(aside); err != nil {
				t.Error(err)
			}
			// The new one is sound.
			p = c.run(s)
			c.mark(&s, "2026-02-01T00:00:00Z")
			c.await(&s, p)
			p.end()
			if log := p.log.String(); strings.Contains(log, movedAside) {
				t.Errorf("moved aside again\n%s", log)
			}
		})
	}
}

// crowd returns two orders of each of n customers, first one of all and then the other: more state than one block of a table holds.
func (c *cluster) crowd(s *Settings, n int) (records []*kgo.Record) {
	c.t.Helper()
	at := instant(c.t, "2024-01-01T00:00:00Z")
	for i := range 2 * n {
		id := fmt.Sprint("o", i)
		records = append(records, c.event(s, operators.Event{Kind: operators.OrderCompleted, ID: id, OrderID: id, Customer: fmt.Sprintf("customer-%05d", i%n),
			Time: at + operators.EventTime(i*60_000), Amount: operators.Money(1000 + i)}))
	}
	return records
}

// spoil damages the largest of the files whose names begin or end so, from so many thousandths on.
func spoil(t *testing.T, dir, ending string, at int) {
	t.Helper()
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var content []byte
	path := ""
	for _, entry := range names {
		if !strings.HasPrefix(entry.Name(), ending) && !strings.HasSuffix(entry.Name(), ending) {
			continue
		}
		bytes, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes) > len(content) {
			content, path = bytes, filepath.Join(dir, entry.Name())
		}
	}
	if path == "" {
		t.Fatalf("no file %q in %s", ending, dir)
	}
	for i := range 20 {
		content[len(content)*at/1000+i] ^= 0x55
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
