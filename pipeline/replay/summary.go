package replay

import (
	"cmp"
	"slices"

	"lull/operators"
)

// Purchases are when customers bought, ascending, by customer.
type Purchases map[string][]operators.EventTime

// after returns the customer's first purchase after an instant; ok is false if there is none.
func (p Purchases) after(customer string, at operators.EventTime) (first operators.EventTime, ok bool) {
	times := p[customer]
	i, _ := slices.BinarySearch(times, at+1)
	if i == len(times) {
		return 0, false
	}
	return times[i], true
}

// Watch says how it is found out who came back by themselves.
type Watch struct {
	Purchases Purchases
	// HorizonMs is for how long after a trigger a purchase is a return, in milliseconds.
	HorizonMs int64
	// Known is the instant up to which purchases are known: of triggers whose time is not up by then nothing is said.
	Known operators.EventTime
}

// Return is when a customer bought again after a trigger, in time. Over is false if it cannot be said yet.
func (w *Watch) Return(t *operators.Output) (at operators.EventTime, came, over bool) {
	end := t.Time + operators.EventTime(w.HorizonMs)
	if at, ok := w.Purchases.after(t.Customer, t.Time); ok && at <= end {
		return at, true, end <= w.Known
	}
	return 0, false, end <= w.Known
}

// Summary is what the triggers of one rule come to. Money is in major units of the base currency.
type Summary struct {
	Rule       string
	Fired      int
	Customers  int
	Actionable int
	Withheld   map[string]int // by reason
	First      operators.EventTime
	Last       operators.EventTime
	// AtRisk and AboutToBeLost are the values at risk, and about to be lost, at the instants of the triggers.
	AtRisk, AboutToBeLost Amounts
	// Followed are the triggers after which it is known who came back, CameBack those after which they did; MedianDays is within how many days half of these did.
	Followed, CameBack int
	MedianDays         float64
	// Counts are how many there were in each part of the period, all but the last of which are of one length.
	Counts []int
}

// Amounts are the sum and the median of amounts.
type Amounts struct{ Sum, Median float64 }

func amounts(values []float64) (a Amounts) {
	for _, v := range values {
		a.Sum += v
	}
	a.Median = median(values)
	return a
}

// median returns the middle of the values, 0 if there are none. It sorts them.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// Summaries returns what the triggers of a period come to: of each of the rules, in that order, also of those that have none. partMs is the length
// of the parts of the period that are told apart, in milliseconds.
func Summaries(rules []string, triggers []operators.Output, p Period, partMs int, watch *Watch) []Summary {
	list := make([]Summary, len(rules))
	for i, rule := range rules {
		list[i] = summarize(rule, triggers, p, operators.EventTime(partMs), watch)
	}
	return list
}

func summarize(rule string, triggers []operators.Output, p Period, part operators.EventTime, watch *Watch) Summary {
	s := Summary{Rule: rule, Withheld: make(map[string]int), Counts: make([]int, (p.Until-p.From+part-1)/part), First: operators.Never, Last: operators.Unset}
	customers := make(map[string]struct{})
	var atRisk, lost, days []float64
	for i := range triggers {
		t := &triggers[i]
		if t.Trigger.Rule != rule {
			continue
		}
		s.Fired++
		customers[t.Customer] = struct{}{}
		if t.Trigger.Actionable {
			s.Actionable++
		} else {
			s.Withheld[t.Trigger.Withheld]++
		}
		s.First, s.Last = min(s.First, t.Time), max(s.Last, t.Time)
		atRisk, lost = append(atRisk, t.Trigger.Facts.ValueAtRisk), append(lost, t.Trigger.Facts.AboutToBeLost)
		if at, came, over := watch.Return(t); over {
			s.Followed++
			if came {
				s.CameBack++
				days = append(days, float64(at-t.Time)/operators.DayMs)
			}
		}
		s.Counts[(t.Time-p.From)/part]++
	}
	s.Customers = len(customers)
	s.AtRisk, s.AboutToBeLost, s.MedianDays = amounts(atRisk), amounts(lost), median(days)
	return s
}

// Overlap is how many customers two rules both found, in the period; Either found at least one of them.
type Overlap struct {
	A, B         string
	Both, Either int
}

// Overlaps returns the pairs of rules that found the same customers, most first.
func Overlaps(rules []string, triggers []operators.Output) []Overlap {
	found := make(map[string]map[string]struct{}) // by rule: the customers
	for i := range triggers {
		rule := triggers[i].Trigger.Rule
		if found[rule] == nil {
			found[rule] = make(map[string]struct{})
		}
		found[rule][triggers[i].Customer] = struct{}{}
	}
	var list []Overlap
	for i, a := range rules {
		for _, b := range rules[i+1:] {
			both := 0
			for customer := range found[a] {
				if _, also := found[b][customer]; also {
					both++
				}
			}
			if both > 0 {
				list = append(list, Overlap{A: a, B: b, Both: both, Either: len(found[a]) + len(found[b]) - both})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Overlap) int { return cmp.Compare(b.Both, a.Both) })
	return list
}

// Move is a way from one segment to another of the same dimension, and how often it was gone.
type Move struct {
	Dimension operators.Dimension
	From, To  string
	Times     int
	Customers int // who went it
}

// Moves returns the ways that were gone: dimension by dimension, of each most often first.
func Moves(transitions []operators.Output) []Move {
	type way struct {
		dimension operators.Dimension
		from, to  string
	}
	places := make(map[way]int) // in the list
	var list []Move
	customers := make(map[way]map[string]struct{})
	for i := range transitions {
		s := transitions[i].Segment
		w := way{s.Dimension, s.From, s.To}
		place, known := places[w]
		if !known {
			place = len(list)
			places[w], customers[w] = place, make(map[string]struct{})
			list = append(list, Move{Dimension: s.Dimension, From: s.From, To: s.To})
		}
		list[place].Times++
		customers[w][transitions[i].Customer] = struct{}{}
	}
	for w, place := range places {
		list[place].Customers = len(customers[w])
	}
	slices.SortFunc(list, func(a, b Move) int {
		return cmp.Or(cmp.Compare(a.Dimension, b.Dimension), cmp.Compare(b.Times, a.Times), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	return list
}
