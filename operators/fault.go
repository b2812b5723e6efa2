package operators

// Fault is what is wrong with a record that was to be an event: the first of this order that fits. NoFault is that of an event as it should be.
type Fault uint8

// The faults. A record that is refused has one of the first four of them.
const (
	NoFault Fault = iota
	// Invalid: it was refused for a reason that has no fault of its own.
	Invalid
	// MissingField: what this kind of event needs was null or empty.
	MissingField
	// UnknownCurrency: its currency has no rate.
	UnknownCurrency
	// ClockSkewed: its time lay in the future. It was refused, or has the append time.
	ClockSkewed
	// Duplicate: its message id had been seen.
	Duplicate
	// LateEvent: it was older than the watermark; a fact counts all the same.
	LateEvent
	// FaultsEnd is the number of faults, NoFault among them.
	FaultsEnd
)

var faultNames = [FaultsEnd]string{"none", "invalid", "missing_field", "unknown_currency", "clock_skewed", "duplicate", "late"}

// String returns the fault's name in metrics and headers, such as "clock_skewed".
func (f Fault) String() string {
	if f >= FaultsEnd {
		return ""
	}
	return faultNames[f]
}

// FaultNamed returns the fault of a name; ok is false if there is none.
func FaultNamed(name string) (f Fault, ok bool) {
	for f := range FaultsEnd {
		if faultNames[f] == name {
			return f, true
		}
	}
	return NoFault, false
}

// Faults are the numbers of a customer's records that had a fault, by fault; that of NoFault is always 0.
type Faults [FaultsEnd]uint32

// Total returns how many there were.
func (f *Faults) Total() (n uint64) {
	for _, count := range f {
		n += uint64(count)
	}
	return n
}

// Quality returns how far the facts of a customer with so many orders that count can be trusted, above 0 to 1: the weight of what is known of them, against that of what was wrong. It is 1 without any fault.
func (f *Faults) Quality(orders uint32) float64 {
	known := 1 + float64(orders)
	return known / (known + float64(f.Total()))
}
