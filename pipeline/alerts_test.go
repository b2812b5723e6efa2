package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.yaml.in/yaml/v3"

	"lull/operators"
	"lull/schemas"
	"lull/state/statetest"
)

// alertsFile holds the alerts.
const alertsFile = "../deploy/helm/lull/monitoring/alerts.yaml"

// alert is a rule of alertsFile.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// alerts returns the alerts by name.
func alerts(t *testing.T) map[string]alert {
	t.Helper()
	content, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	all := map[string]alert{}
	for _, group := range file.Groups {
		for _, a := range group.Rules {
			all[a.Alert] = a
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s holds no alert", alertsFile)
	}
	return all
}

// recording is what a Prometheus has scraped from the process on a street, once in an interval, and what is to be made of it when.
type recording struct {
	*street
	interval time.Duration
	scrapes  int
	series   map[string][]string // values by series, one for each scrape, _ for none
	fired    map[string]bool     // alerts that are to fire some time
	test     promtoolTest
}

// promtoolTest is a test in a file of promtool.
type promtoolTest struct {
	Name     string           `yaml:"name"`
	Interval string           `yaml:"interval"`
	Series   []promtoolSeries `yaml:"input_series"`
	Queries  []promtoolQuery  `yaml:"promql_expr_test,omitempty"`
	Alerts   []promtoolAlert  `yaml:"alert_rule_test,omitempty"`
}

type promtoolSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type promtoolQuery struct {
	Expr    string           `yaml:"expr"`
	At      string           `yaml:"eval_time"`
	Samples []promtoolSample `yaml:"exp_samples"`
}

type promtoolSample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
}

type promtoolAlert struct {
	Name   string          `yaml:"alertname"`
	At     string          `yaml:"eval_time"`
	Expect []promtoolFired `yaml:"exp_alerts"`
}

type promtoolFired struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

// inSeconds writes a duration as promtool reads it.
func inSeconds(d time.Duration) string { return fmt.Sprintf("%.0fs", d.Seconds()) }

// job is that of the scraped processes; their instance is the process's own.
const job = "lull"

// scrape asks the process for its metrics.
func (rec *recording) scrape() {
	rec.t.Helper()
	add := func(name, labels, value string) {
		series := fmt.Sprintf("%s{job=%q,instance=%q%s}", name, job, rec.hosts[0].s.Instance, labels)
		values := rec.series[series]
		for len(values) < rec.scrapes {
			values = append(values, "_")
		}
		rec.series[series] = append(values, value)
	}
	if body, err := rec.hosts[0].ask("/metrics"); err != nil {
		add("up", "", "0")
	} else {
		add("up", "", "1")
		for line := range strings.Lines(body) {
			if !strings.HasPrefix(line, "lull_") {
				continue
			}
			series, value, ok := strings.Cut(strings.TrimSpace(line), " ") // no label has one
			name, labels, labelled := strings.Cut(series, "{")
			if labels = strings.TrimSuffix(labels, "}"); labelled {
				labels = "," + labels
			}
			if !ok || strings.Contains(value, " ") {
				rec.t.Fatalf("what is exposed is %q", line)
			}
			add(name, labels, value)
		}
	}
	rec.scrapes++
}

const (
	alive  = true
	silent = false
)

// pass lets time pass. If the source lives, somebody looks at a page in each interval.
func (rec *recording) pass(d time.Duration, lives bool) {
	rec.t.Helper()
	for range int(d / rec.interval) {
		<-time.After(rec.interval)
		if lives {
			rec.happens(rec.page(pulse))
		}
		rec.scrape()
	}
}

// now is when the last scrape was, from the first on.
func (rec *recording) now() string { return inSeconds(time.Duration(rec.scrapes-1) * rec.interval) }

