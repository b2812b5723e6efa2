package main

import (
	"bufio"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

// asKafka returns a record at partition 3, offset 17, of 1998-06-01.
func asKafka(rec *schemas.Record) *kgo.Record {
	r := &kgo.Record{Partition: 3, Offset: 17, Timestamp: time.UnixMilli(896_659_200_000), Key: rec.Key, Value: rec.Value}
	for _, h := range rec.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

// texts returns the records as they are told to a person.
func texts(t *testing.T, topic string, records ...*kgo.Record) string {
	t.Helper()
	tail := newTail(pipeline.DefaultSettings(), topic)
	tail.output = "text"
	var out strings.Builder
	for _, r := range records {
		if err := tail.print(&out, r); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func checkText(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); got != want {
		t.Errorf("it tells\n%s\nwant\n%s", got, want)
	}
}

// What lull tells is told to a person as a line with what matters, the numbers and reasons below it, and last what can be copied.
func TestTailTextOfOutputs(t *testing.T) {
	const at = operators.EventTime(866_340_140_349) // 1997-06-15T02:02:20.349Z
	facts := operators.Facts{AsOf: at, X: 3, PAlive: 0.3, CLV: 53.04, AboutToBeLost: 19.55, HighValue: true}
	calls := operators.Trigger{
		Rule: "high_value_at_risk", From: "no", To: "yes", Deadline: at, Actionable: true, Facts: facts, Severity: "escalation", Action: "call", Priority: facts.AboutToBeLost,
		Ceiling: operators.OfferCeiling{Ceiling: 390}, Reasons: []string{"orders every 19 days, silent for 104 days", "of high value: CLV 53.04 USD, at least the cut of 34.88 USD"},
		Counterfactuals: []string{"an order now: churn risk 0.70 -> 0.14", "silent until 1997-08-12 20:48 UTC: churn risk 0.85"},
	}
	withheld := calls
	withheld.Actionable, withheld.Withheld, withheld.Control, withheld.Reasons, withheld.Counterfactuals = false, "control", true, nil, nil
	withheld.Priority, withheld.Purpose, withheld.Consent = 7.5, "email", "form 12"
	bare := operators.Trigger{Rule: "quiet", From: "no", To: "yes", Deadline: at, Actionable: true, Severity: "marketing", Purpose: "sms"}
	withdrawal := operators.Trigger{
		Rule: "churn_risk", From: "high_risk", To: "low_risk", Deadline: at - operators.DayMs, Withheld: "withdrawal", Withdraws: operators.NewID("first"), Facts: facts, Severity: "marketing", Action: "win_back",
		Reasons: []string{"an order\nof 1997-06-13 has come late"},
	}
	session := operators.Session{Start: at - 1_530_500, End: at, FirstPage: "home", LastPage: "café", Cart: 2}
	session.Counts[operators.PageViewed], session.Counts[operators.Tracked] = 7, 2
	encoder, err := schemas.NewEncoder(schemas.EncoderConfig{HorizonDays: 365, ContactDays: 30, Margin: 1})
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/triggers.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		topic string
		of    operators.Output
		want  string
	}{
		{"triggers", operators.Output{Kind: operators.TriggerOutput, Model: "m", Trigger: &calls}, `
1997-06-15T02:02:20.349Z  customer 4711  high_value_at_risk: call (escalation)
    churn risk 0.70, CLV 53.04 USD, value about to be lost 19.55 USD, offer ceiling 3.90 USD
    orders every 19 days, silent for 104 days
    of high value: CLV 53.04 USD, at least the cut of 34.88 USD
    an order now: churn risk 0.70 -> 0.14
    silent until 1997-08-12 20:48 UTC: churn risk 0.85
`},
		{"triggers", operators.Output{Kind: operators.TriggerOutput, Model: "m", Trigger: &withheld}, `
1997-06-15T02:02:20.349Z  customer 4711  high_value_at_risk: do not act: control (call, escalation)
    churn risk 0.70, CLV 53.04 USD, value about to be lost 19.55 USD, offer ceiling 3.90 USD, priority 7.5
    consent to email: form 12
`},
		{"triggers", operators.Output{Kind: operators.TriggerOutput, Trigger: &bare}, `
1997-06-15T02:02:20.349Z  customer 4711  quiet: act (marketing)
    offer ceiling 0.00 USD
    consent to sms: -
`},
		{"triggers", operators.Output{Kind: operators.TriggerOutput, Model: "m", Trigger: &withdrawal}, `
1997-06-15T02:02:20.349Z  customer 4711  withdraws churn_risk of 1997-06-14T02:02:20.349Z
    churn risk 0.70, CLV 53.04 USD, value about to be lost 19.55 USD
    an order�of 1997-06-13 has come late
`},
		{"scores", operators.Output{Kind: operators.ScoreOutput, Model: "m", Score: &operators.ScoreRow{
			Facts: facts, NextDeadline: at + operators.DayMs, Purchases: operators.Purchases{Count: 4, First: 9865, Last: 9923, Net: 17_450, Orders: 4},
		}}, `
1997-06-15T02:02:20.349Z  customer 4711  score: purchases 4, the last on 1997-03-03, P(alive) 0.300, CLV 53.04 USD, value about to be lost 19.55 USD, next 1997-06-16T02:02:20.349Z
`},
		{"segments", operators.Output{Kind: operators.SegmentOutput, Model: "m", Segment: &operators.SegmentChange{
			Dimension: operators.QuadrantDimension, From: "advocate", To: "save", Facts: facts, Reasons: calls.Reasons,
		}}, `
1997-06-15T02:02:20.349Z  customer 4711  quadrant: advocate -> save
    churn risk 0.70, CLV 53.04 USD, value about to be lost 19.55 USD
    orders every 19 days, silent for 104 days
    of high value: CLV 53.04 USD, at least the cut of 34.88 USD
`},
		{"sessions", operators.Output{Kind: operators.SessionOutput, Session: &session}, `
1997-06-15T02:02:20.349Z  customer 4711  session of 25m30.5s: events 9 (page 7, track 2), orders 0, cart 2, left
    first page home, last page café
`},
		{"offers", operators.Output{Kind: operators.OfferOutput, Model: "m", Offer: &operators.OfferAnswer{
			OfferID: "voucher-5", Amount: 500, Reason: operators.OfferAboveCeiling, Purpose: "email", ConsentKnown: true, Consent: operators.Consent{Purpose: "email", Given: true, Time: at},
			Ceiling: operators.OfferCeiling{Ceiling: 390}, Facts: facts, Reasons: []string{"5.00 USD is above 3.90 USD"},
		}}, `
1997-06-15T02:02:20.349Z  customer 4711  offer voucher-5 of 5.00 USD: rejected, above_ceiling
    offer ceiling 3.90 USD, consent to email given
    5.00 USD is above 3.90 USD
`},
	} {
		c.of.ID, c.of.Customer, c.of.Time, c.of.Cause = operators.NewID("it"), "4711", at, operators.Cause{Kind: operators.DeadlineInput, Deadline: at}
		var rec schemas.Record
		if err := encoder.EncodeOutput(&c.of, &rec); err != nil {
			t.Fatal(err)
		}
		ids := "    place 3/17  ce_id " + operators.NewID("it").String()
		if c.of.Kind == operators.TriggerOutput && c.of.Trigger.Withdraws != (operators.ID{}) {
			ids += "  withdraws " + operators.NewID("first").String()
		}
		got := texts(t, c.topic, asKafka(&rec))
		checkText(t, got, c.want+ids+"\n")
		if i == 0 && !strings.Contains(string(page), "```\n"+got+"```\n") {
			t.Errorf("docs/triggers.md does not show\n%s", got)
		}
	}
}

// Of an event everything that it says is told, of what has no words of its own every field, and of what is none of its topic why.
func TestTailTextOfOthers(t *testing.T) {
	completed, err := schemas.EncodeEvent(nil, &operators.Event{Kind: operators.OrderCompleted, ID: "m-1", Customer: "ann", Time: 883_919_220_123, OrderID: "o-1", Amount: 1250, Quantity: 3}, "USD")
	if err != nil {
		t.Fatal(err)
	}
	identify, err := schemas.EncodeEvent(nil, &operators.Event{Kind: operators.Identified, Customer: "ann", Time: 883_919_220_123}, "USD")
	if err != nil {
		t.Fatal(err)
	}
	checkText(t, texts(t, "shop", asKafka(&schemas.Record{Key: []byte("ann"), Value: completed}), asKafka(&schemas.Record{Key: []byte("ann"), Value: identify}),
		asKafka(&schemas.Record{Key: []byte("eve")}), asKafka(&schemas.Record{Headers: []schemas.Header{{Key: schemas.TimeMarkHeader, Value: []byte("1998-02-01T00:00:00Z")}}}),
	), `
1998-01-04T13:07:00.123Z  customer ann  order_completed: order_id o-1, amount 12.50 USD, quantity 3
    place 3/17  message_id m-1
1998-01-04T13:07:00.123Z  customer ann  identify
    place 3/17
1998-06-01T00:00:00.000Z  customer eve  deletion
    place 3/17
1998-06-01T00:00:00.000Z  time mark: 1998-02-01T00:00:00Z
    place 3/17
`)
	undecodable := texts(t, "shop", asKafka(&schemas.Record{Key: []byte("eve"), Value: []byte("{}")}))
	if !strings.HasPrefix(undecodable, "1998-06-01T00:00:00.000Z  customer eve  cannot be decoded: decoding a record of events: ") || !strings.HasSuffix(undecodable, "\n    {}\n    place 3/17\n") {
		t.Errorf("what cannot be decoded is told as\n%s", undecodable)
	}

	encoder, err := schemas.NewEncoder(schemas.EncoderConfig{HorizonDays: 365, ContactDays: 30, Margin: 1})
	if err != nil {
		t.Fatal(err)
	}
	var rec schemas.Record
	if err := encoder.EncodeDeadLetter(&schemas.DeadLetter{
		Rejection: operators.Rejection{Reason: schemas.ReasonTruncated, Detail: "the value ends: mend it"},
		Source:    &schemas.Source{Topic: "shop", Partition: 3, Offset: 42, AppendTime: 883_908_000_000, Key: []byte("00042"), Value: []byte{0xff}},
	}, &rec); err != nil {
		t.Fatal(err)
	}
	letter := asKafka(&rec)
	checkText(t, texts(t, "dead-letters", letter), `
1998-01-04T10:00:00.000Z  dead letter: truncated
    the value ends: mend it
    record shop/3/42, key 00042
    place 3/17  ce_id `+headerOf(letter, "ce_id")+"\n")

	key, value, err := schemas.EncodeFit(&schemas.Fit{Cause: schemas.FitOnDemand, Verdict: &schemas.Verdict{Request: 12, Reasons: []string{"18 customers are too few", "ask again"}}})
	if err != nil {
		t.Fatal(err)
	}
	checkText(t, texts(t, "fits", asKafka(&schemas.Record{Key: key, Value: value})), `
1998-06-01T00:00:00.000Z  key verdict  demand
    cause: demand
    verdict.request: 12
    verdict.adopted: false
    verdict.reasons: 18 customers are too few; ask again
    place 3/17
`)

	order := operators.Order{ID: "o-1", Completed: true, Time: 883_919_220_123, Day: 10_230, Amount: 1250, AmountTime: 883_919_220_123}
	change := &schemas.Record{Key: []byte("p\x03annoo-1"), Value: operators.AppendOrder(nil, &order)}
	if got, want := texts(t, "changelog", asKafka(change)), "1998-01-04T13:07:00.123Z  customer ann  part\n    key.kind: part\n    key.customer_id: ann\n    key.name: oo-1\n    value."; !strings.HasPrefix(got, want) ||
		!strings.Contains(got, "\n    value.order_id: o-1\n") {
		t.Errorf("a change is told as\n%s", got)
	}
}

// On a terminal tail tells it to a person, elsewhere to a program; --output has its way in both.
func TestTailOutput(t *testing.T) {
	broker := newBroker(t)
	if _, errs, code := lull(t, "produce", "--brokers", broker, "--topic", "shop", "--csv", writeFile(t, "orders.csv", "customer_id,date,amount\nann,1998-01-04,1\n")); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	const json, text = `{"partition":`, "1998-01-04T00:00:00.000Z  customer ann  order_completed: "
	for output, want := range map[string]string{"": json, "--output=text": text} {
		if out, errs, code := lull(t, append([]string{"tail", "shop", "--brokers", broker}, strings.Fields(output)...)...); code != 0 || !strings.HasPrefix(out, want) {
			t.Errorf("%s: exit code %d, %s%s; want %s", output, code, out, errs, want)
		}
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there is no terminal: %v", err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	echo := bufio.NewReader(terminal) // a terminal echoes what it is told
	for _, c := range []struct{ output, want string }{{"", text}, {"--output=json", json}} {
		root := newRoot()
		root.SetOut(terminal)
		if code := execute(t.Context(), root, append([]string{"tail", "shop", "--brokers", broker}, strings.Fields(c.output)...)); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		line, err := echo.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, c.want) {
			t.Errorf("%s on a terminal: %s, %v; want %s", c.output, line, err, c.want)
		}
		if c.want == text {
			_, _ = echo.ReadString('\n') // the ids
		}
	}
}
