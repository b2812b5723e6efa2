package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
)

// besideUnused runs a test on a street whose events go into the first of two input topics, while the other has never had a record. The test starts the hosts.
func besideUnused(t *testing.T, processes int, test func(t *testing.T, st *street, web string)) {
	inBubble(t, 1, func(t *testing.T, b *bubble) {
		s := b.staged()
		s.Clock.Mode, s.Clock.Interval, s.Clock.SourceMaxSilence = "wall", 20*time.Second, 30*time.Minute
		s.Commit.Interval = 5 * time.Second
		b.publishModel(&s, brisk)
		st := &street{bubble: b, s: s}
		st.s.Input.Topic = s.InputTopics()[0].Topic
		for i := range processes {
			st.hosts = append(st.hosts, b.host(s, fmt.Sprint("p", i)))
		}
		st.sleepUntil("2026-01-01T20:00:00Z")
		for _, c := range customers {
			st.happens(st.order(c))
		}
		st.sleepUntil(opens)
		test(t, st, s.InputTopics()[1].Topic)
		for _, h := range st.hosts {
			h.end()
		}
		for _, r := range st.read(s.Topic(DeadLettersTopic)) {
			l, err := schemas.DecodeLetter(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			t.Errorf("a dead letter: %s, %s", l.Reason, l.Detail)
		}
	})
}

// tell reports whether every process that reads an input says so of it, and whether its clock is held ("1") or not ("0").
func (st *street) tell(when, topic, held, warning string) {
	st.t.Helper()
	told := 0
	for _, h := range st.hosts {
		metrics, ready := h.get("/metrics"), h.get("/readyz")
		name := fmt.Sprintf("\nlull_clock_held{topic=%q} ", topic)
		if !strings.Contains(metrics, name) {
			continue
		}
		told++
		if !strings.Contains(metrics, name+held+"\n") || strings.Contains(metrics, fmt.Sprintf("\nlull_source_stalled{topic=%q} 1\n", topic)) {
			st.t.Errorf("%s: the clock of %q is not held by %q in process %s, or the input is stalled", when, topic, held, h.s.Instance)
		}
		if !strings.Contains(ready, warning) || warning == "" && strings.Contains(ready, "input") {
			st.t.Errorf("%s: /readyz of %s says %s, not %q", when, h.s.Instance, ready, warning)
		}
		if warning != "" && !strings.Contains(h.p.log.String(), warning) {
			st.t.Errorf("%s: %s has not logged %q", when, h.s.Instance, warning)
		}
	}
	if told == 0 {
		st.t.Errorf("%s: nobody reads %q", when, topic)
	}
}

const (
	waitsForUnused = "has never had a record: nobody is held to be silent before it has one, or the time of the other inputs has been of now for 30m0s"
	goesOnWithout  = "has never had a record: time goes on without it, and what it is given of the past comes late. See to it that its events go there, or take it out of inputs, and start all processes once with --on-offset-mismatch=rebuild"
	othersAreQuiet = "has never had a record, and another one has been silent, by the wall clock here, for longer than it may be"
)

// TestUnusedInput proves that an input which has never had a record does not hold the time for ever: it is waited for half an hour, as it may be about to be loaded, and then who is silent is told of when they are due. A process
// that is killed then does not wait again. The first record, a minute late as others are, finds a time that it belongs to; its input is one like others from then on, that is not to be silent.
func TestUnusedInput(t *testing.T) {
	for name, tt := range map[string]struct {
		processes int
		killed    bool
	}{"one process": {1, false}, "two processes": {2, false}, "two killed meanwhile": {2, true}} {
		t.Run(name, func(t *testing.T) {
			if raceDetector && !tt.killed {
				t.Skip("under the race detector one of the three is enough")
			}
			besideUnused(t, tt.processes, func(t *testing.T, st *street, web string) {
				for _, h := range st.hosts {
					h.start()
				}
				st.live("2026-01-02T09:25:00Z")
				st.tell("at first", web, "1", waitsForUnused)
				st.live("2026-01-02T09:40:00Z")
				st.tell("after half an hour", web, "0", goesOnWithout)
				st.live("2026-01-02T12:00:00Z")
				st.happens(st.order("c0"))
				st.live("2026-01-02T12:30:00Z")
				if tt.killed {
					for _, h := range st.hosts {
						h.restart()
					}
				}
				st.live("2026-01-02T12:35:00Z")
				st.expect("before they are due, less the lateness", nil, nil)
				st.live("2026-01-02T12:40:00Z")
				st.expect("when they are due", customers[1:], nil)
				st.tell("when they are due", web, "0", goesOnWithout)

				client := st.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
				defer client.Close()
				for i := range 20 {
					e := st.page(customers[i%len(customers)])
					e.Time -= operators.EventTime(time.Minute / time.Millisecond)
					r := st.event(&st.s, e)
					r.Topic, r.Partition = web, int32(1+i%2)
					if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
						t.Fatal(err)
					}
					st.live(time.Now().Add(time.Minute).UTC().Format(time.RFC3339))
				}
				st.tell("when it is used", web, "0", "")
				st.reaches("when it is used")
			})
		})
	}
}