// fires says which alerts fire now, and that no others do.
func (rec *recording) fires(alerts ...string) {
	q := promtoolQuery{Expr: `count by (alertname) (ALERTS{alertstate="firing"}) > bool 0`, At: rec.now()}
	for _, a := range alerts {
		rec.fired[a] = true
		q.Samples = append(q.Samples, promtoolSample{fmt.Sprintf("{alertname=%q}", a), 1})
	}
	rec.test.Queries = append(rec.test.Queries, q)
}

// tells says what a person reads of an alert that fires now, and the labels that it has beside job, instance and severity.
func (rec *recording) tells(name, description string, labels map[string]string) {
	rec.t.Helper()
	a, ok := alerts(rec.t)[name]
	if !ok {
		rec.t.Fatalf("there is no alert %s", name)
	}
	all := map[string]string{"job": job, "instance": rec.hosts[0].s.Instance}
	maps.Copy(all, a.Labels)
	maps.Copy(all, labels)
	told := maps.Clone(a.Annotations)
	told["description"] = description
	rec.test.Alerts = append(rec.test.Alerts, promtoolAlert{name, rec.now(), []promtoolFired{{all, told}}})
}

// failure is what alerts are there for: it happens to a pipeline, whose metrics are recorded.
type failure struct {
	name    string
	publish func(st *street) // nil: the street's model
	happens func(rec *recording)
}

