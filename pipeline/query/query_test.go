package query

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lull/operators"
	"lull/operators/bgnbd"
	"lull/operators/clv"
	"lull/operators/gammagamma"
	"lull/operators/optest"
	"lull/operators/score"
	"lull/schemas"
)

// shelf is the committed states of a process that owns all customers; a customer who is not on it is not known.
type shelf map[string]View

func (s shelf) View(customer string, _ Want) (View, error) { return s[customer], nil }

func (shelf) Await(context.Context, string, InputRecord) error { return nil }

// Holdings is partition 0 alone, as far as the first customer's view says.
func (s shelf) Holdings() (Holdings, error) {
	held := Holdings{Total: 1, Held: []Holding{{Watermark: operators.Unset}}, Model: func(ref uint32) *operators.Model {
		if ref != model.Ref() {
			return nil
		}
		return &model
	}}
	for _, view := range s {
		held.Held[0].Position, held.Held[0].Watermark = view.Position, view.Watermark
	}
	return held, nil
}

func (s shelf) Scan(_ int32, from string, yield func(customer string, state []byte) bool) error {
	for _, id := range slices.Sorted(maps.Keys(s)) {
		if id >= from && !yield(id, s[id].State) {
			break
		}
	}
	return nil
}

// failing answers every question with an error.
type failing struct{ err error }

func (f failing) View(string, Want) (View, error) { return View{}, f.err }

func (f failing) Await(context.Context, string, InputRecord) error { return f.err }

func (f failing) Holdings() (Holdings, error) { return Holdings{}, f.err }

func (f failing) Scan(int32, string, func(string, []byte) bool) error { return f.err }

func config() clv.Config {
	var c clv.Config
	c.EnsureDefaults()
	return c
}

// options are those of a process that is alone, and in no hurry.
func options() Options {
	return Options{Chain: config(), Day: schemas.DayStarts(time.UTC), Zone: time.UTC, Timeout: time.Minute, Rate: 1_000_000}
}

// model is that of the literature for CDNOW (Fader, Hardie & Lee 2005; Fader & Hardie 2013), in days, with a cut that nobody falls under.
var model = operators.Model{
	Version: "cdnow", Family: "mbgnbd", R: 0.525, Alpha: 7 * 6.183, A: 0.891, B: 1.614, P: 6.25, Q: 3.74, V: 15.44, HighValue: 1e-9,
}

// stateOf returns the encoded state of a customer to whom this script has happened (see optest), by the product's chain.
func stateOf(t *testing.T, m *operators.Model, script string) []byte {
	t.Helper()
	r := optest.NewRunner()
	r.Chain = clv.NewChain(config())
	r.Env.Model = m
	if _, err := r.Script(script); err != nil {
		t.Fatal(err)
	}
	return r.Customer.AppendState(nil)
}

