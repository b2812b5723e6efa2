package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline/query"
)

// A process sends a reader to the others of its group for a partition that it has not, and is not about to have; and only if it has not found the customer in another that they can be in.
func TestViewElsewhere(t *testing.T) {
	const partitions = 4
	s := Settings{Inputs: map[string]TopicInput{"a": {}, "b": {}}}
	where := newPlacement(partitions)
	is := where.of([]byte("c"))
	others := map[int32]*partition{(is + 1) % partitions: {}}
	for _, c := range []struct {
		name      string
		want      string
		has       map[int32]*partition
		assigned  map[topicPartition]kgo.EpochOffset
		elsewhere bool
	}{
		{"none is this process's", "is not assigned to this process", nil, nil, true},
		{"restoring", fmt.Sprintf("partition %d is restoring: /readyz says more", is), map[int32]*partition{is: {reader: reader{phase: restoring}}}, nil, false},
		{"it is being assigned", fmt.Sprintf("partition %d has just been assigned to this process: /readyz says more", is), others, map[topicPartition]kgo.EpochOffset{{s.taskTopic(), is}: {}}, false},
		{"a feed is being assigned", "is not assigned to this process", others, map[topicPartition]kgo.EpochOffset{{"a", is}: {}}, true},
		{"another process has it", "is not assigned to this process", others, nil, true},
	} {
		r := &Runner{s: &s, mu: newLock(), ids: topicIDs{partitions: partitions}, partitions: c.has, assigned: c.assigned}
		_, err := r.View("c", query.StateOnly)
		var elsewhere *query.NotOwnedError
		if err == nil || errors.As(err, &elsewhere) != c.elsewhere || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, elsewhere %t", c.name, err, c.elsewhere)
		}
	}
}
