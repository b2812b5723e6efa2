package pipeline

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
	"lull/state"
)

// TestPoison proves that what makes the decoder or the encoder panic becomes a dead letter with what is known of it, and ends no process: it would do so
// again after every restart.
func TestPoison(t *testing.T) {
	s := Settings{Input: InputSettings{Topic: "events"}, State: StateSettings{Dir: t.TempDir()}}
	s.EnsureDefaults()
	encoder, err := schemas.NewEncoder(s.Encoder())
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{s: &s, ctx: context.Background()}
	p := &partition{reader: reader{topicPartition: topicPartition{"events", 3}, from: &inputTopic{}, encoder: encoder}} // without a decoder: whatever is decoded panics
	db, err := state.Open(state.Options{Dir: s.State.Dir, Index: task.IndexEntry})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store, err := db.Partition(3)
	if err != nil {
		t.Fatal(err)
	}
	if p.task, err = task.Open(s.task(3, 8), operators.NewChain(), store, &models{}); err != nil {
		t.Fatal(err)
	}
	p.stage = p.task
	record := &kgo.Record{Topic: "events", Partition: 3, Offset: 7, Key: []byte("eve"), Value: []byte("the bytes")}
	if finished, err := p.applyRecord(r, record, &task.Budget{}); !finished || err != nil || p.task.Meta().Position != 8 {
		t.Fatalf("finished %v, %v, position %d", finished, err, p.task.Meta().Position)
	}
	for _, output := range []operators.Output{
		{Kind: operators.SegmentOutput, Customer: "eve", Time: 1000, Segment: &operators.SegmentChange{Dimension: 99}},
		{Kind: operators.RejectOutput, Customer: "eve", Time: 1000, Reject: &operators.Rejection{Reason: task.ReasonPanic, Operator: "mine"}},
	} {
		if err := p.addOutput(r, &output); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.records) != 3 || p.stats.deadLetters[task.ReasonPanic] != 3 || p.stats.outputs[operators.SegmentOutput] != 0 {
		t.Fatalf("%d records, %+v", len(p.records), p.stats)
	}
	for i, want := range [][]string{
		{`"offset":7`, "decoding the record panicked"}, {`"offset":-1`, `"eve"`, "encoding a segment: ", `"partition":3`}, {`"eve"`, `"operator":"mine"`},
	} {
		if p.records[i].Topic != s.Topic(DeadLettersTopic) {
			t.Errorf("a record for %s", p.records[i].Topic)
		}
		fields, err := schemas.DecodeOutput(schemas.DeadLetters, p.records[i].Value)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range append(want, `"reason":"panic"`) {
			if !strings.Contains(string(text), part) {
				t.Errorf("no %s in %s", part, text)
			}
		}
	}
}
