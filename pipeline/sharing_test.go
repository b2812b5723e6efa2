package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
)

// TestLongRelease proves that a mark which releases very many deadlines in one partition does not keep the others from being read: an event in another
// partition is committed while the deadlines still fire, and all of them do.
func TestLongRelease(t *testing.T) {
	c := newCluster(t)
	s := c.application(2)
	s.Commit.Outputs = 5
	s.Commit.Interval = 10 * time.Millisecond
	c.publish(&s)
	where := newPlacement(2)
	at := instant(t, "2024-01-01T00:00:00Z")
	order := func(customer string, n int) *kgo.Record {
		id := fmt.Sprint(customer, "/", n)
		return c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: customer, ID: id, OrderID: id, Time: at + operators.EventTime(n), Amount: 1000})
	}
	other, customers := "", 0
	for i := 0; customers < 1500; i++ {
		id := fmt.Sprint("c", i)
		if where.of([]byte(id)) == 1 {
			other = id
			continue
		}
		customers++
		c.client.Produce(t.Context(), order(id, i), nil)
	}
	c.produce(order(other, 0))
	p := c.run(s)
	c.await(&s, p)
	ends := func() map[int32]int64 {
		list, err := c.adm.ListEndOffsets(t.Context(), s.Input.Topic)
		if err != nil {
			t.Fatal(err)
		}
		of := map[int32]int64{}
		list.Each(func(o kadm.ListedOffset) { of[o.Partition] = o.Offset })
		return of
	}
	committed := func(partition int32) int64 {
		offsets, err := c.adm.FetchOffsets(t.Context(), s.Group)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := offsets.Lookup(s.Input.Topic, partition)
		return o.At
	}
	c.mark(&s, "2026-06-01T00:00:00Z")
	for before := len(c.read(s.Topic(TriggersTopic))); len(c.read(s.Topic(TriggersTopic))) == before; { // until it has begun
		<-time.After(20 * time.Millisecond)
	}
	late := order(other, 1)
	c.produce(late)
	end := ends()
	for committed(1) < end[1] {
		<-time.After(5 * time.Millisecond)
	}
	if committed(0) >= end[0] {
		t.Error("the event of the other partition was committed when all deadlines had fired, not before")
	}
	c.await(&s, p)
	p.end()
	fired := map[string]int{}
	for _, r := range c.read(s.Topic(TriggersTopic)) {
		fired[string(r.Key)]++
	}
	for customer, n := range fired {
		if n != 1 && customer != other {
			t.Errorf("%s was triggered %d times", customer, n)
		}
	}
	if len(fired) < customers {
		t.Errorf("%d of %d customers were triggered", len(fired), customers)
	}
}

// TestLeave proves that a process with on_stop=leave gives its partitions to the others when it stops, long before its session would have ended.
func TestLeave(t *testing.T) {
	c := newCluster(t)
	s := c.application(2)
	s.Commit.SessionTimeout = 5 * time.Minute // longer than the test waits
	c.publish(&s)
	one, two := s, s
	one.HTTP.Listen = freeAddress(t)
	two.Instance, two.State.Dir, two.HTTP.Listen, two.OnStop = "two", t.TempDir(), freeAddress(t), "leave"
	first := c.run(one)
	awaitReadiness(t, &one, first, `"ready":true`)
	second := c.run(two)
	awaitReadiness(t, &two, second, `"ready":true`)
	second.end()
	if !strings.Contains(second.log.String(), "left the group") {
		t.Errorf("the process did not leave\n%s", second.log)
	}
	c.produce(c.history(&s)[:100]...)
	c.await(&s, first)
	first.end()
}

// TestLeaveRefused proves that a process which may not leave says so, and how long its group waits for it.
func TestLeaveRefused(t *testing.T) {
	fake, c := embedded(t)
	s := c.application(2)
	s.HTTP.Listen, s.OnStop = freeAddress(t), "leave"
	c.publish(&s)
	p := c.run(s)
	awaitReadiness(t, &s, p, `"ready":true`)
	fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.LeaveGroup}, Err: kerr.GroupAuthorizationFailed, Count: -1})
	p.stop()
	want := fmt.Sprintf("leaving group %q: GROUP_AUTHORIZATION_FAILED: Not authorized to access group: Group authorization failed.; it waits for %q until %s have passed", s.Group, s.Instance, s.Commit.SessionTimeout)
	if err := <-p.done; err == nil || err.Error() != want {
		t.Errorf("the process ended with %v, want %s", err, want)
	}
}

// TestForeignChangelog proves that a state folder which mirrors another changelog is not mixed with this one, although its position lies within it: an
// application under a new prefix that was given the old one's folder stands still and says so.
func TestForeignChangelog(t *testing.T) {
	c := newCluster(t)
	old := c.application(1)
	c.publish(&old)
	c.purchases(&old, 0, 3)
	p := c.run(old)
	c.await(&old, p)
	p.end()

	s := c.application(1)
	c.publish(&s)
	p = c.run(s)
	for i := range 10 { // a changelog that goes on where the old one ends
		c.purchases(&s, i, 1)
		c.await(&s, p)
	}
	p.end()
	c.forgetMember(&s)
	mixed := s
	mixed.State.Dir = old.State.Dir
	c.refused(mixed, `holds the state of another application, that of the prefix \"`+old.Prefix, "--state-dir")
}

// TestIdleState proves that a state which nobody released leaves the disk, as a partition's that a dead process had and another one has by now.
func TestIdleState(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bubble) {
		s := b.application(4)
		b.publish(&s)
		one, two := b.host(s, "one"), b.host(s, "two")
		one.start()
		b.produce(b.history(&s)[:story]...)
		b.await(&s, one)
		<-time.After(time.Minute) // all of it has been flushed
		one.now().sever()
		two.start()
		<-time.After(2 * s.Commit.SessionTimeout)
		one.restart()
		<-time.After(s.State.Keep / 2)
		if log := one.p.log.String(); strings.Contains(log, "dropped") {
			t.Errorf("dropped before state.keep has passed:\n%s", log)
		}
		<-time.After(s.State.Keep)
		one.end()
		two.end()
		if log := one.p.log.String(); strings.Count(log, "dropped") != 2 {
			t.Errorf("of 4 partitions another process has 2 by now:\n%s", log)
		}
	})
}
