package main

import (
	"math"
	"testing"
)

// The rules of segments, triggers and score rows as the documents have them, for the shoppers of the oracle, whose orders come in order, at 00:00 of their days. Nothing of the program is in it.

const msPerDay = 86_400_000

// oracleCuts are those of the demo's model: days since the last purchase day, purchase days, and dollars of one.
var oracleCuts = [3][4]float64{{100, 199, 220, 243}, {1, 1, 2, 3}, {14.37, 19.99, 29.27, 43.3}}

// oracleLevels are the values of P(alive) at which who is silent has a new score row: those of scores.levels, and where they are at risk, dormant and lost.
var oracleLevels = []float64{0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05}

// foretold is a trigger or a transition that there must be. At its instant the customer is as c says.
type foretold struct {
	kind      string // "trigger" or "segment"
	what      string // the rule, or "dimension: from -> to"
	at        int64  // in milliseconds
	event     string // that made it, "" for silence
	revision  int
	highValue bool
	riskyAt   int64
	scores    [3]int // of dimension rfm: silence, frequency, monetary
	c         shopper
}

// course is what silence will do to a customer if it lasts, in milliseconds.
type course struct {
	alive   map[float64]int64 // when P(alive) falls to a level
	cheap   int64             // CLV is under the cut
	ends    int64             // CLV is under four fifths of it
	silence [4]int64          // the RFM score of silence falls
	overdue int64             // no second purchase in time, or none when it was expected
}

const never = math.MaxInt64

