package pipeline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
)

// watcher reads the whole input topic, other processes' partitions too, while the feed has not settled after a silence: whether events are still late
// when they are appended. Its goroutine ends with close.
type watcher struct {
	client  *kgo.Client
	cancel  context.CancelFunc
	stopped chan struct{}

	reaches map[int32]*task.Reach // of the one who asks

	mu   sync.Mutex
	next map[int32]int64     // offsets
	late operators.EventTime // when the last event was appended that was late by then, Unset if none was
}

// watch begins to read what was appended to an input after an instant.
func (r *Runner) watch(in *inputTopic, since operators.EventTime) (*watcher, error) {
	asking, answered := context.WithTimeout(r.ctx, r.s.Commit.Timeout)
	defer answered()
	starts, err := r.adm.ListOffsetsAfterMilli(asking, int64(since)+1, in.Topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the input's offsets after %s: %w", since, err)
	}
	decoder, err := r.newDecoder(in)
	if err != nil {
		return nil, err
	}
	w := &watcher{stopped: make(chan struct{}), reaches: make(map[int32]*task.Reach), next: make(map[int32]int64), late: operators.Unset}
	from := make(map[int32]kgo.Offset)
	starts.Each(func(o kadm.ListedOffset) {
		from[o.Partition] = kgo.NewOffset().At(o.Offset)
		w.next[o.Partition], w.reaches[o.Partition] = o.Offset, new(task.Reach)
	})
	w.client, err = kgo.NewClient(append(r.access.Options("lull-"+r.s.Instance+"-watch"),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{in.Topic: from}),
		// What is aborted later tells of the feed too, and markers move the position.
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
		kgo.KeepControlRecords(),
		kgo.FetchMaxBytes(8<<20),
		kgo.MetadataMinAge(100*time.Millisecond),
	)...)
	if err != nil {
		return nil, fmt.Errorf("configuring a consumer: %w", err)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	w.cancel = cancel
	go w.read(ctx, decoder, in.clock.Config, r.log)
	return w, nil
}

func (w *watcher) close() {
	w.cancel()
	<-w.stopped
	w.client.Close()
}

func (w *watcher) read(ctx context.Context, decoder *schemas.Decoder, clock task.ClockConfig, log zerolog.Logger) {
	defer close(w.stopped)
	var source schemas.Source
	var event operators.Event
	for ctx.Err() == nil {
		fetches := w.client.PollFetches(ctx)
		if err := fetches.Err(); err != nil && ctx.Err() == nil {
			log.Debug().Err(err).Msg("watching the input")
		}
		w.mu.Lock()
		for it := fetches.RecordIter(); !it.Done(); {
			record := it.Next()
			w.next[record.Partition] = record.Offset + 1
			if record.Attrs.IsControl() {
				continue
			}
			setSource(&source, record)
			if _, mark, _ := decoder.TimeMark(&source); mark || decoder.DecodeKeyless(&source, &event) != nil {
				continue
			}
			if clock.Late(source.AppendTime, event.Time) {
				w.late = max(w.late, source.AppendTime)
			}
		}
		w.mu.Unlock()
	}
}

// look takes in the topic's ends, asked for after a wall instant. It returns the instant up to which all that was appended has been read, Unset if that is
// not known, and when the last late event was appended.
func (w *watcher) look(wall operators.EventTime, ends kadm.ListedOffsets) (read, late operators.EventTime) {
	w.mu.Lock()
	defer w.mu.Unlock()
	read = operators.Never
	ends.Each(func(end kadm.ListedOffset) {
		reach := w.reaches[end.Partition]
		if reach == nil { // a new partition: it is not watched
			read = operators.Unset
			return
		}
		reach.Ask(wall, end.Offset)
		reach.Pass(w.next[end.Partition])
		read = min(read, reach.Read())
	})
	return read, w.late
}
