package pipeline

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
	"lull/schemas"
)

// street is a shop under clock: wall, in a bubble. Its customers have ordered on the evening before, and are about to be lost at dueAt if they do not again.
type street struct {
	*bubble
	s     Settings
	hosts []*host
}

const (
	opens = "2026-01-02T09:00:00Z" // when processes start
	dueAt = "2026-01-02T12:26:00Z" // to the minute
	pulse = "pulse"                // a customer who looks at a page every minute, and keeps the source alive
)

// customers are those of a street. Both partitions have some.
var customers = []string{"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10", "c11"}

// brisk is the model of a street: 14.6 times alpha after the midnight before their only order, customers are about to be lost.
var brisk = operators.Model{Version: "brisk", Family: "mbgnbd", R: 0.525, Alpha: 2.5 / 24, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 40}

// onStreet runs a test on a street, with that many processes, which have watched the source for half an hour when it begins.
func onStreet(t *testing.T, processes int, test func(t *testing.T, st *street)) {
	onStreetOf(t, processes, func(st *street) { st.publishModel(&st.s, brisk) }, test)
}

// onStreetOf is onStreet with what publish publishes for a model.
func onStreetOf(t *testing.T, processes int, publish func(st *street), test func(t *testing.T, st *street)) {
	inBubble(t, 1, func(t *testing.T, b *bubble) {
		st := &street{bubble: b, s: b.application(2)}
		st.s.Clock.Mode, st.s.Clock.Interval, st.s.Clock.SourceMaxSilence = "wall", 20*time.Second, 30*time.Minute
		st.s.Commit.Interval = 5 * time.Second
		publish(st)
		st.sleepUntil("2026-01-01T20:00:00Z")
		for _, c := range customers {
			st.happens(st.order(c))
		}
		st.sleepUntil(opens)
		for i := range processes {
			h := b.host(st.s, fmt.Sprint("p", i))
			h.start()
			st.hosts = append(st.hosts, h)
		}
		st.live("2026-01-02T09:30:00Z")
		test(t, st)
		for _, h := range st.hosts {
			h.end()
		}
	})
}

func (st *street) sleepUntil(at string) {
	st.t.Helper()
	when, err := time.Parse(time.RFC3339, at)
	if err != nil {
		st.t.Fatal(err)
	}
	if d := time.Until(when); d > 0 {
		<-time.After(d)
	}
}

func (st *street) happens(events ...operators.Event) {
	st.t.Helper()
	for _, e := range events {
		st.produce(st.event(&st.s, e))
	}
}

// order returns an order of now.
func (st *street) order(customer string) operators.Event {
	now := time.Now()
	return operators.Event{
		Kind: operators.OrderCompleted, Customer: customer, ID: fmt.Sprint(customer, now.UnixMilli()), OrderID: fmt.Sprint(customer, now.UnixMilli()),
		Time: operators.EventTime(now.UnixMilli()), Amount: 2500,
	}
}

// page returns a page view of now.
func (st *street) page(customer string) operators.Event {
	now := time.Now()
	return operators.Event{Kind: operators.PageViewed, Customer: customer, ID: fmt.Sprint(customer, now.UnixMilli()), Time: operators.EventTime(now.UnixMilli()), Name: "home"}
}

// live lets the source live until an instant.
func (st *street) live(until string) {
	st.t.Helper()
	when, err := time.Parse(time.RFC3339, until)
	if err != nil {
		st.t.Fatal(err)
	}
	for time.Now().Before(when) {
		<-time.After(time.Minute)
		st.happens(st.page(pulse))
	}
}

// told is what subscribers have been told of a customer's silence.
type told struct {
	deadline   string // to the minute
	actionable bool
	withheld   string
}

// triggers returns what has been told so far, by customer.
func (st *street) triggers() map[string][]told {
	st.t.Helper()
	all := map[string][]told{}
	for _, r := range st.read(st.s.Topic(TriggersTopic)) {
		fields, err := schemas.DecodeOutput(schemas.Triggers, r.Value)
		if err != nil {
			st.t.Fatal(err)
		}
		tell := told{deadline: fields.Get("deadline").(operators.EventTime).String()[:16] + ":00Z", actionable: fields.Get("actionable").(bool)}
		tell.withheld, _ = fields.Get("withheld").(string)
		all[string(r.Key)] = append(all[string(r.Key)], tell)
	}
	return all
}

