package pipeline

import (
	"strings"
	"testing"
	"time"
)

// TestOtherSettings proves that a state which was made with other settings is refused by name, with the old and the new value of each, and is used again when
// they are set back; and that a setting which does not shape it can be changed.
func TestOtherSettings(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.begin(s, 3)
	other := s
	other.Clock.Lateness, other.Money.Rates, other.Limits.Orders = time.Hour, map[string]string{"GBP": "1.27", "EUR": "1.08"}, 500
	c.unowned(other, "clock.lateness was 10m0s and is 1h0m0s", "money.rates was not set and is EUR=1.08,GBP=1.27", "limits.orders was 100000 and is 500")
	s.Money.Margin, s.State.Keep = 0.5, time.Minute
	p := c.run(s)
	c.purchases(&s, 3, 1)
	c.await(&s, p)
	p.end()
	if got := c.orders(&s); got != 4 {
		t.Errorf("%d orders counted, want 4\n%s", got, p.log)
	}
}

// TestForeignGroup proves that two applications do not share a prefix: the second is told whose state lies there, even if it is to rebuild whatever it finds.
func TestForeignGroup(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.begin(s, 3)
	other := s
	other.Group, other.State.Dir, other.OnOffsetMismatch = s.Group+"-other", t.TempDir(), "rebuild"
	c.unowned(other, "holds the state of another application, that of the group \""+s.Group+"\"", "two applications never share a prefix")
	for _, r := range c.read(s.Topic(ChangelogTopic)) {
		if r.Value == nil && strings.HasPrefix(string(r.Key), "c") {
			t.Errorf("customer %q of the other application was deleted", r.Key[1:])
		}
	}
}
