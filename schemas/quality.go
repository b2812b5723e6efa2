package schemas

import (
	"fmt"

	"lull/operators"
)

// Quality is a record of the quality topic. quality.avsc says what each field is.
type Quality struct {
	Source          string  `avro:"source"`
	Partition       int32   `avro:"partition"`
	Day             int32   `avro:"day"`
	Over            bool    `avro:"over"`
	Records         int64   `avro:"records"`
	Invalid         int64   `avro:"invalid"`
	MissingField    int64   `avro:"missing_field"`
	UnknownCurrency int64   `avro:"unknown_currency"`
	ClockSkewed     int64   `avro:"clock_skewed"`
	Duplicate       int64   `avro:"duplicate"`
	Late            int64   `avro:"late"`
	Score           float64 `avro:"score"`
}

// NewQuality returns the record of these counts by fault.
func NewQuality(source string, partition int32, day operators.Day, counts *[operators.FaultsEnd]int64) Quality {
	q := Quality{
		Source: source, Partition: partition, Day: int32(day),
		Invalid: counts[operators.Invalid], MissingField: counts[operators.MissingField], UnknownCurrency: counts[operators.UnknownCurrency],
		ClockSkewed: counts[operators.ClockSkewed], Duplicate: counts[operators.Duplicate], Late: counts[operators.LateEvent],
	}
	for _, n := range counts {
		q.Records += n
	}
	q.Score = float64(counts[operators.NoFault]) / float64(max(1, q.Records))
	return q
}

func (q *Quality) key() string {
	return fmt.Sprintf("%s/%d/%s", q.Source, q.Partition, operators.Day(q.Day))
}

// EncodeQuality returns key and value of a record of the quality topic.
func EncodeQuality(q *Quality) (key, value []byte, err error) {
	key = []byte(q.key())
	if value, err = compiled[QualityCounts].AppendEncode(nil, q); err != nil {
		return nil, nil, fmt.Errorf("encoding the quality %s: %w", key, err)
	}
	return key, value, nil
}

// DecodeQuality returns what a record of the quality topic tells. The error says what is wrong with it.
func DecodeQuality(key, value []byte) (Quality, error) {
	var q Quality
	rest, err := compiled[QualityCounts].Decode(value, &q)
	switch {
	case err != nil:
		return Quality{}, fmt.Errorf("decoding the record %s of quality: %s", quoted(string(key)), avroCause(err))
	case len(rest) > 0:
		return Quality{}, fmt.Errorf("decoding the record %s of quality: %d bytes follow it", quoted(string(key)), len(rest))
	case q.key() != string(key):
		return Quality{}, fmt.Errorf("decoding the record %s of quality: it tells of %s", quoted(string(key)), q.key())
	}
	return q, nil
}
