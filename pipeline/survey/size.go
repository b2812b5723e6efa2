package survey

// What a customer takes, as it was measured (benchmarks/results/2026-11-24-first.md): the mean of the state's records, and of 99 of 100 customers at most.
const (
	CustomerBytes     = 144
	CustomerBytesMost = 395
)

// customersPerPartition is how many customers a partition has that is still restored in seconds: a quarter of a million (benchmarks/results/2026-11-26-restore.md).
const customersPerPartition = 250_000

// Size is how large the state will be, estimated.
type Size struct {
	// Sampled is how many customers the sample's events are of, out of Events. Records is how many records the topic has, at most.
	Sampled int   `json:"customers_in_sample"`
	Events  int   `json:"events_in_sample"`
	Records int64 `json:"records_in_topic"`
	// Least and Most are what the customers of the topic are between. They are the same if the sample is all of it.
	Least int64 `json:"customers_least"`
	Most  int64 `json:"customers_most"`
	// BytesLeast and BytesMost are the state's size for these, at CustomerBytes each.
	BytesLeast int64 `json:"state_bytes_least"`
	BytesMost  int64 `json:"state_bytes_most"`
	// Partitions is how many the topic should have whose partitions the tasks read.
	Partitions int64 `json:"partitions"`
}

// Estimate returns the size of the state for a topic of so many records. Partitions is at least so many.
//
// Least is the estimate of Chao (1984), a lower bound of how many kinds there are by how many were seen once and twice: f1 (f1 - 1) / 2 (f2 + 1) more than were seen, in the form that is free of bias
// (Chao 2005). Most takes every record of the topic to bring as many new customers as one of the sample.
func (t *Trial) Estimate(records int64, partitions int64) Size {
	s := Size{Sampled: len(t.seen), Events: t.Events, Records: records, Partitions: partitions}
	s.Least, s.Most = int64(s.Sampled), int64(s.Sampled)
	if t.Events > 0 && records > int64(t.Records) {
		once, twice := int64(0), int64(0)
		for _, n := range t.seen {
			switch n {
			case 1:
				once++
			case 2:
				twice++
			}
		}
		ofAll := share(t.Events, t.Records) * float64(records) // those that will be events
		s.Most = max(s.Least, int64(float64(s.Sampled)*ofAll/float64(t.Events)))
		s.Least = min(s.Most, s.Least+once*(once-1)/(2*(twice+1)))
	}
	s.BytesLeast, s.BytesMost = s.Least*CustomerBytes, s.Most*CustomerBytes
	s.Partitions = max(partitions, (s.Least+customersPerPartition-1)/customersPerPartition)
	return s
}
