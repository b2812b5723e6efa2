package trigger

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"lull/operators"
)

// kind is the type of a fact, by its name in CEL.
type kind uint8

const (
	number kind = iota // double
	whole              // int
	flag               // bool
	text               // string
)

var kindNames = [...]string{number: "double", whole: "int", flag: "bool", text: "string"}

// Behaviour says what becomes of a fact while its customer is silent.
type Behaviour uint8

// The behaviours. What is stepwise changes at instants that other operators find, and wake the customer at.
const (
	Constant Behaviour = iota
	Rising
	Falling
	Stepwise
	Unsteady // up and down again
)

var behaviours = [...]string{Constant: "constant", Rising: "rising", Falling: "falling", Stepwise: "stepwise", Unsteady: "up and down"}

// String returns the behaviour's name, such as "rising".
func (b Behaviour) String() string { return behaviours[b] }

// Fact is what conditions can speak of.
type Fact struct {
	Name    string
	Type    string // of CEL: double, int, bool or string
	Unit    string // "" if it has none
	Silence Behaviour
	Doc     string
}

// fact is a Fact with its meaning. Only the function of its kind is set.
type fact struct {
	Fact
	kind    kind
	number  func(v view) float64
	text    func(v view) string
	flag    func(v view) bool
	measure operators.Measure // of a number that silence moves
	// reaches is the instant at which a fact that rises or falls reaches a bound, Unset if it is there at the last purchase, Never if it never is; beyond it, if beyond is set.
	reaches func(v view, bound float64, beyond bool) operators.EventTime
	setting bool // it says nothing of the customer
	// How a reason tells it: before what it is, by format, and about that in more words; and noun reached a bound. In before and noun stand {contact} and {horizon} for their lengths.
	before, noun string
	format       func(t *operators.Terms, n float64) string
	about        func(v view) string
}

// view is a customer as a condition sees them at one instant.
type view struct {
	p        *operators.Purchases
	f        *operators.Facts
	m        *operators.Model
	terms    *operators.Terms
	scores   Scores
	segment  *operators.Segment
	customer *operators.Customer // nil if the view is not of today
}

// lastStart is 00:00 of the day of the last purchase.
func (v view) lastStart() operators.EventTime {
	return v.p.FirstStart + operators.EventTime(v.p.LastAge()*operators.DayMs)
}

// age returns the instant at which so many days have passed since 00:00 of the first purchase day, or more of them if beyond is set.
func (v view) age(days float64, beyond bool) operators.EventTime {
	ms := days * operators.DayMs
	switch {
	case !(ms < 1e15): // 30,000 years; so for NaN
		return operators.Never
	case ms < -1e15:
		return operators.Unset
	case beyond:
		return v.p.FirstStart + operators.EventTime(math.Floor(ms)) + 1
	}
	return v.p.FirstStart + operators.EventTime(math.Ceil(ms))
}

// reaching is the reaches of a number that scores know of.
func reaching(what operators.Measure) func(view, float64, bool) operators.EventTime {
	return func(v view, bound float64, _ bool) operators.EventTime {
		if math.IsNaN(bound) {
			return operators.Never
		}
		return v.scores.Reaches(v.p, v.m, what, bound)
	}
}

func amount(t *operators.Terms, n float64) string { return t.FormatAmount(n) }
func days(_ *operators.Terms, n float64) string   { return operators.FormatDays(math.Round(n*10) / 10) }
func past(_ *operators.Terms, n float64) string   { return operators.FormatDays(math.Floor(n*10) / 10) } // no more than have passed
func risk(_ *operators.Terms, n float64) string   { return operators.FormatRisk(n) }
func short(_ *operators.Terms, n float64) string  { return strconv.FormatFloat(n, 'f', 2, 64) }

func counted(one string) func(*operators.Terms, float64) string {
	return func(_ *operators.Terms, n float64) string {
		if n == 1 {
			return "one " + one
		}
		return strconv.FormatFloat(n, 'f', -1, 64) + " " + one + "s"
	}
}