var failures = []failure{
	{"nothing", nil, func(rec *recording) {
		rec.pass(2*time.Hour, alive)
		rec.fires()
		rec.pass(3*time.Hour, alive) // some customers are told of meanwhile
		rec.fires()
	}},
	{"source silent", nil, func(rec *recording) {
		rec.pass(30*time.Minute, silent)
		rec.fires()
		rec.pass(20*time.Minute, silent)
		rec.fires("LullSourceStalled")
		rec.pass(time.Hour, silent)
		rec.fires("LullClockHeld", "LullSourceStalled")
		rec.tells("LullClockHeld", fmt.Sprintf("The wall clock has moved no watermark of %s in p0 for an hour: /readyz says why, most often because the feed is silent.", rec.s.Input.Topic), map[string]string{"topic": rec.s.Input.Topic})
		rec.pass(time.Hour, alive)
		rec.fires()
	}},
	{"process down", nil, func(rec *recording) {
		rec.pass(10*time.Minute, alive)
		rec.hosts[0].end()
		rec.pass(4*time.Minute, alive)
		rec.fires()
		rec.pass(3*time.Minute, alive)
		rec.fires("LullDown")
		rec.tells("LullDown", "p0 has not been scraped for 5 minutes: what its partitions are to tell waits.", nil)
		rec.hosts[0].again()
		rec.pass(5*time.Minute, alive)
		rec.fires()
	}},
	{"input unreadable", nil, func(rec *recording) {
		rec.pass(10*time.Minute, alive)
		fault := rec.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: rec.s.Input.Topic, Err: kerr.KafkaStorageError, Count: -1})
		rec.pass(10*time.Minute, alive)
		rec.fires()
		rec.pass(10*time.Minute, alive)
		rec.fires("LullLag")
		rec.pass(30*time.Minute, alive)
		rec.fires("LullLag", "LullLagGrowing")
		fault.Remove()
		rec.pass(10*time.Minute, alive)
		rec.fires()
	}},
	{"transactions refused", nil, func(rec *recording) {
		rec.pass(10*time.Minute, alive)
		fault := rec.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.AddOffsetsToTxn}, Err: kerr.InvalidProducerEpoch, TopLevel: true, Count: -1})
		rec.pass(5*time.Minute, alive)
		rec.fires("LullTransactionsFail")
		fault.Remove()
		rec.pass(15*time.Minute, alive)
		rec.fires()
	}},
	{"a transaction lost", nil, func(rec *recording) { // as by a kill
		rec.pass(10*time.Minute, alive)
		rec.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.AddOffsetsToTxn}, Err: kerr.InvalidProducerEpoch, TopLevel: true, Count: 2})
		rec.pass(5*time.Minute, alive)
		rec.fires()
	}},
	{"records refused", nil, func(rec *recording) {
		refuse := func(n int) {
			for i := range n {
				rec.produce(&kgo.Record{Topic: rec.s.Input.Topic, Key: fmt.Append(nil, i), Value: []byte("no event")})
			}
			rec.pass(5*time.Minute, alive)
		}
		rec.pass(time.Hour, alive)
		refuse(4)
		rec.fires()
		// As the runbook asks: the first that are refused are named too.
		rec.test.Queries = append(rec.test.Queries, promtoolQuery{
			Expr: "count by (reason) (topk(5, increase(lull_dead_letters_total[1h])) > 3)", At: rec.now(), Samples: []promtoolSample{{`{reason="malformed"}`, 1}},
		})
		refuse(20)
		rec.fires("LullDeadLetters")
		rec.pass(70*time.Minute, alive)
		rec.fires()
	}},
	{"restore stuck", nil, func(rec *recording) {
		h := rec.hosts[0]
		h.end()
		h.disk = statetest.NewDisk()
		given := 0 // the changelog is given out batch by batch, and from the tenth on not at all
		fault := rec.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: rec.s.Topic(ChangelogTopic), Err: kerr.KafkaStorageError, Count: -1, When: func(r kmsg.Request) bool {
			given++
			r.(*kmsg.FetchRequest).MaxBytes = 1
			return given > 10
		}})
		h.again()
		rec.pass(10*time.Minute, alive)
		rec.fires()
		rec.pass(15*time.Minute, alive)
		rec.fires("LullNotReady", "LullRestoreStuck")
		rec.tells("LullNotReady", "p0 has not been ready for 15 minutes: /readyz says what stands in the way.", nil)
		fault.Remove()
		rec.pass(30*time.Minute, alive)
		rec.fires()
	}},
	{"transaction left open", nil, func(rec *recording) { // a restore waits for its end
		h, long := rec.hosts[0], rec.s
		h.end()
		h.disk = statetest.NewDisk()
		long.Commit.Timeout = 10 * time.Minute
		if err := rec.owner(long, "hanging", 0).begin(&kgo.Record{Key: []byte("cnobody"), Value: []byte("never committed")}); err != nil {
			rec.t.Fatal(err)
		}
		h.again()
		rec.pass(5*time.Minute, alive)
		rec.fires()
		rec.pass(15*time.Minute, alive)
		rec.fires()
	}},
	{"changelog and disk lost", nil, func(rec *recording) {
		h := rec.hosts[0]
		h.end()
		h.disk = statetest.NewDisk()
		rec.deleteRecords(rec.s.Topic(ChangelogTopic), -1)
		h.again()
		rec.pass(3*time.Minute, alive)
		rec.fires("LullPartitionStopped")
		rec.tells("LullPartitionStopped", fmt.Sprintf("Partition 0 of %s has been stopped by p0: /readyz names the reason and the ways out.", rec.s.Input.Topic),
			map[string]string{"topic": rec.s.Input.Topic, "partition": "0", "phase": "stopped"})
	}},
	{"disk fills up", nil, func(rec *recording) {
		disk := rec.hosts[0].disk
		disk.Say(100e9, 20e9)
		rec.pass(20*time.Minute, alive)
		rec.fires()
		disk.Say(100e9, 14e9)
		rec.pass(12*time.Minute, alive)
		rec.fires("LullStateDiskLow")
		rec.tells("LullStateDiskLow", "14% of the disk under state.dir of p0 are free; below 15 % compactions and a restore may not fit.", nil)
		disk.Say(100e9, 4e9)
		rec.pass(2*time.Minute, alive)
		rec.fires("LullStateDiskFull", "LullStateDiskLow")
		disk.Say(200e9, 104e9)
		rec.pass(time.Minute, alive)
		rec.fires()
	}},
	{"model deleted", nil, func(rec *recording) {
		h, later := rec.hosts[0], brisk
		later.Version, later.EffectiveAt = "later", operators.EventTime(time.Now().AddDate(1, 0, 0).UnixMilli())
		rec.publishModel(&rec.s, later)
		rec.pass(5*time.Minute, alive)
		h.end()
		rec.deleteRecords(rec.s.Topic(ModelsTopic), 1) // the one in force
		h.again()
		rec.pass(10*time.Minute, alive)
		rec.fires()
		rec.pass(10*time.Minute, alive)
		rec.fires("LullNotReady", "LullPartitionWaiting")
		rec.publishModel(&rec.s, brisk)
		rec.pass(5*time.Minute, alive)
		rec.fires()
	}},
	{"no model", func(*street) {}, func(rec *recording) {
		rec.pass(5*time.Hour, alive)
		rec.fires()
		rec.pass(90*time.Minute, alive)
		rec.fires("LullNoModel")
		rec.publishModel(&rec.s, brisk)
		rec.pass(5*time.Minute, alive)
		rec.fires()
	}},
	{"model old", func(st *street) {
		key, value, err := schemas.EncodeModel(&brisk)
		if err != nil {
			st.t.Fatal(err)
		}
		// The embedded broker deletes what is old from compacted topics too.
		if _, err := st.adm.AlterTopicConfigs(st.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("-1")}}, st.s.Topic(ModelsTopic)); err != nil {
			st.t.Fatal(err)
		}
		st.produce(&kgo.Record{Topic: st.s.Topic(ModelsTopic), Key: key, Value: value, Timestamp: time.Now().Add(-468 * time.Hour)})
	}, func(rec *recording) { // it is 2.5 hours less than 21 days old by now
		rec.pass(3*time.Hour, alive)
		rec.fires()
		rec.pass(time.Hour, alive)
		rec.fires("LullModelStale")
		next := brisk
		next.Version = "next"
		rec.publishModel(&rec.s, next)
		rec.pass(5*time.Minute, alive)
		rec.fires()
	}},
	{"snapshots fail", nil, func(rec *recording) {
		h, shelf := rec.hosts[0], &shelf{takes: time.Minute}
		h.end()
		h.s.Snapshots, h.snapshots = SnapshotSettings{Every: time.Hour, Out: "shelf"}, hand{shelf, h.s.Instance}
		h.again()
		rec.pass(10*time.Minute, alive)
		shelf.change(func() { shelf.fails = errors.New("the shelf is full") })
		rec.pass(50*time.Minute, alive) // then the next is due
		rec.fires()
		rec.pass(30*time.Minute, alive)
		rec.fires("LullSnapshotsFail")
		shelf.change(func() { shelf.fails = nil })
		rec.pass(10*time.Minute, alive)
		rec.fires()
	}},
	{"rule floods and falls silent", func(st *street) {
		st.publishModel(&st.s, brisk)
		st.sleepUntil("2026-01-01T20:00:00Z")
		for i := range 150 { // beside the street's customers
			st.happens(st.order(fmt.Sprint("crowd", i)))
		}
	}, func(rec *recording) {
		rec.interval = 5 * time.Minute
		rec.pass(150*time.Minute, alive)
		rec.fires()
		rec.pass(time.Hour, alive) // at 12:36 all are told of
		rec.fires("LullRuleFloods")
		rec.pass(90*time.Minute, alive)
		rec.fires()
		rec.pass(19*time.Hour, alive)
		rec.fires()
		rec.pass(290*time.Minute, alive)
		rec.fires("LullRuleSilent")
	}},
}