// TestUnusedBesideSilence proves that time goes on without an input which has never had a record only as long as the others are not silent: their records are all that would show that the wall clock is wrong.
func TestUnusedBesideSilence(t *testing.T) {
	besideUnused(t, 1, func(t *testing.T, st *street, web string) {
		st.hosts[0].start()
		st.live("2026-01-02T09:40:00Z")
		st.tell("after half an hour", web, "0", goesOnWithout)
		st.sleepUntil("2026-01-02T10:05:00Z")
		st.tell("when the others have been silent for less than half an hour", web, "0", goesOnWithout)
		st.sleepUntil("2026-01-02T10:15:00Z")
		st.tell("when they have been for longer", web, "1", othersAreQuiet)
		st.live("2026-01-02T10:20:00Z")
		st.tell("when they are not any more", web, "0", goesOnWithout)
	})
}

// TestUnusedProblem proves that a wall clock which is wrong by the records of the other inputs is a problem, and not taken for a wait; as it is not one if no record says so.
func TestUnusedProblem(t *testing.T) {
	s := Settings{Inputs: map[string]TopicInput{"orders": {}, "web": {}}}
	s.EnsureDefaults()
	now := operators.EventTime(time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC).UnixMilli())
	const day = operators.EventTime(24 * time.Hour / time.Millisecond)
	for name, tt := range map[string]struct {
		newest           operators.EventTime
		problem, warning string
	}{
		"the clock is wrong": {now - 2*day, `the input "web" has never had a record, and nothing in the others is as new as the wall clock says it is`, ""},
		"nothing says so":    {now + 365*day, "", `the input "web" has never had a record: nobody is held to be silent`},
	} {
		t.Run(name, func(t *testing.T) {
			in := &inputTopic{InputTopic: InputTopic{Topic: "web"}, clock: task.NewClock(s.clock(), now)}
			in.clock.Learn(&task.Time{InputAlive: operators.Unset, Gaps: []task.Gap{{Day: 1}}})
			in.hold = in.clock.Read(&task.Reading{Wall: now, Logs: []task.Log{{Newest: operators.Unset}}, Watermark: operators.Unset, Others: []task.Other{{Newest: tt.newest, Watermark: now - 2*day}}})
			problem, warning := in.holds(&s)
			if in.hold != task.Unconfirmed || !strings.HasPrefix(problem, tt.problem) || !strings.HasPrefix(warning, tt.warning) || (problem == "") != (tt.problem == "") || (warning == "") != (tt.warning == "") {
				t.Errorf("held by %d: problem %q, warning %q", in.hold, problem, warning)
			}
		})
	}
}

// TestSilentAtFirst proves that an input which falls silent after its first record is said to be one that nobody knows yet, and what to do; and not one of which more is known, or whose limit is set.
func TestSilentAtFirst(t *testing.T) {
	const minute, hint = operators.EventTime(time.Minute / time.Millisecond), "less than two days, by which nobody knows how long it is silent as a rule: if it is seldom written to, set clock.source_max_silence"
	for name, tt := range map[string]struct {
		gaps []task.Gap // that are remembered beside that of the wait
		set  time.Duration
		told bool
	}{"one record": {nil, 0, true}, "of a day": {[]task.Gap{{Day: 20_000, Ms: 1}}, 0, true}, "of days": {[]task.Gap{{Day: 20_000, Ms: 1}, {Day: 20_001, Ms: 1}}, 0, false}, "the limit is set": {nil, time.Hour, false}} {
		t.Run(name, func(t *testing.T) {
			s := Settings{Inputs: map[string]TopicInput{"orders": {}, "web": {}}}
			s.EnsureDefaults()
			s.Clock.SourceMaxSilence = tt.set
			now := operators.EventTime(time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC).UnixMilli())
			in := &inputTopic{InputTopic: InputTopic{Topic: "web"}, clock: task.NewClock(s.clock(), now)}
			in.clock.Learn(&task.Time{InputAlive: now, Gaps: append([]task.Gap{{Day: 19_999}}, tt.gaps...)})
			log := task.Log{End: 1, Newest: now}
			for i := range operators.EventTime(62) {
				in.hold = in.clock.Read(&task.Reading{Wall: now + i*minute, Monotonic: int64(i * minute), Logs: []task.Log{log}, Watermark: operators.Unset})
			}
			if problem, warning := in.holds(&s); in.hold != task.Stalled || problem != "" || strings.Contains(warning, hint) != tt.told {
				t.Errorf("held by %d: problem %q, warning %q", in.hold, problem, warning)
			}
		})
	}
}