func instant(t *testing.T, s string) operators.EventTime {
	t.Helper()
	at, err := optest.ParseTime(s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// path is a customer's path, every byte of the id percent-encoded.
func path(id string) string {
	p := "/v1/customers/"
	for i := range len(id) {
		p += fmt.Sprintf("%%%02X", id[i])
	}
	return p
}

// get asks for a path.
func get(states States, path string) (status int, body string) {
	w := httptest.NewRecorder()
	Handler(states, options()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return w.Code, w.Body.String()
}

// getCard asks for a customer who is known.
func getCard(t *testing.T, view View) (card Card, body string) {
	t.Helper()
	status, body := get(shelf{"c": view}, path("c"))
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&card); err != nil {
		t.Fatalf("%s\n%s", err, body)
	}
	return card, body
}

// buyer buys on three days, on the first of them twice, and gets a part of it back; then a page is viewed, and then there is silence.
const buyer = `
1998-01-04T10:00 order_completed order=o1 amount=20
1998-01-04T18:00 order_completed order=o2 amount=7
1998-01-05T12:00 order_refunded order=o2 refund=r amount=2
1998-01-23T09:00 order_completed order=o3 amount=30
1998-02-11T09:00 order_completed order=o4 amount=10
1998-02-20T20:00 page name=home`

// TestCard compares a card with what a person reads from the script, and with the formulas of the models at the age of 109 days: 4 January to 23
// April.
func TestCard(t *testing.T) {
	const x, lastAge, age, contactDays, horizonDays = 2, 38, 109, 30, 12 * 30.4375
	view := View{
		State: stateOf(t, &model, buyer), Model: &model, Partition: 5, Position: 1234,
		Watermark: instant(t, "1998-04-23"),
	}
	card, body := getCard(t, view)
	if card.CustomerID != "c" || card.AsOf != "1998-04-23T00:00:00.000Z" || card.Watermark != "1998-04-23T00:00:00.000Z" ||
		card.Partition != 5 || card.Position != 1234 || card.Currency != "USD" {
		t.Errorf("whose card, of when and from where: %s", body)
	}
	if want := (CardFacts{
		Purchases: 3, Orders: 4, FirstPurchase: "1998-01-04", LastPurchase: "1998-02-11", Repeats: x, LastAge: lastAge, Age: age,
		Silence:       age - lastAge,
		RealizedValue: 20 + 5 + 30 + 10, OpenSessions: 1,
	}); card.Facts != want {
		t.Errorf("facts %+v, want %+v", card.Facts, want)
	}
	if card.Segment != "advocate" || card.Since != "1998-01-04T10:00:00.000Z" {
		t.Errorf("segment %s since %s", card.Segment, card.Since)
	}
	if len(card.Reasons) != 3 || card.Reasons[0] != "orders every 19 days, silent for 71 days" {
		t.Fatalf("reasons %q", card.Reasons)
	}

	params := bgnbd.Params{R: model.R, Alpha: model.Alpha, A: model.A, B: model.B}
	odds := model.A / (model.B + x) * math.Pow((model.Alpha+age)/(model.Alpha+lastAge), model.R+x)
	alive := 1 / (1 + odds)
	spend := gammagamma.Params{P: model.P, Q: model.Q, V: model.V}.Mean(x, 40)
	ifAlive := spend * params.DiscountedIfAlive(bgnbd.History{X: x, TX: lastAge, T: age}, 12, 30.4375, 0.01)
	later := bgnbd.History{X: x, TX: lastAge, T: age + contactDays}
	if want := fmt.Sprintf("churn risk %.2f: low until it reaches 0.70", 1-alive); card.Reasons[2] != want {
		t.Errorf("reason %q, want %q", card.Reasons[2], want)
	}
	s := card.Score
	if s == nil || s.Model != "cdnow" || s.HorizonMonths != 12 || s.HorizonDays != horizonDays || s.ContactDays != contactDays || s.DiscountMonthly != 0.01 {
		t.Fatalf("what the score is: %s", body)
	}
	for _, v := range []struct {
		name      string
		got, want float64
	}{
		{"p_alive", s.PAlive, alive},
		{"churn_risk", s.ChurnRisk, 1 - alive},
		{"buys_again", s.BuysAgain, alive * (1 - math.Pow((model.Alpha+age)/(model.Alpha+age+contactDays), model.R+x))},
		{"expected_purchases", s.ExpectedPurchases, params.Expected(bgnbd.History{X: x, TX: lastAge, T: age}, horizonDays)},
		{"expected_spend", s.ExpectedSpend, spend},
		{"clv", s.CLV, alive * ifAlive},
		{"value_at_risk", s.ValueAtRisk, (1 - alive) * ifAlive},
		{"value_about_to_be_lost", s.AboutToBeLost, alive*ifAlive - params.PAlive(later)*spend*params.DiscountedIfAlive(later, 12, 30.4375, 0.01)},
	} {
		if math.Abs(v.got-v.want) > 1e-9*math.Abs(v.want) {
			t.Errorf("%s is %v, want %v", v.name, v.got, v.want)
		}
	}

	// The next of the levels 0.9, 0.8 … 0.1 that P(alive) falls to, its age in closed form.
	level := math.Floor(alive*10) / 10
	days := (model.Alpha+lastAge)*math.Pow((model.B+x)/model.A*(1/level-1), 1/(model.R+x)) - model.Alpha
	at := instant(t, "1998-01-04") + operators.EventTime(math.Ceil(days*operators.DayMs))
	want := CardDeadline{At: at.String(), What: fmt.Sprintf("churn risk reaches %.2f", 1-level)}
	if card.Deadline == nil || *card.Deadline != want {
		t.Errorf("next deadline %+v, want %+v at P(alive) %v", card.Deadline, want, alive)
	}
	view.Watermark = at
	if then, _ := getCard(t, view); math.Abs(then.Score.PAlive-level) > 1e-9 || then.Deadline.At <= card.Deadline.At {
		t.Errorf("at the deadline P(alive) is %v, want %v; the next is at %s", then.Score.PAlive, level, then.Deadline.At)
	}
}

// TestNextChange: the first deadline that matters is where the operators say so, after others that only move numbers, and what happens there is what they put
// out. A customer whom silence can change no more has none.
func TestNextChange(t *testing.T) {
	falls := model
	falls.HighValue = 40 // over CLV long before risk is high
	for _, c := range []struct {
		name, what string
		model      *operators.Model
		segment    string // then
	}{
		{"risk", "churn risk reaches 0.70: segment save (was advocate), lifecycle at_risk (was active), trigger churn_risk, trigger high_value_at_risk", &model, "save"},
		{"value", "CLV falls under 32.00 USD, where high value ends: segment nurture (was advocate)", &falls, "nurture"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// The date of the expected purchase has passed, of which a rule has told.
			since := buyer + "\nwatermark 1998-03-10"
			state := stateOf(t, c.model, since)
			card, _ := getCard(t, View{State: state, Model: c.model, Watermark: instant(t, "1998-03-10")})
			if card.Change == nil || card.Change.What != c.what || card.Deadline.At >= card.Change.At {
				t.Fatalf("change %+v after %+v, want %q", card.Change, card.Deadline, c.what)
			}
			// What the pipeline does in that silence.
			r := optest.NewRunner()
			r.Chain = clv.NewChain(config())
			r.Env.Model = c.model
			if _, err := r.Script(since); err != nil {
				t.Fatal(err)
			}
			until, told := instant(t, card.Change.At), len(r.Outputs)
			r.Advance(until - 1)
			for _, o := range r.Outputs[told:] {
				if o.Kind == operators.SegmentOutput || o.Kind == operators.TriggerOutput {
					t.Errorf("%s at %s, before the change that the card tells", o.Kind, o.Time)
				}
			}
			r.Advance(until)
			if got := r.Customer.Segment; got.Quadrant.String() != c.segment || got.Since != until {
				t.Errorf("segment %s since %s, want %s since %s", got.Quadrant, got.Since, c.segment, until)
			}
		})
	}
	card, body := getCard(t, View{State: stateOf(t, &model, buyer), Model: &model, Watermark: instant(t, "2150-01-01")})
	if card.Change != nil || !strings.Contains(body, `"next_change": null`) {
		t.Errorf("nothing is to come: %s", body)
	}
}

// TestCardWithoutModel: the facts are there before a model is, what only a model can say is null, not zero, and the reasons say why.
func TestCardWithoutModel(t *testing.T) {
	card, body := getCard(t, View{State: stateOf(t, nil, buyer), Watermark: instant(t, "1998-04-23")})
	if card.Facts.Purchases != 3 || card.Facts.Age != 109 || card.Segment != "none" {
		t.Errorf("facts: %s", body)
	}
	for _, want := range []string{`"score": null`, `"next_deadline": null`, `"not scored: no model is in force in this customer's partition yet"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if _, body := getCard(t, View{State: stateOf(t, nil, buyer), HasModel: true}); !strings.Contains(body, `"not scored: the sweep to the model in force has not come`) {
		t.Errorf("no reason in %s", body)
	}
	if strings.Contains(body, "segment_since") {
		t.Errorf("a segment that never began has a beginning: %s", body)
	}
}

// TestCardWithoutPurchase: a visitor, and a buyer whose only order was cancelled, have a card without score, with a model too.
func TestCardWithoutPurchase(t *testing.T) {
	for name, script := range map[string]string{
		"visitor":   "1998-01-04T10:00 page name=home",
		"cancelled": "1998-01-04T10:00 order_completed order=o1 amount=20\n1998-01-04T10:01 order_cancelled order=o1",
	} {
		t.Run(name, func(t *testing.T) {
			card, body := getCard(t, View{State: stateOf(t, &model, script), Model: &model, Watermark: instant(t, "1998-01-05")})
			if card.Facts != (CardFacts{OpenSessions: 1}) || card.Score != nil || card.Deadline != nil || card.Segment != "none" {
				t.Errorf("card: %s", body)
			}
		})
	}
}

// TestAsOf: a card is never of an instant before one that the customer has been computed at, and its ages hold together on the morning after
// clocks have gone forward.
func TestAsOf(t *testing.T) {
	state := stateOf(t, &model, buyer)
	card, _ := getCard(t, View{State: state, Model: &model, Watermark: operators.Unset})
	if card.AsOf != "1998-02-20T20:00:00.000Z" || card.Watermark != "unset" {
		t.Errorf("as of %s, the watermark %s", card.AsOf, card.Watermark)
	}

	c := operators.NewCustomer("c")
	first := operators.EventTime(10_000 * operators.DayMs)
	c.Purchases = operators.Purchases{Count: 2, First: 10_000, FirstStart: first, Last: 10_100, Net: 2000, FirstNet: 1000, Orders: 2}
	c.At = first + 100*operators.DayMs - 3_600_000 // 00:00 of the last day, in summer time
	card, body := getCard(t, View{State: c.AppendState(nil), Model: &model})
	if card.Facts.LastAge != 100 || card.Facts.Age != 100 {
		t.Errorf("t_x and T on the morning of the purchase: %s", body)
	}
}

// TestRefusals: who gets no card is told why, in JSON, with a status that tells an unknown customer from one who is somewhere else and from a
// process that cannot tell.
func TestRefusals(t *testing.T) {
	known := View{State: stateOf(t, &model, buyer), Model: &model, Watermark: instant(t, "1998-04-23")}
	absurd := model
	absurd.V = 1e308 // valid, but the mean spend is beyond float64
	infinite := known
	infinite.Model = &absurd
	states := shelf{"c": known, "broken": {State: known.State[:20]}, "newer": {State: append([]byte{99}, known.State[1:]...)}, "rich": infinite}
	for _, refused := range []struct {
		name   string
		states States
		path   string
		status int
		why    string
	}{
		{"unknown customer", states, path("nobody"), 404, `customer "nobody" is not known`},
		{"unknown, long id", states, path(strings.Repeat("x", 5000)), 404, "is not known"},
		{"id that is not UTF-8", states, path("a\xff"), 400, "UTF-8"},
		{"no id", states, "/v1/customers/", 404, "GET /v1/openapi.json tells which there are"},
		{"a folder below a customer", states, path("c") + "/orders", 404, "GET /v1/openapi.json tells which there are"},
		{"another resource", states, "/v1/models", 404, "GET /v1/openapi.json tells which there are"},
		{"partition elsewhere", failing{&NotOwnedError{Partitions: []int32{3}, Why: "is not assigned to this process"}}, path("c"), 421, "partition 3 is not assigned to this process"},
		{"partition elsewhere, wrapped", failing{fmt.Errorf("looking: %w", &NotOwnedError{Partitions: []int32{3}, Why: "is restoring"})}, path("c"), 421, "partition 3 is restoring"},
		{"process that starts", failing{errors.New("the process is starting")}, path("c"), 503, "the process is starting"},
		{"state cut off", states, path("broken"), 500, `customer "broken"`},
		{"state of a newer program", states, path("newer"), 500, "version 99"},
		{"values without a number", states, path("rich"), 500, "writing the answer"},
	} {
		t.Run(refused.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			Handler(refused.states, options()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, refused.path, http.NoBody))
			var body map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatalf("%s: %s", err, w.Body)
			}
			if w.Code != refused.status || len(body) != 1 || !strings.Contains(body["error"], refused.why) {
				t.Errorf("status %d, %q; want %d, %q", w.Code, body, refused.status, refused.why)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("content type %q", got)
			}
		})
	}
}

