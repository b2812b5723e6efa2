package pipeline

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// held are requests that do not arrive until open is closed. met is closed when the first of them has been sent.
type held struct{ met, open chan struct{} }

// hold holds up the requests of a kind that are meant.
func hold(t *testing.T, fake *kfake.Cluster, key kmsg.Key, meant func(kmsg.Request) bool) *held {
	h := &held{make(chan struct{}), make(chan struct{})}
	meet := sync.OnceFunc(func() { close(h.met) })
	fake.ControlKey(key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if meant(r) {
			meet()
			fake.SleepControl(func() {
				select {
				case <-h.open:
				case <-t.Context().Done():
				}
			})
		}
		return nil, nil, false
	})
	return h
}

// await waits until a request is held that a process makes, and fails the test if none is.
func (h *held) await(t *testing.T, p *process) {
	t.Helper()
	select {
	case <-h.met:
	case err := <-p.done:
		t.Fatalf("the process ended early with %v\n%s", err, p.log)
	case <-time.After(20 * time.Second):
		t.Fatalf("the process does not ask for what is held\n%s", p.log)
	}
}

// awaitMember waits until the group is stable with one member that has an instance id.
func (c *cluster) awaitMember(s *Settings) {
	c.t.Helper()
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		groups, err := c.adm.DescribeGroups(c.t.Context(), s.Group)
		if err != nil {
			c.t.Fatal(err)
		}
		g := groups[s.Group]
		if g.State == "Stable" && len(g.Members) == 1 && g.Members[0].InstanceID != nil && *g.Members[0].InstanceID == s.Instance {
			return
		}
	}
}

// newHistory returns an embedded broker, and an application on it.
func newHistory(t *testing.T) (*kfake.Cluster, *cluster, Settings) {
	fake, c := embedded(t)
	return fake, c, c.historian()
}

// historian returns the settings of an application that is to read the history.
func (c *cluster) historian() Settings {
	s := c.application(2)
	s.Commit.Interval, s.Commit.Timeout, s.Commit.SessionTimeout = 10*time.Millisecond, 6*time.Second, 6*time.Second
	c.publish(&s)
	return s
}

// undisturbed returns the digest of a process that reads the history in peace.
func (c *cluster) undisturbed() string {
	s := c.historian()
	p := c.run(s)
	c.produce(c.history(&s)...)
	c.mark(&s, "2026-01-01T00:00:00Z")
	c.await(&s, p)
	p.end()
	return c.digest(&s)
}

// TestExpelledWhileRejoining: the group expels a process whose request to join again is under way, and which has records in hand. Another one takes over,
// commits, and goes. Then the process is a new member, to which all partitions are given, and its client takes it for the old one. It must not
// commit what it had in hand, nor end because another process has its name: the digest is that of a process that nothing happened to.
func TestExpelledWhileRejoining(t *testing.T) {
	fake, c, s := newHistory(t)
	records := c.history(&s)
	one := c.run(s)
	c.produce(records[:500]...)
	c.await(&s, one)

	joins := hold(t, fake, kmsg.JoinGroup, func(r kmsg.Request) bool {
		id := r.(*kmsg.JoinGroupRequest).InstanceID
		return id != nil && *id == s.Instance
	})
	produces := hold(t, fake, kmsg.Produce, func(r kmsg.Request) bool {
		id := r.(*kmsg.ProduceRequest).TransactionID
		return id != nil && *id == s.Group+"/"+s.Instance
	})
	other := s
	other.Instance, other.State.Dir = "two", t.TempDir()
	two := c.run(other)
	<-joins.met
	c.produce(records[500:700]...)
	<-produces.met
	c.forgetMember(&s)
	c.await(&s, two)
	two.end()
	c.forgetMember(&other)

	close(joins.open)
	c.awaitMember(&s)
	close(produces.open)
	c.produce(records[700:]...)
	c.mark(&s, "2026-01-01T00:00:00Z")
	c.await(&s, one)
	one.end()
	if got, want := c.digest(&s), c.undisturbed(); got != want {
		t.Errorf("digest %s, undisturbed %s\n%s", got, want, one.log)
	}
}

// TestNextGeneration: the coordinator has begun the group's next generation, and the process has not heard of it when it commits. The transaction is
// not lost: its positions are committed as soon as it has.
func TestNextGeneration(t *testing.T) {
	fake, c, s := newHistory(t)
	records := c.history(&s)
	p := c.run(s)
	c.produce(records[:500]...)
	c.await(&s, p)
	fault := fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration, Count: 2})
	c.produce(records[500:]...)
	c.mark(&s, "2026-01-01T00:00:00Z")
	c.await(&s, p)
	p.end()
	if fault.Hits() != 2 {
		t.Fatalf("the fault was met %d times", fault.Hits())
	}
	if strings.Contains(p.log.String(), "did not commit") {
		t.Errorf("a transaction was given up:\n%s", p.log)
	}
	if got, want := c.digest(&s), c.undisturbed(); got != want {
		t.Errorf("digest %s, undisturbed %s", got, want)
	}
}