// TestAlerts proves with promtool, which LULL_TEST_PROMTOOL names, that each alert fires when what it is there for happens to a pipeline, that no other does, that it ends when that does, and what is told of it. The metrics are recorded from
// processes on embedded brokers, under a fake clock.
func TestAlerts(t *testing.T) {
	promtool := os.Getenv("LULL_TEST_PROMTOOL")
	if promtool == "" {
		t.Skip("LULL_TEST_PROMTOOL names no promtool, as make check-deploy does")
	}
	var mu sync.Mutex
	recordings := map[string]*recording{}
	t.Run("each", func(t *testing.T) {
		for _, f := range failures {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				if f.publish == nil {
					f.publish = func(st *street) { st.publishModel(&st.s, brisk) }
				}
				rec := &recording{interval: time.Minute, series: map[string][]string{}, fired: map[string]bool{}, test: promtoolTest{Name: f.name}}
				onStreetOf(t, 1, f.publish, func(_ *testing.T, st *street) {
					rec.street = st
					rec.scrape()
					f.happens(rec)
				})
				rec.run(t, promtool)
				mu.Lock()
				defer mu.Unlock()
				recordings[f.name] = rec
			})
		}
	})
	for _, name := range slices.Sorted(maps.Keys(alerts(t))) {
		if !slices.ContainsFunc(slices.Collect(maps.Values(recordings)), func(rec *recording) bool { return rec.fired[name] }) {
			t.Errorf("%s fires in no test", name)
		}
	}
	t.Run("dashboard", func(t *testing.T) { testDashboard(t, promtool, recordings) })
}

