package pipeline

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/operators/statistics"
	"lull/schemas"
)

// publication is how far the statistics of a partition have been told.
type publication struct {
	table   *statistics.Table // whose parts have been told; another is another edition
	edition int64             // when it was first told, in wall time: no other count of the partition has that one
	at      time.Time         // of the last telling
	until   operators.EventTime
	counted int64 // how many customers it told of
	due     bool  // in the transaction under way
}

// grownEvery is how often statistics are told that have grown by a twentieth since.
const grownEvery = 2 * time.Second

// announceStatistics makes it part of the transactions of those partitions to tell their statistics that have something to tell, and have not for a while.
func (r *Runner) announceStatistics() {
	now := time.Now()
	for _, p := range r.active() {
		table, counted := p.task.Statistics()
		t := &p.told
		news := table.Changed() || p.task.Meta().Watermark != t.until
		// While history is read they grow by much in little time, and whoever asks for a model then would get one of the first few customers.
		grown := counted && table.Customers() > t.counted+t.counted/20
		since := now.Sub(t.at)
		if t.due = counted && (table != t.table || news && since >= r.s.Fit.StatisticsEvery || grown && since >= min(grownEvery, r.s.Fit.StatisticsEvery)); t.due {
			p.task.Announce()
		}
	}
}

// tellStatistics produces what has changed in the statistics of p since it was last told, and behind it their head. It is called when the transaction has been
// finished: what is told counts what is committed with it.
func (p *partition) tellStatistics(ctx context.Context, r *Runner) error {
	t := &p.told
	if !t.due {
		return nil
	}
	table, _ := p.task.Statistics()
	meta := p.task.Meta()
	parts := table.Parts
	if table != t.table {
		for range table.Parts { // that they have changed is told with all
		}
		t.table, t.edition, parts = table, time.Now().UnixMilli(), table.All()
	}
	t.at, t.until, t.counted, t.due = time.Now(), meta.Watermark, table.Customers(), false
	tell := func(record schemas.StatisticsRecord) error {
		record.Partition, record.Edition = p.n, t.edition
		key, value, err := schemas.EncodeStatistics(&record)
		if err != nil {
			return err
		}
		if len(key)+len(value) > batchBytes-batchOverhead {
			// The head will not agree with its parts, and no model is fitted to them; a record that no topic takes would fail the transaction again and again.
			r.log.Error().Int32("partition", p.n).Bytes("part", key).Int("bytes", len(value)).Msg("a part of the statistics is too large to be told: no model can be fitted")
			return nil
		}
		r.producer.produce(ctx, &kgo.Record{Topic: r.s.Topic(StatisticsTopic), Key: key, Value: value})
		return nil
	}
	for part, content := range parts {
		if err := tell(schemas.StatisticsRecord{Part: part, Content: content}); err != nil {
			return err
		}
	}
	return tell(schemas.StatisticsRecord{Head: &schemas.StatisticsHead{
		Watermark: meta.Watermark, Customers: table.Customers(), Below: table.Sample().Below(), Parts: int64(table.Count()),
	}})
}