// TestRisingCeases: the card of a customer who is rising tells the very instant at which silence ends it.
func TestRisingCeases(t *testing.T) {
	m := model
	m.R, m.Alpha, m.A, m.B, m.HighValue = 1.5, 20, 0.1, 4, 100
	view := View{Model: &m, State: stateOf(t, &m, `
1998-01-04T10:00 order_completed order=o1 amount=20
1998-01-09T10:00 order_completed order=o2 amount=12
1998-01-13T10:00 order_completed order=o3 amount=30
1998-01-14T10:00 order_completed order=o4 amount=5
watermark 1998-01-19`), Watermark: instant(t, "1998-01-19")}
	armed := operators.NewCustomer("c")
	if err := armed.DecodeState(view.State); err != nil || !armed.Segment.Rising {
		t.Fatalf("%+v, %v", armed.Segment, err)
	}
	card, body := getCard(t, view)
	if !card.Rising || card.Change == nil || card.Change.What != "time passes: rising none (was rising)" || instant(t, card.Change.At) < armed.RisingDeadline() {
		t.Fatalf("armed at %s: %s", armed.RisingDeadline(), body)
	}
	op, at := score.New(config().Score), instant(t, card.Change.At)
	if before, after := op.ValueRange(&armed.Purchases, &m, nil, at-1000).Low, op.ValueRange(&armed.Purchases, &m, nil, at+1000).Low; before <= 100 || after > 100 {
		t.Errorf("the 10 %% point is %v a second before %s, and %v a second after", before, card.Change.At, after)
	}
}

