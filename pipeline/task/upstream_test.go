package task_test

import (
	"testing"

	"lull/operators"
	"lull/pipeline/task"
)

// TestUpstreams: a task's time is that of the upstream which is furthest behind, once all have spoken; a feed that was not known joins with its first record, and one that is
// left out holds time no more. Time never goes back.
func TestUpstreams(t *testing.T) {
	p := newProcess(t, settings(), operators.NewChain(bell{}))
	p.begin()
	p.task.SetUpstreams([]uint64{1, 2})
	p.commit()
	offset := int64(0)
	hear := func(feed uint64, at, want string) {
		t.Helper()
		p.begin()
		if outcome, err := p.task.MarkOf(offset, &task.Relay{Feed: feed, Offset: -1, Watermark: january(t, at), Cut: -1}, unbounded()); outcome != task.Applied || err != nil {
			t.Fatalf("%v, %v", outcome, err)
		}
		offset++
		p.commit()
		got := p.task.Meta().Watermark
		if wanted := operators.Unset; want == "" && got != wanted || want != "" && got != january(t, want) {
			t.Errorf("feed %d at %s: the watermark is %s, not %s", feed, at, got, want)
		}
	}
	hear(1, "02T00:00", "")
	hear(2, "01T12:00", "01T12:00")
	hear(2, "03T00:00", "02T00:00")
	hear(1, "01T00:00", "02T00:00")
	p.crash()
	hear(1, "04T00:00", "03T00:00")
	hear(3, "02T00:00", "03T00:00") // one that is none of the task's: it holds no time
	hear(2, "06T00:00", "04T00:00")
	p.begin()
	p.task.AddUpstream(3)
	p.commit()
	hear(1, "07T00:00", "04T00:00")
	hear(3, "05T00:00", "05T00:00")
	p.begin()
	p.task.SetUpstreams([]uint64{3, 2, 1})
	if p.task.Changed() {
		t.Error("nothing has changed, and something is to be written")
	}
	if reads, _ := p.task.ReadOthers([]uint64{1, 2, 3}); reads {
		t.Error("the task does not know what it reads")
	}
	if _, heard := p.task.ReadOthers([]uint64{2, 3, 4}); !heard {
		t.Error("the task does not know what it has heard")
	}
	p.task.SetUpstreams([]uint64{2, 3, 4})
	p.commit()
	if reads, heard := p.task.ReadOthers([]uint64{2, 3}); !reads || heard {
		t.Error("it has heard of a feed that has said nothing")
	}
	if got := p.task.Meta(); got.Watermark != january(t, "05T00:00") || len(got.Upstreams) != 3 {
		t.Errorf("with a new upstream, of which nothing is known: %+v", got)
	}
	p.begin()
	p.task.SetUpstreams([]uint64{2, 3})
	p.commit()
	if got := p.task.Meta().Watermark; got != january(t, "05T00:00") {
		t.Errorf("without the upstreams that held time the watermark is %s", got)
	}
}

// TestAgain: an event that a feed passes on a second time, since it began anew, is passed over; one that was sent again by hand is not part of its sequence.
func TestAgain(t *testing.T) {
	p := newProcess(t, settings(), operators.NewChain(bell{}))
	p.begin()
	p.task.SetUpstreams([]uint64{1, 2})
	p.commit()
	event := &operators.Event{Kind: operators.PageViewed, ID: "m", Customer: "c", Time: january(t, "02T00:00"), Name: "home"}
	for offset, v := range []struct {
		feed   uint64
		source int64
		want   task.Outcome
	}{{1, 5, task.Applied}, {1, 5, task.Repeated}, {1, 4, task.Repeated}, {2, 4, task.Applied}, {1, 6, task.Applied}, {1, -1, task.Applied}, {1, 6, task.Repeated}} {
		p.begin()
		got, err := p.task.ApplyFrom(int64(offset), event, &task.Relay{Feed: v.feed, Offset: v.source, Watermark: operators.Unset, Cut: -1}, unbounded())
		if got != v.want || err != nil {
			t.Errorf("offset %d: %v, %v, not %v", offset, got, err, v.want)
		}
		if again, _ := p.task.ApplyFrom(int64(offset), event, &task.Relay{Feed: v.feed, Offset: v.source, Cut: -1}, unbounded()); again != task.Repeated {
			t.Errorf("offset %d, below the position: %v", offset, again)
		}
		p.commit()
		if offset == 3 {
			p.crash()
		}
	}
}

