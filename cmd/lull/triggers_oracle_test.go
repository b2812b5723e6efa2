package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// oracleRules are those that the oracle knows: all defaults that do not speak of segments.
const oracleRules = `rules:
  - {name: churn_risk, when: churn_risk >= risk_high, hold: born_high_risk, until: churn_risk < risk_back}
  - {name: high_value_at_risk, when: high_value && churn_risk >= risk_high, hold: born_high_risk, until: churn_risk < risk_back}
  - {name: no_second_purchase, when: purchases == 1 && silent_days >= 60}
  - {name: expected_purchase_passed, when: purchases >= 2 && silent_days >= expected_gap_days, cooldown: 30d}
  - {name: advocate_milestone, when: purchases >= 5 && high_value && churn_risk < risk_high, until: purchases < 5}
`

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

// dies returns the day on which P(alive) has fallen to 0.3: of a silence that lasts, by bisection.
func (c *shopper) dies() float64 {
	lo, hi := c.last, c.last+100_000
	for range 100 {
		if mid := (lo + hi) / 2; c.alive(mid) > 0.3 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// facts are those of a record on lull.triggers.
func (c *shopper) facts(at float64) map[string]float64 {
	alive, clv := c.alive(at), c.clv(at)
	return map[string]float64{
		"repeat_purchases": c.x, "last_purchase_age_days": c.last - c.first, "age_days": at - c.first, "since_last_purchase_days": at - c.last,
		"p_alive": alive, "churn_risk": 1 - alive, "clv": clv, "expected_spend": c.spend(),
		"buys_again":    alive * (1 - math.Pow((oracleAlpha+at-c.first)/(oracleAlpha+at-c.first+30), oracleR+c.x)),
		"value_at_risk": (1 - alive) * c.ifAlive(at), "value_about_to_be_lost": clv - c.clv(at+30),
	}
}

// foretold is a trigger that there must be. Before it the customer was as c says.
type foretold struct {
	rule  string
	at    float64
	event string // that made it, "" for silence
	c     shopper
}

// foretell returns the triggers of a customer up to a day, not including it. A purchase makes everybody a customer of low risk again, which is looked at.
func foretell(t *testing.T, id string, orders []purchase, end float64) (list []foretold) {
	c := shopper{id: id}
	advocate := false
	for i, o := range orders {
		c.buy(o.day, o.cents)
		if p := c.alive(o.day); p <= 0.4 {
			t.Fatalf("P(alive) of %s is %v as they buy: the oracle takes every purchase for a return to low risk", id, p)
		}
		if !advocate && c.x >= 4 && c.clv(o.day) >= oracleCut {
			advocate = true
			list = append(list, foretold{"advocate_milestone", o.day, o.event, c})
		}
		until := end
		if i+1 < len(orders) {
			until = orders[i+1].day
		}
		silent := func(rule string, at float64) {
			if at < end && at <= until && until > o.day { // who is silent up to the very instant was silent
				list = append(list, foretold{rule, at, "", c})
			}
		}
		if c.x == 0 {
			silent("no_second_purchase", c.last+60)
		} else {
			silent("expected_purchase_passed", c.last+(oracleAlpha+c.last-c.first)*(math.Pow(2, 1/(oracleR+c.x))-1))
		}
		risk := c.dies()
		silent("churn_risk", risk)
		if c.clv(risk) >= oracleCut {
			silent("high_value_at_risk", risk)
		}
	}
	return list
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

// TestTryOracle: of the whole CDNOW log the triggers that try shows are those of an oracle that has all of a customer's orders before it, takes the formulas as they stand in the papers,
// and finds instants by bisection: none more, none less, each at its instant to the millisecond, with its facts and its id.
func TestTryOracle(t *testing.T) {
	log := cdnowLog
	if testing.Short() || underRace {
		log = firstCustomers(t, 1000)
	}
	const perDay = 86_400_000
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, []byte(oracleRules), 0o600); err != nil {
		t.Fatal(err)
	}
	document := tryJSON(t, "--events", logFile(t, log), "--model", "cdnow/model.yaml", "--rules", rules, "--until", "1998-06-30")
	type place struct{ customer, rule string }
	tried := make(map[place][]map[string]any)
	for _, o := range document["triggers"].([]any) {
		trigger := o.(map[string]any)
		at := place{trigger["customer_id"].(string), trigger["rule"].(string)}
		tried[at] = append(tried[at], trigger)
	}
	end := float64(dayNamed(t, "1998-07-01").Unix()) / 86_400
	expected := 0
	for customer, orders := range purchases(t, log) {
		for _, want := range foretell(t, customer, orders, end) {
			expected++
			at := place{customer, want.rule}
			if len(tried[at]) == 0 {
				t.Errorf("customer %s has no %s on day %v", customer, want.rule, want.at)
				continue
			}
			got := tried[at][0]
			tried[at] = tried[at][1:]
			instant, err := time.Parse(time.RFC3339, got["time"].(string))
			if err != nil {
				t.Fatal(err)
			}
			ms := float64(instant.UnixMilli())
			if math.Abs(ms-want.at*perDay) > 1 || got["deadline"] != got["time"] {
				t.Errorf("customer %s: %s is at %v, deadline %v, want day %v", customer, want.rule, got["time"], got["deadline"], want.at)
				continue
			}
			for name, value := range want.c.facts(ms / perDay) {
				// A difference of two that are nearly the same has fewer digits.
				if fact := number(t, got, "facts."+name); !near(fact, value, 1e-9) && math.Abs(fact-value) > 1e-9*math.Max(1, want.c.clv(ms/perDay)) {
					t.Errorf("customer %s, %s at %v: %s is %v, want %v", customer, want.rule, got["time"], name, fact, value)
				}
			}
			kind, cause := "2", strconv.FormatInt(instant.UnixMilli(), 10)
			if want.event != "" {
				kind, cause = "1", want.event
			}
			if id := idOf(customer, "trigger", want.rule, kind, cause, strconv.FormatFloat(got["revision"].(float64), 'f', -1, 64)); got["id"] != id {
				t.Errorf("customer %s, %s at %v: the id is %v, want %s", customer, want.rule, got["time"], got["id"], id)
			}
		}
	}
	for at, left := range tried {
		for _, trigger := range left {
			t.Errorf("customer %s has a %s at %v that must not be", at.customer, at.rule, trigger["time"])
		}
	}
	if expected == 0 {
		t.Error("the oracle foretells nothing")
	}
	t.Logf("%d triggers", expected)
}
