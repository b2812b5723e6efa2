package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/schemas"
)

// tryJSON runs triggers try and returns its document.
func tryJSON(t *testing.T, args ...string) map[string]any {
	t.Helper()
	out, errs, code := lull(t, append([]string{"triggers", "try", "--json"}, args...)...)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var document map[string]any
	if err := json.Unmarshal([]byte(out), &document); err != nil {
		t.Fatalf("the output is no JSON document: %v", err)
	}
	return document
}

// triggersOf returns the triggers of a document by id, each without what hangs on when it was noticed, and what only a trial knows.
func triggersOf(t *testing.T, document map[string]any) map[string]map[string]any {
	t.Helper()
	byID := make(map[string]map[string]any)
	for _, o := range document["triggers"].([]any) {
		trigger := o.(map[string]any)
		id := trigger["id"].(string)
		if byID[id] != nil {
			t.Errorf("two triggers have the id %s", id)
		}
		byID[id] = trigger
		for _, name := range []string{"id", "withdrawn", "came_back", "actionable", "withheld"} {
			if _, there := trigger[name]; !there {
				t.Errorf("trigger %s has no %s", id, name)
			}
			delete(trigger, name)
		}
	}
	return byID
}

// liveTriggers runs a demo and returns the triggers that it has on lull.triggers at its end, as triggersOf returns those of a document.
func liveTriggers(t *testing.T, d demo) map[string]map[string]any {
	t.Helper()
	byID := make(map[string]map[string]any)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	d.serve = true
	var told bytes.Buffer
	d.err = &told
	d.out = &onText{text: "until Ctrl-C", do: func() {
		defer stop()
		err := d.readTopic(ctx, d.settings.Topic(schemas.Triggers.String()), func(r *kgo.Record) error {
			f, err := decodeOutput(schemas.Triggers, r)
			if err != nil {
				return err
			}
			text, err := f.MarshalJSON()
			if err != nil {
				return err
			}
			var trigger map[string]any
			if err := json.Unmarshal(text, &trigger); err != nil {
				return err
			}
			id := ""
			for _, h := range r.Headers {
				switch h.Key {
				case "ce_id":
					id = string(h.Value)
				case "ce_time":
					trigger["time"] = string(h.Value)
				}
			}
			if byID[id] != nil {
				t.Errorf("two triggers on lull.triggers have the id %s", id)
			}
			byID[id] = trigger
			delete(trigger, "actionable")
			delete(trigger, "withheld")
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}}
	if err := d.run(ctx); err != nil {
		t.Fatalf("%v\n%s", err, told.String())
	}
	return byID
}

// sameTriggers compares what a trial says with what the pipeline has told.
func sameTriggers(t *testing.T, tried, live map[string]map[string]any) {
	t.Helper()
	differ := 0
	for _, id := range slices.Sorted(maps.Keys(live)) {
		if is := tried[id]; !reflect.DeepEqual(is, live[id]) {
			if differ++; differ <= 3 {
				t.Errorf("trigger %s\nlive:  %v\ntried: %v", id, live[id], is)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(tried)) {
		if live[id] == nil {
			if differ++; differ <= 3 {
				t.Errorf("trigger %s is tried, and not live: %v", id, tried[id])
			}
		}
	}
	if differ > 3 {
		t.Errorf("%d of %d live triggers differ", differ, len(live))
	}
	if len(live) == 0 {
		t.Error("there are no triggers")
	}
}

// logFile writes a log where the rows have the ids of the demo's.
func logFile(t *testing.T, log []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cdnow.gz")
	if err := os.WriteFile(path, log, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTryIsLive: the triggers that try shows are those which the pipeline, killed in between, puts onto lull.triggers for the same events, in id, time, facts and every other field but
// actionable and withheld.
func TestTryIsLive(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a broker and processes")
	}
	log := firstCustomers(t, 3000) // so many that each of the demo's partitions hears of the time in every week: clock.max_jump
	tried := triggersOf(t, tryJSON(t, "--events", logFile(t, log), "--model", "cdnow/model.yaml"))
	sameTriggers(t, tried, liveTriggers(t, demo{log: log, kills: 2}))
}

// TestTryIsLiveOnKafka is the same of all customers on a real Kafka.
func TestTryIsLiveOnKafka(t *testing.T) {
	if testBrokers == "" {
		t.Skip("LULL_TEST_BROKERS names no Kafka")
	}
	suffix := "-try-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	removeTopics(t, suffix)
	tried := triggersOf(t, tryJSON(t, "--events", logFile(t, cdnowLog), "--model", "cdnow/model.yaml"))
	sameTriggers(t, tried, liveTriggers(t, demo{log: cdnowLog, suffix: suffix, brokers: strings.Split(testBrokers, ","), kills: 3}))
}