// TestPassedOf: a record of a feed has passed when its customer has it, not when a transaction ends in the midst of the deadlines before it.
func TestPassedOf(t *testing.T) {
	p := newProcess(t, settings(), operators.NewChain(bell{}))
	p.begin()
	p.task.SetUpstreams([]uint64{1})
	p.commit()
	apply := func(offset int64, id, at string, b *task.Budget, want task.Outcome, passed int64) {
		t.Helper()
		p.begin()
		event := &operators.Event{Kind: operators.PageViewed, ID: id, Customer: id, Time: january(t, at), Quantity: 1}
		got, err := p.task.ApplyFrom(offset, event, &task.Relay{Feed: 1, Offset: 10 + offset, Watermark: january(t, at), Cut: -1}, b)
		if got != want || err != nil {
			t.Fatalf("offset %d: %v, %v, not %v", offset, got, err, want)
		}
		p.commit()
		if at, ok := p.task.Meta().PassedOf(1); at != passed || !ok {
			t.Errorf("offset %d: passed up to %d, %t, not %d", offset, at, ok, passed)
		}
	}
	apply(0, "a", "02T00:00", unbounded(), task.Applied, 10)
	none := &task.Budget{Expired: func() bool { return false }}
	apply(1, "b", "03T00:00", none, task.Unfinished, 10)
	p.crash()
	apply(1, "b", "03T00:00", unbounded(), task.Applied, 11)
	if _, ok := p.task.Meta().PassedOf(2); ok {
		t.Error("a feed that the task does not read has passed something on")
	}
}

// TestCut: a feed whose log was cut off passes other events on under offsets that the task knows; told so, it takes them in.
func TestCut(t *testing.T) {
	p := newProcess(t, settings(), operators.NewChain(bell{}))
	p.begin()
	p.task.SetUpstreams([]uint64{1})
	event := &operators.Event{Kind: operators.PageViewed, ID: "m", Customer: "c", Time: january(t, "02T00:00"), Name: "home"}
	for offset, v := range []struct {
		source, cut int64
		want        task.Outcome
	}{{5, -1, task.Applied}, {6, -1, task.Applied}, {5, -1, task.Repeated}, {-1, 5, task.Applied}, {4, -1, task.Repeated}, {5, -1, task.Applied}, {6, -1, task.Applied}} {
		relay := &task.Relay{Feed: 1, Offset: v.source, Watermark: operators.Unset, Cut: v.cut}
		apply := func() (task.Outcome, error) { return p.task.ApplyFrom(int64(offset), event, relay, unbounded()) }
		if v.cut >= 0 {
			apply = func() (task.Outcome, error) { return p.task.MarkOf(int64(offset), relay, unbounded()) }
		}
		if got, err := apply(); got != v.want || err != nil {
			t.Errorf("offset %d: %v, %v, not %v", offset, got, err, v.want)
		}
	}
	f := task.NewFeed(settings(), task.NewFeedMeta(10, [16]byte{1}))
	f.Rewind(5)
	if cut, again := f.TellCut(), f.TellCut(); cut != 5 || again != -1 || !f.Changed() {
		t.Errorf("cut off at %d, then at %d", cut, again)
	}
}

