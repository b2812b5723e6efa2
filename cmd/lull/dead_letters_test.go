package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
	"lull/schemas"
)

// newApplication returns the address of a broker with an empty topic "shop" of 8 partitions and all of lull's own.
func newApplication(t *testing.T) string {
	t.Helper()
	return newApplicationOn(t, newFake(t))
}

// newApplicationOn does the same on a broker whose answers the test changes.
func newApplicationOn(t *testing.T, fake *kfake.Cluster) string {
	t.Helper()
	broker := fake.ListenAddrs()[0]
	if _, errs, code := lull(t, "topics", "apply", "--brokers", broker, "--input-topic", "shop"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	return broker
}

// producer returns a client for tests' own records.
func producer(t *testing.T, broker string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := newClient(t.Context(), reaching(broker), append(append(produceOptions(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(8<<20), kgo.RecordDeliveryTimeout(0)), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// refuse writes dead letters, at this instant, into partition 1 of their topic.
func refuse(t *testing.T, broker string, at time.Time, letters ...*schemas.DeadLetter) {
	t.Helper()
	client := producer(t, broker)
	encoder, err := schemas.NewEncoder(schemas.EncoderConfig{HorizonDays: 365, ContactDays: 30, Margin: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		var of schemas.Record
		if err := encoder.EncodeDeadLetter(l, &of); err != nil {
			t.Fatal(err)
		}
		record := &kgo.Record{Topic: "lull.dead-letters", Partition: 1, Timestamp: at, Key: of.Key, Value: of.Value}
		if err := client.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// refused returns the dead letter of a record of ann's in partition 5 of shop, where murmur2 does not put her, but CRC-32 does.
func refusedRecord(reason string, offset int64) *schemas.DeadLetter {
	return &schemas.DeadLetter{Rejection: operators.Rejection{Reason: reason, Detail: "found " + reason}, Source: &schemas.Source{
		Topic: "shop", Partition: 3, Offset: offset, AppendTime: 883_908_000_000, Key: []byte("ann"), Value: fmt.Appendf(nil, "value %d", offset),
		Headers: []schemas.Header{{Key: "h", Value: []byte("v")}},
	}}
}

// redriven returns what is in the topic shop, by source position.
func redrivenRecords(t *testing.T, broker string) map[string][]*kgo.Record {
	t.Helper()
	records := make(map[string][]*kgo.Record)
	for _, r := range recordsOf(t, broker, "shop") {
		if len(r.Headers) == 0 || r.Headers[0].Key != schemas.RedrivenHeader {
			t.Errorf("record %+v has no first header %s", r, schemas.RedrivenHeader)
			continue
		}
		records[string(r.Headers[0].Value)] = append(records[string(r.Headers[0].Value)], r)
	}
	return records
}

// A letter's record is sent again as it was, once: however often redrive is run, with whatever filter, and after one was killed in the middle of a transaction or is
// still at work.
func TestRedrive(t *testing.T) {
	broker := newApplication(t)
	now := time.Now()
	var letters []*schemas.DeadLetter
	for offset := range int64(1200) {
		letters = append(letters, refusedRecord([]string{"unknown_currency", "text_too_long"}[offset%2], offset))
	}
	letters = append(letters, letters[0]) // a state that was made anew refuses the same record again
	refuse(t, broker, now, letters...)

	// One that was killed: its transaction is open, and what is in it does not count.
	killed := producer(t, broker, kgo.TransactionalID("lull.redrive"))
	key, value, err := schemas.EncodeRedrive(&schemas.Redrive{Topic: "shop", Partition: 3, Offset: 0, Origin: "shop/3/0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := killed.ProduceSync(t.Context(), &kgo.Record{Topic: "lull.redrives", Key: key, Value: value}, &kgo.Record{Topic: "shop", Value: []byte("of the killed")}).FirstErr(); err != nil {
		t.Fatal(err)
	}

	_, errs, code := lull(t, "dead-letters", "redrive", "--brokers", broker, "--reason", "unknown_currency", "--dry-run")
	if code != 0 || !strings.Contains(errs, "600 would be sent again: unknown_currency 600") {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	_, errs, code = lull(t, "dead-letters", "redrive", "--brokers", broker, "--reason", "unknown_currency")
	if code != 0 || !strings.Contains(errs, "600 sent again: unknown_currency 600") {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if err := killed.EndTransaction(t.Context(), kgo.TryCommit); err == nil {
		t.Error("the killed one can still commit")
	}
	for range 2 {
		if _, errs, code = lull(t, "dead-letters", "redrive", "--brokers", broker, "--all"); code != 0 {
			t.Fatalf("exit code %d: %s", code, errs)
		}
	}
	if !strings.Contains(errs, "0 to be sent again") || !strings.Contains(errs, "1201 had been sent again before: unknown_currency 601, text_too_long 600") {
		t.Errorf("the third time: %s", errs)
	}
	records := redrivenRecords(t, broker)
	if len(records) != 1200 {
		t.Errorf("%d records were sent again, want 1200", len(records))
	}
	for offset := range 1200 {
		of := records[fmt.Sprintf("shop/3/%d", offset)]
		if len(of) != 1 {
			t.Errorf("offset %d was sent %d times", offset, len(of))
			continue
		}
		r := of[0]
		if string(r.Key) != "ann" || string(r.Value) != fmt.Sprintf("value %d", offset) || len(r.Headers) != 2 || r.Headers[1].Key != "h" || string(r.Headers[1].Value) != "v" {
			t.Errorf("sent %+v", r)
		}
	}
}

// What a first stage passed on and a task has refused goes to the topic events again, and may be refused there as often as it is sent: each letter is one more. What has been sent is still not sent twice,
// copies of a letter count as one, and after a reset, which deletes what was sent, letters that are written since are sent again: also if the dead letters were deleted with it, and stand where others did.
func TestRedriveOfTasks(t *testing.T) {
	broker := newBroker(t)
	t.Setenv("LULL_CONFIG", writeFile(t, "lull.yaml", fmt.Sprintf("brokers: [%q]\ninstance: one\ninputs: {shop: {}}\nstate: {dir: %q}\n", broker, t.TempDir())))
	step := func(want int, args ...string) string {
		t.Helper()
		out, errs, code := lull(t, args...)
		if code != want {
			t.Fatalf("%q: exit code %d, %s%s", args, code, out, errs)
		}
		return out + errs
	}
	step(0, "topics", "apply")
	passedOn := func(offset int64, redriven bool) *schemas.DeadLetter {
		l := refusedRecord("panic", offset)
		l.Customer = "ann"
		l.Source.Headers = []schemas.Header{{Key: schemas.FeedHeader, Value: []byte("00000000000000ff")}, {Key: schemas.SourceHeader, Value: fmt.Appendf(nil, "shop/3/%d", offset)}}
		if redriven {
			l.Source.Headers = append([]schemas.Header{{Key: schemas.RedrivenHeader, Value: fmt.Appendf(nil, "shop/3/%d", offset)}}, l.Source.Headers...)
		}
		return l
	}
	sent := func(want int) {
		t.Helper()
		records := recordsOf(t, broker, "lull.events")
		if len(records) != want {
			t.Errorf("%d records were sent to the events, want %d", len(records), want)
		}
		for _, r := range records {
			if string(r.Key) != "ann" || r.Headers[0].Key != schemas.RedrivenHeader || string(r.Headers[0].Value) != "shop/3/7" && string(r.Headers[0].Value) != "shop/3/8" {
				t.Errorf("sent %+v", r)
			}
		}
		if n := len(recordsOf(t, broker, "shop")); n != 0 {
			t.Errorf("%d records were sent to the input", n)
		}
	}
	redrive := func(want string, args ...string) {
		t.Helper()
		if errs := step(0, append([]string{"dead-letters", "redrive"}, args...)...); !strings.Contains(errs, want) {
			t.Errorf("redrive %q: no %q in %s", args, want, errs)
		}
	}
	refuse(t, broker, time.Now(), passedOn(7, false), passedOn(8, false), passedOn(8, false)) // 1/0 to 1/2: a copy of the one at 8
	redrive("2 sent again: panic 2", "--all")
	redrive("3 had been sent again before", "--all", "--again")
	sent(2)
	for again := range 2 {
		refuse(t, broker, time.Now(), passedOn(7, true)) // 1/3, 1/4
		place := fmt.Sprint("1/", 3+again)
		if out := step(0, "dead-letters", "show", place); !strings.Contains(out, "it stood first at shop/3/7; not sent again yet") {
			t.Errorf("show %s: %s", place, out)
		}
		redrive("1 left out, which were sent again before and refused again", "--all")
		redrive("1 sent again: panic 1", "--all", "--again")
		redrive("0 to be sent again", "--all", "--again")
		if out := step(0, "dead-letters", "show", place); !strings.Contains(out, "sent again to partition") || !strings.Contains(out, "of lull.events") {
			t.Errorf("show %s: %s", place, out)
		}
		sent(3 + again)
	}
	redrive("0 to be sent again", "shop/3/7")

	step(0, "reset", "--yes", "--force")
	step(0, "topics", "apply")
	redrive("0 to be sent again", "--all", "--again") // what was refused before the reset is passed on anew, without redrive
	refuse(t, broker, time.Now(), passedOn(7, false)) // 1/5
	redrive("1 sent again: panic 1", "--all")
	redrive("0 to be sent again", "--all")
	sent(1)

	step(0, "reset", "--yes", "--force", "--outputs")
	step(0, "topics", "apply")
	refuse(t, broker, time.Now(), passedOn(7, false)) // 1/0
	redrive("1 sent again: panic 1", "--all")
	redrive("0 to be sent again", "--all")
	sent(1)
}

// What brokers answer to one that has been overtaken, or whose transaction they have ended, is told by what it means, be it to a record or to the end of the transaction, and nothing is sent by it.
func TestRedriveOvertaken(t *testing.T) {
	fake := newFake(t)
	broker := newApplicationOn(t, fake)
	refuse(t, broker, time.Now(), refusedRecord("unknown_currency", 1))
	for _, c := range []struct {
		to    kmsg.Key
		err   *kerr.Error
		doing string
	}{
		{kmsg.Produce, kerr.InvalidTxnState, `sending to topic "shop"`},
		{kmsg.EndTxn, kerr.InvalidTxnState, "committing 1 record, of which it is not known now whether they were sent"},
		{kmsg.EndTxn, kerr.InvalidProducerEpoch, "committing 1 record, of which it is not known now whether they were sent"},
	} {
		fault := fake.Fault(kfake.Fault{Keys: []kmsg.Key{c.to}, Err: c.err, Count: -1})
		_, errs, code := lull(t, "dead-letters", "redrive", "--brokers", broker, "--all")
		want := fmt.Sprintf("%s: another redrive of this group has begun since, or this one was held up for more than %s (%s", c.doing, toolTransaction, c.err.Message)
		if code != exitError || !strings.Contains(errs, want) || !strings.Contains(errs, "run redrive again: it goes on from there, and sends nothing twice") {
			t.Errorf("%s: exit code %d, %s, want %s", c.err.Message, code, errs, want)
		}
		fault.Remove()
	}
	if _, errs, code := lull(t, "dead-letters", "redrive", "--brokers", broker, "--all"); code != 0 || !strings.Contains(errs, "1 sent again") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if sent := redrivenRecords(t, broker); len(sent) != 1 {
		t.Errorf("%d records were sent", len(sent))
	}
}

// Two at once send nothing twice, and the one that is overtaken says so.
func TestRedriveTwoAtOnce(t *testing.T) {
	broker := newApplication(t)
	refuse(t, broker, time.Now(), refusedRecord("unknown_currency", 1), refusedRecord("unknown_currency", 2))
	s, err := loadSettings(newRedriveCommand().Flags(), []string{"LULL_BROKERS=" + broker})
	if err != nil {
		t.Fatal(err)
	}
	first := &redrive{settings: &s, flags: &redriveFlags{all: true}, newest: map[string]redriveAt{}, topics: map[string]redriveTopic{"shop": {}}}
	first.flags.filter = letterFilter{partition: -1, seenTopics: map[string]bool{}, seenReasons: map[string]bool{}}
	if err := first.checkTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	sender, err := first.newSender(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sender.client.Close()
	if err := first.eachChosen(t.Context(), func(l *letter) error { return sender.send(t.Context(), l) }); err != nil || len(sender.batch) != 4 {
		t.Fatalf("%v, %d records", err, len(sender.batch))
	}
	if _, errs, code := lull(t, "dead-letters", "redrive", "--brokers", broker, "--all"); code != 0 || !strings.Contains(errs, "2 sent again") {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if err := sender.commit(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("another redrive of this group has begun since, or this one was held up for more than %s (", toolTransaction)) {
		t.Errorf("the first: %v", err)
	}
	sender.abort()
	for source, of := range redrivenRecords(t, broker) {
		if len(of) != 1 {
			t.Errorf("%s was sent %d times", source, len(of))
		}
	}
}

// What has been refused again is recognised and left alone; what cannot be mended is left out unless it is asked for; what was cut or is a deadline is named.
func TestRedriveLeavesOut(t *testing.T) {
	broker := newApplication(t)
	again := refusedRecord("panic", 9)
	again.Source.Headers = append([]schemas.Header{{Key: schemas.RedrivenHeader, Value: []byte("shop/3/4")}}, again.Source.Headers...)
	large := refusedRecord("record_too_large", 10)
	large.Source.Value = make([]byte, 2<<20)
	old := refusedRecord("panic", 12)
	old.Source.Key = []byte("bob")
	refuse(t, broker, time.Now().Add(-48*time.Hour), old)
	refuse(t, broker, time.Now(), again, refusedRecord("malformed", 8), large, refusedRecord("panic", 11), &schemas.DeadLetter{
		Rejection: operators.Rejection{Reason: "panic", Operator: "score"}, Customer: "ann", Deadline: 1000, Partition: 3,
	})
	for _, c := range []struct {
		args string
		code int
		want []string
		sent []string
	}{
		{"--since 24h --dry-run", exitError, []string{"1 would be sent again: panic 1"}, nil},
		{"--since 1d", exitError, []string{
			"1 sent again: panic 1", "1 left out, which were sent again before and refused again (--again sends them): panic 1",
			"1 left out, which would be refused again as they are (--reason sends them all the same): malformed 1",
			"letter 1/3 (shop/3/10, record_too_large): 2031616 of the value's 2097152 bytes are not kept", "letter 1/5 (a deadline, panic)", "2 letters cannot be sent again; `lull dead-letters show LETTER` says where the whole record is",
		}, []string{"shop/3/11"}},
		{"--reason malformed", 0, []string{"1 sent again: malformed 1"}, []string{"shop/3/11", "shop/3/8"}},
		{"--topic shop --partition 3 --key ann --again", exitError, []string{"1 sent again: panic 1"}, []string{"shop/3/11", "shop/3/4", "shop/3/8"}},
		{"1/0", 0, []string{"1 sent again: panic 1"}, []string{"shop/3/11", "shop/3/12", "shop/3/4", "shop/3/8"}},
		{"shop/3/12", 0, []string{"0 to be sent again", "1 had been sent again before"}, []string{"shop/3/11", "shop/3/12", "shop/3/4", "shop/3/8"}},
		{"shop/3/12 --again --dry-run", 0, []string{"1 would be sent again: panic 1"}, []string{"shop/3/11", "shop/3/12", "shop/3/4", "shop/3/8"}},
		{"shop/3/10", exitError, []string{"0 to be sent again"}, []string{"shop/3/11", "shop/3/12", "shop/3/4", "shop/3/8"}},
		{"7/7", exitError, []string{`there is no dead letter 7/7 in topic "lull.dead-letters"`}, []string{"shop/3/11", "shop/3/12", "shop/3/4", "shop/3/8"}},
		{"", exitUsage, []string{"nothing says which letters are meant"}, nil},
		{"--all 1/0", exitUsage, []string{"letters are named: leave out --all"}, nil},
		{"shop/1", exitUsage, []string{"it must be the letter's PARTITION/OFFSET"}, nil},
		{"--since soon", exitUsage, []string{"--since", "2026-11-23T12:00:00Z", "90m"}, nil},
		{"--since 1h --until 2h", exitUsage, []string{"is not before --until"}, nil},
		{"--partition 1", exitUsage, []string{"name it by --topic"}, nil},
	} {
		_, errs, code := lull(t, append([]string{"dead-letters", "redrive", "--brokers", broker}, strings.Fields(c.args)...)...)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.args, code, c.code)
		}
		for _, want := range c.want {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: no %q in:\n%s", c.args, want, errs)
			}
		}
		if c.sent == nil {
			continue
		}
		var sent []string
		for source := range redrivenRecords(t, broker) {
			sent = append(sent, source)
		}
		if slices.Sort(sent); !slices.Equal(sent, c.sent) {
			t.Errorf("%s: sent are %q, want %q", c.args, sent, c.sent)
		}
	}
}

// What is wrong with a topic is told before anything is sent.
func TestRedriveTopics(t *testing.T) {
	broker := newBroker(t)
	if _, errs, code := lull(t, "dead-letters", "redrive", "--brokers", broker, "--all"); code != exitError || !strings.Contains(errs, `topic "lull.dead-letters" does not exist: mend --prefix`) {
		t.Errorf("no topic: exit code %d, %s", code, errs)
	}
	broker = newApplication(t)
	elsewhere := refusedRecord("panic", 1)
	elsewhere.Source.Topic = "gone"
	refuse(t, broker, time.Now(), elsewhere, refusedRecord("panic", 1))
	_, errs, code := lull(t, "dead-letters", "redrive", "--brokers", broker, "--all")
	if code != exitError || errs != "lull: topic \"gone\" does not exist any more, from which refused records came: choose others by --topic\n" || len(recordsOf(t, broker, "shop")) != 0 {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// What the brokers refuse is told with how much has been sent, and so is that it can be noted nowhere.
func TestRedriveIsRefused(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(8, "shop"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	broker := cluster.ListenAddrs()[0]
	if _, errs, code := lull(t, "topics", "apply", "--brokers", broker, "--input-topic", "shop"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	refuse(t, broker, time.Now(), refusedRecord("panic", 1))
	refused := func(want string) {
		t.Helper()
		if _, errs, code := lull(t, "dead-letters", "redrive", "--brokers", broker, "--all"); code != exitError || errs != want {
			t.Errorf("exit code %d, %swant %s", code, errs, want)
		}
	}
	cluster.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		of := request.(*kmsg.ProduceRequest)
		response := of.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range of.Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				refusal := kmsg.NewProduceResponseTopicPartition()
				refusal.Partition, refusal.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				answer.Partitions = append(answer.Partitions, refusal)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	refused("lull: 0 records sent again, then: sending to topic \"shop\": TOPIC_AUTHORIZATION_FAILED: Not authorized to access topics: [Topic authorization failed.]; " +
		"run redrive again: it goes on from there, and sends nothing twice: the right to this topic is missing: grant what `lull acl print` prints, to the user that the brokers know this process by\n")
	client := producer(t, broker)
	if _, err := kadm.NewClient(client).DeleteTopic(t.Context(), "lull.redrives"); err != nil {
		t.Fatal(err)
	}
	refused("lull: topic \"lull.redrives\" does not exist, in which it is noted what was sent again: run `lull topics apply`\n")
}

// list counts by reason and shows the newest; show prints one with its remedy and what became of it.
func TestLettersListAndShow(t *testing.T) {
	broker := newApplication(t)
	if out, errs, code := lull(t, "dead-letters", "list", "--brokers", broker); code != 0 || out != "no dead letters\n" {
		t.Errorf("exit code %d, %s%s", code, out, errs)
	}
	event, err := schemas.EncodeEvent(nil, &operators.Event{Kind: operators.OrderCompleted, Customer: "ann", Time: 883_908_000_000, OrderID: "o-7", Amount: 5}, "XYZ")
	if err != nil {
		t.Fatal(err)
	}
	order := refusedRecord("unknown_currency", 21)
	order.Source.Value = event
	// The input was read anew once: of two records there is a letter more, of one of them for another reason.
	refuse(t, broker, time.Now().Add(-2*time.Hour), refusedRecord("malformed", 20), refusedRecord("panic", 22))
	refuse(t, broker, time.Now().Add(-time.Hour), refusedRecord("panic", 20), refusedRecord("panic", 22))
	refuse(t, broker, time.Now(), order)
	if _, errs, code := lull(t, "dead-letters", "redrive", "shop/3/21", "--brokers", broker); code != 0 {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	out, errs, code := lull(t, "dead-letters", "list", "--brokers", broker, "-n", "2")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	lines := strings.Split(out, "\n")
	if len(lines) != 9 || !slices.Equal(strings.Fields(lines[1])[:6], []string{"panic", "2", "2", "0", "0", "0"}) ||
		!slices.Equal(strings.Fields(lines[2])[:6], []string{"unknown_currency", "1", "0", "1", "0", "0"}) || lines[4] != "the newest 2 of 3:" ||
		!strings.Contains(lines[6], "shop/3/22") || !strings.Contains(lines[7], "(re-driven) found unknown_currency") {
		t.Errorf("list:\n%s", out)
	}
	out, _, _ = lull(t, "dead-letters", "list", "--brokers", broker, "--json", "--since", "30m")
	var list letterList
	if err := json.Unmarshal([]byte(out), &list); err != nil || list.Records != 1 || len(list.Newest) != 1 || !list.Newest[0].Redriven || list.Newest[0].Letter != "1/4" {
		t.Errorf("%v: %s", err, out)
	}
	for _, name := range []string{"1/4", "shop/3/21"} {
		out, errs, code = lull(t, "dead-letters", "show", name, "--brokers", broker)
		for _, want := range []string{"unknown_currency: the currency has no rate", "add its rate to money.rates", "sent again to partition", "shop/3/21", `"order_id": "o-7"`, `"currency": "XYZ"`, "header h"} {
			if code != 0 || !strings.Contains(out, want) {
				t.Errorf("show %s: exit code %d, no %q in:\n%s%s", name, code, want, out, errs)
			}
		}
	}
	out, errs, code = lull(t, "dead-letters", "show", "1/2", "--brokers", broker, "--json")
	var shown struct {
		Letter, Remedy, Redrive string
		Value                   struct{ UTF8 string }
		Headers                 []struct{ Key string }
	}
	if err := json.Unmarshal([]byte(out), &shown); err != nil || code != 0 || shown.Letter != "1/2" || shown.Remedy != "a fault of lull: report it, with the detail" ||
		!strings.Contains(shown.Redrive, "lull dead-letters redrive 1/2") || shown.Value.UTF8 != "value 20" || len(shown.Headers) != 1 {
		t.Errorf("%v, exit code %d: %s%s", err, code, out, errs)
	}
	if _, errs, code = lull(t, "dead-letters", "show", "0/5", "--brokers", broker); code != exitError || !strings.Contains(errs, "there is no dead letter 0/5") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// A record's key is no customer: of one that was refused before its event was read, as in a topic that is keyed by order number, nobody knows whose it is. The key is shown as what it is, and --key chooses by it.
func TestLettersByKey(t *testing.T) {
	broker := newApplication(t)
	unread, late := refusedRecord("malformed", 1), refusedRecord("late", 2)
	unread.Source.Key, late.Source.Key, late.Customer = []byte("A-17"), []byte("A-18"), "ann"
	refuse(t, broker, time.Now(), unread, late)
	row := func(args ...string) (customers, keys []string) {
		t.Helper()
		out, errs, code := lull(t, append([]string{"dead-letters", "list", "--json", "--brokers", broker}, args...)...)
		var list letterList
		if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
			t.Fatalf("%v, exit code %d, %s", err, code, errs)
		}
		for _, l := range list.Newest {
			customers, keys = append(customers, l.Customer), append(keys, l.Key)
		}
		return customers, keys
	}
	for _, c := range []struct {
		args            []string
		customers, keys []string
	}{
		{nil, []string{"", "ann"}, []string{"A-17", "A-18"}},
		{[]string{"--customer", "A-17"}, nil, nil},
		{[]string{"--key", "A-17"}, []string{""}, []string{"A-17"}},
		{[]string{"--customer", "ann"}, []string{"ann"}, []string{"A-18"}},
	} {
		if customers, keys := row(c.args...); !slices.Equal(customers, c.customers) || !slices.Equal(keys, c.keys) {
			t.Errorf("%q: customers %q, keys %q; want %q and %q", c.args, customers, keys, c.customers, c.keys)
		}
	}
	for args, want := range map[string]string{
		"dead-letters list":                                            "shop/3/1  malformed  -         A-17",
		"dead-letters show 1/0":                                        "key         \"A-17\"",
		"tail dead-letters -o table":                                   "1/0         -                     malformed                 A-17",
		"tail dead-letters --customer ann":                             `"customer_id":"ann"`,
		"dead-letters redrive --key A-17 --dry-run --reason malformed": "1 would be sent again",
	} {
		out, errs, code := lull(t, append(strings.Fields(args), "--brokers", broker)...)
		if code != 0 || !strings.Contains(out+errs, want) || strings.Contains(out, "customer    A-17") {
			t.Errorf("%s: exit code %d, no %q in\n%s%s", args, code, want, out, errs)
		}
	}
	if out, _, _ := lull(t, "tail", "dead-letters", "--customer", "A-17", "--brokers", broker); out != "" {
		t.Errorf("letters of a customer A-17: %s", out)
	}
}

// show says of a letter that is as it was what can help, and proposes no redrive where the record would be refused again.
func TestLettersShowWhatHelps(t *testing.T) {
	broker := newApplication(t)
	refuse(t, broker, time.Now(), refusedRecord("late", 1), refusedRecord("session_limit", 2), refusedRecord("malformed", 3), refusedRecord("unknown_currency", 4))
	for place, want := range map[string]string{
		"1/0": "not sent again, nor would it help: the watermark does not go back, so that it would be late again. It counts once the input is read anew with a larger clock.lateness (docs/operating/changing-settings.md)",
		"1/1": "not sent again, nor need it be: the limit shapes the state, so that with a larger one the input is read anew, this record with it (docs/operating/changing-settings.md)",
		"1/2": "not sent again: as it is it would be refused again, so let its producer send the event once more, mended, under the same message id. After a change of the format or the mapping `lull dead-letters redrive 1/2` does",
		"1/3": "not sent again yet: when what refused it is mended, `lull dead-letters redrive 1/3` does",
	} {
		if out, errs, code := lull(t, "dead-letters", "show", place, "--brokers", broker); code != 0 || !strings.Contains(out, "redrive     "+want+"\n") {
			t.Errorf("%s: exit code %d, no %q in\n%s%s", place, code, want, out, errs)
		}
	}
}

// A record that the pipeline refused and that was sent again, by redrive and once more by hand, counts once: an order without an id of its own too.
func TestRedriveIsApplied(t *testing.T) {
	broker := newApplication(t)
	var values [][]byte
	for range 2 {
		value, err := schemas.EncodeEvent(nil, &operators.Event{
			Kind: operators.OrderCompleted, Customer: "ann", Time: 883_908_000_000, Amount: 1250, Name: strings.Repeat("long ", 20),
		}, "USD")
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	client := producer(t, broker, kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	for _, value := range values {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "shop", Key: []byte("ann"), Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	run := func(nameBytes string, until func(api string) bool) {
		t.Helper()
		api, err := freeAddress()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan int)
		var errs bytes.Buffer
		go func() {
			root := newRoot()
			root.SetErr(&errs)
			done <- execute(ctx, root, []string{"run", "--brokers", broker, "--input-topic", "shop", "--instance", "one", "--state-dir", dir, "--http-listen", api,
				"--clock-mode", "event", "--limits-name-bytes", nameBytes, "--log-level", "error", "--fit-mode", "off"})
		}()
		deadline := time.After(30 * time.Second)
		for tick := time.NewTicker(20 * time.Millisecond); !until(api); {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatal("what was waited for did not come")
			}
		}
		cancel()
		if code := <-done; code != 0 {
			t.Fatalf("exit code %d: %s", code, errs.String())
		}
	}
	letters := func() int {
		var list letterList
		out, _, _ := lull(t, "dead-letters", "list", "--json", "--brokers", broker)
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatal(err)
		}
		return int(list.Records)
	}
	run("10", func(string) bool { return letters() == 2 })
	// Refused again: its letter is recognised.
	if _, errs, code := lull(t, "dead-letters", "redrive", "--all", "--brokers", broker); code != 0 || !strings.Contains(errs, "2 sent again") {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	run("10", func(string) bool { return letters() == 4 })
	if _, errs, code := lull(t, "dead-letters", "redrive", "--all", "--brokers", broker); code != 0 || !strings.Contains(errs, "2 left out, which were sent again before and refused again") {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	if _, errs, code := lull(t, "dead-letters", "redrive", "--all", "--again", "--brokers", broker); code != 0 || !strings.Contains(errs, "2 sent again") {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	// By hand, past all that is noted.
	all := recordsOf(t, broker, "shop")
	last := all[len(all)-1]
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "shop", Key: last.Key, Value: last.Value, Headers: last.Headers}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	var card struct {
		Facts struct {
			Orders        int
			RealizedValue float64 `json:"realized_value"`
		}
	}
	run("512", func(api string) bool {
		response, err := http.Get("http://" + api + "/v1/customers/ann")
		if err != nil {
			return false
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK || json.NewDecoder(response.Body).Decode(&card) != nil {
			return false
		}
		return lagging(t, api) == 0
	})
	if card.Facts.Orders != 2 || letters() != 4 {
		t.Errorf("card %+v, %d letters; want 2 orders, 4 letters", card, letters())
	}
}

// lagging returns how many records the pipeline at api has still to read.
func lagging(t *testing.T, api string) int {
	t.Helper()
	response, err := http.Get("http://" + api + "/metrics")
	if err != nil {
		return -1
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		return -1
	}
	lag, seen := 0, 0
	for line := range strings.SplitSeq(text.String(), "\n") {
		if strings.HasPrefix(line, "lull_input_lag_records{") {
			var of int
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &of); err == nil {
				lag, seen = lag+of, seen+1
			}
		}
	}
	if seen == 0 {
		return -1
	}
	return lag
}
