package snapshot_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/snapshot"
	"lull/pipeline/task"
)

// written is a snapshot in a folder, and its manifest.
type written struct {
	t *testing.T
	*snapshot.Taken
	dir string
}

// takeOf takes a snapshot of one partition that holds what restore restores, whose watermark is on the 20th.
func takeOf(t *testing.T, config snapshot.Config, restore func(put func(key, value []byte))) written {
	t.Helper()
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
	if len(config.Models) > 0 {
		m = adopted(20, config.Models, 1)
	}
	put(task.MetaKey, m.Append(nil))
	restore(put)
	if err := state.EndRestore(0, next); err != nil {
		t.Fatal(err)
	}
	s := pipeline.DefaultSettings()
	config.Chain, config.Terms, config.Tables = s.Chain(), terms, snapshot.TableNames()
	dir := t.TempDir()
	taken, err := snapshot.Take(t.Context(), state, &config, open(t, dir), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return written{t, taken, filepath.Join(dir, taken.Manifest.Snapshot)}
}

// tableOf returns the rows of a table.
func tableOf[R any](w *written, table string) []R {
	w.t.Helper()
	file, err := os.ReadFile(filepath.Join(w.dir, table+".parquet"))
	if err != nil {
		w.t.Fatal(err)
	}
	rows, err := parquet.Read[R](bytes.NewReader(file), int64(len(file)))
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// rows returns the rows of a table as JSON, one a line, without the columns that are left out.
func (w *written) rows(table string, without ...string) string {
	w.t.Helper()
	var lines strings.Builder
	for _, row := range tableOf[any](w, table) {
		fields := row.(map[string]any)
		for name := range fields {
			if slices.Contains(without, name) {
				delete(fields, name)
			}
		}
		line, err := json.Marshal(fields)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s\n", line)
	}
	return lines.String()
}

// TestOrders: the table has every order of the ledger up to the instant, those in the customer's record and the archived ones, in the order of customers and of time.
func TestOrders(t *testing.T) {
	placed := func(id string, on int, amount operators.Money) operators.Order {
		return operators.Order{ID: id, Completed: true, Time: day(on), Day: operators.Day(day(on) / operators.DayMs), DayStart: day(on), Amount: amount, AmountTime: day(on)}
	}
	refunded, cancelled := placed("c", 4, 1000), placed("b", 4, 700)
	refunded.Refunds = []operators.Refund{{ID: 1, Amount: 250}, {ID: 2, Amount: 50}}
	cancelled.Cancelled = true
	w := takeOf(t, snapshot.Config{AsOf: day(10)}, func(put func(key, value []byte)) {
		ann := operators.NewCustomer("ann")
		ann.Ledger = operators.Ledger{Orders: []operators.Order{cancelled, refunded, placed("late", 11, 1)}, Archived: 2}
		bob := operators.NewCustomer("bob")
		bob.Ledger.Orders = []operators.Order{{ID: "unplaced", Time: day(3), AmountTime: operators.Unset, Cancelled: true}}
		put(task.CustomerKey(nil, "bob"), bob.AppendState(nil))
		put(task.CustomerKey(nil, "ann"), ann.AppendState(nil))
		for _, o := range []operators.Order{placed("a", 2, 300), placed("z", 1, 400)} {
			put(task.PartKey(nil, "ann", "o"+o.ID), operators.AppendOrder(nil, &o))
		}
		put(task.PartKey(nil, "ann", "d1"), nil) // what else a customer has
	})
	const want = `{"amount":4,"cancelled":false,"completed":true,"customer_id":"ann","net":4,"order_id":"z","refunded_whole":false,"refunds":0}
{"amount":3,"cancelled":false,"completed":true,"customer_id":"ann","net":3,"order_id":"a","refunded_whole":false,"refunds":0}
{"amount":7,"cancelled":true,"completed":true,"customer_id":"ann","net":0,"order_id":"b","refunded_whole":false,"refunds":0}
{"amount":10,"cancelled":false,"completed":true,"customer_id":"ann","net":7,"order_id":"c","refunded_whole":false,"refunds":3}
{"amount":null,"cancelled":true,"completed":false,"customer_id":"bob","net":0,"order_id":"unplaced","refunded_whole":false,"refunds":0}
`
	if got := w.rows("orders", "as_of", "time", "day", "currency"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestModels: the table has the models up to that of the snapshot, and none that came into force after its instant.
func TestModels(t *testing.T) {
	all := models(3)
	all[0].Cuts = &operators.Cuts{CLV: [4]float64{1, 2, 3, 4}}
	w := takeOf(t, snapshot.Config{Models: all, AsOf: snapshot.DefaultAsOf}, func(func(key, value []byte)) {})
	if got, want := w.rows("models", "as_of", "effective_at", "family", "r", "alpha_days", "a", "b", "p", "q", "v", "cuts_monetary", "cuts_purchases", "cuts_since_last_purchase_days",
		"fit_customers", "fit_repeat_purchases", "fit_log_likelihood"), `{"current":true,"cuts_clv":[1,2,3,4],"fit_as_of":null,"high_value":0,"version":"m1"}`+"\n"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