// TestHistory: a feed that has read what lay in its input when it began comes to the instant that was told for that, once; not before, not if the log is cut off below it, and not behind where its events have come to.
func TestHistory(t *testing.T) {
	until := january(t, "20T00:00")
	for name, tt := range map[string]struct {
		begin task.History
		do    func(f *task.Feed)
		ended bool
		at    operators.EventTime
	}{
		"there is none in any input":    {task.NoHistory, func(*task.Feed) {}, false, operators.Unset},
		"none in its own":               {task.History{End: 0, Until: until}, func(*task.Feed) {}, true, until},
		"it has been read":              {task.History{End: 3, Until: until}, func(f *task.Feed) { f.Skip(2) }, true, until},
		"it has not":                    {task.History{End: 3, Until: until}, func(f *task.Feed) { f.Skip(1) }, false, operators.Unset},
		"its events have come further":  {task.History{End: 3, Until: until}, func(f *task.Feed) { f.Mark(2, until+1) }, true, until + 1},
		"the log is cut off, then read": {task.History{End: 3, Until: until}, func(f *task.Feed) { f.Rewind(2); f.Skip(2) }, false, operators.Unset},
	} {
		f := task.NewFeed(settings(), task.NewFeedMeta(0, [16]byte{1}))
		if f.BeginHistory(tt.begin); !f.Changed() {
			t.Errorf("%s: the next owner would not know", name)
		}
		tt.do(f)
		meta, err := task.DecodeFeedMeta(f.Meta().String())
		if err != nil {
			t.Fatal(err)
		}
		f = task.NewFeed(settings(), meta)
		began := f.InHistory()
		if ended := f.EndHistory(); ended != tt.ended || f.Changed() != tt.ended || f.Meta().Watermark != tt.at || f.InHistory() != (began && !ended) {
			t.Errorf("%s: ended is %v, time %s, not %v, %s", name, ended, f.Meta().Watermark, tt.ended, tt.at)
		}
		if f.EndHistory() {
			t.Errorf("%s: it has ended twice", name)
		}
	}
}

// TestFeed: a feed takes time from its records as a task does, and what it remembers goes on from its meta record.
func TestFeed(t *testing.T) {
	cfg := settings()
	cfg.LatenessMs, cfg.JumpMaxMs = int64(hour), int64(7*day)
	f := task.NewFeed(cfg, task.NewFeedMeta(10, [16]byte{1}))
	if f.Changed() {
		t.Error("nothing has come, and something is to be written")
	}
	stands := func(position int64, at string) {
		t.Helper()
		if m := f.Meta(); m.Position != position || at == "" && m.Watermark != operators.Unset || at != "" && m.Watermark != january(t, at) || !f.Changed() {
			t.Errorf("it stands at %d, %s, not at %d, %s", m.Position, m.Watermark, position, at)
		}
		f.Committed()
		meta, err := task.DecodeFeedMeta(f.Meta().String())
		if err != nil || meta.String() != f.Meta().String() {
			t.Fatalf("%+v, %v, not %+v", meta, err, f.Meta())
		}
		f = task.NewFeed(cfg, meta)
	}
	take := func(offset int64, customer, at string, clamped bool) {
		f.Take(offset, &operators.Event{Customer: customer, Time: january(t, at), Clamped: clamped})
	}
	f.Skip(10)
	stands(11, "")
	take(12, "a", "05T00:00", false)
	stands(13, "") // one alone is not believed
	f.Mark(13, january(t, "01T00:00"))
	stands(14, "01T00:00")
	take(14, "a", "05T00:00", true)
	stands(15, "01T00:00")
	f.HoldTime(true)
	take(15, "a", "05T00:00", false)
	f.HoldTime(false)
	stands(16, "01T00:00")
	take(16, "a", "05T00:00", false)
	stands(17, "04T23:00")
	f.AdvanceClock(january(t, "04T00:00"))
	if f.Changed() {
		t.Error("time has gone back")
	}
	f.AdvanceClock(january(t, "06T00:00"))
	stands(17, "06T00:00")
	f.Rewind(3)
	stands(3, "06T00:00")
}
