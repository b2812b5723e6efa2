package pipeline

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// newSlowBroker returns the settings of an application on three brokers, of which the last does not know the application's topics when it is asked for the
// n-th time, counted from 1, if ignorant says so.
func newSlowBroker(t *testing.T, ignorant func(n int) bool) Settings {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(2, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	asked := 0
	fake.ControlKey(kmsg.Metadata.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		request := r.(*kmsg.MetadataRequest)
		about := len(request.Topics) > 0 && request.Topics[0].Topic != nil && strings.HasPrefix(*request.Topics[0].Topic, "slow.")
		if !about || fake.CurrentNode() != 2 {
			return nil, nil, false
		}
		asked++
		if !ignorant(asked) {
			return nil, nil, false
		}
		fake.KeepControl()
		answer := request.ResponseKind().(*kmsg.MetadataResponse)
		for _, of := range request.Topics {
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic, topic.ErrorCode = of.Topic, kerr.UnknownTopicOrPartition.Code
			answer.Topics = append(answer.Topics, topic)
		}
		return answer, nil, true
	})
	s := Settings{Brokers: fake.ListenAddrs(), Prefix: "slow.", Input: InputSettings{Topic: "events"}}
	s.EnsureDefaults()
	return s
}

// TestCreateTopicsWaits: topics that were created can be used at once, at every broker.
func TestCreateTopicsWaits(t *testing.T) {
	var last atomic.Int64
	s := newSlowBroker(t, func(n int) bool {
		last.Store(int64(n))
		return n <= 3
	})
	created, err := CreateTopics(t.Context(), s, 0)
	if err != nil {
		t.Fatal(err)
	}
	if want := len(s.ownTopics()); len(created) != want {
		t.Errorf("created %q, want %d topics", created, want)
	}
	if last.Load() <= 3 {
		t.Errorf("a broker did not know the topics 3 times, and was asked %d times", last.Load())
	}
}

// TestCreateTopicsGivesUp: it does not wait for ever, and says which broker lacks which topic.
func TestCreateTopicsGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := newSlowBroker(t, func(n int) bool {
		if n == 3 {
			cancel()
		}
		return true
	})
	created, err := CreateTopics(ctx, s, 0)
	want := fmt.Sprintf("broker 2, topic %q", s.Topic(SessionsTopic))
	if err == nil || !strings.Contains(err.Error(), want) || len(created) != len(s.ownTopics()) {
		t.Errorf("created %q, error %v, want %d topics and an error about %s", created, err, len(s.ownTopics()), want)
	}
}