// expect compares what has been told with what is to be: of act that they are to be acted on, of returned that they were silent and are back; of others
// nothing.
func (st *street) expect(when string, act, returned []string) {
	st.t.Helper()
	want := map[string][]told{}
	for _, c := range act {
		want[c] = []told{{deadline: dueAt, actionable: true}}
	}
	for _, c := range returned {
		want[c] = []told{{deadline: dueAt, withheld: "returned"}}
	}
	got := st.triggers()
	if !maps.EqualFunc(got, want, slices.Equal[[]told]) {
		st.t.Errorf("%s: told is %v, not %v\n%s", when, got, want, logs(st.hosts))
	}
}

// get returns what a process's listener answers.
func (h *host) get(path string) string {
	h.b.t.Helper()
	body, err := h.ask(path)
	if err != nil {
		h.b.t.Fatal(err)
	}
	return body
}

// ask is get of a process that may not listen.
func (h *host) ask(path string) (string, error) {
	client := http.Client{Transport: &http.Transport{DialContext: h.web.DialContext, DisableKeepAlives: true}}
	response, err := client.Get("http://" + h.s.HTTP.Listen + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// says reports whether every process says of its source that it is stalled ("1") or not ("0"), and whether every process is ready and warns with a text, or with none if that is "".
func (st *street) says(when, stall, warning string) {
	st.t.Helper()
	for _, h := range st.hosts {
		line := fmt.Sprintf("lull_source_stalled{topic=%q} %s", h.s.Input.Topic, stall)
		if metrics := h.get("/metrics"); !strings.Contains(metrics, "\n"+line+"\n") {
			st.t.Errorf("%s: the metrics of %s do not say %q", when, h.s.Instance, line)
		}
		if ready := h.get("/readyz"); !strings.Contains(ready, `"ready":true`) || !strings.Contains(ready, warning) || warning == "" && strings.Contains(ready, "silent") {
			st.t.Errorf("%s: /readyz of %s says %s", when, h.s.Instance, ready)
		}
	}
}

const (
	stalled    = "1"
	notStalled = "0"
	warns      = "the whole input topic has been silent"
)

// TestSilence: who does not come back is told of when they are due, once, while the source lives. That one of the partitions is idle does not matter.
func TestSilence(t *testing.T) {
	onStreet(t, 1, func(t *testing.T, st *street) {
		st.live("2026-01-02T12:00:00Z")
		st.happens(st.order("c0"))
		st.live("2026-01-02T12:35:00Z")
		st.expect("before they are due, less the lateness", nil, nil)
		st.live("2026-01-02T12:39:00Z")
		st.expect("when they are due", customers[1:], nil)
		st.live("2026-01-02T15:00:00Z")
		st.expect("later", customers[1:], nil)
		st.says("later", notStalled, "")
	})
}

// TestDowntime: after six hours in which the process was down and events piled up, nobody is told of as silent who has one waiting. Who is silent is told
// of, once, when the backlog has been read.
func TestDowntime(t *testing.T) {
	onStreet(t, 1, func(t *testing.T, st *street) {
		st.hosts[0].now().sever() // nothing of it reaches the brokers from here on, and it is not started again
		st.live("2026-01-02T12:00:00Z")
		for _, c := range customers[:4] {
			st.happens(st.order(c))
		}
		st.live("2026-01-02T15:00:00Z")
		for _, c := range customers[4:8] {
			st.happens(st.page(c))
		}
		st.live("2026-01-02T15:30:00Z")
		st.hosts[0].restart()
		st.live("2026-01-02T16:00:00Z")
		st.expect("after the downtime", customers[8:], customers[4:8])
		st.says("after the downtime", notStalled, "")
	})
}

// TestSourceOutage: while the source is silent for hours, the clock holds, a metric and a warning say so, and nobody is told of as silent; nor is anybody
// who has an event among those that come out of order when it is back; when the feed has settled, all that is true is told, once, with the instant at which
// it became true. The same with several processes, of which one has the idle partition; and if they are killed in the midst of it.
func TestSourceOutage(t *testing.T) {
	for name, c := range map[string]struct {
		processes int
		killed    bool
	}{"one process": {1, false}, "two processes": {2, false}, "killed meanwhile": {1, true}, "two killed meanwhile": {2, true}} {
		t.Run(name, func(t *testing.T) {
			if raceDetector && !(c.killed && c.processes == 2) {
				t.Skip("under the race detector one of the four is enough")
			}
			onStreet(t, c.processes, func(t *testing.T, st *street) {
				restart := func() {
					if c.killed {
						for _, h := range st.hosts {
							h.restart()
						}
					}
				}
				st.live("2026-01-02T11:00:00Z")
				st.says("before the outage", notStalled, "")
				var held []operators.Event
				st.sleepUntil("2026-01-02T11:28:00Z")
				st.says("at first", notStalled, "")
				st.sleepUntil("2026-01-02T11:32:00Z")
				st.says("after half an hour", stalled, warns)
				for _, c := range customers[:4] {
					held = append(held, st.order(c))
				}
				restart()
				st.sleepUntil("2026-01-02T14:00:00Z")
				for _, c := range customers[4:8] {
					held = append(held, st.page(c))
				}
				st.sleepUntil("2026-01-02T16:00:00Z")
				st.says("after hours", stalled, warns)
				st.expect("during the outage", nil, nil)
				for i := range held { // the source is back; what it held back comes, the newest first
					st.live(fmt.Sprintf("2026-01-02T16:%02d:00Z", 2*i+2))
					st.happens(held[len(held)-1-i])
					if i == len(held)/2 {
						restart()
					}
				}
				st.live("2026-01-02T16:20:00Z")
				st.says("before it has settled", stalled, warns)
				st.expect("before it has settled", nil, customers[4:8])
				st.live("2026-01-02T16:25:00Z")
				st.expect("when it has settled", customers[8:], customers[4:8])
				st.says("when it has settled", notStalled, "")
				st.live("2026-01-02T17:00:00Z")
				st.expect("later", customers[8:], customers[4:8])
			})
		})
	}
}

// TestCutOff: a process that is cut off, or stands still, while it is at the end of its partitions does not believe that it still is: what is appended
// meanwhile counts, whether it comes back itself or another process takes over.
func TestCutOff(t *testing.T) {
	for _, processes := range []int{1, 2} {
		t.Run(fmt.Sprint(processes, " processes"), func(t *testing.T) {
			onStreet(t, processes, func(t *testing.T, st *street) {
				st.live("2026-01-02T12:00:00Z")
				st.hosts[0].now().freeze()
				for _, c := range customers[:4] {
					<-time.After(time.Minute)
					st.happens(st.order(c))
				}
				st.live("2026-01-02T13:00:00Z")
				st.hosts[0].now().thaw()
				st.live("2026-01-02T13:20:00Z")
				st.expect("when it is back", customers[4:], nil)
			})
		})
	}
}

// TestClaimedTimes: where append times are what producers claim, an event that is dated 2099, record and all, or some days ahead as a jump in time might be, or
// a time mark of then, touches its own customer only, and does not hide that the source is silent.
func TestClaimedTimes(t *testing.T) {
	for _, ahead := range []operators.EventTime{73 * 365 * operators.DayMs, 5 * operators.DayMs} {
		testClaimedTimes(t, ahead)
	}
}

func testClaimedTimes(t *testing.T, ahead operators.EventTime) {
	onStreet(t, 1, func(t *testing.T, st *street) {
		mark := st.event(&st.s, st.page("broken"))
		mark.Key, mark.Value, mark.Timestamp = nil, nil, time.Now().Add(time.Duration(ahead)*time.Millisecond)
		mark.Headers = []kgo.RecordHeader{{Key: schemas.TimeMarkHeader, Value: []byte(mark.Timestamp.UTC().Format(time.RFC3339))}}
		st.produce(mark)
		for i := range 100 {
			e := st.page("broken")
			e.Time += ahead
			e.ID = fmt.Sprint("broken", i)
			r := st.event(&st.s, e)
			r.Timestamp = time.UnixMilli(int64(e.Time))
			st.produce(r)
		}
		st.live("2026-01-02T11:00:00Z")
		st.expect("with an event of then", nil, nil)
		st.says("with an event of then", notStalled, "")
		st.sleepUntil("2026-01-02T13:00:00Z")
		st.says("when the source is silent", stalled, warns)
		st.expect("when the source is silent", nil, nil)
		st.live("2026-01-02T13:10:00Z")
		st.says("when it is back", notStalled, "")
		st.expect("when it is back", customers, nil)
	})
}

// TestFirstStartOnHistory: a first start on a history of months tells all that is in it and calls nobody to act: every trigger is stale, and counted so.
func TestFirstStartOnHistory(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bubble) {
		s := b.application(2)
		s.Clock.Mode, s.Clock.SourceMaxSilence, s.Commit.Interval = "wall", time.Hour, time.Second
		b.publish(&s)
		b.produce(b.history(&s)...)
		h := b.host(s, "one")
		h.start()
		st := &street{bubble: b, s: s, hosts: []*host{h}}
		st.live("2026-01-01T00:30:00Z")
		stale := 0
		for c, list := range st.triggers() {
			for _, tell := range list {
				if tell.withheld != "stale" || tell.actionable {
					t.Errorf("%s: %+v", c, tell)
				}
				stale++
			}
		}
		if stale == 0 {
			t.Error("this history tests nothing")
		}
		metrics := h.get("/metrics")
		if line := fmt.Sprintf("\nlull_triggers_total{rule=\"churn_risk\",withheld=\"stale\"} %d\n", stale); !strings.Contains(metrics, line) || !strings.Contains(metrics, `withheld="none"} 0`) {
			t.Errorf("the metrics do not say %q", line)
		}
		h.end()
	})
}

