package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/schemas"
)

// TestTally proves when most records are said to be refused, and when no more: of many at once, of few if none has ever been an event, and by the records alone, however they come.
func TestTally(t *testing.T) {
	position := schemas.Position{Topic: "shop", Partition: 3, Offset: 17}
	bad := func(n int) *txnStats {
		return &txnStats{refused: map[string]refusals{"bad_field": {n, position}, "unmatched": {n / 3, schemas.Position{}}}}
	}
	begin := time.UnixMilli(0)
	for _, c := range []struct {
		name string
		txns []*txnStats // one a second
		want []string    // what is told after each: - nothing, else how it begins
	}{
		{"few of which none is an event", []*txnStats{bad(3), {}, {}, {}, {}, {}, {}, {}, {}, {}, {}}, []string{10: `no record of topic "shop" has been an event since the start: of the last 4 all were refused, 3 of them for bad_field. ` +
			"`lull dead-letters show shop/3/17` says of one what was found and what to do, `lull mapping try --topic shop` what becomes of the newest"}},
		{"many at once", []*txnStats{bad(99)}, []string{"no record of topic"}},
		{"some of many", []*txnStats{{applied: 70}, bad(60)}, []string{1: `most records of topic "shop" are refused: 80 of the last 150, 60 of them for bad_field`}},
		{"few of many", []*txnStats{{passedOn: 70}, bad(30)}, []string{1: "fine"}},
		{"few of few", []*txnStats{{duplicate: 1}, bad(3), {}, {}, {}, {}, {}, {}, {}, {}, {}, {}}, []string{11: ""}},
		{"mended", []*txnStats{bad(99), {applied: 5}, bad(1), {}, {}, {}, {}, {}, {}, {}, {}, {}}, []string{0: "no record of topic", 11: "fine"}},
		{"ignored alone", []*txnStats{{ignored: 1000}}, []string{""}},
	} {
		of := &tally{}
		for i, txn := range c.txns {
			now := begin.Add(time.Duration(i) * time.Second)
			of.add(txn, now)
			got, told := of.judge("shop", true, now)
			want := ""
			if i < len(c.want) {
				want = c.want[i]
			}
			switch {
			case want == "" && told, want == "fine" && (!told || got != ""), want != "" && want != "fine" && !strings.HasPrefix(got, want):
				t.Errorf("%s, after %d: %v %s, want %q", c.name, i, told, got, want)
			}
		}
	}
}

// TestRefusalsAreTold proves that a process whose input's records are none of the format says so on /readyz and once in the log, with what helps.
func TestRefusalsAreTold(t *testing.T) {
	c := newCluster(t)
	s := c.staged()
	orders, web := s.InputTopics()[0].Topic, s.InputTopics()[1].Topic
	s.Inputs = map[string]TopicInput{orders: {}, web: {Format: "segment-json"}}
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	records := make([]*kgo.Record, 3*tallyRecords)
	for i := range records {
		records[i] = &kgo.Record{Topic: web, Key: fmt.Append(nil, i), Value: []byte("no JSON")}
	}
	c.produce(records...)
	p := c.run(s)
	awaitReadiness(t, &s, p, `no record of topic \"`+web+`\" has been an event since the start`)
	c.await(&s, p)
	p.end()
	if log := p.log.String(); strings.Count(log, "has been an event since the start") != 1 || !strings.Contains(log, "for malformed. `lull dead-letters show "+web+"/") || !strings.Contains(log, "`lull mapping try --topic "+web+"`") {
		t.Errorf("the log does not tell once of it:\n%s", log)
	}
}
