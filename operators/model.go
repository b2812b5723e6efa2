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
