package snapshot

import (
	"cmp"
	"maps"
	"slices"

	"lull/operators"
	"lull/schemas"
)

// qualityRow is a row of the table data_quality.
type qualityRow struct {
	Source          string              `parquet:"source,dict" doc:"the input topic; rows are in the order of sources, of each in that of days, and of each of these in that of partitions"`
	Day             operators.Day       `parquet:"day,date" doc:"the day, in UTC, that the watermark of the partition stood on when the record's turn came"`
	Partition       int32               `parquet:"partition" doc:"partition of the topic that tasks read: of the source or, with inputs, of lull.events"`
	AsOf            operators.EventTime `parquet:"as_of,timestamp(millisecond:utc)" doc:"the instant of the snapshot, the same in all rows: no day begins later"`
	Over            bool                `parquet:"over" doc:"the partition had passed the day, and the counts are final"`
	Records         int64               `parquet:"records" doc:"records that were to be events"`
	Invalid         int64               `parquet:"invalid" doc:"of these, refused for a reason that is none of the next three"`
	MissingField    int64               `parquet:"missing_field" doc:"refused because the customer, the value or a field that this kind of event needs was not there"`
	UnknownCurrency int64               `parquet:"unknown_currency" doc:"refused because the currency has no rate"`
	ClockSkewed     int64               `parquet:"clock_skewed" doc:"the time lay in the future: refused, or taken at the record's Kafka timestamp"`
	Duplicate       int64               `parquet:"duplicate" doc:"the message id had been seen; dropped"`
	Late            int64               `parquet:"late" doc:"older than the watermark; facts count all the same"`
	Score           float64             `parquet:"score" doc:"share of the records without any of these faults, 0 to 1"`
}

// qualityKey says what is counted.
type qualityKey struct {
	source    string
	day       operators.Day
	partition int32
}

func (k qualityKey) compare(other qualityKey) int {
	return cmp.Or(cmp.Compare(k.source, other.source), cmp.Compare(k.day, other.day), cmp.Compare(k.partition, other.partition))
}

// TellQuality takes in a record of the quality topic, in their order.
func (s *State) TellQuality(key, value []byte) error {
	q, err := schemas.DecodeQuality(key, value)
	if err != nil {
		return err
	}
	s.quality[qualityKey{q.Source, operators.Day(q.Day), q.Partition}] = q
	return nil
}

// dataQuality calls write for the counts of every day up to that of the instant: those of days that are over from the topic, and those of the day that a partition's watermark stands on from its state. A day is told as over in the
// transaction by which the watermark leaves it, so that both are of the same transactions.
func (s *source) dataQuality(write func(row *qualityRow) error) error {
	all := make(map[qualityKey]schemas.Quality)
	open := make(map[int32]operators.Day)
	for _, p := range s.state.sorted() {
		if p.meta.Watermark == operators.Unset {
			continue
		}
		open[p.n] = p.meta.Watermark.UTCDay()
		for i := range p.meta.Quality {
			q := &p.meta.Quality[i]
			all[qualityKey{q.Source, q.Day, p.n}] = schemas.NewQuality(q.Source, p.n, q.Day, &q.Counts)
		}
	}
	for key, q := range s.state.quality {
		if day, ok := open[key.partition]; ok && key.day < day {
			all[key] = q
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(all), qualityKey.compare) {
		if key.day > s.asOf.UTCDay() {
			continue
		}
		q := all[key]
		err := write(&qualityRow{
			Source: q.Source, Day: key.day, Partition: q.Partition, AsOf: s.asOf, Over: q.Over, Records: q.Records, Invalid: q.Invalid, MissingField: q.MissingField,
			UnknownCurrency: q.UnknownCurrency, ClockSkewed: q.ClockSkewed, Duplicate: q.Duplicate, Late: q.Late, Score: q.Score,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