// run lets promtool hold the alerts against the recording.
func (rec *recording) run(t *testing.T, promtool string) {
	rec.test.Interval = inSeconds(rec.interval)
	for _, series := range slices.Sorted(maps.Keys(rec.series)) {
		rec.test.Series = append(rec.test.Series, promtoolSeries{series, strings.Join(rec.series[series], " ")})
	}
	if !rec.test.passes(t, promtool, alertsFile) {
		t.Log(rec.hosts[0].p.log)
	}
}

// passes runs promtool, with rules of a file or none.
func (test *promtoolTest) passes(t *testing.T, promtool string, rules ...string) bool {
	for i := range rules {
		var err error
		if rules[i], err = filepath.Abs(rules[i]); err != nil {
			t.Fatal(err)
		}
	}
	content, err := yaml.Marshal(map[string]any{"rule_files": rules, "evaluation_interval": test.Interval, "tests": []*promtoolTest{test}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "test.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(promtool, "test", "rules", file).CombinedOutput()
	if err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	return err == nil
}

// TestAlertsPage proves that each alert has its section on the page that it refers to, that each section has its alert, and that it says what it asks of whom.
func TestAlertsPage(t *testing.T) {
	page, err := os.ReadFile("../docs/operating/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	var sections []string
	for _, heading := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(string(page), -1) {
		sections = append(sections, heading[1])
	}
	all := alerts(t)
	slices.Sort(sections)
	if names := slices.Sorted(maps.Keys(all)); !slices.Equal(names, sections) {
		t.Errorf("the alerts are %v, the page's sections %v", names, sections)
	}
	for name, a := range all {
		if url := "docs/operating/alerts.md#" + strings.ToLower(name); a.Annotations["runbook_url"] != url {
			t.Errorf("%s: runbook_url is %q, not %q", name, a.Annotations["runbook_url"], url)
		}
		if s := a.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity is %q", name, s)
		}
		if a.Annotations["summary"] == "" || !regexp.MustCompile(`\$value|\d|/readyz`).MatchString(a.Annotations["description"]) {
			t.Errorf("%s: no summary, or a description without a number: %q", name, a.Annotations)
		}
		for _, selector := range regexp.MustCompile(`\b(?:lull_\w+|up)\b({job="lull")?`).FindAllStringSubmatch(a.Expr, -1) {
			if selector[1] == "" {
				t.Errorf(`%s: %s does not begin with {job="lull", which the chart puts its own job in the place of`, name, selector[0])
			}
		}
	}
}
