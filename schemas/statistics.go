package schemas

import (
	"fmt"
	"math"

	"lull/operators"
	"lull/operators/statistics"
)

// StatisticsRecord is a record of the statistics topic: a part of the statistics of one partition, or their head. DecodeStatistics says what its fields may be.
type StatisticsRecord struct {
	Partition int32
	Edition   int64
	Part      statistics.Part    // unless it is a head
	Content   statistics.Content // of the part; empty if there is none any more
	Head      *StatisticsHead
}

// StatisticsHead is what the parts of a partition are together.
type StatisticsHead struct {
	Watermark operators.EventTime // Unset if nothing has been heard of
	Customers int64
	Below     uint64 // the bound of the sample: statistics.HashEnd if all are in it
	Parts     int64  // that are not empty
}

// headKind is the kind of a head on the wire, behind those of parts.
const headKind = uint8(statistics.MembersPart) + 1

// name returns the key of the record.
func (r *StatisticsRecord) name() string {
	if r.Head != nil {
		return fmt.Sprintf("%d/head/0", r.Partition)
	}
	return fmt.Sprintf("%d/%s/%d", r.Partition, r.Part.Kind, r.Part.Number)
}

// EncodeStatistics returns key and value of a record of the statistics topic. The value of an empty part is nil: it deletes what was there.
func EncodeStatistics(r *StatisticsRecord) (key, value []byte, err error) {
	key = []byte(r.name())
	if r.Head == nil && r.Content.Empty() {
		return key, nil, nil
	}
	w := wireStatistics{Partition: r.Partition, Edition: r.Edition, Kind: uint8(r.Part.Kind), Number: r.Part.Number}
	if h := r.Head; h != nil {
		w.Kind, w.Number = headKind, 0
		w.Head = &wireHead{Watermark: instant(h.Watermark, new(int64)), Customers: h.Customers, Parts: h.Parts}
		if h.Below < statistics.HashEnd {
			below := int64(h.Below)
			w.Head.SampledBelow = &below
		}
	}
	for i := range r.Content.Births {
		b := &r.Content.Births[i]
		w.Births = append(w.Births, wireBirths{X: b.X, LastWeek: b.Last, Customers: b.Customers, FirstDays: b.FirstDays, LastDays: b.LastDays, Net: int64(b.Net), RepeatNet: int64(b.RepeatNet)})
	}
	for i := range r.Content.Spends {
		s := &r.Content.Spends[i]
		w.Spends = append(w.Spends, wireSpends{Bin: s.Bin, Customers: s.Customers, RepeatNet: int64(s.RepeatNet)})
	}
	for i := range r.Content.Members {
		w.Members = append(w.Members, memberToWire(&r.Content.Members[i]))
	}
	if value, err = compiled[Statistics].AppendEncode(nil, &w); err != nil {
		return nil, nil, fmt.Errorf("encoding statistics %s: %w", key, err)
	}
	return key, value, nil
}

func memberToWire(m *statistics.Member) wireMember {
	w := wireMember{
		Hash: int64(m.Hash), First: int32(m.First), Last: int32(m.Last), Purchases: int64(m.Purchases), Orders: int64(m.Orders), Net: int64(m.Net), FirstNet: int64(m.FirstNet),
		Newest: make([]int32, len(m.Newest)),
	}
	for i, day := range m.Newest {
		w.Newest[i] = int32(day)
	}
	return w
}

