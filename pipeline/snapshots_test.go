package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// shelf is where the processes of a bubble put their snapshots.
type shelf struct {
	mu     sync.Mutex
	takes  time.Duration // how long one takes
	fails  error         // why none can be taken
	panics bool          // instead
	stands bool          // time stands still in the pipeline: the next is the same as the last
	at     []time.Time   // when the whole ones were written
	begun  []string      // which host began one, in order
	broken []string      // which host gave one up on the way
	before func()        // is called when one is begun; nil for nothing
}

// hand is a host's way to the shelf.
type hand struct {
	*shelf
	host string
}

// Newest implements Snapshots.
func (h hand) Newest(context.Context) (time.Time, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.at) == 0 {
		return time.Time{}, nil
	}
	return h.at[len(h.at)-1], nil
}

// Take implements Snapshots.
func (h hand) Take(ctx context.Context) (taken SnapshotTaken, err error) {
	h.mu.Lock()
	h.begun = append(h.begun, h.host)
	takes, before := h.takes, h.before
	h.mu.Unlock()
	if before != nil {
		before()
	}
	select {
	case <-ctx.Done():
		h.mu.Lock()
		h.broken = append(h.broken, h.host)
		h.mu.Unlock()
		return taken, ctx.Err()
	case <-time.After(takes):
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.panics {
		panic(h.fails)
	}
	if h.fails != nil {
		return taken, h.fails
	}
	if taken = (SnapshotTaken{Name: "s", Existed: h.stands, Rows: map[string]int64{"customers": 7}}); !h.stands {
		h.at = append(h.at, time.Now())
	}
	return taken, nil
}

// seen returns what is there.
func (s *shelf) seen() (at []time.Time, begun, broken []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.at), slices.Clone(s.begun), slices.Clone(s.broken)
}

// change changes what is to happen.
func (s *shelf) change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// await waits for three hours at most until something is there.
func (s *shelf) await(t *testing.T, what string, there func(at []time.Time, begun []string) bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Hour); ; <-time.After(time.Second) {
		at, begun, broken := s.seen()
		if there(at, begun) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s: %v, begun by %v, given up by %v", what, at, begun, broken)
		}
	}
}

// onShelf starts the processes of an application that takes a snapshot every ten minutes.
func onShelf(b *bubble, s *shelf, names ...string) map[string]*host {
	settings := b.application(2)
	settings.Snapshots, settings.OnStop = SnapshotSettings{Every: 10 * time.Minute, Out: "shelf"}, "leave"
	hosts := map[string]*host{}
	for _, name := range names {
		h := b.host(settings, name)
		h.snapshots = hand{s, name}
		h.start()
		hosts[name] = h
	}
	return hosts
}

// TestSnapshotSchedule proves that of two processes one takes each snapshot, when it is due; that a process which loses the first partition meanwhile gives its snapshot up, and the other takes the next, on the same schedule; and
// that one which starts again takes none before it is due.
func TestSnapshotSchedule(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bubble) {
		s := &shelf{takes: 2 * time.Minute}
		hosts := onShelf(b, s, "one", "two")
		s.await(t, "six snapshots", func(at []time.Time, _ []string) bool { return len(at) == 6 })
		at, begun, _ := s.seen()
		for i := range at[1:] {
			if apart := at[i+1].Sub(at[i]); apart != 10*time.Minute+s.takes {
				t.Errorf("snapshots %d and %d are %s apart", i, i+1, apart)
			}
		}
		owner := begun[5]
		other := map[string]string{"one": "two", "two": "one"}[owner]
		if len(begun) > 7 || begun[1] != owner { // the first may have been begun by who was there first, and given up
			t.Errorf("six snapshots were begun by %v", begun)
		}
		for name, h := range hosts {
			told := strings.Contains(h.get("/metrics"), "lull_snapshot_age_seconds ")
			if told != (name == owner) {
				t.Errorf("that %s tells of the newest is %t; %s takes them", name, told, owner)
			}
		}
		if metrics := hosts[owner].get("/metrics"); !strings.Contains(metrics, "\nlull_snapshot_seconds 120\n") || !strings.Contains(metrics, "\nlull_snapshot_rows{table=\"customers\"} 7\n") {
			t.Errorf("the metrics of %s say\n%s", owner, metrics)
		}

		s.await(t, "snapshot begun", func(_ []time.Time, now []string) bool { return len(now) > len(begun) })
		_, _, broken := s.seen()
		hosts[owner].end()
		if _, _, now := s.seen(); len(now) != len(broken)+1 {
			t.Errorf("snapshots were given up by %v, and by %v before the process ended", now, broken)
		}
		s.await(t, "seventh snapshot", func(at []time.Time, _ []string) bool { return len(at) == 7 })
		if _, now, _ := s.seen(); now[len(now)-1] != other {
			t.Errorf("%s has ended, and the seventh was taken by %v", owner, now)
		}
		hosts[other].end()
		began := time.Now()
		hosts[other].again()
		s.await(t, "eighth snapshot", func(at []time.Time, _ []string) bool { return len(at) == 8 })
		if at, _, _ := s.seen(); at[7].Sub(at[6]) < 10*time.Minute || at[7].Before(began) {
			t.Errorf("after a restart a snapshot was taken %s after the last", at[7].Sub(at[6]))
		}
		hosts[other].end()
	})
}

