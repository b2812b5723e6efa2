package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/parquet-go/parquet-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/snapshot"
	"lull/pipeline/task"
	"lull/schemas"
)

// snapshotShop is an application whose process has come to the end of the calibration of the CDNOW log, of which it gets the customers of the sample.
func snapshotShop(t *testing.T) *shopOnKafka {
	t.Helper()
	s := newShopOnKafka(t, "fit: {mode: demand, statistics_every: 50ms}\ncommit: {timeout: 5s, session_timeout: 6s}\non_stop: leave\n")
	s.lull("models", "put", writeFile(t, "model.yaml", string(cdnowModel)), "--config", s.config)
	file := writeFile(t, "orders.csv", string(s.rowsOfFew("1997-01-01", "1997-09-30")))
	s.lull("produce", "--brokers", s.broker, "--topic", s.input, "--csv", file, "--map", "customer_id=customer_id,time=date,amount=amount,message_id=id,order_id=id")
	s.lull("produce", "--brokers", s.broker, "--topic", s.input, "--time-mark", "1997-09-30")
	s.start()
	s.awaitStatistics("1997-09-30", 4)
	return s
}

// rowsOfFew returns the rows of the customers of the published sample.
func (s *shopOnKafka) rowsOfFew(from, to string) []byte {
	s.t.Helper()
	unzip, err := gzip.NewReader(strings.NewReader(readFile(s.t, sampleFile)))
	if err != nil {
		s.t.Fatal(err)
	}
	sample, err := csv.NewReader(unzip).ReadAll()
	if err != nil {
		s.t.Fatal(err)
	}
	few := map[string]bool{"customer_id": true} // of the header
	for _, row := range sample {
		few[row[0]] = true
	}
	var rows bytes.Buffer
	for line := range strings.Lines(string(s.rows(from, to))) {
		if customer, _, _ := strings.Cut(line, ","); few[customer] {
			rows.WriteString(line)
		}
	}
	return rows.Bytes()
}

// takeSnapshot takes a snapshot and returns its folder and manifest.
func (s *shopOnKafka) takeSnapshot(out string, more ...string) (dir string, m *snapshot.Manifest) {
	s.t.Helper()
	s.lull(append([]string{"snapshot", "--out", out, "--config", s.config}, more...)...)
	dir = filepath.Join(out, strings.TrimSpace(readFile(s.t, filepath.Join(out, "latest"))))
	if err := json.Unmarshal([]byte(readFile(s.t, filepath.Join(dir, "manifest.json"))), &m); err != nil {
		s.t.Fatal(err)
	}
	return dir, m
}

// customerColumns are the columns of the table customers that the tests look at.
type customerColumns struct {
	CustomerID    string    `parquet:"customer_id"`
	AsOf          time.Time `parquet:"as_of,timestamp(millisecond:utc)"`
	Frequency     *float64  `parquet:"frequency"`
	LastAge       *float64  `parquet:"recency"`
	T             *float64  `parquet:"T"`
	MonetaryValue *float64  `parquet:"monetary_value"`
	PAlive        *float64  `parquet:"p_alive"`
	CLV           *float64  `parquet:"clv"`
	Orders        int64     `parquet:"orders"`
	RealizedValue float64   `parquet:"realized_value"`
	Quadrant      string    `parquet:"quadrant"`
	Lifecycle     string    `parquet:"lifecycle"`
	Rebuilt       bool      `parquet:"segments_rebuilt"`
}

