package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

// encodeTold returns outputs as they are read from topics, by customer.
func encodeTold(t *testing.T, outputs ...operators.Output) told {
	t.Helper()
	encoder, err := schemas.NewEncoder(schemas.EncoderConfig{HorizonDays: 365.25, ContactDays: 30})
	if err != nil {
		t.Fatal(err)
	}
	all := make(told)
	for i := range outputs {
		var rec schemas.Record
		if err := encoder.EncodeOutput(&outputs[i], &rec); err != nil {
			t.Fatal(err)
		}
		all[string(rec.Key)] = append(all[string(rec.Key)], rec.Value)
	}
	return all
}

func sessionOf(customer string, start operators.EventTime, pages uint32) operators.Output {
	o := operators.Output{Kind: operators.SessionOutput, Customer: customer}
	o.Session = &operators.Session{Start: start, End: start + 1000, FirstPage: "home", LastPage: "home", FirstPageAt: start, LastPageAt: start}
	o.Session.Counts[operators.PageViewed] = pages
	return o
}

func rowOf(customer string, revision uint64, asOf operators.EventTime, pAlive float64) operators.Output {
	o := operators.Output{Kind: operators.ScoreOutput, Customer: customer, Revision: revision}
	o.Score = &operators.ScoreRow{Facts: operators.Facts{AsOf: asOf, PAlive: pAlive}, Purchases: operators.Purchases{Count: 1}, NextDeadline: operators.Never}
	return o
}

// TestCompare proves that a comparison finds whatever differs, and passes what may: revisions, rounding, earlier rows of a table, and rows of who is rising.
func TestCompare(t *testing.T) {
	const at = 19_723 * operators.DayMs
	for _, c := range []struct {
		name         string
		topic        schemas.Topic
		ours, theirs []operators.Output
		rising       string
		agree        int
		fault        string // part of the only one, "" for none
	}{
		{"the same", schemas.Sessions, []operators.Output{sessionOf("a", at, 1), sessionOf("b", at, 2)}, []operators.Output{sessionOf("b", at, 2), sessionOf("a", at, 1)}, "", 2, ""},
		{"a number", schemas.Sessions, []operators.Output{sessionOf("a", at, 1)}, []operators.Output{sessionOf("a", at, 2)}, "", 0, "customer a, record 0: .events is 1 of lull, 2 of the peer"},
		{"an instant", schemas.Sessions, []operators.Output{sessionOf("a", at, 1)}, []operators.Output{sessionOf("a", at+6, 1)}, "", 0, ".start is"},
		{"an instant, by rounding", schemas.Sessions, []operators.Output{sessionOf("a", at, 1)}, []operators.Output{sessionOf("a", at+5, 1)}, "", 1, ""},
		{"one too few", schemas.Sessions, []operators.Output{sessionOf("a", at, 1), sessionOf("a", at+9999, 1)}, []operators.Output{sessionOf("a", at, 1)}, "", 0, "customer a: 2 records of lull, 1 of the peer"},
		{"none at all", schemas.Sessions, []operators.Output{sessionOf("a", at, 1)}, nil, "", 0, "customer a: 1 records of lull, 0 of the peer"},
		{"one too many", schemas.Sessions, nil, []operators.Output{sessionOf("a", at, 1)}, "", 0, "customer a: no record of lull, 1 of the peer"},
		{"their order", schemas.Sessions, []operators.Output{sessionOf("a", at, 1), sessionOf("a", at+9999, 1)}, []operators.Output{sessionOf("a", at+9999, 1), sessionOf("a", at, 1)}, "", 0, ".start is"},
		{"earlier rows", schemas.Scores, []operators.Output{rowOf("a", 1, at, 0.5), rowOf("a", 2, at+9999, 0.4)}, []operators.Output{rowOf("a", 7, at+9999, 0.4)}, "", 1, ""},
		{"a number, by rounding", schemas.Scores, []operators.Output{rowOf("a", 1, at, 0.5)}, []operators.Output{rowOf("a", 1, at, 0.5000009)}, "", 1, ""},
		{"more than that", schemas.Scores, []operators.Output{rowOf("a", 1, at, 0.5)}, []operators.Output{rowOf("a", 1, at, 0.5000011)}, "", 0, ".p_alive is 0.5 of lull"},
		{"who is rising", schemas.Scores, []operators.Output{rowOf("a", 1, at, 0.5)}, []operators.Output{rowOf("a", 1, at, 0.1)}, "a", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := map[schemas.Topic]int{schemas.Sessions: 0, schemas.Scores: 1}[c.topic]
			a, err := comparisons[i].compare(encodeTold(t, c.ours...), encodeTold(t, c.theirs...), map[string]bool{c.rising: true})
			if err != nil {
				t.Fatal(err)
			}
			found := strings.Join(a.faults, "\n")
			if a.records != c.agree || (c.fault == "") != (a.faulty == 0) || !strings.Contains(found, c.fault) {
				t.Errorf("%d records agree, faults: %s\nwant %d, and %q", a.records, found, c.agree, c.fault)
			}
		})
	}
}

