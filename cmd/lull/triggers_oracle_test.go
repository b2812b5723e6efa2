package main

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"
)

// shopper is a customer as the papers have them, in days, who has made some of their orders. Nothing of the program is in it.
type shopper struct {
	id            string
	first, last   float64 // days of the first and the last purchase
	x             float64 // repeat purchases
	spent, repeat float64 // of the first day, and of the days after it, in cents
}

// The model of the demo, as its sources print it (cdnow/model.yaml): Batislam et al. (2007) for purchases, Fader and Hardie (2013) for spend.
const oracleR, oracleAlpha, oracleA, oracleB, oracleP, oracleQ, oracleV, oracleCut = 0.525, 7 * 6.183, 0.891, 1.614, 6.25, 3.74, 15.44, 29.54

func (c *shopper) buy(day, cents float64) {
	switch {
	case c.last == 0:
		c.first, c.last = day, day
	case day != c.last:
		c.x++
		c.last = day
	}
	if c.x == 0 {
		c.spent += cents
	} else {
		c.repeat += cents
	}
}

// alive is P(alive) on a day with a fraction.
func (c *shopper) alive(at float64) float64 {
	return 1 / (1 + oracleA/(oracleB+c.x)*math.Pow((oracleAlpha+at-c.first)/(oracleAlpha+c.last-c.first), oracleR+c.x))
}

// expected is how many purchases the next days bring of who is alive: Fader, Hardie and Lee (2005), equation 10, with b + 1 for b, and the hypergeometric function as its series.
func (c *shopper) expected(at, days float64) float64 {
	z := days / (oracleAlpha + at - c.first + days)
	sum, term := 0.0, 1.0
	for k := 0.0; term > 1e-17*sum; k++ {
		sum += term
		term *= (oracleR + c.x + k) * (oracleB + 1 + c.x + k) / ((oracleA + oracleB + c.x + k) * (k + 1)) * z
	}
	return (oracleA + oracleB + c.x) / (oracleA - 1) * (1 - math.Pow(1-z, oracleR+c.x)*sum)
}

func (c *shopper) spend() float64 {
	return oracleP * (oracleV + c.repeat/100) / (oracleP*c.x + oracleQ - 1)
}

// ifAlive is what somebody who is alive is worth: twelve months of 30.4375 days, discounted by 1 % a month.
func (c *shopper) ifAlive(at float64) float64 {
	sum, before := 0.0, 0.0
	for month := 1.0; month <= 12; month++ {
		e := c.expected(at, month*30.4375)
		sum += (e - before) / math.Pow(1.01, month)
		before = e
	}
	return c.spend() * sum
}

func (c *shopper) clv(at float64) float64 { return c.alive(at) * c.ifAlive(at) }

// facts are those of a record on lull.triggers or lull.segments, but for those that are instants or yes and no.
func (c *shopper) facts(at float64) map[string]float64 {
	alive, clv := c.alive(at), c.clv(at)
	return map[string]float64{
		"repeat_purchases": c.x, "last_purchase_age_days": c.last - c.first, "age_days": at - c.first, "since_last_purchase_days": at - c.last,
		"p_alive": alive, "churn_risk": 1 - alive, "clv": clv, "expected_spend": c.spend(), "expected_purchases": alive * c.expected(at, 365.25),
		"buys_again":    alive * (1 - math.Pow((oracleAlpha+at-c.first)/(oracleAlpha+at-c.first+30), oracleR+c.x)),
		"value_at_risk": (1 - alive) * c.ifAlive(at), "value_about_to_be_lost": clv - c.clv(at+30),
	}
}

// purchase is a row of the log.
type purchase struct {
	day, cents float64
	event      string
}

