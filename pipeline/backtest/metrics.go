package backtest

import (
	"cmp"
	"math"
	"slices"
	"strconv"
)

// Figure is a number, or NaN where there is none, as the correlation with what does not vary; that is null in JSON.
type Figure float64

// Undefined is no number.
var Undefined = Figure(math.NaN())

// MarshalJSON implements json.Marshaler.
func (f Figure) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(f), 'g', -1, 64), nil
}

// Accuracy says how near predictions of amounts came to what happened.
type Accuracy struct {
	Actual      float64 `json:"actual"`       // in total
	Predicted   float64 `json:"predicted"`    // in total
	BiasPercent Figure  `json:"bias_percent"` // undefined if nothing happened
	MAE         float64 `json:"mae"`          // mean absolute error per customer
	RMSE        float64 `json:"rmse"`         // root of the mean squared error per customer
	Correlation Figure  `json:"correlation"`  // over customers; undefined if either does not vary
}

func accuracyOf(predicted, actual []float64) Accuracy {
	a := Accuracy{BiasPercent: Undefined, Correlation: Undefined}
	n := float64(len(actual))
	for i := range actual {
		a.Predicted += predicted[i]
		a.Actual += actual[i]
	}
	meanPredicted, meanActual := a.Predicted/n, a.Actual/n
	var absolute, squared, covariance, variancePredicted, varianceActual float64
	for i := range actual {
		p, q := predicted[i]-meanPredicted, actual[i]-meanActual
		absolute += math.Abs(predicted[i] - actual[i])
		squared += (predicted[i] - actual[i]) * (predicted[i] - actual[i])
		covariance += p * q
		variancePredicted += p * p
		varianceActual += q * q
	}
	if a.Actual != 0 {
		a.BiasPercent = Figure(100 * (a.Predicted - a.Actual) / a.Actual)
	}
	a.MAE, a.RMSE = absolute/n, math.Sqrt(squared/n)
	if spread := math.Sqrt(variancePredicted * varianceActual); spread > 0 {
		a.Correlation = Figure(covariance / spread)
	}
	return a
}

// auc returns the probability that a customer of whom it is true has the greater score than one of whom it is not, ties counting half: the area under
// the ROC curve. It is undefined if it is true of all or none.
func auc(score []float64, truth []bool) Figure {
	order := ascending(score)
	positives, ranks := 0, 0.0
	for first := 0; first < len(order); {
		end := first + 1
		for end < len(order) && score[order[end]] == score[order[first]] {
			end++
		}
		for _, i := range order[first:end] {
			if truth[i] {
				positives++
				ranks += float64(first+1+end) / 2 // the mean rank of the tied
			}
		}
		first = end
	}
	negatives := len(order) - positives
	if positives == 0 || negatives == 0 {
		return Undefined
	}
	p := float64(positives)
	return Figure((ranks - p*(p+1)/2) / (p * float64(negatives)))
}

// ascending returns the indices of values in their order, ties in the order of the indices.
func ascending(values []float64) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	return order
}

// brier returns the mean squared error of probabilities.
func brier(probability []float64, truth []bool) float64 {
	sum := 0.0
	for i, p := range probability {
		off := p
		if truth[i] {
			off = 1 - p
		}
		sum += off * off
	}
	return sum / float64(len(truth))
}

// Bin is a tenth of the customers in the order of a probability.
type Bin struct {
	Predicted float64 `json:"predicted"` // mean probability
	Observed  float64 `json:"observed"`  // share of whom it came true
	Customers int     `json:"customers"`
}

// calibration returns ten bins of as many customers, as far as they can be divided so.
func calibration(probability []float64, truth []bool) []Bin {
	const tenths = 10
	order := ascending(probability)
	var bins []Bin
	for i := range tenths {
		// The first bins take what is left over.
		size := len(order) / (tenths - i)
		if len(order)%(tenths-i) > 0 {
			size++
		}
		if size == 0 {
			continue
		}
		bin := Bin{Customers: size}
		bought := 0
		for _, k := range order[:size] {
			bin.Predicted += probability[k] / float64(size)
			if truth[k] {
				bought++
			}
		}
		bin.Observed = float64(bought) / float64(size)
		bins = append(bins, bin)
		order = order[size:]
	}
	return bins
}

// calibrationError returns the mean distance of what was predicted from what was observed, over customers.
func calibrationError(bins []Bin) float64 {
	sum, customers := 0.0, 0.0
	for _, b := range bins {
		sum += math.Abs(b.Predicted-b.Observed) * float64(b.Customers)
		customers += float64(b.Customers)
	}
	return sum / customers
}

// share returns the part of which it is true.
func share(truth []bool) float64 {
	count := 0
	for _, t := range truth {
		if t {
			count++
		}
	}
	return float64(count) / float64(len(truth))
}

// agreement returns the part of which both say the same.
func agreement(said, truth []bool) float64 {
	same := make([]bool, len(truth))
	for i := range same {
		same[i] = said[i] == truth[i]
	}
	return share(same)
}

// atLeast says of which the score reaches a threshold.
func atLeast(score []float64, threshold float64) []bool {
	said := make([]bool, len(score))
	for i := range score {
		said[i] = score[i] >= threshold
	}
	return said
}

// top says which are the count greatest, of equal ones the first.
func top(score []float64, count int) []bool {
	negated := make([]float64, len(score))
	for i := range score {
		negated[i] = -score[i]
	}
	said := make([]bool, len(score))
	for _, i := range ascending(negated)[:count] {
		said[i] = true
	}
	return said
}

// bestThreshold returns the score from which to say that it is true, so that it agrees with the truth most often; +Inf for never. Of equally good ones
// it is the greatest.
func bestThreshold(score []float64, truth []bool) float64 {
	order := ascending(score)
	slices.Reverse(order)
	best, right := math.Inf(1), 0 // against never
	bestRight := 0
	for first := 0; first < len(order); {
		end := first
		for ; end < len(order) && score[order[end]] == score[order[first]]; end++ {
			if truth[order[end]] {
				right++
			} else {
				right--
			}
		}
		if right > bestRight {
			best, bestRight = score[order[first]], right
		}
		first = end
	}
	return best
}
