package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

// scenario is what the measurements have in common in which processes come and go: brokers, an application of its own on them, and a folder for its states.
type scenario struct {
	dir        string
	brokers    string
	profileDir string

	ctx      context.Context
	b        *broker
	topic    string // the input
	work     string // folder of the states
	settings pipeline.Settings
}

// flags defines the flags that every scenario has.
func (s *scenario) flags(flags *flag.FlagSet) {
	flags.StringVar(&s.dir, "dir", "", "existing `folder` below which the data of the run are kept meanwhile (default that for temporary files)")
	flags.StringVar(&s.brokers, "brokers", os.Getenv("LULL_BROKERS"), "brokers, as in lull run (default an embedded one)")
}

// profileFlag defines the flag of who can profile: profiled says what runs under the profiler.
func (s *scenario) profileFlag(flags *flag.FlagSet, profiled string) {
	flags.StringVar(&s.profileDir, "profile", "", "existing `folder` for a CPU and an allocation profile of "+profiled+"; profiling costs time itself")
}

// within runs a scenario with its brokers and its folder, until it ends or the user interrupts it, and leaves nothing of it behind.
func (s *scenario) within(run func() error) (err error) {
	var cancel context.CancelFunc
	s.ctx, cancel = signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if s.work, err = os.MkdirTemp(s.dir, "lull-bench-"); err != nil {
		return fmt.Errorf("making a folder for the data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.work)) }()
	if s.brokers == "" {
		s.b, err = startBroker(s.work)
	} else {
		s.b, err = connect(strings.Split(s.brokers, ","))
	}
	if err != nil {
		return err
	}
	defer s.b.close()
	defer func() { err = errors.Join(err, s.deleteTopics()) }()
	return run()
}

// name makes the application one that has not been before. Its topics are created by create.
func (s *scenario) name() {
	name := fmt.Sprintf("lull-bench-%d", time.Now().UnixNano())
	s.topic = name + "-events"
	s.settings = s.b.settings(name, filepath.Join(s.work, "state"))
	s.settings.Input.Topic = s.topic
}

// create creates the application's topics, with a model in force.
func (s *scenario) create(m *operators.Model) error {
	if err := s.b.createInput(s.ctx, s.topic); err != nil {
		return err
	}
	return s.b.prepare(s.ctx, &s.settings, m)
}

// deleteTopics leaves nothing behind on brokers that are not ours.
func (s *scenario) deleteTopics() error {
	if s.b.cluster != nil || s.topic == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	topics, err := s.b.adm.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("looking for the topics to delete: %w", err)
	}
	var ours []string
	for _, name := range topics.Names() {
		if name == s.topic || strings.HasPrefix(name, s.settings.Prefix) {
			ours = append(ours, name)
		}
	}
	if _, err := s.b.adm.DeleteTopics(ctx, ours...); err != nil {
		return fmt.Errorf("deleting the topics: %w", err)
	}
	return nil
}

// whereBroker says for the report where the broker is.
func (s *scenario) whereBroker() string {
	if s.brokers == "" {
		return "embedded, in the process that measures"
	}
	return "Apache Kafka at " + s.brokers
}

// offsets are those of the input's partitions.
type offsets [partitions]int64

func (at offsets) sum() (sum int64) {
	for _, o := range at {
		sum += o
	}
	return sum
}

func (s *scenario) committed() (at offsets, err error) {
	committed, err := s.b.adm.FetchOffsetsForTopics(s.ctx, s.settings.Group, s.topic)
	if err == nil {
		err = committed.Error()
	}
	for _, none := range []error{kerr.GroupIDNotFound, kerr.CoordinatorNotAvailable, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress} {
		if errors.Is(err, none) {
			return at, nil // no process has joined it yet, on brokers that have seen no group yet
		}
	}
	if err != nil {
		return at, fmt.Errorf("asking for the offsets of group %q: %w", s.settings.Group, err)
	}
	committed.Each(func(o kadm.OffsetResponse) { at[o.Partition] = max(0, o.At) })
	return at, nil
}

// poll calls done with the committed offsets every few milliseconds until it returns true, or one of the children has ended.
func (s *scenario) poll(c *child, done func(at offsets) bool) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		at, err := s.committed()
		if err != nil || done(at) {
			return err
		}
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-c.ended:
			return fmt.Errorf("a process has ended by itself: %w", c.err)
		case <-ticker.C:
		}
	}
}

// awaitEnd waits until the input's end is committed.
func (s *scenario) awaitEnd(c *child) error {
	var ends offsets
	listed, err := s.b.adm.ListEndOffsets(s.ctx, s.topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the end of the input: %w", err)
	}
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return s.poll(c, func(at offsets) bool { return at == ends })
}

// mark sends a time mark to every partition of an input: no event at or before at will come any more.
func (s *scenario) mark(topic string, at operators.EventTime) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.b.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return fmt.Errorf("configuring the Kafka client: %w", err)
	}
	defer client.Close()
	for p := range int32(partitions) {
		mark := &kgo.Record{Topic: topic, Partition: p, Headers: []kgo.RecordHeader{{Key: schemas.TimeMarkHeader, Value: []byte(at.String())}}}
		if err := client.ProduceSync(s.ctx, mark).FirstErr(); err != nil {
			return fmt.Errorf("sending a time mark: %w", err)
		}
	}
	return nil
}

// settled returns the committed offsets once a transaction that a killed process had ended is in them.
func (s *scenario) settled() (at offsets, err error) {
	for last := (offsets{-1}); err == nil && at != last; {
		last = at
		at, err = s.committed()
		time.Sleep(50 * time.Millisecond)
	}
	return at, err
}

// handOver is what one start came to.
type handOver struct {
	first, all time.Duration // to the first new commit; until every partition has one
	offsets    int64         // of the changelog, that were restored
	used       usage         // by the process until all was committed
}

var allPartitions = []int32{0, 1, 2, 3, 4, 5, 6, 7}

// awaitNew waits until the partitions have commits beyond those given.
func (s *scenario) awaitNew(c *child, began time.Time, before offsets, of []int32) (h handOver, err error) {
	err = s.poll(c, func(at offsets) bool {
		fresh := 0
		for _, n := range of {
			if at[n] > before[n] {
				fresh++
			}
		}
		if fresh > 0 && h.first == 0 {
			h.first = time.Since(began)
		}
		h.all = time.Since(began)
		return fresh == len(of)
	})
	return h, err
}