// purchases returns the rows of the log by customer.
func purchases(t *testing.T, log []byte) map[string][]purchase {
	t.Helper()
	of := make(map[string][]purchase)
	for i, row := range csvOf(t, log)[1:] {
		day, err := time.Parse(time.DateOnly, row[1])
		if err != nil {
			t.Fatal(err)
		}
		amount, err := strconv.ParseFloat(row[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		of[row[0]] = append(of[row[0]], purchase{float64(day.Unix()) / 86_400, math.Round(100 * amount), fmt.Sprint("cdnow:", i+1)})
	}
	return of
}

// idOf is the id of a trigger put together anew.
func idOf(parts ...string) string {
	h := fnv.New128a()
	for _, part := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// underRace is set under the race detector, where everything takes ten times as long.
var underRace bool

// TestTryOracle: of the whole CDNOW log the triggers of the default rules, and the transitions, that try shows are those of an oracle that has all of a customer's orders before it, takes the
// formulas as they stand in the papers and the rules as they stand in the documents, and finds instants by bisection: none more, none less, in this order, each at its instant to the
// millisecond, with its facts, and with its id, for which the oracle counts all else that is told of the customer too.
func TestTryOracle(t *testing.T) {
	log := cdnowLog
	if testing.Short() || underRace {
		log = firstCustomers(t, 1000)
	}
	document := tryJSON(t, "--events", logFile(t, log), "--model", "cdnow/model.yaml", "--until", "1998-06-30")
	tried := make(map[string][]map[string]any) // by customer
	for _, of := range []string{"triggers", "transitions"} {
		for _, o := range document[of].([]any) {
			output := o.(map[string]any)
			customer := output["customer_id"].(string)
			tried[customer] = append(tried[customer], output)
		}
	}
	end := int64(dayNamed(t, "1998-07-01").UnixMilli())
	count := make(map[string]int)
	for customer, orders := range purchases(t, log) {
		got := tried[customer]
		slices.SortFunc(got, func(a, b map[string]any) int { return cmp.Compare(a["revision"].(float64), b["revision"].(float64)) })
		want := foretell(t, customer, orders, end)
		for i := range min(len(want), len(got)) {
			w := &want[i]
			if !w.same(t, got[i]) {
				break // what follows hangs on it
			}
			count[w.kind]++
		}
		if len(want) != len(got) {
			t.Errorf("customer %s: %d are told, want %d", customer, len(got), len(want))
		}
	}
	if count["trigger"] == 0 || count["segment"] == 0 {
		t.Error("the oracle foretells nothing")
	}
	t.Logf("%d triggers, %d transitions", count["trigger"], count["segment"])
}

// same compares what is told with what was foretold.
func (f *foretold) same(t *testing.T, got map[string]any) bool {
	t.Helper()
	instant := func(text any) int64 {
		at, err := time.Parse(time.RFC3339, text.(string))
		if err != nil {
			t.Fatal(err)
		}
		return at.UnixMilli()
	}
	at := instant(got["time"])
	what := fmt.Sprint(got["dimension"], ": ", got["from"], " -> ", got["to"])
	if f.kind == "trigger" {
		what = fmt.Sprint(got["rule"])
	}
	if at-f.at > 1 || f.at-at > 1 || what != f.what || f.kind == "trigger" && got["deadline"] != got["time"] {
		t.Errorf("customer %s: %s at %v, deadline %v; want %s at %s", f.c.id, what, got["time"], got["deadline"], f.what, time.UnixMilli(f.at).UTC())
		return false
	}
	ok := true
	wrong := func(name string, is, want any) {
		t.Errorf("customer %s, %s at %v: %s is %v, want %v", f.c.id, f.what, got["time"], name, is, want)
		ok = false
	}
	facts := got["facts"].(map[string]any)
	for name, value := range f.c.facts(float64(at) / msPerDay) {
		// A difference of two that are nearly the same has fewer digits.
		if fact := facts[name].(float64); !near(fact, value, 1e-9) && math.Abs(fact-value) > 1e-9*math.Max(1, f.c.clv(float64(at)/msPerDay)) {
			wrong(name, fact, value)
		}
	}
	if facts["as_of"] != got["time"] || facts["high_value"] != f.highValue {
		wrong("high_value", facts["high_value"], f.highValue)
	}
	if high := instant(facts["high_risk_at"]); high-f.riskyAt > 1 || f.riskyAt-high > 1 {
		wrong("high_risk_at", facts["high_risk_at"], time.UnixMilli(f.riskyAt).UTC())
	}
	if scores, _ := got["rfm"].(map[string]any); (scores != nil) != (f.scores != [3]int{}) {
		wrong("rfm", scores, f.scores)
	} else if is := fmt.Sprint([]any{scores["since_last_purchase"], scores["frequency"], scores["monetary"]}); scores != nil && is != fmt.Sprint(f.scores) {
		wrong("rfm", is, f.scores)
	}
	rule, cause, causeID := "", "2", strconv.FormatInt(at, 10)
	if f.kind == "trigger" {
		rule = f.what
	}
	if f.event != "" {
		cause, causeID = "1", f.event
	}
	if id := idOf(f.c.id, f.kind, rule, cause, causeID, strconv.Itoa(f.revision)); got["id"] != id {
		wrong("id", got["id"], fmt.Sprintf("%s, of revision %d, not %v", id, f.revision, got["revision"]))
	}
	return ok
}
