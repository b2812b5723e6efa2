package segment

import (
	"math"
	"strconv"

	"lull/operators"
)

// groups are the names of the cells: by the score of recency, 5 first, and by the mean of the scores of frequency and monetary value: up to 2, up to 3½, and
// above. docs/segments.md shows them as a table.
var groups = [5][3]operators.RFMGroup{
	{operators.NewCustomers, operators.ActiveCustomers, operators.Champions},
	{operators.Promising, operators.ActiveCustomers, operators.Loyal},
	{operators.AlmostLost, operators.NeedsAttention, operators.NeedsAttention},
	{operators.AlmostLost, operators.AtRiskCustomers, operators.AtRiskCustomers},
	{operators.DormantCustomers, operators.DormantCustomers, operators.PreviouslyLoyal},
}

// GroupOf returns the group of a customer with these scores.
func GroupOf(scores operators.RFM) operators.RFMGroup {
	place := 0
	switch sum := scores.Frequency + scores.Monetary; {
	case scores.SinceLastPurchase == 0:
		return operators.NoRFMGroup
	case sum > 7:
		place = 2
	case sum > 4:
		place = 1
	}
	return groups[5-scores.SinceLastPurchase][place]
}

// Scores returns the RFM scores at an instant of a customer with purchases, and when the next of them falls in silence: Never if none does. A score is 5 less, or
// for recency 5 with, the bounds that have been passed. minorPerMajor is the number of minor units in a major one.
func Scores(p *operators.Purchases, cuts *operators.Cuts, minorPerMajor float64, at operators.EventTime) (scores operators.RFM, next operators.EventTime) {
	scores = operators.RFM{SinceLastPurchase: 5, Frequency: 1, Monetary: 1}
	next = operators.Never
	for _, cut := range cuts.SinceLastPurchase {
		// The first instant after which more than the cut has passed.
		falls := p.FirstStart + operators.EventTime(math.Floor((p.LastAge()+cut)*operators.DayMs)) + 1
		if at < falls {
			next = falls
			break
		}
		scores.SinceLastPurchase--
	}
	mean := float64(p.Net) / minorPerMajor / float64(p.Count)
	for i := range cuts.Purchases {
		if float64(p.Count) > cuts.Purchases[i] {
			scores.Frequency++
		}
		if mean > cuts.Monetary[i] {
			scores.Monetary++
		}
	}
	return scores, next
}

// rfm moves the customer to the group of their scores.
func (op *Operator) rfm(env *operators.Env, c *operators.Customer, in *operators.Input, out *operators.Outbox) {
	from, to := c.Segment.RFMGroup, operators.NoRFMGroup
	var scores operators.RFM
	if cuts := env.Model.Cuts; cuts != nil {
		var next operators.EventTime
		scores, next = Scores(&c.Purchases, cuts, op.terms.MinorPerMajor(), in.At)
		to = GroupOf(scores)
		wake(c, next)
	}
	if to == from {
		return
	}
	c.Segment.RFMGroup = to
	change := operators.SegmentChange{Dimension: operators.RFMDimension, From: from.String(), To: to.String(), RFM: scores, Facts: c.Facts}
	if to == operators.NoRFMGroup {
		change.Reasons = []string{"the model " + env.Model.Version + " has no cuts: nobody has scores"}
	} else {
		change.Reasons = op.scoreReasons(c, scores)
	}
	out.Segment(change)
}

func (op *Operator) scoreReasons(c *operators.Customer, scores operators.RFM) []string {
	p := &c.Purchases
	silent := math.Floor(max(0, c.Facts.Age-c.Facts.LastAge))
	purchases := strconv.Itoa(int(p.Count)) + " purchases"
	if p.Count == 1 {
		purchases = "1 purchase"
	}
	of := func(score uint8) string { return strconv.Itoa(int(score)) + " of 5: " }
	return []string{
		"recency " + of(scores.SinceLastPurchase) + "last purchase " + operators.FormatDays(silent) + " ago",
		"frequency " + of(scores.Frequency) + purchases,
		"monetary " + of(scores.Monetary) + op.terms.FormatAmount(float64(p.Net)/op.terms.MinorPerMajor()/float64(p.Count)) + " a purchase",
	}
}