// TestUnusedTakenOut proves that an input which has never had a record can be taken out again when time has gone on without it: the tasks, which have heard of its time, refuse until they are told, once, and nothing is lost.
func TestUnusedTakenOut(t *testing.T) {
	besideUnused(t, 1, func(t *testing.T, st *street, web string) {
		h := st.hosts[0]
		h.start()
		st.live("2026-01-02T09:40:00Z")
		st.tell("after half an hour", web, "0", goesOnWithout)
		h.s.Inputs = maps.Clone(h.s.Inputs)
		delete(h.s.Inputs, web)
		for _, answer := range []struct{ flag, until string }{{"", "09:45"}, {"rebuild", "09:50"}, {"", "12:00"}} {
			h.s.OnOffsetMismatch = answer.flag
			h.s.EnsureDefaults()
			h.restart()
			st.live("2026-01-02T" + answer.until + ":00Z")
			refused := strings.Contains(h.get("/readyz"), "the state has taken in events of an input topic that is not there any more: one of inputs was re-created, or taken out")
			if first := answer.until == "09:45"; refused != first {
				t.Errorf("at %s with the answer %q the tasks refuse: %t", answer.until, answer.flag, refused)
			}
		}
		st.happens(st.order("c0"))
		st.live("2026-01-02T12:40:00Z")
		st.expect("when they are due", customers[1:], nil)
	})
}

// TestClockWithoutOthers proves that the clock of an input which has had records is asked for by its own topic, from a process's first reading on: brokers that do not answer about another hold nothing of it.
func TestClockWithoutOthers(t *testing.T) {
	besideUnused(t, 1, func(t *testing.T, st *street, web string) {
		h := st.hosts[0]
		h.start()
		st.live("2026-01-02T09:20:00Z")
		var refused atomic.Int64
		st.fake.ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
			st.fake.KeepControl()
			req := request.(*kmsg.ListOffsetsRequest)
			if !slices.ContainsFunc(req.Topics, func(t kmsg.ListOffsetsRequestTopic) bool { return t.Topic == web }) {
				return nil, nil, false
			}
			refused.Add(1)
			resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
			for _, asked := range req.Topics {
				topic := kmsg.NewListOffsetsResponseTopic()
				topic.Topic = asked.Topic
				for _, of := range asked.Partitions {
					partition := kmsg.NewListOffsetsResponseTopicPartition()
					partition.Partition, partition.ErrorCode = of.Partition, kerr.LeaderNotAvailable.Code
					topic.Partitions = append(topic.Partitions, partition)
				}
				resp.Topics = append(resp.Topics, topic)
			}
			return resp, nil, true
		})
		h.restart()
		st.live("2026-01-02T09:25:00Z")
		if metrics := h.get("/metrics"); refused.Load() == 0 || !strings.Contains(metrics, fmt.Sprintf("\nlull_clock_held{topic=%q} 0\n", st.s.Input.Topic)) {
			t.Errorf("%d requests for the other input were refused, and the clock is held", refused.Load())
		}
	})
}

// reaches checks that the time of every partition that is read follows the clock.
func (st *street) reaches(when string) {
	st.t.Helper()
	n := 0
	for _, h := range st.hosts {
		for line := range strings.Lines(h.get("/metrics")) {
			if !strings.HasPrefix(line, "lull_watermark_lag_seconds{") {
				continue
			}
			n++
			lag, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
			if err != nil || lag > (st.s.Clock.Lateness+3*time.Minute).Seconds() {
				st.t.Errorf("%s: %s says %s", when, h.s.Instance, line)
			}
		}
	}
	if n < 2+3+st.s.Topics.Partitions {
		st.t.Errorf("%s: %d partitions have a time", when, n)
	}
}