// TestQuality: the card counts what was wrong with the customer's records, and weighs it against their orders, also of who has not bought; of who has no fault it says so.
func TestQuality(t *testing.T) {
	for name, of := range map[string]struct {
		script string
		faults operators.Faults
		want   CardQuality
	}{
		"a buyer":           {buyer, operators.Faults{operators.Duplicate: 2, operators.LateEvent: 1, operators.MissingField: 2}, CardQuality{Score: 0.5, Duplicate: 2, Late: 1, MissingField: 2}},
		"a visitor":         {"1998-01-04T10:00 page name=home", operators.Faults{operators.Invalid: 1, operators.UnknownCurrency: 1, operators.ClockSkewed: 1}, CardQuality{Score: 0.25, Invalid: 1, UnknownCurrency: 1, ClockSkewed: 1}},
		"nothing was amiss": {buyer, operators.Faults{}, CardQuality{Score: 1}},
	} {
		c := operators.NewCustomer("c")
		if err := c.DecodeState(stateOf(t, &model, of.script)); err != nil {
			t.Fatal(err)
		}
		c.Faults = of.faults
		if card, body := getCard(t, View{State: c.AppendState(nil), Model: &model}); card.Quality != of.want {
			t.Errorf("%s: %s", name, body)
		}
	}
}

