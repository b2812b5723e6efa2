package pipeline

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/task"
)

// The tests of docs/operating/recovery.md and upgrading.md that have no place elsewhere.

// deleteTopic deletes a topic and waits until it is gone.
func (c *cluster) deleteTopic(topic string) {
	c.t.Helper()
	if _, err := c.adm.DeleteTopic(c.t.Context(), topic); err != nil {
		c.t.Fatal(err)
	}
	c.awaitNoTopic(topic)
}

// TestChangelogGone proves that a process which finds an empty changelog, no state on its disk and a group with an offset stands still and names both ways on; and that each does what it says.
func TestChangelogGone(t *testing.T) {
	for _, answer := range []struct {
		setting string
		orders  int64 // of five before and two after
	}{{"rebuild", 7}, {"group", 2}} {
		t.Run(answer.setting, func(t *testing.T) {
			c := newCluster(t)
			s := c.application(1)
			c.begin(s, 5)
			c.deleteTopic(s.Topic(ChangelogTopic))
			if _, err := CreateTopics(t.Context(), s, 0); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(s.State.Dir); err != nil {
				t.Fatal(err)
			}
			c.refused(s, "has committed offset 5, but the changelog is empty: it was re-created, or the group is another", "--on-offset-mismatch=group starts empty at offset 5", "=rebuild starts empty at the log's start")
			s.OnOffsetMismatch = answer.setting
			c.purchases(&s, 5, 2)
			p := c.run(s)
			c.await(&s, p)
			p.end()
			if got := c.orders(&s); got != answer.orders {
				t.Errorf("%d orders counted, want %d\n%s", got, answer.orders, p.log)
			}
		})
	}
}

// TestTopicDeletedUnderway proves that a process whose topic of outputs is deleted under it commits nothing, says which it is, and goes on without a restart when the topic is there again; and that
// one whose changelog is deleted stands still then, for an operator to decide.
func TestTopicDeletedUnderway(t *testing.T) {
	for _, topic := range []string{ScoresTopic, StatisticsTopic, ChangelogTopic} {
		t.Run(topic, func(t *testing.T) {
			_, c := embedded(t)
			s := c.application(1)
			s.HTTP.Listen = freeAddress(t)
			c.publish(&s)
			c.purchases(&s, 0, 5)
			p := c.run(s)
			c.await(&s, p)
			c.deleteTopic(s.Topic(topic))
			c.purchases(&s, 5, 2)
			says := `transactions did not commit, the last because of: producing to topic \"` + s.Topic(topic)
			if topic == ChangelogTopic {
				says = `it is interrupted and tried again: asking for the end of topic \"` + s.Topic(topic)
			}
			awaitReadiness(t, &s, p, says)
			if _, err := CreateTopics(t.Context(), s, 0); err != nil {
				t.Fatal(err)
			}
			if topic == ChangelogTopic {
				awaitReadiness(t, &s, p, `it lost records or was re-created`)
				p.end()
				return
			}
			c.await(&s, p)
			p.end()
			if got := c.orders(&s); got != 7 {
				t.Errorf("%d orders counted, want 7\n%s", got, p.log)
			}
		})
	}
}

// TestTopicDeletedWithStage proves the same of a process with a first stage, whose feeds commit time in between.
func TestTopicDeletedWithStage(t *testing.T) {
	_, c := embedded(t)
	s := c.staged()
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	records := c.scatter(&s, c.history(&s)[:story])
	p := c.run(s)
	c.produce(records[:story/2]...)
	c.await(&s, p)
	c.deleteTopic(s.Topic(ScoresTopic))
	c.produce(records[story/2:]...)
	awaitReadiness(t, &s, p, `transactions did not commit, the last because of: producing to topic \"`+s.Topic(ScoresTopic))
	if _, err := CreateTopics(t.Context(), s, 0); err != nil {
		t.Fatal(err)
	}
	c.await(&s, p)
	awaitReadiness(t, &s, p, `"ready":true`)
	p.end()
}

// TestGroupGone proves that a group whose offsets are gone is followed by nobody: the task goes on where its state stands, and says so.
func TestGroupGone(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.begin(s, 5)
	c.forgetMember(&s)
	if _, err := c.adm.DeleteGroup(t.Context(), s.Group); err != nil {
		t.Fatal(err)
	}
	c.purchases(&s, 5, 2)
	p := c.run(s)
	c.await(&s, p)
	p.end()
	if got := c.orders(&s); got != 7 {
		t.Errorf("%d orders counted, want 7\n%s", got, p.log)
	}
	if !strings.Contains(p.log.String(), "the group has no committed offset: following the state") {
		t.Errorf("nothing was said:\n%s", p.log)
	}
}

