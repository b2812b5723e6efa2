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
	// Seen is how many customers were counted in Events, out of Counted records: those that become events, or would with a rate for their currency. Records is how many records the topic or the file has, at most.
	Seen    int   `json:"customers_seen"`
	Events  int   `json:"events_counted"`
	Counted int64 `json:"records_counted"`
	Records int64 `json:"records_in_all"`
	// Estimated is how many customers there are in all, and Most what they are at most if later records bring no more new ones than those counted. Both are Seen if all records are counted.
	Estimated int64 `json:"customers_estimated"`
	Most      int64 `json:"customers_most"`
	// BytesLeast and BytesMost are the state's size for Seen and Most, at CustomerBytes each.
	BytesLeast int64 `json:"state_bytes_least"`
	BytesMost  int64 `json:"state_bytes_most"`
	// Partitions is how many the topic should have whose partitions the tasks read.
	Partitions int64 `json:"partitions"`
}

// Estimate returns the size of the state for a topic of so many records. Partitions is at least so many.
//
// Estimated is the estimate of Chao (1984) of how many kinds there are by how many were seen once and twice: f1 (f1 - 1) / 2 (f2 + 1) more than were seen, in the form that is free of bias
// (Chao 2005). It is a lower bound of a sample that is drawn at random alone. One of successive records is not: of who has just begun, or is about to buy again, it sees one record, so that there may be fewer.
// Most takes every record of the topic to bring as many new customers as one of the sample.
func (t *Trial) Estimate(records int64, partitions int64) Size {
	s := Size{Seen: len(t.seen), Events: t.told, Counted: int64(t.counted), Records: records, Partitions: partitions}
	seen := int64(s.Seen)
	s.Estimated, s.Most = seen, seen
	if t.told > 0 && records > s.Counted {
		once, twice := int64(0), int64(0)
		for _, n := range t.seen {
			switch n {
			case 1:
				once++
			case 2:
				twice++
			}
		}
		s.Most = max(seen, int64(float64(seen)*float64(records)/float64(t.counted)))
		s.Estimated = min(s.Most, seen+once*(once-1)/(2*(twice+1)))
	}
	s.BytesLeast, s.BytesMost = seen*CustomerBytes, s.Most*CustomerBytes
	s.Partitions = max(partitions, (s.Estimated+customersPerPartition-1)/customersPerPartition)
	return s
}
