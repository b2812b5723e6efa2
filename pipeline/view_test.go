package pipeline

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline/query"
)

// A process sends a reader to the others of its group only if it has partitions itself, and is not about to get more: a lone process that joins its group
// has no others.
func TestViewElsewhere(t *testing.T) {
	const partitions = 4
	where := newPlacement(partitions)
	others := map[int32]*partition{(where.of([]byte("c")) + 1) % partitions: {}}
	for _, c := range []struct {
		name      string
		has       map[int32]*partition
		assigned  map[topicPartition]kgo.EpochOffset
		elsewhere bool
	}{
		{"joining", nil, nil, false},
		{"another is being assigned", others, map[topicPartition]kgo.EpochOffset{{}: {}}, false},
		{"another process has it", others, nil, true},
	} {
		r := &Runner{mu: newLock(), ids: topicIDs{partitions: partitions}, partitions: c.has, assigned: c.assigned}
		_, err := r.View("c")
		var elsewhere *query.NotOwnedError
		if err == nil || errors.As(err, &elsewhere) != c.elsewhere || !c.elsewhere && !strings.Contains(err.Error(), "/readyz") {
			t.Errorf("%s: error %v, elsewhere %t", c.name, err, c.elsewhere)
		}
	}
}
