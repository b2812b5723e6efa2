package session_test

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/optest"
	"lull/operators/session"
)

func newRunner(config session.Config) *optest.Runner {
	config.EnsureDefaults()
	if err := config.Validate(); err != nil {
		panic(err)
	}
	return optest.NewRunner(session.New(config))
}

// TestScripts runs the scripts of testdata. "new gap=MS sessions=N page-bytes=N lateness=MS" begins with a new customer, "run" shows what the
// lines put out and the sessions then open.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var r *optest.Runner
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				var config session.Config
				var lateness int64
				d.MaybeScanArgs(t, "gap", &config.GapMs)
				d.MaybeScanArgs(t, "sessions", &config.SessionsMax)
				d.MaybeScanArgs(t, "page-bytes", &config.PageBytesMax)
				d.MaybeScanArgs(t, "lateness", &lateness)
				r = newRunner(config)
				r.LatenessMs = lateness
				return ""
			case "run":
				text, err := r.Script(d.Input)
				if err != nil {
					d.Fatalf(t, "%v", err)
				}
				for i := range r.Customer.Sessions {
					text += "open " + optest.SessionText(&r.Customer.Sessions[i]) + "\n"
				}
				if at, _ := r.Chain.Deadlines(r.Customer); at != operators.Never {
					text += fmt.Sprintf("deadline %s\n", at)
				}
				return text
			}
			d.Fatalf(t, "there is no command %s", d.Cmd)
			return ""
		})
	})
}

// recompute divides events into sessions from nothing: sorted by time, a new one wherever the gap is reached.
func recompute(events []operators.Event, gap operators.EventTime) []operators.Session {
	sorted := slices.Clone(events)
	slices.SortFunc(sorted, func(a, b operators.Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(a.Name, b.Name))
	})
	var sessions []operators.Session
	for _, e := range sorted {
		if !e.Kind.InSession() {
			continue
		}
		if n := len(sessions); n == 0 || e.Time-sessions[n-1].End >= gap {
			sessions = append(sessions, operators.Session{Start: e.Time, FirstPageAt: operators.Unset, LastPageAt: operators.Unset})
		}
		s := &sessions[len(sessions)-1]
		s.End = e.Time
		s.Counts[e.Kind]++
		if e.Kind == operators.PageViewed || e.Kind == operators.ScreenViewed {
			if s.FirstPageAt == operators.Unset {
				s.FirstPage, s.FirstPageAt = e.Name, e.Time
			}
			s.LastPage, s.LastPageAt = e.Name, e.Time
		}
		switch e.Name {
		case "Product Added", "Added Product":
			s.Cart++
		case "Product Removed", "Removed Product":
			s.Cart--
		}
	}
	return sessions
}

// TestAgainstRecomputation proves that events in any order within the lateness give the sessions of the same events sorted, each output once,
// at its end; that late facts change none; and that a session is output no sooner than its gap has passed.
func TestAgainstRecomputation(t *testing.T) {
	kinds := []operators.EventKind{
		operators.PageViewed, operators.ScreenViewed, operators.Tracked, operators.OrderCompleted, operators.CampaignClicked,
		operators.CampaignSent, operators.OrderRefunded,
	}
	names := map[operators.EventKind][]string{
		operators.PageViewed: {"", "home", "cart", "shoes"}, operators.ScreenViewed: {"home", "wallet"},
		operators.Tracked: {"Product Added", "Added Product", "Product Removed", "Removed Product", "Video Played"},
	}
	rapid.Check(t, func(t *rapid.T) {
		const gap = 100
		lateness := rapid.Int64Range(0, 1000).Draw(t, "lateness")
		type arrival struct {
			operators.Event
			delay int64
		}
		var arrivals []arrival
		at := operators.EventTime(0)
		for i := range rapid.IntRange(1, 60).Draw(t, "events") {
			at += operators.EventTime(rapid.SampledFrom([]int64{0, 1, 30, 99, 100, 101, 250}).Draw(t, "after"))
			e := operators.Event{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), ID: fmt.Sprintf("m%d", i), Customer: "c", Time: at}
			if of := names[e.Kind]; of != nil {
				e.Name = rapid.SampledFrom(of).Draw(t, "name")
			}
			arrivals = append(arrivals, arrival{e, rapid.Int64Range(0, lateness).Draw(t, "delay")})
		}
		var events []operators.Event
		for _, a := range arrivals {
			events = append(events, a.Event)
		}
		slices.SortStableFunc(arrivals, func(a, b arrival) int {
			return cmp.Compare(int64(a.Time)+a.delay, int64(b.Time)+b.delay)
		})
		r := newRunner(session.Config{GapMs: gap, SessionsMax: 1000})
		r.LatenessMs = lateness
		for _, a := range arrivals {
			if refused := r.Event(&a.Event); refused != "" {
				t.Fatalf("%+v was refused: %s", a, refused)
			}
			late := operators.Event{Kind: operators.OrderCompleted, ID: "late" + a.ID, Customer: "c", Time: r.Env.Watermark - 1}
			if refused := r.Event(&late); refused != "" {
				t.Fatalf("a late order was refused: %s", refused)
			}
			for _, s := range r.Customer.Sessions {
				if s.End+gap <= r.Env.Watermark {
					t.Fatalf("%s is open with the watermark at %s", optest.SessionText(&s), r.Env.Watermark)
				}
			}
			for _, o := range r.Outputs {
				if o.Session.End+gap > r.Env.Watermark {
					t.Fatalf("%s is over with the watermark at %s", optest.SessionText(o.Session), r.Env.Watermark)
				}
			}
		}
		r.Advance(at + gap)
		var got []operators.Session
		for _, o := range r.Outputs {
			if o.Kind != operators.SessionOutput || o.Time != o.Session.End {
				t.Fatalf("got %s", optest.OutputText(&o))
			}
			got = append(got, *o.Session)
		}
		if want := recompute(events, gap); !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", texts(got), texts(want))
		}
	})
}

func texts(sessions []operators.Session) string {
	var lines []string
	for i := range sessions {
		lines = append(lines, optest.SessionText(&sessions[i]))
	}
	return strings.Join(lines, "\n")
}

// TestOthersDeadline proves that a deadline of another operator ends no session that the watermark has not passed: an event ahead of the
// watermark releases such deadlines, while late events may still join the session.
func TestOthersDeadline(t *testing.T) {
	r := newRunner(session.Config{GapMs: 100})
	r.LatenessMs = 1000
	r.Event(&operators.Event{Kind: operators.PageViewed, ID: "a", Time: 0})
	r.Step(operators.Input{Kind: operators.DeadlineInput, At: 500, Returned: true})
	if len(r.Outputs) != 0 || len(r.Customer.Sessions) != 1 {
		t.Errorf("the session has ended: %v", r.Outputs)
	}
	r.Advance(99)
	if len(r.Outputs) != 0 {
		t.Errorf("the session has ended before its gap: %v", r.Outputs)
	}
	r.Advance(100)
	if len(r.Outputs) != 1 || len(r.Customer.Sessions) != 0 {
		t.Errorf("the session has not ended at its gap: %v", r.Outputs)
	}
}

// TestValidate proves that an error names the field and its value.
func TestValidate(t *testing.T) {
	for want, config := range map[string]session.Config{
		"GapMs is -1":        {GapMs: -1},
		"SessionsMax is -1":  {SessionsMax: -1},
		"PageBytesMax is -1": {PageBytesMax: -1},
	} {
		config.EnsureDefaults()
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
