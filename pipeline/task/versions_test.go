package task_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"lull/operators"
	"lull/pipeline/task"
)

// lastingStory returns a year of a small shop, in the order of its offsets, which begin at 2. It is never changed: the states in testdata/versions were made of its first half.
func lastingStory() (events []*operators.Event) {
	random := rand.New(rand.NewPCG(10, 3))
	for who := range 40 {
		at, ordered := start+operators.EventTime(random.Int64N(int64(200*day))), 0
		for range 2 + random.IntN(12) {
			id := fmt.Sprint("c", who, "-", len(events))
			e := &operators.Event{Kind: operators.PageViewed, ID: id, Customer: fmt.Sprint("c", who), Time: at, Day: operators.Day(at / day), DayStart: at / day * day, Name: "home"}
			switch random.IntN(4) {
			case 0, 1:
				e.Kind, e.Name, e.OrderID, e.Amount = operators.OrderCompleted, "", fmt.Sprint("o", who, "-", ordered), operators.Money(100+random.Int64N(9_000))
				ordered++
			case 2:
				if ordered > 1 {
					e.Kind, e.Name, e.OrderID = operators.OrderCancelled, "", fmt.Sprint("o", who, "-", random.IntN(ordered))
				}
			}
			events = append(events, e)
			at += operators.EventTime(random.Int64N(int64(40 * day)))
		}
	}
	slices.SortStableFunc(events, func(a, b *operators.Event) int { return int(a.Time - b.Time) })
	return events
}

// storyFrom runs a task over the story's events from one of them on, up to another; the first begins the task.
func (p *process) storyFrom(events []*operators.Event, from, to int) {
	p.tb.Helper()
	if from == 0 {
		p.do(step{offset: 0, mark: start - day})
		p.do(step{adopt: first})
	}
	for i := from; i < to; i++ {
		p.do(step{offset: int64(i + 2), event: events[i]})
	}
	p.settle()
}

// readState returns what a state in testdata/versions holds.
func readState(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	state := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		k, errKey := hex.DecodeString(key)
		v, errValue := hex.DecodeString(value)
		if errKey != nil || errValue != nil {
			t.Fatalf("%s: %v, %v", file, errKey, errValue)
		}
		state[string(k)] = string(v)
	}
	return state
}

// TestVersions: a task goes on from the state that each version before has left in the midst of a story as if it had read the story's beginning itself: every fact about every customer is the same at
// its end, and so are the sessions and the triggers that are told after the change of versions. A new version of customers comes with one of the meta record, by which programs before refuse the state.
func TestVersions(t *testing.T) {
	events := lastingStory()
	half, end := len(events)/2, events[len(events)-1].Time+400*day
	anew := newProcess(t, settings(), chain())
	anew.storyFrom(events, 0, half)
	before := len(anew.outputs)
	present := filepath.Join("testdata", "versions", fmt.Sprintf("state%d-meta%d.txt", operators.StateVersion, task.MetaVersion))
	if _, err := os.Stat(present); os.IsNotExist(err) {
		var text strings.Builder
		for _, key := range slices.Sorted(maps.Keys(anew.store.committed)) {
			fmt.Fprintf(&text, "%x %x\n", key, anew.store.committed[key])
		}
		t.Errorf("%s was missing and has been written (%v): commit it, and leave those of the versions before as they are", present, os.WriteFile(present, []byte(text.String()), 0o644))
	}
	finish := func(p *process) {
		p.storyFrom(events, half, len(events))
		p.do(step{offset: int64(len(events) + 2), mark: end})
		p.sweep()
	}
	finish(anew)
	files, err := filepath.Glob(filepath.Join("testdata", "versions", "*.txt"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	stateOf := make(map[int]int) // by the meta record's version
	for _, file := range files {
		var ofState, ofMeta int
		if _, err := fmt.Sscanf(filepath.Base(file), "state%d-meta%d.txt", &ofState, &ofMeta); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if other, ok := stateOf[ofMeta]; ok && other != ofState {
			t.Errorf("customers of versions %d and %d under meta records of version %d: programs before would take such a state up without the deadlines of those whom they cannot read. Raise task.MetaVersion too", other, ofState, ofMeta)
		}
		stateOf[ofMeta] = ofState
		t.Run(filepath.Base(file), func(t *testing.T) {
			p := newProcess(t, settings(), chain())
			p.store.committed = readState(t, file)
			p.open()
			if at := p.position(); at != int64(half+2) {
				t.Fatalf("the state stands at %d, want %d", at, half+2)
			}
			finish(p)
			for who := range 40 {
				id := fmt.Sprint("c", who)
				got, want := p.customer(id), anew.customer(id)
				got.Revision, want.Revision = 0, 0
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s is\n%+v\nnot\n%+v", id, got, want)
				}
			}
			if got, want := lasting(p.outputs), lasting(anew.outputs[before:]); !slices.Equal(got, want) {
				t.Errorf("told after the change of versions:\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// lasting returns sessions and triggers as they are the same from any state.
func lasting(outputs []operators.Output) (lines []string) {
	for i := range outputs {
		switch o := &outputs[i]; o.Kind {
		case operators.SessionOutput:
			lines = append(lines, fmt.Sprintf("session of %s: %+v", o.Customer, *o.Session))
		case operators.TriggerOutput:
			lines = append(lines, fmt.Sprintf("trigger of %s: %s at %s", o.Customer, o.Trigger.Rule, o.Trigger.Deadline))
		}
	}
	return lines
}
