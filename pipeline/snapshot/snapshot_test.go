package snapshot_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/snapshot"
	"lull/pipeline/task"
)

// terms are those of the settings in these tests.
const terms = 7

// day returns the start of a day of January 1998.
func day(n int) operators.EventTime {
	return operators.EventTime(time.Date(1998, time.January, n, 0, 0, 0, 0, time.UTC).UnixMilli())
}

// models returns n models, of the versions m1, m2 and so on.
func models(n int) (all []operators.Model) {
	for i := range n {
		all = append(all, operators.Model{Version: "m" + strconv.Itoa(i+1), Family: "mbgnbd"})
	}
	return all
}

// adopted returns the state of a partition whose watermark is on a day and that has come to models on these days, one to each.
func adopted(watermark int, models []operators.Model, days ...int) task.Meta {
	m := task.NewMeta()
	m.Watermark = day(watermark)
	for i, d := range days {
		m.Adoptions = append(m.Adoptions, task.Adoption{Ref: models[i].Ref(), Terms: terms, At: day(d)})
	}
	return m
}

// open opens a target in a folder.
func open(t testing.TB, out string) *snapshot.Target {
	t.Helper()
	target, err := snapshot.OpenTarget(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	})
	return target
}

// take takes a snapshot of partitions that hold nobody.
func take(t *testing.T, target *snapshot.Target, config snapshot.Config, now time.Time, metas ...task.Meta) (*snapshot.Taken, error) {
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
	for i := range metas {
		if err := state.Restore(int32(i), task.MetaKey, metas[i].Append(nil), 1); err != nil {
			t.Fatal(err)
		}
		if err := state.EndRestore(int32(i), 1); err != nil {
			t.Fatal(err)
		}
	}
	s := pipeline.DefaultSettings()
	config.Chain, config.Tables, config.Terms = s.Chain(), snapshot.TableNames(), terms
	return snapshot.Take(context.Background(), state, &config, target, now)
}

// TestModelAt: the model of an instant is the newest of those that were in force in the partitions then, none before the first. Where a partition may have forgotten it, and where the pipeline scores
// with other settings, the snapshot is refused.
func TestModelAt(t *testing.T) {
	all := models(17)
	full := adopted(20, all[1:], 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17) // m1 is forgotten
	ahead := full
	ahead.Watermark = day(30)
	other := adopted(20, all, 3)
	other.Adoptions[0].Terms++
	changed := adopted(20, all, 3, 10, 25) // m3 is to come, and was taken in before the settings were changed
	changed.Adoptions[0].Terms, changed.Adoptions[2].Terms = terms-1, terms-1
	for name, v := range map[string]struct {
		asOf  operators.EventTime
		metas []task.Meta
		want  string // the model, or the error
	}{
		"the newest":              {snapshot.DefaultAsOf, []task.Meta{adopted(20, all, 3, 5), adopted(20, all, 4)}, "m2"},
		"an earlier":              {day(4), []task.Meta{adopted(20, all, 3, 5), adopted(20, all, 4)}, "m1"},
		"before the first":        {day(2), []task.Meta{adopted(20, all, 3, 5), adopted(20, all, 4)}, "none"},
		"the oldest remembered":   {day(2), []task.Meta{full}, "m2"},
		"forgotten":               {day(1), []task.Meta{full}, "partition 0 no longer knows which model was in force at 1998-01-01T00:00:00.000Z, but from 1998-01-02T00:00:00.000Z on: name an instant from then on, by --as-of"},
		"forgotten by one":        {day(1), []task.Meta{adopted(20, all, 1), full}, "partition 1 no longer knows which model was in force at 1998-01-01T00:00:00.000Z, but from 1998-01-02T00:00:00.000Z on: name an instant"},
		"forgotten up to now":     {snapshot.DefaultAsOf, []task.Meta{adopted(1, all, 1), ahead}, "from 1998-01-02T00:00:00.000Z on: wait until the watermark of partition 0 is there"},
		"other settings":          {day(20), []task.Meta{other}, "partition 0: the pipeline scores with other settings"},
		"before others":           {day(2), []task.Meta{other}, "partition 0: the pipeline scores with other settings"},
		"changed, and more ahead": {day(20), []task.Meta{changed}, "m2"},
	} {
		t.Run(name, func(t *testing.T) {
			taken, err := take(t, open(t, t.TempDir()), snapshot.Config{Models: all, AsOf: v.asOf}, time.Now(), v.metas...)
			got := "none"
			switch {
			case err != nil:
				got = err.Error()
			case taken.Manifest.Model != nil:
				got = *taken.Manifest.Model
			}
			if !strings.Contains(got, v.want) {
				t.Errorf("%q, want %q", got, v.want)
			}
		})
	}
}

// TestTimezone: the manifest names the time zone that the state counts days in.
func TestTimezone(t *testing.T) {
	w := takeOf(t, snapshot.Config{AsOf: snapshot.DefaultAsOf}, func(put func(key, value []byte)) {
		put(task.ShapeKey, task.Shape{{Name: "calendar.timezone", Value: "Europe/Berlin"}}.Append(nil))
	})
	if got := w.Manifest.Terms.Timezone; got != "Europe/Berlin" {
		t.Errorf("timezone %q, want that of the state", got)
	}
}

// TestKeep: the newest snapshots are kept, and beside them the one that has just been asked for, whether it is written now or was there already.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	target, now := open(t, dir), time.Now()
	of := func(asOf int, age time.Duration, config snapshot.Config) *snapshot.Taken {
		t.Helper()
		config.AsOf = day(asOf)
		taken, err := take(t, target, config, now.Add(-age), adopted(20, nil))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := target.Manifest(t.Context(), taken.Manifest.Snapshot); err != nil || m == nil {
			t.Errorf("the snapshot of %s is not there: %v, %v", day(asOf), m, err)
		}
		return taken
	}
	const old = 48 * time.Hour
	first := of(10, old, snapshot.Config{}).Manifest.Snapshot
	second := of(11, old, snapshot.Config{}).Manifest.Snapshot
	if taken := of(9, old, snapshot.Config{Keep: 1}); len(taken.Removed) != 1 || taken.Removed[0] != first {
		t.Errorf("removed are %v, want %s", taken.Removed, first)
	}
	if _, err := os.Stat(filepath.Join(dir, first)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its folder is left: %v", err)
	}
	if taken := of(9, 0, snapshot.Config{KeepFor: time.Hour}); !taken.Existed || len(taken.Removed) != 0 {
		t.Errorf("removed are %v", taken.Removed)
	}
	if latest, err := target.Latest(t.Context()); err != nil || latest != second {
		t.Errorf("the latest is %s, %v; want %s", latest, err, second)
	}
}
