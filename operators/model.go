package operators

// Model is a version of the fitted population parameters, immutable once published. Times are in days, money in major units of the base currency.
type Model struct {
	Version     string    // its name, unique for ever
	EffectiveAt EventTime // in force from here on, or from when a task first sees it, whichever is later
	Family      string    // "mbgnbd" or "bgnbd"
	R, Alpha    float64   // purchase rate while alive: gamma(R, Alpha), Alpha in days
	A, B        float64   // chance to drop out at a purchase: beta(A, B)
	P, Q, V     float64   // spend per purchase: gamma-gamma(P, Q, V), V in major units; Q > 1
	// HighValue is the CLV from which a customer is of high value, in major units: the population's top fifth.
	HighValue float64
	// Cuts divide the population into fifths; nil if they are not known.
	Cuts *Cuts
	// Fit says how the parameters were found; nil if they were put by hand.
	Fit *Fit
}

// Cuts are the bounds between the fifths of a population, rising: of four bounds the first is that which a fifth of the customers lie at or below.
type Cuts struct {
	SinceLastPurchase [4]float64 // in days
	Purchases         [4]float64 // purchase days
	Monetary          [4]float64 // mean net value of a purchase day, in major units
	CLV               [4]float64 // in major units; the last is HighValue
}

// Fit says how the parameters of a model were found, and how well they are known.
type Fit struct {
	AsOf            EventTime // the instant up to which the customers were known
	Customers       int64
	RepeatPurchases int64
	LogLikelihood   float64 // of all customers' purchases
	// Covariance is that of the estimates of ln r, ln alpha, ln a, ln b; the roots of its diagonal are the relative standard errors. SpendCovariance is
	// that of ln p, ln(q-1), ln v.
	Covariance      [4][4]float64
	SpendCovariance [3][3]float64
	// Prior and SpendPrior are set if the prior took part, because the data alone leave a parameter open.
	Prior, SpendPrior bool
}

// Ref is the short name under which states remember the model: 0 is no model.
func (m *Model) Ref() uint32 {
	if m == nil {
		return 0
	}
	return ModelRef(m.Version)
}

// ModelRef returns the Ref of the model with this version: 32 bits of a hash, never 0.
func ModelRef(version string) uint32 {
	h := uint32(Hash64(version))
	if h == 0 {
		h = 1
	}
	return h
}
