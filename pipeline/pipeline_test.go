package pipeline

import (
	"testing"
	"time"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
	"lull/state"
)

func instant(t *testing.T, s string) operators.EventTime {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return operators.EventTime(at.UnixMilli())
}

// publish puts a model in force from the beginning.
func (c *cluster) publish(s *Settings) {
	c.t.Helper()
	c.publishModel(s, operators.Model{Version: "test-1", Family: "mbgnbd", R: 0.525, Alpha: 6.183 * 7, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 40})
}

func (c *cluster) publishModel(s *Settings, m operators.Model) {
	c.t.Helper()
	key, value, err := schemas.EncodeModel(&m)
	if err != nil {
		c.t.Fatal(err)
	}
	r := c.event(s, operators.Event{Kind: operators.PageViewed, Customer: "x", Time: 1, Name: "x"})
	r.Topic, r.Key, r.Value = s.Topic(ModelsTopic), key, value
	c.produce(r)
}

// TestStraightLine proves that orders go in and scores, sessions, segments and the trigger of silence come out, each once, and that a second
// process finds the state of the first and repeats nothing.
func TestStraightLine(t *testing.T) {
	c := newCluster(t)
	s := c.application(3)
	c.publish(&s)
	for _, day := range []string{"2024-01-01", "2024-01-15", "2024-02-01"} {
		for _, customer := range []string{"ann", "bob", "cy"} {
			c.produce(c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: customer, ID: customer + day, OrderID: customer + day,
				Time: instant(t, day+"T10:00:00Z"), Amount: 2500}))
		}
	}
	c.mark(&s, "2024-12-31T00:00:00Z")
	p := c.run(s)
	c.await(&s, p)
	p.end()

	count := map[string]int{}
	for _, topic := range []string{SessionsTopic, ScoresTopic, SegmentsTopic, TriggersTopic, DeadLettersTopic} {
		count[topic] = len(c.read(s.Topic(topic)))
	}
	if count[SessionsTopic] != 9 || count[TriggersTopic] != 3 || count[DeadLettersTopic] != 0 || count[ScoresTopic] == 0 || count[SegmentsTopic] < 6 {
		t.Errorf("outputs: %v\n%s", count, p.log)
	}

	p = c.run(s)
	c.produce(c.event(&s, operators.Event{Kind: operators.PageViewed, Customer: "ann", ID: "v1", Name: "/", Time: instant(t, "2025-01-01T10:00:00Z")}))
	c.mark(&s, "2025-01-02T00:00:00Z")
	c.await(&s, p)
	p.end()
	if n := len(c.read(s.Topic(SessionsTopic))); n != 10 {
		t.Errorf("sessions after a restart: %d, want 10\n%s", n, p.log)
	}
	if n := len(c.read(s.Topic(TriggersTopic))); n != 3 {
		t.Errorf("triggers after a restart: %d, want 3", n)
	}
}

// TestEventsMoveTime proves that under clock: event the events themselves move time, without a mark: the session of the day before has ended when that of the next begins.
func TestEventsMoveTime(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.publish(&s)
	for _, day := range []string{"2024-01-01", "2024-01-02", "2024-01-03"} {
		for _, customer := range []string{"ann", "bob", "cy"} {
			c.produce(c.event(&s, operators.Event{Kind: operators.PageViewed, Customer: customer, ID: customer + day, Name: "/", Time: instant(t, day+"T10:00:00Z")}))
		}
	}
	p := c.run(s)
	c.await(&s, p)
	p.end()
	if n := len(c.read(s.Topic(SessionsTopic))); n != 6 {
		t.Errorf("%d sessions have ended, want 6\n%s", n, p.log)
	}
}

// TestTwoProcesses proves that a second process takes over a part of the partitions while the first works on, that both together tell every customer's
// story as one process does, and that the state of what was given up is dropped after state.keep.
func TestTwoProcesses(t *testing.T) {
	c := newCluster(t)
	alone := c.application(4)
	c.publish(&alone)
	c.produce(c.history(&alone)...)
	c.mark(&alone, "2026-01-01T00:00:00Z")
	p := c.run(alone)
	c.await(&alone, p)
	p.end()
	want := c.digest(&alone)

	s := c.application(4)
	s.State.Keep = time.Nanosecond
	c.publish(&s)
	records := c.history(&s)
	first := c.run(s)
	c.produce(records[:700]...)
	c.await(&s, first)
	other := s
	other.Instance, other.State.Dir, other.HTTP.Listen = "two", t.TempDir(), freeAddress(t)
	second := c.run(other)
	awaitReadiness(t, &other, second, `"phase":"running"`)
	c.produce(records[700:]...)
	c.mark(&s, "2026-01-01T00:00:00Z")
	c.await(&s, first)
	second.end()
	first.end()
	if got := c.digest(&s); got != want {
		t.Errorf("digest of two processes %s, of one %s\n%s\n%s", got, want, first.log, second.log)
	}
	db, err := state.Open(state.Options{Dir: s.State.Dir, Index: task.IndexEntry})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	before, err := db.Partitions()
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{s: &s, db: db, partitions: map[int32]*partition{}}
	if err := r.dropReleased(time.Now()); err != nil {
		t.Fatal(err)
	}
	after, err := db.Partitions()
	if err != nil {
		t.Fatal(err)
	}
	released := 0
	for _, info := range before {
		if info.ReleasedMs != 0 {
			released++
		}
	}
	if released == 0 || len(after) != len(before)-released {
		t.Errorf("%d partitions on disk, %d of them released; %d after", len(before), released, len(after))
	}
}