// refuse lets the brokers refuse to list offsets that are meant, until the test says otherwise.
func (st *street) refuse(meant func(topic string, at int64) bool) {
	st.fake.ControlKey(kmsg.ListOffsets.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		st.fake.KeepControl()
		for _, topic := range r.(*kmsg.ListOffsetsRequest).Topics {
			for _, p := range topic.Partitions {
				if meant(topic.Topic, p.Timestamp) {
					return nil, errors.New("refused"), true
				}
			}
		}
		return nil, nil, false
	})
}

// TestNobodyWatches: a source that is silent is not forgotten because the brokers do not let anybody watch it return.
func TestNobodyWatches(t *testing.T) {
	onStreet(t, 1, func(t *testing.T, st *street) {
		st.live("2026-01-02T11:00:00Z")
		st.refuse(func(_ string, at int64) bool { return at >= 0 })
		st.sleepUntil("2026-01-02T16:00:00Z")
		st.expect("during the outage", nil, nil)
	})
}

// TestFrozenThroughOutage: a process that was frozen through an outage, and whose readings of the clock fail for a while when it wakes up, tells of nobody
// whose events are held back.
func TestFrozenThroughOutage(t *testing.T) {
	onStreet(t, 1, func(t *testing.T, st *street) {
		st.live("2026-01-02T11:00:00Z")
		st.hosts[0].now().freeze()
		st.sleepUntil("2026-01-02T11:32:00Z")
		var held []operators.Event
		for _, c := range customers[:4] {
			held = append(held, st.order(c))
		}
		st.sleepUntil("2026-01-02T16:00:00Z")
		until := time.Now().Add(4 * time.Minute)
		st.refuse(func(topic string, at int64) bool {
			return topic == st.s.Input.Topic && at == -1 && time.Now().Before(until)
		})
		st.hosts[0].now().thaw()
		st.live("2026-01-02T16:03:00Z")
		for i := range held {
			st.happens(held[i])
		}
		st.live("2026-01-02T16:30:00Z")
		st.expect("later", customers[4:], nil)
	})
}