// TestDimensions proves that who is rising is found, and that the records that say so are not compared, while those of other dimensions are.
func TestDimensions(t *testing.T) {
	change := func(d operators.Dimension, to string) operators.Output {
		return operators.Output{Kind: operators.SegmentOutput, Customer: "a", Cause: operators.Cause{Kind: operators.EventInput, EventID: "e"}, Segment: &operators.SegmentChange{Dimension: d, From: "none", To: to}}
	}
	ours := encodeTold(t, change(operators.QuadrantDimension, "nurture"), change(operators.RisingDimension, "rising"))
	rising, err := risingIn(ours)
	if err != nil {
		t.Fatal(err)
	}
	if !rising["a"] {
		t.Error("nobody is rising")
	}
	for to, want := range map[string]int{"nurture": 1, "save": 0} {
		a, err := comparisons[2].compare(ours, encodeTold(t, change(operators.QuadrantDimension, to)), rising)
		if err != nil {
			t.Fatal(err)
		}
		if a.records != want || a.faulty != 1-want || a.leftOut != 1 {
			t.Errorf("to %s: %d records agree, %d are left out, faults: %s", to, a.records, a.leftOut, a.faults)
		}
	}
}

// TestAgreements proves that differences, and a topic of which there is nothing to compare, are errors.
func TestAgreements(t *testing.T) {
	for _, c := range []struct {
		name  string
		a     agreement
		fails bool
	}{
		{"all agree", agreement{topic: schemas.Sessions, records: 3}, false},
		{"one differs", agreement{topic: schemas.Sessions, records: 3, faulty: 1, faults: []string{"customer a: too few"}}, true},
		{"nothing is there", agreement{topic: schemas.Triggers}, true},
	} {
		var out bytes.Buffer
		err := printAgreements(&out, []*agreement{&c.a})
		if (err != nil) != c.fails || !strings.Contains(out.String(), strings.Join(c.a.faults, "")) {
			t.Errorf("%s: %v:\n%s", c.name, err, out.String())
		}
	}
}

