package pipeline

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// metric returns a figure of the host's process, 0 if it has none of the name.
func (h *host) metric(series string) int {
	h.b.t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: h.web.DialContext, DisableKeepAlives: true}}
	resp, err := client.Get("http://" + h.s.HTTP.Listen + "/metrics")
	if err != nil {
		h.b.t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), series+" "); ok {
			n, err := strconv.Atoi(text)
			if err != nil {
				h.b.t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// TestMoves proves that partitions which change their leader, with a new epoch each time, and brokers that die and return, change nothing in what comes out.
// In former versions the client went back to the log's start after such a move, without a word. The position guard makes that harmless, and counts it
// as repeated records; with this version of the client there are none.
func TestMoves(t *testing.T) {
	want := undisturbedDigest(t)
	repeated, validated := 0, 0
	for seed := range uint64(tenthIfRace(30)) {
		inBubble(t, seed, func(t *testing.T, b *bubble) {
			s := b.application(2)
			b.publish(&s)
			h := b.host(s, "one")
			h.start()
			gone := int32(-1)
			for rest := b.history(&s)[:story]; len(rest) > 0; rest = rest[10:] {
				b.produce(rest[:10]...)
				<-time.After(time.Duration(b.random.IntN(800)) * time.Millisecond)
				switch {
				case b.random.IntN(3) > 0:
					b.fake.ShufflePartitionLeaders()
				case gone < 0:
					gone = int32(b.random.IntN(3))
					b.removeNode(gone)
				default:
					b.returnNode(gone)
					gone = -1
				}
			}
			b.mark(&s, storyEnd)
			b.await(&s, h)
			repeated += h.metric(`lull_input_records_total{outcome="repeated"}`)
			if applied := h.metric(`lull_input_records_total{outcome="applied"}`); applied != story {
				t.Errorf("seed %d: %d records are counted as applied, %d were there", seed, applied, story)
			}
			validated += b.requests()[kmsg.OffsetForLeaderEpoch]
			h.end()
			b.check(&s, want, h)
		})
	}
	if validated == 0 {
		t.Error("the client never asked where an epoch ended")
	}
	t.Log(fmt.Sprint(repeated, " records were repeated by the client; it asked ", validated, " times where an epoch ended"))
}
