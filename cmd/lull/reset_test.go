package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline/task"
	"lull/state"
)

// beside returns another application over the input of s.
func (s *shopOnKafka) beside(settings string) *shopOnKafka {
	s.t.Helper()
	other := newShopOnKafka(s.t, settings)
	text := strings.Replace(readFile(s.t, other.config), "topic: "+other.input, "topic: "+s.input, 1)
	text = strings.Replace(text, fmt.Sprintf("%q", other.broker), fmt.Sprintf("%q", s.broker), 1)
	other.input, other.broker = s.input, s.broker
	other.config = writeFile(s.t, "lull.yaml", text)
	other.process.config = other.config
	other.lull("topics", "apply", "--config", other.config)
	return other
}

// runTo runs the application until it has come to the date, and stops it.
func (s *shopOnKafka) runTo(date string) {
	s.t.Helper()
	s.start()
	s.awaitStatistics(date, 4)
	if err := s.process.stop(); err != nil {
		s.t.Fatal(err)
	}
}

// TestResetAndDiff is how settings that shape a state are changed: a second application beside the first, filled from the input, and compared; or the first one reset,
// which ends in what a new one would tell. reset refuses while a process runs and shows what it would do before it does it.
func TestResetAndDiff(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes")
	}
	const common = "fit: {mode: demand, statistics_every: 50ms}\ncommit: {timeout: 5s, session_timeout: 6s}\non_stop: leave\n"
	a := newShopOnKafka(t, common)
	model := writeFile(t, "model.yaml", string(cdnowModel))
	a.lull("models", "put", model, "--config", a.config)
	a.send("1997-01-01", "1997-01-10")
	lullFails := func(want string, args ...string) {
		t.Helper()
		if out, errs, code := lull(t, args...); code != exitError || !strings.Contains(errs, want) {
			t.Errorf("%v: exit code %d, %s%s; want %q", args, code, out, errs, want)
		}
	}
	a.start()
	a.awaitStatistics("1997-01-10", 4)
	lullFails(`"one" in group "`+strings.TrimSuffix(a.prefix, ".")+`", from 127.0.0.1`, "reset", "--config", a.config, "--yes")
	if err := a.process.stop(); err != nil {
		t.Fatal(err)
	}

	// In which format it is told makes no difference.
	same, other := a.beside(common+"outputs: {sessions: json, scores: json, segments: json, triggers: json}\n"), a.beside(common+"session: {gap: 100h}\n")
	for _, app := range []*shopOnKafka{same, other} {
		app.lull("models", "put", model, "--config", app.config)
	}
	lullFails(a.prefix+" and "+same.prefix+" differ", "diff", a.prefix, same.prefix, "--brokers", a.broker) // which has told nothing yet
	same.runTo("1997-01-10")
	other.runTo("1997-01-10")
	if out := a.lull("diff", a.prefix, same.prefix, "--brokers", a.broker); !strings.Contains(out, "sessions: ") || strings.Contains(out, "sessions: 0 keys alike") || strings.Contains(out, " is ") {
		t.Errorf("two alike:\n%s", out)
	}
	out, errs, code := lull(t, "diff", a.prefix, other.prefix, "--brokers", a.broker, "--examples", "2")
	sessions, _, _ := strings.Cut(out[strings.Index(out, "sessions: "):], "segments: ")
	if code != exitError || !regexp.MustCompile(a.prefix+" and "+other.prefix+" differ: in [0-9]+ keys of [0-9]+ topics").MatchString(errs) || !strings.Contains(out, `session.gap is "30m0s" in `+a.prefix+` and "100h0m0s" in `+other.prefix) ||
		strings.Count(sessions, "\n  ") != 2 || !strings.Contains(sessions, "records, number 1 ") {
		t.Errorf("another gap: exit code %d, %s\n%s", code, errs, out)
	}

	foreign := writeFile(t, "foreign.yaml", readFile(t, a.config)+"group: theirs\n")
	group := strings.TrimSuffix(a.prefix, ".")
	lullFails(fmt.Sprintf("lull: topic %q holds the state of another application, that of the group %q, and group is %q: set the right prefix, or group to %q if it is that application that is to be reset\n",
		a.prefix+"changelog", group, "theirs", group), "reset", "--config", foreign, "--yes")
	if _, errs, code := lull(t, "run", "--config", foreign, "--state-dir", t.TempDir(), "--http-listen", "127.0.0.1:0"); code != exitUsage || !strings.Contains(errs, "two applications never share a prefix") {
		t.Errorf("run under another's prefix: exit code %d, %s", code, errs)
	}
	dir := filepath.Join(filepath.Dir(other.process.log), "state")
	lullFails(fmt.Sprintf("lull: nothing was removed: the state store in %s is another application's, of the prefix %q and the group %q, and prefix is %q and group %q: set state.dir to this one's folder, "+
		"or prefix and group if it is that application that is to be reset\n", dir, other.prefix, strings.TrimSuffix(other.prefix, "."), a.prefix, strings.TrimSuffix(a.prefix, ".")),
		"reset", "--config", a.config, "--state-dir", dir, "--force", "--yes")
	plan := a.lull("reset", "--config", a.config)
	for _, want := range []string{"- topic " + a.prefix + "changelog: 4 partitions", "- topic " + a.prefix + "statistics", "- the offsets of group", "- the state store in ", "sessions, scores, segments, triggers, offers, dead-letters, quality stay", "\nnothing has been removed yet: the same command with --yes does it; "} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan lacks %q:\n%s", want, plan)
		}
	}
	if again := a.lull("reset", "--config", a.config); again != plan {
		t.Errorf("the plan has done something:\n%s", again)
	}
	if out := a.lull("reset", "--config", a.config, "--outputs", "--yes"); !strings.Contains(out, "- topic "+a.prefix+"triggers") || !strings.Contains(out, "removed. Next: lull topics apply") || strings.Contains(out, "yet") {
		t.Errorf("reset:\n%s", out)
	}
	if out := a.lull("reset", "--config", a.config, "--outputs", "--yes"); !strings.Contains(out, "nothing is there to be removed") {
		t.Errorf("a second time:\n%s", out)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(a.process.log), "state", "pebble")); err != nil || len(left) > 0 {
		t.Errorf("the store: %v, %v", left, err)
	}
	a.lull("topics", "apply", "--config", a.config)
	a.runTo("1997-01-10")
	a.lull("diff", a.prefix, same.prefix, "--brokers", a.broker)
}