// TestFloors proves that each floor writes what it is to write: every record once, with the same bytes, and into the changelog the same again.
func TestFloors(t *testing.T) {
	for _, what := range []floor{copyFloor, logFloor, avroFloor} {
		t.Run(string(what), func(t *testing.T) {
			b, err := startBroker(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer b.close()
			r := peersRun{scenario: scenario{b: b, ctx: t.Context()}, generator: GeneratorConfig{Seed: 1, Events: 500, Customers: 50, Start: shopOpens}}
			r.name()
			if err := r.fill(); err != nil {
				t.Fatal(err)
			}
			s := r.b.settings("floor", t.TempDir())
			s.Input.Topic = r.topic
			if err := r.createTopics(s.Topic(copyTopic), s.Topic(logTopic)); err != nil {
				t.Fatal(err)
			}
			gathered := func(topic string) (all told) {
				all, err := r.gather(topic)
				if err != nil {
					t.Fatal(err)
				}
				return all
			}
			want := gathered(r.topic)
			runUntilCommitted(t, &r, &s, what)
			if got := gathered(s.Topic(copyTopic)); !sameTold(got, want) {
				t.Errorf("the copy holds something else than the input: %d keys, want %d", len(got), len(want))
			}
			delete(want, "") // the time marks, which change no state
			if what != logFloor {
				want = told{}
			}
			if got := gathered(s.Topic(logTopic)); !sameTold(got, want) {
				t.Errorf("the changelog holds %d keys, want %d", len(got), len(want))
			}
		})
	}
}

// TestFeed proves that a feed sends every event when it is due and a mark behind them to each partition, and that the first change of segment that names an event of the second half
// answers it.
func TestFeed(t *testing.T) {
	b, err := startBroker(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	r := peersRun{scenario: scenario{b: b, ctx: t.Context(), topic: "live"}, generator: GeneratorConfig{Seed: 1, Events: 200, Customers: 20, Start: shopOpens}, rate: 2000}
	if err := b.createInput(t.Context(), r.topic); err != nil {
		t.Fatal(err)
	}
	g, err := NewGenerator(r.generator)
	if err != nil {
		t.Fatal(err)
	}
	f := feed{r: &r, topic: r.topic, due: make(map[string]time.Time)}
	began := time.Now()
	if err := f.send(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 199*time.Second/2000 {
		t.Errorf("200 events at 2,000 a second took %s", took)
	}
	all, err := r.gather(r.topic)
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	for _, of := range all {
		records += len(of)
	}
	if records != 200+partitions || len(all[""]) != partitions {
		t.Errorf("%d records, %d of them marks", records, len(all[""]))
	}
	events := generate(t, r.generator)
	if first := f.due[events[100].ID]; len(f.due) != 100 || first.Before(began.Add(50*time.Millisecond)) {
		t.Errorf("%d events wait for an answer, the first due after %s", len(f.due), first.Sub(began))
	}
	for _, event := range []int{99, 100, 100, 199} {
		change := operators.Output{Kind: operators.SegmentOutput, Customer: "a", Cause: operators.Cause{Kind: operators.EventInput, EventID: events[event].ID}}
		change.Segment = &operators.SegmentChange{From: "none", To: "nurture"}
		if err := f.take(encodeTold(t, change)["a"][0], f.due[events[event].ID].Add(7*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	if want := []time.Duration{7 * time.Millisecond, 7 * time.Millisecond}; !slices.Equal(f.latencies, want) || len(f.due) != 98 {
		t.Errorf("latencies %v, want %v; %d events wait", f.latencies, want, len(f.due))
	}
}

// runUntilCommitted runs a floor until it has committed the end of the input.
func runUntilCommitted(t *testing.T, r *peersRun, s *pipeline.Settings, what floor) {
	t.Helper()
	running := &child{ended: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		running.err = runFloor(ctx, s, what)
		close(running.ended)
	}()
	watched := r.scenario
	watched.settings = *s
	err := watched.awaitEnd(running)
	stop()
	<-running.ended
	if err != nil || running.err != nil {
		t.Fatal(err, running.err)
	}
}

func sameTold(a, b told) bool {
	if len(a) != len(b) {
		return false
	}
	for key, of := range a {
		if len(of) != len(b[key]) {
			return false
		}
		for i := range of {
			if !bytes.Equal(of[i], b[key][i]) {
				return false
			}
		}
	}
	return true
}

// TestPeersArguments proves that what cannot be run is said at once.
func TestPeersArguments(t *testing.T) {
	t.Setenv("LULL_BROKERS", "")
	empty := t.TempDir()
	for _, c := range []struct{ arguments, want string }{
		{"", "-brokers, which are real ones"},
		{"-brokers 127.0.0.1:1 -runs 0", "-runs of at least 1"},
		{"-brokers 127.0.0.1:1 more", "no arguments but flags"},
		{"-brokers 127.0.0.1:1 -commit 0", "-commit of at least 1ms"},
		{"-brokers 127.0.0.1:1 -restore 1 -rate 5", "-restore takes neither -rate nor -compare"},
		{"-brokers 127.0.0.1:1 -restore -1", "-restore of at least 0"},
		{"-brokers 127.0.0.1:1 -restore 1 -compare", "-restore takes neither -rate nor -compare"},
		{"-brokers 127.0.0.1:1 -build " + empty, "make peers"},
	} {
		if err := runPeers(strings.Fields(c.arguments)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want an error with %q", c.arguments, err, c.want)
		}
	}
}

// TestProcessUsage proves that a process's own figures are found: some CPU, and at least the memory that this test holds.
func TestProcessUsage(t *testing.T) {
	if _, err := os.Stat(filepath.Join("/proc", "self", "stat")); err != nil {
		t.Skip("there is no /proc")
	}
	held := bytes.Repeat([]byte{1}, 64<<20)
	before, err := processUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for used := before; used.cpuSeconds() < before.cpuSeconds()+0.05; used, err = processUsage(os.Getpid()) {
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range held {
			sum += int(b)
		}
	}
	used, err := processUsage(os.Getpid())
	if err != nil || used.RSSBytesMax < int64(len(held)) || sum == 0 {
		t.Errorf("%d bytes resident, %v", used.RSSBytesMax, err)
	}
}

// TestLater proves that what waits for who restores is what the input goes on with, behind the silence: none of it is late.
func TestLater(t *testing.T) {
	config := GeneratorConfig{Seed: 1, Events: 2000, Customers: 20, Start: shopOpens}
	all := generate(t, config)
	config.Events = 500
	g, err := newEndless(config)
	if err != nil {
		t.Fatal(err)
	}
	var e operators.Event
	for range config.Events {
		g.Next(&e)
	}
	if e.ID != all[config.Events-1].ID {
		t.Fatalf("the input ends with event %s, want %s", e.ID, all[config.Events-1].ID)
	}
	r := peersRun{silenceDays: 30}
	l := later{g, r.silent(e.Time)}
	want := slices.IndexFunc(all, func(other operators.Event) bool { return other.Time > e.Time+30*operators.DayMs })
	for i, n := range all[want : want+100] {
		if !l.Next(&e) || e.ID != n.ID {
			t.Fatalf("event %d is %s, want %s", i, e.ID, n.ID)
		}
	}
}

// TestFigures proves that each figure has what was measured of each contender, in the order of turns, and that what nobody has is left out.
func TestFigures(t *testing.T) {
	ms := time.Millisecond
	r := peersRun{input: &input{events: 1000, customers: 10}, rate: 5000, commit: 20 * ms, contenders: []*contender{
		{name: lullContender, runs: []race{{latencies: []time.Duration{1 * ms, 2 * ms, 9 * ms}}, {latencies: []time.Duration{4 * ms}}}, restores: []handOver{{first: 100 * ms, all: 500 * ms}}},
		{name: streamsContender, runs: []race{{latencies: []time.Duration{20 * ms}}, {latencies: []time.Duration{40 * ms}}}, restores: []handOver{{first: 1000 * ms, all: 2500 * ms}}},
		{name: floorName(copyFloor), runs: []race{{}, {}}},
	}}
	m := r.standings()
	if m.Rate != 5000 || m.CommitMs != 20 {
		t.Errorf("%+v", m)
	}
	for name, want := range map[string]string{
		"latency p50, ms":                    "map[Kafka Streams:[20 40] lull:[2 4]]",
		"latency p99.9, ms":                  "map[Kafka Streams:[20 40] lull:[9 4]]",
		"restore, s to the first new commit": "map[Kafka Streams:[1] lull:[0.1]]",
	} {
		i := slices.IndexFunc(m.Figures, func(f quantity) bool { return f.Name == name })
		if i < 0 || fmt.Sprint(m.Figures[i].Runs) != want {
			t.Errorf("%s: want %s of %+v", name, want, m.Figures)
		}
	}
	each := m.Figures[slices.IndexFunc(m.Figures, func(f quantity) bool { return f.Name == "restore, s until each partition has one" })]
	if got := each.ratios(streamsContender); !slices.Equal(got, []float64{5}) {
		t.Errorf("Kafka Streams took %v times as long", got)
	}
	r.contenders[0].restores, r.contenders[1].restores = nil, nil
	if slices.ContainsFunc(r.standings().Figures, func(f quantity) bool { return strings.HasPrefix(f.Name, "restore") }) {
		t.Error("there are figures of restores, and nobody has restored")
	}
}