// ranges are what numbers can be at all, of customers who have bought; of those that are not among them nothing is known.
var ranges = map[string]interval{
	"purchases": {least: 1, most: math.Inf(1)}, "orders": {least: 1, most: math.Inf(1)}, "days_between_purchases": {most: math.Inf(1)},
	"silent_days": {most: math.Inf(1)}, "age_days": {most: math.Inf(1)}, "expected_purchases": {most: math.Inf(1)}, "clv": {most: math.Inf(1)},
	"p_alive": {most: 1}, "churn_risk": {most: 1}, "risk_after_order": {most: 1}, "buys_again": {most: 1},
}

func rangeOf(f *fact) interval {
	if i, known := ranges[f.Name]; known {
		return i
	}
	return interval{least: math.Inf(-1), most: math.Inf(1)}
}

// facts are all that there are. docs/triggers.md and lull triggers facts show this table.
var facts = []fact{
	{Fact: Fact{Name: "purchases", Doc: "Purchase days: calendar days with at least one order that is not cancelled."}, kind: whole, number: func(v view) float64 { return float64(v.p.Count) }, format: counted("purchase")},
	{Fact: Fact{Name: "orders", Doc: "Orders that are not cancelled."}, kind: whole, number: func(v view) float64 { return float64(v.p.Orders) }, format: counted("order")},
	{Fact: Fact{Name: "net_value", Unit: "major units of the base currency", Doc: "What all purchases have brought, less refunds."}, number: func(v view) float64 { return float64(v.p.Net) / v.terms.MinorPerMajor() }, before: "bought for ", format: amount},
	{Fact: Fact{Name: "mean_value", Unit: "major units of the base currency", Doc: "net_value / purchases."}, number: func(v view) float64 { return float64(v.p.Net) / v.terms.MinorPerMajor() / float64(v.p.Count) }, before: "mean purchase ", format: amount},
	{Fact: Fact{Name: "days_between_purchases", Unit: "days", Doc: "Mean time from one purchase day to the next so far; 0 after one purchase."}, number: func(v view) float64 { return v.p.LastAge() / max(1, float64(v.p.Repeats())) }, before: "orders every ", format: days},
	{Fact: Fact{Name: "expected_gap_days", Unit: "days", Doc: "Time from the last purchase day within which half of the customers like this one who are still customers have bought again."}, number: func(v view) float64 { return v.scores.NextPurchase(v.p, v.m, v.lastStart(), 0.5) }, before: "half of those like them, if still customers, buy again within ", format: days},
	{Fact: Fact{Name: "silent_days", Unit: "days", Silence: Rising, Doc: "00:00 of the last purchase day to now."}, measure: operators.SilentDays, number: func(v view) float64 { return v.f.Age - v.f.LastAge }, noun: "silence", before: "silent for ", format: past,
		reaches: func(v view, bound float64, beyond bool) operators.EventTime {
			return v.age(v.p.LastAge()+bound, beyond)
		}},
	{Fact: Fact{Name: "age_days", Unit: "days", Silence: Rising, Doc: "00:00 of the first purchase day to now."}, measure: operators.Age, number: func(v view) float64 { return v.f.Age }, noun: "time since the first purchase", before: "a customer for ", format: past,
		reaches: view.age},
	{Fact: Fact{Name: "p_alive", Unit: "probability", Silence: Falling, Doc: "Probability that the customer is still one."}, measure: operators.PAlive, number: func(v view) float64 { return v.f.PAlive }, noun: "P(alive)", before: "P(alive) ", format: risk, reaches: reaching(operators.PAlive)},
	{Fact: Fact{Name: "churn_risk", Unit: "probability", Silence: Rising, Doc: "1 - p_alive."}, measure: operators.ChurnRisk, number: func(v view) float64 { return v.f.Risk() }, noun: "churn risk", before: "churn risk ", format: risk, reaches: reaching(operators.ChurnRisk)},
	{Fact: Fact{Name: "born_high_risk", Doc: "churn_risk is at risk_high within the day of the last purchase already: silence has no part in it."}, kind: flag, flag: func(v view) bool { return v.f.BornHighRisk }, before: "at high risk from the last purchase on"},
	{Fact: Fact{Name: "risk_after_order", Unit: "probability", Doc: "What churn_risk would be after an order now, if they have not bought today: a second order on one day is no purchase of its own."}, number: func(v view) float64 { return v.scores.RiskAfterPurchase(v.p, v.m) }, before: "churn risk after the next purchase ", format: risk},
	{Fact: Fact{Name: "buys_again", Unit: "probability", Silence: Falling, Doc: "Probability of a purchase within contact_days."}, measure: operators.BuysAgain, number: func(v view) float64 { return v.f.BuysAgain }, noun: "probability to buy again within {contact}", before: "buys again within {contact} with probability ", format: risk, reaches: reaching(operators.BuysAgain)},
	{Fact: Fact{Name: "expected_purchases", Silence: Falling, Doc: "Purchase days expected within the horizon."}, measure: operators.ExpectedPurchases, number: func(v view) float64 { return v.f.ExpectedPurchases }, noun: "purchases expected within {horizon}", before: "purchases expected within {horizon}: ", format: short, reaches: reaching(operators.ExpectedPurchases)},
	{Fact: Fact{Name: "expected_spend", Unit: "major units of the base currency", Doc: "Expected spend per purchase day."}, number: func(v view) float64 { return v.f.ExpectedSpend }, before: "expected spend a purchase ", format: amount},
	{Fact: Fact{Name: "clv", Unit: "major units of the base currency", Silence: Falling, Doc: "Customer lifetime value still to come: discounted expected margin within the horizon."}, measure: operators.CLV, number: func(v view) float64 { return v.f.CLV }, noun: "CLV", before: "CLV ", format: amount, reaches: reaching(operators.CLV)},
	{Fact: Fact{Name: "value_at_risk", Unit: "major units of the base currency", Silence: Unsteady, Doc: "churn_risk times the clv of who is certainly still a customer. It ranks the long gone first."}, measure: operators.ValueAtRisk, number: func(v view) float64 { return v.f.ValueAtRisk }, noun: "value at risk", before: "value at risk ", format: amount},
	{Fact: Fact{Name: "value_about_to_be_lost", Unit: "major units of the base currency", Silence: Unsteady, Doc: "clv less what it will be after contact_days of silence."}, measure: operators.AboutToBeLost, number: func(v view) float64 { return v.f.AboutToBeLost }, noun: "value about to be lost within {contact}", before: "value about to be lost within {contact}: ", format: amount},
	{Fact: Fact{Name: "high_value", Silence: Falling, Doc: "clv is at least high_value_cut."}, kind: flag, flag: func(v view) bool { return v.f.HighValue }, before: "of high value", about: valueAbout,
		reaches: func(v view, _ float64, _ bool) operators.EventTime {
			if v.customer != nil {
				return v.customer.Score.ValueFalls
			}
			return v.scores.Reaches(v.p, v.m, operators.CLV, v.m.HighValue)
		}},
	{Fact: Fact{Name: "high_value_cut", Unit: "major units of the base currency", Doc: "The model's cut: the clv of the population's top fifth."}, setting: true, number: func(v view) float64 { return v.m.HighValue }, before: "high value from ", format: amount},
	{Fact: Fact{Name: "high_value_back", Unit: "major units of the base currency", Doc: "The cut times the setting segments.value_back: the clv under which who is in a quadrant of high value leaves it."}, setting: true, number: func(v view) float64 { return v.terms.HighValueEnds(v.m) }, before: "high value until under ", format: amount},
	{Fact: Fact{Name: "rising", Silence: Stepwise, Doc: "High potential at low spend so far: docs/segments.md."}, kind: flag, flag: func(v view) bool { return v.segment.Rising }, before: "rising", about: broughtAbout},
	{Fact: Fact{Name: "quadrant", Silence: Stepwise, Doc: "nurture, efficiency, advocate or save: docs/segments.md."}, kind: text, text: func(v view) string { return v.segment.Quadrant.String() }, before: "quadrant ", about: quadrantAbout},
	{Fact: Fact{Name: "lifecycle", Silence: Stepwise, Doc: "new, active, at_risk, dormant, lost or won_back: docs/segments.md."}, kind: text, text: func(v view) string { return v.segment.Lifecycle.String() }, before: "lifecycle ", about: stageAbout},
	{Fact: Fact{Name: "rfm_group", Silence: Stepwise, Doc: "The group of RFM scores, such as loyal or champions; none if the model has no cuts: docs/segments.md."}, kind: text, text: func(v view) string { return v.segment.RFMGroup.String() }, before: "RFM group ", about: groupAbout},
	{Fact: Fact{Name: "risk_high", Unit: "probability", Doc: "The setting risk.high."}, setting: true, number: func(v view) float64 { return v.terms.HighRisk }, before: "risk.high ", format: risk},
	{Fact: Fact{Name: "risk_back", Unit: "probability", Doc: "The setting risk.back."}, setting: true, number: func(v view) float64 { return v.terms.LowRisk }, before: "risk.back ", format: risk},
	{Fact: Fact{Name: "risk_dormant", Unit: "probability", Doc: "The setting segments.dormant."}, setting: true, number: func(v view) float64 { return v.terms.DormantRisk }, before: "segments.dormant ", format: risk},
	{Fact: Fact{Name: "risk_lost", Unit: "probability", Doc: "The setting segments.lost."}, setting: true, number: func(v view) float64 { return v.terms.LostRisk }, before: "segments.lost ", format: risk},
	{Fact: Fact{Name: "contact_days", Unit: "days", Doc: "The setting scores.contact_days."}, setting: true, number: func(v view) float64 { return v.terms.ContactDays }, before: "contact horizon ", format: days},
}

