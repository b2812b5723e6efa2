package survey

import (
	"math"

	"lull/operators"
)

// What customers and events take, as it was measured (docs/operating/sizing.md, with the loads and the machines): CPU in microseconds, sizes in bytes.
const (
	eventMicrosLeast  = 10  // an event, while catching up: page views
	eventMicrosMost   = 150 // an order, at the pace of real time
	sweepMicros       = 40  // a customer whom a new model reaches
	diskBytesLeast    = 130 // a customer under state.dir
	diskBytesMost     = 250 // the same, after a restore
	diskTimes         = 4   // room for tables that are written anew: a rule of thumb
	changelogBytes    = 146 // a record of the changelog
	metaBytes         = 125 // a meta record, at most one for a transaction of a partition
	scoreBytes        = 359 // a record of scores
	outputBytes       = 161 // the records of all outputs, an event
	inputBytes        = 99  // an event in lull's own Avro, with its key
	restoredPerSecond = 250_000
	deadlinesPerEvent = 0.25 // at most: 0.23 outputs an event, rounded up

	// A process took 265 MiB with 15,000 customers and 946 MiB with a million: between them and beyond it is taken to grow evenly.
	memoryFew, memoryMany       = 265 << 20, 946 << 20
	customersFew, customersMany = 15_000, 1_000_000
)

// Load is what an application is to carry.
type Load struct {
	Customers int64 `json:"customers"`
	// PerSecond is how many events come a second in the mean, above 0; PeakPerSecond when most come.
	PerSecond     float64 `json:"events_per_second"`
	PeakPerSecond float64 `json:"peak_events_per_second"`
	// EventBytes is the mean size of a record of the input, key and value; 0 if it is not known, then that of lull's own Avro holds.
	EventBytes float64 `json:"event_bytes"`
	Partitions int64   `json:"partitions"`
	// Replicas is how often brokers keep each record.
	Replicas int64 `json:"replicas"`
	// WallClock reports whether time is the wall clock's: partitions have a transaction each second then, whatever comes.
	WallClock bool `json:"-"`
	// CompactionLagMs is topics.compaction_lag, and RetentionMs topics.retention.
	CompactionLagMs int64 `json:"-"`
	RetentionMs     int64 `json:"-"`
}

// Needs is what a load takes, computed from what was measured of others. What brokers keep is counted with all replicas.
type Needs struct {
	// CoresLeast are enough if what comes is page views, CoresMost if it is orders; at the peak.
	CoresLeast float64 `json:"cores_least"`
	CoresMost  float64 `json:"cores_most"`
	// MemoryBytes is what one process takes that has all partitions.
	MemoryBytes int64 `json:"memory_bytes"`
	// StateBytesLeast and StateBytesMost are what lies under state.dir, and DiskBytes how large the disks should be together.
	StateBytesLeast int64 `json:"state_bytes_least"`
	StateBytesMost  int64 `json:"state_bytes_most"`
	DiskBytes       int64 `json:"disk_bytes"`
	// InputBytesPerDay is what the events take on the brokers.
	InputBytesPerDay int64 `json:"input_bytes_per_day"`
	// ChangelogBytes is the changelog when it is compacted, and ChangelogBytesMost with all that topics.compaction_lag keeps from it.
	ChangelogBytes     int64 `json:"changelog_bytes"`
	ChangelogBytesMost int64 `json:"changelog_bytes_most"`
	ScoresBytes        int64 `json:"scores_bytes"`
	// OutputBytes is what the other outputs take for topics.retention.
	OutputBytes int64 `json:"output_bytes"`
	// RestoreSeconds is how long reading the state from a compacted changelog takes, and RestoreSecondsMost from one that is not.
	RestoreSeconds     float64 `json:"restore_seconds"`
	RestoreSecondsMost float64 `json:"restore_seconds_most"`
	// SweepSeconds is the CPU that a new model takes for everybody.
	SweepSeconds float64 `json:"sweep_cpu_seconds"`
	// Partitions is how many are enough for the customers.
	Partitions int64 `json:"partitions"`
}

// Needs returns what the load takes.
func (l *Load) Needs() Needs {
	customers, replicas := float64(l.Customers), float64(l.Replicas)
	const secondsPerDay = operators.DayMs / 1000
	lag := float64(l.CompactionLagMs) / 1000
	writes := lag * l.PerSecond * (1 + deadlinesPerEvent)
	metas := writes
	if l.WallClock {
		metas += lag * float64(l.Partitions)
	}
	eventBytes := l.EventBytes
	if eventBytes == 0 {
		eventBytes = inputBytes
	}
	bytes := func(n float64) int64 { return int64(math.Ceil(n)) }
	compacted := customers * changelogBytes
	return Needs{
		CoresLeast:         l.PeakPerSecond * eventMicrosLeast / 1e6,
		CoresMost:          l.PeakPerSecond * eventMicrosMost / 1e6,
		MemoryBytes:        bytes(max(memoryFew, memoryFew+(customers-customersFew)*(memoryMany-memoryFew)/(customersMany-customersFew))),
		StateBytesLeast:    l.Customers * diskBytesLeast,
		StateBytesMost:     l.Customers * diskBytesMost,
		DiskBytes:          l.Customers * diskBytesMost * diskTimes,
		InputBytesPerDay:   bytes(secondsPerDay * l.PerSecond * eventBytes * replicas),
		ChangelogBytes:     bytes(compacted * replicas),
		ChangelogBytesMost: bytes((compacted + writes*changelogBytes + metas*metaBytes) * replicas),
		ScoresBytes:        bytes(customers * scoreBytes * replicas),
		OutputBytes:        bytes(float64(l.RetentionMs) / 1000 * l.PerSecond * outputBytes * replicas),
		RestoreSeconds:     customers / restoredPerSecond,
		RestoreSecondsMost: (customers + writes + metas) / restoredPerSecond,
		SweepSeconds:       customers * sweepMicros / 1e6,
		Partitions:         max(l.Partitions, (l.Customers+customersPerPartition-1)/customersPerPartition),
	}
}
