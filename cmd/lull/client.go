package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline"
	"lull/pipeline/security"
)

// answerTimeout is how long the tools wait for the brokers' first answer.
const answerTimeout = 10 * time.Second

// newClient returns a Kafka client of the tools. The error says that no broker answers, or why none takes this client.
func newClient(ctx context.Context, s *pipeline.Settings, opts ...kgo.Opt) (*kgo.Client, error) {
	if len(s.Brokers) == 0 {
		return nil, usageError{errors.New("brokers is empty: it must be a list of host:port")}
	}
	if err := s.Security.Validate(); err != nil {
		return nil, usageError{err}
	}
	client, err := kgo.NewClient(append(s.Access().Options("lull"), opts...)...)
	if err != nil {
		return nil, usageError{fmt.Errorf("configuring the Kafka client: %w", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		client.Close()
		if security.Tokenless(err) {
			return nil, fmt.Errorf("there is no token to log in to %s with: %w", strings.Join(s.Brokers, ", "), err)
		}
		if err = security.Explain(err); security.Explained(err) {
			return nil, fmt.Errorf("no broker of %s takes this client: %w", strings.Join(s.Brokers, ", "), err)
		}
		within := ""
		if ctx.Err() != nil {
			within = " within " + answerTimeout.String()
		}
		return nil, fmt.Errorf("no broker of %s answers%s (%w): start it, or mend --brokers", strings.Join(s.Brokers, ", "), within, s.Security.Unanswered(err))
	}
	return client, nil
}

// produceOptions are those of every producer of the tools.
func produceOptions() []kgo.Opt {
	return []kgo.Opt{
		// Idempotence (the client's default) with all replicas asked: nothing is lost or doubled by a retry.
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// By murmur2 of the key, as every Java producer does: the customer's other events lie in the same partition.
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(5 * time.Millisecond),
		// A topic that was created just now takes a moment to be known to all brokers.
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.UnknownTopicRetries(20),
		// A broker that is away for longer is an error that the user should see.
		kgo.RecordDeliveryTimeout(time.Minute),
	}
}
