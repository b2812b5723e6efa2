package fit

import (
	"math"
	"slices"

	"lull/operators"
	"lull/operators/score"
)

// cuts returns the bounds between the fifths of the sample, of which there is somebody. CLV is that of the model, whose HighValue is not asked for.
//
// A customer is evaluated at the watermark of their task. Instants here are those of a calendar without changes of the clock, in which every day has 24
// hours: ages in days are what counts.
func (c *Config) cuts(p *Population, model operators.Model) operators.Cuts {
	model.HighValue = math.MaxFloat64 // nobody is above it, and nothing is to be computed of when they will be below
	scoring := score.New(c.Score)
	n := len(p.Members)
	since, purchases, monetary, clv := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range p.Members {
		m := &p.Members[i]
		facts := scoring.Evaluate(&operators.Purchases{
			Count: m.Purchases, First: m.First, FirstStart: startOf(m.First), Last: m.Last, Net: m.Net, FirstNet: m.FirstNet, Orders: m.Orders,
		}, &model, operators.EventTime(math.Round(m.Now*operators.DayMs)))
		since[i] = max(0, m.Now-float64(m.Last))
		purchases[i] = float64(m.Purchases)
		monetary[i] = c.major(m.Net) / float64(m.Purchases)
		clv[i] = facts.CLV
	}
	cuts := operators.Cuts{SinceLastPurchase: fifths(since), Purchases: fifths(purchases), Monetary: fifths(monetary), CLV: fifths(clv)}
	// A cut must be above 0. What is less than the smallest coin is nobody's high value.
	cuts.CLV[3] = max(cuts.CLV[3], c.major(1))
	return cuts
}

func startOf(d operators.Day) operators.EventTime { return operators.EventTime(d) * operators.DayMs }

// fifths returns the least values that one, two, three and four fifths of all lie at or below. It sorts the values.
func fifths(values []float64) (bounds [4]float64) {
	slices.Sort(values)
	for i := range bounds {
		count := (len(values)*(i+1) + 4) / 5 // rounded up
		bounds[i] = values[count-1]
	}
	return bounds
}