// factOf returns the fact of this name, nil if there is none.
func factOf(name string) *fact {
	i := slices.IndexFunc(facts, func(f fact) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &facts[i]
}

// Facts returns what conditions can speak of.
func Facts() []Fact {
	list := make([]Fact, len(facts))
	for i := range facts {
		list[i] = facts[i].Fact
		list[i].Type = kindNames[facts[i].kind]
	}
	return list
}

// value returns the fact as it is, in words.
func (f *fact) value(v view) string {
	switch f.kind {
	case flag:
		return strconv.FormatBool(f.flag(v))
	case text:
		return f.text(v)
	}
	return strconv.FormatFloat(f.number(v), 'g', 6, 64)
}

// says tells the fact as it is: "churn risk 0.70". It is "" for flags that are not set.
func (f *fact) says(v view) string {
	said := spelled(f.before, v.terms)
	switch f.kind {
	case flag:
		if !f.flag(v) {
			return ""
		}
	case text:
		said += f.text(v)
	default:
		said += f.format(v.terms, f.number(v))
	}
	if f.about != nil {
		if more := f.about(v); more != "" {
			said += ": " + more
		}
	}
	return said
}

// spelled fills in the lengths of the horizons.
func spelled(text string, t *operators.Terms) string {
	text = strings.Replace(text, "{contact}", operators.FormatDays(t.ContactDays), 1)
	return strings.Replace(text, "{horizon}", operators.FormatDays(math.Round(t.HorizonDays)), 1)
}

func valueAbout(v view) string { return v.terms.FormatValue(v.f, v.m, v.f.HighValue) }

func broughtAbout(v view) string {
	brought := float64(v.p.Net) / v.terms.MinorPerMajor() * v.terms.MarginShare
	return "margin of " + v.terms.FormatAmount(brought) + " so far, in nine of ten futures more than the cut of " + v.terms.FormatAmount(v.m.HighValue) + " to come"
}

func quadrantAbout(v view) string {
	return v.terms.FormatValue(v.f, v.m, v.segment.Quadrant.HighValue()) + ", churn risk " + operators.FormatRisk(v.f.Risk())
}

func stageAbout(v view) string {
	switch v.segment.Lifecycle {
	case operators.AtRisk, operators.Dormant, operators.Lost:
		return "churn risk " + operators.FormatRisk(v.f.Risk())
	case operators.WonBack:
		return v.customer.Days.Return()
	}
	return ""
}

func groupAbout(v view) string {
	said := counted("purchase")(v.terms, float64(v.p.Count)) + " of " + v.terms.FormatAmount(float64(v.p.Net)/v.terms.MinorPerMajor()/float64(v.p.Count))
	if v.p.Count > 1 {
		said += " on average"
	}
	return said
}
