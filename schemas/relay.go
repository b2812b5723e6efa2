package schemas

import (
	"strconv"
	"strings"

	"lull/operators"
)

// The headers of the records of the internal topic events, by which the first stage passes events on. docs/formats/feeds.md describes them.
const (
	// SourceHeader holds the position of the event in its input topic, as Position.String writes it.
	SourceHeader = "lull-source"
	// FeedHeader holds the id of the feed that passed the record on, as 16 hexadecimal digits.
	FeedHeader = "lull-feed"
	// WatermarkHeader holds the event time that the feed's partition had reached by then, in milliseconds since 1970. It is missing before there is one.
	WatermarkHeader = "lull-watermark"
	// AppendTimeHeader holds the Kafka timestamp of the event's record in its input topic, in milliseconds since 1970.
	AppendTimeHeader = "lull-append-time"
	// CutHeader of a mark says at which offset the feed goes on with other events than those that it has passed on, because its log was cut off.
	CutHeader = "lull-cut"
	// ClaimHeader says that the event's time is not what its source says, or that it proves nothing: "clamped" or "doubted".
	ClaimHeader = "lull-claim"
	// RefusedHeader of a mark that tells no time says that a record was refused: what was wrong with it, and where it stood, with a space between.
	RefusedHeader = "lull-refused"
	// CustomerHeader beside it holds the id of whose record it was, if that is known.
	CustomerHeader = "lull-customer"
)

// ReasonBadRelay is the reason of a record of the internal topic events that no first stage has written.
const ReasonBadRelay = "bad_relay"

// Relay is what a record of the topic events says beside its event: where it came from.
type Relay struct {
	// Source is the position of the event in its input topic; of a mark Topic is "".
	Source Position
	// AppendTime is the Kafka timestamp that it has there.
	AppendTime operators.EventTime
	// Feed is the id of the feed that passed it on, Watermark the event time that the feed's partition had reached by then; Unset before there is one.
	Feed      uint64
	Watermark operators.EventTime
	// Cut is the offset at which the feed's log was cut off, told by a mark before what follows; -1 if it was not.
	Cut int64
	// Redriven is set if it was refused by a task and sent again since, so that it stands in no feed's order.
	Redriven bool
	// Refused is what was wrong with a record that the feed has refused, Customer whose it was, "" if that is not known, and Source where it stood; NoFault of events and marks.
	Refused  operators.Fault
	Customer string
}

// IsMark reports whether the record is no event, but tells time, or that a record was refused.
func (r *Relay) IsMark() bool { return r.Source.Topic == "" || r.Refused != operators.NoFault }

// EncodeRefused makes rec the record by which a feed says that it has refused one. A program of before takes it for a mark that tells no time.
func EncodeRefused(relay *Relay, rec *Record) {
	rec.Topic, rec.Key, rec.Value = Events, nil, nil
	rec.Headers = append(rec.Headers[:0], Header{FeedHeader, hex16(relay.Feed)}, Header{RefusedHeader, []byte(relay.Refused.String() + " " + relay.Source.String())})
	if relay.Customer != "" {
		rec.Headers = append(rec.Headers, Header{CustomerHeader, []byte(relay.Customer)})
	}
}

// EncodeRelay makes rec the record by which a feed passes an event on; a nil event is a mark. The amount is in minor units of currency, that of the decoder which
// made the event. An error is a fault of the program.
func EncodeRelay(event *operators.Event, relay *Relay, currency string, rec *Record) error {
	rec.Topic, rec.Key, rec.Value = Events, nil, nil
	rec.Headers = append(rec.Headers[:0], Header{FeedHeader, hex16(relay.Feed)})
	if relay.Watermark != operators.Unset {
		rec.Headers = append(rec.Headers, Header{WatermarkHeader, strconv.AppendInt(nil, int64(relay.Watermark), 10)})
	}
	if event == nil {
		if relay.Cut >= 0 {
			rec.Headers = append(rec.Headers, Header{CutHeader, strconv.AppendInt(nil, relay.Cut, 10)})
		}
		return nil
	}
	rec.Headers = append(rec.Headers, Header{SourceHeader, []byte(relay.Source.String())}, Header{AppendTimeHeader, strconv.AppendInt(nil, int64(relay.AppendTime), 10)})
	switch {
	case event.Clamped:
		rec.Headers = append(rec.Headers, Header{ClaimHeader, []byte("clamped")})
	case event.Doubted:
		rec.Headers = append(rec.Headers, Header{ClaimHeader, []byte("doubted")})
	}
	rec.Key = []byte(event.Customer)
	var err error
	rec.Value, err = EncodeEvent(nil, event, currency)
	return err
}

const hexDigits = "0123456789abcdef"

func hex16(v uint64) []byte {
	b := make([]byte, 16)
	for i := range b {
		b[i] = hexDigits[v>>(60-4*i)&15]
	}
	return b
}

// DecodeRelay reads a record of the topic events: what it says of where it came from and, unless that is a mark, the event into into. It makes r the record of the
// input topic as far as that is known, so that ids and dead letters name it. into is undefined after a refusal.
func (d *Decoder) DecodeRelay(r *Source, into *operators.Event) (Relay, *operators.Rejection) {
	relay := Relay{Watermark: operators.Unset, AppendTime: operators.Unset, Cut: -1}
	claim, refused, ok := "", "", false
	for i := range r.Headers {
		value := string(r.Headers[i].Value)
		switch r.Headers[i].Key {
		case FeedHeader:
			var err error
			relay.Feed, err = strconv.ParseUint(value, 16, 64)
			ok = err == nil
		case WatermarkHeader:
			relay.Watermark = instantOf(value)
		case AppendTimeHeader:
			relay.AppendTime = instantOf(value)
		case SourceHeader:
			relay.Source, _ = ParsePosition(value)
		case CutHeader:
			if cut, err := strconv.ParseInt(value, 10, 64); err == nil {
				relay.Cut = cut
			}
		case ClaimHeader:
			claim = value
		case RedrivenHeader:
			relay.Redriven = true
		case RefusedHeader:
			refused = value
		case CustomerHeader:
			relay.Customer = value
		}
	}
	isEvent := len(r.Key) > 0
	if refused != "" && ok && !isEvent {
		name, at, _ := strings.Cut(refused, " ")
		relay.Refused, _ = operators.FaultNamed(name)
		if relay.Source, ok = ParsePosition(at); ok && relay.Refused != operators.NoFault {
			return relay, nil
		}
		ok = false
	}
	if !ok || isEvent == relay.IsMark() || isEvent && relay.AppendTime == operators.Unset {
		return relay, reject(ReasonBadRelay, "the record at %s does not say where it came from", Position{r.Topic, r.Partition, r.Offset})
	}
	if !isEvent {
		return relay, nil
	}
	r.Topic, r.Partition, r.Offset = relay.Source.Topic, relay.Source.Partition, relay.Source.Offset
	r.AppendTime, r.ReadTime = relay.AppendTime, 0
	if refusal := d.Decode(r, into); refusal != nil {
		return relay, refusal
	}
	into.Clamped, into.Doubted = into.Clamped || claim == "clamped", claim == "doubted"
	return relay, nil
}

// instantOf returns the instant of a number of milliseconds since 1970, Unset if it is none.
func instantOf(text string) operators.EventTime {
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return operators.Unset
	}
	return operators.EventTime(ms)
}
