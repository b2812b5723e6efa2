package pipeline

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDiskRefuses proves that a process whose disk is full or read-only, from its start or in the midst of its work, ends with an error that says so and names the
// folder, that what was committed until then stands, and that it goes on where it was once the disk can be written again.
func TestDiskRefuses(t *testing.T) {
	want := undisturbedDigest(t)
	for _, c := range []struct {
		name    string
		refusal syscall.Errno
		atStart bool
	}{
		{"full", syscall.ENOSPC, false},
		{"read-only", syscall.EROFS, false},
		{"full at the start", syscall.ENOSPC, true},
		{"read-only at the start", syscall.EROFS, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, 1, func(t *testing.T, b *bubble) {
				s := b.application(2)
				s.State.FlushEvery = time.Second
				b.publish(&s)
				h := b.host(s, "one")
				if c.atStart {
					h.disk.Refuse(c.refusal)
				}
				h.start()
				records := b.history(&s)[:story]
				b.produce(records[:100]...)
				if !c.atStart {
					b.await(&s, h)
					h.disk.Refuse(c.refusal)
				}
				for rest := records[100:]; len(rest) > 0; rest = rest[20:] {
					b.produce(rest[:20]...)
					<-time.After(time.Second)
				}
				err := <-h.p.done
				if !errors.Is(err, c.refusal) || !strings.Contains(err.Error(), h.s.State.Dir) || strings.Contains(err.Error(), "flushing partition 0: flushing") {
					t.Errorf("the process ended with %v", err)
				}
				h.disk.Accept()
				h.start()
				b.mark(&s, storyEnd)
				b.await(&s, h)
				h.end()
				b.check(&s, want, h)
			})
		})
	}
}