// TestSnapshot: a snapshot of the CDNOW customers has what the log says of them by a plain sum, up to its instant, whether that is the state's or an earlier one; what the outputs say of them at the state's; and is
// the same snapshot, byte for byte, wherever it is written.
func TestSnapshot(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a process")
	}
	s := snapshotShop(t)
	out := t.TempDir()
	dir, m := s.takeSnapshot(out)
	if m.AsOf != "1997-09-30T00:00:00.000Z" || m.Model == nil || *m.Model != "cdnow-published" || len(m.Partitions) != 4 {
		t.Errorf("the manifest: %+v", m)
	}
	rows := s.checkSnapshot(dir, m)
	if models := tableRows[struct {
		Version string `parquet:"version"`
	}](t, dir, "models"); len(models) != 1 || models[0].Version != *m.Model {
		t.Errorf("the models are %v", models)
	}
	s.checkOneCut(dir, rows)
	s.await("segments of the snapshot in the outputs", func() bool { return s.segmentsAre(rows) }) // the process may be about to tell them
	if err := s.process.stop(); err != nil {
		t.Fatal(err)
	}

	dir, _ = s.takeSnapshot(out)
	again, _ := s.takeSnapshot(t.TempDir())
	for _, table := range snapshot.TableNames() {
		if filepath.Base(again) != filepath.Base(dir) || readFile(t, filepath.Join(again, table+".parquet")) != readFile(t, filepath.Join(dir, table+".parquet")) {
			t.Errorf("%s and %s differ in %s", dir, again, table)
		}
	}
	if told := s.lull("snapshot", "--from-changelog", "--out", out, "--config", s.config); !strings.Contains(told, "was there already") {
		t.Errorf("the same once more: %s", told)
	}

	here := writeFile(t, "here.yaml", readFile(t, s.config)+fmt.Sprintf("snapshots: {out: %q}\n", out))
	if told := s.lull("snapshot", "--config", here); !strings.Contains(told, "was there already") {
		t.Errorf("to snapshots.out: %s", told)
	}

	const stillIn = "refunds, cancellations and updates that came after it are in"
	if told := s.lull("snapshot", "--from-changelog", "--out", out, "--config", s.config); strings.Contains(told, stillIn) {
		t.Errorf("of the least watermark: %s", told)
	}
	if told := s.lull("snapshot", "--from-changelog", "--out", t.TempDir(), "--config", s.config, "--as-of", "1997-04-20"); !strings.Contains(told, stillIn) || !strings.Contains(told, "are placed anew, without the past (segments_rebuilt)") {
		t.Errorf("of an earlier instant: %s", told)
	}

	// A state says what its days and sessions are, whatever the settings do.
	others := writeFile(t, "others.yaml", readFile(t, s.config)+"calendar: {timezone: America/New_York}\nsession: {gap: 45m}\nmoney: {rates: {EUR: \"1.08\"}}\n")
	told := s.lull("snapshot", "--out", t.TempDir(), "--config", others, "--as-of", "1997-04-20")
	for _, want := range []string{
		"calendar.timezone is America/New_York here, and UTC in the state: what was counted by that stays\n", "session.gap is 45m0s here, and 30m0s in the state: what was counted by that stays\n",
		"money.rates is EUR=1.08 here, and empty in the state: what was counted by that stays\n", "as of 1997-04-20T00:00:00.000Z,",
	} {
		if !strings.Contains(told, want) || strings.Contains(told, "clock.lateness") {
			t.Errorf("with other settings: %s, want %s", told, want)
		}
	}

	earlier := t.TempDir()
	if dir, m := s.takeSnapshot(earlier, "--as-of", "1997-03-15"); len(s.checkSnapshot(dir, m)) == len(rows) {
		t.Error("all had bought by March")
	}
	s.takeSnapshot(earlier, "--as-of", "1997-02-15", "--keep", "2")
	if dir, _ := s.takeSnapshot(earlier, "--as-of", "1997-04-15", "--keep", "2"); !strings.HasPrefix(filepath.Base(dir), "19970415T") {
		t.Errorf("the latest is %s", dir)
	}
	left, err := filepath.Glob(filepath.Join(earlier, "*", "manifest.json"))
	if err != nil || len(left) != 2 || !strings.Contains(left[0], "19970315T") || !strings.Contains(left[1], "19970415T") {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestSnapshotAsOf: a date is the start of that day in the calendar, and an instant is the same in all.
func TestSnapshotAsOf(t *testing.T) {
	for asOf, want := range map[string]string{
		"2026-11-27": "2026-11-27T05:00:00.000Z", "2026-07-01": "2026-07-01T04:00:00.000Z", "2026-11-27 13:00:00": "2026-11-27T18:00:00.000Z", "2026-11-27T00:00:00Z": "2026-11-27T00:00:00.000Z",
	} {
		f := snapshotFlags{asOf: asOf}
		if at, err := f.instant("America/New_York"); err != nil || at.String() != want {
			t.Errorf("%s is %s, %v, want %s", asOf, at, err, want)
		}
	}
}

// TestSnapshotTargetFirst: what is wrong with the bucket is told before anything is read: no broker is there.
func TestSnapshotTargetFirst(t *testing.T) {
	server := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none")) // not that of who runs the test
	config := writeFile(t, "lull.yaml", "input: {topic: shop}\nbrokers: [127.0.0.1:1]\n")
	bucket := "s3://nobodys?region=us-east-1&use_path_style=true&endpoint=" + server.URL
	_, errs, code := lull(t, "snapshot", "--out", bucket, "--config", config)
	for _, want := range []string{"--out: ", "nobodys", "cannot be listed", "NoSuchBucket", "see whether that is its name, whether it is reached from here, and whether the credentials here may list, read, write and delete there (docs/snapshots.md)"} {
		if code != exitError || !strings.Contains(errs, want) {
			t.Errorf("exit code %d: %s, want %s", code, errs, want)
		}
	}
}

// TestSnapshotsOfRun: lull run takes a snapshot by itself, which tells what the log does. A process that is killed on the way leaves none, whatever it has written: there is no latest, and no manifest; and the next takes one at once.
func TestSnapshotsOfRun(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a process")
	}
	store := s3mem.New()
	if err := store.CreateBucket("shop"); err != nil {
		t.Fatal(err)
	}
	fake := gofakes3.New(store).Server()
	reached, holds := make(chan struct{}, 1), atomic.Bool{}
	holds.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if holds.Load() && r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifest.json") {
			_, _ = io.Copy(io.Discard, r.Body) // only then the end of the connection is seen
			reached <- struct{}{}
			<-r.Context().Done() // the process is killed
			return
		}
		fake.ServeHTTP(w, r)
	}))
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none")) // not that of who runs the test

	s := snapshotShop(t)
	if err := s.process.stop(); err != nil {
		t.Fatal(err)
	}
	bucket := "s3://shop?region=us-east-1&use_path_style=true&endpoint=" + server.URL
	config := readFile(t, s.config) + fmt.Sprintf("snapshots: {every: 1h, out: %q}\n", bucket)
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.await("manifest on its way", func() bool { return len(reached) > 0 })
	s.process.kill()
	names := func() (all []string) {
		list, err := store.ListBucket("shop", &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range list.Contents {
			all = append(all, object.Key)
		}
		return all
	}
	half := names()
	if len(half) != len(snapshot.TableNames()) {
		t.Errorf("the process was killed, and there are %v", half)
	}
	for _, name := range half {
		if !strings.HasSuffix(name, ".parquet") {
			t.Errorf("the process was killed before a snapshot was whole, and there is %s", name)
		}
	}

	holds.Store(false)
	s.start()
	s.await("latest", func() bool { return slices.Contains(names(), "latest") })
	target, err := snapshot.OpenTarget(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	latest, err := target.Latest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := target.Manifest(t.Context(), latest)
	if err != nil || m == nil || m.AsOf != "1997-09-30T00:00:00.000Z" {
		t.Fatalf("the manifest of %s: %+v, %v", latest, m, err)
	}
	dir := t.TempDir()
	for i := range m.Tables {
		object, err := store.GetObject("shop", latest+"/"+m.Tables[i].File, nil)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(object.Contents)
		if err = errors.Join(err, object.Contents.Close(), os.WriteFile(filepath.Join(dir, m.Tables[i].File), content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s.checkOneCut(dir, s.checkSnapshot(dir, m))
	if err := s.process.stop(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(s.process.log), "state", "snapshot")); err != nil || len(left) > 0 {
		t.Errorf("of the snapshots' state is left %v, %v", left, err)
	}
}

// commitBetween calls then once, right after the answer that tells how far a topic goes.
type commitBetween struct {
	answers int
	then    func()
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (c *commitBetween) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key != kmsg.ListOffsets.Int16() || err != nil {
		return
	}
	if c.answers++; c.answers == 2 { // the first tells where it begins
		c.then()
	}
}

// TestSnapshotWholeTransactions: a transaction that is open when the end of the changelog is asked for, and is committed then, is in the snapshot as a whole. For one that stays open nobody waits for ever: what was
// committed before it is what there is.
func TestSnapshotWholeTransactions(t *testing.T) {
	broker := newBroker(t)
	const topic = "shop" // one partition of it is as good as that of a changelog
	writer := producer(t, broker, kgo.TransactionalID("t"))
	write := func(key, value []byte) {
		t.Helper()
		if err := writer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: key, Value: value}).FirstErr(); err != nil {
			t.Error(err)
		}
	}
	begin := func() {
		t.Helper()
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
	}
	commit := func() {
		t.Helper()
		if err := writer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Error(err)
		}
	}
	meta := func(watermark operators.EventTime) {
		t.Helper()
		m := task.NewMeta()
		m.Watermark = watermark
		write(task.MetaKey, m.Append(nil))
	}
	customer := func(id string) {
		t.Helper()
		write(task.CustomerKey(nil, id), operators.NewCustomer(id).AppendState(nil))
	}
	const before, after = operators.EventTime(operators.DayMs), operators.EventTime(2 * operators.DayMs)
	begin()
	meta(before)
	commit()
	begin()
	customer("ann")

	adm := kadm.NewClient(writer)
	stable, err := stableSpans(t.Context(), adm, topic)
	if err != nil {
		t.Fatal(err)
	}
	if spans, whole, err := committedSpans(t.Context(), adm, topic, 0); err != nil || whole || spans[0] != stable[0] {
		t.Errorf("while a transaction is open the changelog goes to %v, %v; want %v", spans[0], err, stable[0])
	}

	client, err := newClient(t.Context(), reaching(broker), append(readOptions(), kgo.WithHooks(&commitBetween{then: func() {
		customer("bob")
		meta(after)
		commit()
	}}))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	state, err := snapshot.OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	if err := restoreState(t.Context(), client, topic, state); err != nil {
		t.Fatal(err)
	}
	target, err := snapshot.OpenTarget(t.Context(), "mem://")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	s := pipeline.DefaultSettings()
	taken, err := snapshot.Take(t.Context(), state, &snapshot.Config{Chain: s.Chain(), AsOf: snapshot.DefaultAsOf, Tables: snapshot.TableNames()}, target, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if m := taken.Manifest; m.Partitions[0].Watermark != after.String() || m.Tables[0].Rows != 2 {
		t.Errorf("%d customers at %s; the transaction brought both, and %s", m.Tables[0].Rows, m.Partitions[0].Watermark, after)
	}
}

// TestSnapshotOutputs: outputs behind a transaction that is open are waited for, or the snapshot is refused: it never has fewer than the states count. Each is read in the format that it names.
func TestSnapshotOutputs(t *testing.T) {
	s := reaching(newBroker(t))
	state, err := snapshot.OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	read := func(want string) {
		t.Helper()
		err := readOutputs(t.Context(), s, schemas.Sessions, "sessions", state, 0)
		if got := fmt.Sprint(err); !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	read("topic \"lull.sessions\" does not exist: run `lull topics apply`, or leave sessions out by --tables")

	writer := producer(t, s.Brokers[0], kgo.TransactionalID("t"))
	topic := s.Topic(pipeline.SessionsTopic)
	if _, err := kadm.NewClient(writer).CreateTopic(t.Context(), 1, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	record := func(key, at, value string) {
		t.Helper()
		headers := []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/json")}, {Key: "ce_id", Value: []byte(key)}, {Key: "ce_time", Value: []byte(at)}}
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := writer.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value), Headers: headers}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	commit := func() {
		t.Helper()
		if err := writer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	const session = `{"customer_id": "ann", "start": "1998-01-04T00:00:00.000Z", "end": "1998-01-04T00:00:00.000Z", "dwell_ms": 0, "events": 1, "counts": [], "cart": 0, "orders": 0, "cart_left": false, "revision": 1}`
	record("ann", "1998-01-04T00:00:00.000Z", session)
	read("topic \"lull.sessions\": a transaction stays open, behind which outputs of this state can lie: try again later, or leave sessions out by --tables")
	commit()
	read("<nil>")
	record("bob", "soon", session)
	commit()
	read("topic \"lull.sessions\", partition 0, offset 2: the header ce_time")
}

// TestSnapshotOneCut: transactions that are committed while a snapshot is taken are in all of its tables or in none. One is committed when the end of the changelog is asked for, the next when that of the sessions is:
// the first is in the state and in the sessions, the second is in neither, though it is read.
func TestSnapshotOneCut(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "lull.changelog", "lull.sessions", "lull.models"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	s := reaching(cluster.ListenAddrs()...)
	writer := producer(t, s.Brokers[0], kgo.TransactionalID("t"))
	revision := 0
	commit := func() {
		revision++
		at := operators.EventTime(revision * operators.DayMs)
		m := task.NewMeta()
		m.Watermark = at + 10*operators.DayMs
		c := operators.NewCustomer("ann")
		c.Revision = uint64(revision)
		c.Messages = []operators.Message{{Hash: 1}}
		session := fmt.Sprintf(`{"customer_id": "ann", "start": %[1]q, "end": %[1]q, "dwell_ms": 0, "events": 1, "counts": [], "cart": 0, "orders": 0, "cart_left": false, "revision": %[2]d}`, at, revision)
		headers := []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/json")}, {Key: "ce_id", Value: []byte(strconv.Itoa(revision))}, {Key: "ce_time", Value: []byte(at.String())}}
		if err := writer.BeginTransaction(); err != nil {
			t.Error(err)
		}
		if err := writer.ProduceSync(
			t.Context(),
			&kgo.Record{Topic: "lull.changelog", Key: task.CustomerKey(nil, "ann"), Value: c.AppendState(nil)}, &kgo.Record{Topic: "lull.changelog", Key: task.MetaKey, Value: m.Append(nil)},
			&kgo.Record{Topic: "lull.sessions", Key: []byte("ann"), Value: []byte(session), Headers: headers},
		).FirstErr(); err != nil {
			t.Error(err)
		}
		if err := writer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Error(err)
		}
	}
	commit()
	asked := map[string]bool{"lull.models": true}
	cluster.ControlKey(kmsg.ListOffsets.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if topic := request.(*kmsg.ListOffsetsRequest).Topics[0].Topic; !asked[topic] {
			asked[topic] = true
			cluster.SleepControl(commit)
		}
		return nil, nil, false
	})
	f := snapshotFlags{fromChangelog: true, out: t.TempDir(), tables: []string{"customers", "sessions"}}
	config, err := f.config(s)
	if err != nil {
		t.Fatal(err)
	}
	taken, _, err := f.take(t.Context(), s, config)
	if err != nil {
		t.Fatal(err)
	}
	m := taken.Manifest
	if want := operators.EventTime(12 * operators.DayMs).String(); revision != 3 || m.Partitions[0].Watermark != want || m.Tables[1].Rows != 2 {
		t.Errorf("after %d transactions the watermark is %s, and there are %d sessions; the second was at %s", revision, m.Partitions[0].Watermark, m.Tables[1].Rows, want)
	}
}

// checkOneCut holds the tables of a snapshot against each other, which was taken while the process worked: the last changes of segments are where the customers stand, so that neither has a transaction that the other
// lacks; nobody is in the one and not in the other.
func (s *shopOnKafka) checkOneCut(dir string, customers []customerColumns) {
	s.t.Helper()
	last := map[string]string{} // by dimension and customer
	for _, change := range tableRows[struct {
		CustomerID string `parquet:"customer_id"`
		Dimension  string `parquet:"dimension"`
		To         string `parquet:"to_segment"`
	}](s.t, dir, "segment_changes") {
		last[change.Dimension+change.CustomerID] = change.To
	}
	known := map[string]bool{}
	for i := range customers {
		c := &customers[i]
		known[c.CustomerID] = true
		if c.Rebuilt || c.Quadrant != last["quadrant"+c.CustomerID] || c.Lifecycle != last["lifecycle"+c.CustomerID] {
			s.t.Errorf("%s is %s and %s, and was told to be %s and %s", c.CustomerID, c.Quadrant, c.Lifecycle, last["quadrant"+c.CustomerID], last["lifecycle"+c.CustomerID])
		}
	}
	for _, table := range []string{"triggers", "sessions", "segment_changes"} {
		of := tableRows[struct {
			CustomerID string `parquet:"customer_id"`
			Revision   int64  `parquet:"revision"`
		}](s.t, dir, table)
		for i := range of {
			row := &of[i]
			if !known[row.CustomerID] || i > 0 && (row.CustomerID < of[i-1].CustomerID || row.CustomerID == of[i-1].CustomerID && row.Revision <= of[i-1].Revision) {
				s.t.Errorf("%s: %v after %v", table, of[i], of[max(0, i-1)])
			}
		}
		if len(of) == 0 {
			s.t.Errorf("%s: no rows", table)
		}
	}
}

// segmentsAre reports whether the customers are where the outputs have told last that they are.
func (s *shopOnKafka) segmentsAre(rows []customerColumns) bool {
	told := map[string]string{} // by dimension and customer
	for _, r := range recordsOf(s.t, s.broker, s.prefix+"segments") {
		change, err := schemas.DecodeOutput(schemas.Segments, r.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		dimension, _ := change.Get("dimension").(string)
		told[dimension+string(r.Key)], _ = change.Get("to").(string)
	}
	for i := range rows {
		row := &rows[i]
		if row.Rebuilt || row.Quadrant != told["quadrant"+row.CustomerID] || row.Lifecycle != told["lifecycle"+row.CustomerID] {
			return false
		}
	}
	return len(rows) > 0
}

// tableRows returns the rows of a table of the snapshot in dir.
func tableRows[R any](t *testing.T, dir, name string) []R {
	t.Helper()
	file := readFile(t, filepath.Join(dir, name+".parquet"))
	rows, err := parquet.Read[R](strings.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// checkSnapshot holds a snapshot against its manifest, and the facts of its rows against the log up to its instant.
func (s *shopOnKafka) checkSnapshot(dir string, m *snapshot.Manifest) []customerColumns {
	t := s.t
	t.Helper()
	asOf, err := time.Parse(time.RFC3339, m.AsOf)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Tables {
		of := &m.Tables[i]
		sum := sha256.Sum256([]byte(readFile(t, filepath.Join(dir, of.File))))
		if rows := tableRows[struct{}](t, dir, of.Name); of.SHA256 != hex.EncodeToString(sum[:]) || of.Rows != int64(len(rows)) {
			t.Errorf("the manifest says %+v of a file of %d rows", of, len(rows))
		}
	}
	rows := tableRows[customerColumns](t, dir, "customers")
	placed, brought := map[string]int64{}, map[string]float64{}
	for _, o := range tableRows[struct {
		CustomerID string    `parquet:"customer_id"`
		Time       time.Time `parquet:"time,timestamp(millisecond:utc)"`
		Net        float64   `parquet:"net"`
	}](t, dir, "orders") {
		placed[o.CustomerID]++
		brought[o.CustomerID] += o.Net
		if o.Time.After(asOf) {
			t.Errorf("an order of %s at %s", o.CustomerID, o.Time)
		}
	}
	log := s.purchasesUntil(asOf)
	if len(log) != len(rows) {
		t.Errorf("%d rows, %d customers have bought", len(rows), len(log))
	}
	last := ""
	for _, row := range rows {
		days := log[row.CustomerID]
		first, final, sum, repeats := time.Time{}, time.Time{}, 0.0, 0.0
		for day, amount := range days {
			if first.IsZero() || day.Before(first) {
				first = day
			}
			if day.After(final) {
				final = day
			}
			sum += amount
		}
		repeats = sum - days[first]
		x := float64(len(days) - 1)
		if x > 0 {
			repeats /= x
		}
		if row.CustomerID <= last || !row.AsOf.Equal(asOf) || *row.Frequency != x || *row.LastAge != final.Sub(first).Hours()/24 || *row.T != asOf.Sub(first).Hours()/24 ||
			math.Abs(*row.MonetaryValue-repeats) > 1e-9 || math.Abs(row.RealizedValue-sum) > 1e-9 || row.PAlive == nil || *row.CLV <= 0 ||
			placed[row.CustomerID] != row.Orders || math.Abs(brought[row.CustomerID]-sum) > 1e-9 {
			t.Errorf("%s after %s: frequency %v, recency %v, T %v, monetary value %v; the log says %v", row.CustomerID, last, *row.Frequency, *row.LastAge, *row.T, *row.MonetaryValue, days)
		}
		last = row.CustomerID
	}
	return rows
}

// purchasesUntil returns the sums of the log by customer and day, up to an instant.
func (s *shopOnKafka) purchasesUntil(asOf time.Time) map[string]map[time.Time]float64 {
	rows, err := csv.NewReader(bytes.NewReader(s.rowsOfFew("1997-01-01", asOf.Format(time.DateOnly)))).ReadAll()
	if err != nil {
		s.t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	days := map[string]map[time.Time]float64{}
	for _, row := range rows[1:] {
		day, err := time.Parse(time.DateOnly, row[column["date"]])
		if err != nil {
			s.t.Fatal(err)
		}
		amount, err := strconv.ParseFloat(row[column["amount"]], 64)
		if err != nil {
			s.t.Fatal(err)
		}
		customer := row[column["customer_id"]]
		if days[customer] == nil {
			days[customer] = map[time.Time]float64{}
		}
		days[customer][day] += amount
	}
	return days
}

// readersVariable names a folder with a Python environment in which docs/readers/requirements.txt are installed.
const readersVariable = "LULL_TEST_READERS"

// readersEnvironment is that folder, "" if there is none.
var readersEnvironment = os.Getenv(readersVariable)

// TestReaders: pyarrow, pandas, Polars and DuckDB read the same of a snapshot of the CDNOW customers, and lifetimes' own functions, given its columns as they are, have lull's numbers. It is run by
// `make test-readers`.
func TestReaders(t *testing.T) {
	if readersEnvironment == "" {
		t.Skip(readersVariable + " is not set: make test-readers sets it")
	}
	s := snapshotShop(t)
	dir, _ := s.takeSnapshot(t.TempDir())
	const daysOfWeek = 7
	command := exec.Command(filepath.Join(readersEnvironment, "bin", "python"), "../../docs/readers/readers.py", dir, "0.525", strconv.FormatFloat(6.183*daysOfWeek, 'g', -1, 64), "0.891", "1.614", "6.25", "3.74", "15.44") // cdnow/model.yaml
	out, err := command.CombinedOutput()
	if err != nil || string(out) != "2357 customers, 946 repeaters; lifetimes fits r 0.525, alpha 6.18 weeks\n" { // as published
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}

// notebookVariable names a folder with a Python environment in which docs/notebook/requirements.txt are installed.
const notebookVariable = "LULL_TEST_NOTEBOOK"

// notebookEnvironment is that folder, "" if there is none.
var notebookEnvironment = os.Getenv(notebookVariable)

// TestNotebook: docs/notebook runs from start to end on a snapshot of the CDNOW customers, and prints what stands in it; among that, that lifetimes' and pymc-marketing's functions, given the
// columns as they are, have lull's numbers. It is run by `make test-notebook`.
func TestNotebook(t *testing.T) {
	if notebookEnvironment == "" {
		t.Skip(notebookVariable + " is not set: make test-notebook sets it")
	}
	s := snapshotShop(t)
	snapshots := t.TempDir()
	s.takeSnapshot(snapshots)
	out, err := exec.Command(filepath.Join(notebookEnvironment, "bin", "python"), "../../docs/notebook/run.py", snapshots).CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}