// TestSnapshotOfZombie proves that a process which the group has expelled while it took a snapshot gives it up as soon as it finds out, and that its successor has taken it.
func TestSnapshotOfZombie(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bubble) {
		s := &shelf{takes: 5 * time.Minute}
		hosts := onShelf(b, s, "one", "two")
		s.await(t, "snapshot", func(at []time.Time, _ []string) bool { return len(at) == 1 })
		_, before, _ := s.seen()
		s.await(t, "second begun", func(_ []time.Time, begun []string) bool { return len(begun) > len(before) })
		owner := before[len(before)-1]
		_, _, broken := s.seen()
		hosts[owner].now().freeze()
		s.await(t, "successor", func(_ []time.Time, begun []string) bool { return begun[len(begun)-1] != owner })
		hosts[owner].now().thaw()
		s.await(t, "second snapshot", func(at []time.Time, _ []string) bool { return len(at) == 2 })
		if _, _, now := s.seen(); !slices.Contains(now[len(broken):], owner) {
			t.Errorf("%s was expelled, and snapshots were given up by %v", owner, now[len(broken):])
		}
		for _, h := range hosts {
			h.end()
		}
	})
}

// TestSnapshotOfHistory proves that the first snapshot is not taken before what was there at the start has been read and committed, however long the brokers let nobody read.
func TestSnapshotOfHistory(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bubble) {
		settings := b.application(2)
		settings.Snapshots, settings.OnStop = SnapshotSettings{Every: time.Hour, Out: "shelf"}, "leave"
		b.produce(b.history(&settings)[:100]...)
		var h *host
		begun := make(chan bool, 1)
		s := &shelf{before: func() {
			_, committed := b.committedEnds(t.Context(), &settings, settings.Input.Topic)
			begun <- committed
		}}
		h = b.host(settings, "one")
		h.snapshots = hand{s, "one"}
		b.fail(&settings, kmsg.Fetch, kerr.NotLeaderForPartition, 30)
		h.start()
		if committed := <-begun; !committed {
			t.Error("a snapshot was begun before what was there had been read and committed")
		}
		h.end()
	})
}

// TestSnapshotFails proves that a snapshot which fails, or takes longer than the time between two, is told of in /readyz and the metrics, and tried again; that none is tried before time where nothing has changed; and that the pipeline
// goes on meanwhile.
func TestSnapshotFails(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bubble) {
		s := &shelf{takes: time.Minute, fails: errors.New("the shelf is full")}
		h := onShelf(b, s, "one")["one"]
		warns := func(warning, outcome string) bool {
			ready, err := h.ask("/readyz")
			if err != nil {
				return false // it has yet to start
			}
			metrics := h.get("/metrics")
			return strings.Contains(ready, `"ready":true`) && (warning == "" && !strings.Contains(ready, "snapshot") || warning != "" && strings.Contains(ready, warning)) &&
				strings.Contains(metrics, "\nlull_snapshots_total{outcome="+outcome+"\n")
		}
		s.await(t, "warning", func([]time.Time, []string) bool {
			return warns("no snapshot was taken: the shelf is full. It is tried again every 5m0s", `"failed"} 1`)
		})
		b.produce(b.history(&h.s)[:100]...)
		b.await(&h.s, h)
		s.await(t, "second try", func(_ []time.Time, begun []string) bool {
			return len(begun) == 2 && warns("the shelf is full", `"failed"} 2`)
		})
		s.change(func() { s.panics = true })
		s.await(t, "third try", func([]time.Time, []string) bool {
			return warns("it panicked: the shelf is full. Report it", `"failed"} 3`)
		})
		s.change(func() { s.fails, s.panics = nil, false })
		s.await(t, "snapshot", func(at []time.Time, _ []string) bool { return len(at) == 1 && warns("", `"written"} 1`) })

		s.change(func() { s.stands = true })
		_, before, _ := s.seen()
		s.await(t, "snapshot that is there already", func([]time.Time, []string) bool { return warns("", `"unchanged"} 2`) })
		if _, begun, _ := s.seen(); len(begun) != len(before)+2 {
			t.Errorf("for two snapshots that are there already, %d were begun", len(begun)-len(before))
		}

		s.change(func() { s.takes = time.Hour })
		s.await(t, "snapshot that takes too long", func([]time.Time, []string) bool {
			return warns("it took longer than snapshots.every, 10m0s: raise that", `"failed"} 4`)
		})
		h.end()
	})
}