// What does not say whose it is is removed with --force only: it may be another's, whose prefix or group was named by mistake.
func TestResetOfUnknown(t *testing.T) {
	broker := newBroker(t)
	s := shopOnKafka{t: t}
	args := []string{"--brokers", broker, "--prefix", "theirs.", "--input-topic", "shop", "--state-dir", filepath.Join(t.TempDir(), "state")}
	s.lull(append([]string{"topics", "apply"}, args[:6]...)...)
	reset := append([]string{"reset", "--yes"}, args...)
	produce := func(topic string) {
		t.Helper()
		client, err := newClient(t.Context(), reaching(broker), produceOptions()...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	produce("theirs.statistics")
	out, errs, code := lull(t, reset...)
	if code != exitError || errs != `lull: nothing was removed: topic "theirs.changelog" does not say that this is the state of the group "theirs", as it does once lull run has committed. `+
		"Look whether prefix and group are right, and that nobody else has topics or offsets by these names; then --force removes it\n" {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	if n := len(recordsOf(t, broker, "theirs.statistics")); n != 1 {
		t.Errorf("%d records are left", n)
	}
	if out := s.lull(append(reset, "--force")...); !strings.Contains(out, "removed.") {
		t.Error(out)
	}
}

// So is a store that cannot be read.
func TestResetOfDamagedStore(t *testing.T) {
	broker := newBroker(t)
	dir := t.TempDir()
	db, err := state.Open(state.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	manifests, err := filepath.Glob(filepath.Join(dir, "pebble", "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatal(manifests, err)
	}
	for _, manifest := range manifests {
		if err := os.WriteFile(manifest, []byte("damaged"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reset := []string{"reset", "--yes", "--brokers", broker, "--input-topic", "shop", "--state-dir", dir}
	if out, errs, code := lull(t, reset...); code != exitError || out != "" ||
		!regexp.MustCompile(`^lull: nothing was removed: there is no telling whose the state store is: reading the state store in `+regexp.QuoteMeta(dir)+`(?s:.*)\. Look whether it is this application's; then --force removes it\n$`).MatchString(errs) {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	if out, errs, code := lull(t, append(reset, "--force")...); code != 0 || !strings.Contains(out, "removed.") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

// Or one that holds what nobody has written there.
func TestResetOfForeignStore(t *testing.T) {
	broker := newBroker(t)
	dir := t.TempDir()
	db, err := state.Open(state.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	part, err := db.Partition(0)
	if err == nil {
		err = part.Set(task.ShapeKey, []byte("nonsense"))
	}
	if err != nil {
		t.Fatal(err)
	}
	part.Commit(1)
	if err := errors.Join(part.Release(0), db.Close()); err != nil {
		t.Fatal(err)
	}
	reset := []string{"reset", "--yes", "--brokers", broker, "--input-topic", "shop", "--state-dir", dir}
	if out, errs, code := lull(t, reset...); code != exitError || out != "" || errs != fmt.Sprintf("lull: nothing was removed: the state store in %s does not say whose it is: "+
		"corrupt state: a shape record of version 110; this program reads version 1. Look whether it is this application's; then --force removes it\n", dir) {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	if out, errs, code := lull(t, append(reset, "--force")...); code != 0 || !strings.Contains(out, "removed.") {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
}

// A command line of diff that is wrong is told so.
func TestDiffUsage(t *testing.T) {
	broker := newBroker(t)
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"diff lull.":                        {exitUsage, "there must be two arguments, PREFIX_A and PREFIX_B"},
		"diff lull. lull.":                  {exitUsage, `both prefixes are "lull."`},
		"diff a. b. --ignore clv,price":     {exitUsage, `no output has a field "price"`},
		"diff a. b. --examples -1":          {exitUsage, "--examples is -1"},
		"diff lull lull2 --ignore revision": {exitError, `topic "lullsessions" does not exist: the prefix is what the names`},
	} {
		if _, errs, code := lull(t, append(strings.Fields(line), "--brokers", broker)...); code != want.code || !strings.Contains(errs, want.text) {
			t.Errorf("%s: exit code %d, %s; want %q", line, code, errs, want.text)
		}
	}
}