// TestNewerVersion proves that a state which a later version has written is refused by name, whether it lies on the disk or is read from the changelog, and stays as it is.
func TestNewerVersion(t *testing.T) {
	for _, record := range []struct {
		name string
		key  []byte
		says string
	}{
		{"meta", task.MetaKey, fmt.Sprintf("a meta record of version %d; this program reads versions 1 to %d", task.MetaVersion+1, task.MetaVersion)},
		{"shape", task.ShapeKey, fmt.Sprintf("a shape record of version %d; this program reads version %d", task.ShapeVersion+1, task.ShapeVersion)},
	} {
		t.Run(record.name, func(t *testing.T) {
			c := newCluster(t)
			s := c.application(1)
			c.publish(&s)
			c.purchases(&s, 0, 4)
			p := c.run(s)
			c.await(&s, p)
			p.end()
			c.forgetMember(&s)
			var value []byte
			for _, r := range c.read(s.Topic(ChangelogTopic)) {
				if string(r.Key) == string(record.key) {
					value = r.Value
				}
			}
			later := c.owner(s, "later", 0)
			if err := later.begin(&kgo.Record{Key: record.key, Value: append([]byte{value[0] + 1}, value[1:]...)}); err != nil {
				t.Fatal(err)
			}
			if err := CommitTransaction(t.Context(), later.p.client); err != nil {
				t.Fatal(err)
			}
			before := c.read(s.Topic(ChangelogTopic))
			for range 2 { // from the changelog's tail, and from the disk that it has reached
				c.refused(s, record.says, "If a later version of lull has written it: run that version")
				c.forgetMember(&s)
			}
			cold := s
			cold.State.Dir, cold.OnOffsetMismatch = t.TempDir(), "rebuild"
			c.refused(cold, record.says)
			if after := c.read(s.Topic(ChangelogTopic)); !slices.EqualFunc(before, after, func(a, b *kgo.Record) bool { return a.Offset == b.Offset }) {
				t.Errorf("the changelog has %d records, %d before", len(after), len(before))
			}
		})
	}
}

// TestVersionsOnPages proves that the pages which show the sentence of a later version's state name this one's.
func TestVersionsOnPages(t *testing.T) {
	for _, name := range []string{"failures.md", "upgrading.md"} {
		page, err := os.ReadFile("../docs/operating/" + name)
		if err != nil {
			t.Fatal(err)
		}
		said := regexp.MustCompile(`this program reads versions 1 to (\d+)`).FindAllStringSubmatch(string(page), -1)
		if len(said) == 0 {
			t.Errorf("%s does not show the sentence", name)
		}
		for _, of := range said {
			if of[1] != strconv.Itoa(task.MetaVersion) {
				t.Errorf("%s: %s, and it is %d", name, of[0], task.MetaVersion)
			}
		}
	}
}

// TestUnreadableCustomer proves that a process ends with an error that names the customer's key if their state cannot be read.
func TestUnreadableCustomer(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	c.begin(s, 4)
	c.forgetMember(&s)
	c.produce(c.event(&s, orderOf(t, "carl", 0))) // the next owner passes over it
	state := operators.NewCustomer("ann").AppendState(nil)
	if err := c.owner(s, "next", 0).pass(&kgo.Record{Key: []byte("cann"), Value: append([]byte{operators.StateVersion + 1}, state[1:]...)}); err != nil {
		t.Fatal(err)
	}
	c.purchases(&s, 4, 1)
	p := c.run(s)
	want := fmt.Sprintf(`at the key "cann": corrupt state: a customer's state of version %d; this program reads versions 1 to %d`, operators.StateVersion+1, operators.StateVersion)
	if err := <-p.done; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the process ended with %v", err)
	}
}

// TestFailuresPage proves that docs/operating/failures.md has a row for everything that /readyz can tell of, and no other, and names every alert.
func TestFailuresPage(t *testing.T) {
	text, err := os.ReadFile("../docs/operating/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]bool)
	for _, source := range sources {
		code, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, about := range regexp.MustCompile(`\.health\.(?:set|setIf|warnIf)\("([^"]+)"`).FindAllStringSubmatch(string(code), -1) {
			told[strings.TrimSpace(about[1])] = true
		}
	}
	_, table, _ := strings.Cut(page, "## What /readyz says")
	table, _, _ = strings.Cut(table, "\n## ")
	var rows []string
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-z ]+) \| (?:problem|warning) \|`).FindAllStringSubmatch(table, -1) {
		rows = append(rows, row[1])
	}
	slices.Sort(rows)
	if want := slices.Sorted(maps.Keys(told)); !slices.Equal(rows, want) {
		t.Errorf("the page has %q, the code %q", rows, want)
	}
	for name := range alerts(t) {
		if !strings.Contains(page, "alerts.md#"+strings.ToLower(name)+")") {
			t.Errorf("the page does not name %s", name)
		}
	}
}
