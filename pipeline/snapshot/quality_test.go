package snapshot_test

import (
	"encoding/json"
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

// TestDataQuality: the table has what was wrong with each source's records, day by day: of days that are over as the topic tells it, of the day that a partition is at as its state does, and nothing of days after the instant or of transactions that
// the state does not know yet.
func TestDataQuality(t *testing.T) {
	state, err := snapshot.OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	}()
	counts := func(none, duplicates int64) [operators.FaultsEnd]int64 {
		return [operators.FaultsEnd]int64{operators.NoFault: none, operators.Duplicate: duplicates}
	}
	for n, at := range []int{19, 20} {
		m := adopted(at, nil)
		m.Quality = []task.Quality{{Source: "shop", Day: day(at).UTCDay(), Counts: counts(9, 1)}}
		if err := state.Restore(int32(n), task.MetaKey, m.Append(nil), 1); err != nil {
			t.Fatal(err)
		}
		if err := state.EndRestore(int32(n), 1); err != nil {
			t.Fatal(err)
		}
	}
	tell := func(source string, partition int32, on int, over bool, counts [operators.FaultsEnd]int64) {
		q := schemas.NewQuality(source, partition, day(on).UTCDay(), &counts)
		q.Over = over
		key, value, err := schemas.EncodeQuality(&q)
		if err == nil {
			err = state.TellQuality(key, value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tell("web", 0, 18, true, counts(4, 0))
	tell("shop", 0, 18, false, counts(1, 1))
	tell("shop", 0, 18, true, counts(3, 1))
	tell("shop", 0, 19, true, counts(99, 1)) // by a transaction that is not in the state
	tell("shop", 1, 19, true, counts(1, 0))
	tell("shop", 2, 18, true, counts(1, 0)) // of a partition that is not in the state
	if err := state.TellQuality([]byte("shop/0/1998-01-18"), []byte{1}); err == nil {
		t.Error("what is no record of the topic is taken in")
	}
	s := pipeline.DefaultSettings()
	dir := t.TempDir()
	config := snapshot.Config{Chain: s.Chain(), Terms: terms, Tables: snapshot.TableNames(), AsOf: snapshot.DefaultAsOf}
	taken, err := snapshot.Take(t.Context(), state, &config, open(t, dir), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w := written{t, taken, filepath.Join(dir, taken.Manifest.Snapshot)}
	var got []string
	for line := range strings.Lines(w.rows("data_quality")) {
		var row struct {
			Source             string
			Day                float64
			Partition          int32
			Over               bool
			Records, Duplicate int64
			Score              float64
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(row.Source, " ", operators.Day(row.Day), " ", row.Partition, " ", row.Over, " ", row.Records, " ", row.Duplicate, " ", row.Score))
	}
	want := []string{"shop 1998-01-18 0 true 4 1 0.75", "shop 1998-01-19 0 false 10 1 0.9", "shop 1998-01-19 1 true 1 0 1", "web 1998-01-18 0 true 4 0 1"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestCustomerQuality: a customer's row counts what was wrong with their records, and weighs it against the orders that count.
func TestCustomerQuality(t *testing.T) {
	w := takeOf(t, snapshot.Config{AsOf: snapshot.DefaultAsOf}, func(put func(key, value []byte)) {
		for id, faults := range map[string]operators.Faults{
			"ann": {operators.Invalid: 1, operators.MissingField: 2, operators.UnknownCurrency: 3, operators.ClockSkewed: 4, operators.Duplicate: 5, operators.LateEvent: 6}, "bob": {}, "cy": {operators.LateEvent: 1},
		} {
			c := operators.NewCustomer(id)
			c.At, c.Faults = day(19), faults
			if id != "cy" {
				c.Purchases = operators.Purchases{Count: 2, First: day(3).UTCDay(), FirstStart: day(3), Last: day(5).UTCDay(), Orders: 6}
			}
			put(task.CustomerKey(nil, id), c.AppendState(nil))
		}
	})
	var got strings.Builder
	for line := range strings.Lines(w.rows("customers")) {
		var row map[string]any
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&got, row["customer_id"], row["data_quality"], row["invalid_records"], row["missing_field_records"], row["unknown_currency_records"], row["clock_skewed_records"], row["duplicate_records"], row["late_records"])
	}
	if want := "ann 0.25 1 2 3 4 5 6\nbob 1 0 0 0 0 0 0\ncy 0.5 0 0 0 0 0 1\n"; got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}
