package snapshot_test

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/snapshot"
	"lull/pipeline/task"
	"lull/schemas"
)

// session returns a record of the topic of sessions: the customer's output of this number, a session that ended on a day.
func session(t *testing.T, customer string, revision uint64, ended int) []byte {
	t.Helper()
	config := schemas.EncoderConfig{HorizonDays: 365, ContactDays: 30}
	config.EnsureDefaults()
	e, err := schemas.NewEncoder(config)
	if err != nil {
		t.Fatal(err)
	}
	out := operators.Output{Kind: operators.SessionOutput, Customer: customer, Revision: revision, Time: day(ended), Session: &operators.Session{Start: day(ended) - 60_000, End: day(ended)}}
	out.Session.Counts[operators.PageViewed] = 2
	var rec schemas.Record
	if err := e.EncodeOutput(&out, &rec); err != nil {
		t.Fatal(err)
	}
	return rec.Value
}

// TestTold: the tables of outputs have those that the states of customers count, up to the instant, each once, in the order of customers and revisions, whatever the order that they come in. An output of a later
// transaction is left out, as is one of who has no state any more; what the topic has forgotten meanwhile is left out too, and the manifest says from when on it reaches.
func TestTold(t *testing.T) {
	state, err := snapshot.OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	}()
	next := int64(0)
	put := func(key, value []byte) {
		next++
		if err := state.Restore(0, key, value, next); err != nil {
			t.Fatal(err)
		}
	}
	m := adopted(20, nil)
	put(task.MetaKey, m.Append(nil))
	for customer, revision := range map[string]uint64{"ann": 3, "ann\x00": 1, "bob": 2} {
		c := operators.NewCustomer(customer)
		c.Revision = revision
		put(task.CustomerKey(nil, customer), c.AppendState(nil))
	}
	if err := state.EndRestore(0, next); err != nil {
		t.Fatal(err)
	}
	offsets := map[int32]int64{}
	tell := func(partition int32, customer string, revision uint64, ended int) {
		t.Helper()
		id := hex.EncodeToString(fmt.Appendf(nil, "%s %d", customer, revision))
		if err := state.Tell(schemas.Sessions, &snapshot.Output{Partition: partition, Offset: offsets[partition], ID: id, Time: day(ended), Value: session(t, customer, revision, ended)}); err != nil {
			t.Fatal(err)
		}
		offsets[partition]++
	}
	tell(0, "bob", 1, 2) // forgotten meanwhile
	tell(0, "bob", 2, 5)
	tell(0, "bob", 3, 6) // of a later transaction
	tell(1, "ann", 2, 4)
	tell(1, "ann\x00", 1, 9)
	tell(1, "ann", 1, 3)
	tell(1, "ann", 2, 4)  // a copy
	tell(1, "ann", 3, 10) // goes on after the instant
	tell(1, "cid", 1, 3)  // erased
	if err := state.EndTell(schemas.Sessions, map[int32]int64{0: 1, 1: 0}); err != nil {
		t.Fatal(err)
	}
	s := pipeline.DefaultSettings()
	dir := t.TempDir()
	taken, err := snapshot.Take(t.Context(), state, &snapshot.Config{Chain: s.Chain(), Terms: terms, Tables: []string{"sessions"}, AsOf: day(10)}, open(t, dir), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w := written{t, taken, filepath.Join(dir, taken.Manifest.Snapshot)}
	const want = `ann 1
ann 2
ann` + "\x00" + ` 1
bob 2
`
	var got strings.Builder
	for _, row := range tableOf[struct {
		CustomerID string `parquet:"customer_id"`
		Revision   int64  `parquet:"revision"`
	}](&w, "sessions") {
		fmt.Fprintf(&got, "%s %d\n", row.CustomerID, row.Revision)
	}
	if got.String() != want {
		t.Errorf("%q\nwant\n%q", got.String(), want)
	}
	of := &taken.Manifest.Tables[0]
	if of.Since == nil || *of.Since != day(5).String() || fmt.Sprint(of.Offsets) != "[{0 1} {1 0}]" {
		t.Errorf("since %v, offsets %v", of.Since, of.Offsets)
	}
	if row := w.rows("sessions", "as_of", "id", "started_at", "ended_at"); !strings.HasPrefix(row, `{"cart":0,"cart_left":false,"counts":[{"count":2,"kind":"page"}],"customer_id":"ann","dwell_ms":60000,"events":2,`+
		`"first_page":null,"last_page":null,"orders":0,"revision":1}`) {
		t.Errorf("%s", row)
	}
}
