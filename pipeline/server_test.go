package pipeline

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
)

// TestAnswersWhileCommitting proves that probes, metrics and the read API answer while the brokers keep a commit waiting: a process that is asked
// whether it lives must not look dead because Kafka is slow.
func TestAnswersWhileCommitting(t *testing.T) {
	fake, c := embedded(t)
	s := c.application(1)
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	order := operators.Event{Kind: operators.OrderCompleted, Customer: "ann", ID: "1", OrderID: "1", Time: instant(t, "2024-01-01T00:00:00Z"), Amount: 100}
	c.produce(c.event(&s, order))
	p := c.run(s)
	c.await(&s, p)
	awaitReadiness(t, &s, p, `"ready":true`)

	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fake.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		fake.SleepControl(func() {
			once.Do(func() { close(held) })
			<-release
		})
		return nil, nil, false
	})
	order.ID, order.OrderID = "2", "2"
	c.produce(c.event(&s, order))
	<-held
	client := http.Client{Timeout: 5 * time.Second} // shorter than the commit is waited for
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/v1/customers/ann"} {
		response, err := client.Get("http://" + s.HTTP.Listen + path)
		if err != nil {
			t.Errorf("while a commit waits: %v", err)
			continue
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("while a commit waits %s answers %s", path, response.Status)
		}
	}
	close(release)
	c.await(&s, p)
	p.end()
}