// DecodeStatistics returns the record with this key and value; a nil value is that of an empty part. The error says what is wrong with it.
func DecodeStatistics(key, value []byte) (StatisticsRecord, error) {
	wrong := func(format string, args ...any) (StatisticsRecord, error) {
		return StatisticsRecord{}, fmt.Errorf("decoding statistics %s: "+format, append([]any{quoted(string(key))}, args...)...)
	}
	if value == nil {
		r, ok := parsePart(string(key))
		if !ok {
			return wrong("the key is none of partition/kind/number")
		}
		return r, nil
	}
	var w wireStatistics
	rest, err := compiled[Statistics].Decode(value, &w)
	switch {
	case err != nil:
		return wrong("%s", avroCause(err))
	case len(rest) > 0:
		return wrong("%d bytes follow it", len(rest))
	case (w.Kind == headKind) != (w.Head != nil):
		return wrong("a head has a head, and a part has none")
	}
	r := StatisticsRecord{Partition: w.Partition, Edition: w.Edition}
	if h := w.Head; h != nil {
		r.Head = &StatisticsHead{Watermark: operators.Unset, Customers: h.Customers, Below: statistics.HashEnd, Parts: h.Parts}
		if h.Watermark != nil {
			r.Head.Watermark = operators.EventTime(*h.Watermark)
		}
		if h.SampledBelow != nil {
			r.Head.Below = uint64(*h.SampledBelow)
		}
		if h.Customers < 0 || h.Parts < 0 || r.Head.Below > statistics.HashEnd {
			return wrong("customers, parts and sampled_below must be 0 or more")
		}
	} else {
		r.Part = statistics.Part{Kind: statistics.PartKind(w.Kind), Number: w.Number}
		if err := r.fill(&w); err != nil {
			return wrong("%w", err)
		}
	}
	if r.name() != string(key) {
		return wrong("it is that of %s", r.name())
	}
	return r, nil
}

// withinWeeks reports whether so many days can be a sum of days within weeks.
func withinWeeks(days, customers int64) bool {
	return days >= 0 && days/(statistics.WeekDays-1) <= customers
}

func parsePart(key string) (r StatisticsRecord, ok bool) {
	for kind := statistics.BirthsPart; kind <= statistics.MembersPart; kind++ {
		r.Part.Kind = kind
		if n, err := fmt.Sscanf(key, "%d/"+kind.String()+"/%d", &r.Partition, &r.Part.Number); n == 2 && err == nil && r.name() == key {
			return r, true
		}
	}
	return r, false
}

// fill sets the content, and says what cannot be.
func (r *StatisticsRecord) fill(w *wireStatistics) error {
	for _, b := range w.Births {
		if b.Customers < 1 || b.X < 0 || b.LastWeek < w.Number || !withinWeeks(b.FirstDays, b.Customers) || !withinWeeks(b.LastDays, b.Customers) || w.Kind != uint8(statistics.BirthsPart) {
			return fmt.Errorf("births %+v cannot be", b)
		}
		r.Content.Births = append(r.Content.Births, statistics.Births{
			Cell: statistics.Cell{Birth: w.Number, X: b.X, Last: b.LastWeek},
			Total: statistics.Total{
				Customers: b.Customers, FirstDays: b.FirstDays, LastDays: b.LastDays, Net: operators.Money(b.Net), RepeatNet: operators.Money(b.RepeatNet),
			},
		})
	}
	for _, s := range w.Spends {
		if s.Customers < 1 || w.Number < 1 || s.RepeatNet < 1 || w.Kind != uint8(statistics.SpendsPart) {
			return fmt.Errorf("spends %+v cannot be", s)
		}
		r.Content.Spends = append(r.Content.Spends, statistics.Spends{
			Spend: statistics.Spend{X: w.Number, Bin: s.Bin}, SpendTotal: statistics.SpendTotal{Customers: s.Customers, RepeatNet: operators.Money(s.RepeatNet)},
		})
	}
	for _, m := range w.Members {
		if m.Hash < 0 || m.Purchases < 1 || m.Purchases > math.MaxUint32 || m.Orders < 0 || m.Orders > math.MaxUint32 || m.Last < m.First || int64(len(m.Newest)) > m.Purchases || w.Kind != uint8(statistics.MembersPart) {
			return fmt.Errorf("member %+v cannot be", m)
		}
		member := statistics.Member{
			Hash: uint64(m.Hash), First: operators.Day(m.First), Last: operators.Day(m.Last), Purchases: uint32(m.Purchases), Orders: uint32(m.Orders),
			Net: operators.Money(m.Net), FirstNet: operators.Money(m.FirstNet), Newest: make([]operators.Day, len(m.Newest)),
		}
		for i, day := range m.Newest {
			member.Newest[i] = operators.Day(day)
		}
		r.Content.Members = append(r.Content.Members, member)
	}
	return nil
}