// TestConsents: the card tells what holds of each purpose, with or without a purchase; without a statement it is an empty list.
func TestConsents(t *testing.T) {
	const stated = `
1998-02-20T10:00 consent_given subject=email proof="form 12"
1998-02-21T10:00 consent_given subject=phone
1998-02-22T10:00 consent_withdrawn subject=phone`
	want := []CardConsent{
		{Purpose: "email", Given: true, Since: "1998-02-20T10:00:00.000Z", Event: "m1", Proof: "form 12"},
		{Purpose: "phone", Since: "1998-02-22T10:00:00.000Z", Event: "m3"},
	}
	for name, script := range map[string]string{"no purchase": stated, "a purchase": stated + "\n1998-02-23T10:00 order_completed order=o1 amount=20"} {
		card, body := getCard(t, View{State: stateOf(t, &model, script), Model: &model})
		if !slices.Equal(card.Consents, want) {
			t.Errorf("%s: %s", name, body)
		}
	}
	if _, body := getCard(t, View{State: stateOf(t, &model, buyer), Model: &model}); !strings.Contains(body, `"consents": []`) {
		t.Errorf("nothing stated: %s", body)
	}
}

// TestIDs: whatever an id consists of, percent-encoded it arrives as it is, and is legible in the answer.
func TestIDs(t *testing.T) {
	view := View{State: stateOf(t, nil, buyer)}
	for _, id := range []string{"00042", "a/b", "a//b", "..", ".", "a b+c", "50%", "?x=1#y", "müller", "客户", `"quoted"`, "a\nb", "<a> & b", strings.Repeat("x", 256)} {
		status, body := get(shelf{id: view}, path(id))
		var card Card
		if err := json.Unmarshal([]byte(body), &card); err != nil || status != http.StatusOK || card.CustomerID != id || strings.Contains(body, `\u`) {
			t.Errorf("id %q: status %d, %v: %s", id, status, err, body)
		}
	}
}

// TestNothingIsLogged: neither the API nor the server under it writes anything about customers, found or not; answers to many at once are the same as
// to one.
func TestNothingIsLogged(t *testing.T) {
	var byUs, byServer bytes.Buffer
	defer log.SetOutput(log.Writer())
	log.SetOutput(&byUs)
	view := View{State: stateOf(t, &model, buyer), Model: &model, Watermark: instant(t, "1998-04-23")}
	absurd := model
	absurd.V = 1e308
	states := shelf{"ann@example.org": view, "broken": {State: view.State[:20]}, "rich": {State: view.State, Model: &absurd}}
	server := httptest.NewUnstartedServer(Handler(states, options()))
	server.Config.ErrorLog = log.New(&byServer, "", 0)
	server.Start()
	_, want := get(states, path("ann@example.org"))
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for _, id := range []string{"ann@example.org", "broken", "rich", "nobody", "a\xff", "", "../x"} {
				response, err := http.Get(server.URL + path(id))
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(response.Body)
				if err = errors.Join(err, response.Body.Close()); err != nil {
					t.Error(err)
				}
				if id == "ann@example.org" && string(body) != want {
					t.Errorf("card %s, want %s", body, want)
				}
			}
		})
	}
	clients.Wait()
	server.Close()
	if byUs.Len()+byServer.Len() > 0 {
		t.Errorf("logged: %s%s", &byUs, &byServer)
	}
}
