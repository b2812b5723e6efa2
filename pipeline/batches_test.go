package pipeline

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
)

// TestBatchesFit proves that no transaction is refused because a batch of it is larger than its topic takes: each customer is new and their ids are
// random, so that compression saves little, and the limit of records, and with it that of dead letters, is far above what Kafka takes by default.
func TestBatchesFit(t *testing.T) {
	fake, c := embedded(t)
	s := c.application(1)
	s.Limits.ValueBytes = 8 << 20
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	larger := fmt.Sprint(s.deadLetterBytes() + batchOverhead)
	if _, err := c.adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "max.message.bytes", Value: &larger}}, s.Topic(DeadLettersTopic)); err != nil {
		t.Fatal(err)
	}
	c.publish(&s)
	at := instant(t, "2024-01-01T00:00:00Z")
	for view := range 15 {
		for i := range 9000 {
			id := fmt.Sprintf("%x", operators.NewID(fmt.Sprint(i), "customer"))
			c.client.Produce(t.Context(), c.event(&s, operators.Event{
				Kind: operators.PageViewed, ID: fmt.Sprint(id, view), Customer: id, Time: at + operators.EventTime(view*60_000), Name: "/",
			}), nil)
		}
	}
	if err := c.client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.mark(&s, "2024-02-01T00:00:00Z")
	fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		fake.SleepControl(func() { <-time.After(20 * time.Millisecond) }) // a broker that takes its time finds larger batches
		return nil, nil, false
	})
	p := c.run(s)
	c.await(&s, p)
	p.end()
	if log := p.log.String(); strings.Contains(log, "did not commit") {
		t.Errorf("a transaction was refused:\n%s", log)
	}
}

// TestRecordLimits proves that limits are refused which would let a customer's record grow beyond what the changelog takes.
func TestRecordLimits(t *testing.T) {
	s := Settings{Input: InputSettings{Topic: "shop"}, Limits: LimitSettings{Refunds: 4096, MessageIDs: 4096}}
	s.EnsureDefaults()
	if err := s.Validate(); err == nil || !regexp.MustCompile(`^limits.message_ids, limits.open_sessions, limits.refunds, limits.purposes, limits.id_bytes and limits.proof_bytes `+
		`together let a customer's record become [0-9]+ bytes long; the changelog takes [0-9]+: lower the largest of them$`).MatchString(err.Error()) {
		t.Errorf("got %v", err)
	}
	s.Limits.Refunds = 1024
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
}