// fallsTo returns the first millisecond from the last purchase on at which f, which falls in silence, is at most a level; never if it is not within a hundred years.
func (c *shopper) fallsTo(f func(at float64) float64, level float64) int64 {
	lo, hi := int64(c.last)*msPerDay, (int64(c.last)+36_525)*msPerDay
	switch {
	case f(c.last) <= level:
		return lo
	case f(float64(hi)/msPerDay) > level:
		return never
	}
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; f(float64(mid)/msPerDay) > level {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

func (c *shopper) course() *course {
	k := &course{alive: make(map[float64]int64)}
	for _, level := range oracleLevels {
		k.alive[level] = c.fallsTo(c.alive, level)
	}
	k.cheap = c.fallsTo(c.clv, math.Nextafter(oracleCut, 0))
	k.ends = c.fallsTo(c.clv, math.Nextafter(0.8*oracleCut, 0))
	for i, days := range oracleCuts[0] {
		k.silence[i] = int64((c.last+days)*msPerDay) + 1
	}
	days := 60.0
	if c.x > 0 { // half of those who are alive have bought again
		days = (oracleAlpha + c.last - c.first) * (math.Pow(2, 1/(oracleR+c.x)) - 1)
	}
	k.overdue = int64(math.Ceil((c.last + days) * msPerDay))
	return k
}

// next returns the next instant after one at which something is told, or the customer scored.
func (k *course) next(after int64, others ...int64) int64 {
	first := int64(never)
	for _, level := range oracleLevels {
		others = append(others, k.alive[level])
	}
	for _, at := range append(append(others, k.cheap, k.overdue), k.silence[:]...) {
		if at > after {
			first = min(first, at)
		}
	}
	return first
}

// oracleGroups are the names of the cells, by the score of silence from 5 to 1, and the mean of the two other scores: up to 2, up to 3½, above.
var oracleGroups = [5][3]string{
	{"new", "active", "champions"},
	{"promising", "active", "loyal"},
	{"almost_lost", "needs_attention", "needs_attention"},
	{"almost_lost", "at_risk", "at_risk"},
	{"dormant", "dormant", "previously_loyal"},
}

// rfm are the scores of silence, frequency and monetary value, and the group of them.
func (c *shopper) rfm(k *course, at int64) (scores [3]int, group string) {
	scores = [3]int{5, 1, 1}
	purchases := c.x + 1
	for i := range 4 {
		if at >= k.silence[i] {
			scores[0]--
		}
		if purchases > oracleCuts[1][i] {
			scores[1]++
		}
		if (c.spent+c.repeat)/100/purchases > oracleCuts[2][i] {
			scores[2]++
		}
	}
	column := 2
	switch mean := float64(scores[1]+scores[2]) / 2; {
	case mean <= 2:
		column = 0
	case mean <= 3.5:
		column = 1
	}
	return scores, oracleGroups[5-scores[0]][column]
}

// stand is where a customer stands, and what was told of them.
type stand struct {
	quadrant, group, lifecycle string
	since                      int64 // that they are in their quadrant
	moves                      int64 // when they leave it, because they have been there long enough; never if nothing takes them out
	ends                       int64 // when they are not of high value any more; never if they are not, or the cut comes first
	risky                      bool
	held                       map[string]bool // the rules that do not fire again until they are armed
	revision                   int
	told                       []foretold
}

// judge scores a customer at an instant: of a purchase, of another order of that day, or of their silence. First the score is told, then segments, then triggers.
func (s *stand) judge(c *shopper, k *course, at int64, event string, purchase bool) {
	s.revision++
	highValue := at < k.cheap
	tell := func(kind, what string, scores [3]int) {
		s.revision++
		s.told = append(s.told, foretold{kind, what, at, event, s.revision, highValue, k.alive[0.3], scores, *c})
	}
	move := func(dimension string, was *string, is string, scores [3]int) {
		if *was != is {
			tell("segment", dimension+": "+*was+" -> "+is, scores)
			*was = is
		}
	}
	switch {
	case at >= k.alive[0.3]:
		s.risky = true
	case at < k.alive[0.4]:
		s.risky = false
	}
	dear := highValue // and who has been stays so below the cut
	s.ends = never
	if !highValue && (s.quadrant == "advocate" || s.quadrant == "save") && at < k.ends {
		dear, s.ends = true, k.ends
	}
	quadrant := "nurture"
	switch {
	case dear && s.risky:
		quadrant = "save"
	case dear:
		quadrant = "advocate"
	case s.risky:
		quadrant = "efficiency"
	}
	switch s.moves = never; {
	case quadrant == s.quadrant:
	case s.quadrant != "none" && at < s.since+msPerDay:
		s.moves = s.since + msPerDay
	default:
		s.since = at
		move("quadrant", &s.quadrant, quadrant, [3]int{})
	}
	scores, group := c.rfm(k, at)
	move("rfm", &s.group, group, scores)
	move("lifecycle", &s.lifecycle, s.stage(c, k, at, purchase), [3]int{})
	for _, rule := range []struct {
		name      string
		when, arm bool // arm: it may fire again
	}{
		{"churn_risk", at >= k.alive[0.3], at < k.alive[0.4]},
		{"high_value_at_risk", highValue && at >= k.alive[0.3], at < k.alive[0.4]},
		{"no_second_purchase", c.x == 0 && at >= k.overdue, true},
		{"expected_purchase_passed", c.x > 0 && at >= k.overdue, true},
		{"advocate_milestone", c.x >= 4 && highValue && at < k.alive[0.3], c.x < 4},
		{"won_back", s.lifecycle == "won_back", true},
		{"do_not_spend", s.quadrant == "efficiency", true},
	} {
		switch held := s.held[rule.name]; {
		case rule.when && !held:
			tell("trigger", rule.name, [3]int{})
			s.held[rule.name] = true
		case !rule.when && rule.arm:
			s.held[rule.name] = false
		}
	}
}

// stage is the stage of the lifecycle that the customer has come to.
func (s *stand) stage(c *shopper, k *course, at int64, purchase bool) string {
	given := s.lifecycle == "at_risk" || s.lifecycle == "dormant" || s.lifecycle == "lost"
	switch {
	case at >= k.alive[0.05]:
		return "lost"
	case at >= k.alive[0.15]:
		return "dormant"
	case s.risky:
		return "at_risk"
	case purchase && given, !purchase && s.lifecycle == "won_back":
		return "won_back"
	case c.x == 0:
		return "new"
	}
	return "active"
}

// foretell returns what there is to tell of a customer up to an instant, not including it, in the order in which it is told.
func foretell(t *testing.T, id string, orders []purchase, end int64) []foretold {
	const session = 1_800_000 // after the last order of a day
	s := &stand{quadrant: "none", group: "none", lifecycle: "none", held: make(map[string]bool)}
	c := shopper{id: id}
	for i, o := range orders {
		before := c.last
		c.buy(o.day, o.cents)
		c.checkDocile(t)
		k, at, until := c.course(), int64(o.day)*msPerDay, end-1
		s.judge(&c, k, at, o.event, c.last != before)
		closes := at + session
		if i+1 < len(orders) {
			until = min(until, int64(orders[i+1].day)*msPerDay) // who is silent up to the very instant was silent
		}
		for {
			next := k.next(at, s.moves, s.ends, closes)
			if next > until {
				break
			}
			at = next
			if at == closes {
				s.revision++ // the session is told of
				closes = never
				continue
			}
			s.judge(&c, k, at, "", false)
		}
	}
	return s.told
}

// checkDocile looks at what the oracle takes for granted of every customer who has just bought: that they are of low risk, and that they do not rise, as less than nine in ten of those like them
// buy again within the twelve months that count, or as they have brought what would be high value.
func (c *shopper) checkDocile(t *testing.T) {
	t.Helper()
	alive := c.alive(c.last)
	buys := alive * (1 - math.Pow((oracleAlpha+c.last-c.first)/(oracleAlpha+c.last-c.first+365.25), oracleR+c.x))
	if alive <= 0.4 || buys > 0.9 && (c.spent+c.repeat)/100 < oracleCut {
		t.Fatalf("P(alive) of %s is %v as they buy, and that they buy again %v: the oracle does not know what follows", c.id, alive, buys)
	}
}
